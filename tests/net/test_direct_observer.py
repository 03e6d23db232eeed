"""Subscribing without RxPY's auto-detach observer: the same notifications in every case, and no call for a value."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import reactivex
from hypothesis import given, settings
from hypothesis import strategies as st
from reactivex import Observable, Observer
from reactivex import operators as ops
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import Disposable
from reactivex.scheduler import CurrentThreadScheduler, ImmediateScheduler

from rxresponses.net.direct_observer import DirectObserver, latest_on_next
from rxresponses.net.observable import EventObservable

from ..effort import examples

ACTS = st.sampled_from(["next", "next", "next", "error", "complete", "dispose", "detach"])
REACTIONS = st.dictionaries(
    st.integers(0, 5), st.sampled_from(["raise", "exit", "dispose", "next", "error", "complete"])
)
SUBSCRIBERS = st.sampled_from(["functions", "observer", "like an observer", "no functions", "only on_next"])


class Duck:
    """Has the methods of an observer, and no base class."""

    def __init__(self, *functions: Callable[..., None]) -> None:
        self.on_next, self.on_error, self.on_completed = functions


def passed_on(
    source: Observable[int], observer: ObserverBase[int], scheduler: SchedulerBase | None = None
) -> DisposableBase:
    return source.subscribe(observer, scheduler=scheduler)


def emit_at_once(observer: ObserverBase[int], _: SchedulerBase | None = None) -> DisposableBase:
    """Emit three values before the subscriber has anything to dispose."""
    for value in (1, 2, 3):
        observer.on_next(value)
    return Disposable()


class Run:
    """One subscription to a scripted source, and the log of all that happened."""

    def __init__(self, kind: type[Observable[Any]], reactions: dict[int, str], subscriber: str, steps: int) -> None:
        self.log: list[str] = []
        self.kind = kind
        self.reactions = reactions
        self.subscriber = subscriber
        self.steps = steps  # Observables between the source and the subscriber, each of which passes the observer on
        self.observer: ObserverBase[int] | None = None
        self.subscription: DisposableBase | None = None
        self.calls = self.values = 0

    def do(self, act: str) -> None:
        """Do something as the source, or dispose as the program; log what is raised."""
        assert self.observer is not None
        try:
            if act == "next":
                self.values += 1
                self.observer.on_next(self.values)
            elif act == "error":
                self.observer.on_error(OSError("source"))
            elif act == "complete":
                self.observer.on_completed()
            elif act == "detach":  # as an operator does that has the source's disposable
                self.observer.dispose()  # type: ignore[attr-defined]
            elif self.subscription is not None:
                self.subscription.dispose()
        except BaseException as error:
            self.log.append(f"{act} raised {error!r}")

    def note(self, what: str) -> None:
        """Log a notification, and react to it."""
        self.log.append(what)
        self.calls += 1
        reaction = self.reactions.get(self.calls - 1)
        if reaction == "raise":
            raise ValueError("observer")
        if reaction == "exit":
            raise SystemExit(1)
        if reaction is not None:
            self.do(reaction)

    def start(self, at_once: list[str], failure: str) -> None:
        def subscribe(observer: ObserverBase[int], scheduler: SchedulerBase | None = None) -> DisposableBase:
            self.observer = observer
            self.log.append(f"subscribed {scheduler}")
            for act in at_once:
                self.do(act)
            if failure:
                raise SystemExit("subscribe") if failure == "exit" else KeyError("subscribe")
            return Disposable(lambda: self.log.append("disposed"))

        source = self.kind(subscribe)
        for _ in range(self.steps):
            source = self.kind(partial(passed_on, source))
        functions: list[Any] = [
            lambda value: self.note(f"value {value}"),
            lambda error: self.note(f"error {error!r}"),
            lambda: self.note("completed"),
        ]
        arguments: list[Any] = {
            "functions": functions,
            "observer": [Observer(*functions)],
            "like an observer": [Duck(*functions)],
            "no functions": [],
            "only on_next": functions[:1],
        }[self.subscriber]
        scheduler = ImmediateScheduler.singleton()
        try:
            self.subscription = source.subscribe(*arguments, scheduler=scheduler)
        except BaseException as error:
            self.log.append(f"subscribe raised {error!r}")


@given(
    st.lists(ACTS, max_size=4),
    st.lists(ACTS, max_size=6),
    REACTIONS,
    SUBSCRIBERS,
    st.integers(0, 2),
    st.sampled_from(["", "", "raise", "exit"]),
)
@settings(max_examples=examples(1500))
def test_all_is_as_with_the_observer_of_rxpy(
    at_once: list[str], later: list[str], reactions: dict[int, str], subscriber: str, steps: int, failure: str
) -> None:
    logs = []
    for kind in (Observable, EventObservable):
        run = Run(kind, reactions, subscriber, steps)
        run.start(at_once, failure)
        for act in later:
            run.do(act)
        logs.append(run.log)
    assert logs[0] == logs[1]


def test_the_function_of_the_subscriber_is_called_without_another_call_in_between() -> None:
    got: list[int] = []
    observers: list[ObserverBase[int]] = []

    def subscribe(observer: ObserverBase[int], _: SchedulerBase | None = None) -> DisposableBase:
        observers.append(observer)
        return Disposable()

    subscription = EventObservable(subscribe).subscribe(got.append)
    assert observers[0].on_next == got.append
    observers[0].on_next(1)
    subscription.dispose()
    observers[0].on_next(2)
    assert got == [1]


def test_an_on_next_that_is_kept_passes_nothing_after_the_end() -> None:
    got: list[int] = []
    observer: DirectObserver[int] = DirectObserver(got.append)
    kept = latest_on_next(observer)
    kept(1)
    observer.dispose()
    kept(2)
    assert got == [1]


@pytest.mark.parametrize(
    "operator",
    [
        ops.start_with(1, 2, 3),
        ops.merge(reactivex.from_iterable([1, 2, 3], scheduler=ImmediateScheduler.singleton())),
        ops.catch(lambda *_: reactivex.empty()),
        ops.do_action(lambda _: None),
        ops.map(lambda value: value),
        ops.finally_action(lambda: None),
    ],
)
def test_operators_of_rxpy_may_keep_on_next(operator: Any) -> None:
    """They emit while they are being subscribed, when the subscriber cannot dispose them yet."""
    got: list[int] = []
    source: Observable[int] = EventObservable(emit_at_once)
    source.pipe(operator, ops.take(1)).subscribe(got.append)
    assert got == [1]


def test_a_source_on_the_current_thread_can_be_disposed_in_the_middle() -> None:
    got: list[int] = []

    def subscribe(observer: ObserverBase[int], _: SchedulerBase | None = None) -> DisposableBase:
        scheduler = CurrentThreadScheduler.singleton()
        return reactivex.from_iterable(range(5), scheduler=scheduler).subscribe(
            latest_on_next(observer), observer.on_error, observer.on_completed
        )

    def on_next(value: int) -> None:
        got.append(value)
        if value == 2:
            observer.dispose()

    observer: DirectObserver[int] = DirectObserver(on_next)
    subscription = EventObservable(subscribe).subscribe(observer)
    assert got == [0, 1, 2]
    subscription.dispose()


def test_a_subscription_that_is_disposed_on_another_thread_disposes_its_source_once() -> None:
    """Whichever comes first: the subscription to the source, or its end."""
    for _ in range(examples(200)):
        disposals: list[int] = []
        observer: DirectObserver[int] = DirectObserver()
        barrier = threading.Barrier(2)

        def end(observer: DirectObserver[int] = observer, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            observer.dispose()

        thread = threading.Thread(target=end)
        thread.start()
        barrier.wait()
        observer.set_subscription(Disposable(partial(disposals.append, 1)))
        thread.join()
        assert disposals == [1]


def test_an_observer_that_has_ended_keeps_no_function_for_values() -> None:
    class Consumer:
        def on_value(self, value: int) -> None:
            pass

    consumer = Consumer()
    reference = weakref.ref(consumer)
    observer: DirectObserver[int] = DirectObserver(consumer.on_value)
    observer.on_completed()
    del consumer
    gc.collect()
    assert reference() is None
