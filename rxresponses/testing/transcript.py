"""Recorded responses, and the frames to replay them.

A transcript is a text file with one JSON event in each line, as it was received.  A line of the form
`{"offset": 1.25, "event": {...}}` also carries the time of the event, in seconds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..recording.format import MARK
from ..recording.reader import read_recording
from .jsontext import JSON, decode, encode

_LATEST = 1e12  # seconds, far more than any recording has, which every clock can add and subtract
_RECORDING = f'{{"{MARK}"'  # how the header begins

TERMINAL = frozenset({"response.completed", "response.failed", "response.incomplete"})
"""The types of the terminal events.  An `error` also ends a response, but `response.failed` may follow it."""


@dataclass(frozen=True)
class Frame:
    """One WebSocket frame whose text or bytes are fixed, as opposed to an event that the server makes."""

    data: str | bytes
    event: JSON
    """The event in `data`, empty if `data` is not a JSON object."""

    offset: float = 0.0
    """Seconds since the first event of the response."""

    exact: bool = False
    """Whether `data` is sent unchanged, without the `stream_id` of the lane."""

    @classmethod
    def exactly(cls, value: Mapping[str, Any] | str | bytes) -> Frame:
        """Return a frame that is sent exactly as `value`, valid or not."""
        data = encode(dict(value)) if isinstance(value, Mapping) else value
        try:
            event = decode(data)
        except ValueError:
            event = None
        return cls(data=data, event=event if isinstance(event, dict) else {}, exact=True)

    def on_lane(self, stream_id: str | None) -> str | bytes:
        """Return the data to send on a lane.  The recorded text stays as it is, except for its `stream_id`."""
        if self.exact or not isinstance(self.data, str):
            return self.data
        text = self.data if self.event.get("stream_id") == stream_id else self._renamed(stream_id)
        try:
            text.encode()
        except UnicodeEncodeError:  # it was received as bytes that are no UTF-8
            return text.encode(errors="surrogateescape")
        return text

    def _renamed(self, stream_id: str | None) -> str:
        if "stream_id" in self.event:
            event = {key: value for key, value in self.event.items() if key != "stream_id"}
            return encode(event if stream_id is None else {**event, "stream_id": stream_id})
        begin = str(self.data).rstrip()[:-1]
        return f'{begin}{"," if self.event else ""}"stream_id":{encode(stream_id)}}}'


@dataclass(frozen=True)
class Recording:
    """One recorded response, which can be given as a reply."""

    frames: tuple[Frame, ...]
    speed: float | None = None
    """1.0 replays with the recorded timing, 2.0 twice as fast, `None` without any waiting."""

    @classmethod
    def load(
        cls, source: str | os.PathLike[str] | Iterable[Mapping[str, Any] | str], *, speed: float | None = None
    ) -> list[Recording]:
        """Read a transcript, or a recording of a client, and return its responses, one `Recording` for each.

        Args:
            source: the path of a file, or the events as mappings or as lines.
            speed: as in `Recording.speed`.

        Raises:
            OSError: if the file cannot be read.
            ValueError: if a line is not an event (the error names the line), if there is no event at all, or
                if `speed` is not positive.
        """
        if speed is not None and not speed > 0:
            raise ValueError(f"speed must be positive or None, not {speed}")
        name = "events"
        if isinstance(source, (str, os.PathLike)):
            name = str(source)
            text = Path(source).read_text(encoding="utf-8", errors="surrogateescape").removeprefix("\ufeff")
            source = text.split("\n")  # `splitlines` would also split at U+2028
            if text.startswith(_RECORDING):
                source = _of_recording(source, name)
        recordings = [cls(frames, speed) for frames in _split_responses(_frames(source, name))]
        if not recordings:
            raise ValueError(f"{name}: no events")
        return recordings


def _of_recording(lines: Iterable[str], name: str) -> Iterator[Mapping[str, Any]]:
    """Yield the events of a recording, one request after the other, in the form of lines with times."""
    try:
        session = read_recording(lines)
    except ValueError as error:
        raise ValueError(f"{name}, {error}") from None
    for request in session.requests:
        for event in session.events(request):
            if event.frame is not None:
                yield {"offset": event.t, "event": event.frame}


def _frames(lines: Iterable[Mapping[str, Any] | str], name: str) -> Iterator[Frame]:
    """Yield a frame for each line.  A line without a time has the time of the line before."""
    offset = 0.0
    for number, line in enumerate(lines, start=1):
        if isinstance(line, str) and not line.strip():
            continue
        try:
            event: Any = decode(line) if isinstance(line, str) else dict(line)
        except ValueError as error:
            raise ValueError(f"{name}, line {number}: {error}") from None
        text = line.strip() if isinstance(line, str) else encode(event)
        if isinstance(event, dict) and event.keys() == {"offset", "event"}:
            offset, event = event["offset"], event["event"]
            if isinstance(offset, bool) or not isinstance(offset, (int, float)) or not abs(offset) <= _LATEST:
                raise ValueError(f"{name}, line {number}: offset is not a number of seconds")
            text = json.dumps(event, separators=(",", ":"))
        if not isinstance(event, dict) or not isinstance(event.get("type"), str):
            raise ValueError(f"{name}, line {number}: not an event with a type")
        yield Frame(data=text, event=event, offset=offset)


def _split_responses(frames: Iterable[Frame]) -> Iterator[tuple[Frame, ...]]:
    """Split `frames` after each terminal event.  Each part begins at offset 0."""
    part: list[Frame] = []
    for frame in frames:
        part.append(frame)
        if frame.event["type"] in TERMINAL:
            yield _from_zero(part)
            part = []
    if part:
        yield _from_zero(part)


def _from_zero(frames: list[Frame]) -> tuple[Frame, ...]:
    start = frames[0].offset
    return tuple(replace(frame, offset=frame.offset - start) for frame in frames)
