"""What all reducing operators have in common: results pass, failures become errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

from ..wire.events import TERMINAL_TYPES, ServerEvent
from ..wire.failures import failure_of, pending_of

T = TypeVar("T")
E = TypeVar("E", bound=ServerEvent)

_PENDING = "response.steer.pending"
_ENDS = TERMINAL_TYPES | {_PENDING, "response.steer.failed"}


def subscribe_to_results(
    source: Observable[E],
    observer: ObserverBase[T],
    scheduler: SchedulerBase | None,
    *,
    on_event: Callable[[E], None],
    on_result: Callable[[E], None],
    on_pending: Callable[[E], None] | None = None,
    on_completed: Callable[[], None] | None = None,
) -> DisposableBase:
    """Subscribe: events on the way to `on_event`, the terminal one to `on_result`, failures to `on_error`.

    A steer that waits for outputs ends its stream without a result: an error too, unless there is `on_pending`.
    """
    first: ServerEvent | None = None  # of the response under way, else that of the steer it comes from

    def on_next(event: E) -> None:
        nonlocal first
        if event.type not in _ENDS:
            if first is None or first.type == "response.steer.accepted":
                first = event
            on_event(event)
            return
        if event.type == _PENDING:
            if on_pending is None:
                observer.on_error(pending_of(event))
            else:
                on_pending(event)
            return
        failure = failure_of(event, first)
        first = None
        if failure is None:
            on_result(event)
        else:
            observer.on_error(failure)

    return source.subscribe(on_next, observer.on_error, on_completed or observer.on_completed, scheduler=scheduler)


def ignore(_: object) -> None:
    """Take an event and do nothing."""
