"""The limits `first_event_timeout` and `idle_timeout` of a socket, and the timer that all limits share."""

from __future__ import annotations

import pytest
from reactivex import operators as ops

from rxresponses import (
    ConnectionLostError,
    ConnectionOptions,
    FirstEventTimeoutError,
    IdleTimeoutError,
    QueueTimeoutError,
    ResponsesWebSocket,
    ServerEvent,
    SocketClosedError,
)
from rxresponses import operators as rops
from rxresponses.testing import Hold, ResponsesServer

from ..support.clients import WITH_LANES, ask, inputs, without_pings
from ..support.frames import delta
from ..support.internals import TIMEOUTS, read_pause_of
from ..support.raw_server import raw_socket
from ..support.recorder import AsyncRecorder, Recorder
from ..support.virtual_time import VirtualTimeLoop, run_in_virtual_time


class TestFirstEvent:
    def test_scenario_27_no_first_event(self, server: ResponsesServer) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            server.reply(Hold(after=0))
            async with ResponsesWebSocket(server.url, options=without_pings(first_event_timeout=60)) as socket:
                got = AsyncRecorder(socket.send_request(ask(), stream_id="a"))
                await server.until(lambda: len(server.requests) == 1)
                await loop.advance(59)
                assert not got.ended
                await loop.advance(1)
                assert isinstance(got.error, FirstEventTimeoutError)
                assert isinstance(got.error, TimeoutError)
                assert (got.error.seconds, got.error.delivery) == (60, "unknown")
                assert (got.error.stream_id, got.error.response_id) == ("a", None)
                assert server.connections == 1

        run_in_virtual_time(main)

    def test_scenario_27_on_the_background_thread(self, server: ResponsesServer) -> None:
        server.reply(Hold(after=0))
        options = ConnectionOptions(first_event_timeout=0.05)
        with ResponsesWebSocket(server.url, options=options) as socket:
            assert isinstance(Recorder(socket.send_request(ask())).wait().error, FirstEventTimeoutError)

    def test_an_event_ends_the_limit(self, server: ResponsesServer) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            gate = server.gate()
            server.reply(["text", Hold(gate, after=1)])
            async with ResponsesWebSocket(server.url, options=without_pings(first_event_timeout=60)) as socket:
                got = await AsyncRecorder(socket.send_request(ask())).until_count(1)
                await loop.advance(3600)
                gate.open()
                assert (await got.until_end()).text == "text"

        run_in_virtual_time(main)

    def test_scenario_14_the_limit_of_the_17th_request_begins_when_it_is_sent(self, server: ResponsesServer) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            one, others = server.gate(), server.gate()
            server.on("^one$", ["done", Hold(one)])
            server.on("^hold$", ["done", Hold(others)])
            server.on("^last$", Hold(after=0))
            options = without_pings(queue_timeout=100, first_event_timeout=70)
            async with ResponsesWebSocket(server.url, options=options) as socket:
                running = [
                    AsyncRecorder(socket.send_request(ask("hold" if n else "one"), stream_id=f"lane-{n}"))
                    for n in range(16)
                ]
                for watch in running:
                    await watch.until_count(2)
                last = AsyncRecorder(socket.send_request(ask("last"), stream_id="lane-16"))
                await loop.advance(99)
                assert not last.ended
                one.open()
                await running[0].until_end()
                await server.until(lambda: len(server.requests) == 17)
                await loop.advance(69)
                assert not last.ended
                await loop.advance(1)
                assert isinstance(last.error, FirstEventTimeoutError)
                assert last.error.delivery == "unknown"
                assert not running[1].ended
                others.open()
                for watch in running[1:]:
                    assert (await watch.until_end()).completions == 1

        run_in_virtual_time(main)

    def test_scenario_09_the_late_answer_is_swallowed(self, server: ResponsesServer) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            gate = server.gate()
            server.reply(["late", Hold(gate, after=0)], "in time")
            async with ResponsesWebSocket(server.url, options=without_pings(first_event_timeout=60)) as socket:
                events = AsyncRecorder(socket.events)
                late = AsyncRecorder(socket.send_request(ask()))
                await server.until(lambda: len(server.requests) == 1)
                await loop.advance(60)
                assert isinstance(late.error, FirstEventTimeoutError)
                # The lane is taken until the server has answered, and the limit of this request has not begun.
                after = AsyncRecorder(socket.send_request(ask()))
                await loop.advance(3600)
                assert not after.ended
                gate.open()
                assert (await after.until_end()).text == "in time"
                assert late.values == []
                assert events.types.count("response.completed") == 2
                assert server.accepted == 1

        run_in_virtual_time(main)


