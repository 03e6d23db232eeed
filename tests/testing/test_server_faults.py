"""Faults on real sockets: upgrades, what the transport does, and what the server tells of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from rxresponses.testing import (
    Close,
    Delay,
    DelayUpgrade,
    DropStreamIds,
    Expire,
    Failure,
    Fault,
    Hold,
    Inject,
    RefuseUpgrade,
    ResponsesServer,
    Stall,
    Text,
)

from .test_server import ask, endpoint, events, open_connection, run, send, text_of


async def receive(connection: ClientConnection, count: int) -> list[Any]:
    return [json.loads(await connection.recv()) for _ in range(count)]


# Upgrades


def test_a_refused_upgrade() -> None:
    async def test() -> None:
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
            assert [(one.connection, one.status) for one in server.upgrades] == [(1, 429), (2, 101)]
            assert server.exchanges[0].connection == server.journal[0].connection == 2

    run(test)


def test_a_refusal_in_text_with_a_status_of_its_own() -> None:
    async def test() -> None:
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

    run(test)


def test_a_redirect_and_what_the_other_server_sees_of_it() -> None:
    async def test() -> None:
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

    run(test)


def test_a_late_upgrade() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        faults = [Fault(DelayUpgrade(0.05)), Fault(RefuseUpgrade(503), connection=2)]
        async with ResponsesServer(faults=faults) as server:
            started = loop.time()
            async with open_connection(server) as connection:
                assert loop.time() - started >= 0.05
                await ask(connection)
            with pytest.raises(InvalidStatus):
                await open_connection(server)

    run(test)


def test_an_upgrade_that_never_comes_does_not_keep_the_server() -> None:
    async def test() -> None:
        async with ResponsesServer(faults=[Fault(DelayUpgrade(), times=1)]) as server:
            opening = asyncio.ensure_future(_open(server))
            await server.until(lambda: len(server.upgrades) == 1)
            assert server.upgrades[0].status is None
            async with open_connection(server) as connection:
                await ask(connection)
        with pytest.raises((InvalidStatus, InvalidMessage, ConnectionError)):
            await opening

    run(test)


def test_a_client_that_leaves_during_the_handshake_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with ResponsesServer(faults=[Fault(DelayUpgrade(0.05), times=1)]) as server:
            opening = asyncio.ensure_future(_open(server))
            await server.until(lambda: len(server.upgrades) == 1)
            opening.cancel()
            await asyncio.wait([opening])
            async with open_connection(server) as connection:
                await ask(connection)
            await server.until(lambda: server.upgrades[0].status is not None)

    run(test)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_nor_is_one_that_leaves_before_it(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with ResponsesServer() as server:
            for sent in (b"", b"GET /v1/responses HTTP/1.1\r\n"):
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(sent)
                writer.write_eof()
                assert await reader.read() == b""
                writer.close()

    run(test)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def _open(server: ResponsesServer) -> ClientConnection:
    return await open_connection(server)


# Connections


@pytest.mark.parametrize("code", [1006, 1011])
def test_the_second_request_ends_its_connection(code: int) -> None:
    async def test() -> None:
        async with ResponsesServer(faults=[Fault(Close(code, after=3), request=2)]) as server:
            async with open_connection(server) as connection:
                await ask(connection)
                await send(connection)
                await receive(connection, 3)
                with pytest.raises(ConnectionClosed):
                    await connection.recv()
                assert connection.close_code == code
            async with open_connection(server) as connection:
                await ask(connection)
            exchanges = server.exchanges
            assert [one.outcome for one in exchanges] == ["completed", "lost", "completed"]
            assert [one.events for one in exchanges][1] == 3
            assert [one.connection for one in exchanges] == [1, 1, 2]
            assert exchanges[1].faults == (Close(code, after=3),)

    run(test)


def test_the_client_that_leaves_is_told_of_too() -> None:
    async def test() -> None:
        async with ResponsesServer(faults=[Fault(Stall(after=3))]) as server:
            async with open_connection(server) as connection:
                waiting = asyncio.create_task(server.until(lambda: [one.events for one in server.exchanges] == [3]))
                await send(connection)
                await waiting  # it is told of the stall itself
                assert server.exchanges[0].outcome is None
            await server.until(lambda: server.exchanges[0].outcome == "lost")

    run(test)


def test_a_stalled_connection_answers_pings() -> None:
    async def test() -> None:
        async with ResponsesServer(faults=[Fault(Stall(after=0))]) as server, open_connection(server) as connection:
            await send(connection)
            await server.until(lambda: len(server.exchanges) == 1)
            await (await connection.ping())
            await send(connection, stream_id="other")
            await server.until(lambda: len(server.exchanges) == 2)
            await (await connection.ping())
            assert server.exchanges[1].events == 0

    run(test)


@pytest.mark.parametrize("request_number", [0, 1])
def test_a_deaf_connection_answers_nothing(request_number: int) -> None:
    async def test() -> None:
        stall = Fault(Stall(after=2, pongs=False), request=request_number)
        async with ResponsesServer(faults=[stall]) as server:
            connection = await connect(endpoint(server), close_timeout=0)
            await send(connection)
            if request_number:
                await receive(connection, 2)
                await server.until(lambda: server.exchanges[0].events == 2)
            for _ in range(100):  # more than the server's queue, which stops and resumes reading by itself
                await send(connection)
            pong = await connection.ping()
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(pong, 0.1)
            assert server.connections == 1
            connection.transport.abort()
            await connection.wait_closed()
            if request_number:
                server.close_connections(1006)
                await server.until(lambda: server.connections == 0)
                assert server.exchanges[0].outcome == "lost"

    run(test)


def test_leaving_with_a_deaf_connection_aborts_it() -> None:
    async def test() -> None:
        async with ResponsesServer(faults=[Fault(Stall(pongs=False), times=1)]) as server:
            connection, other = await open_connection(server), await open_connection(server)
            await send(connection)
            await server.until(lambda: any(one.events == 2 for one in server.exchanges))
        await asyncio.gather(connection.wait_closed(), other.wait_closed())
        assert (connection.close_code, other.close_code) == (1006, 1001)  # a closing handshake would last a second

    run(test)


def test_frames_that_do_not_belong() -> None:
    async def test() -> None:
        frames: list[Any] = ["{broken", b"\x00\xff", "x" * 3_000_000, {"type": "response.new"}]
        faults = [Fault(Inject(frame, after=3), request=1) for frame in frames]
        async with ResponsesServer(faults=faults) as server, open_connection(server) as connection:
            await send(connection)
            await receive(connection, 3)
            received = [await connection.recv() for _ in frames]
            assert received == [*frames[:3], '{"type":"response.new"}']
            rest = [event async for event in events(connection)]
            assert rest[0]["sequence_number"] == 3

    run(test)


def test_a_late_event() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        async with ResponsesServer() as server, open_connection(server) as connection:
            server.reply(["hi", Delay(0.05, after=3)])
            await send(connection)
            await receive(connection, 3)
            started = loop.time()
            await receive(connection, 1)
            assert loop.time() - started >= 0.04

    run(test)


def test_no_lanes_on_one_connection_only() -> None:
    async def test() -> None:
        faults = [Fault(DropStreamIds(), connection=1)]
        async with ResponsesServer(faults=faults) as server:
            server.on("", lambda request: Text(request.stream_id or ""))
            async with open_connection(server) as first, open_connection(server) as second:
                for connection in (first, second):
                    received = await ask(connection, stream_id="a")
                    assert ("stream_id" in received[0]) == (connection is second)
                    assert text_of(received) == "a"

    run(test)


# Now


def test_the_connection_limit_reached_while_idle() -> None:
    async def test() -> None:
        async with ResponsesServer() as server, open_connection(server) as first, open_connection(server) as second:
            await server.until(lambda: server.connections == 2)
            server.disturb(Expire(), connection=1)
            (error,) = await receive(first, 1)
            assert error["error"]["code"] == "websocket_connection_limit_reached"
            await first.wait_closed()
            assert first.close_code == 1000
            assert (await ask(second))[-1]["type"] == "response.completed"

    run(test)


def test_a_stall_and_frames_now() -> None:
    async def test() -> None:
        with ResponsesServer() as server:
            async with open_connection(server) as connection:
                await server.until(lambda: server.connections == 1)
                for wrong in (Hold(), Failure(), "drop", Expire):
                    with pytest.raises(TypeError, match="Not a Close, Expire, Stall or Inject"):
                        server.disturb(wrong)  # type: ignore[arg-type]
                server.disturb(Inject({"type": "hello"}))
                assert (await receive(connection, 1)) == [{"type": "hello"}]
                server.disturb(Stall(pongs=False))
                with pytest.raises(asyncio.TimeoutError):
                    await _ping_for_ever(connection)
                server.drop()
                await connection.wait_closed()

    run(test)


async def _ping_for_ever(connection: ClientConnection) -> None:
    while True:
        await asyncio.wait_for(await connection.ping(), 0.2)


# Many at once


def test_a_storm_leaves_a_true_account() -> None:
    """Whatever a client sees, the server's exchanges confirm it, and only so many of them are kept."""

    async def test() -> None:
        faults = [
            Fault(Close(1006, after=0), probability=0.1),
            Fault(Close(1006, after=4), probability=0.1),
            Fault(Inject("{broken", after=1), probability=0.1),
            Fault(RefuseUpgrade(), probability=0.2),
        ]
        async with ResponsesServer(faults=faults, remember=50) as server:
            connection: ClientConnection | None = None
            seen: list[int] = []
            while len(seen) < 100:
                with contextlib.suppress(InvalidStatus):
                    connection = connection or await open_connection(server)
                if connection is None:
                    continue
                seen.append(0)
                try:
                    await send(connection)
                    while True:
                        frame = await connection.recv()
                        seen[-1] += frame != "{broken"
                        if b'"response.completed"' in (frame if isinstance(frame, bytes) else frame.encode()):
                            break
                except ConnectionClosed:
                    connection = None
            if connection is not None:
                await connection.close()

            exchanges = server.exchanges
            assert len(exchanges) == len(server.requests) == 50
            assert [one.number for one in exchanges] == list(range(51, 101))
            assert [one.events for one in exchanges] == seen[50:]
            lost = [Close(1006, after=0) in one.faults or Close(1006, after=4) in one.faults for one in exchanges]
            assert [one.outcome == "lost" for one in exchanges] == lost
            assert 0 < sum(lost) < 25

    run(test)
