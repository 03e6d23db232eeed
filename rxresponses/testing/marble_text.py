"""The text of a marble diagram, such as `c-(He)-(llo)-C|`: what happens in which frame of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Token:
    """A sign of a marble diagram; `text` is what stands inside of the parentheses or braces, or the letter."""

    kind: Kind
    text: str

    def __str__(self) -> str:
        if self.kind == "text":
            escaped = self.text.replace("\\", "\\\\").replace(")", "\\)").replace("\n", "\\n")
            return f"({escaped})"
        return f"{{{self.text}}}" if self.kind == "braces" else self.text


Frames = tuple[tuple[Token, ...], ...]
"""The tokens of each frame."""


def parse(text: str) -> Frames:
    r"""Return the frames of a marble diagram.

    A frame is one of these; spaces stand for nothing, so that two lines can be aligned:

    - `-`: nothing happens;
    - `(text)`: a text; `\)`, `\\` and `\n` are a parenthesis, a backslash and a line break in it;
    - `{…}`: anything else, with braces in pairs inside;
    - a letter or a digit;
    - `|` completion, `#` an error;
    - `[…]`: all of this in one frame.

    Raises `ValueError`, which says where, for other text, and for anything behind the end.
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
            token = Token(_SIGNS[sign], sign)
        elif sign.isascii() and sign.isalnum():
            token = Token("letter", sign)
        elif sign != "-" or group is not None:
            raise ValueError(f"{_where(text, start)}: {sign!r} has no meaning here")
        if has_ended and token is not None:
            raise ValueError(f"{_where(text, start)}: nothing may follow the end")
        has_ended = has_ended or (token is not None and token.kind in ("completed", "error"))
        if group is not None and token is not None:
            group.append(token)
        else:
            frames.append(() if token is None else (token,))
    if group is not None:
        raise ValueError(f"{_where(text, len(text))}: the group is not closed with ]")
    return tuple(frames)


def _enclosed(text: str, start: int) -> tuple[Token, int]:
    """Return the token in parentheses or braces that begins here, and the place behind it."""
    opening, closing = text[start], _CLOSING[text[start]]
    found, depth, place = "", 1, start + 1
    while place < len(text):
        sign = text[place]
        place += 1
        if opening == "(" and sign == "\\" and place < len(text):
            found += {"n": "\n"}.get(text[place], text[place])
            place += 1
            continue
        depth += (sign == opening == "{") - (sign == closing)
        if depth == 0:
            return Token("text" if opening == "(" else "braces", found), place
        found += sign
    raise ValueError(f"{_where(text, start)}: {opening} is not closed with {closing}")


def _where(text: str, place: int) -> str:
    return f"marble diagram {text!r}, character {place + 1}"


def aligned(lines: Sequence[tuple[str, Sequence[str]]], marked: Sequence[int] = ()) -> str:
    """Return lines one above the other, each frame at the same place in all of them, with marks below some frames.

    Each line is a name and the texts of its frames.
    """
    count = max(len(cells) for _, cells in lines)
    columns = [[cells[frame] if frame < len(cells) else "" for _, cells in lines] for frame in range(count)]
    widths = [max(map(len, column), default=1) for column in columns]
    margin = max(len(name) for name, _ in lines)
    shown = []
    for row, (name, _) in enumerate(lines):
        cells = " ".join(column[row].ljust(width) for column, width in zip(columns, widths, strict=True))
        shown.append(f"{name.ljust(margin)}  {cells}".rstrip())
    if marked:
        marks = " ".join(("^" if frame in marked else " ") * width for frame, width in enumerate(widths))
        shown.append(f"{' ' * margin}  {marks}".rstrip())
    return "\n".join(shown)
