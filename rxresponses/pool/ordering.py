"""The order of requests: by priority, and one after the other on a lane."""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Numbered(Protocol):
    """What `RequestHeap` needs to know of a request: a number of its own."""

    number: int


class OrderedRequest(Numbered, Protocol):
    """What `LaneOrder` needs to know of a request."""

    stream_id: str | None


N = TypeVar("N", bound=Numbered)
R = TypeVar("R", bound=OrderedRequest)

# A heap of so few entries is not worth rebuilding.
_SMALL = 64


class RequestHeap(Generic[N]):
    """Requests, or connections, by priority, the lowest number first.

    A priority is a request's `number`, or a point in time.  Any request may leave at any time.  The heap drops its
    entry later, but in time: entries of requests that come and go while another one waits do not add up.
    """

    __slots__ = ("_heap", "_requests")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int]] = []  # with entries of requests that have left
        self._requests: dict[int, tuple[float, N]] = {}  # by their numbers

    def __len__(self) -> int:
        return len(self._requests)

    def __iter__(self) -> Iterator[N]:
        """Iterate in no particular order."""
        return iter([request for _, request in self._requests.values()])

    def add(self, request: N, priority: float) -> None:
        """Add a request; among equal priorities the older request comes first."""
        self._requests[request.number] = priority, request
        heapq.heappush(self._heap, (priority, request.number))

    def remove(self, request: N) -> None:
        """Remove a request, if it is here."""
        self._requests.pop(request.number, None)
        if len(self._heap) > 2 * len(self._requests) + _SMALL:
            self._heap = sorted((priority, number) for number, (priority, _) in self._requests.items())

    def put(self, request: N, priority: float | None) -> None:
        """Give a request this priority; `None` removes it."""
        found = self._requests.get(request.number)
        if (None if found is None else found[0]) != priority:
            self.remove(request)
            if priority is not None:
                self.add(request, priority)

    def first(self) -> N | None:
        """Return the first request, `None` when there is none."""
        while self._heap:
            priority, number = self._heap[0]
            found = self._requests.get(number)
            if found is not None and found[0] == priority:
                return found[1]
            heapq.heappop(self._heap)
        return None

    @property
    def first_priority(self) -> float:
        """The priority of the first request, infinity when there is none."""
        return math.inf if self.first() is None else self._heap[0][0]

    def due(self, now: float) -> N | None:
        """Return the first request if its point in time has come, else `None`."""
        return self.first() if self.first_priority <= now else None


class LaneOrder(Generic[R]):
    """Requests with the same `stream_id` run one after the other: only the first one may be routed and sent."""

    def __init__(self) -> None:
        # Ordered dictionaries: in a plain one, finding the first entry takes longer the more entries have left.
        self._lanes: dict[str, OrderedDict[R, None]] = {}

    def join(self, request: R) -> bool:
        """Put a request behind the others of its lane; return whether it is the first one."""
        if request.stream_id is None:
            return True
        lane = self._lanes.setdefault(request.stream_id, OrderedDict())
        lane[request] = None
        return len(lane) == 1

    def leave(self, request: R) -> R | None:
        """Take a request out; return the next request of its lane if that waited for this one."""
        lane = None if request.stream_id is None else self._lanes.get(request.stream_id)
        if request.stream_id is None or lane is None or request not in lane:
            return None
        was_first = next(iter(lane)) is request
        del lane[request]
        if not lane:
            del self._lanes[request.stream_id]
            return None
        return next(iter(lane)) if was_first else None
