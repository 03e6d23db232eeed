"""The rules of one connection, state by state."""

from __future__ import annotations

from typing import Any

import pytest

from rxresponses.errors import LaneLimitError
from rxresponses.protocol.protocol import Protocol
from rxresponses.protocol.request import ENDED, QUEUED, SENT, STARTED, ProtocolRequest, ProtocolSteer
from rxresponses.wire.events import ServerEvent
from rxresponses.wire.events.base import event_from

TERMINAL_KINDS = ["response.completed", "response.failed", "response.incomplete"]


def event(kind: str, stream_id: object = None, **fields: Any) -> ServerEvent:
    data: dict[str, Any] = {"type": kind, **fields}
    if stream_id is not None:
        data["stream_id"] = stream_id
    return event_from(data)


def created(response_id: str, stream_id: object = None) -> ServerEvent:
    return event("response.created", stream_id, response={"id": response_id})


def delta(text: str = "x", stream_id: object = None) -> ServerEvent:
    return event("response.output_text.delta", stream_id, delta=text)


def ended(kind: str, response_id: str, stream_id: object = None) -> ServerEvent:
    return event(kind, stream_id, response={"id": response_id})


def completed(response_id: str, stream_id: object = None) -> ServerEvent:
    return ended("response.completed", response_id, stream_id)


def error(stream_id: object = None, code: str = "server_error") -> ServerEvent:
    return event("error", stream_id, error={"type": "x", "code": code, "message": "m"})


def submit(protocol: Protocol, lane: str | None = None) -> ProtocolRequest:
    exchange = ProtocolRequest(b"{}", lane)
    protocol.submit(exchange)
    return exchange


def send(protocol: Protocol, lane: str | None = None) -> ProtocolRequest:
    """Submit a request and see it go at once."""
    exchange = submit(protocol, lane)
    assert protocol.next_to_send() is exchange
    return exchange


def assert_nothing_left(protocol: Protocol) -> None:
    for name in ("_queues", "_ready", "in_flight", "unanswered"):
        assert not getattr(protocol.lanes, name), name
    for name in ("by_stream_id", "by_id"):
        assert not getattr(protocol._responses, name), name
    assert protocol.lanes.active == protocol.lanes.queued == 0
    assert not protocol.lanes.is_shared


class Compared(ProtocolRequest):
    """A request that counts how often one is looked for among others."""

    count = 0
    __hash__ = ProtocolRequest.__hash__

    def __eq__(self, other: object) -> bool:
        Compared.count += 1
        return self is other


