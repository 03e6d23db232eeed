"""`collect_text`: the whole text, once."""

from __future__ import annotations

from collections.abc import Callable

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

from ..errors import DecodeError
from ..wire.events import ServerEvent
from ._results import subscribe_to_results
from ._text import TextReader


def collect_text() -> Callable[[Observable[ServerEvent]], Observable[str]]:
    """Emit the whole text of a response once, when it ends.

    Marble::

        events:         --created--"He"--"llo"--completed|
        collect_text(): ------------------------"Hello"--|

    What counts as text, its order and the treatment of halves of characters are those of
    `text_deltas`.  A response without text, such as a warm-up, gives the empty string, and so does
    a source that completes without any event; one that completes without a terminal event gives what
    it had.  Of several responses in a row, each gives its text.

    Runs on the source's thread; disposing disposes the source.  `response.failed`, `error` and
    `response.steer.failed` become `on_error(ResponseFailedError)`, `response.steer.pending` becomes
    `on_error(SteerPendingError)`, and the text until then is gone; `response.incomplete` gives
    the text as far as it came.
    """

    def operator(source: Observable[ServerEvent]) -> Observable[str]:
        def subscribe(observer: ObserverBase[str], scheduler: SchedulerBase | None = None) -> DisposableBase:
            text = TextReader()
            pieces: list[str] = []
            owing = True  # a text is still to be emitted

            def on_event(event: ServerEvent) -> None:
                nonlocal owing
                owing = True
                if piece := text.read(event):
                    pieces.append(piece)
                elif event.type == "response.created":
                    pieces.clear()

            def emit(rest: str) -> None:
                nonlocal owing
                owing = False
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
                if owing:
                    emit(text.flush())
                observer.on_completed()

            return subscribe_to_results(
                source, observer, scheduler, on_event=on_event, on_result=on_result, on_completed=on_completed
            )

        return Observable(subscribe)

    return operator
