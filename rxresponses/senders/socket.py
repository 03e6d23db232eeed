"""`ResponsesWebSocket`: a socket as a source of Observables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any

from reactivex import Observable
from reactivex.abc import ObserverBase

from ..net.connection import Connection, ConnectionListener
from ..net.credentials import ApiKey
from ..net.request import AnyConnectionRequest, ConnectionRequest, ConnectionSteer
from ..net.subject import IsolatedSubject
from ..options import ConnectionOptions
from ..pool.responses import UnstoredResponses, lost_error
from ..wire.events.base import ServerEvent
from ..wire.requests import InputItem, ResponseCreate, ResponseSteer, create_from
from .request_fields import request_fields
from .source import Source


class ConnectionState(Enum):
    """Where a socket stands.  After a loss it is `IDLE` again: the next request connects anew."""

    IDLE = "idle"
    CONNECTING = "connecting"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class ResponsesWebSocket(Source):
    """One WebSocket to a Responses API, as Observables.

    `url` is a base or full endpoint, `http(s)` or `ws(s)`; default `OPENAI_BASE_URL`, else the
    official one.  `api_key` is a string, or a function, called at each connect on the socket's loop, so an
    async one if it has to wait for something; default `OPENAI_API_KEY`.  The socket connects on the first
    subscription, and again on the first one after a loss.

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
        super().__init__(url, api_key, options)
        self._state: IsolatedSubject[ConnectionState] = IsolatedSubject(self._run, self._observer_raised, replay=True)
        self._state.on_next(ConnectionState.IDLE)
        self._connection: Connection | None = None  # takes new requests
        self._number = 0  # of the latest connection
        self._unstored = UnstoredResponses()

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
        stays taken, and its events are swallowed, until the response ends at the server; with
        `on_dispose="close"` the connection is closed instead, for every request on it.

        Errors, each with `delivery`: `ConfigurationError` (a key that cannot be sent),
        `ConnectFailedError`, `ConnectionLostError` (the socket went away before the terminal event;
        `MessageTooBigError` and `PongTimeoutError` say why), `SocketClosedError`, `LaneLimitError`;
        `PreviousResponseLostError` (it continues one of the latest 1,024 responses that were not stored,
        whose connection is gone); `QueueTimeoutError`, `FirstEventTimeoutError` and `IdleTimeoutError`,
        where the options set these times; `BufferOverflowError` for a subscriber on another loop that falls
        too far behind.
        Raises `InvalidRequestError` at once for a request that cannot be right.

        Delivery is on the socket's loop, or on the running loop that subscribed.
        """
        create = create_from(request, stream_id)
        fields = request_fields(create)
        frame = self._frame(create)

        def make(observer: ObserverBase[ServerEvent]) -> ConnectionRequest:
            made = ConnectionRequest(frame, fields.stream_id, fields.model, observer)
            if fields.parent_id is not None or not fields.stores:
                made.end_listener = _Chain(self._unstored, made, fields.parent_id, stores=fields.stores)
            return made

        return self._cold(make)

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
        `steer_timeout`, since some ignore what they do not know: then the steered response goes on; or
        when none follows an accepted steer for that long after its target's end.
        An `error` that names steering, or a wrong `type`, is taken for the answer; any other one
        without a lane is the running response's.  Raises `InvalidRequestError` at once for input that
        is no message of the user.
        """
        frame = self._frame(ResponseSteer(previous_response_id=response_id, input=input))

        def make(observer: ObserverBase[ServerEvent]) -> ConnectionSteer:
            made = ConnectionSteer(frame, response_id, observer)
            made.end_listener = _Chain(self._unstored, made)
            return made

        return self._cold(make)

    # Watching.

    @property
    def state(self) -> Observable[ConnectionState]:
        """The connection's state, the latest first; completes on `close()`."""
        return self._state.observable

    # On the loop.

    def _submit(self, request: AnyConnectionRequest) -> None:
        chain = request.end_listener
        if isinstance(chain, _Chain):
            chain.connection = self._number + (self._connection is None)
            if chain.is_broken:
                self._refuse(request, lost_error(chain.parent or "", request.stream_id))
                return
        if self._connection is None:
            assert self._loop is not None
            self._number += 1
            outlets = ConnectionListener(
                self._events, self._unrouted, self._opened, self._ended, self._down, self._observer_raised
            )
            self._connection = Connection(
                self._loop, outlets, self._url, self._credentials, self._options, echoes=self._echoes
            )
            self._connections.add(self._connection)
            self._state.on_next(ConnectionState.CONNECTING)
        self._connection.submit(request)

    def _dispose(self, request: AnyConnectionRequest) -> None:
        if self._connection is not None:
            self._connection.dispose(request)

    def _opened(self) -> None:
        self._state.on_next(ConnectionState.OPEN)

    def _ended(self, connection: Connection) -> None:
        if connection.cancelled_outside:
            self._orphaned()
        if self._connection is connection:
            self._connection = None
            if not self._closing:
                self._state.on_next(ConnectionState.IDLE)

    def _down(self, connection: Connection) -> None:
        self._connections.discard(connection)

    def _tell(self, *, closed: bool) -> None:
        self._state.on_next(ConnectionState.CLOSED if closed else ConnectionState.CLOSING)
        if closed:
            self._state.on_completed()

    def _leave(self) -> Callable[[], None]:
        self._connection = None
        return super()._leave()


class _Chain:
    """The lease of a request that continues a response, or of one whose response is not stored."""

    def __init__(
        self,
        unstored: UnstoredResponses,
        request: AnyConnectionRequest,
        parent: str | None = None,
        *,
        stores: bool = True,
    ) -> None:
        self.parent = parent
        self.connection = 0
        self._unstored = unstored
        self._request = request
        self._stores = stores

    @property
    def is_broken(self) -> bool:
        """Whether the response that it continues is lost."""
        return self.parent is not None and self._unstored.is_lost(self.parent, self.connection)

    def ended(self, event: ServerEvent | None) -> None:
        """The connection holds the response from here on."""
        request = self._request
        # The response to a steer is stored if the steered one is.
        steered = request.target_ids if isinstance(request, ConnectionSteer) else ()
        if not self._stores or any(self._unstored.holds(one, self.connection) for one in steered):
            for response_id in request.response_ids:
                self._unstored.hold(response_id, self.connection)
