"""A request of a client while a lane is lent to it: between the connection and its sender."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from reactivex.abc import ObserverBase

from .backoff import is_rate_limit, is_retryable, retry_after
from .connection import Connection
from .errors import Delivery, RequestError, ResponseFailedError
from .events.base import ServerEvent
from .models import ResponseFunctionToolCall
from .observed import Request, SteerRequest
from .operators._failure import failure_of
from .places import Place, SlotState, Ticket
from .pool import Pool
from .protocol import REFUSAL_CODES
from .requests import InputItem, ResponseCreate
from .timing import Timings

History: TypeAlias = "Sequence[InputItem] | Callable[[], Sequence[InputItem]]"

# Codes that say: not on this connection, or not in this way; there is nothing to wait for.
_ELSEWHERE_CODES = REFUSAL_CODES | {"websocket_connection_limit_reached", "websocket_stream_limit_reached"}


class Job(Ticket):
    """A request on its way through a client, for one subscription."""

    __slots__ = ("cancelled", "create", "frame", "history", "model", "observer", "sent", "timings")

    def __init__(
        self,
        create: ResponseCreate,
        frame: bytes,
        observer: ObserverBase[ServerEvent],
        *,
        lane: str | None,
        parent: str | None,
        stores: bool,
        route: str | None,
        answers: frozenset[str],
        history: History | None,
    ) -> None:
        super().__init__(
            lane=lane, parent=parent, stores=stores, route=route, answers=answers, has_history=history is not None
        )
        self.create = create
        self.frame = frame  # without a lane
        self.history = history
        self.observer = observer
        self.cancelled = False
        self.timings: Timings | None = None
        self.sent: Request | None = None  # what is on a connection for it, the latest try

    @property
    def stream_id(self) -> str | None:
        """The lane that its sender named."""
        return self.lane

    @property
    def delivery(self) -> Delivery:
        """What the server can have seen of it."""
        return "not_sent" if self.sent is None else self.sent.delivery

    @property
    def response_id(self) -> str | None:
        """The id of its response, once it is known."""
        return None if self.sent is None else self.sent.response_id


class SteerJob:
    """A steer on its way through a client, for one subscription."""

    __slots__ = ("cancelled", "connection", "frame", "observer", "sent", "stream_id", "target_id", "timings")

    def __init__(self, frame: bytes, target_id: str, observer: ObserverBase[ServerEvent]) -> None:
        self.frame = frame
        self.target_id = target_id
        self.observer = observer
        self.stream_id: str | None = None
        self.cancelled = False
        self.timings: Timings | None = None
        self.sent: SteerRequest | None = None
        self.connection: Connection | None = None

    @property
    def delivery(self) -> Delivery:
        """What the server can have seen of it."""
        return "not_sent" if self.sent is None else self.sent.delivery

    @property
    def response_id(self) -> str | None:
        """The id of the response that follows, once it is known."""
        return None if self.sent is None else self.sent.response_id


class Desk(Protocol):
    """Whoever drives the pool."""

    def now(self) -> float:
        """The pool's clock."""

    def wake(self) -> None:
        """Take the pool's next turn soon."""


class Leased(ObserverBase[ServerEvent]):
    """Pass the events of a request on, and tell the pool what they mean.

    A refusal that passes is held back, and the request queued again.
    """

    def __init__(self, desk: Desk, pool: Pool, job: Job, connection: Connection, request: Request) -> None:
        assert job.place is not None
        self._desk = desk
        self._pool = pool
        self._job = job
        self._place = job.place
        self._connection = connection
        self._request = request
        self._first: ServerEvent | None = None
        self._looks = True  # at each event: the first one, and those of a fork until it has begun
        self._repeats_after: float | None = None

    def on_next(self, event: ServerEvent) -> None:
        """Pass an event on, unless it is a refusal that passes."""
        if self._looks:
            self._look(event)
            if self._repeats_after is not None:
                return
        self._job.observer.on_next(event)

    def on_error(self, error: Exception) -> None:
        """Pass an error on, unless the request was not sent: then it goes elsewhere."""
        job = self._job
        if isinstance(error, RequestError):
            error.stream_id = job.lane
        if self._place.slot.state is SlotState.GONE or getattr(error, "delivery", None) == "not_sent":
            if is_retryable(error) and getattr(error, "delivery", None) == "not_sent" and not job.cancelled:
                job.sent = None
                self._pool.again(job, self._desk.now())
                self._desk.wake()
                return
            self._pool.finished(job, self._desk.now())
            self._desk.wake()
        job.observer.on_error(error)

    def on_completed(self) -> None:
        """Pass the completion on, unless the request is queued again."""
        if self._repeats_after is None:
            self._job.observer.on_completed()

    def ended(self, event: ServerEvent | None) -> None:
        """The lane is free."""
        pool, job, now = self._pool, self._job, self._desk.now()
        self._desk.wake()
        if self._repeats_after is not None and not job.cancelled:
            job.sent = None
            pool.again(job, now, self._repeats_after)
            return
        if event is None:
            pool.finished(job, now)
            return
        failure = failure_of(event, self._first if self._first is not event else None)
        if failure is None:
            pool.finished(job, now, response_id=self._request.response_id, calls=open_calls(event))
            return
        if is_rate_limit(failure):
            pool.throttle.limited(now, pool.active, retry_after(failure.headers))
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
            return 0.0 if job.has_history else None
        hint = retry_after(failure.headers)
        if is_rate_limit(failure):
            pool.throttle.limited(self._desk.now(), pool.active, hint)
        if job.parent is not None and pool.is_lost(job.parent) and not job.has_history:
            return None  # the refusal has cost it its parent
        if failure.code in REFUSAL_CODES:
            pool.lanes = False
        elif not is_retryable(failure):
            return None
        if job.retries >= pool.options.backoff.max_retries:
            return None
        job.retries += 1
        if failure.code in _ELSEWHERE_CODES or is_rate_limit(failure):
            return 0.0
        return pool.options.backoff.delay(job.retries, hint)


class Steering(ObserverBase[ServerEvent]):
    """Pass the events of a steer on, and tell the pool which response its lane holds then."""

    def __init__(self, desk: Desk, pool: Pool, job: SteerJob, place: Place) -> None:
        self._desk = desk
        self._pool = pool
        self._job = job
        self._place = place
        self._stores = place.running.stores if place.running is not None else place.stores
        self._counted = True
        place.steers += 1

    def on_next(self, event: ServerEvent) -> None:
        """Pass an event on."""
        self._job.observer.on_next(event)

    def on_error(self, error: Exception) -> None:
        """Pass an error on."""
        self._release()
        self._job.observer.on_error(error)

    def on_completed(self) -> None:
        """Pass the completion on."""
        self._job.observer.on_completed()

    def ended(self, event: ServerEvent | None) -> None:
        """The server is done with it: its response is what the lane holds."""
        self._release()
        response_id = self._job.response_id
        if event is not None and response_id is not None and failure_of(event) is None:
            self._pool.hold(self._place, response_id, stores=self._stores, calls=open_calls(event))

    def _release(self) -> None:
        if self._counted:
            self._counted = False
            self._place.steers -= 1
            self._desk.wake()


def open_calls(event: ServerEvent) -> frozenset[str]:
    """Return the ids of the function calls for which the response of a terminal event waits."""
    output = getattr(getattr(event, "response", None), "output", None) or ()
    return frozenset(item.call_id for item in output if isinstance(item, ResponseFunctionToolCall))
