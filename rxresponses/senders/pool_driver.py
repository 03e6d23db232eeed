"""`PoolDriver`: does on the event loop what the rules of a client's pool say."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ..backoff import wait_after_handshake
from ..errors import ConnectionLostError, RequestError, SocketClosedError
from ..net.connection import Connection
from ..net.connection_errors import closed_error
from ..net.request import NO_OBSERVER, ConnectionRequest, ConnectionSteer, RequestSubscription
from ..pool.actions import Action, CloseConnection, FailRequest, OpenConnection, SendRequest
from ..pool.lanes import PoolConnection, PoolLane, PoolRequestState
from ..pool.pool import Pool
from ..raised import as_exception
from ..wire.requests import ResponseCreate
from .client_observers import ClientRequestObserver, ClientSteerObserver
from .client_request import ClientRequest, ClientSteer, history_exit_error, with_history


@dataclass(frozen=True)
class DriverCallbacks:
    """What a driver needs of its client."""

    connect: Callable[[bool | None, Callable[[], None], Callable[[Connection], None]], Connection]
    """Return a connection, for `has_lanes`, and what it calls once it is open and once it has ended."""
    encode: Callable[[ResponseCreate], bytes]
    deliver_error: Callable[[RequestSubscription, Exception], None]
    observer_raised: Callable[[BaseException], None]
    is_closing: Callable[[], bool]
    connection_cancelled: Callable[[], None]
    """A connection's task was cancelled from outside."""
    loop_is_ending: Callable[[], bool]
    """Whether the program is ending the loop, so that a request started now would never finish."""
    acted: Callable[[PoolDriver], None]
    """The actions of the pool are done."""


