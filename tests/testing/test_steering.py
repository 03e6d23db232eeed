"""Steering: input for a response that is running."""

from __future__ import annotations

from typing import Any

import pytest

from rxresponses.testing import steering
from rxresponses.testing.outputs import FunctionCall, Reasoning, Text
from rxresponses.testing.replies import Failure, Gate, Hold, Incomplete, Part
from rxresponses.testing.request import Request

from .peer import Event, Peer, conversation, response_id, text_of, types


def held(*parts: Part, after: int = 5, **body: Any) -> tuple[Peer, Gate, str]:
    """Return a peer with a response of `parts` that waits after some events, its gate and its id."""
    peer, gate = Peer(), Gate()
    peer.model.reply([*parts, Hold(gate, after)])
    peer.create(**body)
    events = peer.drain()
    assert len(events) == after
    return peer, gate, response_id(events)


def failed(events: list[Event]) -> tuple[str, dict[str, Any]]:
    (event,) = events
    assert event["type"] == "response.steer.failed"
    assert event["error"]["type"] == "invalid_request_error"
    return event["error"]["code"], event["steer"]


def test_a_steered_response_ends_and_has_a_successor() -> None:
    peer, gate, target = held(Text(deltas=["a", "b"]), Text("never"), stream_id="main", temperature=0.5)
    peer.create(stream_id="main", metadata={"n": "queued"})
    peer.model.reply(conversation)
    peer.steer(target, "first")
    peer.steer(target, [{"role": "user", "content": "second"}])
    accepted = peer.drain()
    gate.open()
    events = peer.drain()

    assert types(accepted) == ["steer.accepted"] * 2
    assert [event["sequence_number"] for event in accepted] == [5, 6]
    assert accepted[0]["steer"]["previous_response_id"] == target
    assert accepted[0]["steer"]["id"] != accepted[1]["steer"]["id"]
    assert {event["stream_id"] for event in accepted + events} == {"main"}
    end = types(events).index("incomplete")
    assert types(events)[: end + 2] == [
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "incomplete",
        "created",
    ]
    ended, successor = events[end]["response"], events[end + 1]["response"]
    assert ended["incomplete_details"] == {"reason": "steered"}
    assert ended["output"][0]["status"] == "incomplete"
    assert len(ended["output"]) == 1
    assert (successor["previous_response_id"], successor["temperature"]) == (target, 0.5)
    assert text_of(events).startswith("user: hi\nassistant: a\nuser: first\nuser: second")
    assert [event["response"]["metadata"] for event in events if event["type"] == "response.created"] == [
        {},
        {"n": "queued"},
    ]


def test_a_steered_response_may_still_complete() -> None:
    peer, gate, target = held(Text(deltas=["a"]), after=8)
    peer.steer(target)
    gate.open()

    assert types(peer.drain())[:3] == ["steer.accepted", "completed", "created"]


def test_a_steered_response_finishes_its_reasoning() -> None:
    peer, gate, target = held(Reasoning("a b c"), Text("never"))
    peer.steer(target)
    gate.open()
    events = peer.drain()

    assert types(events).count("reasoning_summary_text.delta") == 2
    ended = next(event for event in events if event["type"] == "response.incomplete")["response"]
    assert [item["type"] for item in ended["output"]] == ["reasoning"]


# Pending input


def test_the_input_is_pending_until_function_calls_are_answered() -> None:
    peer, gate, target = held(FunctionCall("f", call_id="c"), Text("after"), stream_id="main")
    peer.steer(target, "steered")
    gate.open()
    events = peer.drain()

    assert types(events)[-2:] == ["completed", "steer.pending"]
    assert "after" in text_of(events)
    pending = events[-1]
    stub = {"type": "function_call_output", "call_id": "c", "name": "f"}
    assert pending["reason"] == "waiting_for_required_input"
    assert pending["required_input"] == [stub]
    assert pending["stream_id"] == "main"
    assert pending["steer"]["previous_response_id"] == target

    output = {**stub, "output": "x"}
    peer.model.on("", conversation)
    fork = peer.ask(previous_response_id=target, input=[output], stream_id="fork")
    assert "steered" not in text_of(fork)
    answer = peer.ask(previous_response_id=target, input=[output, {"role": "user", "content": "own"}], stream_id="main")
    assert text_of(answer).endswith("user: steered\nuser: own")
    again = peer.ask(previous_response_id=target, input=[output], stream_id="main")
    assert "steered" not in text_of(again)


def test_pending_input_is_returned_when_its_target_is_evicted() -> None:
    peer, gate, target = held(FunctionCall("f", call_id="c"), store=False)
    peer.steer(target, "steered")
    gate.open()
    submission = peer.drain()[0]["steer"]
    error, returned = peer.ask(previous_response_id=target)

    assert error["error"]["message"] == "No tool output found for function call c."
    assert failed([returned]) == ("successor_creation_failed", {**submission, "input": "steered"})


def test_pending_input_is_kept_while_its_target_is_stored() -> None:
    peer, gate, target = held(FunctionCall("f", call_id="c"))
    peer.steer(target, "steered")
    gate.open()
    peer.drain()
    assert types(peer.ask(previous_response_id=target)) == ["error"]

    output = {"type": "function_call_output", "call_id": "c", "output": "x"}
    peer.model.reply(conversation)
    assert text_of(peer.ask(previous_response_id=target, input=[output])).endswith("user: steered")


