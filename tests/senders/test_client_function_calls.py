"""Function calls that a continuation through the client leaves unanswered."""

from __future__ import annotations

from typing import Any

import pytest

from rxresponses import (
    InvalidRequestError,
    ItemReference,
    ResponseCreate,
    ResponsesClient,
    function_result,
    user_message,
)
from rxresponses.testing import FunctionCall, Hold, Raw, ResponsesServer

from ..support.clients import ask, response_id
from ..support.conversations import first_response_id, lose_connections
from ..support.recorder import Recorder


class TestOpenCalls:
    def call(self, client: ResponsesClient, server: ResponsesServer, **fields: Any) -> str:
        server.reply([FunctionCall("a", call_id="call_a"), FunctionCall("b", call_id="call_b")])
        return first_response_id(client, **fields)

    @pytest.mark.parametrize("store", [True, False])
    def test_scenario_35_client_a_continuation_without_all_outputs_is_refused(
        self, server: ResponsesServer, client: ResponsesClient, store: bool
    ) -> None:
        parent = self.call(client, server, store=store)
        for given in ("no output", [function_result("call_a", "1")], [user_message("hi"), function_result("x", "1")]):
            request = ResponseCreate(model="m", input=given, previous_response_id=parent, store=store)
            got = Recorder(client.send_request(request)).wait()
            assert isinstance(got.error, InvalidRequestError)
            assert got.error.field == "input"
            assert "call_b" in str(got.error)
            assert ("call_a" in str(got.error)) is (len(given) != 1)
        assert len(server.requests) == 1
        both = [function_result("call_a", "1"), function_result("call_b", "2"), user_message("go on")]
        request = ResponseCreate(model="m", input=both, previous_response_id=parent, store=store)
        assert Recorder(client.send_request(request)).wait().types[-1] == "response.completed"

    def test_scenario_35_client_a_repeated_call_is_no_answer(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        parent = self.call(client, server)
        calls = [
            {"type": "function_call", "call_id": name, "name": "a", "arguments": "{}"} for name in ("call_a", "call_b")
        ]
        got = Recorder(client.send_request(ResponseCreate(model="m", input=calls, previous_response_id=parent))).wait()
        assert isinstance(got.error, InvalidRequestError)

    def test_scenario_35_client_refused_while_its_connection_is_full(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        parent = self.call(client, server)
        gate = server.gate()
        server.on("hold", ["text", Hold(gate)])
        busy = [Recorder(client.send_request(ask("hold"))) for _ in range(16)]
        server.wait_until(lambda: len(server.requests) == 17)
        got = Recorder(client.send_request(ask("no output", previous_response_id=parent))).wait()
        assert isinstance(got.error, InvalidRequestError)
        gate.open()
        for one in busy:
            one.wait()

    def test_scenario_35_client_a_fork_must_answer_too(self, server: ResponsesServer, client: ResponsesClient) -> None:
        parent = self.call(client, server, store=False)
        got = Recorder(client.send_request(ask("fork", store=False, previous_response_id=parent), stream_id="x")).wait()
        assert isinstance(got.error, InvalidRequestError)

    def test_scenario_35_client_a_reference_may_be_an_output(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        """Only the server knows which item the reference names."""
        parent = self.call(client, server)
        request = ResponseCreate(model="m", input=[ItemReference(id="fco_1")], previous_response_id=parent)
        got = Recorder(client.send_request(request)).wait()
        assert len(server.requests) == 2
        assert got.completions == 1

    def test_scenario_35_client_after_a_lost_connection_the_server_decides(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        """The client knows the unanswered calls of responses that its lanes hold, and of no others."""
        parent = self.call(client, server)
        lose_connections(server, client)
        got = Recorder(client.send_request(ask("no output", previous_response_id=parent))).wait()
        assert got.types == ["error"]
        assert len(server.requests) == 2

    def test_scenario_35_client_calls_that_need_no_answer(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        """Calls that are cut short, have no id, or are answered in the same response."""
        output = [
            {"type": "function_call", "name": "cut", "call_id": "call_1", "arguments": "", "status": "incomplete"},
            {"type": "function_call", "name": "nameless", "arguments": ""},
            {"type": "function_call", "name": "done", "call_id": "call_2", "arguments": ""},
            {"type": "function_call_output", "call_id": "call_2", "output": "x"},
        ]
        server.on(
            "first",
            lambda request: Raw(
                [
                    {"type": f"response.{kind}", "stream_id": request.stream_id, "response": {"id": "r1", **more}}
                    for kind, more in (("created", {}), ("completed", {"output": output}))
                ]
            ),
        )
        parent = first_response_id(client)
        assert parent == "r1"
        Recorder(client.send_request(ask("second", previous_response_id=parent))).wait()
        assert len(server.requests) == 2

    def test_answered_calls_need_no_second_answer(self, server: ResponsesServer, client: ResponsesClient) -> None:
        parent = self.call(client, server, store=False)
        both = [function_result("call_a", "1"), function_result("call_b", "2")]
        request = ResponseCreate(model="m", input=both, previous_response_id=parent, store=False)
        parent = response_id(Recorder(client.send_request(request)).wait())
        got = Recorder(client.send_request(ask("third", store=False, previous_response_id=parent))).wait()
        assert got.types[-1] == "response.completed"
