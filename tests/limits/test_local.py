"""The admission of one client: its gate first, then the budget; and what becomes of reservations."""

from __future__ import annotations

import math

from rxresponses.errors import BudgetExceededError
from rxresponses.limits.admission import Admission, Admitted, Estimate, Refused, Reservation, ServerLimits, Wait
from rxresponses.limits.budget import Budget
from rxresponses.limits.gate import Gate
from rxresponses.limits.limits import Limits
from rxresponses.limits.local import LocalAdmission
from rxresponses.limits.prices import Prices
from rxresponses.wire.models import ResponseUsage

ONE = Estimate(50, 50)
USED = ResponseUsage(input_tokens=10, output_tokens=20)


def admitted(admission: Admission, estimate: Estimate = ONE, now: float = 0.0) -> Reservation:
    answer = admission.ask(1, estimate, now)
    assert isinstance(answer, Admitted)
    assert answer.reservation.estimate is estimate
    return answer.reservation


def test_without_gate_and_budget_everything_is_admitted() -> None:
    admission = LocalAdmission()
    assert admission.prices is None
    assert not admission.needs_price
    assert LocalAdmission(budget=Budget(usd=1)).needs_price
    first, second = admitted(admission), admitted(admission)
    assert first.number != second.number
    admission.settle(first, USED, 1.0)
    admission.settle_unknown(second, 1.0)
    admission.settle_unknown(second, 1.0)
    admission.settle(first, USED, 1.0)
    admission.forget(1)
    admission.on_change(lambda: None)()


def test_the_gate_makes_a_request_wait() -> None:
    admission = LocalAdmission(Gate(Limits(requests_per_minute=60)))
    reservation = admitted(admission)
    answer = admission.ask(2, ONE, 0.0)
    assert isinstance(answer, Wait)
    assert 0.8 < answer.until < 1.1
    assert isinstance(admission.ask_now(ONE, 0.0), Admitted), "what cannot wait goes, and the next waits longer"
    later = admission.ask(2, ONE, 0.0)
    assert isinstance(later, Wait)
    assert later.until > answer.until + 0.9
    admission.settle(reservation, None, 0.0)
    answer = admission.ask(2, ONE, 0.0)
    assert isinstance(answer, Wait)
    assert answer.until < later.until - 0.9


def test_the_budget_makes_a_request_wait_for_others_or_refuses_it() -> None:
    budget = Budget(tokens=150, prices=Prices({"m": {"input": 1, "output": 1}}))
    admission = LocalAdmission(budget=budget)
    assert admission.prices is budget.prices
    called: list[str] = []
    admission.on_change(lambda: called.append("changed"))
    reservation = admitted(admission)
    assert admission.ask(2, ONE, 0.0) == Wait(math.inf)
    admission.settle(reservation, USED, 1.0)
    assert called == ["changed"]
    assert budget.spent.tokens == 30
    admission.settle_unknown(admitted(admission), 2.0)
    assert budget.spent.tokens == 130
    refused = admission.ask(3, ONE, 3.0)
    assert isinstance(refused, Refused)
    assert isinstance(refused.error, BudgetExceededError)
    assert isinstance(admission.ask_now(ONE, 3.0), Refused)
    assert isinstance(admission.ask_now(Estimate(10, 10), 3.0), Admitted)


def test_a_budget_without_room_refuses_before_the_gate_lets_wait() -> None:
    admission = LocalAdmission(Gate(Limits(requests_per_minute=1)), Budget(requests=1))
    admission.settle(admitted(admission), USED, 1.0)
    assert isinstance(admission.ask(2, ONE, 1.0), Refused)


def test_a_budget_that_was_shared_may_be_used_up_between_the_question_and_the_reservation() -> None:
    class Race(Budget):
        def refusal(self, estimate: Estimate) -> BudgetExceededError | None:
            found = super().refusal(estimate)
            self.stop()  # another thread
            return found

    assert isinstance(LocalAdmission(budget=Race()).ask(1, ONE, 0.0), Refused)


