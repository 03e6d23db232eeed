"""The text of the answer to a prompt, event by event."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import DecodeError
from ..wire.events import ResponseOutputItemAddedEvent, ServerEvent
from ..wire.output_text import TextReader


class Answer:
    """Reads the events of the responses to a prompt: of one response, or of several in a run of tools.

    Each piece of text goes to `on_piece`; with a `phase`, only text of the messages of this phase.  `on_message` is
    called when a message begins, so that commentary and answer do not stand in one line.  Failures must have become
    errors before, for example by `raise_on_failure`.
    """

    def __init__(
        self, on_piece: Callable[[str], None], on_message: Callable[[], None] | None = None, *, phase: str | None = None
    ) -> None:
        self._on_message = on_message
        self._on_piece = on_piece
        self._texts = TextReader(phase)
        self.see = self._texts.reader(self._see_other, on_piece)
        """Reads an event.  Raises `DecodeError` at the end of a response that has no text and cannot be read."""
        self.text = ""
        """The whole text of the latest response that ended."""

    def end(self) -> None:
        """Emit the rest of the text: no event follows."""
        self._add(self._texts.flush())

    def _see_other(self, event: ServerEvent) -> None:
        if isinstance(event, ResponseOutputItemAddedEvent) and event.item.type == "message" and self._on_message:
            self._on_message()
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
