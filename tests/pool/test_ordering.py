from __future__ import annotations

import math

from rxresponses.pool.lanes import PoolRequest
from rxresponses.pool.ordering import LaneOrder, RequestHeap


def ticket(number: int = 0, lane: str | None = None) -> PoolRequest:
    one = PoolRequest(lane=lane)
    one.number = number
    return one


class TestTurns:
    def test_the_lowest_first(self) -> None:
        turns, tickets = RequestHeap[PoolRequest](), [ticket(number) for number in range(5)]
        for one in (tickets[3], tickets[1], tickets[4], tickets[0], tickets[2]):
            turns.add(one, one.number)
        order = []
        while (first := turns.first()) is not None:
            order.append(first)
            turns.remove(first)
        assert order == tickets

    def test_among_equals_the_older_one(self) -> None:
        turns, young, old = RequestHeap[PoolRequest](), ticket(9), ticket(2)
        turns.add(young, 1.0)
        turns.add(old, 1.0)
        assert turns.first() is old

    def test_empty(self) -> None:
        turns: RequestHeap[PoolRequest] = RequestHeap()
        assert turns.first() is None
        assert turns.due(math.inf) is None
        assert turns.next_turn == math.inf
        assert len(turns) == 0
        assert list(turns) == []

    def test_due_when_its_turn_has_come(self) -> None:
        turns, one = RequestHeap[PoolRequest](), ticket()
        turns.add(one, 5.0)
        assert turns.due(4.9) is None
        assert turns.due(5.0) is one
        assert turns.next_turn == 5.0

    def test_whoever_leaves_is_passed_over(self) -> None:
        turns, first, second = RequestHeap[PoolRequest](), ticket(1), ticket(2)
        turns.add(first, 1)
        turns.add(second, 2)
        turns.remove(first)
        turns.remove(first)  # twice does no harm
        assert turns.first() is second
        assert list(turns) == [second]
        assert len(turns) == 1

    def test_whoever_comes_again_has_only_the_new_turn(self) -> None:
        turns, early, late = RequestHeap[PoolRequest](), ticket(1), ticket(2)
        turns.add(early, 1)
        turns.add(late, 5)
        turns.remove(early)
        turns.add(early, 9)
        assert turns.first() is late
        turns.remove(late)
        assert turns.next_turn == 9

    def test_those_who_come_and_go_while_one_waits_leave_nothing_behind(self) -> None:
        turns, patient = RequestHeap[PoolRequest](), ticket()
        turns.add(patient, 0)
        for number in range(1, 10_000):
            one = ticket(number)
            turns.add(one, number)
            turns.remove(one)
        assert turns.first() is patient
        assert len(turns._heap) < 100


class TestLines:
    def test_one_at_a_time(self) -> None:
        lines, tickets = LaneOrder[PoolRequest](), [ticket(lane="a") for _ in range(3)]
        assert [lines.join(one) for one in tickets] == [True, False, False]
        assert [lines.leave(one) for one in tickets] == [tickets[1], tickets[2], None]
        assert lines.join(tickets[0])

    def test_other_lanes_do_not_wait(self) -> None:
        lines: LaneOrder[PoolRequest] = LaneOrder()
        assert lines.join(ticket(lane="a"))
        assert lines.join(ticket(lane="b"))

    def test_without_a_name_nobody_waits(self) -> None:
        lines, one = LaneOrder[PoolRequest](), ticket()
        assert lines.join(one)
        assert lines.join(ticket())
        assert lines.leave(one) is None

    def test_whoever_leaves_from_within_lets_nobody_go(self) -> None:
        lines, tickets = LaneOrder[PoolRequest](), [ticket(lane="a") for _ in range(3)]
        for one in tickets:
            lines.join(one)
        assert lines.leave(tickets[1]) is None
        assert lines.leave(tickets[1]) is None  # twice does no harm
        assert lines.leave(tickets[0]) is tickets[2]

    def test_nothing_is_left_of_an_empty_line(self) -> None:
        lines, one = LaneOrder[PoolRequest](), ticket(lane="a")
        lines.join(one)
        lines.leave(one)
        assert lines._lines == {}
        assert lines.leave(one) is None
