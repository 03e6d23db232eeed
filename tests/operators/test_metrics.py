from __future__ import annotations

import asyncio
import copy
import dataclasses
import pickle
import time
from datetime import datetime
from typing import Any

import pytest
import reactivex
from reactivex import Observable
from reactivex import operators as ops
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.testing import TestScheduler
from typing_extensions import assert_type

from rxresponses import PoolOptions, ResponseMetrics, ResponsesClient, ResponsesWebSocket
from rxresponses.backoff import Backoff
from rxresponses.errors import ConnectionLostError, ResponseFailedError
from rxresponses.net.timing import current_timings
from rxresponses.operators import (
    filter_by_type,
    metrics,
    raise_on_failure,
    raise_on_incomplete,
    raise_on_refusal,
    retry_with_backoff,
)
from rxresponses.testing import Failure, Hold, ResponsesServer
from rxresponses.wire.codec import decode
from rxresponses.wire.events import ResponseCreatedEvent, ResponseTextDeltaEvent, ServerEvent
from rxresponses.wire.models import Response, ResponseUsage
from rxresponses.wire.requests import ResponseCreate

from ..support.events import (
    USAGE,
    completed,
    created,
    delta,
    error_event,
    failed,
    incomplete,
    message,
    text_done,
    wire_event,
)
from ..support.marbles import ManualScheduler, ManualSource, marbles, run
from ..support.recorder import Recorder

BEGUN = ResponseCreatedEvent(response=Response(id="resp_1", model="gpt", status="in_progress"), stream_id="main")


def test_marble_of_the_docstring() -> None:
    seen = marbles(
        metrics(),
        (210, BEGUN),
        (230, delta("He")),
        (240, delta("llo")),
        (250, completed(usage=USAGE, model="gpt-2")),
        (260, None),
    )

    assert seen.timed == [
        (
            250,
            ResponseMetrics(
                type="response.completed",
                status="completed",
                response_id="resp_1",
                stream_id="main",
                model="gpt-2",
                queued=None,
                first_event=10,
                first_text=30,
                total=50,
                usage=USAGE,
                output_tokens_per_second=USAGE.output_tokens / 40 if USAGE.output_tokens else None,
                error=None,
            ),
        )
    ]
    assert seen.completions == [260]


def test_marble_of_the_docstring_with_into() -> None:
    results: list[ResponseMetrics] = []
    scheduler = TestScheduler()
    events = (BEGUN, delta("He"), completed())

    def check(event: ServerEvent) -> None:
        assert bool(results) == event.is_terminal  # called just before the terminal event, not earlier

    seen = marbles(
        lambda source: source.pipe(metrics(results.append), ops.do_action(check)),
        *zip((210, 220, 230), events, strict=True),
        (240, None),
        scheduler=scheduler,
    )

    assert seen.timed == [*zip((210, 220, 230), events, strict=True)]
    assert seen.completions == [240]
    assert [(result.first_event, result.first_text, result.total) for result in results] == [(10, 20, 30)]


def measured(*events: ServerEvent) -> ResponseMetrics:
    """Return the metrics of a response whose events come at 10, 11, 12 …"""
    [result] = run(metrics(), *events).values
    return result


def test_scenario_76_a_token_count_of_hundreds_of_digits_breaks_nothing() -> None:
    usage = {"input_tokens": 3, "output_tokens": 10**400}
    end = wire_event("response.completed", response={"id": "resp_1", "usage": usage})
    result = measured(BEGUN, delta("He"), end)

    assert result.usage is not None
    assert (result.usage.input_tokens, result.usage.output_tokens) == (3, None)
    assert result.output_tokens_per_second is None


@pytest.mark.parametrize("tokens", [10**400, -(10**400), float("nan"), float("inf")], ids=["+", "-", "NaN", "inf"])
def test_scenario_76_nor_does_that_of_an_event_which_a_program_built(tokens: Any) -> None:
    result = measured(BEGUN, delta("He"), completed(usage=ResponseUsage(output_tokens=tokens)))

    assert result.output_tokens_per_second is None


