"""Decides which idle times are cut out of the picture, so that an hour between two requests does not hide them."""

from __future__ import annotations

import functools
import itertools
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

_SHORTEST = 1.0  # seconds
_SHARE = 0.5  # of the time that is not cut: a shorter idle time is drawn as long as it is
_DRAWN = 0.03  # of the time that is not cut: as much of the picture is left of an idle time
_DRAWN_TOGETHER = 0.3


@dataclass(frozen=True)
class Breaks:
    """The idle times that are cut, in their order, and where a time is in the picture.

    A place is counted in seconds as they are drawn.  Up to the first idle time, it is the time itself.
    """

    spans: tuple[tuple[float, float], ...] = ()
    drawn: float = 0.0
    """The seconds that are left of each idle time."""

    @functools.cached_property
    def _cuts(self) -> list[float]:
        """What is cut before each of the spans, and in all."""
        return list(itertools.accumulate((end - begin - self.drawn for begin, end in self.spans), initial=0.0))

    def place(self, at: float) -> float:
        """Return the place of a time; inside of an idle time that is cut, it is in proportion."""
        number = bisect_right(self.spans, (at, float("inf")))
        if number and at < self.spans[number - 1][1]:
            begin, end = self.spans[number - 1]
            return begin - self._cuts[number - 1] + self.drawn * (at - begin) / (end - begin)
        return at - self._cuts[number]

    def parts(self, begin: float, end: float) -> list[tuple[float, float]]:
        """Return the times between which nothing is cut."""
        edges = [begin, *itertools.chain.from_iterable(self.spans), end]
        return list(zip(edges[::2], edges[1::2], strict=True))


def breaks_of(busy: Iterable[tuple[float, float]], begin: float, end: float) -> Breaks:
    """Return the idle times to cut: those in which nothing runs, and which are long beside all other time.

    `busy` are the times in which something runs, in any order; they may overlap.
    """
    idle: list[tuple[float, float]] = []
    latest = begin
    for start, stop in sorted(busy):
        if start > latest:
            idle.append((latest, min(start, end)))
        latest = max(latest, stop)
    if end > latest:
        idle.append((latest, end))
    rest = end - begin - sum(stop - start for start, stop in idle)
    cut: list[tuple[float, float]] = []
    for start, stop in sorted(idle, key=lambda span: span[1] - span[0]):
        if stop - start > max(_SHORTEST, _SHARE * rest):
            cut.append((start, stop))  # and all longer ones
        else:
            rest += stop - start
    if not cut:
        return Breaks()
    return Breaks(tuple(sorted(cut)), min(_DRAWN, _DRAWN_TOGETHER / len(cut)) * max(rest, _SHORTEST))
