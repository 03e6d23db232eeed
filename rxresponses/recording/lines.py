"""Makes the lines of a recording from what is on the tapes."""

from __future__ import annotations

import dataclasses
import json
from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from .format import ConnectionRecord, Contents, EndRecord, EventRecord, Record, RequestRecord, event_head, line_of
from .hiding import Hider
from .tape import NOTES, Ended, Sent, Staged, State, Tape

_KEPT = 256  # requests that have ended
_HAS_OBJECT: dict[str, Any] = {}  # only `raw` is written
_time = attrgetter("time")


@dataclass
class _Part:
    """A part of a tape: a note, or frames of events that came at the same time and belong to one request."""

    time: float
    tape: Tape
    request: Any
    frames: list[bytes]
    note: Any = None


class LineMaker:
    """Makes the lines of one recording, and names its requests: `r1`, `r2` and so on, in their order."""

    def __init__(self, contents: Contents, start: float) -> None:
        """Make lines whose `t` = 0 is the time `start`."""
        self._contents: Contents = contents
        self._start = start
        self._names: dict[Hashable, str] = {}
        self._ended: deque[Hashable] = deque()  # events of these may follow, as of a response that was disposed
        self._count = 0

    def lines(self, taken: Iterable[tuple[Tape, list[Any]]]) -> Iterator[bytes]:
        """Yield the lines of entries that were taken from tapes, each of which goes on where it was before."""
        parts = [part for tape, entries in taken for part in self._parts(tape, entries)]
        parts.sort(key=_time)  # stable: what was noted at the same time on one tape stays in order
        for part in parts:
            if part.note is not None:
                yield self._note_line(part)
            else:
                yield self._event_lines(part)
        while len(self._ended) > _KEPT:
            self._names.pop(self._ended.popleft(), None)

    def _parts(self, tape: Tape, entries: list[Any]) -> Iterator[_Part]:
        frames: list[bytes] = [entry for entry in entries if type(entry) is bytes]
        others = [index for index, entry in enumerate(entries) if type(entry) is not bytes]
        frames = Hider(tape.secrets, self._contents).frames(frames)
        at = before = 0  # in `frames`; in `entries`
        for index in (*others, len(entries)):
            if index > before:
                yield _Part(tape.time, tape, tape.request, frames[at : at + index - before])
                at += index - before
            before = index + 1
            if index < len(entries):
                entry = entries[index]
                if type(entry) is float:
                    tape.time = entry
                elif type(entry) in NOTES:
                    yield _Part(tape.time, tape, None, [], entry)
                else:
                    tape.request = entry

    def _name(self, request: Hashable | None) -> str | None:
        if request is None:
            return None
        if request not in self._names:
            self._count += 1
            self._names[request] = f"r{self._count}"
        return self._names[request]

    def _event_lines(self, part: _Part) -> bytes:
        lane = None if part.request is None else part.request.stream_id
        t, name, connection = part.time - self._start, self._name(part.request), part.tape.connection
        begin = f'{event_head(t, name, connection, lane)}"frame":'.encode()
        frames = (b"}\n" + begin).join(part.frames)
        if frames.count(b"\n") == len(part.frames) - 1:
            return b"%b%b}\n" % (begin, frames)
        texts = (frame.decode(errors="surrogateescape") for frame in part.frames)  # frames with line breaks
        records = (EventRecord(t, name, _HAS_OBJECT, connection, lane, text) for text in texts)
        return b"".join(map(_encoded, records))

    def _note_line(self, part: _Part) -> bytes:
        hider, note, t = Hider(part.tape.secrets, self._contents), part.note, part.time - self._start
        connection = part.tape.connection
        if isinstance(note, Sent):
            frame = hider.data(json.loads(note.frame))
            name = self._name(note.request) or ""
            return _encoded(RequestRecord(t, name, frame, connection, note.request.stream_id))
        if isinstance(note, Ended):
            error = note.error
            if error is not None:
                error = {**error, "message": hider.text(str(error["message"]))}
            self._ended.append(note.request)
            return _encoded(EndRecord(t, self._name(note.request) or "", note.how, error))
        if isinstance(note, State):
            reason = hider.text(note.reason) if note.reason else None
            return _encoded(ConnectionRecord(t, connection or "", note.state, note.code, reason))
        if isinstance(note, Staged):
            record, value = note.record, note.record.value
            shown = None if value is None else hider.text(value)
            return _encoded(dataclasses.replace(record, t=t, request=self._name(note.request), value=shown))
        text = hider.text(note.frame.decode(errors="surrogateescape"))
        return _encoded(EventRecord(t, None, None, connection, None, text))


def _encoded(record: Record) -> bytes:
    return f"{line_of(record)}\n".encode(errors="surrogateescape")
