"""Sockets and clients that many threads use at once, on the background loop and on a loop of the program."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any, TypeAlias

import pytest
from reactivex import operators as ops
from reactivex.scheduler import TimeoutScheduler

from rxresponses import ResponsesClient, ResponsesWebSocket, SocketClosedError
from rxresponses.testing import Hold, ResponsesServer
from tests.effort import examples

from ..support.clients import WITH_LANES, ask, fast_retries, input_counts, no_thread_left, response_id
from ..support.recorder import WAIT, Recorder
from ..support.threads import loop_on_a_thread, on_each_thread

Sender: TypeAlias = "ResponsesWebSocket | ResponsesClient"
SOCKETS = ["socket-background", "socket-running"]
CLIENTS = ["client-background", "client-running"]


@pytest.fixture(params=SOCKETS + CLIENTS)
def sender(request: pytest.FixtureRequest, server: ResponsesServer) -> Iterator[Sender]:
    """A socket or a client, on the background loop or on a loop that runs in another thread."""
    kind, home = request.param.split("-")
    sender: Sender
    if kind == "socket":
        sender = ResponsesWebSocket(server.url, options=WITH_LANES)
    else:
        sender = ResponsesClient(server.url, options=WITH_LANES, pool=fast_retries(max_connections=3))
    if home == "background":
        with no_thread_left(), sender:
            yield sender
        return

    async def use() -> None:
        await sender.send_request(ask("first"))

    with loop_on_a_thread() as loop:
        asyncio.run_coroutine_threadsafe(use(), loop).result(WAIT)
        yield sender
        sender.close()
        asyncio.run_coroutine_threadsafe(sender.wait_closed(), loop).result(WAIT)


def test_scenario_40_subscribe_and_dispose(sender: Sender) -> None:
    threads = set()

    def work(number: int) -> None:
        lane = sender.lane(f"lane-{number}")
        for turn in range(examples(40)):
            dropped = Recorder(lane.send_request(ask("dropped")))
            if turn % 2:
                dropped.wait_for(1)
            dropped.subscription.dispose()
            dropped.subscription.dispose()
            got = Recorder(lane.send_request(ask("kept"))).wait()
            assert got.completions == 1
            threads.update(got.threads)

    on_each_thread(work)
    assert len(threads) == 1  # one thread delivers all events of a sender


@pytest.mark.parametrize("sender", SOCKETS, indirect=True)
def test_scenario_40_one_lane_from_many_threads(server: ResponsesServer, sender: Sender) -> None:
    def work(number: int) -> None:
        server.on(f"^question {number}$", f"answer {number}")
        for _ in range(5):
            assert Recorder(sender.send_request(ask(f"question {number}"))).wait().text == f"answer {number}"

    on_each_thread(work)


@pytest.mark.parametrize("sender", CLIENTS, indirect=True)
def test_scenario_40_each_thread_gets_its_own_events(server: ResponsesServer, sender: Sender) -> None:
    server.on("question", lambda request: request.text)

    def work(number: int) -> None:
        got = [Recorder(sender.send_request(ask(f"question {number} {turn}"))) for turn in range(examples(100))]
        for turn, one in enumerate(got):
            assert one.wait().text == f"question {number} {turn}"

    on_each_thread(work)
    assert set(input_counts(server).values()) == {1}
    assert server.accepted <= 3


def test_scenario_40_close_from_many_threads(server: ResponsesServer, sender: Sender) -> None:
    """Clients are drained as well."""
    server.on("hold", ["text", Hold()])
    held = Recorder(sender.send_request(ask("hold"))).wait_for(2)

    def work(number: int) -> None:
        got = Recorder(sender.send_request(ask("hello"), stream_id=f"lane-{number}"))
        if number % 2 or isinstance(sender, ResponsesWebSocket):
            sender.close()
        else:
            assert sender.drain(0).run() is False
        got.wait()
        assert got.completions or isinstance(got.error, SocketClosedError)
        assert isinstance(Recorder(sender.send_request(ask())).wait().error, SocketClosedError)

    on_each_thread(work)
    assert isinstance(held.wait().error, SocketClosedError)
    server.wait_until(lambda: server.connections == 0)


def test_scenario_40_hot_sources_are_subscribed_and_disposed(sender: Sender) -> None:
    def work(number: int) -> None:
        for _ in range(examples(60)):
            watchers = [Recorder(sender.events), Recorder(sender.unrouted)]
            state: Recorder[Any] = Recorder(sender.state).wait_for(1)
            if isinstance(sender, ResponsesClient):
                sender.prewarm(number % 3, model="m")
            Recorder(sender.send_request(ask(), stream_id=f"lane-{number}")).wait()
            for subscription in (state.subscription, *(watcher.subscription for watcher in watchers)):
                subscription.dispose()

    on_each_thread(work)


def test_scenario_40_the_timeout_operator_of_rxpy(server: ResponsesServer, sender: Sender) -> None:
    """The operator disposes, and subscribes to its other source, on a thread of its own."""
    server.on("hold", ["text", Hold()])
    timers = TimeoutScheduler.singleton()

    def work(number: int) -> None:
        # A lane for each request: the response that is disposed goes on, and keeps its lane.
        stuck = sender.send_request(ask("hold"), stream_id=f"stuck-{number}")
        other = sender.send_request(ask("other"), stream_id=f"other-{number}")
        got = Recorder(stuck.pipe(ops.timeout(0.1, other, timers))).wait()
        assert got.completions == 1
        assert got.types[-1] == "response.completed"

    on_each_thread(work)


@pytest.mark.parametrize("sender", SOCKETS, indirect=True)
def test_scenario_40_dispose_while_events_come(server: ResponsesServer, sender: Sender) -> None:
    server.on("long", "word " * 300)

    def work(number: int) -> None:
        got = Recorder(sender.send_request(ask("long"), stream_id=f"lane-{number}")).wait_for(number + 1)
        got.subscription.dispose()
        assert Recorder(sender.send_request(ask("short"), stream_id=f"lane-{number}")).wait().completions == 1
        assert not got.ended or got.completions

    on_each_thread(work)


@pytest.mark.parametrize("sender", CLIENTS, indirect=True)
def test_scenario_40_steer(server: ResponsesServer, sender: Sender) -> None:
    gate = server.gate()
    server.on("hold", ["text", "more", Hold(gate, after=5)])

    def work(number: int) -> None:
        running = Recorder(sender.send_request(ask("hold"))).wait_for(5)
        steer = Recorder(sender.steer(response_id(running), f"steer {number}")).wait_for(1)
        gate.open()
        assert steer.wait().completions == 1
        assert running.wait().completions == 1

    on_each_thread(work)


def test_scenario_40_no_lock_is_held_while_an_observer_runs(server: ResponsesServer, sender: Sender) -> None:
    """An observer may therefore wait for a thread that uses the sender."""
    used = threading.Event()

    def use(event: Any) -> None:
        def close() -> None:
            Recorder(sender.send_request(ask())).subscription.dispose()
            state: Recorder[Any] = Recorder(sender.state)
            state.subscription.dispose()
            sender.close()
            used.set()

        if not used.is_set():
            threading.Thread(target=close).start()
            assert used.wait(WAIT)

    got = Recorder(sender.send_request(ask()), use).wait()
    assert used.is_set()
    assert got.completions or isinstance(got.error, SocketClosedError)


def test_scenario_40_a_client_that_closes_while_connections_are_cut(server: ResponsesServer) -> None:
    turns = examples(600)
    server.on("", lambda request: request.text)
    over = threading.Event()
    pool = fast_retries(max_connections=2)
    with no_thread_left(), ResponsesClient(server.url, options=WITH_LANES, pool=pool) as client:

        def work(number: int) -> None:
            for turn in range(turns):
                lane = f"{number}" if turn % 2 else None
                got = Recorder(client.send_request(ask(f"{number}.{turn}"), stream_id=lane))
                if turn % 5 == 0:
                    got.subscription.dispose()
                else:
                    got.wait()
                    assert got.errors or got.text == f"{number}.{turn}"
                if number == 0 and turn % 10 == 0:
                    server.drop()
                if number == 1 and turn == turns // 2:
                    client.close()
                    over.set()
                if over.is_set():
                    return

        on_each_thread(work)
    server.wait_until(lambda: server.connections == 0)
    assert max(input_counts(server).values()) == 1
