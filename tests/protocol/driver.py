"""Builders for the tests of one connection's rules: events by lane, requests and steers, and states to start from."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rxresponses.protocol.protocol import Protocol
from rxresponses.protocol.request import SENT, ProtocolRequest, ProtocolSteer
from rxresponses.wire.events import ServerEvent

from ..support.events import wire_event

LANES = pytest.mark.parametrize("lane", [None, "a"])
TERMINAL_KINDS = ["response.completed", "response.failed", "response.incomplete"]


# Events of a response.


def lifecycle(kind: str, response_id: str, stream_id: object = None, **response: object) -> ServerEvent:
    return wire_event(kind, stream_id, response={"id": response_id, **response})


def created(response_id: str, stream_id: object = None) -> ServerEvent:
    return lifecycle("response.created", response_id, stream_id)


def begins(response_id: str, continued: str | None, lane: str | None = None) -> ServerEvent:
    """`response.created` of a server that tells what the response continues."""
    return lifecycle("response.created", response_id, lane, previous_response_id=continued)


def in_progress(response_id: str, stream_id: object = None) -> ServerEvent:
    return lifecycle("response.in_progress", response_id, stream_id)


def completed(response_id: str, stream_id: object = None) -> ServerEvent:
    return lifecycle("response.completed", response_id, stream_id)


def steered(response_id: str, lane: str | None = None) -> ServerEvent:
    return lifecycle("response.incomplete", response_id, lane, incomplete_details={"reason": "steered"})


def delta(text: str = "x", stream_id: object = None) -> ServerEvent:
    return wire_event("response.output_text.delta", stream_id, delta=text)


def error(stream_id: object = None, code: str = "server_error") -> ServerEvent:
    return wire_event("error", stream_id, error={"type": "x", "code": code, "message": "m"})


def refusal(message: str, lane: str | None = None, **fields: Any) -> ServerEvent:
    return wire_event("error", lane, error={"message": message, **fields})


# Answers to steers.


def answer(
    kind: str, steer_id: object = None, target_id: object = None, lane: str | None = None, **fields: Any
) -> ServerEvent:
    """A steering event with the ids that are given."""
    ids = (("id", steer_id), ("previous_response_id", target_id))
    return wire_event(
        f"response.steer.{kind}", lane, steer={name: value for name, value in ids if value is not None}, **fields
    )


def accepted(steer_id: object = None, target_id: object = None, lane: str | None = None) -> ServerEvent:
    return answer("accepted", steer_id, target_id, lane)


def failed(steer_id: object = None, target_id: object = None, lane: str | None = None) -> ServerEvent:
    return answer("failed", steer_id, target_id, lane)


def pending(steer_id: object = None, target_id: object = None, lane: str | None = None) -> ServerEvent:
    return answer("pending", steer_id, target_id, lane)


# Requests and steers.


def continuation(continued: str, lane: str | None = None) -> ProtocolRequest:
    return ProtocolRequest(json.dumps({"previous_response_id": continued}).encode(), lane)


def submit(protocol: Protocol, lane: str | None = None) -> ProtocolRequest:
    request = ProtocolRequest(b"{}", lane)
    protocol.submit(request)
    return request


def send(protocol: Protocol, lane: str | None = None, request: ProtocolRequest | None = None) -> ProtocolRequest:
    """Submit a request that may be sent at once."""
    if request is None:
        request = ProtocolRequest(b"{}", lane)
    protocol.submit(request)
    assert protocol.next_to_send() is request
    return request


def send_steer(protocol: Protocol, target_id: str = "r1") -> ProtocolSteer:
    """Submit a steer, which is sent at once."""
    steer = ProtocolSteer(b"{}", target_id)
    protocol.submit(steer)
    assert protocol.next_to_send(5.0) is steer
    assert (steer.state, steer.since) == (SENT, 5.0)
    return steer


def send_accepted_steers(protocol: Protocol, count: int, lane: str | None = None) -> list[ProtocolSteer]:
    """Send the steers "s1", "s2", … for the response "r1", and let the server accept all of them."""
    steers = [send_steer(protocol) for _ in range(count)]
    for number, steer in enumerate(steers, 1):
        assert protocol.receive(accepted(f"s{number}", "r1", lane)) is steer
    return steers


# States to start from.


def running(lane: str | None = None, *, echoes: bool | None = True, **options: Any) -> tuple[Protocol, ProtocolRequest]:
    """The response "r1" runs on a lane."""
    protocol = Protocol(echoes_stream_id=echoes, **options)
    target = send(protocol, lane)
    assert protocol.receive(created("r1", lane if echoes is not False else None)) is target
    return protocol, target


def steering(lane: str | None = None, *, echoes: bool | None = True, **options: Any) -> tuple[Protocol, ProtocolSteer]:
    """The response "r1" runs on a lane, and the server has accepted the steer "s1" for it."""
    protocol, _ = running(lane, echoes=echoes, **options)
    steer = send_steer(protocol)
    assert protocol.receive(accepted("s1", "r1", lane if echoes is not False else None)) is steer
    return protocol, steer


def overdue(lane: str | None = None, *, echoes: bool | None = True, **options: Any) -> tuple[Protocol, ProtocolSteer]:
    """The response "r1" has ended, and the successor of the accepted steer "s1" did not come in time."""
    protocol, steer = steering(lane, echoes=echoes, **options)
    protocol.receive(steered("r1", lane if echoes is not False else None))
    protocol.start_steer_timeouts(20.0)
    protocol.abandon(steer)
    return protocol, steer


# What is left.


def assert_nothing_runs(protocol: Protocol) -> None:
    """No request is queued or runs."""
    for name in ("_queues", "_ready", "in_flight", "unanswered"):
        assert not getattr(protocol.lanes, name), name
    for name in ("by_stream_id", "by_id"):
        assert not getattr(protocol._responses, name), name
    assert protocol.lanes.active == protocol.lanes.queued == 0
    assert not protocol.lanes.is_shared


def assert_nothing_open(protocol: Protocol) -> None:
    """No lane is taken, and no request or steer waits."""
    assert_nothing_runs(protocol)
    assert not protocol.lanes.reserved
    assert not protocol.lanes.late_successors
    assert not protocol.open_requests()


def assert_nothing_left(protocol: Protocol) -> None:
    """Nothing is open, and no abandoned steer is remembered."""
    assert_nothing_open(protocol)
    assert not protocol._steers._open
