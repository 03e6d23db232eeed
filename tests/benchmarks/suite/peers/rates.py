"""The rates of some responses, one after the other on one connection, as the programs print them."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from typing import Any


class Clock:
    """Counts the values of one response, from the first on."""

    def __init__(self) -> None:
        self.count = 0
        self.rate = 0.0
        """Values a second; the first value only starts the clock."""
        self.busy_rate = 0.0
        """Values in a second of processor time of this process, which other programs on the machine hardly change."""
        self._first = self._busy = 0.0

    def tick(self, _value: Any = None) -> None:
        if not self.count:
            self._first, self._busy = time.perf_counter(), time.process_time()
        self.count += 1

    def stop(self, count: int) -> None:
        """Take the time at the end of the response, and check how many values there were."""
        self.rate = (self.count - 1) / (time.perf_counter() - self._first)
        self.busy_rate = (self.count - 1) / (time.process_time() - self._busy)
        assert self.count == count, f"{self.count} values, not {count}"


def shown(clocks: Sequence[Clock]) -> str:
    """Return the figures of a program: an interpreter that compiles while it runs is quicker at later responses."""
    first, *later = clocks
    rates = [clock.rate for clock in later or clocks]
    return json.dumps({"first": first.rate, "later": statistics.median(rates), "busy": first.busy_rate})
