"""Counts and orders of a pool's connections, kept so that the time for an answer does not grow with their number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from .lanes import PoolConnection, PoolConnectionState
from .ordering import RequestHeap


@dataclass(slots=True)
class _Counted:
    """What a connection was counted as."""

    state: PoolConnectionState
    is_live: bool
    active: int


_Heaps: TypeAlias = "dict[str | None, RequestHeap[PoolConnection]]"


class ConnectionIndex:
    """Counts the connections in each state, and finds the first one for a new conversation and the next one to change.

    A connection that has changed stands in `changed`.  Each answer first looks at the connections there, and at no
    others.

    `accepts_new` tells whether a new conversation may start on a connection, and `loses_unstored` whether that loses an
    unstored response, `None` without a free lane.  `next_change` is the time at which something is to be done about a
    connection if nothing happens before.  `min_open` is how many connections of a route stay open without work.
    """

    def __init__(
        self,
        accepts_new: Callable[[PoolConnection], bool],
        loses_unstored: Callable[[PoolConnection], bool | None],
        next_change: Callable[[PoolConnection], float],
        min_open: Mapping[str | None, int],
    ) -> None:
        self.changed: dict[PoolConnection, None] = {}
        self._accepts_new = accepts_new
        self._loses_unstored = loses_unstored
        self._next_change = next_change
        self._min_open = min_open
        self._counted: dict[PoolConnection, _Counted] = {}
        self._in_state: Counter[PoolConnectionState] = Counter()
        self._connecting: Counter[str | None] = Counter()  # by route
        self._live: Counter[str | None] = Counter()  # by route
        self._all_live = self._active = 0
        self._to_place: dict[PoolConnection, None] = {}  # have changed since they were put into the heaps
        self._to_route: dict[PoolConnection, None] = {}  # have changed since the last call of `take_to_route`
        self._without_loss: _Heaps = {}  # the fullest connection of each route first
        self._with_loss: _Heaps = {}  # the connection of each route first that is idle longest
        self._changes: RequestHeap[PoolConnection] = RequestHeap()  # by the time of the next change

    # Counts.

    @property
    def active(self) -> int:
        """How many requests run."""
        self._count()
        return self._active

    @property
    def live(self) -> int:
        """How many connections count against `max_connections`."""
        self._count()
        return self._all_live

    def in_state(self, state: PoolConnectionState) -> int:
        """Return how many connections are in a state."""
        self._count()
        return self._in_state[state]

    def live_on(self, route: str | None) -> int:
        """Return how many connections of a route count against `max_connections`."""
        self._count()
        return self._live[route]

    def connecting_on(self, route: str | None) -> int:
        """Return how many connections of a route are being opened."""
        self._count()
        return self._connecting[route]

    # The first one.

    def fullest_without_loss(self, route: str | None) -> PoolConnection | None:
        """Return the connection where most requests run, of those where a new conversation loses nothing unstored."""
        self._place()
        heap = self._without_loss.get(route)
        return None if heap is None else heap.first()

    def longest_idle_with_loss(self, route: str | None) -> PoolConnection | None:
        """Return the connection that has been idle longest, of those where a new conversation loses a response."""
        self._place()
        heap = self._with_loss.get(route)
        return None if heap is None else heap.first()

    @property
    def first_change(self) -> float:
        """When the next connection is due, infinity for never."""
        self._place()
        return self._changes.first_priority

    def due(self, now: float) -> list[PoolConnection]:
        """Return the connections about which something is to be done now; they count as changed."""
        self._place()
        due = []
        while (connection := self._changes.due(now)) is not None:
            self._changes.remove(connection)
            self.changed[connection] = None
            due.append(connection)
        return due

    def take_to_route(self) -> dict[PoolConnection, None]:
        """Return the connections that have changed since the last call: other requests may run there now."""
        self._count()
        to_route, self._to_route = self._to_route, {}
        return to_route

    # What has changed.

    def _count(self) -> None:
        while self.changed:
            connection, _ = self.changed.popitem()
            self._to_place[connection] = self._to_route[connection] = None
            before = self._counted.get(connection)
            if before is not None and connection.state is before.state and connection.is_live is before.is_live:
                # As for each request.  A connection that is gone is never counted.
                self._active += connection.active - before.active
                before.active = connection.active
                continue
            if before is not None:
                del self._counted[connection]
                self._add(connection.route, before, -1)
            if connection.state is not PoolConnectionState.GONE:
                now = self._counted[connection] = _Counted(connection.state, connection.is_live, connection.active)
                self._add(connection.route, now, 1)

    def _add(self, route: str | None, counted: _Counted, sign: int) -> None:
        self._active += sign * counted.active
        self._in_state[counted.state] += sign
        if counted.state is PoolConnectionState.CONNECTING:
            _add_to(self._connecting, route, sign)
        if counted.is_live:
            had_spares = self._has_spares(route)
            _add_to(self._live, route, sign)
            self._all_live += sign
            if self._has_spares(route) is not had_spares:  # an idle connection is closed only if it is a spare one
                self._to_place.update((connection, None) for connection in self._counted if connection.route == route)

    def _has_spares(self, route: str | None) -> bool:
        return self._live[route] > self._min_open.get(route, 0)

    def _place(self) -> None:
        self._count()
        while self._to_place:
            connection, _ = self._to_place.popitem()
            loses = self._loses_unstored(connection) if self._accepts_new(connection) else None
            _put_on_route(self._without_loss, connection, -connection.active if loses is False else None)
            _put_on_route(self._with_loss, connection, connection.idle_since if loses else None)
            is_gone = connection.state is PoolConnectionState.GONE
            self._changes.put(connection, None if is_gone else self._next_change(connection))


def _put_on_route(heaps: _Heaps, connection: PoolConnection, priority: float | None) -> None:
    """Put a connection into the heap of its route; without a priority take it out, and the heap if it is empty."""
    heap = heaps.get(connection.route)
    if heap is None:
        if priority is None:
            return
        heap = heaps[connection.route] = RequestHeap()
    heap.put(connection, priority)
    if not heap:
        del heaps[connection.route]


def _add_to(counts: Counter[str | None], route: str | None, sign: int) -> None:
    """Count up or down, and forget a route that has none, since a program may use any number of routes."""
    counts[route] += sign
    if not counts[route]:
        del counts[route]
