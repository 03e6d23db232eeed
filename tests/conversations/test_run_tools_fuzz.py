"""Runs of tools with any calls, any order of events, and connections lost at any point: each call is made once."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rxresponses import (
    ConnectionLostError,
    ConversationEvent,
    ServerEvent,
    ToolCallOutputEvent,
    ToolCallStartedEvent,
    ToolLedger,
    run_tools,
    tool,
)
from rxresponses.wire.events import TERMINAL_TYPES
from rxresponses.wire.events.base import event_from
from rxresponses.wire.requests.sent import plain_json

from ..effort import examples
from ..support.events import completed, created, item_added, item_done, message, wire_event
from ..support.recorder import Recorder
from .hand_sender import HandSender, add_call

ASK: dict[str, Any] = {"model": "m", "input": "hi"}


@st.composite
def turn(draw: st.DrawFn, number: int) -> list[ServerEvent]:
    """Return the events of a response with calls, each sent in one of the ways in which servers send them."""
    calls = [add_call(10 * number + index, a=index, b=number) for index in range(draw(st.integers(1, 4)))]
    events: list[ServerEvent] = []
    steps = []
    for index, call in enumerate(calls):
        way = draw(st.sampled_from(["whole", "announced", "item", "end"]))
        kind = "response.function_call_arguments.done"
        done = wire_event(kind, output_index=index, item_id=call.id, arguments=call.arguments)
        begun = item_added(_begun(call), index)
        steps.append({"whole": [begun, done, item_done(call, index)], "announced": [begun, done]}.get(way, []))
        if way == "item":
            steps[-1] = [item_done(call, index)]
    while any(steps):  # events of one call keep their order
        chosen = draw(st.sampled_from([step for step in steps if step]))
        events.append(chosen.pop(0))
    return [created(f"resp_{number}"), *events, completed(*calls, id=f"resp_{number}")]


def _arguments(call: Any) -> dict[str, int]:
    return dict(json.loads(call.arguments))


def _begun(call: Any) -> Any:
    fields = {**vars(call), "arguments": "", "status": "in_progress"}
    return type(call)(**fields)


def _again(events: list[ServerEvent], known: Any, number: int) -> list[ServerEvent]:
    """Return a response to a request that tells of some of its calls: with the other calls, under other ids."""
    told = {item["arguments"] for item in known if isinstance(item, dict) and item.get("type") == "function_call"}
    last: Any = events[-1]
    left = [call for call in last.response.output if call.arguments not in told]
    if not left:  # the model thinks of another call
        index = len(last.response.output)
        left = [add_call(10 * number + index, a=100 + number, b=number)]
        events = [events[0], item_done(left[0], index), events[-1]]
    ids = {call.id for call in left}
    events = [
        events[0],
        *(event for event in events[1:-1] if (getattr(event, "item_id", None) or event.item.id) in ids),  # type: ignore[attr-defined]
        completed(*left, id=last.response.id),
    ]
    return [_renamed(event, number) for event in events]


def _renamed(event: ServerEvent, number: int) -> ServerEvent:
    """Return an event with other ids of calls."""
    text = re.sub(r'"call_(\d+)[^"]*"', rf'"call_\1_{number}"', json.dumps(plain_json(event)))
    return event_from(json.loads(text))


@st.composite
def runs(draw: st.DrawFn) -> list[tuple[list[ServerEvent], list[int]]]:
    """Return the turns of a run, and after how many events each try of the turn but the last loses its connection."""
    turns = [draw(turn(number)) for number in range(1, draw(st.integers(1, 3)) + 1)]
    return [(events, draw(st.lists(st.integers(0, len(events) - 1), max_size=2))) for events in turns]


@settings(max_examples=examples(200), deadline=None)
@given(runs(), st.booleans(), st.booleans(), st.booleans(), st.integers(1, 3))
def test_each_call_is_made_once_and_answered_in_order(
    run: list[tuple[list[ServerEvent], list[int]]], saves: bool, renames: bool, eager: bool, limit: int
) -> None:
    made: list[tuple[int, int]] = []

    @tool
    def add(a: int, b: int) -> int:
        """Add."""
        made.append((b, a))
        return a + b

    sender = HandSender()
    ledger = ToolLedger()

    def subscribe() -> Recorder[ServerEvent]:
        source = run_tools(sender, ASK, [add], ledger=ledger, eager=eager, max_concurrent=limit)
        return Recorder(source)

    got = subscribe()
    seen = 1
    for number, (events, losses) in enumerate(run, 1):
        for loss in losses:
            sender.emit(*events[: min(loss, len(events) - 1)])
            sender.fail(ConnectionLostError("lost", delivery="started"))
            assert got.errors
            if saves:  # a crash: only what was saved is left
                ledger = ToolLedger.from_json(ledger.to_json())
            got = subscribe()
            seen += 1
            sender.wait_for(seen)
            if renames:  # the server makes another response, with other ids
                events = _again(events, sender.input, seen)
        sender.end(*events)
        seen += 1
        sender.wait_for(seen)
        calls = events[-1].response.output  # type: ignore[attr-defined]
        assert [item["call_id"] for item in sender.input[-len(calls) :]] == [call.call_id for call in calls]
        assert [item["output"] for item in sender.input[-len(calls) :]] == [
            str(sum(json.loads(call.arguments).values())) for call in calls
        ]
        assert sender.requests[-1].get("previous_response_id") == f"resp_{number}"
        assert not ledger.unknown
    sender.end(created("last"), completed(message("Done."), id="last"))
    assert got.wait().completions == 1
    assert got.values[-1].type in TERMINAL_TYPES
    wanted: list[Any] = [events[-1] for events, _ in run]
    asked = {(call["b"], call["a"]) for event in wanted for call in map(_arguments, event.response.output)}
    assert len(set(made)) == len(made)
    assert {call for call in made if call[1] < 100} == asked
    started = [event for event in got.values if isinstance(event, ToolCallStartedEvent)]
    outputs = [event for event in got.values if isinstance(event, ToolCallOutputEvent)]
    assert {event.call_id for event in started} <= {event.call_id for event in outputs}
    assert all(event.raw is None for event in got.values if isinstance(event, ConversationEvent))
