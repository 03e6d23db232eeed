"""Where the continuations of a pool run: beside their parent_ids, anywhere, or nowhere."""

from __future__ import annotations

import pytest

from rxresponses.errors import (
    InvalidRequestError,
    PreviousResponseLostError,
    QueueTimeoutError,
)
from rxresponses.pool.lanes import PoolRequestState

from .driver import LOST, Driver, connection_of


class TestContinuations:
    def test_a_continuation_runs_on_the_lane_that_holds_its_parent(self) -> None:
        driver = Driver()
        parent_ids = [driver.unstored() for _ in range(3)]
        for parent_id in parent_ids:
            lane = driver.pool.lane_of(parent_id)
            assert driver.submit(parent_id=parent_id, stores=False).lane is lane

    def test_it_waits_for_room_on_that_connection(self) -> None:
        driver = Driver(max_active=1)
        parent_id = driver.unstored()
        other = driver.submit()
        request = driver.submit(parent_id=parent_id, stores=False)
        driver.submit()
        assert request.state is PoolRequestState.WAITING
        driver.finish(other)
        assert connection_of(request) is driver.opened[0]

    def test_no_other_conversation_takes_the_lane_that_it_waits_for(self) -> None:
        """While there are other lanes, the lane whose response a request waits to continue stays for that request."""
        driver = Driver(max_active=1, max_connections=1)
        parent_ids = [driver.unstored() for _ in range(32)]
        running, older = driver.burst(2)
        request = driver.submit(parent_id=parent_ids[1], stores=False)
        driver.finish(running)
        assert driver.sent[-1] is older
        assert driver.pool.is_lost(parent_ids[0])
        assert not driver.pool.is_lost(parent_ids[1])
        driver.finish(older)
        assert driver.sent[-1] is request

    def test_it_waits_while_its_parent_runs(self) -> None:
        driver = Driver()
        parent = driver.submit(stores=False)
        parent_id = driver.begin(parent)
        continuation = driver.submit(parent_id=parent_id, stores=False)
        assert driver.pool.waiting() == [continuation]
        lane = parent.lane
        driver.finish(parent)
        assert continuation.lane is lane
        assert continuation.state is PoolRequestState.RUNNING

    def test_it_fails_if_its_parent_fails(self) -> None:
        driver = Driver()
        parent = driver.submit(stores=False)
        continuation = driver.submit(parent_id=driver.begin(parent), stores=False)
        driver.fail(parent)
        driver.error(continuation, PreviousResponseLostError)

    def test_a_stored_parent_is_continued_on_its_lane(self) -> None:
        driver = Driver()
        parent_ids = [driver.done() for _ in range(3)]
        lane = driver.pool.lane_of(parent_ids[1])
        assert driver.submit(parent_id=parent_ids[1]).lane is lane

    def test_a_stored_parent_is_continued_elsewhere_if_its_connection_has_no_room(self) -> None:
        driver = Driver(max_active=1, max_connections=2)
        parent_id = driver.done()
        other = driver.submit()
        request = driver.submit(parent_id=parent_id)
        assert connection_of(request) is not connection_of(other)

    def test_a_stored_parent_is_continued_elsewhere_if_an_older_request_takes_the_room(self) -> None:
        driver = Driver(max_active=1, max_connections=2)
        parent_id = driver.done()
        older, request = driver.queue(), driver.queue(parent_id=parent_id)
        driver.act()
        assert connection_of(older) is not connection_of(request)

    def test_a_stored_parent_has_any_number_of_continuations_at_once(self) -> None:
        driver = Driver()
        parent_id = driver.done()
        requests = driver.burst(3, parent_id=parent_id)
        assert [request.state for request in requests] == [PoolRequestState.RUNNING] * 3

    def test_scenario_23_a_stored_parent_is_continued_elsewhere_if_its_connection_is_lost(self) -> None:
        driver = Driver()
        parent_id = driver.done()
        driver.end(driver.connection)
        request = driver.submit(parent_id=parent_id, stores=False)
        assert request.state is PoolRequestState.RUNNING
        assert not request.sends_history

    def test_scenario_32_a_continuation_of_a_lost_response_fails_unsent(self) -> None:
        driver = Driver()
        parent_id = driver.unstored()
        driver.end(driver.connection)
        request = driver.submit("a", parent_id=parent_id, stores=False)
        error = driver.error(request, PreviousResponseLostError)
        assert request not in driver.sent
        assert (error.previous_response_id, error.stream_id, error.delivery) == (parent_id, "a", "not_sent")
        assert "send the whole history" in str(error)
        assert driver.is_quiet()

    def test_scenario_32_also_if_the_continuation_itself_is_stored(self) -> None:
        driver = Driver()
        parent_id = driver.unstored()
        driver.end(driver.connection)
        driver.error(driver.submit(parent_id=parent_id, stores=True), PreviousResponseLostError)

    def test_scenario_32_continuations_that_wait_fail_with_the_connection(self) -> None:
        driver = Driver(max_active=1, max_connections=1)
        parent_id = driver.unstored()
        running = driver.submit()
        request = driver.submit(parent_id=parent_id, stores=False)
        fork = driver.submit("b", parent_id=parent_id, stores=False)
        continuation = driver.submit(parent_id=driver.begin(running), stores=True)
        driver.end(driver.connection)
        driver.error(request, PreviousResponseLostError)
        driver.error(fork, PreviousResponseLostError)
        assert driver.sent[-1] is continuation  # its parent is stored
        driver.finish(continuation)
        assert driver.is_quiet()

    def test_scenario_31_with_a_history_it_runs_anywhere(self) -> None:
        driver = Driver()
        parent_id = driver.unstored()
        driver.end(driver.connection)
        request = driver.submit(parent_id=parent_id, stores=False, has_history=True)
        assert request.sends_history
        assert request.state is PoolRequestState.RUNNING

    def test_scenario_31_a_parent_that_the_server_does_not_know_is_lost(self) -> None:
        driver = Driver()
        parent_id = driver.done()
        request = driver.submit(parent_id=parent_id, has_history=True)
        driver.pool.forget(parent_id)
        driver.refuse(request)
        assert request.sends_history
        assert driver.sent == [driver.sent[0], request, request]
        driver.error(driver.submit(parent_id=parent_id), PreviousResponseLostError)

    def test_scenario_31_continuations_that_wait_for_such_a_parent_fail(self) -> None:
        driver = Driver(max_active=1, max_connections=1)
        parent_id = driver.unstored()
        other = driver.submit()
        request = driver.submit(parent_id=parent_id, stores=False)
        driver.pool.forget(parent_id)
        driver.finish(other)
        driver.error(request, PreviousResponseLostError)

    def test_an_unknown_id_is_sent_if_the_continuation_is_stored(self) -> None:
        driver = Driver()
        assert driver.submit(parent_id="foreign").state is PoolRequestState.RUNNING
        driver.error(driver.submit(parent_id="foreign", stores=False), PreviousResponseLostError)

    def test_scenario_33_a_failure_on_its_lane_loses_the_parent(self) -> None:
        driver = Driver()
        parent_id = driver.unstored()
        driver.fail(driver.submit(parent_id=parent_id, stores=False))
        assert driver.pool.is_lost(parent_id)

    def test_an_unsent_continuation_loses_nothing(self) -> None:
        driver = Driver()
        parent_id = driver.unstored("a")
        lane = driver.pool.lane_of(parent_id)
        request = driver.submit("a", parent_id=parent_id, stores=False)
        assert request.lane is lane
        behind = driver.submit("a", parent_id=parent_id, stores=False)
        driver.pool.unsent(request, driver.now)
        driver.act()
        assert driver.sent[1:] == [request, behind]
        assert behind.lane is lane
        assert driver.pool.active == 1

    def test_an_unsent_request_of_another_conversation_loses_nothing(self) -> None:
        driver = Driver(has_lanes=False, max_connections=1)
        parent_id = driver.unstored()
        driver.pool.unsent(driver.submit(), driver.now)
        assert not driver.pool.is_lost(parent_id)

    def test_a_sent_continuation_without_an_answer_loses_the_parent(self) -> None:
        driver = Driver()
        parent_id = driver.unstored()
        driver.pool.finished(driver.submit(parent_id=parent_id, stores=False), driver.now)
        assert driver.pool.is_lost(parent_id)

    def test_an_unsent_continuation_on_a_lost_connection_loses_the_parent(self) -> None:
        driver = Driver()
        parent_id = driver.unstored()
        request = driver.submit(parent_id=parent_id, stores=False)
        driver.pool.connection_ended(driver.connection, LOST, driver.now)
        driver.pool.began(request, "late")
        assert driver.pool.lane_of("late") is None
        driver.pool.unsent(request, driver.now)
        driver.pool.unsent(request, driver.now)  # twice does nothing
        assert driver.pool.is_lost(parent_id)
        assert driver.pool.lane_of(parent_id) is None
        assert driver.is_quiet()


