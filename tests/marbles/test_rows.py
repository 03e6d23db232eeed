"""From the records of a recording to the lines of a diagram."""

from __future__ import annotations

import math
import sys
from typing import Any

import pytest

from rxresponses.marbles.diagram import SIGNS, Diagram, Ending, Row
from rxresponses.marbles.page import page_of
from rxresponses.marbles.rows import diagram_of
from rxresponses.marbles.selection import Selection, choices
from rxresponses.marbles.svg import svg_of
from rxresponses.recording.format import ConnectionRecord, EndRecord, EventRecord, Record, StoppedRecord

from .builders import HOSTILE, event, large, recording, request, session, stage, text


def diagram(*records: Record, **more: Any) -> Diagram:
    return diagram_of(recording(*records), **more)


def row(*records: Record) -> Row:
    (found,) = diagram(*records).rows
    return found


def names(found: Diagram) -> list[str]:
    return [row.name for row in found.rows]


class TestRequests:
    def test_a_request_with_its_events(self) -> None:
        found = row(
            request(1, model="gpt-5", input="Say hello"),
            event(1.2, "response.created"),
            text(1.5, "Hel"),
            text(1.6, "lo"),
            event(1.8, "response.completed"),
            EndRecord(1.81, "r1", "completed"),
        )
        assert (found.kind, found.name, found.lane) == ("request", "r1", None)
        assert [marble.text for marble in found.marbles] == ["created", "Hel", "lo", "completed"]
        assert [marble.at for marble in found.marbles] == [1.2, 1.5, 1.6, 1.8]
        assert [marble.record for marble in found.marbles] == [1, 2, 3, 4]
        assert [marble.is_piece for marble in found.marbles] == [False, True, True, False]
        assert found.ending == Ending(1.81, "completed")
        assert found.first_text == 1.5
        assert found.note == "gpt-5 “Say hello”"
        assert found.facts == "first text 500 ms · 4 events · 810 ms"
        assert found.record == 0

    def test_without_a_text_there_is_no_first_one(self) -> None:
        found = row(request(0), event(1, "response.created"))
        assert found.first_text is None
        assert found.facts == "1 event · 1 s"

    def test_requests_of_a_lane_are_together(self) -> None:
        found = diagram(request(0, "r1", "a"), request(1, "r2", "b"), request(2, "r3", "a"), request(3, "r4"))
        assert names(found) == ["r1", "r3", "r2", "r4"]

    def test_a_request_without_events_has_a_line(self) -> None:
        found = row(request(3))
        assert found.marbles == ()
        assert found.ending == Ending(3, "open")

    def test_events_whose_request_is_not_recorded(self) -> None:
        found = row(text(2, lane="a"), text(3, lane="a"))
        assert (found.lane, found.begin, found.first_text, found.record) == ("a", 2, None, None)
        assert found.facts == "2 events · 1 s"

    def test_the_lane_may_be_known_from_the_events_only(self) -> None:
        assert row(request(0), text(1, lane="a")).lane == "a"

    def test_events_of_no_request(self) -> None:
        records: list[Record] = [
            text(0, name=None),
            EventRecord(1, None, None, raw="oops\n"),
            request(2),
            text(3, name=None, lane="a"),
        ]
        found = diagram(*records)
        assert [(row.kind, row.name, row.lane) for row in found.rows] == [
            ("request", "r1", None),
            ("other", "no request", None),
            ("other", "no request", "a"),
        ]
        assert [(marble.kind, marble.text) for marble in found.rows[1].marbles][1] == ("(no JSON object)", "oops↵")
        assert found.frames[1] == "oops\n"

    def test_a_request_that_is_recorded_twice(self) -> None:
        found = row(request(0, input="first"), request(1, input="second"))
        assert (found.begin, found.note) == (0, "“first”")

    def test_a_steer_has_its_line(self) -> None:
        found = row(request(0, type="response.steer", input="Shorter"))
        assert found.note == "steer “Shorter”"

    @pytest.mark.parametrize(
        ("given", "prompt"),
        [
            ("Hi", "Hi"),
            ([{"role": "user", "content": "first"}, {"role": "user", "content": "last"}], "last"),
            ([{"role": "user", "content": [{"type": "input_text", "text": "in a part"}]}], "in a part"),
            ([{"type": "function_call_output", "output": "42"}], "42"),
            ([{"type": "item_reference", "id": "x"}], ""),
            (None, ""),
        ],
    )
    def test_the_note_has_the_latest_prompt(self, given: Any, prompt: str) -> None:
        assert row(request(0, input=given)).note == (f"“{prompt}”" if prompt else "")

    def test_credentials_of_tools_are_hidden(self) -> None:
        tool = {"type": "mcp", "authorization": "secret-token", "headers": {"X-Key": "secret-key"}}
        found = diagram(request(0, tools=[tool]))
        assert "secret" not in str(found.frames)


