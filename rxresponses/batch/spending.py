"""What the runs of a batch have spent, and how much all of it may come to."""

from __future__ import annotations

from collections.abc import Mapping

from ..limits.admission import Estimate
from ..limits.budget import Budget
from ..limits.prices import Prices, tokens_of
from ..wire.base import build_received
from ..wire.models import InputTokensDetails, ResponseUsage
from .result_lines import Head


class Spending:
    """Adds up what the results of earlier runs used, and charges it to the budget of this run."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, ...], list[int]] = {}

    def add(self, head: Head) -> None:
        """Count a result, if the server told what its answers used; a copy has used nothing."""
        for told in head.usages:
            if isinstance(told, Mapping):
                usage = build_received(ResponseUsage, told)[0]
                input_tokens, output_tokens = tokens_of(usage)
                details = usage.input_tokens_details
                cached = min(input_tokens, max(0, (details.cached_tokens or 0) if details is not None else 0))
                sums = self._sums.setdefault(head.models, [0, 0, 0])
                for index, tokens in enumerate((input_tokens, cached, output_tokens)):
                    sums[index] += tokens

    def charge(self, budget: Budget) -> None:
        """Charge all of it, by the price of the model that answered, or else of the one that the command chose.

        Raises `ConfigurationError` if a budget in USD has no price for either.
        """
        reservations = []
        for models in self._sums:
            model = _priced(budget.prices, models)
            if budget.limits_usd and budget.prices is not None:
                budget.prices.price_of(model)
            reservations.append(budget.reserve(Estimate(0, 0, model=model), waits=False))
        for reservation, (input_tokens, cached, output_tokens) in zip(reservations, self._sums.values(), strict=True):
            assert reservation is not None
            details = InputTokensDetails(cached_tokens=cached)
            usage = ResponseUsage(input_tokens=input_tokens, input_tokens_details=details, output_tokens=output_tokens)
            budget.settle(reservation, usage)


def _priced(prices: Prices | None, models: tuple[str, ...]) -> str | None:
    """Return the first of the models that has a price, since servers may answer under another name; else the first."""
    has_price = (model for model in models if prices is not None and prices.find(model) is not None)
    return next(has_price, models[0] if models else None)


def shown_spending(budget: Budget, paid: int, left: int) -> str:
    """Return what is spent, and what all may come to: `paid` lines have been paid for, and `left` lines are to come."""
    spent = budget.spent
    amount: float = spent.tokens if budget.prices is None else spent.usd
    unit = "tokens" if budget.prices is None else "USD"
    expected = f" of about {_shown(amount * (paid + left) / paid)}" if paid and left and amount else ""
    return f"{_shown(amount)}{expected} {unit}"


def shown_total(budget: Budget) -> str:
    """Return what is spent."""
    spent = budget.spent
    return f"{spent.tokens} tokens" if budget.prices is None else f"{_shown(spent.usd)} USD, {spent.tokens} tokens"


def shown_rest(budget: Budget, paid: int, left: int) -> str:
    """Return what the lines that are left may take; nothing if that is not known."""
    spent = budget.spent
    if not (paid and spent.tokens):
        return ""
    tokens = f"{_shown(spent.tokens * left / paid)} tokens"
    return f", for about {tokens if budget.prices is None else f'{_shown(spent.usd * left / paid)} USD'}"


def _shown(amount: float) -> str:
    if amount == round(amount) or amount >= 1000:
        return str(round(amount))
    return f"{amount:.2f}" if amount >= 1 else f"{amount:.2g}"
