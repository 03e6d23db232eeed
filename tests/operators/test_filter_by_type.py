from __future__ import annotations

from typing import Any

import pytest
from reactivex import Observable
from typing_extensions import assert_type

from rxresponses.operators import filter_by_type
from rxresponses.wire.codec import decode
from rxresponses.wire.events import (
    ContentEvent,
    LifecycleEvent,
    ResponseCompletedEvent,
    ResponseCreatedEvent,
    ResponseErrorEvent,
    ResponseTextDeltaEvent,
    ServerEvent,
    UnknownEvent,
)

from ..support.events import completed, created, delta, error_event, text_done
from ..support.marbles import ManualSource, marbles, run

NEW = decode('{"type": "response.telepathy.delta", "thought": "?"}')
INVALID = decode('{"type": "response.output_text.delta", "delta": 7}')


def test_marble_of_the_docstring() -> None:
    seen = marbles(
        filter_by_type(ResponseTextDeltaEvent),
        (210, created()),
        (220, delta("He")),
        (230, delta("llo")),
        (240, completed()),
        (250, None),
    )

    assert seen.timed == [(220, delta("He")), (230, delta("llo"))]
    assert seen.completions == [250]


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ((ResponseTextDeltaEvent,), [1]),
        (("response.output_text.delta",), [1, 5]),
        ((ResponseCreatedEvent, "error"), [0, 3]),
        ((LifecycleEvent,), [0, 6]),
        ((ContentEvent,), [1, 2]),
        ((ServerEvent,), [0, 1, 2, 3, 4, 5, 6]),
        ((UnknownEvent,), [4, 5]),
        (("response.telepathy.delta",), [4]),
        (("response.telepathy.delta", ResponseErrorEvent, ResponseCompletedEvent), [3, 4, 6]),
        (("response.not.invented.yet",), []),
    ],
)
def test_classes_names_and_both(types: tuple[Any, ...], expected: list[int]) -> None:
    events = [created(), delta("x"), text_done("x"), error_event(), NEW, INVALID, completed()]
    assert isinstance(INVALID, UnknownEvent)

    assert run(filter_by_type(*types), *events).values == [events[index] for index in expected]


def test_a_class_made_later_is_judged_by_its_bases() -> None:
    operator = filter_by_type(ResponseTextDeltaEvent)
    assert not run(operator, created()).values

    class Marked(ResponseTextDeltaEvent):
        pass

    event = Marked(delta="x")
    assert run(operator, event, event).values == [event, event]


def test_no_types_is_an_error_at_once() -> None:
    with pytest.raises(ValueError, match="at least one"):
        filter_by_type()


@pytest.mark.parametrize(
    "wrong", [7, None, str, dict, created(), ["error"], ResponseTextDeltaEvent | ResponseErrorEvent]
)
def test_anything_else_is_an_error_at_once(wrong: Any) -> None:
    with pytest.raises(TypeError, match="event classes and wire types"):
        filter_by_type("error", wrong)


def test_types_narrow() -> None:
    source = ManualSource[ServerEvent]().observable
    one = source.pipe(filter_by_type(ResponseTextDeltaEvent))
    two = source.pipe(filter_by_type(ResponseTextDeltaEvent, ResponseErrorEvent))
    three = source.pipe(filter_by_type(ResponseTextDeltaEvent, ResponseErrorEvent, ResponseCreatedEvent))
    four = source.pipe(
        filter_by_type(ResponseTextDeltaEvent, ResponseErrorEvent, ResponseCreatedEvent, ResponseCompletedEvent)
    )
    named = source.pipe(filter_by_type("error", "response.created"))
    mixed = source.pipe(filter_by_type(ResponseTextDeltaEvent, "error"))

    assert_type(one, Observable[ResponseTextDeltaEvent])
    assert_type(two, Observable[ResponseTextDeltaEvent | ResponseErrorEvent])
    assert_type(three, Observable[ResponseTextDeltaEvent | ResponseErrorEvent | ResponseCreatedEvent])
    assert_type(
        four,
        Observable[ResponseTextDeltaEvent | ResponseErrorEvent | ResponseCreatedEvent | ResponseCompletedEvent],
    )
    assert_type(named, Observable[ServerEvent])
    assert_type(mixed, Observable[ServerEvent])
