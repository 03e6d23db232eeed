"""The opening handshake with servers that refuse it, redirect it, or do not understand it."""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from rxresponses import ConnectFailedError, ConnectionOptions, ConnectTimeoutError, ResponsesWebSocket
from rxresponses.backoff import is_retryable, is_spent
from rxresponses.net import connect

from ..support.clients import ask, run
from ..support.websocket_server import complete, refuse, websocket_server

KEY = "sk-very-secret"

ProcessRequest = Callable[[ServerConnection, Request], Response | None]


@asynccontextmanager
async def socket_to(
    process_request: ProcessRequest | None = None, *, query: str = "", **options: Any
) -> AsyncIterator[ResponsesWebSocket]:
    """Yield a socket to a server that answers each handshake, or refuses it."""
    async with (
        websocket_server(complete, process_request=process_request) as url,
        ResponsesWebSocket(url + query, api_key=KEY, options=ConnectionOptions(**options)) as socket,
    ):
        yield socket


def failure(process_request: ProcessRequest, *, match: str | None = None, **options: Any) -> ConnectFailedError:
    """Return the error of a request whose connection cannot be made."""
    errors: list[ConnectFailedError] = []

    async def main() -> None:
        async with socket_to(process_request, **options) as socket:
            with pytest.raises(ConnectFailedError, match=match) as raised:
                await socket.send_request(ask())
        errors.append(raised.value)

    run(main())
    return errors[0]


# --- refusals


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
        (503, "\x1f\x8b\x08\0\0\0", "HTTP 503; "),  # compressed
        pytest.param(500, f'{{"x": {"[" * 100_000}{"]" * 100_000}, "message": "too deep"}}', "too deep", id="deep"),
    ],
)
def test_a_refusal_shows_status_headers_and_message(status: int, body: str, shown: str) -> None:
    error = failure(refuse(status, body, Retry_After="3"))
    assert (error.status, error.delivery) == (status, "not_sent")
    assert error.headers["retry-after"] == "3"
    assert "Retry-After" in list(error.headers)
    assert shown in str(error)
    assert KEY not in repr(error) + str(error)


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
def test_a_refusal_shows_code_and_type(body: str, code: str | None, kind: str | None) -> None:
    error = failure(refuse(429, body))
    assert (error.code, error.type) == (code, kind)


@pytest.mark.parametrize(
    ("body", "retry_after", "resets_at"),
    [
        ("", None, None),
        ("busy", None, None),
        ('{"error": {"type": "usage_limit_reached", "resets_in_seconds": 90, "resets_at": 1800000000}}', 90.0, 1.8e9),
        ('{"code": "rate_limit_exceeded", "message": "Please try again in 0.2s."}', 0.2, None),
        ('{"error": "try again in 3s"}', 3.0, None),
        ('{"error": "slow down", "retry_after": 5}', 5.0, None),
        ('{"error": {"code": "slow_down"}, "resets_at": 1800000000}', None, 1.8e9),
        ('{"error": ["try again in 3s"]}', 3.0, None),
        ('["try again in 3s"]', 3.0, None),
    ],
)
def test_scenario_64_a_refusal_tells_when_the_limit_ends(
    body: str, retry_after: float | None, resets_at: float | None
) -> None:
    error = failure(refuse(429, body))
    assert (error.retry_after, error.resets_at) == (retry_after, resets_at)


@pytest.mark.parametrize(
    "body",
    [
        '{"error": "insufficient_quota"}',
        '{"error": {"code": "insufficient_quota", "message": "no credit"}, "type": "error"}',
        '{"error": [{"type": "insufficient_quota"}]}',
        '{"code": "insufficient_quota", "error": null}',
    ],
)
def test_scenario_64_a_refusal_tells_of_a_spent_quota(body: str) -> None:
    error = failure(refuse(429, body))
    assert is_spent(error)
    assert not is_retryable(error)


# --- redirects


def test_scenario_48_no_credential_follows_a_redirect_to_another_origin() -> None:
    handshakes: list[Request] = []

    def note(connection: ServerConnection, request: Request) -> None:
        handshakes.append(request)

    async def main() -> None:
        async with (
            websocket_server(complete, process_request=note) as other,
            socket_to(refuse(307, Location=f"{other}/responses"), headers={"api-key": KEY}) as socket,
        ):
            with pytest.raises(ConnectFailedError, match="another origin") as raised:
                await socket.send_request(ask())
        assert raised.value.status == 307
        assert not handshakes

    run(main())


