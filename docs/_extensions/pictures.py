"""The pictures of the operators: events of the embedded server, passed through the operator on virtual time."""

from __future__ import annotations

import ast
import asyncio
import itertools
import json
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import reactivex as rx
from reactivex import Observable, Subject
from reactivex import operators as ops
from reactivex.testing import ReactiveTest, TestScheduler

import rxresponses
from rxresponses import ConnectFailedError, ServerEvent, codec
from rxresponses import operators as rops
from rxresponses.marbles.rows import diagram_of
from rxresponses.marbles.svg import svg_of
from rxresponses.recording.format import (
    EndRecord,
    EventRecord,
    Record,
    Recording,
    RecordingHeader,
    RequestRecord,
    StageRecord,
)
from rxresponses.testing import FunctionCall, Refusal
from rxresponses.testing.generator import EventGenerator, new_response
from rxresponses.testing.history import IdGenerator
from rxresponses.testing.jsontext import encode
from rxresponses.testing.marble_events import response_events
from rxresponses.testing.marble_text import parse
from rxresponses.testing.outputs import Output

WIDTH = 620  # pixels
_CREATED = 1_750_000_000  # seconds: the time of day of the responses
_SUBSCRIBED = 200.0  # virtual seconds, as in all tests with RxPY's scheduler
_LAST = 60.0  # seconds: no picture takes as long
_LONGEST = 26  # characters of a value
_BOOKKEEPING = ("output_item.added", "content_part.added", "content_part.done", "output_item.done")
_HIDDEN = {f"response.{name}" for name in _BOOKKEEPING} | {
    f"response.{name}.done" for name in ("output_text", "refusal", "function_call_arguments")
}
"""The events that begin and end items: the operator gets them, and the picture leaves them out."""


@dataclass(frozen=True)
class Place:
    """A type of answers, for the pictures of typed answers."""

    city: str
    days: int = 1


@dataclass(frozen=True)
class Picture:
    """What a picture shows; a frame of its marble diagrams is a second."""

    code: str
    """The operators, as they stand between the parentheses of `pipe`; each has a line."""

    source: str | Output = "c-(He)-(llo)-C|"
    """The marble diagram of the events; or the output of the response, whose events come every two seconds."""

    again: str = ""
    """The marble diagram of the second subscription."""

    title: str = ""
    """By default the code."""


PICTURES = {
    "filter_by_type": Picture("rops.filter_by_type(ResponseTextDeltaEvent)"),
    "text_deltas": Picture("rops.text_deltas()"),
    "accumulate_text": Picture("rops.accumulate_text()"),
    "collect_text": Picture("rops.collect_text()"),
    "sentences": Picture("rops.sentences()", "c-(Hello)--(.)--( How)--( are you?)--C|"),
    "refusals": Picture("rops.refusals()", Refusal("I cannot")),
    "accumulate_response": Picture("rops.accumulate_response()"),
    "final_response": Picture("rops.final_response()"),
    "function_calls": Picture("rops.function_calls()", FunctionCall("get_weather", {"city": "Rome"})),
    "usage": Picture("rops.usage()"),
    "parse_output": Picture("rops.parse_output(Place)", 'c---({"city": )---("Rome"})---C|'),
    "partial_output": Picture("rops.partial_output(Place)", 'c---({"city": "Ro)-----(me", "days": 1)-----(2})------C|'),
    "elements": Picture("rops.elements(Place)", 'c---([{"city": "Rome"})-----(, {"city": "Os)-----(lo"}])-----C|'),
    "metrics": Picture("rops.metrics()"),
    "record": Picture("rops.record(path)"),
    "observe_pipeline": Picture("rops.text_deltas(), ops.map(str.upper)", title="observe_pipeline(recording, …)"),
    "timeout_on_terminal": Picture("rops.timeout_on_terminal(6)", "c-(He)-(llo)-----(!)-C|"),
    "first_event_timeout": Picture("rops.first_event_timeout(3)", "------c-(He)-C|"),
    "idle_timeout": Picture("rops.idle_timeout(3)", "c-(He)-(llo)-----(!)-C|"),
    "raise_on_failure": Picture("rops.raise_on_failure()", "c-(He)-F|"),
    "raise_on_refusal": Picture("rops.raise_on_refusal()", Refusal("I cannot")),
    "raise_on_incomplete": Picture("rops.raise_on_incomplete()", "c-(He)-N|"),
    "charge": Picture("rops.charge(Budget(tokens=1000))", title="charge(budget)"),
    "retry_with_backoff": Picture("rops.retry_with_backoff(Backoff(initial=2, jitter=0))", "--#", "-c-(He)-(llo)-C|"),
    "to_async_iterable": Picture("rops.text_deltas(), rops.to_async_iterable()"),
}


def svg(name: str) -> str:
    """Return the picture of an operator as SVG."""
    picture = PICTURES[name]
    return svg_of(diagram_of(recording_of(picture), title=picture.title or picture.code), width=WIDTH)


