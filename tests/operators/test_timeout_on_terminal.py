from __future__ import annotations

import asyncio
import math
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import reactivex
from reactivex import Observable
from reactivex import operators as ops
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import Disposable
from reactivex.scheduler import CurrentThreadScheduler, HistoricalScheduler, NewThreadScheduler, TimeoutScheduler
from reactivex.testing import ReactiveTest, TestScheduler
from typing_extensions import assert_type

from rxresponses.codec import decode
from rxresponses.errors import TerminalTimeoutError
from rxresponses.events import ResponseTextDeltaEvent, ServerEvent
from rxresponses.operators import filter_by_type, timeout_on_terminal

from .support import Hand, completed, created, delta, error_event, failed, incomplete, marbles

NEVER = 1e6


class ByHand(TimeoutScheduler):
    """A clock that a test moves: keeps what is scheduled, and runs it when told to."""

    def __new__(cls) -> ByHand:
        return object.__new__(cls)

    def __init__(self) -> None:
        self.actions: list[Any] = []
        self.disposals = 0

    def schedule_relative(self, duetime: Any, action: Any, state: Any = None) -> DisposableBase:
        self.actions.append(action)
        return Disposable(self._dispose)

    def _dispose(self) -> None:
        self.disposals += 1

    def fire(self) -> None:
        self.actions[-1](self, None)


def timed_out(error: Exception) -> TerminalTimeoutError:
    assert isinstance(error, TerminalTimeoutError)
    return error


def test_marble_of_the_docstring() -> None:
    seen = marbles(
        timeout_on_terminal(50),
        (210, created()),
        (220, delta("He")),
        (230, delta("llo")),
        (300, completed()),
        (310, None),
    )

    assert seen.values == [created(), delta("He"), delta("llo")]
    assert seen.errors[0][0] == 250
    assert timed_out(seen.error).seconds == 50
    assert seen.subscriptions == [(200, 250)]


@pytest.mark.parametrize(
    "end", [completed(), failed(), incomplete(), error_event(), decode('{"type": "error", "code": 7}')]
)
def test_a_terminal_event_in_time_stops_the_clock(end: ServerEvent) -> None:
    seen = marbles(timeout_on_terminal(50), (210, created()), (249, end), (400, delta("late")), (500, None))

    assert seen.values == [created(), end, delta("late")]
    assert seen.completions == [500]


def test_completion_and_errors_pass_without_a_terminal_event() -> None:
    error = OSError("lost")

    assert marbles(timeout_on_terminal(50), (210, created()), (220, None)).completions == [220]
    assert marbles(timeout_on_terminal(50), (220, error)).error is error


def test_the_error_says_what_was_seen() -> None:
    event = decode('{"type": "response.created", "response": {"id": "resp_9"}, "stream_id": "main"}')
    error = timed_out(marbles(timeout_on_terminal(50), (210, event), (220, delta("x"))).error)

    assert (error.delivery, error.response_id, error.stream_id) == ("started", "resp_9", "main")
    assert isinstance(error, TimeoutError)


def test_the_error_of_silence() -> None:
    error = timed_out(marbles(timeout_on_terminal(50)).error)

    assert (error.delivery, error.response_id, error.stream_id) == ("unknown", None, None)


def test_the_error_without_a_created_event() -> None:
    error = timed_out(marbles(timeout_on_terminal(50), (210, delta("x", stream_id="a")), (220, delta("y"))).error)

    assert (error.delivery, error.response_id, error.stream_id) == ("started", None, "a")


def test_other_goes_on_under_no_clock() -> None:
    scheduler = TestScheduler()
    other = scheduler.create_cold_observable(
        ReactiveTest.on_next(10, delta("other")),
        ReactiveTest.on_next(90, completed()),
        ReactiveTest.on_completed(300),
    )
    seen = marbles(timeout_on_terminal(50, other), (210, created()), (260, delta("late")), scheduler=scheduler)

    assert seen.timed == [(210, created()), (260, delta("other")), (340, completed())]
    assert seen.completions == [550]
    assert seen.subscriptions == [(200, 250)]
    assert [(one.subscribe, one.unsubscribe) for one in other.subscriptions] == [(250, 550)]


def test_other_is_disposed_with_the_subscription() -> None:
    scheduler = TestScheduler()
    other: Any = scheduler.create_cold_observable()
    marbles(timeout_on_terminal(50, other), scheduler=scheduler, disposed=400)

    assert [(one.subscribe, one.unsubscribe) for one in other.subscriptions] == [(250, 400)]


