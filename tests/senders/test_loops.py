"""Sockets and clients in asyncio programs that run one loop after the other, or several at once."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from reactivex import operators as ops

from rxresponses import (
    ConfigurationError,
    ObserverExitError,
    PoolOptions,
    ResponseCompletedEvent,
    ResponsesClient,
    ResponsesWebSocket,
    ServerEvent,
    SocketClosedError,
    answer_calls,
)
from rxresponses import operators as rops
from rxresponses.testing import Failure, FunctionCall, Hold, ResponsesServer

from ..support.clients import ONE_AT_A_TIME, WITH_LANES, ask, inputs, no_thread_left, response_id, run, states_of
from ..support.fleets import OneServerFleet
from ..support.internals import POOL_TIMER
from ..support.recorder import WAIT, AsyncRecorder, Recorder
from ..support.virtual_time import VirtualTimeLoop

KINDS = pytest.mark.parametrize(
    "kind", [ResponsesWebSocket, ResponsesClient, OneServerFleet], ids=["socket", "client", "fleet"]
)


@KINDS
def test_scenario_42_run_after_run(server: ResponsesServer, kind: type) -> None:
    options: dict[str, Any] = {"pool": PoolOptions(min_idle=1)} if kind is ResponsesClient else {}
    sender = kind(server.url, **options)

    async def main() -> None:
        assert isinstance(await sender.send_request(ask()), ResponseCompletedEvent)
        assert isinstance(await sender.send_request(ask()), ResponseCompletedEvent)

    for number in range(1, 4):
        asyncio.run(asyncio.wait_for(main(), WAIT))
        assert server.accepted == number
    with no_thread_left():
        assert isinstance(sender.send_request(ask()).run(), ResponseCompletedEvent)  # and without a loop
        assert server.accepted == 4
        sender.close()
        asyncio.run(asyncio.wait_for(sender.wait_closed(), WAIT))


@KINDS
def test_scenario_42_requests_that_the_first_run_left_get_an_error(server: ResponsesServer, kind: type) -> None:
    """A request that runs, one that waits for its lane, and at a client one that waits for a connection."""
    server.on("hold", ["text", Hold()])
    is_client = kind is ResponsesClient
    pool: dict[str, Any] = {"pool": PoolOptions(max_connections=1)} if is_client else {}
    sender = kind(server.url, options=ONE_AT_A_TIME if is_client else None, **pool)
    left = []

    async def first() -> None:
        left.append(Recorder(sender.send_request(ask("hold"), stream_id="a")))
        left.append(Recorder(sender.send_request(ask("behind"), stream_id="a")))
        if is_client:
            left.append(Recorder(sender.send_request(ask("waiting"))))
        await server.until(lambda: len(server.requests) == 1)

    async def second() -> None:
        for got in left:
            got.subscription.dispose()
        await sender.send_request(ask("fresh"))
        sender.close()
        await sender.wait_closed()

    asyncio.run(asyncio.wait_for(first(), WAIT))
    assert left[0].error.delivery in ("started", "unknown")
    assert [got.error.delivery for got in left[1:]] == ["not_sent"] * (len(left) - 1)
    run(second())
    assert inputs(server) == ["hold", "fresh"]


@KINDS
def test_scenario_42_a_closed_sender_stays_closed_in_the_second_run(server: ResponsesServer, kind: type) -> None:
    sender = kind(server.url)

    async def first() -> None:
        async with sender:
            await sender.send_request(ask())

    async def second() -> None:
        with pytest.raises(SocketClosedError):
            await sender.send_request(ask())
        await sender.wait_closed()
        if isinstance(sender, ResponsesClient):
            assert await sender.drain() is True

    run(first())
    run(second())


class TestClientOnOtherLoops:
    def test_events_are_delivered_on_the_loop_that_subscribed(self, server: ResponsesServer) -> None:
        with no_thread_left(), ResponsesClient(server.url, options=WITH_LANES) as client:
            Recorder(client.send_request(ask())).wait()  # from here on the sender lives on the background loop

            async def main() -> None:
                threads = set()
                source = client.send_request(ask()).pipe(ops.do_action(lambda _: threads.add(threading.get_ident())))
                assert isinstance(await source, ResponseCompletedEvent)
                states = await AsyncRecorder(client.state).until_count(1)
                lost = AsyncRecorder(client.send_request(ask(store=False, previous_response_id="lost")))
                assert type((await lost.until_end()).error).__name__ == "PreviousResponseLostError"
                assert threads | states.threads == {threading.get_ident()}
                texts = client.send_request(ask()).pipe(rops.text_deltas(), rops.to_async_iterable())
                assert [text async for text in texts]

            run(main())

    def test_two_loops_at_once(self, server: ResponsesServer) -> None:
        server.on("question", lambda request: request.text)
        with no_thread_left(), ResponsesClient(server.url, options=WITH_LANES) as client:

            def work(number: int) -> None:
                async def main() -> None:
                    texts = [f"question {number} {turn}" for turn in range(10)]
                    sources = [client.send_request(ask(text)).pipe(rops.collect_text()) for text in texts]
                    assert list(await asyncio.gather(*map(_awaited, sources))) == texts

                run(main())

            Recorder(client.send_request(ask())).wait()
            with ThreadPoolExecutor(3) as threads:
                for done in [threads.submit(work, number) for number in range(3)]:
                    done.result(3 * WAIT)


async def _awaited(source: Any) -> Any:
    return await source


class TestClientOnALoopThatEnded:
    def test_scenario_42_client_the_loop_ends_while_only_a_timer_waits(self) -> None:
        """No task is cancelled when the loop ends: the next use of the client finds out."""
        client = ResponsesClient("http://127.0.0.1:9/v1", pool=PoolOptions())
        left = []

        async def first() -> None:
            states = AsyncRecorder(client.state)
            left.append(Recorder(client.send_request(ask())))
            await states.until(lambda: states.values[-1].reconnect_in is not None)

        asyncio.run(asyncio.wait_for(first(), WAIT))
        client.close()
        assert isinstance(left[0].wait().error, SocketClosedError)

    @pytest.mark.parametrize("draining", [False, True])
    def test_scenario_42_client_leaves_no_timer_on_the_first_loop(
        self, server: ResponsesServer, draining: bool
    ) -> None:
        """The first loop may run again after the client has moved to another one."""
        server.on("hold", ["text", Hold()])
        client = ResponsesClient(server.url, options=WITH_LANES)
        loop = VirtualTimeLoop()

        async def use() -> None:
            await AsyncRecorder(client.send_request(ask("hold"))).until_count(2)
            if draining:
                client.drain(3600.0)
            await loop.settle()

        def timers() -> set[str]:
            return {name for name in loop.timers if name in (POOL_TIMER, "Source.close")}

        loop.run_until_complete(use())
        assert len(timers()) == 1 + draining
        with no_thread_left():
            got = Recorder(
                client.send_request(ask())
            ).wait()  # on the background loop, because the first loop is stopped
            assert bool(got.errors) is draining
            assert timers() == set()
            client.close()
            states_of(client).wait()
        finish(loop)

    def test_scenario_42_client_the_loop_stops_before_a_request_is_sent(self, server: ResponsesServer) -> None:
        """The first loop stops before the request is sent.  When it runs again, it must not touch the client."""
        client = ResponsesClient(server.url, options=WITH_LANES)
        loop = VirtualTimeLoop()
        left: list[Recorder[ServerEvent]] = []

        async def use() -> None:
            await client.send_request(ask("first"))
            await loop.settle()

        loop.run_until_complete(use())
        loop.call_soon(lambda: left.append(Recorder(client.send_request(ask("left")))))
        loop.call_soon(loop.stop)
        loop.run_forever()
        with no_thread_left():
            assert Recorder(client.send_request(ask("second"))).wait().completions == 1
            assert isinstance(left[0].wait().error, SocketClosedError)
            loop.run_until_complete(loop.settle())
            client.close()
        finish(loop)
        assert inputs(server) == ["first", "second"]

    def test_scenario_42_client_disposed_after_the_loop_was_closed(self, server: ResponsesServer) -> None:
        server.on("hold", ["text", Hold()])
        client = ResponsesClient(server.url, options=WITH_LANES)
        loop = VirtualTimeLoop()
        left: list[Any] = []

        async def use() -> None:
            left.append(await AsyncRecorder(client.send_request(ask("hold"))).until_count(2))
            left.append(await AsyncRecorder(client.steer(response_id(left[0]), "more")).until_count(1))
            await loop.settle()

        loop.run_until_complete(use())
        finish(loop)
        for got in left:
            got.subscription.dispose()
        client.close()
        assert Recorder(client.state).wait().values[-1].closed

    @pytest.mark.skipif(sys.version_info < (3, 11), reason="a task does not tell there whether it was cancelled")
    def test_the_client_goes_on_after_a_cancelled_task(self, server: ResponsesServer) -> None:
        """A program cancels all other tasks and goes on: so does the client."""
        server.on("hold", ["text", Hold()])

        async def main() -> None:
            one = ONE_AT_A_TIME
            async with ResponsesClient(server.url, options=one, pool=PoolOptions(max_connections=1)) as client:
                running = await AsyncRecorder(client.send_request(ask("hold"))).until_count(2)
                waiting = AsyncRecorder(client.send_request(ask("waiting")))
                for task in asyncio.all_tasks() - {asyncio.current_task()}:
                    if task.get_name() == "rxresponses connection":
                        task.cancel()
                assert isinstance((await running.until_end()).error, SocketClosedError)
                assert (await waiting.until_end()).completions == 1
                assert not any(
                    state.reconnect_in for state in (await AsyncRecorder(client.state).until_count(1)).values
                )

        run(main())
        assert server.accepted == 2

    def test_scenario_42_client_closing_on_a_loop_that_is_stopped(self, server: ResponsesServer) -> None:
        """The stopped loop cannot close the client, yet a new request gets its error."""
        client = ResponsesClient(server.url, options=WITH_LANES)
        loop = VirtualTimeLoop()

        async def use() -> None:
            await client.send_request(ask())
            client.close()

        loop.run_until_complete(use())
        with ThreadPoolExecutor(1) as threads:
            got = threads.submit(lambda: Recorder(client.send_request(ask())).wait()).result(2 * WAIT)
            assert isinstance(got.error, SocketClosedError)
        loop.run_until_complete(client.wait_closed())
        finish(loop)

    def test_in_debug_mode(self, server: ResponsesServer) -> None:
        """In debug mode a loop raises for calls from the wrong thread."""
        client = ResponsesClient(server.url, options=WITH_LANES)
        server.on("hold", ["text", Hold()])

        async def main() -> None:
            AsyncRecorder(client.send_request(ask("hold")))
            await client.send_request(ask())

        for _ in range(2):
            asyncio.run(asyncio.wait_for(main(), WAIT), debug=True)
            assert isinstance(client.send_request(ask()).run(), ResponseCompletedEvent)
        client.close()
        asyncio.run(client.wait_closed(), debug=True)


def exit_at_once() -> str:
    raise SystemExit(3)


async def exit_later() -> str:
    await asyncio.sleep(0)
    raise SystemExit(3)


def empty() -> str:
    return next(iter([]))


@KINDS
class TestTheBackgroundLoopGoesOn:
    @pytest.fixture
    def other(self, server: ResponsesServer) -> Iterator[ResponsesWebSocket]:
        """A socket on the background loop, which must go on, as must a later socket."""
        with no_thread_left(), ResponsesWebSocket(server.url) as other:
            assert Recorder(other.send_request(ask())).wait().completions == 1
            yield other
            assert Recorder(other.send_request(ask())).wait().completions == 1
            with ResponsesWebSocket(server.url) as later:
                assert Recorder(later.send_request(ask())).wait().completions == 1

    @pytest.mark.parametrize("api_key", [exit_at_once, exit_later, empty])
    def test_scenario_57_a_key_function_that_exits(
        self, server: ResponsesServer, other: ResponsesWebSocket, kind: type, api_key: Callable[[], str]
    ) -> None:
        with kind(server.url, api_key=api_key) as sender:
            for _ in range(2):
                error = Recorder(sender.send_request(ask())).wait().error
                assert isinstance(error, ConfigurationError)
                assert isinstance(error, ObserverExitError) is (api_key is not empty)
                assert error.delivery == "not_sent"

    def test_scenario_57_a_key_function_that_exits_on_the_loop_of_the_program(
        self, server: ResponsesServer, other: ResponsesWebSocket, kind: type
    ) -> None:
        got: list[Recorder[ServerEvent]] = []

        async def main() -> None:
            async with kind(server.url, api_key=exit_later) as sender:
                got.append(Recorder(sender.send_request(ask())))
                await asyncio.Event().wait()

        with pytest.raises(SystemExit):
            asyncio.run(main())
        assert isinstance(got[0].error, ObserverExitError)

    def test_scenario_57_an_observer_that_cancels_every_task_of_the_loop(
        self, server: ResponsesServer, other: ResponsesWebSocket, kind: type
    ) -> None:
        """On the background loop this does not mean that the program ends its loop."""

        def cancel_tasks(_: ServerEvent) -> None:
            for task in asyncio.all_tasks():
                task.cancel()

        with kind(server.url) as sender:
            Recorder(sender.send_request(ask()).pipe(ops.take(1), ops.do_action(cancel_tasks))).wait()
            server.wait_until(lambda: server.connections == 0)  # that of `other` too
            assert Recorder(sender.send_request(ask())).wait().completions == 1

    @pytest.mark.parametrize("raised", [SystemExit, KeyboardInterrupt, GeneratorExit])
    def test_scenario_57_a_function_that_decides_on_retries_and_exits(
        self, server: ResponsesServer, other: ResponsesWebSocket, kind: type, raised: type[BaseException]
    ) -> None:
        def when(_: Exception) -> bool:
            raise raised

        server.on("fail", [Failure("invalid_request_error", "No.", type="invalid_request_error", status=400, after=0)])
        with kind(server.url) as sender:
            events = sender.send_request(ask("fail")).pipe(rops.raise_on_failure(), rops.retry_with_backoff(when=when))
            assert isinstance(Recorder(events).wait().error, ObserverExitError)
            assert Recorder(sender.send_request(ask())).wait().completions == 1

    def test_scenario_57_an_exit_whose_text_raises(
        self, server: ResponsesServer, other: ResponsesWebSocket, kind: type
    ) -> None:
        class WithoutText(SystemExit):
            def __repr__(self) -> str:
                raise self

            __str__ = __repr__

        def leave(**_: object) -> None:
            raise WithoutText

        server.on("call", [FunctionCall("leave", {})])
        with kind(server.url) as sender:
            mapped = sender.send_request(ask()).pipe(ops.map(lambda _: leave()))
            answered = sender.send_request(ask("call")).pipe(rops.function_calls(), answer_calls({"leave": leave}))
            for stream in (mapped, answered):
                assert isinstance(Recorder(stream).wait().error, ObserverExitError)

    def test_scenario_57_a_task_that_exits_and_an_observer_that_stops_the_loop(
        self, server: ResponsesServer, other: ResponsesWebSocket, kind: type
    ) -> None:
        def begin_to_exit(event: ServerEvent) -> None:
            tasks.append(asyncio.ensure_future(exit_later()))

        tasks: list[asyncio.Task[str]] = []
        with kind(server.url) as sender:
            assert Recorder(sender.send_request(ask()), begin_to_exit).wait().completions == 1
            stop = Recorder(sender.send_request(ask()), lambda _: asyncio.get_running_loop().stop())
            assert stop.wait().completions == 1
        assert {type(task.exception()) for task in tasks} == {SystemExit}

    def test_scenario_57_a_sender_first_used_in_a_callback_keeps_the_loop(
        self, server: ResponsesServer, kind: type
    ) -> None:
        """The socket that started the background loop may be closed before the sender that a callback used first."""
        inner: list[Recorder[ServerEvent]] = []
        first = ResponsesWebSocket(server.url)
        with no_thread_left(), kind(server.url) as sender:
            source = first.send_request(ask()).pipe(ops.take(1))
            Recorder(source, lambda _: inner.append(Recorder(sender.send_request(ask())))).wait()
            assert inner[0].wait().completions == 1
            first.close()
            asyncio.run(first.wait_closed())
            assert Recorder(sender.send_request(ask())).wait().completions == 1


def finish(loop: VirtualTimeLoop) -> None:
    """End a loop as `asyncio.run` does."""
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(loop.settle())
    loop.close()
