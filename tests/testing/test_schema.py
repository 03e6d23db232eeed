from __future__ import annotations

import math
import re
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxresponses.testing.jsontext import decode, encode
from rxresponses.testing.schema import SchemaError, example


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


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "items": {"const": 3}}, [1, 2]),
        ({"type": "array", "prefixItems": [{"const": 1}], "items": {"const": 3}, "minItems": 3}, [1, 3, 3]),
        ({"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "maxItems": 1}, [1]),
        ({"type": "array", "prefixItems": [{"const": 1}], "items": False, "minItems": 1}, [1]),
        ({"type": "array", "items": [{"const": 1}, {"const": 2}]}, [1, 2]),
        ({"type": "array", "items": False}, []),
        (
            {"type": "array", "minItems": 2.0, "items": {"type": "string", "minLength": 5.0, "maxLength": 5.0}},
            ["text."] * 2,
        ),
        ({"type": "string", "minLength": -1}, "text"),
        ({"allOf": [True, {"type": "integer"}]}, 1),
        ({"type": "object", "minProperties": 10**9, "patternProperties": {".*": {}}}, {}),
        ({"type": "string", "pattern": "(a*)*b"}, "text"),
        ({"enum": ["a", *range(50_000)]}, "a"),
    ],
)
def test_more_example_values(schema: dict[str, Any], value: object) -> None:
    assert example(schema) == value


def nested(count: int, depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(depth):
        schema = {"type": "array", "minItems": count, "items": schema}
    return schema


def branching(keyword: str, count: int) -> dict[str, Any]:
    """A schema that never ends, and that can be followed in very many ways."""
    endless = {"type": "object", "properties": {"x": {"$ref": "#/$defs/a"}}, "required": ["x"]}
    return {"$ref": "#/$defs/a", "$defs": {"a": {keyword: [endless] * count}}}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "minLength": 2 * 10**8},
        {"type": "string", "minLength": 1e300},
        {"type": "array", "minItems": 300_000},
        {"type": "array", "minItems": 2e8, "items": {"type": "integer"}},
        {"type": "array", "minItems": 1_000, "items": {"type": "string", "minLength": 1_000}},
        {"type": "array", "minItems": 1_000, "items": {"const": "x" * 1_000}},
        {"type": "array", "minItems": 1_000, "items": {"enum": [["x"] * 1_000]}},
        {"type": "array", "prefixItems": [{"type": "integer"}] * 100_000},
        {"type": "object", "properties": {"x" * 200_000: {"type": "integer"}}},
        {"const": "x" * 200_000},
    ],
)
def test_scenario_77_an_example_is_bounded_before_it_is_made(schema: dict[str, Any]) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(SchemaError, match="characters"):
            example(schema)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "schema",
    [
        nested(10, 10),
        nested(100, 3),
        branching("anyOf", 10),
        branching("oneOf", 3),
        {"allOf": [{"$ref": "#"}]},
        {"allOf": [{"$ref": "#"}] * 10},
        {"$ref": "#"},
        {"type": "object", "properties": {key: {"$ref": "#"} for key in "abc"}, "required": ["a", "b", "c"]},
        {"type": "object", "properties": {f"property_{number}": {} for number in range(20_000)}},
    ],
)
def test_scenario_77_the_search_for_an_example_is_bounded(schema: dict[str, Any]) -> None:
    with pytest.raises(SchemaError, match=r"characters|steps|never ends"):
        example(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "minLength": "5"},
        {"type": "string", "maxLength": None},
        {"type": "array", "minItems": []},
        {"type": "array", "prefixItems": {}},
        {"type": "number", "minimum": True},
        {"type": "number", "multipleOf": 0},
        {"type": "number", "multipleOf": -1},
        {"type": "number", "minimum": 10**400, "multipleOf": 0.5},
        {"type": "number", "minimum": 1e308, "multipleOf": 1e-300},
        {"type": "number", "minimum": 1e308, "exclusiveMinimum": 1.7e308, "multipleOf": 1.7e308},
        {"properties": []},
        {"type": "object", "required": "all"},
        {"enum": []},
        {"enum": "a"},
        {"anyOf": {}},
        {"oneOf": []},
        {"allOf": 5},
        {"$ref": 5},
    ],
)
def test_scenario_77_a_schema_that_is_not_valid_is_an_error(schema: dict[str, Any]) -> None:
    with pytest.raises(SchemaError):
        example(schema)


KEYWORDS = ["type", "properties", "required", "items", "prefixItems", "minItems", "maxItems", "minLength", "maxLength"]
KEYWORDS += ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "enum", "const", "anyOf"]
KEYWORDS += ["oneOf", "allOf", "$ref", "format", "pattern", "a"]
TYPES = ["object", "array", "string", "number", "integer", "boolean", "null"]
parts = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([*TYPES, "#", "#/properties/a", "#/items", "#/anyOf", "date", "\ud83c", 10**400]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYWORDS), inner, max_size=4),
    max_leaves=15,
)
schemas = st.dictionaries(st.sampled_from(KEYWORDS), parts, max_size=5).flatmap(
    lambda schema: st.sampled_from(TYPES).map(lambda kind: {"type": kind, **schema})
)


@given(schema=schemas)
def test_scenario_77_any_schema_has_an_example_or_a_schema_error(schema: dict[str, Any]) -> None:
    try:
        value = example(schema)
    except SchemaError:
        return
    assert len(encode(value)) <= 100_000
    assert decode(encode(value)) == value
