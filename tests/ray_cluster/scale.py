"""`python -m tests.ray_cluster.scale [--output docs]`: how far a batch on a cluster goes; with figures and a page."""

from __future__ import annotations

import argparse
import datetime
import gc
import json
import math
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rxresponses import Limits
from rxresponses.batch.lines import task_of
from rxresponses.batch.ray.cluster import RayWorkers, cluster
from rxresponses.batch.ray.gate import SharedGate
from rxresponses.batch.ray.run import RayRun
from rxresponses.batch.ray.settings import ClientSettings, RunSettings
from rxresponses.limits.admission import Admitted, Estimate
from rxresponses.limits.gate import Gate
from rxresponses.limits.leases import Leases
from rxresponses.limits.local import LocalAdmission
from rxresponses.limits.permits import Grant, Permit, Permits, Report
from rxresponses.wire.models import ResponseUsage
from tests.benchmarks.suite.machine import machine, own_version

from ..support.lease_simulation import Simulation
from .servers import servers

WORKERS = (1, 2, 4, 8)
IN_FLIGHT = 16  # of each worker
SIMULATED_IN_FLIGHT = 64  # of each worker
SIMULATED_SECONDS = 30.0
ONE = Estimate(100, 100)
USAGE = ResponseUsage(input_tokens=90, output_tokens=110, total_tokens=200)


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print, and write the files that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=300, help="lines of a run for each worker (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--output", type=Path, help="the folder for scale.json and scale.md")
    settings = parser.parse_args(words)
    report: dict[str, Any] = {"date": datetime.date.today().isoformat(), "machine": machine()}
    report["versions"] = {name: own_version(name) for name in ("rxresponses", "ray", "websockets", "msgspec")}
    report["rules"] = rules()
    report["simulation"] = [simulate(rpm) for rpm in (6_000, 60_000, 300_000)]
    report["workers"], report["gate"] = on_ray(settings.lines, settings.rounds)
    print(json.dumps(report, indent=1))
    if settings.output is not None:
        (settings.output / "scale.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", "utf-8")
        (settings.output / "scale.md").write_text(page(report), "utf-8")


# The rules alone.


def rules(*, permits: int = 20_000, rounds: int = 5) -> dict[str, float]:
    """Return the processor time of the rules for a permit, in microseconds: the best of the rounds."""
    return {
        "worker": min(_worker_rules(permits) for _ in range(rounds)),
        "gate": min(_gate_rules(8, permits) for _ in range(rounds)),
    }


