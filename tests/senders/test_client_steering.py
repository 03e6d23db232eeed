"""Steering through the client: to the connection that runs the response, and what becomes of its lane."""

from __future__ import annotations

import asyncio

import pytest

from rxresponses import (
    ConnectionLostError,
    ConnectionOptions,
    InvalidRequestError,
    PoolOptions,
    PreviousResponseLostError,
    ResponseCreate,
    ResponsesClient,
    ResponseSteerPendingEvent,
    ServerEvent,
    SocketClosedError,
    SteerTimeoutError,
    function_result,
)
from rxresponses.testing import (
    Close,
    DropStreamIds,
    Failure,
    Fault,
    FunctionCall,
    Hold,
    IgnoreSteer,
    ResponsesServer,
    Text,
)

from ..support.clients import (
    CLOSE_ON_DISPOSE,
    ask,
    fast_retries,
    inputs,
    no_thread_left,
    response_id,
    resubscribe_on_every_error,
    run,
    states_of,
    until_state,
    without_pings,
)
from ..support.recorder import WAIT, AsyncRecorder, Recorder
from ..support.steering import HeldResponse, steers_received, successor_id
from ..support.virtual_time import VirtualTimeLoop, run_in_virtual_time


def test_scenario_37_client_the_steer_goes_to_the_connection_of_its_target(
    server: ResponsesServer, client: ResponsesClient
) -> None:
    server.on("hold", ["text", Hold()])
    for _ in range(16):
        Recorder(client.send_request(ask("hold"))).wait_for(1)
    target = HeldResponse(server, client)
    steer = Recorder(client.steer(target.id, "shorter")).wait_for(1)
    assert steer.types == ["response.steer.accepted"]
    target.gate.open()
    assert target.events.wait().types[-1] == "response.incomplete"
    assert steer.wait().types[:3] == ["response.steer.accepted", "response.created", "response.in_progress"]
    assert (steer.types[-1], steer.completions) == ("response.completed", 1)
    assert [(one.connection, one.message["input"]) for one in steers_received(server)] == [(2, "shorter")]
    assert inputs(server) == ["hold"] * 16 + ["hi"]


def test_scenario_37_client_two_steers_share_the_successor(server: ResponsesServer, client: ResponsesClient) -> None:
    target = HeldResponse(server, client, store=False)
    both = [Recorder(client.steer(target.id, text)).wait_for(1) for text in ("first", "second")]
    target.gate.open()
    ids = {successor_id(one.wait()) for one in both}
    assert len(ids) == 1
    (parent,) = ids
    until_state(states_of(client), lambda state: state.active == 0)
    after = Recorder(client.send_request(ask("after", store=False, previous_response_id=parent))).wait()
    assert after.types[-1] == "response.completed"


def test_scenario_37_client_no_connection_runs_the_target(server: ResponsesServer, client: ResponsesClient) -> None:
    got = Recorder(client.steer("resp_unknown", "shorter")).wait()
    assert isinstance(got.error, PreviousResponseLostError)
    assert (got.error.previous_response_id, got.error.delivery) == ("resp_unknown", "not_sent")
    assert "cannot be steered" in str(got.error)
    assert server.upgrades == []


def test_resubscribing_on_every_error_does_not_block_the_loop(server: ResponsesServer) -> None:
    async def main() -> None:
        async with ResponsesClient(server.url) as client:
            await resubscribe_on_every_error(client.steer("resp_unknown", "shorter"))
            assert (await AsyncRecorder(client.send_request(ask())).until_end()).completions == 1

    run(main())


def test_the_server_refuses_a_steer_of_an_ended_response(server: ResponsesServer, client: ResponsesClient) -> None:
    parent = response_id(Recorder(client.send_request(ask(store=False))).wait())
    got = Recorder(client.steer(parent, "too late")).wait()
    assert got.types == ["response.steer.failed"]
    # The lane still holds the response.
    after = Recorder(client.send_request(ask(store=False, previous_response_id=parent))).wait()
    assert after.types[-1] == "response.completed"


def test_invalid_input_raises_at_once(server: ResponsesServer, client: ResponsesClient) -> None:
    for wrong in ("", [], [function_result("call", "1")]):
        with pytest.raises(InvalidRequestError):
            client.steer("r", wrong)


