"""Recorded streams of the real service, replayed over a real socket."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rxresponses import ResponseCreate, ResponsesWebSocket, UnknownEvent
from rxresponses.testing import ResponsesServer
from tests.support.paths import TRANSCRIPTS

from ..support.recorder import Recorder

FILES = sorted(TRANSCRIPTS.glob("*.jsonl"))

if not FILES:
    pytest.skip("the recorded streams are not beside this checkout", allow_module_level=True)


@pytest.mark.parametrize("lane", [None, "a"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_recording_comes_out_whole(
    server: ResponsesServer, socket: ResponsesWebSocket, path: Path, lane: str | None
) -> None:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    responses = server.replay(path)  # a file may hold several, one after the other
    unrouted = Recorder(socket.unrouted)
    received = []
    for _ in range(responses):
        got = Recorder(socket.send_request(ResponseCreate(model="m", input="hi"), stream_id=lane)).wait()
        assert (got.completions, got.errors) == (1, [])
        assert sum(event.is_terminal for event in got.values) == 1
        assert got.values[-1].is_terminal
        received += got.values
    if path.stem.startswith("openai-error"):
        # The `error` ends the request; the `response.failed` behind it belongs to no request.
        unrouted.wait_for(1)
        received += unrouted.values
    else:
        assert unrouted.values == []
    assert not any(isinstance(event, UnknownEvent) for event in received)
    sent = [{**line, "stream_id": lane} if lane else line for line in lines]
    assert [json.loads(event.raw or "") for event in received] == sent
