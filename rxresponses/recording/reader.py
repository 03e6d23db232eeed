"""Reads the lines of a recording, and files with one event a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from types import NoneType
from typing import Any

from .format import KINDS, MARK, VERSION, EventRecord, Record, Recording, RecordingHeader, dumps

_ENDING_TYPES = frozenset({"error", "response.completed", "response.failed", "response.incomplete"})
_LATEST = 1e12  # seconds, far more than any recording has, which every clock can add and subtract
_TORN_BEGIN = "{\0"  # a file system may have filled the file with zeros before the computer stopped
_FRAME = ',"frame":'  # before the last field of the line of an event
_FIELDS = {cls: frozenset(each.name for each in fields(cls)) for cls in KINDS.values()}
_REQUIRED: dict[str, dict[str, type]] = {
    "connection": {"connection": str, "state": str},
    "request": {"request": str, "frame": dict},
    "event": {},
    "end": {"request": str, "how": str},
    "stage": {"pipeline": str, "stage": int, "operator": str, "what": str},
    "stopped": {"why": str},
}
_OPTIONAL: dict[str, tuple[type, str]] = {
    **dict.fromkeys(("request", "connection", "lane", "reason", "value"), (str, "string")),
    "code": (int, "integer"),
    "error": (dict, "object"),
}


def read_recording(lines: Iterable[str]) -> Recording:
    """Return the recording in these lines, with or without their line breaks.

    A last line that is not whole, as after a crash, is in `Recording.torn`.  Lines of unknown kinds are passed over.
    Also read are files with one event a line, and with one `{"offset": seconds, "event": {...}}` a line: requests are
    then told apart by the responses.

    Raises `ValueError` for a line that is neither a record nor an event, and for a recording of a higher version.
    """
    reader = _Reader()
    torn: str | None = None
    problem = ""
    for number, line in enumerate(lines, start=1):
        text = line.strip(" \t\r\n")
        if number == 1:
            text = text.removeprefix("\ufeff")  # which some editors write
        if not text:
            continue
        if torn is not None:
            raise ValueError(problem)  # the line before is not the last one
        try:
            reader.read(text)
        except _NotJsonError as error:
            torn, problem = text, f"line {number}: {error}"
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    if torn is not None and torn[0] not in _TORN_BEGIN:
        raise ValueError(problem)
    return reader.recording(torn)


class _NotJsonError(ValueError):
    """A line is no JSON object; if it is the last one, it may be torn."""


@dataclass
class _Lane:
    """The latest response on a lane, in a file with one event a line."""

    request: str
    response_ids: set[str] = field(default_factory=set)
    ended_by: str | None = None


class _Reader:
    def __init__(self) -> None:
        self._header: RecordingHeader | None = None
        self._records: list[Record] = []
        self._has_times = False
        self._offset = 0.0  # of the latest line with a time
        self._lanes: dict[str | None, _Lane] = {}
        self._owners: dict[str, _Lane] = {}  # response id → the lane's record at that time
        self._count = 0  # of requests

    def recording(self, torn: str | None) -> Recording:
        header = self._header
        has_times = header is not None or self._has_times
        return Recording(header or RecordingHeader(), tuple(self._records), has_times, torn)

    def read(self, line: str) -> None:
        data, frame_text = _parse(line)
        if MARK in data:
            if self._header is not None or self._records:
                raise ValueError("a second header: a file holds one recording")
            self._header = _header(data)
        elif "kind" in data and "t" in data:
            record = _record(data, frame_text)
            if record is not None:
                self._has_times = True
                self._records.append(record)
        else:
            self._read_event(data, line)

    def _read_event(self, data: dict[str, Any], line: str) -> None:
        if data.keys() == {"offset", "event"}:
            offset, data = data["offset"], data["event"]
            if not _is_time(offset):
                raise ValueError("`offset` is no number of seconds")
            self._offset, self._has_times, line = float(offset), True, ""
        if not isinstance(data, dict) or not isinstance(data.get("type"), str):
            raise ValueError("neither a record nor an event with a type")
        lane = data.get("stream_id")
        lane = lane if isinstance(lane, str) else None
        self._records.append(EventRecord(self._offset, self._request_of(data, lane), data, None, lane, line))

    def _request_of(self, event: dict[str, Any], lane: str | None) -> str:
        response = event.get("response")
        response_id = response.get("id") if isinstance(response, dict) else None
        kind = event["type"]
        latest = self._owners.get(response_id) if isinstance(response_id, str) else None
        if latest is None:
            latest = self._lanes.get(lane)
            if latest is None or _begins_another(latest, kind, response_id):
                self._count += 1
                latest = self._lanes[lane] = _Lane(f"r{self._count}")
            if isinstance(response_id, str):
                latest.response_ids.add(response_id)
                self._owners[response_id] = latest
        if kind in _ENDING_TYPES:
            latest.ended_by = kind
        return latest.request


def _begins_another(latest: _Lane, kind: str, response_id: object) -> bool:
    if latest.ended_by is not None:
        return not (latest.ended_by == "error" and kind == "response.failed")  # which often follows
    return kind == "response.created" and bool(latest.response_ids) and response_id not in latest.response_ids


def _parse(line: str) -> tuple[dict[str, Any], str | None]:
    """Return the object of a line, and the text of its frame, if that is the last field as in lines of this library.

    Where the frame is no JSON that Python can read, the object has no `frame`.
    """
    head, found, frame_text = line.partition(_FRAME)
    if found and frame_text.endswith("}"):
        frame_text = frame_text[:-1]
        try:
            data = json.loads(f"{head}}}")
        except (ValueError, RecursionError):
            pass  # the mark stands inside of a value
        else:
            try:
                frame = json.loads(frame_text)
            except (json.JSONDecodeError, UnicodeDecodeError):
                pass
            except (ValueError, RecursionError):  # too many digits, or too deep: JSON for all that
                return data, frame_text
            else:
                return {**data, "frame": frame}, frame_text
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _NotJsonError(f"no JSON object: {error}") from None
    if not isinstance(data, dict):
        raise _NotJsonError("no JSON object")
    return data, None


def _header(data: Mapping[str, Any]) -> RecordingHeader:
    version = data[MARK]
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ValueError(f"`{MARK}` is no number of a version")
    if version > VERSION:
        raise ValueError(f"the recording has version {version} of the format; this library reads up to {VERSION}")
    created, library, contents = (data.get(name) for name in ("created", "library", "contents"))
    return RecordingHeader(
        created if isinstance(created, str) else None,
        library if isinstance(library, str) else None,
        contents if isinstance(contents, str) else "full",
        version,
    )


def _record(data: dict[str, Any], frame_text: str | None) -> Record | None:
    """Return the record of a line, `None` for a kind that this version does not know."""
    kind, t = data["kind"], data["t"]
    cls = KINDS.get(kind) if isinstance(kind, str) else None
    if cls is None:
        return None
    if not _is_time(t):
        raise ValueError("`t` is no number of seconds")
    for name, expected in _REQUIRED[kind].items():
        if not isinstance(data.get(name), expected):
            raise ValueError(f"the record of kind {kind!r} has no valid `{name}`")
    known = {name: value for name, value in data.items() if name in _FIELDS[cls]}
    for name, (expected, noun) in _OPTIONAL.items():
        if not isinstance(known.get(name), (expected, NoneType)):
            raise ValueError(f"`{name}` is no {noun}")
    if cls is EventRecord:
        known |= _event_fields(data, frame_text)
    record: Record = cls(**known)
    return record


def _is_time(value: object) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and -_LATEST <= value <= _LATEST  # type: ignore[operator]


def _event_fields(data: Mapping[str, Any], frame_text: str | None) -> dict[str, Any]:
    frame, text = data.get("frame"), data.get("text")
    if isinstance(text, str):
        if data.get("binary") is True:
            return {"request": data.get("request"), "frame": None, "raw": text, "binary": True}
        try:
            text.encode(errors="surrogateescape")
        except UnicodeEncodeError:
            raise ValueError("`text` holds half a character, which no frame can hold") from None
        try:
            frame = json.loads(text)  # JSON with line breaks is written as a text
        except (ValueError, RecursionError):
            frame = None
        return {"request": data.get("request"), "frame": frame if isinstance(frame, dict) else None, "raw": text}
    if frame_text is None and not isinstance(frame, dict):
        raise ValueError("the event has neither a `frame` nor a `text`")
    raw = dumps(frame) if frame_text is None and isinstance(frame, dict) else frame_text
    return {"request": data.get("request"), "frame": frame if isinstance(frame, dict) else None, "raw": raw}
