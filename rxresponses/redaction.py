"""Decides what messages, logs and terminals may show: no secrets, and no text that controls a terminal."""

from __future__ import annotations

import functools
import logging
import re

_SECRET_NAMES = ("auth", "key", "token", "secret", "cookie", "password", "credential")
_HARMLESS = frozenset({"host", "upgrade", "connection", "user-agent", "origin"})

_LONGEST_LINE = 2000  # characters
_KEPT_END = 500  # characters of a line that is too long: the end often says what to do
# Only newline and tab pass.  The other control characters move the cursor, change colours or send answers to the shell,
# and the bidirectional controls show text in another order than it has.
_BIDIRECTIONAL = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_CONTROLS = tuple(code for code in (*range(0x20), *range(0x7F, 0xA0), *_BIDIRECTIONAL) if code not in (0x09, 0x0A))
_REPLACED = dict.fromkeys(_CONTROLS, "\ufffd")
_ESCAPED = {code: f"\\u{code:04x}" for code in _CONTROLS}
_LINE_BREAKS = re.compile("\r\n|[\n\t\v\f\x85\u2028\u2029]")


def is_secret(name: str) -> bool:
    """Whether a header or query parameter is a credential, judging by its name."""
    return any(word in name.lower() for word in _SECRET_NAMES)


def display(url: str) -> str:
    """Return the URL for messages: without its query, which may hold secrets."""
    return url.split("?", 1)[0]


def terminal_text(text: str) -> str:
    """Return a text of any length for a terminal: each character that would control the terminal becomes U+FFFD."""
    return text.replace("\r\n", "\n").translate(_REPLACED)


def terminal_line(text: str, longest: int = _LONGEST_LINE, kept_end: int = _KEPT_END) -> str:
    """Return a text as one line for a terminal, of about `longest` characters at most.

    A text that is too long loses its middle, and a note says how much that is.  Of such a text, the last `kept_end`
    characters are shown.
    """
    if len(text) > longest:
        end = text[len(text) - kept_end :]
        text = f"{text[: longest - kept_end]}… ({len(text) - longest} characters left out) …{end}"
    return terminal_text(_LINE_BREAKS.sub(" ", text))


def terminal_json(text: str) -> str:
    """Return JSON of the same value for a terminal: characters that would control the terminal are escaped."""
    return text.translate(_ESCAPED)


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
