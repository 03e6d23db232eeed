from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest
import reactivex
from reactivex import Observable
from reactivex import operators as ops
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import Disposable
from reactivex.scheduler import ImmediateScheduler
from reactivex.testing import ReactiveTest, TestScheduler
from typing_extensions import assert_type

from rxresponses import ResponsesWebSocket
from rxresponses import operators as rops
from rxresponses.backoff import Backoff, is_retryable
from rxresponses.errors import (
    ConnectFailedError,
    ConnectionLostError,
    Delivery,
    InvalidRequestError,
    ResponseFailedError,
    SocketClosedError,
)
from rxresponses.operators import collect_text, retry_with_backoff, text_deltas
from rxresponses.testing import Close, Failure, Fault, Raw, RefuseUpgrade, ResponsesServer
from rxresponses.wire.events import ResponseErrorDetail, ResponseErrorEvent, ServerEvent
from rxresponses.wire.requests import ResponseCreate

from ..support.events import completed, created, delta, error_event, failed, incomplete
from ..support.marbles import ManualScheduler, ManualSource, Step
from ..support.recorder import Recorder

STEADY = Backoff(initial=10, factor=2, max_delay=50, jitter=0, max_retries=4)
AT_ONCE = Backoff(initial=0, jitter=0)


def lost(delivery: Delivery = "not_sent") -> ConnectionLostError:
    return ConnectionLostError("lost", delivery=delivery)


def refused(status: int = 503, **headers: str) -> ConnectFailedError:
    return ConnectFailedError(
        "refused", status=status, headers={name.replace("_", "-"): headers[name] for name in headers}
    )


def never(error: Exception) -> None:
    raise AssertionError("no error was expected") from error


class Script:
    """A cold source: its nth subscription plays the nth line, with times that count from the subscription."""

    def __init__(self, *lines: Iterable[Step]) -> None:
        self.scheduler = TestScheduler()
        self._lines = [self.scheduler.create_cold_observable(*map(_message, line)) for line in lines]
        self._next = iter(self._lines)
        self.source: Observable[ServerEvent] = reactivex.defer(lambda _: next(self._next))

    def play(self, operator: Callable[[Observable[Any]], Observable[Any]], disposed: float = 1000) -> list[Any]:
        """Subscribe at 200; return the time and the content of each notification, `None` for completion."""
        received: list[Any] = []

        def receive(content: object = None) -> None:
            received.append((self.scheduler.clock, content))

        self.scheduler.start(
            lambda: self.source.pipe(operator, ops.do_action(receive, receive, receive)), disposed=disposed
        )
        return received

    @property
    def subscriptions(self) -> list[tuple[float, float]]:
        return [(entry.subscribe, entry.unsubscribe) for line in self._lines for entry in line.subscriptions]


def _message(step: Step) -> Any:
    time, content = step
    if content is None:
        return ReactiveTest.on_completed(time)
    if isinstance(content, Exception):
        return ReactiveTest.on_error(time, content)
    return ReactiveTest.on_next(time, content)


WHOLE: list[Step] = [
    (5, created()),
    (10, delta("He")),
    (20, completed()),
    (20, None),
]


def test_marble_of_the_docstring() -> None:
    script = Script([(20, lost())], WHOLE)

    assert script.play(retry_with_backoff(STEADY)) == [
        (235, created()),
        (240, delta("He")),
        (250, completed()),
        (250, None),
    ]
    assert script.subscriptions == [(200, 220), (230, 250)]


def test_waits_grow_and_the_last_error_has_the_number_of_tries() -> None:
    errors = [lost() for _ in range(5)]
    script = Script(*([(1, error)] for error in errors))
    received = script.play(retry_with_backoff(STEADY))

    assert [begin for begin, _ in script.subscriptions] == [200, 211, 232, 273, 324]
    assert received == [(325, errors[-1])]
    assert errors[-1].tries == 5


