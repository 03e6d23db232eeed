"""This library with many responses at once on one client.

python -m tests.benchmarks.suite.peers.streams_rxresponses latency URL STREAMS RATE SECONDS
python -m tests.benchmarks.suite.peers.streams_rxresponses scaling URL TOTAL STREAMS ...
python -m tests.benchmarks.suite.peers.streams_rxresponses memory URL STREAMS
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from rxresponses import (
    ClientState,
    ConnectionOptions,
    PoolOptions,
    ResponseCompletedEvent,
    ResponseCreate,
    ResponsesClient,
    ResponseTextDeltaEvent,
    ServerEvent,
)
from rxresponses import operators as rops

from ..orders import Order
from . import streams as common


@asynccontextmanager
async def connected(url: str, streams: int) -> AsyncIterator[ResponsesClient]:
    """A client whose connections are open."""
    count = common.connections(streams)
    options, pool = ConnectionOptions(ping_interval=None, lanes=True), PoolOptions(max_connections=count)
    async with ResponsesClient(url, api_key="bench", options=options, pool=pool) as client:
        ready = asyncio.Event()

        def look(state: ClientState) -> None:
            if state.open == count:
                ready.set()

        watching = client.state.subscribe(look)
        client.prewarm(count, model="bench")
        await ready.wait()
        watching.dispose()
        yield client


def start(
    client: ResponsesClient, order: Order, on_next: Callable[[Any], None], *operators: Any
) -> asyncio.Future[None]:
    """Send a request; the future ends with its response."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    events = client.send_request(ResponseCreate(model="bench", input=str(order), store=False))
    events.pipe(*operators).subscribe(on_next, done.set_exception, lambda: done.set_result(None))
    return done


async def latency(url: str, streams: int, rate: float, seconds: float) -> dict[str, float]:
    """Measure from the server's write to `on_next`."""
    order, latencies = common.paced(streams, rate, seconds), common.Latencies()

    def note(event: ResponseTextDeltaEvent) -> None:
        latencies.note(event.delta)

    async with connected(url, streams) as client:
        deltas = rops.filter_by_type(ResponseTextDeltaEvent)
        await asyncio.gather(*[start(client, order, note, deltas) for _ in range(streams)])
    return latencies.figures(streams * order.deltas)


async def scaling(url: str, total: int, streams: int) -> tuple[float, float]:
    """Measure the rate of all streams together."""
    first, following, responses = common.blast(streams, total)
    counts = common.Counts(streams, first, responses)
    deltas, length = counts.deltas, first.deltas

    def observer(place: int) -> Callable[[ServerEvent], None]:
        def count(event: ServerEvent) -> None:
            if isinstance(event, ResponseTextDeltaEvent):
                deltas[place] += 1
                if event.sequence_number != (deltas[place] - 1) % length + 1:
                    counts.wrong.append(f"stream {place} has {event!r} as delta {deltas[place]}")

        return count

    async def stream(client: ResponsesClient, place: int) -> None:
        for number in range(responses):
            await start(client, following if number else first, observer(place))

    async with connected(url, streams) as client:
        counts.start()
        await asyncio.gather(*[stream(client, place) for place in range(streams)])
        return counts.figures()


async def memory(url: str, streams: int) -> dict[str, float]:
    """Measure the memory of responses that have begun and not ended."""
    order = common.held(streams)
    left = streams * order.deltas
    all_here = asyncio.Event()

    def count(event: ServerEvent) -> None:
        nonlocal left
        assert not isinstance(event, ResponseCompletedEvent)
        if isinstance(event, ResponseTextDeltaEvent):
            left -= 1
            if not left:
                all_here.set()

    before = common.resident()
    async with connected(url, streams) as client:
        open_connections = common.resident()
        running = [start(client, order, count) for _ in range(streams)]
        await all_here.wait()
        figures = common.memory(streams, before, open_connections, common.resident())
    await asyncio.gather(*running, return_exceptions=True)  # closing the client ends them
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
