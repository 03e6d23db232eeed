"""`Leases`: one gate and budget for many workers, which ask for several permits at once and in advance."""

from __future__ import annotations

import math
from typing import NamedTuple

from ..errors import RequestError
from .admission import Admission, Admitted, Answer, Estimate, Refused, Reservation, Wait
from .permits import Grant, Permit, Report

GRACE = 30.0  # seconds after which a worker that has not reported is taken for lost
# Seconds for which a worker with some of the permits that it wants waits for the others: more for many workers, so that
# the gate answers no more than 1,000 times a second.
_LINGER = 0.02
_LINGER_FOR_EACH = 0.001
# Seconds for which a worker without a permit waits for the answer.  It reports what its requests have used only after
# that, so it waits longer only if that is not what is needed: while permits are a matter of time.
_HOLD = 0.1
_HOLD_FOR_EACH = 0.005
_HOLD_FOR_TIME = 5  # times as long


class Answered(NamedTuple):
    """The answer to the latest report of a worker."""

    worker: str
    grant: Grant


class _Worker:
    """What the gate knows of a worker: what it holds, and what it wants, if its report is not answered."""

    def __init__(self) -> None:
        self.heard_at = -math.inf
        self.is_open = False  # its latest report is not answered
        self.key = 0  # of the request that waits; 0 if none does
        self.waiting = Estimate(0, 0)  # of that request
        self.ahead = 0
        self.similar = Estimate(0, 0)
        self.held: dict[int, Reservation] = {}
        self.permits: list[Permit] = []  # granted, and not yet told
        self.refusal: RequestError | None = None


class Leases:
    """Grants permits to workers, by an admission that no one else asks; the caller passes the time.

    The caller takes in each `report`, sends what `answers` returns, and calls it again at the time that it returns.

    The worker whose request waits longest gets the next permit.  Permits in advance are granted only when no request
    waits, to one worker after the other.  Permits that are not used come back with the reports.  What a lost worker has
    held counts as used, as estimated, because nobody knows what of it was sent.
    """

    def __init__(self, admission: Admission, *, grace: float = GRACE) -> None:
        self._admission = admission
        self._grace = grace
        self._workers: dict[str, _Worker] = {}
        self._waiting: dict[int, str] = {}  # the workers with a request that waits, by its key, in order
        self._eager: dict[str, None] = {}  # the workers that want permits ahead, the next one first
        self._latest_key = 0
        self.granted = 0
        self.answered = 0

    @property
    def workers(self) -> int:
        """The number of workers that have reported and are not lost."""
        return len(self._workers)

    @property
    def held(self) -> int:
        """The number of permits that are not settled: their requests run, or have not begun."""
        return sum(len(worker.held) for worker in self._workers.values())

    def report(self, name: str, report: Report, now: float) -> None:
        """Take in what a worker tells.  What it wants replaces what it has wanted before."""
        worker = self._workers.setdefault(name, _Worker())
        worker.heard_at = now
        worker.is_open = True
        for permit in report.sent_now:
            answer = self._admission.ask_now(permit.estimate, now)
            if isinstance(answer, Admitted):
                worker.held[permit.number] = answer.reservation
        for number, usage in report.settled:
            if (reservation := worker.held.pop(number, None)) is not None:
                self._admission.settle(reservation, usage, now)
        for number in report.unknown:
            if (reservation := worker.held.pop(number, None)) is not None:
                self._admission.settle_unknown(reservation, now)
        for wait in report.limited:
            self._admission.limited(now, wait)
        if report.told is not None:
            self._admission.told(report.told, now)
        worker.ahead, worker.similar = report.ahead, report.similar
        if report.ahead:
            self._eager.setdefault(name)
        else:
            self._eager.pop(name, None)
        if report.waiting is None:
            self._no_longer_waits(worker)
            return
        worker.waiting = report.waiting
        if not worker.key:  # else the worker keeps its place
            self._latest_key += 1
            worker.key = self._latest_key
            self._waiting[worker.key] = name

    def answers(self, now: float) -> tuple[list[Answered], float]:
        """Return the answers that are due, and when to call again."""
        self._lapse(now)
        next_at = self._grant(now)
        linger = max(_LINGER, _LINGER_FOR_EACH * len(self._workers))
        hold = max(_HOLD, _HOLD_FOR_EACH * len(self._workers)) * (1 if next_at == math.inf else _HOLD_FOR_TIME)
        answers = []
        for name, worker in self._workers.items():
            if not worker.is_open:
                continue
            has_some = worker.permits or worker.refusal is not None
            due_at = worker.heard_at + (linger if has_some else hold)
            if worker.refusal is None and (worker.key or worker.ahead) and due_at > now:
                next_at = min(next_at, due_at)
                continue
            answers.append(Answered(name, Grant(tuple(worker.permits), worker.refusal)))
            self.answered += 1
            worker.is_open = False
            worker.permits, worker.refusal = [], None
            worker.ahead = 0  # a request that waits keeps its place
            self._eager.pop(name, None)
        return answers, next_at

    def gone(self, name: str, now: float) -> None:
        """Forget a worker that is lost or has ended."""
        worker = self._workers.pop(name, None)
        if worker is None:
            return
        self._eager.pop(name, None)
        self._no_longer_waits(worker)
        for permit in worker.permits:  # the worker has never got these
            self._admission.settle(worker.held.pop(permit.number), None, now)
        for reservation in worker.held.values():
            self._admission.settle_unknown(reservation, now)

    def _grant(self, now: float) -> float:
        """Grant what may be granted now; return when there may be more, infinity if no more is wanted."""
        for key, name in tuple(self._waiting.items()):
            worker = self._workers[name]
            answer = self._ask(worker, key, worker.waiting, now)
            if isinstance(answer, Wait):
                return answer.until
            if isinstance(answer, Refused):
                worker.refusal = answer.error
            del self._waiting[key]
            worker.key = 0
        while self._eager:
            name = next(iter(self._eager))
            worker = self._workers[name]
            answer = self._ask(worker, 0, worker.similar, now)
            if isinstance(answer, Wait):
                return answer.until
            worker.ahead = 0 if isinstance(answer, Refused) else worker.ahead - 1
            del self._eager[name]
            if worker.ahead:
                self._eager[name] = None  # after the others
        return math.inf

    def _ask(self, worker: _Worker, key: int, estimate: Estimate, now: float) -> Answer:
        answer = self._admission.ask(key, estimate, now)
        if isinstance(answer, Admitted):
            permit = Permit(*answer.reservation)
            worker.held[permit.number] = answer.reservation
            worker.permits.append(permit)
            self.granted += 1
        return answer

    def _no_longer_waits(self, worker: _Worker) -> None:
        if worker.key:
            del self._waiting[worker.key]
            self._admission.forget(worker.key)
            worker.key = 0

    def _lapse(self, now: float) -> None:
        for name in [name for name, worker in self._workers.items() if now - worker.heard_at > self._grace]:
            self.gone(name, now)
