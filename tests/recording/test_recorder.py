"""A recording is written soon, within its bound, and never breaks a stream."""

from __future__ import annotations

import gc
import json
import logging
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

import pytest

from rxresponses.known_secrets import Secrets
from rxresponses.recording import recorder as module
from rxresponses.recording.file import load_recording
from rxresponses.recording.format import (
    ConnectionRecord,
    EndRecord,
    EventRecord,
    RequestRecord,
    StoppedRecord,
)
from rxresponses.recording.recorder import Recorder
from rxresponses.recording.tape import Ended, Sent, State, Tape, Undecodable
from tests.support.recordings import KEY


class Request:
    stream_id = "main"


def event(number: int = 0, text: str = "Hello") -> bytes:
    return json.dumps({"type": "x", "sequence_number": number, "delta": text}).encode()


def tape_of(recorder: Recorder, connection: str = "c1") -> Tape:
    return recorder.add(Tape(connection, Secrets([KEY])))


def note(tape: Tape, what: Any, request: object = None) -> None:
    if isinstance(what, bytes):
        tape.received(request, what)
    else:
        tape.note(what)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "session.jsonl"
    gc.collect()  # a file that is not closed is a warning, and so an error


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "the condition did not hold"
        threading.Event().wait(0.005)


def test_what_is_noted_is_written(path: Path) -> None:
    one, two = Request(), Request()
    with Recorder(path) as recorder:
        tape = tape_of(recorder)
        assert recorder.path == path
        note(tape, State("open"))
        note(tape, Sent(one, b'{"type":"response.create","input":"Hi"}'))
        note(tape, event(1), one)
        note(tape, event(2), two)
        note(tape, Undecodable(b"no \xff JSON"))
        note(tape, b'{\n"type":"x"}', one)
        note(tape, Ended(one, "completed"))
        note(tape, Ended(two, "error", {"type": "E", "message": f"lost {KEY}"}))
        note(tape, State("closed", 1006, f"by {KEY}"))
        note(tape, State("closed", 1000, ""))
    found = load_recording(path)
    assert found.header.contents == "full"
    assert found.header.created is not None
    assert found.torn is None
    times = [record.t for record in found.records]
    assert times == sorted(times)
    assert times[0] >= 0
    t = iter(times)
    assert found.records == (
        ConnectionRecord(next(t), "c1", "open"),
        RequestRecord(next(t), "r1", {"type": "response.create", "input": "Hi"}, "c1", "main"),
        EventRecord(next(t), "r1", json.loads(event(1)), "c1", "main", event(1).decode()),
        EventRecord(next(t), "r2", json.loads(event(2)), "c1", "main", event(2).decode()),
        EventRecord(next(t), None, None, "c1", None, "no \udcff JSON"),
        EventRecord(next(t), "r1", {"type": "x"}, "c1", "main", '{\n"type":"x"}'),
        EndRecord(next(t), "r1", "completed"),
        EndRecord(next(t), "r2", "error", {"type": "E", "message": "lost (hidden)"}),
        ConnectionRecord(next(t), "c1", "closed", 1006, "by (hidden)"),
        ConnectionRecord(next(t), "c1", "closed", 1000),
    )


def test_redacted_contents(path: Path) -> None:
    request = Request()
    with Recorder(path, contents="redacted") as recorder:
        tape = tape_of(recorder)
        note(tape, Sent(request, json.dumps({"model": "gpt", "input": f"Grüße {KEY}"}).encode()))
        note(tape, event(5, "Hello"), request)
        note(tape, Undecodable(b"Hello"))
        note(tape, Ended(request, "error", {"type": "E", "message": "Hello"}))
    text = path.read_text(encoding="utf-8")
    assert "Hello" not in text
    assert KEY not in text
    assert "xxxxx" in text
    assert '"sequence_number":5' in text
    assert load_recording(path).header.contents == "redacted"


def test_a_slow_stream_is_written_while_it_runs(path: Path) -> None:
    with Recorder(path) as recorder:
        tape = tape_of(recorder)
        note(tape, event())
        wait_for(lambda: len(load_recording(path).records) == 1)
        assert not tape.entries


