"""Runs one call of a tool, on a thread or as a task, with a time limit; an error of the tool is a value here."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..errors import ConfigurationError
from ..net.loops import Raised, cancel_task, outcome_on_thread, start_task
from .toolset import Runnable


@dataclass(frozen=True)
class TimedOut:
    """The outcome of a call that took too long."""

    seconds: float

    def __str__(self) -> str:
        return f"took longer than {self.seconds:g} s, and was given up; it may still take effect"


@dataclass(frozen=True)
class Interrupted:
    """The outcome of a call whose loop ends, or whose task other code has cancelled: its effect is unknown."""


def start_call(
    loop: asyncio.AbstractEventLoop,
    tool: Runnable,
    call: Callable[[], Any],
    context: Context,
    on_outcome: Callable[[object], None],
    *,
    timeout: float | None,
) -> Callable[[], None]:
    """Start a call on the running loop, in a copy of the context; return a function that cancels it, on this loop.

    An async function is a task of the loop.  Any other function gets a daemon thread of its own, so that it may block
    and never delays the end of the program; cancelling only a task has an effect.  `on_outcome` gets what the tool
    returns, `Raised`, `TimedOut` or `Interrupted`.
    """
    own = context.copy()
    work = partial(_on_loop, call) if tool.is_async else partial(_on_thread, call, own)
    task = own.run(start_task, loop, limited(own, work, timeout), "rxresponses tool call")

    def done(task: asyncio.Task[object]) -> None:
        on_outcome(Interrupted() if task.cancelled() else task.result())

    task.add_done_callback(done)

    def cancel() -> None:
        if tool.is_async:
            task.cancel()

    return cancel


def call_at_once(tool: Runnable, call: Callable[[], Any], context: Context) -> object:
    """Run a call where no event loop runs, and return what `start_call` passes on."""
    if tool.is_async:
        return Raised(no_loop_error(tool.name))
    try:
        value = context.copy().run(call)
    except BaseException as error:
        return Raised(error)
    if inspect.isawaitable(value):
        getattr(value, "close", bool)()  # a coroutine would warn that nothing has awaited it
        return Raised(no_loop_error(tool.name))
    return value


class NoLoopError(ConfigurationError):
    """An async function should run where no event loop runs: a mistake of the program, not of the tool."""


def no_loop_error(name: str) -> NoLoopError:
    """Return the error for the async function of a tool."""
    return NoLoopError(
        f"the tool {name!r} is async, and no event loop runs where its sender delivers the events: use a socket or a "
        "client as the sender, or a plain function"
    )


async def limited(context: Context, work: Callable[[], Coroutine[Any, Any, object]], timeout: float | None) -> object:
    """Await work as a task of its own, so that a cancellation which the work raises itself cancels nothing else."""
    task = context.copy().run(start_task, asyncio.get_running_loop(), work(), "rxresponses tool")
    try:
        done, _ = await asyncio.wait({task}, timeout=timeout)
        return task.result() if done else TimedOut(timeout or 0.0)
    finally:
        cancel_task(task)


async def _on_loop(call: Callable[[], Any]) -> object:
    try:
        return await call()
    except BaseException as error:
        return Raised(error)


async def _on_thread(call: Callable[[], Any], context: Context) -> object:
    try:
        value = await outcome_on_thread(partial(context.copy().run, call), "rxresponses tool")
        return await value if inspect.isawaitable(value) else value
    except BaseException as error:
        return Raised(error)
