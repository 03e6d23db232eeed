"""Connections that cannot be made: when the next one may be tried, a rule without a clock of its own."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from ..backoff import Backoff


class ReconnectBackoff:
    """The failures in a row of one kind of connection, and until when none is tried.

    Connections that were tried together, in one `round`, are one failure.
    """

    def __init__(self, backoff: Backoff, *, draw: Callable[[], float] = random.random) -> None:
        self._backoff = backoff
        self._draw = draw
        self._failures = 0
        self._told = False  # to wait is the server's wish
        self.round = 0
        self.error: Exception | None = None  # why the latest one could not be made
        self.retries_at = -math.inf
        self.given_up = False  # waiting does not help: none is tried until somebody asks again

    @property
    def is_over_the_limit(self) -> bool:
        """Whether it was tried as often as it may be."""
        return self._failures > self._backoff.max_retries

    def failed(self, now: float, hint: float | None, round: int) -> None:
        """Take in that a connection of a round could not be made; `hint` are the seconds that the server asks for."""
        if round >= self.round:
            self.round = round + 1
            self._failures += 1
            self._told = False
            self.retries_at = -math.inf
        self._told |= hint is not None
        self.retries_at = max(self.retries_at, now + self._backoff.delay(self._failures, hint, draw=self._draw))

    def opened(self) -> None:
        """Take in that one was made: whether it is of use will show."""
        self.retries_at = -math.inf
        self.given_up = False
        self.error = None

    def hurry(self) -> None:
        """Try at once for somebody who has not waited yet, unless the server asked not to."""
        if not self._told:
            self.retries_at = -math.inf

    def allows(self, now: float, coming: int) -> bool:
        """Whether another connection may be tried while so many are being made: after a failure one at a time."""
        return now >= self.retries_at and not (self._failures and coming)
