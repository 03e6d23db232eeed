"""Upgrades on real sockets: which the server accepts, refuses, redirects and delays, and what it logs of them."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidMessage, InvalidStatus

from rxresponses.testing import DelayUpgrade, Fault, RefuseUpgrade, ResponsesServer

from .sockets import ask, endpoint, on_loop, open_connection, opened


@pytest.mark.parametrize(
    ("key", "path", "status"), [("wrong", "/responses", 401), (None, "/responses", 401), ("secret", "/realtime", 404)]
)
@on_loop
async def test_a_refused_upgrade_has_an_error_body(key: str | None, path: str, status: int) -> None:
    async with ResponsesServer(api_key="secret") as server:
        headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
        url = server.url.replace("http", "ws") + path
        with pytest.raises(InvalidStatus) as caught:
            await connect(url, additional_headers=headers, proxy=None)
        response = caught.value.response
        assert response.status_code == status
        assert response.headers.get_all("Content-Type") == ["application/json"]
        assert json.loads(response.body or b"")["error"]["message"]
        assert server.accepted == 0


@on_loop
async def test_the_right_key_and_a_query_are_accepted() -> None:
    async with ResponsesServer(api_key="secret") as server:
        headers = {"Authorization": "Bearer secret"}
        async with connect(endpoint(server) + "?model=gpt-4o", additional_headers=headers) as connection:
            assert (await ask(connection))[-1]["type"] == "response.completed"


# Faults


@on_loop
async def test_a_fault_refuses_an_upgrade() -> None:
    limited = RefuseUpgrade(429, headers={"Retry-After": "2"})
    async with ResponsesServer(faults=[Fault(limited, connection=1)]) as server:
        with pytest.raises(InvalidStatus) as caught:
            await open_connection(server)
        response = caught.value.response
        assert (response.status_code, response.reason_phrase) == (429, "Too Many Requests")
        assert response.headers["Retry-After"] == "2"
        assert response.headers.get_all("Content-Type") == ["application/json"]
        assert json.loads(response.body or b"")["error"]["code"] == "rate_limit_exceeded"
        async with open_connection(server) as connection:
            await ask(connection)

        assert server.accepted == 1
        assert [(upgrade.connection, upgrade.status) for upgrade in server.upgrades] == [(1, 429), (2, 101)]
        assert server.exchanges[0].connection == server.journal[0].connection == 2


@on_loop
async def test_a_refusal_with_text_and_an_unusual_status() -> None:
    html = RefuseUpgrade(529, "<html>ö</html>", {"Content-Type": "text/html"})
    async with ResponsesServer(faults=[Fault(html)]) as server:
        for _ in range(2):
            with pytest.raises(InvalidStatus) as caught:
                await open_connection(server)
            response = caught.value.response
            assert response.status_code == 529
            assert response.headers.get_all("Content-Type") == ["text/html"]
            assert response.body == "<html>ö</html>".encode()
        server.clear_faults()
        async with open_connection(server) as connection:
            await ask(connection)


@on_loop
async def test_a_fault_redirects_an_upgrade() -> None:
    async with ResponsesServer() as server, ResponsesServer() as other:
        server.fault(Fault(RefuseUpgrade(307, headers={"Location": endpoint(other)})))
        headers = {"Authorization": "Bearer secret"}
        async with connect(endpoint(server) + "?a=b", additional_headers=headers) as connection:
            await ask(connection)
        (first,), (second,) = server.upgrades, other.upgrades
        assert (first.status, first.path, first.headers["authorization"]) == (
            307,
            "/v1/responses?a=b",
            "Bearer secret",
        )
        assert "secret" not in repr(first)
        assert (second.status, len(other.exchanges)) == (101, 1)


@on_loop
async def test_a_fault_delays_an_upgrade() -> None:
    loop = asyncio.get_running_loop()
    faults = [Fault(DelayUpgrade(0.05)), Fault(RefuseUpgrade(503), connection=2)]
    async with ResponsesServer(faults=faults) as server:
        started = loop.time()
        async with open_connection(server) as connection:
            assert loop.time() - started >= 0.05
            await ask(connection)
        with pytest.raises(InvalidStatus):
            await open_connection(server)


@on_loop
async def test_the_server_ends_although_an_upgrade_is_not_answered() -> None:
    async with ResponsesServer(faults=[Fault(DelayUpgrade(), times=1)]) as server:
        opening = asyncio.create_task(opened(server))
        await server.until(lambda: len(server.upgrades) == 1)
        assert server.upgrades[0].status is None
        async with open_connection(server) as connection:
            await ask(connection)
    with pytest.raises((InvalidStatus, InvalidMessage, ConnectionError)):
        await opening
    assert [upgrade.status for upgrade in server.upgrades] == [503, 101]


# The log


@on_loop
async def test_a_client_that_leaves_during_the_upgrade_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with ResponsesServer(faults=[Fault(DelayUpgrade(0.05), times=1)]) as server:
        opening = asyncio.create_task(opened(server))
        await server.until(lambda: len(server.upgrades) == 1)
        opening.cancel()
        await asyncio.wait([opening])
        async with open_connection(server) as connection:
            await ask(connection)
        await server.until(lambda: server.upgrades[0].status is not None)

    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@on_loop
async def test_a_client_that_leaves_before_its_upgrade_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with ResponsesServer() as server:
        for sent in (b"", b"GET /v1/responses HTTP/1.1\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(sent)
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()

    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def caused_by(cause: Exception) -> Exception:
    error = ValueError()
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("message", "error", "is_logged"),
    [
        ("opening handshake failed", EOFError(), False),
        ("opening handshake failed", ConnectionResetError(), False),
        ("opening handshake failed", caused_by(EOFError()), False),
        ("opening handshake failed", ValueError(), True),
        ("opening handshake failed", None, True),
        ("unexpected internal error", AssertionError(), False),
        ("unexpected internal error", ValueError(), True),
        ("connection handler failed", EOFError(), True),
    ],
)
def test_other_errors_are_logged(
    message: str, error: Exception | None, is_logged: bool, caplog: pytest.LogCaptureFixture
) -> None:
    ResponsesServer()
    logging.getLogger("rxresponses.testing").error(message, exc_info=error)

    assert [record.getMessage() for record in caplog.records] == [message] * is_logged


@on_loop
async def test_the_log_of_an_upgrade_hides_the_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "rxresponses.testing")
    async with ResponsesServer(api_key="secret") as server:
        headers = {"Authorization": "Bearer secret"}
        async with connect(endpoint(server), additional_headers=headers) as connection:
            await ask(connection)

    messages = [record.getMessage() for record in caplog.records if record.name == "rxresponses.testing"]
    assert "< Authorization: (hidden)" in messages
    assert not any("secret" in message for message in messages)
