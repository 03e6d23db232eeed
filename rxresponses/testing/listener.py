"""The part of the server that runs on its event loop: it listens, answers upgrades and serves connections."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, cast
from weakref import WeakKeyDictionary, WeakSet

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, InvalidHandshake, SecurityError
from websockets.http11 import Request as UpgradeRequest
from websockets.http11 import Response as UpgradeResponse

from ..redaction import discreet_logger
from .connection import AcceptedConnection
from .faults import RefuseUpgrade
from .handshake import AllowedOrigins, check_headers, check_upgrade
from .journal import Journal, Upgrade
from .jsontext import encode
from .plan import FaultPlan
from .replies import Close, ConnectionIntervention
from .session import Session
from .websocket import BoundedWebSocket

_LOGGER = discreet_logger("rxresponses.testing")  # at level DEBUG it shows the handshakes, without credentials
_OF_THE_CLIENT = (ConnectionClosed, ConnectionError, EOFError, InvalidHandshake, SecurityError)


def _is_relevant(record: logging.LogRecord) -> bool:
    """Filter the log of websockets, which reports clients that leave, or send something else, as errors.

    The client gets an HTTP response that says what is wrong.
    """
    error = record.exc_info[1] if record.exc_info else None
    if record.msg == "unexpected internal error":
        return not isinstance(error, AssertionError)  # an assertion of websockets that the handshake is complete
    if record.msg == "opening handshake failed":
        return not any(isinstance(each, _OF_THE_CLIENT) for each in (error, error.__cause__ if error else None))
    return True


_LOGGER.addFilter(_is_relevant)


class Listener:
    """Listens for connections and serves them, on the loop on which `run` is called.

    `close` and `call_soon`, and the attributes `started`, `closed`, `port`, `accepted` and `connections`, may
    be used from any thread.

    Args:
        host: the address to listen on.
        port: the port to listen on, 0 for any free port.
        api_key: the bearer token that clients must send, `None` to accept every client.
        allow_origins: the origins of the web pages that may connect, besides those of the server itself.
        max_size: the size of the largest message that is accepted, in bytes.
        journal: records the upgrades and the frames.
        plan: the faults of the server.
        new_session: returns the session of a new connection, from the number of the connection and the time.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        api_key: str | None,
        allow_origins: Sequence[str],
        max_size: int | None,
        journal: Journal,
        plan: FaultPlan,
        new_session: Callable[[int, float], Session],
    ) -> None:
        self.port = port
        self.started: Future[None] = Future()
        """Done when the server listens, or has failed to."""

        self.closed = False
        self.accepted = 0
        """How many connections were ever opened."""

        self._host = host
        self._api_key = api_key
        self._origins = AllowedOrigins(allow_origins)
        self._max_size = max_size
        self._journal = journal
        self._plan = plan
        self._new_session = new_session
        self._websockets: WeakSet[BoundedWebSocket] = WeakSet()
        """All WebSockets, those whose handshake has not ended too."""

        self._connections: set[AcceptedConnection] = set()
        self._upgrades = 0
        self._numbers: WeakKeyDictionary[ServerConnection, int] = WeakKeyDictionary()
        self._closing: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._connections)

    @property
    def is_on_running_loop(self) -> bool:
        """Whether the caller runs on the loop of the server."""
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    def close(self) -> None:
        """Begin to stop `run`.  Does nothing before it runs."""
        self.call_soon(self._stop.set)

    def call_soon(self, action: Callable[[], object]) -> None:
        """Call `action` on the loop of the server, if that runs."""
        if self._loop is not None and not self.closed:
            with contextlib.suppress(RuntimeError):  # the loop was closed just now
                self._loop.call_soon_threadsafe(action)

    async def run(self) -> None:
        """Serve connections until `close` is called."""
        self._loop = asyncio.get_running_loop()
        try:
            server = await serve(
                self._serve_connection,
                self._host,
                self.port,
                process_request=self._answer_upgrade,
                logger=_LOGGER,
                compression=None,
                max_size=self._max_size,
                max_queue=None,  # a full queue pauses reading, and then resumes it although a `Stall` has paused it
                ping_interval=None,  # a client that is stopped in a debugger must not lose its connection
                close_timeout=BoundedWebSocket.close_within,
                create_connection=cast("type[ServerConnection]", self._new_websocket),
            )
        except Exception as error:
            self.closed = True
            self.started.set_exception(error)
            self._journal.notify()
            return
        try:
            async with server:
                self.port = next(iter(server.sockets)).getsockname()[1]
                self.started.set_result(None)
                self._journal.notify()
                await self._stop.wait()
                self._loop.call_later(BoundedWebSocket.close_within, self._abort_all)
        finally:
            self.closed = True
            self._journal.notify()

    def _new_websocket(self, *args: Any, **kwargs: Any) -> BoundedWebSocket:
        websocket = BoundedWebSocket(*args, **kwargs)
        self._websockets.add(websocket)
        return websocket

    def _abort_all(self) -> None:
        """End all connections that are left when the server stops, such as those without an upgrade request."""
        for websocket in list(self._websockets):
            websocket.abort()

    def wake_all(self) -> None:
        """Let all connections ask their sessions what to send.  Must be called on the loop of the server."""
        for connection in self._connections:
            connection.wake()

    def intervene(self, intervention: ConnectionIntervention, number: int | None) -> None:
        """Let an intervention happen now to the connection with this number, or to all open connections.

        Must be called on the loop of the server.
        """
        for connection in self._connections:
            if number not in (None, connection.number):
                continue
            if isinstance(intervention, Close):
                task = asyncio.create_task(connection.close(intervention))
                self._closing.add(task)  # the loop itself keeps only weak references to its tasks
                task.add_done_callback(self._closing.discard)
            else:
                connection.intervene(intervention)

    async def _answer_upgrade(self, websocket: ServerConnection, request: UpgradeRequest) -> UpgradeResponse | None:
        """Return the response that refuses an upgrade, `None` to accept it.  Faults may delay the answer."""
        loop = asyncio.get_running_loop()
        self._upgrades += 1
        self._numbers[websocket] = self._upgrades
        raw_headers = [(name.lower(), value) for name, value in request.headers.raw_items()]
        headers = dict(raw_headers)
        upgrade = Upgrade(self._upgrades, request.path, headers, loop.time())
        self._journal.add_upgrade(upgrade)
        refusal = None
        for fault in self._plan.at_upgrade(upgrade.connection):
            if isinstance(fault, RefuseUpgrade):
                refusal = fault
                break
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stop.wait(), fault.seconds)
                refusal = RefuseUpgrade(503)  # the server stops before the delay is over
                break
        origins = [value for name, value in raw_headers if name == "origin"]
        refusal = (
            refusal
            or check_headers(raw_headers)
            or self._origins.check(origins, {self._host, websocket.local_address[0]}, self.port)
            or check_upgrade(request.path, headers.get("authorization"), self._api_key)
        )
        self._journal.answer_upgrade(upgrade, refusal.status if refusal is not None else 101)
        return _response(refusal) if refusal is not None else None

    async def _serve_connection(self, websocket: ServerConnection) -> None:
        self.accepted += 1
        number = self._numbers.pop(websocket)
        session = self._new_session(number, asyncio.get_running_loop().time())
        assert isinstance(websocket, BoundedWebSocket)  # made by `_new_websocket`
        connection = AcceptedConnection(number, websocket, session, self._journal)
        self._connections.add(connection)
        self._journal.notify()
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
            connection.end()
            self._journal.notify()


def _response(refusal: RefuseUpgrade) -> UpgradeResponse:
    content = refusal.content
    content_type = "text/plain; charset=utf-8" if isinstance(content, str) else "application/json"
    body = (content if isinstance(content, str) else encode(dict(content))).encode()
    headers = {"Content-Type": content_type, **refusal.headers, "Content-Length": str(len(body))}
    return UpgradeResponse(refusal.status, refusal.reason, Headers({**headers, "Connection": "close"}), body)
