"""`record` of a socket and of a client: what was sent and received, whatever becomes of it."""

from __future__ import annotations

import asyncio
import json
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import reactivex
from reactivex import operators as ops

from rxresponses import (
    Recorder,
    ResponsesClient,
    ResponsesWebSocket,
    ServerEvent,
    UnknownEvent,
    load_recording,
    replay,
)
from rxresponses import operators as rops
from rxresponses.errors import ConnectionLostError
from rxresponses.recording.collector import TapeCollector
from rxresponses.recording.format import ConnectionRecord, EndRecord, EventRecord, RequestRecord
from rxresponses.recording.tape import Sent, State, Tape, Undecodable
from rxresponses.testing import Close, Hold, Inject, Raw, ResponsesServer, Text
from tests.support.fleets import OneServerFleet
from tests.support.recordings import KEY, ends, wait_for_records

REQUEST: dict[str, Any] = {"model": "m", "input": "Hi"}


@pytest.fixture
def server() -> Iterator[ResponsesServer]:
    with ResponsesServer(api_key=KEY) as server:
        yield server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "session.jsonl"


@pytest.mark.parametrize("sender", [ResponsesWebSocket, ResponsesClient, OneServerFleet])
def test_a_session_replays_to_an_equal_list(
    server: ResponsesServer, path: Path, sender: type[ResponsesWebSocket] | type[ResponsesClient]
) -> None:
    server.on("", Raw(list(map(json.dumps, frames(50)))))
    seen: list[ServerEvent] = []
    with sender(server.url, api_key=KEY) as socket, socket.record(path):
        socket.events.subscribe(seen.append)
        reactivex.merge(*(socket.send_request(REQUEST, stream_id=f"lane{n}") for n in range(4))).run()
    assert len(seen) == 200
    again = replay(path, speed=math.inf).pipe(ops.to_list()).run()
    assert again == seen
    assert [event.raw for event in again] == [event.raw for event in seen]
    first = replay(path, speed=math.inf, request="r1").pipe(ops.to_list()).run()
    assert len(first) == 50


def frames(count: int) -> Iterator[dict[str, Any]]:
    yield {"type": "response.created", "response": {"id": "resp_1", "output": []}}
    for number in range(count - 2):
        yield {"type": "response.output_text.delta", "delta": f"word {number}\n", "item_id": "m", "n": 1.0}
    yield {"type": "response.completed", "response": {"id": "resp_1", "status": "completed", "output": []}}


def test_the_records_of_one_request(server: ResponsesServer, path: Path) -> None:
    server.reply(f"Hello, you have sent {KEY}.")
    tool = {"type": "mcp", "server_label": "s", "server_url": "https://user:pass-12345@host/p", "headers": {"X": "y"}}
    with ResponsesWebSocket(server.url, api_key=KEY) as socket:
        socket.record(path)
        socket.send_request({**REQUEST, "instructions": f"My key is {KEY}", "tools": [tool]}, stream_id="main").run()
    found = load_recording(path)
    text = path.read_text(encoding="utf-8")
    assert KEY not in text
    assert "pass-12345" not in text
    states = [record.state for record in found.records if isinstance(record, ConnectionRecord)]
    assert states == ["connecting", "open", "closed"]
    (request,) = (record for record in found.records if isinstance(record, RequestRecord))
    assert (request.request, request.connection, request.lane) == ("r1", "c1", "main")
    assert request.frame["input"] == "Hi"
    assert request.frame["instructions"] == "My key is (hidden)"
    assert request.frame["tools"][0]["headers"] == {"X": "(hidden)"}
    assert ends(path) == [("r1", "completed")]
    assert {event.request for event in found.events()} == {"r1"}
    assert {event.connection for event in found.events()} == {"c1"}
    assert [record.t for record in found.records] == sorted(record.t for record in found.records)


def test_a_lost_connection_replays_as_the_same_error(server: ResponsesServer, path: Path) -> None:
    server.reply([Text("Hello"), Close(1011, f"broken {KEY}", after=4)])
    failures: list[Exception] = []
    with ResponsesWebSocket(server.url, api_key=KEY) as socket, socket.record(path):
        events = socket.send_request(REQUEST).pipe(ops.do_action(on_error=failures.append), ops.to_list())
        with pytest.raises(ConnectionLostError):
            events.run()
    assert ends(path) == [("r1", "error")]
    assert KEY not in path.read_text(encoding="utf-8")
    (closed,) = (r for r in load_recording(path).records if isinstance(r, ConnectionRecord) and r.state == "closed")
    assert (closed.code, closed.reason) == (1011, "broken (hidden)")
    with pytest.raises(ConnectionLostError) as caught:
        replay(path, speed=math.inf).run()
    assert str(caught.value) == str(failures[0])
    assert vars(caught.value) == {name: value for name, value in vars(failures[0]).items() if name[0] != "_"}


