"""The connections of a pool: when they are opened, replaced, retired, and tried again."""

from __future__ import annotations

import math
from typing import Any

import pytest

from rxresponses.backoff import Backoff
from rxresponses.errors import ConnectFailedError, ConnectionLostError
from rxresponses.options import PoolOptions
from rxresponses.pool.actions import CloseConnection, OpenConnection
from rxresponses.pool.connections import _REMEMBERED, PoolConnections, Route
from rxresponses.pool.lanes import HeldResponse, PoolConnection, PoolConnectionState, PoolRequest

REFUSED = ConnectFailedError("refused", status=503)
UNAUTHORIZED = ConnectFailedError("no", status=401)
LOST = ConnectionLostError("lost", delivery="not_sent")
HOUR = 3600.0


def make(*, has_lanes: bool | None = True, draw: float = 0.0, **options: Any) -> PoolConnections:
    options = {
        "backoff": Backoff(initial=1.0, max_delay=4.0, jitter=0.0, max_retries=1),
        "max_age": HOUR,
        "close_idle_after": 60.0,
        **options,
    }
    return PoolConnections(PoolOptions(**options), has_lanes=has_lanes, draw=lambda: draw)


def open_for(
    connections: PoolConnections, route: Route = None, count: float = 1, now: float = 0.0
) -> list[PoolConnection]:
    """Ask for connections for so many requests; return those that are opened for them."""
    connections.open_for(route, count, now)
    return pop_actions(connections, OpenConnection)


def pop_actions(connections: PoolConnections, kind: type[OpenConnection | CloseConnection]) -> list[PoolConnection]:
    """Return the connections that are to be opened, or closed."""
    found = [action.connection for action in connections.actions if isinstance(action, kind)]
    connections.actions = [action for action in connections.actions if not isinstance(action, kind)]
    return found


def open_busy(connections: PoolConnections, route: Route = None, now: float = 0.0) -> PoolConnection:
    """Have one more connection open, on which a request runs."""
    (connection,) = open_for(connections, route, now=now)
    connections.opened(connection, now)
    hold(connection, None)
    connection.active = 1
    return connection


def open_idle(connections: PoolConnections, route: Route = None, now: float = 0.0) -> PoolConnection:
    """Have one more connection open, on which nothing runs."""
    connection = open_busy(connections, route, now)
    connection.active = 0
    return connection


def hold(connection: PoolConnection, held: HeldResponse | None) -> None:
    """Have a lane of a connection hold a response."""
    lane = connection.free_lane(has_lanes=True)
    assert lane is not None
    connection.mark_used(lane)
    lane.held = held


def retire(connections: PoolConnections, now: float) -> list[PoolConnection]:
    """Retire connections, and close those that have drained; return the expired ones."""
    expired = connections.retire(now)
    connections.close_drained()
    return expired


