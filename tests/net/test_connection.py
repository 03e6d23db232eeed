"""The life of one connection, as its listener and the observers of its requests see it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from reactivex import Observer
from websockets.utils import accept_key

from rxresponses import ConnectionOptions, ServerEvent
from rxresponses.net.connection import Connection, ConnectionListener
from rxresponses.net.credentials import Credentials
from rxresponses.net.request import ConnectionRequest
from rxresponses.net.subject import IsolatedSubject
from rxresponses.net.timing import Timings

from ..support.clients import run
from ..support.hostile import frame
from ..support.websocket_server import COMPLETED, complete, websocket_server


class Watched:
    """A connection on the running loop, with a log of what its listener and its observers got."""

    def __init__(self, url: str, options: ConnectionOptions | None = None) -> None:
        def log(name: str) -> Callable[..., None]:
            return lambda *args: self.note(name)

        def call(act: Callable[..., None], *args: Any) -> None:
            act(*args)

        self.log: list[str] = []
        self.events: IsolatedSubject[ServerEvent] = IsolatedSubject(call, log("event raised"))
        self._changed = asyncio.Event()
        unrouted: IsolatedSubject[ServerEvent] = IsolatedSubject(call, log("unrouted raised"))
        self.connection = Connection(
            asyncio.get_running_loop(),
            ConnectionListener(
                self.events,
                unrouted,
                log("accepted"),
                log("opened"),
                log("closing"),
                log("closed"),
                log("observer raised"),
            ),
            url,
            Credentials(None),
            options or ConnectionOptions(),
            echoes_stream_id=None,
        )

    def note(self, name: str) -> None:
        self.log.append(name)
        self._changed.set()

    def request(self) -> ConnectionRequest:
        observer: Observer[ServerEvent] = Observer(
            lambda event: self.note(event.type),
            lambda error: self.note(type(error).__name__),
            lambda: self.note("completed"),
        )
        return ConnectionRequest(b'{"type": "response.create"}', None, None, observer)

    async def until(self, name: str) -> None:
        """Wait until the log ends with this entry."""
        while self.log[-1:] != [name]:
            self._changed.clear()
            await self._changed.wait()


def test_the_listener_is_told_of_each_step() -> None:
    async def main() -> None:
        async with websocket_server(complete) as url:
            watched = Watched(url)
            watched.connection.submit(watched.request())
            await watched.until("completed")
            assert watched.log == ["accepted", "opened", "response.completed", "completed"]
            watched.log.clear()
            watched.connection.submit(watched.request())
            watched.connection.start_closing()
            await watched.connection.wait_closed()
            await watched.until("closed")
            assert watched.log == ["closing", "SocketClosedError", "closed"]

    run(main())


def test_a_connection_that_was_never_opened_can_be_closed() -> None:
    async def main() -> None:
        watched = Watched("http://127.0.0.1:1/v1")
        watched.connection.start_closing()
        await watched.connection.wait_closed()
        assert watched.log == ["closing"]

    run(main())


def test_writing_a_request_marks_the_time() -> None:
    async def main() -> None:
        async with websocket_server(complete) as url:
            watched = Watched(url)
            request = watched.request()
            timings = request.timings = Timings(lambda: 7.0)
            watched.connection.submit(request)
            assert timings.sent is None
            await watched.until("completed")
            assert timings.sent == 7.0
            watched.connection.start_closing()
            await watched.connection.wait_closed()

    run(main())


@contextlib.asynccontextmanager
async def accepting(frames: bytes) -> AsyncIterator[str]:
    """Run a server that sends these frames in one segment with its answer to the handshake."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        (key,) = (line.split()[1] for line in head.decode().split("\r\n") if line.startswith("Sec-WebSocket-Key"))
        answer = (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n"
        )
        writer.write(answer.encode() + frames)
        await reader.read(1)  # until the client has answered a close frame, or has closed the connection
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


def test_a_consumer_may_lag_before_the_handshake_is_complete() -> None:
    """Events may come in one segment with the answer to the handshake, before the connection has its WebSocket."""

    async def main() -> None:
        async with accepting(frame(0x81, COMPLETED.encode()) * 2) as url:
            watched = Watched(url)
            read_pause = watched.connection.read_pause

            def lag(event: ServerEvent) -> None:
                watched.note(f"{event.type}, opened: {'opened' in watched.log}")
                read_pause.consumer_lags("a")

            watched.events.observable.subscribe(lag)
            watched.connection.open()
            await watched.until("opened")
            assert watched.log == [*["response.completed, opened: False"] * 2, "accepted", "opened"]
            assert read_pause.active
            read_pause.consumer_caught_up("a")
            assert not read_pause.active
            watched.connection.start_closing(abrupt=True)
            await watched.until("closed")

    run(main())


def test_a_connection_that_is_closed_with_the_answer_to_the_handshake_was_never_open() -> None:
    async def main() -> None:
        async with accepting(frame(0x88, (1011).to_bytes(2, "big"))) as url:
            watched = Watched(url)
            watched.connection.submit(watched.request())
            await watched.until("closed")
            assert watched.log == ["closing", "ConnectionLostError", "closed"]

    run(main())
