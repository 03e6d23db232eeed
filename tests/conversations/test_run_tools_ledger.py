"""`run_tools` with faults: a ledger, given back, goes on where the run stood, and no call is made twice."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reactivex import operators as ops

from rxresponses import (
    ConfigurationError,
    ConnectionLostError,
    ConnectionState,
    HistorySentEvent,
    InvalidRequestError,
    ResponseCompletedEvent,
    ResponseCreatedEvent,
    ResponseFailedError,
    ResponsesWebSocket,
    ResponseUsage,
    ServerEvent,
    ToolCallFailedEvent,
    ToolCallOutputEvent,
    ToolLedger,
    ToolRunError,
    open_ledger,
    run_tools,
    tool,
    user_message,
)
from rxresponses import operators as rops
from rxresponses.testing import Close, Failure, Fault, FunctionCall, Hold, Request, ResponsesServer

from ..support.clients import no_thread_left
from ..support.events import created, item_done
from ..support.recorder import AsyncRecorder, Recorder
from .hand_sender import HandSender, add_call

ASK: dict[str, Any] = {"model": "m", "input": "hi"}


class Counted:
    """A function that notes its calls."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def step(self, number: int) -> str:
        """Do a step."""
        self.calls.append(number)
        return f"did {number}"


_runs: list[Recorder[ServerEvent]] = []


@pytest.fixture(autouse=True)
def _no_run_goes_on() -> Iterator[None]:
    """Dispose the runs of a test: one that goes on keeps the background thread, which other tests want to see end."""
    yield
    while _runs:
        _runs.pop().subscription.dispose()


def run(sender: Any, function: Any, **options: Any) -> Recorder[ServerEvent]:
    _runs.append(Recorder(run_tools(sender, ASK, [function], **options)))
    return _runs[-1]


def step_call(number: int) -> Any:
    return add_call(number, name="step", arguments=f'{{"number": {number}}}')


def number_of(item: dict[str, Any]) -> int:
    return int(json.loads(item["arguments"])["number"])


def steps(server: ResponsesServer, turns: int, calls: int) -> list[list[Any]]:
    """Let the model call `step` in each of several turns: for the steps of the turn that it does not know of.

    As of a real model, each call has an id of its own.  Return the steps and outputs that the model knows of when it is
    done, once for each time.
    """
    ends: list[list[Any]] = []
    ids = itertools.count()

    def reply(request: Request) -> Any:
        asked = {item["call_id"]: number_of(item) for item in request.items if item["type"] == "function_call"}
        known = len(set(asked.values()))
        if known == turns * calls:
            outputs = [item for item in request.items if item["type"] == "function_call_output"]
            ends.append(sorted((asked[item["call_id"]], item["output"]) for item in outputs))
            return "Done."
        last = known // calls * calls + calls
        missing = [number for number in range(last) if number not in asked.values()]
        return [FunctionCall("step", {"number": number}, call_id=f"call_{next(ids)}") for number in missing]

    server.on("", reply)
    return ends