class TestOpening:
    def test_one_connection_for_sixteen_requests(self) -> None:
        assert len(open_for(make(), count=16)) == 1
        assert len(open_for(make(), count=17)) == 2
        assert len(open_for(make(has_lanes=False), count=3)) == 3
        assert open_for(make(), count=0) == []

    def test_connecting_connections_count(self) -> None:
        connections = make()
        open_for(connections, count=16)
        assert open_for(connections, count=16) == []
        assert len(open_for(connections, count=17)) == 1

    def test_no_more_than_max_connections(self) -> None:
        assert len(open_for(make(max_connections=3), count=1000)) == 3

    def test_four_until_it_is_known_whether_the_server_has_lanes(self) -> None:
        connections = make(has_lanes=None)
        assert len(open_for(connections, count=1000)) == 4
        assert len(open_for(make(has_lanes=None, max_connections=2), count=1000)) == 2
        connections.has_lanes = True
        assert len(open_for(connections, count=1000)) == 4

    def test_each_route_has_its_own(self) -> None:
        connections = make()
        assert [connection.route for connection in open_for(connections, "x") + open_for(connections, "y")] == [
            "x",
            "y",
        ]

    def test_the_first_of_a_route_retires_an_idle_connection(self) -> None:
        connections = make(max_connections=2)
        busy, idling = open_busy(connections, "x"), open_idle(connections, "x")
        (new,) = open_for(connections, "y", count=100)
        assert new.route == "y"
        assert idling.state is PoolConnectionState.DRAINING
        assert busy.state is PoolConnectionState.OPEN
        assert retire(connections, 0.0) == [idling]  # it expires at once
        assert pop_actions(connections, CloseConnection) == [idling]

    def test_a_connection_without_unstored_responses_is_retired_first(self) -> None:
        connections = make(max_connections=2)
        holding, busy = open_idle(connections, "x"), open_busy(connections, "x")
        hold(holding, HeldResponse("r", False))
        open_for(connections, "y")
        assert busy.state is PoolConnectionState.DRAINING

    def test_a_connection_with_a_replacement_is_not_retired_again(self) -> None:
        connections = make(max_connections=1)
        old = open_busy(connections, "x")
        retire(connections, 0.96 * HOUR)
        assert pop_actions(connections, OpenConnection) == [old.replacement]
        assert open_for(connections, "y") == []  # until the replacement is open

    def test_no_connection_is_retired_for_the_second_of_a_route(self) -> None:
        connections = make(max_connections=2)
        open_busy(connections, "x")
        open_busy(connections, "y")
        assert open_for(connections, "y") == []
        assert all(connection.state is PoolConnectionState.OPEN for connection in connections.all)

    def test_a_connecting_connection_is_not_retired(self) -> None:
        connections = make(max_connections=1)
        open_for(connections, "x")
        assert open_for(connections, "y") == []


class TestMinOpen:
    def test_min_idle_is_for_the_first_route(self) -> None:
        connections = make(min_idle=2)
        connections.open_min(0.0)
        assert pop_actions(connections, OpenConnection) == []
        connections.route_used("x")
        connections.route_used("y")
        connections.open_min(0.0)
        assert [connection.route for connection in pop_actions(connections, OpenConnection)] == ["x", "x"]
        connections.open_min(0.0)
        assert pop_actions(connections, OpenConnection) == []

    def test_without_min_idle_none_stays_open(self) -> None:
        connections = make()
        connections.route_used(None)
        connections.open_min(0.0)
        assert connections.all == []

    def test_prewarm_is_not_limited_while_lanes_are_unknown(self) -> None:
        connections = make(has_lanes=None)
        connections.prewarm(6, None)
        connections.open_min(0.0)
        assert len(pop_actions(connections, OpenConnection)) == 6

    def test_no_more_than_max_connections(self) -> None:
        connections = make(max_connections=3)
        connections.prewarm(2, "x")
        connections.prewarm(3, "y")
        connections.open_min(0.0)
        assert [connection.route for connection in pop_actions(connections, OpenConnection)] == ["x", "x", "y"]

    def test_with_a_smaller_prewarm_the_others_are_closed(self) -> None:
        connections = make()
        connections.prewarm(2, None)
        connections.open_min(0.0)
        for connection in pop_actions(connections, OpenConnection):
            connections.opened(connection, 0.0)
        retire(connections, 2 * 60.0)
        assert connections.deadline() == 0.95 * HOUR
        connections.prewarm(1, None)
        retire(connections, 2 * 60.0)
        assert len(pop_actions(connections, CloseConnection)) == 1

    def test_a_final_refusal_stops_it_until_the_next_prewarm(self) -> None:
        connections = make()
        connections.prewarm(2, None)
        connections.open_min(0.0)
        for connection in pop_actions(connections, OpenConnection):
            connections.ended(connection, UNAUTHORIZED, 0.0)
        connections.open_min(HOUR)
        assert pop_actions(connections, OpenConnection) == []
        assert connections.retry_at(0.0, {None}) is None
        connections.prewarm(1, None)
        connections.open_min(HOUR)
        assert len(pop_actions(connections, OpenConnection)) == 1

    def test_after_other_failures_it_tries_on(self) -> None:
        connections = make(min_idle=1)
        connections.route_used(None)
        now = 0.0
        for _ in range(20):
            connections.open_min(now)
            (connection,) = pop_actions(connections, OpenConnection)
            assert connections.ended(connection, REFUSED, now) == (now > 0)  # the requests that wait fail all the same
            assert connections.connect_error() is REFUSED
            retry_at = connections.retry_at(now, ())
            assert retry_at is not None
            assert now < retry_at <= now + 4.0
            now = retry_at
        connections.open_min(now)
        (connection,) = pop_actions(connections, OpenConnection)
        connections.opened(connection, now)
        assert connections.connect_error() is None
        assert connections.retry_at(now, ()) is None

    def test_without_it_requests_fail_after_the_last_retry(self) -> None:
        connections = make()
        for now in (0.0, 100.0):
            connections.open_for(None, 1, now)
            (connection,) = pop_actions(connections, OpenConnection)
            assert connections.ended(connection, REFUSED, now) == (now > 0)
        assert connections.retry_at(100.0, {None}) == 102.0
        assert connections.connect_error() is REFUSED


