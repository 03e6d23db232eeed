"""One timer on the clock that fits the subscriber."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import Disposable
from reactivex.scheduler import ImmediateScheduler, NewThreadScheduler, TimeoutScheduler, TrampolineScheduler
from reactivex.scheduler.eventloop import AsyncIOScheduler

# Not for timers: the first two sleep in the subscribing thread, and the third, which `run()` hands to
# every subscription, keeps a thread for the whole time even when the timer is disposed.
_UNSUITABLE = (ImmediateScheduler, TrampolineScheduler, NewThreadScheduler)


def start_timer(
    seconds: float,
    action: Callable[[], None],
    chosen: SchedulerBase | None,
    inherited: SchedulerBase | None,
) -> DisposableBase:
    """Call `action` once after `seconds`, unless disposed before; disposing is free from any thread.

    On the `chosen` scheduler; else on the one `inherited` from the subscription, where it is fit
    for timers; else on the running asyncio loop; else on a daemon thread.
    """
    scheduler = chosen
    if scheduler is None:
        scheduler = None if isinstance(inherited, _UNSUITABLE) else inherited
        if scheduler is None or isinstance(scheduler, AsyncIOScheduler):
            with contextlib.suppress(RuntimeError):
                return _on_loop(asyncio.get_running_loop(), seconds, action)
    return (scheduler or TimeoutScheduler.singleton()).schedule_relative(seconds, lambda *_: action())


def _on_loop(loop: asyncio.AbstractEventLoop, seconds: float, action: Callable[[], None]) -> DisposableBase:
    # Not RxPY's schedulers for asyncio: one cancels the handle on whatever thread disposes, the
    # other blocks that thread, and with it maybe a second loop, until this loop has cancelled it.
    handle = loop.call_later(seconds, action)

    def cancel() -> None:
        with contextlib.suppress(RuntimeError):  # no loop runs here, or `loop` is closed: nothing will fire
            if asyncio.get_running_loop() is loop:
                handle.cancel()
                return
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(handle.cancel)

    return Disposable(cancel)
