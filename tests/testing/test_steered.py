"""Steers are played back: a response waits for its steer where it was steered, and the successor follows."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from reactivex import operators as ops

from rxresponses import ResponsesWebSocket, ServerEvent
from rxresponses.recording.format import EventRecord, Record, Recording, RecordingHeader, RequestRecord
from rxresponses.testing import Hold, ResponsesServer
from rxresponses.testing.playback import Playback
from rxresponses.testing.steered import steered_responses

REQUEST: dict[str, Any] = {"model": "m", "input": "Tell me everything"}


def talk(
    url: str, steers: list[str], path: Path | None = None, accepted: Callable[[], None] = lambda: None
) -> list[str]:
    """Steer a response at its first text, once for each of the texts; return what each stream has emitted."""
    seen: list[str] = []
    done = threading.Semaphore(0)
    count = 0

    def note(name: str) -> Callable[[ServerEvent], None]:
        def on_next(event: ServerEvent) -> None:
            nonlocal count
            seen.append(f"{name} {event.type} {getattr(event, 'delta', '')}".strip())
            if event.type == "response.steer.accepted":
                count += 1
                if count == len(steers):
                    accepted()

        return on_next

    def steer_all(response_id: str) -> None:
        for number, text in enumerate(steers, start=1):
            follow(socket.steer(response_id, text), f"steer {number}")

    def follow(events: Any, name: str) -> None:
        def fail(error: Exception) -> None:
            seen.append(f"{name} {error}")
            done.release()

        def complete() -> None:
            done.release()

        events.subscribe(note(name), fail, complete)

    with ResponsesWebSocket(url) as socket:
        if path is not None:
            socket.record(path)
        ids: list[str] = []

        def on_event(event: Any) -> None:
            if event.type == "response.created":
                ids.append(event.response.id)
            if event.type == "response.output_text.delta" and ids:
                steer_all(ids.pop())

        follow(socket.send_request(REQUEST).pipe(ops.do_action(on_event)), "request")
        for _ in range(1 + len(steers)):
            assert done.acquire(timeout=20)
    return sorted(seen, key=lambda text: text.partition(" ")[0])


@pytest.mark.parametrize("steers", [["shorter"], ["shorter", "and in French"]])
def test_a_steered_response_and_its_successor(tmp_path: Path, steers: list[str]) -> None:
    path = tmp_path / "session.jsonl"
    with ResponsesServer() as server:
        gate = server.gate()
        server.on("shorter", "Short.")
        server.reply(["One two three four five six", Hold(gate, after=5)])
        live = talk(server.url, steers, path, gate.open)
    assert "steer 1 response.completed" in live
    for match in ("strict", "lenient"):
        with ResponsesServer() as player:
            playback = player.play(path, match=match)
            assert talk(player.url, steers) == live
            assert playback.unplayed == []
            if match == "lenient":  # it can be played again
                assert talk(player.url, steers) == live


def steer(t: float, name: str, target: Any) -> RequestRecord:
    return RequestRecord(t, name, {"type": "response.steer", "previous_response_id": target, "input": name}, "c1")


def event(t: float, request: str | None, kind: str, **fields: Any) -> EventRecord:
    return EventRecord(t, request, {"type": f"response.{kind}", **fields}, "c1")


def found(*records: Record) -> tuple[dict[str, list[int]], dict[str, dict[str, Any]]]:
    session = Recording(RecordingHeader(), records)
    requests = {record.request: record for record in records if isinstance(record, RequestRecord)}
    events = {name: session.events(name) for name in session.requests}
    steered = steered_responses(session, requests, events)
    return steered.holds, {name: record.frame for name, (record, _) in steered.successors.items()}


CREATE = RequestRecord(0, "r1", {"type": "response.create", **REQUEST}, "c1")
CREATED = event(1, "r1", "created", response={"id": "resp_1"})


def test_a_steer_that_was_refused_or_has_no_answer_is_not_waited_for() -> None:
    refused = event(3, "r2", "steer.failed")
    assert found(CREATE, CREATED, steer(2, "r2", "resp_1"), refused) == ({}, {})
    assert found(CREATE, CREATED, steer(2, "r2", "resp_1")) == ({}, {})


def test_a_steer_without_a_successor_is_nothing_to_play() -> None:
    records = (CREATE, CREATED, steer(2, "r2", "resp_1"), event(3, "r2", "steer.failed"))
    assert Playback.of(Recording(RecordingHeader(), records), "session").unplayed == ["r1"]


@pytest.mark.parametrize("target", ["resp_0", None])
def test_a_steer_of_a_response_that_is_not_in_the_recording(target: str | None) -> None:
    assert found(CREATE, CREATED, steer(2, "r2", target), event(3, "r2", "steer.accepted")) == ({}, {})


def test_a_steer_of_a_response_whose_request_is_not_in_the_recording() -> None:
    assert found(CREATED, steer(2, "r2", "resp_1"), event(3, "r2", "steer.accepted")) == ({}, {})


def test_a_steer_whose_input_goes_to_a_continuation_has_no_successor() -> None:
    pending = event(5, "r2", "steer.pending")
    records = (CREATE, CREATED, steer(2, "r2", "resp_1"), event(3, "r2", "steer.accepted"), pending)
    assert found(*records) == ({"r1": [1]}, {})


def test_a_successor_that_is_steered_itself() -> None:
    holds, successors = found(
        *(CREATE, CREATED, steer(2, "r2", "resp_1"), event(3, "r2", "steer.accepted"), event(3, "r1", "incomplete")),
        *(event(4, "r2", "created", response={"id": "resp_2"}), steer(5, "r3", "resp_2")),
        *(event(6, "r2", "in_progress"), event(6, "r3", "steer.accepted"), event(7, "r2", "incomplete")),
        event(8, "r3", "created", response={"id": "resp_3"}),
    )
    assert holds == {"r1": [1], "r2": [2]}
    assert [body["previous_response_id"] for body in successors.values()] == ["resp_1", "resp_2"]
    assert "r3" in str(successors["r3"]["input"])
    assert {body["model"] for body in successors.values()} == {"m"}
