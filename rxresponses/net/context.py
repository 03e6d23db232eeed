"""Delivery in the context of the subscription: an observer sees the context variables that its subscriber had set."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TypeVar

from reactivex.abc import ObserverBase

from .timing import is_timings_variable

T = TypeVar("T")


def in_subscribers_context(observer: ObserverBase[T]) -> ObserverBase[T]:
    """Return an observer that notifies `observer` in the present context, or `observer` if no variable is set here.

    Where none is set, an event takes the same way as without contexts: what delivers events runs in an empty context.
    """
    context = copy_context()
    if all(is_timings_variable(variable) for variable in context):
        return observer
    return _ObserverInContext(observer, context)


class _ObserverInContext(ObserverBase[T]):
    """Passes notifications on in a context, one at a time.

    An observer may cause its own end while it is being notified, for example by `close()`.
    """

    def __init__(self, observer: ObserverBase[T], context: Context) -> None:
        self._observer = observer
        self._context = context
        self._inside = False

    def on_next(self, value: T) -> None:
        if self._inside:
            self._notify(self._observer.on_next, value)
            return
        self._inside = True  # not by `_notify`, because that is a call for each event
        try:
            self._context.run(self._observer.on_next, value)
        finally:
            self._inside = False

    def on_error(self, error: Exception) -> None:
        self._notify(self._observer.on_error, error)

    def on_completed(self) -> None:
        self._notify(self._observer.on_completed)

    def _notify(self, notify: Callable[..., None], *values: object) -> None:
        if self._inside:
            self._context.copy().run(notify, *values)  # nothing can enter a context twice
            return
        self._inside = True
        try:
            self._context.run(notify, *values)
        finally:
            self._inside = False
