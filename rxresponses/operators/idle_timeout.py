"""`idle_timeout`: a limit for the silence between events."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, overload

from reactivex import Observable
from reactivex.abc import SchedulerBase

from ..errors import IdleTimeoutError
from ._arguments import makes_operator
from ._results import E
from ._timeout import time_out

T = TypeVar("T")


# Without `other`, a type checker must not look for its type: mypy cannot chain two such operators.
@overload
def idle_timeout(
    seconds: float, *, scheduler: SchedulerBase | None = None
) -> Callable[[Observable[E]], Observable[E]]: ...


@overload
def idle_timeout(
    seconds: float, other: Observable[T] | None = None, *, scheduler: SchedulerBase | None = None
) -> Callable[[Observable[E]], Observable[E | T]]: ...


@makes_operator
def idle_timeout(
    seconds: float, other: Observable[T] | None = None, *, scheduler: SchedulerBase | None = None
) -> Callable[[Observable[E]], Observable[E | T]]:
    """Emit all events, but give up when no event comes for `seconds` before the terminal event.

    Marble::

        events:          --created--"He"--"llo"--------------"!"--
        idle_timeout(5): --created--"He"--"llo"-----X
        (…, other):      --created--"He"--"llo"-----other's events|

    The time starts with the subscription and again with each event; the terminal event stops the timer.  So the
    time before the first event counts too, and with it the time in which the request waits in this client for
    its lane or its connection.  If that may take longer, use the option `idle_timeout` of `ConnectionOptions`,
    which counts only between the events of a response.  A model that reasons, or that waits for one of its own
    tools, may be silent for minutes.

    The time in which the observer handles an event does not count: the time starts again when the observer
    returns.  Behind a run of several responses, such as `run_tools`, the terminal event of the first response stops the
    timer for good, since a tool may be silent for long; the option of `ConnectionOptions` holds for each response of
    the run.  Other delays in this program count as silence of the server, for example another observer on the
    same thread, or a lagging consumer for which the socket pauses.

    A source that completes or fails passes unchanged.  At the timeout the source is disposed (`send_request`
    says what that does to the request), and the observer gets `IdleTimeoutError`.  Its `delivery` is `unknown`
    before the first event, even if the request still waited in this client to be sent, and `started` after the
    first event.  Its `response_id` and `stream_id` are those of the events until then.  With `other`, the
    observer is subscribed to `other` instead, without a timeout.

    Each subscription has one timer, on the scheduler that `timeout_on_terminal` describes.  An event starts no
    timer, and costs one look at the clock: the timer runs for the rest of the time if it finds a later event.
    The timeout comes on the timer's thread, and never while the observer handles an event.  Events run on the
    source's thread.  Disposing stops the timer and disposes the source, or `other`.  An observer that raises does
    not stop the timer.  `seconds` must be a positive number; the call raises `ValueError` or `TypeError`
    otherwise.
    """
    return time_out(seconds, other, scheduler, IdleTimeoutError, name="idle_timeout", events_restart=True)
