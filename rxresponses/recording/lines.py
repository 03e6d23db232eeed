"""What streams note for a recording, and the lines that are made of it later."""

from __future__ import annotations

import dataclasses
import json
from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..known_secrets import Secrets
from .format import ConnectionRecord, Contents, EndRecord, EventRecord, Record, RequestRecord, StageRecord, event_head
from .format import line_of as text_of
from .hiding import Hider

_KEPT = 256  # requests that have ended


@dataclass(frozen=True)
class Sent:
    """A request was written, as this frame."""

    frame: bytes


@dataclass(frozen=True)
class Undecodable:
    """A frame was received that is no JSON object."""

    frame: bytes


@dataclass(frozen=True)
class Ended:
    """A stream has ended."""

    how: str
    error: dict[str, Any] | None = None


@dataclass(frozen=True)
class State:
    """The state of the connection has changed."""

    state: str
    code: int | None = None
    reason: str | None = None


class Origin:
    """A connection, or a single stream without one, whose frames are recorded; `secrets` are those that it knows."""

    def __init__(self, connection: str | None, secrets: Secrets) -> None:
        self.connection = connection
        self.secrets = secrets


Note: TypeAlias = "bytes | Sent | Undecodable | Ended | State | StageRecord"
"""What is noted; bytes are the frame of an event."""

Entry: TypeAlias = "tuple[float, Origin, Any, Note]"
"""When, where, for which request (any object with `stream_id`, `None` for none), and what."""


def size_of(entries: Iterable[Entry]) -> int:
    """Return how many bytes of frames are in these entries."""
    return sum(len(note) for _, _, _, note in entries if type(note) is bytes)


class LineMaker:
    """Makes the lines of one recording, and names its requests: `r1`, `r2` and so on, in their order."""

    def __init__(self, contents: Contents) -> None:
        self._contents: Contents = contents
        self._names: dict[Hashable, str] = {}
        self._ended: deque[Hashable] = deque()  # events of these may follow, as of a response that was disposed
        self._count = 0

    def lines(self, entries: Sequence[Entry], start: float) -> list[bytes]:
        """Return a line for each entry; `start` is the time of `t` = 0."""
        frames = self._hidden_frames(entries)
        lines: list[bytes] = []
        for index, (time, origin, request, note) in enumerate(entries):
            name = self._name(request)
            lane = None if request is None else request.stream_id
            if index in frames and b"\n" not in frames[index]:
                head = event_head(time - start, name, origin.connection, lane)
                lines.append(b'%b"frame":%b}\n' % (head.encode(), frames[index]))
            else:
                note = frames.get(index, note)
                record = self._record(time - start, origin, name, lane, note)
                lines.append(f"{text_of(record)}\n".encode())
            if isinstance(note, Ended):
                self._ended.append(request)
        while len(self._ended) > _KEPT:
            self._names.pop(self._ended.popleft(), None)
        return lines

    def _hidden_frames(self, entries: Sequence[Entry]) -> dict[int, bytes]:
        """Return the texts of events by the numbers of their entries."""
        by_origin: dict[Origin, list[int]] = {}
        for index, entry in enumerate(entries):
            if type(entry[3]) is bytes:
                by_origin.setdefault(entry[1], []).append(index)
        found: dict[int, bytes] = {}
        for origin, indexes in by_origin.items():
            frames = [entries[index][3] for index in indexes]
            hidden = self._hider(origin).frames(frames)  # type: ignore[arg-type]
            found.update(zip(indexes, hidden, strict=True))
        return found

    def _hider(self, origin: Origin) -> Hider:
        return Hider(origin.secrets, self._contents)

    def _name(self, request: Hashable | None) -> str | None:
        if request is None:
            return None
        if request not in self._names:
            self._count += 1
            self._names[request] = f"r{self._count}"
        return self._names[request]

    def _record(self, t: float, origin: Origin, name: str | None, lane: str | None, note: Note) -> Record:
        hider = self._hider(origin)
        if isinstance(note, Sent):
            frame = hider.data(json.loads(note.frame))
            return RequestRecord(t, name or "", frame, origin.connection, lane)
        if isinstance(note, Ended):
            error = note.error
            if error is not None:
                error = {**error, "message": hider.text(str(error.get("message", "")))}
            return EndRecord(t, name or "", note.how, error)
        if isinstance(note, State):
            reason = hider.text(note.reason) if note.reason else None
            return ConnectionRecord(t, origin.connection or "", note.state, note.code, reason)
        if isinstance(note, StageRecord):
            return dataclasses.replace(note, t=t, request=name)
        if isinstance(note, Undecodable):
            text = hider.text(note.frame.decode(errors="surrogateescape"))
            return EventRecord(t, name, None, origin.connection, lane, text)
        text = note.decode(errors="surrogateescape")  # with line breaks, and hidden already
        return EventRecord(t, name, None, origin.connection, lane, text)
