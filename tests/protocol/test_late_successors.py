"""Successors that begin after their lane has gone on: they still belong to their steer, and to no other request."""

from __future__ import annotations

import pytest

from rxresponses.protocol.request import ENDED, SENT, STARTED, ProtocolRequest

from ..support.events import wire_event
from .driver import (
    LANES,
    accepted,
    assert_nothing_left,
    begins,
    completed,
    continuation,
    created,
    delta,
    error,
    failed,
    in_progress,
    lifecycle,
    overdue,
    refusal,
    running,
    send,
    send_steer,
    steered,
    submit,
)

# The lane of the steer, the lane of the next request, and whether the server echoes `stream_id`.
NEXT_LANES = pytest.mark.parametrize(
    ("lane", "other", "echoes"), [(None, None, True), ("a", "a", True), ("a", "b", False)]
)


class TestBegin:
    @LANES
    @pytest.mark.parametrize("continued", ["r1", None], ids=["told", "untold"])
    def test_on_a_lane_where_nothing_runs(self, lane: str | None, continued: str | None) -> None:
        protocol, steer = overdue(lane)
        protocol.lanes.changed = False
        assert protocol.receive(begins("r2", continued, lane)) is steer
        assert protocol.lanes.changed
        assert (steer.cancelled, steer.owns_successor, steer.response_id) == (True, True, "r2")
        assert protocol.lanes.active == 1
        next_request = submit(protocol, lane)
        assert protocol.next_to_send() is None  # some servers refuse it while a response runs
        for event in (in_progress("r2", lane), delta("late", lane)):
            assert protocol.receive(event) is steer
        assert protocol.receive(completed("r2", lane)) is steer
        assert steer.state is ENDED
        assert protocol.next_to_send() is next_request
        assert protocol.receive(created("r3", lane)) is next_request
        assert protocol.receive(completed("r3", lane)) is next_request
        assert_nothing_left(protocol)

    def test_requests_that_were_queued_before_wait_too(self) -> None:
        protocol, steer = overdue("a", max_active=2)
        others = [send(protocol, "b"), send(protocol, "c")]
        next_request = submit(protocol, "a")
        assert protocol.receive(begins("r2", "r1", "a")) is steer
        protocol.receive(completed("r3", "b"))
        assert protocol.next_to_send() is None
        protocol.receive(completed("r4", "c"))
        assert protocol.next_to_send() is None
        protocol.receive(completed("r2", "a"))
        assert protocol.next_to_send() is next_request
        assert all(other.state is ENDED for other in others)

    @NEXT_LANES
    @pytest.mark.parametrize("kind", ["response.completed", "response.failed", "response.incomplete"])
    def test_before_the_next_request_of_the_lane(
        self, lane: str | None, other: str | None, echoes: bool, kind: str
    ) -> None:
        protocol, steer = overdue(lane, echoes=echoes)
        stream_id = lane if echoes else None
        next_request = send(protocol, other)
        assert protocol.receive(begins("r2", "r1", stream_id)) is steer
        for event in (
            begins("r2", "r1", stream_id),
            begins("a second id", "r1", stream_id),
            in_progress("r2", stream_id),
            in_progress("a third id", stream_id),
            delta("late", stream_id),
            wire_event("response.new_thing", stream_id),
        ):
            assert protocol.receive(event) is steer
        assert next_request.state is SENT
        assert protocol.receive(lifecycle(kind, "r2", stream_id)) is steer
        assert steer.state is ENDED
        assert protocol.receive(delta("stray", stream_id)) is None
        assert protocol.receive(begins("r3", None, stream_id)) is next_request
        assert protocol.receive(delta("x", stream_id)) is next_request
        assert protocol.receive(completed("r3", stream_id)) is next_request
        assert_nothing_left(protocol)

    @LANES
    @pytest.mark.parametrize("kind", ["response.queued", "response.in_progress", "response.failed"])
    def test_by_any_lifecycle_event(self, lane: str | None, kind: str) -> None:
        protocol, steer = overdue(lane)
        next_request = send(protocol, lane)
        response = {"id": "r2", "previous_response_id": "r1"}
        assert protocol.receive(wire_event(kind, lane, response=response)) is steer
        if kind != "response.failed":
            assert protocol.receive(delta("x", lane)) is steer
            assert protocol.receive(completed("r2", lane)) is steer
        assert steer.state is ENDED
        assert protocol.receive(created("r3", lane)) is next_request

    def test_by_an_unreadable_event(self) -> None:
        protocol, steer = overdue()
        next_request = send(protocol)
        response = {"id": "r2", "previous_response_id": "r1", "created_at": "yesterday"}
        unreadable = wire_event("response.created", response=response)
        assert unreadable.reason is not None
        assert protocol.receive(unreadable) is steer
        assert protocol.receive(completed("r2")) is steer
        assert next_request.state is SENT

    def test_all_accepted_steers_share_it(self) -> None:
        protocol, _ = running()
        first, second, third = (send_steer(protocol) for _ in range(3))
        protocol.receive(accepted("s1", "r1"))
        protocol.receive(accepted("s2", "r1"))
        protocol.receive(completed("r1"))
        for steer in (first, second, third):
            protocol.abandon(steer)
        next_request = send(protocol)
        assert protocol.receive(begins("r2", "r1")) is first
        assert first.shared_with == (second,)
        assert protocol.receive(accepted("s3", "r1")) is third
        assert third.response_id == "r2"
        assert protocol.open_requests() == [next_request, first, second, third]
        assert protocol.receive(completed("r2")) is first
        assert {first.state, second.state, third.state} == {ENDED}
        assert protocol.receive(created("r3")) is next_request

    def test_of_a_steer_that_was_never_answered(self) -> None:
        protocol, _ = running()
        steer = send_steer(protocol)
        protocol.receive(completed("r1"))
        protocol.abandon(steer)
        next_request = send(protocol)
        assert protocol.receive(begins("r2", "r1")) is steer
        assert protocol.receive(completed("r2")) is steer
        assert protocol.receive(begins("r3", None)) is next_request

    def test_of_a_steer_accepted_after_the_lane_had_gone_on(self) -> None:
        protocol, _ = running("a")
        protocol.receive(completed("r1", "a"))
        next_request = send(protocol, "a")
        steer = send_steer(protocol)
        protocol.receive(accepted("s1", "r1", "a"))
        assert protocol.receive(begins("r2", "r1", "a")) is steer
        assert protocol.receive(completed("r2", "a")) is steer
        assert protocol.receive(begins("r3", None, "a")) is next_request
        assert protocol.receive(completed("r3", "a")) is next_request
        assert_nothing_left(protocol)

    def test_that_continues_another_id_of_the_target(self) -> None:
        protocol, target = running()
        assert protocol.receive(in_progress("r1 later")) is target
        first, second = send_steer(protocol), send_steer(protocol, "r1 later")
        protocol.receive(accepted("s1"))
        protocol.receive(accepted("s2"))
        protocol.receive(completed("r1"))
        protocol.abandon(first)
        protocol.abandon(second)
        next_request = send(protocol)
        assert protocol.receive(begins("r2", "r1 later")) is first
        assert first.shared_with == (second,)
        assert next_request.state is SENT

    def test_a_steer_that_is_not_abandoned_comes_first(self) -> None:
        protocol, _ = running()
        first, second = send_steer(protocol), send_steer(protocol)
        protocol.receive(completed("r1"))
        protocol.abandon(first)
        assert protocol.receive(begins("r2", "r1")) is second
        assert second.shared_with == ()
        assert not protocol.lanes.late_successors
        assert protocol.receive(completed("r2")) is second

    def test_it_can_be_steered(self) -> None:
        protocol, _ = overdue("a")
        next_request = send(protocol, "a")
        protocol.receive(begins("r2", "r1", "a"))
        second = send_steer(protocol, "r2")
        assert protocol.receive(accepted("s2", "r2", "a")) is second
        protocol.receive(steered("r2", "a"))
        assert protocol.receive(begins("r3", "r2", "a")) is second
        assert protocol.receive(completed("r3", "a")) is second
        assert protocol.receive(begins("r4", None, "a")) is next_request


