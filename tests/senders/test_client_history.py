"""The option `history`: what a client sends instead of a response that is lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from rxresponses import (
    InvalidRequestError,
    ObserverExitError,
    PreviousResponseLostError,
    ResponseCreate,
    ResponsesClient,
    user_message,
)
from rxresponses import operators as rops
from rxresponses.testing import Failure, Fault, Reasoning, ResponsesServer

from ..support.clients import WITH_LANES, ask, inputs, run
from ..support.conversations import HISTORY, HISTORY_AS_SENT, first_response_id, lose_connections
from ..support.recorder import AsyncRecorder, Recorder


class TestReplays:
    """The history is sent once, only if the parent is lost, and never after output."""

    def test_scenario_31_client_the_server_does_not_know_the_parent(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        events = Recorder(client.events)
        got = Recorder(client.send_request(ask("second", previous_response_id="resp_gone"), history=HISTORY)).wait()
        assert got.types[-1] == "response.completed"
        assert "error" not in got.types
        assert "error" in events.types
        one, two = server.requests
        assert one["previous_response_id"] == "resp_gone"
        assert "previous_response_id" not in two
        assert two["input"] == [*HISTORY_AS_SENT, {"type": "message", "role": "user", "content": "second"}]
        # The client remembers the loss: the next request does not try the id again.
        Recorder(client.send_request(ask("third", previous_response_id="resp_gone"), history=HISTORY)).wait()
        assert len(server.requests) == 3
        lost = Recorder(client.send_request(ask("fourth", previous_response_id="resp_gone"))).wait()
        assert isinstance(lost.error, PreviousResponseLostError)
        assert len(server.requests) == 3

    def test_scenario_31_client_without_history_the_error_is_delivered(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        got = Recorder(client.send_request(ask("second", previous_response_id="resp_gone"))).wait()
        assert got.types == ["error"]
        assert len(server.requests) == 1

    def test_scenario_31_client_the_history_is_sent_once(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        """The server gives the same error for the history."""
        server.fault(Fault(Failure("previous_response_not_found", after=0, status=400)))
        got = Recorder(client.send_request(ask("second", previous_response_id="resp_gone"), history=HISTORY)).wait()
        assert got.types == ["error"]
        assert len(server.requests) == 2

    def test_scenario_31_client_no_history_after_output(self, server: ResponsesServer, client: ResponsesClient) -> None:
        parent = first_response_id(client)
        server.reply(["text", Failure("previous_response_not_found", after=4, status=400)])
        got = Recorder(client.send_request(ask("second", previous_response_id=parent), history=HISTORY)).wait()
        assert (got.types[0], got.types[-1]) == ("response.created", "error")
        assert len(server.requests) == 2
        # The error shows that the parent is lost.
        lost = Recorder(client.send_request(ask("third", previous_response_id=parent))).wait()
        assert isinstance(lost.error, PreviousResponseLostError)

    def test_scenario_31_client_after_a_reconnect_the_old_id_is_not_tried(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        parent = first_response_id(client, store=False)
        lose_connections(server, client)
        request = ask("second", store=False, previous_response_id=parent, instructions="be brief")
        assert Recorder(client.send_request(request, history=HISTORY)).wait().types[-1] == "response.completed"
        second = server.requests[1]
        assert (second["store"], second["instructions"]) == (False, "be brief")
        assert "previous_response_id" not in second
        assert len(second["input"]) == 3

    def test_scenario_33_client_a_refused_continuation_is_sent_again_with_its_history(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        """The refusal has evicted the parent, so the next try must not name it."""
        parent = first_response_id(client, store=False)
        server.fault(Fault(Failure("server_error", after=0), request=2))
        request = ask("second", store=False, previous_response_id=parent)
        got = Recorder(client.send_request(request, history=HISTORY)).wait()
        assert got.types[-1] == "response.completed"
        assert "previous_response_id" not in server.requests[2]
        assert server.requests[2]["input"] == [
            *HISTORY_AS_SENT,
            {"type": "message", "role": "user", "content": "second"},
        ]

    def test_a_parent_that_is_held_needs_no_history(self, server: ResponsesServer, client: ResponsesClient) -> None:
        parent = first_response_id(client, store=False)

        def history() -> Sequence[Any]:
            raise AssertionError

        request = ask("second", store=False, previous_response_id=parent)
        assert Recorder(client.send_request(request, history=history)).wait().types[-1] == "response.completed"
        assert server.requests[1]["previous_response_id"] == parent

    @pytest.mark.parametrize(
        ("own", "sent"),
        [(None, []), ("text", ["text"]), ([user_message("item")], ["item"])],
        ids=["none", "text", "items"],
    )
    def test_a_function_returns_the_history(
        self, server: ResponsesServer, client: ResponsesClient, own: Any, sent: list[str]
    ) -> None:
        calls = []

        def history() -> Sequence[Any]:
            calls.append(1)
            return HISTORY

        request = ResponseCreate(model="m", input=own, previous_response_id="resp_gone", store=False)
        source = client.send_request(request, history=history)
        assert calls == []
        for number in (1, 2):
            assert Recorder(source).wait().types[-1] == "response.completed"
            assert len(calls) == number
        items = server.requests[0]["input"]
        assert items[:2] == HISTORY_AS_SENT
        assert [item["content"] for item in items[2:]] == sent

    @pytest.mark.parametrize("history", [HISTORY, lambda: HISTORY], ids=["list", "function"])
    def test_a_request_without_a_parent_sends_its_history_at_once(
        self, server: ResponsesServer, client: ResponsesClient, history: Any
    ) -> None:
        got = Recorder(client.send_request(ask("second", store=False), history=history)).wait()
        assert got.completions == 1
        assert server.requests[0]["input"] == [
            *HISTORY_AS_SENT,
            {"type": "message", "role": "user", "content": "second"},
        ]

    @pytest.mark.parametrize("history", [[], ()])
    def test_an_empty_history(self, server: ResponsesServer, client: ResponsesClient, history: Any) -> None:
        assert Recorder(client.send_request(ask("first"), history=history)).wait().completions == 1
        assert inputs(server) == ["first"]

    def test_a_request_of_a_named_lane(self, server: ResponsesServer, client: ResponsesClient) -> None:
        request = ask("second", previous_response_id="resp_gone", store=False)
        got = Recorder(client.lane("a").send_request(request, history=HISTORY)).wait()
        assert got.completions == 1
        assert server.requests[0]["input"][:2] == HISTORY_AS_SENT

    def test_a_coroutine_function_raises_at_once(self, client: ResponsesClient) -> None:
        async def history() -> Sequence[Any]:
            return HISTORY

        with pytest.raises(InvalidRequestError, match="a coroutine function") as caught:
            client.send_request(ask("second"), history=history)  # type: ignore[arg-type]
        assert caught.value.field == "history"

    def test_a_function_that_raises(self, server: ResponsesServer, client: ResponsesClient) -> None:
        error = RuntimeError("no history today")

        def history() -> Sequence[Any]:
            raise error

        request = ask("second", previous_response_id="resp_gone", store=False)
        got = Recorder(client.send_request(request, history=history, stream_id="a")).wait()
        assert got.error is error
        assert Recorder(client.send_request(ask("next"), stream_id="a")).wait().completions == 1
        assert inputs(server) == ["next"]

    @pytest.mark.parametrize("answer", [None, "text", 5, iter(HISTORY)])
    def test_a_function_that_returns_no_list(
        self, server: ResponsesServer, client: ResponsesClient, answer: Any
    ) -> None:
        request = ask("second", previous_response_id="resp_gone", store=False)
        got = Recorder(client.send_request(request, history=lambda: answer)).wait()
        assert isinstance(got.error, InvalidRequestError)
        assert got.error.field == "history"

    @pytest.mark.parametrize("items", [["text"], [{"content": float("nan")}]])
    def test_items_that_are_no_input_items(self, server: ResponsesServer, client: ResponsesClient, items: Any) -> None:
        request = ask("second", previous_response_id="resp_gone", store=False)
        got = Recorder(client.send_request(request, history=items)).wait()
        assert isinstance(got.error, InvalidRequestError)
        assert server.requests == []

    def test_later_changes_of_the_list_are_not_sent(self, server: ResponsesServer, client: ResponsesClient) -> None:
        items: list[Any] = list(HISTORY)
        source = client.send_request(ask("second", previous_response_id="resp_gone", store=False), history=items)
        items.append(user_message("of a later turn"))
        assert Recorder(source).wait().completions == 1
        assert len(server.requests[0]["input"]) == 3

    def test_a_disposed_request_does_not_call_the_function(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        async def main() -> None:
            def history() -> Sequence[Any]:
                raise AssertionError

            async with ResponsesClient(server.url, options=WITH_LANES) as client:
                await client.send_request(ask("first"))
                disposing = client.send_request(ask("gone", previous_response_id="x", store=False))
                request = ask("second", previous_response_id="y", store=False)
                disposing.subscribe(on_error=lambda error: later.subscription.dispose())
                later = Recorder(client.send_request(request, history=history))
                assert (await AsyncRecorder(client.send_request(ask("last"))).until_end()).completions == 1
                assert not later.ended

        run(main())

    def test_a_function_that_closes_the_client(self, server: ResponsesServer) -> None:
        async def main() -> None:
            client = ResponsesClient(server.url, options=WITH_LANES)
            await client.send_request(ask("first"))

            def history() -> Sequence[Any]:
                client.close()
                return HISTORY

            got = AsyncRecorder(
                client.send_request(ask("second", previous_response_id="x", store=False), history=history)
            )
            assert type((await got.until_end()).error).__name__ == "SocketClosedError"
            await client.wait_closed()

        run(main())
        assert inputs(server) == ["first"]

    def test_scenario_57_a_history_function_that_raises_SystemExit(
        self, server: ResponsesServer, client: ResponsesClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The background thread reports it, and serves other requests."""

        def history() -> Sequence[Any]:
            raise SystemExit(3)

        request = ask("second", previous_response_id="resp_gone", store=False)
        got = Recorder(client.send_request(request, history=history)).wait()
        assert got.error.delivery == "not_sent"
        assert isinstance(got.error, ObserverExitError)
        assert Recorder(client.send_request(ask("next"))).wait().completions == 1
        assert [type(record.exc_info[1]) for record in caplog.records if record.exc_info] == [SystemExit]


