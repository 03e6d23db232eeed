"""The server on real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect as connect_sync

from rxresponses.testing import Close, Hold, Raw, ResponsesServer, Text
from tests.support.paths import TRANSCRIPTS

TERMINAL = ("response.completed", "response.failed", "response.incomplete")

Event = dict[str, Any]


def endpoint(server: ResponsesServer) -> str:
    return server.url.replace("http", "ws") + "/responses"


def open_connection(server: ResponsesServer) -> connect:
    return connect(endpoint(server), max_size=None)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """RunningResponse an async test with a bound, so that a hang is a failure; nothing may be left running."""

    async def bounded() -> None:
        await asyncio.wait_for(test(), 20)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(bounded())


async def send(connection: ClientConnection, **body: Any) -> None:
    await connection.send(json.dumps({"type": "response.create", "model": "m", "input": "hi", **body}))


async def frames(connection: ClientConnection) -> AsyncIterator[str | bytes]:
    """Yield the frames up to the first terminal event."""
    kind = None
    while kind not in TERMINAL:
        frame = await connection.recv()
        yield frame
        kind = json.loads(frame)["type"]


async def events(connection: ClientConnection) -> AsyncIterator[Event]:
    """Yield the events up to the first terminal one."""
    async for frame in frames(connection):
        yield json.loads(frame)


async def ask(connection: ClientConnection, **body: Any) -> list[Event]:
    await send(connection, **body)
    return [event async for event in events(connection)]


def text_of(received: list[Event]) -> str:
    return "".join(event["delta"] for event in received if event["type"] == "response.output_text.delta")


# Starting and stopping


def test_on_its_own_thread() -> None:
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


def test_on_the_running_loop() -> None:
    async def test() -> None:
        async with ResponsesServer() as server, open_connection(server) as connection:
            assert (await ask(connection))[-1]["type"] == "response.completed"
            assert not [thread for thread in threading.enumerate() if thread.name == "responses-server"]
            with pytest.raises(RuntimeError, match="await until"):
                server.wait_until(lambda: True)
        assert server.connections == 0

    run(test)


def test_leaving_cuts_clients_off_promptly() -> None:
    async def test() -> None:
        async with ResponsesServer() as server:
            server.reply([Text("held"), Hold(server.gate())])
            connection = await open_connection(server)
            await send(connection)
            await server.until(lambda: len(server.requests) == 1)
        with pytest.raises(ConnectionClosed):
            [event async for event in events(connection)]
        assert connection.close_code == 1001

    run(test)


def test_leaving_with_a_client_that_reads_nothing() -> None:
    async def test() -> None:
        async with ResponsesServer() as server:
            server.reply(Raw(["x" * 1_000_000] * 100))
            connection = await connect(endpoint(server), max_queue=1, max_size=None)
            await send(connection)
            await server.until(lambda: len(server.requests) == 1)
        assert server.connections == 0
        connection.transport.abort()
        await connection.wait_closed()

    run(test)


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


def test_what_is_no_port_is_an_error() -> None:
    with pytest.raises(OverflowError), ResponsesServer(port=99_999):
        pass


def test_a_start_can_be_cancelled() -> None:
    async def test() -> None:
        server = ResponsesServer()
        starting = asyncio.create_task(server.__aenter__())
        await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert repr(server) == "<ResponsesServer closed>"

    run(test)


def test_a_port_that_is_taken_is_an_error() -> None:
    async def test(port: int) -> None:
        with pytest.raises(OSError, match=str(port)):
            await ResponsesServer(port=port).__aenter__()

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=str(port)), ResponsesServer(port=port):
            pass
        run(lambda: test(port))


def test_waiting_for_its_end() -> None:
    async def test() -> None:
        async with ResponsesServer() as server:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(server.wait_closed(), 0.01)
            waiting = asyncio.create_task(server.wait_closed())
            await asyncio.to_thread(server.close)
            await waiting
            with pytest.raises(OSError, match="Connect call failed"):
                await open_connection(server)

    run(test)


def test_waiting_for_the_end_of_a_server_on_a_thread() -> None:
    async def test() -> None:
        with ResponsesServer() as server:
            waiting = asyncio.create_task(server.wait_closed())
            server.close()
            await waiting

    run(test)


# Who may connect


@pytest.mark.parametrize(
    ("key", "path", "status"), [("wrong", "/responses", 401), (None, "/responses", 401), ("secret", "/realtime", 404)]
)
def test_refused_upgrades_say_why(key: str | None, path: str, status: int) -> None:
    async def test() -> None:
        async with ResponsesServer(api_key="secret") as server:
            headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
            url = server.url.replace("http", "ws") + path
            with pytest.raises(InvalidStatus) as caught:
                await connect(url, additional_headers=headers, proxy=None)
            response = caught.value.response
            assert response.status_code == status
            assert response.headers.get_all("Content-Type") == ["application/json"]
            assert json.loads(response.body or b"")["error"]["message"]
            assert server.accepted == 0

    run(test)


def test_the_right_key_and_a_query_are_welcome() -> None:
    async def test() -> None:
        async with ResponsesServer(api_key="secret") as server:
            headers = {"Authorization": "Bearer secret"}
            async with connect(endpoint(server) + "?model=gpt-4o", additional_headers=headers) as connection:
                assert (await ask(connection))[-1]["type"] == "response.completed"

    run(test)


# Lanes, chains, replies


def test_lanes_interleave_on_one_connection() -> None:
    async def test() -> None:
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

    run(test)


def test_a_gate_opened_from_another_thread() -> None:
    async def test() -> None:
        with ResponsesServer() as server:
            gate = server.gate()
            server.reply([Text("x"), Hold(gate, 1)])
            async with open_connection(server) as connection:
                await send(connection)
                assert json.loads(await connection.recv())["type"] == "response.created"
                gate.open()
                assert [event async for event in events(connection)][-1]["type"] == "response.completed"

    run(test)


def test_stored_responses_are_known_to_other_connections() -> None:
    async def test() -> None:
        async with ResponsesServer() as server:
            server.on("again", lambda request: f"{request.connection}: {request.conversation}")
            async with open_connection(server) as connection:
                first = await ask(connection, input="hello")
            async with open_connection(server) as connection:
                second = await ask(connection, input="again", previous_response_id=first[0]["response"]["id"])
        assert text_of(second).startswith("2: user: hello\nassistant: This is")

    run(test)


def test_events_keep_their_interval_on_the_wire() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        async with ResponsesServer(event_interval=0.01) as server, open_connection(server) as connection:
            started = loop.time()
            received = await ask(connection)
            assert loop.time() - started >= 0.01 * (len(received) - 1) * 0.9

    run(test)


def test_the_age_limit_closes_the_connection() -> None:
    async def test() -> None:
        async with ResponsesServer(max_age=0.02) as server, open_connection(server) as connection:
            error = json.loads(await connection.recv())
            await connection.wait_closed()
        assert error["error"]["code"] == "websocket_connection_limit_reached"
        assert connection.close_code == 1000

    run(test)


def test_frames_come_in_while_a_long_answer_goes_out() -> None:
    async def test() -> None:
        async with ResponsesServer() as server, open_connection(server) as connection:
            server.reply(Text(deltas=["x"] * 100_000))
            await send(connection, stream_id="long")
            await connection.recv()
            await send(connection, stream_id="short")
            received = [event async for event in events(connection)]
            assert received[-1]["stream_id"] == "short"
            assert len(received) < 1_000  # far less than what the buffers in between would hold

    run(test)


def test_messages_may_be_large_up_to_the_limit() -> None:
    async def test() -> None:
        async with ResponsesServer(max_size=3_000_000) as server, open_connection(server) as connection:
            server.on("x", lambda request: str(len(request.text)))
            assert text_of(await ask(connection, input="x" * 2_000_000)) == "2000000"
            await send(connection, input="x" * 3_000_000)
            await connection.wait_closed()
        assert connection.close_code == 1009

    run(test)


# Closing


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1011])
def test_closing_in_the_middle_of_a_response(code: int) -> None:
    async def test() -> None:
        async with ResponsesServer() as server, open_connection(server) as connection:
            server.reply([Text("one two"), Close(code, after=5)])
            await send(connection)
            for _ in range(5):
                await connection.recv()
            with pytest.raises(ConnectionClosed):
                await connection.recv()
            assert connection.close_code == code

    run(test)


@pytest.mark.parametrize("code", [1001, 1006, 1012])
def test_closing_all_connections(code: int) -> None:
    async def test() -> None:
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

    run(test)


def test_dropping_from_another_thread() -> None:
    with ResponsesServer() as server, connect_sync(endpoint(server)) as connection:
        server.wait_until(lambda: server.connections == 1)
        server.drop()
        with pytest.raises(ConnectionClosed):
            connection.recv(timeout=10)
        assert connection.close_code == 1006
        server.wait_until(lambda: server.connections == 0)


# What was received


def test_the_journal_holds_everything() -> None:
    async def test() -> None:
        async with ResponsesServer() as server:
            async with open_connection(server) as first, open_connection(server) as second:
                await first.send("broken {")
                await first.recv()
                await ask(second, input="b")
                await first.send(b"\x00")
                await first.recv()
            assert [(one.connection, one.frame) for one in server.journal][::2] == [(1, "broken {"), (1, b"\x00")]
            assert server.journal[0].message is None
            assert server.requests == [{"type": "response.create", "model": "m", "input": "b"}]
            with pytest.raises(TimeoutError):
                await server.until(lambda: len(server.requests) == 2, timeout=0.01)

    run(test)


# Replays


@pytest.mark.skipif(not TRANSCRIPTS.is_dir(), reason="there are no recorded transcripts beside this checkout")
@pytest.mark.parametrize("lane", [None, "main"])
def test_transcripts_are_replayed_as_recorded(lane: str | None) -> None:
    async def test() -> None:
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

    run(test)


def test_a_replay_on_the_wire_keeps_lone_surrogates_and_time() -> None:
    async def test() -> None:
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

    run(test)
