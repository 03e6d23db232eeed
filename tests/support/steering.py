"""Responses that wait to be steered, and what becomes of a steer."""

from __future__ import annotations

from typing import Any

from rxresponses import ResponsesClient, ResponsesWebSocket, ServerEvent
from rxresponses.testing import Gate, Hold, ResponsesServer, Text
from rxresponses.testing.journal import Received

from .clients import ask, response_id
from .recorder import Recorder


class HeldResponse:
    """A response that runs on a lane, and waits in the middle of its text until its gate opens."""

    def __init__(
        self,
        server: ResponsesServer,
        sender: ResponsesWebSocket | ResponsesClient,
        lane: str | None = None,
        *parts: Any,
        text: str = "hi",
        after: int = 5,
        **fields: Any,
    ) -> None:
        self.gate: Gate = server.gate()
        server.reply([*(parts or (Text(deltas=["a ", "b ", "c"]),)), Hold(self.gate, after)])
        self.events: Recorder[ServerEvent] = Recorder(sender.send_request(ask(text, **fields), stream_id=lane))
        self.events.wait_for(after)
        self.id = response_id(self.events)


def steers_received(server: ResponsesServer) -> list[Received]:
    """Return the steers that arrived, with their connections."""
    received = [one for one in server.journal if isinstance(one.message, dict)]
    return [one for one in received if one.message.get("type") == "response.steer"]


def successor_id(steer: Recorder[ServerEvent]) -> str:
    """Return the id of the response that follows from a steer."""
    steer.wait(lambda: "response.created" in steer.types)
    found = steer.values[steer.types.index("response.created")].response.id  # type: ignore[attr-defined]
    assert isinstance(found, str)
    return found
