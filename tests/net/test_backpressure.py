"""Pauses of a connection for lagging consumers, and the buffers whose filling causes them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rxresponses.net.backpressure import (
    EVENT_OVERHEAD,
    Backlog,
    ReadPause,
    current_read_pause,
    set_current_read_pause,
    size_of,
)
from rxresponses.wire.codec import decode
from rxresponses.wire.events import ResponseTextDeltaEvent

from ..support.another_thread import on_another_thread
from ..support.recorder import WAIT


class Calls:
    """The loop of a `ReadPause`, turned by the test, with a log of what the `ReadPause` did."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.soon: list[Callable[[], None]] = []
        self.from_other_threads: list[Callable[[], None]] = []
        self.timers: list[Callable[..., Any]] = []

    def call_soon(self, callback: Callable[..., None], *args: Any) -> None:
        self.soon.append(lambda: callback(*args))

    def call_soon_threadsafe(self, callback: Callable[..., None], *args: Any) -> None:
        self.from_other_threads.append(lambda: callback(*args))

    def call_later(self, delay: float, callback: Callable[..., Any]) -> object:
        self.timers.append(callback)
        return callback

    def turn(self) -> list[str]:
        """Run the callbacks; return the log."""
        for queue in (self.from_other_threads, self.soon):
            waiting, queue[:] = queue[:], []
            for call in waiting:
                call()
        return self.log

    def read_pause(self) -> ReadPause:
        loop: Any = self
        return ReadPause(loop, lambda: self.log.append("pause"), lambda: self.log.append("resume"))


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def delivering(calls: Calls) -> Iterator[ReadPause]:
    """The `ReadPause` of a connection that delivers on this thread during the test."""
    read_pause = calls.read_pause()
    set_current_read_pause(read_pause)
    yield read_pause
    set_current_read_pause(None)


class TestReadPause:
    def test_a_consumer_that_is_gone_ends_the_pause(self, calls: Calls) -> None:
        read_pause = calls.read_pause()
        gone = False
        read_pause.consumer_lags("a", lambda: gone)
        read_pause.consumer_lags("b")
        calls.timers.pop()()
        assert (read_pause.active, len(calls.timers)) == (True, 1)  # it still exists, and is checked again
        read_pause.consumer_caught_up("b")
        gone = True
        calls.timers.pop()()
        assert (read_pause.active, calls.timers, calls.turn()) == (False, [], ["pause", "resume"])

    def test_without_is_gone_there_is_no_timer(self, calls: Calls) -> None:
        read_pause = calls.read_pause()
        read_pause.consumer_lags("a")
        assert calls.timers == []

    def test_a_lagging_consumer_pauses_until_it_has_caught_up(self, calls: Calls) -> None:
        read_pause = calls.read_pause()
        assert (read_pause.active, read_pause.count) == (False, 0)
        read_pause.consumer_lags("a")
        assert (read_pause.active, read_pause.count, calls.log) == (True, 1, ["pause"])
        read_pause.consumer_caught_up("a")
        assert (read_pause.active, read_pause.count, calls.turn()) == (False, 1, ["pause", "resume"])
        read_pause.consumer_lags("a")
        assert (read_pause.active, read_pause.count) == (True, 2)

    def test_reading_does_not_resume_inside_the_consumer(self, calls: Calls) -> None:
        """Resuming delivers the events held back, perhaps to the consumer that is the caller."""
        read_pause = calls.read_pause()
        read_pause.consumer_lags("a")
        read_pause.consumer_caught_up("a")
        assert calls.log == ["pause"]
        assert calls.turn() == ["pause", "resume"]

    def test_reading_does_not_resume_when_it_was_paused_again_meanwhile(self, calls: Calls) -> None:
        read_pause = calls.read_pause()
        read_pause.consumer_lags("a")
        read_pause.consumer_caught_up("a")
        read_pause.consumer_lags("b")
        assert calls.turn() == ["pause", "pause"]
        assert (read_pause.active, read_pause.count) == (True, 2)
        read_pause.consumer_caught_up("b")
        assert calls.turn() == ["pause", "pause", "resume"]

    def test_a_repeated_call_changes_nothing(self, calls: Calls) -> None:
        read_pause = calls.read_pause()
        read_pause.consumer_lags("a")
        read_pause.consumer_lags("a")
        assert (read_pause.count, calls.log) == (1, ["pause"])
        read_pause.consumer_caught_up("a")
        read_pause.consumer_caught_up("a")
        assert calls.turn() == ["pause", "resume"]

    def test_a_consumer_that_never_lagged_can_catch_up(self, calls: Calls) -> None:
        read_pause = calls.read_pause()
        read_pause.consumer_caught_up("a")
        assert (read_pause.active, calls.turn()) == (False, [])

    def test_the_last_of_several_consumers_ends_the_pause(self, calls: Calls) -> None:
        read_pause = calls.read_pause()
        read_pause.consumer_lags("a")
        read_pause.consumer_lags("b")
        read_pause.consumer_caught_up("a")
        assert read_pause.active
        read_pause.consumer_caught_up("b")
        assert (read_pause.active, calls.turn()) == (False, ["pause", "resume"])

    def test_there_is_no_pause_while_it_is_not_allowed(self, calls: Calls) -> None:
        read_pause = calls.read_pause()
        read_pause.allow(False)
        read_pause.consumer_lags("a")
        assert (read_pause.active, calls.turn()) == (False, [])
        read_pause.allow(True)  # the consumer still lags
        assert (read_pause.active, read_pause.count, calls.turn()) == (True, 1, ["pause"])
        read_pause.allow(False)
        assert (read_pause.active, calls.turn()) == (False, ["pause", "resume"])
        read_pause.consumer_caught_up("a")
        read_pause.allow(True)
        assert (read_pause.active, calls.turn()) == (False, ["pause", "resume"])

    def test_a_repeated_allow_changes_nothing(self, calls: Calls) -> None:
        read_pause = calls.read_pause()
        read_pause.consumer_lags("a")
        read_pause.allow(True)
        read_pause.allow(False)
        read_pause.allow(False)
        assert (read_pause.count, calls.turn()) == (1, ["pause", "resume"])

    def test_calls_from_another_thread_take_effect_on_the_loop(self, calls: Calls) -> None:
        read_pause = calls.read_pause()
        on_another_thread(read_pause.consumer_lags, "a")
        assert (read_pause.active, calls.log) == (False, [])  # nothing happens on that thread
        assert calls.turn() == ["pause"]
        on_another_thread(read_pause.consumer_caught_up, "a")
        assert calls.turn() == ["pause", "resume"]

    def test_a_closed_loop_raises_nothing(self) -> None:
        """A consumer must not fail because the connection it lagged behind is gone."""
        loop = asyncio.new_event_loop()
        log: list[str] = []
        read_pause = ReadPause(loop, lambda: log.append("pause"), lambda: log.append("resume"))
        loop.close()
        on_another_thread(read_pause.consumer_lags, "a")
        on_another_thread(read_pause.consumer_caught_up, "a")
        assert log == []

    def test_on_a_real_loop(self) -> None:
        async def main() -> None:
            paused, resumed = asyncio.Event(), asyncio.Event()
            read_pause = ReadPause(asyncio.get_running_loop(), paused.set, resumed.set)
            await asyncio.to_thread(read_pause.consumer_lags, "a")
            await asyncio.wait_for(paused.wait(), WAIT)
            await asyncio.to_thread(read_pause.consumer_caught_up, "a")
            await asyncio.wait_for(resumed.wait(), WAIT)

        asyncio.run(main())


