"""Idle times that are cut out of the picture."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxresponses.marbles.breaks import Breaks, breaks_of
from rxresponses.marbles.rows import diagram_of
from rxresponses.recording.format import ConnectionRecord, EndRecord

from .builders import recording, request, session, stage, text

TIMES = st.floats(0, 1000)


def test_a_long_pause_is_cut() -> None:
    found = breaks_of([(0, 2), (100, 103)], 0, 103)
    assert found.spans == ((2, 100),)
    assert found.drawn == pytest.approx(0.15)
    assert found.parts(0, 103) == [(0, 2), (100, 103)]


def test_pauses_at_the_begin_and_at_the_end() -> None:
    assert breaks_of([(50, 52)], 0, 100).spans == ((0, 50), (52, 100))


def test_a_short_pause_stays() -> None:
    assert breaks_of([(0, 2), (2.9, 4)], 0, 4) == Breaks()  # less than a second
    assert breaks_of([(0, 50), (75, 100)], 0, 100) == Breaks()  # less than half of all other time
    assert breaks_of([(0, 50), (95, 100)], 0, 100).spans == ((50, 95),)


def test_what_runs_at_once_is_no_pause() -> None:
    assert breaks_of([(0, 100), (3, 4), (90, 120)], 0, 120) == Breaks()


def test_nothing_runs_at_all() -> None:
    found = breaks_of([], 0, 50)
    assert found.spans == ((0, 50),)
    assert found.place(50) == pytest.approx(found.drawn)
    assert found.drawn > 0
    assert breaks_of([], 5, 5) == Breaks()


def test_many_pauses_take_a_third_of_the_picture_at_most() -> None:
    found = breaks_of([(hour * 100, hour * 100 + 1) for hour in range(50)], 0, 4901)
    assert len(found.spans) == 49
    assert found.place(4901) == pytest.approx(50 * 1.3, rel=0.01)


def test_places() -> None:
    found = Breaks(((2, 12), (20, 120)), 1)
    assert [found.place(at) for at in (0, 2, 7, 12, 20, 70, 120, 121)] == [0, 2, 2.5, 3, 11, 11.5, 12, 13]
    assert Breaks().place(7) == 7
    assert Breaks().parts(1, 2) == [(1, 2)]


@given(st.lists(st.tuples(TIMES, TIMES), max_size=20), st.lists(TIMES, max_size=20))
def test_places_are_in_the_order_of_times(busy: list[tuple[float, float]], times: list[float]) -> None:
    found = breaks_of([(min(pair), max(pair)) for pair in busy], 0, 1000)
    places = [found.place(at) for at in sorted(times)]
    assert all(later >= earlier - 1e-9 for earlier, later in itertools.pairwise(places))
    for begin, end in found.spans:
        assert found.place(end) - found.place(begin) == pytest.approx(found.drawn)


def test_a_request_that_runs_is_no_pause() -> None:
    waits = diagram_of(recording(request(0), text(100), EndRecord(100, "r1", "completed")))
    assert waits.breaks == Breaks()


def test_a_request_without_an_end_runs_until_its_last_event() -> None:
    found = diagram_of(recording(request(0), text(1), request(50, "r2"), text(51, name="r2")))
    assert found.breaks.spans == ((1, 50),)
    assert diagram_of(recording(request(0), request(50, "r2"))).breaks.spans == ((0, 50),)


def test_what_belongs_to_no_request_runs_for_a_moment() -> None:
    found = diagram_of(recording(ConnectionRecord(0, "c1", "open"), text(50, name=None), text(100, name=None)))
    assert found.breaks.spans == ((0, 50), (50, 100))


def test_a_pipeline_runs_too() -> None:
    found = recording(request(0), text(1), stage(1, "next", "x"), stage(60, "completed"), request(61, "r2"))
    assert diagram_of(found).breaks == Breaks()


def test_without_times_nothing_is_cut() -> None:
    assert diagram_of(recording(text(0), text(0), has_times=False)).breaks == Breaks()
    assert diagram_of(session()).breaks == Breaks()
