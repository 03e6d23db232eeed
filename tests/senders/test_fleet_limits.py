"""Limits and a budget that all members of a fleet share."""

from __future__ import annotations

from collections.abc import Callable

from rxresponses import Budget, BudgetExceededError, FleetState, Limits
from rxresponses.limits.admission import Estimate, Refused, ServerLimits, Wait
from rxresponses.limits.local import LocalAdmission
from rxresponses.limits.permits import Grant, Permits
from rxresponses.senders.client_admission import MemberAdmission
from rxresponses.testing import Failure, Fault, Hold

from ..support.clients import ask
from ..support.fleets import counts, fleet_of, received, servers, until_fleet
from ..support.recorder import Recorder


def test_a_budget_is_for_all_members_together() -> None:
    with servers(3) as several:
        budget = Budget(requests=7)
        with fleet_of(several, budget=budget) as fleet:
            got = [Recorder(fleet.send_request(ask(str(number)))) for number in range(12)]
            errors = [one.error for one in got if one.wait().errors]
        assert len(errors) == 5
        assert all(isinstance(error, BudgetExceededError) for error in errors)
        assert sum(received(several)) == 7
        assert set(counts(several).values()) == {1}


def test_a_try_that_another_member_repeats_is_paid_once() -> None:
    with servers(2) as several:
        several[0].fault(Fault(Failure("server_error", after=0)))
        budget = Budget(tokens=10**9)
        with fleet_of(several, budget=budget) as fleet:
            for number in range(4):
                assert Recorder(fleet.send_request(ask(str(number)))).wait().types[-1] == "response.completed"
            assert budget.reserved.tokens == 0
            assert budget.spent.requests >= 4


def test_limits_are_for_all_members_together() -> None:
    # The next request may begin after a minute: at 6 requests a minute, a stall of 10 seconds let it begin.
    with servers(2) as several, fleet_of(several, limits=Limits(requests_per_minute=1)) as fleet:
        got = [Recorder(fleet.send_request(ask(str(number)))) for number in range(5)]
        states = Recorder(fleet.state)
        until_fleet(
            states,
            lambda state: sum(row.queued for row in state.members) == 4 and any(one.completions for one in got),
        )
        assert [sum(one.completions for one in got), sum(received(several))] == [1, 1]
        limited = until_fleet(states, lambda state: state.limited_for is not None).limited_for
        assert limited is not None
        assert 0 < limited <= 61


def test_few_requests_wait_for_the_limits_in_members_so_that_they_are_sent_in_order() -> None:
    """The gate lets in the member that asks first: what waits in the others would be passed again and again."""
    with servers(3) as several, fleet_of(several, limits=Limits(requests_per_minute=1)) as fleet:
        got = [Recorder(fleet.send_request(ask(str(number)))) for number in range(60)]
        states = Recorder(fleet.state)

        def is_settled(state: FleetState) -> bool:
            waiting = state.queued + sum(row.queued for row in state.members)
            return waiting == 59 and any(one.completions for one in got) and state.limited_for is not None

        state = until_fleet(states, is_settled)
        assert sum(row.queued for row in state.members) <= 3 * 4
        assert received(several).count(0) == 2


def test_the_state_tells_that_requests_wait_for_the_budget() -> None:
    with servers(2) as several:
        gates = [server.gate() for server in several]
        for server, gate in zip(several, gates, strict=True):
            server.on("hold", ["text", Hold(gate)])
        with fleet_of(several, budget=Budget(requests=2)) as fleet:
            states = Recorder(fleet.state)
            held = [Recorder(fleet.send_request(ask("hold"))).wait_for(1) for _ in range(2)]
            late = Recorder(fleet.send_request(ask("late")))
            if not late.ended:
                until_fleet(states, lambda state: state.awaits_budget or late.ended)
            for gate in gates:
                gate.open()
            assert all(one.wait().completions for one in held)
            assert isinstance(late.wait().error, BudgetExceededError)


def test_the_limit_of_one_member_is_none_for_the_others() -> None:
    shared = LocalAdmission()
    member = MemberAdmission(shared)
    member.limited(0.0, 60.0)
    member.told(ServerLimits(requests=1.0), 0.0)
    assert shared._gate.ready_at(0.0) <= 0.0
    assert (member.prices, member.needs_price) == (None, False)
    assert isinstance(member.another()._shared, LocalAdmission)
    assert member.another()._shared is not shared, "each member takes its turn"
    assert MemberAdmission(member).another()._shared is member


class SharedPermits(Permits):
    """The permits of a worker, with the rest of an `Admission`."""

    prices = None
    needs_price = False

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        return callback


def test_requests_of_two_members_are_different_ones_for_an_admission_that_they_share() -> None:
    """As for the permits of a worker: a refusal of a request of one pool must not end one of another pool."""
    permits = SharedPermits()
    first = MemberAdmission(permits)
    second = first.another()
    assert isinstance(first.ask(1, Estimate(10, 10), 0.0), Wait)
    permits.report(0.0)
    permits.granted(Grant(refusal=BudgetExceededError("used up", unit="tokens", limit=1, spent=1)), 0.0)
    assert isinstance(second.ask(1, Estimate(10, 10), 0.0), Wait)
    assert isinstance(first.ask(1, Estimate(10, 10), 0.0), Refused)
    second.forget(1)
    assert permits.report(0.0).waiting is None


def test_a_member_with_new_requests_does_not_hold_up_the_others() -> None:
    """Without turns, one member would send all that it has before the other sends its second request."""
    with servers(2) as several, fleet_of(several, limits=Limits(requests_per_minute=3000)) as fleet:
        for got in [Recorder(fleet.send_request(ask("first"))) for _ in several]:  # so that both are connected
            assert got.wait().completions == 1
        many = [Recorder(fleet.send_request(ask(str(number)))) for number in range(16)]
        for got in many:
            assert got.wait().completions == 1
        order = sorted((one.received, index) for index, server in enumerate(several) for one in server.exchanges)
        first_half = [index for _, index in order[2:10]]
        assert set(first_half) == {0, 1}, "both get their turns from the beginning"