def test_without_retries_there_is_one_try() -> None:
    script = Script([(1, lost())], WHOLE)
    [(time, error)] = script.play(retry_with_backoff(Backoff(max_retries=0)))

    assert (time, error.tries) == (201, 1)


@pytest.mark.parametrize("status", [401, 403, 404, 426])
def test_a_permanent_refusal_is_not_tried_again(status: int) -> None:
    error = refused(status)
    script = Script([(1, error)], WHOLE)

    assert script.play(retry_with_backoff(STEADY)) == [(201, error)]
    assert error.tries == 1


def test_a_permanent_refusal_counts_the_tries_before_it() -> None:
    error = refused(401)
    Script([(1, refused(503))], [(1, error)]).play(retry_with_backoff(STEADY))

    assert error.tries == 2


def test_retry_after_of_a_refused_upgrade_is_obeyed() -> None:
    script = Script([(1, refused(429, Retry_After="77"))], WHOLE)
    script.play(retry_with_backoff(STEADY))

    assert script.subscriptions[1][0] == 201 + 77


@pytest.mark.parametrize("hint", ["601", "99999999999", "1e300"])
def test_scenario_28_a_retry_after_that_is_too_long_ends_the_tries_at_once(hint: str) -> None:
    error = refused(429, Retry_After=hint)
    script = Script([(1, error)], WHOLE)

    assert script.play(retry_with_backoff(STEADY)) == [(201, error)]
    assert error.tries == 1
    assert f"asks to wait {float(hint):g} s" in str(error)


def test_an_error_that_is_never_retried_does_not_mention_retry_after() -> None:
    error = refused(401, Retry_After="601")
    Script([(1, error)]).play(retry_with_backoff(STEADY))

    assert "asks to wait" not in str(error)


def test_the_program_chooses_how_long_a_retry_after_may_be() -> None:
    script = Script([(1, refused(429, Retry_After="700"))], WHOLE)
    script.play(retry_with_backoff(dataclasses.replace(STEADY, max_retry_after=1000.0)))

    assert script.subscriptions[1][0] == 201 + 700


def test_a_rejection_in_a_stream_of_events_is_held_back_and_its_retry_after_obeyed() -> None:
    script = Script([(1, error_event()), (2, None)], WHOLE)
    received = script.play(retry_with_backoff(STEADY))

    assert [event for _, event in received] == [created(), delta("He"), completed(), None]
    assert script.subscriptions == [(200, 201), (204, 224)]  # disposed at the event, not later


def test_the_last_rejection_is_emitted_as_its_event() -> None:
    events = [error_event(message=f"slow down {number}") for number in range(5)]
    script = Script(*([(1, event), (2, None)] for event in events))
    received = script.play(retry_with_backoff(STEADY))

    assert [content for _, content in received] == [events[-1], None]


@pytest.mark.parametrize(
    "event",
    [
        error_event("insufficient_quota"),
        ResponseErrorEvent(error=ResponseErrorDetail(code="invalid_prompt"), status=400),
        failed(),  # the response had started, although `response.created` did not come
        incomplete(),
        completed(),
    ],
)
def test_a_first_event_that_deserves_no_other_try_passes(event: ServerEvent) -> None:
    script = Script([(1, event), (2, None)], WHOLE)

    assert script.play(retry_with_backoff(STEADY)) == [(201, event), (202, None)]


def test_after_an_event_nothing_is_tried_again_whatever_when_says() -> None:
    for end in (lost("started"), lost("not_sent")):
        script = Script([(1, created()), (2, end)], WHOLE)
        assert script.play(retry_with_backoff(STEADY, when=lambda error: True)) == [(201, created()), (202, end)]
        assert end.tries == 1

    script = Script([(1, created()), (2, delta("a")), (3, error_event()), (4, None)], WHOLE)
    received = script.play(retry_with_backoff(STEADY, when=lambda error: True))
    assert received == [(201, created()), (202, delta("a")), (203, error_event()), (204, None)]


