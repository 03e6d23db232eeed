"""`refusals`: what the model says when it declines to answer, piece by piece."""

from __future__ import annotations

from collections.abc import Callable

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

from ..net.observable import EventObservable
from ..wire.assembly_scopes import REFUSALS
from ..wire.endings import RefusalPieces
from ..wire.events import ServerEvent
from ._arguments import makes_operator
from ._results import subscribe_to_results


@makes_operator
def refusals() -> Callable[[Observable[ServerEvent]], Observable[str]]:
    """Emit each piece of a refusal as it comes.

    Marble::

        events:     --created--refusal "I can"--refusal "not"--completed|
        refusals(): -----------"I can"----------"not"-------------------|

    A refusal is no output text, so `text_deltas` leaves it out.  It is emitted once, although servers repeat it: where
    deltas are missing, the rest comes from the next event that has the whole refusal, at the latest the terminal event.
    A response that is not refused emits nothing.  Of several responses in a row, the refusal of each is emitted.

    Runs on the source's thread.  Disposing disposes the source.  `response.failed`, `error` and
    `response.steer.failed` become `on_error(ResponseFailedError)`, and `response.steer.pending` becomes
    `on_error(SteerPendingError)`.  `raise_on_refusal` makes an error of a refusal.
    """

    def operator(source: Observable[ServerEvent]) -> Observable[str]:
        def subscribe(observer: ObserverBase[str], scheduler: SchedulerBase | None = None) -> DisposableBase:
            refusal = RefusalPieces()

            def on_event(event: ServerEvent) -> None:
                if piece := refusal.read(event):
                    observer.on_next(piece)

            return subscribe_to_results(
                source, observer, scheduler, on_event=on_event, on_result=on_event, scope=REFUSALS, operator="refusals"
            )

        return EventObservable(subscribe)

    return operator
