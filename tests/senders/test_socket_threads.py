"""Sockets used from many threads, on several loops, and in programs that have none and end anyhow."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from reactivex import Observable
from reactivex import operators as ops
from reactivex.scheduler import TimeoutScheduler

import rxresponses
from rxresponses import (
    ConnectionLostError,
    ConnectionOptions,
    ObserverExitError,
    ResponseCompletedEvent,
    ResponseCreate,
    ResponsesWebSocket,
    ServerEvent,
    SocketClosedError,
)
from rxresponses import operators as rops
from rxresponses.testing import Close, Hold, ResponsesServer

from ..support.recorder import WAIT, Recorder

THREADS = 8


def ask(text: str = "hi", **fields: Any) -> ResponseCreate:
    return ResponseCreate(model="m", input=text, **fields)


def each_in_a_thread(work: Callable[[int], None]) -> None:
    """Run `work(0)`, `work(1)`, … at the same time, and raise what they raise."""
    start = threading.Barrier(THREADS)

    def begin(number: int) -> None:
        start.wait(WAIT)
        work(number)

    with ThreadPoolExecutor(THREADS) as threads:
        for done in [threads.submit(begin, number) for number in range(THREADS)]:
            done.result(3 * WAIT)


class TestObservers:
    def fail(self, event: ServerEvent) -> None:
        raise RuntimeError("observer failed")

    def test_scenario_38_is_reported_with_its_traceback(
        self, server: ResponsesServer, socket: ResponsesWebSocket, caplog: pytest.LogCaptureFixture
    ) -> None:
        gate = server.gate()
        server.on("hold", ["held", Hold(gate)])
        other = Recorder(socket.send_request(ask("hold"), stream_id="a")).wait_for(2)
        watcher = Recorder(socket.events)
        socket.events.subscribe(self.fail)
        bad = Recorder(socket.send_request(ask(), stream_id="b"), self.fail).wait()
        assert str(bad.error) == "observer failed"
        gate.open()
        assert other.wait().text == "held"
        watcher.wait(lambda: watcher.types.count("response.completed") == 2)
        reports = [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert len(reports) == 2
        for record in reports:
            assert record.exc_info is not None
            assert "an observer of a rxresponses Observable raised" in record.getMessage()
            traceback = record.exc_info[2]
            names = []
            while traceback is not None:
                names.append(traceback.tb_frame.f_code.co_name)
                traceback = traceback.tb_next
            assert names[-1] == "fail"

    def test_scenario_38_through_the_handler_of_the_loop(self, server: ResponsesServer) -> None:
        async def main() -> None:
            reports: list[dict[str, Any]] = []
            asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
            async with ResponsesWebSocket(server.url) as socket:
                with pytest.raises(RuntimeError, match="observer failed"):
                    await socket.send_request(ask()).pipe(ops.do_action(self.fail))
                socket.send_request(ask()).subscribe(self.fail)
                assert isinstance(await socket.send_request(ask()), ResponseCompletedEvent)
            (report,) = reports
            assert str(report["exception"]) == "observer failed"
            assert report["socket"] is socket

        asyncio.run(asyncio.wait_for(main(), WAIT))

    def test_scenario_38_what_is_meant_for_the_program_goes_on_out_of_its_loop(self, server: ResponsesServer) -> None:
        ended: list[Recorder[ServerEvent]] = []

        def leave(event: ServerEvent) -> None:
            raise SystemExit(3)

        async def main() -> None:
            async with ResponsesWebSocket(server.url) as socket:
                ended.append(Recorder(socket.send_request(ask()), leave))
                await asyncio.Event().wait()

        with pytest.raises(SystemExit) as end:
            asyncio.run(main())
        assert end.value.code == 3
        assert isinstance(ended[0].error, ObserverExitError)
        assert ended[0].error.__cause__ is end.value

    def test_scenario_38_on_another_loop(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        Recorder(socket.send_request(ask())).wait()  # it lives on the background loop from here on

        async def main() -> None:
            reports: list[dict[str, Any]] = []
            asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
            failed = Recorder(socket.send_request(ask(), stream_id="a"), self.fail)
            assert isinstance(await socket.send_request(ask(), stream_id="b"), ResponseCompletedEvent)
            assert [str(report["exception"]) for report in reports] == ["observer failed"]
            assert len(failed.values) == 1

        asyncio.run(asyncio.wait_for(main(), WAIT))


class TestForeignThreads:
    @pytest.fixture(params=["background", "running"])
    def anywhere(self, request: pytest.FixtureRequest, server: ResponsesServer) -> Iterator[ResponsesWebSocket]:
        """A socket on the background loop, and one on a loop that runs in another thread."""
        socket = ResponsesWebSocket(server.url, options=ConnectionOptions(lanes=True))
        if request.param == "background":
            with socket:
                yield socket
            return
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()

        async def use() -> None:
            await socket.send_request(ask())

        asyncio.run_coroutine_threadsafe(use(), loop).result(WAIT)
        yield socket
        socket.close()
        asyncio.run_coroutine_threadsafe(socket.wait_closed(), loop).result(WAIT)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(WAIT)
        assert not thread.is_alive()
        loop.close()

    def test_scenario_40_subscribe_and_dispose(self, anywhere: ResponsesWebSocket) -> None:
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
        assert len(threads) == 1  # one delivery thread a socket

    def test_scenario_40_one_lane_from_many_threads(
        self, server: ResponsesServer, anywhere: ResponsesWebSocket
    ) -> None:
        def work(number: int) -> None:
            server.on(f"^question {number}$", f"answer {number}")
            for _ in range(5):
                assert Recorder(anywhere.send_request(ask(f"question {number}"))).wait().text == f"answer {number}"

        each_in_a_thread(work)

    def test_scenario_40_close_from_many_threads(self, server: ResponsesServer, anywhere: ResponsesWebSocket) -> None:
        server.on("hold", ["text", Hold()])
        held = Recorder(anywhere.send_request(ask("hold"))).wait_for(2)

        def work(number: int) -> None:
            got = Recorder(anywhere.send_request(ask("hello"), stream_id=f"lane-{number}"))
            anywhere.close()
            got.wait()
            assert got.completions or isinstance(got.error, SocketClosedError)
            assert isinstance(Recorder(anywhere.send_request(ask())).wait().error, SocketClosedError)

        each_in_a_thread(work)
        assert isinstance(held.wait().error, SocketClosedError)
        server.wait_until(lambda: server.connections == 0)

    def test_scenario_40_watchers_come_and_go(self, anywhere: ResponsesWebSocket) -> None:
        def work(number: int) -> None:
            for _ in range(20):
                watchers = [Recorder(anywhere.events), Recorder(anywhere.unrouted)]
                state = Recorder(anywhere.state).wait_for(1)
                Recorder(anywhere.send_request(ask(), stream_id=f"lane-{number}")).wait()
                for subscription in (state.subscription, *(watcher.subscription for watcher in watchers)):
                    subscription.dispose()

        each_in_a_thread(work)

    def test_scenario_40_the_stock_timeout(self, server: ResponsesServer, anywhere: ResponsesWebSocket) -> None:
        """It disposes, and subscribes to its other source, on a thread of its own."""
        server.on("hold", ["text", Hold()])
        timers = TimeoutScheduler.singleton()

        def work(number: int) -> None:
            # A new lane name each time: what is given up goes on, and keeps its own.
            stuck = anywhere.send_request(ask("hold"), stream_id=f"stuck-{number}")
            other = anywhere.send_request(ask("other"), stream_id=f"other-{number}")
            got = Recorder(stuck.pipe(ops.timeout(0.1, other, timers))).wait()
            assert got.completions == 1
            assert got.types[-1] == "response.completed"

        each_in_a_thread(work)

    def test_scenario_40_dispose_while_events_come(self, server: ResponsesServer, anywhere: ResponsesWebSocket) -> None:
        server.on("long", "word " * 300)

        def work(number: int) -> None:
            got = Recorder(anywhere.send_request(ask("long"), stream_id=f"lane-{number}")).wait_for(number + 1)
            got.subscription.dispose()
            assert Recorder(anywhere.send_request(ask("short"), stream_id=f"lane-{number}")).wait().completions == 1
            assert not got.ended or got.completions

        each_in_a_thread(work)

    def test_scenario_40_from_within_an_observer_another_thread_closes(
        self, server: ResponsesServer, anywhere: ResponsesWebSocket
    ) -> None:
        """No lock is held while an observer runs, so it may wait for a thread that uses the socket."""
        closed = threading.Event()

        def use(event: ServerEvent) -> None:
            def close() -> None:
                Recorder(anywhere.send_request(ask())).subscription.dispose()
                anywhere.close()
                closed.set()

            if not closed.is_set():
                threading.Thread(target=close).start()
                assert closed.wait(WAIT)

        got = Recorder(anywhere.send_request(ask()), use).wait()
        assert closed.is_set()
        assert got.completions or isinstance(got.error, SocketClosedError)


class TestSends:
    def test_scenario_41_twice_retried_and_shared(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        source = socket.send_request(ask("twice"))
        both = [Recorder(source), Recorder(source)]
        for one in both:
            assert one.wait().completions == 1
        assert len(server.requests) == 2
        server.on("retry", Close(1011))
        retried = Recorder(socket.send_request(ask("retry")).pipe(ops.retry(3))).wait()
        assert isinstance(retried.error, ConnectionLostError)
        assert len(server.requests) == 5
        shared = socket.send_request(ask("share")).pipe(ops.share())
        gate = server.gate()
        server.on("share", ["text", Hold(gate)])
        first = Recorder(shared).wait_for(2)
        late = Recorder(shared)
        gate.open()
        assert (first.wait().text, late.wait().text) == ("text", "text")
        assert len(server.requests) == 6
        replayed = socket.send_request(ask("replay")).pipe(ops.replay())
        connection = replayed.connect()
        for _ in range(2):
            assert Recorder(replayed).wait().types[0] == "response.created"
        assert connection is not None
        connection.dispose()
        assert len(server.requests) == 7

    def test_scenario_41_repeat_defer_amb_and_concat(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        source = socket.send_request(ask())
        assert Recorder(source.pipe(ops.repeat(3))).wait().types.count("response.completed") == 3
        assert Recorder(source.pipe(ops.concat(source))).wait().types.count("response.completed") == 2
        assert len(server.requests) == 5
        gate = server.gate()
        server.on("slow", ["slow", Hold(gate, after=0)])
        server.on("fast", "fast")
        lanes = {name: socket.send_request(ask(name), stream_id=name) for name in ("slow", "fast")}
        raced = Recorder(lanes["fast"].pipe(ops.amb(lanes["slow"])))
        gate.open()
        assert raced.wait().completions == 1
        assert len(server.requests) <= 7  # the loser's frame may not have gone yet

    def test_scenario_41_a_pipeline_sends_nothing_by_itself(
        self, server: ResponsesServer, socket: ResponsesWebSocket
    ) -> None:
        pipeline: Observable[str] = socket.send_request(ask()).pipe(ops.retry(3), rops.collect_text(), ops.share())
        assert server.upgrades == []
        Recorder(pipeline).wait()
        assert len(server.requests) == 1


class TestLoops:
    def test_scenario_42_run_after_run_after_run(self, server: ResponsesServer) -> None:
        socket = ResponsesWebSocket(server.url)

        async def main() -> None:
            assert isinstance(await socket.send_request(ask()), ResponseCompletedEvent)
            assert isinstance(await socket.send_request(ask()), ResponseCompletedEvent)

        for number in range(1, 4):
            asyncio.run(asyncio.wait_for(main(), WAIT))
            assert server.accepted == number
        assert isinstance(socket.send_request(ask()).run(), ResponseCompletedEvent)  # and without a loop
        assert server.accepted == 4
        socket.close()
        asyncio.run(asyncio.wait_for(socket.wait_closed(), WAIT))

    def test_scenario_42_what_the_first_run_left_is_told(self, server: ResponsesServer) -> None:
        server.on("hold", ["text", Hold()])
        socket = ResponsesWebSocket(server.url)
        left: list[Recorder[ServerEvent]] = []

        async def first() -> None:
            left.append(Recorder(socket.send_request(ask("hold"))))
            left.append(Recorder(socket.send_request(ask("queued"))))
            await server.until(lambda: len(server.requests) == 1)

        async def second() -> None:
            for got in left:
                got.subscription.dispose()
            await socket.send_request(ask("fresh"))
            socket.close()
            await socket.wait_closed()

        asyncio.run(asyncio.wait_for(first(), WAIT))
        assert [got.error.delivery for got in left] in (["started", "not_sent"], ["unknown", "not_sent"])
        asyncio.run(asyncio.wait_for(second(), WAIT))
        assert [request["input"] for request in server.requests] == ["hold", "fresh"]

    def test_scenario_42_a_closed_socket_stays_closed_in_the_second_run(self, server: ResponsesServer) -> None:
        socket = ResponsesWebSocket(server.url)

        async def first() -> None:
            async with socket:
                await socket.send_request(ask())

        async def second() -> None:
            with pytest.raises(SocketClosedError):
                await socket.send_request(ask())
            await socket.wait_closed()

        asyncio.run(asyncio.wait_for(first(), WAIT))
        asyncio.run(asyncio.wait_for(second(), WAIT))


EXIT_IN_A_CALLBACK = """
try:
    ask("hold").pipe(ops.do_action(lambda event: sys.exit(3))).run()
