"""The clocks of a socket, on a loop whose time the tests move: no test waits for one to run out."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
from reactivex import Observable
from reactivex import operators as ops
from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import Opcode

from rxresponses import (
    ConnectionLostError,
    ConnectionOptions,
    ConnectTimeoutError,
    FirstEventTimeoutError,
    IdleTimeoutError,
    PongTimeoutError,
    QueueTimeoutError,
    ResponseCreate,
    ResponsesWebSocket,
    ServerEvent,
    SocketClosedError,
    SteerTimeoutError,
)
from rxresponses import operators as rops
from rxresponses.net.backpressure import ReadPause
from rxresponses.net.connection import Connection
from rxresponses.net.transport import FrameConnection
from rxresponses.testing import Hold, ResponsesServer, Text

from ..support.recorder import WAIT, Recorder

T = TypeVar("T")


class MovedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time stands still until it is put forward."""

    now = 1000.0
    stuck_since = math.inf

    def time(self) -> float:
        return self.now + max(0.0, super().time() - self.stuck_since)

    def give_up(self, task: asyncio.Task[None]) -> None:
        """Cancel a test that got stuck, and let time go by, so that what it closes ends."""
        self.stuck_since = super().time()
        task.cancel()

    async def move(self, seconds: float) -> None:
        """Let so much time have passed, and let what is due happen."""
        self.now += seconds
        await self.turn()

    async def turn(self) -> None:
        """Let everything happen that waits for no peer."""
        for _ in range(20):
            await asyncio.sleep(0)

    @property
    def timers(self) -> list[str]:
        """What waits for its time, by name."""
        handles = [handle for handle in getattr(self, "_scheduled") if not handle.cancelled()]  # noqa: B009
        return [getattr(handle._callback, "__qualname__", "?") for handle in handles]


class Watch(Recorder[T]):
    """A recorder to wait for on a loop."""

    def __init__(self, source: Observable[T], on_next: Callable[[T], Any] | None = None) -> None:
        self._heard = asyncio.Event()
        super().__init__(source, on_next)

    def _next(self, value: T) -> None:
        super()._next(value)
        self._heard.set()

    def _error(self, error: Exception) -> None:
        super()._error(error)
        self._heard.set()

    def _completed(self) -> None:
        super()._completed()
        self._heard.set()

    async def until(self, condition: Callable[[], bool]) -> Watch[T]:
        while not condition():
            assert not self.ended, (self.values, self.errors)
            self._heard.clear()
            await self._heard.wait()
        return self

    async def count(self, count: int) -> Watch[T]:
        return await self.until(lambda: len(self.values) >= count)

    async def end(self) -> Watch[T]:
        return await self.until(lambda: self.ended)


def run(main: Callable[[MovedLoop], Coroutine[Any, Any, None]]) -> None:
    """Run `main` on a loop of its own, within a bound of real time; no task and no timer may be left."""
    loop = MovedLoop()
    task = loop.create_task(main(loop))
    bound = threading.Timer(WAIT, loop.call_soon_threadsafe, (loop.give_up, task))
    bound.start()
    try:
        loop.run_until_complete(task)
        assert asyncio.all_tasks(loop) == set()
        assert loop.timers == []
    finally:
        bound.cancel()
        bound.join()
        loop.close()


def ask(text: str = "hi", **fields: Any) -> ResponseCreate:
    return ResponseCreate(model="m", input=text, **fields)


def quiet(**options: Any) -> ConnectionOptions:
    """Options without pings, which would be due as well when the time is moved."""
    return ConnectionOptions(ping_interval=None, lanes=True, **options)


def connection_of(socket: ResponsesWebSocket) -> Connection:
    assert socket._connection is not None
    return socket._connection


