"""The WebSocket: messages go to the listener at once, or after a pause; the end of the connection comes last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection

from rxresponses import ConnectionLostError, ConnectionOptions, ResponseCreate, ResponsesWebSocket
from rxresponses import operators as rops
from rxresponses.known_secrets import Secrets
from rxresponses.net.backpressure import ReadPause
from rxresponses.net.connect import open_connection
from rxresponses.net.tape import Tape
from rxresponses.net.transport import ConnectionEnd, FrameConnection
from rxresponses.wire import fragments

from ..support.certificates import VALID, server_context, trusting
from ..support.clients import ask, run
from ..support.recorder import Recorder
from ..support.websocket_server import COMPLETED, websocket_server


def test_fragmented_messages_are_put_together() -> None:
    async def send(connection: ServerConnection) -> None:
        async for _ in connection:
            await connection.send(iter([COMPLETED[:9], COMPLETED[9:20], COMPLETED[20:]]))
            await connection.send(iter([b"bin", b"ary"]))

    async def main() -> None:
        async with websocket_server(send) as url, ResponsesWebSocket(url) as socket:
            unrouted = Recorder(socket.unrouted)
            assert (await socket.send_request(ask())).type == "response.completed"
            await socket.send_request(ask())
            assert unrouted.values[0].raw == b"binary"

    run(main())


def test_a_close_frame_right_behind_the_handshake() -> None:
    async def leave(connection: ServerConnection) -> None:
        await connection.close(1013, "full")

    async def main() -> None:
        async with websocket_server(leave) as url, ResponsesWebSocket(url) as socket:
            with pytest.raises(ConnectionLostError) as raised:
                await socket.send_request(ask())
        assert raised.value.close_code == 1013
        assert raised.value.delivery in ("not_sent", "unknown")

    run(main())


def test_a_connection_that_is_cut_while_a_large_request_is_written() -> None:
    async def cut(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        await asyncio.sleep(0)
        connection.transport.abort()

    async def main() -> None:
        async with websocket_server(cut) as url, ResponsesWebSocket(url) as socket:
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
def test_the_text_of_an_end(end: ConnectionEnd, text: str) -> None:
    assert text in str(end)


class PausingListener:
    """Pauses the connection at each message that it is told to pause at, and keeps what it gets."""

    tape: Tape | None = None

    def __init__(self, *pause_at: str) -> None:
        self.read_pause = ReadPause(asyncio.get_running_loop(), lambda: None, lambda: None)
        self.connection: FrameConnection | None = None
        self.received: list[str] = []
        self.ended = asyncio.Event()
        self._pause_at = pause_at
        self._paused = asyncio.Event()

    def frame_received(self, frame: bytes) -> None:
        assert self.connection is not None
        self.received.append(frame.decode())
        if self.received[-1] in self._pause_at:
            self.connection.pause()
            self._paused.set()

    def binary_received(self, frame: bytes) -> None:
        raise NotImplementedError

    def connection_lost(self, end: ConnectionEnd) -> None:
        self.received.append(f"lost {end.code}")
        self.ended.set()

    async def until_paused(self) -> None:
        await self._paused.wait()


@asynccontextmanager
async def paused_at(
    *pause_at: str, last: bytes = b"\x81\x01c"
) -> AsyncIterator[tuple[FrameConnection, PausingListener]]:
    """Yield a connection that is paused at the first of several messages that came together."""

    async def send(connection: ServerConnection) -> None:
        await connection.recv()
        connection.transport.write(b"\x81\x01a\x81\x01b" + last)
        await connection.wait_closed()

    listener = PausingListener(*pause_at)
    async with websocket_server(send) as url:
        ws = url.replace("http", "ws")
        connection = await open_connection(
            ws, headers={}, options=ConnectionOptions(), listener=listener, secrets=Secrets()
        )
        listener.connection = connection
        await connection.send("go")
        await listener.until_paused()
        yield connection, listener
        await connection.shut(1, abrupt=True)


def test_messages_behind_a_pause_are_delivered_by_resume() -> None:
    async def main() -> None:
        async with paused_at("a", "b") as (connection, listener):
            assert listener.received == ["a"]
            connection.pause()  # twice changes nothing
            connection.resume()
            assert listener.received == ["a", "b"]  # where it paused again
            connection.resume()
            assert listener.received == ["a", "b", "c"]
            connection.resume()  # without a pause nothing happens

    run(main())


def test_the_end_comes_after_the_messages_that_a_pause_held_back() -> None:
    async def main() -> None:
        async with paused_at("a") as (connection, listener):
            connection.transport.abort()  # as when a ping cannot be written
            await connection.wait_closed()
            assert listener.received == ["a"]
            connection.resume()
            assert listener.received == ["a", "b", "c", "lost 1006"]

    run(main())


def test_the_end_comes_also_when_a_message_that_a_pause_held_back_has_too_many_fragments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fragments, "MAX_FRAGMENTS", 2)

    async def main() -> None:
        async with paused_at("a", last=b"\x01\x01c" + 2 * b"\x00\x01c") as (connection, listener):
            connection.transport.abort()
            await connection.wait_closed()
            connection.resume()
            assert listener.received == ["a", "b", "lost 1006"]

    run(main())


@pytest.mark.parametrize("secure", [False, True])
def test_connections_of_a_loop_read_into_one_buffer(secure: bool, tmp_path: Path) -> None:
    """The buffer is smaller than the messages, which come to both connections at the same time."""

    async def send(connection: ServerConnection) -> None:
        await connection.recv()
        for n in range(9):
            await connection.send(f"{n} {connection.id} ".ljust(300_000 if n == 2 else 20_000, "x"))

    async def receive(url: str, options: ConnectionOptions) -> tuple[FrameConnection, list[str]]:
        listener = PausingListener()
        connection = await open_connection(url, headers={}, options=options, listener=listener, secrets=Secrets())
        listener.connection = connection
        await connection.send("go")
        await listener.ended.wait()
        await connection.shut(1, abrupt=True)
        return connection, listener.received

    buffers = []

    async def main() -> None:
        context = server_context(tmp_path) if secure else None
        options = ConnectionOptions(ssl=trusting(VALID) if secure else None)
        async with websocket_server(send, ssl=context) as url:
            url = url.replace("http", "wss" if secure else "ws").replace("127.0.0.1", "localhost")
            (one, texts), (other, others) = await asyncio.gather(receive(url, options), receive(url, options))
        for received in (texts, others):
            numbers, ids = zip(*(text.split()[:2] for text in received[:-1]), strict=True)
            assert numbers == tuple(map(str, range(9)))
            assert len(set(ids)) == 1
            assert all(len(text) == (300_000 if n == 2 else 20_000) for n, text in enumerate(received[:-1]))
            assert received[-1] == "lost 1000"
        assert one.get_buffer(-1) is other.get_buffer(-1)
        buffers.append(one.get_buffer(-1))

    run(main())
    run(main())
    assert buffers[0] is not buffers[1]  # another loop may run on another thread
