"""The server: its start and end, what it answers, and what it recorded, on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect as connect_sync

from rxresponses.testing import (
    Close,
    Expire,
    Failure,
    Fault,
    Hold,
    Inject,
    Raw,
    RefuseUpgrade,
    ResponsesServer,
    Stall,
    Text,
)
from tests.support.paths import TRANSCRIPTS

from .peer import Event, text_of
from .sockets import ask, endpoint, events, frames, on_loop, open_connection, receive, send

# Start and end


def test_with_runs_the_server_on_its_own_thread() -> None:
    with ResponsesServer() as server, connect_sync(endpoint(server)) as connection:
        connection.send(json.dumps({"type": "response.create", "model": "m", "input": "Why?"}))
        received: list[Event] = []
        while not received or received[-1]["type"] != "response.completed":
            received.append(json.loads(connection.recv(timeout=10)))
        assert text_of(received) == "This is the embedded test server, not a model. You asked: Why?"
        assert server.url == f"http://127.0.0.1:{server.port}/v1"
        assert repr(server) == f"<ResponsesServer {server.url}>"

    assert repr(server) == "<ResponsesServer closed>"
    assert not [thread for thread in threading.enumerate() if thread.name == "responses-server"]


@on_loop
async def test_async_with_runs_the_server_on_the_running_loop() -> None:
    async with ResponsesServer() as server, open_connection(server) as connection:
        assert (await ask(connection))[-1]["type"] == "response.completed"
        assert not [thread for thread in threading.enumerate() if thread.name == "responses-server"]
        with pytest.raises(RuntimeError, match="await until"):
            server.wait_until(lambda: True)
    assert server.connections == 0


@on_loop
async def test_the_end_of_the_context_closes_open_connections() -> None:
    async with ResponsesServer() as server:
        server.reply([Text("held"), Hold(server.gate())])
        connection = await open_connection(server)
        await send(connection)
        await server.until(lambda: len(server.requests) == 1)
    with pytest.raises(ConnectionClosed):
        [event async for event in events(connection)]
    assert connection.close_code == 1001


@on_loop
async def test_the_end_of_the_context_does_not_wait_for_a_client_that_reads_nothing() -> None:
    async with ResponsesServer() as server:
        server.reply(Raw(["x" * 1_000_000] * 100))
        connection = await connect(endpoint(server), max_queue=1, max_size=None)
        await send(connection)
        await server.until(lambda: len(server.requests) == 1)
    assert server.connections == 0
    connection.transport.abort()
    await connection.wait_closed()


def test_a_server_starts_once() -> None:
    server = ResponsesServer()
    assert repr(server) == "<ResponsesServer not started>"
    with pytest.raises(RuntimeError, match="not started"):
        _ = server.url
    server.close()
    with server:
        pass
    with pytest.raises(RuntimeError, match="started once"), server:
        pass
    server.close_connections()


def test_a_server_whose_constructor_raised_can_be_shown_and_closed() -> None:
    half_made = ResponsesServer.__new__(ResponsesServer)

    assert repr(half_made) == "<ResponsesServer half made>"
    half_made.close()


def test_an_invalid_port_is_an_error() -> None:
    with pytest.raises(OverflowError), ResponsesServer(port=99_999):
        pass


@on_loop
async def test_a_start_can_be_cancelled() -> None:
    server = ResponsesServer()
    starting = asyncio.create_task(server.__aenter__())
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert repr(server) == "<ResponsesServer closed>"


def test_a_port_in_use_is_an_error() -> None:
    @on_loop
    async def start_on_the_running_loop(port: int) -> None:
        with pytest.raises(OSError, match=str(port)):
            await ResponsesServer(port=port).__aenter__()

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=str(port)), ResponsesServer(port=port):
            pass
        start_on_the_running_loop(port)


@on_loop
async def test_wait_closed_waits_for_the_end() -> None:
    async with ResponsesServer() as server:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(server.wait_closed(), 0.01)
        waiting = asyncio.create_task(server.wait_closed())
        await asyncio.to_thread(server.close)
        await waiting
        with pytest.raises(OSError, match="Connect call failed"):
            await open_connection(server)


@on_loop
async def test_wait_closed_on_another_loop() -> None:
    with ResponsesServer() as server:
        waiting = asyncio.create_task(server.wait_closed())
        server.close()
        await waiting


# Answers


@on_loop
async def test_a_gate_opened_from_another_thread() -> None:
    with ResponsesServer() as server:
        gate = server.gate()
        server.reply([Text("x"), Hold(gate, 1)])
        async with open_connection(server) as connection:
            await send(connection)
            assert json.loads(await connection.recv())["type"] == "response.created"
            gate.open()
            assert [event async for event in events(connection)][-1]["type"] == "response.completed"


@on_loop
async def test_stored_responses_are_known_to_other_connections() -> None:
    async with ResponsesServer() as server:
        server.on("again", lambda request: f"{request.connection}: {request.conversation}")
        async with open_connection(server) as connection:
            first = await ask(connection, input="hello")
        async with open_connection(server) as connection:
            second = await ask(connection, input="again", previous_response_id=first[0]["response"]["id"])
    assert text_of(second).startswith("2: user: hello\nassistant: This is")


@pytest.mark.skipif(not TRANSCRIPTS.is_dir(), reason="there are no recorded transcripts beside this checkout")
@pytest.mark.parametrize("lane", [None, "main"])
@on_loop
async def test_transcripts_are_replayed_as_recorded(lane: str | None) -> None:
    paths = sorted(TRANSCRIPTS.glob("*.jsonl"))
    assert paths
    async with ResponsesServer() as server, open_connection(server) as connection:
        for path in paths:
            lines = path.read_text(encoding="utf-8").strip().split("\n")
            received: list[str | bytes] = []
            for _ in range(server.replay(path)):
                await send(connection, **({"stream_id": lane} if lane else {}))
                received += [frame async for frame in frames(connection)]
            if lane is None:
                assert received == lines
            else:
                assert [json.loads(frame) for frame in received] == [
                    {**json.loads(line), "stream_id": lane} for line in lines
                ]


@on_loop
async def test_a_replay_on_the_wire_keeps_lone_surrogates_and_time() -> None:
    loop = asyncio.get_running_loop()
    lines = [
        '{"type":"response.created","response":{"id":"resp_r"}}',
        '{"type":"response.output_text.delta","delta":"\\ud83c"}',
        '{"type":"response.completed","response":{"id":"resp_r","output":[]}}',
    ]
    async with ResponsesServer() as server, open_connection(server) as connection:
        assert server.replay(lines) == 1
        await send(connection)
        assert [await connection.recv() for _ in lines] == lines
        server.replay(
            [{"offset": 0.02 * number, "event": json.loads(line)} for number, line in enumerate(lines)], speed=1.0
        )
        started = loop.time()
        await send(connection)
        assert [await connection.recv() for _ in lines] == lines
        assert loop.time() - started >= 0.035


# Events that happen now


@pytest.mark.parametrize("code", [1001, 1006, 1012])
@on_loop
async def test_closing_all_connections(code: int) -> None:
    async with ResponsesServer() as server:
        first, second = await open_connection(server), await open_connection(server)
        await server.until(lambda: server.connections == 2)
        server.close_connections(code, "bye")
        await asyncio.gather(first.wait_closed(), second.wait_closed())
        await server.until(lambda: server.connections == 0)
        assert (first.close_code, second.close_code) == (code, code)
        async with open_connection(server) as third:
            assert (await ask(third))[-1]["type"] == "response.completed"
        assert server.accepted == 3


def test_dropping_from_another_thread() -> None:
    with ResponsesServer() as server, connect_sync(endpoint(server)) as connection:
        server.wait_until(lambda: server.connections == 1)
        server.drop()
        with pytest.raises(ConnectionClosed):
            connection.recv(timeout=10)
        assert connection.close_code == 1006
        server.wait_until(lambda: server.connections == 0)


@on_loop
async def test_disturb_expires_an_idle_connection() -> None:
    async with ResponsesServer() as server, open_connection(server) as first, open_connection(server) as second:
        await server.until(lambda: server.connections == 2)
        server.disturb(Expire(), connection=1)
        (error,) = await receive(first, 1)
        assert error["error"]["code"] == "websocket_connection_limit_reached"
        await first.wait_closed()
        assert first.close_code == 1000
        assert (await ask(second))[-1]["type"] == "response.completed"


@on_loop
async def test_disturb_injects_and_stalls_now() -> None:
    with ResponsesServer() as server:
        async with open_connection(server) as connection:
            await server.until(lambda: server.connections == 1)
            for wrong in (Hold(), Failure(), "drop", Expire):
                with pytest.raises(TypeError, match="Not a Close, Expire, Stall or Inject"):
                    server.disturb(wrong)  # type: ignore[arg-type]
            server.disturb(Inject({"type": "hello"}))
            assert (await receive(connection, 1)) == [{"type": "hello"}]
            server.disturb(Stall(pongs=False))
            with pytest.raises(asyncio.TimeoutError):
                await _ping_until_timeout(connection)
            server.drop()
            await connection.wait_closed()


async def _ping_until_timeout(connection: ClientConnection) -> None:
    while True:
        await asyncio.wait_for(await connection.ping(), 0.2)


# Records


@on_loop
async def test_the_journal_has_every_frame() -> None:
    async with ResponsesServer() as server:
        async with open_connection(server) as first, open_connection(server) as second:
            await first.send("broken {")
            await first.recv()
            await ask(second, input="b")
            await first.send(b"\x00")
            await first.recv()
        assert [(received.connection, received.frame) for received in server.journal][::2] == [
            (1, "broken {"),
            (1, b"\x00"),
        ]
        assert server.journal[0].message is None
        assert server.requests == [{"type": "response.create", "model": "m", "input": "b"}]
        with pytest.raises(TimeoutError):
            await server.until(lambda: len(server.requests) == 2, timeout=0.01)


@on_loop
async def test_exchanges_confirm_what_a_client_saw_under_many_faults() -> None:
    """Also, only the latest `remember` exchanges are kept."""

    faults = [
        Fault(Close(1006, after=0), probability=0.1),
        Fault(Close(1006, after=4), probability=0.1),
        Fault(Inject("{broken", after=1), probability=0.1),
        Fault(RefuseUpgrade(), probability=0.2),
    ]
    async with ResponsesServer(faults=faults, remember=50) as server:
        connection: ClientConnection | None = None
        seen: list[int] = []
        while len(seen) < 100:
            with contextlib.suppress(InvalidStatus):
                connection = connection or await open_connection(server)
            if connection is None:
                continue
            seen.append(0)
            try:
                await send(connection)
                while True:
                    frame = await connection.recv()
                    seen[-1] += frame != "{broken"
                    if b'"response.completed"' in (frame if isinstance(frame, bytes) else frame.encode()):
                        break
            except ConnectionClosed:
                connection = None
        if connection is not None:
            await connection.close()

        exchanges = server.exchanges
        assert len(exchanges) == len(server.requests) == 50
        assert [exchange.number for exchange in exchanges] == list(range(51, 101))
        assert [exchange.events for exchange in exchanges] == seen[50:]
        lost = [
            Close(1006, after=0) in exchange.faults or Close(1006, after=4) in exchange.faults for exchange in exchanges
        ]
        assert [exchange.outcome == "lost" for exchange in exchanges] == lost
        assert 0 < sum(lost) < 25
