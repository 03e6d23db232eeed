from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from rxresponses.net.backpressure import Backlog, ReadPause, current_read_pause, set_current_read_pause


class Calls:
    """What read_pauses did, and the loop that they hand things over to."""

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

    def read_pause(self) -> ReadPause:
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
    """The read_pause of a connection that is delivering here."""
    read_pause = calls.read_pause()
    set_current_read_pause(read_pause)
    yield read_pause
    set_current_read_pause(None)


class TestValve:
    def test_a_consumer_that_is_gone_holds_up_nobody(self, calls: Calls) -> None:
        read_pause = calls.read_pause()
        gone = False
        read_pause.consumer_lags("a", lambda: gone)
        read_pause.consumer_lags("b")
        calls.timers.pop()()
        assert (read_pause.active, len(calls.timers)) == (True, 1)  # it is still there, and looked at again
        read_pause.consumer_caught_up("b")
        gone = True
        calls.timers.pop()()
        assert (read_pause.active, calls.timers, calls.turn()) == (False, [], ["pause", "resume"])

    def test_of_one_that_cannot_tell_nobody_asks(self, calls: Calls) -> None:
        read_pause = calls.read_pause()
        read_pause.consumer_lags("a")
        assert calls.timers == []

    def test_a_consumer_that_lags_pauses_until_it_caught_up(self, calls: Calls) -> None:
        read_pause = calls.read_pause()
        assert (read_pause.active, read_pause.count) == (False, 0)
        read_pause.consumer_lags("a")
        assert (read_pause.active, read_pause.count, calls.log) == (True, 1, ["pause"])
        read_pause.consumer_caught_up("a")
        assert (read_pause.active, read_pause.count, calls.turn()) == (False, 1, ["pause", "resume"])
        read_pause.consumer_lags("a")
        assert (read_pause.active, read_pause.count) == (True, 2)

    def test_it_does_not_go_on_from_within_the_consumer(self, calls: Calls) -> None:
        """To go on means to deliver what was held back, to the consumer that is just taking something."""
        read_pause = calls.read_pause()
        read_pause.consumer_lags("a")
        read_pause.consumer_caught_up("a")
        assert calls.log == ["pause"]
        assert calls.turn() == ["pause", "resume"]

    def test_it_does_not_go_on_when_it_was_closed_again_in_between(self, calls: Calls) -> None:
        read_pause = calls.read_pause()
        read_pause.consumer_lags("a")
        read_pause.consumer_caught_up("a")
        read_pause.consumer_lags("b")
        assert calls.turn() == ["pause", "pause"]
        assert (read_pause.active, read_pause.count) == (True, 2)
        read_pause.consumer_caught_up("b")
        assert calls.turn() == ["pause", "pause", "resume"]

    def test_saying_it_twice_changes_nothing(self, calls: Calls) -> None:
        read_pause = calls.read_pause()
        read_pause.consumer_lags("a")
        read_pause.consumer_lags("a")
        assert (read_pause.count, calls.log) == (1, ["pause"])
        read_pause.consumer_caught_up("a")
        read_pause.consumer_caught_up("a")
        assert calls.turn() == ["pause", "resume"]

    def test_who_never_lagged_can_catch_up(self, calls: Calls) -> None:
        read_pause = calls.read_pause()
        read_pause.consumer_caught_up("a")
        assert (read_pause.active, calls.turn()) == (False, [])

    def test_the_last_of_several_consumers_opens(self, calls: Calls) -> None:
        read_pause = calls.read_pause()
        read_pause.consumer_lags("a")
        read_pause.consumer_lags("b")
        read_pause.consumer_caught_up("a")
        assert read_pause.active
        read_pause.consumer_caught_up("b")
        assert (read_pause.active, calls.turn()) == (False, ["pause", "resume"])

    def test_in_a_crowd_nobody_is_paused(self, calls: Calls) -> None:
        read_pause = calls.read_pause()
        read_pause.allow(False)
        read_pause.consumer_lags("a")
        assert (read_pause.active, calls.turn()) == (False, [])
        read_pause.allow(True)  # the others have ended, and it lags still
        assert (read_pause.active, read_pause.count, calls.turn()) == (True, 1, ["pause"])
        read_pause.allow(False)
        assert (read_pause.active, calls.turn()) == (False, ["pause", "resume"])
        read_pause.consumer_caught_up("a")
        read_pause.allow(True)
        assert (read_pause.active, calls.turn()) == (False, ["pause", "resume"])

    def test_the_same_crowd_twice_changes_nothing(self, calls: Calls) -> None:
        read_pause = calls.read_pause()
        read_pause.consumer_lags("a")
        read_pause.allow(True)
        read_pause.allow(False)
        read_pause.allow(False)
        assert (read_pause.count, calls.turn()) == (1, ["pause", "resume"])

    def test_from_another_thread_it_is_handed_to_the_loop(self, calls: Calls) -> None:
        read_pause = calls.read_pause()
        elsewhere(read_pause.consumer_lags, "a")
        assert (read_pause.active, calls.log) == (False, [])  # nothing happens over there
        assert calls.turn() == ["pause"]
        elsewhere(read_pause.consumer_caught_up, "a")
        assert calls.turn() == ["pause", "resume"]

    def test_a_closed_loop_has_nobody_to_tell(self) -> None:
        """The consumer must not suffer from a connection that is gone."""
        loop = asyncio.new_event_loop()
        log: list[str] = []
        read_pause = ReadPause(loop, lambda: log.append("pause"), lambda: log.append("resume"))
        loop.close()
        elsewhere(read_pause.consumer_lags, "a")
        elsewhere(read_pause.consumer_caught_up, "a")
        assert log == []

    def test_on_a_real_loop(self) -> None:
        async def main() -> None:
            paused, resumed = asyncio.Event(), asyncio.Event()
            read_pause = ReadPause(asyncio.get_running_loop(), paused.set, resumed.set)
            await asyncio.to_thread(read_pause.consumer_lags, "a")
            await asyncio.wait_for(paused.wait(), 10)
            await asyncio.to_thread(read_pause.consumer_caught_up, "a")
            await asyncio.wait_for(resumed.wait(), 10)

        asyncio.run(main())


