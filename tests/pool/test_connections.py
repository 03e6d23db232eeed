"""The connections of a client: when they are opened, replaced, let go, and tried again."""

from __future__ import annotations

import math
from typing import Any

import pytest

from rxresponses.backoff import Backoff
from rxresponses.errors import ConnectFailedError, ConnectionLostError
from rxresponses.options import PoolOptions
from rxresponses.pool.connections import _REMEMBERED, Close, Open, PoolConnections, Route
from rxresponses.pool.lanes import HeldResponse, PoolConnection, PoolConnectionState, PoolRequest

REFUSED = ConnectFailedError("refused", status=503)
UNAUTHORIZED = ConnectFailedError("no", status=401)
LOST = ConnectionLostError("lost", delivery="not_sent")
HOUR = 3600.0


def make(*, lanes: bool | None = True, draw: float = 0.0, **options: Any) -> PoolConnections:
    options = {
        "backoff": Backoff(initial=1.0, max_delay=4.0, jitter=0.0, max_retries=1),
        "max_age": HOUR,
        "close_idle_after": 60.0,
        **options,
    }
    return PoolConnections(PoolOptions(**options), lanes=lanes, draw=lambda: draw)


def opening(roster: PoolConnections, route: Route = None, count: float = 1, now: float = 0.0) -> list[PoolConnection]:
    """Ask for connections for so many requests; return those that are opened for them."""
    roster.open_for(route, count, now)
    return taken(roster, Open)


def taken(roster: PoolConnections, kind: type[Open | Close]) -> list[PoolConnection]:
    slots = [action.slot for action in roster.actions if isinstance(action, kind)]
    roster.actions = [action for action in roster.actions if not isinstance(action, kind)]
    return slots


def opened(roster: PoolConnections, route: Route = None, now: float = 0.0) -> PoolConnection:
    """Have one more connection open, which does something."""
    (slot,) = opening(roster, route, now=now)
    roster.opened(slot, now)
    hold(slot, None)
    slot.active = 1
    return slot


def idle(roster: PoolConnections, route: Route = None, now: float = 0.0) -> PoolConnection:
    """Have one more connection open, which does nothing."""
    slot = opened(roster, route, now)
    slot.active = 0
    return slot


def hold(slot: PoolConnection, held: HeldResponse | None) -> None:
    place = slot.free_place(lanes=True)
    assert place is not None
    slot.use(place)
    place.held = held


def look(roster: PoolConnections, now: float) -> list[PoolConnection]:
    expired = roster.look(now)
    roster.close_drained()
    return expired


class TestOpening:
    def test_one_for_as_many_as_run_on_it(self) -> None:
        assert len(opening(make(), count=16)) == 1
        assert len(opening(make(), count=17)) == 2
        assert len(opening(make(lanes=False), count=3)) == 3
        assert opening(make(), count=0) == []

    def test_those_that_come_count(self) -> None:
        roster = make()
        opening(roster, count=16)
        assert opening(roster, count=16) == []
        assert len(opening(roster, count=17)) == 1

    def test_no_more_than_may_be(self) -> None:
        assert len(opening(make(max_connections=3), count=1000)) == 3

    def test_few_until_it_is_known_whether_there_are_lanes(self) -> None:
        roster = make(lanes=None)
        assert len(opening(roster, count=1000)) == 4
        assert len(opening(make(lanes=None, max_connections=2), count=1000)) == 2
        roster.lanes = True
        assert len(opening(roster, count=1000)) == 4

    def test_a_route_has_its_own(self) -> None:
        roster = make()
        assert [slot.route for slot in opening(roster, "x") + opening(roster, "y")] == ["x", "y"]

    def test_the_first_of_a_route_has_another_one_go(self) -> None:
        roster = make(max_connections=2)
        busy, idling = opened(roster, "x"), idle(roster, "x")
        (new,) = opening(roster, "y", count=100)
        assert new.route == "y"
        assert idling.state is PoolConnectionState.DRAINING
        assert busy.state is PoolConnectionState.OPEN
        assert look(roster, 0.0) == [idling]  # nothing keeps it any longer
        assert taken(roster, Close) == [idling]

    def test_the_one_that_loses_nothing_goes_first(self) -> None:
        roster = make(max_connections=2)
        precious, busy = idle(roster, "x"), opened(roster, "x")
        hold(precious, HeldResponse("r", False))
        opening(roster, "y")
        assert busy.state is PoolConnectionState.DRAINING

    def test_one_that_has_an_heir_is_on_its_way_already(self) -> None:
        roster = make(max_connections=1)
        old = opened(roster, "x")
        look(roster, 0.96 * HOUR)
        assert taken(roster, Open) == [old.heir]
        assert opening(roster, "y") == []  # until the heir is open

    def test_nobody_goes_for_a_second_one(self) -> None:
        roster = make(max_connections=2)
        opened(roster, "x")
        opened(roster, "y")
        assert opening(roster, "y") == []
        assert all(slot.state is PoolConnectionState.OPEN for slot in roster.slots)

    def test_one_that_connects_cannot_go(self) -> None:
        roster = make(max_connections=1)
        opening(roster, "x")
        assert opening(roster, "y") == []


