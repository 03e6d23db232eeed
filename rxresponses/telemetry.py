"""Traces and metrics of requests, for OpenTelemetry: `from rxresponses.telemetry import traced`.

Names and meanings are those of the semantic conventions for generative AI, version 1.41, for clients.
Attributes for which the conventions have no name begin with `rxresponses.`.  Inputs and outputs are not
recorded.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from msgspec import UNSET
from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import CompositeDisposable, Disposable

from .net.observable import EventObservable
from .net.sender import Sender
from .net.timing import Timings, recording
from .proxies import DEFAULT_PORTS
from .raised import text_of
from .redaction import discreet
from .scalars import is_in_bounds
from .version import installed_version
from .wire.assembly import Assembly
from .wire.assembly_scopes import CALLS
from .wire.events import TERMINAL_TYPES, ServerEvent
from .wire.failures import failure_of, response_of
from .wire.fields import begins_response, response_id_of
from .wire.models import Response, ResponseCustomToolCall, ResponseFunctionToolCall
from .wire.redacted import without_secrets
from .wire.requests import ResponseCreate, create_from

try:
    from opentelemetry import context as contexts
    from opentelemetry import metrics, trace
except ImportError as missing:
    raise ImportError(
        "rxresponses.telemetry needs opentelemetry-api, which is not installed: pip install 'rxresponses[otel]'"
    ) from missing

_LOGGER = logging.getLogger("rxresponses.telemetry")
_SCHEMA = "https://opentelemetry.io/schemas/1.41.0"
_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS = tuple(4**exponent for exponent in range(14))
_NO_OUTPUT = TERMINAL_TYPES | {"response.created", "response.queued", "response.in_progress"}
_OUTPUT_TYPES = {"text": "text", "json_object": "json", "json_schema": "json"}
_FINISH_REASONS = {"max_output_tokens": "length"}  # the other reasons keep their names

Attributes = dict[str, Any]


def traced(
    sender: Sender,
    *,
    provider: str = "openai",
    tracer_provider: trace.TracerProvider | None = None,
    meter_provider: metrics.MeterProvider | None = None,
) -> TracedSender:
    """Return a sender that does what `sender` does, and records spans and metrics of its requests.

    Each subscription to a request makes a client span named `chat MODEL`, from the subscription to the terminal
    event.  Its parent is the span that is current at the subscription.  The attributes of the span are the model
    and settings of the request, the id, model and finish reason of the response, and the tokens used.  The
    histograms `gen_ai.client.operation.duration` and `gen_ai.client.token.usage` have the same attributes without
    the ids, and so has `gen_ai.client.operation.time_to_first_chunk`: the seconds from the writing of the request
    to the first event with output.

    A failed or rejected response and an error of the source set `error.type`: to the server's code, else its
    type of error, else the name of the exception.  A disposed request is no error: its span ends at the disposal
    with `rxresponses.disposed`, which the histogram of durations has too.  `rxresponses.queued` is the time in
    seconds that the request waited in this client.

    `provider` is the well-known name of the service (`azure.ai.openai`, `x_ai`, …).  The address of the server is
    recorded if the sender has a `url`.  `tracer_provider` and `meter_provider` default to the global ones of
    OpenTelemetry.

    Observers run in the context of the subscription, so that a request which they send has the same parent.
    In all other respects, threads and disposing included, the sender behaves as `sender`.
    """
    return TracedSender(sender, provider, tracer_provider, meter_provider)


class TracedSender:
    """The sender that `traced` returns."""

    def __init__(
        self,
        sender: Sender,
        provider: str,
        tracer_provider: trace.TracerProvider | None,
        meter_provider: metrics.MeterProvider | None,
    ) -> None:
        self._sender = sender
        self._provider = provider
        self.stream_id: str | None = getattr(sender, "stream_id", None)
        """The name of the lane, if the sender is a lane."""
        source = None if self.stream_id is None else getattr(sender, "source", None)
        self.source = None if source is None else TracedSender(source, provider, tracer_provider, meter_provider)
        """The socket or client of the lane, traced as well: on it, a conversation finds lanes for its branches."""
        self.chooses_lanes = bool(getattr(sender, "chooses_lanes", False))
        """Whether the sender itself chooses the lane of each request."""
        self._server = _server(getattr(sender, "url", None))
        self._tracer = trace.get_tracer("rxresponses", installed_version(), tracer_provider, _SCHEMA)
        self._instruments = _Instruments(metrics.get_meter("rxresponses", installed_version(), meter_provider, _SCHEMA))

    def __repr__(self) -> str:
        return f"<TracedSender of {getattr(self, '_sender', '(half made)')!r}>"

    @discreet
    def send_request(
        self, request: ResponseCreate | Mapping[str, Any], *, stream_id: str | None = None, **options: Any
    ) -> Observable[ServerEvent]:
        """Call `send_request` of the sender, with its `options`, and record each subscription."""
        create = create_from(request, stream_id)
        source = self._sender.send_request(create, **options)
        model = create.model if isinstance(create.model, str) else None
        name = "chat" if model is None else f"chat {model}"
        common = _given(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": self._provider,
                "gen_ai.request.model": model,
                **self._server,
            }
        )
        openai = self._provider == "openai"
        attributes = {**common, **_request_attributes(create, openai)}

        def subscribe(observer: ObserverBase[ServerEvent], scheduler: SchedulerBase | None = None) -> DisposableBase:
            parent = contexts.get_current()
            span = self._tracer.start_span(name, parent, trace.SpanKind.CLIENT, attributes)
            operation = _Operation(span, self._instruments, common, openai)

            def deliver(notify: Callable[..., None], *values: object) -> None:
                token = contexts.attach(parent)
                try:
                    notify(*values)
                finally:
                    contexts.detach(token)

            def on_next(event: ServerEvent) -> None:
                operation.note(event)
                deliver(observer.on_next, event)

            def on_error(error: Exception) -> None:
                operation.end(error=error)
                deliver(observer.on_error, error)

            def on_completed() -> None:
                operation.end()
                deliver(observer.on_completed)

            with recording(operation.timings):
                subscription = source.subscribe(on_next, on_error, on_completed, scheduler=scheduler)
            return CompositeDisposable(Disposable(operation.dispose), subscription)

        return EventObservable(subscribe)


class _Instruments:
    """The histograms, with the buckets that the conventions recommend."""

    def __init__(self, meter: metrics.Meter) -> None:
        self.duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            unit="s",
            description="GenAI operation duration.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self.first_chunk = meter.create_histogram(
            "gen_ai.client.operation.time_to_first_chunk",
            unit="s",
            description="Time to receive the first chunk.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self.tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )


class _Operation:
    """One subscription to a request: its span, and the times that are recorded when it ends."""

    def __init__(self, span: trace.Span, instruments: _Instruments, common: Attributes, openai: bool) -> None:
        self.timings = Timings(monotonic)
        self._span = span
        self._instruments = instruments
        self._common = common
        self._openai = openai
        self._subscribed_at = monotonic()
        self._first: ServerEvent | None = None
        self._first_chunk: float | None = None
        self._assembly = Assembly(CALLS)
        self._ended = False
        self._lock = threading.Lock()  # for `_ended`: the request may be disposed on another thread

    def note(self, event: ServerEvent) -> None:
        """Note an event; the terminal one ends the operation."""
        if self._first is None:
            if not begins_response(event):
                return  # a heartbeat
            self._first = event
        if type(event) in CALLS.folds:
            self._assembly.add(event)
        if self._first_chunk is None and event.type not in _NO_OUTPUT and begins_response(event):
            self._first_chunk = monotonic()
        if event.type in TERMINAL_TYPES:
            first = None if event is self._first else self._first
            self.end(event, failure_of(event, first, has_output=self._first_chunk is not None))

    def dispose(self) -> None:
        """End the operation, unless it has ended, because the request was disposed."""
        self.end(disposed=True)

    def end(self, event: ServerEvent | None = None, error: Exception | None = None, *, disposed: bool = False) -> None:
        """Record the metrics and attributes, and end the span; only the first call does anything."""
        with self._lock:
            if self._ended:
                return
            self._ended = True
        try:
            self._record(event, error, disposed)
        except Exception:  # of an instrument: what watches a request must not end it
            _LOGGER.exception("the metrics and attributes of a request are incomplete")
        finally:
            self._span.end()

    def _record(self, event: ServerEvent | None, error: Exception | None, disposed: bool) -> None:
        seconds = monotonic() - self._subscribed_at
        event = None if event is None else without_secrets(event)
        response = None if event is None else self._assembly.finish(event)
        first_response = None if self._first is None else response_of(self._first)
        usage = None if response is None else response.usage
        model = {"gen_ai.response.model": _field(response, "model") or _field(first_response, "model")}
        ending = {
            "error.type": None if error is None else _error_type(error),
            "rxresponses.disposed": True if disposed else None,
        }
        common = _given({**self._common, **model})
        self._instruments.duration.record(seconds, _given({**common, **ending}))
        for kind in ("input", "output"):
            count = _field(usage, f"{kind}_tokens")
            if count is not None and is_in_bounds(count):
                self._instruments.tokens.record(count, {**common, "gen_ai.token.type": kind})
        sent = self.timings.sent
        to_first_chunk = None
        if self._first_chunk is not None:
            to_first_chunk = self._first_chunk - (self._subscribed_at if sent is None else sent)
            self._instruments.first_chunk.record(to_first_chunk, common)
        attributes = {
            **model,
            **ending,
            "gen_ai.response.id": response_id_of(event) or response_id_of(self._first),
            "gen_ai.response.finish_reasons": None if response is None or error else _finish_reasons(response),
            "gen_ai.response.time_to_first_chunk": to_first_chunk,
            "gen_ai.conversation.id": _id_of(_field(response, "conversation")),
            "gen_ai.usage.input_tokens": _field(usage, "input_tokens"),
            "gen_ai.usage.output_tokens": _field(usage, "output_tokens"),
            "gen_ai.usage.cache_read.input_tokens": _field(usage, "input_tokens_details", "cached_tokens"),
            "gen_ai.usage.cache_creation.input_tokens": _field(usage, "input_tokens_details", "cache_write_tokens"),
            "gen_ai.usage.reasoning.output_tokens": _field(usage, "output_tokens_details", "reasoning_tokens"),
            "openai.response.service_tier": _field(response, "service_tier") if self._openai else None,
            "rxresponses.queued": None if sent is None else sent - self._subscribed_at,
        }
        self._span.set_attributes(_given(attributes))
        if error is not None:
            self._span.set_status(trace.StatusCode.ERROR, text_of(error))


def _request_attributes(create: ResponseCreate, openai: bool) -> Attributes:
    tier = _field(create, "service_tier")
    return _given(
        {
            "gen_ai.request.stream": True,
            "gen_ai.request.max_tokens": _field(create, "max_output_tokens"),
            "gen_ai.request.temperature": _field(create, "temperature"),
            "gen_ai.request.top_p": _field(create, "top_p"),
            "gen_ai.output.type": _output_type(_field(create, "text")),
            "gen_ai.conversation.id": _id_of(_field(create, "conversation")),
            "openai.api.type": "responses" if openai else None,
            "openai.request.service_tier": tier if openai and tier != "auto" else None,
        }
    )


def _output_type(text: Any) -> str | None:
    return _OUTPUT_TYPES.get(str(_part(_part(text, "format"), "type")))


def _finish_reasons(response: Response) -> list[str] | None:
    reason = _field(response, "incomplete_details", "reason")
    if reason is not None:
        return [_FINISH_REASONS.get(reason, str(reason))]
    if response.status == "incomplete":
        return None  # the server gives no reason
    calls = any(isinstance(item, (ResponseFunctionToolCall, ResponseCustomToolCall)) for item in response.output)
    return ["tool_call" if calls else "stop"]


def _error_type(error: Exception) -> str:
    for name in ("code", "type"):
        value = getattr(error, name, None)
        if value and isinstance(value, str):
            return value
    return type(error).__qualname__


def _server(url: str | None) -> Attributes:
    if url is None:
        return {}
    parts = urlsplit(url)
    return {"server.address": parts.hostname, "server.port": parts.port or DEFAULT_PORTS.get(parts.scheme)}


def _id_of(conversation: Any) -> str | None:
    value = conversation if isinstance(conversation, str) else _part(conversation, "id")
    return value if isinstance(value, str) else None


def _part(value: Any, name: str) -> Any:
    """Return a field of a setting, which is a mapping or an object; `None` where there is none."""
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _field(value: Any, *names: str) -> Any:
    """Return a field, or a field of a field; `None` if it is not set."""
    for name in names:
        value = getattr(value, name, None)
    return None if value is UNSET else value


def _given(attributes: Attributes) -> Attributes:
    return {
        name: value
        for name, value in attributes.items()
        if value is not None and (not isinstance(value, (int, float)) or is_in_bounds(value))
    }
