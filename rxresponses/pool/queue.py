"""The requests of a client that are not on a connection."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from .lanes import PoolRequest, PoolRequestState
from .ordering import LaneOrder, RequestHeap


class RequestQueue:
    """The requests that wait: how many, for how long, and in which order.  The router decides where each one waits.

    At most `max_waiting` requests stay in the queue, each for at most `timeout` seconds before it is sent.
    """

    def __init__(self, max_waiting: int, timeout: float | None) -> None:
        self.timeout = timeout
        self.by_route: dict[str | None, RequestHeap[PoolRequest]] = {}  # may run on any lane of their route
        self.latest_number = 0
        self.max_waiting = max_waiting
        self._waiting: dict[PoolRequest, None] = {}
        self._lane_order: LaneOrder[PoolRequest] = LaneOrder()
        self._deadlines: RequestHeap[PoolRequest] = RequestHeap()  # by `request.deadline`
        self._delayed: RequestHeap[PoolRequest] = RequestHeap()  # by the time when they may be routed
        self._to_route: deque[PoolRequest] = deque()
        self._new: list[PoolRequest] = []  # added since the last call of `excess`

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[PoolRequest]:
        """Iterate in no particular order."""
        return iter(self._waiting)

    def in_order(self) -> list[PoolRequest]:
        """Return the requests in the order of their arrival."""
        return sorted(self._waiting, key=lambda request: request.number)

    def add(self, request: PoolRequest, now: float) -> None:
        """Add a new request."""
        self._new.append(request)
        self.latest_number += 1
        request.number = self.latest_number
        if self.timeout is not None:
            request.deadline = now + self.timeout
        self._wait(request)
        if self._lane_order.join(request):
            self._to_route.append(request)

    def add_again(self, request: PoolRequest, not_before: float | None = None) -> None:
        """Add a request that has run; it keeps its number, so it goes before all that came later."""
        request.lane = None
        self._wait(request)
        if not_before is None:
            self._to_route.append(request)
        else:
            self.wait_in(self._delayed, request, not_before)

    def excess(self) -> Iterator[PoolRequest]:
        """Yield the new requests that are too many, the latest first.

        New are those since the last call.  The caller has to end each request before it takes the next one.
        """
        new, self._new = self._new, []
        while new and len(self) > self.max_waiting:
            request = new.pop()
            if request.state is PoolRequestState.WAITING:
                yield request

    def to_route(self) -> Iterator[PoolRequest]:
        """Yield the requests that must be told where to wait, also those that are added meanwhile.

        This is a loop, so that a long lane of requests that all fail does not become a deep recursion.
        """
        while self._to_route:
            request = self._to_route.popleft()
            if request.state is PoolRequestState.WAITING:
                yield request

    def wait_in(self, heap: RequestHeap[PoolRequest], request: PoolRequest, priority: float) -> None:
        """Let a request wait in this heap."""
        request.heap = heap
        heap.add(request, priority)

    def wait_for_any_lane(self, request: PoolRequest) -> None:
        """Let a request wait for any lane on its route."""
        self.wait_in(self.by_route.setdefault(request.route, RequestHeap()), request, request.number)

    def reroute(self, request: PoolRequest) -> None:
        """Have a waiting request routed anew."""
        self._leave_heap(request)
        self._to_route.append(request)

    def start(self, request: PoolRequest) -> None:
        """Take a request out, to run it."""
        self._stop_waiting(request)
        request.state = PoolRequestState.RUNNING

    def end(self, request: PoolRequest) -> PoolRequest | None:
        """Mark a request, which waits or runs, as ended; return the next request of its lane, which is routed then."""
        if request.state is PoolRequestState.WAITING:
            self._stop_waiting(request)
        request.state = PoolRequestState.ENDED
        following = self._lane_order.leave(request)
        if following is not None:
            self._to_route.append(following)
        return following

    def overdue(self, now: float) -> PoolRequest | None:
        """Return a request that has waited too long, `None` if there is none."""
        return self._deadlines.due(now)

    def release_delayed(self, now: float) -> None:
        """Have the delayed requests routed whose time has come."""
        while (request := self._delayed.due(now)) is not None:
            self.reroute(request)

    def deadline(self) -> float:
        """Return when the next request is overdue, or its delay is over; infinity for never."""
        return min(self._deadlines.first_priority, self._delayed.first_priority)

    def _wait(self, request: PoolRequest) -> None:
        request.state = PoolRequestState.WAITING
        self._waiting[request] = None
        if request.deadline is not None:
            self._deadlines.add(request, request.deadline)

    def _stop_waiting(self, request: PoolRequest) -> None:
        del self._waiting[request]
        self._deadlines.remove(request)
        self._leave_heap(request)

    def _leave_heap(self, request: PoolRequest) -> None:
        heap, request.heap = request.heap, None
        lane, request.lane = request.lane, None
        if lane is not None:
            lane.connection.mark_changed()  # another request may be the first one to wait there
        if heap is not None:
            heap.remove(request)
            if not heap and heap is self.by_route.get(request.route):
                del self.by_route[request.route]