class TestIdle:
    def test_an_idle_connection_is_closed(self) -> None:
        connections = make()
        connection = open_idle(connections)
        assert connections.deadline() == 60.0
        retire(connections, 59.9)
        assert connections.accepts_new(connection)
        retire(connections, 60.0)
        assert pop_actions(connections, CloseConnection) == [connection]
        assert connection.state is PoolConnectionState.GONE
        assert connections.all == []
        assert connections.deadline() == math.inf

    def test_not_while_a_request_runs(self) -> None:
        connections = make()
        connection = open_busy(connections)
        retire(connections, 100.0)
        assert connection.state is PoolConnectionState.OPEN
        assert connections.deadline() == 0.95 * HOUR

    def test_not_while_it_holds_an_unstored_response(self) -> None:
        connections = make()
        connection = open_idle(connections)
        hold(connection, HeldResponse("r", False))
        retire(connections, 100.0)
        assert connection.state is PoolConnectionState.OPEN
        assert connections.deadline() == 0.95 * HOUR


class TestAge:
    def test_scenario_25_an_old_connection_drains_once_its_replacement_is_open(self) -> None:
        connections = make(max_connections=1)
        old = open_busy(connections)
        assert connections.deadline() == 0.95 * HOUR
        retire(connections, 0.95 * HOUR)
        assert connections.accepts_new(old)
        assert pop_actions(connections, OpenConnection) == [old.replacement]
        assert old.replacement is not None
        assert connections.deadline() == HOUR
        retire(connections, 0.96 * HOUR)
        assert pop_actions(connections, OpenConnection) == []
        connections.opened(old.replacement, 0.96 * HOUR)
        retire(connections, 0.96 * HOUR)
        assert old.state is PoolConnectionState.DRAINING
        assert not connections.accepts_new(old)
        assert pop_actions(connections, CloseConnection) == []
        old.active = 0
        retire(connections, 0.97 * HOUR)
        assert pop_actions(connections, CloseConnection) == [old]

    def test_jitter_replaces_it_earlier(self) -> None:
        connections = make(draw=0.5, age_jitter=0.2)
        open_busy(connections)
        assert connections.deadline() == pytest.approx(0.85 * HOUR)

    def test_another_connection_with_room_is_replacement_enough(self) -> None:
        connections = make()
        old, _ = open_busy(connections), open_busy(connections, now=0.5 * HOUR)
        retire(connections, 0.96 * HOUR)
        assert old.state is PoolConnectionState.DRAINING
        assert pop_actions(connections, OpenConnection) == []

    @pytest.mark.parametrize("why", ["full", "old", "on another route"])
    def test_another_connection_is_no_replacement_if(self, why: str) -> None:
        connections = make()
        old = open_busy(connections)
        other = open_busy(
            connections, "x" if why == "on another route" else None, now=0.0 if why == "old" else 0.5 * HOUR
        )
        other.active = 16 if why == "full" else 1
        retire(connections, 0.96 * HOUR)
        assert old.state is PoolConnectionState.OPEN
        assert old.replacement in pop_actions(connections, OpenConnection)

    def test_an_unused_connection_needs_no_replacement(self) -> None:
        connections = make(close_idle_after=2 * HOUR)
        old = open_idle(connections)
        retire(connections, 0.96 * HOUR)
        assert pop_actions(connections, OpenConnection) == []
        assert pop_actions(connections, CloseConnection) == [old]

    def test_a_connection_of_min_idle_needs_a_replacement(self) -> None:
        connections = make(min_idle=1)
        connections.route_used(None)
        old = open_idle(connections)
        retire(connections, 0.96 * HOUR)
        assert pop_actions(connections, OpenConnection) == [old.replacement]

    def test_a_connection_with_an_unstored_response_drains_until_it_expires(self) -> None:
        connections = make()
        old = open_idle(connections)
        hold(old, HeldResponse("r", False))
        retire(connections, 0.96 * HOUR)
        assert old.state is PoolConnectionState.DRAINING
        assert old.accepts_continuations
        assert connections.deadline() == HOUR
        assert retire(connections, HOUR) == [old]
        assert not old.accepts_continuations
        assert retire(connections, HOUR) == []  # it was returned before
        assert connections.deadline() == math.inf  # the router drops what it holds

    def test_at_max_age_it_drains_without_a_replacement(self) -> None:
        connections = make()
        old = open_busy(connections)
        assert retire(connections, HOUR) == [old]
        assert old.state is PoolConnectionState.DRAINING

    def test_a_replacement_that_fails_is_tried_again(self) -> None:
        connections = make(max_connections=1)
        old = open_busy(connections)
        now = 0.96 * HOUR
        retire(connections, now)
        (replacement,) = pop_actions(connections, OpenConnection)
        assert not old.is_live
        connections.ended(replacement, REFUSED, now)
        assert old.is_live
        retire(connections, now)
        assert pop_actions(connections, OpenConnection) == []
        assert connections.retry_at(now, ()) == now + 1.0
        retire(connections, now + 1.0)
        assert len(pop_actions(connections, OpenConnection)) == 1

    def test_a_replacement_that_is_refused_for_good_is_not_tried_again(self) -> None:
        connections = make(max_connections=1)
        old = open_busy(connections)
        now = 0.96 * HOUR
        retire(connections, now)
        (replacement,) = pop_actions(connections, OpenConnection)
        assert not connections.ended(replacement, UNAUTHORIZED, now)
        retire(connections, now)
        assert pop_actions(connections, OpenConnection) == []
        assert connections.retry_at(now, ()) is None
        assert connections.deadline() == HOUR
        assert connections.accepts_new(old)


