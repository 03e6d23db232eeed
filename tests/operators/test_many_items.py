"""Responses with very many items or parts: the work of an event does not grow with what came before."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import reactivex
from reactivex import Observable

from rxresponses.operators import (
    accumulate_response,
    accumulate_text,
    collect_text,
    final_response,
    function_calls,
    text_deltas,
)
from rxresponses.wire.events import ServerEvent
from tests.effort import examples

from ..support.events import wire_event

FEW = max(30, examples(60))
MANY = 4 * FEW
CREATED = wire_event("response.created", response={"id": "r", "output": []})
COMPLETED = wire_event("response.completed", response={"id": "r", "status": "completed", "output": []})
CONTENT = "response.output_text"


def message(number: int) -> dict[str, Any]:
    part = {"type": "output_text", "text": f"{number} ", "annotations": []}
    return {"type": "message", "id": f"m{number}", "role": "assistant", "status": "completed", "content": [part]}


def part_at(number: int, **fields: Any) -> dict[str, Any]:
    return {"output_index": 0, "item_id": "m", "content_index": number, **fields}


KINDS: dict[str, Callable[[int], ServerEvent]] = {
    "texts that are done": lambda n: wire_event(f"{CONTENT}.done", output_index=n, item_id=f"m{n}", text=f"{n} "),
    "deltas": lambda n: wire_event(f"{CONTENT}.delta", output_index=n, item_id=f"m{n}", delta=f"{n} "),
    "items": lambda n: wire_event("response.output_item.done", output_index=n, item=message(n)),
    "items of one index": lambda n: wire_event("response.output_item.done", output_index=0, item=message(n)),
    "items without an index": lambda n: wire_event("response.output_item.done", item=message(n)),
    "items in reverse": lambda n: wire_event("response.output_item.done", output_index=10**9 - n, item=message(n)),
    "texts of one index": lambda n: wire_event(f"{CONTENT}.done", output_index=0, item_id=f"m{n}", text=f"{n} "),
    "texts of a negative index": lambda n: wire_event(f"{CONTENT}.done", output_index=-1, item_id=f"m{n}", text="x"),
    "parts that are done": lambda n: wire_event(f"{CONTENT}.done", **part_at(n, text=f"{n} ")),
    "parts in reverse": lambda n: wire_event(f"{CONTENT}.done", **part_at(10**9 - n, text=f"{n} ")),
    "deltas of parts": lambda n: wire_event(f"{CONTENT}.delta", **part_at(n, delta=f"{n} ")),
    "deltas of parts that name no item": lambda n: wire_event(f"{CONTENT}.delta", content_index=n, delta=f"{n} "),
    "empty parts": lambda n: wire_event(
        "response.content_part.added", **part_at(n, part={"type": "output_text", "text": "", "annotations": []})
    ),
    "calls": lambda n: wire_event(
        "response.output_item.done",
        output_index=n,
        item={"type": "function_call", "id": f"f{n}", "call_id": f"c{n}", "name": "f", "arguments": "{}"},
    ),
}
OPERATORS = [accumulate_response, accumulate_text, collect_text, final_response, function_calls, text_deltas]


def calls_of(operator: Callable[[], Callable[[Observable[ServerEvent]], Observable[Any]]], events: Any) -> int:
    """Return how many calls of Python functions an operator takes for these events."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    errors: list[Exception] = []
    source = reactivex.from_iterable(events).pipe(operator())
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        source.subscribe(lambda value: None, errors.append)
    finally:
        sys.setprofile(before)
    assert not errors
    return calls


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_scenario_77_each_event_takes_the_same_steps(kind: str, operator: Any) -> None:
    few, many = ([CREATED, *map(KINDS[kind], range(count)), COMPLETED] for count in (FEW, MANY))
    calls_of(operator, few)  # what is made once for each class is made now
    assert calls_of(operator, many) < 5 * calls_of(operator, few)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "texts of" not in kind and kind != "calls"])
def test_scenario_77_no_text_is_lost_among_many(kind: str) -> None:
    events = [CREATED, *map(KINDS[kind], range(MANY)), COMPLETED]
    texts = [f"{number} " for number in range(MANY)]
    expected = "" if kind == "empty parts" else "".join(texts[::-1] if "reverse" in kind else texts)
    got: dict[str, list[Any]] = {"collected": [], "grown": []}
    reactivex.from_iterable(events).pipe(collect_text()).subscribe(got["collected"].append)
    reactivex.from_iterable(events).pipe(accumulate_text()).subscribe(got["grown"].append)
    assert got["collected"] == [expected]
    assert got["grown"][-1:] == ([expected] if expected else [])


@pytest.mark.parametrize("index", [0, None])
def test_of_many_items_of_one_index_the_id_tells_which(index: int | None) -> None:
    def done(number: int, text: str) -> ServerEvent:
        part = {"type": "output_text", "text": text, "annotations": []}
        item = {**message(number), "content": [part]}
        return wire_event("response.output_item.done", output_index=index, item=item)

    events = [CREATED, *[done(number, f"{number} ") for number in range(MANY)]]
    events += [
        done(3, "3 again "),
        wire_event(f"{CONTENT}.done", output_index=index, item_id="m4", text="4 again "),
        wire_event(f"{CONTENT}.done", output_index=index, item_id=f"m{MANY - 1}", text="last again"),
        COMPLETED,
    ]
    expected = [f"{number} " for number in range(MANY)]
    expected[3], expected[4], expected[-1] = "3 again ", "4 again ", "last again"
    got: list[str] = []
    reactivex.from_iterable(events).pipe(collect_text()).subscribe(got.append)
    assert got == ["".join(expected)]
