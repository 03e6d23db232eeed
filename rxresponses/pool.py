"""The rules of a client's many connections, without I/O or Rx: which request goes where, and when.

`submit` queues a request, `turn` says what to do now: send one, open or close a connection, fail
one.  Whoever drives the pool does it, and tells it what happens: `opened`, `ended`, `began`,
`finished`, `again`.  `deadline` says when to take the next turn, if nothing happens before.
Everything happens on one thread; `now` is whatever clock the caller has.

A continuation runs on the lane that holds its parent, since only there the server surely knows it;
with `store` elsewhere if it must, without `store` nowhere else.
"""

from __future__ import annotations

import copy
import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from .backoff import is_rate_limit, is_retryable, retry_after
from .errors import (
    ConnectFailedError,
    InvalidRequestError,
    PreviousResponseLostError,
    QueueFullError,
    QueueTimeoutError,
    RequestError,
)
from .options import PoolOptions
from .outage import Outage
from .places import Place, Slot, SlotState, Ticket, TicketState
from .throttle import Throttle

WAITING, RUNNING, OVER = TicketState.WAITING, TicketState.RUNNING, TicketState.OVER

# While it is not known whether the server has lanes, a burst must not open a connection for each request.
_PROBES = 4
# Ids of responses that are lost, to answer their continuations with more than a guess.
_REMEMBERED = 4096
# Of `max_age`: how long before its end the next connection is opened.
_LEAD = 0.05


@dataclass(frozen=True)
class Open:
    """Open a connection, and say `opened` or `ended`."""

    slot: Slot


@dataclass(frozen=True)
class Close:
    """Close a connection, on which nothing runs."""

    slot: Slot


@dataclass(frozen=True)
class Send:
    """Send a request on a lane of a connection; `ticket.place` is where."""

    ticket: Ticket


@dataclass(frozen=True)
class Fail:
    """Tell the sender of a request, which was not sent."""

    ticket: Ticket
    error: Exception


Action: TypeAlias = Open | Close | Send | Fail