def test_pending_input_is_kept_when_its_target_is_no_longer_stored() -> None:
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


# Input without a successor


def test_input_is_returned_when_the_target_fails() -> None:
    peer, gate, target = held(Text("a b c"), Failure(after=7))
    peer.steer(target, "steered")
    (accepted,) = peer.drain()
    gate.open()
    events = peer.drain()

    assert types(events) == ["output_text.done", "content_part.done", "error", "failed", "steer.failed"]
    assert failed(events[-1:]) == ("response_not_active", {**accepted["steer"], "input": "steered"})
    assert types(peer.ask())[0] == "created"


def test_input_is_returned_when_the_successor_cannot_start() -> None:
    peer, gate, target = held(Text("a b c"))

    def broken(request: Request) -> str:
        raise LookupError("no answer")

    peer.model.on("steered", broken)
    peer.steer(target, "steered")
    (accepted,) = peer.drain()
    gate.open()

    assert failed(peer.drain()[-1:]) == ("successor_creation_failed", {**accepted["steer"], "input": "steered"})


def test_input_is_returned_when_the_successor_is_refused() -> None:
    """The steer fails and no `error` is sent, because an `error` on a lane does not name the steer that it is for."""
    peer, gate, target = held(Text("a b c"), stream_id="main")
    peer.model.on("steered", Failure("rate_limit_exceeded", "not now", after=0))
    peer.steer(target, "steered")
    peer.steer(target, "again steered")
    accepted, other_accepted = peer.drain()
    gate.open()
    events = peer.drain()[-2:]

    assert [failed([event]) for event in events] == [
        ("successor_creation_failed", {**accepted["steer"], "input": "steered"}),
        ("successor_creation_failed", {**other_accepted["steer"], "input": "again steered"}),
    ]
    assert [(event["error"]["message"], event["stream_id"]) for event in events] == [("not now", "main")] * 2
    assert [event["sequence_number"] for event in events] == [0, 1]
    assert types(peer.ask(stream_id="main"))[0] == "created"


def test_a_successor_that_fails_once_it_was_created_is_a_response() -> None:
    peer, gate, target = held(Text("a b c"))
    peer.model.on("steered", [Text("b"), Failure(after=3)])
    peer.steer(target, "steered")
    gate.open()

    assert types(peer.drain())[-5:] == ["created", "in_progress", "output_item.added", "error", "failed"]


# Refused steers


def test_an_unknown_target_is_refused() -> None:
    peer = Peer()
    peer.steer("resp_nobody", "x")

    assert failed(peer.drain()) == ("response_not_found", {"previous_response_id": "resp_nobody", "input": "x"})


def test_a_target_that_has_ended_is_refused() -> None:
    peer = Peer()
    done = peer.ask(stream_id="a")
    peer.model.reply(Failure())
    broken = peer.ask()
    peer.model.reply(Incomplete())
    cut = peer.ask()

    for events, code in (
        (done, "response_already_completed"),
        (broken, "response_not_active"),
        (cut, "response_not_active"),
    ):
        peer.steer(response_id(events))
        (event,) = answer = peer.drain()
        assert failed(answer)[0] == code
        assert event.get("stream_id") == events[0].get("stream_id")


def test_a_target_whose_terminal_event_was_just_sent_is_refused() -> None:
    peer = Peer()
    peer.create()
    events = peer.step()
    while types(events)[-1] != "completed":
        events += peer.step()
    peer.steer(response_id(events))

    assert failed(peer.drain())[0] == "response_already_completed"


@pytest.mark.parametrize(
    "body", [{"conversation": "conv_1"}, {"context_management": [{"type": "compaction", "compact_threshold": 9}]}]
)
def test_responses_with_a_conversation_or_compaction_cannot_be_steered(body: dict[str, Any]) -> None:
    peer, _, target = held(Text("a b c"), **body)
    peer.steer(target)

    assert failed(peer.drain())[0] == "steering_not_supported"


def test_invalid_input_is_returned() -> None:
    peer, gate, target = held(Text("a b c"), stream_id="main")
    peer.steer(target, [])
    peer.steer(target, "x", stream_id="main")
    events = peer.drain()
    gate.open()

    assert [failed([event])[0] for event in events] == ["invalid_input"] * 2
    assert [event["sequence_number"] for event in events] == [5, 6]
    assert events[0]["stream_id"] == "main"
    assert failed(events[:1])[1] == {"previous_response_id": target, "input": []}
    assert types(peer.drain())[-1] == "completed"


@pytest.mark.parametrize(("count", "size"), [(3, 10**9), (10**9, 1_000)])
def test_scenario_77_the_steers_of_a_response_are_bounded(
    monkeypatch: pytest.MonkeyPatch, count: int, size: int
) -> None:
    monkeypatch.setattr(steering, "_MOST_STEERS", count)
    monkeypatch.setattr(steering, "_MOST_STEERS_SIZE", size)
    peer = Peer()
    peer.model.reply([Text("held"), Hold()])
    peer.create()
    target = response_id(peer.drain())
    for _ in range(5):
        peer.steer(target, "x" * 200)
    events = peer.drain()
    assert types(events) == ["steer.accepted"] * 3 + ["steer.failed"] * 2
    assert events[-1]["error"]["code"] == "steering_queue_full"
    assert events[-1]["steer"]["input"] == "x" * 200
