"""Connections that are lost, refused, grow old or are closed: what the client does about it, and what it does not."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket as sockets
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from reactivex import operators as ops

from rxresponses import (
    Backoff,
    ClientState,
    ConfigurationError,
    ConnectFailedError,
    ConnectionLostError,
    ConnectionOptions,
    FirstEventTimeoutError,
    IdleTimeoutError,
    PongTimeoutError,
    PoolOptions,
    ResponseCompletedEvent,
    ResponsesClient,
    SocketClosedError,
)
from rxresponses.senders.pool_driver import PoolDriver
from rxresponses.testing import Close, DelayUpgrade, Expire, Fault, Hold, RefuseUpgrade, ResponsesServer

from ..support.clients import (
    CLOSE,
    LANES,
    arrivals,
    ask,
    inputs,
    no_thread_left,
    peers,
    quickly,
    response_id,
    run,
    slowly,
    states_of,
    until,
)
from ..support.recorder import WAIT, Recorder
from .test_socket_clocks import LARGE, MovedLoop, Pongs, Watch, quiet
from .test_socket_clocks import run as run_moved


@pytest.fixture
def quietly(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing is reported: not as unhandled, not as never retrieved."""
    yield
    gc.collect()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


class TestVerdicts:
    def test_scenario_20_client_what_was_not_written_goes_elsewhere(self) -> None:
        """The connection is stuck behind a large request when it breaks."""

        async def main() -> None:
            options = quiet(close_timeout=0.1)
            async with peers() as here, ResponsesClient(here.url, options=options, pool=quickly()) as client:
                first = Watch(client.send_request(ask("first")))
                await here.until(lambda: len(here.received) == 1)
                here.pause()
                large = Watch(client.send_request(ask("x" * LARGE)))
                unsent = Watch(client.send_request(ask("unsent")))
                (connection,) = client._connections
                assert connection._websocket is not None
                while not connection._websocket.transport.get_write_buffer_size():  # noqa: ASYNC110 - nobody is told
                    await asyncio.sleep(0)
                here.drop()
                for got in (first, large):
                    await got.end()
                    assert isinstance(got.error, ConnectionLostError)
                    assert got.error.delivery == "unknown"
                await here.until(lambda: len(here.received) == 2)
                assert [request["input"] for request in here.received] == ["first", "unsent"]
                await here.answer(here.received[1], "r")
                assert (await unsent.end()).types == ["response.created", "response.completed"]

        asyncio.run(asyncio.wait_for(main(), WAIT))

    def test_scenario_20_client_lost_in_the_handshake(self) -> None:
        """Nothing can have been written yet: each try is another connection."""
        with sockets.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(WAIT)
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
            with ResponsesClient(url, pool=quickly()) as client:
                got = Recorder(client.send_request(ask()))
                for _ in range(4):
                    peer, _ = listener.accept()
                    peer.close()
                assert isinstance(got.wait().error, ConnectFailedError)
                assert got.error.delivery == "not_sent"

    def test_scenario_21_client_what_may_have_been_done_is_told(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        server.reply(Close(1006, after=0))
        got = Recorder(client.send_request(ask("once"), stream_id="a")).wait()
        assert isinstance(got.error, ConnectionLostError)
        assert (got.error.delivery, got.error.stream_id) == ("unknown", "a")
        assert Recorder(client.send_request(ask("next"))).wait().completions == 1
        assert arrivals(server) == {"once": 1, "next": 1}

    @pytest.mark.parametrize("after", [1, 2, 3, 6])
    def test_scenario_22_client_what_had_begun_is_told(
        self, server: ResponsesServer, client: ResponsesClient, after: int
    ) -> None:
        server.reply(["some text", Close(1011, "oops", after=after)])
        got = Recorder(client.send_request(ask("once"), stream_id="a")).wait()
        assert isinstance(got.error, ConnectionLostError)
        assert (got.error.delivery, got.error.stream_id) == ("started", "a")
        assert (got.error.close_code, got.error.response_id) == (1011, response_id(got))
        assert len(got.values) == after
        assert arrivals(server) == {"once": 1}

    def test_scenario_23_client_one_connection_of_many(self, server: ResponsesServer, client: ResponsesClient) -> None:
        gate = server.gate()
        server.on("", ["text", Hold(gate, after=5)])
        got = [Recorder(client.send_request(ask(str(number)))) for number in range(20)]
        for one in got:
            one.wait_for(5)
        server.disturb(Close(1006), connection=1)
        lost = [one for one in server.exchanges if one.connection == 1]
        assert len(lost) == 16
        for exchange in lost:
            error = got[int(exchange.message["input"])].wait().error
            assert isinstance(error, ConnectionLostError)
            assert error.delivery == "started"
        new = Recorder(client.send_request(ask("new"))).wait_for(5)
        gate.open()
        assert new.wait().completions == 1
        left = [one for number, one in enumerate(got) if number not in {int(one.message["input"]) for one in lost}]
        assert [one.wait().completions for one in left] == [1] * 4
        assert set(arrivals(server).values()) == {1}

    def test_scenario_23_client_one_connection_that_takes_all(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        gate = server.gate()
        server.on("hold", ["text", Hold(gate)])
        lost = Recorder(client.send_request(ask("hold"))).wait_for(2)
        server.drop()
        assert lost.wait().error.delivery == "started"
        gate.open()
        assert Recorder(client.send_request(ask("hold"))).wait().completions == 1
        assert server.accepted == 2

    def test_each_request_has_an_error_of_its_own(self, server: ResponsesServer, client: ResponsesClient) -> None:
        server.on("", ["text", Hold()])
        got = [Recorder(client.send_request(ask(), stream_id=name)).wait_for(1) for name in "ab"]
        server.drop()
        assert [one.wait().error.stream_id for one in got] == ["a", "b"]

    def test_what_waits_for_a_lost_response_goes_on(self, server: ResponsesServer, client: ResponsesClient) -> None:
        """Requests of a lane are ordered, nothing else: the next one does not need the one before."""
        server.on("hold", ["text", Hold()])
        lost = Recorder(client.send_request(ask("hold"), stream_id="a")).wait_for(2)
        waiting = Recorder(client.send_request(ask("next"), stream_id="a"))
        server.drop()
        assert lost.wait().error.delivery == "started"
        assert waiting.wait().completions == 1
        assert arrivals(server) == {"hold": 1, "next": 1}

    def test_retried_by_an_operator_as_well(self, server: ResponsesServer, client: ResponsesClient) -> None:
        """From `on_error`, and from `on_completed`, the next request finds the client in order."""
        server.reply([Close(1006, after=3), "text"], [Close(1001, after=0)], "done", "again", "and again")
        source = client.send_request(ask())
        # One after the other: what reactivex 4 retries cannot be subscribed twice.
        assert Recorder(source.pipe(ops.retry(3))).wait().types.count("response.completed") == 1
        assert len(server.requests) == 3
        assert Recorder(source.pipe(ops.repeat(2))).wait().types.count("response.completed") == 2
        assert len(server.requests) == 5
        assert Recorder(source.pipe(ops.concat(source))).wait().types.count("response.completed") == 2


@pytest.mark.usefixtures("quietly")
class TestRotation:
    def test_scenario_24_client_at_the_limit_while_idle(self, server: ResponsesServer, client: ResponsesClient) -> None:
        unrouted = Recorder(client.unrouted)
        states = states_of(client)
        for number in range(1, 6):
            assert Recorder(client.send_request(ask())).wait().completions == 1
            assert server.accepted == number
            server.disturb(Expire())
            assert unrouted.wait_for(number).values[-1].code == "websocket_connection_limit_reached"  # type: ignore[attr-defined]
            until(states, lambda state: state == ClientState())
        assert set(arrivals(server).values()) == {5}

    def test_scenario_24_client_unused_since_it_was_opened(self, server: ResponsesServer) -> None:
        with ResponsesClient(server.url, pool=slowly()) as client:
            states = states_of(client)
            client.prewarm(1, model="m")
            until(states, lambda state: state.open == 1)
            client.prewarm(0, model="m")
            server.disturb(Expire())
            until(states, lambda state: state.open == 0)
            assert Recorder(client.send_request(ask())).wait().completions == 1

    def test_scenario_25_client_old_while_it_works(self, server: ResponsesServer) -> None:
        async def main(loop: MovedLoop) -> None:
            gate = server.gate()
            server.on("hold", ["text", Hold(gate)])
            pool = PoolOptions(max_age=100.0, age_jitter=0.0, max_connections=1)
            async with ResponsesClient(server.url, options=quiet(), pool=pool) as client:
                states = Watch(client.state)
                old = Watch(client.send_request(ask("hold")))
                await old.count(2)
                await loop.move(94.0)
                await Watch(client.send_request(ask("still the old one"))).end()
                assert server.accepted == 1
                await loop.move(1.0)
                await states.until(lambda: states.values[-1].draining == 1 and states.values[-1].open == 1)
                assert (await Watch(client.send_request(ask("new"))).end()).completions == 1
                assert [one.connection for one in server.exchanges] == [1, 1, 2]
                await loop.move(50.0)
                assert not old.ended
                gate.open()
                assert (await old.end()).completions == 1
                await server.until(lambda: server.connections == 1)
                assert (server.accepted, states.values[-1].draining) == (2, 0)

        run_moved(main)

    def test_scenario_25_client_without_work_it_just_goes(self, server: ResponsesServer) -> None:
        async def main(loop: MovedLoop) -> None:
            pool = PoolOptions(max_age=100.0, age_jitter=0.0, close_idle_after=1000.0)
            async with ResponsesClient(server.url, options=quiet(), pool=pool) as client:
                await Watch(client.send_request(ask())).end()
                await loop.move(95.0)
                await server.until(lambda: server.connections == 0)
                await Watch(client.send_request(ask())).end()
            assert server.accepted == 2

        run_moved(main)

    def test_scenario_25_client_the_next_one_cannot_be_opened_yet(self, server: ResponsesServer) -> None:
        server.fault(Fault(RefuseUpgrade(503), connection=2))

        async def main(loop: MovedLoop) -> None:
            gate = server.gate()
            server.on("hold", ["text", Hold(gate)])
            pool = PoolOptions(max_age=100.0, age_jitter=0.0, backoff=Backoff(initial=2.0, jitter=0.0))
            async with ResponsesClient(server.url, options=quiet(), pool=pool) as client:
                old = Watch(client.send_request(ask("hold")))
                await old.count(2)
                await loop.move(95.0)
                await server.until(lambda: len(server.upgrades) == 2)
                states = Watch(client.state)
                await states.until(lambda: not states.values[-1].connecting)
                await Watch(client.send_request(ask("still the old one"))).end()
                await loop.move(2.0)
                await states.until(lambda: states.values[-1].draining == 1)
                await Watch(client.send_request(ask("new"))).end()
                gate.open()
                await old.end()
                assert [one.connection for one in server.exchanges] == [1, 1, 3]

        run_moved(main)

    def test_scenario_25_client_the_server_is_faster(self, server: ResponsesServer, client: ResponsesClient) -> None:
        server.on("hold", ["text", Hold()])
        got = Recorder(client.send_request(ask("hold"))).wait_for(2)
        server.disturb(Expire())
        assert isinstance(got.wait().error, ConnectionLostError)
        assert (got.error.delivery, got.error.code) == ("started", "websocket_connection_limit_reached")
        assert Recorder(client.send_request(ask())).wait().completions == 1
        assert arrivals(server) == {"hold": 1, "hi": 1}

    @pytest.mark.parametrize("code", [1000, 1001, 1006, 1011, 1012])
    def test_scenario_56_client_closed_while_idle(
        self, server: ResponsesServer, client: ResponsesClient, code: int
    ) -> None:
        states = states_of(client)
        for number in range(1, 4):
            assert Recorder(client.send_request(ask())).wait().completions == 1
            assert server.accepted == number
            server.close_connections(code)
            until(states, lambda state: state == ClientState())

    @pytest.mark.parametrize("code", [1000, 1001, 1011, 1012])
    def test_scenario_56_client_closed_in_mid_response(
        self, server: ResponsesServer, client: ResponsesClient, code: int
    ) -> None:
        server.on("hold", ["text", Hold()])
        got = [Recorder(client.send_request(ask("hold"))).wait_for(2) for _ in range(3)]
        server.close_connections(code, "restart")
        for one in got:
            assert isinstance(one.wait().error, ConnectionLostError)
            assert (one.error.close_code, one.error.close_reason) == (code, "restart")
        assert Recorder(client.send_request(ask())).wait().completions == 1
        assert arrivals(server) == {"hold": 3, "hi": 1}

    def test_many_lives_under_load(self, server: ResponsesServer) -> None:
        """The limit is far below a second: what was sent in time ends, and nobody hangs."""
        pool = PoolOptions(max_age=0.05, age_jitter=0.5, max_connections=3, backoff=Backoff(initial=0.001))
        with ResponsesClient(server.url, options=LANES, pool=pool) as client:
            sources = [client.send_request(ask(str(number))).pipe(ops.repeat(20)) for number in range(20)]
            for got in [Recorder(source) for source in sources]:
                assert got.wait().types.count("response.completed") == 20
        assert set(arrivals(server).values()) == {20}
        assert server.accepted > 3


class TestLiveness:
    def test_scenario_26_client_no_pong_is_death(self) -> None:
        async def main(loop: MovedLoop) -> None:
            options = ConnectionOptions(ping_interval=20, ping_timeout=15, close_timeout=0.1, lanes=True)
            async with peers() as here, ResponsesClient(here.url, options=options, pool=quickly()) as client:
                got = Watch(client.send_request(ask("lost")))
                await here.until(lambda: len(here.received) == 1)
                here.pause()
                await loop.move(20)
                await loop.move(14)
                assert not got.ended
                await loop.move(1)
                assert isinstance((await got.end()).error, PongTimeoutError)
                assert got.error.delivery == "unknown"
                again = Watch(client.send_request(ask("next")))
                await here.until(lambda: len(here.received) == 2)
                await here.answer(here.received[1], "r")
                assert (await again.end()).completions == 1
                assert [request["input"] for request in here.received] == ["lost", "next"]

        run_moved(main)

    def test_scenario_26_client_silence_with_pongs_is_life(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def main(loop: MovedLoop) -> None:
            pongs = Pongs(monkeypatch)
            options = ConnectionOptions(ping_interval=20, ping_timeout=15, lanes=True)
            async with peers() as here, ResponsesClient(here.url, options=options) as client:
                got = Watch(client.send_request(ask()))
                await here.until(lambda: len(here.received) == 1)
                for number in range(30):
                    await loop.move(20)
                    await pongs.until(number + 1)
                    await loop.turn()
                await here.answer(here.received[0], "r")
                assert (await got.end()).completions == 1

        run_moved(main)

    def test_scenario_27_client_no_first_event(self, server: ResponsesServer) -> None:
        async def main(loop: MovedLoop) -> None:
            gate = server.gate()
            server.on("silent", Hold(gate, after=0))
            server.on("slow", ["text", Hold(gate)])
            options = quiet(first_event_timeout=60.0, idle_timeout=90.0)
            async with ResponsesClient(server.url, options=options, pool=quickly()) as client:
                silent = Watch(client.send_request(ask("silent"), stream_id="a"))
                behind = Watch(client.send_request(ask("behind"), stream_id="a"))
                slow = Watch(client.send_request(ask("slow")))
                await slow.count(2)
                await server.until(lambda: len(server.requests) == 2)
                await loop.move(60.0)
                assert isinstance(silent.error, FirstEventTimeoutError)
                assert (silent.error.delivery, silent.error.stream_id) == ("unknown", "a")
                assert not behind.ended
                await loop.move(30.0)
                assert isinstance(slow.error, IdleTimeoutError)
                gate.open()  # what was given up goes on to its end, and then its lane
                assert (await behind.end()).completions == 1
                assert arrivals(server) == {"silent": 1, "slow": 1, "behind": 1}

        run_moved(main)

    def test_scenario_27_client_time_in_the_queue_does_not_count(self, server: ResponsesServer) -> None:
        async def main(loop: MovedLoop) -> None:
            gate = server.gate()
            server.on("hold", ["text", Hold(gate)])
            options = quiet(first_event_timeout=60.0, max_active=1)
            async with ResponsesClient(server.url, options=options, pool=PoolOptions(max_connections=1)) as client:
                running = Watch(client.send_request(ask("hold")))
                await running.count(2)
                waiting = Watch(client.send_request(ask()))
                await loop.move(600.0)
                assert not waiting.ended
                gate.open()
                assert (await waiting.end()).completions == 1

        run_moved(main)


class SlowDriver(PoolDriver):
    """A driver for which 20 ms pass between any two looks at the clock."""

    passed = 0.0

    def now(self) -> float:
        self.passed += 0.02
        return super().now() + self.passed


class TestRefusals:
    @pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 425, 426])
    def test_scenario_28_client_what_does_not_pass_is_not_tried_again(
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
    def test_scenario_28_client_what_passes_is_tried_again(
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

    def test_scenario_28_client_a_wait_that_ends_while_the_client_is_at_work(
        self, server: ResponsesServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("rxresponses.senders.client.PoolDriver", SlowDriver)
        server.fault(Fault(RefuseUpgrade(503), times=2))
        pool = PoolOptions(backoff=Backoff(initial=0.03, factor=1.0, jitter=0.0))
        with ResponsesClient(server.url, options=LANES, pool=pool) as client:
            assert Recorder(client.send_request(ask())).wait().completions == 1
        assert len(server.upgrades) == 3

    @pytest.mark.parametrize("status", [429, 503])
    def test_scenario_28_client_not_when_the_server_asks_for_too_long(
        self, server: ResponsesServer, status: int
    ) -> None:
        server.fault(Fault(RefuseUpgrade(status, headers={"retry-after": "99999999999"}), times=1))
        with ResponsesClient(server.url, options=LANES) as client:
            got = Recorder(client.send_request(ask())).wait()
            assert (got.error.status, got.error.delivery) == (status, "not_sent")
            assert "the server asks to wait 1e+11 s" in str(got.error)
            assert Recorder(client.send_request(ask())).wait().completions == 1  # nobody else has to wait

    @pytest.mark.parametrize("status", [429, 503])
    def test_scenario_28_client_as_late_as_the_server_asks(self, server: ResponsesServer, status: int) -> None:
        server.fault(Fault(RefuseUpgrade(status, headers={"retry-after": "30"}), times=1))

        async def main(loop: MovedLoop) -> None:
            pool = PoolOptions(backoff=Backoff(initial=1.0, jitter=0.0))
            async with ResponsesClient(server.url, options=quiet(), pool=pool) as client:
                states = Watch(client.state)
                got = Watch(client.send_request(ask()))
                await states.until(lambda: states.values[-1].reconnect_in is not None)
                last = states.values[-1]
                assert last.reconnect_in == pytest.approx(30.0)
                assert last.paused_for == (pytest.approx(30.0) if status == 429 else None)
                assert (last.queued, last.connecting) == (1, 0)
                await loop.move(29.0)
                late = Watch(client.send_request(ask()))
                await loop.turn()
                assert len(server.upgrades) == 1
                await loop.move(1.0)
                assert (await got.end()).completions == 1
                assert (await late.end()).completions == 1
                assert states.values[-1].reconnect_in is None
            assert [upgrade.status for upgrade in server.upgrades] == [status, 101]

        run_moved(main)

    def test_scenario_28_client_later_each_time_and_with_an_end(self, server: ResponsesServer) -> None:
        server.fault(Fault(RefuseUpgrade(503)))

        async def main(loop: MovedLoop) -> None:
            keys: list[str] = []

            def key() -> str:
                keys.append(f"key-{len(keys) + 1}")
                return keys[-1]

            pool = PoolOptions(backoff=Backoff(initial=1.0, jitter=0.0, max_retries=3))
            async with ResponsesClient(server.url, api_key=key, options=quiet(), pool=pool) as client:
                states = Watch(client.state)
                got = [Watch(client.send_request(ask(), stream_id=name)) for name in ("a", "a", "b")]
                for number, delay in enumerate([1.0, 2.0, 4.0], 1):
                    await states.until(lambda: states.values[-1].reconnect_in == pytest.approx(delay))  # noqa: B023
                    assert len(server.upgrades) == number
                    await loop.move(delay - 0.001)
                    assert len(server.upgrades) == number
                    await loop.move(0.001)
                    await server.until(lambda: len(server.upgrades) == number + 1)  # noqa: B023
                for one in got:
                    assert isinstance((await one.end()).error, ConnectFailedError)
                    assert (one.error.status, one.error.delivery) == (503, "not_sent")
                assert [one.error.stream_id for one in got] == ["a", "a", "b"]
                assert len({id(one.error) for one in got}) == 3
                assert len(server.upgrades) == 4
                await loop.move(3600.0)
                assert len(server.upgrades) == 4
                # One more request is one more try, and one is enough to see that nothing has changed.
                assert (await Watch(client.send_request(ask())).end()).error.status == 503
                assert len(server.upgrades) == 5
                server.clear_faults()
                assert (await Watch(client.send_request(ask())).end()).completions == 1
                assert [upgrade.headers["authorization"] for upgrade in server.upgrades] == [
                    f"Bearer {name}" for name in keys
                ]

        run_moved(main)

    def test_scenario_28_client_all_connections_of_a_burst_are_one_failure(self, server: ResponsesServer) -> None:
        """Eight are tried for so many requests: together they are refused once, not eight times."""
        server.fault(Fault(RefuseUpgrade(503), times=8))

        async def main() -> None:
            async with ResponsesClient(server.url, options=LANES, pool=quickly()) as client:
                for got in [Watch(client.send_request(ask(str(number)))) for number in range(128)]:
                    assert (await got.end()).completions == 1

        run(main())
        assert [upgrade.status for upgrade in server.upgrades][:9] == [503] * 8 + [101]
        assert set(arrivals(server).values()) == {1}

    def test_scenario_28_client_refused_while_another_connection_works(self, server: ResponsesServer) -> None:
        """Then nobody is told: what waits, waits for the one that works."""
        with ResponsesClient(server.url, options=LANES, pool=slowly()) as client:
            Recorder(client.send_request(ask())).wait()
            gate = server.gate()
            server.on("hold", ["text", Hold(gate)])
            server.fault(Fault(RefuseUpgrade(401)))
            got = [Recorder(client.send_request(ask("hold"))) for _ in range(20)]
            states = states_of(client)
            until(states, lambda state: state.queued == 4 and not state.connecting)
            assert states.values[-1].reconnect_in is None
            gate.open()
            assert all(one.wait().completions == 1 for one in got)
            assert len(server.upgrades) == 2

    def test_a_key_that_cannot_be_had(self, server: ResponsesServer) -> None:
        keys = iter(["", "k"])
        with ResponsesClient(server.url, api_key=lambda: next(keys), pool=quickly()) as client:
            failed = [Recorder(client.send_request(ask())) for _ in range(3)]
            # Those of the same moment; one that comes later may have the next key.
            assert isinstance(failed[0].wait().error, ConfigurationError)
            for one in failed[1:]:
                assert one.wait().completions or isinstance(one.error, ConfigurationError)
            assert Recorder(client.send_request(ask())).wait().completions == 1

    def test_nobody_is_there(self) -> None:
        with sockets.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        with ResponsesClient(f"http://127.0.0.1:{port}/v1", pool=quickly()) as client:
            got = Recorder(client.send_request(ask())).wait()
            assert isinstance(got.error, ConnectFailedError)
            assert got.error.status is None

    def test_it_comes_back(self) -> None:
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


class TestClosing:
    def stays_closed(self, client: ResponsesClient) -> None:
        client.close()
        late = Recorder(client.send_request(ask())).wait()
        assert isinstance(late.error, SocketClosedError)
        assert late.error.delivery == "not_sent"
        steer = Recorder(client.steer("r", "more")).wait()
        assert isinstance(steer.error, SocketClosedError)
        assert states_of(client).wait().values[-1] == ClientState(closed=True)  # it may have been about to close
        assert Recorder(client.drain()).wait().completions == 1

    def test_scenario_29_client_while_connecting(self, server: ResponsesServer) -> None:
        server.fault(Fault(DelayUpgrade()))
        client = ResponsesClient(server.url, options=ConnectionOptions(connect_timeout=3 * WAIT))
        got = [Recorder(client.send_request(ask(), stream_id=name)) for name in ("a", "a", "b", None)]
        server.wait_until(lambda: len(server.upgrades) == 3)
        begun = time.monotonic()
        client.close()
        for one in got:
            assert isinstance(one.wait().error, SocketClosedError)
            assert one.error.delivery == "not_sent"
            assert "closed here, by `close()`" in str(one.error)
        asyncio.run(asyncio.wait_for(client.wait_closed(), WAIT))
        assert time.monotonic() - begun < WAIT
        self.stays_closed(client)
        assert server.accepted == 0

    def test_scenario_29_client_while_backing_off(self, server: ResponsesServer) -> None:
        server.fault(Fault(RefuseUpgrade(503)))
        with no_thread_left(), ResponsesClient(server.url, pool=slowly()) as client:
            got = Recorder(client.send_request(ask()))
            until(states_of(client), lambda state: state.reconnect_in is not None)
            client.close()
            assert isinstance(got.wait().error, SocketClosedError)
            assert got.error.delivery == "not_sent"
            self.stays_closed(client)
        assert len(server.upgrades) == 1

    def test_scenario_29_client_with_requests_in_every_state(self, server: ResponsesServer) -> None:
        server.on("started", ["text", Hold()])
        server.on("sent", Hold(after=0))
        one = ConnectionOptions(lanes=True, max_active=2)
        with no_thread_left(), ResponsesClient(server.url, options=one, pool=PoolOptions(max_connections=1)) as client:
            started = Recorder(client.send_request(ask("started"), stream_id="a")).wait_for(2)
            sent = Recorder(client.send_request(ask("sent"), stream_id="b"))
            server.wait_until(lambda: len(server.requests) == 2)
            behind = Recorder(client.send_request(ask("behind"), stream_id="b"))
            waiting = Recorder(client.send_request(ask("waiting")))
            parent = response_id(started)
            bound = Recorder(client.send_request(ask("bound", previous_response_id=parent)))
            client.close()
            verdicts = ("started", "unknown", "not_sent", "not_sent", "not_sent")
            for got, delivery in zip((started, sent, behind, waiting, bound), verdicts, strict=True):
                assert isinstance(got.wait().error, SocketClosedError)
                assert got.error.delivery == delivery
            server.wait_until(lambda: server.connections == 0)
            self.stays_closed(client)
        assert (inputs(server), server.accepted) == (["started", "sent"], 1)

    @pytest.mark.parametrize("operator", [ops.retry(5), ops.retry()], ids=["five", "for ever"])
    def test_scenario_29_client_an_observer_that_sends_again_at_once(
        self, server: ResponsesServer, operator: Any
    ) -> None:
        server.on("hold", ["text", Hold()])

        async def main() -> None:
            client = ResponsesClient(server.url, options=LANES)
            running = Watch(client.send_request(ask("hold")).pipe(operator))
            await running.count(2)
            client.close()
            await client.wait_closed()
            running.subscription.dispose()

        asyncio.run(asyncio.wait_for(main(), WAIT))
        assert server.accepted == 1

    def test_scenario_29_client_closed_by_an_observer_in_the_middle_of_a_turn(self, server: ResponsesServer) -> None:
        """It hears of its own request, while those after it are about to be sent."""

        async def main() -> None:
            parent = "lost"
            client = ResponsesClient(server.url, options=LANES)
            await client.send_request(ask("first"))
            gone = client.send_request(ask("gone", store=False, previous_response_id=parent))
            gone.subscribe(on_error=lambda error: client.close())
            others = [Watch(client.send_request(ask(f"other {number}"))) for number in range(40)]
            for one in others:
                assert isinstance((await one.end()).error, SocketClosedError)
                assert one.error.delivery == "not_sent"
            await client.wait_closed()

        run(main())
        server.wait_until(lambda: server.connections == 0)
        assert inputs(server) == ["first"]

    def test_scenario_29_client_closed_before_it_could_fail(self, server: ResponsesServer) -> None:
        async def main() -> None:
            client = ResponsesClient(server.url, options=LANES)
            await client.send_request(ask("first"))
            lost = Recorder(client.send_request(ask(store=False, previous_response_id="lost")))
            client.close()
            assert isinstance(lost.error, SocketClosedError)
            assert lost.error.delivery == "not_sent"
            await client.wait_closed()

        run(main())

    def test_scenario_29_client_abandoned_without_a_word(self, server: ResponsesServer) -> None:
        """The peer does not answer the closing handshake either."""

        async def main() -> None:
            options = quiet(close_timeout=0.1)
            async with peers() as here:
                async with ResponsesClient(here.url, options=options) as client:
                    got = Watch(client.send_request(ask()))
                    await here.until(lambda: len(here.received) == 1)
                    here.pause()
                assert isinstance(got.error, SocketClosedError)
                assert got.error.delivery == "unknown"

        asyncio.run(asyncio.wait_for(main(), WAIT))


class TestOneLiveSocket:
    @pytest.mark.parametrize("options", [ConnectionOptions(), CLOSE], ids=["drain", "close"])
    def test_scenario_30_client_disposed_in_the_handshake_and_sent_again(
        self, server: ResponsesServer, options: ConnectionOptions
    ) -> None:
        asked, go = threading.Event(), threading.Event()

        def key() -> str:
            asked.set()
            go.wait(WAIT)
            return "k"

        with no_thread_left(), ResponsesClient(server.url, api_key=key, options=options) as client:
            first = Recorder(client.send_request(ask("first")))
            assert asked.wait(WAIT)
            first.subscription.dispose()
            second = Recorder(client.send_request(ask("second")))
            go.set()
            assert second.wait().completions == 1
            assert (server.accepted, server.connections) == (1, 1)
            assert not first.ended
        server.wait_until(lambda: server.connections == 0)
        assert inputs(server) == ["second"]

    def test_scenario_30_client_sent_again_while_the_old_one_goes_down(self, server: ResponsesServer) -> None:
        gate = server.gate()
        server.on("hold", ["text", Hold()])
        server.on("again", ["again", Hold(gate)])
        with no_thread_left(), ResponsesClient(server.url, options=CLOSE, pool=slowly()) as client:
            Recorder(client.send_request(ask("hold"))).wait_for(2).subscription.dispose()  # begins to close
            second = Recorder(client.send_request(ask("again"))).wait_for(2)
            server.wait_until(lambda: server.accepted == 2 and server.connections == 1)
            gate.open()
            assert second.wait().text == "again"
            assert (server.accepted, server.connections) == (2, 1)

    def test_scenario_30_client_over_and_over(self, server: ResponsesServer) -> None:
        """Disposing is no failure: nothing slows down, and nothing is given up."""
        server.on("hold", ["text", Hold()])
        server.on("silent", Hold(after=0))
        with no_thread_left(), ResponsesClient(server.url, options=CLOSE, pool=slowly(max_connections=1)) as client:
            states = states_of(client)
            for number in range(20):
                got = Recorder(client.send_request(ask("hold" if number % 2 else "silent")))
                if number % 2:
                    got.wait_for(2)
                else:
                    server.wait_until(lambda: number + 1 <= len(server.requests) + 20)  # noqa: B023
                    server.wait_until(lambda: "silent" in inputs(server))
                got.subscription.dispose()
            assert Recorder(client.send_request(ask("last"))).wait().completions == 1
            assert not any(state.reconnect_in for state in states.values)
            server.wait_until(lambda: server.connections == 1)
        server.wait_until(lambda: server.connections == 0)


class TestLoopsThatEnd:
    def test_what_waits_is_told_when_the_loop_ends(self, server: ResponsesServer) -> None:
        server.on("hold", ["text", Hold()])
        one = ConnectionOptions(lanes=True, max_active=1)
        client = ResponsesClient(server.url, options=one, pool=PoolOptions(max_connections=1))
        got = []

        async def main() -> None:
            got.append(Recorder(client.send_request(ask("hold"))))
            await server.until(lambda: len(server.requests) == 1)
            got.append(Recorder(client.send_request(ask("waiting"))))
            got.append(Recorder(client.send_request(ask("again")).pipe(ops.retry(3))))

        asyncio.run(asyncio.wait_for(main(), WAIT))
        for one_got in got:
            assert isinstance(one_got.wait().error, SocketClosedError)
        assert [one_got.error.delivery for one_got in got] in (
            ["started", "not_sent", "not_sent"],
            ["unknown", "not_sent", "not_sent"],
        )
        assert inputs(server) == ["hold"]
        with contextlib.closing(client):
            assert isinstance(client.send_request(ask()).run(), ResponseCompletedEvent)
