from __future__ import annotations

import math

from rxresponses.pool.lanes import PoolRequest
from rxresponses.pool.ordering import LaneOrder, RequestHeap


def request(number: int = 0, stream_id: str | None = None) -> PoolRequest:
    one = PoolRequest(stream_id=stream_id)
    one.number = number
    return one


class TestTurns:
    def test_the_lowest_first(self) -> None:
        heap, requests = RequestHeap[PoolRequest](), [request(number) for number in range(5)]
        for one in (requests[3], requests[1], requests[4], requests[0], requests[2]):
            heap.add(one, one.number)
        order = []
        while (first := heap.first()) is not None:
            order.append(first)
            heap.remove(first)
        assert order == requests

    def test_among_equals_the_older_one(self) -> None:
        heap, young, old = RequestHeap[PoolRequest](), request(9), request(2)
        heap.add(young, 1.0)
        heap.add(old, 1.0)
        assert heap.first() is old

    def test_empty(self) -> None:
        heap: RequestHeap[PoolRequest] = RequestHeap()
        assert heap.first() is None
        assert heap.due(math.inf) is None
        assert heap.first_priority == math.inf
        assert len(heap) == 0
        assert list(heap) == []

    def test_due_when_its_turn_has_come(self) -> None:
        heap, one = RequestHeap[PoolRequest](), request()
        heap.add(one, 5.0)
        assert heap.due(4.9) is None
        assert heap.due(5.0) is one
        assert heap.first_priority == 5.0

    def test_whoever_leaves_is_passed_over(self) -> None:
        heap, first, second = RequestHeap[PoolRequest](), request(1), request(2)
        heap.add(first, 1)
        heap.add(second, 2)
        heap.remove(first)
        heap.remove(first)  # twice does no harm
        assert heap.first() is second
        assert list(heap) == [second]
        assert len(heap) == 1

    def test_whoever_comes_again_has_only_the_new_turn(self) -> None:
        heap, early, late = RequestHeap[PoolRequest](), request(1), request(2)
        heap.add(early, 1)
        heap.add(late, 5)
        heap.remove(early)
        heap.add(early, 9)
        assert heap.first() is late
        heap.remove(late)
        assert heap.first_priority == 9

    def test_those_who_come_and_go_while_one_waits_leave_nothing_behind(self) -> None:
        heap, patient = RequestHeap[PoolRequest](), request()
        heap.add(patient, 0)
        for number in range(1, 10_000):
            one = request(number)
            heap.add(one, number)
            heap.remove(one)
        assert heap.first() is patient
        assert len(heap._heap) < 100


class TestLines:
    def test_one_at_a_time(self) -> None:
        lane_order, requests = LaneOrder[PoolRequest](), [request(stream_id="a") for _ in range(3)]
        assert [lane_order.join(one) for one in requests] == [True, False, False]
        assert [lane_order.leave(one) for one in requests] == [requests[1], requests[2], None]
        assert lane_order.join(requests[0])

    def test_other_lanes_do_not_wait(self) -> None:
        lane_order: LaneOrder[PoolRequest] = LaneOrder()
        assert lane_order.join(request(stream_id="a"))
        assert lane_order.join(request(stream_id="b"))

    def test_without_a_name_nobody_waits(self) -> None:
        lane_order, one = LaneOrder[PoolRequest](), request()
        assert lane_order.join(one)
        assert lane_order.join(request())
        assert lane_order.leave(one) is None

    def test_whoever_leaves_from_within_lets_nobody_go(self) -> None:
        lane_order, requests = LaneOrder[PoolRequest](), [request(stream_id="a") for _ in range(3)]
        for one in requests:
            lane_order.join(one)
        assert lane_order.leave(requests[1]) is None
        assert lane_order.leave(requests[1]) is None  # twice does no harm
        assert lane_order.leave(requests[0]) is requests[2]

    def test_nothing_is_left_of_an_empty_line(self) -> None:
        lane_order, one = LaneOrder[PoolRequest](), request(stream_id="a")
        lane_order.join(one)
        lane_order.leave(one)
        assert lane_order._lanes == {}
        assert lane_order.leave(one) is None
