"""A JSON string that comes in pieces, with its escapes."""

from __future__ import annotations

import re

_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_HEX = re.compile(r"u[0-9a-fA-F]{4}")
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class Unexpected(Exception):
    """The text at `position` of a piece is not what was `expected` there."""

    def __init__(self, position: int, expected: str) -> None:
        super().__init__(position, expected)
        self.position = position
        self.expected = expected


class CutText:
    """A JSON string, read from behind its first quote on, until `is_whole`."""

    __slots__ = ("_escape", "_high", "_pieces", "_text", "is_whole", "length")

    def __init__(self) -> None:
        self.is_whole = False
        self.length = 0
        """How many characters there are; half a character is none."""
        self._text = ""  # without the pieces that came since it was looked at
        self._pieces: list[str] = []
        self._escape = ""  # an escape that is not whole yet, with its backslash
        self._high = ""  # the first half of a character, which waits for the escape of the other half

    def __str__(self) -> str:
        # CPython appends in place, in constant time, to a local string that nothing else refers to.
        text, self._text = self._text, ""
        text += "".join(self._pieces)
        self._pieces.clear()
        self._text = text
        return text

    def read(self, piece: str, position: int) -> int:
        """Read on in a piece from a position; return the position behind the last quote, or behind the piece.

        Raises `Unexpected` for text that is no JSON string.
        """
        end = len(piece)
        while position < end:
            if self._escape:
                position = self._read_escape(piece, position)
                continue
            mark = piece[position]
            if self._high and mark != "\\":
                self._add(self._high)
                self._high = ""
            if mark == '"':
                self.is_whole = True
                return position + 1
            if mark == "\\":
                self._escape = mark
                position += 1
                continue
            match = _PLAIN.match(piece, position)
            assert match is not None  # the pattern fits the empty text
            if match.end() == position:
                raise Unexpected(position, "an escape")
            self._add(match[0])
            position = match.end()
        return end

    def _read_escape(self, piece: str, position: int) -> int:
        length = 6 if (self._escape + piece[position])[1] == "u" else 2
        end = position + length - len(self._escape)
        self._escape += piece[position:end]
        if len(self._escape) < length:
            return len(piece)
        escape, self._escape = self._escape[1:], ""
        if length == 2 and escape in _ESCAPES:
            character = _ESCAPES[escape]
        elif _HEX.fullmatch(escape):
            character = chr(int(escape[1:], 16))
        else:
            raise Unexpected(end - 1, "an escape")
        high, self._high = self._high, ""
        if high and "\udc00" <= character <= "\udfff":
            character = (high + character).encode("utf-16-le", "surrogatepass").decode("utf-16-le")
        elif high:
            self._add(high)
        if "\ud800" <= character <= "\udbff":
            self._high = character
        else:
            self._add(character)
        return end

    def _add(self, piece: str) -> None:
        self._pieces.append(piece)
        self.length += len(piece)
