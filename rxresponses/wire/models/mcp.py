"""Output items of remote MCP servers: lists of tools, calls of tools, and the user's approval."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Literal, TypeAlias

from ..base import Model, UnknownItem, model


@model
class McpProtocolError(Model):
    """The MCP server answered with an error of the MCP protocol."""

    type: Literal["mcp_protocol_error"] = "mcp_protocol_error"
    code: int | None = None
    message: str | None = None


@model
class McpToolExecutionError(Model):
    """The tool ran and failed; `content` is its output."""

    type: Literal["mcp_tool_execution_error"] = "mcp_tool_execution_error"
    content: Any = None


@model
class HTTPError(Model):
    """The request to the MCP server failed; `code` is the HTTP status."""

    type: Literal["http_error"] = "http_error"
    code: int | None = None
    message: str | None = None


McpToolCallError: TypeAlias = McpProtocolError | McpToolExecutionError | HTTPError | UnknownItem
"""Why an MCP call failed."""


@model
class McpCall(Model):
    """A call of a tool on an MCP server; `arguments` is JSON text."""

    type: Literal["mcp_call"] = "mcp_call"
    id: str | None = None
    name: str | None = None
    server_label: str | None = None
    arguments: str | None = None
    output: str | None = None
    error: McpToolCallError | str | None = None
    approval_request_id: str | None = None
    status: str | None = None


@model
class McpListToolsTool(Model):
    """A tool of an MCP server."""

    name: str | None = None
    description: str | None = None
    input_schema: Any = None
    annotations: Any = None


@model
class McpListTools(Model):
    """The tools of an MCP server."""

    type: Literal["mcp_list_tools"] = "mcp_list_tools"
    id: str | None = None
    server_label: str | None = None
    tools: list[McpListToolsTool] = field(default_factory=list)
    error: McpToolCallError | str | None = None


@model
class McpApprovalRequest(Model):
    """A call that waits for the user's approval; `arguments` is JSON text."""

    type: Literal["mcp_approval_request"] = "mcp_approval_request"
    id: str | None = None
    name: str | None = None
    server_label: str | None = None
    arguments: str | None = None


@model
class McpApprovalResponse(Model):
    """The user's answer to an approval request."""

    type: Literal["mcp_approval_response"] = "mcp_approval_response"
    id: str | None = None
    approval_request_id: str | None = None
    approve: bool | None = None
    reason: str | None = None
