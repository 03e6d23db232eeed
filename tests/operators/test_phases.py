"""The text of one `phase`: what a model says between its tool calls is not glued to its answer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from reactivex import Observable
from typing_extensions import assert_type

from rxresponses.operators import accumulate_text, collect_text, text_deltas
from rxresponses.wire.events import ServerEvent
from rxresponses.wire.models import ResponseOutputMessage, ResponseOutputText

from ..support.events import completed, created, delta, item_added, item_done, text_done, wire_event
from ..support.marbles import ManualSource, Operator, run


def said(text: str, phase: str | None, number: int, *, is_open: bool = False) -> ResponseOutputMessage:
    message = ResponseOutputMessage(id=f"msg_{number}", role="assistant", phase=phase)
    return message if is_open else replace(message, content=[ResponseOutputText(text=text)])


def streamed(text: str, phase: str | None, number: int) -> list[ServerEvent]:
    place = {"output_index": number, "item_id": f"msg_{number}"}
    return [
        item_added(said("", phase, number, is_open=True), number),
        delta(text[:2], **place),
        delta(text[2:3], **place),
        delta(text[3:], **place),
        text_done(text, **place),
        item_done(said(text, phase, number), number),
    ]


MESSAGES = [said("Let me look. ", "commentary", 0), said("It is 7.", "final_answer", 1)]
STREAMED = [
    created(),
    *streamed("Let me look. ", "commentary", 0),
    *streamed("It is 7.", "final_answer", 1),
    completed(*MESSAGES),
]
SOURCES = {
    "streamed": STREAMED,
    "the terminal event has no output": [*STREAMED[:-1], completed()],
    "whole items only": [created(), *(item_done(item, index) for index, item in enumerate(MESSAGES)), completed()],
    "the terminal event only": [created(), completed(*MESSAGES)],
    "no terminal event": STREAMED[:-1],
    "interleaved": [
        created(),
        *(event for pair in zip(STREAMED[1:7], STREAMED[7:13], strict=True) for event in pair),
        completed(*MESSAGES),
    ],
    "parts and no deltas": [
        created(),
        *(
            event
            for index, (text, phase) in enumerate([("Let me look. ", "commentary"), ("It is 7.", "final_answer")])
            for event in (
                item_added(said("", phase, index, is_open=True), index),
                wire_event(
                    "response.content_part.done",
                    output_index=index,
                    item_id=f"msg_{index}",
                    content_index=0,
                    part={"type": "output_text", "text": text, "annotations": []},
                ),
            )
        ),
        completed(),
    ],
}


@pytest.mark.parametrize("events", SOURCES.values(), ids=SOURCES.keys())
@pytest.mark.parametrize(("phase", "text"), [("commentary", "Let me look. "), ("final_answer", "It is 7.")])
def test_the_text_of_one_phase(events: list[ServerEvent], phase: str, text: str) -> None:
    assert "".join(run(text_deltas(phase=phase), *events).values) == text
    assert run(accumulate_text(phase=phase), *events).values[-1] == text
    assert run(collect_text(phase=phase), *events).values == [text]


@pytest.mark.parametrize("events", SOURCES.values(), ids=SOURCES.keys())
def test_without_a_phase_all_text_counts(events: list[ServerEvent]) -> None:
    assert run(collect_text(), *events).values == ["Let me look. It is 7."]


def test_each_piece_of_the_phase_comes_as_it_arrives() -> None:
    assert run(text_deltas(phase="final_answer"), *STREAMED).values == ["It", " ", "is 7."]
    assert run(accumulate_text(phase="final_answer"), *STREAMED).values == ["It", "It ", "It is 7."]


def test_a_message_without_a_phase_is_a_final_answer() -> None:
    events = [created(), *streamed("Hello", None, 0), completed(said("Hello", None, 0))]

    assert run(collect_text(phase="final_answer"), *events).values == ["Hello"]
    assert run(collect_text(phase="commentary"), *events).values == [""]


def test_a_phase_that_is_known_only_at_the_end_of_the_message() -> None:
    early = streamed("Let me look. ", None, 0)[:-1]
    events = [created(), *early, item_done(MESSAGES[0], 0), *streamed("It is 7.", "final_answer", 1)]

    for end in (completed(*MESSAGES), completed()):
        assert run(collect_text(phase="final_answer"), *events, end).values == ["It is 7."]
        assert run(accumulate_text(phase="final_answer"), *events, end).values[-1] == "It is 7."


def test_a_text_beside_the_output_is_of_no_phase() -> None:
    end = wire_event("response.completed", response={"id": "r", "output": [], "output_text": "Hello"})

    assert run(collect_text(phase="final_answer"), created(), end).values == ["Hello"]
    assert run(collect_text(phase="commentary"), created(), end).values == [""]


def test_an_unknown_phase_has_no_text() -> None:
    operators: list[Operator[str]] = [text_deltas(phase="x"), accumulate_text(phase="x")]
    assert [run(operator, *STREAMED).values for operator in operators] == [[], []]


def test_types() -> None:
    events = ManualSource[ServerEvent]().observable
    assert_type(events.pipe(text_deltas(phase="final_answer")), Observable[str])
    assert_type(events.pipe(collect_text(phase="final_answer")), Observable[str])
