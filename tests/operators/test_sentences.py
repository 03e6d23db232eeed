from __future__ import annotations

from itertools import accumulate
from pathlib import Path

import pytest
import reactivex
from hypothesis import given
from hypothesis import strategies as st
from reactivex import Observable
from typing_extensions import assert_type

from rxresponses import UnreadableResponseError
from rxresponses.operators import sentences, text_deltas
from rxresponses.wire.codec import decode
from rxresponses.wire.events import ResponseContentPartDoneEvent, ServerEvent
from rxresponses.wire.models import ResponseOutputMessage, ResponseOutputText

from ..support.events import (
    HIGH,
    completed,
    created,
    delta,
    failed,
    incomplete,
    item_added,
    item_done,
    message,
    text_done,
)
from ..support.marbles import ManualSource, marbles, run
from ..support.paths import TRANSCRIPTS
from .test_sentence_ends import texts

FILES = sorted(TRANSCRIPTS.glob("*.jsonl"))


def test_marble_of_the_docstring() -> None:
    events = [delta("Hello"), delta("."), delta(" How"), delta(" are you?")]
    seen = marbles(
        sentences(), (210, created()), *zip((220, 230, 240, 250), events, strict=True), (260, completed()), (270, None)
    )

    assert seen.timed == [(240, "Hello. "), (260, "How are you?")]
    assert seen.completions == [270]


def test_without_the_white_space() -> None:
    assert run(sentences(strip=True), delta("\n A. B.\n\n"), delta(" \n"), completed()).values == ["A. B."]
    assert run(sentences(strip=True), delta(" \n"), completed()).values == []


def test_without_code() -> None:
    assert run(sentences(code=False), delta("A:\n\n```\nb\n```\nC"), completed()).values == ["A:\n\n", "C"]


def test_a_bound_on_the_length() -> None:
    assert run(sentences(max_length=5), delta("one, two"), completed()).values == ["one, ", "two"]


def test_the_rest_of_a_part_comes_with_its_end() -> None:
    events = [
        created(),
        delta("One"),
        text_done("One."),
        delta("Two", content_index=1),
        ResponseContentPartDoneEvent(
            part=ResponseOutputText(text="Two"), output_index=0, item_id="msg_1", content_index=1
        ),
        delta("Three", output_index=1),
        item_done(message("Three"), 1),
        delta("Four", output_index=2),
        delta("Five", output_index=3),
        completed(),
    ]
    seen = marbles(sentences(), *zip(range(210, 220), events, strict=True), (230, None))

    assert seen.timed == [(212, "One."), (214, "Two"), (216, "Three"), (218, "Four"), (219, "Five")]


def test_the_end_of_another_part_ends_no_sentence() -> None:
    events = [created(), text_done("x", output_index=1), delta("One"), text_done("x", output_index=1), delta(" two")]

    assert run(sentences(), *events, completed()).values == ["x", "One two"]


def test_the_end_of_an_item_completes_its_text() -> None:
    assert run(sentences(), created(), delta("One"), item_done(message("One. T")), completed()).values == ["One. ", "T"]


def test_the_terminal_event_completes_the_text() -> None:
    assert run(sentences(), created(), delta("One"), completed(message("One. T"))).values == ["One. ", "T"]
    assert run(sentences(), created(), delta("One."), incomplete(message("One."))).values == ["One."]


def test_parts_that_only_the_terminal_event_has() -> None:
    assert run(sentences(), created(), completed(message("One."), message("Two."))).values == ["One.", "Two."]
    assert run(sentences(), completed(message("One" + HIGH), message("Two"))).values == ["One\ufffdTwo"]


def test_of_one_phase() -> None:
    comment, answer = (
        ResponseOutputMessage(id=phase, role="assistant", phase=phase, content=[ResponseOutputText(text=text)])
        for phase, text in (("commentary", "Let me see."), ("final_answer", "It is"))
    )
    more = message(" good. So.")
    assert run(sentences(phase="final_answer"), created(), completed(comment, answer, more)).values == [
        *("It is", " good. ", "So.")
    ]
    assert run(sentences(), created(), completed(comment, answer)).values == ["Let me see.", "It is"]
    events = [item_added(comment), delta("Let me see.", item_id="commentary"), item_done(comment)]
    assert run(sentences(phase="final_answer"), created(), *events, completed(comment, answer)).values == ["It is"]


