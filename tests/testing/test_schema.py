from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxresponses.testing.schema import example


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"const": 7}, 7),
        ({"enum": ["b", "a"]}, "b"),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": ["null", "string"]}, "name"),
        ({"type": ["null"]}, None),
        ({}, "name"),
        ({"type": "string", "minLength": 6}, "name.."),
        ({"type": "string", "maxLength": 2}, "na"),
        ({"type": "string", "format": "date"}, "2026-01-31"),
        ({"type": "string", "format": "unheard-of"}, "name"),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, None),
        ({"oneOf": [{"type": "integer"}]}, 1),
        ({"type": "array", "items": {"type": "integer"}}, [1]),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 3}, [1, 1, 1]),
        ({"type": "array", "maxItems": 0}, []),
        ({"type": "array"}, ["name"]),
        ({"type": "array", "items": True}, ["name"]),
        ({"type": "object"}, {}),
        ({"properties": {"city": {"type": "string"}}}, {"city": "city"}),
    ],
)
def test_example_values(schema: dict[str, Any], value: object) -> None:
    assert example(schema, name="name") == value


def test_nested_objects_and_references() -> None:
    schema = {
        "type": "object",
        "properties": {
            "address": {"$ref": "#/$defs/address"},
            "odd": {"$ref": "#/$defs/a~1b~0c"},
        },
        "$defs": {
            "address": {"type": "object", "properties": {"street": {"type": "string"}}, "required": ["street"]},
            "a/b~c": {"type": "integer"},
        },
    }

    assert example(schema) == {"address": {"street": "street"}, "odd": 1}


def test_all_of_is_merged() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "allOf": [
            {"$ref": "#/$defs/base"},
            {"properties": {"c": {"type": "null"}}, "allOf": [{"properties": {"d": {"const": 4}}}]},
        ],
        "$defs": {"base": {"properties": {"b": {"type": "boolean"}}, "required": ["b"]}},
    }

    assert example(schema) == {"a": 1, "b": True, "c": None, "d": 4}


def test_a_recursive_schema_has_a_finite_value() -> None:
    tree = {
        "type": "object",
        "properties": {
            "value": {"type": "integer"},
            "left": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
            "children": {"type": "array", "items": {"$ref": "#"}},
        },
        "required": ["value", "left", "children"],
        "additionalProperties": False,
    }

    def check(value: Any) -> int:
        if value is None:
            return 0
        assert value.keys() == {"value", "left", "children"}
        return 1 + max([check(value["left"]), *map(check, value["children"])])

    assert 1 < check(example(tree)) < 6


def test_optional_recursion_is_left_out() -> None:
    chain = {
        "type": "object",
        "properties": {"value": {"type": "integer"}, "next": {"$ref": "#"}},
        "required": ["value"],
    }
    value = example(chain)
    depth = 0
    while value is not None:
        assert value["value"] == 1
        value, depth = value.get("next"), depth + 1

    assert 1 < depth < 6


def test_an_endless_alternative_is_skipped() -> None:
    endless = {"type": "object", "properties": {"more": {"$ref": "#/$defs/endless"}}, "required": ["more"]}
    schema = {"anyOf": [{"$ref": "#/$defs/endless"}, {"const": "end"}], "$defs": {"endless": endless}}

    assert example(schema) == "end"


@pytest.mark.parametrize("reference", ["#/$defs/missing", "#/type/deeper"])
def test_a_broken_reference_is_an_error(reference: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reference)):
        example({"type": "object", "properties": {"a": {"$ref": reference}}})


def test_an_endless_schema_is_an_error() -> None:
    with pytest.raises(ValueError, match="never ends"):
        example({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]})


numbers = st.integers(-1000, 1000)


@given(low=numbers, width=st.integers(2, 50), low_open=st.booleans(), high_open=st.booleans(), whole=st.booleans())
def test_numbers_lie_between_their_bounds(low: int, width: int, low_open: bool, high_open: bool, whole: bool) -> None:
    high = low + width
    schema = {
        "type": "integer" if whole else "number",
        "exclusiveMinimum" if low_open else "minimum": low,
        "exclusiveMaximum" if high_open else "maximum": high,
    }
    value = example(schema)

    assert low < value if low_open else low <= value
    assert value < high if high_open else value <= high
    assert not whole or value == math.floor(value)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "number", "minimum": 0.25, "maximum": 0.75}, 0.5),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.5),
        ({"type": "integer", "maximum": -3}, -3),
        ({"type": "integer", "exclusiveMaximum": -3}, -4),
        ({"type": "integer", "multipleOf": 5}, 5),
        ({"type": "integer", "multipleOf": 5, "minimum": 11}, 15),
        ({"type": "integer", "multipleOf": 5, "exclusiveMinimum": 10}, 15),
        ({"type": "integer"}, 1),
    ],
)
def test_example_numbers(schema: dict[str, Any], value: float) -> None:
    assert example(schema) == value
