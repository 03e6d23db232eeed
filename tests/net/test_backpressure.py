from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from rxresponses.net.backpressure import Backlog, ReadPause, current_valve, enter


class Calls:
    """What valves did, and the loop that they hand things over to."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.later: list[Callable[[], None]] = []
        self.from_elsewhere: list[Callable[[], None]] = []
        self.timers: list[Callable[..., Any]] = []

    def call_soon(self, callback: Callable[..., None], *args: Any) -> None:
        self.later.append(lambda: callback(*args))

    def call_soon_threadsafe(self, callback: Callable[..., None], *args: Any) -> None:
        self.from_elsewhere.append(lambda: callback(*args))

    def call_later(self, delay: float, callback: Callable[..., Any]) -> object:
        self.timers.append(callback)
        return callback

    def turn(self) -> list[str]:
        """Do what was handed over; return all that was done so far."""
        for queue in (self.from_elsewhere, self.later):
            waiting, queue[:] = queue[:], []
            for call in waiting:
                call()
        return self.log

    def valve(self) -> ReadPause:
        loop: Any = self
        return ReadPause(loop, lambda: self.log.append("pause"), lambda: self.log.append("resume"))


def elsewhere(act: Callable[..., Any], *args: object) -> Any:
    """Do it on another thread; return what it returns."""
    with ThreadPoolExecutor() as threads:
        return threads.submit(act, *args).result()


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def delivering(calls: Calls) -> Iterator[ReadPause]:
    """The valve of a connection that is delivering here."""
    valve = calls.valve()
    enter(valve)
    yield valve
    enter(None)


class TestValve:
    def test_a_consumer_that_is_gone_holds_up_nobody(self, calls: Calls) -> None:
        valve = calls.valve()
        gone = False
        valve.lag("a", lambda: gone)
        valve.lag("b")
        calls.timers.pop()()
        assert (valve.closed, len(calls.timers)) == (True, 1)  # it is still there, and looked at again
        valve.catch_up("b")
        gone = True
        calls.timers.pop()()
        assert (valve.closed, calls.timers, calls.turn()) == (False, [], ["pause", "resume"])

    def test_of_one_that_cannot_tell_nobody_asks(self, calls: Calls) -> None:
        valve = calls.valve()
        valve.lag("a")
        assert calls.timers == []

    def test_a_consumer_that_lags_pauses_until_it_caught_up(self, calls: Calls) -> None:
        valve = calls.valve()
        assert (valve.closed, valve.pauses) == (False, 0)
        valve.lag("a")
        assert (valve.closed, valve.pauses, calls.log) == (True, 1, ["pause"])
        valve.catch_up("a")
        assert (valve.closed, valve.pauses, calls.turn()) == (False, 1, ["pause", "resume"])
        valve.lag("a")
        assert (valve.closed, valve.pauses) == (True, 2)

    def test_it_does_not_go_on_from_within_the_consumer(self, calls: Calls) -> None:
        """To go on means to deliver what was held back, to the consumer that is just taking something."""
        valve = calls.valve()
        valve.lag("a")
        valve.catch_up("a")
        assert calls.log == ["pause"]
        assert calls.turn() == ["pause", "resume"]

    def test_it_does_not_go_on_when_it_was_closed_again_in_between(self, calls: Calls) -> None:
        valve = calls.valve()
        valve.lag("a")
        valve.catch_up("a")
        valve.lag("b")
        assert calls.turn() == ["pause", "pause"]
        assert (valve.closed, valve.pauses) == (True, 2)
        valve.catch_up("b")
        assert calls.turn() == ["pause", "pause", "resume"]

    def test_saying_it_twice_changes_nothing(self, calls: Calls) -> None:
        valve = calls.valve()
        valve.lag("a")
        valve.lag("a")
        assert (valve.pauses, calls.log) == (1, ["pause"])
        valve.catch_up("a")
        valve.catch_up("a")
        assert calls.turn() == ["pause", "resume"]

    def test_who_never_lagged_can_catch_up(self, calls: Calls) -> None:
        valve = calls.valve()
        valve.catch_up("a")
        assert (valve.closed, calls.turn()) == (False, [])

    def test_the_last_of_several_consumers_opens(self, calls: Calls) -> None:
        valve = calls.valve()
        valve.lag("a")
        valve.lag("b")
        valve.catch_up("a")
        assert valve.closed
        valve.catch_up("b")
        assert (valve.closed, calls.turn()) == (False, ["pause", "resume"])

    def test_in_a_crowd_nobody_is_paused(self, calls: Calls) -> None:
        valve = calls.valve()
        valve.crowd(True)
        valve.lag("a")
        assert (valve.closed, calls.turn()) == (False, [])
        valve.crowd(False)  # the others have ended, and it lags still
        assert (valve.closed, valve.pauses, calls.turn()) == (True, 1, ["pause"])
        valve.crowd(True)
        assert (valve.closed, calls.turn()) == (False, ["pause", "resume"])
        valve.catch_up("a")
        valve.crowd(False)
        assert (valve.closed, calls.turn()) == (False, ["pause", "resume"])

    def test_the_same_crowd_twice_changes_nothing(self, calls: Calls) -> None:
        valve = calls.valve()
        valve.lag("a")
        valve.crowd(False)
        valve.crowd(True)
        valve.crowd(True)
        assert (valve.pauses, calls.turn()) == (1, ["pause", "resume"])

    def test_from_another_thread_it_is_handed_to_the_loop(self, calls: Calls) -> None:
        valve = calls.valve()
        elsewhere(valve.lag, "a")
        assert (valve.closed, calls.log) == (False, [])  # nothing happens over there
        assert calls.turn() == ["pause"]
        elsewhere(valve.catch_up, "a")
        assert calls.turn() == ["pause", "resume"]

    def test_a_closed_loop_has_nobody_to_tell(self) -> None:
        """The consumer must not suffer from a connection that is gone."""
        loop = asyncio.new_event_loop()
        log: list[str] = []
        valve = ReadPause(loop, lambda: log.append("pause"), lambda: log.append("resume"))
        loop.close()
        elsewhere(valve.lag, "a")
        elsewhere(valve.catch_up, "a")
        assert log == []

    def test_on_a_real_loop(self) -> None:
        async def main() -> None:
            paused, resumed = asyncio.Event(), asyncio.Event()
            valve = ReadPause(asyncio.get_running_loop(), paused.set, resumed.set)
            await asyncio.to_thread(valve.lag, "a")
            await asyncio.wait_for(paused.wait(), 10)
            await asyncio.to_thread(valve.catch_up, "a")
            await asyncio.wait_for(resumed.wait(), 10)

        asyncio.run(main())


def test_who_delivers_is_known_on_its_thread_only(calls: Calls) -> None:
    one, other = calls.valve(), calls.valve()
    assert current_valve() is None
    assert enter(one) is None
    assert current_valve() is one
    assert enter(other) is one  # one delivery inside another
    assert current_valve() is other
    assert elsewhere(current_valve) is None
    assert enter(one) is other
    assert enter(None) is one
    assert current_valve() is None


class TestBacklog:
    def test_it_has_room_up_to_its_limit(self) -> None:
        backlog = Backlog(3)
        assert [backlog.add() for _ in range(4)] == [True, True, True, False]
        backlog.remove()
        assert [backlog.add(), backlog.add()] == [True, False]

    def test_sizes_count(self) -> None:
        backlog = Backlog(100)
        assert backlog.add(60)
        assert not backlog.add(41)
        assert backlog.add(40)
        backlog.remove(60)
        assert backlog.add(60)
        assert not backlog.add(1)

    def test_what_is_alone_fits_however_large(self) -> None:
        backlog = Backlog(10)
        assert backlog.add(1000)
        assert not backlog.add(1)
        backlog.remove(1000)
        assert backlog.add(1)
        assert not backlog.add(1000)

    def test_more_than_half_full_it_closes_the_valve(self, calls: Calls, delivering: ReadPause) -> None:
        backlog = Backlog(8)
        for _ in range(4):
            assert backlog.add()
        assert not delivering.closed
        for _ in range(3):
            assert backlog.add()
        assert (delivering.closed, delivering.pauses) == (True, 1)

    def test_a_quarter_full_it_opens_it_again(self, calls: Calls, delivering: ReadPause) -> None:
        backlog = Backlog(8)
        for _ in range(8):
            backlog.add()
        for _ in range(5):
            backlog.remove()
        assert delivering.closed
        backlog.remove()
        assert not delivering.closed
        for _ in range(3):
            backlog.add()
        assert (delivering.closed, delivering.pauses) == (True, 2)

    def test_one_that_holds_one_thing(self, delivering: ReadPause) -> None:
        backlog = Backlog(1)
        assert backlog.add()
        assert delivering.closed
        backlog.remove()
        assert not delivering.closed

    def test_emptied_it_opens_the_valve(self, delivering: ReadPause) -> None:
        backlog = Backlog(8)
        backlog.add(8)
        backlog.clear()
        assert not delivering.closed
        assert backlog.add(8)
        assert delivering.closed

    def test_ended_it_opens_the_valve_whatever_waits(self, calls: Calls, delivering: ReadPause) -> None:
        backlog = Backlog(8)
        backlog.add(6)
        backlog.end()
        assert not delivering.closed
        assert backlog.add(2)
        assert not delivering.closed
        assert not backlog.add(1)  # it is bounded all the same

    def test_it_closes_the_valves_of_all_that_fill_it(self, calls: Calls) -> None:
        backlog = Backlog(8)
        valves = [calls.valve(), calls.valve()]
        for valve, size in zip(valves, (5, 1), strict=True):
            enter(valve)
            assert backlog.add(size)
        enter(None)
        assert [valve.closed for valve in valves] == [True, True]
        backlog.remove(6)
        assert [valve.closed for valve in valves] == [False, False]

    def test_without_a_connection_there_is_nothing_to_pause(self) -> None:
        backlog = Backlog(2)
        assert [backlog.add(), backlog.add(), backlog.add()] == [True, True, False]
        backlog.remove(2)
        assert backlog.add()
        backlog.clear()

    def test_each_lags_for_itself(self, delivering: ReadPause) -> None:
        one, other = Backlog(2), Backlog(2)
        one.add(2)
        other.add(2)
        one.clear()
        assert delivering.closed
        other.clear()
        assert not delivering.closed
