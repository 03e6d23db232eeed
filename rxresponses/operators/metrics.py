"""`metrics`: what a response took, in seconds and tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, overload

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

from ..errors import DecodeError, ResponseFailedError
from ..net.timing import Timings, recording
from ..wire.events import TERMINAL_TYPES, ServerEvent
from ..wire.failures import failure_of, response_id_of, response_of
from ..wire.models import Response, ResponseUsage
from ._results import E
from ._text import TextReader
from ._timer import clock_for


@dataclass(frozen=True, kw_only=True)
class ResponseMetrics:
    """What one response took, and how it ended.  All times are seconds since the subscription.

    `queued` passed until the request was written: how long it waited in this client, for the connection, its
    lane, a free slot or another try; `None` where the sender does not tell.  `first_event` passed until the
    server said anything, `first_text` until there was text to show (`None`: there was none), `total`
    until the terminal event, whose type is `type`.

    `status` is that of the response, such as `completed` or `incomplete`; it is `failed` for a rejected request
    as well, and then `error` says why.  `output_tokens_per_second` counts all output tokens, reasoning
    included, over the time from the first event to the terminal one; `None` when the server counts none.
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


@overload
def metrics(
    into: None = None, *, scheduler: SchedulerBase | None = None
) -> Callable[[Observable[ServerEvent]], Observable[ResponseMetrics]]: ...
@overload
def metrics(
    into: Callable[[ResponseMetrics], object], *, scheduler: SchedulerBase | None = None
) -> Callable[[Observable[E]], Observable[E]]: ...


def metrics(
    into: Callable[[ResponseMetrics], object] | None = None, *, scheduler: SchedulerBase | None = None
) -> Callable[[Observable[Any]], Observable[Any]]:
    """Measure a response: emit its `ResponseMetrics`, or pass its events on and tell them to `into`.

    Marble::

        events:          --created--"He"--"llo"--completed|
        metrics():       ------------------------metrics--|
        metrics(into=f): --created--"He"--"llo"--completed|      and f(metrics) just before `completed`

    Failed and rejected responses are measured as well: what failed, and when, is in the metrics, and nothing
    becomes an error here.  A source that fails, as by a lost connection, passes its error on, unmeasured.
    Of several responses in a row, each is measured; from the second on the clock starts at the end of
    the one before, and `queued` is `None`.

    Put this right behind `send_request`, or behind `retry_with_backoff`, whose waits then count as
    queueing.  To subscribe is what starts the clock and asks the sender when it writes, so behind
    `share`, or on a response that was begun before, `queued` is not known.

    Time is that of `scheduler`, else of the clock that `timeout_on_terminal` describes; no timer is
    started.  Runs on the source's thread, and so does `into`; disposing disposes the source.  An `into`
    that raises ends the stream with what it raised; one that cannot be called raises `TypeError` at once.
    """
    if into is not None and not callable(into):
        raise TypeError(f"into must be a function of the metrics, not {into!r}")

    def operator(source: Observable[ServerEvent]) -> Observable[Any]:
        def subscribe(observer: ObserverBase[Any], subscribe_scheduler: SchedulerBase | None = None) -> DisposableBase:
            watch = _Stopwatch(clock_for(scheduler, subscribe_scheduler).now)

            def emit(event: ServerEvent) -> None:
                result = watch.read(event)
                if result is not None:
                    observer.on_next(result)

            def tell(event: ServerEvent) -> None:
                result = watch.read(event)
                if result is not None:
                    assert into is not None
                    try:
                        into(result)
                    except Exception as problem:
                        observer.on_error(problem)
                        return
                observer.on_next(event)

            with recording(watch.timings):
                return source.subscribe(
                    emit if into is None else tell,
                    observer.on_error,
                    observer.on_completed,
                    scheduler=subscribe_scheduler,
                )

        return Observable(subscribe)

    return operator


class _Stopwatch:
    """Measures one response after another, event by event."""

    __slots__ = ("_begin", "_first", "_first_event", "_first_text", "_now", "_text", "timings")

    def __init__(self, now: Callable[[], float]) -> None:
        self.timings = Timings(now)
        self._now = now
        self._start(now())

    def _start(self, begin: float) -> None:
        self._begin = begin
        self._first: ServerEvent | None = None
        self._first_event = begin
        self._first_text: float | None = None
        self._text = TextReader()

    def read(self, event: ServerEvent) -> ResponseMetrics | None:
        """Take an event in; return the metrics when it is the terminal one."""
        if self._first is None:
            self._first, self._first_event = event, self._now()
        if event.type in TERMINAL_TYPES:
            return self._finish(event, self._first)
        if self._first_text is None and self._text.read(event):
            self._first_text = self._now()
        return None

    def _finish(self, event: ServerEvent, first: ServerEvent) -> ResponseMetrics:
        end = self._first_event if event is first else self._now()
        error = failure_of(event, None if event is first else first)
        response = response_of(event)
        if self._first_text is None:
            text = self._text.finish(event)  # of a server that sends no deltas
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
        )
        self.timings.sent = None
        self._start(end)
        return metrics

    def _since_begin(self, time: float | None) -> float | None:
        return None if time is None else time - self._begin


def _model(response: Response | None) -> str | None:
    return None if response is None else response.model


def _rate(usage: ResponseUsage | None, seconds: float) -> float | None:
    if usage is None or usage.output_tokens is None or seconds <= 0:
        return None
    return usage.output_tokens / seconds
