"""A budget that threads share: reserving, settling, waiting, stopping; and its texts."""

from __future__ import annotations

import copy
import logging
import math
import os
import pickle
import threading
from collections.abc import Callable

import pytest

from rxresponses.backoff import is_retryable
from rxresponses.errors import BudgetExceededError, ConfigurationError
from rxresponses.limits.admission import NOTHING_USED, Estimate, Reservation
from rxresponses.limits.budget import Amount, Budget, Remaining, _forget_parents
from rxresponses.limits.prices import Prices
from rxresponses.wire.models import ResponseUsage

PRICES = Prices({"m": {"input": 2.0, "output": 8.0}})


def reserve(budget: Budget, tokens: int = 0, usd: float = 0.0) -> Reservation:
    reservation = budget.reserve(Estimate(tokens, 0, usd, "m"))
    assert reservation is not None
    return reservation


def test_a_request_reserves_what_it_is_expected_to_use_and_settles_what_it_used() -> None:
    budget = Budget(usd=1.0, tokens=1000, requests=5, prices=PRICES)
    reservation = reserve(budget, 400, 0.4)
    assert budget.reserved == Amount(0.4, 400, 1)
    assert budget.remaining == Remaining(0.6, 600, 4)
    budget.settle(reservation, ResponseUsage(input_tokens=50, output_tokens=100))
    assert budget.reserved == Amount(0.0, 0, 0)
    assert budget.spent == Amount(0.0009, 150, 1)
    assert budget.remaining == Remaining(0.9991, 850, 4)
    budget.settle(reservation, ResponseUsage(input_tokens=50, output_tokens=100))
    assert budget.spent.tokens == 150, "a second settlement counts nothing"


def test_without_limits_a_budget_counts() -> None:
    budget = Budget()
    budget.settle(reserve(budget, 10**9), ResponseUsage(total_tokens=7))
    assert budget.spent == Amount(0.0, 7, 1)
    assert budget.remaining == Remaining(None, None, None)
    assert not budget.stopped
    assert repr(budget) == "<Budget without limits; spent: Amount(usd=0.0, tokens=7, requests=1)>"


def test_with_prices_and_no_limit_of_usd_a_budget_tells_the_cost_of_what_has_a_price() -> None:
    budget = Budget(prices=PRICES)
    for model in ("m", "other"):
        reservation = budget.reserve(Estimate(1, 1, 0.0, model))
        assert reservation is not None
        budget.settle(reservation, ResponseUsage(input_tokens=0, output_tokens=1000))
    assert budget.spent == Amount(0.008, 2000, 2)


def test_the_price_is_that_of_the_model_that_answered_if_it_has_one() -> None:
    budget = Budget(prices=Prices({"m": {"input": 1, "output": 1}, "large": {"input": 9, "output": 9}}))
    usage = ResponseUsage(input_tokens=0, output_tokens=10**6)
    budget.settle(reserve(budget), usage, model="large-2026-01-01")
    assert budget.spent.usd == 9.0
    budget.settle(reserve(budget), usage, model="unknown")
    assert budget.spent.usd == 10.0


def test_a_request_that_was_not_sent_counts_nothing_and_a_refused_one_counts_as_a_request() -> None:
    budget = Budget()
    budget.settle(reserve(budget, 100), None)
    assert budget.spent == Amount(0.0, 0, 0)
    budget.settle(reserve(budget, 100), NOTHING_USED)
    assert budget.spent == Amount(0.0, 0, 1)


def test_what_has_no_reservation_is_spent_beyond_the_limits() -> None:
    budget = Budget(usd=0.001, tokens=5, prices=PRICES)
    budget.spend(ResponseUsage(input_tokens=100, output_tokens=1000), model="m")
    budget.spend(ResponseUsage(), model="m")
    assert budget.spent == Amount(0.0082, 1100, 2)
    assert budget.stopped


def test_a_model_without_a_price_is_refused_by_a_budget_in_usd() -> None:
    with pytest.raises(ConfigurationError, match="none for the model 'other'"):
        Budget(usd=1, prices=PRICES).reserve(Estimate(1, 1, 0.0, "other"))


