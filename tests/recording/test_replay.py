"""A replay emits equal events at the recorded times, on any scheduler."""

from __future__ import annotations

import asyncio
import json
import math
import threading
from pathlib import Path
from typing import Any

import pytest
import reactivex
from reactivex import operators as ops
from reactivex.scheduler import ImmediateScheduler
from reactivex.testing import TestScheduler

import rxresponses
from rxresponses import errors
from rxresponses.recording.errors import error_fields, error_from
from rxresponses.recording.file import load_recording
from rxresponses.recording.format import (
    ConnectionRecord,
    EndRecord,
    EventRecord,
    Record,
    Recording,
    RecordingHeader,
    RequestRecord,
    header_line,
)
from rxresponses.recording.replay import replay
from rxresponses.wire.codec import decode
from rxresponses.wire.events import ServerEvent
from tests.support.marbles import ManualScheduler

CREATED = {"type": "response.created", "response": {"id": "resp_1"}}


def delta(text: str) -> dict[str, Any]:
    return {"type": "response.output_text.delta", "delta": text, "item_id": "m", "output_index": 0, "content_index": 0}


def recording(*records: Record) -> Recording:
    return Recording(RecordingHeader(), records)


ONE = recording(
    ConnectionRecord(1.0, "c1", "open"),
    RequestRecord(10.0, "r1", {"type": "response.create"}),
    EventRecord(10.5, "r1", CREATED),
    EventRecord(11.0, "r1", delta("He")),
    EventRecord(11.0, "r1", delta("llo")),
    EndRecord(13.0, "r1", "completed"),
)
TWO = recording(
    RequestRecord(0, "r1", {}),
    RequestRecord(1, "r2", {}),
    EventRecord(2, "r2", delta("b")),
    EventRecord(2.5, None, None, raw="no JSON"),
    EventRecord(3, "r1", delta("a")),
    EndRecord(4, "r1", "error", {"type": "ConnectionLostError", "message": "lost", "delivery": "started"}),
    EndRecord(5, "r2", "completed"),
)


def timed(scheduler: TestScheduler, source: reactivex.Observable[ServerEvent]) -> list[tuple[float, str]]:
    """Subscribe, run the virtual time, and return what came when."""
    seen: list[tuple[float, str]] = []

    def note(what: str) -> None:
        seen.append((round(scheduler.clock, 6), what))

    source.subscribe(
        lambda event: note(getattr(event, "delta", event.type)),
        lambda error: note(type(error).__name__),
        lambda: note("|"),
        scheduler=scheduler,
    )
    assert not seen  # nothing inside of `subscribe`
    scheduler.start()
    return seen


def test_times_count_from_the_request() -> None:
    assert timed(TestScheduler(), replay(ONE)) == [
        (0.5, "response.created"),
        *((1.0, "He"), (1.0, "llo"), (3.0, "|")),
    ]


@pytest.mark.parametrize(("speed", "end"), [(2.0, 1.5), (0.5, 6.0), (math.inf, 0.0)])
def test_speed(speed: float, end: float) -> None:
    assert timed(TestScheduler(), replay(ONE, speed=speed))[-1] == (end, "|")


def test_all_requests_in_the_order_of_their_events() -> None:
    assert timed(TestScheduler(), replay(TWO)) == [(2.0, "b"), (2.5, ""), (3.0, "a"), (5.0, "|")]


def test_one_request_and_its_error() -> None:
    assert timed(TestScheduler(), replay(TWO, request="r1")) == [(3.0, "a"), (4.0, "ConnectionLostError")]
    assert timed(TestScheduler(), replay(TWO, request="r2")) == [(1.0, "b"), (4.0, "|")]


def test_what_came_after_the_error_of_a_stream_is_not_emitted() -> None:
    error = {"type": "IdleTimeoutError", "message": "nothing came", "delivery": "started"}
    late = EventRecord(3, "r1", delta("late"))  # the response of a request that was given up
    given_up = recording(
        RequestRecord(0, "r1", {}), EventRecord(1, "r1", delta("a")), EndRecord(2, "r1", "error", error)
    )
    source = Recording(given_up.header, (*given_up.records, late, EventRecord(4, None, {"type": "x"})))
    assert timed(TestScheduler(), replay(source)) == [(1, "a"), (2, "IdleTimeoutError")]
    assert timed(TestScheduler(), replay(source, request="r1")) == [(1, "a"), (2, "IdleTimeoutError")]
    disposed = Recording(given_up.header, (*given_up.records[:2], EndRecord(2, "r1", "disposed"), late))
    assert timed(TestScheduler(), replay(disposed)) == [(1, "a"), (3, "late"), (3, "|")]


def test_a_speed_so_small_that_no_timer_could_wait() -> None:
    assert timed(TestScheduler(), replay(ONE, speed=5e-324))[0] == (1e8, "response.created")


