"""A server that sends back what it was sent: the request of the handshake with its headers, and each message."""

from __future__ import annotations

import asyncio
import http
import json
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

Event = Callable[[str], dict[str, Any]]

EVENTS: dict[str, Event] = {
    "error": lambda echo: {"type": "error", "status": 400, "error": {"message": echo, "code": echo, "type": echo}},
    "error, flat": lambda echo: {"type": "error", "message": echo, "param": echo, "headers": {"x-echo": echo}},
    "response.error": lambda echo: {"type": "response.error", "error": {"message": echo}},
    "no type": lambda echo: {"detail": echo},
    "error, a text": lambda echo: {"type": "error", "error": echo},
    "failed": lambda echo: _end("failed", error={"code": "server_error", "message": echo}, metadata={echo[:500]: echo}),
    "failed, unreadable": lambda echo: {"type": "response.failed", "response": {"error": {"message": echo}}},
    "unreadable": lambda echo: {"type": "response.completed", "response": [echo]},
    "incomplete": lambda echo: _end("incomplete", incomplete_details={"reason": echo}),
    "refusal": lambda echo: _end("completed", output=[_message({"type": "refusal", "refusal": echo})]),
    "id": lambda echo: _end("failed", id=echo[:2000]),
    "limit": lambda echo: {"type": "error", "code": "websocket_connection_limit_reached", "message": echo},
}
"""Events that end a request, by name; each is made of the text that is sent back."""


def _end(status: str, **fields: Any) -> dict[str, Any]:
    return {
        "type": f"response.{status}",
        "response": {"id": "r1", "object": "response", "created_at": 0, "model": "m", "output": [], "status": status}
        | fields,
    }


def _message(part: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": [part]}


class EchoServer:
    """Runs on a thread of its own, as a context manager.

    `way` is how it sends back what it was sent: an event of `EVENTS`; "delta", "close", "close, no UTF-8",
    "close, cut", "text", "binary" and "fragments" after the handshake; "body", "headers", "reason", "accept",
    "protocol", "redirect" and "no HTTP" instead of it.  `quote` changes the text.
    """

    def __init__(self, way: str, quote: Callable[[str], str] = str) -> None:
        self._way = way
        self._quote = quote
        self._heads: dict[ServerConnection, str] = {}
        self._started: Future[int] = Future()
        self._stop: Callable[[], object] = lambda: None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> EchoServer:
        self._thread.start()
        self.port = self._started.result()
        self.url = f"http://127.0.0.1:{self.port}/v1"
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        self._thread.join()

    async def _run(self) -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._stop = lambda: loop.call_soon_threadsafe(stopped.set)
        if self._way == "no HTTP":
            server: Any = await asyncio.start_server(self._answer_no_http, "127.0.0.1", 0)
        else:
            server = await serve(
                self._serve,
                "127.0.0.1",
                0,
                process_request=self._process_request,
                process_response=self._process_response,
                close_timeout=0.1,
            )
        async with server:
            self._started.set_result(next(iter(server.sockets)).getsockname()[1])
            await stopped.wait()

    async def _answer_no_http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(self._quote(head.decode().replace("\r\n", " ")).encode() + b"\r\n\r\n")
        await writer.drain()
        writer.close()

    def _process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        headers = "; ".join(f"{name}: {value}" for name, value in request.headers.raw_items())
        head = self._heads[connection] = self._quote(f"GET {request.path} {headers}")
        if self._way == "body":
            body = json.dumps({"error": {"message": head, "code": head, "type": head}}).encode()
            return _refusal(body=body, headers={"Content-Length": str(len(body))})
        if self._way == "headers":
            return _refusal(headers={f"X-Echo-{name}": value for name, value in request.headers.raw_items()})
        if self._way == "reason":
            return _refusal(reason=head)
        if self._way == "redirect":
            return _refusal(307, headers={"Location": f"http://other.invalid/?{head}"})
        return None

    def _process_response(self, connection: ServerConnection, request: Request, response: Response) -> None:
        name = {"accept": "Sec-WebSocket-Accept", "protocol": "Sec-WebSocket-Protocol"}.get(self._way)
        if name is not None:
            if name in response.headers:
                del response.headers[name]
            response.headers[name] = self._heads[connection]

    async def _serve(self, connection: ServerConnection) -> None:
        head = self._heads.pop(connection)
        try:
            async for message in connection:
                assert isinstance(message, str)
                await self._answer(connection, f"{head} {self._quote(message)}", message)
        except ConnectionClosed:
            pass

    async def _answer(self, connection: ServerConnection, echo: str, message: str) -> None:
        if self._way == "delta":
            await connection.send(json.dumps({"type": "response.created", "response": {"id": echo[:2000]}}))
            await connection.send(json.dumps({"type": "response.output_text.delta", "delta": echo}))
        elif self._way in EVENTS:
            await connection.send(json.dumps(EVENTS[self._way](echo)))
        elif self._way == "text":
            await connection.send(echo)
            await connection.close(1011)
        elif self._way == "binary":
            await connection.send(echo.encode())
            await connection.close(1011)
        elif self._way == "fragments":
            await connection.send([echo[:40], echo[40:]])
            await connection.close(1011)
        else:
            # A reason has room for 123 bytes, so only the input of the request is sent back.
            begin = {"close, no UTF-8": b"\xff", "close, cut": b"-" * 110}.get(self._way, b"")
            reason = (begin + self._quote(json.loads(message)["input"]).encode())[:123]
            connection.transport.write(bytes((0x88, len(reason) + 2)) + (1008).to_bytes(2, "big") + reason)
            connection.transport.close()


def _refusal(
    status: int = 401, *, reason: str | None = None, headers: dict[str, str] | None = None, body: bytes = b""
) -> Response:
    fields = Headers({"Content-Length": "0", **(headers or {})})
    return Response(status, reason or http.HTTPStatus(status).phrase, fields, body)
