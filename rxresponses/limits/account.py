"""`Account`: the rules of a budget, without a lock: what is spent and reserved, and what still fits."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from ..errors import BudgetExceededError
from .prices import PER_USD

Unit = Literal["usd", "tokens", "requests"]


class Sum(NamedTuple):
    """Amounts of an account as whole numbers, which add up exactly.  `usd` is in 10^-12 USD."""

    usd: int = 0
    tokens: int = 0
    requests: int = 0

    def plus(self, other: Sum) -> Sum:
        """Return the sum of two."""
        return Sum(self.usd + other.usd, self.tokens + other.tokens, self.requests + other.requests)

    def minus(self, other: Sum) -> Sum:
        """Return the difference of two."""
        return Sum(self.usd - other.usd, self.tokens - other.tokens, self.requests - other.requests)


class Account:
    """What may be spent, is reserved, and is spent.

    A request reserves what it is expected to use, and is settled with what it used.  It fits if all that is spent and
    reserved leaves room for it.  If only what is spent does, the request waits, because running requests may use less
    than they have reserved.  If not even that does, or after `stop`, it is refused.  Running requests are let finish,
    so an account exceeds its limits by no more than running requests used beyond their estimates.
    """

    def __init__(self, *, usd: float | None = None, tokens: int | None = None, requests: int | None = None) -> None:
        units = None if usd is None else round(usd * PER_USD)
        self.limits: tuple[tuple[Unit, int | None], ...] = (("usd", units), ("tokens", tokens), ("requests", requests))
        self.spent = Sum()
        self.reserved = Sum()
        self.is_stopped = False
        self._open: dict[int, Sum] = {}
        self._latest_number = 0

    @property
    def is_used_up(self) -> bool:
        """Whether a limit is reached by what is spent, or the account was stopped."""
        spent = self.spent._asdict()
        return self.is_stopped or any(limit is not None and spent[unit] >= limit for unit, limit in self.limits)

    def refusal(self, wanted: Sum) -> BudgetExceededError | None:
        """Return why so much can never be reserved, `None` if it can, now or later."""
        if self.is_stopped:
            return BudgetExceededError(
                "the budget was stopped by `stop()`, so the request was not sent; what runs finishes: use another "
                "budget to go on",
                unit=None,
                limit=math.nan,
                spent=math.nan,
            )
        for index, (unit, limit) in enumerate(self.limits):
            if limit is not None and self.spent[index] + wanted[index] > limit:
                return _exceeded(unit, limit, self.spent[index], wanted[index])
        return None

    def fits(self, wanted: Sum) -> bool:
        """Whether so much can be reserved now."""
        return all(
            limit is None or self.spent[index] + self.reserved[index] + wanted[index] <= limit
            for index, (_, limit) in enumerate(self.limits)
        )

    def reserve(self, wanted: Sum) -> int:
        """Reserve so much, whether it fits or not; return the number of the reservation."""
        self._latest_number += 1
        self._open[self._latest_number] = wanted
        self.reserved = self.reserved.plus(wanted)
        return self._latest_number

    def settle(self, number: int, used: Sum | None) -> bool:
        """Settle a reservation with what was used, `None` for as much as was reserved.

        Returns whether the reservation was open.
        """
        reserved = self._open.pop(number, None)
        if reserved is None:
            return False
        self.reserved = self.reserved.minus(reserved)
        self.spent = self.spent.plus(reserved if used is None else used)
        return True

    def forget_reservations(self) -> None:
        """Forget what is reserved, as if it had not been sent."""
        self._open.clear()
        self.reserved = Sum()


def _exceeded(unit: Unit, limit: int, spent: int, wanted: int) -> BudgetExceededError:
    shown_spent, shown_wanted, shown_limit = (_shown(unit, value) for value in (spent, wanted, limit))
    advice = "" if unit == "requests" else ", set a lower `max_output_tokens`, or send a shorter input"
    return BudgetExceededError(
        f"the budget of {shown_limit} has no room for this request: {shown_spent} spent, and the request may take "
        f"{shown_wanted} more; it was not sent, and what runs finishes: allow a larger budget{advice}",
        unit=unit,
        limit=limit / PER_USD if unit == "usd" else limit,
        spent=spent / PER_USD if unit == "usd" else spent,
    )


def _shown(unit: Unit, value: int) -> str:
    if unit == "usd":
        return f"{value / PER_USD:.6g} USD"
    return f"{value} {unit if value != 1 else unit[:-1]}"
