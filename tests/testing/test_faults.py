"""Fault plans without a socket: whom a fault strikes, and what it does to a session."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxresponses.testing.faults import (
    DelayUpgrade,
    DropStreamIds,
    Fault,
    IgnoreSteer,
    RefuseConcurrent,
    RefuseUpgrade,
    ReorderLanes,
)
from rxresponses.testing.plan import FaultPlan
from rxresponses.testing.replies import (
    Close,
    Delay,
    Expire,
    Failure,
    FunctionCall,
    Gate,
    Hold,
    Inject,
    Intervention,
    Raw,
    Stall,
    Text,
)
from rxresponses.testing.request import Request
from rxresponses.testing.transcript import Recording

from .peer import Event, Peer, response_id, text_of, types

DROP = Close(1006)


def request(number: int, *, connection: int = 1, ordinal: int | None = None, text: str = "hi") -> Request:
    items = [{"type": "message", "role": "user", "content": text}]
    return Request({}, items, connection=connection, number=number, ordinal=number if ordinal is None else ordinal)


def struck(plan: FaultPlan, requests: int) -> list[int]:
    return [number for number in range(1, requests + 1) if plan.at_request(request(number))]


# Whom it strikes


def test_without_faults_nothing_happens() -> None:
    plan = FaultPlan()

    assert plan.at_upgrade(1) == []
    assert plan.at_opening(1) == []
    assert plan.at_request(request(1)) == ()


def test_a_fault_strikes_everywhere_unless_it_is_narrowed() -> None:
    assert struck(FaultPlan([Fault(DROP)]), 3) == [1, 2, 3]
    assert struck(FaultPlan([Fault(DROP, request=2)]), 3) == [2]
    assert struck(FaultPlan([Fault(DROP, times=2)]), 3) == [1, 2]
    assert struck(FaultPlan([Fault(DROP, connection=2)]), 3) == []
    assert struck(FaultPlan([Fault(DROP, probability=0.0)]), 3) == []


def test_a_request_counts_on_its_connection_if_that_is_given() -> None:
    plan = FaultPlan([Fault(DROP, connection=2, request=1), Fault(Stall(), request=5)])

    assert plan.at_request(request(1)) == ()
    assert plan.at_request(request(4, connection=2, ordinal=1)) == (DROP,)
    assert plan.at_request(request(5, connection=2, ordinal=2)) == (Stall(),)


def test_requests_can_be_matched() -> None:
    plan = FaultPlan([Fault(DROP, match="^bye", times=1), Fault(Stall(), match=lambda one: one.number == 4)])
    texts = ["hi", "good bye", "bye", "bye"]

    found = [plan.at_request(request(number, text=text)) for number, text in enumerate(texts, start=1)]
    assert found == [(), (), (DROP,), (Stall(),)]


def test_chance_is_the_same_each_time_and_another_for_each_fault() -> None:
    faults = [Fault(DROP, probability=0.3), Fault(DROP, probability=0.3), Fault(DROP, probability=0.3, seed=1)]
    draws = [struck(FaultPlan(faults[: number + 1]), 1) for number in range(3)]
    assert draws == [struck(FaultPlan(faults[: number + 1]), 1) for number in range(3)]

    many = [plan.at_request(request(number)) for plan in [FaultPlan(faults[:2])] for number in range(2000)]
    assert 500 < sum(len(one) > 0 for one in many) - sum(len(one) == 2 for one in many) < 1100
    assert struck(FaultPlan([faults[0]]), 50) != struck(FaultPlan([faults[2]]), 50)


def test_only_those_that_the_rest_leaves_are_drawn() -> None:
    by_chance = struck(FaultPlan([Fault(DROP, probability=0.5)]), 20)
    plan = FaultPlan([Fault(DROP, probability=0.5, match="x")])
    found = []
    for number in range(1, 21):
        assert plan.at_request(request(number, text="other")) == ()
        if plan.at_request(request(number, text="x")):
            found.append(number)

    assert found == by_chance


def test_faults_have_their_occasion() -> None:
    slow, refused = DelayUpgrade(0.5), RefuseUpgrade(429)
    plan = FaultPlan([Fault(slow), Fault(refused, connection=2), Fault(IgnoreSteer()), Fault(DROP, request=0, times=1)])

    assert plan.at_upgrade(1) == [slow]
    assert plan.at_upgrade(2) == [slow, refused]
    assert plan.at_opening(1) == [IgnoreSteer(), DROP]
    assert plan.at_opening(2) == [IgnoreSteer()]
    assert plan.at_request(request(1)) == ()


def test_faults_come_and_go() -> None:
    plan = FaultPlan()
    plan.add(Fault(DROP), Fault(RefuseUpgrade()), Fault(IgnoreSteer()))
    assert plan.at_request(request(1)) == (DROP,)
    plan.clear()

    assert (plan.at_upgrade(1), plan.at_opening(1), plan.at_request(request(2))) == ([], [], ())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"connection": 0}, "connection must be at least 1"),
        ({"request": -1}, "request must be at least 0"),
        ({"times": 0}, "times must be at least 1"),
        ({"probability": 1.1}, "from 0 to 1"),
        ({"probability": math.nan}, "from 0 to 1"),
        ({"request": 0, "match": "x"}, "match chooses requests"),
        ({"what": IgnoreSteer(), "match": "x"}, "match chooses requests"),
        ({"what": RefuseUpgrade(), "request": 1}, "RefuseUpgrade happens to a connection"),
        ({"what": RefuseUpgrade(), "request": 0}, "RefuseUpgrade happens to a connection"),
        ({"what": Failure(), "request": 0}, "Failure happens to a response"),
    ],
)
def test_a_choice_that_makes_no_sense(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Fault(**{"what": DROP, **arguments})


def test_what_is_no_fault() -> None:
    with pytest.raises(TypeError, match="Not a fault: Text"):
        Fault(Text("hi"))  # type: ignore[arg-type]
    for what in (DROP, "drop", None):
        with pytest.raises(TypeError, match="Not a Fault: "):
            FaultPlan([what])  # type: ignore[list-item]
        plan = FaultPlan()
        with pytest.raises(TypeError, match="Not a Fault: "):
            plan.add(Fault(DROP), what)  # type: ignore[arg-type]
        assert plan.at_request(request(1)) == ()
    with pytest.raises(re.error):
        Fault(DROP, match="(")
    for status in (101, 199, 600):
        with pytest.raises(ValueError, match=f"status must be from 200 to 599, not {status}"):
            RefuseUpgrade(status)
    with pytest.raises(ValueError, match="order must be"):
        ReorderLanes("oldest")  # type: ignore[arg-type]
    for seconds in (-1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="seconds must be"):
            Delay(seconds)
    with pytest.raises(UnicodeEncodeError):
        Inject("\ud83c")


@pytest.mark.parametrize(
    ("status", "reason", "kind", "code"),
    [
        (401, "Unauthorized", "authentication_error", None),
        (403, "Forbidden", "permission_error", None),
        (404, "Not Found", "invalid_request_error", None),
        (429, "Too Many Requests", "rate_limit_error", "rate_limit_exceeded"),
        (503, "Service Unavailable", "server_error", None),
        (529, "Unknown", "server_error", None),
    ],
)
def test_a_refusal_says_what_is_usual(status: int, reason: str, kind: str, code: str | None) -> None:
    refusal = RefuseUpgrade(status)

    assert refusal.reason == reason
    assert refusal.content == {"error": {"message": reason, "type": kind, "param": None, "code": code}}


@pytest.mark.parametrize("body", ["", "<html>", {}, {"detail": "no"}])
@pytest.mark.parametrize("status", [200, 599])
def test_a_refusal_says_what_it_is_given(status: int, body: Any) -> None:
    assert RefuseUpgrade(status, body).content == body


# What it does to a response


def peer_with(*faults: Fault, **limits: Any) -> Peer:
    peer = Peer(faults=faults, **limits)
    peer.model.on("", lambda one: Text(one.text))
    return peer


@pytest.mark.parametrize("in_reply", [True, False])
@pytest.mark.parametrize("what", [DROP, Stall(after=3), Failure(after=4), Expire(), Hold(), Inject({"type": "new"})])
def test_a_fault_does_what_it_does_in_a_reply(what: Intervention, in_reply: bool) -> None:
    peer = Peer(faults=[] if in_reply else [Fault(what, request=1)])
    peer.model.reply(["a b", what] if in_reply else "a b")
    other = Peer()
    other.model.reply(["a b", what])

    assert types(peer.ask()) == types(other.ask())
    assert (peer.closed, peer.stalled) == (other.closed, other.stalled)


def test_a_close_at_an_event_takes_all_lanes_along() -> None:
    peer = peer_with(Fault(Close(1012, "restart", after=3), request=2))
    for lane in "abc":
        peer.create(stream_id=lane)

    assert [event["stream_id"] for event in peer.drain()] == ["a", "b", "c"] * 3 + ["a"]
    assert peer.closed == Close(1012, "restart", after=3)
    a, b, c = peer.journal.exchanges
    assert [one.outcome for one in (a, b, c)] == ["lost"] * 3
    assert [one.events for one in (a, b, c)] == [4, 3, 3]
    assert [len(one.faults) for one in (a, b, c)] == [0, 1, 0]


def test_a_close_behind_the_end_lets_the_answer_out() -> None:
    peer = peer_with(Fault(Close(1000, after=99)))

    assert types(peer.ask())[-1] == "completed"
    assert peer.closed is not None
    assert peer.journal.exchanges[0].outcome == "completed"


def test_a_held_response_lets_the_others_go() -> None:
    peer = peer_with(Fault(Hold(after=3), request=1))
    peer.create(stream_id="a")
    peer.create(stream_id="b")

    assert types([one for one in peer.drain() if one["stream_id"] == "a"])[-1] == "output_item.added"
    assert [one.outcome for one in peer.journal.exchanges] == [None, "completed"]


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
    assert [one.outcome for one in peer.journal.exchanges] == [None] * 3
    peer.session.end()
    assert [one.outcome for one in peer.journal.exchanges] == ["lost"] * 3
    assert peer.journal.exchanges[2].started is None


def test_a_refusal_that_cannot_be_told_is_a_loss() -> None:
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
    assert types([one for one in received if one["stream_id"] == "a"])[-1] == "output_item.added"
    assert types([one for one in received if one["stream_id"] == "b"])[-1] == "completed"
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

    def outputs(one: Peer) -> list[Any]:
        found: list[Any] = []
        while one.session.due(0.0) is not None:
            found += one.session.step(0.0)
        return found

    received = outputs(peer)
    assert received.pop(3) == sent
    assert received == outputs(plain)
    (exchange,) = peer.journal.exchanges
    assert (exchange.outcome, exchange.events) == ("completed", len(received))


def test_the_limit_of_a_connection_reached_now() -> None:
    peer = peer_with(Fault(Expire(after=3), request=2))
    peer.ask(stream_id="a")
    received = peer.ask(stream_id="a")

    assert received[-1]["error"]["code"] == "websocket_connection_limit_reached"
    assert received[-1]["error"]["message"] == "The connection has reached its time limit. Open a new one."
    assert "stream_id" not in received[-1]
    assert peer.closed == Close(1000, "connection limit reached")


def test_a_fault_meets_warm_ups_and_recordings_too() -> None:
    peer = Peer(faults=[Fault(Hold(after=1), request=1), Fault(Failure("rate_limit_exceeded", after=1), request=2)])
    assert types(peer.ask(generate=False, stream_id="a")) == ["created"]

    (recording,) = Recording.load([{"type": "response.created"}, {"type": "response.completed"}])
    peer.model.reply(recording)
    assert types(peer.ask(stream_id="b")) == ["created", "error", "failed"]


def test_a_match_function_that_raises_is_told_to_the_client() -> None:
    peer = peer_with(Fault(DROP, match=lambda one: one.body["nonsense"] is None))

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


# What it does to a connection


@pytest.mark.parametrize("what", [Close(1008), Stall(), Expire(), Inject({"type": "hello"})])
def test_something_happens_before_any_request(what: Close | Stall | Expire | Inject) -> None:
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
    assert [one.outcome for one in peer.journal.exchanges] == ["completed", "refused"]


def test_the_next_request_is_welcome_at_the_terminal_event() -> None:
    peer = peer_with(Fault(RefuseConcurrent()))
    peer.create()
    event: Event = {}
    while event.get("type") != "response.completed":
        (event,) = peer.step()
    peer.create()

    assert types(peer.drain())[-1] == "completed"


def test_a_request_that_waits_is_under_way_too() -> None:
    peer = peer_with(Fault(RefuseConcurrent()), Fault(Hold(after=10), request=1))
    peer.model.reply(Raw([{"type": "response.completed"}]))
    peer.ask()  # it has ended, and yet holds its lane
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


def test_the_newest_response_goes_first() -> None:
    lanes = [event["stream_id"] for event in on_three_lanes("newest")]

    assert lanes == sorted(lanes, reverse=True)


@given(seed=st.integers(0, 1000))
def test_a_random_order_keeps_each_lane(seed: int) -> None:
    received = on_three_lanes("random", seed)

    assert received != on_three_lanes("random", seed + 1)
    assert [one["stream_id"] for one in received] == [one["stream_id"] for one in on_three_lanes("random", seed)]
    for lane in "abc":
        own = [event for event in received if event["stream_id"] == lane]
        assert [event["sequence_number"] for event in own] == list(range(len(own)))
        assert types(own)[-1] == "completed"
        assert text_of(own) == f"{lane} {lane}"


# What became of each request


def test_exchanges_tell_what_became_of_each_request() -> None:
    peer = Peer()
    gate = Gate()
    peer.model.reply("a", Failure(), Failure(after=0), Raw([{"type": "response.created"}, {"type": "error"}]))
    peer.model.reply("too long", ["b", Hold(gate)])
    for _ in range(4):
        peer.ask()
    peer.ask(max_output_tokens=1)
    peer.refused(temperature="hot")
    peer.refused(stream_id="")
    peer.now = 2.0
    created = response_id(peer.ask())
    peer.now = 3.0
    peer.create()

    found = peer.journal.exchanges
    outcomes = ["completed", "failed", "refused", "failed", "incomplete", "refused", "refused", None, None]
    assert [one.outcome for one in found] == outcomes
    assert [one.number for one in found] == [one.ordinal for one in found] == list(range(1, 10))
    assert [one.events for one in found][1:4] == [4, 1, 2]
    assert [one.started is None for one in found] == [False] * 5 + [True, True, False, True]
    assert (found[7].received, found[7].started, found[7].response_id, found[7].events) == (2.0, 2.0, created, 2)
    gate.open()
    peer.now = 4.0
    peer.drain()
    last = peer.journal.exchanges[-1]
    assert (last.received, last.started, last.outcome) == (3.0, 4.0, "completed")
    assert found[8].outcome is None  # what was asked for before is not changed
    assert json.loads(json.dumps(last.message))["type"] == "response.create"


def test_a_server_remembers_as_much_as_it_should() -> None:
    peer = Peer(remember=1)
    assert types(peer.ask(previous_response_id=response_id(peer.ask())))[-1] == "completed"
    first, second = response_id(peer.ask(stream_id="a")), response_id(peer.ask(stream_id="a"))

    assert peer.refused(previous_response_id=first)["error"]["code"] == "previous_response_not_found"
    assert types(peer.ask(previous_response_id=second))[-1] == "completed"
    peer.steer(second)
    assert peer.step()[0]["error"]["code"] == "response_not_found"


def test_pending_steering_outlives_what_is_forgotten() -> None:
    peer = Peer(remember=1)
    peer.model.reply([FunctionCall("f", call_id="c"), Text("then")])
    peer.create(stream_id="a")
    created: list[Event] = []
    while not any(event["type"] == "response.output_item.done" for event in created):
        created += peer.step()
    peer.steer(response_id(created))
    pending = peer.drain()
    assert types(pending)[-1] == "steer.pending"
    peer.ask(stream_id="b")

    output = {"type": "function_call_output", "call_id": "c", "output": "1"}
    answer = peer.ask(stream_id="a", previous_response_id=response_id(created), input=[output])
    assert types(answer)[-1] == "completed"
