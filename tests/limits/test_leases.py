from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxresponses.errors import BudgetExceededError
from rxresponses.limits.admission import Estimate, ServerLimits
from rxresponses.limits.budget import Budget
from rxresponses.limits.gate import Gate
from rxresponses.limits.leases import GRACE, Answered, Leases
from rxresponses.limits.limits import Limits
from rxresponses.limits.local import LocalAdmission
from rxresponses.limits.permits import Grant, Permit, Report
from rxresponses.wire.models import ResponseUsage
from tests.effort import examples

from ..support.lease_simulation import Simulation

ONE = Estimate(10, 20)


def leases(budget: Budget | None = None, rpm: float | None = None) -> Leases:
    return Leases(LocalAdmission(Gate(Limits(requests_per_minute=rpm)), budget))


def usage(tokens: int) -> ResponseUsage:
    return ResponseUsage(input_tokens=tokens, output_tokens=0, total_tokens=tokens)


def granted(answers: list[Answered]) -> dict[str, int]:
    return {answer.worker: len(answer.grant.permits) for answer in answers}


class TestAnswers:
    def test_what_is_wanted_is_granted_at_once(self) -> None:
        gate = leases()
        gate.report("a", Report(waiting=ONE, ahead=2, similar=ONE), 0.0)
        [answer], next_at = gate.answers(0.0)
        assert answer == Answered("a", Grant(tuple(Permit(number, ONE) for number in (1, 2, 3))))
        assert next_at == math.inf
        assert (gate.workers, gate.held, gate.granted, gate.answered) == (1, 3, 3, 1)
        assert gate.answers(1.0) == ([], math.inf)

    def test_a_report_that_wants_nothing_is_answered_at_once(self) -> None:
        gate = leases()
        gate.report("a", Report(), 0.0)
        assert gate.answers(0.0) == ([Answered("a", Grant())], math.inf)

    def test_a_worker_with_some_permits_waits_a_little_for_the_others(self) -> None:
        gate = leases(rpm=60)
        gate.report("a", Report(waiting=ONE, ahead=2, similar=ONE), 0.0)
        answers, next_at = gate.answers(0.0)
        assert answers == []
        assert 0.0 < next_at < 0.1
        answers, _ = gate.answers(next_at)
        assert granted(answers) == {"a": 1}

    def test_a_worker_without_a_permit_hears_so_and_keeps_its_place(self) -> None:
        gate = leases(rpm=60)
        gate.report("first", Report(waiting=ONE), 0.0)
        assert granted(gate.answers(0.0)[0]) == {"first": 1}
        gate.report("a", Report(waiting=ONE), 0.1)
        gate.report("b", Report(waiting=ONE), 0.2)
        answers, next_at = gate.answers(0.2)
        assert answers == []
        while not answers:
            answers, next_at = gate.answers(next_at)
        assert granted(answers) == {"a": 0}
        gate.report("a", Report(waiting=ONE), 0.7)
        at = 0.7
        order: list[str] = []
        while len(order) < 2:
            answers, at = gate.answers(at)
            order += [name for name, permits in granted(answers).items() if permits]
            for name in ("a", "b"):
                if granted(answers).get(name) == 0:
                    gate.report(name, Report(waiting=ONE), at)
        assert order == ["a", "b"]

    def test_permits_in_advance_come_after_all_requests_that_wait(self) -> None:
        gate = leases(Budget(requests=4))
        gate.report("a", Report(waiting=ONE, ahead=9, similar=ONE), 0.0)
        gate.report("b", Report(waiting=ONE, ahead=9, similar=ONE), 0.0)
        answers, next_at = gate.answers(0.0)
        assert answers == []
        assert granted(gate.answers(next_at)[0]) == {"a": 2, "b": 2}

    def test_unused_permits_come_back(self) -> None:
        budget = Budget(requests=1)
        gate = leases(budget)
        gate.report("a", Report(ahead=1, similar=ONE), 0.0)
        gate.answers(0.0)
        gate.report("b", Report(waiting=ONE), 0.0)
        assert gate.answers(0.0)[0] == []
        gate.report("a", Report(settled=((1, None),)), 0.05)
        assert granted(gate.answers(0.05)[0]) == {"a": 0, "b": 1}
        assert budget.spent.requests == 0

    def test_a_spent_budget_refuses_the_request_that_waits(self) -> None:
        gate = leases(Budget(tokens=20))
        gate.report("a", Report(waiting=ONE, ahead=1, similar=ONE), 0.0)
        [answer], _ = gate.answers(0.0)
        assert isinstance(answer.grant.refusal, BudgetExceededError)
        assert answer.grant.permits == ()
        gate.report("a", Report(ahead=1, similar=ONE), 0.1)
        assert gate.answers(0.1)[0] == [Answered("a", Grant())]

    def test_a_request_that_does_not_wait_any_more_gets_nothing(self) -> None:
        gate = leases(rpm=60)
        gate.report("first", Report(waiting=ONE), 0.0)
        gate.answers(0.0)
        gate.report("a", Report(waiting=ONE), 0.1)
        gate.answers(0.1)
        gate.report("a", Report(), 0.2)
        gate.report("b", Report(waiting=ONE), 0.2)
        answers, next_at = gate.answers(0.2)
        assert granted(answers) == {"a": 0}
        answers, _ = gate.answers(max(next_at, 0.95))
        assert granted(answers).get("b", 0) == 0 or granted(answers) == {"b": 1}
        assert "a" not in granted(answers)


