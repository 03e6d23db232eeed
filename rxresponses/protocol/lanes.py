"""The lanes of one connection: which requests are queued, which run, and which may be sent next.

A lane runs one request at a time, in the order in which they were submitted, because some servers answer a second
request with an error instead of queueing it.  Different lanes run side by side.

A lane is free when nothing runs on it and it is not reserved for a successor (see `steering`).  A free lane with a
queued request is ready.  Its oldest request is sent as soon as the connection may run one more response:

- At most `max_active` responses run at once.  A reserved lane counts as one, because its successor may begin at any
  time.
- A server that drops `stream_id` has no lanes and runs one response at a time.  So one request is sent at a time.
- Before an answer has shown whether the server echoes `stream_id`, one unanswered request is in flight at a time, so
  that an answer without `stream_id` can mean only this request.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from ..errors import LaneLimitError
from ..wire.events.base import ERROR_TYPES, ServerEvent
from .request import ENDED, SENT, STARTED, ProtocolRequest, ProtocolSteer
from .steering import OpenSteers

MAX_ACTIVE = 16
"""How many responses a connection of the official service runs at once."""

MAX_NAMED_LANES = 32
"""How many lane names a connection of the official service takes in its life, the default lane not counted."""


class Lanes:
    """The queued and the running requests of one connection, by lane.

    `echoes_stream_id` tells whether the server puts `stream_id` on the events of a named lane; it is `None` until an
    answer has shown it.  `changed` is set when a lane may have become free or the successor of a steer may have
    become due.  The caller resets it and asks again for the next request to send and for timeouts that start.

    `in_flight` has the request that runs on each lane.  `reserved` are the lanes on which nothing runs and the
    successor of a steer may begin.  `late_successors` has the steers whose successor runs on a lane that had gone on
    without it, maybe beside a request in flight.  `unanswered` are the requests in flight for which no event has
    come, oldest first.
    """

    def __init__(self, steers: OpenSteers, *, max_active: int, echoes_stream_id: bool | None) -> None:
        self.max_active = max_active
        self.echoes_stream_id = echoes_stream_id
        self.changed = False
        self.in_flight: dict[str | None, ProtocolRequest] = {}
        self.reserved: dict[str | None, None] = {}
        self.late_successors: dict[str | None, ProtocolSteer] = {}
        self.unanswered: dict[ProtocolRequest, None] = {}
        # Ordered sets: a cancelled request is taken out at once, however many requests are queued.
        self._queues: dict[str | None, OrderedDict[ProtocolRequest, None]] = {}
        self._ready: dict[str | None, None] = {}
        self._names: set[str] = set()
        self._steers = steers

    @property
    def active(self) -> int:
        """How many responses run now, those of cancelled requests included, or may begin without a request."""
        return len(self.in_flight) + len(self.reserved) + len(self.late_successors)

    @property
    def queued(self) -> int:
        """How many requests wait to be sent, steers not counted."""
        return sum(map(len, self._queues.values()))

    @property
    def is_shared(self) -> bool:
        """Whether several responses run, or requests wait for the end of the only one.

        Then a pause in reading, for the sake of one lagging consumer, would hold up other requests.
        """
        return self.active + bool(self._queues) > 1

    @property
    def names_used(self) -> int:
        """How many lane names requests have been sent with on this connection."""
        return len(self._names)

    def running_requests(self) -> Iterator[ProtocolRequest]:
        """Iterate over the requests that take a lane, each followed by the steers that share its response."""
        for request in self._occupants():
            yield request
            yield from request.shared_with

    def queued_requests(self) -> Iterator[ProtocolRequest]:
        """Iterate over the requests that wait to be sent."""
        return chain.from_iterable(self._queues.values())

    def only_running(self) -> ProtocolRequest | None:
        """Return the request that takes a lane, `None` if no request does; for a connection with one at most."""
        return next(self._occupants(), None)

    def _occupants(self) -> Iterator[ProtocolRequest]:
        return chain(self.in_flight.values(), self.late_successors.values())

    def clear(self) -> None:
        """Forget all requests, but not the lane names."""
        for table in (self.in_flight, self.reserved, self.late_successors, self.unanswered, self._queues, self._ready):
            table.clear()

    # Queued requests.

    def submit(self, request: ProtocolRequest) -> None:
        """Queue a request; raises `LaneLimitError` for a 33rd lane name."""
        lane = request.stream_id
        if lane is not None and lane not in self._names and lane not in self._queues:
            queued_names = sum(name is not None and name not in self._names for name in self._queues)
            if len(self._names) + queued_names >= MAX_NAMED_LANES:
                raise LaneLimitError(
                    f"lane {lane!r} would be the {MAX_NAMED_LANES + 1}rd lane name on this connection, and a "
                    f"connection takes {MAX_NAMED_LANES} in its life; the request was not sent: reuse a lane or open "
                    "another connection",
                    delivery="not_sent",
                    stream_id=lane,
                )
        self._queues.setdefault(lane, OrderedDict())[request] = None
        if lane not in self.in_flight and lane not in self.reserved and lane not in self.late_successors:
            self._ready[lane] = None

    def withdraw(self, request: ProtocolRequest) -> None:
        """Take out a request that was not sent."""
        lane = request.stream_id
        if request in self._queues.get(lane, ()):
            del self._queues[lane][request]
            self._forget_if_empty(lane)

    def next_to_send(self) -> ProtocolRequest | None:
        """Return the request to write now and count it as sent, `None` if none may be sent."""
        # Two lanes are enough to look at: the limits differ only between the default lane and named lanes.
        while lanes := [lane for lane in islice(self._ready, 2) if self._may_send(lane)]:
            lane = lanes[0]
            request, _ = self._queues[lane].popitem(last=False)
            self._forget_if_empty(lane)
            if request.cancelled:  # by another thread; `dispose` has not been called yet
                request.state = ENDED
                continue
            self._ready.pop(lane, None)
            request.state = SENT
            self.in_flight[lane] = request
            self.unanswered[request] = None
            if lane is not None:
                self._names.add(lane)
            return request
        return None

    def _may_send(self, lane: str | None) -> bool:
        # A cancelled request may never be answered, so it must not block the named lanes: an answer without
        # `stream_id` still means the oldest request there.  For the default lane such an answer would be ambiguous.
        blocked = lane is None or not all(request.cancelled for request in self.unanswered)
        if self.echoes_stream_id is None and self.unanswered and blocked:
            return False
        return self.active < (1 if self.echoes_stream_id is False else self.max_active)

    def _forget_if_empty(self, lane: str | None) -> None:
        if not self._queues[lane]:
            del self._queues[lane]
            self._ready.pop(lane, None)

    # Running requests.

    def answered(self, request: ProtocolRequest, event: ServerEvent) -> None:
        """Count a request as started.  The first answer on a named lane shows whether the server echoes lanes."""
        if request.state is SENT:
            request.state = STARTED
            self.unanswered.pop(request, None)
            self.changed = True
            tagged = event.stream_id is not None
            # An `error` without `stream_id` shows nothing: a server with lanes may send it for the connection.
            shows = tagged or event.type not in ERROR_TYPES
            if shows and request.stream_id is not None and self.echoes_stream_id is None:
                self.echoes_stream_id = tagged

    def oldest_unanswered(self) -> ProtocolRequest | None:
        """Return the request that was sent first of those without an event."""
        return next(iter(self.unanswered), None)

    def is_running(self, request: ProtocolRequest) -> bool:
        """Whether a request takes its lane."""
        return self._table_of(request).get(request.stream_id) is request

    def replace(self, request: ProtocolRequest, other: ProtocolSteer) -> None:
        """Let another steer take the lane instead of a running request."""
        self._table_of(request)[request.stream_id] = other
        self.changed = True

    def remove(self, request: ProtocolRequest) -> None:
        """Take out a running request.  `reserve_or_free` has to follow."""
        del self._table_of(request)[request.stream_id]

    def _table_of(self, request: ProtocolRequest) -> dict[str | None, Any]:
        is_late = self.late_successors.get(request.stream_id) is request
        return self.late_successors if is_late else self.in_flight

    # Reserved lanes.

    def reserve_or_free(self, lane: str | None) -> None:
        """If nothing runs on a lane, reserve it for a successor that may begin there, or else free it."""
        self.changed = True
        if lane in self.in_flight or lane in self.late_successors:
            return
        if self._steers.successor_may_begin(lane):
            self.reserved[lane] = None
            self._ready.pop(lane, None)
            return
        self.reserved.pop(lane, None)
        if lane in self._queues:
            self._ready[lane] = None

    def unreserve(self, steer: ProtocolSteer) -> None:
        """Free the lane of a settled or abandoned steer, unless it is reserved for another steer too."""
        if steer.lane_known and steer.stream_id in self.reserved:
            self.reserve_or_free(steer.stream_id)

    def free_unneeded(self) -> None:
        """Free the reserved lanes that no steer waits for any more.

        The lane of a steer may have been guessed; the lane is then corrected when the response of the target tells it.
        """
        for lane in list(self.reserved):
            if not self._steers.successor_may_begin(lane):
                self.reserve_or_free(lane)

    def start_successor(self, lane: str | None, steer: ProtocolSteer) -> None:
        """Let the successor of a steer run on the lane that was reserved for it."""
        self.in_flight[lane] = steer
        self.changed = True

    def start_late_successor(self, steer: ProtocolSteer) -> None:
        """Let the successor of a steer run on a lane that had gone on without it."""
        lane = steer.stream_id
        self.late_successors[lane] = steer
        self.reserved.pop(lane, None)
        self._ready.pop(lane, None)
        self.changed = True
