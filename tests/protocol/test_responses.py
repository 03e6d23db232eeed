"""Events of ended responses that come late, and ids that are used again."""

from __future__ import annotations

from typing import Any

import pytest

from rxresponses.protocol.protocol import Protocol
from rxresponses.protocol.request import SENT, STARTED
from rxresponses.protocol.responses import _ENDED_LIMIT, _IDS_LIMIT
from rxresponses.wire.ids import LONGEST_ID

from ..support.events import HEARTBEAT_TYPES, wire_event
from .driver import (
    LANES,
    TERMINAL_KINDS,
    assert_nothing_runs,
    completed,
    created,
    delta,
    error,
    in_progress,
    lifecycle,
    send,
    submit,
)


class TestLateEvents:
    @LANES
    def test_scenario_03_failed_after_error_reaches_nobody(self, lane: str | None) -> None:
        protocol = Protocol()
        first = send(protocol, lane)
        second = submit(protocol, lane)
        assert protocol.receive(created("r1", lane)) is first
        assert protocol.receive(error(lane)) is first
        assert protocol.next_to_send() is second
        assert protocol.receive(delta("late", lane)) is None
        assert protocol.receive(lifecycle("response.in_progress", "r1", lane)) is None
        assert protocol.receive(lifecycle("response.failed", "r1", lane)) is None
        assert second.state is SENT
        assert protocol.receive(created("r2", lane)) is second
        assert protocol.receive(delta("new", lane)) is second
        assert protocol.receive(completed("r2", lane)) is second
        assert_nothing_runs(protocol)

    def test_scenario_03_the_late_event_may_come_amid_the_next_response(self) -> None:
        protocol = Protocol()
        send(protocol)
        protocol.receive(created("r1"))
        protocol.receive(error())
        second = send(protocol)
        protocol.receive(created("r2"))
        assert protocol.receive(lifecycle("response.failed", "r1")) is None
        assert protocol.receive(completed("r2")) is second

    @LANES
    def test_scenario_03_failed_after_a_refusal_reaches_nobody(self, lane: str | None) -> None:
        protocol = Protocol()
        first = send(protocol, lane)
        assert protocol.receive(error(lane)) is first
        second = send(protocol, lane)
        assert protocol.receive(lifecycle("response.failed", "never seen", lane)) is None
        assert protocol.receive(created("r2", lane)) is second
        assert protocol.receive(lifecycle("response.failed", "r2", lane)) is second
        third = send(protocol, lane)
        assert protocol.receive(lifecycle("response.failed", "r3", lane)) is third

    def test_scenario_03_failed_after_a_refusal_by_a_server_without_lanes(self) -> None:
        protocol = Protocol(echoes_stream_id=False)
        send(protocol, "a")
        protocol.receive(error())
        second = send(protocol, "b")
        assert protocol.receive(lifecycle("response.failed", "never seen")) is None
        assert protocol.receive(completed("r2")) is second

    @pytest.mark.parametrize(("echoes", "lane"), [(None, None), (True, "a"), (False, "a")])
    def test_late_events_of_a_server_that_sends_no_created(self, echoes: bool | None, lane: str | None) -> None:
        protocol = Protocol(echoes_stream_id=echoes)
        stream_id = lane if echoes else None
        first = send(protocol, lane)
        protocol.receive(in_progress("r1", stream_id))
        assert protocol.receive(error(stream_id)) is first
        second = send(protocol, lane)
        assert protocol.receive(delta("late", stream_id)) is None
        assert protocol.receive(in_progress("r2", stream_id)) is second
        assert protocol.receive(delta("new", stream_id)) is second
        assert protocol.receive(completed("r2", stream_id)) is second

    def test_late_events_on_a_server_without_lanes_do_not_reach_another_lane(self) -> None:
        protocol = Protocol(echoes_stream_id=False)
        a = send(protocol, "a")
        protocol.receive(created("r1"))
        assert protocol.receive(error()) is a
        b = send(protocol, "b")
        assert protocol.receive(delta("late")) is None
        assert protocol.receive(created("r2")) is b

    def test_scenario_54_bare_error_then_the_next_request_works(self) -> None:
        protocol = Protocol()
        first = send(protocol)
        protocol.receive(created("r1"))
        protocol.receive(delta())
        assert protocol.receive(error()) is first
        second = send(protocol)
        assert protocol.receive(created("r2")) is second
        assert protocol.receive(delta()) is second
        assert protocol.receive(completed("r2")) is second
        assert_nothing_runs(protocol)

    def test_only_the_latest_ended_responses_are_remembered(self) -> None:
        protocol = Protocol()
        for number in range(_ENDED_LIMIT + 1):
            send(protocol)
            protocol.receive(created(f"r{number}"))
            protocol.receive(error())
        has_ended = protocol._responses.has_ended
        assert [has_ended(f"r{number}") for number in (0, 1, _ENDED_LIMIT)] == [False, True, True]
        assert protocol.receive(lifecycle("response.failed", f"r{_ENDED_LIMIT}")) is None

    def test_scenario_69_a_late_event_with_an_id_of_any_length_reaches_nobody(self) -> None:
        protocol = Protocol()
        response_id = "r" * 100_000
        send(protocol)
        protocol.receive(created(response_id))
        protocol.receive(error())
        second = send(protocol)
        assert protocol.receive(lifecycle("response.failed", response_id)) is None
        assert protocol.receive(created(f"{response_id}2")) is second
        assert protocol.receive(completed(f"{response_id}2")) is second
        assert protocol._responses._ended._characters < 4 * LONGEST_ID


