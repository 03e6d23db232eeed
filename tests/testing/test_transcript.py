from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from rxresponses import ResponsesWebSocket
from rxresponses.testing import ResponsesServer
from rxresponses.testing.transcript import Frame, Recording

CREATED = '{"type": "response.created", "response": {"id": "resp_1"}}'
DELTA = '{"type":"response.output_text.delta","delta":"\\ud83c"}'
COMPLETED = '{"type":"response.completed","response":{"id":"resp_1","output":[]}}'


def test_a_file_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "transcript.jsonl"
    separator = '{"type":"response.output_text.delta","delta":"a\u2028b"}'
    path.write_text(f"{CREATED}\n\n{separator}\r\n{COMPLETED}\n", encoding="utf-8")

    (recording,) = Recording.load(path)

    assert [frame.data for frame in recording.frames] == [CREATED, separator, COMPLETED]
    assert [frame.event for frame in recording.frames] == [json.loads(line) for line in (CREATED, separator, COMPLETED)]
    assert Recording.load(str(path)) == [recording]


def test_several_responses_are_split() -> None:
    cut_off = [json.loads(CREATED), json.loads(DELTA)]

    first, second = Recording.load([CREATED, COMPLETED, *cut_off])

    assert [frame.data for frame in first.frames] == [CREATED, COMPLETED]
    assert [frame.event for frame in second.frames] == cut_off


def test_the_recorded_text_is_sent_as_it_is() -> None:
    frame = Recording.load([DELTA])[0].frames[0]

    assert frame.on_lane(None) == DELTA
    assert frame.on_lane("main") == DELTA[:-1] + ',"stream_id":"main"}'


def test_a_recorded_lane_is_replaced() -> None:
    frame = Recording.load(['{"type":"response.created","stream_id":"a"}'])[0].frames[0]

    assert frame.on_lane("a") == '{"type":"response.created","stream_id":"a"}'
    assert json.loads(frame.on_lane("b")) == {"type": "response.created", "stream_id": "b"}
    assert json.loads(frame.on_lane(None)) == {"type": "response.created"}


@pytest.mark.parametrize(
    ("text", "event", "sent"),
    [
        ('{"type":"x"} \r\n', {"type": "x"}, '{"type":"x","stream_id":"a"}'),
        ("{}", {}, '{"stream_id":"a"}'),
        ('{"type":"\udcff"}', {"type": "\udcff"}, b'{"type":"\xff","stream_id":"a"}'),
    ],
)
def test_texts_of_other_servers_on_a_lane(text: str, event: dict[str, Any], sent: str | bytes) -> None:
    assert Frame(text, event).on_lane("a") == sent


def test_lines_with_times() -> None:
    timed: list[str | dict[str, Any]] = [
        f'{{"offset": 10, "event": {CREATED}}}',
        {"offset": 12.5, "event": json.loads(DELTA)},
        COMPLETED,
        CREATED,
    ]

    first, second = Recording.load(timed, speed=2.0)

    assert [frame.offset for frame in first.frames] == [0, 2.5, 2.5]
    assert first.frames[1].data == DELTA
    assert first.speed == second.speed == 2.0
    assert second.frames[0].offset == 0


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "line 2: "),
        ("[]", "line 2: not an event with a type"),
        ("{}", "line 2: not an event with a type"),
        ('{"type": 1}', "line 2: not an event with a type"),
        ('{"offset": "1", "event": {"type": "x"}}', "line 2: offset is not a number"),
        ('{"offset": true, "event": {"type": "x"}}', "line 2: offset is not a number"),
        ('{"offset": 1e999, "event": {"type": "x"}}', "line 2: offset is not a number of seconds"),
        ('{"offset": 1, "event": "x"}', "line 2: not an event with a type"),
    ],
)
def test_a_line_that_is_not_an_event_is_named(line: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_text(f"{CREATED}\n{line}\n")

    with pytest.raises(ValueError, match=f"broken.jsonl, {reason}"):
        Recording.load(path)


def test_an_empty_transcript_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "empty.jsonl"
    path.write_text("\n")

    with pytest.raises(ValueError, match=r"empty\.jsonl: no events"):
        Recording.load(path)
    with pytest.raises(OSError, match=r"missing\.jsonl"):
        Recording.load(tmp_path / "missing.jsonl")


@pytest.mark.parametrize("speed", [0, -1.0, math.nan])
def test_a_speed_that_is_not_positive_is_an_error(speed: float) -> None:
    with pytest.raises(ValueError, match="speed must be positive or None"):
        Recording.load([CREATED], speed=speed)


def test_exact_frames_get_no_lane() -> None:
    assert Frame.exactly({"type": "x"}).on_lane("a") == '{"type":"x"}'
    assert Frame.exactly("broken {").on_lane("a") == "broken {"
    assert Frame.exactly("null").event == {}
    assert Frame.exactly(b"\x00").on_lane("a") == b"\x00"
    assert Frame.exactly('{"type":"x"}').event == {"type": "x"}


def test_a_recording_of_a_client(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    with ResponsesServer() as server, ResponsesWebSocket(server.url) as socket, socket.record(path):
        server.reply("One", "Two")
        for _ in range(2):
            socket.send_request({"model": "m", "input": "Hi"}).run()
    one, two = Recording.load(path, speed=1.0)
    assert one.frames[0].event["type"] == "response.created"
    assert one.frames[0].offset == 0
    assert one.frames != two.frames
    with path.open("a", encoding="utf-8") as file:
        file.write('{"t":9,"kind":"event","request":"r1","text":"no JSON"}\n')
    assert [len(each.frames) for each in Recording.load(path)] == [len(one.frames), len(two.frames)]
    with path.open("a", encoding="utf-8") as file:
        file.write('{"t":"x","kind":"stopped"}\n')
    with pytest.raises(ValueError, match=r"session.jsonl, line \d+: `t` is no number"):
        Recording.load(path)