def test_an_unknown_usage_counts_as_estimated() -> None:
    budget = Budget()
    budget.settle(reserve(budget, 100), ResponseUsage())
    budget.settle_unknown(reserve(budget, 20))
    assert budget.spent == Amount(0.0, 120, 2)


def test_a_request_waits_while_running_ones_may_use_less() -> None:
    budget = Budget(tokens=100)
    running = reserve(budget, 80)
    called: list[str] = []
    forget = budget.on_change(lambda: called.append("changed"))
    budget.settle(reserve(budget, 1), None)
    assert not called, "nothing waits"
    assert budget.reserve(Estimate(50, 0)) is None
    budget.settle(running, ResponseUsage(total_tokens=30))
    assert called == ["changed"]
    settled = reserve(budget, 50)
    assert budget.reserve(Estimate(50, 0)) is None
    forget()
    forget()
    budget.settle(settled, None)
    assert called == ["changed"], "it is not called any more"


def test_what_cannot_wait_may_exceed_the_budget_but_not_one_that_is_used_up() -> None:
    budget = Budget(tokens=100)
    running = reserve(budget, 80)
    assert budget.reserve(Estimate(50, 0), waits=False) is not None
    assert budget.remaining.tokens == 0
    budget.settle(running, ResponseUsage(total_tokens=80))
    with pytest.raises(BudgetExceededError):
        budget.reserve(Estimate(50, 0), waits=False)


def test_a_request_for_which_nothing_is_left_is_refused() -> None:
    budget = Budget(tokens=100)
    budget.settle(reserve(budget, 80), ResponseUsage(total_tokens=80))
    assert budget.refusal(Estimate(20, 0)) is None
    assert not budget.stopped
    assert isinstance(budget.refusal(Estimate(21, 0)), BudgetExceededError)
    with pytest.raises(BudgetExceededError) as raised:
        budget.reserve(Estimate(20, 1))
    assert raised.value.delivery == "not_sent"
    assert not is_retryable(raised.value)
    assert (raised.value.unit, raised.value.limit, raised.value.spent) == ("tokens", 100, 80)
    budget.settle(reserve(budget, 20), ResponseUsage(total_tokens=20))
    assert budget.stopped


def test_a_stopped_budget_admits_nothing_and_lets_what_runs_settle() -> None:
    budget = Budget()
    called: list[str] = []
    budget.on_change(lambda: called.append("changed"))
    running = reserve(budget, 10)
    budget.stop()
    assert budget.stopped
    assert called == ["changed"]
    with pytest.raises(BudgetExceededError, match=r"stop\(\)"):
        budget.reserve(Estimate(0, 0))
    budget.settle(running, ResponseUsage(total_tokens=10))
    assert budget.spent.tokens == 10


def test_a_limit_of_usd_needs_prices_and_has_the_default_ones() -> None:
    assert Budget(usd=1).prices is not None
    assert Budget(tokens=1).prices is None
    assert Budget(usd=1, prices=PRICES).prices is PRICES
    assert repr(Budget(usd=0.5, tokens=7)) == "<Budget usd=0.5, tokens=7; spent: Amount(usd=0.0, tokens=0, requests=0)>"
    assert repr(Budget(tokens=1_234_567)).startswith("<Budget tokens=1234567; ")


@pytest.mark.parametrize("name", ["usd", "tokens", "requests"])
@pytest.mark.parametrize("value", [-1, "1", True, float("nan"), float("inf")])
def test_a_wrong_limit_is_refused(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=f"`{name}` must be a"):
        Budget(**{name: value})  # type: ignore[arg-type]


def test_a_fraction_of_a_token_is_no_limit_and_prices_must_be_prices() -> None:
    with pytest.raises(ConfigurationError, match="`tokens` must be a whole number"):
        Budget(tokens=1.5)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="`prices` must be Prices, not dict"):
        Budget(usd=1, prices={"m": 1})  # type: ignore[arg-type]