def test_scenario_64_an_error_at_a_limit_behind_created_is_repeated() -> None:
    script = Script([(1, created()), (2, error_event()), (3, None)], WHOLE)
    received = script.play(retry_with_backoff(STEADY))
    assert received[0] == (201, created())
    assert received[1:] == [(time + 5, event) for time, event in Script(WHOLE).play(ops.map(lambda value: value))]


def test_an_unknown_delivery_is_tried_again_only_if_when_says_so() -> None:
    error = lost("unknown")
    assert Script([(1, error)], WHOLE).play(retry_with_backoff(STEADY)) == [(201, error)]

    asked: list[Exception] = []

    def when(error: Exception) -> bool:
        asked.append(error)
        return isinstance(error, ConnectionLostError)

    script = Script([(1, error)], WHOLE)
    assert script.play(retry_with_backoff(STEADY, when=when))[-1] == (231, None)
    assert asked == [error]


def test_behind_a_reducing_operator_there_is_another_try_until_it_has_emitted() -> None:
    half: list[Step] = [(1, created()), (2, delta("Ha")), (3, failed())]

    script = Script(half, WHOLE)
    [(_, error)] = script.play(lambda source: source.pipe(collect_text(), retry_with_backoff(STEADY)))
    assert (type(error), error.delivery, error.tries) == (ResponseFailedError, "started", 1)

    script = Script(half, WHOLE)
    anything = retry_with_backoff(STEADY, when=lambda error: True)
    assert script.play(lambda source: source.pipe(collect_text(), anything)) == [(233, "He"), (233, None)]

    script = Script(half, WHOLE)
    received = script.play(lambda source: source.pipe(text_deltas(), anything))
    assert received[0] == (202, "Ha")
    assert isinstance(received[1][1], ResponseFailedError)


def test_a_rejection_behind_a_reducing_operator_is_tried_again() -> None:
    script = Script([(1, error_event())], WHOLE)
    received = script.play(lambda source: source.pipe(collect_text(), retry_with_backoff(STEADY)))

    assert [content for _, content in received] == ["He", None]


def test_a_foreign_error_passes_unchanged() -> None:
    error = ValueError("mine")
    assert Script([(1, error)], WHOLE).play(retry_with_backoff(STEADY)) == [(201, error)]
    assert not hasattr(error, "tries")

    script = Script([(1, error)], WHOLE)
    assert script.play(retry_with_backoff(STEADY, when=lambda error: isinstance(error, ValueError)))[-1] == (231, None)


@pytest.mark.parametrize("first", [lost(), error_event()])
def test_a_when_that_raises_ends_the_stream(first: Any) -> None:
    problem = ZeroDivisionError("when")

    def when(error: Exception) -> bool:
        raise problem

    script = Script([(1, first), (2, None)], WHOLE)

    assert script.play(retry_with_backoff(STEADY, when=when)) == [(201, problem)]
    assert script.subscriptions == [(200, 201)]


def test_an_exception_while_subscribing_fails_the_try() -> None:
    problem = InvalidRequestError("wrong")

    def raises(_: object) -> Observable[ServerEvent]:
        raise problem

    received: list[object] = []
    reactivex.defer(raises).pipe(retry_with_backoff()).subscribe(received.append, received.append)

    assert received == [problem]


def test_disposing_ends_the_wait() -> None:
    script = Script([(1, lost())], WHOLE)

    assert script.play(retry_with_backoff(STEADY), disposed=205) == []
    assert script.subscriptions == [(200, 201)]


