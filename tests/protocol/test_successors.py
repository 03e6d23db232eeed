"""Successors that begin in time, on a lane reserved for them."""

from __future__ import annotations

import pytest

from rxresponses.protocol.protocol import Protocol
from rxresponses.protocol.request import ENDED, SENT, STARTED

from ..support.events import wire_event
from .driver import (
    LANES,
    accepted,
    assert_nothing_left,
    assert_nothing_open,
    begins,
    completed,
    created,
    delta,
    error,
    failed,
    in_progress,
    lifecycle,
    running,
    send,
    send_accepted_steers,
    send_steer,
    steered,
    steering,
    submit,
)


class TestAccepted:
    @LANES
    def test_scenario_37_the_successor_belongs_to_the_steer(self, lane: str | None) -> None:
        protocol, target = running(lane)
        steer = send_steer(protocol)
        next_request = submit(protocol, lane)
        assert protocol.receive(accepted("s1", "r1", lane)) is steer
        assert (steer.state, steer.steer_id, steer.delivery) == (STARTED, "s1", "started")
        assert protocol.receive(delta("x", lane)) is target
        assert protocol.receive(steered("r1", lane)) is target
        assert (target.state, steer.state) == (ENDED, STARTED)
        assert protocol.lanes.active == 1
        assert protocol.next_to_send() is None
        assert protocol.receive(delta("stray", lane)) is None
        for event in (created("r2", lane), delta("x", lane), wire_event("response.new_thing", lane)):
            assert protocol.receive(event) is steer
        assert steer.response_id == "r2"
        assert steer.owns_successor
        assert protocol.next_to_send() is None
        assert protocol.receive(completed("r2", lane)) is steer
        assert steer.state is ENDED
        assert protocol.next_to_send() is next_request
        assert protocol.receive(created("r3", lane)) is next_request
        assert protocol.receive(completed("r3", lane)) is next_request
        assert_nothing_left(protocol)

    @pytest.mark.parametrize("kind", ["response.completed", "response.incomplete"])
    def test_however_the_target_ends(self, kind: str) -> None:
        protocol, target = running()
        steer = send_steer(protocol)
        protocol.receive(accepted("s1", "r1"))
        assert protocol.receive(lifecycle(kind, "r1")) is target
        assert protocol.receive(created("r2")) is steer
        assert protocol.receive(lifecycle("response.failed", "r2")) is steer
        assert_nothing_left(protocol)

    def test_other_lanes_go_on(self) -> None:
        protocol, steer = steering("a")
        protocol.receive(completed("r1", "a"))
        other = send(protocol, "b")
        assert protocol.receive(created("r9", "b")) is other
        assert protocol.receive(created("r2", "a")) is steer
        assert protocol.receive(delta("x", "b")) is other

    def test_a_reserved_lane_counts_as_a_running_response(self) -> None:
        protocol, _ = running("a", max_active=1)
        send_steer(protocol)
        submit(protocol, "b")
        protocol.receive(accepted("s1", "r1", "a"))
        protocol.receive(completed("r1", "a"))
        assert (protocol.lanes.active, protocol.lanes.queued) == (1, 1)
        assert protocol.next_to_send() is None

    def test_a_request_submitted_later_waits_too(self) -> None:
        protocol, _ = steering()
        protocol.receive(steered("r1"))
        submit(protocol)
        assert protocol.next_to_send() is None

    def test_two_steers_of_one_target_share_the_successor(self) -> None:
        protocol, _ = running()
        first, second = send_accepted_steers(protocol, 2)
        protocol.receive(steered("r1"))
        assert protocol.open_requests() == [first, second]
        assert protocol.receive(created("r2")) is first
        assert first.shared_with == (second,)
        assert protocol.open_requests() == [first, second]
        assert protocol.receive(completed("r2")) is first
        assert (first.state, second.state) == (ENDED, ENDED)
        assert_nothing_left(protocol)

    def test_a_successor_can_be_steered(self) -> None:
        protocol, first = steering("a")
        protocol.receive(steered("r1", "a"))
        protocol.receive(created("r2", "a"))
        second = send_steer(protocol, "r2")
        assert protocol.receive(accepted("s2", "r2", "a")) is second
        assert protocol.receive(steered("r2", "a")) is first
        assert first.shared_with == ()
        assert protocol.receive(created("r3", "a")) is second
        assert protocol.receive(completed("r3", "a")) is second
        assert_nothing_left(protocol)

    def test_a_successor_without_created(self) -> None:
        protocol, steer = steering("a", echoes=False)
        protocol.receive(steered("r1"))
        assert protocol.receive(in_progress("r2")) is steer
        assert protocol.receive(delta()) is steer
        assert protocol.receive(completed("r2")) is steer
        assert_nothing_left(protocol)

    def test_the_lanes_have_changed_when_it_begins(self) -> None:
        protocol, _ = steering()
        protocol.receive(steered("r1"))
        protocol.lanes.changed = False
        protocol.receive(created("r2"))
        assert protocol.lanes.changed