def test_other_is_left_alone_when_all_is_in_time() -> None:
    scheduler = TestScheduler()
    other: Any = scheduler.create_cold_observable()
    marbles(timeout_on_terminal(50, other), (210, completed()), scheduler=scheduler)

    assert other.subscriptions == []


def test_one_timer_a_subscription_whatever_comes() -> None:
    hand: Hand[ServerEvent] = Hand()
    clock = ByHand()
    piped = hand.source.pipe(timeout_on_terminal(5, scheduler=clock))
    piped.subscribe()
    hand.emit(created(), *[delta("x")] * 50)
    assert len(clock.actions) == 1
    assert clock.disposals == 0

    hand.emit(completed())
    assert clock.disposals == 1
    hand.complete()
    assert (len(clock.actions), clock.disposals, hand.disposals) == (1, 1, 1)

    piped.subscribe().dispose()
    assert (len(clock.actions), clock.disposals) == (2, 2)


def test_a_given_scheduler_beats_that_of_the_subscription() -> None:
    hand: Hand[ServerEvent] = Hand()
    clock, inherited = ByHand(), ByHand()
    hand.source.pipe(timeout_on_terminal(5, scheduler=clock)).subscribe(scheduler=inherited)

    assert len(clock.actions) == 1
    assert not inherited.actions
    assert hand.schedulers == [inherited]


def test_a_scheduler_of_the_subscription_is_used() -> None:
    errors: list[Exception] = []
    scheduler = HistoricalScheduler()
    reactivex.never().pipe(timeout_on_terminal(5)).subscribe(on_error=errors.append, scheduler=scheduler)
    scheduler.advance_by(4.9)
    assert not errors
    scheduler.advance_by(0.2)

    assert timed_out(errors[0]).delivery == "unknown"


@pytest.mark.parametrize(
    "inherited", [None, CurrentThreadScheduler(), NewThreadScheduler()], ids=["none", "blocking", "run"]
)
def test_default_clock_is_one_daemon_thread_that_ends_with_the_response(
    monkeypatch: pytest.MonkeyPatch, inherited: SchedulerBase | None
) -> None:
    before = set(threading.enumerate())
    hand: Hand[ServerEvent] = Hand()
    hand.source.pipe(timeout_on_terminal(NEVER)).subscribe(scheduler=inherited)
    [thread] = set(threading.enumerate()) - before
    assert thread.daemon

    hand.emit(completed())
    thread.join(5)
    assert not thread.is_alive()


def test_the_default_clock_fires() -> None:
    fired = threading.Event()
    errors: list[Exception] = []

    def on_error(error: Exception) -> None:
        errors.append(error)
        fired.set()

    hand: Hand[ServerEvent] = Hand()
    hand.source.pipe(timeout_on_terminal(0.001)).subscribe(on_error=on_error)

    assert fired.wait(5)
    assert timed_out(errors[0]).seconds == 0.001
    assert hand.disposals == 1


def test_run_meets_the_timeout() -> None:
    with pytest.raises(TerminalTimeoutError):
        reactivex.never().pipe(timeout_on_terminal(0.001)).run()