class TestReport:
    def test_it_settles_the_budget(self) -> None:
        budget = Budget(tokens=1000)
        gate = leases(budget)
        gate.report("a", Report(ahead=3, similar=ONE), 0.0)
        gate.answers(0.0)
        assert budget.reserved.tokens == 90
        gate.report("a", Report(settled=((1, usage(7)), (1, usage(7)), (99, usage(7))), unknown=(2, 2)), 1.0)
        assert (budget.spent.tokens, budget.reserved.tokens) == (37, 30)
        assert gate.held == 1

    def test_what_was_sent_without_a_permit_counts(self) -> None:
        budget = Budget(tokens=50)
        gate = leases(budget)
        gate.report("a", Report(sent_now=(Permit(-1, ONE), Permit(-2, ONE)), settled=((-1, usage(40)),)), 0.0)
        assert (budget.spent.tokens, budget.reserved.tokens) == (40, 30)
        gate.report("a", Report(sent_now=(Permit(-3, ONE),)), 0.0)  # no room, and it was sent all the same
        assert budget.spent.tokens == 40

    def test_limits_of_the_server(self) -> None:
        gate = leases()
        gate.report("a", Report(limited=(2.0,), told=ServerLimits(requests=60)), 0.0)
        gate.report("a", Report(waiting=ONE), 0.0)
        answers, next_at = gate.answers(0.0)
        assert answers == []
        while not answers or not granted(answers)["a"]:
            gate.report("a", Report(waiting=ONE), next_at)
            answers, next_at = gate.answers(next_at)
        assert next_at >= 2.0 or next_at == math.inf


class TestLost:
    @pytest.mark.parametrize("told", [True, False])
    def test_what_a_lost_worker_held_counts_as_estimated(self, told: bool) -> None:
        budget = Budget(tokens=1000)
        gate = leases(budget)
        gate.report("a", Report(ahead=2, similar=ONE), 0.0)
        gate.answers(0.0)
        gate.report("a", Report(waiting=ONE, settled=((1, usage(5)),)), 1.0)
        if told:
            gate.gone("a", 1.0)
            gate.gone("a", 1.0)
            assert budget.spent.tokens == 35
        else:
            gate.answers(1.0)
            gate.answers(1.0 + GRACE)
            assert gate.workers == 1
            gate.answers(1.1 + GRACE)
            assert budget.spent.tokens == 65
        assert gate.workers == gate.held == budget.reserved.tokens == 0

    def test_permits_that_were_not_told_yet_are_taken_back(self) -> None:
        budget = Budget(requests=1)
        gate = leases(budget)
        gate.report("a", Report(waiting=ONE, ahead=5, similar=ONE), 0.0)
        gate.answers(0.0)
        assert budget.reserved.requests == 1
        gate.gone("a", 0.0)
        assert budget.spent.requests == budget.reserved.requests == 0

    def test_a_worker_that_was_only_slow_goes_on(self) -> None:
        budget = Budget(tokens=1000)
        gate = leases(budget)
        gate.report("a", Report(waiting=ONE), 0.0)
        gate.answers(0.0)
        gate.answers(GRACE + 1)
        gate.report("a", Report(waiting=ONE, settled=((1, usage(5)),)), GRACE + 2)
        assert granted(gate.answers(GRACE + 2)[0]) == {"a": 1}
        assert budget.spent.tokens == 30