def test_a_fast_stream_is_written_when_it_has_run_for_a_while(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CALM", 0)  # every stream is fast
    monkeypatch.setattr(module, "_INTERVAL", 0.01)
    with Recorder(path) as recorder:
        tape = tape_of(recorder)
        note(tape, event())
        wait_for(lambda: len(load_recording(path).records) == 1)


def test_a_fast_stream_of_many_bytes_is_written_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CALM", 0)
    monkeypatch.setattr(module, "_LONGEST_WAIT", 10**9)
    monkeypatch.setattr(module, "_MOST_WAITING", 10)
    with Recorder(path) as recorder:
        tape = tape_of(recorder)
        note(tape, event())
        wait_for(lambda: len(load_recording(path).records) == 1)


def test_a_file_that_is_slower_than_the_streams_ends_the_recording(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_TOO_MUCH_WAITING", 10)
    with Recorder(path) as recorder:
        tape = tape_of(recorder)
        note(tape, event())
        wait_for(lambda: not recorder.is_open)
    (last,) = load_recording(path).records
    assert isinstance(last, StoppedRecord)
    assert last.why in caplog.text
    assert not tape.entries


@pytest.mark.parametrize("most", [1000, 1500, 5000])
def test_the_bound_is_kept_and_said(path: Path, most: int, caplog: pytest.LogCaptureFixture) -> None:
    ended: list[int] = []
    with Recorder(path, max_bytes=most) as recorder:
        tape = tape_of(recorder)
        recorder.when_ended(lambda: ended.append(1))
        for number in range(200):
            note(tape, event(number))
        wait_for(lambda: not recorder.is_open)
        note(tape, event(200))
    size = path.stat().st_size
    assert most - 200 < size <= most
    found = load_recording(path)
    assert found.torn is None
    assert isinstance(found.records[-1], StoppedRecord)
    assert found.records[-1].why == "max_bytes"
    events = [record.frame for record in found.events()]
    assert events == [json.loads(event(number)) for number in range(len(events))]
    assert ended == [1]
    assert caplog.text.count("stops here: max_bytes") == 1


def test_the_bound_is_kept_where_lines_are_written_in_several_pieces(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 1)
    with Recorder(path, max_bytes=1500) as recorder:
        tape = tape_of(recorder)
        with recorder._lock:  # so that all is written together
            for number in range(200):
                note(tape, event(number))
    records = load_recording(path).records
    assert isinstance(records[-1], StoppedRecord)
    assert [record.frame for record in records[:-1] if isinstance(record, EventRecord)] == [
        json.loads(event(number)) for number in range(len(records) - 1)
    ]


def test_frames_with_line_breaks_are_written_as_texts_and_others_of_their_time_are_not(path: Path) -> None:
    with Recorder(path) as recorder:
        tape = tape_of(recorder)
        tape.entries += (time.monotonic(), event(1), b'{\n"type":"x"}', event(2))
    assert [record.raw for record in load_recording(path).events()] == [
        event(1).decode(),
        '{\n"type":"x"}',
        event(2).decode(),
    ]
    assert path.read_text(encoding="utf-8").count('"text":') == 1


def test_a_bound_that_is_not_reached(path: Path) -> None:
    with Recorder(path, max_bytes=5000) as recorder:
        tape = tape_of(recorder)
        note(tape, event())
    assert len(load_recording(path).records) == 1


def test_an_existing_file_is_refused_or_overwritten(path: Path) -> None:
    path.write_text("precious", encoding="utf-8")
    with pytest.raises(FileExistsError, match=r"nothing is appended to it; name another file, or .*session\.jsonl"):
        Recorder(path)
    assert path.read_text(encoding="utf-8") == "precious"
    with Recorder(path, existing="overwrite"):
        pass
    assert load_recording(path).records == ()


@pytest.mark.parametrize(
    "options", [{"contents": "some"}, {"existing": "append"}, {"max_bytes": 10}, {"max_bytes": True}]
)
def test_a_wrong_option_is_refused_before_the_file_is_made(path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"`{next(iter(options))}` must be"):
        Recorder(path, **options)
    assert not path.exists()


def test_why_nothing_is_appended_is_said(path: Path) -> None:
    existing: Any = "append"
    with pytest.raises(ValueError, match="its times count, so nothing is appended"):
        Recorder(path, existing=existing)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")
def test_only_the_owner_may_read_the_file(path: Path) -> None:
    Recorder(path).close()
    assert path.stat().st_mode & 0o077 == 0


def test_close_twice_dispose_and_repr(path: Path) -> None:
    recorder = Recorder(path)
    assert repr(recorder) == f"<Recorder {path} open>"
    ended: list[int] = []
    recorder.when_ended(lambda: ended.append(1))
    recorder.dispose()
    recorder.close()
    recorder.when_ended(lambda: ended.append(2))
    assert ended == [1, 2]
    assert repr(recorder) == f"<Recorder {path} closed>"


def test_the_path_counts_from_the_folder_of_the_start(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    with Recorder("here.jsonl") as recorder:
        tape = tape_of(recorder)
        monkeypatch.chdir("/")
        note(tape, event())
    assert len(load_recording(path.parent / "here.jsonl").records) == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_when_the_file_is_made() -> None:
    with pytest.raises(OSError, match="No space left"):
        Recorder("/dev/full", existing="overwrite")


def test_a_file_that_cannot_be_written_is_reported_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Recorder(path) as recorder:
        tape = tape_of(recorder)
        assert recorder._file is not None
        recorder._file.close()  # as a full disk: each write raises
        note(tape, event())
        wait_for(lambda: not recorder.is_open)
        note(tape, event())
    assert recorder.error is not None
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "the streams go on: ValueError" in caplog.text


def test_a_write_that_takes_a_part_only_is_continued(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Recorder(path) as recorder:
        tape = tape_of(recorder)
        file = cast("IO[bytes]", recorder._file)

        class Slow:
            def write(self, data: memoryview) -> int:
                return file.write(data[:7])

            def close(self) -> None:
                file.close()

        recorder._file = Slow()  # type: ignore[assignment]
        note(tape, event())
    assert len(load_recording(path).records) == 1


def test_what_is_not_written_when_the_file_cannot_be_closed(path: Path) -> None:
    recorder = Recorder(path)
    file = cast("IO[bytes]", recorder._file)

    class Broken:
        def close(self) -> None:
            file.close()
            raise OSError("quota")

    recorder._file = Broken()  # type: ignore[assignment]
    recorder.close()
    assert not recorder.is_open


def test_names_of_requests_are_kept_for_a_while_after_their_end(path: Path) -> None:
    requests = [Request() for _ in range(400)]
    with Recorder(path) as recorder:
        tape = tape_of(recorder)
        for request in requests:
            note(tape, event(), request)
            note(tape, Ended(request, "disposed"))
            note(tape, event(), request)  # of the response that the server has not ended
    assert len(load_recording(path).requests) == 400
    assert len(recorder._lines._names) == 256


PROGRAM = """
    import os, sys
    from rxresponses.recording.tape import Tape
    from rxresponses.recording.recorder import Recorder

    recorder = Recorder(sys.argv[1])
    tape = recorder.add(Tape())
    for number in range(3):
        tape.entries.append(b'{"type":"x"}')
"""


def test_a_program_that_ends_writes_what_waits_and_a_fork_of_it_does_not(path: Path) -> None:
    program = textwrap.dedent(PROGRAM)
    if hasattr(os, "fork"):
        program += "if os.fork() == 0:\n    sys.exit()\nos.wait()"
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert len(load_recording(path).records) == 3


def test_events_of_several_connections_stay_in_their_order(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_INTERVAL", 0.001)
    with Recorder(path) as recorder:
        tapes = [tape_of(recorder, name) for name in ("c1", "c2", "c3")]
        for number in range(6000):
            tape = tapes[number // 4 % 3]
            if number % 4 == 0:
                tape.entries.append(time.monotonic())
            tape.entries.append(event(number))
    numbers = [found.frame["sequence_number"] for found in load_recording(path).events() if found.frame]
    assert numbers == list(range(6000))


def test_what_is_noted_later_than_a_time_stays_on_the_tape() -> None:
    tape = Tape()
    tape.entries += (1.0, b"a", 2.0, b"b", b"c", 3.0, None, b"d")
    assert tape.take(0.5) == []
    assert tape.take(2.5) == [1.0, b"a", 2.0, b"b", b"c"]
    assert tape.take(3.0) == []
    tape.entries += (4.0, b"e")
    assert tape.take(4.0) == [3.0, None, b"d"]
    assert tape.take(9.0) == [4.0, b"e"]
