"""Every event of the recorded streams is read as what it is, and written back whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from rxresponses.wire import codec
from rxresponses.wire.base import UnknownItem
from rxresponses.wire.events import LifecycleEvent, ServerEvent, UnknownEvent
from tests.support.paths import TRANSCRIPTS
from tests.support.strategies import holds, models_in

FILES = sorted(TRANSCRIPTS.glob("*.jsonl"))

pytestmark = pytest.mark.skipif(not FILES, reason=f"no recorded streams in {TRANSCRIPTS}")
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from map(bytes.strip, file)


@each_file
def test_each_line_decodes_to_a_typed_event(path: Path) -> None:
    for line in lines(path):
        event = codec.decode(line)
        assert not isinstance(event, UnknownEvent), event
        assert not [model for model in models_in(event) if isinstance(model, UnknownItem)]
        assert event.raw == line
        assert codec.decode(line.decode()) == event


@each_file
@pytest.mark.full
def test_both_codecs_agree(path: Path) -> None:
    for line in lines(path):
        event, other = codec.decode(line), ServerEvent.from_json(line)
        assert event == other
        assert [model.extra for model in models_in(event)] == [model.extra for model in models_in(other)]
        assert type(event).from_json(line) == event


@each_file
def test_each_event_is_written_back_whole(path: Path) -> None:
    for line in lines(path):
        event = codec.decode(line)
        original = json.loads(line)
        assert holds(event.to_dict(), original)
        assert holds(json.loads(event.to_json()), original)
        assert holds(json.loads(codec.encode(event)), original)


@each_file
def test_every_response_has_a_beginning_and_an_end(path: Path) -> None:
    events = [codec.decode(line) for line in lines(path)]
    assert all(event.response.id for event in events if isinstance(event, LifecycleEvent))
    # A file may hold several responses; an error comes before the `response.failed` of its response.
    marks = [event.type for event in events if event.type == "response.created" or event.is_terminal]
    marks = [mark for mark in marks if mark != "error"]
    assert set(marks[::2]) == {"response.created"}
    assert "response.created" not in marks[1::2]
    assert len(marks) % 2 == 0
    assert events[-1].is_terminal
