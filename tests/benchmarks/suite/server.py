"""The server of the suite, in a process of its own: it sends frames that are built before the clock starts.

    python -m tests.benchmarks.suite.server

prints its URLs as one JSON object, by transport, and ends when its standard input ends.  It listens on 127.0.0.1 only.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import PerMessageDeflate

from tests.support.certificates import server_context

from .frames import STAMP, Frames, compression, interleaved, response_frames, slices
from .orders import Order, parse

SLICE = 2**16  # bytes that are written at once
Waiting = tuple[ServerConnection, "str | None"]


@functools.lru_cache(maxsize=64)
def built(deltas: int, stream_id: str | None, compressed: bool, stamped: bool) -> Frames:
    return response_frames(deltas, stream_id, deflate=compression() if compressed else None, stamped=stamped)


@functools.lru_cache(maxsize=64)
def built_block(deltas: int, stream_ids: tuple[str | None, ...], compressed: bool) -> bytes:
    return interleaved([built(deltas, stream_id, compressed, False) for stream_id in stream_ids])


class Server:
    """Answers requests of many connections, those of one run at the same time."""

    def __init__(self) -> None:
        self._waiting: defaultdict[Order, list[Waiting]] = defaultdict(list)
        self._tasks: set[asyncio.Task[None]] = set()

    async def handle(self, connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in connection:
                request = json.loads(message)
                self._receive(connection, parse(_text(request["input"])), request.get("stream_id"))
        for waiting in self._waiting.values():  # a client that failed must not be waited for by the next one
            waiting[:] = [(other, stream_id) for other, stream_id in waiting if other is not connection]

    def _receive(self, connection: ServerConnection, order: Order, stream_id: str | None) -> None:
        connection.transport.write(built(order.deltas, stream_id, _compresses(connection), order.rate > 0).opening)
        waiting = self._waiting[order]
        waiting.append((connection, stream_id))
        if len(waiting) < order.together:
            return
        del self._waiting[order]
        lanes: defaultdict[ServerConnection, list[str | None]] = defaultdict(list)
        for other, lane in waiting:
            lanes[other].append(lane)
        if order.rate:
            for place, (other, lane) in enumerate(waiting):
                self._start(pace(other, order, lane, place / order.together / order.rate))
        else:
            # All is built before the first connection begins.
            blocks = [
                (other, built_block(order.deltas, tuple(sorted(names, key=str)), _compresses(other)))
                for other, names in lanes.items()
            ]
            for other, block in blocks:
                self._start(blast(other, order, lanes[other], block))

    def _start(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def blast(connection: ServerConnection, order: Order, lanes: Sequence[str | None], block: bytes) -> None:
    """Send the deltas of all responses of a connection as fast as the client reads them, then their ends."""
    with contextlib.suppress(ConnectionClosed, ConnectionError):
        for piece in slices(block, SLICE):
            connection.transport.write(piece)
            await connection.drain()
            await asyncio.sleep(0)  # other connections have their turn even if the client is quicker
        if not order.hold:
            for lane in lanes:
                connection.transport.write(built(order.deltas, lane, _compresses(connection), False).closing)


async def pace(connection: ServerConnection, order: Order, lane: str | None, offset: float) -> None:
    """Send the deltas of one response at a steady rate, each with the time at which it is written."""
    frames = built(order.deltas, lane, False, True)
    loop = asyncio.get_running_loop()
    start = loop.time() + offset
    with contextlib.suppress(ConnectionClosed, ConnectionError):
        for number, frame in enumerate(frames.deltas):
            before, _, after = frame.partition(STAMP.encode())
            await asyncio.sleep(start + number / order.rate - loop.time())
            connection.transport.write(b"%b%020d%b" % (before, time.monotonic_ns(), after))
        connection.transport.write(frames.closing)


def _compresses(connection: ServerConnection) -> bool:
    return any(isinstance(extension, PerMessageDeflate) for extension in connection.protocol.extensions)


def _text(given: Any) -> str:
    """Return the text of an input, which some clients send as a message."""
    return given if isinstance(given, str) else str(given[-1]["content"])


async def main() -> None:
    server = Server()
    with tempfile.TemporaryDirectory() as folder:
        context = server_context(Path(folder))
    plain = {"compression": None, "ping_interval": None, "max_size": None}
    kinds: dict[str, dict[str, Any]] = {
        "plain": plain,
        "TLS": plain | {"ssl": context},
        "compressed": plain | {"compression": "deflate"},
    }
    urls = {}
    async with contextlib.AsyncExitStack() as stack:
        for kind, options in kinds.items():
            listening = await stack.enter_async_context(serve(server.handle, "127.0.0.1", 0, **options))
            port = next(iter(listening.sockets)).getsockname()[1]
            urls[kind] = f"{'wss' if kind == 'TLS' else 'ws'}://127.0.0.1:{port}/v1"
        print(json.dumps(urls), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
