"""On uvloop: the loop of the program, and the background loop where the policy of the program asks for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import reactivex as rx
from reactivex import operators as ops

from rxresponses import ConnectionOptions, PoolOptions, ResponsesClient, ResponsesWebSocket
from rxresponses import operators as rops
from rxresponses.net.loops import acquire_loop, release_loop
from rxresponses.testing import ResponsesServer, Text
from tests.support.recorder import WAIT

uvloop: Any = pytest.importorskip("uvloop", reason="uvloop is not installed")

ANSWER = "one two three"
LARGE = "x" * 2**20


@pytest.fixture
def server() -> Iterator[ResponsesServer]:
    with ResponsesServer() as server:
        server.on("large", [Text(deltas=[LARGE] * 4)])
        server.on("", [Text(ANSWER)])
        yield server


def run_on_uvloop(main: Any) -> None:
    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(asyncio.wait_for(main, WAIT))
    finally:
        loop.close()


def test_requests_on_the_loop_of_the_program(server: ResponsesServer) -> None:
    async def main() -> None:
        pool = PoolOptions(max_connections=2)
        async with (
            ResponsesWebSocket(server.url) as socket,
            ResponsesClient(server.url, pool=pool, options=ConnectionOptions(ping_interval=0.01)) as client,
        ):
            for sender in (socket, client):
                requests = [sender.send_request({"model": "m", "input": "hi"}) for _ in range(5)]
                texts = await rx.merge(*(request.pipe(rops.collect_text()) for request in requests)).pipe(ops.to_list())
                assert texts == [ANSWER] * 5

    run_on_uvloop(main())


def test_a_consumer_that_lags_pauses_its_socket(server: ResponsesServer) -> None:
    async def main() -> None:
        options = ConnectionOptions(lanes=True, max_buffered_bytes=2**21)
        async with ResponsesWebSocket(server.url, options=options) as socket:
            events = socket.send_request({"model": "m", "input": "large"})
            got = 0
            async with events.pipe(rops.to_async_iterable(max_buffered_bytes=2**21)) as stream:
                async for event in stream:
                    await asyncio.sleep(0)
                    got += len(getattr(event, "delta", ""))
            assert got == 4 * len(LARGE)

    run_on_uvloop(main())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_policy_of_the_program_decides_on_the_background_loop(
    server: ResponsesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asyncio, "new_event_loop", uvloop.new_event_loop)  # as `asyncio.set_event_loop_policy` does
    with ResponsesWebSocket(server.url) as socket:
        assert socket.send_request({"model": "m", "input": "hi"}).pipe(rops.collect_text()).run() == ANSWER
        loop, _ = acquire_loop()
        assert isinstance(loop, uvloop.Loop)
        release_loop(loop)
    for thread in threading.enumerate():
        if thread.name == "rxresponses":
            thread.join(WAIT)
            assert not thread.is_alive()
