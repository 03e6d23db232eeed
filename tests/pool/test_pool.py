"""The rules of many connections: which request goes where, and when."""

from __future__ import annotations

import pytest

from rxresponses.backoff import Backoff
from rxresponses.errors import (
    ConfigurationError,
    ConnectFailedError,
    InvalidRequestError,
    PreviousResponseLostError,
    QueueFullError,
    QueueTimeoutError,
)
from rxresponses.pool.lanes import PoolConnectionState, PoolRequest, PoolRequestState

from .driver import HOUR, LOST, REFUSED, Driver, connection_of, wire_name_of


class TestOnDemand:
    def test_nothing_before_the_first_request(self) -> None:
        driver = Driver()
        driver.act()
        assert driver.opened == []
        assert driver.pool.deadline(driver.now) is None

    def test_sixteen_on_a_connection_and_the_next_on_another(self) -> None:
        driver = Driver()
        first = driver.burst(16)
        assert len(driver.opened) == 1
        last = driver.submit()
        assert len(driver.opened) == 2
        assert connection_of(last) is not connection_of(first[0])
        assert driver.pool.active == 17

    def test_a_warm_connection_before_a_new_one(self) -> None:
        driver = Driver()
        driver.done()
        driver.burst(16)
        assert len(driver.opened) == 1

    def test_the_fullest_one_so_that_others_come_to_rest(self) -> None:
        driver = Driver(max_active=2)
        first, second, third = driver.burst(3)
        driver.finish(first)
        assert connection_of(driver.submit()) is connection_of(second)
        assert connection_of(third) is not connection_of(second)

    def test_what_does_not_fit_waits_in_order(self) -> None:
        driver = Driver(max_active=1, max_connections=2)
        requests = driver.burst(5)
        assert driver.sent == requests[:2]
        assert driver.pool.waiting() == requests[2:]
        assert driver.pool.queued == 3
        for request in requests:
            driver.finish(request)
        assert driver.sent == requests
        assert driver.is_quiet()

    def test_whoever_left_opens_no_connection(self) -> None:
        driver = Driver(connects=False)
        requests = [driver.queue() for _ in range(100)]
        for request in requests[1:]:
            driver.pool.withdraw(request)
        driver.act()
        assert len(driver.opened) == 1

    def test_a_connection_that_nobody_needs_any_more_is_no_harm(self) -> None:
        driver = Driver(connects=False)
        driver.withdraw(driver.submit())
        driver.connect(driver.connection)
        driver.connect(driver.connection)  # twice does nothing
        assert driver.sent == []
        driver.wait(60.0)
        assert driver.closed == driver.opened

    def test_nothing_is_left_of_a_connection_that_was_closed(self) -> None:
        driver = Driver()
        parent = driver.done()
        driver.wait(60.0)
        assert driver.closed == driver.opened
        assert driver.pool.lane_of(parent) is None
        assert driver.submit(parent_id=parent).state is PoolRequestState.RUNNING  # it is stored

    def test_prewarm(self) -> None:
        driver = Driver()
        driver.pool.prewarm(3, None)
        driver.act()
        assert len(driver.connections()) == 3
        driver.wait(HOUR / 2)
        assert len(driver.connections()) == 3
        assert driver.closed == []

    def test_min_idle_holds_from_the_first_request_on(self) -> None:
        driver = Driver(min_idle=2)
        driver.done()
        driver.wait(HOUR / 2)
        assert len(driver.connections()) == 2


