"""Builders of typed events and items, as a server would send them."""

from __future__ import annotations

from typing import Any

from rxresponses.wire.events import (
    FailedSteer,
    ResponseCompletedEvent,
    ResponseCreatedEvent,
    ResponseErrorDetail,
    ResponseErrorEvent,
    ResponseFailedEvent,
    ResponseIncompleteEvent,
    ResponseOutputItemAddedEvent,
    ResponseOutputItemDoneEvent,
    ResponseSteerAcceptedEvent,
    ResponseSteerFailedEvent,
    ResponseSteerPendingEvent,
    ResponseTextDeltaEvent,
    ResponseTextDoneEvent,
    ServerEvent,
    Steer,
    SteerError,
    SteerRequiredInput,
)
from rxresponses.wire.events.base import event_from
from rxresponses.wire.models import (
    IncompleteDetails,
    Response,
    ResponseError,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseUsage,
)

USAGE = ResponseUsage(input_tokens=3, output_tokens=4, total_tokens=7)
HIGH, LOW, EMOJI = "\ud83c", "\udf89", "\U0001f389"
"""A character beyond the BMP, and before it the two surrogates into which some servers cut it."""


def created(id: str = "resp_1", **fields: Any) -> ResponseCreatedEvent:
    return ResponseCreatedEvent(response=Response(id=id, status="in_progress"), **fields)


def delta(text: str, **fields: Any) -> ResponseTextDeltaEvent:
    return ResponseTextDeltaEvent(
        **{"delta": text, "item_id": "msg_1", "output_index": 0, "content_index": 0, **fields}
    )


def text_done(text: str, **fields: Any) -> ResponseTextDoneEvent:
    return ResponseTextDoneEvent(**{"text": text, "item_id": "msg_1", "output_index": 0, "content_index": 0, **fields})


def message(text: str, id: str = "msg_1") -> ResponseOutputMessage:
    return ResponseOutputMessage(id=id, role="assistant", status="completed", content=[ResponseOutputText(text=text)])


def call(number: int = 1, **fields: Any) -> ResponseFunctionToolCall:
    return ResponseFunctionToolCall(
        **{"id": f"fc_{number}", "call_id": f"call_{number}", "name": "look", "arguments": "{}", **fields}
    )


def item_added(item: Any, output_index: int | None = 0) -> ResponseOutputItemAddedEvent:
    return ResponseOutputItemAddedEvent(item=item, output_index=output_index)


def item_done(item: Any, output_index: int | None = 0) -> ResponseOutputItemDoneEvent:
    return ResponseOutputItemDoneEvent(item=item, output_index=output_index)


def completed(*output: Any, id: str = "resp_1", status: str = "completed", **fields: Any) -> ResponseCompletedEvent:
    return ResponseCompletedEvent(response=Response(id=id, status=status, output=list(output), **fields))


def incomplete(*output: Any, id: str = "resp_1", reason: str = "max_output_tokens") -> ResponseIncompleteEvent:
    details = IncompleteDetails(reason=reason)
    return ResponseIncompleteEvent(
        response=Response(id=id, status="incomplete", output=list(output), incomplete_details=details, usage=USAGE)
    )


def failed(
    code: str | None = "server_error", message: str | None = "it broke", id: str = "resp_1"
) -> ResponseFailedEvent:
    error = None if code is None and message is None else ResponseError(code=code, message=message)
    return ResponseFailedEvent(response=Response(id=id, status="failed", error=error))


def error_event(code: str = "rate_limit_exceeded", message: str = "slow down") -> ResponseErrorEvent:
    detail = ResponseErrorDetail(
        type="requests", code=code, message=message, param="model", headers={"retry-after": "3"}
    )
    return ResponseErrorEvent(error=detail, status=429, stream_id="main")


def wire_event(kind: str, stream_id: object = None, **fields: Any) -> ServerEvent:
    """Build an event from the JSON fields of its frame: an `UnknownEvent` for an unknown type or a wrong field."""
    return event_from(
        {"type": kind, **fields} if stream_id is None else {"type": kind, "stream_id": stream_id, **fields}
    )


HEARTBEAT_TYPES = [
    *("codex.keepalive", "ping", "session.updated", "response.heartbeat", "response.keep-alive", ""),
    *("response.heart_beat", "response.ping", "response.pong", "response.noop"),
    *("codex.rate_limits", "rate_limits.updated", "response.rate_limits.updated"),
]
"""Types of events that belong to no response, and that servers and gateways send between those of a response."""


STEER = Steer(id="steer_1", previous_response_id="resp_1")


def accepted() -> ResponseSteerAcceptedEvent:
    return ResponseSteerAcceptedEvent(steer=STEER)


def pending() -> ResponseSteerPendingEvent:
    stub = SteerRequiredInput(type="function_call_output", call_id="call_1")
    return ResponseSteerPendingEvent(steer=STEER, required_input=[stub], stream_id="main")


def refused(code: str = "response_already_completed") -> ResponseSteerFailedEvent:
    steer = FailedSteer(previous_response_id="resp_1", input="shorter")
    error = SteerError(code=code, message="too late", type="invalid_request_error")
    return ResponseSteerFailedEvent(steer=steer, error=error, stream_id="main")
