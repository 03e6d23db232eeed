"""The attempts of one request to a fallback, one choice after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextvars import copy_context

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, SerialDisposable, SingleAssignmentDisposable

from ..errors import PreviousResponseLostError, ResponsesError
from ..net.clock import Clock
from ..net.timing import current_timings, recording
from ..raised import as_exception
from ..wire.events import TERMINAL_TYPES, ServerEvent
from ..wire.failures import failure_of
from ..wire.fields import begins_response, response_id_of, shows_output
from .errors import AttemptTimeoutError
from .events import FallbackEvent
from .fallback_rules import next_of


class Attempts:
    """The attempts of one subscription.  The timer of an attempt may fire on another thread than its events come on."""

    def __init__(
        self,
        order: Sequence[int],
        senders: Sequence[int],
        names: Sequence[str],
        source_of: Callable[[int], Observable[ServerEvent]],
        when: Callable[[Exception], bool],
        timeout: float | None,
        answers: Callable[[int], None],
        began: Callable[[int, str], None],
        parent_id: str | None,
        observer: ObserverBase[ServerEvent],
        scheduler: SchedulerBase | None,
        clock: Clock,
    ) -> None:
        self._order = order
        self._senders = senders
        self._names = names
        self._source_of = source_of
        self._when = when
        self._timeout = timeout
        self._answers = answers
        self._began = began
        self._parent_id = parent_id
        self._observer = observer
        self._scheduler = scheduler
        self._clock = clock
        self._context = copy_context()
        self._timings = current_timings()
        self._tried: list[int] = []
        self._errors: list[Exception] = []  # of those that were tried
        self._upstream = SerialDisposable()
        self._timer = SerialDisposable()

    def start(self) -> DisposableBase:
        """Begin with the first choice."""
        self._attempt(self._order[0])
        return CompositeDisposable(self._timer, self._upstream)

    def _attempt(self, number: int) -> None:
        subscription = SingleAssignmentDisposable()
        # Keep the subscription before it starts: the attempt may fail, and the next one start, before it returns.
        self._upstream.disposable = subscription
        if subscription.is_disposed:
            return
        self._tried.append(number)
        attempt = _Attempt(self, number)
        if self._timeout is not None:
            timer = SingleAssignmentDisposable()
            self._timer.disposable = timer
            seconds = self._timeout
            timer.disposable = self._clock.start(seconds, lambda: attempt.on_timeout(seconds))

        # Copies, because the attempt before may have failed while it was delivered in the context.
        try:
            source = self._context.copy().run(self._source_of, number)
        except Exception as error:
            attempt.on_error(as_exception(error, "the sender"))
            return

        def subscribe() -> DisposableBase:
            with recording(self._timings):
                return source.subscribe(
                    attempt.on_next, attempt.on_error, attempt.on_completed, scheduler=self._scheduler
                )

        subscription.disposable = self._context.copy().run(subscribe)

    # What becomes of an attempt.

    def move_on(self, error: Exception) -> bool:
        """Ask the next choice if the error allows it; return whether the error has been dealt with."""
        try:
            moves_on = self._when(error)
        except BaseException as raised:
            self.fail(as_exception(raised, "`when`"), tells=False)
            if not isinstance(raised, Exception):
                raise  # an exit: the program gets it
            return True
        if not moves_on:
            return False
        number = next_of(self._order, self._senders, self._tried, error)
        if number is not None:
            self._errors.append(error)
            self._attempt(number)
            return True
        if self._parent_id is None or len(self._order) == len(self._senders):
            return False
        lost = PreviousResponseLostError(
            f"the sender of the response {self._parent_id!r} failed, and no other sender has that response; nothing "
            "was sent to the others: send the whole conversation in place of `previous_response_id`",
            previous_response_id=self._parent_id,
        )
        lost.__cause__ = error
        self.fail(lost, last=error)
        return True

    def answer(self, number: int, held: Sequence[ServerEvent]) -> None:
        """Emit which choice answers, and the events that were held back."""
        self._stop_timer()
        self._answers(number)
        tried = [self._names[one] for one in self._tried[:-1]]
        self._observer.on_next(
            FallbackEvent(choice=number, name=self._names[number], tried=tried, errors=list(self._errors))
        )
        for event in held:
            self.emit(number, event)

    def emit(self, number: int, event: ServerEvent) -> None:
        """Emit an event of the choice that answers."""
        if event.type == "response.created" and (response_id := response_id_of(event)) is not None:
            self._began(number, response_id)
        self._observer.on_next(event)

    def complete(self) -> None:
        """Emit the end."""
        self._observer.on_completed()

    def fail(self, error: Exception, *, tells: bool = True, last: Exception | None = None) -> None:
        """Emit an error, and dispose the latest attempt.

        If it `tells`, the error lists all attempts.  `last` is the error of the latest attempt, if that is another one.
        """
        self._stop_timer()
        self._upstream.disposable = SingleAssignmentDisposable()
        if tells and isinstance(error, ResponsesError):
            errors = [*self._errors, last or error]
            error.attempts = tuple(zip((self._names[one] for one in self._tried), errors, strict=True))
        self._observer.on_error(error)

    def _stop_timer(self) -> None:
        self._timer.disposable = SingleAssignmentDisposable()


class _Attempt:
    """One try of a request with one choice."""

    def __init__(self, attempts: Attempts, number: int) -> None:
        self._attempts = attempts
        self._number = number
        self._held: list[ServerEvent] = []
        self._first: ServerEvent | None = None  # the first event of the response
        self._lock = threading.Lock()  # for `_is_settled`
        self._is_settled = False  # the choice answers, or has failed: what comes first counts
        self._answers = False

    def settle(self) -> bool:
        """Decide what becomes of the attempt; return whether that was open."""
        with self._lock:
            was_open, self._is_settled = not self._is_settled, True
        return was_open

    def on_next(self, event: ServerEvent) -> None:
        """Emit the event, or hold it back."""
        if self._answers:
            self._attempts.emit(self._number, event)
        elif event.type in TERMINAL_TYPES:
            failure = failure_of(event, self._first, has_output=False)
            is_dealt_with = not self.settle() if failure is None else self._is_dealt_with(failure)
            if not is_dealt_with:
                self._answer(event)
        elif not shows_output(event):
            if self._first is None and begins_response(event):
                self._first = event
            self._held.append(event)
        elif self.settle():
            self._answer(event)

    def on_error(self, error: Exception) -> None:
        """Ask the next choice, or emit the error."""
        if self._answers:
            self._attempts.fail(error, tells=False)
        elif not self._is_dealt_with(error):
            self._attempts.fail(error)

    def on_completed(self) -> None:
        """Emit the end, also that of a response without a terminal event."""
        if not self._answers:
            if not self.settle():
                return
            self._answer()
        self._attempts.complete()

    def on_timeout(self, seconds: float) -> None:
        """End the attempt with an `AttemptTimeoutError`."""
        first = self._first
        error = AttemptTimeoutError(
            seconds,
            delivery="unknown" if first is None else "started",
            response_id=response_id_of(first),
            stream_id=None if first is None else first.stream_id,
        )
        if not self._is_dealt_with(error):
            self._attempts.fail(error)

    def _answer(self, *events: ServerEvent) -> None:
        self._answers = True
        held, self._held = [*self._held, *events], []
        self._attempts.answer(self._number, held)

    def _is_dealt_with(self, error: Exception) -> bool:
        """Ask the next choice if the error allows it; return whether the error has been dealt with."""
        return not self.settle() or self._attempts.move_on(error)
