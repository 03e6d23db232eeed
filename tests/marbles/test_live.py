"""What pages are told of a diagram that grows, and what is kept for those that are opened later."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxresponses.marbles import live
from rxresponses.marbles.live import LiveDiagram
from rxresponses.marbles.rows import diagram_of
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
from tests.effort import examples


def frame(kind: str, **fields: Any) -> bytes:
    return json.dumps({"type": kind, **fields}, separators=(",", ":")).encode()


def delta(text: Any, **fields: Any) -> bytes:
    return frame("response.output_text.delta", delta=text, **fields)


def told(message: bytes | None) -> tuple[dict[str, Any], list[str]]:
    """Return the header of a message and its frames."""
    assert message is not None
    head, *frames = message.decode().split("\n")
    data: dict[str, Any] = json.loads(head)
    return data, [line for line in frames if line]


def diagram(**options: Any) -> LiveDiagram:
    return LiveDiagram(**{"window": 60.0, "max_bytes": 2**20, **options})


def names(data: dict[str, Any]) -> list[str]:
    return [row["head"]["name"] for row in data["rows"]]


def test_a_request_with_its_events() -> None:
    one = diagram()
    one.record(RequestRecord(1.0, "r1", {"type": "response.create", "input": "Hi"}, "c1", None))
    one.events([1.1], "r1", None, [frame("response.created", response={"id": "x"})])
    one.events([1.2, 1.3], "r1", None, [delta("He"), delta("llo")])
    data, frames = told(one.update(1.5))
    (row,) = data["rows"]
    assert row["head"]["request"] == {"type": "response.create", "input": "Hi"}
    assert row["head"]["firstText"] == 1.2
    assert row["head"]["facts"] == "first text 200 ms · 3 events · 500 ms"
    assert row["chunks"] == [[{"type": 0, "at": [1.1], "text": "created"}, {"type": 1, "at": [1.2, 1.3]}]]
    assert data["types"][1] == ["response.output_text.delta", "text", True, "text delta"]
    assert list(map(json.loads, frames))[1:] == [json.loads(delta("He")), json.loads(delta("llo"))]
    one.events([1.6], "r1", None, [delta("!")])
    data, frames = told(one.update(1.7))
    assert [set(row) for row in data["rows"]] == [{"id", "chunks"}]  # the rest has not changed
    assert "types" not in data
    assert "order" not in data
    one.record(EndRecord(1.8, "r1", "completed"))
    data, _ = told(one.update(1.9))
    assert data["rows"][0]["head"]["sign"] == "completed"
    assert one.update(2.0) is None  # nothing runs


def test_a_snapshot_has_all_of_the_updates() -> None:
    one = diagram()
    for number in range(5):
        one.events([number], "r1", "a", [delta(str(number))])
        one.update(number + 0.5, is_wanted=number % 2 == 0)
    data, frames = told(one.snapshot(5.0))
    assert data["reset"] is True
    assert len(frames) == 5
    assert sum(len(run["at"]) for chunk in data["rows"][0]["chunks"] for run in chunk) == 5
    assert data["rows"][0]["head"]["lane"] == "a"
    # A change before the snapshot is told to the other pages for all that.
    one.record(EndRecord(6.0, "r1", "disposed"))
    one.snapshot(6.0)
    data, _ = told(one.update(6.1))
    assert data["rows"][0]["head"]["sign"] == "disposed"


def test_what_is_too_old_is_dropped() -> None:
    one = diagram(window=10)
    one.record(ConnectionRecord(0, "c1", "connecting"))
    one.events([1.0], "r1", None, [delta("a")])
    one.record(EndRecord(1.5, "r1", "completed"))
    one.events([1.0], None, None, [frame("x")])
    one.events([1.0], "r2", None, [delta("b")])  # goes on
    one.update(2)
    assert names(told(one.snapshot(2))[0]) == ["c1", "r1", "no request", "r2"]
    data, _ = told(one.update(20))
    assert data["begin"] == 10
    data, frames = told(one.snapshot(20))
    assert names(data) == ["c1", "r2"]
    assert frames == []
    assert one._size == 0


def test_what_is_too_much_is_dropped() -> None:
    one = diagram(max_bytes=10_000)
    for number in range(100):
        one.events([float(number)], "r1", None, [delta("x" * 1000)])
        one.update(number + 0.5)
        assert one._size <= 10_000
    data, frames = told(one.snapshot(100))
    assert 5 < len(frames) < 10
    assert data["rows"][0]["chunks"][0][0]["at"][0] > data["begin"]
    one.events([100.0] * 20, "r1", None, [delta("x" * 1000)] * 20)
    one.update(100.5)
    assert one._size == 0  # a page gets what came at once, nobody gets it later


@pytest.mark.parametrize("count", [1, 20])
def test_the_memory_is_bounded(count: int) -> None:
    """Also by events that come one by one, each with objects of its own."""
    shown = diagram(window=1e6, max_bytes=100_000)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(2000 // count):
            at = [number + place / 100 for place in range(count)]
            shown.events(at, f"r{number % 5}", None, [delta(f"{number} {place}") for place in range(count)])
            shown.update(number + 1, is_wanted=False)
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 50_000 < taken < 150_000


def test_lines_that_have_ended_are_dropped_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_MOST_ROWS", 5)
    one = diagram()
    for number in range(10):
        one.events([1.0, 1.0], f"r{number}", None, [delta("x"), delta("y")])
        if number % 3:
            one.record(EndRecord(1.1, f"r{number}", "completed"))
    update = one.update(2)
    first, sent = told(update)
    assert sum(len(run["at"]) for row in first["rows"] for chunk in row["chunks"] for run in chunk) == len(sent) == 10
    data, frames = told(one.snapshot(2))
    assert names(data) == ["r0", "r3", "r6", "r8", "r9"]
    assert len(frames) == 10
    assert one._size == sum(chunk.size for chunk in one._chunks)


def test_the_order_of_the_lines() -> None:
    one = diagram()
    one.events([1.0], None, None, [frame("x")])
    one.record(RequestRecord(1.0, "r1", {"input": "a"}, "c1", None))
    one.record(RequestRecord(1.0, "r2", {"input": "b"}, "c1", "lane"))
    one.record(ConnectionRecord(1.0, "c1", "open"))
    for stage in (2, 1):
        one.record(StageRecord(1.1, "r1", "p1", stage, f"stage {stage}", "next", "v"))
    one.record(StageRecord(1.1, "r2", "p2", 1, "of r2", "subscribed"))
    one.record(StageRecord(1.2, None, "p3", 1, "of none", "next", "v"))
    data, _ = told(one.update(2))
    by_id = {row["id"]: row["head"]["name"] for row in data["rows"]}
    assert [by_id[number] for number in data["order"]] == [
        *("c1", "of none", "r2", "of r2", "r1", "stage 1", "stage 2", "no request")
    ]
    one.record(StageRecord(2.1, "r1", "p3", 1, "of none", "next", "v"))  # now its request is known
    after, _ = told(one.update(2.2))
    assert [by_id[number] for number in after["order"]][1:4] == ["r2", "of r2", "r1"]
    lanes = {row["head"]["name"]: row["head"]["lane"] for row in data["rows"]}
    assert lanes["of r2"] == "lane"


def test_stages_end_with_their_request() -> None:
    one = diagram(window=10)
    one.record(StageRecord(1.1, "r1", "p1", 1, "never ended", "next", "v"))
    one.record(StageRecord(1.1, None, "p2", 1, "of none", "next", "v"))
    one.record(EndRecord(1.2, "r1", "completed"))
    one.record(StageRecord(1.1, "r2", "p3", 1, "runs", "next", "v"))
    one.update(2)
    one.update(30)
    left = names(told(one.snapshot(30))[0])
    assert "never ended" not in left
    assert "runs" in left
    one.update(60)
    assert "r1" not in names(told(one.snapshot(60))[0])


@pytest.mark.parametrize(
    "odd",
    [
        b'{"type":"response.output_text.delta","delta":5}',
        b'{"type":"response.output_text.delta",\n"delta":"a"}',
        b'{"type": "response.output_text.delta", "delta": "a"}',
        b'{"type":"response.output_text.delta","delta":"\xff"}',
        b'{"delta":"a","type":"response.output_text.delta"}',
        b'{"type":"response.output_text.delta"}',
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        delta("x" * 100_000),
        frame("response.output_text.done", text="\u2028 \ud83d"),
    ],
)
def test_odd_frames(odd: bytes) -> None:
    one = diagram()
    one.events([1.0, 2.0, 3.0], "r1", None, [delta("a"), odd, delta("b")])
    data, frames = told(one.update(4.0))
    assert [at for run in data["rows"][0]["chunks"][0] for at in run["at"]] == [1.0, 2.0, 3.0]
    assert len(frames) == 3
    assert max(map(len, frames)) < 32_768
    assert json.loads(frames[2]) == json.loads(delta("b"))


def test_the_types_of_pieces_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_MOST_HEADS", 3)
    one = diagram()
    for number in range(10):
        one.events([1.0], "r1", None, [frame(f"x{number}.delta", delta="a")])
        assert len(one._pieces) <= 3


KINDS = st.sampled_from(
    ["response.output_text.delta", "response.reasoning_text.delta", "response.created", "error", "x"]
)
FRAMES = st.builds(lambda kind, text: frame(kind, delta=text), KINDS, st.one_of(st.text(), st.none()))
EVENTS = st.tuples(st.sampled_from(["r1", "r2", None]), st.lists(FRAMES, min_size=1, max_size=6))


@given(st.lists(EVENTS, max_size=10), st.booleans())
@settings(max_examples=examples(100))
def test_the_lines_are_those_of_a_recording(groups: list[tuple[str | None, list[bytes]]], ends: bool) -> None:
    """What a page is told step by step is what `diagram_of` makes of all records at once."""
    one, records, now = diagram(), list[Record](), 0.0
    for request, frames in groups:
        at = [now + index / 10 for index in range(len(frames))]
        one.events(at, request, None, frames)
        records += [EventRecord(t, request, json.loads(each)) for t, each in zip(at, frames, strict=True)]
        now += 1
        one.update(now)
    if ends:
        end = EndRecord(now, "r1", "completed")
        one.record(end)
        records.append(end)
        one.update(now)
    data, _ = told(one.snapshot(now))
    types = data.get("types", [])
    expected = {row.name: row for row in diagram_of(Recording(RecordingHeader(), tuple(records))).rows}
    assert {row["head"]["name"] for row in data["rows"]} == set(expected)
    for row in data["rows"]:
        other = expected[row["head"]["name"]]
        runs = [run for chunk in row["chunks"] for run in chunk]
        assert [at for run in runs for at in run["at"]] == [marble.at for marble in other.marbles]
        kinds = [types[run["type"]][:3] for run in runs for _ in run["at"]]
        assert kinds == [[marble.kind, marble.family, marble.is_piece] for marble in other.marbles]
        assert row["head"]["firstText"] == other.first_text
        if other.ending.sign != "open":
            assert (row["head"]["sign"], row["head"]["end"]) == (other.ending.sign, other.ending.at)
