"""The client against the embedded server: connections on demand, lanes, routes, servers without lanes, and `state`."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import pytest
import reactivex as rx
from reactivex import operators as ops

from rxresponses import (
    ClientState,
    ConfigurationError,
    ConnectionOptions,
    InvalidRequestError,
    PoolOptions,
    PreviousResponseLostError,
    ResponseCompletedEvent,
    ResponseCreate,
    ResponsesClient,
)
from rxresponses import operators as rops
from rxresponses.testing import DropStreamIds, Fault, Hold, RefuseConcurrent, RefuseUpgrade, ResponsesServer

from ..support.clients import WITH_LANES, ask, fast_retries, inputs, late_retries, response_id, states_of, until_state
from ..support.recorder import Recorder


@pytest.fixture
def client(default_client: ResponsesClient) -> ResponsesClient:
    """In this file the client has the default pool."""
    return default_client


@pytest.fixture
def echoing(server: ResponsesServer) -> ResponsesServer:
    """A server that answers with the input."""
    server.on("", lambda request: request.text)
    return server


def lanes_used(server: ResponsesServer) -> dict[int, set[str | None]]:
    """Return the names that each connection was given."""
    used: dict[int, set[str | None]] = defaultdict(set)
    for exchange in server.exchanges:
        used[exchange.connection].add(exchange.message.get("stream_id"))
    return used


class TestOnDemand:
    def test_no_connection_before_the_first_subscription(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        source = client.send_request(ask())
        assert server.upgrades == []
        got = Recorder(source).wait()
        assert isinstance(got.values[-1], ResponseCompletedEvent)
        assert (server.accepted, len(server.requests)) == (1, 1)

    def test_requests_in_a_row_use_one_connection(self, server: ResponsesServer, client: ResponsesClient) -> None:
        for _ in range(40):
            assert Recorder(client.send_request(ask())).wait().completions == 1
        assert server.accepted == 1
        # The latest response of a lane is held by the server: a lane is used again only when all are.
        assert lanes_used(server) == {1: {f"lane-{number}" for number in range(1, 33)}}

    def test_the_17th_request_opens_another_connection(self, server: ResponsesServer, client: ResponsesClient) -> None:
        gate = server.gate()
        server.on("", ["text", Hold(gate)])
        got = [Recorder(client.send_request(ask(str(number)))) for number in range(33)]
        server.wait_until(lambda: len(server.requests) == 33)
        used = lanes_used(server)
        assert sorted(map(len, used.values())) == [1, 16, 16]
        assert all(None not in names for names in used.values())
        gate.open()
        assert all(one.wait().completions == 1 for one in got)

    def test_requests_that_no_connection_can_take_wait(self, server: ResponsesServer) -> None:
        gate = server.gate()
        server.on("", ["text", Hold(gate)])
        options = PoolOptions(max_connections=2)
        with ResponsesClient(server.url, options=WITH_LANES, pool=options) as client:
            states = states_of(client)
            got = [Recorder(client.send_request(ask(str(number)))) for number in range(50)]
            until_state(states, lambda state: (state.open, state.active, state.queued) == (2, 32, 18))
            server.wait_until(lambda: len(server.requests) == 32)
            gate.open()
            assert all(one.wait().completions == 1 for one in got)
        assert server.accepted == 2
        assert sorted(map(int, inputs(server)[32:])) == list(range(32, 50))

    def test_max_active_bounds_the_requests_of_a_connection(self, server: ResponsesServer) -> None:
        gate = server.gate()
        server.on("", ["text", Hold(gate)])
        options = ConnectionOptions(lanes=True, max_active=3)
        with ResponsesClient(server.url, options=options, pool=PoolOptions(max_connections=1)) as client:
            got = [Recorder(client.send_request(ask(str(number)))) for number in range(7)]
            until_state(states_of(client), lambda state: (state.active, state.queued) == (3, 4))
            gate.open()
            assert all(one.wait().completions == 1 for one in got)

    def test_a_burst_at_an_unknown_server_opens_few_connections(self, echoing: ResponsesServer) -> None:
        """If the server has lanes, one connection suffices for all of these requests."""
        with ResponsesClient(echoing.url) as client:
            states = states_of(client)
            got = [Recorder(client.send_request(ask(str(number)))) for number in range(60)]
            assert [one.wait().text for one in got] == [str(number) for number in range(60)]
            assert max(state.open + state.connecting for state in states.values) <= 4
        assert len(echoing.requests) == 60

    def test_each_request_gets_its_own_answer(self, echoing: ResponsesServer, client: ResponsesClient) -> None:
        texts = [f"question {number}" for number in range(200)]
        sources = [client.send_request(ask(text)).pipe(rops.collect_text()) for text in texts]
        answers = rx.merge(*sources).pipe(ops.to_list()).run()
        assert sorted(answers) == sorted(texts)
        assert len(echoing.requests) == 200


class TestLanes:
    def test_a_named_lane_runs_in_order(self, server: ResponsesServer, client: ResponsesClient) -> None:
        gate = server.gate()
        server.on("first", ["text", Hold(gate)])
        lane = client.lane("conversation")
        first = Recorder(lane.send_request(ask("first"))).wait_for(2)
        second = Recorder(client.send_request(ask("second"), stream_id="conversation"))
        third = Recorder(lane.send_request(ask("third")))
        other = Recorder(client.send_request(ask("other"), stream_id="other")).wait()
        assert other.completions == 1
        assert inputs(server) == ["first", "other"]
        gate.open()
        assert all(one.wait().completions == 1 for one in (first, second, third))
        assert inputs(server) == ["first", "other", "second", "third"]

    def test_a_lane_goes_on_after_disposed_requests(self, server: ResponsesServer, client: ResponsesClient) -> None:
        gate = server.gate()
        server.on("hold", ["text", Hold(gate)])
        running = Recorder(client.send_request(ask("hold"), stream_id="a")).wait_for(2)
        waiting = [Recorder(client.send_request(ask(text), stream_id="a")) for text in "xyz"]
        waiting[0].subscription.dispose()
        waiting[1].subscription.dispose()
        running.subscription.dispose()
        gate.open()
        assert waiting[2].wait().completions == 1
        assert inputs(server) == ["hold", "z"]

    def test_scenario_15_client_33_named_conversations_in_a_row(self, server: ResponsesServer) -> None:
        with ResponsesClient(server.url, options=WITH_LANES, pool=PoolOptions(max_connections=1)) as client:
            for number in range(40):
                lane = client.lane(f"conversation-{number}")
                parent = response_id(Recorder(lane.send_request(ask())).wait())
                assert Recorder(lane.send_request(ask(previous_response_id=parent))).wait().completions == 1
        assert server.accepted == 1
        assert {exchange.outcome for exchange in server.exchanges} == {"completed"}
        assert lanes_used(server) == {1: {f"lane-{number}" for number in range(1, 33)}}

    def test_scenario_15_client_a_hundred_lanes_at_once_with_two_connections(self, server: ResponsesServer) -> None:
        server.on("", "text")
        with ResponsesClient(server.url, options=WITH_LANES, pool=PoolOptions(max_connections=2)) as client:
            for _ in range(3):
                got = [Recorder(client.send_request(ask(), stream_id=f"name-{number}")) for number in range(100)]
                assert [one.wait().text for one in got] == ["text"] * 100
        assert server.accepted == 2
        assert all(len(names) <= 32 for names in lanes_used(server).values())
        assert {exchange.outcome for exchange in server.exchanges} == {"completed"}

    def test_scenario_15_client_a_server_that_allows_fewer_lanes(self) -> None:
        """The server allows three lanes, not 32.  Its refusal tells the client, and no request fails."""
        with ResponsesServer(max_lanes=3) as server:
            gate = server.gate()
            server.on("hold", ["text", Hold(gate)])
            with ResponsesClient(server.url, options=WITH_LANES, pool=fast_retries()) as client:
                got = [Recorder(client.send_request(ask("hold"))) for _ in range(8)]
                server.wait_until(lambda: sum(one.started is not None for one in server.exchanges) == 8)
                gate.open()
                for _ in range(5):
                    got.append(Recorder(client.send_request(ask())).wait())
                assert all(one.wait().completions == 1 for one in got)
                assert all(one.types[-1] == "response.completed" for one in got)
            assert server.accepted == 3

    def test_the_33rd_unstored_response_takes_the_lane_of_the_oldest(self, server: ResponsesServer) -> None:
        with ResponsesClient(server.url, options=WITH_LANES, pool=PoolOptions(max_connections=1)) as client:
            ids = [response_id(Recorder(client.send_request(ask(store=False))).wait()) for _ in range(33)]
            lost = Recorder(client.send_request(ask(store=False, previous_response_id=ids[0]))).wait()
            assert isinstance(lost.error, PreviousResponseLostError)
            assert lost.error.previous_response_id == ids[0]
            assert Recorder(client.send_request(ask(store=False, previous_response_id=ids[1]))).wait().completions == 1
        assert server.accepted == 1
        assert len(server.requests) == 34


class TestServersWithoutLanes:
    def test_a_server_that_drops_stream_ids_is_recognised(self, echoing: ResponsesServer) -> None:
        echoing.fault(Fault(DropStreamIds()))
        with ResponsesClient(echoing.url) as client:
            got = [Recorder(client.send_request(ask(str(number)))) for number in range(30)]
            assert [one.wait().text for one in got] == [str(number) for number in range(30)]
            # One name at most: the client sends one until it knows that the server drops it.
            assert all(len(names) == 1 for names in lanes_used(echoing).values())
        assert echoing.accepted <= 8
        assert len(echoing.requests) == 30

    def test_a_server_that_refuses_a_second_request(self, server: ResponsesServer) -> None:
        """The server echoes `stream_id`, yet it runs one request at a time."""
        gate = server.gate()
        server.on("hold", ["held", Hold(gate)])
        server.on("", lambda request: request.text)
        server.fault(Fault(RefuseConcurrent()))
        with ResponsesClient(server.url, pool=fast_retries(max_connections=3)) as client:
            Recorder(client.send_request(ask("first"))).wait()
            holding = [Recorder(client.send_request(ask("hold"))) for _ in range(3)]
            server.wait_until(lambda: sum(one.started is not None for one in server.exchanges) == 4)
            got = [Recorder(client.send_request(ask(str(number)))) for number in range(20)]
            gate.open()
            assert all(one.wait().text == "held" for one in holding)
            assert [one.wait().text for one in got] == [str(number) for number in range(20)]
            assert all("error" not in one.types for one in (*holding, *got))
            refused = [one for one in server.exchanges if one.outcome == "refused"]
            assert len(refused) <= 2  # the client learns from the first refusal
            assert server.accepted == 3

    def test_the_option_says_that_there_are_no_lanes(self, echoing: ResponsesServer) -> None:
        with ResponsesClient(
            echoing.url, options=ConnectionOptions(lanes=False), pool=PoolOptions(max_connections=2)
        ) as client:
            states = states_of(client)
            got = [Recorder(client.send_request(ask(str(number)), stream_id=f"n{number}")) for number in range(10)]
            assert [one.wait().text for one in got] == [str(number) for number in range(10)]
            assert max(state.active for state in states.values) == 2
        assert {request.get("stream_id") for request in echoing.requests} == {None}

    def test_a_conversation_keeps_its_connection(self, echoing: ResponsesServer) -> None:
        echoing.fault(Fault(DropStreamIds()))
        with ResponsesClient(echoing.url, pool=PoolOptions(max_connections=4)) as client:

            def ask_all(turn: int, parents: list[str | None]) -> list[str | None]:
                got = []
                for name, parent in zip("abcd", parents, strict=True):
                    request = ask(f"{name}{turn}", store=False, previous_response_id=parent)
                    got.append(Recorder(client.send_request(request, stream_id=name)))
                    if parent is None:
                        got[-1].wait()  # otherwise another conversation could take the connection of this one
                assert [one.wait().text for one in got] == [f"{name}{turn}" for name in "abcd"]
                return [response_id(one) for one in got]

            parents: list[str | None] = [None] * 4
            for turn in range(4):
                parents = ask_all(turn, parents)
        assert echoing.accepted == 4


class TestRouting:
    def test_a_connection_serves_one_model(self, echoing: ResponsesServer) -> None:
        with ResponsesClient(echoing.url, options=WITH_LANES) as client:
            for _ in range(2):
                got = [
                    Recorder(client.send_request(ResponseCreate(model=model, input=model)))
                    for model in ("small", "large", "small", "very/large")
                ]
                assert [one.wait().text for one in got] == ["small", "large", "small", "very/large"]
        assert sorted(upgrade.path for upgrade in echoing.upgrades) == [
            "/v1/responses?model=large",
            "/v1/responses?model=small",
            "/v1/responses?model=very%2Flarge",
        ]
        paths = {upgrade.connection: upgrade.path for upgrade in echoing.upgrades}
        for exchange in echoing.exchanges:
            assert paths[exchange.connection].endswith(exchange.message["model"].replace("/", "%2F"))

    def test_a_model_in_the_url_serves_all_models(self, echoing: ResponsesServer) -> None:
        with ResponsesClient(f"{echoing.url}/responses?model=fixed", options=WITH_LANES) as client:
            client.prewarm(1)
            for model in ("small", "large"):
                Recorder(client.send_request(ResponseCreate(model=model, input="hi"))).wait()
        assert [upgrade.path for upgrade in echoing.upgrades] == ["/v1/responses?model=fixed"]

    def test_another_model_replaces_an_idle_connection(self, server: ResponsesServer) -> None:
        with ResponsesClient(server.url, options=WITH_LANES, pool=PoolOptions(max_connections=1)) as client:
            for model in ("small", "large", "small"):
                got = Recorder(client.send_request(ResponseCreate(model=model, input="hi"))).wait()
                assert got.completions == 1
        assert server.accepted == 3

    def test_a_continuation_with_another_model(self, server: ResponsesServer, client: ResponsesClient) -> None:
        stored = response_id(Recorder(client.send_request(ask())).wait())
        other = ResponseCreate(model="other", input="go on", previous_response_id=stored)
        assert Recorder(client.send_request(other)).wait().completions == 1
        assert [exchange.connection for exchange in server.exchanges] == [1, 2]
        kept = response_id(Recorder(client.send_request(ask(store=False))).wait())
        lost = Recorder(client.send_request(ResponseCreate(model="other", input="hi", previous_response_id=kept)))
        assert isinstance(lost.wait().error, PreviousResponseLostError)
        assert Recorder(client.send_request(ask(previous_response_id=kept))).wait().completions == 1

    def test_a_continuation_without_a_model_goes_to_its_parent(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        parent = response_id(Recorder(client.send_request(ask(store=False))).wait())
        got = Recorder(
            client.send_request(ResponseCreate(prompt={"id": "p"}, previous_response_id=parent, store=False))
        )
        assert got.wait().completions == 1
        assert server.accepted == 1

    def test_a_refused_model_does_not_delay_another_model(self, server: ResponsesServer) -> None:
        server.fault(Fault(RefuseUpgrade(503), connection=1))
        server.fault(Fault(RefuseUpgrade(404), connection=3))
        with ResponsesClient(server.url, options=WITH_LANES, pool=late_retries()) as client:
            states = states_of(client)
            down = Recorder(client.send_request(ResponseCreate(model="down", input="hi")))
            until_state(states, lambda state: state.reconnect_in is not None)
            assert Recorder(client.send_request(ask())).wait().completions == 1
            unknown = Recorder(client.send_request(ResponseCreate(model="unknown", input="hi"))).wait()
            assert unknown.error.status == 404
            assert Recorder(client.send_request(ResponseCreate(model="new", input="hi"))).wait().completions == 1
            assert not down.ended
            assert [upgrade.status for upgrade in server.upgrades] == [503, 101, 404, 101]


class TestState:
    def test_the_latest_state_first_and_the_closed_state_last(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        states = states_of(client)
        assert states.values == [ClientState()]
        gate = server.gate()
        server.on("", ["text", Hold(gate)])
        got = Recorder(client.send_request(ask())).wait_for(2)
        until_state(states, lambda state: state == ClientState(open=1, active=1))
        assert states.values[1] == ClientState(connecting=1, queued=1)
        assert states_of(client).wait_for(1).values == [ClientState(open=1, active=1)]
        gate.open()
        got.wait()
        until_state(states, lambda state: state == ClientState(open=1))
        client.close()
        assert states.wait().values[-1] == ClientState(closed=True)
        assert states_of(client).wait().values == [ClientState(closed=True)]
        assert len(states.threads) <= 2  # the subscribing thread delivers the first state, the loop the others

    def test_no_state_twice_in_a_row(self, server: ResponsesServer, client: ResponsesClient) -> None:
        states = states_of(client)
        for _ in range(5):
            Recorder(client.send_request(ask())).wait()
        client.close()
        states.wait()
        assert all(one != other for one, other in zip(states.values, states.values[1:], strict=False))

    def test_an_observer_of_the_state_that_raises(
        self, server: ResponsesServer, client: ResponsesClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(state: ClientState) -> None:
            if state.active:
                raise RuntimeError("observer failed")

        client.state.subscribe(fail)
        states = states_of(client)
        assert Recorder(client.send_request(ask())).wait().completions == 1
        until_state(states, lambda state: state == ClientState(open=1))
        assert [record.exc_info is not None for record in caplog.records] == [True]


class TestArguments:
    def test_an_invalid_request_raises_at_once(self, server: ResponsesServer, client: ResponsesClient) -> None:
        for request in ({"input": "hi"}, {"model": "m", "input": 1}, 5):
            with pytest.raises(InvalidRequestError):
                client.send_request(request)  # type: ignore[arg-type]
        with pytest.raises(InvalidRequestError, match="lane"):
            client.send_request(ask(stream_id="a"), stream_id="b")
        with pytest.raises(InvalidRequestError):
            client.lane("no name")
        with pytest.raises(InvalidRequestError):
            client.steer("r", [])
        assert server.upgrades == []

    @pytest.mark.parametrize("history", ["text", 5, {"role": "user"}])
    def test_an_invalid_history_raises_at_once(self, client: ResponsesClient, history: Any) -> None:
        with pytest.raises(InvalidRequestError, match="history"):
            client.send_request(ask(previous_response_id="r"), history=history)

    def test_a_request_over_max_request_size(self, server: ResponsesServer) -> None:
        with ResponsesClient(server.url, options=ConnectionOptions(max_request_size=1000)) as client:
            with pytest.raises(InvalidRequestError, match="max_request_size"):
                client.send_request(ask("x" * 1000))
            assert server.upgrades == []

    @pytest.mark.parametrize("timeout", [-1, True, "5", math.nan, math.inf])
    def test_an_invalid_timeout_raises_at_once(self, client: ResponsesClient, timeout: Any) -> None:
        with pytest.raises(ConfigurationError, match="timeout"):
            client.drain(timeout)
        assert Recorder(client.send_request(ask())).wait().completions == 1

    def test_repr(self, server: ResponsesServer, client: ResponsesClient) -> None:
        assert repr(client) == f"<ResponsesClient {server.url.replace('http', 'ws')}/responses>"
