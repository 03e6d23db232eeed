"""Which member of a fleet gets which request, and what becomes of requests whose member fails."""

from __future__ import annotations

from collections import Counter

import pytest

from rxresponses.errors import (
    FirstEventTimeoutError,
    InvalidRequestError,
    PreviousResponseLostError,
    QueueFullError,
    QueueTimeoutError,
)
from rxresponses.pool.fleet_errors import FleetUnavailableError
from rxresponses.pool.lanes import PoolRequestState

from .fleet_driver import DOWN, NOT_FOUND, FleetDriver, failure, lost

# Load.


def test_requests_go_to_the_least_loaded_member() -> None:
    fleet = FleetDriver(3)
    requests = [fleet.send() for _ in range(9)]
    assert fleet.loads() == [3, 3, 3]
    for request in requests:
        if fleet.at(request) == 1:
            fleet.succeed(request)
    later = [fleet.send() for _ in range(3)]
    assert {fleet.at(request) for request in later} == {1}


def test_members_with_the_same_load_take_turns() -> None:
    fleet = FleetDriver(3)
    for _ in range(9):
        fleet.succeed(fleet.send())
    assert Counter(member.number for _, member in fleet.given) == {1: 3, 2: 3, 3: 3}


def test_turns_follow_the_weights() -> None:
    fleet = FleetDriver(2, weights=(3.0, 1.0))
    for _ in range(40):
        fleet.succeed(fleet.send())
    assert Counter(member.number for _, member in fleet.given) == {1: 30, 2: 10}


def test_load_is_in_relation_to_room_and_weight() -> None:
    fleet = FleetDriver(3, rooms=(8, 4, 4), weights=(1.0, 1.0, 0.5))
    for _ in range(7):
        fleet.send()
    assert fleet.loads() == [4, 2, 1]


def test_a_member_without_room_gets_nothing_and_the_oldest_request_goes_first() -> None:
    fleet = FleetDriver(2, rooms=(1, 1))
    first, second, third, fourth = [fleet.send() for _ in range(4)]
    assert fleet.loads() == [1, 1]
    assert fleet.fleet.queued == 2
    fleet.succeed(second)
    assert fleet.at(third) == 1
    fleet.succeed(first)
    assert fleet.at(fourth) == 0


def test_a_member_that_was_away_does_not_get_all_that_it_has_missed() -> None:
    fleet = FleetDriver(2)
    fleet.clients[1].most = 0
    for _ in range(10):
        fleet.succeed(fleet.send())
    fleet.clients[1].most = 16
    for _ in range(10):
        fleet.succeed(fleet.send())
    assert Counter(member.number for _, member in fleet.given[10:]) == {1: 5, 2: 5}


def test_too_many_requests_in_the_queue_fail_the_latest_first() -> None:
    fleet = FleetDriver(1, rooms=(1,), max_queued=2)
    requests = [fleet.send(acts=False, stream_id=None) for _ in range(5)]
    fleet.act()
    assert [fleet.at(request) for request in requests] == [0, None, None, None, None]
    assert set(fleet.errors) == set(requests[3:])
    assert isinstance(fleet.errors[requests[3]], QueueFullError)


def test_a_disposed_request_frees_its_place() -> None:
    fleet = FleetDriver(1, rooms=(1,))
    running, waiting, last = [fleet.send() for _ in range(3)]
    fleet.fleet.withdraw(waiting)
    fleet.leave(running)
    fleet.fleet.withdraw(running)
    fleet.act()
    assert fleet.at(last) == 0
    assert waiting.state is PoolRequestState.ENDED
    assert fleet.fleet.waiting() == []
    assert not fleet.fleet.failed(running, DOWN, 0.0)  # what comes after the dispose is of no effect
    fleet.fleet.succeeded(running)
    fleet.fleet.taken_back(running, 0.0)
    assert fleet.fleet.queued == 0


# Lanes and conversations.


