"""The frames that a connection has to send next."""

from __future__ import annotations

from .jsontext import JSON, encode
from .replies import Close, Stall

ToSend = str | bytes | Close | Stall
"""A text frame (`str`), a binary frame (`bytes`), or the intervention that closes or stalls the connection."""


class Outbox:
    """Collects the frames that a connection has to send next, until the connection is halted."""

    def __init__(self) -> None:
        self.contents: list[ToSend] = []
        self.halted = False
        """Whether the connection was closed or stalled.  Nothing more is sent then."""

    def send(self, event: JSON, lane: str | None) -> None:
        """Send an event, with the `stream_id` of its lane, unless the connection is halted."""
        if not self.halted:
            self.contents.append(encode(event if lane is None else {**event, "stream_id": lane}))

    def send_frame(self, frame: str | bytes) -> None:
        """Send a frame as it is.  The caller checks whether the connection is halted."""
        self.contents.append(frame)

    def halt(self, last: Close | Stall) -> None:
        """Close or stall the connection after what it has to send now."""
        self.halted = True
        self.contents.append(last)

    def take(self) -> list[ToSend]:
        """Return the contents and leave the outbox empty."""
        contents, self.contents = self.contents, []
        return contents
