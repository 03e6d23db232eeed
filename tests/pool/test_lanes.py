from __future__ import annotations

import pytest

from rxresponses.pool.lanes import HeldResponse, PoolConnection, PoolConnectionState, PoolLane, PoolRequest
from rxresponses.protocol.lanes import MAX_NAMED_LANES

STORED, UNSTORED = HeldResponse("stored", True), HeldResponse("not stored", False)


@pytest.fixture
def slot() -> PoolConnection:
    slot = PoolConnection(None)
    slot.state = PoolConnectionState.OPEN
    return slot


def use(slot: PoolConnection, held: HeldResponse | None = None, *, lanes: bool | None = True) -> PoolLane:
    """Let a conversation run on the connection, and leave something behind."""
    place = slot.free_place(lanes=lanes)
    assert place is not None
    slot.use(place)
    place.held = held
    return place


def run(place: PoolLane, ticket: PoolRequest | None = None) -> PoolRequest:
    place.running = ticket or PoolRequest()
    place.slot.active += 1
    return place.running


class TestPlace:
    def test_nothing_runs(self, slot: PoolConnection) -> None:
        place = PoolLane(slot, "lane-1")
        assert not place.is_taken
        assert place.is_idle
        assert place.is_free

    def test_taken_while_something_runs_or_may_follow(self, slot: PoolConnection) -> None:
        place = PoolLane(slot, "lane-1")
        run(place)
        assert place.is_taken
        assert not place.is_idle
        place.running, place.steers = None, 1
        assert place.is_taken
        assert not place.is_free

    def test_forks_need_what_it_holds(self, slot: PoolConnection) -> None:
        place = PoolLane(slot, "lane-1")
        place.forks[PoolRequest()] = None
        assert not place.is_taken
        assert not place.is_idle
        assert not place.is_free

    def test_heirs_keep_others_away(self, slot: PoolConnection) -> None:
        place = PoolLane(slot, "lane-1")
        place.heirs.add(PoolRequest(), 1)
        assert place.is_idle
        assert not place.is_free

    @pytest.mark.parametrize(("held", "precious"), [(None, False), (STORED, False), (UNSTORED, True)])
    def test_precious_is_what_no_storage_has(
        self, slot: PoolConnection, held: HeldResponse | None, precious: bool
    ) -> None:
        place = use(slot, held)
        assert place.is_precious is precious
        assert slot.is_precious is precious

    def test_keeps(self, slot: PoolConnection) -> None:
        place = use(slot, UNSTORED)
        assert not place.keeps
        place.held = STORED
        assert place.keeps
        run(place)
        place.running_stores = False
        assert not place.keeps
        place.running, place.running_id = None, "followed a steer"
        assert not place.keeps


class TestSlot:
    def test_live_until_it_goes(self) -> None:
        slot = PoolConnection(None)
        assert slot.is_live
        for state, live in [
            (PoolConnectionState.OPEN, True),
            (PoolConnectionState.DRAINING, False),
            (PoolConnectionState.GONE, False),
        ]:
            slot.state = state
            assert slot.is_live is live
        slot.state, slot.heir = PoolConnectionState.OPEN, PoolConnection(None)
        assert not slot.is_live

    def test_holds_until_it_expires(self) -> None:
        slot = PoolConnection(None)
        assert not slot.holds
        for state, holds in [
            (PoolConnectionState.OPEN, True),
            (PoolConnectionState.DRAINING, True),
            (PoolConnectionState.GONE, False),
        ]:
            slot.state = state
            assert slot.holds is holds
        slot.state, slot.expired = PoolConnectionState.DRAINING, True
        assert not slot.holds

    def test_its_load_counts_each_lane_once(self, slot: PoolConnection) -> None:
        first, second, third = (use(slot, STORED) for _ in range(3))
        tickets = {run(first), run(second)}
        assert slot.load == 2
        first.steers, third.steers, slot.steers = 2, 1, 3
        assert slot.load == 3
        assert set(slot.running()) == tickets

    def test_busy(self, slot: PoolConnection) -> None:
        place = use(slot, UNSTORED)
        assert not slot.is_busy
        slot.awaited[place] = None
        assert not slot.is_busy  # not any more
        place.heirs.add(PoolRequest(), 1)
        assert slot.is_busy

    @pytest.mark.parametrize("name", ["active", "steers"])
    def test_busy_with_what_runs(self, slot: PoolConnection, name: str) -> None:
        setattr(slot, name, 1)
        assert slot.is_busy

    def test_busy_with_forks(self, slot: PoolConnection) -> None:
        slot.forks.add(PoolRequest(), 1)
        assert slot.is_busy


