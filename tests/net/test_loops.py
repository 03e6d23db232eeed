"""The background loop: its thread, its users, its end, and its look-up of host names."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from rxresponses.net import loops
from rxresponses.net.loops import acquire_loop, clock_of, is_ending, release_loop, running_loop

from ..support.recorder import WAIT


def thread_of(thread_id: int) -> threading.Thread:
    return next(thread for thread in threading.enumerate() if thread.ident == thread_id)


def wait_for_end(thread: threading.Thread) -> None:
    thread.join(WAIT)
    assert not thread.is_alive()


@pytest.fixture(autouse=True)
def no_loop_left() -> Iterator[None]:
    yield
    assert loops._users == 0
    assert loops._thread is None


# --- the background loop


def test_the_thread_starts_with_the_first_user() -> None:
    assert not [thread for thread in threading.enumerate() if thread.name == "rxresponses"]
    loop, thread_id = acquire_loop()
    thread = thread_of(thread_id)
    try:
        assert [one for one in threading.enumerate() if one.name == "rxresponses"] == [thread]
        assert thread.daemon  # it does not keep a program alive
        assert thread.name == "rxresponses"
        assert thread is not threading.current_thread()
    finally:
        release_loop(loop)
    wait_for_end(thread)


def test_the_loop_runs_on_its_thread() -> None:
    async def where() -> tuple[int, object, object]:
        return threading.get_ident(), asyncio.get_running_loop(), asyncio.get_event_loop()

    loop, thread_id = acquire_loop()
    try:
        assert asyncio.run_coroutine_threadsafe(where(), loop).result(WAIT) == (thread_id, loop, loop)
    finally:
        thread = thread_of(thread_id)
        release_loop(loop)
    wait_for_end(thread)
    assert loop.is_closed()


def test_all_users_share_the_loop_and_the_last_one_ends_it() -> None:
    loop, thread_id = acquire_loop()
    thread = thread_of(thread_id)
    assert acquire_loop() == acquire_loop() == (loop, thread_id)
    release_loop(loop)
    release_loop(loop)
    alive = asyncio.run_coroutine_threadsafe(asyncio.sleep(0, "alive"), loop)
    assert alive.result(WAIT) == "alive"
    release_loop(loop)
    wait_for_end(thread)
    assert loop.is_closed()


def test_after_the_last_release_there_is_a_new_loop() -> None:
    first, first_id = acquire_loop()
    first_thread = thread_of(first_id)
    release_loop(first)
    second, second_id = acquire_loop()  # perhaps while the first is still ending
    second_thread = thread_of(second_id)
    try:
        assert second is not first
        assert second_thread is not first_thread
        wait_for_end(first_thread)
        alive = asyncio.run_coroutine_threadsafe(asyncio.sleep(0, "alive"), second)
        assert alive.result(WAIT) == "alive"
    finally:
        release_loop(second)
    wait_for_end(second_thread)


def test_the_loop_may_be_released_on_its_own_thread() -> None:
    loop, thread_id = acquire_loop()
    thread = thread_of(thread_id)
    loop.call_soon_threadsafe(release_loop, loop)
    wait_for_end(thread)
    assert loop.is_closed()


def test_tasks_that_are_left_are_cancelled() -> None:
    log: list[str] = []
    running = threading.Event()

    async def forever() -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(20):
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
    release_loop(loop)
    wait_for_end(thread)
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
    loop, thread_id = acquire_loop()  # a new loop, which runs
    thread = thread_of(thread_id)
    assert asyncio.run_coroutine_threadsafe(asyncio.sleep(0, "alive"), loop).result(WAIT) == "alive"
    release_loop(loop)
    wait_for_end(thread)


# --- nothing but the last release ends the background loop


@pytest.fixture
def background() -> Iterator[asyncio.AbstractEventLoop]:
    loop, thread_id = acquire_loop()
    thread = thread_of(thread_id)
    yield loop
    release_loop(loop)
    wait_for_end(thread)
    assert loop.is_closed()


def is_alive(loop: asyncio.AbstractEventLoop) -> bool:
    return asyncio.run_coroutine_threadsafe(asyncio.sleep(0, True), loop).result(WAIT)


@pytest.mark.parametrize("exit_", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()], ids=repr)
@pytest.mark.parametrize("in_task", [False, True], ids=["callback", "task"])
def test_scenario_57_an_exit_on_the_loop(
    background: asyncio.AbstractEventLoop, exit_: BaseException, in_task: bool, caplog: pytest.LogCaptureFixture
) -> None:
    left = threading.Event()

    def leave() -> None:
        background.call_soon(left.set)
        raise exit_

    async def leave_later() -> None:
        leave()

    if in_task:
        asyncio.run_coroutine_threadsafe(leave_later(), background)
    else:
        background.call_soon_threadsafe(leave)
    assert left.wait(WAIT)
    assert is_alive(background)
    assert acquire_loop()[0] is background
    release_loop(background)
    if not isinstance(exit_, GeneratorExit):  # asyncio keeps that in its callback or task
        assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [exit_]


def test_scenario_57_other_code_stops_the_loop(background: asyncio.AbstractEventLoop) -> None:
    for _ in range(3):
        background.call_soon_threadsafe(background.stop)
        assert is_alive(background)


def test_scenario_57_exits_while_the_loop_ends() -> None:
    """Tasks that exit when they are cancelled, and tasks that start others, are all brought to their end."""
    log: list[str] = []

    async def leave(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            log.append(name)
            raise SystemExit(3)

    async def begin_another() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            tasks.append(asyncio.ensure_future(leave("another")))
            await asyncio.sleep(0)

    async def start() -> None:
        tasks.extend(map(asyncio.ensure_future, (leave("a"), begin_another(), leave("b"))))
        await asyncio.sleep(0)

    tasks: list[asyncio.Future[None]] = []
    loop, thread_id = acquire_loop()
    thread = thread_of(thread_id)
    asyncio.run_coroutine_threadsafe(start(), loop).result(WAIT)
    release_loop(loop)
    wait_for_end(thread)
    assert sorted(set(log) - {"another"}) == ["a", "b"]  # the other one may be cancelled before its first step
    assert len(tasks) == 4
    assert all(task.done() for task in tasks)
    for task in tasks:
        task.cancelled() or task.exception()
    assert loop.is_closed()


def test_scenario_57_an_exit_right_after_the_last_release() -> None:
    """The loop leaves by the exit, before it has seen that it is to stop."""
    ended: list[str] = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("cleaned up")

    def leave() -> None:
        tasks.append(asyncio.ensure_future(forever()))
        release_loop(loop)
        loop.call_soon(exit_)

    def exit_() -> None:
        raise SystemExit(3)

    tasks: list[asyncio.Future[None]] = []
    loop, thread_id = acquire_loop()
    thread = thread_of(thread_id)
    loop.call_soon_threadsafe(leave)
    wait_for_end(thread)
    assert ended == ["cleaned up"]
    assert tasks[0].cancelled()
    assert loop.is_closed()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_scenario_57_a_loop_that_has_ended_all_the_same_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The old loop may still be given back; that does not end the new one."""

    def broken(*args: object) -> None:
        raise ValueError("the selector is closed")

    old, old_id = acquire_loop()
    old_thread = thread_of(old_id)
    monkeypatch.setattr(old._selector, "select", broken)  # type: ignore[attr-defined]
    old.call_soon_threadsafe(lambda: None)
    wait_for_end(old_thread)
    assert old.is_closed()
    assert not loops.is_serving(old)
    new, new_id = acquire_loop()
    new_thread = thread_of(new_id)
    assert new is not old
    assert loops.is_serving(new)
    release_loop(old)
    assert is_alive(new)
    release_loop(new)
    wait_for_end(new_thread)


