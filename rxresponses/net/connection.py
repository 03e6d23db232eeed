"""One connection at work: the protocol's rules, the transport, and the observers of its requests.

Everything here runs on the connection's loop, one thing at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from typing import cast

from websockets.exceptions import ConnectionClosed

from ..errors import (
    BufferOverflowError,
    ConfigurationError,
    ConnectionLostError,
    DecodeError,
    FrameError,
    MessageTooBigError,
    PongTimeoutError,
    RequestError,
    SocketClosedError,
    as_exception,
)
from ..options import ConnectionOptions
from ..protocol.protocol import Protocol
from ..protocol.request import ENDED, QUEUED, ProtocolRequest, ProtocolSteer
from ..protocol.timeouts import Timeouts
from ..wire.codec import decode, undecodable
from ..wire.events.base import ServerEvent
from ..wire.fields import error_field
from .backpressure import ReadPause
from .credentials import Credentials
from .endpoint import endpoint
from .subject import IsolatedSubject
from .subscription import NOBODY, ObservedRequest, RequestSubscription, give_up
from .transport import End, FrameConnection, connect_failure, keep_alive, open_connection

_MESSAGE_TOO_BIG = 1009
_OUTCOMES = {
    "not_sent": "the request was never sent, so it can be sent again",
    "rejected": "the server refused the request",
    "unknown": (
        "the request was sent and nothing came back: the server may or may not have acted on it, so send it again "
        "only if doing it twice does no harm"
    ),
    "started": "the response had begun: its rest is lost, and it may be billed; sent again, it begins anew",
}
_STEER_ACCEPTED = (
    "the server had accepted the steer and may or may not have acted on it, so send the input again only if doing it "
    "twice does no harm"
)


@dataclass(frozen=True)
class ConnectionListener:
    """Where a connection tells what does not belong to one request."""

    events: IsolatedSubject[ServerEvent]
    unrouted: IsolatedSubject[ServerEvent]
    opened: Callable[[], None]
    ended: Callable[[Connection], None]  # it takes no more requests
    down: Callable[[Connection], None]  # nothing of it is left
    observer_raised: Callable[[BaseException], None]


class Connection:
    """Connect, send what may be sent, deliver what comes, and end every request when it is over."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        outlets: ConnectionListener,
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
        self._protocol = Protocol(
            max_active=options.max_active, echoes_stream_id=echoes, close_on_dispose=options.on_dispose == "close"
        )
        self._clocks = Timeouts.of(options)
        self._timer: asyncio.TimerHandle | None = None
        self.valve = ReadPause(loop, self._pause, self._resume)
        self._websocket: FrameConnection | None = None
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._done = asyncio.Event()
        self._abrupt = False
        self._over = False
        self._awaited = False
        self.orphaned = False  # cancelled by nobody here: the program ends the loop
        self.error_for: Callable[[RequestSubscription], Exception] = (
            closed_error  # what a request gets, once it is over
        )
        # Looked up once: these are used for every event.
        self._receive = self._protocol.receive
        self._lanes = self._protocol.lanes
        self._events = outlets.events
        self._times_idle = options.idle_timeout is not None

    # Requests.

    @property
    def echoes(self) -> bool | None:
        """Whether the server echoes `stream_id`, `None` until an answer has shown it."""
        return self._lanes.echoes_stream_id

    def open(self, model: str | None = None) -> None:
        """Begin to connect, unless that was begun already; `model` is the one that a gateway routes by."""
        if self._task is None:
            # Not in the context of who came first: everybody's events are delivered in that of the connection.
            self._task = Context().run(self._loop.create_task, self._run(model), name="rxresponses connection")
            # Not in the task itself: a program that ends its loop may cancel it before its first step.
            self._task.add_done_callback(self._down)

    def submit(self, request: ObservedRequest) -> None:
        """Queue a request; the first one opens the connection."""
        try:
            self._protocol.submit(request, self._loop.time())
        except RequestError as error:
            self._fail(request, error)
            return
        self._watch(request)
        self._crowd()
        self._wake.set()
        self.open(request.model)

    def dispose(self, request: ObservedRequest) -> None:
        """Give a request up; with `on_dispose="close"`, and what else runs here with it."""
        was_over = request.state is ENDED  # by the event that is just being delivered, which releases its lane
        if self._protocol.dispose(request):
            self._finish(_given_up_error)
        elif self._lanes.changed:
            self._unblock()
        if request.state is ENDED and not was_over:
            self._release(request, None)

    def end(self) -> None:
        """End every request with `SocketClosedError`, now."""
        self._finish(closed_error)

    async def close(self, *, abrupt: bool = False) -> None:
        """Do what `end` does, and wait until the WebSocket is down; `abrupt` leaves out the good-bye."""
        self._abrupt = abrupt
        self.end()
        if self._task is not None:
            if self._websocket is None:
                self._task.cancel()  # it is still connecting
            await asyncio.gather(self._task, return_exceptions=True)

    # The life of the connection.

    async def _run(self, model: str | None) -> None:
        url = endpoint(self._url, model)
        try:
            key = await self._credentials.get(self._options.connect_timeout)
            self._websocket = await open_connection(url, key=key, options=self._options, listener=self)
            if not self._over:
                self._outlets.opened()
                await self._work(self._websocket)
        except ConfigurationError as error:
            failure = error  # a name that outlives the `except`
            self._finish(lambda request: failure)
        except Exception as error:
            cause = error
            self._finish(lambda request: connect_failure(cause, url, request.stream_id))
        except asyncio.CancelledError:  # by `close` while connecting, or the program ends its loop
            self._abrupt = True
            self.orphaned = not self._over
            raise
        finally:
            self._finish(closed_error)
            if self._websocket is not None:
                await self._websocket.shut(self._options.close_timeout, abrupt=self._abrupt)

    async def _work(self, websocket: FrameConnection) -> None:
        """Send requests and pings until the connection is over."""
        self._tasks = [self._loop.create_task(self._send_all(websocket), name="rxresponses requests")]
        if self._options.ping_interval is not None:
            pings = self._ping(websocket, self._options.ping_interval)
            self._tasks.append(self._loop.create_task(pings, name="rxresponses pings"))
        try:
            await self._done.wait()
        finally:
            for task in self._tasks:
                task.cancel()  # a write may be stuck for as long as the peer does not read
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _send_all(self, websocket: FrameConnection) -> None:
        """Write what may be sent, in order, as fast as the transport takes it."""
        with contextlib.suppress(ConnectionClosed):  # the listener is told as well, and knows more
            while not self._over:
                request = self._protocol.next_to_send(self._loop.time())
                if request is not None:
                    self._crowd()
                    self._watch(request)
                    timings = cast("ObservedRequest", request).timings
                    if timings is not None:
                        timings.mark_sent()
                    await websocket.send(request.frame, text=True)
                else:
                    self._wake.clear()
                    await self._wake.wait()

    async def _ping(self, websocket: FrameConnection, interval: float) -> None:
        timeout = self._options.ping_timeout
        with contextlib.suppress(ConnectionClosed):
            await keep_alive(websocket, interval, timeout, self.valve)
            self._abrupt = True  # nobody is there to say good-bye to
            self._finish(lambda request: _dead_error(request, timeout or 0.0))

    def _down(self, task: asyncio.Task[None]) -> None:
        self.orphaned |= not self._over  # cancelled before its first step
        self._finish(closed_error)
        self._outlets.down(self)

    def connection_lost(self, end: End) -> None:
        """End every request at once, whatever the close code."""
        self._finish(lambda request: _lost_error(request, end))

    def _finish(self, error_for: Callable[[RequestSubscription], Exception]) -> None:
        """End every request that has not ended; only the first call does anything."""
        if self._over:
            return
        self._over = True
        self.error_for = error_for
        with contextlib.suppress(RuntimeError):  # the loop is closed already, and everything on it
            self._loop.call_soon(self._resume)  # the closing handshake has to be read
            self._done.set()
        if self._timer is not None:
            self._timer.cancel()
        requests = cast("list[ObservedRequest]", self._protocol.lost())
        # First the socket: an observer that subscribes again from `on_error` needs a new connection.
        self._outlets.ended(self)
        for request in requests:
            self._fail(request, error_for(request))

    # Back-pressure.

    def await_end(self, awaited: bool) -> None:
        """Say whether requests that are not here yet wait for the end of those that are."""
        self._awaited = awaited
        self._crowd()

    def _crowd(self) -> None:
        """See whether a pause would hold up others than the one that lags."""
        self.valve.crowd(self._awaited or self._lanes.is_shared)

    def _pause(self) -> None:
        if self._websocket is not None:
            self._websocket.pause()

    def _resume(self) -> None:
        now = self._loop.time()
        for exchange in self._protocol.open_requests():
            if exchange.state is not QUEUED:
                exchange.since = now  # what may have come meanwhile was not read
                self._watch(exchange)
        if self._websocket is not None:
            self._websocket.resume()

    # The clocks: one timer for all requests, at the earliest deadline.

    def _watch(self, exchange: ProtocolRequest) -> None:
        """See to it that the timer goes off no later than this request is overdue."""
        deadline = self._clocks.deadline(exchange)
        if deadline is None or self._over:
            return
        if self._timer is not None:
            if self._timer.when() <= deadline:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._look_at_clocks)

    def _look_at_clocks(self) -> None:
        self._timer = None
        now = self._loop.time()
        for exchange in self._protocol.open_requests():
            if self.valve.closed and exchange.state is not QUEUED:
                continue  # the silence is this side's: see `_resume`
            error = self._clocks.error(exchange, now)
            if error is None:
                self._watch(exchange)
                continue
            request = cast("ObservedRequest", exchange)
            self._fail(request, error)
            if isinstance(request, ProtocolSteer) and not request.owns_successor:
                self._protocol.abandon(request)
                self._unblock()
            else:
                self.dispose(request)

    def _unblock(self) -> None:
        """Look again for what may be sent, and for clocks that begin."""
        self._lanes.changed = False
        for steer in self._protocol.start_steer_timeouts(self._loop.time()):
            self._watch(steer)
        self._crowd()
        self._wake.set()

    # The event path.

    def frame_received(self, frame: bytes) -> None:
        """Decode one message and hand its event on."""
        if self._over:
            return  # its request has been told another end already
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
            if self._protocol.connection_error is not None:
                self._end_by_server(event)
            elif self._lanes.changed:
                self._unblock()
            return
        if self._times_idle:
            request.since = self._loop.time()
        self._deliver(request, event)  # type: ignore[arg-type]
        if request.shared_with:
            for steer in request.shared_with:
                self._deliver(steer, event)  # type: ignore[arg-type]
        if self._lanes.changed:
            self._watch(request)
            self._unblock()

    def _deliver(self, request: ObservedRequest, event: ServerEvent) -> None:
        try:
            request.observer.on_next(event)
        except BufferOverflowError as error:
            self._fail(request, error)
            self.dispose(request)
        except BaseException as error:
            self._observer_raised(request, error)
        if request.state is ENDED:
            self._complete(request, event)

    def binary_received(self, frame: bytes) -> None:
        """The protocol has text messages only."""
        self._strange(frame, DecodeError("a binary message, which the protocol does not have"))

    def _strange(self, frame: bytes, error: DecodeError) -> None:
        event = undecodable(frame, error)
        self._events.emit(event)
        self._outlets.unrouted.emit(event)

    def _end_by_server(self, event: ServerEvent) -> None:
        code, message = error_field(event, "code"), error_field(event, "message")
        why = ": ".join(filter(None, (code, message)))
        self._finish(
            lambda request: ConnectionLostError(
                f"the server ends this connection ({why}); {_outcome(request)}",
                delivery=request.delivery,
                response_id=request.response_id,
                stream_id=request.stream_id,
                code=code,
            )
        )

    # Observers: none of them may stop the reader.

    def _release(self, request: ObservedRequest, event: ServerEvent | None) -> None:
        lease, request.lease = request.lease, None
        if lease is not None:
            lease.ended(event)

    def _complete(self, request: ObservedRequest, event: ServerEvent) -> None:
        self._release(request, event)  # first: an observer may go on from here at once
        observer, request.observer = request.observer, NOBODY
        try:
            observer.on_completed()
        except BaseException as error:
            self._outlets.observer_raised(error)

    def _fail(self, request: ObservedRequest, failure: Exception) -> None:
        observer, request.observer = request.observer, NOBODY
        try:
            observer.on_error(failure)
        except BaseException as error:
            self._outlets.observer_raised(error)

    def _observer_raised(self, request: ObservedRequest, error: BaseException) -> None:
        """End the subscription of an observer that raised, and no other."""
        observer = request.observer
        give_up(request)
        self.dispose(request)
        self._outlets.observer_raised(error)
        failure = as_exception(error)
        try:
            observer.on_error(failure)  # so that whoever waits below it (`run`, `await`) does not wait forever
        except BaseException as again:
            if again is not failure:
                self._outlets.observer_raised(again)


