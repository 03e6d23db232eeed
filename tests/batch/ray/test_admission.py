from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator

import pytest

from rxresponses import Budget, BudgetExceededError, Limits, ResponsesClient
from rxresponses import operators as rops
from rxresponses.batch.batch import meets_every_line
from rxresponses.batch.ray.admission import LeasedAdmission
from rxresponses.batch.ray.lost import GateLostError
from rxresponses.limits.admission import Admitted, Estimate, Refused, ServerLimits, Wait
from rxresponses.limits.gate import Gate
from rxresponses.limits.leases import Leases
from rxresponses.limits.local import LocalAdmission
from rxresponses.limits.permits import Grant, Report
from rxresponses.senders.client_admission import GivenLimits
from rxresponses.testing import ResponsesServer

from ..conftest import Clock

ONE = Estimate(10, 20)


class LocalGate:
    """A gate in this process, whose time the test sets; it answers each report at once, or as soon as it can."""

    def __init__(self, budget: Budget | None = None, limits: Limits | None = None) -> None:
        self.leases = Leases(LocalAdmission(Gate(limits), budget))
        self.reports: list[Report] = []
        self.now = 0.0
        self.error: Exception | None = None
        self.arrived = threading.Event()

    def exchange(self, report: Report) -> Grant:
        if self.error is not None:
            raise self.error
        self.reports.append(report)
        self.leases.report("worker", report, self.now)
        answers, next_at = self.leases.answers(self.now)
        while not answers:  # the time passes quickly, but not too quickly
            self.now = next_at
            answers, next_at = self.leases.answers(self.now)
            threading.Event().wait(0.01)
        self.arrived.set()
        return answers[0].grant


@pytest.fixture
def lease(clock: Clock) -> Iterator[Callable[[LocalGate], LeasedAdmission]]:
    """Return a function that makes an admission; its time does not pass by itself."""
    made: list[LeasedAdmission] = []

    def make(gate: LocalGate) -> LeasedAdmission:
        made.append(LeasedAdmission(gate.exchange, clock=clock))
        return made[-1]

    yield make
    for admission in made:
        admission.close()


Make = Callable[[LocalGate], LeasedAdmission]


def wait_for(admission: LeasedAdmission, act: Callable[[], object]) -> None:
    """Wait until the admission tells of a change that `act` leads to."""
    changed = threading.Event()
    end = admission.on_change(changed.set)
    act()
    assert changed.wait(10)
    end()


class TestAsk:
    def test_a_request_waits_for_its_permit(self, lease: Make) -> None:
        gate = LocalGate(Budget(requests=5))
        admission = lease(gate)
        wait_for(admission, lambda: admission.ask(1, ONE, 0.0))
        answer = admission.ask(1, ONE, 0.0)
        assert isinstance(answer, Admitted)
        assert gate.leases.held == 1

    def test_a_spent_budget_refuses(self, lease: Make) -> None:
        admission = lease(LocalGate(Budget(requests=0)))
        wait_for(admission, lambda: admission.ask(1, ONE, 0.0))
        answer = admission.ask(1, ONE, 0.0)
        assert isinstance(answer, Refused)
        assert isinstance(answer.error, BudgetExceededError)

    def test_a_lost_gate_refuses_everything(self, lease: Make) -> None:
        gate = LocalGate()
        gate.error = RuntimeError("the actor died")
        admission = lease(gate)
        wait_for(admission, lambda: admission.ask(1, ONE, 0.0))
        for answer in (admission.ask(1, ONE, 0.0), admission.ask(2, ONE, 0.0), admission.ask_now(ONE, 0.0)):
            assert isinstance(answer, Refused)
            assert isinstance(answer.error, GateLostError)
            assert answer.error.delivery == "not_sent"
            assert "the actor died" in str(answer.error)
            assert meets_every_line(answer.error)

    def test_a_forgotten_request(self, lease: Make, clock: Clock) -> None:
        admission = lease(LocalGate())
        assert admission.ask(1, ONE, 0.0) == Wait(math.inf)
        admission.forget(1)
        clock.now += 10
        assert admission.ask(2, ONE, 0.0) == Wait(math.inf)


class TestClose:
    def test_the_gate_is_told_everything_first(self, lease: Make) -> None:
        budget = Budget(tokens=1000)
        gate = LocalGate(budget)
        admission = lease(gate)
        wait_for(admission, lambda: admission.ask(1, ONE, 0.0))
        first = admission.ask(1, ONE, 0.0)
        second = admission.ask_now(ONE, 0.0)
        third = admission.ask_now(ONE, 0.0)
        assert isinstance(first, Admitted)
        assert isinstance(second, Admitted)
        assert isinstance(third, Admitted)
        admission.settle(first.reservation, None, 0.0)
        admission.settle_unknown(second.reservation, 0.0)
        admission.limited(0.0, 1.0)
        admission.told(ServerLimits(requests=60), 0.0)
        admission.close()
        assert budget.spent.tokens == 30
        assert gate.leases.held == 1  # the third runs
        assert [wait for report in gate.reports for wait in report.limited] == [1.0]
        assert [report.told for report in gate.reports if report.told] == [ServerLimits(requests=60)]


class TestWithAClient:
    def test_requests_of_a_client(self) -> None:
        budget = Budget(requests=20)
        gate = LocalGate(budget)
        admission = LeasedAdmission(gate.exchange)
        limits = GivenLimits(admission=admission)
        with ResponsesServer() as server, ResponsesClient(server.url, api_key="key", limits=limits) as client:
            for _ in range(20):
                client.send_request({"model": "m", "input": "hello"}).pipe(rops.collect_text()).run()
            with pytest.raises(BudgetExceededError):
                client.send_request({"model": "m", "input": "hello"}).pipe(rops.collect_text()).run()
            assert len(server.requests) == 20
        admission.close()
        assert budget.spent.requests == 20
        assert budget.reserved.requests == 0
        assert len(gate.reports) < 70