class TestFunctionCalls:
    def test_scenario_35_a_continuation_needs_an_output_for_each_call(self) -> None:
        driver = Driver()
        parent_id = driver.finish(driver.submit(), open_calls=frozenset({"one", "two"}))
        request = driver.submit(parent_id=parent_id, answered_calls=frozenset({"two", "other"}))
        error = driver.error(request, InvalidRequestError)
        assert error.field == "input"
        assert "one" in str(error)
        assert "two" not in str(error)
        complete = driver.submit(parent_id=parent_id, answered_calls=frozenset({"one", "two"}))
        assert complete.state is PoolRequestState.RUNNING

    def test_scenario_35_also_after_it_has_waited_for_its_parent(self) -> None:
        driver = Driver()
        running = driver.submit(stores=False)
        parent_id = driver.begin(running)
        request = driver.submit(parent_id=parent_id, stores=False, answered_calls=frozenset())
        driver.finish(running, open_calls=frozenset({"one"}))
        driver.error(request, InvalidRequestError)
        assert not driver.pool.is_lost(parent_id)

    def test_unknown_outputs_are_left_to_the_server(self) -> None:
        driver = Driver()
        parent_id = driver.finish(driver.submit(), open_calls=frozenset({"one"}))
        assert driver.submit(parent_id=parent_id).state is PoolRequestState.RUNNING


