"""The connections of a client: when they are opened, replaced, let go, and tried again."""

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


def opening(
    connections: PoolConnections, route: Route = None, count: float = 1, now: float = 0.0
) -> list[PoolConnection]:
    """Ask for connections for so many requests; return those that are opened for them."""
    connections.open_for(route, count, now)
    return taken(connections, OpenConnection)


def taken(connections: PoolConnections, kind: type[OpenConnection | CloseConnection]) -> list[PoolConnection]:
    found = [action.connection for action in connections.actions if isinstance(action, kind)]
    connections.actions = [action for action in connections.actions if not isinstance(action, kind)]
    return found


def opened(connections: PoolConnections, route: Route = None, now: float = 0.0) -> PoolConnection:
    """Have one more connection open, which does something."""
    (connection,) = opening(connections, route, now=now)
    connections.opened(connection, now)
    hold(connection, None)
    connection.active = 1
    return connection


def idle(connections: PoolConnections, route: Route = None, now: float = 0.0) -> PoolConnection:
    """Have one more connection open, which does nothing."""
    connection = opened(connections, route, now)
    connection.active = 0
    return connection


def hold(connection: PoolConnection, held: HeldResponse | None) -> None:
    lane = connection.free_lane(has_lanes=True)
    assert lane is not None
    connection.mark_used(lane)
    lane.held = held


def look(connections: PoolConnections, now: float) -> list[PoolConnection]:
    expired = connections.retire(now)
    connections.close_drained()
    return expired


class TestOpening:
    def test_one_for_as_many_as_run_on_it(self) -> None:
        assert len(opening(make(), count=16)) == 1
        assert len(opening(make(), count=17)) == 2
        assert len(opening(make(has_lanes=False), count=3)) == 3
        assert opening(make(), count=0) == []

    def test_those_that_come_count(self) -> None:
        connections = make()
        opening(connections, count=16)
        assert opening(connections, count=16) == []
        assert len(opening(connections, count=17)) == 1

    def test_no_more_than_may_be(self) -> None:
        assert len(opening(make(max_connections=3), count=1000)) == 3

    def test_few_until_it_is_known_whether_there_are_lanes(self) -> None:
        connections = make(has_lanes=None)
        assert len(opening(connections, count=1000)) == 4
        assert len(opening(make(has_lanes=None, max_connections=2), count=1000)) == 2
        connections.has_lanes = True
        assert len(opening(connections, count=1000)) == 4

    def test_a_route_has_its_own(self) -> None:
        connections = make()
        assert [connection.route for connection in opening(connections, "x") + opening(connections, "y")] == ["x", "y"]

    def test_the_first_of_a_route_has_another_one_go(self) -> None:
        connections = make(max_connections=2)
        busy, idling = opened(connections, "x"), idle(connections, "x")
        (new,) = opening(connections, "y", count=100)
        assert new.route == "y"
        assert idling.state is PoolConnectionState.DRAINING
        assert busy.state is PoolConnectionState.OPEN
        assert look(connections, 0.0) == [idling]  # nothing keeps it any longer
        assert taken(connections, CloseConnection) == [idling]

    def test_the_one_that_loses_nothing_goes_first(self) -> None:
        connections = make(max_connections=2)
        precious, busy = idle(connections, "x"), opened(connections, "x")
        hold(precious, HeldResponse("r", False))
        opening(connections, "y")
        assert busy.state is PoolConnectionState.DRAINING

    def test_one_that_has_an_heir_is_on_its_way_already(self) -> None:
        connections = make(max_connections=1)
        old = opened(connections, "x")
        look(connections, 0.96 * HOUR)
        assert taken(connections, OpenConnection) == [old.replacement]
        assert opening(connections, "y") == []  # until the heir is open

    def test_nobody_goes_for_a_second_one(self) -> None:
        connections = make(max_connections=2)
        opened(connections, "x")
        opened(connections, "y")
        assert opening(connections, "y") == []
        assert all(connection.state is PoolConnectionState.OPEN for connection in connections.all)

    def test_one_that_connects_cannot_go(self) -> None:
        connections = make(max_connections=1)
        opening(connections, "x")
        assert opening(connections, "y") == []


