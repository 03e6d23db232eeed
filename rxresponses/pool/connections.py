"""The connections of a client: when one is opened, replaced, retired, or tried again; the caller passes the time."""

from __future__ import annotations

import math
import random
from collections import OrderedDict
from collections.abc import Callable, Container
from typing import TypeAlias

from ..backoff import is_retryable, requested_wait
from ..options import PoolOptions
from .actions import CloseConnection, OpenConnection
from .index import ConnectionIndex
from .lanes import PoolConnection, PoolConnectionState, PoolLane
from .reconnect import ReconnectBackoff

# While it is not known whether the server has lanes, a burst of requests must not open a connection for each of them.
_MAX_CONNECTIONS_BEFORE_KNOWN = 4
# The replacement of a connection is opened this share of `max_age` before the connection expires.
_LEAD = 0.05
# How many routes' failures are remembered, since a program may try any number of models.
_REMEMBERED = 1024

Route: TypeAlias = "str | None"


class PoolConnections:
    """The connections of a pool.  Each serves one route, such as a model.

    A connection takes new conversations while it is open.  When it gets old, a replacement is opened, and the
    connection drains: it finishes what runs, and continues the responses that only it holds, until it expires.
    """

    def __init__(
        self,
        options: PoolOptions,
        *,
        has_lanes: bool | None = None,
        max_active: int = 16,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.all: list[PoolConnection] = []
        self.actions: list[OpenConnection | CloseConnection] = []  # to be done
        self._options = options
        self._max_active = max_active
        self._draw = draw
        self._backoffs: OrderedDict[Route, ReconnectBackoff] = OrderedDict()  # of the routes with failures
        self._no_failures = ReconnectBackoff(options.backoff)
        self._min_open: dict[Route, int] = {}  # how many connections stay open without work
        self._has_lanes = has_lanes
        self._latest_number = 0
        self._old: dict[PoolConnection, None] = {}  # open ones that are to be replaced
        self._draining: dict[PoolConnection, None] = {}
        self._index = ConnectionIndex(self.accepts_new, self._loses_unstored, self._next_change, self._min_open)
        self.take_to_route = self._index.take_to_route

    # What is there.

    @property
    def has_lanes(self) -> bool | None:
        """Whether the server has lanes, `None` until that is known."""
        return self._has_lanes

    @has_lanes.setter
    def has_lanes(self, has_lanes: bool | None) -> None:
        self._has_lanes = has_lanes
        self._look_again()

    @property
    def capacity(self) -> int:
        """How many requests may run at once on a connection."""
        return self._max_active if self.has_lanes else 1

    @property
    def room(self) -> int:
        """How many requests may run at once on all connections of a route."""
        return min(self._options.max_connections, self._max_on_route) * self.capacity

    @property
    def active(self) -> int:
        """How many requests run."""
        return self._index.active

    def in_state(self, state: PoolConnectionState) -> int:
        """Return how many connections are in a state."""
        return self._index.in_state(state)

    def is_open(self, route: Route) -> bool:
        """Whether a connection of a route is open."""
        return any(
            connection.state is PoolConnectionState.OPEN and connection.route == route for connection in self.all
        )

    def has_room(self, connection: PoolConnection) -> bool:
        """Whether one more request may run on a connection."""
        return connection.accepts_continuations and connection.load < self.capacity

    def accepts_new(self, connection: PoolConnection) -> bool:
        """Whether a new conversation may start on a connection."""
        return connection.state is PoolConnectionState.OPEN and self.has_room(connection)

    def lane_for(self, route: Route) -> PoolLane | None:
        """Return the lane for a new conversation, `None` if the conversation has to wait.

        That is a lane where no unstored response is lost, on the connection where most requests run, so that other
        connections become idle.  Without such a lane, the conversation waits if another connection can be opened;
        else it takes a lane of the connection that has been idle longest.
        """
        connection = self._index.fullest_without_loss(route)
        if connection is None and not self._may_get_another(route):
            connection = self._index.longest_idle_with_loss(route)
        return None if connection is None else connection.free_lane(has_lanes=self.has_lanes)

    def _loses_unstored(self, connection: PoolConnection) -> bool | None:
        """Whether a new conversation on a connection loses an unstored response; `None` if no lane is free."""
        return connection.loss(has_lanes=self.has_lanes)

    def _look_again(self) -> None:
        """Look again at all connections: what holds for all of them has changed."""
        self._index.changed.update(dict.fromkeys(self.all))

    # What is wanted.

    def skip_wait(self, route: Route) -> None:
        """Let a connection be tried at once, for a request that has not waited for one yet."""
        backoff = self._backoff(route)
        backoff.skip_wait()
        if not self._index.live_on(route):
            backoff.given_up = False

    def route_used(self, route: Route) -> None:
        """Note that a request uses a route: `min_idle` is for the first route used."""
        if self._options.min_idle and not self._min_open:
            self._min_open[route] = self._options.min_idle
            self._look_again()

    def prewarm(self, count: int, route: Route) -> None:
        """Keep so many connections open from now on, with work or without."""
        self._min_open[route] = count
        self._look_again()
        self._backoff(route).skip_wait()
        self._backoff(route).given_up = False

    def open_for(self, route: Route, wanted: float, now: float) -> None:
        """Open connections for so many requests, as far as limits and backoff allow."""
        while (
            wanted > self._index.connecting_on(route) * self.capacity
            and self._index.live_on(route) < self._max_on_route
            and not (self._backoff(route).given_up and self._index.live_on(route))
            and self._may_try(route, now)
        ):
            if self._index.live >= self._options.max_connections and not self._make_room_for(route, now):
                return
            self._open(route)

    def open_min(self, now: float) -> None:
        """Open the connections that are to be open without work."""
        for route in self._min_open:
            while self._has_too_few(route) and self._index.live < self._options.max_connections:
                if not self._may_try(route, now):
                    break
                self._open(route)

    def connect_error(self) -> Exception | None:
        """Return why the latest connection could not be made, `None` if none is missing for that."""
        return next((backoff.error for backoff in reversed(self._backoffs.values()) if backoff.error is not None), None)

    def connect_error_on(self, route: Route) -> Exception | None:
        """Return why the latest connection of a route could not be made, `None` if there was no failure since."""
        return self._backoff(route).error

    def retry_at(self, now: float, wanted: Container[Route]) -> float | None:
        """Return when the next connection is tried after a failure, `None` if none waits for that.

        `wanted` are the routes on which requests wait.
        """
        times = (
            backoff.retry_at
            for route, backoff in self._backoffs.items()
            if backoff.retry_at > now
            and (route in wanted or self._has_too_few(route) or self._lacks_replacement(route, now))
        )
        return min(times, default=None)

    # What happens.

    def opened(self, connection: PoolConnection, now: float) -> None:
        """Note that a connection is open."""
        connection.state = PoolConnectionState.OPEN
        connection.opened_at = connection.idle_since = now
        connection.expires_at = now + self._options.max_age
        lead = self._options.max_age * (_LEAD + self._options.age_jitter * self._draw())
        connection.replace_at = connection.expires_at - lead
        self._backoff(connection.route).opened()

    def worked(self, connection: PoolConnection) -> None:
        """Forget the failures of a route: its connection has received an event."""
        if not connection.has_worked:  # an assignment has the pool look at the connection again
            connection.has_worked = True
        self._backoffs.pop(connection.route, None)

    def ended(self, connection: PoolConnection, error: Exception | None, now: float) -> bool:
        """Note that a connection is lost, or could not be made; return whether to fail the requests that wait for one.

        `error` is `None` for a connection that this side closed.
        """
        was_open = connection.state is not PoolConnectionState.CONNECTING
        self._remove(connection)
        if was_open and now - connection.opened_at >= self._options.backoff.max_delay:
            self.worked(connection)  # it was open for longer than the longest wait after a failure
        if error is None or connection.has_worked:
            return False
        route = connection.route
        backoff = self._backoffs.setdefault(route, ReconnectBackoff(self._options.backoff, draw=self._draw))
        if not was_open:
            backoff.error = error
        if len(self._backoffs) > _REMEMBERED:
            self._backoffs.popitem(last=False)
        wait = requested_wait(error)
        too_long = self._options.backoff.is_too_long(wait)
        if not was_open and (too_long or not is_retryable(error)):
            # Waiting does not help, and the next connection tried may have another key.
            backoff.given_up = True
            if too_long:
                self._options.backoff.tell(error, wait)
            return not self.is_open(route)
        backoff.failed(now, wait, connection.attempt)
        gives_up = backoff.is_exhausted and not self.is_open(route)
        # Connections that are to be open without work are tried on: no request waits for them that would have to fail.
        backoff.given_up |= gives_up and not self._min_open.get(route)
        return gives_up

    def retire(self, now: float) -> list[PoolConnection]:
        """Let old and idle connections drain; return those that have expired since the last call."""
        due = dict.fromkeys((*self._old, *self._index.due(now)))
        expired = []
        for connection in sorted(due, key=lambda connection: connection.number):
            if connection.state is PoolConnectionState.OPEN:
                if self._may_retire(connection, now):
                    self._drain(connection)
                elif now >= connection.replace_at:
                    connection.is_old = True
                    self._old[connection] = None
            if (
                connection.state is PoolConnectionState.DRAINING
                and not connection.is_expired
                and now >= connection.expires_at
            ):
                connection.is_expired = True
                expired.append(connection)
        return expired

    def close_drained(self) -> list[PoolConnection]:
        """Close the draining connections that have nothing left to do, and return them."""
        drained = [
            connection for connection in self._draining if not connection.is_busy and not connection.holds_unstored
        ]
        for connection in drained:
            self._remove(connection)
            self.actions.append(CloseConnection(connection))
        return drained

    def deadline(self) -> float:
        """Return when `retire` has something to do if nothing happens before, infinity for never."""
        return self._index.first_change

    # A connection.

    def _open(self, route: Route) -> PoolConnection:
        self._latest_number += 1
        connection = PoolConnection(route, self._latest_number, self._index.changed)
        connection.attempt = self._backoff(route).attempt
        self.all.append(connection)
        self.actions.append(OpenConnection(connection))
        return connection

    def _drain(self, connection: PoolConnection) -> None:
        connection.state = PoolConnectionState.DRAINING
        self._old.pop(connection, None)
        self._draining[connection] = None

    def _remove(self, connection: PoolConnection) -> None:
        connection.state = PoolConnectionState.GONE
        self._old.pop(connection, None)
        self._draining.pop(connection, None)
        self.all.remove(connection)
        for other in self.all:
            if other.replacement is connection:
                other.replacement = None

    def _may_retire(self, connection: PoolConnection, now: float) -> bool:
        """Whether a connection may start to drain; an old one may when another is open, so that there is no gap."""
        close_at = connection.idle_since + self._options.close_idle_after
        if now >= connection.expires_at or (now >= close_at and self._is_spare(connection)):
            return True
        if now < connection.replace_at:
            return False
        if connection.replacement is not None:
            return connection.replacement.state is PoolConnectionState.OPEN
        if self._needs_no_replacement(connection, now):
            return True
        if not self._backoff(connection.route).given_up and self._may_try(connection.route, now):
            connection.replacement = self._open(connection.route)
        return False

    def _needs_no_replacement(self, connection: PoolConnection, now: float) -> bool:
        """Whether no work needs an old connection, or another connection has room for it."""
        if self._is_dispensable(connection):
            return True
        return any(
            other.route == connection.route and now < other.replace_at and self.accepts_new(other) for other in self.all
        )

    def _is_spare(self, connection: PoolConnection) -> bool:
        """Whether a connection does nothing, holds no unstored response, and is not one of `min_idle`."""
        return self._is_dispensable(connection) and not connection.holds_unstored

    def _is_dispensable(self, connection: PoolConnection) -> bool:
        """Whether a connection does nothing, and is not one of `min_idle`."""
        route = connection.route
        return not connection.is_busy and self._index.live_on(route) > self._min_open.get(route, 0)

    def _next_change(self, connection: PoolConnection) -> float:
        """Return when a connection has to be replaced, is to be closed as idle, or expires; infinity for never."""
        if connection.is_expired:
            return math.inf
        if connection.state is PoolConnectionState.DRAINING:
            return connection.expires_at
        if connection.state is not PoolConnectionState.OPEN:
            return math.inf
        at = connection.expires_at if connection.is_old else connection.replace_at
        if self._is_spare(connection):
            at = min(at, connection.idle_since + self._options.close_idle_after)
        return at

    def _make_room_for(self, route: Route, now: float) -> bool:
        """Retire a connection for the first one of a route; return whether there was one to retire."""
        others = [
            connection
            for connection in self.all
            if connection.state is PoolConnectionState.OPEN and connection.replacement is None
        ]
        if self._index.live_on(route) or not others:
            return False
        connection = min(others, key=lambda connection: (connection.holds_unstored, connection.active))
        self._drain(connection)
        connection.expires_at = now  # a connection that drains on could stay for long, and then the next one, too
        return True

    # The connections of a route.

    @property
    def _max_on_route(self) -> int:
        return _MAX_CONNECTIONS_BEFORE_KNOWN if self.has_lanes is None else self._options.max_connections

    def _backoff(self, route: Route) -> ReconnectBackoff:
        return self._backoffs.get(route, self._no_failures)

    def _may_try(self, route: Route, now: float) -> bool:
        return self._backoff(route).allows(now, self._index.connecting_on(route))

    def _has_too_few(self, route: Route) -> bool:
        """Whether fewer connections are open than are to be open without work."""
        return self._index.live_on(route) < self._min_open.get(route, 0) and not self._backoff(route).given_up

    def _lacks_replacement(self, route: Route, now: float) -> bool:
        """Whether an old connection needs a replacement, which could not be opened."""
        return not self._backoff(route).given_up and any(
            connection.route == route
            and connection.state is PoolConnectionState.OPEN
            and connection.replacement is None
            and now >= connection.replace_at
            for connection in self.all
        )

    def _may_get_another(self, route: Route) -> bool:
        """Whether another connection is being opened, or can be."""
        backoff = self._backoff(route)
        if backoff.given_up or backoff.is_exhausted:
            return False
        may_open = self._index.live < self._options.max_connections and self._index.live_on(route) < self._max_on_route
        return may_open or self._index.connecting_on(route) > 0
