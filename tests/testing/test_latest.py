from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxresponses.testing.latest import Latest


def test_without_limits_all_is_kept() -> None:
    latest: Latest[int, str] = Latest()
    for number in range(1_000):
        latest.add(number, str(number), 10**9)
    assert len(latest) == 1_000
    assert latest.values()[:2] == ["0", "1"]
    assert (latest.get(5), latest.get(-1), 5 in latest, -1 in latest) == ("5", None, True, False)


@pytest.mark.parametrize(("sizes", "kept"), [([3, 3, 3, 3], 3), ([3, 9], 1), ([99], 1), ([99, 1], 1), ([1] * 20, 10)])
def test_the_latest_are_kept_up_to_a_size(sizes: list[int], kept: int) -> None:
    latest: Latest[int, int] = Latest(None, 10)
    for number, size in enumerate(sizes):
        latest.add(number, number, size)
    assert latest.values() == list(range(len(sizes)))[-kept:]


@given(
    entries=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 12))),
    number=st.none() | st.integers(1, 5),
    size=st.none() | st.integers(0, 20),
)
def test_scenario_77_the_entries_stay_within_both_limits(
    entries: list[tuple[int, int]], number: int | None, size: int | None
) -> None:
    latest: Latest[int, int] = Latest(number, size)
    for key, value in entries:
        latest.add(key, value, value)
        kept = latest.values()
        assert kept[-1] == latest.get(key) == value
        assert number is None or len(kept) <= number
        assert size is None or sum(kept) <= size or len(kept) == 1
        assert len(latest) == len(kept)
