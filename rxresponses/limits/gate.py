"""`Gate`: when the next request may begin, by limits of requests and tokens a minute; the caller passes the time."""

from __future__ import annotations

import math
from typing import NamedTuple

from .admission import Estimate, ServerLimits
from .limits import Limits
from .pace import Begun, Pace


class Passage(NamedTuple):
    """What a request has been counted for, by unit: the pace, where it is noted, and the amount."""

    noted: tuple[tuple[str, Pace, Begun, int], ...]


class Gate:
    """Spread requests and their tokens over time, by the limits of the program and of the server.

    In any window of 10 seconds, no more than a sixth of each limit begins, and at most one request more.  What a
    request wants does not matter for when it may begin, so none is passed for ever: the caller lets the request that
    came first begin first.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        given = Limits() if limits is None else limits
        self._given = {
            "requests": given.requests_per_minute,
            "tokens": given.tokens_per_minute,
            "input_tokens": given.input_tokens_per_minute,
            "output_tokens": given.output_tokens_per_minute,
        }
        self._paces = {unit: Pace(limit) for unit, limit in self._given.items() if limit is not None}
        self._resumes_at = -math.inf

    def limit(self, unit: str) -> float | None:
        """Return the limit a minute that counts now, of `requests`, `tokens`, `input_tokens` or `output_tokens`."""
        pace = self._paces.get(unit)
        return None if pace is None else pace.per_minute

    def ready_at(self, now: float) -> float:
        """Return when the next request may begin, `now` or before if it may begin now."""
        ready_at = self._resumes_at
        for pace in self._paces.values():
            ready_at = max(ready_at, pace.ready_at(now))
        return ready_at

    def begin(self, estimate: Estimate, now: float) -> Passage:
        """Note that a request begins; return what `settle` needs."""
        amounts = _amounts(estimate.input_tokens, estimate.output_tokens)
        return Passage(
            tuple((unit, pace, pace.begin(amounts[unit], now), amounts[unit]) for unit, pace in self._paces.items())
        )

    def settle(self, passage: Passage, used: tuple[int, int] | None) -> None:
        """Correct a request to the input and output tokens that it used; `None` if it was not sent."""
        amounts = dict.fromkeys(self._given, 0) if used is None else _amounts(*used)
        for unit, pace, begun, estimated in passage.noted:
            pace.correct(begun, amounts[unit] - estimated)

    def limited(self, now: float, requested_wait: float | None) -> None:
        """Let nothing begin for so long as the server asks."""
        if requested_wait is not None:
            self._resumes_at = max(self._resumes_at, now + requested_wait)

    def told(self, limits: ServerLimits, now: float) -> None:
        """Take over the limits of the server, where the program has given none that is lower."""
        for unit, limit in limits._asdict().items():
            given = self._given[unit]
            if limit is None or limit <= 0:
                continue
            least = limit if given is None else min(given, limit)
            if unit not in self._paces:
                self._paces[unit] = Pace(least)
            else:
                self._paces[unit].change(least, now)


def _amounts(input_tokens: int, output_tokens: int) -> dict[str, int]:
    return {
        "requests": 1,
        "tokens": input_tokens + output_tokens,
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
    }
