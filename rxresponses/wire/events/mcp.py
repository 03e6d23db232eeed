"""Tools of remote MCP servers."""

from __future__ import annotations

from typing import Literal

from ..base import model
from .base import ItemEvent


@model
class ResponseMcpListToolsInProgressEvent(ItemEvent):
    """An MCP server is asked for its tools."""

    type: Literal["response.mcp_list_tools.in_progress"] = "response.mcp_list_tools.in_progress"


@model
class ResponseMcpListToolsCompletedEvent(ItemEvent):
    """The tools of an MCP server are known."""

    type: Literal["response.mcp_list_tools.completed"] = "response.mcp_list_tools.completed"


@model
class ResponseMcpListToolsFailedEvent(ItemEvent):
    """An MCP server did not tell its tools."""

    type: Literal["response.mcp_list_tools.failed"] = "response.mcp_list_tools.failed"


@model
class ResponseMcpCallInProgressEvent(ItemEvent):
    """A call of an MCP tool begins."""

    type: Literal["response.mcp_call.in_progress"] = "response.mcp_call.in_progress"


@model
class ResponseMcpCallArgumentsDeltaEvent(ItemEvent):
    """The next characters of the arguments, which are JSON text."""

    type: Literal["response.mcp_call_arguments.delta"] = "response.mcp_call_arguments.delta"
    delta: str


@model
class ResponseMcpCallArgumentsDoneEvent(ItemEvent):
    """The arguments are whole."""

    type: Literal["response.mcp_call_arguments.done"] = "response.mcp_call_arguments.done"
    arguments: str


@model
class ResponseMcpCallCompletedEvent(ItemEvent):
    """A call of an MCP tool is done."""

    type: Literal["response.mcp_call.completed"] = "response.mcp_call.completed"


@model
class ResponseMcpCallFailedEvent(ItemEvent):
    """A call of an MCP tool failed."""

    type: Literal["response.mcp_call.failed"] = "response.mcp_call.failed"
