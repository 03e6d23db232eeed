"""The connections of a client, without I/O: when one is opened, replaced, let go, or tried again.

What runs on them is the business of the pool, which says who waits.
"""

from __future__ import annotations

import math
import random
from collections import OrderedDict
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import TypeAlias

from ..backoff import is_retryable, retry_after
from ..options import PoolOptions
from .lanes import PoolConnection, PoolConnectionState, PoolLane
from .reconnect import ReconnectBackoff

# While it is not known whether the server has lanes, a burst must not open a connection for each request.
_PROBES = 4
# Of `max_age`: how long before its end the next connection is opened.
_LEAD = 0.05
# Routes whose failures are remembered: a program may try any number of models.
_REMEMBERED = 1024

Route: TypeAlias = "str | None"


@dataclass(frozen=True)
class Open:
    """Open a connection, and say `opened` or `ended`."""

    slot: PoolConnection


@dataclass(frozen=True)
class Close:
    """Close a connection, on which nothing runs."""

    slot: PoolConnection


class PoolConnections:
    """The connections there are, by their routes: what only some of them serve, such as a model.

    A connection takes new work while it is open.  When it gets old another one takes its place, and it
    drains: it finishes its work, and goes on with the conversations that only it can go on with, until
    it expires.
    """

    def __init__(
        self,
        options: PoolOptions,
        *,
        lanes: bool | None = None,
        max_active: int = 16,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.lanes = lanes
        self.slots: list[PoolConnection] = []
        self.actions: list[Open | Close] = []  # to be done
        self._options = options
        self._max_active = max_active
        self._draw = draw
        self._outages: OrderedDict[Route, ReconnectBackoff] = OrderedDict()
        self._no_outage = ReconnectBackoff(options.backoff)
        self._warm: dict[Route, int] = {}  # how many connections to have open, work or not

    # What there is.

    @property
    def capacity(self) -> int:
        """How many requests may run at once on a connection."""
        return self._max_active if self.lanes else 1

    @property
    def active(self) -> int:
        """How many requests run."""
        return sum(slot.active for slot in self.slots)

    def has_room(self, slot: PoolConnection) -> bool:
        """Whether one more request may run on a connection."""
        return slot.holds and slot.load < self.capacity

    def takes_new(self, slot: PoolConnection) -> bool:
        """Whether a new conversation may begin on a connection."""
        return slot.state is PoolConnectionState.OPEN and self.has_room(slot)

    def place_for(self, route: Route) -> PoolLane | None:
        """Return the lane for a new conversation: where nobody loses a response, on the fullest connection.

        When somebody has to lose one, it is on the connection used longest ago, and only if no other one comes.
        """
        best: tuple[tuple[bool, float], PoolLane] | None = None
        for slot in self.slots:
            place = slot.free_place(lanes=self.lanes) if slot.route == route and self.takes_new(slot) else None
            if place is not None:
                harmless = not slot.loses(place, lanes=self.lanes)
                rank = harmless, slot.active if harmless else -slot.idle_since
                if best is None or rank > best[0]:
                    best = rank, place
        if best is None or (not best[0][0] and self._grows(route)):
            return None
        return best[1]

    # What is wanted.

    def hurry(self, route: Route) -> None:
        """Somebody asks for a connection who has not waited for one yet."""
        outage = self._outage(route)
        outage.hurry()
        if not self._live_on(route):
            outage.given_up = False

    def use(self, route: Route) -> None:
        """Somebody uses a route: that of the first one is kept warm."""
        if self._options.min_idle and not self._warm:
            self._warm[route] = self._options.min_idle

    def prewarm(self, count: int, route: Route) -> None:
        """Have so many connections open from now on, with work or without."""
        self._warm[route] = count
        self._outage(route).hurry()
        self._outage(route).given_up = False

    def open_for(self, route: Route, wanted: float, now: float) -> None:
        """Open connections for so many requests, as far as that is allowed."""
        while (
            wanted > self._coming(route) * self.capacity
            and self._live_on(route) < self._most
            and not (self._outage(route).given_up and self._live_on(route))
            and self._may_try(route, now)
        ):
            if self._live() >= self._options.max_connections and not self._retire_for(route, now):
                return
            self._open(route)

    def keep_warm(self, now: float) -> None:
        """Open what is to be open without work."""
        for route in self._warm:
            while self._lacks(route) and self._live() < self._options.max_connections and self._may_try(route, now):
                self._open(route)

    def connect_error(self) -> Exception | None:
        """Return why the latest connection could not be made, `None` when none is missing for that."""
        return next((outage.error for outage in reversed(self._outages.values()) if outage.error is not None), None)

    def retries_at(self, now: float, wanted: Container[Route]) -> float | None:
        """Return when the next connection is tried that is wanted now, after one failed; `None` for no wait."""
        times = (
            outage.retries_at
            for route, outage in self._outages.items()
            if outage.retries_at > now and (route in wanted or self._lacks(route) or self._lacks_heir(route, now))
        )
        return min(times, default=None)

    # What happens.

    def opened(self, slot: PoolConnection, now: float) -> None:
        """A connection is open."""
        slot.state = PoolConnectionState.OPEN
        slot.opened_at = slot.idle_since = now
        slot.expires_at = now + self._options.max_age
        slot.ages_at = slot.expires_at - self._options.max_age * (_LEAD + self._options.age_jitter * self._draw())
        self._outage(slot.route).opened()

    def proved(self, slot: PoolConnection) -> None:
        """A connection is of use."""
        slot.proven = True
        self._outages.pop(slot.route, None)

    def ended(self, slot: PoolConnection, error: Exception | None, now: float) -> bool:
        """A connection is over, or could not be made; return whether to give up on those who wait for one."""
        was_open = slot.state is not PoolConnectionState.CONNECTING
        self._remove(slot)
        if was_open and now - slot.opened_at >= self._options.backoff.max_delay:
            self.proved(slot)  # it stood longer than one waits after a failure
        if error is None or slot.proven:
            return False
        outage = self._outages.setdefault(slot.route, ReconnectBackoff(self._options.backoff, draw=self._draw))
        if not was_open:
            outage.error = error
        if len(self._outages) > _REMEMBERED:
            self._outages.popitem(last=False)
        hint = retry_after(getattr(error, "headers", {}))
        too_long = self._options.backoff.is_too_long(hint)
        if not was_open and (too_long or not is_retryable(error)):
            # Waiting does not help, and what is tried next may have another key.
            outage.given_up = True
            if too_long:
                self._options.backoff.tell(error, hint)
            return not self.is_open(slot.route)
        outage.failed(now, hint, slot.round)
        gives_up = outage.is_over_the_limit and not self.is_open(slot.route)
        # What is to be open without work is tried on: nobody waits for it, who would have to be told.
        outage.given_up |= gives_up and not self._warm.get(slot.route)
        return gives_up

    def look(self, now: float) -> list[PoolConnection]:
        """Let go what is old, or without use; return what has expired since the last look."""
        expired = []
        for slot in tuple(self.slots):
            if slot.state is PoolConnectionState.OPEN and self._may_go(slot, now):
                slot.state = PoolConnectionState.DRAINING
            if slot.state is PoolConnectionState.DRAINING and not slot.expired and now >= slot.expires_at:
                slot.expired = True
                expired.append(slot)
        return expired

    def close_drained(self) -> list[PoolConnection]:
        """Close what has nothing to do any more, and return it."""
        drained = [
            slot
            for slot in self.slots
            if slot.state is PoolConnectionState.DRAINING and not slot.is_busy and not slot.is_precious
        ]
        for slot in drained:
            self._remove(slot)
            self.actions.append(Close(slot))
        return drained

    def deadline(self, now: float) -> float:
        """Return when to look again if nothing happens before, infinity for never."""
        return min((self._next_look(slot, now) for slot in self.slots), default=math.inf)

    # One connection.

    def _open(self, route: Route) -> PoolConnection:
        slot = PoolConnection(route)
        slot.round = self._outage(route).round
        self.slots.append(slot)
        self.actions.append(Open(slot))
        return slot

    def _remove(self, slot: PoolConnection) -> None:
        slot.state = PoolConnectionState.GONE
        self.slots.remove(slot)
        for other in self.slots:
            if other.heir is slot:
                other.heir = None

    def _may_go(self, slot: PoolConnection, now: float) -> bool:
        """Whether a connection takes no new work any more; an old one goes when there is another, without a gap."""
        if slot.active and now < slot.ages_at:
            return False  # as nearly always
        if now >= slot.expires_at or (self._is_spare(slot) and now >= slot.idle_since + self._options.close_idle_after):
            return True
        if now < slot.ages_at:
            return False
        if slot.heir is not None:
            return slot.heir.state is PoolConnectionState.OPEN
        if self._has_substitute(slot, now):
            return True
        if not self._outage(slot.route).given_up and self._may_try(slot.route, now):
            slot.heir = self._open(slot.route)
        return False

    def _has_substitute(self, slot: PoolConnection, now: float) -> bool:
        """Whether new work has another connection to go to, or there is none."""
        if not slot.is_busy and self._live_on(slot.route) > self._warm.get(slot.route, 0):
            return True
        return any(other.route == slot.route and now < other.ages_at and self.takes_new(other) for other in self.slots)

    def _is_spare(self, slot: PoolConnection) -> bool:
        """Whether a connection does nothing, and is not kept for that either."""
        spare = not slot.is_busy and self._live_on(slot.route) > self._warm.get(slot.route, 0)
        return spare and not slot.is_precious

    def _next_look(self, slot: PoolConnection, now: float) -> float:
        """Return when time changes something for a connection."""
        if slot.expired or slot.state not in (PoolConnectionState.OPEN, PoolConnectionState.DRAINING):
            return math.inf
        if slot.state is PoolConnectionState.DRAINING:
            return slot.expires_at
        at = slot.ages_at if now < slot.ages_at else slot.expires_at
        return min(at, slot.idle_since + self._options.close_idle_after) if self._is_spare(slot) else at

    def _retire_for(self, route: Route, now: float) -> bool:
        """Make room for the first connection of a route; return whether there is room."""
        others = [slot for slot in self.slots if slot.state is PoolConnectionState.OPEN and slot.heir is None]
        if self._live_on(route) or not others:
            return False
        slot = min(others, key=lambda slot: (slot.is_precious, slot.active))
        slot.state = PoolConnectionState.DRAINING
        slot.expires_at = now  # or else it could stay for long, and then another one
        return True

    # The connections of a route.

    @property
    def _most(self) -> int:
        return _PROBES if self.lanes is None else self._options.max_connections

    def _live(self) -> int:
        """Return how many connections there are, without those that go."""
        return sum(slot.is_live for slot in self.slots)

    def _live_on(self, route: Route) -> int:
        return sum(slot.is_live and slot.route == route for slot in self.slots)

    def _coming(self, route: Route) -> int:
        return sum(slot.state is PoolConnectionState.CONNECTING and slot.route == route for slot in self.slots)

    def is_open(self, route: Route) -> bool:
        """Whether a connection of a route takes work."""
        return any(slot.state is PoolConnectionState.OPEN and slot.route == route for slot in self.slots)

    def _outage(self, route: Route) -> ReconnectBackoff:
        return self._outages.get(route, self._no_outage)

    def _may_try(self, route: Route, now: float) -> bool:
        return self._outage(route).allows(now, self._coming(route))

    def _lacks(self, route: Route) -> bool:
        """Whether fewer connections are open than are to be kept."""
        return self._live_on(route) < self._warm.get(route, 0) and not self._outage(route).given_up

    def _lacks_heir(self, route: Route, now: float) -> bool:
        return not self._outage(route).given_up and any(
            slot.route == route and slot.state is PoolConnectionState.OPEN and slot.heir is None and now >= slot.ages_at
            for slot in self.slots
        )

    def _grows(self, route: Route) -> bool:
        """Whether another connection comes, or is opened when somebody waits for it."""
        outage = self._outage(route)
        if outage.given_up or outage.is_over_the_limit:
            return False
        may_open = self._live() < self._options.max_connections and self._live_on(route) < self._most
        return may_open or self._coming(route) > 0
