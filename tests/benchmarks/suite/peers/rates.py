"""The rates of some responses, one after the other on one connection, as the programs print them."""

from __future__ import annotations

import json
import statistics
import time
from typing import Any


class Clock:
    """Counts the values of one response, from the first on."""

    def __init__(self) -> None:
        self.count = 0
        self._first = 0.0

    def tick(self, _value: Any = None) -> None:
        if not self.count:
            self._first = time.perf_counter()
        self.count += 1

    def rate(self) -> float:
        """Return the values a second until now; the first one only starts the clock."""
        return (self.count - 1) / (time.perf_counter() - self._first)


def shown(rates: list[float]) -> str:
    """Return the figures of a program: an interpreter that compiles while it runs is quicker at later responses."""
    return json.dumps({"first": rates[0], "later": statistics.median(rates[1:] or rates)})
