"""The pool against model servers: any interleaving of requests, answers, refusals, losses and time.

The server is a model of a few lines that knows which responses it can continue.  In whichever order things happen,
the pool sends no continuation that the server cannot know, runs no request where it may not run, and serves the
requests in order; and in the end no request is left waiting.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rxresponses.backoff import Backoff
from rxresponses.errors import (
    ConnectFailedError,
    ConnectionLostError,
    InvalidRequestError,
    PreviousResponseLostError,
    QueueFullError,
    QueueTimeoutError,
)
from rxresponses.options import PoolOptions
from rxresponses.pool.actions import CloseConnection, FailRequest, OpenConnection, SendRequest
from rxresponses.pool.lanes import PoolConnection, PoolConnectionState, PoolLane, PoolRequest, PoolRequestState
from rxresponses.pool.pool import Pool
from tests.effort import examples

LANES = [None, None, "a", "b"]
NAMES = 4  # on a connection, instead of 32
MAX_AGE = 10_000.0
MAX_WAIT = 500.0  # seconds that a request waits at most: far less than `max_age`, which must not be what ends a wait
KINDS = ["lanes", "no lanes", "refuses lanes"]
ERRORS: list[Callable[[], Exception | None]] = [
    lambda: ConnectFailedError("no"),
    lambda: ConnectFailedError("no", status=503, headers={"Retry-After": "7"}),
    lambda: ConnectFailedError("no", status=429, headers={"Retry-After": "9"}),
    lambda: ConnectFailedError("no", status=401),
    lambda: None,
]
LOST = ConnectionLostError("lost", delivery="not_sent")
LANE, RESPONSE = st.sampled_from(LANES), st.integers(0, 5)


@dataclass(eq=False)
class Sent:
    """A request on a connection."""

    request: PoolRequest
    lane: PoolLane
    written: bool = False
    response_id: str | None = None  # once it has started
    parent_lane: PoolLane | None = None  # of a fork that needs its parent there


@dataclass(eq=False)
class Steered:
    """A steer on a lane, and the response that follows from it."""

    lane: PoolLane
    stores: bool
    response_id: str | None = None


@dataclass(eq=False)
class Server:
    """The server of a connection: what it can continue, by lane."""

    cached: dict[str | None, str] = field(default_factory=dict)
    names: set[str | None] = field(default_factory=set)


class PoolMachine(RuleBasedStateMachine):
    """Drive a pool and model servers together."""

    @initialize(
        kind=st.sampled_from(KINDS),
        told=st.booleans(),
        connections=st.integers(1, 3),
        active=st.integers(1, 3),
        warm=st.booleans(),
        timed=st.booleans(),
        routes=st.booleans(),
        eager=st.booleans(),
        down=st.booleans(),
    )
    def start(
        self,
        kind: str,
        told: bool,
        connections: int,
        active: int,
        warm: bool,
        timed: bool,
        routes: bool,
        eager: bool,
        down: bool,
    ) -> None:
        self.kind = kind
        self.eager = eager  # does the actions after each event
        self.down = down  # in the end no connection can be made
        self.has_lanes = kind == "lanes"
        self.max_active = active
        known = True if kind == "refuses lanes" else self.has_lanes if told else None
        self.pool = Pool(
            PoolOptions(
                max_connections=connections,
                max_queued=30,
                min_idle=1 if warm else 0,
                close_idle_after=20.0,
                max_age=MAX_AGE,
                backoff=Backoff(max_retries=2, max_delay=5.0),
            ),
            has_lanes=known,
            max_active=active,
            queue_timeout=30.0 if timed else None,
            draw=lambda: 0.5,
        )
        self.routes = ["x", "y", "z"] if routes else [None]
        self.now = 0.0
        self.servers: dict[PoolConnection, Server] = {}
        self.requests: list[PoolRequest] = []
        self.delayed: dict[PoolRequest, float] = {}
        self.told: dict[PoolRequest, Exception] = {}
        self.sent: dict[PoolRequest, Sent] = {}
        self.steered: list[Steered] = []
        self.stored: set[str] = set()
        self.unstored: set[str] = set()
        self.known: list[str] = []  # ids of responses that a sender may continue, the latest last
        self.calls: dict[str, frozenset[str]] = {}
        self.count = 0

    # The senders.

    @rule(
        stream_id=LANE, parent=RESPONSE, stores=st.booleans(), route=st.integers(0, 2), history=st.booleans(), own=LANE
    )
    def submit(
        self, stream_id: str | None, parent: int, stores: bool, route: int, history: bool, own: str | None
    ) -> None:
        known = [None, "resp_foreign", *self.known[-4:]]
        self.add(
            PoolRequest(
                stream_id=stream_id,
                parent_id=known[parent % len(known)],
                stores=stores,
                route=self.routes[route % len(self.routes)],
                has_history=history and own == "a",
                answered_calls=frozenset() if own == "b" else None,
            )
        )

    @rule(stream_id=LANE, parent=RESPONSE)
    def go_on(self, stream_id: str | None, parent: int) -> None:
        """Continue an unstored response: the hard case."""
        ids = [response_id for response_id in self.known if response_id in self.unstored][-3:]
        if ids:
            lane = self.pool.lane_of(ids[parent % len(ids)])
            route = self.routes[0] if lane is None else lane.connection.route
            self.add(PoolRequest(stream_id=stream_id, parent_id=ids[parent % len(ids)], stores=False, route=route))

    def add(self, request: PoolRequest) -> None:
        self.pool.submit(request, self.now)
        self.requests.append(request)

    @precondition(lambda self: self.pool.queued)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(self.pool.waiting()))
        self.pool.withdraw(request)
        assert request.state is PoolRequestState.ENDED

    @precondition(lambda self: any(not sent.written for sent in self.sent.values()))
    @rule(data=st.data())
    def take_back(self, data: st.DataObject) -> None:
        sent = data.draw(st.sampled_from([sent for sent in self.sent.values() if not sent.written]))
        self.end(sent)
        self.pool.unsent(sent.request, self.now)

    @rule(count=st.integers(0, 1), route=st.integers(0, 2))
    def prewarm(self, count: int, route: int) -> None:
        self.pool.prewarm(count, self.routes[route % len(self.routes)])

    @rule(seconds=st.sampled_from([0.1, 1.0, 7.0, 30.0, MAX_AGE / 10, MAX_AGE / 3]))
    def time_passes(self, seconds: float) -> None:
        end = self.now + seconds
        while (deadline := self.pool.deadline(self.now)) is not None and deadline < end:
            self.now = deadline
            self.act()
        self.now = end

    # Connections.

    def connecting(self) -> list[PoolConnection]:
        return [
            connection for connection in self.pool.connections if connection.state is PoolConnectionState.CONNECTING
        ]

    def up(self) -> list[PoolConnection]:
        return [
            connection
            for connection in self.pool.connections
            if connection.state in (PoolConnectionState.OPEN, PoolConnectionState.DRAINING)
        ]

    @precondition(lambda self: self.connecting())
    @rule(data=st.data())
    def connect(self, data: st.DataObject) -> None:
        self.open(data.draw(st.sampled_from(self.connecting())))

    def open(self, connection: PoolConnection) -> None:
        self.pool.connection_opened(connection, self.now)
        self.servers[connection] = Server()

    @precondition(lambda self: self.connecting())
    @rule(data=st.data(), error=st.sampled_from(ERRORS))
    def fail_to_connect(self, data: st.DataObject, error: Callable[[], Exception | None]) -> None:
        self.pool.connection_ended(data.draw(st.sampled_from(self.connecting())), error(), self.now)

    @precondition(lambda self: self.up())
    @rule(data=st.data(), ours=st.booleans(), silent=st.booleans())
    def lose(self, data: st.DataObject, ours: bool, silent: bool) -> None:
        connection = data.draw(st.sampled_from(self.up()))
        self.pool.connection_ended(connection, None if ours else LOST, self.now)
        for sent in [sent for sent in self.sent.values() if sent.lane.connection is connection]:
            self.end(sent)
            if not sent.written:
                self.pool.requeue(sent.request, self.now)
            elif not silent:
                self.pool.finished(sent.request, self.now)
        for steer in [steer for steer in self.steered if steer.lane.connection is connection]:
            self.steered.remove(steer)
            self.pool.steer_ended(steer.lane, self.now)

    # Requests at the server.

    def end(self, sent: Sent) -> None:
        del self.sent[sent.request]

    def running(self, *, began: bool) -> list[Sent]:
        return [sent for sent in self.sent.values() if sent.written and (sent.response_id is not None) is began]

    @precondition(lambda self: any(not sent.written for sent in self.sent.values()))
    @rule()
    def write(self) -> None:
        sent = next(sent for sent in self.sent.values() if not sent.written)
        sent.written = True
        request, lane, server = sent.request, sent.lane, self.servers[sent.lane.connection]
        beside = [other for other in self.running(began=True) + self.running(began=False) if other is not sent]
        beside = [other for other in beside if other.lane.connection is lane.connection]
        if self.kind == "refuses lanes" and beside:
            self.refuse(sent, has_lanes=False)
            return
        server.names.add(lane.wire_name)
        if len(server.names - {None}) > NAMES - 1 and self.has_lanes:  # it accepts one name less than promised
            server.names.discard(lane.wire_name)
            self.refuse(sent, full=True)
            return
        lanes = [lane.wire_name] if self.has_lanes else list(server.cached)
        parent = None if request.sends_history else request.parent_id
        if parent in self.unstored and parent not in server.cached.values():
            assert self.kind == "refuses lanes", "a response is continued that the server cannot know"
            self.pool.began(request, None)
            self.pool.forget(parent or "")
            self.end(sent)
            self.pool.finished(request, self.now)
            return
        dropped = {server.cached.pop(lane, None) for lane in lanes}
        forks = [other for other in self.sent.values() if other is not sent and other.parent_lane is not None]
        needed = {other.request.parent_id for other in forks}
        assert self.kind == "refuses lanes" or not dropped & needed, "a fork needs it"

    def refuse(self, sent: Sent, *, has_lanes: bool = True, full: bool = False, delay: float = 0.0) -> None:
        self.end(sent)
        self.pool.began(sent.request, None)
        if not has_lanes:
            self.pool.has_lanes = False
        self.pool.requeue(sent.request, self.now, delay)
        if delay:
            self.delayed[sent.request] = self.now + delay
        if full:
            self.pool.lane_refused(sent.lane)

    @precondition(lambda self: self.running(began=False))
    @rule(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        self.began(data.draw(st.sampled_from(self.running(began=False))))

    def began(self, sent: Sent) -> None:
        self.count += 1
        sent.response_id = f"resp_{self.count}"
        self.known.append(sent.response_id)
        (self.stored if sent.request.stores else self.unstored).add(sent.response_id)
        if self.pool.has_lanes is None:
            self.pool.has_lanes = self.has_lanes
        self.pool.began(sent.request, sent.response_id)
        assert self.pool.lane_of(sent.response_id) is sent.lane

    @precondition(lambda self: self.running(began=True))
    @rule(data=st.data())
    def progress(self, data: st.DataObject) -> None:
        sent = data.draw(st.sampled_from(self.running(began=True)))
        sent.parent_lane = None
        self.pool.in_progress(sent.request)

    @precondition(lambda self: self.running(began=True))
    @rule(data=st.data(), calls=st.booleans())
    def finish(self, data: st.DataObject, calls: bool) -> None:
        self.complete(data.draw(st.sampled_from(self.running(began=True))), calls)

    def keep(self, lane: PoolLane, response_id: str) -> None:
        server = self.servers[lane.connection]
        if not self.has_lanes:
            server.cached.clear()
        server.cached[lane.wire_name] = response_id

    def complete(self, sent: Sent, calls: bool = False) -> None:
        assert sent.response_id is not None
        self.end(sent)
        self.keep(sent.lane, sent.response_id)
        open_calls = frozenset({"call"}) if calls else frozenset()
        self.calls[sent.response_id] = open_calls
        self.pool.finished(sent.request, self.now, response_id=sent.response_id, open_calls=open_calls)

    @precondition(lambda self: any(sent.written for sent in self.sent.values()))
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        sent = data.draw(st.sampled_from([sent for sent in self.sent.values() if sent.written]))
        self.end(sent)
        self.pool.finished(sent.request, self.now)

    @precondition(lambda self: self.running(began=False))
    @rule(data=st.data(), how=st.sampled_from(["limit", "limit with a hint", "busy"]))
    def refuse_for_now(self, data: st.DataObject, how: str) -> None:
        sent = data.draw(st.sampled_from(self.running(began=False)))
        if how == "busy":
            self.refuse(sent, delay=3.0)
        else:
            self.pool.rate_limit.limited(
                self.now,
                self.pool.active,
                5.0 if how == "limit with a hint" else None,
                hits_when_sent=self.pool.rate_limit.hits,
            )
            self.refuse(sent)

    @rule(steps=st.integers(1, 8))
    def all_goes_well(self, steps: int) -> None:
        for _ in range(steps):
            self.act()
            if not self.work():
                return

    def work(self) -> bool:
        """Let the server do its next step; return whether there was one."""
        if self.connecting():
            self.open(self.connecting()[0])
        elif any(not sent.written for sent in self.sent.values()):
            self.write()
        elif self.running(began=False):
            self.began(self.running(began=False)[0])
        elif self.running(began=True):
            self.complete(self.running(began=True)[0])
        elif self.steered:
            self.end_steer(self.steered[0])
        else:
            return False
        return True

    # Steers.

    @precondition(lambda self: self.running(began=True))
    @rule(data=st.data())
    def steer(self, data: st.DataObject) -> None:
        lane = data.draw(st.sampled_from(self.running(began=True))).lane
        self.steered.append(Steered(lane, lane.response_is_stored))
        self.pool.steered(lane)

    def may_follow(self) -> list[Steered]:
        busy = {sent.lane for sent in self.sent.values()} | {sent.parent_lane for sent in self.sent.values()}
        busy |= {steer.lane for steer in self.steered if steer.response_id is not None}
        return [steer for steer in self.steered if steer.response_id is None and steer.lane not in busy]

    @precondition(lambda self: self.may_follow())
    @rule(data=st.data())
    def follow(self, data: st.DataObject) -> None:
        steer = data.draw(st.sampled_from(self.may_follow()))
        self.count += 1
        steer.response_id = f"resp_{self.count}"
        self.known.append(steer.response_id)
        (self.stored if steer.stores else self.unstored).add(steer.response_id)
        self.pool.successor_began(steer.lane, steer.response_id, stores=steer.stores)
        server = self.servers[steer.lane.connection]
        for lane in [steer.lane.wire_name] if self.has_lanes else list(server.cached):
            server.cached.pop(lane, None)

    @precondition(lambda self: self.steered)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        self.end_steer(data.draw(st.sampled_from(self.steered)))

    def end_steer(self, steer: Steered) -> None:
        self.steered.remove(steer)
        if steer.response_id is not None:
            self.keep(steer.lane, steer.response_id)
            self.pool.hold(steer.lane, steer.response_id, stores=steer.stores)
        self.pool.steer_ended(steer.lane, self.now)

    # The actions of the pool: a real client does them after every event, this machine also after several.

    @rule()
    def act(self) -> None:
        for action in self.pool.next_actions(self.now):
            self.do(action)
        assert not self.pool.next_actions(self.now), "an action was returned twice"
        deadline = self.pool.deadline(self.now)
        assert deadline is None or deadline > self.now, "a deadline that has passed"

    def do(self, action: Any) -> None:
        if isinstance(action, FailRequest):
            self.fails(action.request, action.error)
        elif isinstance(action, CloseConnection):
            assert action.connection.state is PoolConnectionState.GONE
            assert all(sent.lane.connection is not action.connection for sent in self.sent.values())
            assert all(steer.lane.connection is not action.connection for steer in self.steered)
        elif isinstance(action, OpenConnection):
            assert action.connection in self.pool.connections
        else:
            self.sends(action)

    def fails(self, request: PoolRequest, error: Exception) -> None:
        assert request.state is PoolRequestState.ENDED
        assert request not in self.told
        assert request not in self.sent
        self.told[request] = error
        if isinstance(error, QueueTimeoutError):
            assert request.deadline is not None
            assert request.deadline <= self.now
        elif isinstance(error, PreviousResponseLostError):
            assert not request.has_history
            assert request.parent_id not in self.stored
        elif isinstance(error, QueueFullError):
            assert len(self.requests) > 30
            assert all(other.number < request.number for other in self.pool.waiting()), "a younger request may wait"
        elif isinstance(error, InvalidRequestError):
            assert self.calls[request.parent_id or ""] > (request.answered_calls or frozenset())
        else:
            assert not [
                connection
                for connection in self.up()
                if connection.route == request.route and connection.state is PoolConnectionState.OPEN
            ]
        if isinstance(error, (ConnectFailedError, ConnectionLostError)):
            assert error.stream_id == request.stream_id

    def sends(self, action: SendRequest) -> None:
        request = action.request
        lane = request.lane
        assert request.state is PoolRequestState.RUNNING
        assert lane is not None
        assert lane.connection in self.up()
        assert lane.connection.lanes[lane.wire_name] is lane
        assert request.route in (None, lane.connection.route)
        assert all(lane is not sent.lane for sent in self.sent.values()), "two on a lane"
        assert all(lane is not steer.lane for steer in self.steered), "a lane where a response may follow"
        self.sent[request] = Sent(request, lane, parent_lane=request.parent_lane)
        # Requests with a name run in order, one at a time.
        older = [other for other in self.requests if other.number < request.number]
        if request.stream_id is not None:
            assert all(other.state is PoolRequestState.ENDED for other in older if other.stream_id == request.stream_id)
        # Requests without parent and name are sent in the order in which they came.
        if request.parent_id is request.stream_id is None:
            for other in self.pool.waiting():
                is_plain = other.parent_id is other.stream_id is None and other.route == request.route
                assert not is_plain or other.number > request.number or self.delayed.get(other, 0.0) > self.now

    # What must hold.

    @invariant()
    def actions_follow(self) -> None:
        if hasattr(self, "pool") and self.eager:
            self.act()

    @invariant()
    def limits_hold(self) -> None:
        if not hasattr(self, "pool"):
            return
        pool = self.pool
        assert sum(connection.is_live for connection in pool.connections) <= pool.options.max_connections
        for connection in pool.connections:
            running = [sent for sent in self.sent.values() if sent.lane.connection is connection]
            assert connection.active == len(running) == len(list(connection.running()))
            assert connection.active <= (
                self.max_active if pool.has_lanes is not False or self.kind != "no lanes" else 1
            )
            assert len(connection.lanes.keys() - {None}) <= NAMES
            assert connection.open_steers == sum(steer.lane.connection is connection for steer in self.steered)
        assert pool.active == len(self.sent)
        assert pool.queued == sum(request.state is PoolRequestState.WAITING for request in self.requests)

    @invariant()
    def the_index_agrees_with_a_look_at_all_connections(self) -> None:
        if not hasattr(self, "pool"):
            return
        connections, index = self.pool._connections, self.pool._connections._index
        all_of_them = connections.all
        for state in PoolConnectionState:
            assert index.in_state(state) == sum(connection.state is state for connection in all_of_them)
        assert index.live == sum(connection.is_live for connection in all_of_them)
        assert index.active == sum(connection.active for connection in all_of_them)
        for route in self.routes:
            on_route = [connection for connection in all_of_them if connection.route == route]
            assert index.live_on(route) == sum(connection.is_live for connection in on_route)
            connecting = [connection.state is PoolConnectionState.CONNECTING for connection in on_route]
            assert index.connecting_on(route) == sum(connecting)
            losses = {
                connection: connection.loss(has_lanes=self.pool.has_lanes)
                for connection in on_route
                if connections.accepts_new(connection)
            }
            fullest = max((one.active for one, loses in losses.items() if loses is False), default=None)
            found = index.fullest_without_loss(route)
            assert fullest == (None if found is None else found.active)
            longest = min((one.idle_since for one, loses in losses.items() if loses), default=None)
            found = index.longest_idle_with_loss(route)
            assert longest == (None if found is None else found.idle_since)
        assert index.first_change == min(map(connections._next_change, all_of_them), default=math.inf)

    @invariant()
    def nothing_is_left_of_ended_requests(self) -> None:
        if not hasattr(self, "pool"):
            return
        locations, queue = self.pool._router.locations, self.pool._queue
        for response_id, lane in locations._lanes.items():
            held = None if lane.held is None else lane.held.response_id
            assert response_id in (lane.running_response_id, held)
            assert lane.connection in self.pool.connections
        waiting = set(self.pool.waiting())
        lanes = [lane for connection in self.pool.connections for lane in connection.lanes.values()]
        heaps = [
            queue._delayed,
            *queue.by_route.values(),
            *(connection.waiting_forks for connection in self.pool.connections),
            *(lane.continuations_of_held for lane in lanes),
            *(lane.continuations_of_running for lane in lanes),
        ]
        in_heaps = [request for heap in heaps for request in heap]
        assert len(in_heaps) == len(set(in_heaps))
        assert set(in_heaps) <= waiting
        assert all(request.heap is heap for heap in heaps for request in heap)
        assert set(queue._deadlines) == {request for request in waiting if request.deadline is not None}
        for lane in lanes:
            for fork in lane.forks:
                assert fork.parent_lane is lane
                assert fork.state in (PoolRequestState.WAITING, PoolRequestState.RUNNING)

    def teardown(self) -> None:
        if not hasattr(self, "pool"):
            return
        latest = self.now + MAX_WAIT
        for _ in range(2000):
            self.act()
            self.limits_hold()
            self.nothing_is_left_of_ended_requests()
            if self.down and self.connecting():
                self.pool.connection_ended(self.connecting()[0], ConnectFailedError("down"), self.now)
                continue
            if self.work():
                continue
            if self.pool.queued:
                deadline = self.pool.deadline(self.now)
                assert deadline is not None, "a request waits for nothing"
                self.now = deadline
                assert self.now < latest, "a request waits for too long"
            else:
                break
        assert not self.pool.queued
        assert not self.pool._queue.by_route
        assert not self.pool._queue._lane_order._lanes
        assert all(request.state is PoolRequestState.ENDED for request in self.requests)


@pytest.mark.hypothesis  # its own `runTest` hides that this is a property test
class TestPoolMachine(PoolMachine.TestCase):  # type: ignore[valid-type, misc]
    """The machine, with so few names for lanes that they run out."""

    settings = settings(max_examples=examples(200), stateful_step_count=60)

    def runTest(self) -> None:
        with patch("rxresponses.pool.lanes.MAX_NAMED_LANES", NAMES):
            super().runTest()
