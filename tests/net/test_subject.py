"""A subject whose observers do not disturb each other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from reactivex import operators as ops

from rxresponses import BufferOverflowError, ObserverExitError
from rxresponses.net.subject import IsolatedSubject

from ..support.another_thread import on_another_thread


def at_once(act: Callable[..., None], *args: Any) -> None:
    act(*args)


class Later:
    """Runs what it is given when the test says so, as the loop of another thread does later."""

    def __init__(self) -> None:
        self.pending: list[Callable[[], None]] = []

    def __call__(self, act: Callable[..., None], *args: Any) -> None:
        self.pending.append(lambda: act(*args))

    def run(self) -> None:
        pending, self.pending = self.pending, []
        for act in pending:
            act()


class Case:
    """A subject with a log of what its observers got, and of the errors it reported."""

    def __init__(self, run: Callable[..., None] = at_once, *, replay: bool = False) -> None:
        self.reported: list[BaseException] = []
        self.log: list[object] = []
        self.subject: IsolatedSubject[Any] = IsolatedSubject(run, self.reported.append, replay=replay)
        self.on_next = self.subject.on_next

    def subscribe(self, name: str = "", on_next: Callable[[Any], Any] = lambda value: None) -> Any:
        def log(value: object) -> None:
            self.log.append(f"{name}{value}")
            on_next(value)

        return self.subject.observable.subscribe(log, None, lambda: self.log.append(f"{name}|"))


def test_each_observer_gets_each_value_in_order() -> None:
    case = Case()
    case.on_next(0)  # without an observer
    case.subscribe("a")
    case.on_next(1)
    case.subscribe("b")
    case.on_next(2)
    case.subject.on_completed()
    assert case.log == ["a1", "a2", "b2", "a|", "b|"]
    assert case.subject.observers == ()


def test_after_the_completion_there_is_only_the_completion() -> None:
    case = Case()
    case.subscribe("a")
    case.subject.on_completed()
    case.subject.on_completed()
    case.on_next(1)
    case.subscribe("b")
    assert case.log == ["a|", "b|"]
    assert case.subject.observers == ()


def test_replay_begins_with_the_latest_value() -> None:
    case = Case(replay=True)
    case.subscribe("a")
    case.on_next(1)
    case.on_next(2)
    case.subscribe("b")
    case.on_next(3)
    case.subject.on_completed()
    case.subscribe("c")
    assert case.log == ["a1", "a2", "b2", "a3", "b3", "a|", "b|", "c3", "c|"]


def test_two_subscriptions_are_two_observers() -> None:
    case = Case()
    first, second = case.subscribe(), case.subscribe()
    case.on_next(1)
    first.dispose()
    case.on_next(2)
    second.dispose()
    case.on_next(3)
    assert case.log == ["1", "1", "2"]
    assert case.subject.observers == ()


def test_disposing_twice() -> None:
    case = Case(replay=True)
    subscription = case.subscribe()
    case.subscribe("b")
    subscription.dispose()
    subscription.dispose()
    case.on_next(1)
    case.subject.on_completed()
    assert case.log == ["b1", "b|"]


# --- inside on_next


def test_disposing_inside_on_next() -> None:
    case = Case()
    subscriptions: list[Any] = []
    subscriptions.append(case.subscribe("a", lambda value: subscriptions[0].dispose()))
    case.subscribe("b")
    case.on_next(1)
    case.on_next(2)
    assert case.log == ["a1", "b1", "b2"]


def test_disposing_the_next_observer_inside_on_next() -> None:
    case = Case()
    subscriptions: list[Any] = []
    case.subscribe("a", lambda value: subscriptions[0].dispose())
    subscriptions.append(case.subscribe("b"))
    case.on_next(1)
    assert case.log == ["a1"]
    assert len(case.subject.observers) == 1


@pytest.mark.parametrize("replay", [False, True])
def test_take_leaves_no_observer_behind(replay: bool) -> None:
    case = Case(replay=replay)
    case.on_next(0)
    values: list[int] = []
    case.subject.observable.pipe(ops.take(1)).subscribe(values.append)
    case.on_next(1)
    case.on_next(2)
    assert values == [0 if replay else 1]
    assert case.subject.observers == ()


def test_subscribing_inside_on_next_begins_with_the_next_value() -> None:
    case = Case()
    case.subscribe("a", lambda value: case.subscribe("b") if value == 1 else None)
    case.on_next(1)
    case.on_next(2)
    assert case.log == ["a1", "a2", "b2"]


def test_subscribing_inside_on_next_replays_the_value_once() -> None:
    case = Case(replay=True)
    case.subscribe("a", lambda value: case.subscribe("b") if value == 1 else None)
    case.on_next(1)
    case.on_next(2)
    assert case.log == ["a1", "b1", "a2", "b2"]


def test_emitting_inside_the_replay_loses_nothing() -> None:
    case = Case(replay=True)
    case.on_next(1)
    case.subscribe("a", lambda value: case.on_next(2) if value == 1 else None)
    assert case.log == ["a1", "a2"]


def test_completing_inside_the_replay_completes_once() -> None:
    case = Case(replay=True)
    case.on_next(1)
    case.subscribe("a", lambda value: case.subject.on_completed())
    assert case.log == ["a1", "a|"]
    assert case.subject.observers == ()


def test_completing_inside_on_next() -> None:
    case = Case()
    case.subscribe("a", lambda value: case.subject.on_completed())
    case.subscribe("b")
    case.on_next(1)
    assert case.log == ["a1", "b1", "a|", "b|"]  # the others get the value before the completion


# --- observers that raise


def fail(value: object) -> None:
    raise ValueError(f"cannot take {value}")


def test_an_observer_that_raises_is_reported_and_disturbs_no_other() -> None:
    case = Case()
    case.subscribe("a")
    case.subscribe("b", fail)
    case.subscribe("c")
    case.on_next(1)
    case.on_next(2)
    case.subject.on_completed()
    assert case.log == ["a1", "b1", "c1", "a2", "c2", "a|", "c|"]
    (error,) = case.reported
    assert str(error) == "cannot take 1"
    assert error.__traceback__ is not None


@pytest.mark.parametrize("replay", [False, True])
def test_scenario_38_the_stream_of_an_observer_that_raises_ends_with_the_error(replay: bool) -> None:
    case = Case(replay=replay)
    if replay:
        case.on_next(1)
    errors: list[Exception] = []
    case.subject.observable.subscribe(fail, errors.append)
    if not replay:
        case.on_next(1)
    case.on_next(2)
    assert [str(error) for error in errors] == ["cannot take 1"]
    assert case.reported == errors


def test_an_error_raised_in_on_error_is_reported_too() -> None:
    case = Case()
    case.subject.observable.subscribe(fail, lambda error: fail("that"))
    case.on_next(1)
    assert [str(error) for error in case.reported] == ["cannot take 1", "cannot take that"]


def test_an_observer_that_raises_on_the_replayed_value_is_removed() -> None:
    case = Case(replay=True)
    case.on_next(1)
    case.subscribe("a", fail)
    case.on_next(2)
    assert case.log == ["a1"]
    assert [str(error) for error in case.reported] == ["cannot take 1"]
    assert case.subject.observers == ()


def test_an_observer_that_raises_on_the_completion_disturbs_no_other() -> None:
    case = Case()
    case.subject.observable.subscribe(on_completed=lambda: fail("the end"))
    case.subscribe("b")
    case.subject.on_completed()
    case.subject.observable.subscribe(on_completed=lambda: fail("another end"))
    assert case.log == ["b|"]
    assert [str(error) for error in case.reported] == ["cannot take the end", "cannot take another end"]


def test_an_interruption_is_reported_and_disturbs_no_other() -> None:
    case = Case()

    def interrupt(value: object) -> None:
        raise KeyboardInterrupt

    errors: list[Exception] = []
    case.subject.observable.subscribe(interrupt, errors.append)
    case.subject.observable.subscribe(interrupt)  # without `on_error`
    case.subscribe("b")
    case.on_next(1)
    assert case.log == ["b1"]
    assert [type(error) for error in case.reported] == [KeyboardInterrupt] * 2
    (error,) = errors
    assert isinstance(error, ObserverExitError)
    assert error.__cause__ is case.reported[0]


def test_a_full_buffer_of_an_observer_is_not_reported() -> None:
    case = Case()
    errors: list[Exception] = []

    def overflow(value: object) -> None:
        raise BufferOverflowError(5)

    case.subject.observable.subscribe(overflow, errors.append)
    case.subscribe("b")
    case.on_next(1)
    assert case.log == ["b1"]
    assert [type(error) for error in errors] == [BufferOverflowError]
    assert case.reported == []


# --- other threads


def test_subscribing_and_disposing_happen_where_run_runs_them() -> None:
    later = Later()
    case = Case(later, replay=True)
    case.on_next(1)
    subscription = case.subscribe("a")
    assert case.log == []
    assert case.subject.observers == ()
    later.run()
    assert case.log == ["a1"]
    subscription.dispose()
    assert len(case.subject.observers) == 1  # the loop has yet to remove it
    case.on_next(2)
    assert case.log == ["a1"]  # yet it gets nothing more
    later.run()
    assert case.subject.observers == ()


def test_disposing_before_the_loop_has_subscribed() -> None:
    later = Later()
    case = Case(later, replay=True)
    case.on_next(1)
    case.subscribe("a").dispose()
    later.run()
    case.on_next(2)
    assert case.log == []
    assert case.subject.observers == ()


def test_disposing_on_the_loop_before_it_has_subscribed() -> None:
    later = Later()
    run: list[Callable[..., None]] = [later]
    case = Case(lambda act, *args: run[0](act, *args))
    subscription = case.subscribe("a")  # as from another thread: later
    run[0] = at_once
    subscription.dispose()  # as on the loop's thread: at once
    later.run()
    assert case.subject.observers == ()


def test_a_subscription_from_another_thread() -> None:
    later = Later()
    case = Case(later, replay=True)
    case.on_next(1)
    threads: set[int] = set()
    on_another_thread(case.subscribe, "a", lambda value: threads.add(threading.get_ident()))
    later.run()
    case.on_next(2)
    assert case.log == ["a1", "a2"]
    assert threads == {threading.get_ident()}


def test_emitting_inside_on_next_keeps_the_order_for_all() -> None:
    case = Case()
    case.subscribe("a", lambda value: case.on_next(2) if value == 1 else None)
    case.subscribe("b")
    case.on_next(1)
    assert case.log == ["a1", "b1", "a2", "b2"]


def test_scenario_67_a_forked_process_forgets_the_observers() -> None:
    """The fork may have happened inside a notification; the latest value stays for new observers."""
    case = Case(replay=True)
    case.subscribe("a", lambda value: case.subject.forget_observers())
    case.subscribe("b")
    case.on_next(1)
    assert case.log == ["a1", "b1"]
    case.subscribe("c")
    case.on_next(2)
    assert case.log == ["a1", "b1", "c1", "c2"]
