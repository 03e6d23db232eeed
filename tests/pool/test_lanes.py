"""The records of lanes and connections: which lane is free, and what is lost with it."""

from __future__ import annotations

import pytest

from rxresponses.pool.lanes import HeldResponse, PoolConnection, PoolConnectionState, PoolLane, PoolRequest
from rxresponses.protocol.lanes import MAX_NAMED_LANES
from tests.support.calls import count_calls

STORED, UNSTORED = HeldResponse("stored", True), HeldResponse("not stored", False)


@pytest.fixture
def connection() -> PoolConnection:
    connection = PoolConnection(None)
    connection.state = PoolConnectionState.OPEN
    return connection


def use(connection: PoolConnection, held: HeldResponse | None = None, *, has_lanes: bool | None = True) -> PoolLane:
    """Use a lane for a conversation, and have it hold a response."""
    lane = connection.free_lane(has_lanes=has_lanes)
    assert lane is not None
    connection.mark_used(lane)
    lane.held = held
    return lane


def run(lane: PoolLane) -> PoolRequest:
    """Have a request run on a lane."""
    lane.running = PoolRequest()
    lane.connection.active += 1
    return lane.running


class TestLane:
    def test_an_unused_lane_is_free(self, connection: PoolConnection) -> None:
        lane = PoolLane(connection, "lane-1")
        assert not lane.is_taken
        assert lane.is_idle
        assert lane.is_free

    def test_taken_while_a_request_runs_or_a_successor_may_follow(self, connection: PoolConnection) -> None:
        lane = PoolLane(connection, "lane-1")
        run(lane)
        assert lane.is_taken
        assert not lane.is_idle
        lane.running, lane.open_steers = None, 1
        assert lane.is_taken
        assert not lane.is_free

    def test_not_idle_while_forks_need_the_held_response(self, connection: PoolConnection) -> None:
        lane = PoolLane(connection, "lane-1")
        lane.forks[PoolRequest()] = None
        assert not lane.is_taken
        assert not lane.is_idle
        assert not lane.is_free

    def test_not_free_while_a_continuation_waits(self, connection: PoolConnection) -> None:
        lane = PoolLane(connection, "lane-1")
        lane.continuations_of_held.add(PoolRequest(), 1)
        assert lane.is_idle
        assert not lane.is_free

    @pytest.mark.parametrize(("held", "unstored"), [(None, False), (STORED, False), (UNSTORED, True)])
    def test_holds_unstored(self, connection: PoolConnection, held: HeldResponse | None, unstored: bool) -> None:
        lane = use(connection, held)
        assert lane.holds_unstored is unstored
        assert connection.holds_unstored is unstored

    def test_response_is_stored(self, connection: PoolConnection) -> None:
        lane = use(connection, UNSTORED)
        assert not lane.response_is_stored
        lane.held = STORED
        assert lane.response_is_stored
        run(lane)
        lane.running_stores = False
        assert not lane.response_is_stored
        lane.running, lane.running_response_id = None, "followed a steer"
        assert not lane.response_is_stored


class TestConnection:
    def test_live_while_it_connects_or_is_open(self) -> None:
        connection = PoolConnection(None)
        assert connection.is_live
        for state, live in [
            (PoolConnectionState.OPEN, True),
            (PoolConnectionState.DRAINING, False),
            (PoolConnectionState.GONE, False),
        ]:
            connection.state = state
            assert connection.is_live is live
        connection.state, connection.replacement = PoolConnectionState.OPEN, PoolConnection(None)
        assert not connection.is_live

    def test_accepts_continuations_until_it_expires(self) -> None:
        connection = PoolConnection(None)
        assert not connection.accepts_continuations
        for state, accepts in [
            (PoolConnectionState.OPEN, True),
            (PoolConnectionState.DRAINING, True),
            (PoolConnectionState.GONE, False),
        ]:
            connection.state = state
            assert connection.accepts_continuations is accepts
        connection.state, connection.is_expired = PoolConnectionState.DRAINING, True
        assert not connection.accepts_continuations

    def test_load_counts_each_lane_once(self, connection: PoolConnection) -> None:
        first, second, third = (use(connection, STORED) for _ in range(3))
        requests = {run(first), run(second)}
        assert connection.load == 2
        first.open_steers, third.open_steers, connection.open_steers = 2, 1, 3
        assert connection.load == 3
        assert set(connection.running()) == requests

    def test_busy_while_a_continuation_waits(self, connection: PoolConnection) -> None:
        lane = use(connection, UNSTORED)
        assert not connection.is_busy
        connection.awaited_lanes[lane] = None
        assert not connection.is_busy  # a lane that had a continuation
        lane.continuations_of_held.add(PoolRequest(), 1)
        assert connection.is_busy

    @pytest.mark.parametrize("name", ["active", "open_steers"])
    def test_busy_while_a_request_runs_or_a_successor_may_follow(self, connection: PoolConnection, name: str) -> None:
        setattr(connection, name, 1)
        assert connection.is_busy

    def test_busy_while_a_fork_waits(self, connection: PoolConnection) -> None:
        connection.waiting_forks.add(PoolRequest(), 1)
        assert connection.is_busy