def test_disposing_ends_the_timer_and_the_try() -> None:
    source: ManualSource[ServerEvent] = ManualSource()
    clock = ManualScheduler()
    piped = source.observable.pipe(retry_with_backoff(scheduler=clock))
    waiting = piped.subscribe(on_error=never)
    source.fail(lost())
    assert (len(clock.actions), clock.disposals) == (1, 0)
    waiting.dispose()
    assert clock.disposals == 1
    clock.fire()  # the timer may fire just before it is disposed
    assert len(source.observers) == 1

    running = piped.subscribe(on_error=never)
    source.fail(lost())
    clock.fire()
    assert (len(source.observers), source.disposals) == (3, 2)
    running.dispose()
    assert source.disposals == 3


@pytest.mark.parametrize(
    "end", [lambda observer: observer.on_error(OSError()), lambda observer: observer.on_completed()]
)
def test_a_source_that_goes_on_after_its_failure_is_ignored(end: Callable[[ObserverBase[ServerEvent]], None]) -> None:
    clock = ManualScheduler()
    observers: list[ObserverBase[ServerEvent]] = []

    def subscribe(observer: ObserverBase[ServerEvent], scheduler: SchedulerBase | None = None) -> DisposableBase:
        observers.append(observer)
        if len(observers) == 1:
            observer.on_next(error_event())
            observer.on_next(delta("late"))
            clock.fire()  # the next try starts before `subscribe` of this try has returned
            observers[1].on_next(created())
            observer.on_next(delta("later"))
            end(observer)
            observers[1].on_completed()
        return Disposable()

    received: list[object] = []
    source: Observable[ServerEvent] = Observable(subscribe)
    source.pipe(retry_with_backoff(scheduler=clock)).subscribe(
        received.append, received.append, lambda: received.append(None)
    )

    assert received == [created(), None]


def test_a_very_long_wait_is_bounded_by_the_longest_timer() -> None:
    clock = ManualScheduler()
    source: ManualSource[ServerEvent] = ManualSource()
    patient = Backoff(max_retry_after=1e300)
    source.observable.pipe(retry_with_backoff(patient, scheduler=clock)).subscribe()
    source.fail(refused(503, Retry_After="1e300"))

    assert clock.delays == [threading.TIMEOUT_MAX]


def failing(count: int) -> tuple[Observable[ServerEvent], Iterator[int]]:
    """Return a source whose first subscriptions fail, and the counter of its subscriptions."""
    numbers = iter(range(1, 1_000_000))

    def source(_: object) -> Observable[ServerEvent]:
        return reactivex.throw(lost()) if next(numbers) <= count else reactivex.of(created(), completed())

    return reactivex.defer(source), numbers


def test_a_scheduler_that_does_not_wait() -> None:
    source, numbers = failing(3)
    received: list[object] = []
    source.pipe(retry_with_backoff(AT_ONCE, scheduler=ImmediateScheduler())).subscribe(received.append)

    assert received == [created(), completed()]
    assert next(numbers) == 5


def test_many_tries_on_a_loop_do_not_nest() -> None:
    source, _ = failing(3000)
    again = retry_with_backoff(Backoff(initial=0, jitter=0, max_retries=3000))

    async def main() -> ServerEvent:
        return await source.pipe(again)

    assert asyncio.run(main()) == completed()


def test_an_error_from_another_thread_waits_on_the_loop_of_the_subscriber() -> None:
    threads: list[int] = []
    source: ManualSource[ServerEvent] = ManualSource()

    def count(_: object) -> Observable[ServerEvent]:
        threads.append(threading.get_ident())
        return source.observable if len(threads) == 1 else reactivex.of(completed())

    async def main() -> None:
        asyncio.get_running_loop().set_debug(True)  # asyncio then raises for calls from other threads
        waiting = asyncio.ensure_future(reactivex.defer(count).pipe(retry_with_backoff(AT_ONCE)))
        await asyncio.sleep(0)
        await asyncio.to_thread(source.fail, lost())
        assert await waiting == completed()

    asyncio.run(main())
    assert threads == [threading.get_ident()] * 2


