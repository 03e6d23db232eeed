"""A fleet with model clients: what the tests of its rules drive."""

from __future__ import annotations

import math
from typing import Any

from rxresponses.backoff import Backoff
from rxresponses.errors import ConnectFailedError, ConnectionLostError, ResponseFailedError
from rxresponses.options import BreakerOptions
from rxresponses.pool.fleet import Fleet
from rxresponses.pool.fleet_members import FailFleetRequest, FleetRequest, GiveRequest, Member, TakeBack
from rxresponses.wire.events import ResponseErrorEvent

BACKOFF = Backoff(initial=1.0, factor=2.0, max_delay=4.0, jitter=0.0, max_retries=2)
DOWN = ConnectFailedError("refused")
NOT_FOUND = "previous_response_not_found"


def failure(code: str | None = None, status: int | None = None, **facts: Any) -> ResponseFailedError:
    """Return the error of a request that the server refused."""
    facts = {"delivery": "rejected", "without_output": True, **facts}
    return ResponseFailedError("failed", event=ResponseErrorEvent(message="failed"), code=code, status=status, **facts)


def lost(delivery: Any = "started") -> ConnectionLostError:
    """Return the error of a request whose connection was lost."""
    return ConnectionLostError("lost", delivery=delivery, close_code=1006)


class FakeClient:
    """The client of a member: so many requests run there, and so many may."""

    def __init__(self, most: float = 16) -> None:
        self.running: list[FleetRequest] = []
        self.most = most
        self.lost: set[str] = set()

    def load(self) -> int:
        """Return how many requests run."""
        return len(self.running)

    def room(self, now: float) -> float:
        """Return how many may run."""
        return self.most

    def has_lost(self, response_id: str) -> bool:
        """Whether a response is lost."""
        return response_id in self.lost


class FleetDriver:
    """Does what a fleet says: gives requests to model clients, and keeps the errors."""

    def __init__(self, count: int = 3, *, rooms: tuple[float, ...] = (), weights: tuple[float, ...] = (), **more: Any):
        options = BreakerOptions(**more.pop("breaker", {"failures": 3}))
        self.fleet = Fleet(options, more.pop("backoff", BACKOFF), draw=lambda: 0.0, **more)
        self.clients = [FakeClient(rooms[n] if rooms else 16) for n in range(count)]
        self.members = [
            self.fleet.add(f"m{n}", client, weights[n] if weights else 1.0) for n, client in enumerate(self.clients)
        ]
        self.now = 0.0
        self.given: list[tuple[FleetRequest, Member]] = []  # in order
        self.errors: dict[FleetRequest, Exception] = {}
        self.unsent: set[FleetRequest] = set()  # wait in the client of their member

    def send(self, *, acts: bool = True, **fields: Any) -> FleetRequest:
        """Submit a request."""
        request = FleetRequest(**fields)
        self.fleet.submit(request, self.now)
        if acts:
            self.act()
        return request

    def act(self, now: float | None = None) -> None:
        """Do all that is to be done."""
        self.now = self.now if now is None else now
        while (action := self.fleet.next_action(self.now)) is not None:
            if isinstance(action, FailFleetRequest):
                assert action.request not in self.errors
                self.errors[action.request] = action.error
            elif isinstance(action, GiveRequest):
                client = self.client(action.member)
                assert client.load() < client.room(self.now)
                assert action.member.breaker.state != "open"
                client.running.append(action.request)
                self.given.append((action.request, action.member))
            else:
                assert isinstance(action, TakeBack)
                if action.request in self.unsent:
                    self.unsent.discard(action.request)
                    self.client(action.member).running.remove(action.request)
                    self.fleet.taken_back(action.request, self.now)

    def client(self, member: Member) -> FakeClient:
        """Return the client of a member."""
        return self.clients[self.members.index(member)]

    def at(self, request: FleetRequest) -> int | None:
        """Return the number of the member where a request runs, `None` if it runs nowhere."""
        return next((n for n, client in enumerate(self.clients) if request in client.running), None)

    def leave(self, request: FleetRequest) -> None:
        """Note that a request runs on no client any more."""
        for client in self.clients:
            if request in client.running:
                client.running.remove(request)
        self.unsent.discard(request)

    def succeed(self, request: FleetRequest, response_id: str | None = None) -> None:
        """End a request well."""
        if response_id is not None:
            self.fleet.began(request, response_id)
        self.fleet.answers(request)
        self.leave(request)
        self.fleet.succeeded(request)
        self.act()

    def fail(self, request: FleetRequest, error: Exception = DOWN, **facts: Any) -> bool:
        """End a try of a request with an error; return whether it is sent again."""
        self.leave(request)
        again = self.fleet.failed(request, error, self.now, **facts)
        self.act()
        return again

    def until(self, deadline: float | None = None) -> None:
        """Let time pass until the next deadline."""
        at = self.fleet.deadline(self.now) if deadline is None else deadline
        assert at is not None
        assert at < math.inf
        self.act(max(at, self.now))

    def loads(self) -> list[int]:
        """Return how many requests run on each member."""
        return [client.load() for client in self.clients]
