"""Random requests and faults: each lane gets complete answers in order, and the exchanges confirm them."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from rxresponses.testing.faults import DropStreamIds, Fault, IgnoreSteer, RefuseConcurrent, ReorderLanes
from rxresponses.testing.outputs import FunctionCall, Text
from rxresponses.testing.replies import Close, Delay, Expire, Failure, Hold, Inject, Part, Stall

from .peer import Event, Peer
from .sockets import TERMINAL

LANES = ["", "a", "b", "c"]

actions = st.lists(
    st.one_of(
        st.sampled_from(LANES).map(lambda lane: ("create", lane)),
        st.sampled_from(LANES).map(lambda lane: ("bad", lane)),
        st.sampled_from(LANES).map(lambda lane: ("steer", lane)),
        st.integers(1, 12).map(lambda steps: ("step", str(steps))),
    ),
    max_size=40,
)
replies = st.lists(st.sampled_from([Text("a b"), FunctionCall("f"), Failure()]), max_size=10)


@given(actions=actions, replies=replies, active=st.integers(1, 3))
def test_requests_of_a_lane_are_answered_in_order(
    actions: list[tuple[str, str]], replies: list[Part], active: int
) -> None:
    peer = Peer(active=active)
    peer.model.reply(*replies)
    asked: dict[str, list[str]] = defaultdict(list)
    answered: dict[str, list[str]] = defaultdict(list)
    running: dict[str, str] = {}
    numbers: dict[str, int] = {}

    def check(events: list[Event]) -> None:
        for event in events:
            lane = event.get("stream_id", "")
            kind = event["type"].removeprefix("response.")
            if kind == "created":
                assert lane not in running
                running[lane] = event["response"]["id"]
                numbers[lane] = 0
                assert len(running) <= active
                if event["response"]["previous_response_id"] is None:  # not the successor of a steered response
                    answered[lane].append(event["response"]["metadata"]["n"])
            if "sequence_number" in event and not kind.startswith("steer"):
                assert event["sequence_number"] == numbers[lane]
            if "sequence_number" in event and lane in running and kind != "steer.failed":
                numbers[lane] += 1
            if kind == "error" and lane not in running:
                answered[lane].append("refused")
            if event["type"] in TERMINAL:
                assert running.pop(lane) == event["response"]["id"]

    for number, (action, argument) in enumerate(actions):
        lane = {"stream_id": argument} if argument else {}
        if action == "create":
            asked[argument].append(str(number))
            peer.create(metadata={"n": str(number)}, **lane)
        elif action == "bad":
            asked[argument].append("refused")
            peer.create(temperature="hot", **lane)
        elif action == "steer":
            peer.steer(running.get(argument, "resp_nobody"))
        else:
            for _ in range(int(argument)):
                check(peer.step())
    check(peer.drain())

    assert running == {}
    assert answered == asked


afters = st.integers(0, 12)
whats = st.one_of(
    st.builds(Close, st.sampled_from([1000, 1006]), after=afters),
    st.builds(Delay, st.sampled_from([0.0, 1.0]), afters),
    st.builds(Expire, afters),
    st.builds(Failure, after=afters),
    st.builds(Hold, after=afters),
    st.builds(Inject, st.just({"type": "injected"}), afters),
    st.builds(Stall, afters),
    st.builds(ReorderLanes, st.sampled_from(["random", "newest"])),
    st.sampled_from([DropStreamIds(), RefuseConcurrent(), IgnoreSteer()]),
)
plans = st.lists(st.builds(Fault, whats, probability=st.sampled_from([0.1, 0.5, 1.0])), max_size=5)


@given(plan=plans, lanes=st.lists(st.sampled_from(LANES), max_size=12), steps=st.integers(0, 12))
def test_exchanges_confirm_what_the_client_received_under_random_faults(
    plan: list[Fault], lanes: list[str], steps: int
) -> None:
    peer = Peer(faults=plan)
    received: list[Event] = []
    for lane in lanes:
        peer.create(**({"stream_id": lane} if lane else {}))
        for _ in range(steps):
            received += peer.step()
    while (due := peer.session.due(peer.now)) is not None:
        peer.now = max(peer.now, due)
        received += peer.step()
    silent = peer.closed is not None or peer.stalled is not None
    assert peer.step() == []

    exchanges = peer.journal.exchanges
    assert [exchange.number for exchange in exchanges] == list(range(1, len(lanes) + 1))
    events = [event for event in received if event["type"] != "injected"]
    expired = sum((event.get("error") or {}).get("code") == "websocket_connection_limit_reached" for event in events)
    never_run = sum(exchange.outcome == "refused" and exchange.started is None for exchange in exchanges)
    assert sum(exchange.events for exchange in exchanges) == len(events) - expired - never_run
    created = [event["response"]["id"] for event in events if event["type"] == "response.created"]
    assert (
        len(created)
        == len(set(created))
        == sum(exchange.events > 0 and exchange.outcome != "refused" for exchange in exchanges)
    )
    for outcome in ("completed", "incomplete"):
        ended = [event["response"]["id"] for event in events if event["type"] == f"response.{outcome}"]
        assert sorted(ended) == sorted(
            str(exchange.response_id) for exchange in exchanges if exchange.outcome == outcome
        )
    errors = sum(event["type"] == "error" for event in events) - expired
    assert errors == sum(exchange.outcome in ("failed", "refused") for exchange in exchanges)
    held = any(isinstance(fault, Hold) for exchange in exchanges for fault in exchange.faults)
    assert all(exchange.outcome is not None for exchange in exchanges) or held or silent
    peer.session.end()
    assert all(exchange.outcome is not None for exchange in peer.journal.exchanges)
