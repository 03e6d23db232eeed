"""Delivery on the subscriber's event loop: in order, and with a bounded buffer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from reactivex.abc import ObserverBase

from ..errors import BufferOverflowError
from ..raised import as_exception
from .backpressure import EVENT_OVERHEAD, Backlog, ReadPause, current_read_pause, set_current_read_pause
from .loops import running_loop

T = TypeVar("T")


class ObserveOnLoop(ObserverBase[T]):
    """Pass notifications on to an observer, on the event loop where it subscribed.

    An observer may use asyncio objects of its loop, as `await observable` does, and these are not safe
    to use on another thread.  Notifications from other threads wait in a buffer for their turn of the
    loop; the buffer is measured in bytes of memory, the frames included.  When it would exceed `max_bytes`,
    `on_next` raises `BufferOverflowError`, and the caller ends the stream with it.
    """

    def __init__(self, observer: ObserverBase[T], loop: asyncio.AbstractEventLoop, *, max_bytes: int) -> None:
        self._observer = observer
        self._loop = loop
        self._max_bytes = max_bytes
        self._lock = threading.RLock()
        self._waiting: list[tuple[Callable[..., Any], tuple[object, ...], int]] = []
        self._backlog = Backlog(max_bytes, is_gone=loop.is_closed)
        self._scheduled = False
        self._read_pause: ReadPause | None = None
        self._raised = False
        self._delivering = False

    def on_next(self, value: T) -> None:
        """Pass a value on; raises `BufferOverflowError` when there is no room for it."""
        if not self._scheduled and not self._delivering and running_loop() is self._loop:  # `_is_direct`
            self._observer.on_next(value)
            return
        self._read_pause = current_read_pause()
        size = EVENT_OVERHEAD + len(getattr(value, "raw", None) or b"")
        if not self._pass(self._emit, (value,), size):
            raise BufferOverflowError(self._max_bytes, unit="bytes", stream_id=getattr(value, "stream_id", None))

    def on_error(self, error: Exception) -> None:
        """Pass an error on, after the values that wait."""
        if self._is_direct():
            self._observer.on_error(error)
            return
        self.stop_pausing()
        self._pass(self._observer.on_error, (error,), 0)

    def on_completed(self) -> None:
        """Pass the completion on, after the values that wait."""
        if self._is_direct():
            self._observer.on_completed()
            return
        self.stop_pausing()
        self._pass(self._observer.on_completed, (), 0)

    def stop_pausing(self) -> None:
        """Pause no connection any more.

        The stream has ended or was disposed, so no more events are to come, even if some still wait.
        """
        with self._lock:
            self._backlog.stop_pausing()

    def _emit(self, value: T) -> None:
        self._observer.on_next(value)  # as it is by then: the subscription may have ended while the value waited

    def _is_direct(self) -> bool:
        """Whether the caller is on the loop already, and no earlier notification waits or is being delivered."""
        return not self._scheduled and not self._delivering and running_loop() is self._loop

    def _pass(self, notify: Callable[..., Any], values: tuple[object, ...], size: int) -> bool:
        """Put a notification into the buffer; return `False` when there is no room for it."""
        if self._raised or self._loop.is_closed():
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
        except RuntimeError:  # the loop was closed meanwhile: the observer is gone with it
            with self._lock:
                self._waiting.clear()
                self._backlog.clear()
        return True

    def _deliver(self) -> None:
        with self._lock:
            batch, self._waiting = self._waiting, []
            self._scheduled, self._delivering = False, True
        # A consumer further down the pipeline may lag too, and looks here for the connection to pause.
        previous = set_current_read_pause(self._read_pause)
        try:
            for notify, values, size in batch:
                with self._lock:
                    self._backlog.remove(size)
                notify(*values)
        except BaseException as error:  # it ends this subscription, and the loop reports it
            self._raised = True
            with self._lock:
                self._waiting.clear()
                self._backlog.clear()
            try:
                self._observer.on_error(as_exception(error))
            finally:
                raise error  # the original error, even when `on_error` raises as well
        finally:
            self._delivering = False
            set_current_read_pause(previous)
