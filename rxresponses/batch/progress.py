"""The progress of a batch on standard error: a bar on a terminal, else a line every few seconds."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from ..limits.budget import Budget
from ..senders.client_state import ClientState
from ..senders.fleet_state import FleetState
from .run import Result
from .spending import shown_spending

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from typing_extensions import Self  # in `typing` only from Python 3.11

_INTERVAL = 10.0  # seconds from one line to the next, without a bar


class Progress:
    """Counts results, and shows the counts while the context is open.

    `answered` and `failed` are the results of earlier runs, of `total` lines.  `copies` lines need no request: they get
    copies of results at the end, as `copied` have got before.  The spending of `budget` is shown.  `clock` returns
    seconds.
    """

    def __init__(
        self,
        total: int,
        answered: int = 0,
        failed: int = 0,
        *,
        copies: int = 0,
        copied: int = 0,
        budget: Budget | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total = total
        self._answered = answered
        self._failed = failed
        self._copies = copies
        self._copied = copied
        self._budget = budget
        self._detail: Callable[[], str] = str
        self._tokens = 0
        self._clock = clock
        self._before = answered + failed
        self._start = self._shown = self._latest = clock()
        self._waiting: _Wait | None = None
        self._wait_shown = -math.inf  # when the latest line about waiting was written
        self._bar = _bar(total, self._before, self.__str__) if sys.stderr.isatty() else None

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
        new, seconds = done - self._before, self._clock() - self._start
        text = f"{done} of {self._total} done, {self._failed} failed"
        if new and seconds > 0:
            text += f", {self._tokens / seconds:.0f} tokens/s"
        if self._budget is not None:
            left = self._total - self._copies - done
            text += f", {shown_spending(self._budget, done - self._copied, left)}"
        if detail := self._detail():
            text += f", {detail}"
        waiting = self._waiting
        if new and seconds > 0 and waiting is None:  # nobody knows how long a wait lasts
            # The time since the latest result does not count, or the time left would grow while no result comes.
            pace = (self._latest - self._start or seconds) / new
            text += f", {timedelta(seconds=round((self._total - self._copies - done) * pace))} left"
        return text if waiting is None else f"{text}, {waiting.at(self._clock())}"

    def show(self, detail: Callable[[], str]) -> None:
        """Show this text as well from now on."""
        self._detail = detail

    def add(self, result: Result) -> None:
        """Count a result, and show the counts if a line is due."""
        self._tokens += result.output_tokens
        self._latest = self._clock()
        self._count(failed=result.error is not None)

    def add_copy(self, *, failed: bool) -> None:
        """Count the result of a line that is a copy, and show the counts if a line is due."""
        self._copies -= 1
        self._copied += 1
        self._before += 1
        self._count(failed=failed)

    def _count(self, *, failed: bool) -> None:
        self._answered += not failed
        self._failed += failed
        if self._bar is not None:
            for task in self._bar.task_ids:
                self._bar.update(task, completed=self._answered + self._failed)
        elif self._clock() - self._shown >= _INTERVAL:
            self._shown = self._clock()
            print(self, file=sys.stderr, flush=True)

    def wait(self, state: ClientState | FleetState) -> None:
        """Show why no result comes for a while, if the state says so.  Call from any thread."""
        now = self._clock()
        self._waiting = waiting = _waiting(state, now)
        if self._bar is None and waiting is not None and now - self._wait_shown >= _INTERVAL:
            self._wait_shown = now
            print(waiting.at(now), file=sys.stderr, flush=True)


class _Wait(NamedTuple):
    """Why no result comes, with a placeholder for the seconds left, and when the wait ends."""

    why: str
    until: float

    def at(self, now: float) -> str:
        return self.why.format(max(self.until - now, 0.0))


def _waiting(state: ClientState | FleetState, now: float) -> _Wait | None:
    if isinstance(state, FleetState):
        waits = [member.paused_for if member.trial_in is None else member.trial_in for member in state.members]
        if not waits or None in waits:
            return None
        return _Wait("no server takes requests: trying again in {:.1f} s", now + min(filter(None, waits), default=0.0))
    if state.paused_for is not None:
        return _Wait("paused for {:.1f} s: the server asks for fewer requests", now + state.paused_for)
    if state.reconnect_in is not None and not state.open:
        return _Wait("cannot connect: trying again in {:.1f} s", now + state.reconnect_in)
    return None


def _bar(total: int, completed: int, text: Callable[[], str]) -> Bar | None:
    """Return a bar with a text, which is asked for each time the bar is drawn; `None` if rich is not installed."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, ProgressColumn, Task
        from rich.progress import Progress as Bar
        from rich.text import Text
    except ImportError:
        return None

    class Column(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(text())

    bar = Bar(BarColumn(), Column(), console=Console(stderr=True))
    bar.add_task("", total=total, completed=completed)
    return bar
