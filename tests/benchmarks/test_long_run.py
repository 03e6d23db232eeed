"""A run of 50 turns and 200 calls ends in the same state when connections are lost, and when its process is killed."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from reactivex import operators as ops

from rxresponses import (
    ConnectionState,
    ResponsesClient,
    ResponsesWebSocket,
    ServerEvent,
    ToolCallStartedEvent,
    ToolLedger,
    ToolRunError,
    open_ledger,
    run_tools,
)
from rxresponses.testing import ResponsesServer

from ..support.clients import WITH_LANES, fast_retries, states_of, until_state
from ..support.recorder import Recorder
from .long_run import ASK, BEFORE_REQUEST, PLACES, STEPS, TURNS, LongModel, effects, state_of, tools_of

ROOT = Path(__file__).parents[2]


class LongRun:
    """The run over a server of its own, with what it has done."""

    def __init__(self, server: ResponsesServer, *, store: bool, disturbed: bool) -> None:
        self.made: list[int] = []
        self.started: Counter[str] = Counter()
        self.ledger = ToolLedger()
        self.seconds = 0.0
        self.model = LongModel(server)
        self.model.is_disturbed = disturbed
        self._server = server
        self._store = store
        self._sender: Any = None

    def over(self, sender: Any) -> None:
        """Go on over this sender, until the run ends."""
        self._sender = sender
        request = {**ASK, "store": self._store}
        run = run_tools(sender, request, tools_of(self._step), ledger=self.ledger, max_turns=TURNS + 1)
        start = time.perf_counter()
        run.pipe(ops.do_action(self._note)).run()
        self.seconds += time.perf_counter() - start

    def check(self) -> None:
        """Check that each step was done once, and that each call was started once."""
        assert sorted(self.made) == STEPS
        assert list(self.started.values()) == [1] * len(STEPS)

    def _note(self, event: ServerEvent) -> None:
        if isinstance(event, ToolCallStartedEvent):
            self.started[event.call_id] += 1

    def _step(self, number: int) -> str:
        self.made.append(number)
        place = self.model.lost_at.pop(number, None)
        if place is not None:
            self._server.wait_until(lambda: self._server.exchanges[-1].outcome is not None)
            self._lose(waits=place == BEFORE_REQUEST)
        return f"did {number}"

    def _lose(self, *, waits: bool) -> None:
        """Lose the connections, and if asked wait until the sender knows."""
        client = isinstance(self._sender, ResponsesClient)
        states: Recorder[Any] = states_of(self._sender) if client else Recorder(self._sender.state)
        self._server.drop()
        if waits and client:
            until_state(states, lambda state: state.open == 0)
        elif waits:
            states.wait(lambda: states.values[-1:] == [ConnectionState.IDLE])
        states.subscription.dispose()


def over_one_socket(run: LongRun, url: str) -> None:
    """Subscribe again to the same run over the same socket, which connects again by itself."""
    with ResponsesWebSocket(url) as socket:
        while run.ledger.ending is None:
            with contextlib.suppress(ToolRunError):
                run.over(socket)


def over_new_sockets(run: LongRun, url: str) -> None:
    """Make a new socket for each try."""
    while run.ledger.ending is None:
        with contextlib.suppress(ToolRunError), ResponsesWebSocket(url) as socket:
            run.over(socket)


def over_a_client(run: LongRun, url: str) -> None:
    with ResponsesClient(url, options=WITH_LANES, pool=fast_retries()) as client:
        while run.ledger.ending is None:
            with contextlib.suppress(ToolRunError):
                run.over(client)


@pytest.fixture(scope="module", params=[True, False], ids=["stored", "unstored"])
def undisturbed(request: pytest.FixtureRequest) -> tuple[bool, LongRun]:
    """A run without any fault, and whether its responses are stored."""
    with ResponsesServer() as server:
        run = LongRun(server, store=request.param, disturbed=False)
        over_one_socket(run, server.url)
        assert len(server.requests) == TURNS + 1
    run.check()
    assert run.ledger.turn == TURNS + 1
    return request.param, run


def name_of(store: bool) -> str:
    return f"{TURNS} turns, {len(STEPS)} calls, {'stored' if store else 'unstored'}"


@pytest.mark.parametrize("go_on", [over_one_socket, over_new_sockets, over_a_client])
def test_connections_lost_every_few_turns(
    undisturbed: tuple[bool, LongRun], go_on: Callable[[LongRun, str], None], figure: Callable[[str], None]
) -> None:
    store, expected = undisturbed
    with ResponsesServer() as server:
        run = LongRun(server, store=store, disturbed=True)
        start = time.perf_counter()
        go_on(run, server.url)
        seconds = time.perf_counter() - start
        requests = len(server.requests)
    run.check()
    assert state_of(run.ledger) == state_of(expected.ledger)
    losses = run.model.losses
    assert set(losses) == set(PLACES)
    figure(
        f"{name_of(store)}, {go_on.__name__}: {seconds:.2f} s with {len(losses)} connections lost at {len(PLACES)} "
        f"places and {requests} requests, {expected.seconds:.2f} s undisturbed; {len(run.made)} calls executed"
    )


def test_a_process_killed_at_any_point(
    undisturbed: tuple[bool, LongRun], tmp_path: Path, figure: Callable[[str], None]
) -> None:
    """Kills the process while it streams, calls, or saves; and connections are lost as well."""
    store, expected = undisturbed
    path, log = tmp_path / "run.json", tmp_path / "log"
    draw = random.Random(10)
    kills = unknown = 0
    start = time.perf_counter()
    with ResponsesServer() as server:
        LongModel(server, PLACES[:5]).is_disturbed = True
        command = [sys.executable, "-m", "tests.benchmarks.long_run", server.url, str(path), str(log), str(store)]
        ended = False
        while not ended:
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
            assert process.stdout is not None
            with process, process.stdout:
                for _ in zip(range(draw.randint(100, 1000)), process.stdout, strict=False):
                    pass  # until it has printed so many lines, or has ended
                process.kill()
            ended = process.returncode == 0
            assert ended or process.returncode == -9
            kills += not ended
            unknown += len(open_ledger(path).unknown) if path.exists() else 0
    ledger = open_ledger(path)
    assert sorted(effects(log)) == STEPS
    assert state_of(ledger) == state_of(expected.ledger)
    assert kills >= 3
    figure(
        f"{name_of(store)}: {time.perf_counter() - start:.2f} s with the process killed {kills} times, {unknown} calls "
        f"interrupted, and {sum(one.outcome == 'lost' for one in server.exchanges)} connections lost; "
        f"{len(effects(log))} calls executed"
    )
