"""Continuations through the client: the lane that holds a response, and what is lost with it."""

from __future__ import annotations

import asyncio

import pytest
import reactivex
from reactivex import Observable
from reactivex import operators as ops

from rxresponses import PoolOptions, PreviousResponseLostError, QueueTimeoutError, Response, ResponsesClient
from rxresponses import operators as rops
from rxresponses.testing import Close, DropStreamIds, Failure, Fault, Hold, Inject, Raw, ResponsesServer

from ..support.clients import (
    WITH_LANES,
    ask,
    input_counts,
    inputs,
    response_id,
    run,
    states_of,
    until_state,
    without_pings,
)
from ..support.conversations import HISTORY, first_response_id, lose_connections
from ..support.recorder import AsyncRecorder, Recorder
from ..support.virtual_time import VirtualTimeLoop, run_in_virtual_time


class TestAffinity:
    def test_a_continuation_goes_where_its_parent_is(self, server: ResponsesServer, client: ResponsesClient) -> None:
        gate = server.gate()
        server.on("hold", ["text", Hold(gate)])
        busy = [Recorder(client.send_request(ask("hold"))) for _ in range(16)]
        server.wait_until(lambda: len(server.requests) == 16)
        parent = first_response_id(client, store=False)
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
        """No response is stored, so each turn must find the connection and lane of its parent."""

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
        assert set(input_counts(server).values()) == {1}

    def test_a_continuation_waits_for_the_end_of_its_parent(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
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

    def test_the_parent_fails_while_its_continuation_waits(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        gate = server.gate()
        server.on("hold", ["text", Hold(gate), Failure("invalid_prompt", after=2)])
        parent = response_id(Recorder(client.send_request(ask("hold", store=False))))
        after = Recorder(client.send_request(ask("after", store=False, previous_response_id=parent)))
        gate.open()
        assert isinstance(after.wait().error, PreviousResponseLostError)
        assert inputs(server) == ["hold"]

    def test_the_parent_is_lost_while_its_continuations_wait(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        server.on("hold", ["text", Hold()])
        parent = response_id(Recorder(client.send_request(ask("hold", store=False))))
        after = [
            Recorder(client.send_request(ask("after", previous_response_id=parent))),
            Recorder(client.send_request(ask("after", previous_response_id=parent), history=HISTORY)),
        ]
        until_state(states_of(client), lambda state: state.queued == 2)
        server.drop()
        assert isinstance(after[0].wait().error, PreviousResponseLostError)
        assert after[1].wait().types[-1] == "response.completed"
        assert len(server.requests) == 2

    def test_a_stored_parent_is_continued_on_any_connection(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        parent = first_response_id(client)
        lose_connections(server, client)
        got = Recorder(client.send_request(ask("second", previous_response_id=parent))).wait()
        assert got.types[-1] == "response.completed"
        assert server.requests[1]["previous_response_id"] == parent
        assert server.accepted == 2

    def test_a_stored_parent_does_not_bind_to_a_full_connection(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        parent = first_response_id(client)
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

    def test_an_unstored_parent_binds_to_a_full_connection(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        parent = first_response_id(client, store=False)
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

    def test_queue_timeout_bounds_the_wait_for_a_parent(self, server: ResponsesServer) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            gate = server.gate()
            server.on("hold", ["text", Hold(gate)])
            async with ResponsesClient(server.url, options=without_pings(queue_timeout=5.0)) as client:
                running = AsyncRecorder(client.send_request(ask("hold")))
                parent = response_id(await running.until_count(1))
                after = AsyncRecorder(client.send_request(ask("after", previous_response_id=parent)))
                await loop.advance(5.0)
                assert isinstance(after.error, QueueTimeoutError)
                gate.open()
                await running.until_end()

        run_in_virtual_time(main)

    def test_an_id_that_the_client_has_never_seen(self, server: ResponsesServer, client: ResponsesClient) -> None:
        """Another client may have stored the response.  Only the server can tell."""
        with ResponsesClient(server.url) as other:
            stored = first_response_id(other)
        assert Recorder(client.send_request(ask(previous_response_id=stored))).wait().types[-1] == "response.completed"
        unknown = Recorder(client.send_request(ask(previous_response_id="resp_unknown"))).wait()
        assert unknown.types == ["error"]
        assert unknown.values[0].code == "previous_response_not_found"  # type: ignore[attr-defined]

    def test_an_old_connection_keeps_its_conversation_until_max_age(self, server: ResponsesServer) -> None:
        """It takes no new conversations.  The conversations that it holds go on there until `max_age`."""

        async def main(loop: VirtualTimeLoop) -> None:
            pool = PoolOptions(max_age=100.0, age_jitter=0.0)
            async with ResponsesClient(server.url, options=without_pings(), pool=pool) as client:
                gate = server.gate()
                server.on("hold", ["text", Hold(gate)])
                running = AsyncRecorder(client.send_request(ask("hold", store=False)))
                parent = response_id(await running.until_count(2))
                after = AsyncRecorder(client.send_request(ask("after", store=False, previous_response_id=parent)))
                await loop.advance(96.0)
                states = AsyncRecorder(client.state)
                await states.until(lambda: states.values[-1].draining == 1)
                gate.open()
                assert (await after.until_end()).types[-1] == "response.completed"
                assert states.values[-1].draining == 1
                await loop.advance(4.0)
                await server.until(lambda: server.connections == 1)
                assert [one.connection for one in server.exchanges] == [1, 1]
                lost = AsyncRecorder(client.send_request(ask(store=False, previous_response_id=response_id(after))))
                assert isinstance((await lost.until_end()).error, PreviousResponseLostError)

        run_in_virtual_time(main)


class TestLostParents:
    def test_scenario_32_client_the_stale_id_is_never_sent(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        parent = first_response_id(client, store=False)
        lose_connections(server, client)
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
        client = ResponsesClient(server.url, options=WITH_LANES)
        ids: list[str] = []

        async def begin() -> None:
            got = await AsyncRecorder(client.send_request(ask("first", store=False))).until_end()
            ids.append(response_id(got))

        async def go_on() -> None:
            request = ask("second", store=False, previous_response_id=ids[0])
            lost = await AsyncRecorder(client.send_request(request)).until_end()
            assert isinstance(lost.error, PreviousResponseLostError)
            replayed = await AsyncRecorder(client.send_request(request, history=HISTORY)).until_end()
            assert replayed.types[-1] == "response.completed"
            client.close()
            await client.wait_closed()

        asyncio.run(begin())  # the program ends without closing the client
        run(go_on())
        assert len(server.requests) == 2

    def test_scenario_32_client_the_parent_was_continued_before(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        """The server keeps only the latest response of each lane."""
        parent = first_response_id(client, store=False)
        request = client.send_request(ask("second", store=False, previous_response_id=parent))
        assert Recorder(request).wait().completions == 1
        assert isinstance(Recorder(request).wait().error, PreviousResponseLostError)
        assert len(server.requests) == 2

    @pytest.mark.parametrize("code", ["invalid_prompt", "server_error"])
    def test_scenario_33_client_a_failed_continuation_evicts_its_parent(
        self, server: ResponsesServer, client: ResponsesClient, code: str
    ) -> None:
        parent = first_response_id(client, store=False)
        server.fault(Fault(Failure(code, after=0), match="fail"))
        failed = Recorder(client.send_request(ask("fail", store=False, previous_response_id=parent))).wait()
        assert failed.types == ["error"]  # it is not sent again, because the failure has evicted its parent
        lost = Recorder(client.send_request(ask("after", store=False, previous_response_id=parent))).wait()
        assert isinstance(lost.error, PreviousResponseLostError)
        assert inputs(server) == ["first", "fail"]

    def test_scenario_33_client_a_failed_fork_does_not_evict_its_parent(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
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
        parent = first_response_id(client)
        server.fault(Fault(Failure("server_error", after=0), match="second", times=2))
        got = Recorder(client.send_request(ask("second", previous_response_id=parent))).wait()
        assert got.types[-1] == "response.completed"
        assert input_counts(server) == {"first": 1, "second": 3}

    def test_scenario_34_client_the_lane_of_the_parent_waits_for_the_fork(
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

    def test_scenario_34_client_a_disposed_fork_releases_the_lane_of_the_parent(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        parent = response_id(Recorder(client.send_request(ask("hold", store=False), stream_id="main")).wait())
        gate = server.gate()
        server.on("busy", ["text", Hold(gate)])
        busy = [Recorder(client.send_request(ask("busy"))) for _ in range(16)]
        server.wait_until(lambda: len(server.requests) == 17)
        fork = Recorder(client.send_request(ask("fork", store=False, previous_response_id=parent), stream_id="fork"))
        after = Recorder(client.send_request(ask("after", store=False, previous_response_id=parent), stream_id="main"))
        until_state(states_of(client), lambda state: state.queued == 2)
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

    def test_responses_without_ids(self, server: ResponsesServer, client: ResponsesClient) -> None:
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

    def test_an_event_of_an_unknown_lane_is_unrouted(self, server: ResponsesServer, client: ResponsesClient) -> None:
        unrouted = Recorder(client.unrouted)
        server.reply(["text", Inject({"type": "response.output_text.delta", "delta": "x", "stream_id": "nobody"})])
        assert Recorder(client.send_request(ask())).wait().text == "text"
        assert unrouted.wait_for(1).values[0].stream_id == "nobody"

    def test_a_warm_up_can_be_continued(self, server: ResponsesServer, client: ResponsesClient) -> None:
        parent = first_response_id(client, generate=False, store=False)
        got = Recorder(client.send_request(ask("second", store=False, previous_response_id=parent))).wait()
        assert got.types[-1] == "response.completed"

    def test_a_continuation_that_is_lost_loses_its_parent_too(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        server.on("cut", ["text", Close(1011, after=4)])
        parent = first_response_id(client, store=False)
        cut = Recorder(client.send_request(ask("cut", store=False, previous_response_id=parent))).wait()
        assert cut.error.delivery == "started"
        again = client.send_request(ask("cut", store=False, previous_response_id=parent))
        assert isinstance(Recorder(again).wait().error, PreviousResponseLostError)
        assert input_counts(server) == {"first": 1, "cut": 1}