class PoolDriver:
    """Does the actions of a pool on an event loop: sends requests, opens and closes connections, waits for deadlines.

    A driver lives on one loop; a client whose loop has ended makes another driver.  All methods are called on the loop.
    """

    def __init__(self, pool: Pool, loop: asyncio.AbstractEventLoop, callbacks: DriverCallbacks) -> None:
        self.pool = pool
        self._loop = loop
        self._client = callbacks
        self._steers: set[ClientSteerObserver] = set()
        self._stopped = False
        self._woken = False  # `_act` is scheduled
        self._awaited = False  # what the connections were told last
        self._timer: asyncio.TimerHandle | None = None
        self._end_watch: Callable[[], None] | None = None  # of the admission
        if pool.admission is not None:
            self._end_watch = pool.admission.on_change(self._wake_from_any_thread)

    # Requests.

    def submit(self, request: ClientRequest) -> None:
        """Queue a request."""
        self.pool.submit(request, self.now())
        self.wake()

    def steer(self, steer: ClientSteer, lane: PoolLane) -> None:
        """Send a steer on the lane that runs, or has run, its target, unless the admission of the client refuses it."""
        reservation = None
        if self.pool.admission is not None:
            answer = self.pool.admission.ask_for_steer(lane, len(steer.frame), self.now())
            if isinstance(answer, RequestError):
                # In a later turn of the loop: an observer that steers again on every error would otherwise block it.
                self._loop.call_soon(self._client.deliver_error, steer, answer)
                return
            reservation = answer
        observer = ClientSteerObserver(self, steer, lane, reservation)
        self._steers = {other for other in self._steers if other.is_open} | {observer}
        steer.connection = lane.connection.net_connection
        steer.connection_steer = sent = ConnectionSteer(steer.frame, steer.target_id, observer)
        sent.end_listener, sent.timings = observer, steer.timings
        lane.connection.net_connection.submit(sent)

    def dispose(self, request: ClientRequest | ClientSteer) -> None:
        """Take a request out of the queue, or dispose it on its connection."""
        self.wake()
        if isinstance(request, ClientSteer):
            if request.connection_steer is not None and request.connection is not None:
                request.connection.dispose(request.connection_steer)
        elif request.state is PoolRequestState.WAITING:
            self.pool.withdraw(request)
        elif request.state is PoolRequestState.RUNNING and request.connection_request is not None:
            assert request.lane is not None
            sent = request.connection_request
            request.lane.connection.net_connection.dispose(sent)
            if isinstance(sent.observer, ClientRequestObserver):
                sent.observer.ignore_if_disposed()

    def fail_waiting(self) -> None:
        """Fail all requests in the queue: nothing will be sent any more."""
        waiting = self.pool.waiting()
        for request in waiting:
            self.pool.withdraw(request)
        for request in waiting:
            self._client.deliver_error(request, closed_error(request))  # type: ignore[arg-type]

    def has_work(self) -> bool:
        """Whether a subscriber still waits for a request or a steer."""
        requests = (request for request in self.pool.requests() if isinstance(request, ClientRequest))
        return any(not request.cancelled for request in requests) or any(steer.is_awaited for steer in self._steers)

    # The loop.

    def now(self) -> float:
        """Return the time by the clock of the loop, in seconds."""
        return self._loop.time()

    def wake(self) -> None:
        """Have the next actions of the pool done in a later turn of the loop."""
        if not (self._stopped or self._woken or self._client.is_closing() or self._loop.is_closed()):
            self._woken = True
            self._loop.call_soon(self._act)

    def stop(self) -> None:
        """Do nothing more."""
        self._stopped = True
        self.detach()
        for steer in self._steers:
            steer.settle_unknown()
        self.pool.close(self.now())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def detach(self) -> None:
        """Be told no more that requests may be admitted which waited for a budget."""
        if self._end_watch is not None:
            self._end_watch()

    def _wake_from_any_thread(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has been closed
            self._loop.call_soon_threadsafe(self.wake)

    def _act(self) -> None:
        if self._stopped:
            return
        self._woken = False
        if self._client.is_closing():
            return
        if self._client.loop_is_ending():
            self.fail_waiting()
            return
        now = self.now()
        for action in self.pool.next_actions(now):
            self._do(action)
        if self._client.is_closing():
            return
        self._tell_connections(now)
        # The time is that of the actions: what has become due since then is not done yet.
        self._set_timer(self.pool.deadline(now))
        self._client.acted(self)

    def _tell_connections(self, now: float) -> None:
        """Tell the connections whether requests in the queue wait for their responses.

        If so, a lagging consumer must not pause its connection for long.  A new connection starts with false, which is
        right: while it connects, the requests wait for that, not for responses.
        """
        awaited = self.pool.awaits_responses(now)
        if awaited is not self._awaited:
            self._awaited = awaited
            for connection in self.pool.connections:
                connection.net_connection.set_queue_waiting(awaited)

    def _set_timer(self, deadline: float | None) -> None:
        if self._timer is not None:
            if self._timer.when() == deadline:
                return
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer = self._loop.call_at(deadline, self._act_in_time)

    def _act_in_time(self) -> None:
        self._timer = None
        self._act()

    # Actions.

    def _do(self, action: Action) -> None:
        """Do an action, unless an observer that was told an error just before has closed the client."""
        if isinstance(action, FailRequest):
            self._client.deliver_error(action.request, action.error)  # type: ignore[arg-type]
        elif isinstance(action, SendRequest):
            self._send(action.request)  # type: ignore[arg-type]
        elif self._client.is_closing():
            pass
        elif isinstance(action, OpenConnection):
            self._open(action.connection)
        else:
            self._close(action)

    def _send(self, request: ClientRequest) -> None:
        frame = self._frame_of(request)
        if frame is None:
            return
        if request.cancelled or self._client.is_closing():
            self._fail_unsent(request, closed_error(request))
            return
        lane = request.lane
        assert lane is not None
        if lane.wire_name is not None:
            frame = b'{"stream_id":"%s",%s' % (lane.wire_name.encode(), frame[1:])
        connection = lane.connection.net_connection
        sent = request.connection_request = ConnectionRequest(frame, lane.wire_name, None, request.observer)
        sent.timings = request.timings
        sent.observer = sent.end_listener = ClientRequestObserver(self, request, connection, sent)
        connection.submit(sent)

    def _frame_of(self, request: ClientRequest) -> bytes | None:
        """Return the frame to send; if the sender's `history` function raises, fail the request and return `None`."""
        if not request.sends_history or request.cancelled or self._client.is_closing():
            return request.frame
        try:
            return self._client.encode(with_history(request))
        except Exception as error:
            self._fail_unsent(request, as_exception(error, "the `history` function"))
        except BaseException as error:
            self._fail_unsent(request, history_exit_error(error))
            self._client.observer_raised(error)
        return None

    def _fail_unsent(self, request: ClientRequest, error: Exception) -> None:
        """Fail a request that was about to be sent."""
        self.pool.unsent(request, self.now())
        self.wake()
        self._client.deliver_error(request, error)

    def _open(self, connection: PoolConnection) -> None:
        opened, ended = partial(self._opened, connection), partial(self._ended, connection)
        connection.net_connection = self._client.connect(self.pool.has_lanes, opened, ended)
        connection.net_connection.open(connection.route)

    def _opened(self, connection: PoolConnection) -> None:
        headers = connection.net_connection.response_headers
        wait = wait_after_handshake(headers)
        self.pool.connection_opened(connection, self.now(), requested_wait=wait, headers=headers)
        self.wake()

    def _ended(self, connection: PoolConnection, net_connection: Connection) -> None:
        error = net_connection.error_for(ConnectionRequest(b"", None, None, NO_OBSERVER))
        self.pool.connection_ended(connection, None if _is_own(error) else error, self.now())
        for steer in self._steers:
            if steer.connection is connection:
                steer.settle_unknown()
        if net_connection.cancelled_outside:
            self._client.connection_cancelled()
            if self._client.loop_is_ending():
                self.fail_waiting()
        self.wake()

    def _close(self, action: CloseConnection) -> None:
        # In a turn of its own, because it tells the pool that the connection has ended.
        self._loop.call_soon(action.connection.net_connection.start_closing)


def _is_own(error: Exception) -> bool:
    """Whether this side ended the connection: by closing, or by disposing with `on_dispose="close"`."""
    if isinstance(error, ConnectionLostError):
        return error.close_code is None and error.code is None
    return isinstance(error, SocketClosedError)
