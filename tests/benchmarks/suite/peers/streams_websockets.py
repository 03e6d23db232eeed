"""The floor for many responses at once: a receive loop for each connection, `json.loads`, and a count for each stream.

python -m tests.benchmarks.suite.peers.streams_websockets latency URL STREAMS RATE SECONDS
python -m tests.benchmarks.suite.peers.streams_websockets scaling URL TOTAL STREAMS ...
python -m tests.benchmarks.suite.peers.streams_websockets memory URL STREAMS
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from ..orders import Order
from . import streams as common

DELTA = "response.output_text.delta"


@contextlib.asynccontextmanager
async def connected(url: str, streams: int) -> AsyncIterator[list[ClientConnection]]:
    async with contextlib.AsyncExitStack() as stack:
        opening = (
            connect(f"{url}/responses", compression=None, max_size=None, ping_interval=None)
            for _ in range(common.connections(streams))
        )
        yield [await stack.enter_async_context(connection) for connection in opening]


async def receive(
    connection: ClientConnection, places: list[int], orders: Sequence[Order], on_delta: Callable[[int, Any], None]
) -> None:
    """Send the first requests of a connection, and the next one of a stream at each end, until all have ended."""
    lanes = {f"lane-{number}": place for number, place in enumerate(places)}
    sent = dict.fromkeys(lanes, 0)

    async def send(lane: str) -> None:
        order = orders[sent[lane]]
        sent[lane] += 1
        request = {"type": "response.create", "model": "bench", "input": str(order), "stream_id": lane}
        await connection.send(json.dumps(request))

    for lane in lanes:
        await send(lane)
    left = len(lanes)
    async for message in connection:
        event = json.loads(message)
        if event["type"] == DELTA:
            on_delta(lanes[event["stream_id"]], event)
        elif event["type"] == "response.completed":
            if sent[event["stream_id"]] < len(orders):
                await send(event["stream_id"])
                continue
            left -= 1
            if not left:
                break


def loops(
    connections: list[ClientConnection], streams: int, orders: Sequence[Order], on_delta: Callable[[int, Any], None]
) -> list[asyncio.Task[None]]:
    """Start the loop of each connection; each stream has these responses, one after the other."""
    parts = [list(range(place, min(place + common.LANES, streams))) for place in range(0, streams, common.LANES)]
    pairs = zip(connections, parts, strict=True)
    return [asyncio.create_task(receive(connection, part, orders, on_delta)) for connection, part in pairs]


async def latency(url: str, streams: int, rate: float, seconds: float) -> dict[str, float]:
    order, latencies = common.paced(streams, rate, seconds), common.Latencies()

    def note(_place: int, event: Any) -> None:
        latencies.note(event["delta"])

    async with connected(url, streams) as connections:
        await asyncio.gather(*loops(connections, streams, [order], note))
    return latencies.figures(streams * order.deltas)


async def scaling(url: str, total: int, streams: int) -> tuple[float, float]:
    first, following, responses = common.blast(streams, total)
    counts = common.Counts(streams, first, responses)
    deltas, length = counts.deltas, first.deltas

    def count(place: int, event: Any) -> None:
        deltas[place] += 1
        if event["sequence_number"] != (deltas[place] - 1) % length + 1:
            counts.wrong.append(f"stream {place} has {event} as delta {deltas[place]}")

    async with connected(url, streams) as connections:
        counts.start()
        await asyncio.gather(*loops(connections, streams, [first] + [following] * (responses - 1), count))
        return counts.figures()


async def memory(url: str, streams: int) -> dict[str, float]:
    order = common.held(streams)
    counts = [0] * streams
    left = streams * order.deltas
    all_here = asyncio.Event()

    def count(place: int, _event: Any) -> None:
        nonlocal left
        counts[place] += 1
        left -= 1
        if not left:
            all_here.set()

    before = common.resident()
    async with connected(url, streams) as connections:
        open_connections = common.resident()
        running = loops(connections, streams, [order], count)
        await all_here.wait()
        figures = common.memory(streams, before, open_connections, common.resident())
        for task in running:
            task.cancel()
    return figures


async def main() -> None:
    kind, url, (first, *more) = common.arguments()
    if kind == "scaling":
        await scaling(url, int(first) // 50, 1)  # what a program does once takes no time of the first figure
        rates = [await scaling(url, int(first), int(streams)) for streams in more]
        print(common.shown(rates, [int(streams) for streams in more]))
    elif kind == "latency":
        print(json.dumps(await latency(url, int(first), *more)))
    else:
        print(json.dumps(await memory(url, int(first))))


if __name__ == "__main__":
    asyncio.run(main())
