"""`idle_timeout`: an end to waiting in the middle of a response."""

from __future__ import annotations

from collections.abc import Callable

from reactivex import Observable
from reactivex.abc import SchedulerBase

from ..errors import IdleTimeoutError
from ._results import E
from ._timeout import time_out


def idle_timeout(
    seconds: float, other: Observable[E] | None = None, *, scheduler: SchedulerBase | None = None
) -> Callable[[Observable[E]], Observable[E]]:
    """Pass events on, but give up when nothing comes for `seconds`, and the terminal event has not come yet.

    Marble::

        events:          --created--"He"--"llo"--------------"!"--
        idle_timeout(5): --created--"He"--"llo"-----X
        (…, other):      --created--"He"--"llo"-----other's events|

    The clock starts with the subscription and again with each event; the terminal event stops it for
    good.  So the time before the first event is bounded as well, and a request that waits for its
    lane, for a free slot or for the connection waits on it: where that may take longer, use the option
    `idle_timeout` of `ConnectionOptions`, which counts between the events of a response only.  A model
    that thinks, or waits for a tool of its own, may be silent for minutes.

    Time inside the observer is no silence: the clock starts again when it has returned from an event.
    Anything else that keeps the events waiting on this side, such as another observer on their
    thread or a consumer for whom reading pauses, looks like a silent server here.

    A source that completes or fails passes as it is.  At the timeout the source is disposed, which does
    to the request what `send_request` says, and the subscriber gets `IdleTimeoutError`: its `delivery` is
    `unknown` when no event had come, also of a request that still waited here to be sent, and `started`
    after that; its `response_id` and `stream_id` are those seen until then.  With `other` it is
    subscribed instead, and its events are under no clock.

    An event costs a look at the time and starts no timer: there is one a subscription, on the clock
    that `timeout_on_terminal` describes, and it goes on for the rest where it meets a later event.  The
    timeout comes on its thread, never together with an event.  Events run on the source's thread.
    Disposing stops the clock and disposes the source, or `other`.  An observer that raises does not
    stop it.  `seconds` must be a positive number (`ValueError`, `TypeError` at once).
    """
    return time_out(seconds, other, scheduler, IdleTimeoutError, events_restart=True)
