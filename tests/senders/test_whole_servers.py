"""Sockets and clients against servers of many makes: whatever redundant events come, doubled, out of order or late.

The model of a server draws what it answers, and knows what a client must make of it.  No request may hang, no text may
be lost or come twice, and no event may reach the wrong request.

Each run takes the same cases, 2,000 with `--full`: the seeds from 0 on.  `--full --hypothesis-seed=N` takes those from
N on instead, and so looks for others: a server that says neither the lane nor the response of its events leaves a few
cases open.  The message of a failure names the seed of its case.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Coroutine, Iterator
from random import Random
from typing import Any

import pytest
import reactivex
from reactivex import Observable

from rxresponses import (
    ConnectionLostError,
    ConnectionOptions,
    ResponseFailedError,
    ResponsesClient,
    ResponsesWebSocket,
    ServerEvent,
)
from rxresponses import operators as rops
from rxresponses.batch.lines import task_of
from rxresponses.batch.run import Run
from tests.effort import FULL, examples, first_seed

from ..support.clients import ask, fast_retries
from ..support.events import HEARTBEAT_TYPES
from ..support.model_server import Case, ModelServer, model_server
from ..support.recorder import AsyncRecorder
from ..support.server_habits import CODE, LANES, Answer, coin, draw_answer, draw_habits

pytestmark = pytest.mark.hypothesis  # `-m hypothesis` chooses all tests with examples
IS_FULL = examples(FULL) == FULL
LESS = 1 if IS_FULL else 4  # in the default run: a case is slow beside the examples of other properties
WAIT = 10.0  # seconds after which a request hangs; nothing takes that long when all is well


class World:
    """An event loop with a server, for all cases."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._context = model_server()
        self.server: ModelServer = self.run(self._context.__aenter__())

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine to its end."""
        return self._loop.run_until_complete(main)

    def close(self) -> None:
        """End the server and the loop."""
        self.run(self._context.__aexit__(None, None, None))
        self._loop.close()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Return the event loop with the server."""
    world = World()
    yield world
    world.close()


