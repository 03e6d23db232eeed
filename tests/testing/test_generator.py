"""What the events of a response look like, and what can happen to it on the way."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rxresponses.testing.replies import Close, Failure, FunctionCall, Gate, Hold, Part, Raw, Reasoning, Refusal, Text

from .peer import Event, Peer, text_of, types

OPENING = ["created", "in_progress"]
MESSAGE = ["output_item.added", "content_part.added", "output_text.delta", "output_text.done"]
MESSAGE += ["content_part.done", "output_item.done"]


def answer(*parts: Part, **body: Any) -> list[Event]:
    peer = Peer()
    peer.model.reply(parts)
    return peer.ask(**body)


def only(events: list[Event], kind: str) -> Event:
    (event,) = [event for event in events if event["type"] == f"response.{kind}"]
    return event


def test_a_text() -> None:
    events = answer(Text(deltas=["Hel", "lo"]))
    created, completed = events[0]["response"], events[-1]["response"]
    item_id = events[2]["item"]["id"]
    place = {"item_id": item_id, "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}
    item = {"id": item_id, "type": "message", "status": "completed", "role": "assistant", "content": [part]}

    assert [{key: value for key, value in event.items() if key != "sequence_number"} for event in events[1:-1]] == [
        {"type": "response.in_progress", "response": created},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**item, "status": "in_progress", "content": []},
        },
        {"type": "response.content_part.added", **place, "part": {**part, "text": ""}},
        {"type": "response.output_text.delta", **place, "delta": "Hel", "logprobs": []},
        {"type": "response.output_text.delta", **place, "delta": "lo", "logprobs": []},
        {"type": "response.output_text.done", **place, "text": "Hello", "logprobs": []},
        {"type": "response.content_part.done", **place, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
    ]
    assert created["status"] == "in_progress"
    assert created["output"] == []
    assert created["usage"] is None
    assert completed["output"] == [item]
    changed = {key for key in created if created[key] != completed[key]}
    assert changed == {"status", "output", "usage", "completed_at", "service_tier"}


def test_ids_look_like_those_of_the_service() -> None:
    events = answer(Reasoning("hm"), Text("a"), FunctionCall("f"))
    reasoning, message, call = events[-1]["response"]["output"]

    assert events[0]["response"]["id"].startswith("resp_")
    assert reasoning["id"].startswith("rs_")
    assert message["id"].startswith("msg_")
    assert call["id"].startswith("fc_")
    assert call["call_id"].startswith("call_")


def test_a_reasoning_summary() -> None:
    events = answer(Reasoning(["one two", "three"]), Text("x"))

    assert types(events)[2:12] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
    ]
    assert [event["summary_index"] for event in events if event["type"].endswith("summary_part.done")] == [0, 1]
    done = next(event for event in events if event["type"] == "response.output_item.done")
    assert [one["text"] for one in done["item"]["summary"]] == ["one two", "three"]
    assert "encrypted_content" not in done["item"]
    usage = events[-1]["response"]["usage"]
    assert usage["output_tokens"] == 4
    assert usage["output_tokens_details"] == {"reasoning_tokens": 3}
    assert only(events, "output_text.delta")["output_index"] == 1


def test_encrypted_reasoning_is_included_when_asked_for() -> None:
    events = answer(Reasoning("hm"), include=["reasoning.encrypted_content"])

    assert events[-1]["response"]["output"][0]["encrypted_content"]


@pytest.mark.parametrize("arguments", [{"city": "Paris", "days": [1, 2]}, '{"city":"Paris","days":[1,2]}'])
def test_a_function_call(arguments: Any) -> None:
    events = answer(FunctionCall("weather", arguments))
    added, done = only(events, "output_item.added")["item"], only(events, "output_item.done")["item"]
    deltas = [event["delta"] for event in events if event["type"] == "response.function_call_arguments.delta"]

    assert added == {**done, "status": "in_progress", "arguments": ""}
    assert done["name"] == "weather"
    assert json.loads(done["arguments"]) == {"city": "Paris", "days": [1, 2]}
    assert "".join(deltas) == done["arguments"]
    assert len(deltas) > 3
    arguments_done = only(events, "function_call_arguments.done")
    assert (arguments_done["arguments"], arguments_done["item_id"]) == (done["arguments"], done["id"])


def test_a_refusal() -> None:
    events = answer(Refusal("I cannot"))

    assert types(events)[3:8] == ["content_part.added", *["refusal.delta"] * 2, "refusal.done", "content_part.done"]
    assert events[-1]["response"]["output"][0]["content"] == [{"type": "refusal", "refusal": "I cannot"}]
    assert "logprobs" not in only(events, "refusal.done")


def test_the_response_repeats_its_request() -> None:
    body = {
        "model": "gpt-9",
        "instructions": "Be brief.",
        "max_output_tokens": 500,
        "metadata": {"a": "b"},
        "temperature": 0.2,
        "tools": [{"type": "function", "name": "f"}],
        "store": False,
        "text": {"verbosity": "low"},
        "conversation": "conv_1",
    }
    for event in (*answer(Text("x"), **body)[:2], answer(Text("x"), **body)[-1]):
        assert {key: event["response"][key] for key in body} == body
    plain = answer(Text("x"), instructions=None)[0]["response"]
    assert plain["temperature"] == 1.0
    assert plain["tool_choice"] == "auto"
    assert plain["created_at"] == 1_700_000_000
    assert "conversation" not in plain


def test_usage_counts_instructions() -> None:
    plain, instructed = answer(Text("x")), answer(Text("x"), instructions="be brief")

    counts = [events[-1]["response"]["usage"]["input_tokens"] for events in (plain, instructed)]
    assert counts[1] - counts[0] == 2


@pytest.mark.parametrize(
    ("limit", "text", "ending"), [(1, "a", "incomplete"), (2, "ab", "incomplete"), (3, "abc", "completed")]
)
def test_max_output_tokens(limit: int, text: str, ending: str) -> None:
    events = answer(Text(deltas=["a", "b", "c"]), max_output_tokens=limit)
    response = events[-1]["response"]

    assert types(events)[-1] == ending == response["status"]
    assert text_of(events) == text == response["output"][0]["content"][0]["text"]
    assert response["output"][0]["status"] == ending
    assert response["usage"]["output_tokens"] == limit
    assert (response["incomplete_details"] == {"reason": "max_output_tokens"}) == (ending == "incomplete")


def test_max_output_tokens_between_and_inside_items() -> None:
    parts = (Reasoning(["a b", "c"]), FunctionCall("f", '{"a":1}'), Text("x"))

    inside = answer(*parts, max_output_tokens=1)[-1]["response"]
    assert [item["type"] for item in inside["output"]] == ["reasoning"]
    assert inside["output"][0]["summary"] == [{"type": "summary_text", "text": "a"}]
    between = answer(*parts, max_output_tokens=3)[-1]["response"]
    assert [item["type"] for item in between["output"]] == ["reasoning"]
    assert between["incomplete_details"] == {"reason": "max_output_tokens"}
    call = answer(*parts, max_output_tokens=4)[-1]["response"]["output"][1]
    assert (call["status"], call["arguments"]) == ("incomplete", '{"')


# Interventions


def test_a_failure_on_the_way() -> None:
    failure = Failure("rate_limit_exceeded", "slow down", after=5, headers={"retry-after": "1"})
    events = answer(Text(deltas=["a", "b"]), failure)

    assert types(events) == [*OPENING, *MESSAGE[:3], "error", "failed"]
    assert events[5] == {
        "type": "error",
        "status": 429,
        "sequence_number": 5,
        "error": {
            "type": "rate_limit_error",
            "code": "rate_limit_exceeded",
            "message": "slow down",
            "param": None,
            "headers": {"retry-after": "1"},
        },
    }
    response = events[6]["response"]
    assert response["status"] == "failed"
    assert response["error"] == {"code": "rate_limit_exceeded", "message": "slow down"}
    assert response["usage"] is None
    assert response["id"] == events[0]["response"]["id"]


def test_a_failure_before_the_response_is_a_refusal() -> None:
    (error,) = answer(Failure("context_length_exceeded", "too long", after=0, param="input"), stream_id="a")

    assert error["stream_id"] == "a"
    assert "sequence_number" not in error
    assert (error["status"], error["error"]["param"]) == (400, "input")


def test_a_failure_behind_the_end_takes_the_place_of_the_end() -> None:
    assert types(answer(Text(deltas=["a"]), Failure(after=99))) == [*OPENING, *MESSAGE, "error", "failed"]
    peer = Peer()
    peer.model.reply([Raw([{"type": "response.created"}]), Failure(after=99)])
    assert types(peer.ask()) == ["created", "error", "failed"]


@pytest.mark.parametrize(("after", "sent"), [(0, 0), (3, 3), (9, 9), (10, 10), (99, 10)])
def test_closing_after_some_events(after: int, sent: int) -> None:
    peer = Peer()
    peer.model.reply([Text(deltas=["a", "b"]), Close(1011, "oops", after=after)])
    peer.create()
    assert len(peer.drain()) == sent
    assert peer.closed == Close(1011, "oops", after=after)


def test_closing_ends_all_lanes() -> None:
    peer = Peer()
    peer.model.reply([Text("a"), Close(after=3)])
    peer.create(stream_id="a")
    peer.create(stream_id="b")

    assert [event["stream_id"] for event in peer.drain()] == ["a", "b"] * 3
    assert peer.closed is not None


def test_holding_lets_other_lanes_pass() -> None:
    peer = Peer()
    first, second = Gate(), Gate()
    peer.model.reply([Text(deltas=["a"]), Hold(second, after=99), Hold(first, after=1)])
    peer.create(stream_id="a")
    assert types(peer.drain()) == ["created"]
    assert peer.session.due(peer.now) is None

    assert types(peer.ask(stream_id="b"))[-1] == "completed"
    first.open()
    assert peer.session.due(peer.now) == 0
    assert types(peer.drain()) == ["in_progress", *MESSAGE, "completed"]
    peer.create(stream_id="a")
    assert peer.drain() == []
    second.open()
    assert types(peer.drain())[0] == "created"


def test_raw_frames_are_the_whole_answer_or_a_part_of_it() -> None:
    peer = Peer()
    peer.model.reply(Raw(["broken {", b"\x00", {"type": "response.new"}]))
    peer.create(stream_id="a")
    frames = [frame for _ in range(3) for frame in peer.session.step(0.0)]
    assert frames == ["broken {", b"\x00", '{"type":"response.new"}']

    events = answer(Text(deltas=["a"]), Raw([{"type": "response.new"}]), Text(deltas=["b"]), stream_id="a")
    assert types(events) == [*OPENING, *MESSAGE, "new", *MESSAGE, "completed"]
    assert [event for event in events if "stream_id" not in event] == [{"type": "response.new"}]
    assert len(events[-1]["response"]["output"]) == 2