class TestResuming:
    def test_scenario_36_a_lost_connection_lists_what_was_done(self) -> None:
        sender, counted = HandSender(), Counted()
        got = run(sender, counted.step)
        sender.emit(created("resp_1"), item_done(step_call(1)))
        lost = ConnectionLostError("lost", delivery="started")
        sender.fail(lost)
        assert isinstance(got.error, ToolRunError)
        assert got.error.__cause__ is lost
        assert [(record.call_id, record.is_finished) for record in got.error.calls] == [("call_1", True)]

    def test_before_any_call_an_error_passes_as_it_is(self) -> None:
        sender = HandSender()
        got = run(sender, Counted().step)
        lost = ConnectionLostError("lost", delivery="started")
        sender.fail(lost)
        assert got.error is lost

    def test_a_call_that_comes_again_is_answered_from_the_ledger(self) -> None:
        sender, counted, ledger = HandSender(), Counted(), ToolLedger()
        run(sender, counted.step, ledger=ledger)
        sender.emit(created("resp_1"), item_done(step_call(1)))
        sender.fail(ConnectionLostError("lost", delivery="started"))
        got = run(sender, counted.step, ledger=ledger)
        sender.wait_for(2)
        sender.call(step_call(1))
        assert sender.input == [{"type": "function_call_output", "call_id": "call_1", "output": "did 1"}]
        assert counted.calls == [1]
        outputs = [event for event in got.values if isinstance(event, ToolCallOutputEvent)]
        assert [output.seconds for output in outputs] == [0, 0]  # for the request, and when the call came again
        sender.say()

    @pytest.mark.parametrize("idempotent", [True, False])
    def test_a_call_whose_fate_is_unknown(self, *, idempotent: bool) -> None:
        sender, counted = HandSender(), Counted()
        saved: list[str] = []
        run(sender, counted.step, ledger=ToolLedger(save=lambda ledger: saved.append(ledger.to_json())))
        sender.call(step_call(1), step_call(2))
        after_attempt = next(text for text in saved if ToolLedger.from_json(text).unknown)
        crashed = ToolLedger.from_json(after_attempt)  # the program ended inside the first call
        again = HandSender()
        got = run(again, tool(counted.step, idempotent=idempotent), ledger=crashed)
        again.wait_for(1)
        carried = again.input
        again.call(step_call(2))
        assert counted.calls == [1, 2, *([1, 2] if idempotent else [2])]
        if not idempotent:
            assert "unknown whether the call took effect" in carried[-1]["output"]
            [failed] = [event for event in got.values if isinstance(event, ToolCallFailedEvent)]
            assert failed.error.reason == "unknown"
        assert again.input[0]["output"] == "did 2"
        again.say()

    def test_the_program_may_decide_what_became_of_it(self) -> None:
        counted = Counted()
        ledger = ToolLedger()
        sender = HandSender()
        run(sender, counted.step, ledger=ledger, max_turns=1)
        sender.call(step_call(1), step_call(2))
        for number, call in enumerate(ledger.unanswered, 1):
            ledger.attempt(1, call)
            if number == 1:
                ledger.resolve("call_1", {"type": "function_call_output", "call_id": "call_1", "output": "by hand"})
            else:
                ledger.forget("call_2")
        run(sender, counted.step, ledger=ledger)
        sender.wait_for(2)
        assert [item["output"] for item in sender.input] == ["by hand", "did 2"]
        assert counted.calls == [2]
        sender.say()

    def test_it_keeps_no_thread_when_the_sender_has_the_next_request(self) -> None:
        sender, counted, ledger = HandSender(), Counted(), ToolLedger()
        run(sender, counted.step, ledger=ledger, max_turns=1)
        sender.call(step_call(1))
        with no_thread_left():
            run(sender, counted.step, ledger=ledger)
            sender.wait_for(2)

    def test_a_run_that_has_ended_ends_again(self) -> None:
        sender, ledger = HandSender(), ToolLedger()
        run(sender, Counted().step, ledger=ledger)
        sender.say("Done.")
        again = ToolLedger.from_json(ledger.to_json())
        got = run(sender, Counted().step, ledger=again)
        assert len(sender.requests) == 1
        [event] = got.values
        assert isinstance(event, ResponseCompletedEvent)
        assert event.response.output_text == "Done."
        assert got.completions == 1
        assert Recorder(run_tools(sender, ASK, [], ledger=again).pipe(ops.take(0))).completions == 1

    def test_a_ledger_serves_one_run_at_a_time_and_no_other_request(self) -> None:
        sender, ledger = HandSender(), ToolLedger()
        source = run_tools(sender, ASK, [], ledger=ledger)
        first, second = Recorder(source), Recorder(source)
        assert isinstance(second.error, ConfigurationError)
        first.subscription.dispose()
        other = Recorder(run_tools(sender, {**ASK, "input": "ho"}, [], ledger=ledger))
        assert "another input" in str(other.error)

    def test_a_ledger_that_cannot_be_saved_stops_the_run_before_the_call(self) -> None:
        def save(ledger: ToolLedger) -> None:
            raise OSError("no space left")

        sender, counted = HandSender(), Counted()
        got = run(sender, counted.step, ledger=ToolLedger(save=save))
        sender.emit(created("resp_1"), item_done(step_call(1)))
        assert counted.calls == []
        assert isinstance(got.error, OSError)  # no call was made, so there is none to list

    def test_an_output_that_cannot_be_saved(self) -> None:
        def save(ledger: ToolLedger) -> None:
            if not ledger.unknown:
                raise OSError("no space left")

        sender, counted = HandSender(), Counted()
        got = run(sender, counted.step, ledger=ToolLedger(save=save))
        sender.emit(created("resp_1"), item_done(step_call(1)))
        assert counted.calls == [1]
        assert isinstance(got.error.__cause__, OSError)

    def test_disposing_before_it_goes_on(self) -> None:
        async def main() -> None:
            got = run(sender, counted.step, ledger=ledger)
            got.subscription.dispose()
            assert not ledger.in_use
            again = AsyncRecorder(run_tools(sender, ASK, [counted.step], ledger=ledger))
            await again.until(lambda: "rxresponses.turn_started" in again.types)
            assert not got.values

        sender, counted, ledger = HandSender(), Counted(), ToolLedger()
        run(sender, counted.step, ledger=ledger, max_turns=1)
        sender.call(step_call(1))
        asyncio.run(asyncio.wait_for(main(), 10))
        assert counted.calls == [1]

    def test_an_observer_that_raises_when_it_goes_on(self) -> None:
        def fail(event: ServerEvent) -> None:
            raise ValueError("not mine")

        sender, counted, ledger = HandSender(), Counted(), ToolLedger()
        run(sender, counted.step, ledger=ledger, max_turns=1)
        sender.call(step_call(1))
        got = Recorder(run_tools(sender, ASK, [counted.step], ledger=ledger), fail).wait()
        assert "not mine" in str(got.error)

    def test_the_budget_of_a_run_that_goes_on(self) -> None:
        sender, counted, ledger = HandSender(), Counted(), ToolLedger()
        run(sender, counted.step, ledger=ledger, max_tokens=5)
        sender.end(created("resp_1"))  # no terminal event: nothing to remember
        assert ledger.turn == 0
        run(sender, counted.step, ledger=ledger, max_tokens=5)
        sender.call(step_call(1), usage=ResponseUsage(total_tokens=10))
        got = run(sender, counted.step, ledger=ledger, max_tokens=5).wait()
        assert got.types == ["rxresponses.budget_reached"]
        run(sender, counted.step, ledger=ledger, max_tokens=50)
        sender.wait_for(3)
        assert sender.input[0]["call_id"] == "call_1"
        sender.say()


