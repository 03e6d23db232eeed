"""`function_calls`: the function calls of the model."""

from __future__ import annotations

from collections.abc import Callable

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

from ..net.observable import EventObservable
from ..wire.assembly import Assembly
from ..wire.assembly_item import Item
from ..wire.assembly_scopes import CALLS
from ..wire.events import ResponseOutputItemDoneEvent, ServerEvent
from ..wire.failures import unreadable
from ..wire.models import ResponseFunctionToolCall
from ._arguments import makes_operator
from ._results import subscribe_to_results


@makes_operator
def function_calls() -> Callable[[Observable[ServerEvent]], Observable[ResponseFunctionToolCall]]:
    """Emit each function call once, as soon as its arguments are whole.

    Marble::

        events:           --created--args--args--item done--completed|
        function_calls(): -----------------------call----------------|

    A call comes from its `response.output_item.done`.  The calls for which a server sends no such event come with the
    terminal event, from whatever the events before and the response itself say of them.  Two calls are different if
    their items are, even if a server gives both the same `call_id`.  A call that the response cut short (its `status`
    is `incomplete`) is left out, because its arguments are no whole JSON.  Of several responses in a row, the calls of
    each are emitted.

    Runs on the source's thread.  Disposing disposes the source.  `response.failed`, `error` and
    `response.steer.failed` become `on_error(ResponseFailedError)`, and `response.steer.pending` becomes
    `on_error(SteerPendingError)`, after the calls that were already emitted.
    """

    def operator(source: Observable[ServerEvent]) -> Observable[ResponseFunctionToolCall]:
        def subscribe(
            observer: ObserverBase[ResponseFunctionToolCall], scheduler: SchedulerBase | None = None
        ) -> DisposableBase:
            assembly = Assembly(CALLS)
            emitted: set[int] = set()  # the numbers of items

            def take(item: Item) -> None:
                call = item.build()
                if not isinstance(call, ResponseFunctionToolCall) or item.number in emitted:
                    return
                emitted.add(item.number)
                if call.status != "incomplete":
                    observer.on_next(call)

            def on_event(event: ServerEvent) -> None:
                if event.type == "response.created":
                    before = assembly.base
                    assembly.add(event)
                    if before is not None and not assembly.items():
                        emitted.clear()
                elif assembly.add(event) and isinstance(event, ResponseOutputItemDoneEvent):
                    assert assembly.item is not None
                    if assembly.item.has_text:  # some servers send the arguments in the terminal event only
                        take(assembly.item)

            def on_result(event: ServerEvent) -> None:
                response = assembly.finish(event)
                items = assembly.items()
                if response is None and not items:
                    observer.on_error(unreadable(event))
                    return
                for item in items:
                    take(item)
                assembly.reset()
                emitted.clear()

            def on_completed() -> None:
                for item in assembly.items():
                    if item.is_done:
                        take(item)
                observer.on_completed()

            return subscribe_to_results(
                source,
                observer,
                scheduler,
                on_event=on_event,
                on_result=on_result,
                on_completed=on_completed,
                scope=CALLS,
                operator="function_calls",
            )

        return EventObservable(subscribe)

    return operator