class TestQueue:
    def test_as_many_wait_as_may(self) -> None:
        driver = Driver(connects=False, max_queued=2)
        first, second = driver.burst(2)
        full = driver.submit("a")
        error = driver.failed.pop(full)
        assert isinstance(error, QueueFullError)
        assert (error.delivery, error.stream_id) == ("not_sent", "a")
        assert "max_queued" in str(error)
        driver.withdraw(first)
        third = driver.submit()
        assert driver.pool.waiting() == [second, third]
        assert driver.failed == {}

    def test_who_finds_a_lane_at_once_does_not_wait(self) -> None:
        driver = Driver(max_connections=1, max_queued=2)
        driver.pool.prewarm(1, None)
        driver.act()
        burst = driver.burst(20)
        assert driver.sent == burst[:16]
        assert list(driver.failed) == [burst[19], burst[18]]
        assert driver.pool.waiting() == burst[16:18]

    def test_no_connection_is_opened_for_one_that_is_refused(self) -> None:
        driver = Driver(has_lanes=False, connects=False, max_queued=2)
        driver.burst(5)
        assert len(driver.opened) == 2

    def test_no_longer_than_it_may(self) -> None:
        driver = Driver(connects=False, queue_timeout=10.0)
        early = driver.submit("a")
        driver.wait(4.0)
        late = driver.submit("a")
        assert driver.pool.deadline(driver.now) == 10.0
        driver.wait(6.0)
        error = driver.error(early, QueueTimeoutError)
        assert (error.seconds, error.delivery, error.stream_id) == (10.0, "not_sent", "a")
        assert late.state is PoolRequestState.WAITING
        driver.wait(4.0)
        driver.error(late, QueueTimeoutError)
        assert driver.is_quiet()

    def test_the_clock_is_over_when_the_server_has_seen_it(self) -> None:
        driver = Driver(queue_timeout=10.0)
        request = driver.submit()
        driver.refuse(request, delay=20.0)
        driver.wait(20.0)
        assert driver.sent == [request, request]

    def test_the_clock_goes_on_for_what_was_not_sent(self) -> None:
        driver = Driver(queue_timeout=10.0)
        request = driver.submit()
        driver.connects = False
        driver.wait(4.0)
        driver.pool.connection_ended(driver.connection, LOST, driver.now)
        driver.pool.requeue(request, driver.now)
        driver.wait(6.0)
        driver.error(request, QueueTimeoutError)

    def test_the_oldest_first_among_all_queues(self) -> None:
        """One that can run only in one lane has no better turn than those who can run anywhere."""
        driver = Driver(max_active=1, max_connections=1)
        parent = driver.unstored()
        driver.fail(driver.submit(parent_id=parent, stream_id="x", stores=False))  # a fork keeps it
        running = driver.submit()
        free = driver.submit()
        bound = driver.submit(parent_id=parent, stores=False)
        driver.finish(running)
        assert driver.sent[-1] is free
        driver.finish(free)
        assert driver.sent[-1] is bound

    @pytest.mark.parametrize("where", ["free", "in line", "delayed", "for its parent", "for the lane", "for a fork"])
    def test_withdrawn_from_anywhere(self, where: str) -> None:
        driver = Driver(max_active=2, max_connections=1)
        parent = driver.unstored()
        running = driver.submit("a")
        child = driver.begin(running)
        driver.submit()
        request = {
            "free": lambda: driver.submit(),
            "in line": lambda: driver.submit("a"),
            "delayed": lambda: self.delayed(driver),
            "for its parent": lambda: driver.submit(parent_id=child, stores=False),
            "for the lane": lambda: driver.submit(parent_id=parent, stores=False),
            "for a fork": lambda: driver.submit("b", parent_id=parent, stores=False),
        }[where]()
        assert driver.pool.waiting() == [request]
        driver.withdraw(request)
        assert request.state is PoolRequestState.ENDED
        driver.withdraw(request)  # twice does nothing
        assert driver.pool.queued == 0
        for one in list(driver.connection.running()):
            driver.withdraw(one)  # it runs: not here
            driver.finish(one)
        assert driver.is_quiet()
        assert driver.pool.lane_of(parent) is not None

    @staticmethod
    def delayed(driver: Driver) -> PoolRequest:
        request = driver.sent[-1]
        driver.refuse(request, delay=5.0)
        return request

    def test_again_in_the_old_turn(self) -> None:
        driver = Driver(max_active=1, max_connections=1)
        first, second = driver.burst(2)
        driver.refuse(first)
        assert driver.sent == [first, first]
        assert driver.pool.waiting() == [second]

    def test_again_when_the_time_has_come(self) -> None:
        driver = Driver()
        request = driver.submit("a")
        behind = driver.submit("a")
        driver.refuse(request, delay=3.0)
        assert driver.pool.deadline(driver.now) == 3.0
        assert driver.pool.waiting() == [request, behind]  # the lane stays in order
        driver.wait(3.0)
        assert driver.sent == [request, request]

    def test_again_only_for_what_runs(self) -> None:
        driver = Driver()
        request = driver.submit()
        driver.finish(request)
        driver.pool.requeue(request, driver.now)
        driver.pool.finished(request, driver.now)
        driver.pool.began(request, "late")
        assert driver.is_quiet()
        assert driver.pool.lane_of("late") is None


class TestLanes:
    def test_scenario_13_a_named_lane_runs_in_order(self) -> None:
        driver = Driver()
        requests = driver.burst(3, stream_id="a")
        for number, request in enumerate(requests):
            assert driver.sent == requests[: number + 1]
            driver.finish(request)
        assert driver.is_quiet()

    def test_scenario_13_a_lane_goes_on_after_a_failure(self) -> None:
        driver = Driver()
        first, second = driver.burst(2, stream_id="a")
        driver.fail(first)
        assert driver.sent == [first, second]

    def test_other_lanes_do_not_wait(self) -> None:
        driver = Driver()
        driver.submit("a")
        waiting = driver.submit("a")
        other, nameless = driver.submit("b"), driver.submit()
        assert driver.pool.waiting() == [waiting]
        assert {other, nameless} <= set(driver.sent)

    def test_a_long_line_that_fails_ends(self) -> None:
        driver = Driver()
        running = driver.submit("a")
        requests = driver.burst(5000, stream_id="a", parent_id="gone", stores=False)
        driver.finish(running)
        assert list(driver.failed) == requests
        assert driver.is_quiet()

    def test_scenario_15_hundred_conversations_use_few_names(self) -> None:
        driver = Driver(max_connections=1)
        for number in range(100):
            driver.done(f"conversation {number}")
        assert len(driver.connection.lanes) == 32

    def test_scenario_15_fewer_names_than_usual(self) -> None:
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
    def test_one_request_a_connection(self) -> None:
        driver = Driver(has_lanes=False, max_connections=3)
        requests = driver.burst(5)
        assert driver.sent == requests[:3]
        assert len({connection_of(request) for request in requests[:3]}) == 3
        assert {wire_name_of(request) for request in requests[:3]} == {None}

    def test_until_it_is_known_a_burst_opens_few(self) -> None:
        driver = Driver(has_lanes=None)
        requests = driver.burst(100)
        assert driver.sent == requests[:4]
        driver.pool.has_lanes = True
        driver.act()
        assert len(driver.sent) == 100

    def test_found_out(self) -> None:
        driver = Driver(has_lanes=None)
        requests = driver.burst(100)
        driver.pool.has_lanes = False
        driver.act()
        assert len(driver.sent) == 8
        for request in requests:
            driver.finish(request)
        assert all(len(connection.lanes) == 1 for connection in driver.opened)

    def test_found_out_while_several_run(self) -> None:
        driver = Driver(max_connections=1)
        first, second, third = driver.burst(3)
        driver.pool.has_lanes = False
        for refused in (second, third):
            driver.refuse(refused)
        assert driver.pool.waiting() == [second, third]
        driver.finish(first)
        assert driver.sent[-1] is second

    def test_a_conversation_keeps_its_connection_while_another_may_be_opened(self) -> None:
        driver = Driver(has_lanes=False, max_connections=2)
        first = driver.unstored()
        second = driver.unstored()
        assert len(driver.opened) == 2
        assert {driver.pool.lane_of(one) for one in (first, second)} == {
            connection.lanes[None] for connection in driver.opened
        }
        driver.unstored()
        assert driver.pool.is_lost(first)
        assert not driver.pool.is_lost(second)

    def test_found_out_late_only_the_latest_response_is_there(self) -> None:
        driver = Driver(max_connections=1)
        first, second = driver.unstored(), driver.unstored()
        driver.pool.has_lanes = False
        assert driver.pool.is_lost(first)
        assert not driver.pool.is_lost(second)

    def test_the_next_response_replaces_it(self) -> None:
        driver = Driver(max_connections=1)
        running = driver.burst(2, stores=False)
        driver.pool.has_lanes = False
        held = [driver.finish(request) for request in running]
        assert [driver.pool.is_lost(one) for one in held] == [True, False]
        driver.unstored()
        assert driver.pool.is_lost(held[1])

    def test_a_fork_goes_on_in_the_only_lane_and_the_other_one_is_lost(self) -> None:
        driver = Driver(has_lanes=False, max_connections=1)
        parent = driver.unstored()
        fork, late = driver.burst(2, parent_id=parent, stores=False)
        assert fork.parent_lane is None
        assert driver.sent[-1] is fork
        assert driver.error(late, PreviousResponseLostError).previous_response_id == parent

    def test_a_fork_that_waits_when_it_is_found_out(self) -> None:
        driver = Driver(max_active=1, max_connections=1)
        parent = driver.unstored()
        other = driver.submit()
        fork = driver.submit("b", parent_id=parent, stores=False)
        assert fork.parent_lane is not None
        driver.pool.has_lanes = False
        driver.finish(other)
        assert fork.parent_lane is None
        driver.error(fork, PreviousResponseLostError)  # the other one took the only lane

    def test_a_fork_that_may_still_have_the_lane(self) -> None:
        driver = Driver()
        parent = driver.unstored()
        driver.rate_limit(1, 1.0)
        fork = driver.submit("b", parent_id=parent, stores=False)
        lane = fork.parent_lane
        assert lane is not None
        driver.pool.has_lanes = False
        driver.wait(1.0)
        assert driver.sent[-1] is fork
        assert fork.lane is lane


