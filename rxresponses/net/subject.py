"""A hot source: what `events`, `unrouted` and `state` are made of."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import Disposable

from ..errors import BufferOverflowError, as_exception
from .loops import running_loop
from .observe_on import ObserveOnLoop

T = TypeVar("T")


class IsolatedSubject(Generic[T]):
    """Hand each value to all present observers, one raising observer disturbing no other.

    A `Subject` stops at the first observer that raises, and lets two threads be inside `on_next`
    at once; here all work is done where `run` runs it: on the socket's loop.  With `replay`, a new
    observer gets the latest value first.  One that subscribes on a running loop is told there, within
    `max_bytes`.  The stream of one that raises, or for which too much waits, ends with that error.
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
        self.observable: Observable[T] = Observable(self._subscribe)
        self._run = run
        self._report = report
        self._replay = replay
        self._max_bytes = max_bytes
        self._latest: tuple[T, ...] = ()
        self._completed = False
        self._lock = threading.RLock()  # for `observers`: before the socket has a loop, any thread may subscribe
        self._due: deque[Callable[[], None]] = deque()
        self._busy = False

    def emit(self, value: T) -> None:
        """Hand on one value, after the one that is being handed on if there is one."""
        self._do(partial(self._emit, value))

    def complete(self) -> None:
        """End the source, for later observers too."""
        self._do(self._complete)

    def _do(self, act: Callable[[], None]) -> None:
        """Act, unless an observer is the caller: then when the others have heard what it heard."""
        self._due.append(act)
        if self._busy:
            return
        self._busy = True
        try:
            while self._due:
                self._due.popleft()()
        finally:
            self._busy = False

    def _emit(self, value: T) -> None:
        if self._replay:
            self._latest = (value,)
        for observer in self.observers:
            self._guard(observer, observer.on_next, value)

    def _complete(self) -> None:
        self._completed = True
        with self._lock:
            observers, self.observers = self.observers, ()
        for observer in observers:
            self._guard(observer, observer.on_completed)

    def _subscribe(self, observer: ObserverBase[T], scheduler: SchedulerBase | None = None) -> DisposableBase:
        disposed = False
        here = running_loop()
        home: ObserveOnLoop[T] | None = None
        if here is not None:
            observer = home = ObserveOnLoop(observer, here, max_bytes=self._max_bytes)

        def add() -> None:
            if disposed:
                return
            completed = self._completed
            if not completed:
                # Before the latest value, since handing that on may emit another.
                with self._lock:
                    self.observers = (*self.observers, observer)
            for value in self._latest:
                self._guard(observer, observer.on_next, value)
            if completed:
                self._guard(observer, observer.on_completed)

        def dispose() -> None:
            nonlocal disposed
            disposed = True
            if home is not None:
                home.let_go()
            self._run(self._remove, observer)

        self._run(add)
        return Disposable(dispose)

    def _remove(self, observer: ObserverBase[T]) -> None:
        with self._lock:
            self.observers = tuple(one for one in self.observers if one is not observer)

    def _guard(self, observer: ObserverBase[T], notify: Callable[..., Any], *values: T) -> None:
        try:
            notify(*values)
        except BaseException as error:
            self._remove(observer)
            if not isinstance(error, BufferOverflowError):  # a matter of its consumer alone
                self._report(error)
            self._fail(observer, as_exception(error))

    def _fail(self, observer: ObserverBase[T], failure: Exception) -> None:
        """End the stream of an observer that raised: whoever waits below it (`run`, `async for`) waits for that."""
        try:
            observer.on_error(failure)
        except BaseException as again:
            if again is not failure:
                self._report(again)
