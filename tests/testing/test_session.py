"""One connection: lanes, the order of things, chains, errors, limits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rxresponses.testing.history import EndedResponse, StoredResponses
from rxresponses.testing.replies import Close, Failure, FunctionCall, Gate, Hold, Text
from rxresponses.testing.request import Request
from rxresponses.testing.transcript import Recording

from .peer import Peer, response_id, text_of, types

# Frames


@pytest.mark.parametrize(
    ("frame", "code", "param"),
    [
        ("{", "invalid_json", None),
        ("nonsense", "invalid_json", None),
        ("null", "invalid_type", None),
        ("[]", "invalid_type", None),
        (b"{}", "invalid_type", None),
        ("{}", "missing_required_parameter", "type"),
        ('{"type": "response.cancel"}', "invalid_value", "type"),
        ('{"type": "response.create"}', "missing_required_parameter", "model"),
        ('{"type": "response.create", "stream_id": ""}', "invalid_stream_id", "stream_id"),
        ('{"type": "response.create", "stream_id": null}', "invalid_stream_id", "stream_id"),
        ('{"type": "response.steer"}', "missing_required_parameter", "previous_response_id"),
        ('{"type": "response.steer", "previous_response_id": "r"}', "missing_required_parameter", "input"),
    ],
)
def test_a_bad_frame_is_answered_and_the_connection_goes_on(frame: str | bytes, code: str, param: str | None) -> None:
    peer = Peer()
    peer.send(frame)

    (error,) = peer.drain()
    assert error.keys() == {"type", "status", "error"}
    assert (error["type"], error["status"]) == ("error", 400)
    assert error["error"] == {
        "type": "invalid_request_error",
        "code": code,
        "message": error["error"]["message"],
        "param": param,
    }
    assert types(peer.ask())[-1] == "completed"


def test_an_error_carries_its_lane() -> None:
    assert Peer().refused(temperature="hot", stream_id="a")["stream_id"] == "a"
    assert "stream_id" not in Peer().refused(temperature="hot")


# Lanes


def test_each_event_carries_its_lane_and_number() -> None:
    peer = Peer()
    named, default = peer.ask(stream_id="main"), peer.ask()

    assert {event["stream_id"] for event in named} == {"main"}
    assert all("stream_id" not in event for event in default)
    assert [event["sequence_number"] for event in named] == list(range(len(named)))
    assert [event["sequence_number"] for event in default] == list(range(len(default)))


def test_a_lane_is_a_queue_and_lanes_run_at_once() -> None:
    peer = Peer()
    peer.model.reply(*(Text(deltas=[name, name]) for name in ("a1", "b1", "a2")))
    peer.create(stream_id="a")
    peer.create(stream_id="a")
    peer.create(stream_id="b")
    events = peer.drain()

    lane_a = [event for event in events if event["stream_id"] == "a"]
    lane_b = [event for event in events if event["stream_id"] == "b"]
    one = ["created", "in_progress", "output_item.added", "content_part.added", *["output_text.delta"] * 2]
    one += ["output_text.done", "content_part.done", "output_item.done", "completed"]
    assert types(lane_a) == one * 2
    assert types(lane_b) == one
    assert text_of(lane_a) == "a1a1a2a2"
    assert text_of(lane_b) == "b1b1"
    assert [event["stream_id"] for event in events[:8]] == ["a", "b"] * 4


def test_the_seventeenth_response_waits() -> None:
    peer = Peer()
    for number in range(17):
        peer.create(stream_id=f"lane-{number}")
    first = peer.step()

    assert types(first) == ["created"] * 16
    late = [event for event in peer.drain() if event["stream_id"] == "lane-16"]
    assert types(late)[0] == "created"
    assert types(late)[-1] == "completed"


def test_a_waiting_request_is_not_overtaken_in_its_lane() -> None:
    peer = Peer(active=1)
    gate = Gate()
    peer.model.reply([Text("held"), Hold(gate)])
    peer.create(stream_id="a")
    peer.drain()
    peer.create(stream_id="b", metadata={"n": "1"})
    peer.create(stream_id="b", metadata={"n": "2"})
    peer.create(stream_id="c", metadata={"n": "3"})
    assert peer.drain() == []
    gate.open()

    created = [event for event in peer.drain() if event["type"] == "response.created"]
    assert [event["response"]["metadata"]["n"] for event in created] == ["1", "2", "3"]


def test_a_refused_request_frees_the_way_for_the_next() -> None:
    peer = Peer(active=1)
    peer.create(stream_id="a")
    peer.create(stream_id="b", model=None)
    peer.create(stream_id="b")

    assert types([event for event in peer.drain() if event["stream_id"] == "b"])[:2] == ["error", "created"]


def test_the_thirty_third_name_is_refused() -> None:
    peer = Peer()
    for number in range(32):
        peer.ask(stream_id=f"lane-{number}")

    refused = peer.refused(stream_id="lane-32")
    assert refused["error"]["code"] == "websocket_stream_limit_reached"
    assert refused["stream_id"] == "lane-32"
    assert types(peer.ask(stream_id="lane-0"))[-1] == "completed"
    assert types(peer.ask())[-1] == "completed"


# Chains


def conversation(request: Request) -> str:
    return request.conversation


def test_a_continuation_sees_the_whole_conversation() -> None:
    peer = Peer()
    peer.model.reply("one", "two", conversation)
    first = peer.ask(input="a")
    second = peer.ask(input=[{"role": "user", "content": "b"}], previous_response_id=response_id(first))
    third = peer.ask(input="c", previous_response_id=response_id(second))

    assert text_of(third) == "user: a\nassistant: one\nuser: b\nassistant: two\nuser: c"
    assert third[0]["response"]["previous_response_id"] == response_id(second)
    usage = [events[-1]["response"]["usage"] for events in (first, second, third)]
    assert [one["input_tokens"] for one in usage] == [1, 3, 5]
    assert [one["input_tokens_details"]["cached_tokens"] for one in usage] == [0, 2, 4]
    assert [one["total_tokens"] - one["output_tokens"] for one in usage] == [1, 3, 5]


def test_a_lane_alone_carries_no_conversation() -> None:
    peer = Peer()
    peer.model.on("", conversation)
    peer.ask(input="a", stream_id="main")

    assert text_of(peer.ask(input="b", stream_id="main")) == "user: b"


def test_stored_responses_outlive_lane_and_connection() -> None:
    storage: StoredResponses = {}
    peer = Peer(storage=storage)
    old = response_id(peer.ask())
    peer.ask()

    assert types(peer.ask(previous_response_id=old))[-1] == "completed"
    assert types(Peer(storage=storage).ask(previous_response_id=old))[-1] == "completed"


def test_without_store_only_the_latest_of_each_lane_is_known() -> None:
    storage: StoredResponses = {}
    peer = Peer(storage=storage)
    old = response_id(peer.ask(store=False))
    other = response_id(peer.ask(store=False, stream_id="b"))
    latest = response_id(peer.ask(store=False))

    refused = peer.refused(previous_response_id=old)
    assert refused["error"]["code"] == "previous_response_not_found"
    assert refused["error"]["param"] == "previous_response_id"
    assert old in refused["error"]["message"]
    assert types(peer.ask(store=False, previous_response_id=other))[-1] == "completed"
    assert storage == {}
    assert peer.refused(previous_response_id=latest)["error"]["code"] == "previous_response_not_found"


def test_a_failed_continuation_evicts_its_parent_in_its_lane_only() -> None:
    peer = Peer()
    parent = response_id(peer.ask(store=False, stream_id="a"))

    peer.refused(previous_response_id=parent, stream_id="b", temperature="hot")
    assert types(peer.ask(store=False, previous_response_id=parent, stream_id="b"))[-1] == "completed"
    peer.refused(previous_response_id=parent, stream_id="a", temperature="hot")
    refused = peer.refused(previous_response_id=parent, stream_id="a")
    assert refused["error"]["code"] == "previous_response_not_found"


def test_a_refused_new_conversation_leaves_the_latest_response_of_its_lane() -> None:
    peer = Peer()
    latest = response_id(peer.ask(store=False))

    peer.refused(temperature="hot")
    assert types(peer.ask(store=False, previous_response_id=latest))[-1] == "completed"


def test_a_response_that_fails_evicts_its_parent_too() -> None:
    peer = Peer()
    parent = response_id(peer.ask(store=False))
    peer.model.reply(Failure())

    assert types(peer.ask(store=False, previous_response_id=parent))[-1] == "failed"
    assert peer.refused(previous_response_id=parent)["error"]["code"] == "previous_response_not_found"


def test_a_fork_looks_for_its_parent_when_it_starts() -> None:
    peer = Peer(active=1)
    parent = response_id(peer.ask(store=False, stream_id="a"))
    peer.create(store=False, stream_id="a", previous_response_id=parent)
    peer.create(store=False, stream_id="b", previous_response_id=parent)

    fork = [event for event in peer.drain() if event["stream_id"] == "b"]
    assert [event["error"]["code"] for event in fork] == ["previous_response_not_found"]


def test_a_fork_in_time_runs_beside_its_parents_lane() -> None:
    peer = Peer()
    parent = response_id(peer.ask(store=False, stream_id="a"))
    peer.create(store=False, stream_id="b", previous_response_id=parent)
    peer.create(store=False, stream_id="a", previous_response_id=parent)

    assert types(peer.drain()).count("completed") == 2


def test_a_response_can_be_continued_once_its_end_was_sent() -> None:
    peer = Peer()
    peer.create(store=False, stream_id="a")
    events = peer.step()
    while types(events)[-1] != "completed":
        assert types(Peer().ask(previous_response_id=response_id(events))) == ["error"]
        events += peer.step()
    peer.create(previous_response_id=response_id(events), stream_id="b")

    assert types(peer.drain())[-1] == "completed"


def test_history_of_a_long_chain_needs_no_deep_stack() -> None:
    turn = EndedResponse("resp_0", [{"type": "message", "role": "user", "content": "a"}])
    for number in range(1, 5000):
        turn = EndedResponse(f"resp_{number}", [], turn)

    assert len(turn.conversation) == 1
    assert turn.tokens == 1


# Tools

TOOLS = [{"type": "function", "name": "f"}, {"type": "function", "name": "g"}]


def test_all_calls_are_answered_in_the_next_request() -> None:
    peer = Peer()
    peer.model.reply([FunctionCall("f", {"x": 1}), FunctionCall("g", call_id="call_g")])
    events = peer.ask(tools=TOOLS)
    first, second = (item["call_id"] for item in events[-1]["response"]["output"])
    assert second == "call_g"
    parent = response_id(events)
    outputs = [{"type": "function_call_output", "call_id": one, "output": one} for one in (first, second)]

    for given, missing in (([], first), (outputs[:1], second)):
        refused = peer.refused(previous_response_id=parent, input=given)
        assert refused["error"]["message"] == f"No tool output found for function call {missing}."
        assert refused["error"]["param"] == "input"
    answer = peer.ask(previous_response_id=parent, input=outputs)
    assert text_of(answer).endswith(f"returned: {first} and {second}")
    assert types(peer.ask(previous_response_id=response_id(answer)))[-1] == "completed"


def test_an_output_needs_its_call() -> None:
    output = {"type": "function_call_output", "call_id": "call_1", "output": "x"}
    call = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}

    refused = Peer().refused(input=[output])
    assert refused["error"]["message"] == "No tool call found for function call output with call_id call_1."
    assert types(Peer().ask(input=[call, output]))[-1] == "completed"


# Warm-up, mistakes, age


def test_a_warm_up_generates_nothing_and_can_be_continued() -> None:
    peer = Peer()
    peer.model.reply(conversation)
    warm = peer.ask(generate=False, input="a", tools=TOOLS)

    assert types(warm) == ["created", "in_progress", "completed"]
    assert warm[-1]["response"]["output"] == []
    assert warm[-1]["response"]["usage"]["output_tokens"] == 0
    assert text_of(peer.ask(input="b", previous_response_id=response_id(warm))) == "user: a\nuser: b"


def test_a_reply_function_that_raises_is_told() -> None:
    peer = Peer()

    def broken(request: Request) -> Any:
        raise LookupError("no such answer")

    peer.model.reply(broken)
    refused = peer.refused()
    assert refused["status"] == 500
    assert refused["error"]["message"] == "The scripted model raised LookupError: no such answer"
    assert types(peer.ask())[-1] == "completed"


def test_at_its_age_limit_the_connection_ends() -> None:
    peer = Peer(max_age=60.0)
    peer.model.reply([Text("x"), Hold(Gate(), after=3)])
    peer.create(stream_id="a")
    assert len(peer.drain()) == 3
    assert peer.session.due(peer.now) == 60.0
    peer.now = 60.0

    (error,) = peer.step()
    assert error["error"]["code"] == "websocket_connection_limit_reached"
    assert "stream_id" not in error
    assert peer.closed == Close(1000, "connection limit reached")
    peer.create()
    assert peer.session.due(peer.now) is None
    assert peer.step() == []


def test_an_ended_response_frees_its_lane_without_an_interval() -> None:
    peer = Peer(event_interval=0.5)
    peer.model.on("", Text())
    peer.create()
    peer.create()
    at: list[tuple[str, float]] = []
    while (due := peer.session.due(peer.now)) is not None:
        peer.now = due
        at += [(kind, peer.now) for kind in types(peer.step())]

    (ended, _) = [time for kind, time in at if kind == "completed"]
    assert [time for kind, time in at if kind == "created"] == [0.0, ended]


def test_events_keep_their_interval() -> None:
    peer = Peer(event_interval=0.5)
    peer.model.reply(Text(deltas=["a"]))
    peer.create()
    times = []
    while (due := peer.session.due(peer.now)) is not None:
        assert peer.now <= due
        peer.now = due
        times += [peer.now] * len(peer.step())

    assert times == [0.5 * number for number in range(9)]


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


def test_a_recording_keeps_its_time() -> None:
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


def test_a_recording_can_be_cut_or_fail_on_the_way() -> None:
    peer = Peer()
    (recording,) = Recording.load(LINES)
    peer.model.reply([recording, Failure("server_error", after=2)], [recording, Close(1006, after=1)])
    events = peer.ask()

    assert types(events) == ["created", "output_text.delta", "error", "failed"]
    assert [event["sequence_number"] for event in events] == [0, 1, 2, 3]
    assert events[-1]["response"]["id"] == "resp_r"
    assert types(peer.ask()) == ["created"]
    assert peer.closed is not None


def test_a_recording_that_ends_with_a_bare_error_ends_the_response() -> None:
    peer = Peer()
    parent = response_id(peer.ask(store=False))
    peer.model.reply(*Recording.load([LINES[0], '{"type":"error","message":"upstream"}']))

    assert types(peer.ask(previous_response_id=parent)) == ["created", "error"]
    assert peer.refused(previous_response_id=parent)["error"]["code"] == "previous_response_not_found"


def test_a_recording_without_responses_is_nothing_to_continue_from() -> None:
    peer = Peer()
    peer.model.reply(*Recording.load(['{"type":"response.completed"}']))

    assert types(peer.ask()) == ["completed"]
    assert types(peer.ask())[-1] == "completed"
