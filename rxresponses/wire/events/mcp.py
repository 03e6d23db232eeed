"""Events of the tools of remote MCP servers."""

from __future__ import annotations

from typing import Literal

from ..base import model
from .base import ItemEvent


@model
class ResponseMcpListToolsInProgressEvent(ItemEvent):
    """The server asks an MCP server for its tools."""

    type: Literal["response.mcp_list_tools.in_progress"] = "response.mcp_list_tools.in_progress"


@model
class ResponseMcpListToolsCompletedEvent(ItemEvent):
    """The server has the list of an MCP server's tools."""

    type: Literal["response.mcp_list_tools.completed"] = "response.mcp_list_tools.completed"


@model
class ResponseMcpListToolsFailedEvent(ItemEvent):
    """An MCP server did not list its tools."""

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
    """The arguments are complete."""

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
