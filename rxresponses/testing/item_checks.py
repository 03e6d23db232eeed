"""Which input items the server refuses as the service does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .jsontext import JSON
from .refusal import RequestError, check_field, check_length, check_name, check_value, require

_TYPES = (
    "additional_tools",
    "apply_patch_call",
    "apply_patch_call_output",
    "code_interpreter_call",
    "compaction",
    "compaction_trigger",
    "computer_call",
    "computer_call_output",
    "configuration_update",
    "custom_tool_call",
    "custom_tool_call_output",
    "file_search_call",
    "function_call",
    "function_call_output",
    "image_generation_call",
    "item_reference",
    "local_shell_call",
    "local_shell_call_output",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "message",
    "program",
    "program_output",
    "reasoning",
    "shell_call",
    "shell_call_output",
    "tool_search_call",
    "tool_search_output",
    "web_search_call",
)
_REQUIRED: dict[str, dict[str, str]] = {
    "apply_patch_call": {"call_id": "a string", "operation": "an object"},
    "apply_patch_call_output": {"call_id": "a string", "status": "a string"},
    "computer_call_output": {"call_id": "a string", "output": "an object"},
    "custom_tool_call": {"call_id": "a string", "name": "a string", "input": "a string"},
    "custom_tool_call_output": {"call_id": "a string", "output": "a string or an array"},
    "function_call": {"call_id": "a string", "name": "a string", "arguments": "a string"},
    "item_reference": {"id": "a string"},
    "mcp_approval_request": {"id": "a string", "name": "a string", "arguments": "a string", "server_label": "a string"},
    "mcp_approval_response": {"approval_request_id": "a string", "approve": "a boolean"},
    "reasoning": {"summary": "an array"},
    "shell_call": {"call_id": "a string", "action": "an object"},
    "shell_call_output": {"call_id": "a string", "output": "an array"},
}
"""The required fields of items, and their types, besides those that `checks` requires."""

_INPUT_PARTS = ("input_text", "input_image", "input_file", "input_audio")
_OUTPUT_PARTS = ("output_text", "refusal")
_TOOL_PARTS = ("input_text", "input_image", "input_file")
_DETAILS = ("auto", "low", "high", "original")
_LONGEST_CALL_ID = 64


def check_items(value: Any) -> None:
    """Check the items of an `input` that has the right types.

    Raises:
        RequestError: for the first item that is wrong.
    """
    for index, item in enumerate(value if isinstance(value, list) else ()):
        _check_item(f"input[{index}]", item)


def _check_item(path: str, item: JSON) -> None:
    kind = item.get("type", "message")
    check_value(f"{path}.type", kind, _TYPES)
    for field, expected in _REQUIRED.get(kind, {}).items():
        require(f"{path}.{field}", item.get(field), expected)
    if kind == "message":
        assistant = item["role"] == "assistant"
        _check_parts(f"{path}.content", item["content"], _OUTPUT_PARTS if assistant else _INPUT_PARTS)
        if item.get("phase") is not None:
            check_value(f"{path}.phase", item["phase"], ("commentary", "final_answer"))
    elif kind in ("function_call_output", "custom_tool_call_output"):
        _check_parts(f"{path}.output", item["output"], _TOOL_PARTS)
    elif kind == "apply_patch_call_output":
        check_value(f"{path}.status", item["status"], ("completed", "failed"))
        check_field(f"{path}.output", item.get("output"), "a string")
    elif kind == "shell_call_output":
        for index, part in enumerate(item["output"]):
            _check_shell_output(f"{path}.output[{index}]", part)
    elif kind == "reasoning":
        for index, part in enumerate(item["summary"]):
            require(f"{path}.summary[{index}]", part, "an object")
            check_value(f"{path}.summary[{index}].type", part.get("type"), ("summary_text",))
            require(f"{path}.summary[{index}].text", part.get("text"), "a string")
        check_field(f"{path}.encrypted_content", item.get("encrypted_content"), "a string")
    if kind in ("function_call", "custom_tool_call"):
        check_name(f"{path}.name", item["name"])
    if isinstance(item.get("call_id"), str):
        check_length(f"{path}.call_id", item["call_id"], _LONGEST_CALL_ID, 1)


def _check_parts(path: str, value: Any, kinds: Sequence[str]) -> None:
    for index, part in enumerate(value if isinstance(value, list) else ()):
        place = f"{path}[{index}]"
        require(place, part, "an object")
        require(f"{place}.type", part.get("type"), "a string")
        kind = part["type"]
        check_value(f"{place}.type", kind, kinds)
        if kind in ("input_text", "output_text"):
            require(f"{place}.text", part.get("text"), "a string")
        elif kind == "refusal":
            require(f"{place}.refusal", part.get("refusal"), "a string")
        elif kind == "input_image":
            _check_image(place, part)
        elif kind == "input_file":
            _check_file(place, part)


def _check_image(path: str, part: JSON) -> None:
    _check_one_of(path, part, ("image_url", "file_id"))
    url = part.get("image_url")
    check_field(f"{path}.image_url", url, "a string")
    if url is not None and not url.lower().startswith(("https://", "http://", "data:image/")):
        message = f"Invalid '{path}.image_url'. Expected a valid URL, but got a value with an invalid format."
        raise RequestError(message, code="invalid_value", param=f"{path}.image_url")
    if part.get("detail") is not None:
        check_value(f"{path}.detail", part["detail"], _DETAILS)


def _check_file(path: str, part: JSON) -> None:
    _check_one_of(path, part, ("file_id", "file_url", "file_data"))
    for field in ("file_id", "file_url", "file_data", "filename"):
        check_field(f"{path}.{field}", part.get(field), "a string")
    data = part.get("file_data")
    if data is not None and not (data.startswith("data:") and ";base64," in data[:200]):
        message = f"Invalid '{path}.file_data'. Expected a base64-encoded data URL with a MIME type, such as "
        message += "'data:application/pdf;base64,JVBERi0x', but got a value without the 'data:' prefix."
        raise RequestError(message, code="invalid_value", param=f"{path}.file_data")
    if data is not None:
        require(f"{path}.filename", part.get("filename"), "a string")


def _check_one_of(path: str, part: JSON, fields: Sequence[str]) -> None:
    given = [field for field in fields if part.get(field) is not None]
    if len(given) == 1:
        return
    names = ", ".join(f"'{path}.{field}'" for field in fields)
    if given:
        message = f"Mutually exclusive parameters: {names}. Ensure you are only providing one of them."
        raise RequestError(message, code="mutually_exclusive_parameters", param=path)
    raise RequestError(f"One of {names} must be provided.", code="missing_required_parameter", param=path)


def _check_shell_output(path: str, part: Any) -> None:
    require(path, part, "an object")
    for field in ("stdout", "stderr"):
        require(f"{path}.{field}", part.get(field), "a string")
    outcome = part.get("outcome")
    require(f"{path}.outcome", outcome, "an object")
    check_value(f"{path}.outcome.type", outcome.get("type"), ("exit", "timeout"))
    if outcome["type"] == "exit":
        require(f"{path}.outcome.exit_code", outcome.get("exit_code"), "an integer")
