"""Frames of gateways and other servers that end a request although their type does not say so."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rxresponses.errors import FrameError
from rxresponses.wire.codec import decode
from rxresponses.wire.events import (
    TERMINAL_TYPES,
    ResponseCancelledEvent,
    ResponseDoneEvent,
    ResponseErrorEvent,
    ServerEvent,
    UnknownEvent,
)
from rxresponses.wire.failures import failure_of, response_of

from ...support.events import created

FACTS = {"code": "overloaded", "message": "busy"}
RESPONSE = {"id": "r1", "status": "completed"}
read_json = pytest.mark.parametrize("read", [decode, ServerEvent.from_json], ids=["decode", "from_json"])


@read_json
@pytest.mark.parametrize(
    ("frame", "facts"),
    [
        ({"error": FACTS}, ("overloaded", None, "busy", None)),
        ({"type": None, "error": FACTS}, ("overloaded", None, "busy", None)),
        ({"type": "", "error": FACTS, "status": 503}, ("overloaded", None, "busy", 503)),
        ({"type": "upstream_failure", "error": FACTS}, ("overloaded", "upstream_failure", "busy", None)),
        ({"type": "response.broken", "error": {"type": "odd", **FACTS}}, ("overloaded", "odd", "busy", None)),
        ({"error": "no such model"}, (None, None, "no such model", None)),
        ({"errors": [FACTS, {"message": "more"}]}, ("overloaded", None, "busy", None)),
        ({"error": {"code": 429, "message": "slow down"}}, ("429", None, "slow down", 429)),
        ({"object": "error", "message": "bad", "code": 400}, ("400", None, "bad", 400)),
        ({"type": "invalid_request_error", "message": "bad"}, (None, "invalid_request_error", "bad", None)),
        ({"message": "Internal server error", "connectionId": "x="}, (None, None, "Internal server error", None)),
        ({"message": "Forbidden", "requestId": "q"}, (None, None, "Forbidden", None)),
        ({"message": "gone", "statusCode": 502}, (None, None, "gone", 502)),
        ({"detail": "Not authenticated"}, (None, None, "Not authenticated", None)),
        ({"detail": [{"loc": ["body"], "msg": "missing"}, "odd"]}, (None, None, "missing; odd", None)),
        ({"detail": {"reason": "x"}}, (None, None, "{'reason': 'x'}", None)),
        ({"title": "Bad gateway", "detail": "upstream", "status": 502}, (None, None, "Bad gateway", 502)),
        ({"type": "about:blank", "title": "Bad gateway", "status": 502}, (None, "about:blank", "Bad gateway", 502)),
        ({"type": "exception", "message": "broke"}, (None, "exception", "broke", None)),
        ({"Message": "broke", "ConnectionId": "x="}, (None, None, "broke", None)),
        ({"Error": "broke"}, (None, None, "broke", None)),
        ({"__type": "InternalServerException", "message": "broke"}, (None, None, "broke", None)),
        ({"error_message": "broke"}, (None, None, "broke", None)),
        ({"error": True, "message": "broke"}, (None, None, "broke", None)),
        ({"error": "invalid_token", "error_description": "x"}, (None, None, "invalid_token", None)),
        ({"success": False, "message": "broke"}, (None, None, "broke", None)),
        ({"ok": False, "code": "overloaded"}, ("overloaded", None, None, None)),
        ({"status": "error", "message": "broke"}, (None, None, "broke", None)),
        ({"code": 1301, "msg": "broke"}, ("1301", None, "broke", None)),
        ({"fault": {"faultstring": "broke", "code": "quota"}}, ("quota", None, "broke", None)),
        ({"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": "broke"}}, ("-32000", None, "broke", None)),
    ],
)
def test_scenario_59_a_frame_that_can_only_be_an_error_is_one(
    read: Any, frame: dict[str, Any], facts: tuple[Any, ...]
) -> None:
    event = read(json.dumps({**frame, "stream_id": "a"}))
    assert isinstance(event, ResponseErrorEvent)
    assert event.is_terminal
    assert event.stream_id == "a"
    error = failure_of(event)
    assert error is not None
    assert (event.code, event.error_type, event.message, event.status) == facts
    assert (error.code, error.type, error.status, error.delivery) == (facts[0], facts[1], facts[3], "rejected")


def test_scenario_59_an_error_of_a_gateway_keeps_its_headers_and_other_fields() -> None:
    event = decode(json.dumps({"error": FACTS, "headers": {"retry-after": 3}, "connectionId": "x="}))
    assert isinstance(event, ResponseErrorEvent)
    assert event.headers == {"retry-after": "3"}
    assert event.extra["connectionId"] == "x="


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "codex.keepalive"},
        {"type": "session.updated", "error": None},
        {"type": "notice", "message": "hello"},
        {"type": "response.new_call.failed", "error": FACTS},
        {"type": "response.new_failure", "item_id": "i", "error": FACTS},
        {"type": "response.new_thing", "response": {"id": "r1", "status": "in_progress"}},
        {"object": "response", "status": "in_progress", "id": "r1"},
        {"message": "welcome"},
        {"error": {}},
        {"error": 5},
        {"errors": []},
        {"detail": ""},
        {"code": 0, "message": "success"},
        {"code": 200, "message": "ok"},
        {"status": 200, "message": "OK"},
        {"status": "ok", "message": "connected"},
        {"success": True, "message": "connected", "code": "hello"},
        {"status": "failed", "object": "batch"},
        {"status": "running"},
        {"type": "warning", "message": "slow", "code": "x"},
        {"type": "log", "status": 200, "message": "fine"},
        {"type": "session.closing", "seconds": 30},
        {"type": "session.updated", "session": {"status": "completed"}},
        {"type": "conversation.item.done"},
        {"type": "response.video.done"},
        {"type": "done", "item_id": "i"},
        {},
    ],
)
def test_scenario_59_a_frame_that_may_be_something_else_ends_nothing(frame: dict[str, Any]) -> None:
    event = decode(json.dumps(frame))
    assert type(event) is UnknownEvent
    assert not event.is_terminal


@read_json
@pytest.mark.parametrize("kind", ["done", "response.end", "response.finished", "message_stop", "stream.completed"])
def test_scenario_59_a_type_that_can_only_be_an_end_is_one(read: Any, kind: str) -> None:
    event = read(json.dumps({"type": kind, "stream_id": "a"}))
    assert (event.type, event.stream_id, event.is_terminal) == ("response.done", "a", True)
    assert failure_of(event) is None


@read_json
@pytest.mark.parametrize(
    "kind", ["timeout", "response.expired", "response.aborted", "request.failed", "session.closed"]
)
@pytest.mark.parametrize("message", [None, "too slow"])
def test_scenario_59_a_type_that_can_only_be_a_failure_is_one(read: Any, kind: str, message: str | None) -> None:
    event = read(json.dumps({"type": kind, "stream_id": "a", "message": message, "response_id": "r1"}))
    assert (event.type, event.stream_id, event.is_terminal) == ("response.done", "a", True)
    error = failure_of(event)
    assert error is not None
    assert (error.code, error.response_id) == (kind, "r1")
    assert (message or "no reason given") in str(error)


@read_json
@pytest.mark.parametrize("status", ["failed", "completed", "cancelled"])
@pytest.mark.parametrize("fields", [{"id": "r1", "object": "response"}, {"id": "r1"}, {}])
def test_scenario_59_a_final_status_is_an_end(read: Any, status: str, fields: dict[str, Any]) -> None:
    event = read(json.dumps({**fields, "status": status}))
    assert isinstance(event, ResponseDoneEvent)
    assert event.is_terminal
    assert (failure_of(event) is not None) == (status == "failed")


@pytest.mark.parametrize("frame", ["[DONE]", b"[DONE]", " data: [DONE]\n\n"])
def test_scenario_59_the_mark_of_the_end_of_a_stream(frame: bytes | str) -> None:
    event = decode(frame)
    assert event.type == "response.done"
    assert event.raw == frame
    with pytest.raises(FrameError):
        decode("[DONE")


@pytest.mark.parametrize("kind", ["response.done", "response.cancelled", "response.canceled"])
def test_scenario_59_other_terminal_types_have_classes_and_keep_their_type(kind: str) -> None:
    event = decode(json.dumps({"type": kind, "response": RESPONSE}))
    assert isinstance(event, (ResponseDoneEvent, ResponseCancelledEvent))
    assert event.type == kind in TERMINAL_TYPES
    assert event.is_terminal
    assert event.response.id == "r1"
    assert failure_of(event) is None


@pytest.mark.parametrize("status", ["completed", "failed", "incomplete", "cancelled", "expired"])
def test_scenario_59_an_unknown_type_whose_response_has_ended_is_its_end(status: str) -> None:
    event = decode(json.dumps({"type": "response.finished", "response": {"id": "r1", "status": status}}))
    assert isinstance(event, ResponseDoneEvent)
    assert event.is_terminal
    assert (failure_of(event) is not None) == (status == "failed")


def test_scenario_59_a_bare_response_is_its_own_end() -> None:
    event = decode(json.dumps({"object": "response", "stream_id": "a", **RESPONSE}))
    response = response_of(event)
    assert isinstance(event, ResponseDoneEvent)
    assert event.stream_id == "a"
    assert response is not None
    assert (response.id, response.status) == ("r1", "completed")


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "response.done", "response": {"id": "r1", "status": "failed", "error": FACTS}},
        {"type": "response.done", "response": {"id": "r1", "error": FACTS}},
        {"type": "response.done", "response": {"status": "failed", "error": FACTS}},
        {"type": "response.done", "response": {"id": "r1"}, "error": FACTS},
        {"type": "response.done", "error": FACTS},
        {"type": "response.cancelled", "response": {"id": "r1", "status": "cancelled", "error": FACTS}},
        {"type": "response.canceled", "error": FACTS},
        {"type": "response.error", "error": FACTS},
        {"type": "response.error", **FACTS},
        {"type": "response.error", "response": {"id": "r1", "error": FACTS}},
        {"type": "response.error", "sequence_number": "x", "error": FACTS},
    ],
)
def test_scenario_59_an_end_is_the_error_that_it_carries(frame: dict[str, Any]) -> None:
    error = failure_of(decode(json.dumps(frame)), created())
    assert error is not None
    assert (error.code, error.delivery) == ("overloaded", "started")
    assert "busy" in str(error)


@pytest.mark.parametrize("frame", [{"type": "response.done"}, {"type": "response.cancelled", "response": None}])
def test_scenario_59_an_end_without_a_response_is_no_failure(frame: dict[str, Any]) -> None:
    event = decode(json.dumps(frame))
    assert event.is_terminal
    assert failure_of(event) is None


def test_scenario_59_the_error_of_an_end_may_be_a_text() -> None:
    for frame in ({"type": "response.done", "error": "broke"}, {"type": "response.error", "error": "broke"}):
        assert "broke" in str(failure_of(decode(json.dumps(frame)), created()))
