"""Input items that a user builds.

Output items of an earlier response are input items too, with their own classes.  Only an item that the server never
puts out, or that a user has to fill in, has a class here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from msgspec import UNSET, UnsetType

from ...errors import InvalidRequestError
from ...required_input import RequiredInput
from ..base import Model, UnknownItem, model
from ..models import (
    CallerDirect,
    CallerProgram,
    ResponseComputerToolCallOutputScreenshot,
    ResponseFunctionToolCall,
    ResponseInputFile,
    ResponseInputImage,
    ResponseInputText,
    ResponseOutputRefusal,
    ResponseOutputText,
    SafetyCheck,
    ShellCommandOutput,
)
from .callable_tools import Function, take_functions
from .parts import as_content, output_of
from .sent import Sent
from .settings import Reasoning, ResponseTextConfig
from .tools import Tool

InputItem: TypeAlias = Model | Mapping[str, Any]
"""An input item: a class of this module, an output item of an earlier response, or plain JSON."""

InputContent: TypeAlias = (
    ResponseInputText
    | ResponseInputImage
    | ResponseInputFile
    | ResponseOutputText
    | ResponseOutputRefusal
    | UnknownItem
    | Mapping[str, Any]
)
"""A part of a message or of a tool's output; parts of an earlier answer are for messages of the assistant."""

Caller: TypeAlias = CallerDirect | CallerProgram | UnknownItem | Mapping[str, Any]
"""Whether the model or a program called the tool: the same as in the tool call."""


@model
class EasyInputMessage(Sent):
    """A message of the conversation; `user_message` makes the common one."""

    role: str
    content: str | Sequence[InputContent]
    phase: str | UnsetType | None = UNSET
    type: Literal["message"] = "message"


@model
class Message(Sent):
    """A message made of parts only; `status` is for a message that comes from the service."""

    role: str
    content: Sequence[InputContent]
    status: str | UnsetType | None = UNSET
    type: Literal["message"] = "message"


@model
class FunctionCallOutput(Sent):
    """The result of a function call, for the model; `function_result` makes one from any value."""

    call_id: str
    output: str | Sequence[InputContent]
    id: str | UnsetType | None = UNSET
    status: str | UnsetType | None = UNSET
    caller: Caller | UnsetType | None = UNSET
    name: str | UnsetType | None = UNSET
    namespace: str | UnsetType | None = UNSET
    type: Literal["function_call_output"] = "function_call_output"


@model
class ResponseCustomToolCallOutput(Sent):
    """The result of a call of a custom tool, for the model."""

    call_id: str
    output: str | Sequence[InputContent]
    id: str | UnsetType | None = UNSET
    caller: Caller | UnsetType | None = UNSET
    type: Literal["custom_tool_call_output"] = "custom_tool_call_output"


@model
class ComputerCallOutput(Sent):
    """The screen after the actions of a computer call, and the safety checks that the user has acknowledged."""

    call_id: str
    output: ResponseComputerToolCallOutputScreenshot | Mapping[str, Any]
    acknowledged_safety_checks: Sequence[SafetyCheck | Mapping[str, Any]] | UnsetType | None = UNSET
    id: str | UnsetType | None = UNSET
    status: str | UnsetType | None = UNSET
    type: Literal["computer_call_output"] = "computer_call_output"


@model
class ShellCallOutput(Sent):
    """What the commands of a shell call printed: an entry of `output` for each command."""

    call_id: str
    output: Sequence[ShellCommandOutput | Mapping[str, Any]]
    max_output_length: int | UnsetType | None = UNSET
    id: str | UnsetType | None = UNSET
    status: str | UnsetType | None = UNSET
    caller: Caller | UnsetType | None = UNSET
    type: Literal["shell_call_output"] = "shell_call_output"


@model
class ApplyPatchCallOutput(Sent):
    """Whether a file was changed: `status` is `completed` or `failed`; `output` is a text for the model."""

    call_id: str
    status: str
    output: str | UnsetType | None = UNSET
    id: str | UnsetType | None = UNSET
    caller: Caller | UnsetType | None = UNSET
    type: Literal["apply_patch_call_output"] = "apply_patch_call_output"


