"""What a recording holds of requests and events when texts, or the credentials of tools, are hidden."""

from __future__ import annotations

import re
from typing import Any

from ..redaction import shown_data

# Fields whose values say what a message is, and nothing of what it says.
_PLAIN = frozenset(
    {
        *("type", "id", "object", "status", "role", "model", "phase", "code", "name", "reason", "effort", "verbosity"),
        *("service_tier", "tool_choice", "truncation", "summary_index", "event_id", "format", "stream_id"),
    }
)
_FREE = frozenset(
    {
        *("metadata", "variables", "parameters", "schema", "output_schema", "input_schema", "filters", "attributes"),
        *("arguments", "env", "headers", "context", "environment", "logprobs", "top_logprobs"),
    }
)
"""Fields below which the program or the model chooses the names, so that a `name` may be a person's."""

_FREE_TYPES = frozenset(
    {
        *("object", "array", "string", "number", "integer", "boolean", "null"),  # of JSON schemas
        *("eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "and", "or"),  # of filters
        *("input_text", "input_image", "input_file", "local", "container_auto", "container_reference"),
    }
)
"""Values of `type` that stay below these fields.  Any other word may be one that the program has chosen."""

_WORD = re.compile(r"[\w.:/-]{1,500}", re.ASCII)
_DEEPEST = 100  # levels of nesting, as `known_secrets` reads


def redacted(data: Any, *, free: bool = False, name: str = "", depth: int = 0) -> Any:
    """Return JSON data in which each text is replaced by as many `x`, and each number in a list of `bytes` by 0.

    Types, ids, states, names of tools and models, other numbers, and the names of all fields stay.  A text that stands
    for such a word but does not look like one is replaced too.
    """
    if isinstance(data, str):
        if free:
            return data if name == "type" and data in _FREE_TYPES else "x" * len(data)
        return data if (name in _PLAIN or name.endswith("_id")) and _WORD.fullmatch(data) else "x" * len(data)
    if depth > _DEEPEST:
        return None
    if isinstance(data, list):
        return [redacted(item, free=free, name="" if name in _PLAIN else name, depth=depth + 1) for item in data]
    if isinstance(data, dict):
        contents = _contents_of(data)
        return {
            field: redacted(value, free=free or field in _FREE or field in contents, name=field, depth=depth + 1)
            for field, value in data.items()
        }
    return 0 if name == "bytes" and type(data) is int else data


def _contents_of(data: dict[str, Any]) -> tuple[str, ...]:
    """Return the fields of an object that hold what was said, although in other objects they say what something is."""
    kind = data.get("type")
    if kind == "mcp_tool_execution_error":
        return ("content",)  # the output of the tool
    if kind == "mcp_approval_response":
        return ("reason",)  # in the words of the user
    if "annotations" in data and "input_schema" in data:
        return ("annotations",)  # of a tool; those of a text are objects with types
    if "message" not in data:
        return ("code",)  # of a program; that of an error has a message
    return ()


def without_tool_secrets(frame: dict[str, Any]) -> dict[str, Any]:
    """Return a request or an event in which the credentials of tools are hidden, as a `repr` hides them."""
    tools, response = frame.get("tools"), frame.get("response")
    if isinstance(tools, list):
        frame = {**frame, "tools": _masked(tools)}
    if isinstance(response, dict) and isinstance(response.get("tools"), list):
        frame = {**frame, "response": {**response, "tools": _masked(response["tools"])}}
    return frame


def _masked(tools: list[Any], depth: int = 0) -> list[Any]:
    if depth > _DEEPEST:
        return []
    masked = []
    for tool in tools:
        if not isinstance(tool, dict):
            masked.append(tool)
        elif tool.get("type") == "function":
            masked.append(tool)  # an argument may be called `headers`, and its description is no secret
        else:
            inner = tool.get("tools")
            outer = {name: value for name, value in tool.items() if name != "tools"}
            shown = shown_data(outer)
            # In the order that the tool has.
            masked.append(
                {
                    name: (_masked(inner, depth + 1) if isinstance(inner, list) else inner)
                    if name == "tools"
                    else shown[name]
                    for name in tool
                }
            )
    return masked
