"""The transport against bare websockets servers that do one odd thing each."""

from __future__ import annotations

import asyncio
import gc
import http
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError
from websockets.http11 import Request, Response

from rxresponses import (
    ConnectFailedError,
    ConnectionLostError,
    ConnectionOptions,
    ConnectTimeoutError,
    PongTimeoutError,
    ResponseCreate,
    ResponsesWebSocket,
)
from rxresponses import operators as rops
from rxresponses.net.backpressure import ReadPause
from rxresponses.net.keep_alive import keep_alive
from rxresponses.net.transport import ConnectionEnd

from ..support.recorder import WAIT, Recorder

Handler = Callable[[ServerConnection], Awaitable[None]]
KEY = "sk-very-secret"
COMPLETED = '{"type": "response.completed", "response": {"id": "r"}}'


@asynccontextmanager
async def served(handler: Handler, **options: Any) -> AsyncIterator[str]:
    """Run a bare server; yield its base URL."""
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"http://127.0.0.1:{port}/v1"


async def complete(connection: ServerConnection) -> None:
    """Answer each request with its terminal event."""
    async for _ in connection:
        await connection.send(COMPLETED)


def refuse(status: int, body: str = "", **headers: str) -> Callable[[ServerConnection, Request], Response]:
    def process_request(connection: ServerConnection, request: Request) -> Response:
        sent = Headers({name.replace("_", "-"): value for name, value in headers.items()})
        sent["Content-Length"] = str(len(body.encode()))
        return Response(status, http.HTTPStatus(status).phrase, sent, body.encode())

    return process_request


def request() -> ResponseCreate:
    return ResponseCreate(model="m", input="hi")


def run(main: Any) -> None:
    asyncio.run(asyncio.wait_for(main, WAIT))


@pytest.mark.parametrize(
    ("status", "body", "shown"),
    [
        (401, '{"error": {"message": "Incorrect API key"}}', "Incorrect API key"),
        (403, '{"message": "not for you"}', "not for you"),
        (404, '{"error": "no such model"}', "no such model"),
        (429, '["slow down"]', '["slow down"]'),
        (503, "<h1>Busy</h1>", "<h1>Busy</h1>"),
        (500, '{"error": {"code": 7}}', '{"error": {"code": 7}}'),
        (502, "", "HTTP 502"),
        pytest.param(500, f'{{"x": {"[" * 100_000}{"]" * 100_000}, "message": "too deep"}}', "too deep", id="deep"),
    ],
)
def test_a_refused_upgrade_tells_status_headers_and_message(status: int, body: str, shown: str) -> None:
    async def main() -> None:
        async with (
            served(complete, process_request=refuse(status, body, Retry_After="3")) as url,
            ResponsesWebSocket(url, api_key=KEY) as socket,
        ):
            with pytest.raises(ConnectFailedError) as raised:
                await socket.send_request(request())
        error = raised.value
        assert (error.status, error.delivery) == (status, "not_sent")
        assert error.headers["retry-after"] == "3"
        assert "Retry-After" in list(error.headers)
        assert shown in str(error)
        assert KEY not in repr(error) + str(error)

    run(main())


def test_scenario_48_no_credential_follows_a_redirect_to_another_origin() -> None:
    seen: list[Headers] = []

    def note(connection: ServerConnection, request: Request) -> None:
        seen.append(request.headers)

    async def main() -> None:
        async with (
            served(complete, process_request=note) as other,
            served(complete, process_request=refuse(307, Location=f"{other}/responses")) as url,
            ResponsesWebSocket(url, api_key=KEY, options=ConnectionOptions(headers={"api-key": KEY})) as socket,
        ):
            with pytest.raises(ConnectFailedError, match="another origin") as raised:
                await socket.send_request(request())
        assert raised.value.status == 307
        assert not seen

    run(main())


@pytest.mark.parametrize(
    ("body", "code", "kind"),
    [
        ('{"error": {"message": "no credit", "code": "insufficient_quota", "type": "t"}}', "insufficient_quota", "t"),
        ('{"message": "no", "code": "c"}', "c", None),
        ('{"error": {"message": "no", "code": 7, "type": null}}', None, None),
        ('{"error": "no"}', None, None),
        ("[]", None, None),
        ("no", None, None),
        ("", None, None),
    ],
)
def test_a_refused_upgrade_tells_code_and_type(body: str, code: str | None, kind: str | None) -> None:
    async def main() -> None:
        async with served(complete, process_request=refuse(429, body)) as url, ResponsesWebSocket(url) as socket:
            with pytest.raises(ConnectFailedError) as raised:
                await socket.send_request(request())
        assert (raised.value.code, raised.value.type) == (code, kind)

    run(main())