class TestWarm:
    def test_min_idle_is_for_the_first_route(self) -> None:
        connections = make(min_idle=2)
        connections.open_min(0.0)
        assert taken(connections, OpenConnection) == []
        connections.route_used("x")
        connections.route_used("y")
        connections.open_min(0.0)
        assert [connection.route for connection in taken(connections, OpenConnection)] == ["x", "x"]
        connections.open_min(0.0)
        assert taken(connections, OpenConnection) == []

    def test_without_min_idle_nothing_is_kept(self) -> None:
        connections = make()
        connections.route_used(None)
        connections.open_min(0.0)
        assert connections.all == []

    def test_prewarm_is_not_held_back_by_not_knowing_lanes(self) -> None:
        connections = make(has_lanes=None)
        connections.prewarm(6, None)
        connections.open_min(0.0)
        assert len(taken(connections, OpenConnection)) == 6

    def test_no_more_than_may_be(self) -> None:
        connections = make(max_connections=3)
        connections.prewarm(2, "x")
        connections.prewarm(3, "y")
        connections.open_min(0.0)
        assert [connection.route for connection in taken(connections, OpenConnection)] == ["x", "x", "y"]

    def test_with_less_to_keep_the_others_go(self) -> None:
        connections = make()
        connections.prewarm(2, None)
        connections.open_min(0.0)
        for connection in taken(connections, OpenConnection):
            connections.opened(connection, 0.0)
        look(connections, 2 * 60.0)
        assert connections.deadline(2 * 60.0) == 0.95 * HOUR
        connections.prewarm(1, None)
        look(connections, 2 * 60.0)
        assert len(taken(connections, CloseConnection)) == 1

    def test_a_refusal_for_good_ends_it_until_somebody_asks_again(self) -> None:
        connections = make()
        connections.prewarm(2, None)
        connections.open_min(0.0)
        for connection in taken(connections, OpenConnection):
            connections.ended(connection, UNAUTHORIZED, 0.0)
        connections.open_min(HOUR)
        assert taken(connections, OpenConnection) == []
        assert connections.retry_at(0.0, {None}) is None
        connections.prewarm(1, None)
        connections.open_min(HOUR)
        assert len(taken(connections, OpenConnection)) == 1

    def test_after_other_failures_it_is_tried_on(self) -> None:
        connections = make(min_idle=1)
        connections.route_used(None)
        now = 0.0
        for _ in range(20):
            connections.open_min(now)
            (connection,) = taken(connections, OpenConnection)
            assert connections.ended(connection, REFUSED, now) == (now > 0)  # but those who wait are told
            assert connections.connect_error() is REFUSED
            retry_at = connections.retry_at(now, ())
            assert retry_at is not None
            assert now < retry_at <= now + 4.0
            now = retry_at
        connections.open_min(now)
        (connection,) = taken(connections, OpenConnection)
        connections.opened(connection, now)
        assert connections.connect_error() is None
        assert connections.retry_at(now, ()) is None

    def test_without_it_a_failure_for_the_last_time_ends_it(self) -> None:
        connections = make()
        for now in (0.0, 100.0):
            connections.open_for(None, 1, now)
            (connection,) = taken(connections, OpenConnection)
            assert connections.ended(connection, REFUSED, now) == (now > 0)
        assert connections.retry_at(100.0, {None}) == 102.0
        assert connections.connect_error() is REFUSED


class TestIdle:
    def test_what_idles_goes(self) -> None:
        connections = make()
        connection = idle(connections)
        assert connections.deadline(0.0) == 60.0
        look(connections, 59.9)
        assert connections.accepts_new(connection)
        look(connections, 60.0)
        assert taken(connections, CloseConnection) == [connection]
        assert connection.state is PoolConnectionState.GONE
        assert connections.all == []
        assert connections.deadline(60.0) == math.inf

    def test_not_while_it_works(self) -> None:
        connections = make()
        connection = opened(connections)
        look(connections, 100.0)
        assert connection.state is PoolConnectionState.OPEN
        assert connections.deadline(100.0) == 0.95 * HOUR

    def test_not_while_it_holds_what_is_not_stored(self) -> None:
        connections = make()
        connection = idle(connections)
        hold(connection, HeldResponse("r", False))
        look(connections, 100.0)
        assert connection.state is PoolConnectionState.OPEN
        assert connections.deadline(100.0) == 0.95 * HOUR


