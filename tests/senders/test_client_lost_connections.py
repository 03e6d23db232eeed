"""Connections that a client loses or replaces: the `delivery` of each error, and the requests that are sent again."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from reactivex import operators as ops

from rxresponses import (
    Backoff,
    ClientState,
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
from rxresponses.testing import Close, Expire, Fault, Hold, RefuseUpgrade, ResponsesServer

from ..support.clients import (
    ONE_AT_A_TIME,
    WITH_LANES,
    ask,
    fast_retries,
    input_counts,
    inputs,
    late_retries,
    response_id,
    states_of,
    until_state,
    without_pings,
)
from ..support.internals import until_write_blocks
from ..support.raw_server import LARGE, PongCounter, raw_server, silent_listener
from ..support.recorder import WAIT, AsyncRecorder, Recorder
from ..support.virtual_time import VirtualTimeLoop, run_in_virtual_time


class TestDelivery:
    def test_scenario_20_client_an_unwritten_request_goes_to_another_connection(self) -> None:
        """A large request blocks the connection when it breaks."""

        async def main() -> None:
            options = without_pings(close_timeout=0.1)
            async with raw_server() as peer, ResponsesClient(peer.url, options=options, pool=fast_retries()) as client:
                first = AsyncRecorder(client.send_request(ask("first")))
                await peer.until_received(1)
                peer.pause()
                large = AsyncRecorder(client.send_request(ask("x" * LARGE)))
                unsent = AsyncRecorder(client.send_request(ask("unsent")))
                await until_write_blocks(client)
                peer.drop()
                for got in (first, large):
                    await got.until_end()
                    assert isinstance(got.error, ConnectionLostError)
                    assert got.error.delivery == "unknown"
                await peer.until_received(2)
                assert [request["input"] for request in peer.received] == ["first", "unsent"]
                await peer.answer(peer.received[1], "r")
                assert (await unsent.until_end()).types == ["response.created", "response.completed"]

        asyncio.run(asyncio.wait_for(main(), WAIT))

    def test_scenario_20_client_lost_in_the_handshake(self) -> None:
        """Nothing has been written, so each try opens another connection."""
        with silent_listener() as (url, listener), ResponsesClient(url, pool=fast_retries()) as client:
            got = Recorder(client.send_request(ask()))
            for _ in range(4):
                peer, _ = listener.accept()
                peer.close()
            assert isinstance(got.wait().error, ConnectFailedError)
            assert got.error.delivery == "not_sent"

    def test_scenario_21_client_a_request_that_may_have_arrived_gets_an_error(
        self, server: ResponsesServer, client: ResponsesClient
    ) -> None:
        server.reply(Close(1006, after=0))
        got = Recorder(client.send_request(ask("once"), stream_id="a")).wait()
        assert isinstance(got.error, ConnectionLostError)
        assert (got.error.delivery, got.error.stream_id) == ("unknown", "a")
        assert Recorder(client.send_request(ask("next"))).wait().completions == 1
        assert input_counts(server) == {"once": 1, "next": 1}

    @pytest.mark.parametrize("after", [1, 2, 3, 6])
    def test_scenario_22_client_a_started_response_gets_an_error(
        self, server: ResponsesServer, client: ResponsesClient, after: int
    ) -> None:
        server.reply(["some text", Close(1011, "oops", after=after)])
        got = Recorder(client.send_request(ask("once"), stream_id="a")).wait()
        assert isinstance(got.error, ConnectionLostError)
        assert (got.error.delivery, got.error.stream_id) == ("started", "a")
        assert (got.error.close_code, got.error.response_id) == (1011, response_id(got))
        assert len(got.values) == after
        assert input_counts(server) == {"once": 1}

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
        assert set(input_counts(server).values()) == {1}

    def test_scenario_23_client_the_only_connection(self, server: ResponsesServer, client: ResponsesClient) -> None:
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

    def test_a_request_behind_a_lost_response_is_sent(self, server: ResponsesServer, client: ResponsesClient) -> None:
        """A lane only orders its requests: the next one does not depend on the one before."""
        server.on("hold", ["text", Hold()])
        lost = Recorder(client.send_request(ask("hold"), stream_id="a")).wait_for(2)
        waiting = Recorder(client.send_request(ask("next"), stream_id="a"))
        server.drop()
        assert lost.wait().error.delivery == "started"
        assert waiting.wait().completions == 1
        assert input_counts(server) == {"hold": 1, "next": 1}

    def test_retry_and_repeat_after_a_loss(self, server: ResponsesServer, client: ResponsesClient) -> None:
        """A request sent from `on_error` or from `on_completed` is served."""
        server.reply([Close(1006, after=3), "text"], [Close(1001, after=0)], "done", "again", "and again")
        source = client.send_request(ask())
        # One after the other: with reactivex 4 a retried source cannot be subscribed twice.
        assert Recorder(source.pipe(ops.retry(3))).wait().types.count("response.completed") == 1
        assert len(server.requests) == 3
        assert Recorder(source.pipe(ops.repeat(2))).wait().types.count("response.completed") == 2
        assert len(server.requests) == 5
        assert Recorder(source.pipe(ops.concat(source))).wait().types.count("response.completed") == 2


@pytest.mark.usefixtures("nothing_logged")
class TestRotation:
    def test_scenario_24_client_at_the_limit_while_idle(self, server: ResponsesServer, client: ResponsesClient) -> None:
        unrouted = Recorder(client.unrouted)
        states = states_of(client)
        for number in range(1, 6):
            assert Recorder(client.send_request(ask())).wait().completions == 1
            assert server.accepted == number
            server.disturb(Expire())
            assert unrouted.wait_for(number).values[-1].code == "websocket_connection_limit_reached"  # type: ignore[attr-defined]
            until_state(states, lambda state: state == ClientState())
        assert set(input_counts(server).values()) == {5}

    def test_scenario_24_client_at_the_limit_before_its_first_request(self, server: ResponsesServer) -> None:
        with ResponsesClient(server.url, pool=late_retries()) as client:
            states = states_of(client)
            client.prewarm(1, model="m")
            until_state(states, lambda state: state.open == 1)
            client.prewarm(0, model="m")
            server.disturb(Expire())
            until_state(states, lambda state: state.open == 0)
            assert Recorder(client.send_request(ask())).wait().completions == 1

    def test_scenario_25_client_a_connection_grows_old_while_it_works(self, server: ResponsesServer) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            gate = server.gate()
            server.on("hold", ["text", Hold(gate)])
            pool = PoolOptions(max_age=100.0, age_jitter=0.0, max_connections=1)
            async with ResponsesClient(server.url, options=without_pings(), pool=pool) as client:
                states = AsyncRecorder(client.state)
                old = AsyncRecorder(client.send_request(ask("hold")))
                await old.until_count(2)
                await loop.advance(94.0)
                await AsyncRecorder(client.send_request(ask("still the old one"))).until_end()
                assert server.accepted == 1
                await loop.advance(1.0)
                await states.until(lambda: states.values[-1].draining == 1 and states.values[-1].open == 1)
                assert (await AsyncRecorder(client.send_request(ask("new"))).until_end()).completions == 1
                assert [one.connection for one in server.exchanges] == [1, 1, 2]
                await loop.advance(50.0)
                assert not old.ended
                gate.open()
                assert (await old.until_end()).completions == 1
                await server.until(lambda: server.connections == 1)
                assert (server.accepted, states.values[-1].draining) == (2, 0)

        run_in_virtual_time(main)

    def test_scenario_25_client_an_old_idle_connection_closes(self, server: ResponsesServer) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            pool = PoolOptions(max_age=100.0, age_jitter=0.0, close_idle_after=1000.0)
            async with ResponsesClient(server.url, options=without_pings(), pool=pool) as client:
                await AsyncRecorder(client.send_request(ask())).until_end()
                await loop.advance(95.0)
                await server.until(lambda: server.connections == 0)
                await AsyncRecorder(client.send_request(ask())).until_end()
            assert server.accepted == 2

        run_in_virtual_time(main)

    def test_scenario_25_client_the_replacement_is_refused_at_first(self, server: ResponsesServer) -> None:
        server.fault(Fault(RefuseUpgrade(503), connection=2))

        async def main(loop: VirtualTimeLoop) -> None:
            gate = server.gate()
            server.on("hold", ["text", Hold(gate)])
            pool = PoolOptions(max_age=100.0, age_jitter=0.0, backoff=Backoff(initial=2.0, jitter=0.0))
            async with ResponsesClient(server.url, options=without_pings(), pool=pool) as client:
                old = AsyncRecorder(client.send_request(ask("hold")))
                await old.until_count(2)
                await loop.advance(95.0)
                await server.until(lambda: len(server.upgrades) == 2)
                states = AsyncRecorder(client.state)
                await states.until(lambda: not states.values[-1].connecting)
                await AsyncRecorder(client.send_request(ask("still the old one"))).until_end()
                await loop.advance(2.0)
                await states.until(lambda: states.values[-1].draining == 1)
                await AsyncRecorder(client.send_request(ask("new"))).until_end()
                gate.open()
                await old.until_end()
                assert [one.connection for one in server.exchanges] == [1, 1, 3]

        run_in_virtual_time(main)

    def test_scenario_25_client_the_server_closes_first(self, server: ResponsesServer, client: ResponsesClient) -> None:
        server.on("hold", ["text", Hold()])
        got = Recorder(client.send_request(ask("hold"))).wait_for(2)
        server.disturb(Expire())
        assert isinstance(got.wait().error, ConnectionLostError)
        assert (got.error.delivery, got.error.code) == ("started", "websocket_connection_limit_reached")
        assert Recorder(client.send_request(ask())).wait().completions == 1
        assert input_counts(server) == {"hold": 1, "hi": 1}

    @pytest.mark.parametrize("code", [1000, 1001, 1006, 1011, 1012])
    def test_scenario_56_client_closed_while_idle(
        self, server: ResponsesServer, client: ResponsesClient, code: int
    ) -> None:
        states = states_of(client)
        for number in range(1, 4):
            assert Recorder(client.send_request(ask())).wait().completions == 1
            assert server.accepted == number
            server.close_connections(code)
            until_state(states, lambda state: state == ClientState())

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
        assert input_counts(server) == {"hold": 3, "hi": 1}

    def test_many_replacements_under_load(self, server: ResponsesServer) -> None:
        """Connections are replaced every 50 ms: each response still completes."""
        pool = PoolOptions(max_age=0.05, age_jitter=0.5, max_connections=3, backoff=Backoff(initial=0.001))
        with ResponsesClient(server.url, options=WITH_LANES, pool=pool) as client:
            sources = [client.send_request(ask(str(number))).pipe(ops.repeat(20)) for number in range(20)]
            for got in [Recorder(source) for source in sources]:
                assert got.wait().types.count("response.completed") == 20
        assert set(input_counts(server).values()) == {20}
        assert server.accepted > 3


class TestLiveness:
    def test_scenario_26_client_no_pong_loses_the_connection(self) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            options = ConnectionOptions(ping_interval=20, ping_timeout=15, close_timeout=0.1, lanes=True)
            async with raw_server() as peer, ResponsesClient(peer.url, options=options, pool=fast_retries()) as client:
                got = AsyncRecorder(client.send_request(ask("lost")))
                await peer.until_received(1)
                peer.pause()
                await loop.advance(20)
                await loop.advance(14)
                assert not got.ended
                await loop.advance(1)
                assert isinstance((await got.until_end()).error, PongTimeoutError)
                assert got.error.delivery == "unknown"
                again = AsyncRecorder(client.send_request(ask("next")))
                await peer.until_received(2)
                await peer.answer(peer.received[1], "r")
                assert (await again.until_end()).completions == 1
                assert [request["input"] for request in peer.received] == ["lost", "next"]

        run_in_virtual_time(main)

    def test_scenario_26_client_silence_with_pongs_loses_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            pongs = PongCounter(monkeypatch)
            options = ConnectionOptions(ping_interval=20, ping_timeout=15, lanes=True)
            async with raw_server() as peer, ResponsesClient(peer.url, options=options) as client:
                got = AsyncRecorder(client.send_request(ask()))
                await peer.until_received(1)
                for number in range(30):
                    await loop.advance(20)
                    await pongs.until(number + 1)
                    await loop.settle()
                await peer.answer(peer.received[0], "r")
                assert (await got.until_end()).completions == 1

        run_in_virtual_time(main)

    def test_scenario_27_client_no_first_event(self, server: ResponsesServer) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            gate = server.gate()
            server.on("silent", Hold(gate, after=0))
            server.on("slow", ["text", Hold(gate)])
            options = without_pings(first_event_timeout=60.0, idle_timeout=90.0)
            async with ResponsesClient(server.url, options=options, pool=fast_retries()) as client:
                silent = AsyncRecorder(client.send_request(ask("silent"), stream_id="a"))
                behind = AsyncRecorder(client.send_request(ask("behind"), stream_id="a"))
                slow = AsyncRecorder(client.send_request(ask("slow")))
                await slow.until_count(2)
                await server.until(lambda: len(server.requests) == 2)
                await loop.advance(60.0)
                assert isinstance(silent.error, FirstEventTimeoutError)
                assert (silent.error.delivery, silent.error.stream_id) == ("unknown", "a")
                assert not behind.ended
                await loop.advance(30.0)
                assert isinstance(slow.error, IdleTimeoutError)
                gate.open()  # the overdue response ends, and its lane goes on
                assert (await behind.until_end()).completions == 1
                assert input_counts(server) == {"silent": 1, "slow": 1, "behind": 1}

        run_in_virtual_time(main)

    def test_scenario_27_client_time_in_the_queue_does_not_count(self, server: ResponsesServer) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            gate = server.gate()
            server.on("hold", ["text", Hold(gate)])
            options = without_pings(first_event_timeout=60.0, max_active=1)
            async with ResponsesClient(server.url, options=options, pool=PoolOptions(max_connections=1)) as client:
                running = AsyncRecorder(client.send_request(ask("hold")))
                await running.until_count(2)
                waiting = AsyncRecorder(client.send_request(ask()))
                await loop.advance(600.0)
                assert not waiting.ended
                gate.open()
                assert (await waiting.until_end()).completions == 1

        run_in_virtual_time(main)


class TestLoopsThatEnd:
    def test_waiting_requests_get_an_error_when_the_loop_ends(self, server: ResponsesServer) -> None:
        server.on("hold", ["text", Hold()])
        one = ONE_AT_A_TIME
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
