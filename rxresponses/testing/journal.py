"""The record of what a server received and how it answered, and waiting for a change of this record."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

from ..redaction import display, shown_data, shown_field
from .jsontext import JSON, decode
from .latest import Latest
from .replies import Intervention

Outcome = Literal["completed", "incomplete", "failed", "refused", "lost"]
"""How a request ended: see `Exchange.outcome`."""

Condition = Callable[[], object]
"""What a test waits for: a function whose result is true or false, of any type."""


@dataclass(frozen=True, repr=False)
class Received:
    """One frame that the server received from a client, whether or not it is a valid message.

    Its `repr` does not show the credentials of tools.
    """

    connection: int
    """The number of the connection, counted from 1."""

    frame: str | bytes
    """The text of a text frame, the bytes of a binary frame."""

    @cached_property
    def message(self) -> Any:
        """The JSON value of the frame, `None` if the frame is not JSON."""
        try:
            return decode(self.frame)
        except ValueError:
            return None

    def __repr__(self) -> str:
        shown = f"({len(self.frame)} long, no JSON)" if self.message is None else repr(shown_data(self.message))
        return f"Received(connection={self.connection}, frame={shown})"


@dataclass(repr=False)
class Upgrade:
    """One attempt of a client to open a connection: its HTTP request, and the status of the answer.

    Its `repr` shows neither the query nor the headers.
    """

    connection: int
    """The number of the connection, counted from 1.  Refused attempts count too."""

    path: str
    """The path of the request with its query."""

    headers: Mapping[str, str]
    """The headers of the request, with lower-case names.  They may hold credentials."""

    received: float
    """When the request arrived, in seconds of `time.monotonic`."""

    status: int | None = None
    """The HTTP status of the answer, 101 if the connection was opened; `None` before the answer."""

    @property
    def size(self) -> int:
        """The size of the path and the headers, in characters."""
        return len(self.path) + sum(len(name) + len(value) for name, value in self.headers.items())

    def __repr__(self) -> str:
        return f"Upgrade(connection={self.connection}, path={display(self.path)!r}, status={self.status})"


@dataclass(repr=False)
class Exchange:
    """One `response.create` that the server received, and what has become of it.

    Its `repr` does not show the credentials of tools.  Times are in seconds of `time.monotonic`.
    """

    number: int
    """The number of the request on the server, counted from 1 in the order of arrival."""

    ordinal: int
    """The number of the request on its connection, counted from 1 in the order of arrival."""

    connection: int
    """The number of the connection, counted from 1."""

    message: JSON
    """The message as received."""

    received: float
    """When the request arrived."""

    started: float | None = None
    """When the response was started, `None` if the request waits or was refused."""

    response_id: str | None = None
    """The id of the response, `None` before it was started."""

    outcome: Outcome | None = None
    """How the request ended, `None` as long as it has not ended.

    `completed`, `incomplete`, `failed`: the response ended so, or with an `error` after other events (`failed`).
    `refused`: the first event of the answer was an `error`.
    `lost`: the connection ended before the response, by whichever side.  So this is also the outcome of a response that
    the client has cancelled, which it does by closing the connection (`on_dispose="close"`).
    """

    faults: tuple[Intervention, ...] = ()
    """What the fault plan did to this request: the `what` of each `Fault` that matched it."""

    events: int = 0
    """How many events of the response the server has sent so far.  The client may have received fewer."""

    size: int = 0
    """The size of the message, in bytes or characters of JSON."""

    error: JSON | None = None
    """The `error` with which the request was refused, or its response failed, `None` without one."""

    def __copy__(self) -> Exchange:
        # In one step, because the server continues on its thread, and many times faster than `copy` by itself: a test
        # that waits looks at all requests again and again.
        snapshot = object.__new__(Exchange)
        snapshot.__dict__ = self.__dict__.copy()
        return snapshot

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={shown_field(name, value)!r}" for name, value in vars(self).items())
        return f"Exchange({fields})"


class JournalLog(Protocol):
    """What a journal tells a log, as `ServerLog` describes it."""

    def connection(self, upgrade: Upgrade) -> None:
        """An attempt to open a connection is answered."""

    def request(self, exchange: Exchange) -> None:
        """A request has arrived."""

    def message(self, received: Received) -> None:
        """A frame has arrived, with a request or not."""

    def outcome(self, exchange: Exchange, now: float) -> None:
        """A request has ended."""


class Journal:
    """Records frames, requests and upgrades, and wakes the callers that wait for a change.

    All methods may be used from any thread.

    Args:
        limit: how many frames, requests and upgrades are kept, the latest of each; `None` keeps all.
        size: how many bytes the frames, the requests and the upgrades may have, each of the three together.
        log: writes down what is recorded.
    """

    def __init__(self, limit: int | None = None, size: int | None = None, log: JournalLog | None = None) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._received = 0  # frames
        self._frames: Latest[int, Received] = Latest(limit, size)
        self._requests = 0
        self._exchanges: Latest[int, Exchange] = Latest(limit, size)
        self._upgrades: Latest[int, Upgrade] = Latest(limit, size)
        self._watchers: set[Callable[[], object]] = set()

    @property
    def frames(self) -> list[Received]:
        """The frames so far, oldest first."""
        with self._lock:
            return self._frames.values()

    @property
    def exchanges(self) -> list[Exchange]:
        """Copies of the requests so far, oldest first.  The copies do not change later."""
        with self._lock:
            return [copy(exchange) for exchange in self._exchanges.values()]

    @property
    def upgrades(self) -> list[Upgrade]:
        """Copies of the upgrades so far, oldest first.  The copies do not change later."""
        with self._lock:
            return [copy(upgrade) for upgrade in self._upgrades.values()]

    def add_request(self, connection: int, ordinal: int, message: JSON, now: float, size: int) -> Exchange:
        """Record a request of `size` bytes that arrived.

        This wakes no waiting caller: the server records the frame of the request next, and `add_frame` does.
        """
        with self._lock:
            self._requests += 1
            exchange = Exchange(self._requests, ordinal, connection, message, now, size=size)
            self._exchanges.add(self._requests, exchange, size)
        if self._log is not None:
            self._log.request(exchange)
        return exchange

    def end_request(self, exchange: Exchange, outcome: Outcome) -> None:
        """Record how a request ended.  Only the first outcome counts."""
        if exchange.outcome is None:
            exchange.outcome = outcome
            if self._log is not None:
                self._log.outcome(exchange, time.monotonic())
            self.notify()

    def add_upgrade(self, upgrade: Upgrade) -> None:
        """Record an attempt to open a connection."""
        with self._lock:
            self._upgrades.add(upgrade.connection, upgrade, upgrade.size)
        self.notify()

    def answer_upgrade(self, upgrade: Upgrade, status: int) -> None:
        """Record the HTTP status with which an attempt to open a connection is answered."""
        upgrade.status = status
        if self._log is not None:
            self._log.connection(upgrade)
        self.notify()

    def add_frame(self, frame: Received) -> None:
        """Record a frame that arrived."""
        with self._lock:
            self._received += 1
            self._frames.add(self._received, frame, len(frame.frame))
        if self._log is not None:
            self._log.message(frame)
        self.notify()

    def notify(self) -> None:
        """Let the waiting callers evaluate their conditions again."""
        with self._lock:
            watchers = list(self._watchers)
        for watcher in watchers:
            watcher()

    def wait_until(self, condition: Condition, timeout: float) -> None:
        """Block this thread until `condition` holds.

        Raises:
            TimeoutError: if it does not hold within `timeout` seconds.
        """
        changed = threading.Event()
        deadline = time.monotonic() + timeout
        with self._watched(changed.set):
            while not condition():
                if not changed.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"The condition did not hold within {timeout:g} s")
                changed.clear()

    async def until(self, condition: Condition, timeout: float | None) -> None:
        """Wait until `condition` holds, on the running loop.

        Raises:
            TimeoutError: if it does not hold within `timeout` seconds; `None` waits without end.
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
        """Call `watcher` at each change, from the thread that makes the change, while the context is open."""
        with self._lock:
            self._watchers.add(watcher)
        try:
            yield
        finally:
            with self._lock:
                self._watchers.discard(watcher)
