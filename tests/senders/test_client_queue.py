"""Requests that wait in the queue of a client."""

from __future__ import annotations

import asyncio

from rxresponses import ConnectionOptions, PoolOptions, QueueFullError, QueueTimeoutError, ResponsesClient
from rxresponses.testing import Hold, ResponsesServer

from ..support.clients import ONE_AT_A_TIME, ask, inputs, resubscribe_on_every_error, run
from ..support.recorder import AsyncRecorder, Recorder
from ..support.virtual_time import VirtualTimeLoop, run_in_virtual_time


class TestQueue:
    def test_max_queued_bounds_the_waiting_requests(self, server: ResponsesServer) -> None:
        gate = server.gate()
        server.on("", ["text", Hold(gate)])
        options = PoolOptions(max_connections=1, max_queued=2)
        with ResponsesClient(server.url, options=ONE_AT_A_TIME, pool=options) as client:
            running = Recorder(client.send_request(ask())).wait_for(1)
            waiting = [Recorder(client.send_request(ask(), stream_id=name)) for name in ("a", None)]
            full = Recorder(client.send_request(ask(), stream_id="b")).wait()
            assert isinstance(full.error, QueueFullError)
            assert (full.error.delivery, full.error.stream_id) == ("not_sent", "b")
            assert "max_queued" in str(full.error)
            waiting[0].subscription.dispose()
            waiting[0] = Recorder(client.send_request(ask()))
            gate.open()
            assert all(one.wait().completions == 1 for one in (running, *waiting))
        assert len(server.requests) == 3

    def test_resubscribing_on_every_error_does_not_block_the_loop(self, server: ResponsesServer) -> None:
        async def main() -> None:
            gate = server.gate()
            server.on("", ["text", Hold(gate)])
            options = PoolOptions(max_connections=1, max_queued=1)
            one = ONE_AT_A_TIME
            async with ResponsesClient(server.url, options=one, pool=options) as client:
                running = AsyncRecorder(client.send_request(ask()))
                await running.until_count(1)
                waiting = AsyncRecorder(client.send_request(ask()))
                await resubscribe_on_every_error(client.send_request(ask()))
                gate.open()
                for got in (running, waiting):
                    await got.until_end()
                    assert got.completions == 1

        run(main())

    def test_queue_timeout_bounds_the_wait(self, server: ResponsesServer) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            gate = server.gate()
            server.on("", ["text", Hold(gate)])
            options = ConnectionOptions(lanes=True, max_active=1, queue_timeout=5.0, ping_interval=None)
            async with ResponsesClient(server.url, options=options, pool=PoolOptions(max_connections=1)) as client:
                running = AsyncRecorder(client.send_request(ask()))
                await running.until_count(1)
                first = AsyncRecorder(client.send_request(ask(), stream_id="a"))
                behind = AsyncRecorder(client.send_request(ask(), stream_id="a"))
                await loop.advance(3.0)
                later = AsyncRecorder(client.send_request(ask()))
                await loop.advance(1.9)
                assert not first.ended
                await loop.advance(0.1)
                for got in (first, behind):
                    assert isinstance(got.error, QueueTimeoutError)
                    assert (got.error.seconds, got.error.delivery, got.error.stream_id) == (5.0, "not_sent", "a")
                assert not running.ended
                assert not later.ended
                gate.open()
                assert (await running.until_end()).completions == 1
                assert (await later.until_end()).completions == 1
            assert len(server.requests) == 2

        run_in_virtual_time(main)

    def test_queue_timeout_includes_connecting(self, server: ResponsesServer) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            go = asyncio.Event()

            async def key() -> str:
                await go.wait()
                return "k"

            options = ConnectionOptions(queue_timeout=5.0, ping_interval=None)
            async with ResponsesClient(server.url, api_key=key, options=options) as client:
                got = AsyncRecorder(client.send_request(ask()))
                await loop.advance(5.0)
                assert isinstance(got.error, QueueTimeoutError)
                assert "its connection is not open yet" in str(got.error)
                go.set()
                assert (await AsyncRecorder(client.send_request(ask("second"))).until_end()).completions == 1
            assert inputs(server) == ["second"]

        run_in_virtual_time(main)
