"""Steering in the protocol, state by state."""

from __future__ import annotations

from typing import Any

import pytest

from rxresponses.events import ServerEvent
from rxresponses.events.base import UnknownEvent
from rxresponses.exchange import ENDED, QUEUED, SENT, STARTED, Exchange, ExchangeState, Steer
from rxresponses.protocol import Protocol
from rxresponses.steering import was_steered

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


def steered(response_id: str, lane: str | None = None) -> ServerEvent:
    response = {"id": response_id, "incomplete_details": {"reason": "steered"}}
    return event("response.incomplete", lane, response=response)


def refusal(message: str, lane: str | None = None, **fields: Any) -> ServerEvent:
    return event("error", lane, error={"message": message, **fields})


def steer(protocol: Protocol, target_id: str) -> Steer:
    """Submit a steer and see it go at once."""
    one = Steer(b"{}", target_id)
    protocol.submit(one)
    assert protocol.next_to_send(5.0) is one
    assert (one.state, one.since) == (SENT, 5.0)
    return one


def running(lane: str | None = None, response_id: str = "r1", **options: Any) -> tuple[Protocol, Exchange]:
    """A protocol with one response that runs on a lane."""
    protocol = Protocol(**{"echoes": True, **options})
    target = send(protocol, lane)
    assert protocol.receive(created(response_id, lane if protocol.echoes is not False else None)) is target
    return protocol, target


def nothing_open(protocol: Protocol) -> None:
    """Nothing is taken, and nobody waits."""
    assert_nothing_left(protocol)
    assert not protocol._held
    assert not protocol.pending()


def all_gone(protocol: Protocol) -> None:
    nothing_open(protocol)
    assert not protocol._steering._open


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
        assert protocol.active == 1
        assert protocol.next_to_send() is None
        assert protocol.receive(delta("stray", lane)) is None
        for said in (created("r2", lane), delta("x", lane), event("response.new_thing", lane)):
            assert protocol.receive(said) is one
        assert one.response_id == "r2"
        assert one.committed
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
        assert (protocol.active, protocol.queued) == (1, 1)
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
        assert protocol.pending() == [one, two]
        assert protocol.receive(created("r2")) is one
        assert one.followers == (two,)
        assert protocol.pending() == [one, two]
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
        assert one.followers == ()
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
        protocol.unblocked = False
        protocol.receive(created("r2"))
        assert protocol.unblocked


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
        assert not protocol._steering._open
        assert protocol.next_to_send() is after

    def test_the_target_had_just_ended(self) -> None:
        protocol, target = running()
        one = steer(protocol, "r1")
        after = submit(protocol)
        assert protocol.receive(completed("r1")) is target
        assert protocol.next_to_send() is None  # the server may have taken it just before
        protocol.unblocked = False
        assert protocol.receive(failed(target="r1")) is one
        assert protocol.unblocked
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
        assert two.followers == ()

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
        assert not protocol._steering._open

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
            refusal("Steering is off."),
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
        assert one.followers == (two,)
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
        protocol.submit(Steer(b"{}", "r1"))
        assert protocol.next_to_send() is None


class TestDispose:
    def test_before_it_was_sent(self) -> None:
        protocol, target = running()
        one = Steer(b"{}", "r1")
        protocol.submit(one)
        assert protocol.pending() == [target, one]
        assert not protocol.dispose(one)
        assert one.state is ENDED
        assert protocol.pending() == [target]
        assert protocol.next_to_send() is None
        protocol.dispose(one)
        assert protocol.receive(completed("r1")) is target
        all_gone(protocol)

    def test_however_many_wait_to_be_sent(self) -> None:
        class Compared(Steer):
            count = 0
            __hash__ = Steer.__hash__

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
        assert protocol.pending() == steers[:1]
        assert protocol.next_to_send() is steers[0]

    def test_by_another_thread_just_before_the_write(self) -> None:
        protocol, _ = running()
        one, two = Steer(b"{}", "r1"), Steer(b"{}", "r1")
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
        assert two.followers == (one,)

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
        protocol.unblocked = False
        assert not protocol.dispose(one)
        assert one.state is ENDED
        assert protocol.unblocked  # the clocks have to hear of the one that accounts for it now
        assert one.followers == (two, three)  # the event that made it give up is still theirs
        assert (three.followers, three.committed, three.since, three.response_id) == ((two,), True, 7.0, "r2")
        assert protocol.pending() == [three, two]
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
        one, two = steer(protocol, "r1"), Steer(b"{}", "r1")
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
        assert protocol.pending() == [target, after]
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
        protocol.unblocked = False
        protocol.abandon(one)
        assert protocol.unblocked
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
        assert protocol.pending() == [target]
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
        assert two.followers == ()
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
        assert len(protocol._steering._open) == 64
        assert (steers[35].state, steers[36].state) == (ENDED, SENT)
        assert protocol.receive(failed(target="r1")) is steers[36]
        assert protocol.receive(completed("r1")) is target
        nothing_open(protocol)


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
        assert one.followers == ()
        assert protocol.receive(completed("r2")) is one
        assert protocol.next_to_send() is None  # the other one may still be answered
        assert protocol.receive(failed(target="r1")) is two
        assert protocol.next_to_send() is after

    def test_accepted_after_the_successor_began(self) -> None:
        protocol, _ = running()
        one, two = steer(protocol, "r1"), steer(protocol, "r1")
        protocol.receive(accepted("s1", "r1"))
        protocol.receive(steered("r1"))
        protocol.receive(created("r2"))
        assert protocol.receive(accepted("s2", "r1")) is two
        assert one.followers == (two,)
        assert protocol.receive(completed("r2")) is one
        assert two.state is ENDED
        all_gone(protocol)

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
        protocol = Protocol(echoes=False)
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
    def test_scenario_37_verdicts(self, state: ExchangeState, delivery: str) -> None:
        protocol, target = running()
        one = Steer(b"{}", "r1")
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


def test_why_a_response_ended() -> None:
    assert was_steered(steered("r1"))
    assert not was_steered(ended("response.incomplete", "r1"))
    assert not was_steered(completed("r1"))
    for details, expected in (({"reason": "steered"}, True), ({"reason": 5}, False), ("?", False)):
        response = {"id": "r1", "created_at": "yesterday", "incomplete_details": details}
        unreadable = event("response.incomplete", response=response)
        assert type(unreadable) is UnknownEvent
        assert was_steered(unreadable) is expected
    assert not was_steered(event("response.incomplete", response="?"))
