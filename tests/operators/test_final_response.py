from __future__ import annotations

from reactivex import Observable
from typing_extensions import assert_type

from rxresponses.operators import final_response
from rxresponses.wire.events import ServerEvent
from rxresponses.wire.models import Response

from ..support.events import completed, created, delta, incomplete, message
from ..support.marbles import ManualSource, marbles, run


def test_marble_of_the_docstring() -> None:
    end = completed(message("Hello"))
    seen = marbles(final_response(), (210, created()), (220, delta("Hello")), (240, end), (250, None))

    assert seen.timed == [(240, end.response)]
    assert seen.values[0] is end.response
    assert seen.completions == [250]


def test_scenario_02_incomplete_is_a_response() -> None:
    end = incomplete(message("cut"))
    [response] = run(final_response(), created(), end).values

    assert response is end.response
    assert response.usage is not None


def test_no_terminal_event_no_response() -> None:
    assert not run(final_response(), created(), delta("x")).values


def test_several_responses_in_a_row() -> None:
    ends = [completed(id="a"), completed(id="b")]

    assert run(final_response(), *ends).values == [end.response for end in ends]


def test_type() -> None:
    assert_type(ManualSource[ServerEvent]().observable.pipe(final_response()), Observable[Response])
