"""A long run: many requests over a few sockets, some cancelled and some meeting a fault.

    python -m tests.benchmarks.soak [REQUESTS]

The server runs in a process of its own, so that the memory measured is the client's.  Every delta repeats
the tag of its request, and events are numbered: an event that is missing, surplus or on the wrong stream
is found at once.  Nothing is kept that grows with the number of requests.
"""

from __future__ import annotations

import asyncio
import gc
import json
import multiprocessing
import os
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from reactivex.abc import ObserverBase
from reactivex.disposable import SingleAssignmentDisposable

from rxresponses import ConnectionOptions, ResponsesWebSocket, ServerEvent
from rxresponses.testing import Close, Delay, Expire, Failure, Inject, ResponsesServer, Text
from rxresponses.testing.replies import Part
from rxresponses.testing.request import Request

REQUESTS = 20_000
SOCKETS = 4
LANES = 16
SAMPLES = 40
CANCELLED = 0.05
DISTURBED = 0.03  # share of the requests that meet a fault of their own
BROKEN = 0.003  # share of the requests whose connection ends, with all requests on it
PAGE = os.sysconf("SC_PAGE_SIZE")

DISTURBANCES: list[Part] = [
    Failure("server_error", after=0),
    Failure("rate_limit_exceeded", after=5),
    Inject("{broken", after=3),
    Inject(b"\x00", after=4),
    Inject({"type": "response.output_text.delta", "delta": "stray", "stream_id": "nobody"}, after=1),
    Delay(0.002, after=2),
]
ENDS: list[Part] = [Close(1006, after=3), Close(1011, after=5), Close(1000, after=0), Expire(after=4)]


class Book:
    """Counts of the server: requests, faults, and requests that arrived twice."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._latest: dict[str, int] = {}
        self._random = random.Random(1)

    def answer(self, request: Request) -> Sequence[str | Part]:
        worker, _, number = request.text.partition(".")
        # The requests of a worker come in order, so a lower number is a request that was sent again.
        if int(number) <= self._latest.get(worker, -1):
            self.counts["repeated"] += 1
        self._latest[worker] = int(number)
        self.counts["started"] += 1
        text = Text(deltas=[request.text] * 3)
        chance = self._random.random()
        if chance < DISTURBED:
            self.counts["disturbed"] += 1
            return [text, self._random.choice(DISTURBANCES)]
        if chance < DISTURBED + BROKEN:
            self.counts["broken"] += 1
            return [text, self._random.choice(ENDS)]
        return [text]


def serve(pipe: Connection) -> None:
    """Run the server until a message comes through the pipe, then send the counts."""
    book = Book()
    with ResponsesServer(remember=100) as server:
        server.on("", book.answer)
        pipe.send(server.url)
        pipe.recv()
        received = server.exchanges[-1].number if server.exchanges else 0
    pipe.send({**book.counts, "received": received})


class Watcher(ObserverBase[ServerEvent]):
    """The observer of a request, which checks each event."""

    def __init__(self, tag: str, cancel_at: int | None) -> None:
        self.done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.subscription = SingleAssignmentDisposable()
        self.wrong: str | None = None
        self._tag = tag
        self._cancel_at = cancel_at
        self._count = 0
        self._deltas = 0
        self._response_id: str | None = None
        self._type = ""

    def on_next(self, value: ServerEvent) -> None:
        if self.done.done():
            self.wrong = f"{value.type} after the end"
            return
        self._check(value)
        self._count += 1
        self._type = value.type
        if self._count == self._cancel_at:
            self.subscription.dispose()
            self.done.set_result("cancelled")

    def on_error(self, error: Exception) -> None:
        self._end(f"{type(error).__name__}, {getattr(error, 'delivery', error)}")

    def on_completed(self) -> None:
        if self._type == "response.completed" and self._deltas != 3:
            self.wrong = f"{self._deltas} deltas"
        self._end(self._type)

    def _check(self, event: ServerEvent) -> None:
        number = event.sequence_number
        if number is None and event.type != "error":
            self.wrong = f"{event.type} without a number"
        elif number not in (None, self._count):
            self.wrong = f"{event.type} with the number {number} at position {self._count}"
        if event.type == "response.output_text.delta":
            self._deltas += 1
            if getattr(event, "delta", None) != self._tag:
                self.wrong = f"text of {getattr(event, 'delta', None)!r} for {self._tag}"
        response = getattr(event, "response", None)
        if response is not None:
            if self._response_id not in (None, response.id):
                self.wrong = f"{event.type} of another response"
            self._response_id = response.id

    def _end(self, outcome: str) -> None:
        if self.done.done():
            self.wrong = f"{outcome} after the end"
        else:
            self.done.set_result(outcome)


class Soak:
    """The requests, their outcomes, and the memory of the client meanwhile."""

    def __init__(self, url: str, requests: int) -> None:
        self.outcomes: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.memory: list[float] = []
        self.objects: list[int] = []
        self._url = url
        self._requests = requests
        self._begun = 0

    async def run(self) -> None:
        """Send all requests, on all lanes of all sockets at once."""
        options = ConnectionOptions(ping_interval=None)
        sockets = [ResponsesWebSocket(self._url, options=options) for _ in range(SOCKETS)]
        workers = [(socket, f"lane-{lane}") for socket in sockets for lane in range(LANES)]
        await asyncio.gather(*(self._work(number, *worker) for number, worker in enumerate(workers)))
        for socket in sockets:
            socket.close()
            await socket.wait_closed()

    async def _work(self, worker: int, socket: ResponsesWebSocket, lane: str) -> None:
        chance = random.Random(worker)
        number = 0
        while self._begun < self._requests:
            self._begun += 1
            if self._begun % (self._requests // SAMPLES) == 0:
                self._sample()
            tag = f"{worker}.{number}"
            number += 1
            cancel_at = chance.randrange(8) if chance.random() < CANCELLED else None
            watcher = Watcher(tag, cancel_at)
            source = socket.send_request({"model": "m", "input": tag, "store": False}, stream_id=lane)
            watcher.subscription.disposable = source.subscribe(watcher)
            if cancel_at == 0:
                watcher.subscription.dispose()
                watcher.done.set_result("cancelled")
            self.outcomes[await watcher.done] += 1
            if watcher.wrong is not None:
                self.wrong.append(f"{tag}: {watcher.wrong}")

    def _sample(self) -> None:
        """Measure the resident memory, which includes C and fragments, and count the objects."""
        gc.collect()
        self.objects.append(len(gc.get_objects()))
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * PAGE
        self.memory.append(resident / 2**20)


def quarters(samples: Sequence[float]) -> tuple[float, float]:
    """Return the means of the first and of the last quarter."""
    size = len(samples) // 4
    return statistics.mean(samples[:size]), statistics.mean(samples[-size:])


def soak(requests: int = REQUESTS) -> dict[str, Any]:
    """Run the benchmark, and return its figures."""
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    url = pipe.recv()
    work = Soak(url, requests)
    start = time.perf_counter()
    asyncio.run(work.run())
    seconds, busy = time.perf_counter() - start, time.process_time()
    pipe.send("stop")
    server = pipe.recv()
    process.join()
    return {
        "requests": requests,
        "seconds": seconds,
        "busy": busy,
        "outcomes": dict(work.outcomes.most_common()),
        "wrong": len(work.wrong),
        "examples": work.wrong[:10],
        "server": server,
        "memory": quarters(work.memory),
        "objects": quarters(work.objects),
    }


if __name__ == "__main__":
    print(json.dumps(soak(*map(int, sys.argv[1:]))))
