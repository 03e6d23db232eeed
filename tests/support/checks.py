"""Observers that check what they get while a fuzzer runs, and what else it must find in order at the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from reactivex import Observable
from reactivex.abc import ObserverBase
from reactivex.disposable import SingleAssignmentDisposable

from rxresponses import ConnectionState, ResponsesWebSocket, ServerEvent, SocketClosedError

WAIT = 30.0  # seconds after which something hangs; nothing takes that long when all is well
AT_THE_END = 0  # instead of the number of an event
STATES = {
    ConnectionState.IDLE: {ConnectionState.CONNECTING, ConnectionState.CLOSING, ConnectionState.CLOSED},
    ConnectionState.CONNECTING: {ConnectionState.OPEN, ConnectionState.IDLE, ConnectionState.CLOSING},
    ConnectionState.OPEN: {ConnectionState.IDLE, ConnectionState.CLOSING},
    ConnectionState.CLOSING: {ConnectionState.CLOSED},
    ConnectionState.CLOSED: set(),
}
T = TypeVar("T")


class ObserverFailure(Exception):
    """What observers raise that are to fail."""


class Monitor:
    """What all observers of one run share: the problems that they found, and a condition to wait for."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.changed = threading.Condition()

    def report(self, problem: str) -> None:
        """Note a problem.  An assertion would only end the stream of the observer in which it failed."""
        self.problems.append(problem)

    def notify(self) -> None:
        """Look at the conditions again."""
        with self.changed:
            self.changed.notify_all()

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until a condition holds, and return whether it does."""
        with self.changed:
            return self.changed.wait_for(condition, seconds)


class CheckedObserver(ObserverBase[ServerEvent]):
    """An observer that checks each notification, and acts at one of its events or at its end."""

    def __init__(
        self,
        monitor: Monitor,
        tag: str,
        thread: str,
        act: Callable[[CheckedObserver], None] = lambda observer: None,
        at: int = 0,
    ) -> None:
        self.monitor = monitor
        self.tag = tag
        self.thread = thread
        self.events: list[ServerEvent] = []
        self.error: Exception | None = None
        self.completed = False
        self.raised = False
        self.orphaned = False  # the loop that would deliver to it has ended
        self.disposed = False  # by any thread; a notification that another thread had begun may still come
        self.silent = False  # `dispose` has returned on the delivering thread: nothing may come any more
        self.subscription = SingleAssignmentDisposable()
        self._act = act
        self._at = at
        self._subscribed = threading.Event()
        self._inside = 0  # the thread that is inside a notification
        self._threads: set[int] = set()
        self._loop_thread: int | None = None  # of the loop on which it was subscribed
        self._late = 0

    def subscribe(self, source: Observable[ServerEvent], *, raw: bool) -> None:
        """Subscribe; `raw` without the guard of `Observable.subscribe`, which hides notifications after the end."""
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop()
            self._loop_thread = threading.get_ident()
        assert source._subscribe is not None
        with contextlib.suppress(ObserverFailure):  # from `on_error`, when the socket is closed already
            self.subscription.disposable = source._subscribe(self, None) if raw else source.subscribe(self)
        self._subscribed.set()

    def dispose(self) -> None:
        """Dispose on the thread that calls this."""
        self.subscription.dispose()
        self.disposed = True

    @property
    def ended(self) -> bool:
        """Whether a terminal notification came."""
        return self.completed or self.error is not None

    @property
    def settled(self) -> bool:
        """Whether no notification need come any more."""
        return self.ended or self.disposed or self.orphaned

    @property
    def text(self) -> str:
        """The text of all deltas received."""
        return "".join(getattr(event, "delta", "") for event in self.events if "output_text" in event.type)

    @property
    def response_ids(self) -> list[str]:
        """The ids of the responses in its events, in order."""
        ids = [event.response.id for event in self.events if hasattr(event, "response")]
        return list(dict.fromkeys(ids))

    def on_next(self, value: ServerEvent) -> None:
        with self._notified(f"on_next({value.type})"):
            self.events.append(value)
            self.monitor.notify()
            if len(self.events) == self._at:
                self._subscribed.wait(WAIT)
                self._act(self)

    def on_error(self, error: Exception) -> None:
        with self._notified(f"on_error({error!r})"):
            self.error = error
            self._end()

    def on_completed(self) -> None:
        with self._notified("on_completed"):
            self.completed = True
            self._end()

    def _end(self) -> None:
        self.monitor.notify()
        if self._at == AT_THE_END and not self.raised:
            self._act(self)

    @contextlib.contextmanager
    def _notified(self, what: str) -> Iterator[None]:
        here = threading.get_ident()
        before, self._inside = self._inside, here
        if before not in (0, here):
            self.monitor.report(f"{self}: {what} while another thread is inside a notification")
        if self.ended:
            self.monitor.report(f"{self}: {what} after its end")
        if self.silent:
            self.monitor.report(f"{self}: {what} after dispose returned on the delivering thread")
        if self.disposed:
            self._late += 1  # one that another thread had begun when `dispose` returned
            if self._late > 1:
                self.monitor.report(f"{self}: {what} long after dispose")
        self._threads.add(here)
        if self._loop_thread not in (None, here):
            self.monitor.report(f"{self}: {what} not on the loop where it was subscribed")
        if len(self._threads) > 1 and not isinstance(self.error, SocketClosedError) and "SocketClosed" not in what:
            self.monitor.report(f"{self}: {what} on a second thread")
        try:
            yield
        finally:
            self._inside = before

    def __repr__(self) -> str:
        end = "completed" if self.completed else repr(self.error)
        return f"<{self.tag} on {self.thread}, {len(self.events)} events, {end}>"


@dataclass
class CheckedSocket:
    """The hot sources of a socket: the states must follow each other as they can, and complete once."""

    monitor: Monitor
    socket: ResponsesWebSocket
    closed_at: float | None = None

    def __post_init__(self) -> None:
        self.states: list[ConnectionState] = []
        self.events: set[int] = set()
        self.kept: list[ServerEvent] = []
        self.ends = 0
        self.socket.state.subscribe(self._state, on_completed=self._end)

    def watch_events(self) -> None:
        """Keep all events of the socket as well."""
        self.socket.events.subscribe(self.kept.append)

    def _state(self, state: ConnectionState) -> None:
        if self.states and state not in STATES[self.states[-1]]:
            self.monitor.report(f"{state} after {self.states}")
        self.states.append(state)

    def _end(self) -> None:
        self.ends += 1
        self.monitor.notify()


class AsyncioProgram:
    """An asyncio program that runs on a thread beside the test."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._ready = threading.Event()
        self.left: set[asyncio.Task[Any]] = set()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="fuzz loop")
        self._thread.start()
        self._ready.wait(WAIT)

    def call(self, act: Callable[[], T]) -> T:
        """Call a function on the loop, and return what it returns."""

        async def run() -> T:
            return act()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(WAIT)

    def close(self) -> None:
        """End the program, and note the tasks that it leaves."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(WAIT)

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._ready.set()
        await self._stop.wait()
        self.left = {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


class ErrorLog(logging.Handler):
    """Keeps the errors that asyncio and the package log."""

    NAMES = ("asyncio", "rxresponses")

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != "rxresponses.testing":  # the server's
            self.records.append(record)

    def __enter__(self) -> ErrorLog:
        for name in self.NAMES:
            logging.getLogger(name).addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        for name in self.NAMES:
            logging.getLogger(name).removeHandler(self)


def open_files() -> int | None:
    """Return the number of open file descriptors of this process, `None` where the system does not tell."""
    with contextlib.suppress(OSError):
        return len(list(Path("/proc/self/fd").iterdir()))
    return None
