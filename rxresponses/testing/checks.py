"""Which messages the server refuses in any case, because it could not answer them."""

from __future__ import annotations

import re
from typing import Any

from .jsontext import JSON
from .refusal import RequestError, check_field, check_value, missing, require, type_name, wrong_type

_LANE = re.compile(r"[A-Za-z0-9_.-]{1,256}")

_FIELDS = {
    "background": "a boolean",
    "context_management": "an array",
    "conversation": "a string or an object",
    "generate": "a boolean",
    "include": "an array",
    "input": "a string or an array",
    "instructions": "a string",
    "max_output_tokens": "an integer",
    "max_tool_calls": "an integer",
    "metadata": "an object",
    "model": "a string",
    "parallel_tool_calls": "a boolean",
    "previous_response_id": "a string",
    "prompt": "an object",
    "prompt_cache_key": "a string",
    "reasoning": "an object",
    "safety_identifier": "a string",
    "service_tier": "a string",
    "store": "a boolean",
    "stream": "a boolean",
    "stream_options": "an object",
    "temperature": "a number",
    "text": "an object",
    "tool_choice": "a string or an object",
    "tools": "an array",
    "top_logprobs": "an integer",
    "top_p": "a number",
    "truncation": "a string",
    "user": "a string",
}
_RANGES = {
    "max_output_tokens": (1, None),
    "max_tool_calls": (1, None),
    "temperature": (0, 2),
    "top_logprobs": (0, 20),
    "top_p": (0, 1),
}
_ROLES = ("assistant", "developer", "system", "user")


def check_type(message: object) -> str:
    """Return the type of a client message.

    Raises:
        RequestError: if the message is not an object, or has a type that the service does not know.
    """
    if not isinstance(message, dict):
        raise RequestError(f"Expected a JSON object, but got {type_name(message)} instead.", code="invalid_type")
    kind = message.get("type")
    if kind is None:
        raise missing("type")
    check_value("type", kind, ("response.create", "response.steer"))
    return str(kind)


def check_lane(stream_id: object) -> str:
    """Return a valid `stream_id`.

    Raises:
        RequestError: `invalid_stream_id`.
    """
    if isinstance(stream_id, str) and _LANE.fullmatch(stream_id):
        return stream_id
    rule = "Expected 1 to 256 letters, digits, underscores, hyphens or periods."
    raise RequestError(f"Invalid 'stream_id'. {rule}", code="invalid_stream_id", param="stream_id")


def check_create(body: JSON) -> None:
    """Check what this server needs of a `response.create`, except `stream_id`.  `service_checks` has further rules.

    Raises:
        RequestError: for the first field that is wrong or missing.
    """
    for field, expected in _FIELDS.items():
        check_field(field, body.get(field), expected)
    for field, (low, high) in _RANGES.items():
        _check_range(field, body.get(field), low, high)
    if body.get("model") is None and body.get("prompt") is None:
        raise missing("model")
    if body.get("background"):
        message = "Background responses are not available on a WebSocket."
        raise RequestError(message, code="unsupported_value", param="background")
    if body.get("conversation") is not None and body.get("previous_response_id") is not None:
        message = "Mutually exclusive parameters: 'conversation' and 'previous_response_id'."
        raise RequestError(message, code="mutually_exclusive_parameters")
    _check_input(body)
    _check_tools(body)
    _check_format((body.get("text") or {}).get("format"))


def check_steer_input(message: JSON) -> None:
    """Check the fields of a `response.steer` and its input items.

    Raises:
        RequestError: for the first field or item that is wrong.
    """
    for field in message:
        if field not in ("type", "previous_response_id", "input"):
            raise RequestError(f"Unknown parameter: '{field}'.", code="unknown_parameter", param=field)
    value = message["input"]
    if isinstance(value, str):
        return
    if not isinstance(value, list) or not value:
        raise wrong_type("input", value, "a string or a non-empty array")
    for index, item in enumerate(value):
        _check_item(f"input[{index}]", item)
        if item.get("role") != "user" or item.keys() - {"type", "role", "content"}:
            message_text = "Steering accepts only messages of the user, with type, role and content."
            raise RequestError(message_text, code="invalid_value", param=f"input[{index}]")