class TestWarm:
    def test_min_idle_is_for_the_first_route(self) -> None:
        roster = make(min_idle=2)
        roster.keep_warm(0.0)
        assert taken(roster, Open) == []
        roster.use("x")
        roster.use("y")
        roster.keep_warm(0.0)
        assert [slot.route for slot in taken(roster, Open)] == ["x", "x"]
        roster.keep_warm(0.0)
        assert taken(roster, Open) == []

    def test_without_min_idle_nothing_is_kept(self) -> None:
        roster = make()
        roster.use(None)
        roster.keep_warm(0.0)
        assert roster.slots == []

    def test_prewarm_is_not_held_back_by_not_knowing_lanes(self) -> None:
        roster = make(lanes=None)
        roster.prewarm(6, None)
        roster.keep_warm(0.0)
        assert len(taken(roster, Open)) == 6

    def test_no_more_than_may_be(self) -> None:
        roster = make(max_connections=3)
        roster.prewarm(2, "x")
        roster.prewarm(3, "y")
        roster.keep_warm(0.0)
        assert [slot.route for slot in taken(roster, Open)] == ["x", "x", "y"]

    def test_with_less_to_keep_the_others_go(self) -> None:
        roster = make()
        roster.prewarm(2, None)
        roster.keep_warm(0.0)
        for slot in taken(roster, Open):
            roster.opened(slot, 0.0)
        look(roster, 2 * 60.0)
        assert roster.deadline(2 * 60.0) == 0.95 * HOUR
        roster.prewarm(1, None)
        look(roster, 2 * 60.0)
        assert len(taken(roster, Close)) == 1

    def test_a_refusal_for_good_ends_it_until_somebody_asks_again(self) -> None:
        roster = make()
        roster.prewarm(2, None)
        roster.keep_warm(0.0)
        for slot in taken(roster, Open):
            roster.ended(slot, UNAUTHORIZED, 0.0)
        roster.keep_warm(HOUR)
        assert taken(roster, Open) == []
        assert roster.retries_at(0.0, {None}) is None
        roster.prewarm(1, None)
        roster.keep_warm(HOUR)
        assert len(taken(roster, Open)) == 1

    def test_after_other_failures_it_is_tried_on(self) -> None:
        roster = make(min_idle=1)
        roster.use(None)
        now = 0.0
        for _ in range(20):
            roster.keep_warm(now)
            (slot,) = taken(roster, Open)
            assert roster.ended(slot, REFUSED, now) == (now > 0)  # but those who wait are told
            assert roster.connect_error() is REFUSED
            retries_at = roster.retries_at(now, ())
            assert retries_at is not None
            assert now < retries_at <= now + 4.0
            now = retries_at
        roster.keep_warm(now)
        (slot,) = taken(roster, Open)
        roster.opened(slot, now)
        assert roster.connect_error() is None
        assert roster.retries_at(now, ()) is None

    def test_without_it_a_failure_for_the_last_time_ends_it(self) -> None:
        roster = make()
        for now in (0.0, 100.0):
            roster.open_for(None, 1, now)
            (slot,) = taken(roster, Open)
            assert roster.ended(slot, REFUSED, now) == (now > 0)
        assert roster.retries_at(100.0, {None}) == 102.0
        assert roster.connect_error() is REFUSED


