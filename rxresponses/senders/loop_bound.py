"""`LoopBound`: the event loop on which a socket or a client lives."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import threading
import warnings
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from ..net.loops import (
    acquire_loop,
    after_fork,
    is_ending,
    is_serving,
    keep_for_parent,
    leave_loop,
    on_background_thread,
    release_loop,
)

P = ParamSpec("P")
R = TypeVar("R")

_living: weakref.WeakSet[LoopBound] = weakref.WeakSet()

# Seconds after which a loop on which a connection's task was cancelled counts as running on, if no task tells.
_LOOP_END = 1.0


class LoopBound(ABC):
    """Base of an object that lives on an event loop, and that any thread may use.

    The first subscription chooses the loop: the running loop, else the background loop.  When the loop
    has ended, the next subscription chooses again.
    """

    # For objects that are only half made, because their constructor raised.
    _loop: asyncio.AbstractEventLoop | None = None
    _closing = False
    _is_made = False

    def __init__(self) -> None:
        self._lock = threading.RLock()  # reentrant, because a signal handler may call `close` at any point
        self._loop_thread = 0
        self._owns_loop = False  # whether `_loop` is the background loop
        self._cancelled_at: float | None = None  # when the program cancelled the task of a connection

    def _choose_loop(self, running: asyncio.AbstractEventLoop | None) -> asyncio.AbstractEventLoop | None:
        """Return the loop to live on, given the one that runs in this thread; `None` once closed."""
        abandon: Callable[[], None] | None = None
        with self._lock:
            if self._closing:
                # A loop that has stopped would deliver nothing.
                return None if self._has_ended(running) else self._loop
            if self._loop is None or self._has_ended(running):
                abandon = self._abandon_loop()
                # An object that is first used in a callback on the background loop needs that loop to go on.
                self._owns_loop = running is None or on_background_thread()
                if running is None or self._owns_loop:
                    self._loop, self._loop_thread = acquire_loop()
                else:
                    self._loop, self._loop_thread = running, threading.get_ident()
                self._cancelled_at = None
            loop = self._loop
        if abandon is not None:
            abandon()
        return loop

    def _made(self) -> None:
        """Note that the constructor has done its work."""
        self._is_made = True
        _living.add(self)

    def _forget_parent(self) -> None:
        """In a forked process, forget all that is the parent's: its loop, connections, requests and observers."""
        keep_for_parent(self._loop)
        self._lock = threading.RLock()
        self._loop, self._loop_thread, self._owns_loop, self._cancelled_at = None, 0, False, None

    def __del__(self) -> None:
        """Close an object that was forgotten: it has no request with an observer, since that would hold it."""
        loop = self._loop
        if loop is None or self._closing or sys.is_finalizing():
            return
        self._closing = True
        with contextlib.suppress(RuntimeError):  # the loop is closed, and everything on it
            # In a turn of its own, also on this thread: the garbage collector may run at any point.
            loop.call_soon_threadsafe(self._start_closing)
            text = f"{self!r} was forgotten: call `close()`, or use `with`"
            warnings.warn(text, ResourceWarning, stacklevel=2, source=self)

    @abstractmethod
    def _start_closing(self) -> None:
        """Close, on the loop."""

    @abstractmethod
    def _abandon_loop(self) -> Callable[[], None]:
        """Forget all that lives on a loop which has ended, and return a function that ends it.

        Called under the lock.  The function is called without, because it delivers errors.
        """

    def _release_loop(self) -> None:
        """Leave the loop for good."""
        with self._lock:
            loop, self._loop, self._loop_thread = self._loop, None, 0
            if self._owns_loop and loop is not None:
                release_loop(loop)
            self._owns_loop = False

    def _has_ended(self, running: asyncio.AbstractEventLoop | None) -> bool:
        """Whether nothing can happen on the loop any more, given the loop that runs in this thread."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return True
        if self._owns_loop:
            return not is_serving(loop)
        # A loop that the program has stopped may never run again.  A new connection is better than a hang.
        return not loop.is_running() and running is not loop

    def _run(self, act: Callable[..., None], *args: Any) -> None:
        """Call a function on the loop: at once if this is its thread, else in a later turn of the loop."""
        if threading.get_ident() != self._loop_thread:
            with self._lock:  # the loop must not be released in between
                if self._loop is not None and not self._loop.is_closed():
                    self._loop.call_soon_threadsafe(act, *args)
                    return
        act(*args)

    def _connection_cancelled(self) -> None:
        """Note that the program has cancelled the task of a connection; most likely it ends the loop.

        A request started during the end of the loop (for example by `retry`) would never finish.
        """
        if self._loop is not None and not self._owns_loop and not self._loop.is_closed():
            self._cancelled_at = self._loop.time()

    def _loop_is_ending(self) -> bool:
        """Whether the program ends the loop, as far as its tasks and the time show."""
        if self._cancelled_at is None or self._loop is None:
            return False
        if is_ending(self._loop) and self._loop.time() - self._cancelled_at < _LOOP_END:
            return True
        self._cancelled_at = None  # the program has cancelled tasks, and its loop goes on
        return False

    def _observer_raised(self, error: BaseException) -> None:
        """Report an error that an observer raised: to the loop's exception handler, else to the log."""
        context = {"message": "an observer of a rxresponses Observable raised", "exception": error, "socket": self}
        loop = self._loop
        if loop is None or loop.is_closed():
            logging.getLogger("rxresponses").error(context["message"], exc_info=error)
        elif isinstance(error, (SystemExit, KeyboardInterrupt)) and not self._owns_loop:
            leave_loop(loop, error)  # it is meant for the program, and leaves its loop
        else:
            loop.call_exception_handler(context)


def weakly(method: Callable[P, R], otherwise: R) -> Callable[P, R]:
    """Return a function that calls a method without keeping its object alive, and returns `otherwise` without it.

    All that lives on the loop calls its sender so; a forgotten sender would never be noticed otherwise.
    """
    reference = weakref.WeakMethod(method)

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        found = reference()
        return otherwise if found is None else found(*args, **kwargs)

    return call


def weak_run(run: Callable[..., None]) -> Callable[..., None]:
    """Return a function as `weakly` does, that calls what it is given itself if there is no object any more."""
    reference = weakref.WeakMethod(run)

    def call(act: Callable[..., None], *args: Any) -> None:
        found = reference()
        if found is None:
            act(*args)
        else:
            found(act, *args)

    return call


def _forget_parents() -> None:
    for one in tuple(_living):
        one._forget_parent()


after_fork(_forget_parents)
