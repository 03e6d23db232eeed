"""What a budget admits: never more than its limits, but for what running requests use beyond their estimates."""

from __future__ import annotations

import math

import hypothesis.strategies as st
from hypothesis import given, settings

from rxresponses.limits.account import Account, Sum
from rxresponses.limits.prices import PER_USD
from tests.effort import examples

AMOUNT = st.builds(
    Sum, st.integers(0, PER_USD), st.integers(0, 1000), st.integers(0, 1)
)  # of a request: up to 1 USD, 1,000 tokens
LIMIT = st.one_of(st.none(), st.integers(0, 20))


def test_what_is_reserved_is_not_free() -> None:
    account = Account(tokens=100)
    number = account.reserve(Sum(tokens=60))
    assert account.fits(Sum(tokens=40))
    assert not account.fits(Sum(tokens=41))
    assert account.refusal(Sum(tokens=41)) is None, "it fits once the other one has used less"
    account.settle(number, Sum(tokens=59))
    assert account.fits(Sum(tokens=41))
    assert not account.is_used_up


def test_what_does_not_fit_beside_what_is_spent_is_refused() -> None:
    account = Account(usd=1.0, tokens=100)
    account.settle(account.reserve(Sum()), Sum(usd=PER_USD // 2, tokens=60))
    refusal = account.refusal(Sum(tokens=41))
    assert refusal is not None
    assert (refusal.unit, refusal.limit, refusal.spent) == ("tokens", 100, 60)
    assert "the budget of 100 tokens has no room for this request: 60 tokens spent" in str(refusal)
    assert "may take 41 tokens more" in str(refusal)
    refusal = account.refusal(Sum(usd=PER_USD))
    assert refusal is not None
    assert (refusal.unit, refusal.limit, refusal.spent) == ("usd", 1.0, 0.5)
    assert "the budget of 1 USD has no room for this request: 0.5 USD spent" in str(refusal)


def test_a_request_alone_is_one_request() -> None:
    account = Account(requests=0)
    assert "may take 1 request more" in str(account.refusal(Sum(requests=1)))
    assert account.is_used_up


def test_a_settlement_counts_once() -> None:
    account = Account()
    number = account.reserve(Sum(tokens=60))
    assert account.settle(number, Sum(tokens=5))
    assert not account.settle(number, Sum(tokens=5))
    assert account.spent == Sum(tokens=5)
    assert account.reserved == Sum()


def test_what_is_not_known_counts_as_reserved() -> None:
    account = Account()
    account.settle(account.reserve(Sum(1, 2, 3)), None)
    assert account.spent == Sum(1, 2, 3)


def test_a_stopped_account_refuses_everything() -> None:
    account = Account()
    assert account.refusal(Sum(10**20, 10**20, 10**20)) is None
    account.is_stopped = True
    assert account.is_used_up
    refusal = account.refusal(Sum())
    assert refusal is not None
    assert refusal.unit is None
    assert math.isnan(refusal.limit)
    assert "stop()" in str(refusal)


@settings(max_examples=examples(300))
@given(
    limits=st.tuples(LIMIT, st.one_of(st.none(), st.integers(0, 20_000)), LIMIT),
    requests=st.lists(st.tuples(AMOUNT, AMOUNT, st.sampled_from(["used", "unknown", "open"])), max_size=50),
)
def test_an_account_exceeds_its_limits_by_no_more_than_the_errors_of_estimates(
    limits: tuple[int | None, int | None, int | None], requests: list[tuple[Sum, Sum, str]]
) -> None:
    """Requests are reserved when they fit, and settled in any order, at the latest when the next one has to wait."""
    account = Account(usd=limits[0], tokens=limits[1], requests=limits[2])
    running: list[tuple[int, Sum, Sum | None]] = []
    settled, excess = Sum(), Sum()

    def settle() -> None:
        nonlocal settled, excess
        number, wanted, used = running.pop(len(running) // 2)
        account.settle(number, used)
        used = wanted if used is None else used
        settled = settled.plus(used)
        excess = excess.plus(Sum(*(max(0, more) for more in used.minus(wanted))))

    for wanted, used, ending in requests:
        while (refusal := account.refusal(wanted)) is None and not account.fits(wanted):
            assert running, "a request waits only for others that run"
            settle()
        if refusal is None:
            running.append((account.reserve(wanted), wanted, None if ending == "unknown" else used))
            if ending != "open":
                settle()
        for index, (_, limit) in enumerate(account.limits):
            assert limit is None or account.spent[index] + account.reserved[index] <= limit + excess[index]
        assert account.spent == settled
        reserved = Sum()
        for _, amount, _ in running:
            reserved = reserved.plus(amount)
        assert account.reserved == reserved
