"""Which faults of a plan happen to an upgrade, a connection or a request."""

from __future__ import annotations

from rxresponses.testing.faults import DelayUpgrade, Fault, IgnoreSteer, RefuseUpgrade
from rxresponses.testing.plan import FaultPlan
from rxresponses.testing.replies import Close, Stall
from rxresponses.testing.request import Request

DROP = Close(1006)


def request(number: int, *, connection: int = 1, ordinal: int | None = None, text: str = "hi") -> Request:
    items = [{"type": "message", "role": "user", "content": text}]
    return Request({}, items, connection=connection, number=number, ordinal=number if ordinal is None else ordinal)


def affected(plan: FaultPlan, requests: int) -> list[int]:
    return [number for number in range(1, requests + 1) if plan.at_request(request(number))]


def test_without_faults_nothing_happens() -> None:
    plan = FaultPlan()

    assert plan.at_upgrade(1) == []
    assert plan.at_opening(1) == []
    assert plan.at_request(request(1)) == ()


def test_a_fault_happens_everywhere_unless_it_is_narrowed() -> None:
    assert affected(FaultPlan([Fault(DROP)]), 3) == [1, 2, 3]
    assert affected(FaultPlan([Fault(DROP, request=2)]), 3) == [2]
    assert affected(FaultPlan([Fault(DROP, times=2)]), 3) == [1, 2]
    assert affected(FaultPlan([Fault(DROP, connection=2)]), 3) == []
    assert affected(FaultPlan([Fault(DROP, probability=0.0)]), 3) == []


def test_requests_are_counted_on_the_given_connection() -> None:
    plan = FaultPlan([Fault(DROP, connection=2, request=1), Fault(Stall(), request=5)])

    assert plan.at_request(request(1)) == ()
    assert plan.at_request(request(4, connection=2, ordinal=1)) == (DROP,)
    assert plan.at_request(request(5, connection=2, ordinal=2)) == (Stall(),)


def test_requests_can_be_matched() -> None:
    plan = FaultPlan([Fault(DROP, match="^bye", times=1), Fault(Stall(), match=lambda request: request.number == 4)])
    texts = ["hi", "good bye", "bye", "bye"]

    found = [plan.at_request(request(number, text=text)) for number, text in enumerate(texts, start=1)]
    assert found == [(), (), (DROP,), (Stall(),)]


def test_each_fault_draws_its_own_repeatable_chance() -> None:
    faults = [Fault(DROP, probability=0.3), Fault(DROP, probability=0.3), Fault(DROP, probability=0.3, seed=1)]
    draws = [affected(FaultPlan(faults[: number + 1]), 1) for number in range(3)]
    assert draws == [affected(FaultPlan(faults[: number + 1]), 1) for number in range(3)]

    many = [plan.at_request(request(number)) for plan in [FaultPlan(faults[:2])] for number in range(2000)]
    assert 500 < sum(len(faults) > 0 for faults in many) - sum(len(faults) == 2 for faults in many) < 1100
    assert affected(FaultPlan([faults[0]]), 50) != affected(FaultPlan([faults[2]]), 50)


def test_chance_is_drawn_only_where_the_other_arguments_allow_the_fault() -> None:
    by_chance = affected(FaultPlan([Fault(DROP, probability=0.5)]), 20)
    plan = FaultPlan([Fault(DROP, probability=0.5, match="x")])
    found = []
    for number in range(1, 21):
        assert plan.at_request(request(number, text="other")) == ()
        if plan.at_request(request(number, text="x")):
            found.append(number)

    assert found == by_chance


def test_faults_of_upgrades_connections_and_requests_are_kept_apart() -> None:
    slow, refused = DelayUpgrade(0.5), RefuseUpgrade(429)
    plan = FaultPlan([Fault(slow), Fault(refused, connection=2), Fault(IgnoreSteer()), Fault(DROP, request=0, times=1)])

    assert plan.at_upgrade(1) == [slow]
    assert plan.at_upgrade(2) == [slow, refused]
    assert plan.at_opening(1) == [IgnoreSteer(), DROP]
    assert plan.at_opening(2) == [IgnoreSteer()]
    assert plan.at_request(request(1)) == ()


def test_faults_can_be_added_and_cleared() -> None:
    plan = FaultPlan()
    plan.add(Fault(DROP), Fault(RefuseUpgrade()), Fault(IgnoreSteer()))
    assert plan.at_request(request(1)) == (DROP,)
    plan.clear()

    assert (plan.at_upgrade(1), plan.at_opening(1), plan.at_request(request(2))) == ([], [], ())
