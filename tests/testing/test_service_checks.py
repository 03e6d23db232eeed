"""Which requests are refused as the service refuses them, and accepted by a lenient server."""

from __future__ import annotations

from typing import Any

import pytest

from rxresponses.testing.history import StoredResponses
from rxresponses.testing.outputs import CustomToolCall, FunctionCall, Reasoning
from rxresponses.testing.request import Request
from rxresponses.testing.service_checks import check_conversation

from .peer import Peer, response_id, types, user
from .test_schema_checks import closed

FUNCTION = {"type": "function", "name": "f"}
STRICT = {**FUNCTION, "strict": True, "parameters": closed(a={"type": "string"})}
FORMAT = {"type": "json_schema", "name": "answer", "schema": closed(a={"type": "string"}), "strict": True}
IMAGE = {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "low"}
FILE = {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0x"}
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "x"}
SHELL = {"type": "shell_call", "call_id": "c", "action": {"commands": ["ls"]}}
STDOUT = {"stdout": "a", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}
PATCH = {"type": "apply_patch_call", "call_id": "c", "operation": {"type": "delete_file", "path": "a"}}
CUSTOM = {"type": "custom_tool_call", "call_id": "c", "name": "sql", "input": "SELECT 1"}
APPROVAL = {"type": "mcp_approval_request", "id": "m", "name": "f", "arguments": "{}", "server_label": "s"}
APPROVED = {"type": "mcp_approval_response", "approval_request_id": "m", "approve": True}
ALLOWED_G = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "g"}]}
REASONING = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "e"}
SAID = {"type": "message", "id": "msg_1", "role": "assistant", "content": "x"}


def said(*parts: Any, role: str = "user") -> dict[str, Any]:
    return {"input": [{"role": role, "content": list(parts)}]}


def with_output(item: dict[str, Any], call: dict[str, Any] = CALL) -> dict[str, Any]:
    return {"input": [call, item]}


@pytest.mark.parametrize(
    "fields",
    [
        {"include": ["reasoning.encrypted_content"], "metadata": {"a" * 64: "b" * 512}, "max_output_tokens": 16},
        {"service_tier": "flex", "truncation": "auto", "reasoning": {"effort": "high", "summary": "auto"}},
        {"stream": True, "generate": True, "prompt_cache_key": "k", "stream_options": {"include_obfuscation": False}},
        {"tools": [STRICT, {"type": "custom", "name": "sql"}, {"type": "web_search"}, {**FUNCTION, "name": "g"}]},
        {"tools": [{**FUNCTION, "parameters": None, "strict": None, "description": "x"}]},
        {"tools": [{"type": "mcp", "server_label": "s", "connector_id": "c"}]},
        {"tools": [{"type": "namespace", "name": "n", "description": "d", "tools": [FUNCTION]}]},
        {"tools": [{"type": "custom", "name": "sql"}], "tool_choice": {"type": "custom", "name": "sql"}},
        {
            "tools": [{"type": "mcp", "server_label": "s", "server_url": "https://example.com"}],
            "tool_choice": {"type": "mcp", "server_label": "s"},
        },
        {"tools": [FUNCTION], "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [FUNCTION]}},
        {"text": {"format": FORMAT, "verbosity": "low"}},
        {"text": {"format": {"type": "json_object"}}, "input": "Answer in JSON."},
        {"text": {"format": {"type": "json_object"}}, "instructions": "Answer in JSON."},
        {"text": {"format": {"type": "text"}}},
        said(
            {"type": "input_text", "text": "x"},
            IMAGE,
            FILE,
            {"type": "input_file", "file_id": "f"},
            {"type": "input_audio"},
        ),
        said({"type": "input_image", "image_url": "data:image/png;base64,AAAA"}, role="system"),
        said({"type": "output_text", "text": "x"}, {"type": "refusal", "refusal": "no"}, role="assistant"),
        {"input": [{"type": "message", "role": "assistant", "content": "x", "phase": "commentary"}]},
        with_output(OUTPUT),
        with_output({**OUTPUT, "output": [{"type": "input_text", "text": "x"}, IMAGE, FILE]}),
        with_output({"type": "custom_tool_call_output", "call_id": "c", "output": "x"}, CUSTOM),
        with_output({"type": "shell_call_output", "call_id": "c", "output": [STDOUT]}, SHELL),
        with_output(
            {"type": "shell_call_output", "call_id": "c", "output": [{**STDOUT, "outcome": {"type": "timeout"}}]}, SHELL
        ),
        with_output({"type": "apply_patch_call_output", "call_id": "c", "status": "failed", "output": "no"}, PATCH),
        with_output(APPROVED, APPROVAL),
        {"input": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "x"}]}]},
        {"input": [REASONING, SAID]},
        {"input": [REASONING, CALL, OUTPUT]},
        {"input": [{"type": "web_search_call", "id": "ws", "status": "completed"}]},
    ],
)
def test_valid_requests_pass(fields: dict[str, Any]) -> None:
    assert types(Peer().ask(**fields))[-1] == "completed"


