"""A worker: one client, in a process of its own, that answers the lines that the driver gives to it."""

from __future__ import annotations

import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from reactivex import Observable

from ...redaction import discreet
from ...senders.client_state import ClientState
from ...senders.fleet_state import FleetState
from ..lines import Task
from ..run import Result
from .running import Opened, RunningRun

LINGER = 0.01  # seconds for which the first result waits for others, so that one call takes many results
MOST_RESULTS = 256  # in one answer


class Exchanged(NamedTuple):
    """What a worker tells the driver: the results since the latest call, and what it does now."""

    results: list[Result]
    in_flight: int  # requests that were written and have no result yet
    state: ClientState | FleetState | None  # of the client, if it has changed
    has_ended: bool  # after `stop`: nothing is in flight, and no result is left


class Worker:
    """Answers tasks with a `Run` on a thread of its own; the driver calls `exchange`, one call at a time.

    `open_run` makes the run for the worker of this name, and is called here, in the process of the worker.
    """

    @discreet
    def __init__(self, open_run: Callable[[str], Opened], name: str) -> None:
        self._state: ClientState | FleetState | None = None
        self._results: SimpleQueue[Result] = SimpleQueue()
        self._problem: BaseException | None = None
        try:
            opened = open_run(name)
        except Exception as error:
            self._problem = error  # what is raised here is for Ray a lost worker, and the driver would start another
            return
        state: Observable[Any] = opened.client.state
        state.subscribe(self._see)
        self._running = RunningRun(opened, self._results.put, self._end)

    def ready(self) -> bool:
        """Return at once: the process runs, and the client could be made; raise why it could not."""
        if self._problem is not None:
            raise self._problem
        return True

    def exchange(self, tasks: list[Task], wait: float, stop: bool) -> Exchanged:
        """Take tasks, and return results: those that are there, or else the first that comes within `wait` seconds.

        With `stop`, nothing more is sent: tasks that were not sent get no result.
        """
        if tasks:
            self._running.add(tasks)
        if stop:
            self._running.stop()
        results = self._take(wait)
        if self._problem is not None:
            raise self._problem
        has_ended = stop and not self._running.is_alive and self._results.empty()
        state, self._state = self._state, None
        return Exchanged(results, self._running.run.in_flight, state, has_ended)

    def close(self) -> None:
        """Close the client, and with it what is in flight; tell the gate what was used."""
        self._running.close()

    def _see(self, state: ClientState | FleetState) -> None:
        self._state = state

    def _take(self, wait: float) -> list[Result]:
        results: list[Result] = []
        until = time.monotonic() + wait
        while len(results) < MOST_RESULTS:
            try:
                results.append(self._results.get(timeout=max(0.0, until - time.monotonic())))
            except Empty:
                if not self._running.is_alive or time.monotonic() >= until:
                    return results
                continue
            if len(results) == 1:
                until = time.monotonic() + min(wait, LINGER)
        return results

    def _end(self, problem: BaseException) -> None:
        self._problem = problem  # the driver gets it with its next call
