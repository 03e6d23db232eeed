"""`DirectObserver`: stands between an Observable of this library and its subscriber, and adds no call to a value."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from reactivex.abc import DisposableBase, ObserverBase, OnCompleted, OnError, OnNext
from reactivex.disposable import SingleAssignmentDisposable
from reactivex.internal import default_error, noop

T = TypeVar("T")


class DirectObserver(ObserverBase[T]):
    """Does what RxPY's auto-detach observer does: nothing passes after the end, and the end disposes the source.

    A method that looks whether the subscription has ended would cost a Python call for each value and each step of a
    pipeline.  So `on_next` is the subscriber's own function until the subscription ends, and then a function that does
    nothing.  Therefore the source must look `on_next` up for each value, and never keep it: use `latest_on_next` where
    other code keeps it.
    """

    __slots__ = ("__weakref__", "_on_completed", "_on_error", "_subscription", "is_stopped", "on_next")

    on_next: Callable[[T], None]  # type: ignore[assignment]  # a method in the base class

    def __init__(
        self, on_next: OnNext[T] | None = None, on_error: OnError | None = None, on_completed: OnCompleted | None = None
    ) -> None:
        self.is_stopped = False
        self.on_next = on_next or noop
        self._on_error: OnError = on_error or default_error
        self._on_completed: OnCompleted = on_completed or noop
        self._subscription = SingleAssignmentDisposable()

    def on_error(self, error: Exception) -> None:
        """Pass the error on, then dispose the source; nothing after the end."""
        if self._stop():
            try:
                self._on_error(error)
            finally:
                self._subscription.dispose()

    def on_completed(self) -> None:
        """Pass the completion on, then dispose the source; nothing after the end."""
        if self._stop():
            try:
                self._on_completed()
            finally:
                self._subscription.dispose()

    def fail(self, error: Exception) -> bool:
        """Pass an error on that was raised while subscribing; return whether that was before the end."""
        was_first = self._stop()
        if was_first:
            self._on_error(error)
        return was_first

    def set_subscription(self, subscription: DisposableBase) -> None:
        """Take the subscription to the source; dispose it at once if the end has come while subscribing."""
        self._subscription.disposable = subscription

    def dispose(self) -> None:
        """Pass nothing on any more, and dispose the source."""
        self._stop()
        self._subscription.dispose()

    def _stop(self) -> bool:
        """End the notifications; return whether they had not ended before."""
        was_first = not self.is_stopped
        self.is_stopped = True
        self.on_next = noop
        return was_first


def latest_on_next(observer: ObserverBase[T]) -> OnNext[T]:
    """Return a function that other code may keep: it looks `on_next` of the observer up again for each value."""
    return lambda value: observer.on_next(value)