def test_the_current_read_pause_is_that_of_its_thread(calls: Calls) -> None:
    one, other = calls.read_pause(), calls.read_pause()
    assert current_read_pause() is None
    assert set_current_read_pause(one) is None
    assert current_read_pause() is one
    assert set_current_read_pause(other) is one  # one delivery inside another
    assert current_read_pause() is other
    assert on_another_thread(current_read_pause) is None
    assert set_current_read_pause(one) is other
    assert set_current_read_pause(None) is one
    assert current_read_pause() is None


class TestBacklog:
    def test_there_is_room_up_to_the_limit(self) -> None:
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

    def test_an_empty_buffer_has_room_for_any_size(self) -> None:
        backlog = Backlog(10)
        assert backlog.add(1000)
        assert not backlog.add(1)
        backlog.remove(1000)
        assert backlog.add(1)
        assert not backlog.add(1000)

    def test_more_than_half_full_it_pauses(self, calls: Calls, delivering: ReadPause) -> None:
        backlog = Backlog(8)
        for _ in range(4):
            assert backlog.add()
        assert not delivering.active
        for _ in range(3):
            assert backlog.add()
        assert (delivering.active, delivering.count) == (True, 1)

    def test_a_quarter_full_it_ends_the_pause(self, calls: Calls, delivering: ReadPause) -> None:
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

    def test_a_limit_of_one(self, delivering: ReadPause) -> None:
        backlog = Backlog(1)
        assert backlog.add()
        assert delivering.active
        backlog.remove()
        assert not delivering.active

    def test_clear_ends_the_pause(self, delivering: ReadPause) -> None:
        backlog = Backlog(8)
        backlog.add(8)
        backlog.clear()
        assert not delivering.active
        assert backlog.add(8)
        assert delivering.active

    def test_stop_pausing_ends_the_pause_whatever_waits(self, calls: Calls, delivering: ReadPause) -> None:
        backlog = Backlog(8)
        backlog.add(6)
        backlog.stop_pausing()
        assert not delivering.active
        assert backlog.add(2)
        assert not delivering.active
        assert not backlog.add(1)  # the limit still holds

    def test_every_connection_that_fills_it_is_paused(self, calls: Calls) -> None:
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

    def test_each_backlog_lags_for_itself(self, delivering: ReadPause) -> None:
        one, other = Backlog(2), Backlog(2)
        one.add(2)
        other.add(2)
        one.clear()
        assert delivering.active
        other.clear()
        assert not delivering.active


def test_the_size_of_what_waits() -> None:
    frame = b'{"type": "a"}'
    assert size_of(decode(frame)) == EVENT_OVERHEAD + len(frame)
    assert size_of(decode(frame.decode())) == EVENT_OVERHEAD + len(frame)
    assert size_of("text") == EVENT_OVERHEAD + 4
    assert size_of(ResponseTextDeltaEvent(delta="x")) == size_of(1) == EVENT_OVERHEAD