class TestEndings:
    @pytest.mark.parametrize("kind", TERMINAL_KINDS)
    def test_scenario_01_each_terminal_kind_frees_the_lane(self, kind: str) -> None:
        protocol = Protocol()
        first = send(protocol)
        assert protocol.receive(created("r1")) is first
        assert protocol.receive(ended(kind, "r1")) is first
        assert first.state is ENDED
        assert_nothing_left(protocol)
        send(protocol)

    def test_scenario_01_error_ends_too(self) -> None:
        protocol = Protocol()
        first = send(protocol)
        assert protocol.receive(error()) is first
        assert first.state is ENDED
        assert_nothing_left(protocol)

    @pytest.mark.parametrize("lane", [None, "a"])
    def test_scenario_03_failed_after_error_reaches_nobody(self, lane: str | None) -> None:
        protocol = Protocol()
        first = send(protocol, lane)
        second = submit(protocol, lane)
        assert protocol.receive(created("r1", lane)) is first
        assert protocol.receive(error(lane)) is first
        assert protocol.next_to_send() is second
        assert protocol.receive(delta("late", lane)) is None
        assert protocol.receive(ended("response.in_progress", "r1", lane)) is None
        assert protocol.receive(ended("response.failed", "r1", lane)) is None
        assert second.state is SENT
        assert protocol.receive(created("r2", lane)) is second
        assert protocol.receive(delta("new", lane)) is second
        assert protocol.receive(completed("r2", lane)) is second
        assert_nothing_left(protocol)

    def test_scenario_03_the_late_event_may_come_amid_the_next_response(self) -> None:
        protocol = Protocol()
        send(protocol)
        protocol.receive(created("r1"))
        protocol.receive(error())
        second = send(protocol)
        protocol.receive(created("r2"))
        assert protocol.receive(ended("response.failed", "r1")) is None
        assert protocol.receive(completed("r2")) is second

    def test_an_id_of_a_failed_response_may_be_used_again(self) -> None:
        protocol = Protocol()
        send(protocol)
        protocol.receive(created("r1"))
        protocol.receive(error())
        second = send(protocol)
        assert protocol.receive(created("r1")) is second

    def test_only_so_many_late_responses_are_remembered(self) -> None:
        protocol = Protocol()
        for number in range(100):
            send(protocol)
            protocol.receive(created(f"r{number}"))
            protocol.receive(error())
        assert len(protocol._responses._ended) == 64
        assert protocol.receive(ended("response.failed", "r99")) is None

    @pytest.mark.parametrize("lane", [None, "a"])
    def test_scenario_03_failed_after_a_refusal_reaches_nobody(self, lane: str | None) -> None:
        protocol = Protocol()
        first = send(protocol, lane)
        assert protocol.receive(error(lane)) is first
        second = send(protocol, lane)
        assert protocol.receive(ended("response.failed", "never seen", lane)) is None
        assert protocol.receive(created("r2", lane)) is second
        assert protocol.receive(ended("response.failed", "r2", lane)) is second
        third = send(protocol, lane)
        assert protocol.receive(ended("response.failed", "r3", lane)) is third

    def test_scenario_03_failed_after_a_refusal_by_a_server_without_lanes(self) -> None:
        protocol = Protocol(echoes_stream_id=False)
        send(protocol, "a")
        protocol.receive(error())
        second = send(protocol, "b")
        assert protocol.receive(ended("response.failed", "never seen")) is None
        assert protocol.receive(completed("r2")) is second

    @pytest.mark.parametrize("kind", TERMINAL_KINDS)
    def test_a_terminal_event_told_twice_ends_one_request(self, kind: str) -> None:
        protocol = Protocol()
        send(protocol)
        protocol.receive(created("r1"))
        protocol.receive(ended(kind, "r1"))
        second = send(protocol)
        protocol.receive(created("r2"))
        assert protocol.receive(ended(kind, "r1")) is None
        assert protocol.receive(completed("r2")) is second

    def test_a_server_that_uses_one_id_for_all(self) -> None:
        protocol = Protocol()
        for end in (error(), completed("r"), error(), completed("r")):
            exchange = send(protocol)
            assert protocol.receive(created("r")) is exchange
            assert protocol.receive(event("response.in_progress", response={"id": "r"})) is exchange
            assert protocol.receive(delta()) is exchange
            assert protocol.receive(end) is exchange
        assert_nothing_left(protocol)

    def test_two_lanes_with_one_id(self) -> None:
        protocol = Protocol(echoes_stream_id=True)
        default, a = send(protocol), send(protocol, "a")
        protocol.receive(created("r"))
        protocol.receive(created("r", "a"))
        assert protocol.receive(completed("r")) is default
        assert protocol.receive(completed("r", "a")) is a
        assert_nothing_left(protocol)

    @pytest.mark.parametrize(("echoes", "lane"), [(None, None), (True, "a"), (False, "a")])
    def test_after_an_error_a_server_without_created(self, echoes: bool | None, lane: str | None) -> None:
        protocol = Protocol(echoes_stream_id=echoes)
        tag = lane if echoes else None
        first = send(protocol, lane)
        protocol.receive(event("response.in_progress", tag, response={"id": "r1"}))
        assert protocol.receive(error(tag)) is first
        second = send(protocol, lane)
        assert protocol.receive(delta("late", tag)) is None
        assert protocol.receive(event("response.in_progress", tag, response={"id": "r2"})) is second
        assert protocol.receive(delta("new", tag)) is second
        assert protocol.receive(completed("r2", tag)) is second

    def test_one_that_is_given_up_and_never_answered_holds_up_no_other_named_lane(self) -> None:
        protocol = Protocol()
        lost, default, b = send(protocol, "a"), submit(protocol), submit(protocol, "b")
        assert protocol.next_to_send() is None
        protocol.dispose(lost)
        assert protocol.lanes.changed
        assert protocol.next_to_send() is b  # an untagged answer to `default` could be the one to `lost`
        assert protocol.next_to_send() is None
        assert protocol.receive(created("r", "b")) is b
        assert protocol.next_to_send() is default

    def test_however_many_are_given_up_no_more_run_than_may(self) -> None:
        protocol = Protocol(max_active=2)
        for lane in ("a", "b"):
            protocol.dispose(send(protocol, lane))
        submit(protocol, "c")
        assert protocol.next_to_send() is None

    def test_an_error_for_one_that_was_given_up(self) -> None:
        protocol = Protocol()
        lost, b = send(protocol, "a"), submit(protocol, "b")
        protocol.dispose(lost)
        assert protocol.next_to_send() is b
        assert protocol.receive(error()) is lost
        assert protocol.receive(created("r")) is b

    def test_what_is_about_no_response_is_no_answer(self) -> None:
        protocol = Protocol()
        first = send(protocol)
        assert protocol.receive(event("rate_limits.updated")) is first
        assert first.delivery == "unknown"

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
        assert_nothing_left(protocol)

    def test_scenario_44_an_unreadable_terminal_event_still_ends(self) -> None:
        protocol = Protocol()
        first = send(protocol)
        protocol.receive(created("r1"))
        broken = event("response.completed", response={"id": "r1", "created_at": "yesterday"})
        assert type(broken).__name__ == "UnknownEvent"
        assert protocol.receive(broken) is first
        assert first.state is ENDED

    def test_an_unreadable_error_still_ends(self) -> None:
        protocol = Protocol()
        first = send(protocol)
        assert protocol.receive(event("error", error={"code": 5}, status="x")) is first
        assert first.state is ENDED

    def test_an_unreadable_flat_error_still_ends(self) -> None:
        protocol = Protocol()
        first = send(protocol)
        assert protocol.receive(event("error", code="server_error", status="x")) is first
        assert first.state is ENDED


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

    def test_scenario_10_the_only_one_of_its_lane(self) -> None:
        protocol = Protocol()
        first = submit(protocol, "a")
        protocol.dispose(first)
        assert protocol.next_to_send() is None
        assert protocol.lanes.names_used == 0
        assert_nothing_left(protocol)

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

    @pytest.mark.parametrize("lane", [None, "a"])
    def test_scenario_10_however_many_wait(self, lane: str | None) -> None:
        """Each of them leaves without a look at the others."""
        protocol = Protocol()
        running = send(protocol, lane)
        protocol.receive(created("r1", lane))
        waiting = [Compared(b"{}", lane) for _ in range(1000)]
        for exchange in waiting:
            protocol.submit(exchange)
        Compared.count = 0
        for left, exchange in zip(range(999, 1, -1), reversed(waiting[1:-1]), strict=True):
            assert not protocol.dispose(exchange)
            assert exchange.state is ENDED
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
        assert_nothing_left(protocol)

    def test_of_a_request_that_the_connection_no_longer_knows(self) -> None:
        protocol = Protocol()
        first = submit(protocol)
        protocol.lost()
        protocol.dispose(first)
        second = submit(protocol)
        protocol.dispose(first)
        assert protocol.next_to_send() is second