# --- forked processes


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_gets_its_own_loop() -> None:
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
    release_loop(loop)
    wait_for_end(thread)


def test_the_clock_of_a_loop_is_that_of_the_loop_without_a_call_around_it() -> None:
    class Loop(asyncio.SelectorEventLoop):
        def time(self) -> float:
            return 7.0

    stock, own = asyncio.new_event_loop(), Loop()
    try:
        before, between, after = stock.time(), clock_of(stock)(), stock.time()
        assert before <= between <= after
        assert clock_of(stock) is time.monotonic
        assert clock_of(own)() == 7.0
    finally:
        stock.close()
        own.close()


def test_the_running_loop_of_this_thread() -> None:
    async def inside() -> bool:
        return running_loop() is asyncio.get_running_loop()

    assert running_loop() is None
    assert asyncio.run(inside())
    assert running_loop() is None


@pytest.fixture
def loop_with_two_tasks() -> Iterator[tuple[asyncio.AbstractEventLoop, list[asyncio.Task[None]]]]:
    async def forever() -> None:
        await asyncio.Event().wait()

    loop = asyncio.new_event_loop()
    tasks = [loop.create_task(forever()) for _ in range(2)]
    yield loop, tasks
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.close()


@pytest.mark.skipif(sys.version_info < (3, 11), reason="a task does not tell whether it is being cancelled")
def test_a_loop_is_ending_when_every_task_is_being_cancelled(
    loop_with_two_tasks: tuple[asyncio.AbstractEventLoop, list[asyncio.Task[None]]],
) -> None:
    loop, tasks = loop_with_two_tasks
    for task in tasks:
        assert not is_ending(loop)
        task.cancel()
    assert is_ending(loop)


