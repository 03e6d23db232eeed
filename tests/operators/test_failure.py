"""How every reducing operator turns a failed response into one typed error."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from rxresponses import operators as rops
from rxresponses.codec import decode
from rxresponses.errors import DecodeError, ResponseFailedError
from rxresponses.events import ServerEvent, UnknownEvent
from rxresponses.operators._failure import failure_of, response_id_of

from .support import Operator, completed, created, delta, error_event, failed, incomplete, marbles, run
from .test_contract import CASES, REDUCING

reducing = pytest.mark.parametrize("make", [CASES[name].make for name in REDUCING], ids=REDUCING)


def unknown(**fields: Any) -> ServerEvent:
    event = decode(json.dumps(fields))
    assert isinstance(event, UnknownEvent)
    return event


def failure(event: ServerEvent, first: ServerEvent | None = None) -> ResponseFailedError:
    error = failure_of(event, first)
    assert error is not None
    return error


@reducing
@pytest.mark.parametrize(
    "end", [failed(), error_event(), completed(status="failed")], ids=["failed", "error", "status"]
)
def test_scenario_04_failures_become_one_typed_error(make: Callable[[], Operator[Any]], end: ServerEvent) -> None:
    seen = marbles(make(), (210, created()), (220, delta("x")), (230, end), (240, failed()), (250, None))

    error = seen.error
    assert isinstance(error, ResponseFailedError)
    assert error.event is end
    assert error.delivery == "started"
    assert error.response_id == "resp_1"
    assert seen.errors[0][0] == 230
    assert end not in seen.values
    assert seen.subscriptions == [(200, 230)]


@reducing
def test_an_error_before_any_other_event_is_a_rejection(make: Callable[[], Operator[Any]]) -> None:
    error = run(make(), error_event()).error

    assert isinstance(error, ResponseFailedError)
    assert error.delivery == "rejected"
    assert error.response_id is None


@reducing
def test_each_response_in_a_row_is_judged_by_itself(make: Callable[[], Operator[Any]]) -> None:
    error = run(make(), created(), delta("x"), completed(), error_event()).error

    assert isinstance(error, ResponseFailedError)
    assert error.delivery == "rejected"


@reducing
@pytest.mark.parametrize("end", [incomplete(), completed(status="incomplete")], ids=["incomplete", "status"])
def test_scenario_53_incomplete_is_a_result(make: Callable[[], Operator[Any]], end: ServerEvent) -> None:
    seen = run(make(), created(), delta("x"), end)

    assert not seen.errors
    assert seen.completions == [213]


@pytest.mark.parametrize(
    "make", [rops.accumulate_response, rops.final_response, rops.usage, rops.collect_text, rops.function_calls]
)
def test_a_terminal_event_that_cannot_be_read_is_an_error_where_it_is_needed(make: Callable[[], Operator[Any]]) -> None:
    error = run(make(), created(), unknown(type="response.completed", response={"status": "completed"})).error

    assert isinstance(error, DecodeError)
    assert "response.completed" in str(error)
    assert "id" in str(error)


def test_scenario_04_all_that_the_server_said() -> None:
    error = failure(error_event())

    assert (error.code, error.type, error.status, error.param) == ("rate_limit_exceeded", "requests", 429, "model")
    assert error.headers == {"retry-after": "3"}
    assert error.stream_id == "main"
    assert str(error) == (
        "the server rejected the request (rate_limit_exceeded): slow down "
        "[wait, as long as the retry-after header says where there is one, and send it again]"
    )


FLAT = {"code": "server_error", "message": "oops", "param": "input"}
NESTED = {"error": {"type": "server_error", **FLAT, "headers": {"retry-after": "9"}}, "status": 500}


@pytest.mark.parametrize(
    ("frame", "kind", "status", "headers"),
    [
        ({"type": "error", **FLAT}, None, None, {}),
        ({"type": "error", "sequence_number": 4, **FLAT}, None, None, {}),
        ({"type": "error", **NESTED}, "server_error", 500, {"retry-after": "9"}),
        # the same in shapes that do not validate
        ({"type": "error", "sequence_number": "x", **FLAT}, None, None, {}),
        ({"type": "error", "sequence_number": "x", **NESTED}, "server_error", 500, {"retry-after": "9"}),
        ({"type": "response.failed", "response": {"id": "r", "error": FLAT}}, None, None, {}),
        ({"type": "response.failed", "response": {"id": "r", "output": 7, "error": FLAT}}, None, None, {}),
        ({"type": "response.completed", "response": {"id": "r", "status": "failed", "error": FLAT}}, None, None, {}),
        (
            {"type": "response.completed", "response": {"id": "r", "output": 7, "status": "failed", "error": FLAT}},
            None,
            None,
            {},
        ),
    ],
)
def test_scenario_04_every_wire_shape(
    frame: dict[str, Any], kind: str | None, status: int | None, headers: dict[str, str]
) -> None:
    error = failure(decode(json.dumps(frame)), created())

    assert (error.code, error.param, error.type, error.status) == ("server_error", "input", kind, status)
    assert error.headers == headers
    assert str(error) == "the response failed (server_error): oops [send it again after a while]"
    assert error.response_id == ("r" if "response" in frame else "resp_1")


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        ({"type": "error"}, "the server rejected the request: no reason given"),
        ({"type": "error", "error": "no such model"}, "the server rejected the request: no such model"),
        ({"type": "error", "error": {"type": "odd", "message": "m"}}, "the server rejected the request (odd): m"),
        ({"type": "error", "code": 400, "message": ["m"]}, "the server rejected the request (400): ['m']"),
        ({"type": "error", "status": "400", "message": "m"}, "the server rejected the request: m"),
        ({"type": "response.failed", "response": {"id": "r"}}, "the response failed: no reason given"),
        ({"type": "response.failed"}, "the response failed: no reason given"),
        ({"type": "response.failed", "response": None}, "the response failed: no reason given"),
        ({"type": "response.failed", "response": {"id": "r", "error": "x"}}, "the response failed: no reason given"),
    ],
)
def test_little_information_is_still_an_error(frame: dict[str, Any], text: str) -> None:
    error = failure(decode(json.dumps(frame)))

    assert str(error) == text
    assert error.status is None


@pytest.mark.parametrize(
    "event",
    [
        created(),
        delta("x"),
        completed(),
        incomplete(),
        completed(status="incomplete"),
        unknown(type="response.new"),
        unknown(type="response.completed", response={"status": "completed"}),
        unknown(type="response.incomplete"),
    ],
)
def test_what_is_no_failure(event: ServerEvent) -> None:
    assert failure_of(event) is None


def test_advice_names_what_to_do() -> None:
    event = decode('{"type": "error", "code": "previous_response_not_found", "message": "gone"}')

    assert "full input" in str(failure(event))


def test_response_ids() -> None:
    assert response_id_of(None) is None
    assert response_id_of(delta("x")) is None
    assert response_id_of(created(id="r")) == "r"
    assert response_id_of(unknown(type="response.created", response={"id": "r", "output": 7})) == "r"
    assert response_id_of(unknown(type="response.created", response=7)) is None
