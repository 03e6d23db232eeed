"""`Pool`: what a client's driver asks and tells; the entry to the rules of many connections."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Iterator

from ..backoff import is_rate_limit, requested_wait
from ..errors import QueueFullError, QueueTimeoutError, RequestError
from ..options import PoolOptions
from .actions import Action, SendRequest
from .connections import PoolConnections, Route
from .lanes import HeldResponse, PoolConnection, PoolConnectionState, PoolLane, PoolRequest, PoolRequestState
from .queue import RequestQueue
from .rate_limit import RateLimit
from .routing import RequestRouter


class Pool:
    """The requests and connections of a client, without I/O or Rx: which request runs where, and when.

    `submit` queues a request.  `next_actions` says what to do now: send or fail a request, open or close a
    connection.  The driver of the pool does that, and tells the pool what happens: to connections
    (`connection_opened`, `connection_ended`), to requests (`began`, `finished`, `unsent`, `requeue`), and to responses.
    `deadline` says when to call `next_actions` again if nothing happens before.

    All methods are called on one thread.  `now` is a point in time in seconds, by any clock.
    """

    def __init__(
        self,
        options: PoolOptions,
        *,
        has_lanes: bool | None = None,
        max_active: int = 16,
        queue_timeout: float | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.options = options
        self.rate_limit = RateLimit(options.backoff, draw=draw)
        self._queue = RequestQueue(options.max_queued, queue_timeout)
        self._connections = PoolConnections(options, has_lanes=has_lanes, max_active=max_active, draw=draw)
        self._actions: list[Action] = []
        self._router = RequestRouter(self._queue, self._connections, self._actions)
        self._lost_requests: list[PoolRequest] = []  # ran on connections that are gone
        # Failed connections: the route, the error, and the latest request that waited for such a connection.
        self._given_up: list[tuple[Route, Exception, int]] = []

    @property
    def connections(self) -> list[PoolConnection]:
        """The connections."""
        return self._connections.all

    @property
    def active(self) -> int:
        """How many requests run."""
        return self._connections.active

    def in_state(self, state: PoolConnectionState) -> int:
        """Return how many connections are in a state."""
        return self._connections.in_state(state)

    @property
    def queued(self) -> int:
        """How many requests wait."""
        return len(self._queue)

    @property
    def has_lanes(self) -> bool | None:
        """Whether the server has lanes, `None` until that is known."""
        return self._connections.has_lanes

    @has_lanes.setter
    def has_lanes(self, has_lanes: bool | None) -> None:
        self._connections.has_lanes = has_lanes
        if has_lanes is False:
            for connection in self.connections:
                self._router.only_one_lane(connection)

    # What the senders want.

    def submit(self, request: PoolRequest, now: float) -> None:
        """Queue a request.  If too many wait already, `next_actions` fails it."""
        self._queue.add(request, now)
        self._connections.route_used(request.route)
        if request.route not in self._queue.by_route:
            self._connections.skip_wait(request.route)

    def withdraw(self, request: PoolRequest) -> None:
        """Forget a request that waits, since its sender has disposed it."""
        if request.state is PoolRequestState.WAITING:
            self._router.end(request)

    def prewarm(self, count: int, route: Route) -> None:
        """Keep so many connections open from now on, with work or without."""
        self._connections.prewarm(count, route)

    def waiting(self) -> list[PoolRequest]:
        """Return the requests that wait, in the order of their arrival."""
        return sorted(self._queue, key=lambda request: request.number)

    def requests(self) -> Iterator[PoolRequest]:
        """Return the requests that wait or run."""
        yield from self._queue
        for connection in self.connections:
            yield from connection.running()

    def awaits_responses(self, now: float) -> bool:
        """Whether requests wait for running responses to end, not for a connection or a rate limit."""
        if self.queued == 0 or self.rate_limit.remaining_pause(now) is not None:
            return False
        return self.in_state(PoolConnectionState.CONNECTING) == 0

    # What happens to connections.

    def connection_opened(self, connection: PoolConnection, now: float, *, requested_wait: float | None = None) -> None:
        """Note that a connection is open.

        `requested_wait` are the seconds for which the server says, in the headers of the handshake, that it will refuse
        requests.  If that is too long a wait, requests are sent all the same, and each gets its own refusal.
        """
        if connection.state is PoolConnectionState.CONNECTING:
            self._connections.opened(connection, now)
        if requested_wait is not None and not self.options.backoff.is_too_long(requested_wait):
            self.rate_limit.told(now, requested_wait)

    def connection_ended(self, connection: PoolConnection, error: Exception | None, now: float) -> None:
        """Note that a connection is lost, or could not be made.

        `error` says why; it is `None` if this side closed the connection.  The requests that ran there end with the
        next call of `next_actions`, except those that were given to `requeue` before.
        """
        if connection.state is PoolConnectionState.GONE:
            return
        if error is not None and is_rate_limit(error):
            self.rate_limited(now, requested_wait(error), hits_when_sent=self.rate_limit.hits)
        if self._connections.ended(connection, error, now) and error is not None:
            self._given_up.append((connection.route, error, self._queue.latest_number))
        self._lost_requests.extend(connection.running())
        for lane in connection.lanes.values():
            lane.running = None
            self._router.stop(lane)
            self._router.drop(lane)

    def lane_refused(self, lane: PoolLane) -> None:
        """Note that the server refused the name of this lane as one too many on its connection."""
        lane.connection.lane_refused(lane)

    def rate_limited(self, now: float, requested_wait: float | None, *, hits_when_sent: int) -> None:
        """Note that the server reported a rate limit; `requested_wait` are the seconds that it asks to wait.

        If the server asks for too long a wait, as with a spent quota, no request waits: each gets its own refusal.
        `hits_when_sent` is the value of `RateLimit.hits` when the refused request was sent.
        """
        if not self.options.backoff.is_too_long(requested_wait):
            self.rate_limit.limited(now, self.active, requested_wait, hits_when_sent=hits_when_sent)

    # What happens to requests.

    def began(self, request: PoolRequest, response_id: str | None) -> None:
        """Note that the first event of a request came, with the id of its response if the event has one."""
        lane = request.lane
        if lane is None or lane.running is not request:
            return
        request.deadline = None
        self._connections.worked(lane.connection)
        if response_id is not None:
            self._router.locations.start(lane, response_id, stores=request.stores)

    def in_progress(self, request: PoolRequest) -> None:
        """Note that the server works on a request: it has loaded the parent, so a fork needs that no more."""
        self._router.release_parent(request)

    def finished(
        self,
        request: PoolRequest,
        now: float,
        *,
        response_id: str | None = None,
        open_calls: frozenset[str] = frozenset(),
    ) -> None:
        """Note that a request has ended; `response_id` is given only if its response can be continued."""
        lane = request.lane
        if request.state is not PoolRequestState.RUNNING or lane is None:
            return
        if response_id is not None:
            self.rate_limit.succeeded(self.active + self.queued, hits_when_sent=request.hits_when_sent)
        self._vacate(lane, now)
        if response_id is not None:
            self.hold(lane, response_id, stores=request.stores, open_calls=open_calls)
        self._router.end(request)

    def unsent(self, request: PoolRequest, now: float) -> None:
        """Note that a request was taken back before it was sent: its lane still holds what it held before."""
        lane = request.lane
        if request.state is not PoolRequestState.RUNNING or lane is None:
            return
        self._vacate(lane, now)
        if lane.held_before is not None and lane.connection.accepts_continuations:
            self._router.locations.hold(lane, lane.held_before)
        self._router.end(request)

    def requeue(self, request: PoolRequest, now: float, delay: float = 0.0) -> None:
        """Queue a request again that was not sent, or was refused for now; it waits at least `delay` seconds.

        Then it goes before the requests that came after it.
        """
        lane = request.lane
        if request.state is not PoolRequestState.RUNNING or lane is None:
            return
        self._vacate(lane, now)
        self._queue.add_again(request, now + delay if delay > 0 else None)

    # What happens to responses.

    def lane_of(self, response_id: str) -> PoolLane | None:
        """Return the lane that runs or holds a response."""
        return self._router.locations.lane_of(response_id)

    def hold(self, lane: PoolLane, response_id: str, *, stores: bool, open_calls: frozenset[str] = frozenset()) -> None:
        """Note that a lane holds this response from now on, in place of the one before."""
        if not lane.connection.accepts_continuations or lane.running is not None:
            self._router.locations.mark_unheld(response_id, stored=stores)
        else:
            self._router.hold(lane, HeldResponse(response_id, stores, open_calls))

    def forget(self, response_id: str) -> None:
        """Note that the server does not know a response."""
        lane = self.lane_of(response_id)
        if lane is not None:
            self._router.drop(lane)
        self._router.locations.mark_lost(response_id)

    def is_lost(self, response_id: str) -> bool:
        """Whether it is known that no connection holds a response and that the server has not stored it."""
        return self._router.locations.is_lost(response_id)

    def steered(self, lane: PoolLane) -> None:
        """Note that a steer was sent for the response of a lane, so another response may follow there."""
        lane.open_steers += 1
        lane.connection.open_steers += 1

    def successor_began(self, lane: PoolLane, response_id: str, *, stores: bool) -> None:
        """Note that the response that follows from a steer has started, so the lane no longer holds the steered one."""
        if lane.connection.state is not PoolConnectionState.GONE and lane.running is None:
            self._router.clear(lane)
            self._router.stop(lane)
            self._router.locations.start(lane, response_id, stores=stores)

    def steer_ended(self, lane: PoolLane, now: float) -> None:
        """Note that nothing more comes from a steer."""
        lane.open_steers -= 1
        lane.connection.open_steers -= 1
        if not lane.is_taken:
            self._router.stop(lane)
        lane.connection.idle_since = now

    # What to do.

    def next_actions(self, now: float) -> list[Action]:
        """Return what to do now, in this order; the pool counts it as done."""
        self._end_lost_requests()
        self._fail_without_connection()
        while (overdue := self._queue.overdue(now)) is not None:
            error = QueueTimeoutError(self._queue.timeout or 0.0, stream_id=overdue.stream_id)
            self._router.fail(overdue, error)
        self._queue.release_delayed(now)
        opens = True
        while opens:  # a connection may have to retire for another one, which moves the requests that wait for it
            for connection in self._connections.retire(now):
                self._router.drop_all(connection)
            self._router.route_all()
            self._send(now)
            self._fail_excess()
            opens = self._open(now)
        for connection in self._connections.close_drained():
            self._router.drop_all(connection)
        actions = [*self._actions, *self._connections.actions]
        self._actions.clear()
        self._connections.actions.clear()
        return actions

    def deadline(self, now: float) -> float | None:
        """Return when to call `next_actions` again if nothing happens before, `None` for never."""
        times = [self._queue.deadline(), self._connections.deadline()]
        if now < self.rate_limit.resumes_at:
            times.append(self.rate_limit.resumes_at)
        retry_at = self.retry_at(now)
        if retry_at is not None:
            times.append(retry_at)
        earliest = min(times)
        return earliest if earliest < math.inf else None

    def connect_error(self) -> Exception | None:
        """Return why the latest connection could not be made, `None` if none is missing for that."""
        return self._connections.connect_error()

    def retry_at(self, now: float) -> float | None:
        """Return when the next connection is tried after a failure, `None` if none waits for that."""
        return self._connections.retry_at(now, self._queue.by_route)

    def _end_lost_requests(self) -> None:
        """End the requests that ran on connections that are gone, so that no other request waits for them."""
        for request in self._lost_requests:
            if request.state is PoolRequestState.RUNNING:
                self._router.end(request)
        self._lost_requests.clear()

    def _fail_without_connection(self) -> None:
        """Fail the requests that have waited for connections that cannot be made."""
        for route, error, latest_number in self._given_up:
            for request in () if self._connections.is_open(route) else self.waiting():
                needs_any = request.route == route and request.lane is request.parent_lane is None
                if needs_any and request.number <= latest_number:
                    own = copy.copy(error)
                    if isinstance(own, RequestError):
                        own.stream_id = request.stream_id
                    own.__cause__ = error.__cause__
                    self._router.fail(request, own)
        self._given_up.clear()

    def _fail_excess(self) -> None:
        """Fail the requests that are too many; those that could be sent at once did not have to wait."""
        for request in self._queue.excess():
            message = (
                f"{self.options.max_queued} requests wait in this client already (`max_queued`), so this one was not "
                "taken: send fewer at once, or allow more connections"
            )
            self._router.fail(request, QueueFullError(message, delivery="not_sent", stream_id=request.stream_id))

    def _send(self, now: float) -> None:
        """Send the requests that may be sent, the oldest first."""
        while self.rate_limit.allows(now, self.active):
            found = min(self._router.candidates(), key=lambda candidate: candidate[0], default=None)
            if found is None:
                return
            _, request, lane = found
            self._start(request, lane)
            self._router.route_all()

    def _start(self, request: PoolRequest, lane: PoolLane) -> None:
        """Run a request on a lane."""
        self._queue.start(request)
        request.lane = lane
        request.hits_when_sent = self.rate_limit.hits
        held = lane.held
        self._router.clear(lane)
        lane.held_before = held
        lane.stream_id, lane.running, lane.running_stores = request.stream_id, request, request.stores
        lane.connection.mark_used(lane)
        lane.connection.active += 1
        self._actions.append(SendRequest(request))

    def _vacate(self, lane: PoolLane, now: float) -> None:
        """Note that a lane runs its request no more."""
        lane.running = None
        lane.connection.active -= 1
        lane.connection.idle_since = now
        self._router.stop(lane)

    def _open(self, now: float) -> bool:
        """Open connections for the requests that wait, and those that stay open; return whether any is opened."""
        before = len(self._connections.actions)
        may_run = self.rate_limit.max_active - self.active if self.rate_limit.allows(now, 0) else 0
        by_route = self._queue.by_route
        for route in sorted(by_route, key=lambda route: by_route[route].first_priority):
            self._connections.open_for(route, min(len(by_route[route]), may_run), now)
        self._connections.open_min(now)
        return len(self._connections.actions) > before
