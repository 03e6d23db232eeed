"""`to_async_iterable`: a source for `async for`."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Generic, TypeVar

from reactivex import Observable
from reactivex.disposable import SingleAssignmentDisposable

from ..errors import BufferOverflowError
from ..net.backpressure import Backlog, size_of
from ..options import MEBIBYTE
from ..raised import as_exception
from ..scalars import plain_scalar
from ._arguments import makes_operator

if TYPE_CHECKING:
    from typing_extensions import Self  # in `typing` only from Python 3.11

T = TypeVar("T")


@makes_operator
def to_async_iterable(
    max_buffered: int = 10_000, *, max_buffered_bytes: int = 64 * MEBIBYTE
) -> Callable[[Observable[T]], AsyncStream[T]]:
    """Turn a source into an asynchronous iterable, as the last step of a `pipe`.

    Marble::

        source:    --a--b--c--X
        async for: --a--b--c--raises X

        async with source.pipe(to_async_iterable()) as events:
            async for event in events:
                ...

    Each iteration subscribes to the source once, at its first step, on the running loop.  Values may come from
    any thread.  An error of the source is raised after the values before it.

    The source is disposed, and the iteration ends, at the end of the `async with`, by `aclose()`, and when the
    task that waits for a value is cancelled.  A `break` alone disposes the source on a later turn of the loop,
    after the iterator was garbage-collected; CPython usually does that at once.

    Values wait in a buffer while the consumer is busy.  When the buffer is half full, the socket stops reading
    until the buffer is nearly empty.  It does so only if the response is alone on its connection and no request
    waits for its end, because other consumers must not wait for this consumer.  If more than `max_buffered` values
    wait, or events and texts of more than `max_buffered_bytes` of memory, the source is disposed, and the consumer
    gets `BufferOverflowError` after the buffered values, so no value is missing in between.  A value that waits
    alone may be larger.  Both limits must be positive integers; the call raises `ValueError` or `TypeError`
    otherwise.
    """
    max_buffered, max_buffered_bytes = plain_scalar(max_buffered), plain_scalar(max_buffered_bytes)
    for name, limit in (("max_buffered", max_buffered), ("max_buffered_bytes", max_buffered_bytes)):
        if isinstance(limit, bool) or not isinstance(limit, int):
            raise TypeError(f"{name} must be an integer, not {limit!r}")
        if limit < 1:
            raise ValueError(f"{name} must be at least 1, not {limit}")

    def operator(source: Observable[T]) -> AsyncStream[T]:
        return AsyncStream(source, max_buffered, max_buffered_bytes)

    return operator


class AsyncStream(AsyncIterable[T]):
    """The result of `to_async_iterable`: iterate over it with `async for`, inside `async with`."""

    def __init__(self, source: Observable[T], max_buffered: int, max_bytes: int) -> None:
        self._source = source
        self._limits = max_buffered, max_bytes
        self._open: set[_Inbox[T]] = set()

    def __aiter__(self) -> AsyncIterator[T]:
        return _Iterator(self._source, _Inbox(*self._limits, self._open))

    async def aclose(self) -> None:
        """End all running iterations and dispose their subscriptions.  Call this on the loop of the iterations."""
        for inbox in list(self._open):
            inbox.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


class _Inbox(Generic[T]):
    """The buffer between a source and an iterator.

    The source refers to the inbox only.  So an iterator without other references can be garbage-collected while
    its source still runs.
    """

    def __init__(self, max_buffered: int, max_bytes: int, registry: set[_Inbox[T]]) -> None:
        self._max_buffered = max_buffered
        self._max_bytes = max_bytes
        # Both limits are one: a small value counts as its share of the buffer, so that just `max_buffered` have room.
        self._share = -(-max_bytes // max_buffered)
        self._registry = registry  # the open inboxes of the stream
        # Never held during a call of foreign code.  Reentrant, because garbage collection may call `close` anywhere.
        self._lock = threading.RLock()
        self._values: deque[tuple[T, int]] = deque()  # each with its size
        self._backlog = Backlog(self._share * max_buffered)
        self._ended = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._waiting_thread = 0
        self._subscription = SingleAssignmentDisposable()

    def subscribe(self, source: Observable[T]) -> None:
        self._registry.add(self)
        self._subscription.disposable = source.subscribe(self._on_next, self._end, self._end)

    def _on_next(self, value: T) -> None:
        size = max(size_of(value), self._share)
        with self._lock:
            if self._ended:
                return
            full = not self._backlog.add(size)
            if not full:
                self._values.append((value, size))
            waiter, self._waiter = self._waiter, None
        if full:
            lane = getattr(value, "stream_id", None)
            if len(self._values) < self._max_buffered:
                self._end(BufferOverflowError(self._max_bytes, unit="bytes", stream_id=lane))
            else:
                self._end(BufferOverflowError(self._max_buffered, stream_id=lane))
            self._subscription.dispose()
        if waiter is not None:
            self._resume(waiter)

    def _end(self, error: Exception | None = None) -> None:
        with self._lock:
            if not self._ended:
                self._ended, self._error = True, None if error is None else as_exception(error)
                self._backlog.stop_pausing()  # the consumer gets nothing more of the response
        self._wake()

    def close(self) -> None:
        """Drop the buffered values, end the iteration, dispose the subscription."""
        with self._lock:
            self._values.clear()
            self._backlog.clear()
            self._ended, self._error = True, None
        self._wake()
        self._registry.discard(self)
        self._subscription.dispose()

    def take_waiting(self) -> tuple[T] | None:
        """Return the next value if one waits; `None` if not, and at the end."""
        with self._lock:
            if not self._values:
                return None
            value, size = self._values.popleft()
            self._backlog.remove(size)
        return (value,)

    async def take(self) -> T:
        """Return the next value; raise the source's error, or `StopAsyncIteration`, at the end."""
        while True:
            with self._lock:
                found = self.take_waiting()
                if found is not None:
                    return found[0]
                if self._ended:
                    raise self._error or StopAsyncIteration
                waiter = self._waiter = asyncio.get_running_loop().create_future()
                self._waiting_thread = threading.get_ident()
            await waiter

    def _wake(self) -> None:
        with self._lock:
            waiter, self._waiter = self._waiter, None
        if waiter is not None:
            self._resume(waiter)

    def _resume(self, waiter: asyncio.Future[None]) -> None:
        if threading.get_ident() == self._waiting_thread:
            _resolve(waiter)
            return
        with contextlib.suppress(RuntimeError):  # the consumer's loop is closed, so no task waits
            waiter.get_loop().call_soon_threadsafe(_resolve, waiter)


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class _Iterator(AsyncIterator[T]):
    """An iteration, with its own subscription."""

    def __init__(self, source: Observable[T], inbox: _Inbox[T]) -> None:
        self._source: Observable[T] | None = source
        self._inbox = inbox
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stepping = False

    async def __anext__(self) -> T:
        if self._stepping:
            raise RuntimeError("another task is already waiting for the next value of this iterator")
        found = self._inbox.take_waiting()  # without a coroutine for a value that is there already
        if found is not None:
            return found[0]
        self._stepping = True
        try:
            if self._source is not None:
                source, self._source = self._source, None
                self._loop = asyncio.get_running_loop()
                self._inbox.subscribe(source)
            return await self._inbox.take()
        except BaseException:
            self._inbox.close()
            raise
        finally:
            self._stepping = False

    async def aclose(self) -> None:
        """End the iteration: dispose the subscription and drop the buffered values."""
        self._source = None
        self._inbox.close()

    def __del__(self) -> None:
        if self._loop is None:
            return
        # On the loop, not here: garbage collection may come at any point, also while a lock is held.
        try:
            self._loop.call_soon_threadsafe(self._inbox.close)
        except RuntimeError:
            self._inbox.close()
