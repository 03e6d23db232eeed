"""What the timeout operators share: one timer for each subscription, and exactly one end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, Disposable, SerialDisposable, SingleAssignmentDisposable

from ..errors import FirstEventTimeoutError, IdleTimeoutError, TerminalTimeoutError
from ..net.clock import clock_for
from ..net.direct_observer import latest_on_next
from ..net.observable import EventObservable
from ..scalars import plain_scalar
from ..wire.events import TERMINAL_TYPES, ServerEvent
from ..wire.fields import begins_response, response_id_of
from ._arguments import check_event, no_event
from ._results import E

T = TypeVar("T")

# The states of a subscription: the timer runs, it was stopped in time, the timeout has come, `other` or the error
# has taken over.  From `_TIMED_OUT` on, nothing of the source reaches the observer.
_WAITING, _IN_TIME, _TIMED_OUT, _ENDED = range(4)


def time_out(
    seconds: float,
    other: Observable[T] | None,
    scheduler: SchedulerBase | None,
    error: type[FirstEventTimeoutError | IdleTimeoutError | TerminalTimeoutError],
    *,
    name: str,
    first_event_settles: bool = False,
    events_restart: bool = False,
) -> Callable[[Observable[E]], Observable[E | T]]:
    """Give a source `seconds` until its terminal event; then go on with `other`, else end with an `error`.

    With `first_event_settles`, the first event of the response stops the timer.  With `events_restart`, the time
    starts again with each event.  Events, the timeout and disposing may each be on another thread.
    """
    seconds = plain_scalar(seconds)
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"seconds must be a number, not {seconds!r}")
    if not 0 < seconds <= threading.TIMEOUT_MAX:  # NaN is caught here too
        raise ValueError(f"seconds must be positive and at most {threading.TIMEOUT_MAX:g}, not {seconds!r}")
    if other is not None and not isinstance(other, Observable):
        raise TypeError(f"other must be an Observable, not {other!r}")

    def operator(source: Observable[E]) -> Observable[E | T]:
        def subscribe(observer: ObserverBase[E | T], inherited: SchedulerBase | None = None) -> DisposableBase:
            state = _WAITING
            closed = False  # `state >= _TIMED_OUT`, in one look for each event
            lock = threading.Lock()  # for changes of `state`; never held during a call of foreign code
            delivering = 0  # events that the observer handles now: more than one if it makes the source emit
            first: ServerEvent | None = None
            response_id: str | None = None
            upstream = SingleAssignmentDisposable()
            fallback = SingleAssignmentDisposable()
            timer = SerialDisposable()
            now, start = clock_for(scheduler, inherited)
            # `latest` is the time of the latest event, `checked` the value of `latest` when the timer was started.
            latest = checked = now() if events_restart else 0.0

            # Events and the timeout meet without a lock.  An event first counts itself as delivering, then looks
            # at the state; the timeout first sets the state, then looks at the count.  So at least one of them
            # sees the other.  If both do, the lock in `give_up` lets only the first through.

            def on_next(event: E) -> None:
                nonlocal delivering, first, response_id, latest
                try:
                    is_end = event.type in TERMINAL_TYPES
                except AttributeError:
                    raise no_event(name, event) from None
                if is_end and not settle():
                    return
                delivering += 1
                try:
                    if not closed:
                        if response_id is None:
                            first = first or (event if begins_response(event) else None)
                            response_id = response_id_of(event)
                        observer.on_next(event)
                finally:
                    if events_restart:
                        latest = now()
                    delivering -= 1
                    if closed and not delivering:
                        give_up()

            def on_next_that_settles(event: E) -> None:
                # After the first event in time there is no timeout, so the event need not count itself.
                if state != _IN_TIME:
                    check_event(name, event)
                if state == _IN_TIME or (begins_response(event) and settle()):
                    observer.on_next(event)
                else:
                    on_next(event)  # a heartbeat, or too late

            def on_error(error: Exception) -> None:
                if settle():
                    observer.on_error(error)

            def on_completed() -> None:
                if settle():
                    observer.on_completed()

            def settle() -> bool:
                """Stop the timer for good; return whether that was in time."""
                nonlocal state
                with lock:
                    if state >= _TIMED_OUT:
                        return False
                    state = _IN_TIME
                timer.dispose()
                return True

            def start_timer(wait: float) -> None:
                # Keep the disposable before the start: the timer may fire, and start the next timer, before
                # `start` returns.
                started = SingleAssignmentDisposable()
                timer.disposable = started
                started.disposable = start(wait, on_time if events_restart else on_timeout)

            def on_time() -> None:
                nonlocal checked
                # In this order: an event that the observer finishes in between has set `latest` before.
                busy, last = delivering, latest
                if not busy and last == checked:  # no event since the timer was started
                    on_timeout()
                elif state == _WAITING:
                    checked = last
                    # A busy observer gets no events, so all the time is left.  A clock may be set back or forth,
                    # so the rest is kept between 0 and `seconds`.
                    start_timer(seconds if busy else min(max(last + seconds - now(), 0.0), seconds))

            def on_timeout() -> None:
                nonlocal state, closed
                with lock:
                    if state != _WAITING:
                        return
                    state, closed = _TIMED_OUT, True
                try:
                    upstream.dispose()
                finally:
                    if not delivering:
                        give_up()

            def give_up() -> None:
                nonlocal state
                with lock:
                    if state != _TIMED_OUT:
                        return
                    state = _ENDED
                if other is not None:
                    fallback.disposable = other.subscribe(
                        latest_on_next(observer),
                        observer.on_error,
                        observer.on_completed,
                        scheduler=inherited,
                    )
                    return
                observer.on_error(
                    error(
                        seconds,
                        delivery="unknown" if first is None else "started",
                        response_id=response_id,
                        stream_id=None if first is None else first.stream_id,
                    )
                )

            def dispose() -> None:
                nonlocal state, closed
                with lock:
                    state, closed = _ENDED, True

            start_timer(seconds)
            upstream.disposable = source.subscribe(
                on_next_that_settles if first_event_settles else on_next,
                on_error,
                on_completed,
                scheduler=inherited,
            )
            return CompositeDisposable(Disposable(dispose), timer, upstream, fallback)

        return EventObservable(subscribe)

    return operator
