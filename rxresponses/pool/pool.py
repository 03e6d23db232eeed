"""The rules of a client's many connections, without I/O or Rx: which request goes where, and when.

`submit` queues a request, `turn` says what to do now: send one, open or close a connection, fail
one.  Whoever drives the pool does it, and tells it what happens: `opened`, `ended`, `began`,
`finished`, `again`.  `deadline` says when to take the next turn, if nothing happens before.
Everything happens on one thread; `now` is whatever clock the caller has.

A continuation of a stored response runs where there is room, best on the lane that holds it, since
the server can load it elsewhere.  Of one that is not stored it runs there only: on the lane that
holds it, or, as a fork, on another one of the same connection.
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from ..backoff import is_rate_limit, retry_after
from ..errors import InvalidRequestError, QueueFullError, QueueTimeoutError, RequestError
from ..options import PoolOptions
from .connections import Close, Open, PoolConnections, Route
from .lanes import HeldResponse, PoolConnection, PoolConnectionState, PoolLane, PoolRequest, PoolRequestState
from .queue import RequestQueue
from .rate_limit import RateLimit
from .responses import ResponseLocations, lost_error

__all__ = ["Action", "Close", "Fail", "Open", "Pool", "Send"]

WAITING, RUNNING = PoolRequestState.WAITING, PoolRequestState.RUNNING


@dataclass(frozen=True)
class Send:
    """Send a request on a lane of a connection; `ticket.place` is where."""

    ticket: PoolRequest


@dataclass(frozen=True)
class Fail:
    """Tell the sender of a request, which was not sent."""

    ticket: PoolRequest
    error: Exception


Action: TypeAlias = Open | Close | Send | Fail


class Pool:
    """The state of a client: see the module's text."""

    def __init__(
        self,
        options: PoolOptions,
        *,
        lanes: bool | None = None,
        max_active: int = 16,
        queue_timeout: float | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.options = options
        self.throttle = RateLimit(options.backoff, draw=draw)
        self._queue = RequestQueue(options.max_queued, queue_timeout)
        self._roster = PoolConnections(options, lanes=lanes, max_active=max_active, draw=draw)
        self._memory = ResponseLocations()
        self._orphans: list[PoolRequest] = []  # ran on a connection that is gone
        self._hopeless: list[tuple[Route, Exception, int]] = []  # why those up to a number get no connection
        self._actions: list[Action] = []

    @property
    def slots(self) -> list[PoolConnection]:
        """The connections."""
        return self._roster.slots

    @property
    def active(self) -> int:
        """How many requests run."""
        return self._roster.active

    @property
    def queued(self) -> int:
        """How many requests wait."""
        return len(self._queue)

    @property
    def lanes(self) -> bool | None:
        """Whether the server has lanes, `None` until that is known."""
        return self._roster.lanes

    @lanes.setter
    def lanes(self, lanes: bool | None) -> None:
        self._roster.lanes = lanes
        if lanes is False:
            for slot in self.slots:
                for place in tuple(slot.places.values())[:-1]:
                    self._drop(place)  # it was the same one
                for fork in slot.forks:
                    self._queue.move(fork)  # there is no other lane for it

    # What the sender wants.

    def submit(self, ticket: PoolRequest, now: float) -> None:
        """RequestQueue a request; the next turn fails it when too many wait already."""
        self._queue.join(ticket, now)
        self._roster.use(ticket.route)
        if ticket.route not in self._queue.free:
            self._roster.hurry(ticket.route)

    def withdraw(self, ticket: PoolRequest) -> None:
        """Forget a request that waits; its sender wants it no more."""
        if ticket.state is WAITING:
            self._over(ticket)

    def prewarm(self, count: int, route: Route) -> None:
        """Have so many connections open from now on, with work or without."""
        self._roster.prewarm(count, route)

    def waiting(self) -> list[PoolRequest]:
        """Return what waits, in the order in which it came."""
        return sorted(self._queue, key=lambda ticket: ticket.number)

    def awaits_end(self, now: float) -> bool:
        """Whether what waits does so for the end of what runs, not for a connection or a rate limit."""
        if self.queued == 0 or self.throttle.pause(now) is not None:
            return False
        return all(slot.state is not PoolConnectionState.CONNECTING for slot in self.slots)

    def work(self) -> Iterator[PoolRequest]:
        """Return what waits or runs."""
        yield from self._queue
        for slot in self.slots:
            yield from slot.running()

    # What happens to connections.

    def opened(self, slot: PoolConnection, now: float) -> None:
        """A connection is open."""
        if slot.state is PoolConnectionState.CONNECTING:
            self._roster.opened(slot, now)

    def ended(self, slot: PoolConnection, error: Exception | None, now: float) -> None:
        """A connection is over, or could not be made; `error` says why, `None` that this side closed it.

        What ran there is over with it, unless it is queued `again` before the next turn.
        """
        if slot.state is PoolConnectionState.GONE:
            return
        if error is not None and is_rate_limit(error):
            self.limited(now, retry_after(getattr(error, "headers", {})), limits=self.throttle.limits)
        if self._roster.ended(slot, error, now) and error is not None:
            self._hopeless.append((slot.route, error, self._queue.latest))
        self._orphans.extend(slot.running())
        for place in slot.places.values():
            place.running = None
            self._stop(place)
            self._drop(place)

    # What happens to requests.

    def began(self, ticket: PoolRequest, response_id: str | None) -> None:
        """The first event of a request came, with the id of its response if it has one."""
        place = ticket.place
        if place is None or place.running is not ticket:
            return
        ticket.deadline = None
        self._roster.proved(place.slot)
        if response_id is not None:
            self._memory.run(place, response_id, stores=ticket.stores)

    def in_progress(self, ticket: PoolRequest) -> None:
        """The server has begun: a fork has its parent, and the parent's own lane may go on."""
        if ticket.source is not None:
            ticket.source.forks.pop(ticket, None)
            ticket.source = None

    def finished(
        self, ticket: PoolRequest, now: float, *, response_id: str | None = None, calls: frozenset[str] = frozenset()
    ) -> None:
        """A request is over; `response_id` only if its response can be continued."""
        place = ticket.place
        if ticket.state is not RUNNING or place is None:
            return
        if response_id is not None:
            self.throttle.succeeded(self.active + self.queued, limits=ticket.limits)
        self._vacate(place, now)
        if response_id is not None:
            self.hold(place, response_id, stores=ticket.stores, calls=calls)
        self._over(ticket)

    def unsent(self, ticket: PoolRequest, now: float) -> None:
        """A request was taken back before it was sent: its lane holds what it held before."""
        place = ticket.place
        if ticket.state is not RUNNING or place is None:
            return
        self._vacate(place, now)
        if place.before is not None and place.slot.holds:
            self._memory.hold(place, place.before)
        self._over(ticket)

    def again(self, ticket: PoolRequest, now: float, delay: float = 0.0) -> None:
        """RequestQueue a request again that was not sent, or was refused: in its old turn, after `delay` seconds."""
        place = ticket.place
        if ticket.state is not RUNNING or place is None:
            return
        self._vacate(place, now)
        self._queue.rejoin(ticket, now + delay if delay > 0 else None)

    # What happens to responses.

    def place_of(self, response_id: str) -> PoolLane | None:
        """Return the lane that runs or holds a response."""
        return self._memory.place_of(response_id)

    def hold(self, place: PoolLane, response_id: str, *, stores: bool, calls: frozenset[str] = frozenset()) -> None:
        """A lane holds this response from here on, instead of the one before."""
        if not place.slot.holds or place.running is not None:
            self._memory.remember(response_id, stores=stores)
            return
        self._stop(place)
        self._clear(place)
        self._memory.hold(place, HeldResponse(response_id, stores, calls))

    def forget(self, response_id: str) -> None:
        """The server does not know a response."""
        place = self._memory.place_of(response_id)
        if place is not None:
            self._drop(place)
        self._memory.lose(response_id)

    def is_lost(self, response_id: str) -> bool:
        """Whether it is known that no connection holds this response, and no storage does."""
        return self._memory.is_lost(response_id)

    def steered(self, place: PoolLane) -> None:
        """A steer was sent for the response of a lane: another one may follow there by itself."""
        place.steers += 1
        place.slot.steers += 1

    def follows(self, place: PoolLane, response_id: str, *, stores: bool) -> None:
        """The response that follows from a steer has begun, and the lane holds the steered one no more."""
        if place.slot.state is not PoolConnectionState.GONE and place.running is None:
            self._clear(place)
            self._stop(place)
            self._memory.run(place, response_id, stores=stores)

    def settled(self, place: PoolLane, now: float) -> None:
        """Nothing more comes from a steer that was sent."""
        place.steers -= 1
        place.slot.steers -= 1
        if not place.is_taken:
            self._stop(place)
        place.slot.idle_since = now

    def limited(self, now: float, hint: float | None, *, limits: int) -> None:
        """The server is at its rate limit; `hint` are the seconds after which it wants to hear more.

        When these are too many nobody waits, as with a quota that is spent: each gets its own refusal.
        `limits` is how many there had been when what it refuses was sent.
        """
        if not self.options.backoff.is_too_long(hint):
            self.throttle.limited(now, self.active, hint, limits=limits)

    def full(self, place: PoolLane) -> None:
        """The server takes no name for another lane, such as this one, on its connection."""
        place.slot.refuse(place)

    # What to do.

    def turn(self, now: float) -> list[Action]:
        """Return what to do now, in this order; the pool counts it as done."""
        self._bury_orphans()
        self._give_up()
        while (overdue := self._queue.overdue(now)) is not None:
            self._fail(overdue, QueueTimeoutError(self._queue.timeout or 0.0, stream_id=overdue.lane))
        self._queue.wake(now)
        opens = True
        while opens:  # another one may have had to go for it
            for slot in self._roster.look(now):
                self._drop_all(slot)
            self._route_arrivals()
            self._send(now)
            self._refuse_excess()
            opens = self._open(now)
        for slot in self._roster.close_drained():
            self._drop_all(slot)
        actions = [*self._actions, *self._roster.actions]
        self._actions.clear()
        self._roster.actions.clear()
        return actions

    def deadline(self, now: float) -> float | None:
        """Return when to take the next turn if nothing happens before, `None` for never."""
        times = [self._queue.deadline(), self._roster.deadline(now)]
        if now < self.throttle.resumes_at:
            times.append(self.throttle.resumes_at)
        retries_at = self.retries_at(now)
        if retries_at is not None:
            times.append(retries_at)
        earliest = min(times)
        return earliest if earliest < math.inf else None

    def connect_error(self) -> Exception | None:
        """Return why the latest connection could not be made, `None` when none is missing for that."""
        return self._roster.connect_error()

    def retries_at(self, now: float) -> float | None:
        """Return when the next connection is tried that is wanted now, after one failed; `None` for no wait."""
        return self._roster.retries_at(now, self._queue.free)

    # Ends.

    def _fail(self, ticket: PoolRequest, error: Exception) -> None:
        """Fail a request that waits."""
        self._actions.append(Fail(ticket, error))
        self._over(ticket)

    def _over(self, ticket: PoolRequest) -> None:
        self.in_progress(ticket)
        self._queue.end(ticket)

    def _bury_orphans(self) -> None:
        """Let nobody wait for what ran on a connection that is gone."""
        for ticket in self._orphans:
            if ticket.state is RUNNING:
                self._over(ticket)
        self._orphans.clear()

    def _give_up(self) -> None:
        """Fail what has waited for connections that cannot be made."""
        for route, error, number in self._hopeless:
            for ticket in () if self._roster.is_open(route) else self.waiting():
                if ticket.route == route and ticket.number <= number and ticket.place is ticket.source is None:
                    own = copy.copy(error)
                    if isinstance(own, RequestError):
                        own.stream_id = ticket.lane
                    own.__cause__ = error.__cause__
                    self._fail(ticket, own)
        self._hopeless.clear()

    def _refuse_excess(self) -> None:
        """Fail what came when too many waited: only now it is known who of them did not have to."""
        for ticket in self._queue.excess():
            message = (
                f"{self.options.max_queued} requests wait in this client already (`max_queued`), so this one was not "
                "taken: send fewer at once, or allow more connections"
            )
            self._fail(ticket, QueueFullError(message, delivery="not_sent", stream_id=ticket.lane))

    # Routing.

    def _route_arrivals(self) -> None:
        for ticket in self._queue.arrivals():
            self.in_progress(ticket)
            self._route(ticket)

    def _route(self, ticket: PoolRequest) -> None:
        """Let a request wait where it can run."""
        parent = ticket.parent
        if parent is None or ticket.replays:
            self._queue.put_free(ticket)
            return
        place = self._memory.place_of(parent)
        if place is not None and place.running_id == parent:
            ticket.place = place
            self._queue.put(ticket, place.children, ticket.number)
            return
        if place is None or place.held is None:
            stored = self._memory.is_stored(parent, guess=ticket.stores)
        else:
            stored = place.held.stores
            missing = frozenset() if ticket.answers is None else place.held.calls - ticket.answers
            if missing:
                self._fail(ticket, _unanswered_error(ticket, missing))
                return
        if stored:
            self._queue.put_free(ticket)
        elif place is not None and _serves(place, ticket):
            self._bind(ticket, place)
        elif ticket.has_history:
            ticket.replays = True
            self._queue.put_free(ticket)
        else:
            self._fail(ticket, lost_error(parent, ticket.lane, "or pass `history`, for the client to do it"))

    def _bind(self, ticket: PoolRequest, place: PoolLane) -> None:
        """Let a request wait for the lane that holds its parent, or for another one on the same connection.

        The lane itself is for one continuation; a second one, or one from another conversation, is a fork.
        """
        ticket.place = place
        if self.lanes is False or (not place.heirs and ticket.lane in (None, place.lane)):
            place.slot.awaited[place] = None
            self._queue.put(ticket, place.heirs, ticket.number)
            return
        ticket.source = place
        place.forks[ticket] = None
        # The lane waits for its forks, so they go no later than it would.
        self._queue.put(ticket, place.slot.forks, min(ticket.number, place.heirs.next_turn))

    # Sending.

    def _send(self, now: float) -> None:
        """Send what may be sent, the oldest first."""
        while self.throttle.allows(now, self.active):
            offer = min(self._offers(), key=lambda offer: offer[0], default=None)
            if offer is None:
                return
            self._start(*offer[1:])
            self._route_arrivals()

    def _offers(self) -> Iterator[tuple[float, PoolRequest, PoolLane]]:
        """Return the first of each queue, if it may run now, with its turn and its lane."""
        for slot in self.slots:
            if (slot.awaited or slot.forks) and self._roster.has_room(slot):
                for place in tuple(slot.awaited):
                    heir = place.heirs.first()
                    if heir is None:
                        del slot.awaited[place]
                    elif place.is_idle:
                        yield place.heirs.next_turn, heir, place
                fork = slot.forks.first()
                if fork is not None:
                    lane = slot.free_place(lanes=self.lanes) or self._own_lane(fork)
                    if lane is not None:
                        yield slot.forks.next_turn, fork, lane
        for queue in self._queue.free.values():
            ticket = queue.first()
            lane = None if ticket is None else self._lane_for(ticket)
            if ticket is not None and lane is not None:
                yield queue.next_turn, ticket, lane

    def _own_lane(self, fork: PoolRequest) -> PoolLane | None:
        """Return the lane that holds the parent of a fork, if it must do because each lane waits for a fork."""
        place = fork.source
        return None if place is None or place.slot.load else place

    def _lane_for(self, ticket: PoolRequest) -> PoolLane | None:
        """Return where a request that may run anywhere runs best, `None` if it has to wait."""
        place = None if ticket.parent is None or ticket.replays else self._memory.place_of(ticket.parent)
        if place is not None and place.is_free and _serves(place, ticket) and self._roster.takes_new(place.slot):
            return place
        return self._roster.place_for(ticket.route)

    def _start(self, ticket: PoolRequest, place: PoolLane) -> None:
        slot = place.slot
        self._queue.start(ticket)
        ticket.place = place
        ticket.limits = self.throttle.limits
        before = place.held
        self._clear(place)
        place.before = before
        place.lane, place.running, place.running_stores = ticket.lane, ticket, ticket.stores
        slot.use(place)
        slot.active += 1
        self._actions.append(Send(ticket))

    def _vacate(self, place: PoolLane, now: float) -> None:
        place.running = None
        place.slot.active -= 1
        place.slot.idle_since = now
        self._stop(place)

    def _open(self, now: float) -> bool:
        """Open connections for those who wait, and spare ones; return whether there are any."""
        before = len(self._roster.actions)
        may_run = self.throttle.limit - self.active if self.throttle.allows(now, 0) else 0
        routes = sorted(self._queue.free, key=lambda route: self._queue.free[route].next_turn)
        for route in routes:
            self._roster.open_for(route, min(len(self._queue.free[route]), may_run), now)
        self._roster.keep_warm(now)
        return len(self._roster.actions) > before

    # Responses.

    def _stop(self, place: PoolLane) -> None:
        """The response that runs on a lane is over."""
        self._memory.stop(place)
        for child in place.children:
            self._queue.move(child)

    def _drop(self, place: PoolLane) -> None:
        """A lane holds its response no more."""
        self._memory.drop(place)
        for heir in place.heirs:
            self._queue.move(heir)
        for fork in tuple(place.forks):
            if fork.queue is place.slot.forks:
                self._queue.move(fork)
            if fork.state is WAITING:
                self.in_progress(fork)

    def _clear(self, place: PoolLane) -> None:
        """A lane goes on, and loses what it held; without lanes it is all that its connection held."""
        if self.lanes is False:
            self._drop_all(place.slot)
        else:
            self._drop(place)

    def _drop_all(self, slot: PoolConnection) -> None:
        for place in slot.places.values():
            self._drop(place)


def _serves(place: PoolLane, ticket: PoolRequest) -> bool:
    """Whether a request may go to the connection of this lane: what serves one model cannot serve another."""
    return ticket.route in (None, place.slot.route)


def _unanswered_error(ticket: PoolRequest, calls: frozenset[str]) -> InvalidRequestError:
    return InvalidRequestError(
        f"the response {ticket.parent!r} waits for the outputs of its function calls, and the input has none for: "
        f"{', '.join(sorted(calls))}; nothing was sent: add a `function_result` for each",
        field="input",
    )
