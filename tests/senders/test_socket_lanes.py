"""Lanes of a socket: their order, their number, their names, and events that name no known lane."""

from __future__ import annotations

from typing import Any

import pytest

from rxresponses import (
    ConnectionLostError,
    InvalidRequestError,
    LaneLimitError,
    ResponseErrorEvent,
    ResponsesWebSocket,
    UnknownEvent,
)
from rxresponses import operators as rops
from rxresponses.testing import Failure, Hold, Raw, ResponsesServer

from ..support.clients import ask, inputs
from ..support.frames import response
from ..support.recorder import Recorder


class TestLanes:
    def test_scenario_13_one_lane_keeps_its_order(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        server.reply("first", "second")
        lane = socket.lane("a")
        first, second = Recorder(lane.send_request(ask("1"))), Recorder(lane.send_request(ask("2")))
        second.wait()
        assert (first.text, second.text) == ("first", "second")
        assert first.completions == 1
        assert inputs(server) == ["1", "2"]
        assert {event.stream_id for event in first.values} == {"a"}

    def test_lanes_run_side_by_side(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        gate = server.gate()
        server.on("hold", ["held", Hold(gate)])
        server.on("free", "free")
        held = Recorder(socket.lane("a").send_request(ask("hold"))).wait_for(2)
        assert Recorder(socket.lane("b").send_request(ask("free"))).wait().text == "free"
        assert Recorder(socket.send_request(ask("free"))).wait().text == "free"
        gate.open()
        assert held.wait().text == "held"

    def test_scenario_14_seventeen_at_once(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        gate = server.gate()
        server.on("hold", ["done", Hold(gate)])
        running = [Recorder(socket.send_request(ask("hold"), stream_id=f"lane-{n}")) for n in range(16)]
        for one in running:
            one.wait_for(2)
        last = Recorder(socket.send_request(ask("last"), stream_id="lane-16"))
        # Until one of the sixteen ends, the 17th is not sent.
        assert len(server.requests) == 16
        gate.open()
        for one in (*running, last):
            assert one.wait().completions == 1
        assert server.requests[-1]["input"] == "last"

    def test_scenario_15_names_are_used_again_and_a_33rd_never_leaves(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        for number in range(40):
            got = Recorder(socket.send_request(ask(), stream_id=f"lane-{number % 32}")).wait()
            assert got.completions == 1
        refused = Recorder(socket.send_request(ask(), stream_id="one-more")).wait()
        assert isinstance(refused.error, LaneLimitError)
        assert refused.error.delivery == "not_sent"
        assert len(server.requests) == 40
        assert "error" not in [one["type"] for one in server.requests]

    def test_scenario_16_an_error_with_a_lane_ends_that_lane_only(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        gate = server.gate()
        server.on("hold", ["held", Hold(gate)])
        server.on("fail", Failure("server_error"))
        held = Recorder(socket.send_request(ask("hold"), stream_id="a")).wait_for(2)
        failed = Recorder(socket.send_request(ask("fail"), stream_id="b")).wait()
        assert failed.types[-1] == "error"
        gate.open()
        assert held.wait().text == "held"

    def test_scenario_16_a_notice_about_the_connection(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        gate = server.gate()
        server.on("hold", ["held", Hold(gate)])
        notice = {"type": "error", "status": 500, "error": {"code": "odd", "message": "about all"}}
        end = {"type": "response.completed", "stream_id": "c", "response": {"id": "x"}}
        server.on("notice", Raw([notice, end]))
        unrouted = Recorder(socket.unrouted)
        held = [Recorder(socket.send_request(ask("hold"), stream_id=name)).wait_for(2) for name in ("a", "b")]
        other = Recorder(socket.send_request(ask("notice"), stream_id="c")).wait()
        assert other.types == ["response.completed"]
        (got,) = unrouted.wait_for(1).values
        assert isinstance(got, ResponseErrorEvent)
        assert got.message == "about all"
        gate.open()
        for one in held:
            assert one.wait().completions == 1

    def test_scenario_16_a_fatal_notice_ends_all(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        gate = server.gate()
        server.on("hold", ["held", Hold(gate)])
        code = "websocket_connection_limit_reached"
        server.on("limit", Raw([{"type": "error", "error": {"code": code, "message": "60 minutes"}}]))
        held = Recorder(socket.send_request(ask("hold"), stream_id="a")).wait_for(2)
        limit = Recorder(socket.send_request(ask("limit"), stream_id="b")).wait()
        for got, delivery in ((held.wait(), "started"), (limit, "unknown")):
            assert isinstance(got.error, ConnectionLostError)
            assert (got.error.code, got.error.delivery) == (code, delivery)
            assert "60 minutes" in str(got.error)
        server.wait_until(lambda: server.connections == 0)
        assert Recorder(socket.send_request(ask("hello"))).wait().completions == 1
        assert server.accepted == 2

    @pytest.mark.parametrize(
        "detail",
        [{}, {"message": None}, {"message": ""}, {"message": 5}],
        ids=["missing", "null", "empty", "unreadable"],
    )
    def test_scenario_16_a_fatal_notice_without_a_message(
        self, server: ResponsesServer, socket: ResponsesWebSocket, detail: dict[str, Any]
    ) -> None:
        code = "websocket_connection_limit_reached"
        server.reply(Raw([{"type": "error", "error": {"code": code, **detail}}]))
        error = Recorder(socket.send_request(ask())).wait().error
        assert isinstance(error, ConnectionLostError)
        assert error.code == code
        assert str(error).startswith(f"the server ends this connection ({code}); the request was sent")

    @pytest.mark.parametrize("name", ["", "a b", "ä", "x" * 257, "a/b"])
    def test_scenario_17_invalid_lane_names(
        self, server: ResponsesServer, socket: ResponsesWebSocket, name: str
    ) -> None:
        with pytest.raises(InvalidRequestError):
            socket.lane(name)
        with pytest.raises(InvalidRequestError):
            socket.send_request(ask(), stream_id=name)
        assert server.accepted == 0

    def test_scenario_17_contradicting_names(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        with pytest.raises(InvalidRequestError, match=r"'a'.*'b'"):
            socket.lane("b").send_request(ask(stream_id="a"))
        same = Recorder(socket.lane("a").send_request(ask(stream_id="a"))).wait()
        assert {event.stream_id for event in same.values} == {"a"}

    def test_scenario_18_strange_frames_go_to_unrouted(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        strange: list[dict[str, Any] | str | bytes] = [
            {"type": "response.output_text.delta", "delta": "x", "stream_id": "nobody"},
            {"type": "response.output_text.delta", "delta": "x", "stream_id": 5},
            "null",
            "[1, 2]",
            '{"type": "response.comp',
            b"\x00binary",
        ]
        server.reply(Raw([*strange, *response("r1", "fine")]))
        unrouted, events = Recorder(socket.unrouted), Recorder(socket.events)
        got = Recorder(socket.send_request(ask())).wait()
        assert got.text == "fine"
        assert len(unrouted.values) == len(strange)
        assert unrouted.values[0].stream_id == "nobody"
        assert unrouted.values[1].extra["stream_id"] == 5
        for event, reason in zip(unrouted.values[2:], ("null", "list", "", "binary"), strict=True):
            assert isinstance(event, UnknownEvent)
            assert event.reason is not None
            assert reason in event.reason
        assert unrouted.values[5].raw == b"\x00binary"
        assert len(events.values) == len(strange) + 3

    def test_scenario_19_a_server_without_lanes_refuses_the_second(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        gate = server.gate()
        refusal = {"type": "error", "error": {"code": "response_already_in_flight", "message": "one at a time"}}
        server.on("first", ["first", Hold(gate)])
        server.on("second", Raw([refusal]))
        first = Recorder(socket.send_request(ask("first"))).wait_for(2)
        second = Recorder(socket.send_request(ask("second"), stream_id="a").pipe(rops.raise_on_failure())).wait()
        assert second.error.code == "response_already_in_flight"
        assert second.error.delivery == "rejected"
        gate.open()
        assert first.wait().text == "first"

    def test_scenario_50_lanes_against_a_server_that_drops_stream_id(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        server.on("one", Raw(response("r1", "for one")))
        server.on("two", Raw(response("r2", "for two")))
        server.on("three", Raw(response("r3", "for three")))
        names = ["one", "two", "three"]
        got = [Recorder(socket.send_request(ask(name), stream_id=name)) for name in names]
        for name, one in zip(names, got, strict=True):
            assert one.wait().text == f"for {name}"
            assert one.completions == 1