def test_the_immediate_scheduler_without_waiting() -> None:
    values: list[ServerEvent] = []
    replay(ONE, speed=math.inf, scheduler=ImmediateScheduler()).subscribe(values.append)
    assert len(values) == 3


def test_an_end_that_is_not_recorded_and_times_that_go_back() -> None:
    cut = recording(EventRecord(5, "r1", delta("a")), EventRecord(4, "r1", delta("b")))
    assert timed(TestScheduler(), replay(cut)) == [(0, "a"), (0, "b"), (0, "|")]


def test_cold_each_subscription_begins_anew() -> None:
    source = replay(ONE)
    assert timed(TestScheduler(), source) == timed(TestScheduler(), source)


def test_dispose_inside_of_an_event_and_between_two() -> None:
    for after in (1, 2):
        scheduler = TestScheduler()
        seen = timed(scheduler, replay(ONE).pipe(ops.take(after)))
        assert [what for _, what in seen] == [*["response.created", "He"][:after], "|"]
    scheduler = TestScheduler()
    values: list[ServerEvent] = []
    subscription = replay(ONE).subscribe(values.append, scheduler=scheduler)
    scheduler.schedule_absolute(0.7, lambda *_: subscription.dispose())
    scheduler.start()
    assert len(values) == 1


def test_a_timer_that_comes_after_the_dispose() -> None:
    scheduler, values = ManualScheduler(), list[ServerEvent]()
    subscription = replay(ONE, scheduler=scheduler).subscribe(values.append)
    subscription.dispose()
    scheduler.fire()
    assert not values


def test_an_observer_that_raises_gets_its_error_and_nothing_more() -> None:
    failures: list[Exception] = []
    scheduler = TestScheduler()

    def raises(event: ServerEvent) -> None:
        raise OSError("full")

    replay(ONE).subscribe(raises, failures.append, scheduler=scheduler)
    scheduler.start()
    assert [str(error) for error in failures] == ["full"]


def test_in_a_script_without_a_loop_and_in_a_program_with_one() -> None:
    assert len(replay(ONE, speed=math.inf).pipe(ops.to_list()).run()) == 3
    threads: list[int] = []

    async def main() -> None:
        noted = replay(ONE, speed=math.inf).pipe(ops.do_action(lambda _: threads.append(threading.get_ident())))
        assert len(await noted.pipe(ops.to_list())) == 3
        with pytest.raises(RuntimeError, match="would wait for ever"):
            replay(ONE).run()

    asyncio.run(main())
    assert set(threads) == {threading.get_ident()}


def test_at_once_needs_no_stack_and_leaves_the_loop_its_turns() -> None:
    records = [EventRecord(0, "r1", delta(str(number))) for number in range(3000)]
    turns: list[int] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        values: list[ServerEvent] = []

        def turn() -> None:
            turns.append(len(values))
            if len(values) < 3000:
                loop.call_soon(turn)

        loop.call_soon(turn)
        await replay(recording(*records), speed=math.inf).pipe(ops.do_action(values.append))

    asyncio.run(main())
    assert len(set(turns)) > 10


def test_the_events_are_those_that_came() -> None:
    raws = ['{"type":"response.output_text.delta" , "delta":"\\ud83c"}', '{"type":"new","x":1.0}']
    source = recording(*(EventRecord(0, "r1", json.loads(raw), raw=raw) for raw in raws))
    assert replay(source).pipe(ops.to_list()).run() == [decode(raw.encode()) for raw in raws]
    assert [event.raw for event in replay(source).pipe(ops.to_list()).run()] == [raw.encode() for raw in raws]