class TestIdle:
    def test_scenario_55_silence_in_mid_response(self, server: ResponsesServer) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            gate = server.gate()
            server.reply(["one two", Hold(gate, after=5)], "the next")
            async with ResponsesWebSocket(server.url, options=without_pings(idle_timeout=60)) as socket:
                got = await AsyncRecorder(socket.send_request(ask(), stream_id="a")).until_count(5)
                await loop.advance(59)
                assert not got.ended
                await loop.advance(1)
                assert isinstance(got.error, IdleTimeoutError)
                assert (got.error.seconds, got.error.delivery, got.error.stream_id) == (60, "started", "a")
                assert got.error.response_id == got.values[0].response.id  # type: ignore[attr-defined]
                after = AsyncRecorder(socket.send_request(ask(), stream_id="a"))
                gate.open()
                assert (await after.until_end()).text == "the next"
                assert server.accepted == 1

        run_in_virtual_time(main)

    def test_scenario_55_each_event_restarts_the_limit(self, server: ResponsesServer) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            gates = [server.gate() for _ in range(5)]
            holds = [Hold(gate, after=number) for number, gate in enumerate(gates, 4)]
            server.reply(["one two three four", *holds])
            async with ResponsesWebSocket(server.url, options=without_pings(idle_timeout=60)) as socket:
                got = AsyncRecorder(socket.send_request(ask()))
                for number, gate in enumerate(gates, 4):
                    await got.until_count(number)
                    await loop.advance(50)
                    assert not got.ended
                    assert loop.timers.count(TIMEOUTS) == 1
                    gate.open()
                await got.until_end()
                assert got.text == "one two three four"
                assert got.completions == 1

        run_in_virtual_time(main)

    def test_each_lane_has_a_limit_of_its_own(self, server: ResponsesServer) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            first, second = server.gate(), server.gate()
            server.on("idle", ["idle", Hold()])
            server.on("busy", ["one two three", Hold(first, after=5), Hold(second, after=6)])
            async with ResponsesWebSocket(server.url, options=without_pings(idle_timeout=60)) as socket:
                idle = await AsyncRecorder(socket.send_request(ask("idle"), stream_id="idle")).until_count(2)
                busy = await AsyncRecorder(socket.send_request(ask("busy"), stream_id="busy")).until_count(5)
                await loop.advance(40)
                first.open()
                await busy.until_count(6)
                await loop.advance(20)
                assert isinstance(idle.error, IdleTimeoutError)
                assert idle.error.stream_id == "idle"
                assert not busy.ended
                await loop.advance(39)
                assert not busy.ended
                second.open()
                assert (await busy.until_end()).text == "one two three"

        run_in_virtual_time(main)

    def test_the_limit_begins_at_the_first_event(self, server: ResponsesServer) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            gate = server.gate()
            server.reply(["text", Hold(gate, after=0)])
            async with ResponsesWebSocket(server.url, options=without_pings(idle_timeout=60)) as socket:
                got = AsyncRecorder(socket.send_request(ask()))
                await server.until(lambda: len(server.requests) == 1)
                await loop.advance(3600)
                gate.open()
                assert (await got.until_end()).completions == 1

        run_in_virtual_time(main)


class TestPausedReading:
    def test_idle_timeout_stops_while_reading_is_paused(self) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            async with raw_socket(without_pings(idle_timeout=60)) as (peer, socket):
                got = await peer.start(socket)
                read_pause = read_pause_of(socket)
                read_pause.consumer_lags(self)
                await peer.send(delta())
                waiting = AsyncRecorder(socket.send_request(ask("waiting")))
                await loop.advance(600)
                assert not got.ended
                read_pause.consumer_caught_up(self)
                await got.until_count(2)
                await loop.advance(59)
                assert not got.ended
                await loop.advance(1)
                assert isinstance(got.error, IdleTimeoutError)
                assert not waiting.ended

        run_in_virtual_time(main)

    def test_queue_timeout_runs_while_reading_is_paused(self) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            async with raw_socket(without_pings(queue_timeout=60)) as (peer, socket):
                await peer.start(socket)
                read_pause_of(socket).consumer_lags(self)
                waiting = AsyncRecorder(socket.send_request(ask("waiting")))
                await loop.advance(60)
                assert isinstance(waiting.error, QueueTimeoutError)
                read_pause_of(socket).consumer_caught_up(self)

        run_in_virtual_time(main)


