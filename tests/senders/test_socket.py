"""The socket against the embedded server, in programs without an event loop of their own."""

from __future__ import annotations

import gc
import json
import threading
import weakref
from typing import Any

import pytest
from reactivex import Observable
from reactivex import operators as ops

from rxresponses import (
    Backoff,
    ConfigurationError,
    ConnectFailedError,
    ConnectionLostError,
    ConnectionOptions,
    ConnectionState,
    InvalidRequestError,
    LaneLimitError,
    MessageTooBigError,
    Response,
    ResponseCompletedEvent,
    ResponseCreate,
    ResponseErrorEvent,
    ResponseIncompleteEvent,
    ResponsesError,
    ResponsesWebSocket,
    ServerEvent,
    SocketClosedError,
    UnknownEvent,
)
from rxresponses import operators as rops
from rxresponses.testing import Close, Failure, FunctionCall, Hold, Inject, Raw, ResponsesServer, Text

from ..support.recorder import WAIT, Recorder


def ask(text: str = "hi", **fields: Any) -> ResponseCreate:
    return ResponseCreate(model="m", input=text, **fields)


def tagged(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, **fields}


def answer(response_id: str, text: str) -> list[dict[str, Any]]:
    """A whole response without `stream_id`, as servers without lanes send it."""
    return [
        {"type": "response.created", "response": {"id": response_id}},
        {"type": "response.output_text.delta", "delta": text},
        {"type": "response.completed", "response": {"id": response_id}},
    ]


