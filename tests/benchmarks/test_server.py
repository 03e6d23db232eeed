"""What clients cost the embedded server of `serve`, in memory and in time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from rxresponses.testing.model import default_reply
from rxresponses.testing.refusal import RequestError
from rxresponses.testing.request import Request

from .server import Server, clients_that_never_read, fragments, invalid_frames, long_run, pings, queue, serving

needs_proc = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this system does not show the memory")


@needs_proc
@pytest.mark.parametrize(
    ("attack", "most"),
    [(pings, 10), (invalid_frames, 40), (fragments, 40), (clients_that_never_read, 120), (long_run, 120)],
    ids=["pings", "invalid frames", "fragments", "10 clients that never read", "150 MB of requests"],
)
def test_scenario_77_the_memory_of_the_server(
    attack: Callable[[Server], Coroutine[Any, Any, float]], most: int, figure: Callable[[str], None]
) -> None:
    with serving() as server:
        growth = asyncio.run(attack(server))
    figure(f"embedded server: {attack.__name__}: {growth:.1f} MiB more")
    assert growth < most


def test_scenario_77_thousands_of_requests_on_a_lane(figure: Callable[[str], None]) -> None:
    with serving() as server:
        few, many = (asyncio.run(queue(server.port, count)) for count in (400, 2_000))
    figure(f"embedded server: 400 requests queued on a lane take {few:.2f} s, 2,000 take {many:.2f} s")
    assert many < 5 * 3 * few


@pytest.mark.parametrize(
    "schema", [{"type": "string", "minLength": 2 * 10**8}, {"type": "array", "minItems": 300_000}], ids=str
)
def test_scenario_77_a_large_schema(schema: dict[str, object], figure: Callable[[str], None]) -> None:
    text = {"format": {"type": "json_schema", "name": "n", "schema": schema}}
    started = time.perf_counter()
    with pytest.raises(RequestError):
        default_reply(Request(body={"text": text}, input=[]))
    seconds = time.perf_counter() - started
    figure(f"embedded server: {schema} is refused in {seconds * 1000:.2f} ms")
    assert seconds < 1
