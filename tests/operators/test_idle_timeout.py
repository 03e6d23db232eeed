from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
import reactivex
from reactivex import Observable
from reactivex.abc import DisposableBase
from reactivex.disposable import Disposable
from reactivex.scheduler import HistoricalScheduler, TimeoutScheduler
from reactivex.testing import ReactiveTest, TestScheduler
from typing_extensions import assert_type

from rxresponses import ResponsesWebSocket
from rxresponses.errors import IdleTimeoutError
from rxresponses.operators import collect_text, filter_by_type, idle_timeout
from rxresponses.testing import Hold, ResponsesServer
from rxresponses.wire.events import ResponseCreatedEvent, ResponseTextDeltaEvent, ServerEvent
from rxresponses.wire.requests import ResponseCreate

from ..support.events import completed, created, delta
from ..support.marbles import ManualScheduler, ManualSource, marbles
from ..support.recorder import Recorder


def silent(error: Exception) -> IdleTimeoutError:
    assert isinstance(error, IdleTimeoutError)
    return error


def test_marble_of_the_docstring() -> None:
    seen = marbles(
        idle_timeout(50), (220, created()), (240, delta("He")), (260, delta("llo")), (400, delta("!")), (500, None)
    )

    assert seen.values == [created(), delta("He"), delta("llo")]
    assert seen.errors[0][0] == 310
    assert silent(seen.error).seconds == 50
    assert seen.subscriptions == [(200, 310)]


def test_the_time_starts_with_the_subscription() -> None:
    assert marbles(idle_timeout(50), (251, created())).errors[0][0] == 250


def test_each_event_restarts_the_time() -> None:
    times = range(249, 990, 49)  # each event comes one tick before the timeout
    seen = marbles(idle_timeout(50), *[(time, delta("x")) for time in times], (999, None))

    assert len(seen.values) == len(times)
    assert seen.completions == [999]


def test_the_time_counts_from_the_last_event_and_not_from_the_timer() -> None:
    for last in range(201, 250):
        assert marbles(idle_timeout(50), (last, created())).errors[0][0] == last + 50


def test_an_event_at_the_last_tick_is_in_time() -> None:
    assert marbles(idle_timeout(50), (250, created())).errors[0][0] == 300


def test_an_event_starts_no_timer() -> None:
    source: ManualSource[ServerEvent] = ManualSource()
    clock = ManualScheduler()
    source.observable.pipe(idle_timeout(5, scheduler=clock)).subscribe()
    for _ in range(1000):
        clock.time += 0.001
        source.emit(delta("x"))
    assert clock.delays == [5]

    clock.time = 5
    clock.fire()
    assert clock.delays == [5, pytest.approx(1)]
    source.emit(completed())
    assert clock.disposals == 2  # the timer that fired is disposed too
    clock.fire()
    assert len(clock.delays) == 2


def test_a_timer_that_fires_after_the_end_does_nothing() -> None:
    source: ManualSource[ServerEvent] = ManualSource()
    clock = ManualScheduler()
    seen: list[object] = []
    source.observable.pipe(idle_timeout(5, scheduler=clock)).subscribe(seen.append, seen.append)
    clock.time = 1
    source.emit(delta("x"), completed())
    clock.time = 9
    clock.fire()

    assert seen == [delta("x"), completed()]
    assert clock.delays == [5]


def test_time_inside_the_observer_does_not_count() -> None:
    source: ManualSource[ServerEvent] = ManualSource()
    clock = ManualScheduler()
    errors: list[Exception] = []

    def on_next(event: ServerEvent) -> None:
        clock.time = 100
        thread = threading.Thread(target=clock.fire)
        thread.start()
        thread.join()
        clock.time = 103

    source.observable.pipe(idle_timeout(5, scheduler=clock)).subscribe(on_next, errors.append)
    source.emit(created())
    clock.time = 105
    clock.fire()
    assert not errors
    clock.time = 108
    clock.fire()

    assert silent(errors[0]).delivery == "started"
    assert clock.delays == [5, 5, 3]


