"""The ticks of the time axis."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxresponses.marbles.axis import step_of, tick_text, ticks


def texts(begin: float, end: float, most: int = 8, *, has_times: bool = True) -> list[str]:
    return [
        tick.text for tick in ticks(begin, end, step_of(end - begin, most, has_times=has_times), has_times=has_times)
    ]


def test_seconds() -> None:
    assert texts(0, 2.4) == ["0.0 s", "0.5 s", "1.0 s", "1.5 s", "2.0 s"]


def test_milliseconds() -> None:
    assert texts(0.11, 0.19, 4) == ["120 ms", "140 ms", "160 ms", "180 ms"]


def test_parts_of_milliseconds() -> None:
    assert texts(0, 0.001, 5) == ["0.0 ms", "0.2 ms", "0.4 ms", "0.6 ms", "0.8 ms", "1.0 ms"]


def test_late_milliseconds_are_seconds() -> None:
    assert texts(61.1, 61.2, 2) == ["61.10 s", "61.15 s", "61.20 s"]


def test_minutes_and_hours() -> None:
    assert texts(0, 360, 6) == ["0 min", "1 min", "2 min", "3 min", "4 min", "5 min", "6 min"]
    assert texts(0, 3 * 3600, 3) == ["0 min", "1 h 00 min", "2 h 00 min", "3 h 00 min"]
    assert step_of(40 * 86400, 4) == 10 * 86400


def test_numbers_of_events() -> None:
    assert texts(0, 3, 8, has_times=False) == ["1", "2", "3", "4"]
    assert texts(0, 2000, 4, has_times=False) == ["1", "501", "1,001", "1,501", "2,001"]


def test_no_time_at_all() -> None:
    assert texts(0, 0) == ["0 s"]
    assert texts(1.5, 1.5) == []


@given(st.floats(0, 1e7), st.floats(1e-5, 1e7), st.integers(1, 30))
def test_there_are_few_ticks_and_they_are_inside(begin: float, span: float, most: int) -> None:
    found = ticks(begin, begin + span, step_of(span, most))
    assert len(found) <= most + 1
    slack = 1e-6 * (begin + span)
    assert all(begin - slack <= tick.at <= begin + span + slack for tick in found)


@given(st.floats(1e-6, 1e6), st.integers(1, 30))
def test_a_step_is_a_number_that_people_count_in(span: float, most: int) -> None:
    step = step_of(span, most)
    assert step * most >= span * (1 - 1e-6)
    if step < 20:
        digits = step / 10 ** math.floor(math.log10(step) + 1e-9)
        assert any(math.isclose(digits, one) for one in (1, 2, 5))


@pytest.mark.parametrize(("at", "step", "text"), [(0.05, 0.05, "50 ms"), (1.05, 0.05, "1.05 s"), (30, 10, "30 s")])
def test_a_tick_has_as_many_digits_as_the_step(at: float, step: float, text: str) -> None:
    assert tick_text(at, step) == text
