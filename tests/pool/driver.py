"""A driver of a pool for tests, with a clock that the test sets."""

from __future__ import annotations

from typing import Any, TypeVar

from rxresponses.backoff import Backoff
from rxresponses.errors import ConnectFailedError, ConnectionLostError
from rxresponses.limits.admission import Admission
from rxresponses.options import PoolOptions
from rxresponses.pool.actions import Action, CloseConnection, FailRequest, OpenConnection, SendRequest
from rxresponses.pool.lanes import PoolConnection, PoolConnectionState, PoolLane, PoolRequest, PoolRequestState
from rxresponses.pool.pool import Pool

E = TypeVar("E", bound=Exception)

REFUSED = ConnectFailedError("refused", status=503)
LOST = ConnectionLostError("lost", delivery="not_sent")
BACKOFF = Backoff(initial=1.0, factor=2.0, max_delay=4.0, jitter=0.0, max_retries=2)
HOUR = 55 * 60.0  # the default of `max_age`


class Driver:
    """Drives a pool, records its actions, and plays the server.

    Connections open at once, unless `connects` is false.
    """

    def __init__(
        self,
        *,
        has_lanes: bool | None = True,
        max_active: int = 16,
        queue_timeout: float | None = None,
        connects: bool = True,
        admission: Admission | None = None,
        **options: Any,
    ) -> None:
        options = {"backoff": BACKOFF, "age_jitter": 0.0, **options}
        self.pool = Pool(
            PoolOptions(**options),
            has_lanes=has_lanes,
            max_active=max_active,
            queue_timeout=queue_timeout,
            draw=lambda: 0.0,
            admission=admission,
        )
        self.connects = connects
        self.now = 0.0
        self.sent: list[PoolRequest] = []
        self.failed: dict[PoolRequest, Exception] = {}
        self.opened: list[PoolConnection] = []
        self.closed: list[PoolConnection] = []
        self._count = 0

    # The client.

    def submit(self, stream_id: str | None = None, **fields: Any) -> PoolRequest:
        """Submit a request, and do what the pool says."""
        request = self.queue(stream_id, **fields)
        self.act()
        return request

    def queue(self, stream_id: str | None = None, **fields: Any) -> PoolRequest:
        """Submit a request, and do nothing yet."""
        request = PoolRequest(stream_id=stream_id, **fields)
        self.pool.submit(request, self.now)
        return request

    def burst(self, count: int, **fields: Any) -> list[PoolRequest]:
        """Submit so many requests at once."""
        requests = [self.queue(**fields) for _ in range(count)]
        self.act()
        return requests

    def withdraw(self, request: PoolRequest) -> None:
        """Withdraw a request."""
        self.pool.withdraw(request)
        self.act()

    def act(self) -> None:
        """Do what the pool says until there is nothing to do."""
        while actions := self.pool.next_actions(self.now):
            assert not self.pool.next_actions(self.now)
            for action in actions:
                self._do(action)
        deadline = self.pool.deadline(self.now)
        assert deadline is None or deadline > self.now

    def _do(self, action: Action) -> None:
        if isinstance(action, SendRequest):
            self.sent.append(action.request)
        elif isinstance(action, FailRequest):
            self.failed[action.request] = action.error
        elif isinstance(action, CloseConnection):
            self.closed.append(action.connection)
        elif isinstance(action, OpenConnection):
            self.opened.append(action.connection)
            if self.connects:
                self.pool.connection_opened(action.connection, self.now)

    def wait(self, seconds: float) -> None:
        """Let time pass, and do what the pool says at each of its deadlines."""
        end = self.now + seconds
        while (deadline := self.pool.deadline(self.now)) is not None and deadline <= end:
            self.now = deadline
            self.act()
        self.now = end
        self.act()

    # The server.

    def connect(self, connection: PoolConnection) -> None:
        """Have a connection open."""
        self.pool.connection_opened(connection, self.now)
        self.act()

    def end(self, connection: PoolConnection, error: Exception | None = LOST) -> None:
        """Have a connection fail to open, or lose it."""
        self.pool.connection_ended(connection, error, self.now)
        self.act()

    def begin(self, request: PoolRequest, response_id: str | None = None) -> str:
        """Start the response to a request; return its id."""
        self._count += 1
        response_id = response_id or f"resp_{self._count}"
        self.pool.began(request, response_id)
        self.act()
        return response_id

    def finish(
        self, request: PoolRequest, response_id: str | None = None, open_calls: frozenset[str] = frozenset()
    ) -> str:
        """Complete the response to a request; return its id."""
        assert request.lane is not None
        response_id = response_id or request.lane.running_response_id or self.begin(request)
        self.pool.finished(request, self.now, response_id=response_id, open_calls=open_calls)
        self.act()
        return response_id

    def fail(self, request: PoolRequest) -> None:
        """Have a request fail at the server."""
        self.pool.began(request, None)
        self.pool.finished(request, self.now)
        self.act()

    def refuse(self, request: PoolRequest, delay: float = 0.0) -> None:
        """Refuse a request for now."""
        self.pool.began(request, None)
        self.pool.requeue(request, self.now, delay)
        self.act()

    def limit(self, request: PoolRequest, requested_wait: float | None = None) -> None:
        """Refuse a request at a rate limit."""
        self.rate_limit(self.pool.active, requested_wait)
        self.refuse(request)

    def rate_limit(self, active: int, requested_wait: float | None) -> None:
        """Report a rate limit that came while so many requests ran."""
        rate_limit = self.pool.rate_limit
        rate_limit.limited(self.now, active, requested_wait, hits_when_sent=rate_limit.hits)

    def steer(self, request: PoolRequest) -> PoolLane:
        """Have a steer sent for the response to a request; return the lane."""
        assert request.lane is not None
        self.pool.steered(request.lane)
        return request.lane

    def done(self, stream_id: str | None = None, **fields: Any) -> str:
        """Submit a request, and complete its response; return the id of the response."""
        return self.finish(self.submit(stream_id, **fields))

    def unstored(self, stream_id: str | None = None) -> str:
        """Return the id of a response that is not stored, and that a lane holds."""
        return self.done(stream_id, stores=False)

    # What there is.

    def connections(self, state: PoolConnectionState = PoolConnectionState.OPEN) -> list[PoolConnection]:
        """Return the connections in a state."""
        return [connection for connection in self.pool.connections if connection.state is state]

    @property
    def connection(self) -> PoolConnection:
        """The only connection."""
        (connection,) = self.pool.connections
        return connection

    def error(self, request: PoolRequest, kind: type[E]) -> E:
        """Return the error of a request that failed."""
        error = self.failed[request]
        assert isinstance(error, kind)
        return error

    def is_quiet(self) -> bool:
        """Whether nothing is left of any request."""
        pool, queue = self.pool, self.pool._queue
        return not (pool.queued or pool.active or queue.by_route or queue._lane_order._lanes or queue._to_route)


def wire_name_of(request: PoolRequest) -> str | None:
    """Return the `stream_id` on the wire of the lane on which a request runs."""
    assert request.lane is not None
    return request.lane.wire_name


def connection_of(request: PoolRequest) -> PoolConnection:
    """Return the connection on which a request runs."""
    assert request.state is PoolRequestState.RUNNING
    assert request.lane is not None
    return request.lane.connection
