"""The observers that a client has on its connections, between a connection and the subscriber's observer."""

from __future__ import annotations

from typing import Protocol

from reactivex.abc import ObserverBase

from ..backoff import is_rate_limit, is_retryable, requested_wait
from ..errors import RequestError, ResponseFailedError
from ..limits.admission import NOTHING_USED, UNKNOWN_USAGE, Reservation
from ..limits.used import usage_of
from ..net.connection import Connection
from ..net.request import NO_OBSERVER, ConnectionRequest
from ..pool.lanes import PoolConnection, PoolConnectionState, PoolLane
from ..pool.pool import Pool
from ..protocol.routing import BUSY_CODES
from ..wire.events.base import TERMINAL_TYPES, ServerEvent
from ..wire.failures import failure_of
from ..wire.fields import begins_response, shows_output
from ..wire.ids import id_key
from ..wire.models import ResponseFunctionToolCall, ResponseFunctionToolCallOutputItem
from .client_request import ClientRequest, ClientSteer

_MOST_CALLS = 1024  # function calls of a response that are remembered until the next request on its lane

_LANE_LIMIT = "websocket_stream_limit_reached"


class PoolHandle(Protocol):
    """What the observers use of a `PoolDriver`."""

    @property
    def pool(self) -> Pool:
        """The pool."""

    def now(self) -> float:
        """Return the time by the clock of the loop, in seconds."""

    def wake(self) -> None:
        """Have the next actions of the pool done in a later turn of the loop."""


