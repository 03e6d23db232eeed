"""What becomes of the requests of a pool when connections are replaced, lost, or cannot be made."""

from __future__ import annotations

from rxresponses.errors import (
    ConfigurationError,
    ConnectFailedError,
    PreviousResponseLostError,
)
from rxresponses.pool.lanes import PoolConnectionState, PoolRequestState

from .driver import HOUR, LOST, REFUSED, Driver, connection_of


class TestReplacing:
    def test_scenario_25_an_old_connection_drains_and_its_replacement_takes_new_requests(self) -> None:
        driver = Driver(max_connections=1, max_age=HOUR)
        running = driver.submit()
        driver.wait(HOUR * 0.96)
        old, new = driver.opened
        assert (old.state, new.state) == (PoolConnectionState.DRAINING, PoolConnectionState.OPEN)
        assert connection_of(driver.submit()) is new
        driver.finish(running)
        assert driver.closed == [old]

    def test_scenario_25_an_old_connection_takes_requests_until_its_replacement_is_open(self) -> None:
        driver = Driver(max_connections=1, max_age=HOUR)
        driver.submit()
        driver.connects = False
        driver.wait(HOUR * 0.96)
        old, new = driver.opened
        assert connection_of(driver.submit()) is old
        driver.connect(new)
        assert connection_of(driver.submit()) is new

    def test_an_unstored_conversation_stays_on_its_connection_until_that_expires(self) -> None:
        driver = Driver(max_connections=1, max_age=HOUR)
        parent_id = driver.unstored()
        driver.done()
        driver.wait(HOUR * 0.97)
        (old,) = driver.connections(PoolConnectionState.DRAINING)
        request = driver.submit(parent_id=parent_id, stores=False)
        assert connection_of(request) is old
        parent_id = driver.finish(request)
        driver.wait(HOUR * 0.03)
        assert driver.closed == [old]
        assert driver.pool.is_lost(parent_id)

    def test_continuations_that_wait_for_an_expired_connection_fail(self) -> None:
        driver = Driver(max_active=1, max_connections=1, max_age=HOUR)
        parent_id = driver.unstored()
        running = driver.submit(stores=False)
        request = driver.submit(parent_id=parent_id, stores=False)
        continuation = driver.submit(parent_id=driver.begin(running), stores=False)
        driver.wait(HOUR)
        driver.error(request, PreviousResponseLostError)
        last = driver.finish(running)
        driver.error(continuation, PreviousResponseLostError)
        assert driver.pool.is_lost(last)
        assert driver.opened[0] in driver.closed

    def test_a_continuation_of_a_stored_response_leaves_a_draining_connection(self) -> None:
        driver = Driver(max_connections=1, max_age=HOUR)
        driver.submit()
        parent_id = driver.done()
        driver.wait(HOUR * 0.96)
        assert connection_of(driver.submit(parent_id=parent_id)) is driver.opened[1]

    def test_scenario_24_an_idle_connection_is_lost_and_the_next_request_opens_another(self) -> None:
        driver = Driver()
        driver.done()
        driver.end(driver.connection)
        assert len(driver.opened) == 1
        assert driver.submit().state is PoolRequestState.RUNNING

    def test_a_connection_ends_once(self) -> None:
        driver = Driver()
        driver.submit()
        connection = driver.connection
        driver.end(connection)
        driver.end(connection)
        assert driver.pool.connections == []


class TestLosing:
    def test_scenario_20_unsent_requests_run_on_another_connection_in_their_order(self) -> None:
        driver = Driver()
        driver.done()
        first, second = driver.burst(2)
        driver.pool.connection_ended(driver.connection, LOST, driver.now)
        for request in (second, first):
            driver.pool.requeue(request, driver.now)
        driver.act()
        assert driver.sent[1:] == [first, second, first, second]
        assert driver.pool.active == 2

    def test_scenario_23_a_request_ends_with_its_connection_and_the_next_of_its_lane_runs(self) -> None:
        driver = Driver()
        driver.done()
        running, behind = driver.burst(2, stream_id="a")
        driver.end(driver.connection)  # nothing tells the pool that the request has ended
        assert running.state is PoolRequestState.ENDED
        assert behind.state is PoolRequestState.RUNNING
        driver.pool.finished(running, driver.now)
        assert driver.pool.active == 1

    def test_scenario_23_a_fork_lost_with_its_connection_fails(self) -> None:
        driver = Driver()
        parent_id = driver.unstored("a")
        fork = driver.submit("b", parent_id=parent_id, stores=False)
        driver.pool.connection_ended(driver.connection, LOST, driver.now)
        driver.pool.requeue(fork, driver.now)
        driver.act()
        driver.error(fork, PreviousResponseLostError)
        assert fork.parent_lane is None

    def test_scenario_56_all_connections_are_lost_at_once(self) -> None:
        driver = Driver(max_connections=4, max_active=1)
        requests = driver.burst(4)
        for request in requests:
            driver.begin(request)
        for connection in driver.connections():
            driver.pool.connection_ended(connection, LOST, driver.now)
        driver.act()
        again = driver.burst(4)
        assert all(request.state is PoolRequestState.RUNNING for request in again)


