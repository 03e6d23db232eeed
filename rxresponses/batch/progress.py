"""How far a batch has come, on standard error: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING

from ..state import ClientState
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
        self._waiting = ""
        self._told = -math.inf  # when the latest line about waiting was written
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
        if here and seconds > 0:
            left = timedelta(seconds=round((self._total - done) * seconds / here))
            text += f", {self._tokens / seconds:.0f} tokens/s, {left} left"
        return f"{text}, {self._waiting}" if self._waiting else text

    def add(self, result: Result) -> None:
        """Count a result, and show it when it is time."""
        if result.error is None:
            self._answered += 1
        else:
            self._failed += 1
        self._tokens += result.output_tokens
        if self._bar is not None:
            self._draw(self._bar)
        elif self._clock() - self._shown >= _INTERVAL:
            self._shown = self._clock()
            print(self, file=sys.stderr, flush=True)

    def wait(self, state: ClientState) -> None:
        """Show why nothing comes for a while, if the client says so.  From any thread."""
        waiting = _waiting(state)
        if waiting == self._waiting:
            return
        self._waiting = waiting
        if self._bar is not None:
            self._draw(self._bar)
        elif waiting and self._clock() - self._told >= _INTERVAL:
            self._told = self._clock()
            print(waiting, file=sys.stderr, flush=True)

    def _draw(self, bar: Bar) -> None:
        for task in bar.task_ids:
            bar.update(task, completed=self._answered + self._failed, counts=str(self))


def _waiting(state: ClientState) -> str:
    if state.paused_for is not None:
        return f"paused for {state.paused_for:.1f} s: the server asks for fewer requests"
    if state.reconnect_in is not None and not state.open:
        return f"cannot connect: trying again in {state.reconnect_in:.1f} s"
    return ""


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
