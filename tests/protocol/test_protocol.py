"""Submitting, disposing and losing requests and steers."""

from __future__ import annotations

import pytest

from rxresponses.protocol.protocol import Protocol
from rxresponses.protocol.request import ENDED, QUEUED, SENT, STARTED, ProtocolRequest, ProtocolSteer, RequestState

from .driver import (
    LANES,
    accepted,
    assert_nothing_left,
    assert_nothing_runs,
    begins,
    completed,
    created,
    delta,
    overdue,
    running,
    send,
    send_accepted_steers,
    send_steer,
    steered,
    steering,
    submit,
)


class Compared(ProtocolRequest):
    """A request that counts how often a request is compared with another."""

    count = 0
    __hash__ = ProtocolRequest.__hash__

    def __eq__(self, other: object) -> bool:
        Compared.count += 1
        return self is other


class TestDispose:
    def test_scenario_08_the_next_request_sees_nothing_of_a_given_up_one(self) -> None:
        protocol = Protocol()
        first = send(protocol)
        protocol.receive(created("r1"))
        protocol.receive(delta())
        protocol.dispose(first)
        second = submit(protocol)
        assert protocol.next_to_send() is None
        assert protocol.receive(delta()) is first
        assert protocol.receive(completed("r1")) is first
        assert protocol.next_to_send() is second
        assert protocol.receive(created("r2")) is second

    def test_scenario_09_given_up_before_created(self) -> None:
        protocol = Protocol()
        first = send(protocol)
        protocol.dispose(first)
        second = submit(protocol)
        assert protocol.receive(created("r1")) is first
        assert protocol.receive(delta()) is first
        assert protocol.next_to_send() is None
        assert protocol.receive(completed("r1")) is first
        assert protocol.next_to_send() is second

    def test_scenario_10_given_up_before_it_was_sent(self) -> None:
        protocol = Protocol()
        first, second = submit(protocol), submit(protocol)
        protocol.dispose(first)
        assert protocol.next_to_send() is second
        assert first.state is ENDED
        assert first.cancelled

    def test_scenario_10_the_only_request_of_its_lane(self) -> None:
        protocol = Protocol()
        first = submit(protocol, "a")
        protocol.dispose(first)
        assert protocol.next_to_send() is None
        assert protocol.lanes.names_used == 0
        assert_nothing_runs(protocol)

    def test_cancelled_by_another_thread_just_before_the_write(self) -> None:
        protocol = Protocol()
        first, second, third = submit(protocol), submit(protocol), submit(protocol, "a")
        first.cancelled = True
        third.cancelled = True
        assert protocol.next_to_send() is second
        protocol.receive(created("r"))
        assert protocol.next_to_send() is None
        assert third.state is ENDED
        assert protocol.lanes.names_used == 0

    @LANES
    def test_scenario_10_however_many_requests_wait(self, lane: str | None) -> None:
        """A request is taken out of the queue without a comparison with the others."""
        protocol = Protocol()
        running = send(protocol, lane)
        protocol.receive(created("r1", lane))
        waiting = [Compared(b"{}", lane) for _ in range(1000)]
        for request in waiting:
            protocol.submit(request)
        Compared.count = 0
        for left, request in zip(range(999, 1, -1), reversed(waiting[1:-1]), strict=True):
            assert not protocol.dispose(request)
            assert request.state is ENDED
            assert protocol.lanes.queued == left
        assert Compared.count == 0
        assert protocol.open_requests() == [running, waiting[0], waiting[-1]]
        assert protocol.receive(completed("r1", lane)) is running
        assert protocol.next_to_send() is waiting[0]
        protocol.receive(completed("r2", lane))
        assert protocol.next_to_send() is waiting[-1]

    def test_scenario_11_twice_and_after_the_end(self) -> None:
        protocol = Protocol()
        first = send(protocol)
        protocol.receive(completed("r1"))
        protocol.dispose(first)
        protocol.dispose(first)
        queued = submit(protocol)
        protocol.dispose(queued)
        protocol.dispose(queued)
        assert_nothing_runs(protocol)

    def test_after_the_connection_was_lost(self) -> None:
        protocol = Protocol()
        first = submit(protocol)
        protocol.lost()
        protocol.dispose(first)
        second = submit(protocol)
        protocol.dispose(first)
        assert protocol.next_to_send() is second


