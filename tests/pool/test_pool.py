"""The queue of a pool: when a request is sent, how long it waits, and what its deadlines are."""

from __future__ import annotations

import math
from typing import Any

import pytest

from rxresponses.backoff import Backoff
from rxresponses.errors import (
    ConnectFailedError,
    QueueFullError,
    QueueTimeoutError,
)
from rxresponses.pool.lanes import PoolRequest, PoolRequestState

from .driver import HOUR, LOST, REFUSED, Driver, connection_of


class TestOnDemand:
    def test_no_connection_before_the_first_request(self) -> None:
        driver = Driver()
        driver.act()
        assert driver.opened == []
        assert driver.pool.deadline(driver.now) is None

    def test_a_connection_runs_sixteen_requests(self) -> None:
        driver = Driver()
        first = driver.burst(16)
        assert len(driver.opened) == 1
        last = driver.submit()
        assert len(driver.opened) == 2
        assert connection_of(last) is not connection_of(first[0])
        assert driver.pool.active == 17

    def test_an_open_connection_is_used_before_a_new_one_is_opened(self) -> None:
        driver = Driver()
        driver.done()
        driver.burst(16)
        assert len(driver.opened) == 1

    def test_the_fullest_connection_is_used_so_that_others_become_idle(self) -> None:
        driver = Driver(max_active=2)
        first, second, third = driver.burst(3)
        driver.finish(first)
        assert connection_of(driver.submit()) is connection_of(second)
        assert connection_of(third) is not connection_of(second)

    def test_requests_without_a_lane_wait_in_order(self) -> None:
        driver = Driver(max_active=1, max_connections=2)
        requests = driver.burst(5)
        assert driver.sent == requests[:2]
        assert driver.pool.waiting() == requests[2:]
        assert driver.pool.queued == 3
        for request in requests:
            driver.finish(request)
        assert driver.sent == requests
        assert driver.is_quiet()

    def test_no_connection_is_opened_for_withdrawn_requests(self) -> None:
        driver = Driver(connects=False)
        requests = [driver.queue() for _ in range(100)]
        for request in requests[1:]:
            driver.pool.withdraw(request)
        driver.act()
        assert len(driver.opened) == 1

    def test_a_connection_opened_for_a_withdrawn_request_idles_and_is_closed(self) -> None:
        driver = Driver(connects=False)
        driver.withdraw(driver.submit())
        driver.connect(driver.connection)
        driver.connect(driver.connection)  # twice does nothing
        assert driver.sent == []
        driver.wait(60.0)
        assert driver.closed == driver.opened

    def test_a_closed_connection_holds_no_responses(self) -> None:
        driver = Driver()
        parent_id = driver.done()
        driver.wait(60.0)
        assert driver.closed == driver.opened
        assert driver.pool.lane_of(parent_id) is None
        assert driver.submit(parent_id=parent_id).state is PoolRequestState.RUNNING  # it is stored

    def test_prewarm_keeps_connections_open(self) -> None:
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
    def test_requests_over_max_queued_are_refused(self) -> None:
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

    def test_requests_that_are_sent_at_once_do_not_count_as_queued(self) -> None:
        driver = Driver(max_connections=1, max_queued=2)
        driver.pool.prewarm(1, None)
        driver.act()
        burst = driver.burst(20)
        assert driver.sent == burst[:16]
        assert list(driver.failed) == [burst[19], burst[18]]
        assert driver.pool.waiting() == burst[16:18]

    def test_no_connection_is_opened_for_refused_requests(self) -> None:
        driver = Driver(has_lanes=False, connects=False, max_queued=2)
        driver.burst(5)
        assert len(driver.opened) == 2

    def test_requests_wait_no_longer_than_queue_timeout(self) -> None:
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

    def test_queue_timeout_ends_once_the_server_has_seen_the_request(self) -> None:
        driver = Driver(queue_timeout=10.0)
        request = driver.submit()
        driver.refuse(request, delay=20.0)
        driver.wait(20.0)
        assert driver.sent == [request, request]

    def test_queue_timeout_continues_for_a_request_that_was_not_sent(self) -> None:
        driver = Driver(queue_timeout=10.0)
        request = driver.submit()
        driver.connects = False
        driver.wait(4.0)
        driver.pool.connection_ended(driver.connection, LOST, driver.now)
        driver.pool.requeue(request, driver.now)
        driver.wait(6.0)
        driver.error(request, QueueTimeoutError)

    def test_the_oldest_request_runs_first_wherever_it_waits(self) -> None:
        """A request that can run only on one lane gains nothing over those that can run anywhere."""
        driver = Driver(max_active=1, max_connections=1)
        parent_id = driver.unstored()
        fork = driver.submit(parent_id=parent_id, stream_id="x", stores=False)
        driver.fail(fork)  # the lane of the parent still holds it
        running = driver.submit()
        free = driver.submit()
        bound = driver.submit(parent_id=parent_id, stores=False)
        driver.finish(running)
        assert driver.sent[-1] is free
        driver.finish(free)
        assert driver.sent[-1] is bound

    @pytest.mark.parametrize(
        "where",
        [
            "for any lane",
            "behind another of its lane",
            "delayed",
            "for its running parent",
            "for the lane of its parent",
            "as a fork",
        ],
    )
    def test_a_request_can_be_withdrawn_wherever_it_waits(self, where: str) -> None:
        driver = Driver(max_active=2, max_connections=1)
        parent_id = driver.unstored()
        running = driver.submit("a")
        running_id = driver.begin(running)
        driver.submit()
        request = {
            "for any lane": lambda: driver.submit(),
            "behind another of its lane": lambda: driver.submit("a"),
            "delayed": lambda: self.delayed(driver),
            "for its running parent": lambda: driver.submit(parent_id=running_id, stores=False),
            "for the lane of its parent": lambda: driver.submit(parent_id=parent_id, stores=False),
            "as a fork": lambda: driver.submit("b", parent_id=parent_id, stores=False),
        }[where]()
        assert driver.pool.waiting() == [request]
        driver.withdraw(request)
        assert request.state is PoolRequestState.ENDED
        driver.withdraw(request)  # twice does nothing
        assert driver.pool.queued == 0
        for other in list(driver.connection.running()):
            driver.withdraw(other)  # does nothing, as it runs
            driver.finish(other)
        assert driver.is_quiet()
        assert driver.pool.lane_of(parent_id) is not None

    @staticmethod
    def delayed(driver: Driver) -> PoolRequest:
        request = driver.sent[-1]
        driver.refuse(request, delay=5.0)
        return request

    def test_a_requeued_request_keeps_its_position(self) -> None:
        driver = Driver(max_active=1, max_connections=1)
        first, second = driver.burst(2)
        driver.refuse(first)
        assert driver.sent == [first, first]
        assert driver.pool.waiting() == [second]

    def test_a_requeued_request_waits_for_its_delay(self) -> None:
        driver = Driver()
        request = driver.submit("a")
        behind = driver.submit("a")
        driver.refuse(request, delay=3.0)
        assert driver.pool.deadline(driver.now) == 3.0
        assert driver.pool.waiting() == [request, behind]  # the lane stays in order
        driver.wait(3.0)
        assert driver.sent == [request, request]

    def test_only_running_requests_are_requeued(self) -> None:
        driver = Driver()
        request = driver.submit()
        driver.finish(request)
        driver.pool.requeue(request, driver.now)
        driver.pool.finished(request, driver.now)
        driver.pool.began(request, "late")
        assert driver.is_quiet()
        assert driver.pool.lane_of("late") is None


