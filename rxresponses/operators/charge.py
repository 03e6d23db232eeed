"""`charge`: a budget pays for the responses of a stream."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextvars import copy_context
from threading import Lock
from typing import Generic

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import SingleAssignmentDisposable

from ..errors import BudgetExceededError, ConfigurationError
from ..limits.admission import Estimate, Reservation
from ..limits.budget import Budget
from ..limits.used import usage_at_error, usage_of
from ..net.loops import running_loop
from ..net.observable import EventObservable
from ..net.timing import current_timings, recording
from ..scalars import plain_scalar
from ..wire.events import ServerEvent
from ..wire.failures import failure_of, response_of
from ..wire.fields import begins_response, shows_output
from ..wire.models import ResponseUsage
from ._arguments import makes_operator, no_event
from ._results import E

_MOST_TOKENS = 2**53 - 1  # as in what a server tells


@makes_operator
def charge(
    budget: Budget, *, model: str | None = None, input_tokens: int = 0, output_tokens: int = 0
) -> Callable[[Observable[E]], Observable[E]]:
    """Emit all events, and let a budget pay for what their responses use.

    Marble::

        events:                    --created--"He"--"llo"--completed|
        charge(budget):            --created--"He"--"llo"--completed|
        charge(a used-up budget):  X

    Put it directly behind `send_request` of a sender without a budget of its own, such as a socket or a lane; for a
    `ResponsesClient`, use its `budget`.  On subscription `input_tokens` and `output_tokens` are reserved, the tokens
    that the response is expected to use at most; by default only one request is.  If the budget never has room for
    that, the stream ends with `BudgetExceededError`, and the source is not subscribed to, so nothing is sent.  If the
    budget has room only when others use less than they have reserved, the subscription waits for them.

    The terminal event tells what a response has used.  Of several responses in a row, each is charged, and the first
    takes the reservation.  If a response ends without that, by a lost connection or because it is disposed, it counts
    as what was reserved.  A budget in USD needs `model`, whose price counts if the model that answers has none.

    Runs on the source's thread.  A subscription that has waited begins on the loop where it was made, or else on the
    thread that made room in the budget.  Disposing disposes the source, or ends the wait.  Raises `ConfigurationError`
    if the budget is in USD and there is no price for `model`, or for tokens that are no whole numbers from 0 on, and
    `TypeError` for anything else than a budget.
    """
    if not isinstance(budget, Budget):
        raise TypeError(f"budget must be a Budget, not {budget!r}")
    input_tokens, output_tokens = plain_scalar(input_tokens), plain_scalar(output_tokens)
    estimate = _estimate(budget, model, input_tokens, output_tokens)

    def operator(source: Observable[E]) -> Observable[E]:
        def subscribe(observer: ObserverBase[E], scheduler: SchedulerBase | None = None) -> DisposableBase:
            charging = _Charging(budget, estimate, source, observer, scheduler)
            charging.begin()
            return charging

        return EventObservable(subscribe)

    return operator


def _estimate(budget: Budget, model: str | None, input_tokens: int, output_tokens: int) -> Estimate:
    for name, value in (("input_tokens", input_tokens), ("output_tokens", output_tokens)):
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_TOKENS:
            raise ConfigurationError(f"`{name}` must be a whole number from 0 to 2^53 - 1, not {value!r}")
    if model is not None and not isinstance(model, str):
        raise ConfigurationError(f"`model` must be the name of a model, not {model!r}")
    usd = 0.0
    if budget.limits_usd and budget.prices is not None:
        if model is None:
            raise ConfigurationError("a budget in USD needs the model: write `charge(budget, model=…)`")
        usage = ResponseUsage(input_tokens=input_tokens, output_tokens=output_tokens)
        usd = budget.prices.cost(usage, model)
    return Estimate(input_tokens, output_tokens, usd, model)


class _Charging(DisposableBase, Generic[E]):
    """One subscription: it waits for its budget, subscribes to the source, and settles what the responses used."""

    def __init__(
        self,
        budget: Budget,
        estimate: Estimate,
        source: Observable[E],
        observer: ObserverBase[E],
        scheduler: SchedulerBase | None,
    ) -> None:
        self._budget = budget
        self._estimate = estimate
        self._source = source
        self._observer = observer
        self._scheduler = scheduler
        self._loop = running_loop()
        self._context, self._timings = copy_context(), current_timings()
        self._lock = Lock()  # two threads may make room in the budget at once
        self._is_decided = False  # begun, refused or disposed
        self._end_watch: Callable[[], None] = lambda: None
        self._reservation: Reservation | None = None
        self._upstream = SingleAssignmentDisposable()
        self._first: ServerEvent | None = None  # of the present response
        self._has_output = False

    def begin(self) -> None:
        """Subscribe to the source, if the budget has room now; else watch the budget."""
        if not self._attempt():
            self._end_watch = self._budget.on_change(self._changed)
            self._attempt()  # there may be room since the first attempt

    def dispose(self) -> None:
        """Dispose the source, or stop waiting."""
        with self._lock:
            self._is_decided = True
        self._end_watch()
        self._upstream.dispose()
        self._settle_unknown()

    # The budget.

    def _changed(self) -> None:
        if self._loop is None:
            self._resume()
            return
        with contextlib.suppress(RuntimeError):  # the loop has been closed
            self._loop.call_soon_threadsafe(self._resume)

    def _resume(self) -> None:
        self._context.copy().run(self._attempt)

    def _attempt(self) -> bool:
        """Begin if the budget has room, end if it never has; return whether that is decided."""
        error = None
        with self._lock:
            if self._is_decided:
                return True
            try:
                self._reservation = self._budget.reserve(self._estimate)
            except BudgetExceededError as refusal:
                error = refusal
            self._is_decided = error is not None or self._reservation is not None
        if self._is_decided:
            self._end_watch()
        if error is not None:
            self._observer.on_error(error)
        elif self._is_decided:
            with recording(self._timings):
                self._upstream.disposable = self._source.subscribe(
                    self._on_next, self._on_error, self._on_completed, scheduler=self._scheduler
                )
        return self._is_decided

    def _settle(self, usage: ResponseUsage | None, model: str | None = None) -> None:
        reservation, self._reservation = self._reservation, None
        if reservation is not None:
            self._budget.settle(reservation, usage, model=model)
        elif usage is not None and not self._upstream.is_disposed:
            self._budget.spend(usage, model=model or self._estimate.model)

    def _settle_unknown(self) -> None:
        reservation, self._reservation = self._reservation, None
        if reservation is not None:
            self._budget.settle_unknown(reservation)

    # The source.

    def _on_next(self, event: E) -> None:
        try:
            is_terminal = event.is_terminal
        except AttributeError:
            raise no_event("charge", event) from None
        if not self._has_output:
            if self._first is None and begins_response(event) and not is_terminal:
                self._first = event
            self._has_output = self._first is not None and shows_output(event) and not is_terminal
        if is_terminal:
            response = response_of(event)
            failure = failure_of(event, self._first, has_output=self._has_output)
            self._settle(usage_of(event, failure), None if response is None else response.model)
            self._first, self._has_output = None, False
        self._observer.on_next(event)

    def _on_error(self, error: Exception) -> None:
        if self._reservation is not None:
            self._settle(usage_at_error(error))
        self._observer.on_error(error)

    def _on_completed(self) -> None:
        if self._first is None:
            self._settle(None)  # no event came, so nothing was sent
        self._settle_unknown()
        self._observer.on_completed()
