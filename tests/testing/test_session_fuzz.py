"""Whatever a client sends: each frame is answered with the protocol's events, and the session goes on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxresponses.testing import session
from rxresponses.testing.checks import _FIELDS
from rxresponses.testing.outputs import FunctionCall, Text

from .peer import TOOLS, Event, Peer, response_id

# Words that mean something somewhere, so that the values come further than to the first check.
WORDS = ["", "text", "type", "name", "function", "f", "g", "none", "auto", "required", "allowed_tools", "message"]
WORDS += ["json_schema", "json_object", "reasoning", "function_call", "function_call_output", "user", "call_1"]
WORDS += ["\ud83c", "a" * 3_000]
KEYS = ["type", "name", "role", "content", "text", "summary", "format", "schema", "tools", "mode", "call_id", "output"]
KEYS += ["arguments", "id", "status", "parameters", "refusal", "input"]
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 3),
    st.sampled_from([10**400, -(2**63), 2.0, 0.5, 1e308, -1e308]),
    st.sampled_from(WORDS),
    st.text(max_size=5),
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=2), inner, max_size=4)
    ),
    max_leaves=12,
)
VALID: dict[str, Any] = {
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "function_call", "name": "f", "call_id": "call_1", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "21"},
        {"type": "shell_call", "call_id": "call_2", "action": {"commands": ["ls"]}},
        {
            "type": "shell_call_output",
            "call_id": "call_2",
            "output": [{"stdout": "", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}],
        },
        {"type": "custom_tool_call", "call_id": "call_3", "name": "sql", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "call_3", "output": [{"type": "input_text", "text": "x"}]},
        {"role": "user", "content": [{"type": "input_image", "image_url": "https://example.com/a.png"}]},
        {"role": "user", "content": [{"type": "input_file", "filename": "a", "file_data": "data:a/b;base64,AAAA"}]},
    ],
    "tools": [
        *TOOLS,
        {
            "type": "function",
            "name": "h",
            "strict": True,
            "parameters": {
                "type": "object",
                "properties": {
                    "a": {"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/b"}}, {"type": "null"}]},
                    "c": {"type": ["string", "null"], "enum": ["x", None]},
                },
                "required": ["a", "c"],
                "additionalProperties": False,
                "$defs": {"b": {"type": "string", "format": "date"}},
            },
        },
        {"type": "custom", "name": "sql"},
        {"type": "mcp", "server_label": "s", "server_url": "https://example.com"},
        {"type": "namespace", "name": "n", "description": "d", "tools": [{"type": "function", "name": "f"}]},
    ],
    "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object", "properties": {}}}},
    "reasoning": {"effort": "low", "summary": "auto"},
    "include": ["reasoning.encrypted_content"],
    "metadata": {"a": "b"},
    "max_output_tokens": 20,
}


@st.composite
def changed(draw: st.DrawFn, value: Any) -> Any:
    """A value in which one part, at any depth, is something else."""
    if draw(st.integers(0, 3)) == 0 or not isinstance(value, (dict, list)) or not value:
        return draw(values)
    if isinstance(value, list):
        index = draw(st.integers(0, len(value) - 1))
        return [*value[:index], draw(changed(value[index])), *value[index + 1 :]]
    key = draw(st.sampled_from(sorted(value)))
    if draw(st.integers(0, 5)) == 0:
        return {name: part for name, part in value.items() if name != key}
    return {**value, key: draw(changed(value[key]))}


requests = st.one_of(
    changed(VALID),
    st.tuples(st.sampled_from([*sorted(_FIELDS), "stream_id"]), values).map(
        lambda field: {**VALID, field[0]: field[1]}
    ),
    st.dictionaries(st.sampled_from(sorted(_FIELDS)), values, max_size=5),
)


def check_events(events: list[Event]) -> None:
    """Each answer is one `error`, or a response from `created` to a terminal event; no error is the server's own."""
    assert events
    types = [event["type"] for event in events]
    errors = [event["error"] for event in events if event["type"] == "error"]
    for error in errors:
        assert error["type"] == "invalid_request_error"
        assert len(error["message"]) < 3_000
    if not errors:
        assert types[0] in ("response.created", "response.steer.failed")
        assert types[-1] in ("response.completed", "response.incomplete", "response.steer.failed")


def test_the_unchanged_request_is_valid() -> None:
    assert Peer().ask(**VALID)[-1]["type"] == "response.completed"


@given(body=requests, checks=st.booleans())
def test_scenario_77_any_value_in_any_field_of_a_request(body: Any, checks: bool) -> None:
    peer = Peer(checks=checks)
    fields = body if isinstance(body, dict) else {"input": body}
    peer.send(json.dumps({"type": "response.create", "model": "m", **fields}))
    check_events(peer.drain())
    assert peer.ask()[-1]["type"] == "response.completed"


steers = st.fixed_dictionaries(
    {"type": st.just("response.steer")},
    optional={"previous_response_id": values, "input": changed(VALID["input"]), "stream_id": values},
)


