"""`function_calls`: the function calls of the model."""

from __future__ import annotations

from collections.abc import Callable

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

from ..net.observable import EventObservable
from ..wire.events import ResponseOutputItemDoneEvent, ServerEvent
from ..wire.failures import response_of, unreadable
from ..wire.models import ResponseFunctionToolCall
from ._arguments import makes_operator
from ._results import subscribe_to_results


@makes_operator
def function_calls() -> Callable[[Observable[ServerEvent]], Observable[ResponseFunctionToolCall]]:
    """Emit each function call once, as soon as its arguments are whole.

    Marble::

        events:           --created--args--args--item done--completed|
        function_calls(): -----------------------call----------------|

    A call comes from its `response.output_item.done`.  If a server sends no such event for any call, the calls
    come from the terminal event.  A call that the response cut short (its `status` is `incomplete`) is left out,
    because its arguments are no whole JSON.  Of several responses in a row, the calls of each are emitted.

    Runs on the source's thread.  Disposing disposes the source.  `response.failed`, `error` and
    `response.steer.failed` become `on_error(ResponseFailedError)`, and `response.steer.pending` becomes
    `on_error(SteerPendingError)`, after the calls that were already emitted.
    """

    def operator(source: Observable[ServerEvent]) -> Observable[ResponseFunctionToolCall]:
        def subscribe(
            observer: ObserverBase[ResponseFunctionToolCall], scheduler: SchedulerBase | None = None
        ) -> DisposableBase:
            seen = False  # a call was seen: the terminal event repeats it, with some servers under a new id
            emitted: set[str] = set()

            def take(item: object) -> None:
                nonlocal seen
                if not isinstance(item, ResponseFunctionToolCall):
                    return
                seen = True
                key = item.call_id or item.id or ""
                if item.status == "incomplete" or key in emitted:
                    return
                if key:
                    emitted.add(key)
                observer.on_next(item)

            def reset() -> None:
                nonlocal seen
                seen = False
                emitted.clear()

            def on_event(event: ServerEvent) -> None:
                if isinstance(event, ResponseOutputItemDoneEvent):
                    take(event.item)
                elif event.type == "response.created":
                    reset()

            def on_result(event: ServerEvent) -> None:
                if not seen:
                    response = response_of(event)
                    if response is None:
                        observer.on_error(unreadable(event))
                        return
                    for item in response.output:
                        take(item)
                reset()

            return subscribe_to_results(source, observer, scheduler, on_event=on_event, on_result=on_result)

        return EventObservable(subscribe)

    return operator
