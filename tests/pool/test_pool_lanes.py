"""The lanes of a pool: order by `stream_id`, names on the wire, servers without lanes, steers."""

from __future__ import annotations

from rxresponses.errors import (
    PreviousResponseLostError,
)
from rxresponses.pool.lanes import PoolRequestState

from .driver import Driver, connection_of, wire_name_of


class TestLanes:
    def test_scenario_13_a_named_lane_runs_in_order(self) -> None:
        driver = Driver()
        requests = driver.burst(3, stream_id="a")
        for number, request in enumerate(requests):
            assert driver.sent == requests[: number + 1]
            driver.finish(request)
        assert driver.is_quiet()

    def test_scenario_13_the_next_request_of_a_lane_runs_after_a_failure(self) -> None:
        driver = Driver()
        first, second = driver.burst(2, stream_id="a")
        driver.fail(first)
        assert driver.sent == [first, second]

    def test_other_lanes_do_not_wait(self) -> None:
        driver = Driver()
        driver.submit("a")
        waiting = driver.submit("a")
        other, unnamed = driver.submit("b"), driver.submit()
        assert driver.pool.waiting() == [waiting]
        assert {other, unnamed} <= set(driver.sent)

    def test_a_long_lane_of_failing_requests_is_no_deep_recursion(self) -> None:
        driver = Driver()
        running = driver.submit("a")
        requests = driver.burst(5000, stream_id="a", parent_id="gone", stores=False)
        driver.finish(running)
        assert list(driver.failed) == requests
        assert driver.is_quiet()

    def test_scenario_15_a_hundred_conversations_use_32_names(self) -> None:
        driver = Driver(max_connections=1)
        for number in range(100):
            driver.done(f"conversation {number}")
        assert len(driver.connection.lanes) == 32

    def test_scenario_15_a_server_that_takes_fewer_names(self) -> None:
        driver = Driver(max_connections=1)
        first, second, third = driver.burst(3)
        refused = third.lane
        assert refused is not None
        driver.pool.began(third, None)
        driver.pool.requeue(third, driver.now)
        driver.pool.lane_refused(refused)
        driver.act()
        assert third.state is PoolRequestState.WAITING
        driver.finish(first)
        assert wire_name_of(third) == "lane-1"
        assert len(driver.connection.lanes) == 2
        assert second.state is PoolRequestState.RUNNING


class TestServersWithoutLanes:
    def test_a_connection_runs_one_request(self) -> None:
        driver = Driver(has_lanes=False, max_connections=3)
        requests = driver.burst(5)
        assert driver.sent == requests[:3]
        assert len({connection_of(request) for request in requests[:3]}) == 3
        assert {wire_name_of(request) for request in requests[:3]} == {None}

    def test_a_burst_opens_four_connections_until_it_is_known(self) -> None:
        driver = Driver(has_lanes=None)
        requests = driver.burst(100)
        assert driver.sent == requests[:4]
        driver.pool.has_lanes = True
        driver.act()
        assert len(driver.sent) == 100

    def test_known_after_the_first_event(self) -> None:
        driver = Driver(has_lanes=None)
        requests = driver.burst(100)
        driver.pool.has_lanes = False
        driver.act()
        assert len(driver.sent) == 8
        for request in requests:
            driver.finish(request)
        assert all(len(connection.lanes) == 1 for connection in driver.opened)

    def test_known_while_several_requests_run(self) -> None:
        driver = Driver(max_connections=1)
        first, second, third = driver.burst(3)
        driver.pool.has_lanes = False
        for refused in (second, third):
            driver.refuse(refused)
        assert driver.pool.waiting() == [second, third]
        driver.finish(first)
        assert driver.sent[-1] is second

    def test_a_conversation_keeps_its_connection_while_another_can_be_opened(self) -> None:
        driver = Driver(has_lanes=False, max_connections=2)
        first = driver.unstored()
        second = driver.unstored()
        assert len(driver.opened) == 2
        lanes = {driver.pool.lane_of(first), driver.pool.lane_of(second)}
        assert lanes == {connection.lanes[None] for connection in driver.opened}
        driver.unstored()
        assert driver.pool.is_lost(first)
        assert not driver.pool.is_lost(second)

    def test_known_late_only_the_latest_response_is_held(self) -> None:
        driver = Driver(max_connections=1)
        first, second = driver.unstored(), driver.unstored()
        driver.pool.has_lanes = False
        assert driver.pool.is_lost(first)
        assert not driver.pool.is_lost(second)

    def test_the_next_response_replaces_the_held_one(self) -> None:
        driver = Driver(max_connections=1)
        running = driver.burst(2, stores=False)
        driver.pool.has_lanes = False
        held = [driver.finish(request) for request in running]
        assert [driver.pool.is_lost(response_id) for response_id in held] == [True, False]
        driver.unstored()
        assert driver.pool.is_lost(held[1])

    def test_a_fork_runs_on_the_only_lane_and_the_next_fork_fails(self) -> None:
        driver = Driver(has_lanes=False, max_connections=1)
        parent_id = driver.unstored()
        fork, late = driver.burst(2, parent_id=parent_id, stores=False)
        assert fork.parent_lane is None
        assert driver.sent[-1] is fork
        assert driver.error(late, PreviousResponseLostError).previous_response_id == parent_id

    def test_known_while_a_fork_waits_for_a_lane(self) -> None:
        driver = Driver(max_active=1, max_connections=1)
        parent_id = driver.unstored()
        other = driver.submit()
        fork = driver.submit("b", parent_id=parent_id, stores=False)
        assert fork.parent_lane is not None
        driver.pool.has_lanes = False
        driver.finish(other)
        assert fork.parent_lane is None
        driver.error(fork, PreviousResponseLostError)  # the other request took the only lane

    def test_known_while_a_fork_waits_and_its_lane_is_free(self) -> None:
        driver = Driver()
        parent_id = driver.unstored()
        driver.rate_limit(1, 1.0)
        fork = driver.submit("b", parent_id=parent_id, stores=False)
        lane = fork.parent_lane
        assert lane is not None
        driver.pool.has_lanes = False
        driver.wait(1.0)
        assert driver.sent[-1] is fork
        assert fork.lane is lane


