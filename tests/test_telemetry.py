"""The spans and metrics of requests, which the SDK of OpenTelemetry keeps in memory."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import reactivex
from reactivex import Observable
from reactivex import operators as ops

from rxresponses import (
    Backoff,
    ConnectionLostError,
    InvalidRequestError,
    Response,
    ResponseConversationParam,
    ResponseCreate,
    ResponseFormatJSONObject,
    ResponsesClient,
    ResponsesWebSocket,
    ResponseTextConfig,
    ServerEvent,
)
from rxresponses import operators as rops
from rxresponses.testing import Close, Failure, Fault, FunctionCall, Hold, RefuseUpgrade, ResponsesServer, Text

from .support.events import completed, created, delta, error_event, failed, incomplete, wire_event
from .support.recorder import Recorder
from .support.threads import at_the_same_time

pytest.importorskip("opentelemetry.sdk", reason="needs opentelemetry-sdk, which the extra `test` installs")

from opentelemetry import trace
from opentelemetry.semconv._incubating.attributes import (
    error_attributes,
    gen_ai_attributes,
    openai_attributes,
    server_attributes,
)
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics
from opentelemetry.trace import SpanKind, StatusCode

from rxresponses.telemetry import TracedSender, traced
from rxresponses.version import installed_version

from .support.telemetry import HotSender, Telemetry


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    telemetry = Telemetry()
    yield telemetry
    telemetry.shutdown()


@pytest.fixture
def sender(telemetry: Telemetry, socket: ResponsesWebSocket) -> TracedSender:
    return telemetry.traced(socket)


class Clock:
    """The seconds that `monotonic` returns, set by a test."""

    time = 0.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("rxresponses.telemetry.monotonic", lambda: clock.time)
    return clock


def ask(**fields: Any) -> ResponseCreate:
    return ResponseCreate(model="gpt-m", input="What is the secret?", **fields)


class TestSpan:
    def test_of_a_completed_response(
        self,
        server: ResponsesServer,
        sender: TracedSender,
        telemetry: Telemetry,
    ) -> None:
        server.reply("Nobody knows.")
        got = Recorder(sender.send_request(ask(temperature=0, max_output_tokens=50, top_p=0.5, service_tier="flex")))
        response = got.wait().values[-1].response  # type: ignore[attr-defined]

        span = telemetry.span
        assert (span.name, span.kind, span.status.status_code) == ("chat gpt-m", SpanKind.CLIENT, StatusCode.UNSET)
        attributes = dict(telemetry.attributes)
        assert attributes.pop("gen_ai.response.time_to_first_chunk") > 0
        assert attributes.pop("rxresponses.queued") > 0
        assert attributes == {
            "server.address": "127.0.0.1",
            "server.port": server.port,
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-m",
            "gen_ai.request.stream": True,
            "gen_ai.request.temperature": 0,
            "gen_ai.request.top_p": 0.5,
            "gen_ai.request.max_tokens": 50,
            "gen_ai.response.id": response.id,
            "gen_ai.response.model": response.model,
            "gen_ai.response.finish_reasons": ("stop",),
            "gen_ai.usage.input_tokens": response.usage.input_tokens,
            "gen_ai.usage.output_tokens": response.usage.output_tokens,
            "gen_ai.usage.cache_read.input_tokens": 0,
            "gen_ai.usage.cache_creation.input_tokens": 0,
            "gen_ai.usage.reasoning.output_tokens": 0,
            "openai.api.type": "responses",
            "openai.request.service_tier": "flex",
            **({} if response.service_tier is None else {"openai.response.service_tier": response.service_tier}),
        }
        scope = span.instrumentation_scope
        assert scope is not None
        assert (scope.name, scope.schema_url) == ("rxresponses", "https://opentelemetry.io/schemas/1.41.0")

    def test_has_the_context_of_the_subscription_as_its_parent(
        self, sender: TracedSender, telemetry: Telemetry
    ) -> None:
        with telemetry.tracer.start_as_current_span("made"):
            events = sender.send_request(ask())
        with telemetry.tracer.start_as_current_span("subscribed") as parent:
            one, other = Recorder(events), Recorder(events)
        one.wait()
        other.wait()

        assert len(telemetry.spans) == 2
        for span in telemetry.spans:
            assert span.parent is not None
            assert span.parent.span_id == parent.get_span_context().span_id

    def test_nothing_is_traced_before_a_subscription(self, sender: TracedSender, telemetry: Telemetry) -> None:
        sender.send_request(ask())

        assert not telemetry.spans
        assert not telemetry.points("gen_ai.client.operation.duration")

    def test_of_a_failed_response(self, server: ResponsesServer, sender: TracedSender, telemetry: Telemetry) -> None:
        server.reply(["Never", Failure("server_error", "out of order", after=3)])
        got = Recorder(sender.send_request(ask()))

        assert got.wait().types[-1] == "error"
        assert telemetry.span.status.status_code is StatusCode.ERROR
        assert "out of order" in str(telemetry.span.status.description)
        assert telemetry.attributes["error.type"] == "server_error"
        assert telemetry.attributes["gen_ai.response.id"]
        assert telemetry.attributes["gen_ai.response.model"] == "gpt-m"
        assert "gen_ai.response.finish_reasons" not in telemetry.attributes

    def test_of_a_rejected_request(self, server: ResponsesServer, sender: TracedSender, telemetry: Telemetry) -> None:
        server.reply(Failure("rate_limit_exceeded", after=0))
        Recorder(sender.send_request(ask())).wait()

        assert telemetry.attributes["error.type"] == "rate_limit_exceeded"
        assert "gen_ai.response.id" not in telemetry.attributes

    def test_of_a_lost_connection(self, server: ResponsesServer, sender: TracedSender, telemetry: Telemetry) -> None:
        server.reply(["lost", Close(1006, after=3)])
        got = Recorder(sender.send_request(ask()))

        assert isinstance(got.wait().error, ConnectionLostError)
        assert telemetry.span.status.status_code is StatusCode.ERROR
        assert telemetry.span.status.description == str(got.error)
        assert telemetry.attributes["error.type"] == "ConnectionLostError"
        assert telemetry.attributes["gen_ai.response.id"] == got.error.response_id

    def test_of_a_disposed_request_is_no_error(
        self, server: ResponsesServer, sender: TracedSender, telemetry: Telemetry
    ) -> None:
        server.reply([Hold(server.gate(), after=2), "never"])
        got = Recorder(sender.send_request(ask())).wait_for(2)
        assert not telemetry.spans
        got.subscription.dispose()
        got.subscription.dispose()

        assert telemetry.span.status.status_code is StatusCode.UNSET
        assert telemetry.attributes["rxresponses.disposed"] is True
        assert "error.type" not in telemetry.attributes
        [point] = telemetry.points("gen_ai.client.operation.duration")
        assert point.attributes is not None
        assert point.attributes["rxresponses.disposed"] is True

    def test_of_a_disposed_request_disposes_the_request(self, telemetry: Telemetry) -> None:
        hot = HotSender()
        telemetry.traced(hot).send_request(ask()).subscribe().dispose()

        assert not hot.events.observers

    def test_of_a_disposed_request_whose_response_had_ended(self, telemetry: Telemetry) -> None:
        hot = HotSender()
        subscription = telemetry.traced(hot).send_request(ask()).pipe(ops.take(2)).subscribe()
        hot.send(created(), completed())
        subscription.dispose()

        assert "rxresponses.disposed" not in telemetry.attributes

    def test_of_a_source_that_completes_without_a_terminal_event(self, telemetry: Telemetry) -> None:
        hot = HotSender()
        Recorder(telemetry.traced(hot).send_request(ask()))
        hot.send(created())
        hot.events.on_completed()

        assert telemetry.span.status.status_code is StatusCode.UNSET
        assert telemetry.attributes["gen_ai.response.id"] == "resp_1"
        assert not telemetry.attributes.keys() & {"rxresponses.disposed", "gen_ai.response.finish_reasons"}

    @pytest.mark.parametrize(
        ("end", "reasons"),
        [
            (completed(), ("stop",)),
            (incomplete(), ("length",)),
            (incomplete(reason="content_filter"), ("content_filter",)),
            (completed(status="incomplete"), None),
            (failed(), None),
            (error_event(), None),
        ],
    )
    def test_shows_the_finish_reason(self, telemetry: Telemetry, end: ServerEvent, reasons: tuple[str] | None) -> None:
        hot = HotSender()
        Recorder(telemetry.traced(hot).send_request(ask()))
        hot.send(created(), end)

        assert telemetry.attributes.get("gen_ai.response.finish_reasons") == reasons

    def test_shows_function_calls(self, server: ResponsesServer, sender: TracedSender, telemetry: Telemetry) -> None:
        server.reply(FunctionCall("look", {"at": "it"}))
        Recorder(sender.send_request(ask())).wait()

        assert telemetry.attributes["gen_ai.response.finish_reasons"] == ("tool_call",)

    def test_scenario_60_calls_that_the_terminal_event_leaves_out(self, telemetry: Telemetry) -> None:
        hot = HotSender()
        Recorder(telemetry.traced(hot).send_request(ask()))
        said = wire_event("response.function_call_arguments.done", arguments="{}", name="look", output_index=0)
        hot.send(created(), said, completed())

        assert telemetry.attributes["gen_ai.response.finish_reasons"] == ("tool_call",)

    @pytest.mark.parametrize(
        ("fields", "name", "value"),
        [
            ({"conversation": "conv_1"}, "gen_ai.conversation.id", "conv_1"),
            ({"conversation": {"id": "conv_1"}}, "gen_ai.conversation.id", "conv_1"),
            ({"conversation": ResponseConversationParam(id="conv_1")}, "gen_ai.conversation.id", "conv_1"),
            ({"text": {"format": {"type": "json_schema"}}}, "gen_ai.output.type", "json"),
            ({"text": ResponseTextConfig(format=ResponseFormatJSONObject())}, "gen_ai.output.type", "json"),
            ({"text": {"format": {"type": "text"}}}, "gen_ai.output.type", "text"),
            ({"text": {"format": "odd"}}, "gen_ai.output.type", None),
            ({"text": {"verbosity": "low"}}, "gen_ai.output.type", None),
            ({"service_tier": "auto"}, "openai.request.service_tier", None),
            ({"temperature": None}, "gen_ai.request.temperature", None),
        ],
    )
    def test_shows_the_fields_of_the_request(
        self, telemetry: Telemetry, fields: dict[str, Any], name: str, value: str | None
    ) -> None:
        telemetry.traced(HotSender()).send_request(ask(**fields)).subscribe().dispose()

        assert telemetry.attributes.get(name) == value

    def test_shows_the_conversation_of_the_response(self, telemetry: Telemetry) -> None:
        hot = HotSender()
        Recorder(telemetry.traced(hot).send_request(ask()))
        hot.send(completed(conversation={"id": "conv_2"}))

        assert telemetry.attributes["gen_ai.conversation.id"] == "conv_2"

    def test_without_a_model_has_a_shorter_name(self, telemetry: Telemetry) -> None:
        telemetry.traced(HotSender()).send_request({"prompt": {"id": "p"}}).subscribe().dispose()

        assert telemetry.span.name == "chat"
        assert "gen_ai.request.model" not in telemetry.attributes

    def test_shows_the_server_if_the_sender_has_a_url(self, telemetry: Telemetry) -> None:
        for url in ("wss://gateway.example.com/v1/responses", "https://h/v1", "http://127.0.0.1:8080/v1", None):
            telemetry.traced(HotSender(url)).send_request(ask()).subscribe().dispose()

        addresses = [
            ((span.attributes or {}).get("server.address"), (span.attributes or {}).get("server.port"))
            for span in telemetry.spans
        ]
        assert addresses == [("gateway.example.com", 443), ("h", 443), ("127.0.0.1", 8080), (None, None)]

    def test_of_another_provider_has_no_openai_attributes(self, telemetry: Telemetry) -> None:
        hot = HotSender()
        Recorder(telemetry.traced(hot, provider="x_ai").send_request(ask(service_tier="flex")))
        hot.send(completed(service_tier="flex"))

        assert telemetry.attributes["gen_ai.provider.name"] == "x_ai"
        assert not [name for name in telemetry.attributes if name.startswith("openai")]

    def test_and_metrics_hold_no_content(
        self, server: ResponsesServer, sender: TracedSender, telemetry: Telemetry
    ) -> None:
        server.reply(Text("It is 42."), FunctionCall("tell", {"secret": "42"}))
        secret = ask(instructions="Keep the secret", metadata={"secret": "42"}, user="secret")
        for _ in range(2):
            Recorder(sender.send_request(secret)).wait()

        for span in telemetry.spans:
            assert not span.events
            assert "secret" not in str(dict(span.attributes or {}))
            assert "42" not in [str(value) for value in (span.attributes or {}).values()]


class TestMetrics:
    def test_of_a_completed_response(self, server: ResponsesServer, sender: TracedSender, telemetry: Telemetry) -> None:
        server.reply("Nobody knows.")
        got = Recorder(sender.send_request(ask()))
        response = got.wait().values[-1].response  # type: ignore[attr-defined]

        common = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-m",
            "gen_ai.response.model": response.model,
        }
        [duration] = telemetry.points("gen_ai.client.operation.duration")
        [first_chunk] = telemetry.points("gen_ai.client.operation.time_to_first_chunk")
        tokens = telemetry.points("gen_ai.client.token.usage")
        for point in (duration, first_chunk, *tokens):
            assert point.attributes is not None
            assert common.items() <= point.attributes.items()
            assert point.count == 1
        assert 0 < first_chunk.sum <= duration.sum
        counts = {(point.attributes or {})["gen_ai.token.type"]: point.sum for point in tokens}
        assert counts == {"input": response.usage.input_tokens, "output": response.usage.output_tokens}
        assert duration.explicit_bounds == first_chunk.explicit_bounds
        assert duration.explicit_bounds[0] == 0.01
        assert duration.explicit_bounds[-1] == 81.92
        assert tokens[0].explicit_bounds[:3] == (1, 4, 16)
        assert tokens[0].explicit_bounds[-1] == 67108864

    def test_scenario_76_a_token_count_of_hundreds_of_digits_breaks_nothing(self, telemetry: Telemetry) -> None:
        sender = HotSender()
        got = Recorder(telemetry.traced(sender).send_request(ask()))
        usage = {"input_tokens": 3, "output_tokens": 10**400}
        sender.send(created(), wire_event("response.completed", response={"id": "resp_1", "usage": usage}))

        assert (got.types, got.errors) == (["response.created", "response.completed"], [])
        assert telemetry.attributes["gen_ai.usage.input_tokens"] == 3
        assert "gen_ai.usage.output_tokens" not in telemetry.attributes
        [tokens] = telemetry.points("gen_ai.client.token.usage")
        assert tokens.sum == 3

    def test_of_a_failure_show_its_type(
        self, server: ResponsesServer, sender: TracedSender, telemetry: Telemetry
    ) -> None:
        server.reply(Failure("server_error", after=0))
        Recorder(sender.send_request(ask())).wait()

        [duration] = telemetry.points("gen_ai.client.operation.duration")
        assert duration.attributes is not None
        assert duration.attributes["error.type"] == "server_error"
        assert not telemetry.points("gen_ai.client.token.usage")
        assert not telemetry.points("gen_ai.client.operation.time_to_first_chunk")

    def test_the_first_chunk_is_the_first_output(self, telemetry: Telemetry, clock: Clock) -> None:
        hot = HotSender()
        Recorder(telemetry.traced(hot).send_request(ask()))
        hot.send(created(), completed())  # without output, as of a warm-up
        assert not telemetry.points("gen_ai.client.operation.time_to_first_chunk")

        Recorder(telemetry.traced(hot).send_request(ask()))
        beat = wire_event("codex.keepalive")
        for clock.time, event in (
            (1, beat),
            (3, created()),
            (4, beat),
            (5, delta("He")),
            (9, delta("llo")),
            (10, completed()),
        ):
            hot.send(event)
        [point] = telemetry.points("gen_ai.client.operation.time_to_first_chunk")
        assert (point.count, point.sum) == (1, 5)

    def test_the_first_chunk_counts_from_when_the_request_was_written(self, telemetry: Telemetry, clock: Clock) -> None:
        hot = HotSender()
        Recorder(telemetry.traced(hot).send_request(ask()))
        assert hot.timings is not None
        clock.time = 2
        hot.timings.mark_sent()
        for clock.time, event in ((5, delta("He")), (10, completed())):
            hot.send(event)

        assert telemetry.attributes["rxresponses.queued"] == 2
        assert telemetry.attributes["gen_ai.response.time_to_first_chunk"] == 3
        [point] = telemetry.points("gen_ai.client.operation.duration")
        assert point.sum == 10


def test_all_names_are_those_of_the_conventions(telemetry: Telemetry) -> None:
    modules = (error_attributes, gen_ai_attributes, openai_attributes, server_attributes)
    known = {value for module in modules for value in vars(module).values() if isinstance(value, str)}
    hot = HotSender("https://gateway.example.com/v1")
    everything = ask(
        temperature=1,
        top_p=1,
        max_output_tokens=1,
        service_tier="flex",
        conversation="c",
        text={"format": {"type": "text"}},
    )
    usage = {"input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 2}}
    end = ServerEvent.from_dict(
        {
            "type": "response.completed",
            "response": {
                "id": "r",
                "model": "m",
                "service_tier": "flex",
                "usage": {
                    **usage,
                    "input_tokens": 3,
                    "output_tokens": 4,
                    "output_tokens_details": {"reasoning_tokens": 1},
                },
            },
        }
    )
    for last in (end, error_event()):
        Recorder(telemetry.traced(hot).send_request(everything))
        hot.send(created(), delta("x"), last)
    names = {name for span in telemetry.spans for name in span.attributes or {}}

    assert len(names) == 24  # all attributes of the conventions that `traced` can set, and those of this package
    assert {name for name in names if not name.startswith("rxresponses.")} <= known
    metrics = {value for value in vars(gen_ai_metrics).values() if isinstance(value, str)}
    assert {
        "gen_ai.client.operation.duration",
        "gen_ai.client.operation.time_to_first_chunk",
        "gen_ai.client.token.usage",
    } <= metrics


class TestSender:
    def test_events_and_completion_pass_as_they_are(
        self, server: ResponsesServer, sender: TracedSender, socket: ResponsesWebSocket
    ) -> None:
        server.on("", "Hello there.")
        through = Recorder(sender.send_request({"model": "m", "input": "hi"}, stream_id="a")).wait()
        plain = Recorder(socket.send_request({"model": "m", "input": "hi"}, stream_id="a")).wait()

        assert (through.types, through.text, through.completions) == (plain.types, plain.text, 1)
        assert {event.stream_id for event in through.values} == {"a"}

    def test_a_lane_and_a_client_are_senders_too(self, server: ResponsesServer, telemetry: Telemetry) -> None:
        with ResponsesClient(server.url) as client, ResponsesWebSocket(server.url) as socket:
            for sender in (client, client.lane("a"), socket.lane("b")):
                assert telemetry.traced(sender).send_request(ask()).pipe(rops.collect_text()).run()

        assert {(span.attributes or {})["server.port"] for span in telemetry.spans} == {server.port}
        assert len(telemetry.spans) == 3

    def test_options_are_passed_on_to_the_sender(self, telemetry: Telemetry) -> None:
        hot = HotSender()
        telemetry.traced(hot).send_request(ask(), stream_id="a", history=[1]).subscribe().dispose()

        [(request, options)] = hot.requests
        assert (request.stream_id, options) == ("a", {"history": [1]})

    def test_an_invalid_request_raises_at_the_same_time(self, sender: TracedSender, telemetry: Telemetry) -> None:
        with pytest.raises(InvalidRequestError):
            sender.send_request({"input": "no model"})

        assert not telemetry.spans

    def test_a_request_sent_by_an_observer_has_the_same_parent(
        self, sender: TracedSender, telemetry: Telemetry
    ) -> None:
        def go_on(response: Response) -> Observable[ServerEvent]:
            return sender.send_request(ask(previous_response_id=response.id))

        with telemetry.tracer.start_as_current_span("first"):
            sender.send_request(ask()).pipe(rops.collect_text()).run()  # this context opens the connection
        with telemetry.tracer.start_as_current_span("second") as parent:
            got = Recorder(sender.send_request(ask()).pipe(rops.final_response(), ops.flat_map(go_on)))
        got.wait()

        parents = [span.parent.span_id for span in telemetry.spans[1:] if span.parent is not None]
        assert parents == [parent.get_span_context().span_id] * 2
        assert trace.get_current_span() is trace.INVALID_SPAN

    def test_each_try_is_a_span_of_the_same_parent(
        self, server: ResponsesServer, sender: TracedSender, telemetry: Telemetry
    ) -> None:
        server.fault(Fault(RefuseUpgrade(503), connection=1))
        server.reply(Failure("rate_limit_exceeded", after=0), "Hello")
        again = rops.retry_with_backoff(Backoff(initial=0.001))
        with telemetry.tracer.start_as_current_span("work") as parent:
            got = Recorder(sender.send_request(ask()).pipe(again, rops.collect_text()))
        assert got.wait().values == ["Hello"]

        errors = [(span.attributes or {}).get("error.type") for span in telemetry.spans]
        assert errors == ["server_error", "rate_limit_exceeded", None]
        assert {span.parent.span_id for span in telemetry.spans if span.parent is not None} == {
            parent.get_span_context().span_id
        }

    def test_concurrent_requests_on_a_loop_have_their_own_parents(
        self, server: ResponsesServer, telemetry: Telemetry
    ) -> None:
        async def main() -> None:
            async with ResponsesWebSocket(server.url) as socket:

                async def one(name: str) -> None:
                    sender = telemetry.traced(socket.lane(name))
                    with telemetry.tracer.start_as_current_span(name) as parent:
                        last: Any = await sender.send_request(ask())
                    parents[last.response.id] = parent.get_span_context().span_id

                await asyncio.gather(*(one(f"lane-{number}") for number in range(8)))

        parents: dict[str, int] = {}
        asyncio.run(main())

        found = {
            (span.attributes or {})["gen_ai.response.id"]: span.parent.span_id
            for span in telemetry.spans
            if span.parent is not None
        }
        assert found == parents
        assert len(found) == 8

    def test_the_error_of_an_observer_reaches_the_source(self, telemetry: Telemetry) -> None:
        hot = HotSender()
        problem = ZeroDivisionError("observer")

        def bad(_: object) -> None:
            raise problem

        with telemetry.tracer.start_as_current_span("work"):
            telemetry.traced(hot).send_request(ask()).subscribe(bad)
        with pytest.raises(ZeroDivisionError):
            hot.send(created())

        assert trace.get_current_span() is trace.INVALID_SPAN

    def test_terminal_event_and_disposal_race_to_one_span(self, telemetry: Telemetry) -> None:
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            for _ in range(300):
                hot = HotSender()
                subscription = telemetry.traced(hot).send_request(ask()).subscribe()
                at_the_same_time(subscription.dispose, partial(hot.send, completed()))
        finally:
            sys.setswitchinterval(interval)

        assert len(telemetry.spans) == 300

    def test_repr_names_the_sender(self, sender: TracedSender, socket: ResponsesWebSocket) -> None:
        assert repr(socket) in repr(sender)


def test_without_an_sdk_requests_work(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    assert traced(socket).send_request(ask()).pipe(rops.collect_text()).run()


def test_a_source_that_cannot_be_subscribed_is_an_error(telemetry: Telemetry) -> None:
    class Broken:
        def send_request(self, request: ResponseCreate) -> Observable[ServerEvent]:
            return reactivex.throw(ZeroDivisionError("broken"))

    got = Recorder(telemetry.traced(Broken()).send_request(ask()))

    assert got.ended
    assert telemetry.attributes["error.type"] == "ZeroDivisionError"


def test_the_scope_has_the_version_of_the_package(telemetry: Telemetry, socket: ResponsesWebSocket) -> None:
    telemetry.traced(socket).send_request(ask()).run()

    scope = telemetry.span.instrumentation_scope
    assert scope is not None
    assert scope.version == installed_version()


def test_the_package_does_not_import_opentelemetry() -> None:
    program = "import rxresponses, sys; assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_without_the_extra_the_error_says_what_to_install() -> None:
    program = "import sys; sys.modules['opentelemetry'] = None; import rxresponses.telemetry"
    failed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)

    assert failed.returncode == 1
    assert "pip install 'rxresponses[otel]'" in failed.stderr.splitlines()[-1]