class TestForks:
    def test_scenario_34_the_lane_of_the_parent_waits_until_the_fork_is_in_progress(self) -> None:
        driver = Driver()
        parent_id = driver.unstored("a")
        fork = driver.submit("b", parent_id=parent_id, stores=False)
        same_lane = driver.submit("a", parent_id=parent_id, stores=False)
        assert connection_of(fork) is driver.connection
        assert fork.lane is not driver.pool.lane_of(parent_id)
        assert driver.pool.waiting() == [same_lane]
        driver.begin(fork)
        assert driver.pool.waiting() == [same_lane]
        driver.pool.in_progress(fork)
        driver.act()
        assert same_lane.state is PoolRequestState.RUNNING

    def test_scenario_34_the_order_of_requests_that_come_together_does_not_matter(self) -> None:
        driver = Driver()
        parent_id = driver.unstored("a")
        same_lane = driver.queue("a", parent_id=parent_id, stores=False)
        fork = driver.queue("b", parent_id=parent_id, stores=False)
        driver.act()
        assert driver.sent[1:] == [fork]
        driver.pool.in_progress(fork)
        driver.act()
        assert driver.sent[2:] == [same_lane]

    def test_scenario_34_a_second_continuation_without_stream_id_is_a_fork(self) -> None:
        driver = Driver()
        parent_id = driver.unstored()
        first, second, third = driver.burst(3, parent_id=parent_id, stores=False)
        assert driver.sent[1:] == [second, third]
        for fork in (second, third):
            driver.finish(fork)
        assert driver.sent[-1] is first

    def test_scenario_34_forks_of_a_stored_response_do_not_block_its_lane(self) -> None:
        driver = Driver()
        parent_id = driver.done("a")
        fork = driver.submit("b", parent_id=parent_id)
        assert fork.parent_lane is None
        assert driver.submit("a", parent_id=parent_id).state is PoolRequestState.RUNNING

    @pytest.mark.parametrize("end", ["fails", "is withdrawn", "is complete", "times out"])
    def test_scenario_34_the_lane_of_the_parent_runs_on_when_the_fork(self, end: str) -> None:
        driver = Driver(max_active=2, max_connections=1, queue_timeout=60.0)
        parent_id = driver.unstored("a")
        others = driver.burst(2 if end in ("is withdrawn", "times out") else 1)
        fork = driver.submit("b", parent_id=parent_id, stores=False)
        driver.wait(1.0)
        same_lane = driver.submit("a", parent_id=parent_id, stores=False)
        if end in ("fails", "is complete"):
            driver.finish(others[0])
        assert driver.pool.waiting()[-1] is same_lane
        if end == "fails":
            driver.fail(fork)
        elif end == "is withdrawn":
            driver.withdraw(fork)
        elif end == "is complete":
            driver.finish(fork)
        else:
            driver.wait(59.5)
            driver.error(fork, QueueTimeoutError)
        for other in others:
            driver.finish(other)
        assert same_lane.state is PoolRequestState.RUNNING
        assert not driver.failed or end == "times out"

    def test_scenario_33_a_failed_fork_keeps_the_parent(self) -> None:
        driver = Driver()
        parent_id = driver.unstored("a")
        lane = driver.pool.lane_of(parent_id)
        driver.fail(driver.submit("b", parent_id=parent_id, stores=False))
        assert driver.submit("a", parent_id=parent_id, stores=False).lane is lane

    def test_scenario_34_a_requeued_fork_still_needs_its_parent(self) -> None:
        driver = Driver()
        parent_id = driver.unstored("a")
        fork = driver.submit("b", parent_id=parent_id, stores=False)
        driver.refuse(fork, delay=5.0)
        same_lane = driver.submit("a", parent_id=parent_id, stores=False)
        driver.wait(5.0)
        assert driver.sent[-1] is fork
        driver.pool.in_progress(fork)
        driver.act()
        assert driver.sent[-1] is same_lane

    def test_a_requeued_fork_fails_if_the_connection_is_lost(self) -> None:
        driver = Driver()
        parent_id = driver.unstored("a")
        fork = driver.submit("b", parent_id=parent_id, stores=False)
        driver.refuse(fork, delay=5.0)
        driver.end(driver.connection)
        assert fork.parent_lane is None
        driver.wait(5.0)
        driver.error(fork, PreviousResponseLostError)

    def test_forks_run_no_later_than_the_continuation_that_waits_for_them(self) -> None:
        driver = Driver(max_active=1, max_connections=1)
        parent_id = driver.unstored("a")
        running = driver.submit()
        same_lane = driver.submit("a", parent_id=parent_id, stores=False)
        others = driver.burst(3)
        fork = driver.submit("b", parent_id=parent_id, stores=False)
        driver.finish(running)
        assert driver.sent[-1] is fork
        driver.finish(fork)
        assert driver.sent[-1] is same_lane
        assert driver.pool.waiting() == others

    def test_if_each_lane_waits_for_its_fork_one_fork_runs_on_the_lane_of_its_parent(self) -> None:
        """Or else no fork would ever run."""
        driver = Driver(max_connections=1)
        parent_ids = [driver.unstored(f"lane {number}") for number in range(32)]
        driver.rate_limit(1000, 10.0)
        forks = [driver.submit("fork" + parent_id, parent_id=parent_id, stores=False) for parent_id in parent_ids]
        second = driver.submit("another one", parent_id=parent_ids[0], stores=False)
        assert driver.pool.queued == 33
        driver.wait(10.0)
        assert driver.sent[32:] == forks[:1]  # the other forks run once that has ended, as there is a lane then
        driver.error(second, PreviousResponseLostError)
        for fork in forks:
            driver.finish(fork)
        assert driver.is_quiet()

    def test_a_hundred_forks_of_one_response(self) -> None:
        driver = Driver(max_connections=1)
        parent_id = driver.unstored()
        forks = [driver.queue(f"fork {number}", parent_id=parent_id, stores=False) for number in range(100)]
        same_lane = driver.queue(parent_id=parent_id, stores=False)
        driver.act()
        assert driver.pool.active == 16
        for fork in forks:
            driver.finish(fork)
        driver.finish(same_lane)
        assert not driver.failed
        assert driver.is_quiet()


