"""Fault plans: what goes wrong, and for which connections and requests.

A plan is a list of faults, and a fault is data: something that happens, and a choice of where.

Where a test decides on one answer, an intervention belongs into the reply: `server.reply(["Hi", Close(1006)])`.
Where it does not matter what the answer is, or which request it is cannot be told by the order of replies,
it is a fault: `server.fault(Fault(Close(1006), probability=0.05))`.  What concerns the opening of a connection,
or all of its life, can only be a fault.  What shall happen now is `server.disturb(Close(1006))`.
"""

from __future__ import annotations

import math
import random
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from http import HTTPStatus
from typing import Any, Literal

from .fields import Checked
from .model import Match, matches
from .replies import DISTURBANCES, INTERVENTIONS, Disturbance, Intervention
from .request import Request

# The opening of a connection


@dataclass(frozen=True)
class RefuseUpgrade(Checked):
    """Answer the upgrade with an HTTP response, as `RefuseUpgrade(429, headers={"Retry-After": "2"})`.

    `RefuseUpgrade(307, headers={"Location": other_server.url + "/responses"})` redirects it.
    """

    status: int = 503
    body: Mapping[str, Any] | str | None = None
    """A mapping is sent as JSON, a string as text; without it the error body that is usual for the status."""

    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 200 <= self.status <= 599:
            raise ValueError(f"status must be from 200 to 599, not {self.status}")

    @property
    def reason(self) -> str:
        """The phrase that goes with the status."""
        try:
            return HTTPStatus(self.status).phrase
        except ValueError:
            return "Unknown"

    @property
    def content(self) -> Mapping[str, Any] | str:
        """The body: given, or the usual one."""
        if self.body is not None:
            return self.body
        kind = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}.get(self.status)
        kind = kind or ("server_error" if self.status >= 500 else "invalid_request_error")
        code = "rate_limit_exceeded" if self.status == 429 else None
        return {"error": {"message": self.reason, "type": kind, "param": None, "code": code}}


@dataclass(frozen=True)
class DelayUpgrade(Checked):
    """Answer the upgrade only after this many seconds.  After 10 the server gives an upgrade up, and hangs up."""

    seconds: float = math.inf

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.seconds >= 0:
            raise ValueError(f"seconds must be a number from 0, not {self.seconds}")


# The life of a connection: what kind of a server it is


@dataclass(frozen=True)
class DropStreamIds:
    """Know no lanes: run the requests one at a time in the order received, and send no `stream_id`."""


@dataclass(frozen=True)
class RefuseConcurrent:
    """Refuse a request while another one is under way, with `response_already_in_flight`."""


@dataclass(frozen=True)
class IgnoreSteer:
    """Ignore `response.steer` in silence."""


@dataclass(frozen=True)
class ReorderLanes(Checked):
    """Send the events of concurrent responses in another order than in turns.  Each response keeps its own.

    `random` draws the lane of each event; `newest` finishes the response first that was started last.
    """

    order: Literal["random", "newest"] = "random"
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.order not in ("random", "newest"):
            raise ValueError(f"order must be 'random' or 'newest', not {self.order!r}")


UpgradeFault = RefuseUpgrade | DelayUpgrade
Trait = DropStreamIds | RefuseConcurrent | IgnoreSteer | ReorderLanes
What = Intervention | UpgradeFault | Trait

_UPGRADE_FAULTS = (RefuseUpgrade, DelayUpgrade)
_TRAITS = (DropStreamIds, RefuseConcurrent, IgnoreSteer, ReorderLanes)


# The choice


