"""`SharedGate`: limits and a budget for all workers of a cluster, in a named actor."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from ...errors import ConfigurationError
from ...limits.budget import Budget
from ...limits.gate import Gate
from ...limits.leases import Leases
from ...limits.limits import Limits
from ...limits.local import LocalAdmission
from ...limits.permits import Grant, Report
from ...limits.prices import Prices
from .admission import LeasedAdmission
from .cluster import first_line, import_ray
from .lost import GateLostError
from .metrics import Metrics

_NAMESPACE = "rxresponses"


class GateServer:
    """The gate in its own process: answers the reports of the workers on an event loop."""

    def __init__(self, limits: Limits, budget: Mapping[str, Any]) -> None:
        self._budget = Budget(**budget)
        self._leases = Leases(LocalAdmission(Gate(limits), self._budget))
        self._calls: dict[str, asyncio.Future[Grant]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._metrics = Metrics()

    async def exchange(self, worker: str, report: Report) -> Grant:
        """Take in the report of a worker; return the answer when it is due."""
        loop = asyncio.get_running_loop()
        call: asyncio.Future[Grant] = loop.create_future()
        self._calls[worker] = call
        self._leases.report(worker, report, loop.time())
        self._turn()
        return await call

    async def gone(self, worker: str) -> None:
        """Forget a worker that has ended or is lost."""
        self._calls.pop(worker, None)
        self._leases.gone(worker, asyncio.get_running_loop().time())
        self._turn()

    async def stop(self) -> None:
        """Admit nothing more; what runs finishes."""
        self._budget.stop()
        self._turn()

    async def count(self, ends: Mapping[str | None, int], input_tokens: int, output_tokens: int) -> None:
        """Count requests by the names of their errors, `None` for answers."""
        for error, requests in ends.items():
            self._metrics.count(error, 0, 0, requests)
        self._metrics.count_tokens(input_tokens, output_tokens)

    async def terms(self) -> tuple[Prices | None, bool]:
        """Return the prices of the budget, and whether it refuses models without one."""
        return self._budget.prices, self._budget.limits_usd

    async def metrics(self) -> dict[str, Any]:
        """Return what all workers have done, what was spent, and what the gate has done."""
        self._turn()  # some workers may have lapsed
        leases = self._leases
        spent, reserved = self._budget.spent, self._budget.reserved
        return {
            **self._metrics.to_dict(),
            "spent": spent._asdict(),
            "reserved": reserved._asdict(),
            "remaining": self._budget.remaining._asdict(),
            "in_flight": leases.held,
            "workers": leases.workers,
            "permits": leases.granted,
            "calls": leases.answered,
        }

    def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        answers, next_at = self._leases.answers(loop.time())
        for worker, grant in answers:
            call = self._calls.pop(worker, None)
            if call is not None and not call.done():
                call.set_result(grant)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if next_at == math.inf else loop.call_at(next_at, self._turn)


class SharedGate:
    """Limits a minute and a budget that all workers of a Ray cluster share.

    Make one with `start`, or find one by its name with `find`, and pass it to the workers: it can be sent to other
    processes.  It ends with the program that has started it, or with `close`.
    """

    def __init__(self, name: str, actor: Any, prices: Prices | None, needs_price: bool) -> None:
        self.name = name
        self._actor = actor
        self._prices = prices
        self._needs_price = needs_price

    def __repr__(self) -> str:
        return f"<SharedGate {self.name}>"

    @classmethod
    def start(
        cls,
        *,
        limits: Limits | None = None,
        usd: float | None = None,
        tokens: int | None = None,
        requests: int | None = None,
        prices: Prices | None = None,
        name: str | None = None,
    ) -> SharedGate:
        """Start a gate on the machine of this program, with these limits, and a budget as that of `Budget`.

        Raises `ConfigurationError` for limits that cannot be used, for a name that is taken, or without Ray.
        """
        given = {"usd": usd, "tokens": tokens, "requests": requests, "prices": prices}
        budget = Budget(**given)  # type: ignore[arg-type]  # checks them here
        ray = import_ray()
        name = name or f"rxresponses-gate-{uuid4().hex}"
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        # Another process could not know what was spent, so Ray must not start the gate again.
        options = {"name": name, "namespace": _NAMESPACE, "num_cpus": 0, "max_restarts": 0, "scheduling_strategy": here}
        try:
            actor = ray.remote(GateServer).options(**options).remote(limits or Limits(), given)
        except ValueError as error:  # the only one that it raises for these options
            raise ConfigurationError(f"the cluster has a gate named {name!r} already: take another name") from error
        return cls(name, actor, budget.prices, budget.limits_usd)

    @classmethod
    def find(cls, name: str) -> SharedGate:
        """Find a gate that another program has started on the same cluster.

        Raises `ConfigurationError` if there is none of this name.
        """
        ray = import_ray()
        try:
            actor = ray.get_actor(name, namespace=_NAMESPACE)
        except ValueError as error:
            raise ConfigurationError(f"the cluster has no gate named {name!r}") from error
        return cls(name, actor, *_get(ray, actor.terms.remote()))

    def admission(self, worker: str | None = None) -> LeasedAdmission:
        """Return the admission of a client in this process, for the worker of this name."""
        ray = import_ray()
        worker = worker or uuid4().hex
        actor = self._actor

        def exchange(report: Report) -> Grant:
            grant: Grant = _get(ray, actor.exchange.remote(worker, report))
            return grant

        return LeasedAdmission(exchange, prices=self._prices, needs_price=self._needs_price)

    def gone(self, worker: str) -> None:
        """Tell the gate that a worker has ended, so that what it held counts at once."""
        self._actor.gone.remote(worker)

    def count(self, ends: Mapping[str | None, int], input_tokens: int, output_tokens: int) -> None:
        """Count requests by the names of their errors, `None` for answers; return at once."""
        self._actor.count.remote(ends, input_tokens, output_tokens)

    def stop(self) -> None:
        """Admit nothing more; what runs finishes."""
        _get(import_ray(), self._actor.stop.remote())

    def metrics(self) -> dict[str, Any]:
        """Return what all workers have done, what was spent, and what the gate has done."""
        metrics: dict[str, Any] = _get(import_ray(), self._actor.metrics.remote())
        return metrics

    def close(self) -> None:
        """End the process of the gate; workers then get `GateLostError`."""
        import_ray().kill(self._actor)


def _get(ray: Any, reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        raise GateLostError(first_line(error)) from error
