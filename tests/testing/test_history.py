"""Which responses a connection can continue."""

from __future__ import annotations

from rxresponses.testing.history import EndedResponse, StoredResponses
from rxresponses.testing.outputs import FunctionCall, Text
from rxresponses.testing.replies import Failure

from .peer import Event, Peer, response_id, types


def test_a_stored_response_can_be_continued_later_and_on_another_connection() -> None:
    storage = StoredResponses()
    peer = Peer(storage=storage)
    old = response_id(peer.ask())
    peer.ask()

    assert types(peer.ask(previous_response_id=old))[-1] == "completed"
    assert types(Peer(storage=storage).ask(previous_response_id=old))[-1] == "completed"


def test_without_store_only_the_latest_of_each_lane_is_known() -> None:
    storage = StoredResponses()
    peer = Peer(storage=storage)
    old = response_id(peer.ask(store=False))
    other = response_id(peer.ask(store=False, stream_id="b"))
    latest = response_id(peer.ask(store=False))

    refused = peer.refused(previous_response_id=old)
    assert refused["error"]["code"] == "previous_response_not_found"
    assert refused["error"]["param"] == "previous_response_id"
    assert old in refused["error"]["message"]
    assert types(peer.ask(store=False, previous_response_id=other))[-1] == "completed"
    assert len(storage) == 0
    assert peer.refused(previous_response_id=latest)["error"]["code"] == "previous_response_not_found"


def test_a_failed_continuation_evicts_its_parent_on_its_lane_only() -> None:
    peer = Peer()
    parent = response_id(peer.ask(store=False, stream_id="a"))

    peer.refused(previous_response_id=parent, stream_id="b", temperature="hot")
    assert types(peer.ask(store=False, previous_response_id=parent, stream_id="b"))[-1] == "completed"
    peer.refused(previous_response_id=parent, stream_id="a", temperature="hot")
    refused = peer.refused(previous_response_id=parent, stream_id="a")
    assert refused["error"]["code"] == "previous_response_not_found"


def test_a_refused_new_conversation_evicts_nothing() -> None:
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


def test_the_parent_of_a_fork_is_looked_up_at_the_start() -> None:
    peer = Peer(active=1)
    parent = response_id(peer.ask(store=False, stream_id="a"))
    peer.create(store=False, stream_id="a", previous_response_id=parent)
    peer.create(store=False, stream_id="b", previous_response_id=parent)

    fork = [event for event in peer.drain() if event["stream_id"] == "b"]
    assert [event["error"]["code"] for event in fork] == ["previous_response_not_found"]


def test_a_fork_runs_beside_a_continuation_on_the_lane_of_the_parent() -> None:
    peer = Peer()
    parent = response_id(peer.ask(store=False, stream_id="a"))
    peer.create(store=False, stream_id="b", previous_response_id=parent)
    peer.create(store=False, stream_id="a", previous_response_id=parent)

    assert types(peer.drain()).count("completed") == 2


def test_a_response_can_be_continued_once_its_terminal_event_was_sent() -> None:
    peer = Peer()
    peer.create(store=False, stream_id="a")
    events = peer.step()
    while types(events)[-1] != "completed":
        assert types(Peer().ask(previous_response_id=response_id(events))) == ["error"]
        events += peer.step()
    peer.create(previous_response_id=response_id(events), stream_id="b")

    assert types(peer.drain())[-1] == "completed"


def test_a_long_conversation_needs_no_deep_stack() -> None:
    turn = EndedResponse("resp_0", [{"type": "message", "role": "user", "content": "a"}])
    for number in range(1, 5000):
        turn = EndedResponse(f"resp_{number}", [], turn)

    assert len(turn.conversation) == 1
    assert turn.tokens == 1


def test_a_server_keeps_the_latest_responses_up_to_its_limit() -> None:
    peer = Peer(remember=1)
    assert types(peer.ask(previous_response_id=response_id(peer.ask())))[-1] == "completed"
    first, second = response_id(peer.ask(stream_id="a")), response_id(peer.ask(stream_id="a"))

    assert peer.refused(previous_response_id=first)["error"]["code"] == "previous_response_not_found"
    assert types(peer.ask(previous_response_id=second))[-1] == "completed"
    peer.steer(second)
    assert peer.step()[0]["error"]["code"] == "response_not_found"


def test_scenario_77_a_server_keeps_stored_responses_up_to_a_size() -> None:
    peer = Peer(remember_bytes=20_000)
    ids = [response_id(peer.ask(input="x" * 2_000)) for _ in range(20)]
    known = [ended for ended in ids if types(peer.ask(previous_response_id=ended, store=False))[-1] == "completed"]
    assert known == ids[-len(known) :]
    assert 1 < len(known) < 10


def test_scenario_77_a_conversation_is_bounded_where_the_memory_is() -> None:
    peer = Peer(remember_bytes=20_000)
    parent, turns = response_id(peer.ask()), 1
    events: list[Event] = []
    while not events or types(events)[-1] == "completed":
        parent, turns = response_id(events) if events else parent, turns + 1
        events = peer.ask(input="x" * 2_000, previous_response_id=parent)
    assert 3 < turns < 10
    assert events[0]["error"]["code"] == "context_length_exceeded"
    assert types(peer.ask(input="x" * 2_000))[-1] == "completed"


def test_scenario_77_the_input_of_steers_counts_for_the_size_of_a_conversation() -> None:
    peer = Peer(remember_bytes=20_000)
    peer.model.reply([Text("a b c d")], [FunctionCall("f", call_id="c")])
    peer.create()
    (created,) = peer.step()
    peer.steer(created["response"]["id"], "x" * 15_000)
    successor = [event for event in peer.drain() if event["type"] == "response.created"][-1]["response"]["id"]
    output = {"type": "function_call_output", "call_id": "c", "output": "y" * 5_000}
    refused = peer.refused(previous_response_id=successor, input=[output])
    assert refused["error"]["code"] == "context_length_exceeded"
