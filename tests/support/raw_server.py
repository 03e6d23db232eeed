"""Servers that do less than the embedded one: they send what a test says, or do not even answer the handshake."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import Opcode
from websockets.http11 import Request, Response

from rxresponses import ConnectionOptions, ResponsesWebSocket
from rxresponses.net.transport import FrameConnection

from . import frames
from .clients import ask
from .recorder import WAIT, AsyncRecorder

LARGE = 2**25  # bytes of a request; more than the buffers between client and server take


class RawServer:
    """A WebSocket server on the running loop: it keeps what it receives, and sends only what a test says."""

    def __init__(self) -> None:
        self.url = ""
        self.pings = 0
        self.connections: list[ServerConnection] = []  # the latest last
        self.received: list[dict[str, Any]] = []  # on all connections
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """Look at the conditions of `until` again."""
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds; each connection, message and ping is a reason to look."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def until_received(self, count: int) -> None:
        """Wait until so many requests have arrived."""
        await self.until(lambda: len(self.received) == count)

    async def send(self, *events: dict[str, Any]) -> None:
        """Send events on the latest connection."""
        for event in events:
            await self.connections[-1].send(json.dumps(event))

    async def answer(self, request: dict[str, Any], response_id: str) -> None:
        """Answer a request with a response that has no output."""
        lane = {"stream_id": request["stream_id"]} if "stream_id" in request else {}
        await self.send(*frames.response(response_id, **lane))

    async def start(self, socket: ResponsesWebSocket) -> AsyncRecorder[Any]:
        """Send a first request with a socket, and answer it with the first event of the response `r1`."""
        got = AsyncRecorder(socket.send_request(ask()))
        await self.until_received(1)
        await self.send(frames.created())
        return await got.until_count(1)

    async def steer(self, socket: ResponsesWebSocket, *answers: dict[str, Any]) -> AsyncRecorder[Any]:
        """Send a steer of the response `r1` behind its request, and answer it with these events."""
        got = AsyncRecorder(socket.steer("r1", "shorter"))
        await self.until_received(2)
        await self.send(*answers)
        return got

    def pause(self) -> None:
        """Read nothing more on the latest connection, pings included."""
        self.connections[-1].transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        self.connections[-1].transport.resume_reading()

    def drop(self) -> None:
        """Cut the latest connection."""
        self.connections[-1].transport.abort()


@asynccontextmanager
async def raw_server(headers: Mapping[str, str] | None = None) -> AsyncIterator[RawServer]:
    """Listen, and take every connection, with these headers in the answer to the handshake."""
    raw = RawServer()

    class Counting(ServerConnection):
        def process_event(self, event: Any) -> None:
            super().process_event(event)
            raw.pings += getattr(event, "opcode", None) is Opcode.PING
            raw.changed()

    async def handle(connection: ServerConnection) -> None:
        raw.connections.append(connection)
        raw.changed()
        async for message in connection:
            raw.received.append(json.loads(message))
            raw.changed()

    def respond(connection: ServerConnection, request: Request, response: Response) -> None:
        response.headers.update(headers or {})

    async with serve(
        handle,
        *("127.0.0.1", 0),
        create_connection=Counting,
        process_response=respond,
        ping_interval=None,
        close_timeout=0.1,
        max_size=None,
    ) as server:
        raw.url = f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/v1"
        try:
            yield raw
        finally:
            for connection in raw.connections:
                connection.transport.abort()  # it may be paused


@asynccontextmanager
async def raw_socket(options: ConnectionOptions) -> AsyncIterator[tuple[RawServer, ResponsesWebSocket]]:
    """Yield a raw server, and a socket to it."""
    async with raw_server() as raw, ResponsesWebSocket(raw.url, options=options) as socket:
        yield raw, socket


class PongCounter:
    """Counts the pongs that reach the client."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._changed = asyncio.Event()
        counter = self

        class Counting(FrameConnection):
            def process_event(self, event: Any) -> None:
                super().process_event(event)
                if getattr(event, "opcode", None) is Opcode.PONG:
                    counter.count += 1
                    counter._changed.set()

        monkeypatch.setattr("rxresponses.net.connect.FrameConnection", Counting)

    async def until(self, count: int) -> None:
        """Wait until so many pongs have come."""
        while self.count < count:
            self._changed.clear()
            await self._changed.wait()


@contextmanager
def silent_listener() -> Iterator[tuple[str, socket.socket]]:
    """Listen for connections whose handshake is never answered; yield the base URL and the listening socket."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(WAIT)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1", listener