class TestAffinity:
    def test_a_continuation_goes_to_the_lane_that_holds_its_parent(self) -> None:
        driver = Driver()
        parents = [driver.unstored() for _ in range(3)]
        for parent in parents:
            lane = driver.pool.lane_of(parent)
            assert driver.submit(parent_id=parent, stores=False).lane is lane

    def test_it_waits_for_room_there(self) -> None:
        driver = Driver(max_active=1)
        parent = driver.unstored()
        other = driver.submit()
        request = driver.submit(parent_id=parent, stores=False)
        driver.submit()
        assert request.state is PoolRequestState.WAITING
        driver.finish(other)
        assert connection_of(request) is driver.opened[0]

    def test_its_lane_is_kept_for_it(self) -> None:
        """With lanes to spare nobody else takes the one whose response somebody waits to continue."""
        driver = Driver(max_active=1, max_connections=1)
        parents = [driver.unstored() for _ in range(32)]
        running, older = driver.burst(2)
        request = driver.submit(parent_id=parents[1], stores=False)
        driver.finish(running)
        assert driver.sent[-1] is older
        assert driver.pool.is_lost(parents[0])
        assert not driver.pool.is_lost(parents[1])
        driver.finish(older)
        assert driver.sent[-1] is request

    def test_while_its_parent_runs_it_waits(self) -> None:
        driver = Driver()
        parent = driver.submit(stores=False)
        parent_id = driver.begin(parent)
        child = driver.submit(parent_id=parent_id, stores=False)
        assert driver.pool.waiting() == [child]
        lane = parent.lane
        driver.finish(parent)
        assert child.lane is lane
        assert child.state is PoolRequestState.RUNNING

    def test_a_parent_that_fails_takes_its_continuation_along(self) -> None:
        driver = Driver()
        parent = driver.submit(stores=False)
        child = driver.submit(parent_id=driver.begin(parent), stores=False)
        driver.fail(parent)
        driver.error(child, PreviousResponseLostError)

    def test_a_stored_one_prefers_its_lane(self) -> None:
        driver = Driver()
        parents = [driver.done() for _ in range(3)]
        lane = driver.pool.lane_of(parents[1])
        assert driver.submit(parent_id=parents[1]).lane is lane

    def test_but_goes_anywhere_when_there_is_no_room(self) -> None:
        driver = Driver(max_active=1, max_connections=2)
        parent = driver.done()
        other = driver.submit()
        request = driver.submit(parent_id=parent)
        assert connection_of(request) is not connection_of(other)

    def test_also_when_room_was_there_first(self) -> None:
        driver = Driver(max_active=1, max_connections=2)
        parent = driver.done()
        older, request = driver.queue(), driver.queue(parent_id=parent)
        driver.act()
        assert connection_of(older) is not connection_of(request)

    def test_several_may_continue_a_stored_one(self) -> None:
        driver = Driver()
        parent = driver.done()
        requests = driver.burst(3, parent_id=parent)
        assert [request.state for request in requests] == [PoolRequestState.RUNNING] * 3

    def test_scenario_23_with_its_connection_gone_a_stored_one_goes_anywhere(self) -> None:
        driver = Driver()
        parent = driver.done()
        driver.end(driver.connection)
        request = driver.submit(parent_id=parent, stores=False)
        assert request.state is PoolRequestState.RUNNING
        assert not request.sends_history

    def test_scenario_32_without_storage_nothing_is_sent(self) -> None:
        driver = Driver()
        parent = driver.unstored()
        driver.end(driver.connection)
        request = driver.submit("a", parent_id=parent, stores=False)
        error = driver.error(request, PreviousResponseLostError)
        assert request not in driver.sent
        assert (error.previous_response_id, error.stream_id, error.delivery) == (parent, "a", "not_sent")
        assert "send the whole history" in str(error)
        assert driver.is_quiet()

    def test_scenario_32_nor_is_the_id_of_one_that_is_known_to_be_lost(self) -> None:
        driver = Driver()
        parent = driver.unstored()
        driver.end(driver.connection)
        driver.error(driver.submit(parent_id=parent, stores=True), PreviousResponseLostError)

    def test_scenario_32_nor_what_waited_when_the_connection_went(self) -> None:
        driver = Driver(max_active=1, max_connections=1)
        parent = driver.unstored()
        running = driver.submit()
        request = driver.submit(parent_id=parent, stores=False)
        fork = driver.submit("b", parent_id=parent, stores=False)
        child = driver.submit(parent_id=driver.begin(running), stores=True)
        driver.end(driver.connection)
        driver.error(request, PreviousResponseLostError)
        driver.error(fork, PreviousResponseLostError)
        assert driver.sent[-1] is child  # its parent is stored
        driver.finish(child)
        assert driver.is_quiet()

    def test_scenario_31_with_the_history_at_hand_it_goes_anywhere(self) -> None:
        driver = Driver()
        parent = driver.unstored()
        driver.end(driver.connection)
        request = driver.submit(parent_id=parent, stores=False, has_history=True)
        assert request.sends_history
        assert request.state is PoolRequestState.RUNNING

    def test_scenario_31_what_the_server_does_not_know_is_forgotten(self) -> None:
        driver = Driver()
        parent = driver.done()
        request = driver.submit(parent_id=parent, has_history=True)
        driver.pool.forget(parent)
        driver.refuse(request)
        assert request.sends_history
        assert driver.sent == [driver.sent[0], request, request]
        driver.error(driver.submit(parent_id=parent), PreviousResponseLostError)

    def test_scenario_31_whoever_waits_to_continue_it_is_told(self) -> None:
        driver = Driver(max_active=1, max_connections=1)
        parent = driver.unstored()
        other = driver.submit()
        request = driver.submit(parent_id=parent, stores=False)
        driver.pool.forget(parent)
        driver.finish(other)
        driver.error(request, PreviousResponseLostError)

    def test_a_foreign_id_is_sent_when_it_may_be_stored(self) -> None:
        driver = Driver()
        assert driver.submit(parent_id="foreign").state is PoolRequestState.RUNNING
        driver.error(driver.submit(parent_id="foreign", stores=False), PreviousResponseLostError)

    def test_scenario_33_a_failure_in_its_lane_costs_the_parent(self) -> None:
        driver = Driver()
        parent = driver.unstored()
        driver.fail(driver.submit(parent_id=parent, stores=False))
        assert driver.pool.is_lost(parent)

    def test_what_was_never_sent_costs_nothing(self) -> None:
        driver = Driver()
        parent = driver.unstored("a")
        lane = driver.pool.lane_of(parent)
        request = driver.submit("a", parent_id=parent, stores=False)
        assert request.lane is lane
        behind = driver.submit("a", parent_id=parent, stores=False)
        driver.pool.unsent(request, driver.now)
        driver.act()
        assert driver.sent[1:] == [request, behind]
        assert behind.lane is lane
        assert driver.pool.active == 1

    def test_nor_what_another_conversation_did_not_send(self) -> None:
        driver = Driver(has_lanes=False, max_connections=1)
        parent = driver.unstored()
        driver.pool.unsent(driver.submit(), driver.now)
        assert not driver.pool.is_lost(parent)

    def test_what_was_sent_does_even_if_nothing_was_heard_of_it(self) -> None:
        driver = Driver()
        parent = driver.unstored()
        driver.pool.finished(driver.submit(parent_id=parent, stores=False), driver.now)
        assert driver.pool.is_lost(parent)

    def test_a_connection_that_is_lost_gives_nothing_back(self) -> None:
        driver = Driver()
        parent = driver.unstored()
        request = driver.submit(parent_id=parent, stores=False)
        driver.pool.connection_ended(driver.connection, LOST, driver.now)
        driver.pool.began(request, "late")
        assert driver.pool.lane_of("late") is None
        driver.pool.unsent(request, driver.now)
        driver.pool.unsent(request, driver.now)  # twice does nothing
        assert driver.pool.is_lost(parent)
        assert driver.pool.lane_of(parent) is None
        assert driver.is_quiet()