class TestFailing:
    def test_scenario_28_after_a_failure_one_connection_at_a_time_is_tried(self) -> None:
        connections = make()
        first, second = open_for(connections, count=32)
        assert not connections.ended(first, REFUSED, 0.0)
        assert not connections.ended(second, REFUSED, 0.0)
        assert open_for(connections, count=32, now=0.9) == []
        assert connections.retry_at(0.9, {None}) == 1.0
        assert len(open_for(connections, count=32, now=1.0)) == 1
        assert open_for(connections, count=32, now=1.0) == []
        assert connections.retry_at(1.0, {None}) is None

    def test_scenario_28_the_wait_has_jitter(self) -> None:
        waits = []
        for draw in (0.0, 0.5, 1.0):
            connections = make(draw=draw, backoff=Backoff(initial=1.0, jitter=0.5))
            connections.ended(open_for(connections)[0], REFUSED, 0.0)
            waits.append(connections.retry_at(0.0, {None}))
        assert waits == [1.0, 0.75, 0.5]

    def test_scenario_28_after_max_retries_requests_fail(self) -> None:
        connections = make()
        assert not connections.ended(open_for(connections)[0], REFUSED, 0.0)
        assert connections.ended(open_for(connections, now=1.0)[0], REFUSED, 1.0)

    def test_requests_do_not_fail_while_another_is_open(self) -> None:
        connections = make(has_lanes=False)
        open_busy(connections)
        for now in range(0, 1000, 100):
            assert not connections.ended(open_for(connections, now=now)[0], REFUSED, now)

    @pytest.mark.parametrize("status", [401, 403, 404, 426])
    def test_scenario_28_after_a_final_refusal_requests_fail_at_once(self, status: int) -> None:
        connections = make()
        assert connections.ended(open_for(connections)[0], ConnectFailedError("no", status=status), 0.0)
        assert connections.retry_at(0.0, {None}) is None
        assert len(open_for(connections)) == 1  # for the next request

    def test_a_final_refusal_does_not_fail_requests_while_another_is_open(self) -> None:
        connections = make(has_lanes=False)
        connection = open_busy(connections)
        assert not connections.ended(open_for(connections)[0], UNAUTHORIZED, 0.0)
        connections.skip_wait(None)
        assert open_for(connections, now=HOUR) == []
        connections.ended(connection, None, HOUR)
        assert len(open_for(connections, now=HOUR)) == 1

    def test_scenario_28_retry_after_is_obeyed(self) -> None:
        connections = make()
        connections.ended(
            open_for(connections)[0], ConnectFailedError("no", status=503, headers={"Retry-After": "30"}), 0.0
        )
        connections.skip_wait(None)
        assert open_for(connections, now=29.9) == []
        assert connections.retry_at(0.0, {None}) == 30.0
        assert len(open_for(connections, now=30.0)) == 1

    def test_scenario_28_a_retry_after_over_the_limit_is_a_final_refusal(self) -> None:
        connections = make()
        error = ConnectFailedError("no", status=503, headers={"Retry-After": "601"})
        assert connections.ended(open_for(connections)[0], error, 0.0)
        assert "asks to wait 601 s" in str(error)
        assert connections.retry_at(0.0, {None}) is None
        connections.skip_wait(None)
        assert len(open_for(connections, now=1.0)) == 1  # for the next request

    def test_a_new_request_skips_the_wait(self) -> None:
        connections = make()
        connections.ended(open_for(connections)[0], REFUSED, 0.0)
        connections.skip_wait(None)
        assert len(open_for(connections)) == 1

    def test_prewarm_skips_the_wait(self) -> None:
        connections = make()
        connections.ended(open_for(connections)[0], REFUSED, 0.0)
        connections.prewarm(1, None)
        connections.open_min(0.0)
        assert len(pop_actions(connections, OpenConnection)) == 1

    def test_an_open_connection_ends_the_wait(self) -> None:
        connections = make()
        first, second = open_for(connections, count=32)
        connections.ended(first, REFUSED, 0.0)
        connections.opened(second, 0.5)
        assert connections.retry_at(0.5, {None}) is None
        assert len(open_for(connections, now=0.5)) == 1

    def test_a_failure_concerns_only_its_route(self) -> None:
        connections = make()
        connections.ended(open_for(connections, "x")[0], REFUSED, 0.0)
        assert len(open_for(connections, "y")) == 1
        assert open_for(connections, "x") == []
        assert connections.retry_at(0.0, {"y"}) is None
        assert connections.retry_at(0.0, {"x", "y"}) == 1.0

    def test_the_failures_of_the_latest_routes_are_remembered(self) -> None:
        connections = make()
        for number in range(_REMEMBERED + 1):
            connections.ended(open_for(connections, str(number))[0], REFUSED, 0.0)
        assert len(open_for(connections, "0")) == 1
        assert open_for(connections, "1") == []

    def test_a_connection_that_is_lost_before_its_first_event_has_failed(self) -> None:
        connections = make()
        assert not connections.ended(open_busy(connections), LOST, 0.0)
        assert open_for(connections) == []
        assert connections.ended(open_busy(connections, now=1.0), LOST, 1.0)

    def test_scenario_56_a_connection_that_is_lost_after_an_event_has_not_failed(self) -> None:
        connections = make()
        connection = open_busy(connections)
        connections.worked(connection)
        assert not connections.ended(connection, LOST, 0.0)
        assert len(open_for(connections)) == 1

    def test_a_connection_that_was_open_for_long_has_not_failed(self) -> None:
        connections = make()
        for now in range(0, 1000, 100):
            assert not connections.ended(open_busy(connections, now=now), LOST, now + 4.0)
        assert len(open_for(connections, now=1000)) == 1

    def test_a_connection_that_this_side_closed_has_not_failed(self) -> None:
        connections = make()
        for _ in range(5):
            assert not connections.ended(open_busy(connections), None, 0.0)
        assert len(open_for(connections)) == 1

    def test_an_event_resets_the_failures(self) -> None:
        connections = make()
        connections.ended(open_for(connections)[0], REFUSED, 0.0)
        connection = open_busy(connections, now=1.0)
        connections.worked(connection)
        assert len(open_for(connections, count=100, now=1.0)) == 7


