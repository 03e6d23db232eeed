"""Lagging consumers: the socket pauses for a lone one, and ends the stream of one that shares the socket."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from reactivex import Observable, Subject, merge, throw
from reactivex import operators as ops

from rxresponses import (
    BufferOverflowError,
    ConnectionLostError,
    ConnectionOptions,
    PoolOptions,
    ResponsesClient,
    ResponsesWebSocket,
    ServerEvent,
)
from rxresponses import operators as rops
from rxresponses.testing import Close, DropStreamIds, Fault, Hold, Raw, ResponsesServer, Text

from ..support.clients import CLOSE_ON_DISPOSE, WITH_LANES, ask, run
from ..support.frames import Frame, response
from ..support.internals import connections_of, read_pause_of, spin_until
from ..support.recorder import WAIT, Recorder

COUNT = 5_000


def burst(stream_id: str | None = None, size: int = 1) -> list[Frame]:
    """A response of many deltas, each with its number."""
    lane = {} if stream_id is None else {"stream_id": stream_id}
    return response(f"r-{stream_id}", *(f"{n} " * size for n in range(COUNT)), **lane)


def texts(events: list[ServerEvent]) -> list[str]:
    return [event.delta for event in events if event.type == "response.output_text.delta"]  # type: ignore[attr-defined]


EXPECTED = [f"{n} " for n in range(COUNT)]


def test_a_lone_consumer_that_lags_pauses_the_socket_and_loses_nothing(server: ResponsesServer) -> None:
    server.reply(Raw(burst()))

    async def main() -> None:
        async with ResponsesWebSocket(server.url) as socket:
            got: list[ServerEvent] = []
            async with socket.send_request(ask()).pipe(rops.to_async_iterable(max_buffered=50)) as events:
                iterator = events.__aiter__()
                got.append(await iterator.__anext__())
                read_pause = read_pause_of(socket)
                await spin_until(lambda: read_pause.active)
                async for event in iterator:
                    got.append(event)
            assert texts(got) == EXPECTED
            assert read_pause.count > 1  # the exact number depends on how the frames arrive
            assert not read_pause.active

    run(main())


@pytest.mark.parametrize("max_buffered", [1, 2, 3, 7])
def test_any_size_of_the_buffer(server: ResponsesServer, max_buffered: int) -> None:
    server.reply(Raw(burst()))

    async def main() -> None:
        async with (
            ResponsesWebSocket(server.url) as socket,
            socket.send_request(ask()).pipe(rops.to_async_iterable(max_buffered=max_buffered)) as events,
        ):
            assert texts([event async for event in events]) == EXPECTED

    run(main())


def test_buffered_events_come_before_the_loss(server: ResponsesServer) -> None:
    server.reply([Raw(burst()[:-1]), Close(1006, after=COUNT + 1)])

    async def main() -> None:
        got: list[ServerEvent] = []
        async with ResponsesWebSocket(server.url) as socket:
            events = socket.send_request(ask()).pipe(rops.to_async_iterable(max_buffered=10))
            with pytest.raises(ConnectionLostError):  # noqa: PT012
                async for event in events:
                    got.append(event)
        assert texts(got) == EXPECTED[: len(texts(got))]

    run(main())


def test_disposing_a_paused_stream_resumes_the_socket(server: ResponsesServer) -> None:
    server.reply(Raw(burst()), "the next")

    async def main() -> None:
        async with ResponsesWebSocket(server.url) as socket:
            async with socket.send_request(ask()).pipe(rops.to_async_iterable(max_buffered=20)) as events:
                async for _ in events:
                    await spin_until(lambda: read_pause_of(socket).active)
                    break
            assert await socket.send_request(ask()).pipe(rops.collect_text()) == "the next"
        assert server.accepted == 1

    run(main())


def test_closing_a_paused_socket_is_prompt(server: ResponsesServer) -> None:
    server.reply(Raw(burst()))

    async def main() -> None:
        socket = ResponsesWebSocket(server.url)
        events = socket.send_request(ask()).pipe(rops.to_async_iterable(max_buffered=20))
        async for _ in events:
            await spin_until(lambda: read_pause_of(socket).active)
            break
        socket.close()
        await socket.wait_closed()
        await server.until(lambda: server.connections == 0)

    run(main())


def test_scenario_39_a_lane_never_drained_overflows_and_the_others_complete(server: ResponsesServer) -> None:
    rest = server.gate()
    server.on("lazy", [Raw(burst("lazy")), Hold(rest, after=COUNT)])
    server.on("again", "the next")
    server.on("busy", Raw(burst("busy")))
    others = server.gate()
    server.on("other", ["the other", Hold(others)])

    async def main() -> None:
        async with ResponsesWebSocket(server.url, options=WITH_LANES) as socket:
            other = Recorder(socket.send_request(ask("other"), stream_id="other").pipe(rops.collect_text()))
            await server.until(lambda: len(server.requests) == 1)
            lazy_events = socket.send_request(ask("lazy"), stream_id="lazy")
            lazy = lazy_events.pipe(rops.to_async_iterable(max_buffered=1_000)).__aiter__()
            first = await lazy.__anext__()
            assert first.type == "response.created"
            busy = await socket.send_request(ask("busy"), stream_id="busy").pipe(ops.count())
            assert busy == COUNT + 2
            read_pause = read_pause_of(socket)
            others.open()
            await spin_until(lambda: other.ended)
            assert other.values == ["the other"]
            # The overflown response is alone now, and the socket reads on: the stream has ended.
            assert not read_pause.active
            rest.open()
            following = socket.send_request(ask("again"), stream_id="lazy").pipe(rops.collect_text())
            assert await following == "the next"
            got = []
            with pytest.raises(BufferOverflowError) as raised:  # noqa: PT012
                while True:
                    got.append(await lazy.__anext__())
            assert texts(got) == EXPECTED[:1_000]
            assert raised.value.stream_id == "lazy"

    run(main())


@pytest.mark.parametrize("first", ["before", "after"])
def test_scenario_39_a_request_that_waits_for_its_lane_is_not_delayed(server: ResponsesServer, first: str) -> None:
    """The connection is paused before the request comes, or it is not."""
    server.reply(Raw(burst()), "the next")

    async def main() -> None:
        async with ResponsesWebSocket(server.url) as socket:
            lazy = socket.send_request(ask()).pipe(rops.to_async_iterable(max_buffered=50)).__aiter__()
            await lazy.__anext__()
            if first == "after":
                await spin_until(lambda: read_pause_of(socket).active)
            assert await socket.send_request(ask()).pipe(rops.collect_text()) == "the next"
            with pytest.raises(BufferOverflowError):  # noqa: PT012
                while True:
                    await lazy.__anext__()

    run(main())


def test_scenario_39_a_request_that_waits_for_a_server_without_lanes_is_not_delayed() -> None:
    async def main(server: ResponsesServer) -> None:
        async with ResponsesWebSocket(server.url) as socket:
            lazy = socket.send_request(ask("lazy"), stream_id="lazy")
            stream = lazy.pipe(rops.to_async_iterable(max_buffered=50)).__aiter__()
            await stream.__anext__()
            await spin_until(lambda: read_pause_of(socket).active)
            other = socket.send_request(ask("other"), stream_id="other").pipe(rops.collect_text())
            assert await other == "the other"

    with ResponsesServer(faults=[Fault(DropStreamIds())]) as server:
        server.on("lazy", Raw(burst()))
        server.on("other", "the other")
        run(main(server))


def test_the_socket_pauses_again_after_the_waiting_request_is_disposed(server: ResponsesServer) -> None:
    gate = server.gate()
    server.reply([Raw(burst()), Hold(gate, after=2)])

    async def main() -> None:
        async with ResponsesWebSocket(server.url) as socket:
            lazy = socket.send_request(ask()).pipe(rops.to_async_iterable(max_buffered=50)).__aiter__()
            got = [await lazy.__anext__()]
            waiting = socket.send_request(ask()).subscribe()
            waiting.dispose()
            gate.open()
            await spin_until(lambda: read_pause_of(socket).active)
            got += [event async for event in lazy]
            assert texts(got) == EXPECTED

    run(main())


@pytest.mark.parametrize("stream_id", [None, "conversation"])
def test_scenario_39_a_request_that_waits_in_a_client_is_not_delayed(
    server: ResponsesServer, stream_id: str | None
) -> None:
    """The request waits for its lane, or for the response that runs on the only connection."""
    server.on("lazy", [Text(deltas=EXPECTED)])
    server.on("next", "the next")
    options = ConnectionOptions(lanes=stream_id is not None)

    async def main() -> None:
        async with ResponsesClient(server.url, options=options, pool=PoolOptions(max_connections=1)) as client:
            request = client.send_request(ask("lazy"), stream_id=stream_id)
            lazy = request.pipe(rops.to_async_iterable(max_buffered=50)).__aiter__()
            await lazy.__anext__()
            read_pause = read_pause_of(client)
            await spin_until(lambda: read_pause.active)
            following = client.send_request(ask("next"), stream_id=stream_id).pipe(rops.collect_text())
            assert await following == "the next"
            with pytest.raises(BufferOverflowError):  # noqa: PT012
                while True:
                    await lazy.__anext__()

    run(main())


def test_a_request_that_waits_for_another_connection_overflows_no_buffer(server: ResponsesServer) -> None:
    """A second connection is being opened, so the connection of the lagging consumer stays paused."""
    server.on("lazy", Raw(burst()))
    server.on("other", "the other")

    async def main() -> None:
        gate = asyncio.Event()

        async def key() -> str:
            if server.accepted:
                await gate.wait()
            return "k"

        async with ResponsesClient(server.url, api_key=key, options=ConnectionOptions(lanes=False)) as client:
            lazy = client.send_request(ask("lazy")).pipe(rops.to_async_iterable(max_buffered=50)).__aiter__()
            got = [await lazy.__anext__()]
            read_pause = read_pause_of(client)
            await spin_until(lambda: read_pause.active)
            other = Recorder(client.send_request(ask("other")).pipe(rops.collect_text()))
            await spin_until(lambda: len(connections_of(client)) == 2)
            assert read_pause.active
            gate.set()
            await spin_until(lambda: other.ended)
            assert read_pause.active
            got += [event async for event in lazy]
            assert texts(got) == EXPECTED

    run(main())


def test_an_overflow_closes_the_connection_with_close_on_dispose(server: ResponsesServer) -> None:
    """The other request on the connection gets an error that names the reason."""
    server.on("lazy", Raw(burst("lazy")))
    server.on("hold", ["held", Hold()])

    async def main() -> None:
        options = CLOSE_ON_DISPOSE
        async with ResponsesWebSocket(server.url, options=options) as socket:
            held = Recorder(socket.send_request(ask("hold"), stream_id="held"))
            await spin_until(lambda: bool(held.values))
            lazy = socket.send_request(ask("lazy"), stream_id="lazy")
            stream = lazy.pipe(rops.to_async_iterable(max_buffered=50)).__aiter__()
            await stream.__anext__()
            await spin_until(lambda: held.ended)
            assert isinstance(held.error, ConnectionLostError)
            assert "its consumer lagged" in str(held.error)
            with pytest.raises(BufferOverflowError):  # noqa: PT012
                while True:
                    await stream.__anext__()

    run(main())


def test_a_disposed_stream_does_not_pause_the_socket(server: ResponsesServer) -> None:
    """Its consumer still gets the buffered events; the rest of the response is swallowed."""
    server.reply(Raw(burst()), "the next")

    async def main() -> None:
        async with ResponsesWebSocket(server.url) as socket:
            stop: Subject[None] = Subject()
            timed_out: Observable[ServerEvent] = throw(TimeoutError())
            ends = merge(socket.send_request(ask()), stop.pipe(ops.flat_map(lambda _: timed_out)))
            lazy = ends.pipe(rops.to_async_iterable(max_buffered=20)).__aiter__()
            await lazy.__anext__()
            read_pause = read_pause_of(socket)
            await spin_until(lambda: read_pause.active)
            stop.on_next(None)
            assert await socket.send_request(ask()).pipe(rops.collect_text()) == "the next"
            got = []
            with pytest.raises(TimeoutError):  # noqa: PT012
                while True:
                    got.append(await lazy.__anext__())
            assert texts(got) == EXPECTED[: len(got)]

    run(main())


class TestAnotherLoop:
    def test_a_blocked_loop_pauses_the_socket(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        Recorder(socket.send_request(ask())).wait()  # from here on the sender lives on the background loop
        options = socket._options
        object.__setattr__(options, "max_buffered_bytes", 4_000)
        server.reply(Raw(burst()))
        paused = threading.Event()

        async def main() -> None:
            read_pause = read_pause_of(socket)
            got: list[ServerEvent] = []

            def on_next(event: ServerEvent) -> None:
                got.append(event)
                if len(got) == 1:  # block this loop until the socket pauses
                    while not read_pause.active:
                        paused.wait(0.001)

            assert (await socket.send_request(ask()).pipe(ops.do_action(on_next))).type == "response.completed"
            assert texts(got) == EXPECTED
            assert read_pause.count

        run(main())

    def test_a_loop_that_has_ended_does_not_pause_the_socket(self, server: ResponsesServer) -> None:
        server.reply("first", Raw(burst()), "the next")
        with ResponsesWebSocket(server.url, options=ConnectionOptions(max_buffered_bytes=4_000)) as socket:
            Recorder(socket.send_request(ask())).wait()  # from here on the sender lives on the background loop
            abandoned: list[ServerEvent] = []

            async def main() -> None:
                socket.send_request(ask()).subscribe(abandoned.append)
                read_pause = read_pause_of(socket)
                while not read_pause.active:
                    threading.Event().wait(0.001)

            run(main())
            assert Recorder(socket.send_request(ask())).wait().text == "the next"
        assert server.accepted == 1
        assert len(abandoned) < COUNT

    @pytest.mark.parametrize("what", ["send_request", "events"])
    def test_a_disposed_subscription_does_not_pause_the_socket(
        self, server: ResponsesServer, socket: ResponsesWebSocket, what: str
    ) -> None:
        Recorder(socket.send_request(ask())).wait()  # from here on the sender lives on the background loop
        object.__setattr__(socket._options, "max_buffered_bytes", 4_000)
        socket._events._max_bytes = 4_000
        server.reply(Raw(burst()), "the next")

        async def main() -> None:
            read_pause = read_pause_of(socket)
            source = socket.send_request(ask()) if what == "send_request" else socket.events
            subscription = source.subscribe()
            others: list[Recorder[ServerEvent]] = []

            def elsewhere() -> None:
                if what == "events":
                    others.append(Recorder(socket.send_request(ask())))
                while not read_pause.active:
                    threading.Event().wait(0.001)
                subscription.dispose()
                assert Recorder(socket.send_request(ask())).wait().text == "the next"
                for other in others:
                    other.wait()

            with ThreadPoolExecutor() as threads:
                threads.submit(elsewhere).result(WAIT)  # this loop is blocked meanwhile

        run(main())

    @pytest.mark.parametrize("way", ["async for", "subscribe"])
    def test_scenario_39_a_lagging_subscriber_of_all_events_gets_an_overflow(
        self, server: ResponsesServer, caplog: pytest.LogCaptureFixture, way: str
    ) -> None:
        server.on("burst", Raw(burst("other", size=10)))
        gate = server.gate()
        server.on("hold", ["held", Hold(gate)])
        options = ConnectionOptions(max_buffered_bytes=20_000, lanes=True)
        with ResponsesWebSocket(server.url, options=options) as socket:
            held = Recorder(socket.send_request(ask("hold"), stream_id="held")).wait_for(2)

            async def main() -> None:
                got: list[ServerEvent] = []
                events = socket.events

                async def watch() -> None:
                    if way == "async for":
                        async for event in events.pipe(rops.to_async_iterable()):
                            got.append(event)
                    else:
                        await events.pipe(ops.do_action(got.append))

                watching = asyncio.ensure_future(watch())
                await asyncio.sleep(0)  # the task subscribes
                other = socket.send_request(ask("burst"), stream_id="other")
                with ThreadPoolExecutor() as threads:
                    threads.submit(lambda: Recorder(other).wait()).result(WAIT)  # this loop is blocked meanwhile
                with pytest.raises(BufferOverflowError, match="bytes"):
                    await watching
                assert 0 < len(got) < COUNT

            run(main())
            gate.open()
            assert held.wait().completions == 1
        assert not caplog.records  # no observer raised

    def test_a_lagging_request_that_shares_the_socket_overflows(self, server: ResponsesServer) -> None:
        server.on("lazy", Raw(burst("lazy", size=10)))
        gate = server.gate()
        server.on("hold", ["held", Hold(gate)])
        options = ConnectionOptions(max_buffered_bytes=20_000, lanes=True)
        overflown = threading.Event()
        with ResponsesWebSocket(server.url, options=options) as socket:
            held = Recorder(socket.send_request(ask("hold"), stream_id="held")).wait_for(2)
            Recorder(socket.events, lambda event: overflown.set() if event.is_terminal else None)

            async def main() -> None:
                got: list[ServerEvent] = []

                def on_next(event: ServerEvent) -> None:
                    got.append(event)
                    overflown.wait(WAIT)  # the loop is blocked until all events have arrived at the socket

                with pytest.raises(BufferOverflowError, match="bytes") as raised:
                    await socket.send_request(ask("lazy"), stream_id="lazy").pipe(ops.do_action(on_next))
                assert raised.value.max_buffered == 20_000
                assert texts(got) == [f"{n} " * 10 for n in range(len(texts(got)))]
                assert len(got) < COUNT

            run(main())
            gate.open()
            assert held.wait().completions == 1