class TestRateLimits:
    def test_a_refusal_pauses_all_requests_for_as_long_as_the_server_says(self) -> None:
        driver = Driver()
        first, second = driver.burst(2)
        driver.limit(first, 30.0)
        third = driver.submit()
        assert driver.pool.waiting() == [first, third]
        assert driver.pool.deadline(driver.now) == 30.0
        driver.wait(30.0)
        assert driver.sent == [first, second]  # one request at a time from now on, and one runs
        driver.finish(second)
        assert driver.sent == [first, second, first]  # the success of the second does not raise the limit of one
        driver.finish(first)
        assert driver.sent == [first, second, first, third]

    def test_successes_of_requests_sent_before_the_limit_do_not_raise_it(self) -> None:
        driver = Driver(max_connections=4)
        running = driver.burst(64)
        for request in running[:20]:
            driver.limit(request, 30.0)
        more = [driver.submit() for _ in range(40)]
        for request in running[20:]:
            driver.finish(request)
        driver.wait(30.0)
        assert driver.pool.active == 32
        assert driver.sent[64:] == [*running[:20], *more[:12]]

    def test_half_as_many_run_after_a_limit_and_more_with_each_success(self) -> None:
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

    def test_no_connection_is_opened_for_requests_over_the_limit(self) -> None:
        driver = Driver(max_active=1)
        first = driver.submit()
        driver.limit(first, 10.0)
        driver.burst(10)
        driver.wait(10.0)
        assert len(driver.opened) == 1

    @pytest.mark.parametrize(
        "told",
        [
            {"headers": {"Retry-After": "7"}},
            {"headers": {"x-ratelimit-reset-requests": "7s", "x-ratelimit-remaining-requests": "0"}},
            {"type": "usage_limit_reached", "retry_after": 7.0},
        ],
        ids=["Retry-After", "reset", "body"],
    )
    def test_scenario_64_a_connection_refused_at_a_rate_limit_pauses_requests_too(self, told: dict[str, Any]) -> None:
        driver = Driver(connects=False)
        request = driver.submit()
        driver.end(driver.connection, ConnectFailedError("slow down", status=429, **told))
        assert driver.pool.rate_limit.remaining_pause(driver.now) == 7.0
        driver.wait(7.0)
        driver.connect(driver.connection)
        assert driver.sent == [request]

    def test_the_oldest_request_runs_first_when_only_one_may_run(self) -> None:
        """On whichever connection it waits: else a request on the other one could wait for ever."""
        driver = Driver(max_active=1, max_connections=2)
        parent_ids = [driver.unstored()]
        blocker = driver.submit()
        parent_ids.append(driver.unstored())
        driver.finish(blocker)
        driver.rate_limit(1, 1.0)
        requests = [
            driver.submit(parent_id=parent_ids[1], stores=False),
            driver.submit(parent_id=parent_ids[0], stores=False),
        ]
        driver.submit()
        driver.wait(1.0)
        assert driver.sent[-1] is requests[0]
        driver.fail(requests[0])
        assert driver.sent[-1] is requests[1]


