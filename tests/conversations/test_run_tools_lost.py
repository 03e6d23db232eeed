"""`run_tools`: a response that is lost after its calls have started is asked for again, and the calls are not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from reactivex import operators as ops

from rxresponses import (
    Backoff,
    ConnectionLostError,
    Conversation,
    MaxTurnsError,
    ResponseFailedError,
    ResponseUsage,
    ServerEvent,
    ToolLedger,
    ToolRunError,
    run_tools,
    tool,
)
from rxresponses import operators as rops
from rxresponses.conversations.items import item_field

from ..support.events import completed, created, failed, item_done
from ..support.recorder import Recorder
from .hand_sender import HandSender, add_call
from .talk import reasons
from .test_unfinished import reasoning

ASK: dict[str, Any] = {"model": "m", "input": "hi", "store": False}
LOST = ConnectionLostError("lost", delivery="started")
UNSENT = ConnectionLostError("refused", delivery="not_sent")


class Steps:
    """A tool that notes its calls."""

    def __init__(self) -> None:
        self.made: list[int] = []

    def step(self, number: int) -> str:
        """Do a step."""
        self.made.append(number)
        return f"did {number}"


def step_call(number: int, call_id: str | None = None) -> Any:
    fields: dict[str, Any] = {} if call_id is None else {"call_id": call_id}
    return add_call(number, name="step", arguments=f'{{"number": {number}}}', **fields)


def run(sender: Any, tools: Any, request: Any = ASK, **options: Any) -> Recorder[ServerEvent]:
    return Recorder(run_tools(sender, request, tools if isinstance(tools, list) else [tools], **options))


def lose(sender: HandSender, *items: Any, error: Exception = LOST) -> None:
    """Send the begin of a response, and lose the connection."""
    sender.emit(created(sender.next_id), *(item_done(item, index) for index, item in enumerate(items)))
    sender.fail(error)


def sent(sender: HandSender) -> list[Any]:
    """Return the items of the latest request in short."""
    return [(item.get("call_id") or item.get("id") or item.get("content"), item.get("output")) for item in sender.input]


class TestTheNextRequest:
    def test_carries_the_calls_and_their_outputs(self) -> None:
        sender, steps, ledger = HandSender(), Steps(), ToolLedger()
        run(sender, steps.step, ledger=ledger)
        lose(sender, reasoning(), step_call(1), step_call(2))
        run(sender, steps.step, ledger=ledger)
        sender.wait_for(2)
        assert sent(sender) == [
            *[("hi", None), ("rs_1", None), ("call_1", None), ("call_2", None)],
            *[("call_1", "did 1"), ("call_2", "did 2")],
        ]
        assert "previous_response_id" not in sender.requests[-1]
        sender.call(step_call(3))
        assert sent(sender) == [("call_3", "did 3")]
        assert sender.requests[-1]["previous_response_id"] == "resp_2"
        sender.say()
        assert steps.made == [1, 2, 3]
        assert [item["type"] for item in ledger.chain.to_dict()["pieces"][0]["items"]] == [
            *["message", "reasoning", "function_call", "function_call"],
            *["function_call_output", "function_call_output"],
        ]

    def test_behind_the_outputs_of_the_turn_before(self) -> None:
        sender, steps, ledger = HandSender(), Steps(), ToolLedger()
        run(sender, steps.step, ledger=ledger)
        sender.call(step_call(1))
        lose(sender, step_call(2))
        again = ToolLedger.from_json(ledger.to_json())  # the process has ended meanwhile
        run(sender, steps.step, ledger=again)
        sender.wait_for(3)
        assert [item["type"] for item in sender.input] == [
            *["message", "function_call", "function_call_output"],
            *["function_call", "function_call_output"],
        ]
        assert sent(sender)[-3:] == [("call_1", "did 1"), ("call_2", None), ("call_2", "did 2")]
        sender.say()
        assert steps.made == [1, 2]
        assert not again.chain.open_calls

    def test_continues_a_stored_parent(self) -> None:
        sender, steps, ledger = HandSender(), Steps(), ToolLedger()
        request = {**ASK, "store": True}
        run(sender, steps.step, request, ledger=ledger)
        sender.call(step_call(1))
        lose(sender, step_call(2))
        run(sender, steps.step, request, ledger=ledger)
        sender.wait_for(3)
        assert sender.requests[-1]["previous_response_id"] == "resp_1"
        assert sent(sender) == [("call_1", "did 1"), ("call_2", None), ("call_2", "did 2")]
        sender.say()

    @pytest.mark.parametrize("store", [True, False])
    def test_scenario_32_over_another_sender(self, *, store: bool) -> None:
        """A parent that is not stored is unknown there, and some servers take its id without the history."""
        first, second, steps, ledger = HandSender(), HandSender(), Steps(), ToolLedger()
        request = {**ASK, "store": store}
        run(first, steps.step, request, ledger=ledger)
        first.call(step_call(1))
        first.fail(LOST)
        got = run(second, steps.step, request, ledger=ledger)
        second.wait_for(1)
        if store:
            assert second.requests[0]["previous_response_id"] == "resp_1"
            assert sent(second) == [("call_1", "did 1")]
        else:
            assert "previous_response_id" not in second.requests[0]
            assert sent(second) == [("hi", None), ("call_1", None), ("call_1", "did 1")]
            assert "over another sender" in reasons(got)[0]
        second.say()

    def test_scenario_32_over_the_same_sender(self) -> None:
        """The sender itself knows whether its connection still has the parent."""
        sender, steps, ledger = HandSender(), Steps(), ToolLedger()
        run(sender, steps.step, ledger=ledger)
        sender.call(step_call(1))
        sender.fail(LOST)
        run(sender, steps.step, ledger=ledger)
        sender.wait_for(3)
        assert sender.requests[-1]["previous_response_id"] == "resp_1"
        sender.say()

    def test_carries_the_calls_of_each_lost_response(self) -> None:
        sender, steps, ledger = HandSender(), Steps(), ToolLedger()
        run(sender, steps.step, ledger=ledger)
        for number in (1, 2):  # the server numbers the calls of each response anew
            lose(sender, step_call(number, "call_0"))
            ledger = ToolLedger.from_json(ledger.to_json())
            run(sender, steps.step, ledger=ledger)
            sender.wait_for(number + 1)
        assert sent(sender)[1:] == [
            *[("call_0", None), ("call_0", "did 1")],
            *[("call_0", None), ("call_0", "did 2")],
        ]
        sender.call(step_call(3, "call_0"))
        sender.say()
        assert steps.made == [1, 2, 3]

    def test_forces_no_call_again(self) -> None:
        sender, steps, ledger = HandSender(), Steps(), ToolLedger()
        request = {**ASK, "tool_choice": "required"}
        run(sender, steps.step, request, ledger=ledger)
        sender.fail(LOST)
        run(sender, steps.step, request, ledger=ledger)
        assert sender.requests[-1]["tool_choice"] == "required"  # nothing was called
        lose(sender, step_call(1))
        run(sender, steps.step, request, ledger=ledger)
        sender.wait_for(3)
        assert sender.requests[-1].get("tool_choice") in (None, "auto")
        sender.say()

    def test_after_a_response_that_failed(self) -> None:
        sender, steps, ledger = HandSender(), Steps(), ToolLedger()
        source = run_tools(sender, ASK, [steps.step], ledger=ledger).pipe(rops.collect_text(), ops.retry(2))
        got = Recorder(source)
        sender.end(created("resp_1"), item_done(step_call(1)), failed(id="resp_1"))
        sender.wait_for(2)
        assert sent(sender)[1:] == [("call_1", None), ("call_1", "did 1")]
        sender.say()
        assert got.wait().values == ["Done."]
        assert steps.made == [1]

    def test_an_operator_tells_of_a_failed_response_as_always_and_the_ledger_of_the_calls(self) -> None:
        sender, steps, ledger = HandSender(), Steps(), ToolLedger()
        source = run_tools(sender, ASK, [steps.step], ledger=ledger)
        got = Recorder(source.pipe(rops.collect_text()))
        sender.end(created("resp_1"), completed(step_call(1), id="resp_1"))
        sender.wait_for(2)
        sender.end(created("resp_2"), failed(id="resp_2"))
        error = got.wait().error
        assert isinstance(error, ResponseFailedError)
        assert error.response_id == "resp_2"
        assert [(call.name, call.is_finished) for call in ledger.calls] == [("step", True)]
        again = Recorder(source.pipe(rops.collect_text()))
        sender.wait_for(3)
        assert sender.requests[-1]["previous_response_id"] == "resp_1"
        sender.say()
        assert again.wait().values == ["Done."]
        assert steps.made == [1]

    def test_in_a_conversation(self) -> None:
        sender, steps = HandSender(), Steps()
        conversation = Conversation(sender, model="m", tools=[steps.step])
        got = Recorder(conversation.send("hi"))
        lose(sender, step_call(1))
        assert len(conversation.history) == 0
        Recorder(conversation.send("hi", ledger=got.error.ledger))
        sender.wait_for(2)
        sender.say()
        history: Any = conversation.history
        assert [item_field(item, "type") for item in history] == [
            "message",
            "function_call",
            "function_call_output",
            "message",
        ]
        Recorder(conversation.send("And now?"))
        assert sender.requests[-1]["previous_response_id"] == "resp_2"
        sender.say()
        assert steps.made == [1]

    def test_without_eager_calls_there_is_nothing_to_carry(self) -> None:
        sender, steps, ledger = HandSender(), Steps(), ToolLedger()
        run(sender, steps.step, ledger=ledger, eager=False)
        lose(sender, step_call(1))
        assert (steps.made, ledger.calls) == ([], [])
        run(sender, steps.step, ledger=ledger, eager=False)
        assert sender.input == "hi"
        sender.say()


class TestCallsThatHaveNotFinished:
    def crashed(self, *numbers: int) -> ToolLedger:
        """Return a ledger that was saved inside the last of these calls."""
        sender, saved = HandSender(), [""]

        def save(ledger: ToolLedger) -> None:
            if ledger.unknown:
                saved.append(ledger.to_json())

        run(sender, Steps().step, ledger=ToolLedger(save=save))
        lose(sender, *map(step_call, numbers))
        return ToolLedger.from_json(saved[-1])

    def test_the_model_is_told_that_their_fate_is_unknown(self) -> None:
        sender, steps = HandSender(), Steps()
        run(sender, steps.step, ledger=self.crashed(1, 2))
        sender.wait_for(1)
        assert sent(sender)[3] == ("call_1", "did 1")
        assert "unknown whether the call took effect" in sender.input[4]["output"]
        sender.say()
        assert steps.made == []

    def test_an_idempotent_tool_is_called_again(self) -> None:
        sender, steps = HandSender(), Steps()

        async def step(number: int) -> str:
            """Do a step."""
            await asyncio.sleep(0)
            return steps.step(number)

        ledger = self.crashed(1, 2)
        run(sender, tool(step, idempotent=True), ledger=ledger)
        sender.wait_for(1)
        assert sent(sender)[3:] == [("call_1", "did 1"), ("call_2", "did 2")]
        sender.say()
        assert steps.made == [2]
        assert not ledger.unknown

    def test_the_program_decides(self) -> None:
        sender, steps, ledger = HandSender(), Steps(), self.crashed(1)
        ledger.forget("call_1")
        run(sender, steps.step, ledger=ledger)
        sender.wait_for(1)
        assert sent(sender)[1:] == [("call_1", None), ("call_1", "did 1")]
        sender.say()
        assert steps.made == [1]

    def test_a_call_that_fails_then(self) -> None:
        def step(number: int) -> str:
            """Fail."""
            raise ValueError("no")

        sender, ledger = HandSender(), self.crashed(1)
        got = run(sender, tool(step, idempotent=True), ledger=ledger, on_error="raise").wait()
        assert isinstance(got.error.__cause__, ValueError)
        assert sender.requests == []

    def test_a_tool_that_is_gone(self) -> None:
        sender, ledger = HandSender(), self.crashed(1)
        got = run(sender, [], ledger=ledger, on_error="raise").wait()
        assert "there is no tool named 'step'" in str(got.error)
        assert sender.requests == []


class TestLimits:
    def test_a_lost_response_is_no_turn(self) -> None:
        sender, steps, ledger = HandSender(), Steps(), ToolLedger()
        run(sender, steps.step, ledger=ledger, max_turns=2)
        for count in (2, 3):
            lose(sender, step_call(count))
            run(sender, steps.step, ledger=ledger, max_turns=2)
            sender.wait_for(count)
        sender.call(step_call(4))
        sender.say()
        assert (steps.made, ledger.turn) == ([2, 3, 4], 2)

    def test_the_last_turn_has_calls_to_carry_and_makes_none(self) -> None:
        sender, steps, ledger = HandSender(), Steps(), ToolLedger()
        run(sender, steps.step, ledger=ledger)
        lose(sender, step_call(1))
        got = run(sender, steps.step, ledger=ledger, max_turns=1)
        sender.wait_for(2)
        assert sent(sender)[-1] == ("call_1", "did 1")
        sender.call(step_call(2))
        assert isinstance(got.wait().error, MaxTurnsError)
        assert steps.made == [1]

    def test_a_limit_of_turns_that_was_reached_before(self) -> None:
        sender, steps, ledger = HandSender(), Steps(), ToolLedger()
        run(sender, steps.step, ledger=ledger)
        sender.call(step_call(1), usage=ResponseUsage(total_tokens=10))
        lose(sender, step_call(2))
        assert isinstance(run(sender, steps.step, ledger=ledger, max_turns=1).wait().error, MaxTurnsError)
        got = run(sender, steps.step, ledger=ledger, max_tokens=10).wait()
        assert got.types == ["rxresponses.budget_reached"]
        assert len(sender.requests) == 2


class TestTryingAgain:
    def test_with_retry(self) -> None:
        """The ledger lets each subscription go on where the one before has stopped."""
        sender, steps = HandSender(), Steps()
        source = run_tools(sender, ASK, [steps.step], ledger=ToolLedger())
        got = Recorder(source.pipe(ops.retry(3)))
        lose(sender, step_call(1))
        sender.wait_for(2)
        sender.fail(UNSENT)
        sender.wait_for(3)
        sender.say()
        assert got.wait().completions == 1
        assert steps.made == [1]

    def test_with_backoff_until_the_first_response_has_begun(self) -> None:
        sender, steps = HandSender(), Steps()
        source = run_tools(sender, ASK, [steps.step], ledger=ToolLedger())
        got = Recorder(source.pipe(rops.retry_with_backoff(Backoff(initial=0), when=lambda error: True)))
        sender.fail(UNSENT)
        sender.wait_for(2)
        lose(sender, step_call(1))  # what was emitted would be emitted again
        assert isinstance(got.error, ToolRunError)
        assert (got.error.__cause__, got.error.tries) == (LOST, 2)