def test_who_delivers_is_known_on_its_thread_only(calls: Calls) -> None:
    one, other = calls.read_pause(), calls.read_pause()
    assert current_read_pause() is None
    assert set_current_read_pause(one) is None
    assert current_read_pause() is one
    assert set_current_read_pause(other) is one  # one delivery inside another
    assert current_read_pause() is other
    assert elsewhere(current_read_pause) is None
    assert set_current_read_pause(one) is other
    assert set_current_read_pause(None) is one
    assert current_read_pause() is None


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
        assert not delivering.active
        for _ in range(3):
            assert backlog.add()
        assert (delivering.active, delivering.count) == (True, 1)

    def test_a_quarter_full_it_opens_it_again(self, calls: Calls, delivering: ReadPause) -> None:
        backlog = Backlog(8)
        for _ in range(8):
            backlog.add()
        for _ in range(5):
            backlog.remove()
        assert delivering.active
        backlog.remove()
        assert not delivering.active
        for _ in range(3):
            backlog.add()
        assert (delivering.active, delivering.count) == (True, 2)

    def test_one_that_holds_one_thing(self, delivering: ReadPause) -> None:
        backlog = Backlog(1)
        assert backlog.add()
        assert delivering.active
        backlog.remove()
        assert not delivering.active

    def test_emptied_it_opens_the_valve(self, delivering: ReadPause) -> None:
        backlog = Backlog(8)
        backlog.add(8)
        backlog.clear()
        assert not delivering.active
        assert backlog.add(8)
        assert delivering.active

    def test_ended_it_opens_the_valve_whatever_waits(self, calls: Calls, delivering: ReadPause) -> None:
        backlog = Backlog(8)
        backlog.add(6)
        backlog.stop_pausing()
        assert not delivering.active
        assert backlog.add(2)
        assert not delivering.active
        assert not backlog.add(1)  # it is bounded all the same

    def test_it_closes_the_valves_of_all_that_fill_it(self, calls: Calls) -> None:
        backlog = Backlog(8)
        read_pauses = [calls.read_pause(), calls.read_pause()]
        for read_pause, size in zip(read_pauses, (5, 1), strict=True):
            set_current_read_pause(read_pause)
            assert backlog.add(size)
        set_current_read_pause(None)
        assert [read_pause.active for read_pause in read_pauses] == [True, True]
        backlog.remove(6)
        assert [read_pause.active for read_pause in read_pauses] == [False, False]

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
        assert delivering.active
        other.clear()
        assert not delivering.active
