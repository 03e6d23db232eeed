"""What a connection tells a recording."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from ..known_secrets import Secrets
from ..wire.events.base import ServerEvent
from .request import AnyConnectionRequest

Receive = Callable[[ServerEvent], "AnyConnectionRequest | None"]


class Tape(Protocol):
    """Notes what a connection sends and receives.  All methods are called on the connection's loop."""

    def noting(self, receive: Receive) -> Receive:
        """Return a function that does what `receive` does, and notes the event with its request.

        It takes the place of `receive` while a recording runs.  So without one, an event takes no step more.
        """

    def mark(self) -> None:
        """Note the time: what follows was read from the socket now."""

    def undecodable(self, frame: bytes) -> None:
        """Note a frame that is no JSON object."""

    def sent(self, request: AnyConnectionRequest) -> None:
        """Note that a request is written."""

    def ended(
        self,
        request: AnyConnectionRequest,
        how: Literal["completed", "error", "disposed"],
        error: BaseException | None = None,
    ) -> None:
        """Note that the stream of a request has ended; only its first end counts."""

    def state(self, state: Literal["connecting", "open", "closed"], code: int | None = None, reason: str = "") -> None:
        """Note the state of the connection; only its first `closed` counts."""

    def close(self) -> None:
        """Note that nothing more follows."""


MakeTape = Callable[[Secrets], Tape]
"""Makes the tape of a connection that knows these secrets."""
