"""Compressed messages (permessage-deflate, RFC 7692) to and from a server that agrees on them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode

from rxresponses import ConnectionOptions, MessageTooBigError, ResponseCreate, ResponsesWebSocket, operators

from ..support.certificates import VALID, server_context, trusting
from ..support.clients import run
from ..support.internals import websocket_of
from ..support.recorder import AsyncRecorder
from ..support.websocket_server import COMPLETED, websocket_server

TEXTS = ["", "Hello", " wörld \U0001f389", "a b c d e f " * 20_000, *(f" word {number}" for number in range(300))]
QUESTION = "What is in this text? " + "It repeats itself. " * 5_000

Agreed = dict[str, Any]
PLAIN: Agreed = {}
AGREEMENTS: list[Agreed] = [
    PLAIN,
    {"server_max_window_bits": 9},
    {"client_max_window_bits": 9},
    {"server_no_context_takeover": True},
    {"client_no_context_takeover": True},
    {"server_max_window_bits": 10, "client_max_window_bits": 11, "server_no_context_takeover": True},
]


def delta(text: str) -> str:
    where = {"item_id": "m", "output_index": 0, "content_index": 0}
    return json.dumps({"type": "response.output_text.delta", **where, "delta": text}, ensure_ascii=False)


class Server:
    """Answers each request with all texts, and keeps the requests with the bytes that they took on the wire."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.extensions: list[PerMessageDeflate] = []
        self.client_extensions: Sequence[object] = ()

    async def answer(self, connection: ServerConnection) -> None:
        self.extensions = [each for each in connection.protocol.extensions if isinstance(each, PerMessageDeflate)]
        async for message in connection:
            assert isinstance(message, str)
            self.requests.append(json.loads(message)["input"])
            for number, text in enumerate(TEXTS):
                if number % 3 == 1:
                    await self.send_in_fragments(connection, delta(text))
                elif number % 3 == 2:
                    # RFC 7692 (6): a message may go uncompressed.
                    data = Frame(Opcode.TEXT, delta(text).encode()).serialize(mask=False, extensions=[])
                    connection.transport.write(data)
                else:
                    await connection.send(delta(text))
            await connection.send(COMPLETED)

    async def send_in_fragments(self, connection: ServerConnection, text: str) -> None:
        third = len(text) // 3
        await connection.send([text[:third], text[third : 2 * third], text[2 * third :]])


def exchange(agreed: Agreed, tmp_path: Path | None = None, *, asks: bool = True, offers: bool = True) -> Server:
    """Send two requests on one connection; return the server, which has checked and sent what it was told."""
    server = Server()
    factory = ServerPerMessageDeflateFactory(**agreed)
    more: Agreed = {} if tmp_path is None else {"ssl": server_context(tmp_path)}
    options = ConnectionOptions(compression=asks, ssl=None if tmp_path is None else trusting(VALID))

    async def main() -> None:
        extensions = [factory] if offers else None
        async with websocket_server(server.answer, compression=None, extensions=extensions, **more) as url:
            url = url if tmp_path is None else url.replace("http:", "https:")
            async with ResponsesWebSocket(url, options=options) as socket:
                for _ in range(2):
                    request = ResponseCreate(model="m", input=QUESTION)
                    received = AsyncRecorder(socket.send_request(request).pipe(operators.text_deltas()))
                    await received.until_end()
                    assert not received.errors
                    assert received.values == [text for text in TEXTS if text]
                server.client_extensions = websocket_of(socket).protocol.extensions
        assert server.requests == [QUESTION] * 2

    run(main())
    return server


@pytest.mark.parametrize("agreed", AGREEMENTS, ids=lambda agreed: ",".join(agreed) or "plain")
def test_compressed_messages_arrive_in_both_directions(agreed: Agreed) -> None:
    (extension,) = exchange(agreed).extensions
    assert extension.local_max_window_bits == agreed.get("server_max_window_bits", 15)
    assert extension.remote_max_window_bits == agreed.get("client_max_window_bits", 15)
    assert extension.local_no_context_takeover is agreed.get("server_no_context_takeover", False)
    assert extension.remote_no_context_takeover is agreed.get("client_no_context_takeover", False)


def test_requests_are_compressed_at_the_fastest_level_because_the_loop_waits() -> None:
    (extension,) = exchange(PLAIN).client_extensions
    assert isinstance(extension, PerMessageDeflate)
    assert extension.compress_settings == {"memLevel": 5, "level": 1}


def test_compressed_messages_over_tls(tmp_path: Path) -> None:
    assert exchange(PLAIN, tmp_path).extensions


@pytest.mark.parametrize(("asks", "offers"), [(True, False), (False, True), (False, False)])
def test_nothing_is_compressed_unless_both_sides_agree(asks: bool, offers: bool) -> None:
    assert not exchange(PLAIN, asks=asks, offers=offers).extensions


def test_the_size_limit_is_that_of_the_message_and_not_of_its_frame() -> None:
    errors: list[Exception] = []
    server = Server()

    async def main() -> None:
        factory = ServerPerMessageDeflateFactory()
        options = ConnectionOptions(compression=True, max_message_size=100_000)
        async with (
            websocket_server(server.answer, compression=None, extensions=[factory]) as url,
            ResponsesWebSocket(url, options=options) as socket,
        ):
            received = await AsyncRecorder(socket.send_request(ResponseCreate(model="m", input="hi"))).until_end()
            errors.extend(received.errors)

    run(main())
    assert isinstance(errors[0], MessageTooBigError)
