"""How a response starts: its conversation, its reply, and why it is refused."""

from __future__ import annotations

from typing import Any

from rxresponses.testing.replies import FunctionCall
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
