"""The limit `steer_timeout` of a socket, and `idle_timeout` of a response to a steer."""

from __future__ import annotations

import pytest

from rxresponses import IdleTimeoutError, ResponsesWebSocket, SteerTimeoutError
from rxresponses.testing import Hold, ResponsesServer, Text

from ..support.clients import ask, without_pings
from ..support.frames import accepted, completed, created, delta
from ..support.internals import read_pause_of
from ..support.raw_server import raw_socket
from ..support.recorder import AsyncRecorder
from ..support.virtual_time import VirtualTimeLoop, run_in_virtual_time


class TestSteering:
    def test_idle_timeout_of_a_shared_successor(self) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            async with raw_socket(without_pings(idle_timeout=60)) as (peer, socket):
                await peer.start(socket)
                steers = [AsyncRecorder(socket.steer("r1", text)) for text in ("shorter", "louder")]
                await peer.until_received(3)
                await peer.send(accepted(), accepted("s2"))
                await peer.send(completed(), created("r2"))
                for one in steers:
                    await one.until_count(2)
                await loop.advance(60)
                for one in steers:
                    assert isinstance(one.error, IdleTimeoutError)
                    assert one.error.delivery == "started"

        run_in_virtual_time(main)

    @pytest.mark.parametrize("lane", [None, "a"])
    def test_scenario_37_accepted_and_no_successor(self, server: ResponsesServer, lane: str | None) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            gate, late = server.gate(), server.gate()
            server.reply([Text(deltas=["a", "b"]), Hold(gate, after=5)])
            server.reply(["swallowed", Hold(late, after=0)], "the next one")
            async with ResponsesWebSocket(server.url, options=without_pings(steer_timeout=10)) as socket:
                target = await AsyncRecorder(socket.send_request(ask(), stream_id=lane)).until_count(5)
                response_id = target.values[0].response.id  # type: ignore[attr-defined]
                steer = await AsyncRecorder(socket.steer(response_id, "shorter")).until_count(1)
                assert steer.types == ["response.steer.accepted"]
                await loop.advance(3600)
                assert not steer.ended  # the limit does not run before the target ends
                gate.open()
                await target.until_end()
                everything, unrouted = AsyncRecorder(socket.events), AsyncRecorder(socket.unrouted)
                after = AsyncRecorder(socket.send_request(ask("after"), stream_id=lane))
                await loop.advance(9)
                assert not steer.ended
                assert len(server.requests) == 1
                await loop.advance(1)
                assert isinstance(steer.error, SteerTimeoutError)
                assert (steer.error.seconds, steer.error.delivery, steer.error.stream_id) == (10, "started", lane)
                assert "accepted the steer" in str(steer.error)
                await server.until(lambda: len(server.exchanges) == 2)
                late.open()  # the successor comes late, before the answer to the next request
                assert (await after.until_end()).text == "the next one"
                assert after.types[0] == "response.created"
                assert everything.text == "swallowed" + "the next one"
                assert unrouted.values == []
                assert steer.types == ["response.steer.accepted"]
                again = AsyncRecorder(socket.send_request(ask("again"), stream_id=lane))
                assert (await again.until_end()).types[-1] == "response.completed"

        run_in_virtual_time(main)

    def test_accepted_after_the_end_of_its_target(self) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            async with raw_socket(without_pings(steer_timeout=10)) as (peer, socket):
                response = await peer.start(socket)
                steer = await peer.steer(socket, completed())
                await response.until_end()
                after = AsyncRecorder(socket.send_request(ask("after")))
                await loop.advance(9)
                await peer.send(accepted())
                await steer.until_count(1)
                await loop.advance(9)
                assert not steer.ended
                await loop.advance(1)
                assert isinstance(steer.error, SteerTimeoutError)
                assert steer.error.delivery == "started"
                await peer.until_received(3)
                await peer.send(completed("r2"))
                assert (await after.until_end()).completions == 1

        run_in_virtual_time(main)

    def test_no_limit_without_steer_timeout(self) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            async with raw_socket(without_pings(steer_timeout=None)) as (peer, socket):
                response = await peer.start(socket)
                steer = await peer.steer(socket, accepted(), completed())
                await response.until_end()
                await loop.advance(1e6)
                assert not steer.ended
                await peer.send(created("r2"), completed("r2"))
                assert (await steer.until_end()).completions == 1

        run_in_virtual_time(main)

    def test_the_limit_stops_while_reading_is_paused(self) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            async with raw_socket(without_pings(steer_timeout=10)) as (peer, socket):
                response = await peer.start(socket)
                steer = await peer.steer(socket, accepted(), completed())
                await response.until_end()
                read_pause = read_pause_of(socket)
                read_pause.consumer_lags(self)
                await peer.send(created("r2"))
                await loop.advance(600)
                assert not steer.ended
                read_pause.consumer_caught_up(self)
                await steer.until_count(2)
                await peer.send(completed("r2"))
                assert (await steer.until_end()).completions == 1

        run_in_virtual_time(main)

    def test_an_unrelated_response_shows_that_a_late_successor_ended(self) -> None:
        """It shows that the late successor ended without a terminal event."""

        async def main(loop: VirtualTimeLoop) -> None:
            async with raw_socket(without_pings(steer_timeout=10)) as (peer, socket):
                response = await peer.start(socket)
                steer = await peer.steer(socket, accepted(), completed())
                await response.until_end()
                await loop.advance(10)
                assert isinstance(steer.error, SteerTimeoutError)
                everything, unrouted = AsyncRecorder(socket.events), AsyncRecorder(socket.unrouted)
                await peer.send(created("r2"))
                await everything.until_count(1)
                after = AsyncRecorder(socket.send_request(ask("after")))
                await loop.settle()
                assert len(peer.received) == 2
                await peer.send(created(response={"id": "r8", "previous_response_id": "r7"}))
                await unrouted.until_count(1)
                await peer.until_received(3)
                await peer.send(created("r3"), completed("r3"))
                assert (await after.until_end()).completions == 1

        run_in_virtual_time(main)

    def test_scenario_37_a_server_that_ignores_a_steer_in_silence(self) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            async with raw_socket(without_pings(steer_timeout=10)) as (peer, socket):
                response = await peer.start(socket)
                steer = await peer.steer(socket)
                after = AsyncRecorder(socket.send_request(ask("after")))
                await loop.advance(9)
                assert not steer.ended
                await loop.advance(1)
                assert isinstance(steer.error, SteerTimeoutError)
                assert (steer.error.seconds, steer.error.delivery, steer.error.stream_id) == (10, "unknown", None)
                await peer.send(delta(), completed())
                assert (await response.until_end()).completions == 1
                await peer.until_received(3)
                await peer.send(completed("r2"))
                assert (await after.until_end()).completions == 1

        run_in_virtual_time(main)
