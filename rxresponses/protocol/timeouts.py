"""The clocks of a request: how long it may wait here, for its first event, and between events."""

from __future__ import annotations

from collections.abc import Iterable
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
    """Limits in seconds, `None` for no limit; times are those of `ProtocolRequest.since`."""

    queue: float | None = None
    first_event: float | None = None
    idle: float | None = None
    steer: float | None = None

    @classmethod
    def of(cls, options: ConnectionOptions) -> Timeouts:
        """Return the clocks that the options ask for."""
        return cls(options.queue_timeout, options.first_event_timeout, options.idle_timeout, options.steer_timeout)

    def deadline(self, request: ProtocolRequest) -> float | None:
        """Return when a request is overdue in its present state, `None` if never."""
        limit = self._limit(request)
        return None if limit is None else request.since + limit

    def next_deadline(self, requests: Iterable[ProtocolRequest]) -> float | None:
        """Return when the first of these is overdue, `None` if none ever is."""
        deadlines = (self.deadline(request) for request in requests)
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def error(self, request: ProtocolRequest, now: float) -> ResponseTimeoutError | None:
        """Return the error of a request that is overdue, `None` for one that is not."""
        limit = self._limit(request)
        if limit is None or request.since + limit > now:
            return None
        if request.state is QUEUED:
            return QueueTimeoutError(limit, stream_id=request.stream_id)
        kind: type[ResponseTimeoutError] = IdleTimeoutError
        if isinstance(request, ProtocolSteer) and not request.owns_successor:
            # What is known of an accepted one is `started`: the server has answered and owns the input, so
            # sending it again may do it twice.  `unknown` would deny that anything came back.
            kind = SteerTimeoutError
        elif request.state is SENT:
            kind = FirstEventTimeoutError
        return kind(limit, delivery=request.delivery, response_id=request.response_id, stream_id=request.stream_id)

    def _limit(self, request: ProtocolRequest) -> float | None:
        if isinstance(request, ProtocolSteer):
            # Accepted, it waits for as long as its target takes; unanswered, or with its response due, it
            # holds its target's lane, whether or not somebody waits for it.
            if request.state is SENT or (request.successor_due and request.state is STARTED):
                return self.steer
            return self.idle if request.owns_successor and not request.cancelled else None
        if request.cancelled:
            return None  # nobody waits for it
        if request.state is QUEUED:
            return self.queue
        if request.state is SENT:
            return self.first_event
        return self.idle if request.state is STARTED else None