def _check_range(field: str, value: Any, low: float, high: float | None) -> None:
    if value is None or (low <= value and (high is None or value <= high)):
        return
    bound, code = (f">= {low}", "below_min_value") if value < low else (f"<= {high}", "above_max_value")
    kind = "integer" if _FIELDS[field] == "an integer" else "decimal"
    message = f"Invalid '{field}': expected a value {bound}, but got {value} instead."
    raise RequestError(message, code=f"{kind}_{code}", param=field)


def _check_input(body: JSON) -> None:
    value = body.get("input")
    if value is None:
        sources = ("previous_response_id", "prompt", "conversation")
        if body.get("generate") is not False and all(body.get(source) is None for source in sources):
            names = "'input', 'previous_response_id', 'prompt' or 'conversation'"
            message = f"One of {names} must be provided."
            raise RequestError(message, code="missing_required_parameter", param="input")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_item(f"input[{index}]", item)


def _check_item(path: str, item: Any) -> None:
    if not isinstance(item, dict):
        raise wrong_type(path, item, "an object")
    kind = item.get("type", "message" if "role" in item else None)
    if kind is None:
        raise missing(f"{path}.type")
    if not isinstance(kind, str):
        raise wrong_type(f"{path}.type", kind, "a string")
    if kind == "message":
        check_value(f"{path}.role", item.get("role"), _ROLES)
        _check_text(f"{path}.content", item.get("content"))
    elif kind == "function_call_output":
        if not isinstance(item.get("call_id"), str):
            raise missing(f"{path}.call_id")
        _check_text(f"{path}.output", item.get("output"))


def _check_text(path: str, value: Any) -> None:
    if value is None:
        raise missing(path)
    check_field(path, value, "a string or an array")
    for index, part in enumerate(value if isinstance(value, list) else ()):
        if not isinstance(part, dict):
            raise wrong_type(f"{path}[{index}]", part, "an object")


def _check_tools(body: JSON) -> None:
    tools = body.get("tools") or []
    for index, tool in enumerate(tools):
        if not isinstance(tool, dict):
            raise wrong_type(f"tools[{index}]", tool, "an object")
        for field in ("type", "name") if tool.get("type") == "function" else ("type",):
            if not isinstance(tool.get(field), str):
                raise missing(f"tools[{index}].{field}")
        if tool["type"] == "function":
            check_field(f"tools[{index}].parameters", tool.get("parameters"), "an object")
    choice = body.get("tool_choice")
    if isinstance(choice, str):
        check_value("tool_choice", choice, ("none", "auto", "required"))
        if choice == "required" and not tools:
            message = "Tool choice 'required' must be specified with 'tools' parameter."
            raise RequestError(message, code=None, param="tool_choice")
    elif isinstance(choice, dict):
        _check_choice(choice, tools)


def _check_choice(choice: JSON, tools: list[JSON]) -> None:
    require("tool_choice.type", choice.get("type"), "a string")
    if choice["type"] == "function":
        name = choice.get("name")
        require("tool_choice.name", name, "a string")
        if all(tool["type"] != "function" or tool["name"] != name for tool in tools):
            message = f"Tool choice 'function' with name {name!r} not found in 'tools' parameter."
            raise RequestError(message, code=None, param="tool_choice")
    elif choice["type"] == "allowed_tools":
        require("tool_choice.mode", choice.get("mode"), "a string")
        check_value("tool_choice.mode", choice["mode"], ("auto", "required"))
        require("tool_choice.tools", choice.get("tools"), "an array")
        for index, tool in enumerate(choice["tools"]):
            require(f"tool_choice.tools[{index}]", tool, "an object")
            check_field(f"tool_choice.tools[{index}].name", tool.get("name"), "a string")


def _check_format(text_format: Any) -> None:
    check_field("text.format", text_format, "an object")
    if text_format is None:
        return
    require("text.format.type", text_format.get("type"), "a string")
    check_value("text.format.type", text_format["type"], ("text", "json_object", "json_schema"))
    if text_format["type"] == "json_schema":
        require("text.format.name", text_format.get("name"), "a string")
        require("text.format.schema", text_format.get("schema"), "an object")
