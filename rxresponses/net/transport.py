"""The websockets connection: frames go to a listener as they are parsed, with no queue between."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urljoin, urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidProxy, InvalidStatus
from websockets.frames import Opcode
from websockets.http11 import Response
from websockets.protocol import State

from ..errors import ConnectFailedError, ConnectTimeoutError
from ..headers import Headers
from ..options import ConnectionOptions
from ..redaction import discreet_logger, display, is_secret
from ..wire.jsontext import read_json
from .backpressure import ReadPause, enter
from .credentials import KeyTimeoutError
from .endpoint import is_loopback

_SECRET_LENGTH = 8  # what is shorter is a placeholder, and may be a word of any text
_DEFAULT_PORTS = {"ws": 80, "wss": 443}


class Listener(Protocol):
    """Who hears of what a connection receives, on the loop's thread."""

    valve: ReadPause

    def frame_received(self, frame: bytes) -> None:
        """A whole text message."""

    def binary_received(self, frame: bytes) -> None:
        """A whole binary message, which the protocol does not have."""

    def connection_lost(self, end: End) -> None:
        """Once, as soon as a close frame came or the transport went away."""


@dataclass(frozen=True)
class End:
    """How a connection ended: the code and reason that tell most, and the exception behind it."""

    code: int
    reason: str
    by_peer: bool
    cause: BaseException | None = None

    def __str__(self) -> str:
        reason = f" ({self.reason})" if self.reason else ""
        if self.code == 1006:
            return "the connection broke off without a close frame"
        return f"{'the server closed' if self.by_peer else 'this side had to close'} with code {self.code}{reason}"


