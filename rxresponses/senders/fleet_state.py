"""`FleetState`: what `ResponsesFleet.state` emits."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..pool.breaker import BreakerState
from ..pool.fleet_members import Member
from ..pool.lanes import PoolConnectionState
from ..pool.pool import Pool


@dataclass(frozen=True, kw_only=True)
class FleetMemberState:
    """What a member of a fleet does now.

    `url` is its endpoint without credentials.  `breaker` is "closed" while it works, "open" while it fails and gets no
    requests, and "half_open" while one request tries whether it works again.  `trial_in` are the seconds until an open
    breaker lets that request through.  `failures` are those in a row, and `error` is the latest of them, or why the
    latest connection could not be made; `None` once the member works.

    `open` connections take new requests, `connecting` ones are being opened.  `active` requests run there, and `queued`
    ones wait there, for a connection.  `paused_for` are the seconds until anything is sent after a rate limit.  A
    `leaving` member finishes what it has, because it is being removed.
    """

    url: str
    weight: float = 1.0
    breaker: BreakerState = "closed"
    trial_in: float | None = None
    failures: int = 0
    error: Exception | None = None
    open: int = 0
    connecting: int = 0
    active: int = 0
    queued: int = 0
    paused_for: float | None = None
    leaving: bool = False


@dataclass(frozen=True, kw_only=True)
class FleetState:
    """What a fleet does now: a row for each of its `members`; `queued` requests wait for any of them.

    `limited_for` are the seconds until the next request may be sent by the `limits` of the fleet, and `awaits_budget`
    says that requests wait because running ones have reserved what is left of the `budget`; such requests wait in the
    clients of the members.  All seconds count from the time when this state was emitted.
    """

    members: tuple[FleetMemberState, ...] = ()
    queued: int = 0
    limited_for: float | None = None
    awaits_budget: bool = False
    closed: bool = False


class FleetStateChanges:
    """The states of a fleet, each only if it differs from the latest one."""

    def __init__(self) -> None:
        self._latest: tuple[FleetState, list[float | None]] | None = None

    def next(self, members: Sequence[tuple[Member, Pool | None]], queued: int, now: float) -> FleetState | None:
        """Return the state of the fleet, `None` if it is the latest one."""
        rows = tuple(_row(member, pool) for member, pool in members)
        waits = [pool.limited_until for _, pool in members if pool is not None and pool.limited_until is not None]
        limited_until = min(waits, default=None)
        awaits_budget = limited_until == math.inf
        state = FleetState(members=rows, queued=queued, awaits_budget=awaits_budget)
        # The remaining seconds change all the time; they are news only if the time at their end changes.
        ends = [time for member, pool in members for time in _ends(member, pool, now)]
        ends.append(None if awaits_budget else limited_until)
        if (state, ends) == self._latest:
            return None
        self._latest = state, ends
        seconds = iter([None if end is None else max(0.0, end - now) for end in ends])
        rows = tuple(
            dataclasses.replace(row, trial_in=next(seconds), paused_for=next(seconds)) for row in state.members
        )
        return dataclasses.replace(state, members=rows, limited_for=next(seconds))


def _row(member: Member, pool: Pool | None) -> FleetMemberState:
    breaker = member.breaker
    if pool is None:  # the fleet has not been used yet
        return FleetMemberState(url=member.name, weight=member.weight)
    return FleetMemberState(
        url=member.name,
        weight=member.weight,
        breaker=breaker.state,
        failures=breaker.failures,
        error=breaker.error or pool.connect_error(),
        open=pool.in_state(PoolConnectionState.OPEN),
        connecting=pool.in_state(PoolConnectionState.CONNECTING),
        active=pool.active,
        queued=pool.queued,
        leaving=member.is_leaving,
    )


def _ends(member: Member, pool: Pool | None, now: float) -> tuple[float | None, float | None]:
    """Return when the trial may begin, and when the pause after a rate limit is over."""
    breaker = member.breaker
    resumes_at = now if pool is None else pool.rate_limit.resumes_at
    trial_at = breaker.trial_at if breaker.state == "open" and now < breaker.trial_at else None
    return trial_at, resumes_at if now < resumes_at else None