class TestEndings:
    @pytest.mark.parametrize(
        ("kind", "fields", "ending"),
        [
            ("response.completed", {}, ("completed", "")),
            ("response.failed", {"response": {"error": {"code": "server_error", "message": "Sorry"}}}, None),
            ("response.incomplete", {"response": {"incomplete_details": {"reason": "max_output_tokens"}}}, None),
            ("response.incomplete", {"response": {"incomplete_details": {}}}, ("incomplete", "")),
            ("error", {"error": {"code": "rate_limit"}}, ("error", "rate_limit")),
            ("response.done", {"response": {"status": "failed"}}, ("failed", "")),
            ("response.done", {"response": {"status": "cancelled"}}, ("incomplete", "")),
            ("response.done", {"response": {"status": 3}}, ("completed", "")),
            ("response.done", {}, ("completed", "")),
            ("response.cancelled", {}, ("incomplete", "")),
        ],
    )
    @pytest.mark.parametrize("has_end", [True, False])
    def test_how_a_response_ends(
        self, kind: str, fields: dict[str, Any], ending: tuple[str, str] | None, has_end: bool
    ) -> None:
        expected = (
            ending
            or {
                "response.failed": ("failed", "server_error: Sorry"),
                "response.incomplete": ("incomplete", "max_output_tokens"),
            }[kind]
        )
        records: list[Record] = [request(0), event(1, kind, **fields)]
        found = row(*records, *([EndRecord(1, "r1", "completed")] if has_end else []))
        assert (found.ending.sign, found.ending.text) == expected

    def test_an_error_of_the_stream(self) -> None:
        error = {"type": "ConnectionLostError", "message": "lost\nhere", "delivery": "started"}
        found = row(request(0), text(1), EndRecord(2, "r1", "error", error))
        assert found.ending == Ending(2, "error", "ConnectionLostError: lost↵here")

    @pytest.mark.parametrize("error", [None, {}, {"type": "E"}, "odd"])
    def test_an_error_that_says_little(self, error: Any) -> None:
        found = row(request(0), EndRecord(2, "r1", "error", error))
        assert found.ending == Ending(2, "error", "E" if isinstance(error, dict) and error else "")

    def test_a_disposed_stream(self) -> None:
        assert row(request(0), EndRecord(2, "r1", "disposed")).ending == Ending(2, "disposed")

    def test_an_end_of_an_unknown_kind_is_an_error(self) -> None:
        assert row(request(0), EndRecord(2, "r1", "exploded")).ending.sign == "error"

    def test_a_stream_that_completes_without_an_event(self) -> None:
        assert row(EndRecord(2, "r1", "completed")).ending == Ending(2, "completed")

    def test_a_stream_without_an_end_is_open_until_the_end_of_the_recording(self) -> None:
        found = diagram(request(0, "r1"), text(1), request(4, "r2"))
        assert found.rows[0].ending == Ending(4, "open")

    def test_all_signs_have_a_meaning(self) -> None:
        assert set(SIGNS) == {"subscribed", "completed", "incomplete", "failed", "error", "disposed", "open"}


