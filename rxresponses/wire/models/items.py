"""The union of all output items."""

from __future__ import annotations

from typing import TypeAlias

from ..base import UnknownItem
from .computer import ResponseComputerToolCall, ResponseComputerToolCallOutputItem
from .function_calls import (
    Program,
    ProgramOutput,
    ResponseCustomToolCall,
    ResponseCustomToolCallOutputItem,
    ResponseFunctionToolCall,
    ResponseFunctionToolCallOutputItem,
    ResponseToolSearchCall,
    ResponseToolSearchOutputItem,
)
from .hosted import ImageGenerationCall, ResponseCodeInterpreterToolCall
from .mcp import McpApprovalRequest, McpApprovalResponse, McpCall, McpListTools
from .messages import AdditionalTools, ResponseCompactionItem, ResponseOutputMessage, ResponseReasoningItem
from .searches import ResponseFileSearchToolCall, ResponseFunctionWebSearch
from .shell import (
    LocalShellCall,
    LocalShellCallOutput,
    ResponseApplyPatchToolCall,
    ResponseApplyPatchToolCallOutput,
    ResponseFunctionShellToolCall,
    ResponseFunctionShellToolCallOutput,
)

ResponseOutputItem: TypeAlias = (
    ResponseOutputMessage
    | ResponseFileSearchToolCall
    | ResponseFunctionToolCall
    | ResponseFunctionToolCallOutputItem
    | ResponseFunctionWebSearch
    | ResponseComputerToolCall
    | ResponseComputerToolCallOutputItem
    | ResponseReasoningItem
    | Program
    | ProgramOutput
    | ResponseToolSearchCall
    | ResponseToolSearchOutputItem
    | AdditionalTools
    | ResponseCompactionItem
    | ImageGenerationCall
    | ResponseCodeInterpreterToolCall
    | LocalShellCall
    | LocalShellCallOutput
    | ResponseFunctionShellToolCall
    | ResponseFunctionShellToolCallOutput
    | ResponseApplyPatchToolCall
    | ResponseApplyPatchToolCallOutput
    | McpCall
    | McpListTools
    | McpApprovalRequest
    | McpApprovalResponse
    | ResponseCustomToolCall
    | ResponseCustomToolCallOutputItem
    | UnknownItem
)
"""An output item of a response."""
