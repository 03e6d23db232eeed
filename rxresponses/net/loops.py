"""Event loops: the background loop for programs without a loop of their own, and questions about running loops."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")

# Rounds of cancelling what is left on the background loop at its end: a task that is cancelled may start another one.
_END_ROUNDS = 100

_lock = threading.RLock()  # reentrant, because a signal handler may close a socket at any point
_thread: _BackgroundThread | None = None
_users = 0


class _BackgroundThread(threading.Thread):
    """The thread of the background loop.

    All sockets of the program share the loop.  So it goes on when a callback raises `SystemExit`, and when other
    code stops it; it ends only when it is released.
    """

    def __init__(self) -> None:
        super().__init__(name="rxresponses", daemon=True)
        self.loop = asyncio.new_event_loop()
        self.released = False
        with contextlib.suppress(AttributeError):  # some loops do not let the method be replaced
            self.loop.getaddrinfo = _getaddrinfo  # type: ignore[method-assign]

    @property
    def serves(self) -> bool:
        """Whether the loop goes on."""
        return self.is_alive() and not self.loop.is_closed()

    def run(self) -> None:
        """Run the loop until it is released, then cancel its tasks and close it."""
        asyncio.set_event_loop(self.loop)
        try:
            while not self.released:
                self._survive(self.loop.run_forever)
            self._cancel_tasks()
            self._survive(self.loop.run_until_complete, self.loop.shutdown_asyncgens())
        finally:
            self.loop.close()

    def _cancel_tasks(self) -> None:
        cancelled: set[asyncio.Task[Any]] = set()
        for _ in range(_END_ROUNDS):
            tasks = asyncio.all_tasks(self.loop)
            if not tasks:
                return
            for task in tasks - cancelled:
                task.cancel()
            cancelled |= tasks
            self._survive(self.loop.run_until_complete, asyncio.gather(*tasks, return_exceptions=True))

    def _survive(self, run: Callable[..., object], *args: object) -> None:
        """Run the loop; report an exit that leaves it.  After any other exception, the loop itself is broken."""
        try:
            run(*args)
        except Exception as error:
            was_stopped_at_end = isinstance(error, RuntimeError) and self.released and not self.loop.is_closed()
            if not was_stopped_at_end:
                raise
        except BaseException as error:
            self.loop.call_exception_handler(
                {"message": "an exit was raised on the background loop of rxresponses", "exception": error}
            )


def acquire_loop() -> tuple[asyncio.AbstractEventLoop, int]:
    """Return the background loop and its thread's id; the first user starts it, and replaces one that has ended.

    Each call needs one of `release_loop`.  One thread serves all sockets; it is a daemon, so it does
    not keep a program alive.  Callable from any thread.
    """
    global _thread, _users
    with _lock:
        if _thread is None or not _thread.serves:
            thread = _BackgroundThread()
            thread.start()
            _thread, _users = thread, 0
        _users += 1
        return _thread.loop, _thread.ident or 0


def release_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Give the background loop back; with its last user, the loop and its thread end.

    Does nothing for a background loop that has been replaced.
    """
    global _thread, _users
    with _lock:
        if _thread is None or _thread.loop is not loop:
            return
        _users -= 1
        if _users == 0:
            thread, _thread = _thread, None
            thread.released = True
            if thread.serves:
                loop.call_soon_threadsafe(loop.stop)


