"""A worker: one client, in a process of its own, that answers the lines that the driver gives to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from threading import Thread
from typing import NamedTuple

from ...redaction import discreet
from ...senders.client import ResponsesClient
from ...senders.client_state import ClientState
from ..lines import Task
from ..run import Result, Run

LINGER = 0.01  # seconds for which the first result waits for others, so that one call takes many results
MOST_RESULTS = 256  # in one answer


class Exchanged(NamedTuple):
    """What a worker tells the driver: the results since the latest call, and what it does now."""

    results: list[Result]
    in_flight: int  # requests that were written and have no result yet
    state: ClientState | None  # of the client, if it has changed
    has_ended: bool  # after `stop`: nothing is in flight, and no result is left


class Opened(NamedTuple):
    """A run and the client behind it."""

    client: ResponsesClient
    run: Run
    close_admission: Callable[[], None] = lambda: None


class Worker:
    """Answers tasks with a `Run` on a thread of its own; the driver calls `exchange`, one call at a time.

    `open_run` makes the run for the worker of this name, and is called here, in the process of the worker.
    """

    @discreet
    def __init__(self, open_run: Callable[[str], Opened], name: str) -> None:
        self._client, self._run, self._close_admission = open_run(name)
        self._state: ClientState | None = None
        self._client.state.subscribe(self._see)
        self._tasks: SimpleQueue[Task | None] = SimpleQueue()
        self._results: SimpleQueue[Result] = SimpleQueue()
        self._problem: BaseException | None = None
        self._thread = Thread(target=self._work, name="rxresponses-worker", daemon=True)
        self._thread.start()

    def ready(self) -> bool:
        """Return at once: the process runs, and the client could be made."""
        return True

    def exchange(self, tasks: list[Task], wait: float, stop: bool) -> Exchanged:
        """Take tasks, and return results: those that are there, or else the first that comes within `wait` seconds.

        With `stop`, nothing more is sent: tasks that were not sent get no result.
        """
        for task in tasks:
            self._tasks.put(task)
        if tasks:
            self._run.wake()
        if stop and not self._run.stopping:
            self._run.stop()
            self._tasks.put(None)
        results = self._take(wait)
        if self._problem is not None:
            raise self._problem
        has_ended = stop and not self._thread.is_alive() and self._results.empty()
        state, self._state = self._state, None
        return Exchanged(results, self._run.in_flight, state, has_ended)

    def close(self) -> None:
        """Close the client, and with it what is in flight; tell the gate what was used."""
        self._tasks.put(None)
        self._run.stop()
        self._client.close()
        self._close_admission()

    def _see(self, state: ClientState) -> None:
        self._state = state

    def _take(self, wait: float) -> list[Result]:
        results: list[Result] = []
        until = time.monotonic() + wait
        while len(results) < MOST_RESULTS:
            try:
                results.append(self._results.get(timeout=max(0.0, until - time.monotonic())))
            except Empty:
                if not self._thread.is_alive() or time.monotonic() >= until:
                    return results
                continue
            if len(results) == 1:
                until = time.monotonic() + min(wait, LINGER)
        return results

    def _work(self) -> None:
        try:
            while not self._run.stopping:
                task = self._tasks.get()  # a run ends when it has nothing to do; the next one begins with a task
                if task is None:
                    return
                for result in self._run.results(_Queued(task, self._tasks)):
                    if result is not None:
                        self._results.put(result)
        except BaseException as error:  # the driver gets it with its next call
            self._problem = error


class _Queued(Iterator[Task]):
    """The tasks that are there now.  Unlike other iterators it may have another one after its end."""

    def __init__(self, first: Task, queue: SimpleQueue[Task | None]) -> None:
        self._first: Task | None = first
        self._queue = queue

    def __next__(self) -> Task:
        task, self._first = self._first, None
        if task is None:
            try:
                task = self._queue.get_nowait()
            except Empty:
                raise StopIteration from None
        if task is None:
            raise StopIteration
        return task