def test_a_response_without_text() -> None:
    result = measured(BEGUN, delta(""), completed(usage=USAGE))

    assert (result.first_event, result.first_text, result.total) == (10, None, 12)


@pytest.mark.parametrize(
    ("events", "first_text"),
    [
        ([BEGUN, delta("He"), text_done("He"), completed(message("He"))], 11),
        ([BEGUN, delta("\ud83c"), delta("\udf89"), completed()], 12),  # half a character is no text
        ([BEGUN, delta("a\ud83c"), completed()], 11),
        ([BEGUN, text_done("He"), completed(message("He"))], 11),
        ([BEGUN, completed(message("He"))], 11),
        ([completed(message("He"))], 10),
        ([BEGUN, failed()], None),
    ],
)
def test_first_text_of_servers_that_send_text_in_different_ways(
    events: list[ServerEvent], first_text: float | None
) -> None:
    assert measured(*events).first_text == first_text


def test_a_failed_response_is_measured_too() -> None:
    result = measured(BEGUN, delta("He"), failed())

    assert (result.type, result.status, result.first_text, result.total) == ("response.failed", "failed", 11, 12)
    assert isinstance(result.error, ResponseFailedError)
    assert (result.error.code, result.error.delivery) == ("server_error", "started")
    assert (result.response_id, result.stream_id, result.model) == ("resp_1", "main", "gpt")


def test_an_error_in_a_response_has_the_id_and_model_of_the_created_event() -> None:
    result = measured(BEGUN, error_event())

    assert (result.type, result.status, result.response_id, result.model) == ("error", "failed", "resp_1", "gpt")
    assert result.error is not None
    assert result.error.delivery == "started"


def test_a_rejected_request() -> None:
    result = measured(error_event())

    assert (result.type, result.status, result.response_id, result.model) == ("error", "failed", None, None)
    assert (result.first_event, result.total, result.output_tokens_per_second) == (10, 10, None)
    assert result.error is not None
    assert (result.error.code, result.error.delivery) == ("rate_limit_exceeded", "rejected")


def test_an_incomplete_response_is_no_failure() -> None:
    result = measured(BEGUN, incomplete())
    assert (result.type, result.status, result.usage, result.error) == (
        "response.incomplete",
        "incomplete",
        USAGE,
        None,
    )


def test_scenario_53_completed_as_incomplete() -> None:
    assert measured(BEGUN, completed(status="incomplete")).status == "incomplete"


def test_scenario_44_a_terminal_event_that_cannot_be_decoded() -> None:
    result = measured(decode('{"type": "response.completed", "response": {"id": "resp_9", "output": 7}}'))

    assert (result.status, result.response_id, result.first_text, result.usage, result.error) == (
        "completed",
        "resp_9",
        None,
        None,
        None,
    )


def test_scenario_49_a_server_that_sends_few_fields() -> None:
    result = measured(delta("x"), decode('{"type": "response.completed", "response": {"id": "r"}}'))

    assert (result.status, result.response_id, result.usage, result.output_tokens_per_second) == (
        "completed",
        "r",
        None,
        None,
    )


def test_usage_without_output_tokens_gives_no_rate() -> None:
    usage = dataclasses.replace(USAGE, output_tokens=None)

    assert measured(BEGUN, completed(usage=usage)).output_tokens_per_second is None


def test_events_at_the_same_time_give_no_rate() -> None:
    seen = marbles(metrics(), (210, BEGUN), (210, completed(usage=USAGE)), (220, None))

    assert seen.values[0].output_tokens_per_second is None


class Ticking(ManualScheduler):
    """A clock on which a second passes whenever its time is read."""

    @property
    def now(self) -> datetime:
        self.time += 1
        return super().now


