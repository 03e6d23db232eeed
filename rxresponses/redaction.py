"""What messages and logs may show: URLs without their query, handshakes without credentials."""

from __future__ import annotations

import functools
import logging

_SECRET_NAMES = ("auth", "key", "token", "secret", "cookie", "password", "credential")
_HARMLESS = frozenset({"host", "upgrade", "connection", "user-agent", "origin"})


def is_secret(name: str) -> bool:
    """Whether a header or query parameter of this name is a credential, by the look of it."""
    return any(word in name.lower() for word in _SECRET_NAMES)


def display(url: str) -> str:
    """Return the URL without its query, which may hold secrets, for messages."""
    return url.split("?", 1)[0]


class _HideSecrets(logging.Filter):
    """websockets logs the handshake at DEBUG; what may be secret must not be read there.

    Of the headers only well-known harmless ones are shown, of the request's path not the query.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        args = record.args
        if not isinstance(args, tuple):
            return True
        if record.msg in ("> %s: %s", "< %s: %s"):
            name = str(args[0]).lower()
            if name not in _HARMLESS and not name.startswith("sec-websocket"):
                record.args = (args[0], "(hidden)")
        else:  # the request line is put together from different parts by different versions
            record.args = tuple(display(arg) if isinstance(arg, str) and arg[:1] == "/" else arg for arg in args)
        return True


@functools.cache
def discreet_logger(name: str) -> logging.Logger:
    """Return a logger that websockets may write its handshakes to."""
    logger = logging.getLogger(name)
    logger.addFilter(_HideSecrets())
    return logger
