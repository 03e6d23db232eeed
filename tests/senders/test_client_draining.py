"""Draining a client: what has been submitted runs to its end, within a limit."""

from __future__ import annotations

import asyncio
import threading

import pytest

from rxresponses import ClientState, PoolOptions, ResponsesClient, ServerEvent, SocketClosedError
from rxresponses.testing import DelayUpgrade, Failure, Fault, Hold, RefuseUpgrade, ResponsesServer

from ..support.clients import (
    ONE_AT_A_TIME,
    WITH_LANES,
    ask,
    fast_retries,
    input_counts,
    inputs,
    no_thread_left,
    run,
    states_of,
    without_pings,
)
from ..support.raw_server import raw_server
from ..support.recorder import WAIT, AsyncRecorder, Recorder
from ..support.virtual_time import VirtualTimeLoop, run_in_virtual_time


class TestDraining:
    def test_an_unused_client(self, server: ResponsesServer) -> None:
        client = ResponsesClient(server.url)
        got = Recorder(client.drain())
        assert (got.values, got.completions) == ([True], 1)
        assert isinstance(Recorder(client.send_request(ask())).wait().error, SocketClosedError)
        assert server.upgrades == []

    def test_an_idle_client(self, server: ResponsesServer, client: ResponsesClient) -> None:
        Recorder(client.send_request(ask())).wait()
        assert client.drain().run() is True
        assert states_of(client).wait().values == [ClientState(closed=True)]
        server.wait_until(lambda: server.connections == 0)

    def test_requests_that_run_and_wait(self, server: ResponsesServer) -> None:
        gate = server.gate()
        server.on("hold", ["text", Hold(gate)])
        one = ONE_AT_A_TIME
        with no_thread_left(), ResponsesClient(server.url, options=one, pool=fast_retries(max_connections=1)) as client:
            running = Recorder(client.send_request(ask("hold"))).wait_for(2)
            waiting = [Recorder(client.send_request(ask(text), stream_id="a")) for text in ("one", "two")]
            drained = Recorder(client.drain())
            late = Recorder(client.send_request(ask("late"))).wait()
            assert isinstance(late.error, SocketClosedError)
            assert late.error.delivery == "not_sent"
            client.prewarm(1, model="m")
            assert not drained.ended
            gate.open()
            for got in (running, *waiting):
                assert got.wait().types[-1] == "response.completed"
            assert (drained.wait().values, drained.completions) == ([True], 1)
        assert inputs(server) == ["hold", "one", "two"]

    def test_requests_that_are_sent_again(self, server: ResponsesServer, client: ResponsesClient) -> None:
        """A submitted request is retried while the client drains."""
        server.fault(Fault(Failure("server_error", after=0), match="again", times=2))
        server.fault(Fault(RefuseUpgrade(503), times=2))
        got = Recorder(client.send_request(ask("again")))
        drained = Recorder(client.drain())
        assert got.wait().types[-1] == "response.completed"
        assert drained.wait().values == [True]
        assert input_counts(server) == {"again": 3}

    def test_a_request_that_fails(self, server: ResponsesServer, client: ResponsesClient) -> None:
        """An error of the request is an end too: closing has cut nothing short."""
        server.on("cut", ["text", Hold()])
        got = Recorder(client.send_request(ask("cut"))).wait_for(2)
        drained = Recorder(client.drain())
        server.drop()
        assert got.wait().error.delivery == "started"
        assert drained.wait().values == [True]

    @pytest.mark.parametrize("how", ["dispose", "raise"])
    def test_disposed_requests_are_not_waited_for(
        self, server: ResponsesServer, client: ResponsesClient, how: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.on("hold", ["text", Hold()])
        go_on = threading.Event()

        def wait(event: ServerEvent) -> None:
            if how == "raise" and go_on.wait(WAIT):
                raise RuntimeError("observer failed")

        got = Recorder(client.send_request(ask("hold")), wait).wait_for(1)
        waiting = Recorder(client.send_request(ask("waiting"), stream_id="a"))
        drained = Recorder(client.drain())
        go_on.set()
        got.subscription.dispose()
        waiting.wait()
        assert drained.wait().values == [True]

    def test_the_timeout_closes_the_client(self, server: ResponsesServer) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            server.on("hold", ["text", Hold()])
            client = ResponsesClient(server.url, options=without_pings(), pool=PoolOptions(max_connections=1))
            running = AsyncRecorder(client.send_request(ask("hold"), stream_id="a"))
            behind = AsyncRecorder(client.send_request(ask("behind"), stream_id="a"))
            await running.until_count(2)
            drained = AsyncRecorder(client.drain(30.0))
            await loop.advance(29.9)
            assert not running.ended
            assert not drained.ended
            await loop.advance(0.1)
            for got, delivery in ((running, "started"), (behind, "not_sent")):
                assert isinstance((await got.until_end()).error, SocketClosedError)
                assert got.error.delivery == delivery
            assert (await drained.until_end()).values == [False]
            await client.wait_closed()

        run_in_virtual_time(main)

    def test_a_timeout_of_zero(self, server: ResponsesServer, client: ResponsesClient) -> None:
        server.on("hold", ["text", Hold()])
        got = Recorder(client.send_request(ask("hold"))).wait_for(2)
        assert client.drain(0).run() is False
        assert isinstance(got.wait().error, SocketClosedError)

    def test_the_earliest_timeout_counts(self, server: ResponsesServer) -> None:
        """Each subscriber of a drain gets the same result."""

        async def main(loop: VirtualTimeLoop) -> None:
            server.on("hold", ["text", Hold()])
            client = ResponsesClient(server.url, options=without_pings())
            running = AsyncRecorder(client.send_request(ask("hold")))
            await running.until_count(2)
            drained = [AsyncRecorder(client.drain(timeout)) for timeout in (None, 60.0, 20.0, None, 40.0)]
            await loop.advance(19.9)
            assert not running.ended
            await loop.advance(0.1)
            for got in drained:
                assert (await got.until_end()).values == [False]
            assert (await AsyncRecorder(client.drain()).until_end()).values == [False]
            await client.wait_closed()

        run_in_virtual_time(main)

    def test_closed_while_it_drains(self, server: ResponsesServer, client: ResponsesClient) -> None:
        server.on("hold", ["text", Hold()])
        got = Recorder(client.send_request(ask("hold"))).wait_for(2)
        drained = Recorder(client.drain(3600))
        client.close()
        assert isinstance(got.wait().error, SocketClosedError)
        assert drained.wait().values == [False]

    def test_draining_a_closed_client(self, server: ResponsesServer, client: ResponsesClient) -> None:
        Recorder(client.send_request(ask())).wait()
        client.close()
        assert Recorder(client.drain()).wait().values == [True]

    def test_draining_a_client_that_closes(self, server: ResponsesServer) -> None:
        async def main() -> None:
            async with raw_server() as peer:
                client = ResponsesClient(peer.url, options=without_pings(close_timeout=0.1))
                got = AsyncRecorder(client.send_request(ask()))
                await peer.until_received(1)
                peer.pause()  # the closing handshake will not be answered
                client.close()
                assert await client.drain(5) is False
                await got.until_end()

        run(main())

    def test_draining_without_a_subscription(self, server: ResponsesServer, client: ResponsesClient) -> None:
        Recorder(client.send_request(ask())).wait()
        client.drain()
        states_of(client).wait()

    def test_an_awaited_drain(self, server: ResponsesServer) -> None:
        async def main() -> None:
            gate = server.gate()
            server.on("hold", ["text", Hold(gate)])
            client = ResponsesClient(server.url, options=WITH_LANES)
            running = AsyncRecorder(client.send_request(ask("hold")))
            await running.until_count(2)
            asyncio.get_running_loop().call_later(0.01, gate.open)
            assert await client.drain(WAIT) is True
            assert running.completions == 1
            await client.wait_closed()

        run(main())

    def test_drained_from_another_loop(self, server: ResponsesServer, client: ResponsesClient) -> None:
        Recorder(client.send_request(ask())).wait()

        async def main() -> None:
            assert await client.drain() is True

        run(main())

    def test_drained_while_it_connects(self, server: ResponsesServer, client: ResponsesClient) -> None:
        server.fault(Fault(DelayUpgrade(0.05)))
        got = Recorder(client.send_request(ask()))
        assert client.drain().run() is True
        assert got.completions == 1

    def test_drained_by_an_observer(self, server: ResponsesServer, client: ResponsesClient) -> None:
        results: list[Recorder[bool]] = []

        def drain(event: ServerEvent) -> None:
            if not results:
                results.append(Recorder(client.drain()))

        got = Recorder(client.send_request(ask()), drain).wait()
        assert got.types[-1] == "response.completed"
        assert results[0].wait().values == [True]

    def test_drained_after_its_loop_has_ended(self, server: ResponsesServer) -> None:
        client = ResponsesClient(server.url, options=WITH_LANES)
        server.on("hold", ["text", Hold()])

        async def main() -> None:
            Recorder(client.send_request(ask("hold")))
            await server.until(lambda: len(server.requests) == 1)

        asyncio.run(main())
        assert client.drain().run() is True  # the request got its error when the loop ended

    def test_a_loop_that_ends_while_it_drains(self, server: ResponsesServer) -> None:
        client = ResponsesClient(server.url, options=WITH_LANES)
        server.on("hold", ["text", Hold()])

        async def main() -> None:
            Recorder(client.send_request(ask("hold")))
            await server.until(lambda: len(server.requests) == 1)
            client.drain(3600)

        with no_thread_left():
            asyncio.run(main())
            # The client refuses the request.  The subscription was on a loop that runs, so the client can close there.
            assert isinstance(Recorder(client.send_request(ask())).wait().error, SocketClosedError)
            states_of(client).wait()
