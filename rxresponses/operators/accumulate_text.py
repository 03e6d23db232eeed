"""`accumulate_text`: the output text so far."""

from __future__ import annotations

from collections.abc import Callable

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

from ..errors import DecodeError
from ..net.observable import EventObservable
from ..wire.events import ResponseTextDeltaEvent, ServerEvent
from ..wire.output_text import TextReader
from ._arguments import makes_operator
from ._results import read_results


@makes_operator
def accumulate_text(*, phase: str | None = None) -> Callable[[Observable[ServerEvent]], Observable[str]]:
    """Emit the whole text so far, each time it grows.

    Marble::

        events:            --created--"He"----"llo"----completed|
        accumulate_text(): -----------"He"----"Hello"-----------|

    The texts of several output items and content parts stand in the order of the items and parts, also if their
    deltas come interleaved.  A text is counted once, although servers repeat it, and the longest source of it wins.
    The halves of characters and `phase` are treated as in `text_deltas`.  Of several responses in a row, each starts
    with an empty text.

    Runs on the source's thread.  Disposing disposes the source.  `response.failed`, `error` and
    `response.steer.failed` become `on_error(ResponseFailedError)`, and `response.steer.pending` becomes
    `on_error(SteerPendingError)`.  `response.incomplete` ends the text as a completed response does.
    """

    def operator(source: Observable[ServerEvent]) -> Observable[str]:
        def subscribe(observer: ObserverBase[str], scheduler: SchedulerBase | None = None) -> DisposableBase:
            text = TextReader(phase)

            def on_event(event: ServerEvent) -> None:
                piece = text.read(event)
                if text.has_changed:
                    is_at_end = text.is_last and isinstance(event, ResponseTextDeltaEvent) and piece == event.delta
                    before, text.grown = text.grown, text.grown + piece if is_at_end else text.whole()
                    if text.grown != before and event.type != "response.created":
                        observer.on_next(text.grown)

            def on_result(event: ServerEvent) -> None:
                before, text.grown = text.grown, ""
                rest = text.finish(event)
                if isinstance(rest, DecodeError):
                    observer.on_error(rest)
                elif text.text != before:
                    observer.on_next(text.text)

            def on_completed() -> None:
                text.restore()
                text.flush()
                if text.text != text.grown:
                    observer.on_next(text.text)
                observer.on_completed()

            read = read_results(observer, on_event=on_event, on_result=on_result, operator="accumulate_text")

            def on_other(event: ServerEvent) -> None:
                text.restore()
                read(event)

            on_next = text.reader(on_other, grown_to=observer)
            return source.subscribe(on_next, observer.on_error, on_completed, scheduler=scheduler)

        return EventObservable(subscribe)

    return operator
