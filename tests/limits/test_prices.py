"""What tokens cost: by model, cached and reasoning tokens too; and which price files are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from rxresponses.errors import ConfigurationError
from rxresponses.limits.prices import PER_USD, Price, Prices, is_known, tokens_of, units_of
from rxresponses.wire.models import InputTokensDetails, OutputTokensDetails, ResponseUsage

PRICES = Prices({"m": {"input": 2.0, "cached_input": 0.5, "output": 8.0}, "plain": {"input": 1, "output": 3}})
COUNT = st.integers(0, 2**40)
PRICE = st.integers(0, 10**9).map(lambda units: units / 10**6)


def test_each_kind_of_token_has_its_price() -> None:
    usage = ResponseUsage(
        input_tokens=1000,
        input_tokens_details=InputTokensDetails(cached_tokens=400),
        output_tokens=300,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=200),
        total_tokens=1300,
    )
    assert PRICES.cost(usage, "m") == pytest.approx((600 * 2.0 + 400 * 0.5 + 300 * 8.0) / 1e6)


def test_without_a_price_of_its_own_a_cached_token_costs_as_much_as_another() -> None:
    usage = ResponseUsage(input_tokens=10, input_tokens_details=InputTokensDetails(cached_tokens=10), output_tokens=0)
    assert PRICES.cost(usage, "plain") == pytest.approx(10 / 1e6)


def test_more_cached_tokens_than_input_tokens_count_as_the_input() -> None:
    usage = ResponseUsage(input_tokens=10, input_tokens_details=InputTokensDetails(cached_tokens=99), output_tokens=0)
    assert PRICES.cost(usage, "m") == pytest.approx(10 * 0.5 / 1e6)
    usage = ResponseUsage(input_tokens=10, input_tokens_details=InputTokensDetails(), output_tokens=0)
    assert PRICES.cost(usage, "m") == pytest.approx(10 * 2.0 / 1e6)


def test_a_mere_total_is_priced_as_output() -> None:
    assert tokens_of(ResponseUsage(total_tokens=7)) == (0, 7)
    assert tokens_of(ResponseUsage(input_tokens=3, total_tokens=7)) == (3, 4)
    assert tokens_of(ResponseUsage(input_tokens=-3, output_tokens=-1)) == (0, 0)
    assert PRICES.cost(ResponseUsage(total_tokens=7), "m") == pytest.approx(7 * 8.0 / 1e6)


def test_a_usage_without_counts_is_not_known() -> None:
    assert not is_known(None)
    assert not is_known(ResponseUsage())
    assert is_known(ResponseUsage(total_tokens=0))


@pytest.mark.parametrize("model", ["m", "m-2025-04-14", "m-20250414", "m-0613", "m-latest", "vendor/m", "a/b/m-latest"])
def test_dated_names_and_names_of_providers_have_the_price_of_the_model(model: str) -> None:
    assert PRICES.price_of(model) == Price(2.0, 0.5, 8.0)


@pytest.mark.parametrize("model", ["m-mini", "mm", "ft:m:org", "", None, "m-2025-04-14-x"])
def test_a_model_without_a_price_is_named_with_what_to_do(model: str | None) -> None:
    assert PRICES.find(model) is None
    with pytest.raises(ConfigurationError) as raised:
        PRICES.cost(ResponseUsage(), model)
    assert (repr(model) if model is not None else "no model") in str(raised.value)
    assert "`Prices.load`, or `--prices`" in str(raised.value)


def test_a_star_is_every_other_model() -> None:
    prices = Prices({"m": {"input": 1, "output": 1}, "*": {"input": 5, "output": 5}})
    assert prices.price_of("m").input == 1
    assert prices.price_of("other").input == 5
    assert prices.price_of(None).input == 5


def test_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    file.write_text(json.dumps({"as_of": "2026-01-31", "note": "x", "models": {"m": {"input": 1.5, "output": 2}}}))
    prices = Prices.load(file)
    assert prices.price_of("m") == Price(1.5, 1.5, 2)
    assert repr(prices) == "<Prices of 1 models, as of 2026-01-31>"
    assert repr(PRICES) == "<Prices of 2 models>"
    with pytest.raises(ConfigurationError, match="the prices of 2026-01-31 have none for the model 'x'"):
        prices.price_of("x")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "must hold a JSON object"),
        ("{}", "`models`"),
        ('{"models": []}', "`models`"),
        ('{"models": {"m": 3}}', "the price of 'm' must be a mapping"),
        ('{"models": {"m": {"input": 1}}}', "`output` of 'm' must be USD"),
        ('{"models": {"m": {"input": "1", "output": 2}}}', "`input` of 'm' must be USD"),
        ('{"models": {"m": {"input": -1, "output": 2}}}', "`input` of 'm' must be USD"),
        ('{"models": {"m": {"input": true, "output": 2}}}', "`input` of 'm' must be USD"),
        ('{"models": {"m": {"input": 1, "output": 2, "batch": 3}}}', "has 'batch'"),
        ('{"models": {"m": {"input": 1e10, "output": 2}}}', "`input` of 'm' must be USD"),
        ("no json", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, content: str | None, words: str) -> None:
    file = tmp_path / "prices.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigurationError) as raised:
        Prices.load(file)
    assert words in str(raised.value)
    assert "prices.json" in str(raised.value)


def test_the_default_prices_have_a_date_and_make_sense() -> None:
    data: dict[str, Any] = json.loads(
        (Path(__file__).parents[2] / "rxresponses/limits/default_prices.json").read_text()
    )
    prices = Prices.default()
    assert prices.as_of == data["as_of"]
    assert "check it" in data["source"]
    for name in data["models"]:
        price = prices.price_of(name)
        assert 0 < price.cached_input < price.input < price.output


@given(COUNT, COUNT, COUNT, st.tuples(PRICE, PRICE, PRICE))
def test_costs_are_exact(input_tokens: int, cached: int, output_tokens: int, prices: tuple[float, ...]) -> None:
    """A price of a whole number of 10^-6 USD for a million tokens loses nothing."""
    usage = ResponseUsage(
        input_tokens=input_tokens,
        input_tokens_details=InputTokensDetails(cached_tokens=cached),
        output_tokens=output_tokens,
    )
    cached = min(cached, input_tokens)
    counts = (input_tokens - cached, cached, output_tokens)
    expected = sum(count * round(price * 10**6) for count, price in zip(counts, prices, strict=True))
    assert units_of(usage, Price(*prices)) == expected
    assert PER_USD == 10**12


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_a_file_may_be_what_a_shell_of_windows_writes(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "prices.json"
    file.write_text('{"models": {"m": {"input": 1, "output": 2}}}', encoding=encoding)
    assert Prices.load(file).price_of("m") == Price(1, 1, 2)


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (ResponseUsage(input_tokens=5, output_tokens=7, total_tokens=99), (5, 7)),
        (ResponseUsage(input_tokens=5, total_tokens=30), (5, 25)),
        (ResponseUsage(output_tokens=7, total_tokens=30), (23, 7)),
        (ResponseUsage(total_tokens=30), (0, 30)),
        (ResponseUsage(input_tokens=5), (5, 0)),
        (ResponseUsage(output_tokens=7), (0, 7)),
        (ResponseUsage(output_tokens=7, total_tokens=3), (0, 7)),
        (ResponseUsage(), (0, 0)),
    ],
)
def test_what_only_the_total_has_counts(usage: ResponseUsage, tokens: tuple[int, int]) -> None:
    assert tokens_of(usage) == tokens
