"""The events of each output that a reply can have, and of its settings."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rxresponses.testing.outputs import (
    ApplyPatchCall,
    CustomToolCall,
    FunctionCall,
    Interleaved,
    Item,
    Json,
    LocalShellCall,
    McpApprovalRequest,
    Raw,
    Reasoning,
    ShellCall,
    Text,
    has_calls,
)
from rxresponses.testing.replies import Close, Delay, Failure, Gate, Hold, Incomplete, Pace, Usage

from .peer import Event, Peer, answer, text_of, types


def done(events: list[Event]) -> dict[str, Any]:
    """Return the only item of a response, and check that the terminal event has it."""
    (item,) = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert events[-1]["response"]["output"] == [item]
    return dict(item)


def deltas(events: list[Event]) -> str:
    return "".join(event["delta"] for event in events if event["type"].endswith(".delta"))


def test_a_phase() -> None:
    events = answer(Text("hm", phase="commentary"), Text("x", phase="final_answer"))
    commentary, final = events[-1]["response"]["output"]

    assert (commentary["phase"], final["phase"]) == ("commentary", "final_answer")
    assert "phase" not in done(answer("x"))


def test_a_structured_value() -> None:
    events = answer(Json({"city": "Paris", "degrees": [20, None]}))

    assert json.loads(text_of(events)) == {"city": "Paris", "degrees": [20, None]}
    assert done(events)["content"][0]["text"] == text_of(events)


def test_reasoning_with_its_text_and_encrypted_content() -> None:
    item = Reasoning(["a", "b"], text="because", encrypted_content="secret")
    events = answer(item, include=["reasoning.encrypted_content"])

    assert types(events)[2:7] == [
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
    ]
    got = done(events)
    assert got["content"] == [{"type": "reasoning_text", "text": "because"}]
    assert [part["text"] for part in got["summary"]] == ["a", "b"]
    assert got["encrypted_content"] == "secret"
    assert done(answer(item)).keys() == {"id", "type", "summary", "content"}


def test_reasoning_is_cut_by_the_limit_before_its_next_part() -> None:
    cut = answer(Reasoning(["a"] * 30), max_output_tokens=16)[-1]["response"]

    assert cut["status"] == "incomplete"
    assert len(cut["output"][0]["summary"]) == 17  # the last one is empty


def test_a_custom_tool_call() -> None:
    events = answer(CustomToolCall("sql", "SELECT 1", "call_1"))

    assert types(events)[2:] == [
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
        "completed",
    ]
    item = done(events)
    assert item.pop("id").startswith("ctc_")
    assert item == {
        "type": "custom_tool_call",
        "status": "completed",
        "input": "SELECT 1",
        "call_id": "call_1",
        "name": "sql",
    }


def test_an_mcp_approval_request() -> None:
    item = done(answer(McpApprovalRequest("files", "delete", {"path": "a"}, "mcpr_1")))

    assert item == {
        "id": "mcpr_1",
        "type": "mcp_approval_request",
        "arguments": '{"path":"a"}',
        "name": "delete",
        "server_label": "files",
    }


def test_a_shell_call() -> None:
    events = answer(ShellCall(["ls -a", "pwd"], timeout_ms=10))

    assert [event["command"] for event in events if event["type"].endswith("command.done")] == ["ls -a", "pwd"]
    assert deltas(events) == "ls -apwd"
    added = next(event["item"] for event in events if event["type"] == "response.output_item.added")
    assert added["action"] == {"commands": [], "max_output_length": None, "timeout_ms": 10}
    item = done(events)
    assert item["action"] == {"commands": ["ls -a", "pwd"], "max_output_length": None, "timeout_ms": 10}
    assert (item["type"], item["status"]) == ("shell_call", "completed")
    assert item["call_id"].startswith("call_")


def test_a_local_shell_call() -> None:
    events = answer(LocalShellCall(["ls"], {"A": "b"}, user="me", call_id="c"))

    assert types(events)[2:4] == ["output_item.added", "output_item.done"]
    assert events[2]["item"]["status"] == "in_progress"
    item = done(events)
    assert item["action"] == {"type": "exec", "command": ["ls"], "env": {"A": "b"}, "user": "me"}
    assert (item["type"], item["status"], item["call_id"]) == ("local_shell_call", "completed", "c")


def test_an_apply_patch_call() -> None:
    events = answer(ApplyPatchCall("update_file", "a.py", "@@\n-a\n+b", "c"))

    assert types(events)[2] == "output_item.added"
    assert events[2]["item"]["operation"] == {"type": "update_file", "path": "a.py", "diff": ""}
    assert deltas(events) == "@@\n-a\n+b"
    item = done(events)
    assert item["operation"] == {"type": "update_file", "path": "a.py", "diff": "@@\n-a\n+b"}
    deleted = done(answer(ApplyPatchCall("delete_file", "a.py")))
    assert deleted["operation"] == {"type": "delete_file", "path": "a.py"}
    assert deleted["call_id"].startswith("call_")


def test_any_other_item() -> None:
    item = done(answer(Item({"type": "web_search_call", "status": "completed"})))

    assert item.pop("id").startswith("item_")
    assert item == {"type": "web_search_call", "status": "completed"}
    assert done(answer(Item({"type": "new", "id": "x"})))["id"] == "x"


def test_interleaved_calls() -> None:
    one, two = FunctionCall("one", '{"a": 1}'), FunctionCall("two", "{}")
    events = answer(Interleaved([one, "text", two]))

    indexes = [event["output_index"] for event in events if "output_index" in event]
    assert indexes[:6] == [0, 1, 2, 0, 1, 2]
    arguments: dict[int, str] = {}
    for event in events:
        if event["type"].endswith("arguments.delta"):
            arguments[event["output_index"]] = arguments.get(event["output_index"], "") + event["delta"]
    assert arguments == {0: '{"a": 1}', 2: "{}"}
    assert [item.get("name") for item in events[-1]["response"]["output"]] == ["one", None, "two"]


def test_which_outputs_are_calls() -> None:
    assert has_calls(ShellCall(["ls"]))
    assert has_calls(Interleaved(["text", CustomToolCall("f")]))
    assert not has_calls(Interleaved(["text"]))
    assert not has_calls(Text())


# Settings


def test_usage() -> None:
    usage = answer("one two", Usage(input_tokens=1000, cached_tokens=900, reasoning_tokens=7))[-1]["response"]["usage"]

    assert usage == {
        "input_tokens": 1000,
        "input_tokens_details": {"cached_tokens": 900, "cache_write_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 7},
        "total_tokens": 1002,
    }


@pytest.mark.parametrize("reason", ["max_output_tokens", "content_filter"])
def test_an_incomplete_response(reason: str) -> None:
    response = answer("whole", FunctionCall("f", '{"a": '), Incomplete(reason))[-1]

    assert response["type"] == "response.incomplete"
    assert response["response"]["incomplete_details"] == {"reason": reason}
    assert [item["status"] for item in response["response"]["output"]] == ["completed", "incomplete"]


def test_a_pace() -> None:
    peer = Peer(event_interval=100.0)
    peer.model.reply(["x", Pace(2.0)])
    peer.create()
    (created,) = peer.drain()
    assert peer.session.due(peer.now) == 2.0
    assert created["type"] == "response.created"


def test_settings_alone_are_about_the_default_answer() -> None:
    events = answer(Incomplete(), Usage(input_tokens=5))

    assert "not a model" in text_of(events)
    assert events[-1]["response"]["usage"]["input_tokens"] == 5


# Interventions at their place


def test_an_intervention_between_two_outputs() -> None:
    peer, gate = Peer(), Gate()
    peer.model.reply([FunctionCall("one"), Hold(gate, after="here"), FunctionCall("two"), Incomplete()])

    assert types(peer.ask())[-1] == "output_item.done"
    gate.open()
    rest = peer.drain()
    assert types(rest)[0] == "output_item.added"
    assert [item["status"] for item in rest[-1]["response"]["output"]] == ["completed", "incomplete"]


def test_a_failure_between_two_outputs() -> None:
    assert types(answer("a", Failure(after="here"), "b"))[-3:] == ["output_item.done", "error", "failed"]


def test_interventions_alone_follow_the_default_answer() -> None:
    peer = Peer()
    peer.model.reply(Close(1011, after="here"))

    assert types(peer.ask())[-1] == "output_item.done"
    assert peer.closed == Close(1011, after="here")


def test_interventions_between_raw_frames() -> None:
    peer = Peer()
    peer.model.reply([Raw([{"type": "a"}]), Delay(1, after="here"), Raw([{"type": "b"}])])

    assert types(peer.ask()) == ["a"]
    peer.now = 1.0
    assert types(peer.drain()) == ["b"]