class TestIdle:
    def test_what_idles_goes(self) -> None:
        roster = make()
        slot = idle(roster)
        assert roster.deadline(0.0) == 60.0
        look(roster, 59.9)
        assert roster.takes_new(slot)
        look(roster, 60.0)
        assert taken(roster, Close) == [slot]
        assert slot.state is PoolConnectionState.GONE
        assert roster.slots == []
        assert roster.deadline(60.0) == math.inf

    def test_not_while_it_works(self) -> None:
        roster = make()
        slot = opened(roster)
        look(roster, 100.0)
        assert slot.state is PoolConnectionState.OPEN
        assert roster.deadline(100.0) == 0.95 * HOUR

    def test_not_while_it_holds_what_is_not_stored(self) -> None:
        roster = make()
        slot = idle(roster)
        hold(slot, HeldResponse("r", False))
        look(roster, 100.0)
        assert slot.state is PoolConnectionState.OPEN
        assert roster.deadline(100.0) == 0.95 * HOUR


class TestAge:
    def test_scenario_25_new_work_goes_to_the_next_one_without_a_gap(self) -> None:
        roster = make(max_connections=1)
        old = opened(roster)
        assert roster.deadline(0.0) == 0.95 * HOUR
        look(roster, 0.95 * HOUR)
        assert roster.takes_new(old)
        assert taken(roster, Open) == [old.heir]
        assert old.heir is not None
        assert roster.deadline(0.95 * HOUR) == HOUR
        look(roster, 0.96 * HOUR)
        assert taken(roster, Open) == []
        roster.opened(old.heir, 0.96 * HOUR)
        look(roster, 0.96 * HOUR)
        assert old.state is PoolConnectionState.DRAINING
        assert not roster.takes_new(old)
        assert taken(roster, Close) == []
        old.active = 0
        look(roster, 0.97 * HOUR)
        assert taken(roster, Close) == [old]

    def test_jitter_makes_it_earlier(self) -> None:
        roster = make(draw=0.5, age_jitter=0.2)
        opened(roster)
        assert roster.deadline(0.0) == pytest.approx(0.85 * HOUR)

    def test_another_one_with_room_will_do(self) -> None:
        roster = make()
        old, _ = opened(roster), opened(roster, now=0.5 * HOUR)
        look(roster, 0.96 * HOUR)
        assert old.state is PoolConnectionState.DRAINING
        assert taken(roster, Open) == []

    @pytest.mark.parametrize("why", ["full", "old", "on another route"])
    def test_another_one_will_not_do(self, why: str) -> None:
        roster = make()
        old = opened(roster)
        other = opened(roster, "x" if why == "on another route" else None, now=0.0 if why == "old" else 0.5 * HOUR)
        other.active = 16 if why == "full" else 1
        look(roster, 0.96 * HOUR)
        assert old.state is PoolConnectionState.OPEN
        assert old.heir in taken(roster, Open)

    def test_one_that_nobody_uses_needs_none(self) -> None:
        roster = make(close_idle_after=2 * HOUR)
        old = idle(roster)
        look(roster, 0.96 * HOUR)
        assert taken(roster, Open) == []
        assert taken(roster, Close) == [old]

    def test_one_that_is_to_be_kept_warm_does(self) -> None:
        roster = make(min_idle=1)
        roster.use(None)
        old = idle(roster)
        look(roster, 0.96 * HOUR)
        assert taken(roster, Open) == [old.heir]

    def test_one_that_holds_what_is_not_stored_stays_until_it_expires(self) -> None:
        roster = make()
        old = idle(roster)
        hold(old, HeldResponse("r", False))
        look(roster, 0.96 * HOUR)
        assert old.state is PoolConnectionState.DRAINING
        assert old.holds
        assert roster.deadline(0.96 * HOUR) == HOUR
        assert look(roster, HOUR) == [old]
        assert not old.holds
        assert look(roster, HOUR) == []  # once
        assert roster.deadline(HOUR) == math.inf  # who holds it drops it now

    def test_at_its_end_it_goes_whatever_comes_after_it(self) -> None:
        roster = make()
        old = opened(roster)
        assert look(roster, HOUR) == [old]
        assert old.state is PoolConnectionState.DRAINING

    def test_an_heir_that_fails_is_tried_again(self) -> None:
        roster = make(max_connections=1)
        old = opened(roster)
        now = 0.96 * HOUR
        look(roster, now)
        (heir,) = taken(roster, Open)
        assert not old.is_live
        roster.ended(heir, REFUSED, now)
        assert old.is_live
        look(roster, now)
        assert taken(roster, Open) == []
        assert roster.retries_at(now, ()) == now + 1.0
        look(roster, now + 1.0)
        assert len(taken(roster, Open)) == 1

    def test_an_heir_that_is_refused_for_good_is_not(self) -> None:
        roster = make(max_connections=1)
        old = opened(roster)
        now = 0.96 * HOUR
        look(roster, now)
        (heir,) = taken(roster, Open)
        assert not roster.ended(heir, UNAUTHORIZED, now)
        look(roster, now)
        assert taken(roster, Open) == []
        assert roster.retries_at(now, ()) is None
        assert roster.deadline(now) == HOUR
        assert roster.takes_new(old)


