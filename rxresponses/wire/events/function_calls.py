"""Events of calls of tools that the client runs."""

from __future__ import annotations

from typing import Literal

from ..base import model
from .base import ItemEvent


@model
class ResponseFunctionCallArgumentsDeltaEvent(ItemEvent):
    """The next characters of the arguments, which are JSON text."""

    type: Literal["response.function_call_arguments.delta"] = "response.function_call_arguments.delta"
    delta: str


@model
class ResponseFunctionCallArgumentsDoneEvent(ItemEvent):
    """The arguments are complete; some servers add the name of the function."""

    type: Literal["response.function_call_arguments.done"] = "response.function_call_arguments.done"
    arguments: str
    name: str | None = None


@model
class ResponseCustomToolCallInputDeltaEvent(ItemEvent):
    """The next characters of the input to a custom tool."""

    type: Literal["response.custom_tool_call_input.delta"] = "response.custom_tool_call_input.delta"
    delta: str


@model
class ResponseCustomToolCallInputDoneEvent(ItemEvent):
    """The input to a custom tool is complete."""

    type: Literal["response.custom_tool_call_input.done"] = "response.custom_tool_call_input.done"
    input: str
