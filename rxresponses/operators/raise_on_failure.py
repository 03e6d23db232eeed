"""`raise_on_failure`: a failed response as an error."""

from __future__ import annotations

from collections.abc import Callable

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

from ..net.direct_observer import latest_on_next
from ..net.observable import EventObservable
from ._arguments import makes_operator
from ._results import E, subscribe_to_results


@makes_operator
def raise_on_failure() -> Callable[[Observable[E]], Observable[E]]:
    """Emit all events, but end with an error when the response failed.

    Marble::

        events:             --created--"He"--failed|
        raise_on_failure(): --created--"He"--X

    `response.failed`, `error` and `response.steer.failed` become `on_error(ResponseFailedError)`, and so does a
    completed event whose response has the status `failed`.  The failing event is not emitted; it is the `event`
    of the error.  `response.incomplete` and `response.steer.pending` are no failures, and pass.

    Put this operator before operators that drop events.  It looks at the events before the failure to tell
    whether the server rejected the request or had started to answer it (`delivery` of the error).

    Runs on the source's thread.  Disposing disposes the source.
    """

    def operator(source: Observable[E]) -> Observable[E]:
        def subscribe(observer: ObserverBase[E], scheduler: SchedulerBase | None = None) -> DisposableBase:
            return subscribe_to_results(
                source,
                observer,
                scheduler,
                on_result=latest_on_next(observer),
                on_pending=latest_on_next(observer),
                operator="raise_on_failure",
            )

        return EventObservable(subscribe)

    return operator