def test_requests_with_one_stream_id_run_in_order_on_one_member() -> None:
    fleet = FleetDriver(3)
    first, second, third = [fleet.send(stream_id="a") for _ in range(3)]
    assert fleet.loads() == [1, 0, 0]
    for _ in range(2):
        fleet.send()  # so that the other members have the same load
    fleet.succeed(first)
    assert fleet.at(second) == 0
    fleet.succeed(second)
    assert fleet.at(third) == 0


def test_a_lane_moves_if_its_member_fails() -> None:
    fleet = FleetDriver(2, rooms=(1, 1))
    first, second = fleet.send(stream_id="a"), fleet.send(stream_id="a")
    other = fleet.send()
    third = fleet.send()
    fleet.fail(first, lost())
    assert fleet.at(third) is None or fleet.at(second) is None
    fleet.members[0].breaker.failed(fleet.members[0].breaker.generation, 0.0, DOWN, gone=True)
    fleet.succeed(other)
    assert {fleet.at(second), fleet.at(third)} <= {0, 1, None}
    again = fleet.send(stream_id="b")
    fleet.send(stream_id="b")
    assert again.state is PoolRequestState.WAITING


def test_a_continuation_goes_to_the_member_of_its_parent() -> None:
    fleet = FleetDriver(3)
    fleet.send()
    parent = fleet.send()
    fleet.succeed(parent, "r1")
    for _ in range(4):
        assert fleet.at(fleet.send(parent_id="r1")) == 1
    assert fleet.fleet.home_of("r1") is fleet.members[1]
    assert fleet.fleet.home_of("r2") is None


def test_a_continuation_waits_for_room_on_its_member_and_does_not_hold_up_others() -> None:
    fleet = FleetDriver(2, rooms=(1, 1))
    parent = fleet.send()
    fleet.succeed(parent, "r1")
    fleet.fleet.made(fleet.members[0], "r2")
    busy = fleet.send(parent_id="r2")
    waits = fleet.send(parent_id="r1")
    other = fleet.send()
    assert [fleet.at(request) for request in (busy, waits, other)] == [0, None, 1]
    fleet.succeed(busy)
    assert fleet.at(waits) == 0


@pytest.mark.parametrize("stores", [True, False])
def test_a_parent_that_its_member_has_lost_needs_a_history(stores: bool) -> None:
    fleet = FleetDriver(2)
    fleet.fleet.made(fleet.members[0], "r1")
    fleet.clients[0].lost.add("r1")
    fleet.clients[0].most = 0
    fails = fleet.send(parent_id="r1", stores=stores)
    moves = fleet.send(parent_id="r1", stores=stores, has_history=True)
    assert isinstance(fleet.errors[fails], PreviousResponseLostError)
    assert "history" in str(fleet.errors[fails])
    assert fleet.at(moves) == 1
    assert moves.sends_history


def test_an_unknown_parent_is_taken_for_lost_by_an_unstored_request() -> None:
    fleet = FleetDriver(2)
    fails, moves = fleet.send(parent_id="r", stores=False), fleet.send(parent_id="r", stores=False, has_history=True)
    assert isinstance(fleet.errors[fails], PreviousResponseLostError)
    assert moves.sends_history


def test_each_member_is_asked_once_for_an_unknown_parent() -> None:
    fleet = FleetDriver(3)
    request = fleet.send(parent_id="r")
    asked = []
    for last in (False, False, True):
        asked.append(fleet.at(request))
        assert fleet.fail(request, failure(NOT_FOUND, 400)) is not last
    assert set(asked) == {0, 1, 2}
    assert request not in fleet.errors  # the subscriber gets the failure event


