"""The requests of a client that wait: behind others of their lane, until a time, or for a lane to run on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from .lanes import PoolRequest, PoolRequestState
from .ordering import LaneOrder, RequestHeap


class RequestQueue:
    """Who waits, and whose turn on their lane it is; where these wait then is up to the pool.

    At most `most` go on waiting, each for at most `timeout` seconds before it is sent.
    """

    def __init__(self, most: int, timeout: float | None) -> None:
        self.timeout = timeout
        self.free: dict[str | None, RequestHeap[PoolRequest]] = {}  # may run anywhere on their route
        self.latest = 0  # the number of the youngest
        self._most = most
        self._waiting: dict[PoolRequest, None] = {}
        self._lines: LaneOrder[PoolRequest] = LaneOrder()
        self._clocks: RequestHeap[PoolRequest] = RequestHeap()  # by the end of their patience
        self._delayed: RequestHeap[PoolRequest] = RequestHeap()  # by when they may go on
        self._arrivals: deque[PoolRequest] = deque()
        self._new: list[PoolRequest] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[PoolRequest]:
        """In no order."""
        return iter(self._waiting)

    def join(self, ticket: PoolRequest, now: float) -> None:
        """Let a request wait."""
        self._new.append(ticket)
        self.latest += 1
        ticket.number = self.latest
        if self.timeout is not None:
            ticket.deadline = now + self.timeout
        self._wait(ticket)
        if self._lines.join(ticket):
            self._arrivals.append(ticket)

    def rejoin(self, ticket: PoolRequest, due: float | None = None) -> None:
        """Let a request wait again that has run: in its old turn, but not before it is due."""
        ticket.place = None
        self._wait(ticket)
        if due is None:
            self._arrivals.append(ticket)
        else:
            self.put(ticket, self._delayed, due)

    def excess(self) -> Iterator[PoolRequest]:
        """Return who came since this was asked last and finds too many waiting, the latest first.

        Each is to be ended before the next one is asked for.
        """
        new, self._new = self._new, []
        while new and len(self) > self._most:
            ticket = new.pop()
            if ticket.state is PoolRequestState.WAITING:
                yield ticket

    def arrivals(self) -> Iterator[PoolRequest]:
        """Return who is to be put somewhere, since its turn on its lane has come; also who arrives meanwhile.

        One after the other: a long line of requests that all fail must not become as deep a recursion.
        """
        while self._arrivals:
            ticket = self._arrivals.popleft()
            if ticket.state is PoolRequestState.WAITING:
                yield ticket

    def put(self, ticket: PoolRequest, turns: RequestHeap[PoolRequest], turn: float) -> None:
        """Let a request wait for its turn there."""
        ticket.queue = turns
        turns.add(ticket, turn)

    def put_free(self, ticket: PoolRequest) -> None:
        """Let a request wait for any lane on its route."""
        self.put(ticket, self.free.setdefault(ticket.route, RequestHeap()), ticket.number)

    def move(self, ticket: PoolRequest) -> None:
        """Let a request arrive anew that waits somewhere."""
        self._take(ticket)
        self._arrivals.append(ticket)

    def start(self, ticket: PoolRequest) -> None:
        """A request runs."""
        self._stop_waiting(ticket)
        ticket.state = PoolRequestState.RUNNING

    def end(self, ticket: PoolRequest) -> None:
        """A request is over, and lets the next one of its lane go on."""
        if ticket.state is PoolRequestState.WAITING:
            self._stop_waiting(ticket)
        ticket.state = PoolRequestState.OVER
        following = self._lines.leave(ticket)
        if following is not None:
            self._arrivals.append(following)

    def overdue(self, now: float) -> PoolRequest | None:
        """Return one that has waited too long, `None` when nobody has."""
        return self._clocks.due(now)

    def wake(self, now: float) -> None:
        """Let those go on that are due."""
        while (ticket := self._delayed.due(now)) is not None:
            self.move(ticket)

    def deadline(self) -> float:
        """Return when somebody is due or overdue, infinity for never."""
        return min(self._clocks.next_turn, self._delayed.next_turn)

    def _wait(self, ticket: PoolRequest) -> None:
        ticket.state = PoolRequestState.WAITING
        self._waiting[ticket] = None
        if ticket.deadline is not None:
            self._clocks.add(ticket, ticket.deadline)

    def _stop_waiting(self, ticket: PoolRequest) -> None:
        del self._waiting[ticket]
        self._clocks.remove(ticket)
        self._take(ticket)

    def _take(self, ticket: PoolRequest) -> None:
        turns, ticket.queue, ticket.place = ticket.queue, None, None
        if turns is not None:
            turns.remove(ticket)
            if not turns and turns is self.free.get(ticket.route):
                del self.free[ticket.route]