class TestStages:
    def test_the_lines_behind_operators_are_below_their_request(self) -> None:
        found = diagram(
            request(0, "r1", "a"),
            request(0.5, "r2", "a"),
            text(1, lane="a"),
            stage(1.1, "subscribed"),
            stage(1.2, "next", "Hel"),
            stage(1.3, "next", "HEL", 2, operator="map"),
            stage(2, "completed"),
            stage(2, "error", "ValueError: no", 2, operator="map"),
        )
        assert names(found) == ["r1", "text_deltas", "map", "r2"]
        first, second = found.rows[1:3]
        assert [(marble.family, marble.text, marble.kind) for marble in first.marbles] == [("value", "Hel", "next")]
        assert first.ending == Ending(2, "completed")
        assert second.ending == Ending(2, "error", "ValueError: no")
        assert (first.kind, first.lane, first.begin) == ("stage", "a", 1.1)
        assert first.facts == "1 value · 900 ms"
        assert found.count == 3
        assert found.values == 2
        assert found.frames[4] == "Hel"
        assert found.summary == "2 requests, 1 event, 2 values of operators in 2 s"

    def test_operators_are_in_the_order_of_the_pipeline(self) -> None:
        last_first = [stage(1, "subscribed", None, number, operator=f"op{number}") for number in (3, 2, 1)]
        ends = [stage(2, "completed", None, number, operator=f"op{number}") for number in (1, 2, 3)]
        assert names(diagram(request(0), *last_first, *ends)) == ["r1", "op1", "op2", "op3"]

    def test_a_pipeline_without_a_request(self) -> None:
        found = diagram(stage(0, "next", "1", request=None), stage(1, "disposed", request=None))
        (only,) = found.rows
        assert (only.kind, only.group, only.ending.sign) == ("stage", "p1", "disposed")

    def test_the_request_may_become_known_later(self) -> None:
        found = diagram(request(0), request(0, "r2"), stage(0.1, "subscribed", request=None), stage(1, "next", "x"))
        assert names(found) == ["r1", "text_deltas", "r2"]

    def test_the_request_of_a_pipeline_may_be_missing(self) -> None:
        assert names(diagram(stage(0, "next", "1"))) == ["text_deltas"]

    def test_two_pipelines_of_a_request(self) -> None:
        found = diagram(request(0), stage(1, "next", "a"), stage(1, "next", "b", pipeline="p2", operator="usage"))
        assert names(found) == ["r1", "text_deltas", "usage"]

    def test_a_pipeline_that_is_subscribed_to_again(self) -> None:
        """As by `retry`: the ends before the last one are marks."""
        whats = [(1, "subscribed"), (2, "error"), (3, "subscribed"), (4, "next"), (5, "disposed"), (5.5, "subscribed")]
        (going,) = diagram(*[stage(at, what) for at, what in whats]).rows
        assert [(mark.at, mark.sign) for mark in going.marks] == [one for one in whats if one[1] != "next"]
        assert going.ending.sign == "open"
        assert going.facts == "1 value · 3 subscriptions · 4.5 s"
        (ended,) = diagram(*[stage(at, what) for at, what in whats[:-1]]).rows
        assert [mark.sign for mark in ended.marks] == ["subscribed", "error", "subscribed"]
        assert ended.ending == Ending(5, "disposed")
        assert ended.begin == 1

    def test_two_subscriptions_at_a_time(self) -> None:
        whats = [(1, "subscribed"), (2, "subscribed"), (3, "completed"), (4, "next"), (5, "completed")]
        (only,) = diagram(*[stage(at, what) for at, what in whats]).rows
        assert [(mark.at, mark.sign) for mark in only.marks] == whats[:3]
        assert only.ending == Ending(5, "completed")

    def test_marks_are_bounded(self) -> None:
        (only,) = diagram(*[stage(at, "subscribed") for at in range(500)]).rows
        assert [mark.at for mark in only.marks] == list(range(400, 500))
        assert "500 subscriptions" in only.facts

    def test_what_is_not_known_ends_the_line_as_an_error(self) -> None:
        assert diagram(stage(0, "exploded")).rows[0].ending.sign == "error"

    def test_a_value_that_is_no_text(self) -> None:
        odd: Any = 3
        assert diagram(stage(0, "next", odd)).rows[0].marbles[0].text == "3"


class TestConnections:
    def test_a_connection_has_a_line_above_all(self) -> None:
        found = diagram(
            request(0),
            ConnectionRecord(0, "c1", "connecting"),
            ConnectionRecord(1, "c1", "open"),
            ConnectionRecord(2, "c1", "closed", 1006, "no close frame"),
        )
        assert names(found) == ["c1", "r1"]
        assert found.rows[0].ending == Ending(2, "error", "closed 1006 no close frame")
        assert found.rows[0].facts == "closed 1006 no close frame"

    @pytest.mark.parametrize(
        ("code", "sign"), [(1000, "completed"), (1001, "completed"), (None, "completed"), (4000, "error")]
    )
    def test_how_a_connection_is_closed(self, code: int | None, sign: str) -> None:
        found = row(ConnectionRecord(0, "c1", "closed", code, ""))
        assert (found.ending.sign, found.ending.text) == (sign, f"closed {code or ''}".strip())

    def test_an_open_connection(self) -> None:
        found = row(ConnectionRecord(0, "c1", "open"))
        assert (found.ending.sign, found.facts, found.note) == ("open", "", "open")


class TestTimes:
    def test_without_times_the_events_are_one_step_apart(self) -> None:
        records: list[Record] = [event(0, "response.created"), text(0), event(0, "response.completed")]
        found = diagram_of(recording(*records, has_times=False))
        assert [marble.at for marble in found.rows[0].marbles] == [0, 1, 2]
        assert found.summary == "1 request, 3 events"
        assert found.rows[0].facts == "3 events"
        assert found.rows[0].first_text is None
        assert (found.begin, found.end) == (0, 2)

    def test_records_out_of_order_are_put_in_order(self) -> None:
        found = diagram(request(0), text(3, "b"), text(1, "a"))
        assert [marble.text for marble in found.rows[0].marbles] == ["a", "b"]
        assert (found.begin, found.end) == (0, 3)

    @pytest.mark.parametrize("t", [math.nan, math.inf, -math.inf])
    def test_a_time_that_is_none(self, t: float) -> None:
        found = diagram(request(0), text(2), text(t))
        assert [marble.at for marble in found.rows[0].marbles] == [2, 2]

    def test_an_empty_recording(self) -> None:
        found = diagram()
        assert (found.rows, found.begin, found.end, found.count) == ((), 0, 0, 0)
        assert found.summary == "0 requests, 0 events in 0 ms"

    def test_twice_as_many_events_take_twice_as_many_steps(self) -> None:
        assert 1.5 < calls(1000) / calls(500) < 2.5


