"""Definitions of tools that the client runs, and of how the model finds and calls tools.

`Tool` is every tool definition, those of `hosted_tools` and `shell_tools` included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, Literal, TypeAlias

from msgspec import UNSET, UnsetType

from ..base import model
from ..json_config import json_config
from .callable_tools import Function, take_functions
from .hosted_tools import (
    CodeInterpreter,
    ComputerTool,
    ComputerUsePreviewTool,
    FileSearchTool,
    ImageGeneration,
    Mcp,
    WebSearchPreviewTool,
    WebSearchTool,
)
from .sent import Sent
from .shell_tools import ApplyPatchTool, FunctionShellTool, LocalShell


@model
class FunctionTool(Sent):
    """A function that the model may call; `parameters` is the JSON schema of its arguments.

    `async_` is the field `async` of the protocol, whose name is a keyword in Python.
    """

    name: str
    parameters: Mapping[str, Any] | None = None
    strict: bool | UnsetType | None = UNSET
    description: str | UnsetType | None = UNSET
    async_: bool | UnsetType | None = field(default=UNSET, metadata=json_config(name="async"))
    defer_loading: bool | UnsetType | None = UNSET
    allowed_callers: Sequence[str] | UnsetType | None = UNSET
    output_schema: Mapping[str, Any] | UnsetType | None = UNSET
    type: Literal["function"] = "function"


@model
class CustomToolInputFormatText(Sent):
    """The input of a custom tool is any text."""

    type: Literal["text"] = "text"


@model
class CustomToolInputFormatGrammar(Sent):
    """The input of a custom tool follows a grammar; `syntax` is `lark` or `regex`."""

    definition: str
    syntax: str
    type: Literal["grammar"] = "grammar"


@model
class CustomTool(Sent):
    """A tool that takes text instead of JSON arguments.

    `async_` is the field `async` of the protocol, whose name is a keyword in Python.
    """

    name: str
    description: str | UnsetType | None = UNSET
    format: CustomToolInputFormatText | CustomToolInputFormatGrammar | Mapping[str, Any] | UnsetType | None = UNSET
    async_: bool | UnsetType | None = field(default=UNSET, metadata=json_config(name="async"))
    defer_loading: bool | UnsetType | None = UNSET
    allowed_callers: Sequence[str] | UnsetType | None = UNSET
    type: Literal["custom"] = "custom"


@model
class NamespaceTool(Sent):
    """Function and custom tools under a common name."""

    name: str
    description: str
    tools: Sequence[FunctionTool | CustomTool | Mapping[str, Any] | Function]
    type: Literal["namespace"] = "namespace"

    def __post_init__(self) -> None:
        take_functions(self)
        super().__post_init__()


@model
class ToolSearchTool(Sent):
    """Lets the model search for deferred tools; `execution` says whether the server or the client runs the search."""

    execution: str | UnsetType | None = UNSET
    description: str | UnsetType | None = UNSET
    parameters: Any = UNSET
    type: Literal["tool_search"] = "tool_search"


@model
class ProgrammaticToolCalling(Sent):
    """Lets the model write programs that call the other tools."""

    type: Literal["programmatic_tool_calling"] = "programmatic_tool_calling"


Tool: TypeAlias = (
    FunctionTool
    | FileSearchTool
    | ComputerTool
    | ComputerUsePreviewTool
    | WebSearchTool
    | Mcp
    | CodeInterpreter
    | ProgrammaticToolCalling
    | ImageGeneration
    | LocalShell
    | FunctionShellTool
    | CustomTool
    | NamespaceTool
    | ToolSearchTool
    | WebSearchPreviewTool
    | ApplyPatchTool
    | Mapping[str, Any]
)
"""A tool definition: a class of this package, or plain JSON."""
