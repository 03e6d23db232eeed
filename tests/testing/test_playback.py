"""A recording is played back: equal requests get their answers, others an error that says what differs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reactivex import operators as ops

from rxresponses import Conversation, ResponsesWebSocket, ServerEvent, errors
from rxresponses import operators as rops
from rxresponses.recording.file import load_recording
from rxresponses.recording.format import (
    EndRecord,
    EventRecord,
    Record,
    Recording,
    RecordingHeader,
    RequestRecord,
)
from rxresponses.recording.redacting import redacted
from rxresponses.testing import Close, ResponsesServer, Text
from rxresponses.testing.playback import Playback
from rxresponses.testing.refusal import RequestError
from rxresponses.testing.request import Request
from tests.effort import examples

JSON: st.SearchStrategy[Any] = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=10),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=8,
)


def request(body: dict[str, Any]) -> Request:
    return Request(body={"type": "response.create", **body}, input=())


def session(*bodies: dict[str, Any], contents: str = "full") -> Recording:
    """Return a recording in which the answer to each request has its number as its text."""
    records: list[Record] = [EventRecord(0, None, {"type": "of no request"}), EventRecord(0, "r1", None, raw="no JSON")]
    for number, body in enumerate(bodies, start=1):
        name = f"r{number}"
        records += [
            RequestRecord(number, name, {"type": "response.create", **body}, "c1"),
            EventRecord(number + 0.5, name, {"type": "response.output_text.delta", "delta": str(number)}, "c1"),
        ]
    return Recording(RecordingHeader(contents=contents), tuple(records))


def answer(playback: Playback, **body: Any) -> str:
    reply: Any = playback.reply(request(body))
    return str(reply[0].frames[0].event["delta"])


def problem(playback: Playback, **body: Any) -> str:
    with pytest.raises(RequestError) as caught:
        playback.reply(request(body))
    assert caught.value.code == "no_recorded_response"
    return caught.value.message


# Which request is which.


@settings(max_examples=examples(200))
@given(st.dictionaries(st.sampled_from(["model", "tools", "input", "x"]), JSON, max_size=3), st.randoms())
def test_a_request_fits_itself_in_any_order_and_with_what_does_not_count(body: dict[str, Any], random: Any) -> None:
    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            names = random.sample(list(value), len(value))
            return {name: shuffled(value[name]) for name in names}
        return list(map(shuffled, value)) if isinstance(value, list) else value

    body = {**body, "input": "Hi"}
    again = {**shuffled(body), "metadata": {"a": "b"}, "stream_id": "x", "instructions": None, "stream": True}
    assert answer(Playback.of(session(body), "x"), **again) == "1"
    assert problem(Playback.of(session(body), "x"), **{**again, "new": 5}) != ""


@pytest.mark.parametrize(
    ("recorded", "sent"),
    [
        ({"input": "Hi"}, {"input": [{"role": "user", "content": "Hi"}]}),
        (
            {"input": [{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}]},
            {"input": [{"type": "message", "role": "user", "content": "Hi", "id": None}]},
        ),
        ({"temperature": 1}, {"temperature": 1.0}),
        ({"text": {"verbosity": None, "format": {"type": "text"}}}, {"text": {"format": {"type": "text"}}}),
        ({"tools": [{"name": "f"}]}, {"tools": [{"name": "f", "strict": None}]}),
        ({"input": "My key is (hidden)!"}, {"input": "My key is sk-123!"}),
        (
            {"tools": [{"type": "mcp", "authorization": "(hidden)", "server_url": "https://h/p"}]},
            {"tools": [{"type": "mcp", "authorization": "abc", "server_url": "https://u:p@h/p?k=1"}]},
        ),
    ],
)
def test_forms_that_mean_the_same(recorded: dict[str, Any], sent: dict[str, Any]) -> None:
    assert answer(Playback.of(session(recorded), "x"), **sent) == "1"


@pytest.mark.parametrize(
    ("recorded", "sent", "text"),
    [
        ({"model": "a"}, {"model": "b"}, 'model (recorded: "a", sent: "b")'),
        ({"input": "Hi"}, {"input": "Ho"}, 'input[0].content[0].text (recorded: "Hi", sent: "Ho")'),
        ({"store": True}, {}, "store (recorded: true, sent: nothing)"),
        ({"store": True}, {"store": 1}, "store (recorded: true, sent: 1)"),
        ({"x": [1]}, {"x": [1, 2]}, "x[1] (recorded: nothing, sent: 2)"),
        ({"x": [None]}, {"x": []}, "x[0] (recorded: null, sent: nothing)"),
        ({}, {"x": "y" * 500}, "(422 characters left out)"),
        ({}, dict.fromkeys("abcdefg", 1), "; and 2 more differences"),
        ({"input": "The key (hidden)"}, {"input": "A key"}, "input[0]"),
    ],
)
def test_what_differs_is_said(recorded: dict[str, Any], sent: dict[str, Any], text: str) -> None:
    assert text in problem(Playback.of(session(recorded), "f.jsonl"), **sent)


def test_the_nearest_request_is_named() -> None:
    playback = Playback.of(session({"model": "a", "input": "1"}, {"model": "b", "input": "2"}), "f.jsonl")
    text = problem(playback, model="b", input="3")
    assert text.startswith("The recording f.jsonl has no answer to this request. The nearest recorded request, r2, ")


def test_no_secret_of_a_tool_is_said() -> None:
    tools = [{"type": "mcp", "authorization": "top-secret", "headers": {"X": "top-secret"}}]
    assert "top-secret" not in problem(Playback.of(session({}), ""), tools=tools)


def test_equal_requests_get_their_answers_in_turn_and_no_more() -> None:
    playback = Playback.of(session({"input": "Hi"}, {"input": "Ho"}, {"input": "Hi"}), "f.jsonl")
    assert playback.unplayed == ["r1", "r2", "r3"]
    assert [answer(playback, input="Hi") for _ in range(2)] == ["1", "3"]
    assert playback.unplayed == ["r2"]
    assert "recorded 2 times (r1), and played as often" in problem(playback, input="Hi")


def test_why_there_is_nothing_to_play(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    path.write_text("", encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"session\.jsonl: the recording has no answer to a request: the file is empty"
    ):
        ResponsesServer(recording=path)


def test_lenient() -> None:
    tool = {"type": "function", "name": "f"}
    playback = Playback.of(
        session({"input": "1"}, {"input": "2"}, {"input": "3", "tools": [tool]}), "", match="lenient"
    )
    assert answer(playback, input="2") == "2"  # an equal one first
    assert answer(playback, input="x") == "1"
    assert answer(playback, input="y") == "2"  # the last one again
    assert answer(playback, input="z", tools=[tool]) == "3"
    assert "The recording has no answer" in problem(playback, input="z", model="other")


@pytest.mark.parametrize("match", ["strict", "lenient"])
@pytest.mark.parametrize(
    "refused",
    [
        *({"input": [5]}, {"input": ["a"]}, {"input": 5}, {"text": "x"}, {"text": {"format": 5}}),
        *({"tools": 5}, {"tools": [5]}, {"tools": [{"type": "namespace", "tools": 5}]}),
    ],
)
def test_a_recorded_request_that_the_service_has_refused_disturbs_no_other(match: Any, refused: dict[str, Any]) -> None:
    playback = Playback.of(session(refused, {"input": "Hi"}), "", match=match)
    assert answer(playback, input="Hi") == "2"
    assert answer(playback, **refused) == "1"
    assert "has no answer" in problem(playback, model="other", input="Ho")


def test_texts_that_are_hidden() -> None:
    body = redacted({"model": "m", "input": "Hello", "instructions": "Be kind"})
    playback = Playback.of(session(body, contents="redacted"), "")
    assert answer(playback, model="m", input="Howdy", instructions="Be bold") == "1"
    assert "input" in problem(playback, model="m", input="Hi", instructions="Be bold")


def test_a_file_with_one_event_a_line_answers_any_request_in_order() -> None:
    records = [EventRecord(0, name, {"type": "response.completed", "delta": name}) for name in ("r1", "r2")]
    playback = Playback.of(Recording(RecordingHeader(), tuple(records), has_times=False), "f")
    assert [answer(playback, input=text) for text in "ab"] == ["r1", "r2"]
    assert problem(playback) == "The recording f has no answer to this request: its 2 answers have been played."


def test_what_cannot_be_played() -> None:
    with pytest.raises(ValueError, match="f: the recording has no answer to a request"):
        Playback.of(Recording(RecordingHeader(), ()), "f")
    with pytest.raises(ValueError, match="match must be"):
        Playback.of(session({}), "f", match="exact")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="speed must be"):
        Playback.of(session({}), "f", speed=0)
    steer = RequestRecord(0, "r1", {"type": "response.steer"})
    with pytest.raises(ValueError, match="no answer"):
        Playback.of(Recording(RecordingHeader(), (steer, EventRecord(1, "r1", {"type": "x"}))), "f")
    lonely = RequestRecord(0, "r1", {"type": "response.create"})
    with pytest.raises(ValueError, match="no answer"):
        Playback.of(Recording(RecordingHeader(), (lonely,)), "f")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"type": "ConnectionLostError", "attributes": {"close_code": 1011}}, 1011),
        ({"type": "ConnectionLostError", "attributes": {"close_code": 5}}, 1006),
        ({"type": "PongTimeoutError"}, 1006),
        ({"type": "IdleTimeoutError"}, None),
    ],
)
@pytest.mark.parametrize("events", [0, 1])
def test_a_connection_that_was_lost(error: dict[str, Any], code: int | None, events: int) -> None:
    records: list[Record] = [RequestRecord(0, "r1", {"type": "response.create"})]
    records += [EventRecord(1, "r1", {"type": "x", "delta": ""})] * events
    records.append(EndRecord(2, "r1", "error", error))
    recording = Recording(RecordingHeader(), tuple(records))
    if code is None and not events:
        with pytest.raises(ValueError, match="no answer"):
            Playback.of(recording, "f")
        return
    reply: Any = Playback.of(recording, "f").reply(request({}))
    assert [part for part in reply if isinstance(part, Close)] == ([] if code is None else [Close(code, after=events)])


@pytest.mark.parametrize("ending", ["response.completed", "response.incomplete", "response.failed", "error"])
def test_an_answer_that_the_recording_cuts(ending: str) -> None:
    asked, first = RequestRecord(0, "r1", {"type": "response.create"}), EventRecord(1, "r1", {"type": "x"})
    cut: Any = Playback.of(Recording(RecordingHeader(), (asked, first)), "f").reply(request({}))
    assert [part for part in cut if isinstance(part, Close)] == [Close(1011, "the recording ends here", after=1)]
    for last in (EventRecord(2, "r1", {"type": ending}), EndRecord(2, "r1", "disposed")):
        whole: Any = Playback.of(Recording(RecordingHeader(), (asked, first, last)), "f").reply(request({}))
        assert not [part for part in whole if isinstance(part, Close)]


# With a client.


def talk(url: str, path: Path | None = None) -> list[str]:
    with ResponsesWebSocket(url) as socket:
        if path is not None:
            socket.record(path)
        conversation = Conversation(socket, model="m")
        return [conversation.send(text).pipe(rops.collect_text()).run() for text in ("Hi", "How are you?")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "session.jsonl"
    with ResponsesServer() as server:
        server.reply("Hello!", "Fine.")
        assert talk(server.url, path) == ["Hello!", "Fine."]
    return path


@pytest.mark.parametrize("match", ["strict", "lenient"])
def test_a_conversation_that_was_recorded(path: Path, match: Any) -> None:
    with ResponsesServer(recording=path, match=match) as server:
        assert talk(server.url) == ["Hello!", "Fine."]
    with ResponsesServer() as server:
        playback = server.play(load_recording(path), match=match, speed=1000)
        assert talk(server.url) == ["Hello!", "Fine."]
        assert playback.unplayed == []


def test_an_unknown_request_is_an_error_event(path: Path) -> None:
    with ResponsesServer(recording=path) as server, ResponsesWebSocket(server.url) as socket:
        events = socket.send_request({"model": "m", "input": "Ho"}).pipe(ops.to_list()).run()
        assert [event.type for event in events] == ["error"]
        with pytest.raises(errors.ResponseFailedError, match=r'text \(recorded: "Hi", sent: "Ho"\)'):
            socket.send_request({"model": "m", "input": "Ho"}).pipe(rops.final_response()).run()


def test_a_continuation_of_a_response_from_before_the_recording(path: Path, tmp_path: Path) -> None:
    second = tmp_path / "second.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    second.write_text("".join(line for line in lines if '"request":"r1"' not in line), encoding="utf-8")
    body = next(r.frame for r in load_recording(second).records if isinstance(r, RequestRecord))
    assert "previous_response_id" in body
    with ResponsesServer(recording=second) as server, ResponsesWebSocket(server.url) as socket:
        frame = {name: value for name, value in body.items() if name not in ("type", "stream_id")}
        assert socket.send_request(frame).pipe(rops.collect_text()).run() == "Fine."


def test_a_lost_connection_is_lost_again(tmp_path: Path) -> None:
    path, body = tmp_path / "lost.jsonl", {"model": "m", "input": "Hi"}
    with ResponsesServer() as server, ResponsesWebSocket(server.url) as socket, socket.record(path):
        server.reply([Text("Hello"), Close(1011, after=3)])
        with pytest.raises(errors.ConnectionLostError):
            socket.send_request(body).run()
    with ResponsesServer(recording=path) as server, ResponsesWebSocket(server.url) as socket:
        seen: list[ServerEvent] = []
        with pytest.raises(errors.ConnectionLostError) as caught:
            socket.send_request(body).pipe(ops.do_action(seen.append)).run()
    assert caught.value.close_code == 1011
    assert len(seen) == 3


def test_a_warm_up_is_played_too(tmp_path: Path) -> None:
    path, body = tmp_path / "warm.jsonl", {"model": "m", "input": "Hi", "generate": False}
    with ResponsesServer() as server, ResponsesWebSocket(server.url) as socket, socket.record(path):
        first = socket.send_request(body).pipe(ops.to_list()).run()
    with ResponsesServer(recording=path) as server, ResponsesWebSocket(server.url) as socket:
        assert socket.send_request(body).pipe(ops.to_list()).run() == first
    assert json.loads(path.read_text(encoding="utf-8").splitlines()[0])["contents"] == "full"
