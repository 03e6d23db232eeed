from __future__ import annotations

import math

from rxresponses.errors import BudgetExceededError
from rxresponses.limits.admission import Admitted, Estimate, Refused, Reservation, ServerLimits, Wait
from rxresponses.limits.permits import TERM, Grant, Permit, Permits, Report
from rxresponses.wire.models import ResponseUsage

SMALL, LARGE = Estimate(10, 20), Estimate(30, 40)
USAGE = ResponseUsage(input_tokens=1, output_tokens=2, total_tokens=3)


def permit(number: int, estimate: Estimate = SMALL) -> Permit:
    return Permit(number, estimate)


def holding(*permits: Permit, at: float = 0.0) -> Permits:
    held = Permits()
    held.granted(Grant(permits), at)
    return held


def exceeded() -> BudgetExceededError:
    return BudgetExceededError("spent", unit="usd", limit=1.0, spent=1.0)


class TestAsk:
    def test_a_request_waits_for_a_permit(self) -> None:
        permits = Permits()
        assert permits.next_report_at(0.0) == math.inf
        assert permits.ask(1, SMALL, 0.0) == Wait(math.inf)
        assert permits.next_report_at(0.0) == 0.0
        assert permits.report(0.0).waiting == SMALL
        assert permits.granted(Grant((permit(7),)), 0.01)
        assert permits.ask(1, SMALL, 0.01) == Admitted(Reservation(7, SMALL))
        assert permits.report(0.01).waiting is None

    def test_a_permit_in_hand_needs_no_question(self) -> None:
        permits = holding(permit(1), permit(2))
        assert permits.ask(1, SMALL, 0.0) == Admitted(Reservation(1, SMALL))
        assert permits.ask(2, Estimate(1, 1), 0.0) == Admitted(Reservation(2, SMALL))
        assert permits.ask(3, SMALL, 0.0) == Wait(math.inf)

    def test_a_permit_must_cover_the_request(self) -> None:
        permits = holding(permit(1), permit(2, LARGE), permit(3, Estimate(99, 99, 1.0, "m")))
        assert permits.ask(1, LARGE, 0.0) == Admitted(Reservation(2, LARGE))
        assert permits.ask(2, Estimate(1, 21), 0.0) == Wait(math.inf)
        assert permits.ask(2, Estimate(1, 1, 2.0, "m"), 0.0) == Wait(math.inf)
        assert permits.ask(2, Estimate(1, 1, 0.5, "m"), 0.0) == Admitted(Reservation(3, Estimate(99, 99, 1.0, "m")))

    def test_permits_end(self) -> None:
        permits = holding(permit(1), at=5.0)
        assert permits.next_report_at(5.0) == 5.0 + TERM
        assert permits.ask(1, SMALL, 5.0 + TERM) == Wait(math.inf)
        assert permits.report(5.0 + TERM).settled == ((1, None),)

    def test_a_refusal_ends_the_request_that_waits(self) -> None:
        permits = Permits()
        error = exceeded()
        assert not permits.granted(Grant((), error), 0.0)  # it does not wait any more
        permits.ask(1, SMALL, 0.0)
        assert permits.granted(Grant((), error), 0.0)
        assert permits.ask(2, SMALL, 0.0) == Wait(math.inf)
        assert permits.ask(1, SMALL, 0.0) == Refused(error)
        assert permits.ask(1, SMALL, 0.0) == Wait(math.inf)

    def test_a_forgotten_request_wants_nothing(self) -> None:
        permits = Permits()
        permits.ask(1, SMALL, 0.0)
        permits.forget(2)
        assert permits.report(0.0).waiting == SMALL
        permits.forget(1)
        assert permits.report(0.0) == Report()
        permits.ask(2, SMALL, 0.0)
        permits.granted(Grant((), exceeded()), 0.0)
        permits.forget(2)
        assert permits.ask(2, SMALL, 0.0) == Wait(math.inf)

    def test_what_cannot_wait_is_told_afterwards(self) -> None:
        permits = holding(permit(1))
        assert permits.ask_now(SMALL, 0.0).reservation.number == 1
        reservation = permits.ask_now(LARGE, 0.0).reservation
        assert reservation.number < 0
        permits.settle(reservation, USAGE, 0.0)
        report = permits.report(0.0)
        assert report.sent_now == (Permit(reservation.number, LARGE),)
        assert report.settled == ((reservation.number, USAGE),)

    def test_permits_without_a_request_wake_no_one(self) -> None:
        assert not Permits().granted(Grant((permit(1),)), 0.0)
        assert not Permits().granted(Grant(), 0.0)


