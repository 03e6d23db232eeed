"""Decides where the time axis has its ticks, and what is written at them."""

from __future__ import annotations

import math
from typing import NamedTuple

_STEPS = (1, 2, 5, 10)
_MINUTES = (60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)  # seconds
_MOST = 200


class Tick(NamedTuple):
    """A place on the axis and its text."""

    at: float
    text: str


def step_of(span: float, most: int, *, has_times: bool = True) -> float:
    """Return the distance of ticks so that there are at most `most` in this span: 1, 2 or 5 times a power of ten.

    From a minute on, it is a number of seconds that people count in; without times, it is a whole number.
    """
    least = span / max(most, 1)
    if not has_times:
        least = max(least, 1.0)
    if least <= 0:
        return 1.0
    if has_times and least > 20:
        return float(next((step for step in _MINUTES if step >= least), math.ceil(least / 86400) * 86400))
    power = math.floor(math.log10(least))
    step = next(step for step in _STEPS if step * 10.0**power >= least * (1 - 1e-9))
    return round(step * 10.0**power, max(0, -power))


def ticks(begin: float, end: float, step: float, *, has_times: bool = True) -> list[Tick]:
    """Return the ticks from `begin` to `end`, which are multiples of `step`."""
    first = math.ceil(begin / step - 1e-9)
    last = math.floor(end / step + 1e-9)
    numbers = range(first, min(last, first + _MOST) + 1)
    return [Tick(number * step, tick_text(number * step, step, has_times=has_times)) for number in numbers]


def tick_text(at: float, step: float, *, has_times: bool = True) -> str:
    """Return the text of a tick, with as many digits as the step has."""
    if not has_times:
        return f"{round(at) + 1:,}"
    if step >= 60:
        minutes = round(at) // 60
        return f"{minutes} min" if step < 3600 or minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
    if step < 0.001:
        return f"{at * 1000:.{_digits(step * 1000)}f} ms"
    if step < 0.1 and at < 1:
        return f"{at * 1000:.0f} ms"
    return f"{at:.{_digits(step)}f} s"


def _digits(step: float) -> int:
    return max(0, -math.floor(math.log10(step) + 1e-9))
