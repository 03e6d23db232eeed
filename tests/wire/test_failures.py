"""How every reducing operator turns a failed response into one typed error."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from rxresponses import operators as rops
from rxresponses.errors import DecodeError, ResponseFailedError, SteerPendingError, UnreadableResponseError
from rxresponses.wire.codec import decode
from rxresponses.wire.events import ServerEvent, UnknownEvent
from rxresponses.wire.failures import failure_of, pending_of

from ..operators.test_contract import ANSWERING, CASES, REDUCING
from ..support.events import (
    accepted,
    completed,
    created,
    delta,
    error_event,
    failed,
    incomplete,
    pending,
    refused,
    wire_event,
)
from ..support.marbles import Operator, marbles, run

TEXT = '{"all": []}'
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
    seen = marbles(make(), (210, created()), (220, delta(TEXT)), (230, end), (240, failed()), (250, None))

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
def test_each_response_of_a_sequence_is_judged_by_itself(make: Callable[[], Operator[Any]]) -> None:
    error = run(make(), created(), delta(TEXT), completed(), error_event()).error

    assert isinstance(error, ResponseFailedError)
    assert error.delivery == "rejected"


@pytest.mark.parametrize("make", [CASES[name].make for name in REDUCING if name not in ANSWERING])
@pytest.mark.parametrize("end", [incomplete(), completed(status="incomplete")], ids=["incomplete", "status"])
def test_scenario_53_incomplete_is_a_result(make: Callable[[], Operator[Any]], end: ServerEvent) -> None:
    seen = run(make(), created(), delta(TEXT), end)

    assert not seen.errors
    assert seen.completions == [213]


@reducing
@pytest.mark.parametrize("before", [[], [accepted()], [created(), delta(TEXT)]], ids=["at once", "later", "in a merge"])
def test_scenario_37_a_refused_steer_is_a_rejection(make: Callable[[], Operator[Any]], before: list[Any]) -> None:
    end = refused()
    seen = run(make(), *before, end, created(), completed())

    error = seen.error
    assert isinstance(error, ResponseFailedError)
    assert error.event is end
    assert end not in seen.values
    assert error.delivery == "rejected"
    assert (error.code, error.type, error.status) == ("response_already_completed", "invalid_request_error", None)
    assert (error.response_id, error.stream_id) == (None, "main")
    assert seen.subscriptions == [(200, 210 + len(before))]


@pytest.mark.parametrize("make", [CASES[name].make for name in REDUCING if name != "raise_on_failure"])
@pytest.mark.parametrize("before", [[], [accepted()], [created(), delta(TEXT), completed()]])
def test_scenario_37_a_pending_steer_is_an_error_where_a_result_is_expected(
    make: Callable[[], Operator[Any]], before: list[Any]
) -> None:
    end = pending()
    seen = run(make(), *before, end)

    error = seen.error
    assert isinstance(error, SteerPendingError)
    assert error.event is end
    assert error.required_input == tuple(end.required_input)
    assert (error.response_id, error.stream_id, error.delivery) == ("resp_1", "main", "started")
    assert seen.subscriptions == [(200, 210 + len(before))]


@reducing
def test_scenario_37_the_response_that_follows_a_steer_is_judged_by_itself(make: Callable[[], Operator[Any]]) -> None:
    seen = run(make(), accepted(), created("resp_2"), delta(TEXT), completed())
    assert not seen.errors

    for before, response_id in (([created("resp_2"), delta(TEXT)], "resp_2"), ([], None)):
        error = run(make(), accepted(), *before, error_event()).error
        assert isinstance(error, ResponseFailedError)
        assert (error.delivery, error.response_id) == ("started", response_id)


@pytest.mark.parametrize(
    "make", [rops.accumulate_response, rops.final_response, rops.usage, rops.collect_text, rops.function_calls]
)
def test_an_unreadable_terminal_event_is_an_error_where_its_response_is_needed(
    make: Callable[[], Operator[Any]],
) -> None:
    event = unknown(type="response.completed", response="?", stream_id="main")
    error = run(make(), created(), event).error

    assert isinstance(error, UnreadableResponseError)
    assert isinstance(error, DecodeError)
    assert (error.delivery, error.event, error.stream_id) == ("started", event, "main")
    assert "response.completed" in str(error)
    assert "expected an object" in str(error)


def test_scenario_04_the_error_has_all_facts_of_the_event() -> None:
    error = failure(error_event())

    assert (error.code, error.type, error.status, error.param) == ("rate_limit_exceeded", "requests", 429, "model")
    assert dict(error.headers) == {"retry-after": "3"}
    assert error.headers["Retry-After"] == "3"
    assert error.stream_id == "main"
    assert str(error) == (
        "the server rejected the request (rate_limit_exceeded): slow down "
        "[wait, for the time in the retry-after header if there is one, and send it again]"
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
        ({"type": "error", "stream_id": 5, **FLAT}, None, None, {}),
        ({"type": "error", "stream_id": 5, **NESTED}, "server_error", 500, {"retry-after": "9"}),
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
        ({"type": "error", "error": "no", "stream_id": 5}, "the server rejected the request: no"),
        ({"type": "error", "error": {"type": "odd", "message": "m"}}, "the server rejected the request (odd): m"),
        ({"type": "error", "code": 400, "message": ["m"]}, "the server rejected the request (400): ['m']"),
        ({"type": "error", "status": "400", "message": "m"}, "the server rejected the request: m"),
        ({"type": "response.failed", "response": {"id": "r"}}, "the response failed: no reason given"),
        ({"type": "response.failed"}, "the response failed: no reason given"),
        ({"type": "response.failed", "response": None}, "the response failed: no reason given"),
        ({"type": "response.failed", "response": {"id": "r", "error": "x"}}, "the response failed: x"),
    ],
)
def test_an_event_with_few_facts_is_still_an_error(frame: dict[str, Any], text: str) -> None:
    error = failure(decode(json.dumps(frame)))

    assert str(error) == text
    assert error.status == (400 if frame.get("status") == "400" or frame.get("code") == 400 else None)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (
            refused(),
            "the server refused the steer (response_already_completed): too late "
            "[the input came back: send it as a request of its own]",
        ),
        (
            refused("invalid_input"),
            "the server refused the steer (invalid_input): too late "
            "[the input came back: correct it, then send it as a request of its own]",
        ),
        (
            decode('{"type": "response.steer.failed", "steer": {}}'),
            "the server refused the steer: no reason given [the input came back: send it as a request of its own]",
        ),
        (
            unknown(type="response.steer.failed", error={"code": "c", "message": "m"}),
            "the server refused the steer (c): m [the input came back: send it as a request of its own]",
        ),
        (
            unknown(type="response.steer.failed", error="no"),
            "the server refused the steer: no [the input came back: send it as a request of its own]",
        ),
        (
            decode('{"type": "response.steer.failed", "steer": {}, "error": ["no"]}'),
            "the server refused the steer: no [the input came back: send it as a request of its own]",
        ),
    ],
)
def test_scenario_37_a_refused_steer_says_what_to_do(event: ServerEvent, text: str) -> None:
    assert str(failure(event)) == text


def test_a_pending_steer_that_cannot_be_read() -> None:
    error = pending_of(unknown(type="response.steer.pending", steer=7))

    assert (error.required_input, error.response_id) == ((), None)
    assert "one ResponseCreate" in str(error)


@pytest.mark.parametrize(
    "event",
    [
        accepted(),
        pending(),
        created(),
        delta("x"),
        completed(),
        incomplete(),
        completed(status="incomplete"),
        unknown(type="response.new"),
        unknown(type="response.completed", response=7),
        unknown(type="response.incomplete"),
    ],
)
def test_other_events_are_no_failures(event: ServerEvent) -> None:
    assert failure_of(event) is None


def test_the_text_advises_what_to_do() -> None:
    event = decode('{"type": "error", "code": "previous_response_not_found", "message": "gone"}')

    assert "full input" in str(failure(event))


LIMITED = {"code": "rate_limit_exceeded", "message": "Please try again in 0.2s."}


@pytest.mark.parametrize(
    ("response", "without_output"),
    [
        ({}, True),
        ({"output": [], "usage": None}, True),
        ({"usage": {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}}, True),
        ({"usage": {"input_tokens": 3, "output_tokens": 0, "total_tokens": 3}}, False),
        ({"output": [{"type": "message", "id": "m", "role": "assistant", "content": []}]}, False),
        # the same in shapes that do not validate
        ({"metadata": 7}, True),
        ({"metadata": 7, "usage": {"input_tokens": 3}}, False),
        ({"metadata": 7, "usage": {"input_tokens": 0}}, True),
        ({"output": 7}, False),
        ({"usage": "much"}, False),
    ],
)
def test_scenario_64_a_response_without_output_and_usage(response: dict[str, Any], without_output: bool) -> None:
    frame = {"type": "response.failed", "response": {"id": "r", "status": "failed", "error": LIMITED, **response}}
    event = decode(json.dumps(frame))
    error = failure_of(event, created(), has_output=False)

    assert error is not None
    assert (error.delivery, error.without_output, error.retry_after) == ("started", without_output, 0.2)
    assert failure(event).without_output is without_output
    assert failure(event, created()).without_output is False  # output may have come since


def test_scenario_64_an_error_event_tells_nothing_of_the_output() -> None:
    assert not failure(error_event()).without_output
    assert not failure(decode('{"type": "error", "sequence_number": "x"}')).without_output


def test_scenario_64_an_error_inside_a_response_that_has_shown_no_output() -> None:
    for event in (error_event(), decode('{"type": "error", "stream_id": 5}')):
        error = failure_of(event, created(), has_output=False)
        assert error is not None
        assert (error.delivery, error.without_output) == ("started", True)
        assert not failure(event, created()).without_output


@pytest.mark.parametrize("broken", [{}, {"stream_id": 5}], ids=["valid", "not valid"])
def test_scenario_64_an_error_in_the_status_details(broken: dict[str, Any]) -> None:
    response = {"id": "r", "status": "failed", "output": [], "status_details": {"type": "failed", "error": LIMITED}}
    error = failure(decode(json.dumps({"type": "response.done", "response": response, **broken})))
    assert (error.code, error.retry_after) == ("rate_limit_exceeded", 0.2)


@pytest.mark.parametrize("broken", [{}, {"sequence_number": "x"}], ids=["valid", "not valid"])
@pytest.mark.parametrize(
    "facts",
    [
        {"status_code": 429, "error": {"type": "usage_limit_reached", "resets_in_seconds": 90, "resets_at": 5000}},
        {"status": 429, "resets_in_seconds": 90, "resets_at": 5000, "error": {"type": "usage_limit_reached"}},
        {"error": {"status": 429, "type": "usage_limit_reached", "resets_in_seconds": 90, "resets_at": 5000}},
        {"error": {"status_code": 429, "type": "usage_limit_reached", "retry_after": 90, "resets_at": 5000}},
    ],
)
def test_scenario_64_limits_in_the_fields_of_an_error(facts: dict[str, Any], broken: dict[str, Any]) -> None:
    error = failure(decode(json.dumps({"type": "error", **facts, **broken})))

    assert (error.type, error.status, error.retry_after, error.resets_at) == ("usage_limit_reached", 429, 90, 5000)
    assert "the limit of the plan" in str(error)


def test_scenario_64_limits_in_the_fields_of_a_failed_response() -> None:
    detail = {"code": "usage_limit_reached", "resets_in_seconds": 90}
    metadata: object
    for metadata in ({}, 7):
        frame = {"type": "response.failed", "response": {"id": "r", "error": detail, "metadata": metadata}}
        assert failure(decode(json.dumps(frame))).retry_after == 90


SLOW = {"message": "Please try again in 1m2.5s", "code": "rate_limit_exceeded"}


@pytest.mark.parametrize("kind", ["error", "response.failed", "response.error", "response.done"])
@pytest.mark.parametrize("broken", [{}, {"stream_id": 5}], ids=["valid", "not valid"])
@pytest.mark.parametrize(
    ("error", "code", "message", "wait"),
    [
        ("Please try again in 20ms", None, "Please try again in 20ms", 0.02),
        ("rate_limit_exceeded", "rate_limit_exceeded", "rate_limit_exceeded", None),
        ([SLOW, {"message": "other"}], "rate_limit_exceeded", "Please try again in 1m2.5s", 62.5),
        (["Please try again in 20ms"], None, "Please try again in 20ms", 0.02),
        ([], None, "no reason given", None),
        ({"code": 429.0}, "429", "no reason given", None),
        ({"code": "slow_down", "retry_after_ms": 1500}, "slow_down", "no reason given", 1.5),
        ({"code": "slow_down", "metadata": {"retry_after": 2}}, "slow_down", "no reason given", 2.0),
    ],
)
def test_scenario_64_an_error_in_any_shape(
    kind: str, broken: dict[str, Any], error: Any, code: str | None, message: str, wait: float | None
) -> None:
    is_inside = kind in ("response.failed", "response.done")
    place = {"response": {"id": "r", "status": "failed", "error": error}} if is_inside else {"error": error}
    found = failure(decode(json.dumps({"type": kind, **place, **broken})))

    assert (found.code, found.retry_after) == (code, wait)
    assert message in str(found)


@pytest.mark.parametrize("broken", [{}, {"stream_id": 5}], ids=["valid", "not valid"])
@pytest.mark.parametrize(
    "facts",
    [
        {"headers": {"Retry-After": 9}, "status_code": "429"},
        {"headers": {"Retry-After": 9}, "error": {"statusCode": 429}},
        {"error": {"headers": {"Retry-After": 9}, "status": 429.0}},
        {"error": {"metadata": {"headers": {"Retry-After": 9}}, "http_status": 429}},
        {"error": [{"headers": {"Retry-After": 9}, "status": 429}]},
    ],
)
def test_scenario_64_headers_and_status_of_an_error_wherever_they_are(
    facts: dict[str, Any], broken: dict[str, Any]
) -> None:
    found = failure(decode(json.dumps({"type": "error", **facts, **broken})))

    assert (found.headers["retry-after"], found.status) == ("9", 429)


@pytest.mark.parametrize("status", ["4290", "4x9", "²⁹⁴", "", True, [429], 429.5, 1e400, 0, -1, 10**30])
def test_scenario_64_what_is_no_http_status(status: object) -> None:
    assert failure(decode(json.dumps({"type": "error", "status": status}))).status is None


@pytest.mark.parametrize("kind", ["error", "response.failed", "response.done"])
@pytest.mark.parametrize("readable", [True, False])
def test_scenario_69_texts_of_megabytes_are_not_kept_in_errors(kind: str, readable: bool) -> None:
    long = {name: name + "x" * 10**6 + "end" for name in ("message", "code", "type", "param")}
    fields: dict[str, Any] = {"error": long} if kind == "error" else {"response": {"id": "r", "error": long}}
    failure = failure_of(wire_event(kind, **fields, **({} if readable else {"sequence_number": "x"})))
    assert failure is not None
    assert failure.event is not None
    assert len(str(failure)) < 25_000
    assert str(failure).count("characters left out") == 2
    assert str(failure).endswith("end")
    assert all(len(value or "") < 11_000 for value in (failure.code, failure.type, failure.param))


def test_a_text_of_usual_length_is_whole() -> None:
    failure = failure_of(wire_event("error", error={"message": "m" * 10_000}))
    assert str(failure).endswith(": " + "m" * 10_000)
