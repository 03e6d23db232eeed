"""The events of a response."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rxresponses.testing.outputs import FunctionCall, Reasoning, Refusal, Text

from .peer import Event, answer, text_of, types


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


def test_ids_have_the_prefixes_of_the_service() -> None:
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
    assert [part["text"] for part in done["item"]["summary"]] == ["one two", "three"]
    assert "encrypted_content" not in done["item"]
    usage = events[-1]["response"]["usage"]
    assert usage["output_tokens"] == 4
    assert usage["output_tokens_details"] == {"reasoning_tokens": 3}
    assert only(events, "output_text.delta")["output_index"] == 1


def test_encrypted_reasoning_is_included_on_request() -> None:
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


def test_a_response_repeats_its_request() -> None:
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
