"""`answer_calls`: Python functions as tools of the model."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import json
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

import reactivex
from reactivex import Observable
from reactivex import operators as ops

from .errors import ConfigurationError, DecodeError, ObserverExitError
from .net.loops import Raised, outcome_on_thread, pass_on_exit, running_loop, start_task
from .operators._arguments import makes_operator
from .raised import as_exception, text_of
from .wire.models import ResponseFunctionToolCall
from .wire.requests import FunctionCallOutput, function_result


@makes_operator
def answer_calls(
    functions: Mapping[str, Callable[..., object]], *, on_error: Literal["output", "raise"] = "output"
) -> Callable[[Observable[ResponseFunctionToolCall]], Observable[FunctionCallOutput]]:
    """Call the functions that the model asks for, and emit the outputs to send with the next request.

    Marble::

        calls:          --f(1)--g(2)----|
        answer_calls(): -----"f: 1"--"g: 2"|

    The calls run one after the other, in their order.  `functions` maps the names of functions to the functions;
    the model's arguments are passed as keywords.  A coroutine function runs on the loop that delivers the calls.
    Any other function runs on a thread of its own, so that it may block; where no loop runs, it runs at once.
    Disposing cancels the running coroutine.  A function on a thread runs to its end, and its output is dropped.

    An error that a function raises goes to the log, and its text is the output for the model.  So does the error
    for arguments that are no JSON object, and for a name that `functions` does not have.  With
    `on_error="raise"` the error goes to `on_error` instead.  So does, in either case, an exception that is no
    `Exception`, such as `SystemExit`, as `ObserverExitError`; on a loop of the program an exit leaves the loop as
    well, and where no loop runs, it reaches the caller.  Raises `ConfigurationError` if `functions` is no mapping to
    functions.
    """
    if not isinstance(functions, Mapping) or not all(map(callable, functions.values())):
        raise ConfigurationError("`functions` must be a mapping from names to functions")
    if on_error not in ("output", "raise"):
        raise ConfigurationError(f"`on_error` must be 'output' or 'raise', not {on_error!r}")

    def answer(call: ResponseFunctionToolCall) -> Observable[FunctionCallOutput]:
        def output_of(error: Exception, _: Observable[Any]) -> Observable[FunctionCallOutput]:
            logging.getLogger("rxresponses").warning("the tool %r raised", call.name, exc_info=error)
            if isinstance(error, ObserverExitError):
                return reactivex.throw(error)  # an exit ends the stream; it is no answer for the model
            return reactivex.just(function_result(call, {"error": f"{type(error).__name__}: {text_of(error)}"}))

        output = reactivex.defer(lambda _: _call(functions, call)).pipe(
            ops.map(lambda value: function_result(call, value))
        )
        return output if on_error == "raise" else output.pipe(ops.catch(output_of))

    def operator(source: Observable[ResponseFunctionToolCall]) -> Observable[FunctionCallOutput]:
        return source.pipe(ops.map(answer), ops.merge(max_concurrent=1))

    return operator


def _call(functions: Mapping[str, Callable[..., object]], call: ResponseFunctionToolCall) -> Observable[object]:
    function = functions.get(call.name)
    if function is None:
        raise ConfigurationError(f"the model called {call.name!r}, and no function of that name was given")
    arguments = _arguments(call)
    loop = running_loop()
    if loop is not None:
        outcome = start_task(loop, _run(function, arguments), "rxresponses tool")
        return reactivex.from_future(outcome).pipe(ops.map(_value))
    if inspect.iscoroutinefunction(function):
        raise ConfigurationError(f"the tool {call.name!r} is a coroutine function, and no event loop runs here")
    return reactivex.just(function(**arguments))


async def _run(function: Callable[..., object], arguments: Mapping[str, Any]) -> object:
    """Return what a tool returns, or what it raises as `Raised`."""
    try:
        if inspect.iscoroutinefunction(function):
            return await function(**arguments)
        call = partial(contextvars.copy_context().run, partial(function, **arguments))
        value = await outcome_on_thread(call, "rxresponses tool")
        if isinstance(value, Raised):
            raise value.error
        return await value if inspect.isawaitable(value) else value
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        return Raised(error)


def _value(outcome: object) -> object:
    """Return what a tool has returned, or raise what it has raised."""
    if isinstance(outcome, Raised):
        pass_on_exit(outcome.error)
        raise as_exception(outcome.error, "a tool")
    return outcome


def _arguments(call: ResponseFunctionToolCall) -> Mapping[str, Any]:
    if not call.arguments and call.extra.get("arguments") is not None:  # they did not validate
        raise DecodeError(f"the arguments of the call of {call.name!r} are no text")
    try:
        arguments = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"the arguments of the call of {call.name!r} are no JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise DecodeError(f"the arguments of the call of {call.name!r} are no JSON object")
    return arguments
