"""`metrics`: the times and token counts of a response."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, overload

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

from ..errors import DecodeError, ResponseFailedError
from ..net.clock import clock_for
from ..net.observable import EventObservable
from ..net.timing import Timings, recording
from ..raised import as_exception
from ..scalars import is_in_bounds
from ..wire.assembly_scopes import REFUSALS
from ..wire.endings import RefusalReader
from ..wire.events import TERMINAL_TYPES, ResponseTextDeltaEvent, ServerEvent
from ..wire.failures import failure_of, response_of
from ..wire.fields import begins_response, response_id_of, shows_output
from ..wire.models import Response, ResponseUsage
from ..wire.output_text import TextReader
from ..wire.redacted import hide_secrets
from ._arguments import check_event, makes_operator
from ._results import E


@dataclass(frozen=True, kw_only=True)
class ResponseMetrics:
    """The times and token counts of one response, and how it ended.  Times are seconds since the subscription.

    `queued` is the time until the request was written: the request waited in this client for its connection, its
    lane or another try.  It is `None` if the sender does not report it.  `first_event` is the time until the first
    event, `first_text` the time until the first text (`None` without text), `total` the time until the terminal
    event.  `type` is the type of the terminal event.

    `status` is the status of the response, such as `completed` or `incomplete`.  It is `failed` for a rejected
    request too, and then `error` says why.  `output_tokens_per_second` divides all output tokens, those for
    reasoning included, by the time from the first event to the terminal event.  It is `None` if the server does
    not count tokens.  `refusal` is what the model said if it refused to answer, else `None`.
    """

    type: str
    status: str
    response_id: str | None
    stream_id: str | None
    model: str | None
    queued: float | None
    first_event: float
    first_text: float | None
    total: float
    usage: ResponseUsage | None
    output_tokens_per_second: float | None
    error: ResponseFailedError | None
    refusal: str | None = None


@overload
def metrics(
    into: None = None, *, scheduler: SchedulerBase | None = None
) -> Callable[[Observable[ServerEvent]], Observable[ResponseMetrics]]: ...
@overload
def metrics(
    into: Callable[[ResponseMetrics], object], *, scheduler: SchedulerBase | None = None
) -> Callable[[Observable[E]], Observable[E]]: ...


@makes_operator
def metrics(
    into: Callable[[ResponseMetrics], object] | None = None, *, scheduler: SchedulerBase | None = None
) -> Callable[[Observable[Any]], Observable[Any]]:
    """Measure a response: emit its `ResponseMetrics`, or emit its events and call `into` with the metrics.

    Marble::

        events:          --created--"He"--"llo"--completed|
        metrics():       ------------------------metrics--|
        metrics(into=f): --created--"He"--"llo"--completed|      and f(metrics) just before `completed`

    Failed and rejected responses are measured too: the metrics say what failed and when, and nothing becomes an
    error here.  So are responses of which an operator before this one has made an error, such as `raise_on_refusal`;
    the error follows the metrics.  A source that fails for another reason, for example because the connection was
    lost, passes its error on and emits no metrics.  Of several responses in a row, each is measured.  From the second
    on, the times count from the end of the response before, and `queued` is `None`.

    Put this operator right behind `send_request`, or behind `retry_with_backoff`, whose waits then count as
    `queued`.  The subscription starts the times, and asks the sender to report when it writes the request.  So
    `queued` is not known behind `share`, or when the request was already subscribed to.

    Times are those of `scheduler`, else of the scheduler that `timeout_on_terminal` describes.  No timer is
    started.  Events, and `into`, run on the source's thread.  Disposing disposes the source.  An `into` that
    raises ends the stream with its exception.  An `into` that cannot be called raises `TypeError` at the call.
    """
    if into is not None and not callable(into):
        raise TypeError(f"into must be a function of the metrics, not {into!r}")

    def operator(source: Observable[ServerEvent]) -> Observable[Any]:
        def subscribe(observer: ObserverBase[Any], subscribe_scheduler: SchedulerBase | None = None) -> DisposableBase:
            watch = _Stopwatch(clock_for(scheduler, subscribe_scheduler).now)

            # The deltas behind the first text are measured in no way, so they are not read.

            def emit(event: ServerEvent) -> None:
                if watch.has_text and type(event) is ResponseTextDeltaEvent:
                    return
                result = watch.read(event)
                if result is not None:
                    observer.on_next(result)

            def pass_on(event: ServerEvent) -> None:
                if watch.has_text and type(event) is ResponseTextDeltaEvent:
                    observer.on_next(event)
                    return
                result = watch.read(event)
                if result is None or pass_into(result):
                    observer.on_next(event)

            def pass_into(result: ResponseMetrics) -> bool:
                assert into is not None
                try:
                    into(result)
                except Exception as raised:
                    observer.on_error(as_exception(raised, "`into`"))
                    return False
                return True

            def fail(error: Exception) -> None:
                end = getattr(error, "event", None)  # of the errors that operators make of responses
                result = watch.read(end) if isinstance(end, ServerEvent) else None
                if result is not None and into is None:
                    observer.on_next(result)
                elif result is not None and not pass_into(result):
                    return
                observer.on_error(error)

            with recording(watch.timings):
                return source.subscribe(
                    emit if into is None else pass_on,
                    fail,
                    observer.on_completed,
                    scheduler=subscribe_scheduler,
                )

        return EventObservable(subscribe)

    return operator


class _Stopwatch:
    """Measures one response after another, event by event."""

    __slots__ = (
        *("_begin", "_first", "_first_event", "_first_text", "_has_output", "_now", "_refusals", "_text"),
        *("has_text", "timings"),
    )

    def __init__(self, now: Callable[[], float]) -> None:
        self.timings = Timings(now)
        self._refusals = RefusalReader()
        self._now = now
        self._start(now())

    def _start(self, begin: float) -> None:
        self._begin = begin
        self._first: ServerEvent | None = None
        self._first_event = begin
        self._first_text: float | None = None
        self.has_text = False  # nothing but the end is left to be measured, and refusals
        self._has_output = False
        self._text = TextReader()

    def read(self, event: ServerEvent) -> ResponseMetrics | None:
        """Measure an event; return the metrics if it is the terminal event."""
        if self._first is None:
            check_event("metrics", event)
            if not begins_response(event):
                return None  # a heartbeat
            self._first, self._first_event = event, self._now()
        if event.type in TERMINAL_TYPES:
            return self._finish(event, self._first)
        if type(event) in REFUSALS.folds:
            self._refusals.read(event)
        if not self._has_output:
            self._has_output = shows_output(event)
        if self._first_text is None and self._text.read(event):
            self._first_text = self._now()
            self.has_text = True
        return None

    def _finish(self, event: ServerEvent, first: ServerEvent) -> ResponseMetrics:
        end = self._first_event if event is first else self._now()
        error = failure_of(event, None if event is first else first, has_output=self._has_output)
        response = response_of(event)
        refusal = self._refusals.read(event)
        if self._first_text is None:
            text = self._text.finish(event)  # a server may send no deltas
            if text and not isinstance(text, DecodeError):
                self._first_text = end
        usage = None if response is None else response.usage
        status = "failed" if error is not None else response.status if response is not None else None
        metrics = ResponseMetrics(
            type=event.type,
            status=status or event.type.removeprefix("response."),
            response_id=response_id_of(event) or response_id_of(first),
            stream_id=event.stream_id or first.stream_id,
            model=_model(response) or _model(response_of(first)),
            queued=self._since_begin(self.timings.sent),
            first_event=self._first_event - self._begin,
            first_text=self._since_begin(self._first_text),
            total=end - self._begin,
            usage=usage,
            output_tokens_per_second=_rate(usage, end - self._first_event),
            error=error,
            refusal=None if refusal is None else hide_secrets(event, refusal),
        )
        self.timings.sent = None
        self._start(end)
        return metrics

    def _since_begin(self, time: float | None) -> float | None:
        return None if time is None else time - self._begin


def _model(response: Response | None) -> str | None:
    return None if response is None else response.model


def _rate(usage: ResponseUsage | None, seconds: float) -> float | None:
    tokens = None if usage is None else usage.output_tokens
    # A decoded event has no other numbers, but a program may have built the event.
    return tokens / seconds if tokens is not None and is_in_bounds(tokens) and seconds > 0 else None
