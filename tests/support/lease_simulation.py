"""Workers under one gate on virtual time: the real rules, with delays and answers that a random generator draws."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from rxresponses.errors import ResponsesError
from rxresponses.limits.admission import Admission, Admitted, Estimate, Refused, Reservation
from rxresponses.limits.leases import Leases
from rxresponses.limits.permits import Grant, Permits, Report
from rxresponses.wire.models import ResponseUsage


@dataclass
class Sent:
    """A request that was sent."""

    at: float
    worker: int
    estimate: Estimate
    used: int  # tokens
    waited: float


@dataclass
class Worker:
    """A worker with requests without end, until one is refused; up to `concurrency` of them at once."""

    number: int
    name: str
    permits: Permits
    running: dict[int, tuple[Reservation, int]] = field(default_factory=dict)
    key: int = 0  # of the request that comes next
    estimate: Estimate = field(default_factory=lambda: Estimate(0, 0))
    asked_at: float | None = None  # when that request was asked for first
    is_calling: bool = False
    is_lost: bool = False
    refusals: list[ResponsesError] = field(default_factory=list)


class Simulation:
    """Runs workers until `seconds` have passed."""

    def __init__(
        self,
        admission: Admission,
        *,
        workers: int,
        concurrency: int,
        seed: int,
        service: tuple[float, float] = (0.5, 2.0),
        delay: tuple[float, float] = (0.0005, 0.005),
        tokens: tuple[int, int] = (50, 500),
        unsent: float = 0.0,
    ) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.admission = admission
        self.leases = Leases(admission)
        self.sent: list[Sent] = []
        self.calls = 0
        self.waits = True  # whether the workers have more requests
        self._concurrency = concurrency
        self._service, self._delay, self._tokens, self._unsent = service, delay, tokens, unsent
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._gate_at = float("inf")
        self.workers = [Worker(number, f"worker {number}", Permits()) for number in range(workers)]
        for worker in self.workers:
            self._next_request(worker)
            self._after(self.random.random() * 0.1, worker, self._go_on)

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self.now + seconds
        while self._events and self._events[0][0] <= end:
            self.now, _, act = heapq.heappop(self._events)
            act()
        self.now = end

    def lose(self, worker: Worker, *, told: bool) -> None:
        """Let a worker die; with `told`, the gate is told of it."""
        worker.is_lost = True
        if told:
            self.leases.gone(worker.name, self.now)
            self._turn()

    def _at(self, at: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (at, next(self._order), act))

    def _after(self, seconds: float, worker: Worker, act: Callable[[Worker], None]) -> None:
        self._at(self.now + seconds, lambda: None if worker.is_lost else act(worker))

    def _next_request(self, worker: Worker) -> None:
        worker.key += 1
        worker.asked_at = None
        worker.estimate = Estimate(self.random.randint(*self._tokens), self.random.randint(*self._tokens))

    def _go_on(self, worker: Worker) -> None:
        while self.waits and not worker.refusals and len(worker.running) < self._concurrency:
            worker.asked_at = self.now if worker.asked_at is None else worker.asked_at
            answer = worker.permits.ask(worker.key, worker.estimate, self.now)
            if isinstance(answer, Refused):
                worker.refusals.append(answer.error)
                break
            if isinstance(answer, Admitted):
                self._send(worker, answer.reservation)
            else:
                break
            self._next_request(worker)
        self._call(worker)

    def _send(self, worker: Worker, reservation: Reservation) -> None:
        if self.random.random() < self._unsent:
            worker.permits.settle(reservation, None, self.now)
            return
        assert worker.asked_at is not None
        estimate = worker.estimate
        used = round(estimate.tokens * self.random.uniform(0.5, 1.5))
        self.sent.append(Sent(self.now, worker.number, estimate, used, self.now - worker.asked_at))
        worker.running[worker.key] = reservation, used
        key = worker.key

        def end(worker: Worker) -> None:
            reservation, used = worker.running.pop(key)
            usage = ResponseUsage(input_tokens=used, output_tokens=0, total_tokens=used)
            worker.permits.settle(reservation, usage, self.now)
            self._go_on(worker)

        self._after(self.random.uniform(*self._service), worker, end)

    def _call(self, worker: Worker) -> None:
        """Report, if that is due; else come back when it is."""
        if worker.is_calling:
            return
        due_at = worker.permits.next_report_at(self.now)
        if due_at > self.now:
            if due_at < float("inf"):
                self._at(due_at, lambda: None if worker.is_lost else self._call(worker))
            return
        worker.is_calling = True
        self.calls += 1
        report = worker.permits.report(self.now)
        # What was under way when a worker died arrives all the same.
        self._at(self.now + self.random.uniform(*self._delay), lambda: self._arrive(worker, report))

    def _arrive(self, worker: Worker, report: Report) -> None:
        self.leases.report(worker.name, report, self.now)
        self._turn()

    def _turn(self) -> None:
        answers, next_at = self.leases.answers(self.now)
        for name, grant in answers:
            worker = self.workers[int(name.split()[1])]

            def take(worker: Worker, grant: Grant = grant) -> None:
                worker.is_calling = False
                worker.permits.granted(grant, self.now)
                self._go_on(worker)

            self._after(self.random.uniform(*self._delay), worker, take)
        next_at = max(next_at, self.now + 1e-6)
        if next_at < self._gate_at or self._gate_at <= self.now:
            self._gate_at = next_at
            if next_at < float("inf"):
                self._at(next_at, self._turn)

    # What came of it.

    def most_in_a_window(self, seconds: float = 10.0, *, tokens: bool = False) -> int:
        """Return the most requests, or estimated tokens, that were sent in any window of so many seconds."""
        most = total = start = 0
        for sent in self.sent:
            total += sent.estimate.tokens if tokens else 1
            while self.sent[start].at <= sent.at - seconds:
                total -= self.sent[start].estimate.tokens if tokens else 1
                start += 1
            most = max(most, total)
        return most