@given(message=steers, known=st.booleans())
def test_scenario_77_any_value_in_any_field_of_a_steer(message: Any, known: bool) -> None:
    peer = Peer()
    peer.model.reply([Text("a b c"), FunctionCall("f", call_id="call_1")])
    peer.create()
    (created,) = peer.step()
    if known:
        message["previous_response_id"] = created["response"]["id"]
    peer.send(json.dumps(message))
    events = peer.drain()
    answers = ("error", "response.steer.accepted", "response.steer.failed")
    assert [event["type"] for event in events if event["type"] in answers]
    assert any(event["type"] in ("response.completed", "response.incomplete") for event in events)
    assert peer.ask(stream_id="next")[-1]["type"] == "response.completed"


@given(
    frame=st.one_of(st.text(), st.binary(), values.map(json.dumps), values.map(lambda value: json.dumps(value)[:-1]))
)
def test_scenario_77_any_frame(frame: str | bytes) -> None:
    peer = Peer()
    peer.send(frame)
    (error,) = peer.drain()
    assert (error["type"], error["status"]) == ("error", 400)
    assert peer.ask()[-1]["type"] == "response.completed"


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"tool_choice": "f"}, "invalid_value", "tool_choice"),
        ({"tool_choice": {}}, "missing_required_parameter", "tool_choice.type"),
        ({"tool_choice": {"type": ["function"]}}, "invalid_type", "tool_choice.type"),
        ({"tool_choice": {"type": "function"}}, "missing_required_parameter", "tool_choice.name"),
        ({"tool_choice": {"type": "function", "name": {}}}, "invalid_type", "tool_choice.name"),
        ({"tool_choice": {"type": "allowed_tools"}}, "missing_required_parameter", "tool_choice.mode"),
        ({"tool_choice": {"type": "allowed_tools", "mode": "none"}}, "invalid_value", "tool_choice.mode"),
        ({"tool_choice": {"type": "allowed_tools", "mode": "auto"}}, "missing_required_parameter", "tool_choice.tools"),
        (
            {"tool_choice": {"type": "allowed_tools", "mode": "required", "tools": ["f"]}},
            "invalid_type",
            "tool_choice.tools[0]",
        ),
        (
            {"tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"name": ["f"]}]}},
            "invalid_type",
            "tool_choice.tools[0].name",
        ),
        ({"tools": [{"type": "function", "name": "f", "parameters": []}]}, "invalid_type", "tools[0].parameters"),
        ({"text": {"format": {}}}, "missing_required_parameter", "text.format.type"),
        ({"text": {"format": {"type": "xml"}}}, "invalid_value", "text.format.type"),
    ],
)
def test_scenario_77_odd_values_are_refused_with_their_field(body: dict[str, Any], code: str, param: str) -> None:
    error = Peer().refused(**{"tools": TOOLS, **body})["error"]
    assert (error["code"], error["param"]) == (code, param)


def test_scenario_77_a_tool_without_a_name_is_not_the_function_that_is_chosen() -> None:
    error = Peer().refused(tools=[{"type": "web_search"}], tool_choice={"type": "function", "name": "f"})["error"]
    assert "not found in 'tools'" in error["message"]


@pytest.mark.parametrize("depth", [150, 201, 5_000])
def test_scenario_77_nested_summaries(depth: int) -> None:
    """Neither the stack of Python nor that of the JSON codecs overflows."""
    nested = "[" * depth + '"deep"' + "]" * depth
    for body in (
        f'"input": [{{"type": "reasoning", "summary": {nested}}}]',
        f'"input": "", "reasoning": {{"summary": {nested}}}',
    ):
        peer = Peer(checks=False)
        peer.send(f'{{"type": "response.create", "model": "m", {body}}}')
        events = peer.drain()
        if depth < 200:
            assert events[-1]["type"] == "response.completed"
        else:
            assert [event["error"]["code"] for event in events] == ["invalid_json"]
            assert "nested" in events[0]["error"]["message"]


def test_scenario_77_the_memory_for_a_message_is_a_small_multiple_of_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_MOST_CONTAINERS", 1_000)
    peer = Peer(checks=False)
    for count in (900, 1_100):
        arrays = ",".join(["[]"] * count)
        peer.send(f'{{"type": "response.create", "model": "m", "input": "", "metadata": {{"a": [{arrays}]}}}}')
        events = peer.drain()
        assert (events[-1]["type"] == "error") == (count > 1_000)
    assert events[0]["error"]["code"] == "invalid_json"


@pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 5_000])
def test_scenario_77_a_number_out_of_range_is_refused(number: str) -> None:
    peer = Peer()
    peer.send(f'{{"type": "response.create", "model": "m", "input": "", "metadata": {{"n": {number}}}}}')
    (error,) = peer.drain()
    assert error["error"]["code"] == "invalid_json"


@pytest.mark.parametrize("field", ["previous_response_id", "stream_id", "type", "tool_choice"])
def test_scenario_69_an_id_of_10_mb_is_not_repeated_in_the_error(field: str) -> None:
    peer = Peer()
    peer.send(json.dumps({"type": "response.create", "model": "m", "input": "", field: "x" * 10_000_000}))
    (error,) = peer.drain()
    assert len(error["error"]["message"]) < 3_000
    peer.steer("resp_1", **{"x" * 10_000_000: 1})
    peer.send(
        json.dumps(
            {"type": "response.steer", "previous_response_id": response_id(peer.ask()), "x" * 5_000: 1, "input": ""}
        )
    )
    assert max(len(event["error"]["message"]) for event in peer.drain()) < 3_000
