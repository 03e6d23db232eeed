from __future__ import annotations

import json
from typing import Any

import pytest

from rxresponses.wire.codec import decode
from rxresponses.wire.events import ResponseErrorDetail, ResponseErrorEvent, ResponseFailedEvent, ServerEvent

FACTS = {"code": "rate_limit_exceeded", "message": "Slow down", "param": "model"}
read_json = pytest.mark.parametrize("read", [decode, ServerEvent.from_json], ids=["decode", "from_json"])


@read_json
@pytest.mark.parametrize(
    "data",
    [
        {"type": "error", **FACTS},
        {"type": "error", **FACTS, "sequence_number": 4, "status": 429, "stream_id": "main", "headers": None},
        {"type": "error", "error": {"type": "rate_limit_error", **FACTS}},
        {"type": "error", "code": None, "error": FACTS, "status": 429},
    ],
    ids=["flat", "flat with all", "nested", "nested beside null"],
)
def test_scenario_04_both_shapes_read_the_same(read: Any, data: dict[str, Any]) -> None:
    event = read(json.dumps(data))
    assert isinstance(event, ResponseErrorEvent)
    assert (event.code, event.message, event.param) == tuple(FACTS.values())
    assert event.status == data.get("status")
    assert event.stream_id == data.get("stream_id")
    assert event.sequence_number == data.get("sequence_number")
    assert event.error_type == (data.get("error") or {}).get("type")
    assert event.headers is None
    assert event.is_terminal


@read_json
def test_scenario_04_headers_come_from_either_place(read: Any) -> None:
    headers = {"retry-after": "2"}
    assert read(json.dumps({"type": "error", "headers": headers})).headers == headers
    assert read(json.dumps({"type": "error", "error": {"headers": headers}})).headers == headers


@read_json
def test_scenario_04_the_top_level_wins_over_nested_fields(read: Any) -> None:
    event = read(json.dumps({"type": "error", "code": "outer", "error": {"code": "inner", "message": "m"}}))
    assert (event.code, event.message) == ("outer", "m")
    assert event.error == ResponseErrorDetail(code="inner", message="m")


@read_json
def test_scenario_04_an_error_nested_in_a_failed_response(read: Any) -> None:
    event = read(json.dumps({"type": "response.failed", "response": {"id": "r", "status": "failed", "error": FACTS}}))
    assert isinstance(event, ResponseFailedEvent)
    error = event.response.error
    assert error is not None
    assert (error.code, error.message, error.param) == tuple(FACTS.values())


@read_json
def test_scenario_49_an_error_with_only_type_and_message(read: Any) -> None:
    event = read('{"type": "error", "error": {"type": "server_error", "message": "Oops"}}')
    assert isinstance(event, ResponseErrorEvent)
    assert (event.error_type, event.message, event.code, event.status) == ("server_error", "Oops", None, None)


def test_the_error_of_a_stopped_response_says_what_the_model_was_about_to_do() -> None:
    misalignment = {"error_type": "other", "review_target": "plan", "steer": {"message": "Ask first"}}
    event = decode(json.dumps({"type": "error", "error": {"message": "m", "misalignment": misalignment}}))
    assert isinstance(event, ResponseErrorEvent)
    assert event.error is not None
    assert event.error.misalignment is not None
    assert event.error.misalignment.steer is not None
    assert event.error.misalignment.steer.message == "Ask first"


def test_an_error_made_by_hand_is_filled_in_too() -> None:
    event = ResponseErrorEvent(error=ResponseErrorDetail(type="t", code="c", message="m"))
    assert (event.error_type, event.code, event.message, event.param) == ("t", "c", "m", None)
    assert ResponseErrorEvent(code="c").error_type is None