REFUSED: list[tuple[dict[str, Any], str | None, str | None]] = [
    ({"temprature": 1}, "unknown_parameter", "temprature"),
    ({"max_output_tokens": 15}, "integer_below_min_value", "max_output_tokens"),
    ({"include": ["reasoning"]}, "invalid_value", "include[0]"),
    ({"include": [{}]}, "invalid_value", "include[0]"),
    ({"service_tier": "fastest"}, "invalid_value", "service_tier"),
    ({"truncation": "middle"}, "invalid_value", "truncation"),
    ({"reasoning": {"effort": "most"}}, "invalid_value", "reasoning.effort"),
    ({"reasoning": {"summary": []}}, "invalid_value", "reasoning.summary"),
    ({"reasoning": {"efort": "low"}}, "unknown_parameter", "reasoning.efort"),
    ({"metadata": {str(n): "x" for n in range(17)}}, "object_above_max_properties", "metadata"),
    ({"metadata": {"a" * 65: "x"}}, "string_above_max_length", "metadata"),
    ({"metadata": {"a": "x" * 513}}, "string_above_max_length", "metadata.a"),
    ({"metadata": {"a": 5}}, "invalid_type", "metadata.a"),
    ({"metadata": {"a": None}}, "invalid_type", "metadata.a"),
    # Tools
    ({"tools": [{"type": "functions"}]}, "invalid_value", "tools[0].type"),
    ({"tools": [{**FUNCTION, "name": "get weather"}]}, "invalid_value", "tools[0].name"),
    ({"tools": [{**FUNCTION, "name": "f\n"}]}, "invalid_value", "tools[0].name"),
    ({"tools": [{**FUNCTION, "name": "f" * 65}]}, "string_above_max_length", "tools[0].name"),
    ({"tools": [{**FUNCTION, "name": ""}]}, "empty_string", "tools[0].name"),
    ({"tools": [FUNCTION, {"type": "custom", "name": "f"}]}, "invalid_value", "tools[1].name"),
    ({"tools": [{**FUNCTION, "paramters": {}}]}, "unknown_parameter", "tools[0].paramters"),
    ({"tools": [{**FUNCTION, "strict": "yes"}]}, "invalid_type", "tools[0].strict"),
    ({"tools": [{**FUNCTION, "description": 5}]}, "invalid_type", "tools[0].description"),
    ({"tools": [{**FUNCTION, "parameters": {}}]}, "invalid_function_parameters", "tools[0].parameters"),
    (
        {"tools": [{**STRICT, "parameters": {"type": "object"}}]},
        "invalid_function_parameters",
        "tools[0].parameters",
    ),
    ({"tools": [{"type": "custom"}]}, "missing_required_parameter", "tools[0].name"),
    ({"tools": [{"type": "custom", "name": "a b"}]}, "invalid_value", "tools[0].name"),
    ({"tools": [{"type": "mcp"}]}, "missing_required_parameter", "tools[0].server_label"),
    ({"tools": [{"type": "mcp", "server_label": "s"}]}, "missing_required_parameter", "tools[0]"),
    ({"tools": [{"type": "file_search"}]}, "missing_required_parameter", "tools[0].vector_store_ids"),
    ({"tools": [{"type": "namespace", "tools": [{"type": "mcp"}]}]}, "invalid_value", "tools[0].tools[0].type"),
    ({"tools": [FUNCTION], "tool_choice": {"type": "custom", "name": "f"}}, None, "tool_choice"),
    ({"tools": [FUNCTION], "tool_choice": {"type": "web_search"}}, None, "tool_choice"),
    (
        {
            "tools": [FUNCTION],
            "tool_choice": ALLOWED_G,
        },
        None,
        "tool_choice",
    ),
    (
        {"tools": [FUNCTION], "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"name": "f"}]}},
        "missing_required_parameter",
        "tool_choice.tools[0].type",
    ),
    ({"tool_choice": {"type": "mcp"}}, "missing_required_parameter", "tool_choice.server_label"),
    # Formats
    ({"text": {"formt": {}}}, "unknown_parameter", "text.formt"),
    ({"text": {"verbosity": "loud"}}, "invalid_value", "text.verbosity"),
    ({"text": {"format": {**FORMAT, "name": "my answer"}}}, "invalid_value", "text.format.name"),
    ({"text": {"format": {**FORMAT, "strct": True}}}, "unknown_parameter", "text.format.strct"),
    ({"text": {"format": {**FORMAT, "strict": "yes"}}}, "invalid_type", "text.format.strict"),
    ({"text": {"format": {**FORMAT, "schema": {"type": "object"}}}}, "invalid_json_schema", "text.format.schema"),
    ({"text": {"format": {"type": "text", "name": "x"}}}, "unknown_parameter", "text.format.name"),
    ({"text": {"format": {"type": "json_object"}}}, None, "input"),
    # Items
    ({"input": [{"type": "mesage"}]}, "invalid_value", "input[0].type"),
    (said({"type": "text", "text": "x"}), "invalid_value", "input[0].content[0].type"),
    (said({"type": "input_text", "text": "x"}, role="assistant"), "invalid_value", "input[0].content[0].type"),
    (said({"text": "x"}), "missing_required_parameter", "input[0].content[0].type"),
    (said({"type": "input_text"}), "missing_required_parameter", "input[0].content[0].text"),
    (said({"type": "refusal"}, role="assistant"), "missing_required_parameter", "input[0].content[0].refusal"),
    (said({"type": "input_image"}), "missing_required_parameter", "input[0].content[0]"),
    (said({**IMAGE, "file_id": "f"}), "mutually_exclusive_parameters", "input[0].content[0]"),
    (said({**IMAGE, "image_url": {"url": "x"}}), "invalid_type", "input[0].content[0].image_url"),
    (said({**IMAGE, "image_url": "a.png"}), "invalid_value", "input[0].content[0].image_url"),
    (said({**IMAGE, "detail": "huge"}), "invalid_value", "input[0].content[0].detail"),
    (said({**FILE, "file_data": "JVBERi0x"}), "invalid_value", "input[0].content[0].file_data"),
    (said({**FILE, "filename": None}), "missing_required_parameter", "input[0].content[0].filename"),
    (said({"type": "input_file", "file_id": 5}), "invalid_type", "input[0].content[0].file_id"),
    ({"input": [{"role": "assistant", "content": "x", "phase": "final"}]}, "invalid_value", "input[0].phase"),
    ({"input": [{**CALL, "arguments": {}}]}, "invalid_type", "input[0].arguments"),
    ({"input": [{**CALL, "name": "a b"}]}, "invalid_value", "input[0].name"),
    ({"input": [{**CALL, "call_id": "c" * 65}]}, "string_above_max_length", "input[0].call_id"),
    ({"input": [{**CALL, "call_id": ""}]}, "empty_string", "input[0].call_id"),
    (
        with_output({**OUTPUT, "output": [{"type": "output_text", "text": "x"}]}),
        "invalid_value",
        "input[1].output[0].type",
    ),
    (
        with_output({"type": "apply_patch_call_output", "call_id": "c", "status": "done"}, PATCH),
        "invalid_value",
        "input[1].status",
    ),
    (
        with_output({"type": "shell_call_output", "call_id": "c", "output": "x"}, SHELL),
        "invalid_type",
        "input[1].output",
    ),
    (
        with_output({"type": "shell_call_output", "call_id": "c", "output": [{"stdout": "", "stderr": ""}]}, SHELL),
        "missing_required_parameter",
        "input[1].output[0].outcome",
    ),
    (
        with_output(
            {"type": "shell_call_output", "call_id": "c", "output": [{**STDOUT, "outcome": {"type": "exit"}}]}, SHELL
        ),
        "missing_required_parameter",
        "input[1].output[0].outcome.exit_code",
    ),
    (with_output({**APPROVED, "approve": "yes"}, APPROVAL), "invalid_type", "input[1].approve"),
    ({"input": [{"type": "reasoning", "summary": ["x"]}]}, "invalid_type", "input[0].summary[0]"),
    ({"input": [{"type": "reasoning", "summary": [{}]}]}, "invalid_value", "input[0].summary[0].type"),
    # The conversation
    ({"input": [OUTPUT]}, None, "input"),
    ({"input": [{"type": "custom_tool_call_output", "call_id": "c", "output": "x"}]}, None, "input"),
    ({"input": [CALL]}, None, "input"),
    ({"input": [{"type": "item_reference", "id": "msg_1"}]}, None, "input"),
    ({"input": [{"type": "reasoning", "id": "rs_1", "summary": []}]}, None, "input"),
    ({"input": [REASONING]}, None, "input"),
    ({"input": [REASONING, user("x")]}, None, "input"),
    ({"input": [SAID, user("x"), SAID]}, None, "input"),
]


@pytest.mark.parametrize(("fields", "code", "param"), REFUSED)
def test_an_invalid_request_is_refused_with_the_field(
    fields: dict[str, Any], code: str | None, param: str | None
) -> None:
    error = Peer().refused(**fields)["error"]

    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, param)


