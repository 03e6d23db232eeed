"""Which tools, and which choices among them, the server refuses as the service does."""

from __future__ import annotations

from typing import Any

from .jsontext import JSON
from .refusal import RequestError, check_field, check_known, check_name, check_value, require
from .schema_checks import problem_of

_TYPES = (
    "apply_patch",
    "code_interpreter",
    "computer",
    "computer_use_preview",
    "custom",
    "file_search",
    "function",
    "image_generation",
    "local_shell",
    "mcp",
    "namespace",
    "programmatic_tool_calling",
    "shell",
    "tool_search",
    "web_search",
    "web_search_2025_08_26",
    "web_search_preview",
    "web_search_preview_2025_03_11",
)
_FUNCTION = frozenset(
    {
        "type",
        "name",
        "description",
        "parameters",
        "strict",
        "defer_loading",
        "allowed_callers",
        "async",
        "output_schema",
    }
)
_CUSTOM = frozenset(
    {
        "type",
        "name",
        "description",
        "format",
        "defer_loading",
        "allowed_callers",
        "async",
    }
)
_REQUIRED = {
    "code_interpreter": ("container", "a string or an object"),
    "custom": ("name", "a string"),
    "file_search": ("vector_store_ids", "an array"),
    "mcp": ("server_label", "a string"),
    "namespace": ("tools", "an array"),
}


def check_tools(body: JSON) -> None:
    """Check the tools of a request whose fields have the right types.

    Raises:
        RequestError: for the first tool that is wrong.
    """
    names: set[str] = set()
    for index, tool in enumerate(body.get("tools") or ()):
        path = f"tools[{index}]"
        _check_tool(path, tool)
        if tool["type"] in ("function", "custom"):
            if tool["name"] in names:
                message = f"Invalid '{path}.name': two tools have the name '{tool['name']}'. Names must be unique."
                raise RequestError(message, code="invalid_value", param=f"{path}.name")
            names.add(tool["name"])
    _check_choice(body.get("tool_choice"), body.get("tools") or [])


def _check_tool(path: str, tool: JSON) -> None:
    kind = tool["type"]
    check_value(f"{path}.type", kind, _TYPES)
    if kind in _REQUIRED:
        field, expected = _REQUIRED[kind]
        require(f"{path}.{field}", tool.get(field), expected)
    if kind == "function":
        check_known(path, tool, _FUNCTION)
        check_name(f"{path}.name", tool["name"])
        check_field(f"{path}.description", tool.get("description"), "a string")
        check_field(f"{path}.strict", tool.get("strict"), "a boolean")
        if tool.get("parameters") is not None:
            _check_parameters(f"{path}.parameters", tool)
    elif kind == "custom":
        check_known(path, tool, _CUSTOM)
        check_name(f"{path}.name", tool["name"])
    elif kind == "mcp" and tool.get("server_url") is None and tool.get("connector_id") is None:
        message = f"One of '{path}.server_url' or '{path}.connector_id' must be provided."
        raise RequestError(message, code="missing_required_parameter", param=path)
    elif kind == "namespace":
        for index, inner in enumerate(tool["tools"]):
            require(f"{path}.tools[{index}]", inner, "an object")
            require(f"{path}.tools[{index}].type", inner.get("type"), "a string")
            check_value(f"{path}.tools[{index}].type", inner["type"], ("function", "custom"))
            require(f"{path}.tools[{index}].name", inner.get("name"), "a string")
            _check_tool(f"{path}.tools[{index}]", inner)


def _check_parameters(path: str, tool: JSON) -> None:
    check_field(path, tool["parameters"], "an object")
    problem = problem_of(tool["parameters"], strict=tool.get("strict") is True)
    if problem is not None:
        message = f"Invalid schema for function '{tool['name']}': {problem}"
        raise RequestError(message, code="invalid_function_parameters", param=path)


def _check_choice(choice: Any, tools: list[JSON]) -> None:
    if not isinstance(choice, dict):
        return
    if choice["type"] == "allowed_tools":
        for index, allowed in enumerate(choice["tools"]):
            require(f"tool_choice.tools[{index}].type", allowed.get("type"), "a string")
            _check_chosen(f"tool_choice.tools[{index}]", allowed, tools)
    else:
        _check_chosen("tool_choice", choice, tools)


def _check_chosen(path: str, choice: JSON, tools: list[JSON]) -> None:
    """Check that a chosen tool is among the tools."""
    keys = {"function": ("type", "name"), "custom": ("type", "name"), "mcp": ("type", "server_label")}
    compared = keys.get(choice["type"], ("type",))
    for key in compared:
        require(f"{path}.{key}", choice.get(key), "a string")
    if any(all(tool.get(key) == choice[key] for key in compared) for tool in tools):
        return
    name = f" with {compared[1]} '{choice[compared[1]]}'" if len(compared) > 1 else ""
    message = f"Tool choice '{choice['type']}'{name} not found in 'tools' parameter."
    raise RequestError(message, code=None, param="tool_choice")


def check_format(body: JSON) -> None:
    """Check `text` of a request whose fields have the right types.

    Raises:
        RequestError: for the first field that is wrong.
    """
    text = body.get("text") or {}
    check_known("text", text, ("format", "verbosity"))
    if text.get("verbosity") is not None:
        check_value("text.verbosity", text["verbosity"], ("low", "medium", "high"))
    text_format = text.get("format")
    if text_format is None:
        return
    if text_format["type"] != "json_schema":
        check_known("text.format", text_format, ("type",))
        return
    check_known("text.format", text_format, ("type", "name", "description", "schema", "strict"))
    check_name("text.format.name", text_format["name"])
    check_field("text.format.description", text_format.get("description"), "a string")
    check_field("text.format.strict", text_format.get("strict"), "a boolean")
    problem = problem_of(text_format["schema"], strict=text_format.get("strict") is True)
    if problem is not None:
        message = f"Invalid schema for response_format '{text_format['name']}': {problem}"
        raise RequestError(message, code="invalid_json_schema", param="text.format.schema")