class TestFailing:
    def test_scenario_28_a_connection_is_tried_again_until_the_requests_fail(self) -> None:
        driver = Driver(connects=False)
        request = driver.submit("a")
        for wait in (1.0, 2.0):
            driver.end(driver.connection, REFUSED)
            assert driver.pool.connections == []
            assert driver.pool.retry_at(driver.now) == driver.now + wait == driver.pool.deadline(driver.now)
            driver.wait(wait)
        driver.end(driver.connection, REFUSED)
        error = driver.error(request, ConnectFailedError)
        assert error is not REFUSED
        assert (error.status, error.stream_id) == (503, "a")
        assert driver.is_quiet()
        assert driver.pool.retry_at(driver.now) is None

    def test_scenario_28_all_waiting_requests_fail_also_those_behind_others_of_their_lane(self) -> None:
        driver = Driver(connects=False)
        requests = [driver.queue(stream_id) for stream_id in ("a", "a", "a", None)]
        driver.act()
        driver.end(driver.connection, ConnectFailedError("no", status=401))
        assert list(driver.failed) == requests
        assert driver.is_quiet()

    def test_scenario_28_a_request_after_a_failure_tries_a_connection_again(self) -> None:
        driver = Driver(connects=False)
        for _ in range(3):
            request = driver.submit()
            driver.end(driver.connection, ConnectFailedError("no", status=401))
            assert request in driver.failed
        assert len(driver.opened) == 3

    def test_a_request_that_comes_right_after_a_failure_tries_again_too(self) -> None:
        driver = Driver(connects=False)
        first = driver.submit()
        driver.pool.connection_ended(driver.connection, ConnectFailedError("no", status=401), driver.now)
        second = driver.submit()
        assert list(driver.failed) == [first]
        driver.connect(driver.connection)
        assert driver.sent == [second]

    def test_no_request_fails_if_another_connection_is_open(self) -> None:
        driver = Driver(connects=False, max_active=1)
        requests = driver.burst(2)
        first, second = driver.opened
        driver.pool.connection_ended(first, ConnectFailedError("no", status=401), driver.now)
        driver.connect(second)
        assert not driver.failed
        assert driver.sent == requests[:1]

    def test_errors_of_other_classes_reach_the_requests_with_their_cause(self) -> None:
        driver = Driver(connects=False)
        request = driver.submit()
        cause = OSError("no")
        error = ConfigurationError("no key")
        error.__cause__ = cause
        driver.end(driver.connection, error)
        assert driver.error(request, ConfigurationError).__cause__ is cause

    def test_a_failure_concerns_only_its_route(self) -> None:
        driver = Driver(connects=False)
        here, there = driver.submit(route="x"), driver.submit(route="y")
        driver.end(driver.pool.connections[0], ConnectFailedError("no", status=404))
        assert list(driver.failed) == [here]
        driver.connect(driver.connection)
        assert driver.sent == [there]

    def test_requests_that_run_on_a_connection_or_wait_for_it_do_not_fail(self) -> None:
        driver = Driver(max_active=1, max_connections=2, max_age=HOUR)
        parent_id = driver.unstored()
        running = driver.submit(stores=False)
        driver.connects = False
        request = driver.submit(parent_id=parent_id, stores=False)
        continuation = driver.submit(parent_id=driver.begin(running), stores=False)
        driver.wait(HOUR * 0.96)
        (old,) = driver.connections()
        free = driver.submit()
        old.state = PoolConnectionState.DRAINING
        for connection in driver.connections(PoolConnectionState.CONNECTING):
            driver.end(connection, ConnectFailedError("no", status=401))
        assert list(driver.failed) == [free]
        driver.refuse(running)
        assert request.state is PoolRequestState.RUNNING
        assert running.state is PoolRequestState.WAITING  # it came after the failure, so a connection is tried for it
        assert continuation in driver.failed  # since its parent is lost
        assert isinstance(driver.failed[continuation], PreviousResponseLostError)

    def test_connections_that_never_receive_an_event_fail_the_requests_too(self) -> None:
        """The server accepts each connection, and closes it before the first event."""
        driver = Driver()
        request = driver.submit()
        for _ in range(3):
            assert request.state is PoolRequestState.RUNNING
            driver.pool.connection_ended(driver.connection, LOST, driver.now)
            driver.pool.requeue(request, driver.now)
            driver.act()
            driver.wait(2.0)
        driver.error(request, type(LOST))

    def test_no_connection_is_opened_during_the_backoff_however_many_requests_come(self) -> None:
        driver = Driver(connects=False)
        driver.submit()
        driver.end(driver.connection, REFUSED)
        driver.burst(100)
        assert len(driver.opened) == 1
        driver.wait(1.0)
        assert len(driver.opened) == 2