def test_a_terminal_event_alone_gives_no_rate() -> None:
    source: ManualSource[ServerEvent] = ManualSource()
    seen: list[ResponseMetrics] = []
    source.observable.pipe(metrics(scheduler=Ticking())).subscribe(seen.append)
    source.emit(completed(usage=USAGE))

    assert seen[0].total == seen[0].first_event > 0
    assert seen[0].output_tokens_per_second is None


def test_several_responses_in_a_row_are_each_measured() -> None:
    first, second = run(metrics(), BEGUN, delta("a"), completed(), created("resp_2"), delta("b"), failed()).values

    assert (first.response_id, first.first_event, first.first_text, first.total) == ("resp_1", 10, 11, 12)
    assert (second.response_id, second.first_event, second.first_text, second.total) == ("resp_1", 1, 2, 3)


REFUSED = wire_event("response.refusal.delta", delta="No.", item_id="msg_1", output_index=0, content_index=0)


@pytest.mark.parametrize("events", [[REFUSED, completed()], [completed(message("x")), REFUSED, completed()]])
def test_scenario_70_a_refusal_is_counted(events: list[ServerEvent]) -> None:
    seen = run(metrics(), created(), *events)

    assert [measured.refusal for measured in seen.values] == [None] * (len(seen.values) - 1) + ["No."]


@pytest.mark.parametrize(
    ("operator", "end", "status", "refusal"),
    [
        (raise_on_refusal(), completed(), "completed", "No."),
        (raise_on_incomplete(), incomplete(), "incomplete", "No."),
        (raise_on_failure(), failed(), "failed", None),
        (raise_on_failure(), error_event(), "failed", None),
    ],
)
def test_scenario_70_a_response_that_became_an_error_is_counted(
    operator: Any, end: ServerEvent, status: str, refusal: str | None
) -> None:
    seen = run(lambda source: source.pipe(operator, metrics()), created(), REFUSED, end)
    counted: list[ResponseMetrics] = []
    passed = run(lambda source: source.pipe(operator, metrics(counted.append)), created(), REFUSED, end)

    assert [(measured.status, measured.total) for measured in seen.values] == [(status, 12.0)]
    assert [measured.status for measured in counted] == [status]
    assert passed.values == [created(), REFUSED]
    assert isinstance(seen.error, type(passed.error))
    if refusal is not None:
        assert [measured.refusal for measured in seen.values] == [refusal]


def test_scenario_70_an_into_that_raises_before_an_error() -> None:
    def into(_: ResponseMetrics) -> None:
        raise ZeroDivisionError

    seen = run(lambda source: source.pipe(raise_on_incomplete(), metrics(into)), created(), incomplete())
    assert isinstance(seen.error, ZeroDivisionError)


def test_a_lost_connection_passes_without_metrics() -> None:
    results: list[ResponseMetrics] = []
    error = ConnectionLostError("lost", delivery="started")

    assert marbles(metrics(), (210, BEGUN), (220, error)).error is error
    assert marbles(metrics(results.append), (210, BEGUN), (220, error)).error is error
    assert not results


def test_an_into_that_raises_ends_the_stream() -> None:
    problem = ZeroDivisionError("into")

    def into(_: ResponseMetrics) -> None:
        raise problem

    seen = marbles(metrics(into), (210, BEGUN), (220, completed()), (230, None))

    assert seen.values == [BEGUN]
    assert seen.error is problem
    assert seen.subscriptions == [(200, 220)]


def test_metrics_are_plain_data() -> None:
    result = measured(BEGUN, completed(usage=USAGE))

    assert dataclasses.asdict(result)["total"] == 11
    assert pickle.loads(pickle.dumps(result)) == copy.deepcopy(result) == result
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.total = 0  # type: ignore[misc]


def test_an_into_that_cannot_be_called_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="into must be a function"):
        metrics("log")  # type: ignore[call-overload]


