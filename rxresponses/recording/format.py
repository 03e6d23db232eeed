"""The records of a recording, and the lines of JSON that stand for them.

The first line of a recording is its header.  Each further line is a record with `t`, the seconds since the header was
written, and `kind`.  Lines of a kind that this version does not know are passed over, so new kinds may be added.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias

VERSION = 1
"""The version of the format, which the header holds.  A file of a higher version cannot be read."""

MARK = "rxresponses_recording"
"""The first field of the header, by which a recording is known."""

Contents: TypeAlias = Literal["full", "redacted"]


@dataclass(frozen=True)
class RecordingHeader:
    """The first line: when the recording began, which version of the library wrote it, and whether texts are hidden."""

    created: str | None = None
    """The time of day of `t` = 0, in UTC, such as `2026-11-27T18:00:00.000Z`.  `None` if the file does not say it."""

    library: str | None = None
    contents: str = "full"
    """`full`, or `redacted`: each text of prompts and answers is replaced by as many `x`."""

    version: int = VERSION


@dataclass(frozen=True)
class ConnectionRecord:
    """A connection begins to connect, is open, or is closed."""

    t: float
    connection: str
    state: str
    """`connecting`, `open` or `closed`."""

    code: int | None = None
    reason: str | None = None


@dataclass(frozen=True)
class RequestRecord:
    """A request, or a steer, was written to a connection."""

    t: float
    request: str
    frame: dict[str, Any]
    connection: str | None = None
    lane: str | None = None


@dataclass(frozen=True)
class EventRecord:
    """A frame was received.

    `frame` is its JSON object, `None` for a frame that holds none.  `raw` is its text as received.  Bytes that are no
    UTF-8 are lone surrogates in `raw`, as `surrogateescape` makes them.
    """

    t: float
    request: str | None
    """The request to which the event belongs, `None` if it belongs to none."""

    frame: dict[str, Any] | None
    connection: str | None = None
    lane: str | None = None
    raw: str = ""
    binary: bool = False
    """Whether it was a binary message; then `frame` is `None` also where its bytes are JSON."""

    def __post_init__(self) -> None:
        if not self.raw and self.frame is not None:
            object.__setattr__(self, "raw", dumps(self.frame))

    @property
    def text(self) -> str | None:
        """The text of a frame that is no JSON object, `None` for any other."""
        return self.raw if self.frame is None else None


@dataclass(frozen=True)
class EndRecord:
    """The stream of a request has ended for its subscriber."""

    t: float
    request: str
    how: str
    """`completed`, `error` or `disposed`."""

    error: dict[str, Any] | None = None
    """The `type` of the error, its `message`, and its `delivery` if it has one."""


@dataclass(frozen=True)
class StageRecord:
    """What one operator of a pipeline did, as `observe_pipeline` records it."""

    t: float
    request: str | None
    pipeline: str
    stage: int
    operator: str
    what: str
    """`next`, `completed`, `error`, `subscribed` or `disposed`."""

    value: str | None = None
    """A short text of the value or of the error."""


@dataclass(frozen=True)
class StoppedRecord:
    """The last line of a recording that has stopped before its streams ended."""

    t: float
    why: str
    """`max_bytes`: the file would have become larger than it may."""


Record: TypeAlias = "ConnectionRecord | RequestRecord | EventRecord | EndRecord | StageRecord | StoppedRecord"

KINDS: dict[str, type[Any]] = {
    "connection": ConnectionRecord,
    "request": RequestRecord,
    "event": EventRecord,
    "end": EndRecord,
    "stage": StageRecord,
    "stopped": StoppedRecord,
}
_NAMES = {cls: name for name, cls in KINDS.items()}
_SHOWN_AS_NULL = {"lane", "request"}  # fields that stand in the line also without a value


@dataclass(frozen=True)
class Recording:
    """A recording as read from its lines."""

    header: RecordingHeader
    records: tuple[Record, ...]
    has_times: bool = True
    """Whether `t` of the records are times; a file with one event a line has none, and each `t` is 0."""

    torn: str | None = None
    """The text of a last line that is not whole, as after a crash; `None` if all lines are whole."""

    @property
    def why_empty(self) -> str | None:
        """Why the recording has no records, as far as the file shows it; `None` if it has some."""
        if self.records:
            return None
        has_header = self.has_times
        if self.torn is not None:
            return f"the only line{' after the header' if has_header else ''} is torn, as after a crash"
        if has_header:
            return "nothing was recorded, or nothing is written yet; the file is whole once the recording is closed"
        return "the file is empty"

    @property
    def requests(self) -> tuple[str, ...]:
        """The names of the requests, in the order in which they first appear."""
        names = (getattr(record, "request", None) for record in self.records)
        return tuple(dict.fromkeys(name for name in names if name is not None))

    def events(self, request: str | None = None) -> tuple[EventRecord, ...]:
        """Return the events in their order: all of them, or those of one request."""
        found = (record for record in self.records if isinstance(record, EventRecord))
        return tuple(record for record in found if request is None or record.request == request)


def header_line(header: RecordingHeader) -> str:
    """Return the first line of a recording, without a line break."""
    return dumps(
        {MARK: header.version, "created": header.created, "library": header.library, "contents": header.contents}
    )


def line_of(record: Record) -> str:
    """Return the line of a record, without a line break."""
    if isinstance(record, EventRecord):
        head = event_head(record.t, record.request, record.connection, record.lane)
        if record.binary:
            head += '"binary":true,'
        if record.frame is None or record.binary or "\n" in record.raw:
            return f'{head}"text":{dumps(record.raw)}}}'
        return f'{head}"frame":{record.raw}}}'
    data: dict[str, Any] = {"t": time_of(record.t), "kind": _NAMES[type(record)]}
    for field in fields(record):
        value = getattr(record, field.name)
        if field.name not in ("t", "frame") and (value is not None or field.name in _SHOWN_AS_NULL):
            data[field.name] = value
    if isinstance(record, RequestRecord):
        data["frame"] = record.frame  # last, as in events
    return dumps(data)


def event_head(t: float, request: str | None, connection: str | None, lane: str | None) -> str:
    """Return the line of an event up to the frame."""
    data = {"t": time_of(t), "kind": "event", "request": request, "connection": connection, "lane": lane}
    return f"{dumps(data)[:-1]},"


def time_of(seconds: float) -> float:
    """Return seconds with the decimals that a line has: microseconds."""
    return round(seconds, 6)


def dumps(data: Mapping[str, Any] | str) -> str:
    """Return compact JSON in ASCII, which every encoding of a file can hold, lone surrogates too."""
    return json.dumps(data, separators=(",", ":"))
