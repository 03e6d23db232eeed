from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from reactivex import operators as ops

from rxresponses import ObserverExitError
from rxresponses.net.subject import IsolatedSubject


def now(act: Callable[..., None], *args: Any) -> None:
    act(*args)


class Later:
    """Run when told to, as a loop of another thread does."""

    def __init__(self) -> None:
        self.pending: list[Callable[[], None]] = []

    def __call__(self, act: Callable[..., None], *args: Any) -> None:
        self.pending.append(lambda: act(*args))

    def run(self) -> None:
        pending, self.pending = self.pending, []
        for act in pending:
            act()


class Case:
    """A source with what it reports, and what its observers heard."""

    def __init__(self, run: Callable[..., None] = now, *, replay: bool = False) -> None:
        self.reported: list[BaseException] = []
        self.heard: list[object] = []
        self.hot: IsolatedSubject[Any] = IsolatedSubject(run, self.reported.append, replay=replay)
        self.emit = self.hot.on_next

    def listen(self, name: str = "", on_next: Callable[[Any], Any] = lambda value: None) -> Any:
        def heard(value: object) -> None:
            self.heard.append(f"{name}{value}")
            on_next(value)

        return self.hot.observable.subscribe(heard, None, lambda: self.heard.append(f"{name}|"))


def test_each_observer_hears_each_value_in_order() -> None:
    case = Case()
    case.emit(0)  # nobody is there
    case.listen("a")
    case.emit(1)
    case.listen("b")
    case.emit(2)
    case.hot.on_completed()
    assert case.heard == ["a1", "a2", "b2", "a|", "b|"]
    assert case.hot.observers == ()


def test_after_the_end_there_is_nothing_but_the_end() -> None:
    case = Case()
    case.listen("a")
    case.hot.on_completed()
    case.hot.on_completed()
    case.emit(1)
    case.listen("b")
    assert case.heard == ["a|", "b|"]
    assert case.hot.observers == ()


def test_replay_starts_with_the_latest() -> None:
    case = Case(replay=True)
    case.listen("a")
    case.emit(1)
    case.emit(2)
    case.listen("b")
    case.emit(3)
    case.hot.on_completed()
    case.listen("c")
    assert case.heard == ["a1", "a2", "b2", "a3", "b3", "a|", "b|", "c3", "c|"]


def test_one_observer_twice_is_two_observers() -> None:
    case = Case()
    first, second = case.listen(), case.listen()
    case.emit(1)
    first.dispose()
    case.emit(2)
    second.dispose()
    case.emit(3)
    assert case.heard == ["1", "1", "2"]
    assert case.hot.observers == ()


def test_disposing_is_final_and_may_be_done_twice() -> None:
    case = Case(replay=True)
    subscription = case.listen()
    case.listen("b")
    subscription.dispose()
    subscription.dispose()
    case.emit(1)
    case.hot.on_completed()
    assert case.heard == ["b1", "b|"]


# --- inside on_next


def test_disposing_inside_on_next() -> None:
    case = Case()
    subscriptions: list[Any] = []
    subscriptions.append(case.listen("a", lambda value: subscriptions[0].dispose()))
    case.listen("b")
    case.emit(1)
    case.emit(2)
    assert case.heard == ["a1", "b1", "b2"]


def test_disposing_the_next_observer_inside_on_next() -> None:
    case = Case()
    subscriptions: list[Any] = []
    case.listen("a", lambda value: subscriptions[0].dispose())
    subscriptions.append(case.listen("b"))
    case.emit(1)
    assert case.heard == ["a1"]
    assert len(case.hot.observers) == 1


@pytest.mark.parametrize("replay", [False, True])
def test_take_leaves_no_observer_behind(replay: bool) -> None:
    case = Case(replay=replay)
    case.emit(0)
    values: list[int] = []
    case.hot.observable.pipe(ops.take(1)).subscribe(values.append)
    case.emit(1)
    case.emit(2)
    assert values == [0 if replay else 1]
    assert case.hot.observers == ()


def test_subscribing_inside_on_next_begins_with_the_next_value() -> None:
    case = Case()
    case.listen("a", lambda value: case.listen("b") if value == 1 else None)
    case.emit(1)
    case.emit(2)
    assert case.heard == ["a1", "a2", "b2"]


def test_subscribing_inside_on_next_replays_the_value_once() -> None:
    case = Case(replay=True)
    case.listen("a", lambda value: case.listen("b") if value == 1 else None)
    case.emit(1)
    case.emit(2)
    assert case.heard == ["a1", "b1", "a2", "b2"]


def test_emitting_inside_the_replay_loses_nothing() -> None:
    case = Case(replay=True)
    case.emit(1)
    case.listen("a", lambda value: case.emit(2) if value == 1 else None)
    assert case.heard == ["a1", "a2"]


def test_completing_inside_the_replay_completes_once() -> None:
    case = Case(replay=True)
    case.emit(1)
    case.listen("a", lambda value: case.hot.on_completed())
    assert case.heard == ["a1", "a|"]
    assert case.hot.observers == ()


