"""Delivery on the subscriber's loop: in order, and with a bounded buffer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from reactivex import Observable, Subject
from reactivex import operators as ops
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

from rxresponses import BufferOverflowError, ObserverExitError, ResponseTextDeltaEvent, ServerEvent
from rxresponses.net.backpressure import EVENT_OVERHEAD, ReadPause, set_current_read_pause, size_of
from rxresponses.net.observe_on import ObserveOnLoop
from rxresponses.wire.codec import decode

from ..support.another_thread import on_another_thread
from ..support.recorder import WAIT

LARGE = 10**9


def delta(number: int) -> ServerEvent:
    return decode(b'{"type": "response.output_text.delta", "delta": "%d"}' % number)


SIZE = size_of(delta(1))


class Log(ObserverBase[Any]):
    """Keeps notifications, deltas as numbers, and the threads that they came on."""

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


def test_notifications_come_on_the_loop_in_order() -> None:
    async def scenario() -> Log:
        log = Log()
        on_loop = ObserveOnLoop(log, asyncio.get_running_loop(), max_bytes=LARGE)

        def act() -> None:
            for number in range(1000):
                on_loop.on_next(delta(number))
            on_loop.on_completed()

        thread = threading.Thread(target=act)
        thread.start()
        await asyncio.wait_for(log.ended.wait(), WAIT)
        thread.join()
        return log

    log = asyncio.run(scenario())
    assert log.heard == [*range(1000), "|"]
    assert log.threads == {threading.get_ident()}


def test_an_error_comes_after_the_values() -> None:
    async def scenario() -> Log:
        log = Log()
        on_loop = ObserveOnLoop(log, asyncio.get_running_loop(), max_bytes=LARGE)

        def act() -> None:
            on_loop.on_next(delta(1))
            on_loop.on_error(error)

        on_another_thread(act)
        assert log.heard == []  # not on that thread, and not before the loop turns
        await asyncio.wait_for(log.ended.wait(), WAIT)
        return log

    error = ValueError("broken")
    log = asyncio.run(scenario())
    assert log.heard == [1, error]
    assert log.threads == {threading.get_ident()}


def test_a_closed_loop_drops_notifications_and_raises_nothing() -> None:
    loop = asyncio.new_event_loop()
    log = Log()
    on_loop = ObserveOnLoop(log, loop, max_bytes=LARGE)
    loop.close()
    on_loop.on_next(delta(1))
    on_loop.on_error(ValueError())
    on_loop.on_completed()
    assert log.heard == []


def test_a_loop_that_is_closed_meanwhile_drops_notifications_and_ends_the_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop, connections_loop = asyncio.new_event_loop(), asyncio.new_event_loop()
    call_soon_threadsafe = loop.call_soon_threadsafe

    def close_and_call(callback: Callable[[], object]) -> asyncio.Handle:
        loop.close()  # as another thread does, between two steps of the thread that delivers
        return call_soon_threadsafe(callback)

    monkeypatch.setattr(loop, "call_soon_threadsafe", close_and_call)
    log = Log()
    read_pause = ReadPause(connections_loop, lambda: None, lambda: None)
    set_current_read_pause(read_pause)
    try:
        on_loop = ObserveOnLoop(log, loop, max_bytes=SIZE)
        on_loop.on_next(delta(1))
        assert loop.is_closed()
        assert not read_pause.active
        assert read_pause.count == 1  # the value filled the buffer until it was dropped
        on_loop.on_next(delta(2))
    finally:
        set_current_read_pause(None)
        connections_loop.close()
    assert log.heard == []


def test_a_full_buffer_refuses_a_value_until_there_is_room() -> None:
    async def scenario() -> None:
        log = Log()
        on_loop = ObserveOnLoop(log, asyncio.get_running_loop(), max_bytes=3 * SIZE)

        def fill() -> None:
            for number in range(3):
                on_loop.on_next(delta(number))
            with pytest.raises(BufferOverflowError, match="bytes") as raised:
                on_loop.on_next(delta(3))
            assert raised.value.max_buffered == 3 * SIZE

        on_another_thread(fill)
        await asyncio.sleep(0)
        assert log.heard == [0, 1, 2]
        on_loop.on_next(delta(4))
        on_loop.on_completed()
        await asyncio.wait_for(log.ended.wait(), WAIT)
        assert log.heard == [0, 1, 2, 4, "|"]

    asyncio.run(scenario())


@pytest.mark.parametrize("how", ["error", "completion", "disposal"])
def test_after_the_end_of_the_stream_it_pauses_no_connection(how: str) -> None:
    """No more events are to come, and the subscriber's loop may be blocked for long."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        log = Log()
        on_loop = ObserveOnLoop(log, loop, max_bytes=4 * SIZE)

        def act() -> None:
            read_pause = ReadPause(loop, lambda: None, lambda: None)
            set_current_read_pause(read_pause)
            for number in range(4):
                on_loop.on_next(delta(number))
            assert read_pause.active
            if how == "error":
                on_loop.on_error(ValueError())
            elif how == "completion":
                on_loop.on_completed()
            else:
                on_loop.stop_pausing()
            assert not read_pause.active

        on_another_thread(act)
        await asyncio.sleep(0)
        assert log.heard[:4] == [0, 1, 2, 3]

    asyncio.run(scenario())


