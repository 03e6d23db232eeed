"""A real server for tests and demonstrations, which speaks the Responses API over WebSocket.

Nothing here imports the client: the server knows only JSON, so that the client is tested against an
independent reading of the protocol.  Names are loaded when they are used, because pytest imports this
package at its start for the `responses_server` fixture.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .journal import Received as Received
    from .replies import Close as Close
    from .replies import Failure as Failure
    from .replies import FunctionCall as FunctionCall
    from .replies import Gate as Gate
    from .replies import Hold as Hold
    from .replies import Raw as Raw
    from .replies import Reasoning as Reasoning
    from .replies import Refusal as Refusal
    from .replies import Reply as Reply
    from .replies import Text as Text
    from .request import Request as Request
    from .server import ResponsesServer as ResponsesServer
    from .transcript import Recording as Recording

_HOMES = {
    "Close": "replies",
    "Failure": "replies",
    "FunctionCall": "replies",
    "Gate": "replies",
    "Hold": "replies",
    "Raw": "replies",
    "Reasoning": "replies",
    "Received": "journal",
    "Recording": "transcript",
    "Refusal": "replies",
    "Reply": "replies",
    "Request": "request",
    "ResponsesServer": "server",
    "Text": "replies",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
