"""Connections that a server refuses to a client: which are tried again, when, and how often."""

from __future__ import annotations

import socket as sockets

import pytest

from rxresponses import Backoff, ConfigurationError, ConnectFailedError, PoolOptions, ResponsesClient
from rxresponses.senders.pool_driver import PoolDriver
from rxresponses.testing import Fault, Hold, RefuseUpgrade, ResponsesServer

from ..support.clients import (
    WITH_LANES,
    ask,
    fast_retries,
    input_counts,
    late_retries,
    run,
    states_of,
    until_state,
    without_pings,
)
from ..support.recorder import AsyncRecorder, Recorder
from ..support.virtual_time import VirtualTimeLoop, run_in_virtual_time


class SlowDriver(PoolDriver):
    """A driver for which 20 ms pass between any two readings of the clock."""

    passed = 0.0

    def now(self) -> float:
        self.passed += 0.02
        return super().now() + self.passed


class TestRefusals:
    @pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 425, 426])
    def test_scenario_28_client_a_permanent_refusal_is_not_tried_again(
        self, server: ResponsesServer, client: ResponsesClient, status: int
    ) -> None:
        message = f"because of {status}"
        server.fault(Fault(RefuseUpgrade(status, {"error": {"message": message}}, {"X-Request-Id": "r"}), times=1))
        got = Recorder(client.send_request(ask(), stream_id="a")).wait()
        assert isinstance(got.error, ConnectFailedError)
        assert (got.error.status, got.error.delivery, got.error.stream_id) == (status, "not_sent", "a")
        assert got.error.headers["x-request-id"] == "r"
        assert message in str(got.error)
        assert got.error.__cause__ is not None
        assert len(server.upgrades) == 1
        assert Recorder(client.send_request(ask())).wait().completions == 1
        assert (len(server.requests), len(server.upgrades)) == (1, 2)

    @pytest.mark.parametrize("status", [429, 500, 502, 503, 529])
    def test_scenario_28_client_a_temporary_refusal_is_tried_again(
        self, server: ResponsesServer, client: ResponsesClient, status: int
    ) -> None:
        server.fault(Fault(RefuseUpgrade(status), times=2))
        got = Recorder(client.send_request(ask()))
        assert got.wait().completions == 1
        assert [upgrade.status for upgrade in server.upgrades] == [status, status, 101]
        assert len(server.requests) == 1

    def test_scenario_28_client_a_spent_quota_is_not_tried_again(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        spent = {"error": {"message": "no credit", "type": "insufficient_quota", "code": "insufficient_quota"}}
        server.fault(Fault(RefuseUpgrade(429, spent)))
        error = Recorder(client.send_request(ask())).wait().error
        assert isinstance(error, ConnectFailedError)
        assert (error.status, error.code, error.type) == (429, "insufficient_quota", "insufficient_quota")
        assert len(server.upgrades) == 1

    def test_scenario_28_client_a_wait_that_ends_while_the_client_works(
        self, server: ResponsesServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("rxresponses.senders.client.PoolDriver", SlowDriver)
        server.fault(Fault(RefuseUpgrade(503), times=2))
        pool = PoolOptions(backoff=Backoff(initial=0.03, factor=1.0, jitter=0.0))
        with ResponsesClient(server.url, options=WITH_LANES, pool=pool) as client:
            assert Recorder(client.send_request(ask())).wait().completions == 1
        assert len(server.upgrades) == 3

    @pytest.mark.parametrize("status", [429, 503])
    def test_scenario_28_client_a_retry_after_that_is_too_long(self, server: ResponsesServer, status: int) -> None:
        server.fault(Fault(RefuseUpgrade(status, headers={"retry-after": "99999999999"}), times=1))
        with ResponsesClient(server.url, options=WITH_LANES) as client:
            got = Recorder(client.send_request(ask())).wait()
            assert (got.error.status, got.error.delivery) == (status, "not_sent")
            assert "the server asks to wait 1e+11 s" in str(got.error)
            assert Recorder(client.send_request(ask())).wait().completions == 1  # no other request has to wait

    @pytest.mark.parametrize("status", [429, 503])
    def test_scenario_28_client_obeys_retry_after(self, server: ResponsesServer, status: int) -> None:
        server.fault(Fault(RefuseUpgrade(status, headers={"retry-after": "30"}), times=1))

        async def main(loop: VirtualTimeLoop) -> None:
            pool = PoolOptions(backoff=Backoff(initial=1.0, jitter=0.0))
            async with ResponsesClient(server.url, options=without_pings(), pool=pool) as client:
                states = AsyncRecorder(client.state)
                got = AsyncRecorder(client.send_request(ask()))
                await states.until(lambda: states.values[-1].reconnect_in is not None)
                last = states.values[-1]
                assert last.reconnect_in == pytest.approx(30.0)
                assert last.paused_for == (pytest.approx(30.0) if status == 429 else None)
                assert (last.queued, last.connecting) == (1, 0)
                await loop.advance(29.0)
                late = AsyncRecorder(client.send_request(ask()))
                await loop.settle()
                assert len(server.upgrades) == 1
                await loop.advance(1.0)
                assert (await got.until_end()).completions == 1
                assert (await late.until_end()).completions == 1
                assert states.values[-1].reconnect_in is None
            assert [upgrade.status for upgrade in server.upgrades] == [status, 101]

        run_in_virtual_time(main)

    def test_scenario_28_client_longer_delays_up_to_max_retries(self, server: ResponsesServer) -> None:
        server.fault(Fault(RefuseUpgrade(503)))

        async def main(loop: VirtualTimeLoop) -> None:
            keys: list[str] = []

            def key() -> str:
                keys.append(f"key-{len(keys) + 1}")
                return keys[-1]

            pool = PoolOptions(backoff=Backoff(initial=1.0, jitter=0.0, max_retries=3))
            async with ResponsesClient(server.url, api_key=key, options=without_pings(), pool=pool) as client:
                states = AsyncRecorder(client.state)
                got = [AsyncRecorder(client.send_request(ask(), stream_id=name)) for name in ("a", "a", "b")]
                for number, delay in enumerate([1.0, 2.0, 4.0], 1):
                    await states.until(lambda: states.values[-1].reconnect_in == pytest.approx(delay))  # noqa: B023
                    assert len(server.upgrades) == number
                    await loop.advance(delay - 0.001)
                    assert len(server.upgrades) == number
                    await loop.advance(0.001)
                    await server.until(lambda: len(server.upgrades) == number + 1)  # noqa: B023
                for one in got:
                    assert isinstance((await one.until_end()).error, ConnectFailedError)
                    assert (one.error.status, one.error.delivery) == (503, "not_sent")
                assert [one.error.stream_id for one in got] == ["a", "a", "b"]
                assert len({id(one.error) for one in got}) == 3
                assert len(server.upgrades) == 4
                await loop.advance(3600.0)
                assert len(server.upgrades) == 4
                # One more request is one more try, which shows that nothing has changed.
                assert (await AsyncRecorder(client.send_request(ask())).until_end()).error.status == 503
                assert len(server.upgrades) == 5
                server.clear_faults()
                assert (await AsyncRecorder(client.send_request(ask())).until_end()).completions == 1
                assert [upgrade.headers["authorization"] for upgrade in server.upgrades] == [
                    f"Bearer {name}" for name in keys
                ]

        run_in_virtual_time(main)

    def test_scenario_28_client_all_connections_of_a_burst_are_one_failure(self, server: ResponsesServer) -> None:
        """Eight connections are tried for so many requests.  Their refusals count as one."""
        server.fault(Fault(RefuseUpgrade(503), times=8))

        async def main() -> None:
            async with ResponsesClient(server.url, options=WITH_LANES, pool=fast_retries()) as client:
                for got in [AsyncRecorder(client.send_request(ask(str(number)))) for number in range(128)]:
                    assert (await got.until_end()).completions == 1

        run(main())
        assert [upgrade.status for upgrade in server.upgrades][:9] == [503] * 8 + [101]
        assert set(input_counts(server).values()) == {1}

    def test_scenario_28_client_refused_while_another_connection_works(self, server: ResponsesServer) -> None:
        """No request gets an error: those that wait, wait for the connection that works."""
        with ResponsesClient(server.url, options=WITH_LANES, pool=late_retries()) as client:
            Recorder(client.send_request(ask())).wait()
            gate = server.gate()
            server.on("hold", ["text", Hold(gate)])
            server.fault(Fault(RefuseUpgrade(401)))
            got = [Recorder(client.send_request(ask("hold"))) for _ in range(20)]
            states = states_of(client)
            until_state(states, lambda state: state.queued == 4 and not state.connecting)
            assert states.values[-1].reconnect_in is None
            gate.open()
            assert all(one.wait().completions == 1 for one in got)
            assert len(server.upgrades) == 2

    def test_an_empty_key(self, server: ResponsesServer) -> None:
        keys = iter(["", "k"])
        with ResponsesClient(server.url, api_key=lambda: next(keys), pool=fast_retries()) as client:
            failed = [Recorder(client.send_request(ask())) for _ in range(3)]
            # The requests that wait at that moment fail; a later request may get the next key.
            assert isinstance(failed[0].wait().error, ConfigurationError)
            for one in failed[1:]:
                assert one.wait().completions or isinstance(one.error, ConfigurationError)
            assert Recorder(client.send_request(ask())).wait().completions == 1

    def test_a_port_without_a_listener(self) -> None:
        with sockets.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        with ResponsesClient(f"http://127.0.0.1:{port}/v1", pool=fast_retries()) as client:
            got = Recorder(client.send_request(ask())).wait()
            assert isinstance(got.error, ConnectFailedError)
            assert got.error.status is None

    def test_a_server_that_comes_back(self) -> None:
        with ResponsesServer() as server:
            port = server.port
        with ResponsesClient(
            f"http://127.0.0.1:{port}/v1",
            pool=PoolOptions(backoff=Backoff(initial=0.01, factor=1.0, max_retries=10_000)),
        ) as client:
            states = states_of(client)
            got = Recorder(client.send_request(ask()))
            states.wait(lambda: sum(state.reconnect_in is not None for state in states.values) >= 3)
            with ResponsesServer(port=port) as server:
                assert got.wait().completions == 1
                assert len(server.requests) == 1
