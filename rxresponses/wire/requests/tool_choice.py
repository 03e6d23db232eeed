"""Which tools the model may or must use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from msgspec import UNSET, UnsetType

from ..base import model
from .sent import Sent


@model
class ToolChoiceAllowed(Sent):
    """Only some of the tools; `mode` is `auto` or `required`.  `tools` names them in plain JSON."""

    mode: str
    tools: Sequence[Mapping[str, Any]]
    type: Literal["allowed_tools"] = "allowed_tools"


@model
class ToolChoiceTypes(Sent):
    """A tool that the server runs, by its `type`: `file_search`, `image_generation`, …"""

    type: str


@model
class ToolChoiceFunction(Sent):
    """A function."""

    name: str
    type: Literal["function"] = "function"


@model
class ToolChoiceMcp(Sent):
    """An MCP server, or one of its tools."""

    server_label: str
    name: str | UnsetType | None = UNSET
    type: Literal["mcp"] = "mcp"


@model
class ToolChoiceCustom(Sent):
    """A custom tool."""

    name: str
    type: Literal["custom"] = "custom"


@model
class ToolChoiceProgrammaticToolCalling(Sent):
    """A program that calls tools."""

    type: Literal["programmatic_tool_calling"] = "programmatic_tool_calling"


@model
class ToolChoiceApplyPatch(Sent):
    """The tool that changes files."""

    type: Literal["apply_patch"] = "apply_patch"


@model
class ToolChoiceShell(Sent):
    """The shell."""

    type: Literal["shell"] = "shell"


ToolChoice: TypeAlias = (
    str
    | ToolChoiceAllowed
    | ToolChoiceTypes
    | ToolChoiceFunction
    | ToolChoiceMcp
    | ToolChoiceCustom
    | ToolChoiceProgrammaticToolCalling
    | ToolChoiceApplyPatch
    | ToolChoiceShell
    | Mapping[str, Any]
)
"""`none`, `auto`, `required`, a class of this module, or plain JSON."""
