"""`timeout_on_terminal`: an end to waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, Disposable, SingleAssignmentDisposable

from ..errors import TerminalTimeoutError
from ..events import TERMINAL_TYPES, ServerEvent
from ._failure import response_id_of
from ._results import E
from ._timer import start_timer

# The states of the clock.  From `_LATE` on, nothing of the source reaches the observer.
_RUNNING, _SETTLED, _LATE, _OVER = range(4)


def timeout_on_terminal(
    seconds: float, other: Observable[E] | None = None, *, scheduler: SchedulerBase | None = None
) -> Callable[[Observable[E]], Observable[E]]:
    """Pass events on, but give up when no terminal event comes within `seconds` of subscribing.

    Marble::

        events:                 --created--"He"--"llo"------------completed|
        timeout_on_terminal(5): --created--"He"--"llo"----X
        (…, other):             --created--"He"--"llo"----other's events|

    A terminal event in time stops the clock: nothing after it is ever too late.  A source that
    completes or fails without one passes as it is.  At the timeout the source is disposed, which does
    to the request what `send_request` says, and the subscriber gets `TerminalTimeoutError`: its
    `delivery` is `unknown` when no event had come and `started` after that, its `response_id` and
    `stream_id` are those seen until then.  With `other` it is subscribed instead, and its events are
    under no clock.

    There is one timer a subscription.  It runs on `scheduler`; else on the scheduler given to
    `subscribe`, unless that one would block the subscriber or hold a thread (as those for the current
    thread, for at once and for new threads do); else on the asyncio loop that runs where
    `subscribe` is called; else on a daemon thread.  So the timeout may come on another thread than
    the events do, but never while an event is being delivered: the observer first returns from that
    one, and the timeout follows on the thread of the events.  The source is disposed at once all the same.

    Events run on the source's thread.  Disposing stops the clock and disposes the source, or `other`.
    An observer that raises does not stop the clock.  `seconds` must be a positive number
    (`ValueError`, `TypeError` at once).
    """
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"seconds must be a number, not {seconds!r}")
    if not 0 < seconds <= threading.TIMEOUT_MAX:  # NaN is caught here too
        raise ValueError(f"seconds must be positive and at most {threading.TIMEOUT_MAX:g}, not {seconds!r}")
    if other is not None and not isinstance(other, Observable):
        raise TypeError(f"other must be an Observable, not {other!r}")

    def operator(source: Observable[E]) -> Observable[E]:
        def subscribe(observer: ObserverBase[E], subscribe_scheduler: SchedulerBase | None = None) -> DisposableBase:
            clock = _RUNNING
            lock = threading.Lock()  # for changes of `clock`; never held while anything is called
            delivering = 0  # events inside the observer: more than one when it makes the source emit
            first: ServerEvent | None = None
            response_id: str | None = None
            upstream = SingleAssignmentDisposable()
            fallback = SingleAssignmentDisposable()
            timer = SingleAssignmentDisposable()

            # Events and timeout meet without a lock: an event announces itself, then looks at the clock;
            # the timeout sets the clock, then looks for an announced event.  So at least one sees the
            # other, and `give_up` lets only one through.

            def on_next(event: E) -> None:
                nonlocal delivering, first, response_id
                if event.type in TERMINAL_TYPES and not settle():
                    return
                delivering += 1
                try:
                    if clock < _LATE:
                        if response_id is None:
                            first = first or event
                            response_id = response_id_of(event)
                        observer.on_next(event)
                finally:
                    delivering -= 1
                    if clock == _LATE and not delivering:
                        give_up()

            def on_error(error: Exception) -> None:
                if settle():
                    observer.on_error(error)

            def on_completed() -> None:
                if settle():
                    observer.on_completed()

            def settle() -> bool:
                """Stop the clock for good; return whether that was in time."""
                nonlocal clock
                with lock:
                    if clock >= _LATE:
                        return False
                    clock = _SETTLED
                timer.dispose()
                return True

            def on_timeout() -> None:
                nonlocal clock
                with lock:
                    if clock != _RUNNING:
                        return
                    clock = _LATE
                try:
                    upstream.dispose()
                finally:
                    if not delivering:
                        give_up()

            def give_up() -> None:
                nonlocal clock
                with lock:
                    if clock != _LATE:
                        return
                    clock = _OVER
                if other is not None:
                    fallback.disposable = other.subscribe(observer, scheduler=subscribe_scheduler)
                    return
                observer.on_error(
                    TerminalTimeoutError(
                        seconds,
                        delivery="unknown" if first is None else "started",
                        response_id=response_id,
                        stream_id=None if first is None else first.stream_id,
                    )
                )

            def dispose() -> None:
                nonlocal clock
                with lock:
                    clock = _OVER

            timer.disposable = start_timer(seconds, on_timeout, scheduler, subscribe_scheduler)
            upstream.disposable = source.subscribe(on_next, on_error, on_completed, scheduler=subscribe_scheduler)
            return CompositeDisposable(Disposable(dispose), timer, upstream, fallback)

        return Observable(subscribe)

    return operator