class TestLanes:
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

    def test_scenario_14_the_seventeenth_waits_here(self) -> None:
        protocol = Protocol(echoes_stream_id=True)
        running = [send(protocol, f"lane-{number}") for number in range(16)]
        last = submit(protocol, "lane-16")
        assert protocol.next_to_send() is None
        assert (protocol.lanes.active, protocol.lanes.queued) == (16, 1)
        assert last.delivery == "not_sent"
        assert protocol.receive(completed("r", "lane-3")) is running[3]
        assert protocol.next_to_send() is last

    def test_it_is_crowded_when_one_runs_and_another_one_wants_to(self) -> None:
        protocol = Protocol(echoes_stream_id=True)
        first = submit(protocol)
        assert not protocol.lanes.is_shared  # nothing runs yet that it could wait for
        assert protocol.next_to_send() is first
        assert not protocol.lanes.is_shared
        behind = submit(protocol)
        assert protocol.lanes.is_shared
        protocol.dispose(behind)
        assert not protocol.lanes.is_shared
        beside = send(protocol, "a")
        assert protocol.lanes.is_shared
        assert protocol.receive(completed("r", "a")) is beside
        assert not protocol.lanes.is_shared

    def test_the_33rd_name_is_refused_here(self) -> None:
        protocol = Protocol(echoes_stream_id=True)
        for number in range(32):
            exchange = send(protocol, f"lane-{number}")
            assert protocol.receive(completed("r", f"lane-{number}")) is exchange
        assert protocol.lanes.names_used == 32
        with pytest.raises(LaneLimitError) as raised:
            submit(protocol, "lane-32")
        assert raised.value.delivery == "not_sent"
        assert raised.value.stream_id == "lane-32"
        send(protocol, "lane-7")
        send(protocol)

    def test_waiting_names_count_until_they_are_given_up(self) -> None:
        protocol = Protocol(max_active=1, echoes_stream_id=True)
        waiting = [submit(protocol, f"lane-{number}") for number in range(32)]
        submit(protocol, "lane-31")
        submit(protocol)
        with pytest.raises(LaneLimitError):
            submit(protocol, "lane-32")
        protocol.dispose(waiting[0])
        submit(protocol, "lane-32")

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

    def test_error_with_nothing_in_flight(self) -> None:
        assert Protocol().receive(error()) is None

    @pytest.mark.parametrize("lane", ["nobody", 5, ["a"], {"a": 1}, True, ""])
    def test_scenario_18_events_for_no_lane_of_ours(self, lane: object) -> None:
        protocol = Protocol()
        first = send(protocol)
        assert protocol.receive(delta("x", lane)) is None
        assert protocol.receive(created("r", lane)) is None
        assert protocol.receive(error(lane)) is None
        assert protocol.receive(event("response.new_thing", lane)) is None
        assert protocol.receive(created("r")) is first

    def test_a_null_lane_is_the_default_lane(self) -> None:
        protocol = Protocol()
        first = send(protocol)
        assert protocol.receive(event_from({"type": "response.new_thing", "stream_id": None})) is first

    def test_an_unknown_plain_event_goes_to_its_request(self) -> None:
        protocol = Protocol(echoes_stream_id=True)
        send(protocol, "a")
        b = send(protocol, "b")
        assert protocol.receive(event("response.new_thing.delta", "b")) is b
        assert b.state is STARTED


