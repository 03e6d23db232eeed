"""`accumulate_response`: the response so far."""

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
def accumulate_response() -> Callable[[Observable[ServerEvent]], Observable[Response]]:
    """Emit the response so far, each time an event adds to it.

    Marble::

        events:                --created--item--"He"--"llo"--completed|
        accumulate_response(): --R0-------R1----R2----R3-----R--------|

    Nothing is emitted before `response.created`, because no response is known yet.  Then each emission is a
    snapshot that never changes; it shares its unchanged parts with the snapshot before.

    Items, content parts, text, log probabilities, refusals, annotations, reasoning, its summary, the arguments,
    input or code of tool calls, patches, the commands of a shell and their outputs, and the status of hosted calls
    grow event by event.  The first half of a character that the server cut in two (a lone surrogate) waits for the
    second half.

    The terminal event emits the server's own response.  What the events before have more, such as items or texts that
    the terminal event leaves out, is filled in.  Of several responses in a row, each starts anew.

    Runs on the source's thread.  Disposing disposes the source.  `response.failed`, `error` and
    `response.steer.failed` become `on_error(ResponseFailedError)`, and `response.steer.pending` becomes
    `on_error(SteerPendingError)`.  A terminal event that could not be decoded becomes
    `on_error(UnreadableResponseError)`.
    """

    def operator(source: Observable[ServerEvent]) -> Observable[Response]:
        def subscribe(observer: ObserverBase[Response], scheduler: SchedulerBase | None = None) -> DisposableBase:
            assembly = Assembly(WHOLE)

            def on_event(event: ServerEvent) -> None:
                if assembly.add(event) and assembly.base is not None:
                    observer.on_next(assembly.snapshot(assembly.base))

            def on_result(event: ServerEvent) -> None:
                whole = assembly.finish(event)
                assembly.reset()
                if whole is None:
                    observer.on_error(unreadable(event))
                else:
                    observer.on_next(whole)

            return subscribe_to_results(
                source,
                observer,
                scheduler,
                on_event=on_event,
                on_result=on_result,
                scope=WHOLE,
                operator="accumulate_response",
            )

        return EventObservable(subscribe)

    return operator
