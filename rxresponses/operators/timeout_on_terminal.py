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

# What became of the clock.
_RUNNING, _SETTLED, _LATE, _DISPOSED = range(4)


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
            lock = threading.Lock()  # for the state below; never held while anything is called
            clock = _RUNNING
            delivering = 0  # events inside the observer: more than one when it makes the source emit
            first: ServerEvent | None = None
            response_id: str | None = None
            upstream = SingleAssignmentDisposable()
            fallback = SingleAssignmentDisposable()
            timer = SingleAssignmentDisposable()

            def on_next(event: E) -> None:
                nonlocal clock, delivering, first, response_id
                terminal = event.type in TERMINAL_TYPES
                with lock:
                    if clock >= _LATE:
                        return
                    if terminal:
                        clock = _SETTLED
                    delivering += 1
                if terminal:
                    timer.dispose()
                if response_id is None:
                    response_id = response_id_of(event)
                    first = first or event
                try:
                    observer.on_next(event)
                finally:
                    with lock:
                        delivering -= 1
                        mine = clock == _LATE and not delivering
                    if mine:
                        give_up()

            def settle() -> bool:
                nonlocal clock
                with lock:
                    if clock >= _LATE:
                        return False
                    clock = _SETTLED
                timer.dispose()
                return True

            def on_error(error: Exception) -> None:
                if settle():
                    observer.on_error(error)

            def on_completed() -> None:
                if settle():
                    observer.on_completed()

            def on_timeout() -> None:
                nonlocal clock
                with lock:
                    if clock != _RUNNING:
                        return
                    clock = _LATE
                    mine = not delivering
                upstream.dispose()
                if mine:
                    give_up()

            def give_up() -> None:
                """Tell the observer; called once, by whoever finds the clock late and nothing in delivery."""
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
                    clock = _DISPOSED

            timer.disposable = start_timer(seconds, on_timeout, scheduler, subscribe_scheduler)
            upstream.disposable = source.subscribe(on_next, on_error, on_completed, scheduler=subscribe_scheduler)
            return CompositeDisposable(Disposable(dispose), timer, upstream, fallback)

        return Observable(subscribe)

    return operator
