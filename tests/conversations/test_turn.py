"""One turn: when it is sent once more, and what is remembered of it."""

from __future__ import annotations

from typing import Any

import pytest
import reactivex
from reactivex import operators as ops

from rxresponses import (
    ConnectionLostError,
    InvalidRequestError,
    MessageTooBigError,
    PreviousResponseLostError,
    ServerEvent,
    SocketClosedError,
)
from rxresponses import operators as rops
from rxresponses.conversations.chain import ENCRYPTED_REASONING, Chain
from rxresponses.conversations.events import HistorySentEvent, TurnStartedEvent
from rxresponses.conversations.turn import send_turn
from rxresponses.wire.events.base import event_from

from ..support.events import completed, created, delta, failed, incomplete, message
from ..support.recorder import Recorder
from .chains import SETTINGS, UNSTORED, reasoning, response, says, user
from .scripted_sender import ScriptedSender

MORE = [user("more")]
EVERYTHING = [user("hello"), says("hi"), user("more")]
ANSWER = [created("resp_2"), delta("yes"), completed(message("yes"), id="resp_2")]
LOST = PreviousResponseLostError("lost", previous_response_id="resp_1")


def begun(settings: dict[str, Any] = SETTINGS, *output: dict[str, Any]) -> Chain:
    return Chain().after(settings, [user("hello")], response("resp_1", *(output or (says("hi"),))))


def refusal(code: str | None = None, message: str = "no", status: int = 400, param: str | None = None) -> ServerEvent:
    error = {"type": "invalid_request_error", "code": code, "message": message, "param": param}
    return event_from({"type": "error", "status": status, "error": error})


NOT_FOUND = refusal("previous_response_not_found")


class Turn:
    """A turn with a script, recorded to its end."""

    def __init__(self, *answers: Any, chain: Chain | None = None, settings: dict[str, Any] = SETTINGS) -> None:
        self.sender = ScriptedSender(*answers)
        self.chains: list[Chain] = []
        chain = begun(settings) if chain is None else chain
        self.events = Recorder(send_turn(self.sender, chain, settings, MORE, self.chains.append))

    @property
    def inputs(self) -> list[Any]:
        return [request.get("input") for request in self.sender.requests]

    @property
    def reasons(self) -> list[str]:
        return [event.reason for event in self.events.values if isinstance(event, HistorySentEvent)]


class TestTurn:
    def test_it_emits_all_and_remembers_the_response(self) -> None:
        turn = Turn(ANSWER)
        assert turn.events.values[1:] == ANSWER
        assert turn.events.completions == 1
        assert turn.inputs == [MORE]
        assert [chain.parent_id for chain in turn.chains] == ["resp_2"]
        assert len(turn.chains[0].items) == 4

    def test_the_first_event_has_the_request(self) -> None:
        source = send_turn(ScriptedSender(ANSWER), begun(), SETTINGS, MORE, lambda chain: None, turn=3)
        first = Recorder(source).values[0]
        assert isinstance(first, TurnStartedEvent)
        assert first.turn == 3
        assert first.request.previous_response_id == "resp_1"

    def test_it_remembers_before_the_terminal_event_is_emitted(self) -> None:
        order: list[str] = []
        source = send_turn(ScriptedSender(ANSWER), begun(), SETTINGS, MORE, lambda chain: order.append("chain"))
        Recorder(source, lambda event: order.append(event.type))
        assert order[-2:] == ["chain", "response.completed"]
        assert order.index("chain") > order.index("response.created")

    def test_it_is_cold(self) -> None:
        sender = ScriptedSender(ANSWER, ANSWER)
        source = send_turn(sender, begun(), SETTINGS, MORE, lambda chain: None)
        assert not sender.requests
        Recorder(source)
        Recorder(source)
        assert len(sender.requests) == 2

    def test_what_cannot_be_sent_raises_at_once(self) -> None:
        with pytest.raises(InvalidRequestError):
            send_turn(ScriptedSender(), begun(), {}, MORE, lambda chain: None)

    def test_a_sender_that_raises(self) -> None:
        class Refusing:
            def send_request(self, request: Any, /) -> Any:
                raise InvalidRequestError("too large")

        turn = Recorder(send_turn(Refusing(), begun(), SETTINGS, MORE, lambda chain: None))
        assert isinstance(turn.error, InvalidRequestError)

    def test_nothing_is_sent_if_the_first_event_was_enough(self) -> None:
        sender = ScriptedSender()
        got = Recorder(send_turn(sender, begun(), SETTINGS, MORE, lambda chain: None).pipe(ops.take(1)))
        assert got.completions == 1
        assert not sender.requests

    def test_nothing_is_sent_if_the_notice_of_the_history_was_enough(self) -> None:
        sender = ScriptedSender()
        source = send_turn(sender, begun(), {**SETTINGS, "temperature": 1}, MORE, lambda chain: None)
        got = Recorder(source.pipe(ops.take(2)))
        assert got.types == ["rxresponses.turn_started", "rxresponses.history_sent"]
        assert not sender.requests

    def test_disposing_disposes_the_request(self) -> None:
        disposed: list[bool] = []
        running = reactivex.never().pipe(ops.finally_action(lambda: disposed.append(True)))
        turn = Turn(running)
        turn.events.subscription.dispose()
        assert disposed
        assert not turn.chains

    def test_times_are_measured_from_the_request(self) -> None:
        source = send_turn(ScriptedSender(ANSWER), begun(), SETTINGS, MORE, lambda chain: None)
        assert Recorder(source.pipe(rops.metrics())).values[0].response_id == "resp_2"