def test_completing_inside_on_next() -> None:
    case = Case()
    case.listen("a", lambda value: case.hot.on_completed())
    case.listen("b")
    case.emit(1)
    assert case.heard == ["a1", "b1", "a|", "b|"]  # the others hear the value before the end


# --- observers that raise


def fail(value: object) -> None:
    raise ValueError(f"cannot bear {value}")


def test_a_raising_observer_is_reported_and_disturbs_nobody() -> None:
    case = Case()
    case.listen("a")
    case.listen("b", fail)
    case.listen("c")
    case.emit(1)
    case.emit(2)
    case.hot.on_completed()
    assert case.heard == ["a1", "b1", "c1", "a2", "c2", "a|", "c|"]
    (error,) = case.reported
    assert str(error) == "cannot bear 1"
    assert error.__traceback__ is not None


@pytest.mark.parametrize("replay", [False, True])
def test_scenario_38_whoever_waits_below_a_raising_observer_hears_of_it(replay: bool) -> None:
    case = Case(replay=replay)
    if replay:
        case.emit(1)
    errors: list[Exception] = []
    case.hot.observable.subscribe(fail, errors.append)
    if not replay:
        case.emit(1)
    case.emit(2)
    assert [str(error) for error in errors] == ["cannot bear 1"]
    assert case.reported == errors


def test_what_an_observer_raises_when_it_is_told_of_that_is_reported_too() -> None:
    case = Case()
    case.hot.observable.subscribe(fail, lambda error: fail("that"))
    case.emit(1)
    assert [str(error) for error in case.reported] == ["cannot bear 1", "cannot bear that"]


def test_an_observer_that_raises_on_the_replayed_value_is_gone_too() -> None:
    case = Case(replay=True)
    case.emit(1)
    case.listen("a", fail)
    case.emit(2)
    assert case.heard == ["a1"]
    assert [str(error) for error in case.reported] == ["cannot bear 1"]
    assert case.hot.observers == ()


def test_an_observer_that_raises_at_the_end_keeps_nobody_from_it() -> None:
    case = Case()
    case.hot.observable.subscribe(on_completed=lambda: fail("the end"))
    case.listen("b")
    case.hot.on_completed()
    case.hot.observable.subscribe(on_completed=lambda: fail("another end"))
    assert case.heard == ["b|"]
    assert [str(error) for error in case.reported] == ["cannot bear the end", "cannot bear another end"]


def test_an_interruption_is_reported_and_keeps_the_value_from_nobody() -> None:
    case = Case()

    def interrupt(value: object) -> None:
        raise KeyboardInterrupt

    errors: list[Exception] = []
    case.hot.observable.subscribe(interrupt, errors.append)
    case.hot.observable.subscribe(interrupt)  # nobody takes its error
    case.listen("b")
    case.emit(1)
    assert case.heard == ["b1"]
    assert [type(error) for error in case.reported] == [KeyboardInterrupt] * 2
    (error,) = errors
    assert isinstance(error, ObserverExitError)
    assert error.__cause__ is case.reported[0]


# --- other threads


def test_subscribing_and_disposing_happen_where_run_says() -> None:
    later = Later()
    case = Case(later, replay=True)
    case.emit(1)
    subscription = case.listen("a")
    assert case.heard == []
    assert case.hot.observers == ()
    later.run()
    assert case.heard == ["a1"]
    subscription.dispose()
    assert len(case.hot.observers) == 1  # the loop has not come to it
    case.emit(2)
    assert case.heard == ["a1"]  # and yet nothing more is heard
    later.run()
    assert case.hot.observers == ()


def test_disposing_before_the_loop_came_to_it() -> None:
    later = Later()
    case = Case(later, replay=True)
    case.emit(1)
    case.listen("a").dispose()
    later.run()
    case.emit(2)
    assert case.heard == []
    assert case.hot.observers == ()


def test_disposing_on_the_loop_before_it_came_to_the_subscription() -> None:
    later = Later()
    run: list[Callable[..., None]] = [later]
    case = Case(lambda act, *args: run[0](act, *args))
    subscription = case.listen("a")  # from a foreign thread: soon
    run[0] = now
    subscription.dispose()  # from the loop's own: at once
    later.run()
    assert case.hot.observers == ()


def test_a_subscription_from_another_thread() -> None:
    later = Later()
    case = Case(later, replay=True)
    case.emit(1)
    threads: set[int] = set()
    thread = threading.Thread(target=lambda: case.listen("a", lambda value: threads.add(threading.get_ident())))
    thread.start()
    thread.join()
    later.run()
    case.emit(2)
    assert case.heard == ["a1", "a2"]
    assert threads == {threading.get_ident()}


def test_emitting_inside_on_next_keeps_the_order_for_all() -> None:
    case = Case()
    case.listen("a", lambda value: case.emit(2) if value == 1 else None)
    case.listen("b")
    case.emit(1)
    assert case.heard == ["a1", "b1", "a2", "b2"]
