"""Who is next: requests in the order of their turns, and the lanes on which they run one by one."""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Numbered(Protocol):
    """A request that waits: what `RequestHeap` and `LaneOrder` need to know of it."""

    number: int
    lane: str | None


R = TypeVar("R", bound=Numbered)

# A heap that small is not worth rebuilding.
_SMALL = 64


class RequestHeap(Generic[R]):
    """Requests by their turn, the lowest number first.

    Any of them may leave at any time, and leaves nothing behind: those who come and go while one waits
    must not add up.
    """

    __slots__ = ("_heap", "_tickets")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int]] = []  # with those that have left, until they are met
        self._tickets: dict[int, tuple[float, R]] = {}

    def __len__(self) -> int:
        return len(self._tickets)

    def __iter__(self) -> Iterator[R]:
        """In no order."""
        return iter([ticket for _, ticket in self._tickets.values()])

    def add(self, ticket: R, turn: float) -> None:
        """Let a request wait for its turn; among equals the older one goes first."""
        self._tickets[ticket.number] = turn, ticket
        heapq.heappush(self._heap, (turn, ticket.number))

    def remove(self, ticket: R) -> None:
        """Let a request go, if it is here."""
        self._tickets.pop(ticket.number, None)
        if len(self._heap) > 2 * len(self._tickets) + _SMALL:
            self._heap = sorted((turn, number) for number, (turn, _) in self._tickets.items())

    def first(self) -> R | None:
        """Return whose turn is next, `None` when nobody waits."""
        while self._heap:
            turn, number = self._heap[0]
            found = self._tickets.get(number)
            if found is not None and found[0] == turn:
                return found[1]
            heapq.heappop(self._heap)
        return None

    @property
    def next_turn(self) -> float:
        """The next turn, infinity when nobody waits."""
        return math.inf if self.first() is None else self._heap[0][0]

    def due(self, now: float) -> R | None:
        """Return whose turn is next, `None` when it has not come yet."""
        return self.first() if self.next_turn <= now else None


class LaneOrder(Generic[R]):
    """Requests of one lane, which run one after the other: only the first one in the line is under way."""

    def __init__(self) -> None:
        # Ordered dictionaries, since the first of a plain one is found the slower the more have left.
        self._lines: dict[str, OrderedDict[R, None]] = {}

    def join(self, ticket: R) -> bool:
        """Put a request into the line of its lane; return whether it may go at once."""
        if ticket.lane is None:
            return True
        line = self._lines.setdefault(ticket.lane, OrderedDict())
        line[ticket] = None
        return len(line) == 1

    def leave(self, ticket: R) -> R | None:
        """Take a request out of its line; return the one that may go now, if that was kept by this one."""
        line = None if ticket.lane is None else self._lines.get(ticket.lane)
        if ticket.lane is None or line is None or ticket not in line:
            return None
        was_first = next(iter(line)) is ticket
        del line[ticket]
        if not line:
            del self._lines[ticket.lane]
            return None
        return next(iter(line)) if was_first else None
