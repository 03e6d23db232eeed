"""A request on one connection, and how far it has come."""

from __future__ import annotations

import json
from enum import Enum

from ..errors import Delivery
from ..wire.ids import id_key


class RequestState(Enum):
    """How far a request has come."""

    QUEUED = "queued"  # here, on this side
    SENT = "sent"  # and no event for it has come
    STARTED = "started"
    ENDED = "ended"


QUEUED, SENT, STARTED, ENDED = RequestState


class ProtocolRequest:
    """A `response.create`, as far as the rules of one connection need to know it.

    `frame` is the message to send, `stream_id` the lane (`None` is the default lane).  `response_ids` are the ids that
    the events of the response have carried, the latest last: some gateways change the id from event to event.  Ids are
    kept as `id_key` returns them, and of very many ids, the first one and the latest.
    `since` is the time when the request was queued, when it was sent, or when its last event came, by the caller's
    clock.  `cancelled` means that no subscriber waits for the request any more.  `shared_with` are further steers
    that the same response answers; they get the same events.  `is_silent`: no event of the response has come but those
    that carry the whole response, such as `response.created`.
    """

    __slots__ = ("cancelled", "frame", "is_silent", "response_ids", "shared_with", "since", "state", "stream_id")

    def __init__(self, frame: bytes, stream_id: str | None) -> None:
        self.frame = frame
        self.stream_id = stream_id
        self.state = QUEUED
        self.is_silent = True
        self.cancelled = False
        self.response_ids: list[str] = []
        self.since = 0.0
        self.shared_with: tuple[ProtocolSteer, ...] = ()

    @property
    def response_id(self) -> str | None:
        """The latest id of the response, `None` before an event has carried an id."""
        return self.response_ids[-1] if self.response_ids else None

    @property
    def delivery(self) -> Delivery:
        """How much of this request the server can have seen, if the connection fails now."""
        if self.state is QUEUED:
            return "not_sent"
        return "unknown" if self.state is SENT else "started"

    def continues(self, response_id: str) -> bool:
        """Whether this request continues a response; parsed from the frame each time, because few callers ask."""
        continued = json.loads(self.frame).get("previous_response_id")
        return isinstance(continued, str) and id_key(continued) == response_id


class ProtocolSteer(ProtocolRequest):
    """A `response.steer`, as far as the rules of one connection need to know it.

    The server first answers the steer itself (accepted, pending or failed).  After it has accepted the steer, it
    makes a successor of the target, and the events of the successor belong to the steer.

    `target_id` is the id of the target as the steer names it, `target_ids` are all ids of the target, and `steer_id`
    is the server's id of the steer.  A steer names no lane: `stream_id` is the lane of the target and counts from
    when `lane_known` is set.  `successor_due`: the server has accepted the steer and nothing runs on its lane, so the
    next response there is its successor.  `owns_successor`: the successor has begun, and of the steers that share it
    this one takes the lane.  `abandoned`: the answer or the successor did not come in time, and the lane no longer
    waits for it.
    """

    __slots__ = ("abandoned", "lane_known", "owns_successor", "steer_id", "successor_due", "target_id", "target_ids")

    def __init__(self, frame: bytes, target_id: str) -> None:
        super().__init__(frame, None)
        self.target_id = id_key(target_id)
        self.target_ids = [self.target_id]
        self.steer_id: str | None = None
        self.lane_known = False
        self.successor_due = False
        self.owns_successor = False
        self.abandoned = False

    def continues(self, response_id: str) -> bool:
        """Whether the successor continues a response: the target, by any of its ids."""
        return response_id in self.target_ids

    def set_lane(self, lane: str | None) -> None:
        """Set the lane on which the successor will come."""
        self.stream_id = None if lane is None else id_key(lane)  # the server may have told it
        self.lane_known = True
