"""How long a request may wait in each of its states, and the error of a request that has waited too long."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import (
    FirstEventTimeoutError,
    IdleTimeoutError,
    QueueTimeoutError,
    ResponseTimeoutError,
    SteerTimeoutError,
)
from ..options import ConnectionOptions
from .request import QUEUED, SENT, STARTED, ProtocolRequest, ProtocolSteer


@dataclass(frozen=True)
class Timeouts:
    """Limits in seconds, `None` for no limit.  Each limit counts from `ProtocolRequest.since`.

    `queue` limits the wait from `submit` to sending, `first_event` the wait from sending to the first event, and
    `idle` the wait between two events of a response.  `steer` limits the wait of a steer from sending to the answer,
    and the wait from when its successor is due to the first event of the successor.
    """

    queue: float | None = None
    first_event: float | None = None
    idle: float | None = None
    steer: float | None = None

    @classmethod
    def of(cls, options: ConnectionOptions) -> Timeouts:
        """Return the limits that the options of a connection set."""
        return cls(options.queue_timeout, options.first_event_timeout, options.idle_timeout, options.steer_timeout)

    def deadline(self, request: ProtocolRequest) -> float | None:
        """Return the time at which a request in its present state becomes overdue, `None` if it has no limit."""
        limit = self._limit(request)
        return None if limit is None else request.since + limit

    def error(self, request: ProtocolRequest, now: float) -> ResponseTimeoutError | None:
        """Return the error of an overdue request, `None` if the request is not overdue."""
        limit = self._limit(request)
        if limit is None or request.since + limit > now:
            return None
        if request.state is QUEUED:
            return QueueTimeoutError(limit, stream_id=request.stream_id)
        kind: type[ResponseTimeoutError] = IdleTimeoutError
        if isinstance(request, ProtocolSteer) and not request.owns_successor:
            # The delivery of an accepted steer is `started`: the server has answered and owns the input, so sending
            # the input again may do the same thing twice.  `unknown` would mean that nothing came back.
            kind = SteerTimeoutError
        elif request.state is SENT:
            kind = FirstEventTimeoutError
        return kind(limit, delivery=request.delivery, response_id=request.response_id, stream_id=request.stream_id)

    def _limit(self, request: ProtocolRequest) -> float | None:
        if isinstance(request, ProtocolSteer):
            # An unanswered steer, and a steer whose successor is due, keep the lane reserved.  So they are timed even
            # if they are cancelled.  An accepted steer waits as long as its target runs, without a limit.
            if request.state is SENT or (request.successor_due and request.state is STARTED):
                return self.steer
            return self.idle if request.owns_successor and not request.cancelled else None
        if request.cancelled:
            return None  # no subscriber waits for it
        if request.state is QUEUED:
            return self.queue
        if request.state is SENT:
            return self.first_event
        return self.idle if request.state is STARTED else None
