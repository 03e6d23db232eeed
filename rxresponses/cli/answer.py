"""The text of the answer to a prompt, event by event."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import DecodeError
from ..wire.events import ServerEvent
from ..wire.output_text import TextReader


class Answer:
    """Reads the events of the responses to a prompt: of one, or of a tool loop with one after the other.

    Each piece of text goes to `on_piece`.  Failures must have become errors before, as by `raise_on_failure`.
    """

    def __init__(self, on_piece: Callable[[str], None]) -> None:
        self._on_piece = on_piece
        self._texts = TextReader()
        self.see = self._texts.reader(self._see_other, on_piece)
        """Reads an event.  Raises `DecodeError` at the end of a response that has no text and cannot be read."""
        self.text = ""
        """The whole text of the latest response that ended."""

    def end(self) -> None:
        """Take note that no event follows."""
        self._add(self._texts.flush())

    def _see_other(self, event: ServerEvent) -> None:
        if event.is_terminal:
            piece = self._texts.finish(event)
            self.text = self._texts.text
        else:
            piece = self._texts.read(event)
        if isinstance(piece, DecodeError):
            raise piece
        self._add(piece)

    def _add(self, piece: str) -> None:
        if piece:
            self._on_piece(piece)