class TestCalls:
    def test_scenario_35_each_call_needs_its_answer(self) -> None:
        driver = Driver()
        parent = driver.finish(driver.submit(), open_calls=frozenset({"one", "two"}))
        request = driver.submit(parent_id=parent, answered_calls=frozenset({"two", "other"}))
        error = driver.error(request, InvalidRequestError)
        assert error.field == "input"
        assert "one" in str(error)
        assert "two" not in str(error)
        assert (
            driver.submit(parent_id=parent, answered_calls=frozenset({"one", "two"})).state is PoolRequestState.RUNNING
        )

    def test_scenario_35_also_when_it_waited_for_its_parent(self) -> None:
        driver = Driver()
        running = driver.submit(stores=False)
        parent = driver.begin(running)
        request = driver.submit(parent_id=parent, stores=False, answered_calls=frozenset())
        driver.finish(running, open_calls=frozenset({"one"}))
        driver.error(request, InvalidRequestError)
        assert not driver.pool.is_lost(parent)

    def test_what_cannot_be_seen_is_left_to_the_server(self) -> None:
        driver = Driver()
        parent = driver.finish(driver.submit(), open_calls=frozenset({"one"}))
        assert driver.submit(parent_id=parent).state is PoolRequestState.RUNNING


class TestForks:
    def test_scenario_34_the_source_waits_until_the_fork_has_begun(self) -> None:
        driver = Driver()
        parent = driver.unstored("a")
        fork = driver.submit("b", parent_id=parent, stores=False)
        source = driver.submit("a", parent_id=parent, stores=False)
        assert connection_of(fork) is driver.connection
        assert fork.lane is not driver.pool.lane_of(parent)
        assert driver.pool.waiting() == [source]
        driver.begin(fork)
        assert driver.pool.waiting() == [source]
        driver.pool.in_progress(fork)
        driver.act()
        assert source.state is PoolRequestState.RUNNING

    def test_scenario_34_the_order_at_once_does_not_matter(self) -> None:
        driver = Driver()
        parent = driver.unstored("a")
        source, fork = (
            driver.queue("a", parent_id=parent, stores=False),
            driver.queue("b", parent_id=parent, stores=False),
        )
        driver.act()
        assert driver.sent[1:] == [fork]
        driver.pool.in_progress(fork)
        driver.act()
        assert driver.sent[2:] == [source]

    def test_scenario_34_a_second_continuation_without_a_name_is_a_fork(self) -> None:
        driver = Driver()
        parent = driver.unstored()
        first, second, third = driver.burst(3, parent_id=parent, stores=False)
        assert driver.sent[1:] == [second, third]
        for fork in (second, third):
            driver.finish(fork)
        assert driver.sent[-1] is first

    def test_scenario_34_forks_of_a_stored_one_hold_nothing(self) -> None:
        driver = Driver()
        parent = driver.done("a")
        fork = driver.submit("b", parent_id=parent)
        assert fork.parent_lane is None
        assert driver.submit("a", parent_id=parent).state is PoolRequestState.RUNNING

    @pytest.mark.parametrize("end", ["fails", "is withdrawn", "is complete", "times out"])
    def test_scenario_34_the_source_goes_on_when_the_fork(self, end: str) -> None:
        driver = Driver(max_active=2, max_connections=1, queue_timeout=60.0)
        parent = driver.unstored("a")
        others = driver.burst(2 if end in ("is withdrawn", "times out") else 1)
        fork = driver.submit("b", parent_id=parent, stores=False)
        driver.wait(1.0)
        source = driver.submit("a", parent_id=parent, stores=False)
        if end in ("fails", "is complete"):
            driver.finish(others[0])
        assert driver.pool.waiting()[-1] is source
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
        assert source.state is PoolRequestState.RUNNING
        assert not driver.failed or end == "times out"

    def test_scenario_33_a_failed_fork_keeps_the_parent(self) -> None:
        driver = Driver()
        parent = driver.unstored("a")
        lane = driver.pool.lane_of(parent)
        driver.fail(driver.submit("b", parent_id=parent, stores=False))
        assert driver.submit("a", parent_id=parent, stores=False).lane is lane

    def test_scenario_34_a_fork_that_is_to_be_sent_again_still_holds_its_parent(self) -> None:
        driver = Driver()
        parent = driver.unstored("a")
        fork = driver.submit("b", parent_id=parent, stores=False)
        driver.refuse(fork, delay=5.0)
        source = driver.submit("a", parent_id=parent, stores=False)
        driver.wait(5.0)
        assert driver.sent[-1] is fork
        driver.pool.in_progress(fork)
        driver.act()
        assert driver.sent[-1] is source

    def test_a_fork_that_waits_to_be_sent_again_when_the_connection_goes(self) -> None:
        driver = Driver()
        parent = driver.unstored("a")
        fork = driver.submit("b", parent_id=parent, stores=False)
        driver.refuse(fork, delay=5.0)
        driver.end(driver.connection)
        assert fork.parent_lane is None
        driver.wait(5.0)
        driver.error(fork, PreviousResponseLostError)

    def test_forks_go_no_later_than_the_one_that_waits_for_them(self) -> None:
        driver = Driver(max_active=1, max_connections=1)
        parent = driver.unstored("a")
        running = driver.submit()
        source = driver.submit("a", parent_id=parent, stores=False)
        others = driver.burst(3)
        fork = driver.submit("b", parent_id=parent, stores=False)
        driver.finish(running)
        assert driver.sent[-1] is fork
        driver.finish(fork)
        assert driver.sent[-1] is source
        assert driver.pool.waiting() == others

    def test_when_each_lane_waits_for_its_fork_one_goes_on_in_its_own(self) -> None:
        """Or else none would ever go."""
        driver = Driver(max_connections=1)
        parents = [driver.unstored(f"lane {number}") for number in range(32)]
        driver.rate_limit(1000, 10.0)
        forks = [driver.submit("fork" + parent, parent_id=parent, stores=False) for parent in parents]
        second = driver.submit("another one", parent_id=parents[0], stores=False)
        assert driver.pool.queued == 33
        driver.wait(10.0)
        assert driver.sent[32:] == forks[:1]  # then there is a lane again
        driver.error(second, PreviousResponseLostError)
        for fork in forks:
            driver.finish(fork)
        assert driver.is_quiet()

    def test_many_forks_of_one(self) -> None:
        driver = Driver(max_connections=1)
        parent = driver.unstored()
        forks = [driver.queue(f"fork {number}", parent_id=parent, stores=False) for number in range(100)]
        source = driver.queue(parent_id=parent, stores=False)
        driver.act()
        assert driver.pool.active == 16
        for fork in forks:
            driver.finish(fork)
        driver.finish(source)
        assert not driver.failed
        assert driver.is_quiet()