class TestDisposeSteer:
    def test_before_it_was_sent(self) -> None:
        protocol, target = running()
        steer = ProtocolSteer(b"{}", "r1")
        protocol.submit(steer)
        assert protocol.open_requests() == [target, steer]
        assert not protocol.dispose(steer)
        assert steer.state is ENDED
        assert protocol.open_requests() == [target]
        assert protocol.next_to_send() is None
        protocol.dispose(steer)
        assert protocol.receive(completed("r1")) is target
        assert_nothing_left(protocol)

    def test_however_many_steers_wait(self) -> None:
        class Compared(ProtocolSteer):
            count = 0
            __hash__ = ProtocolSteer.__hash__

            def __eq__(self, other: object) -> bool:
                Compared.count += 1
                return self is other

        protocol = Protocol()
        steers = [Compared(b"{}", "r1") for _ in range(1000)]
        for steer in steers:
            protocol.submit(steer)
        Compared.count = 0
        for steer in reversed(steers[1:]):
            protocol.dispose(steer)
        assert Compared.count == 0
        assert protocol.open_requests() == steers[:1]
        assert protocol.next_to_send() is steers[0]

    def test_cancelled_by_another_thread_just_before_the_write(self) -> None:
        protocol, _ = running()
        first, second = ProtocolSteer(b"{}", "r1"), ProtocolSteer(b"{}", "r1")
        protocol.submit(first)
        protocol.submit(second)
        first.cancelled = True
        assert protocol.next_to_send() is second
        assert first.state is ENDED

    @pytest.mark.parametrize("close", [False, True])
    def test_before_its_successor_began(self, close: bool) -> None:
        protocol, target = running(close_on_dispose=close)
        steer, next_request = send_steer(protocol), submit(protocol)
        assert not protocol.dispose(steer)  # closing would end the target, which has its own subscriber
        assert protocol.receive(accepted("s1", "r1")) is steer
        assert not protocol.dispose(steer)
        assert protocol.receive(steered("r1")) is target
        assert protocol.next_to_send() is None
        assert protocol.receive(created("r2")) is steer
        assert protocol.receive(delta()) is steer
        assert protocol.receive(completed("r2")) is steer
        assert protocol.next_to_send() is next_request

    @pytest.mark.parametrize("close", [False, True])
    def test_while_its_successor_runs(self, close: bool) -> None:
        protocol, steer = steering(close_on_dispose=close)
        protocol.receive(steered("r1"))
        protocol.receive(created("r2"))
        assert protocol.dispose(steer) is close
        assert protocol.receive(delta()) is steer
        assert protocol.receive(completed("r2")) is steer
        assert not protocol.dispose(steer)
        assert_nothing_left(protocol)

    def test_a_cancelled_steer_does_not_own_the_successor(self) -> None:
        protocol, _ = running()
        first, second = send_accepted_steers(protocol, 2)
        protocol.dispose(first)
        protocol.receive(steered("r1"))
        assert protocol.receive(created("r2")) is second
        assert second.shared_with == (first,)

    @pytest.mark.parametrize("echoes", [True, False])
    def test_another_steer_takes_over_a_shared_successor(self, echoes: bool) -> None:
        protocol, _ = running("a", echoes=echoes, close_on_dispose=True)
        lane = "a" if echoes else None
        first, second, third = (send_steer(protocol) for _ in range(3))
        for number in range(3):
            protocol.receive(accepted(f"s{number}", "r1", lane))
        protocol.receive(steered("r1", lane))
        assert protocol.receive(created("r2", lane)) is first
        first.since = 7.0
        assert not protocol.dispose(second)
        assert protocol.receive(delta("x", lane)) is first
        protocol.lanes.changed = False
        assert not protocol.dispose(first)
        assert first.state is ENDED
        assert protocol.lanes.changed  # so that the caller times the steer that owns the successor now
        assert first.shared_with == (second, third)  # the event that is being delivered still goes to them
        assert (third.shared_with, third.owns_successor, third.since, third.response_id) == ((second,), True, 7.0, "r2")
        assert protocol.open_requests() == [third, second]
        assert not protocol.dispose(first)
        assert protocol.receive(delta("x", lane)) is third
        fourth = send_steer(protocol, "r2")
        assert protocol.receive(accepted("s4", "r2", lane)) is fourth
        assert protocol.dispose(third)
        assert protocol.receive(steered("r2", lane)) is third
        assert (second.state, third.state) == (ENDED, ENDED)
        assert protocol.receive(created("r3", lane)) is fourth
        assert protocol.receive(completed("r3", lane)) is fourth
        assert_nothing_left(protocol)

    def test_another_steer_takes_over_a_late_successor(self) -> None:
        protocol, _ = running("a", close_on_dispose=True)
        protocol.receive(completed("r1", "a"))
        next_request = send(protocol, "a")
        first, second = send_accepted_steers(protocol, 2, "a")
        assert protocol.receive(begins("r2", "r1", "a")) is first
        assert not protocol.dispose(first)
        assert protocol.receive(delta("x", "a")) is second
        assert protocol.dispose(second)
        assert protocol.receive(completed("r2", "a")) is second
        assert protocol.receive(created("r3", "a")) is next_request

    def test_after_the_connection_was_lost(self) -> None:
        protocol, _ = running(close_on_dispose=True)
        first, second = send_steer(protocol), ProtocolSteer(b"{}", "r1")
        protocol.submit(second)
        protocol.lost()
        assert not protocol.dispose(first)
        assert not protocol.dispose(second)
        protocol.abandon(first)


