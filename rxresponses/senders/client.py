"""`ResponsesClient`: many connections behind one `send_request`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from reactivex import Observable
from reactivex.abc import ObserverBase

from ..errors import ConfigurationError
from ..limits.budget import Budget
from ..limits.limits import Limits
from ..net.connection import Connection, ConnectionListener
from ..net.credentials import ApiKey
from ..net.endpoint import is_official
from ..net.loops import keep_for_parent, running_loop
from ..net.subject import IsolatedSubject
from ..options import ConnectionOptions, PoolOptions, options_of
from ..pool.pool import Pool
from ..redaction import discreet
from ..scalars import plain_scalar
from ..wire.events.base import ServerEvent
from ..wire.requests import InputItem, ResponseCreate, ResponseSteer, create_from
from .client_admission import local_admission
from .client_request import ClientRequest, ClientSteer, History, PreparedRequest, no_target_error
from .client_state import ClientState as ClientState
from .client_state import ClientStateChanges
from .drain import Drain, drain_seconds, draining_error
from .endpoint_source import EndpointSource
from .loop_bound import weakly
from .pool_driver import DriverCallbacks, PoolDriver


class ResponsesClient(EndpointSource):
    """Many WebSockets to a Responses API behind one `send_request`.

    `url`, `api_key` and `options` are those of `ResponsesWebSocket`, for each connection; `pool` says how many
    connections there may be.  They are opened on demand, and replaced before the server ends them.

    A connection runs `options.max_active` responses at once, or one if the server has no lanes.  Other requests wait,
    each no longer than `options.queue_timeout` seconds.  With `on_dispose="close"` a connection runs one request, so
    that disposing a request ends no other one.

    `limits` spread the requests and their tokens over time, and `budget`, which other clients may share, ends with
    `BudgetExceededError` the requests for which nothing is left, before they are sent; what runs finishes.  Both ask
    for each try of a request, and know what a response used from its terminal event.  A steer is not delayed, but
    delays the requests after it.

    A client lives on a loop as a socket does, and is closed if it is forgotten; all methods may be called from any
    thread.  Raises `ConfigurationError` for a URL, key or option that cannot be used, and `TypeError` for `options` or
    `pool` of a wrong class.
    """

    chooses_lanes = True

    @discreet
    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: ApiKey | None = None,
        options: ConnectionOptions | None = None,
        pool: PoolOptions | None = None,
        limits: Limits | None = None,
        budget: Budget | None = None,
    ) -> None:
        super().__init__(url, api_key, options)
        self._pool_options = options_of(PoolOptions, "pool", pool)
        # What shares limits with other machines puts an admission of its own here, before the first request.
        self._admission = local_admission(limits, budget)
        # The time in the client's own queue counts: a connection gets only requests that it can send at once.
        self._connection_options = dataclasses.replace(self._options, queue_timeout=None)
        query = dict(parse_qsl(urlsplit(self._endpoint).query, keep_blank_values=True))
        self._routes_by_model = not is_official(self._url) and "model" not in query
        self._has_lanes = self._server_has_lanes  # what a new driver knows of the server
        self._driver: PoolDriver | None = None  # on the present loop
        self._state_changes = ClientStateChanges()
        self._state: IsolatedSubject[ClientState] = self._subject(replay=True)
        self._state.on_next(ClientState())
        self._drain = Drain(self._subject(replay=True))
        self._made()

    # Sending.

    @discreet
    def send_request(
        self,
        request: ResponseCreate | Mapping[str, Any],
        *,
        stream_id: str | None = None,
        history: History | None = None,
    ) -> Observable[ServerEvent]:
        """Return the events of one response, as a cold Observable: each subscription sends once.

        The same as `ResponsesWebSocket.send_request`, on any connection that has room.  Requests with the same
        `stream_id` run in order.  The `stream_id` of their events is another one: the client chooses the lane.

        A request with `previous_response_id` goes to the lane that holds that response.  If no lane holds it, a
        stored response may be continued on any connection, and an unstored one (`store=False`) is lost.  Then the
        error is `PreviousResponseLostError`, unless the request has a `history`: the items of the conversation so
        far, or a function that returns them, called on the client's loop for each try.  The client then sends these
        items before the input, in place of the id, once.  Reasoning items without `encrypted_content` are left out, as
        `ResponseCreate` says.  A `history` without `previous_response_id` is sent at once.
        The client knows the latest 65,536 responses that are not stored; it takes an unknown response for unstored
        if the request that continues it has `store=False`.

        Marble::

            subscribe: --(waits, connects)--created--in_progress--"He"--"llo"--completed|

        A request that was not sent, or that the server refused for now, is sent again, as `PoolOptions.backoff`
        says; no other request is.  Such refusals are not emitted here; `events` has them.  A `retry_with_backoff`
        downstream multiplies the tries, and is of use only with a `when` of its own.

        Disposing a request that waits means that nothing is sent.  Disposing it later does what `on_dispose` says.

        Errors are those of a socket, and `QueueFullError`, `QueueTimeoutError`, `PreviousResponseLostError`,
        `BudgetExceededError`, `InvalidRequestError` for a continuation without outputs for its parent's function calls,
        and whatever the `history` function raises.
        """
        prepared = PreparedRequest(create_from(request, stream_id), history, self._frame, self._admission)

        def make(observer: ObserverBase[ServerEvent]) -> ClientRequest:
            return prepared.request(observer, prepared.history_here(), by_model=self._routes_by_model)

        return self._observable(make)

    def steer(self, response_id: str, input: str | Sequence[InputItem]) -> Observable[ServerEvent]:
        """Give a running response new input; each subscription sends it once.

        The same as `ResponsesWebSocket.steer`, on the connection that runs the response.  If no connection does, the
        error is `PreviousResponseLostError`.
        """
        frame = self._frame(ResponseSteer(previous_response_id=response_id, input=input))
        return self._observable(lambda observer: ClientSteer(frame, response_id, observer))

    def prewarm(self, connections: int | None = None, *, model: str | None = None) -> None:
        """Open connections now, and keep so many open from now on, with work or without.

        `connections` defaults to `PoolOptions.min_idle`, and to 1 if that is 0.  `model` is needed for a service that
        routes by it.  Returns at once; `state` shows when the connections are open.

        If the server refuses a connection for good, as for a wrong key, nothing more is tried until the next request
        or call.  After other failures the client tries on, however long that takes.  `state` shows the error.

        Raises `ConfigurationError` for a number that `max_connections` does not allow.
        """
        count, route = self._what_to_prewarm(connections, model)
        if self._choose_loop(running_loop()) is not None:
            self._run(self._prewarm, count, route)

    def _what_to_prewarm(self, connections: int | None, model: str | None) -> tuple[int, str | None]:
        """Return how many connections to open, and on which route; raises `ConfigurationError`."""
        most = self._pool_options.max_connections
        count = plain_scalar(connections) if connections is not None else max(1, self._pool_options.min_idle)
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= most:
            raise ConfigurationError(f"`connections` must be from 0 to `max_connections` ({most}), not {count!r}")
        if self._routes_by_model and model is None:
            raise ConfigurationError("this service may route by the model in the URL: pass `model` as well")
        return count, model if self._routes_by_model else None

    # Watching.

    @property
    def state(self) -> Observable[ClientState]:
        """What the client does now, the latest state first; completes on `close()`."""
        return self._state.observable

    # Closing.

    def drain(self, timeout: float | None = None) -> Observable[bool]:
        """Refuse new requests, let those that were accepted finish, then close; from any thread.

        Draining starts at once, not on subscription.  After `timeout` seconds the client closes in any case; of
        several calls the earliest timeout counts.  New requests get `SocketClosedError`, as after `close()`.

        The Observable emits, once the client is closed, whether all requests could finish, and completes.

        Raises `ConfigurationError` for a `timeout` that is not a number of seconds.
        """
        timeout = drain_seconds(timeout)
        with self._lock:
            idle = self._loop is None or self._has_ended(running_loop())
        if idle:
            self.close()
        else:
            self._run(self._start_drain, timeout)
        return self._drain.ended.observable

    def _start_drain(self, timeout: float | None) -> None:
        if not self._closing and self._loop is not None:
            self._drain.start(self._loop, timeout, self.close)
            self._loop_driver().wake()

    def _show_closing(self, *, closed: bool) -> None:
        if not closed:
            return
        self._stop_timers()
        self._state.on_next(ClientState(closed=True))
        self._state.on_completed()
        self._drain.finish()

    def _end_requests(self) -> None:
        if self._driver is not None:
            self._drain.cut_short = self._driver.has_work()
            self._driver.fail_waiting()
        super()._end_requests()

    def _abandon_loop(self) -> Callable[[], None]:
        end_connections = super()._abandon_loop()
        self._stop_timers()
        driver, self._driver = self._driver, None
        if driver is not None:
            self._has_lanes = driver.pool.has_lanes

        def end() -> None:
            if driver is not None:
                driver.fail_waiting()
            end_connections()

        return end

    def _forget_parent(self) -> None:
        keep_for_parent(self._driver)
        self._drain.forget_parent()
        if self._driver is not None:
            self._driver.detach()
            self._has_lanes = self._driver.pool.has_lanes
        self._driver = None
        super()._forget_parent()
        if not self._closing:
            self._state_changes = ClientStateChanges()
            self._state.on_next(ClientState())

    def _stop_timers(self) -> None:
        if self._driver is not None:
            self._driver.stop()
        self._drain.stop()

    # On the loop.

    def _submit(self, request: Any) -> None:
        driver = self._loop_driver()
        if self._drain.is_on:
            self._refuse(request, draining_error(request, "client"))
            driver.wake()
        elif not isinstance(request, ClientSteer):
            driver.submit(request)
        elif (lane := driver.pool.lane_of(request.target_id)) is not None:
            driver.steer(request, lane)
        else:
            self._refuse(request, no_target_error(request, "connection of this client"))

    def _dispose(self, request: Any) -> None:
        if self._driver is not None:
            self._driver.dispose(request)

    def _prewarm(self, count: int, route: str | None) -> None:
        if not self._closing and not self._drain.is_on:
            driver = self._loop_driver()
            driver.pool.prewarm(count, route)
            driver.wake()

    def _loop_driver(self) -> PoolDriver:
        """Return the driver on the present loop; the first call makes it."""
        if self._driver is None:
            assert self._loop is not None
            closes = self._options.on_dispose == "close"
            pool = Pool(
                self._pool_options,
                has_lanes=self._has_lanes,
                max_active=1 if closes else self._options.max_active,
                queue_timeout=self._options.queue_timeout,
                admission=self._admission,
            )
            callbacks = DriverCallbacks(
                # A driver acts for subscribers and connections, never after its client is gone, which closes all.
                connect=weakly(self._connect, None),  # type: ignore[arg-type]
                encode=weakly(self._frame, b""),
                deliver_error=weakly(self._deliver_error, None),
                observer_raised=weakly(self._observer_raised, None),
                is_closing=weakly(self._is_closing, True),
                connection_cancelled=weakly(self._connection_cancelled, None),
                loop_is_ending=weakly(self._loop_is_ending, False),
                acted=weakly(self._acted, None),
            )
            self._driver = PoolDriver(pool, self._loop, callbacks)
        return self._driver

    def _is_closing(self) -> bool:
        return self._closing

    def _connect(
        self, has_lanes: bool | None, opened: Callable[[], None], ended: Callable[[Connection], None]
    ) -> Connection:
        assert self._loop is not None
        listener = ConnectionListener(
            self._events,
            self._unrouted,
            weakly(self._accepted, None),
            opened,
            ended,
            self._connections.discard,
            weakly(self._observer_raised, None),
        )
        connection = Connection(
            self._loop,
            listener,
            self._url,
            self._credentials,
            self._connection_options,
            echoes_stream_id=has_lanes,
            secrets=self._secrets,
        )
        self._add_connection(connection)
        return connection

    def _acted(self, driver: PoolDriver) -> None:
        """Show the new state; close if draining is over."""
        state = self._state_changes.next(driver.pool, driver.now())
        if state is not None:
            self._state.on_next(state)
        if self._drain.is_on and not driver.has_work():
            self.close()