class TestFirstEvent:
    def test_scenario_27_no_first_event(self, server: ResponsesServer) -> None:
        async def main(loop: MovedLoop) -> None:
            server.reply(Hold(after=0))
            async with ResponsesWebSocket(server.url, options=quiet(first_event_timeout=60)) as socket:
                got = Watch(socket.send_request(ask(), stream_id="a"))
                await server.until(lambda: len(server.requests) == 1)
                await loop.move(59)
                assert not got.ended
                await loop.move(1)
                assert isinstance(got.error, FirstEventTimeoutError)
                assert isinstance(got.error, TimeoutError)
                assert (got.error.seconds, got.error.delivery) == (60, "unknown")
                assert (got.error.stream_id, got.error.response_id) == ("a", None)
                assert server.connections == 1

        run(main)

    def test_scenario_27_on_the_background_thread(self, server: ResponsesServer) -> None:
        server.reply(Hold(after=0))
        options = ConnectionOptions(first_event_timeout=0.05)
        with ResponsesWebSocket(server.url, options=options) as socket:
            assert isinstance(Recorder(socket.send_request(ask())).wait().error, FirstEventTimeoutError)

    def test_an_event_stops_the_clock(self, server: ResponsesServer) -> None:
        async def main(loop: MovedLoop) -> None:
            gate = server.gate()
            server.reply(["text", Hold(gate, after=1)])
            async with ResponsesWebSocket(server.url, options=quiet(first_event_timeout=60)) as socket:
                got = await Watch(socket.send_request(ask())).count(1)
                await loop.move(3600)
                gate.open()
                assert (await got.end()).text == "text"

        run(main)

    def test_scenario_14_the_clock_of_the_17th_starts_when_it_is_admitted(self, server: ResponsesServer) -> None:
        async def main(loop: MovedLoop) -> None:
            one, others = server.gate(), server.gate()
            server.on("^one$", ["done", Hold(one)])
            server.on("^hold$", ["done", Hold(others)])
            server.on("^last$", Hold(after=0))
            options = quiet(queue_timeout=100, first_event_timeout=70)
            async with ResponsesWebSocket(server.url, options=options) as socket:
                running = [
                    Watch(socket.send_request(ask("hold" if n else "one"), stream_id=f"lane-{n}")) for n in range(16)
                ]
                for watch in running:
                    await watch.count(2)
                last = Watch(socket.send_request(ask("last"), stream_id="lane-16"))
                await loop.move(99)
                assert not last.ended
                one.open()
                await running[0].end()
                await server.until(lambda: len(server.requests) == 17)
                await loop.move(69)
                assert not last.ended
                await loop.move(1)
                assert isinstance(last.error, FirstEventTimeoutError)
                assert last.error.delivery == "unknown"
                assert not running[1].ended
                others.open()
                for watch in running[1:]:
                    assert (await watch.end()).completions == 1

        run(main)

    def test_scenario_09_the_late_answer_is_swallowed(self, server: ResponsesServer) -> None:
        async def main(loop: MovedLoop) -> None:
            gate = server.gate()
            server.reply(["late", Hold(gate, after=0)], "in time")
            async with ResponsesWebSocket(server.url, options=quiet(first_event_timeout=60)) as socket:
                events = Watch(socket.events)
                late = Watch(socket.send_request(ask()))
                await server.until(lambda: len(server.requests) == 1)
                await loop.move(60)
                assert isinstance(late.error, FirstEventTimeoutError)
                # The lane is taken until the server has answered, and this one's clock has not begun.
                after = Watch(socket.send_request(ask()))
                await loop.move(3600)
                assert not after.ended
                gate.open()
                assert (await after.end()).text == "in time"
                assert late.values == []
                assert events.types.count("response.completed") == 2
                assert server.accepted == 1

        run(main)


class TestQueue:
    def test_scenario_14_the_17th_waits_here_no_longer_than_it_may(self, server: ResponsesServer) -> None:
        async def main(loop: MovedLoop) -> None:
            gate = server.gate()
            server.on("hold", ["done", Hold(gate)])
            options = quiet(queue_timeout=30, first_event_timeout=10)
            async with ResponsesWebSocket(server.url, options=options) as socket:
                running = [Watch(socket.send_request(ask("hold"), stream_id=f"lane-{n}")) for n in range(16)]
                for watch in running:
                    await watch.count(2)
                last = Watch(socket.send_request(ask("last"), stream_id="lane-16"))
                await loop.move(29)
                assert not last.ended
                await loop.move(1)
                assert isinstance(last.error, QueueTimeoutError)
                assert (last.error.seconds, last.error.delivery) == (30, "not_sent")
                assert (last.error.stream_id, last.error.response_id) == ("lane-16", None)
                gate.open()
                for watch in running:
                    assert (await watch.end()).completions == 1
                await Watch(socket.send_request(ask("after"), stream_id="lane-16")).end()
                assert [request["input"] for request in server.requests] == [*["hold"] * 16, "after"]

        run(main)

    def test_behind_a_long_response(self, server: ResponsesServer) -> None:
        async def main(loop: MovedLoop) -> None:
            gate = server.gate()
            server.on("hold", ["done", Hold(gate)])
            async with ResponsesWebSocket(server.url, options=quiet(queue_timeout=30)) as socket:
                running = await Watch(socket.send_request(ask("hold"))).count(2)
                first = Watch(socket.send_request(ask("first")))
                await loop.move(20)
                second = Watch(socket.send_request(ask("second")))
                await loop.move(10)
                assert isinstance(first.error, QueueTimeoutError)
                assert not second.ended
                gate.open()
                await second.end()
                assert running.completions == 1
                assert second.completions == 1
                assert [request["input"] for request in server.requests] == ["hold", "second"]

        run(main)

    def test_waiting_for_the_connection_is_waiting_here(self) -> None:
        async def main(loop: MovedLoop) -> None:
            async with silent() as url:
                options = quiet(queue_timeout=5, connect_timeout=30)
                async with ResponsesWebSocket(url, options=options) as socket:
                    got = Watch(socket.send_request(ask()))
                    await loop.turn()
                    await loop.move(5)
                    assert isinstance(got.error, QueueTimeoutError)

        run(main)