class TestOddOrder:
    def test_accepted_after_the_end_of_the_target(self) -> None:
        protocol, target = running()
        steer, next_request = send_steer(protocol), submit(protocol)
        assert protocol.receive(completed("r1")) is target
        assert protocol.receive(accepted("s1", "r1")) is steer
        assert protocol.next_to_send() is None
        assert protocol.receive(created("r2")) is steer
        assert protocol.receive(completed("r2")) is steer
        assert protocol.next_to_send() is next_request

    def test_the_successor_before_any_answer(self) -> None:
        protocol, _ = running()
        first, second, next_request = send_steer(protocol), send_steer(protocol), submit(protocol)
        protocol.receive(completed("r1"))
        assert protocol.receive(created("r2")) is first
        assert first.shared_with == ()
        assert protocol.receive(completed("r2")) is first
        assert protocol.next_to_send() is None  # the server may still accept the second steer
        assert protocol.receive(failed(target_id="r1")) is second
        assert protocol.next_to_send() is next_request

    def test_a_repeated_created(self) -> None:
        protocol, _ = running()
        first, second = send_steer(protocol), send_steer(protocol)
        protocol.receive(completed("r1"))
        assert protocol.receive(begins("r2", "r1")) is first
        assert protocol.receive(begins("another id", "r1")) is first
        assert second.state is SENT
        assert protocol.receive(completed("r2")) is first

    def test_accepted_after_the_successor_began(self) -> None:
        protocol, _ = running()
        first, second = send_steer(protocol), send_steer(protocol)
        protocol.receive(accepted("s1", "r1"))
        protocol.receive(steered("r1"))
        protocol.receive(created("r2"))
        assert protocol.receive(accepted("s2", "r1")) is second
        assert first.shared_with == (second,)
        assert protocol.receive(completed("r2")) is first
        assert second.state is ENDED
        assert_nothing_left(protocol)

    def test_accepted_after_the_successor_began_for_another_id_of_the_target(self) -> None:
        protocol, _ = running()
        protocol.receive(in_progress("r1 later"))
        first, second = send_steer(protocol), send_steer(protocol, "r1 later")
        protocol.receive(accepted("s1", "r1"))
        protocol.receive(steered("r1"))
        assert protocol.receive(created("r2")) is first
        assert protocol.receive(accepted("s2", "r1 later")) is second
        assert first.shared_with == (second,)

    def test_an_accepted_steer_comes_before_an_unanswered_steer(self) -> None:
        protocol, _ = running()
        protocol.receive(in_progress("r1 later"))
        first, second = send_steer(protocol), send_steer(protocol, "r1 later")
        assert protocol.receive(accepted(target_id="r1 later")) is second
        protocol.receive(completed("r1"))
        assert protocol.receive(begins("r2", "r1")) is second
        assert (first.state, second.shared_with) == (SENT, ())

    def test_refused_after_the_successor_began(self) -> None:
        protocol, _ = running()
        first, second = send_steer(protocol), send_steer(protocol)
        protocol.receive(accepted("s1", "r1"))
        protocol.receive(steered("r1"))
        protocol.receive(created("r2"))
        assert protocol.receive(failed(target_id="r1")) is second
        assert protocol.receive(delta()) is first

    def test_accepted_for_a_target_that_had_ended(self) -> None:
        protocol, _ = running("a")
        protocol.receive(completed("r1", "a"))
        steer = send_steer(protocol)
        next_request = submit(protocol, "a")
        assert protocol.receive(accepted("s1", "r1", "a")) is steer
        assert protocol.next_to_send() is None
        assert protocol.receive(created("r2", "a")) is steer
        assert protocol.receive(completed("r2", "a")) is steer
        assert protocol.next_to_send() is next_request

    def test_accepted_for_a_target_that_had_ended_while_the_next_request_runs(self) -> None:
        protocol, _ = running("a")
        protocol.receive(completed("r1", "a"))
        next_request = send(protocol, "a")
        steer = send_steer(protocol)
        assert protocol.receive(accepted("s1", "r1", "a")) is steer
        assert protocol.receive(created("r2", "a")) is next_request
        assert protocol.receive(completed("r2", "a")) is next_request
        assert protocol.receive(created("r3", "a")) is steer

    def test_a_target_whose_id_comes_later(self) -> None:
        protocol = Protocol(echoes_stream_id=False)
        target = send(protocol, "a")
        steer = send_steer(protocol)
        assert protocol.receive(created("r1")) is target
        assert protocol.receive(accepted("s1", "r1")) is steer
        assert protocol.receive(steered("r1")) is target
        assert steer.stream_id == "a"
        assert protocol.receive(created("r2")) is steer


