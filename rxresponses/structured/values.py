"""From the JSON text of a model to JSON data: no duplicate key, no unknown key, no null in place of a default."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, NoReturn

from .libraries import Misfit
from .strictness import accepts_null, reference_name


def read_json(text: str | bytes) -> Any:
    """Return the JSON data in a text; raise `Misfit` if it is no JSON, or has a key twice in one object."""
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except Misfit:
        raise
    except RecursionError as error:
        raise Misfit([("", "the JSON is nested too deeply")]) from error
    except json.JSONDecodeError as error:
        raise Misfit([("", f"this is not valid JSON: {error}")]) from error
    except UnicodeDecodeError as error:
        raise Misfit([("", "this is not valid JSON: it is not encoded as UTF-8")]) from error
    except ValueError as error:
        raise Misfit([("", "an integer has too many digits")]) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise Misfit([("", f"the key {twice!r} occurs twice in one object")])
    return data


def _constant(name: str) -> NoReturn:
    raise Misfit([("", f"{name} is no JSON number")])


class Shape:
    """The properties of the objects in values of a schema: which may be null, and which are unknown."""

    def __init__(self, schema: Mapping[str, Any], *, is_closed: bool) -> None:
        self._schema = schema
        self._is_closed = is_closed
        self._definitions: Mapping[str, Any] = schema.get("$defs", {})

    def fitted(self, data: Any) -> Any:
        """Return JSON data without the nulls that stand for defaults.

        A strict schema requires all properties, so `null` stands for a property that may be left out.  Raises `Misfit`
        for a key that the schema does not know, if the objects are closed.
        """
        return self._fitted(data, self._schema, "")

    def _fitted(self, data: Any, schema: Any, path: str) -> Any:
        if not isinstance(schema, Mapping) or not isinstance(data, (dict, list)):
            return data
        if "$ref" in schema:
            return self._fitted(data, self._definitions[reference_name(schema["$ref"])], path)
        for members in (schema.get(keyword) for keyword in ("anyOf", "oneOf", "allOf")):
            if members:
                return self._fitted(data, self._member(data, members), path)
        if isinstance(data, list):
            before = schema.get("prefixItems", ())
            after = schema.get("items", True)
            return [
                self._fitted(item, before[index] if index < len(before) else after, f"{path}[{index}]")
                for index, item in enumerate(data)
            ]
        return self._object(data, schema, path)

    def _object(self, data: dict[str, Any], schema: Mapping[str, Any], path: str) -> dict[str, Any]:
        if "properties" not in schema:
            values = schema.get("additionalProperties", True)
            return {name: self._fitted(value, values, f"{path}.{name}") for name, value in data.items()}
        properties = schema["properties"]
        required = schema.get("required", ())
        rest = schema.get("additionalProperties", False)
        fitted = {}
        for name, value in data.items():
            part = properties.get(name, rest)
            if part is False and self._is_closed:
                raise Misfit([(path, f"there is no key {name!r}; the keys are: {', '.join(properties) or 'none'}")])
            if value is None and name in properties and name not in required and not self._takes_null(part):
                continue
            fitted[name] = self._fitted(value, part, f"{path}.{name}")
        return fitted

    def _takes_null(self, schema: Mapping[str, Any]) -> bool:
        return accepts_null(schema, self._definitions)

    def _member(self, data: Any, members: list[Any]) -> Any:
        """Return the member of a union that fits the data: for an object, that with its tag, and most of its keys."""
        resolved = [self._resolved(member) for member in members]
        if isinstance(data, list):
            return next((member for member in resolved if member.get("type") == "array"), True)
        objects = [member for member in resolved if member.get("type") == "object"]
        return max(objects, key=lambda member: _fitness(data, member), default=True)

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in schema:
            schema = self._definitions[reference_name(schema["$ref"])]
        return schema


def _fitness(data: Mapping[str, Any], schema: Mapping[str, Any]) -> tuple[bool, bool, int]:
    """Return how well an object fits a schema: its tags, all its keys, how many of its keys."""
    properties = schema.get("properties", {})
    required = set(schema.get("required", ()))
    choices = {
        name: [part["const"]] if "const" in part else part["enum"]
        for name, part in properties.items()
        if name in required and ("const" in part or "enum" in part)
    }
    return (
        all(data.get(name) in values for name, values in choices.items()),
        required <= data.keys() <= properties.keys(),
        len(data.keys() & properties.keys()),
    )
