"""Which worker has which lines: each line is with one worker at a time, and gets one result."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice

from ..lines import Task

MOST_LOSSES = 3  # of a line with its worker; the line may be what ends the workers


class Dispatch:
    """Gives the tasks to workers, and takes back those of a worker that is lost.

    Each worker has at most `ahead` tasks.  Tasks that come back are given first.
    """

    def __init__(self, tasks: Iterable[Task], ahead: int) -> None:
        self._tasks: Iterator[Task] = iter(tasks)
        self._ahead = ahead
        self._back: deque[Task] = deque()
        self._held: dict[str, dict[int, Task]] = {}
        self._losses: dict[int, int] = {}  # by line
        self._exhausted = False

    def give(self, worker: str) -> list[Task]:
        """Return the tasks that the worker gets now; it has them until `done` or `lose`."""
        held = self._held.setdefault(worker, {})
        given: list[Task] = []
        while self._back and len(held) + len(given) < self._ahead:
            given.append(self._back.popleft())
        room = self._ahead - len(held) - len(given)
        if room > 0 and not self._exhausted:
            new = list(islice(self._tasks, room))
            self._exhausted = len(new) < room
            given += new
        held.update((task.line, task) for task in given)
        return given

    def done(self, worker: str, line: int) -> bool:
        """Note the result of a line; return whether it counts: `False` if the worker does not have the line."""
        if self._held.get(worker, {}).pop(line, None) is None:
            return False
        self._losses.pop(line, None)
        return True

    def lose(self, worker: str) -> list[Task]:
        """Take the tasks of a lost worker back; return those that were lost too often and are not given again.

        Nobody knows which of its requests the server has got.  They are sent again, as after a run that was killed.
        """
        given_up = []
        for line, task in sorted(self._held.pop(worker, {}).items()):
            self._losses[line] = self._losses.get(line, 0) + 1
            if self._losses[line] < MOST_LOSSES:
                self._back.append(task)
            else:
                del self._losses[line]
                given_up.append(task)
        return given_up

    def drop(self, worker: str) -> None:
        """Forget the tasks that a stopped worker has not sent: they get no result in this run."""
        self._held.pop(worker, None)

    def has(self, worker: str) -> int:
        """Return the number of tasks that the worker has."""
        return len(self._held.get(worker, ()))

    @property
    def is_busy(self) -> bool:
        """Whether any worker has a task."""
        return any(self._held.values())

    @property
    def has_more(self) -> bool:
        """Whether there may be tasks that no worker has."""
        return bool(self._back) or not self._exhausted
