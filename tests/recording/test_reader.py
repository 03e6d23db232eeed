"""A recording is read as it was written, wherever it is cut; files with one event a line are read too."""

from __future__ import annotations

import contextlib
import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxresponses.recording.format import (
    ConnectionRecord,
    EndRecord,
    EventRecord,
    Record,
    Recording,
    RecordingHeader,
    RequestRecord,
    StageRecord,
    StoppedRecord,
    header_line,
    line_of,
)
from rxresponses.recording.reader import read_recording
from tests.effort import examples

TIMES = st.floats(0, 1e6).map(lambda t: round(t, 6))
NAMES = st.one_of(st.text(min_size=1, max_size=5), st.just(',"frame":{'))
LANES = st.none() | NAMES
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(max_size=8) | st.just('x","frame":{"a'),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(NAMES, children, max_size=3),
    max_leaves=6,
)
FRAMES: st.SearchStrategy[dict[str, Any]] = st.dictionaries(NAMES, JSON, max_size=4)
TEXTS = st.text(min_size=1).filter(lambda text: not is_object(text))  # frames that are no JSON objects
RECORDS: st.SearchStrategy[Record] = st.one_of(
    st.builds(
        ConnectionRecord,
        TIMES,
        NAMES,
        st.sampled_from(["connecting", "open", "closed"]),
        st.none() | st.integers(1000, 4999),
        LANES,
    ),
    st.builds(RequestRecord, TIMES, NAMES, FRAMES, LANES, LANES),
    st.builds(EventRecord, TIMES, LANES, FRAMES, LANES, LANES),
    st.builds(lambda t, text: EventRecord(t, None, None, raw=text), TIMES, TEXTS),
    st.builds(EndRecord, TIMES, NAMES, st.sampled_from(["completed", "error", "disposed"]), st.none() | FRAMES),
    st.builds(StageRecord, TIMES, LANES, NAMES, st.integers(0, 9), NAMES, NAMES, LANES),
    st.builds(StoppedRecord, TIMES, st.just("max_bytes")),
)
HEADERS = st.builds(RecordingHeader, LANES, LANES, st.sampled_from(["full", "redacted"]))
HEADER = header_line(RecordingHeader("2026-11-27T18:00:00.000Z", "0.1.0"))


def is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def written(header: RecordingHeader, records: list[Record]) -> str:
    return "".join(f"{line}\n" for line in (header_line(header), *map(line_of, records)))


@settings(max_examples=examples(300))
@given(HEADERS, st.lists(RECORDS, max_size=6))
def test_what_is_written_is_read_as_it_was(header: RecordingHeader, records: list[Record]) -> None:
    recording = read_recording(written(header, records).split("\n"))
    assert recording == Recording(header, tuple(records))


@settings(max_examples=examples(100))
@given(HEADERS, st.lists(RECORDS, max_size=3), st.data())
def test_a_recording_that_is_cut_at_any_byte_is_read(
    header: RecordingHeader, records: list[Record], data: st.DataObject
) -> None:
    whole = written(header, records).encode()
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    recording = read_recording(cut.decode(errors="replace").split("\n"))
    lines = cut.count(b"\n")
    # The cut may have taken the line break alone: then the last line is whole for all that.
    assert len(recording.records) in (max(0, lines - 1), lines)
    assert recording.records == tuple(records)[: len(recording.records)]
    if recording.torn is not None:
        assert cut.decode(errors="replace").endswith(recording.torn)


@pytest.mark.parametrize(
    "raw",
    [
        '{ "type" : "x",\t"n": 1.0, "n": 1e400 }',
        '{"type":"x","delta":"\\ud83c"}',
        '{"type":"x","frame":{"frame":",\\"frame\\":"}}',
        f'{{"type":"x","n":{"9" * 5000}}}',
    ],
)
def test_the_text_of_a_frame_stays_as_it_was_received(raw: str) -> None:
    line = line_of(EventRecord(1.5, "r1", {}, "c1", "main", raw))
    (event,) = read_recording([HEADER, line]).events()
    assert event.raw == raw
    assert (event.t, event.request, event.connection, event.lane) == (1.5, "r1", "c1", "main")


