from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from reactivex import Observable, Subject
from reactivex import operators as ops
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase

from rxresponses import loops
from rxresponses.loops import HomeObserver, acquire_loop, release_loop, running_loop

WAIT = 10.0  # seconds after which a test gives up; nothing waits that long when all is well


def thread_of(thread_id: int) -> threading.Thread:
    return next(thread for thread in threading.enumerate() if thread.ident == thread_id)


def end_of(thread: threading.Thread) -> None:
    thread.join(WAIT)
    assert not thread.is_alive()


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    assert loops._users == 0
    assert loops._loop is None


# --- the background loop


def test_no_thread_until_it_is_needed() -> None:
    before = threading.active_count()
    _, thread_id = acquire_loop()
    thread = thread_of(thread_id)
    try:
        assert threading.active_count() == before + 1
        assert thread.daemon  # it never keeps a program alive
        assert thread.name == "rxresponses"
        assert thread is not threading.current_thread()
    finally:
        release_loop()
    end_of(thread)


def test_the_loop_runs_on_its_thread() -> None:
    async def where() -> tuple[int, object, object]:
        return threading.get_ident(), asyncio.get_running_loop(), asyncio.get_event_loop()

    loop, thread_id = acquire_loop()
    try:
        assert asyncio.run_coroutine_threadsafe(where(), loop).result(WAIT) == (thread_id, loop, loop)
    finally:
        thread = thread_of(thread_id)
        release_loop()
    end_of(thread)
    assert loop.is_closed()


def test_all_users_share_it_and_the_last_one_ends_it() -> None:
    loop, thread_id = acquire_loop()
    thread = thread_of(thread_id)
    assert acquire_loop() == acquire_loop() == (loop, thread_id)
    release_loop()
    release_loop()
    alive = asyncio.run_coroutine_threadsafe(asyncio.sleep(0, "alive"), loop)
    assert alive.result(WAIT) == "alive"
    release_loop()
    end_of(thread)
    assert loop.is_closed()


def test_after_the_last_release_there_is_a_new_one() -> None:
    first, first_id = acquire_loop()
    first_thread = thread_of(first_id)
    release_loop()
    second, second_id = acquire_loop()  # perhaps while the first is still ending
    second_thread = thread_of(second_id)
    try:
        assert second is not first
        assert second_thread is not first_thread
        end_of(first_thread)
        alive = asyncio.run_coroutine_threadsafe(asyncio.sleep(0, "alive"), second)
        assert alive.result(WAIT) == "alive"
    finally:
        release_loop()
    end_of(second_thread)


def test_it_may_be_released_on_its_own_thread() -> None:
    loop, thread_id = acquire_loop()
    thread = thread_of(thread_id)
    loop.call_soon_threadsafe(release_loop)
    end_of(thread)
    assert loop.is_closed()


def test_tasks_that_are_left_are_cancelled() -> None:
    log: list[str] = []
    running = threading.Event()

    async def forever() -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            log.append("cleaned up")

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("cannot even be cancelled") from None

    async def numbers() -> Any:
        try:
            yield 1
        finally:
            log.append("generator closed")

    async def start() -> None:
        generator = numbers()
        await generator.__anext__()
        tasks.extend([asyncio.ensure_future(stubborn()), asyncio.ensure_future(forever())])
        kept.append(generator)

    tasks: list[asyncio.Future[None]] = []
    kept: list[Any] = []
    loop, thread_id = acquire_loop()
    thread = thread_of(thread_id)
    asyncio.run_coroutine_threadsafe(start(), loop).result(WAIT)
    assert running.wait(WAIT)
    release_loop()
    end_of(thread)
    assert log == ["cleaned up", "generator closed"]
    assert all(task.done() for task in tasks)
    assert loop.is_closed()


def test_a_thread_that_cannot_start_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[asyncio.AbstractEventLoop] = []
    new_event_loop = asyncio.new_event_loop

    def make() -> asyncio.AbstractEventLoop:
        made.append(new_event_loop())
        return made[-1]

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(asyncio, "new_event_loop", make)
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            acquire_loop()
    made[0].close()
    loop, thread_id = acquire_loop()  # a loop that runs
    thread = thread_of(thread_id)
    assert asyncio.run_coroutine_threadsafe(asyncio.sleep(0, "alive"), loop).result(WAIT) == "alive"
    release_loop()
    end_of(thread)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_gets_its_own() -> None:
    loop, thread_id = acquire_loop()
    thread = thread_of(thread_id)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # no assertion may leave this branch
        try:
            own, _ = acquire_loop()
            alive = asyncio.run_coroutine_threadsafe(asyncio.sleep(0, b"alive"), own).result(WAIT)
            os.write(writer, alive if own is not loop else b"shared")
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as answer:
        assert answer.read() == b"alive"
    os.waitpid(child, 0)
    release_loop()
    end_of(thread)