@pytest.mark.parametrize(("fields", "code", "param"), REFUSED)
def test_a_lenient_server_accepts_it(fields: dict[str, Any], code: str | None, param: str | None) -> None:
    peer = Peer(checks=False)
    peer.model.reply("fine")

    events = peer.ask(**fields)
    assert events[-1]["type"] == "response.completed"


def test_a_misspelt_field_is_answered_with_the_right_one() -> None:
    assert "Did you mean 'temperature'?" in Peer().refused(temprature=1)["error"]["message"]
    assert Peer().refused(xyz=1)["error"]["message"] == "Unknown parameter: 'xyz'."


def test_a_wrong_schema_is_told_with_its_place() -> None:
    parameters = closed(a={"type": "object", "properties": {}})
    message = Peer().refused(tools=[{**STRICT, "parameters": parameters}])["error"]["message"]

    assert message.startswith("Invalid schema for function 'f': In context=('properties', 'a'), 'additionalProperties'")


def test_reasoning_needs_its_encrypted_content_or_a_stored_response() -> None:
    peer = Peer()
    peer.model.reply([Reasoning("hm"), "x"], [Reasoning("hm"), "x"], [Reasoning("hm"), "x"])
    stored = peer.ask()[-1]["response"]["output"]
    lost = peer.ask(store=False)[-1]["response"]["output"]
    encrypted = peer.ask(store=False, include=["reasoning.encrypted_content"])[-1]["response"]["output"]

    assert types(peer.ask(input=[user("a"), *stored, user("b")]))[-1] == "completed"
    assert types(peer.ask(input=[user("a"), *encrypted, user("b")]))[-1] == "completed"
    refused = peer.refused(input=[user("a"), *lost, user("b")])
    assert refused["status"] == 404
    assert f"Item with id '{lost[0]['id']}' not found" in refused["error"]["message"]


