"""The API key: a string or a function, asked for at each connect, shown nowhere."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias, cast

from ..errors import ConfigurationError

ApiKey: TypeAlias = "str | Callable[[], str | Awaitable[str]]"


class KeyTimeoutError(TimeoutError):
    """The function that tells the key took too long."""


class Credentials:
    """Hold a key or its provider; without either, `OPENAI_API_KEY` as it is now.

    The user's own `headers` (their names) come first: with an `authorization` among them there is no key, and
    with an `api-key` none from the environment, which is for another service.
    """

    def __init__(self, api_key: ApiKey | None, headers: Iterable[str] = ()) -> None:
        own = {name.lower() for name in headers}
        if api_key is None and not own & {"authorization", "api-key"}:
            api_key = os.environ.get("OPENAI_API_KEY") or None
        if isinstance(api_key, str):
            problem = _problem(api_key)
            if problem is not None:
                raise ConfigurationError(problem)
        elif api_key is not None and not callable(api_key):
            raise ConfigurationError(f"`api_key` must be a string or a function, not {type(api_key).__name__}")
        self._api_key: ApiKey | None = None if "authorization" in own else api_key

    def __repr__(self) -> str:
        return f"Credentials({'set' if self else 'none'})"

    def __bool__(self) -> bool:
        return self._api_key is not None

    async def get(self, timeout: float | None) -> str | None:
        """Return the key for one connect; raise `ConfigurationError`, without the key in it.

        Raises `KeyTimeoutError` when a coroutine function does not return in time.
        """
        if self._api_key is None or isinstance(self._api_key, str):
            return self._api_key
        try:
            key: object = self._api_key()
        except (Exception, asyncio.CancelledError) as error:
            kind = type(error).__name__
        else:
            if inspect.isawaitable(key):
                key = await _answer(key, timeout)
            if isinstance(key, BaseException):
                kind = type(key).__name__
            else:
                problem = _problem(key)
                if problem is None:
                    return cast("str", key)
                del key  # some reports show the variables of every frame of a traceback
                raise ConfigurationError(f"{problem}; no connection was tried")
            del key
        # The provider's own text may quote the secret: only its type is told, and raised out here
        # the exception is not in `__context__` either.
        raise ConfigurationError(f"the `api_key` function raised {kind}; no connection was tried")


async def _answer(answer: Awaitable[object], timeout: float | None) -> object:
    """Return what a provider returned, or raised."""
    # In a task of its own, so that a cancellation which the provider met somewhere can be told from one of
    # this task: only the latter is raised here, when the provider has cleaned up.
    asked = asyncio.ensure_future(_awaited(answer))
    try:
        await asyncio.wait({asked}, timeout=timeout)
    finally:
        in_time = asked.done()
        if not in_time:
            asked.cancel()
            await asyncio.wait({asked}, timeout=timeout)
    if not in_time:
        raise KeyTimeoutError("the `api_key` function did not return within `connect_timeout`")
    return asked.result()


async def _awaited(answer: Awaitable[object]) -> object:
    try:
        return await answer
    except (Exception, asyncio.CancelledError) as error:
        return error


def _problem(key: object) -> str | None:
    """Return why this cannot be a key, `None` if it can."""
    if not isinstance(key, str):
        return f"the API key must be a string, not {type(key).__name__}"
    if not key.strip():
        return "the API key is empty"
    if not key.isascii() or not key.isprintable() or key != key.strip():
        return "the API key must be one line of printable ASCII without spaces around it"
    return None
