"""The text of a marble diagram, such as `c-(He)-(llo)-C|`: what happens in which frame of time."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

EVENTS = {
    "c": "response.created",
    "q": "response.queued",
    "p": "response.in_progress",
    "C": "response.completed",
    "F": "response.failed",
    "N": "response.incomplete",
    "E": "error",
}
"""The letters that stand for events."""

Kind = Literal["text", "braces", "letter", "completed", "error"]
_SIGNS: dict[str, Kind] = {"|": "completed", "#": "error"}
_CLOSING = {"(": ")", "{": "}"}
_NAMED_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
_DIGITS_OF_ESCAPES = {"x": 2, "u": 4, "U": 8}
_HEX = re.compile(r"[0-9a-fA-F]+")
_WIDEST = 100  # columns of lines that stand one above the other; longer ones are shown in parts
_MOST_PARTS = 5
_AROUND = 30  # characters that are shown on both sides of an error


@dataclass(frozen=True)
class Token:
    """A sign of a marble diagram; `text` is what stands inside of the parentheses or braces, or the letter."""

    kind: Kind
    text: str
    diagram: str = field(default="", compare=False, repr=False)
    """The diagram in which it stands, and where."""
    place: int = field(default=0, compare=False, repr=False)

    def __str__(self) -> str:
        if self.kind == "text":
            return f"({''.join(map(_escaped, self.text))})"
        return f"{{{self.text}}}" if self.kind == "braces" else self.text

    def wrong(self, why: str) -> ValueError:
        """Return an error that points at this token."""
        return _wrong(self.diagram or str(self), self.place, why)


def _escaped(character: str) -> str:
    """Return a character as it is written in parentheses: what cannot be seen, or moves other text, as its number."""
    if character in "\\)":
        return f"\\{character}"
    return character if character.isprintable() else character.encode("unicode_escape").decode()


Frames = tuple[tuple[Token, ...], ...]
"""The tokens of each frame."""


def parse(text: str) -> Frames:
    r"""Return the frames of a marble diagram.

    A frame is one of these; spaces stand for nothing, so that two lines can be aligned:

    - `-`: nothing happens;
    - `(text)`: a text; `\)` and `\\` are a parenthesis and a backslash in it, and `\n`, `\t`, `\r`, `\x1b`, `\u202e`
      and `\U0001f600` are as in Python;
    - `{…}`: anything else, with braces in pairs inside;
    - a letter or a digit;
    - `|` completion, `#` an error;
    - `[…]`: all of this in one frame.

    Raises `ValueError`, which points at the place, for other text, and for anything behind the end.
    """
    frames: list[tuple[Token, ...]] = []
    group: list[Token] | None = None
    has_ended = False
    place = 0
    while place < len(text):
        start, sign = place, text[place]
        place += 1
        token: Token | None = None
        if sign in " \n":
            continue
        if sign == "[" and group is None:
            group = []
            continue
        if sign == "]" and group is not None:
            frames.append(tuple(group))
            group = None
            continue
        if sign in _CLOSING:
            token, place = _enclosed(text, start)
        elif sign in _SIGNS:
            token = Token(_SIGNS[sign], sign, text, start)
        elif sign.isascii() and sign.isalnum():
            token = Token("letter", sign, text, start)
        elif sign != "-" or group is not None:
            hint = r"; in a text it is written \)" if sign == ")" else ""
            raise _wrong(text, start, f"{sign!r} has no meaning here{hint}")
        if has_ended and token is not None:
            raise token.wrong("nothing may follow the end")
        has_ended = has_ended or (token is not None and token.kind in ("completed", "error"))
        if group is not None and token is not None:
            group.append(token)
        else:
            frames.append(() if token is None else (token,))
    if group is not None:
        raise _wrong(text, len(text), "the group is not closed with ]")
    return tuple(frames)


def _enclosed(text: str, start: int) -> tuple[Token, int]:
    """Return the token in parentheses or braces that begins here, and the place behind it."""
    opening, closing = text[start], _CLOSING[text[start]]
    found, depth, place = "", 1, start + 1
    while place < len(text):
        sign = text[place]
        place += 1
        if opening == "(" and sign == "\\" and place < len(text):
            sign, place = _unescaped(text, place)
            found += sign
            continue
        depth += (sign == opening == "{") - (sign == closing)
        if depth == 0:
            return Token("text" if opening == "(" else "braces", found, text, start), place
        found += sign
    raise _wrong(text, start, f"{opening} is not closed with {closing}")


def _unescaped(text: str, place: int) -> tuple[str, int]:
    """Return the character that is written behind a backslash, and the place behind it."""
    sign = text[place]
    count = _DIGITS_OF_ESCAPES.get(sign)
    if count is None:
        return _NAMED_ESCAPES.get(sign, sign), place + 1
    digits = text[place + 1 : place + 1 + count]
    if len(digits) < count or not _HEX.fullmatch(digits) or int(digits, 16) > 0x10FFFF:
        raise _wrong(text, place - 1, f"\\{sign} needs the {count} hexadecimal digits of a character")
    return chr(int(digits, 16)), place + 1 + count


def _wrong(text: str, place: int, why: str) -> ValueError:
    """Return an error that shows the diagram, and points at a place in it."""
    begin, end = max(0, place - _AROUND), place + _AROUND
    before = ("…" if begin else "") + "".join(map(_visible, text[begin:place]))
    behind = "".join(map(_visible, text[place:end])) + ("…" if end < len(text) else "")
    lines = f"    {before}{behind}", f"    {' ' * columns(before)}^"
    return ValueError("\n".join([f"marble diagram, character {place + 1}: {why}", *lines]))


def _visible(character: str) -> str:
    return character if character.isprintable() else " " if character in " \n" else _escaped(character)


def columns(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    wide = sum(unicodedata.east_asian_width(one) in "WF" for one in text)
    return len(text) + wide - sum(unicodedata.category(one) in ("Mn", "Me") for one in text)


def aligned(lines: Sequence[tuple[str, Sequence[str]]], marked: Sequence[int] = ()) -> str:
    """Return lines one above the other, each frame at the same place in all of them, with marks below some frames.

    Each line is a name and the texts of its frames.  Lines that are too wide are shown in parts: those with marks.
    """
    count = max(len(cells) for _, cells in lines)
    grid = [[cells[frame] if frame < len(cells) else "" for _, cells in lines] for frame in range(count)]
    widths = [max(map(columns, column), default=1) for column in grid]
    margin = max(len(name) for name, _ in lines)
    parts = list(_parts(widths, _WIDEST - margin))
    wanted = [part for part in parts if not marked or any(frame in part for frame in marked)]
    shown: list[str] = []
    for part in wanted[:_MOST_PARTS]:
        if len(parts) > 1:
            shown.append(f"frames {part.start} to {part.stop - 1}:")
        for row, (name, _) in enumerate(lines):
            cells = " ".join(grid[frame][row] + " " * (widths[frame] - columns(grid[frame][row])) for frame in part)
            shown.append(f"{name.ljust(margin)}  {cells}".rstrip())
        if marked:
            marks = " ".join(("^" if frame in marked else " ") * widths[frame] for frame in part)
            shown.append(f"{' ' * margin}  {marks}".rstrip())
    if len(wanted) > _MOST_PARTS:
        shown.append(f"and more behind frame {wanted[_MOST_PARTS - 1].stop - 1}")
    return "\n".join(shown)


def _parts(widths: Sequence[int], most: int) -> Iterator[range]:
    """Divide frames into parts that are not too wide; a frame that is too wide by itself is a part."""
    begin = taken = 0
    for frame, width in enumerate(widths):
        if taken + width > most and frame > begin:
            yield range(begin, frame)
            begin, taken = frame, 0
        taken += width + 1
    yield range(begin, len(widths))
