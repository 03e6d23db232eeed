from __future__ import annotations

import math

import pytest

from rxresponses.pool.lanes import PoolConnection, PoolLane, PoolRequest, PoolRequestState
from rxresponses.pool.ordering import RequestHeap
from rxresponses.pool.queue import RequestQueue


@pytest.fixture
def queue() -> RequestQueue:
    return RequestQueue(3, 10.0)


def join(queue: RequestQueue, stream_id: str | None = None, route: str | None = None, now: float = 0.0) -> PoolRequest:
    request = PoolRequest(stream_id=stream_id, route=route)
    queue.add(request, now)
    return request


def end_excess(queue: RequestQueue) -> list[PoolRequest]:
    ended = []
    for request in queue.excess():
        queue.end(request)
        ended.append(request)
    return ended


def put_all(queue: RequestQueue) -> None:
    for request in queue.to_route():
        queue.wait_for_any_lane(request)


def test_everyone_gets_a_number_and_a_deadline(queue: RequestQueue) -> None:
    first, second = join(queue), join(queue, now=1.0)
    assert [first.number, second.number] == [1, 2]
    assert [first.deadline, second.deadline] == [10.0, 11.0]
    assert first.state is PoolRequestState.WAITING
    assert list(queue) == [first, second]
    assert queue.latest_number == 2


def test_nobody_is_overdue_without_a_timeout() -> None:
    queue = RequestQueue(1, None)
    assert join(queue).deadline is None
    assert queue.deadline() == math.inf
    assert queue.overdue(10**9) is None


def test_so_many_may_wait(queue: RequestQueue) -> None:
    first, second, third, fourth, fifth = [join(queue, stream_id="a") for _ in range(5)]
    assert end_excess(queue) == [fifth, fourth]
    assert set(queue) == {first, second, third}
    queue.end(first)
    assert list(queue.to_route()) == [second]
    join(queue)
    assert end_excess(queue) == []


def test_those_who_do_not_wait_any_more_need_no_room(queue: RequestQueue) -> None:
    started, ended, *others = [join(queue) for _ in range(5)]
    put_all(queue)
    queue.start(started)
    queue.end(ended)
    assert end_excess(queue) == []
    queue.add_again(started)  # it was let in before
    assert end_excess(queue) == []
    assert len(queue) == 4
    left = join(queue)
    queue.end(left)
    newest = join(queue)
    assert end_excess(queue) == [newest]
    assert set(queue) == {started, *others}


def test_one_of_a_lane_arrives_at_a_time(queue: RequestQueue) -> None:
    first, second = join(queue, "a"), join(queue, "a")
    assert list(queue.to_route()) == [first]
    queue.end(first)
    assert list(queue.to_route()) == [second]
    assert list(queue) == [second]


def test_one_that_left_does_not_arrive(queue: RequestQueue) -> None:
    queue.end(join(queue))
    assert list(queue.to_route()) == []


def test_those_who_arrive_meanwhile_are_seen(queue: RequestQueue) -> None:
    requests = [join(queue, "a") for _ in range(3)]
    seen = []
    for request in queue.to_route():
        seen.append(request)
        queue.end(request)
    assert seen == requests


def test_free_ones_wait_by_route_and_leave_no_empty_route(queue: RequestQueue) -> None:
    here, there = join(queue, route="x"), join(queue, route="y")
    put_all(queue)
    assert queue.by_route["x"].first() is here
    assert queue.by_route["y"].first() is there
    queue.start(here)
    assert here.state is PoolRequestState.RUNNING
    assert list(queue.by_route) == ["y"]
    queue.end(there)
    assert queue.by_route == {}
    assert len(queue) == 0


def test_whoever_moves_arrives_anew(queue: RequestQueue) -> None:
    request, heap = join(queue), RequestHeap[PoolRequest]()
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


def test_again_at_once_in_the_old_turn(queue: RequestQueue) -> None:
    first, second = join(queue), join(queue)
    put_all(queue)
    queue.start(first)
    queue.add_again(first)
    assert set(queue) == {first, second}
    put_all(queue)
    assert queue.by_route[None].first() is first


def test_again_when_it_is_due(queue: RequestQueue) -> None:
    request = join(queue)
    put_all(queue)
    queue.start(request)
    queue.add_again(request, 4.0)
    assert queue.deadline() == 4.0
    queue.release_delayed(3.9)
    assert list(queue.to_route()) == []
    queue.release_delayed(4.0)
    assert list(queue.to_route()) == [request]


def test_the_clock_stands_while_it_runs_and_then_goes_on(queue: RequestQueue) -> None:
    request = join(queue)
    queue.start(request)
    assert queue.overdue(10.0) is None
    queue.add_again(request)
    assert queue.deadline() == 10.0
    assert queue.overdue(9.9) is None
    assert queue.overdue(10.0) is request


def test_the_clock_of_one_that_the_server_has_seen_is_over(queue: RequestQueue) -> None:
    request = join(queue)
    queue.start(request)
    request.deadline = None
    queue.add_again(request)
    assert queue.overdue(10.0) is None


def test_the_lane_stays_with_whoever_waits_again(queue: RequestQueue) -> None:
    first, second = join(queue, "a"), join(queue, "a")
    put_all(queue)
    queue.start(first)
    queue.add_again(first)
    assert list(queue.to_route()) == [first]
    queue.end(first)
    assert list(queue.to_route()) == [second]
