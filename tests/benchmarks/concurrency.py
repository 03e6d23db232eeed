"""Many responses at once on one client: the rate of events, and their order.

    python -m tests.benchmarks.concurrency [CONCURRENT ...]

The server runs in a process of its own.  Every delta has the tag of its request and its own number, so
that an event that is missing, surplus, out of order or on the wrong stream is found at once.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from reactivex.abc import ObserverBase

from rxresponses import ClientState, ConnectionOptions, PoolOptions, ResponsesClient, ServerEvent
from rxresponses.testing import ResponsesServer, Text
from rxresponses.testing.replies import Part
from rxresponses.testing.request import Request

CONCURRENT = (1, 16, 128, 512, 2000)
DELTAS = 200
LEAST = 400  # responses for each figure


def answer(request: Request) -> Sequence[str | Part]:
    return [Text(deltas=[f"{request.text} {place}" for place in range(DELTAS)])]


def serve(pipe: Connection) -> None:
    """Run the server until a message comes through the pipe."""
    with ResponsesServer(remember=1) as server:
        server.on("", answer)
        pipe.send(server.url)
        pipe.recv()


class Watcher(ObserverBase[ServerEvent]):
    """The observer of a request, which checks each event."""

    def __init__(self, tag: str) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.wrong: str | None = None
        self.events = 0
        self._tag = tag
        self._deltas = 0
        self._type = ""

    def on_next(self, value: ServerEvent) -> None:
        self.events += 1
        self._type = value.type
        if self._type == "response.output_text.delta":
            if value.delta != f"{self._tag} {self._deltas}":  # type: ignore[attr-defined]
                self.wrong = f"{value!r} as delta {self._deltas} of {self._tag}"
            self._deltas += 1

    def on_error(self, error: Exception) -> None:
        self.wrong = repr(error)
        self.done.set_result(None)

    def on_completed(self) -> None:
        if self._type != "response.completed" or self._deltas != DELTAS:
            self.wrong = f"{self._tag}: {self._type} after {self._deltas} deltas"
        self.done.set_result(None)


class Load:
    """So many responses at once, until `LEAST` have run."""

    def __init__(self, url: str, concurrent: int) -> None:
        self.wrong: list[str] = []
        self.events = 0
        self._url = url
        self._concurrent = concurrent
        self._left = max(concurrent, LEAST)

    async def run(self) -> float:
        """Run the load, and return the seconds that it took without connecting."""
        connections = -(-self._concurrent // 16)
        options = ConnectionOptions(ping_interval=None, lanes=True)
        async with ResponsesClient(self._url, options=options, pool=PoolOptions(max_connections=connections)) as client:
            await self._connect(client, connections)
            start = time.perf_counter()
            await asyncio.gather(*(self._work(client, number) for number in range(self._concurrent)))
            return time.perf_counter() - start

    async def _connect(self, client: ResponsesClient, connections: int) -> None:
        ready = asyncio.Event()

        def look(state: ClientState) -> None:
            if state.open == connections:
                ready.set()

        watching = client.state.subscribe(look)
        client.prewarm(connections, model="m")
        await ready.wait()
        watching.dispose()

    async def _work(self, client: ResponsesClient, worker: int) -> None:
        number = 0
        while self._left > 0:
            self._left -= 1
            watcher = Watcher(f"{worker}.{number}")
            number += 1
            source = client.send_request({"model": "m", "input": f"{worker}.{number - 1}", "store": False})
            source.subscribe(watcher)
            await watcher.done
            self.events += watcher.events
            if watcher.wrong is not None:
                self.wrong.append(watcher.wrong)


def measure(concurrent: int, url: str) -> dict[str, Any]:
    """Run a load, and return its figures."""
    load = Load(url, concurrent)
    busy = time.process_time()
    seconds = asyncio.run(load.run())
    return {
        "concurrent": concurrent,
        "events": load.events,
        "seconds": seconds,
        "busy": time.process_time() - busy,
        "rate": load.events / seconds,
        "wrong": len(load.wrong),
        "examples": load.wrong[:5],
    }


def main(concurrent: Sequence[int]) -> list[dict[str, Any]]:
    """Run a load for each number of concurrent responses, all against one server."""
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    url = pipe.recv()
    measure(16, url)  # a first load, because some objects are made only once
    rows = [measure(number, url) for number in concurrent]
    pipe.send("stop")
    process.join()
    return rows


if __name__ == "__main__":
    print(json.dumps(main([int(number) for number in sys.argv[1:]] or CONCURRENT)))