class TestFailing:
    def test_scenario_28_after_a_failure_it_waits_and_tries_one_at_a_time(self) -> None:
        roster = make()
        first, second = opening(roster, count=32)
        assert not roster.ended(first, REFUSED, 0.0)
        assert not roster.ended(second, REFUSED, 0.0)
        assert opening(roster, count=32, now=0.9) == []
        assert roster.retries_at(0.9, {None}) == 1.0
        assert len(opening(roster, count=32, now=1.0)) == 1
        assert opening(roster, count=32, now=1.0) == []
        assert roster.retries_at(1.0, {None}) is None

    def test_scenario_28_how_long_it_waits_is_left_to_chance_in_part(self) -> None:
        waits = []
        for draw in (0.0, 0.5, 1.0):
            roster = make(draw=draw, backoff=Backoff(initial=1.0, jitter=0.5))
            roster.ended(opening(roster)[0], REFUSED, 0.0)
            waits.append(roster.retries_at(0.0, {None}))
        assert waits == [1.0, 0.75, 0.5]

    def test_scenario_28_and_after_so_many_it_gives_up(self) -> None:
        roster = make()
        assert not roster.ended(opening(roster)[0], REFUSED, 0.0)
        assert roster.ended(opening(roster, now=1.0)[0], REFUSED, 1.0)

    def test_not_while_another_one_is_open(self) -> None:
        roster = make(lanes=False)
        opened(roster)
        for now in range(0, 1000, 100):
            assert not roster.ended(opening(roster, now=now)[0], REFUSED, now)

    @pytest.mark.parametrize("status", [401, 403, 404, 426])
    def test_scenario_28_what_is_refused_for_good_is_not_tried_again(self, status: int) -> None:
        roster = make()
        assert roster.ended(opening(roster)[0], ConnectFailedError("no", status=status), 0.0)
        assert roster.retries_at(0.0, {None}) is None
        assert len(opening(roster)) == 1  # for whoever asks after that

    def test_nor_while_another_one_is_open(self) -> None:
        roster = make(lanes=False)
        slot = opened(roster)
        assert not roster.ended(opening(roster)[0], UNAUTHORIZED, 0.0)
        roster.hurry(None)
        assert opening(roster, now=HOUR) == []
        roster.ended(slot, None, HOUR)
        assert len(opening(roster, now=HOUR)) == 1

    def test_scenario_28_retry_after_is_obeyed(self) -> None:
        roster = make()
        roster.ended(opening(roster)[0], ConnectFailedError("no", status=503, headers={"Retry-After": "30"}), 0.0)
        roster.hurry(None)
        assert opening(roster, now=29.9) == []
        assert roster.retries_at(0.0, {None}) == 30.0
        assert len(opening(roster, now=30.0)) == 1

    def test_scenario_28_a_retry_after_that_is_too_long_is_a_no(self) -> None:
        roster = make()
        error = ConnectFailedError("no", status=503, headers={"Retry-After": "601"})
        assert roster.ended(opening(roster)[0], error, 0.0)
        assert "asks to wait 601 s" in str(error)
        assert roster.retries_at(0.0, {None}) is None
        roster.hurry(None)
        assert len(opening(roster, now=1.0)) == 1  # somebody asks anew

    def test_whoever_has_not_waited_yet_does_not(self) -> None:
        roster = make()
        roster.ended(opening(roster)[0], REFUSED, 0.0)
        roster.hurry(None)
        assert len(opening(roster)) == 1

    def test_so_it_is_when_connections_are_to_be_kept(self) -> None:
        roster = make()
        roster.ended(opening(roster)[0], REFUSED, 0.0)
        roster.prewarm(1, None)
        roster.keep_warm(0.0)
        assert len(taken(roster, Open)) == 1

    def test_one_that_opens_ends_the_wait(self) -> None:
        roster = make()
        first, second = opening(roster, count=32)
        roster.ended(first, REFUSED, 0.0)
        roster.opened(second, 0.5)
        assert roster.retries_at(0.5, {None}) is None
        assert len(opening(roster, now=0.5)) == 1

    def test_routes_fail_by_themselves(self) -> None:
        roster = make()
        roster.ended(opening(roster, "x")[0], REFUSED, 0.0)
        assert len(opening(roster, "y")) == 1
        assert opening(roster, "x") == []
        assert roster.retries_at(0.0, {"y"}) is None
        assert roster.retries_at(0.0, {"x", "y"}) == 1.0

    def test_of_so_many_routes_the_failures_are_remembered(self) -> None:
        roster = make()
        for number in range(_REMEMBERED + 1):
            roster.ended(opening(roster, str(number))[0], REFUSED, 0.0)
        assert len(opening(roster, "0")) == 1
        assert opening(roster, "1") == []

    def test_one_that_is_lost_before_it_was_of_use_has_failed(self) -> None:
        roster = make()
        assert not roster.ended(opened(roster), LOST, 0.0)
        assert opening(roster) == []
        assert roster.ended(opened(roster, now=1.0), LOST, 1.0)

    def test_scenario_56_one_that_worked_is_replaced_at_once(self) -> None:
        roster = make()
        slot = opened(roster)
        roster.proved(slot)
        assert not roster.ended(slot, LOST, 0.0)
        assert len(opening(roster)) == 1

    def test_one_that_stood_for_long_has_not_failed_either(self) -> None:
        roster = make()
        for now in range(0, 1000, 100):
            assert not roster.ended(opened(roster, now=now), LOST, now + 4.0)
        assert len(opening(roster, now=1000)) == 1

    def test_nor_has_one_that_this_side_closed(self) -> None:
        roster = make()
        for _ in range(5):
            assert not roster.ended(opened(roster), None, 0.0)
        assert len(opening(roster)) == 1

    def test_one_event_makes_up_for_all_failures(self) -> None:
        roster = make()
        roster.ended(opening(roster)[0], REFUSED, 0.0)
        slot = opened(roster, now=1.0)
        roster.proved(slot)
        assert len(opening(roster, count=100, now=1.0)) == 7


