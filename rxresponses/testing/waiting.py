"""The requests of one connection that wait for their lane, or for one of the other responses to end."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterator

from .journal import Exchange


class WaitingRequests:
    """A queue of requests for each lane.  Each step takes the same time, however many requests wait."""

    def __init__(self) -> None:
        self.size = 0
        """The size of all waiting requests, in bytes."""

        self._count = 0
        self._lanes: dict[str | None, deque[Exchange]] = {}  # none of them is empty

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Exchange]:
        return (exchange for lane in self._lanes.values() for exchange in lane)

    def add(self, lane: str | None, exchange: Exchange) -> None:
        """Add a request behind the others of its lane."""
        self._lanes.setdefault(lane, deque()).append(exchange)
        self._count += 1
        self.size += exchange.size

    def take(self, busy: Container[str | None]) -> tuple[str | None, Exchange] | None:
        """Remove and return the oldest request on a lane that is not `busy`, with its lane; `None` if there is none."""
        free = [lane for lane in self._lanes if lane not in busy]
        if not free:
            return None
        lane = min(free, key=lambda lane: self._lanes[lane][0].number)
        exchange = self._lanes[lane].popleft()
        if not self._lanes[lane]:
            del self._lanes[lane]
        self._count -= 1
        self.size -= exchange.size
        return lane, exchange