class Sender:
    """Sends requests that a test marks as written, at the time of `clock`."""

    def __init__(self) -> None:
        self.clock = ManualScheduler()
        self._source: ManualSource[ServerEvent] = ManualSource()
        self._timings: list[Any] = []
        self.request: Observable[ServerEvent] = Observable(self._subscribe)

    def _subscribe(self, observer: ObserverBase[ServerEvent], scheduler: SchedulerBase | None = None) -> DisposableBase:
        self._timings.append(current_timings())
        return self._source.observable.subscribe(observer)

    def write(self) -> None:
        self._timings[-1].mark_sent()

    def at(self, time: float, *events: ServerEvent) -> None:
        self.clock.time = time
        self._source.emit(*events)


def test_queued_is_the_time_until_the_request_was_written() -> None:
    sender = Sender()
    sender.clock.time = 100
    seen: list[ResponseMetrics] = []
    sender.request.pipe(metrics(scheduler=sender.clock)).subscribe(seen.append)
    sender.clock.time = 107
    sender.write()
    sender.at(110, BEGUN, completed())

    assert (seen[0].queued, seen[0].first_event) == (7, 10)


def test_another_try_is_written_again() -> None:
    sender = Sender()
    seen: list[ResponseMetrics] = []
    again = retry_with_backoff(Backoff(), scheduler=sender.clock)
    sender.request.pipe(again, metrics(scheduler=sender.clock)).subscribe(seen.append)
    sender.write()
    sender.at(1, error_event())
    sender.clock.fire()
    sender.clock.time = 5
    sender.write()
    sender.at(6, BEGUN, completed())

    assert (seen[0].queued, seen[0].first_event, seen[0].status) == (5, 6, "completed")


def test_two_metrics_operators_on_one_request_both_measure() -> None:
    sender = Sender()
    inner: list[ResponseMetrics] = []
    outer: list[ResponseMetrics] = []
    sender.request.pipe(metrics(inner.append, scheduler=sender.clock), metrics(scheduler=sender.clock)).subscribe(
        outer.append
    )
    sender.clock.time = 3
    sender.write()
    sender.at(4, completed())

    assert inner == outer
    assert inner[0].queued == 3


def test_queued_of_a_later_response_is_not_known() -> None:
    sender = Sender()
    seen: list[ResponseMetrics] = []
    sender.request.pipe(metrics(scheduler=sender.clock)).subscribe(seen.append)
    sender.write()
    sender.at(4, completed(), completed())

    assert [result.queued for result in seen] == [0, None]


def test_a_shared_response_is_measured_without_its_queue() -> None:
    sender = Sender()
    seen: list[ResponseMetrics] = []
    shared = sender.request.pipe(ops.publish())
    shared.pipe(metrics(scheduler=sender.clock)).subscribe(seen.append)
    shared.connect()
    sender.at(4, completed())

    assert (seen[0].queued, seen[0].total) == (None, 4)


def test_the_clock_of_the_subscription_is_used() -> None:
    clock = ManualScheduler()
    source: ManualSource[ServerEvent] = ManualSource()
    seen: list[ResponseMetrics] = []
    source.observable.pipe(metrics()).subscribe(seen.append, scheduler=clock)
    clock.time = 3
    source.emit(completed())

    assert seen[0].total == 3
    assert not clock.actions


def test_type() -> None:
    source = ManualSource[ServerEvent]().observable
    deltas = source.pipe(filter_by_type(ResponseTextDeltaEvent))

    assert_type(source.pipe(metrics()), Observable[ResponseMetrics])
    assert_type(source.pipe(metrics(print)), Observable[ServerEvent])
    assert_type(deltas.pipe(metrics(print)), Observable[ResponseTextDeltaEvent])


# Against the embedded server.

ASK = ResponseCreate(model="m", input="hi")