class TestRoutes:
    def test_a_connection_serves_one_route(self) -> None:
        driver = Driver()
        here, there = driver.submit(route="x"), driver.submit(route="y")
        assert (connection_of(here).route, connection_of(there).route) == ("x", "y")

    def test_each_route_gets_its_turn(self) -> None:
        driver = Driver(max_connections=1, max_active=1)
        requests = [driver.submit(route=route) for route in "xyzxyz"]
        while not driver.is_quiet():
            for request in requests:
                if request.state is PoolRequestState.RUNNING:
                    driver.finish(request)
        assert not driver.failed
        assert driver.sent[:3] == requests[:3]
        assert sum(connection.is_live for connection in driver.pool.connections) <= 1

    def test_the_route_that_has_waited_longest_gets_the_next_connection(self) -> None:
        driver = Driver(max_connections=1, connects=False)
        blocking = driver.submit(route="z")
        early, other, late = (driver.submit(route=route) for route in "xyx")
        driver.withdraw(blocking)
        driver.withdraw(early)
        driver.end(driver.connection)
        assert driver.connection.route == "y"
        driver.connect(driver.connection)
        assert driver.sent == [other]
        assert driver.pool.waiting() == [late]

    def test_a_connection_that_retires_for_another_route_loses_its_responses(self) -> None:
        driver = Driver(max_connections=1)
        parent_id = driver.done(route="x", stores=False)
        assert driver.submit(route="y").state is PoolRequestState.RUNNING
        assert driver.pool.is_lost(parent_id)
        assert driver.closed == driver.opened[:1]

    def test_a_continuation_on_another_route_needs_a_stored_parent(self) -> None:
        driver = Driver()
        parent_id = driver.done(route="x")
        assert connection_of(driver.submit(parent_id=parent_id, route="y")).route == "y"
        lost = driver.done(route="x", stores=False)
        driver.error(driver.submit(parent_id=lost, route="y"), PreviousResponseLostError)

    def test_a_continuation_without_a_route_runs_beside_its_parent(self) -> None:
        driver = Driver()
        parent_id = driver.done(route="x", stores=False)
        assert connection_of(driver.submit(parent_id=parent_id, stores=False)).route == "x"
