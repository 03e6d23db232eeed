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

    def deadline(self, exchange: ProtocolRequest) -> float | None:
        """Return when a request is overdue in its present state, `None` if never."""
        limit = self._limit(exchange)
        return None if limit is None else exchange.since + limit

    def next_deadline(self, exchanges: Iterable[ProtocolRequest]) -> float | None:
        """Return when the first of these is overdue, `None` if none ever is."""
        deadlines = (self.deadline(exchange) for exchange in exchanges)
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def error(self, exchange: ProtocolRequest, now: float) -> ResponseTimeoutError | None:
        """Return the error of a request that is overdue, `None` for one that is not."""
        limit = self._limit(exchange)
        if limit is None or exchange.since + limit > now:
            return None
        if exchange.state is QUEUED:
            return QueueTimeoutError(limit, stream_id=exchange.stream_id)
        kind: type[ResponseTimeoutError] = IdleTimeoutError
        if isinstance(exchange, ProtocolSteer) and not exchange.committed:
            # What is known of an accepted one is `started`: the server has answered and owns the input, so
            # sending it again may do it twice.  `unknown` would deny that anything came back.
            kind = SteerTimeoutError
        elif exchange.state is SENT:
            kind = FirstEventTimeoutError
        return kind(limit, delivery=exchange.delivery, response_id=exchange.response_id, stream_id=exchange.stream_id)

    def _limit(self, exchange: ProtocolRequest) -> float | None:
        if isinstance(exchange, ProtocolSteer):
            # Accepted, it waits for as long as its target takes; unanswered, or with its response due, it
            # holds its target's lane, whether or not somebody waits for it.
            if exchange.state is SENT or (exchange.due and exchange.state is STARTED):
                return self.steer
            return self.idle if exchange.committed and not exchange.cancelled else None
        if exchange.cancelled:
            return None  # nobody waits for it
        if exchange.state is QUEUED:
            return self.queue
        if exchange.state is SENT:
            return self.first_event
        return self.idle if exchange.state is STARTED else None