class TestConnecting:
    @staticmethod
    async def end_after(seconds: float, got: Watch[Any], loop: MovedLoop) -> None:
        await loop.turn()
        await loop.move(seconds - 1)
        assert not got.ended
        await loop.move(1)
        await got.end()

    def test_scenario_27_a_handshake_that_takes_too_long(self) -> None:
        async def main(loop: MovedLoop) -> None:
            async with silent() as url:
                options = quiet(queue_timeout=60, first_event_timeout=1, connect_timeout=30)
                async with ResponsesWebSocket(url, options=options) as socket:
                    got = Watch(socket.send_request(ask(), stream_id="a"))
                    await self.end_after(30, got, loop)
                    assert isinstance(got.error, ConnectTimeoutError)
                    assert (got.error.delivery, got.error.stream_id, got.error.status) == ("not_sent", "a", None)

        run(main)

    def test_scenario_27_a_key_that_takes_too_long(self) -> None:
        async def main(loop: MovedLoop) -> None:
            cleaned = []

            async def provide() -> str:
                try:
                    await asyncio.Event().wait()
                finally:
                    cleaned.append(True)
                return "sk-key"

            options = quiet(queue_timeout=60, connect_timeout=30)
            async with ResponsesWebSocket("http://127.0.0.1:9", api_key=provide, options=options) as socket:
                got = Watch(socket.send_request(ask(), stream_id="a"))
                await self.end_after(30, got, loop)
                assert isinstance(got.error, ConnectTimeoutError)
                assert (got.error.delivery, got.error.stream_id) == ("not_sent", "a")
                assert "`api_key` function did not return" in str(got.error)
                assert cleaned == [True]

        run(main)


class TestIdle:
    def test_scenario_55_silence_in_mid_response(self, server: ResponsesServer) -> None:
        async def main(loop: MovedLoop) -> None:
            gate = server.gate()
            server.reply(["one two", Hold(gate, after=5)], "the next")
            async with ResponsesWebSocket(server.url, options=quiet(idle_timeout=60)) as socket:
                got = await Watch(socket.send_request(ask(), stream_id="a")).count(5)
                await loop.move(59)
                assert not got.ended
                await loop.move(1)
                assert isinstance(got.error, IdleTimeoutError)
                assert (got.error.seconds, got.error.delivery, got.error.stream_id) == (60, "started", "a")
                assert got.error.response_id == got.values[0].response.id  # type: ignore[attr-defined]
                after = Watch(socket.send_request(ask(), stream_id="a"))
                gate.open()
                assert (await after.end()).text == "the next"
                assert server.accepted == 1

        run(main)

    def test_scenario_55_it_does_not_run_while_events_come(self, server: ResponsesServer) -> None:
        async def main(loop: MovedLoop) -> None:
            gates = [server.gate() for _ in range(5)]
            holds = [Hold(gate, after=number) for number, gate in enumerate(gates, 4)]
            server.reply(["one two three four", *holds])
            async with ResponsesWebSocket(server.url, options=quiet(idle_timeout=60)) as socket:
                got = Watch(socket.send_request(ask()))
                for number, gate in enumerate(gates, 4):
                    await got.count(number)
                    await loop.move(50)
                    assert not got.ended
                    assert loop.timers.count("RequestTimer._check") == 1
                    gate.open()
                await got.end()
                assert got.text == "one two three four"
                assert got.completions == 1

        run(main)

    def test_each_lane_has_its_own(self, server: ResponsesServer) -> None:
        async def main(loop: MovedLoop) -> None:
            first, second = server.gate(), server.gate()
            server.on("idle", ["idle", Hold()])
            server.on("busy", ["one two three", Hold(first, after=5), Hold(second, after=6)])
            async with ResponsesWebSocket(server.url, options=quiet(idle_timeout=60)) as socket:
                idle = await Watch(socket.send_request(ask("idle"), stream_id="idle")).count(2)
                busy = await Watch(socket.send_request(ask("busy"), stream_id="busy")).count(5)
                await loop.move(40)
                first.open()
                await busy.count(6)
                await loop.move(20)
                assert isinstance(idle.error, IdleTimeoutError)
                assert idle.error.stream_id == "idle"
                assert not busy.ended
                await loop.move(39)
                assert not busy.ended
                second.open()
                assert (await busy.end()).text == "one two three"

        run(main)

    def test_before_the_first_event_it_does_not_run(self, server: ResponsesServer) -> None:
        async def main(loop: MovedLoop) -> None:
            gate = server.gate()
            server.reply(["text", Hold(gate, after=0)])
            async with ResponsesWebSocket(server.url, options=quiet(idle_timeout=60)) as socket:
                got = Watch(socket.send_request(ask()))
                await server.until(lambda: len(server.requests) == 1)
                await loop.move(3600)
                gate.open()
                assert (await got.end()).completions == 1

        run(main)