class TestNoSuccessor:
    @pytest.mark.parametrize("continued", [None, "r0"])
    def test_the_response_to_the_next_request(self, continued: str | None) -> None:
        protocol, steer = overdue()
        next_request = continuation(continued, None) if continued is not None else ProtocolRequest(b"{}", None)
        send(protocol, request=next_request)
        assert protocol.receive(begins("r3", continued)) is next_request
        assert not steer.owns_successor

    def test_a_request_that_continues_the_target_gets_the_first_response(self) -> None:
        protocol, steer = overdue()
        next_request = continuation("r1")
        send(protocol, request=next_request)
        assert protocol.receive(begins("r2", "r1")) is next_request  # the successor may never come
        assert protocol.receive(begins("another id", "r1")) is next_request
        assert protocol.receive(completed("r2")) is next_request
        assert protocol.receive(begins("r3", "r1")) is steer  # no request is left that it may belong to
        assert protocol.receive(completed("r3")) is steer
        assert_nothing_left(protocol)

    def test_a_fork_of_the_target_on_another_lane(self) -> None:
        protocol, steer = overdue("a")
        fork = continuation("r1", "b")
        send(protocol, request=fork)
        next_request = send(protocol, "a")
        assert protocol.receive(begins("r2", "r1", "a")) is steer
        assert protocol.receive(begins("r3", "r1", "b")) is fork
        assert protocol.receive(completed("r3", "b")) is fork
        assert next_request.state is SENT

    def test_an_answer_before_the_server_has_shown_that_it_has_lanes(self) -> None:
        protocol, steer = overdue(echoes=None)
        other = send(protocol, "a")
        assert protocol.receive(begins("r3", None)) is other
        assert not steer.owns_successor

    def test_an_event_without_its_stream_id_of_a_running_response(self) -> None:
        protocol, steer = overdue()
        other = send(protocol, "b")
        protocol.receive(created("r9", "b"))
        assert protocol.receive(in_progress("r9")) is other
        assert not steer.owns_successor

    def test_an_event_while_the_target_runs(self) -> None:
        protocol, target = running()
        steer = send_steer(protocol)
        protocol.receive(accepted("s1", "r1"))
        assert protocol.receive(begins("another id", "r1")) is target
        assert not steer.owns_successor

    def test_an_event_that_fits_no_steer(self) -> None:
        protocol, steer = overdue()
        assert protocol.receive(begins("r2", "r1", "b")) is None
        assert protocol.receive(begins("r2", "r0")) is None
        assert protocol.receive(lifecycle("response.failed", "r3")) is None
        assert not steer.owns_successor

    def test_a_late_event_of_the_target(self) -> None:
        protocol, steer = overdue()
        next_request = send(protocol)
        assert protocol.receive(begins("r2", "r1")) is steer
        assert protocol.receive(lifecycle("response.done", "r1")) is None
        assert (steer.state, next_request.state) == (STARTED, SENT)

    def test_the_response_to_a_request_that_was_sent_before_it(self) -> None:
        protocol, _ = overdue("a", echoes=False)
        next_request = continuation("r0", "b")
        send(protocol, request=next_request)
        protocol.receive(begins("r2", "r1"))
        second = send_steer(protocol, "r2")
        protocol.receive(accepted("s2", "r2"))
        protocol.receive(steered("r2"))
        assert protocol.receive(begins("r3", "r0")) is next_request
        assert protocol.receive(completed("r3")) is next_request
        assert protocol.receive(begins("r4", "r2")) is second
        assert protocol.receive(completed("r4")) is second
        assert_nothing_left(protocol)