def test_a_dispose_and_the_events_after_it(server: ResponsesServer, path: Path) -> None:
    gate = server.gate()
    server.reply([Text("Hello"), Hold(gate, after=3)])
    with ResponsesWebSocket(server.url, api_key=KEY) as socket, socket.record(path):
        socket.send_request(REQUEST).pipe(ops.take(3)).run()
        wait_for_records(path, EndRecord, 1)
        gate.open()
        server.reply("Again")
        socket.send_request(REQUEST).run()
    assert ends(path) == [("r1", "disposed"), ("r2", "completed")]
    found = load_recording(path)
    assert [event.frame["type"] for event in found.events("r1") if event.frame][-1] == "response.completed"


def test_an_observer_that_raises_and_a_frame_that_is_no_json(server: ResponsesServer, path: Path) -> None:
    server.reply(Raw(["no JSON \x7f", *map(json.dumps, frames(3))]))

    def raises(event: ServerEvent) -> None:
        raise OSError("full")

    with ResponsesWebSocket(server.url, api_key=KEY) as socket, socket.record(path):
        failures: list[Exception] = []
        socket.send_request(REQUEST).subscribe(raises, failures.append)
        wait_for_records(path, EndRecord, 1)
    assert ends(path) == [("r1", "error")]
    assert [str(error) for error in failures] == ["full"]
    (text,) = (event.text for event in load_recording(path).events() if event.text is not None)
    assert text == "no JSON \x7f"


def test_a_binary_message_is_told_as_such(server: ResponsesServer, path: Path) -> None:
    binary = json.dumps(next(iter(frames(3)))).encode()
    server.reply(["Hello", Inject(binary, after=2), Inject(f"\xff {KEY}".encode("latin-1"), after=2)])
    seen: list[ServerEvent] = []
    with ResponsesWebSocket(server.url, api_key=KEY) as socket, socket.record(path):
        socket.events.subscribe(seen.append)
        socket.send_request(REQUEST).run()
    shown = [event.raw for event in load_recording(path).events() if event.binary]
    assert shown == [binary.decode(), "\udcff (hidden)"]
    again = replay(path, speed=math.inf).pipe(ops.to_list()).run()
    assert [event for event in again if event.raw != b"\xff (hidden)"] == [
        event for event in seen if event.raw != f"\xff {KEY}".encode("latin-1")
    ]
    (told,) = [event for event in again if event.raw == binary]
    assert isinstance(told, UnknownEvent)
    assert told.reason is not None
    assert "binary" in told.reason


def test_recording_begins_and_ends_while_the_socket_works(server: ResponsesServer, path: Path, tmp_path: Path) -> None:
    server.on("", "Hello")
    with ResponsesWebSocket(server.url, api_key=KEY) as socket:
        socket.send_request(REQUEST).run()
        with socket.record(path):
            socket.send_request(REQUEST).run()
            with pytest.raises(RuntimeError, match=f"recorded already, to {path}"):
                socket.record(tmp_path / "other.jsonl")
        socket.send_request(REQUEST).run()
        with socket.record(tmp_path / "other.jsonl"):
            socket.send_request(REQUEST).run()
    for each in (path, tmp_path / "other.jsonl"):
        assert load_recording(each).requests == ("r1",)
        assert ends(each) == [("r1", "completed")]
    assert not (tmp_path / "none").exists()


def test_two_senders_in_one_file(server: ResponsesServer, path: Path) -> None:
    server.on("", "Hello")
    with Recorder(path) as recorder:
        with ResponsesWebSocket(server.url, api_key=KEY) as one, ResponsesClient(server.url, api_key=KEY) as two:
            one.record(recorder)
            two.record(recorder)
            one.send_request(REQUEST).run()
            two.send_request(REQUEST).run()
        assert recorder.is_open
    with ResponsesWebSocket(server.url, api_key=KEY) as late, pytest.raises(ValueError, match="is closed"):
        late.record(recorder)
    assert ends(path) == [("r1", "completed"), ("r2", "completed")]
    assert {event.connection for event in load_recording(path).events()} == {"c1", "c2"}


def test_in_an_asyncio_program(server: ResponsesServer, path: Path) -> None:
    server.on("", "Hello")

    async def main() -> None:
        async with ResponsesClient(server.url, api_key=KEY) as client:
            client.record(path, contents="redacted")
            await client.send_request(REQUEST)

    asyncio.run(main())
    assert ends(path) == [("r1", "completed")]
    text = path.read_text(encoding="utf-8")
    assert "Hello" not in text
    assert '"input":"xx"' in text


def test_a_full_file_breaks_no_stream(server: ResponsesServer, path: Path) -> None:
    server.on("", "Hello " * 100)
    with ResponsesWebSocket(server.url, api_key=KEY) as socket, socket.record(path, max_bytes=2000) as recorder:
        for _ in range(3):
            assert socket.send_request(REQUEST).pipe(ops.last()).run().type == "response.completed"
    assert not recorder.is_open
    assert path.stat().st_size <= 2000