class TestTimer:
    def test_one_that_is_due_earlier_than_the_armed_one(self, server: ResponsesServer) -> None:
        async def main(loop: MovedLoop) -> None:
            server.on("hold", ["text", Hold()])
            options = quiet(idle_timeout=100, queue_timeout=5)
            async with ResponsesWebSocket(server.url, options=options) as socket:
                running = await Watch(socket.send_request(ask("hold"))).count(2)
                waiting = Watch(socket.send_request(ask("later")))
                assert loop.timers.count("RequestTimer._check") == 1
                await loop.move(5)
                assert isinstance(waiting.error, QueueTimeoutError)
                assert not running.ended
                await loop.move(95)
                assert isinstance(running.error, IdleTimeoutError)

        run(main)

    def test_two_that_are_due_at_once(self, server: ResponsesServer) -> None:
        async def main(loop: MovedLoop) -> None:
            server.on("hold", ["text", Hold()])
            async with ResponsesWebSocket(server.url, options=quiet(idle_timeout=60)) as socket:
                got = [await Watch(socket.send_request(ask("hold"), stream_id=name)).count(2) for name in "abc"]
                await loop.move(61)
                for watch in got:
                    assert isinstance(watch.error, IdleTimeoutError)

        run(main)

    def test_an_observer_disposes_another_that_is_due_too(self, server: ResponsesServer) -> None:
        async def main(loop: MovedLoop) -> None:
            server.on("hold", ["text", Hold()])
            async with ResponsesWebSocket(server.url, options=quiet(idle_timeout=60)) as socket:
                others: list[Watch[ServerEvent]] = []
                source = socket.send_request(ask("hold"), stream_id="a")
                failures: list[Exception] = []

                def failed(error: Exception) -> None:
                    failures.append(error)
                    others[0].subscription.dispose()
                    others.append(Watch(socket.send_request(ask("after"), stream_id="c")))

                source.subscribe(on_error=failed)
                await server.until(lambda: len(server.requests) == 1)
                others.append(await Watch(socket.send_request(ask("hold"), stream_id="b")).count(2))
                await loop.move(61)
                assert len(failures) == 1
                assert not others[0].ended
                assert (await others[1].end()).completions == 1

        run(main)

    @pytest.mark.parametrize("clock", ["first_event_timeout", "idle_timeout", "queue_timeout"])
    def test_disposed_requests_have_no_clock(self, server: ResponsesServer, clock: str) -> None:
        async def main(loop: MovedLoop) -> None:
            held, begun = server.gate(), server.gate()
            server.reply(["text", Hold(held, after=0)], ["text", Hold(begun)], "fine")
            async with ResponsesWebSocket(server.url, options=quiet(**{clock: 60})) as socket:
                sent = Watch(socket.send_request(ask("sent"), stream_id="a"))
                await server.until(lambda: len(server.requests) == 1)
                started = await Watch(socket.send_request(ask("started"), stream_id="b")).count(2)
                waiting = Watch(socket.send_request(ask("waiting"), stream_id="b"))
                got = [sent, started, waiting]
                for watch in got:
                    watch.subscription.dispose()
                await loop.move(3600)
                assert not any(watch.ended for watch in got)
                assert "RequestTimer._check" not in loop.timers
                held.open()
                begun.open()
                after = await Watch(socket.send_request(ask("after"), stream_id="b")).end()
                assert after.text == "fine"
                assert [request["input"] for request in server.requests] == ["sent", "started", "after"]

        run(main)

    @pytest.mark.parametrize("how", ["close", "drop", "end"])
    def test_none_is_left_when_all_is_over(self, server: ResponsesServer, how: str) -> None:
        async def main(loop: MovedLoop) -> None:
            gate = server.gate()
            server.on("hold", ["text", Hold(gate)])
            options = quiet(first_event_timeout=60, idle_timeout=60, queue_timeout=60)
            async with ResponsesWebSocket(server.url, options=options) as socket:
                running = await Watch(socket.send_request(ask("hold"))).count(2)
                waiting = Watch(socket.send_request(ask("wait")))
                assert "RequestTimer._check" in loop.timers
                if how == "close":
                    socket.close()
                    assert isinstance(running.error, SocketClosedError)
                    assert isinstance(waiting.error, SocketClosedError)
                    await socket.wait_closed()
                elif how == "drop":
                    server.drop()
                    await running.end()
                    assert isinstance(waiting.error, ConnectionLostError)
                else:
                    gate.open()
                    await waiting.end()
                    await loop.move(61)  # what was armed finds nothing to do
                assert "RequestTimer._check" not in loop.timers

        run(main)

    def test_without_limits_there_is_no_timer(self, server: ResponsesServer) -> None:
        async def main(loop: MovedLoop) -> None:
            server.reply(["text", Hold()])
            async with ResponsesWebSocket(server.url, options=quiet()) as socket:
                await Watch(socket.send_request(ask())).count(2)
                assert "RequestTimer._check" not in loop.timers

        run(main)


@pytest.mark.parametrize(("clock", "after"), [("first_event_timeout", 0), ("idle_timeout", 2)])
def test_what_is_sent_again_goes_on_another_lane_as_the_error_says(
    server: ResponsesServer, clock: str, after: int
) -> None:
    """Its own lane is taken; with `queue_timeout` that has an end too."""

    async def main(loop: MovedLoop) -> None:
        server.reply(["text", Hold(after=after)], "the answer")
        options = quiet(queue_timeout=60, **{clock: 60})
        async with ResponsesWebSocket(server.url, options=options) as socket:
            stuck = Watch(socket.send_request(ask()))
            await server.until(lambda: len(server.requests) == 1)
            await stuck.count(after)
            await loop.move(60)
            await stuck.end()
            assert "send it again on another lane or connection" in str(stuck.error)
            again = Watch(socket.send_request(ask()))
            elsewhere = await Watch(socket.send_request(ask(), stream_id="another")).end()
            assert elsewhere.text == "the answer"
            await loop.move(60)
            assert isinstance(again.error, QueueTimeoutError)
            assert "another lane or connection" in str(again.error)

    run(main)


