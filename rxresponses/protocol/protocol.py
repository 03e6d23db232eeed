"""The rules of one connection, without I/O or Rx: what the connection calls.

A connection has ordered lanes: the default lane (`None`) and named lanes.  The rules are in these modules:

- `lanes`: which requests are queued, which run, and which may be sent next; the limits of responses and lane names;
  whether the server echoes `stream_id`.
- `routing`: which request an event belongs to that carries a response or is an `error`.
- `responses`: which request an event without a response belongs to; late events of ended responses.
- `steering`: which steers are open, and which steer an answer or a refusal is for.
- `successors`: which steer a response belongs to that follows a steered response, in time or late.
- `timeouts`: how long a request may wait in each of its states.
"""

from __future__ import annotations

from collections.abc import Collection

from ..wire.events.base import ERROR_TYPES, REGISTRY, ServerEvent, UnknownEvent
from ..wire.fields import error_field
from .lanes import MAX_ACTIVE, Lanes
from .request import ENDED, QUEUED, ProtocolRequest, ProtocolSteer
from .responses import Responses
from .routing import LIFECYCLE_TYPES, Router
from .steering import STEER_TYPES, OpenSteers
from .successors import Successors

CONNECTION_ERROR_CODES = frozenset({"websocket_connection_limit_reached"})
"""Codes of an `error` by which the server ends the whole connection."""

_SPECIAL_TYPES = LIFECYCLE_TYPES | STEER_TYPES


class Protocol:
    """The requests of one connection: `submit` queues a request, `next_to_send` and `receive` drive it to its end.

    All methods are to be called on one thread.  `now` is the time in seconds, by any clock that the caller chooses.
    `connection_error` is the `error` event by which the server ends the connection, `None` before it came; then
    nothing more is sent.  `receivers` is a view of the requests that get the events which carry no response.  It always
    shows the present ones, and may show a request twice.
    """

    def __init__(
        self, *, max_active: int = MAX_ACTIVE, echoes_stream_id: bool | None = None, close_on_dispose: bool = False
    ) -> None:
        self.close_on_dispose = close_on_dispose
        self.connection_error: ServerEvent | None = None
        self._steers = OpenSteers()
        self.lanes = Lanes(self._steers, max_active=max_active, echoes_stream_id=echoes_stream_id)
        self._responses = Responses(self.lanes)
        self._successors = Successors(self.lanes, self._responses, self._steers)
        self._router = Router(self.lanes, self._responses, self._steers, self._successors)
        self._by_stream_id = self._responses.by_stream_id  # here too, because every event is looked up there
        self.receivers: Collection[ProtocolRequest] = self._by_stream_id.values()

    # Requests.

    def submit(self, request: ProtocolRequest, now: float = 0.0) -> None:
        """Queue a request on its lane.  Raises `LaneLimitError` for a 33rd lane name.

        A steer is not queued on a lane: it is sent at once.
        """
        request.since = now
        if isinstance(request, ProtocolSteer):
            self._steers.submit(request)
        else:
            self.lanes.submit(request)

    def next_to_send(self, now: float = 0.0) -> ProtocolRequest | None:
        """Return the request to write now and count it as sent, `None` if none may be sent."""
        if self.connection_error is not None:
            return None
        request = self._next_steer() or self._next_request()
        if request is not None:
            request.since = now
        return request

    def _next_steer(self) -> ProtocolSteer | None:
        steer = self._steers.next_to_send()
        if steer is not None and steer.target_id in self._responses.by_id:
            steer.set_lane(self._responses.by_id[steer.target_id].stream_id)
        return steer

    def _next_request(self) -> ProtocolRequest | None:
        request = self.lanes.next_to_send()
        if request is not None:
            self._responses.open(request)
        return request

    def dispose(self, request: ProtocolRequest) -> bool:
        """Cancel a request.  A queued request is taken out; a sent request keeps its lane until its terminal event.

        `receive` goes on to return a cancelled request for its events, so that the next request never gets them.
        Returns whether the caller has to close the connection, which is the only way to stop the server.  For that,
        `close_on_dispose` must be set.  A steer without a successor never closes the connection, because that would
        end the target, nor does a successor that another steer waits for.
        """
        request.cancelled = True
        self.lanes.changed = True
        if request.state is QUEUED:
            request.state = ENDED
            if isinstance(request, ProtocolSteer):
                self._steers.withdraw(request)
            else:
                self.lanes.withdraw(request)
            return False
        if not self.lanes.is_running(request):
            return False
        if isinstance(request, ProtocolSteer) and self._successors.hand_over(request):
            return False
        return self.close_on_dispose

    def abandon(self, steer: ProtocolSteer) -> None:
        """Cancel a steer whose answer or successor is overdue: its lane goes on without it.

        An answer or a successor that comes later still belongs to the steer.
        """
        self._steers.abandon(steer)
        self.lanes.unreserve(steer)

    def start_steer_timeouts(self, now: float) -> list[ProtocolSteer]:
        """Return the steers whose successor has become due since the last call; `since` is `now` for them."""
        steers = [steer for lane in self.lanes.reserved for steer in self._steers.mark_due(lane)]
        for steer in steers:
            steer.since = now
        return steers

    def open_requests(self) -> list[ProtocolRequest]:
        """Return the requests that have not ended, those in flight first, without abandoned steers."""
        return [*self.lanes.running_requests(), *self._steers.awaited(), *self.lanes.queued_requests()]

    def lost(self) -> list[ProtocolRequest]:
        """Forget all requests, because the connection is lost, and return the open ones in their last state."""
        requests = self.open_requests()
        self.lanes.clear()
        self._responses.clear()
        self._steers.clear()
        return requests

    # Events.

    def receive(self, event: ServerEvent) -> ProtocolRequest | None:
        """Return the request that an event belongs to, ended if the event is terminal.

        Returns `None` if the event belongs to no request here.  If it is an `error` that ends the connection,
        `connection_error` is set.
        """
        if type(event) is UnknownEvent and event.extra.get("stream_id") is not None:
            return None  # `stream_id` is no string, so it names no lane
        if event.type in _SPECIAL_TYPES:
            if event.type in STEER_TYPES:
                return self._successors.receive_answer(event)
            if event.type in ERROR_TYPES and error_field(event, "code") in CONNECTION_ERROR_CODES:
                self.connection_error = event
                return None
            return self._router.receive(event)
        request = self._by_stream_id.get(event.stream_id)
        if request is None:
            return self._responses.first_untagged_event(event)
        if request.is_silent:
            return self._responses.first_event(request, event)
        return request

    # Events that need not be read.

    def request_of_plain(self, kind: str, stream_id: str | None) -> ProtocolRequest | None:
        """Return the request of an event that has these fields, if the event changes nothing in this connection.

        Then `receive` would return this request.  `None` means that only `receive` can tell.
        """
        if kind in _SPECIAL_TYPES or kind not in REGISTRY:  # an unknown type may be an ending in disguise
            return None
        request = self._by_stream_id.get(stream_id)
        if request is None or request.is_silent or request.shared_with or isinstance(request, ProtocolSteer):
            return None
        return request
