from __future__ import annotations

from typing import Any

import pytest

from rxresponses.structured.libraries import Misfit
from rxresponses.structured.strictness import accepts_null
from rxresponses.structured.values import Shape, read_json


def problems(call: Any) -> list[tuple[str, str]]:
    with pytest.raises(Misfit) as caught:
        call()
    return caught.value.problems


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "this is not valid JSON: Expecting value: line 1 column 1 (char 0)"),
        ('{"a": 1} and', "this is not valid JSON: Extra data: line 1 column 10 (char 9)"),
        (b'"\xff"', "this is not valid JSON: it is not encoded as UTF-8"),
        ('{"a": 1, "b": {"c": 1, "c": 1}}', "the key 'c' occurs twice in one object"),
        ("[NaN]", "NaN is no JSON number"),
        ("-Infinity", "-Infinity is no JSON number"),
        ("9" * 5000, "an integer has too many digits"),
        ("[" * 200_000, "the JSON is nested too deeply"),
    ],
    ids=range(8),
)
def test_text_that_is_no_json(text: str | bytes, problem: str) -> None:
    assert problems(lambda: read_json(text)) == [("", problem)]


def test_json() -> None:
    assert read_json('{"a": [1, null, "x"]}') == read_json(b'{"a": [1, null, "x"]}') == {"a": [1, None, "x"]}


INNER = {
    "type": "object",
    "properties": {"x": {"type": "integer"}, "y": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
    "required": [],
}
SCHEMA = {
    "$defs": {"Inner": INNER},
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "one": {"$ref": "#/$defs/Inner"},
        "many": {"type": "array", "items": {"$ref": "#/$defs/Inner"}},
        "pair": {"type": "array", "prefixItems": [{"type": "integer"}, {"$ref": "#/$defs/Inner"}], "items": False},
        "maybe": {"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/Inner"}}, {"$ref": "#/$defs/Inner"}]},
        "open": {"type": "object", "additionalProperties": {"$ref": "#/$defs/Inner"}},
        "any": {},
        "rest": {"type": "object", "properties": {"a": {}}, "additionalProperties": {"$ref": "#/$defs/Inner"}},
        "scalar": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
    },
    "required": ["id"],
}
FILLED = {"x": None, "y": None}


@pytest.mark.parametrize(
    ("data", "fitted"),
    [
        (5, 5),
        ([FILLED], [FILLED]),
        ({"id": None, "one": None}, {"id": None}),  # `null` is no default of a required key: the type refuses it
        ({"one": FILLED}, {"one": {"y": None}}),
        ({"many": [FILLED, {"x": 1}]}, {"many": [{"y": None}, {"x": 1}]}),
        ({"pair": [1, FILLED, FILLED]}, {"pair": [1, {"y": None}, FILLED]}),
        ({"maybe": [FILLED]}, {"maybe": [{"y": None}]}),
        ({"maybe": FILLED}, {"maybe": {"y": None}}),
        ({"open": {"a": FILLED}}, {"open": {"a": {"y": None}}}),
        ({"any": {"a": FILLED}}, {"any": {"a": FILLED}}),
        ({"rest": {"a": FILLED, "b": FILLED}}, {"rest": {"a": FILLED, "b": {"y": None}}}),
        ({"scalar": {"a": 1}}, {"scalar": {"a": 1}}),
        ({"scalar": [1]}, {"scalar": [1]}),
    ],
)
def test_null_stands_for_a_default(data: Any, fitted: Any) -> None:
    assert Shape(SCHEMA, is_closed=True).fitted(data) == fitted


def test_unknown_keys() -> None:
    data = {"many": [{"x": 1}, {"z": 1}]}
    assert problems(lambda: Shape(SCHEMA, is_closed=True).fitted(data)) == [
        (".many[1]", "there is no key 'z'; the keys are: x, y")
    ]
    assert Shape(SCHEMA, is_closed=False).fitted(data) == data
    empty = {"type": "object", "properties": {}}
    assert problems(lambda: Shape(empty, is_closed=True).fitted({"a": 1})) == [
        ("", "there is no key 'a'; the keys are: none")
    ]


def variant(tag: Any, *keys: str) -> dict[str, Any]:
    properties = {"kind": tag, **{key: {"type": "integer"} for key in keys}}
    return {"type": "object", "properties": properties, "required": ["kind", keys[0]]}


@pytest.mark.parametrize("keyword", ["anyOf", "oneOf"])
def test_the_member_of_a_union_is_told_by_its_tag_and_then_by_its_keys(keyword: str) -> None:
    members = [variant({"const": "a"}, "x", "y"), variant({"enum": ["b"]}, "y", "x"), variant({"type": "string"}, "z")]
    shape = Shape({keyword: members}, is_closed=True)
    for data in ({"kind": "a", "x": 1, "y": 1}, {"kind": "b", "y": 1, "x": 1}, {"kind": "c", "z": 1}):
        assert shape.fitted(data) == data
    assert shape.fitted({"kind": "a", "x": 1, "y": None}) == {"kind": "a", "x": 1}
    assert shape.fitted({"kind": "b", "y": 1, "x": None}) == {"kind": "b", "y": 1}
    assert problems(lambda: shape.fitted({"kind": "b", "q": 1})) == [
        ("", "there is no key 'q'; the keys are: kind, y, x")
    ]


def test_without_tags_the_member_is_the_one_that_has_all_keys() -> None:
    number = {"type": "integer"}
    large = {"type": "object", "properties": {"x": number, "y": number, "z": number}, "required": ["x", "y", "z"]}
    small = {"type": "object", "properties": {"x": number, "y": number}, "required": ["x"]}
    for members in ([large, small], [small, large]):
        shape = Shape({"anyOf": members}, is_closed=True)
        assert shape.fitted({"x": 1, "y": None}) == {"x": 1}
        assert shape.fitted({"x": 1, "y": 2, "z": 3}) == {"x": 1, "y": 2, "z": 3}


def test_an_intersection_of_one_schema_is_that_schema() -> None:
    shape = Shape({"allOf": [{"$ref": "#/$defs/Inner"}], "$defs": {"Inner": INNER}}, is_closed=True)
    assert shape.fitted(FILLED) == {"y": None}


@pytest.mark.parametrize(
    ("schema", "takes"),
    [
        ({}, True),
        ({"type": "null"}, True),
        ({"type": ["integer", "null"]}, True),
        ({"type": ["integer"]}, False),
        ({"type": "integer"}, False),
        ({"const": None}, True),
        ({"const": 0}, False),
        ({"enum": [1, None]}, True),
        ({"enum": [1]}, False),
        ({"oneOf": [{"type": "integer"}, {"$ref": "#/$defs/None"}]}, True),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, False),
    ],
)
def test_whether_null_is_valid(schema: dict[str, Any], takes: bool) -> None:
    assert accepts_null(schema, {"None": {"type": "null"}}) is takes
