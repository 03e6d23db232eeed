"""Reads the lines of a chat: from a terminal, with editing and history, or from a pipe."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path
from types import ModuleType

from .chat_lines import COMMANDS

_LONGEST_HISTORY = 1000  # lines


def default_history() -> Path:
    """Return the file in which the lines of chats are kept."""
    state = os.environ.get("XDG_STATE_HOME", "")
    folder = Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state"
    return folder / "rxresponses" / "chat_history"


class LineReader:
    """Reads lines of standard input.

    On a terminal, the line can be edited, and the lines before are reached with the arrow keys; `history` is the file
    that keeps them for later chats, `None` for none.  Only its owner may read that file.
    """

    def __init__(self, history: Path | None = None) -> None:
        self.is_interactive = sys.stdin.isatty()
        self._readline = _readline() if self.is_interactive and sys.stdout.isatty() else None
        self._history = history if self._readline is not None else None
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="replace")  # instead of an error
        if self._readline is not None:
            _set_up(self._readline)
        if self._history is not None and self._readline is not None:
            with contextlib.suppress(OSError):
                _make_private(self._history)
                self._readline.read_history_file(self._history)

    def read(self, prompt: str) -> str | None:
        """Return the next line, `None` at the end of the input.  Only a terminal shows the prompt.

        Raises `KeyboardInterrupt` for Ctrl-C.
        """
        if self._readline is not None:
            try:
                line = input(prompt)
            except EOFError:
                return None
            self._keep(self._readline, line)
            return line
        if self.is_interactive:
            sys.stderr.write(prompt)
            sys.stderr.flush()
        line = sys.stdin.readline()
        return line.removesuffix("\n").removesuffix("\r") if line else None

    def _keep(self, readline: ModuleType, line: str) -> None:
        if self._history is None or not line.strip():
            return
        try:
            if getattr(readline, "append_history_file", None) is None:  # the module of macOS lacks the function
                readline.write_history_file(self._history)
            else:
                readline.append_history_file(1, self._history)
        except OSError:
            self._history = None  # a history that cannot be kept must not disturb the chat


def _readline() -> ModuleType | None:
    """Return the module for editing lines, `None` on systems that have none."""
    try:
        import readline
    except ImportError:
        return None
    return readline


def _set_up(readline: ModuleType) -> None:
    readline.set_history_length(_LONGEST_HISTORY)
    readline.set_completer(_complete)
    readline.set_completer_delims("")
    readline.parse_and_bind("tab: complete")
    readline.parse_and_bind("set enable-bracketed-paste on")  # a text of several lines is pasted as one


def _complete(text: str, number: int) -> str | None:
    found = [f"/{name}" for name in COMMANDS if text.startswith("/") and f"/{name}".startswith(text)]
    return found[number] if number < len(found) else None


def _make_private(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        os.fchmod(fd, 0o600)
    finally:
        os.close(fd)