def test_the_loop_of_this_thread() -> None:
    async def inside() -> bool:
        return running_loop() is asyncio.get_running_loop()

    assert running_loop() is None
    assert asyncio.run(inside())
    assert running_loop() is None


# --- HomeObserver


class Log(ObserverBase[Any]):
    """Keep notifications with the thread they came on."""

    def __init__(self) -> None:
        self.heard: list[object] = []
        self.threads: set[int] = set()
        self.ended = asyncio.Event()

    def on_next(self, value: Any) -> None:
        self.threads.add(threading.get_ident())
        self.heard.append(value)

    def on_error(self, error: Exception) -> None:
        self.on_next(error)
        self.ended.set()

    def on_completed(self) -> None:
        self.on_next("|")
        self.ended.set()


def from_a_thread(act: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=act)
    thread.start()
    return thread


def test_notifications_come_home_in_order() -> None:
    async def scenario() -> Log:
        log = Log()
        home: HomeObserver[Any] = HomeObserver(log, asyncio.get_running_loop())

        def act() -> None:
            for number in range(1000):
                home.on_next(number)
            home.on_completed()

        thread = from_a_thread(act)
        await asyncio.wait_for(log.ended.wait(), WAIT)
        thread.join()
        return log

    log = asyncio.run(scenario())
    assert log.heard == [*range(1000), "|"]
    assert log.threads == {threading.get_ident()}


def test_errors_come_home() -> None:
    async def scenario() -> Log:
        log = Log()
        home: HomeObserver[Any] = HomeObserver(log, asyncio.get_running_loop())
        from_a_thread(lambda: home.on_error(error)).join()
        assert log.heard == []  # not on that thread, and not before this one is free
        await asyncio.wait_for(log.ended.wait(), WAIT)
        return log

    error = ValueError("broken")
    log = asyncio.run(scenario())
    assert log.heard == [error]
    assert log.threads == {threading.get_ident()}


def test_a_closed_loop_hears_nothing_and_raises_nothing() -> None:
    loop = asyncio.new_event_loop()
    log = Log()
    home: HomeObserver[Any] = HomeObserver(log, loop)
    loop.close()
    home.on_next(1)
    home.on_error(ValueError())
    home.on_completed()
    assert log.heard == []


def at_home(source: Subject[int]) -> Observable[int]:
    """What a socket on another loop looks like from here."""
    loop = asyncio.get_running_loop()

    def subscribe(observer: ObserverBase[int], scheduler: SchedulerBase | None = None) -> DisposableBase:
        return source.subscribe(HomeObserver(observer, loop))

    return Observable(subscribe)


def emit(source: Subject[int], *values: int) -> None:
    for value in values:
        source.on_next(value)
    source.on_completed()


@pytest.mark.parametrize("listens_for_errors", [True, False])
def test_an_observer_that_raises_ends_its_subscription_and_is_reported(listens_for_errors: bool) -> None:
    reported: list[Any] = []
    errors: list[Exception] = []
    heard: list[int] = []

    def report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        reported.append(context["exception"])

    def raising(value: int) -> None:
        heard.append(value)
        raise ValueError(f"cannot bear {value}")

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(report)
        source: Subject[int] = Subject()
        at_home(source).subscribe(raising, errors.append if listens_for_errors else None)
        other = Log()
        at_home(source).subscribe(other)
        from_a_thread(lambda: emit(source, 1, 2)).join()
        await asyncio.wait_for(other.ended.wait(), WAIT)
        assert other.heard == [1, 2, "|"]

    asyncio.run(scenario())
    assert heard == [1]
    assert [str(error) for error in reported] == ["cannot bear 1"]
    assert errors == (reported if listens_for_errors else [])


def test_awaiting_what_another_thread_has() -> None:
    async def scenario() -> list[int]:
        source: Subject[int] = Subject()
        result = asyncio.ensure_future(collected(at_home(source)))
        await asyncio.sleep(0)  # it subscribes
        from_a_thread(lambda: emit(source, 1, 2)).join()
        return await asyncio.wait_for(result, WAIT)

    async def collected(source: Observable[int]) -> list[int]:
        return await source.pipe(ops.to_list())

    assert asyncio.run(scenario()) == [1, 2]