class TestTimer:
    def test_a_limit_that_is_due_before_the_timer(self, server: ResponsesServer) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            server.on("hold", ["text", Hold()])
            options = without_pings(idle_timeout=100, queue_timeout=5)
            async with ResponsesWebSocket(server.url, options=options) as socket:
                running = await AsyncRecorder(socket.send_request(ask("hold"))).until_count(2)
                waiting = AsyncRecorder(socket.send_request(ask("later")))
                assert loop.timers.count(TIMEOUTS) == 1
                await loop.advance(5)
                assert isinstance(waiting.error, QueueTimeoutError)
                assert not running.ended
                await loop.advance(95)
                assert isinstance(running.error, IdleTimeoutError)

        run_in_virtual_time(main)

    def test_three_limits_that_are_due_at_once(self, server: ResponsesServer) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            server.on("hold", ["text", Hold()])
            async with ResponsesWebSocket(server.url, options=without_pings(idle_timeout=60)) as socket:
                got = [
                    await AsyncRecorder(socket.send_request(ask("hold"), stream_id=name)).until_count(2)
                    for name in "abc"
                ]
                await loop.advance(61)
                for watch in got:
                    assert isinstance(watch.error, IdleTimeoutError)

        run_in_virtual_time(main)

    def test_an_observer_disposes_another_overdue_request(self, server: ResponsesServer) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            server.on("hold", ["text", Hold()])
            async with ResponsesWebSocket(server.url, options=without_pings(idle_timeout=60)) as socket:
                others: list[AsyncRecorder[ServerEvent]] = []
                source = socket.send_request(ask("hold"), stream_id="a")
                failures: list[Exception] = []

                def failed(error: Exception) -> None:
                    failures.append(error)
                    others[0].subscription.dispose()
                    others.append(AsyncRecorder(socket.send_request(ask("after"), stream_id="c")))

                source.subscribe(on_error=failed)
                await server.until(lambda: len(server.requests) == 1)
                others.append(await AsyncRecorder(socket.send_request(ask("hold"), stream_id="b")).until_count(2))
                await loop.advance(61)
                assert len(failures) == 1
                assert not others[0].ended
                assert (await others[1].until_end()).completions == 1

        run_in_virtual_time(main)

    @pytest.mark.parametrize("limit", ["first_event_timeout", "idle_timeout", "queue_timeout"])
    def test_disposed_requests_have_no_limit(self, server: ResponsesServer, limit: str) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            held, begun = server.gate(), server.gate()
            server.reply(["text", Hold(held, after=0)], ["text", Hold(begun)], "fine")
            async with ResponsesWebSocket(server.url, options=without_pings(**{limit: 60})) as socket:
                sent = AsyncRecorder(socket.send_request(ask("sent"), stream_id="a"))
                await server.until(lambda: len(server.requests) == 1)
                started = await AsyncRecorder(socket.send_request(ask("started"), stream_id="b")).until_count(2)
                waiting = AsyncRecorder(socket.send_request(ask("waiting"), stream_id="b"))
                got = [sent, started, waiting]
                for watch in got:
                    watch.subscription.dispose()
                await loop.advance(3600)
                assert not any(watch.ended for watch in got)
                assert TIMEOUTS not in loop.timers
                held.open()
                begun.open()
                after = await AsyncRecorder(socket.send_request(ask("after"), stream_id="b")).until_end()
                assert after.text == "fine"
                assert inputs(server) == ["sent", "started", "after"]

        run_in_virtual_time(main)

    @pytest.mark.parametrize("how", ["close", "drop", "end"])
    def test_no_timer_is_left_after_the_last_request(self, server: ResponsesServer, how: str) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            gate = server.gate()
            server.on("hold", ["text", Hold(gate)])
            options = without_pings(first_event_timeout=60, idle_timeout=60, queue_timeout=60)
            async with ResponsesWebSocket(server.url, options=options) as socket:
                running = await AsyncRecorder(socket.send_request(ask("hold"))).until_count(2)
                waiting = AsyncRecorder(socket.send_request(ask("wait")))
                assert TIMEOUTS in loop.timers
                if how == "close":
                    socket.close()
                    assert isinstance(running.error, SocketClosedError)
                    assert isinstance(waiting.error, SocketClosedError)
                    await socket.wait_closed()
                elif how == "drop":
                    server.drop()
                    await running.until_end()
                    assert isinstance(waiting.error, ConnectionLostError)
                else:
                    gate.open()
                    await waiting.until_end()
                    await loop.advance(61)  # the timer that was armed finds nothing to do
                assert TIMEOUTS not in loop.timers

        run_in_virtual_time(main)

    def test_without_limits_there_is_no_timer(self, server: ResponsesServer) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            server.reply(["text", Hold()])
            async with ResponsesWebSocket(server.url, options=without_pings()) as socket:
                await AsyncRecorder(socket.send_request(ask())).until_count(2)
                assert TIMEOUTS not in loop.timers

        run_in_virtual_time(main)


