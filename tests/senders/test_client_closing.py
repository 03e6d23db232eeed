"""Closing a client in every state, and what is left of it."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from typing import Any

import pytest
from reactivex import operators as ops

from rxresponses import ClientState, ConnectionOptions, PoolOptions, ResponsesClient, SocketClosedError
from rxresponses.testing import Close, DelayUpgrade, Failure, Fault, Gate, Hold, RefuseUpgrade, ResponsesServer

from ..support.clients import (
    WITH_LANES,
    ask,
    inputs,
    late_retries,
    no_thread_left,
    response_id,
    run,
    states_of,
    until_state,
    without_pings,
)
from ..support.raw_server import raw_server
from ..support.recorder import WAIT, AsyncRecorder, Recorder
from ..support.virtual_time import VirtualTimeLoop, run_in_virtual_time


class TestClosing:
    def stays_closed(self, client: ResponsesClient) -> None:
        client.close()
        late = Recorder(client.send_request(ask())).wait()
        assert isinstance(late.error, SocketClosedError)
        assert late.error.delivery == "not_sent"
        steer = Recorder(client.steer("r", "more")).wait()
        assert isinstance(steer.error, SocketClosedError)
        assert states_of(client).wait().values[-1] == ClientState(
            closed=True
        )  # the state may still be that of a client that closes
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
        with no_thread_left(), ResponsesClient(server.url, pool=late_retries()) as client:
            got = Recorder(client.send_request(ask()))
            until_state(states_of(client), lambda state: state.reconnect_in is not None)
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
            deliveries = ("started", "unknown", "not_sent", "not_sent", "not_sent")
            for got, delivery in zip((started, sent, behind, waiting, bound), deliveries, strict=True):
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
            client = ResponsesClient(server.url, options=WITH_LANES)
            running = AsyncRecorder(client.send_request(ask("hold")).pipe(operator))
            await running.until_count(2)
            client.close()
            await client.wait_closed()
            running.subscription.dispose()

        asyncio.run(asyncio.wait_for(main(), WAIT))
        assert server.accepted == 1

    def test_scenario_29_client_closed_by_an_observer_while_other_requests_are_sent(
        self, server: ResponsesServer
    ) -> None:
        """The observer gets its error before the requests behind it are sent."""

        async def main() -> None:
            parent = "lost"
            client = ResponsesClient(server.url, options=WITH_LANES)
            await client.send_request(ask("first"))
            gone = client.send_request(ask("gone", store=False, previous_response_id=parent))
            gone.subscribe(on_error=lambda error: client.close())
            others = [AsyncRecorder(client.send_request(ask(f"other {number}"))) for number in range(40)]
            for one in others:
                assert isinstance((await one.until_end()).error, SocketClosedError)
                assert one.error.delivery == "not_sent"
            await client.wait_closed()

        run(main())
        server.wait_until(lambda: server.connections == 0)
        assert inputs(server) == ["first"]

    def test_scenario_29_client_closed_before_a_request_could_fail(self, server: ResponsesServer) -> None:
        async def main() -> None:
            client = ResponsesClient(server.url, options=WITH_LANES)
            await client.send_request(ask("first"))
            lost = Recorder(client.send_request(ask(store=False, previous_response_id="lost")))
            client.close()
            assert isinstance(lost.error, SocketClosedError)
            assert lost.error.delivery == "not_sent"
            await client.wait_closed()

        run(main())

    def test_scenario_29_client_the_peer_does_not_answer_the_closing_handshake(self, server: ResponsesServer) -> None:
        """The peer reads nothing any more."""

        async def main() -> None:
            options = without_pings(close_timeout=0.1)
            async with raw_server() as peer:
                async with ResponsesClient(peer.url, options=options) as client:
                    got = AsyncRecorder(client.send_request(ask()))
                    await peer.until_received(1)
                    peer.pause()
                assert isinstance(got.error, SocketClosedError)
                assert got.error.delivery == "unknown"

        asyncio.run(asyncio.wait_for(main(), WAIT))


class TestContexts:
    def test_a_with_block_waits_for_the_end_of_its_connections(self, server: ResponsesServer) -> None:
        server.on("hold", ["text", Hold()])
        with no_thread_left():
            with ResponsesClient(server.url, options=WITH_LANES) as client:
                got = Recorder(client.send_request(ask("hold"))).wait_for(2)
                waiting = Recorder(client.send_request(ask("hold")))
            assert server.connections <= 2
            for one in (got, waiting):
                assert isinstance(one.wait().error, SocketClosedError)
        server.wait_until(lambda: server.connections == 0)

    def test_an_error_inside_an_async_with_block(self, server: ResponsesServer) -> None:
        async def main() -> None:
            async with ResponsesClient(server.url, options=WITH_LANES) as client:
                await client.send_request(ask())
                raise LookupError

        with pytest.raises(LookupError):
            run(main())
        server.wait_until(lambda: server.connections == 0)

    def test_an_interrupted_with_block(self, server: ResponsesServer) -> None:
        server.on("hold", ["text", Hold(Gate())])
        client = ResponsesClient(server.url, options=WITH_LANES)

        def leave() -> None:
            with client:
                Recorder(client.send_request(ask("hold"))).wait_for(2)
                raise KeyboardInterrupt

        with no_thread_left(), pytest.raises(KeyboardInterrupt):
            leave()
        server.wait_until(lambda: server.connections == 0)


class TestLeaks:
    def test_no_task_timer_or_connection_is_left(self, server: ResponsesServer) -> None:
        """The client has seen losses, retries, steers, idle connections and a drain."""

        async def main(loop: VirtualTimeLoop) -> None:
            server.on("hold", ["text", Hold()])
            server.fault(Fault(Failure("rate_limit_exceeded", after=0, headers={"Retry-After": "5"}), match="limit"))
            server.fault(Fault(Close(1011, after=3), match="cut"))
            pool = PoolOptions(min_idle=2, max_connections=3, max_age=1000.0)
            client = ResponsesClient(
                server.url, options=without_pings(queue_timeout=50.0, idle_timeout=70.0), pool=pool
            )
            await AsyncRecorder(client.send_request(ask())).until_end()
            await AsyncRecorder(client.send_request(ask("cut"))).until_end()
            AsyncRecorder(client.send_request(ask("hold")).pipe(ops.take(1)))
            running = await AsyncRecorder(client.send_request(ask("hold"))).until_count(2)
            AsyncRecorder(client.steer(response_id(running), "more"))
            for _ in range(5):
                AsyncRecorder(client.send_request(ask("limit"), stream_id="a"))
            await AsyncRecorder(client.state).until(lambda: True)
            drained = AsyncRecorder(client.drain(100.0))
            await loop.advance(1.0)
            client.close()
            await drained.until_end()
            await client.wait_closed()
            assert not client._connections

        run_in_virtual_time(main)
        server.wait_until(lambda: server.connections == 0)

    def test_a_closed_client_is_garbage(self, server: ResponsesServer) -> None:
        with no_thread_left():
            client = ResponsesClient(server.url, options=WITH_LANES)
            for _ in range(3):
                Recorder(client.send_request(ask())).wait()
            with client:
                pass
            reference = weakref.ref(client)
            del client
        gc.collect()
        assert reference() is None

    def test_requests_leave_no_observer_behind(self, server: ResponsesServer) -> None:
        """Neither requests that end, nor requests that are disposed in the queue."""

        async def main() -> None:
            gate = server.gate()
            server.on("hold", ["text", Hold(gate)])
            options = ConnectionOptions(lanes=True, max_active=1, queue_timeout=3600.0)
            async with ResponsesClient(server.url, options=options, pool=PoolOptions(max_connections=1)) as client:
                running = await AsyncRecorder(client.send_request(ask("hold"))).until_count(2)
                observers = []
                for _ in range(50):
                    got = AsyncRecorder(client.send_request(ask("x" * 1000), stream_id="a"))
                    waiting = client._loop_driver().pool.waiting()[-1:]
                    observers += [weakref.ref(request.observer) for request in waiting]  # type: ignore[attr-defined]
                    got.subscription.dispose()
                    del got
                gate.open()
                await running.until_end()
                await client.send_request(ask())
                assert client._loop_driver().pool.queued == 0
                gc.collect()
                assert [reference for reference in observers if reference() is not None] == []

        run(main())