def test_the_search_for_a_parent_ends_when_the_last_member_that_was_not_asked_leaves() -> None:
    fleet = FleetDriver(2, rooms=(1, 1))
    early, _ = fleet.send(), fleet.send()
    fleet.succeed(early)
    request = fleet.send(parent_id="resp_unknown")
    assert fleet.at(request) == 0
    assert fleet.fail(request, failure(NOT_FOUND))
    assert fleet.at(request) is None  # waits for room at the other member
    fleet.fleet.leave(fleet.members[1])
    fleet.act()
    assert isinstance(fleet.errors[request], PreviousResponseLostError)


def test_a_member_that_knows_an_unknown_parent_ends_the_search() -> None:
    fleet = FleetDriver(2)
    request = fleet.send(parent_id="r")
    assert fleet.fail(request, failure(NOT_FOUND, 400))
    assert fleet.at(request) == 1
    fleet.succeed(request, "r2")
    assert fleet.at(fleet.send(parent_id="r2")) == 1


def test_the_search_for_a_parent_waits_for_a_member_that_does_not_work() -> None:
    fleet = FleetDriver(3)
    ill = fleet.send()
    fleet.fail(ill, DOWN)
    request = fleet.send(parent_id="r")
    first = fleet.at(request)
    assert fleet.fail(request, failure(NOT_FOUND, 400))
    assert {first, fleet.at(request)} == {1, 2}
    assert fleet.fail(request, failure(NOT_FOUND, 400))
    assert fleet.at(request) is None
    fleet.until()
    assert fleet.at(request) == 0


def test_a_known_parent_that_its_server_has_forgotten_is_told() -> None:
    fleet = FleetDriver(2)
    fleet.fleet.made(fleet.members[0], "r1")
    request = fleet.send(parent_id="r1")
    assert not fleet.fail(request, failure(NOT_FOUND, 400))


def test_a_conversation_moves_with_its_history_while_its_member_does_not_work() -> None:
    fleet = FleetDriver(2)
    fleet.fleet.made(fleet.members[0], "r1")
    request = fleet.send(parent_id="r1", has_history=True)
    assert fleet.at(request) == 0
    assert not request.sends_history
    assert fleet.fail(request, DOWN)
    assert fleet.at(request) == 1
    assert request.sends_history


def test_a_continuation_without_history_is_told_what_to_do_while_its_member_does_not_work() -> None:
    fleet = FleetDriver(2)
    fleet.fleet.made(fleet.members[0], "r1")
    request, waits = fleet.send(parent_id="r1"), fleet.send(parent_id="r1")
    fleet.unsent.add(waits)
    assert fleet.fail(request, DOWN)
    for failed in (request, waits, fleet.send(parent_id="r1")):
        error = fleet.errors[failed]
        assert isinstance(error, PreviousResponseLostError)
        assert error.__cause__ is DOWN
        assert "`history`" in str(error)
        assert "m0" in str(error)
    fleet.act(1.0)
    trial, later = fleet.send(parent_id="r1"), fleet.send()
    assert [fleet.at(trial), fleet.at(later)] == [0, 1]


def test_a_continuation_waits_for_its_member_if_no_other_works() -> None:
    fleet = FleetDriver(2)
    fleet.fleet.made(fleet.members[0], "r1")
    request, other = fleet.send(parent_id="r1"), fleet.send()
    assert fleet.fail(other, DOWN)
    assert fleet.at(other) == 0
    assert fleet.fail(request, DOWN)
    assert fleet.fleet.queued == 1
    fleet.until()
    trial = fleet.clients[0].running[0]
    fleet.succeed(trial)
    assert request in (trial, *fleet.clients[0].running)


def test_a_continuation_fails_when_its_member_is_given_up_and_others_are_only_ill() -> None:
    fleet = FleetDriver(2)
    fleet.fleet.made(fleet.members[0], "r1")
    request = fleet.send(parent_id="r1")
    one, two = (member.breaker for member in fleet.members)
    two.failed(two.sending(), 0.0, failure("server_error", 500), gone=True)
    assert fleet.fail(request, failure("invalid_api_key", 401))
    assert one.is_hopeless
    assert isinstance(fleet.errors[request], PreviousResponseLostError)