@pytest.mark.parametrize(
    ("status", "location"), [(503, "/maintenance"), (503, "http://example.com/"), (305, "/v1/responses")]
)
def test_a_refusal_that_names_a_location_is_no_redirect_to_another_origin(status: int, location: str) -> None:
    process_request = refuse(status, '{"error": {"message": "down for lunch"}}', Location=location)

    async def main() -> None:
        async with served(complete, process_request=process_request) as url, ResponsesWebSocket(url) as socket:
            with pytest.raises(ConnectFailedError, match=f"HTTP {status}: down for lunch"):
                await socket.send_request(request())

    run(main())


@pytest.mark.parametrize("location", ["http://example.com/", "https://127.0.0.1/", "http://x:99999/", "ftp://x/"])
def test_a_redirect_elsewhere_is_not_followed(location: str) -> None:
    async def main() -> None:
        async with (
            served(complete, process_request=refuse(307, Location=location)) as url,
            ResponsesWebSocket(url) as socket,
        ):
            with pytest.raises(ConnectFailedError, match=r"redirects \(HTTP 307\) to another origin") as raised:
                await socket.send_request(request())
        assert raised.value.status == 307

    run(main())


def test_a_redirect_within_the_origin_is_followed() -> None:
    def process_request(connection: ServerConnection, request: Request) -> Response | None:
        return None if request.path == "/elsewhere" else refuse(307, Location="/elsewhere")(connection, request)

    async def main() -> None:
        async with served(complete, process_request=process_request) as url, ResponsesWebSocket(url) as socket:
            assert (await socket.send_request(request())).type == "response.completed"

    run(main())


def test_fragmented_messages_are_put_together() -> None:
    async def fragments(connection: ServerConnection) -> None:
        async for _ in connection:
            await connection.send(iter([COMPLETED[:9], COMPLETED[9:20], COMPLETED[20:]]))
            await connection.send(iter([b"bin", b"ary"]))

    async def main() -> None:
        async with served(fragments) as url, ResponsesWebSocket(url) as socket:
            unrouted = Recorder(socket.unrouted)
            assert (await socket.send_request(request())).type == "response.completed"
            await socket.send_request(request())
            assert unrouted.values[0].raw == b"binary"

    run(main())


def test_compression_when_asked_for() -> None:
    extensions: list[str] = []

    def note(connection: ServerConnection, request: Request) -> None:
        extensions.append(request.headers.get("Sec-WebSocket-Extensions", ""))

    async def main() -> None:
        for compression in (True, False):
            options = ConnectionOptions(compression=compression)
            async with (
                served(complete, process_request=note) as url,
                ResponsesWebSocket(url, options=options) as socket,
            ):
                await socket.send_request(request())

    run(main())
    assert ["permessage-deflate" in extension for extension in extensions] == [True, False]


def test_headers_key_and_model_reach_the_server() -> None:
    seen: list[Request] = []

    def note(connection: ServerConnection, request: Request) -> None:
        seen.append(request)

    async def main() -> None:
        options = ConnectionOptions(headers={"OpenAI-Project": "p1"})
        async with (
            served(complete, process_request=note) as url,
            ResponsesWebSocket(f"{url}?tier=x", api_key=KEY, options=options) as socket,
        ):
            await socket.send_request(request())

    run(main())
    assert seen[0].path == "/v1/responses?tier=x&model=m"
    assert seen[0].headers["Authorization"] == f"Bearer {KEY}"
    assert seen[0].headers["OpenAI-Project"] == "p1"
    assert seen[0].headers["User-Agent"].startswith("rxresponses")


def test_no_secret_is_logged_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        options = ConnectionOptions(headers={"api-key": "another-secret"})
        async with served(complete) as url, ResponsesWebSocket(url, api_key=KEY, options=options) as socket:
            assert "secret" not in repr(socket) + repr(options)
            await socket.send_request(request())

    with caplog.at_level(logging.DEBUG):
        run(main())
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("rxresponses")]
    assert any("Authorization" in message for message in ours)
    assert not any("secret" in message for message in ours)


