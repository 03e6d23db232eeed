"""`usage`: the token counts of a response."""

from __future__ import annotations

from collections.abc import Callable

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

from ..net.observable import EventObservable
from ..wire.assembly import Assembly
from ..wire.assembly_scopes import RESPONSES
from ..wire.events import ServerEvent
from ..wire.failures import unreadable
from ..wire.models import ResponseUsage
from ._arguments import makes_operator
from ._results import subscribe_to_results


@makes_operator
def usage() -> Callable[[Observable[ServerEvent]], Observable[ResponseUsage]]:
    """Emit the token counts once, from the terminal event.

    Marble::

        events:  --created--"He"--"llo"--completed|
        usage(): ------------------------usage----|

    A response without token counts emits nothing.  Of several responses in a row, each emits its own.

    Runs on the source's thread.  Disposing disposes the source.  `response.failed`, `error` and
    `response.steer.failed` become `on_error(ResponseFailedError)`, and `response.steer.pending` becomes
    `on_error(SteerPendingError)`.  A terminal event that could not be decoded becomes
    `on_error(UnreadableResponseError)`.
    """

    def operator(source: Observable[ServerEvent]) -> Observable[ResponseUsage]:
        def subscribe(observer: ObserverBase[ResponseUsage], scheduler: SchedulerBase | None = None) -> DisposableBase:
            assembly = Assembly(RESPONSES)

            def on_result(event: ServerEvent) -> None:
                response = assembly.finish(event)
                assembly.reset()
                if response is None:
                    observer.on_error(unreadable(event))
                elif response.usage is not None:
                    observer.on_next(response.usage)

            return subscribe_to_results(
                source,
                observer,
                scheduler,
                on_event=assembly.add,
                on_result=on_result,
                scope=RESPONSES,
                operator="usage",
            )

        return EventObservable(subscribe)

    return operator
