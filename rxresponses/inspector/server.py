"""`InspectorServer`: serves the page of an inspector, and feeds it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from http import HTTPStatus

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from ..marbles.page import live_page, live_policy
from ..redaction import discreet_logger
from .access import HOST, Access, Refusal
from .feed import Feed
from .page_queue import PageQueue

_MOST_PAGES = 20
_LONGEST_MESSAGE = 100  # bytes that a page sends at once
_GOING_AWAY = 1001
_LOGGER = discreet_logger("rxresponses.inspector.websockets")


def _is_relevant(record: logging.LogRecord) -> bool:
    """Leave out what has the token or texts, and that something which is no browser has connected."""
    return record.levelno > logging.DEBUG and record.msg != "opening handshake failed"


_LOGGER.addFilter(_is_relevant)
_LOGGER.setLevel(logging.INFO)  # websockets need not make the records that are left out

# Besides what the policy says: nothing is kept on the disk, no other site may load anything, and none learns the URL.
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class InspectorServer:
    """Serves on one event loop, from `run` until `stop`."""

    def __init__(self, listening: socket.socket, token: str, feed: Feed, title: str, about: str) -> None:
        port = listening.getsockname()[1]
        self._socket = listening
        self._access = Access(port, token)
        self._origin = f"{HOST}:{port}"
        self._feed = feed
        self._title, self._about = title, about
        self._stop = asyncio.Event()
        self.connections: set[ServerConnection] = set()  # of open pages

    def stop(self) -> None:
        """Let `run` end."""
        self._stop.set()

    async def run(self, when_stopped: Callable[[], object]) -> None:
        """Serve until `stop`; call a function when nobody can connect any more."""
        collecting = asyncio.ensure_future(self._feed.run())
        try:
            server = await serve(
                self._serve_page,
                sock=self._socket,
                process_request=self._answer,
                logger=_LOGGER,
                compression=None,
                max_size=_LONGEST_MESSAGE,
                close_timeout=1,
                server_header=None,
            )
            try:
                await self._stop.wait()
            finally:
                await self._close(server, when_stopped)
        finally:
            self._socket.close()
            when_stopped()
            self._feed.close()
            collecting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await collecting

    async def _close(self, server: Server, when_stopped: Callable[[], object]) -> None:
        closing = [asyncio.ensure_future(page.close(_GOING_AWAY)) for page in server.connections]
        server.close(close_connections=False)
        await asyncio.sleep(0)  # which does it in a task
        when_stopped()
        if closing:
            await asyncio.wait(closing)
        await server.wait_closed()

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a request, or let it become a WebSocket."""
        headers = request.headers
        answer = self._access.answer(request.path, headers.get_all("Host"), headers.get_all("Origin"))
        if answer == "events":
            if len(self.connections) < _MOST_PAGES:
                return None
            answer = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"{_MOST_PAGES} pages are open already.\n")
        if isinstance(answer, Refusal):
            response = connection.respond(answer.status, answer.text)
        else:
            response = self._page(connection, str(headers["Host"]))
        for name, value in _HEADERS.items():
            response.headers[name] = value
        return response

    def _page(self, connection: ServerConnection, host: str) -> Response:
        origin = f"ws://{host.lower()}"
        response = connection.respond(HTTPStatus.OK, live_page(self._title, self._about, origin))
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "text/html; charset=utf-8"
        response.headers["Content-Security-Policy"] = live_policy(origin)
        return response

    async def _serve_page(self, connection: ServerConnection) -> None:
        page = PageQueue(self._feed.snapshot)
        self._feed.pages.add(page)
        self.connections.add(connection)
        sending = asyncio.ensure_future(_feed(connection, page))
        closing = asyncio.ensure_future(connection.wait_closed())
        try:
            await asyncio.wait((sending, closing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.connections.discard(connection)
            self._feed.pages.discard(page)
            closing.cancel()
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionClosed):
                await sending  # raises an error of this library, which closes the connection


async def _feed(connection: ServerConnection, page: PageQueue) -> None:
    """Send a message when the page has drawn the one before."""
    while True:
        await connection.send(await page.next(), text=True)
        await connection.recv()
