"""What can go wrong on the server, and for which connections and requests.

There are three ways to make something go wrong:

- An intervention in a reply, for a test that decides on one answer: `server.reply(["Hi", Close(1006)])`.
- A `Fault`, if the answer does not matter, or if the order of replies cannot tell which request it will be:
  `server.fault(Fault(Close(1006), probability=0.05))`.  Only a fault can affect the opening of a connection
  (`RefuseUpgrade`, `DelayUpgrade`) or all of its life (`DropStreamIds`, ...).
- `server.disturb(Close(1006))`, for an event that happens now.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from http import HTTPStatus
from typing import Any, Literal

from .arguments import CheckedArguments
from .jsontext import encode
from .replies import CONNECTION_INTERVENTIONS, INTERVENTIONS, Intervention
from .when import Match

# The opening of a connection


@dataclass(frozen=True)
class RefuseUpgrade(CheckedArguments):
    """Answer the WebSocket upgrade with an HTTP response, such as `RefuseUpgrade(429, headers={"Retry-After": "2"})`.

    `RefuseUpgrade(307, headers={"Location": other_server.url + "/responses"})` redirects the client.

    Args:
        status: the HTTP status, from 200 to 599.
        body: the body of the response: a mapping is sent as JSON, a string as text.  By default it is the
            error that the service sends with this status.
        headers: further headers of the response.
    """

    status: int = 503
    body: Mapping[str, Any] | str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 200 <= self.status <= 599:
            raise ValueError(f"status must be from 200 to 599, not {self.status}")
        if isinstance(self.body, Mapping):
            encode(dict(self.body))  # raises for what is not JSON

    @property
    def reason(self) -> str:
        """The reason phrase of the status."""
        try:
            return HTTPStatus(self.status).phrase
        except ValueError:
            return "Unknown"

    @property
    def content(self) -> Mapping[str, Any] | str:
        """The body that the server sends."""
        if self.body is not None:
            return self.body
        error_type = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}.get(self.status)
        error_type = error_type or ("server_error" if self.status >= 500 else "invalid_request_error")
        code = "rate_limit_exceeded" if self.status == 429 else None
        return {"error": {"message": self.reason, "type": error_type, "param": None, "code": code}}


@dataclass(frozen=True)
class DelayUpgrade(CheckedArguments):
    """Wait before the WebSocket upgrade is answered.

    Args:
        seconds: how long to wait.  After 10 seconds the server closes the TCP connection without an answer.
            If the server stops before, it answers with status 503.
    """

    seconds: float = math.inf

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.seconds >= 0:
            raise ValueError(f"seconds must be a number from 0, not {self.seconds}")


# The whole life of a connection


@dataclass(frozen=True)
class DropStreamIds:
    """Behave like a server without lanes: run one request at a time, in order of arrival, and send no `stream_id`."""


@dataclass(frozen=True)
class RefuseConcurrent:
    """Refuse each request that arrives while another runs or waits, with `response_already_in_flight`."""


@dataclass(frozen=True)
class IgnoreSteer:
    """Ignore every `response.steer`, without any answer."""


@dataclass(frozen=True)
class ReorderLanes(CheckedArguments):
    """Change the order in which lanes take turns.  The events of each response keep their order.

    Args:
        order: `random` draws the lane of each event; `newest` sends all events of the response that was
            started last before those of the others.
        seed: the seed of the random order.
    """

    order: Literal["random", "newest"] = "random"
    seed: int = 0


UpgradeFault = RefuseUpgrade | DelayUpgrade
ConnectionTrait = DropStreamIds | RefuseConcurrent | IgnoreSteer | ReorderLanes
"""How a server behaves on a connection, from its opening to its end."""

FaultKind = Intervention | UpgradeFault | ConnectionTrait

UPGRADE_FAULTS = (RefuseUpgrade, DelayUpgrade)
CONNECTION_TRAITS = (DropStreamIds, RefuseConcurrent, IgnoreSteer, ReorderLanes)


# The choice of connections and requests


@dataclass(frozen=True)
class Fault(CheckedArguments):
    """Something that goes wrong: everywhere by default, or where the other arguments narrow it to.

    Args:
        what: an intervention (`Close`, `Failure`, `Hold`, `Delay`, `Stall`, `Inject` or `Expire`) happens to
            each chosen request, after as many events of its response as its `after` says.  `RefuseUpgrade`,
            `DelayUpgrade`, `DropStreamIds`, `RefuseConcurrent`, `IgnoreSteer` and `ReorderLanes` happen to
            each chosen connection.
        connection: only the connection with this number, counted from 1.  Refused upgrades count too.
        request: only the request with this number, counted from 1 in order of arrival: among the requests of
            the connection if `connection` is given, else among those of the server.  0 means the moment when
            the connection opens.  Only `Close`, `Stall`, `Inject` and `Expire` are possible then, and their
            `after` is ignored.
        match: only requests that match: a regular expression that is searched in the text of the latest user
            message, a `When`, or a function of the request, which the server calls on its own thread.
        times: only the first so many times.
        probability: happen by chance, drawn each time when the other arguments allow the fault.
        seed: the seed of the chance.  Two faults draw independently of each other, also with the same seed.

    Raises:
        TypeError: if `what` is nothing that can happen, or another argument has the wrong type.
        ValueError: if a number is out of range, or if requests are chosen for something that happens to
            connections.
        re.error: if `match` is not a valid regular expression.
    """

    what: FaultKind
    _: KW_ONLY
    connection: int | None = None
    request: int | None = None
    match: Match | None = None
    times: int | None = None
    probability: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.what, (*INTERVENTIONS, *UPGRADE_FAULTS, *CONNECTION_TRAITS)):
            raise TypeError(f"Not a fault: {self.what!r}")
        super().__post_init__()
        for name, value, least in (("connection", self.connection, 1), ("request", self.request, 0)):
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, not {value}")
        if getattr(self.what, "after", None) == "here":
            raise ValueError("after='here' is a place in a reply: a fault needs a number of events")
        if self.times is not None and self.times < 1:
            raise ValueError(f"times must be at least 1, not {self.times}")
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability must be from 0 to 1, not {self.probability}")
        if self.match is not None and self.request == 0:
            raise ValueError("match chooses requests: there is none at request=0")
        if self.match is not None and not isinstance(self.what, INTERVENTIONS):
            raise ValueError(f"match chooses requests: {type(self.what).__name__} happens to a connection")
        if self.request is not None and not isinstance(self.what, INTERVENTIONS):
            raise ValueError(f"{type(self.what).__name__} happens to a connection: it has no request")
        if self.request == 0 and not isinstance(self.what, CONNECTION_INTERVENTIONS):
            raise ValueError(f"{type(self.what).__name__} happens to a response: there is none at request=0")
        if isinstance(self.match, str):
            re.compile(self.match)
