"""The connections of a client and their lanes: who runs where, and which response a lane still holds."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any, NamedTuple

from ..protocol.lanes import MAX_NAMED_LANES
from .ordering import RequestHeap


class PoolRequestState(Enum):
    """Where a request is: with the caller, in the queue, on a connection, or nowhere any more."""

    NEW = "new"
    WAITING = "waiting"
    RUNNING = "running"
    OVER = "over"


class PoolRequest:
    """A request on its way through a pool.

    `lane` is the name its sender gave, `parent` the response it continues, `stores` whether the server
    keeps the response, `route` what only some connections serve, `answers` the calls that its input
    answers, `None` if that is not known.  `has_history`: it can do without its parent, by sending the
    whole conversation; then it `replays`.  `number` is its turn, which it keeps when it has to wait again.
    """

    __slots__ = (
        *("answers", "deadline", "has_history", "lane", "limits", "number", "parent", "place"),
        *("queue", "replays", "retries", "route", "source", "state", "stores"),
    )

    def __init__(
        self,
        *,
        lane: str | None = None,
        parent: str | None = None,
        stores: bool = True,
        route: str | None = None,
        answers: frozenset[str] | None = None,
        has_history: bool = False,
    ) -> None:
        self.lane = lane
        self.parent = parent
        self.stores = stores
        self.route = route
        self.answers = answers
        self.has_history = has_history
        self.replays = False
        self.number = 0
        self.deadline: float | None = None  # until when it may wait to be sent
        self.retries = 0
        self.limits = 0  # how many rate limits there had been when it was sent
        self.state = PoolRequestState.NEW
        self.place: PoolLane | None = None  # where it runs, or whose response it waits for
        self.queue: RequestHeap[PoolRequest] | None = None  # where it waits for its turn
        self.source: PoolLane | None = None  # of a fork: the lane that holds its parent until the fork has begun


class HeldResponse(NamedTuple):
    """A response that a lane holds: requests that continue it can go on from there."""

    response_id: str
    stores: bool  # the server can load it anywhere
    calls: frozenset[str] = frozenset()  # of functions, that wait for an answer


class PoolLane:
    """One lane of a connection; `name` is the one on the wire, `None` for the default lane.

    It holds the response that ended there last, until the next one begins.
    """

    __slots__ = (
        *("before", "children", "forks", "heirs", "held", "lane", "name", "running", "running_id", "running_stores"),
        *("slot", "steers"),
    )

    def __init__(self, slot: PoolConnection, name: str | None) -> None:
        self.slot = slot
        self.name = name
        self.lane: str | None = None  # the name that its sender gave to the conversation
        self.running: PoolRequest | None = None
        self.running_id: str | None = None  # also of a response that began by itself
        self.running_stores = True
        self.children: RequestHeap[PoolRequest] = RequestHeap()  # continue what runs
        self.held: HeldResponse | None = None
        self.before: HeldResponse | None = None  # what it held before the request that runs
        self.heirs: RequestHeap[PoolRequest] = RequestHeap()  # continue what is held, here
        self.forks: dict[PoolRequest, None] = {}  # continue what is held elsewhere, and need it until they have begun
        self.steers = 0  # a response may begin by itself

    @property
    def is_taken(self) -> bool:
        """Whether something runs here, or may begin to by itself."""
        return self.running is not None or self.steers > 0

    @property
    def is_idle(self) -> bool:
        """Whether the lane may go on: nothing runs, and no fork needs what is held."""
        return not self.is_taken and not self.forks

    @property
    def is_free(self) -> bool:
        """Whether another conversation may begin here: nobody is about to go on from what is held."""
        return self.is_idle and not self.heirs

    @property
    def is_precious(self) -> bool:
        """Whether a response would be lost with it."""
        return self.held is not None and not self.held.stores

    @property
    def keeps(self) -> bool:
        """Whether the response that it runs, or holds, is stored as well."""
        if self.running is None and self.running_id is None and self.held is not None:
            return self.held.stores
        return self.running_stores


class PoolConnectionState(Enum):
    """Where a connection stands: a draining one finishes its work, and the conversations that only it can go on."""

    CONNECTING = "connecting"
    OPEN = "open"
    DRAINING = "draining"
    GONE = "gone"


class PoolConnection:
    """A connection of the pool: its lanes, and its times on the pool's clock."""

    __slots__ = (
        *("active", "ages_at", "awaited", "connection", "expired", "expires_at", "forks", "heir", "idle_since"),
        *("most_names", "opened_at", "places", "proven", "round", "route", "state", "steers"),
    )

    def __init__(self, route: str | None) -> None:
        self.route = route
        self.connection: Any = None  # whoever drives the pool
        self.state = PoolConnectionState.CONNECTING
        self.places: dict[str | None, PoolLane] = {}  # the one used longest ago first
        self.most_names = MAX_NAMED_LANES
        self.active = 0  # requests that run
        self.steers = 0  # of all its lanes
        self.awaited: dict[PoolLane, None] = {}  # lanes with heirs, and some that had
        self.forks: RequestHeap[PoolRequest] = RequestHeap()  # wait for another lane here
        self.proven = False  # an event came
        self.round = 0  # of the tries to open one, after failures
        self.opened_at = self.ages_at = self.expires_at = self.idle_since = 0.0
        self.expired = False  # it goes on with nothing
        self.heir: PoolConnection | None = None  # the one that comes after it

    @property
    def is_live(self) -> bool:
        """Whether it counts: it is not on its way out."""
        return self.heir is None and self.state in (PoolConnectionState.CONNECTING, PoolConnectionState.OPEN)

    @property
    def holds(self) -> bool:
        """Whether what its lanes hold can be continued."""
        return not self.expired and self.state in (PoolConnectionState.OPEN, PoolConnectionState.DRAINING)

    @property
    def load(self) -> int:
        """How many lanes run something, or may by themselves."""
        return sum(place.is_taken for place in self.places.values()) if self.steers else self.active

    @property
    def is_busy(self) -> bool:
        """Whether anything runs here, may begin to by itself, or can run nowhere else."""
        return bool(self.active or self.steers or self.forks or any(place.heirs for place in self.awaited))

    @property
    def is_precious(self) -> bool:
        """Whether a response would be lost with it."""
        return any(place.is_precious for place in self.places.values())

    def running(self) -> Iterator[PoolRequest]:
        """Return what runs here."""
        return (place.running for place in tuple(self.places.values()) if place.running is not None)

    def free_place(self, *, lanes: bool | None) -> PoolLane | None:
        """Return a lane for a new conversation, the one with the least to lose; `None` if there is none.

        That is one without a response, then a new one, then the one used longest ago.
        """
        if lanes is False:
            # Such a connection is one lane, however many had names before that was known.
            if not all(place.is_free for place in self.places.values()):
                return None
            return next(reversed(self.places.values())) if self.places else PoolLane(self, None)
        free = [place for place in self.places.values() if place.is_free and place.name is not None]
        named = len(self.places) - (None in self.places)
        return (
            next((place for place in free if place.held is None), None)
            or (PoolLane(self, f"lane-{named + 1}") if named < self.most_names else None)
            or next((place for place in free if not place.is_precious), None)
            or next(iter(free), None)
        )

    def loses(self, place: PoolLane, *, lanes: bool | None) -> bool:
        """Whether a response is lost when another conversation begins on this lane."""
        return self.is_precious if lanes is False else place.is_precious

    def use(self, place: PoolLane) -> None:
        """Note that a lane is used now."""
        self.places.pop(place.name, None)
        self.places[place.name] = place

    def refuse(self, place: PoolLane) -> None:
        """Note that the server takes no name for one more lane than those before this one."""
        if self.places.get(place.name) is place and place.is_free:
            del self.places[place.name]
        self.most_names = max(1, min(self.most_names, len(self.places) - (None in self.places)))
