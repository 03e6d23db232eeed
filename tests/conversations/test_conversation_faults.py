"""Conversations whose connections and requests fail: nothing is lost, nothing is said twice, and how little is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rxresponses import Conversation, ResponsesWebSocket, tool
from rxresponses import operators as rops
from rxresponses.testing import Close, Expire, Failure, Fault, FunctionCall, Request, ResponsesServer

from ..effort import examples
from ..support.recorder import Recorder
from .talk import drop, parents, reasons, said, talk, text_of

LONG = "What do you think of the following, and how would you say it in other words? " * 4
SETTINGS: dict[str, Any] = {"model": "gpt-4.1", "instructions": "Answer in one sentence."}


@pytest.fixture(params=["socket", "client"])
def sender(request: pytest.FixtureRequest) -> Any:
    """A socket and a client."""
    return request.getfixturevalue(request.param)


def texts(conversation: Conversation) -> list[str]:
    return [text_of(item) for item in conversation.history]


class TestScenarios:
    @pytest.mark.parametrize("store", [True, False])
    def test_scenario_31_one_replay_with_the_whole_history(
        self, server: ResponsesServer, sender: Any, store: bool
    ) -> None:
        chat = Conversation(sender, model="m", store=store)
        talk(chat, "a")
        lost = Failure("previous_response_not_found", after=0)
        server.fault(Fault(lost, match=lambda request: "previous_response_id" in request.body, times=1))
        turn = talk(chat, "b")
        assert turn.types.count("rxresponses.history_sent") == 1
        assert "error" not in turn.types
        assert parents(server) == [None, 1, None]
        assert said(server)[1:] == ["b", [*texts(chat)[:2], "b"]]
        assert reasons(talk(chat, "c")) == []

    def test_scenario_31_not_after_output(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        chat = Conversation(socket, model="m")
        talk(chat, "a")
        server.fault(Fault(Failure("previous_response_not_found", after=5), match="b"))
        turn = talk(chat, "b")
        assert turn.types[-1] == "error"
        assert len(server.requests) == 2
        assert len(chat.history) == 2

    def test_scenario_32_the_stale_id_is_not_sent_on_a_new_connection(
        self, server: ResponsesServer, sender: Any
    ) -> None:
        chat = Conversation(sender, model="m", store=False)
        talk(chat, "a")
        drop(server, sender)
        turn = talk(chat, "b")
        assert reasons(turn) == ["the connection that held the response to continue is gone, or has moved on"]
        assert parents(server) == [None, None]
        assert said(server)[1] == [*texts(chat)[:2], "b"]

    def test_scenario_32_what_is_stored_is_continued_on_a_new_connection(
        self, server: ResponsesServer, sender: Any
    ) -> None:
        chat = Conversation(sender, model="m")
        talk(chat, "a")
        drop(server, sender)
        assert reasons(talk(chat, "b")) == []
        assert parents(server) == [None, 1]

    def test_scenario_36_a_tool_that_raises(self, server: ResponsesServer, sender: Any) -> None:
        @tool
        def divide(a: int, b: int) -> float:
            return a / b

        server.reply(FunctionCall("divide", {"a": 1, "b": 0}), "that cannot be")
        chat = Conversation(sender, model="m", tools=[divide])
        turn = talk(chat, "a")
        assert "rxresponses.tool_call_failed" in turn.types
        assert "division by zero" in server.requests[1]["input"][0]["output"]
        assert texts(chat) == ["a", "function_call", "function_call_output", "that cannot be"]

        server.reply(FunctionCall("divide", {"a": 1, "b": 0}))
        error = talk(chat, "b", on_error="raise").error
        assert [record.name for record in error.calls] == ["divide"]
        assert len(chat.history) == 4
        assert talk(chat, "c").values[-1].type == "response.completed"

    @pytest.mark.parametrize("store", [True, False])
    def test_scenario_36_a_run_goes_on_with_its_ledger(self, server: ResponsesServer, sender: Any, store: bool) -> None:
        """The connection is lost when the output of the call has been sent."""
        calls: list[str] = []

        @tool
        def note(text: str) -> str:
            calls.append(text)
            return "noted"

        server.on("call", FunctionCall("note", {"text": "x"}))
        server.fault(Fault(Close(1006, after=0), match=_is_answered, times=1))
        chat = Conversation(sender, model="m", tools=[note], store=store)
        talk(chat, "a")
        error = talk(chat, "call").error
        assert [record.output["output"] for record in error.calls] == ["noted"]
        assert len(chat.history) == 2
        turn = talk(chat, "call", ledger=error.ledger)
        assert turn.values[-1].type == "response.completed"
        assert calls == ["x"]
        assert texts(chat)[2:5] == ["call", "function_call", "function_call_output"]
        assert talk(chat, "b").values[-1].type == "response.completed"


def _is_answered(request: Request) -> bool:
    return bool(request.input[-1].get("output") == "noted")


FAULTS: list[Any] = [
    *(Close(1006, after=0), Close(1011, after=4), Expire(after=3)),
    *(Failure(after=2), Failure("invalid_prompt", after=0)),
]


@pytest.mark.parametrize("store", [True, False])
def test_a_conversation_survives_any_faults(server: ResponsesServer, sender: Any, store: bool) -> None:
    """A turn that failed is sent again, and the history is that of a conversation without faults."""
    server.on(lambda request: True, lambda request: f"to {text_of(request.input[-1])}")
    for number, what in enumerate(FAULTS):
        server.fault(Fault(what, probability=0.15, seed=number))
    chat = Conversation(sender, model="m", store=store)
    turns = max(10, examples(40))
    for number in range(turns):
        while talk(chat, f"turn {number}").types[-1:] != ["response.completed"]:
            assert len(chat.history) == 2 * number
        if number % 5 == 4:
            drop(server, sender)
    assert any(exchange.faults for exchange in server.exchanges)
    assert texts(chat) == [text for number in range(turns) for text in (f"turn {number}", f"to turn {number}")]


@pytest.mark.parametrize("store", [True, False])
def test_twenty_turns_send_what_is_new_and_hardly_a_byte_more(
    server: ResponsesServer, sender: Any, store: bool
) -> None:
    """The least possible: the fixed fields, the id of the response to continue, and the text that is new."""
    chat = Conversation(sender, **SETTINGS, store=store, include=["reasoning.encrypted_content"])
    least = 0
    ids: list[str] = []
    for number in range(20):
        text = f"{number}: hi" if number % 2 else f"{number}: {LONG}"
        fixed = {**SETTINGS, "store": store, "include": ["reasoning.encrypted_content"], "type": "response.create"}
        parent = {"previous_response_id": ids[-1]} if ids else {}
        least += len(json.dumps({**fixed, **parent, "input": text}, separators=(",", ":")))
        response = Recorder(chat.send(text).pipe(rops.final_response())).wait().values[0]
        ids.append(response.id)
    assert len(chat.history) == 40
    assert len(server.requests) == 20
    assert all(isinstance(request["input"], str) for request in server.requests)
    sent = sum(len(received.frame) for received in server.journal)
    lanes = sum(len(',"stream_id":""') + len(request.get("stream_id", "")) for request in server.requests)
    assert least <= sent <= least + lanes
    assert sent <= 1.1 * least


def test_the_input_items_of_tool_turns_are_linear_too(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    @tool
    def look(name: str) -> str:
        return name * 100

    server.on(
        lambda request: len(request.input) == 1 and request.input[0]["type"] == "message",
        FunctionCall("look", {"name": "x"}),
    )
    chat = Conversation(socket, **SETTINGS, tools=[look])
    for number in range(20):
        talk(chat, f"turn {number}")
    assert [len(request["input"]) for request in server.requests if isinstance(request["input"], list)] == [1] * 20
    assert len(server.requests) == 40
    assert len(chat.history) == 80
