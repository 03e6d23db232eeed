"""`fallback`: another choice, as long as nothing has come out."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
import reactivex
from reactivex import Observable
from reactivex import operators as ops
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import Disposable

from rxresponses import (
    AttemptTimeoutError,
    Backoff,
    ConfigurationError,
    ConnectFailedError,
    ConnectionLostError,
    Conversation,
    FallbackEvent,
    HistorySentEvent,
    InvalidRequestError,
    ObserverExitError,
    PreviousResponseLostError,
    RequestError,
    ResponseFailedError,
    ResponsesClient,
    ResponsesWebSocket,
    ServerEvent,
    fallback,
)
from rxresponses import operators as rops
from rxresponses.testing import Close, Failure, Fault, Hold, RefuseUpgrade, ResponsesServer, Text

from ..support.clients import ask
from ..support.events import completed, created, delta, error_event, failed, incomplete, wire_event
from ..support.marbles import ManualScheduler
from ..support.recorder import Recorder
from .answers import AnyAnswers, ManualSender

Events = Recorder[ServerEvent]
REFUSED = ConnectFailedError("no connection")


class Two:
    """A fallback with two senders, and what it emits for one request."""

    def __init__(self, **options: Any) -> None:
        self.first, self.second = ManualSender(), ManualSender()
        self.sender = fallback(self.first, self.second, **options)
        self.events = self.ask()

    def ask(self, **fields: Any) -> Events:
        return Recorder(self.sender.send_request(ask(**fields)))


@pytest.fixture
def two() -> Two:
    return Two()


def test_marble_of_the_docstring(two: Two) -> None:
    two.first.answers[0].emit(created("a"))
    assert (two.events.values, two.second.sent) == ([], [])
    two.first.answers[0].fail(ConnectionLostError("lost", delivery="not_sent"))
    assert two.first.answers[0].disposals == 1
    two.second.answers[0].emit(created("b"))
    assert two.events.values == []
    two.second.answers[0].emit(delta("He"))
    two.second.answers[0].emit(delta("llo"), completed(id="b"))
    two.second.answers[0].complete()

    who = two.events.values[0]
    assert isinstance(who, FallbackEvent)
    assert (who.choice, who.name) == (1, repr(two.second))
    assert (who.tried, [type(error) for error in who.errors]) == ([repr(two.first)], [ConnectionLostError])
    assert json.loads(who.to_json())["errors"] == ["ConnectionLostError: lost"]
    assert two.events.types[1:] == [
        "response.created",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.completed",
    ]
    assert two.events.completions == 1


def test_the_first_choice_answers(two: Two) -> None:
    two.first.answers[0].emit(wire_event("ping"), created("a"), delta("He"))
    assert two.events.types == ["rxresponses.fallback", "ping", "response.created", "response.output_text.delta"]
    assert (two.events.values[0].choice, two.events.values[0].errors) == (0, [])  # type: ignore[attr-defined]
    two.first.answers[0].fail(REFUSED)

    assert two.events.error is REFUSED
    assert two.second.sent == []
    assert REFUSED.attempts == ()


@pytest.mark.parametrize("failure", [error_event(), failed("server_error")])
def test_a_failure_event_counts_as_an_error(two: Two, failure: ServerEvent) -> None:
    two.first.answers[0].emit(created("a"), failure)
    two.first.answers[0].emit(delta("late"), completed(id="a"))
    two.first.answers[0].complete()
    two.second.answers[0].emit(created("b"), completed(id="b"))

    assert two.events.types == ["rxresponses.fallback", "response.created", "response.completed"]
    assert isinstance(two.events.values[0].errors[0], ResponseFailedError)  # type: ignore[attr-defined]


def test_the_failure_event_of_the_last_choice_is_emitted(two: Two) -> None:
    two.first.answers[0].fail(REFUSED)
    two.second.answers[0].emit(error_event())
    two.second.answers[0].complete()

    assert two.events.types == ["rxresponses.fallback", "error"]
    assert two.events.completions == 1


def test_a_wrong_request_is_not_tried_elsewhere(two: Two) -> None:
    wrong = wire_event("error", status=400, error={"type": "invalid_request_error", "code": "invalid_prompt"})
    two.first.answers[0].emit(wrong)
    assert two.events.types == ["rxresponses.fallback", "error"]
    assert two.second.sent == []

    other = Two()
    error = InvalidRequestError("wrong")
    other.first.answers[0].fail(error)
    assert other.events.error is error
    assert error.attempts == ((repr(other.first), error),)


def test_an_unknown_delivery_is_not_tried_elsewhere_unless_chosen(two: Two) -> None:
    error = ConnectionLostError("lost", delivery="unknown")
    two.first.answers[0].fail(error)
    assert two.events.error is error
    chosen = Two(when=lambda error: True)
    chosen.first.answers[0].fail(error)

    assert len(chosen.second.sent) == 1


def test_the_last_error_lists_all_attempts(two: Two) -> None:
    first, last = ConnectFailedError("one"), ConnectFailedError("two")
    two.first.answers[0].fail(first)
    two.second.answers[0].emit(created("b"))
    two.second.answers[0].fail(last)

    assert two.events.error is last
    assert last.attempts == ((repr(two.first), first), (repr(two.second), last))
    assert two.events.values == []


def test_an_error_of_any_class_ends_the_stream(two: Two) -> None:
    error = OSError("odd")
    two.first.answers[0].fail(error)

    assert two.events.error is error


@pytest.mark.parametrize("end", [completed(id="a"), incomplete(id="a")])
def test_a_response_without_output_is_an_answer(two: Two, end: ServerEvent) -> None:
    two.first.answers[0].emit(created("a"), end)

    assert two.events.types[1:] == ["response.created", end.type]


def test_a_source_without_a_terminal_event(two: Two) -> None:
    two.first.answers[0].emit(created("a"))
    two.first.answers[0].complete()
    two.first.answers[0].complete()

    assert two.events.types == ["rxresponses.fallback", "response.created"]
    assert two.events.completions == 1


def test_disposing_disposes_the_attempt(two: Two) -> None:
    two.first.answers[0].fail(REFUSED)
    two.events.subscription.dispose()
    two.second.answers[0].emit(delta("late"))

    assert two.second.answers[0].disposals == 1
    assert two.events.values == []


def test_disposed_by_the_first_choice() -> None:
    """An attempt that fails while it is disposed starts no other."""

    def when(error: Exception) -> bool:
        asked.events.subscription.dispose()
        return True

    asked = Two(when=when)
    asked.first.answers[0].fail(REFUSED)

    assert asked.second.sent == []


def test_each_subscription_asks_again(two: Two) -> None:
    two.first.answers[0].fail(REFUSED)
    again = two.ask()

    assert len(two.first.sent) == 2
    assert again.values == []


def test_when_that_raises() -> None:
    def when(error: Exception) -> bool:
        raise ZeroDivisionError

    two = Two(when=when)
    two.first.answers[0].fail(REFUSED)
    assert isinstance(two.events.error, ZeroDivisionError)

    def leave(error: Exception) -> bool:
        raise SystemExit

    two = Two(when=leave)
    with pytest.raises(SystemExit):
        two.first.answers[0].fail(REFUSED)
    assert isinstance(two.events.error, ObserverExitError)


def test_a_sender_that_raises() -> None:
    class Strict:
        def send_request(self, request: Any) -> Observable[ServerEvent]:
            raise InvalidRequestError("not here")

    with pytest.raises(InvalidRequestError, match="not here"):
        fallback(Strict()).send_request(ask())
    first = ManualSender()
    events: Events = Recorder(fallback(first, Strict()).send_request(ask()))
    first.answers[0].fail(REFUSED)

    assert isinstance(events.error, InvalidRequestError)
    assert [error for _, error in events.error.attempts] == [REFUSED, events.error]


def at_once(*notifications: ServerEvent | Exception | None) -> Observable[ServerEvent]:
    """Return a source that emits while it is subscribed to, and does not know that it was disposed."""

    def subscribe(observer: ObserverBase[ServerEvent], scheduler: SchedulerBase | None = None) -> DisposableBase:
        for notification in notifications:
            if notification is None:
                observer.on_completed()
            elif isinstance(notification, Exception):
                observer.on_error(notification)
            else:
                observer.on_next(notification)
        return Disposable()

    return Observable(subscribe)


def test_what_a_failed_attempt_still_emits_is_dropped() -> None:
    answers = [
        reactivex.never(),  # of the check that the first choice takes the request
        at_once(created("a"), failed(), created("late"), delta("late"), completed(), None),
        at_once(created("a"), failed(), failed(), OSError("late")),
        at_once(delta("He"), completed(id="b"), None),
    ]
    events: Events = Recorder(fallback("a", "b", "c", sender=AnyAnswers(answers)).send_request(ask()))

    assert events.types == ["rxresponses.fallback", "response.output_text.delta", "response.completed"]
    assert (events.completions, events.errors) == (1, [])


def test_an_observer_that_raises_is_no_failed_attempt() -> None:
    sender = AnyAnswers([reactivex.of(delta("He"))] * 3)

    def raises(_: ServerEvent) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fallback("a", "b", sender=sender).send_request(ask()).subscribe(raises)


class TestModels:
    def test_models_of_one_sender(self) -> None:
        sender = ManualSender()
        asked = fallback("large", "small", sender=sender)
        events: Events = Recorder(asked.send_request({"model": "any", "input": "hi"}, stream_id="lane"))
        sender.answers[0].emit(error_event())
        sender.answers[1].emit(completed(id="b"))

        assert [request.model for request in sender.sent] == ["large", "small"]
        assert {request.stream_id for request in sender.sent} == {"lane"}
        assert events.values[0].name == "small"  # type: ignore[attr-defined]
        assert repr(asked) == "<FallbackSender of large, small>"

    def test_a_pair_names_the_model_of_a_sender(self) -> None:
        first, second = ManualSender(), ManualSender()
        Recorder(fallback(first, (second, "deployment")).send_request(ask()))
        first.answers[0].fail(REFUSED)

        assert [first.sent[0].model, second.sent[0].model] == ["m", "deployment"]

    def test_a_connection_that_cannot_be_made_fails_all_models_of_the_sender(self) -> None:
        sender, other = ManualSender(), ManualSender()
        Recorder(fallback("large", "small", other, sender=sender).send_request(ask()))
        sender.answers[0].fail(REFUSED)

        assert (len(sender.sent), len(other.sent)) == (1, 1)


class TestAttemptTimeout:
    def test_an_attempt_without_output_is_disposed(self) -> None:
        scheduler = ManualScheduler()
        two = Two(attempt_timeout=5, scheduler=scheduler)
        two.first.answers[0].emit(created("a", stream_id="lane"))
        scheduler.fire()
        assert scheduler.delays == [5.0, 5.0]
        assert two.first.answers[0].disposals == 1
        two.first.answers[0].emit(delta("late"))
        scheduler.actions[0](scheduler, None)  # the timer of the attempt that is over
        two.second.answers[0].emit(delta("He"))
        scheduler.fire()

        assert two.events.types == ["rxresponses.fallback", "response.output_text.delta"]
        (error,) = two.events.values[0].errors  # type: ignore[attr-defined]
        assert isinstance(error, AttemptTimeoutError)
        assert (error.delivery, error.response_id, error.stream_id) == ("started", "a", "lane")

    def test_of_the_last_choice(self) -> None:
        scheduler = ManualScheduler()
        two = Two(attempt_timeout=5, scheduler=scheduler)
        scheduler.fire()
        scheduler.fire()

        assert isinstance(two.events.error, AttemptTimeoutError)
        assert two.events.error.delivery == "unknown"
        assert "5 s" in str(two.events.error)
        assert two.second.answers[0].disposals == 1
        assert len(two.events.error.attempts) == 2

    def test_an_end_stops_the_timer(self) -> None:
        scheduler = ManualScheduler()
        two = Two(attempt_timeout=5, scheduler=scheduler)
        two.first.answers[0].fail(InvalidRequestError("wrong"))

        assert scheduler.disposals == 1


class TestSticky:
    def test_requests_begin_with_the_choice_that_answered(self) -> None:
        scheduler = ManualScheduler()
        two = Two(sticky=60, scheduler=scheduler)
        two.first.answers[0].fail(REFUSED)
        two.second.answers[0].emit(completed(id="b"))
        scheduler.time = 59.9
        two.ask()
        assert (len(two.first.sent), len(two.second.sent)) == (1, 2)
        two.second.answers[1].fail(REFUSED)  # then the first is asked
        assert (len(two.first.sent), len(two.second.sent)) == (2, 2)
        two.first.answers[1].emit(completed(id="c"))
        two.ask()
        assert (len(two.first.sent), len(two.second.sent)) == (3, 2)

    def test_until_the_time_is_over(self) -> None:
        scheduler = ManualScheduler()
        two = Two(sticky=60, scheduler=scheduler)
        two.first.answers[0].fail(REFUSED)
        scheduler.time = 10.0
        two.second.answers[0].emit(completed(id="b"))
        scheduler.time = 30.0
        two.ask()
        two.second.answers[1].emit(completed(id="c"))  # does not prolong it
        scheduler.time = 70.0
        two.ask()

        assert (len(two.first.sent), len(two.second.sent)) == (2, 2)

    def test_not_unless_asked_for(self, two: Two) -> None:
        two.first.answers[0].fail(REFUSED)
        two.second.answers[0].emit(completed(id="b"))
        two.ask()

        assert (len(two.first.sent), len(two.second.sent)) == (2, 1)


class TestContinuations:
    def test_a_continuation_goes_to_the_sender_of_the_parent(self, two: Two) -> None:
        two.first.answers[0].fail(REFUSED)
        two.second.answers[0].emit(created("b"), completed(id="b"))
        two.ask(previous_response_id="b")

        assert (len(two.first.sent), len(two.second.sent)) == (1, 2)

    def test_an_unknown_parent_is_the_first_senders(self) -> None:
        sender, other = ManualSender(), ManualSender()
        asked = fallback("large", other, "small", sender=sender)
        events: Events = Recorder(asked.send_request(ask(previous_response_id="before")))
        sender.answers[0].emit(error_event())
        assert [request.model for request in sender.sent] == ["large", "small"]
        error = ConnectFailedError("small too")
        sender.answers[1].fail(error)

        assert other.sent == []
        assert isinstance(events.error, PreviousResponseLostError)
        assert events.error.__cause__ is error
        assert [name for name, _ in events.error.attempts] == ["large", "small"]
        assert events.error.attempts[-1][1] is error

    def test_without_other_senders_the_error_stays(self) -> None:
        sender = ManualSender()
        events: Events = Recorder(fallback("large", sender=sender).send_request(ask(previous_response_id="before")))
        sender.answers[0].fail(REFUSED)

        assert events.error is REFUSED

    def test_steer_goes_to_the_sender_of_the_response(self, two: Two) -> None:
        two.first.answers[0].fail(REFUSED)
        two.second.answers[0].emit(created("b"), delta("He"))
        Recorder(two.sender.steer("b", "shorter"))
        Recorder(two.sender.steer("unknown", "shorter"))

        assert two.second.sent[-1] == ("b", "shorter")
        assert two.first.sent[-1] == ("unknown", "shorter")

    def test_a_sender_that_cannot_steer(self) -> None:
        class Plain:
            def send_request(self, request: Any) -> Observable[ServerEvent]:
                return reactivex.never()

        with pytest.raises(ConfigurationError, match="Plain has no `steer`"):
            fallback(Plain()).steer("a", "hi")


class TestWrongUse:
    @pytest.mark.parametrize(
        "make",
        [
            lambda: fallback(),
            lambda: fallback("model"),
            lambda: fallback(7),  # type: ignore[arg-type]
            lambda: fallback(ManualSender),  # type: ignore[arg-type]
            lambda: fallback((ManualSender(), 7)),  # type: ignore[arg-type]
            lambda: fallback(ManualSender(), when=7),  # type: ignore[arg-type]
            lambda: fallback(ManualSender(), attempt_timeout=0),
            lambda: fallback(ManualSender(), attempt_timeout=True),
            lambda: fallback(ManualSender(), sticky=float("nan")),
            lambda: fallback(ManualSender(), sticky="long"),  # type: ignore[arg-type]
        ],
    )
    def test_options(self, make: Callable[[], object]) -> None:
        with pytest.raises(ConfigurationError):
            make()

    def test_a_wrong_request(self, two: Two) -> None:
        with pytest.raises(InvalidRequestError):
            two.sender.send_request({"model": "m", "temperature": "hot"})


class TestServers:
    def test_a_server_that_refuses_and_one_that_answers(self, server: ResponsesServer) -> None:
        server.reply("hello")
        with (
            ResponsesServer(faults=[Fault(RefuseUpgrade(503))]) as broken,
            ResponsesWebSocket(broken.url) as first,
            ResponsesWebSocket(server.url) as second,
        ):
            sender = fallback(first, second)
            assert sender.send_request(ask()).pipe(rops.collect_text()).run() == "hello"
            assert not sender.chooses_lanes
        assert broken.requests == []

    @pytest.mark.parametrize(
        ("fault", "delivery"),
        [
            (Failure("server_error", after=2), None),  # it failed without output
            (Failure("rate_limit_exceeded", after=0), None),
            (Failure("invalid_prompt", after=0), "rejected"),
            (Failure("server_error", after=5), "started"),
            (Close(1006, after=0), "unknown"),
            (Close(1011, after=2), "started"),
        ],
        ids=repr,
    )
    def test_by_delivery(self, server: ResponsesServer, fault: Any, delivery: str | None) -> None:
        server.reply("hello")
        with (
            ResponsesServer(faults=[Fault(fault)]) as broken,
            ResponsesWebSocket(broken.url) as first,
            ResponsesWebSocket(server.url) as second,
        ):
            answer = fallback(first, second).send_request(ask()).pipe(rops.collect_text())
            if delivery is None:
                assert answer.run() == "hello"
            else:
                with pytest.raises(RequestError) as caught:
                    answer.run()
                assert caught.value.delivery == delivery
        assert len(server.requests) == (delivery is None)
        assert len(broken.requests) == 1

    def test_an_attempt_that_hangs(self, server: ResponsesServer, client: ResponsesClient) -> None:
        gate = server.gate()
        server.reply([Text("late"), Hold(gate, 2)], "hello")
        scheduler = ManualScheduler()
        sender = fallback("slow", "quick", sender=client, attempt_timeout=60, scheduler=scheduler)
        began = Recorder(client.events)
        events: Events = Recorder(sender.send_request(ask()))
        began.wait_for(2)
        scheduler.fire()

        assert events.wait().text == "hello"
        gate.open()
        assert [request["model"] for request in server.requests] == ["slow", "quick"]
        assert sender.chooses_lanes

    def test_a_conversation_goes_on_with_another_sender(self, server: ResponsesServer) -> None:
        with (
            ResponsesServer() as other,
            ResponsesWebSocket(server.url) as first,
            ResponsesWebSocket(other.url) as second,
        ):
            server.reply("one", Failure("rate_limit_exceeded"), Failure("rate_limit_exceeded"))
            other.reply(lambda request: request.conversation)
            chat = Conversation(fallback(first, second), model="m")
            assert chat.send("A").pipe(rops.collect_text()).run() == "one"
            events: list[Any] = []
            answer = chat.send("B").pipe(ops.do_action(events.append), rops.collect_text())
            assert answer.run() == "user: A\nassistant: one\nuser: B"

        assert [event.name for event in events if isinstance(event, FallbackEvent)] == [repr(second)]
        assert len([event for event in events if isinstance(event, HistorySentEvent)]) == 1
        assert len(chat.history) == 4

    def test_with_retry_when_no_choice_is_left(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        server.reply(Failure("rate_limit_exceeded"), Failure("rate_limit_exceeded"), "hello")
        sender = fallback("large", "small", sender=socket)
        backoff = Backoff(initial=0.001, max_retries=2)
        answer = sender.send_request(ask()).pipe(rops.retry_with_backoff(backoff), rops.collect_text())

        assert answer.run() == "hello"
        assert [request["model"] for request in server.requests] == ["large", "small", "large"]

    def test_traced(self, socket: ResponsesWebSocket) -> None:
        pytest.importorskip("opentelemetry", reason="needs the extra `otel`")
        from rxresponses import telemetry

        sender = telemetry.traced(fallback(socket))

        assert sender.send_request(ask()).pipe(rops.final_response()).run().status == "completed"

    def test_from_many_threads(self) -> None:
        with ResponsesServer() as server, ResponsesWebSocket(server.url) as socket:
            sender = fallback("large", "small", sender=socket, sticky=60, attempt_timeout=10)
            found: list[str | None] = []
            lock = threading.Lock()

            def run() -> None:
                response = sender.send_request(ask()).pipe(rops.final_response()).run()
                with lock:
                    found.append(response.status)

            threads = [threading.Thread(target=run) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        assert found == ["completed"] * 8
