"""Turns the events that mean a failure into errors; no other module does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import Delivery, ResponseFailedError, SteerPendingError, UnreadableResponseError
from .events import (
    TERMINAL_TYPES,
    LifecycleEvent,
    ResponseErrorEvent,
    ResponseSteerPendingEvent,
    ServerEvent,
    SteerError,
    UnknownEvent,
)
from .fields import response_id_of
from .models import Response

_ADVICE = {
    "context_length_exceeded": "shorten the input",
    "insufficient_quota": "the account has no credit left; waiting does not help",
    "invalid_stream_id": "a lane name is 1 to 256 letters, digits, '_', '-' or '.'",
    "model_mismatch": "this connection serves another model; open one for this model",
    "previous_response_not_found": "start again with the full input and no previous_response_id",
    "rate_limit_exceeded": "wait, for the time in the retry-after header if there is one, and send it again",
    "response_already_in_flight": "wait for the running response to end, or open another connection",
    "server_error": "send it again after a while",
    "websocket_connection_limit_reached": "open a new connection",
    "websocket_queue_full": "wait for running responses to end, or open another connection",
    "websocket_stream_limit_reached": "reuse a lane or open another connection",
}


def failure_of(event: ServerEvent, first: ServerEvent | None = None) -> ResponseFailedError | None:
    """Return the error that `event` means, `None` when the event is no failure.

    A failure is `error`, `response.failed`, another terminal event whose response has the status `failed`, or a refused
    steer.  An `UnknownEvent` of these types is read as far as possible.  `first` is the first event of the response: an
    `error` without an event before it means that the server rejected the request.
    """
    if event.type == "response.steer.failed":
        return _steer_failure(event)
    if event.type not in TERMINAL_TYPES:
        return None
    if isinstance(event, ResponseErrorEvent):
        return _error(
            event,
            first,
            {"code": event.code, "message": event.message, "param": event.param, "type": event.error_type},
            status=event.status,
            headers=event.headers,
        )
    if isinstance(event, UnknownEvent):
        return _unknown_failure(event, first)
    response = getattr(event, "response", None)
    if event.type != "response.failed" and getattr(response, "status", None) != "failed":
        return None
    error = getattr(response, "error", None)
    return _error(event, first, {} if error is None else vars(error))


def pending_of(event: ServerEvent) -> SteerPendingError:
    """Return the error for `response.steer.pending`, for operators whose observer waits for a result."""
    if not isinstance(event, ResponseSteerPendingEvent):  # its fields did not validate
        return SteerPendingError((), event=event, stream_id=event.stream_id)
    target = event.steer.previous_response_id
    return SteerPendingError(event.required_input, event=event, response_id=target, stream_id=event.stream_id)


def response_of(event: ServerEvent) -> Response | None:
    """Return the response of a terminal event, `None` when the event could not be read."""
    return event.response if isinstance(event, LifecycleEvent) else None


def unreadable(event: ServerEvent) -> UnreadableResponseError:
    """Return the error for a terminal event whose response is needed and cannot be read."""
    return UnreadableResponseError(
        f"the response in {event.type} cannot be read: {getattr(event, 'reason', None)}; the response has ended at the "
        "server, and `event` of this error has all that came",
        event=event,
        response_id=response_id_of(event),
        stream_id=event.stream_id,
    )


def _steer_failure(event: ServerEvent) -> ResponseFailedError:
    error = event.extra.get("error") if isinstance(event, UnknownEvent) else getattr(event, "error", None)
    facts = _mapping(vars(error) if isinstance(error, SteerError) else error)
    code, kind, message = _text(facts.get("code")), _text(facts.get("type")), _text(facts.get("message"))
    first = "correct it, then " if code == "invalid_input" else ""
    return ResponseFailedError(
        f"the server refused the steer{_reason(code, kind)}: {message or 'no reason given'} "
        f"[the input came back: {first}send it as a request of its own]",
        delivery="rejected",  # also after the server accepted the steer: it returns the input unused
        event=event,
        code=code,
        type=kind,
        stream_id=event.stream_id,
    )


def _unknown_failure(event: UnknownEvent, first: ServerEvent | None) -> ResponseFailedError | None:
    extra = event.extra
    if event.type == "error":
        # The fields are at the top level or nested in `error`; some simple servers have a mere string there.
        nested = extra.get("error")
        facts = {**extra, "type": None, **(nested if isinstance(nested, Mapping) else {})}
        if isinstance(nested, str):
            facts.setdefault("message", nested)
        return _error(event, first, facts, status=extra.get("status"), headers=facts.get("headers"))
    response = _mapping(extra.get("response"))
    if event.type != "response.failed" and response.get("status") != "failed":
        return None
    return _error(event, first, _mapping(response.get("error")))


def _error(
    event: ServerEvent,
    first: ServerEvent | None,
    facts: Mapping[str, Any],
    *,
    status: object = None,
    headers: object = None,
) -> ResponseFailedError:
    code, kind, message = _text(facts.get("code")), _text(facts.get("type")), _text(facts.get("message"))
    delivery: Delivery = "rejected" if event.type == "error" and first is None else "started"
    what = "the server rejected the request" if delivery == "rejected" else "the response failed"
    advice = _ADVICE.get(code or kind or "")
    return ResponseFailedError(
        f"{what}{_reason(code, kind)}: {message or 'no reason given'}" + (f" [{advice}]" if advice else ""),
        delivery=delivery,
        event=event,
        code=code,
        type=kind,
        status=status if isinstance(status, int) else None,
        param=_text(facts.get("param")),
        headers={str(name): str(value) for name, value in _mapping(headers).items()},
        response_id=response_id_of(event) or response_id_of(first),
        stream_id=event.stream_id,
    )


def _reason(code: str | None, kind: str | None) -> str:
    return f" ({code or kind})" if code or kind else ""


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str | None:
    return None if value is None else str(value)
