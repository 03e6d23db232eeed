from __future__ import annotations

from reactivex import Observable
from typing_extensions import assert_type

from rxresponses.operators import text_deltas
from rxresponses.wire.codec import decode
from rxresponses.wire.events import ServerEvent

from ..support.events import EMOJI, HIGH, LOW, completed, created, delta, incomplete, message, text_done
from ..support.marbles import ManualSource, marbles, run


def test_marble_of_the_docstring() -> None:
    seen = marbles(
        text_deltas(), (210, created()), (220, delta("He")), (230, delta("llo")), (240, completed()), (250, None)
    )

    assert seen.timed == [(220, "He"), (230, "llo")]
    assert seen.completions == [250]


def test_empty_deltas_emit_nothing() -> None:
    assert run(text_deltas(), delta(""), delta("a"), delta("")).values == ["a"]


def test_items_and_parts_follow_one_another_as_they_arrive() -> None:
    events = [delta("a"), delta("b", output_index=2), delta("c", content_index=1)]

    assert run(text_deltas(), *events).values == ["a", "b", "c"]


def test_whole_texts_repeat_the_deltas() -> None:
    events = [created(), delta("a"), text_done("a"), completed(message("a"))]

    assert run(text_deltas(), *events).values == ["a"]


def test_a_server_without_deltas_gives_its_whole_texts() -> None:
    events = [created(), text_done("one, "), text_done("two", content_index=1), completed(message("one, two"))]

    assert run(text_deltas(), *events).values == ["one, ", "two"]


def test_a_server_without_text_events_gives_the_text_of_the_response() -> None:
    assert run(text_deltas(), created(), completed(message("one, "), message("two"))).values == ["one, two"]
    assert run(text_deltas(), incomplete(message("cut" + HIGH))).values == ["cut\ufffd"]


def test_several_responses_in_a_row() -> None:
    events = [created(), delta("a"), completed(), created(), text_done("b"), completed(), completed(message("c"))]

    assert run(text_deltas(), *events).values == ["a", "b", "c"]


def test_scenario_51_a_half_waits_for_its_other_half() -> None:
    seen = marbles(
        text_deltas(),
        (210, delta("a" + HIGH)),
        (220, delta(LOW + "b")),
        (230, delta(HIGH)),
        (240, delta(LOW)),
        (250, None),
    )

    assert seen.timed == [(210, "a"), (220, EMOJI + "b"), (240, EMOJI)]


def test_scenario_51_a_half_alone_at_the_end_becomes_a_replacement_character() -> None:
    assert run(text_deltas(), delta("a" + HIGH), completed()).values == ["a", "\ufffd"]
    assert run(text_deltas(), delta("a" + HIGH)).values == ["a", "\ufffd"]


def test_scenario_51_a_half_is_not_carried_over_to_the_next_response() -> None:
    """`switch_latest`, for example, cuts the first response off."""
    assert run(text_deltas(), created("cut"), delta("a" + HIGH), created(), delta(LOW + "b")).values == ["a", "\ufffdb"]


def test_scenario_51_from_the_wire() -> None:
    frames = [
        r'{"type": "response.output_text.delta", "delta": "party \ud83c"}',
        r'{"type": "response.output_text.delta", "delta": "\udf89!"}',
    ]

    assert "".join(run(text_deltas(), *map(decode, frames)).values) == f"party {EMOJI}!"


def test_an_unreadable_terminal_event_loses_no_text() -> None:
    end = decode('{"type": "response.completed", "response": 7}')

    assert run(text_deltas(), delta("a"), end).values == ["a"]
    assert run(text_deltas(), created(), end).errors


def test_type() -> None:
    assert_type(ManualSource[ServerEvent]().observable.pipe(text_deltas()), Observable[str])
