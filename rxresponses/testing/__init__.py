"""A server for tests and demonstrations that speaks the Responses API over WebSocket.

The server imports nothing of the client and knows only JSON.  Thus the tests of the client compare two
independent readings of the protocol.

pytest imports this package at its start, for the fixture `responses_server`.  Therefore a name is imported
only when it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .fallback import url_or_embedded_server as url_or_embedded_server
    from .faults import DelayUpgrade as DelayUpgrade
    from .faults import DropStreamIds as DropStreamIds
    from .faults import Fault as Fault
    from .faults import IgnoreSteer as IgnoreSteer
    from .faults import RefuseConcurrent as RefuseConcurrent
    from .faults import RefuseUpgrade as RefuseUpgrade
    from .faults import ReorderLanes as ReorderLanes
    from .journal import Exchange as Exchange
    from .journal import Received as Received
    from .journal import Upgrade as Upgrade
    from .outputs import ApplyPatchCall as ApplyPatchCall
    from .outputs import CustomToolCall as CustomToolCall
    from .outputs import FunctionCall as FunctionCall
    from .outputs import Interleaved as Interleaved
    from .outputs import Item as Item
    from .outputs import Json as Json
    from .outputs import LocalShellCall as LocalShellCall
    from .outputs import McpApprovalRequest as McpApprovalRequest
    from .outputs import Raw as Raw
    from .outputs import Reasoning as Reasoning
    from .outputs import Refusal as Refusal
    from .outputs import ShellCall as ShellCall
    from .outputs import Text as Text
    from .replies import Close as Close
    from .replies import Delay as Delay
    from .replies import Expire as Expire
    from .replies import Failure as Failure
    from .replies import Gate as Gate
    from .replies import Hold as Hold
    from .replies import Incomplete as Incomplete
    from .replies import Inject as Inject
    from .replies import Pace as Pace
    from .replies import Reply as Reply
    from .replies import Stall as Stall
    from .replies import Usage as Usage
    from .request import Request as Request
    from .server import ResponsesServer as ResponsesServer
    from .transcript import Recording as Recording
    from .when import When as When
else:

    def __getattr__(name: str) -> Any:  # a type checker that saw this function would accept any misspelt name
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)


_MODULES = {
    "ApplyPatchCall": "outputs",
    "Close": "replies",
    "CustomToolCall": "outputs",
    "Delay": "replies",
    "DelayUpgrade": "faults",
    "DropStreamIds": "faults",
    "Exchange": "journal",
    "Expire": "replies",
    "Failure": "replies",
    "Fault": "faults",
    "FunctionCall": "outputs",
    "Gate": "replies",
    "Hold": "replies",
    "IgnoreSteer": "faults",
    "Incomplete": "replies",
    "Inject": "replies",
    "Interleaved": "outputs",
    "Item": "outputs",
    "Json": "outputs",
    "LocalShellCall": "outputs",
    "McpApprovalRequest": "outputs",
    "Pace": "replies",
    "Raw": "outputs",
    "Reasoning": "outputs",
    "Received": "journal",
    "Recording": "transcript",
    "Refusal": "outputs",
    "RefuseConcurrent": "faults",
    "RefuseUpgrade": "faults",
    "ReorderLanes": "faults",
    "Reply": "replies",
    "Request": "request",
    "ResponsesServer": "server",
    "ShellCall": "outputs",
    "Stall": "replies",
    "Text": "outputs",
    "Upgrade": "journal",
    "Usage": "replies",
    "When": "when",
    "url_or_embedded_server": "fallback",
}

# Written out, because mypy reads no other form: `from rxresponses.testing import *` would bring no name.
__all__ = [
    "ApplyPatchCall",
    "Close",
    "CustomToolCall",
    "Delay",
    "DelayUpgrade",
    "DropStreamIds",
    "Exchange",
    "Expire",
    "Failure",
    "Fault",
    "FunctionCall",
    "Gate",
    "Hold",
    "IgnoreSteer",
    "Incomplete",
    "Inject",
    "Interleaved",
    "Item",
    "Json",
    "LocalShellCall",
    "McpApprovalRequest",
    "Pace",
    "Raw",
    "Reasoning",
    "Received",
    "Recording",
    "Refusal",
    "RefuseConcurrent",
    "RefuseUpgrade",
    "ReorderLanes",
    "Reply",
    "Request",
    "ResponsesServer",
    "ShellCall",
    "Stall",
    "Text",
    "Upgrade",
    "Usage",
    "When",
    "url_or_embedded_server",
]


def __dir__() -> list[str]:
    """Return the public names, for tab completion: modules and what they import are none."""
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
