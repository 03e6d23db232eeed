from __future__ import annotations

import pytest

from rxresponses.pool.lanes import HeldResponse, PoolConnection, PoolLane
from rxresponses.pool.responses import _REMEMBERED, _REMEMBERED_BY_SOCKET, ResponseLocations, UnstoredResponses


@pytest.fixture
def memory() -> ResponseLocations:
    return ResponseLocations()


@pytest.fixture
def place() -> PoolLane:
    return PoolLane(PoolConnection(None), "lane-1")


def test_a_response_that_runs_is_found(memory: ResponseLocations, place: PoolLane) -> None:
    memory.run(place, "r", stores=False)
    assert memory.place_of("r") is place
    assert place.running_id == "r"
    assert place.running_stores is False
    assert memory.place_of("other") is None


def test_when_it_ends_it_is_gone_unless_it_is_held(memory: ResponseLocations, place: PoolLane) -> None:
    memory.run(place, "r", stores=False)
    memory.stop(place)
    assert memory.place_of("r") is None
    assert memory.is_lost("r")
    memory.hold(place, HeldResponse("r", False))
    assert memory.place_of("r") is place
    assert not memory.is_lost("r")


def test_one_that_is_stored_is_never_lost(memory: ResponseLocations, place: PoolLane) -> None:
    memory.run(place, "r", stores=True)
    memory.stop(place)
    assert not memory.is_lost("r")
    assert memory.is_stored("r", guess=False)


def test_a_lane_holds_one(memory: ResponseLocations, place: PoolLane) -> None:
    memory.hold(place, HeldResponse("stored", True))
    memory.hold(place, HeldResponse("not stored", False))
    assert memory.place_of("stored") is None
    assert memory.is_stored("stored", guess=False)
    memory.drop(place)
    memory.drop(place)  # twice does no harm
    assert place.held is None
    assert memory.is_lost("not stored")
    assert not memory.is_stored("not stored", guess=True)


def test_the_next_response_of_a_lane_replaces_the_one_that_runs(memory: ResponseLocations, place: PoolLane) -> None:
    memory.run(place, "first", stores=False)
    memory.run(place, "second", stores=False)
    assert memory.place_of("first") is None
    assert memory.place_of("second") is place


def test_an_id_that_came_on_another_lane_meanwhile_stays_there(memory: ResponseLocations, place: PoolLane) -> None:
    other = PoolLane(PoolConnection(None), "lane-2")
    memory.hold(place, HeldResponse("r", False))
    memory.hold(other, HeldResponse("r", False))
    memory.drop(place)
    assert memory.place_of("r") is other
    assert not memory.is_lost("r")


def test_of_one_never_seen_there_is_a_guess(memory: ResponseLocations) -> None:
    assert memory.is_stored("r", guess=True)
    assert not memory.is_stored("r", guess=False)
    assert not memory.is_lost("r")


def test_what_nobody_knows_is_lost_though_it_was_stored(memory: ResponseLocations) -> None:
    memory.remember("r", stores=True)
    memory.lose("r")
    assert memory.is_lost("r")
    assert not memory.is_stored("r", guess=True)


@pytest.mark.parametrize("stores", [True, False])
def test_so_many_are_remembered_and_the_oldest_forgotten(memory: ResponseLocations, stores: bool) -> None:
    memory.remember("again", stores=stores)
    for number in range(_REMEMBERED - 1):
        memory.remember(str(number), stores=stores)
    memory.remember("again", stores=stores)
    memory.remember("last", stores=stores)
    known = [one for one in ("again", "0", "1", "last") if memory.is_stored(one, guess=not stores) is stores]
    assert known == ["again", "1", "last"]


def test_what_is_not_stored_is_lost_with_its_connection() -> None:
    unstored = UnstoredResponses()
    unstored.hold("r", 1)
    assert unstored.holds("r", 1)
    assert not unstored.holds("r", 2)
    assert not unstored.holds("unknown", 1)
    assert not unstored.is_lost("r", 1)
    assert unstored.is_lost("r", 2)
    assert not unstored.is_lost("unknown", 2)


def test_of_what_is_not_stored_the_latest_are_remembered() -> None:
    unstored = UnstoredResponses()
    for number in range(_REMEMBERED_BY_SOCKET + 1):
        unstored.hold(str(number), 1)
    assert not unstored.holds("0", 1)
    assert unstored.holds("1", 1)
    assert unstored.holds(str(_REMEMBERED_BY_SOCKET), 1)
