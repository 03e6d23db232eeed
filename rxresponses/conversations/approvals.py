"""Asks the user whether a call may be made, and waits for the answer."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextvars import Context
from functools import partial
from typing import Any, TypeAlias

from reactivex import Observable
from reactivex import operators as ops

from ..errors import ConfigurationError
from ..net.loops import Raised, outcome_on_thread, start_task
from .events import ToolApprovalEvent
from .tool_execution import Interrupted, limited

Approve: TypeAlias = Callable[[ToolApprovalEvent], "bool | Awaitable[bool] | Observable[bool]"]
"""Says whether a call may be made: at once, as an awaitable, or with the first value of an Observable."""


def ask(
    loop: asyncio.AbstractEventLoop,
    approve: Approve,
    event: ToolApprovalEvent,
    context: Context,
    on_answer: Callable[[object], None],
) -> Callable[[], None]:
    """Ask on the running loop; return a function that stops waiting, on this loop.

    A plain `approve` is called on a daemon thread, because it may wait for a person.  `on_answer` gets whether the call
    may be made, `Raised` or `Interrupted`.  An Observable that completes without a value means no.
    """
    own = context.copy()
    task = own.run(start_task, loop, limited(own, partial(_answer, approve, event, own), None), "rxresponses approval")

    def done(task: asyncio.Task[object]) -> None:
        on_answer(Interrupted() if task.cancelled() else task.result())

    task.add_done_callback(done)

    def cancel() -> None:
        task.cancel()

    return cancel


def ask_at_once(approve: Approve, event: ToolApprovalEvent, context: Context) -> object:
    """Ask where no event loop runs: the answer must come at once."""
    try:
        answer = context.copy().run(approve, event)
        getattr(answer, "close", bool)()  # a coroutine would warn that nothing has awaited it
        return checked(answer)
    except BaseException as error:
        return Raised(error)


def checked(answer: object) -> bool:
    """Return an answer; raises `ConfigurationError` if it is no `bool`: nothing else may count as a yes."""
    if not isinstance(answer, bool):
        raise ConfigurationError(
            f"`approve` must answer True or False, not {type(answer).__name__}; an awaitable or an Observable of these "
            "needs an event loop"
        )
    return answer


async def _answer(approve: Approve, event: ToolApprovalEvent, context: Context) -> object:
    try:
        answer: Any
        if inspect.iscoroutinefunction(approve):
            answer = await approve(event)
        else:
            answer = await outcome_on_thread(partial(context.copy().run, approve, event), "rxresponses approval")
        if isinstance(answer, Raised):
            return answer
        if isinstance(answer, Observable):
            answer = await _first(answer)
        elif inspect.isawaitable(answer):
            answer = await answer
        return checked(answer)
    except BaseException as error:
        return Raised(error)


async def _first(answers: Observable[Any]) -> object:
    """Return the first value of an Observable, on whichever thread it comes; `False` if there is none."""
    loop = asyncio.get_running_loop()
    first: asyncio.Future[Any] = loop.create_future()

    def settle(outcome: object) -> None:
        if not first.done():
            first.set_result(outcome)

    def tell(outcome: object) -> None:
        loop.call_soon_threadsafe(settle, outcome)

    subscription = answers.pipe(ops.take(1)).subscribe(tell, lambda error: tell(Raised(error)), lambda: tell(False))
    try:
        outcome = await first
    finally:
        subscription.dispose()
    if isinstance(outcome, Raised):
        raise outcome.error
    return outcome
