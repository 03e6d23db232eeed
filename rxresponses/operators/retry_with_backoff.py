"""`retry_with_backoff`: another try after an error that passes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import TypeVar

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, SerialDisposable, SingleAssignmentDisposable

from ..backoff import Backoff, is_retryable, requested_wait
from ..errors import ResponseFailedError, ResponsesError
from ..net.clock import clock_for
from ..net.observable import EventObservable
from ..net.timing import current_timings, recording
from ..raised import as_exception
from ..wire.events import ServerEvent
from ..wire.failures import failure_of
from ..wire.fields import begins_response, shows_output
from ._arguments import makes_operator

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
    emitted, nothing is tried again, because the observer would get half an answer and then a whole answer.  There is
    one exception: a response that failed without output and usage (`error.without_output`).  Its `response.created`
    has been emitted, and the next try emits its own, with another response id.  Heartbeats and other events that belong
    to no response do not count: they are emitted, and a try may follow.

    `when` says which errors deserve another try.  By default these are errors that pass, after which nothing is
    done twice: `error.delivery` is `not_sent` or `rejected`, because there was no connection, at a rate limit, or
    because the server is busy or out of order; or the server was at a limit or busy, and the response failed without
    output and usage.  A wrong request, key or URL and a spent quota are never retried.
    With `when=lambda error: True`, a request that may have reached the server (`unknown`) is sent again too; it
    may run, and cost, twice.  A `ResponsesClient` retries by itself, so behind a client the tries multiply.

    `backoff` says how long to wait and how often to try; the default is `Backoff()`.  If the server says how long
    to wait (in the headers of a refused upgrade, or in the headers, fields or message of an error), the wait is that
    long.  If that is more than `max_retry_after` seconds, there is no other try.  When no try is left, or the error
    deserves none, the observer gets the error, and `error.tries` is the number of tries.  A failure that came as an
    event is emitted as that event.

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
            emitted = False  # a value reached the observer: no try follows, except after a response without output
            has_output = False  # a value that shows output reached the observer: no try follows at all
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
                first: ServerEvent | None = None  # the first event of this try

                def on_next(value: T) -> None:
                    nonlocal emitted, has_output, first
                    if replaced:
                        return
                    if not has_output:
                        if isinstance(value, ServerEvent):
                            failure = failure_of(value, first, has_output=False)
                            if failure is not None and may_follow(failure) and is_handled(failure):
                                return
                            if first is None and begins_response(value):
                                first = value
                            emitted, has_output = first is not None, shows_output(value)
                        else:
                            emitted = has_output = True
                    observer.on_next(value)

                def on_error(error: Exception) -> None:
                    if replaced or (may_follow(error) and is_handled(error)):
                        return
                    if isinstance(error, ResponsesError):
                        error.tries = tries
                    observer.on_error(error)

                def on_completed() -> None:
                    if not replaced:
                        observer.on_completed()

                def may_follow(error: Exception) -> bool:
                    """Whether another try may follow: the observer has got no value, or no output of a response."""
                    is_empty = isinstance(error, ResponseFailedError) and error.without_output
                    return not emitted or (is_empty and not has_output)

                def is_handled(error: Exception) -> bool:
                    """Start another try if the error deserves one; return whether the error is dealt with."""
                    nonlocal replaced
                    hint = requested_wait(error)
                    try:
                        replaced = tries <= policy.max_retries and when(error)
                    except Exception as raised:
                        observer.on_error(as_exception(raised, "`when`"))
                        return True
                    except BaseException as raised:  # an exit: the program gets it, and no other notification follows
                        replaced = True
                        observer.on_error(as_exception(raised, "`when`"))
                        raise
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
