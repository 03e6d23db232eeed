"""Servers that send less, more or other than the official one, and messages over a limit."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rxresponses import (
    Backoff,
    ConnectionLostError,
    ConnectionOptions,
    InvalidRequestError,
    MessageTooBigError,
    ResponsesWebSocket,
)
from rxresponses import operators as rops
from rxresponses.testing import Hold, Inject, Raw, ResponsesServer

from ..support.clients import ask
from ..support.frames import completed, created, delta
from ..support.recorder import Recorder


class TestServersAsTheyAre:
    def test_scenario_49_sparse_events(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        server.reply(
            Raw(
                [
                    created("r"),
                    delta("a"),
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
            server.reply(Raw([created("r"), *halves, completed("r")]))
            got = Recorder(source.pipe(operator)).wait()
            assert got.values[-1] == whole
            for text in got.values:
                text.encode()

    def test_scenario_52_long_ids_and_interleaved_calls(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        long_id = "resp_" + "x" * 400
        calls = ["call_a", "call_b"]
        frames: list[dict[str, Any]] = [created(long_id)]
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
        frames.append(completed(long_id))
        server.reply(Raw(frames))
        got = Recorder(socket.send_request(ask()))
        found = [event.item for event in got.wait().values if event.type == "response.output_item.done"]  # type: ignore[attr-defined]
        assert [(item.call_id, item.arguments) for item in found] == [("call_a", '{"n": 0}'), ("call_b", '{"n": 1}')]

    def test_scenario_54_a_bare_error_amid_the_answer(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        server.reply(Raw([created("r1"), delta("begun"), {"type": "error", "message": "cut off"}]), "the next")
        first = Recorder(socket.send_request(ask())).wait()
        assert first.types[-1] == "error"
        assert Recorder(socket.send_request(ask())).wait().text == "the next"
        assert server.accepted == 1

    def test_scenario_46_a_two_mebibyte_image(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        image = "A" * (2 * 2**20)
        frame = {"type": "response.image_generation_call.partial_image", "partial_image_b64": image}
        server.reply(Raw([frame, completed("r")]))
        got = Recorder(socket.send_request(ask())).wait()
        assert got.values[0].partial_image_b64 == image  # type: ignore[attr-defined]

    def test_scenario_46_a_message_over_our_limit(self, server: ResponsesServer) -> None:
        options = ConnectionOptions(max_message_size=10_000)
        server.reply(Raw([delta("x" * 20_000)]))
        with ResponsesWebSocket(server.url, options=options) as socket:
            error = Recorder(socket.send_request(ask())).wait().error
        assert isinstance(error, MessageTooBigError)
        assert error.close_code == 1009
        assert "max_message_size" in str(error)

    def test_scenario_46_a_request_behind_a_message_over_our_limit_was_not_sent(self, server: ResponsesServer) -> None:
        server.reply(["first", Hold()], "second")
        with ResponsesWebSocket(server.url, options=ConnectionOptions(max_message_size=10_000)) as socket:
            first = Recorder(socket.send_request(ask())).wait_for(1)
            second = Recorder(socket.send_request(ask()))
            third = Recorder(socket.send_request(ask()).pipe(rops.retry_with_backoff(Backoff(initial=0.0))))
            server.disturb(Inject(delta("x" * 20_000)))
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
