from __future__ import annotations

from reactivex import Observable
from typing_extensions import assert_type

from rxresponses.operators import collect_text
from rxresponses.wire.codec import decode
from rxresponses.wire.events import ServerEvent

from ..support.events import EMOJI, HIGH, LOW, completed, created, delta, incomplete, message, text_done
from ..support.marbles import ManualSource, marbles, run


def test_marble_of_the_docstring() -> None:
    seen = marbles(
        collect_text(), (210, created()), (220, delta("He")), (230, delta("llo")), (240, completed()), (250, None)
    )

    assert seen.timed == [(240, "Hello")]
    assert seen.completions == [250]


def test_scenario_07_a_warm_up_gives_the_empty_text() -> None:
    assert run(collect_text(), created(), completed()).values == [""]


def test_scenario_02_incomplete_emits_the_text_so_far() -> None:
    seen = run(collect_text(), created(), delta("cut o"), incomplete())

    assert seen.values == ["cut o"]
    assert seen.completions == [213]


def test_without_a_terminal_event() -> None:
    seen = marbles(collect_text(), (210, delta("a")), (220, delta("b" + HIGH)), (230, None))

    assert seen.timed == [(230, "ab\ufffd")]


def test_a_server_without_deltas() -> None:
    assert run(collect_text(), text_done("a"), text_done("b", content_index=1), completed(message("ab"))).values == [
        "ab"
    ]
    assert run(collect_text(), completed(message("ab"))).values == ["ab"]


def test_several_responses_in_a_row() -> None:
    events = [created(), delta("a"), completed(), created("cut"), delta("lost"), created(), delta("b"), completed()]

    assert run(collect_text(), *events).values == ["a", "b"]


def test_scenario_51_halves_are_joined() -> None:
    assert run(collect_text(), delta("a" + HIGH), delta(LOW), completed()).values == ["a" + EMOJI]
    assert run(collect_text(), delta("a" + HIGH), completed()).values == ["a\ufffd"]


def test_an_unreadable_terminal_event_loses_no_text() -> None:
    end = decode('{"type": "response.completed", "response": 7}')

    assert run(collect_text(), delta("a"), end).values == ["a"]


def test_type() -> None:
    assert_type(ManualSource[ServerEvent]().observable.pipe(collect_text()), Observable[str])
