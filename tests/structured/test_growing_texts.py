from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import uuid
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import pytest

from rxresponses.structured.answer import AnswerType
from rxresponses.structured.growing_texts import Growing
from rxresponses.structured.partial_json import PartialJson


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Cat(msgspec.Struct, tag="cat"):
    name: str


class Dog(msgspec.Struct, tag="dog"):
    name: str
    born: datetime.date | None = None


@dataclasses.dataclass
class Node:
    text: str
    mood: Mood
    children: list[Node] = dataclasses.field(default_factory=list)
    pair: tuple[str, Literal["a", "b"]] | None = None
    pets: list[Cat | Dog] = dataclasses.field(default_factory=list)
    others: dict[str, uuid.UUID] = dataclasses.field(default_factory=dict)


def may_grow(type_: Any, *path: str | int) -> bool:
    part = AnswerType(type_).growing()
    for key in path:
        part = part.part(key)
    return part.may_grow


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (["text"], True),
        (["mood"], False),
        (["children", 0, "text"], True),
        (["children", 7, "children", 0, "mood"], False),
        (["pair", 0], True),
        (["pair", 1], False),
        (["pets", 0, "type"], False),
        (["pets", 0, "name"], True),
        (["pets", 1, "born"], False),
        (["others", "any"], False),
        (["unknown"], True),
        (["text", "below", 0], True),
        (["value"], True),
    ],
)
def test_which_texts_are_shown_while_they_grow(path: Sequence[str | int], expected: bool) -> None:
    assert may_grow(Node, *path) is expected


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        (str, True),
        (Mood, False),
        (Literal["a", "b"], False),
        (Literal["a"] | int, False),
        (Mood | str, True),
        (datetime.datetime, False),
        (bytes, False),
        (int, True),
        (Any, True),
    ],
)
def test_a_type_that_is_no_object_is_inside_one_or_alone(type_: Any, expected: bool) -> None:
    assert may_grow(type_, "value") is expected
    assert may_grow(list[type_], "value", 3) is expected
    assert may_grow(list[type_], 3) is expected


def test_a_schema_that_only_means_itself() -> None:
    assert Growing([{"$ref": "#/$defs/a"}], {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}).may_grow


def test_the_parts_that_are_kept_do_not_grow_with_the_answer() -> None:
    growing = AnswerType(Node).growing()

    assert growing.part("children").part(1) is growing.part("children").part(2)
    assert growing.part("others").part("a") is growing.part("others").part("b")


def test_a_text_that_does_not_grow_is_there_when_it_is_whole() -> None:
    text = json.dumps({"text": "abc", "mood": "good", "pair": ["xy", "b"], "others": {"a": "bc"}})
    parser = PartialJson(growing=AnswerType(Node).growing())
    values = [parser.value() for character in text if parser.feed(character)]

    assert values == [
        {},
        *({"text": "abc"[:length]} for length in range(4)),
        {"text": "abc", "mood": "good"},
        *({"text": "abc", "mood": "good", "pair": pair} for pair in ([], [""], ["x"], ["xy"], ["xy", "b"])),
        {"text": "abc", "mood": "good", "pair": ["xy", "b"], "others": {}},
        {"text": "abc", "mood": "good", "pair": ["xy", "b"], "others": {"a": "bc"}},
    ]
