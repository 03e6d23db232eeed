"""A run on a thread of its own, to which tasks are given at any time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from queue import Empty, SimpleQueue
from threading import Thread
from typing import NamedTuple

from ...senders.client import ResponsesClient
from ...senders.fleet import ResponsesFleet
from ..lines import Task
from ..run import Result, Run


class Opened(NamedTuple):
    """A run, the client behind it, and what closes the admission of the client."""

    client: ResponsesClient | ResponsesFleet
    run: Run
    close_admission: Callable[[], None] = lambda: None


class RunningRun:
    """Answers tasks with a run.  `take` gets each result, and `fail` what ends the run, on the thread of the run."""

    def __init__(self, opened: Opened, take: Callable[[Result], None], fail: Callable[[BaseException], None]) -> None:
        self._client, self.run, self._close_admission = opened
        self._take = take
        self._fail = fail
        self._tasks: SimpleQueue[Task | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="rxresponses-worker", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether results may still come."""
        return self._thread.is_alive()

    def add(self, tasks: Iterable[Task]) -> None:
        """Answer these tasks as well; from any thread."""
        for task in tasks:
            self._tasks.put(task)
        self.run.wake()

    def stop(self) -> None:
        """Send nothing more; what is in flight ends."""
        if not self.run.stopping:
            self.run.stop()
            self._tasks.put(None)

    def close(self) -> None:
        """Close the client, and with it what is in flight; tell the gate what was used."""
        self.stop()
        self._client.close()
        self._close_admission()

    def _work(self) -> None:
        try:
            while not self.run.stopping:
                task = self._tasks.get()  # a run ends when it has nothing to do; the next one begins with a task
                if task is None:
                    return
                for result in self.run.results(_Queued(task, self._tasks)):
                    if result is not None:
                        self._take(result)
        except BaseException as error:
            self._fail(error)


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
