"""`LocalAdmission`: the admission of one client, by its own gate and a budget that it may share."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..errors import BudgetExceededError
from ..wire.models import ResponseUsage
from .admission import Admitted, Answer, Estimate, Refused, Reservation, ServerLimits, Wait
from .budget import Budget
from .gate import Gate, Passage
from .line import Line
from .prices import Prices, is_known, tokens_of


class LocalAdmission:
    """Admits a request when the gate lets it begin and the budget has room for it.

    Where several clients share a gate, as in a fleet, each has an admission of its own, made with `another`.  They are
    let through in turn, so that a client with much to send does not hold up the others.
    """

    def __init__(self, gate: Gate | None = None, budget: Budget | None = None, line: Line | None = None) -> None:
        self._gate = Gate() if gate is None else gate
        self._budget = budget
        self._line = Line() if line is None else line
        self._callbacks: dict[object, Callable[[], None]] = {}
        self._latest_number = 0
        self._open: dict[int, tuple[Passage, Reservation | None]] = {}

    @property
    def prices(self) -> Prices | None:
        """The prices of the budget."""
        return None if self._budget is None else self._budget.prices

    @property
    def needs_price(self) -> bool:
        """Whether the budget has a limit in USD."""
        return self._budget is not None and self._budget.limits_usd

    def another(self) -> LocalAdmission:
        """Return an admission for another client, with the same gate and budget."""
        return LocalAdmission(self._gate, self._budget, self._line)

    def changed(self) -> None:
        """Have the client ask again."""
        for callback in tuple(self._callbacks.values()):
            callback()

    def ask(self, request_key: int, estimate: Estimate, now: float) -> Answer:
        """Return whether a request may be sent.  A budget that has no room refuses it before the gate lets it wait."""
        if self._budget is not None and (refusal := self._budget.refusal(estimate)) is not None:
            return Refused(refusal)
        ready_at = self._gate.ready_at(now)
        if ready_at <= now:
            ready_at = self._line.turn_at(self, now)
        if ready_at > now:
            self._line.join(self)
            return Wait(ready_at)
        self._line.leave(self)
        return self._admit(estimate, now, waits=True)

    def ask_now(self, estimate: Estimate, now: float) -> Admitted | Refused:
        """Return whether something may be sent that cannot wait."""
        answer = self._admit(estimate, now, waits=False)
        assert not isinstance(answer, Wait)
        return answer

    def forget(self, request_key: int) -> None:
        """Let the other clients pass."""
        self._line.leave(self)

    def settle(self, reservation: Reservation, usage: ResponseUsage | None, now: float) -> None:
        """Note what a request has used: `None` if it was not sent."""
        if usage is not None and not is_known(usage):
            self.settle_unknown(reservation, now)
        elif reservation.number in self._open:
            passage, reserved = self._open.pop(reservation.number)
            self._gate.settle(passage, None if usage is None else tokens_of(usage))
            self._line.tell_first(self)
            if self._budget is not None and reserved is not None:
                self._budget.settle(reserved, usage)

    def settle_unknown(self, reservation: Reservation, now: float) -> None:
        """Note that it is unknown what a request has used: it counts as estimated."""
        if reservation.number in self._open:
            _, reserved = self._open.pop(reservation.number)
            if self._budget is not None and reserved is not None:
                self._budget.settle_unknown(reserved)

    def limited(self, now: float, requested_wait: float | None) -> None:
        """Let nothing begin for so long as the server asks."""
        self._gate.limited(now, requested_wait)

    def told(self, limits: ServerLimits, now: float) -> None:
        """Take over the limits of the server."""
        self._gate.told(limits, now)

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have `callback` called when the budget, which others may share, has room again, or the gate opens earlier."""
        key = object()
        self._callbacks[key] = callback
        end_watch = None if self._budget is None else self._budget.on_change(callback)

        def end() -> None:
            self._callbacks.pop(key, None)
            if end_watch is not None:
                end_watch()

        return end

    def _admit(self, estimate: Estimate, now: float, *, waits: bool) -> Answer:
        reserved = None
        if self._budget is not None:
            try:
                reserved = self._budget.reserve(estimate, waits=waits)
            except BudgetExceededError as error:
                return Refused(error)
            if reserved is None:
                return Wait(math.inf)
        self._latest_number += 1
        self._open[self._latest_number] = self._gate.begin(estimate, now), reserved
        return Admitted(Reservation(self._latest_number, estimate))