class TestManyWorkers:
    @settings(max_examples=examples(30))
    @given(
        seed=st.integers(0, 10**6),
        workers=st.integers(1, 8),
        concurrency=st.integers(1, 20),
        rpm=st.sampled_from([60, 600, 1800]),
        unsent=st.sampled_from([0.0, 0.2]),
    )
    def test_the_rate_is_kept_and_no_worker_starves(
        self, seed: int, workers: int, concurrency: int, rpm: int, unsent: float
    ) -> None:
        simulation = Simulation(
            LocalAdmission(Gate(Limits(requests_per_minute=rpm))),
            workers=workers,
            concurrency=concurrency,
            seed=seed,
            unsent=unsent,
        )
        simulation.run(15)
        lost = simulation.workers[-1]
        simulation.lose(lost, told=seed % 2 == 0)
        simulation.run(10)
        assert simulation.most_in_a_window() <= rpm / 6 * 1.02 + 1
        # Each request waits for one of each other worker at most, and for what a lost worker still got.
        turn = (workers + 2) * 60 / rpm + 11.0 * (rpm == 60)
        assert max(sent.waited for sent in simulation.sent) <= turn + 0.5

    @settings(max_examples=examples(30))
    @given(seed=st.integers(0, 10**6), workers=st.integers(1, 6), limit=st.integers(1000, 40_000))
    def test_the_budget_is_exceeded_by_no_more_than_the_errors_of_estimates(
        self, seed: int, workers: int, limit: int
    ) -> None:
        budget = Budget(tokens=limit)
        simulation = Simulation(LocalAdmission(Gate(), budget), workers=workers, concurrency=8, seed=seed)
        simulation.run(0.3)
        simulation.lose(simulation.workers[0], told=True)
        simulation.run(120)
        alive = [worker for worker in simulation.workers if not worker.is_lost]
        assert all(worker.refusals for worker in alive)
        simulation.waits = False
        simulation.run(10)
        assert budget.reserved.tokens == 0
        used = [sent.used for sent in simulation.sent]
        beyond = sorted((max(0, sent.used - sent.estimate.tokens) for sent in simulation.sent), reverse=True)
        assert budget.spent.tokens <= limit + sum(beyond[: 8 * workers])
        if workers == 1:
            return
        charged = sum(sent.used for sent in simulation.sent if not simulation.workers[sent.worker].is_lost)
        assert budget.spent.tokens >= charged
        assert sum(used) > 0

    def test_what_was_used_is_what_is_spent(self) -> None:
        budget = Budget(tokens=10**9)
        simulation = Simulation(LocalAdmission(Gate(), budget), workers=3, concurrency=8, seed=1, unsent=0.1)
        simulation.run(10)
        simulation.waits = False
        simulation.run(10)
        assert budget.spent.tokens == sum(sent.used for sent in simulation.sent)
        assert budget.reserved.tokens == 0

    def test_busy_workers_ask_less_often_than_they_send(self) -> None:
        simulation = Simulation(LocalAdmission(), workers=4, concurrency=64, seed=1, service=(0.1, 0.3))
        simulation.run(5)
        assert simulation.calls < len(simulation.sent) / 2

    def test_workers_get_equal_shares(self) -> None:
        simulation = Simulation(
            LocalAdmission(Gate(Limits(requests_per_minute=12_000))), workers=10, concurrency=64, seed=1
        )
        simulation.run(15)
        shares = [sum(sent.worker == number for sent in simulation.sent) for number in range(10)]
        assert max(shares) < 1.2 * min(shares)
