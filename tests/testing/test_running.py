"""The steps of a running response: interventions, raw frames and replays."""

from __future__ import annotations

import json

import pytest

from rxresponses.testing.outputs import Raw, Text
from rxresponses.testing.replies import Close, Failure, Gate, Hold
from rxresponses.testing.transcript import Recording

from .peer import MESSAGE, OPENING, Peer, answer, conversation, response_id, text_of, types

# Interventions


def test_a_failure_after_some_events() -> None:
    failure = Failure("rate_limit_exceeded", "slow down", after=5, headers={"retry-after": "1"})
    events = answer(Text(deltas=["a", "b"]), failure)

    assert types(events) == [*OPENING, *MESSAGE[:3], "error", "failed"]
    assert events[5] == {
        "type": "error",
        "status": 429,
        "sequence_number": 5,
        "error": {
            "type": "rate_limit_error",
            "code": "rate_limit_exceeded",
            "message": "slow down",
            "param": None,
            "headers": {"retry-after": "1"},
        },
    }
    response = events[6]["response"]
    assert response["status"] == "failed"
    assert response["error"] == {"code": "rate_limit_exceeded", "message": "slow down"}
    assert response["usage"] is None
    assert response["id"] == events[0]["response"]["id"]


def test_a_failure_before_the_response_is_a_refusal() -> None:
    (error,) = answer(Failure("context_length_exceeded", "too long", after=0, param="input"), stream_id="a")

    assert error["stream_id"] == "a"
    assert "sequence_number" not in error
    assert (error["status"], error["error"]["param"]) == (400, "input")


def test_a_failure_after_the_end_replaces_the_terminal_event() -> None:
    assert types(answer(Text(deltas=["a"]), Failure(after=99))) == [*OPENING, *MESSAGE, "error", "failed"]
    peer = Peer()
    peer.model.reply([Raw([{"type": "response.created"}]), Failure(after=99)])
    assert types(peer.ask()) == ["created", "error", "failed"]


@pytest.mark.parametrize(("after", "sent"), [(0, 0), (3, 3), (9, 9), (10, 10), (99, 10)])
def test_closing_after_some_events(after: int, sent: int) -> None:
    peer = Peer()
    peer.model.reply([Text(deltas=["a", "b"]), Close(1011, "oops", after=after)])
    peer.create()
    assert len(peer.drain()) == sent
    assert peer.closed == Close(1011, "oops", after=after)


def test_closing_ends_all_lanes() -> None:
    peer = Peer()
    peer.model.reply([Text("a"), Close(after=3)])
    peer.create(stream_id="a")
    peer.create(stream_id="b")

    assert [event["stream_id"] for event in peer.drain()] == ["a", "b"] * 3
    assert peer.closed is not None


def test_a_hold_lets_other_lanes_continue() -> None:
    peer = Peer()
    first, second = Gate(), Gate()
    peer.model.reply([Text(deltas=["a"]), Hold(second, after=99), Hold(first, after=1)])
    peer.create(stream_id="a")
    assert types(peer.drain()) == ["created"]
    assert peer.session.due(peer.now) is None

    assert types(peer.ask(stream_id="b"))[-1] == "completed"
    first.open()
    assert peer.session.due(peer.now) == 0
    assert types(peer.drain()) == ["in_progress", *MESSAGE, "completed"]
    peer.create(stream_id="a")
    assert peer.drain() == []
    second.open()
    assert types(peer.drain())[0] == "created"


def test_raw_frames_are_the_whole_answer_or_a_part_of_it() -> None:
    peer = Peer()
    peer.model.reply(Raw(["broken {", b"\x00", {"type": "response.new"}]))
    peer.create(stream_id="a")
    frames = [frame for _ in range(3) for frame in peer.session.step(0.0)]
    assert frames == ["broken {", b"\x00", '{"type":"response.new"}']

    events = answer(Text(deltas=["a"]), Raw([{"type": "response.new"}]), Text(deltas=["b"]), stream_id="a")
    assert types(events) == [*OPENING, *MESSAGE, "new", *MESSAGE, "completed"]
    assert [event for event in events if "stream_id" not in event] == [{"type": "response.new"}]
    assert len(events[-1]["response"]["output"]) == 2


# Replays

LINES = [
    '{"type":"response.created","sequence_number":0,"response":{"id":"resp_r","object":"response"}}',
    '{"type":"response.output_text.delta","sequence_number":1,"delta":"\\ud83c"}',
    '{"type":"response.completed","sequence_number":2,"response":{"id":"resp_r","output":[{"type":"message",'
    '"role":"assistant","content":[{"type":"output_text","text":"recorded"}]}, "odd"]}}',
]


def test_a_recording_is_sent_as_it_is_and_can_be_continued() -> None:
    peer = Peer()
    peer.model.reply(*Recording.load(LINES), conversation)
    peer.create()

    assert [frame for _ in range(3) for frame in peer.session.step(0.0)] == LINES
    assert text_of(peer.ask(previous_response_id="resp_r", input="b")) == "user: hi\nassistant: recorded\nuser: b"


def test_a_recording_keeps_its_timing() -> None:
    peer = Peer(event_interval=99.0)
    timed = [{"offset": 5.0 + number, "event": json.loads(line)} for number, line in enumerate(LINES)]
    peer.model.reply(*Recording.load(timed, speed=2.0))
    peer.now = 10.0
    peer.create(stream_id="a")
    times = []
    while (due := peer.session.due(peer.now)) is not None:
        peer.now = max(due, peer.now)
        events = peer.step()
        assert all(event["stream_id"] == "a" for event in events)
        times += [peer.now] * len(events)

    assert times == [10.0, 10.5, 11.0]


def test_a_recording_can_be_closed_or_fail() -> None:
    peer = Peer()
    (recording,) = Recording.load(LINES)
    peer.model.reply([recording, Failure("server_error", after=2)], [recording, Close(1006, after=1)])
    events = peer.ask()

    assert types(events) == ["created", "output_text.delta", "error", "failed"]
    assert [event["sequence_number"] for event in events] == [0, 1, 2, 3]
    assert events[-1]["response"]["id"] == "resp_r"
    assert types(peer.ask()) == ["created"]
    assert peer.closed is not None


def test_a_recording_that_ends_with_an_error_ends_the_response() -> None:
    peer = Peer()
    parent = response_id(peer.ask(store=False))
    peer.model.reply(*Recording.load([LINES[0], '{"type":"error","message":"upstream"}']))

    assert types(peer.ask(previous_response_id=parent)) == ["created", "error"]
    assert peer.refused(previous_response_id=parent)["error"]["code"] == "previous_response_not_found"


def test_a_recording_without_a_response_object() -> None:
    peer = Peer()
    peer.model.reply(*Recording.load(['{"type":"response.completed"}']))

    assert types(peer.ask()) == ["completed"]
    assert types(peer.ask())[-1] == "completed"