def test_the_text_that_is_left_comes_before_an_error() -> None:
    seen = run(sentences(), created(), delta("One. Tw"), delta(HIGH), failed())
    assert seen.values == ["One. ", "Tw\ufffd"]
    assert seen.errors

    error = OSError("lost")
    seen = marbles(sentences(), (210, delta("One. Tw")), (220, error))
    assert seen.timed == [(210, "One. "), (220, "Tw")]
    assert seen.error is error


def test_an_unreadable_terminal_event() -> None:
    end = decode('{"type": "response.completed", "response": 7}')

    assert run(sentences(), delta("One. T"), end).values == ["One. ", "T"]
    assert isinstance(run(sentences(), created(), end).error, UnreadableResponseError)


def test_several_responses_in_a_row() -> None:
    events = [created("a"), delta("One"), completed(id="a"), created("a"), delta("Two"), completed(id="a")]

    assert run(sentences(), *events).values == ["One", "Two"]


def test_a_response_that_is_replaced_leaves_no_half_sentence() -> None:
    events = [created("a"), delta("One. Tw"), delta(HIGH), created("b"), delta("Three"), completed(id="b")]

    assert run(sentences(), *events).values == ["One. ", "Three"]


def test_a_repeated_created_changes_nothing() -> None:
    events = [created("a"), delta("One"), created("a"), delta(" two"), completed(id="a")]

    assert run(sentences(), *events).values == ["One two"]


def test_a_source_of_text() -> None:
    pieces = reactivex.of("One", ". Two", ". ")
    seen: list[str] = []
    pieces.pipe(sentences()).subscribe(seen.append)
    assert seen == ["One. ", "Two. "]

    seen.clear()
    reactivex.of(created(), delta("One. T"), completed()).pipe(text_deltas(), sentences()).subscribe(seen.append)
    assert seen == ["One. ", "T"]


@pytest.mark.parametrize("wrong", [0, -1, 100_001])
def test_a_bound_that_is_none(wrong: int) -> None:
    with pytest.raises(ValueError, match="from 1 to 100000"):
        sentences(max_length=wrong)


@pytest.mark.parametrize("wrong", [True, 1.5, "5", None])
def test_a_bound_of_a_wrong_type(wrong: object) -> None:
    with pytest.raises(TypeError, match="integer"):
        sentences(max_length=wrong)  # type: ignore[arg-type]


@given(parts=st.lists(texts, min_size=1, max_size=3), size=st.integers(1, 9))
def test_the_text_is_that_of_text_deltas(parts: list[str], size: int) -> None:
    events: list[ServerEvent] = [created()]
    for number, text in enumerate(parts):
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        events += [delta(piece, output_index=number) for piece in pieces]
    events.append(completed())

    assert "".join(run(sentences(), *events).values) == "".join(run(text_deltas(), *events).values)


@pytest.mark.skipif(not FILES, reason=f"no recorded streams in {TRANSCRIPTS}")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_recorded_streams(path: Path) -> None:
    events = [decode(line) for line in path.read_bytes().splitlines()]
    deltas, found = run(text_deltas(), *events), run(sentences(), *events)

    assert "".join(found.values) == "".join(deltas.values)
    if found.values:
        left, first = found.timed[0]
        lengths = accumulate(len(delta) for delta in deltas.values)
        ended = next(
            time for (time, _), length in zip(deltas.timed, lengths, strict=True) if length >= len(first.rstrip())
        )
        assert len([time for time, _ in deltas.timed if ended < time <= left]) <= 1


def test_type() -> None:
    assert_type(ManualSource[ServerEvent]().observable.pipe(sentences()), Observable[str])
    assert_type(ManualSource[str]().observable.pipe(sentences()), Observable[str])
