"""A request of a client while a lane is lent to it: between the connection and its sender."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from reactivex.abc import ObserverBase

from ..backoff import is_rate_limit, is_retryable, retry_after
from ..errors import RequestError, ResponseFailedError
from ..net.connection import Connection
from ..net.request import NO_OBSERVER, ConnectionRequest
from ..pool.lanes import PoolConnectionState, PoolLane
from ..pool.pool import Pool
from ..protocol.routing import BUSY_CODES
from ..wire.events.base import ServerEvent
from ..wire.failures import failure_of
from ..wire.models import ResponseFunctionToolCall, ResponseFunctionToolCallOutputItem
from .client_request import ClientRequest, ClientSteer

_LANE_LIMIT = "websocket_stream_limit_reached"


@dataclass(frozen=True)
class PoolHandle:
    """A pool, its clock, and how to have its next turn taken soon."""

    pool: Pool
    now: Callable[[], float]
    wake: Callable[[], None]


class ClientRequestObserver(ObserverBase[ServerEvent]):
    """Pass the events of a request on, and tell the pool what they mean.

    A refusal that passes is held back, and the request queued again.
    """

    def __init__(
        self, desk: PoolHandle, job: ClientRequest, connection: Connection, request: ConnectionRequest
    ) -> None:
        assert job.place is not None
        self._desk = desk
        self._pool = desk.pool
        self._job = job
        self._place: PoolLane = job.place
        self._connection = connection
        self._request = request
        self._first: ServerEvent | None = None
        self._looks = True  # at each event: the first one, and those of a fork until it has begun
        self._repeats_after: float | None = None
        self._is_full = False

    def on_next(self, event: ServerEvent) -> None:
        """Pass an event on, unless it is a refusal that passes."""
        if self._looks:
            self._look(event)
            if self._repeats_after is not None:
                return
        self._job.observer.on_next(event)

    def on_error(self, error: Exception) -> None:
        """Pass an error on, unless the request was not sent: then it goes elsewhere."""
        job, pool, now = self._job, self._pool, self._desk.now()
        self._desk.wake()
        # Else its observer raised this: then it tells nothing of the request, which runs on.
        by_connection = not self._request.cancelled
        unsent = by_connection and getattr(error, "delivery", None) == "not_sent"
        if unsent and is_retryable(error) and not job.cancelled:
            job.take_back()
            pool.again(job, now)
            return
        if unsent:
            pool.unsent(job, now)
        elif self._place.slot.state is PoolConnectionState.GONE:
            pool.finished(job, now)
        if by_connection and isinstance(error, RequestError):
            error.stream_id = job.lane
        observer, job.observer = job.observer, NO_OBSERVER
        job.cancelled = True
        observer.on_error(error)

    def on_completed(self) -> None:
        """Pass the completion on, unless the request is queued again."""
        if self._repeats_after is None:
            self._job.observer.on_completed()

    def ended(self, event: ServerEvent | None) -> None:
        """The lane is free."""
        pool, job, now = self._pool, self._job, self._desk.now()
        self._desk.wake()
        if self._repeats_after is not None and not job.cancelled:
            job.take_back()
            pool.again(job, now, self._repeats_after)
            if self._is_full:
                pool.full(self._place)
            return
        failure = None if event is None else failure_of(event, self._first if self._first is not event else None)
        if event is None:
            pool.unsent(job, now)
        elif failure is None:
            pool.finished(job, now, response_id=self._request.response_id, calls=open_calls(event))
        else:
            if is_rate_limit(failure):
                pool.limited(now, retry_after(failure.headers), limits=job.limits)
            if failure.code == "previous_response_not_found" and job.parent is not None:
                pool.forget(job.parent)
            pool.finished(job, now)

    def _look(self, event: ServerEvent) -> None:
        job, pool = self._job, self._pool
        if self._first is None:
            self._first = event
            pool.began(job, self._request.response_id)
            if pool.lanes is None and self._connection.echoes is not None:
                pool.lanes = self._connection.echoes
                self._desk.wake()
            failure = failure_of(event)
            if failure is not None and failure.delivery == "rejected" and not job.cancelled:
                self._repeats_after = self._delay(failure)
        if job.source is None:
            self._looks = False
        elif event.type not in ("response.created", "response.queued"):
            pool.in_progress(job)
            self._desk.wake()
            self._looks = False

    def _delay(self, failure: ResponseFailedError) -> float | None:
        """Return the seconds to wait before the request is sent again, `None` when it may not."""
        job, pool = self._job, self._pool
        if failure.code == "previous_response_not_found" and job.parent is not None:
            pool.forget(job.parent)
            return 0.0 if job.has_history and not job.replays else None
        hint = retry_after(failure.headers)
        if is_rate_limit(failure):
            pool.limited(self._desk.now(), hint, limits=job.limits)
        if job.parent is not None and pool.is_lost(job.parent) and not job.has_history:
            return None  # the refusal has cost it its parent
        has_lanes, self._is_full = pool.lanes is not False, failure.code == _LANE_LIMIT
        if failure.code in BUSY_CODES:
            pool.lanes = False
        elif not is_retryable(failure) or pool.options.backoff.is_too_long(hint):
            return None
        if job.retries >= pool.options.backoff.max_retries:
            return None
        job.retries += 1
        if self._is_full or is_rate_limit(failure) or (has_lanes and pool.lanes is False):
            return 0.0  # on another lane or connection, or when the pause for everybody is over
        return pool.options.backoff.delay(job.retries, hint)


class ClientSteerObserver(ObserverBase[ServerEvent]):
    """Pass the events of a steer on, and tell the pool which response its lane runs, and holds then."""

    def __init__(self, desk: PoolHandle, job: ClientSteer, place: PoolLane) -> None:
        self._desk = desk
        self._pool = desk.pool
        self._job = job
        self._place = place
        self._stores = place.keeps
        self._follows = False  # the response that follows has begun
        self.is_open = True  # a response may follow
        desk.pool.steered(place)

    @property
    def is_awaited(self) -> bool:
        """Whether somebody still waits for it."""
        return self.is_open and not self._job.cancelled

    def on_next(self, event: ServerEvent) -> None:
        """Pass an event on."""
        if not self._follows and self._job.response_id is not None:
            self._follows = True
            self._pool.follows(self._place, self._job.response_id, stores=self._stores)
        self._job.observer.on_next(event)

    def on_error(self, error: Exception) -> None:
        """Pass an error on."""
        if not self._follows or self._place.slot.state is PoolConnectionState.GONE:
            self._release()
        observer, self._job.observer = self._job.observer, NO_OBSERVER
        self._job.cancelled = True
        self._desk.wake()
        observer.on_error(error)

    def on_completed(self) -> None:
        """Pass the completion on."""
        self._job.observer.on_completed()

    def ended(self, event: ServerEvent | None) -> None:
        """The server is done with it: its response is what the lane holds."""
        response_id = self._job.response_id
        if event is not None and response_id is not None and failure_of(event) is None:
            self._pool.hold(self._place, response_id, stores=self._stores, calls=open_calls(event))
        self._release()
        self._desk.wake()

    def _release(self) -> None:
        if self.is_open:
            self.is_open = False
            self._pool.settled(self._place, self._desk.now())


def open_calls(event: ServerEvent) -> frozenset[str]:
    """Return the ids of the function calls for whose outputs the response of a terminal event waits."""
    output = getattr(getattr(event, "response", None), "output", None) or ()
    # One that was cut short cannot be answered, nor one without an id.
    calls = {one.call_id for one in output if isinstance(one, ResponseFunctionToolCall) and one.status != "incomplete"}
    answered = {one.call_id for one in output if isinstance(one, ResponseFunctionToolCallOutputItem)}
    return frozenset(calls - answered - {""})
