"""The pool's records of requests, lanes and connections: which request runs where, and which response a lane holds."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from enum import Enum
from typing import Any, Literal, NamedTuple

from ..limits.admission import Reservation
from ..limits.estimate import RequestSize
from ..protocol.lanes import MAX_NAMED_LANES
from .ordering import RequestHeap


class PoolRequestState(Enum):
    """How far a request is: not submitted yet, in the queue, on a connection, or ended."""

    NEW = "new"
    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"


class PoolRequest:
    """A request on its way through a pool.

    `stream_id` is the lane that the sender named.  `parent_id` is the response that the request continues.
    `stores` says whether the server stores the response.  `route` limits the request to the connections of that
    route.  `answered_calls` are the function calls for which the input has outputs, `None` if unknown.
    `has_history` says that the sender can provide the whole conversation; `sends_history` is set once the request has
    to send that in place of its parent's id.  `number` is the order of arrival, which a request keeps when it has to
    wait again.
    """

    __slots__ = (
        *("answered_calls", "deadline", "has_history", "heap", "hits_when_sent", "lane", "number", "parent_id"),
        *("parent_lane", "reservation", "retries", "route", "sends_history", "size", "state", "stores", "stream_id"),
    )

    def __init__(
        self,
        *,
        stream_id: str | None = None,
        parent_id: str | None = None,
        stores: bool = True,
        route: str | None = None,
        answered_calls: frozenset[str] | None = None,
        has_history: bool = False,
        size: RequestSize | None = None,
    ) -> None:
        self.size = size
        self.reservation: Reservation | None = None
        self.stream_id = stream_id
        self.parent_id = parent_id
        self.stores = stores
        self.route = route
        self.answered_calls = answered_calls
        self.has_history = has_history
        self.sends_history = False
        self.number = 0
        self.deadline: float | None = None  # until when the request may wait to be sent
        self.retries = 0
        self.hits_when_sent = 0  # `RateLimit.hits` at the time of sending
        self.state = PoolRequestState.NEW
        self.lane: PoolLane | None = None  # runs the request, or has the response that the request waits for
        self.heap: RequestHeap[PoolRequest] | None = None  # where the request waits
        self.parent_lane: PoolLane | None = None  # of a fork: the lane that must hold its parent until it has started


class HeldResponse(NamedTuple):
    """A response that a lane holds: a request on the same connection can continue it without storage."""

    response_id: str
    stored: bool  # any connection can continue it
    open_calls: frozenset[str] = frozenset()  # ids of function calls that wait for their outputs


_LANE_FIELDS_TO_TELL = frozenset({"held", "open_steers", "running"})


class PoolLane:
    """One lane of a connection.  It holds the response that ended there last, until the next one starts.

    `wire_name` is the `stream_id` that the server sees, `None` for the default lane.  `stream_id` is the one that
    the sender of the latest request gave: the pool maps any number of conversations to few names on the wire.

    A change of the fields that decide whether a request may run here marks the connection as changed.  `forks` and the
    heaps are changed by the router and the queue, which mark the connection themselves.
    """

    __slots__ = (
        *("connection", "continuations_of_held", "continuations_of_running", "forks", "held", "held_before"),
        *(
            "latest_settled_id",
            "latest_size",
            "open_steers",
            "running",
            "running_response_id",
            "running_stores",
            "stream_id",
            "wire_name",
        ),
    )

    def __init__(self, connection: PoolConnection, wire_name: str | None) -> None:
        self.wire_name = wire_name
        self.stream_id: str | None = None
        self.running: PoolRequest | None = None
        self.running_response_id: str | None = None  # also of a response that follows a steer, without a request
        self.running_stores = True
        self.continuations_of_running: RequestHeap[PoolRequest] = RequestHeap()  # wait until that response ends
        self.held: HeldResponse | None = None
        self.held_before: HeldResponse | None = None  # what the lane held before it ran `running`
        self.continuations_of_held: RequestHeap[PoolRequest] = RequestHeap()  # wait to run on this lane
        self.forks: dict[PoolRequest, None] = {}  # continue `held` on other lanes, and need it until they have started
        self.open_steers = 0  # steers from which a response may follow
        self.latest_size: RequestSize | None = None  # of the latest request
        self.latest_settled_id: str | None = None  # of the response that followed the latest steer
        self.connection = connection  # the last one, since a new lane changes nothing before it is used

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)
        if name in _LANE_FIELDS_TO_TELL and hasattr(self, "connection"):
            self.connection.mark_changed()

    @property
    def is_taken(self) -> bool:
        """Whether a request runs here, or a response may follow from a steer."""
        return self.running is not None or self.open_steers > 0

    @property
    def is_idle(self) -> bool:
        """Whether the next request of the lane may run: nothing runs, and no fork needs the held response."""
        return not self.is_taken and not self.forks

    @property
    def is_free(self) -> bool:
        """Whether another conversation may run here: no request waits to continue the held response."""
        return self.is_idle and not self.continuations_of_held

    @property
    def holds_unstored(self) -> bool:
        """Whether the lane holds a response that would be lost with it."""
        return self.held is not None and not self.held.stored

    @property
    def response_is_stored(self) -> bool:
        """Whether the server stores the response that runs here, or else the one that the lane holds."""
        if self.running is None and self.running_response_id is None and self.held is not None:
            return self.held.stored
        return self.running_stores


class PoolConnectionState(Enum):
    """How far a connection is.  A draining one takes no new conversations, only continues those that it holds."""

    CONNECTING = "connecting"
    OPEN = "open"
    DRAINING = "draining"
    GONE = "gone"


class PoolConnection:
    """A connection of the pool: its lanes, and its points in time by the pool's clock, in seconds.

    `number` is the order in which the connections were made.  A connection that has changed is in `changed`, which the
    connections of a pool share: so only those that have changed are looked at again, however many there are.
    """

    __slots__ = (
        *("active", "attempt", "awaited_lanes", "changed", "expires_at", "has_worked", "idle_since", "is_expired"),
        *("is_old", "lanes", "max_named_lanes", "net_connection", "number", "open_steers", "opened_at", "replace_at"),
        *("replacement", "route", "state", "waiting_forks"),
    )

    changed: MutableMapping[PoolConnection, None]

    def __init__(
        self,
        route: str | None,
        number: int = 0,
        changed: MutableMapping[PoolConnection, None] | None = None,
    ) -> None:
        object.__setattr__(self, "changed", {} if changed is None else changed)
        self.number = number
        self.route = route
        self.net_connection: Any = None  # set by the driver of the pool, which does the I/O
        self.state = PoolConnectionState.CONNECTING
        self.lanes: dict[str | None, PoolLane] = {}  # by name on the wire, the least recently used first
        self.max_named_lanes = MAX_NAMED_LANES
        self.active = 0  # requests that run
        self.open_steers = 0  # of all its lanes
        self.awaited_lanes: dict[PoolLane, None] = {}  # have `continuations_of_held`, or had some
        self.waiting_forks: RequestHeap[PoolRequest] = RequestHeap()  # wait for a lane of this connection
        self.has_worked = False  # an event came
        self.attempt = 0  # `ReconnectBackoff.attempt` when it was opened
        self.opened_at = self.replace_at = self.expires_at = self.idle_since = 0.0
        self.is_old = False  # `replace_at` has passed
        self.is_expired = False  # accepts no continuations any more
        self.replacement: PoolConnection | None = None  # opened to take over the new work

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)
        self.changed[self] = None

    def mark_changed(self) -> None:
        """Have the pool look again at what may run here."""
        self.changed[self] = None

    @property
    def is_live(self) -> bool:
        """Whether the connection counts against `max_connections`: it is not about to go."""
        return self.replacement is None and self.state in (PoolConnectionState.CONNECTING, PoolConnectionState.OPEN)

    @property
    def accepts_continuations(self) -> bool:
        """Whether the responses that its lanes hold can be continued."""
        return not self.is_expired and self.state in (PoolConnectionState.OPEN, PoolConnectionState.DRAINING)

    @property
    def load(self) -> int:
        """How many lanes run a request, or may run a response that follows from a steer."""
        return sum(lane.is_taken for lane in self.lanes.values()) if self.open_steers else self.active

    @property
    def is_busy(self) -> bool:
        """Whether a request runs here, a response may follow from a steer, or requests wait for this connection."""
        return bool(
            self.active
            or self.open_steers
            or self.waiting_forks
            or any(lane.continuations_of_held for lane in self.awaited_lanes)
        )

    @property
    def holds_unstored(self) -> bool:
        """Whether a lane holds a response that would be lost with the connection."""
        return any(lane.held is not None and not lane.held.stored for lane in self.lanes.values())

    def running(self) -> Iterator[PoolRequest]:
        """Return the requests that run here."""
        return (lane.running for lane in tuple(self.lanes.values()) if lane.running is not None)

    def free_lane(self, *, has_lanes: bool | None) -> PoolLane | None:
        """Return the lane for a new conversation that loses the least, `None` if there is none.

        That is a lane without a response, then a new lane, then the least recently used one, and a lane that holds an
        unstored response last.  `has_lanes` says whether the server has lanes.
        """
        found = self._lane_to_use(has_lanes=has_lanes)
        return PoolLane(self, self._new_name(has_lanes=has_lanes)) if found is True else found

    def loss(self, *, has_lanes: bool | None) -> bool | None:
        """Whether `free_lane` would lose an unstored response to another conversation; `None` if no lane is free."""
        found = self._lane_to_use(has_lanes=has_lanes)
        if found is None:
            return None
        return self.holds_unstored if has_lanes is False else found is not True and found.holds_unstored

    def _lane_to_use(self, *, has_lanes: bool | None) -> PoolLane | Literal[True] | None:
        """Return the lane for a new conversation, `True` for a new lane, `None` if there is none."""
        if has_lanes is False:
            # The whole connection is one lane, however many names were used before that was known.
            if not all(lane.is_free for lane in self.lanes.values()):
                return None
            return next(reversed(self.lanes.values())) if self.lanes else True
        stored: PoolLane | None = None
        unstored: PoolLane | None = None
        for lane in self.lanes.values():
            # This loop runs for each request, so it first asks what costs no call: `running` is what most lanes differ
            # in, and one lane of each kind is enough.
            held = lane.held
            if (
                lane.running is not None
                or (held is not None and (stored if held.stored else unstored) is not None)
                or lane.wire_name is None
                or not lane.is_free
            ):
                continue
            if held is None:
                return lane
            if held.stored:
                stored = lane
            else:
                unstored = lane
        return True if len(self.lanes) - (None in self.lanes) < self.max_named_lanes else stored or unstored

    def _new_name(self, *, has_lanes: bool | None) -> str | None:
        return None if has_lanes is False else f"lane-{len(self.lanes) - (None in self.lanes) + 1}"

    def mark_used(self, lane: PoolLane) -> None:
        """Make a lane the most recently used one."""
        self.lanes.pop(lane.wire_name, None)
        self.lanes[lane.wire_name] = lane
        self.mark_changed()

    def lane_refused(self, lane: PoolLane) -> None:
        """Use no more names than now: the server refused the name of this lane as one too many."""
        if self.lanes.get(lane.wire_name) is lane and lane.is_free:
            del self.lanes[lane.wire_name]
        self.max_named_lanes = max(1, min(self.max_named_lanes, len(self.lanes) - (None in self.lanes)))