def calls(count: int) -> int:
    """Return how many functions are called to draw a recording with this many events."""
    found, number = large(count), 0

    def note(*_: object) -> None:
        nonlocal number
        number += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        diagram = diagram_of(found)
        svg_of(diagram)
        page_of(diagram)
    finally:
        sys.setprofile(before)
    return number


class TestSelection:
    RECORDS = (
        request(0, "r1", "a"),
        request(0, "r2"),
        event(1, "response.created", "r1", "a"),
        text(2, "A", "r1", "a"),
        text(3, "B", "r2"),
        stage(3, "next", "B", request="r1"),
        stage(3, "next", "C", request="r2", pipeline="p2", operator="usage"),
        event(4, "response.completed", "r1", "a"),
        EndRecord(5, "r1", "completed"),
        EndRecord(5, "r2", "disposed"),
    )

    def select(self, **selection: Any) -> Diagram:
        return diagram(*self.RECORDS, selection=Selection(**selection))

    def test_a_lane(self) -> None:
        found = self.select(lanes=["a"])
        assert names(found) == ["r1", "text_deltas"]
        assert found.count == 4

    def test_the_lane_without_a_name(self) -> None:
        assert names(self.select(lanes=["default"])) == ["r2", "usage"]

    def test_no_lane(self) -> None:
        assert names(self.select(lanes=["b"])) == []

    def test_a_type(self) -> None:
        found = self.select(types=["response.created"])
        assert [marble.kind for marble in found.rows[0].marbles] == ["response.created"]

    def test_a_family(self) -> None:
        found = self.select(types=["text"])
        assert [(row.name, [marble.text for marble in row.marbles]) for row in found.rows if row.kind == "request"] == [
            ("r1", ["A"]),
            ("r2", ["B"]),
        ]

    def test_values_of_operators(self) -> None:
        assert names(self.select(types=["value"])) == ["text_deltas", "usage"]

    def test_a_type_that_is_not_there(self) -> None:
        assert names(self.select(types=["audio"])) == []
        found = diagram(ConnectionRecord(0, "c1", "open"), text(1), selection=Selection(types=["audio"]))
        assert names(found) == ["c1"]

    def test_a_time(self) -> None:
        found = self.select(begin=2, end=3)
        assert [marble.text for row in found.rows for marble in row.marbles] == ["A", "B", "B", "C"]
        assert (found.begin, found.end) == (2, 3)
        assert found.rows[0].begin == 2
        assert found.rows[0].note == ""
        assert found.rows[0].ending.sign == "open"

    def test_a_time_in_which_nothing_is(self) -> None:
        found = self.select(begin=10, end=20)
        assert found.rows == ()
        assert (found.begin, found.end) == (10, 20)

    def test_the_choices(self) -> None:
        lanes, types = choices(recording(*self.RECORDS))
        assert lanes == ["a", "default"]
        assert types == ["lifecycle", "response.completed", "response.created", "response.output_text.delta", "text"]


def test_why_a_recording_is_not_whole() -> None:
    found = diagram_of(recording(text(0), StoppedRecord(1, "max_bytes"), torn='{"t":'))
    assert found.remark == (
        "the recording was stopped early (max_bytes); the last line of the recording is torn, and left out"
    )
    assert diagram(text(0)).remark == ""


@pytest.mark.parametrize("words", HOSTILE)
def test_no_text_can_break_a_line(words: str) -> None:
    records: list[Record] = [
        request(0, words or "r", words, model=words, input=words),
        event(1, words, words or "r", words, delta=words),
        EndRecord(2, words or "r", "error", {"type": words, "message": words}),
        stage(1, "next", words, operator=words, pipeline=words, request=words or "r"),
        ConnectionRecord(0, words, "closed", 4000, words),
    ]
    found = diagram(*records, title=words)
    shown = [found.title, *(text for row in found.rows for text in (row.name, row.lane or "", row.note, row.facts))]
    shown += [text for row in found.rows for marble in row.marbles for text in (marble.kind, marble.text)]
    shown += [row.ending.text for row in found.rows]
    for one in shown:
        one.encode()
        assert one.isprintable() or set(one) & {"\u200d"}, ascii(one)


def test_a_session() -> None:
    found = diagram_of(session(), title="A session")
    assert names(found) == ["c1", "r1", "r2", "text_deltas", "map(str.upper)", "buffer_with_count(12)", "r3"]
    assert [row.ending.sign for row in found.rows] == ["error", *["completed"] * 5, "error"]
