"""The API key: a string or a function, asked for at each connect, shown nowhere."""

from __future__ import annotations

import inspect
import os
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from .errors import ConfigurationError

ApiKey: TypeAlias = "str | Callable[[], str | Awaitable[str]]"


class Credentials:
    """Hold a key or its provider; without either, `OPENAI_API_KEY` as it is now."""

    def __init__(self, api_key: ApiKey | None) -> None:
        if api_key is None:
            api_key = os.environ.get("OPENAI_API_KEY") or None
        if isinstance(api_key, str):
            _check(api_key)
        elif api_key is not None and not callable(api_key):
            raise ConfigurationError(f"`api_key` must be a string or a function, not {type(api_key).__name__}")
        self._api_key: ApiKey | None = api_key

    def __repr__(self) -> str:
        return f"Credentials({'set' if self else 'none'})"

    def __bool__(self) -> bool:
        return self._api_key is not None

    async def get(self) -> str | None:
        """Return the key for one connect; raise `ConfigurationError`, without the key in it."""
        if self._api_key is None or isinstance(self._api_key, str):
            return self._api_key
        try:
            answer = self._api_key()
            key = await answer if inspect.isawaitable(answer) else answer
        except Exception as error:
            kind = type(error).__name__
        else:
            return _check(key)
        # The provider's own text may quote the secret: only its type is told, and raised out here
        # the exception is not in `__context__` either.
        raise ConfigurationError(f"the `api_key` function raised {kind}; no connection was tried")


def _check(key: object) -> str:
    if not isinstance(key, str):
        raise ConfigurationError(f"the API key must be a string, not {type(key).__name__}")
    if not key.strip():
        raise ConfigurationError("the API key is empty")
    if not key.isascii() or not key.isprintable() or key != key.strip():
        raise ConfigurationError("the API key must be one line of printable ASCII without spaces around it")
    return key
