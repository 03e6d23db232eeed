"""The embedded server: sessions on real WebSocket connections."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any
from weakref import WeakKeyDictionary

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request as UpgradeRequest
from websockets.http11 import Response as UpgradeResponse

from ..redaction import discreet_logger
from .faults import Fault, FaultPlan, RefuseUpgrade
from .handshake import check_upgrade
from .history import Ids, Storage
from .journal import Condition, Exchange, Journal, Received, Upgrade
from .model import Match, ScriptedModel
from .replies import DISTURBANCES, Close, Disturbance, Gate, Reply, Stall
from .session import Limits, Session
from .transcript import Recording
from .wire import JSON, encode

_LOGGER = discreet_logger("rxresponses.testing")  # at DEBUG the handshakes, without the client's key
_ABORT = 1006  # never sent: the code that a client reports when there was no closing handshake
_BURST = 32  # steps at a stretch, before frames that came in are looked at
_CLOSE_TIMEOUT = 1.0  # seconds for the closing handshake, with clients that do not answer it


_LEFT = (ConnectionClosed, ConnectionError, EOFError)


def _is_news(record: logging.LogRecord) -> bool:
    """Leave out clients that went away during the handshake: for websockets that is an error of the server."""
    error = record.exc_info[1] if record.exc_info else None
    if record.msg == "unexpected internal error":
        return not isinstance(error, AssertionError)  # its own: that the handshake is not over
    if record.msg == "opening handshake failed":
        return not any(isinstance(one, _LEFT) for one in (error, error.__cause__ if error else None))
    return True


_LOGGER.addFilter(_is_news)


@dataclass(eq=False)
class _Link:
    """One open connection."""

    number: int
    connection: ServerConnection
    session: Session
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    gone: bool = False
    deaf: bool = False
    """Whether nothing is read any more, not even that the client has gone."""


class ResponsesServer:
    """A server for the Responses API over WebSocket, with a scripted model behind it.

    Use it as a context manager, when it runs on a thread of its own, or as an async context manager, when
    it runs on the running loop; either way once.  It listens at `url` when the context is entered, and has
    closed everything when the context is left.  Methods and properties may be used from any thread.

    Args:
        host: the address to listen on.
        port: the port, 0 for a free one.
        api_key: the bearer token to insist on; `None` takes any, and none.
        event_interval: seconds between two events of a response, for the eye; replays have their own timing.
        max_age: seconds after which a connection is closed with `websocket_connection_limit_reached`.
        max_active: responses that run at once on a connection; further ones queue.
        max_lanes: distinct named lanes on a connection, ever.
        max_size: bytes of the largest message accepted; a larger one closes the connection with 1009.
        faults: what goes wrong; further faults with `fault`.
        remember: how many frames, exchanges, upgrades and responses to continue are kept, the latest of each;
            `None` keeps all, which is memory in a test that runs for hours.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        api_key: str | None = None,
        event_interval: float = 0.0,
        max_age: float | None = None,
        max_active: int = 16,
        max_lanes: int = 32,
        max_size: int | None = 64 * 2**20,
        faults: Iterable[Fault] = (),
        remember: int | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._api_key = api_key
        self._max_size = max_size
        self._limits = Limits(max_active, max_lanes, max_age, event_interval, remember)
        self._model = ScriptedModel()
        self._ids = Ids()
        self._storage: Storage = {}
        self._plan = FaultPlan(faults)
        self._journal = Journal(remember)
        self._links: set[_Link] = set()
        self._attempts = 0
        self._numbers: WeakKeyDictionary[ServerConnection, int] = WeakKeyDictionary()
        self._accepted = 0
        self._closing: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._listening: Future[None] = Future()
        self._started = False
        self._closed = False
        self._thread: threading.Thread | None = None
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        state = "closed" if self._closed else self.url if self._listening.done() else "not started"
        return f"<ResponsesServer {state}>"

    # What it answers

    def reply(self, *replies: Reply) -> None:
        """Give the next responses these replies, one each, in the order in which the responses start.

        Raises:
            TypeError: for something that is no reply.
        """
        self._model.reply(*replies)

    def on(self, match: Match, reply: Reply) -> None:
        """Answer all requests that match with `reply`; the first rule that matches wins.

        `match` is a regular expression to search in the latest user message, or a function of the request.
        Replies given with `reply` or `replay` come first; without any rule the server makes an answer up.

        Raises:
            TypeError: for something that is no reply.
            re.error: for a broken regular expression.
        """
        self._model.on(match, reply)

    def replay(
        self, source: str | os.PathLike[str] | Iterable[Mapping[str, Any] | str], *, speed: float | None = None
    ) -> int:
        """Answer the next requests with a transcript: the path of a JSON Lines file, or its events or lines.

        The events are sent as recorded; on a named lane each gets the `stream_id` of the request.  Lines of
        the form `{"offset": seconds, "event": {...}}` carry times: `speed=1.0` keeps them, 2.0 halves them,
        `None` sends as fast as the client reads.

        Returns:
            The number of responses in the transcript, each of which answers one request.

        Raises:
            OSError: if the file cannot be read.
            ValueError: if a line is no event, or the speed is not positive.
        """
        recordings = Recording.load(source, speed=speed)
        self._model.reply(*recordings)
        return len(recordings)

    def gate(self) -> Gate:
        """Return a gate, to hold responses with `Hold` until it is opened."""
        return Gate(partial(self._call, self._wake_all))

    # What goes wrong

    def fault(self, *faults: Fault) -> None:
        """Let these faults happen from now on, besides those there are.

        Upgrades, connections and responses that have begun go on as they were.

        Raises:
            TypeError: for something that is no `Fault`.
        """
        self._plan.add(*faults)

    def clear_faults(self) -> None:
        """Let no further fault happen.  Connections and responses that have begun go on as they were."""
        self._plan.clear()

    def disturb(self, what: Disturbance, *, connection: int | None = None) -> None:
        """Let something happen now to the connections that are open, or to one; return without waiting for it.

        `what` is a `Close`, an `Expire`, a `Stall` or an `Inject`; its `after` means nothing.

        Raises:
            TypeError: for something else.
        """
        if not isinstance(what, DISTURBANCES):
            raise TypeError(f"Nothing that happens to a connection: {what!r}")
        self._call(partial(self._disturb, what, connection))

    # What can be seen of it

    @property
    def port(self) -> int:
        """The port that it listens on.

        Raises:
            RuntimeError: before it was started.
        """
        if not self._listening.done():
            raise RuntimeError("The server was not started: use it as a context manager")
        return self._port

    @property
    def url(self) -> str:
        """The base URL, as clients of the API take it: `http://HOST:PORT/v1`."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}/v1"

    @property
    def connections(self) -> int:
        """The number of connections that are open now."""
        return len(self._links)

    @property
    def accepted(self) -> int:
        """The number of connections that were ever opened."""
        return self._accepted

    @property
    def journal(self) -> list[Received]:
        """Every frame received, in order, the broken ones too."""
        return self._journal.entries

    @property
    def exchanges(self) -> list[Exchange]:
        """The `response.create` messages received, in order, each with what has become of it so far."""
        return self._journal.exchanges

    @property
    def upgrades(self) -> list[Upgrade]:
        """The attempts to open a connection, in order, the refused ones too."""
        return self._journal.upgrades

    @property
    def requests(self) -> list[JSON]:
        """The `response.create` messages received, in order."""
        messages = [received.message for received in self.journal]
        return [one for one in messages if isinstance(one, dict) and one.get("type") == "response.create"]

    def wait_until(self, condition: Condition, *, timeout: float = 5.0) -> None:
        """Block until `condition` holds; it is looked at again when something comes, goes, starts or ends.

        Raises:
            TimeoutError: if it does not hold within `timeout` seconds.
            RuntimeError: on the server's own loop, which could not go on meanwhile; use `until` there.
        """
        if self._on_own_loop():
            raise RuntimeError("wait_until would block the server's own loop: await until() instead")
        self._journal.wait_until(condition, timeout)

    async def until(self, condition: Condition, *, timeout: float = 5.0) -> None:
        """Do what `wait_until` does without blocking, on any loop."""
        await self._journal.until(condition, timeout)

    # Connections, and the end

    def close_connections(self, code: int = 1001, reason: str = "") -> None:
        """Close the connections that are open now, and return without waiting for it.

        With 1006 the transport is aborted, without a closing handshake.
        """
        self.disturb(Close(code, reason))

    def drop(self) -> None:
        """Cut the connections that are open now, as a network failure would."""
        self.disturb(Close(_ABORT))

    def close(self) -> None:
        """Begin to stop the server; leaving the context or `wait_closed` waits for the end.  Idempotent."""
        self._call(self._stop.set)

    async def wait_closed(self) -> None:
        """Wait until the server has stopped, on any loop.  Cancelling the wait does not stop it."""
        await self._journal.until(lambda: self._closed, None)

    def __enter__(self) -> ResponsesServer:
        self._begin()
        self._thread = threading.Thread(target=self._run_thread, name="responses-server", daemon=True)
        self._thread.start()
        try:
            self._listening.result()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        assert self._thread is not None  # entered before
        self._close_when_started()
        self._thread.join()

    async def __aenter__(self) -> ResponsesServer:
        self._begin()
        self._task = asyncio.create_task(self._run(), name="responses-server")
        try:
            await self._journal.until(self._listening.done, None)
            self._listening.result()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        assert self._task is not None  # entered before
        self._close_when_started()
        await self._task

    # On the server's loop

    def _begin(self) -> None:
        if self._started:
            raise RuntimeError("A server can be started once: make a new one")
        self._started = True

    def _run_thread(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        """Serve until `close`."""
        self._loop = asyncio.get_running_loop()
        try:
            server = await serve(
                self._handle,
                self._host,
                self._port,
                process_request=self._check_upgrade,
                logger=_LOGGER,
                compression=None,
                max_size=self._max_size,
                max_queue=None,  # frames are taken at once; and what pauses reading would also resume it in a stall
                ping_interval=None,  # a client stopped in a debugger must not lose its connection
                close_timeout=_CLOSE_TIMEOUT,
            )
        except Exception as error:
            self._closed = True
            self._listening.set_exception(error)
            self._journal.notify()
            return
        try:
            async with server:
                self._port = next(iter(server.sockets)).getsockname()[1]
                self._listening.set_result(None)
                self._journal.notify()
                await self._stop.wait()
                for link in self._links:
                    if link.deaf:
                        link.connection.transport.abort()  # a closing handshake would wait in vain
        finally:
            self._closed = True
            self._journal.notify()

    def _close_when_started(self) -> None:
        """Do what `close` does, also when the start is still under way."""
        self._listening.add_done_callback(lambda _: self.close())

    async def _check_upgrade(self, connection: ServerConnection, request: UpgradeRequest) -> UpgradeResponse | None:
        loop = asyncio.get_running_loop()
        self._attempts += 1
        self._numbers[connection] = self._attempts
        headers = {name.lower(): value for name, value in request.headers.raw_items()}
        upgrade = Upgrade(self._attempts, request.path, headers, loop.time())
        self._journal.attempt(upgrade)
        refusal = None
        for fault in self._plan.at_upgrade(upgrade.connection):
            if isinstance(fault, RefuseUpgrade):
                refusal = fault
                break
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stop.wait(), fault.seconds)
        refusal = refusal or check_upgrade(request.path, headers.get("authorization"), self._api_key)
        upgrade.status = refusal.status if refusal is not None else 101
        return _response(refusal) if refusal is not None else None

    async def _handle(self, connection: ServerConnection) -> None:
        self._accepted += 1
        number = self._numbers.pop(connection)
        session = Session(
            now=asyncio.get_running_loop().time(),
            model=self._model,
            storage=self._storage,
            ids=self._ids,
            limits=self._limits,
            number=number,
            journal=self._journal,
            plan=self._plan,
        )
        link = _Link(number, connection, session)
        self._links.add(link)
        self._journal.notify()
        try:
            await asyncio.gather(self._read(link), self._write(link))
        finally:
            self._links.discard(link)
            session.end()
            self._journal.notify()

    async def _read(self, link: _Link) -> None:
        loop = asyncio.get_running_loop()
        try:
            with contextlib.suppress(ConnectionClosed):
                while True:
                    frame = await link.connection.recv()
                    link.session.receive(frame, loop.time())
                    self._journal.add(Received(link.number, frame))
                    link.wake.set()
        finally:
            link.gone = True
            link.wake.set()

    async def _write(self, link: _Link) -> None:
        loop = asyncio.get_running_loop()
        steps = 0
        with contextlib.suppress(ConnectionClosed):
            while not link.gone:
                link.wake.clear()
                for output in link.session.step(loop.time()):
                    if isinstance(output, Close):
                        await _close(link.connection, output)
                        return
                    if isinstance(output, Stall):
                        _stall(link, output)
                    else:
                        await link.connection.send(output)
                due = link.session.due(loop.time())
                if due is not None and due <= loop.time():
                    steps += 1
                    if steps % _BURST == 0:
                        await asyncio.sleep(0)  # sending alone lets nobody else run
                else:
                    timer = loop.call_at(due, link.wake.set) if due is not None else None
                    await link.wake.wait()
                    if timer is not None:
                        timer.cancel()

    def _disturb(self, what: Disturbance, connection: int | None) -> None:
        for link in self._links:
            if connection not in (None, link.number):
                continue
            if isinstance(what, Close):  # at once: the session would send what it has before
                task = asyncio.create_task(_close(link.connection, what))
                self._closing.add(task)  # the loop itself keeps only weak references to tasks
                task.add_done_callback(self._closing.discard)
            else:
                link.session.disturb(what)
                link.wake.set()

    def _wake_all(self) -> None:
        for link in self._links:
            link.wake.set()

    def _call(self, action: Callable[[], object]) -> None:
        """Run `action` on the loop of the server, if that still runs."""
        if self._loop is not None and not self._closed:
            with contextlib.suppress(RuntimeError):  # closed in this moment
                self._loop.call_soon_threadsafe(action)

    def _on_own_loop(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False


async def _close(connection: ServerConnection, close: Close) -> None:
    if close.code == _ABORT:
        connection.transport.abort()
    else:
        await connection.close(close.code, close.reason)


def _stall(link: _Link, stall: Stall) -> None:
    if not stall.pongs:
        link.deaf = True
        link.connection.transport.pause_reading()


def _response(refusal: RefuseUpgrade) -> UpgradeResponse:
    content = refusal.content
    kind = "text/plain; charset=utf-8" if isinstance(content, str) else "application/json"
    body = (content if isinstance(content, str) else encode(dict(content))).encode()
    headers = {"Content-Type": kind, **refusal.headers, "Content-Length": str(len(body)), "Connection": "close"}
    return UpgradeResponse(refusal.status, refusal.reason, Headers(headers), body)
