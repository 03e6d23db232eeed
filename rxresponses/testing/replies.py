"""What the scripted model can be told to answer.

A reply is made of outputs (what the response contains) and interventions (what happens to it on the
way).  `after` counts the events of the response that are sent before an intervention: 0 is before
`response.created`, 2 after `response.in_progress`.

All of them raise `TypeError` and `ValueError` for arguments that cannot be right.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Union

from .fields import Checked
from .items import pieces
from .transcript import Recording

if TYPE_CHECKING:
    from .request import Request

_STATUS = {
    "context_length_exceeded": 400,
    "insufficient_quota": 429,
    "invalid_prompt": 400,
    "rate_limit_exceeded": 429,
}
_CLOSE_CODES = (range(1000, 1004), range(1006, 1015), range(3000, 5000))  # RFC 6455, section 7.4
_REASON_LIMIT = 123
_TYPES = {400: "invalid_request_error", 401: "authentication_error", 429: "rate_limit_error"}


@dataclass(frozen=True)
class Text(Checked):
    """A message of the assistant.  `deltas` fixes how it is cut; they replace `text`."""

    text: str = ""
    deltas: Sequence[str] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "deltas", tuple(self.deltas or pieces(self.text)))
        object.__setattr__(self, "text", "".join(self.deltas))


@dataclass(frozen=True)
class Refusal(Checked):
    """A message of the assistant that refuses."""

    text: str


@dataclass(frozen=True)
class Reasoning(Checked):
    """A reasoning item with one summary part for each string."""

    summary: str | Sequence[str]


@dataclass(frozen=True)
class FunctionCall(Checked):
    """A call of a function.  Arguments given as a string are sent as they are, valid JSON or not."""

    name: str
    arguments: Mapping[str, Any] | str = "{}"
    call_id: str | None = None


@dataclass(frozen=True)
class Raw(Checked):
    """Frames sent exactly as they are given: a mapping as JSON, a string as text, bytes as a binary frame.

    Nothing is added to them, neither `stream_id` nor `sequence_number`.  A reply of raw frames only is the
    whole answer; beside other outputs they are sent in their place among the events of the response.
    """

    frames: Sequence[Mapping[str, Any] | str | bytes]

    def __post_init__(self) -> None:
        super().__post_init__()
        for frame in self.frames:
            _check_frame(frame)


@dataclass(frozen=True)
class Failure(Checked):
    """An `error` event, followed by `response.failed` if the response was already created.

    With `after=0` the request is refused and no response exists; if it would have been the successor of
    a steered one, `response.steer.failed` gives the input back instead.  An answer shorter than `after`
    events fails instead of ending.  `status` and `type` follow from the code unless given.
    """

    code: str | None = "server_error"
    message: str = "The server had an error while processing your request."
    after: int = 2
    status: int | None = None
    type: str | None = None
    param: str | None = None
    headers: Mapping[str, str] | None = None

    @property
    def http_status(self) -> int:
        """The status: given, or the usual one of the code."""
        return self.status if self.status is not None else _STATUS.get(self.code or "", 500)

    @property
    def error_type(self) -> str:
        """The error type: given, or the usual one of the code and the status."""
        if self.type is not None:
            return self.type
        return (
            "insufficient_quota" if self.code == "insufficient_quota" else _TYPES.get(self.http_status, "server_error")
        )


@dataclass(frozen=True)
class Close(Checked):
    """Close the connection; 1006 drops it: the transport is aborted without a closing handshake."""

    code: int = 1000
    reason: str = ""
    after: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not any(self.code in codes for codes in _CLOSE_CODES):
            raise ValueError(f"no connection is closed with code {self.code}")
        if len(self.reason.encode()) > _REASON_LIMIT:
            raise ValueError(f"a reason has at most {_REASON_LIMIT} bytes of UTF-8: {self.reason!r} has more")


class Gate:
    """Something that responses wait for: see `ResponsesServer.gate`.  Usable from any thread."""

    def __init__(self, on_open: Callable[[], None] = lambda: None) -> None:
        self._event = threading.Event()
        self._on_open = on_open

    @property
    def is_open(self) -> bool:
        """Whether responses may pass."""
        return self._event.is_set()

    def open(self) -> None:
        """Let the waiting responses go on, and all later ones pass."""
        self._event.set()
        self._on_open()


@dataclass(frozen=True)
class Hold(Checked):
    """Send nothing more of the response until the gate is open, without a gate for ever.  Other lanes go on."""

    gate: Gate = field(default_factory=Gate)
    after: int = 2


@dataclass(frozen=True)
class Delay(Checked):
    """Wait this many seconds before the next event of the response.  Other lanes go on."""

    seconds: float
    after: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.seconds < math.inf:
            raise ValueError(f"seconds must be a number from 0, not {self.seconds}: to wait for ever there is Hold")


@dataclass(frozen=True)
class Stall(Checked):
    """Send nothing more on the connection, on any lane, and leave it open.

    Pings are still answered, and requests still received.  With `pongs=False` nothing is read either, as if
    the peer had vanished without a word: such a connection stays open until the server closes or drops it.
    """

    after: int = 2
    pongs: bool = True


@dataclass(frozen=True)
class Inject(Checked):
    """Send a frame that does not belong: a mapping as JSON, a string as text, bytes as a binary frame.

    Nothing is added to it, and the response goes on as if nothing had been: an injected `error` or terminal
    event ends it for the client only.
    """

    frame: Mapping[str, Any] | str | bytes
    after: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_frame(self.frame)


@dataclass(frozen=True)
class Expire(Checked):
    """Reach the time limit of the connection: `websocket_connection_limit_reached`, then close with 1000."""

    after: int = 2


Output = Text | Refusal | Reasoning | FunctionCall | Raw
Disturbance = Close | Stall | Inject | Expire
"""What happens to a connection, hence to all of its responses."""

Intervention = Failure | Hold | Delay | Disturbance
Part = Output | Intervention
Reply = Union[str, Part, Recording, Sequence[str | Part | Recording], "Callable[[Request], Reply]"]
"""A text, a part, several parts, or a function that returns one of these for a request.

A recording is the whole of an answer: only interventions go with it.
"""

OUTPUTS = (Text, Refusal, Reasoning, FunctionCall, Raw)
DISTURBANCES = (Close, Stall, Inject, Expire)
INTERVENTIONS = (Failure, Hold, Delay, *DISTURBANCES)


def _check_frame(frame: Mapping[str, Any] | str | bytes) -> None:
    if isinstance(frame, str):
        frame.encode()  # what is no UTF-8 cannot be sent as text: better an error here than a lost connection
