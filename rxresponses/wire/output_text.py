"""The output text of a response, in pieces that can be printed."""

from __future__ import annotations

from ..errors import DecodeError
from .events import ResponseTextDeltaEvent, ResponseTextDoneEvent, ServerEvent
from .failures import response_of, unreadable


def split_half(text: str) -> tuple[str, str]:
    """Return `text` without lone surrogates, and the half character at its end that waits for its other half.

    Some servers cut a delta between the two surrogates of a character, and JSON escapes carry the halves.
    A surrogate that cannot get its other half any more becomes U+FFFD.
    """
    if text.isascii():
        return text, ""
    try:
        text.encode()
    except UnicodeEncodeError:
        half = text[-1] if "\ud800" <= text[-1] <= "\udbff" else ""
        whole = text[:-1] if half else text
        return whole.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"), half
    return text, ""


class TextReader:
    """Reads the output text of one response after another, event by event."""

    __slots__ = ("_had_deltas", "_had_texts", "_half")

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._half = ""  # the first half of a character, which waits for the next delta
        self._had_deltas = False  # then `response.output_text.done` repeats them
        self._had_texts = False  # whole texts without deltas; then the terminal event repeats them

    def read(self, event: ServerEvent) -> str:
        """Return the text that an event before the terminal event adds; most types of event add none."""
        if isinstance(event, ResponseTextDeltaEvent):
            self._had_deltas = True
            delta = event.delta
            if delta.isascii() and not self._half:
                return delta
            text, self._half = split_half(self._half + delta)
            return text
        if isinstance(event, ResponseTextDoneEvent):
            if not self._had_deltas:
                self._had_texts = True
                return _without_halves(event.text)
        elif event.type == "response.created":
            self._reset()
        return ""

    def finish(self, event: ServerEvent) -> str | DecodeError:
        """Return the text that the terminal event adds: the half held back, or the whole text if none came before."""
        rest = self.flush()
        known = self._had_deltas or self._had_texts
        self._reset()
        if known:
            return rest
        response = response_of(event)
        return unreadable(event) if response is None else _without_halves(response.output_text)

    def flush(self) -> str:
        """Return the half character that is held back, as U+FFFD, because no delta follows."""
        half, self._half = self._half, ""
        return "\ufffd" if half else ""


def _without_halves(text: str) -> str:
    whole, half = split_half(text)
    return whole + "\ufffd" if half else whole
