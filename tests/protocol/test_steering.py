"""OpenSteers in the protocol, state by state."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rxresponses.protocol.protocol import Protocol
from rxresponses.protocol.request import ENDED, QUEUED, SENT, STARTED, ProtocolRequest, ProtocolSteer, RequestState
from rxresponses.wire.events import ServerEvent
from rxresponses.wire.events.base import UnknownEvent

from .test_protocol import assert_nothing_left, completed, created, delta, ended, error, event, send, submit

LANES = pytest.mark.parametrize("lane", [None, "a"])


def answer(
    kind: str, steer_id: object = None, target: object = None, lane: str | None = None, **fields: Any
) -> ServerEvent:
    """A steering event, with as much of an identity as is given."""
    steer = {name: value for name, value in (("id", steer_id), ("previous_response_id", target)) if value is not None}
    return event(f"response.steer.{kind}", lane, steer=steer, **fields)


def accepted(steer_id: object = None, target: object = None, lane: str | None = None) -> ServerEvent:
    return answer("accepted", steer_id, target, lane)


def failed(steer_id: object = None, target: object = None, lane: str | None = None) -> ServerEvent:
    return answer("failed", steer_id, target, lane)


def pending(steer_id: object = None, target: object = None, lane: str | None = None) -> ServerEvent:
    return answer("pending", steer_id, target, lane)


def begins(response_id: str, continued: str | None, lane: str | None = None) -> ServerEvent:
    """`response.created` of a server that tells what a response continues."""
    return event("response.created", lane, response={"id": response_id, "previous_response_id": continued})


def request(continued: str, lane: str | None = None) -> ProtocolRequest:
    return ProtocolRequest(json.dumps({"previous_response_id": continued}).encode(), lane)


def steered(response_id: str, lane: str | None = None) -> ServerEvent:
    response = {"id": response_id, "incomplete_details": {"reason": "steered"}}
    return event("response.incomplete", lane, response=response)


def refusal(message: str, lane: str | None = None, **fields: Any) -> ServerEvent:
    return event("error", lane, error={"message": message, **fields})


def steer(protocol: Protocol, target_id: str) -> ProtocolSteer:
    """Submit a steer and see it go at once."""
    one = ProtocolSteer(b"{}", target_id)
    protocol.submit(one)
    assert protocol.next_to_send(5.0) is one
    assert (one.state, one.since) == (SENT, 5.0)
    return one


def running(lane: str | None = None, *, echoes: bool | None = True, **options: Any) -> tuple[Protocol, ProtocolRequest]:
    """A protocol with one response that runs on a lane."""
    protocol = Protocol(echoes_stream_id=echoes, **options)
    target = send(protocol, lane)
    assert protocol.receive(created("r1", lane if echoes is not False else None)) is target
    return protocol, target


def nothing_open(protocol: Protocol) -> None:
    """Nothing is taken, and nobody waits."""
    assert_nothing_left(protocol)
    assert not protocol.lanes.reserved
    assert not protocol.lanes.late_successors
    assert not protocol.open_requests()


def all_gone(protocol: Protocol) -> None:
    nothing_open(protocol)
    assert not protocol._steers._open


class TestAccepted:
    @LANES
    def test_scenario_37_the_successor_belongs_to_the_steer(self, lane: str | None) -> None:
        protocol, target = running(lane)
        one = steer(protocol, "r1")
        after = submit(protocol, lane)
        assert protocol.receive(accepted("s1", "r1", lane)) is one
        assert (one.state, one.steer_id, one.delivery) == (STARTED, "s1", "started")
        assert protocol.receive(delta("x", lane)) is target
        assert protocol.receive(steered("r1", lane)) is target
        assert (target.state, one.state) == (ENDED, STARTED)
        assert protocol.lanes.active == 1
        assert protocol.next_to_send() is None
        assert protocol.receive(delta("stray", lane)) is None
        for said in (created("r2", lane), delta("x", lane), event("response.new_thing", lane)):
            assert protocol.receive(said) is one
        assert one.response_id == "r2"
        assert one.owns_successor
        assert protocol.next_to_send() is None
        assert protocol.receive(completed("r2", lane)) is one
        assert one.state is ENDED
        assert protocol.next_to_send() is after
        assert protocol.receive(created("r3", lane)) is after
        assert protocol.receive(completed("r3", lane)) is after
        all_gone(protocol)

    @pytest.mark.parametrize("kind", ["response.completed", "response.incomplete"])
    def test_the_target_may_end_as_if_nothing_were(self, kind: str) -> None:
        protocol, target = running()
        one = steer(protocol, "r1")
        protocol.receive(accepted("s1", "r1"))
        assert protocol.receive(ended(kind, "r1")) is target
        assert protocol.receive(created("r2")) is one
        assert protocol.receive(ended("response.failed", "r2")) is one
        all_gone(protocol)

    def test_other_lanes_go_on(self) -> None:
        protocol, _ = running("a")
        one = steer(protocol, "r1")
        protocol.receive(accepted("s1", "r1", "a"))
        protocol.receive(completed("r1", "a"))
        other = send(protocol, "b")
        assert protocol.receive(created("r9", "b")) is other
        assert protocol.receive(created("r2", "a")) is one
        assert protocol.receive(delta("x", "b")) is other

    def test_a_held_lane_counts_as_a_response(self) -> None:
        protocol, _ = running("a", max_active=1)
        steer(protocol, "r1")
        submit(protocol, "b")
        protocol.receive(accepted("s1", "r1", "a"))
        protocol.receive(completed("r1", "a"))
        assert (protocol.lanes.active, protocol.lanes.queued) == (1, 1)
        assert protocol.next_to_send() is None

    def test_the_lane_is_held_for_requests_that_come_later_too(self) -> None:
        protocol, _ = running()
        steer(protocol, "r1")
        protocol.receive(accepted("s1", "r1"))
        protocol.receive(steered("r1"))
        submit(protocol)
        assert protocol.next_to_send() is None

    def test_two_on_one_response_share_its_successor(self) -> None:
        protocol, _ = running()
        one, two = steer(protocol, "r1"), steer(protocol, "r1")
        assert protocol.receive(accepted("s1", "r1")) is one
        assert protocol.receive(accepted("s2", "r1")) is two
        protocol.receive(steered("r1"))
        assert protocol.open_requests() == [one, two]
        assert protocol.receive(created("r2")) is one
        assert one.shared_with == (two,)
        assert protocol.open_requests() == [one, two]
        assert protocol.receive(completed("r2")) is one
        assert (one.state, two.state) == (ENDED, ENDED)
        all_gone(protocol)

    def test_the_successor_can_be_steered_in_turn(self) -> None:
        protocol, _ = running("a")
        one = steer(protocol, "r1")
        protocol.receive(accepted("s1", "r1", "a"))
        protocol.receive(steered("r1", "a"))
        protocol.receive(created("r2", "a"))
        two = steer(protocol, "r2")
        assert protocol.receive(accepted("s2", "r2", "a")) is two
        assert protocol.receive(steered("r2", "a")) is one
        assert one.shared_with == ()
        assert protocol.receive(created("r3", "a")) is two
        assert protocol.receive(completed("r3", "a")) is two
        all_gone(protocol)

    def test_a_response_that_comes_without_created(self) -> None:
        protocol, _ = running("a", echoes=False)
        one = steer(protocol, "r1")
        protocol.receive(accepted("s1", "r1"))
        protocol.receive(steered("r1"))
        assert protocol.receive(event("response.in_progress", response={"id": "r2"})) is one
        assert protocol.receive(delta()) is one
        assert protocol.receive(completed("r2")) is one
        all_gone(protocol)

    def test_the_clocks_hear_of_the_successor(self) -> None:
        protocol, _ = running()
        steer(protocol, "r1")
        protocol.receive(accepted("s1", "r1"))
        protocol.receive(steered("r1"))
        protocol.lanes.changed = False
        protocol.receive(created("r2"))
        assert protocol.lanes.changed


class TestPending:
    @LANES
    def test_scenario_37_the_lane_is_free_for_the_explicit_create(self, lane: str | None) -> None:
        protocol, target = running(lane)
        one = steer(protocol, "r1")
        protocol.receive(accepted("s1", "r1", lane))
        assert protocol.receive(completed("r1", lane)) is target
        create = submit(protocol, lane)
        assert protocol.next_to_send() is None
        assert protocol.receive(pending("s1", "r1", lane)) is one
        assert one.state is ENDED
        assert protocol.next_to_send() is create
        assert protocol.receive(created("r2", lane)) is create
        assert protocol.receive(completed("r2", lane)) is create
        all_gone(protocol)

    def test_the_lane_is_held_until_all_are_pending(self) -> None:
        protocol, _ = running()
        one, two = steer(protocol, "r1"), steer(protocol, "r1")
        create = submit(protocol)
        protocol.receive(accepted("s1", "r1"))
        protocol.receive(accepted("s2", "r1"))
        protocol.receive(completed("r1"))
        assert protocol.receive(pending("s1", "r1")) is one
        assert protocol.next_to_send() is None
        assert protocol.receive(pending("s2", "r1")) is two
        assert protocol.next_to_send() is create

    def test_what_becomes_of_the_input_later_is_nobodys(self) -> None:
        protocol, _ = running()
        steer(protocol, "r1")
        protocol.receive(accepted("s1", "r1"))
        protocol.receive(completed("r1"))
        protocol.receive(pending("s1", "r1"))
        assert protocol.receive(failed("s1", "r1")) is None


class TestFailed:
    @LANES
    def test_scenario_37_refused_while_the_target_runs(self, lane: str | None) -> None:
        protocol, target = running(lane)
        one, after = steer(protocol, "r1"), submit(protocol, lane)
        assert protocol.receive(failed(target="r1", lane=lane)) is one
        assert one.state is ENDED
        assert protocol.receive(delta("x", lane)) is target
        assert protocol.next_to_send() is None
        assert protocol.receive(completed("r1", lane)) is target
        assert not protocol._steers._open
        assert protocol.next_to_send() is after

    def test_the_target_had_just_ended(self) -> None:
        protocol, target = running()
        one = steer(protocol, "r1")
        after = submit(protocol)
        assert protocol.receive(completed("r1")) is target
        assert protocol.next_to_send() is None  # the server may have taken it just before
        protocol.lanes.changed = False
        assert protocol.receive(failed(target="r1")) is one
        assert protocol.lanes.changed
        assert protocol.next_to_send() is after

    def test_a_response_that_nobody_knows(self) -> None:
        protocol, target = running()
        one = steer(protocol, "r0")
        assert protocol.receive(failed(target="r0")) is one
        assert protocol.receive(completed("r1")) is target
        all_gone(protocol)

    def test_no_successor_could_be_made(self) -> None:
        protocol, _ = running()
        one = steer(protocol, "r1")
        protocol.receive(accepted("s1", "r1"))
        protocol.receive(completed("r1"))
        assert protocol.receive(failed("s1", "r1")) is one
        all_gone(protocol)

    def test_the_target_failed(self) -> None:
        protocol, target = running()
        one = steer(protocol, "r1")
        after = submit(protocol)
        protocol.receive(accepted("s1", "r1"))
        assert protocol.receive(error()) is target
        assert protocol.receive(ended("response.failed", "r1")) is None
        assert protocol.next_to_send() is None
        assert protocol.receive(failed("s1", "r1")) is one
        assert protocol.next_to_send() is after
        assert protocol.receive(created("r2")) is after

    def test_one_of_two(self) -> None:
        protocol, _ = running()
        one, two = steer(protocol, "r1"), steer(protocol, "r1")
        assert protocol.receive(failed(target="r1")) is one
        assert protocol.receive(accepted("s2", "r1")) is two
        protocol.receive(steered("r1"))
        assert protocol.receive(created("r2")) is two
        assert two.shared_with == ()

    @pytest.mark.parametrize("kind", ["accepted", "pending", "failed"])
    def test_an_answer_to_nothing(self, kind: str) -> None:
        protocol, target = running()
        assert protocol.receive(answer(kind, "s1", "r1")) is None
        assert protocol.receive(completed("r1")) is target


class TestWhichSteer:
    """A steering event finds its steer by what it tells of it."""

    def test_by_its_id(self) -> None:
        protocol, _ = running()
        one, two = steer(protocol, "r1"), steer(protocol, "r1")
        protocol.receive(accepted("s1", "r1"))
        protocol.receive(accepted("s2", "r1"))
        assert protocol.receive(failed("s2", "r1")) is two
        assert protocol.receive(failed("s3", "r1")) is None
        assert protocol.receive(failed("s1", "r1")) is one

    def test_by_its_target(self) -> None:
        protocol, _ = running("a")
        other = send(protocol, "b")
        assert protocol.receive(created("r2", "b")) is other
        one, two = steer(protocol, "r1"), steer(protocol, "r2")
        assert protocol.receive(accepted("s2", "r2", "b")) is two
        assert protocol.receive(accepted("s1", "r1", "a")) is one

    def test_by_its_turn(self) -> None:
        protocol, _ = running()
        one, two = steer(protocol, "r1"), steer(protocol, "r1")
        assert protocol.receive(accepted()) is one
        assert protocol.receive(failed()) is two
        assert protocol.receive(pending()) is one
        assert not protocol._steers._open

    def test_a_refusal_without_an_id_is_that_of_one_without_an_answer(self) -> None:
        protocol, _ = running()
        one, two = steer(protocol, "r1"), steer(protocol, "r1")
        protocol.receive(accepted("s1", "r1"))
        assert protocol.receive(failed(target="r1")) is two
        assert protocol.receive(failed(target="r1")) is one

    def test_an_id_tells_more_than_turn_and_state(self) -> None:
        protocol, _ = running()
        one, two = steer(protocol, "r1"), steer(protocol, "r1")
        assert protocol.receive(accepted()) is one
        assert protocol.receive(accepted("s2")) is two
        assert protocol.receive(pending("s2")) is two
        assert protocol.receive(pending("s1")) is one

    def test_only_an_accepted_one_is_pending(self) -> None:
        protocol, _ = running("a")
        other = send(protocol, "b")
        assert protocol.receive(created("r2", "b")) is other
        one, two = steer(protocol, "r1"), steer(protocol, "r2")
        assert protocol.receive(accepted(target="r2")) is two
        assert protocol.receive(pending()) is two
        assert protocol.receive(failed()) is one

    def test_pending_without_being_accepted(self) -> None:
        protocol, _ = running()
        one = steer(protocol, "r1")
        protocol.receive(completed("r1"))
        assert protocol.receive(pending("s1", "r1")) is one
        all_gone(protocol)

    @pytest.mark.parametrize("identity", ["?", None, {"id": 5, "previous_response_id": ["r1"]}])
    @pytest.mark.parametrize("kind", ["accepted", "pending", "failed"])
    def test_unreadable_events_count_all_the_same(self, kind: str, identity: object) -> None:
        protocol, _ = running()
        one = steer(protocol, "r1")
        unreadable = event(f"response.steer.{kind}", steer=identity)
        assert type(unreadable) is UnknownEvent
        assert protocol.receive(unreadable) is one
        assert one.state is (STARTED if kind == "accepted" else ENDED)

    def test_unreadable_events_with_an_identity(self) -> None:
        protocol, _ = running()
        one, two = steer(protocol, "r1"), steer(protocol, "r1")
        protocol.receive(accepted("s1"))
        protocol.receive(accepted("s2"))
        identity = {"id": "s2", "previous_response_id": "r1"}
        assert protocol.receive(event("response.steer.pending", steer=identity, required_input=5)) is two
        assert protocol.receive(failed("s1")) is one


class TestErrors:
    """Servers that do not know steering answer with an `error`: it ends the steer, and nothing else."""

    @pytest.mark.parametrize(
        "said",
        [
            refusal("unknown message type 'response.steer'"),
            refusal("OpenSteers is off."),
            refusal("no", code="steering_not_supported"),
            refusal("Input should be 'response.create'", param="type"),
            event("error", error={"message": "what is response.steer?", "code": 5}, status="x"),
        ],
        ids=["type", "message", "code", "param", "unreadable"],
    )
    @LANES
    def test_the_running_response_goes_on(self, said: ServerEvent, lane: str | None) -> None:
        protocol, target = running(lane)
        one = steer(protocol, "r1")
        assert protocol.receive(said) is one
        assert (one.state, target.state) == (ENDED, STARTED)
        assert protocol.receive(delta("x", lane)) is target
        assert protocol.receive(completed("r1", lane)) is target
        all_gone(protocol)

    def test_with_the_lane(self) -> None:
        protocol, target = running("a")
        other = send(protocol, "b")
        protocol.receive(created("r2", "b"))
        two, one, nowhere = steer(protocol, "r2"), steer(protocol, "r1"), steer(protocol, "r0")
        assert protocol.receive(refusal("no steering", "a")) is one
        assert protocol.receive(refusal("no steering", "a")) is nowhere
        assert protocol.receive(refusal("no steering", "a")) is target
        assert protocol.receive(refusal("no steering", "b")) is two
        assert other.state is STARTED

    def test_after_the_target_ended(self) -> None:
        protocol, _ = running()
        one, after = steer(protocol, "r1"), submit(protocol)
        protocol.receive(completed("r1"))
        assert protocol.receive(refusal("what is response.steer?")) is one
        assert protocol.next_to_send() is after

    def test_one_that_was_accepted(self) -> None:
        protocol, target = running()
        one, two = steer(protocol, "r1"), steer(protocol, "r1")
        protocol.receive(accepted("s1", "r1"))
        assert protocol.receive(refusal("cannot steer")) is two
        assert protocol.receive(refusal("wrong", param="type")) is target
        protocol, target = running()
        one = steer(protocol, "r1")
        protocol.receive(accepted("s1", "r1"))
        assert protocol.receive(refusal("cannot steer")) is one
        assert target.state is STARTED

    def test_any_other_error_is_that_of_the_response(self) -> None:
        protocol, target = running()
        one = steer(protocol, "r1")
        assert protocol.receive(error()) is target
        assert one.state is SENT

    @LANES
    def test_instead_of_the_successor(self, lane: str | None) -> None:
        protocol, _ = running(lane)
        one, two, after = steer(protocol, "r1"), steer(protocol, "r1"), submit(protocol, lane)
        protocol.receive(accepted("s1", "r1", lane))
        protocol.receive(accepted("s2", "r1", lane))
        protocol.receive(completed("r1", lane))
        assert protocol.receive(error(lane)) is one
        assert one.shared_with == (two,)
        assert (one.state, two.state) == (ENDED, ENDED)
        assert protocol.next_to_send() is after

    def test_instead_of_the_only_successor_without_a_lane(self) -> None:
        protocol, _ = running("a")
        one = steer(protocol, "r1")
        protocol.receive(accepted("s1", "r1", "a"))
        protocol.receive(completed("r1", "a"))
        assert protocol.receive(error()) is one
        all_gone(protocol)

    def test_with_other_lanes_it_is_about_the_connection(self) -> None:
        protocol, _ = running("a")
        one = steer(protocol, "r1")
        protocol.receive(accepted("s1", "r1", "a"))
        protocol.receive(completed("r1", "a"))
        send(protocol, "b")
        assert protocol.receive(error()) is None
        assert one.state is STARTED

    def test_a_fatal_one_stops_steers_too(self) -> None:
        protocol, _ = running()
        protocol.receive(error(code="websocket_connection_limit_reached"))
        protocol.submit(ProtocolSteer(b"{}", "r1"))
        assert protocol.next_to_send() is None


class TestDispose:
    def test_before_it_was_sent(self) -> None:
        protocol, target = running()
        one = ProtocolSteer(b"{}", "r1")
        protocol.submit(one)
        assert protocol.open_requests() == [target, one]
        assert not protocol.dispose(one)
        assert one.state is ENDED
        assert protocol.open_requests() == [target]
        assert protocol.next_to_send() is None
        protocol.dispose(one)
        assert protocol.receive(completed("r1")) is target
        all_gone(protocol)

    def test_however_many_wait_to_be_sent(self) -> None:
        class Compared(ProtocolSteer):
            count = 0
            __hash__ = ProtocolSteer.__hash__

            def __eq__(self, other: object) -> bool:
                Compared.count += 1
                return self is other

        protocol = Protocol()
        steers = [Compared(b"{}", "r1") for _ in range(1000)]
        for one in steers:
            protocol.submit(one)
        Compared.count = 0
        for one in reversed(steers[1:]):
            protocol.dispose(one)
        assert Compared.count == 0
        assert protocol.open_requests() == steers[:1]
        assert protocol.next_to_send() is steers[0]

    def test_by_another_thread_just_before_the_write(self) -> None:
        protocol, _ = running()
        one, two = ProtocolSteer(b"{}", "r1"), ProtocolSteer(b"{}", "r1")
        protocol.submit(one)
        protocol.submit(two)
        one.cancelled = True
        assert protocol.next_to_send() is two
        assert one.state is ENDED

    @pytest.mark.parametrize("close", [False, True])
    def test_before_its_response_began(self, close: bool) -> None:
        protocol, target = running(close_on_dispose=close)
        one, after = steer(protocol, "r1"), submit(protocol)
        assert not protocol.dispose(one)  # closing would end the target, which somebody waits for
        assert protocol.receive(accepted("s1", "r1")) is one
        assert not protocol.dispose(one)
        assert protocol.receive(steered("r1")) is target
        assert protocol.next_to_send() is None
        assert protocol.receive(created("r2")) is one
        assert protocol.receive(delta()) is one
        assert protocol.receive(completed("r2")) is one
        assert protocol.next_to_send() is after

    @pytest.mark.parametrize("close", [False, True])
    def test_its_response(self, close: bool) -> None:
        protocol, _ = running(close_on_dispose=close)
        one = steer(protocol, "r1")
        protocol.receive(accepted("s1", "r1"))
        protocol.receive(steered("r1"))
        protocol.receive(created("r2"))
        assert protocol.dispose(one) is close
        assert protocol.receive(delta()) is one
        assert protocol.receive(completed("r2")) is one
        assert not protocol.dispose(one)
        all_gone(protocol)

    def test_one_that_was_given_up_does_not_account_for_the_response(self) -> None:
        protocol, _ = running()
        one, two = steer(protocol, "r1"), steer(protocol, "r1")
        protocol.receive(accepted("s1", "r1"))
        protocol.receive(accepted("s2", "r1"))
        protocol.dispose(one)
        protocol.receive(steered("r1"))
        assert protocol.receive(created("r2")) is two
        assert two.shared_with == (one,)

    @pytest.mark.parametrize("echoes", [True, False])
    def test_a_shared_response_is_passed_on(self, echoes: bool) -> None:
        protocol, _ = running("a", echoes=echoes, close_on_dispose=True)
        lane = "a" if echoes else None
        one, two, three = (steer(protocol, "r1") for _ in range(3))
        for number in range(3):
            protocol.receive(accepted(f"s{number}", "r1", lane))
        protocol.receive(steered("r1", lane))
        assert protocol.receive(created("r2", lane)) is one
        one.since = 7.0
        assert not protocol.dispose(two)
        assert protocol.receive(delta("x", lane)) is one
        protocol.lanes.changed = False
        assert not protocol.dispose(one)
        assert one.state is ENDED
        assert protocol.lanes.changed  # the clocks have to hear of the one that accounts for it now
        assert one.shared_with == (two, three)  # the event that made it give up is still theirs
        assert (three.shared_with, three.owns_successor, three.since, three.response_id) == ((two,), True, 7.0, "r2")
        assert protocol.open_requests() == [three, two]
        assert not protocol.dispose(one)
        assert protocol.receive(delta("x", lane)) is three
        four = steer(protocol, "r2")
        assert protocol.receive(accepted("s4", "r2", lane)) is four
        assert protocol.dispose(three)
        assert protocol.receive(steered("r2", lane)) is three
        assert (two.state, three.state) == (ENDED, ENDED)
        assert protocol.receive(created("r3", lane)) is four
        assert protocol.receive(completed("r3", lane)) is four
        all_gone(protocol)

    def test_of_a_steer_that_the_connection_no_longer_knows(self) -> None:
        protocol, _ = running(close_on_dispose=True)
        one, two = steer(protocol, "r1"), ProtocolSteer(b"{}", "r1")
        protocol.submit(two)
        protocol.lost()
        assert not protocol.dispose(one)
        assert not protocol.dispose(two)
        protocol.abandon(one)


class TestSilence:
    """A server that does not know steering may ignore it."""

    @LANES
    def test_the_lane_is_free_after_the_target(self, lane: str | None) -> None:
        protocol, target = running(lane)
        one, after = steer(protocol, "r1"), submit(protocol, lane)
        protocol.abandon(one)
        assert one.delivery == "unknown"
        assert protocol.open_requests() == [target, after]
        assert protocol.next_to_send() is None
        assert protocol.receive(delta("x", lane)) is target
        assert protocol.receive(completed("r1", lane)) is target
        assert protocol.next_to_send() is after
        assert protocol.receive(created("r2", lane)) is after
        assert protocol.receive(completed("r2", lane)) is after
        nothing_open(protocol)

    def test_after_the_target(self) -> None:
        protocol, _ = running()
        one, after = steer(protocol, "r1"), submit(protocol)
        protocol.receive(completed("r1"))
        assert protocol.next_to_send() is None
        protocol.lanes.changed = False
        protocol.abandon(one)
        assert protocol.lanes.changed
        assert protocol.next_to_send() is after

    def test_one_of_two(self) -> None:
        protocol, _ = running()
        one, two, after = steer(protocol, "r1"), steer(protocol, "r1"), submit(protocol)
        protocol.receive(completed("r1"))
        protocol.abandon(one)
        assert protocol.next_to_send() is None
        protocol.abandon(two)
        assert protocol.next_to_send() is after

    def test_a_target_that_is_not_known(self) -> None:
        protocol, target = running()
        one = steer(protocol, "r0")
        protocol.abandon(one)
        assert protocol.open_requests() == [target]
        assert protocol.receive(completed("r1")) is target
        nothing_open(protocol)
        assert protocol.receive(failed(target="r0")) is one
        all_gone(protocol)

    def test_accepted_too_late_is_accepted(self) -> None:
        protocol, target = running()
        one, after = steer(protocol, "r1"), submit(protocol)
        protocol.abandon(one)
        assert protocol.receive(accepted("s1", "r1")) is one
        assert protocol.receive(completed("r1")) is target
        assert protocol.next_to_send() is None
        assert protocol.receive(created("r2")) is one
        assert one.cancelled
        assert protocol.receive(completed("r2")) is one
        assert protocol.next_to_send() is after

    def test_refused_too_late(self) -> None:
        protocol, target = running()
        one = steer(protocol, "r1")
        protocol.abandon(one)
        assert protocol.receive(failed(target="r1")) is one
        protocol.abandon(one)
        assert protocol.receive(completed("r1")) is target
        all_gone(protocol)

    def test_an_error_too_late(self) -> None:
        protocol, target = running()
        one = steer(protocol, "r1")
        protocol.abandon(one)
        assert protocol.receive(refusal("what is response.steer?")) is one
        assert protocol.receive(completed("r1")) is target
        all_gone(protocol)

    @pytest.mark.parametrize("late", [True, False])
    def test_a_response_that_ended_for_it_shows_that_it_was_accepted(self, late: bool) -> None:
        protocol, target = running()
        one, after = steer(protocol, "r1"), submit(protocol)
        if late:
            protocol.abandon(one)
        assert protocol.receive(steered("r1")) is target
        assert one.state is STARTED  # so that no clock lets the next request go before the successor
        assert protocol.next_to_send() is None
        assert protocol.receive(accepted("s1", "r1")) is one
        assert protocol.receive(created("r2")) is one
        assert protocol.receive(completed("r2")) is one
        assert protocol.next_to_send() is after

    def test_then_it_is_rather_one_that_somebody_waits_for(self) -> None:
        protocol, _ = running()
        one, two = steer(protocol, "r1"), steer(protocol, "r1")
        protocol.abandon(one)
        protocol.receive(steered("r1"))
        assert protocol.receive(created("r2")) is two
        assert two.shared_with == ()
        assert protocol.receive(completed("r2")) is two
        nothing_open(protocol)

    def test_an_answer_that_comes_too_late_hits_nobody_else(self) -> None:
        protocol, _ = running()
        one, after = steer(protocol, "r1"), submit(protocol)
        protocol.receive(completed("r1"))
        protocol.abandon(one)
        assert protocol.next_to_send() is after
        assert protocol.receive(refusal("what is response.steer?")) is one
        assert protocol.receive(created("r2")) is after
        assert protocol.receive(completed("r2")) is after
        all_gone(protocol)

    def test_only_so_many_are_remembered(self) -> None:
        protocol, target = running()
        steers = [steer(protocol, "r1") for _ in range(100)]
        for one in steers:
            protocol.abandon(one)
        assert len(protocol._steers._open) == 64
        assert (steers[35].state, steers[36].state) == (ENDED, SENT)
        assert protocol.receive(failed(target="r1")) is steers[36]
        assert protocol.receive(completed("r1")) is target
        nothing_open(protocol)


def overdue(lane: str | None = None, **options: Any) -> tuple[Protocol, ProtocolSteer]:
    """A protocol with a lane that has gone on without the response to an accepted steer."""
    protocol, _ = running(lane, **options)
    tag = lane if protocol.lanes.echoes_stream_id is not False else None
    one = steer(protocol, "r1")
    protocol.receive(accepted("s1", "r1", tag))
    protocol.receive(steered("r1", tag))
    protocol.start_steer_timeouts(20.0)
    protocol.abandon(one)
    return protocol, one


class TestDue:
    """Once its target has ended, an accepted steer waits for nothing but its own response: a clock may count."""

    @LANES
    def test_from_the_end_of_the_target(self, lane: str | None) -> None:
        protocol, _ = running(lane)
        one = steer(protocol, "r1")
        assert protocol.receive(accepted("s1", "r1", lane)) is one
        assert protocol.start_steer_timeouts(6.0) == []
        assert not one.successor_due  # a long response is no reason to worry
        protocol.lanes.changed = False
        protocol.receive(completed("r1", lane))
        assert protocol.lanes.changed  # so that somebody says what time it is
        assert protocol.start_steer_timeouts(20.0) == [one]
        assert (one.successor_due, one.since) == (True, 20.0)
        assert protocol.start_steer_timeouts(21.0) == []
        assert one.since == 20.0

    def test_from_the_acceptance_if_that_is_later(self) -> None:
        protocol, _ = running()
        one = steer(protocol, "r1")
        protocol.receive(completed("r1"))
        assert protocol.start_steer_timeouts(20.0) == []
        assert one.since == 5.0
        protocol.lanes.changed = False
        protocol.receive(accepted("s1", "r1"))
        assert protocol.lanes.changed
        assert protocol.start_steer_timeouts(30.0) == [one]
        assert one.since == 30.0

    def test_each_of_two_from_its_own_acceptance(self) -> None:
        protocol, _ = running()
        one, two = steer(protocol, "r1"), steer(protocol, "r1")
        protocol.receive(accepted("s1", "r1"))
        protocol.receive(completed("r1"))
        assert protocol.start_steer_timeouts(20.0) == [one]
        protocol.receive(accepted("s2", "r1"))
        assert protocol.start_steer_timeouts(30.0) == [two]
        assert (one.since, two.since) == (20.0, 30.0)

    def test_a_target_that_ended_for_it_without_a_word(self) -> None:
        protocol, _ = running()
        one = steer(protocol, "r1")
        protocol.receive(steered("r1"))
        assert protocol.start_steer_timeouts(20.0) == [one]

    def test_one_that_was_given_up(self) -> None:
        protocol, _ = running()
        one = steer(protocol, "r1")
        protocol.receive(accepted("s1", "r1"))
        protocol.dispose(one)
        protocol.receive(completed("r1"))
        assert protocol.start_steer_timeouts(20.0) == [one]  # nobody waits for it, but the lane does

    def test_accepted_too_late(self) -> None:
        protocol, _ = running()
        one = steer(protocol, "r1")
        protocol.abandon(one)
        protocol.receive(accepted("s1", "r1"))
        protocol.receive(completed("r1"))
        assert protocol.start_steer_timeouts(20.0) == [one]

    @pytest.mark.parametrize("echoes", [True, False])
    def test_not_while_something_runs_on_its_lane(self, echoes: bool) -> None:
        protocol, _ = running("a", echoes=echoes)
        tag = "a" if echoes else None
        protocol.receive(completed("r1", tag))
        after = send(protocol, "a")
        protocol.receive(created("r2", tag))
        one = steer(protocol, "an id that was not seen")
        assert protocol.receive(accepted("s1", "an id that was not seen", tag)) is one
        assert one.stream_id == "a"
        assert protocol.start_steer_timeouts(20.0) == []
        assert protocol.receive(completed("r2", tag)) is after
        assert protocol.start_steer_timeouts(30.0) == [one]

    def test_again_after_the_response_to_another_steer(self) -> None:
        protocol, _ = running("a")
        old, one = steer(protocol, "r0"), steer(protocol, "r1")
        protocol.receive(accepted("s0", "r0", "a"))
        protocol.receive(accepted("s1", "r1", "a"))
        protocol.receive(completed("r1", "a"))
        assert protocol.start_steer_timeouts(20.0) == [old, one]
        assert protocol.receive(begins("r2", "r1", "a")) is one
        assert one.shared_with == ()
        assert (old.successor_due, one.successor_due) == (False, False)
        assert protocol.start_steer_timeouts(30.0) == []
        assert protocol.receive(completed("r2", "a")) is one
        assert protocol.start_steer_timeouts(40.0) == [old]
        assert old.since == 40.0
        assert protocol.receive(begins("r3", "r0", "a")) is old
        assert protocol.receive(completed("r3", "a")) is old
        all_gone(protocol)

    def test_not_while_a_late_response_runs_there(self) -> None:
        protocol, one = overdue("a")
        protocol.receive(begins("r2", "r1", "a"))
        two = steer(protocol, "an id that was not seen")
        assert protocol.receive(accepted("s2", "an id that was not seen", "a")) is two
        assert (protocol.lanes.active, two.stream_id) == (1, "a")
        assert protocol.start_steer_timeouts(20.0) == []
        assert protocol.receive(completed("r2", "a")) is one
        assert protocol.start_steer_timeouts(30.0) == [two]

    def test_those_that_share_a_response_do_not_wait_for_it(self) -> None:
        protocol, _ = running()
        one, two = steer(protocol, "r1"), steer(protocol, "r1")
        protocol.receive(accepted("s1", "r1"))
        protocol.receive(accepted("s2", "r1"))
        protocol.receive(completed("r1"))
        assert protocol.start_steer_timeouts(20.0) == [one, two]
        protocol.receive(created("r2"))
        assert (one.successor_due, two.successor_due) == (False, False)
        assert (one.response_id, two.response_id) == ("r2", "r2")

    @pytest.mark.parametrize("said", [pending("s1", "r1"), failed("s1", "r1"), refusal("cannot steer")])
    def test_an_answer_ends_it(self, said: ServerEvent) -> None:
        protocol, _ = running()
        one = steer(protocol, "r1")
        protocol.receive(accepted("s1", "r1"))
        protocol.receive(completed("r1"))
        protocol.start_steer_timeouts(20.0)
        assert protocol.receive(said) is one
        assert one.state is ENDED
        all_gone(protocol)


class TestOverdue:
    """The response to an accepted steer does not come: the lane goes on."""

    @LANES
    def test_the_lane_is_free(self, lane: str | None) -> None:
        protocol, _ = running(lane)
        one, after = steer(protocol, "r1"), submit(protocol, lane)
        protocol.receive(accepted("s1", "r1", lane))
        protocol.receive(steered("r1", lane))
        assert protocol.start_steer_timeouts(20.0) == [one]
        assert protocol.next_to_send() is None
        protocol.lanes.changed = False
        protocol.abandon(one)
        assert protocol.lanes.changed
        assert one.delivery == "started"  # the server has it, whatever it does with it
        assert protocol.open_requests() == [after]
        assert protocol.next_to_send() is after
        assert protocol.receive(created("r3", lane)) is after
        assert protocol.receive(delta("x", lane)) is after
        assert protocol.receive(completed("r3", lane)) is after
        nothing_open(protocol)
        assert protocol.lost() == []

    def test_one_of_two(self) -> None:
        protocol, _ = running()
        one, two, after = steer(protocol, "r1"), steer(protocol, "r1"), submit(protocol)
        protocol.receive(accepted("s1", "r1"))
        protocol.receive(completed("r1"))
        protocol.receive(accepted("s2", "r1"))
        protocol.abandon(one)
        assert protocol.next_to_send() is None
        assert protocol.open_requests() == [two, after]
        assert protocol.receive(created("r2")) is two
        assert two.shared_with == (one,)  # it answers both, even if one of them does not hear of it
        assert protocol.receive(completed("r2")) is two
        assert (one.state, two.state) == (ENDED, ENDED)
        assert protocol.next_to_send() is after

    @pytest.mark.parametrize("kind", ["pending", "failed"])
    def test_an_answer_that_comes_too_late_hits_nobody_else(self, kind: str) -> None:
        protocol, one = overdue()
        after = send(protocol)
        two = steer(protocol, "r9")
        assert protocol.receive(answer(kind, "s1", "r1")) is one
        assert one.state is ENDED
        assert two.state is SENT
        assert protocol.receive(created("r3")) is after
        assert protocol.receive(completed("r3")) is after
        assert protocol.receive(failed(target="r9")) is two
        all_gone(protocol)

    def test_one_in_time_is_rather_meant(self) -> None:
        protocol, one = overdue()
        send(protocol)
        protocol.receive(created("r3"))
        two = steer(protocol, "r3")
        protocol.receive(accepted())
        protocol.receive(completed("r3"))
        assert protocol.receive(pending()) is two
        assert protocol.receive(pending()) is one
        all_gone(protocol)

    def test_told_twice_that_it_was_accepted(self) -> None:
        protocol, one = overdue()
        after = submit(protocol)
        assert protocol.receive(accepted("s1", "r1")) is one
        assert protocol.next_to_send() is after

    def test_only_so_many_are_remembered(self) -> None:
        protocol, _ = running()
        steers = [steer(protocol, "r1") for _ in range(100)]
        for number in range(100):
            protocol.receive(accepted(f"s{number}", "r1"))
        protocol.receive(completed("r1"))
        for one in steers:
            protocol.abandon(one)
        assert len(protocol._steers._open) == 64
        assert protocol.receive(begins("r2", "r1")) is steers[36]
        assert protocol.receive(completed("r2")) is steers[36]
        all_gone(protocol)


class TestBelated:
    """The response to a steer begins when its lane has gone on: it is still the steer's, and nobody else's."""

    @LANES
    @pytest.mark.parametrize("continued", ["r1", None], ids=["told", "untold"])
    def test_when_nothing_runs_there(self, lane: str | None, continued: str | None) -> None:
        protocol, one = overdue(lane)
        protocol.lanes.changed = False
        assert protocol.receive(begins("r2", continued, lane)) is one
        assert protocol.lanes.changed
        assert (one.cancelled, one.owns_successor, one.response_id, protocol.lanes.active) == (True, True, "r2", 1)
        after = submit(protocol, lane)
        assert protocol.next_to_send() is None  # not every server lets it wait
        for said in (event("response.in_progress", lane, response={"id": "r2"}), delta("late", lane)):
            assert protocol.receive(said) is one
        assert protocol.receive(completed("r2", lane)) is one
        assert one.state is ENDED
        assert protocol.next_to_send() is after
        assert protocol.receive(created("r3", lane)) is after
        assert protocol.receive(completed("r3", lane)) is after
        all_gone(protocol)

    def test_the_lane_is_taken_for_what_waited_too(self) -> None:
        protocol, one = overdue("a", max_active=2)
        others = [send(protocol, "b"), send(protocol, "c")]
        after = submit(protocol, "a")
        assert protocol.receive(begins("r2", "r1", "a")) is one
        protocol.receive(completed("r3", "b"))
        assert protocol.next_to_send() is None
        protocol.receive(completed("r4", "c"))
        assert protocol.next_to_send() is None
        protocol.receive(completed("r2", "a"))
        assert protocol.next_to_send() is after
        assert all(other.state is ENDED for other in others)

    @pytest.mark.parametrize(("lane", "other", "echoes"), [(None, None, True), ("a", "a", True), ("a", "b", False)])
    @pytest.mark.parametrize("kind", ["response.completed", "response.failed", "response.incomplete"])
    def test_before_the_next_request_of_the_lane(
        self, lane: str | None, other: str | None, echoes: bool, kind: str
    ) -> None:
        protocol, one = overdue(lane, echoes=echoes)
        tag = lane if echoes else None
        after = send(protocol, other)
        assert protocol.receive(begins("r2", "r1", tag)) is one
        for said in (
            begins("r2", "r1", tag),
            begins("and once more", "r1", tag),
            event("response.in_progress", tag, response={"id": "r2"}),
            event("response.in_progress", tag, response={"id": "another id of it"}),
            delta("late", tag),
            event("response.new_thing", tag),
        ):
            assert protocol.receive(said) is one
        assert after.state is SENT
        assert protocol.receive(ended(kind, "r2", tag)) is one
        assert one.state is ENDED
        assert protocol.receive(delta("stray", tag)) is None
        assert protocol.receive(begins("r3", None, tag)) is after
        assert protocol.receive(delta("x", tag)) is after
        assert protocol.receive(completed("r3", tag)) is after
        all_gone(protocol)

    @LANES
    @pytest.mark.parametrize("kind", ["response.queued", "response.in_progress", "response.failed"])
    def test_by_whatever_event_it_begins(self, lane: str | None, kind: str) -> None:
        protocol, one = overdue(lane)
        after = send(protocol, lane)
        response = {"id": "r2", "previous_response_id": "r1"}
        assert protocol.receive(event(kind, lane, response=response)) is one
        if kind != "response.failed":
            assert protocol.receive(delta("x", lane)) is one
            assert protocol.receive(completed("r2", lane)) is one
        assert one.state is ENDED
        assert protocol.receive(created("r3", lane)) is after

    def test_an_unreadable_one(self) -> None:
        protocol, one = overdue()
        after = send(protocol)
        response = {"id": "r2", "previous_response_id": "r1", "created_at": "yesterday"}
        unreadable = event("response.created", response=response)
        assert type(unreadable) is UnknownEvent
        assert protocol.receive(unreadable) is one
        assert protocol.receive(completed("r2")) is one
        assert after.state is SENT

    def test_all_that_were_accepted_share_it(self) -> None:
        protocol, _ = running()
        one, two, three = (steer(protocol, "r1") for _ in range(3))
        protocol.receive(accepted("s1", "r1"))
        protocol.receive(accepted("s2", "r1"))
        protocol.receive(completed("r1"))
        for steer_ in (one, two, three):
            protocol.abandon(steer_)
        after = send(protocol)
        assert protocol.receive(begins("r2", "r1")) is one
        assert one.shared_with == (two,)
        assert protocol.receive(accepted("s3", "r1")) is three
        assert three.response_id == "r2"
        assert protocol.open_requests() == [after, one, two, three]
        assert protocol.receive(completed("r2")) is one
        assert {one.state, two.state, three.state} == {ENDED}
        assert protocol.receive(created("r3")) is after

    def test_one_that_was_never_answered(self) -> None:
        protocol, _ = running()
        one = steer(protocol, "r1")
        protocol.receive(completed("r1"))
        protocol.abandon(one)
        after = send(protocol)
        assert protocol.receive(begins("r2", "r1")) is one
        assert protocol.receive(completed("r2")) is one
        assert protocol.receive(begins("r3", None)) is after

    def test_one_that_was_accepted_when_the_lane_had_gone_on(self) -> None:
        protocol, _ = running("a")
        protocol.receive(completed("r1", "a"))
        after = send(protocol, "a")
        one = steer(protocol, "r1")
        protocol.receive(accepted("s1", "r1", "a"))
        assert protocol.receive(begins("r2", "r1", "a")) is one
        assert protocol.receive(completed("r2", "a")) is one
        assert protocol.receive(begins("r3", None, "a")) is after
        assert protocol.receive(completed("r3", "a")) is after
        all_gone(protocol)

    def test_a_response_to_the_target_by_another_of_its_ids(self) -> None:
        protocol, target = running()
        assert protocol.receive(event("response.in_progress", response={"id": "r1 later"})) is target
        one, two = steer(protocol, "r1"), steer(protocol, "r1 later")
        protocol.receive(accepted("s1"))
        protocol.receive(accepted("s2"))
        protocol.receive(completed("r1"))
        protocol.abandon(one)
        protocol.abandon(two)
        after = send(protocol)
        assert protocol.receive(begins("r2", "r1 later")) is one
        assert one.shared_with == (two,)
        assert after.state is SENT

    @pytest.mark.parametrize("continued", [None, "r0"])
    def test_the_response_to_the_next_request_is_not_it(self, continued: str | None) -> None:
        protocol, one = overdue()
        after = request(continued, None) if continued is not None else ProtocolRequest(b"{}", None)
        protocol.submit(after)
        assert protocol.next_to_send() is after
        assert protocol.receive(begins("r3", continued)) is after
        assert not one.owns_successor

    def test_what_continues_the_same_response_gets_what_comes(self) -> None:
        protocol, one = overdue()
        after = request("r1")
        protocol.submit(after)
        assert protocol.next_to_send() is after
        assert protocol.receive(begins("r2", "r1")) is after  # it may not wait for ever for what never comes
        assert protocol.receive(begins("another id of it", "r1")) is after
        assert protocol.receive(completed("r2")) is after
        assert protocol.receive(begins("r3", "r1")) is one  # nobody else asked for it
        assert protocol.receive(completed("r3")) is one
        all_gone(protocol)

    def test_a_fork_of_the_same_response_is_on_a_lane_of_its_own(self) -> None:
        protocol, one = overdue("a")
        fork = request("r1", "b")
        protocol.submit(fork)
        assert protocol.next_to_send() is fork
        after = send(protocol, "a")
        assert protocol.receive(begins("r2", "r1", "a")) is one
        assert protocol.receive(begins("r3", "r1", "b")) is fork
        assert protocol.receive(completed("r3", "b")) is fork
        assert after.state is SENT

    def test_an_answer_on_a_lane_that_is_not_seen_to_be_named_is_not_it(self) -> None:
        protocol, one = overdue(echoes=None)
        other = send(protocol, "a")
        assert protocol.receive(begins("r3", None)) is other
        assert not one.owns_successor

    def test_an_event_of_a_running_response_without_its_tag_is_not_it(self) -> None:
        protocol, one = overdue()
        other = send(protocol, "b")
        protocol.receive(created("r9", "b"))
        assert protocol.receive(event("response.in_progress", response={"id": "r9"})) is other
        assert not one.owns_successor

    def test_nor_is_anything_while_the_target_runs(self) -> None:
        protocol, target = running()
        one = steer(protocol, "r1")
        protocol.receive(accepted("s1", "r1"))
        assert protocol.receive(begins("another id of it", "r1")) is target
        assert not one.owns_successor

    def test_what_comes_out_of_nowhere_is_nobodys(self) -> None:
        protocol, one = overdue()
        assert protocol.receive(begins("r2", "r1", "b")) is None
        assert protocol.receive(begins("r2", "r0")) is None
        assert protocol.receive(ended("response.failed", "r3")) is None
        assert not one.owns_successor

    def test_an_event_of_the_target_is_nobodys(self) -> None:
        protocol, one = overdue()
        after = send(protocol)
        assert protocol.receive(begins("r2", "r1")) is one
        assert protocol.receive(completed("r1")) is None
        assert (one.state, after.state) == (STARTED, SENT)

    @pytest.mark.parametrize(("lane", "other", "echoes"), [(None, None, True), ("a", "a", True), ("a", "b", False)])
    def test_an_error_ends_it_and_not_the_request_behind_it(
        self, lane: str | None, other: str | None, echoes: bool
    ) -> None:
        protocol, one = overdue(lane, echoes=echoes)
        tag = lane if echoes else None
        after = send(protocol, other)
        protocol.receive(begins("r2", "r1", tag))
        assert protocol.receive(error(tag)) is one
        assert protocol.receive(delta("late", tag)) is None
        assert protocol.receive(ended("response.failed", "r2", tag)) is None
        assert protocol.receive(begins("r3", None, tag)) is after
        assert protocol.receive(completed("r3", tag)) is after
        all_gone(protocol)

    def test_an_error_without_a_lane_when_nothing_else_runs(self) -> None:
        protocol, one = overdue("a")
        protocol.receive(begins("r2", "r1", "a"))
        assert protocol.receive(error()) is one
        all_gone(protocol)

    def test_an_error_about_something_else_does_not(self) -> None:
        protocol, one = overdue()
        after = send(protocol)
        two = steer(protocol, "r9")
        protocol.receive(begins("r2", "r1"))
        assert protocol.receive(refusal("what is response.steer?")) is two
        assert protocol.receive(error(code="response_already_in_flight")) is after
        assert one.state is STARTED
        assert protocol.receive(completed("r2")) is one

    @LANES
    def test_an_error_before_it_has_begun_is_that_of_the_request_behind_it(self, lane: str | None) -> None:
        """A steer whose response cannot begin fails by `response.steer.failed`."""
        protocol, one = overdue(lane)
        after = send(protocol, lane)
        assert protocol.receive(error(lane)) is after
        assert protocol.receive(failed("s1", "r1", lane)) is one
        all_gone(protocol)

    @LANES
    def test_the_response_to_the_request_behind_it_ends_it_too(self, lane: str | None) -> None:
        protocol, one = overdue(lane)
        after = send(protocol, lane)
        protocol.receive(begins("r2", "r1", lane))
        assert protocol.receive(begins("r3", None, lane)) is after
        assert one.state is ENDED
        assert protocol.receive(delta("x", lane)) is after
        assert protocol.receive(completed("r2", lane)) is None
        assert protocol.receive(completed("r3", lane)) is after
        all_gone(protocol)

    def test_the_response_to_the_request_before_it_ends_it_too(self) -> None:
        protocol, one = overdue("a")
        other = send(protocol, "b")
        protocol.receive(created("r9", "b"))
        before = send(protocol, "a")
        protocol.receive(created("r3", "a"))
        assert protocol.receive(begins("r2", "r1", "a")) is one
        assert protocol.receive(delta("x", "a")) is one
        assert protocol.receive(event("response.in_progress", "a", response={"id": "r3"})) is before
        assert one.state is ENDED
        assert protocol.receive(delta("x", "a")) is before
        assert protocol.receive(completed("r3", "a")) is before
        assert protocol.receive(completed("r9", "b")) is other
        all_gone(protocol)

    def test_an_event_of_another_lane_without_its_tag_does_not_end_it(self) -> None:
        protocol, one = overdue()
        other = send(protocol, "b")
        protocol.receive(created("r9", "b"))
        assert protocol.receive(begins("r2", "r1")) is one
        assert protocol.receive(completed("r9")) is other
        assert one.state is STARTED
        assert protocol.receive(completed("r2")) is one

    def test_the_response_to_a_steer_goes_before_what_was_sent_behind_its_target(self) -> None:
        protocol, one = overdue("a", echoes=False)
        after = send(protocol)
        assert protocol.receive(begins("r2", "r1")) is one
        two = steer(protocol, "r2")
        assert protocol.receive(accepted("s2", "r2")) is two
        assert protocol.receive(steered("r2")) is one
        assert protocol.start_steer_timeouts(30.0) == [two]
        assert protocol.receive(begins("r3", "r2")) is two
        assert protocol.receive(completed("r3")) is two
        assert protocol.receive(begins("r4", None)) is after
        assert protocol.receive(completed("r4")) is after
        all_gone(protocol)

    def test_unless_what_comes_continues_what_that_continues(self) -> None:
        protocol, _ = overdue("a", echoes=False)
        after = request("r0", "b")
        protocol.submit(after)
        assert protocol.next_to_send() is after
        protocol.receive(begins("r2", "r1"))
        two = steer(protocol, "r2")
        protocol.receive(accepted("s2", "r2"))
        protocol.receive(steered("r2"))
        assert protocol.receive(begins("r3", "r0")) is after
        assert protocol.receive(completed("r3")) is after
        assert protocol.receive(begins("r4", "r2")) is two
        assert protocol.receive(completed("r4")) is two
        all_gone(protocol)

    def test_it_is_rather_that_of_one_in_time(self) -> None:
        protocol, _ = running()
        one, two = steer(protocol, "r1"), steer(protocol, "r1")
        protocol.receive(completed("r1"))
        protocol.abandon(one)
        assert protocol.receive(begins("r2", "r1")) is two
        assert two.shared_with == ()
        assert not protocol.lanes.late_successors
        assert protocol.receive(completed("r2")) is two

    def test_one_after_the_other(self) -> None:
        protocol, one = overdue()
        target = send(protocol)
        protocol.receive(created("r3"))
        two = steer(protocol, "r3")
        protocol.receive(accepted("s2", "r3"))
        assert protocol.receive(completed("r3")) is target
        protocol.abandon(two)
        after = send(protocol)
        assert protocol.receive(begins("r2", "r1")) is one
        assert protocol.receive(begins("r4", "r3")) is two
        assert one.state is ENDED
        assert protocol.receive(completed("r4")) is two
        assert protocol.receive(begins("r5", None)) is after
        assert protocol.receive(completed("r5")) is after
        all_gone(protocol)

    def test_the_lane_is_held_again_after_it(self) -> None:
        protocol, one = overdue()
        target, after = send(protocol), submit(protocol)
        protocol.receive(created("r3"))
        two = steer(protocol, "r3")
        protocol.receive(accepted("s2", "r3"))
        assert protocol.receive(completed("r3")) is target
        assert protocol.start_steer_timeouts(30.0) == [two]
        assert protocol.receive(begins("r2", "r1")) is one
        assert not two.successor_due  # its own response comes behind this one
        assert protocol.lanes.active == 1
        assert protocol.receive(completed("r2")) is one
        assert protocol.start_steer_timeouts(40.0) == [two]
        assert protocol.next_to_send() is None
        assert protocol.receive(begins("r4", "r3")) is two
        assert protocol.receive(completed("r4")) is two
        assert protocol.next_to_send() is after

    def test_one_that_somebody_waits_for_may_close(self) -> None:
        protocol, _ = running("a", close_on_dispose=True)
        protocol.receive(completed("r1", "a"))
        after = send(protocol, "a")
        one, two = steer(protocol, "r1"), steer(protocol, "r1")
        protocol.receive(accepted("s1", "r1", "a"))
        protocol.receive(accepted("s2", "r1", "a"))
        assert protocol.receive(begins("r2", "r1", "a")) is one
        assert not protocol.dispose(one)
        assert protocol.receive(delta("x", "a")) is two
        assert protocol.dispose(two)
        assert protocol.receive(completed("r2", "a")) is two
        assert protocol.receive(created("r3", "a")) is after

    def test_it_can_be_steered_in_turn(self) -> None:
        protocol, _ = overdue("a")
        after = send(protocol, "a")
        protocol.receive(begins("r2", "r1", "a"))
        two = steer(protocol, "r2")
        assert protocol.receive(accepted("s2", "r2", "a")) is two
        protocol.receive(steered("r2", "a"))
        assert protocol.receive(begins("r3", "r2", "a")) is two
        assert protocol.receive(completed("r3", "a")) is two
        assert protocol.receive(begins("r4", None, "a")) is after

    def test_loss(self) -> None:
        protocol, one = overdue()
        after = send(protocol)
        protocol.receive(begins("r2", "r1"))
        assert protocol.lost() == [after, one]
        assert (after.delivery, one.delivery) == ("unknown", "started")
        all_gone(protocol)

    def test_a_late_failure_of_a_refused_request_is_taken_for_it_at_worst(self) -> None:
        protocol, _ = running()
        one = steer(protocol, "r1")
        protocol.receive(completed("r1"))
        protocol.abandon(one)
        refused = request("r1")
        protocol.submit(refused)
        assert protocol.next_to_send() is refused
        assert protocol.receive(error()) is refused
        late = event("response.failed", response={"id": "r2", "previous_response_id": "r1"})
        assert protocol.receive(late) is one
        after = send(protocol)
        assert protocol.receive(created("r3")) is after
        assert protocol.receive(completed("r3")) is after
        all_gone(protocol)


class TestOddOrder:
    def test_accepted_after_the_end_of_the_target(self) -> None:
        protocol, target = running()
        one, after = steer(protocol, "r1"), submit(protocol)
        assert protocol.receive(completed("r1")) is target
        assert protocol.receive(accepted("s1", "r1")) is one
        assert protocol.next_to_send() is None
        assert protocol.receive(created("r2")) is one
        assert protocol.receive(completed("r2")) is one
        assert protocol.next_to_send() is after

    def test_the_successor_before_any_answer(self) -> None:
        protocol, _ = running()
        one, two, after = steer(protocol, "r1"), steer(protocol, "r1"), submit(protocol)
        protocol.receive(completed("r1"))
        assert protocol.receive(created("r2")) is one
        assert one.shared_with == ()
        assert protocol.receive(completed("r2")) is one
        assert protocol.next_to_send() is None  # the other one may still be answered
        assert protocol.receive(failed(target="r1")) is two
        assert protocol.next_to_send() is after

    def test_a_successor_that_begins_twice(self) -> None:
        protocol, _ = running()
        one, two = steer(protocol, "r1"), steer(protocol, "r1")
        protocol.receive(completed("r1"))
        assert protocol.receive(begins("r2", "r1")) is one
        assert protocol.receive(begins("another id of it", "r1")) is one
        assert two.state is SENT
        assert protocol.receive(completed("r2")) is one

    def test_accepted_after_the_successor_began(self) -> None:
        protocol, _ = running()
        one, two = steer(protocol, "r1"), steer(protocol, "r1")
        protocol.receive(accepted("s1", "r1"))
        protocol.receive(steered("r1"))
        protocol.receive(created("r2"))
        assert protocol.receive(accepted("s2", "r1")) is two
        assert one.shared_with == (two,)
        assert protocol.receive(completed("r2")) is one
        assert two.state is ENDED
        all_gone(protocol)

    def test_accepted_after_the_successor_began_for_another_id_of_the_target(self) -> None:
        protocol, _ = running()
        protocol.receive(event("response.in_progress", response={"id": "r1 later"}))
        one, two = steer(protocol, "r1"), steer(protocol, "r1 later")
        protocol.receive(accepted("s1", "r1"))
        protocol.receive(steered("r1"))
        assert protocol.receive(created("r2")) is one
        assert protocol.receive(accepted("s2", "r1 later")) is two
        assert one.shared_with == (two,)

    def test_the_successor_is_rather_that_of_an_accepted_one(self) -> None:
        protocol, _ = running()
        protocol.receive(event("response.in_progress", response={"id": "r1 later"}))
        one, two = steer(protocol, "r1"), steer(protocol, "r1 later")
        assert protocol.receive(accepted(target="r1 later")) is two
        protocol.receive(completed("r1"))
        assert protocol.receive(begins("r2", "r1")) is two
        assert (one.state, two.shared_with) == (SENT, ())

    def test_refused_after_the_successor_began(self) -> None:
        protocol, _ = running()
        one, two = steer(protocol, "r1"), steer(protocol, "r1")
        protocol.receive(accepted("s1", "r1"))
        protocol.receive(steered("r1"))
        protocol.receive(created("r2"))
        assert protocol.receive(failed(target="r1")) is two
        assert protocol.receive(delta()) is one

    def test_accepted_for_a_response_that_was_over(self) -> None:
        protocol, _ = running("a")
        protocol.receive(completed("r1", "a"))
        one = steer(protocol, "r1")
        after = submit(protocol, "a")
        assert protocol.receive(accepted("s1", "r1", "a")) is one
        assert protocol.next_to_send() is None
        assert protocol.receive(created("r2", "a")) is one
        assert protocol.receive(completed("r2", "a")) is one
        assert protocol.next_to_send() is after

    def test_accepted_for_a_response_that_was_over_when_the_next_one_runs(self) -> None:
        protocol, _ = running("a")
        protocol.receive(completed("r1", "a"))
        after = send(protocol, "a")
        one = steer(protocol, "r1")
        assert protocol.receive(accepted("s1", "r1", "a")) is one
        assert protocol.receive(created("r2", "a")) is after
        assert protocol.receive(completed("r2", "a")) is after
        assert protocol.receive(created("r3", "a")) is one

    def test_a_target_whose_id_comes_later(self) -> None:
        protocol = Protocol(echoes_stream_id=False)
        target = send(protocol, "a")
        one = steer(protocol, "r1")
        assert protocol.receive(created("r1")) is target
        assert protocol.receive(accepted("s1", "r1")) is one
        assert protocol.receive(steered("r1")) is target
        assert one.stream_id == "a"
        assert protocol.receive(created("r2")) is one


class TestServersWithoutLanes:
    def test_the_successor_is_untagged(self) -> None:
        protocol, target = running("a", echoes=False)
        one, after = steer(protocol, "r1"), submit(protocol, "b")
        assert protocol.receive(accepted("s1", "r1")) is one
        assert protocol.receive(steered("r1")) is target
        assert protocol.next_to_send() is None
        assert protocol.receive(created("r2")) is one
        assert protocol.receive(delta()) is one
        assert protocol.receive(completed("r2")) is one
        assert protocol.next_to_send() is after

    def test_the_successor_before_any_answer(self) -> None:
        protocol, _ = running("a", echoes=False)
        one = steer(protocol, "r1")
        protocol.receive(completed("r1"))
        assert protocol.receive(created("r2")) is one

    def test_an_answer_to_another_request_is_not_the_successor(self) -> None:
        protocol, _ = running(echoes=None)
        one = steer(protocol, "r1")
        protocol.receive(completed("r1"))
        other = send(protocol, "a")  # what kind of server it is has not been seen
        assert protocol.receive(created("r2")) is other
        assert protocol.receive(completed("r2")) is other
        protocol.abandon(one)
        nothing_open(protocol)

    def test_nor_is_its_refusal(self) -> None:
        protocol, _ = running(echoes=None)
        one = steer(protocol, "r1")
        protocol.receive(completed("r1"))
        other = send(protocol, "a")
        assert protocol.receive(error()) is other
        assert protocol.receive(failed(target="r1")) is one
        all_gone(protocol)

    def test_a_refusal_of_the_successor_is(self) -> None:
        protocol, _ = running(echoes=None)
        one = steer(protocol, "r1")
        protocol.receive(accepted("s1", "r1"))
        protocol.receive(completed("r1"))
        other = send(protocol, "a")
        assert protocol.receive(error()) is one
        assert protocol.receive(created("r2")) is other

    def test_unless_the_steer_was_accepted(self) -> None:
        protocol, _ = running(echoes=None)
        one = steer(protocol, "r1")
        two = steer(protocol, "r1")
        protocol.receive(accepted("s1", "r1"))
        protocol.receive(completed("r1"))
        other = send(protocol, "a")
        assert protocol.receive(created("r2")) is one
        assert protocol.receive(completed("r2")) is one
        assert two.state is SENT
        assert protocol.receive(created("r3")) is other

    def test_on_the_default_lane_of_a_server_with_lanes(self) -> None:
        protocol, _ = running()
        one = steer(protocol, "r1")
        protocol.receive(accepted("s1", "r1"))
        protocol.receive(completed("r1"))
        send(protocol, "a")
        assert protocol.receive(event("response.in_progress", response={"id": "r2"})) is one


class TestLoss:
    @pytest.mark.parametrize(
        ("state", "delivery"), [(QUEUED, "not_sent"), (SENT, "unknown"), (STARTED, "started")], ids=str
    )
    def test_scenario_37_verdicts(self, state: RequestState, delivery: str) -> None:
        protocol, target = running()
        one = ProtocolSteer(b"{}", "r1")
        protocol.submit(one)
        if state is not QUEUED:
            assert protocol.next_to_send() is one
        if state is STARTED:
            protocol.receive(accepted("s1", "r1"))
        assert protocol.lost() == [target, one]
        assert one.delivery == delivery
        all_gone(protocol)

    def test_of_a_held_lane(self) -> None:
        protocol, _ = running()
        one = steer(protocol, "r1")
        protocol.receive(accepted("s1", "r1"))
        protocol.receive(steered("r1"))
        assert protocol.lost() == [one]
        all_gone(protocol)

    def test_all_that_share_a_response(self) -> None:
        protocol, _ = running()
        one, two = steer(protocol, "r1"), steer(protocol, "r1")
        protocol.receive(accepted("s1", "r1"))
        protocol.receive(accepted("s2", "r1"))
        protocol.receive(steered("r1"))
        protocol.receive(created("r2"))
        assert protocol.lost() == [one, two]
        assert (one.delivery, two.delivery) == ("started", "started")

    def test_an_abandoned_one_is_nobodys(self) -> None:
        protocol, target = running()
        protocol.abandon(steer(protocol, "r1"))
        assert protocol.lost() == [target]
        all_gone(protocol)
