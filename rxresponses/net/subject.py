"""The hot sources of a socket or client: `events`, `unrouted` and `state`."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import Any, Generic, TypeVar

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import Disposable

from ..errors import BufferOverflowError
from ..raised import as_exception
from .context import in_subscribers_context
from .loops import running_loop
from .observable import EventObservable
from .observe_on import ObserveOnLoop
from .run_check import check_run, note_thread

T = TypeVar("T")


class IsolatedSubject(Generic[T]):
    """A subject whose observers do not disturb each other.

    Unlike RxPY's `Subject`, it goes on with the next observer when one raises, and has one thread at a
    time inside `on_next`: `run` runs everything on the socket's loop.  The stream of an observer that
    raised ends with that error, which is also passed to `report`.

    With `replay`, a new observer gets the latest value first.  An observer that subscribes on a running
    loop gets its values there; its stream ends with `BufferOverflowError` when more than `max_bytes`
    wait for it.
    """

    def __init__(
        self,
        run: Callable[..., None],
        report: Callable[[BaseException], None],
        *,
        replay: bool = False,
        max_bytes: int = 16 * 2**20,
    ) -> None:
        self.observers: tuple[ObserverBase[T], ...] = ()
        self.observable: Observable[T] = EventObservable(self._subscribe)
        self._run = run
        self._report = report
        self._replay = replay
        self._max_bytes = max_bytes
        self._latest: tuple[T, ...] = ()
        self._completed = False
        self._lock = threading.RLock()  # for `observers`: before the socket has a loop, any thread may subscribe
        self._notifications: deque[Callable[[], None]] = deque()
        self._notifying = False

    def on_next(self, value: T) -> None:
        """Give a value to all observers; inside another notification, after that one."""
        if self._replay or self._notifying or self._notifications:
            self._notify(partial(self._on_next, value))
            return
        self._notifying = True
        try:
            self._emit(value)
            while self._notifications:
                self._notifications.popleft()()
        finally:
            self._notifying = False

    def on_completed(self) -> None:
        """Complete the streams of all observers, and of all that subscribe later."""
        self._notify(self._on_completed)

    def forget_observers(self) -> None:
        """In a forked process, forget the observers: they are the parent's.  The latest value stays."""
        self.observers = ()
        self._lock = threading.RLock()
        self._notifications.clear()
        self._notifying = False

    def _notify(self, notification: Callable[[], None]) -> None:
        """Do a notification after those before it, so that all observers get all of them in the same order.

        An observer may be the caller, in the middle of a notification that other observers have yet to get.
        """
        self._notifications.append(notification)
        if self._notifying:
            return
        self._notifying = True
        try:
            while self._notifications:
                self._notifications.popleft()()
        finally:
            self._notifying = False

    def _on_next(self, value: T) -> None:
        if self._replay:
            self._latest = (value,)
            # Any subscriber may cause the next state, while events come in an empty context.
            Context().run(self._emit, value)
        else:
            self._emit(value)

    def _emit(self, value: T) -> None:
        for observer in self.observers:
            try:
                observer.on_next(value)
            except BaseException as error:
                self._observer_failed(observer, error)

    def _on_completed(self) -> None:
        self._completed = True
        with self._lock:
            observers, self.observers = self.observers, ()
        for observer in observers:
            Context().run(self._guard, observer, observer.on_completed)

    def _subscribe(self, observer: ObserverBase[T], scheduler: SchedulerBase | None = None) -> DisposableBase:
        observer = in_subscribers_context(observer)
        disposed = False
        subscriber = observer
        loop = running_loop()
        on_loop: ObserveOnLoop[T] | None = None
        if loop is not None:
            note_thread(observer, threading.get_ident())
            observer = on_loop = ObserveOnLoop(observer, loop, max_bytes=self._max_bytes)

        def add() -> None:
            if disposed:
                return
            if loop is None and running_loop() is not None:  # without a loop yet, nobody knows the thread
                note_thread(observer, threading.get_ident())
            completed = self._completed
            if not completed:
                # Before the latest value is replayed, because that may cause the next value.
                with self._lock:
                    self.observers = (*self.observers, observer)
            for value in self._latest:
                self._guard(observer, observer.on_next, value)
            if completed:
                self._guard(observer, observer.on_completed)

        def dispose() -> None:
            nonlocal disposed
            disposed = True
            if on_loop is not None:
                on_loop.stop_pausing()
            self._run(self._remove, observer)

        self._run(add)
        if loop is not None:
            try:
                check_run(subscriber)
            except RuntimeError:
                dispose()
                raise
        return Disposable(dispose)

    def _remove(self, observer: ObserverBase[T]) -> None:
        with self._lock:
            self.observers = tuple(other for other in self.observers if other is not observer)

    def _guard(self, observer: ObserverBase[T], notify: Callable[..., Any], *values: T) -> None:
        try:
            notify(*values)
        except BaseException as error:
            self._observer_failed(observer, error)

    def _observer_failed(self, observer: ObserverBase[T], raised: BaseException) -> None:
        """End the stream of the observer that raised, and of no other.

        `run` and `async for` below it would wait for ever otherwise.
        """
        self._remove(observer)
        if not isinstance(raised, BufferOverflowError):  # which concerns its consumer alone
            self._report(raised)
        failure = as_exception(raised)
        try:
            observer.on_error(failure)
        except BaseException as error:
            if error is not failure:
                self._report(error)
