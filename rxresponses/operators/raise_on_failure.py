"""`raise_on_failure`: failed responses as errors."""

from __future__ import annotations

from collections.abc import Callable

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

from ._results import E, subscribe_to_results


def raise_on_failure() -> Callable[[Observable[E]], Observable[E]]:
    """Pass all events on, but end with an error where the response failed.

    Marble::

        events:             --created--"He"--failed|
        raise_on_failure(): --created--"He"--X

    `response.failed`, `error` and `response.steer.failed` become `on_error(ResponseFailedError)`, and so
    does a completed event whose response has the status `failed`.  The failing event itself is not
    emitted: it is the `event` of the error.  `response.incomplete` is a result and passes, and so does
    `response.steer.pending`, which is no failure.  Put this before operators that drop events: whether
    the request was rejected or had started (`delivery`) is told by the events that came before.

    Runs on the source's thread; disposing disposes the source.
    """

    def operator(source: Observable[E]) -> Observable[E]:
        def subscribe(observer: ObserverBase[E], scheduler: SchedulerBase | None = None) -> DisposableBase:
            return subscribe_to_results(
                source,
                observer,
                scheduler,
                on_event=observer.on_next,
                on_result=observer.on_next,
                on_pending=observer.on_next,
            )

        return Observable(subscribe)

    return operator
