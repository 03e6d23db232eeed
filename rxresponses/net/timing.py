"""When a request was written: what the connection knows, and who measures wants to know.

Between the two lies whatever pipeline the user composed, so they meet in a context variable: while a
source is being subscribed, `current_timings()` is where a request marks its times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Timings:
    """When the latest request of a subscription was written, on the clock of who asks.

    `sent` is `None` until then, and again while a refused one waits for its next try; it stays so with
    a source that does not tell.  Made while somebody else asks already, it tells them as well.
    """

    __slots__ = ("_now", "_outer", "open", "sent")

    def __init__(self, now: Callable[[], float]) -> None:
        self.sent: float | None = None
        self.open = False  # requests that are subscribed now belong to it
        self._now = now
        self._outer = current_timings()

    def mark_sent(self) -> None:
        """A request is being written now; another try marks it again."""
        self.sent = self._now()
        if self._outer is not None:
            self._outer.mark_sent()

    def mark_unsent(self) -> None:
        """What was written is of no account any more: the request waits to be sent again."""
        self.sent = None
        if self._outer is not None:
            self._outer.mark_unsent()


_current: ContextVar[Timings | None] = ContextVar("rxresponses_timings", default=None)


def current_timings() -> Timings | None:
    """Return where a request that is subscribed here and now marks its times, `None` if nobody asks."""
    timings = _current.get()
    # Tasks and callbacks that a subscription starts inherit the variable, and keep it for as long as they run.
    return timings if timings is not None and timings.open else None


@contextmanager
def recording(timings: Timings | None) -> Iterator[None]:
    """Let the requests that are subscribed inside mark their times there."""
    if timings is None:
        yield
        return
    token, before = _current.set(timings), timings.open
    timings.open = True
    try:
        yield
    finally:
        timings.open = before
        _current.reset(token)