class FrameConnection(ClientConnection):
    """A client connection that hands each message straight to its listener.

    `process_event` is the hook that websockets offers to `create_connection` subclasses.  Going
    through `recv()` instead costs a queue, a future and a task switch for each message.
    """

    def __init__(self, *args: Any, listener: Listener, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._listener = listener
        self._parts: list[bytes] = []
        self._binary = False
        self._reported = False
        self._held: deque[Any] | None = None  # while paused: what was parsed already, but not delivered

    def data_received(self, data: bytes) -> None:
        """Deliver what came, with this connection's valve at hand for consumers that lag."""
        previous = enter(self._listener.valve)
        try:
            super().data_received(data)
        finally:
            enter(previous)
        if self.protocol.close_sent is not None and not self._held:
            # This side ends the connection, or answered the peer's close: the other may take its time.
            self._report()

    def process_event(self, event: Any) -> None:
        """Pass a message on; leave handshake and pongs to websockets."""
        if self.response is None:
            super().process_event(event)
            return
        opcode = event.opcode
        if self._held is not None and opcode not in (Opcode.PING, Opcode.PONG):
            self._held.append(event)
        elif opcode is Opcode.TEXT and event.fin:
            self._listener.frame_received(bytes(event.data))
        elif opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self._collect(event)
        elif opcode is Opcode.CLOSE:
            # Told now: the TCP connection may stay half open for as long as the peer likes.
            self._report()
        else:
            super().process_event(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the listener, unless a close frame already did, and not before what it paused is delivered."""
        super().connection_lost(exc)
        if not self._held:
            self._report()

    def pause(self) -> None:
        """Deliver nothing more, and read nothing more, until `resume`."""
        if self._held is None:
            self._held = deque()
            self.transport.pause_reading()

    def resume(self) -> None:
        """Deliver what was held back, then read on; the listener may pause again in between."""
        held, self._held = self._held, None
        if held is None:
            return
        previous = enter(self._listener.valve)
        try:
            while held and self._held is None:
                self.process_event(held.popleft())
        finally:
            enter(previous)
        if self._held is not None:
            held.extend(self._held)
            self._held = held
        elif self.protocol.state is State.CLOSED:
            self._report()
        else:
            self.transport.resume_reading()

    def _collect(self, event: Any) -> None:
        if event.opcode is not Opcode.CONT:
            self._binary = event.opcode is Opcode.BINARY
        self._parts.append(bytes(event.data))
        if event.fin:
            message = b"".join(self._parts)
            self._parts.clear()
            if self._binary:
                self._listener.binary_received(message)
            else:
                self._listener.frame_received(message)

    def _report(self) -> None:
        if self._reported or self.response is None or self.protocol.handshake_exc is not None:
            return
        received, sent = self.protocol.close_rcvd, self.protocol.close_sent
        cause = getattr(self, "connection_exc", None) or getattr(self, "recv_exc", None)  # its name before 16
        if received is not None and (sent is None or self.protocol.close_rcvd_then_sent):
            end = End(received.code, received.reason, True)
        elif sent is not None:
            end = End(sent.code, sent.reason, False, cause)
        else:
            end = End(1006, "", True, cause)
        self._reported = True
        self._listener.connection_lost(end)

    async def shut(self, timeout: float, *, abrupt: bool) -> None:
        """Close and wait until the connection is down: with a good-bye within `timeout` seconds, or at once.

        There is no good-bye behind a message that is stuck half-way either.
        """
        try:
            if not abrupt and not self.transport.get_write_buffer_size():
                with contextlib.suppress(asyncio.TimeoutError):  # from Python 3.11 on the built-in one
                    await asyncio.wait_for(self.close(), timeout)
        finally:
            self.transport.abort()  # also when a program ends its loop meanwhile: nobody else would
        await self.wait_closed()


class _Connect(connect):
    """`connect` that follows redirects within an origin only, since credentials go along."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        location = exc.response.headers.get("Location") if isinstance(exc, InvalidStatus) else None
        if location is not None and _leaves(self.uri, location):
            return exc
        return super().process_redirect(exc)


async def open_connection(
    url: str, *, key: str | None, options: ConnectionOptions, listener: Listener
) -> FrameConnection:
    """Connect and return the open connection.

    Raises whatever websockets raises; `connect_failure` makes the public error of it.
    """
    headers = dict(options.headers)
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    more: dict[str, Any] = {"ssl": options.ssl} if options.ssl is not None and url.startswith("wss:") else {}
    connecting = _Connect(
        url,
        create_connection=functools.partial(FrameConnection, listener=listener),  # type: ignore[arg-type]
        additional_headers=headers,
        user_agent_header=_user_agent(),
        open_timeout=options.connect_timeout,
        close_timeout=options.close_timeout,
        ping_interval=None,  # see keep_alive: a pause for a slow consumer is not a dead peer
        max_size=options.max_message_size,
        compression="deflate" if options.compression else None,
        proxy=None if is_loopback(urlsplit(url).hostname or "") else True,
        logger=discreet_logger("rxresponses.transport"),
        **more,
    )
    try:
        connection = await connecting
    except InvalidStatus as error:
        _hide(headers, error.response)
        raise
    assert isinstance(connection, FrameConnection)
    return connection


def _hide(headers: Mapping[str, str], response: Response) -> None:
    """Take the credentials that were sent out of an answer: some servers quote a key that they refuse."""
    for name, value in headers.items():
        secret = value.split()[-1:]  # without the word `Bearer`
        if is_secret(name) and secret and len(secret[0]) >= _SECRET_LENGTH and response.body:
            response.body = bytes(response.body).replace(secret[0].encode(), b"(hidden)")


async def keep_alive(connection: FrameConnection, interval: float, timeout: float | None, valve: ReadPause) -> None:
    """Send pings; return when one was not answered in time.

    A pong behind messages that nobody has read yet says nothing about the peer, so the clock starts
    again when reading was paused in between.
    """
    while True:
        await asyncio.sleep(interval)
        if timeout is None:
            await connection.ping()
        elif not await _answered(connection, timeout, valve):
            return


async def _answered(connection: FrameConnection, timeout: float, valve: ReadPause) -> bool:
    """Send a ping; return whether a pong came in time."""
    round_trip = asyncio.ensure_future(_round_trip(connection))
    round_trip.add_done_callback(_look)
    try:
        await asyncio.sleep(0)  # now the ping is in the buffer, and only the peer makes that shrink
        while True:
            before = valve.pauses, connection.transport.get_write_buffer_size()
            paused = valve.closed
            await asyncio.wait([round_trip], timeout=timeout)
            if round_trip.done():
                await round_trip  # raises if the connection is closed
                return True
            # Behind a large request to a slow peer the ping has to wait: what still shrinks is alive.
            if not paused and before == (valve.pauses, connection.transport.get_write_buffer_size()):
                return False
    finally:
        round_trip.cancel()


def _look(task: asyncio.Task[None]) -> None:
    """See how a task ended, so that asyncio does not complain when nobody else looks."""
    if not task.cancelled():
        task.exception()


async def _round_trip(connection: FrameConnection) -> None:
    # Together, since writing waits as well: for ever, when the peer has vanished behind a full buffer.
    await (await connection.ping())


def connect_failure(error: Exception, url: str, stream_id: str | None) -> ConnectFailedError:
    """Return the public error for a connection that could not be made."""
    where = display(url)
    status: int | None = None
    code: str | None = None
    kind: str | None = None
    headers = Headers()
    timed_out = isinstance(error, (TimeoutError, asyncio.TimeoutError))  # one class from Python 3.11 on
    if isinstance(error, InvalidStatus):
        response = error.response
        status, headers = response.status_code, Headers(response.headers.raw_items())
        location = response.headers.get("Location")
        said, code, kind = _error_in(response.body)
        if location is not None and 300 <= status < 400 and _leaves(url, location):
            why = f"it redirects (HTTP {status}) to another origin, where no credential is sent: use that URL itself"
        else:
            why = f"the server refused with HTTP {status}{f': {said}' if said else ''}"
    elif isinstance(error, InvalidProxy):
        why = f"the proxy that the environment names cannot be used: {error.msg}"  # its URL may hold a password
    elif isinstance(error, KeyTimeoutError):
        why = str(error)
    elif timed_out:
        why = "no answer in time; see `connect_timeout`"
    elif isinstance(error, InvalidHandshake):
        why = f"the answer was no WebSocket handshake: {error}"
    else:
        why = str(error) or type(error).__name__
    make = ConnectTimeoutError if timed_out else ConnectFailedError
    failure = make(
        f"cannot connect to {where}: {why}; nothing was sent",
        status=status,
        headers=headers,
        code=code,
        type=kind,
        stream_id=stream_id,
    )
    if not isinstance(error, InvalidProxy):
        failure.__cause__ = error
    # The frames of the handshake have the key among their variables, which some reports show.
    linked: BaseException | None = error
    while linked is not None:
        linked.__traceback__ = None
        linked = linked.__cause__ or linked.__context__
    return failure


def _error_in(body: bytes | bytearray | None) -> tuple[str, str | None, str | None]:
    """The message of a JSON error body, else the start of its text; its code and its type."""
    if not body:
        return "", None, None
    text = bytes(body).decode("utf-8", "replace").strip()
    try:
        data, _ = read_json(text)
    except ValueError:
        return text[:200], None, None
    detail = data.get("error", data) if isinstance(data, dict) else data
    facts = detail if isinstance(detail, dict) else {"message": detail}
    message, code, kind = (
        value if isinstance(value, str) else None for value in map(facts.get, ("message", "code", "type"))
    )
    return text[:200] if message is None else message, code, kind


def _leaves(url: str, location: str) -> bool:
    """Whether a redirect leads to another origin, or to nowhere."""
    try:
        return _origin(urljoin(url, location)) != _origin(url)
    except ValueError:  # no URL at all, as with an impossible port
        return True


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    return scheme, parts.hostname, parts.port or _DEFAULT_PORTS.get(scheme)


@functools.cache
def _user_agent() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"rxresponses/{version('rxresponses')}"
    except PackageNotFoundError:  # run from a source tree
        return "rxresponses"