class TestRotation:
    def test_scenario_25_the_old_one_finishes_and_new_work_goes_to_the_next(self) -> None:
        driver = Driver(max_connections=1, max_age=HOUR)
        running = driver.submit()
        driver.wait(HOUR * 0.96)
        old, new = driver.opened
        assert (old.state, new.state) == (PoolConnectionState.DRAINING, PoolConnectionState.OPEN)
        assert connection_of(driver.submit()) is new
        driver.finish(running)
        assert driver.closed == [old]

    def test_scenario_25_there_is_no_gap(self) -> None:
        driver = Driver(max_connections=1, max_age=HOUR)
        driver.submit()
        driver.connects = False
        driver.wait(HOUR * 0.96)
        old, new = driver.opened
        assert connection_of(driver.submit()) is old
        driver.connect(new)
        assert connection_of(driver.submit()) is new

    def test_an_unstored_conversation_goes_on_where_it_is_while_it_can(self) -> None:
        driver = Driver(max_connections=1, max_age=HOUR)
        parent = driver.unstored()
        driver.done()
        driver.wait(HOUR * 0.97)
        (old,) = driver.connections(PoolConnectionState.DRAINING)
        request = driver.submit(parent_id=parent, stores=False)
        assert connection_of(request) is old
        parent = driver.finish(request)
        driver.wait(HOUR * 0.03)
        assert driver.closed == [old]
        assert driver.pool.is_lost(parent)

    def test_what_waits_there_is_told_when_its_time_is_over(self) -> None:
        driver = Driver(max_active=1, max_connections=1, max_age=HOUR)
        parent = driver.unstored()
        running = driver.submit(stores=False)
        request = driver.submit(parent_id=parent, stores=False)
        child = driver.submit(parent_id=driver.begin(running), stores=False)
        driver.wait(HOUR)
        driver.error(request, PreviousResponseLostError)
        last = driver.finish(running)
        driver.error(child, PreviousResponseLostError)
        assert driver.pool.is_lost(last)
        assert driver.opened[0] in driver.closed

    def test_a_stored_one_does_not_wait_there(self) -> None:
        driver = Driver(max_connections=1, max_age=HOUR)
        driver.submit()
        parent = driver.done()
        driver.wait(HOUR * 0.96)
        assert connection_of(driver.submit(parent_id=parent)) is driver.opened[1]

    def test_scenario_24_lost_while_it_idles(self) -> None:
        driver = Driver()
        driver.done()
        driver.end(driver.connection)
        assert len(driver.opened) == 1
        assert driver.submit().state is PoolRequestState.RUNNING

    def test_ended_twice_is_ended_once(self) -> None:
        driver = Driver()
        driver.submit()
        connection = driver.connection
        driver.end(connection)
        driver.end(connection)
        assert driver.pool.connections == []


