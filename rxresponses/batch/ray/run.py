"""A run on many workers: the same as `Run`, with the requests in other processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from ...errors import ConfigurationError
from ...senders.client_state import ClientState
from ...senders.fleet_state import FleetState
from ..lines import Task
from ..run import Result
from .dispatch import MOST_LOSSES, Dispatch
from .lost import WorkerLostError
from .metrics import Metrics

WAIT = 0.2  # seconds for which a worker waits for a result, and after which a stop is noticed at the latest
PATIENCE = 10.0  # seconds for a worker to start, after which the user is told
CLOSING = 5.0  # seconds for all workers to close their clients, before their processes are ended
MOST_STARTS = 3  # workers one after the other that were lost before their first answer


class Call(Protocol):
    """A call of a worker that was begun.  Its `result` is there, or raises `LostError` when the worker has ended."""

    def result(self) -> Any:
        """Return what the worker has returned, or raise what it has raised."""


class LostError(Exception):
    """The process of a worker has ended, or cannot be reached."""


class Workers(Protocol):
    """Starts workers and calls them: Ray, or threads in tests."""

    def start(self) -> str:
        """Start a worker; return its name."""

    def ready(self, worker: str) -> Call:
        """Begin a call that returns when the worker can be given tasks."""

    def exchange(self, worker: str, tasks: list[Task], wait: float, stop: bool) -> Call:
        """Begin a call of `Worker.exchange`."""

    def close(self, worker: str) -> Call:
        """Begin a call of `Worker.close`."""

    def wait(self, calls: Sequence[Call], timeout: float) -> list[Call]:
        """Return the calls that have ended; wait at most `timeout` seconds for the first of them."""

    def end(self, worker: str) -> None:
        """End the process of a worker, if it has not ended."""


class RayRun:
    """Gives tasks to `count` workers, and yields their results as they come; what `Run` is in one process.

    Each worker has at most `ahead` tasks, so that it is not idle while its results are on their way.  The tasks of a
    worker that is lost are given again, and another worker takes its place.  `waits` is called with the state of a
    worker's client when that changes, `note` with a line of text for the user.
    """

    def __init__(
        self,
        workers: Workers,
        *,
        count: int,
        ahead: int,
        waits: Callable[[ClientState | FleetState], None] = lambda state: None,
        note: Callable[[str], None] = lambda text: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._workers = workers
        self._count = count
        self._waits = waits
        self._note = note
        self._ahead = ahead
        self._clock = clock
        self._tells_of_workers_at = clock() + PATIENCE
        self._told_of_workers = False
        self.stopping = False
        self._told_stop = True
        self._calls: dict[Call, str] = {}
        self._alive: set[str] = set()
        self._starting: set[str] = set()
        self._idle: list[str] = []
        self._in_flight: dict[str, int] = {}
        self._failed_starts = 0
        self.metrics = Metrics(clock)
        self._text = ""

    @property
    def in_flight(self) -> int:
        """The number of requests that were written and that have no result yet, as the workers have told."""
        return sum(self._in_flight.values())

    def __str__(self) -> str:
        return self._text

    def _describe(self) -> str:
        """Return what the workers do now.  Only the thread of the run does: a bar on a terminal is drawn on another."""
        working = len(self._alive) - len(self._starting)
        text = f"{working} workers, {self.in_flight} in flight, {self.metrics.rate:.0f} requests/s"
        return f"{text}, {self.metrics.lost_workers} workers lost" if self.metrics.lost_workers else text

    def to_dict(self) -> dict[str, Any]:
        """Return what all workers have done, and do now."""
        working = len(self._alive) - len(self._starting)
        return {**self.metrics.to_dict(), "in_flight": self.in_flight, "workers": working}

    def stop(self) -> None:
        """Send no more tasks; those in flight go on.  Call from any thread, or from a signal handler."""
        self.stopping = True
        self._told_stop = False

    def results(self, tasks: Iterable[Task]) -> Iterator[Result | None]:
        """Yield a result for each task as it ends, and `None` for each `stop`; unsent tasks then get no result.

        A worker is given tasks only with a call for its results, and only when the caller asks for the next result.
        So a slow caller slows the workers.  Closing the iterator ends the workers, with what they have in flight.
        """
        dispatch = Dispatch(tasks, self._ahead)
        try:
            for _ in range(self._count):
                self._start()
            while True:
                if not self._told_stop:
                    self._told_stop = True
                    yield None
                if not self._go_on(dispatch):
                    self._close_idle()
                    return
                for call in self._workers.wait(list(self._calls), WAIT):
                    for result in self._ended(dispatch, call):
                        self.metrics.add(result)
                        yield result
                self._text = self._describe()
                self._tell_of_missing_workers()
        finally:
            for worker in tuple(self._alive):
                self._end(worker)

    def _start(self) -> None:
        worker = self._workers.start()
        self._alive.add(worker)
        self._starting.add(worker)
        self._calls[self._workers.ready(worker)] = worker

    def _close_idle(self) -> None:
        """Let the workers tell the gate what they have used, and what they give back."""
        calls = [self._workers.close(worker) for worker in self._idle]
        until = self._clock() + CLOSING
        while calls and self._clock() < until:
            ended = self._workers.wait(calls, WAIT)
            calls = [call for call in calls if call not in ended]

    def _end(self, worker: str) -> None:
        self._alive.discard(worker)
        self._workers.end(worker)

    def _go_on(self, dispatch: Dispatch) -> bool:
        """Call the workers that have or get tasks; return whether anything is left to do."""
        for worker in tuple(self._idle):
            tasks = [] if self.stopping else dispatch.give(worker)
            if dispatch.has(worker):
                self._idle.remove(worker)
                self._calls[self._workers.exchange(worker, tasks, WAIT, self.stopping)] = worker
        return dispatch.is_busy or (not self.stopping and dispatch.has_more)

    def _ended(self, dispatch: Dispatch, call: Call) -> Iterator[Result]:
        worker = self._calls.pop(call)
        try:
            answer = call.result()
        except LostError as error:
            yield from self._lost(dispatch, worker, error)
            return
        self._failed_starts = 0
        self._idle.append(worker)
        if worker in self._starting:
            self._starting.remove(worker)
            return
        self._in_flight[worker] = answer.in_flight
        if answer.state is not None:
            self._waits(answer.state)
        for result in answer.results:
            if dispatch.done(worker, result.task.line):
                yield result
        if answer.has_ended:
            dispatch.drop(worker)

    def _lost(self, dispatch: Dispatch, worker: str, error: LostError) -> Iterator[Result]:
        self._end(worker)  # it may only be out of reach, and must not go on with tasks that others get
        self._in_flight.pop(worker, None)
        self.metrics.lost_workers += 1
        if worker in self._starting:
            self._starting.remove(worker)
            self._failed_starts += 1
            if self._failed_starts == MOST_STARTS:
                raise ConfigurationError(f"{MOST_STARTS} workers have ended before they were ready: {error}") from error
        else:
            self._note(f"a worker is lost, and its {dispatch.has(worker)} lines go to others: {error}")
        for task in dispatch.lose(worker):
            text = f"{MOST_LOSSES} workers were lost while they had this line; the server may have its request"
            yield Result(task, error=WorkerLostError(text, delivery="unknown"))
        if not self.stopping:
            self._start()

    def _tell_of_missing_workers(self) -> None:
        if self._starting and not self._told_of_workers and self._clock() >= self._tells_of_workers_at:
            self._told_of_workers = True
            self._note(f"{len(self._starting)} of {self._count} workers have not started: is a CPU free for each?")
