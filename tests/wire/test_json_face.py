"""The JSON that models write themselves is that of dataclasses-json, which is imported only where it is needed."""

from __future__ import annotations

import datetime
import decimal
import enum
import json
import subprocess
import sys
import uuid
from collections import OrderedDict, namedtuple
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import pytest
from dataclasses_json import DataClassJsonMixin, config
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from rxresponses.wire import base, requests
from rxresponses.wire.base import Model, model
from rxresponses.wire.events import ServerEvent
from rxresponses.wire.json_config import json_config
from rxresponses.wire.requests import ResponseCreate, ResponseSteer
from rxresponses.wire.requests.sent import Sent
from tests.effort import examples
from tests.support.strategies import events, wire

# The parts of requests; a request itself is more than its fields.
PARTS = [
    cls
    for name in requests.__all__
    if isinstance(cls := getattr(requests, name), type) and issubclass(cls, Sent)
    if cls not in (ResponseCreate, ResponseSteer)
]


def by_the_library(value: Model) -> dict[str, Any]:
    """Return the data of dataclasses-json, with the unknown fields of all models."""
    return base._restore(value, DataClassJsonMixin.to_dict(value))  # type: ignore[arg-type]


@given(event=events())
def test_an_event_is_written_as_by_the_library(event: ServerEvent) -> None:
    assert event.to_dict() == by_the_library(event)
    assert list(event.to_dict()) == list(by_the_library(event))


@settings(max_examples=examples(50))
@given(data=st.data(), cls=st.sampled_from(PARTS))
def test_what_is_sent_is_written_as_by_the_library(data: st.DataObject, cls: type[Model]) -> None:
    one = cls.from_dict(data.draw(wire(cls)))
    assert base._plain_model(one) == by_the_library(one)


class Colour(enum.Enum):
    RED = "red"


class Size(str, enum.Enum):
    SMALL = "s"


Point = namedtuple("Point", "x y")


@dataclass
class Foreign:
    """A dataclass of the program."""

    a: int
    b: list[int]


@model
class Box(Model):
    """Holds anything."""

    content: Any = None
    other: Any = field(default=None, metadata=json_config(name="else", encoder=lambda value: [value]))
    hidden: Any = field(default=UNSET, metadata=json_config(exclude=lambda value: value is UNSET))


ODD = [
    datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc),
    decimal.Decimal("1.5"),
    uuid.UUID(int=7),
    Colour.RED,
    Size.SMALL,
    Point(1, (2,)),
    {1, 2},
    b"bytes",
    bytearray(b"ab"),
    range(3),
    Foreign(1, [2]),
    UNSET,
    OrderedDict(a=[Box(content=1)]),
    MappingProxyType({"a": {"b": (1, None, True, 2.5)}}),
    {1: "a"},
    [Box(content=[Box(other=1, hidden=2)])],
    (Box.from_dict({"content": 1, "new": {"x": [1]}}),),
]


@pytest.mark.parametrize("value", ODD, ids=lambda value: type(value).__name__)
def test_values_that_no_json_has_are_written_as_by_the_library(value: Any) -> None:
    box = Box.from_dict({"content": 1, "new": [None]})
    for one in (Box(content=value), Box(content=[value], other=5), Box(hidden={"a": [value]}), box):
        assert one.to_dict() == by_the_library(one)
        assert [type(each) for each in one.to_dict().values()] == [type(each) for each in by_the_library(one).values()]


@pytest.mark.parametrize("value", [ODD[0], ODD[1], ODD[2], {3}, Colour.RED], ids=lambda value: type(value).__name__)
def test_json_text_is_that_of_the_library(value: Any) -> None:
    one = Box(content=value)
    for options in ({}, {"indent": 2, "sort_keys": True}, {"default": None}, {"default": repr}):
        theirs = DataClassJsonMixin.to_json(Box(content=value), **options)  # type: ignore[arg-type]
        assert one.to_json(**options) == theirs


def test_what_is_no_json_at_all_raises() -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        Box(content=object).to_json()


def test_the_data_are_a_copy() -> None:
    content = {"a": [1], "b": {"c": [2]}}
    data = Box(content=content).to_dict()
    assert data["content"] == content
    data["content"]["a"].append(2)
    data["content"]["b"]["c"].append(3)
    assert content == {"a": [1], "b": {"c": [2]}}


def test_the_encoding_of_the_library_is_its_own() -> None:
    assert Box(content=Colour.RED).to_dict(encode_json=True)["content"] == "red"


def test_the_metadata_are_those_of_the_library() -> None:
    ours, theirs = (
        each["dataclasses_json"]
        for each in (
            json_config(name="async", encoder=repr, exclude=bool),
            config(field_name="async", encoder=repr, exclude=bool),
        )
    )
    assert ours.keys() == theirs.keys()
    assert ours["letter_case"]("x") == theirs["letter_case"]("x") == "async"
    assert (ours["encoder"], ours["exclude"]) == (repr, bool)


def test_neither_requests_nor_events_import_the_library() -> None:
    frame = json.dumps({"type": "error", "message": "m", "code": None, "param": None, "sequence_number": 1})
    request = {"model": "m", "input": [{"role": "user", "content": "hi"}], "tools": [{"type": "function", "name": "f"}]}
    program = f"""
import sys
from rxresponses import ResponseCreate, codec, user_message
codec.encode(ResponseCreate(**{request!r}))
codec.encode(ResponseCreate(model="m", input=[user_message("hi")]))
event = codec.decode({frame!r}.encode())
print(event.to_dict() == event.raw or event.to_json(), {{name.partition(".")[0] for name in sys.modules}})
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "msgspec" in done.stdout
    assert "dataclasses_json" not in done.stdout
    assert "marshmallow" not in done.stdout
