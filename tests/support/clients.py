"""What the tests of sockets and clients need: requests, options without long waits, and what the server received."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from reactivex import Observable
from reactivex import operators as ops

from rxresponses import Backoff, ClientState, ConnectionOptions, PoolOptions, ResponseCreate, ResponsesClient
from rxresponses.testing import ResponsesServer

from .recorder import WAIT, Recorder

# Requests and options.

WITH_LANES = ConnectionOptions(lanes=True)
CLOSE_ON_DISPOSE = ConnectionOptions(lanes=True, on_dispose="close")
STEADY_BACKOFF = Backoff(initial=1.0, jitter=0.0, max_retries=3)
ONE_AT_A_TIME = ConnectionOptions(lanes=True, max_active=1)


def ask(text: str = "hi", **fields: Any) -> ResponseCreate:
    """Return a request."""
    return ResponseCreate(model="m", input=text, **fields)


def without_pings(**options: Any) -> ConnectionOptions:
    """Return options without pings, which would be due as well when a test advances the time."""
    return ConnectionOptions(ping_interval=None, lanes=True, **options)


def fast_retries(**options: Any) -> PoolOptions:
    """Return options of a pool that tries again after milliseconds."""
    return PoolOptions(backoff=Backoff(initial=0.001, max_delay=0.01, max_retries=3), **options)


def late_retries(**options: Any) -> PoolOptions:
    """Return options of a pool that does not try again while a test lasts."""
    return PoolOptions(backoff=Backoff(initial=10 * WAIT, jitter=0.0), **options)


# What the server received, and what came back.


def inputs(server: ResponsesServer) -> list[Any]:
    """Return the inputs of the requests that arrived, in order."""
    return [request["input"] for request in server.requests]


def input_counts(server: ResponsesServer) -> Counter[Any]:
    """Return how often each input arrived."""
    return Counter(map(str, inputs(server)))


def response_id(got: Recorder[Any]) -> str:
    """Return the id of the response that was received."""
    found = got.wait_for(1).values[0].response.id
    assert isinstance(found, str)
    return found


def states_of(client: ResponsesClient) -> Recorder[ClientState]:
    """Record the states of a client."""
    return Recorder(client.state)


def until_state(states: Recorder[ClientState], condition: Callable[[ClientState], bool]) -> ClientState:
    """Wait until a condition holds for the latest state, and return it."""
    states.wait(lambda: bool(states.values) and condition(states.values[-1]))
    return states.values[-1]


# Loops and threads.


@contextmanager
def no_thread_left() -> Iterator[None]:
    """Check that the background thread ends with its last user."""
    yield
    for thread in threading.enumerate():
        if thread.name == "rxresponses":
            thread.join(WAIT)
            assert not thread.is_alive()


async def resubscribe_on_every_error(source: Observable[Any]) -> None:
    """Subscribe again on every error, a hundred times; each error must come in a later turn of the loop."""
    tries: list[Exception] = []
    stubborn = Recorder(source.pipe(ops.do_action(on_error=tries.append), ops.retry()))
    assert len(tries) <= 1
    while len(tries) < 100:  # noqa: ASYNC110 - each turn is one try at most, which sets no event
        await asyncio.sleep(0)
    assert not stubborn.ended
    stubborn.subscription.dispose()


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine within `WAIT` seconds, and check that it leaves no task behind."""

    async def bounded() -> None:
        await asyncio.wait_for(main, WAIT)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left

    asyncio.run(bounded())