class TestLaneFor:
    def test_none_without_a_connection(self) -> None:
        assert make().lane_for(None) is None

    def test_the_fullest_connection_with_room(self) -> None:
        connections = make()
        emptier, fuller, full = open_busy(connections), open_busy(connections), open_busy(connections)
        emptier.active, fuller.active, full.active = 1, 15, 16
        lane = connections.lane_for(None)
        assert lane is not None
        assert lane.connection is fuller

    def test_only_connections_of_the_route(self) -> None:
        connections = make()
        open_busy(connections, "x")
        assert connections.lane_for("y") is None

    def test_lanes_with_an_open_steer_are_taken(self) -> None:
        connections = make(has_lanes=None)
        connection = open_idle(connections)
        lane = next(iter(connection.lanes.values()))
        lane.open_steers = connection.open_steers = 1
        assert connections.lane_for(None) is None

    def test_no_unstored_response_is_lost_while_another_connection_can_be_opened(self) -> None:
        connections = make(has_lanes=False, max_connections=2)
        hold(open_idle(connections), HeldResponse("r", False))
        assert connections.lane_for(None) is None
        (second,) = open_for(connections)
        assert connections.lane_for(None) is None
        connections.opened(second, 0.0)
        lane = connections.lane_for(None)
        assert lane is not None
        assert lane.connection is second

    def test_at_max_connections_the_least_recently_used_connection_is_taken(self) -> None:
        connections = make(has_lanes=False, max_connections=2)
        both = [open_idle(connections), open_idle(connections)]
        for connection, since in zip(both, (7.0, 3.0), strict=True):
            hold(connection, HeldResponse("r", False))
            connection.idle_since = since
        lane = connections.lane_for(None)
        assert lane is not None
        assert lane.connection is both[1]

    @pytest.mark.parametrize("error", [UNAUTHORIZED, REFUSED])
    def test_an_unstored_response_is_lost_when_no_connection_can_be_made(self, error: Exception) -> None:
        connections = make(has_lanes=False)
        hold(open_idle(connections), HeldResponse("r", False))
        for now in (0.0, 100.0):
            for connection in open_for(connections, now=now):
                assert connections.lane_for(None) is None
                connections.ended(connection, error, now)
        assert connections.lane_for(None) is not None


def test_a_draining_connection_waits_for_its_forks() -> None:
    connections = make()
    connection = open_idle(connections)
    connection.waiting_forks.add(PoolRequest(), 1)
    retire(connections, 0.97 * HOUR)
    kept = [other for other in connections.all if other.state is not PoolConnectionState.CONNECTING]
    assert kept == [connection]
