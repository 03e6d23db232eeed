"""`run_tools`: how soon a turn with calls ends; `test_long_run.py` measures runs of many turns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from rxresponses import ResponsesWebSocket, ServerEvent, run_tools
from rxresponses.testing import FunctionCall, ResponsesServer

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
