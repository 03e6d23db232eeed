"""`ResponsesWebSocket`: a socket as a source of Observables."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from types import TracebackType
from typing import TYPE_CHECKING, Any

from reactivex import Observable
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import Disposable

from .codec import encode
from .connection import Connection, Outlets, closed_error
from .credentials import ApiKey, Credentials
from .endpoint import check_credentials, display, endpoint, is_official
from .errors import ConfigurationError, InvalidRequestError
from .events.base import ServerEvent
from .home import HomeObserver
from .hot import Hot
from .loops import acquire_loop, release_loop, running_loop
from .observed import Observed, Request, SteerRequest, give_up
from .options import ConnectionOptions
from .requests import InputItem, ResponseCreate, ResponseSteer, check_stream_id, create_from

if TYPE_CHECKING:
    from typing_extensions import Self  # in `typing` only from Python 3.11


_LOOP_END = 1.0  # seconds after which a loop that cancelled the connection's task has not ended after all


class ConnectionState(Enum):
    """Where a socket stands.  After a loss it is `IDLE` again: the next request connects anew."""

    IDLE = "idle"
    CONNECTING = "connecting"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class Lane:
    """A sender bound to one lane of a socket: its requests run in order, beside other lanes."""

    def __init__(self, socket: ResponsesWebSocket, stream_id: str) -> None:
        check_stream_id(stream_id)
        self._socket = socket
        self.stream_id = stream_id

    def __repr__(self) -> str:
        return f"Lane({self.stream_id!r})"

    def send_request(self, request: ResponseCreate | Mapping[str, Any]) -> Observable[ServerEvent]:
        """The same as `ResponsesWebSocket.send_request`, on this lane."""
        return self._socket.send_request(request, stream_id=self.stream_id)


class ResponsesWebSocket:
    """One WebSocket to a Responses API, as Observables.

    `url` is a base or full endpoint, `http(s)` or `ws(s)`; default `OPENAI_BASE_URL`, else the
    official one.  `api_key` is a string, or a function, plain or async, called at each connect;
    default `OPENAI_API_KEY`.  The socket connects on the first subscription, and again on the first
    one after a loss.

    Inside a running asyncio loop it lives on that loop; without one, on a background thread that
    does not keep the program alive.  All methods may be called from any thread.  Events are
    delivered one at a time on the socket's loop; a subscriber on another running loop gets them
    there.

    Raises `ConfigurationError` for a URL, key or option that cannot be used.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: ApiKey | None = None,
        options: ConnectionOptions | None = None,
    ) -> None:
        self._url = url or os.environ.get("OPENAI_BASE_URL") or None
        self._options = options or ConnectionOptions()
        self._credentials = Credentials(api_key)
        self._endpoint = endpoint(self._url)
        check_credentials(
            self._url,
            has_key=bool(self._credentials),
            headers=self._options.headers,
            allow_insecure=self._options.allow_insecure_credentials,
        )
        if is_official(self._url) and not self._credentials and not self._options.headers:
            raise ConfigurationError("no API key: pass `api_key`, or set OPENAI_API_KEY")
        # The official service has lanes; of any other it is found out.
        self._echoes = self._options.lanes if self._options.lanes is not None else is_official(self._url) or None
        buffered = self._options.max_buffered_bytes
        self._events: Hot[ServerEvent] = Hot(self._run, self._observer_raised, max_bytes=buffered)
        self._unrouted: Hot[ServerEvent] = Hot(self._run, self._observer_raised, max_bytes=buffered)
        self._state: Hot[ConnectionState] = Hot(self._run, self._observer_raised, replay=True)
        self._state.emit(ConnectionState.IDLE)
        self._lock = threading.RLock()  # a signal handler may call `close` in the middle of anything
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0
        self._owns_loop = False
        self._process = 0
        self._connection: Connection | None = None  # takes new requests
        self._connections: set[Connection] = set()  # with those that go down
        self._closing = False
        self._loop_ends = False
        self._abrupt = False
        self._last_task: asyncio.Task[None] | None = None
        self._closed: concurrent.futures.Future[None] = concurrent.futures.Future()

    def __repr__(self) -> str:
        return f"<ResponsesWebSocket {display(self._endpoint)}>"

    # Sending.

    def send_request(
        self, request: ResponseCreate | Mapping[str, Any], *, stream_id: str | None = None
    ) -> Observable[ServerEvent]:
        """Return the events of one response, as a cold Observable: each subscription sends once.

        It emits every event up to and including the terminal one (`response.completed`, `.failed`,
        `.incomplete` or `error`), then completes.  `request` may be a plain mapping; `stream_id`
        names the lane, where requests run in order.

        Marble::

            subscribe: --created--in_progress--"He"--"llo"--completed|

        Disposing before the frame was written means that nothing is sent.  After that the lane
        stays taken, and its events are swallowed, until the response ends at the server.

        Errors: `ConnectFailedError`, `ConnectionLostError` (the socket went away before the
        terminal event), `SocketClosedError`, `LaneLimitError`, each with `delivery`.  Raises
        `InvalidRequestError` at once for a request that cannot be right.

        Delivery is on the socket's loop, or on the running loop that subscribed.
        """
        create = create_from(request, stream_id)
        lane = create.stream_id if isinstance(create.stream_id, str) else None
        model = create.model if isinstance(create.model, str) else None
        frame = self._frame(create)
        return self._cold(lambda observer: Request(frame, lane, model, observer))

    def steer(self, response_id: str, input: str | Sequence[InputItem]) -> Observable[ServerEvent]:
        """Give a running response new input; each subscription sends it once.

        Emits the server's answer, then, if it was accepted, the events of the response that follows,
        up to its terminal one.  The steered response's own stream ends at its own terminal event.
        Its lane stays taken in between.  One response answers all steers accepted for its target:
        each of their streams gets its events.

        Marble::

            response: --"He"--"llo"-------incomplete|
            steer:    -----accepted-------------------created--"Hi"--completed|
            refused:  -----failed|
            pending:  -----accepted-----------pending|

        `response.steer.failed` brings the input back.  `response.steer.pending` says that the server
        waits for the outputs of function calls: send one `ResponseCreate` that continues the response
        on its lane with the `required_input` filled; its stream has the answer.  Should that input
        come back later after all, `unrouted` has the `response.steer.failed`.

        Disposing means that nothing is sent, or that what follows is swallowed; with
        `on_dispose="close"`, disposing the last stream of a response that has begun closes the
        connection.

        Errors as `send_request`; and `SteerTimeoutError` when the server says nothing for
        `steer_timeout`, since some ignore what they do not know: then the steered response goes on.
        An `error` that names steering, or a wrong `type`, is taken for the answer; any other one
        without a lane is the running response's.  Raises `InvalidRequestError` at once for input that
        is no message of the user.
        """
        frame = self._frame(ResponseSteer(previous_response_id=response_id, input=input))
        return self._cold(lambda observer: SteerRequest(frame, response_id, observer))

    def lane(self, stream_id: str) -> Lane:
        """Return a sender bound to one lane; raise `InvalidRequestError` for an impossible name."""
        return Lane(self, stream_id)

    # Watching.

    @property
    def events(self) -> Observable[ServerEvent]:
        """Hot: everything the socket receives, swallowed events included; completes on `close()`."""
        return self._events.observable

    @property
    def unrouted(self) -> Observable[ServerEvent]:
        """Hot: what belongs to no request, and frames that are no JSON object (as `UnknownEvent`)."""
        return self._unrouted.observable

    @property
    def state(self) -> Observable[ConnectionState]:
        """The connection's state, the latest first; completes on `close()`."""
        return self._state.observable

    # Closing.

    def close(self) -> None:
        """Close for good, from any thread; the second call does nothing.

        Requests that have not ended get `SocketClosedError`, with their verdict.  Returns at once:
        `wait_closed`, and the end of a `with` block, wait.
        """
        with self._lock:
            if self._closing:
                return
            self._closing = True
        if self._loop is None or self._has_ended(running_loop()):
            self._end_connections()
            self._finish_closing()
        else:
            self._run(self._start_closing)

    async def wait_closed(self) -> None:
        """Wait until the connection is down after `close()`, on any loop."""
        await asyncio.shield(asyncio.wrap_future(self._closed))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._abrupt = is_interruption(error)
        self.close()
        if running_loop() is None and threading.get_ident() != self._loop_thread:
            # Twice the bound of the closing handshake: a loop that is stopped must not hang the program.
            concurrent.futures.wait([self._closed], timeout=2 * self._options.close_timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._abrupt = is_interruption(error)
        self.close()
        await self.wait_closed()

    # From a request to an Observable.

    def _frame(self, request: ResponseCreate | ResponseSteer) -> bytes:
        try:
            frame = encode(request)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidRequestError(f"the request cannot be written as JSON: {error}") from error
        limit = self._options.max_request_size
        if len(frame) > limit:
            raise InvalidRequestError(
                f"the request is {len(frame)} bytes, over `max_request_size` ({limit}); nothing was sent"
            )
        return frame

    def _cold(self, make: Callable[[ObserverBase[ServerEvent]], Observed]) -> Observable[ServerEvent]:
        def subscribe(observer: ObserverBase[ServerEvent], scheduler: SchedulerBase | None = None) -> DisposableBase:
            here = running_loop()
            loop = self._bind(here)
            if loop is None:
                observer.on_error(closed_error(make(observer)))
                return Disposable()
            if here is not None and here is not loop:
                observer = HomeObserver(observer, here, max_bytes=self._options.max_buffered_bytes)
            sent = make(observer)
            self._run(self._submit, sent)

            def dispose() -> None:
                give_up(sent)
                self._run(self._dispose, sent)

            return Disposable(dispose)

        return Observable(subscribe)

    # On the loop.

    def _bind(self, here: asyncio.AbstractEventLoop | None) -> asyncio.AbstractEventLoop | None:
        """Return the socket's loop, `None` once it is closed.

        The first subscription picks it, or the first one after a loop of the program has ended.
        """
        left: set[Connection] = set()
        with self._lock:
            if self._closing:
                return self._loop
            if self._loop is None or self._has_ended(here):
                left, self._connections, self._connection = self._connections, set(), None
                if here is not None:
                    self._loop, self._loop_thread = here, threading.get_ident()
                else:
                    self._loop, self._loop_thread = acquire_loop()
                self._owns_loop = here is None
                self._loop_ends = False
                self._process = os.getpid()
            loop = self._loop
        for connection in left:
            connection.end()
        return loop

    def _has_ended(self, here: asyncio.AbstractEventLoop | None) -> bool:
        """Whether nothing can happen any more on the loop this socket lives on, seen from a loop or none."""
        loop = self._loop
        if loop is None or loop.is_closed() or self._process != os.getpid():
            return True
        # One of the program's that it has stopped may never run again: rather a fresh connection than a hang.
        return not self._owns_loop and not loop.is_running() and here is not loop

    def _end_connections(self) -> None:
        for connection in tuple(self._connections):
            connection.end()

    def _run(self, act: Callable[..., None], *args: Any) -> None:
        """Run on the socket's loop: now if this is its thread, else soon."""
        if threading.get_ident() != self._loop_thread:
            with self._lock:  # so that the loop is not given back in between
                if self._loop is not None and not self._loop.is_closed():
                    self._loop.call_soon_threadsafe(act, *args)
                    return
        act(*args)

    def _submit(self, request: Observed) -> None:
        if request.cancelled:
            return
        if self._closing or self._loop_ends:
            if self._loop is None:
                request.observer.on_error(closed_error(request))
            else:
                # Soon, not now: one that subscribes again on every error must not keep the loop from closing.
                self._loop.call_soon(request.observer.on_error, closed_error(request))
            return
        if self._connection is None:
            assert self._loop is not None
            outlets = Outlets(
                self._events, self._unrouted, self._opened, self._ended, self._down, self._observer_raised
            )
            self._connection = Connection(
                self._loop, outlets, self._url, self._credentials, self._options, echoes=self._echoes
            )
            self._connections.add(self._connection)
            self._state.emit(ConnectionState.CONNECTING)
        self._connection.submit(request)

    def _dispose(self, request: Observed) -> None:
        if self._connection is not None:
            self._connection.dispose(request)

    def _opened(self) -> None:
        self._state.emit(ConnectionState.OPEN)

    def _ended(self, connection: Connection) -> None:
        if connection.orphaned and self._loop is not None and not self._loop.is_closed():
            # What is begun now, as by `retry`, would neither be cancelled nor run to its end.
            self._loop_ends = True
            self._loop.call_later(_LOOP_END, self._loop_goes_on, self._loop)
        if self._connection is connection:
            self._connection = None
            if not self._closing:
                self._state.emit(ConnectionState.IDLE)

    def _loop_goes_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """The loop did not end: somebody cancelled all tasks, and went on."""
        if self._loop is loop:
            self._loop_ends = False

    def _down(self, connection: Connection) -> None:
        self._connections.discard(connection)

    def _observer_raised(self, error: BaseException) -> None:
        context = {"message": "an observer of a rxresponses Observable raised", "exception": error, "socket": self}
        loop = self._loop
        if loop is None or loop.is_closed():
            logging.getLogger("rxresponses").error(context["message"], exc_info=error)
        elif isinstance(error, (SystemExit, KeyboardInterrupt)) and not self._owns_loop:
            loop.call_soon(_raise, error)  # it is meant for the program, whose loop this is
        else:
            loop.call_exception_handler(context)

    def _start_closing(self) -> None:
        self._state.emit(ConnectionState.CLOSING)
        assert self._loop is not None
        self._last_task = self._loop.create_task(self._close_connections(), name="rxresponses close")
        # Not in the task itself: a program that ends its loop may cancel it before its first step.
        self._last_task.add_done_callback(lambda _: self._finish_closing())
        self._end_connections()

    async def _close_connections(self) -> None:
        connections = tuple(self._connections)
        await asyncio.gather(*(connection.close(abrupt=self._abrupt) for connection in connections))

    def _finish_closing(self) -> None:
        try:
            self._state.emit(ConnectionState.CLOSED)
            for source in (self._events, self._unrouted, self._state):
                source.complete()
        finally:
            with self._lock:
                self._loop, self._loop_thread = None, 0
                if self._owns_loop:
                    self._owns_loop = False
                    release_loop()
            self._closed.set_result(None)


def is_interruption(error: BaseException | None) -> bool:
    """Whether a block was left in a hurry, as by Ctrl-C: then there is no time for a good-bye."""
    return error is not None and not isinstance(error, Exception)


def _raise(error: BaseException) -> None:
    raise error