class TestAge:
    def test_scenario_25_new_work_goes_to_the_next_one_without_a_gap(self) -> None:
        connections = make(max_connections=1)
        old = opened(connections)
        assert connections.deadline(0.0) == 0.95 * HOUR
        look(connections, 0.95 * HOUR)
        assert connections.accepts_new(old)
        assert taken(connections, OpenConnection) == [old.replacement]
        assert old.replacement is not None
        assert connections.deadline(0.95 * HOUR) == HOUR
        look(connections, 0.96 * HOUR)
        assert taken(connections, OpenConnection) == []
        connections.opened(old.replacement, 0.96 * HOUR)
        look(connections, 0.96 * HOUR)
        assert old.state is PoolConnectionState.DRAINING
        assert not connections.accepts_new(old)
        assert taken(connections, CloseConnection) == []
        old.active = 0
        look(connections, 0.97 * HOUR)
        assert taken(connections, CloseConnection) == [old]

    def test_jitter_makes_it_earlier(self) -> None:
        connections = make(draw=0.5, age_jitter=0.2)
        opened(connections)
        assert connections.deadline(0.0) == pytest.approx(0.85 * HOUR)

    def test_another_one_with_room_will_do(self) -> None:
        connections = make()
        old, _ = opened(connections), opened(connections, now=0.5 * HOUR)
        look(connections, 0.96 * HOUR)
        assert old.state is PoolConnectionState.DRAINING
        assert taken(connections, OpenConnection) == []

    @pytest.mark.parametrize("why", ["full", "old", "on another route"])
    def test_another_one_will_not_do(self, why: str) -> None:
        connections = make()
        old = opened(connections)
        other = opened(connections, "x" if why == "on another route" else None, now=0.0 if why == "old" else 0.5 * HOUR)
        other.active = 16 if why == "full" else 1
        look(connections, 0.96 * HOUR)
        assert old.state is PoolConnectionState.OPEN
        assert old.replacement in taken(connections, OpenConnection)

    def test_one_that_nobody_uses_needs_none(self) -> None:
        connections = make(close_idle_after=2 * HOUR)
        old = idle(connections)
        look(connections, 0.96 * HOUR)
        assert taken(connections, OpenConnection) == []
        assert taken(connections, CloseConnection) == [old]

    def test_one_that_is_to_be_kept_warm_does(self) -> None:
        connections = make(min_idle=1)
        connections.route_used(None)
        old = idle(connections)
        look(connections, 0.96 * HOUR)
        assert taken(connections, OpenConnection) == [old.replacement]

    def test_one_that_holds_what_is_not_stored_stays_until_it_expires(self) -> None:
        connections = make()
        old = idle(connections)
        hold(old, HeldResponse("r", False))
        look(connections, 0.96 * HOUR)
        assert old.state is PoolConnectionState.DRAINING
        assert old.accepts_continuations
        assert connections.deadline(0.96 * HOUR) == HOUR
        assert look(connections, HOUR) == [old]
        assert not old.accepts_continuations
        assert look(connections, HOUR) == []  # once
        assert connections.deadline(HOUR) == math.inf  # who holds it drops it now

    def test_at_its_end_it_goes_whatever_comes_after_it(self) -> None:
        connections = make()
        old = opened(connections)
        assert look(connections, HOUR) == [old]
        assert old.state is PoolConnectionState.DRAINING

    def test_an_heir_that_fails_is_tried_again(self) -> None:
        connections = make(max_connections=1)
        old = opened(connections)
        now = 0.96 * HOUR
        look(connections, now)
        (heir,) = taken(connections, OpenConnection)
        assert not old.is_live
        connections.ended(heir, REFUSED, now)
        assert old.is_live
        look(connections, now)
        assert taken(connections, OpenConnection) == []
        assert connections.retry_at(now, ()) == now + 1.0
        look(connections, now + 1.0)
        assert len(taken(connections, OpenConnection)) == 1

    def test_an_heir_that_is_refused_for_good_is_not(self) -> None:
        connections = make(max_connections=1)
        old = opened(connections)
        now = 0.96 * HOUR
        look(connections, now)
        (heir,) = taken(connections, OpenConnection)
        assert not connections.ended(heir, UNAUTHORIZED, now)
        look(connections, now)
        assert taken(connections, OpenConnection) == []
        assert connections.retry_at(now, ()) is None
        assert connections.deadline(now) == HOUR
        assert connections.accepts_new(old)