def test_a_frame_with_line_breaks_is_one_line() -> None:
    raw = '{\n  "type": "x"\r\n}'
    line = line_of(EventRecord(0, None, {"type": "x"}, raw=raw))
    assert "\n" not in line
    (event,) = read_recording([HEADER, line]).events()
    assert (event.raw, event.frame, event.text) == (raw, {"type": "x"}, None)


def test_a_text_that_is_no_json_object() -> None:
    for raw in ("[1]", "no JSON", "\udcff", "[" * 100_000):
        (event,) = read_recording([HEADER, line_of(EventRecord(0, None, None, raw=raw))]).events()
        assert (event.frame, event.text) == (None, raw)


def test_a_frame_that_another_program_has_written_anew() -> None:
    line = json.dumps({"frame": {"type": "x"}, "kind": "event", "t": 1, "request": "r1"})
    (event,) = read_recording([HEADER, line]).events()
    assert (event.frame, event.raw) == ({"type": "x"}, '{"type":"x"}')


def test_requests_and_their_events() -> None:
    records: list[Record] = [
        RequestRecord(0, "r2", {"type": "response.create"}),
        EventRecord(1, "r1", {"type": "a"}),
        EventRecord(2, None, {"type": "b"}),
        EndRecord(3, "r1", "completed"),
    ]
    recording = read_recording(written(RecordingHeader(), records).splitlines())
    assert recording.requests == ("r2", "r1")
    assert recording.events("r1") == (records[1],)
    assert recording.events() == (records[1], records[2])


