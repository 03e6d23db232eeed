"""The text of a response, as pieces that are safe to print."""

from __future__ import annotations

from ..errors import DecodeError
from ..wire.events import ResponseTextDeltaEvent, ResponseTextDoneEvent, ServerEvent
from ..wire.failures import response_of, unreadable


def split_half(text: str) -> tuple[str, str]:
    """Return `text` fit for any encoding, and the half character at its end that waits for its other half.

    Some servers cut between the two surrogates of a character, and JSON escapes carry them through.
    Surrogates that never meet their other half become U+FFFD.
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

    __slots__ = ("_deltas", "_half", "_texts")

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._half = ""
        self._deltas = False  # deltas were seen: then `output_text.done` only repeats them
        self._texts = False  # so were whole texts: then the terminal event only repeats them

    def read(self, event: ServerEvent) -> str:
        """Return the text that an event on the way adds, often none."""
        if isinstance(event, ResponseTextDeltaEvent):
            self._deltas = True
            delta = event.delta
            if delta.isascii() and not self._half:
                return delta
            text, self._half = split_half(self._half + delta)
            return text
        if isinstance(event, ResponseTextDoneEvent):
            if not self._deltas:
                self._texts = True
                return _safe(event.text)
        elif event.type == "response.created":
            self._reset()
        return ""

    def finish(self, event: ServerEvent) -> str | DecodeError:
        """Return the text that the terminal event adds: what is held back, or all when none came before."""
        rest = self.flush()
        known = self._deltas or self._texts
        self._reset()
        if known:
            return rest
        response = response_of(event)
        return unreadable(event) if response is None else _safe(response.output_text)

    def flush(self) -> str:
        """Return what is held back, now that nothing follows."""
        half, self._half = self._half, ""
        return "\ufffd" if half else ""


def _safe(text: str) -> str:
    whole, half = split_half(text)
    return whole + "\ufffd" if half else whole
