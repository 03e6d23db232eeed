"""Which steer a response belongs to that follows a steered response, and what an answer to a steer does.

A successor that begins on a lane reserved for it belongs to the steer that the lane is reserved for.

A late successor begins on a lane that has gone on, because its steer was abandoned or named a target that had long
ended.  The late successor still belongs to its steer, and gets the events of the lane until it ends.  The next
request of the lane is sent, or continues to get its events, after that.

Only what a response continues tells a late successor from the response to the next request.  Where the next request
continues the target too, or where the server does not say what the response continues, the response belongs to the
request.  Otherwise the request would wait for ever if the successor never came.
"""

from __future__ import annotations

from itertools import chain

from ..wire.events.base import TERMINAL_TYPES, ServerEvent
from ..wire.fields import continued_response_id, was_steered
from .lanes import Lanes
from .request import ENDED, ProtocolRequest, ProtocolSteer
from .responses import Responses
from .steering import OpenSteers


class Successors:
    """The rules of successors, over the lanes, responses and steers of one connection."""

    def __init__(self, lanes: Lanes, responses: Responses, steers: OpenSteers) -> None:
        self._lanes = lanes
        self._responses = responses
        self._steers = steers

    # The answers to steers.

    def receive_answer(self, event: ServerEvent) -> ProtocolSteer | None:
        """Return the steer that a steering event answers, accepted or ended by the event."""
        steer = self._steers.answered_by(event)
        if steer is None:
            return None
        if event.type != "response.steer.accepted":
            self.settle(steer)
            return steer
        self._steers.accept(steer)
        open_target = self._responses.by_id.get(steer.target_id)
        if open_target is not None:
            steer.set_lane(open_target.stream_id)
            self._lanes.free_unneeded()
            return steer  # the lane is reserved when the target ends
        if not steer.lane_known:
            # No event has carried the id that the steer names.  The target is then the response that is open there.
            target = self._responses.by_stream_id.get(event.stream_id)
            steer.set_lane(event.stream_id if target is None else target.stream_id)
        lane = steer.stream_id
        for running in (self._lanes.in_flight.get(lane), self._lanes.late_successors.get(lane)):
            if isinstance(running, ProtocolSteer) and running.continues(steer.target_id):
                # The successor, which answers all steers of this target, began before this answer came.
                self._steers.remove(steer)
                running.shared_with += (steer,)
                steer.response_ids = running.response_ids
                return steer
        self._lanes.reserve_or_free(lane)
        return steer

    def settle(self, steer: ProtocolSteer) -> None:
        """End a steer that will have no successor."""
        steer.state = ENDED
        self._steers.remove(steer)
        self._lanes.unreserve(steer)

    # Successors that come in time.

    def begin(self, lane: str | None, event: ServerEvent) -> ProtocolSteer | None:
        """Begin the successor on a lane and return its steer, `None` if the lane is not reserved."""
        if lane not in self._lanes.reserved:
            return None
        del self._lanes.reserved[lane]
        next_steer = self._steers.next_on_lane(lane, continued_response_id(event))
        steer = self._steers.begin_successor(next_steer)
        self._lanes.start_successor(lane, steer)
        self._lanes.free_unneeded()
        return steer

    def begin_any(self, event: ServerEvent, *, accepted_only: bool = False) -> ProtocolSteer | None:
        """Begin the successor on the first reserved lane; `accepted_only`: the first with an accepted steer."""
        for lane in self._lanes.reserved:
            if self._steers.successor_must_begin(lane) or not accepted_only:
                return self.begin(lane, event)
        return None

    # Late successors.

    def late_successor_on(self, stream_id: str | None) -> ProtocolSteer | None:
        """Return the steer of the late successor that the events with a `stream_id` belong to, if there is one."""
        if not self._lanes.late_successors:
            return None  # as in nearly every call
        current = self._responses.by_stream_id.get(stream_id)
        return next((steer for steer in self._lanes.late_successors.values() if steer is current), None)

    def request_of(self, event: ServerEvent, response_id: str | None) -> ProtocolRequest | None:
        """Return the request of a lifecycle event, if the event is of a late successor or may begin a successor.

        Returns `None` where the rules of lanes and ids decide.
        """
        late = self.late_successor_on(event.stream_id)
        known = self._responses.by_id.get(response_id) if response_id is not None else None
        if late is not None and (known is late or (known is None and event.type != "response.created")):
            return late
        request = self._request_by_parent(event, late) if known is None else None
        if late is not None:
            if request is late:
                return late
            if known is None or self._fits(known, event):
                self.end(late, event)  # another response speaks on its lane: it ended without a terminal event
        if not isinstance(request, ProtocolSteer) or request.owns_successor:
            return request
        if request.stream_id in self._lanes.reserved and not request.abandoned:
            return self.begin(request.stream_id, event)
        steer = self._steers.begin_successor(request)
        self._lanes.start_late_successor(steer)
        self._lanes.free_unneeded()
        return steer

    def _request_by_parent(self, event: ServerEvent, late: ProtocolSteer | None) -> ProtocolRequest | None:
        """Return the request or the steer whose response an event begins, by the response that it continues.

        `None`: the event cannot begin a successor, or the server does not say what the response continues and a
        request may be meant as well.
        """
        open_steers = [steer for steer in self._steers.with_lane() if steer.target_id not in self._responses.by_id]
        steers = [steer for steer in chain((late,) if late else (), open_steers) if self._fits(steer, event)]
        if not steers:
            return None
        requests = [request for request in self._lanes.in_flight.values() if self._fits(request, event)]
        continued = continued_response_id(event)
        if continued is None:
            others = requests or any(steer.stream_id in self._lanes.reserved for steer in steers)
            return None if others or event.type in TERMINAL_TYPES else steers[0]
        steers.sort(key=lambda steer: steer.abandoned)
        return next((one for one in (*requests, *steers) if one.continues(continued)), None)

    def _fits(self, request: ProtocolRequest, event: ServerEvent) -> bool:
        """Whether an event may be for a request, as far as its `stream_id` tells."""
        return event.stream_id == request.stream_id or (event.stream_id is None and not self._lanes.echoes_stream_id)

    # The end of a response.

    def end(
        self, request: ProtocolRequest, event: ServerEvent, *, had_begun: bool = True, id_is_new: bool = False
    ) -> None:
        """End a request, and reserve its lane if a steer of its response waits for the successor.

        `had_begun`: events of the response came before this one.  `id_is_new`: they did not have the id of this one.
        """
        if isinstance(request, ProtocolSteer) and request in self._steers:
            self.settle(request)  # by an `error` that refuses the steer
            return
        for one in (request, *request.shared_with):
            one.state = ENDED
        self._responses.end(request, event, had_begun=had_begun, id_is_new=id_is_new)
        self._lanes.remove(request)
        self._steers.target_ended(request, steered=was_steered(event))
        self._lanes.reserve_or_free(request.stream_id)
        self._lanes.free_unneeded()

    def hand_over(self, steer: ProtocolSteer) -> bool:
        """Let another steer own the successor of a cancelled steer; return whether there is another that can."""
        other = next((one for one in steer.shared_with if not one.cancelled), None)
        if other is None:
            return False
        other.owns_successor = True
        other.shared_with = tuple(one for one in steer.shared_with if one is not other)
        other.response_ids, other.since, other.is_silent = steer.response_ids, steer.since, steer.is_silent
        self._lanes.replace(steer, other)
        self._responses.hand_over(steer, other)
        steer.state = ENDED  # `shared_with` stays: the event that is being delivered goes to those steers as well
        return True
