"""A batch whose requests are sent by the workers of a Ray cluster; this process alone writes the results."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ...errors import ConfigurationError
from ...limits.budget import Amount, Budget
from ..batch import Batch
from ..lines import Task
from ..progress import Progress
from ..run import AnyRun, Result
from .cluster import RayWorkers, cluster
from .gate import SharedGate
from .run import RayRun
from .settings import ClientSettings, RunSettings

_INTERVAL = 1.0  # seconds from one look at what the workers have spent to the next


class RayBatch(Batch):
    """The same as `Batch`, on `workers` workers of the Ray cluster at `address`; see `cluster`.

    `concurrency` lines are in flight on all workers together.  `workers` is by default the number of CPUs of the
    cluster, as a worker needs one.  `client` are the settings of each worker's client.
    """

    def __init__(
        self, *args: Any, address: str | None, workers: int | None, client: ClientSettings, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self._address = address
        self._workers = workers
        self._client_settings = client

    @contextmanager
    def _open_run(self, progress: Progress) -> Iterator[AnyRun]:
        if self._address is not None:
            self._note(f"connecting to the Ray cluster at {self._address}")  # Ray tries for minutes, and says nothing
        with cluster(self._address, self._workers) as ray, self._open_gate() as gate:
            count = self._workers or int(ray.cluster_resources().get("CPU", 0))
            if count < 1:
                raise ConfigurationError("the Ray cluster has no CPU for a worker")
            count = min(count, self._concurrency)
            settings = RunSettings(
                client=self._client_settings,
                timeout=self._timeout,
                failing=tuple(self._failing),
                schema=self._schema,
                schema_retries=self._schema_retries,
                gate=gate,
            )
            shares = shares_of(self._concurrency, count)
            ended: Callable[[str], None] = (lambda worker: None) if gate is None else gate.gone
            run = RayRun(
                RayWorkers(ray, [settings.with_concurrency(each) for each in shares], ended=ended),
                count=count,
                ahead=2 * shares[0],
                waits=progress.wait,
                note=self._note,
            )
            progress.show(run.__str__)
            if gate is None or self._budget is None:
                yield run
            else:
                watched = _Watched(run, gate, self._budget)
                yield watched
                watched.look()

    @contextmanager
    def _open_gate(self) -> Iterator[SharedGate | None]:
        """Start the gate of a run, with what is left of the budget."""
        if self._limits is None and self._budget is None:
            yield None
            return
        left = {} if self._budget is None else self._budget.remaining._asdict()
        prices = None if self._budget is None else self._budget.prices
        gate = SharedGate.start(limits=self._limits, prices=prices, **left)
        try:
            yield gate
        finally:
            gate.close()


def shares_of(concurrency: int, workers: int) -> list[int]:
    """Return how many lines each worker may have in flight, so that all together have `concurrency`; the most first."""
    least, more = divmod(concurrency, workers)
    return [least + 1] * more + [least] * (workers - more)


class _Watched:
    """A run that charges to the budget of this process what the gate of the workers has spent."""

    def __init__(self, run: RayRun, gate: SharedGate, budget: Budget) -> None:
        self._run = run
        self._gate = gate
        self._budget = budget
        self._charged = Amount(0.0, 0, 0)
        self._looked_at = -math.inf

    @property
    def stopping(self) -> bool:
        return self._run.stopping

    @property
    def in_flight(self) -> int:
        return self._run.in_flight

    def stop(self) -> None:
        self._run.stop()

    def results(self, tasks: Iterable[Task]) -> Iterator[Result | None]:
        for result in self._run.results(tasks):
            if time.monotonic() - self._looked_at >= _INTERVAL:
                self.look()
            yield result

    def look(self) -> None:
        """Charge what was spent since the latest look."""
        self._looked_at = time.monotonic()
        spent = Amount(**self._gate.metrics()["spent"])
        before, self._charged = self._charged, spent
        self._budget.charge(
            Amount(spent.usd - before.usd, spent.tokens - before.tokens, spent.requests - before.requests)
        )
