"""What a server received and what became of it, and waiting for it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from .replies import Intervention
from .wire import JSON, decode

Outcome = Literal["completed", "incomplete", "failed", "refused", "lost"]
Condition = Callable[[], bool]


@dataclass(frozen=True)
class Received:
    """One frame that a client sent."""

    connection: int
    """The number of the connection, counted from 1."""

    frame: str | bytes

    @cached_property
    def message(self) -> Any:
        """The JSON value of the frame, `None` if it is no JSON."""
        try:
            return decode(self.frame)
        except ValueError:
            return None


@dataclass
class Upgrade:
    """One attempt to open a connection.  Times are in seconds of `time.monotonic`."""

    connection: int
    """The number of the connection, counted from 1; attempts that were refused count too."""

    path: str
    """The path with its query."""

    headers: Mapping[str, str] = field(repr=False)
    """The headers of the request, with lower-case names.  Credentials are among them."""

    received: float
    status: int | None = None
    """What was answered, 101 for welcome; `None` before."""


@dataclass
class Exchange:
    """One `response.create`, and what became of it.  Times are in seconds of `time.monotonic`."""

    # `outcome` stands before `events`: a copy made while the server goes on then never has too few events.
    number: int
    """Its place among the requests of the server, counted from 1 as they arrived."""

    ordinal: int
    """Its place among the requests of its connection."""

    connection: int
    """The number of the connection, counted from 1."""

    message: JSON
    received: float
    started: float | None = None
    """When the response was started; `None` while it waits, and if it was refused."""

    response_id: str | None = None
    outcome: Outcome | None = None
    """How it ended; `None` before that.

    `completed`, `incomplete` and `failed` as the response did; a bare `error` after events is `failed` too.
    `refused`: answered with an `error` before any other event.  `lost`: the connection ended first.
    """

    faults: tuple[Intervention, ...] = ()
    """What the fault plan chose to do to it."""

    events: int = 0
    """How many of its events were handed to the connection: the client may have received fewer."""


class Journal:
    """What was received, and those who wait for a change.  Usable from any thread.

    With `limit` only so many frames, exchanges and upgrades are kept, the latest.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._lock = threading.Lock()
        self._entries: deque[Received] = deque(maxlen=limit)
        self._exchanges: deque[Exchange] = deque(maxlen=limit)
        self._upgrades: deque[Upgrade] = deque(maxlen=limit)
        self._requests = 0
        self._watchers: set[Callable[[], object]] = set()

    @property
    def entries(self) -> list[Received]:
        """The frames so far, oldest first."""
        with self._lock:
            return list(self._entries)

    @property
    def exchanges(self) -> list[Exchange]:
        """The requests so far as they stand now, oldest first."""
        with self._lock:
            return [copy(exchange) for exchange in self._exchanges]

    @property
    def upgrades(self) -> list[Upgrade]:
        """The attempts to connect so far as they stand now, oldest first."""
        with self._lock:
            return [copy(upgrade) for upgrade in self._upgrades]

    def open(self, connection: int, ordinal: int, message: JSON, now: float) -> Exchange:
        """Begin an exchange.  The frame itself is added after it, which tells those who wait."""
        with self._lock:
            self._requests += 1
            exchange = Exchange(self._requests, ordinal, connection, message, now)
            self._exchanges.append(exchange)
        return exchange

    def close(self, exchange: Exchange, outcome: Outcome) -> None:
        """End an exchange, unless it has ended, and tell those who wait."""
        if exchange.outcome is None:
            exchange.outcome = outcome
            self.notify()

    def attempt(self, upgrade: Upgrade) -> None:
        """Append an attempt to connect and tell those who wait."""
        with self._lock:
            self._upgrades.append(upgrade)
        self.notify()

    def add(self, entry: Received) -> None:
        """Append a frame and tell those who wait."""
        with self._lock:
            self._entries.append(entry)
        self.notify()

    def notify(self) -> None:
        """Let those who wait look again."""
        with self._lock:
            watchers = list(self._watchers)
        for watcher in watchers:
            watcher()

    def wait_until(self, condition: Condition, timeout: float) -> None:
        """Block this thread until `condition` holds.

        Raises:
            TimeoutError: if it does not within `timeout` seconds.
        """
        changed = threading.Event()
        deadline = time.monotonic() + timeout
        with self._watched(changed.set):
            while not condition():
                if not changed.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"The condition did not hold within {timeout:g} s")
                changed.clear()

    async def until(self, condition: Condition, timeout: float | None) -> None:
        """Wait until `condition` holds, on any loop.

        Raises:
            TimeoutError: if it does not within `timeout` seconds; `None` waits for ever.
        """
        changed = asyncio.Event()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout if timeout is not None else None
        timer = loop.call_at(deadline, changed.set) if deadline is not None else None
        try:
            with self._watched(lambda: loop.call_soon_threadsafe(changed.set)):
                while not condition():
                    if deadline is not None and loop.time() >= deadline:
                        raise TimeoutError(f"The condition did not hold within {timeout:g} s")
                    await changed.wait()
                    changed.clear()
        finally:
            if timer is not None:
                timer.cancel()

    @contextmanager
    def _watched(self, watcher: Callable[[], object]) -> Iterator[None]:
        with self._lock:
            self._watchers.add(watcher)
        try:
            yield
        finally:
            with self._lock:
                self._watchers.discard(watcher)