def _worker_rules(permits: int, at_once: int = 50) -> float:
    held = Permits()
    number = 0
    gc.collect()
    start = time.process_time()
    for _ in range(permits // at_once):
        held.granted(Grant(tuple(Permit(number + index, ONE) for index in range(at_once))), 0.0)
        for index in range(at_once):
            answer = held.ask(number + index, ONE, 0.0)
            assert isinstance(answer, Admitted)
            held.settle(answer.reservation, USAGE, 0.0)
        number += at_once
        held.report(1.0 * number)
    return (time.process_time() - start) / permits * 1e6


def _gate_rules(wanted: int, permits: int) -> float:
    """Return the time for a permit of the gate, with reports of 8 workers that want so many at once."""
    leases = Leases(LocalAdmission(Gate(Limits(requests_per_minute=1e9))))
    settled: tuple[tuple[int, ResponseUsage | None], ...] = ()
    gc.collect()
    start = time.process_time()
    for turn in range(permits // wanted):
        name = f"worker {turn % 8}"
        leases.report(name, Report(None, wanted, ONE, settled=settled), turn * 0.01)
        for _, grant in leases.answers(turn * 0.01 + 0.005)[0]:
            settled = tuple((permit.number, USAGE) for permit in grant.permits)
    return (time.process_time() - start) / permits * 1e6


def simulate(rpm: int, workers: int = 100, seconds: float = SIMULATED_SECONDS) -> dict[str, float]:
    """Return what 100 workers make of one gate, on virtual time."""
    simulation = Simulation(
        LocalAdmission(Gate(Limits(requests_per_minute=rpm))), workers=workers, concurrency=SIMULATED_IN_FLIGHT, seed=1
    )
    simulation.run(seconds)
    shares = Counter(sent.worker for sent in simulation.sent)
    sent = len(simulation.sent)
    return {
        "workers": workers,
        "rpm": rpm,
        "used": sent / (rpm / 60 * seconds),
        "most": simulation.most_in_a_window() / (rpm / 6),
        "calls": simulation.calls / sent,
        "least_share": min(shares[number] for number in range(workers)) / (sent / workers),
        "largest_share": max(shares.values()) / (sent / workers),
        "longest_wait": max(request.waited for request in simulation.sent),
    }


# On Ray.


def on_ray(lines: int, rounds: int) -> tuple[list[dict[str, float]], dict[str, float]]:
    """Return the rates of 1, 2, 4 and 8 workers, and what a permit costs through the actor."""
    with tempfile.TemporaryDirectory() as folder, cluster("local", max(WORKERS)) as ray:
        gate = _gate_calls(ray)
        with servers(Path(folder), 2, interval=0.02) as running:
            urls = [server.url for server in running]
            runs = [(count, _run(ray, urls, count, lines * count)) for _ in range(rounds) for count in WORKERS]
    measured = []
    for count in WORKERS:
        mine = [run for workers, run in runs if workers == count]
        measured.append(
            {"workers": count, **{name: statistics.median(run[name] for run in mine) for name in ("rate", "driver")}}
        )
    return measured, gate


def _run(ray: Any, urls: list[str], count: int, lines: int) -> dict[str, float]:
    client = ClientSettings(url=urls, api_key="key", concurrency=IN_FLIGHT)
    run = RayRun(RayWorkers(ray, [RunSettings(client=client)] * count), count=count, ahead=2 * IN_FLIGHT)
    tasks = (task_of(number, b'"question %d"' % number, "m") for number in range(1, lines + 1))
    ended: list[float] = []
    cpu = math.nan
    for result in _results(run, tasks):
        assert result.error is None, result.error
        if not ended:
            cpu = time.process_time()
        ended.append(time.perf_counter())
    driver = (time.process_time() - cpu) / lines * 1e6
    # Without the start, and without the end, in which some workers have nothing to do.
    first, last = len(ended) // 10, len(ended) * 8 // 10
    return {"rate": (last - first) / (ended[last] - ended[first]), "driver": driver}


def _results(run: RayRun, tasks: Any) -> Iterator[Any]:
    return (result for result in run.results(tasks) if result is not None)


def _gate_calls(ray: Any, calls: int = 300) -> dict[str, float]:
    gate = SharedGate.start()
    permits = 8
    settled: tuple[tuple[int, ResponseUsage | None], ...] = ()
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        grant = ray.get(gate._actor.exchange.remote("worker", Report(None, permits, ONE, settled=settled)))
        times.append(time.perf_counter() - start)
        settled = tuple((permit.number, USAGE) for permit in grant.permits)
    gate.close()
    return {"call": statistics.median(times) * 1e3, "slow_call": sorted(times)[int(calls * 0.95)] * 1e3}


def page(report: dict[str, Any]) -> str:
    """Return the page."""
    rates = report["workers"]
    one = rates[0]["rate"]
    busy = report["simulation"][-1]
    workers = "\n".join(
        f"| {row['workers']:.0f} | {row['rate']:,.0f} | {row['rate'] / one:.2f} | {row['driver']:,.0f} |"
        for row in rates
    )
    simulated = "\n".join(
        f"| {row['rpm']:,} | {row['used']:.1%} | {row['most']:.1%} | {row['calls']:.2f} | {row['least_share']:.2f} to "
        f"{row['largest_share']:.2f} | {row['longest_wait'] * 1000:,.0f} ms |"
        for row in report["simulation"]
    )
    rules, gate, computer = report["rules"], report["gate"], report["machine"]
    driver = statistics.median(row["driver"] for row in rates)
    return f"""# Scale

How far a batch on a [Ray cluster](how-to/ray.md) goes, as measured.
`python -m tests.ray_cluster.scale --output docs` has written this page.

## Workers on one machine

Each worker has {IN_FLIGHT} requests in flight, and two servers on the same machine send the events of a response
20 ms apart. So a single worker mostly waits for the servers, and more workers help until the processors are busy.
This machine has {computer["cores"]}. The servers, the driver and all workers share them: that is what stops the rate
from growing here, and no rule of the batch.

| Workers | Lines a second | Ratio to one worker | Processor time of the driver for a line (µs) |
|---|---|---|---|
{workers}

The driver alone reads the lines and writes the results, so it is what ends first on a cluster of many machines:
with {_about(driver)} µs for a line, without the writing, one core is busy at about {_about(1e6 / driver)} lines a
second. Where a response takes 10 s, that is {_about(1e7 / driver)} requests in flight. For more, split the input into
several files. With [Ray Data](how-to/ray.md) no driver is in the way of the rows.

## One gate for all workers

A worker asks the gate for several permits at once and in advance, so a permit of a busy worker costs less than one
call.

| | |
|---|---|
| Rules of a worker for a permit and its settlement (processor time) | {rules["worker"]:.1f} µs |
| Rules of the gate for the same, 8 permits a report (processor time) | {rules["gate"]:.1f} µs |
| A call of the gate on this machine, median | {gate["call"]:.1f} ms |
| The same, of which 95% are faster | {gate["slow_call"]:.1f} ms |

The gate is one process: by its rules alone it ends at about {_about(1e6 / rules["gate"])} permits a second. A call of
Ray costs more than the rules. So the more workers there are, the longer the gate gathers permits for each of them: it
answers about 1,000 reports a second at most.

## A simulation: 100 workers under one gate

This is a simulation on virtual time, not a measurement: the real rules of workers and gate, calls of 0.5 to 5 ms each
way, {SIMULATED_IN_FLIGHT} requests in flight for each worker, answers after 0.5 to 2 s, {SIMULATED_SECONDS:.0f} s.
The shares are those of the worker with the fewest and with the most requests, relative to an equal share.

| Limit a minute | Used | Most in any 10 s, of the limit | Calls for a request | Shares | Longest wait for a permit |
|---|---|---|---|---|---|
{simulated}

At {busy["rpm"]:,} requests a minute a permit costs {busy["calls"]:.2f} calls. When the limit is low, each request waits
for its turn anyway, and a call for each request does not slow it.

## Where it ends

- **The rate.** A permit may be used for 0.1 s after it has come to the worker, and it counts from the grant. So
  10 s may have 1% more than the limit by that, and 0.1% for each 10 ms from the grant until the permit has come.
  The gate itself stays 1% below the limit.
- **The budget.** It is exceeded by no more than what running requests use beyond their estimates. Permits in advance
  reserve as well; near the end of the budget, workers wait for 0.1 s or a little more until these have come back.
- **A lost worker.** What it held counts as estimated, although some of it was not sent.
- **A lost gate.** Nothing more is sent, because nobody knows what was spent; the next run goes on.

{computer["processor"]}, {computer["cores"]}, {computer["system"]}, {computer.get("load", "")}.
{", ".join(f"{name} {version}" for name, version in report["versions"].items())}. {report["date"]}.
"""


def _about(value: float) -> str:
    """Return a number with two digits, as a measurement on a busy machine deserves."""
    digits = 1 - math.floor(math.log10(value))
    return f"{round(value, digits):,.0f}"


if __name__ == "__main__":
    main()