def test_events_emitted_by_the_observer_count_too() -> None:
    source: ManualSource[ServerEvent] = ManualSource()
    clock = ManualScheduler()
    seen: list[Any] = []

    def on_next(event: ServerEvent) -> None:
        seen.append(event)
        if len(seen) == 1:
            source.emit(delta("from within"))
            clock.time = 9
            clock.fire()

    source.observable.pipe(idle_timeout(5, scheduler=clock)).subscribe(on_next, seen.append)
    source.emit(created())
    assert seen == [created(), delta("from within")]
    clock.time = 14
    clock.fire()
    clock.fire()

    assert silent(seen[2]).delivery == "started"


def test_an_observer_that_raises_does_not_stop_the_timer() -> None:
    source: ManualSource[ServerEvent] = ManualSource()
    clock = ManualScheduler()
    errors: list[Exception] = []

    def on_next(event: ServerEvent) -> None:
        clock.time += 1
        raise ZeroDivisionError

    source.observable.pipe(idle_timeout(5, scheduler=clock)).subscribe(on_next, errors.append)
    with pytest.raises(ZeroDivisionError):
        source.emit(created())
    clock.fire()
    assert not errors
    clock.fire()

    assert silent(errors[0]).delivery == "started"


@pytest.mark.parametrize(("jump", "rest"), [(-1000, 5), (1000, 0)])
def test_a_clock_that_is_set_delays_the_timeout_by_at_most_its_seconds(jump: float, rest: float) -> None:
    source: ManualSource[ServerEvent] = ManualSource()
    clock = ManualScheduler()
    errors: list[Exception] = []
    source.observable.pipe(idle_timeout(5, scheduler=clock)).subscribe(on_error=errors.append)
    clock.time = 1
    source.emit(created())
    clock.time += jump
    clock.fire()
    assert clock.delays == [5, rest]
    assert not errors
    clock.fire()

    assert silent(errors[0]).delivery == "started"


def test_a_timer_that_fires_before_its_start_returns_keeps_the_next_timer() -> None:
    """A timer on another thread may do so while the thread that starts it is held up."""

    class Hasty(ManualScheduler):
        def schedule_relative(self, duetime: Any, action: Any, state: Any = None) -> DisposableBase:
            super().schedule_relative(duetime, action, state)
            number = len(self.actions)
            if number == 2:
                self.time += 1
                source.emit(delta("meanwhile"))
                thread = threading.Thread(target=self.fire)
                thread.start()
                thread.join()
            return Disposable(lambda: disposed.append(number))

    disposed: list[int] = []
    source: ManualSource[ServerEvent] = ManualSource()
    clock = Hasty()
    errors: list[Exception] = []
    source.observable.pipe(idle_timeout(5, scheduler=clock)).subscribe(on_error=errors.append)
    clock.time = 1
    source.emit(created())
    clock.fire()
    assert sorted(disposed) == [1, 2]
    clock.fire()

    assert len(clock.actions) == 3
    assert silent(errors[0]).delivery == "started"


@pytest.mark.parametrize("seconds", [0.1, 1 / 3, 0.7, 1e-6, 12345.678])
def test_fractions_of_virtual_time(seconds: float) -> None:
    scheduler = HistoricalScheduler()
    start = scheduler.now
    errors: list[float] = []
    source: ManualSource[ServerEvent] = ManualSource()
    source.observable.pipe(idle_timeout(seconds)).subscribe(
        on_error=lambda _: errors.append((scheduler.now - start).total_seconds()), scheduler=scheduler
    )
    for part in range(1, 4):
        scheduler.schedule_relative(seconds * part * 0.77, lambda *_: source.emit(delta("x")))
    scheduler.start()

    assert errors == [pytest.approx(seconds * 3.31, abs=3e-6)]


def test_a_silent_source_that_goes_on_with_other() -> None:
    scheduler = TestScheduler()
    other: Any = scheduler.create_cold_observable(
        ReactiveTest.on_next(10, delta("other")), ReactiveTest.on_next(90, completed()), ReactiveTest.on_completed(300)
    )
    seen = marbles(idle_timeout(50, other), (230, created()), (290, delta("late")), scheduler=scheduler)

    assert seen.timed == [(230, created()), (290, delta("other")), (370, completed())]
    assert seen.completions == [580]
    assert seen.subscriptions == [(200, 280)]


