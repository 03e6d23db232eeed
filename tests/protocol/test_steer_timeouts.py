"""Steers whose answer or successor does not come: what the caller may time, and what abandoning does."""

from __future__ import annotations

import pytest

from rxresponses.protocol.request import ENDED, SENT, STARTED
from rxresponses.wire.events import ServerEvent

from .driver import (
    LANES,
    accepted,
    answer,
    assert_nothing_left,
    assert_nothing_open,
    begins,
    completed,
    created,
    delta,
    failed,
    overdue,
    pending,
    refusal,
    running,
    send,
    send_accepted_steers,
    send_steer,
    steered,
    steering,
    submit,
)


class TestUnanswered:
    """A server that does not know steering may ignore a steer."""

    @LANES
    def test_the_lane_is_free_after_the_target(self, lane: str | None) -> None:
        protocol, target = running(lane)
        steer, next_request = send_steer(protocol), submit(protocol, lane)
        protocol.abandon(steer)
        assert steer.delivery == "unknown"
        assert protocol.open_requests() == [target, next_request]
        assert protocol.next_to_send() is None
        assert protocol.receive(delta("x", lane)) is target
        assert protocol.receive(completed("r1", lane)) is target
        assert protocol.next_to_send() is next_request
        assert protocol.receive(created("r2", lane)) is next_request
        assert protocol.receive(completed("r2", lane)) is next_request
        assert_nothing_open(protocol)

    def test_abandoned_after_the_target_ended(self) -> None:
        protocol, _ = running()
        steer, next_request = send_steer(protocol), submit(protocol)
        protocol.receive(completed("r1"))
        assert protocol.next_to_send() is None
        protocol.lanes.changed = False
        protocol.abandon(steer)
        assert protocol.lanes.changed
        assert protocol.next_to_send() is next_request

    def test_one_of_two_steers(self) -> None:
        protocol, _ = running()
        first, second, next_request = send_steer(protocol), send_steer(protocol), submit(protocol)
        protocol.receive(completed("r1"))
        protocol.abandon(first)
        assert protocol.next_to_send() is None
        protocol.abandon(second)
        assert protocol.next_to_send() is next_request

    def test_the_target_is_unknown(self) -> None:
        protocol, target = running()
        steer = send_steer(protocol, "r0")
        protocol.abandon(steer)
        assert protocol.open_requests() == [target]
        assert protocol.receive(completed("r1")) is target
        assert_nothing_open(protocol)
        assert protocol.receive(failed(target_id="r0")) is steer
        assert_nothing_left(protocol)

    def test_accepted_after_it_was_abandoned(self) -> None:
        protocol, target = running()
        steer, next_request = send_steer(protocol), submit(protocol)
        protocol.abandon(steer)
        assert protocol.receive(accepted("s1", "r1")) is steer
        assert protocol.receive(completed("r1")) is target
        assert protocol.next_to_send() is None
        assert protocol.receive(created("r2")) is steer
        assert steer.cancelled
        assert protocol.receive(completed("r2")) is steer
        assert protocol.next_to_send() is next_request

    def test_refused_after_it_was_abandoned(self) -> None:
        protocol, target = running()
        steer = send_steer(protocol)
        protocol.abandon(steer)
        assert protocol.receive(failed(target_id="r1")) is steer
        protocol.abandon(steer)
        assert protocol.receive(completed("r1")) is target
        assert_nothing_left(protocol)

    def test_refused_by_an_error_after_it_was_abandoned(self) -> None:
        protocol, target = running()
        steer = send_steer(protocol)
        protocol.abandon(steer)
        assert protocol.receive(refusal("what is response.steer?")) is steer
        assert protocol.receive(completed("r1")) is target
        assert_nothing_left(protocol)

    @pytest.mark.parametrize("late", [True, False])
    def test_a_target_that_ended_as_steered_shows_that_the_steer_was_accepted(self, late: bool) -> None:
        protocol, target = running()
        steer, next_request = send_steer(protocol), submit(protocol)
        if late:
            protocol.abandon(steer)
        assert protocol.receive(steered("r1")) is target
        assert steer.state is STARTED  # so that no timeout frees the lane before the successor comes
        assert protocol.next_to_send() is None
        assert protocol.receive(accepted("s1", "r1")) is steer
        assert protocol.receive(created("r2")) is steer
        assert protocol.receive(completed("r2")) is steer
        assert protocol.next_to_send() is next_request

    def test_then_a_steer_that_is_not_abandoned_comes_first(self) -> None:
        protocol, _ = running()
        first, second = send_steer(protocol), send_steer(protocol)
        protocol.abandon(first)
        protocol.receive(steered("r1"))
        assert protocol.receive(created("r2")) is second
        assert second.shared_with == ()
        assert protocol.receive(completed("r2")) is second
        assert_nothing_open(protocol)

    def test_a_late_refusal_reaches_no_other_request(self) -> None:
        protocol, _ = running()
        steer, next_request = send_steer(protocol), submit(protocol)
        protocol.receive(completed("r1"))
        protocol.abandon(steer)
        assert protocol.next_to_send() is next_request
        assert protocol.receive(refusal("what is response.steer?")) is steer
        assert protocol.receive(created("r2")) is next_request
        assert protocol.receive(completed("r2")) is next_request
        assert_nothing_left(protocol)

    def test_only_the_latest_abandoned_steers_are_remembered(self) -> None:
        protocol, target = running()
        steers = [send_steer(protocol) for _ in range(100)]
        for steer in steers:
            protocol.abandon(steer)
        assert len(protocol._steers._open) == 64
        assert (steers[35].state, steers[36].state) == (ENDED, SENT)
        assert protocol.receive(failed(target_id="r1")) is steers[36]
        assert protocol.receive(completed("r1")) is target
        assert_nothing_open(protocol)


