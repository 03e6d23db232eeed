"""Transcripts of responses, and their replay.

A transcript is a text file with one JSON event a line, as received.  A line of the form
`{"offset": 1.25, "event": {...}}` also carries its time, in seconds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .wire import JSON, decode, encode

TERMINAL = frozenset({"response.completed", "response.failed", "response.incomplete"})
"""The events that end a response on the wire.  An `error` also does, but `response.failed` may follow it."""


@dataclass(frozen=True)
class Frame:
    """One frame to be sent as it is."""

    data: str | bytes
    event: JSON
    """What `data` says; empty if that is no JSON object."""

    offset: float = 0.0
    """Seconds since the first event of the response."""

    exact: bool = False
    """Nothing may be added to it, not even `stream_id`."""

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
        """Return the frame for one lane.  The recorded text is kept, only `stream_id` is added."""
        if self.exact or not isinstance(self.data, str) or self.event.get("stream_id") == stream_id:
            return self.data
        if "stream_id" in self.event:
            event = {key: value for key, value in self.event.items() if key != "stream_id"}
            return encode(event if stream_id is None else {**event, "stream_id": stream_id})
        return f'{self.data[:-1]},"stream_id":{encode(stream_id)}}}'


@dataclass(frozen=True)
class Recording:
    """One recorded response.  `speed` is 1.0 for the recorded timing, 2.0 for half of it, `None` for none."""

    frames: tuple[Frame, ...]
    speed: float | None = None

    @classmethod
    def load(
        cls, source: str | os.PathLike[str] | Iterable[Mapping[str, Any] | str], *, speed: float | None = None
    ) -> list[Recording]:
        """Read a transcript: the path of a file, or events as mappings or as lines.

        A transcript may hold several responses one after the other, hence the list.

        Raises:
            OSError: if the file cannot be read.
            ValueError: if a line is no event, naming the line, or if there is none.
        """
        if speed is not None and speed <= 0:
            raise ValueError(f"speed must be positive or None, not {speed}")
        name = "events"
        if isinstance(source, (str, os.PathLike)):
            name = str(source)
            source = Path(source).read_text(encoding="utf-8").split("\n")  # not splitlines: U+2028 ends no line
        recordings = [cls(frames, speed) for frames in _split(_frames(source, name))]
        if not recordings:
            raise ValueError(f"{name}: no events")
        return recordings


def _frames(lines: Iterable[Mapping[str, Any] | str], name: str) -> Iterator[Frame]:
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
            if isinstance(offset, bool) or not isinstance(offset, (int, float)):
                raise ValueError(f"{name}, line {number}: offset is no number")
            text = json.dumps(event, separators=(",", ":"))
        if not isinstance(event, dict) or not isinstance(event.get("type"), str):
            raise ValueError(f"{name}, line {number}: no event with a type")
        yield Frame(data=text, event=event, offset=offset)


def _split(frames: Iterable[Frame]) -> Iterator[tuple[Frame, ...]]:
    """Cut `frames` after each terminal event, and let each part begin at offset 0."""
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
