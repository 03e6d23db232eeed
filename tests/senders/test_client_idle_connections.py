"""Connections of a client that are opened before there is work, and closed when there is none."""

from __future__ import annotations

from typing import Any

import pytest

from rxresponses import (
    Backoff,
    ClientState,
    ConfigurationError,
    ConnectFailedError,
    ConnectionOptions,
    PoolOptions,
    ResponsesClient,
)
from rxresponses.testing import Fault, Hold, RefuseUpgrade, ResponsesServer

from ..support.clients import WITH_LANES, ask, fast_retries, response_id, states_of, until_state, without_pings
from ..support.recorder import AsyncRecorder, Recorder
from ..support.virtual_time import VirtualTimeLoop, run_in_virtual_time


@pytest.fixture
def client(default_client: ResponsesClient) -> ResponsesClient:
    """In this file the client has the default pool."""
    return default_client


class TestPrewarm:
    def test_prewarm_opens_connections_before_the_first_request(self, server: ResponsesServer) -> None:
        with ResponsesClient(server.url, pool=fast_retries()) as client:
            states = states_of(client)
            client.prewarm(3, model="m")
            until_state(states, lambda state: state.open == 3)
            server.wait_until(lambda: server.connections == 3)
            assert server.requests == []
            server.drop()
            server.wait_until(lambda: server.accepted == 6)
            until_state(states, lambda state: state.open == 3)
            client.prewarm(0, model="m")
            assert Recorder(client.send_request(ask())).wait().completions == 1
        assert server.accepted == 6

    def test_min_idle_counts_from_the_first_request_on(self, server: ResponsesServer) -> None:
        with ResponsesClient(server.url, options=WITH_LANES, pool=PoolOptions(min_idle=2)) as client:
            states = states_of(client)
            assert server.upgrades == []
            Recorder(client.send_request(ask())).wait()
            until_state(states, lambda state: state.open == 2)
        assert server.accepted == 2

    def test_prewarm_opens_min_idle_connections_by_default(self, server: ResponsesServer) -> None:
        for least, count in ((0, 1), (2, 2)):
            with ResponsesClient(server.url, pool=PoolOptions(min_idle=least)) as client:
                states = states_of(client)
                client.prewarm(model="m")
                until_state(states, lambda state: state.open == count)  # noqa: B023
                assert states.values[-1].connecting == 0

    def test_prewarm_waits_for_the_end_of_an_outage(self, server: ResponsesServer) -> None:
        server.fault(Fault(RefuseUpgrade(503), times=20))

        async def main(loop: VirtualTimeLoop) -> None:
            pool = PoolOptions(min_idle=1, backoff=Backoff(initial=1.0, max_delay=8.0, jitter=0.0, max_retries=2))
            async with ResponsesClient(server.url, options=without_pings(), pool=pool) as client:
                states = AsyncRecorder(client.state)
                client.prewarm(model="m")
                for delay in [1.0, 2.0, 4.0] + [8.0] * 17:
                    await states.until(lambda: states.values[-1].reconnect_in is not None)
                    last = states.values[-1]
                    assert last.reconnect_in == pytest.approx(delay)
                    assert isinstance(last.connect_error, ConnectFailedError)
                    assert last.connect_error.status == 503
                    await loop.advance(delay)
                await states.until(lambda: states.values[-1] == ClientState(open=1))
            assert len(server.upgrades) == 21

        run_in_virtual_time(main)

    def test_a_permanent_refusal_ends_prewarming(self, server: ResponsesServer) -> None:
        server.fault(Fault(RefuseUpgrade(401), times=3))

        async def main(loop: VirtualTimeLoop) -> None:
            options = ConnectionOptions(ping_interval=None)
            async with ResponsesClient(server.url, options=options, pool=PoolOptions(min_idle=1)) as client:
                for number in (1, 2):
                    client.prewarm(model="m")
                    await server.until(lambda: len(server.upgrades) == number)  # noqa: B023
                    states = AsyncRecorder(client.state)
                    await states.until(lambda: not states.values[-1].connecting)  # noqa: B023
                    error = states.values[-1].connect_error
                    assert isinstance(error, ConnectFailedError)
                    assert error.status == 401
                    await loop.advance(3600)
                    assert len(server.upgrades) == number
                failed = await AsyncRecorder(client.send_request(ask())).until_end()
                assert isinstance(failed.error, ConnectFailedError)
                assert (await AsyncRecorder(client.send_request(ask())).until_end()).completions == 1
                assert len(server.upgrades) == 4

        run_in_virtual_time(main)

    @pytest.mark.parametrize("count", [-1, 9, True, 1.5, "2"])
    def test_prewarm_with_an_invalid_count(self, client: ResponsesClient, count: Any) -> None:
        with pytest.raises(ConfigurationError, match="max_connections"):
            client.prewarm(count, model="m")

    def test_prewarm_at_a_gateway_needs_the_model(self, client: ResponsesClient) -> None:
        with pytest.raises(ConfigurationError, match="model"):
            client.prewarm(1)

    def test_prewarm_after_close_opens_nothing(self, server: ResponsesServer, client: ResponsesClient) -> None:
        client.close()
        client.prewarm(2, model="m")
        assert Recorder(client.state).wait().values[-1].closed
        assert server.upgrades == []


