"""`ResponsesClient`: many sockets behind one `send_request`."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from msgspec import UNSET
from reactivex import Observable
from reactivex.abc import ObserverBase

from .connection import Connection, Outlets, closed_error
from .credentials import ApiKey
from .endpoint import is_official
from .errors import ConfigurationError, InvalidRequestError, PreviousResponseLostError, QueueFullError
from .events.base import ServerEvent
from .hot import Hot
from .lease import History, Job, Leased, Steering, SteerJob
from .loops import running_loop
from .observed import NOBODY, Pending, Request, SteerRequest
from .options import ConnectionOptions, PoolOptions
from .places import Slot, SlotState, TicketState
from .pool import Close, Fail, Open, Pool, Send
from .requests import InputItem, ResponseCreate, ResponseSteer, create_from, user_message
from .source import Source


@dataclass(frozen=True, kw_only=True)
class ClientState:
    """What a client does now.

    `open` connections take work, `connecting` ones will, `draining` ones finish theirs.  `active`
    requests run on a lane each, `queued` ones wait.  `reconnect_in` are the seconds until the next
    connection is tried after one failed, `paused_for` those until anything is sent after the server
    asked for fewer requests, both counted from when this state was emitted.
    """

    open: int = 0
    connecting: int = 0
    draining: int = 0
    active: int = 0
    queued: int = 0
    reconnect_in: float | None = None
    paused_for: float | None = None
    closed: bool = False


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
        self._pool = self._new_pool(self._echoes)
        self._state: Hot[ClientState] = Hot(self._run, self._observer_raised, replay=True)
        self._shown = (ClientState(), 0.0, 0.0)
        self._state.emit(self._shown[0])
        self._drained: Hot[bool] = Hot(self._run, self._observer_raised, replay=True)
        self._draining = False
        self._cut_short = False
        self._woken = False
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
        of the conversation so far, or is a function that returns them: then these are sent before
        the input instead of the id, once.

        Marble::

            subscribe: --(waits, connects)--created--in_progress--"He"--"llo"--completed|

        What was not sent, or was refused for now, is sent again by itself, as `PoolOptions.backoff` says;
        nothing else is.  Refusals that are held back meanwhile are seen on `events`.

        Disposing means that nothing is sent, or what `on_dispose` says.

        Errors as on a socket, and `QueueFullError`, `QueueTimeoutError`, `PreviousResponseLostError`, and
        `InvalidRequestError` for a continuation without outputs for its parent's function calls.
        """
        create = create_from(request, stream_id)
        lane = create.stream_id if isinstance(create.stream_id, str) else None
        parent = create.previous_response_id if isinstance(create.previous_response_id, str) else None
        model = create.model if isinstance(create.model, str) else None
        create = dataclasses.replace(create, stream_id=UNSET)
        frame = self._frame(create)
        answers = _answered_calls(create)

        def make(observer: ObserverBase[ServerEvent]) -> Job:
            return Job(
                create,
                frame,
                observer,
                lane=lane,
                parent=parent,
                stores=create.store is not False,
                route=model if self._routes_by_model else None,
                answers=answers,
                history=history,
            )

        return self._cold(make)

    def steer(self, response_id: str, input: str | Sequence[InputItem]) -> Observable[ServerEvent]:
        """Give a running response new input; each subscription sends it once.

        The same as `ResponsesWebSocket.steer`, on the connection that runs the response.  When none does,
        the error is `PreviousResponseLostError`.
        """
        frame = self._frame(ResponseSteer(previous_response_id=response_id, input=input))
        return self._cold(lambda observer: SteerJob(frame, response_id, observer))

    def prewarm(self, connections: int | None = None, *, model: str | None = None) -> None:
        """Open connections now, and keep so many open from here on, whether there is work or not.

        `connections` is `PoolOptions.min_idle`, at least one, unless given; `model` is needed for a
        service that routes by it.  Returns at once; `state` shows when they are open.
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

        After `timeout` seconds it closes all the same.  It begins at once, not on subscription; the
        Observable returned emits, once closed, whether all came to their end, and completes.
        """
        if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or timeout < 0):
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
        if timeout is not None and self._loop is not None and not self._closing:
            if self._drain_timer is not None:
                self._drain_timer.cancel()
            self._drain_timer = self._loop.call_later(timeout, self.close)
        self.wake()

    def _tell(self, *, closed: bool) -> None:
        if not closed:
            return
        for timer in (self._timer, self._drain_timer):
            if timer is not None:
                timer.cancel()
        self._state.emit(ClientState(closed=True))
        self._state.complete()
        self._drained.emit(not self._cut_short)
        self._drained.complete()

    def _end(self) -> None:
        self._cut_short = self._has_work()
        self._fail_waiting(self._pool)
        super()._end()

    def _leave(self) -> Callable[[], None]:
        end_connections = super()._leave()
        pool, self._pool = self._pool, self._new_pool(self._pool.lanes)
        self._woken, self._timer, self._drain_timer = False, None, None

        def end() -> None:
            self._fail_waiting(pool)
            end_connections()

        return end

    def _fail_waiting(self, pool: Pool) -> None:
        for ticket in pool.waiting():
            pool.withdraw(ticket)
            self._tell_error(ticket, closed_error(ticket, "client"))  # type: ignore[arg-type]

    def _has_work(self) -> bool:
        """Whether somebody still waits for a request."""
        running = (place for slot in self._pool.slots for place in slot.places.values())
        jobs = [*self._pool.waiting(), *(place.running for place in running if place.running is not None)]
        return any(not job.cancelled for job in jobs if isinstance(job, Job)) or any(
            place.steers for slot in self._pool.slots for place in slot.places.values()
        )

    # On the loop: requests.

    def _submit(self, request: Any) -> None:
        if self._draining:
            self._tell_error(request, closed_error(request, "client"))
        elif isinstance(request, SteerJob):
            self._submit_steer(request)
        else:
            try:
                self._pool.submit(request, self.now())
            except QueueFullError as error:
                self._tell_error(request, error)
            self.wake()

    def _submit_steer(self, job: SteerJob) -> None:
        place = self._pool.place_of(job.target_id)
        if place is None:
            self._tell_error(
                job,
                PreviousResponseLostError(
                    f"the response {job.target_id!r} runs on no connection of this client, so it cannot be steered; "
                    "nothing was sent: send the input as a request of its own",
                    previous_response_id=job.target_id,
                ),
            )
            return
        observer = Steering(self, self._pool, job, place)
        job.connection = place.slot.connection
        job.sent = SteerRequest(job.frame, job.target_id, observer)
        job.sent.lease, job.sent.timings = observer, job.timings
        place.slot.connection.submit(job.sent)

    def _dispose(self, request: Any) -> None:
        if isinstance(request, SteerJob):
            if request.sent is not None and request.connection is not None:
                request.connection.dispose(request.sent)
        elif request.state is TicketState.WAITING:
            self._pool.withdraw(request)
            self.wake()
        elif request.sent is not None and request.place is not None:
            request.place.slot.connection.dispose(request.sent)

    def _prewarm(self, count: int, route: str | None) -> None:
        if not self._closing and not self._draining:
            self._pool.prewarm(count, route)
            self.wake()

    # On the loop: the pool.

    def _new_pool(self, lanes: bool | None) -> Pool:
        closes = self._options.on_dispose == "close"
        return Pool(
            self._pool_options,
            lanes=lanes,
            max_active=1 if closes else self._options.max_active,
            queue_timeout=self._options.queue_timeout,
        )

    def now(self) -> float:
        """The pool's clock."""
        return 0.0 if self._loop is None else self._loop.time()

    def wake(self) -> None:
        """Take the pool's next turn soon."""
        if not self._woken and not self._closing and self._loop is not None and not self._loop.is_closed():
            self._woken = True
            self._loop.call_soon(self._turn, self._pool)

    def _turn(self, pool: Pool) -> None:
        if pool is not self._pool or self._closing or self._loop is None:
            return
        self._woken = False
        for action in pool.turn(self.now()):
            if isinstance(action, Send):
                self._send(pool, action.ticket)  # type: ignore[arg-type]
            elif isinstance(action, Open):
                self._open(action.slot)
            elif isinstance(action, Close):
                self._close_slot(action.slot)
            elif isinstance(action, Fail):
                self._tell_error(action.ticket, action.error)  # type: ignore[arg-type]
        if self._closing:
            return
        self._set_timer(pool.deadline(self.now()))
        self._show_state(pool)
        if self._draining and not self._has_work():
            self.close()

    def _set_timer(self, deadline: float | None) -> None:
        if self._timer is not None:
            if self._timer.when() == deadline and not self._timer.cancelled():
                return
            self._timer.cancel()
            self._timer = None
        if deadline is not None and self._loop is not None:
            self._timer = self._loop.call_at(deadline, self._turn_in_time)

    def _turn_in_time(self) -> None:
        self._timer = None
        self._turn(self._pool)

    def _send(self, pool: Pool, job: Job) -> None:
        place = job.place
        if job.cancelled or place is None:
            pool.finished(job, self.now())
            self.wake()
            return
        frame = job.frame
        if job.replays:
            try:
                frame = self._frame(_with_history(job))
            except Exception as error:
                pool.finished(job, self.now())
                self._tell_error(job, error)
                self.wake()
                return
        if place.name is not None:
            frame = b'{"stream_id":"%s",%s' % (place.name.encode(), frame[1:])
        connection = place.slot.connection
        request = job.sent = Request(frame, place.name, None, job.observer)
        request.timings = job.timings
        request.observer = request.lease = Leased(self, pool, job, connection, request)
        connection.submit(request)

    def _open(self, slot: Slot) -> None:
        assert self._loop is not None
        outlets = Outlets(
            self._events,
            self._unrouted,
            partial(self._slot_opened, slot),
            partial(self._slot_ended, slot, self._pool),
            self._connections.discard,
            self._observer_raised,
        )
        slot.connection = connection = Connection(
            self._loop, outlets, self._url, self._credentials, self._connection_options, echoes=self._pool.lanes
        )
        self._connections.add(connection)
        connection.open(slot.route)

    def _slot_opened(self, slot: Slot) -> None:
        self._pool.opened(slot, self.now())
        self.wake()

    def _slot_ended(self, slot: Slot, pool: Pool, connection: Connection) -> None:
        if connection.orphaned:
            self._orphaned()
        pool.ended(slot, connection.error_for(Request(b"", None, None, NOBODY)), self.now())
        self.wake()

    def _close_slot(self, slot: Slot) -> None:
        assert self._loop is not None
        task = self._loop.create_task(slot.connection.close(), name="rxresponses close")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _show_state(self, pool: Pool) -> None:
        now = self.now()
        count = dict.fromkeys(SlotState, 0)
        for slot in pool.slots:
            count[slot.state] += 1
        retries_at = pool.retries_at if pool.retries_at is not None and pool.retries_at > now else None
        paused = pool.throttle.pause(now)
        state = ClientState(
            open=count[SlotState.OPEN],
            connecting=count[SlotState.CONNECTING],
            draining=count[SlotState.DRAINING],
            active=pool.active,
            queued=pool.queued,
            reconnect_in=None if retries_at is None else retries_at - now,
            paused_for=paused,
        )
        # The seconds left are news only when the time they lead to is.
        still = dataclasses.replace(state, reconnect_in=None, paused_for=None)
        shown = (still, retries_at or 0.0, 0.0 if paused is None else pool.throttle.resumes_at)
        if shown != self._shown:
            self._shown = shown
            self._state.emit(state)

    def _tell_error(self, request: Pending, error: Exception) -> None:
        try:
            request.observer.on_error(error)
        except BaseException as raised:
            self._observer_raised(raised)


def _answered_calls(create: ResponseCreate) -> frozenset[str]:
    """Return the ids of the calls for which the input has an output."""
    if not isinstance(create.input, Sequence) or isinstance(create.input, str):
        return frozenset()
    ids = (
        item.get("call_id") if isinstance(item, Mapping) else getattr(item, "call_id", None) for item in create.input
    )
    return frozenset(one for one in ids if isinstance(one, str))


def _with_history(job: Job) -> ResponseCreate:
    """Return the request with the whole conversation as its input, instead of the response it continues."""
    history = job.history() if callable(job.history) else job.history
    own = job.create.input
    if own is UNSET or own is None:
        own = ()
    elif isinstance(own, str):
        own = (user_message(own),)
    if history is None or isinstance(history, str):
        raise InvalidRequestError(f"`history` must be a list of items, not {type(history).__name__}", field="history")
    return dataclasses.replace(
        job.create,
        input=[*history, *own],
        previous_response_id=UNSET,
    )
