"""What earlier runs spent is counted, and what all runs may come to is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rxresponses import Budget, ConfigurationError, InvalidRequestError, Prices
from rxresponses.batch.batch import meets_every_line
from rxresponses.batch.lines import Task, digest
from rxresponses.batch.progress import Progress
from rxresponses.batch.result_lines import read_head
from rxresponses.batch.results import Results
from rxresponses.batch.run import Result
from rxresponses.batch.spending import Spending, shown_rest, shown_spending, shown_total
from rxresponses.limits.admission import Estimate

from .conftest import Clock

# USD for a million tokens
PRICES = Prices({"m": {"input": 2, "cached_input": 1, "output": 10}, "n": {"input": 1, "output": 1}})
USAGE = {"input_tokens": 100, "output_tokens": 10}
WRONG = InvalidRequestError("wrong")


def task(number: int) -> Task:
    return Task(number, digest(b"%d" % number), {}, model="m")


def spent(path: Path, prices: Prices | None = PRICES, **more: Any) -> Budget:
    spending, budget = Spending(), Budget(prices=prices, **more)
    with Results(str(path), lines=100, spending=spending):
        spending.charge(budget)
    return budget


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


def write(path: Path, *results: Result, **more: Any) -> None:
    with Results(str(path), lines=100, **more) as output:
        output.begin()
        for result in results:
            output.write(result)


class TestEarlierRuns:
    def test_of_nothing(self, path: Path) -> None:
        assert spent(path).spent == (0, 0, 0)

    def test_answers_and_failures_by_the_price_of_the_model_that_answered(self, path: Path) -> None:
        cached = {"input_tokens": 100, "input_tokens_details": {"cached_tokens": 60}, "output_tokens": 10}
        write(
            path,
            Result(task(1), {"usage": USAGE}),  # 300 millionths
            Result(task(2), {"usage": USAGE, "model": "n-2026-01-01"}),  # 110
            Result(task(3), {"usage": cached, "model": "m"}, error=WRONG),  # 240
            Result(task(4), {"usage": USAGE, "model": 7}, earlier=(USAGE, None, "none")),  # 600
            Result(task(5), error=WRONG),
            Result(task(6), {"usage": None}),
            Result(task(7), {"usage": "none"}),
        )
        budget = spent(path, usd=5.0)
        assert budget.spent.usd == pytest.approx(0.00125)
        assert budget.spent.tokens == 550

    def test_a_copy_costs_nothing(self, path: Path) -> None:
        write(path, Result(task(1), {"usage": USAGE}))
        with Results(str(path), lines=100) as output:
            output.begin()
            ((place, _),) = output.places()
            output.write_copy(task(2), place)
        assert spent(path).spent.tokens == 110

    def test_more_than_the_budget(self, path: Path) -> None:
        write(path, Result(task(1), {"usage": USAGE}), Result(task(2), {"usage": USAGE, "model": "n"}))
        budget = spent(path, tokens=50)
        assert (budget.spent.tokens, budget.stopped) == (220, True)

    def test_a_model_without_a_price(self, path: Path) -> None:
        write(path, Result(Task(1, digest(b"1"), {}), {"usage": USAGE, "model": "other"}))
        with pytest.raises(ConfigurationError, match="the model 'other'"):
            spent(path, usd=1)
        assert spent(path).spent == (0, 110, 1)
        assert spent(path, None).spent == (0, 110, 1)

    def test_a_server_may_answer_under_another_name(self, path: Path) -> None:
        write(path, Result(task(1), {"usage": USAGE, "model": "other"}))
        assert spent(path, usd=1).spent.usd == pytest.approx(0.0003)
        assert spent(path, Prices({"*": {"input": 1, "output": 0}})).spent.usd == pytest.approx(0.0001)

    def test_failures_that_are_tried_again_still_count(self, path: Path) -> None:
        write(path, Result(task(1), {"usage": USAGE}, error=WRONG), Result(task(2), error=WRONG))
        write(
            path,
            Result(task(1), {"usage": USAGE}, earlier=(USAGE,)),
            Result(task(2), {"usage": USAGE}),
            retry_failed=True,
        )
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert [len(line.get("earlier_usage", [])) for line in lines] == [2, 0]
        assert spent(path).spent.tokens == 440

    def test_results_without_the_fields(self) -> None:
        for line in (b"{}", b'{"error":{}}', b'{"error":{"response":7}}', b'{"response":null}', b'{"response":{}}'):
            head = read_head(b'{"line":1,"digest":"0123456789abcdef",' + line[1:].replace(b",}", b"}"))
            assert (line == b"{}") == (head is None)
            assert head is None or (head.usages, head.models) == ([], ())


def budget_of(usd: float, tokens: int, *, priced: bool = True) -> Budget:
    prices = Prices({"*": {"input": usd / tokens * 1e6, "output": 0}}) if priced else None
    budget = Budget(prices=prices)
    reservation = budget.reserve(Estimate(tokens, 0, usd, "m"))
    assert reservation is not None
    budget.settle_unknown(reservation)
    return budget


class TestShown:
    @pytest.mark.parametrize(
        ("usd", "paid", "left", "text"),
        [
            (1.5, 10, 20, "1.50 of about 4.50 USD"),
            (0.00123, 1, 3, "0.0012 of about 0.0049 USD"),
            (2500.5, 1, 1, "2500 of about 5001 USD"),
            (1.5, 10, 0, "1.50 USD"),
            (1.5, 0, 10, "1.50 USD"),
        ],
    )
    def test_usd(self, usd: float, paid: int, left: int, text: str) -> None:
        assert shown_spending(budget_of(usd, 1000), paid, left) == text

    def test_tokens(self) -> None:
        budget = budget_of(0, 1000, priced=False)
        assert shown_spending(budget, 2, 3) == "1000 of about 2500 tokens"
        assert (shown_total(budget), shown_rest(budget, 2, 3)) == ("1000 tokens", ", for about 1500 tokens")

    def test_the_end(self) -> None:
        budget = budget_of(1.5, 1000)
        assert (shown_total(budget), shown_rest(budget, 2, 3)) == ("1.50 USD, 1000 tokens", ", for about 2.25 USD")
        assert shown_rest(budget, 0, 3) == ""
        assert shown_total(Budget()) == "0 tokens"
        assert shown_spending(Budget(), 1, 1) == "0 tokens"

    def test_in_the_progress(self, clock: Clock) -> None:
        budget = budget_of(1.5, 1000)
        progress = Progress(9, 3, copies=2, copied=1, budget=budget, clock=clock)
        assert str(progress) == "3 of 9 done, 0 failed, 1.50 of about 4.50 USD"
        progress.add_copy(failed=False)
        assert str(progress) == "4 of 9 done, 0 failed, 1.50 of about 4.50 USD"


def test_a_spent_budget_is_met_by_every_line() -> None:
    budget = Budget(tokens=1)
    refusal = budget.refusal(Estimate(2, 0))
    assert refusal is not None
    assert meets_every_line(refusal)
