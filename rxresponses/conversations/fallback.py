"""`fallback`: another sender or another model, as long as there is no output."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

from ..errors import ConfigurationError
from ..net.clock import clock_for
from ..net.observable import EventObservable
from ..net.sender import Sender, not_a_sender
from ..redaction import discreet
from ..scalars import plain_scalar
from ..wire.events import ServerEvent
from ..wire.ids import LatestIds, id_key
from ..wire.requests import InputItem, ResponseCreate, create_from
from .fallback_attempts import Attempts
from .fallback_rules import may_fall_back, order_of

_MOST_RESPONSES = 65_536  # whose sender is known


class Choice(NamedTuple):
    """A sender, and the model that requests to it name; `None` for that of the request."""

    sender: Sender
    model: str | None

    @property
    def name(self) -> str:
        """The name of the choice in events and errors."""
        return self.model or repr(self.sender)


@discreet
def fallback(
    *choices: Sender | str | tuple[Sender, str],
    sender: Sender | None = None,
    attempt_timeout: float | None = None,
    sticky: float | None = None,
    when: Callable[[Exception], bool] = may_fall_back,
    scheduler: SchedulerBase | None = None,
) -> FallbackSender:
    """Return a sender that asks the first choice, and another one if the first fails before any output.

    Marble::

        first choice:   --created--X
        second choice:             --created--"He"-----------------"llo"--completed|
        send_request(): ----------------------(F, created, "He")--"llo"--completed|

    F is a `FallbackEvent`.

    A choice is a sender; the name of a model, for requests to `sender`; or a pair of both, since services have names of
    their own::

        fallback("gpt-5.2", "gpt-5.2-mini", sender=client, attempt_timeout=20)
        fallback(socket, (azure, "my-deployment"), sticky=300)

    **Nothing of a failed attempt is emitted.** The events of an attempt are held back until the first event that shows
    output, or ends the response.  Then a `FallbackEvent` tells which choice answers, and the errors of the choices
    before; the events that were held back, and all others, follow.  After that no other choice is asked.

    **When another choice is asked.** `when` decides by the error, or by the error that a failure event means.  By
    default another choice is asked after errors for which `retry_with_backoff` would try again, and after a spent
    quota, a failed connection, a refused key, a model that is not there, and a failing server, if the request was
    `not_sent` or `rejected`, or if the response failed without output and usage.  An invalid request is not sent to
    another choice, nor is a request whose `delivery` is `unknown`, because it may run, and cost, twice.
    `when=lambda error: True` sends both.  After `ConnectFailedError` the other models of that sender are skipped.

    **Limits.** An attempt that shows no output within `attempt_timeout` seconds is disposed, and the next choice asked;
    the first may then still run, and cost, at its server.  `sticky` is the number of seconds for which requests begin
    with the choice that answered in place of the first.  With `None` there is no such limit, or each request begins
    with the first choice.

    **Continuations.** A response belongs to the sender that made it.  A request that continues the response goes to the
    choices of that sender only.  If the response is unknown, that is the sender of the first choice.  If they fail and
    there are other senders, the error is `PreviousResponseLostError`, with the last error as its `__cause__`.  A
    `Conversation` then sends everything to the others.  Ids of conversations, files and prompts at a service belong to
    that service too.

    **Errors.** If no choice is left, the observer gets the last error, or the failure event of the last choice.
    `error.attempts` lists the choices that were tried, each with its error.

    The returned sender works wherever a sender does: in a `Conversation`, in `traced`, in `fallback`; and with
    `retry_with_backoff`.  It owns no sender, and closes none.  `steer` goes to the sender of the response.  All may be
    called from any thread.  Events come on the thread of the sender that answers.  Timers run on `scheduler`, else on
    that which `timeout_on_terminal` describes.  Disposing disposes the running attempt.

    Raises `ConfigurationError` at once without any choice, for a model without `sender`, and for wrong numbers of
    seconds.
    """
    if not choices:
        raise ConfigurationError("`fallback` needs at least one sender or model")
    if not callable(when):
        raise ConfigurationError(f"`when` must be a function that takes an error, not {when!r}")
    made = [_choice(choice, sender) for choice in choices]
    timeout, time_of = _seconds("attempt_timeout", attempt_timeout), _seconds("sticky", sticky)
    return FallbackSender(made, timeout, time_of, when, scheduler)


class FallbackSender:
    """The sender that `fallback` returns."""

    def __init__(
        self,
        choices: Sequence[Choice],
        attempt_timeout: float | None,
        sticky: float | None,
        when: Callable[[Exception], bool],
        scheduler: SchedulerBase | None,
    ) -> None:
        self._choices = choices
        self._attempt_timeout = attempt_timeout
        self._sticky = sticky
        self._when = when
        self._scheduler = scheduler
        distinct: list[Sender] = []
        for choice in choices:
            if not any(choice.sender is known for known in distinct):
                distinct.append(choice.sender)
        self._senders = [next(n for n, known in enumerate(distinct) if known is one.sender) for one in choices]
        self._now = time.monotonic if scheduler is None else clock_for(scheduler, None).now
        self._lock = threading.Lock()  # for what follows
        self._first = 0  # the choice that is preferred
        self._until = 0.0  # when that is over
        self._holders: LatestIds[int] = LatestIds(_MOST_RESPONSES)

    def __repr__(self) -> str:
        return f"<FallbackSender of {', '.join(choice.name for choice in getattr(self, '_choices', ()))}>"

    @property
    def chooses_lanes(self) -> bool:
        """Whether all senders choose the lane of each request themselves."""
        return all(getattr(choice.sender, "chooses_lanes", False) for choice in self._choices)

    @discreet
    def send_request(
        self, request: ResponseCreate | Mapping[str, Any], *, stream_id: str | None = None, **options: Any
    ) -> Observable[ServerEvent]:
        """Return the events of one response, as `fallback` describes.

        `options` go to the `send_request` of each choice.

        Raises `InvalidRequestError` at once for an invalid request.
        """
        create = create_from(request, stream_id)
        parent_id = create.previous_response_id if isinstance(create.previous_response_id, str) else None

        def source_of(number: int) -> Observable[ServerEvent]:
            choice = self._choices[number]
            made = create if choice.model is None else dataclasses.replace(create, model=choice.model)
            return choice.sender.send_request(made, **options)

        source_of(0)  # raises

        def subscribe(observer: ObserverBase[ServerEvent], scheduler: SchedulerBase | None = None) -> DisposableBase:
            with self._lock:
                if self._now() >= self._until:
                    self._first = 0
                holder = None if parent_id is None else self._holders.get(id_key(parent_id), -1)
                order = order_of(
                    self._senders, self._first, None if holder == -1 else holder, continues=parent_id is not None
                )
            attempts = Attempts(
                order,
                self._senders,
                [choice.name for choice in self._choices],
                source_of,
                self._when,
                self._attempt_timeout,
                self._answers,
                self._began,
                parent_id,
                observer,
                scheduler,
                clock_for(self._scheduler, scheduler),
            )
            return attempts.start()

        return EventObservable(subscribe)

    def steer(self, response_id: str, input: str | Sequence[InputItem]) -> Observable[ServerEvent]:
        """Call `steer` of the sender that made a response; of the first choice's sender for an unknown one."""
        with self._lock:
            sender: Any = self._choices[self._holders.get(id_key(response_id), 0)].sender
        if not callable(getattr(sender, "steer", None)):
            raise ConfigurationError(
                f"{type(sender).__name__} has no `steer`, so the response {response_id!r} goes on; nothing was sent"
            )
        steered: Observable[ServerEvent] = sender.steer(response_id, input)
        return steered

    def _answers(self, number: int) -> None:
        """Note which choice answers."""
        with self._lock:
            if self._sticky is not None and number != self._first:
                self._first, self._until = number, self._now() + self._sticky

    def _began(self, number: int, response_id: str) -> None:
        """Note which choice made a response."""
        with self._lock:
            self._holders.add(id_key(response_id), number)


def _choice(choice: Any, sender: Sender | None) -> Choice:
    model: str | None = None
    if isinstance(choice, tuple) and len(choice) == 2:
        choice, model = choice
        if not isinstance(model, str):
            raise ConfigurationError(f"a choice that is a pair must be a sender and the name of a model, not {model!r}")
    elif isinstance(choice, str):
        if sender is None:
            raise ConfigurationError(f"the choice {choice!r} is a model without a sender: pass `sender`")
        choice, model = sender, choice
    if (what := not_a_sender(choice)) is not None:
        raise ConfigurationError(f"a choice must be a sender, a model, or a pair of both, not {what}")
    return Choice(choice, model)


def _seconds(name: str, value: Any) -> float | None:
    value = plain_scalar(value)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= threading.TIMEOUT_MAX:
        raise ConfigurationError(f"`{name}` must be a positive number of seconds, not {value!r}")
    return float(value)
