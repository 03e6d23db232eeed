"""The requests of a pool behind limits and a budget: asked for in order, before each try, and settled once each."""

from __future__ import annotations

import math
from collections.abc import Callable

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from rxresponses.errors import BudgetExceededError, ConnectFailedError, QueueTimeoutError
from rxresponses.limits.admission import NOTHING_USED, Admitted, Answer, Estimate, Refused, Wait
from rxresponses.limits.budget import Amount, Budget
from rxresponses.limits.estimate import RequestSize
from rxresponses.limits.gate import Gate
from rxresponses.limits.limits import Limits
from rxresponses.limits.local import LocalAdmission
from rxresponses.limits.pace import WINDOW
from rxresponses.pool.lanes import PoolRequest, PoolRequestState
from rxresponses.wire.models import ResponseUsage
from tests.effort import examples
from tests.support.calls import count_calls

from .driver import LOST, Driver

SIZE = RequestSize("m", 400, max_output_tokens=100)  # 100 tokens of input at first, and 100 of output
USED = ResponseUsage(input_tokens=10, output_tokens=20)


class Noting(LocalAdmission):
    """Notes what it is asked for, and which requests are forgotten."""

    def __init__(self, limits: Limits | None = None, budget: Budget | None = None) -> None:
        super().__init__(Gate(limits), budget)
        self.asked: list[int] = []
        self.forgotten: list[int] = []

    def ask(self, request_key: int, estimate: Estimate, now: float) -> Answer:
        self.asked.append(request_key)
        return super().ask(request_key, estimate, now)

    def forget(self, request_key: int) -> None:
        self.forgotten.append(request_key)


def settle(driver: Driver, request: PoolRequest, usage: ResponseUsage = USED) -> None:
    """Have a response end with this usage."""
    assert driver.pool.admission is not None
    driver.pool.admission.settle(request, usage, driver.now)
    driver.finish(request)


