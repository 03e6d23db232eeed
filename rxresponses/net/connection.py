"""One connection at work: it connects, sends requests, and ends them all when it closes.

The rules are in `protocol.Protocol`, the WebSocket in `transport`, the way of an event to its observer
in `dispatch`.  Everything in a connection runs on its event loop, one thing at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from itertools import chain
from typing import cast

from websockets.exceptions import ConnectionClosed

from ..errors import ConfigurationError, RequestError, ResponseTimeoutError
from ..headers import Headers
from ..known_secrets import Secrets
from ..options import ConnectionOptions
from ..protocol.protocol import Protocol
from ..protocol.request import ENDED, QUEUED, ProtocolSteer
from ..protocol.timeouts import Timeouts
from ..redaction import clear_locals
from ..wire.events.base import ServerEvent
from .backpressure import ReadPause
from .connect import connect_failure, open_connection, proxy_for
from .connection_errors import closed_by_disposal_error, closed_error, hide_in_error, pong_timeout_error
from .credentials import Credentials
from .dispatch import EventDispatcher
from .endpoint import endpoint
from .handshake_headers import handshake_headers
from .keep_alive import keep_alive
from .loops import clock_of, start_task
from .request import NO_OBSERVER, AnyConnectionRequest, RequestSubscription, notify_end
from .request_timer import RequestTimer
from .subject import IsolatedSubject
from .tape import MakeTape, Tape, one_tape
from .transport import FrameConnection


@dataclass(frozen=True)
class ConnectionListener:
    """Gets what a connection has to tell beside the events and the end of each request."""

    events: IsolatedSubject[ServerEvent]  # every event received
    unrouted: IsolatedSubject[ServerEvent]  # the events that belong to no request
    accepted: Callable[[Headers], None]  # the server has accepted the handshake, with these headers; `opened` follows
    opened: Callable[[], None]
    closing: Callable[[Connection], None]  # it takes no more requests
    closed: Callable[[Connection], None]  # its WebSocket and its tasks have ended
    observer_raised: Callable[[BaseException], None]


class Connection:
    """Connect on the first request, send what may be sent, and end every request when the connection ends."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: ConnectionListener,
        url: str | None,
        credentials: Credentials,
        options: ConnectionOptions,
        *,
        echoes_stream_id: bool | None,
        secrets: Secrets | None = None,
    ) -> None:
        """Make a connection that hides, besides the secrets of its own handshake, those in `secrets`."""
        self.cancelled_outside = False  # by other code than this library's: most likely the program ends its loop
        self.error_for: Callable[[RequestSubscription], Exception] = closed_error  # what its end means for a request
        self.read_pause = ReadPause(loop, self._pause, self._resume)
        self._loop = loop
        self._listener = listener
        self._url = url
        self._credentials = credentials
        self._secrets = Secrets(within=secrets)
        self._options = options
        self._protocol = Protocol(
            max_active=options.max_active,
            echoes_stream_id=echoes_stream_id,
            close_on_dispose=options.on_dispose == "close",
        )
        self._timer = RequestTimer(loop, self._protocol, Timeouts.of(options), self.read_pause, self._overdue)
        self._dispatcher = EventDispatcher(
            self._protocol,
            self,
            self._timer,
            self.read_pause,
            events=listener.events,
            unrouted=listener.unrouted,
            observer_raised=listener.observer_raised,
            now=clock_of(loop) if options.idle_timeout is not None else None,
            secrets=self._secrets,
        )
        self._tapes: dict[object, Tape] = {}
        self._tape: Tape | None = None  # all of them
        self._websocket: FrameConnection | None = None
        self._proxy: str | None = None  # the URL of the proxy, which may hold a password
        self._task: asyncio.Task[None] | None = None
        self._may_send = asyncio.Event()  # since the last look, a request may have become free to be sent
        self._ended = False  # takes no more requests, and all it had have their end
        self._ended_event = asyncio.Event()
        self._abrupt = False
        self._queue_waiting = False

    def record(self, collector: object, make_tape: MakeTape | None) -> None:
        """Tell a tape of this collector from now on what is sent and received; `None` for no tape."""
        before = self._tapes.pop(collector, None)
        if before is not None:
            before.close()
        tape = None if make_tape is None else make_tape(self._secrets, self._in_flight())
        if tape is not None:
            self._tapes[collector] = tape
        self._tape = one_tape(tuple(self._tapes.values()))
        self._dispatcher.record(self._tape)
        if tape is not None and not self._ended:
            tape.state("connecting" if self._websocket is None else "open")

    def _in_flight(self) -> list[AnyConnectionRequest]:
        """Return the requests that were sent, and whose subscribers wait for more."""
        requests = cast("list[AnyConnectionRequest]", self._protocol.open_requests())
        return [request for request in requests if request.state is not QUEUED and not request.cancelled]

    # Requests.

    @property
    def echoes_stream_id(self) -> bool | None:
        """Whether the server echoes `stream_id`, `None` until an event has shown it."""
        return self._protocol.lanes.echoes_stream_id

    @property
    def response_headers(self) -> Headers:
        """The headers of the server's answer to the handshake; empty before it."""
        response = None if self._websocket is None else self._websocket.response
        return Headers() if response is None else Headers(response.headers.raw_items())

    def open(self, model: str | None = None) -> None:
        """Begin to connect, unless that has begun; `model` is the model by which a gateway chooses the server."""
        if self._task is None:
            # In an empty context: the events of all requests are delivered in the context of this task, which
            # must not be that of the first subscriber.
            self._task = Context().run(start_task, self._loop, self._run(model), "rxresponses connection")
            # Not in the task itself: a program that ends its loop may cancel the task before its first step.
            self._task.add_done_callback(self._task_done)

    def submit(self, request: AnyConnectionRequest) -> None:
        """Queue a request; the first request opens the connection.

        The observer gets `LaneLimitError` for a lane name too many.
        """
        try:
            self._protocol.submit(request, self._loop.time())
        except RequestError as error:
            self._dispatcher.fail(request, error)
            return
        self._timer.watch(request)
        self._update_read_pause()
        self._may_send.set()
        self.open(request.model)

    def dispose(self, request: AnyConnectionRequest) -> None:
        """Cancel a request.

        A queued request is not sent; the events of a sent request are swallowed until its response ends.
        With `on_dispose="close"` the connection is closed instead, and its other requests end with it.
        """
        was_ended = request.state is ENDED  # by the event that is being delivered now, which ends it in any case
        self._dispatcher.look_at_heads()
        if self._tape is not None:
            self._tape.ended(request, "disposed")
        if self._protocol.dispose(request):
            self.end(closed_by_disposal_error)
        else:
            self.unblock()
        if request.state is ENDED and not was_ended:
            notify_end(request, None)

    def ignore(self, request: AnyConnectionRequest) -> None:
        """Notify the observer of a disposed request no more; its `end_listener` is told of the end as before."""
        request.observer = NO_OBSERVER
        self._dispatcher.look_at_heads()

    def unblock(self) -> None:
        """Look again for requests that may be sent now, and for timeouts that start now."""
        self._protocol.lanes.changed = False
        for steer in self._protocol.start_steer_timeouts(self._loop.time()):
            self._timer.watch(steer)
        self._update_read_pause()
        self._may_send.set()

    def _overdue(self, request: AnyConnectionRequest, error: ResponseTimeoutError) -> None:
        self._dispatcher.fail(request, error)
        if isinstance(request, ProtocolSteer) and not request.owns_successor:
            self._protocol.abandon(request)
            self.unblock()
        else:
            self.dispose(request)

    # Closing.

    def begin_close(self) -> None:
        """End every request with `SocketClosedError` now; the WebSocket closes in the background."""
        self.end(closed_error)

    def start_closing(self, *, abrupt: bool = False) -> None:
        """Do what `begin_close` does, and give up a connection that is not open yet.

        With `abrupt` there is no closing handshake.
        """
        self._abrupt = abrupt
        self.begin_close()
        if self._task is not None and self._websocket is None:
            self._task.cancel()  # it is still connecting

    async def wait_closed(self) -> None:
        """Wait until the WebSocket is closed, after `start_closing`."""
        if self._task is not None:
            await asyncio.wait({self._task})

    def end(self, error_for: Callable[[RequestSubscription], Exception]) -> None:
        """End every request, each with its error, and begin to close; only the first call does anything."""
        if self._ended:
            return
        self._ended = True
        self.error_for = error_for
        with contextlib.suppress(RuntimeError):  # the loop is closed already, and everything on it
            self._loop.call_soon(self._resume)  # the closing handshake has to be read
            self._ended_event.set()
        self._dispatcher.stop()
        if self._tape is not None:
            self._tape.state("closed")
        self._timer.stop()
        requests = cast("list[AnyConnectionRequest]", self._protocol.lost())
        # The socket first: an observer that subscribes again in `on_error` needs a new connection.
        self._listener.closing(self)
        for request in requests:
            self._dispatcher.fail(request, error_for(request))

    # The tasks.

    async def _run(self, model: str | None) -> None:
        try:
            await self._connect_and_work(model)
        except GeneratorExit:  # the program has closed the loop, so nothing can be awaited: the next use tells
            raise
        except BaseException:
            await self._shut()
            raise
        else:
            await self._shut()

    async def _shut(self) -> None:
        self.end(closed_error)
        if self._websocket is not None:
            await self._websocket.shut(self._options.close_timeout, abrupt=self._abrupt)

    async def _connect_and_work(self, model: str | None) -> None:
        try:
            self._websocket = await self._open(model)
            if not self._ended:
                self._listener.accepted(self.response_headers)
                if self._tape is not None:
                    self._tape.state("open")
                self._listener.opened()
                await self._work(self._websocket)
        except ConfigurationError as error:
            failure = error  # a name that outlives the `except`
            self.end(lambda request: failure)
        except Exception as error:
            cause = hide_in_error(error, self._secrets)
            self.end(lambda request: connect_failure(cause, endpoint(self._url, model), request.stream_id, self._proxy))
        except asyncio.CancelledError:  # by `close` while connecting, or the program ends its loop
            self._abrupt = True
            self.cancelled_outside = not self._ended
            raise

    async def _open(self, model: str | None) -> FrameConnection:
        """Return the open connection; no frame of an exception shows the key, nor the query of the URL."""
        try:
            self._proxy = proxy_for(endpoint(self._url, model), self._options.proxy)
            return await open_connection(
                endpoint(self._url, model),
                headers=await handshake_headers(self._url, self._options, self._credentials),
                options=self._options,
                listener=self._dispatcher,
                secrets=self._secrets,
                proxy=self._proxy,
            )
        except BaseException as error:
            clear_locals(error)
            raise

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self.cancelled_outside |= not self._ended  # cancelled before its first step
        self.end(closed_error)
        if self._tape is not None:
            self._tape.close()
        self._listener.closed(self)

    async def _work(self, websocket: FrameConnection) -> None:
        """Send requests and pings until the connection has ended."""
        tasks = [start_task(self._loop, self._send_requests(websocket), "rxresponses requests")]
        if self._options.ping_interval is not None:
            pings = self._send_pings(websocket, self._options.ping_interval)
            tasks.append(start_task(self._loop, pings, "rxresponses pings"))
        try:
            await self._ended_event.wait()
        except GeneratorExit:
            raise
        except BaseException:
            await _cancel(tasks)
            raise
        await _cancel(tasks)

    async def _send_requests(self, websocket: FrameConnection) -> None:
        """Write the requests that may be sent, in order, as fast as the transport takes them."""
        with contextlib.suppress(ConnectionClosed):  # the dispatcher is told as well, with more detail
            while not self._ended:
                frame = self._next_frame()
                if frame is not None:
                    more = iter(self._next_frame, None)
                    await websocket.send_texts(chain((frame,), more))
                else:
                    self._may_send.clear()
                    await self._may_send.wait()

    def _next_frame(self) -> bytes | None:
        """Return the frame of the next request that may be sent, which then counts as sent; `None` without one."""
        request = self._protocol.next_to_send(self._loop.time())
        if request is None:
            return None
        self._update_read_pause()
        self._timer.watch(request)
        timings = cast("AnyConnectionRequest", request).timings
        if timings is not None:
            timings.mark_sent()
        if self._tape is not None:
            self._tape.sent(cast("AnyConnectionRequest", request))
        return request.frame

    async def _send_pings(self, websocket: FrameConnection, interval: float) -> None:
        timeout = self._options.ping_timeout
        with contextlib.suppress(ConnectionClosed):
            await keep_alive(websocket, interval, timeout, self.read_pause)
            self._abrupt = True  # nothing would answer the closing handshake
            self.end(lambda request: pong_timeout_error(request, timeout or 0.0))

    # Back-pressure.

    def set_queue_waiting(self, waiting: bool) -> None:
        """Set whether requests in the client's queue wait for the responses that run on this connection."""
        self._queue_waiting = waiting
        self._update_read_pause()

    def _update_read_pause(self) -> None:
        """Forbid a pause that would hold up other requests than that of the lagging consumer."""
        self.read_pause.allow(not self._queue_waiting and not self._protocol.lanes.is_shared)

    def _pause(self) -> None:
        if self._websocket is not None:
            self._websocket.pause()

    def _resume(self) -> None:
        self._timer.restart()  # during the pause, events may have arrived that were not read
        if self._websocket is not None:
            Context().run(self._websocket.resume)  # not in the context of the consumer that has caught up


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()  # a write may be stuck for as long as the server does not read
    await asyncio.gather(*tasks, return_exceptions=True)
