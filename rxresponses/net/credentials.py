"""The API key, and functions of the program that are called for each connection.  No text or `repr` shows a secret."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias, cast

from ..errors import ConfigurationError, ObserverExitError
from ..redaction import discreet
from .loops import pass_on_exit, start_task

ApiKey: TypeAlias = "str | Callable[[], str | Awaitable[str]]"


class KeyTimeoutError(TimeoutError):
    """The function that returns the key, or the headers, did not return in time."""


class KeyExitError(ConfigurationError, ObserverExitError):
    """The function that returns the key, or the headers, raised what is no `Exception`, such as `SystemExit`.

    It has no `__cause__`, because the text of the exception may quote the key.
    """


class Credentials:
    """Holds the API key, or the function that provides it.  Defaults to `OPENAI_API_KEY`, read when the object is made.

    `headers` are the names of the user's own headers.  An `authorization` header replaces the key.  With
    an `api-key` header, as Azure uses it, the key of the environment is not used: it is another service's.
    Raises `ConfigurationError` for a value that cannot be a key.
    """

    _api_key: ApiKey | None = None  # of an object that is only half made

    @discreet
    def __init__(self, api_key: ApiKey | None, headers: Iterable[str] = ()) -> None:
        self._from_environment = api_key is None
        replaced = self._is_replaced_by(headers)
        if api_key is None and not replaced:
            api_key = os.environ.get("OPENAI_API_KEY") or None
        if isinstance(api_key, str):
            problem = _problem(api_key)
            if problem is not None:
                raise ConfigurationError(problem)
        elif api_key is not None and not callable(api_key):
            raise ConfigurationError(f"`api_key` must be a string or a function, not {type(api_key).__name__}")
        self._api_key = None if replaced else api_key

    def __repr__(self) -> str:
        return f"Credentials({'set' if self else 'none'})"

    def __bool__(self) -> bool:
        return self._api_key is not None

    async def get(self, timeout: float | None, headers: Iterable[str] = ()) -> str | None:
        """Return the key for one connection, `None` if there is none, or if headers with these names replace it.

        Raises what `provided` raises; `timeout` is in seconds.
        """
        if self._is_replaced_by(headers):
            return None
        if self._api_key is None or isinstance(self._api_key, str):
            return self._api_key
        return cast("str", await provided(self._api_key, "api_key", timeout, _problem))

    def _is_replaced_by(self, headers: Iterable[str]) -> bool:
        own = {name.lower() for name in headers}
        return "authorization" in own or (self._from_environment and "api-key" in own)


async def provided(
    function: Callable[[], object], name: str, timeout: float | None, problem_of: Callable[[object], str | None]
) -> object:
    """Return what a function of the program provides for one connection: the key, or the headers.

    `name` is that of its argument, and `problem_of` returns why a value cannot be used.  Raises `ConfigurationError`,
    whose text does not show the value, when the function raises or returns something that cannot be used;
    `KeyExitError` when it raises an exit such as `SystemExit`, which also leaves the loop, if that is the program's.
    Raises `KeyTimeoutError` when a coroutine function does not return within `timeout` seconds.  Cancelling cancels the
    function, and waits until it has cleaned up.
    """
    try:
        value: object = function()
    except BaseException as error:
        kind = type(error)
        pass_on_exit(error)
    else:
        if inspect.isawaitable(value):
            value = await _result(value, name, timeout)
        if isinstance(value, BaseException):
            kind = type(value)
            pass_on_exit(value)
        else:
            problem = problem_of(value)
            if problem is None:
                return value
            del value  # some error reports show the variables of every frame
            raise ConfigurationError(f"{problem}; no connection was tried")
        del value
    # The text of the function's exception may quote the secret, so only its type is shown.  It is raised
    # outside of the `except` block, so that the exception is not in `__context__` either.
    is_exit = not issubclass(kind, (Exception, asyncio.CancelledError))
    make = KeyExitError if is_exit else ConfigurationError
    raise make(f"the `{name}` function raised {kind.__name__}; no connection was tried")


async def _end(task: asyncio.Task[object], timeout: float | None) -> None:
    """Cancel the task of a provider, and wait until it has cleaned up."""
    task.cancel()
    await asyncio.wait({task}, timeout=timeout)


async def _result(value: Awaitable[object], name: str, timeout: float | None) -> object:
    """Return what a provider's awaitable returns, or the exception it raises."""
    # In a task of its own: a `CancelledError` from inside the provider is its failure, while a cancellation
    # of this task goes on to the caller, once the provider has cleaned up.
    task = start_task(asyncio.get_running_loop(), _outcome(value), f"rxresponses {name}")
    try:
        await asyncio.wait({task}, timeout=timeout)
    except asyncio.CancelledError:
        await _end(task, timeout)
        raise
    if not task.done():
        await _end(task, timeout)
        raise KeyTimeoutError(f"the `{name}` function did not return within `connect_timeout`")
    return task.result()


async def _outcome(value: Awaitable[object]) -> object:
    try:
        return await value
    except BaseException as error:  # a task that raises an exit would end its loop
        return error


def _problem(key: object) -> str | None:
    """Return why a value cannot be a key, `None` if it can."""
    if not isinstance(key, str):
        return f"the API key must be a string, not {type(key).__name__}"
    if not key.strip():
        return "the API key is empty"
    if not key.isascii() or not key.isprintable() or key != key.strip():
        return "the API key must be one line of printable ASCII without spaces around it"
    return None
