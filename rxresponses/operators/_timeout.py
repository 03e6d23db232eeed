"""What every timeout operator does: one timer a subscription, and one ending."""

from __future__ import annotations

import threading
from collections.abc import Callable

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, Disposable, SerialDisposable, SingleAssignmentDisposable

from ..errors import FirstEventTimeoutError, IdleTimeoutError, TerminalTimeoutError
from ..wire.events import TERMINAL_TYPES, ServerEvent
from ..wire.failures import response_id_of
from ._results import E
from ._timer import clock_for

# The states of the clock.  From `_LATE` on, nothing of the source reaches the observer.
_RUNNING, _SETTLED, _LATE, _OVER = range(4)


def time_out(
    seconds: float,
    other: Observable[E] | None,
    scheduler: SchedulerBase | None,
    error: type[FirstEventTimeoutError | IdleTimeoutError | TerminalTimeoutError],
    *,
    any_event_settles: bool = False,
    events_restart: bool = False,
) -> Callable[[Observable[E]], Observable[E]]:
    """Give a source `seconds` until its terminal event, then go on with `other`, else with an `error`.

    With `any_event_settles` it has them until its first event; with `events_restart` it has them again
    from each event on.  Events in delivery, the timeout and disposal may all be on different threads.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"seconds must be a number, not {seconds!r}")
    if not 0 < seconds <= threading.TIMEOUT_MAX:  # NaN is caught here too
        raise ValueError(f"seconds must be positive and at most {threading.TIMEOUT_MAX:g}, not {seconds!r}")
    if other is not None and not isinstance(other, Observable):
        raise TypeError(f"other must be an Observable, not {other!r}")

    def operator(source: Observable[E]) -> Observable[E]:
        def subscribe(observer: ObserverBase[E], subscribe_scheduler: SchedulerBase | None = None) -> DisposableBase:
            state = _RUNNING
            shut = False  # `state >= _LATE`, for the event path
            lock = threading.Lock()  # for changes of `state`; never held while anything is called
            delivering = 0  # events inside the observer: more than one when it makes the source emit
            first: ServerEvent | None = None
            response_id: str | None = None
            upstream = SingleAssignmentDisposable()
            fallback = SingleAssignmentDisposable()
            timer = SerialDisposable()
            now, start = clock_for(scheduler, subscribe_scheduler)
            latest = checked = now() if events_restart else 0.0  # the latest event; the one the timer knows of

            # Events and timeout meet without a lock: an event announces itself, then looks at the state;
            # the timeout sets the state, then looks for an announced event.  So at least one sees the
            # other, and `give_up` lets only one through.

            def on_next(event: E) -> None:
                nonlocal delivering, first, response_id, latest
                if event.type in TERMINAL_TYPES and not settle():
                    return
                delivering += 1
                try:
                    if not shut:
                        if response_id is None:
                            first = first or event
                            response_id = response_id_of(event)
                        observer.on_next(event)
                finally:
                    if events_restart:
                        latest = now()
                    delivering -= 1
                    if shut and not delivering:
                        give_up()

            def on_any(event: E) -> None:
                # Once settled, never late: nothing to announce.
                if state == _SETTLED or settle():
                    observer.on_next(event)

            def on_error(error: Exception) -> None:
                if settle():
                    observer.on_error(error)

            def on_completed() -> None:
                if settle():
                    observer.on_completed()

            def settle() -> bool:
                """Stop the clock for good; return whether that was in time."""
                nonlocal state
                with lock:
                    if state >= _LATE:
                        return False
                    state = _SETTLED
                timer.dispose()
                return True

            def start_timer(wait: float) -> None:
                # In place before it starts: it may fire, and start the next one, before `start` returns.
                one = SingleAssignmentDisposable()
                timer.disposable = one
                one.disposable = start(wait, on_time if events_restart else on_timeout)

            def on_time() -> None:
                nonlocal checked
                # In this order: an event that leaves the observer in between has left its time before.
                busy, last = delivering, latest
                if not busy and last == checked:  # nothing came since the timer was started
                    on_timeout()
                elif state == _RUNNING:
                    checked = last
                    # While the observer is busy, the source cannot be heard.  And clocks may be set.
                    start_timer(seconds if busy else min(max(last + seconds - now(), 0.0), seconds))

            def on_timeout() -> None:
                nonlocal state, shut
                with lock:
                    if state != _RUNNING:
                        return
                    state, shut = _LATE, True
                try:
                    upstream.dispose()
                finally:
                    if not delivering:
                        give_up()

            def give_up() -> None:
                nonlocal state
                with lock:
                    if state != _LATE:
                        return
                    state = _OVER
                if other is not None:
                    fallback.disposable = other.subscribe(observer, scheduler=subscribe_scheduler)
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
                nonlocal state, shut
                with lock:
                    state, shut = _OVER, True

            start_timer(seconds)
            upstream.disposable = source.subscribe(
                on_any if any_event_settles else on_next, on_error, on_completed, scheduler=subscribe_scheduler
            )
            return CompositeDisposable(Disposable(dispose), timer, upstream, fallback)

        return Observable(subscribe)

    return operator
