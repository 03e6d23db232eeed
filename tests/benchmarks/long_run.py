"""A run of 50 turns and 200 calls: the model that asks for them, the tools, and a program that may be killed anywhere.

    python -m tests.benchmarks.long_run URL LEDGER LOG STORE

begins the run, or goes on with it, and prints a line for each event.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from reactivex import operators as ops

from rxresponses import ResponsesWebSocket, ServerEvent, ToolLedger, function_result, open_ledger, run_tools, tool
from rxresponses.testing import Close, FunctionCall, Interleaved, Reasoning, Request, ResponsesServer
from rxresponses.wire.requests.sent import plain_json

TURNS, CALLS = 50, 4
STEPS = list(range(TURNS * CALLS))
TOOLS = ("quick", "slow", "alone", "blocking")  # the tool of a step goes by the place of the step in its turn
SECONDS = 0.003  # that the slow tools take
ASK: dict[str, Any] = {"model": "m", "input": "Do all steps."}

CODES = (1006, 1001, 1011, 1012, 1000)
DURING_CALLS, BEFORE_REQUEST = "during the calls", "before the next request is written"
PLACES = (
    *("before created", "after created", "inside the arguments", "between two calls", "before the terminal event"),
    *(DURING_CALLS, BEFORE_REQUEST),
)


class LongModel:
    """Asks for the steps of the first turn of which it does not know all steps; only the conversation decides.

    As of a real model, each call has an id of its own: what it asks for twice is done twice.  With `is_disturbed`, each
    third request loses its connection, each time at another place.
    """

    def __init__(self, server: ResponsesServer, places: Sequence[str] = PLACES) -> None:
        self.is_disturbed = False
        self.lost_at: dict[int, str] = {}
        """The steps whose tool is to lose the connection, and when."""
        self.losses: list[str] = []
        """The places at which connections were lost."""
        self._requests = itertools.count(1)
        self._ids = itertools.count()
        self._codes = itertools.cycle(CODES)
        self._places = itertools.cycle(places)
        server.on("", self.reply)

    def reply(self, request: Request) -> Any:
        known = {number_of(item) for item in request.items if item["type"] == "function_call"}
        if len(known) == len(STEPS):
            outputs = [item["output"] for item in request.items if item["type"] == "function_call_output"]
            return f"Done: {len(outputs)} steps, the last of them {outputs[-1]!r}."
        turn = min(set(STEPS) - known) // CALLS
        numbers = [number for number in STEPS[turn * CALLS : (turn + 1) * CALLS] if number not in known]
        calls = [
            FunctionCall(TOOLS[number % CALLS], {"number": number}, call_id=f"call_{next(self._ids)}")
            for number in numbers
        ]
        if not self.is_disturbed or next(self._requests) % 3:
            return [Reasoning(), Interleaved(calls)]
        place = next(self._places)
        self.losses.append(place)
        if place in (DURING_CALLS, BEFORE_REQUEST):
            self.lost_at[numbers[-1]] = place
            return [Reasoning(), Interleaved(calls)]
        if place == "between two calls":
            return [Reasoning(), *calls[:2], Close(next(self._codes), after="here"), *calls[2:]]
        # Before the deltas come the begin of the response and its reasoning, four events, and that of each call.
        events = {"before created": 0, "after created": 1, "inside the arguments": 4 + len(calls) + 1}
        return [Reasoning(), Interleaved(calls), Close(next(self._codes), after=events.get(place, "here"))]


def number_of(call: dict[str, Any]) -> int:
    return int(json.loads(call["arguments"])["number"])


def tools_of(step: Callable[[int], str]) -> list[Any]:
    """Return the tools that do a step: at once, slowly on the loop, alone, and slowly on a thread."""

    def quick(number: int) -> str:
        """Do a step."""
        return step(number)

    async def slow(number: int) -> str:
        """Do a step."""
        done = step(number)
        await asyncio.sleep(SECONDS)
        return done

    def blocking(number: int) -> str:
        """Do a step."""
        done = step(number)
        time.sleep(SECONDS)
        return done

    return [quick, slow, tool(quick, name="alone", exclusive=True), blocking]


def state_of(ledger: ToolLedger) -> dict[str, Any]:
    """Return what a run has come to: its conversation, and its calls with their outputs; without ids and reasoning."""
    items: list[Any] = plain_json(ledger.chain.items)
    outputs = {item["call_id"]: item["output"] for item in items if item["type"] == "function_call_output"}
    conversation: list[Any] = []
    for item in items:
        if item["type"] == "function_call":
            conversation.append((item["name"], number_of(item), outputs[item["call_id"]]))
        elif item["type"] == "message":
            content = item["content"]
            conversation.append((item["role"], content if isinstance(content, str) else content[0]["text"]))
    calls = [
        (record.name, json.loads(record.text)["number"], (record.output or {})["output"]) for record in ledger.calls
    ]
    assert len({record.call_id for record in ledger.calls}) == len(calls)
    return {"conversation": conversation, "calls": sorted(calls), "ending": (ledger.ending or {})["type"]}


def main(url: str, path: str, log: str, store: str) -> None:
    """Begin the run, or go on with it.  What became of a call that was interrupted, the log of its effects tells."""

    def step(number: int) -> str:
        with open(log, "a", encoding="ascii") as file:
            file.write(f"{number}\n")
            file.flush()
            os.fsync(file.fileno())
        print("effect", flush=True)
        return f"did {number}"

    ledger = open_ledger(path)
    made = effects(Path(log))
    for record in ledger.unknown:
        number = json.loads(record.text)["number"]
        if number in made:
            ledger.resolve(record.call_id, function_result(record.call_id, f"did {number}"))
        else:
            ledger.forget(record.call_id)
    with ResponsesWebSocket(url) as socket:
        run = run_tools(socket, ASK | {"store": store == "True"}, tools_of(step), ledger=ledger, max_turns=TURNS + 1)
        run.pipe(ops.do_action(show), ops.retry(99)).run()


def show(event: ServerEvent) -> None:
    print(event.type, flush=True)


def effects(log: Path) -> list[int]:
    """Return the steps in a log, in the order in which they were done."""
    return [int(line) for line in log.read_text("ascii").split()] if log.exists() else []


if __name__ == "__main__":
    main(*sys.argv[1:])
