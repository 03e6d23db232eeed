"""Standard error: each message is one safe line of text there, and no write to it can stop the program."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast

from ..redaction import terminal_line

# Whether the line on the terminal ends with the `^C` of a Ctrl-C that the command handles; `None` before any.
_at_caret: bool | None = None


def note_interrupt() -> None:
    """Note a Ctrl-C that the command handles: the terminal shows `^C`, and the next message begins a line.

    A signal handler calls this, so it writes nothing.  The progress bar of rich, which is drawn anew at once, erases
    its line and the `^C` with it.
    """
    global _at_caret
    _at_caret = not hasattr(sys.stderr, "rich_proxied_file")


def end_interrupted_line() -> None:
    """After a command that Ctrl-C has ended, let the shell's prompt begin a line."""
    if _at_caret is not False and sys.stderr.isatty():
        sys.stderr.write("\n")
        sys.stderr.flush()


def write_line(message: str) -> None:
    """Write a message as one line, without characters that control the terminal.

    The message may hold text of a server, such as an error, a refusal or the reason of a close, or the name of a file.
    The line is one write: rich, whose progress bar takes over standard error, would read a part of a line as markup.
    """
    global _at_caret
    begin = "\n" if _at_caret and sys.stderr.isatty() else ""
    if _at_caret:
        _at_caret = False
    sys.stderr.write(f"{begin}{terminal_line(message)}\n")
    sys.stderr.flush()


def replace_closed_streams() -> None:
    """Open the null device for each standard stream with which the program was not started.

    Otherwise the next file, such as the results of a batch, would get the stream's number and what is written to it,
    and `print` would write a message for standard error to standard output.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - it stays open as long as the program runs


@contextlib.contextmanager
def unbreakable_stderr() -> Iterator[None]:
    """Let no write to standard error raise: notes and progress must not stop the work that they tell of."""
    global _at_caret
    before, _at_caret = sys.stderr, None
    sys.stderr = cast("TextIO", _Unbreakable(before))
    try:
        yield
    finally:
        sys.stderr = before


@contextlib.contextmanager
def logged_errors() -> Iterator[None]:
    """Write what this package logs as errors, as safe lines.

    Warnings are left out: they tell of tools that raise, which the command shows itself.
    """
    logger, handler = logging.getLogger("rxresponses"), _Lines(logging.ERROR)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        for line in self.format(record).splitlines():
            write_line(line)


class _Unbreakable:
    """A text stream that drops what cannot be written, for example after its reader has closed the pipe."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def isatty(self) -> bool:
        with contextlib.suppress(ValueError):
            return self._stream.isatty()
        return False

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except (OSError, ValueError):  # `ValueError`: the stream was closed
            self._drop()
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._drop()

    def _drop(self) -> None:
        drop(self._stream)


def drop(stream: TextIO) -> None:
    """Send what a standard stream has buffered to the null device, and all that follows.

    Python flushes the standard streams at its end, and a flush that fails changes the exit code.
    """
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(null, stream.fileno())
        finally:
            os.close(null)
