"""Which request a lifecycle event or an `error` belongs to."""

from __future__ import annotations

from typing import Any

import pytest

from rxresponses.protocol.protocol import Protocol
from rxresponses.protocol.request import ENDED, SENT, STARTED, ProtocolSteer
from rxresponses.wire.events.base import event_from

from ..support.events import wire_event
from .driver import (
    TERMINAL_KINDS,
    assert_nothing_runs,
    completed,
    created,
    delta,
    error,
    in_progress,
    lifecycle,
    running,
    send,
    submit,
)


class TestTerminalEvents:
    @pytest.mark.parametrize("kind", TERMINAL_KINDS)
    def test_scenario_01_each_terminal_kind_frees_the_lane(self, kind: str) -> None:
        protocol = Protocol()
        first = send(protocol)
        assert protocol.receive(created("r1")) is first
        assert protocol.receive(lifecycle(kind, "r1")) is first
        assert first.state is ENDED
        assert_nothing_runs(protocol)
        send(protocol)

    def test_scenario_01_error_ends_too(self) -> None:
        protocol = Protocol()
        first = send(protocol)
        assert protocol.receive(error()) is first
        assert first.state is ENDED
        assert_nothing_runs(protocol)

    def test_scenario_44_an_unreadable_terminal_event_still_ends(self) -> None:
        protocol = Protocol()
        first = send(protocol)
        protocol.receive(created("r1"))
        broken = wire_event("response.completed", response={"id": "r1", "created_at": "yesterday"})
        assert broken.reason is not None
        assert protocol.receive(broken) is first
        assert first.state is ENDED

    @pytest.mark.parametrize("fields", [{"error": {"code": 5}}, {"code": "server_error"}], ids=["nested", "flat"])
    def test_an_unreadable_error_still_ends(self, fields: dict[str, Any]) -> None:
        protocol = Protocol()
        first = send(protocol)
        unreadable = wire_event("error", status="x", **fields)
        assert unreadable.reason is not None
        assert protocol.receive(unreadable) is first
        assert first.state is ENDED


class TestStreamId:
    @pytest.mark.parametrize("lane", ["nobody", 5, ["a"], {"a": 1}, True, ""])
    def test_scenario_18_events_for_no_lane_of_ours(self, lane: object) -> None:
        protocol = Protocol()
        first = send(protocol)
        assert protocol.receive(delta("x", lane)) is None
        assert protocol.receive(created("r", lane)) is None
        assert protocol.receive(error(lane)) is None
        assert protocol.receive(wire_event("response.new_thing", lane)) is None
        assert protocol.receive(created("r")) is first

    def test_a_null_lane_is_the_default_lane(self) -> None:
        protocol = Protocol()
        first = send(protocol)
        assert protocol.receive(event_from({"type": "response.new_thing", "stream_id": None})) is first

    def test_an_event_of_an_unknown_type_goes_to_its_lane(self) -> None:
        protocol = Protocol(echoes_stream_id=True)
        send(protocol, "a")
        b = send(protocol, "b")
        assert protocol.receive(wire_event("response.new_thing.delta", "b")) is b
        assert b.state is STARTED

    def test_an_event_without_a_stream_id_is_not_for_a_named_lane(self) -> None:
        protocol = Protocol(echoes_stream_id=True)
        send(protocol, "a")
        assert protocol.receive(created("r")) is None
        assert protocol.receive(delta()) is None
        assert protocol.receive(completed("r")) is None

    def test_an_event_without_its_stream_id_is_known_by_the_response_id(self) -> None:
        protocol = Protocol(echoes_stream_id=True)
        a, _ = send(protocol, "a"), send(protocol, "b")
        protocol.receive(created("r1", "a"))
        assert protocol.receive(completed("r1")) is a

    def test_a_lifecycle_event_without_a_stream_id_and_an_id(self) -> None:
        protocol = Protocol()
        first = send(protocol)
        assert protocol.receive(wire_event("response.completed", response="?")) is first