@dataclass
class Line:
    """Requests of one lane, which run one after the other: the one whose turn it is, and who waits behind it."""

    head: Ticket
    behind: deque[Ticket]


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
        self.lanes = lanes
        self.slots: list[Slot] = []
        self.active = 0
        self.queued = 0
        self.throttle = Throttle(options.backoff, draw=draw)
        self._max_active = max_active
        self._queue_timeout = queue_timeout
        self._draw = draw
        self._outages: dict[str | None, Outage] = {}  # by route
        self._warm: dict[str | None, int] = {}  # route → how many connections to have open, work or not
        self._refused: set[str | None] = set()  # routes where none is opened until somebody asks again
        self._count = 0
        self._free: dict[str | None, list[tuple[int, Ticket]]] = {}  # may run anywhere on their route
        self._delayed: list[tuple[float, int, Ticket]] = []
        self._clocks: deque[Ticket] = deque()  # in the order of their deadlines
        self._lines: dict[str, Line] = {}
        self._ids: dict[str, Place] = {}  # response → the lane that runs or holds it
        self._lost: dict[str, None] = {}
        self._actions: list[Action] = []
        self._looks_at = math.inf  # at the connections' own times

    # What the sender wants.

    def submit(self, ticket: Ticket, now: float) -> None:
        """Queue a request; raise `QueueFullError` when too many wait."""
        if self.queued >= self.options.max_queued:
            raise QueueFullError(
                f"{self.queued} requests wait in this client already (`max_queued`), so this one was not taken: send "
                "fewer at once, or allow more connections",
                delivery="not_sent",
                stream_id=ticket.lane,
            )
        if ticket.route not in self._free:
            self._hurry(ticket.route)
        self._count += 1
        ticket.number = self._count
        if self._queue_timeout is not None:
            ticket.deadline = now + self._queue_timeout
            self._clocks.append(ticket)
        ticket.state = WAITING
        self.queued += 1
        if self.options.min_idle and not self._warm:
            self._warm[ticket.route] = self.options.min_idle
        if ticket.lane is not None:
            line = self._lines.get(ticket.lane)
            if line is not None:
                line.behind.append(ticket)
                return
            self._lines[ticket.lane] = Line(ticket, deque())
        self._route(ticket)

    def withdraw(self, ticket: Ticket) -> None:
        """Forget a request that waits; its sender wants it no more."""
        if ticket.state is WAITING:
            self._leave_queue(ticket)
            self._over(ticket)

    def prewarm(self, count: int, route: str | None) -> None:
        """Have so many connections open from now on, with work or without."""
        self._warm[route] = count
        self._hurry(route)

    def place_of(self, response_id: str) -> Place | None:
        """Return the lane that runs or holds a response."""
        return self._ids.get(response_id)

    # What happens.

    def opened(self, slot: Slot, now: float) -> None:
        """A connection is open."""
        if slot.state is not SlotState.CONNECTING:
            return
        slot.state = SlotState.OPEN
        slot.idle_since = now
        slot.expires_at = now + self.options.max_age
        slot.ages_at = slot.expires_at - self.options.max_age * (_LEAD + self.options.age_jitter * self._draw())
        if slot.route in self._outages:
            self._outages[slot.route].opened()
        self._looks_at = now

    def ended(self, slot: Slot, error: Exception | None, now: float) -> None:
        """A connection is over, or could not be made; `error` says why, `None` that this side closed it."""
        if slot.state is SlotState.GONE:
            return
        self._remove(slot)
        self._looks_at = now
        if slot.proven or error is None:
            return  # it worked, or nothing was wrong with it: no reason to wait
        hint = retry_after(error.headers) if isinstance(error, ConnectFailedError) else None
        if is_rate_limit(error):
            self.throttle.limited(now, self.active, hint)
        if not is_retryable(error) and not self._is_open(slot.route):
            # Waiting does not help, and what comes next may be another key, or another model.
            self._refused.add(slot.route)
            self._give_up(slot.route, error)
            return
        outage = self._outages.setdefault(slot.route, Outage(self.options.backoff, draw=self._draw))
        outage.failed(now, hint, slot.round)
        if len(self._outages) > _REMEMBERED:
            del self._outages[next(iter(self._outages))]
        if outage.is_over_the_limit and not self._is_open(slot.route):
            self._give_up(slot.route, error)

    def began(self, ticket: Ticket, response_id: str | None) -> None:
        """The first event of a request came, with the id of its response if it has one."""
        place = ticket.place
        if place is None or place.running is not ticket:
            return
        place.slot.proven = True
        self._outages.pop(place.slot.route, None)
        if response_id is not None:
            place.running_id = response_id
            self._ids[response_id] = place

    def in_progress(self, ticket: Ticket) -> None:
        """The server has begun: a fork has its parent, and the parent's own lane may go on."""
        if ticket.source is not None:
            ticket.source.forks.pop(ticket, None)
            ticket.source = None

    def finished(
        self, ticket: Ticket, now: float, *, response_id: str | None = None, calls: frozenset[str] = frozenset()
    ) -> None:
        """A request is over; `response_id` only if its response can be continued."""
        place = ticket.place
        if ticket.state is not RUNNING or place is None:
            return
        if response_id is not None:
            self.throttle.succeeded(self.active)
        self._vacate(ticket, now)
        if response_id is not None:
            self.hold(place, response_id, stores=ticket.stores, calls=calls)
        self._over(ticket)

    def hold(self, place: Place, response_id: str, *, stores: bool, calls: frozenset[str] = frozenset()) -> None:
        """A lane holds this response from here on, instead of the one before."""
        if place.slot.state is SlotState.GONE or place.running is not None:
            if not stores:
                self._lose(response_id)
            return
        self._leave_running(place)
        if place.latest != response_id:
            self._drop_latest(place)
        place.latest, place.stores, place.calls = response_id, stores, calls
        self._ids[response_id] = place

    def steered(self, place: Place) -> None:
        """A steer was sent for the response of a lane: another may follow there by itself."""
        place.steers += 1
        place.slot.steers += 1

    def follows(self, place: Place, response_id: str, *, stores: bool) -> None:
        """The response that follows from a steer has begun, and the lane holds the steered one no more."""
        if place.slot.state is SlotState.GONE or place.running is not None:
            return
        self._drop_latest(place)
        self._leave_running(place)
        place.running_id, place.stores = response_id, stores
        self._ids[response_id] = place

    def settled(self, place: Place, now: float) -> None:
        """Nothing more comes from a steer that was sent."""
        place.steers -= 1
        place.slot.steers -= 1
        if not place.steers and place.running is None:
            self._leave_running(place)
        self._note_idle(place.slot, now)

    def again(self, ticket: Ticket, now: float, delay: float = 0.0) -> None:
        """Queue a request again that was not sent, or was refused: in its old turn, after `delay` seconds."""
        if ticket.state is not RUNNING:
            return
        self._vacate(ticket, now)
        self.in_progress(ticket)
        ticket.state = WAITING
        ticket.place = None
        self.queued += 1
        if delay > 0:
            heapq.heappush(self._delayed, (now + delay, ticket.number, ticket))
        else:
            self._route(ticket)

    def forget(self, response_id: str) -> None:
        """The server does not know a response."""
        place = self._ids.get(response_id)
        if place is not None and place.latest == response_id:
            place.stores = False
            self._drop_latest(place)
        else:
            self._lose(response_id)

    def full(self, place: Place) -> None:
        """The server takes no name for another lane, such as this one, on its connection."""
        slot = place.slot
        if slot.places.get(place.name) is place and place.running is None:
            del slot.places[place.name]
        slot.most_names = max(1, min(slot.most_names, slot.named))

    def take_failed(self) -> list[Fail]:
        """Return what has failed since the last turn, for a caller that takes no other."""
        failed = [action for action in self._actions if isinstance(action, Fail)]
        self._actions.clear()
        return failed

    def is_lost(self, response_id: str) -> bool:
        """Whether it is known that no connection holds this response, and no storage does."""
        return response_id in self._lost

    # What to do.

    def turn(self, now: float) -> list[Action]:
        """Return what to do now, in this order; the pool counts it as done."""
        self._check_queue_clocks(now)
        self._wake_delayed(now)
        if now >= self._looks_at:
            self._look_at_ages(now)
        for slot in tuple(self.slots):
            if slot.bound:
                self._send_bound(slot, now)
        for route in tuple(self._free):
            self._send_free(route, now)
        self._open_as_needed(now)
        for slot in tuple(self.slots):
            if slot.state is SlotState.DRAINING:
                self._close_if_idle(slot, now)
        actions, self._actions = self._actions, []
        return actions

    def deadline(self, now: float) -> float | None:
        """Return when to take the next turn if nothing happens before, `None` for never."""
        times = [self._looks_at]
        while self._clocks and self._clocks[0].state is not WAITING:
            self._clocks.popleft()
        if self._clocks:
            times.append(self._clocks[0].deadline or now)
        if self._delayed:
            times.append(self._delayed[0][0])
        if self.throttle.resumes_at > now:
            times.append(self.throttle.resumes_at)
        retries_at = self.retries_at(now)
        if retries_at is not None:
            times.append(retries_at)
        earliest = min(times)
        return earliest if earliest < math.inf else None

    def retries_at(self, now: float) -> float | None:
        """Return when the next connection is tried that is wanted now, after one failed; `None` for no wait."""
        wanted = (
            outage.retries_at
            for route, outage in self._outages.items()
            if outage.retries_at > now and (route in self._free or route in self._warm)
        )
        return min(wanted, default=None)

    def waiting(self) -> list[Ticket]:
        """Return what waits, in the order in which it came."""
        found = [ticket for queue in self._free.values() for _, ticket in queue]
        found += [ticket for _, _, ticket in self._delayed]
        found += [ticket for line in self._lines.values() for ticket in line.behind]
        found += [ticket for slot in self.slots for ticket in slot.bound]
        return sorted((ticket for ticket in found if ticket.state is WAITING), key=_number)

    # Routing.

    def _route(self, ticket: Ticket) -> None:
        """Put a request whose turn it is where it can run."""
        parent = ticket.parent
        place = None if parent is None or ticket.replays else self._ids.get(parent)
        if place is not None and ticket.route not in (None, place.slot.route):
            # What serves one model cannot serve another: at best, both find what is stored.
            self._set_free_or_fail(ticket, lost=not place.keeps)
            return
        if place is None:
            lost = parent is not None and not ticket.replays and (parent in self._lost or not ticket.stores)
            self._set_free_or_fail(ticket, lost=lost)
            return
        if place.running_id != parent and place.stores and not self._has_room(place.slot):
            missing = self._unanswered(ticket, place)
            if missing:
                self._fail(ticket, _unanswered_error(ticket, missing))
            else:
                self._set_free(ticket)  # any connection can load it
            return
        if self.lanes is not False and ticket.lane is not None and ticket.lane != place.lane:
            ticket.source = place
            place.forks[ticket] = None
        ticket.place = place
        place.slot.bound.append(ticket)

    def _unanswered(self, ticket: Ticket, place: Place) -> frozenset[str]:
        """Return the calls of its parent that a continuation leaves without an answer."""
        return frozenset() if ticket.answers is None else place.calls - ticket.answers

    def _set_free_or_fail(self, ticket: Ticket, *, lost: bool) -> None:
        """Let a request run anywhere; one whose parent is lost only with the history instead of it."""
        if lost and not ticket.has_history:
            self._fail(ticket, _lost_error(ticket))
            return
        ticket.replays |= lost
        self._set_free(ticket)

    def _set_free(self, ticket: Ticket) -> None:
        heapq.heappush(self._free.setdefault(ticket.route, []), (ticket.number, ticket))

    def _has_room(self, slot: Slot) -> bool:
        return slot.state is SlotState.OPEN and slot.load < self._capacity

    @property
    def _capacity(self) -> int:
        return self._max_active if self.lanes else 1

    # Sending.

    def _send_bound(self, slot: Slot, now: float) -> None:
        may_start = slot.state is SlotState.OPEN or now < slot.expires_at
        for ticket in sorted(slot.bound, key=_number):
            place = ticket.place
            assert place is not None
            if place.running_id == ticket.parent:
                continue  # its parent is not ready
            if place.latest != ticket.parent:
                # Another continuation went first, or the parent failed.
                self._unbind(ticket)
                self._route(ticket)
                continue
            missing = self._unanswered(ticket, place)
            if missing:
                self._fail(ticket, _unanswered_error(ticket, missing))
                continue
            if not may_start or slot.load >= self._capacity or not self.throttle.allows(now, self.active):
                continue
            if ticket.source is not None:
                self._unbind(ticket)
                self._start(ticket, slot.free_place(lanes=self.lanes) or place)
            elif place.is_idle:
                self._unbind(ticket)
                self._start(ticket, place)

    def _send_free(self, route: str | None, now: float) -> None:
        queue = self._free[route]
        while queue:
            ticket = queue[0][1]
            if ticket.state is WAITING:
                slot = self._best_slot(route) if self.throttle.allows(now, self.active) else None
                if slot is None or (not slot.has_free_place(lanes=self.lanes) and self._may_grow(route, now)):
                    return  # at a full one another conversation would lose its response
                place = slot.free_place(lanes=self.lanes)
                if place is None:
                    return
                self._start(ticket, place)
            heapq.heappop(queue)
        del self._free[route]

    def _best_slot(self, route: str | None) -> Slot | None:
        """Return the connection for a new conversation: where nobody loses a response, then the fullest one."""
        best: Slot | None = None
        best_rank = (False, -1)
        for slot in self.slots:
            if slot.route == route and self._has_room(slot):
                rank = (slot.has_free_place(lanes=self.lanes), slot.active)
                if rank > best_rank:
                    best, best_rank = slot, rank
        return best

    def _start(self, ticket: Ticket, place: Place) -> None:
        self.queued -= 1
        ticket.state = RUNNING
        ticket.place = place
        self._drop_latest(place)
        place.lane, place.running, place.running_id = ticket.lane, ticket, None
        place.slot.use(place)
        place.slot.active += 1
        self.active += 1
        self._actions.append(Send(ticket))

    def _vacate(self, ticket: Ticket, now: float) -> None:
        place = ticket.place
        if place is None or place.running is not ticket:
            return
        self._leave_running(place)
        place.running = None
        place.slot.active -= 1
        self.active -= 1
        self._note_idle(place.slot, now)

    def _leave_running(self, place: Place) -> None:
        if place.running_id is not None and self._ids.get(place.running_id) is place:
            del self._ids[place.running_id]
        place.running_id = None

    def _note_idle(self, slot: Slot, now: float) -> None:
        if not slot.load:
            slot.idle_since = now
            self._looks_at = min(self._looks_at, now + self.options.close_idle_after)

    # Leaving.

    def _unbind(self, ticket: Ticket) -> None:
        if ticket.place is not None:
            ticket.place.slot.bound.remove(ticket)
            ticket.place = None

    def _leave_queue(self, ticket: Ticket) -> None:
        self._unbind(ticket)
        self.queued -= 1

    def _fail(self, ticket: Ticket, error: Exception) -> None:
        """Fail a request that waits."""
        self._leave_queue(ticket)
        self._actions.append(Fail(ticket, error))
        self._over(ticket)

    def _over(self, ticket: Ticket) -> None:
        ticket.state = OVER
        self.in_progress(ticket)
        line = None if ticket.lane is None else self._lines.get(ticket.lane)
        if ticket.lane is None or line is None or line.head is not ticket:
            return
        while line.behind:
            line.head = line.behind.popleft()
            if line.head.state is WAITING:
                self._route(line.head)
                return
        del self._lines[ticket.lane]

    def _drop_latest(self, place: Place) -> None:
        if place.latest is not None:
            if self._ids.get(place.latest) is place:
                del self._ids[place.latest]
            if not place.stores:
                self._lose(place.latest)
            place.latest, place.calls = None, frozenset()

    def _lose(self, response_id: str) -> None:
        self._lost.pop(response_id, None)
        self._lost[response_id] = None
        if len(self._lost) > _REMEMBERED:
            del self._lost[next(iter(self._lost))]

    # Clocks.

    def _check_queue_clocks(self, now: float) -> None:
        while self._clocks:
            ticket = self._clocks[0]
            if ticket.state is WAITING:
                if ticket.deadline is None or now < ticket.deadline:
                    return
                if not ticket.retries:
                    self._fail(ticket, QueueTimeoutError(self._queue_timeout or 0.0, stream_id=ticket.lane))
            self._clocks.popleft()

    def _wake_delayed(self, now: float) -> None:
        while self._delayed and now >= self._delayed[0][0]:
            ticket = heapq.heappop(self._delayed)[2]
            if ticket.state is WAITING:
                self._route(ticket)

    # Connections.

    def _open_as_needed(self, now: float) -> None:
        for route, queue in self._free.items():
            wanted = min(len(queue), self.throttle.limit - self.active) if self.throttle.allows(now, 0) else 0
            self._open_for(route, wanted, now)
        for route, count in self._warm.items():
            if route in self._refused:
                continue
            while self._live_on(route) < count and not self._is_full() and self._may_open(route, now):
                self._open(route)

    def _open_for(self, route: str | None, wanted: float, now: float) -> None:
        """Open connections for so many requests, as far as that is allowed."""
        while wanted > self._coming(route) * self._capacity and self._live_on(route) < self._most():
            if not self._may_open(route, now) or (self._is_full() and not self._retire_other(route)):
                return
            self._open(route)

    def _may_grow(self, route: str | None, now: float) -> bool:
        """Whether there will be another connection soon."""
        if self._coming(route):
            return True
        return self._live_on(route) < self._most() and not self._is_full() and self._may_open(route, now)

    def _most(self) -> int:
        """Return how many connections of one kind there may be."""
        return _PROBES if self.lanes is None else self.options.max_connections

    def _is_full(self) -> bool:
        return self._live() >= self.options.max_connections

    def _may_open(self, route: str | None, now: float) -> bool:
        outage = self._outages.get(route)
        return outage is None or outage.allows(now, self._coming(route))

    def _hurry(self, route: str | None) -> None:
        """Somebody asks for a connection who has not waited for one yet."""
        self._refused.discard(route)
        if route in self._outages:
            self._outages[route].hurry()

    def _coming(self, route: str | None) -> int:
        return sum(slot.state is SlotState.CONNECTING and slot.route == route for slot in self.slots)

    def _live(self) -> int:
        """Return how many connections there are, without those that go."""
        return sum(slot.is_live for slot in self.slots)

    def _live_on(self, route: str | None) -> int:
        return sum(slot.is_live and slot.route == route for slot in self.slots)

    def _retire_other(self, route: str | None) -> bool:
        """Make room for the first connection of a route."""
        if self._live_on(route):
            return False
        others = [slot for slot in self.slots if slot.state is SlotState.OPEN and slot.heir is None]
        if not others:
            return False
        min(others, key=lambda slot: (slot.is_precious, slot.active)).state = SlotState.DRAINING
        return True

    def _open(self, route: str | None) -> Slot:
        slot = Slot(route)
        if route in self._outages:
            slot.round = self._outages[route].round
        self.slots.append(slot)
        self._actions.append(Open(slot))
        return slot

    def _look_at_ages(self, now: float) -> None:
        """Let old connections go, and those that idle."""
        self._looks_at = math.inf
        for slot in tuple(self.slots):
            if slot.state is not SlotState.OPEN:
                continue
            if now >= slot.expires_at or (now >= slot.ages_at and self._is_replaced(slot, now)):
                slot.state = SlotState.DRAINING
                continue
            self._looks_at = min(self._looks_at, slot.ages_at if now < slot.ages_at else slot.expires_at)
            if slot.load or slot.bound or slot.is_precious:
                continue
            idle_until = slot.idle_since + self.options.close_idle_after
            if self._live_on(slot.route) <= self._warm.get(slot.route, 0):
                continue
            if now >= idle_until:
                slot.state = SlotState.DRAINING
            else:
                self._looks_at = min(self._looks_at, idle_until)

    def _is_replaced(self, slot: Slot, now: float) -> bool:
        """Whether an old connection can go without a gap; if not yet, open the one that comes after it."""
        if slot.heir is not None and slot.heir.state is SlotState.OPEN:
            return True
        if any(self._has_room(other) and now < other.ages_at and other.route == slot.route for other in self.slots):
            return True
        if not slot.load and not slot.bound and slot.route not in self._warm:
            return True
        if slot.heir is None or slot.heir.state is SlotState.GONE:
            outage = self._outages.get(slot.route)
            if self._may_open(slot.route, now):
                slot.heir = self._open(slot.route)
            elif outage is not None and outage.retries_at > now:
                self._looks_at = min(self._looks_at, outage.retries_at)
        return False

    def _close_if_idle(self, slot: Slot, now: float) -> None:
        if not slot.load and (not slot.bound or now >= slot.expires_at):
            self._remove(slot)
            self._actions.append(Close(slot))

    def _remove(self, slot: Slot) -> None:
        slot.state = SlotState.GONE
        self.slots.remove(slot)
        self.active -= slot.active
        slot.active = 0
        for place in slot.places.values():
            self._drop_latest(place)
            if place.running_id is not None and self._ids.get(place.running_id) is place and not place.keeps:
                self._lose(place.running_id)
            self._leave_running(place)
            place.running = None
        for ticket in tuple(slot.bound):
            self._unbind(ticket)
            self.in_progress(ticket)
            self._route(ticket)

    def _is_open(self, route: str | None) -> bool:
        return any(slot.state is SlotState.OPEN and slot.route == route for slot in self.slots)

    def _give_up(self, route: str | None, error: Exception) -> None:
        """Fail what waits for a connection."""
        for ticket in self.waiting():
            if ticket.route == route and ticket.state is WAITING and ticket.place is None:
                own = copy.copy(error)
                if isinstance(own, RequestError):
                    own.stream_id = ticket.lane
                own.__cause__ = error.__cause__
                self._fail(ticket, own)


def _number(ticket: Ticket) -> int:
    return ticket.number


def _lost_error(ticket: Ticket) -> PreviousResponseLostError:
    return PreviousResponseLostError(
        f"the response {ticket.parent!r}, which this request continues, is lost: it was not stored (`store=False`), "
        "and the connection that held it is gone or has moved on; nothing was sent: send the whole history as input, "
        "without previous_response_id (or pass `history`, for the client to do it)",
        previous_response_id=ticket.parent or "",
        stream_id=ticket.lane,
    )


def _unanswered_error(ticket: Ticket, calls: frozenset[str]) -> InvalidRequestError:
    return InvalidRequestError(
        f"the response {ticket.parent!r} waits for the outputs of its function calls, and the input has none for: "
        f"{', '.join(sorted(calls))}; nothing was sent: add a `function_result` for each",
        field="input",
    )