def _outcome(request: RequestSubscription) -> str:
    """Return what the end of its connection means for a request, and what can be done."""
    if isinstance(request, ProtocolSteer) and request.delivery == "started" and request.response_id is None:
        return _STEER_ACCEPTED
    return _OUTCOMES[request.delivery]


def _lost_error(request: RequestSubscription, end: End) -> ConnectionLostError:
    kind = ConnectionLostError
    advice = _outcome(request)
    # The server's refusal is about what was just sent; our own limit is about what came for somebody,
    # though not for a request that still waited.
    about = request.delivery == "unknown" if end.by_peer else request.delivery != "not_sent"
    if end.code == _MESSAGE_TOO_BIG and about:
        kind = MessageTooBigError
        advice = (
            "the request is larger than the server takes: send less at once, such as files by their id or URL"
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


def _dead_error(request: RequestSubscription, timeout: float) -> PongTimeoutError:
    return PongTimeoutError(
        f"no pong within {timeout:g} s: the connection is dead; {_outcome(request)}",
        delivery=request.delivery,
        response_id=request.response_id,
        stream_id=request.stream_id,
        close_code=1006,
    )


def _given_up_error(request: RequestSubscription) -> ConnectionLostError:
    return ConnectionLostError(
        f"the connection was closed here, because another request on it was given up with on_dispose='close' (it was "
        f"disposed, took too long, or its consumer lagged or raised); "
        f"{_outcome(request)}",
        delivery=request.delivery,
        response_id=request.response_id,
        stream_id=request.stream_id,
    )


def closed_error(request: RequestSubscription) -> SocketClosedError:
    """Return the error of a request that `close()` ended or kept from starting."""
    return SocketClosedError(
        f"closed here, by `close()` or `drain()`, before the terminal event; {_outcome(request)}",
        delivery=request.delivery,
        response_id=request.response_id,
        stream_id=request.stream_id,
    )
