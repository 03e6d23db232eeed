"""What the tests of conversations with a server need."""

from __future__ import annotations

import json
from typing import Any

from rxresponses import Conversation, HistorySentEvent, ResponsesClient, ResponsesWebSocket, ServerEvent
from rxresponses.senders.socket import ConnectionState
from rxresponses.testing import ResponsesServer

from ..support.clients import states_of, until_state
from ..support.recorder import Recorder


def talk(conversation: Conversation, input: Any = (), **settings: Any) -> Recorder[ServerEvent]:
    """Send a turn, and wait for its end."""
    return Recorder(conversation.send(input, **settings)).wait()


def reasons(turn: Recorder[ServerEvent]) -> list[str]:
    """Return why a turn sent everything."""
    return [event.reason for event in turn.values if isinstance(event, HistorySentEvent)]


def shown(message: dict[str, Any]) -> Any:
    """Return the texts of a request's input: of a single text, the text itself."""
    sent = message.get("input")
    return [text_of(item) for item in sent] if isinstance(sent, list) else sent


def text_of(item: Any) -> str:
    """Return the text of an item, or its type."""
    data = item if isinstance(item, dict) else json.loads(item.to_json())
    content = data.get("content")
    if data.get("type") != "message":
        return str(data["type"])
    return content if isinstance(content, str) else str((content or [{}])[0].get("text"))


def said(server: ResponsesServer) -> list[Any]:
    """Return what the requests that arrived have sent."""
    return [shown(request) for request in server.requests]


def parents(server: ResponsesServer) -> list[Any]:
    """Return the number of the request whose response each request continues, counted from 1; `None` for none."""
    ids = [exchange.response_id for exchange in server.exchanges]
    found = [request.get("previous_response_id") for request in server.requests]
    return [None if parent is None else ids.index(parent) + 1 for parent in found]


def lanes(server: ResponsesServer) -> list[Any]:
    """Return the lanes of the requests."""
    return [request.get("stream_id") for request in server.requests]


def drop(server: ResponsesServer, sender: ResponsesWebSocket | ResponsesClient) -> None:
    """Cut the connections, and wait until the sender knows."""
    if isinstance(sender, ResponsesClient):
        client_states = states_of(sender)
        server.drop()
        until_state(client_states, lambda state: state.open == 0)
        return
    states: Recorder[Any] = Recorder(sender.state)
    server.drop()
    states.wait(lambda: states.values[-1:] == [ConnectionState.IDLE])