def is_serving(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether a loop is the background loop, and goes on."""
    thread = _thread
    return thread is not None and thread.loop is loop and thread.serves


def on_background_thread() -> bool:
    """Whether this thread runs the background loop."""
    return isinstance(threading.current_thread(), _BackgroundThread)


def leave_loop(loop: asyncio.AbstractEventLoop, error: BaseException) -> None:
    """Let an exit leave the loop of the program, in the loop's next turn."""
    loop.call_soon(_raise, error)


def pass_on_exit(error: BaseException) -> None:
    """Let an exit that was raised by code of the program leave the running loop, if that is the program's.

    The background loop goes on for the other sockets.
    """
    if isinstance(error, (SystemExit, KeyboardInterrupt)) and not on_background_thread():
        leave_loop(asyncio.get_running_loop(), error)


def _raise(error: BaseException) -> None:
    raise error


@dataclass(frozen=True)
class Raised:
    """An exception as a value: no future holds a `StopIteration`, and a task that raises an exit ends its loop."""

    error: BaseException


async def outcome_on_thread(function: Callable[[], T], name: str) -> T | Raised:
    """Call a function on a daemon thread of its own, and return its value, or the exception that it raised.

    asyncio's own thread pool will not do, because the interpreter waits for its threads when it exits.
    Cancelling does not stop the function; its outcome is dropped.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T | Raised] = loop.create_future()

    def call() -> None:
        result: T | Raised
        try:
            result = function()
        except BaseException as error:
            result = Raised(error)
        with contextlib.suppress(RuntimeError):  # the loop is closed, so no task waits for the outcome
            loop.call_soon_threadsafe(deliver, result)

    def deliver(result: T | Raised) -> None:
        if not outcome.done():
            outcome.set_result(result)

    threading.Thread(target=call, name=name, daemon=True).start()
    return await outcome


def start_task(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
    """Start a task of this library on a loop."""
    return _QuietTask(work, loop=loop, name=name)


class _QuietTask(asyncio.Task[T]):
    """A task that is destroyed without a word.

    A program may close its loop before the task is done, or has begun.  asyncio would log that the task was destroyed,
    or that its coroutine was never awaited, which says nothing to that program: the sender tells its observers, and
    warns if it was forgotten.
    """

    def __del__(self) -> None:
        """Not that of `asyncio.Task`, which logs."""
        self.get_coro().close()


def call_on(loop: asyncio.AbstractEventLoop, act: Callable[[], None]) -> None:
    """Call a function on a loop: at once on its thread, else in a later turn; never, if the loop is closed."""
    if running_loop() is loop:
        act()
        return
    with contextlib.suppress(RuntimeError):  # the loop is closed, and its tasks and timers with it
        loop.call_soon_threadsafe(act)


def cancel_task(task: asyncio.Task[Any]) -> None:
    """Cancel a task, unless its loop is closed: such a task runs no more, and its cancellation would raise.

    For `finally` blocks: Python runs them also when it deletes a coroutine that the end of its loop has left over.
    """
    if not task.get_loop().is_closed():
        task.cancel()


def after_fork(act: Callable[[], None]) -> None:
    """Call a function in each forked process, in its first thread."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=act)


def _forget_parent() -> None:
    """Forget the background loop of the parent: a forked process inherits it, but not the thread that runs it."""
    global _lock, _thread, _users
    _inherited.append(_thread)
    _lock, _thread, _users = threading.RLock(), None, 0


_inherited: list[object] = []  # what belongs to a parent process: nothing may delete it, as that would end it
after_fork(_forget_parent)


def keep_for_parent(*objects: object) -> None:
    """Keep what a forked process has inherited, and must neither use nor delete."""
    _inherited.extend(objects)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop that runs in this thread, `None` if there is none."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def clock_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """Return the function that tells the time of a loop, without the Python call in which asyncio's own loops wrap it.

    It is called for each event where a limit for the silence is set.
    """
    is_wrapped = getattr(loop.time, "__func__", None) is asyncio.BaseEventLoop.time
    return time.monotonic if is_wrapped else loop.time


def is_ending(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the program is ending a loop on which a task was cancelled, as far as the other tasks show.

    `asyncio.run` cancels all tasks at its end.  So a task that is not cancelled shows that the loop goes
    on, and that only some tasks were meant.
    """
    tasks = asyncio.all_tasks(loop)
    if sys.version_info < (3, 11):
        return True  # before 3.11, a task does not tell whether it is being cancelled
    return all(task.cancelling() for task in tasks)


async def _getaddrinfo(*args: Any, **options: Any) -> Any:
    """Look up a host name on a daemon thread: a name server that does not answer keeps no program alive."""
    found = await outcome_on_thread(partial(socket.getaddrinfo, *args, **options), "rxresponses look-up")
    if isinstance(found, Raised):
        raise found.error
    return found
