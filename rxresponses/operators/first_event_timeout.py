"""`first_event_timeout`: a limit for the wait until the first event."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, overload

from reactivex import Observable
from reactivex.abc import SchedulerBase

from ..errors import FirstEventTimeoutError
from ._arguments import makes_operator
from ._results import E
from ._timeout import time_out

T = TypeVar("T")


# Without `other`, a type checker must not look for its type: mypy cannot chain two such operators.
@overload
def first_event_timeout(
    seconds: float, *, scheduler: SchedulerBase | None = None
) -> Callable[[Observable[E]], Observable[E]]: ...


@overload
def first_event_timeout(
    seconds: float, other: Observable[T] | None = None, *, scheduler: SchedulerBase | None = None
) -> Callable[[Observable[E]], Observable[E | T]]: ...


@makes_operator
def first_event_timeout(
    seconds: float, other: Observable[T] | None = None, *, scheduler: SchedulerBase | None = None
) -> Callable[[Observable[E]], Observable[E | T]]:
    """Emit all events, but give up when no event of the response comes within `seconds` of subscribing.

    Marble::

        events:                 --------------created--"He"--
        first_event_timeout(5): -----X
        (…, other):             -----other's events|

    The first event of the response stops the timer, whatever its type, and so does a source that completes or
    fails without one.  Heartbeats and other events that servers send between those of a response are emitted too,
    but do not stop the timer.  At the timeout the source is disposed (`send_request` says what that does to the
    request), and the observer gets `FirstEventTimeoutError`.  Its `delivery` is `unknown`, even if the request still
    waited in this client to be sent.  With `other`, the observer is subscribed to `other` instead, without a timeout.

    The timer starts with the subscription, so it includes the time in which the request waits in this client for
    its lane or its connection.  The options `first_event_timeout` and `queue_timeout` of `ConnectionOptions`
    separate the two: the first counts from the sending of the request, the second until then.

    Each subscription has one timer, on the scheduler that `timeout_on_terminal` describes.  The timeout comes on
    the timer's thread, and never while the observer handles an event.  Events run on the source's thread.
    Disposing stops the timer and disposes the source, or `other`.  `seconds` must be a positive number; the call
    raises `ValueError` or `TypeError` otherwise.
    """
    return time_out(
        seconds, other, scheduler, FirstEventTimeoutError, name="first_event_timeout", first_event_settles=True
    )
