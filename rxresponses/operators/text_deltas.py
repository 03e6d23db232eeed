"""`text_deltas`: the output text, piece by piece."""

from __future__ import annotations

from collections.abc import Callable

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

from ..errors import DecodeError
from ..net.observable import EventObservable
from ..wire.events import ServerEvent
from ..wire.output_text import TextReader
from ._arguments import makes_operator
from ._results import read_results


@makes_operator
def text_deltas(*, phase: str | None = None) -> Callable[[Observable[ServerEvent]], Observable[str]]:
    """Emit each piece of output text as it comes.

    Marble::

        events:        --created--"He"--"llo"--completed|
        text_deltas(): -----------"He"--"llo"-----------|

    Texts of several output items or content parts follow one another in the order of arrival.  Empty pieces
    are left out.  A text is emitted once, although servers repeat it: where deltas are missing, at the end of a
    text or all of them, the rest comes from the next event that has the whole text (`response.output_text.done`,
    the finished part or item, the terminal event).  A whole text that does not begin with what was emitted cannot
    be told here any more; `accumulate_text` and `collect_text` have it.

    With `phase="final_answer"`, the text of messages of other phases is left out, so that what a model says between its
    tool calls (`phase="commentary"`) is not glued to the answer.  Messages without a phase are final answers.

    Every piece can be printed.  Some servers cut a character into two halves (lone surrogates): the first half
    is held back, and the next piece begins with the whole character.  A half that stays alone becomes U+FFFD.

    Of several responses in a row, the text of each is emitted.  Use the operator on each lane, before `merge`:
    it cannot tell responses apart that run side by side.

    Runs on the source's thread.  Disposing disposes the source.  `response.failed`, `error` and
    `response.steer.failed` become `on_error(ResponseFailedError)`, and `response.steer.pending` becomes
    `on_error(SteerPendingError)`.  `response.incomplete` ends the text as a completed response does.
    """

    def operator(source: Observable[ServerEvent]) -> Observable[str]:
        def subscribe(observer: ObserverBase[str], scheduler: SchedulerBase | None = None) -> DisposableBase:
            text = TextReader(phase)

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

            on_next = text.reader(
                read_results(observer, on_event=on_event, on_result=on_result, operator="text_deltas"),
                pieces_to=observer,
            )
            return source.subscribe(on_next, observer.on_error, on_completed, scheduler=scheduler)

        return EventObservable(subscribe)

    return operator
