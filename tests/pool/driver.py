"""What the tests of a pool need: someone who drives it, with a clock set by hand."""

from __future__ import annotations

from typing import Any, TypeVar

from rxresponses.backoff import Backoff
from rxresponses.errors import ConnectFailedError, ConnectionLostError
from rxresponses.options import PoolOptions
from rxresponses.pool.lanes import PoolConnection, PoolConnectionState, PoolRequest, PoolRequestState
from rxresponses.pool.pool import Close, Fail, Open, Pool, Send

E = TypeVar("E", bound=Exception)

REFUSED = ConnectFailedError("refused", status=503)
LOST = ConnectionLostError("lost", delivery="not_sent")
BACKOFF = Backoff(initial=1.0, factor=2.0, max_delay=4.0, jitter=0.0, max_retries=2)


def least() -> float:
    """Return a random number."""
    return 0.0


class Driver:
    """A pool, what it said, and the server: connections are made at once unless `connects` is off."""

    def __init__(
        self,
        *,
        lanes: bool | None = True,
        max_active: int = 16,
        queue_timeout: float | None = None,
        connects: bool = True,
        **options: Any,
    ) -> None:
        options = {"backoff": BACKOFF, "age_jitter": 0.0, **options}
        self.pool = Pool(
            PoolOptions(**options), lanes=lanes, max_active=max_active, queue_timeout=queue_timeout, draw=least
        )
        self.connects = connects
        self.now = 0.0
        self.sent: list[PoolRequest] = []
        self.failed: dict[PoolRequest, Exception] = {}
        self.opened: list[PoolConnection] = []
        self.closed: list[PoolConnection] = []
        self._count = 0

    # The client.

    def submit(self, lane: str | None = None, **facts: Any) -> PoolRequest:
        """Submit a request, and take a turn."""
        ticket = self.queue(lane, **facts)
        self.turn()
        return ticket

    def queue(self, lane: str | None = None, **facts: Any) -> PoolRequest:
        """Submit a request."""
        ticket = PoolRequest(lane=lane, **facts)
        self.pool.submit(ticket, self.now)
        return ticket

    def burst(self, count: int, **facts: Any) -> list[PoolRequest]:
        """Submit so many requests at once."""
        tickets = [self.queue(**facts) for _ in range(count)]
        self.turn()
        return tickets

    def withdraw(self, ticket: PoolRequest) -> None:
        """Withdraw a request."""
        self.pool.withdraw(ticket)
        self.turn()

    def turn(self) -> None:
        """Take turns until there is nothing to do."""
        while actions := self.pool.turn(self.now):
            assert not self.pool.turn(self.now)
            for action in actions:
                self._act(action)
        deadline = self.pool.deadline(self.now)
        assert deadline is None or deadline > self.now

    def _act(self, action: object) -> None:
        if isinstance(action, Send):
            self.sent.append(action.ticket)
        elif isinstance(action, Fail):
            self.failed[action.ticket] = action.error
        elif isinstance(action, Close):
            self.closed.append(action.slot)
        elif isinstance(action, Open):
            self.opened.append(action.slot)
            if self.connects:
                self.pool.opened(action.slot, self.now)

    def wait(self, seconds: float) -> None:
        """Let time pass, with a turn at each deadline."""
        end = self.now + seconds
        while (deadline := self.pool.deadline(self.now)) is not None and deadline <= end:
            self.now = deadline
            self.turn()
        self.now = end
        self.turn()

    # The server.

    def connect(self, slot: PoolConnection) -> None:
        """A connection is made."""
        self.pool.opened(slot, self.now)
        self.turn()

    def end(self, slot: PoolConnection, error: Exception | None = LOST) -> None:
        """A connection fails, or is lost."""
        self.pool.ended(slot, error, self.now)
        self.turn()

    def begin(self, ticket: PoolRequest, response_id: str | None = None) -> str:
        """A response begins."""
        self._count += 1
        response_id = response_id or f"resp_{self._count}"
        self.pool.began(ticket, response_id)
        self.turn()
        return response_id

    def finish(self, ticket: PoolRequest, response_id: str | None = None, calls: frozenset[str] = frozenset()) -> str:
        """A response is complete."""
        assert ticket.place is not None
        response_id = response_id or ticket.place.running_id or self.begin(ticket)
        self.pool.finished(ticket, self.now, response_id=response_id, calls=calls)
        self.turn()
        return response_id

    def fail(self, ticket: PoolRequest) -> None:
        """A request fails at the server."""
        self.pool.began(ticket, None)
        self.pool.finished(ticket, self.now)
        self.turn()

    def refuse(self, ticket: PoolRequest, delay: float = 0.0) -> None:
        """A request is refused for now."""
        self.pool.began(ticket, None)
        self.pool.again(ticket, self.now, delay)
        self.turn()

    def limit(self, ticket: PoolRequest, hint: float | None = None) -> None:
        """A request is refused at a rate limit."""
        self.pool.throttle.limited(self.now, self.pool.active, hint, limits=self.pool.throttle.limits)
        self.refuse(ticket)

    def done(self, lane: str | None = None, **facts: Any) -> str:
        """Have a request answered at once."""
        return self.finish(self.submit(lane, **facts))

    # What there is.

    def slots(self, state: PoolConnectionState = PoolConnectionState.OPEN) -> list[PoolConnection]:
        """Return the connections in a state."""
        return [slot for slot in self.pool.slots if slot.state is state]

    @property
    def slot(self) -> PoolConnection:
        """The only connection."""
        (slot,) = self.pool.slots
        return slot

    def error(self, ticket: PoolRequest, kind: type[E]) -> E:
        """Return the error of a request that failed."""
        error = self.failed[ticket]
        assert isinstance(error, kind)
        return error

    def is_quiet(self) -> bool:
        """Whether nothing is left of any request."""
        queue = self.pool._queue
        return not (self.pool.queued or self.pool.active or queue.free or queue._lines._lines or queue._arrivals)


def name_of(ticket: PoolRequest) -> str | None:
    """Return the wire's name of the lane on which a request runs."""
    assert ticket.place is not None
    return ticket.place.name


def slot_of(ticket: PoolRequest) -> PoolConnection:
    """Return the connection on which a request runs."""
    assert ticket.state is PoolRequestState.RUNNING
    assert ticket.place is not None
    return ticket.place.slot
