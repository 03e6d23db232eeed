"""`LeasedAdmission`: the admission of a worker's client, with permits of a gate in another process."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from threading import Condition, Thread

from ...limits.admission import Admitted, Answer, Estimate, Refused, Reservation, ServerLimits
from ...limits.permits import Grant, Permits, Report
from ...limits.prices import Prices
from ...wire.models import ResponseUsage
from .lost import GateLostError


class LeasedAdmission:
    """Asks the gate on a thread of its own, for several permits at once, and answers the client from what it holds.

    `exchange` sends a report to the gate and returns its answer; what it raises means that the gate is lost.  `prices`
    and `needs_price` are those of the gate's budget.
    """

    def __init__(
        self,
        exchange: Callable[[Report], Grant],
        *,
        prices: Prices | None = None,
        needs_price: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.prices = prices
        self.needs_price = needs_price
        self._exchange = exchange
        self._clock = clock
        self._permits = Permits()
        self._lost: GateLostError | None = None
        self._callbacks: dict[object, Callable[[], None]] = {}
        self._changed = Condition()
        self._sleeps_until = -math.inf
        self._is_closed = False
        self._thread = Thread(target=self._work, name="rxresponses-permits", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ask nothing more; tell the gate what was used, and give back what was not.  Returns when the gate knows."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def ask(self, request_key: int, estimate: Estimate, now: float) -> Answer:
        """Return whether a request may be sent."""
        with self._changed:
            if self._lost is not None:
                return Refused(self._lost)
            answer = self._permits.ask(request_key, estimate, self._clock())
            self._wake()
            return answer

    def ask_now(self, estimate: Estimate, now: float) -> Admitted | Refused:
        """Return whether something may be sent that cannot wait."""
        with self._changed:
            if self._lost is not None:
                return Refused(self._lost)
            answer = self._permits.ask_now(estimate, self._clock())
            self._wake()
            return answer

    def forget(self, request_key: int) -> None:
        """Note that a request that was told to wait will not be asked for again."""
        with self._changed:
            self._permits.forget(request_key)

    def settle(self, reservation: Reservation, usage: ResponseUsage | None, now: float) -> None:
        """Note what a request has used."""
        with self._changed:
            self._permits.settle(reservation, usage, self._clock())
            self._wake()

    def settle_unknown(self, reservation: Reservation, now: float) -> None:
        """Note that it is unknown what a request has used."""
        with self._changed:
            self._permits.settle_unknown(reservation, self._clock())
            self._wake()

    def limited(self, now: float, requested_wait: float | None) -> None:
        """Note that the server refused a request at a rate limit."""
        with self._changed:
            self._permits.limited(self._clock(), requested_wait)
            self._wake()

    def told(self, limits: ServerLimits, now: float) -> None:
        """Note the limits that the server has told."""
        with self._changed:
            self._permits.told(limits, self._clock())
            self._wake()

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have `callback` called when a request that waits may go on."""
        key = object()
        with self._changed:
            self._callbacks[key] = callback

        def end() -> None:
            with self._changed:
                self._callbacks.pop(key, None)

        return end

    def _wake(self) -> None:
        if self._permits.next_report_at(self._clock()) < self._sleeps_until:
            self._changed.notify()

    def _work(self) -> None:
        while (report := self._next_report()) is not None:
            try:
                grant = self._exchange(report)
            except Exception as error:
                lost = error if isinstance(error, GateLostError) else GateLostError(str(error) or type(error).__name__)
                with self._changed:
                    self._lost = lost
                    self._sleeps_until = -math.inf
                self._tell()
                return
            with self._changed:
                goes_on = self._permits.granted(grant, self._clock())
            if goes_on:
                self._tell()

    def _next_report(self) -> Report | None:
        with self._changed:
            while True:
                now = self._clock()
                due_at = self._permits.next_report_at(now)
                if self._is_closed:
                    self._permits.close()
                    return self._permits.report(now) if self._permits.has_news else None
                if due_at <= now:
                    self._sleeps_until = -math.inf
                    return self._permits.report(now)
                self._sleeps_until = due_at
                self._changed.wait(None if due_at == math.inf else due_at - now)

    def _tell(self) -> None:
        with self._changed:
            callbacks = tuple(self._callbacks.values())
        for callback in callbacks:
            callback()
