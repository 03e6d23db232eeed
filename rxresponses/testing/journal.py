"""What a server received, and waiting for it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .wire import decode

Condition = Callable[[], bool]


@dataclass(frozen=True)
class Received:
    """One frame that a client sent."""

    connection: int
    """The number of the connection, counted from 1."""

    frame: str | bytes

    @cached_property
    def message(self) -> Any:
        """The JSON value of the frame, `None` if it is no JSON."""
        try:
            return decode(self.frame)
        except ValueError:
            return None


class Journal:
    """A growing list of frames, and those who wait for a change.  Usable from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[Received] = []
        self._watchers: set[Callable[[], object]] = set()

    @property
    def entries(self) -> list[Received]:
        """The frames so far, oldest first."""
        with self._lock:
            return list(self._entries)

    def add(self, entry: Received) -> None:
        """Append a frame and tell those who wait."""
        with self._lock:
            self._entries.append(entry)
        self.notify()

    def notify(self) -> None:
        """Let those who wait look again."""
        with self._lock:
            watchers = list(self._watchers)
        for watcher in watchers:
            watcher()

    def wait_until(self, condition: Condition, timeout: float) -> None:
        """Block this thread until `condition` holds.

        Raises:
            TimeoutError: if it does not within `timeout` seconds.
        """
        changed = threading.Event()
        deadline = time.monotonic() + timeout
        with self._watched(changed.set):
            while not condition():
                if not changed.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"The condition did not hold within {timeout:g} s")
                changed.clear()

    async def until(self, condition: Condition, timeout: float | None) -> None:
        """Wait until `condition` holds, on any loop.

        Raises:
            TimeoutError: if it does not within `timeout` seconds; `None` waits for ever.
        """
        changed = asyncio.Event()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout if timeout is not None else None
        timer = loop.call_at(deadline, changed.set) if deadline is not None else None
        try:
            with self._watched(lambda: loop.call_soon_threadsafe(changed.set)):
                while not condition():
                    if deadline is not None and loop.time() >= deadline:
                        raise TimeoutError(f"The condition did not hold within {timeout:g} s")
                    await changed.wait()
                    changed.clear()
        finally:
            if timer is not None:
                timer.cancel()

    @contextmanager
    def _watched(self, watcher: Callable[[], object]) -> Iterator[None]:
        with self._lock:
            self._watchers.add(watcher)
        try:
            yield
        finally:
            with self._lock:
                self._watchers.discard(watcher)
