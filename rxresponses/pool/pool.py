"""`Pool`: what a client's driver asks and tells; the entry to the rules of many connections."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping

from ..backoff import is_rate_limit, requested_wait
from ..limits.admission import Admission
from ..options import PoolOptions
from .actions import Action, SendRequest
from .admission import PoolAdmission
from .connections import PoolConnections, Route
from .lanes import HeldResponse, PoolConnection, PoolConnectionState, PoolLane, PoolRequest, PoolRequestState
from .overdue import overdue_error
from .queue import RequestQueue
from .rate_limit import RateLimit
from .routing import GivenUp, RequestRouter


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
        admission: Admission | None = None,
    ) -> None:
        self.options = options
        self.admission = None if admission is None else PoolAdmission(admission)
        self.rate_limit = RateLimit(options.backoff, draw=draw)
        self._queue = RequestQueue(options.max_queued, queue_timeout)
        self._connections = PoolConnections(options, has_lanes=has_lanes, max_active=max_active, draw=draw)
        self._actions: list[Action] = []
        self._router = RequestRouter(self._queue, self._connections, self._actions)
        self.more_wait = False  # other requests wait, outside of the pool, for room in it
        self._lost_requests: list[PoolRequest] = []  # ran on connections that are gone
        self._given_up: list[GivenUp] = []

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
    def limited_until(self) -> float | None:
        """Until when the admission lets requests wait, `None` if it lets none wait; infinity for the end of others."""
        return None if self.admission is None else self.admission.until

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

    def room(self, now: float) -> float:
        """Return how many requests may run at once, as far as that is known: none while all wait at a rate limit."""
        return min(self._connections.room, self.rate_limit.max_active) if self.rate_limit.allows(now, 0) else 0

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

    def close(self, now: float) -> None:
        """Settle what has not ended, so that nothing of a budget stays reserved: nothing more will be heard of it."""
        if self.admission is not None:
            self.admission.close([*self.requests(), *self._lost_requests], now)

    def prewarm(self, count: int, route: Route) -> None:
        """Keep so many connections open from now on, with work or without."""
        self._connections.prewarm(count, route)

    def waiting(self) -> list[PoolRequest]:
        """Return the requests that wait, in the order of their arrival."""
        return self._queue.in_order()

    def requests(self) -> Iterator[PoolRequest]:
        """Return the requests that wait or run."""
        yield from self._queue
        for connection in self.connections:
            yield from connection.running()

    def awaits_responses(self, now: float) -> bool:
        """Whether requests wait for running responses to end, not for a connection, a limit or a rate limit."""
        if not (self.queued or self.more_wait) or self.rate_limit.remaining_pause(now) is not None:
            return False
        until = self.limited_until
        return (until is None or until == math.inf) and self.in_state(PoolConnectionState.CONNECTING) == 0

    # What happens to connections.

    def connection_opened(
        self,
        connection: PoolConnection,
        now: float,
        *,
        requested_wait: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Note that a connection is open; `headers` are those of the handshake.

        `requested_wait` are the seconds for which the server says, in the headers of the handshake, that it will refuse
        requests.  If that is too long a wait, requests are sent all the same, and each gets its own refusal.
        """
        if connection.state is PoolConnectionState.CONNECTING:
            self._connections.opened(connection, now)
        if self.options.backoff.is_too_long(requested_wait):
            requested_wait = None
        if requested_wait is not None:
            self.rate_limit.told(now, requested_wait)
        if self.admission is not None:
            self.admission.accepted(headers or {}, requested_wait, now)

    def connection_ended(self, connection: PoolConnection, error: Exception | None, now: float) -> None:
        """Note that a connection is lost, or could not be made.

        `error` says why; it is `None` if this side closed the connection.  The requests that ran there end with the
        next call of `next_actions`, except those that were given to `requeue` before.
        """
        if connection.state is PoolConnectionState.GONE:
            return
        if error is not None and is_rate_limit(error):
            self.rate_limited(error, now, hits_when_sent=self.rate_limit.hits)
        if self._connections.ended(connection, error, now) and error is not None:
            self._given_up.append(GivenUp(connection.route, error, self._queue.latest_number))
        self._lost_requests.extend(connection.running())
        for lane in connection.lanes.values():
            lane.running = None
            self._router.stop(lane)
            self._router.drop(lane)

    def lane_refused(self, lane: PoolLane) -> None:
        """Note that the server refused the name of this lane as one too many on its connection."""
        lane.connection.lane_refused(lane)

    def rate_limited(self, error: Exception, now: float, *, hits_when_sent: int) -> None:
        """Note that the server reported a rate limit.

        If the server asks for too long a wait, as with a spent quota, no request waits: each gets its own refusal.
        `hits_when_sent` is the value of `RateLimit.hits` when the refused request was sent.
        """
        wait = requested_wait(error)
        if not self.options.backoff.is_too_long(wait):
            self.rate_limit.limited(now, self.active, wait, hits_when_sent=hits_when_sent, error=error)
            if self.admission is not None:
                self.admission.limited(error, wait, now)

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
        self._vacate(request, lane, now)
        if response_id is not None:
            self.hold(lane, response_id, stores=request.stores, open_calls=open_calls)
        self._router.end(request)

    def unsent(self, request: PoolRequest, now: float) -> None:
        """Note that a request was taken back before it was sent: its lane still holds what it held before."""
        lane = request.lane
        if request.state is not PoolRequestState.RUNNING or lane is None:
            return
        self._vacate(request, lane, now, sent=False)
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
        self._vacate(request, lane, now, sent=False)
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
        self._end_lost_requests(now)
        self._router.fail_without_connection(self._given_up)
        self._given_up.clear()
        while (overdue := self._queue.overdue(now)) is not None:
            seconds = self._queue.timeout or 0.0
            error = overdue_error(overdue, seconds, now, self._connections, self.rate_limit, self.admission)
            self._router.fail(overdue, error)
        self._queue.release_delayed(now)
        opens = True
        while opens:  # a connection may have to retire for another one, which moves the requests that wait for it
            for connection in self._connections.retire(now):
                self._router.drop_all(connection)
            self._router.route_all()
            self._send(now)
            self._router.fail_excess()
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
        if self.admission is not None and self.admission.until is not None:
            times.append(self.admission.until)
        retry_at = self.retry_at(now)
        if retry_at is not None:
            times.append(retry_at)
        return None if min(times) == math.inf else min(times)

    def connect_error(self) -> Exception | None:
        """Return why the latest connection could not be made, `None` if none is missing for that."""
        return self._connections.connect_error()

    def retry_at(self, now: float) -> float | None:
        """Return when the next connection is tried after a failure, `None` if none waits for that."""
        return self._connections.retry_at(now, self._queue.by_route)

    def _end_lost_requests(self, now: float) -> None:
        """End the requests that ran on connections that are gone, so that no other request waits for them."""
        for request in self._lost_requests:
            if request.state is PoolRequestState.RUNNING:
                if self.admission is not None:
                    self.admission.ended(request, now, sent=True)
                self._router.end(request)
        self._lost_requests.clear()

    def _send(self, now: float) -> None:
        """Send the requests that may be sent, the oldest first."""
        if self.admission is not None:
            self.admission.begin()
        while self.rate_limit.allows(now, self.active):
            found = min(self._router.candidates(), key=lambda candidate: candidate[0], default=None)
            if found is None:
                return
            _, request, lane = found
            admitted = self.admission is None or self.admission.ask(request, now)
            if admitted is True:
                self._start(request, lane)
            elif admitted is False:
                return
            else:
                self._router.fail(request, admitted)
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
        if self.admission is not None:
            lane.latest_size = request.size
        lane.connection.mark_used(lane)
        lane.connection.active += 1
        self._actions.append(SendRequest(request))

    def _vacate(self, request: PoolRequest, lane: PoolLane, now: float, *, sent: bool = True) -> None:
        """Note that a lane runs its request no more, which was sent or not."""
        if self.admission is not None:
            self.admission.ended(request, now, sent=sent)
        lane.running = None
        lane.connection.active -= 1
        lane.connection.idle_since = now
        self._router.stop(lane)

    def _open(self, now: float) -> bool:
        """Open connections for the requests that wait, and those that stay open; return whether any is opened."""
        before = len(self._connections.actions)
        may_run = self.rate_limit.max_active - self.active if self.rate_limit.allows(now, 0) else 0
        if self.admission is not None and self.admission.until is not None:
            may_run = 0  # the request that waits for its admission has a lane
        by_route = self._queue.by_route
        for route in sorted(by_route, key=lambda route: by_route[route].first_priority):
            self._connections.open_for(route, min(len(by_route[route]), may_run), now)
        self._connections.open_min(now)
        return len(self._connections.actions) > before
