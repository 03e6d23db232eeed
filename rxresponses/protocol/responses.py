"""Which request a response of one connection belongs to, and which events of ended responses may still come.

Most events carry no response, only the `stream_id` of their lane.  They belong to the request whose response is open
on that lane: `by_stream_id` is the one look-up that such an event takes.

An `error` ends a response, and yet more events of that response may follow: text that was on its way, and its
`response.failed`.  Such late events belong to no request, and must not reach the next request of the lane.
"""

from __future__ import annotations

from ..wire.events.base import TERMINAL_TYPES, ServerEvent
from ..wire.fields import begins_response, named_response_id
from .lanes import Lanes
from .request import SENT, ProtocolRequest, ProtocolSteer

# How many ended responses are remembered, because more events of them may come.
_ENDED_LIMIT = 64


class Responses:
    """The open responses by `stream_id` and by id, and the ended responses.

    `by_stream_id` has the request that gets the events which carry no response.  On a server that drops `stream_id`,
    the open response of a named lane stands there under `None` too.
    """

    def __init__(self, lanes: Lanes) -> None:
        self.by_stream_id: dict[str | None, ProtocolRequest] = {}
        self.by_id: dict[str, ProtocolRequest] = {}
        self._lanes = lanes
        self._ended: dict[str, bool] = {}  # response id → whether an `error` ended the response
        # Lanes where an `error` ended a response, until the next response opens: events of it may still come.
        self._stray_lanes: set[str | None] = set()
        # Lanes where an `error` refused a request before its response had an id: `response.failed` may follow.
        self._refused_lanes: set[str | None] = set()

    def clear(self) -> None:
        """Forget all responses."""
        for table in (self.by_stream_id, self.by_id, self._ended, self._stray_lanes, self._refused_lanes):
            table.clear()

    # Open responses.

    def request_sent(self, request: ProtocolRequest) -> None:
        """Give the events of the lane to a request that was just sent.

        Where stray events of the previous response may still come, the request gets the events of the lane only
        from its first lifecycle event on.
        """
        no_lanes = self._lanes.echoes_stream_id is False
        if request.stream_id not in self._stray_lanes and not (self._stray_lanes and no_lanes):
            self.open(request)

    def open(self, request: ProtocolRequest, event: ServerEvent | None = None) -> None:
        """Give the events that carry no response to a request, from its lifecycle event on."""
        no_lanes = self._lanes.echoes_stream_id is False
        self.by_stream_id[request.stream_id] = request
        if no_lanes or (event is not None and event.stream_id is None):
            self.by_stream_id[None] = request
        if no_lanes:
            self._stray_lanes.clear()
        else:
            self._stray_lanes.discard(request.stream_id)

    def add_id(self, response_id: str, request: ProtocolRequest) -> None:
        """Note an id of the response to a request."""
        if self.by_id.get(response_id) is not request:
            self.by_id[response_id] = request
            request.response_ids.append(response_id)

    def hand_over(self, steer: ProtocolSteer, other: ProtocolSteer) -> None:
        """Give the response of a steer to another steer."""
        self.by_stream_id.update({lane: other for lane, one in self.by_stream_id.items() if one is steer})
        self.by_id.update(dict.fromkeys(steer.response_ids, other))

    def end(self, request: ProtocolRequest, *, by_error: bool) -> None:
        """Forget the response of a request, but remember how to recognise late events of it."""
        lane = request.stream_id
        for stream_id in (lane, None):
            if self.by_stream_id.get(stream_id) is request:
                del self.by_stream_id[stream_id]
        for response_id in request.response_ids:
            if self.by_id.get(response_id) is request:
                del self.by_id[response_id]
            self._ended[response_id] = by_error
        while len(self._ended) > _ENDED_LIMIT:
            del self._ended[next(iter(self._ended))]
        if by_error:
            (self._stray_lanes if request.response_ids else self._refused_lanes).add(lane)

    def first_event(self, request: ProtocolRequest, event: ServerEvent) -> ProtocolRequest | None:
        """Return the request of an event without a response that comes before any event of the request's response.

        The event begins the response, unless it is a heartbeat, or names an ended response.
        """
        named = named_response_id(event)
        if named is not None and self.has_ended(named):
            return None
        if begins_response(event):
            self._lanes.answered(request, event)
        return request

    # Late events of ended responses.

    def has_ended(self, response_id: str | None) -> bool:
        """Whether a response with this id has ended."""
        return response_id in self._ended

    def is_late(self, event: ServerEvent, response_id: str, running: ProtocolRequest | None) -> bool:
        """Whether a lifecycle event is of the ended response with this id, and not of the `running` request.

        Some servers use an id again, or one id for all responses.  So `response.created` always begins a new response.
        Any other event is late if the running request has another id, or if it has no id yet and the ended response
        ended by an `error`.
        """
        if event.type == "response.created":
            del self._ended[response_id]
            return False
        known_ids = running.response_ids if running is not None else []
        if response_id in known_ids:
            return False
        if event.type in TERMINAL_TYPES:
            if not (known_ids or self._ended[response_id]):
                return False
            self._stray_lanes.discard(event.stream_id)  # nothing comes after it
        return True

    def is_failure_of_refused(self, event: ServerEvent, request: ProtocolRequest) -> bool:
        """Whether an event is the `response.failed` of a refused request, and not of the next request on its lane.

        The refused request had no id, so only the order tells: the late event comes before any event of the next
        request.
        """
        no_lanes = self._lanes.echoes_stream_id is False
        refused = request.stream_id in self._refused_lanes or (bool(self._refused_lanes) and no_lanes)
        if no_lanes:
            self._refused_lanes.clear()
        self._refused_lanes.discard(request.stream_id)
        return refused and event.type == "response.failed" and request.state is SENT