def test_before_python_3_11_every_loop_with_a_cancelled_task_counts_as_ending(
    loop_with_two_tasks: tuple[asyncio.AbstractEventLoop, list[asyncio.Task[None]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, tasks = loop_with_two_tasks
    monkeypatch.setattr(loops, "sys", SimpleNamespace(version_info=(3, 10)))
    tasks[0].cancel()
    assert is_ending(loop)


# --- looking up host names


def test_a_host_name_is_looked_up() -> None:
    loop, _ = acquire_loop()
    try:
        found = asyncio.run_coroutine_threadsafe(loop.getaddrinfo("localhost", 80), loop).result(WAIT)
        with pytest.raises(socket.gaierror):
            asyncio.run_coroutine_threadsafe(loop.getaddrinfo("localhost", "no such service"), loop).result(WAIT)
    finally:
        release_loop(loop)
    assert any(address[4][:2] in (("127.0.0.1", 80), ("::1", 80)) for address in found)


def test_an_answer_after_the_task_was_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, answer, looked_up = threading.Event(), threading.Event(), threading.Event()

    def getaddrinfo(host: str, *args: object, **options: object) -> list[object]:
        asked.set()
        assert answer.wait(WAIT)
        looked_up.set()
        return []

    monkeypatch.setattr("rxresponses.net.loops.socket.getaddrinfo", getaddrinfo)
    loop, thread_id = acquire_loop()
    thread = thread_of(thread_id)
    waiting = asyncio.run_coroutine_threadsafe(loop.getaddrinfo("host.invalid", 80), loop)
    assert asked.wait(WAIT)
    waiting.cancel()
    answer.set()
    assert looked_up.wait(WAIT)
    release_loop(loop)
    wait_for_end(thread)


BLOCKED = """
import socket, threading
socket.getaddrinfo = lambda *args, **options: threading.Event().wait()
from rxresponses import ConnectionOptions, ConnectTimeoutError, ResponsesWebSocket
source = ResponsesWebSocket("ws://host.invalid", options=ConnectionOptions(connect_timeout=0.1))
done = threading.Event()
def failed(error):
    print(type(error).__name__)
    done.set()
source.send_request({"model": "m", "input": "hi"}).subscribe(on_error=failed)
done.wait()
"""


def test_scenario_43_a_name_server_that_does_not_answer_keeps_no_program_alive() -> None:
    got = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, timeout=WAIT * 3)
    assert (got.returncode, got.stdout) == (0, "ConnectTimeoutError\n"), got.stderr


class TestCorners:
    """What the background loop does where no program gets by itself, or only a forked process does."""

    def test_the_end_gives_up_on_tasks_that_start_others_forever(self) -> None:
        thread = loops._BackgroundThread()
        thread.released = True
        loop, goes_on, started = thread.loop, True, 0

        async def start_another_when_cancelled() -> None:
            nonlocal started
            started += 1
            try:
                await asyncio.Event().wait()
            finally:
                if goes_on:
                    tasks.append(loop.create_task(start_another_when_cancelled()))
                    await asyncio.sleep(0)  # so that the other task starts

        tasks = [loop.create_task(start_another_when_cancelled())]
        loop.run_until_complete(asyncio.sleep(0))
        thread._cancel_tasks()
        assert started > loops._END_ROUNDS
        assert len(asyncio.all_tasks(loop)) == 1

        goes_on = False
        thread._cancel_tasks()
        assert not asyncio.all_tasks(loop)
        loop.close()

    def test_a_task_that_stops_the_loop_while_it_is_cancelled(self) -> None:
        thread = loops._BackgroundThread()
        thread.released = True
        loop = thread.loop

        async def stop_when_cancelled() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                loop.stop()
                for _ in range(3):
                    await asyncio.sleep(0)  # so that the loop stops before this task has ended

        task = loop.create_task(stop_when_cancelled())
        loop.run_until_complete(asyncio.sleep(0))
        thread._cancel_tasks()
        assert task.cancelled()
        assert not asyncio.all_tasks(loop)
        loop.close()

    def test_a_loop_that_has_ended_by_itself_is_given_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop = asyncio.new_event_loop()
        ended = SimpleNamespace(loop=loop, serves=False, released=False)
        monkeypatch.setattr(loops, "_thread", ended)
        monkeypatch.setattr(loops, "_users", 1)
        loops.release_loop(loop)
        assert ended.released
        assert loops._thread is None
        loop.close()

    def test_a_forked_process_forgets_the_loop_and_keeps_it_alive(self, monkeypatch: pytest.MonkeyPatch) -> None:
        parents = object()
        for name, value in (("_thread", parents), ("_users", 3), ("_inherited", []), ("_lock", threading.RLock())):
            monkeypatch.setattr(loops, name, value)
        lock = loops._lock
        loops._forget_parent()
        loops.keep_for_parent("a connection")
        assert (loops._thread, loops._users, loops._inherited) == (None, 0, [parents, "a connection"])
        assert loops._lock is not lock  # a thread of the parent may have held it during the fork

    def test_a_system_without_fork(self, monkeypatch: pytest.MonkeyPatch) -> None:
        called: list[int] = []
        monkeypatch.delattr("os.register_at_fork")
        loops.after_fork(lambda: called.append(1))
        assert not called