class TestSuccessorDue:
    """The successor of an accepted steer is due once nothing runs on the lane: then the timeout starts."""

    @LANES
    def test_from_the_end_of_the_target(self, lane: str | None) -> None:
        protocol, steer = steering(lane)
        assert protocol.start_steer_timeouts(6.0) == []
        assert not steer.successor_due  # however long the target runs
        protocol.lanes.changed = False
        protocol.receive(completed("r1", lane))
        assert protocol.lanes.changed  # so that the caller starts the timeout
        assert protocol.start_steer_timeouts(20.0) == [steer]
        assert (steer.successor_due, steer.since) == (True, 20.0)
        assert protocol.start_steer_timeouts(21.0) == []
        assert steer.since == 20.0

    def test_from_the_acceptance_if_that_is_later(self) -> None:
        protocol, _ = running()
        steer = send_steer(protocol)
        protocol.receive(completed("r1"))
        assert protocol.start_steer_timeouts(20.0) == []
        assert steer.since == 5.0
        protocol.lanes.changed = False
        protocol.receive(accepted("s1", "r1"))
        assert protocol.lanes.changed
        assert protocol.start_steer_timeouts(30.0) == [steer]
        assert steer.since == 30.0

    def test_each_of_two_steers_from_its_own_acceptance(self) -> None:
        protocol, _ = running()
        first, second = send_steer(protocol), send_steer(protocol)
        protocol.receive(accepted("s1", "r1"))
        protocol.receive(completed("r1"))
        assert protocol.start_steer_timeouts(20.0) == [first]
        protocol.receive(accepted("s2", "r1"))
        assert protocol.start_steer_timeouts(30.0) == [second]
        assert (first.since, second.since) == (20.0, 30.0)

    def test_from_the_end_of_a_target_that_ended_as_steered(self) -> None:
        protocol, _ = running()
        steer = send_steer(protocol)
        protocol.receive(steered("r1"))
        assert protocol.start_steer_timeouts(20.0) == [steer]

    def test_a_cancelled_steer_is_timed_too(self) -> None:
        protocol, steer = steering()
        protocol.dispose(steer)
        protocol.receive(completed("r1"))
        assert protocol.start_steer_timeouts(20.0) == [steer]  # no subscriber waits, but the lane does

    def test_accepted_after_it_was_abandoned(self) -> None:
        protocol, _ = running()
        steer = send_steer(protocol)
        protocol.abandon(steer)
        protocol.receive(accepted("s1", "r1"))
        protocol.receive(completed("r1"))
        assert protocol.start_steer_timeouts(20.0) == [steer]

    @pytest.mark.parametrize("echoes", [True, False])
    def test_not_while_a_response_runs_on_the_lane(self, echoes: bool) -> None:
        protocol, _ = running("a", echoes=echoes)
        stream_id = "a" if echoes else None
        protocol.receive(completed("r1", stream_id))
        next_request = send(protocol, "a")
        protocol.receive(created("r2", stream_id))
        steer = send_steer(protocol, "an id that was not seen")
        assert protocol.receive(accepted("s1", "an id that was not seen", stream_id)) is steer
        assert steer.stream_id == "a"
        assert protocol.start_steer_timeouts(20.0) == []
        assert protocol.receive(completed("r2", stream_id)) is next_request
        assert protocol.start_steer_timeouts(30.0) == [steer]

    def test_not_while_a_late_successor_runs_on_the_lane(self) -> None:
        protocol, first = overdue("a")
        protocol.receive(begins("r2", "r1", "a"))
        second = send_steer(protocol, "an id that was not seen")
        assert protocol.receive(accepted("s2", "an id that was not seen", "a")) is second
        assert (protocol.lanes.active, second.stream_id) == (1, "a")
        assert protocol.start_steer_timeouts(20.0) == []
        assert protocol.receive(completed("r2", "a")) is first
        assert protocol.start_steer_timeouts(30.0) == [second]

    def test_again_after_the_successor_of_another_steer(self) -> None:
        protocol, _ = running("a")
        old, steer = send_steer(protocol, "r0"), send_steer(protocol)
        protocol.receive(accepted("s0", "r0", "a"))
        protocol.receive(accepted("s1", "r1", "a"))
        protocol.receive(completed("r1", "a"))
        assert protocol.start_steer_timeouts(20.0) == [old, steer]
        assert protocol.receive(begins("r2", "r1", "a")) is steer
        assert steer.shared_with == ()
        assert (old.successor_due, steer.successor_due) == (False, False)
        assert protocol.start_steer_timeouts(30.0) == []
        assert protocol.receive(completed("r2", "a")) is steer
        assert protocol.start_steer_timeouts(40.0) == [old]
        assert old.since == 40.0
        assert protocol.receive(begins("r3", "r0", "a")) is old
        assert protocol.receive(completed("r3", "a")) is old
        assert_nothing_left(protocol)

    def test_no_longer_for_steers_whose_successor_has_begun(self) -> None:
        protocol, _ = running()
        first, second = send_accepted_steers(protocol, 2)
        protocol.receive(completed("r1"))
        assert protocol.start_steer_timeouts(20.0) == [first, second]
        protocol.receive(created("r2"))
        assert (first.successor_due, second.successor_due) == (False, False)
        assert (first.response_id, second.response_id) == ("r2", "r2")

    @pytest.mark.parametrize("event", [pending("s1", "r1"), failed("s1", "r1"), refusal("cannot steer")])
    def test_an_answer_ends_the_steer(self, event: ServerEvent) -> None:
        protocol, steer = steering()
        protocol.receive(completed("r1"))
        protocol.start_steer_timeouts(20.0)
        assert protocol.receive(event) is steer
        assert steer.state is ENDED
        assert_nothing_left(protocol)


