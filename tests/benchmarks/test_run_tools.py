"""`run_tools`: how soon a turn ends, and runs of 200 calls whose connection or process is lost again and again."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from reactivex import operators as ops

from rxresponses import ResponsesWebSocket, ServerEvent, ToolLedger, open_ledger, run_tools
from rxresponses.testing import Close, Fault, FunctionCall, Request, ResponsesServer

from ..support.recorder import Recorder

SECONDS = 0.2  # that each call takes
ASK: dict[str, Any] = {"model": "m", "input": "hi"}


def blocking(number: int) -> str:
    """Wait."""
    time.sleep(SECONDS)
    return f"did {number}"


async def later(number: int) -> str:
    """Wait."""
    await asyncio.sleep(SECONDS)
    return f"did {number}"


@pytest.mark.parametrize("function", [blocking, later])
def test_two_calls_of_a_turn_end_with_the_longer_one(function: Any, figure: Callable[[str], None]) -> None:
    """From the last delta of the arguments to the request with both outputs; the best of three."""
    best = float("inf")
    with ResponsesServer() as server, ResponsesWebSocket(server.url) as socket:
        for _ in range(3):
            times: dict[str, float] = {}

            def note(event: ServerEvent, times: dict[str, float] = times) -> None:
                kind = event.type.removeprefix("rxresponses.")
                if kind in ("tool_call_started", "response.completed"):
                    times.setdefault(kind, time.perf_counter())
                else:
                    times[kind] = time.perf_counter()

            calls = [FunctionCall(function.__name__, {"number": number}) for number in (1, 2)]
            server.reply(calls, "Done.")
            Recorder(run_tools(socket, ASK, [function]), note).wait()
            assert times["tool_call_started"] < times["response.completed"]
            best = min(best, times["turn_started"] - times["response.function_call_arguments.delta"])
    figure(f"a turn with two {function.__name__} calls of {SECONDS * 1000:.0f} ms: {best * 1000:.0f} ms")
    assert SECONDS < best < 0.25


TURNS, CALLS = 50, 4

PROGRAM = """
import os, sys
from rxresponses import ResponsesWebSocket, open_ledger, run_tools
from reactivex import operators as ops

url, ledger, log, stop = sys.argv[1:]
left = int(stop)

def step(number: int) -> str:
    '''Do a step.'''
    global left
    with open(log, "a") as file:
        file.write(f"{number}\\n")
    return f"did {number}"

def count(event):
    global left
    if event.type == "rxresponses.tool_call_output":
        left -= 1
        if left == 0:
            os._exit(9)

with ResponsesWebSocket(url) as socket:
    run = run_tools(socket, {"model": "m", "input": "hi"}, [step], ledger=open_ledger(ledger), max_turns=99)
    run.pipe(ops.do_action(count)).run()
"""


def steps(server: ResponsesServer) -> list[list[Any]]:
    """Let the model call `step` four times in each of 50 turns; return what it has got at the end of each run."""
    ends: list[list[Any]] = []

    def reply(request: Request) -> Any:
        done = sum(item["type"] == "function_call_output" for item in request.items)
        if done == TURNS * CALLS:
            ends.append([(item["type"], item.get("call_id"), item.get("output")) for item in request.items])
            return "Done."
        numbers = range(done, done + CALLS)
        return [FunctionCall("step", {"number": number}, call_id=f"call_{number}") for number in numbers]

    server.on("", reply)
    return ends


def test_200_calls_with_the_connection_lost_and_the_process_killed(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    """Each ends in the state of an undisturbed run, and makes each call once."""
    made: list[int] = []

    def step(number: int) -> str:
        """Do a step."""
        made.append(number)
        return f"did {number}"

    expected = list(range(TURNS * CALLS))
    with ResponsesServer() as server:
        ends = steps(server)
        with ResponsesWebSocket(server.url) as socket:
            run = run_tools(socket, ASK, [step], max_turns=99)
            start = time.perf_counter()
            assert Recorder(run).wait().completions == 1
            undisturbed = time.perf_counter() - start
            assert sorted(made) == expected

            made.clear()
            first = TURNS + 1
            server.fault(*(Fault(Close(1006, after=23), request=first + number) for number in range(3, 90, 4)))
            ledger = ToolLedger()
            run = run_tools(socket, ASK, [step], max_turns=99, ledger=ledger)
            assert Recorder(run.pipe(ops.retry(99))).wait().completions == 1
            lost = sum(exchange.outcome == "lost" for exchange in server.exchanges)
            assert sorted(made) == expected
            assert not ledger.unknown
        server.clear_faults()
        log, path = tmp_path / "log", tmp_path / "run.json"
        codes = []
        for stop in ("70", "71", "0"):
            command = [sys.executable, "-c", PROGRAM, server.url, str(path), str(log), stop]
            codes.append(subprocess.run(command, timeout=60, check=False).returncode)
        assert codes == [9, 9, 0]
        counted = sorted(map(int, log.read_text().split()))
        interrupted = {int(record.call_id.removeprefix("call_")) for record in open_ledger(path).unknown}
        # A call that was interrupted is not made again: the model is told that nobody knows what became of it.
        assert counted == expected
    assert lost > 10
    assert len(ends) == 3
    assert ends[1] == ends[0]
    known = [one for one in ends[0] if one[1] not in {f"call_{number}" for number in interrupted}]
    assert [one for one in ends[2] if one[1] not in {f"call_{number}" for number in interrupted}] == known
    figure(
        f"{TURNS} turns with {TURNS * CALLS} calls: {undisturbed:.2f} s undisturbed; {lost} connections lost, and two "
        f"processes killed with {len(interrupted)} calls interrupted: each call made once"
    )
