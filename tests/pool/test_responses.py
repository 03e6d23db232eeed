"""Which lane has a response, and which responses are lost."""

from __future__ import annotations

import tracemalloc

import pytest

from rxresponses.pool.lanes import HeldResponse, PoolConnection, PoolLane
from rxresponses.pool.responses import _REMEMBERED, _REMEMBERED_BY_SOCKET, ResponseLocations, UnstoredResponses
from rxresponses.wire.ids import LONGEST_ID, MOST_CHARACTERS


@pytest.fixture
def locations() -> ResponseLocations:
    return ResponseLocations()


@pytest.fixture
def lane() -> PoolLane:
    return PoolLane(PoolConnection(None), "lane-1")


def test_a_running_response_is_found(locations: ResponseLocations, lane: PoolLane) -> None:
    locations.start(lane, "r", stores=False)
    assert locations.lane_of("r") is lane
    assert lane.running_response_id == "r"
    assert lane.running_stores is False
    assert locations.lane_of("other") is None


def test_an_ended_response_is_lost_unless_a_lane_holds_it(locations: ResponseLocations, lane: PoolLane) -> None:
    locations.start(lane, "r", stores=False)
    locations.stop(lane)
    assert locations.lane_of("r") is None
    assert locations.is_lost("r")
    locations.hold(lane, HeldResponse("r", False))
    assert locations.lane_of("r") is lane
    assert not locations.is_lost("r")


def test_a_stored_response_is_never_lost(locations: ResponseLocations, lane: PoolLane) -> None:
    locations.start(lane, "r", stores=True)
    locations.stop(lane)
    assert not locations.is_lost("r")
    assert locations.is_stored("r", guess=False)


def test_a_lane_holds_one_response(locations: ResponseLocations, lane: PoolLane) -> None:
    locations.hold(lane, HeldResponse("stored", True))
    locations.hold(lane, HeldResponse("not stored", False))
    assert locations.lane_of("stored") is None
    assert locations.is_stored("stored", guess=False)
    locations.drop(lane)
    locations.drop(lane)  # the second call does nothing
    assert lane.held is None
    assert locations.is_lost("not stored")
    assert not locations.is_stored("not stored", guess=True)


def test_the_next_response_of_a_lane_replaces_the_running_one(locations: ResponseLocations, lane: PoolLane) -> None:
    locations.start(lane, "first", stores=False)
    locations.start(lane, "second", stores=False)
    assert locations.lane_of("first") is None
    assert locations.lane_of("second") is lane


def test_a_response_that_another_lane_holds_by_now_stays_there(locations: ResponseLocations, lane: PoolLane) -> None:
    other = PoolLane(PoolConnection(None), "lane-2")
    locations.hold(lane, HeldResponse("r", False))
    locations.hold(other, HeldResponse("r", False))
    locations.drop(lane)
    assert locations.lane_of("r") is other
    assert not locations.is_lost("r")


def test_an_unknown_response_is_guessed(locations: ResponseLocations) -> None:
    assert locations.is_stored("r", guess=True)
    assert not locations.is_stored("r", guess=False)
    assert not locations.is_lost("r")


def test_a_response_marked_as_lost_is_not_stored_any_more(locations: ResponseLocations) -> None:
    locations.mark_unheld("r", stored=True)
    locations.mark_lost("r")
    assert locations.is_lost("r")
    assert not locations.is_stored("r", guess=True)


@pytest.mark.parametrize("stores", [True, False])
def test_the_latest_responses_are_remembered(locations: ResponseLocations, stores: bool) -> None:
    locations.mark_unheld("again", stored=stores)
    for number in range(_REMEMBERED - 1):
        locations.mark_unheld(str(number), stored=stores)
    locations.mark_unheld("again", stored=stores)
    locations.mark_unheld("last", stored=stores)
    known = [name for name in ("again", "0", "1", "last") if locations.is_stored(name, guess=not stores) is stores]
    assert known == ["again", "1", "last"]


def test_scenario_77_long_ids_are_remembered_in_bounded_memory(locations: ResponseLocations) -> None:
    tracemalloc.start()
    try:
        for number in range(MOST_CHARACTERS // LONGEST_ID + 1000):
            locations.mark_lost(f"{number:0{LONGEST_ID}}")
        memory, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert MOST_CHARACTERS < memory < 1.5 * MOST_CHARACTERS
    assert not locations.is_lost(f"{0:0{LONGEST_ID}}")
    assert locations.is_lost(f"{MOST_CHARACTERS // LONGEST_ID:0{LONGEST_ID}}")


def test_an_unstored_response_is_lost_for_other_connections() -> None:
    unstored = UnstoredResponses()
    unstored.hold("r", 1)
    assert unstored.holds("r", 1)
    assert not unstored.holds("r", 2)
    assert not unstored.holds("unknown", 1)
    assert not unstored.is_lost("r", 1)
    assert unstored.is_lost("r", 2)
    assert not unstored.is_lost("unknown", 2)


def test_the_latest_unstored_responses_are_remembered() -> None:
    unstored = UnstoredResponses()
    for number in range(_REMEMBERED_BY_SOCKET + 1):
        unstored.hold(str(number), 1)
    assert not unstored.holds("0", 1)
    assert unstored.holds("1", 1)
    assert unstored.holds(str(_REMEMBERED_BY_SOCKET), 1)


@pytest.mark.parametrize(
    ("stores", "target_ids", "holds"),
    [(True, (), False), (False, (), True), (True, ["stored"], False), (True, ["stored", "not stored"], True)],
)
def test_a_socket_holds_responses_that_are_not_stored(stores: bool, target_ids: list[str], holds: bool) -> None:
    unstored = UnstoredResponses()
    unstored.hold("not stored", 1)
    unstored.ended(["r1", "r2"], 1, stores=stores, target_ids=target_ids)
    assert [unstored.holds(response_id, 1) for response_id in ("r1", "r2")] == [holds, holds]
    assert unstored.is_lost("r1", 2) is holds