class TestFailing:
    def test_scenario_28_after_a_failure_it_waits_and_tries_one_at_a_time(self) -> None:
        connections = make()
        first, second = opening(connections, count=32)
        assert not connections.ended(first, REFUSED, 0.0)
        assert not connections.ended(second, REFUSED, 0.0)
        assert opening(connections, count=32, now=0.9) == []
        assert connections.retry_at(0.9, {None}) == 1.0
        assert len(opening(connections, count=32, now=1.0)) == 1
        assert opening(connections, count=32, now=1.0) == []
        assert connections.retry_at(1.0, {None}) is None

    def test_scenario_28_how_long_it_waits_is_left_to_chance_in_part(self) -> None:
        waits = []
        for draw in (0.0, 0.5, 1.0):
            connections = make(draw=draw, backoff=Backoff(initial=1.0, jitter=0.5))
            connections.ended(opening(connections)[0], REFUSED, 0.0)
            waits.append(connections.retry_at(0.0, {None}))
        assert waits == [1.0, 0.75, 0.5]

    def test_scenario_28_and_after_so_many_it_gives_up(self) -> None:
        connections = make()
        assert not connections.ended(opening(connections)[0], REFUSED, 0.0)
        assert connections.ended(opening(connections, now=1.0)[0], REFUSED, 1.0)

    def test_not_while_another_one_is_open(self) -> None:
        connections = make(has_lanes=False)
        opened(connections)
        for now in range(0, 1000, 100):
            assert not connections.ended(opening(connections, now=now)[0], REFUSED, now)

    @pytest.mark.parametrize("status", [401, 403, 404, 426])
    def test_scenario_28_what_is_refused_for_good_is_not_tried_again(self, status: int) -> None:
        connections = make()
        assert connections.ended(opening(connections)[0], ConnectFailedError("no", status=status), 0.0)
        assert connections.retry_at(0.0, {None}) is None
        assert len(opening(connections)) == 1  # for whoever asks after that

    def test_nor_while_another_one_is_open(self) -> None:
        connections = make(has_lanes=False)
        connection = opened(connections)
        assert not connections.ended(opening(connections)[0], UNAUTHORIZED, 0.0)
        connections.skip_wait(None)
        assert opening(connections, now=HOUR) == []
        connections.ended(connection, None, HOUR)
        assert len(opening(connections, now=HOUR)) == 1

    def test_scenario_28_retry_after_is_obeyed(self) -> None:
        connections = make()
        connections.ended(
            opening(connections)[0], ConnectFailedError("no", status=503, headers={"Retry-After": "30"}), 0.0
        )
        connections.skip_wait(None)
        assert opening(connections, now=29.9) == []
        assert connections.retry_at(0.0, {None}) == 30.0
        assert len(opening(connections, now=30.0)) == 1

    def test_scenario_28_a_retry_after_that_is_too_long_is_a_no(self) -> None:
        connections = make()
        error = ConnectFailedError("no", status=503, headers={"Retry-After": "601"})
        assert connections.ended(opening(connections)[0], error, 0.0)
        assert "asks to wait 601 s" in str(error)
        assert connections.retry_at(0.0, {None}) is None
        connections.skip_wait(None)
        assert len(opening(connections, now=1.0)) == 1  # somebody asks anew

    def test_whoever_has_not_waited_yet_does_not(self) -> None:
        connections = make()
        connections.ended(opening(connections)[0], REFUSED, 0.0)
        connections.skip_wait(None)
        assert len(opening(connections)) == 1

    def test_so_it_is_when_connections_are_to_be_kept(self) -> None:
        connections = make()
        connections.ended(opening(connections)[0], REFUSED, 0.0)
        connections.prewarm(1, None)
        connections.open_min(0.0)
        assert len(taken(connections, OpenConnection)) == 1

    def test_one_that_opens_ends_the_wait(self) -> None:
        connections = make()
        first, second = opening(connections, count=32)
        connections.ended(first, REFUSED, 0.0)
        connections.opened(second, 0.5)
        assert connections.retry_at(0.5, {None}) is None
        assert len(opening(connections, now=0.5)) == 1

    def test_routes_fail_by_themselves(self) -> None:
        connections = make()
        connections.ended(opening(connections, "x")[0], REFUSED, 0.0)
        assert len(opening(connections, "y")) == 1
        assert opening(connections, "x") == []
        assert connections.retry_at(0.0, {"y"}) is None
        assert connections.retry_at(0.0, {"x", "y"}) == 1.0

    def test_of_so_many_routes_the_failures_are_remembered(self) -> None:
        connections = make()
        for number in range(_REMEMBERED + 1):
            connections.ended(opening(connections, str(number))[0], REFUSED, 0.0)
        assert len(opening(connections, "0")) == 1
        assert opening(connections, "1") == []

    def test_one_that_is_lost_before_it_was_of_use_has_failed(self) -> None:
        connections = make()
        assert not connections.ended(opened(connections), LOST, 0.0)
        assert opening(connections) == []
        assert connections.ended(opened(connections, now=1.0), LOST, 1.0)

    def test_scenario_56_one_that_worked_is_replaced_at_once(self) -> None:
        connections = make()
        connection = opened(connections)
        connections.worked(connection)
        assert not connections.ended(connection, LOST, 0.0)
        assert len(opening(connections)) == 1

    def test_one_that_stood_for_long_has_not_failed_either(self) -> None:
        connections = make()
        for now in range(0, 1000, 100):
            assert not connections.ended(opened(connections, now=now), LOST, now + 4.0)
        assert len(opening(connections, now=1000)) == 1

    def test_nor_has_one_that_this_side_closed(self) -> None:
        connections = make()
        for _ in range(5):
            assert not connections.ended(opened(connections), None, 0.0)
        assert len(opening(connections)) == 1

    def test_one_event_makes_up_for_all_failures(self) -> None:
        connections = make()
        connections.ended(opening(connections)[0], REFUSED, 0.0)
        connection = opened(connections, now=1.0)
        connections.worked(connection)
        assert len(opening(connections, count=100, now=1.0)) == 7


