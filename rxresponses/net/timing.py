"""When a request was written: the connection knows it, and metrics and telemetry ask for it.

The pipeline that the user composed lies between the two, so neither has a reference to the other.
They meet in a context variable: while a source is being subscribed, `current_timings()` returns the
`Timings` in which the request marks its times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any


class Timings:
    """When the latest request of a subscription was written, on the clock `now`.

    `sent` is `None` before that, while a refused request waits for its next try, and for a source that
    marks no times.  `Timings` made while other ones are recorded pass every mark on to these.
    """

    __slots__ = ("_now", "_outer", "_recorded", "sent")

    def __init__(self, now: Callable[[], float]) -> None:
        self.sent: float | None = None
        self._recorded = False  # requests that are subscribed now mark their times here
        self._now = now
        self._outer = current_timings()

    def mark_sent(self) -> None:
        """Mark that a request is being written now; a further try marks it again."""
        self.sent = self._now()
        if self._outer is not None:
            self._outer.mark_sent()

    def mark_unsent(self) -> None:
        """Mark that the request waits to be sent again; when it was written before no longer counts."""
        self.sent = None
        if self._outer is not None:
            self._outer.mark_unsent()


_current: ContextVar[Timings | None] = ContextVar("rxresponses_timings", default=None)


def is_timings_variable(variable: ContextVar[Any]) -> bool:
    """Whether a context variable is the one of this module, which is none of the program's."""
    return variable is _current


def current_timings() -> Timings | None:
    """Return the `Timings` for a request that is subscribed here and now, `None` if none are recorded."""
    timings = _current.get()
    # Tasks and callbacks that a subscription starts inherit the variable, and keep it as long as they run.
    return timings if timings is not None and timings._recorded else None


@contextmanager
def recording(timings: Timings | None) -> Iterator[None]:
    """Let requests that are subscribed inside this block mark their times in `timings`; `None` does nothing."""
    if timings is None:
        yield
        return
    token, before = _current.set(timings), timings._recorded
    timings._recorded = True
    try:
        yield
    finally:
        timings._recorded = before
        _current.reset(token)