class TestLimits:
    def test_requests_are_sent_at_the_pace_of_their_limit_and_in_order(self) -> None:
        driver = Driver(admission=LocalAdmission(Gate(Limits(requests_per_minute=60))))
        requests = driver.burst(5)
        assert driver.sent == requests[:1]
        assert driver.pool.limited_until is not None
        driver.wait(0.8)
        assert driver.sent == requests[:1]
        driver.wait(0.2)
        assert driver.sent == requests[:2]
        driver.wait(3.1)
        assert driver.sent == requests
        assert driver.pool.limited_until is None

    def test_while_the_limit_lets_requests_wait_no_connection_is_opened_for_them(self) -> None:
        driver = Driver(admission=LocalAdmission(Gate(Limits(requests_per_minute=60))))
        driver.submit()
        driver.burst(100)
        assert len(driver.opened) == 1
        assert not driver.pool.awaits_responses(driver.now)

    def test_a_large_request_is_not_passed_by_small_ones(self) -> None:
        driver = Driver(admission=LocalAdmission(Gate(Limits(tokens_per_minute=6000))))
        driver.submit(size=RequestSize("m", 4000, 0))
        large = driver.submit(size=RequestSize("m", 40_000, 0))
        small = driver.submit(size=RequestSize("m", 4, 0))
        driver.wait(11)
        assert driver.sent[1:] == [large]
        driver.wait(90)
        assert small not in driver.sent
        driver.wait(20)
        assert small in driver.sent

    def test_a_response_that_used_less_lets_the_next_request_go_earlier(self) -> None:
        driver = Driver(admission=LocalAdmission(Gate(Limits(tokens_per_minute=2400))))
        first, second = driver.burst(2, size=SIZE)
        driver.wait(1)
        assert driver.sent == [first]
        settle(driver, first)
        assert driver.sent == [first, second]

    def test_estimates_learn_from_the_responses_of_the_model(self) -> None:
        budget = Budget()
        driver = Driver(admission=LocalAdmission(budget=budget))
        request = driver.submit(size=SIZE)
        settle(driver, request)
        assert driver.pool.admission is not None
        driver.pool.admission.settle(request, ResponseUsage(total_tokens=9999), driver.now)  # a second time
        driver.submit(size=SIZE)
        assert budget.reserved == Amount(0.0, 30, 1)
        assert budget.spent == Amount(0.0, 30, 1)

    def test_a_request_that_sends_its_history_teaches_nothing(self) -> None:
        budget = Budget()
        driver = Driver(admission=LocalAdmission(budget=budget))
        request = driver.submit(size=SIZE)
        request.sends_history = True
        settle(driver, request)
        driver.submit(size=SIZE)
        assert budget.reserved == Amount(0.0, 200, 1)

    def test_a_limit_told_in_the_handshake_counts(self) -> None:
        driver = Driver(admission=LocalAdmission(Gate(Limits())), connects=False)
        driver.burst(3)
        connection = driver.opened[0]
        driver.pool.connection_opened(connection, driver.now, headers={"x-ratelimit-limit-requests": "60"})
        driver.act()
        assert len(driver.sent) == 1
        driver.wait(2.1)
        assert len(driver.sent) == 3

    def test_a_wait_told_in_the_handshake_holds_the_gate_as_well(self) -> None:
        gate = Gate()
        driver = Driver(admission=LocalAdmission(gate), connects=False)
        driver.burst(1)
        driver.pool.connection_opened(driver.opened[0], driver.now, requested_wait=5.0)
        assert gate.ready_at(0.0) == 5.0

    def test_a_limit_told_in_a_refusal_counts(self) -> None:
        gate = Gate(Limits())
        driver = Driver(admission=LocalAdmission(gate))
        error = ConnectFailedError(
            "on tokens per min (TPM): Limit 600",
            status=429,
            headers={"x-ratelimit-limit-requests": "60"},
            retry_after=9,
        )
        driver.pool.rate_limited(error, driver.now, hits_when_sent=0)
        assert (gate.limit("requests"), gate.limit("tokens")) == (60, 600)
        assert gate.ready_at(driver.now) == 9
        driver.pool.rate_limited(
            ConnectFailedError("later", status=429, retry_after=10_000), driver.now, hits_when_sent=0
        )
        assert gate.ready_at(driver.now) == 9, "too long a wait holds nothing: each request gets its own refusal"

    def test_requests_of_a_closed_pool_are_settled_and_forgotten(self) -> None:
        budget = Budget()
        admission = Noting(Limits(requests_per_minute=1), budget)
        driver = Driver(admission=admission)
        _, waiting = driver.burst(2, size=SIZE)
        driver.pool.close(driver.now)
        driver.pool.close(driver.now)
        assert budget.reserved.requests == 0
        assert budget.spent == Amount(0.0, 200, 1), "nothing is known of it, so it counts as estimated"
        assert admission.forgotten == [waiting.number]
        Driver().pool.close(0.0)

    def test_requests_of_a_lost_connection_are_settled_when_the_pool_is_closed(self) -> None:
        budget = Budget()
        driver = Driver(admission=LocalAdmission(budget=budget))
        driver.submit(size=SIZE)
        driver.pool.connection_ended(driver.connection, LOST, driver.now)
        driver.pool.close(driver.now)
        assert budget.reserved == Amount(0.0, 0, 0)
        assert budget.spent == Amount(0.0, 200, 1)