class TestServersWithoutLanes:
    def test_a_successor_without_a_stream_id(self) -> None:
        protocol, target = running("a", echoes=False)
        steer, next_request = send_steer(protocol), submit(protocol, "b")
        assert protocol.receive(accepted("s1", "r1")) is steer
        assert protocol.receive(steered("r1")) is target
        assert protocol.next_to_send() is None
        assert protocol.receive(created("r2")) is steer
        assert protocol.receive(delta()) is steer
        assert protocol.receive(completed("r2")) is steer
        assert protocol.next_to_send() is next_request

    def test_the_successor_before_any_answer(self) -> None:
        protocol, _ = running("a", echoes=False)
        steer = send_steer(protocol)
        protocol.receive(completed("r1"))
        assert protocol.receive(created("r2")) is steer

    def test_the_answer_to_another_request_is_no_successor(self) -> None:
        protocol, _ = running(echoes=None)
        steer = send_steer(protocol)
        protocol.receive(completed("r1"))
        other = send(protocol, "a")  # no answer has shown yet whether the server has lanes
        assert protocol.receive(created("r2")) is other
        assert protocol.receive(completed("r2")) is other
        protocol.abandon(steer)
        assert_nothing_open(protocol)

    def test_the_refusal_of_another_request_is_not_for_the_steer(self) -> None:
        protocol, _ = running(echoes=None)
        steer = send_steer(protocol)
        protocol.receive(completed("r1"))
        other = send(protocol, "a")
        assert protocol.receive(error()) is other
        assert protocol.receive(failed(target_id="r1")) is steer
        assert_nothing_left(protocol)

    def test_an_error_is_for_an_accepted_steer(self) -> None:
        protocol, steer = steering(echoes=None)
        protocol.receive(completed("r1"))
        other = send(protocol, "a")
        assert protocol.receive(error()) is steer
        assert protocol.receive(created("r2")) is other

    def test_a_created_is_for_an_accepted_steer_first(self) -> None:
        protocol, _ = running(echoes=None)
        first = send_steer(protocol)
        second = send_steer(protocol)
        protocol.receive(accepted("s1", "r1"))
        protocol.receive(completed("r1"))
        other = send(protocol, "a")
        assert protocol.receive(created("r2")) is first
        assert protocol.receive(completed("r2")) is first
        assert second.state is SENT
        assert protocol.receive(created("r3")) is other

    def test_on_the_default_lane_of_a_server_with_lanes(self) -> None:
        protocol, steer = steering()
        protocol.receive(completed("r1"))
        send(protocol, "a")
        assert protocol.receive(in_progress("r2")) is steer