class TestPlaceFor:
    def test_none_without_a_connection(self) -> None:
        assert make().place_for(None) is None

    def test_the_fullest_one_with_room(self) -> None:
        roster = make()
        emptier, fuller, full = opened(roster), opened(roster), opened(roster)
        emptier.active, fuller.active, full.active = 1, 15, 16
        place = roster.place_for(None)
        assert place is not None
        assert place.slot is fuller

    def test_one_of_its_route(self) -> None:
        roster = make()
        opened(roster, "x")
        assert roster.place_for("y") is None

    def test_lanes_where_a_response_may_follow_count(self) -> None:
        roster = make(lanes=None)
        slot = idle(roster)
        place = next(iter(slot.places.values()))
        place.steers = slot.steers = 1
        assert roster.place_for(None) is None

    def test_nobody_loses_a_response_while_another_connection_may_come(self) -> None:
        roster = make(lanes=False, max_connections=2)
        hold(idle(roster), HeldResponse("r", False))
        assert roster.place_for(None) is None
        (coming,) = opening(roster)
        assert roster.place_for(None) is None
        roster.opened(coming, 0.0)
        place = roster.place_for(None)
        assert place is not None
        assert place.slot is coming

    def test_at_the_limit_it_is_the_one_used_longest_ago(self) -> None:
        roster = make(lanes=False, max_connections=2)
        slots = [idle(roster), idle(roster)]
        for slot, since in zip(slots, (7.0, 3.0), strict=True):
            hold(slot, HeldResponse("r", False))
            slot.idle_since = since
        place = roster.place_for(None)
        assert place is not None
        assert place.slot is slots[1]

    @pytest.mark.parametrize("error", [UNAUTHORIZED, REFUSED])
    def test_so_it_is_when_no_connection_can_be_made(self, error: Exception) -> None:
        roster = make(lanes=False)
        hold(idle(roster), HeldResponse("r", False))
        for now in (0.0, 100.0):
            slots = opening(roster, now=now)
            for slot in slots:
                assert roster.place_for(None) is None
                roster.ended(slot, error, now)
        assert roster.place_for(None) is not None


def test_what_drains_waits_for_its_forks() -> None:
    roster = make()
    slot = idle(roster)
    slot.forks.add(PoolRequest(), 1)
    look(roster, 0.97 * HOUR)
    assert [one for one in roster.slots if one.state is not PoolConnectionState.CONNECTING] == [slot]