# What is refused.


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("[]", "line 2: no JSON object"),
        ("nonsense", "line 2: no JSON object"),
        ('{"t":"0","kind":"stopped","why":"x"}', "line 2: `t` is no number"),
        ('{"t":0,"kind":"stopped"}', "line 2: the record of kind 'stopped' has no valid `why`"),
        ('{"t":0,"kind":"request","request":"r1","frame":[]}', "no valid `frame`"),
        ('{"t":0,"kind":"event","request":1,"frame":{}}', "line 2: `request` is no string"),
        ('{"t":0,"kind":"end","request":"r1","how":"error","error":"lost"}', "line 2: `error` is no object"),
        ('{"t":0,"kind":"connection","connection":"c1","state":"closed","code":"1000"}', "`code` is no integer"),
        ('{"t":0,"kind":"event"}', "line 2: the event has neither a `frame` nor a `text`"),
        ('{"no":"type"}', "line 2: neither a record nor an event with a type"),
        ('{"offset":"1","event":{"type":"x"}}', "line 2: `offset` is no number"),
        ('{"offset":NaN,"event":{"type":"x"}}', "line 2: `offset` is no number of seconds"),
        ('{"t":NaN,"kind":"stopped","why":"x"}', "line 2: `t` is no number of seconds"),
        ('{"t":1e999,"kind":"stopped","why":"x"}', "line 2: `t` is no number of seconds"),
        (f'{{"t":1{"0" * 400},"kind":"stopped","why":"x"}}', "line 2: `t` is no number of seconds"),
        ('{"t":0,"kind":"event","text":"\\ud83c"}', "line 2: `text` holds half a character"),
        (HEADER, "line 2: a second header: a file holds one recording"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(line: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_recording([HEADER, line, '{"t":0,"kind":"stopped","why":"x"}'])


def test_a_file_that_is_no_recording_is_not_a_torn_one() -> None:
    with pytest.raises(ValueError, match="line 1: no JSON object"):
        read_recording(["Dear reader,"])


def test_a_mark_of_the_byte_order_is_no_part_of_the_first_line() -> None:
    assert read_recording([f"\ufeff{HEADER}", '{"t":0,"kind":"stopped","why":"x"}']).header.library == "0.1.0"


def test_zeros_at_the_end_of_a_file_are_a_torn_line() -> None:
    recording = read_recording([HEADER, "\0\0\0"])
    assert (recording.records, recording.torn) == ((), "\0\0\0")


@pytest.mark.parametrize("version", [2, 0, True, "1"])
def test_a_header_of_another_version_is_refused(version: object) -> None:
    with pytest.raises(ValueError, match="version"):
        read_recording([json.dumps({"rxresponses_recording": version})])


def test_a_header_with_odd_fields_and_records_of_unknown_kinds_are_read() -> None:
    recording = read_recording(
        ['{"rxresponses_recording":1,"created":5,"contents":null}', '{"t":0,"kind":"new"}', '{"t":0,"kind":["x"]}']
    )
    assert recording == Recording(RecordingHeader(), ())


# Files with one event a line.


def event(kind: str, response_id: str | None = None, lane: str | None = None) -> str:
    data: dict[str, Any] = {"type": kind}
    if response_id is not None:
        data["response"] = {"id": response_id}
    if lane is not None:
        data["stream_id"] = lane
    return json.dumps(data)


def test_one_event_a_line() -> None:
    lines = [event("response.created", "a"), "", event("response.output_text.delta"), event("response.completed", "a")]
    recording = read_recording([*lines, event("response.created", "b"), '{"type":"respo'])
    assert [(record.t, record.request) for record in recording.events()] == [(0, "r1")] * 3 + [(0, "r2")]
    assert [record.raw for record in recording.events("r1")] == [line for line in lines if line]
    assert not recording.has_times
    assert recording.torn == '{"type":"respo'


def test_one_event_with_its_time_a_line() -> None:
    lines = ['{"offset":0,"event":{"type":"response.created"}}', '{"offset":1.5,"event":{"type":"error"}}']
    recording = read_recording(lines)
    assert [record.t for record in recording.events()] == [0, 1.5]
    assert recording.has_times


@pytest.mark.parametrize(
    ("lines", "requests"),
    [
        ([event("error"), event("response.failed", "a"), event("response.created", "b")], "r1 r1 r2"),
        ([event("error"), event("error")], "r1 r2"),
        ([event("response.created", "a"), event("response.in_progress", "rotated")], "r1 r1"),
        ([event("response.created", "a"), event("response.created", "b"), event("x", "a")], "r1 r2 r1"),
        (
            [event("response.created", "a", "one"), event("response.created", "b", "two"), event("x", lane="one")],
            "r1 r2 r1",
        ),
        ([event("response.completed", "a"), event("response.x.delta")], "r1 r2"),
    ],
)
def test_requests_are_told_apart_by_their_responses(lines: list[str], requests: str) -> None:
    assert [record.request for record in read_recording(lines).events()] == requests.split()


def test_nesting_that_python_cannot_read_is_kept_as_text() -> None:
    depth = 200_000
    raw = f'{{"type":"x","deep":{"[" * depth}{"]" * depth}}}'
    (record,) = read_recording([HEADER, f'{{"t":0,"kind":"event","request":null,"frame":{raw}}}']).events()
    assert (record.frame, record.text) == (None, raw)


@pytest.mark.parametrize("torn", ['"frame":{"a":{}', '"frame":{"a":{"b":1}}', '"frame":{"a":"x}'])
def test_a_line_that_is_torn_inside_of_its_frame(torn: str) -> None:
    line = f'{{"t":0,"kind":"event","request":null,{torn}'
    recording = read_recording([HEADER, line])
    assert (recording.records, recording.torn) == ((), line)


def test_the_mark_of_a_frame_inside_of_another_value() -> None:
    line = '{"t":0,"kind":"stage","pipeline":{"a":1,"frame":{}},"stage":1,"operator":"x","what":"next"}'
    with pytest.raises(ValueError, match="no valid `pipeline`"):
        read_recording([HEADER, line])


def lines_of_chance(draw: random.Random) -> list[str]:
    return "".join(draw.choice('{}[]",:\n\\ t0kind') for _ in range(30)).split("\n")


def test_random_text_is_read_or_refused() -> None:
    draw = random.Random(5)
    for _ in range(examples(500)):
        with contextlib.suppress(ValueError):
            read_recording(lines_of_chance(draw))
