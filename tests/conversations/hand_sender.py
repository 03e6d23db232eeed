"""A sender whose responses a test sends by hand, on whichever thread it likes."""

from __future__ import annotations

import threading
from typing import Any

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import Disposable

from rxresponses.wire.events import ServerEvent
from rxresponses.wire.requests import ResponseCreate
from rxresponses.wire.requests.sent import plain_json

from ..support.events import call, completed, created, item_done, message


class HandSender:
    """Keeps the requests; `answer` sends the response to the latest one."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.observers: list[ObserverBase[ServerEvent]] = []
        self.disposals = 0
        self._changed = threading.Condition()

    def send_request(self, request: ResponseCreate, /) -> Observable[ServerEvent]:
        def subscribe(observer: ObserverBase[ServerEvent], scheduler: SchedulerBase | None = None) -> DisposableBase:
            with self._changed:
                self.requests.append(plain_json(request))
                self.observers.append(observer)
                self._changed.notify_all()
            return Disposable(self._dispose)

        return Observable(subscribe)

    def wait_for(self, count: int) -> None:
        """Wait until so many requests came, on another thread."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.requests) >= count, 10)

    def _dispose(self) -> None:
        self.disposals += 1

    def emit(self, *events: ServerEvent) -> None:
        observer = self.observers[-1]
        for event in events:
            observer.on_next(event)

    def end(self, *events: ServerEvent) -> None:
        """Send events, and complete."""
        observer = self.observers[-1]
        for event in events:
            observer.on_next(event)
        observer.on_completed()

    def fail(self, error: Exception) -> None:
        self.observers[-1].on_error(error)

    def call(self, *calls: Any, **fields: Any) -> None:
        """Send a whole response with calls."""
        done = [item_done(item, index) for index, item in enumerate(calls)]
        self.end(created(self.next_id), *done, completed(*calls, id=self.next_id, **fields))

    def say(self, text: str = "Done.", **fields: Any) -> None:
        """Send a whole response with a text."""
        self.end(created(self.next_id), completed(message(text), id=self.next_id, **fields))

    @property
    def next_id(self) -> str:
        return f"resp_{len(self.requests)}"

    @property
    def input(self) -> Any:
        """The input of the latest request."""
        return self.requests[-1]["input"]


def add_call(number: int = 1, a: int = 1, b: int = 2, **fields: Any) -> Any:
    """Return a whole call of a function `add`."""
    return call(number, **{"name": "add", "arguments": f'{{"a": {a}, "b": {b}}}', "status": "completed", **fields})