def test_type_is_kept() -> None:
    source = ManualSource[ServerEvent]().observable
    deltas = source.pipe(filter_by_type(ResponseTextDeltaEvent))

    assert_type(source.pipe(idle_timeout(5)), Observable[ServerEvent])
    assert_type(source.pipe(idle_timeout(5, source)), Observable[ServerEvent])
    assert_type(deltas.pipe(idle_timeout(5)), Observable[ResponseTextDeltaEvent])


def test_the_timer_of_a_thread_goes_on_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    source: ManualSource[ServerEvent] = ManualSource()
    errors: list[Exception] = []
    delays: list[float] = []
    fired = threading.Event()
    schedule = TimeoutScheduler.schedule_relative

    def spy(self: TimeoutScheduler, duetime: Any, action: Any, state: Any = None) -> DisposableBase:
        delays.append(duetime)
        return schedule(self, duetime, action, state)

    def on_error(error: Exception) -> None:
        errors.append(error)
        fired.set()

    monkeypatch.setattr(TimeoutScheduler, "schedule_relative", spy)
    source.observable.pipe(idle_timeout(0.5)).subscribe(on_error=on_error)
    source.emit(created())

    assert fired.wait(10)
    assert silent(errors[0]).seconds == 0.5
    assert source.disposals == 1
    first, rest = delays
    assert first == 0.5
    assert 0 <= rest < 0.5


def test_the_timer_of_a_loop_goes_on_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        delays: list[float] = []
        loop = asyncio.get_running_loop()
        call_later = loop.call_later

        def spy(delay: float, *arguments: Any) -> asyncio.TimerHandle:
            delays.append(delay)
            return call_later(delay, *arguments)

        monkeypatch.setattr(loop, "call_later", spy)
        events: Observable[ServerEvent] = reactivex.from_iterable([created(), delta("x")])
        with pytest.raises(IdleTimeoutError):
            await reactivex.concat(events, reactivex.never()).pipe(idle_timeout(0.5))
        first, rest = delays
        assert first == 0.5
        assert 0 <= rest < 0.5

    asyncio.run(main())


def test_scenario_55_silence_in_mid_response(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    gate = server.gate()
    server.reply(["text", Hold(gate, after=5)], "second")
    clock = ManualScheduler()
    ask = ResponseCreate(model="m", input="hi")
    got = Recorder(socket.send_request(ask, stream_id="a").pipe(idle_timeout(5, scheduler=clock)))
    clock.time = 1
    got.wait_for(5)
    clock.time = 5
    # The observer may still handle the last event, whose time is then not known yet.
    while not got.ended:
        clock.time += 5
        clock.fire()

    assert silent(got.error).delivery == "started"
    assert isinstance(got.values[0], ResponseCreatedEvent)
    assert (got.error.stream_id, got.error.response_id) == ("a", got.values[0].response.id)
    assert len(got.values) == 5

    second = Recorder(socket.send_request(ask, stream_id="a").pipe(collect_text()))
    gate.open()  # the disposed response ends, and its lane is free again
    assert second.wait().values == ["second"]
    assert server.accepted == 1


def test_scenario_55_on_the_real_clock_of_a_loop(server: ResponsesServer) -> None:
    gate = server.gate()
    server.reply("first", ["text", Hold(gate, after=5)], "third")
    ask = ResponseCreate(model="m", input="hi")

    async def main() -> None:
        async with ResponsesWebSocket(server.url) as socket:
            assert await socket.send_request(ask).pipe(idle_timeout(10), collect_text()) == "first"
            with pytest.raises(IdleTimeoutError):
                await socket.send_request(ask).pipe(idle_timeout(0.05), collect_text())
            third = asyncio.ensure_future(socket.send_request(ask).pipe(collect_text()))
            gate.open()
            assert await third == "third"

    asyncio.run(asyncio.wait_for(main(), 30))
    assert server.accepted == 1