def test_a_parent_that_was_lost_by_a_refusal_is_not_sent_again() -> None:
    fleet = FleetDriver(2)
    fleet.fleet.made(fleet.members[0], "r1")
    request = fleet.send(parent_id="r1", stores=False)
    fleet.clients[0].lost.add("r1")
    assert not fleet.fail(request, failure("server_error", 500))


def test_the_requests_of_a_lane_look_for_another_member_when_theirs_fails() -> None:
    fleet = FleetDriver(2, rooms=(1, 2))
    first, second = fleet.send(stream_id="a"), fleet.send(stream_id="a")
    other, filler = fleet.send(), fleet.send()
    assert [fleet.at(one) for one in (first, other, filler)] == [0, 1, 1]
    taken = fleet.send()
    fleet.succeed(first)  # the older request of the lane waits for the same member
    assert fleet.at(second) == 0
    third = fleet.send(stream_id="a")
    fleet.succeed(second)
    assert [fleet.at(taken), fleet.at(third)] == [0, None]
    assert third in fleet.members[0].bound
    fleet.fail(taken, DOWN)
    fleet.succeed(other)
    assert fleet.at(taken) == 1
    fleet.succeed(filler)
    assert fleet.at(third) == 1


def test_requests_that_came_after_all_was_given_up_are_not_failed() -> None:
    fleet = FleetDriver(1)
    early = fleet.send()
    fleet.leave(early)
    assert fleet.fleet.failed(early, failure("invalid_api_key", 401), 0.0)
    late = fleet.send()
    assert early in fleet.errors
    assert late not in fleet.errors


# Failures.


def test_a_request_that_was_not_sent_goes_to_another_member_at_once() -> None:
    fleet = FleetDriver(3)
    requests = [fleet.send() for _ in range(6)]
    unsent = [request for request in requests if fleet.at(request) == 0]
    fleet.unsent.update(unsent)
    assert fleet.fail(unsent[0], DOWN)  # its breaker opens, so the other one is taken back
    assert fleet.loads() == [0, 3, 3]
    assert not fleet.errors
    assert len(fleet.given) == 8


def test_a_request_that_may_have_been_processed_is_not_sent_again() -> None:
    fleet = FleetDriver(2)
    for error in (lost("unknown"), lost("started"), FirstEventTimeoutError(5, delivery="unknown")):
        request = fleet.send()
        assert not fleet.fail(request, error)
        assert request.state is PoolRequestState.ENDED
    request = fleet.send()
    assert not fleet.fail(request, failure("server_error", 500), may_move=False)


def test_a_refused_request_goes_to_each_member_and_then_waits() -> None:
    fleet = FleetDriver(3, breaker={"failures": 100})
    request = fleet.send()
    where = [fleet.at(request)]
    for _ in range(2):
        assert fleet.fail(request, failure("server_error", 500))
        where.append(fleet.at(request))
    assert sorted(where, key=str) == [0, 1, 2]
    assert fleet.fail(request, failure("server_error", 500))
    assert fleet.at(request) is None  # each has failed: wait
    fleet.until()
    assert fleet.now == 1.0
    assert fleet.fail(request, failure("server_error", 500))
    assert not fleet.fail(request, failure("server_error", 500))  # `max_retries` is 2, and there are 3 members


def test_a_rate_limit_makes_a_member_busy_not_ill() -> None:
    fleet = FleetDriver(2)
    requests = [fleet.send() for _ in range(4)]
    refused, unsent = [request for request in requests if fleet.at(request) == 0]
    fleet.unsent.add(unsent)
    fleet.clients[0].most = 0  # the pool pauses
    assert fleet.fail(refused, failure("rate_limit_exceeded", 429))
    assert fleet.members[0].breaker.state == "closed"
    assert fleet.loads() == [0, 4]