@pytest.mark.parametrize("store", [True, False])
def test_the_successor_can_be_continued(server: ResponsesServer, client: ResponsesClient, store: bool) -> None:
    server.on("story", lambda request: f"after {len(request.history)} items")
    target = HeldResponse(server, client, store=store)
    steer = Recorder(client.steer(target.id, "shorter")).wait_for(1)
    target.gate.open()
    parent = successor_id(steer.wait())
    after = Recorder(client.send_request(ask("story", store=store, previous_response_id=parent))).wait()
    assert after.text == "after 4 items"
    lanes = {request["stream_id"] for request in server.requests}
    assert len(lanes) == 1
    if not store:  # the lane holds only the latest response
        lost = Recorder(client.send_request(ask("story", store=False, previous_response_id=target.id))).wait()
        assert isinstance(lost.error, PreviousResponseLostError)


def test_a_running_successor_can_be_continued_and_steered(server: ResponsesServer, client: ResponsesClient) -> None:
    gate = server.gate()
    server.on("first", [Text(deltas=["x ", "y "]), Hold(gate, after=5)])
    target = HeldResponse(server, client, store=False)
    first = Recorder(client.steer(target.id, "first")).wait_for(1)
    target.gate.open()
    running = successor_id(first)
    first.wait(lambda: first.text == "x ")
    after = Recorder(client.send_request(ask("after", store=False, previous_response_id=running)))
    second = Recorder(client.steer(running, "second")).wait_for(1)
    assert second.types == ["response.steer.accepted"]
    gate.open()
    assert first.wait().types[-1] == "response.incomplete"
    assert second.wait().types[-1] == "response.completed"
    # The lane holds the successor by now, not the steered response.
    assert isinstance(after.wait().error, PreviousResponseLostError)
    last = Recorder(client.send_request(ask("last", store=False, previous_response_id=successor_id(second)))).wait()
    assert last.types[-1] == "response.completed"


def test_the_successor_is_waited_for(server: ResponsesServer, client: ResponsesClient) -> None:
    """A continuation waits for the end of its parent, also if the parent is a successor."""
    gate = server.gate()
    server.on("first", [Text(deltas=["x ", "y "]), Hold(gate, after=5)])
    target = HeldResponse(server, client)
    first = Recorder(client.steer(target.id, "first")).wait_for(1)
    target.gate.open()
    after = Recorder(client.send_request(ask("after", previous_response_id=successor_id(first))))
    assert Recorder(client.send_request(ask("other"))).wait().completions == 1
    assert "after" not in inputs(server)
    gate.open()
    assert after.wait().types[-1] == "response.completed"


@pytest.mark.parametrize("store", [True, False])
def test_the_successor_is_lost(server: ResponsesServer, client: ResponsesClient, store: bool) -> None:
    server.on("shorter", ["text", Close(1011, after=4)])
    target = HeldResponse(server, client, store=store)
    after: list[Recorder[ServerEvent]] = []

    def go_on(event: ServerEvent) -> None:
        if event.type == "response.created":
            parent = event.response.id  # type: ignore[attr-defined]
            after.append(Recorder(client.send_request(ask("after", previous_response_id=parent))))

    steer = Recorder(client.steer(target.id, "shorter"), go_on).wait_for(1)
    target.gate.open()
    assert isinstance(steer.wait().error, ConnectionLostError)
    assert (steer.error.delivery, steer.error.response_id) == ("started", successor_id(steer))
    after[0].wait()
    if store:  # the server may have stored it, and says that it has not
        assert after[0].types == ["error"]
    else:
        assert isinstance(after[0].error, PreviousResponseLostError)