class TestLoss:
    def test_scenario_20_what_was_not_sent_goes_elsewhere(self) -> None:
        driver = Driver()
        driver.done()
        first, second = driver.burst(2)
        driver.pool.connection_ended(driver.connection, LOST, driver.now)
        for request in (second, first):
            driver.pool.requeue(request, driver.now)
        driver.act()
        assert driver.sent[1:] == [first, second, first, second]
        assert driver.pool.active == 2

    def test_scenario_23_what_was_sent_is_over_and_its_lane_goes_on(self) -> None:
        driver = Driver()
        driver.done()
        running, behind = driver.burst(2, stream_id="a")
        driver.end(driver.connection)  # nobody says what became of it: its sender may be gone
        assert running.state is PoolRequestState.ENDED
        assert behind.state is PoolRequestState.RUNNING
        driver.pool.finished(running, driver.now)
        assert driver.pool.active == 1

    def test_scenario_23_a_fork_that_was_lost_holds_nothing(self) -> None:
        driver = Driver()
        parent = driver.unstored("a")
        fork = driver.submit("b", parent_id=parent, stores=False)
        driver.pool.connection_ended(driver.connection, LOST, driver.now)
        driver.pool.requeue(fork, driver.now)
        driver.act()
        driver.error(fork, PreviousResponseLostError)
        assert fork.parent_lane is None

    def test_scenario_56_restarts_of_all_at_once(self) -> None:
        driver = Driver(max_connections=4, max_active=1)
        requests = driver.burst(4)
        for request in requests:
            driver.begin(request)
        for connection in driver.connections():
            driver.pool.connection_ended(connection, LOST, driver.now)
        driver.act()
        again = driver.burst(4)
        assert all(request.state is PoolRequestState.RUNNING for request in again)


class TestFailures:
    def test_scenario_28_it_is_tried_again_and_given_up_in_the_end(self) -> None:
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

    def test_scenario_28_everyone_is_told_also_those_in_line(self) -> None:
        driver = Driver(connects=False)
        requests = [driver.queue(lane) for lane in ("a", "a", "a", None)]
        driver.act()
        driver.end(driver.connection, ConnectFailedError("no", status=401))
        assert list(driver.failed) == requests
        assert driver.is_quiet()

    def test_scenario_28_whoever_asks_after_that_has_a_try_of_its_own(self) -> None:
        driver = Driver(connects=False)
        for _ in range(3):
            request = driver.submit()
            driver.end(driver.connection, ConnectFailedError("no", status=401))
            assert request in driver.failed
        assert len(driver.opened) == 3

    def test_also_one_that_asks_in_the_same_moment(self) -> None:
        driver = Driver(connects=False)
        first = driver.submit()
        driver.pool.connection_ended(driver.connection, ConnectFailedError("no", status=401), driver.now)
        second = driver.submit()
        assert list(driver.failed) == [first]
        driver.connect(driver.connection)
        assert driver.sent == [second]

    def test_nobody_is_told_when_another_connection_opened(self) -> None:
        driver = Driver(connects=False, max_active=1)
        requests = driver.burst(2)
        first, second = driver.opened
        driver.pool.connection_ended(first, ConnectFailedError("no", status=401), driver.now)
        driver.connect(second)
        assert not driver.failed
        assert driver.sent == requests[:1]

    def test_other_errors_are_told_as_they_are(self) -> None:
        driver = Driver(connects=False)
        request = driver.submit()
        cause = OSError("no")
        error = ConfigurationError("no key")
        error.__cause__ = cause
        driver.end(driver.connection, error)
        assert driver.error(request, ConfigurationError).__cause__ is cause

    def test_routes_fail_by_themselves(self) -> None:
        driver = Driver(connects=False)
        here, there = driver.submit(route="x"), driver.submit(route="y")
        driver.end(driver.pool.connections[0], ConnectFailedError("no", status=404))
        assert list(driver.failed) == [here]
        driver.connect(driver.connection)
        assert driver.sent == [there]

    def test_what_runs_on_a_connection_or_waits_for_it_is_not_given_up(self) -> None:
        driver = Driver(max_active=1, max_connections=2, max_age=HOUR)
        parent = driver.unstored()
        running = driver.submit(stores=False)
        driver.connects = False
        request = driver.submit(parent_id=parent, stores=False)
        child = driver.submit(parent_id=driver.begin(running), stores=False)
        driver.wait(HOUR * 0.96)
        (old,) = driver.connections()
        free = driver.submit()
        old.state = PoolConnectionState.DRAINING
        for connection in driver.connections(PoolConnectionState.CONNECTING):
            driver.end(connection, ConnectFailedError("no", status=401))
        assert list(driver.failed) == [free]
        driver.refuse(running)
        assert request.state is PoolRequestState.RUNNING
        assert running.state is PoolRequestState.WAITING  # it has a try of its own
        assert child in driver.failed  # for another reason
        assert isinstance(driver.failed[child], PreviousResponseLostError)

    def test_a_connection_that_never_works_is_given_up_too(self) -> None:
        """The server takes it, and closes it before anything can be sent."""
        driver = Driver()
        request = driver.submit()
        for _ in range(3):
            assert request.state is PoolRequestState.RUNNING
            driver.pool.connection_ended(driver.connection, LOST, driver.now)
            driver.pool.requeue(request, driver.now)
            driver.act()
            driver.wait(2.0)
        driver.error(request, type(LOST))

    def test_nothing_is_opened_while_it_waits_however_many_ask(self) -> None:
        driver = Driver(connects=False)
        driver.submit()
        driver.end(driver.connection, REFUSED)
        driver.burst(100)
        assert len(driver.opened) == 1
        driver.wait(1.0)
        assert len(driver.opened) == 2