class TestRemembered:
    def test_an_incomplete_response(self) -> None:
        turn = Turn([created("resp_2"), incomplete(message("y"), id="resp_2")])
        assert [chain.parent_id for chain in turn.chains] == ["resp_2"]

    def test_items_that_the_terminal_event_leaves_out(self) -> None:
        turn = Turn([created("resp_2"), delta("yes"), completed(id="resp_2")])
        assert turn.chains[0].items[-1].content[0].text == "yes"  # type: ignore[union-attr]

    @pytest.mark.parametrize(
        "end",
        [
            failed(id="resp_2"),
            refusal("rate_limit_exceeded"),
            event_from({"type": "response.cancelled", "response": {"id": "resp_2", "status": "cancelled"}}),
            event_from({"type": "response.completed", "response": 3}),
        ],
        ids=["failed", "error", "cancelled", "unreadable"],
    )
    def test_no_other_end(self, end: ServerEvent) -> None:
        turn = Turn([created("resp_2"), delta("y"), end])
        assert turn.events.values[-1] is end
        assert not turn.chains

    def test_what_follows_the_terminal_event_is_passed_on(self) -> None:
        turn = Turn([*ANSWER, delta("late"), completed(id="resp_3")])
        assert len(turn.events.values) == 6
        assert len(turn.chains) == 1


class TestLostParent:
    @pytest.mark.parametrize(
        "answer",
        [
            NOT_FOUND,
            refusal(param="previous_response_id"),
            refusal(message="Response with id 'resp_1' not found.", status=404),
            LOST,
            [event_from({"type": "codex.keepalive"}), NOT_FOUND],
            [created("resp_2"), NOT_FOUND],
        ],
        ids=["code", "param", "message", "local", "heartbeat", "created"],
    )
    def test_scenario_31_everything_is_sent_once_more(self, answer: Any) -> None:
        turn = Turn(answer, ANSWER)
        assert turn.inputs == [MORE, EVERYTHING]
        assert "previous_response_id" not in turn.sender.requests[1]
        assert len(turn.reasons) == 1
        assert turn.events.values[-3:] == ANSWER
        assert turn.events.completions == 1
        assert [chain.parent_id for chain in turn.chains] == ["resp_2"]

    def test_scenario_31_only_once(self) -> None:
        turn = Turn(NOT_FOUND, NOT_FOUND)
        assert turn.inputs == [MORE, EVERYTHING]
        assert turn.events.values[-1] is NOT_FOUND
        assert not turn.chains

    def test_scenario_31_not_after_output(self) -> None:
        turn = Turn([created("resp_2"), delta("y"), NOT_FOUND])
        assert turn.events.values[-1] is NOT_FOUND
        assert turn.inputs == [MORE]

    def test_scenario_31_not_without_a_history(self) -> None:
        assert Turn(NOT_FOUND, chain=Chain()).events.values[-1] is NOT_FOUND
        assert Turn(LOST, chain=Chain()).events.error is LOST

    def test_scenario_31_no_other_refusal(self) -> None:
        other = refusal("context_length_exceeded")
        assert Turn(other).events.values[-1] is other
        busy = refusal(message="resp_1 is busy", status=503)
        assert Turn(busy).events.values[-1] is busy

    def test_scenario_32_a_connection_that_was_lost_before_the_request(self) -> None:
        lost = ConnectionLostError("lost", delivery="not_sent")
        turn = Turn(lost, ANSWER, settings=UNSTORED)
        assert turn.inputs == [MORE, EVERYTHING]
        assert turn.events.values[-3:] == ANSWER

    @pytest.mark.parametrize(
        ("error", "settings"),
        [
            (ConnectionLostError("lost", delivery="unknown"), UNSTORED),
            (ConnectionLostError("lost", delivery="not_sent"), SETTINGS),
            (MessageTooBigError("too big", delivery="not_sent"), UNSTORED),
            (SocketClosedError("closed", delivery="not_sent"), UNSTORED),
        ],
        ids=["unknown", "stored", "too big", "closed"],
    )
    def test_other_errors_are_passed_on(self, error: Exception, settings: dict[str, Any]) -> None:
        turn = Turn(error, settings=settings)
        assert turn.events.error is error
        assert turn.inputs == [MORE]

    def test_an_error_after_the_first_event_is_passed_on(self) -> None:
        assert Turn([created("resp_2"), LOST]).events.error is LOST

    @pytest.mark.parametrize("end", ["on_completed", "on_error"])
    def test_a_source_that_goes_on_after_its_refusal_is_not_heard(self, end: str) -> None:
        def subscribe(observer: Any, _: Any = None) -> Any:
            observer.on_next(NOT_FOUND)
            observer.on_next(delta("late"))
            getattr(observer, end)(*[LOST] * (end == "on_error"))
            return reactivex.disposable.Disposable()

        turn = Turn(reactivex.create(subscribe), ANSWER)
        assert turn.inputs == [MORE, EVERYTHING]
        assert turn.events.values[2:] == ANSWER
        assert turn.events.completions == 1