def test_disposing_from_another_thread_ends_a_wait_that_started_there() -> None:
    async def main() -> None:
        source: ManualSource[ServerEvent] = ManualSource()
        subscription = source.observable.pipe(retry_with_backoff(AT_ONCE)).subscribe(on_error=never)

        def fail_and_dispose() -> None:
            source.fail(lost())
            subscription.dispose()

        thread = threading.Thread(target=fail_and_dispose)
        thread.start()
        thread.join()
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(source.observers) == 1

    asyncio.run(main())


def test_a_wait_that_starts_after_the_loop_was_closed_raises_nothing() -> None:
    source: ManualSource[ServerEvent] = ManualSource()

    async def main() -> None:
        source.observable.pipe(retry_with_backoff(AT_ONCE)).subscribe(on_error=never)

    asyncio.run(main())
    source.fail(lost())
    assert len(source.observers) == 1


def test_each_try_runs_in_the_context_of_the_subscription() -> None:
    name: ContextVar[str] = ContextVar("name")
    names: list[str] = []
    source: ManualSource[ServerEvent] = ManualSource()
    clock = ManualScheduler()

    def look(_: object) -> Observable[ServerEvent]:
        names.append(name.get())
        return source.observable

    name.set("subscriber")
    reactivex.defer(look).pipe(retry_with_backoff(scheduler=clock)).subscribe(on_error=never)
    name.set("another")
    for _ in range(2):
        source.fail(lost())
        clock.fire()

    assert names == ["subscriber"] * 3


def test_tries_are_counted_for_each_subscription() -> None:
    clock = ManualScheduler()
    source: ManualSource[ServerEvent] = ManualSource()
    piped = source.observable.pipe(retry_with_backoff(Backoff(max_retries=1), scheduler=clock))
    errors: list[Any] = []
    for _ in range(2):
        piped.subscribe(on_error=errors.append)
        source.fail(lost())
        clock.fire()
        source.fail(lost())

    assert [error.tries for error in errors] == [2, 2]


def test_wrong_arguments_are_refused_at_once() -> None:
    with pytest.raises(TypeError, match="backoff must be a Backoff"):
        retry_with_backoff(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="when must be a function"):
        retry_with_backoff(when=True)  # type: ignore[arg-type]


def test_type_is_kept() -> None:
    source = ManualSource[ServerEvent]().observable

    assert_type(source.pipe(retry_with_backoff()), Observable[ServerEvent])
    assert_type(source.pipe(collect_text(), retry_with_backoff(STEADY)), Observable[str])


# Against the embedded server.

QUICK = Backoff(initial=0.001, max_retries=3)
ASK = ResponseCreate(model="m", input="hi")


def test_scenario_28_429_and_5xx_are_tried_again_and_retry_after_is_obeyed(
    server: ResponsesServer, socket: ResponsesWebSocket
) -> None:
    server.fault(Fault(RefuseUpgrade(429, headers={"Retry-After": "0.05"}), connection=1))
    server.fault(Fault(RefuseUpgrade(503), connection=2))
    server.reply("Hello")
    answer = socket.send_request(ASK).pipe(retry_with_backoff(QUICK), collect_text())

    assert answer.run() == "Hello"
    assert [upgrade.status for upgrade in server.upgrades] == [429, 503, 101]
    assert server.upgrades[1].received - server.upgrades[0].received >= 0.05


@pytest.mark.parametrize("status", [401, 403, 404, 408, 425, 426])
def test_scenario_28_other_refusals_are_not_tried_again(
    server: ResponsesServer, socket: ResponsesWebSocket, status: int
) -> None:
    server.fault(Fault(RefuseUpgrade(status)))
    got = Recorder(socket.send_request(ASK).pipe(retry_with_backoff(QUICK)))

    assert (got.wait().error.status, got.error.tries) == (status, 1)
    assert len(server.upgrades) == 1


