"""`to_async_iterable`: events for `async for`."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import WeakSet

from reactivex import Observable
from reactivex.disposable import SingleAssignmentDisposable

from ..errors import BufferOverflowError

if TYPE_CHECKING:
    from typing_extensions import Self  # in `typing` only from Python 3.11

T = TypeVar("T")


def to_async_iterable(max_buffered: int = 100_000) -> Callable[[Observable[T]], AsyncStream[T]]:
    """Make a source into an asynchronous iterable, the last step of a `pipe`.

    Marble::

        source:    --a--b--c--X
        async for: --a--b--c--raises X

        async with source.pipe(to_async_iterable()) as events:
            async for event in events:
                ...

    Each iteration subscribes once, at its first step, on the loop that runs there; a second iteration
    subscribes again.  Values may come from any thread.  An error is raised out of the loop after the
    values that came before it.

    Leaving the `async with`, `aclose()`, and cancelling the task that waits for a value dispose the
    source at once, and the iteration is over.  A `break` alone does too, on the next turn of the loop,
    but only once nothing holds the iterator any more: with CPython that is at once, as a rule.

    Values wait in a buffer while the consumer is busy.  When more than `max_buffered` wait, the
    source is disposed, and the consumer gets `BufferOverflowError` after the values buffered:
    nothing is left out in between.  `max_buffered` must be a positive integer (`ValueError`,
    `TypeError` at once).
    """
    if isinstance(max_buffered, bool) or not isinstance(max_buffered, int):
        raise TypeError(f"max_buffered must be an integer, not {max_buffered!r}")
    if max_buffered < 1:
        raise ValueError(f"max_buffered must be at least 1, not {max_buffered}")

    def operator(source: Observable[T]) -> AsyncStream[T]:
        return AsyncStream(source, max_buffered)

    return operator


class AsyncStream(AsyncIterable[T]):
    """A source as `to_async_iterable` gives it: for `async for`, best inside `async with`."""

    def __init__(self, source: Observable[T], max_buffered: int) -> None:
        self._source = source
        self._max_buffered = max_buffered
        self._iterators: WeakSet[_Iterator[T]] = WeakSet()

    def __aiter__(self) -> AsyncIterator[T]:
        iterator = _Iterator(self._source, self._max_buffered)
        self._iterators.add(iterator)
        return iterator

    async def aclose(self) -> None:
        """End all iterations under way and dispose their subscriptions; on the loop they run on."""
        for iterator in list(self._iterators):
            await iterator.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


class _Inbox(Generic[T]):
    """What the source fills and the iterator empties.

    The source knows only the inbox, so that an iterator which nobody holds any more can be
    collected while its source still runs.
    """

    def __init__(self, max_buffered: int) -> None:
        self._max_buffered = max_buffered
        self._lock = threading.Lock()  # never held while anything is called
        self._values: deque[T] = deque()
        self._ended = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._waiting_thread = 0
        self.subscription = SingleAssignmentDisposable()

    def on_next(self, value: T) -> None:
        with self._lock:
            if self._ended:
                return
            full = len(self._values) >= self._max_buffered
            if not full:
                self._values.append(value)
        if full:
            self.end(BufferOverflowError(self._max_buffered, stream_id=getattr(value, "stream_id", None)))
            self.subscription.dispose()
        else:
            self._wake()

    def end(self, error: Exception | None = None, *, clear: bool = False) -> None:
        with self._lock:
            if clear:
                self._values.clear()
                self._error = None
            elif not self._ended:
                self._error = error
            self._ended = True
        self._wake()

    async def take(self) -> T:
        """Return the next value; raise the source's error, or `StopAsyncIteration`, at the end."""
        while True:
            with self._lock:
                if self._values:
                    return self._values.popleft()
                if self._ended:
                    error, self._error = self._error, None
                    raise error or StopAsyncIteration
                if self._waiter is not None:
                    raise RuntimeError("another task is already waiting for the next value of this iterator")
                waiter = self._waiter = asyncio.get_running_loop().create_future()
                self._waiting_thread = threading.get_ident()
            await waiter

    def _wake(self) -> None:
        with self._lock:
            waiter, self._waiter = self._waiter, None
        if waiter is None:
            return
        if threading.get_ident() == self._waiting_thread:
            _resolve(waiter)
            return
        with contextlib.suppress(RuntimeError):  # the consumer's loop is closed: nobody is waiting
            waiter.get_loop().call_soon_threadsafe(_resolve, waiter)


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class _Iterator(AsyncIterator[T]):
    """One iteration, with a subscription of its own."""

    def __init__(self, source: Observable[T], max_buffered: int) -> None:
        self._source: Observable[T] | None = source
        self._inbox: _Inbox[T] = _Inbox(max_buffered)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __anext__(self) -> T:
        inbox = self._inbox
        if self._source is not None:
            source, self._source = self._source, None
            self._loop = asyncio.get_running_loop()
            inbox.subscription.disposable = source.subscribe(inbox.on_next, inbox.end, inbox.end)
        try:
            return await inbox.take()
        except asyncio.CancelledError:
            self._close()
            raise

    async def aclose(self) -> None:
        """End the iteration: dispose the subscription; what is buffered is gone."""
        self._close()

    def _close(self) -> None:
        self._source = None
        self._inbox.end(clear=True)
        self._inbox.subscription.dispose()

    def __del__(self) -> None:
        if self._loop is None:
            return
        dispose = self._inbox.subscription.dispose
        # On the loop, not here: collection may strike in the middle of anything, locks held included.
        try:
            self._loop.call_soon_threadsafe(dispose)
        except RuntimeError:
            dispose()