def test_a_usage_without_counts_counts_as_estimated() -> None:
    budget = Budget()
    admission = LocalAdmission(budget=budget)
    admission.settle(admitted(admission), ResponseUsage(), 1.0)
    assert budget.spent.tokens == 100


def test_the_server_may_stop_and_limit_the_gate() -> None:
    admission = LocalAdmission(Gate(Limits()))
    admission.told(ServerLimits(requests=60), 0.0)
    admitted(admission)
    assert isinstance(admission.ask(2, ONE, 0.0), Wait)
    admission.limited(0.0, 30.0)
    assert admission.ask(2, ONE, 5.0) == Wait(30.0)


class TestSharedGate:
    """Several clients at one gate."""

    def test_clients_pass_in_turn(self) -> None:
        """The first client asks first each time, and still the others get as much as it does."""
        one = LocalAdmission(Gate(Limits(requests_per_minute=600)))
        clients = [one, one.another(), one.another()]
        admitted_of = [0, 0, 0]
        now = 0.0
        for _ in range(3000):
            now += 0.01
            for index, client in enumerate(clients):
                while isinstance(client.ask(index, ONE, now), Admitted):
                    admitted_of[index] += 1
        assert sum(admitted_of) >= 0.98 * 300
        assert max(admitted_of) - min(admitted_of) <= 3

    def test_a_client_that_does_not_come_loses_its_turn(self) -> None:
        one = LocalAdmission(Gate(Limits(requests_per_minute=60)))
        two = one.another()
        admitted(one)
        first = two.ask(1, ONE, 0.0)
        assert isinstance(first, Wait)
        assert one.ask(2, ONE, 0.0) == first
        late = first.until + 9.0
        assert one.ask(2, ONE, late) == Wait(late + 0.05), "it is the turn of the other client"
        assert one.ask(2, ONE, late + 0.04) == Wait(late + 0.05)
        admitted(one, now=late + 0.05)
        assert isinstance(one.ask(2, ONE, late + 0.05), Wait)
        assert isinstance(two.ask(1, ONE, late + 0.05), Wait), "it is the turn of the first one again"

    def test_a_client_that_comes_late_with_the_others_keeps_its_turn(self) -> None:
        one = LocalAdmission(Gate(Limits(requests_per_minute=60)))
        two = one.another()
        admitted(one)
        assert isinstance(two.ask(1, ONE, 0.0), Wait)
        assert isinstance(one.ask(2, ONE, 5.0), Wait)
        admitted(two, now=5.0)

    def test_a_client_whose_request_is_forgotten_lets_the_others_pass(self) -> None:
        one = LocalAdmission(Gate(Limits(requests_per_minute=60)))
        two = one.another()
        admitted(one)
        first = two.ask(1, ONE, 0.0)
        assert isinstance(first, Wait)
        two.forget(1)
        admitted(one, now=first.until)

    def test_a_client_that_waits_for_the_budget_lets_the_others_pass(self) -> None:
        one = LocalAdmission(Gate(Limits(requests_per_minute=6000)), Budget(tokens=150))
        two = one.another()
        reservation = admitted(one)
        assert two.ask(1, ONE, 5.0) == Wait(math.inf)
        admitted(one, Estimate(1, 1), 5.0)
        one.settle(reservation, None, 6.0)
        admitted(two, now=6.0)

    def test_the_client_whose_turn_it_is_hears_that_the_gate_opens_earlier(self) -> None:
        one = LocalAdmission(Gate(Limits(tokens_per_minute=600)), Budget())
        two = one.another()
        called: list[str] = []
        one.on_change(lambda: called.append("one"))
        end = two.on_change(lambda: called.append("two"))
        reservation = admitted(one)
        first = two.ask(1, ONE, 0.0)
        assert isinstance(first, Wait)
        one.settle(reservation, USED, 1.0)
        assert called == ["two"]
        earlier = two.ask(1, ONE, 1.0)
        assert isinstance(earlier, Wait)
        assert earlier.until < first.until
        reservation = admitted(two, now=earlier.until)
        two.settle(reservation, USED, 9.0)
        assert called == ["two"], "nobody waits"
        end()
        two.changed()
        assert called == ["two"]
