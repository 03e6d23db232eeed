"""Whether a server that has ended a TLS handshake without a word speaks plain HTTP on that port."""

from __future__ import annotations

import asyncio
import contextlib

PROBE_TIME = 2.0  # seconds


async def speaks_plain_http(host: str, port: int) -> bool:
    """Ask for `/` without TLS and without any credential; return whether the answer is HTTP.

    Many servers of plain HTTP end a connection on which they get TLS.  Servers of TLS that are overloaded or about to
    restart do the same, and only these will speak TLS later.
    """
    with contextlib.suppress(OSError, EOFError, asyncio.TimeoutError):
        return await asyncio.wait_for(_asks(host, port), PROBE_TIME)
    return False


async def _asks(host: str, port: int) -> bool:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        name = f"[{host.partition('%')[0]}]" if ":" in host else host
        writer.write(f"GET / HTTP/1.1\r\nHost: {name}:{port}\r\nConnection: close\r\n\r\n".encode())
        return await reader.readexactly(5) == b"HTTP/"
    finally:
        writer.transport.abort()
