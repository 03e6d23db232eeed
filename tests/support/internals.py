"""What tests look up inside a sender, because no public name shows it; here, so that a rename changes one line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rxresponses import ResponsesClient, ResponsesWebSocket
from rxresponses.net.backpressure import ReadPause
from rxresponses.net.connection import Connection
from rxresponses.net.transport import FrameConnection

TIMEOUTS = "RequestTimer._check"
"""The name of the callback that waits for the next timeout of a connection."""
POOL_TIMER = "PoolDriver._act_in_time"
"""The name of the callback that waits for the next point in time of a client's pool."""


def connections_of(sender: ResponsesWebSocket | ResponsesClient) -> set[Connection]:
    """Return the connections of a sender, those that go down included."""
    return sender._connections


def connection_of(sender: ResponsesWebSocket | ResponsesClient) -> Connection:
    """Return the connection of a socket that takes new requests, or the only one of a client."""
    if isinstance(sender, ResponsesClient):
        (connection,) = sender._connections
        return connection
    assert sender._connection is not None
    return sender._connection


def websocket_of(sender: ResponsesWebSocket | ResponsesClient) -> FrameConnection:
    """Return the open WebSocket of a sender with one connection."""
    websocket = connection_of(sender)._websocket
    assert websocket is not None
    return websocket


def read_pause_of(sender: ResponsesWebSocket | ResponsesClient) -> ReadPause:
    """Return what pauses the reading of a sender with one connection."""
    return connection_of(sender).read_pause


async def spin_until(condition: Callable[[], bool]) -> None:
    """Run the loop until a condition holds which sets no event, as of a write buffer or of a server's thread."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0)


async def until_write_blocks(sender: ResponsesWebSocket | ResponsesClient) -> None:
    """Wait until the peer, which reads nothing, has left bytes in the client's write buffer."""
    await spin_until(lambda: websocket_of(sender).transport.get_write_buffer_size() > 0)
