"""Makes the lines of a recording from what is on the tapes."""

from __future__ import annotations

import dataclasses
import json
from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter
from typing import Any

from .format import ConnectionRecord, Contents, EndRecord, EventRecord, Record, RequestRecord, event_head, line_of
from .hiding import Hider
from .tape import NOTES, Ended, Sent, Staged, State, Tape

_SOME = 500  # frames of each tape that become lines at a time: usually, the processor keeps them in its cache
_KEPT = 256  # requests that have ended
_HAS_OBJECT: dict[str, Any] = {}  # only `raw` is written
_time = attrgetter("time")


@dataclass
class Part:
    """A part of a tape: a note, or frames of events that came at the same time and belong to one request."""

    time: float
    tape: Tape
    request: Any
    frames: list[bytes]
    note: Any = None
    has_line_breaks: bool = False  # in the frames


def _parts(tape: Tape, entries: list[Any]) -> Iterator[Part]:
    others = [index for index, entry in enumerate(entries) if type(entry) is not bytes]
    before = 0
    for index in (*others, len(entries)):
        if index > before:
            yield Part(tape.time, tape, tape.request, entries[before:index])
        before = index + 1
        if index < len(entries):
            entry = entries[index]
            if type(entry) is float:
                tape.time = entry
            elif type(entry) in NOTES:
                yield Part(tape.time, tape, None, [], entry)
            else:
                tape.request = entry


class RecordMaker:
    """Puts what is on tapes in order, and names the requests: `r1`, `r2` and so on, in their order."""

    def __init__(self, contents: Contents, start: float) -> None:
        """Make records whose `t` = 0 is the time `start`."""
        self._contents: Contents = contents
        self._start = start
        self._names: dict[Hashable, str] = {}
        self._ended: deque[Hashable] = deque()  # events of these may follow, as of a response that was disposed
        self._count = 0

    def parts(self, taken: Sequence[tuple[Tape, list[Any]]]) -> Iterator[Part]:
        """Yield the entries that were taken from tapes, each of which goes on where it was before."""
        parts = [part for tape, entries in taken for part in _parts(tape, entries)]
        parts.sort(key=_time)  # stable: what was noted at the same time on one tape stays in order
        some: list[Part] = []
        count = 0
        for part in parts:
            some.append(part)
            count += len(part.frames)
            if count >= _SOME * len(taken):
                yield from self._hidden(some)
                some, count = [], 0
        yield from self._hidden(some)
        self._forget_ended()

    def _hidden(self, parts: list[Part]) -> list[Part]:
        """Hide what is in the frames of these parts, for all frames of a tape together."""
        by_tape: dict[Tape, list[Part]] = {}
        for part in parts:
            by_tape.setdefault(part.tape, []).append(part)
        for tape, own in by_tape.items():
            frames = [frame for part in own for frame in part.frames]
            hider = Hider(tape.secrets, self._contents)
            hidden = hider.frames(frames)
            if hidden is not frames:
                each = iter(hidden)
                for part in own:
                    part.frames = list(islice(each, len(part.frames)))
            if hider.has_line_breaks:
                for part in own:
                    part.has_line_breaks = any(b"\n" in frame for frame in part.frames)
        return parts

    def _forget_ended(self) -> None:
        while len(self._ended) > _KEPT:
            self._names.pop(self._ended.popleft(), None)

    def name_of(self, request: Hashable | None) -> str | None:
        """Return the name of a request."""
        if request is None:
            return None
        if request not in self._names:
            self._count += 1
            self._names[request] = f"r{self._count}"
        return self._names[request]

    def time_of(self, part: Part) -> float:
        """Return `t` of a part."""
        return part.time - self._start

    def record_of(self, part: Part) -> Record:
        """Return the record of a note."""
        hider, note, t = Hider(part.tape.secrets, self._contents), part.note, self.time_of(part)
        connection = part.tape.connection
        if isinstance(note, Sent):
            frame = hider.data(json.loads(note.frame))
            name = self.name_of(note.request) or ""
            return RequestRecord(t, name, frame, connection, note.request.stream_id)
        if isinstance(note, Ended):
            self._ended.append(note.request)
            error = None if note.error is None else hider.error(note.error)
            return EndRecord(t, self.name_of(note.request) or "", note.how, error)
        if isinstance(note, State):
            reason = hider.text(note.reason) if note.reason else None
            return ConnectionRecord(t, connection or "", note.state, note.code, reason)
        if isinstance(note, Staged):
            record, value = note.record, note.record.value
            shown = None if value is None else hider.text(value)
            return dataclasses.replace(record, t=t, request=self.name_of(note.request), value=shown)
        text = hider.text(note.frame.decode(errors="surrogateescape"))
        lane = None if note.request is None else note.request.stream_id
        return EventRecord(t, self.name_of(note.request), None, connection, lane, text, note.is_binary)


@dataclass
class Group:
    """Frames of events on one tape that belong to one request, with their times `t`."""

    request: Any
    at: list[float]
    frames: list[bytes]


class GroupMaker(RecordMaker):
    """Makes groups of events, which cost less than a part each."""

    def groups(self, taken: Iterable[tuple[Tape, list[Any]]]) -> Iterator[Group | Part]:
        """Yield the entries that were taken from tapes; what belongs to one request is in order."""
        for tape, entries in taken:
            yield from self._groups(tape, entries)
        self._forget_ended()

    def _groups(self, tape: Tape, entries: list[Any]) -> Iterator[Group | Part]:
        frames = iter(Hider(tape.secrets, self._contents).frames([entry for entry in entries if type(entry) is bytes]))
        groups: dict[Any, Group] = {}
        group: Group | None = None
        time, request, start = tape.time, tape.request, self._start
        for entry in entries:
            kind = type(entry)
            if kind is bytes:
                if group is None:
                    group = groups.setdefault(request, Group(request, [], []))
                group.at.append(time - start)
                group.frames.append(next(frames))
            elif kind is float:
                time = entry
            elif kind in NOTES:
                yield from groups.values()
                groups, group = {}, None
                yield Part(time, tape, None, [], entry)
            else:
                request = entry
                group = groups.get(request)
        tape.time, tape.request = time, request
        yield from groups.values()


class LineMaker(RecordMaker):
    """Makes the lines of one recording."""

    def lines(self, taken: Sequence[tuple[Tape, list[Any]]]) -> Iterator[Sequence[bytes]]:
        """Yield the lines of entries that were taken from tapes: some whole lines at a time, in pieces."""
        for part in self.parts(taken):
            yield self._event_lines(part) if part.note is None else (_encoded(self.record_of(part)),)

    def _event_lines(self, part: Part) -> Sequence[bytes]:
        lane = None if part.request is None else part.request.stream_id
        t, name, connection = self.time_of(part), self.name_of(part.request), part.tape.connection
        if not part.has_line_breaks:
            begin = f'{event_head(t, name, connection, lane)}"frame":'.encode()
            return begin, (b"}\n" + begin).join(part.frames), b"}\n"
        texts = (frame.decode(errors="surrogateescape") for frame in part.frames)  # frames with line breaks
        records = (EventRecord(t, name, _HAS_OBJECT, connection, lane, text) for text in texts)
        return tuple(map(_encoded, records))


def _encoded(record: Record) -> bytes:
    return f"{line_of(record)}\n".encode(errors="surrogateescape")