class TestSuccessorOverdue:
    """The successor of an accepted steer does not come: the steer is abandoned, and the lane goes on."""

    @LANES
    def test_the_lane_is_free(self, lane: str | None) -> None:
        protocol, _ = running(lane)
        steer, next_request = send_steer(protocol), submit(protocol, lane)
        protocol.receive(accepted("s1", "r1", lane))
        protocol.receive(steered("r1", lane))
        assert protocol.start_steer_timeouts(20.0) == [steer]
        assert protocol.next_to_send() is None
        protocol.lanes.changed = False
        protocol.abandon(steer)
        assert protocol.lanes.changed
        assert steer.delivery == "started"  # the server has accepted the input
        assert protocol.open_requests() == [next_request]
        assert protocol.next_to_send() is next_request
        assert protocol.receive(created("r3", lane)) is next_request
        assert protocol.receive(delta("x", lane)) is next_request
        assert protocol.receive(completed("r3", lane)) is next_request
        assert_nothing_open(protocol)
        assert protocol.lost() == []

    def test_one_of_two_steers(self) -> None:
        protocol, _ = running()
        first, second, next_request = send_steer(protocol), send_steer(protocol), submit(protocol)
        protocol.receive(accepted("s1", "r1"))
        protocol.receive(completed("r1"))
        protocol.receive(accepted("s2", "r1"))
        protocol.abandon(first)
        assert protocol.next_to_send() is None
        assert protocol.open_requests() == [second, next_request]
        assert protocol.receive(created("r2")) is second
        assert second.shared_with == (first,)  # the successor answers both steers
        assert protocol.receive(completed("r2")) is second
        assert (first.state, second.state) == (ENDED, ENDED)
        assert protocol.next_to_send() is next_request

    @pytest.mark.parametrize("kind", ["pending", "failed"])
    def test_a_late_answer_reaches_no_other_steer(self, kind: str) -> None:
        protocol, first = overdue()
        next_request = send(protocol)
        second = send_steer(protocol, "r9")
        assert protocol.receive(answer(kind, "s1", "r1")) is first
        assert first.state is ENDED
        assert second.state is SENT
        assert protocol.receive(created("r3")) is next_request
        assert protocol.receive(completed("r3")) is next_request
        assert protocol.receive(failed(target_id="r9")) is second
        assert_nothing_left(protocol)

    def test_an_answer_is_for_a_steer_that_is_not_abandoned_first(self) -> None:
        protocol, first = overdue()
        send(protocol)
        protocol.receive(created("r3"))
        second = send_steer(protocol, "r3")
        protocol.receive(accepted())
        protocol.receive(completed("r3"))
        assert protocol.receive(pending()) is second
        assert protocol.receive(pending()) is first
        assert_nothing_left(protocol)

    def test_a_repeated_acceptance_does_not_reserve_the_lane(self) -> None:
        protocol, steer = overdue()
        next_request = submit(protocol)
        assert protocol.receive(accepted("s1", "r1")) is steer
        assert protocol.next_to_send() is next_request

    def test_only_the_latest_abandoned_steers_are_remembered(self) -> None:
        protocol, _ = running()
        steers = [send_steer(protocol) for _ in range(100)]
        for number in range(100):
            protocol.receive(accepted(f"s{number}", "r1"))
        protocol.receive(completed("r1"))
        for steer in steers:
            protocol.abandon(steer)
        assert len(protocol._steers._open) == 64
        assert protocol.receive(begins("r2", "r1")) is steers[36]
        assert protocol.receive(completed("r2")) is steers[36]
        assert_nothing_left(protocol)
