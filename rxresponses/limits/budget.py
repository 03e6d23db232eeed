"""`Budget`: what several senders may spend together; for any thread."""

from __future__ import annotations

import logging
import math
import os
import weakref
from collections.abc import Callable
from threading import Lock
from typing import NamedTuple, NoReturn

from ..errors import BudgetExceededError, ConfigurationError
from ..scalars import plain_scalar
from ..wire.models import ResponseUsage
from .account import Account, Sum
from .admission import Estimate, Reservation
from .prices import PER_USD, Prices, is_known, tokens_of, units_of

_MOST_USD = 10**15  # as 10^-12 USD, still far from the end of floats
_living: weakref.WeakSet[Budget] = weakref.WeakSet()


class Amount(NamedTuple):
    """An amount of a budget.  `usd` is what models with a known price cost."""

    usd: float
    tokens: int
    requests: int


class Remaining(NamedTuple):
    """What remains of a budget after what is spent and reserved, `None` where there is no limit."""

    usd: float | None
    tokens: int | None
    requests: int | None


class Budget:
    """What may be spent at most: USD, tokens (input and output together), or requests; `None` is no limit.

    Clients, conversations and agents on them, operators and batches may share a budget, on any threads.  A request
    reserves what it is expected to use before it is sent, and the reservation is settled with what the server says it
    used.  A request for which nothing is left is not sent, and ends with `BudgetExceededError`.  A request for which
    something is left only if running requests use less than they have reserved, waits.  What runs finishes.  So a
    budget is exceeded by no more than running requests use beyond their estimates.

    `requests` counts what is sent, also what the server refuses, and each try of a request.  A response whose usage is
    not known, as after a lost connection, counts as estimated.

    `prices` are needed for `usd`, by default `Prices.default()`.  Without a limit of `usd`, prices only make `spent`
    tell the cost of the models that they know.

    A budget cannot be copied or pickled.  A forked process has its own copy, from which what runs in the parent is
    taken out.  An error that a callback of `on_change` raises goes to the log `rxresponses`.

    Raises `ConfigurationError` for a limit that is no number from 0 on.
    """

    def __init__(
        self,
        *,
        usd: float | None = None,
        tokens: int | None = None,
        requests: int | None = None,
        prices: Prices | None = None,
    ) -> None:
        usd, tokens, requests = plain_scalar(usd), plain_scalar(tokens), plain_scalar(requests)
        is_number = isinstance(usd, (int, float)) and not isinstance(usd, bool)
        if usd is not None and not (is_number and 0 <= usd <= _MOST_USD):
            raise ConfigurationError(f"`usd` must be a number from 0 to 10^15, not {usd!r}")
        for name, value in (("tokens", tokens), ("requests", requests)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
                raise ConfigurationError(f"`{name}` must be a whole number from 0 on, not {value!r}")
        if prices is not None and not isinstance(prices, Prices):
            raise ConfigurationError(f"`prices` must be Prices, not {type(prices).__name__}: use `Prices.load(FILE)`")
        self.prices = Prices.default() if prices is None and usd is not None else prices
        self.limits_usd = usd is not None
        self._account = Account(usd=usd, tokens=tokens, requests=requests)
        self._lock = Lock()
        self._awaited = False  # a reservation has not fitted since the latest settlement
        self._callbacks: dict[object, Callable[[], None]] = {}
        _living.add(self)

    def __reduce__(self) -> NoReturn:
        """Refuse to be copied or pickled."""
        raise TypeError(
            "a budget cannot be copied or sent to another process, because what it counts would be counted twice: "
            "share the budget itself between threads, and give each process a budget of its own"
        )

    def __repr__(self) -> str:
        limits = ", ".join(
            f"{unit}={f'{limit / PER_USD:g}' if unit == 'usd' else limit}"
            for unit, limit in self._account.limits
            if limit is not None
        )
        return f"<Budget {limits or 'without limits'}; spent: {self.spent}>"

    # What is there.

    @property
    def spent(self) -> Amount:
        """What settled requests have used."""
        return _amount(self._account.spent)

    @property
    def reserved(self) -> Amount:
        """What running requests are expected to use."""
        return _amount(self._account.reserved)

    @property
    def remaining(self) -> Remaining:
        """What is left after what is spent and reserved, from 0 on."""
        with self._lock:
            taken = self._account.spent.plus(self._account.reserved)
        left = [
            None if limit is None else max(0, limit - taken[index])
            for index, (_, limit) in enumerate(self._account.limits)
        ]
        usd = None if left[0] is None else left[0] / PER_USD
        return Remaining(usd, left[1], left[2])

    @property
    def stopped(self) -> bool:
        """Whether nothing more is admitted: a limit is reached by what is spent, or `stop` was called."""
        return self._account.is_used_up

    def stop(self) -> None:
        """Admit nothing more; what runs finishes."""
        with self._lock:
            self._account.is_stopped = True
        self._tell()

    # Reserving and settling.

    def refusal(self, estimate: Estimate) -> BudgetExceededError | None:
        """Return why a request can never be admitted, `None` if it can, now or later."""
        with self._lock:
            return self._account.refusal(_wanted(estimate))

    def reserve(self, estimate: Estimate, *, waits: bool = True) -> Reservation | None:
        """Reserve what a request is expected to use; `None` if it has to wait for running requests to be settled.

        `on_change` tells when to try again.  With `waits=False` it does not wait, and may exceed the budget.

        Raises `BudgetExceededError` if the request can never be admitted, and `ConfigurationError` if the budget has a
        limit of USD and no price for the model, or for a negative estimate.
        """
        if self.limits_usd and self.prices is not None:
            self.prices.price_of(estimate.model)
        wanted = _wanted(estimate)
        with self._lock:
            refusal = self._account.refusal(wanted)
            if refusal is not None:
                raise refusal
            if waits and not self._account.fits(wanted):
                self._awaited = True
                return None
            return Reservation(self._account.reserve(wanted), estimate)

    def settle(self, reservation: Reservation, usage: ResponseUsage | None, *, model: str | None = None) -> None:
        """Note what a request has used; `None` if it was not sent.  A second call does nothing.

        The price is that of `model`, the one that answered, if it has a price, and else of the model asked for.  A
        usage without any count is not known: see `settle_unknown`.
        """
        if usage is not None and not is_known(usage):
            self.settle_unknown(reservation)
        else:
            self._settle(reservation, Sum() if usage is None else self._used(usage, model, reservation))

    def spend(self, usage: ResponseUsage, *, model: str | None = None) -> None:
        """Note what was used without a reservation, also beyond the limits."""
        with self._lock:
            reservation = Reservation(self._account.reserve(Sum(requests=1)), Estimate(0, 0, 0.0, model))
        self.settle(reservation, usage)

    def settle_unknown(self, reservation: Reservation) -> None:
        """Note that it is unknown what a request has used: it counts as estimated."""
        self._settle(reservation, None)

    def charge(self, amount: Amount) -> None:
        """Note what was spent elsewhere, such as by another process; what runs finishes, as always."""
        with self._lock:
            more = Sum(round(amount.usd * PER_USD), amount.tokens, amount.requests)
            self._account.spent = self._account.spent.plus(more)
            tells, self._awaited = self._awaited, False
        if tells:
            self._tell()

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have `callback` called, on any thread, when a request that `reserve` told to wait may be admitted or refused.

        Returns a function that ends that.
        """
        key = object()
        with self._lock:
            self._callbacks[key] = callback
        return lambda: self._forget(key)

    def _forget(self, key: object) -> None:
        with self._lock:
            self._callbacks.pop(key, None)

    def _settle(self, reservation: Reservation, used: Sum | None) -> None:
        with self._lock:
            tells = self._account.settle(reservation.number, used) and self._awaited
            if tells:
                self._awaited = False
        if tells:
            self._tell()

    def _tell(self) -> None:
        with self._lock:
            callbacks = tuple(self._callbacks.values())
        for callback in callbacks:
            try:
                callback()
            except Exception as error:  # it would end the work of another client, whose request was settled
                logging.getLogger("rxresponses").error("a callback of a budget raised", exc_info=error)

    def _forget_parent(self) -> None:
        """In a forked process, forget what runs and waits in the parent, which pays for it."""
        self._lock = Lock()  # a thread of the parent may have held it
        self._account.forget_reservations()
        self._callbacks, self._awaited = {}, False

    def _used(self, usage: ResponseUsage, model: str | None, reservation: Reservation) -> Sum:
        price = None
        if self.prices is not None:
            price = self.prices.find(model) or self.prices.find(reservation.estimate.model)
        units = 0 if price is None else units_of(usage, price)
        return Sum(units, sum(tokens_of(usage)), 1)


def _wanted(estimate: Estimate) -> Sum:
    if min(estimate.input_tokens, estimate.output_tokens) < 0 or not 0 <= estimate.usd < math.inf:
        raise ConfigurationError(f"an estimate must be of amounts from 0 on, not {estimate}")
    return Sum(round(estimate.usd * PER_USD), estimate.tokens, 1)


def _amount(total: Sum) -> Amount:
    return Amount(total.usd / PER_USD, total.tokens, total.requests)


def _forget_parents() -> None:
    for budget in tuple(_living):
        budget._forget_parent()


# Windows has no fork.
getattr(os, "register_at_fork", lambda **_: None)(after_in_child=_forget_parents)
