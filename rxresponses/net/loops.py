"""The event-loop thread for programs that run no loop of their own."""

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

_lock = threading.RLock()  # a signal handler may close a socket in the middle of anything
_loop: asyncio.AbstractEventLoop | None = None
_thread_id = 0
_users = 0
_process_id = 0


def acquire_loop() -> tuple[asyncio.AbstractEventLoop, int]:
    """Return the background loop and its thread's id, started if need be.

    Give it back with `release_loop`.  One daemon thread serves all sockets, so it never keeps a
    program alive.
    """
    global _loop, _thread_id, _users, _process_id
    with _lock:
        if (
            _loop is None or _loop.is_closed() or _process_id != os.getpid()
        ):  # a forked process has no thread but its own
            loop = asyncio.new_event_loop()
            with contextlib.suppress(AttributeError):  # not every kind of loop lets it be replaced
                loop.getaddrinfo = partial(_look_up, loop)  # type: ignore[method-assign]
            thread = threading.Thread(target=_serve, args=(loop,), name="rxresponses", daemon=True)
            thread.start()
            _loop, _thread_id, _users, _process_id = loop, thread.ident or 0, 0, os.getpid()
        _users += 1
        return _loop, _thread_id


def release_loop() -> None:
    """Give the background loop back; its thread ends with its last user."""
    global _loop, _users
    with _lock:
        _users -= 1
        if _users == 0 and _loop is not None:
            _loop.call_soon_threadsafe(_loop.stop)
            _loop = None


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop that runs in this thread, if any."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def ends(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether a loop on which a task was cancelled comes to its end, as far as its tasks show.

    `asyncio.run` cancels all that are left; where one runs on, only some were meant.
    """
    tasks = asyncio.all_tasks(loop)
    if sys.version_info < (3, 11):
        return True  # a task does not tell there whether it was cancelled
    return all(task.cancelling() for task in tasks)


async def _look_up(loop: asyncio.AbstractEventLoop, *args: Any, **options: Any) -> Any:
    """Look a name up on a thread of its own.

    The interpreter waits for the loop's own threads when it exits, for as long as the network's name
    server does not answer.
    """
    answer = loop.create_future()

    def tell(act: Callable[..., None], value: object) -> None:
        if not answer.done():
            act(value)

    def look_up() -> None:
        try:
            told = partial(tell, answer.set_result, socket.getaddrinfo(*args, **options))
        except Exception as error:
            told = partial(tell, answer.set_exception, error)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(told)

    threading.Thread(target=look_up, name="rxresponses look-up", daemon=True).start()
    return await answer


def _serve(loop: asyncio.AbstractEventLoop) -> None:
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
