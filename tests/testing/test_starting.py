"""How a response starts: its conversation, its reply, and why it is refused."""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn

import pytest

from rxresponses.testing.faults import Fault
from rxresponses.testing.outputs import FunctionCall
from rxresponses.testing.replies import Close
from rxresponses.testing.request import Request

from .peer import Peer, conversation, response_id, text_of, types

TOOLS = [{"type": "function", "name": "f"}, {"type": "function", "name": "g"}]


def test_a_continuation_has_the_whole_conversation() -> None:
    peer = Peer()
    peer.model.reply("one", "two", conversation)
    first = peer.ask(input="a")
    second = peer.ask(input=[{"role": "user", "content": "b"}], previous_response_id=response_id(first))
    third = peer.ask(input="c", previous_response_id=response_id(second))

    assert text_of(third) == "user: a\nassistant: one\nuser: b\nassistant: two\nuser: c"
    assert third[0]["response"]["previous_response_id"] == response_id(second)
    usage = [events[-1]["response"]["usage"] for events in (first, second, third)]
    assert [counts["input_tokens"] for counts in usage] == [1, 3, 5]
    assert [counts["input_tokens_details"]["cached_tokens"] for counts in usage] == [0, 2, 4]
    assert [counts["total_tokens"] - counts["output_tokens"] for counts in usage] == [1, 3, 5]


def test_a_request_without_a_parent_starts_a_conversation() -> None:
    peer = Peer()
    peer.model.on("", conversation)
    peer.ask(input="a", stream_id="main")

    assert text_of(peer.ask(input="b", stream_id="main")) == "user: b"


def test_a_continuation_must_have_the_outputs_of_all_calls() -> None:
    peer = Peer()
    peer.model.reply([FunctionCall("f", {"x": 1}), FunctionCall("g", call_id="call_g")])
    events = peer.ask(tools=TOOLS)
    first, second = (item["call_id"] for item in events[-1]["response"]["output"])
    assert second == "call_g"
    parent = response_id(events)
    outputs = [{"type": "function_call_output", "call_id": call_id, "output": call_id} for call_id in (first, second)]

    for given, missing in (([], first), (outputs[:1], second)):
        refused = peer.refused(previous_response_id=parent, input=given)
        assert refused["error"]["message"] == f"No tool output found for function call {missing}."
        assert refused["error"]["param"] == "input"
    answer = peer.ask(previous_response_id=parent, input=outputs)
    assert text_of(answer).endswith(f"returned: {first} and {second}")
    assert types(peer.ask(previous_response_id=response_id(answer)))[-1] == "completed"


def test_an_output_needs_its_call() -> None:
    output = {"type": "function_call_output", "call_id": "call_1", "output": "x"}
    call = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}

    refused = Peer().refused(input=[output])
    assert refused["error"]["message"] == "No tool call found for function call output with call_id call_1."
    assert types(Peer().ask(input=[call, output]))[-1] == "completed"


def test_a_warm_up_generates_nothing_and_can_be_continued() -> None:
    peer = Peer()
    peer.model.reply(conversation)
    warm = peer.ask(generate=False, input="a", tools=TOOLS)

    assert types(warm) == ["created", "in_progress", "completed"]
    assert warm[-1]["response"]["output"] == []
    assert warm[-1]["response"]["usage"]["output_tokens"] == 0
    assert text_of(peer.ask(input="b", previous_response_id=response_id(warm))) == "user: a\nuser: b"


def test_an_exception_of_a_reply_function_is_reported_to_the_client() -> None:
    peer = Peer()

    def broken(request: Request) -> Any:
        raise LookupError("no such answer")

    peer.model.reply(broken)
    refused = peer.refused()
    assert refused["status"] == 500
    assert refused["error"]["message"] == "The scripted model raised LookupError: no such answer"
    assert types(peer.ask())[-1] == "completed"


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


EXITS = [SystemExit(3), KeyboardInterrupt(), StopIteration(), GeneratorExit(), asyncio.CancelledError(), Unprintable()]


@pytest.mark.parametrize("error", EXITS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("place", ["reply", "match", "fault"])
def test_scenario_77_nothing_that_a_function_of_the_test_raises_stops_the_server(
    error: BaseException, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    peer = Peer(faults=[Fault(Close(), match=lambda request: raise_(error))] if place == "fault" else ())
    if place == "reply":
        peer.model.reply(lambda request: raise_(error))
    elif place == "match":
        peer.model.on(lambda request: raise_(error), "text")
    refused = peer.refused()
    assert (refused["status"], refused["error"]["type"]) == (500, "server_error")
    assert refused["error"]["message"].startswith(f"The scripted model raised {type(error).__name__}")
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    if place == "reply":
        assert types(peer.ask())[-1] == "completed"


def raise_(error: BaseException) -> NoReturn:
    raise error


def test_scenario_77_functions_that_lead_to_functions_for_ever_are_an_error() -> None:
    def again(request: Request) -> Any:
        return again

    peer = Peer()
    peer.model.reply(again)
    assert "to no reply" in peer.refused()["error"]["message"]
    assert types(peer.ask())[-1] == "completed"
