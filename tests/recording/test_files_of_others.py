"""Whatever stands in the lines of a recording, it is refused as a whole, or can be replayed, played back and drawn."""

from __future__ import annotations

import contextlib
import json
from functools import partial
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from reactivex import operators as ops
from reactivex.testing import TestScheduler

from rxresponses.marbles.rows import diagram_of
from rxresponses.marbles.svg import svg_of
from rxresponses.recording.format import ConnectionRecord
from rxresponses.recording.reader import read_recording
from rxresponses.recording.replay import replay
from rxresponses.testing.playback import Match, Playback
from rxresponses.testing.refusal import RequestError
from rxresponses.testing.request import Request
from tests.effort import examples

NAMES = ["type", "id", "response", "error", "code", "message", "delta", "item", "output", "usage", "input", "tools"]
NAMES += ["text", "format", "name", "status", "attributes", "delivery", "stream_id", "item_id", "content"]
MATCHES: tuple[Match, ...] = ("strict", "lenient")
WORDS = [
    "",
    "r1",
    "error",
    "response.completed",
    "response.created",
    "response.create",
    "<b>",
    "\ud800",
    "\u2028",
    "\0",
]
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.sampled_from([0, -1, 2**70, 1.5, 1e300]) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=6,
)
TYPES = st.sampled_from(["response.created", "response.output_text.delta", "response.completed", "error"])
FRAMES = st.builds(
    lambda kind, rest: {"type": kind, **rest}, TYPES, st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4)
)
ERRORS = st.fixed_dictionaries(
    {"type": st.sampled_from(["ConnectionLostError", "ResponseFailedError", "ToolRunError", "KeyError"])},
    optional={"message": VALUES, "delivery": VALUES, "attributes": VALUES},
)


def line(kind: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[str]:
    """Draw a line of a kind whose optional fields may be missing, or anything at all."""
    known = {"t": st.sampled_from([0, 0.5, 2]), "kind": st.just(kind), "request": st.sampled_from(["r1", "r2"])}
    odd = st.dictionaries(st.sampled_from(["lane", "connection", "reason", "value", "error"]), VALUES, max_size=1)
    return st.builds(lambda data, more: json.dumps({**more, **data}), st.fixed_dictionaries({**known, **fields}), odd)


LINES = st.one_of(
    line("request", frame=FRAMES | VALUES),
    line("event", frame=FRAMES),
    line("event", text=st.sampled_from(["no JSON", "[1]", "{}"])),
    line("end", how=st.sampled_from(["completed", "error", "disposed"]), error=ERRORS | VALUES),
    line("connection", connection=st.just("c1"), state=st.sampled_from(["open", "closed"]), code=VALUES),
)


@settings(max_examples=examples(100))
@given(st.lists(LINES, min_size=1, max_size=6))
def test_it_is_refused_or_usable(lines: list[str]) -> None:
    recording = None
    with contextlib.suppress(ValueError):
        recording = read_recording(['{"rxresponses_recording":1}', *lines])
    assume(recording is not None)
    assert recording is not None
    if all(isinstance(record, ConnectionRecord) for record in recording.records):
        with pytest.raises(ValueError, match="nothing to replay"):
            replay(recording)
        return
    for request in (None, *recording.requests):
        scheduler, texts, ends = TestScheduler(), list[str](), list[object]()
        replay(recording, request=request).pipe(ops.map(repr)).subscribe(
            texts.append, ends.append, partial(ends.append, "|"), scheduler=scheduler
        )
        scheduler.start()
        assert len(ends) == 1
    for match in MATCHES:
        with contextlib.suppress(ValueError, RequestError):
            playback = Playback.of(recording, "f", match=match)
            playback.reply(Request(body={"type": "response.create", "input": "Hi"}, input=()))
    assert svg_of(diagram_of(recording)).startswith("<svg")
