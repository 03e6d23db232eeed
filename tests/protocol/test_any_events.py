"""The rules under any events at all, in any order: also those that no server sends."""

from __future__ import annotations

import json
import pickle
from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings

from rxresponses.protocol.protocol import Protocol
from rxresponses.protocol.request import ENDED, SENT, STARTED, ProtocolRequest, ProtocolSteer
from rxresponses.wire.events.base import event_from
from tests.effort import examples

from .driver import (
    accepted,
    assert_nothing_left,
    begins,
    completed,
    created,
    running,
    send,
    send_steer,
    steered,
    submit,
)

RESPONSE_TYPES = [
    *("response.created", "response.in_progress", "response.completed", "response.failed", "response.incomplete"),
    *("response.output_text.delta", "response.steer.accepted", "response.steer.pending", "response.steer.failed"),
    *("error", "codex.keepalive"),
]
IDS = st.sampled_from(["r1", "r2", "r3", ""])
LANES = st.sampled_from([None, "a", "b"])


def test_a_guessed_lane_is_freed_when_the_target_ends_on_another_lane() -> None:
    protocol = Protocol(echoes_stream_id=True)
    target = send(protocol, "b")
    steer = send_steer(protocol)
    assert protocol.receive(accepted("s1", "r1", "a")) is steer  # no event has carried "r1": "a" is a guess
    waiting = submit(protocol, "a")
    assert protocol.next_to_send() is None
    assert protocol.receive(created("r1", "b")) is target
    assert protocol.receive(steered("r1", "b")) is target
    assert protocol.next_to_send() is waiting
    assert protocol.receive(created("r2", "a")) is waiting
    assert protocol.receive(created("r3", "b")) is steer
    assert protocol.receive(completed("r3", "b")) is steer
    assert protocol.receive(completed("r2", "a")) is waiting
    assert_nothing_left(protocol)


def test_steers_of_one_target_with_different_guessed_lanes_share_its_successor() -> None:
    protocol = Protocol(echoes_stream_id=True)
    first, second = send_steer(protocol), send_steer(protocol)
    assert protocol.receive(accepted("s1", "r1", "a")) is first
    assert protocol.receive(accepted("s2", "r1", "b")) is second
    protocol.dispose(first)
    assert protocol.receive(begins("r2", "r1", "a")) is second  # that is not cancelled
    assert second.shared_with == (first,)
    assert not protocol.lanes.reserved
    assert protocol.receive(completed("r2", "a")) is second
    assert_nothing_left(protocol)


def test_a_steer_whose_target_id_is_used_again_waits_on_the_lane_of_the_open_response() -> None:
    protocol, _ = running("a")
    steer = send_steer(protocol)
    protocol.receive(completed("r1", "a"))
    assert steer.stream_id == "a"
    again = send(protocol, "b")
    protocol.receive(created("r1", "b"))
    assert protocol.receive(accepted("s1", "r1", "b")) is steer
    assert steer.stream_id == "b"
    assert not protocol.lanes.reserved
    assert protocol.receive(steered("r1", "b")) is again
    assert protocol.receive(created("r2", "b")) is steer


def test_no_order_of_events_raises_or_leaves_a_lane_without_its_request() -> None:
    @settings(max_examples=examples(300))
    @given(st.data())
    def check(data: st.DataObject) -> None:
        protocol = Protocol(
            max_active=data.draw(st.sampled_from([1, 3, 16])),
            echoes_stream_id=data.draw(st.sampled_from([None, True, False])),
        )
        for move in data.draw(st.lists(st.sampled_from("rrsswwwdtEEEEEEEEEEEE"), max_size=60)):
            _move(protocol, move, data)
            _assert_tables_agree(protocol)

    check()


def _move(protocol: Protocol, move: str, data: st.DataObject) -> None:
    if move == "r":
        frame = json.dumps(data.draw(st.sampled_from([{}, {"previous_response_id": data.draw(IDS)}])))
        protocol.submit(ProtocolRequest(frame.encode(), data.draw(LANES)))
    elif move == "s":
        protocol.submit(ProtocolSteer(b"{}", data.draw(IDS)))
    elif move == "w":
        while protocol.next_to_send() is not None:
            pass
    elif move == "E":
        _receive(protocol, data.draw(_frames()))
    elif requests := protocol.open_requests():
        request = data.draw(st.sampled_from(requests))
        if move == "d":
            protocol.dispose(request)
        elif isinstance(request, ProtocolSteer) and request.state in (SENT, STARTED) and not request.owns_successor:
            protocol.abandon(request)


def _receive(protocol: Protocol, frame: dict[str, Any]) -> None:
    """Receive an event; if it is told beforehand that the event changes nothing, that must be true."""
    told, before = protocol.request_of_plain(frame["type"], frame["stream_id"]), _state(protocol)
    request = protocol.receive(event_from(frame))
    if told is not None:
        assert request is told
        assert _state(protocol) == before


def _state(protocol: Protocol) -> bytes:
    return pickle.dumps((protocol.lanes, protocol._responses, protocol._steers, protocol._successors))


@st.composite
def _frames(draw: st.DrawFn) -> dict[str, Any]:
    frame: dict[str, Any] = {"type": draw(st.sampled_from(RESPONSE_TYPES)), "stream_id": draw(LANES)}
    if "steer" in frame["type"]:
        frame["steer"] = {"id": draw(st.sampled_from(["s1", "s2", None])), "previous_response_id": draw(IDS)}
    elif frame["type"] == "error":
        codes = ["server_error", "response_already_in_flight", "no steering"]
        frame["error"] = {"code": draw(st.sampled_from(codes))}
    else:
        reason = draw(st.sampled_from(["steered", None]))
        frame["delta"] = "x"
        frame["response"] = {
            "id": draw(IDS),
            "previous_response_id": draw(st.none() | IDS),
            "incomplete_details": {"reason": reason},
        }
    return frame


def _assert_tables_agree(protocol: Protocol) -> None:
    lanes, responses = protocol.lanes, protocol._responses
    taken = lanes.in_flight.keys() | lanes.late_successors.keys()
    occupants = [*lanes.in_flight.items(), *lanes.late_successors.items()]
    requests = {request for _, request in occupants}
    assert all(request.stream_id == lane and request.state is not ENDED for lane, request in occupants)
    assert not lanes.reserved.keys() & taken
    assert all(protocol._steers.successor_may_begin(lane) for lane in lanes.reserved)
    assert set(lanes._ready) == set(lanes._queues) - lanes.reserved.keys() - taken
    assert set(responses.by_stream_id.values()) | set(responses.by_id.values()) | set(lanes.unanswered) <= requests
