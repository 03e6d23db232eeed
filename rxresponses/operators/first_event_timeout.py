"""`first_event_timeout`: an end to waiting for a server that says nothing."""

from __future__ import annotations

from collections.abc import Callable

from reactivex import Observable
from reactivex.abc import SchedulerBase

from ..errors import FirstEventTimeoutError
from ._results import E
from ._timeout import time_out


def first_event_timeout(
    seconds: float, other: Observable[E] | None = None, *, scheduler: SchedulerBase | None = None
) -> Callable[[Observable[E]], Observable[E]]:
    """Pass events on, but give up when none at all comes within `seconds` of subscribing.

    Marble::

        events:                 --------------created--"He"--
        first_event_timeout(5): -----X
        (…, other):             -----other's events|

    The first event, whatever its type, stops the clock for good; so does a source that completes or fails
    without one.  At the timeout the source is disposed, which does to the request what `send_request`
    says, and the subscriber gets `FirstEventTimeoutError`, with the `delivery` `unknown`, also of a
    request that still waited here to be sent.  With `other` it is subscribed instead, and its events are
    under no clock.

    The clock runs from the subscription: a request that waits for its lane, for a free slot or for
    the connection waits on this time too.  The options `first_event_timeout` and `queue_timeout` of
    `ConnectionOptions` are apart: the one counts from when the request was sent, the other until then.

    There is one timer a subscription, on the clock that `timeout_on_terminal` describes; the timeout
    comes on its thread, never together with an event.  Events run on the source's thread.  Disposing
    stops the clock and disposes the source, or `other`.  `seconds` must be a positive number
    (`ValueError`, `TypeError` at once).
    """
    return time_out(seconds, other, scheduler, FirstEventTimeoutError, any_event_settles=True)
