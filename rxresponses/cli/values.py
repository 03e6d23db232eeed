"""`values`: the values of a pipeline, on the thread of the command."""

from __future__ import annotations

from collections.abc import Generator
from math import inf
from queue import Empty, SimpleQueue
from threading import Lock
from time import monotonic
from typing import Generic, TypeVar, overload

from reactivex import Notification, Observable
from reactivex import operators as ops
from reactivex.disposable import SingleAssignmentDisposable
from reactivex.notification import OnError, OnNext

from ..errors import BufferOverflowError, TerminalTimeoutError
from ..net.backpressure import Backlog, size_of

T = TypeVar("T")

_MAX_WAITING = 2**26  # bytes of events or texts that wait while standard output does not take them


@overload
def values(source: Observable[T], timeout: float | None = None, *, tick: None = None) -> Generator[T, None, None]: ...


@overload
def values(source: Observable[T], timeout: float | None = None, *, tick: float) -> Generator[T | None, None, None]: ...


def values(
    source: Observable[T], timeout: float | None = None, *, tick: float | None = None
) -> Generator[T | None, None, None]:
    """Yield what a source emits, in the thread of the caller; raise its error.

    An observer would write on the socket's thread.  A reader that pauses a pipe would then block the socket,
    and Ctrl-C could not interrupt the write.  So values wait in a queue.  When that is half full, the socket stops
    reading until the queue is nearly empty: at most `_MAX_WAITING` bytes wait.

    If the source has not ended `timeout` seconds after the start, it is disposed, and `TerminalTimeoutError` is raised.
    With `tick`, `None` is yielded whenever no value has come for `tick` seconds.
    """
    end = inf if timeout is None else monotonic() + timeout
    has_begun = False
    with _Subscription(source) as subscription:
        while True:
            wait = min(end - monotonic(), inf if tick is None else tick)
            try:
                notification = subscription.next(None if wait == inf else max(wait, 0))
            except Empty:
                if timeout is not None and (tick is None or monotonic() >= end):
                    raise TerminalTimeoutError(timeout, delivery="started" if has_begun else "unknown") from None
                yield None
                continue
            if not isinstance(notification, OnNext):
                break
            has_begun = True
            yield notification.value
    if isinstance(notification, OnError):
        raise notification.exception


class _Subscription(Generic[T]):
    """A subscription whose notifications wait for the thread that takes them."""

    def __init__(self, source: Observable[T]) -> None:
        self._source = source
        self._notifications: SimpleQueue[Notification[T]] = SimpleQueue()
        self._backlog, self._lock = Backlog(_MAX_WAITING), Lock()
        self._subscription = SingleAssignmentDisposable()

    def __enter__(self) -> _Subscription[T]:
        self._subscription.disposable = self._source.pipe(ops.materialize()).subscribe(self._put)
        return self

    def __exit__(self, *_: object) -> None:
        self._subscription.dispose()

    def next(self, seconds: float | None) -> Notification[T]:
        """Return the next notification; raise `Empty` when none has come for some seconds."""
        notification = self._notifications.get(timeout=seconds)
        if isinstance(notification, OnNext):
            with self._lock:
                self._backlog.remove(_size(notification.value))
        return notification

    def _put(self, notification: Notification[T]) -> None:
        has_room = True
        with self._lock:
            if isinstance(notification, OnNext):
                has_room = self._backlog.add(_size(notification.value))
            else:
                self._backlog.stop_pausing()
        if has_room:
            self._notifications.put(notification)
        else:
            self._notifications.put(OnError(BufferOverflowError(_MAX_WAITING, unit="bytes")))
            self._subscription.dispose()


def _size(value: object) -> int:
    return size_of(value[-1] if isinstance(value, tuple) else value)  # an event may come with its time
