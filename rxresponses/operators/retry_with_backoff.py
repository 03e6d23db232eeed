"""`retry_with_backoff`: another try for what was not done."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import TypeVar

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, SerialDisposable, SingleAssignmentDisposable

from ..backoff import Backoff, is_retryable, retry_after
from ..errors import ResponsesError
from ..net.timing import current_timings, recording
from ..wire.events import ServerEvent
from ..wire.failures import failure_of
from ._timer import clock_for

T = TypeVar("T")


def retry_with_backoff(
    backoff: Backoff | None = None,
    *,
    when: Callable[[Exception], bool] = is_retryable,
    scheduler: SchedulerBase | None = None,
) -> Callable[[Observable[T]], Observable[T]]:
    """Subscribe again, after a while, to a source that failed before it emitted anything.

    Marble::

        first try:            --X                  (not sent, or rejected)
        second try:                 --created--"He"--completed|
        retry_with_backoff(): --------created--"He"--completed|

    It works on events and on what operators make of them.  Of a stream of events, a first event that
    is a failure counts as one: it is held back while there is another try to come.  Once anything was
    passed on, nothing is tried again, whatever follows: half an answer would be followed by a whole one.

    `when` says which errors deserve another try.  By default these are the ones after which nothing is
    done twice, and which pass: `error.delivery` is `not_sent` or `rejected`, for want of a connection,
    at a rate limit, or because the server is busy or out of order; never for a wrong request, key or
    URL, nor for spent quota.  With `when=lambda error: True` a request that may have reached the server
    (`unknown`) is sent again too, and may run, and cost, twice.  A `ResponsesClient` tries again by itself:
    behind one, the tries multiply.

    `backoff` says how long to wait and how often to try; default `Backoff()`.  A server that says how
    long to wait (`Retry-After`, in the headers of a refused upgrade or of an error) is obeyed, up to the
    backoff's `max_retry_after`; what asks for more is not tried again.  When no try is left, or the error
    does not deserve one, it goes on as it is, and `error.tries` says how often it was tried; a failure that
    came as an event goes on as that event.

    The wait runs on the clock that `timeout_on_terminal` describes, and so each further try is begun
    on its thread, in the context (`contextvars`) of the subscription.  Disposing ends the wait, or the
    try; `close()` of the socket does not end the wait, and is heard of by the next try.  A `when` that
    raises ends the stream with what it raised.  Anything else than a `Backoff` and a function raises
    `TypeError` at once.
    """
    pace = Backoff() if backoff is None else backoff
    if not isinstance(pace, Backoff):
        raise TypeError(f"backoff must be a Backoff, not {backoff!r}")
    if not callable(when):
        raise TypeError(f"when must be a function of the error, not {when!r}")

    def operator(source: Observable[T]) -> Observable[T]:
        def subscribe(observer: ObserverBase[T], subscribe_scheduler: SchedulerBase | None = None) -> DisposableBase:
            tries = 0
            passed = False  # something reached the observer: no try follows
            upstream = SerialDisposable()
            timer = SerialDisposable()
            start = clock_for(scheduler, subscribe_scheduler).start
            context, timings = copy_context(), current_timings()

            def attempt() -> None:
                nonlocal tries
                subscription = SingleAssignmentDisposable()
                # In place before it starts: it may fail, and the next one start, before `subscribe` returns.
                upstream.disposable = subscription
                if subscription.is_disposed:
                    return  # just now, on another thread
                tries += 1
                over = False  # another try follows this one, whose source may not stop at once

                def on_next(value: T) -> None:
                    nonlocal passed
                    if over:
                        return
                    if not passed:
                        failure = failure_of(value) if isinstance(value, ServerEvent) else None
                        if failure is not None and is_answered(failure):
                            return
                        passed = True
                    observer.on_next(value)

                def on_error(error: Exception) -> None:
                    if over or (not passed and is_answered(error)):
                        return
                    if isinstance(error, ResponsesError):
                        error.tries = tries
                    observer.on_error(error)

                def on_completed() -> None:
                    if not over:
                        observer.on_completed()

                def is_answered(error: Exception) -> bool:
                    """Start another try, if the error deserves one; return whether nothing else is to be done."""
                    nonlocal over
                    hint = retry_after(getattr(error, "headers", None) or {})
                    try:
                        over = tries <= pace.max_retries and when(error)
                    except Exception as problem:
                        observer.on_error(problem)
                        return True
                    if over and pace.is_too_long(hint):
                        over = False
                        pace.tell(error, hint)
                    if over:
                        subscription.dispose()
                        wait_for(min(pace.delay(tries, hint), threading.TIMEOUT_MAX))
                    return over

                subscription.disposable = source.subscribe(
                    on_next, on_error, on_completed, scheduler=subscribe_scheduler
                )

            def wait_for(seconds: float) -> None:
                one = SingleAssignmentDisposable()
                timer.disposable = one
                # A copy, because a context cannot be entered twice, and a clock may not wait at all.
                one.disposable = start(seconds, lambda: context.copy().run(try_again))

            def try_again() -> None:
                with recording(timings):
                    attempt()

            attempt()
            return CompositeDisposable(timer, upstream)

        return Observable(subscribe)

    return operator
