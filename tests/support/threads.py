"""Work on many threads at once, and event loops that run on a thread of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from .recorder import WAIT

THREADS = 8


def on_each_thread(work: Callable[[int], None]) -> None:
    """Run `work(0)`, `work(1)`, … on as many threads at the same time, and raise what they raise."""
    start = threading.Barrier(THREADS)

    def begin(number: int) -> None:
        start.wait(WAIT)
        work(number)

    with ThreadPoolExecutor(THREADS) as threads:
        for done in [threads.submit(begin, number) for number in range(THREADS)]:
            done.result(3 * WAIT)


@contextmanager
def loop_on_a_thread() -> Iterator[asyncio.AbstractEventLoop]:
    """Run an event loop on another thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(WAIT)
        assert not thread.is_alive()
        loop.close()


def at_the_same_time(one: Callable[[], None], other: Callable[[], None]) -> None:
    """Run both at the same moment."""
    barrier = threading.Barrier(2)

    def start(action: Callable[[], None]) -> None:
        barrier.wait()
        action()

    thread = threading.Thread(target=start, args=(one,))
    thread.start()
    start(other)
    thread.join()
