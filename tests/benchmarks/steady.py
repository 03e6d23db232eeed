"""Steady load on one client for a while, under a server that ends or kills its connections.

    python -m tests.benchmarks.steady rotation|chaos|anything [SECONDS]

`rotation` is a day in a minute: the server limits a connection to two seconds in place of 60 minutes.
`chaos` kills a random connection every 200 ms.  The server runs in a process of its own, and sends at the
end what it has seen of each request, so that every `delivery` can be checked.  `anything` is in `anything.py`.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from reactivex import operators as ops

from rxresponses import Backoff, ConnectionOptions, PoolOptions, ResponsesClient, ResponsesError, ResponseTextDeltaEvent
from rxresponses import operators as rops
from rxresponses.testing import Close, Failure, ResponsesServer, Text
from rxresponses.testing.replies import Part
from rxresponses.testing.request import Request

from .anything import anything

SECONDS = 60.0
WORKERS = 48
LIMIT = 2.0  # seconds that a connection lives, in place of 60 minutes
KILL_EVERY = 0.2  # seconds
REFUSED = 0.02  # share of the requests that are refused under chaos; the client sends them again
DELTAS = 20


class Book:
    """What the server has seen of each request, by its tag."""

    def __init__(self, refused: float) -> None:
        self.arrived: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.latest: dict[int, float] = {}  # when each connection was last used
        self._refused = refused
        self._random = random.Random(1)

    def answer(self, request: Request) -> Sequence[str | Part]:
        tag = request.text
        self.arrived[tag] += 1
        self.latest[request.connection] = time.monotonic()
        if self._random.random() < self._refused:
            self.refused[tag] += 1
            return [Failure("server_error", after=0)]
        return [Text(deltas=[f"{tag} "] * DELTAS)]

    def victim(self) -> int | None:
        """Return a connection that is in use."""
        recent = [number for number, when in tuple(self.latest.items()) if time.monotonic() - when < KILL_EVERY]
        return self._random.choice(recent) if recent else None


def serve(pipe: Connection, chaos: bool) -> None:
    """Run the server until a message comes through the pipe, then send what it has seen."""
    book = Book(REFUSED if chaos else 0.0)
    over = threading.Event()
    kills = 0
    with ResponsesServer(remember=5_000, event_interval=0.002, max_age=None if chaos else LIMIT) as server:
        server.on("", book.answer)
        pipe.send(server.url)

        def wait() -> None:
            pipe.recv()
            over.set()

        threading.Thread(target=wait, daemon=True).start()
        while not over.wait(KILL_EVERY):
            victim = book.victim() if chaos else None
            if victim is not None:
                kills += 1
                server.disturb(Close(random.choice([1006, 1006, 1011, 1001])), connection=victim)
        accepted = server.accepted
    pipe.send({"arrived": book.arrived, "refused": book.refused, "accepted": accepted, "kills": kills})


class Load:
    """Workers that send one request after another."""

    def __init__(self, client: ResponsesClient, seconds: float) -> None:
        self.outcomes: dict[str, str] = {}
        self.wrong: list[str] = []
        self._client = client
        self._end = time.monotonic() + seconds

    async def run(self) -> None:
        await asyncio.gather(*(self._work(number) for number in range(WORKERS)))

    async def _work(self, worker: int) -> None:
        number = 0
        parent: str | None = None
        while time.monotonic() < self._end:
            tag = f"{worker}.{number}"
            number += 1
            request: dict[str, Any] = {"model": "m", "input": tag}
            if parent is not None and worker % 2:
                request["previous_response_id"] = parent  # every second worker has a conversation
            parent = await self._ask(tag, request)

    async def _ask(self, tag: str, request: dict[str, Any]) -> str | None:
        deltas: list[str] = []

        def look(event: object) -> None:
            if isinstance(event, ResponseTextDeltaEvent):
                deltas.append(event.delta)

        try:
            response = await asyncio.wait_for(
                _future(self._client.send_request(request).pipe(ops.do_action(look), rops.final_response())), 30
            )
        except ResponsesError as error:
            self.outcomes[tag] = str(getattr(error, "delivery", "none"))
            response = None
        else:
            self.outcomes[tag] = "completed"
            if deltas != [f"{tag} "] * DELTAS:
                self.wrong.append(f"{tag}: {len(deltas)} deltas, {set(deltas)}")
        return None if response is None else response.id


def _future(source: Any) -> asyncio.Future[Any]:
    async def wait() -> Any:
        return await source

    return asyncio.ensure_future(wait())


def check(outcomes: dict[str, str], server: dict[str, Any]) -> list[str]:
    """Return the requests whose outcome contradicts what the server has seen."""
    contradictions = []
    for tag, outcome in outcomes.items():
        run = server["arrived"].get(tag, 0) - server["refused"].get(tag, 0)
        allowed = {"completed": {1}, "started": {1}, "unknown": {0, 1}, "not_sent": {0}, "rejected": {0}}
        if run not in allowed.get(outcome, ()):
            contradictions.append(f"{tag}: {outcome}, but the server ran it {run} times")
    return contradictions


def steady(kind: str, seconds: float = SECONDS) -> dict[str, Any]:
    """Run the benchmark, and return its figures."""
    chaos = kind == "chaos"
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, chaos), daemon=True)
    process.start()
    url = pipe.recv()
    pool = PoolOptions(max_connections=4, max_age=3600.0 if chaos else 0.8 * LIMIT, backoff=Backoff(initial=0.05))

    async def run() -> Load:
        async with ResponsesClient(url, options=ConnectionOptions(ping_interval=None), pool=pool) as client:
            load = Load(client, seconds)
            await load.run()
            return load

    load = asyncio.run(run())
    pipe.send("stop")
    server = pipe.recv()
    process.join()
    return {
        "kind": kind,
        "seconds": seconds,
        "requests": len(load.outcomes),
        "outcomes": Counter(load.outcomes.values()),
        "connections": server["accepted"],
        "kills": server["kills"],
        "refused": sum(server["refused"].values()),
        "wrong": load.wrong[:10],
        "contradictions": check(load.outcomes, server)[:10],
    }


if __name__ == "__main__":
    kind, *times = sys.argv[1:]
    figures = anything(*map(float, times)) if kind == "anything" else steady(kind, *map(float, times))
    print(json.dumps(figures))