@pytest.mark.parametrize("location", ["http://example.com/", "https://127.0.0.1/", "http://x:99999/", "ftp://x/"])
def test_a_redirect_to_another_origin_is_not_followed(location: str) -> None:
    error = failure(refuse(307, Location=location), match=r"redirects \(HTTP 307\) to another origin")
    assert error.status == 307


@pytest.mark.parametrize(
    ("status", "location"), [(503, "/maintenance"), (503, "http://example.com/"), (305, "/v1/responses")]
)
def test_a_refusal_with_a_location_is_no_redirect_to_another_origin(status: int, location: str) -> None:
    body = '{"error": {"message": "down for lunch"}}'
    failure(refuse(status, body, Location=location), match=f"HTTP {status}: down for lunch")


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("/elsewhere", "/elsewhere"),
        ("http://{host}/elsewhere?a=%20b", "/elsewhere?a=%20b"),
        ("HTTP://{host}/elsewhere#part", "/elsewhere"),
        ("ws://user:password@{host}/elsewhere", "/elsewhere"),
        ("//{host}/else where?a=\u00e9", "/else%20where?a=%C3%A9"),
    ],
)
def test_scenario_65_a_redirect_within_the_origin_is_followed(location: str, path: str) -> None:
    followed: list[Request] = []

    def process_request(connection: ServerConnection, request: Request) -> Response | None:
        if request.path.startswith("/else"):
            followed.append(request)
            return None
        target = location.format(host=request.headers["Host"])
        return refuse(307, Location=target)(connection, request)

    async def main() -> None:
        async with socket_to(process_request) as socket:
            assert (await socket.send_request(ask())).type == "response.completed"

    run(main())
    assert [request.path for request in followed] == [path]
    assert "password" not in str(followed[0].headers)


# --- what is sent


def handshake(*, query: str = "", **options: Any) -> Request:
    """Return the handshake of one request as the server received it."""
    received: list[Request] = []

    def note(connection: ServerConnection, request: Request) -> None:
        received.append(request)

    async def main() -> None:
        async with socket_to(note, query=query, **options) as socket:
            await socket.send_request(ask())

    run(main())
    return received[0]


@pytest.mark.parametrize("compression", [True, False])
def test_compression_is_an_option(compression: bool) -> None:
    extensions = handshake(compression=compression).headers.get("Sec-WebSocket-Extensions", "")
    assert ("permessage-deflate" in extensions) is compression


def test_headers_key_and_model_reach_the_server() -> None:
    received = handshake(query="?tier=x", headers={"OpenAI-Project": "p1"})
    assert received.path == "/v1/responses?tier=x&model=m"
    assert received.headers["Authorization"] == f"Bearer {KEY}"
    assert received.headers["OpenAI-Project"] == "p1"
    assert received.headers["User-Agent"].startswith("rxresponses")


def test_a_source_tree_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    connect._user_agent.cache_clear()
    try:
        assert handshake().headers["User-Agent"] == "rxresponses"
    finally:
        connect._user_agent.cache_clear()


def test_no_secret_is_logged_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        options: dict[str, Any] = {"headers": {"api-key": "another-secret"}}
        async with socket_to(**options) as socket:
            assert "secret" not in repr(socket) + repr(ConnectionOptions(**options))
            await socket.send_request(ask())

    with caplog.at_level(logging.DEBUG):
        run(main())
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("rxresponses")]
    assert any("Authorization" in message for message in ours)
    assert not any("secret" in message for message in ours)


# --- other servers than WebSocket servers


def failure_with(answer: bytes, **options: Any) -> ConnectFailedError:
    """Return the error of a connection to a TCP server that answers with these bytes, or with nothing."""
    errors: list[ConnectFailedError] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await (reader.readline() if answer else reader.read())
        writer.write(answer)
        writer.close()

    async def main() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with ResponsesWebSocket(f"ws://127.0.0.1:{port}", options=ConnectionOptions(**options)) as socket:
                with pytest.raises(ConnectFailedError) as raised:
                    await socket.send_request(ask())
        errors.append(raised.value)

    asyncio.run(main())
    return errors[0]


def test_an_http_server() -> None:
    error = failure_with(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
    assert "200" in str(error)
    assert error.status == 200


def test_a_server_that_does_not_know_http() -> None:
    assert "no WebSocket handshake" in str(failure_with(b"SMTP ready\r\n\r\n"))


def test_a_server_that_never_answers_the_handshake() -> None:
    error = failure_with(b"", connect_timeout=0.1)
    assert isinstance(error, ConnectTimeoutError)
    assert "connect_timeout" in str(error)
