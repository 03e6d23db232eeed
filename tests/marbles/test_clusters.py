"""Single marbles, piles, and bands of density."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxresponses.marbles import clusters as rules
from rxresponses.marbles.clusters import LEVELS, MIXED, PITCH, Badge, Band, Item, Single
from rxresponses.marbles.diagram import Marble


def marbles(*kinds_and_times: tuple[float, str]) -> list[Marble]:
    return [
        Marble(at, kind, "text" if kind == "delta" else kind, "", kind in ("delta", "reasoning"), index)
        for index, (at, kind) in enumerate(kinds_and_times)
    ]


def clusters(marbles: list[Marble], scale: float, *, singles: bool = True) -> list[Item]:
    return rules.clusters(marbles, [marble.at * scale for marble in marbles], singles=singles)


def indices(item: Item) -> list[int]:
    return [item.index] if isinstance(item, Single) else item.indices


def test_marbles_that_can_be_told_apart_are_on_the_line() -> None:
    items = clusters(marbles((0, "items"), (20, "delta"), (45, "items")), 1)
    assert items == [Single(0, 0, 0), Single(20, 0, 1), Single(45, 0, 2)]


def test_marbles_of_one_time_are_piled_up() -> None:
    items = clusters(marbles(*[(5, "items")] * 6), 2)
    assert items == [*(Single(10, level, level) for level in range(LEVELS)), Badge(10, [4, 5])]


def test_badges_do_not_overlap() -> None:
    items = clusters(marbles(*[(place * 9, "items") for place in range(23)]), 0.5)
    badges = [item.x for item in items if isinstance(item, Badge)]
    assert len(badges) > 1
    assert all(later - earlier >= 40 for earlier, later in itertools.pairwise(badges))


def test_pieces_that_are_close_are_a_band() -> None:
    items = clusters(marbles(*[(place, "delta") for place in range(10)]), 2)
    assert items == [
        Band("text", 0, 18, list(range(10)), {0: 2, 1: 2, 2: 2, 3: 2, 4: 2}, dict.fromkeys(range(5), "text"))
    ]


def test_a_pause_ends_a_band() -> None:
    times = [0, 1, 2, 3, 100, 101, 102, 103, 200]
    items = clusters(marbles(*[(time, "delta") for time in times]), 1)
    assert [(type(item), indices(item)) for item in items] == [
        (Band, [0, 1, 2, 3]),
        (Band, [4, 5, 6, 7]),
        (Single, [8]),
    ]


def test_a_marble_beside_a_band_is_above_the_line() -> None:
    times = [(0, "delta"), (2, "delta"), (4, "items"), (5, "delta"), (6, "delta"), (40, "items")]
    items = clusters(marbles(*times), 1)
    assert [item for item in items if isinstance(item, Single)] == [Single(4, 1, 2), Single(40, 0, 5)]


def test_each_family_of_pieces_has_its_band() -> None:
    found = clusters(marbles(*[(place, "reasoning" if place < 5 else "delta") for place in range(10)]), 1)
    assert [item.family for item in found if isinstance(item, Band)] == ["reasoning", "text"]


def test_many_other_events_are_a_band_too() -> None:
    kinds = ["items", "tools", "tools"] * 10
    (band,) = clusters(marbles(*[(place, kind) for place, kind in enumerate(kinds)]), 1)
    assert isinstance(band, Band)
    assert band.family == MIXED
    assert set(band.tints.values()) == {"tools", "items"}
    assert sum(band.bars.values()) == 30


def test_without_singles_all_is_bands() -> None:
    items = clusters(marbles((0, "items"), (100, "delta")), 1, singles=False)
    assert [(type(item), indices(item)) for item in items] == [(Band, [0]), (Band, [1])]


@pytest.mark.parametrize("singles", [True, False])
@given(
    st.lists(st.tuples(st.floats(0, 1000), st.sampled_from(["delta", "reasoning", "items", "error"])), max_size=120),
    st.floats(0, 5),
)
def test_each_marble_is_in_one_item_and_none_overlap(
    singles: bool, events: list[tuple[float, str]], scale: float
) -> None:
    items = clusters(marbles(*sorted(events)), scale, singles=singles)
    assert sorted(index for item in items for index in indices(item)) == list(range(len(events)))
    for level in range(LEVELS):
        places = [item.x for item in items if isinstance(item, Single) and item.level == level]
        assert all(later - earlier >= PITCH for earlier, later in itertools.pairwise(places))
    for band in (item for item in items if isinstance(item, Band)):
        assert sum(band.bars.values()) == len(band.indices)
        assert band.bars.keys() == band.tints.keys()
        for single in (item for item in items if isinstance(item, Single) and item.level == 0):
            assert not band.begin - PITCH / 2 < single.x < band.end
