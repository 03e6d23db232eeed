"""WebSocket servers that know no protocol: a test gives them the handler of a connection, or of its handshake."""

from __future__ import annotations

import http
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

COMPLETED = '{"type": "response.completed", "response": {"id": "r"}}'


@asynccontextmanager
async def websocket_server(
    handler: Callable[[ServerConnection], Awaitable[None]], **options: Any
) -> AsyncIterator[str]:
    """Run a server on the running loop; yield its base URL."""
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"http://127.0.0.1:{port}/v1"


async def complete(connection: ServerConnection) -> None:
    """Answer each request with its terminal event."""
    async for _ in connection:
        await connection.send(COMPLETED)


def refuse(status: int, body: str = "", **headers: str) -> Callable[[ServerConnection, Request], Response]:
    """Answer each handshake with an HTTP response; `Retry_After="3"` is the header `Retry-After: 3`."""

    def process_request(connection: ServerConnection, request: Request) -> Response:
        fields = Headers({name.replace("_", "-"): value for name, value in headers.items()})
        fields["Content-Length"] = str(len(body.encode()))
        return Response(status, http.HTTPStatus(status).phrase, fields, body.encode())

    return process_request