def test_a_file_with_one_event_a_line_has_no_times(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(f"{json.dumps(CREATED)}\n{json.dumps(delta('He'))}\n", encoding="utf-8")
    assert not load_recording(path).has_times
    assert timed(TestScheduler(), replay(path)) == [(0, "response.created"), (0, "He"), (0, "|")]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        ('{"rxresponses_rec', "the only line is torn, as after a crash"),
        (
            f"{header_line(RecordingHeader())}\n",
            "nothing was recorded, or nothing is written yet; the file is whole once",
        ),
        (f'{header_line(RecordingHeader())}\n{{"t":0,"ki', "the only line after the header is torn, as after a crash"),
        (
            f'{header_line(RecordingHeader())}\n{{"t":0,"kind":"connection","connection":"c1","state":"open"}}\n',
            "no request and no event was recorded",
        ),
    ],
)
def test_why_there_is_nothing_to_replay(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "session.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=f"session.jsonl: nothing to replay: {why}"):
        replay(path)
    with pytest.raises(ValueError, match="nothing to replay"):
        replay(load_recording(path))


def test_a_torn_last_line_is_left_out_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(f'{json.dumps(CREATED)}\n{{"type":"resp', encoding="utf-8")
    assert len(replay(path).pipe(ops.to_list()).run()) == 1
    assert "events.jsonl: the last line is torn, as after a crash, and is left out" in caplog.text


def test_a_file_with_bytes_that_are_no_utf_8_and_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    frame = b'{"type":"x","y":"\xff\xe2\x80\xa8"}'
    line = b'{"t":0,"kind":"event","request":"r1","connection":null,"lane":null,"frame":%b}\n' % frame
    path.write_bytes(header_line(RecordingHeader()).encode() + b"\n" + line + line[:-4])
    found = load_recording(path)
    assert found.torn is not None
    assert [event.raw for event in replay(path).pipe(ops.to_list()).run()] == [frame]


@pytest.mark.parametrize("speed", [0, -1, math.nan])
def test_a_speed_that_is_not_positive(speed: float) -> None:
    with pytest.raises(ValueError, match="`speed` must be positive"):
        replay(ONE, speed=speed)


@pytest.mark.parametrize("speed", ["2", None, True])
def test_a_speed_that_is_no_number(speed: Any) -> None:
    with pytest.raises(TypeError, match="`speed` must be a number"):
        replay(ONE, speed=speed)


def test_a_request_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no request 'r9': its requests are r1, r2"):
        replay(TWO, request="r9")
    with pytest.raises(ValueError, match="it has no request"):
        replay(recording(EventRecord(0, None, delta("a"))), request="r1")
    with pytest.raises(FileNotFoundError):
        replay(tmp_path / "none")
    (tmp_path / "letter").write_text("Dear reader", encoding="utf-8")
    with pytest.raises(ValueError, match=r"letter: line 1: no JSON object"):
        replay(tmp_path / "letter")


# Errors.

LIMITS = {"Retry-After": "2", "x-ratelimit-reset": "1s", "Set-Cookie": "secret"}
ERRORS: list[Exception] = [
    errors.ConnectionLostError("lost", delivery="started", response_id="resp_1", close_code=1006, code="x"),
    errors.MessageTooBigError("big", delivery="unknown", stream_id="main"),
    errors.ConnectFailedError("refused", status=429, headers=LIMITS, retry_after=2.0, lasting=True),
    errors.QueueTimeoutError(3.0, stream_id="a"),
    errors.QueueTimeoutError(3.0, why="nobody answers"),
    errors.IdleTimeoutError(1.5, delivery="started"),
    errors.BufferOverflowError(100),
    errors.BudgetExceededError("used up", unit="tokens", limit=100.0, spent=99.5),
    errors.SocketClosedError("closed", delivery="not_sent"),
    errors.PreviousResponseLostError("gone", previous_response_id="resp_0"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_comes_back_as_the_same(error: Exception) -> None:
    fields = json.loads(json.dumps(error_fields(error)))
    again = error_from(fields)
    assert type(again) is type(error)
    assert str(again) == str(error)
    expected = dict(vars(error))
    if "headers" in expected:
        assert "cookie" not in str(fields).lower()
        expected["headers"] = {name: value for name, value in dict(expected["headers"]).items() if name != "Set-Cookie"}
    assert vars(again) == expected


def test_the_error_of_a_budget_that_was_stopped_has_no_numbers_for_json() -> None:
    fields = error_fields(errors.BudgetExceededError("stopped", unit=None, limit=math.nan, spent=math.nan))
    again = error_from(json.loads(json.dumps(fields, allow_nan=False)))
    assert isinstance(again, errors.BudgetExceededError)
    assert again.unit is None
    assert math.isnan(again.limit)
    assert math.isnan(again.spent)


@pytest.mark.parametrize("name", [name for name in errors.__dict__ if name.endswith("Error")])
def test_every_error_can_be_made_of_its_name(name: str) -> None:
    error = error_from({"type": name, "message": "text"})
    assert type(error) is getattr(errors, name)
    assert str(error) == "text"
    assert repr(error)
    if isinstance(error, errors.RequestError):
        assert error.delivery == "unknown"


@pytest.mark.parametrize("delivery", [None, 7, ["started"], "lost"])
def test_a_delivery_that_does_not_exist_is_unknown(delivery: object) -> None:
    error = error_from({"type": "ConnectionLostError", "message": "lost", "delivery": delivery})
    assert isinstance(error, errors.ConnectionLostError)
    assert error.delivery == "unknown"


def test_the_attributes_of_a_programs_own_error_are_not_written() -> None:
    error = ValueError("wrong")
    error.__dict__["customer"] = "Alice"
    assert error_fields(error) == {"type": "ValueError", "message": "wrong"}


def test_the_error_of_a_program_becomes_a_request_error() -> None:
    error = error_from(error_fields(KeyError("x")))
    assert type(error) is errors.RequestError
    assert "KeyError" in str(error)
    assert type(error_from({})) is errors.RequestError
    assert rxresponses.RequestError is errors.RequestError