def test_threads_may_share_a_budget() -> None:
    """Eight threads reserve and settle; nothing is lost, and the budget is never exceeded."""
    budget = Budget(tokens=400, requests=1000)
    changed = threading.Condition()

    def tell() -> None:
        with changed:
            changed.notify_all()

    budget.on_change(tell)

    def work() -> None:
        for _ in range(10):
            with changed:
                while (reservation := budget.reserve(Estimate(100, 0))) is None:
                    changed.wait(10)
            budget.settle(reservation, ResponseUsage(total_tokens=2))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert budget.spent == Amount(0.0, 160, 80)
    assert budget.reserved == Amount(0.0, 0, 0)


def test_what_was_spent_elsewhere_counts() -> None:
    budget = Budget(tokens=100)
    first = budget.reserve(Estimate(60, 0))
    assert budget.reserve(Estimate(60, 0)) is None
    told: list[str] = []
    budget.on_change(lambda: told.append("changed"))
    budget.charge(Amount(0.5, 70, 3))
    assert budget.spent == Amount(0.5, 70, 3)
    assert told == ["changed"]
    budget.charge(Amount(0.5, 0, 0))
    assert told == ["changed"]
    with pytest.raises(BudgetExceededError):
        budget.reserve(Estimate(60, 0))
    assert first is not None
    budget.settle(first, NOTHING_USED)
    assert budget.spent == Amount(1.0, 70, 4)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_budget_cannot_be_copied(copied: Callable[[Budget], object]) -> None:
    with pytest.raises(TypeError, match="a budget cannot be copied or sent to another process"):
        copied(Budget(tokens=5))


@pytest.mark.parametrize("usd", [1e300, 10**400, float("inf"), float("nan")])
def test_an_amount_beyond_all_money_is_refused(usd: float) -> None:
    with pytest.raises(ConfigurationError, match=r"`usd` must be a number from 0 to 10\^15"):
        Budget(usd=usd)
    assert Budget(usd=10**15).remaining.usd == 1e15


def test_a_callback_that_raises_stops_neither_the_others_nor_the_settlement(caplog: pytest.LogCaptureFixture) -> None:
    budget, told = Budget(tokens=100), []
    reservation = reserve(budget, 90)
    assert budget.reserve(Estimate(90, 0)) is None

    def fail() -> None:
        raise ValueError("a wrong callback")

    budget.on_change(fail)
    budget.on_change(lambda: told.append(budget.spent.tokens))
    with caplog.at_level(logging.ERROR, "rxresponses"):
        budget.settle(reservation, ResponseUsage(total_tokens=7))
    assert told == [7]
    assert "a callback of a budget raised" in caplog.text
    assert "a wrong callback" in caplog.text


def test_a_forked_process_is_not_charged_for_what_runs_in_its_parent() -> None:
    budget, told = Budget(tokens=100), []
    budget.settle(reserve(budget, 10), None)
    budget.settle(reserve(budget, 10), ResponseUsage(total_tokens=10))
    reservation = reserve(budget, 90)
    assert budget.reserve(Estimate(90, 0)) is None
    budget.on_change(lambda: told.append(1))
    with budget._lock:  # a thread of the parent may have held it during the fork
        _forget_parents()
        assert (budget.spent.tokens, budget.reserved.tokens) == (10, 0)
        budget.settle(reservation, ResponseUsage(total_tokens=90))
    assert (budget.spent.tokens, told) == (10, [])
    reserve(budget, 90)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_that_is_done_at_a_fork() -> None:
    budget = Budget(tokens=100)
    reserve(budget, 90)
    child = os.fork()
    if child == 0:  # no assertion may leave this branch
        os._exit(budget.reserved.tokens)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert budget.reserved.tokens == 90


@pytest.mark.parametrize("estimate", [Estimate(-1, 5), Estimate(5, -1), Estimate(1, 1, -0.1), Estimate(1, 1, math.nan)])
def test_a_negative_estimate_makes_no_room(estimate: Estimate) -> None:
    budget = Budget(tokens=10)
    with pytest.raises(ConfigurationError, match="an estimate must be of amounts from 0 on"):
        budget.reserve(estimate)
    assert budget.reserved == Amount(0.0, 0, 0)
