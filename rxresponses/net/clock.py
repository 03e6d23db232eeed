"""The time, and timers, for a subscription: on its scheduler, on its asyncio loop, or on a thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextvars import copy_context
from typing import NamedTuple

from reactivex.abc import DisposableBase, SchedulerBase
from reactivex.disposable import Disposable, SingleAssignmentDisposable
from reactivex.scheduler import ImmediateScheduler, NewThreadScheduler, TimeoutScheduler, TrampolineScheduler
from reactivex.scheduler.eventloop import AsyncIOScheduler

from .loops import call_on, clock_of, running_loop

# These schedulers do not suit timers.  The first two sleep in the thread that subscribes.  The third, which RxPY's
# `run()` gives to every subscription, keeps a thread for the whole time, even after the timer was disposed.
_UNSUITABLE = (ImmediateScheduler, TrampolineScheduler, NewThreadScheduler)


class Clock(NamedTuple):
    """Tells the time, and calls functions later.  Both may be used from any thread."""

    now: Callable[[], float]
    """The seconds since some fixed moment."""
    start: Callable[[float, Callable[[], None]], DisposableBase]
    """Call an action once after so many seconds, unless disposed before; dispose from any thread."""


def clock_for(chosen: SchedulerBase | None, inherited: SchedulerBase | None) -> Clock:
    """Return the clock for a subscription that is made now, on this thread.

    It is the `chosen` scheduler, else the scheduler `inherited` from the subscription if it suits timers, else
    the running asyncio loop, else a daemon thread for each timer.  Actions see the context variables that are set now.
    """
    context = copy_context()
    now, start = _clock_for(chosen, inherited)
    # A copy for each action, because nothing can enter a context twice at once.
    return Clock(now, lambda seconds, action: start(seconds, lambda: context.copy().run(action)))


def _clock_for(chosen: SchedulerBase | None, inherited: SchedulerBase | None) -> Clock:
    scheduler = chosen
    if scheduler is None:
        scheduler = None if isinstance(inherited, _UNSUITABLE) else inherited
        if scheduler is None or isinstance(scheduler, AsyncIOScheduler):
            loop = running_loop()
            if loop is not None:
                return _clock_of_loop(loop)
    if scheduler is None:
        # Not the scheduler's own `now`: that is the wall clock, which may be set, and it takes ten times as long.
        return Clock(time.monotonic, _start_on(TimeoutScheduler.singleton()))
    return Clock(_time_on(scheduler), _start_on(scheduler))


def _time_on(scheduler: SchedulerBase) -> Callable[[], float]:
    # Only differences are used, because `now` is a naive time in some versions of RxPY and not in others.
    beginning = scheduler.now
    return lambda: (scheduler.now - beginning).total_seconds()


def _start_on(scheduler: SchedulerBase) -> Callable[[float, Callable[[], None]], DisposableBase]:
    return lambda seconds, action: scheduler.schedule_relative(seconds, lambda *_: action())


def _clock_of_loop(loop: asyncio.AbstractEventLoop) -> Clock:
    # Not RxPY's schedulers for asyncio.  `AsyncIOScheduler` cancels the handle on any thread that disposes, which
    # asyncio forbids.  `AsyncIOThreadSafeScheduler` blocks that thread, and with it maybe a second loop, until
    # this loop has cancelled the handle.
    def start(seconds: float, action: Callable[[], None]) -> DisposableBase:
        timer = SingleAssignmentDisposable()

        def begin() -> None:
            timer.disposable = Disposable(loop.call_later(seconds, action).cancel)

        call_on(loop, begin)
        return Disposable(lambda: call_on(loop, timer.dispose))

    return Clock(clock_of(loop), start)
