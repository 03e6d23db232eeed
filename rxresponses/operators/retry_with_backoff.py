"""`retry_with_backoff`: another try after an error that passes."""

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
from ..net.observable import EventObservable
from ..net.timing import current_timings, recording
from ..wire.events import ServerEvent
from ..wire.failures import failure_of
from ..wire.fields import begins_response
from ._arguments import makes_operator
from ._clock import clock_for

T = TypeVar("T")


@makes_operator
def retry_with_backoff(
    backoff: Backoff | None = None,
    *,
    when: Callable[[Exception], bool] = is_retryable,
    scheduler: SchedulerBase | None = None,
) -> Callable[[Observable[T]], Observable[T]]:
    """Subscribe again, after a wait, to a source that failed before it emitted anything.

    Marble::

        first try:            --X                  (not sent, or rejected)
        second try:                 --created--"He"--completed|
        retry_with_backoff(): --------created--"He"--completed|

    The source may emit events, or what other operators make of them.  If the first value is an event that is a
    failure, it counts as an error: it is held back while another try may follow.  After the first value that was
    emitted, nothing is tried again, because the observer would get half an answer and then a whole answer.
    Heartbeats and other events that belong to no response do not count: they are emitted, and a try may follow.

    `when` says which errors deserve another try.  By default these are errors that pass, after which nothing is
    done twice: `error.delivery` is `not_sent` or `rejected`, because there was no connection, at a rate limit, or
    because the server is busy or out of order.  A wrong request, key or URL and a spent quota are never retried.
    With `when=lambda error: True`, a request that may have reached the server (`unknown`) is sent again too; it
    may run, and cost, twice.  A `ResponsesClient` retries by itself, so behind a client the tries multiply.

    `backoff` says how long to wait and how often to try; the default is `Backoff()`.  If the server says how long
    to wait (`Retry-After`, in the headers of a refused upgrade or of an error), the wait is that long.  If that is
    more than `max_retry_after` seconds, there is no other try.  When no try is left, or the error deserves none,
    the observer gets the error, and `error.tries` is the number of tries.  A failure that came as an event is
    emitted as that event.

    The wait runs on the scheduler that `timeout_on_terminal` describes.  The next try starts on its thread, in
    the context (`contextvars`) of the subscription.  Disposing ends the wait, or the running try.  `close()` of the
    socket does not end the wait; the next try then fails.  A `when` that raises ends the stream with its
    exception.  A `backoff` that is no `Backoff`, or a `when` that cannot be called, raises `TypeError` at the call.
    """
    policy = Backoff() if backoff is None else backoff
    if not isinstance(policy, Backoff):
        raise TypeError(f"backoff must be a Backoff, not {backoff!r}")
    if not callable(when):
        raise TypeError(f"when must be a function of the error, not {when!r}")

    def operator(source: Observable[T]) -> Observable[T]:
        def subscribe(observer: ObserverBase[T], subscribe_scheduler: SchedulerBase | None = None) -> DisposableBase:
            tries = 0
            emitted = False  # a value reached the observer: no try follows
            upstream = SerialDisposable()
            timer = SerialDisposable()
            start = clock_for(scheduler, subscribe_scheduler).start
            context, timings = copy_context(), current_timings()

            def attempt() -> None:
                nonlocal tries
                subscription = SingleAssignmentDisposable()
                # Keep the subscription before it starts: the try may fail, and the next try start, before `subscribe`
                # returns.
                upstream.disposable = subscription
                if subscription.is_disposed:
                    return  # disposed meanwhile, on another thread
                tries += 1
                replaced = False  # another try follows; the source of this try may not stop at once

                def on_next(value: T) -> None:
                    nonlocal emitted
                    if replaced:
                        return
                    if not emitted:
                        failure = failure_of(value) if isinstance(value, ServerEvent) else None
                        if failure is not None and is_handled(failure):
                            return
                        emitted = not isinstance(value, ServerEvent) or begins_response(value)
                    observer.on_next(value)

                def on_error(error: Exception) -> None:
                    if replaced or (not emitted and is_handled(error)):
                        return
                    if isinstance(error, ResponsesError):
                        error.tries = tries
                    observer.on_error(error)

                def on_completed() -> None:
                    if not replaced:
                        observer.on_completed()

                def is_handled(error: Exception) -> bool:
                    """Start another try if the error deserves one; return whether the error is dealt with."""
                    nonlocal replaced
                    hint = retry_after(getattr(error, "headers", None) or {})
                    try:
                        replaced = tries <= policy.max_retries and when(error)
                    except Exception as raised:
                        observer.on_error(raised)
                        return True
                    if replaced and policy.is_too_long(hint):
                        replaced = False
                        policy.tell(error, hint)
                    if replaced:
                        subscription.dispose()
                        wait_for(min(policy.delay(tries, hint), threading.TIMEOUT_MAX))
                    return replaced

                subscription.disposable = source.subscribe(
                    on_next, on_error, on_completed, scheduler=subscribe_scheduler
                )

            def wait_for(seconds: float) -> None:
                started = SingleAssignmentDisposable()
                timer.disposable = started
                # A copy, because a context cannot be entered twice, and some schedulers do not wait at all.
                started.disposable = start(seconds, lambda: context.copy().run(try_again))

            def try_again() -> None:
                with recording(timings):
                    attempt()

            attempt()
            return CompositeDisposable(timer, upstream)

        return EventObservable(subscribe)

    return operator
