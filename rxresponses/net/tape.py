"""What a connection tells a recording."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
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

    def mark(self, size: int) -> None:
        """Note the time: what follows was read from the socket now; `size` is the number of bytes that were read."""

    def undecodable(self, frame: bytes, is_binary: bool) -> None:
        """Note a frame that is no JSON object, or is a binary message."""

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


class Tapes:
    """Several tapes of one connection, as one `Tape`."""

    def __init__(self, tapes: Sequence[Tape]) -> None:
        self._tapes = tapes

    def noting(self, receive: Receive) -> Receive:
        for tape in self._tapes:
            receive = tape.noting(receive)
        return receive

    def mark(self, size: int) -> None:
        for tape in self._tapes:
            tape.mark(size)

    def undecodable(self, frame: bytes, is_binary: bool) -> None:
        for tape in self._tapes:
            tape.undecodable(frame, is_binary)

    def sent(self, request: AnyConnectionRequest) -> None:
        for tape in self._tapes:
            tape.sent(request)

    def ended(
        self,
        request: AnyConnectionRequest,
        how: Literal["completed", "error", "disposed"],
        error: BaseException | None = None,
    ) -> None:
        for tape in self._tapes:
            tape.ended(request, how, error)

    def state(self, state: Literal["connecting", "open", "closed"], code: int | None = None, reason: str = "") -> None:
        for tape in self._tapes:
            tape.state(state, code, reason)

    def close(self) -> None:
        for tape in self._tapes:
            tape.close()


def one_tape(tapes: Sequence[Tape]) -> Tape | None:
    """Return several tapes as one; `None` if there are none."""
    return tapes[0] if len(tapes) == 1 else Tapes(tapes) if tapes else None


MakeTape = Callable[[Secrets, "Collection[AnyConnectionRequest]"], Tape]
"""Makes the tape of a connection that knows these secrets, and on which these requests are in flight."""