class TestBudget:
    def test_a_request_for_which_nothing_is_left_fails_before_it_is_sent_and_what_runs_finishes(self) -> None:
        budget = Budget(requests=2)
        driver = Driver(admission=LocalAdmission(budget=budget))
        requests = driver.burst(4, size=SIZE)
        assert driver.sent == requests[:2]
        assert driver.failed == {}, "the running ones may not have been sent, as far as the budget knows"
        assert driver.pool.limited_until == math.inf
        assert driver.pool.awaits_responses(driver.now)
        settle(driver, requests[0])
        settle(driver, requests[1])
        assert driver.sent == requests[:2]
        for request in requests[2:]:
            assert driver.error(request, BudgetExceededError).unit == "requests"
        assert budget.spent == Amount(0.0, 60, 2)
        assert driver.is_quiet()

    def test_a_request_in_a_lane_lets_the_next_one_of_its_lane_be_asked_for(self) -> None:
        driver = Driver(admission=LocalAdmission(budget=Budget(tokens=250)))
        first = driver.submit("a", size=SIZE)
        large = driver.submit("a", size=RequestSize("m", 40_000))
        small = driver.submit("a", size=RequestSize("m", 4, 1))
        settle(driver, first)
        driver.error(large, BudgetExceededError)
        assert driver.sent == [first, small]

    def test_the_error_names_the_lane(self) -> None:
        driver = Driver(admission=LocalAdmission(budget=Budget(requests=0)))
        assert driver.error(driver.submit("a"), BudgetExceededError).stream_id == "a"

    @pytest.mark.parametrize(
        ("end", "spent"),
        [
            (lambda driver, request: settle(driver, request), Amount(0.0, 30, 1)),
            (lambda driver, request: driver.finish(request), Amount(0.0, 200, 1)),
            (lambda driver, request: driver.fail(request), Amount(0.0, 200, 1)),
            (lambda driver, request: driver.end(driver.connection), Amount(0.0, 200, 1)),
            (lambda driver, request: driver.pool.unsent(request, driver.now), Amount(0.0, 0, 0)),
        ],
        ids=["completed", "completed without a usage", "failed without a usage", "lost", "not sent"],
    )
    def test_each_end_settles_the_request(self, end: Callable[[Driver, PoolRequest], None], spent: Amount) -> None:
        budget = Budget()
        driver = Driver(admission=LocalAdmission(budget=budget))
        request = driver.submit(size=SIZE)
        assert budget.reserved == Amount(0.0, 200, 1)
        end(driver, request)
        driver.act()
        assert budget.reserved == Amount(0.0, 0, 0)
        assert budget.spent == spent

    def test_a_request_that_ended_before_its_connection_was_lost_is_settled_once(self) -> None:
        budget = Budget()
        driver = Driver(admission=LocalAdmission(budget=budget))
        request = driver.submit(size=SIZE)
        driver.pool.connection_ended(driver.connection, LOST, driver.now)
        driver.pool.finished(request, driver.now)
        driver.act()
        assert budget.reserved == Amount(0.0, 0, 0)
        assert budget.spent == Amount(0.0, 200, 1)

    def test_each_try_is_asked_for_and_settled(self) -> None:
        budget = Budget()
        admission = Noting(budget=budget)
        driver = Driver(admission=admission)
        request = driver.submit(size=SIZE)
        assert driver.pool.admission is not None
        driver.pool.admission.settle(request, NOTHING_USED, driver.now)
        driver.refuse(request)
        assert budget.spent == Amount(0.0, 0, 1)
        driver.end(driver.connection, None)
        driver.act()
        assert admission.asked == [request.number] * 2

    def test_a_try_that_was_not_sent_costs_nothing(self) -> None:
        budget = Budget()
        driver = Driver(admission=LocalAdmission(budget=budget))
        driver.refuse(driver.submit(size=SIZE))
        assert budget.spent == Amount(0.0, 0, 0)
        assert budget.reserved == Amount(0.0, 200, 1)

    def test_a_steer_is_charged_and_never_waits(self) -> None:
        budget = Budget(requests=2)
        driver = Driver(admission=LocalAdmission(Gate(Limits(requests_per_minute=1)), budget))
        request = driver.submit(size=SIZE)
        lane, admission = request.lane, driver.pool.admission
        assert lane is not None
        assert admission is not None
        answer = admission.ask_for_steer(lane, 40, driver.now)
        assert not isinstance(answer, Exception)
        assert answer.estimate.model == "m"
        assert budget.reserved == Amount(0.0, 200 + 110, 2)
        admission.settle_steer(answer, USED, driver.now)
        assert budget.spent == Amount(0.0, 30, 1)
        settle(driver, request)
        assert isinstance(admission.ask_for_steer(lane, 40, driver.now), BudgetExceededError)
        lane.latest_size = None
        assert isinstance(admission.ask_for_steer(lane, 40, driver.now), BudgetExceededError)


