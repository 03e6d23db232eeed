"""Decides which marbles of a line are drawn alone, in a pile, or as a band of density, for a number of pixels a second.

The page draws by the same rules while it is zoomed (`clusters` in `drawing.js`); a test in a browser compares them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .diagram import Marble

PITCH = 20.0
"""Pixels from one marble to the next: closer ones would overlap."""

LEVELS = 4
"""How many marbles are piled up over one place of the line."""

MIXED = "mixed"

BIN = 4.0
"""Pixels: the width of one bar of a band."""

FEWEST_PIECES = 4
"""Pieces of text that are too close to each other become a band from this number on."""

_FEWEST_OTHERS = 24
_BADGE = 40.0  # pixels: the width of "+123"


@dataclass(frozen=True, slots=True)
class Single:
    """A marble of its own; level 0 is on the line, the others are above it."""

    x: float
    level: int
    index: int


@dataclass(slots=True)
class Badge:
    """A number of marbles for which a pile has no room."""

    x: float
    indices: list[int]


@dataclass(slots=True)
class Band:
    """Marbles that are too close to be told apart: bars with their number, one each `BIN` pixels."""

    family: str
    """`MIXED` for marbles of several families."""
    begin: float
    end: float
    indices: list[int]
    bars: dict[int, int]
    tints: dict[int, str]
    """The most frequent family of each bar."""


Item = Single | Badge | Band


def clusters(marbles: Sequence[Marble], xs: Sequence[float], *, singles: bool = True) -> list[Item]:
    """Return what is drawn for the marbles of a line, which are in the order of their places `xs`, in pixels.

    Each marble is in one item.  `singles` is false for a line on which all is drawn as bands, to save space.
    """
    bands, alone = _bands(marbles, xs, singles)
    return [*bands, *_piles(xs, sorted(alone), bands)]


def _bands(marbles: Sequence[Marble], xs: Sequence[float], singles: bool) -> tuple[list[Band], list[int]]:
    """Return the bands, and the indices of the marbles in none of them.

    Pieces make bands with those of their own family, so that other events stay visible beside them.
    """
    tracks: dict[tuple[str, bool], list[int]] = {}
    for index, marble in enumerate(marbles):
        if marble.is_piece:
            tracks.setdefault((marble.family, True), []).append(index)
        else:
            tracks.setdefault(("", False), []).append(index)
    bands: list[Band] = []
    alone: list[int] = []
    for (_, is_piece), track in tracks.items():
        fewest = (FEWEST_PIECES if is_piece else _FEWEST_OTHERS) if singles else 1
        start = 0
        for end in range(1, len(track) + 1):
            if end < len(track) and xs[track[end]] - xs[track[end - 1]] < PITCH:
                continue
            run = track[start:end]
            start = end
            if len(run) < fewest:
                alone += run
            else:
                bands.append(_band(marbles, xs, run))
    bands.sort(key=lambda band: band.begin)
    return bands, alone


def _band(marbles: Sequence[Marble], xs: Sequence[float], run: list[int]) -> Band:
    counts: dict[int, dict[str, int]] = {}
    for index in run:
        bar = counts.setdefault(int(xs[index] // BIN), {})
        family = marbles[index].family
        bar[family] = bar.get(family, 0) + 1
    families = {family for bar in counts.values() for family in bar}
    return Band(
        family=families.pop() if len(families) == 1 else MIXED,
        begin=xs[run[0]],
        end=xs[run[-1]],
        indices=run,
        bars={number: sum(bar.values()) for number, bar in counts.items()},
        tints={number: max(bar, key=bar.__getitem__) for number, bar in counts.items()},
    )


def _piles(xs: Sequence[float], alone: Sequence[int], bands: Sequence[Band]) -> list[Item]:
    """Give each marble the lowest level on which it overlaps nothing; bands have level 0."""
    items: list[Item] = []
    latest = [float("-inf")] * LEVELS
    badge: Badge | None = None
    following = 0
    band_end = float("-inf")
    for index in alone:
        x = xs[index]
        while following < len(bands) and bands[following].begin < x + PITCH / 2:
            band_end = max(band_end, bands[following].end)
            following += 1
        first = 1 if x - PITCH / 2 < band_end + BIN else 0
        level = next((level for level in range(first, LEVELS) if x - latest[level] >= PITCH), None)
        if level is not None:
            latest[level] = x
            items.append(Single(x, level, index))
        elif badge is not None and x - badge.x < _BADGE:
            badge.indices.append(index)
        else:
            badge = Badge(x, [index])
            items.append(badge)
    return items
