"""Which request an event belongs to that carries a response or ends a request.

A server with lanes puts `stream_id` on the events of named lanes, and the lane tells the request.  A server without
lanes drops `stream_id`.  Then the id of the response tells the request if it is known, and otherwise the order: such
a server answers the requests in the order in which they were sent.  Successors of steers come first, by the rules of
`successors`.  Late events of ended responses belong to no request, by the rules of `responses`.
"""

from __future__ import annotations

from ..wire.events.base import ERROR_TYPES, TERMINAL_TYPES, ServerEvent
from ..wire.fields import error_field, response_id_of
from .lanes import Lanes
from .request import SENT, STARTED, ProtocolRequest
from .responses import Responses
from .steering import OpenSteers
from .successors import Successors

LIFECYCLE_TYPES = TERMINAL_TYPES | {"response.created", "response.queued", "response.in_progress"}
"""The types of the events that carry a response or end a request."""

BUSY_CODES = frozenset({"response_already_in_flight", "websocket_queue_full"})
"""Codes of an `error` by which a server without lanes refuses a request because another response runs."""


class Router:
    """The rules for lifecycle events, over the lanes, responses and steers of one connection."""

    def __init__(self, lanes: Lanes, responses: Responses, steers: OpenSteers, successors: Successors) -> None:
        self._lanes = lanes
        self._responses = responses
        self._steers = steers
        self._successors = successors

    def receive(self, event: ServerEvent) -> ProtocolRequest | None:
        """Return the request of a lifecycle event, ended if the event is terminal; `None` if there is no request."""
        response_id = response_id_of(event)
        if event.type in ERROR_TYPES:
            request = self._request_of_error(event)
        elif response_id is not None and self._is_late(event, response_id):
            return None
        else:
            request = self._request_of(event, response_id)
        if event.type == "response.done" and self._responses.is_second_end(event, request):
            return None
        if request is None or self._responses.is_failure_of_refused(event, request):
            return None
        had_begun = request.state is not SENT
        self._lanes.answered(request, event)
        is_terminal = event.type in TERMINAL_TYPES
        id_is_new = is_terminal and response_id not in request.response_ids
        if not is_terminal:
            self._responses.open(request, event)
        if response_id is not None:
            self._responses.add_id(response_id, request)
        if is_terminal:
            self._successors.end(request, event, had_begun=had_begun, id_is_new=id_is_new)
        return request

    def _is_late(self, event: ServerEvent, response_id: str) -> bool:
        if not self._responses.has_ended(response_id):
            return False
        lane = event.stream_id
        running = (
            self._successors.late_successor_on(lane)
            or self._lanes.in_flight.get(lane)
            or self._responses.by_stream_id.get(lane)
            or (self._lanes.oldest_unanswered() if lane is None and not self._lanes.echoes_stream_id else None)
        )
        return self._responses.is_late(event, response_id, running)

    def _request_of(self, event: ServerEvent, response_id: str | None) -> ProtocolRequest | None:
        """Return the request of a lifecycle event other than `error`."""
        request = self._successors.request_of(event, response_id)
        if request is not None:
            return request
        if event.stream_id is not None:
            return self._on_lane(event.stream_id, event)
        has_lanes = self._lanes.echoes_stream_id
        if event.type == "response.created":
            return self._on_lane(None, event) if has_lanes else self._request_of_untagged_created(event, response_id)
        default = self._lanes.in_flight.get(None)
        if default is not None and (response_id in default.response_ids or (has_lanes and default.state is SENT)):
            return default  # before the look-up by id: a response on another lane may have the same id
        if response_id is not None and response_id in self._responses.by_id:
            return self._responses.by_id[response_id]
        request = self._responses.by_stream_id.get(None)
        if request is not None:
            return request
        if has_lanes:
            successor = self._successors.begin(None, event)
            return successor or (self._only_running() if event.type in TERMINAL_TYPES else None)
        return self._lanes.oldest_unanswered() or self._successors.begin_any(event)

    def _only_running(self) -> ProtocolRequest | None:
        """Return the request whose response runs, if there is no other that the end of a response may be for."""
        request = self._lanes.only_running() if self._lanes.active == 1 else None
        return request if request is not None and request.state is STARTED else None

    def _request_of_untagged_created(self, event: ServerEvent, response_id: str | None) -> ProtocolRequest | None:
        """Return the request of a `response.created` from a server that may drop `stream_id`.

        With the id of an open response it is sent twice: a server without lanes runs one response at a time.
        For the same reason it is of the open response if that has begun without an id: some servers send it late.
        A request of the default lane that waits for its answer comes first.  The successor to an accepted steer
        comes before unanswered requests, because the server goes on with a steered response at once.
        """
        if response_id is not None and response_id in self._responses.by_id:
            return self._responses.by_id[response_id]
        running = self._responses.by_stream_id.get(None)
        if running is not None and running.state is STARTED and not running.response_ids:
            return running
        default = self._lanes.in_flight.get(None)
        if default is not None and default.state is SENT:
            return default
        return (
            self._successors.begin_any(event, accepted_only=True)
            or self._lanes.oldest_unanswered()
            or default
            or self._responses.by_stream_id.get(None)
            or self._successors.begin_any(event)
        )

    def _request_of_error(self, event: ServerEvent) -> ProtocolRequest | None:
        """Return the request that an `error` ends.

        A refused steer comes first, then a late successor, then the lane that the `error` names.  An `error` without
        `stream_id` is about the request that is refused, the request that runs, or the oldest unanswered request.
        When several named lanes run, it is about the connection and belongs to no request.
        """
        steer = self._steers.refused_by(event)
        if steer is not None:
            return steer
        code = error_field(event, "code")
        late = self._successors.late_successor_on(event.stream_id)
        if late is not None and code not in BUSY_CODES:
            return late
        if event.stream_id is not None:
            return self._on_lane(event.stream_id, event)
        if code in BUSY_CODES and self._lanes.unanswered:
            # The request that runs is not the refused one.  If none has an answer yet, the oldest will run.
            unanswered = list(self._lanes.unanswered)
            return unanswered[1] if len(unanswered) == len(self._lanes.in_flight) > 1 else unanswered[0]
        has_lanes = self._lanes.echoes_stream_id
        oldest = self._lanes.oldest_unanswered()
        # Before a server has shown that it has no lanes, more than one request may have been sent: the error is
        # about the response that runs.
        running = self._responses.by_stream_id.get(None) if has_lanes is False else None
        request = running or self._lanes.in_flight.get(None)
        if request is None and (has_lanes or oldest is None or self._steers.successor_must_begin(None)):
            request = self._successors.begin(None, event)
        if request is None and not has_lanes:
            request = oldest
        if request is None and self._lanes.active == 1:
            request = self._lanes.only_running() or self._successors.begin_any(event)
        return request

    def _on_lane(self, lane: str | None, event: ServerEvent) -> ProtocolRequest | None:
        """Return the request that runs on a lane, or the steer whose successor begins there."""
        return self._lanes.in_flight.get(lane) or self._successors.begin(lane, event)