except ObserverExitError as error:
    sys.exit(error.__cause__.code)
"""


class Program:
    """A script in a process of its own: `socket`, `ask`, `say` and `put` are there."""

    HEAD = """
        import asyncio, signal, sys, threading
        from reactivex import operators as ops
        from rxresponses import ObserverExitError, ResponseCreate, ResponsesWebSocket, operators as rops
        # A shell that starts this in the background has it ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        socket = ResponsesWebSocket(sys.argv[1])
        def ask(text): return socket.send_request(ResponseCreate(model="m", input=text))
        def put(text):
            sys.stdout.write(text + "\\n")  # whole lines, from whatever thread
            sys.stdout.flush()
        def say(event): put(event.type)
        """

    def __init__(self, server: ResponsesServer, code: str) -> None:
        source = textwrap.dedent(self.HEAD) + textwrap.dedent(code)
        where = str(Path(rxresponses.__file__).parent.parent)
        self.process = subprocess.Popen(
            [sys.executable, "-c", source, server.url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": where},
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def end(self) -> tuple[int, str, str]:
        try:
            out, err = self.process.communicate(timeout=3 * WAIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise
        return self.process.returncode, out.strip(), err.strip()


class TestPrograms:
    """Each would hang for good if it hung at all: the server holds what it has, and pings are 20 s apart."""

    def test_scenario_43_run_and_end_without_closing(self, server: ResponsesServer) -> None:
        server.on("hello", "Hello there.")
        program = Program(server, "print(ask('hello').pipe(rops.collect_text()).run())")
        assert program.end() == (0, "Hello there.", "")

    def test_scenario_43_end_in_mid_response(self, server: ResponsesServer) -> None:
        server.on("hold", ["text", Hold()])
        code = """
        begun = threading.Event()
        ask("hold").subscribe(lambda event: begun.set())
        begun.wait()
        print("done")
        """
        assert Program(server, code).end() == (0, "done", "")
        server.wait_until(lambda: server.connections == 0)

    def test_scenario_43_end_while_connecting(self, server: ResponsesServer) -> None:
        assert Program(server, "ask('hello').subscribe(say)").end()[::2] == (0, "")

    def test_scenario_43_end_with_the_socket_closing(self, server: ResponsesServer) -> None:
        server.on("hold", ["text", Hold()])
        code = """
        begun = threading.Event()
        ask("hold").subscribe(lambda event: begun.set(), on_error=lambda error: None)
        begun.wait()
        socket.close()
        """
        assert Program(server, code).end() == (0, "", "")

    def test_scenario_43_end_of_an_asyncio_program_without_closing(self, server: ResponsesServer) -> None:
        server.on("hold", ["text", Hold()])
        code = """
        async def main():
            ask("hold").subscribe(lambda event: None, on_error=lambda error: print(type(error).__name__))
            print((await ask_on("other")).type)
        def ask_on(lane):
            return socket.lane(lane).send_request(ResponseCreate(model="m", input="hello"))
        asyncio.run(main())
        """
        assert Program(server, code).end() == (0, "response.completed\nSocketClosedError", "")

    def test_scenario_43_a_callback_that_ends_the_program(self, server: ResponsesServer) -> None:
        """On the background thread it ends nothing but its stream, for whoever waits there."""
        server.on("hold", ["text", Hold()])
        status, _, err = Program(server, EXIT_IN_A_CALLBACK).end()
        assert status == 3
        assert "SystemExit: 3" in err  # it is reported

    def test_scenario_43_interrupted(self, server: ResponsesServer) -> None:
        server.on("hold", ["text", Hold()])
        code = """
        try:
            ask("hold").pipe(ops.do_action(say)).run()
        except KeyboardInterrupt:
            put("interrupted")
        """
        program = Program(server, code)
        assert program.line() == "response.created"
        program.interrupt()
        status, out, err = program.end()
        assert (status, err) == (0, "")
        assert "interrupted" in out.splitlines()

    def test_scenario_43_interrupted_and_not_caught(self, server: ResponsesServer) -> None:
        server.on("hold", ["text", Hold()])
        program = Program(server, "ask('hold').pipe(ops.do_action(say)).run()")
        assert program.line() == "response.created"
        program.interrupt()
        status, _, err = program.end()
        assert status in (1, 130, -signal.SIGINT)
        assert err.splitlines()[-1] == "KeyboardInterrupt"
        assert err.count("Traceback") == 1  # nothing else has anything to say

    def test_scenario_43_interrupted_in_a_with_block(self, server: ResponsesServer) -> None:
        server.on("hold", ["text", Hold()])
        code = """
        try:
            with socket:
                ask("hold").pipe(ops.do_action(say)).run()
        except KeyboardInterrupt:
            put("interrupted")
        """
        program = Program(server, code)
        assert program.line() == "response.created"
        program.interrupt()
        status, out, err = program.end()
        assert status == 0
        assert "interrupted" in out.splitlines()
        assert "Traceback" not in err
        server.wait_until(lambda: server.connections == 0)

    def test_scenario_43_go_on_after_an_interrupt(self, server: ResponsesServer) -> None:
        gate = server.gate()
        server.on("hold", ["text", Hold(gate)])
        code = """
        try:
            ask("hold").pipe(ops.do_action(say)).run()
        except KeyboardInterrupt:
            put("interrupted")
        print(ask("hello").pipe(rops.collect_text()).run())
        """
        server.on("hello", "Hello again.")
        program = Program(server, code)
        assert program.line() == "response.created"
        program.interrupt()
        while program.line() != "interrupted":
            pass
        gate.open()  # the interrupted one has the lane until it ends
        status, out, err = program.end()
        assert (status, err) == (0, "")
        assert out.splitlines()[-1] == "Hello again."
