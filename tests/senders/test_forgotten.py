"""Senders that are half made, because their constructor raised, and senders that the program has forgotten."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from rxresponses import (
    ConfigurationError,
    ConnectionOptions,
    FleetMember,
    InvalidRequestError,
    ResponsesClient,
    ResponsesFleet,
    ResponsesWebSocket,
)
from rxresponses.headers import Headers
from rxresponses.net.credentials import Credentials
from rxresponses.senders.source import Lane
from rxresponses.testing import Hold, ResponsesServer
from tests.effort import examples

from ..support.clients import ask, no_thread_left, run
from ..support.fleets import OneServerFleet
from ..support.internals import spin_until
from ..support.recorder import WAIT, AsyncRecorder, Recorder

KINDS = pytest.mark.parametrize(
    "kind", [ResponsesWebSocket, ResponsesClient, OneServerFleet], ids=["socket", "client", "fleet"]
)


@contextmanager
def forgetting(kind: type) -> Iterator[None]:
    """Check that a sender is reported as forgotten in this block."""
    with pytest.warns(ResourceWarning, match=f"{kind.__name__} ws.* was forgotten: call `close"):
        yield


@pytest.mark.parametrize(
    "half_made",
    [ResponsesWebSocket, ResponsesClient, ResponsesFleet, FleetMember, Lane, Credentials, Headers, ResponsesServer],
)
def test_scenario_78_the_repr_of_a_half_made_object(half_made: type) -> None:
    assert half_made.__name__ in repr(object.__new__(half_made)) or half_made is Headers


@pytest.mark.parametrize("half_made", [ResponsesWebSocket, ResponsesClient, ResponsesFleet, ResponsesServer])
def test_scenario_78_a_half_made_object_may_be_closed(half_made: Any) -> None:
    half_made.__new__(half_made).close()


@KINDS
@pytest.mark.parametrize(
    "options",
    [
        {"url": "ftp://host"},
        {"api_key": ""},
        {"api_key": 5},
        {"url": "ws://host", "api_key": "sk-key"},
        {"url": "ws://host", "options": ConnectionOptions(headers={"Authorization": "Bearer key"})},
        {},
    ],
)
def test_scenario_78_a_constructor_that_raises(kind: type, options: dict[str, Any]) -> None:
    """A debugger or an error report shows the object, and the garbage collector gets it."""
    made: list[Any] = []

    class Seen(kind):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            made.append(self)
            super().__init__(*args, **kwargs)

    with pytest.raises(ConfigurationError):
        Seen(**options)
    assert "Seen" in repr(made[0])
    with made[0]:  # a subclass may clean up in `finally`, or in its `__del__`
        made[0].close()
    run(_left(made[0]))
    made.clear()
    gc.collect()


def test_scenario_78_a_lane_that_is_refused() -> None:
    socket = ResponsesWebSocket("ws://127.0.0.1:9")
    with pytest.raises(InvalidRequestError) as caught:
        socket.lane("no such name")
    frames = caught.traceback
    shown = [repr(frame.frame.f_locals["self"]) for frame in frames if "self" in frame.frame.f_locals]
    assert shown[-1] == "Lane('')"


def use(kind: type, url: str) -> None:
    assert Recorder(kind(url).send_request(ask())).wait().completions == 1


def in_a_cycle(kind: type, url: str) -> None:
    sender = kind(url)
    sender.cycle = sender
    assert Recorder(sender.send_request(ask())).wait().completions == 1


@KINDS
@pytest.mark.parametrize("forget", [use, in_a_cycle])
def test_scenario_78_forgotten_senders_are_closed(
    server: ResponsesServer, kind: type, forget: Callable[[type, str], None]
) -> None:
    count = examples(250)
    with no_thread_left(), forgetting(kind):
        for _ in range(count):
            forget(kind, server.url)
        gc.collect()
        server.wait_until(lambda: server.connections == 0)
    assert server.accepted == count


@KINDS
def test_scenario_78_forgotten_on_a_loop_of_the_program(server: ResponsesServer, kind: type) -> None:
    async def main() -> None:
        before = asyncio.all_tasks()  # before Python 3.12, the time limit of `run` is a task too

        async def forget() -> None:
            await kind(server.url).send_request(ask())

        with forgetting(kind):
            await forget()
            gc.collect()
            await server.until(lambda: server.connections == 0)
        await spin_until(lambda: asyncio.all_tasks() <= before)

    run(main())


@KINDS
def test_scenario_78_a_stream_keeps_its_sender(server: ResponsesServer, kind: type) -> None:
    """An observer that still gets something is a reference; a request that was disposed is none."""
    gate = server.gate()
    server.on("hold", ["text", Hold(gate)])
    with no_thread_left(), forgetting(kind):
        streams = [Recorder(kind(server.url).send_request(ask("hold"))).wait_for(2) for _ in range(2)]
        gc.collect()
        streams.pop().subscription.dispose()
        gc.collect()
        server.wait_until(lambda: server.connections == 1)
        gate.open()
        assert streams[0].wait().completions == 1
        streams.clear()
        gc.collect()
        server.wait_until(lambda: server.connections == 0)


@KINDS
def test_scenario_78_an_observable_or_a_lane_keeps_its_sender(server: ResponsesServer, kind: type) -> None:
    with no_thread_left(), forgetting(kind):
        source, lane = kind(server.url).send_request(ask()), kind(server.url).lane("a")
        gc.collect()
        for _ in range(2):
            assert Recorder(source).wait().completions == 1
            assert Recorder(lane.send_request(ask())).wait().completions == 1
        assert server.accepted == 2
        del source, lane
        gc.collect()
        server.wait_until(lambda: server.connections == 0)


@KINDS
def test_scenario_78_observers_of_the_state_of_a_forgotten_sender(server: ResponsesServer, kind: type) -> None:
    with no_thread_left(), forgetting(kind):
        sender = kind(server.url)
        states, events = Recorder(sender.state), Recorder(sender.events)
        state = sender.state
        Recorder(sender.send_request(ask())).wait()
        del sender
        gc.collect()
        assert states.wait().completions == events.wait().completions == 1
        assert Recorder(state).wait().values == states.values[-1:]


@KINDS
def test_scenario_78_nothing_is_said_of_a_sender_that_is_closed_or_was_not_used(
    server: ResponsesServer, kind: type
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kind(server.url)
        with no_thread_left(), kind(server.url) as sender:
            Recorder(sender.send_request(ask())).wait()
        del sender
        asyncio.run(asyncio.wait_for(_closed(kind(server.url)), WAIT))
        sender = kind(server.url)
        asyncio.run(asyncio.wait_for(_used(sender), WAIT))  # the end of its loop has closed it
        del sender
        gc.collect()


async def _closed(sender: Any) -> None:
    async with sender:
        await sender.send_request(ask())


async def _left(sender: Any) -> None:
    async with sender:
        pass


async def _used(sender: Any) -> None:
    await AsyncRecorder(sender.send_request(ask())).until_end()


MADE: dict[type, str] = {
    ResponsesWebSocket: "ResponsesWebSocket(sys.argv[1])",
    ResponsesClient: "ResponsesClient(sys.argv[1])",
    OneServerFleet: "ResponsesFleet([sys.argv[1]])",
}
AT_EXIT = """
import sys, threading, rxresponses
sender = rxresponses.{made}
done = threading.Event()
sender.send_request({{"model": "m", "input": "hi"}}).subscribe(on_completed=done.set)
done.wait()
"""


@KINDS
def test_scenario_78_a_program_may_end_without_close(server: ResponsesServer, kind: type) -> None:
    command = [sys.executable, "-W", "error", "-c", AT_EXIT.format(made=MADE[kind]), server.url]
    got = subprocess.run(command, capture_output=True, text=True, timeout=WAIT * 3)
    assert (got.returncode, got.stderr) == (0, "")
