"""Delivery on the loop of the subscriber, within a bound."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from reactivex import Observable, Subject
from reactivex import operators as ops
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

from rxresponses import BufferOverflowError, ObserverExitError, ResponseTextDeltaEvent, ServerEvent
from rxresponses.net.backpressure import ReadPause, set_current_read_pause
from rxresponses.net.observe_on import ObserveOnLoop
from rxresponses.wire.codec import decode

from ..support.recorder import WAIT

LARGE = 10**9


def delta(number: int) -> ServerEvent:
    return decode(b'{"type": "response.output_text.delta", "delta": "%d"}' % number)


SIZE = len(delta(1).raw or b"")


class Log(ObserverBase[Any]):
    """Keep notifications, deltas as numbers, with the thread they came on."""

    def __init__(self) -> None:
        self.heard: list[object] = []
        self.threads: set[int] = set()
        self.ended = asyncio.Event()

    def on_next(self, value: Any) -> None:
        self.threads.add(threading.get_ident())
        self.heard.append(int(value.delta) if isinstance(value, ResponseTextDeltaEvent) else value)

    def on_error(self, error: Exception) -> None:
        self.on_next(error)
        self.ended.set()

    def on_completed(self) -> None:
        self.on_next("|")
        self.ended.set()


def in_a_thread(act: Callable[[], None]) -> None:
    thread = threading.Thread(target=act)
    thread.start()
    thread.join()


def test_notifications_come_home_in_order() -> None:
    async def scenario() -> Log:
        log = Log()
        home = ObserveOnLoop(log, asyncio.get_running_loop(), max_bytes=LARGE)

        def act() -> None:
            for number in range(1000):
                home.on_next(delta(number))
            home.on_completed()

        thread = threading.Thread(target=act)
        thread.start()
        await asyncio.wait_for(log.ended.wait(), WAIT)
        thread.join()
        return log

    log = asyncio.run(scenario())
    assert log.heard == [*range(1000), "|"]
    assert log.threads == {threading.get_ident()}


def test_errors_come_home_behind_the_values() -> None:
    async def scenario() -> Log:
        log = Log()
        home = ObserveOnLoop(log, asyncio.get_running_loop(), max_bytes=LARGE)

        def act() -> None:
            home.on_next(delta(1))
            home.on_error(error)

        in_a_thread(act)
        assert log.heard == []  # not on that thread, and not before this one is free
        await asyncio.wait_for(log.ended.wait(), WAIT)
        return log

    error = ValueError("broken")
    log = asyncio.run(scenario())
    assert log.heard == [1, error]
    assert log.threads == {threading.get_ident()}


def test_a_closed_loop_hears_nothing_and_raises_nothing() -> None:
    loop = asyncio.new_event_loop()
    log = Log()
    home = ObserveOnLoop(log, loop, max_bytes=LARGE)
    loop.close()
    home.on_next(delta(1))
    home.on_error(ValueError())
    home.on_completed()
    assert log.heard == []


def test_what_is_over_the_bound_is_refused_and_room_comes_back() -> None:
    async def scenario() -> None:
        log = Log()
        home = ObserveOnLoop(log, asyncio.get_running_loop(), max_bytes=3 * SIZE)

        def fill() -> None:
            for number in range(3):
                home.on_next(delta(number))
            with pytest.raises(BufferOverflowError, match="bytes") as raised:
                home.on_next(delta(3))
            assert raised.value.max_buffered == 3 * SIZE

        in_a_thread(fill)
        await asyncio.sleep(0)
        assert log.heard == [0, 1, 2]
        home.on_next(delta(4))
        home.on_completed()
        await asyncio.wait_for(log.ended.wait(), WAIT)
        assert log.heard == [0, 1, 2, 4, "|"]

    asyncio.run(scenario())


@pytest.mark.parametrize("how", ["error", "completion", "given up"])
def test_once_it_has_ended_it_pauses_nobody(how: str) -> None:
    """What waits is all there is, and its loop may be blocked for long."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        log = Log()
        home = ObserveOnLoop(log, loop, max_bytes=4 * SIZE)

        def act() -> None:
            read_pause = ReadPause(loop, lambda: None, lambda: None)
            set_current_read_pause(read_pause)
            for number in range(4):
                home.on_next(delta(number))
            assert read_pause.active
            if how == "error":
                home.on_error(ValueError())
            elif how == "completion":
                home.on_completed()
            else:
                home.stop_pausing()
            assert not read_pause.active

        with ThreadPoolExecutor() as threads:
            threads.submit(act).result()
        await asyncio.sleep(0)
        assert log.heard[:4] == [0, 1, 2, 3]

    asyncio.run(scenario())


