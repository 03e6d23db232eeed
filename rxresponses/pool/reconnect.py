"""When the next connection may be tried after one could not be made; the caller passes the time."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from ..backoff import Backoff


class ReconnectBackoff:
    """The failures in a row of the connections of one route, and until when none is tried.

    Connections that were tried together belong to the same `attempt`: if several of them fail, that is one failure.
    """

    def __init__(self, backoff: Backoff, *, draw: Callable[[], float] = random.random) -> None:
        self._backoff = backoff
        self._draw = draw
        self._failures = 0
        self._server_asked = False  # the server asked to wait
        self.attempt = 0
        self.error: Exception | None = None  # why the latest connection could not be made
        self.retry_at = -math.inf
        self.given_up = False  # waiting does not help: none is tried until a new request asks for one

    @property
    def is_exhausted(self) -> bool:
        """Whether all tries that the backoff allows have failed."""
        return self._failures > self._backoff.max_retries

    def failed(self, now: float, requested_wait: float | None, attempt: int) -> None:
        """Wait: a connection of this attempt failed; `requested_wait` are the seconds that the server asks for."""
        if attempt >= self.attempt:
            self.attempt = attempt + 1
            self._failures += 1
            self._server_asked = False
            self.retry_at = -math.inf
        self._server_asked |= requested_wait is not None
        self.retry_at = max(self.retry_at, now + self._backoff.delay(self._failures, requested_wait, draw=self._draw))

    def opened(self) -> None:
        """End the wait: a connection was made.  The failures stay counted until the connection has worked."""
        self.retry_at = -math.inf
        self.given_up = False
        self.error = None

    def skip_wait(self) -> None:
        """Let a connection be tried at once, for a request that has not waited yet, unless the server asked to wait."""
        if not self._server_asked:
            self.retry_at = -math.inf

    def allows(self, now: float, connecting: int) -> bool:
        """Whether one more connection may be tried while `connecting` are; after a failure only one at a time."""
        return now >= self.retry_at and not (self._failures and connecting)
