"""`timeout_on_terminal`: a limit for the whole response."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, overload

from reactivex import Observable
from reactivex.abc import SchedulerBase

from ..errors import TerminalTimeoutError
from ._arguments import makes_operator
from ._results import E
from ._timeout import time_out

T = TypeVar("T")


# Without `other`, a type checker must not look for its type: mypy cannot chain two such operators.
@overload
def timeout_on_terminal(
    seconds: float, *, scheduler: SchedulerBase | None = None
) -> Callable[[Observable[E]], Observable[E]]: ...


@overload
def timeout_on_terminal(
    seconds: float, other: Observable[T] | None = None, *, scheduler: SchedulerBase | None = None
) -> Callable[[Observable[E]], Observable[E | T]]: ...


@makes_operator
def timeout_on_terminal(
    seconds: float, other: Observable[T] | None = None, *, scheduler: SchedulerBase | None = None
) -> Callable[[Observable[E]], Observable[E | T]]:
    """Emit all events, but give up when no terminal event comes within `seconds` of subscribing.

    Marble::

        events:                 --created--"He"--"llo"------------completed|
        timeout_on_terminal(5): --created--"He"--"llo"----X
        (…, other):             --created--"He"--"llo"----other's events|

    A terminal event in time stops the timer; no event after it is too late.  A source that completes or fails
    without a terminal event passes unchanged.  Behind a run of several responses, such as `run_tools`, the limit is for
    the first response only, because its terminal event stops the timer.  Its tools and the responses after it have the
    limits of `run_tools(timeout=…, max_turns=…)` and the timeouts of `ConnectionOptions`, which hold for each response.

    At the timeout the source is disposed (`send_request` says what that does to the request), and the observer
    gets `TerminalTimeoutError`.  Its `delivery` is `unknown` before the first event, even if the request still
    waited in this client to be sent, and `started` after the first event.  Its `response_id` and `stream_id` are
    those of the events until then.  With `other`, the observer is subscribed to `other` instead, without a
    timeout; its values may be of any type.

    Each subscription has one timer.  The timer runs on `scheduler`, else on the scheduler given to `subscribe`,
    else on the asyncio loop that runs where `subscribe` is called, else on a daemon thread.  A scheduler given to
    `subscribe` is passed over if it would block the subscriber or keep a thread busy: the schedulers for the
    current thread, for immediate work and for new threads.

    So the timeout may come on another thread than the events.  It never comes while the observer handles an
    event: it then follows on the thread of that event, when the observer has returned.  The source is disposed
    at once all the same.

    Events run on the source's thread.  Disposing stops the timer and disposes the source, or `other`.  An
    observer that raises does not stop the timer.  `seconds` must be a positive number; the call raises
    `ValueError` or `TypeError` otherwise.
    """
    return time_out(seconds, other, scheduler, TerminalTimeoutError, name="timeout_on_terminal")
