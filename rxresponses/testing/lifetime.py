"""The start and the end of a server, on a thread of its own or on the running loop."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import TypeVar

from .journal import Journal
from .listener import Listener

S = TypeVar("S", bound="RunnableServer")


class RunnableServer:
    """A server that is used once, as a context manager.

    Args:
        listener: the part that runs on an event loop.
        journal: wakes the callers that wait for the start or the end.
    """

    def __init__(self, listener: Listener, journal: Journal) -> None:
        self._listener = listener
        self._journal = journal
        self._entered = False
        self._thread: threading.Thread | None = None
        self._task: asyncio.Task[None] | None = None

    def close(self) -> None:
        """Begin to stop the server.  Returns without waiting: the end of the context and `wait_closed` wait.

        Does nothing if the server was not started, or is closed.
        """
        if hasattr(self, "_listener"):  # otherwise the constructor raised
            self._listener.close()

    async def wait_closed(self) -> None:
        """Wait until the server has stopped, on any loop.  Cancelling this does not stop the server."""
        await self._journal.until(lambda: self._listener.closed, None)

    def __enter__(self: S) -> S:
        self._enter()
        self._thread = threading.Thread(target=self._run, name="responses-server", daemon=True)
        self._thread.start()
        try:
            self._listener.started.result()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        assert self._thread is not None  # `__enter__` was called
        self._close_when_started()
        self._thread.join()

    async def __aenter__(self: S) -> S:
        self._enter()
        self._task = asyncio.create_task(self._listener.run(), name="responses-server")
        try:
            await self._journal.until(self._listener.started.done, None)
            self._listener.started.result()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        assert self._task is not None  # `__aenter__` was called
        self._close_when_started()
        await self._task

    def _enter(self) -> None:
        if self._entered:
            raise RuntimeError("A server can be started once: make a new one")
        self._entered = True

    def _run(self) -> None:
        asyncio.run(self._listener.run())

    def _close_when_started(self) -> None:
        """Close the server, after its start if that has not ended yet."""
        self._listener.started.add_done_callback(lambda _: self._listener.close())
