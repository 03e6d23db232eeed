"""Frames of gateways and other servers that end a request although their type does not say so."""

from __future__ import annotations

import json
from typing import Any

import pytest

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
        {},
    ],
)
def test_scenario_59_a_frame_that_may_be_something_else_ends_nothing(frame: dict[str, Any]) -> None:
    event = decode(json.dumps(frame))
    assert type(event) is UnknownEvent
    assert not event.is_terminal


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
