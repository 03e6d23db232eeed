"""Workers on threads of this process, in place of those of Ray."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import pytest

from rxresponses.batch.lines import Task
from rxresponses.batch.ray.run import Call, LostError
from rxresponses.batch.ray.running import Opened
from rxresponses.batch.ray.settings import ClientSettings, RunSettings
from rxresponses.batch.ray.worker import Worker
from rxresponses.testing import ResponsesServer


class ThreadCall:
    """A call that runs on a thread, and is lost with its worker."""

    def __init__(self, future: Future[Any], is_lost: threading.Event) -> None:
        self.future = future
        self._is_lost = is_lost

    def result(self) -> Any:
        """Return what the call has returned."""
        if self._is_lost.is_set():
            raise LostError("the process ended")
        return self.future.result()


class ThreadWorkers:
    """Workers that live in this process.  `lose` is the death of one; `unstartable` ones die before they are ready."""

    def __init__(self, open_run: Callable[[str], Opened]) -> None:
        self._open_run = open_run
        self._threads = ThreadPoolExecutor()
        self.workers: dict[str, tuple[Worker, threading.Event]] = {}
        self.started = 0
        self.unstartable = 0
        self.given: list[int] = []  # lines
        self.ended: list[str] = []

    def start(self) -> str:
        """Start a worker; return its name."""
        self.started += 1
        name = f"worker {self.started}"
        is_lost = threading.Event()
        if self.started <= self.unstartable:
            is_lost.set()
        self.workers[name] = Worker(self._open_run, name), is_lost
        return name

    def lose(self, name: str) -> None:
        """Let a worker die."""
        worker, is_lost = self.workers[name]
        is_lost.set()
        worker.close()

    def ready(self, worker: str) -> Call:
        """Begin a call that returns when the worker can be given tasks."""
        return self._call(worker, lambda of: of.ready())

    def exchange(self, worker: str, tasks: list[Task], wait: float, stop: bool) -> Call:
        """Begin a call of `Worker.exchange`."""
        self.given += [task.line for task in tasks]
        return self._call(worker, lambda of: of.exchange(tasks, wait, stop))

    def close(self, worker: str) -> Call:
        """Begin a call of `Worker.close`."""
        return self._call(worker, lambda of: of.close())

    def _call(self, name: str, function: Callable[[Worker], Any]) -> Call:
        worker, is_lost = self.workers[name]
        return ThreadCall(self._threads.submit(function, worker), is_lost)

    def wait(self, calls: Sequence[Call], timeout: float) -> list[Call]:
        """Return the calls that have ended; wait at most `timeout` seconds for the first of them."""
        of = {call.future: call for call in calls if isinstance(call, ThreadCall)}
        done, _ = wait(of, timeout, FIRST_COMPLETED)
        return [of[future] for future in done]

    def end(self, worker: str) -> None:
        """End a worker."""
        self.ended.append(worker)
        self.workers[worker][0].close()

    def end_all(self) -> None:
        """End all of them."""
        for worker, _ in self.workers.values():
            worker.close()
        self._threads.shutdown()


@pytest.fixture
def server() -> Iterator[ResponsesServer]:
    """Run a server for the workers."""
    with ResponsesServer() as server:
        yield server


@pytest.fixture
def workers(server: ResponsesServer) -> Iterator[ThreadWorkers]:
    """Provide workers, each with at most 4 requests in flight."""
    workers = ThreadWorkers(RunSettings(client=ClientSettings(url=server.url, api_key="key", concurrency=4)))
    yield workers
    workers.end_all()