class TestFreePlace:
    def test_to_look_for_one_uses_up_no_name(self, slot: PoolConnection) -> None:
        assert slot.free_place(lanes=True) is not None
        assert slot.places == {}

    def test_names_are_given_out_one_by_one(self, slot: PoolConnection) -> None:
        assert [run(use(slot)) and list(slot.places)[-1] for _ in range(3)] == ["lane-1", "lane-2", "lane-3"]

    def test_one_without_a_response_comes_first(self, slot: PoolConnection) -> None:
        use(slot, STORED)
        empty = use(slot)
        assert slot.free_place(lanes=True) is empty

    def test_a_new_one_before_one_that_holds_something(self, slot: PoolConnection) -> None:
        use(slot, STORED)
        place = slot.free_place(lanes=True)
        assert place is not None
        assert place.name == "lane-2"

    def test_scenario_15_never_a_33rd_name(self, slot: PoolConnection) -> None:
        for number in range(100):
            place = use(slot, STORED)
            assert place.name == f"lane-{number % MAX_NAMED_LANES + 1}"  # the one used longest ago
        assert len(slot.places) == MAX_NAMED_LANES

    def test_what_is_not_stored_goes_last(self, slot: PoolConnection) -> None:
        for _ in range(MAX_NAMED_LANES):
            use(slot, UNSTORED)
        first, second = list(slot.places.values())[:2]
        second.held = STORED
        assert slot.free_place(lanes=True) is second
        run(second)
        assert slot.free_place(lanes=True) is first

    def test_none_when_all_are_busy(self, slot: PoolConnection) -> None:
        for _ in range(MAX_NAMED_LANES):
            run(use(slot))
        assert slot.free_place(lanes=True) is None

    def test_the_default_lane_is_not_for_conversations(self, slot: PoolConnection) -> None:
        default = use(slot, lanes=False)
        assert default.name is None
        place = slot.free_place(lanes=True)
        assert place is not None
        assert place.name == "lane-1"

    def test_without_lanes_there_is_one(self, slot: PoolConnection) -> None:
        place = use(slot, lanes=False)
        assert use(slot, lanes=False) is place
        run(place)
        assert slot.free_place(lanes=False) is None

    def test_without_lanes_one_that_has_a_name_stays_the_one(self, slot: PoolConnection) -> None:
        first, second = use(slot, UNSTORED), use(slot, STORED)
        assert slot.free_place(lanes=False) is second
        assert slot.loses(second, lanes=False)
        assert not slot.loses(second, lanes=True)
        assert slot.loses(first, lanes=True)
        run(first)
        assert slot.free_place(lanes=False) is None


class TestRefuse:
    def test_no_more_names_than_the_server_takes(self, slot: PoolConnection) -> None:
        places = [use(slot, STORED) for _ in range(3)]
        slot.refuse(places[-1])
        assert slot.most_names == len(slot.places) == 2
        assert use(slot, STORED) is places[0]

    def test_one_name_is_always_tried(self, slot: PoolConnection) -> None:
        place = use(slot)
        slot.refuse(place)
        slot.refuse(place)
        assert slot.most_names == 1
        assert use(slot) is not place

    def test_one_in_use_stays(self, slot: PoolConnection) -> None:
        place = use(slot)
        run(place)
        slot.refuse(place)
        assert list(slot.places.values()) == [place]
        assert slot.most_names == 1