class TestIds:
    @pytest.mark.parametrize("echoes", [True, False, None])
    def test_scenario_77_a_response_with_another_id_in_each_event(self, echoes: bool | None) -> None:
        protocol = Protocol(echoes_stream_id=echoes)
        request = send(protocol)
        for number in range(10 * _IDS_LIMIT):
            assert protocol.receive(in_progress(f"r{number}")) is request
        latest = 10 * _IDS_LIMIT - 1
        first_kept = latest - (_IDS_LIMIT - 2)
        assert request.response_ids == ["r0", *[f"r{number}" for number in range(first_kept, latest + 1)]]
        assert list(protocol._responses.by_id) == request.response_ids
        assert protocol.receive(completed("r0")) is request
        assert_nothing_runs(protocol)
        assert not protocol._responses.by_id

    def test_an_id_that_two_responses_take_in_turn_is_not_forgotten_too_early(self) -> None:
        protocol = Protocol(echoes_stream_id=True)
        requests = [send(protocol, lane) for lane in ("a", "b")]
        for _ in range(2 * _IDS_LIMIT):
            for request in requests:
                assert protocol.receive(in_progress("same", request.stream_id)) is request
        assert all(len(request.response_ids) <= _IDS_LIMIT for request in requests)
        assert protocol._responses.by_id == {"same": requests[1]}
        for request in requests:
            assert protocol.receive(completed("same", request.stream_id)) is request
        assert_nothing_runs(protocol)

    def test_an_id_of_a_failed_response_may_be_used_again(self) -> None:
        protocol = Protocol()
        send(protocol)
        protocol.receive(created("r1"))
        protocol.receive(error())
        second = send(protocol)
        assert protocol.receive(created("r1")) is second

    @pytest.mark.parametrize("kind", TERMINAL_KINDS)
    def test_a_repeated_terminal_event_ends_no_request_without_an_answer(self, kind: str) -> None:
        protocol = Protocol()
        send(protocol)
        protocol.receive(created("r1"))
        protocol.receive(lifecycle(kind, "r1"))
        second = send(protocol)
        assert protocol.receive(lifecycle(kind, "r1")) is None
        protocol.receive(created("r2"))
        assert protocol.receive(completed("r2")) is second

    @LANES
    @pytest.mark.parametrize("kind", TERMINAL_KINDS)
    def test_scenario_59_an_id_of_an_ended_response_ends_the_response_that_runs(
        self, kind: str, lane: str | None
    ) -> None:
        protocol = Protocol()
        for number in range(1, 4):
            request = send(protocol, lane)
            assert protocol.receive(created(f"r{number}", lane)) is request
            assert protocol.receive(lifecycle(kind, "r1", lane)) is request
        assert_nothing_runs(protocol)

    def test_a_server_that_uses_one_id_for_all_responses(self) -> None:
        protocol = Protocol()
        for end in (error(), completed("r"), error(), completed("r")):
            request = send(protocol)
            assert protocol.receive(created("r")) is request
            assert protocol.receive(in_progress("r")) is request
            assert protocol.receive(delta()) is request
            assert protocol.receive(end) is request
        assert_nothing_runs(protocol)

    def test_two_lanes_with_the_same_id(self) -> None:
        protocol = Protocol(echoes_stream_id=True)
        default, a = send(protocol), send(protocol, "a")
        protocol.receive(created("r"))
        protocol.receive(created("r", "a"))
        assert protocol.receive(completed("r")) is default
        assert protocol.receive(completed("r", "a")) is a
        assert_nothing_runs(protocol)

    def test_ids_that_change_from_event_to_event(self) -> None:
        protocol = Protocol()
        first = send(protocol)
        for response_id in ("r1", "r2", "r3"):
            assert protocol.receive(in_progress(response_id)) is first
        assert first.response_id == "r3"
        assert protocol.receive(completed("r4")) is first
        assert first.response_ids == ["r1", "r2", "r3", "r4"]
        assert_nothing_runs(protocol)