@dataclass(frozen=True)
class Fault(Checked):
    """Something that happens, and where: everywhere, unless the other arguments narrow it.

    Interventions such as `Close`, `Failure`, `Hold`, `Delay`, `Stall`, `Inject` and `Expire` happen to
    requests, at the event that their `after` says; `RefuseUpgrade`, `DelayUpgrade`, `DropStreamIds`,
    `RefuseConcurrent`, `IgnoreSteer` and `ReorderLanes` happen to connections.

    Raises:
        TypeError: if `what` is nothing that can happen, or another argument has the wrong type.
        ValueError: for numbers out of range, and for a choice of requests where there are none.
        re.error: for a broken regular expression.
    """

    what: What
    _: KW_ONLY
    connection: int | None = None
    """Only on this connection, counted from 1.  Attempts that were refused count too."""

    request: int | None = None
    """Only for this request, counted from 1 as they arrive: on its connection if `connection` is given, else on
    the server.  0 is the moment in which a connection is open and no request has come: there `Close`, `Stall`,
    `Inject` and `Expire` are possible, and their `after` means nothing."""

    match: Match | None = None
    """Only for requests that match: a regular expression to search in the latest user message, or a function of
    the request, called on the server's thread."""

    times: int | None = None
    """Only so many times."""

    probability: float = 1.0
    """Only by chance, drawn for each one that the other arguments leave."""

    seed: int = 0
    """Where chance begins.  Faults of one plan draw independently, whether or not their seeds differ."""

    def __post_init__(self) -> None:
        if not isinstance(self.what, (*INTERVENTIONS, *_UPGRADE_FAULTS, *_TRAITS)):
            raise TypeError(f"Not a fault: {self.what!r}")
        super().__post_init__()
        for name, value, least in (("connection", self.connection, 1), ("request", self.request, 0)):
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, not {value}")
        if self.times is not None and self.times < 1:
            raise ValueError(f"times must be at least 1, not {self.times}")
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability must be from 0 to 1, not {self.probability}")
        if self.match is not None and (self.request == 0 or not isinstance(self.what, INTERVENTIONS)):
            raise ValueError("match chooses requests, and here there is none")
        if self.request is not None and not isinstance(self.what, INTERVENTIONS):
            raise ValueError(f"{type(self.what).__name__} happens to a connection: it has no request")
        if self.request == 0 and not isinstance(self.what, DISTURBANCES):
            raise ValueError(f"{type(self.what).__name__} happens to a response: there is none at request=0")
        if isinstance(self.match, str):
            re.compile(self.match)


@dataclass(eq=False)
class _Armed:
    """A fault of a plan, and what is left of it."""

    fault: Fault
    left: int | None
    random: random.Random

    def strikes(self, connection: int, request: Request | None) -> bool:
        """Return whether it happens here, and count it."""
        fault = self.fault
        if self.left == 0 or fault.connection not in (None, connection):
            return False
        if request is not None:
            number = request.number if fault.connection is None else request.ordinal
            if fault.request not in (None, number):
                return False
            if fault.match is not None and not matches(fault.match, request):
                return False
        if self.random.random() >= fault.probability:
            return False
        if self.left is not None:
            self.left -= 1
        return True


class FaultPlan:
    """The faults of a server.  `add` and `clear` may be called from any thread, the others from one only."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._lock = threading.Lock()
        self._added = 0
        # Tuples, replaced and never changed: they are read without the lock.
        self._upgrade: tuple[_Armed, ...] = ()
        self._opening: tuple[_Armed, ...] = ()
        self._request: tuple[_Armed, ...] = ()
        self.add(*faults)

    def add(self, *faults: Fault) -> None:
        """Let further faults happen, from now on.

        Raises:
            TypeError: for something that is no `Fault`.
        """
        for fault in faults:
            if not isinstance(fault, Fault):
                raise TypeError(f"Not a Fault: {fault!r}; what happens, and where, makes one: Fault(Close(1006))")
        with self._lock:
            for fault in faults:
                self._added += 1
                armed = _Armed(fault, fault.times, random.Random(f"{fault.seed}/{self._added}"))
                if isinstance(fault.what, _UPGRADE_FAULTS):
                    self._upgrade += (armed,)
                elif isinstance(fault.what, _TRAITS) or fault.request == 0:
                    self._opening += (armed,)
                else:
                    self._request += (armed,)

    def clear(self) -> None:
        """Let nothing more happen."""
        with self._lock:
            self._upgrade = self._opening = self._request = ()

    def at_upgrade(self, connection: int) -> list[UpgradeFault]:
        """Return what happens to an attempt to connect, in the order in which it was planned."""
        struck = [armed.fault.what for armed in self._upgrade if armed.strikes(connection, None)]
        return [what for what in struck if isinstance(what, _UPGRADE_FAULTS)]

    def at_opening(self, connection: int) -> list[Trait | Disturbance]:
        """Return what is the matter with a connection that was opened."""
        struck = [armed.fault.what for armed in self._opening if armed.strikes(connection, None)]
        return [what for what in struck if isinstance(what, (*_TRAITS, *DISTURBANCES))]

    def at_request(self, request: Request) -> tuple[Intervention, ...]:
        """Return what happens to a response that is about to start.

        Raises:
            Exception: whatever a match function raises.
        """
        if not self._request:
            return ()
        struck = [armed.fault.what for armed in self._request if armed.strikes(request.connection, request)]
        return tuple(what for what in struck if isinstance(what, INTERVENTIONS))