@pytest.mark.parametrize(("limit", "after"), [("first_event_timeout", 0), ("idle_timeout", 2)])
def test_an_overdue_request_is_sent_again_on_another_lane(server: ResponsesServer, limit: str, after: int) -> None:
    """Its own lane is taken, and `queue_timeout` bounds the wait for it."""

    async def main(loop: VirtualTimeLoop) -> None:
        server.reply(["text", Hold(after=after)], "the answer")
        options = without_pings(queue_timeout=60, **{limit: 60})
        async with ResponsesWebSocket(server.url, options=options) as socket:
            stuck = AsyncRecorder(socket.send_request(ask()))
            await server.until(lambda: len(server.requests) == 1)
            await stuck.until_count(after)
            await loop.advance(60)
            await stuck.until_end()
            assert "send it again on another lane or connection" in str(stuck.error)
            again = AsyncRecorder(socket.send_request(ask()))
            elsewhere = await AsyncRecorder(socket.send_request(ask(), stream_id="another")).until_end()
            assert elsewhere.text == "the answer"
            await loop.advance(60)
            assert isinstance(again.error, QueueTimeoutError)
            assert "another lane or connection" in str(again.error)

    run_in_virtual_time(main)


class TestOnDispose:
    @pytest.mark.parametrize(("limit", "after"), [("first_event_timeout", 0), ("idle_timeout", 2)])
    def test_an_overdue_request_closes_the_connection_with_close_on_dispose(
        self, server: ResponsesServer, limit: str, after: int
    ) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            server.on("stuck", ["text", Hold(after=after)])
            server.on("hold", ["text", Hold(after=2 - after)])  # its own limit does not run
            options = without_pings(on_dispose="close", **{limit: 60})
            async with ResponsesWebSocket(server.url, options=options) as socket:
                stuck = AsyncRecorder(socket.send_request(ask("stuck"), stream_id="a"))
                held = AsyncRecorder(socket.send_request(ask("hold"), stream_id="b"))
                await server.until(lambda: len(server.requests) == 2)
                await stuck.until_count(after)
                await held.until_count(2 - after)
                await loop.advance(60)
                await stuck.until_end()
                assert stuck.error.seconds == 60
                await held.until_end()
                assert isinstance(held.error, ConnectionLostError)
                assert held.error.delivery == ("unknown" if after else "started")
                await server.until(lambda: server.connections == 0)
                assert (await AsyncRecorder(socket.send_request(ask("after"))).until_end()).completions == 1
                assert server.accepted == 2

        run_in_virtual_time(main)

    def test_queue_timeout_closes_nothing(self, server: ResponsesServer) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            gate = server.gate()
            server.on("hold", ["text", Hold(gate)])
            options = without_pings(on_dispose="close", queue_timeout=60)
            async with ResponsesWebSocket(server.url, options=options) as socket:
                running = await AsyncRecorder(socket.send_request(ask("hold"))).until_count(2)
                waiting = AsyncRecorder(socket.send_request(ask("wait")))
                await loop.advance(60)
                assert isinstance(waiting.error, QueueTimeoutError)
                gate.open()
                assert (await running.until_end()).completions == 1
                assert server.accepted == 1

        run_in_virtual_time(main)


class TestOperators:
    """The operators with the same limits, on a socket whose options have none."""

    def test_scenario_27_and_55_as_operators(self, server: ResponsesServer) -> None:
        server.on("first", Hold(after=0))
        server.on("idle", ["text", Hold()])
        with ResponsesWebSocket(server.url, options=WITH_LANES) as socket:
            first = socket.send_request(ask("first"), stream_id="a").pipe(rops.first_event_timeout(0.05))
            idle = socket.send_request(ask("idle"), stream_id="b").pipe(rops.idle_timeout(0.05), ops.ignore_elements())
            assert isinstance(Recorder(first).wait().error, FirstEventTimeoutError)
            assert isinstance(Recorder(idle).wait().error, IdleTimeoutError)


class TestHeartbeats:
    @pytest.mark.parametrize("limits", [{}, {"idle_timeout": 100}], ids=["alone", "with an idle timeout"])
    def test_scenario_63_no_first_event_but_heartbeats(self, limits: dict[str, float]) -> None:
        async def main(loop: VirtualTimeLoop) -> None:
            async with raw_socket(without_pings(first_event_timeout=60, **limits)) as (raw, socket):
                got = AsyncRecorder(socket.send_request(ask()))
                await raw.until_received(1)
                for count in range(1, 3):
                    await loop.advance(25)
                    await raw.send({"type": "codex.keepalive"})
                    await got.until_count(count)
                await loop.advance(10)
                assert isinstance(got.error, FirstEventTimeoutError)
                assert got.error.delivery == "unknown"

        run_in_virtual_time(main)
