from __future__ import annotations

import json

from rxresponses.wire.codec import decode
from rxresponses.wire.events import (
    FailedSteer,
    ResponseSteerAcceptedEvent,
    ResponseSteerFailedEvent,
    ResponseSteerPendingEvent,
    Steer,
    SteerError,
    SteerRequiredInput,
)


def test_an_accepted_steer_names_its_response() -> None:
    event = decode('{"type": "response.steer.accepted", "steer": {"id": "steer_1", "previous_response_id": "resp_1"}}')
    assert event == ResponseSteerAcceptedEvent(steer=Steer(id="steer_1", previous_response_id="resp_1"))


def test_a_pending_steer_lists_the_items_to_fill_in() -> None:
    stubs = [
        {"type": "function_call_output", "call_id": "call_1", "name": "add"},
        {"type": "mcp_approval_response", "approval_request_id": "mcpr_1"},
        {"type": "tool_search_output", "call_id": "call_2", "execution": "client"},
        {"type": "new_output", "handle": 5},
    ]
    event = decode(json.dumps({"type": "response.steer.pending", "steer": {}, "reason": "r", "required_input": stubs}))
    assert isinstance(event, ResponseSteerPendingEvent)
    assert event.reason == "r"
    assert event.required_input[0] == SteerRequiredInput(type="function_call_output", call_id="call_1", name="add")
    assert event.required_input[1].approval_request_id == "mcpr_1"
    assert event.required_input[2].execution == "client"
    assert event.required_input[3].extra == {"handle": 5}


def test_a_failed_steer_returns_its_input_as_it_was_sent() -> None:
    message = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Stop"}]}
    data = {
        "type": "response.steer.failed",
        "steer": {"previous_response_id": "resp_1", "input": [message]},
        "error": {"type": "invalid_request_error", "code": "response_not_active", "message": "m"},
    }
    event = decode(json.dumps(data))
    assert event == ResponseSteerFailedEvent(
        steer=FailedSteer(previous_response_id="resp_1", input=[message]),
        error=SteerError(type="invalid_request_error", code="response_not_active", message="m"),
    )
