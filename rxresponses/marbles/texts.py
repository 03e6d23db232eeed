"""Decides how a text of a recording is shown on one line: what cannot be shown, how wide it is, where it is cut."""

from __future__ import annotations

import re
import unicodedata

from ..redaction import terminal_text

_SIGNS = {"\n": "↵", "\r": "↵", "\t": "⇥", "\u2028": "↵", "\u2029": "↵", "\v": "↵", "\f": "↵", "\x85": "↵"}
_BREAKS = re.compile("\r\n|[\n\t\v\f\r\x85\u2028\u2029]")
# XML has no surrogates and no U+FFFE and U+FFFF, and UTF-8 no surrogates: half an emoji is shown as U+FFFD.
_UNENCODABLE = re.compile("[\ud800-\udfff\ufffe\uffff]")
_EMPTY = "·"
LONGEST = 200  # characters of a text that are looked at, for a label or a tooltip


def one_line(text: str, longest: int = LONGEST) -> str:
    """Return a text on one line, of at most `longest` characters.

    Line breaks and tabs become signs.  Characters that control a terminal or the direction of text, and halves of
    surrogate pairs, become U+FFFD.
    """
    cut = len(text) > longest
    shown = _BREAKS.sub(_sign, text[: longest - 1] if cut else text)
    shown = _UNENCODABLE.sub("\ufffd", terminal_text(shown))
    return f"{shown}…" if cut else shown


def _sign(found: re.Match[str]) -> str:
    return _SIGNS[found[0][-1]]


def piece(text: str) -> str:
    """Return a piece of text for a marble: white space alone, and at the ends, stays visible."""
    shown = one_line(text)
    return shown if shown.strip() else _EMPTY * min(len(shown), 3)


def cells(text: str) -> int:
    """Return the width of a text in the cells of a monospaced font: an emoji or an ideograph takes two of them."""
    if text.isascii():
        return len(text)
    return sum(map(_cells_of, text))


def fitted(text: str, room: int) -> str:
    """Return a text that takes at most `room` cells, cut with an ellipsis; an empty text if two do not fit."""
    if cells(text) <= room:
        return text
    kept, left = 0, room - 1  # the ellipsis
    while (left := left - _cells_of(text[kept])) >= 0:
        kept += 1
    return f"{text[:kept]}…" if kept else ""


def _cells_of(character: str) -> int:
    if unicodedata.east_asian_width(character) in "WF":
        return 2
    return 0 if unicodedata.category(character) in ("Mn", "Me", "Cf") else 1


def seconds(value: float) -> str:
    """Return a duration with the digits that a reader can use: `0.8 ms`, `312 ms`, `4.21 s`, `3 min 12 s`."""
    if value < 0.01:
        return f"{value * 1000:.2g} ms" if value else "0 ms"
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 99.95:
        return f"{value:.3g} s"
    if value < 120:
        return f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def number(value: int, noun: str) -> str:
    """Return a number with its noun: `1 event`, `10,000 events`."""
    return f"{value:,} {noun}{'' if value == 1 else 's'}"
