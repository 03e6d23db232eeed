"""A recording of a long session, and what recording costs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import reactivex
from reactivex import operators as ops

from rxresponses import ResponsesClient, ServerEvent, load_recording, replay
from rxresponses.testing import Raw, ResponsesServer


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