def test_a_real_response_in_a_script(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    server.reply("Hello there.")
    begin = time.monotonic()
    result = socket.send_request(ASK, stream_id="a").pipe(metrics()).run()

    assert (result.status, result.stream_id, result.model) == ("completed", "a", "m")
    assert result.queued is not None
    assert result.first_text is not None
    assert 0 < result.queued <= result.first_event <= result.first_text <= result.total <= time.monotonic() - begin
    assert result.output_tokens_per_second is not None
    assert result.output_tokens_per_second > 0


def test_a_real_response_on_a_loop(server: ResponsesServer) -> None:
    server.reply(Failure("rate_limit_exceeded", after=3))

    async def main() -> None:
        async with ResponsesWebSocket(server.url) as socket:
            results: list[ResponseMetrics] = []
            events = await socket.send_request(ASK).pipe(metrics(results.append), ops.to_list())
            assert [result.type for result in results] == [events[-1].type] == ["error"]
            assert results[0].error is not None
            assert results[0].error.code == "rate_limit_exceeded"
            assert 0 < results[0].first_event <= results[0].total

    asyncio.run(main())


def test_a_request_that_waits_for_its_lane_is_queued(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    gate = server.gate()
    server.reply([Hold(gate, after=2), "first"], "second")
    clock = ManualScheduler()
    first = Recorder(socket.send_request(ASK, stream_id="a").pipe(metrics(scheduler=clock)))
    server.wait_until(lambda: len(server.requests) == 1)
    second = Recorder(socket.send_request(ASK, stream_id="a").pipe(metrics(scheduler=clock)))
    clock.time = 7
    gate.open()

    assert (first.wait().values[0].queued, first.values[0].total) == (0, 7)
    assert (second.wait().values[0].queued, second.values[0].total) == (7, 7)


def test_a_client_tells_too_and_for_the_last_try(server: ResponsesServer) -> None:
    server.reply(Failure("server_error", after=0), "Hello there.")
    with ResponsesClient(server.url, pool=PoolOptions(backoff=Backoff(initial=0.02, jitter=0))) as client:
        result = client.send_request(ASK).pipe(metrics()).run()

    assert (result.status, len(server.requests)) == ("completed", 2)
    assert result.queued is not None
    assert 0.02 <= result.queued <= result.first_event


def test_a_steer_tells_too(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    gate = server.gate()
    server.reply([Hold(gate, after=3), "first"], "second")
    created = socket.send_request(ASK).pipe(filter_by_type(ResponseCreatedEvent))
    answer = Recorder(created).wait_for(1)
    steered = Recorder(socket.steer(answer.values[0].response.id, "more").pipe(metrics()))
    server.wait_until(lambda: server.journal[-1].message["type"] == "response.steer")
    gate.open()
    steered.wait()

    assert steered.values[0].queued is not None


def test_a_request_begun_in_an_event_of_another_is_its_own(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    gate = server.gate()
    server.reply([Hold(gate, after=1), "first"], "second")
    clock = ManualScheduler()

    def begin_another(event: ServerEvent) -> None:
        if event.type == "response.created":
            clock.time = 5
            others.append(Recorder(socket.send_request(ASK, stream_id="b")))

    others: list[Recorder[ServerEvent]] = []
    first = Recorder(
        socket.send_request(ASK, stream_id="a").pipe(ops.do_action(begin_another), metrics(scheduler=clock))
    )
    server.wait_until(lambda: len(server.requests) == 2)
    others[0].wait()
    gate.open()

    assert (first.wait().values[0].queued, first.values[0].total) == (0, 5)


def test_an_empty_source_is_no_response() -> None:
    results: list[ResponseMetrics] = []
    reactivex.empty().pipe(metrics(results.append)).subscribe()

    assert not results


def test_scenario_63_heartbeats_are_not_counted() -> None:
    beat = wire_event("codex.keepalive")
    [metric] = marbles(metrics(), (210, beat), (230, BEGUN), (235, beat), (240, delta("x")), (250, completed())).values

    assert (metric.first_event, metric.first_text, metric.total) == (30, 40, 50)
    assert metric.response_id == "resp_1"


def test_scenario_63_a_rejection_behind_a_heartbeat_is_measured_as_one() -> None:
    [metric] = marbles(metrics(), (210, wire_event("codex.keepalive")), (250, error_event())).values

    assert metric.first_event == metric.total == 50
    assert metric.error is not None
    assert metric.error.delivery == "rejected"
