"""`Permits`: what a worker holds of a gate that many processes share, asked for in advance and for several at once.

What the worker has to tell and what it wants goes to the gate as a `Report`, and a `Grant` comes back: see `Leases`.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

from ..errors import RequestError
from ..wire.models import ResponseUsage
from .admission import Admitted, Answer, Estimate, Refused, Reservation, ServerLimits, Wait

# Seconds for which a permit may be used.  It counts from when it is granted.  Used so much later, it makes a window of
# 10 seconds longer by as much, so this is 1% of the window.
TERM = 0.1
MOST_AHEAD = 64  # permits that a worker holds without a request for them
_NEWS = 0.2  # seconds after a report in which the next one may wait, if it only tells what requests have used
_HEARTBEAT = 5.0  # seconds after which a worker with running requests reports in any case
_SIMILAR = 16  # latest requests from which permits ahead are estimated


class Permit(NamedTuple):
    """The right to send one request that takes no more than `estimate`.  `number` is what settlements refer to."""

    number: int
    estimate: Estimate


class Report(NamedTuple):
    """What a worker tells the gate, and what it wants now.

    `waiting` is the estimate of the request that waits, if one does.  `ahead` permits are wanted for requests that may
    come, each for an estimate of `similar`.
    """

    waiting: Estimate | None = None
    ahead: int = 0
    similar: Estimate = Estimate(0, 0)
    settled: tuple[tuple[int, ResponseUsage | None], ...] = ()
    unknown: tuple[int, ...] = ()
    sent_now: tuple[Permit, ...] = ()  # without a permit: things that could not wait; their numbers are negative
    limited: tuple[float, ...] = ()
    told: ServerLimits | None = None


class Grant(NamedTuple):
    """What the gate answers: permits, or why the request that waits must not be sent."""

    permits: tuple[Permit, ...] = ()
    refusal: RequestError | None = None


class Permits:
    """The permits of one worker; it has the methods of an `Admission`.  For one thread, or under a lock."""

    def __init__(self, *, term: float = TERM, most_ahead: int = MOST_AHEAD) -> None:
        self._term = term
        self._most_ahead = most_ahead
        self._free: deque[tuple[float, Permit]] = deque()  # when they end, the earliest first
        self._open: dict[int, Estimate] = {}
        self._waiting: tuple[int, Estimate] | None = None
        self._refusal: tuple[int, RequestError] | None = None
        self._used_at: deque[float] = deque()
        self._similar: deque[Estimate] = deque(maxlen=_SIMILAR)
        self._settled: list[tuple[int, ResponseUsage | None]] = []
        self._unknown: list[int] = []
        self._sent_now: list[Permit] = []
        self._limited: list[float] = []
        self._told: ServerLimits | None = None
        self._latest_told: ServerLimits | None = None
        self._latest_own = 0
        self._reported_at = -math.inf
        self._asks_ahead_at = -math.inf  # not before

    @property
    def has_news(self) -> bool:
        """Whether there is something that the gate does not know."""
        return bool(self._settled or self._unknown or self._sent_now or self._limited or self._told)

    # As of an `Admission`.

    def ask(self, request_key: int, estimate: Estimate, now: float) -> Answer:
        """Return whether a request may be sent: it may if a permit covers it."""
        self._give_back(now)
        if self._refusal is not None and self._refusal[0] == request_key:
            error, self._refusal = self._refusal[1], None
            return Refused(error)
        permit = self._take(estimate)
        if permit is None:
            self._waiting = request_key, estimate
            return Wait(math.inf)
        if self._waiting is not None and self._waiting[0] == request_key:
            self._waiting = None
        self._similar.append(estimate)
        self._used_at.append(now)
        self._open[permit.number] = permit.estimate
        return Admitted(Reservation(*permit))

    def ask_now(self, estimate: Estimate, now: float) -> Admitted:
        """Admit something that cannot wait: with a permit if one covers it, or else the gate is told afterwards."""
        self._give_back(now)
        permit = self._take(estimate)
        if permit is None:
            self._latest_own -= 1
            permit = Permit(self._latest_own, estimate)
            self._sent_now.append(permit)
        self._open[permit.number] = permit.estimate
        return Admitted(Reservation(*permit))

    def forget(self, request_key: int) -> None:
        """Want no permit any more for a request that waits."""
        if self._waiting is not None and self._waiting[0] == request_key:
            self._waiting = None
        if self._refusal is not None and self._refusal[0] == request_key:
            self._refusal = None

    def settle(self, reservation: Reservation, usage: ResponseUsage | None, now: float) -> None:
        """Note what a request has used: `None` if it was not sent."""
        if self._open.pop(reservation.number, None) is not None:
            self._settled.append((reservation.number, usage))

    def settle_unknown(self, reservation: Reservation, now: float) -> None:
        """Note that it is unknown what a request has used."""
        if self._open.pop(reservation.number, None) is not None:
            self._unknown.append(reservation.number)

    def limited(self, now: float, requested_wait: float | None) -> None:
        """Note for how long the server asks to wait, if it does.  Permits that are not used are given back."""
        if requested_wait is not None:
            self._limited.append(requested_wait)
            self._give_back(math.inf)

    def told(self, limits: ServerLimits, now: float) -> None:
        """Note the limits that the server has told, if they are others than before."""
        if limits not in (self._latest_told, ServerLimits()):
            self._latest_told = self._told = limits

    # With the gate.

    def close(self) -> None:
        """Want nothing more, and give back what is not used."""
        self._waiting = None
        self._used_at.clear()
        self._give_back(math.inf)

    def next_report_at(self, now: float) -> float:
        """Return when the next report is due, infinity if there is nothing to tell and nothing is wanted."""
        if self._wanting() is not None or self._limited:
            return now
        due_at = self._reported_at + _HEARTBEAT if self._open else math.inf
        if self.has_news:
            due_at = self._reported_at + _NEWS
        elif self._free:
            due_at = self._free[0][0]
        wished = self._wished(now)
        if wished and len(self._free) <= wished // 4:
            due_at = min(due_at, max(now, self._asks_ahead_at))
        return due_at

    def report(self, now: float) -> Report:
        """Return what there is to tell and what is wanted; the news are then taken for told."""
        self._give_back(now)
        self._reported_at = now
        report = Report(
            self._wanting(),
            max(0, self._wished(now) - len(self._free)),
            self._similar_estimate(),
            tuple(self._settled),
            tuple(self._unknown),
            tuple(self._sent_now),
            tuple(self._limited),
            self._told,
        )
        self._settled, self._unknown, self._sent_now, self._limited, self._told = [], [], [], [], None
        return report

    def granted(self, grant: Grant, now: float) -> bool:
        """Take over what the gate has granted; return whether a request that waits may go on."""
        self._asks_ahead_at = -math.inf if grant.permits else now + _NEWS  # the gate has none
        self._free.extend((now + self._term, permit) for permit in grant.permits)
        if grant.refusal is not None and self._waiting is not None:
            self._refusal = self._waiting[0], grant.refusal
            self._waiting = None
            return True
        return bool(grant.permits) and self._waiting is not None

    def _wished(self, now: float) -> int:
        """Return how many permits the worker should hold: up to twice as many as it has used while one lasts.

        A worker that sends little holds none, because they would mostly end unused.
        """
        while self._used_at and self._used_at[0] <= now - self._term:
            self._used_at.popleft()
        return min(self._most_ahead, max(0, 2 * (len(self._used_at) - 1)))

    def _wanting(self) -> Estimate | None:
        """Return the estimate of the request that waits, unless a permit for it has come."""
        if self._waiting is None or any(_covers(permit.estimate, self._waiting[1]) for _, permit in self._free):
            return None
        return self._waiting[1]

    def _similar_estimate(self) -> Estimate:
        """Return an estimate that covers the latest requests of the latest model."""
        if not self._similar:
            return Estimate(0, 0)
        model = self._similar[-1].model
        similar = [estimate for estimate in self._similar if estimate.model == model]
        return Estimate(
            max(estimate.input_tokens for estimate in similar),
            max(estimate.output_tokens for estimate in similar),
            max(estimate.usd for estimate in similar),
            model,
        )

    def _take(self, estimate: Estimate) -> Permit | None:
        for index, (_, permit) in enumerate(self._free):
            if _covers(permit.estimate, estimate):
                del self._free[index]
                return permit
        return None

    def _give_back(self, until: float) -> None:
        """Give back the permits that end until then."""
        while self._free and self._free[0][0] <= until:
            self._settled.append((self._free.popleft()[1].number, None))


def _covers(permit: Estimate, estimate: Estimate) -> bool:
    return (
        permit.model == estimate.model
        and permit.input_tokens >= estimate.input_tokens
        and permit.output_tokens >= estimate.output_tokens
        and permit.usd >= estimate.usd
    )