class TestTheBeginning:
    @LANES
    @pytest.mark.parametrize("kind", HEARTBEAT_TYPES)
    def test_scenario_63_a_heartbeat_begins_no_response(self, kind: str, lane: str | None) -> None:
        protocol = Protocol()
        request = send(protocol, lane)
        assert protocol.receive(wire_event(kind, lane)) is request
        assert request.delivery == "unknown"
        assert protocol.receive(delta("x", lane)) is request
        assert request.state is STARTED

    @LANES
    @pytest.mark.parametrize("kind", ["response.queued", "response.in_progress"])
    def test_scenario_63_a_stray_event_of_an_ended_response_begins_no_other(self, kind: str, lane: str | None) -> None:
        protocol = Protocol()
        send(protocol, lane)
        protocol.receive(created("r1", lane))
        protocol.receive(completed("r1", lane))
        request = send(protocol, lane)
        assert protocol.receive(lifecycle(kind, "r1", lane)) is None
        assert request.state is SENT
        assert protocol.receive(lifecycle(kind, "r2", lane)) is request
        assert request.response_ids == ["r2"]

    def test_scenario_63_a_stray_event_that_names_the_ended_response_begins_no_other(self) -> None:
        protocol = Protocol()
        send(protocol)
        protocol.receive(created("r1"))
        protocol.receive(completed("r1"))
        request = send(protocol)
        assert protocol.receive(wire_event("response.output_text.delta", delta="x", response_id="r1")) is None
        assert request.state is SENT
        assert protocol.receive(wire_event("response.output_text.delta", delta="x", response_id="r2")) is request

    @pytest.mark.parametrize(("echoes", "lane"), [(None, None), (True, "a"), (False, "a")])
    @pytest.mark.parametrize("item", [{}, {"item_id": "m1"}])
    def test_scenario_63_a_stray_event_that_names_no_response_begins_no_other(
        self, item: dict[str, Any], echoes: bool | None, lane: str | None
    ) -> None:
        protocol = Protocol(echoes_stream_id=echoes)
        tag = lane if echoes else None
        output = [{"type": "message", "id": "m1", "role": "assistant", "content": []}]
        for number in range(3):
            request = send(protocol, lane)
            if number:
                assert protocol.receive(wire_event("response.output_text.delta", tag, delta="x", **item)) is None
                assert protocol.receive(wire_event("response.output_text.done", tag, text="x", **item)) is None
                assert protocol.receive(wire_event("response.output_item.done", tag, item=output[0])) is None
                assert request.state is SENT
            assert protocol.receive(created(f"r{number}", tag)) is request
            assert protocol.receive(delta("x", tag)) is request
            assert protocol.receive(lifecycle("response.completed", f"r{number}", tag, output=output)) is request

    @LANES
    @pytest.mark.parametrize(
        "first",
        [
            {"type": "response.output_text.delta", "delta": "x", "item_id": "m2"},
            {"type": "response.output_item.added", "item": {"type": "message", "role": "assistant", "content": []}},
            {"type": "response.new_thing"},
        ],
        ids=lambda first: str(first["type"]),
    )
    def test_scenario_63_what_can_only_be_new_begins_a_response_without_created(
        self, first: dict[str, Any], lane: str | None
    ) -> None:
        protocol = Protocol(echoes_stream_id=True)
        send(protocol, lane)
        protocol.receive(created("r1", lane))
        output = [{"type": "message", "id": "m1", "role": "assistant", "content": []}]
        protocol.receive(lifecycle("response.completed", "r1", lane, output=output))
        for _ in range(2):
            request = send(protocol, lane)
            assert protocol.receive(wire_event(first["type"], lane, **{**first, "type": first["type"]})) is request
            assert protocol.receive(delta("x", lane)) is request
            assert protocol.receive(completed("r2", lane)) is request

    @LANES
    def test_scenario_63_a_server_that_does_not_begin_with_created(self, lane: str | None) -> None:
        protocol = Protocol(echoes_stream_id=True)
        for number in range(3):
            request = send(protocol, lane)
            assert protocol.receive(delta("x", lane)) is request
            assert protocol.receive(created(f"r{number}", lane)) is request
            assert protocol.receive(completed(f"r{number}", lane)) is request

    @LANES
    def test_scenario_63_an_item_behind_an_error_begins_the_next_response(self, lane: str | None) -> None:
        protocol = Protocol(echoes_stream_id=True)
        message = {"type": "message", "role": "assistant", "content": []}
        for number in range(3):
            request = send(protocol, lane)
            assert protocol.receive(wire_event("response.output_item.added", lane, item=message)) is request
            assert protocol.receive(created(f"r{number}", lane)) is request
            assert protocol.receive(error(lane)) is request

    def test_scenario_63_a_stray_event_of_the_default_lane_begins_no_response_on_another(self) -> None:
        protocol = Protocol()
        send(protocol)
        protocol.receive(created("r1"))
        protocol.receive(error())
        request = send(protocol, "a")
        assert protocol.receive(delta("late")) is None
        assert request.state is SENT
