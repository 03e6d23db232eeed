from __future__ import annotations

from reactivex import Observable
from typing_extensions import assert_type

from rxresponses.operators import accumulate_text
from rxresponses.wire.codec import decode
from rxresponses.wire.events import ServerEvent

from ..support.events import EMOJI, HIGH, LOW, completed, created, delta, incomplete, message, text_done
from ..support.marbles import ManualSource, marbles, run


def test_marble_of_the_docstring() -> None:
    seen = marbles(
        accumulate_text(), (210, created()), (220, delta("He")), (230, delta("llo")), (240, completed()), (250, None)
    )

    assert seen.timed == [(220, "He"), (230, "Hello")]
    assert seen.completions == [250]


def test_scenario_07_a_warm_up_emits_nothing_and_completes() -> None:
    seen = run(accumulate_text(), created(), completed())

    assert not seen.timed
    assert seen.completions == [212]


def test_an_emission_does_not_change_later() -> None:
    values = run(accumulate_text(), *[delta("ab")] * 100).values

    assert values == ["ab" * count for count in range(1, 101)]


def test_a_server_without_deltas() -> None:
    parts = [text_done("one, "), text_done("two", content_index=1)]

    assert run(accumulate_text(), *parts, completed()).values == ["one, ", "one, two"]
    assert run(accumulate_text(), incomplete(message("all"))).values == ["all"]


def test_several_responses_in_a_row_each_begin_empty() -> None:
    events = [created(), delta("a"), completed(), created("second"), delta("b"), created("third"), delta("c")]

    assert run(accumulate_text(), *events).values == ["a", "b", "c"]


def test_scenario_51_nothing_between_the_halves() -> None:
    seen = marbles(accumulate_text(), (210, delta("a")), (220, delta(HIGH)), (230, delta(LOW)), (240, completed()))

    assert seen.timed == [(210, "a"), (230, "a" + EMOJI)]


def test_scenario_51_a_half_alone_at_the_end() -> None:
    assert run(accumulate_text(), delta("a" + HIGH), completed()).values == ["a", "a\ufffd"]
    assert run(accumulate_text(), delta("a" + HIGH)).values == ["a", "a\ufffd"]


def test_an_unreadable_terminal_event() -> None:
    end = decode('{"type": "response.completed", "response": 7}')

    assert run(accumulate_text(), delta("a"), end).values == ["a"]
    assert run(accumulate_text(), created(), end).errors


def test_type() -> None:
    assert_type(ManualSource[ServerEvent]().observable.pipe(accumulate_text()), Observable[str])