class ClientRequestObserver(ObserverBase[ServerEvent]):
    """Passes the events of a request on to the subscriber, and tells the pool what they mean.

    A refusal after which the request may be sent again is held back, and the request queued again.  So is the failure
    of a response without output and usage.  Its `response.created` has been passed on by then, since a subscriber
    needs the response id at once, and the next try begins with its own.
    """

    def __init__(
        self,
        driver: PoolHandle,
        request: ClientRequest,
        connection: Connection,
        connection_request: ConnectionRequest,
    ) -> None:
        assert request.lane is not None
        self._driver = driver
        self._pool = driver.pool
        self._request = request
        self._lane: PoolLane = request.lane
        self._connection = connection
        self._connection_request = connection_request
        self._first: ServerEvent | None = None  # an event of the response before the present one
        self._has_output = False  # the response has shown output: the request is not sent again
        self._inspects = True  # looks at each event until there is output, and until a fork has its parent
        self._retry_after: float | None = None  # seconds; the request is refused and will be queued again
        self._is_lane_limit = False

    def on_next(self, event: ServerEvent) -> None:
        """Pass an event on, unless it is a refusal after which the request is sent again."""
        if self._inspects:
            self._inspect(event)
            if self._retry_after is not None:
                return
        self._request.observer.on_next(event)

    def on_error(self, error: Exception) -> None:
        """Pass an error on, unless the request was not sent: then it is queued again."""
        request, pool, now = self._request, self._pool, self._driver.now()
        self._driver.wake()
        # If the subscriber's observer raised the error, it says nothing about the request, which runs on.
        from_connection = not self._connection_request.cancelled
        unsent = from_connection and getattr(error, "delivery", None) == "not_sent"
        if unsent and is_retryable(error) and not request.cancelled:
            request.take_back()
            pool.requeue(request, now)
            return
        if unsent:
            pool.unsent(request, now)
        elif self._lane.connection.state is PoolConnectionState.GONE:
            pool.finished(request, now)
        if from_connection and isinstance(error, RequestError):
            error.stream_id = request.stream_id
        observer, request.observer = request.observer, NO_OBSERVER
        request.cancelled = True
        observer.on_error(error)

    def on_completed(self) -> None:
        """Pass the completion on, unless the request is queued again."""
        if self._retry_after is None:
            self._request.observer.on_completed()

    def ended(self, event: ServerEvent | None) -> None:
        """Tell the pool that the lane is free: `event` was the terminal one, or the request was taken back."""
        pool, request, now = self._pool, self._request, self._driver.now()
        self._driver.wake()
        if pool.admission is not None and event is not None:
            pool.admission.settle(request, usage_of(event, self._failure(event)), now)
        if self._retry_after is not None and not request.cancelled:
            request.take_back()
            pool.requeue(request, now, self._retry_after)
            self._note_lane_limit()
            return
        failure = None if event is None else self._failure(event)
        if event is None:
            pool.unsent(request, now)
        elif failure is None:
            response_id = self._connection_request.response_id
            pool.finished(request, now, response_id=response_id, open_calls=open_calls(event))
        else:
            if is_rate_limit(failure):
                pool.rate_limited(failure, now, hits_when_sent=request.hits_when_sent)
            if failure.code == "previous_response_not_found" and request.parent_id is not None:
                pool.forget(request.parent_id)
            pool.finished(request, now)
            self._note_lane_limit()

    def _note_lane_limit(self) -> None:
        if self._is_lane_limit:
            self._pool.lane_refused(self._lane)

    def _inspect(self, event: ServerEvent) -> None:
        if not begins_response(event):
            return  # a heartbeat: the request is as unanswered as before
        request, pool = self._request, self._pool
        if self._first is None:
            self._first = event
            pool.began(request, self._connection_request.response_id)
            if pool.has_lanes is None and self._connection.echoes_stream_id is not None:
                pool.has_lanes = self._connection.echoes_stream_id
                self._driver.wake()
        if not self._has_output:
            failure = self._failure(event)
            if failure is not None and self._is_undone(failure) and not request.cancelled:
                self._retry_after = self._retry_delay(failure)
            self._has_output = shows_output(event)
            if self._has_output and event.type not in TERMINAL_TYPES:
                self._first = event  # small; the first event may hold all instructions and tools of the request
        if request.parent_lane is not None and event.type not in ("response.created", "response.queued"):
            pool.in_progress(request)
            self._driver.wake()
        self._inspects = not self._has_output or request.parent_lane is not None
        self.ignore_if_disposed()

    def ignore_if_disposed(self) -> None:
        """Get no more events of a disposed request once the pool needs none, so that they are not decoded.

        The pool learns from `ended` that the response has ended, and from the connection that it is lost.
        """
        if self._connection_request.cancelled and not self._inspects:
            self._connection.ignore(self._connection_request)

    def _failure(self, event: ServerEvent) -> ResponseFailedError | None:
        first = None if event is self._first else self._first
        return failure_of(event, first, has_output=self._has_output)

    def _is_undone(self, failure: ResponseFailedError) -> bool:
        """Whether the request may be sent again: refused, or failed at a limit without output.  A steer forbids it."""
        return failure.delivery == "rejected" or (is_retryable(failure) and not self._lane.open_steers)

    def _retry_delay(self, failure: ResponseFailedError) -> float | None:
        """Return the seconds to wait before the request is sent again, `None` if it may not be sent again."""
        request, pool = self._request, self._pool
        if failure.code == "previous_response_not_found" and request.parent_id is not None:
            pool.forget(request.parent_id)
            return 0.0 if request.has_history and not request.sends_history else None
        wait = requested_wait(failure)
        if is_rate_limit(failure):
            pool.rate_limited(failure, self._driver.now(), hits_when_sent=request.hits_when_sent)
        if request.parent_id is not None and pool.is_lost(request.parent_id) and not request.has_history:
            return None  # the lane lost the parent when the request was sent
        had_lanes, self._is_lane_limit = pool.has_lanes is not False, failure.code == _LANE_LIMIT
        if failure.code in BUSY_CODES:
            pool.has_lanes = False
        elif not is_retryable(failure) or pool.options.backoff.is_too_long(wait):
            return None
        if request.retries >= pool.options.backoff.max_retries:
            return None
        request.retries += 1
        if self._is_lane_limit or is_rate_limit(failure) or (had_lanes and pool.has_lanes is False):
            return 0.0  # the pool sends it on another lane or connection, or after the pause for all requests
        return pool.options.backoff.delay(request.retries, wait)