class TestPlaceFor:
    def test_none_without_a_connection(self) -> None:
        assert make().lane_for(None) is None

    def test_the_fullest_one_with_room(self) -> None:
        connections = make()
        emptier, fuller, full = opened(connections), opened(connections), opened(connections)
        emptier.active, fuller.active, full.active = 1, 15, 16
        lane = connections.lane_for(None)
        assert lane is not None
        assert lane.connection is fuller

    def test_one_of_its_route(self) -> None:
        connections = make()
        opened(connections, "x")
        assert connections.lane_for("y") is None

    def test_lanes_where_a_response_may_follow_count(self) -> None:
        connections = make(has_lanes=None)
        connection = idle(connections)
        lane = next(iter(connection.lanes.values()))
        lane.open_steers = connection.open_steers = 1
        assert connections.lane_for(None) is None

    def test_nobody_loses_a_response_while_another_connection_may_come(self) -> None:
        connections = make(has_lanes=False, max_connections=2)
        hold(idle(connections), HeldResponse("r", False))
        assert connections.lane_for(None) is None
        (coming,) = opening(connections)
        assert connections.lane_for(None) is None
        connections.opened(coming, 0.0)
        lane = connections.lane_for(None)
        assert lane is not None
        assert lane.connection is coming

    def test_at_the_limit_it_is_the_one_used_longest_ago(self) -> None:
        connections = make(has_lanes=False, max_connections=2)
        both = [idle(connections), idle(connections)]
        for connection, since in zip(both, (7.0, 3.0), strict=True):
            hold(connection, HeldResponse("r", False))
            connection.idle_since = since
        lane = connections.lane_for(None)
        assert lane is not None
        assert lane.connection is both[1]

    @pytest.mark.parametrize("error", [UNAUTHORIZED, REFUSED])
    def test_so_it_is_when_no_connection_can_be_made(self, error: Exception) -> None:
        connections = make(has_lanes=False)
        hold(idle(connections), HeldResponse("r", False))
        for now in (0.0, 100.0):
            for connection in opening(connections, now=now):
                assert connections.lane_for(None) is None
                connections.ended(connection, error, now)
        assert connections.lane_for(None) is not None


def test_what_drains_waits_for_its_forks() -> None:
    connections = make()
    connection = idle(connections)
    connection.waiting_forks.add(PoolRequest(), 1)
    look(connections, 0.97 * HOUR)
    assert [one for one in connections.all if one.state is not PoolConnectionState.CONNECTING] == [connection]
