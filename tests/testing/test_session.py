"""One connection: invalid frames, the order of events on lanes, limits and outcomes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rxresponses.testing import session
from rxresponses.testing.faults import Fault
from rxresponses.testing.outputs import Raw, Text
from rxresponses.testing.replies import Close, Failure, Gate, Hold, Incomplete, Stall
from tests.effort import examples

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
def test_an_invalid_frame_is_refused_and_nothing_else_changes(frame: str | bytes, code: str, param: str | None) -> None:
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


def test_an_error_has_the_lane_of_its_request() -> None:
    assert Peer().refused(temperature="hot", stream_id="a")["stream_id"] == "a"
    assert "stream_id" not in Peer().refused(temperature="hot")


# Lanes


def test_each_event_has_its_lane_and_sequence_number() -> None:
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
    response = ["created", "in_progress", "output_item.added", "content_part.added", *["output_text.delta"] * 2]
    response += ["output_text.done", "content_part.done", "output_item.done", "completed"]
    assert types(lane_a) == response * 2
    assert types(lane_b) == response
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


def test_a_waiting_request_is_not_overtaken_on_its_lane() -> None:
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


def test_a_refused_request_lets_the_next_one_start() -> None:
    peer = Peer(active=1)
    peer.create(stream_id="a")
    peer.create(stream_id="b", model=None)
    peer.create(stream_id="b")

    assert types([event for event in peer.drain() if event["stream_id"] == "b"])[:2] == ["error", "created"]


def test_the_thirty_third_lane_is_refused() -> None:
    peer = Peer()
    for number in range(32):
        peer.ask(stream_id=f"lane-{number}")

    refused = peer.refused(stream_id="lane-32")
    assert refused["error"]["code"] == "websocket_stream_limit_reached"
    assert refused["stream_id"] == "lane-32"
    assert types(peer.ask(stream_id="lane-0"))[-1] == "completed"
    assert types(peer.ask())[-1] == "completed"


# Time


def test_a_connection_expires_at_its_age_limit() -> None:
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


# Outcomes


def test_exchanges_have_the_outcome_of_each_request() -> None:
    peer = Peer()
    gate = Gate()
    peer.model.reply("a", Failure(), Failure(after=0), Raw([{"type": "response.created"}, {"type": "error"}]))
    peer.model.reply(["too long", Incomplete()], ["b", Hold(gate)])
    for _ in range(5):
        peer.ask()
    peer.refused(temperature="hot")
    peer.refused(stream_id="")
    peer.now = 2.0
    created = response_id(peer.ask())
    peer.now = 3.0
    peer.create()

    found = peer.journal.exchanges
    outcomes = ["completed", "failed", "refused", "failed", "incomplete", "refused", "refused", None, None]
    assert [exchange.outcome for exchange in found] == outcomes
    assert [exchange.number for exchange in found] == [exchange.ordinal for exchange in found] == list(range(1, 10))
    assert [exchange.events for exchange in found][1:4] == [4, 1, 2]
    assert [exchange.started is None for exchange in found] == [False] * 5 + [True, True, False, True]
    assert (found[7].received, found[7].started, found[7].response_id, found[7].events) == (2.0, 2.0, created, 2)
    gate.open()
    peer.now = 4.0
    peer.drain()
    last = peer.journal.exchanges[-1]
    assert (last.received, last.started, last.outcome) == (3.0, 4.0, "completed")
    assert found[8].outcome is None  # the earlier list is a copy
    assert json.loads(json.dumps(last.message))["type"] == "response.create"


# Bounds


def test_scenario_77_a_full_queue_refuses_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_MOST_WAITING", 3)
    peer = Peer()
    peer.model.reply([Text("held"), Hold()])
    for _ in range(6):
        peer.create()
    refused = [event for event in peer.drain() if event["type"] == "error"]
    assert [(event["status"], event["error"]["code"]) for event in refused] == [(429, "websocket_queue_full")] * 2
    assert peer.outcomes == [None] * 4 + ["refused"] * 2


def test_scenario_77_a_queue_is_bounded_by_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_MOST_WAITING_SIZE", 1_000)
    peer = Peer()
    peer.model.reply([Text("held"), Hold()])
    for size in (5_000, 5_000, 100, 100):
        peer.create(input="x" * size)
    assert peer.outcomes == [None, None, "refused", "refused"]  # a single request may always wait


def test_scenario_77_requests_on_a_stalled_connection_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_MOST_WAITING", 3)
    peer = Peer(faults=[Fault(Stall(), request=1)])
    peer.ask()
    for _ in range(3):
        peer.create()
        peer.create(stream_id="")
    assert peer.outcomes == [None, None, None, None, "lost", "lost", "lost"]
    peer.session.end()
    assert peer.outcomes == ["lost"] * 7


def test_scenario_77_the_memory_of_a_connection_is_counted() -> None:
    peer = Peer()
    assert peer.session.size == 0
    peer.model.reply([Text("held"), Hold(after=3)])
    peer.create(input="x" * 10_000)
    running = peer.session.size
    assert 10_000 < running < 10_200
    peer.create(input="x" * 10_000)
    assert 2 * running < peer.session.size < 2 * running + 2_000
    peer.send("{")
    assert peer.session.size > 2 * running + 1_000
    peer.drain()
    assert peer.session.size < 2 * running + 1_001


def test_scenario_77_five_thousand_requests_on_a_lane_take_linear_time() -> None:
    """The steps of the queue are counted and not timed."""
    peer = Peer()
    taken = 0
    take = peer.session._waiting.take

    def count(busy: Any) -> Any:
        nonlocal taken
        taken += 1
        return take(busy)

    peer.session._waiting.take = count  # type: ignore[method-assign]
    requests = examples(5_000)
    for _ in range(requests):
        peer.create(model=None)  # the shortest answer
        peer.create(generate=False)
    assert len(peer.drain()) == 4 * requests
    assert taken < 8 * requests
