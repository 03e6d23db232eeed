"""Endings of other servers: what ends a request, and what comes too late and is for no request."""

from __future__ import annotations

from typing import Any

import pytest

from rxresponses.protocol.protocol import Protocol
from rxresponses.protocol.request import ENDED, SENT, STARTED
from rxresponses.wire.events.base import event_from

from ..support.events import wire_event
from .driver import (
    LANES,
    assert_nothing_left,
    assert_nothing_runs,
    completed,
    created,
    delta,
    error,
    in_progress,
    lifecycle,
    running,
    send,
    steering,
)

FOREIGN = ["response.done", "response.cancelled", "response.canceled", "response.finished"]


def done(response_id: str | None, lane: str | None = None, **fields: Any) -> Any:
    response = {**fields} if response_id is None else {"id": response_id, **fields}
    return wire_event("response.done", lane, response=response) if response else wire_event("response.done", lane)


class TestWhatEnds:
    @LANES
    @pytest.mark.parametrize("kind", FOREIGN)
    @pytest.mark.parametrize("response_id", ["r1", "other", ""])
    def test_scenario_59_an_end_of_another_type(self, kind: str, response_id: str, lane: str | None) -> None:
        protocol, request = running(lane)
        assert protocol.receive(lifecycle(kind, response_id, lane, status="completed")) is request
        assert request.state is ENDED
        assert_nothing_runs(protocol)
        again = send(protocol, lane)
        assert protocol.receive(created("r2", lane)) is again
        assert protocol.receive(lifecycle(kind, "r2", lane, status="completed")) is again

    @LANES
    @pytest.mark.parametrize("echoes", [True, False])
    @pytest.mark.parametrize(
        "frame",
        [
            {"type": "response.done"},
            {"type": "response.cancelled"},
            {"type": "response.error", "error": {"message": "m"}},
            {"error": {"message": "m"}},
            {"type": "odd", "error": {"message": "m"}},
            {"message": "Internal server error", "connectionId": "c"},
            {"detail": "m"},
        ],
        ids=lambda frame: "+".join(map(str, frame)),
    )
    def test_scenario_59_a_frame_without_id_and_lane(
        self, frame: dict[str, Any], echoes: bool, lane: str | None
    ) -> None:
        protocol, request = running(lane, echoes=echoes)
        assert protocol.receive(event_from(frame)) is request
        assert_nothing_runs(protocol)

    def test_scenario_59_an_error_that_may_be_of_several_requests_ends_none(self) -> None:
        protocol, a = running("a")
        b = send(protocol, "b")
        for frame in ({"detail": "m"}, {"type": "response.done"}):
            assert protocol.receive(event_from(frame)) is None
        assert (a.state, b.state) == (STARTED, SENT)

    @LANES
    @pytest.mark.parametrize("response_id", ["same", "", "r1"])
    def test_scenario_59_one_id_in_all_terminal_events(self, response_id: str, lane: str | None) -> None:
        protocol = Protocol()
        for number in range(1, 4):
            request = send(protocol, lane)
            assert protocol.receive(created(f"r{number}", lane)) is request
            assert protocol.receive(delta("x", lane)) is request
            assert protocol.receive(completed(response_id, lane)) is request
        assert_nothing_runs(protocol)

    @LANES
    @pytest.mark.parametrize("kind", ["response.completed", "response.done"])
    def test_scenario_59_one_id_and_no_created(self, kind: str, lane: str | None) -> None:
        protocol = Protocol()
        for _ in range(3):
            request = send(protocol, lane)
            assert protocol.receive(delta("x", lane)) is request
            assert protocol.receive(lifecycle(kind, "same", lane)) is request

    @pytest.mark.parametrize("kind", ["response.completed", "response.done"])
    def test_scenario_59_one_id_and_only_terminal_events(self, kind: str) -> None:
        protocol = Protocol()
        for _ in range(3):
            request = send(protocol)
            assert protocol.receive(lifecycle(kind, "same", status="completed")) is request

    def test_scenario_59_created_without_an_id(self) -> None:
        protocol = Protocol()
        for _ in range(3):
            request = send(protocol)
            assert protocol.receive(wire_event("response.created", response={})) is request
            assert protocol.receive(completed("same")) is request

    @pytest.mark.parametrize("kind", ["response.done", "response.failed"])
    def test_scenario_59_one_id_in_terminal_events_of_several_types(self, kind: str) -> None:
        protocol = Protocol()
        for number, end in enumerate((completed("end"), lifecycle(kind, "end"), error(), lifecycle(kind, "end"))):
            request = send(protocol)
            assert protocol.receive(created(f"r{number}")) is request
            assert protocol.receive(end) is request
        assert_nothing_runs(protocol)

    @pytest.mark.parametrize("kind", ["response.cancelled", "response.canceled"])
    def test_scenario_59_cancelled_with_the_id_of_a_failed_response(self, kind: str) -> None:
        protocol, _ = running()
        protocol.receive(error())
        request = send(protocol)
        assert protocol.receive(created("r2")) is request
        assert protocol.receive(lifecycle(kind, "r1", status="cancelled")) is request

    def test_scenario_59_done_with_the_id_of_a_failed_response_and_the_status_of_another(self) -> None:
        protocol, _ = running()
        protocol.receive(error())
        request = send(protocol)
        assert protocol.receive(created("r2")) is request
        assert protocol.receive(done("r1", status="completed")) is request

    def test_scenario_59_one_id_in_all_events_and_no_created(self) -> None:
        protocol = Protocol()
        for _ in range(3):
            request = send(protocol)
            assert protocol.receive(in_progress("same")) is request
            assert protocol.receive(completed("same")) is request

    def test_scenario_59_one_id_and_an_answer_that_is_only_its_end(self) -> None:
        protocol = Protocol()
        for text in ("x", "", "x", ""):
            request = send(protocol)
            if text:
                assert protocol.receive(wire_event("response.output_text.delta", delta=text)) is request
            assert protocol.receive(completed("same")) is request

    def test_scenario_59_one_id_in_ends_of_several_types_of_a_server_that_begins_with_the_output(self) -> None:
        protocol = Protocol()
        request = send(protocol)
        assert protocol.receive(wire_event("response.output_text.delta", delta="x")) is request
        assert protocol.receive(created("r1")) is request
        assert protocol.receive(completed("end")) is request
        request = send(protocol)
        assert protocol.receive(done("end", status="completed")) is request

    def test_scenario_59_done_may_tell_that_its_response_was_steered(self) -> None:
        protocol, steer = steering()
        protocol.receive(done("r1", status="incomplete", incomplete_details={"reason": "steered"}))
        assert protocol.receive(created("r2")) is steer
        assert protocol.receive(done("r2")) is steer
        assert_nothing_left(protocol)


