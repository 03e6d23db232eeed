"""Tools of remote MCP servers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .base import ItemEvent


@dataclass(frozen=True, kw_only=True)
class ResponseMcpListToolsInProgressEvent(ItemEvent):
    """An MCP server is asked for its tools."""

    type: Literal["response.mcp_list_tools.in_progress"] = "response.mcp_list_tools.in_progress"


@dataclass(frozen=True, kw_only=True)
class ResponseMcpListToolsCompletedEvent(ItemEvent):
    """The tools of an MCP server are known."""

    type: Literal["response.mcp_list_tools.completed"] = "response.mcp_list_tools.completed"


@dataclass(frozen=True, kw_only=True)
class ResponseMcpListToolsFailedEvent(ItemEvent):
    """An MCP server did not tell its tools."""

    type: Literal["response.mcp_list_tools.failed"] = "response.mcp_list_tools.failed"


@dataclass(frozen=True, kw_only=True)
class ResponseMcpCallInProgressEvent(ItemEvent):
    """A call of an MCP tool begins."""

    type: Literal["response.mcp_call.in_progress"] = "response.mcp_call.in_progress"


@dataclass(frozen=True, kw_only=True)
class ResponseMcpCallArgumentsDeltaEvent(ItemEvent):
    """The next characters of the arguments, which are JSON text."""

    type: Literal["response.mcp_call_arguments.delta"] = "response.mcp_call_arguments.delta"
    delta: str


@dataclass(frozen=True, kw_only=True)
class ResponseMcpCallArgumentsDoneEvent(ItemEvent):
    """The arguments are whole."""

    type: Literal["response.mcp_call_arguments.done"] = "response.mcp_call_arguments.done"
    arguments: str


@dataclass(frozen=True, kw_only=True)
class ResponseMcpCallCompletedEvent(ItemEvent):
    """A call of an MCP tool is done."""

    type: Literal["response.mcp_call.completed"] = "response.mcp_call.completed"


@dataclass(frozen=True, kw_only=True)
class ResponseMcpCallFailedEvent(ItemEvent):
    """A call of an MCP tool failed."""

    type: Literal["response.mcp_call.failed"] = "response.mcp_call.failed"
