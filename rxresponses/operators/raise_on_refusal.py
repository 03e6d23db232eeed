"""`raise_on_refusal`: a response in which the model refuses to answer as an error."""

from __future__ import annotations

from collections.abc import Callable

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

from ..net.observable import EventObservable
from ..wire.assembly_scopes import REFUSALS
from ..wire.endings import RefusalReader, refused
from ..wire.events import TERMINAL_TYPES
from ._arguments import makes_operator, no_event
from ._results import E


@makes_operator
def raise_on_refusal() -> Callable[[Observable[E]], Observable[E]]:
    """Emit all events, but end with an error when the model refused to answer.

    Marble::

        events:             --created--refusal.delta--completed|
        raise_on_refusal(): --created--refusal.delta--X

    A refusal is no output text: `text_deltas` and `accumulate_text` emit nothing for it, so that `run()` raises
    `SequenceContainsNoElementsError`, and `collect_text` emits the empty string.  The terminal event is not emitted; it
    is the `event` of the `ResponseRefusedError`, whose `refusal` is what the model said.  All other events pass,
    failures too.

    Put this operator before operators that drop events: if the terminal event has no output, the refusal is that of the
    events before.  Runs on the source's thread.  Disposing disposes the source.
    """

    def operator(source: Observable[E]) -> Observable[E]:
        def subscribe(observer: ObserverBase[E], scheduler: SchedulerBase | None = None) -> DisposableBase:
            reader = RefusalReader()

            def on_next(event: E) -> None:
                try:
                    is_passed = type(event) not in REFUSALS.folds and event.type not in TERMINAL_TYPES
                except AttributeError:
                    raise no_event("raise_on_refusal", event) from None
                if is_passed:
                    observer.on_next(event)  # without a call of the reader, which passes over such events
                    return
                refusal = reader.read(event)
                if refusal is None:
                    observer.on_next(event)
                else:
                    observer.on_error(refused(event, refusal))

            return source.subscribe(on_next, observer.on_error, observer.on_completed, scheduler=scheduler)

        return EventObservable(subscribe)

    return operator
