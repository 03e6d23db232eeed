"""Output items of tools that the client runs, of programs that call them, and of the search for them."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Literal, TypeAlias

from ..base import Model, UnknownItem, model
from ..json_config import json_config
from .content import InputContent


@model
class CallerDirect(Model):
    """The model itself called the tool."""

    type: Literal["direct"] = "direct"


@model
class CallerProgram(Model):
    """A program that the model wrote called the tool; `caller_id` is that program's call id."""

    type: Literal["program"] = "program"
    caller_id: str | None = None


Caller: TypeAlias = CallerDirect | CallerProgram | UnknownItem
"""Whether the model itself or a program called a tool."""


@model
class ResponseFunctionToolCall(Model):
    """A call of a function of the client; `arguments` is JSON text, and the answer refers to `call_id`."""

    type: Literal["function_call"] = "function_call"
    id: str | None = None
    call_id: str = ""
    name: str = ""
    arguments: str = ""
    namespace: str | None = None
    async_: bool | None = field(default=None, metadata=json_config(name="async"))
    caller: Caller | None = None
    status: str | None = None


@model
class ResponseFunctionToolCallOutputItem(Model):
    """The result of a function call."""

    type: Literal["function_call_output"] = "function_call_output"
    id: str | None = None
    call_id: str | None = None
    output: str | list[InputContent] | None = None
    name: str | None = None
    namespace: str | None = None
    caller: Caller | None = None
    created_by: str | None = None
    status: str | None = None


@model
class ResponseCustomToolCall(Model):
    """A call of a custom tool of the client; `input` is the text that the model wrote for the tool."""

    type: Literal["custom_tool_call"] = "custom_tool_call"
    id: str | None = None
    call_id: str = ""
    name: str = ""
    input: str = ""
    namespace: str | None = None
    async_: bool | None = field(default=None, metadata=json_config(name="async"))
    caller: Caller | None = None
    status: str | None = None


@model
class ResponseCustomToolCallOutputItem(Model):
    """The result of a call of a custom tool."""

    type: Literal["custom_tool_call_output"] = "custom_tool_call_output"
    id: str | None = None
    call_id: str | None = None
    output: str | list[InputContent] | None = None
    caller: Caller | None = None
    created_by: str | None = None
    status: str | None = None


@model
class Program(Model):
    """A program that the model wrote to call several tools."""

    type: Literal["program"] = "program"
    id: str | None = None
    call_id: str | None = None
    code: str | None = None
    fingerprint: str | None = None


@model
class ProgramOutput(Model):
    """The result of a program."""

    type: Literal["program_output"] = "program_output"
    id: str | None = None
    call_id: str | None = None
    result: str | None = None
    status: str | None = None


@model
class ResponseToolSearchCall(Model):
    """A search for tools, to be run by the server or by the client (`execution`)."""

    type: Literal["tool_search_call"] = "tool_search_call"
    id: str | None = None
    call_id: str | None = None
    arguments: Any = None
    execution: str | None = None
    created_by: str | None = None
    status: str | None = None


@model
class ResponseToolSearchOutputItem(Model):
    """The definitions of the tools that a search found."""

    type: Literal["tool_search_output"] = "tool_search_output"
    id: str | None = None
    call_id: str | None = None
    tools: list[Any] = field(default_factory=list)
    execution: str | None = None
    created_by: str | None = None
    status: str | None = None
