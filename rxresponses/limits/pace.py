"""`Pace`: how fast one amount may begin, such as requests or tokens; the caller passes the time."""

from __future__ import annotations

import math
from collections import deque

WINDOW = 10.0  # seconds
# Requests reach the server with delays that differ, so the pace stays a little below the limit.
_SHARE = 0.99
# A caller that comes late, as every timer does, may catch up by so many seconds.
_LEEWAY = 0.1
# What begins within so many seconds leaves the window together.
_STEP = 0.02


class Begun:
    """What has begun within one step."""

    __slots__ = ("amount", "at", "is_in_window")

    def __init__(self, at: float) -> None:
        self.at = at
        self.amount = 0
        self.is_in_window = True


class Pace:
    """Spread an amount over time, of which at most `per_minute` may begin in a minute.

    What begins is a debt, paid off at the rate of the limit; the next may begin when the debt is paid.  So the size of
    what wants to begin does not matter, and something large waits no longer than something small.  In any window of 10
    seconds, less than a sixth of the limit has begun when the last of it begins.

    An amount is corrected when it is known: less than estimated lets the next begin earlier.
    """

    def __init__(self, per_minute: float) -> None:
        self.per_minute = per_minute
        self._paid_at = -math.inf  # when the debt is paid
        self._begun: deque[Begun] = deque()  # within the window
        self._in_window = 0

    def ready_at(self, now: float) -> float:
        """Return when the next may begin, `now` or before if it may begin now."""
        self._leave_window(now)
        ready_at = self._paid_at - _LEEWAY
        room, left = self.per_minute * WINDOW / 60, self._in_window
        for step in self._begun:  # in whole numbers, since a float has no room for a few beside very many
            if left < room:
                break
            left -= step.amount  # it has to leave the window
            ready_at = max(ready_at, step.at + _STEP + WINDOW)
        return ready_at

    def begin(self, amount: int, now: float) -> Begun:
        """Note that something begins; return where it is noted, for `correct`."""
        if not self._begun or now >= self._begun[-1].at + _STEP:
            self._begun.append(Begun(now))
        step = self._begun[-1]
        self._paid_at = max(self._paid_at, now)
        self.correct(step, amount)
        return step

    def correct(self, step: Begun, difference: int) -> None:
        """Add a difference to an amount that has begun."""
        self._paid_at += difference * 60 / (self.per_minute * _SHARE)
        if step.is_in_window:
            step.amount += difference
            self._in_window += difference

    def change(self, per_minute: float, now: float) -> None:
        """Change the limit; the debt is paid at the new rate from now on."""
        if self._paid_at > now:
            self._paid_at = now + (self._paid_at - now) * self.per_minute / per_minute
        self.per_minute = per_minute

    def _leave_window(self, now: float) -> None:
        while self._begun and self._begun[0].at + _STEP + WINDOW <= now:
            step = self._begun.popleft()
            step.is_in_window = False
            self._in_window -= step.amount