def test_a_limit_with_too_long_a_wait_opens_the_breaker() -> None:
    fleet = FleetDriver(2)
    request = fleet.send()
    assert fleet.fail(request, failure("rate_limit_exceeded", 429, retry_after=9999.0))
    assert fleet.members[0].breaker.state == "open"
    assert fleet.at(request) == 1


def test_an_invalid_request_says_nothing_against_its_member() -> None:
    fleet = FleetDriver(1, breaker={"failures": 2})
    for error in (failure("invalid_prompt", 400), InvalidRequestError("no"), failure("context_length_exceeded")) * 2:
        request = fleet.send()
        assert not fleet.fail(request, error)
    assert fleet.members[0].breaker.state == "closed"


def test_all_requests_of_a_lost_connection_are_one_failure() -> None:
    fleet = FleetDriver(1, breaker={"failures": 3})
    requests = [fleet.send() for _ in range(6)]
    for request in requests[:4]:
        fleet.fail(request, lost(), connection="first")
    assert fleet.members[0].breaker.failures == 1
    fleet.fail(requests[4], lost(), connection="second")
    fleet.fail(requests[5], lost(), connection=None)
    assert fleet.members[0].breaker.state == "open"


def test_a_trial_ends_with_the_first_output() -> None:
    fleet = FleetDriver(1)
    fleet.fail(fleet.send(), DOWN)
    (trial, *_), _ = zip(*fleet.given, strict=True)
    other = fleet.send()
    fleet.until()
    assert fleet.loads() == [1]
    assert fleet.at(trial) == 0
    fleet.fleet.answers(trial)
    fleet.act()
    assert fleet.at(other) == 0
    fleet.fleet.answers(other)
    fleet.fail(trial, lost())
    assert fleet.members[0].breaker.failures == 1


def test_a_trial_that_loses_its_connection_after_an_earlier_request_has_ended() -> None:
    fleet = FleetDriver(1, breaker={"failures": 3})
    early = fleet.send()
    for request in [fleet.send() for _ in range(3)]:
        fleet.fail(request, failure("server_error", 500), may_move=False)
    trial = fleet.send()
    fleet.until()
    assert fleet.at(trial) == 0
    fleet.fail(early, lost(), connection="the same")
    fleet.fail(trial, lost(), connection="the same")
    assert fleet.members[0].breaker.state == "open"
    late = fleet.send()
    fleet.until()
    assert fleet.at(late) == 0  # the next trial


def test_a_disposed_trial_lets_another_request_try() -> None:
    fleet = FleetDriver(1)
    trial = fleet.send()
    fleet.fail(trial, DOWN)
    fleet.until()
    other = fleet.send()
    fleet.leave(trial)
    fleet.fleet.withdraw(trial)
    fleet.act()
    assert fleet.at(other) == 0


# No member works.


def test_requests_wait_for_the_next_trial_within_the_queue_timeout() -> None:
    fleet = FleetDriver(2, queue_timeout=0.5)
    request = fleet.send()
    fleet.fail(request, DOWN)
    fleet.fail(request, DOWN)
    assert fleet.fleet.queued == 1
    fleet.until()
    error = fleet.errors[request]
    assert isinstance(error, FleetUnavailableError)
    assert error.delivery == "not_sent"
    assert [row[:2] for row in error.members] == [("m0", "open"), ("m1", "open")]
    assert error.__cause__ is DOWN
    assert "within 0.5 s" in str(error)
    assert "m1 has failed (refused) and is tried again in 0.5 s" in str(error)


