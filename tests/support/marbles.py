"""Marbles on virtual time, and sources and schedulers that a test drives by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, TypeAlias, TypeVar

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import Disposable
from reactivex.scheduler import TimeoutScheduler
from reactivex.testing import ReactiveTest, TestScheduler

from rxresponses.wire.events import ServerEvent

T = TypeVar("T")
X = TypeVar("X")
Operator: TypeAlias = Callable[[Observable[ServerEvent]], Observable[T]]
Step: TypeAlias = "tuple[int, ServerEvent | Exception | None]"


@dataclass
class Recording(Generic[T]):
    """What an observer received, each with its time, and the subscriptions of the source as (from, until)."""

    timed: list[tuple[float, T]] = field(default_factory=list)
    errors: list[tuple[float, Exception]] = field(default_factory=list)
    completions: list[float] = field(default_factory=list)
    subscriptions: list[tuple[float, float]] = field(default_factory=list)

    @property
    def values(self) -> list[T]:
        return [value for _, value in self.timed]

    @property
    def error(self) -> Exception:
        assert len(self.errors) == 1
        assert not self.completions
        return self.errors[0][1]


def marbles(
    operator: Callable[[Observable[Any]], Observable[T]],
    *steps: Step,
    disposed: float | None = None,
    scheduler: TestScheduler | None = None,
) -> Recording[T]:
    """Subscribe at 200 to a source of steps: `(time, event)`, `(time, exception)`, or `(time, None)` for completion.

    Dispose at 1000, or behind the last step, if `disposed` does not say when.
    """
    scheduler = scheduler or TestScheduler()
    if disposed is None:
        disposed = max([1000, *(time + 1 for time, _ in steps)])
    messages: list[Any] = []
    for time, step in steps:
        if step is None:
            messages.append(ReactiveTest.on_completed(time))
        elif isinstance(step, Exception):
            messages.append(ReactiveTest.on_error(time, step))
        else:
            messages.append(ReactiveTest.on_next(time, step))
    source = scheduler.create_hot_observable(*messages)
    observer = scheduler.start(lambda: source.pipe(operator), disposed=disposed)
    recording: Recording[T] = Recording()
    for message in observer.messages:
        notification: Any = message.value
        if notification.kind == "N":
            recording.timed.append((message.time, notification.value))
        elif notification.kind == "E":
            recording.errors.append((message.time, notification.exception))
        else:
            recording.completions.append(message.time)
    recording.subscriptions = [(entry.subscribe, entry.unsubscribe) for entry in source.subscriptions]
    return recording


def run(operator: Callable[[Observable[Any]], Observable[T]], *events: ServerEvent) -> Recording[T]:
    """Send the events one tick apart from 210 on, then complete."""
    times = range(210, 210 + len(events))
    return marbles(operator, *zip(times, events, strict=True), (210 + len(events), None))


class ManualSource(Generic[X]):
    """A source that a test drives.

    It counts its disposals, and it goes on emitting after an end or a disposal when the test says so.
    """

    def __init__(self) -> None:
        self.observers: list[ObserverBase[X]] = []
        self.disposals = 0
        self.schedulers: list[SchedulerBase | None] = []
        self.observable: Observable[X] = Observable(self._subscribe)

    def _subscribe(self, observer: ObserverBase[X], scheduler: SchedulerBase | None = None) -> DisposableBase:
        self.observers.append(observer)
        self.schedulers.append(scheduler)
        return Disposable(self._dispose)

    def _dispose(self) -> None:
        self.disposals += 1

    def emit(self, *values: X) -> None:
        for value in values:
            self.observers[-1].on_next(value)

    def complete(self) -> None:
        self.observers[-1].on_completed()

    def fail(self, error: Exception) -> None:
        self.observers[-1].on_error(error)


class ManualScheduler(TimeoutScheduler):
    """A scheduler whose clock a test sets.  It keeps the scheduled actions; `fire` runs the latest."""

    def __new__(cls) -> ManualScheduler:
        return object.__new__(cls)

    def __init__(self) -> None:
        self.time = 0.0  # seconds; only a test changes it
        self.actions: list[Any] = []
        self.delays: list[Any] = []
        self.disposals = 0

    @property
    def now(self) -> datetime:
        return datetime(2000, 1, 1) + timedelta(seconds=self.time)

    def schedule_relative(self, duetime: Any, action: Any, state: Any = None) -> DisposableBase:
        self.delays.append(duetime)
        self.actions.append(action)
        return Disposable(self._dispose)

    def _dispose(self) -> None:
        self.disposals += 1

    def fire(self) -> None:
        self.actions[-1](self, None)
