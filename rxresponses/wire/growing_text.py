"""A text that grows piece by piece, and that other events of the server may repeat or complete."""

from __future__ import annotations


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


def without_halves(text: str) -> str:
    """Return `text` with each lone surrogate replaced by U+FFFD."""
    whole, half = split_half(text)
    return whole + "\ufffd" if half else whole


class GrowingText:
    """A text from several sources: deltas, whole texts, and the text with which its item or part was announced.

    Sources repeat one another, and each may be empty or cut short.  The longest source wins, and of two equally long
    ones the later.
    """

    __slots__ = ("announced", "half", "is_whole", "text")

    def __init__(self) -> None:
        self.text = ""
        self.announced = ""  # from an `added` event; with some servers the deltas repeat this text
        self.half = ""  # the first half of a character, which waits for the next delta
        self.is_whole = False  # a `done` event or a finished item gave the text

    def __str__(self) -> str:
        return self.announced if len(self.announced) > len(self.text) else self.text

    def append(self, delta: str) -> str:
        """Add a delta; return the text that it adds."""
        piece, self.half = split_half(self.half + delta)
        if not piece:
            return ""
        if self.announced and not self.text and not self.announced.startswith(piece):
            piece, self.announced = self.announced + piece, ""
        # CPython appends in place, in constant time, to a local string that nothing else refers to.
        text, self.text = self.text, ""
        text += piece
        self.text = text
        return piece

    def extend(self, pieces: list[str]) -> None:
        """Add deltas that hold no half characters."""
        text, self.text = self.text, ""
        text += "".join(pieces)
        self.text = text

    def announce(self, text: str) -> None:
        """Take the text of an `added` event."""
        if not self.text:
            self.announced = without_halves(text)

    def complete(self, text: str) -> str:
        """Take a whole text; return what it adds at the end of the text so far.

        A text that does not begin with the text so far replaces it, and adds nothing at its end.
        """
        text = without_halves(text)
        before = self.text
        self.is_whole = self.is_whole or bool(text)
        if len(text) < len(before) or text == before:
            return ""
        self.text, self.half = text, ""
        return text[len(before) :] if text.startswith(before) else ""

    def close(self) -> str:
        """Take what is left when no event follows; return what that adds at the end of the text so far."""
        if self.half:
            self.half = ""
            self.text += "\ufffd"
            return "\ufffd" + self.complete(self.announced)
        return self.complete(self.announced)