def test_scenario_77_events_that_are_nearly_empty_fill_the_buffer_too() -> None:
    async def scenario() -> None:
        log = Log()
        on_loop = ObserveOnLoop(log, asyncio.get_running_loop(), max_bytes=2 * EVENT_OVERHEAD)

        def fill() -> None:
            for number in range(2):
                on_loop.on_next(ResponseTextDeltaEvent(delta=str(number)))
            with pytest.raises(BufferOverflowError):
                on_loop.on_next(ResponseTextDeltaEvent(delta="2"))

        on_another_thread(fill)
        await asyncio.sleep(0)
        assert log.heard == [0, 1]

    asyncio.run(scenario())


def observed_on_this_loop(source: Subject[ServerEvent]) -> Observable[ServerEvent]:
    """Return what a socket on another loop gives a subscriber on this loop."""
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
        observed_on_this_loop(source).subscribe(raising, errors.append if listens_for_errors else None)
        other = Log()
        observed_on_this_loop(source).subscribe(other)
        on_another_thread(lambda: emit(source, 1, 2))
        await asyncio.wait_for(other.ended.wait(), WAIT)
        assert other.heard == [1, 2, "|"]
        on_another_thread(lambda: emit(source, 3))

    asyncio.run(scenario())
    assert len(heard) == 1
    assert [str(error) for error in reported] == ["cannot bear it"]
    assert errors == (reported if listens_for_errors else [])


@pytest.mark.parametrize("listens_for_errors", [True, False])
def test_scenario_38_system_exit_goes_on_out_of_the_loop(listens_for_errors: bool) -> None:
    errors: list[Exception] = []

    def leave(value: ServerEvent) -> None:
        raise SystemExit(3)

    async def scenario() -> None:
        source: Subject[ServerEvent] = Subject()
        observed_on_this_loop(source).subscribe(leave, errors.append if listens_for_errors else None)
        on_another_thread(lambda: source.on_next(delta(1)))
        await asyncio.Event().wait()

    with pytest.raises(SystemExit) as end:
        asyncio.run(scenario())
    assert end.value.code == 3
    assert [(type(error), error.__cause__) for error in errors] == (
        [(ObserverExitError, end.value)] if listens_for_errors else []
    )


def test_values_after_the_observer_raised_are_dropped() -> None:
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
        on_loop = ObserveOnLoop(raising, loop, max_bytes=2 * SIZE)
        on_another_thread(lambda: on_loop.on_next(delta(1)))
        await asyncio.wait_for(raising.ended.wait(), WAIT)

        def emit_more() -> None:
            for number in range(10):
                on_loop.on_next(delta(number))

        on_another_thread(emit_more)
        await asyncio.sleep(0)
        assert raising.heard[0] == 1
        assert len(raising.heard) == 2
        assert log.heard == []

    asyncio.run(scenario())


def test_awaiting_a_source_of_another_thread() -> None:
    async def scenario() -> int:
        source: Subject[ServerEvent] = Subject()
        result = asyncio.ensure_future(counted(observed_on_this_loop(source)))
        await asyncio.sleep(0)  # it subscribes
        on_another_thread(lambda: emit(source, 1, 2))
        return await asyncio.wait_for(result, WAIT)

    async def counted(source: Observable[ServerEvent]) -> int:
        return await source.pipe(ops.count())

    assert asyncio.run(scenario()) == 2


def test_on_the_loop_itself_notifications_are_delivered_at_once() -> None:
    async def scenario() -> None:
        log = Log()
        on_loop = ObserveOnLoop(log, asyncio.get_running_loop(), max_bytes=LARGE)
        on_loop.on_next(delta(1))
        assert log.heard == [1]
        on_another_thread(lambda: on_loop.on_next(delta(2)))
        on_loop.on_next(delta(3))  # not before the value that waits
        assert log.heard == [1]
        await asyncio.sleep(0)
        assert log.heard == [1, 2, 3]
        on_loop.on_completed()
        assert log.heard == [1, 2, 3, "|"]
        other = Log()
        ObserveOnLoop(other, asyncio.get_running_loop(), max_bytes=LARGE).on_error(error := ValueError())
        assert other.heard == [error]

    asyncio.run(scenario())