class TestEndings:
    def test_scenario_01_completed(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        server.reply("Hello there.", "Again.")
        got = Recorder(socket.send_request(ask())).wait()
        assert isinstance(got.values[-1], ResponseCompletedEvent)
        assert (got.completions, got.errors) == (1, [])
        assert got.text == "Hello there."
        assert Recorder(socket.send_request(ask())).wait().text == "Again."

    def test_scenario_01_failed_incomplete_and_error(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        for kind in ("response.failed", "response.incomplete"):
            server.reply(Raw([{"type": kind, "response": {"id": "r", "status": kind[9:]}}]))
            got = Recorder(socket.send_request(ask())).wait()
            assert (got.types, got.completions) == ([kind], 1)
        server.reply(Failure("server_error", after=0))
        got = Recorder(socket.send_request(ask())).wait()
        assert (got.types, got.completions) == (["error"], 1)
        assert Recorder(socket.send_request(ask())).wait().completions == 1

    def test_scenario_02_incomplete_is_a_value_and_keeps_its_usage(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        server.reply("one two three four five six")
        got = Recorder(socket.send_request(ask(max_output_tokens=3))).wait()
        last = got.values[-1]
        assert isinstance(last, ResponseIncompleteEvent)
        assert last.response.incomplete_details is not None
        assert last.response.incomplete_details.reason == "max_output_tokens"
        assert last.response.usage is not None
        assert last.response.usage.output_tokens == 3
        assert got.completions == 1

    @pytest.mark.parametrize("lane", [None, "a"])
    def test_scenario_03_error_then_failed(
        self, server: ResponsesServer, socket: ResponsesWebSocket, lane: str | None
    ) -> None:
        server.reply(["some text", Failure("server_error", after=6)], "the next")
        unrouted = Recorder(socket.unrouted)
        first = Recorder(socket.send_request(ask(), stream_id=lane))
        second = Recorder(socket.send_request(ask(), stream_id=lane))
        first.wait()
        second.wait()
        assert first.types[-1] == "error"
        assert first.completions == second.completions == 1
        assert second.text == "the next"
        assert unrouted.wait_for(1).types == ["response.failed"]

    def test_scenario_04_error_shapes(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        headers = {"retry-after": "7"}
        server.reply(
            Raw([{"type": "error", "code": "c", "message": "m", "param": "p"}]),
            Raw(
                [
                    {
                        "type": "error",
                        "status": 429,
                        "error": {"type": "t", "code": "c", "message": "m", "param": "p", "headers": headers},
                    }
                ]
            ),
        )
        for status, kind, sent in ((None, None, {}), (429, "t", headers)):
            failure = Recorder(socket.send_request(ask()).pipe(rops.raise_on_failure())).wait().error
            assert (failure.code, failure.param, failure.status, failure.type) == ("c", "p", status, kind)
            assert dict(failure.headers) == sent
            assert failure.delivery == "rejected"

    @pytest.mark.parametrize("code", [1000, 1001, 1006, 1011, 1012])
    def test_scenario_05_close_in_mid_response(
        self, server: ResponsesServer, socket: ResponsesWebSocket, code: int
    ) -> None:
        gate = server.gate()
        server.on("hold", ["text", Hold(gate, after=5)])
        server.on("close", ["text", Close(code, "bye", after=5)])
        held = Recorder(socket.send_request(ask("hold"), stream_id="a"))
        held.wait_for(5)
        closed = Recorder(socket.send_request(ask("close"), stream_id="b"))
        for got in (held.wait(), closed.wait()):
            assert isinstance(got.error, ConnectionLostError)
            assert got.error.close_code == code
            assert got.error.close_reason == ("bye" if code != 1006 else "")
            assert got.error.delivery == "started"
            assert got.error.response_id is not None
            assert str(code) in str(got.error) or code == 1006

    def test_scenario_05_not_begun_and_not_sent(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        gate = server.gate()
        server.on("hold", ["text", Hold(gate, after=0)])
        sent = Recorder(socket.send_request(ask("hold")))
        waiting = Recorder(socket.send_request(ask("later")))
        server.wait_until(lambda: len(server.requests) == 1)
        server.close_connections(1011)
        assert sent.wait().error.delivery == "unknown"
        assert waiting.wait().error.delivery == "not_sent"
        assert len(server.requests) == 1

    def test_scenario_05_a_lost_socket_connects_again_on_the_next_request(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        server.reply(Close(1006), "fine")
        texts = Recorder(socket.send_request(ask()).pipe(ops.retry(2), rops.collect_text())).wait()
        assert texts.values == ["fine"]
        assert server.accepted == 2
        assert len(server.requests) == 2

    @pytest.mark.parametrize("code", [1000, 1006, 1011])
    def test_scenario_06_close_right_after_the_terminal_event(
        self, server: ResponsesServer, socket: ResponsesWebSocket, code: int
    ) -> None:
        server.reply(["all of it", Close(code, after=1000)])
        got = Recorder(socket.send_request(ask())).wait()
        assert got.types[-1] == "response.completed"
        assert (got.completions, got.errors) == (1, [])

    def test_scenario_07_warm_up(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        source = socket.send_request(ask("remember", generate=False))
        got = Recorder(source).wait()
        assert got.types == ["response.created", "response.in_progress", "response.completed"]
        last = got.values[-1]
        assert isinstance(last, ResponseCompletedEvent)
        assert last.response.output == []
        assert Recorder(source.pipe(rops.collect_text())).wait().values == [""]
        chained = ResponseCreate(model="m", input="go", previous_response_id=last.response.id)
        assert Recorder(socket.send_request(chained)).wait().types[-1] == "response.completed"


class TestCancelling:
    def test_scenario_08_the_second_stream_sees_nothing_of_the_first(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        server.reply("one two three four", "five six")
        deltas = 0

        def stop(event: ServerEvent) -> None:
            nonlocal deltas
            deltas += event.type == "response.output_text.delta"
            if deltas == 2:
                first.subscription.dispose()

        everything = Recorder(socket.events)
        first: Recorder[ServerEvent] = Recorder(socket.send_request(ask()), stop)
        second = Recorder(socket.send_request(ask())).wait()
        assert second.text == "five six"
        assert not first.ended
        assert first.text == "one two"
        assert everything.types.count("response.completed") == 2

    def test_scenario_09_disposed_before_created(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        gate = server.gate()
        server.reply(["the first", Hold(gate, after=0)], "the second")
        first = Recorder(socket.send_request(ask()))
        server.wait_until(lambda: len(server.requests) == 1)
        first.subscription.dispose()
        second = Recorder(socket.send_request(ask()))
        gate.open()
        assert second.wait().text == "the second"
        assert (first.values, first.ended) == ([], False)

    def test_scenario_10_disposed_before_it_was_sent(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        gate = server.gate()
        server.on("hold", ["text", Hold(gate)])
        running = Recorder(socket.send_request(ask("hold"))).wait_for(2)
        never = Recorder(socket.send_request(ask("never")))
        next_one = Recorder(socket.send_request(ask("next")))
        never.subscription.dispose()
        gate.open()
        running.wait()
        next_one.wait()
        assert [request["input"] for request in server.requests] == ["hold", "next"]

    def test_scenario_10_disposed_at_once(self, server: ResponsesServer) -> None:
        disposed = threading.Event()

        def key() -> str:
            assert disposed.wait(WAIT)  # it holds up the socket's own loop: nothing is written before
            return "sk-test"

        with ResponsesWebSocket(server.url, api_key=key) as socket:
            Recorder(socket.send_request(ask("never"))).subscription.dispose()
            disposed.set()
            Recorder(socket.send_request(ask("next"))).wait()
        assert [request["input"] for request in server.requests] == ["next"]

    def test_scenario_11_take_one_and_dispose_twice(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        one = Recorder(socket.send_request(ask()).pipe(ops.take(1))).wait()
        assert one.types == ["response.created"]
        assert one.completions == 1
        one.subscription.dispose()
        one.subscription.dispose()
        again = Recorder(socket.send_request(ask())).wait()
        again.subscription.dispose()
        assert again.completions == 1
        assert len(server.requests) == 2

    def test_scenario_11_nothing_is_kept_of_what_is_over(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        class Box:
            pass

        box = Box()
        kept = weakref.ref(box)
        got = Recorder(socket.send_request(ask()), lambda _, box=box: None)  # type: ignore[misc]
        got.wait()
        del box, got
        Recorder(socket.send_request(ask())).wait()
        gc.collect()
        assert kept() is None


class TestLanes:
    def test_scenario_13_one_lane_keeps_its_order(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        server.reply("first", "second")
        lane = socket.lane("a")
        first, second = Recorder(lane.send_request(ask("1"))), Recorder(lane.send_request(ask("2")))
        second.wait()
        assert (first.text, second.text) == ("first", "second")
        assert first.completions == 1
        assert [request["input"] for request in server.requests] == ["1", "2"]
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
        # The socket has nothing more to say until one of the sixteen ends: the 17th is not at the server.
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
        for got, verdict in ((held.wait(), "started"), (limit, "unknown")):
            assert isinstance(got.error, ConnectionLostError)
            assert (got.error.code, got.error.delivery) == (code, verdict)
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
        server.reply(Raw([*strange, *answer("r1", "fine")]))
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
        server.on("one", Raw(answer("r1", "for one")))
        server.on("two", Raw(answer("r2", "for two")))
        server.on("three", Raw(answer("r3", "for three")))
        names = ["one", "two", "three"]
        got = [Recorder(socket.send_request(ask(name), stream_id=name)) for name in names]
        for name, one in zip(names, got, strict=True):
            assert one.wait().text == f"for {name}"
            assert one.completions == 1


class TestServersAsTheyAre:
    def test_scenario_49_sparse_events(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        server.reply(
            Raw(
                [
                    {"type": "response.created", "response": {"id": "r"}},
                    {"type": "response.output_text.delta", "delta": "a"},
                    {"type": "error", "error": {"type": "oops", "message": "m"}},
                ]
            )
        )
        got = Recorder(socket.send_request(ask())).wait()
        assert [type(event).__name__ for event in got.values] == [
            "ResponseCreatedEvent",
            "ResponseTextDeltaEvent",
            "ResponseErrorEvent",
        ]

    def test_scenario_51_an_emoji_in_two_halves(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        halves = [
            '{"type": "response.output_text.delta", "delta": "ok \\ud83c"}',
            '{"type": "response.output_text.delta", "delta": "\\udf89!"}',
        ]
        source = socket.send_request(ask())
        for operator, whole in ((rops.collect_text(), "ok 🎉!"), (rops.accumulate_text(), "ok 🎉!")):
            server.reply(Raw([answer("r", "")[0], *halves, answer("r", "")[2]]))
            got = Recorder(source.pipe(operator)).wait()
            assert got.values[-1] == whole
            for text in got.values:
                text.encode()

    def test_scenario_52_long_ids_and_interleaved_calls(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        long_id = "resp_" + "x" * 400
        calls = ["call_a", "call_b"]
        frames: list[dict[str, Any]] = [{"type": "response.created", "response": {"id": long_id}}]
        for part in ("{", '"n": ', "{}", "}"):
            for index, _ in enumerate(calls):
                delta = part.replace("{}", str(index)) if part == "{}" else part
                frames.append(
                    {
                        "type": "response.function_call_arguments.delta",
                        "item_id": f"fc_{index}",
                        "output_index": index,
                        "delta": delta,
                    }
                )
        for index, call in enumerate(calls):
            item = {"type": "function_call", "id": f"fc_{index}", "call_id": call, "name": "f"}
            frames.append(
                {
                    "type": "response.output_item.done",
                    "output_index": index,
                    "item": {**item, "arguments": json.dumps({"n": index})},
                }
            )
        frames.append({"type": "response.completed", "response": {"id": long_id}})
        server.reply(Raw(frames))
        got = Recorder(socket.send_request(ask()))
        found = [event.item for event in got.wait().values if event.type == "response.output_item.done"]  # type: ignore[attr-defined]
        assert [(item.call_id, item.arguments) for item in found] == [("call_a", '{"n": 0}'), ("call_b", '{"n": 1}')]

    def test_scenario_54_a_bare_error_amid_the_answer(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        server.reply(Raw([*answer("r1", "begun")[:2], {"type": "error", "message": "cut off"}]), "the next")
        first = Recorder(socket.send_request(ask())).wait()
        assert first.types[-1] == "error"
        assert Recorder(socket.send_request(ask())).wait().text == "the next"
        assert server.accepted == 1

    def test_scenario_46_a_two_mebibyte_image(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        image = "A" * (2 * 2**20)
        frame = {"type": "response.image_generation_call.partial_image", "partial_image_b64": image}
        server.reply(Raw([frame, answer("r", "")[2]]))
        got = Recorder(socket.send_request(ask())).wait()
        assert got.values[0].partial_image_b64 == image  # type: ignore[attr-defined]

    def test_scenario_46_a_message_over_our_limit(self, server: ResponsesServer) -> None:
        options = ConnectionOptions(max_message_size=10_000)
        server.reply(Raw([answer("r", "x" * 20_000)[1]]))
        with ResponsesWebSocket(server.url, options=options) as socket:
            error = Recorder(socket.send_request(ask())).wait().error
        assert isinstance(error, MessageTooBigError)
        assert error.close_code == 1009
        assert "max_message_size" in str(error)

    def test_scenario_46_what_waits_behind_a_message_over_our_limit_is_not_meant(self, server: ResponsesServer) -> None:
        server.reply(["first", Hold()], "second")
        with ResponsesWebSocket(server.url, options=ConnectionOptions(max_message_size=10_000)) as socket:
            first = Recorder(socket.send_request(ask())).wait_for(1)
            second = Recorder(socket.send_request(ask()))
            third = Recorder(socket.send_request(ask()).pipe(rops.retry_with_backoff(Backoff(initial=0.0))))
            server.disturb(Inject(answer("r", "x" * 20_000)[1]))
            assert type(first.wait().error) is MessageTooBigError
            error = second.wait().error
            assert type(error) is ConnectionLostError
            assert (error.delivery, error.close_code) == ("not_sent", 1009)
            assert "never sent" in str(error)
            assert third.wait().text == "second"
        assert len(server.requests) == 2

    def test_scenario_46_a_request_over_our_limit(self, server: ResponsesServer) -> None:
        options = ConnectionOptions(max_request_size=10_000)
        with (
            ResponsesWebSocket(server.url, options=options) as socket,
            pytest.raises(InvalidRequestError, match="max_request_size"),
        ):
            socket.send_request(ask("x" * 20_000))
        assert server.accepted == 0

    def test_scenario_46_a_request_over_the_servers_limit(self) -> None:
        with ResponsesServer(max_size=10_000) as server, ResponsesWebSocket(server.url) as socket:
            error = Recorder(socket.send_request(ask("x" * 20_000))).wait().error
            assert isinstance(error, MessageTooBigError)
            assert error.close_code == 1009
            assert "larger than the server takes" in str(error)


class TestConnecting:
    def test_nothing_happens_before_a_subscription(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        socket.send_request(ask())
        assert server.accepted == 0

    def test_scenario_41_each_subscription_sends_once(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        source = socket.send_request(ask())
        Recorder(source).wait()
        Recorder(source).wait()
        assert len(server.requests) == 2
        shared = source.pipe(ops.share())
        gate = server.gate()
        server.reply(["text", Hold(gate)])
        both = [Recorder(shared), Recorder(shared)]
        gate.open()
        for one in both:
            assert one.wait().text == "text"
        assert len(server.requests) == 3

    def test_the_right_key(self) -> None:
        with ResponsesServer(api_key="sesame") as server, ResponsesWebSocket(server.url, api_key="sesame") as socket:
            assert Recorder(socket.send_request(ask())).wait().completions == 1

    def test_the_wrong_key(self) -> None:
        with ResponsesServer(api_key="sesame") as server, ResponsesWebSocket(server.url, api_key="open") as socket:
            error = Recorder(socket.send_request(ask(), stream_id="a")).wait().error
            assert isinstance(error, ConnectFailedError)
            assert (error.status, error.delivery, error.stream_id) == (401, "not_sent", "a")
            assert "open" not in str(error).split()
            assert server.requests == []

    def test_a_key_function_is_called_at_each_connect(self) -> None:
        keys = iter(["wrong", "sesame"])
        with (
            ResponsesServer(api_key="sesame") as server,
            ResponsesWebSocket(server.url, api_key=lambda: next(keys)) as socket,
        ):
            assert Recorder(socket.send_request(ask()).pipe(ops.retry(2))).wait().completions == 1

    def test_scenario_47_a_key_function_that_raises(self, server: ResponsesServer) -> None:
        def fail() -> str:
            raise RuntimeError("vault says s3cret")

        with ResponsesWebSocket(server.url, api_key=fail) as socket:
            error = Recorder(socket.send_request(ask())).wait().error
        assert isinstance(error, ConfigurationError)
        assert error.delivery == "not_sent"
        assert "s3cret" not in str(error)
        assert server.accepted == 0

    def test_nobody_listens(self, server: ResponsesServer) -> None:
        url = server.url
        server.close()
        server.__exit__()
        with ResponsesWebSocket(url) as socket:
            error = Recorder(socket.send_request(ask())).wait().error
        assert isinstance(error, ConnectFailedError)
        assert error.delivery == "not_sent"
        assert isinstance(error.__cause__, OSError)
        assert "nothing was sent" in str(error)

    def test_no_such_path(self, server: ResponsesServer) -> None:
        with ResponsesWebSocket(server.url.replace("/v1", "/v9")) as socket:
            error = Recorder(socket.send_request(ask())).wait().error
        assert error.status == 404

    def test_the_model_is_in_the_url_for_gateways(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        assert "model" not in repr(socket)
        assert Recorder(socket.send_request(ask())).wait().completions == 1

    def test_no_key_for_the_official_service(self) -> None:
        with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
            ResponsesWebSocket()

    def test_the_environment_is_read_when_the_socket_is_made(
        self, server: ResponsesServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        with ResponsesWebSocket() as socket:
            monkeypatch.delenv("OPENAI_BASE_URL")
            assert Recorder(socket.send_request(ask())).wait().completions == 1

    def test_a_request_that_json_cannot_hold(self, socket: ResponsesWebSocket) -> None:
        with pytest.raises(InvalidRequestError):
            socket.send_request(ask(extra_body={"x": object()}))

    def test_a_mapping_is_a_request(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        body = {"type": "response.create", "model": "m", "input": [{"role": "user", "content": "hi"}], "stream": True}
        assert Recorder(socket.send_request(body)).wait().completions == 1
        assert server.requests == [{name: value for name, value in body.items() if name != "stream"}]


class TestState:
    def test_from_idle_to_closed(self, server: ResponsesServer) -> None:
        socket = ResponsesWebSocket(server.url)
        states = Recorder(socket.state)
        assert states.values == [ConnectionState.IDLE]
        Recorder(socket.send_request(ask())).wait()
        server.drop()
        states.wait_for(4)
        Recorder(socket.send_request(ask())).wait()
        socket.close()
        states.wait()
        assert [state.value for state in states.values] == [
            *("idle", "connecting", "open", "idle", "connecting", "open", "closing", "closed")
        ]
        assert states.completions == 1
        late = Recorder(socket.state)
        assert late.values == [ConnectionState.CLOSED]
        assert late.completions == 1

    def test_events_and_unrouted_complete(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        sources = [Recorder(socket.events), Recorder(socket.unrouted)]
        Recorder(socket.send_request(ask())).wait()
        socket.close()
        for source in sources:
            assert source.wait().completions == 1

    def test_a_disposed_watcher_hears_nothing(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        watcher = Recorder(socket.events)
        Recorder(socket.send_request(ask())).wait()
        count = len(watcher.values)
        assert count
        watcher.subscription.dispose()
        Recorder(socket.send_request(ask())).wait()
        assert len(watcher.values) == count


class TestClosing:
    def test_requests_in_flight_and_waiting_are_told(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        gate = server.gate()
        server.on("hold", ["text", Hold(gate)])
        running = Recorder(socket.send_request(ask("hold"))).wait_for(2)
        waiting = Recorder(socket.send_request(ask("later")))
        socket.close()
        assert isinstance(running.wait().error, SocketClosedError)
        assert running.error.delivery == "started"
        assert waiting.wait().error.delivery == "not_sent"
        assert len(server.requests) == 1

    def test_a_closed_socket_stays_closed(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        Recorder(socket.send_request(ask())).wait()
        socket.close()
        socket.close()
        error = Recorder(socket.send_request(ask(), stream_id="a")).wait().error
        assert isinstance(error, SocketClosedError)
        assert (error.delivery, error.stream_id) == ("not_sent", "a")
        assert server.accepted == 1

    def test_closed_before_it_was_used(self, server: ResponsesServer) -> None:
        with ResponsesWebSocket(server.url) as socket:
            pass
        assert isinstance(Recorder(socket.send_request(ask())).wait().error, SocketClosedError)
        assert server.accepted == 0

    def test_close_while_connecting(self) -> None:
        # A listener that accepts connections and never answers the handshake.
        import socket as sockets

        with sockets.create_server(("127.0.0.1", 0)) as listener:
            socket = ResponsesWebSocket(f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
            with socket:
                got = Recorder(socket.send_request(ask()))
                peer, _ = listener.accept()
                socket.close()
                assert isinstance(got.wait().error, SocketClosedError)
                assert got.error.delivery == "not_sent"
            peer.close()

    def test_from_within_an_observer(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        got = Recorder(socket.send_request(ask()), lambda _: socket.close()).wait()
        assert len(got.values) == 1
        assert isinstance(got.error, SocketClosedError)

    def test_several_sockets_share_one_thread(self, server: ResponsesServer) -> None:
        with ResponsesWebSocket(server.url) as one, ResponsesWebSocket(server.url) as two:
            got = [Recorder(socket.send_request(ask())).wait() for socket in (one, two)]
            assert got[0].threads == got[1].threads
            assert sum(thread.name == "rxresponses" for thread in threading.enumerate()) == 1


class TestObservers:
    def test_one_that_raises_disturbs_nobody_else(
        self, server: ResponsesServer, socket: ResponsesWebSocket, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(event: ServerEvent) -> None:
            raise RuntimeError("observer failed")

        gate = server.gate()
        server.on("hold", ["held", Hold(gate)])
        other = Recorder(socket.send_request(ask("hold"), stream_id="a")).wait_for(2)
        bad = Recorder(socket.send_request(ask(), stream_id="b"), fail).wait()
        assert str(bad.error) == "observer failed"
        assert len(bad.values) == 1
        gate.open()
        assert other.wait().completions == 1
        assert Recorder(socket.send_request(ask(), stream_id="b")).wait().completions == 1
        assert "observer failed" in caplog.text

    def test_ones_that_raise_at_the_end_or_again(
        self, server: ResponsesServer, socket: ResponsesWebSocket, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("failed at the end")

        def fail_again(*_: object) -> None:
            raise ValueError("failed again")

        socket.send_request(ask()).subscribe(on_completed=fail)
        Recorder(socket.send_request(ask())).wait()
        assert "failed at the end" in caplog.text
        socket.send_request(ask()).subscribe(fail, fail_again)
        Recorder(socket.send_request(ask())).wait()
        assert "failed again" in caplog.text
        server.reply(Close(1011))
        socket.send_request(ask()).subscribe(on_error=fail_again)
        socket.events.subscribe(fail)
        Recorder(socket.send_request(ask()).pipe(ops.retry(2))).wait()
        assert Recorder(socket.send_request(ask())).wait().completions == 1

    def test_a_request_from_within_an_observer(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        def go_on(response: Response) -> Observable[ServerEvent]:
            return socket.send_request(ask("more", previous_response_id=response.id))

        got = Recorder(
            socket.send_request(ask()).pipe(
                rops.final_response(),
                ops.flat_map(go_on),
            )
        )
        assert got.wait().types[-1] == "response.completed"

    def test_function_calls_come_typed(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        server.reply([FunctionCall("f", {"x": 1}), Text("and text")])
        (call,) = Recorder(socket.send_request(ask()).pipe(rops.function_calls())).wait().values
        assert (call.name, json.loads(call.arguments)) == ("f", {"x": 1})

    def test_a_bug_in_an_operator_ends_run(self, socket: ResponsesWebSocket) -> None:
        def broken(source: Observable[ServerEvent]) -> Observable[ServerEvent]:
            def subscribe(observer: Any, scheduler: Any = None) -> Any:
                def on_next(event: ServerEvent) -> None:
                    raise KeyError("bug")

                return source.subscribe(on_next, observer.on_error, observer.on_completed, scheduler=scheduler)

            return Observable(subscribe)

        with pytest.raises(KeyError, match="bug"):
            socket.send_request(ask()).pipe(broken).run()

    def test_every_error_is_ours(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        server.reply(Close(1011))
        assert isinstance(Recorder(socket.send_request(ask())).wait().error, ResponsesError)
