"""Messages of very many values: what they end is known, and the values are not made into objects."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest

from rxresponses.batch.run import _frame
from rxresponses.errors import FrameError, UnreadableResponseError
from rxresponses.known_secrets import Secrets
from rxresponses.operators import collect_text, final_response
from rxresponses.wire import jsontext, redacted
from rxresponses.wire.codec import decode
from rxresponses.wire.events import ResponseTextDeltaEvent, UnknownEvent
from rxresponses.wire.events.base import set_secrets
from rxresponses.wire.jsontext import TooManyValuesError, read_json
from rxresponses.wire.redacted import without_secrets

from ..support.events import created, delta
from ..support.marbles import run

MANY: list[dict[str, Any]] = [{}] * 100
SECRET = "sk-0123456789abcdefghijkl"


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsontext, "MOST_VALUES", 60)


def frame_of(kind: str, **fields: Any) -> bytes:
    return json.dumps({"type": kind, **fields, "many": MANY}).encode()


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("convert", [bytes, bytes.decode])
def test_the_number_of_values_has_a_limit(convert: Any) -> None:
    most = b"[" + b"1," * 59 + b"1]"
    assert read_json(convert(most)) == ([1] * 60, None)
    with pytest.raises(TooManyValuesError, match="more than 60 values"):
        read_json(convert(most.replace(b"]", b",1]")))
    assert read_json(convert(b'"%s"' % (b"x" * 1000))) == ("x" * 1000, None)


@pytest.mark.usefixtures("few")
def test_scenario_69_what_tells_the_request_is_read() -> None:
    frame = frame_of("response.completed", stream_id="a", sequence_number=3, response={"id": "r", "output": MANY})
    event = decode(frame)
    assert isinstance(event, UnknownEvent)
    assert (event.type, event.stream_id, event.sequence_number) == ("response.completed", "a", 3)
    assert event.extra == {"response": {"id": "r", "status": None}}
    assert (event.is_terminal, event.reason, event.raw) == (True, "it has more than 60 values", frame)
    odd = decode(frame_of("response.completed", stream_id=5))
    assert (odd.type, odd.stream_id) == ("response.completed", None)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("frame", [json.dumps(MANY).encode(), b'{"type": 5, "a": %s}' % json.dumps(MANY).encode()])
def test_a_frame_of_many_values_that_is_no_event(frame: bytes) -> None:
    with pytest.raises(FrameError, match="more than 60 values"):
        decode(frame)


@pytest.mark.usefixtures("few")
def test_what_was_streamed_is_the_text_of_a_response_whose_end_has_too_many_values() -> None:
    events = [created(), delta("He"), delta("llo"), decode(frame_of("response.completed", response={"id": "r"}))]
    assert run(collect_text(), *events).values == ["Hello"]
    assert isinstance(run(final_response(), *events).error, UnreadableResponseError)


@pytest.mark.usefixtures("few")
def test_an_event_that_is_read_all_the_same_has_no_unknown_fields() -> None:
    event = decode(frame_of("response.output_text.delta", delta="x"))
    assert isinstance(event, ResponseTextDeltaEvent)
    assert event.extra == {}
    assert _frame(event) == {}


@pytest.mark.usefixtures("few")
def test_secrets_in_an_event_of_many_values(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = Secrets([SECRET])
    monkeypatch.setattr(redacted, "LONGEST", 100)
    event = decode(frame_of("response.completed", stream_id="a", response={"id": SECRET}))
    set_secrets(event, secrets)
    copy = without_secrets(event)
    assert (copy.type, copy.stream_id) == ("response.completed", "a")
    assert SECRET not in repr(copy)


def test_scenario_69_a_message_of_millions_of_values_takes_little_memory() -> None:
    frame = b'{"type":"response.completed","many":[%s{}]}' % (b"{}," * (jsontext.MOST_VALUES // 2))
    tracemalloc.start()
    try:
        event = decode(frame)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert event.is_terminal
    assert peak < 2**16
