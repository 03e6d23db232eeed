"""The fields by which an event finds its request, read without the rest of the event."""

from __future__ import annotations

import msgspec


class Head(msgspec.Struct):
    """The type of an event, and its lane."""

    type: str
    stream_id: str | None = None


_read = msgspec.json.Decoder(Head).decode


def read_head(frame: bytes | str) -> Head | None:
    """Return the head of an event; `None` if the frame is no JSON object with a type, or `stream_id` is no text."""
    try:
        return _read(frame)
    except (ValueError, RecursionError):
        return None
