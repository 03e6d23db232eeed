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
from ._results import read_results


@makes_operator
def collect_text(*, phase: str | None = None) -> Callable[[Observable[ServerEvent]], Observable[str]]:
    """Emit the whole text of a response once, when it ends.

    Marble::

        events:         --created--"He"--"llo"--completed|
        collect_text(): ------------------------"Hello"--|

    The order of several texts, the sources of a text and `phase` are those of `accumulate_text`.  A response without
    text, such as a warm-up, emits the empty string, and so does a source that completes without any event.  A
    source that completes without a terminal event emits the text so far.  Of several responses in a row, each
    emits its text.

    Runs on the source's thread.  Disposing disposes the source.  `response.failed`, `error` and
    `response.steer.failed` become `on_error(ResponseFailedError)`, and `response.steer.pending` becomes
    `on_error(SteerPendingError)`; the text so far is dropped.  `response.incomplete` emits the text so far.
    """

    def operator(source: Observable[ServerEvent]) -> Observable[str]:
        def subscribe(observer: ObserverBase[str], scheduler: SchedulerBase | None = None) -> DisposableBase:
            text = TextReader(phase)
            unemitted = True  # a response, or an empty source, has not emitted its text yet

            def on_event(event: ServerEvent) -> None:
                nonlocal unemitted
                unemitted = True
                text.read(event)

            def on_result(event: ServerEvent) -> None:
                nonlocal unemitted
                unemitted = False
                rest = text.finish(event)
                if isinstance(rest, DecodeError):
                    observer.on_error(rest)
                else:
                    observer.on_next(text.text)

            def on_completed() -> None:
                if unemitted:
                    text.flush()
                    observer.on_next(text.text)
                observer.on_completed()

            on_next = text.reader(
                read_results(observer, on_event=on_event, on_result=on_result, operator="collect_text")
            )
            return source.subscribe(on_next, observer.on_error, on_completed, scheduler=scheduler)

        return EventObservable(subscribe)

    return operator