@model
class ResponseToolSearchOutputItemParam(Sent):
    """The tools that a search has found, where the client runs the search."""

    tools: Sequence[Tool | Function]
    call_id: str | UnsetType | None = UNSET
    execution: str | UnsetType | None = UNSET
    id: str | UnsetType | None = UNSET
    status: str | UnsetType | None = UNSET
    type: Literal["tool_search_output"] = "tool_search_output"

    def __post_init__(self) -> None:
        take_functions(self)
        super().__post_init__()


@model
class ResponseConfigurationUpdateItemParam(Sent):
    """New settings from this item on."""

    reasoning: Reasoning | Mapping[str, Any] | UnsetType | None = UNSET
    text: ResponseTextConfig | Mapping[str, Any] | UnsetType | None = UNSET
    id: str | UnsetType | None = UNSET
    type: Literal["configuration_update"] = "configuration_update"


@model
class CompactionTrigger(Sent):
    """Has the server compact the conversation here."""

    id: str | UnsetType | None = UNSET
    type: Literal["compaction_trigger"] = "compaction_trigger"


@model
class ItemReference(Sent):
    """An item that the server already stores, by its id."""

    id: str
    type: Literal["item_reference"] = "item_reference"


def user_message(*parts: str | InputContent | Sequence[str | InputContent]) -> EasyInputMessage:
    """Return a message of the user: a text, or several parts, as they are or in a list.

    A part is a text, an image (`image_part`), a file (`file_part`), or plain JSON.
    """
    return EasyInputMessage(role="user", content=as_content(parts))


def developer_message(*parts: str | InputContent | Sequence[str | InputContent]) -> EasyInputMessage:
    """Return a message of the developer, which the model follows before those of the user."""
    return EasyInputMessage(role="developer", content=as_content(parts))


def system_message(*parts: str | InputContent | Sequence[str | InputContent]) -> EasyInputMessage:
    """Return a message of the system.  Newer models know it as that of the developer."""
    return EasyInputMessage(role="system", content=as_content(parts))


def assistant_message(
    *parts: str | InputContent | Sequence[str | InputContent], phase: str | UnsetType | None = UNSET
) -> EasyInputMessage:
    """Return an earlier answer of the model; `phase` is `commentary` or `final_answer`."""
    return EasyInputMessage(role="assistant", content=as_content(parts, is_answer=True), phase=phase)


def function_result(call: ResponseFunctionToolCall | RequiredInput | str, output: object) -> FunctionCallOutput:
    """Return the answer to a function call, given the call, its `call_id`, or the stub that asks for it.

    A string goes to the model as it is, and so do parts: one of `image_part` or `file_part`, or a list with at least
    one of these.  Any other value goes as its JSON, also a dataclass, a `msgspec.Struct` or a pydantic model.  Raises
    `InvalidRequestError` for a value that JSON cannot hold, or a call without a `call_id`.
    """
    call_id = call if isinstance(call, str) else getattr(call, "call_id", None)
    if not isinstance(call_id, str) or not call_id:
        raise InvalidRequestError(
            "the answer needs the `call_id` of its call: pass a function call, or its `call_id`", field="call_id"
        )
    return FunctionCallOutput(call_id=call_id, output=output_of(output, "function"))


def without_unstored_reasoning(items: Sequence[InputItem]) -> list[InputItem]:
    """Return the items without the reasoning that only the service's storage could explain.

    A reasoning item without `encrypted_content` or plain `content` is a reference to a stored item.  If the response
    was not stored, the service refuses a request that holds the reference.
    """
    return [item for item in items if _given(item, "type") != "reasoning" or _is_readable(item)]


def _is_readable(item: InputItem) -> bool:
    return bool(_given(item, "encrypted_content") or _given(item, "content"))


def _given(item: InputItem, name: str) -> object:
    value = item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)
    return None if value is UNSET else value
