"""The limits and the budget that a client is given, and which requests have no price."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from ..limits.admission import Admission, Answer, Estimate, ServerLimits
from ..limits.budget import Budget
from ..limits.estimate import RequestSize, size_of
from ..limits.gate import Gate
from ..limits.limits import Limits
from ..limits.local import LocalAdmission
from ..limits.prices import Prices
from ..wire.requests import ResponseCreate

_KEYS = 2**40  # more requests than a pool ever has


@dataclass(frozen=True, kw_only=True)
class GivenLimits(Limits):
    """For a client or a fleet in a worker of many: an admission in place of limits.  Not for programs."""

    admission: Admission

    def __post_init__(self) -> None:
        """Check nothing: there are no limits."""


def local_admission(limits: Limits | None, budget: Budget | None) -> Admission | None:
    """Return the admission for these limits and this budget, `None` without both.

    Raises `TypeError` for arguments of other classes.
    """
    for name, value, kind in (("limits", limits, Limits), ("budget", budget, Budget)):
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"`{name}` must be a {kind.__name__}, not {type(value).__name__}")
    if isinstance(limits, GivenLimits):
        return limits.admission
    if limits is None and budget is None:
        return None
    return LocalAdmission(None if limits is None else Gate(limits), budget)


class MemberAdmission:
    """The admission that the members of a fleet share: what one server says of its limits is no limit for the others.

    The pool of that member pauses by itself.
    """

    def __init__(self, shared: Admission, first_keys: Iterator[int] | None = None) -> None:
        self._shared = shared
        self._first_keys = itertools.count(0, _KEYS) if first_keys is None else first_keys
        self._first_key = next(self._first_keys)
        self.ask_now, self.on_change = shared.ask_now, shared.on_change
        self.settle, self.settle_unknown = shared.settle, shared.settle_unknown

    def another(self) -> MemberAdmission:
        """Return the admission of another member, which takes its turn."""
        shared = self._shared.another() if isinstance(self._shared, LocalAdmission) else self._shared
        return MemberAdmission(shared, self._first_keys)

    def ask(self, request_key: int, estimate: Estimate, now: float) -> Answer:
        """Ask the shared one.  Each pool counts its requests from 1, so each has keys of its own there."""
        return self._shared.ask(self._first_key + request_key, estimate, now)

    def forget(self, request_key: int) -> None:
        """Have the shared one forget a request."""
        self._shared.forget(self._first_key + request_key)

    @property
    def prices(self) -> Prices | None:
        """The prices of the shared one."""
        return self._shared.prices

    @property
    def needs_price(self) -> bool:
        """Whether the shared one refuses a model without a price."""
        return self._shared.needs_price

    def limited(self, now: float, requested_wait: float | None) -> None:
        """Do nothing."""

    def told(self, limits: ServerLimits, now: float) -> None:
        """Do nothing."""


def priced_size(admission: Admission, create: ResponseCreate, frame_bytes: int) -> RequestSize:
    """Return what is known of what a request will use.

    Raises `ConfigurationError` if a budget in USD has no price for its model.
    """
    size = size_of(create, frame_bytes)
    if admission.needs_price and admission.prices is not None:
        admission.prices.price_of(size.model)
    return size
