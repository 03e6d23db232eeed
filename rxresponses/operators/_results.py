"""What the operators that reduce events share: results pass, and failures become errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

from ..wire.assembly import Scope
from ..wire.events import TERMINAL_TYPES, ServerEvent
from ..wire.failures import failure_of, pending_of
from ..wire.fields import begins_response, shows_output
from ._arguments import no_event

E = TypeVar("E", bound=ServerEvent)

_STEER_PENDING = "response.steer.pending"
_END_TYPES = TERMINAL_TYPES | {_STEER_PENDING, "response.steer.failed"}


def subscribe_to_results(
    source: Observable[E],
    observer: ObserverBase[Any],
    scheduler: SchedulerBase | None,
    *,
    on_event: Callable[[E], object] | None = None,
    on_result: Callable[[E], None],
    on_pending: Callable[[E], None] | None = None,
    on_completed: Callable[[], None] | None = None,
    scope: Scope | None = None,
    operator: str,
) -> DisposableBase:
    """Subscribe to the events of responses; `read_results` says which function gets which event."""
    on_next = read_results(
        observer, on_event=on_event, on_result=on_result, on_pending=on_pending, scope=scope, operator=operator
    )
    return source.subscribe(on_next, observer.on_error, on_completed or observer.on_completed, scheduler=scheduler)


def read_results(
    observer: ObserverBase[Any],
    *,
    on_event: Callable[[E], object] | None = None,
    on_result: Callable[[E], None],
    on_pending: Callable[[E], None] | None = None,
    scope: Scope | None = None,
    operator: str,
) -> Callable[[E], None]:
    """Return a function that reads the events of responses.

    The events before the terminal event go to `on_event`, or without it to the observer; with a `scope`, only those of
    its types, since a call for each event costs more than this look at its type.  The terminal event goes to
    `on_result`; if it is a failure, its error goes to the observer's `on_error`.  `response.steer.pending` ends its
    stream without a result, so it becomes an error too, unless there is `on_pending`.  What is no event raises
    `TypeError`, with the name of the `operator`.
    """
    first: ServerEvent | None = None  # the first event of the running response, else of the steer it follows from
    types = None if scope is None else scope.folds
    has_output = False  # an event of the running response showed output, or it follows from a steer

    def on_next(event: E) -> None:
        nonlocal first, has_output
        try:
            kind = event.type
        except AttributeError:
            raise no_event(operator, event) from None
        if kind not in _END_TYPES:
            if first is None or first.type == "response.steer.accepted":
                first = event if begins_response(event) else first
            if not has_output:
                has_output = shows_output(event)
            if on_event is None:
                observer.on_next(event)
            elif types is None or type(event) in types:
                on_event(event)
            return
        if kind == _STEER_PENDING:
            if on_pending is None:
                observer.on_error(pending_of(event))
            else:
                on_pending(event)
            return
        failure = failure_of(event, first, has_output=has_output)
        first, has_output = None, False
        if failure is None:
            on_result(event)
        else:
            observer.on_error(failure)

    return on_next
