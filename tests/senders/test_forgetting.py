"""What a process leaves behind: forked children, threads of tools, loops that are closed early, closed senders."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from rxresponses import ConnectionOptions, ResponsesClient, ResponsesWebSocket, SocketClosedError
from rxresponses.testing import FunctionCall, Hold, ResponsesServer

from ..support.clients import WITH_LANES, ask, inputs, no_thread_left
from ..support.fleets import OneServerFleet
from ..support.raw_server import silent_listener
from ..support.recorder import WAIT, AsyncRecorder, Recorder

KINDS = pytest.mark.parametrize(
    "kind", [ResponsesWebSocket, ResponsesClient, OneServerFleet], ids=["socket", "client", "fleet"]
)
FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def in_child(act: Callable[[], str]) -> str:
    """Return what a function returns in a forked process, or the error that it raises."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # nothing may leave this branch
        try:
            os.write(writer, act().encode())
        except BaseException as error:
            os.write(writer, repr(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as answer:
        text = answer.read().decode()
    os.waitpid(child, 0)
    return text


@FORKS
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
class TestForks:
    @KINDS
    @pytest.mark.parametrize("use", ["request", "close", "nothing", "dispose"])
    def test_scenario_67_a_child_tells_the_observers_of_its_parent_nothing(
        self, server: ResponsesServer, kind: type, use: str
    ) -> None:
        gate = server.gate()
        server.on("hold", ["text", Hold(gate)])
        with no_thread_left(), kind(server.url, options=WITH_LANES) as sender:
            states, events = Recorder(sender.state), Recorder(sender.events)
            running = Recorder(sender.send_request(ask("hold"))).wait_for(2)
            queued = Recorder(sender.send_request(ask("queued"), stream_id="a"))
            queued.wait()

            def act() -> str:
                def told() -> int:
                    parents = (states, events, running)
                    return sum(len(one.values) + len(one.errors) + one.completions for one in parents)

                before = told()
                if use == "request":
                    assert Recorder(sender.send_request(ask("child"))).wait().completions == 1
                elif use == "dispose":
                    running.subscription.dispose()
                sender.close()
                gc.collect()
                asyncio.run(asyncio.wait_for(sender.wait_closed(), WAIT))
                assert isinstance(Recorder(sender.send_request(ask())).wait().error, SocketClosedError)
                assert Recorder(sender.state).wait().completions == 1
                return f"{told() - before} told"

            assert in_child(act) == "0 told"
            gate.open()
            assert running.wait().completions == 1
            assert Recorder(sender.send_request(ask("parent"))).wait().completions == 1
        assert inputs(server) == ["hold", "queued", *(["child"] if use == "request" else []), "parent"]

    @KINDS
    def test_scenario_67_a_child_of_a_sender_that_is_being_closed(self, server: ResponsesServer, kind: type) -> None:
        with no_thread_left():
            sender = kind(server.url)
            Recorder(sender.send_request(ask())).wait()
            loop = sender._loop
            blocked, go_on = threading.Event(), threading.Event()

            def block() -> None:
                blocked.set()
                go_on.wait(WAIT)

            loop.call_soon_threadsafe(block)
            assert blocked.wait(WAIT)
            sender.close()

            def act() -> str:
                asyncio.run(asyncio.wait_for(sender.wait_closed(), WAIT))
                return type(Recorder(sender.send_request(ask())).wait().error).__name__

            assert in_child(act) == "SocketClosedError"
            go_on.set()
            asyncio.run(asyncio.wait_for(sender.wait_closed(), WAIT))

    @KINDS
    def test_scenario_67_a_lock_that_another_thread_holds(self, server: ResponsesServer, kind: type) -> None:
        with no_thread_left(), kind(server.url) as sender:
            Recorder(sender.send_request(ask())).wait()
            held, free = threading.Event(), threading.Event()

            def hold() -> None:
                with sender._lock:
                    held.set()
                    free.wait(WAIT)

            thread = threading.Thread(target=hold)
            thread.start()
            assert held.wait(WAIT)
            completions = in_child(lambda: str(Recorder(sender.send_request(ask("child"))).wait().completions))
            free.set()
            thread.join()
            assert completions == "1"


SLOW_TOOL = """
import sys, threading, rxresponses
from rxresponses import operators as rops
begun = threading.Event()
def slow():
    begun.set()
    threading.Event().wait()
socket = rxresponses.ResponsesWebSocket(sys.argv[1])
calls = socket.send_request({"model": "m", "input": "call"}).pipe(rops.function_calls())
calls.pipe(rxresponses.answer_calls({"slow": slow})).subscribe()
begun.wait()
print("end")
"""


def test_scenario_67_a_tool_that_does_not_return_keeps_no_program_alive(server: ResponsesServer) -> None:
    server.on("call", [FunctionCall("slow", {})])
    command = [sys.executable, "-c", SLOW_TOOL, server.url]
    got = subprocess.run(command, capture_output=True, text=True, timeout=WAIT)
    assert (got.returncode, got.stdout, got.stderr) == (0, "end\n", "")


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
@KINDS
def test_scenario_67_a_forgotten_sender_leaves_no_file_open(server: ResponsesServer, kind: type) -> None:
    def forget() -> None:
        Recorder(kind(server.url).send_request(ask())).wait()

    def files() -> set[str]:
        names = (os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd"))
        return {os.readlink(name) for name in names if os.path.lexists(name)}

    with pytest.warns(ResourceWarning, match="was forgotten"):  # noqa: PT031
        with no_thread_left():
            forget()
            gc.collect()
            server.wait_until(lambda: server.connections == 0)
        before = files()
        with no_thread_left():
            forget()
            gc.collect()
            server.wait_until(lambda: server.connections == 0)
    assert len(files()) <= len(before)


@KINDS
@pytest.mark.parametrize("then", ["next use", "close", "forget"])
def test_scenario_67_a_loop_that_is_closed_early(
    server: ResponsesServer, kind: type, then: str, caplog: pytest.LogCaptureFixture
) -> None:
    server.on("hold", ["text", Hold()])
    sender = kind(server.url)
    streams: list[Recorder[Any]] = []

    async def main(sender: Any) -> None:
        await sender.send_request(ask())
        streams.append(Recorder(sender.send_request(ask("hold"))))
        await server.until(lambda: len(server.requests) == 2)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # of asyncio, for the transport that was not closed
        loop = asyncio.new_event_loop()
        loop.run_until_complete(main(sender))
        loop.close()
        del loop
        gc.collect()
        if then == "next use":
            with no_thread_left():
                assert Recorder(sender.send_request(ask())).wait().completions == 1
                sender.close()
                asyncio.run(asyncio.wait_for(sender.wait_closed(), WAIT))
        elif then == "close":
            sender.close()
        if then != "forget":
            assert isinstance(streams[0].wait().error, SocketClosedError)
        del sender
        streams.clear()
        gc.collect()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


@KINDS
@pytest.mark.parametrize("while_it", ["runs", "is written", "has ended", "connects", "waits for its key", "pings"])
def test_scenario_67_a_loop_that_ends_right_after_a_plain_with(
    server: ResponsesServer, kind: type, while_it: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The connection has no turn of the loop to close in, and nothing says so but asyncio's `ResourceWarning`."""
    server.on("hold", ["text", Hold()])
    streams: list[AsyncRecorder[Any]] = []

    async def key() -> str:
        await asyncio.Event().wait()
        return "never"

    async def main(silent: str) -> None:
        options = ConnectionOptions(ping_interval=0.001, ping_timeout=WAIT) if while_it == "pings" else None
        url = silent if while_it == "connects" else server.url
        with kind(url, api_key=key if while_it == "waits for its key" else None, options=options) as sender:
            streams.append(AsyncRecorder(sender.send_request(ask("hi" if while_it == "has ended" else "hold"))))
            if while_it == "has ended":
                await streams[0].until_end()
            elif while_it in ("runs", "pings"):
                await streams[0].until_count(2)
            else:
                await asyncio.sleep(0)

    with silent_listener() as (silent, _), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        loop = asyncio.new_event_loop()
        loop.run_until_complete(main(silent))
        loop.close()
        del loop
        error = streams.pop().error if while_it != "has ended" else None
        gc.collect()
    assert while_it == "has ended" or isinstance(error, SocketClosedError)
    assert {type(warning.message) for warning in warned} <= {ResourceWarning}
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


@KINDS
@pytest.mark.parametrize("times", [1100])  # more than the recursion limit
def test_scenario_67_an_observer_that_subscribes_again_on_a_closed_sender(kind: type, times: int) -> None:
    errors: list[Exception] = []
    sender = kind("ws://127.0.0.1:9")
    sender.close()

    def again(error: Exception | None = None) -> None:
        if error is not None:
            errors.append(error)
        if len(errors) < times:
            sender.send_request(ask()).subscribe(on_error=again)

    again()
    assert len(errors) == times
    assert {type(error) for error in errors} == {SocketClosedError}
