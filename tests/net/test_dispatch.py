"""The way of an event: which observers get what, and what else an event causes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from reactivex import Observer

from rxresponses import BufferOverflowError, ConnectionLostError, ObserverExitError, ServerEvent
from rxresponses.known_secrets import Secrets
from rxresponses.net.backpressure import ReadPause
from rxresponses.net.dispatch import EventDispatcher
from rxresponses.net.request import AnyConnectionRequest, ConnectionRequest, RequestSubscription
from rxresponses.net.request_timer import RequestTimer
from rxresponses.net.subject import IsolatedSubject
from rxresponses.net.transport import ConnectionEnd
from rxresponses.protocol.protocol import Protocol
from rxresponses.protocol.timeouts import Timeouts

LIMIT = {"type": "error", "code": "websocket_connection_limit_reached", "message": "60 minutes"}


def event(kind: str, lane: str | None = "a", **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", "response": {"id": f"r-{lane}"}, "stream_id": lane, **fields}


class Case:
    """A dispatcher whose requests are sent at once, with a log of what its parts did, in order."""

    def __init__(self, *, now: Callable[[], float] | None = None) -> None:
        self.loop = asyncio.new_event_loop()
        self.log: list[str] = []
        self.unblocks = 0
        self.reported: list[BaseException] = []
        self.errors: list[Exception] = []
        self.unrouted: list[ServerEvent] = []
        self.protocol = Protocol(echoes_stream_id=True)
        read_pause = ReadPause(self.loop, lambda: None, lambda: None)
        self.dispatcher = EventDispatcher(
            self.protocol,
            self,
            RequestTimer(self.loop, self.protocol, Timeouts(), read_pause, lambda request, error: None),
            read_pause,
            events=self.subject("events"),
            unrouted=self.subject("unrouted", self.unrouted.append),
            observer_raised=self.reported.append,
            now=now,
            secrets=Secrets(),
        )

    def subject(self, name: str, on_next: Callable[[Any], Any] = lambda event: None) -> IsolatedSubject[ServerEvent]:
        def call(act: Callable[..., None], *args: Any) -> None:
            act(*args)

        def log(event: ServerEvent) -> None:
            self.log.append(f"{name} {event.type}")
            on_next(event)

        made: IsolatedSubject[ServerEvent] = IsolatedSubject(call, self.reported.append)
        made.observable.subscribe(log)
        return made

    def send(self, lane: str | None = "a", on_next: Callable[[Any], Any] = lambda event: None) -> ConnectionRequest:
        """Send a request; `on_next` is called for each of its events."""
        case = self

        class Ends:
            def ended(self, event: ServerEvent | None) -> None:
                case.log.append(f"{lane} ended")

        def log(event: ServerEvent) -> None:
            self.log.append(f"{lane} {event.type}")
            on_next(event)

        def fail(error: Exception) -> None:
            self.log.append(f"{lane} {type(error).__name__}")
            self.errors.append(error)

        request = ConnectionRequest(b"{}", lane, None, Observer(log, fail, lambda: self.log.append(f"{lane} |")))
        request.end_listener = Ends()
        self.protocol.submit(request)
        assert self.protocol.next_to_send() is request
        return request

    def receive(self, *events: dict[str, Any]) -> list[str]:
        """Receive events; return what happened, without what `events` got, and forget it."""
        for one in events:
            self.dispatcher.frame_received(json.dumps(one).encode())
        log, self.log[:] = [entry for entry in self.log if not entry.startswith("events")], []
        return log

    # The connection, as far as the dispatcher knows it.

    def dispose(self, request: AnyConnectionRequest) -> None:
        self.log.append(f"dispose {request.stream_id}")
        self.protocol.dispose(request)

    def unblock(self) -> None:
        self.unblocks += 1
        self.protocol.lanes.changed = False

    def end(self, error_for: Callable[[RequestSubscription], Exception]) -> None:
        self.log.append("end")
        for request in self.protocol.lost():
            self.dispatcher.fail(request, error_for(request))  # type: ignore[arg-type]


@pytest.fixture
def case() -> Iterator[Case]:
    made = Case()
    yield made
    made.loop.close()


def test_each_event_goes_to_the_request_of_its_lane(case: Case) -> None:
    case.send("a")
    case.send("b")
    assert case.receive(event("created", "b"), event("created", "a")) == [
        "b response.created",
        "a response.created",
    ]


def test_while_a_response_has_an_observer_no_event_is_looked_at_twice(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[bytes] = []
    is_for_nobody = case.dispatcher._is_for_nobody

    def look(frame: bytes) -> bool:
        looks.append(frame)
        return is_for_nobody(frame)

    monkeypatch.setattr(case.dispatcher, "_is_for_nobody", look)
    case.send()
    case.receive(event("created"), event("completed"))
    looks.clear()
    case.send()
    case.receive(event("created"), *[event("in_progress")] * 5)
    assert len(looks) <= 1


def test_events_gets_each_event_before_the_request_does(case: Case) -> None:
    case.send()
    case.dispatcher.frame_received(json.dumps(event("created")).encode())
    assert case.log == ["events response.created", "a response.created"]


def test_the_end_listener_is_told_before_the_observer_completes(case: Case) -> None:
    """The observer may send the next request in `on_completed`, which needs the lane."""
    case.send()
    assert case.receive(event("completed")) == ["a response.completed", "a ended", "a |"]
    assert case.unblocks == 1  # the lane is free for the next request


def test_an_event_of_no_request_is_unrouted(case: Case) -> None:
    assert case.receive(event("created", "never used")) == ["unrouted response.created"]


@pytest.mark.parametrize("frame", [b"no JSON", b"[]"])
def test_a_frame_that_is_no_event_is_unrouted(case: Case, frame: bytes) -> None:
    case.send()
    case.dispatcher.frame_received(frame)
    assert [entry.split()[0] for entry in case.log] == ["events", "unrouted"]
    assert case.unrouted[0].raw == frame


def test_a_binary_message_is_unrouted(case: Case) -> None:
    case.dispatcher.binary_received(b"\0")
    assert [entry.split()[0] for entry in case.log] == ["events", "unrouted"]
    assert case.unrouted[0].raw == b"\0"


def test_an_error_that_ends_the_connection_ends_all_requests(case: Case) -> None:
    case.send("a")
    case.send("b")
    log = case.receive(LIMIT)
    assert log == ["unrouted error", "end", "a ConnectionLostError", "b ConnectionLostError"]
    assert all("60 minutes" in str(error) for error in case.errors)


def test_the_loss_of_the_connection_ends_all_requests(case: Case) -> None:
    case.send()
    case.dispatcher.connection_lost(ConnectionEnd(1006, "", True))
    assert case.log == ["end", "a ConnectionLostError"]
    (error,) = case.errors
    assert isinstance(error, ConnectionLostError)
    assert error.close_code == 1006


def test_after_stop_frames_are_ignored(case: Case) -> None:
    case.send()
    case.dispatcher.stop()
    assert case.receive(event("created")) == []


def test_the_time_of_each_event_is_noted_for_the_idle_timeout() -> None:
    case = Case(now=lambda: 7.0)
    request = case.send()
    case.receive(event("created"))
    assert request.since == 7.0
    case.loop.close()


# --- observers that raise


def raising(error: BaseException) -> Callable[[Any], None]:
    def on_next(value: object) -> None:
        raise error

    return on_next


@pytest.mark.parametrize("error", [ValueError("cannot take it"), SystemExit(3)])
def test_scenario_38_an_observer_that_raises_ends_its_own_request_only(case: Case, error: BaseException) -> None:
    case.send("a", raising(error))
    case.send("b")
    log = case.receive(event("created", "a"), event("created", "b"), event("completed", "a"))
    kind = type(error).__name__ if isinstance(error, Exception) else "ObserverExitError"
    assert log == [
        "a response.created",
        "dispose a",
        f"a {kind}",
        "b response.created",
        "a ended",
    ]
    assert case.reported == [error]
    assert case.errors == [error] or isinstance(case.errors[0], ObserverExitError)


def test_a_full_buffer_ends_the_request_and_is_not_reported(case: Case) -> None:
    case.send("a", raising(error := BufferOverflowError(5, unit="bytes")))
    assert case.receive(event("created")) == ["a response.created", "a BufferOverflowError", "dispose a"]
    assert (case.errors, case.reported) == ([error], [])


@pytest.mark.parametrize("at", ["on_next", "on_error", "on_completed"])
def test_what_on_error_and_on_completed_raise_is_reported(case: Case, at: str) -> None:
    request = case.send()
    observer: Observer[ServerEvent] = Observer(
        raising(ValueError("on_next")) if at == "on_next" else None,
        raising(ValueError("on_error")),
        lambda: raising(ValueError("on_completed"))(None),
    )
    request.observer = observer
    if at == "on_error":
        case.dispatcher.fail(request, OSError())
    else:
        case.receive(event("completed"))
    assert [str(error) for error in case.reported] == (["on_next", "on_error"] if at == "on_next" else [at])


def test_an_observer_without_on_error_is_reported_once(case: Case) -> None:
    request = case.send()
    request.observer = Observer(raising(error := ValueError("cannot take it")))
    case.receive(event("created"))
    assert case.reported == [error]
