"""`collect_text`: the whole output text, once."""

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
def collect_text() -> Callable[[Observable[ServerEvent]], Observable[str]]:
    """Emit the whole text of a response once, when it ends.

    Marble::

        events:         --created--"He"--"llo"--completed|
        collect_text(): ------------------------"Hello"--|

    The pieces of text, their order and the halves of characters are those of `text_deltas`.  A response without
    text, such as a warm-up, emits the empty string, and so does a source that completes without any event.  A
    source that completes without a terminal event emits the text so far.  Of several responses in a row, each
    emits its text.

    Runs on the source's thread.  Disposing disposes the source.  `response.failed`, `error` and
    `response.steer.failed` become `on_error(ResponseFailedError)`, and `response.steer.pending` becomes
    `on_error(SteerPendingError)`; the text so far is dropped.  `response.incomplete` emits the text so far.
    """

    def operator(source: Observable[ServerEvent]) -> Observable[str]:
        def subscribe(observer: ObserverBase[str], scheduler: SchedulerBase | None = None) -> DisposableBase:
            text = TextReader()
            pieces: list[str] = []
            unemitted = True  # a response, or an empty source, has not emitted its text yet

            def on_event(event: ServerEvent) -> None:
                nonlocal unemitted
                unemitted = True
                if piece := text.read(event):
                    pieces.append(piece)
                elif event.type == "response.created":
                    pieces.clear()

            def emit(rest: str) -> None:
                nonlocal unemitted
                unemitted = False
                whole = "".join(pieces) + rest
                pieces.clear()
                observer.on_next(whole)

            def on_result(event: ServerEvent) -> None:
                rest = text.finish(event)
                if isinstance(rest, DecodeError):
                    observer.on_error(rest)
                else:
                    emit(rest)

            def on_completed() -> None:
                if unemitted:
                    emit(text.flush())
                observer.on_completed()

            return subscribe_to_results(
                source, observer, scheduler, on_event=on_event, on_result=on_result, on_completed=on_completed
            )

        return EventObservable(subscribe)

    return operator
