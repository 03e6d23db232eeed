"""The members and the requests of a fleet, as the rules in `fleet` know them, and what these rules want done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from .breaker import Breaker
from .lanes import PoolRequest
from .ordering import RequestHeap


class MemberClient(Protocol):
    """What the rules ask of the client of a member."""

    def load(self) -> int:
        """Return how many requests run or wait there."""

    def room(self, now: float) -> float:
        """Return how many requests may run there at once, as far as that is known now."""

    def has_lost(self, response_id: str) -> bool:
        """Whether it is known that the member cannot continue this response of its own."""


class FleetRequest(PoolRequest):
    """A request on its way through a fleet.  The client of its member has a request of its own for each try."""

    __slots__ = ("generation", "member", "not_found_at", "preferred", "refused", "tried")

    def __init__(
        self,
        *,
        stream_id: str | None = None,
        parent_id: str | None = None,
        stores: bool = True,
        has_history: bool = False,
    ) -> None:
        super().__init__(stream_id=stream_id, parent_id=parent_id, stores=stores, has_history=has_history)
        self.member: Member | None = None  # has the request, or had it last
        self.generation = 0  # of the breaker of `member` when it got the request
        self.preferred: Member | None = None  # had the request before on the same lane
        self.tried: set[Member] = set()  # failed with the request, in the present round
        self.not_found_at: set[Member] = set()  # do not know the parent
        self.refused = False  # a member has refused the request before any output


class Member:
    """A member of a fleet: its client, its circuit breaker, and the requests that it has, or that wait for it."""

    def __init__(self, number: int, name: str, client: MemberClient, weight: float, breaker: Breaker) -> None:
        self.number = number
        self.name = name
        self.client = client
        self.weight = weight
        self.breaker = breaker
        self.is_leaving = False  # finishes what it has, and gets nothing more
        self.has: dict[FleetRequest, None] = {}
        self.bound: RequestHeap[PoolRequest] = RequestHeap()  # wait for this member
        self.turn = 0.0  # among members with the same load, the lowest is next
        self.lost_connection: object = None  # the latest that counted as a failure

    def may_get(self, now: float) -> bool:
        """Whether the member may get a request, if it has room."""
        return not self.is_leaving and self.breaker.allows(now)


@dataclass(frozen=True)
class GiveRequest:
    """Give a request to the client of a member."""

    request: FleetRequest
    member: Member


@dataclass(frozen=True)
class TakeBack:
    """Take a request back from the client of a member and call `taken_back`, unless it has been sent already."""

    request: FleetRequest
    member: Member


@dataclass(frozen=True)
class FailFleetRequest:
    """Tell the sender of a request this error."""

    request: FleetRequest
    error: Exception


FleetAction: TypeAlias = GiveRequest | TakeBack | FailFleetRequest
