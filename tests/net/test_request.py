"""What ends a request for its observer, and for the listener that waits for its lane."""

from __future__ import annotations

import pytest
from reactivex import Observer

from rxresponses.net.request import (
    NO_OBSERVER,
    AnyConnectionRequest,
    ConnectionRequest,
    ConnectionSteer,
    detach_observer,
    notify_end,
)
from rxresponses.wire.codec import decode
from rxresponses.wire.events.base import ServerEvent

EVENT = decode(b'{"type": "response.completed", "response": {"id": "r"}}')


class Ends:
    def __init__(self) -> None:
        self.events: list[ServerEvent | None] = []

    def ended(self, event: ServerEvent | None) -> None:
        self.events.append(event)


@pytest.mark.parametrize("kind", ["create", "steer"])
def test_a_detached_observer_gets_nothing_more(kind: str) -> None:
    heard: list[object] = []
    observer: Observer[ServerEvent] = Observer(heard.append, heard.append, lambda: heard.append("completed"))
    request: AnyConnectionRequest = (
        ConnectionRequest(b"{}", None, None, observer) if kind == "create" else ConnectionSteer(b"{}", "r", observer)
    )
    detach_observer(request)
    assert request.cancelled
    assert request.observer is NO_OBSERVER
    request.observer.on_next(EVENT)
    request.observer.on_error(ValueError())
    request.observer.on_completed()
    assert heard == []


@pytest.mark.parametrize("event", [EVENT, None])
def test_the_end_of_a_request_is_notified_once(event: ServerEvent | None) -> None:
    request = ConnectionRequest(b"{}", None, None, NO_OBSERVER)
    notify_end(request, event)  # without a listener nothing happens
    request.end_listener = ends = Ends()
    notify_end(request, event)
    notify_end(request, event)
    assert ends.events == [event]
