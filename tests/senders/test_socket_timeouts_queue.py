"""The limits `queue_timeout` and `connect_timeout` of a socket."""

from __future__ import annotations

import asyncio
from typing import Any

from rxresponses import ConnectTimeoutError, QueueTimeoutError, ResponsesWebSocket
from rxresponses.testing import Hold, ResponsesServer

from ..support.clients import ask, inputs, without_pings
from ..support.raw_server import silent_listener
from ..support.recorder import AsyncRecorder
from ..support.virtual_time import VirtualTimeLoop, run_in_virtual_time


class TestQueue:
    def test_scenario_14_queue_timeout_of_the_17th_request(self, server: ResponsesServer) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            gate = server.gate()
            server.on("hold", ["done", Hold(gate)])
            options = without_pings(queue_timeout=30, first_event_timeout=10)
            async with ResponsesWebSocket(server.url, options=options) as socket:
                running = [AsyncRecorder(socket.send_request(ask("hold"), stream_id=f"lane-{n}")) for n in range(16)]
                for watch in running:
                    await watch.until_count(2)
                last = AsyncRecorder(socket.send_request(ask("last"), stream_id="lane-16"))
                await loop.advance(29)
                assert not last.ended
                await loop.advance(1)
                assert isinstance(last.error, QueueTimeoutError)
                assert (last.error.seconds, last.error.delivery) == (30, "not_sent")
                assert (last.error.stream_id, last.error.response_id) == ("lane-16", None)
                gate.open()
                for watch in running:
                    assert (await watch.until_end()).completions == 1
                await AsyncRecorder(socket.send_request(ask("after"), stream_id="lane-16")).until_end()
                assert inputs(server) == [*["hold"] * 16, "after"]

        run_in_virtual_time(main)

    def test_behind_a_long_response(self, server: ResponsesServer) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            gate = server.gate()
            server.on("hold", ["done", Hold(gate)])
            async with ResponsesWebSocket(server.url, options=without_pings(queue_timeout=30)) as socket:
                running = await AsyncRecorder(socket.send_request(ask("hold"))).until_count(2)
                first = AsyncRecorder(socket.send_request(ask("first")))
                await loop.advance(20)
                second = AsyncRecorder(socket.send_request(ask("second")))
                await loop.advance(10)
                assert isinstance(first.error, QueueTimeoutError)
                assert not second.ended
                gate.open()
                await second.until_end()
                assert running.completions == 1
                assert second.completions == 1
                assert inputs(server) == ["hold", "second"]

        run_in_virtual_time(main)

    def test_queue_timeout_includes_connecting(self) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            with silent_listener() as (url, _):
                options = without_pings(queue_timeout=5, connect_timeout=30)
                async with ResponsesWebSocket(url, options=options) as socket:
                    got = AsyncRecorder(socket.send_request(ask()))
                    await loop.settle()
                    await loop.advance(5)
                    assert isinstance(got.error, QueueTimeoutError)

        run_in_virtual_time(main)


class TestConnecting:
    @staticmethod
    async def end_after(seconds: float, got: AsyncRecorder[Any], loop: VirtualTimeLoop) -> None:
        await loop.settle()
        await loop.advance(seconds - 1)
        assert not got.ended
        await loop.advance(1)
        await got.until_end()

    def test_scenario_27_a_handshake_that_takes_too_long(self) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            with silent_listener() as (url, _):
                options = without_pings(queue_timeout=60, first_event_timeout=1, connect_timeout=30)
                async with ResponsesWebSocket(url, options=options) as socket:
                    got = AsyncRecorder(socket.send_request(ask(), stream_id="a"))
                    await self.end_after(30, got, loop)
                    assert isinstance(got.error, ConnectTimeoutError)
                    assert (got.error.delivery, got.error.stream_id, got.error.status) == ("not_sent", "a", None)

        run_in_virtual_time(main)

    def test_scenario_27_a_key_that_takes_too_long(self) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            cleaned = []

            async def provide() -> str:
                try:
                    await asyncio.Event().wait()
                finally:
                    cleaned.append(True)
                return "sk-key"

            options = without_pings(queue_timeout=60, connect_timeout=30)
            async with ResponsesWebSocket("http://127.0.0.1:9", api_key=provide, options=options) as socket:
                got = AsyncRecorder(socket.send_request(ask(), stream_id="a"))
                await self.end_after(30, got, loop)
                assert isinstance(got.error, ConnectTimeoutError)
                assert (got.error.delivery, got.error.stream_id) == ("not_sent", "a")
                assert "`api_key` function did not return" in str(got.error)
                assert cleaned == [True]

        run_in_virtual_time(main)
