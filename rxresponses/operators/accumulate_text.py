"""`accumulate_text`: the output text so far."""

from __future__ import annotations

from collections.abc import Callable

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

from ..errors import DecodeError
from ..net.observable import EventObservable
from ..wire.events import ServerEvent
from ..wire.output_text import TextReader
from ._arguments import makes_operator
from ._results import subscribe_to_results


@makes_operator
def accumulate_text() -> Callable[[Observable[ServerEvent]], Observable[str]]:
    """Emit the whole text so far, each time it grows.

    Marble::

        events:            --created--"He"----"llo"----completed|
        accumulate_text(): -----------"He"----"Hello"-----------|

    The pieces of text, their order and the halves of characters are those of `text_deltas`.  Of several
    responses in a row, each starts with an empty text.

    Runs on the source's thread.  Disposing disposes the source.  `response.failed`, `error` and
    `response.steer.failed` become `on_error(ResponseFailedError)`, and `response.steer.pending` becomes
    `on_error(SteerPendingError)`.  `response.incomplete` ends the text as a completed response does.
    """

    def operator(source: Observable[ServerEvent]) -> Observable[str]:
        def subscribe(observer: ObserverBase[str], scheduler: SchedulerBase | None = None) -> DisposableBase:
            text = TextReader()
            whole = ""

            def on_event(event: ServerEvent) -> None:
                nonlocal whole
                if piece := text.read(event):
                    # CPython appends in place, in constant time, to a local string that nothing else refers to.
                    grown, whole = whole, ""
                    grown += piece
                    whole = grown
                    del grown
                    observer.on_next(whole)
                elif event.type == "response.created":
                    whole = ""

            def on_result(event: ServerEvent) -> None:
                nonlocal whole
                before, whole = whole, ""
                rest = text.finish(event)
                if isinstance(rest, DecodeError):
                    observer.on_error(rest)
                elif rest:
                    observer.on_next(before + rest)

            def on_completed() -> None:
                if rest := text.flush():
                    observer.on_next(whole + rest)
                observer.on_completed()

            return subscribe_to_results(
                source, observer, scheduler, on_event=on_event, on_result=on_result, on_completed=on_completed
            )

        return EventObservable(subscribe)

    return operator
