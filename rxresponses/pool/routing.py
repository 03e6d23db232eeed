"""Where a request may run: routing of continuations to the lanes that hold their parents."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ..errors import InvalidRequestError, QueueFullError, RequestError
from .actions import Action, FailRequest
from .connections import PoolConnections, Route
from .lanes import HeldResponse, PoolConnection, PoolLane, PoolRequest, PoolRequestState
from .ordering import RequestHeap
from .queue import RequestQueue
from .responses import ResponseLocations, lost_error


class GivenUp(NamedTuple):
    """A connection that could not be made: the error, and the latest request that waited for such a connection."""

    route: Route
    error: Exception
    latest_number: int


class RequestRouter:
    """Decides for each request in the queue which lanes may run it, and lets it wait there.

    A continuation of a stored response runs wherever there is room, since the server can load the response; best on
    the lane that holds it.  A continuation of an unstored response runs only on the connection that holds it: on the
    same lane, or, as a fork, on another one.  What happens to a response moves the requests that wait for it.
    """

    def __init__(self, queue: RequestQueue, connections: PoolConnections, actions: list[Action]) -> None:
        self.locations = ResponseLocations()
        self._queue = queue
        self._connections = connections
        self._actions = actions
        # The connections with a request that waits for one of their lanes and may run now, by its priority.
        self._ready: RequestHeap[PoolConnection] = RequestHeap()
        self._ready_requests: dict[PoolConnection, tuple[PoolRequest, PoolLane]] = {}

    # Requests.

    def route_all(self) -> None:
        """Route the requests that are to be routed, also those whose turn comes because others fail."""
        for request in self._queue.to_route():
            self.release_parent(request)
            self._route(request)

    def fail(self, request: PoolRequest, error: Exception) -> None:
        """Fail a request that waits."""
        self._actions.append(FailRequest(request, error))
        self.end(request)

    def fail_without_connection(self, given_up: Iterable[GivenUp]) -> None:
        """Fail the requests that have waited for connections that cannot be made."""
        for route, error, latest_number in given_up:
            for request in () if self._connections.is_open(route) else self._queue.in_order():
                needs_any = request.route == route and request.lane is request.parent_lane is None
                if needs_any and request.number <= latest_number:
                    own = copy.copy(error)
                    if isinstance(own, RequestError):
                        own.stream_id = request.stream_id
                    own.__cause__ = error.__cause__
                    self.fail(request, own)

    def fail_excess(self) -> None:
        """Fail the requests that are too many; those that could be sent at once did not have to wait."""
        for request in self._queue.excess():
            message = (
                f"{self._queue.max_waiting} requests wait in this client already (`max_queued`), so this one was not "
                "taken: send fewer at once, or allow more connections"
            )
            self.fail(request, QueueFullError(message, delivery="not_sent", stream_id=request.stream_id))

    def end(self, request: PoolRequest) -> None:
        """Mark a request as ended, so that no other request waits for it."""
        self.release_parent(request)
        self._queue.end(request)

    def release_parent(self, request: PoolRequest) -> None:
        """Let the lane that holds the parent of a fork run its next request: the fork does not need it any more."""
        if request.parent_lane is not None:
            request.parent_lane.forks.pop(request, None)
            request.parent_lane.connection.mark_changed()
            request.parent_lane = None

    def _route(self, request: PoolRequest) -> None:
        """Let a request wait where it can run, or fail it."""
        parent_id = request.parent_id
        if parent_id is None or request.sends_history:
            self._queue.wait_for_any_lane(request)
            return
        lane = self.locations.lane_of(parent_id)
        if lane is not None and lane.running_response_id == parent_id:
            request.lane = lane
            self._queue.wait_in(lane.continuations_of_running, request, request.number)
            return
        if lane is None or lane.held is None:
            stored = self.locations.is_stored(parent_id, guess=request.stores)
        else:
            stored = lane.held.stored
            missing = frozenset() if request.answered_calls is None else lane.held.open_calls - request.answered_calls
            if missing:
                self.fail(request, _missing_outputs_error(request, missing))
                return
        if stored:
            self._queue.wait_for_any_lane(request)
        elif lane is not None and _serves(lane, request):
            self._wait_for_parent(request, lane)
        elif request.has_history:
            request.sends_history = True
            self._queue.wait_for_any_lane(request)
        else:
            self.fail(request, lost_error(parent_id, request.stream_id, "or pass `history`, for the client to do it"))

    def _wait_for_parent(self, request: PoolRequest, lane: PoolLane) -> None:
        """Let a request wait for the lane that holds its parent, or, as a fork, for another lane of the connection.

        The lane itself is for one continuation of its own conversation.  All others are forks.
        """
        request.lane = lane
        lane.connection.mark_changed()
        is_own = request.stream_id in (None, lane.stream_id)
        if self._connections.has_lanes is False or (is_own and not lane.continuations_of_held):
            lane.connection.awaited_lanes[lane] = None
            self._queue.wait_in(lane.continuations_of_held, request, request.number)
            return
        request.parent_lane = lane
        lane.forks[request] = None
        # The lane waits for its forks, so they go no later than the continuation that waits for the lane.
        priority = min(request.number, lane.continuations_of_held.first_priority)
        self._queue.wait_in(lane.connection.waiting_forks, request, priority)

    # Lanes.

    def candidates(self) -> Iterator[tuple[float, PoolRequest, PoolLane]]:
        """Yield the first request of each route and of the connections, if a lane is ready to run it.

        Each one is yielded as (priority, request, lane).
        """
        for changed in self._connections.take_to_route():
            self._find_ready(changed)
        connection = self._ready.first()
        if connection is not None:
            yield self._ready.first_priority, *self._ready_requests[connection]
        for heap in self._queue.by_route.values():
            request = heap.first()
            lane = None if request is None else self._best_lane_for(request)
            if request is not None and lane is not None:
                yield heap.first_priority, request, lane

    def _find_ready(self, connection: PoolConnection) -> None:
        """Find the request that waits for a lane of a connection and may run there now."""
        found = None
        if (connection.awaited_lanes or connection.waiting_forks) and self._connections.has_room(connection):
            found = min(self._candidates_on(connection), key=lambda candidate: candidate[0], default=None)
        if found is None:
            self._ready.put(connection, None)
            self._ready_requests.pop(connection, None)
        else:
            self._ready.put(connection, found[0])
            self._ready_requests[connection] = found[1:]

    def _candidates_on(self, connection: PoolConnection) -> Iterator[tuple[float, PoolRequest, PoolLane]]:
        """Yield the first requests of the heaps of a connection."""
        for lane in tuple(connection.awaited_lanes):
            request = lane.continuations_of_held.first()
            if request is None:
                del connection.awaited_lanes[lane]
            elif lane.is_idle:
                yield lane.continuations_of_held.first_priority, request, lane
        fork = connection.waiting_forks.first()
        if fork is not None:
            free = connection.free_lane(has_lanes=self._connections.has_lanes) or self._last_resort_for(fork)
            if free is not None:
                yield connection.waiting_forks.first_priority, fork, free

    def _last_resort_for(self, fork: PoolRequest) -> PoolLane | None:
        """Return the lane that holds the parent of a fork if nothing runs: then each lane waits for a fork."""
        lane = fork.parent_lane
        return None if lane is None or lane.connection.load else lane

    def _best_lane_for(self, request: PoolRequest) -> PoolLane | None:
        """Return the best lane for a request that may run on any lane, `None` if it has to wait."""
        if request.parent_id is not None and not request.sends_history:
            lane = self.locations.lane_of(request.parent_id)
            if (
                lane is not None
                and lane.is_free
                and _serves(lane, request)
                and self._connections.accepts_new(lane.connection)
            ):
                return lane
        return self._connections.lane_for(request.route)

    # Responses.

    def hold(self, lane: PoolLane, response: HeldResponse) -> None:
        """Note that a lane holds this response from now on, in place of the one before."""
        self.stop(lane)
        self.clear(lane)
        self.locations.hold(lane, response)

    def stop(self, lane: PoolLane) -> None:
        """Note that the response that runs on a lane has ended."""
        self.locations.stop(lane)
        for request in lane.continuations_of_running:
            self._queue.reroute(request)

    def drop(self, lane: PoolLane) -> None:
        """Note that a lane holds no response any more."""
        self.locations.drop(lane)
        for request in lane.continuations_of_held:
            self._queue.reroute(request)
        for fork in tuple(lane.forks):
            if fork.heap is lane.connection.waiting_forks:
                self._queue.reroute(fork)
            if fork.state is PoolRequestState.WAITING:
                self.release_parent(fork)

    def drop_all(self, connection: PoolConnection) -> None:
        """Note that the lanes of a connection hold no responses any more."""
        for lane in connection.lanes.values():
            self.drop(lane)

    def clear(self, lane: PoolLane) -> None:
        """Note that a lane runs its next response, which costs it the held one.

        Where the server has no lanes, the connection loses all the responses that it held.
        """
        if self._connections.has_lanes is False:
            self.drop_all(lane.connection)
        else:
            self.drop(lane)

    def only_one_lane(self, connection: PoolConnection) -> None:
        """Keep only the lane used last: the server has no lanes, so they all were the same lane."""
        for lane in tuple(connection.lanes.values())[:-1]:
            self.drop(lane)
        for fork in connection.waiting_forks:
            self._queue.reroute(fork)  # there is no other lane for it


def _serves(lane: PoolLane, request: PoolRequest) -> bool:
    """Whether a request may run on the connection of a lane: that of one model cannot serve another model."""
    return request.route in (None, lane.connection.route)


def _missing_outputs_error(request: PoolRequest, calls: frozenset[str]) -> InvalidRequestError:
    return InvalidRequestError(
        f"the response {request.parent_id!r} waits for the outputs of its function calls, and the input has none for: "
        f"{', '.join(sorted(calls))}; nothing was sent: add a `function_result` for each",
        field="input",
    )
