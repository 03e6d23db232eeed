"""One connection on real sockets: how it sends, receives, stalls and closes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from rxresponses.testing import Close, Delay, DropStreamIds, Fault, Hold, Inject, ResponsesServer, Stall, Text

from .peer import text_of
from .sockets import ask, endpoint, events, on_loop, open_connection, receive, send

# Sending and receiving


@on_loop
async def test_lanes_interleave_on_one_connection() -> None:
    async with ResponsesServer() as server, open_connection(server) as connection:
        gate = server.gate()
        for lane in "ab":
            server.reply([Text(deltas=[lane] * 20), Hold(gate, 1)])
            await send(connection, stream_id=lane)
        await server.until(lambda: len(server.requests) == 2)
        gate.open()
        received = [event async for event in events(connection)]
        received += [event async for event in events(connection)]

    for lane in "ab":
        assert text_of([event for event in received if event["stream_id"] == lane]) == lane * 20
    lanes = [event["stream_id"] for event in received]
    assert lanes != sorted(lanes)


@on_loop
async def test_events_keep_their_interval_on_the_wire() -> None:
    loop = asyncio.get_running_loop()
    async with ResponsesServer(event_interval=0.01) as server, open_connection(server) as connection:
        started = loop.time()
        received = await ask(connection)
        assert loop.time() - started >= 0.01 * (len(received) - 1) * 0.9


@on_loop
async def test_a_delay_is_kept_on_the_wire() -> None:
    loop = asyncio.get_running_loop()
    async with ResponsesServer() as server, open_connection(server) as connection:
        server.reply(["hi", Delay(0.05, after=3)])
        await send(connection)
        await receive(connection, 3)
        started = loop.time()
        await receive(connection, 1)
        assert loop.time() - started >= 0.04


@on_loop
async def test_frames_are_received_while_a_long_answer_is_sent() -> None:
    async with ResponsesServer() as server, open_connection(server) as connection:
        server.reply(Text(deltas=["x"] * 100_000))
        await send(connection, stream_id="long")
        await connection.recv()
        await send(connection, stream_id="short")
        received = [event async for event in events(connection)]
        assert received[-1]["stream_id"] == "short"
        assert len(received) < 1_000  # far less than what the buffers in between would hold
        connection.transport.abort()  # a closing handshake would wait behind the long answer


@on_loop
async def test_messages_may_be_large_up_to_the_limit() -> None:
    async with ResponsesServer(max_size=3_000_000) as server, open_connection(server) as connection:
        server.on("x", lambda request: str(len(request.text)))
        assert text_of(await ask(connection, input="x" * 2_000_000)) == "2000000"
        await send(connection, input="x" * 3_000_000)
        await connection.wait_closed()
    assert connection.close_code == 1009


@on_loop
async def test_injected_frames() -> None:
    frames: list[Any] = ["{broken", b"\x00\xff", "x" * 3_000_000, {"type": "response.new"}]
    faults = [Fault(Inject(frame, after=3), request=1) for frame in frames]
    async with ResponsesServer(faults=faults) as server, open_connection(server) as connection:
        await send(connection)
        await receive(connection, 3)
        received = [await connection.recv() for _ in frames]
        assert received == [*frames[:3], '{"type":"response.new"}']
        rest = [event async for event in events(connection)]
        assert rest[0]["sequence_number"] == 3


@on_loop
async def test_a_fault_drops_lanes_on_one_connection_only() -> None:
    faults = [Fault(DropStreamIds(), connection=1)]
    async with ResponsesServer(faults=faults) as server:
        server.on("", lambda request: Text(request.stream_id or ""))
        async with open_connection(server) as first, open_connection(server) as second:
            for connection in (first, second):
                received = await ask(connection, stream_id="a")
                assert ("stream_id" in received[0]) == (connection is second)
                assert text_of(received) == "a"


# Stalling


@on_loop
async def test_a_stalled_connection_answers_pings() -> None:
    async with ResponsesServer(faults=[Fault(Stall(after=0))]) as server, open_connection(server) as connection:
        await send(connection)
        await server.until(lambda: len(server.exchanges) == 1)
        await (await connection.ping())
        await send(connection, stream_id="other")
        await server.until(lambda: len(server.exchanges) == 2)
        await (await connection.ping())
        assert server.exchanges[1].events == 0


@pytest.mark.parametrize("request_number", [0, 1])
@on_loop
async def test_a_stall_without_pongs_answers_nothing(request_number: int) -> None:
    stall = Fault(Stall(after=2, pongs=False), request=request_number)
    async with ResponsesServer(faults=[stall]) as server:
        connection = await connect(endpoint(server), close_timeout=0)
        await send(connection)
        if request_number:
            await receive(connection, 2)
            await server.until(lambda: server.exchanges[0].events == 2)
        for _ in range(100):  # more than the server's queue, which stops and resumes reading by itself
            await send(connection)
        pong = await connection.ping()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(pong, 0.1)
        assert server.connections == 1
        connection.transport.abort()
        await connection.wait_closed()
        if request_number:
            server.close_connections(1006)
            await server.until(lambda: server.connections == 0)
            assert server.exchanges[0].outcome == "lost"


@on_loop
async def test_the_end_of_the_context_aborts_a_connection_that_reads_nothing() -> None:
    async with ResponsesServer(faults=[Fault(Stall(pongs=False), times=1)]) as server:
        connection, other = await open_connection(server), await open_connection(server)
        await send(connection)
        await server.until(lambda: any(exchange.events == 2 for exchange in server.exchanges))
    await asyncio.gather(connection.wait_closed(), other.wait_closed())
    assert (connection.close_code, other.close_code) == (1006, 1001)  # a closing handshake would last a second


# Closing


@on_loop
async def test_the_age_limit_closes_the_connection() -> None:
    async with ResponsesServer(max_age=0.02) as server, open_connection(server) as connection:
        error = json.loads(await connection.recv())
        await connection.wait_closed()
    assert error["error"]["code"] == "websocket_connection_limit_reached"
    assert connection.close_code == 1000


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1011])
@on_loop
async def test_closing_in_the_middle_of_a_response(code: int) -> None:
    async with ResponsesServer() as server, open_connection(server) as connection:
        server.reply([Text("one two"), Close(code, after=5)])
        await send(connection)
        for _ in range(5):
            await connection.recv()
        with pytest.raises(ConnectionClosed):
            await connection.recv()
        assert connection.close_code == code


@pytest.mark.parametrize("code", [1006, 1011])
@on_loop
async def test_a_fault_closes_the_connection_at_the_second_request(code: int) -> None:
    async with ResponsesServer(faults=[Fault(Close(code, after=3), request=2)]) as server:
        async with open_connection(server) as connection:
            await ask(connection)
            await send(connection)
            await receive(connection, 3)
            with pytest.raises(ConnectionClosed):
                await connection.recv()
            assert connection.close_code == code
        async with open_connection(server) as connection:
            await ask(connection)
        exchanges = server.exchanges
        assert [exchange.outcome for exchange in exchanges] == ["completed", "lost", "completed"]
        assert [exchange.events for exchange in exchanges][1] == 3
        assert [exchange.connection for exchange in exchanges] == [1, 1, 2]
        assert exchanges[1].faults == (Close(code, after=3),)


@on_loop
async def test_a_request_is_lost_when_its_client_leaves() -> None:
    async with ResponsesServer(faults=[Fault(Stall(after=3))]) as server:
        async with open_connection(server) as connection:
            waiting = asyncio.create_task(
                server.until(lambda: [exchange.events for exchange in server.exchanges] == [3])
            )
            await send(connection)
            await waiting  # the stall itself wakes it
            assert server.exchanges[0].outcome is None
        await server.until(lambda: server.exchanges[0].outcome == "lost")
