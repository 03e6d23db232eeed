"""Giving requests up, draining and closing: in every state, and what is left of it."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from typing import Any

import pytest
import reactivex
from reactivex import Observable
from reactivex import operators as ops

from rxresponses import (
    ClientState,
    ConnectFailedError,
    ConnectionLostError,
    ConnectionOptions,
    PoolOptions,
    ResponseCompletedEvent,
    ResponsesClient,
    ServerEvent,
    SocketClosedError,
)
from rxresponses import operators as rops
from rxresponses.testing import Close, DelayUpgrade, Failure, Fault, Gate, Hold, RefuseUpgrade, ResponsesServer

from ..support.clients import (
    CLOSE,
    LANES,
    arrivals,
    ask,
    inputs,
    no_thread_left,
    peers,
    quickly,
    response_id,
    run,
    slowly,
    states_of,
    until,
)
from ..support.recorder import WAIT, Recorder
from .test_socket_clocks import MovedLoop, Watch, quiet
from .test_socket_clocks import run as run_moved

BOTH = pytest.mark.parametrize("options", [LANES, CLOSE], ids=["drain", "close"])


class TestDisposing:
    @BOTH
    def test_while_it_connects(self, server: ResponsesServer, options: ConnectionOptions) -> None:
        asked, go = threading.Event(), threading.Event()

        def key() -> str:
            asked.set()
            go.wait(WAIT)
            return "k"

        with no_thread_left(), ResponsesClient(server.url, api_key=key, options=options) as client:
            states = states_of(client)
            got = Recorder(client.send_request(ask()))
            assert asked.wait(WAIT)
            got.subscription.dispose()
            go.set()
            until(states, lambda state: state == ClientState(open=1))
        assert not got.ended
        assert (server.accepted, server.requests) == (1, [])

    @BOTH
    def test_in_the_queue(self, server: ResponsesServer, options: ConnectionOptions) -> None:
        gate = server.gate()
        server.on("hold", ["text", Hold(gate)])
        one = ConnectionOptions(lanes=True, max_active=1, on_dispose=options.on_dispose)
        with no_thread_left(), ResponsesClient(server.url, options=one, pool=quickly(max_connections=1)) as client:
            states = states_of(client)
            running = Recorder(client.send_request(ask("hold"))).wait_for(2)
            parent = response_id(running)
            waiting = [
                Recorder(client.send_request(ask("free"))),
                Recorder(client.send_request(ask("in a lane"), stream_id="a")),
                Recorder(client.send_request(ask("behind it"), stream_id="a")),
                Recorder(client.send_request(ask("bound"), stream_id="a")),
                Recorder(client.send_request(ask("bound", previous_response_id=parent))),
            ]
            until(states, lambda state: state.queued == 5)
            for got in (waiting[1], waiting[0], *waiting[2:]):
                got.subscription.dispose()
                got.subscription.dispose()
            until(states, lambda state: state.queued == 0)
            gate.open()
            assert running.wait().completions == 1
            assert Recorder(client.send_request(ask("last"))).wait().completions == 1
            assert not any(got.ended for got in waiting)
        assert inputs(server) == ["hold", "last"]

    @BOTH
    def test_while_the_next_connection_is_waited_for(self, server: ResponsesServer, options: ConnectionOptions) -> None:
        server.fault(Fault(RefuseUpgrade(503), times=1))
        with no_thread_left(), ResponsesClient(server.url, options=options, pool=slowly()) as client:
            states = states_of(client)
            got = Recorder(client.send_request(ask("given up")))
            until(states, lambda state: state.reconnect_in is not None)
            got.subscription.dispose()
            error = states.values[-1].connect_error
            assert isinstance(error, ConnectFailedError)
            until(states, lambda state: state == ClientState(connect_error=error))
            assert Recorder(client.send_request(ask("next"))).wait().completions == 1
            assert not got.ended
        assert inputs(server) == ["next"]

    def test_after_it_was_sent_it_is_swallowed(self, server: ResponsesServer, client: ResponsesClient) -> None:
        gate = server.gate()
        server.on("silent", Hold(gate, after=0))
        server.on("begun", ["text", Hold(gate)])
        states = states_of(client)
        silent = Recorder(client.send_request(ask("silent"), stream_id="a"))
        begun = Recorder(client.send_request(ask("begun"), stream_id="b")).wait_for(2)
        server.wait_until(lambda: len(server.requests) == 2)
        behind = [Recorder(client.send_request(ask("behind"), stream_id=name)) for name in "ab"]
        for got in (silent, begun):
            got.subscription.dispose()
        assert Recorder(client.send_request(ask("other"))).wait().completions == 1
        assert until(states, lambda state: state.active == 2).queued == 2
        gate.open()
        assert all(one.wait().text == behind[0].text for one in behind)
        assert (len(silent.values), len(begun.values)) == (0, 2)
        assert server.accepted == 1

    def test_its_response_can_be_continued_all_the_same(self, server: ResponsesServer, client: ResponsesClient) -> None:
        gate = server.gate()
        server.on("begun", ["text", Hold(gate)])
        begun = Recorder(client.send_request(ask("begun", store=False))).wait_for(2)
        begun.subscription.dispose()
        after = Recorder(client.send_request(ask("after", store=False, previous_response_id=response_id(begun))))
        gate.open()
        assert after.wait().types[-1] == "response.completed"

    def test_with_close_it_is_stopped_and_nobody_else(self, server: ResponsesServer) -> None:
        gate = server.gate()
        server.on("silent", Hold(after=0))
        server.on("begun", ["text", Hold()])
        server.on("other", ["text", Hold(gate)])
        with no_thread_left(), ResponsesClient(server.url, options=CLOSE, pool=slowly()) as client:
            states = states_of(client)
            silent = Recorder(client.send_request(ask("silent"), stream_id="a"))
            begun = Recorder(client.send_request(ask("begun"), stream_id="b")).wait_for(2)
            others = [Recorder(client.send_request(ask("other"))).wait_for(2) for _ in range(3)]
            behind = [Recorder(client.send_request(ask("behind"), stream_id=name)) for name in "ab"]
            server.wait_until(lambda: len(server.requests) == 5)
            assert server.connections == 5  # one for each, so that closing one ends no other
            for got in (silent, begun):
                got.subscription.dispose()
            for one in behind:
                assert one.wait().completions == 1
            gate.open()
            for one in others:
                assert one.wait().completions == 1
            assert not any(state.reconnect_in for state in states.values)
        assert (len(silent.values), len(begun.values)) == (0, 2)
        outcomes = {one.message["input"]: one.outcome for one in server.exchanges}
        assert (outcomes["silent"], outcomes["begun"]) == ("lost", "lost")

    def test_with_close_its_response_is_lost(self, server: ResponsesServer) -> None:
        server.on("begun", ["text", Hold()])
        with ResponsesClient(server.url, options=CLOSE) as client:
            begun = Recorder(client.send_request(ask("begun", store=False))).wait_for(2)
            after = Recorder(client.send_request(ask("after", store=False, previous_response_id=response_id(begun))))
            begun.subscription.dispose()
            assert type(after.wait().error).__name__ == "PreviousResponseLostError"

    @BOTH
    def test_inside_an_observer(self, server: ResponsesServer, options: ConnectionOptions) -> None:
        with no_thread_left(), ResponsesClient(server.url, options=options, pool=slowly()) as client:
            for count in (1, 3, 7):
                got = Recorder(client.send_request(ask()).pipe(ops.take(count))).wait()
                assert (len(got.values), got.completions) == (count, 1)
            assert Recorder(client.send_request(ask())).wait().types[-1] == "response.completed"

    @BOTH
    def test_leaving_an_async_for(self, server: ResponsesServer, options: ConnectionOptions) -> None:
        server.on("hold", ["text", Hold()])

        async def main() -> None:
            async with ResponsesClient(server.url, options=options) as client:
                for _ in range(3):
                    async with client.send_request(ask("hold")).pipe(rops.to_async_iterable()) as events:
                        async for _ in events:
                            break
                assert isinstance(await client.send_request(ask()), ResponseCompletedEvent)

        run(main())

    @BOTH
    def test_a_cancelled_await(self, server: ResponsesServer, options: ConnectionOptions) -> None:
        server.on("hold", ["text", Hold()])

        async def main() -> None:
            async with ResponsesClient(server.url, options=options) as client:
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(client.send_request(ask("hold")), 0.05)
                assert isinstance(await client.send_request(ask()), ResponseCompletedEvent)

        run(main())

    def test_switching_to_the_latest(self, server: ResponsesServer) -> None:
        """Each prompt replaces the one before it, and with "close" stops its spending."""
        server.on("draft", ["text", Hold()])
        with no_thread_left(), ResponsesClient(server.url, options=CLOSE, pool=slowly()) as client:
            prompts = reactivex.of(*["draft"] * 12, "final")
            asked: Observable[Observable[ServerEvent]] = prompts.pipe(
                ops.map(lambda text: client.send_request(ask(str(text))))
            )
            got = Recorder(asked.pipe(ops.switch_latest())).wait()
            assert got.types[-1] == "response.completed"


class TestObservers:
    def fail(self, event: ServerEvent) -> None:
        raise RuntimeError("observer failed")

    @BOTH
    def test_one_that_raises_ends_alone(
        self, server: ResponsesServer, options: ConnectionOptions, caplog: pytest.LogCaptureFixture
    ) -> None:
        gate = server.gate()
        server.on("hold", ["text", Hold(gate)])
        with no_thread_left(), ResponsesClient(server.url, options=options, pool=slowly()) as client:
            other = Recorder(client.send_request(ask("hold"))).wait_for(2)
            client.events.subscribe(self.fail)
            bad = Recorder(client.send_request(ask()), self.fail).wait()
            assert str(bad.error) == "observer failed"
            assert len(bad.values) == 1
            gate.open()
            assert other.wait().completions == 1
            assert Recorder(client.send_request(ask())).wait().completions == 1
        assert len([record for record in caplog.records if record.exc_info]) == 2
        assert set(arrivals(server).values()) <= {1, 2}

    def test_one_that_raises_at_the_end(
        self, server: ResponsesServer, client: ResponsesClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(*_: Any) -> None:
            raise RuntimeError("observer failed")

        server.reply("text", [Close(1006, after=2), "text"])
        completed = threading.Event()

        def complete() -> None:
            completed.set()
            fail()

        client.send_request(ask()).subscribe(on_completed=complete)
        assert completed.wait(WAIT)
        errors: list[Exception] = []
        failed = threading.Event()

        def error(error: Exception) -> None:
            errors.append(error)
            failed.set()
            fail()

        client.send_request(ask()).subscribe(on_error=error)
        assert failed.wait(WAIT)
        assert isinstance(errors[0], ConnectionLostError)
        lost = client.send_request(ask(store=False, previous_response_id="lost"))
        failed.clear()
        lost.subscribe(on_error=error)
        assert failed.wait(WAIT)
        assert Recorder(client.send_request(ask())).wait().completions == 1
        assert len([record for record in caplog.records if record.exc_info]) == 3

    def test_sending_again_from_the_end(self, server: ResponsesServer, client: ResponsesClient) -> None:
        """The lane is free by then, and so is the response to be continued."""
        lane = client.lane("a")
        second: list[Recorder[ServerEvent]] = []
        heard: list[ServerEvent] = []
        done = threading.Event()

        def go_on() -> None:
            parent = heard[-1].response.id  # type: ignore[attr-defined]
            second.append(Recorder(lane.send_request(ask("second", store=False, previous_response_id=parent))))
            done.set()

        lane.send_request(ask("first", store=False)).subscribe(heard.append, on_completed=go_on)
        assert done.wait(WAIT)
        assert second[0].wait().types[-1] == "response.completed"
        assert len({request["stream_id"] for request in server.requests}) == 1


class TestDraining:
    def test_unused(self, server: ResponsesServer) -> None:
        client = ResponsesClient(server.url)
        got = Recorder(client.drain())
        assert (got.values, got.completions) == ([True], 1)
        assert isinstance(Recorder(client.send_request(ask())).wait().error, SocketClosedError)
        assert server.upgrades == []

    def test_idle(self, server: ResponsesServer, client: ResponsesClient) -> None:
        Recorder(client.send_request(ask())).wait()
        assert client.drain().run() is True
        assert states_of(client).wait().values == [ClientState(closed=True)]
        server.wait_until(lambda: server.connections == 0)

    def test_with_work_that_runs_and_waits(self, server: ResponsesServer) -> None:
        gate = server.gate()
        server.on("hold", ["text", Hold(gate)])
        one = ConnectionOptions(lanes=True, max_active=1)
        with no_thread_left(), ResponsesClient(server.url, options=one, pool=quickly(max_connections=1)) as client:
            running = Recorder(client.send_request(ask("hold"))).wait_for(2)
            waiting = [Recorder(client.send_request(ask(text), stream_id="a")) for text in ("one", "two")]
            drained = Recorder(client.drain())
            late = Recorder(client.send_request(ask("late"))).wait()
            assert isinstance(late.error, SocketClosedError)
            assert late.error.delivery == "not_sent"
            client.prewarm(1, model="m")
            assert not drained.ended
            gate.open()
            for got in (running, *waiting):
                assert got.wait().types[-1] == "response.completed"
            assert (drained.wait().values, drained.completions) == ([True], 1)
        assert inputs(server) == ["hold", "one", "two"]

    def test_with_work_that_is_sent_again(self, server: ResponsesServer, client: ResponsesClient) -> None:
        """What was taken is taken: refusals and lost connections do not change that."""
        server.fault(Fault(Failure("server_error", after=0), match="again", times=2))
        server.fault(Fault(RefuseUpgrade(503), times=2))
        got = Recorder(client.send_request(ask("again")))
        drained = Recorder(client.drain())
        assert got.wait().types[-1] == "response.completed"
        assert drained.wait().values == [True]
        assert arrivals(server) == {"again": 3}

    def test_with_work_that_fails(self, server: ResponsesServer, client: ResponsesClient) -> None:
        """It has come to its end, such as it is: nothing was cut short by closing."""
        server.on("cut", ["text", Hold()])
        got = Recorder(client.send_request(ask("cut"))).wait_for(2)
        drained = Recorder(client.drain())
        server.drop()
        assert got.wait().error.delivery == "started"
        assert drained.wait().values == [True]

    @pytest.mark.parametrize("how", ["dispose", "raise"])
    def test_what_was_given_up_is_not_waited_for(
        self, server: ResponsesServer, client: ResponsesClient, how: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        server.on("hold", ["text", Hold()])
        go_on = threading.Event()

        def wait(event: ServerEvent) -> None:
            if how == "raise" and go_on.wait(WAIT):
                raise RuntimeError("observer failed")

        got = Recorder(client.send_request(ask("hold")), wait).wait_for(1)
        waiting = Recorder(client.send_request(ask("waiting"), stream_id="a"))
        drained = Recorder(client.drain())
        go_on.set()
        got.subscription.dispose()
        waiting.wait()
        assert drained.wait().values == [True]

    def test_after_its_time_it_is_cut_short(self, server: ResponsesServer) -> None:
        async def main(loop: MovedLoop) -> None:
            server.on("hold", ["text", Hold()])
            client = ResponsesClient(server.url, options=quiet(), pool=PoolOptions(max_connections=1))
            running = Watch(client.send_request(ask("hold"), stream_id="a"))
            behind = Watch(client.send_request(ask("behind"), stream_id="a"))
            await running.count(2)
            drained = Watch(client.drain(30.0))
            await loop.move(29.9)
            assert not running.ended
            assert not drained.ended
            await loop.move(0.1)
            for got, delivery in ((running, "started"), (behind, "not_sent")):
                assert isinstance((await got.end()).error, SocketClosedError)
                assert got.error.delivery == delivery
            assert (await drained.end()).values == [False]
            await client.wait_closed()

        run_moved(main)

    def test_at_once(self, server: ResponsesServer, client: ResponsesClient) -> None:
        server.on("hold", ["text", Hold()])
        got = Recorder(client.send_request(ask("hold"))).wait_for(2)
        assert client.drain(0).run() is False
        assert isinstance(got.wait().error, SocketClosedError)

    def test_twice(self, server: ResponsesServer) -> None:
        """The earliest time counts, and everyone hears of the end."""

        async def main(loop: MovedLoop) -> None:
            server.on("hold", ["text", Hold()])
            client = ResponsesClient(server.url, options=quiet())
            running = Watch(client.send_request(ask("hold")))
            await running.count(2)
            drained = [Watch(client.drain(timeout)) for timeout in (None, 60.0, 20.0, None, 40.0)]
            await loop.move(19.9)
            assert not running.ended
            await loop.move(0.1)
            for got in drained:
                assert (await got.end()).values == [False]
            assert (await Watch(client.drain()).end()).values == [False]
            await client.wait_closed()

        run_moved(main)

    def test_closed_meanwhile(self, server: ResponsesServer, client: ResponsesClient) -> None:
        server.on("hold", ["text", Hold()])
        got = Recorder(client.send_request(ask("hold"))).wait_for(2)
        drained = Recorder(client.drain(3600))
        client.close()
        assert isinstance(got.wait().error, SocketClosedError)
        assert drained.wait().values == [False]

    def test_after_close(self, server: ResponsesServer, client: ResponsesClient) -> None:
        Recorder(client.send_request(ask())).wait()
        client.close()
        assert Recorder(client.drain()).wait().values == [True]

    def test_while_closing(self, server: ResponsesServer) -> None:
        async def main() -> None:
            async with peers() as here:
                client = ResponsesClient(here.url, options=quiet(close_timeout=0.1))
                got = Watch(client.send_request(ask()))
                await here.until(lambda: len(here.received) == 1)
                here.pause()  # the good-bye will not be answered
                client.close()
                assert await client.drain(5) is False
                await got.end()

        run(main())

    def test_without_subscribing_to_the_result(self, server: ResponsesServer, client: ResponsesClient) -> None:
        Recorder(client.send_request(ask())).wait()
        client.drain()
        states_of(client).wait()

    def test_awaited(self, server: ResponsesServer) -> None:
        async def main() -> None:
            gate = server.gate()
            server.on("hold", ["text", Hold(gate)])
            client = ResponsesClient(server.url, options=LANES)
            running = Watch(client.send_request(ask("hold")))
            await running.count(2)
            asyncio.get_running_loop().call_later(0.01, gate.open)
            assert await client.drain(WAIT) is True
            assert running.completions == 1
            await client.wait_closed()

        run(main())

    def test_on_another_loop_than_its_own(self, server: ResponsesServer, client: ResponsesClient) -> None:
        Recorder(client.send_request(ask())).wait()

        async def main() -> None:
            assert await client.drain() is True

        run(main())

    def test_while_it_connects(self, server: ResponsesServer, client: ResponsesClient) -> None:
        server.fault(Fault(DelayUpgrade(0.05)))
        got = Recorder(client.send_request(ask()))
        assert client.drain().run() is True
        assert got.completions == 1

    def test_from_an_observer(self, server: ResponsesServer, client: ResponsesClient) -> None:
        results: list[Recorder[bool]] = []

        def drain(event: ServerEvent) -> None:
            if not results:
                results.append(Recorder(client.drain()))

        got = Recorder(client.send_request(ask()), drain).wait()
        assert got.types[-1] == "response.completed"
        assert results[0].wait().values == [True]

    def test_its_loop_has_ended(self, server: ResponsesServer) -> None:
        client = ResponsesClient(server.url, options=LANES)
        server.on("hold", ["text", Hold()])

        async def main() -> None:
            Recorder(client.send_request(ask("hold")))
            await server.until(lambda: len(server.requests) == 1)

        asyncio.run(main())
        assert client.drain().run() is True  # all were told when their loop ended

    def test_a_loop_that_ends_while_it_drains(self, server: ResponsesServer) -> None:
        client = ResponsesClient(server.url, options=LANES)
        server.on("hold", ["text", Hold()])

        async def main() -> None:
            Recorder(client.send_request(ask("hold")))
            await server.until(lambda: len(server.requests) == 1)
            client.drain(3600)

        with no_thread_left():
            asyncio.run(main())
            # It refuses still; and somebody has asked on a loop that runs, so it can close.
            assert isinstance(Recorder(client.send_request(ask())).wait().error, SocketClosedError)
            states_of(client).wait()


class TestContexts:
    def test_with(self, server: ResponsesServer) -> None:
        server.on("hold", ["text", Hold()])
        with no_thread_left():
            with ResponsesClient(server.url, options=LANES) as client:
                got = Recorder(client.send_request(ask("hold"))).wait_for(2)
                waiting = Recorder(client.send_request(ask("hold")))
            assert server.connections <= 2
            for one in (got, waiting):
                assert isinstance(one.wait().error, SocketClosedError)
        server.wait_until(lambda: server.connections == 0)

    def test_async_with_an_error_inside(self, server: ResponsesServer) -> None:
        async def main() -> None:
            async with ResponsesClient(server.url, options=LANES) as client:
                await client.send_request(ask())
                raise LookupError

        with pytest.raises(LookupError):
            run(main())
        server.wait_until(lambda: server.connections == 0)

    def test_in_a_hurry(self, server: ResponsesServer) -> None:
        server.on("hold", ["text", Hold(Gate())])
        client = ResponsesClient(server.url, options=LANES)

        def leave() -> None:
            with client:
                Recorder(client.send_request(ask("hold"))).wait_for(2)
                raise KeyboardInterrupt

        with no_thread_left(), pytest.raises(KeyboardInterrupt):
            leave()
        server.wait_until(lambda: server.connections == 0)


class TestLeaks:
    def test_no_task_timer_or_connection_is_left(self, server: ResponsesServer) -> None:
        """After a life with everything in it."""

        async def main(loop: MovedLoop) -> None:
            server.on("hold", ["text", Hold()])
            server.fault(Fault(Failure("rate_limit_exceeded", after=0, headers={"Retry-After": "5"}), match="limit"))
            server.fault(Fault(Close(1011, after=3), match="cut"))
            pool = PoolOptions(min_idle=2, max_connections=3, max_age=1000.0)
            client = ResponsesClient(server.url, options=quiet(queue_timeout=50.0, idle_timeout=70.0), pool=pool)
            await Watch(client.send_request(ask())).end()
            await Watch(client.send_request(ask("cut"))).end()
            Watch(client.send_request(ask("hold")).pipe(ops.take(1)))
            running = await Watch(client.send_request(ask("hold"))).count(2)
            Watch(client.steer(response_id(running), "more"))
            for _ in range(5):
                Watch(client.send_request(ask("limit"), stream_id="a"))
            await Watch(client.state).until(lambda: True)
            drained = Watch(client.drain(100.0))
            await loop.move(1.0)
            client.close()
            await drained.end()
            await client.wait_closed()
            assert client._driver is not None
            assert not client._driver._closing_tasks
            assert not client._connections

        run_moved(main)
        server.wait_until(lambda: server.connections == 0)

    def test_a_closed_client_is_forgotten(self, server: ResponsesServer) -> None:
        with no_thread_left():
            client = ResponsesClient(server.url, options=LANES)
            for _ in range(3):
                Recorder(client.send_request(ask())).wait()
            with client:
                pass
            reference = weakref.ref(client)
            del client
        gc.collect()
        assert reference() is None

    def test_requests_leave_nothing_behind(self, server: ResponsesServer) -> None:
        """Neither those that end, nor those that are given up in the queue."""

        async def main() -> None:
            gate = server.gate()
            server.on("hold", ["text", Hold(gate)])
            options = ConnectionOptions(lanes=True, max_active=1, queue_timeout=3600.0)
            async with ResponsesClient(server.url, options=options, pool=PoolOptions(max_connections=1)) as client:
                running = await Watch(client.send_request(ask("hold"))).count(2)
                observers = []
                for _ in range(50):
                    got = Watch(client.send_request(ask("x" * 1000), stream_id="a"))
                    waiting = client._loop_driver().pool.waiting()[-1:]
                    observers += [weakref.ref(request.observer) for request in waiting]  # type: ignore[attr-defined]
                    got.subscription.dispose()
                    del got
                gate.open()
                await running.end()
                await client.send_request(ask())
                assert client._loop_driver().pool.queued == 0
                gc.collect()
                assert [reference for reference in observers if reference() is not None] == []

        run(main())