def test_the_steer_waits_for_function_outputs(server: ResponsesServer, client: ResponsesClient) -> None:
    gate = server.gate()
    server.on("target", [FunctionCall("weather", {"city": "Oslo"}, call_id="c1"), Hold(gate, after=3)])
    events = Recorder(client.send_request(ask("target", store=False), stream_id="a")).wait_for(3)
    steer = Recorder(client.steer(response_id(events), "in Fahrenheit")).wait_for(1)
    gate.open()
    last = steer.wait().values[-1]
    assert isinstance(last, ResponseSteerPendingEvent)
    missing = Recorder(client.send_request(ask("?", store=False, previous_response_id=response_id(events)))).wait()
    assert isinstance(missing.error, InvalidRequestError)
    request = ResponseCreate(
        model="m",
        input=[function_result(stub, "42") for stub in last.required_input],
        previous_response_id=response_id(events),
        store=False,
    )
    assert Recorder(client.send_request(request)).wait().types[-1] == "response.completed"


def test_a_server_that_ignores_the_steer(server: ResponsesServer) -> None:
    server.fault(Fault(IgnoreSteer()))

    async def main(loop: VirtualTimeLoop) -> None:
        gate = server.gate()
        server.on("target", ["text", Hold(gate)])
        async with ResponsesClient(server.url, options=without_pings(steer_timeout=10.0)) as client:
            target = AsyncRecorder(client.send_request(ask("target", store=False)))
            parent = response_id(await target.until_count(2))
            after = AsyncRecorder(client.send_request(ask("after", store=False, previous_response_id=parent)))
            steer = AsyncRecorder(client.steer(parent, "shorter"))
            await server.until(lambda: len(steers_received(server)) == 1)
            await loop.advance(10.0)
            assert isinstance(steer.error, SteerTimeoutError)
            assert steer.error.delivery == "unknown"
            gate.open()
            assert (await target.until_end()).types[-1] == "response.completed"
            assert (await after.until_end()).types[-1] == "response.completed"

    run_in_virtual_time(main)


def test_a_connection_stays_for_the_successor(server: ResponsesServer) -> None:
    """The request has ended, and the successor has no request: the connection must not seem idle."""

    async def main(loop: VirtualTimeLoop) -> None:
        gates = [server.gate(), server.gate()]
        server.on("target", ["some words", Hold(gates[0], after=4)])
        server.on("shorter", ["text", Hold(gates[1], after=4)])
        pool = PoolOptions(close_idle_after=60.0, max_age=1000.0, age_jitter=0.0)
        async with ResponsesClient(server.url, options=without_pings(), pool=pool) as client:
            target = await AsyncRecorder(client.send_request(ask("target"))).until_count(4)
            steer = await AsyncRecorder(client.steer(response_id(target), "shorter")).until_count(1)
            gates[0].open()
            await target.until_end()
            await steer.until_count(5)
            await loop.advance(600.0)
            assert server.connections == 1
            await loop.advance(350.0)
            await server.until(
                lambda: server.connections == 2
            )  # the new connection is open, and the old one still works
            gates[1].open()
            assert (await steer.until_end()).types[-1] == "response.completed"
            await server.until(lambda: server.connections == 1)

    run_in_virtual_time(main)


