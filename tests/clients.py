"""What the tests of a client need: requests, options without long waits, and the books of the server."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from rxresponses import Backoff, ClientState, ConnectionOptions, PoolOptions, ResponseCreate, ResponsesClient
from rxresponses.testing import ResponsesServer

from .support import WAIT, Recorder

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


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run to the end within the bound, and see that no task is left behind."""

    async def bounded() -> None:
        await asyncio.wait_for(main, WAIT)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left

    asyncio.run(bounded())
