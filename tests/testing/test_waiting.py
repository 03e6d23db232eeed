from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rxresponses.testing.journal import Exchange
from rxresponses.testing.waiting import WaitingRequests

LANES = [None, "a", "b"]


def exchange(number: int) -> Exchange:
    return Exchange(number, number, 1, {}, 0.0, size=number)


def test_the_oldest_request_of_a_free_lane_comes_first() -> None:
    waiting = WaitingRequests()
    for number, lane in enumerate(["a", "a", None, "b"], start=1):
        waiting.add(lane, exchange(number))
    assert (len(waiting), waiting.size) == (4, 10)
    assert [each.number for each in waiting] == [1, 2, 3, 4]
    assert waiting.take({"a", None, "b"}) is None
    taken = [waiting.take({"a"}), waiting.take(set()), waiting.take({"b"}), waiting.take(set()), waiting.take(set())]
    assert [(lane, each.number) for lane, each in filter(None, taken)] == [(None, 3), ("a", 1), ("a", 2), ("b", 4)]
    assert (len(waiting), waiting.size, list(waiting)) == (0, 0, [])


@given(actions=st.lists(st.sampled_from(LANES) | st.sets(st.sampled_from(LANES))))
def test_the_queue_does_what_a_list_would_do(actions: list[str | set[str | None] | None]) -> None:
    waiting = WaitingRequests()
    expected: list[tuple[str | None, Exchange]] = []
    for number, action in enumerate(actions, start=1):
        if isinstance(action, set):
            first = next((entry for entry in expected if entry[0] not in action), None)
            assert waiting.take(action) == first
            expected = [entry for entry in expected if entry is not first]
        else:
            waiting.add(action, exchange(number))
            expected.append((action, exchange(number)))
        assert len(waiting) == len(expected)
        assert waiting.size == sum(each.size for _, each in expected)
