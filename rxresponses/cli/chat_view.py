"""The output of a chat: answers as Markdown on a terminal, as text elsewhere, and notes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ..redaction import terminal_text
from .screen import Screen
from .stderr import end_interrupted_line

if TYPE_CHECKING:
    from .markdown import MarkdownStream


class ChatView:
    """Writes answers and the output of commands to standard output, and notes to standard error."""

    def __init__(self, *, is_plain: bool = False) -> None:
        self._is_terminal = sys.stdout.isatty()
        self._screen = Screen()
        self._markdown = None if is_plain or not self._is_terminal else _markdown()

    def text(self, piece: str) -> None:
        """Write a piece of an answer."""
        if self._markdown is None:
            self._screen.text(piece)
        else:
            self._markdown.add(piece)

    def tick(self) -> None:
        """Show the text that was held back, because no event has come for a moment."""
        if self._markdown is not None:
            self._markdown.tick()

    def end(self) -> None:
        """End an answer, or a part of it: the next text begins a line."""
        if self._markdown is not None:
            self._markdown.end()
        self._screen.end_line()

    def interrupt(self) -> None:
        """End an answer at which the user has typed Ctrl-C; the next text begins a line, behind the `^C`."""
        is_drawing = self._markdown is not None and self._markdown.is_drawing
        if not (is_drawing or self._screen.is_in_line):
            end_interrupted_line()
        self.end()

    def note(self, message: str) -> None:
        """Write a note, after the answer so far."""
        self.end()
        self._screen.note(message)

    def show(self, text: str) -> None:
        """Write the output of a command, which may have several lines."""
        self.end()
        print(terminal_text(text) if self._is_terminal else text, flush=True)


def _markdown() -> MarkdownStream | None:
    """Return the stream that shows Markdown, `None` if rich is missing or the terminal cannot move its cursor."""
    try:
        from rich.console import Console

        from .markdown import MarkdownStream
    except ImportError:
        return None
    console = Console(highlight=False)
    return None if console.is_dumb_terminal else MarkdownStream(console)
