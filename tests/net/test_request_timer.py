"""The one timer of a connection's requests, on a loop that the test turns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rxresponses.errors import FirstEventTimeoutError, QueueTimeoutError, ResponseTimeoutError
from rxresponses.net.backpressure import ReadPause
from rxresponses.net.request import NO_OBSERVER, AnyConnectionRequest, ConnectionRequest
from rxresponses.net.request_timer import RequestTimer
from rxresponses.protocol.protocol import Protocol
from rxresponses.protocol.timeouts import Timeouts


class Handle:
    def __init__(self, at: float, callback: Callable[[], None]) -> None:
        self.at, self.callback, self.cancelled = at, callback, False

    def when(self) -> float:
        return self.at

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """The part of an event loop that a timer uses; time passes when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.handles: list[Handle] = []

    def time(self) -> float:
        return self.now

    def call_at(self, at: float, callback: Callable[[], None]) -> Handle:
        self.handles.append(Handle(at, callback))
        return self.handles[-1]

    def call_soon(self, callback: Callable[[], None]) -> None:
        callback()

    @property
    def due(self) -> list[float]:
        """The times for which timers are set."""
        return [handle.at for handle in self.handles if not handle.cancelled]

    def advance(self, to: float) -> None:
        """Let time pass, and fire the timers that are due, in order."""
        while pending := [handle for handle in self.handles if not handle.cancelled and handle.at <= to]:
            first = min(pending, key=Handle.when)
            self.handles.remove(first)
            self.now = first.at
            first.callback()
        self.now = to


class Case:
    """A timer with limits of 10 s in the queue and 5 s until the first event."""

    def __init__(self, timeouts: Timeouts | None = None) -> None:
        self.clock = Clock()
        self.overdue: list[tuple[AnyConnectionRequest, type[ResponseTimeoutError]]] = []
        self.protocol = Protocol()
        loop: Any = self.clock
        self.read_pause = ReadPause(loop, lambda: None, lambda: self.timer.restart())
        self.timer = RequestTimer(
            loop,
            self.protocol,
            timeouts or Timeouts(queue=10.0, first_event=5.0),
            self.read_pause,
            self.end,
        )

    def end(self, request: AnyConnectionRequest, error: ResponseTimeoutError) -> None:
        self.overdue.append((request, type(error)))
        self.protocol.dispose(request)

    def submit(self, lane: str | None = None) -> ConnectionRequest:
        request = ConnectionRequest(b"{}", lane, None, NO_OBSERVER)
        self.protocol.submit(request, self.clock.now)
        self.timer.watch(request)
        return request

    def send(self) -> None:
        request = self.protocol.next_to_send(self.clock.now)
        assert request is not None
        self.timer.watch(request)


@pytest.fixture
def case() -> Case:
    return Case()


def test_a_request_is_overdue_at_its_deadline(case: Case) -> None:
    request = case.submit()
    case.clock.advance(9.9)
    assert case.overdue == []
    case.clock.advance(10.0)
    assert case.overdue == [(request, QueueTimeoutError)]
    assert case.clock.due == []


def test_one_timer_serves_all_requests_and_is_set_to_the_earliest_deadline(case: Case) -> None:
    first = case.submit()
    case.clock.advance(2.0)
    second = case.submit()
    assert case.clock.due == [10.0]
    case.send()
    assert case.clock.due == [7.0]  # 5 s after it was sent
    case.clock.advance(20.0)
    assert case.overdue == [(first, FirstEventTimeoutError), (second, QueueTimeoutError)]


def test_a_timer_that_fires_too_early_is_set_again(case: Case) -> None:
    request = case.submit()
    request.since = 8.0  # as after an event, which does not touch the timer
    case.clock.advance(10.0)
    assert (case.overdue, case.clock.due) == ([], [18.0])


def test_without_a_limit_there_is_no_timer() -> None:
    case = Case(Timeouts())
    case.submit()
    assert case.clock.due == []


def test_a_pause_stops_the_timeouts_of_sent_requests_only(case: Case) -> None:
    sent = case.submit()
    case.send()
    case.submit()
    case.read_pause.consumer_lags("a")
    case.clock.advance(9.0)
    assert case.overdue == []
    case.clock.advance(10.0)
    assert [kind for _, kind in case.overdue] == [QueueTimeoutError]
    case.read_pause.consumer_caught_up("a")
    assert (sent.since, case.clock.due) == (10.0, [15.0])  # the server gets its whole time again
    case.clock.advance(15.0)
    assert case.overdue[1:] == [(sent, FirstEventTimeoutError)]


def test_after_stop_no_timer_is_set(case: Case) -> None:
    case.submit()
    case.timer.stop()
    case.submit()
    assert case.clock.due == []
    case.timer.stop()
