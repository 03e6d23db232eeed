from __future__ import annotations

import pytest
from reactivex import Observable
from typing_extensions import assert_type

from rxresponses import ResponseIncompleteError, ServerEvent
from rxresponses.backoff import is_retryable
from rxresponses.operators import raise_on_incomplete
from rxresponses.wire.models import ResponseOutputMessage

from ..support.events import completed, created, delta, error_event, failed, incomplete, message, wire_event
from ..support.marbles import ManualSource, marbles, run


def test_scenario_70_marble_of_the_docstring() -> None:
    end = incomplete(message("He"))
    seen = marbles(raise_on_incomplete(), (210, created()), (220, delta("He")), (230, end), (240, None))

    assert seen.timed == [(210, created()), (220, delta("He"))]
    assert isinstance(seen.error, ResponseIncompleteError)
    assert seen.error.event is end
    assert (seen.error.reason, seen.error.response_id) == ("max_output_tokens", "resp_1")
    assert seen.error.delivery == "started"
    assert str(seen.error) == "the response is incomplete: max_output_tokens"
    assert not is_retryable(seen.error)


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (completed(status="incomplete"), None),
        (completed(status="cancelled"), None),
        (wire_event("response.incomplete", response=7), None),
        (
            wire_event(
                "response.completed",
                response={"id": 7, "status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            ),
            "content_filter",
        ),
        (wire_event("response.incomplete", response={"id": "r", "incomplete_details": {"reason": 7}}), None),
    ],
)
def test_scenario_70_other_forms_of_a_cut_answer(end: ServerEvent, reason: str | None) -> None:
    error = run(raise_on_incomplete(), created(), end).error

    assert isinstance(error, ResponseIncompleteError)
    if reason is not None:
        assert error.reason == reason


@pytest.mark.parametrize("end", [completed(message("x")), failed(), error_event(), wire_event("response.completed")])
def test_scenario_70_all_else_passes(end: ServerEvent) -> None:
    assert run(raise_on_incomplete(), created(), end, created()).values == [created(), end, created()]


@pytest.mark.parametrize(("end", "text"), [((), "He"), ((message("He"),), "He"), ((message("Hello"),), "Hello")])
def test_scenario_70_the_error_has_the_text_so_far(end: tuple[ResponseOutputMessage, ...], text: str) -> None:
    error = run(raise_on_incomplete(), created(), delta("H"), delta("e"), incomplete(*end)).error

    assert isinstance(error, ResponseIncompleteError)
    assert error.text == text


def test_scenario_70_the_text_is_that_of_the_cut_response() -> None:
    whole = [created(), delta("whole"), completed()]
    error = run(raise_on_incomplete(), *whole, created(), delta("cu"), incomplete()).errors[0][1]

    assert isinstance(error, ResponseIncompleteError)
    assert error.text == "cu"


def test_type_is_kept() -> None:
    source = ManualSource[ServerEvent]().observable

    assert_type(source.pipe(raise_on_incomplete()), Observable[ServerEvent])
