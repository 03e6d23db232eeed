"""What the tests of a client need: requests, options without long waits, and the books of the server."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from reactivex import Observable
from reactivex import operators as ops
from websockets.asyncio.server import ServerConnection, serve

from rxresponses import Backoff, ClientState, ConnectionOptions, PoolOptions, ResponseCreate, ResponsesClient
from rxresponses.testing import ResponsesServer

from .recorder import WAIT, Recorder

LANES = ConnectionOptions(lanes=True)
CLOSE = ConnectionOptions(lanes=True, on_dispose="close")
QUICK = Backoff(initial=0.001, max_delay=0.01, max_retries=3)
"""Tries again at once, more or less."""


def ask(text: str = "hi", **fields: Any) -> ResponseCreate:
    """Return a request."""
    return ResponseCreate(model="m", input=text, **fields)


def quickly(**options: Any) -> PoolOptions:
    """Return options of a pool that tries again at once."""
    return PoolOptions(backoff=QUICK, **options)


def slowly(**options: Any) -> PoolOptions:
    """Return options of a pool that does not try again while a test lasts."""
    return PoolOptions(backoff=Backoff(initial=10 * WAIT, jitter=0.0), **options)


def inputs(server: ResponsesServer) -> list[Any]:
    """Return the inputs that arrived, in order."""
    return [request["input"] for request in server.requests]


def arrivals(server: ResponsesServer) -> Counter[Any]:
    """Return how often each input arrived."""
    return Counter(map(str, inputs(server)))


def response_id(got: Recorder[Any]) -> str:
    """Return the id of the response that was received."""
    found = got.wait_for(1).values[0].response.id
    assert isinstance(found, str)
    return found


def states_of(client: ResponsesClient) -> Recorder[ClientState]:
    """Watch a client."""
    return Recorder(client.state)


def until(states: Recorder[ClientState], condition: Callable[[ClientState], bool]) -> ClientState:
    """Wait until a state of which this holds is the latest."""
    states.wait(lambda: bool(states.values) and condition(states.values[-1]))
    return states.values[-1]


@contextmanager
def no_thread_left() -> Iterator[None]:
    """See that the background thread ends with its last user."""
    yield
    for thread in threading.enumerate():
        if thread.name == "rxresponses":
            thread.join(WAIT)
            assert not thread.is_alive()


async def ask_for_ever(source: Observable[Any]) -> None:
    """Subscribe again on every error, for long enough to see that the loop turns meanwhile."""
    tries: list[Exception] = []
    stubborn = Recorder(source.pipe(ops.do_action(on_error=tries.append), ops.retry()))
    assert len(tries) <= 1  # the others come on later turns
    while len(tries) < 100:  # noqa: ASYNC110 - each turn is one try at most, which sets no event
        await asyncio.sleep(0)
    assert not stubborn.ended
    stubborn.subscription.dispose()


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run to the end within the bound, and see that no task is left behind."""

    async def bounded() -> None:
        await asyncio.wait_for(main, WAIT)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left

    asyncio.run(bounded())


class Peers:
    """The other ends of a client's connections, on the running loop: they do only what a test says."""

    def __init__(self) -> None:
        self.url = ""
        self.connections: list[ServerConnection] = []  # the latest last
        self.received: list[dict[str, Any]] = []  # on all of them
        self.changed = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds, looked at whenever something comes."""
        while not condition():
            self.changed.clear()
            await self.changed.wait()

    async def send(self, *events: dict[str, Any], connection: int = -1) -> None:
        """Send events on a connection."""
        for event in events:
            await self.connections[connection].send(json.dumps(event))

    async def answer(self, request: dict[str, Any], response_id: str, *, connection: int = -1) -> None:
        """Answer a request with a response that says nothing."""
        lane = {"stream_id": request["stream_id"]} if "stream_id" in request else {}
        for kind in ("created", "completed"):
            event = {"type": f"response.{kind}", "response": {"id": response_id}, **lane}
            await self.send(event, connection=connection)

    def pause(self) -> None:
        """Read nothing more on the latest connection, pings included."""
        self.connections[-1].transport.pause_reading()

    def drop(self) -> None:
        """Cut the latest connection."""
        self.connections[-1].transport.abort()


@asynccontextmanager
async def peers() -> AsyncIterator[Peers]:
    """Listen, and take every connection."""
    here = Peers()

    async def handle(connection: ServerConnection) -> None:
        here.connections.append(connection)
        here.changed.set()
        async for message in connection:
            here.received.append(json.loads(message))
            here.changed.set()

    async with serve(handle, "127.0.0.1", 0, ping_interval=None, close_timeout=0.1, max_size=None) as server:
        here.url = f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/v1"
        try:
            yield here
        finally:
            for connection in here.connections:
                connection.transport.abort()  # it may be paused
