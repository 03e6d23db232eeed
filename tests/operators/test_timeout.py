"""Rules that all timeout operators keep, and the clocks that they use."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import pytest
import reactivex
from reactivex import Observable
from reactivex import operators as ops
from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import Disposable
from reactivex.scheduler import CurrentThreadScheduler, HistoricalScheduler, NewThreadScheduler
from reactivex.testing import ReactiveTest, TestScheduler

from rxresponses.errors import FirstEventTimeoutError, IdleTimeoutError, ResponseTimeoutError, TerminalTimeoutError
from rxresponses.operators import first_event_timeout, idle_timeout, timeout_on_terminal
from rxresponses.wire.codec import decode
from rxresponses.wire.events import ServerEvent
from tests.effort import examples

from ..support.events import completed, created, delta, error_event, failed, incomplete
from ..support.marbles import ManualScheduler, ManualSource, Operator, marbles

NEVER = 1e6


class Timeout(Protocol):
    __name__: str

    def __call__(
        self, seconds: float, other: Observable[ServerEvent] | None = None, *, scheduler: SchedulerBase | None = None
    ) -> Operator[ServerEvent]: ...


KINDS: dict[Timeout, type[ResponseTimeoutError]] = {
    first_event_timeout: FirstEventTimeoutError,
    idle_timeout: IdleTimeoutError,
    timeout_on_terminal: TerminalTimeoutError,
}
each = pytest.mark.parametrize("timeout", KINDS, ids=lambda timeout: timeout.__name__)


def timed_out(error: Exception, timeout: Timeout) -> ResponseTimeoutError:
    assert isinstance(error, ResponseTimeoutError)
    assert type(error) is KINDS[timeout]
    return error


@each
def test_completion_and_errors_pass_without_a_terminal_event(timeout: Timeout) -> None:
    error = OSError("lost")

    assert marbles(timeout(50), (210, created()), (220, None)).completions == [220]
    assert marbles(timeout(50), (220, error)).error is error


@each
def test_the_error_without_any_event(timeout: Timeout) -> None:
    error = timed_out(marbles(timeout(50)).error, timeout)

    assert (error.delivery, error.response_id, error.stream_id) == ("unknown", None, None)


@pytest.mark.parametrize("timeout", [idle_timeout, timeout_on_terminal])
def test_the_error_has_the_ids_of_the_events(timeout: Timeout) -> None:
    event = decode('{"type": "response.created", "response": {"id": "resp_9"}, "stream_id": "main"}')
    error = timed_out(marbles(timeout(50), (210, event), (220, delta("x"))).error, timeout)

    assert (error.delivery, error.response_id, error.stream_id) == ("started", "resp_9", "main")
    assert isinstance(error, TimeoutError)


@pytest.mark.parametrize(("timeout", "last_tick"), [(idle_timeout, 259), (timeout_on_terminal, 249)])
@pytest.mark.parametrize(
    "end", [completed(), failed(), incomplete(), error_event(), decode('{"type": "error", "code": 7}')]
)
def test_a_terminal_event_in_time_stops_the_timer(timeout: Timeout, last_tick: int, end: ServerEvent) -> None:
    seen = marbles(timeout(50), (210, created()), (last_tick, end), (700, delta("late")), (800, None))

    assert seen.values == [created(), end, delta("late")]
    assert seen.completions == [800]


@each
def test_other_goes_on_without_a_timeout(timeout: Timeout) -> None:
    scheduler = TestScheduler()
    other = scheduler.create_cold_observable(
        ReactiveTest.on_next(10, delta("other")),
        ReactiveTest.on_next(90, completed()),
        ReactiveTest.on_completed(300),
    )
    seen = marbles(timeout(50, other), (260, delta("late")), scheduler=scheduler)

    assert seen.timed == [(260, delta("other")), (340, completed())]
    assert seen.completions == [550]
    assert seen.subscriptions == [(200, 250)]
    assert [(entry.subscribe, entry.unsubscribe) for entry in other.subscriptions] == [(250, 550)]


@each
def test_other_is_disposed_with_the_subscription(timeout: Timeout) -> None:
    scheduler = TestScheduler()
    other: Any = scheduler.create_cold_observable()
    marbles(timeout(50, other), scheduler=scheduler, disposed=400)

    assert [(entry.subscribe, entry.unsubscribe) for entry in other.subscriptions] == [(250, 400)]


@each
def test_other_is_not_subscribed_when_the_source_is_in_time(timeout: Timeout) -> None:
    scheduler = TestScheduler()
    other: Any = scheduler.create_cold_observable()
    marbles(timeout(50, other), (210, completed()), scheduler=scheduler)

    assert other.subscriptions == []


@each
def test_a_given_scheduler_is_preferred_to_that_of_the_subscription(timeout: Timeout) -> None:
    source: ManualSource[ServerEvent] = ManualSource()
    clock, inherited = ManualScheduler(), ManualScheduler()
    source.observable.pipe(timeout(5, scheduler=clock)).subscribe(scheduler=inherited)

    assert len(clock.actions) == 1
    assert not inherited.actions
    assert source.schedulers == [inherited]


@each
def test_a_scheduler_of_the_subscription_is_used(timeout: Timeout) -> None:
    errors: list[Exception] = []
    scheduler = HistoricalScheduler()
    reactivex.never().pipe(timeout(5)).subscribe(on_error=errors.append, scheduler=scheduler)
    scheduler.advance_by(4.9)
    assert not errors
    scheduler.advance_by(0.2)

    assert timed_out(errors[0], timeout).delivery == "unknown"


@each
@pytest.mark.parametrize(
    "inherited", [None, CurrentThreadScheduler(), NewThreadScheduler()], ids=["none", "blocking", "run"]
)
def test_the_default_timer_is_a_daemon_thread_that_ends_with_the_response(
    timeout: Timeout, monkeypatch: pytest.MonkeyPatch, inherited: SchedulerBase | None
) -> None:
    before = set(threading.enumerate())
    source: ManualSource[ServerEvent] = ManualSource()
    source.observable.pipe(timeout(NEVER)).subscribe(scheduler=inherited)
    [thread] = set(threading.enumerate()) - before
    assert thread.daemon

    source.emit(completed())
    thread.join(5)
    assert not thread.is_alive()


@each
def test_the_default_timer_fires(timeout: Timeout) -> None:
    fired = threading.Event()
    errors: list[Exception] = []

    def on_error(error: Exception) -> None:
        errors.append(error)
        fired.set()

    source: ManualSource[ServerEvent] = ManualSource()
    source.observable.pipe(timeout(0.001)).subscribe(on_error=on_error)

    assert fired.wait(5)
    assert timed_out(errors[0], timeout).seconds == 0.001
    assert source.disposals == 1


@each
def test_run_raises_the_timeout(timeout: Timeout) -> None:
    with pytest.raises(KINDS[timeout]):
        reactivex.never().pipe(timeout(0.001)).run()


def test_a_timer_does_not_keep_the_program_alive() -> None:
    program = "import reactivex; from rxresponses import operators as rops\n" + "\n".join(
        f"reactivex.never().pipe(rops.{timeout.__name__}(1000)).subscribe()" for timeout in KINDS
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@each
def test_inside_a_loop_the_timer_is_on_the_loop(timeout: Timeout) -> None:
    async def main() -> None:
        before = set(threading.enumerate())
        loop = asyncio.get_running_loop()
        failed: asyncio.Future[tuple[Exception, int]] = loop.create_future()
        source: ManualSource[ServerEvent] = ManualSource()
        source.observable.pipe(timeout(0.001)).subscribe(
            on_error=lambda error: failed.set_result((error, threading.get_ident()))
        )
        assert set(threading.enumerate()) <= before
        error, thread = await failed
        assert timed_out(error, timeout).delivery == "unknown"
        assert thread == threading.get_ident()
        with pytest.raises(KINDS[timeout]):
            await reactivex.never().pipe(timeout(0.001))

    asyncio.run(main())


@each
def test_a_timer_on_a_loop_is_stopped_from_the_loop_and_from_other_threads(timeout: Timeout) -> None:
    async def main() -> None:
        handles: list[asyncio.TimerHandle] = []
        loop = asyncio.get_running_loop()
        call_later = loop.call_later

        def spy(*arguments: Any, **options: Any) -> asyncio.TimerHandle:
            handles.append(call_later(*arguments, **options))
            return handles[-1]

        loop.call_later = spy  # type: ignore[assignment,method-assign]
        source: ManualSource[ServerEvent] = ManualSource()
        piped = source.observable.pipe(timeout(NEVER))
        piped.subscribe().dispose()
        assert handles[0].cancelled()

        # From a thread without a loop, and from a thread with another loop.
        for dispose_in in (lambda dispose: dispose(), lambda dispose: asyncio.run(asyncio.to_thread(dispose))):
            subscription = piped.subscribe()
            thread = threading.Thread(target=dispose_in, args=(subscription.dispose,))
            thread.start()
            await asyncio.to_thread(thread.join)
            assert handles[-1].cancelled()

    asyncio.run(main())


@each
def test_disposing_after_the_loop_was_closed_raises_nothing(timeout: Timeout) -> None:
    async def main() -> DisposableBase:
        return reactivex.never().pipe(timeout(NEVER)).subscribe()

    asyncio.run(main()).dispose()


@each
def test_a_source_that_ends_after_the_timeout_is_ignored(timeout: Timeout) -> None:
    class Undisposable(ManualSource[ServerEvent]):
        """Goes on after it was disposed; a source on another thread may do so for a moment."""

        def _subscribe(self, observer: Any, scheduler: SchedulerBase | None = None) -> DisposableBase:
            super()._subscribe(observer, scheduler)
            return Disposable()

    for end in (
        ManualSource.complete,
        lambda source: source.fail(OSError()),
        lambda source: source.emit(completed(), delta("x")),
    ):
        source = Undisposable()
        clock = ManualScheduler()
        seen: list[object] = []
        other = reactivex.never()
        source.observable.pipe(timeout(5, other, scheduler=clock)).subscribe(
            seen.append, seen.append, partial(seen.append, "completed")
        )
        raw = source.observers[-1]
        clock.fire()
        raw.__dict__["is_stopped"] = False  # as if the event had passed this check before the timeout
        end(source)
        assert not seen


@each
def test_a_source_whose_disposing_raises_times_out_all_the_same(timeout: Timeout) -> None:
    def subscribe(observer: object, scheduler: SchedulerBase | None = None) -> DisposableBase:
        def fail() -> None:
            raise OSError("stuck")

        return Disposable(fail)

    clock = ManualScheduler()
    errors: list[Exception] = []
    source: Observable[ServerEvent] = Observable(subscribe)
    source.pipe(timeout(5, scheduler=clock)).subscribe(on_error=errors.append)
    with pytest.raises(OSError, match="stuck"):
        clock.fire()

    assert timed_out(errors[0], timeout).delivery == "unknown"


def race(first: Callable[[], None], second: Callable[[], None]) -> None:
    """Run both at the same time, on two threads."""
    barrier = threading.Barrier(2)

    def start(action: Callable[[], None]) -> None:
        barrier.wait()
        action()

    thread = threading.Thread(target=start, args=(first,))
    thread.start()
    start(second)
    thread.join()


@each
@pytest.mark.parametrize("last", [completed(), None], ids=["terminal event", "completion"])
def test_a_race_of_timeout_and_end_has_one_end(timeout: Timeout, last: ServerEvent | None) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for round_number in range(examples(1500)):
            received = round_of_a_race(
                timeout, [created(), *[delta("x")] * (round_number % 5)], last, round_number % 2 == 0
            )
            endings = [notification for notification in received if notification in ("timeout", "completed")]
            assert endings == [received[-1]]
            if last is not None:
                assert ("response.completed" in received) == (endings == ["completed"])
            if timeout is first_event_timeout:
                assert endings == ["completed"] or received == ["timeout"]
    finally:
        sys.setswitchinterval(interval)


def round_of_a_race(
    timeout: Timeout, events: list[ServerEvent], last: ServerEvent | None, clock_first: bool
) -> list[str]:
    source: ManualSource[ServerEvent] = ManualSource()
    clock = ManualScheduler()
    received: list[str] = []
    inside = threading.Lock()

    def receive(notification: str) -> None:
        assert inside.acquire(blocking=False), "two notifications at once"
        received.append(notification)
        inside.release()

    source.observable.pipe(timeout(5, scheduler=clock)).subscribe(
        lambda event: receive(event.type), lambda _: receive("timeout"), lambda: receive("completed")
    )

    def produce() -> None:
        for event in events:
            clock.time += 1
            source.emit(event)
        if last is not None:
            source.emit(last)
        source.complete()

    def fire() -> None:
        clock.fire()
        clock.fire()  # the timer for the rest of the time, if there is one

    race(fire, produce) if clock_first else race(produce, fire)
    return received


@each
@pytest.mark.parametrize("seconds", [0, -1, 0.0, math.nan, math.inf, -math.inf, 1e300])
def test_seconds_out_of_range(timeout: Timeout, seconds: float) -> None:
    with pytest.raises(ValueError, match="seconds must be positive"):
        timeout(seconds)


@each
@pytest.mark.parametrize("seconds", ["5", None, True, [5], 5j])
def test_seconds_that_are_no_number(timeout: Timeout, seconds: Any) -> None:
    with pytest.raises(TypeError, match="seconds must be a number"):
        timeout(seconds)


@each
@pytest.mark.parametrize("other", [5, "x", [created()], OSError()])
def test_other_that_is_no_observable(timeout: Timeout, other: Any) -> None:
    with pytest.raises(TypeError, match="other must be an Observable"):
        timeout(5, other)


@each
def test_a_retry_after_the_timeout_has_its_own_timer(timeout: Timeout) -> None:
    scheduler = TestScheduler()
    seen = marbles(
        lambda source: source.pipe(timeout(50), ops.retry(2)),
        (260, created()),
        (270, completed()),
        (280, None),
        scheduler=scheduler,
    )

    assert seen.values == [created(), completed()]
    assert seen.completions == [280]
    assert seen.subscriptions == [(200, 250), (250, 280)]


@pytest.mark.parametrize("operator", [timeout_on_terminal, idle_timeout])
def test_a_run_of_responses_has_the_limit_of_the_first(operator: Any) -> None:
    first = [(220, created()), (240, completed())]
    later = [(400, created("resp_2")), (900, delta("late")), (990, completed())]
    seen = marbles(operator(50), *first, *later, (999, None))
    assert (len(seen.values), seen.completions) == (5, [999])
