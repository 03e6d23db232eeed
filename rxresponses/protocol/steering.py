"""The steers of one connection: those that wait to be sent, and those that are open.

A steer is open from when it is sent until the server refuses it, tells that it is pending (it then waits for a
`response.create` of the client), or begins the successor of its target.  The lane of a steer is the lane of its
target.

The successor answers all steers that the server has accepted for the same target.  Many servers do not say what a
response continues, so only the order of events tells a successor from the response to the next request of the lane.
Therefore the lane is reserved for the successor once the target has ended.  To keep a lane from being reserved for
ever, the caller may time a steer and abandon it: an unanswered steer from when it was sent, an accepted steer from
when its successor is due.
"""

from __future__ import annotations

from collections import OrderedDict

from ..wire.events.base import ServerEvent
from ..wire.fields import error_field, steer_ids_of
from .request import ENDED, SENT, STARTED, ProtocolRequest, ProtocolSteer

STEER_TYPES = frozenset({"response.steer.accepted", "response.steer.pending", "response.steer.failed"})
"""The event types by which a server answers a steer."""

# How many abandoned steers are remembered, because their answer or successor may still come.
_ABANDONED_LIMIT = 64


class OpenSteers:
    """The steers that wait to be sent, and the open steers in the order in which they were sent."""

    def __init__(self) -> None:
        self._queued: OrderedDict[ProtocolSteer, None] = OrderedDict()
        self._open: list[ProtocolSteer] = []  # oldest first

    # Sending.

    def submit(self, steer: ProtocolSteer) -> None:
        """Queue a steer.  It waits for no lane."""
        self._queued[steer] = None

    def withdraw(self, steer: ProtocolSteer) -> None:
        """Take out a steer that was not sent."""
        self._queued.pop(steer, None)

    def next_to_send(self) -> ProtocolSteer | None:
        """Return the steer to write now and count it as sent, `None` if none is queued."""
        while self._queued:
            steer, _ = self._queued.popitem(last=False)
            if not steer.cancelled:
                steer.state = SENT
                self._open.append(steer)
                return steer
            steer.state = ENDED  # cancelled by another thread
        return None

    def awaited(self) -> list[ProtocolSteer]:
        """Return the steers that have not ended and are not abandoned, the open ones first."""
        return [*(steer for steer in self._open if not steer.abandoned), *self._queued]

    def clear(self) -> None:
        """Forget all steers."""
        self._queued.clear()
        self._open.clear()

    # The life of an open steer.

    def __contains__(self, steer: ProtocolSteer) -> bool:
        """Whether a steer is open."""
        return steer in self._open

    def remove(self, steer: ProtocolSteer) -> None:
        """Take out an open steer that is settled."""
        self._open.remove(steer)

    def accept(self, steer: ProtocolSteer) -> None:
        """Count a steer as accepted: its lane is reserved until its successor begins."""
        if steer.state is SENT:
            steer.state = STARTED
            steer.abandoned = False  # the answer has come after all

    def abandon(self, steer: ProtocolSteer) -> None:
        """Stop reserving a lane for a steer, but keep the steer open.

        A late answer or successor must find this steer, and not another request.
        """
        steer.cancelled = True
        steer.abandoned = True
        abandoned = [other for other in self._open if other.abandoned]
        for other in abandoned[:-_ABANDONED_LIMIT]:
            other.state = ENDED
            self._open.remove(other)

    def target_ended(self, target: ProtocolRequest, *, steered: bool) -> None:
        """Let the steers of a response wait for its successor.

        `steered` means that the response ended because of a steer.  Then the server has accepted one of them,
        even if it did not say so, and that steer counts as accepted: a timeout for unanswered steers must not free
        the lane just before the successor comes.
        """
        steers = [steer for steer in self._open if steer.target_id in target.response_ids]
        if steered and steers and not any(steer.state is STARTED for steer in steers):
            self.accept(min(steers, key=lambda steer: steer.abandoned))
        for steer in steers:
            steer.set_lane(target.stream_id)
            steer.target_ids = target.response_ids

    def mark_due(self, lane: str | None) -> list[ProtocolSteer]:
        """Mark the accepted steers of a reserved lane as due: their successor comes next.  Return the newly marked."""
        steers = [steer for steer in self.on_lane(lane) if steer.state is STARTED and not steer.successor_due]
        for steer in steers:
            steer.successor_due = True
        return steers

    def begin_successor(self, steer: ProtocolSteer) -> ProtocolSteer:
        """Settle all steers that the successor of this steer's target answers; return the steer that owns it.

        They are all steers that the server has accepted for the target, abandoned ones included.  A steer that is
        not cancelled owns the successor if there is one; the others share it.
        """
        sharing = [
            other
            for other in self._open
            if other is steer or (other.state is STARTED and steer.continues(other.target_id))
        ]
        self.accept(steer)
        owner, *others = sorted(sharing, key=lambda other: other.cancelled)
        owner.owns_successor = True
        owner.shared_with = tuple(others)
        for other in sharing:
            other.successor_due = other.abandoned = False
            other.response_ids = owner.response_ids
            other.set_lane(steer.stream_id)  # the lane of a steer may have been guessed, and wrongly
        self._open = [other for other in self._open if other not in sharing]
        for other in self.on_lane(steer.stream_id):
            other.successor_due = False  # the lane is not free any more
        return owner

    # Which steer.

    def on_lane(self, lane: str | None) -> list[ProtocolSteer]:
        """Return the open steers that a lane is reserved for, oldest first."""
        return [steer for steer in self._open if steer.lane_known and steer.stream_id == lane and not steer.abandoned]

    def with_lane(self) -> list[ProtocolSteer]:
        """Return the open steers whose lane is known, oldest first, abandoned ones included."""
        return [steer for steer in self._open if steer.lane_known]

    def successor_may_begin(self, lane: str | None) -> bool:
        """Whether the next response on a lane may be the successor of a target."""
        return bool(self.on_lane(lane))

    def successor_must_begin(self, lane: str | None) -> bool:
        """Whether the next response on a lane must be the successor of a target: the server accepted a steer."""
        return any(steer.state is STARTED for steer in self.on_lane(lane))

    def next_on_lane(self, lane: str | None, continued: str | None) -> ProtocolSteer:
        """Return the steer whose successor begins on a lane that is reserved.

        `continued` is the id of the response that the successor continues, if the server says it: it decides first.
        Then an accepted steer comes before an unanswered one, then the oldest comes first.
        """
        return min(
            self.on_lane(lane),
            key=lambda steer: (continued is None or not steer.continues(continued), steer.state is not STARTED),
        )

    def answered_by(self, event: ServerEvent) -> ProtocolSteer | None:
        """Return the open steer that a steering event answers.

        The ids in the event decide, as far as it has any.  Without the id of the steer, it is the oldest steer in a
        fitting state, because servers answer steers in the order in which they came: only an accepted steer can be
        pending, and a refusal mostly comes at once.  Of the accepted steers, those that are not abandoned come first.
        """
        steer_id, target_id = steer_ids_of(event)
        fitting_state = STARTED if event.type == "response.steer.pending" else SENT
        steer = min(
            (
                steer
                for steer in self._open
                if target_id in (None, steer.target_id)
                and (None in (steer_id, steer.steer_id) or steer_id == steer.steer_id)
            ),
            key=lambda steer: (
                steer.steer_id is None and steer_id is not None,
                steer.state is not fitting_state,
                steer.state is STARTED and steer.abandoned,
            ),
            default=None,
        )
        if steer is not None and steer_id is not None:
            steer.steer_id = steer_id
        return steer

    def refused_by(self, error: ServerEvent) -> ProtocolSteer | None:
        """Return the steer that an `error` refuses, `None` if the `error` is about something else.

        A server that does not know steering answers a steer with an `error`.  Its text names steering, or it is
        about the field `type`, which is never wrong in a `response.create`.
        """
        text = f"{error_field(error, 'code')} {error_field(error, 'message')}"
        names_steering = "steer" in text.lower()
        if not names_steering and error_field(error, "param") != "type":
            return None
        lane = error.stream_id
        fitting = (
            steer
            for steer in self._open
            if (lane is None or not steer.lane_known or steer.stream_id == lane)
            and (names_steering or steer.state is SENT)
        )
        return min(fitting, key=lambda steer: steer.state is not SENT, default=None)
