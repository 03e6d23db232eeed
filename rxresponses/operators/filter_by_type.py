"""`filter_by_type`: only the events of given types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

from ..net.observable import EventObservable
from ..wire.events import ServerEvent
from ._arguments import makes_operator, no_event

A = TypeVar("A", bound=ServerEvent)
B = TypeVar("B", bound=ServerEvent)
C = TypeVar("C", bound=ServerEvent)
D = TypeVar("D", bound=ServerEvent)


@overload
def filter_by_type(a: type[A], /) -> Callable[[Observable[ServerEvent]], Observable[A]]: ...
@overload
def filter_by_type(a: type[A], b: type[B], /) -> Callable[[Observable[ServerEvent]], Observable[A | B]]: ...
@overload
def filter_by_type(
    a: type[A], b: type[B], c: type[C], /
) -> Callable[[Observable[ServerEvent]], Observable[A | B | C]]: ...
@overload
def filter_by_type(
    a: type[A], b: type[B], c: type[C], d: type[D], /
) -> Callable[[Observable[ServerEvent]], Observable[A | B | C | D]]: ...
@overload
def filter_by_type(
    *types: type[ServerEvent] | str,
) -> Callable[[Observable[ServerEvent]], Observable[ServerEvent]]: ...


@makes_operator
def filter_by_type(*types: type[ServerEvent] | str) -> Callable[[Observable[ServerEvent]], Observable[Any]]:
    """Emit only the events of the given types: classes, wire types such as `"error"`, or both.

    Marble::

        events:                  --created--"He"--"llo"--completed|
        filter_by_type(Delta):   -----------"He"--"llo"-----------|

    A class also matches its subclasses.  A wire type matches every event with that name, also an
    `UnknownEvent`: an event type newer than this library, or an event whose required fields did not validate.

    Runs on the source's thread.  Disposing disposes the source.  Errors of the source pass.  Without types the
    call raises `ValueError`; for anything else than an event class or a string it raises `TypeError`.
    """
    if not types:
        raise ValueError("filter_by_type needs at least one event class or wire type")
    for wanted in types:
        if not isinstance(wanted, str) and not (isinstance(wanted, type) and issubclass(wanted, ServerEvent)):
            raise TypeError(f"filter_by_type takes event classes and wire types, not {wanted!r}")
    classes = tuple(wanted for wanted in types if isinstance(wanted, type))
    names = frozenset(wanted for wanted in types if isinstance(wanted, str))
    matches: dict[type[ServerEvent], bool] = {}  # of each class seen; the same for all subscriptions

    def operator(source: Observable[ServerEvent]) -> Observable[ServerEvent]:
        def subscribe(observer: ObserverBase[ServerEvent], scheduler: SchedulerBase | None = None) -> DisposableBase:
            def by_name(event: ServerEvent) -> None:
                try:
                    is_wanted = event.type in names
                except AttributeError:
                    raise no_event("filter_by_type", event) from None
                if is_wanted:
                    observer.on_next(event)

            def by_class(event: ServerEvent) -> None:
                cls = type(event)
                match = matches.get(cls)
                if match is None:
                    match = matches[cls] = issubclass(cls, classes)
                try:
                    is_wanted = match or event.type in names
                except AttributeError:
                    raise no_event("filter_by_type", event) from None
                if is_wanted:
                    observer.on_next(event)

            return source.subscribe(
                by_class if classes else by_name, observer.on_error, observer.on_completed, scheduler=scheduler
            )

        return EventObservable(subscribe)

    return operator
