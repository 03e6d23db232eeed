"""What faults do to a session."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxresponses.testing.faults import DropStreamIds, Fault, IgnoreSteer, RefuseConcurrent, ReorderLanes
from rxresponses.testing.outputs import Raw, Text
from rxresponses.testing.replies import Close, Delay, Expire, Failure, Hold, Inject, Intervention, Stall
from rxresponses.testing.transcript import Recording

from .peer import Event, Peer, response_id, text_of, types

DROP = Close(1006)


def peer_with(*faults: Fault, **limits: Any) -> Peer:
    peer = Peer(faults=faults, **limits)
    peer.model.on("", lambda request: Text(request.text))
    return peer


# Faults of a response


@pytest.mark.parametrize("in_reply", [True, False])
@pytest.mark.parametrize("what", [DROP, Stall(after=3), Failure(after=4), Expire(), Hold(), Inject({"type": "new"})])
def test_a_fault_and_a_reply_have_the_same_effect(what: Intervention, in_reply: bool) -> None:
    peer = Peer(faults=[] if in_reply else [Fault(what, request=1)])
    peer.model.reply(["a b", what] if in_reply else "a b")
    other = Peer()
    other.model.reply(["a b", what])

    assert types(peer.ask()) == types(other.ask())
    assert (peer.closed, peer.stalled) == (other.closed, other.stalled)


def test_a_close_ends_all_lanes() -> None:
    peer = peer_with(Fault(Close(1012, "restart", after=3), request=2))
    for lane in "abc":
        peer.create(stream_id=lane)

    assert [event["stream_id"] for event in peer.drain()] == ["a", "b", "c"] * 3 + ["a"]
    assert peer.closed == Close(1012, "restart", after=3)
    a, b, c = peer.journal.exchanges
    assert [exchange.outcome for exchange in (a, b, c)] == ["lost"] * 3
    assert [exchange.events for exchange in (a, b, c)] == [4, 3, 3]
    assert [len(exchange.faults) for exchange in (a, b, c)] == [0, 1, 0]


def test_a_close_after_the_end_lets_the_response_complete() -> None:
    peer = peer_with(Fault(Close(1000, after=99)))

    assert types(peer.ask())[-1] == "completed"
    assert peer.closed is not None
    assert peer.journal.exchanges[0].outcome == "completed"


def test_a_held_response_lets_other_lanes_complete() -> None:
    peer = peer_with(Fault(Hold(after=3), request=1))
    peer.create(stream_id="a")
    peer.create(stream_id="b")

    assert types([event for event in peer.drain() if event["stream_id"] == "a"])[-1] == "output_item.added"
    assert peer.outcomes == [None, "completed"]


def test_a_stall_silences_the_connection() -> None:
    peer = peer_with(Fault(Stall(after=3, pongs=False), request=1), max_age=60.0)
    peer.create(stream_id="a")
    peer.create(stream_id="b")
    assert len(peer.drain()) == 3 + 3
    assert peer.stalled == Stall(after=3, pongs=False)
    assert peer.session.due(peer.now) is None

    peer.create(stream_id="c")
    peer.send("broken {")
    peer.steer(peer.journal.exchanges[0].response_id)
    peer.now = 60.0
    assert peer.step() == []
    assert peer.outcomes == [None] * 3
    peer.session.end()
    assert peer.outcomes == ["lost"] * 3
    assert peer.journal.exchanges[2].started is None


def test_a_request_whose_refusal_cannot_be_sent_is_lost() -> None:
    peer = peer_with(Fault(Stall(), request=1))
    peer.ask()
    peer.create(stream_id="")

    assert peer.journal.exchanges[1].outcome is None
    peer.session.end()
    assert peer.journal.exchanges[1].outcome == "lost"


def test_a_delayed_event() -> None:
    peer = peer_with(Fault(Delay(1.5, after=3), request=1))
    peer.create(stream_id="a")
    peer.create(stream_id="b")
    received = peer.drain()
    assert types([event for event in received if event["stream_id"] == "a"])[-1] == "output_item.added"
    assert types([event for event in received if event["stream_id"] == "b"])[-1] == "completed"
    assert peer.session.due(peer.now) == 1.5

    peer.now = 1.5
    assert types(peer.drain())[0] == "content_part.added"


def test_delays_add_up() -> None:
    peer = peer_with(Fault(Delay(1.0, after=1)), Fault(Delay(1.0, after=2)))
    peer.ask()
    peer.now = 1.5
    assert types(peer.drain()) == ["in_progress"]
    assert peer.session.due(peer.now) == 2.5


@pytest.mark.parametrize(
    ("frame", "sent"),
    [
        ("{broken", "{broken"),
        (b"\x00", b"\x00"),
        ("x" * 100_000, "x" * 100_000),
        ({"type": "response.completed"}, '{"type":"response.completed"}'),
        ({"type": "error"}, '{"type":"error"}'),
    ],
)
def test_an_injected_frame_changes_nothing_else(frame: Any, sent: str | bytes) -> None:
    plain = peer_with()
    plain.create(stream_id="a")
    peer = peer_with(Fault(Inject(frame, after=3)))
    peer.create(stream_id="a")

    def outputs(peer: Peer) -> list[Any]:
        found: list[Any] = []
        while peer.session.due(0.0) is not None:
            found += peer.session.step(0.0)
        return found

    received = outputs(peer)
    assert received.pop(3) == sent
    assert received == outputs(plain)
    (exchange,) = peer.journal.exchanges
    assert (exchange.outcome, exchange.events) == ("completed", len(received))


def test_a_connection_expires_at_an_event() -> None:
    peer = peer_with(Fault(Expire(after=3), request=2))
    peer.ask(stream_id="a")
    received = peer.ask(stream_id="a")

    assert received[-1]["error"]["code"] == "websocket_connection_limit_reached"
    assert received[-1]["error"]["message"] == "The connection has reached its time limit. Open a new one."
    assert "stream_id" not in received[-1]
    assert peer.closed == Close(1000, "connection limit reached")


def test_faults_happen_to_warm_ups_and_recordings() -> None:
    peer = Peer(faults=[Fault(Hold(after=1), request=1), Fault(Failure("rate_limit_exceeded", after=1), request=2)])
    assert types(peer.ask(generate=False, stream_id="a")) == ["created"]

    (recording,) = Recording.load([{"type": "response.created"}, {"type": "response.completed"}])
    peer.model.reply(recording)
    assert types(peer.ask(stream_id="b")) == ["created", "error", "failed"]


def test_an_exception_of_a_match_function_is_reported_to_the_client() -> None:
    peer = peer_with(Fault(DROP, match=lambda request: request.body["nonsense"] is None))

    assert "KeyError" in peer.refused()["error"]["message"]
    assert peer.journal.exchanges[0].outcome == "refused"


def test_the_successor_of_a_steered_response_can_be_matched() -> None:
    peer = peer_with(Fault(Hold(after=1), match="more"), Fault(Close(1011), request=3))
    peer.create()
    created = peer.step()
    peer.steer(response_id(created))
    received = peer.drain()

    assert types(received)[-2:] == ["incomplete", "created"]
    (exchange,) = peer.journal.exchanges
    assert exchange.outcome == "incomplete"


# Faults of a connection


@pytest.mark.parametrize("what", [Close(1008), Stall(), Expire(), Inject({"type": "hello"})])
def test_an_intervention_when_the_connection_opens(what: Close | Stall | Expire | Inject) -> None:
    peer = peer_with(Fault(what, request=0))
    assert peer.session.due(peer.now) == peer.now
    received = peer.step()
    answer = peer.ask()

    if isinstance(what, Inject):
        assert received == [{"type": "hello"}]
        assert types(answer)[-1] == "completed"
    else:
        assert answer == []
        assert peer.closed == (Close(1000, "connection limit reached") if isinstance(what, Expire) else peer.closed)
        assert peer.closed is not None or peer.stalled == what
        peer.session.end()
        (exchange,) = peer.journal.exchanges
        assert (exchange.started, exchange.outcome) == (None, "lost")


def test_a_server_without_lanes() -> None:
    peer = peer_with(Fault(DropStreamIds()), lanes=1)
    (recording,) = Recording.load([{"type": "response.created", "stream_id": "x"}, {"type": "response.completed"}])
    peer.create(stream_id="a", input="first")
    peer.create(stream_id="b", input="second")
    peer.create(stream_id="not a lane", input="third")
    peer.create(input="fourth")
    received = peer.drain()

    assert all("stream_id" not in event for event in received)
    assert text_of(received) == "firstsecondthirdfourth"
    assert types(received).count("completed") == 4
    assert "stream_id" not in peer.refused(stream_id="a", temperature="hot")
    peer.model.reply(recording)
    assert "stream_id" not in peer.ask(stream_id="a")[0]
    created = peer.ask(stream_id="a")[0]
    peer.steer(created["response"]["id"])
    assert "stream_id" not in peer.drain()[0]


def test_a_server_that_takes_one_request_at_a_time() -> None:
    peer = peer_with(Fault(RefuseConcurrent()))
    peer.create(stream_id="a")
    first = peer.step()
    peer.create(stream_id="b")
    refusal, *rest = peer.drain()

    assert (refusal["error"]["code"], refusal["status"], refusal["stream_id"]) == (
        "response_already_in_flight",
        409,
        "b",
    )
    assert types(first + rest)[-1] == "completed"
    assert peer.outcomes == ["completed", "refused"]


def test_the_next_request_is_accepted_after_the_terminal_event() -> None:
    peer = peer_with(Fault(RefuseConcurrent()))
    peer.create()
    event: Event = {}
    while event.get("type") != "response.completed":
        (event,) = peer.step()
    peer.create()

    assert types(peer.drain())[-1] == "completed"


def test_a_waiting_request_counts_as_in_flight() -> None:
    peer = peer_with(Fault(RefuseConcurrent()), Fault(Hold(after=10), request=1))
    peer.model.reply(Raw([{"type": "response.completed"}]))
    peer.ask()  # the response has ended, but its `Hold` keeps the lane occupied
    peer.create()
    peer.create()

    assert peer.drain()[0]["error"]["code"] == "response_already_in_flight"


def test_a_server_that_ignores_steering() -> None:
    peer = peer_with(Fault(IgnoreSteer()))
    peer.create()
    created = peer.step()
    peer.steer(response_id(created))
    peer.send('{"type":"response.steer"}')

    assert "incomplete" not in types(peer.drain())


# The order of lanes


def on_three_lanes(order: Any, seed: int = 0) -> list[Event]:
    peer = peer_with(Fault(ReorderLanes(order, seed)))
    for lane in "abc":
        peer.create(stream_id=lane, input=f"{lane} {lane}")
    return peer.drain()


def test_newest_order_finishes_the_newest_response_first() -> None:
    lanes = [event["stream_id"] for event in on_three_lanes("newest")]

    assert lanes == sorted(lanes, reverse=True)


@given(seed=st.integers(0, 1000))
def test_random_order_keeps_the_order_on_each_lane(seed: int) -> None:
    received = on_three_lanes("random", seed)

    assert received != on_three_lanes("random", seed + 1)
    assert [event["stream_id"] for event in received] == [
        event["stream_id"] for event in on_three_lanes("random", seed)
    ]
    for lane in "abc":
        own = [event for event in received if event["stream_id"] == lane]
        assert [event["sequence_number"] for event in own] == list(range(len(own)))
        assert types(own)[-1] == "completed"
        assert text_of(own) == f"{lane} {lane}"