class TestRateLimits:
    def test_a_refusal_pauses_everyone_for_as_long_as_the_server_says(self) -> None:
        driver = Driver()
        first, second = driver.burst(2)
        driver.limit(first, 30.0)
        third = driver.submit()
        assert driver.pool.waiting() == [first, third]
        assert driver.pool.deadline(driver.now) == 30.0
        driver.wait(30.0)
        assert driver.sent == [first, second]  # one at a time now, and one runs
        driver.finish(second)
        assert driver.sent == [first, second, first]  # what was sent before the limit tells nothing new
        driver.finish(first)
        assert driver.sent == [first, second, first, third]

    def test_what_still_ran_then_does_not_lift_it(self) -> None:
        driver = Driver(max_connections=4)
        running = driver.burst(64)
        for one in running[:20]:
            driver.limit(one, 30.0)
        more = [driver.submit() for _ in range(40)]
        for one in running[20:]:
            driver.finish(one)
        driver.wait(30.0)
        assert driver.pool.active == 32
        assert driver.sent[64:] == [*running[:20], *more[:12]]

    def test_half_as_many_run_then_and_more_with_each_success(self) -> None:
        driver = Driver()
        requests = driver.burst(8)
        driver.limit(requests[0], 1.0)
        for request in requests[1:]:
            driver.fail(request)
        driver.wait(1.0)
        assert driver.sent[-1] is requests[0]
        more = driver.burst(10)
        assert driver.pool.active == 4
        driver.finish(requests[0])
        assert driver.pool.active == 5
        for request in more:
            driver.finish(request)
        assert driver.is_quiet()

    def test_nothing_is_opened_for_those_who_may_not_run(self) -> None:
        driver = Driver(max_active=1)
        first = driver.submit()
        driver.limit(first, 10.0)
        driver.burst(10)
        driver.wait(10.0)
        assert len(driver.opened) == 1

    def test_a_refused_connection_counts_too(self) -> None:
        driver = Driver(connects=False)
        request = driver.submit()
        driver.end(driver.connection, ConnectFailedError("slow down", status=429, headers={"Retry-After": "7"}))
        assert driver.pool.rate_limit.remaining_pause(driver.now) == 7.0
        driver.wait(7.0)
        driver.connect(driver.connection)
        assert driver.sent == [request]

    def test_the_oldest_goes_when_few_may(self) -> None:
        """Wherever it waits: on no connection does anyone wait for ever."""
        driver = Driver(max_active=1, max_connections=2)
        parents = [driver.unstored()]
        blocker = driver.submit()
        parents.append(driver.unstored())
        driver.finish(blocker)
        driver.rate_limit(1, 1.0)
        requests = [
            driver.submit(parent_id=parents[1], stores=False),
            driver.submit(parent_id=parents[0], stores=False),
        ]
        driver.submit()
        driver.wait(1.0)
        assert driver.sent[-1] is requests[0]
        driver.fail(requests[0])
        assert driver.sent[-1] is requests[1]


class TestRoutes:
    def test_a_connection_serves_one_route(self) -> None:
        driver = Driver()
        here, there = driver.submit(route="x"), driver.submit(route="y")
        assert (connection_of(here).route, connection_of(there).route) == ("x", "y")

    def test_no_route_waits_for_ever(self) -> None:
        driver = Driver(max_connections=1, max_active=1)
        requests = [driver.submit(route=route) for route in "xyzxyz"]
        while not driver.is_quiet():
            for request in requests:
                if request.state is PoolRequestState.RUNNING:
                    driver.finish(request)
        assert not driver.failed
        assert driver.sent[:3] == requests[:3]
        assert sum(connection.is_live for connection in driver.pool.connections) <= 1

    def test_the_one_that_has_waited_longest_has_the_next_connection(self) -> None:
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

    def test_one_that_goes_for_another_route_loses_what_it_held(self) -> None:
        driver = Driver(max_connections=1)
        parent = driver.done(route="x", stores=False)
        assert driver.submit(route="y").state is PoolRequestState.RUNNING
        assert driver.pool.is_lost(parent)
        assert driver.closed == driver.opened[:1]

    def test_a_continuation_on_another_route_needs_a_stored_parent(self) -> None:
        driver = Driver()
        parent = driver.done(route="x")
        assert connection_of(driver.submit(parent_id=parent, route="y")).route == "y"
        lost = driver.done(route="x", stores=False)
        driver.error(driver.submit(parent_id=lost, route="y"), PreviousResponseLostError)

    def test_one_without_a_route_goes_to_its_parent(self) -> None:
        driver = Driver()
        parent = driver.done(route="x", stores=False)
        assert connection_of(driver.submit(parent_id=parent, stores=False)).route == "x"


