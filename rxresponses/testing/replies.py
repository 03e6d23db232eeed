"""What the scripted model can be told to answer.

A reply consists of outputs, interventions and settings.  An output (`Text`, `FunctionCall`, ...) is content of the
response.  An intervention (`Failure`, `Hold`, `Close`, ...) is something that happens while the response is
sent.  The `after` of an intervention is the number of events of the response that the server sends before
it: with 0 it happens before `response.created`, with 2 after `response.in_progress`.  With `"here"` it happens at its
place among the outputs of the reply, when the output before it is complete.  A setting (`Usage`, `Incomplete`, `Pace`)
is true of the whole response.

All classes here raise `TypeError` or `ValueError` for arguments that cannot be right.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Union

from .arguments import CheckedArguments
from .outputs import OUTPUTS, Output, check_frame
from .transcript import Recording

if TYPE_CHECKING:
    from .request import Request

_STATUSES = {
    "context_length_exceeded": 400,
    "insufficient_quota": 429,
    "invalid_prompt": 400,
    "rate_limit_exceeded": 429,
}
_MESSAGES = {
    "context_length_exceeded": "Your input is longer than the context window of this model.",
    "insufficient_quota": "Your quota is used up. Check your plan and billing details.",
    "invalid_prompt": "The prompt was refused, because it may violate the usage policy.",
    "rate_limit_exceeded": "Rate limit reached for requests.",
}
_ERROR_TYPES = {400: "invalid_request_error", 401: "authentication_error", 429: "rate_limit_error"}
_CLOSE_CODES = (range(1000, 1004), range(1006, 1015), range(3000, 5000))  # RFC 6455, section 7.4
_REASON_LIMIT = 123  # bytes of UTF-8: RFC 6455, section 5.5


@dataclass(frozen=True)
class Failure(CheckedArguments):
    """Fail the response: an `error` event, and `response.failed` if the response was created before.

    With `after=0` the server refuses the request, and there is no response.  A successor of a steered response
    cannot be refused so: the client receives the input back in `response.steer.failed` instead.  If the response
    has fewer than `after` events, the failure replaces its terminal event.

    Args:
        code: the code of the error.
        message: the message of the error; by default a sentence for `code`.
        after: how many events of the response are sent before.
        status: the HTTP status in the event; by default that which the service uses for `code`.
        type: the type of the error; by default that which the service uses for `code` and `status`.
        param: the name of the wrong field of the request.
        headers: the headers in the event, for example `{"retry-after": "1"}`.
    """

    code: str | None = "server_error"
    message: str | None = None
    after: int | Literal["here"] = 2
    status: int | None = None
    type: str | None = None
    param: str | None = None
    headers: Mapping[str, str] | None = None

    @property
    def http_status(self) -> int:
        """The status that the server sends."""
        return self.status if self.status is not None else _STATUSES.get(self.code or "", 500)

    @property
    def error_message(self) -> str:
        """The message that the server sends."""
        if self.message is not None:
            return self.message
        if self.http_status >= 500:
            return "The server had an error while processing your request."
        return _MESSAGES.get(self.code or "", f"The request was refused with status {self.http_status}.")

    @property
    def error_type(self) -> str:
        """The error type that the server sends."""
        if self.type is not None:
            return self.type
        if self.code == "insufficient_quota":
            return "insufficient_quota"
        return _ERROR_TYPES.get(self.http_status, "server_error")


@dataclass(frozen=True)
class Close(CheckedArguments):
    """Close the connection, and with it all of its lanes.

    Args:
        code: the close code.  With 1006 the transport is aborted without a closing handshake, as by a
            network failure.
        reason: the close reason, of at most 123 bytes in UTF-8.
        after: how many events of the response are sent before.
    """

    code: int = 1000
    reason: str = ""
    after: int | Literal["here"] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not any(self.code in codes for codes in _CLOSE_CODES):
            raise ValueError(f"a connection cannot be closed with code {self.code}")
        if len(self.reason.encode()) > _REASON_LIMIT:
            raise ValueError(f"reason must have at most {_REASON_LIMIT} bytes of UTF-8: {self.reason!r} has more")


class Gate:
    """A condition that responses with a `Hold` wait for, made by `ResponsesServer.gate`.

    A gate is closed at first.  Once it is open, it stays open.  Its methods may be used from any thread.
    """

    def __init__(self, on_open: Callable[[], None] = lambda: None) -> None:
        self._event = threading.Event()
        self._on_open = on_open

    @property
    def is_open(self) -> bool:
        """Whether `open` was called."""
        return self._event.is_set()

    def open(self) -> None:
        """Let all responses that wait for the gate continue, and all later ones pass it."""
        self._event.set()
        self._on_open()


@dataclass(frozen=True)
class Hold(CheckedArguments):
    """Send nothing more of the response until a gate is open.  Other lanes continue.

    Args:
        gate: the gate, made by `ResponsesServer.gate`.  Without it the response is never continued.
        after: how many events of the response are sent before.
    """

    gate: Gate = field(default_factory=Gate)
    after: int | Literal["here"] = 2


class SteerHold(Hold):
    """Send nothing more of a response that is played back until the client steers it, as it was recorded."""


@dataclass(frozen=True)
class Delay(CheckedArguments):
    """Wait before the next event of the response.  Other lanes continue.

    Args:
        seconds: how long to wait; a finite number from 0.
        after: how many events of the response are sent before.
    """

    seconds: float
    after: int | Literal["here"] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.seconds < math.inf:
            raise ValueError(f"seconds must be a finite number from 0, not {self.seconds}; Hold() waits without end")


@dataclass(frozen=True)
class Stall(CheckedArguments):
    """Send nothing more on the connection, on no lane, but leave the connection open.

    Args:
        after: how many events of the response are sent before.
        pongs: whether the server still reads: it answers pings, and receives requests without answering them.
            With `False` the server reads nothing, as if its host had disappeared from the network.  It then
            does not notice either that the client closes the connection: the connection stays open on the
            server until the server closes it.
    """

    after: int | Literal["here"] = 2
    pongs: bool = True


@dataclass(frozen=True)
class Inject(CheckedArguments):
    """Send a frame that does not belong to the response.

    The server adds nothing to the frame and continues the response.  An injected `error` or terminal event
    thus ends the response for the client only.

    Args:
        frame: a mapping is sent as JSON, a string as a text frame, bytes as a binary frame.
        after: how many events of the response are sent before.
    """

    frame: Mapping[str, Any] | str | bytes
    after: int | Literal["here"] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_frame(self.frame)


@dataclass(frozen=True)
class Expire(CheckedArguments):
    """Behave as if the connection reached its time limit.

    The server sends the error `websocket_connection_limit_reached` and closes the connection with code 1000.

    Args:
        after: how many events of the response are sent before.
    """

    after: int | Literal["here"] = 2


@dataclass(frozen=True)
class Usage(CheckedArguments):
    """The numbers of tokens that the response reports.  The server counts those that are not given.

    Args:
        input_tokens: the tokens of the input, the cached ones too.
        cached_tokens: how many of them were cached.
        output_tokens: the tokens of the output, those of reasoning too.
        reasoning_tokens: how many of them were for reasoning.
    """

    input_tokens: int | None = None
    _: KW_ONLY  # the order of the others says nothing
    cached_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in vars(self).items():
            if value is not None and value < 0:
                raise ValueError(f"{name} must be a number from 0, not {value}")


@dataclass(frozen=True)
class Incomplete(CheckedArguments):
    """End the response with `response.incomplete`, and its last item with the status `incomplete`.

    Give the output as far as the model came: `["It was a dark and", Incomplete()]`.

    Args:
        reason: the reason, such as `max_output_tokens` or `content_filter`.
    """

    reason: str = "max_output_tokens"


@dataclass(frozen=True)
class Pace(CheckedArguments):
    """Send the events of the response with this time between two of them, instead of that of the server.

    Args:
        seconds: the time; a finite number from 0.
    """

    seconds: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.seconds < math.inf:
            raise ValueError(f"seconds must be a finite number from 0, not {self.seconds}")


ConnectionIntervention = Close | Stall | Inject | Expire
"""An intervention that happens to the connection, hence to all responses that run on it."""

Intervention = Failure | Hold | Delay | ConnectionIntervention
"""A part of a reply that happens while the response is sent."""

Setting = Usage | Incomplete | Pace
"""A part of a reply that is true of the whole response."""

Part = Output | Intervention | Setting
Reply = Union[str, Part, Recording, Sequence[str | Part | Recording], "Callable[[Request], Reply]"]
"""What the model answers to a request: see `ResponsesServer.reply`."""

CONNECTION_INTERVENTIONS = (Close, Stall, Inject, Expire)
INTERVENTIONS = (Failure, Hold, Delay, *CONNECTION_INTERVENTIONS)
SETTINGS = (Usage, Incomplete, Pace)
PARTS = (*OUTPUTS, *INTERVENTIONS, *SETTINGS)
