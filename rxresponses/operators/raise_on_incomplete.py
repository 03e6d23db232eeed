"""`raise_on_incomplete`: a response that was cut short as an error."""

from __future__ import annotations

from collections.abc import Callable

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

from ..net.observable import EventObservable
from ..wire.endings import cut, is_cut
from ..wire.output_text import TextReader
from ._arguments import makes_operator, no_event
from ._results import E


@makes_operator
def raise_on_incomplete() -> Callable[[Observable[E]], Observable[E]]:
    """Emit all events, but end with an error when the response is incomplete.

    Marble::

        events:                --created--"He"--incomplete|
        raise_on_incomplete(): --created--"He"--X

    A response is incomplete if it reached a limit, such as `max_output_tokens`, or if a filter or a cancellation
    stopped it.  Its text looks like that of a whole answer.  The terminal event is not emitted; it is the `event` of
    the `ResponseIncompleteError`, whose `reason` is the server's and whose `text` is the output text so far.  All other
    events pass, failures too.

    Put this operator before operators that drop events.  Runs on the source's thread.  Disposing disposes the source.
    """

    def operator(source: Observable[E]) -> Observable[E]:
        def subscribe(observer: ObserverBase[E], scheduler: SchedulerBase | None = None) -> DisposableBase:
            text = TextReader()

            def on_other(event: E) -> None:
                try:
                    is_terminal = event.is_terminal
                except AttributeError:
                    raise no_event("raise_on_incomplete", event) from None
                if not is_terminal:
                    text.read(event)
                    observer.on_next(event)
                    return
                text.finish(event)
                if is_cut(event):
                    observer.on_error(cut(event, text.text))
                else:
                    observer.on_next(event)

            on_next = text.reader(on_other, events_to=observer)
            return source.subscribe(on_next, observer.on_error, observer.on_completed, scheduler=scheduler)

        return EventObservable(subscribe)

    return operator