class TestSteering:
    def test_scenario_37_the_lane_waits_for_what_follows(self) -> None:
        driver = Driver()
        request = driver.submit("a", stores=False)
        steered = driver.begin(request)
        lane = request.lane
        assert lane is not None
        driver.pool.steered(lane)
        driver.finish(request)
        late = driver.submit("a", parent_id=steered, stores=False)
        assert driver.pool.waiting() == [late]
        driver.pool.successor_began(lane, "next", stores=False)
        driver.act()
        driver.error(late, PreviousResponseLostError)  # the lane has gone on
        child = driver.submit("a", parent_id="next", stores=False)
        assert driver.pool.lane_of("next") is lane
        assert driver.pool.waiting() == [child]
        driver.pool.hold(lane, "next", stores=False)
        driver.pool.steer_ended(lane, driver.now)
        driver.act()
        assert child.lane is lane
        assert child.state is PoolRequestState.RUNNING

    def test_scenario_37_the_connection_stays_for_it(self) -> None:
        driver = Driver(close_idle_after=10.0)
        request = driver.submit()
        lane = request.lane
        assert lane is not None
        driver.pool.steered(lane)
        driver.finish(request)
        driver.wait(100.0)
        assert driver.closed == []
        driver.pool.steer_ended(lane, driver.now)
        driver.wait(9.0)
        assert driver.closed == []
        driver.wait(1.0)
        assert driver.closed == driver.opened

    def test_scenario_37_what_follows_and_fails_is_lost(self) -> None:
        driver = Driver()
        request = driver.submit(stores=False)
        driver.begin(request)
        lane = request.lane
        assert lane is not None
        driver.pool.steered(lane)
        driver.pool.steered(lane)
        driver.finish(request)
        driver.pool.successor_began(lane, "next", stores=False)
        driver.pool.steer_ended(lane, driver.now)
        assert driver.pool.lane_of("next") is lane  # the other one's response
        driver.pool.steer_ended(lane, driver.now)
        assert driver.pool.is_lost("next")

    def test_scenario_37_one_may_follow_the_other(self) -> None:
        driver = Driver()
        request = driver.submit(stores=False)
        driver.begin(request)
        lane = request.lane
        assert lane is not None
        driver.pool.steered(lane)
        driver.pool.steered(lane)
        driver.finish(request)
        driver.pool.successor_began(lane, "first", stores=False)
        child = driver.submit(parent_id="first", stores=False)
        driver.pool.successor_began(lane, "second", stores=False)
        driver.act()
        driver.error(child, PreviousResponseLostError)
        assert driver.pool.lane_of("second") is lane

    def test_scenario_37_what_follows_on_a_connection_that_is_gone(self) -> None:
        driver = Driver()
        request = driver.submit()
        lane = request.lane
        assert lane is not None
        driver.pool.steered(lane)
        driver.end(driver.connection)
        driver.pool.successor_began(lane, "next", stores=False)
        assert driver.pool.lane_of("next") is None
        driver.pool.hold(lane, "next", stores=False)
        driver.pool.steer_ended(lane, driver.now)
        assert driver.pool.lane_of("next") is None
        assert driver.pool.is_lost("next")

    def test_what_comes_while_another_request_runs_is_not_held(self) -> None:
        driver = Driver()
        request = driver.submit()
        lane = request.lane
        assert lane is not None
        driver.pool.successor_began(lane, "odd", stores=True)
        driver.pool.hold(lane, "odd", stores=True)
        assert driver.pool.lane_of("odd") is None
        assert not driver.pool.is_lost("odd")


class TestTurns:
    def test_a_turn_costs_the_same_however_many_wait(self) -> None:
        """Counted, not timed: nobody who waits is looked at."""
        looks = 0

        class Watched(PoolRequest):
            __slots__ = ()

            def __getattribute__(self, name: str) -> object:
                nonlocal looks
                looks += 1
                return super().__getattribute__(name)

        costs = []
        for waiting in (10, 1000):
            driver = Driver(max_connections=2)
            parent = driver.unstored()
            requests = [driver.queue() for _ in range(32)]
            driver.act()
            kinds = [{}, {"stream_id": "x"}, {"stream_id": "y", "parent_id": parent, "stores": False}]
            for number in range(waiting):
                driver.pool.submit(Watched(**kinds[number % 3]), driver.now)  # type: ignore[arg-type]
            driver.act()
            looks = 0
            driver.act()
            idle = looks
            driver.finish(requests[0])
            costs.append((idle, looks))
        assert costs[0] == costs[1]

    def test_who_waits_for_the_end_of_what_runs(self) -> None:
        driver = Driver(max_active=1, max_connections=1, connects=False)
        running, waiting = driver.burst(2)
        assert not driver.pool.awaits_responses(driver.now)  # they wait for the connection
        driver.connect(driver.connection)
        assert driver.pool.awaits_responses(driver.now)
        driver.pool.rate_limited(driver.now, 7.0, hits_when_sent=0)
        assert not driver.pool.awaits_responses(driver.now)  # nothing is sent before, whatever ends
        driver.wait(7.0)
        assert driver.pool.awaits_responses(driver.now)
        driver.finish(running)
        assert waiting in driver.sent
        assert not driver.pool.awaits_responses(driver.now)  # nobody waits

    def test_no_deadline_when_nothing_can_happen(self) -> None:
        driver = Driver(connects=False)
        driver.submit()
        assert driver.pool.deadline(driver.now) is None

    def test_backoff_is_the_one_of_the_options(self) -> None:
        backoff = Backoff(max_retries=0)
        driver = Driver(connects=False, backoff=backoff)
        request = driver.submit()
        driver.end(driver.connection, REFUSED)
        assert request in driver.failed
        assert driver.pool.options.backoff is backoff