def recording_of(picture: Picture) -> Recording:
    """Run the operators of a picture and return what has happened, with the virtual times in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        labels, operators = _operators(picture.code, Path(folder) / "stream.jsonl")
        iterates = labels[-1].endswith("to_async_iterable()")
        records = _run(picture, labels, operators[: len(operators) - iterates])
    if iterates:
        records += _iterated(labels[-1], len(labels), records)
    return Recording(RecordingHeader(), tuple(records), True, None)


def _operators(code: str, path: Path) -> tuple[list[str], list[Any]]:
    """Return the operators in a piece of code, and the code of each."""
    (expression,) = ast.parse(f"[{code}]").body
    assert isinstance(expression, ast.Expr)
    assert isinstance(expression.value, ast.List)
    labels = [ast.unparse(operator) for operator in expression.value.elts]
    names = {name: getattr(rxresponses, name) for name in ("Backoff", "Budget", "ResponseTextDeltaEvent")}
    known = {**names, "rops": rops, "ops": ops, "Place": Place, "path": path}
    return labels, [eval(label, known) for label in labels]


def _run(picture: Picture, labels: Sequence[str], operators: Sequence[Any]) -> list[Record]:
    scheduler = TestScheduler()
    records: list[Record] = []
    sources = iter([picture.source, picture.again])
    numbers = itertools.count(1)
    request = ""

    def now() -> float:
        return float(scheduler.clock) - _SUBSCRIBED

    def send(_: object) -> Observable[Any]:
        nonlocal request
        this = request = f"r{next(numbers)}"
        has_ended = False

        def on_next(event: ServerEvent) -> None:
            frame = json.loads(event.to_json())
            is_call = event.type == "response.output_item.done" and frame["item"]["type"] == "function_call"
            if event.type not in _HIDDEN or is_call:
                records.append(EventRecord(now(), this, frame))

        def end(how: str, error: Exception | None = None) -> None:
            nonlocal has_ended
            if not has_ended:
                has_ended = True
                about = None if error is None else {"type": type(error).__name__}
                records.append(EndRecord(now(), this, how, about))

        records.append(RequestRecord(now(), this, {"type": "response.create"}))
        return _source(scheduler, next(sources)).pipe(
            ops.do_action(on_next, lambda error: end("error", error), lambda: end("completed")),
            ops.finally_action(lambda: end("disposed")),
        )

    def note(record: StageRecord) -> None:
        if record.stage == 0 or record.value in _HIDDEN:
            return
        shown = replace(
            record,
            t=now(),
            request=request,
            pipeline="p1",
            operator=labels[record.stage - 1],
            value=None if record.value is None else _shown(record),
        )
        if shown not in records:  # several snapshots at once, which look the same
            records.append(shown)

    pipeline = rops.observe_pipeline(note, *operators)
    scheduler.start(
        lambda: rx.defer(send).pipe(pipeline), created=100.0, subscribed=_SUBSCRIBED, disposed=_SUBSCRIBED + _LAST
    )
    return records


def _source(scheduler: TestScheduler, source: str | Output) -> Observable[Any]:
    """Return the events of a response as a cold Observable."""
    if isinstance(source, str):
        events = response_events(source)
        signs = [(at, token.kind) for at, tokens in enumerate(parse(source)) for token in tokens]
        last, kind = signs[-1]
    else:
        events = list(_spread(source))
        last, kind = events[-1][0], "completed"
    messages: list[Any] = [ReactiveTest.on_next(at, codec.decode(encode(event))) for at, event in events]
    if kind == "error":
        lost = ConnectFailedError("no connection could be made")
        messages.append(ReactiveTest.on_error(last, lost))
    else:
        messages.append(ReactiveTest.on_completed(last))
    return scheduler.create_cold_observable(*messages)


def _spread(output: Output) -> Iterator[tuple[int, Any]]:
    """Return the events of a response with one output, every two seconds one that is shown."""
    ids = IdGenerator("")
    generator = EventGenerator(
        new_response({}, ids.new("resp"), _CREATED), ids=ids, clock=lambda: float(_CREATED), cut=None
    )
    at = 0
    events: Iterator[Any] = generator.events([output])
    for number, event in enumerate(events):
        if event["type"] == "response.in_progress":
            continue
        if number and (event["type"] not in _HIDDEN or event["type"] == "response.output_item.done"):
            at += 2
        yield at, {**event, "sequence_number": number}


def _iterated(label: str, stage: int, records: Sequence[Record]) -> list[Record]:
    """Return what a loop over the values of the stage before does."""
    before = [record for record in records if isinstance(record, StageRecord) and record.stage == stage - 1]

    found: list[Record] = []

    async def iterate() -> None:
        values: Subject[Any] = Subject()
        is_subscribed = asyncio.Event()

        def source(_: object) -> Observable[Any]:
            is_subscribed.set()
            return values

        async with rx.defer(source).pipe(rops.to_async_iterable()) as stream:
            steps = aiter(stream)
            for record in before:
                if record.what == "subscribed":
                    continue
                step = asyncio.ensure_future(_step(steps))
                await is_subscribed.wait()
                if record.what == "next":
                    values.on_next(record.value)
                else:
                    values.on_completed()
                found.append(replace(record, stage=stage, operator=label, value=await step))

    asyncio.run(iterate())
    return found


async def _step(steps: AsyncIterator[Any]) -> Any:
    return await anext(steps, None)


def _shown(record: StageRecord) -> str:
    """Return the text of a value without what all of them have, or what is too long; of an error the class."""
    text = record.value or ""
    if record.what == "error":
        return text.partition(":")[0]
    name = text.partition("(")[0]
    return f"{name}(…)" if len(text) > _LONGEST and name.isidentifier() else text.removeprefix("response.")