def test_scenario_26_a_connection_that_answers_no_ping_is_lost() -> None:
    async def deaf(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        await connection.wait_closed()

    async def main() -> None:
        options = ConnectionOptions(ping_interval=0.05, ping_timeout=0.05, close_timeout=0.05)
        async with (
            served(deaf, ping_interval=None, close_timeout=0.05) as url,
            ResponsesWebSocket(url, options=options) as socket,
        ):
            with pytest.raises(PongTimeoutError, match="dead") as raised:
                await socket.send_request(request())
        assert (raised.value.close_code, raised.value.delivery) == (1006, "unknown")

    run(main())


def test_a_close_frame_right_behind_the_handshake() -> None:
    async def leave(connection: ServerConnection) -> None:
        await connection.close(1013, "full")

    async def main() -> None:
        async with served(leave) as url, ResponsesWebSocket(url) as socket:
            with pytest.raises(ConnectionLostError) as raised:
                await socket.send_request(request())
        assert raised.value.close_code == 1013
        assert raised.value.delivery in ("not_sent", "unknown")

    run(main())


def test_no_websocket_at_all() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            async with ResponsesWebSocket(f"ws://127.0.0.1:{port}") as socket:
                with pytest.raises(ConnectFailedError, match="200") as raised:
                    await socket.send_request(request())
                assert raised.value.status == 200

    run(main())


def test_a_handshake_that_makes_no_sense() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"SMTP ready\r\n\r\n")
        writer.close()

    async def main() -> None:
        async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with ResponsesWebSocket(f"ws://127.0.0.1:{port}") as socket:
                with pytest.raises(ConnectFailedError, match="no WebSocket handshake"):
                    await socket.send_request(request())

    run(main())


def test_a_server_that_never_answers_the_handshake() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def main() -> None:
        async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            options = ConnectionOptions(connect_timeout=0.1)
            async with ResponsesWebSocket(f"ws://127.0.0.1:{port}", options=options) as socket:
                with pytest.raises(ConnectTimeoutError, match="connect_timeout"):
                    await socket.send_request(request())

    run(main())


def test_a_connection_that_dies_while_a_large_request_is_written() -> None:
    async def cut(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        await asyncio.sleep(0)
        connection.transport.abort()

    async def main() -> None:
        async with served(cut) as url, ResponsesWebSocket(url) as socket:
            with pytest.raises(ConnectionLostError) as raised:
                await socket.send_request(ResponseCreate(model="m", input="x" * 2**23)).pipe(rops.collect_text())
        assert raised.value.close_code == 1006
        assert raised.value.delivery in ("not_sent", "unknown")

    run(main())


@pytest.mark.parametrize(
    ("end", "text"),
    [
        (ConnectionEnd(1006, "", True), "broke off"),
        (ConnectionEnd(1001, "going", True), "the server closed with code 1001 (going)"),
        (ConnectionEnd(1011, "", False), "this side had to close with code 1011"),
    ],
)
def test_how_an_end_reads(end: ConnectionEnd, text: str) -> None:
    assert text in str(end)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("turns", range(8))
def test_pings_end_quietly_when_cancelled_whatever_they_are_at(turns: int, fails: bool) -> None:
    class Peer:
        """Takes a turn of the loop for a ping, and then does not answer, or is gone."""

        transport = SimpleNamespace(get_write_buffer_size=lambda: 0)

        async def ping(self) -> Awaitable[None]:
            await asyncio.sleep(0)
            if fails:
                raise ConnectionClosedError(None, None)
            return asyncio.get_running_loop().create_future()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        complaints: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        peer: Any = Peer()
        pings = asyncio.ensure_future(keep_alive(peer, 0, 60, ReadPause(loop, lambda: None, lambda: None)))
        for _ in range(turns):
            await asyncio.sleep(0)
        pings.cancel()
        await asyncio.wait([pings], timeout=1)
        assert pings.cancelled() or isinstance(pings.exception(), ConnectionClosedError)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait([task], timeout=1)
            assert task.done()
            del task
        del pings
        gc.collect()
        assert not complaints

    asyncio.run(main())
