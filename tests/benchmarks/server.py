"""The embedded server of `serve` in a process of its own, and clients that cost it memory."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from tests.support.raw_client import CONTINUATION, PING, TEXT, UPGRADE, frame

ROOT = Path(__file__).parents[2]
PATIENCE = 0.5  # seconds after which a server counts as one that does not read
CLIENTS = 10

Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Server:
    def __init__(self, port: int, pid: int) -> None:
        self.port = port
        self._pid = pid
        self._memory = self.memory()

    def memory(self) -> float:
        """Return the resident memory in MiB."""
        pages = int(Path(f"/proc/{self._pid}/statm").read_text().split()[1])
        return pages * 4096 / 2**20

    async def growth(self) -> float:
        """Wait until the server has nothing to do, and return by how many MiB its memory has grown."""
        used = None
        while used != (used := self._processor_time()):  # noqa: ASYNC110 - another process tells nothing
            await asyncio.sleep(0.2)
        return self.memory() - self._memory

    def _processor_time(self) -> list[str]:
        return Path(f"/proc/{self._pid}/stat").read_text().split()[13:15]


@contextmanager
def serving() -> Iterator[Server]:
    """Run `rxresponses serve`."""
    command = [sys.executable, "-m", "rxresponses", "serve"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline()
            yield Server(int(url.split(":")[2].partition("/")[0]), process.pid)
        finally:
            process.kill()


@asynccontextmanager
async def connected(port: int, *, reads: bool = True) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(UPGRADE + b"\r\n")
    await reader.readuntil(b"\r\n\r\n")
    if not reads:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        writer.close()


def create(**fields: Any) -> bytes:
    """Return the frame of a request."""
    return frame(TEXT, json.dumps({"type": "response.create", "model": "m", "input": "hi", **fields}).encode())


async def push(writer: asyncio.StreamWriter, data: bytes, times: int) -> None:
    """Send `data` many times, or until the server has read nothing for a while, or has closed the connection."""
    with contextlib.suppress(asyncio.TimeoutError, ConnectionError):
        for _ in range(times):
            writer.write(data)
            await asyncio.wait_for(writer.drain(), PATIENCE)


async def send_without_reading(server: Server, data: bytes, times: int) -> float:
    async with connected(server.port, reads=False) as (_, writer):
        await push(writer, data * 1_000, times)
        return await server.growth()


async def pings(server: Server) -> float:
    return await send_without_reading(server, frame(PING, b"x" * 125), 600)


async def invalid_frames(server: Server) -> float:
    return await send_without_reading(server, frame(TEXT, b"{}"), 200)


async def fragments(server: Server) -> float:
    async with connected(server.port) as (_, writer):
        writer.write(frame(TEXT, b"", fin=False))
        await push(writer, frame(CONTINUATION, b"", fin=False) * 10_000, 60)
        return await server.growth()


async def clients_that_never_read(server: Server) -> float:
    """Each of them sends 1.6 MiB of requests, for which the answers are larger."""
    question = "word " * 20_000
    sent = [create(stream_id=f"lane-{number}", input=question) for number in range(16)]
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(server.port, reads=False)) for _ in range(CLIENTS)]
        for request in sent:
            await asyncio.gather(*(push(writer, request, 1) for _, writer in clients))
        return await server.growth()


async def long_run(server: Server) -> float:
    """A client that sends 150 images of 1 MB, one after the other."""
    image = {"type": "input_image", "image_url": f"data:image/png;base64,{'x' * 1_000_000}"}
    request = create(input=[{"role": "user", "content": [image]}])
    async with connected(server.port) as (reader, writer):
        for _ in range(150):
            writer.write(request)
            received = b""
            while b'"type":"response.completed"' not in received:
                data = await reader.read(2**20)
                received += data
                assert data, "the server has closed the connection"
                assert b'"type":"error"' not in received, received[-1000:]
        return await server.growth()


async def queue(port: int, requests: int) -> float:
    """Return how many seconds it takes to answer requests that wait on one lane."""
    async with connected(port) as (reader, writer):
        started = time.monotonic()
        writer.write(create() * requests)
        ended = 0
        rest = b""
        while ended < requests:
            *lines, rest = (rest + await reader.read(2**20)).split(b'"type":"response.completed"')
            ended += len(lines)
    return time.monotonic() - started
