"""Event loops: the background loop for programs without a loop of their own, and questions about running loops."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

_lock = threading.RLock()  # reentrant, because a signal handler may close a socket at any point
_loop: asyncio.AbstractEventLoop | None = None
_thread_id = 0
_users = 0
_process_id = 0


def acquire_loop() -> tuple[asyncio.AbstractEventLoop, int]:
    """Return the background loop and its thread's id; the first user starts it.

    Each call needs one of `release_loop`.  One thread serves all sockets; it is a daemon, so it does
    not keep a program alive.  Callable from any thread.
    """
    global _loop, _thread_id, _users, _process_id
    with _lock:
        # A forked process inherits the loop, but not the thread that runs it.
        if _loop is None or _loop.is_closed() or _process_id != os.getpid():
            loop = asyncio.new_event_loop()
            with contextlib.suppress(AttributeError):  # some loops do not let the method be replaced
                loop.getaddrinfo = partial(_getaddrinfo, loop)  # type: ignore[method-assign]
            thread = threading.Thread(target=_run, args=(loop,), name="rxresponses", daemon=True)
            thread.start()
            _loop, _thread_id, _users, _process_id = loop, thread.ident or 0, 0, os.getpid()
        _users += 1
        return _loop, _thread_id


def release_loop() -> None:
    """Give the background loop back; with its last user, the loop and its thread end."""
    global _loop, _users
    with _lock:
        _users -= 1
        if _users == 0 and _loop is not None:
            _loop.call_soon_threadsafe(_loop.stop)
            _loop = None


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop that runs in this thread, `None` if there is none."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def is_ending(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the program is ending a loop on which a task was cancelled, as far as the other tasks show.

    `asyncio.run` cancels all tasks at its end.  So a task that is not cancelled shows that the loop goes
    on, and that only some tasks were meant.
    """
    tasks = asyncio.all_tasks(loop)
    if sys.version_info < (3, 11):
        return True  # before 3.11, a task does not tell whether it is being cancelled
    return all(task.cancelling() for task in tasks)


async def _getaddrinfo(loop: asyncio.AbstractEventLoop, *args: Any, **options: Any) -> Any:
    """Look up a host name, on a daemon thread.

    asyncio does this on the loop's thread pool, for which the interpreter waits when it exits: a name
    server that does not answer would keep the program alive.
    """
    answer = loop.create_future()

    def resolve(set_outcome: Callable[..., None], outcome: object) -> None:
        if not answer.done():
            set_outcome(outcome)

    def look_up() -> None:
        try:
            done = partial(resolve, answer.set_result, socket.getaddrinfo(*args, **options))
        except Exception as error:
            done = partial(resolve, answer.set_exception, error)
        with contextlib.suppress(RuntimeError):  # the loop is closed, so no task waits for the answer
            loop.call_soon_threadsafe(done)

    threading.Thread(target=look_up, name="rxresponses look-up", daemon=True).start()
    return await answer


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
