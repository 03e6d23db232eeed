"""Messages that are ready together are written together, as far as that costs no memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import reactivex as rx
from reactivex import operators as ops
from websockets.asyncio.server import ServerConnection

from rxresponses import ConnectionOptions, ResponsesWebSocket
from rxresponses.known_secrets import Secrets
from rxresponses.net.connect import open_connection
from rxresponses.net.transport import _MOST_AT_ONCE, FrameConnection
from tests.support.calls import count_calls

from ..support.clients import ask, run
from ..support.websocket_server import COMPLETED, websocket_server
from .test_transport import PausingListener


@asynccontextmanager
async def watched() -> AsyncIterator[tuple[FrameConnection, list[int], list[int]]]:
    """Yield a connection, the sizes of its writes, and the lengths of the messages that the server has got."""
    messages: list[int] = []

    async def take(connection: ServerConnection) -> None:
        async for message in connection:
            messages.append(len(message))

    listener = PausingListener()
    async with websocket_server(take) as url:
        connection = await open_connection(
            url.replace("http", "ws"), headers={}, options=ConnectionOptions(), listener=listener, secrets=Secrets()
        )
        writes: list[int] = []
        write = connection.transport.write

        def note(data: bytes) -> None:
            writes.append(len(data))
            write(data)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(connection.transport, "write", note)
            yield connection, writes, messages
        await connection.close()
        await connection.shut(1, abrupt=True)


def test_small_messages_are_written_in_one_go() -> None:
    async def main() -> None:
        async with watched() as (connection, writes, messages):
            before = connection.bytes_written
            await connection.send_texts([b"{}"] * 100)
            assert writes == [connection.bytes_written - before]
        assert messages == [2] * 100

    run(main())


def test_large_messages_are_neither_gathered_nor_copied() -> None:
    async def main() -> None:
        async with watched() as (connection, writes, messages):
            texts = iter([b"x" * (_MOST_AT_ONCE - 1), b"y" * 3 * _MOST_AT_ONCE, b"z"])
            await connection.send_texts(texts)
            assert len(writes) == 2
            assert [len(text) for text in texts] == [1]
        assert messages == [_MOST_AT_ONCE - 1, 3 * _MOST_AT_ONCE]

    run(main())


def test_requests_of_one_turn_are_all_answered() -> None:
    lanes = 16
    received: list[int] = []

    async def answer(connection: ServerConnection) -> None:
        async for message in connection:
            received.append(len(message))
            lane = f',"stream_id":"{len(received) - 1}"}}'
            await connection.send(COMPLETED[:-1] + lane)

    async def main() -> None:
        options = ConnectionOptions(lanes=True)
        async with websocket_server(answer) as url, ResponsesWebSocket(url, options=options) as socket:
            sources = [socket.send_request(ask(), stream_id=lane) for lane in map(str, range(lanes))]
            answers = await rx.merge(*sources).pipe(ops.to_list())
            assert {event.stream_id for event in answers} == set(map(str, range(lanes)))

    run(main())


async def calls_to_send(url: str, lanes: int) -> int:
    """Return how many calls it takes to send one more request beside so many open ones, and to dispose it."""
    options = ConnectionOptions(lanes=True, max_active=32)
    async with ResponsesWebSocket(url, options=options) as socket:
        arrived = asyncio.Event()
        for lane in map(str, range(lanes)):
            arrived.clear()
            socket.send_request(ask(), stream_id=lane).subscribe(lambda event: arrived.set())
            await arrived.wait()
        source = socket.send_request(ask(), stream_id="0")
        return count_calls(lambda: source.subscribe().dispose())


def test_a_request_costs_the_same_beside_others() -> None:
    async def begin(connection: ServerConnection) -> None:
        number = 0
        async for _ in connection:
            delta = '{"type":"response.output_text.delta","delta":"a","item_id":"i","output_index":0,"content_index":0,'
            await connection.send(f'{delta}"sequence_number":1,"stream_id":"{number}"}}')
            number += 1

    async def main() -> None:
        async with websocket_server(begin) as url:
            await calls_to_send(url, 1)
            few = await calls_to_send(url, 2)
            assert await calls_to_send(url, 30) == few

    run(main())