class TestSteers:
    def test_scenario_37_the_lane_is_taken_until_the_steer_has_ended(self) -> None:
        driver = Driver()
        request = driver.submit("a", stores=False)
        steered = driver.begin(request)
        lane = driver.steer(request)
        driver.finish(request)
        late = driver.submit("a", parent_id=steered, stores=False)
        assert driver.pool.waiting() == [late]
        driver.pool.successor_began(lane, "next", stores=False)
        driver.act()
        driver.error(late, PreviousResponseLostError)  # the lane holds its parent no more
        continuation = driver.submit("a", parent_id="next", stores=False)
        assert driver.pool.lane_of("next") is lane
        assert driver.pool.waiting() == [continuation]
        driver.pool.hold(lane, "next", stores=False)
        driver.pool.steer_ended(lane, driver.now)
        driver.act()
        assert continuation.lane is lane
        assert continuation.state is PoolRequestState.RUNNING

    def test_scenario_37_the_connection_stays_open_until_the_steer_has_ended(self) -> None:
        driver = Driver(close_idle_after=10.0)
        request = driver.submit()
        lane = driver.steer(request)
        driver.finish(request)
        driver.wait(100.0)
        assert driver.closed == []
        driver.pool.steer_ended(lane, driver.now)
        driver.wait(9.0)
        assert driver.closed == []
        driver.wait(1.0)
        assert driver.closed == driver.opened

    def test_scenario_37_a_successor_that_fails_is_lost(self) -> None:
        driver = Driver()
        request = driver.submit(stores=False)
        driver.begin(request)
        lane = driver.steer(request)
        driver.steer(request)
        driver.finish(request)
        driver.pool.successor_began(lane, "next", stores=False)
        driver.pool.steer_ended(lane, driver.now)
        assert driver.pool.lane_of("next") is lane  # the other steer may still have this response as its successor
        driver.pool.steer_ended(lane, driver.now)
        assert driver.pool.is_lost("next")

    def test_scenario_37_a_second_successor_replaces_the_first(self) -> None:
        driver = Driver()
        request = driver.submit(stores=False)
        driver.begin(request)
        lane = driver.steer(request)
        driver.steer(request)
        driver.finish(request)
        driver.pool.successor_began(lane, "first", stores=False)
        continuation = driver.submit(parent_id="first", stores=False)
        driver.pool.successor_began(lane, "second", stores=False)
        driver.act()
        driver.error(continuation, PreviousResponseLostError)
        assert driver.pool.lane_of("second") is lane

    def test_scenario_37_a_successor_on_a_lost_connection_is_lost(self) -> None:
        driver = Driver()
        request = driver.submit()
        lane = driver.steer(request)
        driver.end(driver.connection)
        driver.pool.successor_began(lane, "next", stores=False)
        assert driver.pool.lane_of("next") is None
        driver.pool.hold(lane, "next", stores=False)
        driver.pool.steer_ended(lane, driver.now)
        assert driver.pool.lane_of("next") is None
        assert driver.pool.is_lost("next")

    def test_a_successor_beside_a_running_request_is_not_held(self) -> None:
        driver = Driver()
        request = driver.submit()
        lane = request.lane
        assert lane is not None
        driver.pool.successor_began(lane, "odd", stores=True)
        driver.pool.hold(lane, "odd", stores=True)
        assert driver.pool.lane_of("odd") is None
        assert not driver.pool.is_lost("odd")
