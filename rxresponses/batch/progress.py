"""How far a batch has come, on standard error: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING

from .run import Result

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from typing_extensions import Self  # in `typing` only from Python 3.11

_INTERVAL = 10.0  # seconds from one line to the next, where there is no bar


class Progress:
    """Counts results, and shows the counts while the context is open.

    `answered` and `failed` of the `total` are those of earlier runs.  `clock` tells seconds.
    """

    def __init__(
        self, total: int, answered: int = 0, failed: int = 0, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._total = total
        self._answered = answered
        self._failed = failed
        self._tokens = 0
        self._clock = clock
        self._before = answered + failed
        self._start = self._shown = clock()
        self._bar = _bar(total, self._before, str(self)) if sys.stderr.isatty() else None

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __str__(self) -> str:
        done = self._answered + self._failed
        here, seconds = done - self._before, self._clock() - self._start
        text = f"{done} of {self._total} done, {self._failed} failed"
        if not here or seconds <= 0:
            return text
        left = timedelta(seconds=round((self._total - done) * seconds / here))
        return f"{text}, {self._tokens / seconds:.0f} tokens/s, {left} left"

    def add(self, result: Result) -> None:
        """Count a result, and show it when it is time."""
        if result.error is None:
            self._answered += 1
        else:
            self._failed += 1
        self._tokens += result.output_tokens
        if self._bar is not None:
            for task in self._bar.task_ids:
                self._bar.update(task, completed=self._answered + self._failed, counts=str(self))
        elif self._clock() - self._shown >= _INTERVAL:
            self._shown = self._clock()
            print(self, file=sys.stderr, flush=True)


def _bar(total: int, completed: int, counts: str) -> Bar | None:
    """Return a bar, `None` where rich is not installed."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar
    except ImportError:
        return None
    bar = Bar(BarColumn(), TextColumn("{task.fields[counts]}", markup=False), console=Console(stderr=True))
    bar.add_task("", total=total, completed=completed, counts=counts)
    return bar
