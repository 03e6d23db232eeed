"""The check that `.run()` does not block the event loop whose events it waits for."""

from __future__ import annotations

import sys
from importlib import import_module
from types import CellType, FrameType, FunctionType, MethodType
from typing import Any

from reactivex.abc import ObserverBase

# The module, because `reactivex.run` is the function.  Its code shows on a stack that a thread waits in `.run()`.
_RUN_CODE = import_module("reactivex.run").run.__code__
_MOST_STEPS = 10_000


def check_run(observer: ObserverBase[Any], loop_thread: int | None = None) -> None:
    """Raise `RuntimeError` if a subscription belongs to a `.run()` that blocks the thread of its event loop.

    By default that is this thread.  Operators such as `ops.retry` and `ops.merge` subscribe on a thread of their own,
    because they use the scheduler of `.run()`; then `loop_thread` is the thread of the loop.
    """
    frame: FrameType | None = sys._getframe(1) if loop_thread is None else sys._current_frames().get(loop_thread)
    while frame is not None and frame.f_code is not _RUN_CODE:
        frame = frame.f_back
    if frame is None or frame.f_locals["done"] or not _leads_to(observer, frame.f_locals["on_error"]):
        return
    raise RuntimeError(
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
            todo.extend(vars(value).values())
    return False


def _content(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # a variable that has no value yet
        return None
