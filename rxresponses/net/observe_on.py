"""Delivery to a subscriber on another event loop: on that loop, within a bound, in order."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from reactivex.abc import ObserverBase

from ..errors import BufferOverflowError, as_exception
from .backpressure import Backlog, ReadPause, current_valve, enter
from .loops import running_loop

T = TypeVar("T")


class ObserveOnLoop(ObserverBase[T]):
    """Pass notifications on to an observer on the loop where it subscribed.

    `await observable` is right only on the loop that awaits, so what another thread has goes there
    first.  What waits is counted in bytes of the frames; when it is over `max_bytes`, `on_next`
    raises `BufferOverflowError`, for its caller to end the stream with.
    """

    def __init__(self, observer: ObserverBase[T], loop: asyncio.AbstractEventLoop, *, max_bytes: int) -> None:
        self._observer = observer
        self._loop = loop
        self._max_bytes = max_bytes
        self._lock = threading.RLock()
        self._waiting: list[tuple[Callable[..., Any], tuple[object, ...], int]] = []
        self._backlog = Backlog(max_bytes, gone=loop.is_closed)
        self._scheduled = False
        self._valve: ReadPause | None = None
        self._ended = False
        self._delivering = False

    def on_next(self, value: T) -> None:
        """Hand an event over; raise `BufferOverflowError` when too much waits already."""
        if self._is_home():
            self._observer.on_next(value)
            return
        self._valve = current_valve()
        if not self._pass(self._observer.on_next, (value,), len(getattr(value, "raw", None) or b"")):
            raise BufferOverflowError(self._max_bytes, unit="bytes", stream_id=getattr(value, "stream_id", None))

    def on_error(self, error: Exception) -> None:
        """Hand the error over, behind what waits."""
        if self._is_home():
            self._observer.on_error(error)
            return
        self.let_go()
        self._pass(self._observer.on_error, (error,), 0)

    def on_completed(self) -> None:
        """Hand the completion over, behind what waits."""
        if self._is_home():
            self._observer.on_completed()
            return
        self.let_go()
        self._pass(self._observer.on_completed, (), 0)

    def let_go(self) -> None:
        """Pause nobody from here on: the stream has ended, or was given up, though some of it waits."""
        with self._lock:
            self._backlog.end()

    def _is_home(self) -> bool:
        """Whether this is the loop already, and nothing that came before is still on its way."""
        return not self._scheduled and not self._delivering and running_loop() is self._loop

    def _pass(self, notify: Callable[..., Any], values: tuple[object, ...], size: int) -> bool:
        if self._ended or self._loop.is_closed():
            return True
        with self._lock:
            if size and not self._backlog.add(size):
                return False
            self._waiting.append((notify, values, size))
            if self._scheduled:
                return True
            self._scheduled = True
        try:
            self._loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:  # the loop is closed: nobody is left to hear it
            with self._lock:
                self._waiting.clear()
                self._backlog.clear()
        return True

    def _deliver(self) -> None:
        with self._lock:
            batch, self._waiting = self._waiting, []
            self._scheduled, self._delivering = False, True
        # A consumer further down may lag as well.
        previous = enter(self._valve)
        try:
            for notify, values, size in batch:
                with self._lock:
                    self._backlog.remove(size)
                notify(*values)
        except BaseException as error:  # it ends this subscription, and the loop reports it
            self._ended = True
            with self._lock:
                self._waiting.clear()
                self._backlog.clear()
            try:
                self._observer.on_error(as_exception(error))
            finally:
                raise error  # also when nobody takes it
        finally:
            self._delivering = False
            enter(previous)
