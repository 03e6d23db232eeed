"""Pings: a peer that answers none is lost, a slow peer is not."""

from __future__ import annotations

import asyncio

import pytest

from rxresponses import ConnectionLostError, ConnectionOptions, PongTimeoutError, ResponsesWebSocket, ServerEvent

from ..support.clients import ask
from ..support.frames import completed, created, delta
from ..support.internals import read_pause_of, websocket_of
from ..support.raw_server import LARGE, PongCounter, RawServer, raw_socket
from ..support.recorder import WAIT, AsyncRecorder
from ..support.virtual_time import VirtualTimeLoop, run_in_virtual_time


class TestPings:
    OPTIONS = ConnectionOptions(ping_interval=20, ping_timeout=15, close_timeout=0.1, lanes=True)

    def test_scenario_26_ten_minutes_of_silence_with_pongs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            pongs = PongCounter(monkeypatch)
            async with raw_socket(self.OPTIONS) as (peer, socket):
                got = AsyncRecorder(socket.send_request(ask()))
                await peer.until_received(1)
                for number in range(30):
                    await loop.advance(20)
                    await pongs.until(number + 1)
                    await loop.settle()
                assert peer.pings == 30
                await peer.send(created(), delta(), completed())
                assert (await got.until_end()).completions == 1

        run_in_virtual_time(main)

    def test_scenario_26_silence_with_pongs_in_real_time(self) -> None:
        """Ten times `ping_interval` in real time."""

        async def main() -> None:
            options = ConnectionOptions(ping_interval=0.02, ping_timeout=5.0)
            async with raw_socket(options) as (peer, socket):
                got = AsyncRecorder(socket.send_request(ask()))
                await peer.until(lambda: peer.pings >= 10)
                await peer.send(created(), completed())
                assert (await got.until_end()).completions == 1

        asyncio.run(asyncio.wait_for(main(), WAIT))

    def test_scenario_26_no_pong_loses_the_connection(self) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            async with raw_socket(self.OPTIONS) as (peer, socket):
                started = AsyncRecorder(socket.send_request(ask(), stream_id="a"))
                await peer.until_received(1)
                await peer.send(created(stream_id="a"))
                await started.until_count(1)
                sent = AsyncRecorder(socket.send_request(ask(), stream_id="b"))
                waiting = AsyncRecorder(socket.send_request(ask(), stream_id="b"))
                await peer.until_received(2)
                peer.pause()
                await loop.advance(20)
                await loop.advance(14)
                assert not started.ended
                await loop.advance(1)
                for got, delivery in ((started, "started"), (sent, "unknown"), (waiting, "not_sent")):
                    await got.until_end()
                    assert isinstance(got.error, PongTimeoutError)
                    assert isinstance(got.error, ConnectionLostError)
                    assert (got.error.delivery, got.error.close_code) == (delivery, 1006)
                assert started.error.response_id == "r1"
                assert "15 s" in str(started.error)

        run_in_virtual_time(main)

    def test_no_pong_while_reading_is_paused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            pongs = PongCounter(monkeypatch)
            async with raw_socket(self.OPTIONS) as (peer, socket):
                got = await peer.start(socket)
                read_pause = read_pause_of(socket)
                read_pause.consumer_lags(self)
                await loop.advance(20)
                await peer.until(lambda: peer.pings == 1)
                for _ in range(10):
                    await loop.advance(15)
                assert not got.ended
                assert pongs.count == 0
                read_pause.consumer_caught_up(self)
                await pongs.until(1)
                await peer.send(completed())
                assert (await got.until_end()).completions == 1

        run_in_virtual_time(main)

    def test_no_pong_while_reading_was_paused_for_a_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            pongs = PongCounter(monkeypatch)
            async with raw_socket(self.OPTIONS) as (peer, socket):
                got = AsyncRecorder(socket.send_request(ask()))
                await peer.until_received(1)
                peer.pause()
                await loop.advance(20)  # the ping is sent
                read_pause = read_pause_of(socket)
                read_pause.consumer_lags(self)
                await loop.advance(10)
                read_pause.consumer_caught_up(self)
                await loop.advance(5)
                assert not got.ended
                peer.resume()
                await pongs.until(1)
                peer.pause()
                await loop.settle()
                await loop.advance(20)
                await loop.advance(15)  # the limit passes while the socket reads
                await got.until_end()
                assert isinstance(got.error, PongTimeoutError)

        run_in_virtual_time(main)

    async def upload(
        self, peer: RawServer, socket: ResponsesWebSocket, loop: VirtualTimeLoop
    ) -> tuple[AsyncRecorder[ServerEvent], AsyncRecorder[ServerEvent]]:
        """Send a request, then a large one that the peer does not read."""
        first = AsyncRecorder(socket.send_request(ask(), stream_id="a"))
        await peer.until_received(1)
        peer.pause()
        large = AsyncRecorder(socket.send_request(ask("x" * LARGE)))
        await loop.settle()
        return first, large

    def test_scenario_26_no_pong_while_a_large_request_is_written(self) -> None:
        """The buffers to a half-open connection are full: the ping itself cannot be written."""

        async def main(loop: VirtualTimeLoop) -> None:
            async with raw_socket(self.OPTIONS) as (peer, socket):
                first, large = await self.upload(peer, socket, loop)
                await loop.advance(20)
                await loop.advance(14)
                assert not large.ended
                await loop.advance(1)
                for got in (first, large):
                    await got.until_end()
                    assert isinstance(got.error, PongTimeoutError)
                    assert got.error.delivery == "unknown"

        run_in_virtual_time(main)

    def test_a_slow_upload_counts_as_a_sign_of_life(self) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            async with raw_socket(self.OPTIONS) as (peer, socket):
                first, large = await self.upload(peer, socket, loop)
                left = websocket_of(socket).transport.get_write_buffer_size
                await loop.advance(20)
                for _ in range(5):
                    before = left()
                    peer.resume()
                    while left() >= before:  # noqa: ASYNC110 - the buffers set no event
                        await asyncio.sleep(0)
                    peer.pause()
                    await loop.advance(15)
                    assert not large.ended
                peer.resume()
                await peer.until_received(2)
                await peer.send(created(), completed())
                assert (await large.until_end()).completions == 1
                assert not first.ended

        run_in_virtual_time(main)

    def test_pings_without_a_ping_timeout(self) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            options = ConnectionOptions(ping_interval=20, ping_timeout=None)
            async with raw_socket(options) as (peer, socket):
                got = AsyncRecorder(socket.send_request(ask()))
                await peer.until_received(1)
                for number in range(3):
                    await loop.advance(20)
                    await peer.until(lambda number=number: peer.pings == number + 1)  # type: ignore[misc]
                await peer.send(created(), completed())
                assert (await got.until_end()).completions == 1

        run_in_virtual_time(main)
