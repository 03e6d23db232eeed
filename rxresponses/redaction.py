"""Keeps secrets out of messages and logs: shows URLs without their query, handshakes without credentials."""

from __future__ import annotations

import functools
import logging

_SECRET_NAMES = ("auth", "key", "token", "secret", "cookie", "password", "credential")
_HARMLESS = frozenset({"host", "upgrade", "connection", "user-agent", "origin"})


def is_secret(name: str) -> bool:
    """Whether a header or query parameter is a credential, judging by its name."""
    return any(word in name.lower() for word in _SECRET_NAMES)


def display(url: str) -> str:
    """Return the URL for messages: without its query, which may hold secrets."""
    return url.split("?", 1)[0]


class _HideSecrets(logging.Filter):
    """Hides credentials in the handshakes that websockets logs at level DEBUG.

    Only headers that are known to be harmless are shown, and the request's path without its query.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        args = record.args
        if not isinstance(args, tuple):
            return True
        if record.msg in ("> %s: %s", "< %s: %s"):
            name = str(args[0]).lower()
            if name not in _HARMLESS and not name.startswith("sec-websocket"):
                record.args = (args[0], "(hidden)")
        else:  # The versions of websockets log the request line in different parts.
            record.args = tuple(display(arg) if isinstance(arg, str) and arg[:1] == "/" else arg for arg in args)
        return True


@functools.cache
def discreet_logger(name: str) -> logging.Logger:
    """Return a logger for websockets, whose records of handshakes show no credentials."""
    logger = logging.getLogger(name)
    logger.addFilter(_HideSecrets())
    return logger
