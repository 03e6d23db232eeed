"""What all workers have done, in one place."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any

from ..run import Result

WINDOW = 10.0  # seconds over which the rate is counted


class Metrics:
    """Counts results of any number of workers; `clock` returns seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._start = clock()
        self._recent: deque[tuple[float, int]] = deque()  # times, and how many results then
        self._recent_count = 0
        self.answered = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.errors: Counter[str] = Counter()  # by the name of the class
        self.lost_workers = 0

    def add(self, result: Result) -> None:
        """Count a result."""
        usage = (result.response or {}).get("usage")
        if not isinstance(usage, Mapping):
            usage = {}
        self.count(
            None if result.error is None else type(result.error).__name__,
            _whole(usage.get("input_tokens")),
            _whole(usage.get("output_tokens")),
        )

    def count(self, error: str | None, input_tokens: int, output_tokens: int, requests: int = 1) -> None:
        """Count requests that ended alike: with an answer, or with the error of this class."""
        if error is None:
            self.answered += requests
        else:
            self.errors[error] += requests
        self.count_tokens(input_tokens, output_tokens)
        now = self._clock()
        if self._recent and self._recent[-1][0] == now:
            self._recent[-1] = (now, self._recent[-1][1] + requests)
        else:
            self._recent.append((now, requests))
        self._recent_count += requests
        self._forget(now)

    def count_tokens(self, input_tokens: int, output_tokens: int) -> None:
        """Count what answers have used."""
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens

    def _forget(self, now: float) -> None:
        while self._recent and self._recent[0][0] <= now - WINDOW:
            self._recent_count -= self._recent.popleft()[1]

    @property
    def rate(self) -> float:
        """Results a second in the latest 10 s, or since the start if that is later."""
        now = self._clock()
        self._forget(now)
        seconds = min(WINDOW, now - self._start)
        return self._recent_count / seconds if seconds > 0 else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the counts, and the rate now."""
        failed = sum(self.errors.values())
        return {
            "requests": self.answered + failed,
            "answered": self.answered,
            "failed": failed,
            "errors": dict(self.errors),
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "rate": self.rate,
            "lost_workers": self.lost_workers,
        }


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
