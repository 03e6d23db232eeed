"""Pings to a server that does not answer them."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosedError

from rxresponses import ConnectionOptions, PongTimeoutError, ResponsesWebSocket
from rxresponses.net.backpressure import ReadPause
from rxresponses.net.keep_alive import keep_alive
from rxresponses.net.loops import start_task

from ..support.clients import ask, run
from ..support.websocket_server import websocket_server


def test_scenario_26_a_connection_that_answers_no_ping_is_lost() -> None:
    async def read_nothing(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        await connection.wait_closed()

    async def main() -> None:
        options = ConnectionOptions(ping_interval=0.05, ping_timeout=0.05, close_timeout=0.05)
        async with (
            websocket_server(read_nothing, ping_interval=None, close_timeout=0.05) as url,
            ResponsesWebSocket(url, options=options) as socket,
        ):
            with pytest.raises(PongTimeoutError, match="dead") as raised:
                await socket.send_request(ask())
        assert (raised.value.close_code, raised.value.delivery) == (1006, "unknown")

    run(main())


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("turns", range(8))
def test_cancelling_pings_at_any_point_logs_no_exception(turns: int, fails: bool) -> None:
    class Peer:
        """Takes one turn of the loop to send a ping; then there is no pong, or the connection is closed."""

        bytes_written = bytes_taken = 0

        async def ping(self) -> Awaitable[None]:
            await asyncio.sleep(0)
            if fails:
                raise ConnectionClosedError(None, None)
            return asyncio.get_running_loop().create_future()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        logged: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: logged.append(context))
        peer: Any = Peer()
        pings = asyncio.ensure_future(keep_alive(peer, 0, 60, ReadPause(loop, lambda: None, lambda: None)))
        for _ in range(turns):
            await asyncio.sleep(0)
        pings.cancel()
        await asyncio.wait([pings], timeout=1)
        assert pings.cancelled() or isinstance(pings.exception(), ConnectionClosedError)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait([task], timeout=1)
            assert task.done()
            del task
        del pings
        gc.collect()
        assert not logged

    asyncio.run(main())


@pytest.mark.parametrize("turns", range(8))
def test_scenario_67_pings_on_a_loop_that_is_closed(turns: int) -> None:
    """Python closes their coroutine, which must not call the loop."""

    class Peer:
        bytes_written = bytes_taken = 0

        async def ping(self) -> Awaitable[None]:
            return asyncio.get_running_loop().create_future()

    async def turn() -> None:
        for _ in range(turns):
            await asyncio.sleep(0)

    loop = asyncio.new_event_loop()
    peer: Any = Peer()
    pings = keep_alive(peer, 0, 60, ReadPause(loop, lambda: None, lambda: None))
    task = start_task(loop, pings, "pings")
    loop.run_until_complete(turn())
    loop.close()
    pings.close()  # raises what the coroutine raises
    del task
    gc.collect()
