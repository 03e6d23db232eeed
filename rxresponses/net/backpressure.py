"""Back-pressure: how a lagging consumer pauses the connection that its events come from.

The pipeline that the user composed lies between the consumer and the connection, so neither has a
reference to the other.  They meet in a thread-local: while a connection delivers events,
`current_read_pause()` returns its `ReadPause`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

EVENT_OVERHEAD = 600
"""About how many bytes an event takes in memory besides its frame, so that tiny events are not counted as nothing."""

_CHECK_INTERVAL = 0.5  # seconds between two checks, during a pause, whether the lagging consumers still exist


class _Delivering(threading.local):
    read_pause: ReadPause | None = None


_delivering = _Delivering()


def current_read_pause() -> ReadPause | None:
    """Return the `ReadPause` of the connection that delivers on this thread now, `None` outside a delivery."""
    return _delivering.read_pause


def set_current_read_pause(read_pause: ReadPause | None) -> ReadPause | None:
    """Set what `current_read_pause` returns on this thread; return the previous value, to be restored afterwards."""
    previous = _delivering.read_pause
    _delivering.read_pause = read_pause
    return previous


class ReadPause:
    """Pause reading from one connection while a consumer lags, as long as no other request suffers from it.

    A pause stops every event of the connection.  While several responses run there, or requests wait
    for the running response to end, the pause is not allowed; the buffer of the lagging consumer then
    holds the events, up to its bound.

    `consumer_lags` and `consumer_caught_up` may be called from any thread; everything else happens on
    the connection's loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self.active = False
        self.count = 0  # pauses so far; a change between two looks shows that there was a pause in between
        self._loop = loop
        self._thread = threading.get_ident()
        self._pause = pause
        self._resume = resume
        self._lagging: dict[object, Callable[[], bool] | None] = {}
        self._allowed = True
        self._timer: asyncio.TimerHandle | None = None

    def consumer_lags(self, consumer: object, is_gone: Callable[[], bool] | None = None) -> None:
        """Note that a consumer has enough for now.

        `is_gone` is called from time to time during a pause and tells whether the consumer will never
        catch up.  It is needed because a consumer's event loop that is closed notifies nothing.
        """
        self._call(partial(self._lagging.__setitem__, consumer, is_gone))

    def consumer_caught_up(self, consumer: object) -> None:
        """Note that a consumer can take more events, or that no more events are meant for it."""
        self._call(partial(self._lagging.pop, consumer, None))

    def allow(self, allowed: bool) -> None:
        """Set whether a pause is allowed; it is not while it would hold up other requests."""
        if allowed is not self._allowed:
            self._allowed = allowed
            self._update()

    def _call(self, change: Callable[[], object]) -> None:
        if threading.get_ident() == self._thread:
            self._apply(change)
        else:
            with suppress(RuntimeError):  # the loop is closed, and with it the connection
                self._loop.call_soon_threadsafe(self._apply, change)

    def _apply(self, change: Callable[[], object]) -> None:
        change()
        self._update()

    def _update(self) -> None:
        active = bool(self._lagging) and self._allowed
        if active is not self.active:
            self.active = active
            if active:
                self.count += 1
                self._pause()
            else:
                # In a later turn of the loop: resuming delivers the events that were held back, and the
                # caller may be the consumer in the middle of taking an event.
                self._loop.call_soon(self._resume_reading)
        if active and self._timer is None and any(self._lagging.values()):
            self._timer = self._loop.call_later(_CHECK_INTERVAL, self._remove_gone)

    def _remove_gone(self) -> None:
        """Remove the lagging consumers that no longer exist, so that they do not hold up the connection."""
        self._timer = None
        gone = [consumer for consumer, is_gone in self._lagging.items() if is_gone is not None and is_gone()]
        for consumer in gone:
            del self._lagging[consumer]
        self._update()

    def _resume_reading(self) -> None:
        if not self.active:  # paused again meanwhile
            self._resume()


def size_of(value: object) -> int:
    """Return about how many bytes an event or a text takes while it waits for its consumer."""
    content = value if isinstance(value, (str, bytes)) else getattr(value, "raw", None)
    return EVENT_OVERHEAD + len(content or b"")


class Backlog:
    """Counts what waits in the buffer of one consumer, up to a limit.

    Over half the limit, the consumer lags: the connections whose events fill the buffer pause.  At a
    quarter of the limit it has caught up.  The two marks lie apart so that reading is not paused and
    resumed for each event.  Not thread-safe: the owner calls all methods under its own lock.
    """

    def __init__(self, limit: int, is_gone: Callable[[], bool] | None = None) -> None:
        self._limit = limit
        self._is_gone = is_gone
        self._waiting = 0
        self._pauses = True
        self._paused: set[ReadPause] = set()

    def add(self, size: int = 1) -> bool:
        """Count an item that is to wait; return `False`, without counting it, when there is no room for it.

        An empty buffer has room for an item of any size.
        """
        if self._waiting and self._waiting + size > self._limit:
            return False
        self._waiting += size
        if 2 * self._waiting > self._limit and self._pauses:
            read_pause = current_read_pause()
            if read_pause is not None and read_pause not in self._paused:
                self._paused.add(read_pause)
                read_pause.consumer_lags(self, self._is_gone)
        return True

    def remove(self, size: int = 1) -> None:
        """Count an item that the consumer took."""
        self._waiting -= size
        if self._paused and 4 * self._waiting <= self._limit:
            self._catch_up()

    def clear(self) -> None:
        """Count that nothing waits any more."""
        self._waiting = 0
        self._catch_up()

    def stop_pausing(self) -> None:
        """End the pauses, and begin none from here on: no more events are to come for what waits."""
        self._pauses = False
        self._catch_up()

    def _catch_up(self) -> None:
        for read_pause in self._paused:
            read_pause.consumer_caught_up(self)
        self._paused.clear()