class TestScenarios:
    def test_scenario_35_calls_that_nobody_answered(self) -> None:
        """A run answers all calls of a response in one request; what a budget left open must be answered first."""
        sender, ledger = HandSender(), ToolLedger()
        run(sender, Counted().step, ledger=ledger, max_tokens=15)
        sender.call(step_call(1), step_call(2), usage=ResponseUsage(total_tokens=10))
        assert [item["call_id"] for item in sender.input] == ["call_1", "call_2"]
        sender.call(step_call(3), usage=ResponseUsage(total_tokens=10))
        assert len(sender.requests) == 2
        with pytest.raises(InvalidRequestError, match="call_3"):
            ledger.chain.request({"model": "m"}, [user_message("And now?")])

    def test_scenario_37_accepted_and_pending_the_next_request_brings_the_input(self, server: ResponsesServer) -> None:
        gate = server.gate()
        server.reply([FunctionCall("step", {"number": 1}), Hold(gate, after="here")], "Done.")
        counted = Counted()
        with ResponsesWebSocket(server.url) as socket:
            got = run(socket, counted.step)
            got.wait(lambda: "rxresponses.tool_call_output" in got.types)
            created = next(event for event in got.values if isinstance(event, ResponseCreatedEvent))
            steer = Recorder(socket.steer(created.response.id, "Only the sum, please."))
            steer.wait_for(1)
            gate.open()
            assert got.wait().completions == 1
            assert steer.wait().types == ["response.steer.accepted", "response.steer.pending"]
        assert counted.calls == [1]
        assert [item["type"] for item in server.requests[1]["input"]] == ["function_call_output"]

    def test_scenario_37_accepted_the_successor_is_of_the_steer(self, server: ResponsesServer) -> None:
        gate = server.gate()
        server.reply(["Let me", Hold(gate, after="here"), "think"], "Quickly: 3.")
        with ResponsesWebSocket(server.url) as socket:
            got = run(socket, Counted().step)
            got.wait(lambda: "response.output_text.delta" in got.types)
            created = next(event for event in got.values if isinstance(event, ResponseCreatedEvent))
            steer = Recorder(socket.steer(created.response.id, "Be quick."))
            steer.wait_for(1)
            gate.open()
            assert got.wait().types[-1] == "response.incomplete"
            assert steer.wait().text == "Quickly: 3."

    def test_scenario_37_the_steer_fails(self, server: ResponsesServer) -> None:
        server.reply(FunctionCall("step", {"number": 1}), "Done.")
        counted = Counted()
        with ResponsesWebSocket(server.url) as socket:
            steer = Recorder(socket.steer("resp_of_nobody", "Be quick."))
            assert steer.wait().types == ["response.steer.failed"]
            assert run(socket, counted.step).wait().completions == 1
        assert counted.calls == [1]