class TestIdle:
    OPTIONS = ConnectionOptions(lanes=True, ping_interval=None)

    def test_an_idle_connection_is_closed(self, server: ResponsesServer) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            pool = PoolOptions(close_idle_after=60.0)
            async with ResponsesClient(server.url, options=self.OPTIONS, pool=pool) as client:
                states = AsyncRecorder(client.state)
                for one in [AsyncRecorder(client.send_request(ask())) for _ in range(17)]:
                    await one.until_end()
                await states.until(lambda: states.values[-1] == ClientState(open=2))
                await loop.advance(59.0)
                assert server.connections == 2
                await AsyncRecorder(client.send_request(ask())).until_end()
                await loop.advance(1.0)
                await server.until(lambda: server.connections == 1)
                await loop.advance(59.0)
                await server.until(lambda: server.connections == 0)
                assert (await AsyncRecorder(client.send_request(ask())).until_end()).completions == 1
            assert server.accepted == 3

        run_in_virtual_time(main)

    def test_a_connection_stays_while_it_works_or_holds_an_unstored_response(self, server: ResponsesServer) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            gate = server.gate()
            server.on("hold", ["text", Hold(gate)])
            pool = PoolOptions(close_idle_after=60.0, max_age=3600.0, age_jitter=0.0)
            async with ResponsesClient(server.url, options=self.OPTIONS, pool=pool) as client:
                running = AsyncRecorder(client.send_request(ask("hold", store=False)))
                await running.until_count(2)
                await loop.advance(600.0)
                gate.open()
                await running.until_end()
                await loop.advance(600.0)
                assert server.connections == 1
                parent = response_id(running)
                await AsyncRecorder(client.send_request(ask(store=False, previous_response_id=parent))).until_end()
                assert server.connections == 1
                await loop.advance(3600.0)
                await server.until(lambda: server.connections == 0)

        run_in_virtual_time(main)

    def test_min_idle_connections_stay(self, server: ResponsesServer) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            pool = PoolOptions(close_idle_after=60.0, min_idle=1)
            async with ResponsesClient(server.url, options=self.OPTIONS, pool=pool) as client:
                states = AsyncRecorder(client.state)
                for one in [AsyncRecorder(client.send_request(ask())) for _ in range(17)]:
                    await one.until_end()
                await states.until(lambda: states.values[-1] == ClientState(open=2))
                await loop.advance(60.0)
                await server.until(lambda: server.connections == 1)
                await loop.advance(600.0)
                assert server.connections == 1

        run_in_virtual_time(main)
