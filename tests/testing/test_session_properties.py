"""Whatever is asked in whatever order, each lane gets its answers whole, in order, and within the limits."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from rxresponses.testing.replies import Failure, FunctionCall, Part, Text

from .peer import Event, Peer

TERMINAL = {"response.completed", "response.failed", "response.incomplete"}
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
def test_each_lane_is_answered_in_order(actions: list[tuple[str, str]], replies: list[Part], active: int) -> None:
    peer = Peer(active=active)
    peer.model.reply(*replies)
    asked: dict[str, list[str]] = defaultdict(list)
    answered: dict[str, list[str]] = defaultdict(list)
    running: dict[str, str] = {}
    numbers: dict[str, int] = {}

    def look(events: list[Event]) -> None:
        for event in events:
            lane = event.get("stream_id", "")
            kind = event["type"].removeprefix("response.")
            if kind == "created":
                assert lane not in running
                running[lane] = event["response"]["id"]
                numbers[lane] = 0
                assert len(running) <= active
                if event["response"]["previous_response_id"] is None:  # the others succeed steered ones
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
                look(peer.step())
    look(peer.drain())

    assert running == {}
    assert answered == asked