class TestLostConnections:
    @pytest.mark.parametrize("store", [True, False])
    def test_scenario_32_a_run_whose_connection_is_lost_in_every_turn(
        self, server: ResponsesServer, *, store: bool
    ) -> None:
        """The state at the end is that of an undisturbed run, and each call is made once."""
        ends = steps(server, turns=5, calls=3)
        undisturbed, counted = Counted(), Counted()
        asked = {**ASK, "store": store}
        with ResponsesWebSocket(server.url) as socket:
            Recorder(run_tools(socket, asked, [undisturbed.step])).wait()
        server.fault(*(Fault(Close(1006, after=20), request=number) for number in range(7, 17, 2)))
        ledger = ToolLedger()
        with ResponsesWebSocket(server.url) as socket:
            source = run_tools(socket, asked, [counted.step], ledger=ledger)
            got = Recorder(source.pipe(ops.retry(20))).wait()
        assert got.completions == 1
        assert sorted(counted.calls) == sorted(undisturbed.calls) == list(range(15))
        assert not ledger.unknown
        assert len(ends[0]) == 5 * 3
        assert all(end == ends[0] for end in ends)
        assert "lost" in [exchange.outcome for exchange in server.exchanges]

    def test_scenario_31_a_parent_that_is_lost_between_two_turns(self, server: ResponsesServer) -> None:
        steps(server, turns=1, calls=1)
        made: list[int] = []

        def step(number: int) -> str:
            """Do a step, and lose the connection."""
            made.append(number)
            lost = threading.Event()
            states = socket.state.pipe(ops.filter(lambda state: state is ConnectionState.IDLE)).subscribe(
                lambda _: lost.set()
            )
            server.drop()
            assert lost.wait(10)
            states.dispose()
            return f"did {number}"

        with ResponsesWebSocket(server.url) as socket:
            got = Recorder(run_tools(socket, {**ASK, "store": False}, [step], eager=False)).wait()
        assert got.completions == 1
        assert made == [0]
        [sent] = [event for event in got.values if isinstance(event, HistorySentEvent)]
        assert sent.items == 3
        assert [item["type"] for item in server.requests[-1]["input"]] == [
            *("message", "function_call", "function_call_output")
        ]

    def test_scenario_33_a_turn_that_fails(self, server: ResponsesServer) -> None:
        server.reply(FunctionCall("step", {"number": 1}, call_id="call_1"), Failure(after=0), Failure(after=0), "Done.")
        counted, ledger = Counted(), ToolLedger()
        with ResponsesWebSocket(server.url) as socket:
            source = run_tools(socket, ASK, [counted.step], ledger=ledger)
            assert Recorder(source).wait().values[-1].type == "error"
            with pytest.raises(ResponseFailedError):
                source.pipe(rops.collect_text()).run()
            assert Recorder(source.pipe(rops.collect_text())).wait().values == ["Done."]
        assert counted.calls == [1]


PROGRAM = """
import os, sys
from rxresponses import ResponsesWebSocket, open_ledger, run_tools
from rxresponses import operators as rops
from reactivex import operators as ops

url, ledger, log, last = sys.argv[1:]

def step(number: int) -> str:
    '''Do a step.'''
    with open(log, "a") as file:
        file.write(f"{number}\\n")
    if str(number) == last:
        os._exit(9)
    return f"did {number}"

with ResponsesWebSocket(url) as socket:
    run = run_tools(socket, {"model": "m", "input": "hi"}, [step], ledger=open_ledger(ledger), max_concurrent=1)
    print(run.pipe(rops.collect_text(), ops.last()).run())
"""


def test_a_process_that_is_killed_goes_on_from_its_file(server: ResponsesServer, tmp_path: Path) -> None:
    steps(server, turns=3, calls=2)
    log, path = tmp_path / "log", tmp_path / "run.json"

    command = [sys.executable, "-c", PROGRAM, server.url, str(path), str(log), "3"]
    killed = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (killed.returncode, killed.stdout) == (9, ""), killed.stderr
    ledger, counted = open_ledger(path), Counted()
    [unknown] = ledger.unknown
    assert json.loads(unknown.text) == {"number": 3}
    with ResponsesWebSocket(server.url) as socket:
        assert run(socket, counted.step, ledger=ledger).wait().completions == 1
    assert (log.read_text().split(), counted.calls) == (["0", "1", "2", "3"], [4, 5])
    outputs = [item for request in server.requests for item in request["input"] if "output" in item]
    told = next(item["output"] for item in outputs if item["call_id"] == unknown.call_id)
    assert "unknown whether the call took effect" in told
    assert open_ledger(path).ending is not None
