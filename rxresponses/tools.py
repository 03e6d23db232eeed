"""Python functions as tools of the model."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal

import reactivex
from reactivex import Observable
from reactivex import operators as ops

from .errors import ConfigurationError, DecodeError
from .net.loops import running_loop
from .wire.models import ResponseFunctionToolCall
from .wire.requests import FunctionCallOutput, function_result


def answer_calls(
    functions: Mapping[str, Callable[..., object]], *, on_error: Literal["output", "raise"] = "output"
) -> Callable[[Observable[ResponseFunctionToolCall]], Observable[FunctionCallOutput]]:
    """Call the functions that the model asks for, and emit the outputs to send with the next request.

    Marble::

        calls:          --f(1)--g(2)----|
        answer_calls(): -----"f: 1"--"g: 2"|

    One call after the other, in their order; `functions` has them by name, and the model's arguments come
    as keywords.  A coroutine function runs on the loop of the subscription's source; any other one on
    a thread of its own there, so that it may block, or, where no loop runs, at once.  Disposing cancels the
    coroutine that runs; a function on a thread runs to its end, unheard.

    What a function raises, like arguments that are no JSON object or a name that `functions` does not have,
    goes to the model as the output, with the text of the error, and to the log; with `on_error="raise"` it
    goes to `on_error` as it is.  Raises `ConfigurationError` for what is no mapping to functions.
    """
    if not isinstance(functions, Mapping) or not all(map(callable, functions.values())):
        raise ConfigurationError("`functions` must be a mapping from names to functions")
    if on_error not in ("output", "raise"):
        raise ConfigurationError(f"`on_error` must be 'output' or 'raise', not {on_error!r}")

    def answer(call: ResponseFunctionToolCall) -> Observable[FunctionCallOutput]:
        def tell_model(error: Exception, _: Observable[Any]) -> Observable[FunctionCallOutput]:
            logging.getLogger("rxresponses").warning("the tool %r raised", call.name, exc_info=error)
            return reactivex.just(function_result(call, {"error": f"{type(error).__name__}: {error}"}))

        output = reactivex.defer(lambda _: _call(functions, call)).pipe(
            ops.map(lambda value: function_result(call, value))
        )
        return output if on_error == "raise" else output.pipe(ops.catch(tell_model))

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
        return reactivex.from_future(loop.create_task(_run(function, arguments)))
    if inspect.iscoroutinefunction(function):
        raise ConfigurationError(f"the tool {call.name!r} is a coroutine function, and no event loop runs here")
    return reactivex.just(function(**arguments))


async def _run(function: Callable[..., object], arguments: Mapping[str, Any]) -> object:
    if inspect.iscoroutinefunction(function):
        return await function(**arguments)
    value = await asyncio.to_thread(function, **arguments)
    return await value if inspect.isawaitable(value) else value


def _arguments(call: ResponseFunctionToolCall) -> Mapping[str, Any]:
    try:
        arguments = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"the arguments of the call of {call.name!r} are no JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise DecodeError(f"the arguments of the call of {call.name!r} are no JSON object")
    return arguments
