"""Which output items are calls that the program has to answer; the server answers all others itself."""

from __future__ import annotations

from typing import TypeAlias, TypeGuard

from .models import (
    LocalShellCall,
    McpApprovalRequest,
    ResponseApplyPatchToolCall,
    ResponseComputerToolCall,
    ResponseContainerReference,
    ResponseCustomToolCall,
    ResponseFunctionShellToolCall,
    ResponseFunctionToolCall,
    ResponseToolSearchCall,
)

ClientCallItem: TypeAlias = (
    LocalShellCall
    | McpApprovalRequest
    | ResponseApplyPatchToolCall
    | ResponseComputerToolCall
    | ResponseCustomToolCall
    | ResponseFunctionShellToolCall
    | ResponseFunctionToolCall
    | ResponseToolSearchCall
)
_ALWAYS = (
    LocalShellCall,
    McpApprovalRequest,
    ResponseApplyPatchToolCall,
    ResponseComputerToolCall,
    ResponseCustomToolCall,
    ResponseFunctionToolCall,
)


def is_client_call(item: object) -> TypeGuard[ClientCallItem]:
    """Whether the program has to answer an output item before the model goes on."""
    if isinstance(item, ResponseToolSearchCall):
        return item.execution == "client"
    if isinstance(item, ResponseFunctionShellToolCall):
        return not isinstance(item.environment, ResponseContainerReference)
    return isinstance(item, _ALWAYS)
