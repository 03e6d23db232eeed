"""The order of requests: heaps by priority, and lanes."""

from __future__ import annotations

import math

from rxresponses.pool.lanes import PoolRequest
from rxresponses.pool.ordering import LaneOrder, RequestHeap


def make(number: int = 0, stream_id: str | None = None) -> PoolRequest:
    request = PoolRequest(stream_id=stream_id)
    request.number = number
    return request


class TestRequestHeap:
    def test_the_lowest_first(self) -> None:
        heap, requests = RequestHeap[PoolRequest](), [make(number) for number in range(5)]
        for request in (requests[3], requests[1], requests[4], requests[0], requests[2]):
            heap.add(request, request.number)
        order = []
        while (first := heap.first()) is not None:
            order.append(first)
            heap.remove(first)
        assert order == requests

    def test_the_older_one_among_equals(self) -> None:
        heap, young, old = RequestHeap[PoolRequest](), make(9), make(2)
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

    def test_due_when_its_time_has_come(self) -> None:
        heap, request = RequestHeap[PoolRequest](), make()
        heap.add(request, 5.0)
        assert heap.due(4.9) is None
        assert heap.due(5.0) is request
        assert heap.first_priority == 5.0

    def test_a_removed_request_is_skipped(self) -> None:
        heap, first, second = RequestHeap[PoolRequest](), make(1), make(2)
        heap.add(first, 1)
        heap.add(second, 2)
        heap.remove(first)
        heap.remove(first)  # the second call does nothing
        assert heap.first() is second
        assert list(heap) == [second]
        assert len(heap) == 1

    def test_a_request_added_again_has_only_its_new_priority(self) -> None:
        heap, early, late = RequestHeap[PoolRequest](), make(1), make(2)
        heap.add(early, 1)
        heap.add(late, 5)
        heap.remove(early)
        heap.add(early, 9)
        assert heap.first() is late
        heap.remove(late)
        assert heap.first_priority == 9

    def test_entries_of_removed_requests_do_not_add_up(self) -> None:
        heap, patient = RequestHeap[PoolRequest](), make()
        heap.add(patient, 0)
        for number in range(1, 10_000):
            request = make(number)
            heap.add(request, number)
            heap.remove(request)
        assert heap.first() is patient
        assert len(heap._heap) < 100


class TestLaneOrder:
    def test_one_at_a_time(self) -> None:
        lane_order, requests = LaneOrder[PoolRequest](), [make(stream_id="a") for _ in range(3)]
        assert [lane_order.join(request) for request in requests] == [True, False, False]
        assert [lane_order.leave(request) for request in requests] == [requests[1], requests[2], None]
        assert lane_order.join(requests[0])

    def test_other_lanes_do_not_wait(self) -> None:
        lane_order: LaneOrder[PoolRequest] = LaneOrder()
        assert lane_order.join(make(stream_id="a"))
        assert lane_order.join(make(stream_id="b"))

    def test_requests_without_stream_id_do_not_wait(self) -> None:
        lane_order, request = LaneOrder[PoolRequest](), make()
        assert lane_order.join(request)
        assert lane_order.join(make())
        assert lane_order.leave(request) is None

    def test_a_request_that_leaves_early_releases_no_other(self) -> None:
        lane_order, requests = LaneOrder[PoolRequest](), [make(stream_id="a") for _ in range(3)]
        for request in requests:
            lane_order.join(request)
        assert lane_order.leave(requests[1]) is None
        assert lane_order.leave(requests[1]) is None  # the second call does nothing
        assert lane_order.leave(requests[0]) is requests[2]

    def test_nothing_is_left_of_an_empty_lane(self) -> None:
        lane_order, request = LaneOrder[PoolRequest](), make(stream_id="a")
        lane_order.join(request)
        lane_order.leave(request)
        assert lane_order._lanes == {}
        assert lane_order.leave(request) is None
