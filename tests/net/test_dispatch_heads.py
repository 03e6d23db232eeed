"""Events that no observer gets are not decoded, and everything else is as if they were."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxresponses.net import dispatch
from rxresponses.net.request import ConnectionRequest, detach_observer
from rxresponses.wire.codec import decode

from ..effort import examples
from .test_dispatch import Case, event

LANES = [None, "a", "b"]
DELTA = b'{"type": "response.output_text.delta", "stream_id": "a", "delta": "x"}'


class Quiet(Case):
    """A dispatcher without observers of `events` and `unrouted`."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[ConnectionRequest] = []
        self.dispatcher._events.observers = self.dispatcher._unrouted.observers = ()

    def drop(self, request: ConnectionRequest) -> None:
        """Dispose a request as a connection does."""
        detach_observer(request)
        self.dispatcher.look_at_heads()
        self.dispose(request)
        self.unblock()

    def do(self, move: str, what: Any) -> None:
        if move == "send" and what not in self.protocol.lanes.in_flight:
            self.requests.append(self.send(what))
        elif move == "drop" and what < len(self.requests):
            self.drop(self.requests[what])
        elif move == "frame":
            self.dispatcher.frame_received(what)
        elif move == "watch":
            getattr(self.dispatcher, what).observable.subscribe(lambda seen: self.log.append(f"{what} {seen.type}"))

    def outcome(self) -> list[Any]:
        states = [(one.state, one.cancelled, one.is_silent, one.response_ids) for one in self.requests]
        return [self.log, states, [*self.protocol.lanes.in_flight], self.unblocks, len(self.reported)]


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    kinds = ["output_text.delta"] * 6 + [
        "created",
        "completed",
        "failed",
        "in_progress",
        "output_item.done",
        "heartbeat",
    ]
    fields = event(draw(st.sampled_from(kinds)), draw(st.sampled_from([*LANES, "c"])))
    fields["delta"] = draw(st.sampled_from(["x", 7]))
    if draw(st.integers(0, 9)) == 0:
        fields["type"] = draw(st.sampled_from(["error", "of.tomorrow", "", 5]))
    if draw(st.integers(0, 9)) == 0:
        fields["stream_id"] = 5
    frame = json.dumps({name: value for name, value in fields.items() if value is not None}).encode()
    if draw(st.integers(0, 9)) == 0:
        second = b', "type": "response.completed"}'
        frame = draw(st.sampled_from([frame[:-1], frame + b"\xff", b"[DONE]", b"[]", frame[:-1] + second]))
    return frame


MOVES = st.one_of(
    st.tuples(st.just("send"), st.sampled_from(LANES)),
    st.tuples(st.just("drop"), st.integers(0, 3)),
    st.tuples(st.just("frame"), frames()),
    st.tuples(st.just("frame"), frames()),
    st.tuples(st.just("frame"), frames()),
    st.tuples(st.just("watch"), st.sampled_from(["_events", "_unrouted"])),
)
START = [("send", "a"), ("send", None), ("frame", json.dumps(event("created", "a")).encode()), ("frame", DELTA)]


@given(st.booleans(), st.lists(MOVES, max_size=25))
@settings(max_examples=examples(400))
def test_all_else_is_as_if_each_event_was_decoded(starts: bool, moves: list[tuple[str, Any]]) -> None:
    outcomes = []
    for decodes in (False, True):
        case = Quiet()
        if decodes:
            case.dispatcher._is_for_nobody = lambda frame: False  # type: ignore[method-assign]
        for move, what in [*(START if starts else ()), *moves]:
            case.do(move, what)
        outcomes.append(case.outcome())
        case.loop.close()
    assert outcomes[0] == outcomes[1]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The frames that are decoded."""
    seen: list[bytes] = []

    def note(frame: bytes, *secrets: Any) -> Any:
        seen.append(frame)
        return decode(frame, *secrets)

    monkeypatch.setattr(dispatch, "decode", note)
    return seen


def test_a_drained_response_is_not_decoded_but_its_end_is_seen(decoded: list[bytes]) -> None:
    case = Quiet()
    request = case.send("a")
    case.receive(event("created"), event("output_text.delta", delta="x"))
    case.drop(request)
    decoded.clear()
    case.dispatcher.frame_received(DELTA)
    assert not decoded
    assert case.receive(event("completed"))[-2:] == ["dispose a", "a ended"]
    assert len(decoded) == 1
    assert case.protocol.lanes.active == 0
    case.loop.close()


def test_a_response_beside_it_with_an_observer_is_decoded_and_so_are_events_that_are_observed(
    decoded: list[bytes],
) -> None:
    case = Quiet()
    dropped, other = case.send("a"), case.send("b")
    for lane in ("a", "b"):
        case.receive(event("created", lane), event("output_text.delta", lane, delta="x"))
    case.drop(dropped)
    decoded.clear()
    case.dispatcher.frame_received(DELTA)
    assert len(decoded) == 1
    case.receive(event("completed", "b"))
    decoded.clear()
    case.dispatcher.frame_received(DELTA)  # only the dropped response is left
    assert not decoded
    case.do("watch", "_events")
    case.dispatcher.frame_received(DELTA)
    assert len(decoded) == 1
    assert other.state.name == "ENDED"
    case.loop.close()
