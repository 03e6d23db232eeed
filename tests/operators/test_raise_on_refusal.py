from __future__ import annotations

import pytest
from reactivex import Observable
from typing_extensions import assert_type

from rxresponses import ResponseOutputMessage, ResponseOutputRefusal, ResponseRefusedError, ServerEvent
from rxresponses.backoff import is_retryable
from rxresponses.operators import collect_text, raise_on_refusal, text_deltas

from ..support.events import (
    completed,
    created,
    delta,
    error_event,
    failed,
    incomplete,
    item_done,
    message,
    wire_event,
)
from ..support.marbles import ManualSource, marbles, run

PLACE = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
WIRE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "content": [{"type": "refusal", "refusal": "I will not."}],
}


def refusal(text: str = "I will not.") -> ResponseOutputMessage:
    return ResponseOutputMessage(
        id="msg_1", role="assistant", status="completed", content=[ResponseOutputRefusal(refusal=text)]
    )


def refusal_delta(text: str) -> ServerEvent:
    return wire_event("response.refusal.delta", delta=text, **PLACE)


def test_scenario_70_marble_of_the_docstring() -> None:
    end = completed(refusal())
    said = refusal_delta("I will not.")
    seen = marbles(raise_on_refusal(), (210, created()), (220, said), (230, end), (240, None))

    assert seen.timed == [(210, created()), (220, said)]
    assert isinstance(seen.error, ResponseRefusedError)
    assert seen.error.event is end
    assert (seen.error.refusal, seen.error.response_id) == ("I will not.", "resp_1")
    assert seen.error.delivery == "started"
    assert str(seen.error) == "the model refused to answer: I will not."
    assert not is_retryable(seen.error)


@pytest.mark.parametrize(
    "events",
    [
        [completed(refusal())],
        [incomplete(refusal())],
        [item_done(refusal()), completed()],
        [refusal_delta("I will"), wire_event("response.refusal.done", refusal="I will not.", **PLACE), completed()],
        [refusal_delta("I will "), refusal_delta("not."), completed()],
        [wire_event("response.completed", response={"id": 7, "output": [WIRE]})],
        [item_done(refusal()), wire_event("response.completed", response=7)],
        [wire_event("response.refusal.delta", delta="I will "), refusal_delta("not."), completed()],
        [refusal_delta("I will not."), completed(refusal(""))],
        [wire_event("response.content_part.done", part=WIRE["content"][0], **PLACE), completed()],
        [refusal_delta("I will"), item_done(refusal()), completed()],
    ],
)
def test_scenario_70_every_source_of_a_refusal(events: list[ServerEvent]) -> None:
    seen = run(raise_on_refusal(), created(), *events)

    assert seen.values == [created(), *events[:-1]]
    assert isinstance(seen.error, ResponseRefusedError)
    assert seen.error.refusal == "I will not."


def test_scenario_70_a_refusal_that_came_only_behind_the_text() -> None:
    said = wire_event("response.refusal.delta", **{**PLACE, "content_index": 1}, delta="No.")
    error = run(raise_on_refusal(), created(), delta("Well. "), said, completed()).error

    assert isinstance(error, ResponseRefusedError)
    assert error.refusal == "No."


def test_scenario_70_text_beside_a_refusal() -> None:
    both = message("Well. ")
    both.content.append(ResponseOutputRefusal(refusal="No."))
    error = run(raise_on_refusal(), created(), completed(both)).error

    assert isinstance(error, ResponseRefusedError)
    assert error.refusal == "No."


@pytest.mark.parametrize("end", [completed(message("x")), failed(), error_event(), incomplete(message("x"))])
def test_scenario_70_all_else_passes(end: ServerEvent) -> None:
    assert run(raise_on_refusal(), created(), delta("x"), end).values == [created(), delta("x"), end]


def test_scenario_70_each_response_has_its_own_refusal() -> None:
    events = [created(), refusal_delta("no"), failed(), created(), completed(message("yes"))]

    assert run(raise_on_refusal(), *events).values == events


def test_scenario_70_what_other_operators_make_of_a_refusal() -> None:
    events = [created(), refusal_delta("no"), completed(refusal("no"))]

    assert run(collect_text(), *events).values == [""]
    assert run(text_deltas(), *events).values == []
    assert isinstance(
        run(lambda source: source.pipe(raise_on_refusal(), collect_text()), *events).error, ResponseRefusedError
    )


def test_type_is_kept() -> None:
    source = ManualSource[ServerEvent]().observable

    assert_type(source.pipe(raise_on_refusal()), Observable[ServerEvent])
