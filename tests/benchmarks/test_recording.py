"""A recording of a long session, and what recording costs."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import reactivex
from reactivex import operators as ops

from rxresponses import ResponsesClient, ResponsesWebSocket, ServerEvent, load_recording, replay
from rxresponses.known_secrets import Secrets
from rxresponses.recording.lines import LineMaker
from rxresponses.recording.tape import ConnectionTape
from rxresponses.testing import Raw, ResponsesServer
from rxresponses.wire.codec import decode

from .suite.orders import Order

DELTAS = 20_000


def frames(count: int) -> list[str]:
    """Return a response of so many events."""
    delta = {"type": "response.output_text.delta", "item_id": "msg_0123456789", "output_index": 0, "content_index": 0}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": {"id": "resp_1", "output": []}},
        *({**delta, "delta": f" word{number}", "sequence_number": number} for number in range(count - 2)),
        {"type": "response.completed", "response": {"id": "resp_1", "status": "completed", "output": []}},
    ]
    return list(map(json.dumps, events))


def test_a_session_of_10_000_events_replays_to_an_equal_list(tmp_path: Path) -> None:
    path, seen = tmp_path / "session.jsonl", list[ServerEvent]()
    with ResponsesServer() as server, ResponsesClient(server.url) as client:
        server.on("", Raw(frames(2500)))
        with client.record(path) as recorder:
            client.events.subscribe(seen.append)
            reactivex.merge(*(client.send_request({"model": "m", "input": "Hi"}) for _ in range(4))).run()
    assert recorder.error is None
    assert len(seen) == 10_000
    again = replay(path, speed=math.inf).pipe(ops.to_list()).run()
    assert again == seen
    assert [event.raw for event in again] == [event.raw for event in seen]
    assert load_recording(path).requests == ("r1", "r2", "r3", "r4")


def test_what_recording_costs_for_each_event() -> None:
    """Noting an event, which holds up its delivery, and writing it, which waits until the streams are calm."""
    request = object()
    noting, writing = [], []
    for _ in range(7):  # interleaved, because the machine does other things too
        tape = ConnectionTape("c1", Secrets(["sk-proj-9fQ2mZ8vTt31LpXc7Hn5BbYw"]))
        alone = _processor_time(lambda event: request)
        recorded = _processor_time(tape.noting(lambda event: request))  # type: ignore[arg-type, return-value]
        noting.append(recorded / alone)
        tape.entries = [entry for entry in tape.entries if entry is not request]
        lines = LineMaker("full", 0.0)
        start = time.process_time()
        sum(len(b"".join(pieces)) for pieces in lines.lines([(tape, tape.entries)]))
        writing.append((time.process_time() - start) / alone)
    print(f"noting: {min(noting) - 1:.0%} of the decoding of an event, writing: {min(writing):.0%}")
    # To decode an event is less than half of what is done for it.
    assert min(noting) < 1.25
    assert min(writing) < 2.5


def test_what_recording_costs_a_stream_at_full_speed(tmp_path: Path) -> None:
    """Processor time with and without recording, in turn: until the stream has ended, and until the file is written."""
    streaming, all_in_all = [], []
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.suite.server"],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    url = json.loads(process.stdout.readline())["plain"]
    with process, ResponsesWebSocket(url, api_key="sk-9fQ2mZ8vTt31LpXc7Hn5BbYw") as socket:
        request = {"model": "m", "input": str(Order(deltas=DELTAS))}

        def processor_time() -> float:
            start = time.process_time()
            assert socket.send_request(request).pipe(ops.count()).run() == DELTAS + 2
            return time.process_time() - start

        processor_time()  # the first one costs more
        for number in range(9):
            alone = processor_time()
            start = time.process_time()
            with socket.record(tmp_path / f"{number}.jsonl"):
                recorded = processor_time()
            streaming.append(recorded / alone)
            all_in_all.append((time.process_time() - start) / alone)
        process.stdin.close()
    stream, total = statistics.median(streaming), statistics.median(all_in_all)
    print(f"a stream: {stream - 1:.0%} more, and with the writing of the file {total - 1:.0%} more")
    assert stream < 1.4
    assert total < 3


def _processor_time(receive: Callable[[ServerEvent], object]) -> float:
    """Return the seconds for the decoding of 20,000 events, and for what is done with each of them."""
    some = [frame.encode() for frame in frames(20_000)]
    start = time.process_time()
    for frame in some:
        receive(decode(frame))
    return time.process_time() - start
