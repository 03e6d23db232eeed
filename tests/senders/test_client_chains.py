"""Conversations through the client: the lane that holds a response, what is lost with it, and what replaces it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
import reactivex
from reactivex import Observable
from reactivex import operators as ops

from rxresponses import (
    InvalidRequestError,
    ItemReference,
    PoolOptions,
    PreviousResponseLostError,
    QueueTimeoutError,
    Response,
    ResponseCreate,
    ResponsesClient,
    function_result,
    user_message,
)
from rxresponses import operators as rops
from rxresponses.testing import Close, DropStreamIds, Failure, Fault, FunctionCall, Hold, Inject, Raw, ResponsesServer
from rxresponses.wire.requests import InputItem

from ..support.clients import LANES, arrivals, ask, inputs, response_id, run, states_of, until
from ..support.recorder import Recorder
from .test_socket_clocks import MovedLoop, Watch, quiet
from .test_socket_clocks import run as run_moved

HISTORY: list[InputItem] = [user_message("before"), {"type": "message", "role": "assistant", "content": "said before"}]
REPLAYED = [
    {"type": "message", "role": "user", "content": "before"},
    {"type": "message", "role": "assistant", "content": "said before"},
]


def first(client: ResponsesClient, **fields: Any) -> str:
    """Begin a conversation, and return the id of its response."""
    return response_id(Recorder(client.send_request(ask("first", **fields))).wait())


def drop(server: ResponsesServer, client: ResponsesClient) -> None:
    """Lose all connections, and see that the client knows."""
    states = states_of(client)
    server.drop()
    until(states, lambda state: state.open == 0)


class TestAffinity:
    def test_a_continuation_goes_where_its_parent_is(self, server: ResponsesServer, client: ResponsesClient) -> None:
        gate = server.gate()
        server.on("hold", ["text", Hold(gate)])
        busy = [Recorder(client.send_request(ask("hold"))) for _ in range(16)]
        server.wait_until(lambda: len(server.requests) == 16)
        parent = first(client, store=False)
        gate.open()
        for one in busy:
            one.wait()
        for _ in range(5):
            request = ask("next", store=False, previous_response_id=parent)
            parent = response_id(Recorder(client.send_request(request)).wait())
        first_exchange, *others = server.exchanges[16:]
        assert first_exchange.connection == 2
        assert {one.connection for one in others} == {2}
        assert len({one.message["stream_id"] for one in (first_exchange, *others)}) == 1

    def test_many_conversations_side_by_side(self, server: ResponsesServer, client: ResponsesClient) -> None:
        """Not one of them is stored, so each turn must find its own connection and lane."""

        def talk(number: int, turn: int = 0, parent: str | None = None) -> Observable[Response]:
            def go_on(response: Response) -> Observable[Response]:
                return reactivex.just(response) if turn == 4 else talk(number, turn + 1, response.id)

            request = ask(f"{number}.{turn}", store=False, previous_response_id=parent)
            return client.send_request(request).pipe(rops.final_response(), ops.flat_map(go_on))

        server.on("", lambda request: f"{len(request.history)} {request.text}")
        ends = [Recorder(talk(number)) for number in range(60)]
        for number, one in enumerate(ends):
            assert one.wait().errors == []
            assert one.values[-1].output_text == f"8 {number}.4"
        assert set(arrivals(server).values()) == {1}

    def test_sent_before_its_parent_has_ended(self, server: ResponsesServer, client: ResponsesClient) -> None:
        gate = server.gate()
        server.on("hold", ["text", Hold(gate)])
        running = Recorder(client.send_request(ask("hold", store=False)))
        parent = response_id(running)
        after = Recorder(client.send_request(ask("after", store=False, previous_response_id=parent)))
        other = Recorder(client.send_request(ask("other"))).wait()
        assert other.completions == 1
        assert inputs(server) == ["hold", "other"]
        gate.open()
        assert after.wait().types[-1] == "response.completed"
        assert running.completions == 1

    def test_its_parent_fails_first(self, server: ResponsesServer, client: ResponsesClient) -> None:
        gate = server.gate()
        server.on("hold", ["text", Hold(gate), Failure("invalid_prompt", after=2)])
        parent = response_id(Recorder(client.send_request(ask("hold", store=False))))
        after = Recorder(client.send_request(ask("after", store=False, previous_response_id=parent)))
        gate.open()
        assert isinstance(after.wait().error, PreviousResponseLostError)
        assert inputs(server) == ["hold"]

    def test_its_parent_is_lost_in_mid_response(self, server: ResponsesServer, client: ResponsesClient) -> None:
        server.on("hold", ["text", Hold()])
        parent = response_id(Recorder(client.send_request(ask("hold", store=False))))
        after = [
            Recorder(client.send_request(ask("after", previous_response_id=parent))),
            Recorder(client.send_request(ask("after", previous_response_id=parent), history=HISTORY)),
        ]
        until(states_of(client), lambda state: state.queued == 2)
        server.drop()
        assert isinstance(after[0].wait().error, PreviousResponseLostError)
        assert after[1].wait().types[-1] == "response.completed"
        assert len(server.requests) == 2

    def test_a_stored_one_goes_on_anywhere(self, server: ResponsesServer, client: ResponsesClient) -> None:
        parent = first(client)
        drop(server, client)
        got = Recorder(client.send_request(ask("second", previous_response_id=parent))).wait()
        assert got.types[-1] == "response.completed"
        assert server.requests[1]["previous_response_id"] == parent
        assert server.accepted == 2

    def test_a_stored_one_does_not_wait_for_a_full_connection(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        parent = first(client)
        gate = server.gate()
        server.on("hold", ["text", Hold(gate)])
        busy = [Recorder(client.send_request(ask("hold"))) for _ in range(16)]
        server.wait_until(lambda: len(server.requests) == 17)
        got = Recorder(client.send_request(ask("second", previous_response_id=parent))).wait()
        assert got.types[-1] == "response.completed"
        assert server.exchanges[-1].connection == 2
        gate.open()
        for one in busy:
            one.wait()

    def test_one_that_is_not_stored_does(self, server: ResponsesServer, client: ResponsesClient) -> None:
        parent = first(client, store=False)
        gate = server.gate()
        server.on("hold", ["text", Hold(gate)])
        busy = [Recorder(client.send_request(ask("hold"))) for _ in range(16)]
        server.wait_until(lambda: len(server.requests) == 17)
        got = Recorder(client.send_request(ask("second", previous_response_id=parent)))
        assert Recorder(client.send_request(ask("other"))).wait().completions == 1
        gate.open()
        assert got.wait().types[-1] == "response.completed"
        assert server.exchanges[-1].connection == 1
        for one in busy:
            one.wait()

    def test_it_waits_no_longer_than_it_may(self, server: ResponsesServer) -> None:
        async def main(loop: MovedLoop) -> None:
            gate = server.gate()
            server.on("hold", ["text", Hold(gate)])
            async with ResponsesClient(server.url, options=quiet(queue_timeout=5.0)) as client:
                running = Watch(client.send_request(ask("hold")))
                parent = response_id(await running.count(1))
                after = Watch(client.send_request(ask("after", previous_response_id=parent)))
                await loop.move(5.0)
                assert isinstance(after.error, QueueTimeoutError)
                gate.open()
                await running.end()

        run_moved(main)

    def test_an_id_from_elsewhere(self, server: ResponsesServer, client: ResponsesClient) -> None:
        """Stored by somebody else: the server knows it, or not, and says so."""
        with ResponsesClient(server.url) as other:
            stored = first(other)
        assert Recorder(client.send_request(ask(previous_response_id=stored))).wait().types[-1] == "response.completed"
        unknown = Recorder(client.send_request(ask(previous_response_id="resp_unknown"))).wait()
        assert unknown.types == ["error"]
        assert unknown.values[0].code == "previous_response_not_found"  # type: ignore[attr-defined]

    def test_an_old_connection_keeps_its_conversation_while_it_can(self, server: ResponsesServer) -> None:
        """It takes no new ones, but what it holds goes on there, until its time is over."""

        async def main(loop: MovedLoop) -> None:
            pool = PoolOptions(max_age=100.0, age_jitter=0.0)
            async with ResponsesClient(server.url, options=quiet(), pool=pool) as client:
                gate = server.gate()
                server.on("hold", ["text", Hold(gate)])
                running = Watch(client.send_request(ask("hold", store=False)))
                parent = response_id(await running.count(2))
                after = Watch(client.send_request(ask("after", store=False, previous_response_id=parent)))
                await loop.move(96.0)
                states = Watch(client.state)
                await states.until(lambda: states.values[-1].draining == 1)
                gate.open()
                assert (await after.end()).types[-1] == "response.completed"
                assert states.values[-1].draining == 1
                await loop.move(4.0)
                await server.until(lambda: server.connections == 1)
                assert [one.connection for one in server.exchanges] == [1, 1]
                lost = Watch(client.send_request(ask(store=False, previous_response_id=response_id(after))))
                assert isinstance((await lost.end()).error, PreviousResponseLostError)

        run_moved(main)


class TestLostParents:
    def test_scenario_32_client_the_stale_id_is_never_sent(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        parent = first(client, store=False)
        drop(server, client)
        for fields in ({"store": False}, {}):
            got = Recorder(
                client.send_request(ask("second", previous_response_id=parent, **fields), stream_id="a")
            ).wait()
            assert isinstance(got.error, PreviousResponseLostError)
            assert (got.error.delivery, got.error.previous_response_id) == ("not_sent", parent)
            assert got.error.stream_id == "a"
            assert "history" in str(got.error)
        assert inputs(server) == ["first"]

    def test_scenario_32_client_in_a_second_program(self, server: ResponsesServer) -> None:
        client = ResponsesClient(server.url, options=LANES)
        ids: list[str] = []

        async def begin() -> None:
            got = await Watch(client.send_request(ask("first", store=False))).end()
            ids.append(response_id(got))

        async def go_on() -> None:
            request = ask("second", store=False, previous_response_id=ids[0])
            lost = await Watch(client.send_request(request)).end()
            assert isinstance(lost.error, PreviousResponseLostError)
            replayed = await Watch(client.send_request(request, history=HISTORY)).end()
            assert replayed.types[-1] == "response.completed"
            client.close()
            await client.wait_closed()

        asyncio.run(begin())  # it ends with the client open
        run(go_on())
        assert len(server.requests) == 2

    def test_scenario_32_client_continued_already(self, server: ResponsesServer, client: ResponsesClient) -> None:
        """The lane has moved on: the server keeps the latest response of each only."""
        parent = first(client, store=False)
        request = client.send_request(ask("second", store=False, previous_response_id=parent))
        assert Recorder(request).wait().completions == 1
        assert isinstance(Recorder(request).wait().error, PreviousResponseLostError)
        assert len(server.requests) == 2

    @pytest.mark.parametrize("code", ["invalid_prompt", "server_error"])
    def test_scenario_33_client_a_failed_continuation_costs_the_parent(
        self, server: ResponsesServer, client: ResponsesClient, code: str
    ) -> None:
        parent = first(client, store=False)
        server.fault(Fault(Failure(code, after=0), match="fail"))
        failed = Recorder(client.send_request(ask("fail", store=False, previous_response_id=parent))).wait()
        assert failed.types == ["error"]  # not sent again either: the server has forgotten its parent
        lost = Recorder(client.send_request(ask("after", store=False, previous_response_id=parent))).wait()
        assert isinstance(lost.error, PreviousResponseLostError)
        assert inputs(server) == ["first", "fail"]

    def test_scenario_33_client_a_failed_fork_keeps_it(self, server: ResponsesServer, client: ResponsesClient) -> None:
        parent = response_id(Recorder(client.send_request(ask("first", store=False), stream_id="main")).wait())
        server.fault(Fault(Failure("invalid_prompt", after=0), match="fork"))
        fork = Recorder(
            client.send_request(ask("fork", store=False, previous_response_id=parent), stream_id="fork")
        ).wait()
        assert fork.types == ["error"]
        after = Recorder(
            client.send_request(ask("after", store=False, previous_response_id=parent), stream_id="main")
        ).wait()
        assert after.types[-1] == "response.completed"
        one, two, three = server.exchanges
        assert one.message["stream_id"] == three.message["stream_id"] != two.message["stream_id"]
        assert (one.connection, two.connection, three.connection) == (1, 1, 1)

    def test_scenario_33_client_a_stored_parent_survives(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        parent = first(client)
        server.fault(Fault(Failure("server_error", after=0), match="second", times=2))
        got = Recorder(client.send_request(ask("second", previous_response_id=parent))).wait()
        assert got.types[-1] == "response.completed"
        assert arrivals(server) == {"first": 1, "second": 3}

    def test_scenario_33_client_refused_for_now_with_the_history_at_hand(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        """The refusal has cost it its parent, so the next try needs none."""
        parent = first(client, store=False)
        server.fault(Fault(Failure("server_error", after=0), request=2))
        request = ask("second", store=False, previous_response_id=parent)
        got = Recorder(client.send_request(request, history=HISTORY)).wait()
        assert got.types[-1] == "response.completed"
        assert "previous_response_id" not in server.requests[2]
        assert server.requests[2]["input"] == [*REPLAYED, {"type": "message", "role": "user", "content": "second"}]

    def test_scenario_34_client_the_source_waits_for_its_fork(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        parent = response_id(Recorder(client.send_request(ask("first", store=False), stream_id="main")).wait())
        gate = server.gate()
        server.on("fork", ["forked", Hold(gate, after=1)])
        events = Recorder(client.events)
        fork = Recorder(client.send_request(ask("fork", store=False, previous_response_id=parent), stream_id="fork"))
        after = Recorder(client.send_request(ask("after", store=False, previous_response_id=parent), stream_id="main"))
        fork.wait_for(1)
        other = Recorder(client.send_request(ask("other"))).wait()
        assert other.completions == 1
        assert inputs(server) == ["first", "fork", "other"]
        gate.open()
        assert fork.wait().text == "forked"
        assert after.wait().types[-1] == "response.completed"
        assert inputs(server)[-1] == "after"
        seen = [(event.type, event.stream_id) for event in events.values]
        main, forked = (server.requests[number]["stream_id"] for number in (0, 1))
        assert seen.index(("response.in_progress", forked)) < seen.index(("response.created", main))

    def test_scenario_34_client_a_fork_that_is_disposed_lets_the_source_go(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        parent = response_id(Recorder(client.send_request(ask("hold", store=False), stream_id="main")).wait())
        gate = server.gate()
        server.on("busy", ["text", Hold(gate)])
        busy = [Recorder(client.send_request(ask("busy"))) for _ in range(16)]
        server.wait_until(lambda: len(server.requests) == 17)
        fork = Recorder(client.send_request(ask("fork", store=False, previous_response_id=parent), stream_id="fork"))
        after = Recorder(client.send_request(ask("after", store=False, previous_response_id=parent), stream_id="main"))
        until(states_of(client), lambda state: state.queued == 2)
        fork.subscription.dispose()
        gate.open()
        assert after.wait().types[-1] == "response.completed"
        assert "fork" not in inputs(server)
        for one in busy:
            one.wait()

    def test_scenario_34_client_on_a_server_without_lanes_there_is_no_fork(self, server: ResponsesServer) -> None:
        server.fault(Fault(DropStreamIds()))
        with ResponsesClient(server.url) as client:
            parent = response_id(Recorder(client.send_request(ask("first", store=False), stream_id="main")).wait())
            got = [
                Recorder(client.send_request(ask(name, store=False, previous_response_id=parent), stream_id=name))
                for name in ("fork", "main")
            ]
            assert got[0].wait().types[-1] == "response.completed"
            assert isinstance(got[1].wait().error, PreviousResponseLostError)


class TestReplays:
    """`history`: one replay, only where the parent is gone, and before any output."""

    def test_scenario_31_client_the_server_has_forgotten(
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
        assert two["input"] == [*REPLAYED, {"type": "message", "role": "user", "content": "second"}]
        # And it is remembered: the next one does not ask again.
        Recorder(client.send_request(ask("third", previous_response_id="resp_gone"), history=HISTORY)).wait()
        assert len(server.requests) == 3
        lost = Recorder(client.send_request(ask("fourth", previous_response_id="resp_gone"))).wait()
        assert isinstance(lost.error, PreviousResponseLostError)
        assert len(server.requests) == 3

    def test_scenario_31_client_without_the_history_it_is_told(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        got = Recorder(client.send_request(ask("second", previous_response_id="resp_gone"))).wait()
        assert got.types == ["error"]
        assert len(server.requests) == 1

    def test_scenario_31_client_only_once(self, server: ResponsesServer, client: ResponsesClient) -> None:
        """A server that says so whatever it is sent."""
        server.fault(Fault(Failure("previous_response_not_found", after=0, status=400)))
        got = Recorder(client.send_request(ask("second", previous_response_id="resp_gone"), history=HISTORY)).wait()
        assert got.types == ["error"]
        assert len(server.requests) == 2

    def test_scenario_31_client_not_after_output(self, server: ResponsesServer, client: ResponsesClient) -> None:
        parent = first(client)
        server.reply(["text", Failure("previous_response_not_found", after=4, status=400)])
        got = Recorder(client.send_request(ask("second", previous_response_id=parent), history=HISTORY)).wait()
        assert (got.types[0], got.types[-1]) == ("response.created", "error")
        assert len(server.requests) == 2
        # What it said counts all the same.
        lost = Recorder(client.send_request(ask("third", previous_response_id=parent))).wait()
        assert isinstance(lost.error, PreviousResponseLostError)

    def test_scenario_31_client_after_a_reconnect_without_asking(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        parent = first(client, store=False)
        drop(server, client)
        request = ask("second", store=False, previous_response_id=parent, instructions="be brief")
        assert Recorder(client.send_request(request, history=HISTORY)).wait().types[-1] == "response.completed"
        second = server.requests[1]
        assert (second["store"], second["instructions"]) == (False, "be brief")
        assert "previous_response_id" not in second
        assert len(second["input"]) == 3

    def test_the_parent_is_there_so_the_history_is_not_needed(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        parent = first(client, store=False)

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
    def test_a_function_is_asked_for_it(
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
        assert items[:2] == REPLAYED
        assert [item["content"] for item in items[2:]] == sent

    @pytest.mark.parametrize("history", [HISTORY, lambda: HISTORY], ids=["list", "function"])
    def test_at_once_where_nothing_is_continued(
        self, server: ResponsesServer, client: ResponsesClient, history: Any
    ) -> None:
        got = Recorder(client.send_request(ask("second", store=False), history=history)).wait()
        assert got.completions == 1
        assert server.requests[0]["input"] == [*REPLAYED, {"type": "message", "role": "user", "content": "second"}]

    @pytest.mark.parametrize("history", [[], ()])
    def test_nothing_so_far(self, server: ResponsesServer, client: ResponsesClient, history: Any) -> None:
        assert Recorder(client.send_request(ask("first"), history=history)).wait().completions == 1
        assert inputs(server) == ["first"]

    def test_on_a_lane(self, server: ResponsesServer, client: ResponsesClient) -> None:
        request = ask("second", previous_response_id="resp_gone", store=False)
        got = Recorder(client.lane("a").send_request(request, history=HISTORY)).wait()
        assert got.completions == 1
        assert server.requests[0]["input"][:2] == REPLAYED

    def test_a_coroutine_function_is_refused(self, client: ResponsesClient) -> None:
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
    def test_items_that_are_none(self, server: ResponsesServer, client: ResponsesClient, items: Any) -> None:
        request = ask("second", previous_response_id="resp_gone", store=False)
        got = Recorder(client.send_request(request, history=items)).wait()
        assert isinstance(got.error, InvalidRequestError)
        assert server.requests == []

    def test_what_becomes_of_the_list_later_is_not_sent(self, server: ResponsesServer, client: ResponsesClient) -> None:
        items: list[Any] = list(HISTORY)
        source = client.send_request(ask("second", previous_response_id="resp_gone", store=False), history=items)
        items.append(user_message("of a later turn"))
        assert Recorder(source).wait().completions == 1
        assert len(server.requests[0]["input"]) == 3

    def test_one_that_is_disposed_asks_for_no_history(self, server: ResponsesServer, client: ResponsesClient) -> None:
        async def main() -> None:
            def history() -> Sequence[Any]:
                raise AssertionError

            async with ResponsesClient(server.url, options=LANES) as client:
                await client.send_request(ask("first"))
                disposing = client.send_request(ask("gone", previous_response_id="x", store=False))
                request = ask("second", previous_response_id="y", store=False)
                disposing.subscribe(on_error=lambda error: later.subscription.dispose())
                later = Recorder(client.send_request(request, history=history))
                assert (await Watch(client.send_request(ask("last"))).end()).completions == 1
                assert not later.ended

        run(main())

    def test_a_function_that_closes_the_client(self, server: ResponsesServer) -> None:
        async def main() -> None:
            client = ResponsesClient(server.url, options=LANES)
            await client.send_request(ask("first"))

            def history() -> Sequence[Any]:
                client.close()
                return HISTORY

            got = Watch(client.send_request(ask("second", previous_response_id="x", store=False), history=history))
            assert type((await got.end()).error).__name__ == "SocketClosedError"
            await client.wait_closed()

        run(main())
        assert inputs(server) == ["first"]

    def test_a_function_that_ends_the_program(
        self, server: ResponsesServer, client: ResponsesClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        """On the background thread that is a report; nobody else has to pay for it."""

        def history() -> Sequence[Any]:
            raise SystemExit(3)

        request = ask("second", previous_response_id="resp_gone", store=False)
        got = Recorder(client.send_request(request, history=history)).wait()
        assert got.error.delivery == "not_sent"
        assert Recorder(client.send_request(ask("next"))).wait().completions == 1
        assert [type(record.exc_info[1]) for record in caplog.records if record.exc_info] == [SystemExit]


class TestOpenCalls:
    def call(self, client: ResponsesClient, server: ResponsesServer, **fields: Any) -> str:
        server.reply([FunctionCall("a", call_id="call_a"), FunctionCall("b", call_id="call_b")])
        return first(client, **fields)

    @pytest.mark.parametrize("store", [True, False])
    def test_scenario_35_client_left_unanswered(
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

    def test_scenario_35_client_where_its_connection_is_full(
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

    def test_scenario_35_client_what_cannot_be_seen_is_for_the_server(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        """The reference may be to an output."""
        parent = self.call(client, server)
        request = ResponseCreate(model="m", input=[ItemReference(id="fco_1")], previous_response_id=parent)
        got = Recorder(client.send_request(request)).wait()
        assert len(server.requests) == 2
        assert got.completions == 1

    def test_scenario_35_client_of_a_lost_connection_the_server_judges(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        """The client knows the open calls of what it holds, not of what was stored once."""
        parent = self.call(client, server)
        drop(server, client)
        got = Recorder(client.send_request(ask("no output", previous_response_id=parent))).wait()
        assert got.types == ["error"]
        assert len(server.requests) == 2

    def test_scenario_35_client_calls_that_need_no_answer(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        """Cut short, without an id, or answered in the same response."""
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
        parent = first(client)
        assert parent == "r1"
        Recorder(client.send_request(ask("second", previous_response_id=parent))).wait()
        assert len(server.requests) == 2

    def test_calls_that_are_answered_do_not_come_back(self, server: ResponsesServer, client: ResponsesClient) -> None:
        parent = self.call(client, server, store=False)
        both = [function_result("call_a", "1"), function_result("call_b", "2")]
        request = ResponseCreate(model="m", input=both, previous_response_id=parent, store=False)
        parent = response_id(Recorder(client.send_request(request)).wait())
        got = Recorder(client.send_request(ask("third", store=False, previous_response_id=parent))).wait()
        assert got.types[-1] == "response.completed"


class TestServersThatDiffer:
    def test_ids_that_change_from_event_to_event(self, server: ResponsesServer, client: ResponsesClient) -> None:
        server.on(
            "first",
            lambda request: Raw(
                [
                    {"type": f"response.{kind}", "stream_id": request.stream_id, "response": {"id": name}}
                    for kind, name in (("created", "r1"), ("in_progress", "r2"), ("completed", "r3"))
                ]
            ),
        )
        server.on("second", "text")
        got = Recorder(client.send_request(ask("first", store=False))).wait()
        assert got.completions == 1
        Recorder(client.send_request(ask("second", store=False, previous_response_id="r3"))).wait()
        assert server.requests[1]["stream_id"] == server.requests[0]["stream_id"]

    def test_no_ids_at_all(self, server: ResponsesServer, client: ResponsesClient) -> None:
        server.on(
            "first",
            lambda request: Raw(
                [
                    {"type": "response.output_text.delta", "delta": "x", "stream_id": request.stream_id},
                    {"type": "response.completed", "response": {"status": "completed"}, "stream_id": request.stream_id},
                ]
            ),
        )
        assert Recorder(client.send_request(ask("first", store=False))).wait().completions == 1
        assert Recorder(client.send_request(ask("other", store=False))).wait().completions == 1

    def test_a_stray_event_belongs_to_nobody(self, server: ResponsesServer, client: ResponsesClient) -> None:
        unrouted = Recorder(client.unrouted)
        server.reply(["text", Inject({"type": "response.output_text.delta", "delta": "x", "stream_id": "nobody"})])
        assert Recorder(client.send_request(ask())).wait().text == "text"
        assert unrouted.wait_for(1).values[0].stream_id == "nobody"

    def test_a_warm_up_can_be_continued(self, server: ResponsesServer, client: ResponsesClient) -> None:
        parent = first(client, generate=False, store=False)
        got = Recorder(client.send_request(ask("second", store=False, previous_response_id=parent))).wait()
        assert got.types[-1] == "response.completed"

    def test_a_lost_one_in_the_middle_of_others(self, server: ResponsesServer, client: ResponsesClient) -> None:
        server.on("cut", ["text", Close(1011, after=4)])
        parent = first(client, store=False)
        cut = Recorder(client.send_request(ask("cut", store=False, previous_response_id=parent))).wait()
        assert cut.error.delivery == "started"
        again = client.send_request(ask("cut", store=False, previous_response_id=parent))
        assert isinstance(Recorder(again).wait().error, PreviousResponseLostError)
        assert arrivals(server) == {"first": 1, "cut": 1}
