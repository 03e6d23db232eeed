"""The events of this library's own: no frame becomes one, and operators for a server's events ignore them."""

from __future__ import annotations

from typing import Any

import pytest
import reactivex
from reactivex import operators as ops

from rxresponses import ResponseCreate, ServerEvent
from rxresponses import operators as rops
from rxresponses.conversations.events import (
    ConversationEvent,
    HistorySentEvent,
    ToolCallOutputEvent,
    TurnStartedEvent,
)
from rxresponses.wire import codec
from rxresponses.wire.events.base import REGISTRY, UnknownEvent
from rxresponses.wire.models import ResponseFunctionToolCall
from rxresponses.wire.requests import ApplyPatchCallOutput, FunctionCallOutput

from ..support.events import completed, created, delta
from ..support.recorder import Recorder

OWN: list[ConversationEvent] = [
    TurnStartedEvent(turn=1, request=ResponseCreate(model="m", input="hi")),
    HistorySentEvent(reason="the parent is lost", items=3),
]


@pytest.mark.parametrize("event", OWN, ids=lambda event: event.type)
def test_own_event(event: ConversationEvent) -> None:
    assert isinstance(event, ServerEvent)
    assert event.raw is None
    assert not event.is_terminal
    assert event.type.startswith("rxresponses.")
    assert event.type not in REGISTRY


def test_a_frame_with_such_a_type_is_an_unknown_event() -> None:
    event = codec.decode(b'{"type":"rxresponses.history_sent","reason":"lies","items":1}')
    assert type(event) is UnknownEvent


def test_the_fields_are_there() -> None:
    assert HistorySentEvent(reason="the parent is lost", items=3).reason == "the parent is lost"
    assert "the parent is lost" in repr(OWN[1])


def test_neither_repr_nor_json_show_a_secret() -> None:
    tool = {"type": "mcp", "server_label": "s", "server_url": "https://x", "authorization": "sesame-open-now"}
    event = TurnStartedEvent(turn=1, request=ResponseCreate(model="m", input="hi", tools=[tool]))
    assert "sesame" not in repr(event)
    assert "sesame" not in event.to_json()
    assert event.to_dict()["request"]["input"] == "hi"


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ({"type": "function_call_output", "call_id": "c", "output": "sunny"}, "sunny"),
        (FunctionCallOutput(call_id="c", output=[{"type": "refusal"}]), '[{"type": "refusal"}]'),
        (ApplyPatchCallOutput(call_id="c", status="completed"), '"status": "completed"'),
    ],
)
def test_the_output_of_a_call_as_text(output: Any, text: str) -> None:
    call = ResponseFunctionToolCall(call_id="c", name="weather", arguments="{}")
    event = ToolCallOutputEvent(call=call, call_id="c", name="weather", output=output, seconds=0.0)
    assert text in event.text


def test_operators_for_the_events_of_a_server_ignore_them() -> None:
    events: list[ServerEvent] = [*OWN, created(), *OWN, delta("He"), *OWN, delta("llo"), *OWN, completed()]
    source = reactivex.from_iterable(events)
    assert Recorder(source.pipe(rops.text_deltas())).values == ["He", "llo"]
    assert Recorder(source.pipe(rops.final_response())).values[0].status == "completed"
    assert Recorder(source.pipe(rops.metrics())).values[0].response_id == "resp_1"


def test_they_are_no_sign_of_life() -> None:
    waiting = reactivex.concat(reactivex.from_iterable(OWN), reactivex.never())
    got = Recorder(waiting.pipe(rops.first_event_timeout(0.01), ops.ignore_elements()))
    assert got.wait().error is not None


def test_the_reason_can_be_read() -> None:
    assert HistorySentEvent(reason="the parent is lost", items=3).reason == "the parent is lost"
