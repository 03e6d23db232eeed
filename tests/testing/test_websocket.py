"""Hostile clients, which know the frames of RFC 6455 and do not follow its manners."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from rxresponses import ConnectionOptions, ResponseCreate, ResponsesWebSocket, ServerEvent
from rxresponses.testing import Raw, ResponsesServer, Stall, websocket
from rxresponses.testing.websocket import BoundedWebSocket
from tests.effort import examples
from tests.support.internals import spin_until
from tests.support.raw_client import CLOSE, CONTINUATION, PING, REQUEST, TEXT, UPGRADE, RawClient, frame, raw_client

from .sockets import TIMEOUT, ask, on_loop, open_connection


def server_transport(server: ResponsesServer) -> asyncio.Transport:
    (connection,) = server._listener._websockets
    return connection.transport


def buffered(server: ResponsesServer) -> int:
    """Return the bytes that wait in the buffers of all connections of the server."""
    return sum(each.transport.get_write_buffer_size() for each in server._listener._websockets)


# Clients that do not read


@asynccontextmanager
async def lagging_client(server: ResponsesServer) -> AsyncIterator[RawClient]:
    """A client that has not read the first part of a large answer, so that the server cannot write more."""
    server.reply(Raw(["x" * 1_000_000] * 100))
    async with raw_client(server) as client:
        client.transport.pause_reading()
        await client.write(frame(TEXT, REQUEST))
        await spin_until(lambda: buffered(server) > 0)
        yield client


@pytest.mark.parametrize(
    "sent",
    [frame(PING, b"x" * 125), frame(TEXT, b"{}".ljust(1_000)), frame(TEXT, REQUEST.replace(b"hi", b"hi" * 1_000))],
    ids=["pings", "invalid", "requests"],
)
@on_loop
async def test_scenario_69_a_client_that_sends_without_reading_is_not_read_either(sent: bytes) -> None:
    async with ResponsesServer(remember=1) as server, lagging_client(server) as client:
        before = buffered(server)
        assert await client.is_blocked(sent * 1_000, 64 * 2**20)
        (connection,) = server._listener._connections
        assert buffered(server) - before + connection._session.size < 4 * websocket.MOST_UNREAD
        async with open_connection(server) as other:
            assert (await ask(other))[-1]["type"] == "response.completed"


@on_loop
async def test_a_client_that_reads_again_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "MOST_UNREAD", 2**10)
    async with ResponsesServer() as server, lagging_client(server) as client:
        for number in range(1_000):
            await client.write(frame(TEXT, REQUEST.replace(b"hi", b"%d" % number)))
        await spin_until(lambda: not server_transport(server).is_reading())
        assert len(server.requests) < 1_000
        client.transport.resume_reading()
        reading = asyncio.create_task(read_all(client.reader))
        await server.until(lambda: len(server.requests) == 1_001, timeout=TIMEOUT)
        reading.cancel()
        await asyncio.wait([reading])


async def read_all(reader: asyncio.StreamReader) -> None:
    while await reader.read(2**16):
        pass


@on_loop
async def test_scenario_77_a_request_behind_a_pause_is_answered() -> None:
    """A client that sends all its requests before it reads gets all answers."""
    async with ResponsesServer(remember=1) as server, raw_client(server) as client:
        count = examples(3_000)
        writing = asyncio.create_task(client.write(frame(TEXT, REQUEST) * count))
        received = completed = 0
        while completed < count:
            data = await client.reader.readuntil(b'"type":"response.completed"')
            received += len(data)
            completed += 1
        await writing
        assert received > 5 * websocket.MOST_UNREAD


# The end


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> float:
    """A closing handshake that may take only a short time, which this returns in seconds."""
    monkeypatch.setattr(BoundedWebSocket, "close_within", 0.1)
    return 0.1


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "how", ["reads nothing", "sends no request", "answers no good-bye", "stalled", "two good-byes"]
)
def test_scenario_69_leaving_the_context_is_bounded(how: str) -> None:
    with ResponsesServer() as server, socket.create_connection(("127.0.0.1", server.port)) as client:
        if how != "sends no request":
            client.sendall(UPGRADE + b"\r\n")
            server.wait_until(lambda: server.connections == 1)
        if how == "stalled":
            server.disturb(Stall(pongs=False))
        if how in ("reads nothing", "two good-byes"):
            server.reply(Raw(["x" * 1_000_000] * 100))
            client.sendall(frame(TEXT, REQUEST))
            asyncio.run(spin_until(lambda: buffered(server) > 0))
        if how == "two good-byes":
            server.close_connections(1000, "bye")
        server.close()
        asyncio.run(asyncio.wait_for(server.wait_closed(), TIMEOUT))
    assert server.connections == 0


@pytest.mark.usefixtures("quick")
def test_scenario_77_leaving_the_context_with_a_lagging_client_of_this_package_is_bounded() -> None:
    options = ConnectionOptions(max_buffered_bytes=2**16, close_timeout=0.1)
    release = threading.Event()

    def hold(event: ServerEvent) -> None:
        release.wait(TIMEOUT)

    with ResponsesServer() as server:
        server.reply(Raw(["x" * 1_000_000] * 100))
        lagging = ResponsesWebSocket(server.url, options=options)
        events = lagging.send_request(ResponseCreate(model="m", input="hi"))
        subscription = events.subscribe(hold, lambda error: None)
        asyncio.run(spin_until(lambda: buffered(server) > 0))
        server.close()
        asyncio.run(asyncio.wait_for(server.wait_closed(), TIMEOUT))
        release.set()
    subscription.dispose()
    lagging.close()


@pytest.mark.usefixtures("quick")
@on_loop
async def test_scenario_77_a_good_bye_behind_a_stuck_write_is_bounded() -> None:
    async with ResponsesServer() as server, lagging_client(server):
        server.close_connections(1001)
        await server.until(lambda: server.connections == 0, timeout=TIMEOUT)
        assert server.exchanges[0].outcome == "lost"


@pytest.mark.usefixtures("quick")
@on_loop
async def test_scenario_69_a_client_that_keeps_the_transport_open_after_its_good_bye_is_aborted() -> None:
    async with ResponsesServer() as server, raw_client(server) as client:
        await client.write(frame(CLOSE, struct.pack("!H", 1000)))
        await server.until(lambda: server.connections == 0)
        assert await client.close_code() == 1000


# Fragments and compression


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("content", [b"", b"ab"])
@on_loop
async def test_scenario_69_endless_fragments_end_the_connection(
    monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setattr(websocket, "MOST_FRAGMENTS", 1_000)
    async with ResponsesServer() as server, raw_client(server) as client:
        await client.write(frame(TEXT, content, fin=False) + frame(CONTINUATION, content, fin=False) * 2_000)
        assert await client.close_code() == 1009
        await server.until(lambda: server.connections == 0)
        async with open_connection(server) as other:
            assert (await ask(other))[-1]["type"] == "response.completed"


@on_loop
async def test_fragments_up_to_the_limit_are_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "MOST_FRAGMENTS", len(REQUEST))
    async with ResponsesServer() as server, raw_client(server) as client:
        for _ in range(2):
            pieces = [
                frame(CONTINUATION if index else TEXT, REQUEST[index : index + 1], fin=False)
                for index in range(len(REQUEST) - 1)
            ]
            await client.write(b"".join(pieces) + frame(CONTINUATION, REQUEST[-1:]))
            await client.reader.readuntil(b'"type":"response.completed"')


@on_loop
async def test_scenario_69_a_decompression_bomb_is_not_unpacked() -> None:
    async with ResponsesServer() as server:
        async with raw_client(server, b"Sec-WebSocket-Extensions: permessage-deflate\r\n") as client:
            bomb = zlib.compress(bytes(50_000_000))
            await client.write(frame(TEXT, bomb, reserved=4))
            assert await client.close_code() == 1002  # the server has accepted no extension
        assert server.journal == []


@on_loop
async def test_scenario_69_a_large_frame_is_refused_by_its_head() -> None:
    async with ResponsesServer(max_size=2**20) as server, raw_client(server) as client:
        await client.write(b"\x81\xff" + struct.pack("!Q", 2**40) + bytes(4))
        assert await client.close_code() == 1009
