"""`final_response`: the response of the terminal event."""

from __future__ import annotations

from collections.abc import Callable

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

from ..net.observable import EventObservable
from ..wire.assembly import Assembly
from ..wire.assembly_scopes import WHOLE
from ..wire.events import ServerEvent
from ..wire.failures import unreadable
from ..wire.models import Response
from ._arguments import makes_operator
from ._results import subscribe_to_results


@makes_operator
def final_response() -> Callable[[Observable[ServerEvent]], Observable[Response]]:
    """Emit the response once, from its terminal event.

    Marble::

        events:           --created--"He"--"llo"--completed|
        final_response(): ------------------------response-|

    The response is completed or incomplete, as its `status` says.  It is the server's own response; the items and texts
    that only the events before have are filled in.  A source that completes without a terminal
    event emits nothing.  Of several responses in a row, each is emitted.

    Runs on the source's thread.  Disposing disposes the source.  `response.failed`, `error` and
    `response.steer.failed` become `on_error(ResponseFailedError)`, and `response.steer.pending` becomes
    `on_error(SteerPendingError)`.  A terminal event that could not be decoded becomes
    `on_error(UnreadableResponseError)`.
    """

    def operator(source: Observable[ServerEvent]) -> Observable[Response]:
        def subscribe(observer: ObserverBase[Response], scheduler: SchedulerBase | None = None) -> DisposableBase:
            assembly = Assembly(WHOLE)

            def on_result(event: ServerEvent) -> None:
                response = assembly.finish(event)
                assembly.reset()
                if response is None:
                    observer.on_error(unreadable(event))
                else:
                    observer.on_next(response)

            return subscribe_to_results(
                source,
                observer,
                scheduler,
                on_event=assembly.add,
                on_result=on_result,
                scope=WHOLE,
                operator="final_response",
            )

        return EventObservable(subscribe)

    return operator
