from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import reactivex
from reactivex import Observable
from reactivex import operators as ops
from typing_extensions import assert_type

from rxresponses import ResponsesWebSocket
from rxresponses.errors import DecodeError
from rxresponses.known_secrets import Secrets
from rxresponses.operators import record
from rxresponses.recording.file import load_recording
from rxresponses.recording.recorder import Recorder
from rxresponses.recording.replay import replay
from rxresponses.testing import ResponsesServer
from rxresponses.wire.codec import binary_message, decode, undecodable
from rxresponses.wire.events import ResponseTextDeltaEvent, ServerEvent
from rxresponses.wire.events.base import set_secrets
from tests.support.recordings import KEY, ends

from ..support.events import completed, created, delta
from ..support.marbles import ManualSource, marbles


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "stream.jsonl"


def test_marble_of_the_docstring(path: Path) -> None:
    events = [created(), delta("He"), delta("llo"), completed()]
    seen = marbles(record(path), *zip((210, 220, 230, 240), events, strict=True), (250, None))
    assert seen.values == events
    assert seen.completions == [250]
    assert [event.frame for event in load_recording(path).events("r1")] == [json.loads(e.to_json()) for e in events]
    assert ends(path) == [("r1", "completed")]


def test_frames_that_are_no_json_and_binary_messages(path: Path) -> None:
    text, binary = b"no JSON", json.dumps({"type": "x"}).encode()
    events = [decode(b"{}"), undecodable(text, DecodeError("no")), binary_message(binary), completed()]
    reactivex.of(*events).pipe(record(path)).run()
    found = load_recording(path).events("r1")
    assert [(event.frame, event.binary) for event in found[:3]] == [({}, False), (None, False), (None, True)]
    again = replay(path, speed=math.inf).pipe(ops.to_list()).run()
    assert [event.raw for event in again[:3]] == [b"{}", text, binary]
    assert again[2] == events[2]


def test_the_file_is_whole_before_the_end_is_told(path: Path) -> None:
    seen: list[list[tuple[str, str]]] = []
    reactivex.of(created(), completed()).pipe(record(path)).subscribe(on_completed=lambda: seen.append(ends(path)))
    assert seen == [[("r1", "completed")]]


def test_an_error_and_a_dispose(path: Path, tmp_path: Path) -> None:
    source: ManualSource[ServerEvent] = ManualSource()
    failures: list[Exception] = []
    source.observable.pipe(record(path)).subscribe(on_error=failures.append)
    source.fail(OSError("lost"))
    assert ends(path) == [("r1", "error")]
    other = tmp_path / "other.jsonl"
    source.observable.pipe(record(other)).subscribe().dispose()
    assert ends(other) == [("r1", "disposed")]


def test_a_file_that_cannot_be_made_ends_the_stream_before_it_begins(path: Path) -> None:
    path.write_text("precious", encoding="utf-8")
    source: ManualSource[ServerEvent] = ManualSource()
    failures: list[Exception] = []
    source.observable.pipe(record(path)).subscribe(on_error=failures.append)
    assert [type(error) for error in failures] == [FileExistsError]
    assert not source.observers
    source.observable.pipe(record(path, existing="overwrite")).subscribe().dispose()
    assert ends(path) == [("r1", "disposed")]


def test_several_subscriptions_in_one_file(path: Path) -> None:
    with Recorder(path) as recorder:
        events = reactivex.of(created(stream_id="main"), completed()).pipe(
            record(recorder), ops.repeat(2)
        )  # the lane is that of the first event
        assert events.pipe(ops.count()).run() == 4
        assert recorder.is_open
    assert ends(path) == [("r1", "completed"), ("r2", "completed")]
    assert load_recording(path).events("r2")[0].lane == "main"


def test_a_recording_that_has_ended_lets_the_stream_go_on(path: Path) -> None:
    recorder = Recorder(path)
    events = reactivex.of(created()).pipe(record(recorder))
    recorder.close()
    assert events.run() == created()
    assert not load_recording(path).records
    with pytest.raises(ValueError, match=r"stream.jsonl is closed, and would record nothing: make another `Recorder`"):
        record(recorder)


def test_secrets_that_the_server_sends_back(path: Path) -> None:
    first, second = decode(b'{"type":"response.created","response":{"id":"r"}}'), delta(f"the key is {KEY}")
    set_secrets(first, Secrets([KEY]))
    reactivex.of(first, second).pipe(record(path)).run()
    assert KEY not in path.read_text(encoding="utf-8")
    assert [event.type for event in replay(path).pipe(ops.to_list()).run()] == [first.type, second.type]


def test_a_dispose_inside_of_the_end_is_none(path: Path) -> None:
    source: ManualSource[ServerEvent] = ManualSource()
    subscription = source.observable.pipe(record(path)).subscribe(on_completed=lambda: subscription.dispose())
    source.complete()
    assert ends(path) == [("r1", "completed")]


def test_frames_of_any_kind(path: Path) -> None:
    frames: list[bytes | str] = [b'{"type":"x","y":"\\ud83c"}', '{"type":"y","z":"\u2028"}']
    reactivex.from_iterable(map(decode, frames)).pipe(record(path)).run()
    raws = [event.raw for event in replay(path).pipe(ops.to_list()).run()]
    assert raws == [frame.encode() if isinstance(frame, str) else frame for frame in frames]


@pytest.fixture
def server() -> Iterator[ResponsesServer]:
    with ResponsesServer(api_key=KEY) as server:
        yield server


def test_with_a_server(server: ResponsesServer, path: Path) -> None:
    server.reply(f"Hello, you have sent {KEY}.")
    with ResponsesWebSocket(server.url, api_key=KEY) as socket:
        request: dict[str, Any] = {"model": "m", "input": "Hi"}
        events = socket.send_request(request).pipe(record(path), ops.to_list()).run()
    assert KEY not in path.read_text(encoding="utf-8")
    again = replay(path, speed=math.inf).pipe(ops.to_list()).run()
    assert [event.type for event in again] == [event.type for event in events]
    assert again[0] == events[0]


def test_type() -> None:
    source = ManualSource[ResponseTextDeltaEvent]().observable
    assert_type(source.pipe(record("x")), Observable[ResponseTextDeltaEvent])


def test_a_recorder_that_has_ended_at_its_bound_is_no_mistake(path: Path) -> None:
    with Recorder(path, max_bytes=1000) as recorder:
        reactivex.of(*[delta("x" * 500)] * 3).pipe(record(recorder)).run()
        recorder._write_all()
        assert not recorder.is_open
        assert reactivex.of(completed()).pipe(record(recorder)).run().type == "response.completed"
