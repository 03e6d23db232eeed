"""Decides which records a diagram shows: those of some lanes, types and times."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ..recording.format import EventRecord, Recording
from .families import family_of, kind_of

DEFAULT_LANE = "default"
"""The name that selects the default lane, which has none."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What to show; `None` is no restriction.  Times are seconds since the begin of the recording, both included.

    A type is a whole event type, such as `response.output_text.delta`, or the name of a family, such as `text`; `value`
    are the values of operators.
    """

    begin: float | None = None
    end: float | None = None
    lanes: Collection[str] | None = None
    types: Collection[str] | None = None

    def has_time(self, at: float) -> bool:
        """Whether this time is shown."""
        return (self.begin is None or at >= self.begin) and (self.end is None or at <= self.end)

    def has_lane(self, lane: str | None) -> bool:
        """Whether this lane is shown."""
        return self.lanes is None or (lane or DEFAULT_LANE) in self.lanes

    def has_type(self, kind: str) -> bool:
        """Whether events of this type are shown."""
        return self.types is None or kind in self.types or family_of(kind) in self.types

    def has_family(self, family: str) -> bool:
        """Whether all marbles of this family are shown."""
        return self.types is None or family in self.types

    def bounds(self, first: float, last: float) -> tuple[float, float]:
        """Return the begin and the end of the time axis, for a recording whose shown records have these times."""
        return first if self.begin is None else self.begin, last if self.end is None else self.end


def choices(recording: Recording) -> tuple[list[str], list[str]]:
    """Return the names of the lanes of a recording, and its families and types of events, for an error message."""
    lanes: dict[str, None] = {}
    types: dict[str, None] = {}
    for record in recording.records:
        if isinstance(record, EventRecord):
            lanes[record.lane or DEFAULT_LANE] = None
            kind = kind_of(record)
            types[kind] = types[family_of(kind)] = None
    return sorted(lanes), sorted(types)