class TestWhatIsLate:
    @LANES
    @pytest.mark.parametrize("response_id", ["r1", None])
    def test_scenario_59_done_behind_the_end_is_for_no_request(self, response_id: str | None, lane: str | None) -> None:
        protocol, _ = running(lane)
        protocol.receive(completed("r1", lane))
        request = send(protocol, lane)
        assert protocol.receive(done(response_id, lane)) is None
        assert request.state is SENT
        assert protocol.receive(created("r2", lane)) is request
        assert protocol.receive(completed("r2", lane)) is request
        assert protocol.receive(done(response_id and "r2", lane)) is None  # with nothing in flight
        last = send(protocol, lane)
        assert protocol.receive(done("r3", lane)) is last  # whole, with an id of its own
        assert_nothing_runs(protocol)

    def test_scenario_59_done_amid_the_next_response(self) -> None:
        protocol, _ = running()
        protocol.receive(completed("r1"))
        request = send(protocol)
        protocol.receive(created("r2"))
        protocol.receive(delta())
        assert protocol.receive(done("r1")) is None
        assert protocol.receive(done("r2")) is request

    def test_scenario_59_done_on_a_server_without_lanes(self) -> None:
        protocol, _ = running("a", echoes=False)
        protocol.receive(completed("r1"))
        request = send(protocol, "b")
        assert protocol.receive(done(None)) is None
        assert protocol.receive(created("r2")) is request
        assert protocol.receive(done(None)) is request

    @pytest.mark.parametrize("kind", ["response.completed", "response.failed"])
    def test_scenario_59_done_without_a_lane_is_of_the_default_lane(self, kind: str) -> None:
        protocol, _ = running("a")
        request = send(protocol)
        protocol.receive(created("r2"))
        protocol.receive(lifecycle(kind, "r1", "a"))
        assert protocol.receive(done(None)) is request

    def test_scenario_59_the_failure_behind_a_refusal_before_the_server_shows_that_it_drops_lanes(self) -> None:
        protocol = Protocol()
        send(protocol, "a")
        protocol.receive(error())
        request = send(protocol, "b")
        assert protocol.receive(lifecycle("response.failed", "r1")) is None
        assert protocol.receive(created("r2")) is request
        assert protocol.receive(lifecycle("response.failed", "r2")) is request

    def test_scenario_59_a_failure_behind_the_end_is_of_the_next_request(self) -> None:
        protocol, _ = running()
        protocol.receive(completed("r1"))
        request = send(protocol)
        assert protocol.receive(done(None, status="failed")) is request

    @pytest.mark.parametrize("status", [None, "failed"])
    def test_scenario_59_done_behind_a_refusal(self, status: str | None) -> None:
        protocol = Protocol()
        send(protocol)
        protocol.receive(error())
        request = send(protocol)
        assert protocol.receive(done("never seen", status=status)) is None
        assert protocol.receive(done("r2", status="completed")) is request

    def test_scenario_59_a_whole_response_behind_a_refusal(self) -> None:
        protocol = Protocol()
        send(protocol)
        protocol.receive(error())
        request = send(protocol)
        assert protocol.receive(done("r2", status="completed")) is request

    def test_scenario_59_an_end_that_is_sent_twice_is_for_no_request(self) -> None:
        protocol, _ = running()
        protocol.receive(completed("r1"))
        assert protocol.receive(completed("r1")) is None
        request = send(protocol)
        assert protocol.receive(completed("r1")) is None
        assert request.state is SENT
        assert protocol.receive(created("r2")) is request

    def test_scenario_59_a_response_that_failed_is_late_once(self) -> None:
        protocol, _ = running()
        protocol.receive(error())
        request = send(protocol)
        protocol.receive(created("r2"))
        protocol.receive(delta())
        assert protocol.receive(lifecycle("response.failed", "r1")) is None
        assert protocol.receive(lifecycle("response.failed", "r1")) is request

    @pytest.mark.parametrize("response_id", ["", "never seen"])
    def test_scenario_59_a_failure_behind_an_error_may_have_another_id(self, response_id: str) -> None:
        protocol, _ = running()
        protocol.receive(error())
        request = send(protocol)
        assert protocol.receive(lifecycle("response.failed", response_id)) is None
        assert protocol.receive(created("r2")) is request
        assert protocol.receive(lifecycle("response.failed", "r2")) is request

    def test_scenario_59_a_failure_of_the_default_lane_ends_no_request_of_another_lane(self) -> None:
        protocol, _ = running(echoes=None)
        request = send(protocol, "a")
        protocol.receive(error())
        assert protocol.receive(lifecycle("response.failed", "never seen")) is None
        assert protocol.receive(created("r2")) is request

    def test_scenario_59_a_failure_of_the_default_lane_ends_no_response_of_another_lane(self) -> None:
        protocol = Protocol(echoes_stream_id=True)
        request = send(protocol, "a")
        assert protocol.receive(created("r1", "a")) is request
        send(protocol)
        protocol.receive(error())
        assert protocol.receive(lifecycle("response.failed", "never seen")) is None
        assert protocol.receive(completed("r1", "a")) is request

    def test_scenario_59_the_failure_behind_an_error_comes_once(self) -> None:
        protocol, _ = running()
        protocol.receive(error())
        request = send(protocol)
        assert protocol.receive(lifecycle("response.failed", "r1")) is None
        assert protocol.receive(lifecycle("response.failed", "r2")) is request

    def test_scenario_59_a_late_end_begins_no_successor(self) -> None:
        protocol, steer = steering()
        protocol.receive(completed("r1"))
        assert protocol.receive(done("r1")) is None
        assert protocol.receive(in_progress("r1")) is None
        assert protocol.receive(created("r2")) is steer
