"""What an event and a request cost a client, however many other requests are open."""

from __future__ import annotations

import asyncio
import json
from typing import NamedTuple

from reactivex import Observer
from websockets.asyncio.server import ServerConnection

from rxresponses import ClientState, ConnectionOptions, PoolOptions, ResponsesClient, ServerEvent
from tests.support.calls import count_calls
from tests.support.clients import run
from tests.support.websocket_server import COMPLETED, websocket_server

DELTA = {
    "type": "response.output_text.delta",
    "item_id": "i",
    "output_index": 0,
    "content_index": 0,
    "delta": "a",
    "sequence_number": 1,
}


class Calls(NamedTuple):
    """How many Python functions are called."""

    event: int
    start: int
    end: int


def frame(lane: str) -> str:
    return json.dumps({**DELTA, "stream_id": lane})


async def begin(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(frame(json.loads(message)["stream_id"]))


async def calls_beside(url: str, count: int) -> Calls:
    """Return what one more request takes beside so many open ones."""
    pool = PoolOptions(max_connections=count // 16 + 1)
    options = ConnectionOptions(lanes=True, ping_interval=None)
    async with ResponsesClient(url, options=options, pool=pool) as client:
        begun = asyncio.Semaphore(0)

        def send() -> None:
            observer: Observer[ServerEvent] = Observer(lambda event: begun.release(), lambda error: None)
            client.send_request({"model": "m", "input": "hi"}).subscribe(observer)

        for _ in range(count):
            send()
        for _ in range(count):
            await begun.acquire()
        idle = asyncio.Event()  # the client has done all that the first events mean
        watching = client.state.subscribe(lambda state: _note(state, count, idle))
        await idle.wait()
        watching.dispose()
        driver = client._driver
        assert driver is not None
        driver._act()  # looks at the connections that have changed until now

        def start_one() -> None:
            send()
            driver._act()

        def end_one() -> None:
            receive(completed)
            driver._act()

        start = count_calls(start_one)
        await begun.acquire()
        lane = next(
            lane
            for connection in reversed(driver.pool.connections)
            for lane in connection.lanes.values()
            if lane.running is not None
        )
        receive = lane.connection.net_connection._dispatcher.frame_received
        assert lane.wire_name is not None
        delta = frame(lane.wire_name).encode()
        completed = COMPLETED.replace('"type"', f'"stream_id":"{lane.wire_name}","type"', 1).encode()
        receive(delta)
        event = count_calls(lambda: receive(delta))
        end = count_calls(end_one)
        assert lane.running is None
        return Calls(event, start, end)


def _note(state: ClientState, count: int, idle: asyncio.Event) -> None:
    if (state.active, state.queued) == (count, 0):
        idle.set()


def test_an_event_and_a_request_cost_the_same_beside_others() -> None:
    async def main() -> None:
        async with websocket_server(begin) as url:
            await calls_beside(url, 1)  # what is made once is made now
            few, many = await calls_beside(url, 4), await calls_beside(url, 84)
        assert many.event == few.event
        assert many.start <= 1.1 * few.start
        assert many.end <= 1.1 * few.end

    run(main())