def test_an_item_of_the_history_is_not_sent_again() -> None:
    peer = Peer()
    answer = peer.ask()[-1]["response"]
    again = peer.refused(previous_response_id=answer["id"], input=[*answer["output"], user("more")])

    assert again["error"]["message"].startswith(f"Duplicate item found with id {answer['output'][0]['id']}.")


def test_every_output_needs_its_call() -> None:
    peer = Peer()
    peer.model.reply([FunctionCall("f", call_id="c"), CustomToolCall("g", call_id="d")])
    parent = response_id(peer.ask())
    custom = {"type": "custom_tool_call_output", "call_id": "d", "output": "x"}

    missing = peer.refused(previous_response_id=parent, stream_id="b", input=[OUTPUT])
    assert missing["error"]["message"] == "No tool output found for custom tool call d."
    wrong = peer.refused(previous_response_id=parent, stream_id="b", input=[OUTPUT, custom, {**custom, "call_id": "e"}])
    assert wrong["error"]["message"] == "No tool call found for custom tool call output with call_id e."
    assert types(peer.ask(previous_response_id=parent, input=[OUTPUT, custom]))[-1] == "completed"


def test_the_conversation_is_looked_at_as_a_whole() -> None:
    history = (user("Give me JSON."),)
    request = Request(body={"text": {"format": {"type": "json_object"}}}, input=[user("more")], history=history)

    check_conversation(request, StoredResponses())
