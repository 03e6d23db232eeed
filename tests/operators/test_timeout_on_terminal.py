from __future__ import annotations

import threading

import pytest
import reactivex
from reactivex import Observable
from typing_extensions import assert_type

from rxresponses.errors import TerminalTimeoutError
from rxresponses.operators import (
    collect_text,
    filter_by_type,
    first_event_timeout,
    idle_timeout,
    timeout_on_terminal,
)
from rxresponses.wire.events import ResponseTextDeltaEvent, ServerEvent

from ..support.events import completed, created, delta
from ..support.marbles import ManualScheduler, ManualSource, marbles


def timed_out(error: Exception) -> TerminalTimeoutError:
    assert isinstance(error, TerminalTimeoutError)
    return error


def test_marble_of_the_docstring() -> None:
    seen = marbles(
        timeout_on_terminal(50),
        (210, created()),
        (220, delta("He")),
        (230, delta("llo")),
        (300, completed()),
        (310, None),
    )

    assert seen.values == [created(), delta("He"), delta("llo")]
    assert seen.errors[0][0] == 250
    assert timed_out(seen.error).seconds == 50
    assert seen.subscriptions == [(200, 250)]


def test_the_error_without_a_created_event() -> None:
    error = timed_out(marbles(timeout_on_terminal(50), (210, delta("x", stream_id="a")), (220, delta("y"))).error)

    assert (error.delivery, error.response_id, error.stream_id) == ("started", None, "a")


def test_each_subscription_has_one_timer_for_any_number_of_events() -> None:
    source: ManualSource[ServerEvent] = ManualSource()
    clock = ManualScheduler()
    piped = source.observable.pipe(timeout_on_terminal(5, scheduler=clock))
    piped.subscribe()
    source.emit(created(), *[delta("x")] * 50)
    assert len(clock.actions) == 1
    assert clock.disposals == 0

    source.emit(completed())
    assert clock.disposals == 1
    source.complete()
    assert (len(clock.actions), clock.disposals, source.disposals) == (1, 1, 1)

    piped.subscribe().dispose()
    assert (len(clock.actions), clock.disposals) == (2, 2)


def test_the_timeout_waits_until_the_observer_has_handled_its_event() -> None:
    """The observer gets one notification at a time, and the source is disposed at once all the same."""
    source: ManualSource[ServerEvent] = ManualSource()
    clock = ManualScheduler()
    calls: list[str] = []
    errors: list[Exception] = []

    def on_next(event: ServerEvent) -> None:
        calls.append("enter")
        thread = threading.Thread(target=clock.fire)
        thread.start()
        thread.join()
        assert source.disposals == 1
        source.emit(delta("from within"), completed())
        calls.append("leave")

    def on_error(error: Exception) -> None:
        calls.append("error")
        errors.append(error)

    source.observable.pipe(timeout_on_terminal(5, scheduler=clock)).subscribe(on_next, on_error)
    source.emit(created())

    assert calls == ["enter", "leave", "error"]
    assert timed_out(errors[0]).response_id == "resp_1"
    source.emit(delta("after"))
    source.complete()
    clock.fire()
    assert calls == ["enter", "leave", "error"]


def test_the_timeout_waits_for_the_outermost_of_nested_events() -> None:
    source: ManualSource[ServerEvent] = ManualSource()
    clock = ManualScheduler()
    calls: list[str] = []

    def on_next(event: ServerEvent) -> None:
        calls.append("enter")
        if len(calls) == 1:
            source.emit(delta("from within"))
        else:
            clock.fire()
        calls.append("leave")

    source.observable.pipe(timeout_on_terminal(5, scheduler=clock)).subscribe(on_next, lambda _: calls.append("error"))
    source.emit(created())

    assert calls == ["enter", "enter", "leave", "leave", "error"]


def test_disposing_while_a_timeout_waits_cancels_it() -> None:
    source: ManualSource[ServerEvent] = ManualSource()
    clock = ManualScheduler()
    others: list[object] = []
    errors: list[Exception] = []

    def go_on(_: object) -> Observable[ServerEvent]:
        others.append("subscribed")
        return reactivex.empty()

    def on_next(event: ServerEvent) -> None:
        clock.fire()
        subscription.dispose()

    piped: Observable[ServerEvent] = source.observable.pipe(
        timeout_on_terminal(5, reactivex.defer(go_on), scheduler=clock)
    )
    subscription = piped.subscribe(on_next, errors.append)
    source.emit(created())

    assert not others
    assert not errors


def test_an_observer_that_raises_does_not_stop_the_timer() -> None:
    source: ManualSource[ServerEvent] = ManualSource()
    clock = ManualScheduler()
    errors: list[Exception] = []

    def on_next(event: ServerEvent) -> None:
        raise ZeroDivisionError

    source.observable.pipe(timeout_on_terminal(5, scheduler=clock)).subscribe(on_next, errors.append)
    with pytest.raises(ZeroDivisionError):
        source.emit(created())
    assert not errors
    clock.fire()

    assert timed_out(errors[0]).delivery == "started"


def test_type_is_kept() -> None:
    source = ManualSource[ServerEvent]().observable
    deltas = source.pipe(filter_by_type(ResponseTextDeltaEvent))

    assert_type(source.pipe(timeout_on_terminal(5)), Observable[ServerEvent])
    assert_type(source.pipe(timeout_on_terminal(5, source)), Observable[ServerEvent])
    assert_type(source.pipe(timeout_on_terminal(5, None)), Observable[ServerEvent])
    assert_type(source.pipe(timeout_on_terminal(5, reactivex.of("late"))), Observable[ServerEvent | str])
    assert_type(source.pipe(first_event_timeout(5, reactivex.of("late"))), Observable[ServerEvent | str])
    assert_type(source.pipe(idle_timeout(5, reactivex.of("late"))), Observable[ServerEvent | str])
    assert_type(source.pipe(timeout_on_terminal(5, source), collect_text()), Observable[str])
    assert_type(deltas.pipe(timeout_on_terminal(5)), Observable[ResponseTextDeltaEvent])