class TestErrors:
    def test_scenario_16_error_with_a_lane_ends_that_lane_only(self) -> None:
        protocol = Protocol(echoes_stream_id=True)
        a, b = send(protocol, "a"), send(protocol, "b")
        assert protocol.receive(error("a")) is a
        assert b.state is SENT
        assert protocol.receive(error("a")) is None

    def test_scenario_16_error_without_a_lane_is_about_the_connection(self) -> None:
        protocol = Protocol(echoes_stream_id=True)
        a, b = send(protocol, "a"), send(protocol, "b")
        assert protocol.receive(error()) is None
        assert (a.state, b.state) == (SENT, SENT)
        assert protocol.connection_error is None

    def test_scenario_16_error_without_a_lane_is_the_default_lanes(self) -> None:
        protocol = Protocol(echoes_stream_id=True)
        default, _ = send(protocol), send(protocol, "a")
        assert protocol.receive(error()) is default

    def test_scenario_16_error_without_a_lane_belongs_to_the_only_request(self) -> None:
        protocol = Protocol()
        a = send(protocol, "a")
        assert protocol.receive(error()) is a
        assert protocol.lanes.echoes_stream_id is None

    def test_scenario_16_a_fatal_code_is_told_and_stops_sending(self) -> None:
        protocol = Protocol(echoes_stream_id=True)
        send(protocol, "a")
        submit(protocol, "b")
        notice = error(code="websocket_connection_limit_reached")
        assert protocol.receive(notice) is None
        assert protocol.connection_error is notice
        assert protocol.next_to_send() is None

    def test_a_fatal_code_stops_steers_too(self) -> None:
        protocol, _ = running()
        protocol.receive(error(code="websocket_connection_limit_reached"))
        protocol.submit(ProtocolSteer(b"{}", "r1"))
        assert protocol.next_to_send() is None

    def test_error_with_nothing_in_flight(self) -> None:
        assert Protocol().receive(error()) is None

    def test_scenario_19_a_refused_second_request(self) -> None:
        protocol = Protocol()
        default = send(protocol)
        protocol.receive(created("r0"))
        named = send(protocol, "a")
        assert protocol.receive(error(code="response_already_in_flight")) is named
        assert default.state is STARTED
        assert protocol.receive(completed("r0")) is default

    def test_scenario_19_a_refusal_before_the_first_answer(self) -> None:
        protocol = Protocol(echoes_stream_id=True)
        first, second = send(protocol, "a"), send(protocol, "b")
        assert protocol.receive(error(code="response_already_in_flight")) is second
        assert first.state is SENT

    def test_a_refusal_of_the_only_request(self) -> None:
        protocol = Protocol()
        first = send(protocol)
        assert protocol.receive(error(code="response_already_in_flight")) is first

    def test_an_error_without_lanes_is_about_the_running_response(self) -> None:
        protocol = Protocol()
        first = send(protocol, "a")
        second = submit(protocol, "b")
        protocol.dispose(first)
        assert protocol.next_to_send() is second
        assert protocol.receive(created("r1")) is first
        assert protocol.lanes.echoes_stream_id is False
        assert protocol.receive(error()) is first
        assert protocol.receive(error()) is second
        assert_nothing_runs(protocol)

    def test_an_error_without_lanes_is_about_the_oldest_request_when_none_runs(self) -> None:
        protocol = Protocol()
        first, second = send(protocol, "a"), submit(protocol, "b")
        protocol.dispose(first)
        assert protocol.next_to_send() is second
        third = submit(protocol, "c")
        protocol.dispose(second)
        assert protocol.next_to_send() is third
        assert protocol.receive(created("r1")) is first
        assert protocol.receive(completed("r1")) is first
        assert protocol.receive(error()) is second
        assert protocol.receive(created("r3")) is third


class TestServersWithoutLanes:
    def test_scenario_50_a_server_that_begins_with_the_output(self) -> None:
        protocol = Protocol()
        a, b = send(protocol, "a"), submit(protocol, "b")
        assert protocol.receive(wire_event("codex.keepalive")) is None
        assert protocol.receive(wire_event("response.never", "nobody")) is None
        assert protocol.receive(delta()) is a
        assert protocol.lanes.echoes_stream_id is False
        assert protocol.receive(delta()) is a
        assert protocol.receive(completed("r1")) is a
        assert protocol.next_to_send() is b
        assert protocol.receive(delta()) is b

    def test_scenario_50_one_id_on_all_lanes(self) -> None:
        protocol = Protocol(echoes_stream_id=True)
        a, default = send(protocol, "a"), send(protocol)
        assert protocol.receive(in_progress("same", "a")) is a
        assert protocol.receive(in_progress("same")) is default
        assert protocol.receive(completed("same")) is default
        assert protocol.receive(completed("same", "a")) is a

    def test_scenario_60_an_untagged_created_that_comes_twice(self) -> None:
        protocol = Protocol()
        first = send(protocol)
        protocol.receive(created("r1"))
        second = send(protocol, "a")
        assert protocol.receive(created("r1")) is first
        assert protocol.receive(completed("r1")) is first
        assert second.state is SENT

    @pytest.mark.parametrize("lane", [None, "a"])
    def test_scenario_60_an_untagged_created_behind_other_events(self, lane: str | None) -> None:
        protocol = Protocol()
        first = send(protocol, lane)
        protocol.dispose(first)  # so that another request may be sent before the first answer
        if lane is None:
            assert protocol.receive(delta()) is first
        second = send(protocol, "b")
        assert protocol.receive(delta()) is first
        assert protocol.receive(created("r1")) is first
        assert protocol.receive(completed("r1")) is first
        assert second.state is SENT

    def test_scenario_50_untagged_answers_go_to_the_oldest_request(self) -> None:
        protocol = Protocol()
        a, b = send(protocol, "a"), submit(protocol, "b")
        assert protocol.next_to_send() is None  # until an answer has shown whether the server has lanes
        assert protocol.receive(created("r1")) is a
        assert protocol.lanes.echoes_stream_id is False
        assert protocol.next_to_send() is None  # a server without lanes runs one response at a time
        assert protocol.receive(delta()) is a
        assert protocol.receive(completed("r1")) is a
        assert protocol.next_to_send() is b
        assert protocol.receive(wire_event("response.new_thing")) is b
        assert protocol.receive(created("r2")) is b
        assert protocol.receive(in_progress("r2")) is b
        assert protocol.receive(completed("r2")) is b
        assert_nothing_runs(protocol)

    def test_scenario_50_no_created_at_all(self) -> None:
        protocol = Protocol()
        a = send(protocol, "a")
        assert protocol.receive(in_progress("r1")) is a
        assert protocol.lanes.echoes_stream_id is False

    def test_a_repeated_created_stays_with_its_request(self) -> None:
        protocol = Protocol(echoes_stream_id=False)
        a = send(protocol, "a")
        assert protocol.receive(created("r1")) is a
        assert protocol.receive(created("r2")) is a