class TestAsking:
    def test_only_the_first_request_is_asked_for(self) -> None:
        admission = Noting(Limits(requests_per_minute=60))
        driver = Driver(admission=admission)
        requests = driver.burst(100)
        driver.act()
        assert set(admission.asked) == {requests[0].number, requests[1].number}

    def test_a_request_that_waits_no_more_is_forgotten(self) -> None:
        admission = Noting(Limits(requests_per_minute=1))
        driver = Driver(admission=admission, queue_timeout=5.0)
        _, waiting, next_one = driver.burst(3)
        driver.withdraw(waiting)
        assert admission.forgotten == [waiting.number]
        driver.wait(5.0)
        assert "the limits or the budget of the client let no other request begin" in str(
            driver.error(next_one, QueueTimeoutError)
        )
        assert admission.forgotten == [waiting.number, next_one.number]

    def test_an_admitted_request_is_not_forgotten(self) -> None:
        admission = Noting(Limits(requests_per_minute=60))
        driver = Driver(admission=admission)
        driver.burst(3)
        driver.wait(10)
        assert admission.forgotten == []

    def test_what_changes_elsewhere_is_told(self) -> None:
        budget = Budget(requests=1)
        driver = Driver(admission=LocalAdmission(budget=budget))
        assert driver.pool.admission is not None
        called: list[str] = []
        driver.pool.admission.on_change(lambda: called.append("changed"))
        reservation = budget.reserve(Estimate(0, 0))  # of another client
        assert reservation is not None
        request = driver.submit()
        assert request.state is PoolRequestState.WAITING
        budget.settle(reservation, None)
        assert called == ["changed"]
        driver.act()
        assert driver.sent == [request]

    def test_an_admission_of_any_kind_is_asked(self) -> None:
        """What a program on several machines needs: the answer is found out elsewhere, and told by `on_change`."""

        class Remote(LocalAdmission):
            granted = False

            def ask(self, request_key: int, estimate: Estimate, now: float) -> Answer:
                return super().ask(request_key, estimate, now) if self.granted else Wait(math.inf)

        admission = Remote()
        driver = Driver(admission=admission)
        request = driver.submit()
        assert driver.sent == []
        assert driver.pool.deadline(driver.now) == driver.pool._connections.deadline()
        admission.granted = True
        driver.act()
        assert driver.sent == [request]
        assert not isinstance(admission.ask(9, Estimate(1, 1), 0.0), Refused)
        assert isinstance(admission.ask_now(Estimate(1, 1), 0.0), Admitted)

    def test_ten_thousand_requests_that_wait_cost_no_more_each_than_a_hundred(self) -> None:
        def calls_each(count: int) -> float:
            driver = Driver(admission=LocalAdmission(Gate(Limits(requests_per_minute=6000))), max_queued=count)
            for _ in range(count):
                driver.queue()
            driver.act()  # each request is told once where to wait
            calls = count_calls(lambda: drain(driver, 30))
            assert len(driver.sent) > 25
            return calls / len(driver.sent)

        def drain(driver: Driver, steps: int) -> None:
            for _ in range(steps):
                for request in driver.sent:
                    if request.state is PoolRequestState.RUNNING:
                        driver.finish(request)
                driver.wait(0.01)

        assert calls_each(10_000) < 1.5 * calls_each(100)


@settings(max_examples=examples(100))
@given(
    per_minute=st.integers(1, 2000),
    tokens=st.one_of(st.none(), st.integers(0, 3000)),
    steps=st.lists(
        st.tuples(
            st.integers(0, 400), st.integers(0, 150), st.floats(0, 5), st.sampled_from(["end", "lose", "refuse"])
        ),
        max_size=30,
    ),
)
def test_every_request_is_sent_or_refused_within_the_limits(
    per_minute: int, tokens: int | None, steps: list[tuple[int, int, float, str]]
) -> None:
    """Whatever requests come and however they end: the order, the limit and the budget are kept, and none is left."""
    budget = Budget(tokens=tokens)
    driver = Driver(admission=LocalAdmission(Gate(Limits(requests_per_minute=per_minute)), budget))
    sent_at: list[float] = []
    excess, known = 0, 0
    requests: list[PoolRequest] = []

    def note() -> None:
        sent_at.extend([driver.now] * (len(driver.sent) - len(sent_at)))

    def end(request: PoolRequest, used: int, how: str) -> None:
        nonlocal excess
        reservation = request.reservation
        assert reservation is not None
        if how == "lose":
            assert request.lane is not None
            driver.end(request.lane.connection)
        else:
            if how == "end":
                excess += max(0, used - reservation.estimate.tokens)
            settle(driver, request, ResponseUsage(total_tokens=used) if how == "end" else NOTHING_USED)
        note()

    def step() -> None:
        note()
        deadline = driver.pool.deadline(driver.now)
        assert deadline is not None
        driver.now = deadline
        driver.act()
        note()

    for frame_bytes, used, pause, how in steps:
        requests.append(driver.submit(size=RequestSize("m", frame_bytes, 100)))
        note()
        end_at = driver.now + pause
        while (deadline := driver.pool.deadline(driver.now)) is not None and deadline <= end_at:
            step()
        driver.now = end_at
        running = [request for request in driver.sent if request.state is PoolRequestState.RUNNING]
        if running:
            end(running[known % len(running)], used, how)
            known += 1
    while driver.pool.queued or driver.pool.active:
        running = [request for request in driver.sent if request.state is PoolRequestState.RUNNING]
        if running:
            end(running[0], 1, "end")
        else:
            step()
    assert all(request in driver.failed or request in driver.sent for request in requests)
    assert [request.number for request in driver.sent] == sorted(request.number for request in driver.sent)
    assert budget.reserved == Amount(0.0, 0, 0)
    assert tokens is None or budget.spent.tokens <= tokens + excess
    for index, at in enumerate(sent_at):
        assert sum(other > at - WINDOW for other in sent_at[:index]) <= per_minute / 6 + 1e-6
