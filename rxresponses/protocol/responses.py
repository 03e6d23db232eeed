"""Which request a response of one connection belongs to, and which events of ended responses may still come.

Most events carry no response, only the `stream_id` of their lane.  They belong to the request whose response is open
on that lane: `by_stream_id` is the one look-up that such an event takes.

An `error` ends a response, and yet more events of that response may follow: text that was on its way, and its
`response.failed`.  Some servers send `response.done` behind another terminal event, or send a terminal event twice.
Such late events belong to no request, and must not reach the next request of the lane.

The id of an ended response tells a late event, but not for sure: some servers use an id again, or put the same id into
each terminal event.  So a terminal event that can only be the end of the running response ends it, whatever its id.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from ..wire.events.base import ERROR_TYPES, TERMINAL_TYPES, ServerEvent
from ..wire.fields import begins_response, item_ids_of, named_response_id, response_field, response_id_of
from ..wire.ids import LatestIds, id_key
from .lanes import Lanes
from .request import SENT, ProtocolRequest, ProtocolSteer

# How many ended responses are remembered, because more events of them may come.
_ENDED_LIMIT = 1024
# How many ids of one response are known: its first one, and the latest.  Some gateways change the id in each event.
_IDS_LIMIT = 64

_ITEMS_LIMIT = 1024  # how many items of a response are known, the last ones

_DONE = "response.done"
_AFTER_END = frozenset({_DONE})
_AFTER_ERROR = frozenset({"response.failed", _DONE})


@dataclass
class _Ended:
    """How a response ended, as far as it tells which events of it may still come.

    `to_come`: the types of terminal events that may still follow.  `by_error`: an `error` ended it.  `had_begun`:
    events came before the terminal one.  `only_at_end`: they had other ids, so the server may put this id into other
    terminal events too.
    """

    to_come: frozenset[str]
    by_error: bool
    had_begun: bool
    only_at_end: bool


class Responses:
    """The open responses by `stream_id` and by id, and the ended responses.

    `by_stream_id` has the request that gets the events which carry no response.  On a server that drops `stream_id`,
    the open response of a named lane stands there under `None` too.
    """

    def __init__(self, lanes: Lanes) -> None:
        self.by_stream_id: dict[str | None, ProtocolRequest] = {}
        self.by_id: dict[str, ProtocolRequest] = {}
        self._lanes = lanes
        self._ended: LatestIds[_Ended] = LatestIds(_ENDED_LIMIT)
        # Lanes where an `error` ended a request: `response.failed` may follow, with another id than the response had.
        self._refused_lanes: set[str | None] = set()
        # Lanes whose latest response ended without `response.done`, until the next begins → whether by an `error`.
        self._without_done: dict[str | None, bool] = {}
        # Lanes where a response has ended → the ids of the items that its terminal event lists.
        self._latest_items: dict[str | None, frozenset[str]] = {}
        # The type of the lifecycle event with which the first response began; "" if one began with another event.
        self._first_type: str | None = None

    def clear(self) -> None:
        """Forget all responses."""
        for table in (self.by_stream_id, self.by_id, self._without_done, self._latest_items):
            table.clear()
        self._ended.clear()
        self._refused_lanes.clear()

    # Open responses.

    def open(self, request: ProtocolRequest, event: ServerEvent | None = None) -> None:
        """Give the events that carry no response to a request: to one that was just sent, or has a lifecycle event."""
        no_lanes = self._lanes.echoes_stream_id is False
        if event is not None:
            self._without_done.pop(request.stream_id, None)
            if self._first_type is None:
                self._first_type = event.type
        self.by_stream_id[request.stream_id] = request
        if no_lanes or (event is not None and event.stream_id is None):
            self.by_stream_id[None] = request

    def add_id(self, response_id: str, request: ProtocolRequest) -> None:
        """Note an id of the response to a request; of very many ids, the first one and the latest are known."""
        if self.by_id.get(response_id) is request:
            return
        self.by_id[response_id] = request
        request.response_ids.append(response_id)
        if len(request.response_ids) > _IDS_LIMIT:
            forgotten = request.response_ids.pop(1)
            if self.by_id.get(forgotten) is request and forgotten not in request.response_ids:
                del self.by_id[forgotten]

    def hand_over(self, steer: ProtocolSteer, other: ProtocolSteer) -> None:
        """Give the response of a steer to another steer."""
        self.by_stream_id.update({lane: other for lane, one in self.by_stream_id.items() if one is steer})
        self.by_id.update(dict.fromkeys(steer.response_ids, other))

    def end(self, request: ProtocolRequest, event: ServerEvent, *, had_begun: bool, id_is_new: bool) -> None:
        """Forget the response of a request, but remember how to recognise late events of it."""
        lane = request.stream_id
        by_error = event.type in ERROR_TYPES
        if event.type in TERMINAL_TYPES:
            to_come = _AFTER_ERROR if by_error else _AFTER_END - {event.type}
        else:
            to_come = TERMINAL_TYPES  # another response began in its place
        for stream_id in (lane, None):
            if self.by_stream_id.get(stream_id) is request:
                del self.by_stream_id[stream_id]
        for response_id in request.response_ids:
            if self.by_id.get(response_id) is request:
                del self.by_id[response_id]
            only_at_end = id_is_new and response_id == request.response_id and len(request.response_ids) > 1
            self._ended.add(response_id, _Ended(to_come, by_error, had_begun, only_at_end))
        if had_begun:
            self._latest_items[lane] = frozenset(deque(map(id_key, item_ids_of(event)), maxlen=_ITEMS_LIMIT))
        self._without_done.pop(lane, None)
        if _DONE in to_come:
            self._without_done[lane] = by_error  # the latest last
        if by_error and (self._first_type or not request.response_ids):
            self._refused_lanes.add(lane)

    def first_event(self, request: ProtocolRequest, event: ServerEvent) -> ProtocolRequest | None:
        """Return the request of the first event that carries no response.

        The event begins the response, unless it is a heartbeat, or is of an ended response.
        """
        named = named_response_id(event)
        if named is not None and self.has_ended(named):
            return None
        if begins_response(event):
            if request.state is SENT:
                if named is None and self._is_stray(event, request):
                    return None
                if hasattr(event, "output_index"):
                    self._first_type = ""
            request.is_silent = False
            self._lanes.answered(request, event)
        return request

    def first_untagged_event(self, event: ServerEvent) -> ProtocolRequest | None:
        """Return the request of an event on which neither a response nor a lane is open.

        It may begin the response to the only request on a named lane, and so show that the server drops `stream_id`.
        """
        request = self._lanes.oldest_unanswered() if self._lanes.echoes_stream_id is None else None
        if request is None or event.stream_id is not None or not begins_response(event):
            return None
        if self.first_event(request, event) is None:
            return None
        self.by_stream_id[None] = request
        return request

    # Late events of ended responses.

    def _is_stray(self, event: ServerEvent, request: ProtocolRequest) -> bool:
        """Whether an event about an item is of the response before, and not of a request without an answer.

        Where the server has begun each response with a lifecycle event, an event that comes before one is of the
        response before.  But it begins the next response if it announces an item, or is about an item that the response
        before did not have.
        """
        if event.type == "response.output_item.added" or not hasattr(event, "output_index"):
            return False
        has_lanes = self._lanes.echoes_stream_id
        latest = [ids for lane, ids in self._latest_items.items() if lane == request.stream_id or not has_lanes]
        if not latest or not self._first_type:
            return False
        item_id = getattr(event, "item_id", None)
        return item_id is None or not all(latest) or any(id_key(item_id) in ids for ids in latest)

    def has_ended(self, response_id: str | None) -> bool:
        """Whether a response with this id has ended."""
        return response_id in self._ended

    def is_late(self, event: ServerEvent, response_id: str, running: ProtocolRequest | None) -> bool:
        """Whether a lifecycle event is of the ended response with this id, and not of the `running` request.

        `response.created` always begins a new response, and so does the event with which the server began its first.
        Another event that does not end a response is late, unless the running request has the id too.
        """
        is_sent = running is not None and running.state is SENT
        if event.type == "response.created" or (event.type == self._first_type and is_sent):
            self._ended.discard(response_id)
            return False
        if running is not None and response_id in running.response_ids:
            return False
        if event.type in TERMINAL_TYPES:
            ended = self._ended[response_id]
            if not self._is_late_end(event, ended, running):
                return False
            ended.to_come -= {event.type}
            self._refused_lanes.discard(event.stream_id)  # this is the failure that may follow
        return True

    def _is_late_end(self, event: ServerEvent, ended: _Ended, running: ProtocolRequest | None) -> bool:
        """Whether a terminal event with the id of an ended response is of that response."""
        if running is None:
            return True
        if event.type in ended.to_come:
            if ended.by_error and _is_whole(event):
                return False
            return not (ended.only_at_end and (running.response_ids or not self._first_type))
        # A request that was answered is not overruled: nothing but a terminal event can end it.  A request without an
        # answer is, unless the server may answer with a single event: such events may all have the same id.
        return running.state is SENT and ended.had_begun and bool(self._first_type)

    def is_second_end(self, event: ServerEvent, request: ProtocolRequest | None) -> bool:
        """Whether `response.done` follows the terminal event of the response before, and is not of a sent request.

        Without an id only the order tells: the event comes before any event of the next response.  Behind an `error`
        that refused a request, its id is new, but its status is that of a failure.
        """
        lane = event.stream_id if request is None else request.stream_id
        if self._lanes.echoes_stream_id is False and self._without_done:
            lane = next(reversed(self._without_done))
        by_error = self._without_done.pop(lane, None)
        if by_error is None or request is None or request.state is not SENT:
            return False  # a request that runs is not overruled: this may be its end
        if by_error:
            return not _is_whole(event)
        return response_id_of(event) is None and response_field(event, "status") != "failed"

    def is_failure_of_refused(self, event: ServerEvent, request: ProtocolRequest) -> bool:
        """Whether an event is the `response.failed` of a refused request, and not of the next request on its lane.

        The refused request had no id, so only the order tells: the late event comes before any event of the next
        request.
        """
        no_lanes = self._lanes.echoes_stream_id is False
        # An event without `stream_id` may be of the default lane, also if a request on a named lane is unanswered.
        refused = not self._refused_lanes.isdisjoint((request.stream_id, event.stream_id))
        tells_no_lane = event.stream_id is None and not self._lanes.echoes_stream_id
        refused = refused or (bool(self._refused_lanes) and tells_no_lane)
        # On a server with lanes, an event of the default lane is for no other lane, whatever runs there.
        is_other = self._lanes.echoes_stream_id and event.stream_id != request.stream_id
        if no_lanes:
            self._refused_lanes.clear()
        self._refused_lanes.discard(request.stream_id)
        return refused and event.type == "response.failed" and (request.state is SENT or bool(is_other))


def _is_whole(event: ServerEvent) -> bool:
    """Whether a terminal event of any type says that its response did not fail."""
    return response_field(event, "status") in ("completed", "incomplete")
