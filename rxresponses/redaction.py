"""Decides what messages, logs and terminals may show: no secrets, and no text that controls a terminal.

Which secrets may come back from a peer, and in which forms, is in `known_secrets`.
"""

from __future__ import annotations

import functools
import http
import logging
import re
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
E = TypeVar("E", bound=BaseException)

HIDDEN = "(hidden)"
SECRET_FIELDS = frozenset({"authorization", "domain_secrets", "headers"})
"""Fields of tool definitions that hold credentials."""

HARMLESS_HEADERS = frozenset({"host", "upgrade", "connection", "user-agent", "origin"})
_SECRET_NAMES = ("auth", "key", "token", "secret", "cookie", "password", "credential")
_SUBPROTOCOLS = "sec-websocket-protocol"  # some services take the key as one
_OPENING = frozenset({"websocket", "upgrade"})  # values of a peer's headers that may be logged

_LONGEST_LINE = 2000  # characters
_LONGEST_ERROR_TEXT = 10_000  # characters
_KEPT_END = 500  # characters of a line that is too long: the end often says what to do
# Only newline and tab pass.  The other control characters move the cursor, change colours or send answers to the shell,
# and the bidirectional controls show text in another order than it has.
_BIDIRECTIONAL = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_CONTROLS = tuple(code for code in (*range(0x20), *range(0x7F, 0xA0), *_BIDIRECTIONAL) if code not in (0x09, 0x0A))
_REPLACED = dict.fromkeys(_CONTROLS, "\ufffd")
_ESCAPED = {code: f"\\u{code:04x}" for code in _CONTROLS}
_LEFT_OUT = re.compile(r"… \((\d{1,12}) characters left out\) …")
_LINE_BREAKS = re.compile("\r\n|[\n\t\v\f\x85\u2028\u2029]")


def is_secret(name: str) -> bool:
    """Whether a header or query parameter is a credential, judging by its name."""
    return any(word in name.lower() for word in _SECRET_NAMES)


def display(url: str) -> str:
    """Return the URL for messages: without its query, user name and password, which may be secrets."""
    shown = re.split(r"[?#]", url, maxsplit=1)[0]
    scheme, slashes, rest = shown.rpartition("//")
    host, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}"


def shown_data(data: Any) -> Any:
    """Return what a `repr` shows of plain JSON: without the credentials in tool definitions."""
    if isinstance(data, Mapping):
        return {name: shown_field(name, value) for name, value in data.items()}
    if isinstance(data, (list, tuple)):
        shown = map(shown_data, data)
        return tuple(shown) if isinstance(data, tuple) else list(shown)
    return data


def shown_field(name: str, value: Any, secret_names: Iterable[str] = SECRET_FIELDS) -> Any:
    """Return what a `repr` shows of a field."""
    if name in secret_names:
        if value is None:
            return None
        return dict.fromkeys(value, HIDDEN) if isinstance(value, Mapping) else HIDDEN
    if name == "server_url" and isinstance(value, str):
        return display(value)
    return shown_data(value)


def shortened(text: str, longest: int, kept_end: int) -> str:
    """Return a text of about `longest` characters at most: a longer one loses its middle, and a note says how much.

    Of such a text, the last `kept_end` characters are kept.
    """
    if len(text) <= longest:
        return text
    begin, end = longest - kept_end, len(text) - kept_end
    before = _LEFT_OUT.search(text, begin, end)  # the note of a text that was shortened to a greater length
    left_out = end - begin + (int(before[1]) if before else 0)
    return f"{text[:begin]}… ({left_out} characters left out) …{text[end:]}"


def error_text(text: str) -> str:
    """Return a text of the server for an error, of about 10,000 characters at most: errors are kept, and logged."""
    return shortened(text, _LONGEST_ERROR_TEXT, _KEPT_END)


def terminal_text(text: str) -> str:
    """Return a text of any length for a terminal: each character that would control the terminal becomes U+FFFD."""
    return text.replace("\r\n", "\n").translate(_REPLACED)


def terminal_line(text: str, longest: int = _LONGEST_LINE, kept_end: int = _KEPT_END) -> str:
    """Return a text as one line for a terminal, of about `longest` characters at most, as `shortened` does it."""
    return terminal_text(_LINE_BREAKS.sub(" ", shortened(text, longest, kept_end)))


def terminal_json(text: str) -> str:
    """Return JSON of the same value for a terminal: characters that would control the terminal are escaped."""
    return text.translate(_ESCAPED)


class _HideSecrets(logging.Filter):
    """Hides secrets in what websockets logs at level DEBUG: in handshakes, in frames, and in the texts of errors.

    Of frames, only the kind and the length are shown.  Of headers, those that are known to be harmless are shown, and
    of those of the peer, only the values that open a WebSocket.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        args, message = record.args, record.msg
        if isinstance(args, tuple):
            if message in ("> %s: %s", "< %s: %s"):
                record.args = (args[0], args[1] if _is_harmless(message[0], *map(str, args)) else HIDDEN)
            elif message in ("> %s", "< %s"):
                record.args = tuple(map(_summary, args))
            elif message == "< HTTP/1.1 %d %s":
                record.args = (args[0], _phrase(args[0]))
            else:  # The versions of websockets log the request line in different parts.
                record.args = tuple(display(arg) if isinstance(arg, str) and arg[:1] == "/" else arg for arg in args)
        secrets = getattr(getattr(record, "websocket", None), "secrets", None)
        if secrets is not None:
            if record.exc_info:
                record.exc_text = secrets.hide("".join(traceback.format_exception(*record.exc_info)).rstrip())
                record.exc_info = None  # some handlers show the variables of its frames
            record.msg, record.args = secrets.hide(record.getMessage()), ()
        return True


def _is_harmless(direction: str, name: str, value: str) -> bool:
    if direction == "<":
        return value.lower() in _OPENING
    name = name.lower()
    return name in HARMLESS_HEADERS or (name.startswith("sec-websocket") and name != _SUBPROTOCOLS)


def _summary(frame: Any) -> Any:
    data = getattr(frame, "data", None)
    return frame if data is None else f"{frame.opcode.name} [{len(data)} bytes]"


def _phrase(status: Any) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return HIDDEN


@functools.cache
def discreet_logger(name: str) -> logging.Logger:
    """Return a logger for websockets, whose records show no credentials.

    A connection that logs to it may have an attribute `secrets`, with a method `hide`; see `known_secrets`.
    """
    logger = logging.getLogger(name)
    logger.addFilter(_HideSecrets())
    return logger


# Local variables, which some error reports show.


def clear_locals(error: E) -> E:
    """Empty the local variables of the frames in which an error and its causes were raised; return the error.

    rich, Sentry, `pytest -l` and others show the variables of each frame, and a secret may be among them.  The frames
    stay in the traceback.
    """
    for linked in linked_errors(error):
        traceback.clear_frames(linked.__traceback__)
    return error


def linked_errors(error: BaseException) -> list[BaseException]:
    """Return an error, and all that are reached from it as `__cause__` or `__context__`."""
    found = [error]
    for one in found:  # grows meanwhile
        found += [other for other in (one.__cause__, one.__context__) if other is not None and other not in found]
    return found


def discreet(function: Callable[P, R]) -> Callable[P, R]:
    """Let no error show the arguments of a function, nor the local variables of what it calls: see `clear_locals`."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            clear_locals(error)
            raise
        finally:
            del args, kwargs

    return call


def discreet_init(cls: type[T]) -> type[T]:
    """Make the constructor of a class `discreet`."""
    cls.__init__ = discreet(cls.__init__)  # type: ignore[method-assign]
    return cls