@pytest.mark.parametrize("store", [{}, {"store": False}], ids=["stored", "unstored"])
@pytest.mark.parametrize("encrypted", [False, True])
def test_scenario_73_reasoning_goes_back_only_if_the_server_can_read_it(
    server: ResponsesServer, client: ResponsesClient, store: dict[str, Any], encrypted: bool
) -> None:
    """Whether the request that continues the unstored response is to be stored does not matter."""
    server.on("^first", [Reasoning("Hm."), "Hello"])
    include = ["reasoning.encrypted_content"] if encrypted else []
    first = client.send_request(ask("first", store=False, include=include)).pipe(rops.final_response()).run()
    assert [item.type for item in first.output] == ["reasoning", "message"]
    lose_connections(server, client)
    again = ask("second", previous_response_id=first.id, **store)
    Recorder(client.send_request(again, history=[user_message("first"), *first.output])).wait()
    types = [item["type"] for item in server.requests[-1]["input"]]
    assert types == ["message", *["reasoning"] * encrypted, "message", "message"]


def test_scenario_73_reasoning_in_a_history_without_a_parent(server: ResponsesServer, client: ResponsesClient) -> None:
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": []}
    for store in (None, False):
        Recorder(client.send_request(ask("hi", store=store), history=[reasoning])).wait()
    stored, unstored = ([item["type"] for item in request["input"]] for request in server.requests)
    assert (stored, unstored) == (["reasoning", "message"], ["message"])
