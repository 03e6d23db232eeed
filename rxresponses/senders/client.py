"""`ResponsesClient`: many sockets behind one `send_request`."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from msgspec import UNSET
from reactivex import Observable
from reactivex.abc import ObserverBase

from ..errors import ConfigurationError, ConnectionLostError, PreviousResponseLostError, SocketClosedError
from ..net.connection import Connection, ConnectionListener
from ..net.connection_errors import closed_error
from ..net.credentials import ApiKey
from ..net.endpoint import is_official
from ..net.loops import running_loop
from ..net.request import NO_OBSERVER, ConnectionRequest, ConnectionSteer, RequestSubscription
from ..net.subject import IsolatedSubject
from ..options import ConnectionOptions, PoolOptions
from ..pool.lanes import PoolConnection, PoolRequestState
from ..pool.pool import Action, Fail, Open, Pool, Send
from ..wire.events.base import ServerEvent
from ..wire.requests import InputItem, ResponseCreate, ResponseSteer, create_from
from .client_request import ClientRequest, ClientSteer, History, answered_calls, check_history, with_history
from .client_state import ClientState as ClientState
from .client_state import ClientStateChanges
from .pooled import ClientRequestObserver, ClientSteerObserver, PoolHandle
from .source import Source


class ResponsesClient(Source):
    """Many WebSockets to a Responses API behind one `send_request`.

    `url`, `api_key` and `options` are those of `ResponsesWebSocket`, for each of its connections; `pool`
    says how many there may be.  They are opened on demand, and replaced before the server ends them.
    One connection runs `options.max_active` responses at once, or one, if the server has no lanes;
    what does not fit waits its turn, no longer than `options.queue_timeout`.  With
    `on_dispose="close"` there is one request on a connection, so that disposing it ends no other.

    A client lives on a loop as a socket does; all methods may be called from any thread.  Raises
    `ConfigurationError` for a URL, key or option that cannot be used.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: ApiKey | None = None,
        options: ConnectionOptions | None = None,
        pool: PoolOptions | None = None,
    ) -> None:
        super().__init__(url, api_key, options)
        self._pool_options = pool or PoolOptions()
        # Time in the client's own queue counts: a connection gets only what it can send at once.
        self._connection_options = dataclasses.replace(self._options, queue_timeout=None)
        query = dict(parse_qsl(urlsplit(self._endpoint).query, keep_blank_values=True))
        self._routes_by_model = not is_official(self._url) and "model" not in query
        self._desk = self._new_desk(self._echoes)
        self._steerings: set[ClientSteerObserver] = set()
        self._display = ClientStateChanges()
        self._state: IsolatedSubject[ClientState] = IsolatedSubject(self._run, self._observer_raised, replay=True)
        self._state.on_next(ClientState())
        self._drained: IsolatedSubject[bool] = IsolatedSubject(self._run, self._observer_raised, replay=True)
        self._draining = False
        self._cut_short = False
        self._woken = False
        self._awaited = False  # what the connections were told
        self._timer: asyncio.TimerHandle | None = None
        self._drain_timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # Sending.

    def send_request(
        self,
        request: ResponseCreate | Mapping[str, Any],
        *,
        stream_id: str | None = None,
        history: History | None = None,
    ) -> Observable[ServerEvent]:
        """Return the events of one response, as a cold Observable: each subscription sends once.

        The same as `ResponsesWebSocket.send_request`, on whichever connection has room.  Requests with the
        same `stream_id` run in order; the lane that their events name is one that the client lends.

        A request with `previous_response_id` goes to the lane that holds that response.  When none
        does any more, a stored response may be continued anywhere; one that is not stored
        (`store=False`) is lost, which is a `PreviousResponseLostError`, unless `history` has the items
        of the conversation so far, or is a function that returns them, called on the client's loop for
        each try: then these are sent before the input instead of the id, once.  Without
        `previous_response_id` they are sent at once.  What was not stored is known for the latest 65,536
        responses, and told by `store=False` in what continues it.

        Marble::

            subscribe: --(waits, connects)--created--in_progress--"He"--"llo"--completed|

        What was not sent, or was refused for now, is sent again by itself, as `PoolOptions.backoff` says;
        nothing else is.  Refusals that are held back meanwhile are seen on `events`.  `retry_with_backoff`
        below it multiplies the tries, and is of use only with a `when` of its own.

        Disposing means that nothing is sent, or what `on_dispose` says.

        Errors as on a socket, and `QueueFullError`, `QueueTimeoutError`, `PreviousResponseLostError`,
        `InvalidRequestError` for a continuation without outputs for its parent's function calls, and
        whatever the `history` function raises.
        """
        create = create_from(request, stream_id)
        lane = create.stream_id if isinstance(create.stream_id, str) else None
        parent = create.previous_response_id if isinstance(create.previous_response_id, str) else None
        model = create.model if isinstance(create.model, str) else None
        create = dataclasses.replace(create, stream_id=UNSET)
        frame = self._frame(create)
        answers = answered_calls(create)
        items = check_history(history)

        def make(observer: ObserverBase[ServerEvent]) -> ClientRequest:
            job = ClientRequest(
                create,
                frame,
                observer,
                lane=lane,
                parent=parent,
                stores=create.store is not False,
                route=model if self._routes_by_model else None,
                answers=answers,
                history=items,
            )
            job.replays = parent is None and bool(items)
            return job

        return self._cold(make)

    def steer(self, response_id: str, input: str | Sequence[InputItem]) -> Observable[ServerEvent]:
        """Give a running response new input; each subscription sends it once.

        The same as `ResponsesWebSocket.steer`, on the connection that runs the response.  When none does,
        the error is `PreviousResponseLostError`.
        """
        frame = self._frame(ResponseSteer(previous_response_id=response_id, input=input))
        return self._cold(lambda observer: ClientSteer(frame, response_id, observer))

    def prewarm(self, connections: int | None = None, *, model: str | None = None) -> None:
        """Open connections now, and keep so many open from here on, whether there is work or not.

        `connections` is `PoolOptions.min_idle`, at least one, unless given; `model` is needed for a
        service that routes by it.  Returns at once; `state` shows when they are open.  When the server
        refuses them for good, as for a wrong key, nothing more is tried until the next request or call;
        after other failures it is tried on, however long that takes.  `state` shows the error.
        Raises `ConfigurationError` for a number that `max_connections` does not allow.
        """
        most = self._pool_options.max_connections
        count = connections if connections is not None else max(1, self._pool_options.min_idle)
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= most:
            raise ConfigurationError(f"`connections` must be from 0 to `max_connections` ({most}), not {count!r}")
        if self._routes_by_model and model is None:
            raise ConfigurationError("this service may route by the model in the URL: pass `model` as well")
        if self._bind(running_loop()) is not None:
            self._run(self._prewarm, count, model if self._routes_by_model else None)

    # Watching.

    @property
    def state(self) -> Observable[ClientState]:
        """What the client does now, the latest first; completes on `close()`."""
        return self._state.observable

    # Closing.

    def drain(self, timeout: float | None = None) -> Observable[bool]:
        """Refuse new requests, let those that were taken finish, then close; from any thread.

        After `timeout` seconds it closes all the same, at the earliest of several calls.  It begins at
        once, not on subscription; the Observable returned emits, once closed, whether nothing was cut
        short, and completes.  New requests get `SocketClosedError`, as after `close()`.  Raises
        `ConfigurationError` for a `timeout` that is no time.
        """
        if timeout is not None and (
            isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 <= timeout < math.inf
        ):
            raise ConfigurationError(f"`timeout` must be a number of seconds, not {timeout!r}")
        with self._lock:
            idle = self._loop is None or self._has_ended(running_loop())
        if idle:
            self.close()
        else:
            self._run(self._drain, timeout)
        return self._drained.observable

    def _drain(self, timeout: float | None) -> None:
        self._draining = True
        if self._closing or self._loop is None:
            return
        if timeout is not None:
            at = self._loop.time() + timeout
            if self._drain_timer is None or at < self._drain_timer.when():
                if self._drain_timer is not None:
                    self._drain_timer.cancel()
                self._drain_timer = self._loop.call_at(at, self.close)
        self._wake(self._pool)

    def _tell(self, *, closed: bool) -> None:
        if not closed:
            return
        self._cancel_timers()
        self._state.on_next(ClientState(closed=True))
        self._state.on_completed()
        self._drained.on_next(not self._cut_short)
        self._drained.on_completed()

    def _end(self) -> None:
        self._cut_short = self._has_work()
        self._fail_waiting(self._pool)
        super()._end()

    async def _close_connections(self) -> None:
        await super()._close_connections()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _leave(self) -> Callable[[], None]:
        end_connections = super()._leave()
        self._cancel_timers()
        pool, self._desk = self._pool, self._new_desk(self._pool.lanes)
        self._steerings, self._tasks, self._woken, self._awaited = set(), set(), False, False

        def end() -> None:
            self._fail_waiting(pool)
            end_connections()

        return end

    def _cancel_timers(self) -> None:
        for timer in (self._timer, self._drain_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._drain_timer = None

    def _fail_waiting(self, pool: Pool) -> None:
        """Tell everyone who waits in the queue that nothing will be sent."""
        waiting = pool.waiting()
        for ticket in waiting:
            pool.withdraw(ticket)
        for ticket in waiting:
            self._tell_error(ticket, closed_error(ticket))  # type: ignore[arg-type]

    def _has_work(self) -> bool:
        """Whether somebody still waits for the end of something."""
        jobs = (job for job in self._pool.work() if isinstance(job, ClientRequest))
        return any(not job.cancelled for job in jobs) or any(steering.is_awaited for steering in self._steerings)

    # On the loop: requests.

    def _submit(self, request: Any) -> None:
        if self._draining:
            self._refuse(request, _draining_error(request))
            self._wake(self._pool)
        elif isinstance(request, ClientSteer):
            self._submit_steer(request)
        else:
            self._pool.submit(request, self._now())
            self._wake(self._pool)

    def _submit_steer(self, job: ClientSteer) -> None:
        place = self._pool.place_of(job.target_id)
        if place is None:
            error = PreviousResponseLostError(
                f"the response {job.target_id!r} runs on no connection of this client, so it cannot be steered; "
                "nothing was sent: send the input as a request of its own",
                previous_response_id=job.target_id,
            )
            self._refuse(job, error)
            return
        observer = ClientSteerObserver(self._desk, job, place)
        self._steerings = {one for one in self._steerings if one.is_open} | {observer}
        job.connection = place.slot.connection
        job.sent = ConnectionSteer(job.frame, job.target_id, observer)
        job.sent.end_listener, job.sent.timings = observer, job.timings
        place.slot.connection.submit(job.sent)

    def _dispose(self, request: Any) -> None:
        self._wake(self._pool)
        if isinstance(request, ClientSteer):
            if request.sent is not None and request.connection is not None:
                request.connection.dispose(request.sent)
        elif request.state is PoolRequestState.WAITING:
            self._pool.withdraw(request)
        elif request.state is PoolRequestState.RUNNING and request.sent is not None:
            request.place.slot.connection.dispose(request.sent)

    def _prewarm(self, count: int, route: str | None) -> None:
        if not self._closing and not self._draining:
            self._pool.prewarm(count, route)
            self._wake(self._pool)

    # On the loop: the pool.

    @property
    def _pool(self) -> Pool:
        return self._desk.pool

    def _new_desk(self, lanes: bool | None) -> PoolHandle:
        closes = self._options.on_dispose == "close"
        pool = Pool(
            self._pool_options,
            lanes=lanes,
            max_active=1 if closes else self._options.max_active,
            queue_timeout=self._options.queue_timeout,
        )
        return PoolHandle(pool, self._now, partial(self._wake, pool))

    def _now(self) -> float:
        return 0.0 if self._loop is None else self._loop.time()

    def _wake(self, pool: Pool) -> None:
        """Take the pool's next turn soon; not that of one whose loop has ended."""
        if pool is not self._pool or self._woken or self._closing:
            return
        if self._loop is not None and not self._loop.is_closed():
            self._woken = True
            self._loop.call_soon(self._turn, pool)

    def _turn(self, pool: Pool) -> None:
        if pool is not self._pool:
            return
        self._woken = False
        if self._closing:
            return
        if self._loop_ends():
            self._fail_waiting(pool)  # what is begun now would not come to its end
            return
        now = self._now()
        for action in pool.turn(now):
            self._act(pool, action)
        if self._closing:
            return
        self._tell_connections(pool, now)
        # As of the turn: what became due since then was not done by it.
        self._set_timer(pool, pool.deadline(now))
        news = self._display.news(pool, self._now())
        if news is not None:
            self._state.on_next(news)
        if self._draining and not self._has_work():
            self.close()

    def _tell_connections(self, pool: Pool, now: float) -> None:
        """Let no consumer that lags hold up those who wait here for the end of what runs."""
        awaited = pool.awaits_end(now)
        if awaited is not self._awaited:  # a new connection was being made before, for which nobody is awaited
            self._awaited = awaited
            for slot in pool.slots:
                slot.connection.set_queue_waiting(awaited)

    def _set_timer(self, pool: Pool, deadline: float | None) -> None:
        assert self._loop is not None
        if self._timer is not None:
            if self._timer.when() == deadline:
                return
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer = self._loop.call_at(deadline, self._turn_in_time, pool)

    def _turn_in_time(self, pool: Pool) -> None:
        self._timer = None
        self._turn(pool)

    def _act(self, pool: Pool, action: Action) -> None:
        """Do what the pool says; an observer that was told before may have closed the client meanwhile."""
        if isinstance(action, Fail):
            self._tell_error(action.ticket, action.error)  # type: ignore[arg-type]
        elif isinstance(action, Send):
            self._send(pool, action.ticket)  # type: ignore[arg-type]
        elif self._closing:
            pass
        elif isinstance(action, Open):
            self._open(pool, action.slot)
        else:
            self._close_slot(action.slot)

    def _send(self, pool: Pool, job: ClientRequest) -> None:
        frame = self._frame_of(pool, job)
        if frame is None:
            return
        if job.cancelled or self._closing:
            self._drop(pool, job, closed_error(job))
            return
        place = job.place
        assert place is not None
        if place.name is not None:
            frame = b'{"stream_id":"%s",%s' % (place.name.encode(), frame[1:])
        connection = place.slot.connection
        request = job.sent = ConnectionRequest(frame, place.name, None, job.observer)
        request.timings = job.timings
        request.observer = request.end_listener = ClientRequestObserver(self._desk, job, connection, request)
        connection.submit(request)

    def _frame_of(self, pool: Pool, job: ClientRequest) -> bytes | None:
        """Return what to send, `None` if its sender's function failed to tell."""
        if not job.replays or job.cancelled or self._closing:
            return job.frame
        try:
            return self._frame(with_history(job))
        except Exception as error:
            self._drop(pool, job, error)
        except BaseException as error:
            self._drop(pool, job, closed_error(job))
            self._observer_raised(error)
        return None

    def _drop(self, pool: Pool, job: ClientRequest, error: Exception) -> None:
        """End a request that was about to be sent."""
        pool.unsent(job, self._now())
        self._wake(pool)
        self._tell_error(job, error)

    def _open(self, pool: Pool, slot: PoolConnection) -> None:
        assert self._loop is not None
        outlets = ConnectionListener(
            self._events,
            self._unrouted,
            partial(self._slot_opened, slot, pool),
            partial(self._slot_ended, slot, pool),
            self._connections.discard,
            self._observer_raised,
        )
        slot.connection = connection = Connection(
            self._loop, outlets, self._url, self._credentials, self._connection_options, echoes=pool.lanes
        )
        self._connections.add(connection)
        connection.open(slot.route)

    def _slot_opened(self, slot: PoolConnection, pool: Pool) -> None:
        pool.opened(slot, self._now())
        self._wake(pool)

    def _slot_ended(self, slot: PoolConnection, pool: Pool, connection: Connection) -> None:
        error = connection.error_for(ConnectionRequest(b"", None, None, NO_OBSERVER))
        pool.ended(slot, None if _is_ours(error) else error, self._now())
        if connection.cancelled_outside:
            self._orphaned()
            if self._loop_ends():
                self._fail_waiting(pool)
        self._wake(pool)

    def _close_slot(self, slot: PoolConnection) -> None:
        assert self._loop is not None
        task = self._loop.create_task(slot.connection.close(), name="rxresponses close")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _draining_error(request: RequestSubscription) -> SocketClosedError:
    return SocketClosedError(
        "the client takes no new requests: `drain()` was called, which closes it when those it has have ended; nothing "
        "was sent",
        delivery="not_sent",
        stream_id=request.stream_id,
    )


def _is_ours(error: Exception) -> bool:
    """Whether a connection was ended on this side: by closing, or by disposing with `on_dispose="close"`."""
    if isinstance(error, ConnectionLostError):
        return error.close_code is None and error.code is None
    return isinstance(error, SocketClosedError)
