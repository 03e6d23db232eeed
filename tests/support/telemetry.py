"""The SDK of OpenTelemetry in memory, and a sender whose events a test emits; needs `opentelemetry-sdk`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import reactivex
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from reactivex import Observable
from reactivex.abc import SchedulerBase
from reactivex.subject import Subject

from rxresponses import ResponseCreate, Sender, ServerEvent
from rxresponses.net.timing import Timings, current_timings
from rxresponses.telemetry import TracedSender, traced


class Telemetry:
    """The SDK of OpenTelemetry, which keeps spans and metrics in memory."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracer_provider = TracerProvider()
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.tracer_provider.get_tracer("test")
        self._reader = InMemoryMetricReader()
        self.meter_provider = MeterProvider([self._reader])

    def traced(self, sender: Sender, **options: Any) -> TracedSender:
        """Return a sender whose spans and metrics are kept here."""
        return traced(sender, tracer_provider=self.tracer_provider, meter_provider=self.meter_provider, **options)

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans of requests that have ended."""
        return [span for span in self._exporter.get_finished_spans() if span.name.startswith("chat")]

    @property
    def span(self) -> ReadableSpan:
        """The span of the only request."""
        [span] = self.spans
        return span

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The attributes of the only span."""
        return self.span.attributes or {}

    def points(self, name: str) -> list[HistogramDataPoint]:
        """Return the data points of a histogram."""
        data: Any = self._reader.get_metrics_data()
        if data is None:
            return []
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics]
        metrics = [metric for scope in scopes for metric in scope.metrics]
        return [point for metric in metrics if metric.name == name for point in metric.data.data_points]

    def shutdown(self) -> None:
        """Stop the threads of the SDK."""
        self.tracer_provider.shutdown()
        self.meter_provider.shutdown()


class HotSender:
    """A sender of which a test emits the events."""

    def __init__(self, url: str | None = None) -> None:
        self.url = url
        self.events: Subject[ServerEvent] = Subject()
        self.timings: Timings | None = None
        self.requests: list[tuple[ResponseCreate, dict[str, Any]]] = []

    def send_request(self, request: ResponseCreate, **options: Any) -> Observable[ServerEvent]:
        """Return the events that `send` emits after a subscription."""
        self.requests.append((request, options))
        return reactivex.defer(self._subscribe)

    def _subscribe(self, scheduler: SchedulerBase) -> Observable[ServerEvent]:
        self.timings = current_timings()
        return self.events

    def send(self, *events: ServerEvent) -> None:
        """Emit events."""
        for event in events:
            self.events.on_next(event)