def test_an_overdue_request_is_told_that_members_are_busy_or_being_tried() -> None:
    fleet = FleetDriver(2, queue_timeout=3.0, rooms=(1, 1))
    fleet.fleet.made(fleet.members[1], "r1")
    first = fleet.send()
    fleet.fail(first, DOWN)  # and goes to the other member
    waits = fleet.send()
    fleet.until()
    assert fleet.at(waits) == 0  # the trial
    overdue, bound = fleet.send(), fleet.send(parent_id="r1")
    fleet.members[1].breaker.failed(fleet.members[1].breaker.generation, fleet.now, failure("server_error"), gone=True)
    assert fleet.now == 1.0
    fleet.until(4.0)
    error = fleet.errors[overdue]
    assert isinstance(error, FleetUnavailableError)
    assert "m0 has failed (refused) and is being tried again" in str(error)
    error = fleet.errors[bound]
    assert isinstance(error, FleetUnavailableError)
    assert [row[0] for row in error.members] == ["m1"]


def test_an_overdue_request_with_members_that_work_gets_a_queue_timeout() -> None:
    fleet = FleetDriver(1, queue_timeout=2.0, rooms=(1,))
    fleet.send()
    overdue = fleet.send()
    fleet.until()
    error = fleet.errors[overdue]
    assert type(error) is QueueTimeoutError
    assert "no member that could take it had room, or the limits" in str(error)


def test_a_request_that_waits_in_the_client_of_its_member_is_overdue_too() -> None:
    fleet = FleetDriver(1, queue_timeout=2.0)
    unsent, sent = fleet.send(), fleet.send()
    fleet.unsent.add(unsent)
    fleet.until()
    assert type(fleet.errors[unsent]) is QueueTimeoutError
    assert fleet.at(sent) == 0
    assert fleet.fleet.deadline(fleet.now) is None


def test_all_requests_fail_when_all_tries_have_failed() -> None:
    fleet = FleetDriver(2)
    first, second = fleet.send(), fleet.send()
    for _ in range(20):
        if fleet.errors:
            break
        for client in fleet.clients:
            for request in tuple(client.running):
                fleet.fail(request, DOWN)
        if not fleet.errors:
            fleet.until()
    assert set(fleet.errors) == {first, second}
    late = fleet.send()  # it has not seen that failure, and may be the next trial
    assert late not in fleet.errors
    fleet.until()
    assert fleet.at(late) is not None


def test_lasting_errors_fail_at_once() -> None:
    fleet = FleetDriver(2)
    request = fleet.send()
    assert fleet.fail(request, failure("invalid_api_key", 401))
    assert not fleet.errors
    assert fleet.fail(request, failure("invalid_api_key", 401))
    error = fleet.errors[request]
    assert isinstance(error, FleetUnavailableError)
    assert error.delivery == "rejected"
    assert "refused before any output" in str(error)


# Members come and go.


def test_a_member_that_leaves_finishes_and_gets_nothing_more() -> None:
    fleet = FleetDriver(2)
    requests = [fleet.send() for _ in range(4)]
    running, unsent = [request for request in requests if fleet.at(request) == 0]
    fleet.unsent.add(unsent)
    fleet.fleet.leave(fleet.members[0])
    fleet.act()
    assert fleet.loads() == [1, 3]
    fleet.succeed(running, "r1")
    assert fleet.at(fleet.send()) == 1
    fails, moves = fleet.send(parent_id="r1"), fleet.send(parent_id="r1", has_history=True)
    assert "was removed" in str(fleet.errors[fails])
    assert fleet.at(moves) == 1
    fleet.fleet.remove(fleet.members[0])
    assert fleet.fleet.members == fleet.members[1:]


def test_a_fleet_without_members_fails_what_waits() -> None:
    fleet = FleetDriver(1, rooms=(1,))
    fleet.send()
    waits = fleet.send()
    fleet.fleet.leave(fleet.members[0])
    fleet.act()
    assert "it has no members" in str(fleet.errors[waits])


def test_a_full_member_is_named_as_such() -> None:
    fleet = FleetDriver(2, rooms=(1, 1), queue_timeout=1.0)
    fleet.fleet.made(fleet.members[0], "r1")
    fleet.send(parent_id="r1")
    overdue = fleet.send(parent_id="r1")
    fleet.until()
    assert type(fleet.errors[overdue]) is QueueTimeoutError
