from __future__ import annotations

import pytest
from reactivex import Observable
from typing_extensions import assert_type

from rxresponses.operators import refusals
from rxresponses.wire.events import ServerEvent
from rxresponses.wire.models import ResponseOutputMessage, ResponseOutputRefusal

from ..support.events import HIGH, completed, created, delta, incomplete, item_done, message, wire_event
from ..support.marbles import ManualSource, marbles, run

PLACE = {"item_id": "msg_1", "output_index": 0, "content_index": 0}


def refusal(text: str = "I will not.") -> ResponseOutputMessage:
    part = ResponseOutputRefusal(refusal=text)
    return ResponseOutputMessage(id="msg_1", role="assistant", status="completed", content=[part])


def refusal_delta(text: str) -> ServerEvent:
    return wire_event("response.refusal.delta", delta=text, **PLACE)


def test_marble_of_the_docstring() -> None:
    steps = [(210, created()), (220, refusal_delta("I can")), (230, refusal_delta("not"))]
    seen = marbles(refusals(), *steps, (240, completed()), (250, None))

    assert seen.timed == [(220, "I can"), (230, "not")]
    assert seen.completions == [250]


@pytest.mark.parametrize(
    ("events", "pieces"),
    [
        ([completed(refusal())], ["I will not."]),
        ([incomplete(refusal())], ["I will not."]),
        ([item_done(refusal()), completed()], ["I will not."]),
        ([item_done(refusal()), completed(refusal())], ["I will not."]),
        ([refusal_delta("I will"), item_done(refusal())], ["I will", " not."]),
        ([refusal_delta("I will "), refusal_delta("not."), completed(refusal())], ["I will ", "not."]),
        (
            [refusal_delta("I will"), wire_event("response.refusal.done", refusal="I will not.", **PLACE), completed()],
            ["I will", " not."],
        ),
        ([wire_event("response.refusal.done", refusal="No.", **PLACE), completed()], ["No."]),
        ([refusal_delta("No"), completed(refusal("Never."))], ["No"]),
        ([refusal_delta("No"), wire_event("response.completed", response=7)], ["No"]),
        ([refusal_delta("No" + HIGH), completed(refusal())], ["No"]),
        ([refusal_delta("No" + HIGH), completed()], ["No", "\ufffd"]),
    ],
)
def test_every_source_of_a_refusal(events: list[ServerEvent], pieces: list[str]) -> None:
    assert run(refusals(), created(), *events).values == pieces


def test_a_text_is_no_refusal() -> None:
    events = [created(), delta("Yes"), item_done(message("Yes")), completed(message("Yes"))]

    assert run(refusals(), *events).values == []


def test_several_responses_in_a_row() -> None:
    whole = [created(), refusal_delta("No."), completed(refusal("No."))]
    cut = [created("cut"), refusal_delta("Never")]
    again = [created("resp_2"), item_done(refusal("Never.")), completed()]

    assert run(refusals(), *whole, *whole, *cut, *again).values == ["No.", "No.", "Never", "Never."]


def test_a_created_that_comes_twice_is_of_the_open_response() -> None:
    assert run(refusals(), created(), refusal_delta("No."), created(), completed(refusal("No."))).values == ["No."]


def test_type() -> None:
    assert_type(ManualSource[ServerEvent]().observable.pipe(refusals()), Observable[str])