def test_scenario_28_a_spent_quota_at_the_upgrade_is_not_tried_again(
    server: ResponsesServer, socket: ResponsesWebSocket
) -> None:
    server.fault(Fault(RefuseUpgrade(429, {"error": {"message": "no credit", "code": "insufficient_quota"}})))
    got = Recorder(socket.send_request(ASK).pipe(retry_with_backoff(QUICK)))

    assert (got.wait().error.code, got.error.tries) == ("insufficient_quota", 1)
    assert len(server.upgrades) == 1


def test_scenario_28_the_tries_end(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    server.fault(Fault(RefuseUpgrade(503)))
    got = Recorder(socket.send_request(ASK).pipe(retry_with_backoff(QUICK)))

    assert (got.wait().error.status, got.error.tries) == (503, 4)
    assert len(server.upgrades) == 4


def test_rejected_requests_are_sent_again_on_a_loop(server: ResponsesServer) -> None:
    slow_down = Failure("rate_limit_exceeded", after=0, headers={"retry-after-ms": "1"})
    server.reply(slow_down, slow_down, "Hello", Failure("server_error", after=0))
    server.on("", Failure("server_error", after=0))

    async def main() -> None:
        async with ResponsesWebSocket(server.url) as socket:
            events = socket.send_request(ASK)
            assert await events.pipe(retry_with_backoff(QUICK), collect_text()) == "Hello"
            assert len(server.requests) == 3
            last = await events.pipe(retry_with_backoff(QUICK))
            assert (last.type, len(server.requests)) == ("error", 7)

    asyncio.run(main())


def test_scenario_21_an_unknown_delivery_is_not_sent_again(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    server.reply([Close(1006, after=0), "lost"])
    got = Recorder(socket.send_request(ASK).pipe(retry_with_backoff(QUICK)))

    assert (got.wait().error.delivery, len(server.requests)) == ("unknown", 1)


def test_scenario_22_a_started_response_is_not_sent_again(server: ResponsesServer, socket: ResponsesWebSocket) -> None:
    server.reply([Close(1006, after=1), "lost"])
    got = Recorder(socket.send_request(ASK).pipe(rops.collect_text(), retry_with_backoff(QUICK)))

    assert (got.wait().error.delivery, len(server.requests)) == ("started", 1)


def test_scenario_29_a_socket_closed_during_the_wait_ends_the_tries(
    server: ResponsesServer, socket: ResponsesWebSocket
) -> None:
    server.fault(Fault(RefuseUpgrade(503)))

    def when(error: Exception) -> bool:
        socket.close()
        return is_retryable(error)

    got = Recorder(socket.send_request(ASK).pipe(retry_with_backoff(QUICK, when=when)))

    assert (type(got.wait().error), got.error.tries) == (SocketClosedError, 2)
    assert len(server.upgrades) == 1


def test_a_shared_response_is_retried_once_for_all_subscribers(
    server: ResponsesServer, socket: ResponsesWebSocket
) -> None:
    server.reply(Failure("server_error", after=0), "Hello")
    shared = socket.send_request(ASK).pipe(retry_with_backoff(QUICK), collect_text(), ops.replay())
    both = [Recorder(shared), Recorder(shared)]
    shared.connect()

    assert [got.wait().values for got in both] == [["Hello"], ["Hello"]]
    assert len(server.requests) == 2


def test_scenario_63_a_try_follows_a_rejection_behind_a_heartbeat(server: ResponsesServer) -> None:
    beat = {"type": "codex.keepalive"}
    refused = {"type": "error", "status": 429, "error": {"code": "rate_limit_exceeded", "message": "slow down"}}
    server.reply(Raw([beat, refused]), "hello")
    with ResponsesWebSocket(server.url) as socket:
        got = Recorder(
            socket.send_request(ResponseCreate(model="m", input="hi")).pipe(retry_with_backoff(AT_ONCE))
        ).wait()
    assert not got.errors
    assert [event.type for event in got.values[:2]] == ["codex.keepalive", "response.created"]
    assert len(server.requests) == 2
