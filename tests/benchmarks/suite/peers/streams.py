"""What the programs with many streams share: how many connections they have, and their figures."""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ..orders import Order

LANES = 16  # streams of a connection
EDGE = 5  # no latency is measured in the first and the last fifth, where all streams begin and end at once


def connections(streams: int) -> int:
    return -(-streams // LANES)


class Latencies:
    """The times from the server's write of a delta until the program has its text, in nanoseconds."""

    def __init__(self) -> None:
        self._values: list[int] = []

    def note(self, text: str) -> None:
        """Note the latency of a delta, whose text is the time at which it was written."""
        self._values.append(time.monotonic_ns() - int(text))

    def figures(self, count: int) -> dict[str, float]:
        """Return median and 99th percentile in microseconds, and check the number of deltas."""
        assert len(self._values) == count, len(self._values)
        values = sorted(self._values[count // EDGE : -(count // EDGE)])
        return {"p50": values[len(values) // 2] / 1000, "p99": values[len(values) * 99 // 100] / 1000}


class Counts:
    """The deltas of each stream, and the events a second of all streams, from the first request on."""

    def __init__(self, streams: int, order: Order, responses: int) -> None:
        self.deltas = [0] * streams
        self.wrong: list[str] = []
        """Deltas that came out of order, or on another stream."""
        self._expected = [order.deltas * responses] * streams
        self._responses = streams * responses
        self._started = self._busy = 0.0

    def start(self) -> None:
        """Start the clock, before the first request: how often a program has to send one is the same for all."""
        self._started, self._busy = time.perf_counter(), time.process_time()

    def figures(self) -> tuple[float, float]:
        """Return the events a second until now, and those in a second of processor time."""
        seconds, busy = time.perf_counter() - self._started, time.process_time() - self._busy
        assert not self.wrong, self.wrong[:5]
        assert self.deltas == self._expected, self.deltas
        events = sum(self.deltas) + self._responses  # each response has its end too
        return events / seconds, events / busy


def resident() -> int:
    """Return the resident memory in bytes, after a collection."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def memory(streams: int, start: int, connected: int, running: int) -> dict[str, float]:
    """Return the bytes of a connection, of a response in flight, and of both together for each response."""
    return {
        "connection": (connected - start) / connections(streams),
        "response": (running - connected) / streams,
        "all": (running - start) / streams,
    }


def paced(streams: int, rate: float, seconds: float) -> Order:
    return Order(max(EDGE, round(rate * seconds)), streams, _run(streams), rate)


def blast(streams: int, total: int) -> tuple[Order, Order, int]:
    """Return the order of the first response of a stream, that of the next ones, and how many responses it has.

    All responses have the same length, so that one stream has as many beginnings and ends as thousands have.  The first
    responses of all streams begin together.
    """
    deltas = min(total, 200)
    first = Order(deltas, streams, _run(streams))
    return first, Order(deltas), max(1, total // (deltas * streams))


def held(streams: int) -> Order:
    return Order(5, streams, _run(streams), hold=True)


def shown(rates: Sequence[tuple[float, float]], streams: Sequence[int]) -> str:
    """Return the figures of a program, by the number of streams."""
    pairs = list(zip(streams, rates, strict=True))
    figures = {str(count): rate for count, (rate, _) in pairs} | {f"busy {count}": busy for count, (_, busy) in pairs}
    return json.dumps(figures)


def _run(streams: int) -> str:
    return f"{os.getpid()}.{streams}"


def arguments() -> tuple[str, str, list[float]]:
    """Return the measurement, the URL, and its numbers."""
    return sys.argv[1], sys.argv[2], [float(word) for word in sys.argv[3:]]
