"""Which steer an answer or an `error` is for, and what the answer does."""

from __future__ import annotations

import pytest

from rxresponses.protocol.request import ENDED, SENT, STARTED
from rxresponses.wire.events import ServerEvent
from rxresponses.wire.fields import steer_ids_of

from ..support.events import wire_event
from .driver import (
    LANES,
    accepted,
    answer,
    assert_nothing_left,
    completed,
    created,
    delta,
    error,
    failed,
    lifecycle,
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


class TestPending:
    @LANES
    def test_scenario_37_the_lane_is_free_for_the_explicit_create(self, lane: str | None) -> None:
        protocol, target = running(lane)
        steer = send_steer(protocol)
        protocol.receive(accepted("s1", "r1", lane))
        assert protocol.receive(completed("r1", lane)) is target
        create = submit(protocol, lane)
        assert protocol.next_to_send() is None
        assert protocol.receive(pending("s1", "r1", lane)) is steer
        assert steer.state is ENDED
        assert protocol.next_to_send() is create
        assert protocol.receive(created("r2", lane)) is create
        assert protocol.receive(completed("r2", lane)) is create
        assert_nothing_left(protocol)

    def test_the_lane_is_reserved_until_all_steers_are_pending(self) -> None:
        protocol, _ = running()
        first, second = send_steer(protocol), send_steer(protocol)
        create = submit(protocol)
        protocol.receive(accepted("s1", "r1"))
        protocol.receive(accepted("s2", "r1"))
        protocol.receive(completed("r1"))
        assert protocol.receive(pending("s1", "r1")) is first
        assert protocol.next_to_send() is None
        assert protocol.receive(pending("s2", "r1")) is second
        assert protocol.next_to_send() is create

    def test_a_later_answer_belongs_to_no_steer(self) -> None:
        protocol, _ = steering()
        protocol.receive(completed("r1"))
        protocol.receive(pending("s1", "r1"))
        assert protocol.receive(failed("s1", "r1")) is None

    def test_without_being_accepted_first(self) -> None:
        protocol, _ = running()
        steer = send_steer(protocol)
        protocol.receive(completed("r1"))
        assert protocol.receive(pending("s1", "r1")) is steer
        assert_nothing_left(protocol)


class TestFailed:
    @LANES
    def test_scenario_37_refused_while_the_target_runs(self, lane: str | None) -> None:
        protocol, target = running(lane)
        steer, next_request = send_steer(protocol), submit(protocol, lane)
        assert protocol.receive(failed(target_id="r1", lane=lane)) is steer
        assert steer.state is ENDED
        assert protocol.receive(delta("x", lane)) is target
        assert protocol.next_to_send() is None
        assert protocol.receive(completed("r1", lane)) is target
        assert not protocol._steers._open
        assert protocol.next_to_send() is next_request

    def test_the_target_had_just_ended(self) -> None:
        protocol, target = running()
        steer = send_steer(protocol)
        next_request = submit(protocol)
        assert protocol.receive(completed("r1")) is target
        assert protocol.next_to_send() is None  # the server may have accepted the steer just before
        protocol.lanes.changed = False
        assert protocol.receive(failed(target_id="r1")) is steer
        assert protocol.lanes.changed
        assert protocol.next_to_send() is next_request

    def test_the_target_is_unknown(self) -> None:
        protocol, target = running()
        steer = send_steer(protocol, "r0")
        assert protocol.receive(failed(target_id="r0")) is steer
        assert protocol.receive(completed("r1")) is target
        assert_nothing_left(protocol)

    def test_after_it_was_accepted(self) -> None:
        protocol, steer = steering()
        protocol.receive(completed("r1"))
        assert protocol.receive(failed("s1", "r1")) is steer
        assert_nothing_left(protocol)

    def test_because_the_target_failed(self) -> None:
        protocol, target = running()
        steer = send_steer(protocol)
        next_request = submit(protocol)
        protocol.receive(accepted("s1", "r1"))
        assert protocol.receive(error()) is target
        assert protocol.receive(lifecycle("response.failed", "r1")) is None
        assert protocol.next_to_send() is None
        assert protocol.receive(failed("s1", "r1")) is steer
        assert protocol.next_to_send() is next_request
        assert protocol.receive(created("r2")) is next_request

    def test_one_of_two_steers(self) -> None:
        protocol, _ = running()
        first, second = send_steer(protocol), send_steer(protocol)
        assert protocol.receive(failed(target_id="r1")) is first
        assert protocol.receive(accepted("s2", "r1")) is second
        protocol.receive(steered("r1"))
        assert protocol.receive(created("r2")) is second
        assert second.shared_with == ()

    @pytest.mark.parametrize("kind", ["accepted", "pending", "failed"])
    def test_an_answer_without_a_steer(self, kind: str) -> None:
        protocol, target = running()
        assert protocol.receive(answer(kind, "s1", "r1")) is None
        assert protocol.receive(completed("r1")) is target


class TestWhichSteer:
    """The ids in a steering event decide which steer it answers, then state and order."""

    def test_by_the_steer_id(self) -> None:
        protocol, _ = running()
        first, second = send_accepted_steers(protocol, 2)
        assert protocol.receive(failed("s2", "r1")) is second
        assert protocol.receive(failed("s3", "r1")) is None
        assert protocol.receive(failed("s1", "r1")) is first

    def test_by_the_target_id(self) -> None:
        protocol, _ = running("a")
        other = send(protocol, "b")
        assert protocol.receive(created("r2", "b")) is other
        first, second = send_steer(protocol), send_steer(protocol, "r2")
        assert protocol.receive(accepted("s2", "r2", "b")) is second
        assert protocol.receive(accepted("s1", "r1", "a")) is first

    def test_by_state_and_order_without_ids(self) -> None:
        protocol, _ = running()
        first, second = send_steer(protocol), send_steer(protocol)
        assert protocol.receive(accepted()) is first
        assert protocol.receive(failed()) is second
        assert protocol.receive(pending()) is first
        assert not protocol._steers._open

    def test_a_refusal_without_a_steer_id_is_for_an_unanswered_steer(self) -> None:
        protocol, _ = running()
        first, second = send_steer(protocol), send_steer(protocol)
        protocol.receive(accepted("s1", "r1"))
        assert protocol.receive(failed(target_id="r1")) is second
        assert protocol.receive(failed(target_id="r1")) is first

    def test_the_steer_id_comes_before_state_and_order(self) -> None:
        protocol, _ = running()
        first, second = send_steer(protocol), send_steer(protocol)
        assert protocol.receive(accepted()) is first
        assert protocol.receive(accepted("s2")) is second
        assert protocol.receive(pending("s2")) is second
        assert protocol.receive(pending("s1")) is first

    def test_only_an_accepted_steer_is_pending(self) -> None:
        protocol, _ = running("a")
        other = send(protocol, "b")
        assert protocol.receive(created("r2", "b")) is other
        first, second = send_steer(protocol), send_steer(protocol, "r2")
        assert protocol.receive(accepted(target_id="r2")) is second
        assert protocol.receive(pending()) is second
        assert protocol.receive(failed()) is first

    @pytest.mark.parametrize("identity", ["?", None, {"id": 5, "previous_response_id": ["r1"]}])
    @pytest.mark.parametrize("kind", ["accepted", "pending", "failed"])
    def test_an_unreadable_answer(self, kind: str, identity: object) -> None:
        protocol, _ = running()
        steer = send_steer(protocol)
        unreadable = wire_event(f"response.steer.{kind}", steer=identity)
        assert steer_ids_of(unreadable) == (None, None)
        assert protocol.receive(unreadable) is steer
        assert steer.state is (STARTED if kind == "accepted" else ENDED)

    def test_an_unreadable_answer_with_ids(self) -> None:
        protocol, _ = running()
        first, second = send_steer(protocol), send_steer(protocol)
        protocol.receive(accepted("s1"))
        protocol.receive(accepted("s2"))
        identity = {"id": "s2", "previous_response_id": "r1"}
        assert protocol.receive(wire_event("response.steer.pending", steer=identity, required_input=5)) is second
        assert protocol.receive(failed("s1")) is first


class TestErrors:
    """A server that does not know steering answers a steer with an `error`, which ends only the steer."""

    @pytest.mark.parametrize(
        "event",
        [
            refusal("unknown message type 'response.steer'"),
            refusal("Steering is off."),
            refusal("no", code="steering_not_supported"),
            refusal("Input should be 'response.create'", param="type"),
            wire_event("error", error={"message": "what is response.steer?", "code": 5}, status="x"),
        ],
        ids=["type", "message", "code", "param", "unreadable"],
    )
    @LANES
    def test_the_running_response_goes_on(self, event: ServerEvent, lane: str | None) -> None:
        protocol, target = running(lane)
        steer = send_steer(protocol)
        assert protocol.receive(event) is steer
        assert (steer.state, target.state) == (ENDED, STARTED)
        assert protocol.receive(delta("x", lane)) is target
        assert protocol.receive(completed("r1", lane)) is target
        assert_nothing_left(protocol)

    def test_with_a_stream_id(self) -> None:
        protocol, target = running("a")
        other = send(protocol, "b")
        protocol.receive(created("r2", "b"))
        second, first, unknown = send_steer(protocol, "r2"), send_steer(protocol), send_steer(protocol, "r0")
        assert protocol.receive(refusal("no steering", "a")) is first
        assert protocol.receive(refusal("no steering", "a")) is unknown
        assert protocol.receive(refusal("no steering", "a")) is target
        assert protocol.receive(refusal("no steering", "b")) is second
        assert other.state is STARTED

    def test_after_the_target_ended(self) -> None:
        protocol, _ = running()
        steer, next_request = send_steer(protocol), submit(protocol)
        protocol.receive(completed("r1"))
        assert protocol.receive(refusal("what is response.steer?")) is steer
        assert protocol.next_to_send() is next_request

    def test_an_unanswered_steer_comes_before_an_accepted_steer(self) -> None:
        protocol, target = running()
        first, second = send_steer(protocol), send_steer(protocol)
        protocol.receive(accepted("s1", "r1"))
        assert protocol.receive(refusal("cannot steer")) is second
        assert protocol.receive(refusal("wrong", param="type")) is target
        protocol, target = running()
        first = send_steer(protocol)
        protocol.receive(accepted("s1", "r1"))
        assert protocol.receive(refusal("cannot steer")) is first
        assert target.state is STARTED

    def test_any_other_error_is_for_the_response(self) -> None:
        protocol, target = running()
        steer = send_steer(protocol)
        assert protocol.receive(error()) is target
        assert steer.state is SENT

    @LANES
    def test_an_error_in_place_of_the_successor(self, lane: str | None) -> None:
        protocol, _ = running(lane)
        first, second, next_request = send_steer(protocol), send_steer(protocol), submit(protocol, lane)
        protocol.receive(accepted("s1", "r1", lane))
        protocol.receive(accepted("s2", "r1", lane))
        protocol.receive(completed("r1", lane))
        assert protocol.receive(error(lane)) is first
        assert first.shared_with == (second,)
        assert (first.state, second.state) == (ENDED, ENDED)
        assert protocol.next_to_send() is next_request

    def test_an_error_without_a_stream_id_in_place_of_the_only_successor(self) -> None:
        protocol, steer = steering("a")
        protocol.receive(completed("r1", "a"))
        assert protocol.receive(error()) is steer
        assert_nothing_left(protocol)

    def test_with_other_lanes_an_error_without_a_stream_id_is_about_the_connection(self) -> None:
        protocol, steer = steering("a")
        protocol.receive(completed("r1", "a"))
        send(protocol, "b")
        assert protocol.receive(error()) is None
        assert steer.state is STARTED
