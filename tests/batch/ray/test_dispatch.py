from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from rxresponses.batch.lines import Task, task_of
from rxresponses.batch.ray.dispatch import MOST_LOSSES, Dispatch
from tests.effort import examples


def tasks(count: int) -> list[Task]:
    return [task_of(number, b'"%d"' % number, "m") for number in range(1, count + 1)]


def lines(given: list[Task]) -> list[int]:
    return [task.line for task in given]


class TestDispatch:
    def test_each_worker_gets_as_many_as_it_may_have(self) -> None:
        dispatch = Dispatch(tasks(5), 2)
        assert lines(dispatch.give("a")) == [1, 2]
        assert lines(dispatch.give("a")) == []
        assert lines(dispatch.give("b")) == [3, 4]
        assert dispatch.done("a", 2)
        assert lines(dispatch.give("a")) == [5]
        assert dispatch.has("a") == 2
        assert not dispatch.done("a", 2)
        assert not dispatch.done("a", 3)  # another worker has it
        assert not dispatch.done("c", 3)

    def test_tasks_are_taken_when_there_is_room_for_them(self) -> None:
        source = iter(tasks(5))
        Dispatch(source, 2).give("a")
        assert next(source).line == 3

    def test_what_a_lost_worker_had_is_given_first_and_in_order(self) -> None:
        dispatch = Dispatch(tasks(6), 2)
        for worker in ("a", "b"):
            dispatch.give(worker)
        assert dispatch.lose("a") == []
        assert dispatch.lose("b") == []
        assert lines(dispatch.give("c")) == [1, 2]
        assert lines(dispatch.give("d")) == [3, 4]
        assert not dispatch.done("a", 1)
        assert dispatch.done("c", 1)

    def test_a_line_that_ends_its_workers_is_given_up(self) -> None:
        dispatch = Dispatch(tasks(1), 2)
        for number in range(MOST_LOSSES - 1):
            assert lines(dispatch.give(str(number))) == [1]
            assert dispatch.lose(str(number)) == []
            assert dispatch.has_more
        dispatch.give("last")
        assert lines(dispatch.lose("last")) == [1]
        assert not dispatch.has_more
        assert not dispatch.is_busy

    def test_dropped_tasks_are_not_given_again(self) -> None:
        dispatch = Dispatch(tasks(2), 2)
        dispatch.give("a")
        assert dispatch.is_busy
        dispatch.drop("a")
        assert not dispatch.is_busy
        assert lines(dispatch.give("b")) == []
        assert not dispatch.has_more

    @settings(max_examples=examples(200))
    @given(st.integers(0, 20), st.integers(1, 4), st.data())
    def test_each_line_has_one_worker_and_one_end(self, count: int, ahead: int, data: st.DataObject) -> None:
        dispatch = Dispatch(tasks(count), ahead)
        held: dict[str, list[int]] = {name: [] for name in "abc"}
        ends: Counter[int] = Counter()
        while dispatch.has_more or dispatch.is_busy:
            worker = data.draw(st.sampled_from("abc"))
            held[worker] += lines(dispatch.give(worker))
            assert len(held[worker]) == dispatch.has(worker) <= ahead
            together = [line for some in held.values() for line in some]
            assert len(set(together)) == len(together)
            if data.draw(st.integers(0, 9)) == 0:
                held[worker] = []
                ends.update(lines(dispatch.lose(worker)))
            elif held[worker]:
                line = held[worker].pop(data.draw(st.integers(0, len(held[worker]) - 1)))
                assert dispatch.done(worker, line)
                ends[line] += 1
        assert ends == Counter(range(1, count + 1))