class TestReasoning:
    @pytest.mark.parametrize(
        "answer",
        [refusal(param="include"), refusal(message="Encrypted content is not supported with this model")],
        ids=["param", "message"],
    )
    def test_a_model_that_refuses_to_be_asked_is_not_asked(self, answer: ServerEvent) -> None:
        turn = Turn(answer, ANSWER, settings=UNSTORED)
        assert [request.get("include") for request in turn.sender.requests] == [[ENCRYPTED_REASONING], None]
        assert turn.inputs == [MORE, EVERYTHING]
        assert turn.reasons == ["the model refused to be asked for encrypted reasoning"]
        assert turn.chains[0].plain_models == {"m"}

    def test_at_the_beginning_there_is_no_history_to_tell_of(self) -> None:
        turn = Turn(refusal(param="include"), ANSWER, settings=UNSTORED, chain=Chain())
        assert turn.inputs == [MORE, MORE]
        assert not turn.reasons

    def test_what_the_program_asks_for_stays(self) -> None:
        refused = refusal(param="include")
        turn = Turn(refused, settings={**UNSTORED, "include": [ENCRYPTED_REASONING]})
        assert turn.events.values[-1] is refused

    def test_reasoning_that_the_server_has_forgotten_is_left_out(self) -> None:
        chain = begun(SETTINGS, reasoning(7), says("hi"))
        turn = Turn(
            refusal(message="Item with id 'rs_7' not found.", status=404),
            ANSWER,
            chain=chain,
            settings={**SETTINGS, "temperature": 1},
        )
        assert turn.inputs == [[user("hello"), reasoning(7), says("hi"), *MORE], EVERYTHING]


class TestRootThatIsLost:
    """The response before the first item: its history only the server knows, so that no request can do without it."""

    @pytest.mark.parametrize("chain", [Chain(root_id="resp_0"), Chain(root_id="resp_1")])
    def test_a_refusal_is_passed_on(self, chain: Chain) -> None:
        turn = Turn([NOT_FOUND], chain=chain)
        assert turn.events.types == ["rxresponses.turn_started", "error"]
        assert len(turn.inputs) == 1

    def test_an_error_of_the_sender_is_passed_on(self) -> None:
        turn = Turn(LOST, chain=Chain(root_id="resp_1"))
        assert turn.events.error is LOST
        assert len(turn.inputs) == 1

    def test_the_parent_is_replaced_once(self) -> None:
        chain = Chain(root_id="resp_0").after(SETTINGS, [user("hello")], response("resp_1", says("hi")))
        turn = Turn([NOT_FOUND], [NOT_FOUND], chain=chain)
        assert [request.get("previous_response_id") for request in turn.sender.requests] == ["resp_1", "resp_0"]
        assert turn.inputs == [MORE, EVERYTHING]
        assert turn.events.types[-1] == "error"
