"""Observers that keep what they get, and that a test can wait for: on a thread, or on an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from reactivex import Observable
from reactivex.abc import DisposableBase

T = TypeVar("T")
WAIT = 10.0  # seconds after which a test fails; no condition takes that long when all is well


class Recorder(Generic[T]):
    """Subscribes to a source, keeps its notifications, and checks the Rx grammar on the way."""

    def __init__(self, source: Observable[T], on_next: Callable[[T], Any] | None = None) -> None:
        self.values: list[T] = []
        self.errors: list[Exception] = []
        self.completions = 0
        self.threads: set[int] = set()
        self._on_next = on_next
        self._changed = threading.Condition()
        self.subscription: DisposableBase = source.subscribe(self._next, self._error, self._completed)

    def _next(self, value: T) -> None:
        with self._changed:
            assert not self.ended, f"{value!r} after the end"
            self.values.append(value)
            self.threads.add(threading.get_ident())
            self._changed.notify_all()
        if self._on_next is not None:
            self._on_next(value)

    def _error(self, error: Exception) -> None:
        with self._changed:
            assert not self.ended, f"{error!r} after the end"
            self.errors.append(error)
            self._changed.notify_all()

    def _completed(self) -> None:
        with self._changed:
            assert not self.ended, "a completion after the end"
            self.completions += 1
            self._changed.notify_all()

    @property
    def ended(self) -> bool:
        """Whether a terminal notification came."""
        return bool(self.errors or self.completions)

    @property
    def error(self) -> Any:
        """The error that ended the source."""
        assert self.errors, f"no error after {self.values}"
        return self.errors[0]

    def wait(self, condition: Callable[[], bool] | None = None) -> Recorder[T]:
        """Wait until the source has ended, or until a condition on this recorder holds."""
        with self._changed:
            assert self._changed.wait_for(condition or (lambda: self.ended), WAIT), (
                f"waited in vain; got {self.values[-3:]}, {self.errors}, {self.completions} completions"
            )
        return self

    def wait_for(self, count: int) -> Recorder[T]:
        """Wait until so many values came."""
        return self.wait(lambda: len(self.values) >= count)

    @property
    def types(self) -> list[str]:
        """The types of the events received."""
        return [value.type for value in self.values]  # type: ignore[attr-defined]

    @property
    def text(self) -> str:
        """The text of all deltas received."""
        return "".join(getattr(value, "delta", "") for value in self.values)


class AsyncRecorder(Recorder[T]):
    """A recorder to wait for on an event loop."""

    def __init__(self, source: Observable[T], on_next: Callable[[T], Any] | None = None) -> None:
        self._heard = asyncio.Event()
        super().__init__(source, on_next)

    def _next(self, value: T) -> None:
        super()._next(value)
        self._heard.set()

    def _error(self, error: Exception) -> None:
        super()._error(error)
        self._heard.set()

    def _completed(self) -> None:
        super()._completed()
        self._heard.set()

    async def until(self, condition: Callable[[], bool]) -> AsyncRecorder[T]:
        """Wait until a condition on this recorder holds; the source must not end before."""
        while not condition():
            assert not self.ended, (self.values, self.errors)
            self._heard.clear()
            await self._heard.wait()
        return self

    async def until_count(self, count: int) -> AsyncRecorder[T]:
        """Wait until so many values came."""
        return await self.until(lambda: len(self.values) >= count)

    async def until_end(self) -> AsyncRecorder[T]:
        """Wait until the source has ended."""
        return await self.until(lambda: self.ended)
