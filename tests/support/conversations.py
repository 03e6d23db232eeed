"""Conversations with a client: how they begin, and how their connections are lost."""

from __future__ import annotations

from typing import Any

from rxresponses import ResponsesClient, user_message
from rxresponses.testing import ResponsesServer
from rxresponses.wire.requests import InputItem

from .clients import ask, response_id, states_of, until_state
from .recorder import Recorder

HISTORY: list[InputItem] = [user_message("before"), {"type": "message", "role": "assistant", "content": "said before"}]
HISTORY_AS_SENT = [
    {"type": "message", "role": "user", "content": "before"},
    {"type": "message", "role": "assistant", "content": "said before"},
]


def first_response_id(client: ResponsesClient, **fields: Any) -> str:
    """Begin a conversation, and return the id of its first response."""
    return response_id(Recorder(client.send_request(ask("first", **fields))).wait())


def lose_connections(server: ResponsesServer, client: ResponsesClient) -> None:
    """Cut all connections, and wait until the client knows."""
    states = states_of(client)
    server.drop()
    until_state(states, lambda state: state.open == 0)
