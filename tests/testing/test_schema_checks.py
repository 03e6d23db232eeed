"""Which JSON schemas are refused, for arguments of functions and for structured answers."""

from __future__ import annotations

from typing import Any

import pytest

from rxresponses.testing.schema_checks import problem_of

TEXT = {"type": "string"}


def closed(**properties: Any) -> dict[str, Any]:
    """Return a strict schema of an object."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def nested(levels: int) -> dict[str, Any]:
    schema = closed(a=TEXT)
    for _ in range(levels - 1):
        schema = closed(a=schema)
    return schema


ACCEPTED = [
    closed(),
    closed(a=TEXT, b={"type": ["integer", "null"], "minimum": 0, "description": "a number"}),
    closed(a={"type": "string", "enum": ["x", "y"]}, b={"type": "string", "const": "z", "format": "date-time"}),
    closed(a={"anyOf": [TEXT, {"type": "null"}]}, b={"type": "array", "items": closed(c=TEXT), "maxItems": 3}),
    {**closed(a={"$ref": "#/$defs/Step"}, b={"$ref": "#"}), "$defs": {"Step": closed(a=TEXT)}},
    {**closed(a={"$ref": "#/definitions/a~1b"}), "definitions": {"a/b": closed()}, "title": "Thing"},
    nested(10),
    closed(**{f"p{index}": {"type": "string"} for index in range(5_000)}),
    closed(a={"type": "string", "enum": [str(index) for index in range(1_000)]}),
]


@pytest.mark.parametrize("schema", ACCEPTED)
def test_schemas_in_the_subset(schema: dict[str, Any]) -> None:
    assert problem_of(schema, strict=True) is None
    assert problem_of(schema, strict=False) is None


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({**closed(a=TEXT), "additionalProperties": True}, "context=(), 'additionalProperties' is required"),
        ({"type": "object", "properties": {}, "required": []}, "'additionalProperties' is required to be supplied"),
        ({"type": "object", "additionalProperties": False}, "object schema missing properties"),
        ({**closed(a=TEXT, b=TEXT), "required": ["a"]}, "Missing 'b'"),
        ({**closed(a=TEXT), "required": ["a", "c"]}, "Extra required key 'c' supplied"),
        ({**closed(a=TEXT), "required": ["a", {}]}, "Extra required key {} supplied"),
        (closed(a={**closed(b=TEXT), "required": []}), "context=('properties', 'a'), 'required' is required"),
        (closed(a={"oneOf": [TEXT]}), "context=('properties', 'a'), 'oneOf' is not permitted"),
        (closed(a={"type": "string", "default": "x"}), "'default' is not permitted"),
        (closed(a={"type": "array", "items": TEXT, "uniqueItems": True}), "'uniqueItems' is not permitted"),
        (closed(a={"type": "array", "items": [TEXT]}), "context=('properties', 'a', 'items'), a schema must be"),
        (closed(a={"type": "string", "format": "uri"}), "'uri' is not a supported format"),
        (closed(a={"description": "anything"}), "context=('properties', 'a'), schema must have a 'type' key"),
        (closed(a={"enum": ["x"]}), "schema must have a 'type' key"),
        (closed(a=True), "a schema must be an object, not True"),
        (closed(a={"$ref": "#/$defs/A", "description": "x"}), "$ref cannot have keywords {'description'}"),
        (closed(a={"$ref": "#/properties/b"}), "can only point to definitions"),
        (closed(a={"$ref": 5}), "can only point to definitions"),
        (
            closed(a={"anyOf": [TEXT, {"type": "array"}]}),
            "'anyOf', '1'), array schema missing items",
        ),
        ({**closed(a=TEXT), "anyOf": [closed()]}, "not have 'anyOf' at the top level"),
        ({**closed(), "$defs": {"A": {"type": "object"}}}, "context=('$defs', 'A'), 'additionalProperties'"),
        (nested(11), "11 levels of nesting exceeds limit of 10"),
        (closed(**{f"p{index}": {"type": "string"} for index in range(5_001)}), "at most 5000 object properties"),
        (closed(a={"type": "string", "enum": [str(n) for n in range(1_001)]}), "at most 1000 enum values"),
        (
            closed(a={"type": "string", "enum": [str(n) * 40 for n in range(251)]}),
            "250 values may have 15000",
        ),
        (closed(**{"a" * 120_001: TEXT}), "at most 120000 characters"),
        (closed(a={"type": "string", "const": "a" * 120_000}), "at most 120000 characters"),
    ],
)
def test_schemas_outside_the_subset(schema: dict[str, Any], problem: str) -> None:
    assert problem in (problem_of(schema, strict=True) or "")


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "properties": {"a": {"default": 1, "oneOf": [TEXT, {"allOf": [TEXT]}]}, "b": True}},
        {"type": "object", "properties": {"a": {"type": "array", "prefixItems": [TEXT]}}},
        {"type": "object", "properties": {"a": {"type": "array", "items": [TEXT, {}]}}},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "object", "properties": {"a": {"$ref": "https://example.com/schema"}}, "anyOf": [{}]},
        nested(20),
    ],
)
def test_other_schemas_are_accepted_unless_they_are_strict(schema: dict[str, Any]) -> None:
    assert problem_of(schema, strict=False) is None
    assert problem_of(schema, strict=True) is not None


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({}, "got 'type: \"None\"'"),
        ({"type": "array", "items": TEXT}, "got 'type: \"array\"'"),
        ({"type": "object", "properties": {"a": {"type": "sting"}}}, "('properties', 'a', 'type'), 'sting' is not one"),
        ({"type": "object", "properties": {"a": {"type": [{}]}}}, "{} is not one of"),
        ({"type": "object", "properties": []}, "context=('properties',), [] is not of type 'object'"),
        ({"type": "object", "required": "a"}, "context=('required',), 'a' is not of type 'array'"),
        ({"type": "object", "properties": {"a": {"type": "string", "enum": []}}}, "'enum' must have a value"),
        ({"type": "object", "properties": {"a": {"type": "array"}}}, "array schema missing items"),
        ({"type": "object", "properties": {"a": "string"}}, "a schema must be an object, not 'string'"),
        ({"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}}, "'#/$defs/A', which is not defined"),
        ({"type": "object", "properties": {"a": {"$ref": []}}}, "can only point to definitions"),
        ({"type": "object", "additionalProperties": {"type": "x"}}, "('additionalProperties', 'type'), 'x'"),
    ],
)
def test_what_is_no_schema_of_an_object_is_refused_in_any_case(schema: dict[str, Any], problem: str) -> None:
    assert problem in (problem_of(schema, strict=False) or "")
    assert problem_of(schema, strict=True) is not None