class TestServersWithoutLanes:
    def test_scenario_50_untagged_answers_go_to_the_oldest_request(self) -> None:
        protocol = Protocol()
        a, b = send(protocol, "a"), submit(protocol, "b")
        assert protocol.next_to_send() is None  # until the server has shown its kind
        assert protocol.receive(created("r1")) is a
        assert protocol.lanes.echoes_stream_id is False
        assert protocol.next_to_send() is None  # it runs one at a time
        assert protocol.receive(delta()) is a
        assert protocol.receive(completed("r1")) is a
        assert protocol.next_to_send() is b
        assert protocol.receive(event("response.new_thing")) is b
        assert protocol.receive(created("r2")) is b
        assert protocol.receive(event("response.in_progress", response={"id": "r2"})) is b
        assert protocol.receive(completed("r2")) is b
        assert_nothing_left(protocol)

    def test_scenario_50_no_created_at_all(self) -> None:
        protocol = Protocol()
        a = send(protocol, "a")
        assert protocol.receive(event("response.in_progress", response={"id": "r1"})) is a
        assert protocol.lanes.echoes_stream_id is False

    def test_a_server_with_lanes_shows_it_at_once(self) -> None:
        protocol = Protocol()
        a, b = send(protocol, "a"), submit(protocol, "b")
        assert protocol.receive(created("r1", "a")) is a
        assert protocol.lanes.echoes_stream_id is True
        assert protocol.next_to_send() is b

    def test_a_tagged_error_shows_it_too(self) -> None:
        protocol = Protocol()
        send(protocol, "a")
        protocol.receive(error("a"))
        assert protocol.lanes.echoes_stream_id is True

    def test_default_and_named_together(self) -> None:
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

    def test_nothing_untagged_is_given_to_a_named_lane_of_a_server_that_tags(self) -> None:
        protocol = Protocol(echoes_stream_id=True)
        send(protocol, "a")
        assert protocol.receive(created("r")) is None
        assert protocol.receive(delta()) is None
        assert protocol.receive(completed("r")) is None

    def test_a_response_that_lost_its_tag_on_the_way_is_known_by_its_id(self) -> None:
        protocol = Protocol(echoes_stream_id=True)
        a, _ = send(protocol, "a"), send(protocol, "b")
        protocol.receive(created("r1", "a"))
        assert protocol.receive(completed("r1")) is a

    def test_untagged_lifecycle_without_an_id(self) -> None:
        protocol = Protocol()
        first = send(protocol)
        assert protocol.receive(event("response.completed", response="?")) is first

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

    def test_an_error_is_about_what_runs_though_more_was_sent_before_that_was_known(self) -> None:
        protocol = Protocol()
        first = send(protocol, "a")
        second = submit(protocol, "b")
        protocol.dispose(first)
        assert protocol.next_to_send() is second
        assert protocol.receive(created("r1")) is first
        assert protocol.lanes.echoes_stream_id is False
        assert protocol.receive(error()) is first
        assert protocol.receive(error()) is second
        assert_nothing_left(protocol)

    def test_an_error_is_about_the_oldest_when_nothing_runs(self) -> None:
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

    def test_a_refusal_with_one_request_is_that_ones(self) -> None:
        protocol = Protocol()
        first = send(protocol)
        assert protocol.receive(error(code="response_already_in_flight")) is first

    def test_stray_events_behind_an_error_open_no_other_lane(self) -> None:
        protocol = Protocol(echoes_stream_id=False)
        a = send(protocol, "a")
        protocol.receive(created("r1"))
        assert protocol.receive(error()) is a
        b = send(protocol, "b")
        assert protocol.receive(delta("late")) is None
        assert protocol.receive(created("r2")) is b

    def test_ids_that_change_from_event_to_event(self) -> None:
        protocol = Protocol()
        first = send(protocol)
        for response_id in ("r1", "r2", "r3"):
            assert protocol.receive(event("response.in_progress", response={"id": response_id})) is first
        assert first.response_id == "r3"
        assert protocol.receive(completed("r4")) is first
        assert first.response_ids == ["r1", "r2", "r3", "r4"]
        assert_nothing_left(protocol)

    def test_a_second_created_stays_with_its_request(self) -> None:
        protocol = Protocol(echoes_stream_id=False)
        a = send(protocol, "a")
        assert protocol.receive(created("r1")) is a
        assert protocol.receive(created("r2")) is a


class TestLoss:
    def test_verdicts(self) -> None:
        protocol = Protocol(max_active=3, echoes_stream_id=True)
        sent, started = send(protocol, "a"), send(protocol, "b")
        protocol.receive(delta("x", "b"))
        waiting = [submit(protocol, "a"), submit(protocol, "c")]
        lost = protocol.lost()
        assert set(lost) == {sent, started, *waiting}
        assert lost[:2] == [sent, started]
        assert [sent.delivery, started.delivery, waiting[0].delivery] == ["unknown", "started", "not_sent"]
        assert waiting[0].state is QUEUED
        assert_nothing_left(protocol)
        assert protocol.lost() == []


def test_what_a_request_continues() -> None:
    assert not ProtocolRequest(b"{}", None).continues("r1")
    assert not ProtocolRequest(b'{"previous_response_id": null}', None).continues("r1")
    assert ProtocolRequest(b'{"input": "\\ud83c", "previous_response_id": "r1"}', None).continues("r1")
    assert not ProtocolRequest(b'{"previous_response_id": "r1"}', None).continues("r2")
    assert ProtocolSteer(b"{}", "r1").continues("r1")
    assert not ProtocolSteer(b"{}", "r1").continues("r2")