class TestNextActions:
    def test_next_actions_costs_the_same_however_many_requests_wait(self) -> None:
        """Counted, not timed: `next_actions` looks at no waiting request but the first ones."""
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
            parent_id = driver.unstored()
            requests = [driver.queue() for _ in range(32)]
            driver.act()
            kinds = [{}, {"stream_id": "x"}, {"stream_id": "y", "parent_id": parent_id, "stores": False}]
            for number in range(waiting):
                driver.pool.submit(Watched(**kinds[number % 3]), driver.now)  # type: ignore[arg-type]
            driver.act()
            looks = 0
            driver.act()
            idle = looks
            driver.finish(requests[0])
            costs.append((idle, looks))
        assert costs[0] == costs[1]

    def test_awaits_responses(self) -> None:
        driver = Driver(max_active=1, max_connections=1, connects=False)
        running, waiting = driver.burst(2)
        assert not driver.pool.awaits_responses(driver.now)  # the requests wait for the connection
        driver.connect(driver.connection)
        assert driver.pool.awaits_responses(driver.now)
        driver.pool.rate_limited(ConnectFailedError("limit", status=429, retry_after=7.0), driver.now, hits_when_sent=0)
        assert not driver.pool.awaits_responses(driver.now)  # nothing is sent before that, whichever response ends
        driver.wait(7.0)
        assert driver.pool.awaits_responses(driver.now)
        driver.finish(running)
        assert waiting in driver.sent
        assert not driver.pool.awaits_responses(driver.now)  # no request waits

    def test_no_deadline_while_only_a_connection_is_awaited(self) -> None:
        driver = Driver(connects=False)
        driver.submit()
        assert driver.pool.deadline(driver.now) is None

    def test_requests_are_those_that_wait_or_run(self) -> None:
        driver = Driver(max_active=1, max_connections=1)
        ended, running, waiting = driver.burst(3)
        driver.finish(ended)
        assert set(driver.pool.requests()) == {running, waiting}

    def test_scenario_64_a_wait_told_in_the_handshake_pauses_requests(self) -> None:
        driver = Driver(connects=False)
        driver.submit()
        driver.pool.connection_opened(driver.opened[0], driver.now, requested_wait=1.5)
        driver.act()
        assert driver.sent == []
        driver.wait(1.5)
        assert len(driver.sent) == 1
        assert driver.pool.rate_limit.max_active == math.inf  # nothing was refused

    def test_scenario_64_too_long_a_wait_told_in_the_handshake_pauses_nothing(self) -> None:
        driver = Driver(connects=False)
        driver.submit()
        driver.pool.connection_opened(driver.opened[0], driver.now, requested_wait=601.0)
        driver.act()
        assert len(driver.sent) == 1

    def test_a_requested_wait_that_is_too_long_pauses_nothing(self) -> None:
        driver = Driver()
        driver.pool.rate_limited(
            ConnectFailedError("limit", status=429, retry_after=601.0), driver.now, hits_when_sent=0
        )
        assert driver.pool.rate_limit.remaining_pause(driver.now) is None

    def test_the_error_of_the_latest_connection_is_shown_until_one_is_open(self) -> None:
        driver = Driver(connects=False)
        driver.submit()
        assert driver.pool.connect_error() is None
        driver.end(driver.connection, REFUSED)
        assert driver.pool.connect_error() is REFUSED
        driver.wait(1.0)
        driver.connect(driver.connection)
        assert driver.pool.connect_error() is None

    def test_the_backoff_is_that_of_the_options(self) -> None:
        backoff = Backoff(max_retries=0)
        driver = Driver(connects=False, backoff=backoff)
        request = driver.submit()
        driver.end(driver.connection, REFUSED)
        assert request in driver.failed
        assert driver.pool.options.backoff is backoff
