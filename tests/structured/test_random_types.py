"""Values that fit a type are valid for its schema and come back from their JSON; others are refused."""

from __future__ import annotations

import copy
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxresponses.errors import DecodeError
from rxresponses.structured.schema import json_schema
from tests.effort import examples
from tests.structured.parsing import parse_value
from tests.structured.random_types import Drawn, dataclass_types
from tests.structured.strict_rules import check_strict

jsonschema = pytest.importorskip("jsonschema", reason="comes with the extra `dev`")


def filled(data: Any, schema: Any, root: Any) -> Any:
    """Return JSON data as a model writes them: `null` stands where a key may be left out."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    if "anyOf" in schema:
        members = [member for member in schema["anyOf"] if is_valid(data_with_nulls(data), member, root)]
        return filled(data, members[0], root) if members else data
    if isinstance(data, list):
        return [filled(item, schema.get("items", {}), root) for item in data]
    if isinstance(data, dict) and "properties" in schema:
        return {name: filled(data.get(name), part, root) for name, part in schema["properties"].items()}
    return data


def is_valid(data: Any, schema: Any, root: Any) -> bool:
    validator = jsonschema.Draft202012Validator({**schema, "$defs": root.get("$defs", {})})
    return bool(validator.is_valid(data))


def data_with_nulls(data: Any) -> Any:
    """Return data in which the films have all their keys, for the choice of a member of a union."""
    if isinstance(data, list):
        return [data_with_nulls(item) for item in data]
    if isinstance(data, dict) and "title" in data:
        return {"title": None, "year": None, "rating": None} | data
    if isinstance(data, dict):
        return {name: data_with_nulls(item) for name, item in data.items()}
    return data


def as_json(value: Any) -> Any:
    return json.loads(msgspec.json.encode(value))


def paths(data: Any) -> list[list[Any]]:
    """Return the ways to each place in JSON data."""
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [[], *([key, *path] for key, value in inner for path in paths(value))]


def changed(data: Any, path: list[Any], value: Any) -> Any:
    if not path:
        return value
    data = copy.copy(data)
    data[path[0]] = changed(data[path[0]], path[1:], value)
    return data


@settings(max_examples=examples(200))
@given(drawn=dataclass_types(), data=st.data())
def test_a_value_that_fits_is_valid_and_comes_back(drawn: Drawn, data: st.DataObject) -> None:
    value = data.draw(drawn.values)
    schema = json_schema(drawn.type)
    check_strict(schema)
    written = filled(as_json(value), schema, schema)
    jsonschema.Draft202012Validator(schema).validate(written)
    assert parse_value(json.dumps(written), drawn.type) == value
    # Without strictness, what may be left out is left out.
    assert parse_value(msgspec.json.encode(value), drawn.type, strict=False) == value
    jsonschema.Draft202012Validator(json_schema(drawn.type, strict=False)).validate(as_json(value))


@settings(max_examples=examples(200))
@given(drawn=dataclass_types(), data=st.data())
def test_a_value_that_does_not_fit_is_refused(drawn: Drawn, data: st.DataObject) -> None:
    schema = json_schema(drawn.type)
    written = filled(as_json(data.draw(drawn.values)), schema, schema)
    path = data.draw(st.sampled_from(paths(written)))
    wrong: Any = data.draw(st.sampled_from([{"?": 0}, [[[]]], None, "?", True]))
    written = changed(written, path, wrong)
    if jsonschema.Draft202012Validator(schema).is_valid(written):
        return  # a text in place of another, for example
    with pytest.raises(DecodeError):
        parse_value(json.dumps(written), drawn.type)
