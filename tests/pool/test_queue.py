"""The queue of a pool by itself."""

from __future__ import annotations

import math

import pytest

from rxresponses.pool.lanes import PoolConnection, PoolLane, PoolRequest, PoolRequestState
from rxresponses.pool.ordering import RequestHeap
from rxresponses.pool.queue import RequestQueue


@pytest.fixture
def queue() -> RequestQueue:
    return RequestQueue(3, 10.0)


def add(queue: RequestQueue, stream_id: str | None = None, route: str | None = None, now: float = 0.0) -> PoolRequest:
    request = PoolRequest(stream_id=stream_id, route=route)
    queue.add(request, now)
    return request


def end_excess(queue: RequestQueue) -> list[PoolRequest]:
    ended = []
    for request in queue.excess():
        queue.end(request)
        ended.append(request)
    return ended


def route_all(queue: RequestQueue) -> None:
    for request in queue.to_route():
        queue.wait_for_any_lane(request)


def test_each_request_gets_a_number_and_a_deadline(queue: RequestQueue) -> None:
    first, second = add(queue), add(queue, now=1.0)
    assert [first.number, second.number] == [1, 2]
    assert [first.deadline, second.deadline] == [10.0, 11.0]
    assert first.state is PoolRequestState.WAITING
    assert list(queue) == [first, second]
    assert queue.latest_number == 2


def test_no_request_is_overdue_without_a_timeout() -> None:
    queue = RequestQueue(1, None)
    assert add(queue).deadline is None
    assert queue.deadline() == math.inf
    assert queue.overdue(10**9) is None


def test_new_requests_over_the_limit_are_excess(queue: RequestQueue) -> None:
    first, second, third, fourth, fifth = [add(queue, stream_id="a") for _ in range(5)]
    assert end_excess(queue) == [fifth, fourth]
    assert set(queue) == {first, second, third}
    queue.end(first)
    assert list(queue.to_route()) == [second]
    add(queue)
    assert end_excess(queue) == []


def test_requests_that_were_started_or_ended_are_no_excess(queue: RequestQueue) -> None:
    started, ended, *others = [add(queue) for _ in range(5)]
    route_all(queue)
    queue.start(started)
    queue.end(ended)
    assert end_excess(queue) == []
    queue.add_again(started)  # it is not new
    assert end_excess(queue) == []
    assert len(queue) == 4
    left = add(queue)
    queue.end(left)
    newest = add(queue)
    assert end_excess(queue) == [newest]
    assert set(queue) == {started, *others}


def test_one_request_of_a_lane_is_routed_at_a_time(queue: RequestQueue) -> None:
    first, second = add(queue, "a"), add(queue, "a")
    assert list(queue.to_route()) == [first]
    queue.end(first)
    assert list(queue.to_route()) == [second]
    assert list(queue) == [second]


def test_an_ended_request_is_not_routed(queue: RequestQueue) -> None:
    queue.end(add(queue))
    assert list(queue.to_route()) == []


def test_requests_added_while_routing_are_routed(queue: RequestQueue) -> None:
    requests = [add(queue, "a") for _ in range(3)]
    seen = []
    for request in queue.to_route():
        seen.append(request)
        queue.end(request)
    assert seen == requests


def test_requests_for_any_lane_wait_by_route_and_leave_no_empty_route(queue: RequestQueue) -> None:
    here, there = add(queue, route="x"), add(queue, route="y")
    route_all(queue)
    assert queue.by_route["x"].first() is here
    assert queue.by_route["y"].first() is there
    queue.start(here)
    assert here.state is PoolRequestState.RUNNING
    assert list(queue.by_route) == ["y"]
    queue.end(there)
    assert queue.by_route == {}
    assert len(queue) == 0


def test_a_rerouted_request_leaves_its_heap(queue: RequestQueue) -> None:
    request, heap = add(queue), RequestHeap[PoolRequest]()
    lane = PoolLane(PoolConnection(None), None)
    assert list(queue.to_route()) == [request]
    request.lane = lane
    queue.wait_in(heap, request, 5)
    assert request.heap is heap
    queue.reroute(request)
    assert request.heap is None
    assert request.lane is None
    assert len(heap) == 0
    assert list(queue.to_route()) == [request]


def test_a_request_added_again_keeps_its_position(queue: RequestQueue) -> None:
    first, second = add(queue), add(queue)
    route_all(queue)
    queue.start(first)
    queue.add_again(first)
    assert set(queue) == {first, second}
    route_all(queue)
    assert queue.by_route[None].first() is first


def test_a_request_added_again_waits_for_its_delay(queue: RequestQueue) -> None:
    request = add(queue)
    route_all(queue)
    queue.start(request)
    queue.add_again(request, 4.0)
    assert queue.deadline() == 4.0
    queue.release_delayed(3.9)
    assert list(queue.to_route()) == []
    queue.release_delayed(4.0)
    assert list(queue.to_route()) == [request]


def test_the_deadline_does_not_count_while_a_request_runs(queue: RequestQueue) -> None:
    request = add(queue)
    queue.start(request)
    assert queue.overdue(10.0) is None
    queue.add_again(request)
    assert queue.deadline() == 10.0
    assert queue.overdue(9.9) is None
    assert queue.overdue(10.0) is request


def test_a_request_without_deadline_is_never_overdue(queue: RequestQueue) -> None:
    request = add(queue)
    queue.start(request)
    request.deadline = None
    queue.add_again(request)
    assert queue.overdue(10.0) is None


def test_a_request_added_again_keeps_its_lane(queue: RequestQueue) -> None:
    first, second = add(queue, "a"), add(queue, "a")
    route_all(queue)
    queue.start(first)
    queue.add_again(first)
    assert list(queue.to_route()) == [first]
    queue.end(first)
    assert list(queue.to_route()) == [second]
