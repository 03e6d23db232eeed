"""Clients used from many threads, on several loops one after the other, and in programs that have none."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from reactivex import operators as ops
from reactivex.scheduler import TimeoutScheduler

from rxresponses import (
    ConnectionOptions,
    PoolOptions,
    ResponseCompletedEvent,
    ResponsesClient,
    ServerEvent,
    SocketClosedError,
)
from rxresponses import operators as rops
from rxresponses.testing import Hold, ResponsesServer

from ..support.clients import LANES, arrivals, ask, inputs, no_thread_left, quickly, response_id, run, states_of
from ..support.recorder import WAIT, Recorder
from .test_socket_clocks import MovedLoop, Watch
from .test_socket_threads import EXIT_IN_A_CALLBACK, Program, each_in_a_thread


@pytest.fixture(params=["background", "running"])
def anywhere(request: pytest.FixtureRequest, server: ResponsesServer) -> Iterator[ResponsesClient]:
    """A client on the background loop, and one on a loop that runs in another thread."""
    client = ResponsesClient(server.url, options=LANES, pool=quickly(max_connections=3))
    if request.param == "background":
        with no_thread_left(), client:
            yield client
        return
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def use() -> None:
        await client.send_request(ask("first"))

    asyncio.run_coroutine_threadsafe(use(), loop).result(WAIT)
    yield client
    client.close()
    asyncio.run_coroutine_threadsafe(client.wait_closed(), loop).result(WAIT)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(WAIT)
    assert not thread.is_alive()
    loop.close()


class TestForeignThreads:
    def test_scenario_40_client_subscribe_and_dispose(self, anywhere: ResponsesClient) -> None:
        threads = set()

        def work(number: int) -> None:
            lane = anywhere.lane(f"lane-{number}")
            for turn in range(10):
                dropped = Recorder(lane.send_request(ask("dropped")))
                if turn % 2:
                    dropped.wait_for(1)
                dropped.subscription.dispose()
                dropped.subscription.dispose()
                got = Recorder(lane.send_request(ask("kept"))).wait()
                assert got.completions == 1
                threads.update(got.threads)

        each_in_a_thread(work)
        assert len(threads) == 1  # one delivery thread

    def test_scenario_40_client_each_its_own(self, server: ResponsesServer, anywhere: ResponsesClient) -> None:
        server.on("question", lambda request: request.text)

        def work(number: int) -> None:
            got = [Recorder(anywhere.send_request(ask(f"question {number} {turn}"))) for turn in range(20)]
            for turn, one in enumerate(got):
                assert one.wait().text == f"question {number} {turn}"

        each_in_a_thread(work)
        assert set(arrivals(server).values()) == {1}
        assert server.accepted <= 3

    def test_scenario_40_client_close_and_drain_from_many_threads(
        self, server: ResponsesServer, anywhere: ResponsesClient
    ) -> None:
        server.on("hold", ["text", Hold()])
        held = Recorder(anywhere.send_request(ask("hold"))).wait_for(2)

        def work(number: int) -> None:
            got = Recorder(anywhere.send_request(ask("hello"), stream_id=f"lane-{number}"))
            if number % 2:
                anywhere.close()
            else:
                assert anywhere.drain(0).run() is False
            got.wait()
            assert got.completions or isinstance(got.error, SocketClosedError)
            assert isinstance(Recorder(anywhere.send_request(ask())).wait().error, SocketClosedError)

        each_in_a_thread(work)
        assert isinstance(held.wait().error, SocketClosedError)
        server.wait_until(lambda: server.connections == 0)

    def test_scenario_40_client_watchers_come_and_go(self, anywhere: ResponsesClient) -> None:
        def work(number: int) -> None:
            for _ in range(20):
                watchers = [Recorder(anywhere.events), Recorder(anywhere.unrouted)]
                state = Recorder(anywhere.state).wait_for(1)
                anywhere.prewarm(number % 3, model="m")
                Recorder(anywhere.send_request(ask(), stream_id=f"lane-{number}")).wait()
                for subscription in (state.subscription, *(watcher.subscription for watcher in watchers)):
                    subscription.dispose()

        each_in_a_thread(work)

    def test_scenario_40_client_the_stock_timeout(self, server: ResponsesServer, anywhere: ResponsesClient) -> None:
        """It disposes, and subscribes to its other source, on a thread of its own."""
        server.on("hold", ["text", Hold()])
        timers = TimeoutScheduler.singleton()

        def work(number: int) -> None:
            stuck = anywhere.send_request(ask("hold"), stream_id=f"stuck-{number}")
            other = anywhere.send_request(ask("other"), stream_id=f"other-{number}")
            got = Recorder(stuck.pipe(ops.timeout(0.1, other, timers))).wait()
            assert got.completions == 1
            assert got.types[-1] == "response.completed"

        each_in_a_thread(work)

    def test_scenario_40_client_steer(self, server: ResponsesServer, anywhere: ResponsesClient) -> None:
        gate = server.gate()
        server.on("hold", ["text", "more", Hold(gate, after=5)])

        def work(number: int) -> None:
            running = Recorder(anywhere.send_request(ask("hold"))).wait_for(5)
            steer = Recorder(anywhere.steer(response_id(running), f"steer {number}")).wait_for(1)
            gate.open()
            assert steer.wait().completions == 1
            assert running.wait().completions == 1

        each_in_a_thread(work)

    def test_scenario_40_client_no_lock_is_held_while_an_observer_runs(
        self, server: ResponsesServer, anywhere: ResponsesClient
    ) -> None:
        """So it may wait for a thread that uses the client."""
        used = threading.Event()

        def use(value: Any) -> None:
            def close() -> None:
                Recorder(anywhere.send_request(ask())).subscription.dispose()
                Recorder(anywhere.state).subscription.dispose()
                anywhere.close()
                used.set()

            if not used.is_set():
                threading.Thread(target=close).start()
                assert used.wait(WAIT)

        got = Recorder(anywhere.send_request(ask()), use).wait()
        assert used.is_set()
        assert got.completions or isinstance(got.error, SocketClosedError)


class TestOtherLoops:
    def test_delivered_where_it_was_subscribed(self, server: ResponsesServer) -> None:
        with no_thread_left(), ResponsesClient(server.url, options=LANES) as client:
            Recorder(client.send_request(ask())).wait()  # it lives on the background loop from here on

            async def main() -> None:
                threads = set()
                source = client.send_request(ask()).pipe(ops.do_action(lambda _: threads.add(threading.get_ident())))
                assert isinstance(await source, ResponseCompletedEvent)
                states = await Watch(client.state).count(1)
                lost = Watch(client.send_request(ask(store=False, previous_response_id="lost")))
                assert type((await lost.end()).error).__name__ == "PreviousResponseLostError"
                assert threads | states.threads == {threading.get_ident()}
                texts = client.send_request(ask()).pipe(rops.text_deltas(), rops.to_async_iterable())
                assert [text async for text in texts]

            run(main())

    def test_two_loops_at_once(self, server: ResponsesServer) -> None:
        server.on("question", lambda request: request.text)
        with no_thread_left(), ResponsesClient(server.url, options=LANES) as client:

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


class TestLoopAfterLoop:
    def test_scenario_42_client_run_after_run(self, server: ResponsesServer) -> None:
        client = ResponsesClient(server.url, pool=PoolOptions(min_idle=1))

        async def main() -> None:
            assert isinstance(await client.send_request(ask()), ResponseCompletedEvent)
            assert isinstance(await client.send_request(ask()), ResponseCompletedEvent)

        for number in range(1, 4):
            asyncio.run(asyncio.wait_for(main(), WAIT))
            assert server.accepted == number
        with no_thread_left():
            assert isinstance(client.send_request(ask()).run(), ResponseCompletedEvent)  # and without a loop
            assert server.accepted == 4
            client.close()
            asyncio.run(asyncio.wait_for(client.wait_closed(), WAIT))

    def test_scenario_42_client_what_the_first_run_left_is_told(self, server: ResponsesServer) -> None:
        """Whatever it waits for: on a connection, for a lane, or for the next try."""
        server.on("hold", ["text", Hold()])
        one = ConnectionOptions(lanes=True, max_active=1)
        client = ResponsesClient(server.url, options=one, pool=PoolOptions(max_connections=1))
        left = []

        async def first() -> None:
            left.append(Recorder(client.send_request(ask("hold"), stream_id="a")))
            left.append(Recorder(client.send_request(ask("behind"), stream_id="a")))
            left.append(Recorder(client.send_request(ask("waiting"))))
            await server.until(lambda: len(server.requests) == 1)

        async def second() -> None:
            for got in left:
                got.subscription.dispose()
            await client.send_request(ask("fresh"))
            client.close()
            await client.wait_closed()

        asyncio.run(asyncio.wait_for(first(), WAIT))
        assert [got.error.delivery for got in left] in (
            ["started", "not_sent", "not_sent"],
            ["unknown", "not_sent", "not_sent"],
        )
        run(second())
        assert inputs(server) == ["hold", "fresh"]

    def test_scenario_42_client_left_with_nothing_but_a_timer(self) -> None:
        """No task tells that the loop ends: the next use of the client does."""
        client = ResponsesClient("http://127.0.0.1:9/v1", pool=PoolOptions())
        left = []

        async def first() -> None:
            states = Watch(client.state)
            left.append(Recorder(client.send_request(ask())))
            await states.until(lambda: states.values[-1].reconnect_in is not None)

        asyncio.run(asyncio.wait_for(first(), WAIT))
        client.close()
        assert isinstance(left[0].wait().error, SocketClosedError)

    @pytest.mark.parametrize("draining", [False, True])
    def test_scenario_42_client_leaves_no_timer_on_the_first_loop(
        self, server: ResponsesServer, draining: bool
    ) -> None:
        """It may run again, when the client lives elsewhere."""
        server.on("hold", ["text", Hold()])
        client = ResponsesClient(server.url, options=LANES)
        loop = MovedLoop()

        async def use() -> None:
            await Watch(client.send_request(ask("hold"))).count(2)
            if draining:
                client.drain(3600.0)
            await loop.turn()

        def timers() -> set[str]:
            return {name for name in loop.timers if name in ("PoolDriver._act_in_time", "Source.close")}

        loop.run_until_complete(use())
        assert len(timers()) == 1 + draining
        with no_thread_left():
            got = Recorder(client.send_request(ask())).wait()  # on the background loop, as that one is stopped
            assert bool(got.errors) is draining
            assert timers() == set()
            client.close()
            states_of(client).wait()
        finish(loop)

    def test_scenario_42_client_a_turn_that_never_came(self, server: ResponsesServer) -> None:
        """The first loop is stopped in between; when it runs again, the turn is nobody's."""
        client = ResponsesClient(server.url, options=LANES)
        loop = MovedLoop()
        left: list[Recorder[ServerEvent]] = []

        async def use() -> None:
            await client.send_request(ask("first"))
            await loop.turn()

        loop.run_until_complete(use())
        loop.call_soon(lambda: left.append(Recorder(client.send_request(ask("left")))))
        loop.call_soon(loop.stop)
        loop.run_forever()
        with no_thread_left():
            assert Recorder(client.send_request(ask("second"))).wait().completions == 1
            assert isinstance(left[0].wait().error, SocketClosedError)
            loop.run_until_complete(loop.turn())
            client.close()
        finish(loop)
        assert inputs(server) == ["first", "second"]

    def test_scenario_42_client_disposed_after_the_loop(self, server: ResponsesServer) -> None:
        server.on("hold", ["text", Hold()])
        client = ResponsesClient(server.url, options=LANES)
        loop = MovedLoop()
        left: list[Any] = []

        async def use() -> None:
            left.append(await Watch(client.send_request(ask("hold"))).count(2))
            left.append(await Watch(client.steer(response_id(left[0]), "more")).count(1))
            await loop.turn()

        loop.run_until_complete(use())
        finish(loop)
        for got in left:
            got.subscription.dispose()
        client.close()
        assert Recorder(client.state).wait().values[-1].closed

    @pytest.mark.skipif(sys.version_info < (3, 11), reason="a task does not tell there whether it was cancelled")
    def test_a_task_that_the_program_cancels_is_not_the_end(self, server: ResponsesServer) -> None:
        """Somebody cancels all tasks but its own, say, and goes on: so does the client."""
        server.on("hold", ["text", Hold()])

        async def main() -> None:
            one = ConnectionOptions(lanes=True, max_active=1)
            async with ResponsesClient(server.url, options=one, pool=PoolOptions(max_connections=1)) as client:
                running = await Watch(client.send_request(ask("hold"))).count(2)
                waiting = Watch(client.send_request(ask("waiting")))
                for task in asyncio.all_tasks() - {asyncio.current_task()}:
                    if task.get_name() == "rxresponses connection":
                        task.cancel()
                assert isinstance((await running.end()).error, SocketClosedError)
                assert (await waiting.end()).completions == 1
                assert not any(state.reconnect_in for state in (await Watch(client.state).count(1)).values)

        run(main())
        assert server.accepted == 2

    def test_scenario_42_client_closing_on_a_loop_that_is_stopped(self, server: ResponsesServer) -> None:
        """Nobody is there to close it, and yet whoever asks is told."""
        client = ResponsesClient(server.url, options=LANES)
        loop = MovedLoop()

        async def use() -> None:
            await client.send_request(ask())
            client.close()

        loop.run_until_complete(use())
        with ThreadPoolExecutor(1) as threads:
            got = threads.submit(lambda: Recorder(client.send_request(ask())).wait()).result(2 * WAIT)
            assert isinstance(got.error, SocketClosedError)
        loop.run_until_complete(client.wait_closed())
        finish(loop)

    def test_scenario_42_client_closed_stays_closed(self, server: ResponsesServer) -> None:
        client = ResponsesClient(server.url)

        async def first() -> None:
            async with client:
                await client.send_request(ask())

        async def second() -> None:
            with pytest.raises(SocketClosedError):
                await client.send_request(ask())
            await client.wait_closed()
            assert await client.drain() is True

        run(first())
        run(second())

    def test_in_debug_mode(self, server: ResponsesServer) -> None:
        """It complains of calls from the wrong thread."""
        client = ResponsesClient(server.url, options=LANES)
        server.on("hold", ["text", Hold()])

        async def main() -> None:
            Watch(client.send_request(ask("hold")))
            await client.send_request(ask())

        for _ in range(2):
            asyncio.run(asyncio.wait_for(main(), WAIT), debug=True)
            assert isinstance(client.send_request(ask()).run(), ResponseCompletedEvent)
        client.close()
        asyncio.run(client.wait_closed(), debug=True)