class TestOnDispose:
    @pytest.mark.parametrize(("clock", "after"), [("first_event_timeout", 0), ("idle_timeout", 2)])
    def test_what_is_overdue_closes_the_connection_when_asked_to(
        self, server: ResponsesServer, clock: str, after: int
    ) -> None:
        async def main(loop: MovedLoop) -> None:
            server.on("stuck", ["text", Hold(after=after)])
            server.on("hold", ["text", Hold(after=2 - after)])  # its own clock does not run
            options = quiet(on_dispose="close", **{clock: 60})
            async with ResponsesWebSocket(server.url, options=options) as socket:
                stuck = Watch(socket.send_request(ask("stuck"), stream_id="a"))
                held = Watch(socket.send_request(ask("hold"), stream_id="b"))
                await server.until(lambda: len(server.requests) == 2)
                await stuck.count(after)
                await held.count(2 - after)
                await loop.move(60)
                await stuck.end()
                assert stuck.error.seconds == 60
                await held.end()
                assert isinstance(held.error, ConnectionLostError)
                assert held.error.delivery == ("unknown" if after else "started")
                await server.until(lambda: server.connections == 0)
                assert (await Watch(socket.send_request(ask("after"))).end()).completions == 1
                assert server.accepted == 2

        run(main)

    def test_waiting_in_vain_closes_nothing(self, server: ResponsesServer) -> None:
        async def main(loop: MovedLoop) -> None:
            gate = server.gate()
            server.on("hold", ["text", Hold(gate)])
            options = quiet(on_dispose="close", queue_timeout=60)
            async with ResponsesWebSocket(server.url, options=options) as socket:
                running = await Watch(socket.send_request(ask("hold"))).count(2)
                waiting = Watch(socket.send_request(ask("wait")))
                await loop.move(60)
                assert isinstance(waiting.error, QueueTimeoutError)
                gate.open()
                assert (await running.end()).completions == 1
                assert server.accepted == 1

        run(main)


# Servers that do less than the embedded one.