class TestReport:
    def test_each_fact_is_told_once(self) -> None:
        permits = holding(permit(1), permit(2), permit(3))
        first, second = (permits.ask(key, SMALL, 0.0) for key in (1, 2))
        assert isinstance(first, Admitted)
        assert isinstance(second, Admitted)
        limits = ServerLimits(requests=60)
        permits.told(limits, 0.0)
        permits.settle(first.reservation, USAGE, 0.0)
        permits.settle(first.reservation, None, 0.0)
        permits.settle_unknown(first.reservation, 0.0)
        permits.settle_unknown(second.reservation, 0.0)
        permits.limited(0.0, 2.5)
        report = permits.report(0.0)
        assert report.settled == ((1, USAGE), (3, None))  # the unused permit is given back at a rate limit
        assert report.unknown == (2,)
        assert report.limited == (2.5,)
        assert report.told == limits
        permits.told(limits, 1.0)
        assert permits.report(1.0) == Report(similar=SMALL)

    def test_when_the_next_one_is_due(self) -> None:
        permits = holding(permit(1), permit(2), at=9.0)
        answer = permits.ask(1, SMALL, 9.0)
        assert isinstance(answer, Admitted)
        permits.report(9.0)
        permits.settle_unknown(Reservation(2, SMALL), 9.0)
        assert permits.next_report_at(9.0) == 9.0 + TERM
        permits.report(9.0 + TERM)
        assert 13.0 < permits.next_report_at(9.0 + TERM) < 15.0  # the request runs
        permits.settle(answer.reservation, USAGE, 10.0)
        assert 9.0 + TERM < permits.next_report_at(10.0) < 10.0
        permits.limited(10.0, None)
        permits.told(ServerLimits(), 10.0)
        assert permits.next_report_at(10.0) < 10.0
        assert permits.report(10.0).limited == ()
        permits.limited(10.0, 1.0)
        assert permits.next_report_at(10.0) == 10.0

    def test_permits_in_advance_are_not_asked_for_again_at_once(self) -> None:
        permits = holding(*(permit(number) for number in range(1, 6)))
        for key in range(1, 6):
            permits.ask(key, SMALL, 0.0)
        permits.report(0.0)
        permits.granted(Grant(), 0.01)
        assert 0.1 < permits.next_report_at(0.01) < 0.5
        permits.ask(6, SMALL, 0.02)
        assert permits.next_report_at(0.02) == 0.02

    def test_closing_gives_everything_back(self) -> None:
        permits = holding(permit(1), permit(2))
        permits.ask(1, SMALL, 0.0)
        permits.ask(2, LARGE, 0.0)
        permits.close()
        assert permits.has_news
        assert permits.report(0.0) == Report(similar=SMALL, settled=((2, None),))
        assert not permits.has_news

    def test_a_permit_that_has_come_is_not_wanted_again(self) -> None:
        permits = Permits()
        permits.ask(1, SMALL, 0.0)
        permits.granted(Grant((permit(1),)), 0.0)
        assert permits.report(0.0).waiting is None

    def test_a_worker_that_sends_much_asks_in_advance(self) -> None:
        permits = holding(*(permit(number) for number in range(1, 6)))
        for key in range(1, 6):
            permits.ask(key, Estimate(key, 10 - key), 0.0)
        assert permits.next_report_at(0.0) <= 0.0
        report = permits.report(0.0)
        assert (report.waiting, report.ahead, report.similar) == (None, 8, Estimate(5, 9))
        permits.granted(Grant(tuple(permit(number) for number in range(6, 14))), 0.01)
        assert permits.report(0.01).ahead == 0
        assert permits.next_report_at(0.01) == 0.01 + TERM
        assert permits.report(0.2).ahead == 0  # it has sent nothing meanwhile

    def test_estimates_in_advance_are_those_of_the_latest_model(self) -> None:
        permits = holding(permit(1, Estimate(9, 9, 0.0, "a")), permit(2, Estimate(9, 9, 0.0, "b")))
        permits.ask(1, Estimate(8, 8, 0.0, "a"), 0.0)
        permits.ask(2, Estimate(1, 2, 0.0, "b"), 0.0)
        assert permits.report(0.0).similar == Estimate(1, 2, 0.0, "b")

    def test_permits_in_advance_are_bounded(self) -> None:
        permits = Permits(most_ahead=3)
        permits.granted(Grant(tuple(permit(number) for number in range(1, 20))), 0.0)
        for key in range(1, 20):
            permits.ask(key, SMALL, 0.0)
        assert permits.report(0.0).ahead == 3
