"""Fewer requests at once, after the server has asked for that: a rule without a clock of its own."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from ..backoff import Backoff


class RateLimit:
    """Let so many requests run as the server's rate limit seems to bear.

    At a rate limit everything waits, for as long as the server says, else for a growing delay; then
    half as many requests may run at once as did, and one more whenever as many have succeeded.  `limits`
    counts the rate limits: what was sent before the latest one tells nothing new of it.
    """

    def __init__(self, backoff: Backoff, *, draw: Callable[[], float] = random.random) -> None:
        self._backoff = backoff
        self._draw = draw
        self._strikes = 0
        self.limits = 0
        self.limit = math.inf
        self.resumes_at = -math.inf

    def limited(self, now: float, active: int, hint: float | None, *, limits: int) -> None:
        """Take in that the server refused a request at a rate limit while `active` ran.

        `hint` is what it said of the time to wait, `limits` how many there had been when the request was sent.
        """
        if limits == self.limits and now >= self.resumes_at:
            # Once for all that were on their way: they are refused together.
            self.limits += 1
            self._strikes += 1
            self.limit = max(1, min(self.limit, active) // 2)
        self.resumes_at = max(self.resumes_at, now + self._backoff.delay(self._strikes, hint, draw=self._draw))

    def succeeded(self, wanted: int, *, limits: int) -> None:
        """Take in that a request was answered while there were `wanted`, running or waiting, itself included."""
        if limits < self.limits:
            return
        self._strikes = 0
        if self.limit < math.inf:
            self.limit += 1 / self.limit
            if self.limit > 2 * wanted + 16:  # far from what is wanted: it limits nothing any more
                self.limit = math.inf

    def allows(self, now: float, active: int) -> bool:
        """Whether one more request may be sent while `active` run."""
        return now >= self.resumes_at and active < self.limit

    def pause(self, now: float) -> float | None:
        """Return the seconds until anything may be sent again, `None` when that is now."""
        return self.resumes_at - now if now < self.resumes_at else None