def test_a_clock_does_not_keep_the_program_alive() -> None:
    program = (
        "import reactivex; from rxresponses import operators as rops;"
        "reactivex.never().pipe(rops.timeout_on_terminal(1000)).subscribe()"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_inside_a_loop_the_clock_is_the_loop() -> None:
    async def main() -> None:
        before = threading.active_count()
        loop = asyncio.get_running_loop()
        failed: asyncio.Future[tuple[Exception, int]] = loop.create_future()
        hand: Hand[ServerEvent] = Hand()
        hand.source.pipe(timeout_on_terminal(0.001)).subscribe(
            on_error=lambda error: failed.set_result((error, threading.get_ident()))
        )
        assert threading.active_count() == before
        error, thread = await failed
        assert timed_out(error).delivery == "unknown"
        assert thread == threading.get_ident()
        with pytest.raises(TerminalTimeoutError):
            await reactivex.never().pipe(timeout_on_terminal(0.001))

    asyncio.run(main())


def test_a_clock_on_a_loop_is_stopped_from_there_and_from_other_threads() -> None:
    async def main() -> None:
        handles: list[asyncio.TimerHandle] = []
        loop = asyncio.get_running_loop()
        call_later = loop.call_later

        def spy(*arguments: Any, **options: Any) -> asyncio.TimerHandle:
            handles.append(call_later(*arguments, **options))
            return handles[-1]

        loop.call_later = spy  # type: ignore[assignment,method-assign]
        hand: Hand[ServerEvent] = Hand()
        piped = hand.source.pipe(timeout_on_terminal(NEVER))
        piped.subscribe().dispose()
        assert handles[0].cancelled()

        # Where no loop runs, and where another one does.
        for dispose_in in (lambda dispose: dispose(), lambda dispose: asyncio.run(asyncio.to_thread(dispose))):
            subscription = piped.subscribe()
            thread = threading.Thread(target=dispose_in, args=(subscription.dispose,))
            thread.start()
            await asyncio.to_thread(thread.join)
            assert handles[-1].cancelled()

    asyncio.run(main())


def test_a_clock_on_a_closed_loop_is_no_trouble() -> None:
    async def main() -> DisposableBase:
        return reactivex.never().pipe(timeout_on_terminal(NEVER)).subscribe()

    asyncio.run(main()).dispose()


def test_the_timeout_waits_for_the_event_in_delivery() -> None:
    """The observer never hears two things at once, and the source is disposed at once all the same."""
    hand: Hand[ServerEvent] = Hand()
    clock = ByHand()
    calls: list[str] = []
    errors: list[Exception] = []

    def on_next(event: ServerEvent) -> None:
        calls.append("enter")
        thread = threading.Thread(target=clock.fire)
        thread.start()
        thread.join()
        assert hand.disposals == 1
        hand.emit(delta("from within"), completed())
        calls.append("leave")

    def on_error(error: Exception) -> None:
        calls.append("error")
        errors.append(error)

    hand.source.pipe(timeout_on_terminal(5, scheduler=clock)).subscribe(on_next, on_error)
    hand.emit(created())

    assert calls == ["enter", "leave", "error"]
    assert timed_out(errors[0]).response_id == "resp_1"
    hand.emit(delta("after"))
    hand.complete()
    clock.fire()
    assert calls == ["enter", "leave", "error"]


def test_the_timeout_waits_for_the_outermost_delivery() -> None:
    hand: Hand[ServerEvent] = Hand()
    clock = ByHand()
    calls: list[str] = []

    def on_next(event: ServerEvent) -> None:
        calls.append("enter")
        if len(calls) == 1:
            hand.emit(delta("from within"))
        else:
            clock.fire()
        calls.append("leave")

    hand.source.pipe(timeout_on_terminal(5, scheduler=clock)).subscribe(on_next, lambda _: calls.append("error"))
    hand.emit(created())

    assert calls == ["enter", "enter", "leave", "leave", "error"]


def test_disposing_while_a_timeout_waits_cancels_it() -> None:
    hand: Hand[ServerEvent] = Hand()
    clock = ByHand()
    others: list[object] = []
    errors: list[Exception] = []

    def go_on(_: object) -> Observable[ServerEvent]:
        others.append("subscribed")
        return reactivex.empty()

    def on_next(event: ServerEvent) -> None:
        clock.fire()
        subscription.dispose()

    piped: Observable[ServerEvent] = hand.source.pipe(timeout_on_terminal(5, reactivex.defer(go_on), scheduler=clock))
    subscription = piped.subscribe(on_next, errors.append)
    hand.emit(created())

    assert not others
    assert not errors


def test_source_endings_after_the_timeout_are_not_heard() -> None:
    class Deaf(Hand[ServerEvent]):
        """Goes on after it was disposed, as a source on another thread may for a moment."""

        def _subscribe(self, observer: Any, scheduler: SchedulerBase | None = None) -> DisposableBase:
            super()._subscribe(observer, scheduler)
            return Disposable()

    for end in (Hand.complete, lambda hand: hand.fail(OSError()), lambda hand: hand.emit(completed(), delta("x"))):
        hand = Deaf()
        clock = ByHand()
        seen: list[object] = []
        other = reactivex.never()
        hand.source.pipe(timeout_on_terminal(5, other, scheduler=clock)).subscribe(
            seen.append, seen.append, partial(seen.append, "completed")
        )
        raw = hand.observers[-1]
        clock.fire()
        raw.__dict__["is_stopped"] = False  # as if the event had been past that point already
        end(hand)
        assert not seen


def test_an_observer_that_raises_does_not_stop_the_clock() -> None:
    hand: Hand[ServerEvent] = Hand()
    clock = ByHand()
    errors: list[Exception] = []

    def on_next(event: ServerEvent) -> None:
        raise ZeroDivisionError

    hand.source.pipe(timeout_on_terminal(5, scheduler=clock)).subscribe(on_next, errors.append)
    with pytest.raises(ZeroDivisionError):
        hand.emit(created())
    assert not errors
    clock.fire()

    assert timed_out(errors[0]).delivery == "started"


def test_a_source_that_cannot_be_disposed_times_out_all_the_same() -> None:
    def subscribe(observer: object, scheduler: SchedulerBase | None = None) -> DisposableBase:
        def fail() -> None:
            raise OSError("stuck")

        return Disposable(fail)

    clock = ByHand()
    errors: list[Exception] = []
    source: Observable[ServerEvent] = Observable(subscribe)
    source.pipe(timeout_on_terminal(5, scheduler=clock)).subscribe(on_error=errors.append)
    with pytest.raises(OSError, match="stuck"):
        clock.fire()

    assert timed_out(errors[0]).delivery == "unknown"


def race(one: Callable[[], None], another: Callable[[], None]) -> None:
    """Run both at the same moment."""
    barrier = threading.Barrier(2)

    def start(action: Callable[[], None]) -> None:
        barrier.wait()
        action()

    thread = threading.Thread(target=start, args=(one,))
    thread.start()
    start(another)
    thread.join()


@pytest.mark.parametrize("last", [completed(), None], ids=["terminal event", "completion"])
def test_timeout_and_end_race_to_one_ending(last: ServerEvent | None) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for round_number in range(600):
            hand: Hand[ServerEvent] = Hand()
            clock = ByHand()
            heard: list[str] = []
            inside = threading.Lock()

            def hear(what: str, heard: list[str] = heard, inside: threading.Lock = inside) -> None:
                assert inside.acquire(blocking=False), "two notifications at once"
                heard.append(what)
                inside.release()

            hand.source.pipe(timeout_on_terminal(5, scheduler=clock)).subscribe(
                lambda event, hear=hear: hear(event.type),  # type: ignore[misc]
                lambda error, hear=hear: hear("timeout"),  # type: ignore[misc]
                lambda hear=hear: hear("completed"),  # type: ignore[misc]
            )

            def produce(hand: Hand[ServerEvent] = hand) -> None:
                hand.emit(created(), *[delta("x")] * (round_number % 5))  # noqa: B023
                if last is not None:
                    hand.emit(last)
                hand.complete()

            race(produce, clock.fire) if round_number % 2 else race(clock.fire, produce)
            endings = [what for what in heard if what in ("timeout", "completed")]
            assert endings == [heard[-1]]
            if last is not None:
                assert ("response.completed" in heard) == (endings == ["completed"])
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.parametrize("seconds", [0, -1, 0.0, math.nan, math.inf, -math.inf, 1e300])
def test_seconds_out_of_range(seconds: float) -> None:
    with pytest.raises(ValueError, match="seconds must be positive"):
        timeout_on_terminal(seconds)


@pytest.mark.parametrize("seconds", ["5", None, True, [5], 5j])
def test_seconds_that_are_no_number(seconds: Any) -> None:
    with pytest.raises(TypeError, match="seconds must be a number"):
        timeout_on_terminal(seconds)


@pytest.mark.parametrize("other", [5, "x", [created()], OSError()])
def test_other_that_is_no_observable(other: Any) -> None:
    with pytest.raises(TypeError, match="other must be an Observable"):
        timeout_on_terminal(5, other)


def test_a_retry_after_the_timeout_has_a_clock_of_its_own() -> None:
    scheduler = TestScheduler()
    seen = marbles(
        lambda source: source.pipe(timeout_on_terminal(50), ops.retry(2)),
        (210, created()),
        (260, delta("x")),
        (270, completed()),
        (280, None),
        scheduler=scheduler,
    )

    assert seen.values == [created(), delta("x"), completed()]
    assert seen.completions == [280]
    assert seen.subscriptions == [(200, 250), (250, 280)]


def test_type_is_kept() -> None:
    source = Hand[ServerEvent]().source
    deltas = source.pipe(filter_by_type(ResponseTextDeltaEvent))

    assert_type(source.pipe(timeout_on_terminal(5)), Observable[ServerEvent])
    assert_type(source.pipe(timeout_on_terminal(5, source)), Observable[ServerEvent])
    assert_type(deltas.pipe(timeout_on_terminal(5)), Observable[ResponseTextDeltaEvent])
