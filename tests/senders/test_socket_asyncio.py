"""The socket in asyncio programs: on the running loop, on another one, and after one."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from contextvars import ContextVar
from functools import partial
from typing import Any, Literal

import pytest
from reactivex import operators as ops

from rxresponses import (
    ConnectionLostError,
    ConnectionOptions,
    ResponseCompletedEvent,
    ResponsesWebSocket,
    ServerEvent,
    SocketClosedError,
)
from rxresponses import operators as rops
from rxresponses.testing import Close, Hold, ResponsesServer

from ..support.clients import ask, inputs, run
from ..support.internals import websocket_of
from ..support.recorder import WAIT, Recorder


def test_await_gives_the_last_value(server: ResponsesServer) -> None:
    async def main() -> None:
        async with ResponsesWebSocket(server.url) as socket:
            last = await socket.send_request(ask())
            assert isinstance(last, ResponseCompletedEvent)
            assert await socket.send_request(ask()).pipe(rops.collect_text())

    run(main())


def test_everything_happens_on_the_running_loop(server: ResponsesServer) -> None:
    async def main() -> None:
        threads = set()
        async with ResponsesWebSocket(server.url) as socket:
            await socket.send_request(ask()).pipe(ops.do_action(lambda _: threads.add(threading.get_ident())))
        assert threads == {threading.get_ident()}
        assert not [thread for thread in threading.enumerate() if thread.name == "rxresponses"]

    run(main())


def test_scenario_66_events_have_the_context_of_their_own_subscription(server: ResponsesServer) -> None:
    """Not that of the first subscription, which has opened the connection."""
    name: ContextVar[str | None] = ContextVar("name", default=None)
    names: list[tuple[str, str | None]] = []

    async def main() -> None:
        async with ResponsesWebSocket(server.url) as socket:
            for one in ("first", "second"):
                name.set(one)
                note = partial(lambda one, _: names.append((one, name.get())), one)
                await socket.send_request(ask()).pipe(ops.do_action(note))

    run(main())
    assert set(names) == {("first", "first"), ("second", "second")}


def test_async_for(server: ResponsesServer) -> None:
    server.reply("one two three")

    async def main() -> None:
        async with ResponsesWebSocket(server.url) as socket:
            texts = socket.send_request(ask()).pipe(rops.text_deltas(), rops.to_async_iterable())
            assert "".join([text async for text in texts]) == "one two three"

    run(main())


def test_scenario_12_leaving_an_async_for(server: ResponsesServer) -> None:
    async def main() -> None:
        gate = server.gate()
        server.reply(["first", Hold(gate, after=5)], "second")
        async with ResponsesWebSocket(server.url) as socket:
            async with socket.send_request(ask()).pipe(rops.to_async_iterable()) as events:
                async for _ in events:
                    break
            second = asyncio.ensure_future(socket.send_request(ask()).pipe(rops.collect_text()))
            gate.open()  # the disposed response has to end first
            assert await second == "second"
        assert server.accepted == 1

    run(main())


def test_scenario_12_cancelling_an_await(server: ResponsesServer) -> None:
    async def main() -> None:
        gate = server.gate()
        server.reply(["first", Hold(gate)], "second")

        async with ResponsesWebSocket(server.url) as socket:

            async def wait() -> Any:
                return await socket.send_request(ask())

            task = asyncio.create_task(wait())
            await server.until(lambda: len(server.requests) == 1)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            assert task.cancelled()
            gate.open()
            assert await socket.send_request(ask()).pipe(rops.collect_text()) == "second"
        assert server.accepted == 1

    run(main())


def test_scenario_12_leaving_an_async_for_disposes_the_request(server: ResponsesServer) -> None:
    """With `on_dispose="close"` the end of the connection shows it."""

    async def main() -> None:
        server.reply(["first", Hold()], "second")
        async with ResponsesWebSocket(server.url, options=ConnectionOptions(on_dispose="close")) as socket:
            async with socket.send_request(ask()).pipe(rops.to_async_iterable()) as events:
                async for _ in events:
                    break
            await server.until(lambda: server.connections == 0)
            assert await socket.send_request(ask()).pipe(rops.collect_text()) == "second"
        assert server.accepted == 2

    run(main())


@pytest.mark.parametrize("on_dispose", ["drain", "close"])
def test_scenario_12_cancelling_an_await_disposes_the_request(
    server: ResponsesServer, on_dispose: Literal["drain", "close"]
) -> None:
    async def main() -> None:
        gate = server.gate()
        server.reply(["first", Hold(gate)], "next")

        async with ResponsesWebSocket(server.url, options=ConnectionOptions(on_dispose=on_dispose)) as socket:

            async def wait(text: str) -> Any:
                return await socket.send_request(ask(text))

            sent = asyncio.create_task(wait("sent"))
            await server.until(lambda: len(server.requests) == 1)
            queued = asyncio.create_task(wait("queued"))
            await asyncio.sleep(0)  # the request waits for its lane
            queued.cancel()
            await asyncio.wait([queued])
            assert not sent.done()
            if on_dispose == "close":
                sent.cancel()
                await asyncio.wait([sent])
                await server.until(lambda: server.connections == 0)
            gate.open()
            assert await socket.send_request(ask("next")).pipe(rops.collect_text()) == "next"
        assert inputs(server) == ["sent", "next"]

    run(main())


def test_many_lanes_at_once(server: ResponsesServer) -> None:
    async def main() -> None:
        for number in range(20):
            server.on(f"^question {number}$", f"answer {number}")
        async with ResponsesWebSocket(server.url) as socket:

            async def one(number: int) -> None:
                source = socket.send_request(ask(f"question {number}"), stream_id=f"lane-{number % 7}")
                assert await source.pipe(rops.collect_text()) == f"answer {number}"

            await asyncio.gather(*(one(number) for number in range(20)))

    run(main())


def test_an_async_key_function(server: ResponsesServer) -> None:
    async def main() -> None:
        async def key() -> str:
            await asyncio.sleep(0)
            return "sesame"

        async with ResponsesServer(api_key="sesame") as strict, ResponsesWebSocket(strict.url, api_key=key) as socket:
            assert isinstance(await socket.send_request(ask()), ResponseCompletedEvent)

    run(main())


def test_a_lost_connection_is_raised_by_await(server: ResponsesServer) -> None:
    server.reply(Close(1011))

    async def main() -> None:
        async with ResponsesWebSocket(server.url) as socket:
            with pytest.raises(ConnectionLostError) as raised:
                await socket.send_request(ask())
            assert raised.value.close_code == 1011

    run(main())


def test_a_plain_with_block_in_a_loop_does_not_block(server: ResponsesServer) -> None:
    async def main() -> None:
        with ResponsesWebSocket(server.url) as socket:
            await socket.send_request(ask())
        await socket.wait_closed()

    run(main())


def test_closing_from_another_thread(server: ResponsesServer) -> None:
    async def main() -> None:
        gate = server.gate()
        server.reply(["text", Hold(gate)])
        socket = ResponsesWebSocket(server.url)
        waiting = asyncio.ensure_future(socket.send_request(ask()))
        await server.until(lambda: len(server.requests) == 1)
        await asyncio.to_thread(socket.close)
        with pytest.raises(SocketClosedError):
            await waiting
        await socket.wait_closed()

    run(main())


def test_cancelling_wait_closed_does_not_stop_the_close(server: ResponsesServer) -> None:
    async def main() -> None:
        socket = ResponsesWebSocket(server.url)
        await socket.send_request(ask())
        socket.close()
        waiting = asyncio.create_task(socket.wait_closed())
        await asyncio.sleep(0)
        waiting.cancel()
        await socket.wait_closed()

    run(main())


def test_scenario_40_foreign_threads_subscribe_and_dispose(server: ResponsesServer) -> None:
    """A thread without a loop uses a socket that lives on the loop of the main thread."""

    async def main() -> None:
        async with ResponsesWebSocket(server.url) as socket:
            await socket.send_request(ask())

            def work() -> None:
                Recorder(socket.send_request(ask())).subscription.dispose()
                got = Recorder(socket.send_request(ask())).wait()
                assert got.completions == 1
                assert got.threads == {main_thread}

            main_thread = threading.get_ident()
            await asyncio.to_thread(work)

    run(main())


def test_scenario_40_events_reach_another_loop_in_debug_mode(
    server: ResponsesServer, socket: ResponsesWebSocket
) -> None:
    """A loop in debug mode raises for a call from another thread that would not wake it."""
    Recorder(socket.send_request(ask())).wait()  # from here on the socket lives on the background loop
    server.reply("over there")

    async def main() -> None:
        assert await socket.send_request(ask()).pipe(rops.collect_text()) == "over there"

    asyncio.run(asyncio.wait_for(main(), WAIT), debug=True)


def test_a_subscriber_on_another_loop_gets_its_events_there(
    server: ResponsesServer, socket: ResponsesWebSocket
) -> None:
    Recorder(socket.send_request(ask())).wait()  # from here on the socket lives on the background loop
    server.reply("over there")
    threads = set()

    async def main() -> None:
        source: Any = socket.send_request(ask()).pipe(ops.do_action(lambda _: threads.add(threading.get_ident())))
        assert await source.pipe(rops.collect_text()) == "over there"
        assert threads == {threading.get_ident()}
        gate = server.gate()
        server.reply(Hold(gate))
        lost = asyncio.ensure_future(socket.send_request(ask()))
        await server.until(lambda: len(server.requests) == 3)
        server.drop()
        with pytest.raises(ConnectionLostError):
            await lost

    run(main())


def test_scenario_42_a_second_loop_gets_a_fresh_connection(server: ResponsesServer) -> None:
    socket = ResponsesWebSocket(server.url)

    async def main() -> None:
        assert isinstance(await socket.send_request(ask()), ResponseCompletedEvent)

    asyncio.run(main())
    asyncio.run(main())
    assert server.accepted == 2

    async def close() -> None:
        await main()
        socket.close()
        await socket.wait_closed()

    run(close())


@pytest.mark.parametrize("turns", range(6))
def test_a_loop_that_ends_while_the_socket_closes_leaves_nothing_open(server: ResponsesServer, turns: int) -> None:
    async def main() -> Any:
        socket = ResponsesWebSocket(server.url)
        await socket.send_request(ask())
        websocket = websocket_of(socket)
        socket.close()
        for _ in range(turns):
            await asyncio.sleep(0)
        return websocket

    assert asyncio.run(main()).transport.is_closing()


def test_a_retry_sends_nothing_on_a_loop_that_ends(server: ResponsesServer) -> None:
    server.on("", ["text", Hold(server.gate())])
    socket = ResponsesWebSocket(server.url)
    pending: list[Recorder[ServerEvent]] = []

    async def main() -> None:
        pending.append(Recorder(socket.send_request(ask()).pipe(ops.retry(3))))
        await server.until(lambda: len(server.requests) == 1)

    asyncio.run(main())
    assert isinstance(pending[0].wait().error, SocketClosedError)
    assert server.accepted == len(server.requests) == 1
    with socket:
        pass


def cancel_all_others() -> set[asyncio.Task[Any]]:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    return tasks


def test_a_loop_that_goes_on_after_other_tasks_were_cancelled(
    server: ResponsesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rxresponses.senders.loop_bound._LOOP_END", 0.0 if sys.version_info < (3, 11) else 1e9)

    async def main() -> None:
        async with ResponsesWebSocket(server.url) as socket:
            await socket.send_request(ask())
            await asyncio.gather(*cancel_all_others(), return_exceptions=True)
            assert isinstance(await socket.send_request(ask()), ResponseCompletedEvent)

    asyncio.run(main())


def test_a_loop_that_runs_on_without_a_task(server: ResponsesServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the time shows that the loop does not end."""
    monkeypatch.setattr("rxresponses.senders.loop_bound._LOOP_END", 0.05)
    socket = ResponsesWebSocket(server.url)

    async def main() -> None:
        await socket.send_request(ask())
        cancel_all_others()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    errors: list[Exception] = []

    def again() -> None:
        socket.send_request(ask()).subscribe(on_error=refused, on_completed=loop.stop)

    def refused(error: Exception) -> None:
        errors.append(error)
        loop.call_later(0.01, again)

    loop.call_soon(again)
    loop.call_later(WAIT, loop.stop)
    loop.run_forever()
    assert errors
    assert all(isinstance(error, SocketClosedError) for error in errors)
    assert len(server.requests) == 2
    loop.run_until_complete(aclose(socket))
    loop.close()


async def aclose(socket: ResponsesWebSocket) -> None:
    async with socket:
        pass


def test_closing_after_the_loop_has_ended(server: ResponsesServer) -> None:
    socket = ResponsesWebSocket(server.url)
    pending: list[Recorder[ServerEvent]] = []
    server.reply(Hold(server.gate()))

    async def main() -> None:
        pending.append(Recorder(socket.send_request(ask())))
        await server.until(lambda: len(server.requests) == 1)

    asyncio.run(main())
    assert isinstance(pending[0].wait().error, SocketClosedError)
    with socket:
        pass
    run(socket.wait_closed())
    assert isinstance(Recorder(socket.send_request(ask())).wait().error, SocketClosedError)
