from __future__ import annotations

import pytest

from rxresponses.testing.outputs import Text
from rxresponses.testing.replies import Failure, Gate

from .peer import answer


def test_a_text_is_cut_into_deltas_or_given_as_deltas() -> None:
    assert deltas(Text("Hello, world")) == ["Hello", ",", " world"]
    assert deltas(Text("Hello, world", ["Hello, wo", "rld"])) == ["Hello, wo", "rld"]
    assert Text(deltas=["\ud83c", "\udf89"]) == Text("ignored", ["\ud83c", "\udf89"])
    assert Text(deltas=["a", "b"]).text == "ab"
    assert deltas(Text()) == []


def deltas(text: Text) -> list[str]:
    return [event["delta"] for event in answer(text) if event["type"] == "response.output_text.delta"]


@pytest.mark.parametrize(
    ("failure", "status", "error_type"),
    [
        (Failure(), 500, "server_error"),
        (Failure("rate_limit_exceeded"), 429, "rate_limit_error"),
        (Failure("insufficient_quota"), 429, "insufficient_quota"),
        (Failure("context_length_exceeded"), 400, "invalid_request_error"),
        (Failure(None, status=418), 418, "server_error"),
        (Failure("x", status=400, type="own"), 400, "own"),
    ],
)
def test_a_failure_has_a_status_and_a_type(failure: Failure, status: int, error_type: str) -> None:
    assert (failure.http_status, failure.error_type) == (status, error_type)


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (Failure(), "The server had an error"),
        (Failure("rate_limit_exceeded"), "Rate limit reached"),
        (Failure("invalid_prompt"), "The prompt was refused"),
        (Failure("invalid_prompt", status=500), "The server had an error"),
        (Failure("model_not_found", status=404), "The request was refused with status 404."),
        (Failure("invalid_prompt", "No."), "No."),
        (Failure(message=""), ""),
    ],
)
def test_the_message_of_a_failure_fits_its_code(failure: Failure, message: str) -> None:
    assert failure.error_message.startswith(message)
    assert bool(failure.error_message) is bool(message)


def test_a_gate_stays_open_and_calls_back() -> None:
    calls = []
    gate = Gate(lambda: calls.append(1))
    assert not gate.is_open
    gate.open()
    gate.open()
    assert gate.is_open
    assert calls == [1, 1]
    Gate().open()
