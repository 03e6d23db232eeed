"""Tapes: lists in which streams note what they send and receive, as cheaply as can be, until it is written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Any

from ..known_secrets import Secrets
from ..net.request import AnyConnectionRequest
from ..net.tape import Receive
from ..wire.events.base import ServerEvent
from .errors import error_fields
from .format import StageRecord


@dataclass(frozen=True)
class Sent:
    """A request was written, as this frame."""

    request: Any
    frame: bytes


@dataclass(frozen=True)
class Undecodable:
    """A frame was received that is no JSON object, or is a binary message."""

    frame: bytes
    is_binary: bool = False
    request: Any = None


@dataclass(frozen=True)
class Ended:
    """The stream of a request has ended."""

    request: Any
    how: str
    error: dict[str, Any] | None = None


@dataclass(frozen=True)
class State:
    """The state of the connection has changed."""

    state: str
    code: int | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Staged:
    """An operator of an observed pipeline did something; `t` and `request` of the record are filled in later."""

    request: Any
    record: StageRecord


NOTES = (Sent, Undecodable, Ended, State, Staged)
_LATEST = 64  # entries among which a frame is looked for


class Tape:
    """What one connection, or one stream without a connection, has noted and the recording has not written yet.

    `entries` are, in their order: numbers, the times of what follows; requests (any objects with `stream_id`; `None`
    for no request), to which the following events belong; `bytes`, the frames of events; and notes.  A tuple for each
    event would cost more than all else that is done for it, since Python's garbage collector looks at each of them.

    One thread at a time appends.  `secrets` are those that the connection knows.
    """

    def __init__(self, connection: str | None = None, secrets: Secrets | None = None) -> None:
        self.connection = connection
        self.secrets = secrets if secrets is not None else Secrets()
        self.entries: list[Any] = []
        self.size = 0  # bytes of all frames so far
        self.is_closed = False  # nothing more will be appended
        # Where the writing of `entries` stands.
        self.time = monotonic()
        self.request: Any = None
        self._size_taken = 0

    @property
    def waiting_bytes(self) -> int:
        """About how many bytes of frames wait."""
        return self.size - self._size_taken

    def take(self, until: float) -> list[Any]:
        """Remove and return the entries from before a time; those of the same time stay together."""
        self._size_taken = self.size
        entries = self.entries
        end = len(entries)
        for index in range(end - 1, -1, -1):
            if type(entries[index]) is float:
                if entries[index] < until:
                    break
                end = index
        taken = entries[:end]
        del entries[:end]
        return taken

    def received(self, request: Any, frame: bytes) -> None:
        """Append the frame of an event that belongs to a request, with its time."""
        self.size += len(frame)
        self.entries += (request, monotonic(), frame)

    def note(self, note: Sent | Undecodable | Ended | State | Staged) -> None:
        """Append a note with its time."""
        if isinstance(note, (Sent, Undecodable)):
            self.size += len(note.frame)
        self.entries += (monotonic(), note)

    def request_of(self, frame: object) -> Any:
        """Return the request to which this frame belongs, `None` if it is not among the latest entries.

        The entry that names the request may have been written already; then the answer is `None` too.
        """
        entries = self.entries[-_LATEST:]
        while entries:
            if entries.pop() is frame:
                break
        requests = (entry for entry in reversed(entries) if not isinstance(entry, (bytes, float, *NOTES)))
        return next(requests, None)


class ConnectionTape(Tape):
    """The tape of a connection.  `net.tape.Tape` describes its methods.

    The ends of `running` are noted as well: these requests were sent before anything could be noted.
    """

    def __init__(self, connection: str, secrets: Secrets, running: Iterable[AnyConnectionRequest] = ()) -> None:
        super().__init__(connection, secrets)
        self._running = set(running)  # those that were sent and have not ended
        self._has_ended = False

    def mark(self, size: int) -> None:
        self.size += size
        self.entries.append(monotonic())

    def noting(self, receive: Receive) -> Receive:
        append = self.entries.append
        latest: object = self  # no request

        def receive_and_note(event: ServerEvent) -> AnyConnectionRequest | None:
            nonlocal latest
            request = receive(event)
            if request is not latest:
                latest = request
                append(request)
            append(event.__dict__["raw"])
            return request

        return receive_and_note

    def undecodable(self, frame: bytes, is_binary: bool) -> None:
        self.note(Undecodable(frame, is_binary))

    def sent(self, request: AnyConnectionRequest) -> None:
        self._running.add(request)
        self.note(Sent(request, request.frame))

    def ended(self, request: AnyConnectionRequest, how: str, error: BaseException | None = None) -> None:
        if request in self._running:
            self._running.discard(request)
            self.note(Ended(request, how, None if error is None else error_fields(error)))

    def state(self, state: str, code: int | None = None, reason: str = "") -> None:
        if not self._has_ended:
            self._has_ended = state == "closed"
            self.note(State(state, code, reason or None))

    def close(self) -> None:
        self.is_closed = True
