"""How many requests may run at once after the server has reported a rate limit; the caller passes the time."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from ..backoff import Backoff


class RateLimit:
    """Let as many requests run at once as the server's rate limit seems to allow.

    When the server reports a rate limit, nothing is sent for as long as the server says, or for a growing delay.
    Then half as many requests may run at once as ran before, and one more each time that as many have succeeded.

    `hits` counts the rate limits.  The answer to a request that was sent before the latest hit says nothing about
    the time after it, so each request remembers the count at which it was sent.
    """

    def __init__(self, backoff: Backoff, *, draw: Callable[[], float] = random.random) -> None:
        self._backoff = backoff
        self._draw = draw
        self._hits_in_a_row = 0
        self.hits = 0
        self.error: Exception | None = None  # the latest refusal, until a request that was sent after it is answered
        self.max_active = math.inf
        self.resumes_at = -math.inf

    def limited(
        self,
        now: float,
        active: int,
        requested_wait: float | None,
        *,
        hits_when_sent: int,
        error: Exception | None = None,
    ) -> None:
        """Slow down: the server refused a request at a rate limit, with `error`, while `active` requests ran.

        `requested_wait` are the seconds that the server asks to wait, if it says so.
        """
        self.error = error
        if hits_when_sent == self.hits and now >= self.resumes_at:
            # The requests that were on their way are refused together: that is one hit.
            self.hits += 1
            self._hits_in_a_row += 1
            self.max_active = max(1, min(self.max_active, active) // 2)
        delay = self._backoff.delay(self._hits_in_a_row, requested_wait, draw=self._draw)
        self.resumes_at = max(self.resumes_at, now + delay)

    def told(self, now: float, requested_wait: float) -> None:
        """Send nothing for a while: the server says that a limit is used up, before it has refused any request."""
        self.resumes_at = max(self.resumes_at, now + requested_wait)

    def succeeded(self, wanted: int, *, hits_when_sent: int) -> None:
        """Speed up: a request was answered while `wanted` requests ran or waited, this one included."""
        if hits_when_sent < self.hits:
            return
        self._hits_in_a_row = 0
        self.error = None
        if self.max_active < math.inf:
            self.max_active += 1 / self.max_active
            if self.max_active > 2 * wanted + 16:  # far more than is wanted
                self.max_active = math.inf

    def allows(self, now: float, active: int) -> bool:
        """Whether one more request may be sent while `active` requests run."""
        return now >= self.resumes_at and active < self.max_active

    def remaining_pause(self, now: float) -> float | None:
        """Return the seconds until requests may be sent again, `None` if that is now."""
        return self.resumes_at - now if now < self.resumes_at else None