class TestLost:
    def test_delivery_of_requests(self) -> None:
        protocol = Protocol(max_active=3, echoes_stream_id=True)
        sent, started = send(protocol, "a"), send(protocol, "b")
        protocol.receive(delta("x", "b"))
        waiting = [submit(protocol, "a"), submit(protocol, "c")]
        lost = protocol.lost()
        assert set(lost) == {sent, started, *waiting}
        assert lost[:2] == [sent, started]
        assert [sent.delivery, started.delivery, waiting[0].delivery] == ["unknown", "started", "not_sent"]
        assert waiting[0].state is QUEUED
        assert_nothing_runs(protocol)
        assert protocol.lost() == []

    @pytest.mark.parametrize(
        ("state", "delivery"), [(QUEUED, "not_sent"), (SENT, "unknown"), (STARTED, "started")], ids=str
    )
    def test_scenario_37_delivery_of_steers(self, state: RequestState, delivery: str) -> None:
        protocol, target = running()
        steer = ProtocolSteer(b"{}", "r1")
        protocol.submit(steer)
        if state is not QUEUED:
            assert protocol.next_to_send() is steer
        if state is STARTED:
            protocol.receive(accepted("s1", "r1"))
        assert protocol.lost() == [target, steer]
        assert steer.delivery == delivery
        assert_nothing_left(protocol)

    def test_a_steer_that_waits_for_its_successor(self) -> None:
        protocol, steer = steering()
        protocol.receive(steered("r1"))
        assert protocol.lost() == [steer]
        assert_nothing_left(protocol)

    def test_all_steers_that_share_a_successor(self) -> None:
        protocol, _ = running()
        first, second = send_accepted_steers(protocol, 2)
        protocol.receive(steered("r1"))
        protocol.receive(created("r2"))
        assert protocol.lost() == [first, second]
        assert (first.delivery, second.delivery) == ("started", "started")

    def test_a_late_successor(self) -> None:
        protocol, steer = overdue()
        next_request = send(protocol)
        protocol.receive(begins("r2", "r1"))
        assert protocol.lost() == [next_request, steer]
        assert (next_request.delivery, steer.delivery) == ("unknown", "started")
        assert_nothing_left(protocol)

    def test_an_abandoned_steer_is_not_returned(self) -> None:
        protocol, target = running()
        protocol.abandon(send_steer(protocol))
        assert protocol.lost() == [target]
        assert_nothing_left(protocol)


def test_only_an_event_that_changes_nothing_is_told_beforehand() -> None:
    kind = "response.output_text.delta"
    protocol, request = running("a")
    assert protocol.request_of_plain(kind, "a") is None  # the first event of the response shows that it has begun
    protocol.receive(delta("x", "a"))
    assert protocol.request_of_plain(kind, "a") is request
    assert protocol.request_of_plain(kind, "b") is None
    assert protocol.request_of_plain("response.completed", "a") is None
    assert protocol.request_of_plain("of.tomorrow", "a") is None  # it may be an ending under another name
    assert list(protocol.receivers) == [request]
    protocol.receive(completed("r1", "a"))
    assert not protocol.receivers


def test_an_event_of_a_steer_is_not_told_beforehand() -> None:
    """Steers that share a response get each of its events."""
    protocol, _ = running("a")
    steer = send_steer(protocol)
    protocol.receive(accepted("s1", "r1", "a"))
    protocol.receive(steered("r1", "a"))
    assert protocol.receive(created("r2", "a")) is steer
    assert protocol.receive(delta("x", "a")) is steer
    assert protocol.request_of_plain("response.output_text.delta", "a") is None