class TestFreeLane:
    def test_free_lane_uses_up_no_name(self, connection: PoolConnection) -> None:
        assert connection.free_lane(has_lanes=True) is not None
        assert connection.lanes == {}

    @pytest.mark.parametrize("held", [STORED, UNSTORED])
    def test_free_lane_costs_the_same_with_many_lanes(self, connection: PoolConnection, held: HeldResponse) -> None:
        def calls() -> int:
            return count_calls(lambda: connection.free_lane(has_lanes=True))

        lanes = [PoolLane(connection, f"lane-{number}") for number in range(MAX_NAMED_LANES)]
        for lane in lanes:
            connection.mark_used(lane)
            lane.held = held
        many = calls()
        connection.lanes = {lane.wire_name: lane for lane in lanes[:1]}
        connection.max_named_lanes = 1
        assert many == calls()

    def test_names_are_numbered(self, connection: PoolConnection) -> None:
        assert [run(use(connection)) and list(connection.lanes)[-1] for _ in range(3)] == ["lane-1", "lane-2", "lane-3"]

    def test_a_lane_without_a_response_comes_first(self, connection: PoolConnection) -> None:
        use(connection, STORED)
        empty = use(connection)
        assert connection.free_lane(has_lanes=True) is empty

    def test_a_new_lane_comes_before_one_with_a_response(self, connection: PoolConnection) -> None:
        use(connection, STORED)
        lane = connection.free_lane(has_lanes=True)
        assert lane is not None
        assert lane.wire_name == "lane-2"

    def test_scenario_15_never_a_33rd_name(self, connection: PoolConnection) -> None:
        for number in range(100):
            lane = use(connection, STORED)
            assert lane.wire_name == f"lane-{number % MAX_NAMED_LANES + 1}"  # the least recently used lane
        assert len(connection.lanes) == MAX_NAMED_LANES

    def test_a_lane_with_an_unstored_response_comes_last(self, connection: PoolConnection) -> None:
        for _ in range(MAX_NAMED_LANES):
            use(connection, UNSTORED)
        first, second = list(connection.lanes.values())[:2]
        second.held = STORED
        assert connection.free_lane(has_lanes=True) is second
        run(second)
        assert connection.free_lane(has_lanes=True) is first

    def test_none_if_all_are_taken(self, connection: PoolConnection) -> None:
        for _ in range(MAX_NAMED_LANES):
            run(use(connection))
        assert connection.free_lane(has_lanes=True) is None

    def test_the_default_lane_is_not_for_conversations(self, connection: PoolConnection) -> None:
        default = use(connection, has_lanes=False)
        assert default.wire_name is None
        lane = connection.free_lane(has_lanes=True)
        assert lane is not None
        assert lane.wire_name == "lane-1"

    def test_without_lanes_there_is_one_lane(self, connection: PoolConnection) -> None:
        lane = use(connection, has_lanes=False)
        assert use(connection, has_lanes=False) is lane
        run(lane)
        assert connection.free_lane(has_lanes=False) is None

    def test_without_lanes_the_latest_lane_stays_the_only_one(self, connection: PoolConnection) -> None:
        first, second = use(connection, UNSTORED), use(connection, STORED)
        assert connection.free_lane(has_lanes=False) is second
        assert connection.loss(has_lanes=False) is True
        assert connection.loss(has_lanes=True) is False
        run(first)
        assert connection.free_lane(has_lanes=False) is None
        assert connection.loss(has_lanes=False) is None


class TestRefusedLane:
    def test_no_more_names_are_used(self, connection: PoolConnection) -> None:
        lanes = [use(connection, STORED) for _ in range(3)]
        connection.lane_refused(lanes[-1])
        assert connection.max_named_lanes == len(connection.lanes) == 2
        assert use(connection, STORED) is lanes[0]

    def test_one_name_is_always_tried(self, connection: PoolConnection) -> None:
        lane = use(connection)
        connection.lane_refused(lane)
        connection.lane_refused(lane)
        assert connection.max_named_lanes == 1
        assert use(connection) is not lane

    def test_a_lane_in_use_stays(self, connection: PoolConnection) -> None:
        lane = use(connection)
        run(lane)
        connection.lane_refused(lane)
        assert list(connection.lanes.values()) == [lane]
        assert connection.max_named_lanes == 1
