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

        self.size = 0
        """The size of the frames in `contents`, in bytes or characters."""

    def send(self, event: JSON, lane: str | None) -> int:
        """Send an event, with the `stream_id` of its lane, unless the connection is halted.

        Returns:
            The size of the frame, in characters.
        """
        if self.halted:
            return 0
        return self.send_frame(encode(event if lane is None else {**event, "stream_id": lane}))

    def send_frame(self, frame: str | bytes) -> int:
        """Send a frame as it is, and return its size.  The caller checks whether the connection is halted."""
        self.contents.append(frame)
        self.size += len(frame)
        return len(frame)

    def halt(self, last: Close | Stall) -> None:
        """Close or stall the connection after what it has to send now."""
        self.halted = True
        self.contents.append(last)

    def take(self) -> list[ToSend]:
        """Return the contents and leave the outbox empty."""
        contents, self.contents, self.size = self.contents, [], 0
        return contents
