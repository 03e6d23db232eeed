"""`answer_calls`: Python functions that answer the function calls of the model, as an operator."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from contextvars import copy_context
from functools import partial
from typing import Any, Literal

import reactivex
from reactivex import Observable
from reactivex import operators as ops
from reactivex.abc import DisposableBase, ObserverBase, SchedulerBase
from reactivex.disposable import Disposable

from ..errors import ConfigurationError, DecodeError, ObserverExitError
from ..net.loops import Raised, call_on, pass_on_exit, running_loop
from ..operators._arguments import makes_operator
from ..raised import as_exception, named_text
from ..structured.function import CallableTool
from ..wire.models import ResponseFunctionToolCall
from ..wire.requests import FunctionCallOutput, FunctionTool, function_result
from .client_calls import ClientCall
from .errors import ToolCallError, ToolCallsInterruptedError
from .tool_execution import Interrupted, NoLoopError, TimedOut, call_at_once, start_call
from .toolset import ClientTool, Runnable, bound_arguments


@makes_operator
def answer_calls(
    functions: Mapping[str, Callable[..., object]] | Iterable[CallableTool[..., Any] | Callable[..., Any]],
    *,
    on_error: Literal["output", "raise"] = "output",
) -> Callable[[Observable[ResponseFunctionToolCall]], Observable[FunctionCallOutput]]:
    """Call the functions that the model asks for, and emit the outputs to send with the next request.

    Marble::

        calls:          --f(1)--g(2)----|
        answer_calls(): -----"f: 1"--"g: 2"|

    The calls run one after the other, in their order.  `run_tools` also sends the outputs, and runs calls at once.
    `functions` is a list of functions, with or without `tool`, whose arguments are validated; or a mapping from names
    to functions, whose arguments are passed as keywords.  A coroutine function runs on the loop that delivers the
    calls.  Any other function runs on a thread of its own, so that it may block; where no loop runs, it runs at once.
    Disposing cancels the running coroutine.  A function on a thread runs to its end, and its output is dropped.

    An error that a function raises goes to the log, and its text is the output for the model.  So does the error for
    arguments that do not fit, and for a name that `functions` does not have.  With `on_error="raise"` the error goes to
    `on_error` instead.  So does, in either case, a coroutine function where no loop runs, and an exception that is no
    `Exception`, such as `SystemExit`, as `ObserverExitError`; on a loop of the program an exit leaves the loop as well,
    and where no loop runs, it reaches the caller.  Raises `ConfigurationError` if `functions` is neither of the two, or
    holds a function that cannot be a tool.
    """
    tools = _tools_of(functions)
    if on_error not in ("output", "raise"):
        raise ConfigurationError(f"`on_error` must be 'output' or 'raise', not {on_error!r}")

    def answer(call: ResponseFunctionToolCall) -> Observable[FunctionCallOutput]:
        if not isinstance(call, ResponseFunctionToolCall):
            raise TypeError(
                f"`answer_calls` takes function calls, and got a value of type {type(call).__name__}: put it behind "
                "`rops.function_calls()`"
            )

        def output_of(error: Exception, _: Observable[Any]) -> Observable[FunctionCallOutput]:
            logging.getLogger("rxresponses").warning("the tool %r raised", call.name, exc_info=error)
            if isinstance(error, (ObserverExitError, NoLoopError)):
                return reactivex.throw(error)  # no output for the model: an exit, or a mistake of the program
            return reactivex.just(function_result(call, {"error": named_text(error)}))

        output = reactivex.defer(lambda _: _call(tools, call)).pipe(ops.map(partial(function_result, call)))
        return output if on_error == "raise" else output.pipe(ops.catch(output_of))

    def operator(source: Observable[ResponseFunctionToolCall]) -> Observable[FunctionCallOutput]:
        return source.pipe(ops.map(answer), ops.merge(max_concurrent=1))

    return operator


def _tools_of(functions: object) -> Mapping[str, Runnable]:
    if isinstance(functions, Mapping):
        if all(map(callable, functions.values())):
            return {name: _as_tool(name, function) for name, function in functions.items()}
    elif isinstance(functions, Iterable):
        given = list(functions)
        if all(map(callable, given)):
            tools = [one if isinstance(one, CallableTool) else CallableTool(one) for one in given]
            if len({tool.name for tool in tools}) < len(tools):
                raise ConfigurationError("two of the `functions` have the same name: the model could not choose")
            return {tool.name: tool for tool in tools}
    raise ConfigurationError("`functions` must be a list of functions, or a mapping from names to functions")


def _as_tool(name: str, function: Callable[..., object]) -> Runnable:
    return function if isinstance(function, CallableTool) else ClientTool(FunctionTool(name=name), function)


def _call(tools: Mapping[str, Runnable], call: ResponseFunctionToolCall) -> Observable[object]:
    tool = tools.get(call.name)
    if tool is None:
        raise ConfigurationError(f"the model called {call.name!r}, and no function of that name was given")
    if not call.arguments and call.extra.get("arguments") is not None:  # the arguments did not validate
        raise DecodeError(f"the server sent arguments of the call of {call.name!r} that are not text")
    positions, keywords = bound_arguments(tool, ClientCall(call, call.call_id, call.name))
    return _outcome(tool, partial(tool.function, *positions, **keywords))


def _outcome(tool: Runnable, function: Callable[[], Any]) -> Observable[object]:
    """Emit what a tool returns, or end with what it raises."""

    def subscribe(observer: ObserverBase[object], scheduler: SchedulerBase | None = None) -> DisposableBase:
        def end(outcome: object) -> None:
            if isinstance(outcome, Raised):
                observer.on_error(_error_of(outcome.error))
            elif isinstance(outcome, TimedOut):
                text = f"{tool.name} {outcome}"
                observer.on_error(ToolCallError(text, reason="timeout", call_id=""))
            elif isinstance(outcome, Interrupted):
                observer.on_error(ToolCallsInterruptedError("other code cancelled the tool, as at the end of a loop"))
            else:
                observer.on_next(outcome)
                observer.on_completed()

        loop = running_loop()
        if loop is not None:
            cancel = start_call(loop, tool, function, copy_context(), end, timeout=tool.timeout)
            return Disposable(partial(call_on, loop, cancel))
        end(call_at_once(tool, function, copy_context()))
        return Disposable()

    return Observable(subscribe)


def _error_of(raised: BaseException) -> Any:
    if isinstance(raised, asyncio.CancelledError):
        return raised  # it is no exit
    if isinstance(raised, (SystemExit, KeyboardInterrupt)) and running_loop() is None:
        raise raised  # it reaches the caller
    pass_on_exit(raised)
    return as_exception(raised, "a tool")