@asynccontextmanager
async def silent() -> AsyncIterator[str]:
    """A listener that never answers the handshake; yield its base URL."""

    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(read, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


class Peer:
    """A bare server on the same loop, for one connection: what it received, and what to send to it."""

    def __init__(self) -> None:
        self.url = ""
        self.pings = 0
        self.connection: ServerConnection | None = None
        self.received: list[str | bytes] = []
        self._changed = asyncio.Event()

    def changed(self) -> None:
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def send(self, *messages: str) -> None:
        assert self.connection is not None
        for message in messages:
            await self.connection.send(message)

    def pause(self) -> None:
        """Read nothing more, pings included."""
        assert self.connection is not None
        self.connection.transport.pause_reading()

    def resume(self) -> None:
        assert self.connection is not None
        self.connection.transport.resume_reading()


@asynccontextmanager
async def bare() -> AsyncIterator[Peer]:
    peer = Peer()

    class Counting(ServerConnection):
        def process_event(self, event: Any) -> None:
            super().process_event(event)
            peer.pings += getattr(event, "opcode", None) is Opcode.PING
            peer.changed()

    async def handle(connection: ServerConnection) -> None:
        peer.connection = connection
        async for message in connection:
            peer.received.append(message)
            peer.changed()

    async with serve(
        handle, "127.0.0.1", 0, create_connection=Counting, ping_interval=None, close_timeout=0.1, max_size=None
    ) as server:
        peer.url = f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/v1"
        try:
            yield peer
        finally:
            if peer.connection is not None:
                peer.connection.transport.abort()  # it may be paused


LARGE = 2**25  # more than the buffers on the way take
CREATED = '{"type": "response.created", "response": {"id": "r1"}}'
DELTA = '{"type": "response.output_text.delta", "delta": "x"}'
COMPLETED = '{"type": "response.completed", "response": {"id": "r1"}}'
ACCEPTED = '{"type": "response.steer.accepted", "steer": {"id": "s1", "previous_response_id": "r1"}}'


class TestPausedReading:
    def test_a_paused_reader_is_not_idle(self) -> None:
        async def main(loop: MovedLoop) -> None:
            async with bare() as peer, ResponsesWebSocket(peer.url, options=quiet(idle_timeout=60)) as socket:
                got = Watch(socket.send_request(ask()))
                await peer.until(lambda: len(peer.received) == 1)
                await peer.send(CREATED)
                await got.count(1)
                read_pause = connection_of(socket).read_pause
                read_pause.consumer_lags(self)
                await peer.send(DELTA)
                waiting = Watch(socket.send_request(ask("waiting")))
                await loop.move(600)
                assert not got.ended
                read_pause.consumer_caught_up(self)
                await got.count(2)
                await loop.move(59)
                assert not got.ended
                await loop.move(1)
                assert isinstance(got.error, IdleTimeoutError)
                assert not waiting.ended

        run(main)

    def test_it_may_wait_for_its_turn_no_longer_than_otherwise(self) -> None:
        async def main(loop: MovedLoop) -> None:
            async with bare() as peer, ResponsesWebSocket(peer.url, options=quiet(queue_timeout=60)) as socket:
                got = Watch(socket.send_request(ask()))
                await peer.until(lambda: len(peer.received) == 1)
                await peer.send(CREATED)
                await got.count(1)
                connection_of(socket).read_pause.consumer_lags(self)
                waiting = Watch(socket.send_request(ask("waiting")))
                await loop.move(60)
                assert isinstance(waiting.error, QueueTimeoutError)
                connection_of(socket).read_pause.consumer_caught_up(self)

        run(main)


class TestSteering:
    def test_one_response_that_several_steers_share_is_timed_for_all(self) -> None:
        async def main(loop: MovedLoop) -> None:
            async with bare() as peer, ResponsesWebSocket(peer.url, options=quiet(idle_timeout=60)) as socket:
                got = Watch(socket.send_request(ask()))
                await peer.until(lambda: len(peer.received) == 1)
                await peer.send(CREATED)
                await got.count(1)
                steers = [Watch(socket.steer("r1", text)) for text in ("shorter", "louder")]
                await peer.until(lambda: len(peer.received) == 3)
                await peer.send(ACCEPTED, ACCEPTED.replace("s1", "s2"))
                await peer.send(COMPLETED, CREATED.replace("r1", "r2"))
                for one in steers:
                    await one.count(2)
                await loop.move(60)
                for one in steers:
                    assert isinstance(one.error, IdleTimeoutError)
                    assert one.error.delivery == "started"

        run(main)

    @pytest.mark.parametrize("lane", [None, "a"])
    def test_scenario_37_accepted_and_no_successor(self, server: ResponsesServer, lane: str | None) -> None:
        async def main(loop: MovedLoop) -> None:
            gate, late = server.gate(), server.gate()
            server.reply([Text(deltas=["a", "b"]), Hold(gate, after=5)])
            server.reply(["swallowed", Hold(late, after=0)], "the next one")
            async with ResponsesWebSocket(server.url, options=quiet(steer_timeout=10)) as socket:
                target = await Watch(socket.send_request(ask(), stream_id=lane)).count(5)
                response_id = target.values[0].response.id  # type: ignore[attr-defined]
                steer = await Watch(socket.steer(response_id, "shorter")).count(1)
                assert steer.types == ["response.steer.accepted"]
                await loop.move(3600)
                assert not steer.ended  # the response takes its time
                gate.open()
                await target.end()
                everything, unrouted = Watch(socket.events), Watch(socket.unrouted)
                after = Watch(socket.send_request(ask("after"), stream_id=lane))
                await loop.move(9)
                assert not steer.ended
                assert len(server.requests) == 1
                await loop.move(1)
                assert isinstance(steer.error, SteerTimeoutError)
                assert (steer.error.seconds, steer.error.delivery, steer.error.stream_id) == (10, "started", lane)
                assert "accepted the steer" in str(steer.error)
                await server.until(lambda: len(server.exchanges) == 2)
                late.open()  # it comes after all, before what the next request asked for
                assert (await after.end()).text == "the next one"
                assert after.types[0] == "response.created"
                assert everything.text == "swallowed" + "the next one"
                assert unrouted.values == []
                assert steer.types == ["response.steer.accepted"]
                again = Watch(socket.send_request(ask("again"), stream_id=lane))
                assert (await again.end()).types[-1] == "response.completed"

        run(main)

    def test_accepted_when_its_target_had_ended(self) -> None:
        async def main(loop: MovedLoop) -> None:
            async with bare() as peer, ResponsesWebSocket(peer.url, options=quiet(steer_timeout=10)) as socket:
                response = Watch(socket.send_request(ask()))
                await peer.until(lambda: len(peer.received) == 1)
                await peer.send(CREATED)
                await response.count(1)
                steer = Watch(socket.steer("r1", "shorter"))
                await peer.until(lambda: len(peer.received) == 2)
                await peer.send(COMPLETED)
                await response.end()
                after = Watch(socket.send_request(ask("after")))
                await loop.move(9)
                await peer.send(ACCEPTED)
                await steer.count(1)
                await loop.move(9)
                assert not steer.ended
                await loop.move(1)
                assert isinstance(steer.error, SteerTimeoutError)
                assert steer.error.delivery == "started"
                await peer.until(lambda: len(peer.received) == 3)
                await peer.send(COMPLETED.replace("r1", "r2"))
                assert (await after.end()).completions == 1

        run(main)

    def test_it_may_wait_for_ever(self) -> None:
        async def main(loop: MovedLoop) -> None:
            async with bare() as peer, ResponsesWebSocket(peer.url, options=quiet(steer_timeout=None)) as socket:
                response = Watch(socket.send_request(ask()))
                await peer.until(lambda: len(peer.received) == 1)
                await peer.send(CREATED)
                await response.count(1)
                steer = Watch(socket.steer("r1", "shorter"))
                await peer.until(lambda: len(peer.received) == 2)
                await peer.send(ACCEPTED, COMPLETED)
                await response.end()
                await loop.move(1e6)
                assert not steer.ended
                await peer.send(CREATED.replace("r1", "r2"), COMPLETED.replace("r1", "r2"))
                assert (await steer.end()).completions == 1

        run(main)

    def test_a_paused_reader_does_not_wait_for_the_successor(self) -> None:
        async def main(loop: MovedLoop) -> None:
            async with bare() as peer, ResponsesWebSocket(peer.url, options=quiet(steer_timeout=10)) as socket:
                response = Watch(socket.send_request(ask()))
                await peer.until(lambda: len(peer.received) == 1)
                await peer.send(CREATED)
                await response.count(1)
                steer = Watch(socket.steer("r1", "shorter"))
                await peer.until(lambda: len(peer.received) == 2)
                await peer.send(ACCEPTED, COMPLETED)
                await response.end()
                read_pause = connection_of(socket).read_pause
                read_pause.consumer_lags(self)
                await peer.send(CREATED.replace("r1", "r2"))
                await loop.move(600)
                assert not steer.ended
                read_pause.consumer_caught_up(self)
                await steer.count(2)
                await peer.send(COMPLETED.replace("r1", "r2"))
                assert (await steer.end()).completions == 1

        run(main)

    def test_what_is_nobodys_lets_the_next_request_go_all_the_same(self) -> None:
        """Here it shows that a late successor is over."""

        async def main(loop: MovedLoop) -> None:
            async with bare() as peer, ResponsesWebSocket(peer.url, options=quiet(steer_timeout=10)) as socket:
                response = Watch(socket.send_request(ask()))
                await peer.until(lambda: len(peer.received) == 1)
                await peer.send(CREATED)
                await response.count(1)
                steer = Watch(socket.steer("r1", "shorter"))
                await peer.until(lambda: len(peer.received) == 2)
                await peer.send(ACCEPTED, COMPLETED)
                await response.end()
                await loop.move(10)
                assert isinstance(steer.error, SteerTimeoutError)
                everything, unrouted = Watch(socket.events), Watch(socket.unrouted)
                await peer.send(CREATED.replace("r1", "r2"))
                await everything.count(1)
                after = Watch(socket.send_request(ask("after")))
                await loop.turn()
                assert len(peer.received) == 2
                stranger = '{"type": "response.created", "response": {"id": "r8", "previous_response_id": "r7"}}'
                await peer.send(stranger)
                await unrouted.count(1)
                await peer.until(lambda: len(peer.received) == 3)
                await peer.send(CREATED.replace("r1", "r3"), COMPLETED.replace("r1", "r3"))
                assert (await after.end()).completions == 1

        run(main)

    def test_scenario_37_a_server_that_ignores_a_steer_in_silence(self) -> None:
        async def main(loop: MovedLoop) -> None:
            async with bare() as peer, ResponsesWebSocket(peer.url, options=quiet(steer_timeout=10)) as socket:
                response = Watch(socket.send_request(ask()))
                await peer.until(lambda: len(peer.received) == 1)
                await peer.send(CREATED)
                await response.count(1)
                steer = Watch(socket.steer("r1", "shorter"))
                await peer.until(lambda: len(peer.received) == 2)
                after = Watch(socket.send_request(ask("after")))
                await loop.move(9)
                assert not steer.ended
                await loop.move(1)
                assert isinstance(steer.error, SteerTimeoutError)
                assert (steer.error.seconds, steer.error.delivery, steer.error.stream_id) == (10, "unknown", None)
                await peer.send(DELTA, COMPLETED)
                assert (await response.end()).completions == 1
                await peer.until(lambda: len(peer.received) == 3)
                await peer.send(COMPLETED.replace("r1", "r2"))
                assert (await after.end()).completions == 1

        run(main)


class Pongs:
    """Counts the pongs that reach the client."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.came = asyncio.Event()
        pongs = self

        class Counting(FrameConnection):
            def process_event(self, event: Any) -> None:
                super().process_event(event)
                if getattr(event, "opcode", None) is Opcode.PONG:
                    pongs.count += 1
                    pongs.came.set()

        monkeypatch.setattr("rxresponses.net.connect.FrameConnection", Counting)

    async def until(self, count: int) -> None:
        while self.count < count:
            self.came.clear()
            await self.came.wait()


class TestPings:
    OPTIONS = ConnectionOptions(ping_interval=20, ping_timeout=15, close_timeout=0.1, lanes=True)

    def test_scenario_26_ten_minutes_of_silence_with_pongs_are_life(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def main(loop: MovedLoop) -> None:
            pongs = Pongs(monkeypatch)
            async with bare() as peer, ResponsesWebSocket(peer.url, options=self.OPTIONS) as socket:
                got = Watch(socket.send_request(ask()))
                await peer.until(lambda: len(peer.received) == 1)
                for number in range(30):
                    await loop.move(20)
                    await pongs.until(number + 1)
                    await loop.turn()
                assert peer.pings == 30
                await peer.send(CREATED, DELTA, COMPLETED)
                assert (await got.end()).completions == 1

        run(main)

    def test_scenario_26_life_in_real_time(self) -> None:
        """Many times `ping_interval`, by a clock that goes by itself."""

        async def main() -> None:
            options = ConnectionOptions(ping_interval=0.02, ping_timeout=5.0)
            async with bare() as peer, ResponsesWebSocket(peer.url, options=options) as socket:
                got = Watch(socket.send_request(ask()))
                await peer.until(lambda: peer.pings >= 10)
                await peer.send(CREATED, COMPLETED)
                assert (await got.end()).completions == 1

        asyncio.run(asyncio.wait_for(main(), WAIT))

    def test_scenario_26_no_pong_is_death(self) -> None:
        async def main(loop: MovedLoop) -> None:
            async with bare() as peer, ResponsesWebSocket(peer.url, options=self.OPTIONS) as socket:
                started = Watch(socket.send_request(ask(), stream_id="a"))
                await peer.until(lambda: len(peer.received) == 1)
                await peer.send(CREATED.replace("{", '{"stream_id": "a", ', 1))
                await started.count(1)
                sent = Watch(socket.send_request(ask(), stream_id="b"))
                waiting = Watch(socket.send_request(ask(), stream_id="b"))
                await peer.until(lambda: len(peer.received) == 2)
                peer.pause()
                await loop.move(20)
                await loop.move(14)
                assert not started.ended
                await loop.move(1)
                for got, delivery in ((started, "started"), (sent, "unknown"), (waiting, "not_sent")):
                    await got.end()
                    assert isinstance(got.error, PongTimeoutError)
                    assert isinstance(got.error, ConnectionLostError)
                    assert (got.error.delivery, got.error.close_code) == (delivery, 1006)
                assert started.error.response_id == "r1"
                assert "15 s" in str(started.error)

        run(main)

    def test_a_paused_reader_is_not_dead(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def main(loop: MovedLoop) -> None:
            pongs = Pongs(monkeypatch)
            async with bare() as peer, ResponsesWebSocket(peer.url, options=self.OPTIONS) as socket:
                got = Watch(socket.send_request(ask()))
                await peer.until(lambda: len(peer.received) == 1)
                await peer.send(CREATED)
                await got.count(1)
                read_pause = connection_of(socket).read_pause
                read_pause.consumer_lags(self)
                await loop.move(20)
                await peer.until(lambda: peer.pings == 1)
                for _ in range(10):
                    await loop.move(15)
                assert not got.ended
                assert pongs.count == 0
                read_pause.consumer_caught_up(self)
                await pongs.until(1)
                await peer.send(COMPLETED)
                assert (await got.end()).completions == 1

        run(main)

    def test_a_reader_that_was_paused_in_between_is_not_dead(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def main(loop: MovedLoop) -> None:
            pongs = Pongs(monkeypatch)
            async with bare() as peer, ResponsesWebSocket(peer.url, options=self.OPTIONS) as socket:
                got = Watch(socket.send_request(ask()))
                await peer.until(lambda: len(peer.received) == 1)
                peer.pause()
                await loop.move(20)  # the ping is out
                read_pause: ReadPause = connection_of(socket).read_pause
                read_pause.consumer_lags(self)
                await loop.move(10)
                read_pause.consumer_caught_up(self)
                await loop.move(5)
                assert not got.ended
                peer.resume()
                await pongs.until(1)
                peer.pause()
                await loop.turn()
                await loop.move(20)
                await loop.move(15)  # and now nobody is to blame but the peer
                await got.end()
                assert isinstance(got.error, PongTimeoutError)

        run(main)

    def test_scenario_26_no_pong_while_a_large_request_is_written(self) -> None:
        """Half-open, with the buffers full: the ping itself cannot be written."""

        async def main(loop: MovedLoop) -> None:
            async with bare() as peer, ResponsesWebSocket(peer.url, options=self.OPTIONS) as socket:
                first = Watch(socket.send_request(ask(), stream_id="a"))
                await peer.until(lambda: len(peer.received) == 1)
                peer.pause()
                large = Watch(socket.send_request(ask("x" * LARGE)))
                await loop.turn()
                await loop.move(20)
                await loop.move(14)
                assert not large.ended
                await loop.move(1)
                for got in (first, large):
                    await got.end()
                    assert isinstance(got.error, PongTimeoutError)
                    assert got.error.delivery == "unknown"

        run(main)

    def test_a_slow_upload_is_life(self) -> None:
        async def main(loop: MovedLoop) -> None:
            async with bare() as peer, ResponsesWebSocket(peer.url, options=self.OPTIONS) as socket:
                first = Watch(socket.send_request(ask(), stream_id="a"))
                await peer.until(lambda: len(peer.received) == 1)
                peer.pause()
                large = Watch(socket.send_request(ask("x" * LARGE)))
                await loop.turn()
                websocket = connection_of(socket)._websocket
                assert websocket is not None
                left = websocket.transport.get_write_buffer_size
                await loop.move(20)
                for _ in range(5):
                    before = left()
                    peer.resume()
                    while left() >= before:  # noqa: ASYNC110 - the peer's buffers tell nobody
                        await asyncio.sleep(0)
                    peer.pause()
                    await loop.move(15)
                    assert not large.ended
                peer.resume()
                await peer.until(lambda: len(peer.received) == 2)
                await peer.send(CREATED, COMPLETED)
                assert (await large.end()).completions == 1
                assert not first.ended

        run(main)

    def test_without_a_ping_timeout_pings_go_out_all_the_same(self) -> None:
        async def main(loop: MovedLoop) -> None:
            options = ConnectionOptions(ping_interval=20, ping_timeout=None)
            async with bare() as peer, ResponsesWebSocket(peer.url, options=options) as socket:
                got = Watch(socket.send_request(ask()))
                await peer.until(lambda: len(peer.received) == 1)
                for number in range(3):
                    await loop.move(20)
                    await peer.until(lambda number=number: peer.pings == number + 1)  # type: ignore[misc]
                await peer.send(CREATED, COMPLETED)
                assert (await got.end()).completions == 1

        run(main)


class TestOperators:
    """The same clocks as operators, on a socket that has none of its own."""

    def test_scenario_27_and_55_as_operators(self, server: ResponsesServer) -> None:
        server.on("first", Hold(after=0))
        server.on("idle", ["text", Hold()])
        with ResponsesWebSocket(server.url, options=ConnectionOptions(lanes=True)) as socket:
            first = socket.send_request(ask("first"), stream_id="a").pipe(rops.first_event_timeout(0.05))
            idle = socket.send_request(ask("idle"), stream_id="b").pipe(rops.idle_timeout(0.05), ops.ignore_elements())
            assert isinstance(Recorder(first).wait().error, FirstEventTimeoutError)
            assert isinstance(Recorder(idle).wait().error, IdleTimeoutError)
