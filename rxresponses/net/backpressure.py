"""Back-pressure: how a consumer that lags reaches the connection its events come from.

Between the two lies whatever pipeline the user composed, so they meet in a thread-local: while a
connection delivers, `current_valve()` is its valve.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

_LOOK_AGAIN = 0.5  # seconds after which a pause is looked into


class _Delivering(threading.local):
    valve: ReadPause | None = None


_delivering = _Delivering()


def current_valve() -> ReadPause | None:
    """Return the valve of the connection that is delivering on this thread, if one is."""
    return _delivering.valve


def enter(valve: ReadPause | None) -> ReadPause | None:
    """Say whose events are delivered on this thread from here on; return who was before."""
    previous = _delivering.valve
    _delivering.valve = valve
    return previous


class ReadPause:
    """Pause a connection while a consumer lags and its response is the only one that is wanted there.

    With several responses, or requests that wait for the one that runs, a pause would starve the
    others: then it does not pause, and the laggard's buffer has to hold what comes, up to its bound.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self.closed = False
        self.pauses = 0  # how often it was closed, to tell whether it was in between
        self._loop = loop
        self._thread = threading.get_ident()
        self._pause = pause
        self._resume = resume
        self._lagging: dict[object, Callable[[], bool] | None] = {}
        self._crowded = False
        self._timer: asyncio.TimerHandle | None = None

    def lag(self, consumer: object, gone: Callable[[], bool] | None = None) -> None:
        """A consumer has enough for now; callable from any thread.

        `gone` is asked from time to time whether it will never catch up: a loop that ends tells nobody.
        """
        self._call(partial(self._lagging.__setitem__, consumer, gone))

    def catch_up(self, consumer: object) -> None:
        """The consumer can take more, or is gone; callable from any thread."""
        self._call(partial(self._lagging.pop, consumer, None))

    def crowd(self, crowded: bool) -> None:
        """Say whether a pause would hold up others."""
        if crowded is not self._crowded:
            self._crowded = crowded
            self._update()

    def _call(self, change: Callable[[], object]) -> None:
        if threading.get_ident() == self._thread:
            self._apply(change)
        else:
            with suppress(RuntimeError):  # the loop is closed: there is nothing left to pause
                self._loop.call_soon_threadsafe(self._apply, change)

    def _apply(self, change: Callable[[], object]) -> None:
        change()
        self._update()

    def _update(self) -> None:
        closed = bool(self._lagging) and not self._crowded
        if closed is not self.closed:
            self.closed = closed
            if closed:
                self.pauses += 1
                self._pause()
            else:
                # Not from within the consumer: to go on means to deliver what was held back.
                self._loop.call_soon(self._go_on)
        if closed and self._timer is None and any(self._lagging.values()):
            self._timer = self._loop.call_later(_LOOK_AGAIN, self._look)

    def _look(self) -> None:
        """Let nobody who is gone hold up the others."""
        self._timer = None
        for consumer in [consumer for consumer, gone in self._lagging.items() if gone is not None and gone()]:
            del self._lagging[consumer]
        self._update()

    def _go_on(self) -> None:
        if not self.closed:
            self._resume()


class Backlog:
    """How much waits for one consumer, with a bound.

    Half full, it closes the valve whose events fill it; a quarter full, it opens it again.  Not
    thread-safe: its owner has a lock.
    """

    def __init__(self, limit: int, gone: Callable[[], bool] | None = None) -> None:
        self._limit = limit
        self._gone = gone
        self._waiting = 0
        self._ended = False
        self._valves: set[ReadPause] = set()

    def add(self, size: int = 1) -> bool:
        """Count something that waits; return whether there was room for it.

        What is alone there always fits, however large.
        """
        if self._waiting and self._waiting + size > self._limit:
            return False
        self._waiting += size
        if 2 * self._waiting > self._limit and not self._ended:
            valve = current_valve()
            if valve is not None and valve not in self._valves:
                self._valves.add(valve)
                valve.lag(self, self._gone)
        return True

    def remove(self, size: int = 1) -> None:
        """Count something that was taken."""
        self._waiting -= size
        if self._valves and 4 * self._waiting <= self._limit:
            self._let_go()

    def clear(self) -> None:
        """Nothing waits any more."""
        self._waiting = 0
        self._let_go()

    def end(self) -> None:
        """Nothing more comes to what waits, which is no reason any more to pause anything."""
        self._ended = True
        self._let_go()

    def _let_go(self) -> None:
        for valve in self._valves:
            valve.catch_up(self)
        self._valves.clear()
