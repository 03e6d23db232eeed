"""Which request may be sent: order, limits, names of lanes, and whether the server echoes them."""

from __future__ import annotations

import pytest

from rxresponses.errors import LaneLimitError
from rxresponses.protocol.protocol import Protocol

from ..support.events import wire_event
from .driver import (
    completed,
    created,
    delta,
    error,
    send,
    submit,
)


class TestOrder:
    def test_scenario_13_one_lane_keeps_its_order(self) -> None:
        protocol = Protocol()
        first, second = send(protocol, "a"), submit(protocol, "a")
        assert protocol.next_to_send() is None
        assert protocol.receive(created("r1", "a")) is first
        assert protocol.next_to_send() is None
        assert protocol.receive(completed("r1", "a")) is first
        assert protocol.next_to_send() is second

    def test_lanes_run_side_by_side(self) -> None:
        protocol = Protocol(echoes_stream_id=True)
        default, a, b = send(protocol), send(protocol, "a"), send(protocol, "b")
        assert protocol.receive(created("rb", "b")) is b
        assert protocol.receive(created("r0")) is default
        assert protocol.receive(created("ra", "a")) is a
        assert protocol.receive(delta("x", "b")) is b
        assert protocol.receive(delta("x", "a")) is a
        assert protocol.receive(delta("x")) is default

    def test_is_shared_when_a_request_runs_and_another_runs_or_waits(self) -> None:
        protocol = Protocol(echoes_stream_id=True)
        first = submit(protocol)
        assert not protocol.lanes.is_shared  # no response runs that it could wait for
        assert protocol.next_to_send() is first
        assert not protocol.lanes.is_shared
        queued = submit(protocol)
        assert protocol.lanes.is_shared
        protocol.dispose(queued)
        assert not protocol.lanes.is_shared
        beside = send(protocol, "a")
        assert protocol.lanes.is_shared
        assert protocol.receive(completed("r", "a")) is beside
        assert not protocol.lanes.is_shared


class TestLimits:
    def test_scenario_14_the_seventeenth_waits_here(self) -> None:
        protocol = Protocol(echoes_stream_id=True)
        running = [send(protocol, f"lane-{number}") for number in range(16)]
        last = submit(protocol, "lane-16")
        assert protocol.next_to_send() is None
        assert (protocol.lanes.active, protocol.lanes.queued) == (16, 1)
        assert last.delivery == "not_sent"
        assert protocol.receive(completed("r", "lane-3")) is running[3]
        assert protocol.next_to_send() is last

    def test_cancelled_requests_count_as_running(self) -> None:
        protocol = Protocol(max_active=2)
        for lane in ("a", "b"):
            protocol.dispose(send(protocol, lane))
        submit(protocol, "c")
        assert protocol.next_to_send() is None

    def test_the_33rd_lane_name_is_refused(self) -> None:
        protocol = Protocol(echoes_stream_id=True)
        for number in range(32):
            request = send(protocol, f"lane-{number}")
            assert protocol.receive(completed("r", f"lane-{number}")) is request
        assert protocol.lanes.names_used == 32
        with pytest.raises(LaneLimitError) as raised:
            submit(protocol, "lane-32")
        assert raised.value.delivery == "not_sent"
        assert raised.value.stream_id == "lane-32"
        send(protocol, "lane-7")
        send(protocol)

    def test_lane_names_of_queued_requests_count_until_they_are_disposed(self) -> None:
        protocol = Protocol(max_active=1, echoes_stream_id=True)
        waiting = [submit(protocol, f"lane-{number}") for number in range(32)]
        submit(protocol, "lane-31")
        submit(protocol)
        with pytest.raises(LaneLimitError):
            submit(protocol, "lane-32")
        protocol.dispose(waiting[0])
        submit(protocol, "lane-32")


class TestEchoesStreamId:
    """Until an answer has shown whether the server echoes `stream_id`, one request at a time is unanswered."""

    def test_a_server_with_lanes_shows_it_by_its_first_answer(self) -> None:
        protocol = Protocol()
        a, b = send(protocol, "a"), submit(protocol, "b")
        assert protocol.receive(created("r1", "a")) is a
        assert protocol.lanes.echoes_stream_id is True
        assert protocol.next_to_send() is b

    def test_an_error_with_a_stream_id_shows_it_too(self) -> None:
        protocol = Protocol()
        send(protocol, "a")
        protocol.receive(error("a"))
        assert protocol.lanes.echoes_stream_id is True

    def test_answers_on_the_default_lane_do_not_show_it(self) -> None:
        protocol = Protocol()
        default, named = send(protocol), submit(protocol, "a")
        assert protocol.next_to_send() is None
        assert protocol.receive(created("r0")) is default
        assert protocol.lanes.echoes_stream_id is None
        assert protocol.next_to_send() is named
        assert protocol.receive(delta()) is default
        assert protocol.receive(completed("r0")) is default
        assert protocol.receive(created("r1")) is named
        assert protocol.lanes.echoes_stream_id is False
        assert protocol.receive(delta()) is named

    def test_a_cancelled_request_without_an_answer_does_not_block_named_lanes(self) -> None:
        protocol = Protocol()
        lost, default, b = send(protocol, "a"), submit(protocol), submit(protocol, "b")
        assert protocol.next_to_send() is None
        protocol.dispose(lost)
        assert protocol.lanes.changed
        assert protocol.next_to_send() is b  # without `stream_id`, an answer to `default` could be for `lost`
        assert protocol.next_to_send() is None
        assert protocol.receive(created("r", "b")) is b
        assert protocol.next_to_send() is default

    def test_an_error_is_for_the_cancelled_request_that_was_sent_first(self) -> None:
        protocol = Protocol()
        lost, b = send(protocol, "a"), submit(protocol, "b")
        protocol.dispose(lost)
        assert protocol.next_to_send() is b
        assert protocol.receive(error()) is lost
        assert protocol.receive(created("r")) is b

    def test_an_event_of_another_kind_is_no_answer(self) -> None:
        protocol = Protocol()
        first = send(protocol)
        assert protocol.receive(wire_event("rate_limits.updated")) is first
        assert first.delivery == "unknown"
