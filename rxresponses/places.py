"""The connections of a pool and their lanes: who runs where, and which response a lane still holds."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any

from .protocol import MAX_NAMED_LANES


class Ticket:
    """A request on its way through a pool.

    `lane` is the name its sender gave, `parent` the response it continues, `stores` whether the server
    keeps the response, `route` what only some connections serve, `answers` the calls that its input
    answers.  `number` is its turn, which it keeps when it has to wait again.  A fork needs the response
    that the lane `source` holds, but runs on another one.  `has_history`: it can do without its parent,
    by sending the whole conversation; then it `replays`.
    """

    __slots__ = (
        *("answers", "deadline", "has_history", "lane", "number", "parent", "place", "replays", "retries", "route"),
        *("source", "state", "stores"),
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
        self.deadline: float | None = None
        self.retries = 0
        self.state = TicketState.NEW
        self.place: Place | None = None  # where it runs, or what it waits for
        self.source: Place | None = None


class TicketState(Enum):
    """Where a request is: with the caller, in the queue, on a connection, or nowhere any more."""

    NEW = "new"
    WAITING = "waiting"
    RUNNING = "running"
    OVER = "over"


class Place:
    """One lane of a connection; `name` is the one on the wire, `None` for the default lane.

    It holds the `latest` response, which continuations can go on from, until the next request begins.
    """

    __slots__ = ("calls", "forks", "lane", "latest", "name", "running", "running_id", "slot", "steers", "stores")

    def __init__(self, slot: Slot, name: str | None) -> None:
        self.slot = slot
        self.name = name
        self.lane: str | None = None  # the name that its sender gave to the conversation
        self.running: Ticket | None = None
        self.running_id: str | None = None
        self.latest: str | None = None
        self.stores = True
        self.calls: frozenset[str] = frozenset()  # of the latest response, without an answer
        self.forks: dict[Ticket, None] = {}  # requests from elsewhere that still need the latest response
        self.steers = 0  # a response may follow by itself

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs here, nor begins by itself, nor needs what is held."""
        return self.running is None and not self.steers and not self.forks

    @property
    def is_precious(self) -> bool:
        """Whether a response would be lost with it."""
        return self.latest is not None and not self.stores

    @property
    def keeps(self) -> bool:
        """Whether the response that it runs, or holds, is stored as well."""
        return self.stores if self.running is None else self.running.stores


class SlotState(Enum):
    """Where a connection stands."""

    CONNECTING = "connecting"
    OPEN = "open"
    DRAINING = "draining"
    GONE = "gone"


class Slot:
    """A connection of the pool: its lanes, and its times on the pool's clock."""

    __slots__ = (
        *("active", "ages_at", "bound", "connection", "expires_at", "heir", "idle_since", "most_names", "places"),
        *("proven", "round", "route", "state", "steers"),
    )

    def __init__(self, route: str | None) -> None:
        self.route = route
        self.connection: Any = None  # whoever drives the pool
        self.state = SlotState.CONNECTING
        self.places: dict[str | None, Place] = {}  # the one used longest ago first
        self.most_names = MAX_NAMED_LANES
        self.active = 0
        self.steers = 0  # of all its lanes
        self.bound: list[Ticket] = []  # can run only here
        self.proven = False  # an event came
        self.round = 0  # of the tries to open one, after failures
        self.ages_at = self.expires_at = self.idle_since = 0.0
        self.heir: Slot | None = None

    @property
    def is_live(self) -> bool:
        """Whether it counts: it is not on its way out."""
        return self.heir is None and self.state in (SlotState.CONNECTING, SlotState.OPEN)

    @property
    def load(self) -> int:
        """How much runs here, or may begin to by itself."""
        return self.active + self.steers

    @property
    def named(self) -> int:
        """How many of its lanes have names."""
        return len(self.places) - (None in self.places)

    @property
    def is_precious(self) -> bool:
        """Whether a response would be lost with it."""
        return any(place.is_precious for place in self.places.values())

    def running(self) -> Iterator[Ticket]:
        """Return what runs here."""
        return (place.running for place in tuple(self.places.values()) if place.running is not None)

    def free_place(self, *, lanes: bool | None) -> Place | None:
        """Return an idle lane for a new conversation, the one with the least to lose; `None` if there is none.

        That is one without a response, a new one, or the one used longest ago.  Without lanes there is one,
        whatever name it got before that was known.
        """
        places = [place for place in self.places.values() if place.name is not None or lanes is False]
        idle = [place for place in places if place.is_idle]
        if lanes is False and (len(idle) < len(places) or not places):
            return None if places else self._add(None)
        for place in idle:
            if place.latest is None:
                return place
        if lanes is not False and self.named < self.most_names:
            return self._add(f"lane-{self.named + 1}")
        return next((place for place in idle if place.stores), None) or next(iter(idle), None)

    def has_free_place(self, *, lanes: bool | None) -> bool:
        """Whether a new conversation can begin here without another one losing its response to it."""
        if not self.places or (lanes is not False and self.named < self.most_names):
            return True
        return any(place.is_idle and not place.is_precious for place in self.places.values())

    def use(self, place: Place) -> None:
        """Note that a lane is used now."""
        self.places[place.name] = self.places.pop(place.name)

    def _add(self, name: str | None) -> Place:
        place = self.places[name] = Place(self, name)
        return place
