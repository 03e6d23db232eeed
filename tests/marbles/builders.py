"""Recordings for the tests of diagrams."""

from __future__ import annotations

import random
from typing import Any

from rxresponses.recording.format import (
    ConnectionRecord,
    EndRecord,
    EventRecord,
    Record,
    Recording,
    RecordingHeader,
    RequestRecord,
    StageRecord,
)

TEXT = "response.output_text.delta"
THOUGHTS = ("The", "user", "asks", "for", "tomorrow's", "weather", "in", "Paris;", "call", "the", "tool.")
ANSWER = (
    "Tomorrow",
    "in",
    "Paris:",
    "18",
    "°C",
    "with",
    "light",
    "rain",
    "in",
    "the",
    "morning",
    "☔,",
    "dry",
    "from",
    "noon",
    "on.",
    "Take",
    "an",
    "umbrella.",
)
POEM = ("Round", "and", "bright", "they", "run", "the", "line,", "each", "a", "word", "and", "each", "in", "time")


def recording(*records: Record, has_times: bool = True, torn: str | None = None) -> Recording:
    """Return a recording of these records."""
    return Recording(RecordingHeader(), records, has_times, torn)


def request(t: float, name: str = "r1", lane: str | None = None, **frame: Any) -> RequestRecord:
    """Return a request that was sent at this time."""
    return RequestRecord(t, name, {"type": "response.create", **frame}, "c1", lane)


def event(t: float, kind: str, name: str | None = "r1", lane: str | None = None, **fields: Any) -> EventRecord:
    """Return an event that was received at this time."""
    return EventRecord(t, name, {"type": kind, **fields}, "c1", lane)


def text(t: float, delta: str = "word ", name: str | None = "r1", lane: str | None = None) -> EventRecord:
    """Return a piece of text."""
    return event(t, TEXT, name, lane, delta=delta)


def stage(t: float, what: str, value: str | None = None, number: int = 1, **more: Any) -> StageRecord:
    """Return what an operator of a pipeline of request r1 did."""
    fields: dict[str, Any] = {"request": "r1", "pipeline": "p1", "operator": "text_deltas", **more}
    return StageRecord(t=t, stage=number, what=what, value=value, **fields)


def session() -> Recording:
    """Return a session as real ones are: two lanes, a tool call, an observed pipeline, and a lost connection."""
    chance = random.Random(1)
    records: list[Record] = [ConnectionRecord(0.0, "c1", "connecting"), ConnectionRecord(0.084, "c1", "open")]
    records.append(request(0.09, "r1", "research", model="gpt-5", input="What is the weather in Paris tomorrow?"))
    records += [
        event(0.29, "response.created", "r1", "research"),
        event(0.291, "response.in_progress", "r1", "research"),
    ]
    records.append(event(0.33, "response.output_item.added", "r1", "research", item={"type": "reasoning"}))
    t = 0.33
    for number in range(40):
        t += chance.expovariate(90)
        word = THOUGHTS[number % len(THOUGHTS)]
        records.append(event(t, "response.reasoning_summary_text.delta", "r1", "research", delta=f"{word} "))
    call = {"type": "function_call", "name": "get_weather"}
    records.append(event(t + 0.06, "response.output_item.added", "r1", "research", item=call))
    t += 0.06
    for piece in ('{"ci', 'ty":"', "Par", 'is"}'):
        t += 0.05
        records.append(event(t, "response.function_call_arguments.delta", "r1", "research", delta=piece))
    records.append(event(t + 0.03, "response.output_item.done", "r1", "research", item=call))
    records.append(event(t + 0.05, "response.completed", "r1", "research"))
    records.append(EndRecord(t + 0.0505, "r1", "completed"))
    t += 0.17
    output = [{"type": "function_call_output", "output": "18 °C, light rain"}]
    records.append(request(t, "r2", "research", model="gpt-5", input=output))
    records.append(event(t + 0.18, "response.created", "r2", "research"))
    records.append(event(t + 0.22, "response.output_item.added", "r2", "research", item={"type": "message"}))
    t += 0.22
    for number in range(60):
        t += chance.expovariate(75)
        word = f"{ANSWER[number % len(ANSWER)]} "
        records.append(text(t, word, "r2", "research"))
        shared: dict[str, Any] = {"request": "r2"}
        records.append(stage(t + 0.0001, "next", word, **shared))
        records.append(stage(t + 0.0002, "next", word.upper(), 2, operator="map(str.upper)", **shared))
        if number % 12 == 11:
            records.append(stage(t + 0.0003, "next", f"[{word}…]", 3, operator="buffer_with_count(12)", **shared))
    for kind in ("output_text.done", "content_part.done", "output_item.done", "completed"):
        t += 0.0008
        records.append(event(t, f"response.{kind}", "r2", "research"))
    records.append(EndRecord(t, "r2", "completed"))
    for number, operator in ((1, "text_deltas"), (2, "map(str.upper)"), (3, "buffer_with_count(12)")):
        records.append(stage(t, "completed", None, number, operator=operator, request="r2"))
    records.append(request(0.5, "r3", "draft", model="gpt-5-mini", input="Draft a poem about marbles"))
    records.append(event(0.74, "response.created", "r3", "draft"))
    t = 0.8
    for word in POEM:
        t += chance.expovariate(11)
        records.append(text(t, f"{word} ", "r3", "draft"))
    error = {"type": "ConnectionLostError", "message": "the connection was lost: no close frame received"}
    records += [ConnectionRecord(t + 0.35, "c1", "closed", 1006, ""), EndRecord(t + 0.35, "r3", "error", error)]
    return recording(*sorted(records, key=lambda record: record.t))


def large(count: int = 10_000) -> Recording:
    """Return a recording of four lanes with this many events."""
    chance = random.Random(2)
    records: list[Record] = [request(0.1 * number, f"r{number}", f"lane {number}") for number in range(1, 5)]
    t = 0.5
    for _ in range(count):
        t += chance.expovariate(200)
        number = chance.randint(1, 4)
        records.append(text(t, "word ", f"r{number}", f"lane {number}"))
    return recording(*records)


HOSTILE = (
    "</script><script>alert(1)</script>",
    '<!-- & "quotes" \' ]]>',
    "\u2028\u2029\u202e\x00\x1b[31m\x7f",
    "half an emoji \ud83d and \udc00",
    "مرحبا שלום",
    "👩\u200d👩\u200d👧 😀",
    "\ufffe\uffff",
    "line\r\nbreaks\ttabs\n",
    " ",
    "",
    "$1 ${data} %s {0}",
)
"""Texts that a server may send."""

PICTURE = "docs/session.svg"
TITLE = "Two lanes, a tool call, an observed pipeline, and a lost connection"

if __name__ == "__main__":
    from rxresponses.marbles.rows import diagram_of
    from rxresponses.marbles.svg import svg_of
    from tests.support.paths import ROOT

    (ROOT / PICTURE).write_text(svg_of(diagram_of(session(), title=TITLE)), encoding="utf-8", newline="")
