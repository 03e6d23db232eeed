"""Peers that send without end, or never read: memory stays bounded, and each request gets a typed error."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import zlib
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.frames import Opcode

from rxresponses import (
    ConnectFailedError,
    ConnectionLostError,
    ConnectionOptions,
    ConnectTimeoutError,
    MessageTooBigError,
    PongTimeoutError,
    ResponsesWebSocket,
)
from rxresponses import operators as rops
from rxresponses.known_secrets import Secrets
from rxresponses.net.backpressure import ReadPause
from rxresponses.net.connect import open_connection
from rxresponses.net.handshake import MAX_HANDSHAKE_SIZE
from rxresponses.net.tape import Tape
from rxresponses.net.transport import ConnectionEnd, FrameConnection
from rxresponses.wire import fragments

from ..support.clients import ask, run
from ..support.hostile import frame, hostile_server
from ..support.raw_server import raw_socket
from ..support.websocket_server import websocket_server

PING = frame(0x89, b"p" * 125)


class Ignoring:
    """Ignores what it gets."""

    tape: Tape | None = None

    def __init__(self) -> None:
        self.read_pause = ReadPause(asyncio.get_running_loop(), lambda: None, lambda: None)

    def frame_received(self, frame: bytes) -> None:
        pass

    def binary_received(self, frame: bytes) -> None:
        pass

    def connection_lost(self, end: ConnectionEnd) -> None:
        pass


class PongServer:
    """Keeps the pongs that it gets."""

    def __init__(self) -> None:
        self.pongs: asyncio.Queue[bytes] = asyncio.Queue()
        server = self

        class Keeping(ServerConnection):
            def process_event(self, event: Any) -> None:
                super().process_event(event)
                if getattr(event, "opcode", None) is Opcode.PONG:
                    server.pongs.put_nowait(bytes(event.data))

        self.options: dict[str, Any] = {"create_connection": Keeping, "ping_interval": None}

    async def connect(self, url: str) -> FrameConnection:
        options = ConnectionOptions(ping_interval=None)
        return await open_connection(
            url.replace("http", "ws"), headers={}, options=options, listener=Ignoring(), secrets=Secrets()
        )


def collect(sender: ResponsesWebSocket) -> str | None:
    """Send a request and wait for its text."""
    return sender.send_request(ask()).pipe(rops.collect_text()).run()


async def _wait(connection: ServerConnection) -> None:
    await connection.wait_closed()


def test_scenario_69_only_the_latest_pong_waits_while_the_server_does_not_read() -> None:
    async def main() -> None:
        server = PongServer()
        async with websocket_server(_wait, **server.options) as url:
            connection = await server.connect(url)
            connection.data_received(frame(0x89, b"first"))
            connection.pause_writing()  # what the transport calls when its buffer is full
            for number in range(1000):
                connection.data_received(frame(0x89, b"%d" % number) + PING)
            connection.data_received(frame(0x89, b"last"))
            assert connection.transport.get_write_buffer_size() == 0
            connection.resume_writing()
            connection.data_received(frame(0x89, b"next"))
            assert [await server.pongs.get() for _ in range(3)] == [b"first", b"last", b"next"]
            await connection.shut(1, abrupt=True)

    run(main())


def test_a_pong_that_waits_is_not_sent_behind_a_close_frame() -> None:
    async def main() -> None:
        server = PongServer()
        async with websocket_server(_wait, **server.options) as url:
            connection = await server.connect(url)
            connection.pause_writing()
            connection.data_received(frame(0x89, b"late") + frame(0x88, (1000).to_bytes(2, "big")))
            written = connection.bytes_written
            connection.resume_writing()
            assert connection.bytes_written == written
            await connection.shut(1, abrupt=True)
            assert server.pongs.empty()

    run(main())


def test_scenario_69_a_server_that_sends_pings_and_never_reads_is_dead() -> None:
    async def ping_without_end(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        while not connection.transport.is_closing():
            connection.transport.write(PING)
            await asyncio.sleep(0)

    async def main() -> None:
        options = ConnectionOptions(ping_interval=0.02, ping_timeout=0.05, close_timeout=0.05)
        async with (
            websocket_server(ping_without_end, ping_interval=None, close_timeout=0.05) as url,
            ResponsesWebSocket(url, options=options) as socket,
        ):
            with pytest.raises(PongTimeoutError):
                await socket.send_request(ask())

    run(main())


@pytest.mark.parametrize("payload", [b"", b"xy"])
def test_scenario_69_a_message_in_endlessly_many_fragments(monkeypatch: pytest.MonkeyPatch, payload: bytes) -> None:
    monkeypatch.setattr(fragments, "MAX_FRAGMENTS", 100)
    message = frame(0x01, payload) + frame(0x00, payload) * 98

    def talk(connection: socket.socket) -> None:
        connection.recv(2**16)
        connection.sendall(message + frame(0x80, payload))  # 100 of them: read, though it is no event
        connection.sendall(message + frame(0x00, payload) * 50)
        connection.recv(1)

    with (
        hostile_server(talk) as url,
        ResponsesWebSocket(url, options=ConnectionOptions(close_timeout=0.1)) as socket,
        pytest.raises(MessageTooBigError, match="a message in more than 131072 fragments") as raised,
    ):
        collect(socket)
    assert "max_message_size" not in str(raised.value)
    assert (raised.value.close_code, raised.value.delivery) == (1009, "unknown")


@pytest.mark.parametrize("pieces", [1, 3])
def test_scenario_69_a_decompression_bomb(pieces: int) -> None:
    deflate = zlib.compressobj(9, wbits=-15)
    data = deflate.compress(b" " * 2**22) + deflate.flush(zlib.Z_SYNC_FLUSH)[:-4]
    step = -(-len(data) // pieces)
    parts = [data[at : at + step] for at in range(0, len(data), step)]
    frames = [frame((0x41 if at == 0 else 0) | (0x80 * (at == pieces - 1)), part) for at, part in enumerate(parts)]

    def talk(connection: socket.socket) -> None:
        connection.recv(2**16)
        connection.sendall(b"".join(frames))
        connection.recv(1)

    options = ConnectionOptions(compression=True, max_message_size=2**21, close_timeout=0.1)
    with (
        hostile_server(talk, extensions="permessage-deflate") as url,
        ResponsesWebSocket(url, options=options) as socket,
        pytest.raises(MessageTooBigError, match="max_message_size"),
    ):
        socket.send_request(ask()).pipe(rops.collect_text()).run()


def test_scenario_69_a_compressed_message_that_nobody_asked_for() -> None:
    def talk(connection: socket.socket) -> None:
        connection.recv(2**16)
        connection.sendall(frame(0xC1, zlib.compress(b"x")))
        connection.recv(1)

    with (
        hostile_server(talk) as url,
        ResponsesWebSocket(url, options=ConnectionOptions(close_timeout=0.1)) as socket,
        pytest.raises(ConnectionLostError) as raised,
    ):
        collect(socket)
    assert raised.value.close_code == 1002


ANSWERS = {
    "headers": (b"HTTP/1.1 101 Switching Protocols\r\n", b"X-More: yes\r\n"),
    "one header": (b"HTTP/1.1 101 Switching Protocols\r\nX-More: ", b"y" * 1000),
    "body": (b"HTTP/1.1 403 Forbidden\r\n\r\n", b"no " * 1000),
    "small chunks": (b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nn\r\n"),
    "announced": (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 1000000\r\n\r\n", b"no " * 1000),
    "no HTTP": (b"\x16\x03\x01", b"\n" * 1000),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_scenario_69_an_answer_to_the_handshake_without_end(answer: str) -> None:
    begin, more = ANSWERS[answer]
    sent = 0

    def talk(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(begin)
        block = more * (2**14 // len(more) + 1)
        while True:
            sent += connection.send(block)

    options = ConnectionOptions(connect_timeout=None, close_timeout=0.1)
    with (
        hostile_server(talk, answers=False) as url,
        ResponsesWebSocket(url, options=options) as sender,
        pytest.raises(ConnectFailedError),
    ):
        collect(sender)
    assert sent < MAX_HANDSHAKE_SIZE + 2**24  # what was on its way when the connection was cut included


def test_a_refusal_as_large_as_allowed_is_read() -> None:
    head = b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n"
    size = MAX_HANDSHAKE_SIZE - len(head % 200_000)

    def talk(connection: socket.socket) -> None:
        connection.sendall(head % size + b"n" * size)
        connection.recv(1)

    with (
        hostile_server(talk, answers=False) as url,
        ResponsesWebSocket(url) as sender,
        pytest.raises(ConnectFailedError) as raised,
    ):
        collect(sender)
    assert raised.value.status == 403


@pytest.mark.parametrize(("answer", "status"), [("headers", None), ("body", 403), ("announced", 403)])
def test_scenario_69_an_answer_to_the_handshake_that_trickles(answer: str, status: int | None) -> None:
    begin, more = ANSWERS[answer]

    def talk(connection: socket.socket) -> None:
        connection.sendall(begin)
        connection.settimeout(0.01)
        for byte in itertools.cycle(more):
            connection.sendall(bytes([byte]))
            with contextlib.suppress(TimeoutError):
                connection.recv(1)

    options = ConnectionOptions(connect_timeout=0.1)
    with (
        hostile_server(talk, answers=False) as url,
        ResponsesWebSocket(url, options=options) as sender,
        pytest.raises(ConnectFailedError) as raised,
    ):
        collect(sender)
    assert raised.value.status == status  # which is known as soon as the headers are there
    assert isinstance(raised.value, ConnectTimeoutError) is (status is None)


def test_scenario_77_a_good_bye_behind_a_stuck_write_ends_in_time() -> None:
    async def main() -> None:
        options = ConnectionOptions(ping_interval=None, close_timeout=0.1)
        async with raw_socket(options) as (server, socket):
            await server.start(socket)
            server.pause()
            stuck = socket.lane("other").send_request(ask("x" * 2**25)).subscribe(on_error=lambda _: None)
            closing = asyncio.ensure_future(socket.send_request(ask()).pipe(rops.collect_text()))
            await asyncio.sleep(0)
            socket.close()
            await asyncio.wait_for(socket.wait_closed(), 5)
            with pytest.raises(Exception, match="closed here"):
                await closing
            stuck.dispose()

    run(main())
