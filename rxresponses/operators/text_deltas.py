"""`text_deltas`: the text as it comes."""

from __future__ import annotations

from collections.abc import Callable

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

from ..errors import DecodeError
from ..wire.events import ServerEvent
from ._results import subscribe_to_results
from ._text import TextReader


def text_deltas() -> Callable[[Observable[ServerEvent]], Observable[str]]:
    """Emit each piece of output text as it comes.

    Marble::

        events:        --created--"He"--"llo"--completed|
        text_deltas(): -----------"He"--"llo"-----------|

    Texts of several output items or content parts follow one another in the order of arrival; empty
    pieces are left out.  The text is always fit to print: the first half of a character that a server
    cut in two (a lone surrogate) is held back and comes out whole with the next piece, and a half
    without its other one becomes U+FFFD.  When a server sends no deltas, its whole texts come out
    instead, from `output_text.done` or else from the terminal event.

    Of several responses in a row, the text of each comes out.  Lanes that run at once are better
    separated before than merged before this.

    Runs on the source's thread; disposing disposes the source.  `response.failed`, `error` and
    `response.steer.failed` become `on_error(ResponseFailedError)`, `response.steer.pending` becomes
    `on_error(SteerPendingError)`; `response.incomplete` ends like a completed response.
    """

    def operator(source: Observable[ServerEvent]) -> Observable[str]:
        def subscribe(observer: ObserverBase[str], scheduler: SchedulerBase | None = None) -> DisposableBase:
            text = TextReader()

            def on_event(event: ServerEvent) -> None:
                if piece := text.read(event):
                    observer.on_next(piece)

            def on_result(event: ServerEvent) -> None:
                rest = text.finish(event)
                if isinstance(rest, DecodeError):
                    observer.on_error(rest)
                elif rest:
                    observer.on_next(rest)

            def on_completed() -> None:
                if rest := text.flush():
                    observer.on_next(rest)
                observer.on_completed()

            return subscribe_to_results(
                source, observer, scheduler, on_event=on_event, on_result=on_result, on_completed=on_completed
            )

        return Observable(subscribe)

    return operator
