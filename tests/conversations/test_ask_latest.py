"""`ask_latest`: a new prompt cancels or steers the answer before."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from typing import Any

import pytest
import reactivex
from reactivex import Observable, Subject
from reactivex import operators as ops
from typing_extensions import assert_type

from rxresponses import (
    ConfigurationError,
    Conversation,
    InvalidRequestError,
    ResponseCreate,
    ResponsesWebSocket,
    ServerEvent,
    SteerTimeoutError,
    ask_latest,
    user_message,
)
from rxresponses import operators as rops
from rxresponses.testing import Hold, ResponsesServer, Text

from ..support.events import accepted, completed, created, delta, error_event, failed, incomplete, pending
from ..support.recorder import Recorder
from .answers import AnyAnswers, Collected, ManualSender, refused_steer

STEERED = "incomplete"


@pytest.fixture
def sender() -> ManualSender:
    return ManualSender()


class TestCancel:
    def test_marble_of_the_docstring(self, sender: ManualSender) -> None:
        seen = Collected(ask_latest(sender, model="m"))
        seen.prompts.on_next("A")
        sender.answers[0].emit(created("a"), delta("Aa"))
        seen.prompts.on_next("B")
        assert sender.answers[0].disposals == 1
        sender.answers[0].emit(delta("late"), completed(id="a"))
        sender.answers[0].complete()
        sender.answers[1].emit(created("b"), delta("Bb"), completed(id="b"))
        seen.prompts.on_completed()
        assert seen.completions == 0
        sender.answers[1].complete()

        assert seen.types == ["created", "output_text.delta", "created", "output_text.delta", "completed"]
        assert [event.delta for event in seen.values if event.type == "response.output_text.delta"] == ["Aa", "Bb"]
        assert (seen.completions, seen.errors) == (1, [])
        assert sender.inputs == ["A", "B"]
        assert {request.model for request in sender.sent} == {"m"}

    def test_a_late_error_of_a_cancelled_answer_is_dropped(self, sender: ManualSender) -> None:
        seen = Collected(ask_latest(sender, model="m"))
        seen.prompts.on_next("A")
        seen.prompts.on_next("B")
        sender.answers[0].fail(OSError("late"))

        assert seen.errors == []

    def test_completes_with_the_prompts_when_nothing_runs(self, sender: ManualSender) -> None:
        seen = Collected(ask_latest(sender, model="m"))
        seen.prompts.on_next("A")
        sender.answers[0].complete()
        assert seen.completions == 0
        seen.prompts.on_completed()

        assert seen.completions == 1

    def test_a_failed_response_ends_nothing(self, sender: ManualSender) -> None:
        seen = Collected(ask_latest(sender, model="m"))
        seen.prompts.on_next("A")
        sender.answers[0].emit(created(), failed())
        sender.answers[0].complete()
        seen.prompts.on_next("B")

        assert sender.inputs == ["A", "B"]

    @pytest.mark.parametrize("mode", ["cancel", "steer"])
    def test_an_error_of_an_answer_ends_all(self, sender: ManualSender, mode: Any) -> None:
        seen = Collected(ask_latest(sender, mode=mode, model="m"))
        seen.prompts.on_next("A")
        error = OSError("lost")
        sender.answers[0].fail(error)
        sender.answers[0].fail(error)
        seen.prompts.on_next("B")
        seen.prompts.on_completed()

        assert seen.errors == [error]
        assert (sender.inputs, seen.completions) == (["A"], 0)

    @pytest.mark.parametrize("mode", ["cancel", "steer"])
    def test_an_error_of_the_prompts_disposes_the_answer(self, sender: ManualSender, mode: Any) -> None:
        seen = Collected(ask_latest(sender, mode=mode, model="m"))
        seen.prompts.on_next("A")
        error = OSError("no keyboard")
        seen.prompts.on_error(error)

        assert seen.errors == [error]
        assert sender.answers[0].disposals == 1

    @pytest.mark.parametrize("mode", ["cancel", "steer"])
    def test_disposing_disposes_all(self, sender: ManualSender, mode: Any) -> None:
        seen = Collected(ask_latest(sender, mode=mode, model="m"))
        seen.prompts.on_next("A")
        seen.subscription.dispose()
        seen.prompts.on_next("B")
        sender.answers[0].emit(created())

        assert sender.answers[0].disposals == 1
        assert (sender.inputs, seen.values) == (["A"], [])

    def test_a_prompt_inside_the_delivery_of_an_event(self, sender: ManualSender) -> None:
        prompts: Subject[Any] = Subject()
        seen: list[ServerEvent] = []

        def on_next(event: ServerEvent) -> None:
            seen.append(event)
            if len(seen) == 1:
                prompts.on_next("B")

        prompts.pipe(ask_latest(sender, model="m")).subscribe(on_next)
        prompts.on_next("A")
        sender.answers[0].emit(created("a"), delta("late"))
        sender.answers[1].emit(created("b"))

        assert [event.type for event in seen] == ["response.created", "response.created"]

    @pytest.mark.parametrize("mode", ["cancel", "steer"])
    def test_a_prompt_that_cannot_be_sent(self, sender: ManualSender, mode: Any) -> None:
        seen = Collected(ask_latest(sender, mode=mode, model="m"))
        seen.prompts.on_next(7)

        assert [type(error) for error in seen.errors] == [InvalidRequestError]

    def test_items_and_requests_as_prompts(self, sender: ManualSender) -> None:
        seen = Collected(ask_latest(sender, model="m"))
        item = user_message("A")
        request = ResponseCreate(model="other", input="C")
        for prompt in (item, [item], {"role": "user", "content": "B"}, request):
            seen.prompts.on_next(prompt)

        assert sender.inputs == [[item], [item], [{"role": "user", "content": "B"}], "C"]
        assert sender.sent[-1] is request

    def test_each_answer_has_a_pipeline_of_its_own(self, sender: ManualSender) -> None:
        spoken: list[str] = []
        speeches: list[Subject[str]] = []

        def speak(sentence: str) -> Observable[str]:
            def start(_: object) -> Observable[str]:
                spoken.append(sentence)
                speeches.append(Subject())
                return speeches[-1]

            return reactivex.defer(start)

        def each(events: Observable[ServerEvent]) -> Observable[str]:
            return events.pipe(rops.sentences(strip=True), ops.map(speak), ops.merge(max_concurrent=1))

        seen = Collected(ask_latest(sender, each=each, model="m"))
        seen.prompts.on_next("A")
        sender.answers[0].emit(created("a"), delta("One. Two. Three."), completed(id="a"))
        sender.answers[0].complete()
        speeches[0].on_next("end of one")
        speeches[0].on_completed()
        assert spoken == ["One.", "Two."]
        seen.prompts.on_next("B")
        sender.answers[1].emit(created("b"), delta("Four."), completed(id="b"))
        speeches[1].on_next("too late")
        speeches[1].on_completed()

        assert spoken == ["One.", "Two.", "Four."]
        assert seen.values == ["end of one"]

    def test_a_pipeline_that_raises(self, sender: ManualSender) -> None:
        def each(events: Observable[ServerEvent]) -> Observable[str]:
            raise ZeroDivisionError

        seen = Collected(ask_latest(sender, each=each, model="m"))
        seen.prompts.on_next("A")

        assert [type(error) for error in seen.errors] == [ZeroDivisionError]

    @pytest.mark.parametrize("mode", ["cancel", "steer"])
    def test_requests_are_sent_in_the_context_of_the_subscriber(self, sender: ManualSender, mode: Any) -> None:
        variable: ContextVar[str] = ContextVar("variable")
        token = variable.set("subscriber")
        seen = Collected(ask_latest(sender, mode=mode, model="m"))
        variable.reset(token)
        thread = threading.Thread(target=lambda: seen.prompts.on_next("A"))
        thread.start()
        thread.join()

        assert [context.get(variable) for context in sender.contexts] == ["subscriber"]

    @pytest.mark.parametrize("ending", [reactivex.empty(), reactivex.throw(OSError("late"))], ids=["end", "error"])
    def test_an_answer_that_emits_while_it_is_subscribed_to(self, ending: Observable[ServerEvent]) -> None:
        answers = [reactivex.of(created("a"), delta("late")).pipe(ops.concat(ending)), reactivex.of(created("b"))]
        prompts: Subject[Any] = Subject()
        seen: list[str] = []
        ends: list[Any] = []

        def on_next(event: ServerEvent) -> None:
            seen.append(event.type)
            if len(seen) == 1:
                prompts.on_next("B")

        pipeline = ask_latest(AnyAnswers(answers), model="m")
        prompts.pipe(pipeline).subscribe(on_next, ends.append, lambda: ends.append("completed"))
        prompts.on_next("A")
        assert seen == ["response.created", "response.created"]
        prompts.on_completed()

        assert ends == ["completed"]

    @pytest.mark.parametrize("mode", ["cancel", "steer"])
    def test_of_two_errors_the_first_counts(self, mode: Any) -> None:
        answer = reactivex.of(created("a")).pipe(ops.concat(reactivex.throw(OSError("second"))))
        first = OSError("first")
        prompts: Subject[Any] = Subject()
        errors: list[Exception] = []
        pipeline = ask_latest(AnyAnswers([answer]), mode=mode, model="m")
        prompts.pipe(pipeline).subscribe(lambda _: prompts.on_error(first), errors.append)
        prompts.on_next("A")

        assert errors == [first]

    def test_disposed_while_a_prompt_cancels(self, sender: ManualSender) -> None:
        prompts: Subject[Any] = Subject()
        each = ops.finally_action(lambda: subscription.dispose())
        subscription = prompts.pipe(ask_latest(sender, each=each, model="m")).subscribe()
        prompts.on_next("A")
        prompts.on_next("B")

        assert sender.inputs == ["A"]

    def test_a_sender_that_raises(self) -> None:
        class Refusing:
            def send_request(self, request: Any) -> Observable[ServerEvent]:
                raise InvalidRequestError("refused")

        seen = Collected(ask_latest(Refusing(), model="m"))
        seen.prompts.on_next("A")

        assert [str(error) for error in seen.errors] == ["refused"]

    def test_a_whole_request_is_none_of_a_conversation(self, sender: ManualSender) -> None:
        seen = Collected(ask_latest(Conversation(sender, model="m")))
        seen.prompts.on_next(ResponseCreate(model="m", input="A"))

        assert [str(error) for error in seen.errors] == [
            "a conversation makes its requests itself: the prompt is a text, or items"
        ]


class TestSteer:
    def test_marble_of_the_docstring(self, sender: ManualSender) -> None:
        seen = Collected(ask_latest(sender, mode="steer", model="m"))
        seen.prompts.on_next("A")
        answer = sender.answers[0]
        answer.emit(created("a"), delta("Aa"))
        seen.prompts.on_next("B")
        steer = sender.answers[1]
        steer.emit(accepted())
        answer.emit(incomplete(id="a", reason="steered"))
        answer.complete()
        steer.emit(created("b"), delta("Bb"), completed(id="b"))
        seen.prompts.on_completed()
        assert seen.completions == 0
        steer.complete()

        assert sender.inputs == ["A", ("a", "B")]
        assert seen.types == [
            *("created", "output_text.delta", "steer.accepted", STEERED),
            *("created", "output_text.delta", "completed"),
        ]
        assert (seen.completions, seen.errors) == (1, [])

    def test_a_prompt_before_the_response_is_created_waits(self, sender: ManualSender) -> None:
        seen = Collected(ask_latest(sender, mode="steer", model="m"))
        for prompt in "ABC":
            seen.prompts.on_next(prompt)
        assert sender.inputs == ["A"]
        sender.answers[0].emit(created("a"))

        assert sender.inputs == ["A", ("a", "B"), ("a", "C")]

    def test_a_steer_names_the_whole_id(self, sender: ManualSender) -> None:
        seen = Collected(ask_latest(sender, mode="steer", model="m"))
        seen.prompts.on_next("A")
        sender.answers[0].emit(created("a" * 2_000))
        seen.prompts.on_next("B")

        assert sender.inputs == ["A", ("a" * 2_000, "B")]

    def test_the_response_that_follows_from_two_steers_is_emitted_once(self, sender: ManualSender) -> None:
        seen = Collected(ask_latest(sender, mode="steer", model="m"))
        for prompt in "ABC":
            seen.prompts.on_next(prompt)
        answer = sender.answers[0]
        answer.emit(created("a"))
        first, second = sender.answers[1:]
        first.emit(accepted())
        second.emit(accepted())
        answer.emit(incomplete(id="a", reason="steered"))
        answer.complete()
        for event in (created("b"), delta("Bb"), completed(id="b")):
            second.emit(event)
            first.emit(event)
        first.complete()
        second.complete()
        seen.prompts.on_completed()

        assert seen.types == [
            *("created", "steer.accepted", "steer.accepted", STEERED),
            *("created", "output_text.delta", "completed"),
        ]
        assert seen.completions == 1

    def test_the_response_that_follows_can_be_steered(self, sender: ManualSender) -> None:
        seen = Collected(ask_latest(sender, mode="steer", model="m"))
        seen.prompts.on_next("A")
        sender.answers[0].emit(created("a"))
        seen.prompts.on_next("B")
        sender.answers[1].emit(accepted())
        sender.answers[0].emit(incomplete(id="a", reason="steered"))
        sender.answers[0].complete()
        seen.prompts.on_next("C")  # no response runs
        assert sender.inputs == ["A", ("a", "B")]
        sender.answers[1].emit(created("b"))

        assert sender.inputs == ["A", ("a", "B"), ("b", "C")]

    def test_scenario_37_refused_prompts_are_asked_in_order_when_the_answer_has_ended(
        self, sender: ManualSender
    ) -> None:
        seen = Collected(ask_latest(sender, mode="steer", model="m"))
        for prompt in "ABC":
            seen.prompts.on_next(prompt)
        answer = sender.answers[0]
        answer.emit(created("a"))
        for steer, prompt in ((sender.answers[2], "C"), (sender.answers[1], "B")):
            steer.emit(refused_steer("a", prompt))
            steer.complete()
        seen.prompts.on_next("D")
        assert len(sender.sent) == 3
        answer.emit(completed(id="a"))
        assert len(sender.sent) == 3
        answer.complete()
        assert sender.inputs[3:] == ["B"]
        sender.answers[3].emit(created("b"))
        assert len(sender.sent) == 4  # a prompt that was refused is asked alone
        sender.answers[3].complete()
        sender.answers[4].emit(created("c"))

        assert sender.inputs == ["A", ("a", "B"), ("a", "C"), "B", "C", ("c", "D")]
        assert "steer.failed" not in seen.types

    @pytest.mark.parametrize("before", [[], [accepted()]], ids=["refused", "accepted"])
    def test_an_error_event_in_answer_to_a_steer_is_a_refusal(
        self, sender: ManualSender, before: list[ServerEvent]
    ) -> None:
        seen = Collected(ask_latest(sender, mode="steer", model="m"))
        seen.prompts.on_next("A")
        sender.answers[0].emit(created("a"))
        seen.prompts.on_next("B")
        sender.answers[1].emit(*before, error_event())
        sender.answers[1].complete()
        sender.answers[0].complete()

        assert sender.inputs == ["A", ("a", "B"), "B"]
        assert "error" not in seen.types

    def test_an_error_of_the_response_that_follows_is_emitted(self, sender: ManualSender) -> None:
        seen = Collected(ask_latest(sender, mode="steer", model="m"))
        seen.prompts.on_next("A")
        sender.answers[0].emit(created("a"))
        seen.prompts.on_next("B")
        sender.answers[1].emit(accepted(), created("b"), error_event(), failed(id="b"))
        sender.answers[1].complete()

        assert seen.types[-2:] == ["error", "failed"]
        assert sender.inputs == ["A", ("a", "B")]

    def test_a_response_without_an_id_cannot_be_steered(self, sender: ManualSender) -> None:
        seen = Collected(ask_latest(sender, mode="steer", model="m"))
        seen.prompts.on_next("A")
        sender.answers[0].emit(created(""))
        seen.prompts.on_next("B")
        assert sender.inputs == ["A"]
        sender.answers[0].complete()

        assert sender.inputs == ["A", "B"]

    def test_a_successor_without_an_id(self, sender: ManualSender) -> None:
        seen = Collected(ask_latest(sender, mode="steer", model="m"))
        seen.prompts.on_next("A")
        sender.answers[0].emit(created("a"))
        seen.prompts.on_next("B")
        sender.answers[1].emit(accepted(), created(""), delta("Bb"))

        assert seen.types == ["created", "steer.accepted", "created", "output_text.delta"]

    def test_scenario_37_a_steer_that_was_not_sent_is_asked(self, sender: ManualSender) -> None:
        seen = Collected(ask_latest(sender, mode="steer", model="m"))
        seen.prompts.on_next("A")
        sender.answers[0].emit(created("a"))
        seen.prompts.on_next("B")
        sender.answers[1].fail(SteerTimeoutError(1.0, delivery="not_sent"))
        sender.answers[0].complete()

        assert sender.inputs == ["A", ("a", "B"), "B"]

    @pytest.mark.parametrize("is_accepted", [True, False])
    def test_scenario_37_a_steer_whose_fate_is_unknown_is_an_error(
        self, sender: ManualSender, is_accepted: bool
    ) -> None:
        seen = Collected(ask_latest(sender, mode="steer", model="m"))
        seen.prompts.on_next("A")
        sender.answers[0].emit(created("a"))
        seen.prompts.on_next("B")
        if is_accepted:
            sender.answers[1].emit(accepted())
        error = SteerTimeoutError(1.0, delivery="not_sent" if is_accepted else "unknown")
        sender.answers[1].fail(error)

        assert seen.errors == [error]
        assert sender.answers[0].disposals == 1

    def test_scenario_37_pending(self, sender: ManualSender) -> None:
        seen = Collected(ask_latest(sender, mode="steer", model="m"))
        seen.prompts.on_next("A")
        sender.answers[0].emit(created("a"))
        seen.prompts.on_next("B")
        sender.answers[1].emit(accepted())
        sender.answers[0].emit(completed(id="a"))
        sender.answers[0].complete()
        sender.answers[1].emit(pending())
        sender.answers[1].complete()
        seen.prompts.on_next("C")

        assert seen.types == ["created", "steer.accepted", "completed", "steer.pending"]
        assert sender.inputs == ["A", ("a", "B"), "C"]

    def test_a_prompt_that_is_no_user_message_is_asked(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        gate = server.gate()
        server.reply([Text(deltas=["a", "b"]), Hold(gate, 5)], "second")
        prompts: Subject[Any] = Subject()
        seen = Recorder(prompts.pipe(ask_latest(socket, mode="steer", model="m")))
        prompts.on_next("A")
        seen.wait_for(5)
        prompts.on_next([{"role": "developer", "content": "B"}])
        gate.open()
        prompts.on_completed()

        assert seen.wait().text == "absecond"


class TestWrongUse:
    def test_no_sender(self) -> None:
        with pytest.raises(ConfigurationError, match="another object with `send_request`, not str"):
            ask_latest("http://127.0.0.1:8000/v1", model="m")  # type: ignore[call-overload]

    def test_a_sender_without_steer(self) -> None:
        class Plain:
            def send_request(self, request: Any) -> Observable[ServerEvent]:
                raise NotImplementedError

        ask_latest(Plain(), model="m")
        with pytest.raises(ConfigurationError, match="Plain has no `steer`"):
            ask_latest(Plain(), mode="steer", model="m")

    def test_options(self, sender: ManualSender) -> None:
        with pytest.raises(ConfigurationError, match="`mode`"):
            ask_latest(sender, mode="stop")  # type: ignore[call-overload]
        with pytest.raises(ConfigurationError, match="not cut off"):
            ask_latest(sender, mode="steer", each=lambda events: events)  # type: ignore[call-overload]
        with pytest.raises(ConfigurationError, match="not cut off"):
            ask_latest(Conversation(sender, model="m"), mode="steer", keep_heard=True)
        with pytest.raises(ConfigurationError, match="`each` must be a function of the events of an answer, not int"):
            ask_latest(sender, each=5, model="m")  # type: ignore[call-overload]
        with pytest.raises(ConfigurationError, match="a sender remembers nothing"):
            ask_latest(sender, keep_heard=True, model="m")

    def test_fields(self, sender: ManualSender) -> None:
        with pytest.raises(InvalidRequestError):
            ask_latest(sender, model="m", temperature="hot")
        with pytest.raises(InvalidRequestError, match="previous_response_id"):
            ask_latest(Conversation(sender, model="m"), previous_response_id="r")
        with pytest.raises(TypeError):
            ask_latest(sender, model="m", colour="red")

    def test_types(self, sender: ManualSender) -> None:
        assert_type(Subject[str]().pipe(ask_latest(sender, model="m")), Observable[ServerEvent])
        assert_type(Subject[str]().pipe(ask_latest(sender, mode="steer", model="m")), Observable[ServerEvent])
        texts = ask_latest(sender, each=lambda events: events.pipe(rops.text_deltas()), model="m")
        assert_type(Subject[str]().pipe(texts), Observable[str])