def finish(loop: MovedLoop) -> None:
    """Do what `asyncio.run` does in the end."""
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(loop.turn())
    loop.close()


CLIENT = "from rxresponses import ResponsesClient\nsocket.close()\nsocket = ResponsesClient(sys.argv[1])\n"


class TestPrograms:
    """Each would hang for good if it hung at all."""

    def test_scenario_43_client_run_and_end_without_closing(self, server: ResponsesServer) -> None:
        server.on("hello", "Hello there.")
        program = Program(server, f"{CLIENT}print(ask('hello').pipe(rops.collect_text()).run())")
        assert program.end() == (0, "Hello there.", "")

    @pytest.mark.parametrize("how", ["pass", "socket.close()", "socket.drain(60)", "socket.prewarm(3, model='m')"])
    def test_scenario_43_client_end_in_mid_response(self, server: ResponsesServer, how: str) -> None:
        server.on("hold", ["text", Hold()])
        code = f"""
begun = threading.Event()
ask("hold").subscribe(lambda event: begun.set(), on_error=lambda error: None)
begun.wait()
{how}
"""
        assert Program(server, CLIENT + code).end() == (0, "", "")
        server.wait_until(lambda: server.connections == 0)

    def test_scenario_43_client_end_of_an_asyncio_program_without_closing(self, server: ResponsesServer) -> None:
        server.on("hold", ["text", Hold()])
        code = """
async def main():
    for _ in range(20):
        ask("hold").subscribe(lambda event: None, on_error=lambda error: print(type(error).__name__))
    print((await ask("hello")).type)
asyncio.run(main())
"""
        status, out, err = Program(server, CLIENT + code).end()
        assert (status, err) == (0, "")
        assert out.splitlines() == ["response.completed"] + ["SocketClosedError"] * 20

    def test_scenario_43_client_a_callback_that_ends_the_program(self, server: ResponsesServer) -> None:
        server.on("hold", ["text", Hold()])
        status, _, err = Program(server, CLIENT + EXIT_IN_A_CALLBACK).end()
        assert status == 3
        assert "SystemExit: 3" in err  # it is reported

    def test_scenario_43_client_interrupted_in_a_with_block(self, server: ResponsesServer) -> None:
        server.on("hold", ["text", Hold()])
        code = """
try:
    with socket:
        ask("hold").pipe(ops.do_action(say)).run()
except KeyboardInterrupt:
    put("interrupted")
"""
        program = Program(server, CLIENT + code)
        assert program.line() == "response.created"
        program.interrupt()
        status, out, err = program.end()
        assert status == 0
        assert "interrupted" in out.splitlines()
        assert "Traceback" not in err
        server.wait_until(lambda: server.connections == 0)


def test_scenario_40_client_everything_at_once(server: ResponsesServer) -> None:
    """Many threads, a server that cuts connections, and a client that closes in the midst of it."""
    server.on("", lambda request: request.text)
    over = threading.Event()
    with no_thread_left(), ResponsesClient(server.url, options=LANES, pool=quickly(max_connections=2)) as client:

        def work(number: int) -> None:
            for turn in range(200):
                lane = f"{number}" if turn % 2 else None
                got = Recorder(client.send_request(ask(f"{number}.{turn}"), stream_id=lane))
                if turn % 5 == 0:
                    got.subscription.dispose()
                else:
                    got.wait()
                    assert got.errors or got.text == f"{number}.{turn}"
                if number == 0 and turn % 10 == 0:
                    server.drop()
                if number == 1 and turn == 100:
                    client.close()
                    over.set()
                if over.is_set():
                    return

        each_in_a_thread(work)
    server.wait_until(lambda: server.connections == 0)
    assert max(arrivals(server).values()) == 1
