"""What a diagram shows: lines with their marbles, and how each line ends; all in seconds, nothing in pixels yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .breaks import Breaks
from .texts import number, seconds

SIGNS = {
    "subscribed": "subscribed",
    "completed": "completed",
    "incomplete": "completed with an incomplete or cancelled response",
    "failed": "completed with a failed response",
    "error": "an error",
    "disposed": "disposed",
    "open": "no end in the recording",
}
"""The signs on lines, and what they mean: all but the first are ends."""


@dataclass(frozen=True, slots=True)
class Marble:
    """An event, or a value that an operator has emitted."""

    at: float
    """Seconds since the begin of the recording; the number of the record if the recording has no times."""
    kind: str
    """The type of the event; `next` for the value of an operator."""
    family: str
    text: str
    is_piece: bool
    record: int
    """The index of its record in the recording."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a line ends: a sign, and words for it."""

    at: float
    sign: str
    """One of `SIGNS`."""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the diagram: a request on its lane, or the line behind an operator of an observed pipeline."""

    kind: str
    """`request`, `stage`, `connection`, or `other` for events that belong to no request."""
    name: str
    """`r1` for a request; the operator for a stage."""
    lane: str | None
    begin: float
    ending: Ending
    marbles: tuple[Marble, ...]
    note: str = ""
    """The model and the begin of the prompt, of a request."""
    facts: str = ""
    """How long the line took, and how many events it has."""
    first_text: float | None = None
    """When its first text came, for a line that has a text and whose begin is known."""
    record: int | None = None
    """The index of the record of the request, if it is in the recording."""
    marks: tuple[Ending, ...] = ()
    """When the pipeline was subscribed to, and the ends after which it was subscribed to again, as by `retry`."""
    group: str = ""
    """The same for a request and for the stages of its pipelines."""

    @property
    def lane_name(self) -> str:
        """The lane in words, an empty text for a lane without a name."""
        lane = self.lane or ""
        return lane if lane.startswith("lane") or not lane else f"lane {lane}"


@dataclass(frozen=True, slots=True)
class Diagram:
    """All lines, and the time that they take."""

    title: str
    rows: tuple[Row, ...]
    begin: float
    end: float
    has_times: bool
    frames: Mapping[int, Any] = field(repr=False)
    """By the index of the record: the frame of an event, for those who want to see it whole."""
    breaks: Breaks = field(default_factory=Breaks)
    """The idle times that are not drawn."""

    remark: str = ""
    """Why the recording is not whole, if it is not."""

    @property
    def count(self) -> int:
        """The number of marbles: events, and values of operators."""
        return sum(len(row.marbles) for row in self.rows)

    @property
    def values(self) -> int:
        """The number of values that the operators of observed pipelines have emitted."""
        return sum(len(row.marbles) for row in self.rows if row.kind == "stage")

    @property
    def summary(self) -> str:
        """The diagram in a sentence, for those who cannot see it."""
        requests = sum(row.kind == "request" for row in self.rows)
        took = f" in {seconds(self.end - self.begin)}" if self.has_times else ""
        values = f", {number(self.values, 'value')} of operators" if self.values else ""
        return f"{number(requests, 'request')}, {number(self.count - self.values, 'event')}{values}{took}"
