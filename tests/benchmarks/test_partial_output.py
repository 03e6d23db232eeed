from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

PROGRAM = """
import json
from dataclasses import dataclass
from time import process_time  # the time of this process, whatever else the machine does

import reactivex
from rxresponses import operators as rops
from rxresponses.events import ResponseCompletedEvent, ResponseTextDeltaEvent
from rxresponses.models import Response

@dataclass
class Item:
    id: int
    name: str
    tags: list[str]

@dataclass
class Report:
    title: str
    items: list[Item]
    body: str = ""

def items(size):
    members = [{"id": number, "name": f"name of {number}", "tags": ["new", "sale"]} for number in range(size // 60)]
    return {"title": "Items", "items": members}

def prose(size):
    return {"title": "Prose", "items": [], "body": 'some words, "quoted" ones and more\\n' * (size // 37)}

OPERATORS = {
    "partial_output": rops.partial_output(Report),
    "elements": rops.elements(Item),
    "partial_output(validate=True)": rops.partial_output(Report, validate=True),
}
for make in items, prose:
    for size in 10_000, 100_000, 1_000_000:
        text = json.dumps(make(size))
        pieces = [text[start:start + 5] for start in range(0, len(text), 5)]
        events = [ResponseTextDeltaEvent(delta=piece, output_index=0, content_index=0) for piece in pieces]
        events.append(ResponseCompletedEvent(response=Response(status="completed")))
        for name, operator in OPERATORS.items():
            count = 0
            def on_next(value):
                global count
                count += 1
            start = process_time()
            reactivex.from_iterable(events).pipe(operator).subscribe(on_next)
            seconds = process_time() - start
            print(json.dumps([name, make.__name__, len(text), len(pieces), count, seconds]))
"""


def test_the_time_is_linear_in_the_length_of_the_answer(figure: Callable[[str], None]) -> None:
    # In a process of its own, where no coverage measurement traces each line.
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    each: dict[tuple[str, str], list[float]] = {}  # seconds for a delta of 10, 100 and 1,000 kB
    for line in done.stdout.splitlines():
        name, kind, size, pieces, values, seconds = json.loads(line)
        each.setdefault((name, kind), []).append(seconds / pieces)
        figure(
            f"{name} of {kind}, {size / 1000:.0f} kB in {pieces} deltas: {seconds:.3f} s, "
            f"{seconds / pieces * 1e6:.1f} µs a delta, {values} values"
        )
    assert len(each) == 6
    for which, (_, short, long) in each.items():
        assert long < 4 * short, which  # if the time grew with the square of the length, it would be 10 times as long
