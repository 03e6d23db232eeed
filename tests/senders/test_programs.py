"""Programs that end while a socket or a client is at work: without closing it, by an exception, or by Ctrl-C.

A program that hung would hang for good: the server holds its responses, and pings are 20 s apart.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TypeAlias

import pytest

from rxresponses import ResponsesClient, ResponsesWebSocket
from rxresponses.testing import Hold, ResponsesServer

from ..support.programs import Program

Start: TypeAlias = Callable[[str], Program]
Kind: TypeAlias = "type[ResponsesWebSocket] | type[ResponsesClient]"
SOCKET_ONLY = pytest.mark.parametrize("kind", [ResponsesWebSocket], ids=["socket"])

IGNORE = "lambda error: None"
RUN_UNTIL_INTERRUPTED = """
try:
    ask("hold").pipe(ops.do_action(say)).run()
except KeyboardInterrupt:
    put("interrupted")
"""


@pytest.fixture(params=[ResponsesWebSocket, ResponsesClient], ids=["socket", "client"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """The class of the sender that the program uses."""
    found: Kind = request.param
    return found


@pytest.fixture
def start(server: ResponsesServer, kind: Kind) -> Start:
    """Start a program that uses a sender of this class."""
    return lambda code: Program(server, kind, code)


def test_scenario_43_run_and_end_without_closing(server: ResponsesServer, start: Start) -> None:
    server.on("hello", "Hello there.")
    program = start("print(ask('hello').pipe(rops.collect_text()).run())")
    assert program.end() == (0, "Hello there.", "")


@pytest.mark.parametrize(
    ("kind", "on_error", "last"),
    [
        (ResponsesWebSocket, None, "pass"),
        (ResponsesWebSocket, IGNORE, "sender.close()"),
        (ResponsesClient, IGNORE, "pass"),
        (ResponsesClient, IGNORE, "sender.close()"),
        (ResponsesClient, IGNORE, "sender.drain(60)"),
        (ResponsesClient, IGNORE, "sender.prewarm(3, model='m')"),
    ],
)
def test_scenario_43_end_in_mid_response(
    server: ResponsesServer, start: Start, on_error: str | None, last: str
) -> None:
    server.on("hold", ["text", Hold()])
    code = f"""
    begun = threading.Event()
    ask("hold").subscribe(lambda event: begun.set(), {on_error})
    begun.wait()
    {last}
    print("done")
    """
    assert start(code).end() == (0, "done", "")
    server.wait_until(lambda: server.connections == 0)


@SOCKET_ONLY
def test_scenario_43_end_while_connecting(start: Start) -> None:
    assert start("ask('hello').subscribe(say)").end()[::2] == (0, "")


@pytest.mark.parametrize(("kind", "requests"), [(ResponsesWebSocket, 1), (ResponsesClient, 20)])
def test_scenario_43_end_of_an_asyncio_program_without_closing(
    server: ResponsesServer, start: Start, requests: int
) -> None:
    server.on("hold", ["text", Hold()])
    code = f"""
    async def main():
        for _ in range({requests}):
            ask("hold").subscribe(lambda event: None, on_error=lambda error: print(type(error).__name__))
        print((await ask("hello", "other")).type)
    asyncio.run(main())
    """
    status, out, err = start(code).end()
    assert (status, err) == (0, "")
    assert out.splitlines() == ["response.completed"] + ["SocketClosedError"] * requests


def test_scenario_43_a_callback_that_exits(server: ResponsesServer, start: Start) -> None:
    """On the background thread `SystemExit` ends only the stream; `run` raises the error of the stream."""
    server.on("hold", ["text", Hold()])
    code = """
    try:
        ask("hold").pipe(ops.do_action(lambda event: sys.exit(3))).run()
    except ObserverExitError as error:
        sys.exit(error.__cause__.code)
    """
    status, _, err = start(code).end()
    assert status == 3
    assert "SystemExit: 3" in err  # it is reported


@SOCKET_ONLY
def test_scenario_43_interrupted(server: ResponsesServer, start: Start) -> None:
    server.on("hold", ["text", Hold()])
    program = start(RUN_UNTIL_INTERRUPTED)
    assert program.line() == "response.created"
    program.interrupt()
    status, out, err = program.end()
    assert (status, err) == (0, "")
    assert "interrupted" in out.splitlines()


@SOCKET_ONLY
def test_scenario_43_interrupted_and_not_caught(server: ResponsesServer, start: Start) -> None:
    server.on("hold", ["text", Hold()])
    program = start("ask('hold').pipe(ops.do_action(say)).run()")
    assert program.line() == "response.created"
    program.interrupt()
    status, _, err = program.end()
    assert status in (1, 130, -signal.SIGINT)
    assert err.splitlines()[-1] == "KeyboardInterrupt"
    assert err.count("Traceback") == 1  # nothing but the interrupt is reported


def test_scenario_43_interrupted_in_a_with_block(server: ResponsesServer, start: Start) -> None:
    server.on("hold", ["text", Hold()])
    code = """
    try:
        with sender:
            ask("hold").pipe(ops.do_action(say)).run()
    except KeyboardInterrupt:
        put("interrupted")
    """
    program = start(code)
    assert program.line() == "response.created"
    program.interrupt()
    status, out, err = program.end()
    assert status == 0
    assert "interrupted" in out.splitlines()
    assert "Traceback" not in err
    server.wait_until(lambda: server.connections == 0)


@SOCKET_ONLY
def test_scenario_43_go_on_after_an_interrupt(server: ResponsesServer, start: Start) -> None:
    gate = server.gate()
    server.on("hold", ["text", Hold(gate)])
    server.on("hello", "Hello again.")
    program = start(f"{RUN_UNTIL_INTERRUPTED}\nprint(ask('hello').pipe(rops.collect_text()).run())")
    assert program.line() == "response.created"
    program.interrupt()
    while program.line() != "interrupted":
        pass
    gate.open()  # the interrupted request keeps its lane until its response ends
    status, out, err = program.end()
    assert (status, err) == (0, "")
    assert out.splitlines()[-1] == "Hello again."