class TestEnd:
    @NEXT_LANES
    def test_an_error_ends_it_and_not_the_next_request(self, lane: str | None, other: str | None, echoes: bool) -> None:
        protocol, steer = overdue(lane, echoes=echoes)
        stream_id = lane if echoes else None
        next_request = send(protocol, other)
        protocol.receive(begins("r2", "r1", stream_id))
        assert protocol.receive(error(stream_id)) is steer
        assert protocol.receive(delta("late", stream_id)) is None
        assert protocol.receive(lifecycle("response.failed", "r2", stream_id)) is None
        assert protocol.receive(begins("r3", None, stream_id)) is next_request
        assert protocol.receive(completed("r3", stream_id)) is next_request
        assert_nothing_left(protocol)

    def test_an_error_without_a_stream_id_when_nothing_else_runs(self) -> None:
        protocol, steer = overdue("a")
        protocol.receive(begins("r2", "r1", "a"))
        assert protocol.receive(error()) is steer
        assert_nothing_left(protocol)

    def test_an_error_about_something_else_does_not_end_it(self) -> None:
        protocol, first = overdue()
        next_request = send(protocol)
        second = send_steer(protocol, "r9")
        protocol.receive(begins("r2", "r1"))
        assert protocol.receive(refusal("what is response.steer?")) is second
        assert protocol.receive(error(code="response_already_in_flight")) is next_request
        assert first.state is STARTED
        assert protocol.receive(completed("r2")) is first

    @LANES
    def test_an_error_before_it_begins_is_for_the_next_request(self, lane: str | None) -> None:
        """A steer whose successor cannot begin fails by `response.steer.failed`, not by an `error`."""
        protocol, steer = overdue(lane)
        next_request = send(protocol, lane)
        assert protocol.receive(error(lane)) is next_request
        assert protocol.receive(failed("s1", "r1", lane)) is steer
        assert_nothing_left(protocol)

    @LANES
    def test_the_response_to_the_next_request_ends_it(self, lane: str | None) -> None:
        protocol, steer = overdue(lane)
        next_request = send(protocol, lane)
        protocol.receive(begins("r2", "r1", lane))
        assert protocol.receive(begins("r3", None, lane)) is next_request
        assert steer.state is ENDED
        assert protocol.receive(delta("x", lane)) is next_request
        assert protocol.receive(completed("r2", lane)) is None
        assert protocol.receive(completed("r3", lane)) is next_request
        assert_nothing_left(protocol)

    def test_the_response_that_ran_before_it_ends_it(self) -> None:
        protocol, steer = overdue("a")
        other = send(protocol, "b")
        protocol.receive(created("r9", "b"))
        earlier = send(protocol, "a")
        protocol.receive(created("r3", "a"))
        assert protocol.receive(begins("r2", "r1", "a")) is steer
        assert protocol.receive(delta("x", "a")) is steer
        assert protocol.receive(in_progress("r3", "a")) is earlier
        assert steer.state is ENDED
        assert protocol.receive(delta("x", "a")) is earlier
        assert protocol.receive(completed("r3", "a")) is earlier
        assert protocol.receive(completed("r9", "b")) is other
        assert_nothing_left(protocol)

    def test_an_event_of_another_lane_without_its_stream_id_does_not_end_it(self) -> None:
        protocol, steer = overdue()
        other = send(protocol, "b")
        protocol.receive(created("r9", "b"))
        assert protocol.receive(begins("r2", "r1")) is steer
        assert protocol.receive(completed("r9")) is other
        assert steer.state is STARTED
        assert protocol.receive(completed("r2")) is steer

    def test_its_own_successor_comes_before_the_next_request(self) -> None:
        protocol, first = overdue("a", echoes=False)
        next_request = send(protocol)
        assert protocol.receive(begins("r2", "r1")) is first
        second = send_steer(protocol, "r2")
        assert protocol.receive(accepted("s2", "r2")) is second
        assert protocol.receive(steered("r2")) is first
        assert protocol.start_steer_timeouts(30.0) == [second]
        assert protocol.receive(begins("r3", "r2")) is second
        assert protocol.receive(completed("r3")) is second
        assert protocol.receive(begins("r4", None)) is next_request
        assert protocol.receive(completed("r4")) is next_request
        assert_nothing_left(protocol)

    def test_another_late_successor_ends_it(self) -> None:
        protocol, first = overdue()
        target = send(protocol)
        protocol.receive(created("r3"))
        second = send_steer(protocol, "r3")
        protocol.receive(accepted("s2", "r3"))
        assert protocol.receive(completed("r3")) is target
        protocol.abandon(second)
        next_request = send(protocol)
        assert protocol.receive(begins("r2", "r1")) is first
        assert protocol.receive(begins("r4", "r3")) is second
        assert first.state is ENDED
        assert protocol.receive(completed("r4")) is second
        assert protocol.receive(begins("r5", None)) is next_request
        assert protocol.receive(completed("r5")) is next_request
        assert_nothing_left(protocol)

    def test_the_lane_is_reserved_again_after_it(self) -> None:
        protocol, first = overdue()
        target, next_request = send(protocol), submit(protocol)
        protocol.receive(created("r3"))
        second = send_steer(protocol, "r3")
        protocol.receive(accepted("s2", "r3"))
        assert protocol.receive(completed("r3")) is target
        assert protocol.start_steer_timeouts(30.0) == [second]
        assert protocol.receive(begins("r2", "r1")) is first
        assert not second.successor_due  # its successor comes after the late successor
        assert protocol.lanes.active == 1
        assert protocol.receive(completed("r2")) is first
        assert protocol.start_steer_timeouts(40.0) == [second]
        assert protocol.next_to_send() is None
        assert protocol.receive(begins("r4", "r3")) is second
        assert protocol.receive(completed("r4")) is second
        assert protocol.next_to_send() is next_request

    def test_the_late_failure_of_a_refused_request_may_be_taken_for_it(self) -> None:
        protocol, _ = running()
        steer = send_steer(protocol)
        protocol.receive(completed("r1"))
        protocol.abandon(steer)
        refused = continuation("r1")
        send(protocol, request=refused)
        assert protocol.receive(error()) is refused
        late = wire_event("response.failed", response={"id": "r2", "previous_response_id": "r1"})
        assert protocol.receive(late) is steer
        next_request = send(protocol)
        assert protocol.receive(created("r3")) is next_request
        assert protocol.receive(completed("r3")) is next_request
        assert_nothing_left(protocol)
