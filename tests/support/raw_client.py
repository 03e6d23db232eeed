"""A client that writes bytes as it likes: the frames of RFC 6455, without its manners."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import cast

from rxresponses.testing import ResponsesServer

TIMEOUT = 20.0  # seconds for a server that hangs

UPGRADE = (
    b"GET /v1/responses HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
CONTINUATION, TEXT, BINARY, CLOSE, PING = 0, 1, 2, 8, 9
REQUEST = b'{"type":"response.create","model":"m","input":"hi"}'


def frame(opcode: int, data: bytes = b"", *, fin: bool = True, reserved: int = 0, masked: bool = True) -> bytes:
    """Return a frame of a client, whose mask is zero."""
    head = bytes([fin << 7 | reserved << 4 | opcode])
    mask = 0x80 if masked else 0
    if len(data) < 126:
        head += bytes([mask | len(data)])
    elif len(data) < 2**16:
        head += bytes([mask | 126]) + struct.pack("!H", len(data))
    else:
        head += bytes([mask | 127]) + struct.pack("!Q", len(data))
    return head + (bytes(4) if masked else b"") + data


def frames_in(received: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the opcode and the data of each complete frame of the server."""
    while len(received) >= 2:
        length, size = received[1], 2
        if length == 126:
            length, size = struct.unpack("!H", received[2:4].ljust(2, b"\0"))[0], 4
        elif length == 127:
            length, size = struct.unpack("!Q", received[2:10].ljust(8, b"\0"))[0], 10
        if len(received) < size + length:
            return
        yield received[0] & 15, received[size : size + length]
        received = received[size + length :]


class RawClient:
    """A client that reads only when a test tells it to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @property
    def transport(self) -> asyncio.ReadTransport:
        return cast("asyncio.ReadTransport", self.writer.transport)

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def is_blocked(self, data: bytes, most: int) -> bool:
        """Send up to `most` bytes, and return whether the server has stopped to read before."""
        for _ in range(most // len(data)):
            try:
                await asyncio.wait_for(self.write(data), 0.2)
            except asyncio.TimeoutError:
                return True
        return False

    async def close_code(self) -> int:
        """Read to the end, and return the code of the close frame, 1006 without one."""
        received = await asyncio.wait_for(self.reader.read(), TIMEOUT)
        codes = [struct.unpack("!H", data[:2])[0] for code, data in frames_in(received) if code == CLOSE]
        return codes[0] if codes else 1006


@asynccontextmanager
async def raw_client(server: ResponsesServer, headers: bytes = b"") -> AsyncIterator[RawClient]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=2**16)
    writer.write(UPGRADE + headers + b"\r\n")
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    try:
        yield RawClient(reader, writer)
    finally:
        writer.transport.abort()
