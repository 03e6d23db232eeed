from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from rxresponses.flow import Valve, current_valve, enter


class Calls:
    """What a valve did, and the loop it would reach from other threads."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.handed_over: list[Callable[[], None]] = []

    def call_soon_threadsafe(self, callback: Callable[..., None], *args: Any) -> None:
        self.handed_over.append(lambda: callback(*args))

    def valve(self) -> Valve:
        loop: Any = self
        return Valve(loop, lambda: self.log.append("pause"), lambda: self.log.append("resume"))

    def elsewhere(self, act: Callable[[object], None], consumer: object) -> None:
        """Do it on another thread."""
        with ThreadPoolExecutor() as threads:
            threads.submit(act, consumer).result()


@pytest.fixture
def calls() -> Calls:
    return Calls()


def test_a_consumer_that_lags_pauses_until_it_caught_up(calls: Calls) -> None:
    valve = calls.valve()
    assert (valve.closed, valve.pauses) == (False, 0)
    valve.lag("a")
    assert (valve.closed, valve.pauses, calls.log) == (True, 1, ["pause"])
    valve.catch_up("a")
    assert (valve.closed, valve.pauses, calls.log) == (False, 1, ["pause", "resume"])
    valve.lag("a")
    assert (valve.closed, valve.pauses) == (True, 2)


def test_saying_it_twice_changes_nothing(calls: Calls) -> None:
    valve = calls.valve()
    valve.lag("a")
    valve.lag("a")
    assert (valve.pauses, calls.log) == (1, ["pause"])
    valve.catch_up("a")
    valve.catch_up("a")
    assert calls.log == ["pause", "resume"]


def test_who_never_lagged_can_catch_up(calls: Calls) -> None:
    valve = calls.valve()
    valve.catch_up("a")
    assert (valve.closed, calls.log) == (False, [])


def test_the_last_of_several_consumers_opens(calls: Calls) -> None:
    valve = calls.valve()
    valve.lag("a")
    valve.lag("b")
    valve.catch_up("a")
    assert valve.closed
    valve.catch_up("b")
    assert (valve.closed, calls.log) == (False, ["pause", "resume"])


def test_in_a_crowd_nobody_is_paused(calls: Calls) -> None:
    valve = calls.valve()
    valve.crowd(True)
    valve.lag("a")
    assert (valve.closed, calls.log) == (False, [])
    valve.crowd(False)  # the others have ended, and it lags still
    assert (valve.closed, valve.pauses, calls.log) == (True, 1, ["pause"])
    valve.crowd(True)
    assert (valve.closed, calls.log) == (False, ["pause", "resume"])
    valve.catch_up("a")
    valve.crowd(False)
    assert (valve.closed, calls.log) == (False, ["pause", "resume"])


def test_the_same_crowd_twice_changes_nothing(calls: Calls) -> None:
    valve = calls.valve()
    valve.lag("a")
    valve.crowd(False)
    valve.crowd(True)
    valve.crowd(True)
    assert (valve.pauses, calls.log) == (1, ["pause", "resume"])


def test_from_another_thread_it_is_handed_to_the_loop(calls: Calls) -> None:
    valve = calls.valve()
    calls.elsewhere(valve.lag, "a")
    calls.elsewhere(valve.catch_up, "a")
    assert (valve.closed, calls.log) == (False, [])  # nothing happens over there
    first, second = calls.handed_over
    first()
    assert (valve.closed, calls.log) == (True, ["pause"])
    second()
    assert (valve.closed, calls.log) == (False, ["pause", "resume"])


def test_a_closed_loop_has_nobody_to_tell() -> None:
    """The consumer must not suffer from a connection that is gone."""
    loop = asyncio.new_event_loop()
    log: list[str] = []
    valve = Valve(loop, lambda: log.append("pause"), lambda: log.append("resume"))
    loop.close()
    with ThreadPoolExecutor() as elsewhere:
        elsewhere.submit(valve.lag, "a").result()
        elsewhere.submit(valve.catch_up, "a").result()
    assert log == []


def test_on_a_real_loop() -> None:
    async def main() -> None:
        paused, resumed = asyncio.Event(), asyncio.Event()
        valve = Valve(asyncio.get_running_loop(), paused.set, resumed.set)
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
    seen: list[object] = []
    calls.elsewhere(lambda _: seen.append(current_valve()), None)
    assert seen == [None]
    assert enter(one) is other
    assert enter(None) is one
    assert current_valve() is None
