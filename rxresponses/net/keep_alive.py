"""Pings: find out that the server is gone although the TCP connection still stands."""

from __future__ import annotations

import asyncio

from .backpressure import ReadPause
from .loops import cancel_task, start_task
from .transport import FrameConnection


async def keep_alive(
    connection: FrameConnection, interval: float, timeout: float | None, read_pause: ReadPause
) -> None:
    """Send a ping every `interval` seconds; return when a pong does not come within `timeout` seconds.

    Without a timeout, pings are sent and pongs are not waited for.  Raises websockets'
    `ConnectionClosed` when the connection is closed.
    """
    while True:
        await asyncio.sleep(interval)
        if timeout is None:
            await connection.ping()
        elif not await _is_answered(connection, timeout, read_pause):
            return


async def _is_answered(connection: FrameConnection, timeout: float, read_pause: ReadPause) -> bool:
    """Send a ping; return whether its pong came in time.

    The timeout starts again while silence is not the server's fault: when reading was paused, the pong may be behind
    messages that were not read; and while the server takes what was written before the ping, such as a large request.
    What is written after the ping shows nothing: a server that sends pings, and reads none of the pongs, is dead.
    """
    round_trip = start_task(asyncio.get_running_loop(), _round_trip(connection), "rxresponses ping")
    round_trip.add_done_callback(_retrieve_exception)
    try:
        await asyncio.sleep(0)  # now the ping is in the write buffer, and only the server makes that shrink
        ping_end = connection.bytes_written
        while True:
            pauses, paused, taken = read_pause.count, read_pause.active, connection.bytes_taken
            await asyncio.wait([round_trip], timeout=timeout)
            if round_trip.done():
                await round_trip  # raises if the connection is closed
                return True
            was_paused = paused or pauses != read_pause.count
            was_behind = taken < ping_end and connection.bytes_taken > taken
            if not was_paused and not was_behind:
                return False
    finally:
        cancel_task(round_trip)


async def _round_trip(connection: FrameConnection) -> None:
    # In one task, so that the timeout covers writing too: when the server has vanished behind a full write
    # buffer, `ping()` itself waits for ever.
    await (await connection.ping())


def _retrieve_exception(task: asyncio.Task[None]) -> None:
    """Keep asyncio from logging an exception that was never retrieved."""
    if not task.cancelled():
        task.exception()