class ClientSteerObserver(ObserverBase[ServerEvent]):
    """Passes the events of a steer on to the subscriber, and tells the pool of the response that follows."""

    def __init__(
        self, driver: PoolHandle, steer: ClientSteer, lane: PoolLane, reservation: Reservation | None = None
    ) -> None:
        self._driver = driver
        self._pool = driver.pool
        self._steer = steer
        self._reservation = reservation
        self._lane = lane
        self._stores = lane.response_is_stored
        self._successor_began = False
        self.is_open = True  # a response may follow
        driver.pool.steered(lane)

    @property
    def connection(self) -> PoolConnection:
        """The connection on which the steer was sent."""
        return self._lane.connection

    @property
    def is_awaited(self) -> bool:
        """Whether a response may follow, and the subscriber has not disposed."""
        return self.is_open and not self._steer.cancelled

    def on_next(self, event: ServerEvent) -> None:
        """Pass an event on."""
        if not self._successor_began and self._steer.response_id is not None:
            self._successor_began = True
            self._pool.successor_began(self._lane, self._steer.response_id, stores=self._stores)
        self._steer.observer.on_next(event)

    def on_error(self, error: Exception) -> None:
        """Pass an error on."""
        if not self._successor_began or self._lane.connection.state is PoolConnectionState.GONE:
            self.settle_unknown(sent=getattr(error, "delivery", None) != "not_sent")
            self._end()
        observer, self._steer.observer = self._steer.observer, NO_OBSERVER
        self._steer.cancelled = True
        self._driver.wake()
        observer.on_error(error)

    def on_completed(self) -> None:
        """Pass the completion on."""
        self._steer.observer.on_completed()

    def ended(self, event: ServerEvent | None) -> None:
        """Tell the pool that the lane holds the response that followed, if `event` completed it."""
        response_id = self._steer.response_id
        if self._reservation is not None:
            self._settle(event, response_id)
        if event is not None and response_id is not None and failure_of(event) is None:
            self._pool.hold(self._lane, response_id, stores=self._stores, open_calls=open_calls(event))
        self._end()
        self._driver.wake()

    def _settle(self, event: ServerEvent | None, response_id: str | None) -> None:
        """Settle what the successor used; several steers may share a successor, which counts once."""
        reservation, self._reservation = self._reservation, None
        assert reservation is not None
        assert self._pool.admission is not None
        usage = None if event is None else NOTHING_USED
        if event is not None and response_id is not None and self._lane.latest_settled_id != response_id:
            self._lane.latest_settled_id = response_id
            usage = usage_of(event)
        self._pool.admission.settle_steer(reservation, usage, self._driver.now())

    def settle_unknown(self, *, sent: bool = True) -> None:
        """Settle the steer, of which nothing more will be heard, unless it is settled."""
        reservation, self._reservation = self._reservation, None
        if reservation is not None and self._pool.admission is not None:
            usage = UNKNOWN_USAGE if sent else None
            self._pool.admission.settle_steer(reservation, usage, self._driver.now())

    def _end(self) -> None:
        if self.is_open:
            self.is_open = False
            self._pool.steer_ended(self._lane, self._driver.now())


def open_calls(event: ServerEvent) -> frozenset[str]:
    """Return the ids of the function calls for whose outputs the response of a terminal event waits."""
    output = getattr(getattr(event, "response", None), "output", None) or ()
    # A call that was cut short cannot be answered, nor a call without an id.
    calls = {
        id_key(item.call_id)
        for item in output
        if isinstance(item, ResponseFunctionToolCall) and item.status != "incomplete"
    }
    outputs = [item for item in output if isinstance(item, ResponseFunctionToolCallOutputItem)]
    answered = {id_key(item.call_id or "") for item in outputs}
    open_calls = frozenset(calls - answered - {""})
    return open_calls if len(open_calls) <= _MOST_CALLS else frozenset()  # the server knows them too
