"""Timers and time on the clock that fits the subscriber."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import NamedTuple

from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import Disposable, SingleAssignmentDisposable
from reactivex.scheduler import ImmediateScheduler, NewThreadScheduler, TimeoutScheduler, TrampolineScheduler
from reactivex.scheduler.eventloop import AsyncIOScheduler

from ..net.loops import running_loop

# Not for timers: the first two sleep in the subscribing thread, and the third, which `run()` hands to
# every subscription, keeps a thread for the whole time even when the timer is disposed.
_UNSUITABLE = (ImmediateScheduler, TrampolineScheduler, NewThreadScheduler)


class Clock(NamedTuple):
    """A way to tell the time, and to be called later.  Both may be used from any thread."""

    now: Callable[[], float]
    """The seconds since some moment."""
    start: Callable[[float, Callable[[], None]], DisposableBase]
    """Call an action once after so many seconds, unless disposed before; disposing is free from any thread."""


def clock_for(chosen: SchedulerBase | None, inherited: SchedulerBase | None) -> Clock:
    """Return the clock of a subscription that is made here and now.

    It is the `chosen` scheduler; else the one `inherited` from the subscription, where it is fit
    for timers; else the running asyncio loop; else a daemon thread for each timer.
    """
    scheduler = chosen
    if scheduler is None:
        scheduler = None if isinstance(inherited, _UNSUITABLE) else inherited
        if scheduler is None or isinstance(scheduler, AsyncIOScheduler):
            loop = running_loop()
            if loop is not None:
                return _clock_of_loop(loop)
    if scheduler is None:
        # Its own `now` is the wall clock, which may be set, and takes ten times as long.
        return Clock(time.monotonic, _start_on(TimeoutScheduler.singleton()))
    return Clock(_time_on(scheduler), _start_on(scheduler))


def _time_on(scheduler: SchedulerBase) -> Callable[[], float]:
    # Differences, because RxPY has changed its mind on whether times are naive.
    beginning = scheduler.now
    return lambda: (scheduler.now - beginning).total_seconds()


def _start_on(scheduler: SchedulerBase) -> Callable[[float, Callable[[], None]], DisposableBase]:
    return lambda seconds, action: scheduler.schedule_relative(seconds, lambda *_: action())


def _clock_of_loop(loop: asyncio.AbstractEventLoop) -> Clock:
    # Not RxPY's schedulers for asyncio: one cancels the handle on whatever thread disposes, the
    # other blocks that thread, and with it maybe a second loop, until this loop has cancelled it.
    def start(seconds: float, action: Callable[[], None]) -> DisposableBase:
        timer = SingleAssignmentDisposable()

        def begin() -> None:
            timer.disposable = Disposable(loop.call_later(seconds, action).cancel)

        on_loop(begin)
        return Disposable(lambda: on_loop(timer.dispose))

    def on_loop(act: Callable[[], None]) -> None:
        if running_loop() is loop:
            act()
            return
        with contextlib.suppress(RuntimeError):  # `loop` is closed: nothing will fire
            loop.call_soon_threadsafe(act)

    return Clock(loop.time, start)
