"""The output text of a response, in pieces that can be printed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ..errors import DecodeError
from .assembly import Assembly
from .assembly_item import Item
from .assembly_scopes import TEXTS
from .events import ResponseTextDeltaEvent, ServerEvent
from .failures import unreadable
from .growing_text import GrowingText

_NEVER = object()
_MANY = 1000  # deltas that are kept one by one, before they are joined to save memory


class Receiver(Protocol):
    """Gets values; which function `on_next` is may change, so it is looked up for each value."""

    @property
    def on_next(self) -> Callable[[Any], None]:
        """Takes a value."""


class TextReader:
    """Reads the output text of one response after another, event by event.

    Nearly all events are deltas of the part to which the delta before belongs.  The function that `reader` returns
    reads these, and `read` all others.

    With a `phase`, the text is that of the messages of this phase.
    """

    __slots__ = (
        "_assembly",
        "_content_index",
        "_has_index",
        "_is_kept",
        "_item_id",
        "_output_index",
        "_pieces",
        "_text",
        "_text_place",
        "grown",
        "has_changed",
        "is_last",
        "is_only",
        "last_message",
        "message",
        "text",
    )

    def __init__(self, phase: str | None = None) -> None:
        self._assembly = Assembly(TEXTS, phase)
        self._is_kept = True
        self._pieces: list[str] = []  # deltas that are not in `_text` yet
        self.grown = ""
        """The whole text of the running response that the receiver of `grown_to` has got."""
        self.has_changed = False
        """Whether the latest event that `read` got may have changed the text."""
        self.text = ""
        """The whole text of the latest response that ended."""
        self.last_message = ""
        """The text of its last message that has any."""
        self.message: Item | None = None
        """The message of the latest piece; behind `finish`, that of `last_message`."""
        self._forget_part()

    def _forget_part(self) -> None:
        self._output_index: object = _NEVER  # that of no event
        self._has_index = True
        self._content_index: int | None = None
        self._item_id: str | None = None
        self._text: GrowingText | None = None
        self._text_place: tuple[Item, int] | None = None
        self.is_last = self.is_only = False
        """Whether this part is the last one with text, and the only one; only known if the caller keeps the text."""

    def restore(self) -> None:
        """Take back the only text, which `grown` keeps."""
        if self.is_only and self._text is not None and self._text_place is not None:
            self._text.text = self.grown
            self._assembly.touch(self._text_place)

    def _join_pieces(self) -> None:
        if self._pieces and self._text is not None and self._text_place is not None:
            self._text.extend(self._pieces)
            self._pieces.clear()
            self._assembly.touch(self._text_place)

    def reader(
        self,
        on_other: Callable[[Any], object],
        on_piece: Callable[[str], None] | None = None,
        *,
        pieces_to: Receiver | None = None,
        events_to: Receiver | None = None,
        grown_to: Receiver | None = None,
    ) -> Callable[[ServerEvent], None]:
        """Return a function that reads the events of a stream, with the fewest steps for a delta.

        A delta of the same part as the delta before goes to `on_piece` or to `pieces_to`, its event goes to
        `events_to`, or the whole text so far goes to `grown_to`.  Each other event goes to `on_other`, which calls
        `read` or `finish`.  With `grown_to`, `grown` is the whole text, and the text is not kept a second time as long
        as there is only one; then `on_other` calls `restore` before anything else.
        """
        self._is_kept = grown_to is None
        pieces = self._pieces
        append, many = pieces.append, _MANY

        def read(event: ServerEvent) -> None:
            if (
                type(event) is ResponseTextDeltaEvent
                and event.output_index == self._output_index
                and event.content_index == self._content_index
                and (self._has_index or event.item_id == self._item_id)
            ):
                delta = event.delta
                if delta and (delta.isascii() or _can_be_encoded(delta)):
                    if not self.is_only:
                        append(delta)
                        if len(pieces) > many:
                            self._join_pieces()
                    if pieces_to is not None:
                        pieces_to.on_next(delta)
                    elif on_piece is not None:
                        on_piece(delta)
                    elif events_to is not None:
                        events_to.on_next(event)
                    elif grown_to is not None:
                        if self.is_last:
                            # CPython appends in place, in constant time, to a local string that nothing else refers to.
                            grown, self.grown = self.grown, ""
                            grown += delta
                            self.grown = grown
                            del grown
                        else:
                            self.grown = self.whole()
                        grown_to.on_next(self.grown)
                    return
            on_other(event)

        return read

    def read(self, event: ServerEvent) -> str:
        """Return the text that an event before the terminal event adds; most types of event add none."""
        assembly = self._assembly
        if not assembly.looks_at(event):
            self.has_changed = False
            return ""
        self._join_pieces()
        self._forget_part()
        self.has_changed, self.message = assembly.add(event), assembly.item
        if isinstance(event, ResponseTextDeltaEvent):
            self._remember_part(event)
        return assembly.piece if self.has_changed else ""

    def _remember_part(self, event: ResponseTextDeltaEvent) -> None:
        text = self._assembly.text
        if text is None or text.half or text.announced:
            return
        self._text, self._text_place = text, self._assembly.text_place
        if not self._is_kept:
            self.is_last = self._assembly.last_text() is text
            self.is_only = self.is_last and self._assembly.has_one_part()
        self._output_index, self._content_index, self._item_id = event.output_index, event.content_index, event.item_id
        self._has_index = event.output_index is not None

    @property
    def response_id(self) -> str | None:
        """The id of the running response, `None` if it is not known."""
        base = self._assembly.base
        return None if base is None else base.id or None

    def whole(self) -> str:
        """Return the whole text so far, in the order of items and parts."""
        self._join_pieces()
        return self._assembly.output_text()

    def finish(self, event: ServerEvent) -> str | DecodeError:
        """Return the text that the terminal event adds, or the error if there is no text and it cannot be read."""
        assembly = self._assembly
        self._join_pieces()
        self._forget_part()
        response = assembly.finish(event)
        piece, self.text, self.message = assembly.piece, assembly.output_text(), assembly.last_message()
        self.last_message = "" if self.message is None else self.message.output_text()
        unread = response is None and not assembly.items()
        assembly.reset()
        return unreadable(event) if unread else piece

    def flush(self) -> str:
        """Return the text that is held back, because no event follows."""
        self._join_pieces()
        self._forget_part()
        piece = self._assembly.close()
        self.text = self._assembly.output_text()
        return piece


def _can_be_encoded(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
