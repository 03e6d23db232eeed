"""The fields by which an event finds its request, read without the rest of the event."""

from __future__ import annotations

import msgspec


class Typed(msgspec.Struct):
    """The type of an event."""

    type: str


class Head(Typed):
    """The type of an event, and its lane."""

    stream_id: str | None = None


class _Response(msgspec.Struct):
    id: str | None = None
    status: str | None = None


class Ending(Head):
    """What tells which request an event ends, and how."""

    sequence_number: int | None = None
    response: _Response | None = None


read_type = msgspec.json.Decoder(Typed).decode
read_ending = msgspec.json.Decoder(Ending).decode
_read = msgspec.json.Decoder(Head).decode


def read_head(frame: bytes | str) -> Head | None:
    """Return the head of an event; `None` if the frame is no JSON object with a type, or `stream_id` is no text."""
    try:
        return _read(frame)
    except (ValueError, RecursionError):
        return None
