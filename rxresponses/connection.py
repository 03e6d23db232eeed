"""One connection at work: the protocol's rules, the transport, and the observers of its requests.

Everything here runs on the connection's loop, one thing at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from reactivex.abc import ObserverBase
from websockets.exceptions import ConnectionClosed

from .codec import decode, undecodable
from .credentials import Credentials
from .endpoint import endpoint
from .errors import (
    ConfigurationError,
    ConnectionLostError,
    DecodeError,
    FrameError,
    MessageTooBigError,
    RequestError,
    SocketClosedError,
)
from .events.base import ServerEvent
from .hot import Hot
from .options import ConnectionOptions
from .protocol import ENDED, Exchange, Protocol
from .transport import End, FrameConnection, connect_failure, open_connection

_MESSAGE_TOO_BIG = 1009
_OUTCOMES = {
    "not_sent": "the request was never sent, so it can be sent again",
    "rejected": "the server refused the request",
    "unknown": "the request was sent and nothing came back: the server may or may not have run it",
    "started": "the response had begun: its rest is lost, and it may have been billed",
}


class _Nobody(ObserverBase[ServerEvent]):
    """The observer of a request that was given up."""

    def on_next(self, value: ServerEvent) -> None:
        pass

    def on_error(self, error: Exception) -> None:
        pass

    def on_completed(self) -> None:
        pass


NOBODY = _Nobody()


class Request(Exchange):
    """An exchange with the observer that gets its events."""

    __slots__ = ("model", "observer")

    def __init__(
        self, frame: bytes, stream_id: str | None, model: str | None, observer: ObserverBase[ServerEvent]
    ) -> None:
        super().__init__(frame, stream_id)
        self.model = model
        self.observer = observer

    def give_up(self) -> None:
        """From here on nobody hears of this request; callable from any thread."""
        self.cancelled = True
        self.observer = NOBODY


@dataclass(frozen=True)
class Outlets:
    """Where a connection tells what does not belong to one request."""

    events: Hot[ServerEvent]
    unrouted: Hot[ServerEvent]
    opened: Callable[[], None]
    ended: Callable[[Connection], None]  # it takes no more requests
    down: Callable[[Connection], None]  # nothing of it is left
    observer_raised: Callable[[BaseException], None]


class Connection:
    """Connect, send what may be sent, deliver what comes, and end every request when it is over."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        outlets: Outlets,
        url: str | None,
        credentials: Credentials,
        options: ConnectionOptions,
        *,
        echoes: bool | None,
    ) -> None:
        self._loop = loop
        self._outlets = outlets
        self._url = url
        self._credentials = credentials
        self._options = options
        self._protocol = Protocol(max_active=options.max_active, echoes=echoes)
        self._websocket: FrameConnection | None = None
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._over = False
        # Looked up once: these are used for every event.
        self._receive = self._protocol.receive
        self._events = outlets.events

    # Requests.

    def submit(self, request: Request) -> None:
        """Queue a request; the first one opens the connection."""
        try:
            self._protocol.submit(request)
        except RequestError as error:
            self._fail(request, error)
            return
        self._wake.set()
        if self._task is None:
            self._task = self._loop.create_task(self._run(request.model), name="rxresponses connection")

    def dispose(self, request: Request) -> None:
        """Give a request up."""
        self._protocol.dispose(request)

    def end(self) -> None:
        """End every request with `SocketClosedError`, now."""
        self._finish(closed_error)

    async def close(self) -> None:
        """Do what `end` does, and wait until the WebSocket is down."""
        self.end()
        if self._task is not None:
            if self._websocket is None:
                self._task.cancel()  # it is still connecting
            await asyncio.gather(self._task, return_exceptions=True)

    # The life of the connection.

    async def _run(self, model: str | None) -> None:
        url = endpoint(self._url, model)
        try:
            key = await self._credentials.get()
            self._websocket = await open_connection(url, key=key, options=self._options, listener=self)
            if not self._over:
                self._outlets.opened()
            await self._send_all(self._websocket)
        except ConfigurationError as error:
            failure = error  # a name that outlives the `except`
            self._finish(lambda request: failure)
        except ConnectionClosed:
            pass  # while sending: the listener is told as well, and knows more
        except Exception as error:
            cause = error
            self._finish(lambda request: connect_failure(cause, url, request.stream_id))
        finally:
            self._finish(closed_error)  # cancelled: by `close` while connecting, or the program ends its loop
            if self._websocket is not None:
                await self._websocket.close()
            self._outlets.down(self)

    async def _send_all(self, websocket: FrameConnection) -> None:
        """Write what may be sent, in order, as fast as the transport takes it."""
        while not self._over:
            request = self._protocol.next_to_send()
            if request is not None:
                await websocket.send(request.frame, text=True)
            else:
                self._wake.clear()
                await self._wake.wait()

    def connection_lost(self, end: End) -> None:
        """End every request at once, whatever the close code."""
        self._finish(lambda request: _lost_error(request, end))

    def _finish(self, error_for: Callable[[Request], Exception]) -> None:
        """End every request that has not ended; only the first call does anything."""
        if self._over:
            return
        self._over = True
        self._wake.set()
        requests = [request for request in self._protocol.lost() if isinstance(request, Request)]
        # First the socket: an observer that subscribes again from `on_error` needs a new connection.
        self._outlets.ended(self)
        for request in requests:
            self._fail(request, error_for(request))

    # The event path.

    def frame_received(self, frame: bytes) -> None:
        """Decode one message and hand its event on."""
        try:
            event = decode(frame)
        except FrameError as error:
            self._strange(frame, error)
            return
        if self._events.observers:
            self._events.emit(event)
        request = self._receive(event)
        if request is None:
            self._outlets.unrouted.emit(event)
            if self._protocol.fatal is not None:
                self._end_by_server(event)
            return
        observer = request.observer  # type: ignore[attr-defined]
        try:
            observer.on_next(event)
        except Exception as error:
            self._observer_raised(request, error)  # type: ignore[arg-type]
        if request.state is ENDED:
            self._complete(request)  # type: ignore[arg-type]
        if self._protocol.unblocked:
            self._protocol.unblocked = False
            self._wake.set()

    def binary_received(self, frame: bytes) -> None:
        """The protocol has text messages only."""
        self._strange(frame, DecodeError("a binary message, which the protocol does not have"))

    def _strange(self, frame: bytes, error: DecodeError) -> None:
        event = undecodable(frame, error)
        self._events.emit(event)
        self._outlets.unrouted.emit(event)

    def _end_by_server(self, event: ServerEvent) -> None:
        code, message = getattr(event, "code", None), getattr(event, "message", None)
        self._finish(
            lambda request: ConnectionLostError(
                f"the server ends this connection ({code}: {message}); {_OUTCOMES[request.delivery]}",
                delivery=request.delivery,
                response_id=request.response_id,
                stream_id=request.stream_id,
                code=code,
            )
        )

    # Observers: none of them may stop the reader.

    def _complete(self, request: Request) -> None:
        observer, request.observer = request.observer, NOBODY
        try:
            observer.on_completed()
        except Exception as error:
            self._outlets.observer_raised(error)

    def _fail(self, request: Request, failure: Exception) -> None:
        observer, request.observer = request.observer, NOBODY
        try:
            observer.on_error(failure)
        except Exception as error:
            self._outlets.observer_raised(error)

    def _observer_raised(self, request: Request, error: Exception) -> None:
        """End the subscription of an observer that raised, and no other."""
        observer = request.observer
        request.give_up()
        self._protocol.dispose(request)
        self._outlets.observer_raised(error)
        try:
            observer.on_error(error)  # so that whoever waits below it (`run`, `await`) does not wait forever
        except Exception as again:
            if again is not error:
                self._outlets.observer_raised(again)


def _lost_error(request: Request, end: End) -> ConnectionLostError:
    kind = ConnectionLostError
    advice = _OUTCOMES[request.delivery]
    if end.code == _MESSAGE_TOO_BIG:
        kind = MessageTooBigError
        advice = (
            "the request is larger than the server takes"
            if end.by_peer
            else "a message exceeded `max_message_size`; raise it if messages that large are right"
        )
    error = kind(
        f"{end} before the terminal event; {advice}",
        delivery=request.delivery,
        response_id=request.response_id,
        stream_id=request.stream_id,
        close_code=end.code,
        close_reason=end.reason,
    )
    error.__cause__ = end.cause
    return error


def closed_error(request: Exchange) -> SocketClosedError:
    """Return the error of a request that `close()` ended or kept from starting."""
    return SocketClosedError(
        f"the socket was closed before the terminal event; {_OUTCOMES[request.delivery]}",
        delivery=request.delivery,
        response_id=request.response_id,
        stream_id=request.stream_id,
    )
