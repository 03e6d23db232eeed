"""Makes the lines of a diagram from the records of a recording."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..recording.format import (
    ConnectionRecord,
    EndRecord,
    EventRecord,
    Record,
    Recording,
    RequestRecord,
    StageRecord,
)
from ..redaction import shown_data
from .breaks import Breaks, breaks_of
from .diagram import SIGNS, Diagram, Ending, Marble, Row
from .families import error_words, family_of, is_piece, is_text, kind_of, words_of
from .selection import Selection
from .texts import number, one_line, piece, seconds

_NORMAL_CLOSE = (None, 1000, 1001)
_SIGNS = {
    "response.completed": "completed",
    "response.failed": "failed",
    "response.incomplete": "incomplete",
    "response.done": "completed",
    "response.cancelled": "incomplete",
    "response.canceled": "incomplete",
    "error": "error",
    "response.error": "error",
}
"""The sign of a terminal event: a stream that completes behind it still says how the response has ended."""
_MOST_MARKS = 100  # of a line; the earliest are left out
_STATUSES = {"failed": "failed", "incomplete": "incomplete", "cancelled": "incomplete", "canceled": "incomplete"}


@dataclass(eq=False)
class Line:
    """A line while its records are read."""

    kind: str
    name: str
    group: str
    lane: str | None = None
    begin: float | None = None
    marbles: list[Marble] = field(default_factory=list)
    ending: Ending | None = None
    terminal: tuple[str, str] | None = None
    request: Mapping[str, Any] | None = None
    record: int | None = None
    first_text: float | None = None
    label: str = ""
    stage: int = 0
    count: int = 0
    """The marbles that the line has had; those of a live diagram are taken away."""
    marks: list[Ending] = field(default_factory=list)
    subscriptions: int = 0
    first: float = math.inf
    last: float = -math.inf

    def add(self, marble: Marble) -> None:
        """Add a marble."""
        self.marbles.append(marble)
        self.passed(marble.at, marble.at, 1)

    def mark(self, *marks: Ending) -> None:
        """Add marks; an end that was none, since the line goes on, becomes a mark too."""
        if self.ending is not None:
            self.marks.append(self.ending)
            self.ending = None
        self.marks += marks
        self.subscriptions += len(marks)
        del self.marks[:-_MOST_MARKS]

    def passed(self, first: float, last: float, count: int) -> None:
        """Count marbles between these times."""
        self.count += count
        self.first, self.last = min(self.first, first), max(self.last, last)


def diagram_of(recording: Recording, *, title: str = "", selection: Selection | None = None) -> Diagram:
    """Return the lines of a recording: those of each lane together, stages below the request that they look at.

    `selection` leaves out lanes, types and times; a line without any marble, mark or end in that time is left out too.
    """
    lines = Lines(recording.has_times, selection or Selection())
    for index, record in enumerate(recording.records):
        lines.read(index, record)
    rows = lines.rows()
    begin, end = lines.span()
    return Diagram(
        title=one_line(title),
        rows=tuple(rows),
        begin=begin,
        end=end,
        has_times=recording.has_times,
        breaks=breaks_of(_busy(rows), begin, end) if recording.has_times else Breaks(),
        frames=lines.frames,
        remark=_remark(recording, lines.stopped),
    )


def _busy(rows: Iterable[Row]) -> Iterator[tuple[float, float]]:
    """Yield the times in which a request or a pipeline runs; a line without an end runs until its last marble."""
    for row in rows:
        if row.kind in ("request", "stage"):
            last = row.marbles[-1].at if row.marbles else row.begin
            yield row.begin, last if row.ending.sign == "open" else row.ending.at
        else:
            for at in (row.begin, *(marble.at for marble in row.marbles)):
                yield at, at


def _remark(recording: Recording, stopped: str) -> str:
    remarks = []
    if stopped:
        remarks.append(f"the recording was stopped early ({stopped})")
    if recording.torn is not None:
        remarks.append("the last line of the recording is torn, and left out")
    return "; ".join(remarks)


class Lines:
    """Reads the records in order, each in a few steps."""

    def __init__(self, has_times: bool, selection: Selection) -> None:
        self._has_times = has_times
        self._selection = selection
        self._lines: dict[tuple[str, ...], Line] = {}
        self._first: float | None = None
        self._latest = 0.0
        self.frames: dict[int, Any] = {}
        self._owners: dict[str, Line] = {}  # pipeline → its request
        self.stopped = ""

    def read(self, index: int, record: Record) -> Line | None:
        """Add a record to its line, and return that, if it is shown."""
        at = float(record.t) if self._has_times else float(index)
        if not math.isfinite(at):  # JSON of Python has NaN and infinity
            at = self._latest
        if not self._selection.has_time(at):
            if isinstance(record, RequestRecord):
                self._note_request(at, index, record)  # its events may be in the selected time
            return None
        line: Line | None = None
        if isinstance(record, EventRecord):
            line = self._event(at, index, record)
            if line is None:
                return None
        elif isinstance(record, RequestRecord):
            if not self._selection.has_lane(record.lane):
                return None
            line = self._note_request(at, index, record)
        elif isinstance(record, EndRecord):
            line = self._end(at, record)
        elif isinstance(record, StageRecord):
            line = self._stage(at, index, record)
        elif isinstance(record, ConnectionRecord):
            line = self._connection(at, record)
        else:
            self.stopped = one_line(str(record.why))
        self.passed(at)
        return line

    def passed(self, at: float) -> None:
        """Note that the diagram reaches to this time."""
        self._first = at if self._first is None else min(self._first, at)
        self._latest = max(self._latest, at)

    def owner_of(self, line: Line) -> Line | None:
        """Return the line of the request at which a pipeline looks."""
        return self._owners.get(line.label) if line.kind == "stage" else None

    def forget(self, lines: Container[Line]) -> None:
        """Forget lines; what follows makes new ones."""
        self._lines = {key: line for key, line in self._lines.items() if line not in lines}
        pipelines = {line.label for line in self._lines.values()}
        self._owners = {name: line for name, line in self._owners.items() if name in pipelines}

    def _note_request(self, at: float, index: int, record: RequestRecord) -> Line:
        line = self.request_line(record.request, record.lane)
        if line.begin is None:
            line.begin = at
            line.request, line.record = record.frame, index
            self.frames[index] = shown_data(record.frame)
        return line

    def request_line(self, request: str | None, lane: str | None) -> Line:
        """Return the line of a request, or that of the events on a lane that belong to no request."""
        key = ("request", request) if request is not None else ("other", lane or "")
        line = self._lines.get(key)
        if line is None:
            kind, name = ("request", request) if request is not None else ("other", "no request")
            line = self._lines[key] = Line(kind, name, name, lane)
        elif line.lane is None:
            line.lane = lane
        return line

    def _event(self, at: float, index: int, record: EventRecord) -> Line | None:
        frame: Mapping[str, Any] = record.frame if record.frame is not None else {}
        kind = kind_of(record)
        if not self._selection.has_lane(record.lane) or not self._selection.has_type(kind):
            return None
        line = self.request_line(record.request, record.lane)
        text = words_of(kind, frame) if record.frame is not None else record.text or ""
        self.frames[index] = record.frame if record.frame is not None else record.text
        line.add(
            Marble(
                at,
                one_line(kind, 100),
                family_of(kind),
                piece(text) if is_piece(kind) else one_line(text),
                is_piece(kind),
                index,
            )
        )
        if line.first_text is None and is_text(kind):
            line.first_text = at
        sign = _SIGNS.get(kind)
        if sign is not None:
            response = frame.get("response")
            status = response.get("status") if isinstance(response, Mapping) else None
            if kind == "response.done" and isinstance(status, str):
                sign = _STATUSES.get(status, sign)
            line.terminal = sign, one_line(_reason(kind, frame))
        return line

    def _end(self, at: float, record: EndRecord) -> Line | None:
        line = self._lines.get(("request", record.request))
        if line is None:
            if self._selection.lanes is not None:
                return None  # the request of another lane
            line = self.request_line(record.request, None)
        if record.how == "completed":
            sign, text = line.terminal or ("completed", "")
        else:
            sign, text = record.how, ""
            if isinstance(record.error, dict):
                words = (record.error.get(name) for name in ("type", "message"))
                text = one_line(": ".join(str(word) for word in words if word))
        line.ending = Ending(at, sign if sign in SIGNS else "error", text)
        return line

    def _stage(self, at: float, index: int, record: StageRecord) -> Line | None:
        source = self._lines.get(("request", record.request)) if record.request is not None else None
        if source is None and self._selection.lanes is not None:
            return None  # the pipeline of a request of another lane
        if source is None and record.request is not None:
            source = self.request_line(record.request, None)
        key = ("stage", record.pipeline, str(record.stage))
        line = self._lines.get(key)
        if line is None:
            name, pipeline = one_line(record.operator), record.pipeline
            line = self._lines[key] = Line("stage", name, pipeline, label=pipeline, stage=record.stage)
            line.begin = at
        if source is not None:
            self._owners[record.pipeline] = source  # the first records of a pipeline may not know it
        value = one_line("" if record.value is None else str(record.value))
        if record.what == "next" and self._selection.has_family("value"):
            line.add(Marble(at, "next", "value", value, True, index))
            self.frames[index] = record.value
        elif record.what == "subscribed":
            line.mark(Ending(at, "subscribed"))
        elif record.what != "next":
            line.mark()
            line.ending = Ending(at, record.what if record.what in SIGNS else "error", value)
        return line

    def _connection(self, at: float, record: ConnectionRecord) -> Line:
        key = ("connection", record.connection)
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = Line("connection", record.connection, record.connection)
            line.begin = at
        line.label = line.label or ("" if record.state == "connecting" else record.state)
        if record.state == "closed":
            words = [str(word) for word in (record.code, record.reason) if word is not None and word != ""]
            sign = "completed" if record.code in _NORMAL_CLOSE else "error"
            line.ending = Ending(at, sign, one_line(f"closed {' '.join(words)}".strip()))
        return line

    def span(self) -> tuple[float, float]:
        """Return the first and the last time that the diagram shows."""
        first = self._first if self._first is not None else 0.0
        begin, end = self._selection.bounds(first, max(self._latest, first))
        return begin, max(end, begin)

    def rows(self) -> list[Row]:
        """Return the finished lines: connections, then each lane with its requests, then what belongs to no request."""
        ranks = {"connection": 0, "request": 1, "stage": 1, "other": 2}
        lanes: dict[str | None, int] = {}
        groups: dict[str, int] = {}
        pipelines = {"": 0}
        for line in self._lines.values():
            if line.kind == "stage" and (owner := self._owners.get(line.label)) is not None:
                line.group, line.lane = owner.group, owner.lane
            if line.kind == "request":
                lanes.setdefault(line.lane, len(lanes))
            groups.setdefault(line.group, len(groups))
            pipelines.setdefault(line.label, len(pipelines))
        unknown = len(lanes)
        begin, _ = self.span()

        def place(line: Line) -> tuple[int, ...]:
            pipeline = pipelines[line.label] if line.kind == "stage" else 0
            return ranks[line.kind], lanes.get(line.lane, unknown), groups[line.group], pipeline, line.stage

        shown = (line for line in self._lines.values() if line.marbles or self._is_shown(line))
        ordered = sorted(shown, key=place)
        return [self.row(line, begin) for line in ordered]

    def _is_shown(self, line: Line) -> bool:
        """Whether a line without marbles is shown: one with a mark in the selected time, if all types are selected."""
        if self._selection.types is not None:
            return line.kind == "connection"
        return line.ending is not None or (line.begin is not None and self._selection.has_time(line.begin))

    def row(self, line: Line, begin: float) -> Row:
        """Return a line as it is now, in a diagram that begins at this time."""
        marbles = tuple(sorted(line.marbles, key=lambda marble: marble.at))
        first = line.first if line.count else begin
        starts = line.begin if line.begin is not None else first
        last = line.last if line.count else max(starts, begin)
        ending = line.ending
        if ending is None and line.terminal is not None:
            ending = Ending(last, *line.terminal)  # a transcript says nothing of the end of the stream
        if ending is None:
            ending = Ending(max(last, self.span()[1]), "open")
        knows_first_text = line.first_text is not None and line.begin is not None and self._has_times
        return Row(
            kind=line.kind,
            name=one_line(line.name, 100),
            lane=None if line.lane is None else one_line(line.lane, 100),
            begin=max(starts, begin),
            ending=ending,
            marbles=marbles,
            note=one_line(line.label if line.request is None else _note(line.request)),
            facts=self._facts(line, starts, ending),
            first_text=line.first_text if knows_first_text else None,
            record=line.record,
            marks=tuple(line.marks),
            group=line.group,
        )

    def _facts(self, line: Line, starts: float, ending: Ending) -> str:
        if line.kind == "connection":
            return ending.text
        facts = [number(line.count, "value" if line.kind == "stage" else "event")]
        if self._has_times and line.kind != "other":
            if line.subscriptions > 1:
                facts.append(number(line.subscriptions, "subscription"))
            if line.first_text is not None and line.begin is not None:
                facts.insert(0, f"first text {seconds(line.first_text - line.begin)}")
            facts.append(seconds(ending.at - starts))
        return " · ".join(facts)


def _reason(kind: str, frame: Mapping[str, Any]) -> str:
    response = frame.get("response")
    if isinstance(response, Mapping) and isinstance(details := response.get("incomplete_details"), Mapping):
        return str(details.get("reason") or "")
    return "" if kind == "response.completed" else error_words(frame)


def _note(request: Mapping[str, Any]) -> str:
    """Return the model and the begin of the prompt of a request."""
    words = [request["model"]] if isinstance(request.get("model"), str) else []
    if request.get("type") == "response.steer":
        words.append("steer")
    prompt = next(_texts(request.get("input")), "")
    if prompt:
        words.append(f"“{one_line(prompt, 100)}”")
    return " ".join(words)


def _texts(data: Any) -> Iterator[str]:
    """Yield the texts of an input, the latest message first."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, list):
        for item in reversed(data):
            yield from _texts(item)
    elif isinstance(data, Mapping):
        for field_name in ("text", "content", "output"):
            yield from _texts(data.get(field_name))
