"""A client of the embedded server on real sockets, which knows only websockets and JSON."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, ParamSpec

from websockets.asyncio.client import ClientConnection, connect

from rxresponses.testing import ResponsesServer

TERMINAL = ("response.completed", "response.failed", "response.incomplete")
TIMEOUT = 20.0  # seconds for one test

Event = dict[str, Any]
P = ParamSpec("P")


def on_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test to its end.  It must end in time, and no task may be left."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def bounded() -> None:
            await asyncio.wait_for(test(*args, **kwargs), TIMEOUT)
            assert asyncio.all_tasks() == {asyncio.current_task()}

        asyncio.run(bounded())

    return run


def endpoint(server: ResponsesServer) -> str:
    """Return the URL of the WebSocket."""
    return server.url.replace("http", "ws") + "/responses"


def open_connection(server: ResponsesServer) -> connect:
    """Return a connection to await, or to use as a context manager."""
    return connect(endpoint(server), max_size=None)


async def opened(server: ResponsesServer) -> ClientConnection:
    """Return an open connection, as a coroutine for a task."""
    return await open_connection(server)


async def send(connection: ClientConnection, **body: Any) -> None:
    """Send a `response.create`."""
    await connection.send(json.dumps({"type": "response.create", "model": "m", "input": "hi", **body}))


async def receive(connection: ClientConnection, count: int) -> list[Any]:
    """Return the next `count` events."""
    return [json.loads(await connection.recv()) for _ in range(count)]


async def frames(connection: ClientConnection) -> AsyncIterator[str | bytes]:
    """Yield the frames up to the first terminal event."""
    event_type = None
    while event_type not in TERMINAL:
        frame = await connection.recv()
        yield frame
        event_type = json.loads(frame)["type"]


async def events(connection: ClientConnection) -> AsyncIterator[Event]:
    """Yield the events up to the first terminal event."""
    async for frame in frames(connection):
        yield json.loads(frame)


async def ask(connection: ClientConnection, **body: Any) -> list[Event]:
    """Send a `response.create` and return the events of its response."""
    await send(connection, **body)
    return [event async for event in events(connection)]
