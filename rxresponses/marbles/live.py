"""A diagram that grows: what pages are told of it, and which of its events are kept for pages that are opened later."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from ..recording.format import EventRecord, Record, dumps
from .breaks import Breaks
from .families import family_of, is_piece, is_text, short_name
from .page import row_head, shortened_frame
from .rows import Line, Lines
from .selection import Selection

_LARGE = 32_768  # bytes: of a larger frame, the long strings are shortened
_MOST_ROWS = 1_000  # lines, of which those that have ended are dropped first
_FACTS_EVERY = 2.0  # seconds between two looks at the duration and the count of a line that only goes on
_MOST_HEADS = 1_000
_PIECE_HEAD = re.compile(rb'\{"type": ?"([a-z0-9_.]{1,80}\.delta)",')
_OBJECTS = 240  # bytes that the objects of a chunk take, besides what they hold
_BREAK = b"\n"


_encode = msgspec.json.Encoder().encode


class _Piece(NamedTuple):
    """A type of events that are pieces of a longer text."""

    number: int
    is_text: bool


@dataclass(slots=True)
class _Chunk:
    """Marbles that were added to a row at one time, as pages are told of them."""

    row: _LiveRow
    marbles: msgspec.Raw
    frames: bytes
    """A frame a line."""
    last: float

    @property
    def size(self) -> int:
        return len(bytes(self.marbles)) + len(self.frames) + _OBJECTS


@dataclass(eq=False)
class _LiveRow:
    number: int
    line: Line
    owner: Line | None = None  # of a pipeline: the request, once it is known
    sent: msgspec.Raw | None = None  # the frame of the request
    chunks: deque[_Chunk] = field(default_factory=deque)
    head_at: float = float("-inf")
    has_changed: bool = True  # in more than that pieces were added
    # The marbles that no page was told of.
    runs: list[dict[str, Any]] = field(default_factory=list)
    frames: list[bytes] = field(default_factory=list)
    last: float = 0.0


class LiveDiagram:
    """The lines of running streams, as far back as a time and a number of bytes allow.

    A page is told of it in messages: `snapshot` for a page that knows nothing yet, and `update` for all that have the
    messages before.  A message is a line of JSON; the frames of its events follow, each on a line of its own, so that
    nobody has to read them until somebody wants to see one.

    The many pieces of texts are not read here, but by a page that shows them.  So a piece costs about a microsecond.
    """

    def __init__(self, *, window: float, max_bytes: int) -> None:
        """`window` are seconds, and `max_bytes` the size of all marbles with their frames."""
        self._window = window
        self._max_bytes = max_bytes
        self._lines = Lines(True, Selection())
        self._rows: dict[Line, _LiveRow] = {}
        self._touched: dict[_LiveRow, None] = {}
        self._types: dict[tuple[str, str], int] = {}
        self._told_types = 0
        self._pieces: dict[bytes, _Piece] = {}  # by the begin of the frame
        self._chunks: deque[_Chunk] = deque()
        self._size = 0
        self._begin = 0.0  # what came earlier is dropped
        self._looked = 0.0
        self._count = 0  # of rows that ever were
        self._pipelines: dict[str, int] = {}
        self._order_changed = False

    def events(self, at: Sequence[float], request: str | None, lane: str | None, frames: Sequence[bytes]) -> None:
        """Add events that belong to one request, in their order."""
        for start, end, kind, text in self._runs(frames):
            if kind is None:
                self._event(at[start], request, lane, frames[start])
                continue
            line = self._lines.request_line(request, lane)
            row = self._rows.get(line) or self._row(line)
            self._touched[row] = None
            if kind.is_text and line.first_text is None:
                line.first_text = at[start]
                row.has_changed = True
            line.passed(at[start], at[end - 1], end - start)
            row.runs.append({"type": kind.number, "at": at[start:end]})
            row.frames.append(text)
            row.last = at[end - 1]

    def _runs(self, frames: Sequence[bytes]) -> Iterator[tuple[int, int, _Piece | None, bytes]]:
        """Yield where runs of pieces of the same type begin and end, and their frames as lines.

        Events that have to be read are runs of one.
        """
        head = frames[0][: frames[0].find(b",") + 1]
        kind = self._piece(head)
        whole = _BREAK.join(frames)
        if (
            kind is not None
            and len(whole) <= _LARGE
            and whole.count(_BREAK + head) == whole.count(b"\n") == len(frames) - 1
        ):
            yield 0, len(frames), kind, whole  # as nearly always; nothing was done for each frame
            return
        for index, frame in enumerate(frames):
            kind = self._piece(frame[: frame.find(b",") + 1]) if len(frame) <= _LARGE and b"\n" not in frame else None
            yield index, index + 1, kind, frame

    def _piece(self, head: bytes) -> _Piece | None:
        """Return the type of a frame that begins so, if it is a piece; `None` for one that has to be read whole."""
        if head in self._pieces:
            return self._pieces[head]
        found = _PIECE_HEAD.fullmatch(head)
        if found is None:
            return None
        kind = found[1].decode()
        if len(self._pieces) >= _MOST_HEADS:
            self._pieces.clear()
        self._pieces[head] = _Piece(self._type_of(kind, family_of(kind)), is_text(kind))
        return self._pieces[head]

    def _type_of(self, kind: str, family: str) -> int:
        return self._types.setdefault((kind, family), len(self._types))

    def _event(self, at: float, request: str | None, lane: str | None, frame: bytes) -> None:
        text = frame.decode(errors="replace")
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            data = None
        self.record(EventRecord(at, request, data if isinstance(data, dict) else None, None, lane, text))

    def record(self, record: Record) -> None:
        """Add any other record, or an event that has to be read."""
        line = self._lines.read(0, record)
        frame = self._lines.frames.pop(0, None)
        assert line is not None, "no line is left out"
        row = self._rows.get(line) or self._row(line)
        self._touched[row] = None
        row.has_changed = True
        if row.owner is not (owner := self._lines.owner_of(line)):
            row.owner, self._order_changed = owner, True
        if not line.marbles:
            if frame is not None:
                row.sent = msgspec.Raw(_line_of(frame))
            return
        marble = line.marbles.pop()
        number = self._type_of(marble.kind, marble.family)
        row.runs.append({"type": number, "at": [marble.at], "text": marble.text})
        row.frames.append(_line_of(frame))
        row.last = marble.at

    def _row(self, line: Line) -> _LiveRow:
        self._count += 1
        self._rows[line] = row = _LiveRow(self._count, line)
        self._order_changed = True
        if line.kind == "stage":
            self._pipelines.setdefault(line.label, self._count)
        return row

    # What pages are told.

    def update(self, now: float, *, is_wanted: bool = True) -> bytes | None:
        """Return what has changed since the last update, `None` if nothing has; not `is_wanted`, nobody will read it.

        To be called several times a second, since it also drops what is too old.
        """
        self._lines.passed(now)
        rows, self._touched = self._touched, {}
        chunks = {row: chunk for row in rows if (chunk := self._chunk_of(row)) is not None}
        self._trim(now)
        if not is_wanted:
            return None
        told = []
        rows = {row: None for row in rows if self._rows.get(row.line) is row}  # the others were dropped just now
        for row in rows:
            if row.has_changed or now - row.head_at >= _FACTS_EVERY:
                told.append(self._told(row, [chunks[row]] if row in chunks else [], self._head_of(row)))
                row.has_changed, row.head_at = False, now
            else:  # pieces were added
                told.append(self._told(row, [chunks[row]], None))
        if not told and not self._order_changed and all(row.line.ending for row in self._rows.values()):
            return None
        types = list(self._types)[self._told_types :]
        sent = [chunks[row] for row in rows if row in chunks]
        return self._message(now, told, types, sent, order=self._order_changed)

    def snapshot(self, now: float) -> bytes:
        """Return all there is, for a page that knows nothing of the updates so far; `update` was just called."""
        rows = list(self._rows.values())
        told = [self._told(row, row.chunks, self._head_of(row)) for row in rows]
        chunks = [chunk for row in rows for chunk in row.chunks]
        return self._message(now, told, list(self._types), chunks, order=True, reset=True)

    def _message(
        self,
        now: float,
        rows: list[dict[str, Any]],
        types: list[tuple[str, str]],
        chunks: Iterable[_Chunk],
        *,
        order: bool,
        reset: bool = False,
    ) -> bytes:
        data: dict[str, Any] = {"now": now, "begin": self._begin, "reset": reset, "rows": rows}
        if types:
            data["firstType"] = len(self._types) - len(types)
            data["types"] = [
                (kind, family, family == "value" or is_piece(kind), short_name(kind)) for kind, family in types
            ]
        if order:
            data["order"] = self._order()
        if not reset:
            self._told_types, self._order_changed = len(self._types), False
        return b"\n".join((_encode(data), *(chunk.frames for chunk in chunks)))

    def _told(self, row: _LiveRow, chunks: Iterable[_Chunk], head: msgspec.Raw | None) -> dict[str, Any]:
        told: dict[str, Any] = {"id": row.number, "chunks": [chunk.marbles for chunk in chunks]}
        if head is not None:
            told["head"] = head
        return told

    def _head_of(self, row: _LiveRow) -> msgspec.Raw:
        """Return what is told of a row but for its marbles."""
        head = row_head(self._lines.row(row.line, 0.0), Breaks())
        owner = self._lines.owner_of(row.line)
        if owner is not None:
            head["lane"] = owner.lane
        head["request"] = row.sent
        return msgspec.Raw(_encode(head))

    def _chunk_of(self, row: _LiveRow) -> _Chunk | None:
        if not row.frames:
            return None
        frames = b"\n".join(row.frames)
        if not frames.isascii():
            frames = frames.decode(errors="replace").encode()
        chunk = _Chunk(row, msgspec.Raw(_encode(row.runs)), frames, row.last)
        row.runs, row.frames = [], []
        row.chunks.append(chunk)
        self._chunks.append(chunk)
        self._size += chunk.size
        return chunk

    # What is kept.

    def _trim(self, now: float) -> None:
        """Drop what is too old or too much."""
        begin = max(self._begin, now - self._window)
        while self._chunks and (self._chunks[0].last < begin or self._size > self._max_bytes):
            chunk = self._chunks.popleft()
            chunk.row.chunks.popleft()
            self._size -= chunk.size
            begin = max(begin, chunk.last)
        self._begin = begin
        if now - self._looked < _FACTS_EVERY and len(self._rows) <= _MOST_ROWS:
            return
        self._looked = now
        ended = [row for row in self._rows.values() if self._has_ended(row)]
        gone = {row.line for row in ended if not row.chunks and self._end_of(row) < begin}
        more = len(self._rows) - len(gone) - _MOST_ROWS
        if more > 0:
            gone.update([row.line for row in ended if row.line not in gone][:more])
        if gone:
            self._forget(gone)

    def _has_ended(self, row: _LiveRow) -> bool:
        line = row.line
        owner = self._lines.owner_of(line)  # whose end is that of a pipeline, too
        return line.kind == "other" or any(
            each is not None and (each.ending is not None or each.terminal is not None) for each in (line, owner)
        )

    def _end_of(self, row: _LiveRow) -> float:
        line = row.line
        return line.ending.at if line.ending is not None else max(line.last, line.begin or 0.0)

    def _forget(self, gone: set[Line]) -> None:
        rows = {self._rows.pop(line) for line in gone}
        self._lines.forget(gone)
        self._order_changed = True
        kept = [chunk for chunk in self._chunks if chunk.row not in rows]
        if len(kept) < len(self._chunks):
            self._chunks = deque(kept)
            self._size = sum(chunk.size for chunk in kept)
        labels = {line.label for line in self._rows}
        self._pipelines = {name: number for name, number in self._pipelines.items() if name in labels}

    def _order(self) -> list[int]:
        """Return the numbers of the rows from the top: connections, then requests with pipelines, latest first."""
        ranks = {"connection": 0, "request": 1, "stage": 1, "other": 2}

        def place(row: _LiveRow) -> tuple[int, ...]:
            line = row.line
            rank = ranks[line.kind]
            if rank != 1:
                return rank, row.number
            owner = self._lines.owner_of(line)
            pipeline = self._pipelines[line.label] if line.kind == "stage" else 0
            number = self._rows[owner].number if owner is not None and owner in self._rows else pipeline or row.number
            return rank, -number, pipeline, line.stage

        return [row.number for row in sorted(self._rows.values(), key=place)]


def _line_of(frame: Any) -> bytes:
    """Return a frame, or the text of one that is no JSON object, as JSON on one line."""
    if isinstance(frame, str):
        return dumps(shortened_frame(frame)).encode()
    return json.dumps(shortened_frame(frame), separators=(",", ":")).encode()