def seeds(full: int) -> range:
    """Return the seeds of the cases of this run, of so many in a full run."""
    return range(first_seed(), first_seed() + examples(full) // LESS)


def draw_case(random: Random, *, with_lanes: bool) -> Case:
    """Draw a server, and its answers to several requests."""
    habits = draw_habits(random)
    answers = [draw_answer(random, habits, number) for number in range(random.randint(1, 5))]
    choice = LANES[: random.randint(1, len(LANES))]
    lanes = [random.choice(choice) for _ in answers] if with_lanes else []
    return Case(habits, answers, random.randrange(2**16), lanes)


@contextlib.contextmanager
def told(seed: int, case: Case) -> Iterator[None]:
    """Name the seed and the case in the message of a failure, and what the server received and sent."""
    try:
        yield
    except Exception as error:
        lines = [f"{error}", f"the case of seed {seed}, {case.habits}", *case.trace]
        raise AssertionError("\n".join(lines)) from error


def test_scenario_59_60_a_socket_and_servers_of_many_makes(world: World) -> None:
    for seed in seeds(1400):
        random = Random(seed)
        case = draw_case(random, with_lanes=True)
        knows_lanes = coin(random)
        if knows_lanes and case.habits.echoes:
            case.at_first = len(set(case.lanes))
        options = ConnectionOptions(
            lanes=case.habits.echoes if knows_lanes else None, ping_interval=None, close_timeout=0.1
        )
        with told(seed, case):
            world.run(check_socket(world, case, options))


async def check_socket(world: World, case: Case, options: ConnectionOptions) -> None:
    """Check what a socket makes of a case."""
    world.server.case = case
    async with ResponsesWebSocket(world.server.url, options=options) as socket:
        recorders = await ended(
            [socket.send_request(ask(str(number)), stream_id=lane) for number, lane in enumerate(case.lanes)]
        )
    check_all(recorders, case)


def test_scenario_59_60_a_client_and_servers_of_many_makes(world: World) -> None:
    for seed in seeds(600):
        case = draw_case(Random(seed), with_lanes=False)
        with told(seed, case):
            world.run(check_client(world, case))


async def check_client(world: World, case: Case) -> None:
    """Check what a client makes of a case."""
    world.server.case = case
    options = ConnectionOptions(ping_interval=None, close_timeout=0.1)
    pool = fast_retries(max_connections=2)
    async with ResponsesClient(world.server.url, options=options, pool=pool) as client:
        recorders = await ended([client.send_request(ask(str(number))) for number in range(len(case.answers))])
    check_all(recorders, case)


async def ended(sources: list[Observable[ServerEvent]]) -> list[AsyncRecorder[ServerEvent]]:
    """Subscribe to all sources, and return what they emitted once all have ended."""
    recorders = [AsyncRecorder(source) for source in sources]
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(asyncio.gather(*(recorder.until_end() for recorder in recorders)), WAIT)
    hanging = [number for number, recorder in enumerate(recorders) if not recorder.ended]
    assert not hanging, f"requests {hanging} hang"
    return recorders


def check_all(recorders: list[AsyncRecorder[ServerEvent]], case: Case) -> None:
    """Check what each request got."""
    for answer, got in zip(case.answers, recorders, strict=True):
        case.trace.append(f"request {answer.number}: {got.values}, {got.errors}")
        check(answer, got, case)


def check(answer: Answer, got: AsyncRecorder[ServerEvent], case: Case) -> None:
    """Check what a request got against the answer of the model."""
    raws = [event.raw if isinstance(event.raw, str) else (event.raw or b"").decode() for event in got.values]
    assert {int(found) for raw in raws for found in re.findall(r"q(\d+)\.", raw)} <= {answer.number}
    if got.errors:
        check_lost(answer, got, case)
        return
    assert answer.close is None
    assert got.values[-1].is_terminal
    assert not any(event.is_terminal for event in got.values[:-1])
    if answer.failed:
        check_failure(answer, got.values)
    else:
        check_result(answer, got.values)


def check_lost(answer: Answer, got: AsyncRecorder[ServerEvent], case: Case) -> None:
    """Check the error of a request whose connection was closed."""
    closes = [other.close for other in case.answers if other.close is not None]
    error = got.error
    assert type(error) is ConnectionLostError
    assert (error.close_code, error.close_reason) in closes
    begun = any(e.type.startswith("response.") and e.type not in HEARTBEAT_TYPES for e in got.values)
    if begun:
        assert error.delivery == "started"
    else:
        assert error.delivery == "unknown" or (error.delivery == "not_sent" and answer.number not in case.received)


def check_failure(answer: Answer, events: list[ServerEvent]) -> None:
    """Check the error of an answer that fails."""
    for operator in (rops.raise_on_failure(), rops.final_response(), rops.collect_text()):
        [error] = replay(events, operator).errors
        assert type(error) is ResponseFailedError
        assert error.code == CODE or CODE in str(error)
        assert error.delivery in (("started",) if answer.began else ("rejected", "started"))


def check_result(answer: Answer, events: list[ServerEvent]) -> None:
    """Check what all operators and a batch make of the events."""
    [response] = replay(events, rops.final_response()).values
    assert response.output_text == answer.text
    assert replay(events, rops.collect_text()).values == [answer.text]
    assert (replay(events, rops.accumulate_text()).values or [""])[-1] == answer.text
    assert replay(events, rops.accumulate_response()).values[-1].output_text == answer.text
    pieces = "".join(replay(events, rops.text_deltas()).values)
    assert sorted(pieces) == sorted(answer.text)
    if answer.in_order:
        assert pieces == answer.text
    calls = replay(events, rops.function_calls()).values
    assert sorted((call.call_id, call.arguments) for call in calls) == sorted(answer.calls)
    assert all(call.name == "f" for call in calls)
    tokens = [usage.total_tokens for usage in replay(events, rops.usage()).values]
    assert tokens == ([] if answer.tokens is None else [answer.tokens])
    [result] = Run(Replay(events), concurrency=1).results([task_of(1, b'"x"', "m")])
    assert result is not None
    assert result.error is None
    assert batch_text(result.response) == answer.text


def batch_text(response: Any) -> str:
    """Return the text of a response in the results of a batch."""
    messages = [item for item in response.get("output") or () if item["type"] == "message"]
    return "".join(part["text"] for item in messages for part in item["content"])


class Replay:
    """A sender that answers with known events."""

    def __init__(self, events: list[ServerEvent]) -> None:
        self._events = events

    def send_request(self, request: Any) -> Observable[ServerEvent]:
        """Return the events."""
        return reactivex.from_iterable(self._events)


def replay(events: list[ServerEvent], operator: Any) -> AsyncRecorder[Any]:
    """Return what an operator makes of the events."""
    return AsyncRecorder(reactivex.from_iterable(events).pipe(operator))
