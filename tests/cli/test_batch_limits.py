"""`rxresponses batch` with limits and a budget."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from rxresponses.testing import ResponsesServer, Usage
from rxresponses.testing.request import Request

from .conftest import Batch
from .programs import usage_error


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    path = tmp_path / "prices.json"
    path.write_text(json.dumps({"models": {"m": {"input": 1000, "output": 10_000}}}))
    return path


def ask(batch: Batch, lines: int) -> None:
    batch.ask(*({"model": "m", "input": f"{number}", "max_output_tokens": 80} for number in range(1, lines + 1)))


@pytest.fixture(autouse=True)
def _usage(server: ResponsesServer) -> None:
    server.on(r"^\d+$", ["Hello", Usage(input_tokens=20, output_tokens=80)])


def test_a_budget_of_tokens_of_all_runs(batch: Batch, server: ResponsesServer) -> None:
    ask(batch, 10)
    code, err = batch("--max-tokens", "350", "--concurrency", "2")
    assert code == 3
    assert f"3 of 10 answered, 0 failed: {batch.results}\nspent: 300 tokens\n" in err
    assert "7 to do, for about 700 tokens: the same command with a larger budget goes on with them\n" in err
    assert "rxresponses: the budget of 350 tokens has no room for this request: 300 tokens spent" in err
    assert len(server.requests) == 3
    assert batch("--max-tokens", "350")[0] == 3  # what earlier runs used counts
    assert len(server.requests) == 3
    code, err = batch("--max-tokens", "1050")
    assert code == 0
    assert err.endswith(f"10 of 10 answered, 0 failed: {batch.results}\nspent: 1000 tokens\n")
    assert len(server.requests) == 10
    assert batch("--max-tokens", "1")[0] == 0  # nothing is to do


def test_copies_need_no_budget(batch: Batch, server: ResponsesServer) -> None:
    batch.ask(*({"model": "m", "input": f"{number // 2}", "max_output_tokens": 80} for number in range(10)))
    code, err = batch("--max-tokens", "250", "--concurrency", "1", "--dedupe")
    assert code == 3
    assert "4 of 10 answered (2 copied)" in err
    assert "6 to do, for about 300 tokens: the same command" in err


def test_a_budget_of_usd(batch: Batch, server: ResponsesServer, prices: Path) -> None:
    ask(batch, 10)
    code, err = batch("--max-cost", "2", "--prices", str(prices), "--concurrency", "2")
    assert code == 3
    assert "2 of 10 answered" in err
    assert "spent: 1.64 USD, 200 tokens\n8 to do, for about 6.56 USD: the same command with a larger budget" in err
    assert len(server.requests) == 2


def test_prices_alone_show_the_cost(batch: Batch, prices: Path) -> None:
    ask(batch, 2)
    assert batch("--prices", str(prices)) == (
        0,
        f"2 of 2 answered, 0 failed: {batch.results}\nspent: 1.64 USD, 200 tokens\n",
    )


def test_the_built_in_prices_have_a_date(batch: Batch, server: ResponsesServer) -> None:
    batch.ask("one")
    code, err = batch("--max-cost", "5")
    assert code == 0
    assert err.startswith("the prices are those of 20")
    assert "--prices FILE gives others\n" in err


def test_a_model_without_a_price(batch: Batch, server: ResponsesServer, prices: Path) -> None:
    batch.ask({"model": "other", "input": "x"}, {"model": "other", "input": "y"})
    code, err = batch("--max-cost", "5", "--prices", str(prices))
    assert code == 2
    assert "the model 'other'" in err
    assert server.requests == []
    assert batch()[0] == 0
    code, err = batch("--max-cost", "5", "--prices", str(prices))
    assert (code, "have none for the model 'other'" in err) == (2, True)  # so what was spent is not known
    prices.write_text("{")
    code, err = batch("--max-cost", "5", "--prices", str(prices))
    assert (code, "cannot be read" in err) == (2, True)


def test_requests_a_minute(batch: Batch, server: ResponsesServer) -> None:
    received: list[float] = []

    def reply(request: Request) -> str:
        received.append(time.monotonic())
        return "Hello"

    server.on("again", reply)
    batch.ask(*(f"again {number}" for number in range(5)))
    assert batch("--rpm", "600", "--tpm", "1e6")[0] == 0
    assert max(received) - min(received) > 0.25  # 4 pauses of 0.1 s; a late timer may catch up with one of them


@pytest.mark.parametrize("option", ["--rpm", "--tpm", "--max-cost", "--max-tokens"])
def test_wrong_values(capsys: pytest.CaptureFixture[str], option: str) -> None:
    assert f"argument {option}: must be a positive" in usage_error(capsys, "batch", "in", "-o", "x", option, "0")
