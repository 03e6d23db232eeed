"""The check that `.run()` does not block the event loop whose events it waits for."""

from __future__ import annotations

import gc
import sys
import threading
from importlib import import_module
from types import CellType, FrameType, FunctionType, MethodType
from typing import Any
from weakref import WeakKeyDictionary

from reactivex.abc import ObserverBase

# The module, because `reactivex.run` is the function.  Its code shows on a stack that a thread waits in `.run()`.
_RUN_CODE = import_module("reactivex.run").run.__code__
_MOST_STEPS = 10_000

# By the thread that notifies them.  There are few such threads, and there may be thousands of observers.  The observers
# are looked at one by one only while a `.run()` blocks their thread.
_observers: dict[int, WeakKeyDictionary[ObserverBase[Any], None]] = {}


def note_thread(observer: ObserverBase[Any], thread: int) -> None:
    """Note on which thread the observer of a subscription is notified; `check_shared_run` asks for it."""
    observers = _observers.get(thread)
    if observers is None:
        observers = _observers.setdefault(thread, WeakKeyDictionary())
    observers[observer] = None


def check_shared_run(observer: ObserverBase[Any]) -> None:
    """Raise `RuntimeError` if an observer has joined an earlier subscription, as behind `ops.share`, and a `.run()`
    blocks the thread that delivers to that subscription, and waits for it.

    `check_run` sees only the observers that subscribe to a sender themselves.
    """
    for thread in tuple(_observers):
        on_error = _waiting_run(thread) if _observers[thread] else None
        if on_error is not None and _leads_to(observer, on_error):
            for other in _noted_on(thread):
                if _leads_to(other, on_error):
                    raise _error()


def _noted_on(thread: int) -> list[ObserverBase[Any]]:
    # Not `keys`: a list of the references is made in one step, whatever other threads do meanwhile.
    return [observer for reference in _observers[thread].keyrefs() if (observer := reference()) is not None]


def check_run(observer: ObserverBase[Any], loop_thread: int | None = None) -> None:
    """Raise `RuntimeError` if a subscription belongs to a `.run()` that blocks the thread of its event loop.

    By default that is this thread.  Operators such as `ops.retry` and `ops.merge` subscribe on a thread of their own,
    because they use the scheduler of `.run()`; then `loop_thread` is the thread of the loop.
    """
    on_error = _waiting_run(threading.get_ident() if loop_thread is None else loop_thread)
    if on_error is not None and _leads_to(observer, on_error):
        raise _error()


def _waiting_run(thread: int) -> object:
    """Return the `on_error` of the `.run()` that blocks a thread, `None` if no `.run()` does, or if it has its end."""
    frame: FrameType | None = sys._getframe() if thread == threading.get_ident() else sys._current_frames().get(thread)
    while frame is not None and frame.f_code is not _RUN_CODE:
        frame = frame.f_back
    return None if frame is None or frame.f_locals["done"] else frame.f_locals["on_error"]


def _error() -> RuntimeError:
    return RuntimeError(
        "`.run()` was called on the thread of a running event loop, and would wait for ever: it blocks the loop that "
        "delivers the events.  In a coroutine or a notebook, write `await socket.send_request(…).pipe(…)`; in a "
        "callback, chain the next Observable: `ops.flat_map(lambda value: socket.send_request(…))`"
    )


def _leads_to(observer: ObserverBase[Any], on_error: object) -> bool:
    """Whether the errors that an observer gets arrive at a function, through the closures of the operators between.

    Another `.run()`, on a thread that may wait, can subscribe at the same time.  So that a `.run()` blocks the loop
    does not tell that the subscription is its own.
    """
    todo: list[object] = [observer]
    seen: dict[int, object] = {}
    while todo and len(seen) < _MOST_STEPS:
        value = todo.pop()
        if value is on_error:
            return True
        if id(value) in seen:
            continue
        seen[id(value)] = value
        if isinstance(value, FunctionType):
            todo.extend(map(_content, value.__closure__ or ()))
        elif isinstance(value, MethodType):
            todo.extend((value.__self__, value.__func__))
        elif isinstance(value, (list, tuple)):
            todo.extend(value)
        elif isinstance(value, ObserverBase):
            todo.extend(gc.get_referents(value))  # for the attributes in slots
            todo.extend(getattr(value, "__dict__", {}).values())
    return False


def _content(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # a variable that has no value yet
        return None
