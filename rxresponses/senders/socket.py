"""`ResponsesWebSocket`: one connection as a source of Observables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any

from reactivex import Observable
from reactivex.abc import ObserverBase

from ..net.connection import Connection, ConnectionListener
from ..net.credentials import ApiKey
from ..net.loops import keep_for_parent
from ..net.request import AnyConnectionRequest, ConnectionRequest, ConnectionSteer
from ..net.subject import IsolatedSubject
from ..options import ConnectionOptions
from ..pool.responses import UnstoredResponses, lost_error
from ..redaction import discreet
from ..wire.events.base import ServerEvent
from ..wire.requests import InputItem, ResponseCreate, ResponseSteer, create_from
from .endpoint_source import EndpointSource
from .loop_bound import weakly
from .request_fields import request_fields


class ConnectionState(Enum):
    """The state of a socket.  After a loss it is `IDLE` again, and the next request opens a new connection."""

    IDLE = "idle"
    CONNECTING = "connecting"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class ResponsesWebSocket(EndpointSource):
    """One WebSocket to a Responses API, as Observables.

    `url` is a base or full endpoint, `http(s)` or `ws(s)`; default `OPENAI_BASE_URL`, else the
    official one.  `api_key` is a string, or a function that is called at each connect on the socket's loop;
    the function must be async if it waits for something; default `OPENAI_API_KEY`.  The socket connects on
    the first subscription, and again on the first one after a loss.

    The first subscription chooses the loop on which the socket lives: the running asyncio loop, or without one
    a background thread that does not keep the program alive.  All methods may be called from any thread.
    Events are delivered one at a time on the socket's loop; a subscriber on another running loop gets them
    on its own loop.

    A socket that the program has forgotten is closed, with a `ResourceWarning`.  A stream with an observer keeps its
    socket, as the Observables of requests do; those of `events`, `unrouted` and `state` do not.

    Raises `ConfigurationError` for a URL, key or option that cannot be used, and `TypeError` for `options` that are no
    `ConnectionOptions`.
    """

    @discreet
    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: ApiKey | None = None,
        options: ConnectionOptions | None = None,
    ) -> None:
        super().__init__(url, api_key, options)
        self._state: IsolatedSubject[ConnectionState] = self._subject(replay=True)
        self._state.on_next(ConnectionState.IDLE)
        self._connection: Connection | None = None  # takes new requests
        self._connection_number = 0  # of the latest connection
        self._unstored = UnstoredResponses()
        self._made()

    # Sending.

    @discreet
    def send_request(
        self, request: ResponseCreate | Mapping[str, Any], *, stream_id: str | None = None
    ) -> Observable[ServerEvent]:
        """Return the events of one response, as a cold Observable: each subscription sends once.

        The Observable emits every event up to and including the terminal one (`response.completed`,
        `.failed`, `.incomplete` or `error`), then completes.  `request` may be a plain mapping; `stream_id`
        names the lane, whose requests run in order.

        Marble::

            subscribe: --created--in_progress--"He"--"llo"--completed|

        Disposing before the request was written means that nothing is sent.  After that the lane stays
        taken, and its events are swallowed, until the response ends at the server; with
        `on_dispose="close"` the connection is closed instead, for every request on it.

        Errors, each with `delivery`: `ConfigurationError` (a key that cannot be sent),
        `ConnectFailedError`, `ConnectionLostError` (the connection ended before the terminal event;
        `MessageTooBigError` and `PongTimeoutError` say why), `SocketClosedError`, `LaneLimitError`;
        `PreviousResponseLostError` (the request continues one of the latest 1,024 unstored responses, and
        the connection of that response is gone); `QueueTimeoutError`, `FirstEventTimeoutError` and
        `IdleTimeoutError`, if the options set these limits; `BufferOverflowError` for a subscriber on
        another loop that lags too far behind.
        Raises `InvalidRequestError` at once for an invalid request.

        Events are delivered on the socket's loop, or on the running loop that subscribed, with the context variables
        that were set when subscribing.
        """
        create = create_from(request, stream_id)
        fields = request_fields(create)
        frame = self._frame(create)

        def make_request(observer: ObserverBase[ServerEvent]) -> ConnectionRequest:
            made = ConnectionRequest(frame, fields.stream_id, fields.model, observer)
            if fields.parent_id is not None or not fields.stores:
                made.end_listener = _UnstoredResponseTracker(
                    self._unstored, made, fields.parent_id, stores=fields.stores
                )
            return made

        return self._observable(make_request)

    def steer(self, response_id: str, input: str | Sequence[InputItem]) -> Observable[ServerEvent]:
        """Give a running response new input; each subscription sends it once.

        Emits the server's answer to the steer.  If the steer was accepted, the events of the successor
        follow, up to its terminal one.  The stream of the steered response ends at its own terminal event;
        its lane stays taken until the successor ends.  One successor answers all accepted steers of a
        response, and each of their streams gets its events.

        Marble::

            response: --"He"--"llo"-------incomplete|
            steer:    -----accepted-------------------created--"Hi"--completed|
            refused:  -----failed|
            pending:  -----accepted-----------pending|

        `response.steer.failed` returns the input.  `response.steer.pending` says that the server waits for
        the outputs of function calls: send one `ResponseCreate` that continues the response on its lane with
        the `required_input` filled; its stream has the answer.  If the server returns the input after that,
        `unrouted` has the `response.steer.failed`.

        Disposing means that nothing is sent, or that the events of the successor are swallowed; with
        `on_dispose="close"`, disposing the last stream of a successor that has begun closes the connection.

        Errors are those of `send_request`, and `SteerTimeoutError`: the server did not answer the steer for
        `steer_timeout` seconds, as servers do that do not know steering (the steered response goes on), or
        no successor followed an accepted steer for so long after the end of its target.
        An `error` event that names steering, or an unknown `type`, is the answer to the steer; any other
        `error` without a lane belongs to the running response.  Raises `InvalidRequestError` at once for
        input that is no user message.
        """
        frame = self._frame(ResponseSteer(previous_response_id=response_id, input=input))

        def make_request(observer: ObserverBase[ServerEvent]) -> ConnectionSteer:
            made = ConnectionSteer(frame, response_id, observer)
            made.end_listener = _UnstoredResponseTracker(self._unstored, made)
            return made

        return self._observable(make_request)

    # Watching.

    @property
    def state(self) -> Observable[ConnectionState]:
        """The state of the connection, the latest state first; completes on `close()`."""
        return self._state.observable

    # On the loop.

    def _submit(self, request: AnyConnectionRequest) -> None:
        tracker = request.end_listener
        if isinstance(tracker, _UnstoredResponseTracker):
            # Without a connection the request goes to the next one.
            tracker.connection_number = self._connection_number + (self._connection is None)
            if tracker.has_lost_parent:
                self._refuse(request, lost_error(tracker.parent_id or "", request.stream_id))
                return
        if self._connection is None:
            assert self._loop is not None
            self._connection_number += 1
            listener = ConnectionListener(
                self._events,
                self._unrouted,
                weakly(self._accepted, None),
                weakly(self._opened, None),
                weakly(self._ended, None),
                self._connections.discard,
                weakly(self._observer_raised, None),
            )
            self._connection = Connection(
                self._loop,
                listener,
                self._url,
                self._credentials,
                self._options,
                echoes_stream_id=self._server_has_lanes,
                secrets=self._secrets,
            )
            self._add_connection(self._connection)
            self._state.on_next(ConnectionState.CONNECTING)
        self._connection.submit(request)

    def _dispose(self, request: AnyConnectionRequest) -> None:
        if self._connection is not None:
            self._connection.dispose(request)

    def _opened(self) -> None:
        self._state.on_next(ConnectionState.OPEN)

    def _ended(self, connection: Connection) -> None:
        if connection.cancelled_outside:
            self._connection_cancelled()
        if self._connection is connection:
            self._connection = None
            if not self._closing:
                self._state.on_next(ConnectionState.IDLE)

    def _show_closing(self, *, closed: bool) -> None:
        self._state.on_next(ConnectionState.CLOSED if closed else ConnectionState.CLOSING)
        if closed:
            self._state.on_completed()

    def _forget_parent(self) -> None:
        keep_for_parent(self._connection)
        self._connection = None
        super()._forget_parent()
        if not self._closing:
            self._state.on_next(ConnectionState.IDLE)

    def _abandon_loop(self) -> Callable[[], None]:
        self._connection = None
        return super()._abandon_loop()


class _UnstoredResponseTracker:
    """The end listener of a request that continues a response, steers one, or makes one that is not stored."""

    def __init__(
        self,
        unstored: UnstoredResponses,
        request: AnyConnectionRequest,
        parent_id: str | None = None,
        *,
        stores: bool = True,
    ) -> None:
        self.parent_id = parent_id
        self.connection_number = 0
        self._unstored = unstored
        self._request = request
        self._stores = stores

    @property
    def has_lost_parent(self) -> bool:
        """Whether the response that the request continues is lost."""
        return self.parent_id is not None and self._unstored.is_lost(self.parent_id, self.connection_number)

    def ended(self, event: ServerEvent | None) -> None:
        """Note which responses the connection holds from here on."""
        request = self._request
        self._unstored.ended(
            request.response_ids,
            self.connection_number,
            stores=self._stores,
            target_ids=request.target_ids if isinstance(request, ConnectionSteer) else (),
        )
