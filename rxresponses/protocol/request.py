"""One request on a connection, and how far it has come."""

from __future__ import annotations

import json
from enum import Enum

from ..errors import Delivery


class RequestState(Enum):
    """How far a request has come."""

    QUEUED = "queued"
    SENT = "sent"
    STARTED = "started"
    ENDED = "ended"


QUEUED, SENT, STARTED, ENDED = RequestState


class ProtocolRequest:
    """One request and where it stands.

    `frame` is what to send, `stream_id` its lane.  `response_ids` are all ids that its events have
    carried (some gateways change the id from event to event).  `since` is when it was queued, sent,
    or last heard of, on the clock of whoever drives the protocol.  `followers` get the same events.
    """

    __slots__ = ("cancelled", "followers", "frame", "response_ids", "since", "state", "stream_id")

    def __init__(self, frame: bytes, stream_id: str | None) -> None:
        self.frame = frame
        self.stream_id = stream_id
        self.state = QUEUED
        self.cancelled = False
        self.response_ids: list[str] = []
        self.since = 0.0
        self.followers: tuple[ProtocolRequest, ...] = ()

    @property
    def response_id(self) -> str | None:
        """The latest id of the response, `None` before one was seen."""
        return self.response_ids[-1] if self.response_ids else None

    @property
    def delivery(self) -> Delivery:
        """What the server can have seen of this request, should it fail now."""
        if self.state is QUEUED:
            return "not_sent"
        return "unknown" if self.state is SENT else "started"

    def continues(self, response_id: str) -> bool:
        """Whether its response is to continue this one; read from the frame, because it is rarely asked."""
        return bool(json.loads(self.frame).get("previous_response_id") == response_id)


class ProtocolSteer(ProtocolRequest):
    """A `response.steer`: an answer of its own, then the events of the response that follows.

    `target_id` names the response to steer, `target_ids` are all ids it had, `steer_id` is what the server
    calls this steer.  Its lane is that of its target, known when it is `placed`.  `due`: it was accepted,
    and nothing runs on its lane any more, so its response is what comes next there.  `committed`: that
    response has begun, and is accounted for by this one of the steers that share it.  `abandoned`: its
    answer or response did not come in time.
    """

    __slots__ = ("abandoned", "committed", "due", "placed", "steer_id", "target_id", "target_ids")

    def __init__(self, frame: bytes, target_id: str) -> None:
        super().__init__(frame, None)
        self.target_id = target_id
        self.target_ids = [target_id]
        self.steer_id: str | None = None
        self.placed = False
        self.due = False
        self.committed = False
        self.abandoned = False

    def continues(self, response_id: str) -> bool:
        """Whether its response is to continue this one: the one that it steers."""
        return response_id in self.target_ids

    def place(self, lane: str | None) -> None:
        """Put it on the lane where its response will come."""
        self.stream_id = lane
        self.placed = True