def test_events_made_by_hand_weigh_nothing() -> None:
    async def scenario() -> None:
        log = Log()
        home = ObserveOnLoop(log, asyncio.get_running_loop(), max_bytes=1)
        for number in range(3):
            home.on_next(ResponseTextDeltaEvent(delta=str(number)))
        await asyncio.sleep(0)
        assert log.heard == [0, 1, 2]

    asyncio.run(scenario())


def at_home(source: Subject[ServerEvent]) -> Observable[ServerEvent]:
    """What a socket on another loop looks like from here."""
    loop = asyncio.get_running_loop()

    def subscribe(observer: ObserverBase[ServerEvent], scheduler: SchedulerBase | None = None) -> DisposableBase:
        return source.subscribe(ObserveOnLoop(observer, loop, max_bytes=LARGE))

    return Observable(subscribe)


def emit(source: Subject[ServerEvent], *numbers: int) -> None:
    for number in numbers:
        source.on_next(delta(number))
    source.on_completed()


@pytest.mark.parametrize("listens_for_errors", [True, False])
def test_scenario_38_an_observer_that_raises_ends_its_subscription_and_is_reported(listens_for_errors: bool) -> None:
    reported: list[Any] = []
    errors: list[Exception] = []
    heard: list[ServerEvent] = []

    def report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        reported.append(context["exception"])

    def raising(value: ServerEvent) -> None:
        heard.append(value)
        raise ValueError("cannot bear it")

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(report)
        source: Subject[ServerEvent] = Subject()
        at_home(source).subscribe(raising, errors.append if listens_for_errors else None)
        other = Log()
        at_home(source).subscribe(other)
        in_a_thread(lambda: emit(source, 1, 2))
        await asyncio.wait_for(other.ended.wait(), WAIT)
        assert other.heard == [1, 2, "|"]
        in_a_thread(lambda: emit(source, 3))

    asyncio.run(scenario())
    assert len(heard) == 1
    assert [str(error) for error in reported] == ["cannot bear it"]
    assert errors == (reported if listens_for_errors else [])


@pytest.mark.parametrize("listens_for_errors", [True, False])
def test_scenario_38_what_is_meant_for_the_program_goes_on_out_of_the_loop(listens_for_errors: bool) -> None:
    errors: list[Exception] = []

    def leave(value: ServerEvent) -> None:
        raise SystemExit(3)

    async def scenario() -> None:
        source: Subject[ServerEvent] = Subject()
        at_home(source).subscribe(leave, errors.append if listens_for_errors else None)
        in_a_thread(lambda: source.on_next(delta(1)))
        await asyncio.Event().wait()

    with pytest.raises(SystemExit) as end:
        asyncio.run(scenario())
    assert end.value.code == 3
    assert [(type(error), error.__cause__) for error in errors] == (
        [(ObserverExitError, end.value)] if listens_for_errors else []
    )


def test_what_comes_after_the_observer_raised_is_not_kept() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: None)
        log = Log()

        class Raising(Log):
            def on_next(self, value: Any) -> None:
                super().on_next(value)
                if not isinstance(value, Exception):
                    raise ValueError

        raising = Raising()
        home = ObserveOnLoop(raising, loop, max_bytes=2 * SIZE)
        in_a_thread(lambda: home.on_next(delta(1)))
        await asyncio.wait_for(raising.ended.wait(), WAIT)

        def go_on() -> None:
            for number in range(10):
                home.on_next(delta(number))

        in_a_thread(go_on)
        await asyncio.sleep(0)
        assert raising.heard[0] == 1
        assert len(raising.heard) == 2
        assert log.heard == []

    asyncio.run(scenario())


def test_awaiting_what_another_thread_has() -> None:
    async def scenario() -> int:
        source: Subject[ServerEvent] = Subject()
        result = asyncio.ensure_future(counted(at_home(source)))
        await asyncio.sleep(0)  # it subscribes
        in_a_thread(lambda: emit(source, 1, 2))
        return await asyncio.wait_for(result, WAIT)

    async def counted(source: Observable[ServerEvent]) -> int:
        return await source.pipe(ops.count())

    assert asyncio.run(scenario()) == 2


def test_what_happens_on_its_own_loop_is_told_at_once() -> None:
    async def scenario() -> None:
        log = Log()
        home = ObserveOnLoop(log, asyncio.get_running_loop(), max_bytes=LARGE)
        home.on_next(delta(1))
        assert log.heard == [1]
        in_a_thread(lambda: home.on_next(delta(2)))
        home.on_next(delta(3))  # not before the one that is under way
        assert log.heard == [1]
        await asyncio.sleep(0)
        assert log.heard == [1, 2, 3]
        home.on_completed()
        assert log.heard == [1, 2, 3, "|"]
        other = Log()
        ObserveOnLoop(other, asyncio.get_running_loop(), max_bytes=LARGE).on_error(error := ValueError())
        assert other.heard == [error]

    asyncio.run(scenario())