class TestGivenUp:
    def test_before_it_was_sent(self, server: ResponsesServer, client: ResponsesClient) -> None:
        target = HeldResponse(server, client)

        async def main() -> None:
            """The client lives on another loop, so this disposes between subscription and submission."""
            Recorder(client.steer(target.id, "never")).subscription.dispose()

        asyncio.run(asyncio.wait_for(main(), WAIT))
        target.gate.open()
        assert target.events.wait().completions == 1
        assert len(steers_received(server)) <= 1

    def test_the_successor_of_a_disposed_steer_is_swallowed(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        target = HeldResponse(server, client, store=False)
        watcher = Recorder(client.events)
        steer = Recorder(client.steer(target.id, "shorter")).wait_for(1)
        steer.subscription.dispose()
        target.gate.open()
        watcher.wait(lambda: "response.completed" in watcher.types)
        assert steer.types == ["response.steer.accepted"]
        created = [event for event in watcher.values if event.type == "response.created"][-1]
        parent = created.response.id  # type: ignore[attr-defined]
        after = Recorder(client.send_request(ask(store=False, previous_response_id=parent))).wait()
        assert after.types[-1] == "response.completed"

    def test_close_on_dispose_stops_the_successor_only(self, server: ResponsesServer) -> None:
        gate = server.gate()
        server.on("shorter", ["text", Hold()])
        server.on("other", ["text", Hold(gate)])
        with no_thread_left(), ResponsesClient(server.url, options=CLOSE_ON_DISPOSE, pool=fast_retries()) as client:
            target = HeldResponse(server, client)
            steer = Recorder(client.steer(target.id, "shorter")).wait_for(1)
            target.gate.open()
            successor_id(steer)
            others = [Recorder(client.send_request(ask("other"))).wait_for(2) for _ in range(2)]
            steer.subscription.dispose()
            server.wait_until(lambda: server.connections == 2)
            gate.open()
            assert all(one.wait().completions == 1 for one in others)

    def test_an_observer_that_raises(
        self, server: ResponsesServer, client: ResponsesClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        for at in ("response.steer.accepted", "response.created"):
            target = HeldResponse(server, client, text=f"target of {at}", store=False)

            def fail(event: ServerEvent, at: str = at) -> None:
                if event.type == at:
                    raise LookupError("mine")

            watcher = Recorder(client.events)
            steer = Recorder(client.steer(target.id, "shorter"), fail).wait_for(1)
            target.gate.open()
            assert isinstance(steer.wait().error, LookupError)
            assert steer.types[-1] == at
            watcher.wait(lambda: "response.completed" in watcher.types)  # noqa: B023
            until_state(states_of(client), lambda state: state.active == 0)
            parent = next(event for event in watcher.values if event.type == "response.created")
            request = ask(store=False, previous_response_id=parent.response.id)  # type: ignore[attr-defined]
            assert Recorder(client.send_request(request)).wait().types[-1] == "response.completed"
        assert len(caplog.records) == 2

    def test_the_client_is_closed(self, server: ResponsesServer, client: ResponsesClient) -> None:
        target = HeldResponse(server, client)
        steer = Recorder(client.steer(target.id, "shorter")).wait_for(1)
        client.close()
        for got in (target.events, steer):
            assert isinstance(got.wait().error, SocketClosedError)
            assert got.error.delivery == "started"


class TestDrain:
    def test_the_successor_is_waited_for(self, server: ResponsesServer, client: ResponsesClient) -> None:
        gate = server.gate()
        server.on("shorter", ["text", Hold(gate)])
        target = HeldResponse(server, client)
        steer = Recorder(client.steer(target.id, "shorter")).wait_for(1)
        drained = Recorder(client.drain())
        late = Recorder(client.steer(target.id, "no longer")).wait()
        assert isinstance(late.error, SocketClosedError)
        target.gate.open()
        successor_id(steer)
        assert not drained.ended
        gate.open()
        assert steer.wait().types[-1] == "response.completed"
        assert drained.wait().values == [True]

    def test_the_successor_of_a_disposed_steer_is_not_waited_for(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        server.on("shorter", ["text", Hold()])
        target = HeldResponse(server, client)
        steer = Recorder(client.steer(target.id, "shorter")).wait_for(1)
        drained = Recorder(client.drain())
        target.gate.open()
        successor_id(steer)
        steer.subscription.dispose()
        assert drained.wait().values == [True]


@pytest.mark.parametrize(("after", "last_type"), [(0, "response.steer.failed"), (3, "error")])
def test_the_successor_fails(server: ResponsesServer, client: ResponsesClient, after: int, last_type: str) -> None:
    server.on("shorter", ["text", Failure("server_error", after=after)])
    target = HeldResponse(server, client, store=False)
    steer = Recorder(client.steer(target.id, "shorter")).wait_for(1)
    target.gate.open()
    assert steer.wait().types[-1] == last_type
    assert steer.completions == 1
    assert Recorder(client.send_request(ask("next"))).wait().types[-1] == "response.completed"


def test_a_server_without_lanes(server: ResponsesServer) -> None:
    server.fault(Fault(DropStreamIds()))
    with ResponsesClient(server.url, options=ConnectionOptions(), pool=PoolOptions(max_connections=1)) as client:
        target = HeldResponse(server, client, store=False)
        waiting = Recorder(client.send_request(ask("waiting"), stream_id="b"))
        steer = Recorder(client.steer(target.id, "shorter")).wait_for(1)
        target.gate.open()
        assert steer.wait().types[-1] == "response.completed"
        assert waiting.wait().types[-1] == "response.completed"
