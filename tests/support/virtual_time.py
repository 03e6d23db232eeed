"""An event loop whose time stands still until a test advances it, so that no test waits for a timeout."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from .recorder import WAIT


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time stands still until it is advanced."""

    now = 1000.0
    aborted_at = math.inf

    def time(self) -> float:
        return self.now + max(0.0, super().time() - self.aborted_at)

    def abort(self, task: asyncio.Task[None]) -> None:
        """Cancel a test that got stuck, and let real time pass, so that connections can close."""
        self.aborted_at = super().time()
        task.cancel()

    async def advance(self, seconds: float) -> None:
        """Advance the time, and run what has become due."""
        self.now += seconds
        await self.settle()

    async def settle(self) -> None:
        """Run everything that waits for no peer."""
        for _ in range(20):
            await asyncio.sleep(0)

    @property
    def timers(self) -> list[str]:
        """The names of the callbacks that wait for their time."""
        handles = [handle for handle in getattr(self, "_scheduled") if not handle.cancelled()]  # noqa: B009
        return [getattr(handle._callback, "__qualname__", "?") for handle in handles]


def run_in_virtual_time(main: Callable[[VirtualTimeLoop], Coroutine[Any, Any, None]]) -> None:
    """Run `main` on a loop of its own, for at most `WAIT` seconds of real time; no task and no timer may be left."""
    loop = VirtualTimeLoop()
    task = loop.create_task(main(loop))
    bound = threading.Timer(WAIT, loop.call_soon_threadsafe, (loop.abort, task))
    bound.start()
    try:
        loop.run_until_complete(task)
        assert asyncio.all_tasks(loop) == set()
        assert loop.timers == []
    finally:
        bound.cancel()
        bound.join()
        loop.close()