def test_a_stream_that_is_paused_and_one_that_was_running_already(server: ResponsesServer, path: Path) -> None:
    server.reply(Raw(list(map(json.dumps, frames(300)))))

    async def main() -> list[ServerEvent]:
        seen: list[ServerEvent] = []
        async with ResponsesWebSocket(server.url, api_key=KEY) as socket:
            events = socket.send_request(REQUEST).pipe(rops.to_async_iterable(max_buffered=2))
            async with events as stream:
                async for event in stream:
                    if not seen:
                        socket.record(path)
                    seen.append(event)
                    await asyncio.sleep(0)
        return seen

    seen = asyncio.run(main())
    found = load_recording(path)
    raws = [event.raw.encode() for event in found.events("r1")]
    assert raws
    assert raws == [event.raw for event in seen][-len(raws) :]
    assert [r.state for r in found.records if isinstance(r, ConnectionRecord)] == ["open", "closed"]


def test_the_end_of_a_request_that_was_running_already(server: ResponsesServer, path: Path) -> None:
    gate = server.gate()
    server.on("long", ["Hello.", Hold(gate, after=2)])
    server.on("disposed", Hold())
    with ResponsesWebSocket(server.url, api_key=KEY) as socket:
        disposed = socket.send_request({**REQUEST, "input": "disposed"}, stream_id="b").subscribe()
        begun, done = threading.Event(), threading.Event()
        first = socket.send_request({**REQUEST, "input": "long"}, stream_id="a")
        first.subscribe(lambda _: begun.set(), on_completed=done.set)
        assert begun.wait(20)
        disposed.dispose()
        with socket.record(path):
            gate.open()
            assert done.wait(20)
            socket.send_request({**REQUEST, "input": "long"}, stream_id="a").run()
    assert ends(path) == [("r1", "completed"), ("r2", "completed")]
    records = load_recording(path).records
    assert [record.request for record in records if isinstance(record, RequestRecord)] == ["r2"]
    last = replay(path, speed=math.inf, request="r1").pipe(ops.last()).run()
    assert last.type == "response.completed"
    with ResponsesServer(recording=path) as player, ResponsesWebSocket(player.url) as socket:
        again = socket.send_request({**REQUEST, "input": "long"}).pipe(rops.collect_text()).run()
    assert again == "Hello."


def test_two_recordings_one_after_the_other_on_one_connection(
    server: ResponsesServer, path: Path, tmp_path: Path
) -> None:
    server.on("", "Hello")
    with ResponsesWebSocket(server.url, api_key=KEY) as socket:
        socket.send_request(REQUEST).run()
        for name in ("one", "two"):
            with socket.record(tmp_path / name):
                socket.send_request(REQUEST).run()
            assert load_recording(tmp_path / name).requests == ("r1",)


def test_one_recorder_takes_the_place_of_another(server: ResponsesServer, path: Path, tmp_path: Path) -> None:
    server.on("", "Hello")
    with (
        Recorder(path) as one,
        Recorder(tmp_path / "two") as two,
        ResponsesWebSocket(server.url, api_key=KEY) as socket,
    ):
        socket.record(one)
        socket.send_request(REQUEST).run()
        one.close()
        socket.record(two)
        socket.send_request(REQUEST).run()
    assert load_recording(path).requests == ("r1",)
    assert ends(tmp_path / "two") == [("r1", "completed")]


class Notes(TapeCollector):
    """Something else that wants to see what is sent and received."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []
        self.has_ended = False

    @property
    def is_open(self) -> bool:
        return not self.has_ended

    def close(self) -> None:
        with self._lock:
            self.seen += [entry for _, entries in self._take() for entry in entries if not isinstance(entry, float)]
            self.has_ended = True
        self._ended()


def test_two_collectors_of_one_connection(server: ResponsesServer, path: Path) -> None:
    """The second one does not disturb the first, neither when it begins nor when it ends."""
    server.on("first", Hold())
    server.reply("Hello.")
    notes = Notes()
    with ResponsesWebSocket(server.url, api_key=KEY) as socket:
        recorder = socket.record(path)
        socket.send_request({**REQUEST, "input": "first"}, stream_id="a").subscribe()
        wait_for_records(path, EventRecord, 1)
        socket._collect(notes)
        socket.send_request(REQUEST, stream_id="b").run()
        notes.close()
        socket.send_request(REQUEST, stream_id="b").run()
        recorder.close()
    assert sum(isinstance(entry, Sent) for entry in notes.seen) == 1
    found = load_recording(path)
    assert {record.connection for record in found.records if isinstance(record, ConnectionRecord)} == {"c1"}
    assert found.requests == ("r1", "r2", "r3")
    frames = [entry for entry in notes.seen if isinstance(entry, bytes)]
    assert [json.loads(frame) for frame in frames] == [event.frame for event in found.events("r2")]


def test_two_collectors_until_the_end(server: ResponsesServer, path: Path) -> None:
    server.reply(Raw(["no JSON", *map(json.dumps, frames(3))]))
    notes = Notes()
    with ResponsesWebSocket(server.url, api_key=KEY) as socket:
        socket.record(path)
        socket._collect(notes)
        socket.send_request(REQUEST).run()
    notes.close()
    assert Undecodable(b"no JSON") in notes.seen
    assert notes._tapes == []
    late = notes.add(Tape())
    late.note(State("open"))
    assert notes._take() == []
    found = load_recording(path)
    assert [event.text for event in found.events() if event.text] == ["no JSON"]
    assert ends(path) == [("r1", "completed")]
