"""`timeout_on_terminal`: an end to waiting."""

from __future__ import annotations

from collections.abc import Callable

from reactivex import Observable
from reactivex.abc import SchedulerBase

from ..errors import TerminalTimeoutError
from ._results import E
from ._timeout import time_out


def timeout_on_terminal(
    seconds: float, other: Observable[E] | None = None, *, scheduler: SchedulerBase | None = None
) -> Callable[[Observable[E]], Observable[E]]:
    """Pass events on, but give up when no terminal event comes within `seconds` of subscribing.

    Marble::

        events:                 --created--"He"--"llo"------------completed|
        timeout_on_terminal(5): --created--"He"--"llo"----X
        (…, other):             --created--"He"--"llo"----other's events|

    A terminal event in time stops the clock: nothing after it is ever too late.  A source that completes
    or fails without one passes as it is.  At the timeout the source is disposed, which does to the
    request what `send_request` says, and the subscriber gets `TerminalTimeoutError`: its `delivery` is
    `unknown` when no event had come, also of a request that still waited here to be sent, and `started`
    after that; its `response_id` and `stream_id` are those seen until then.  With `other` it is
    subscribed instead, and its events are under no clock.

    There is one timer a subscription.  It runs on `scheduler`; else on the scheduler given to
    `subscribe`, unless that one would block the subscriber or hold a thread (as those for the current
    thread, for at once and for new threads do); else on the asyncio loop that runs where
    `subscribe` is called; else on a daemon thread.  So the timeout may come on another thread than
    the events do, but never while an event is being delivered: the observer first returns from that
    one, and the timeout follows on the thread of the events.  The source is disposed at once all the same.

    Events run on the source's thread.  Disposing stops the clock and disposes the source, or `other`.
    An observer that raises does not stop the clock.  `seconds` must be a positive number
    (`ValueError`, `TypeError` at once).
    """
    return time_out(seconds, other, scheduler, TerminalTimeoutError)
