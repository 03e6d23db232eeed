"""Which JSON schemas the server refuses: all that are no schemas of an object, and strict ones outside the subset.

The rules are those that the service publishes for Structured Outputs.
"""

from __future__ import annotations

import re
from typing import Any

from .jsontext import JSON

_TYPES = ("string", "number", "boolean", "integer", "object", "array", "null")
_FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid")
_REFUSED = frozenset(
    {
        "additionalItems",
        "allOf",
        "contains",
        "default",
        "dependencies",
        "dependentRequired",
        "dependentSchemas",
        "else",
        "if",
        "maxContains",
        "maxProperties",
        "minContains",
        "minProperties",
        "not",
        "oneOf",
        "patternProperties",
        "prefixItems",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
        "uniqueItems",
    }
)
_MOST_LEVELS = 10  # of objects inside each other
_MOST_PROPERTIES = 5_000
_MOST_ENUM_VALUES = 1_000
_MOST_CHARACTERS = 120_000  # of the names of properties and definitions, and of the values of `enum` and `const`
_LARGE_ENUM, _LARGE_ENUM_CHARACTERS = 250, 15_000
_REFERENCE = re.compile(r"#/(\$defs|definitions)/([^/]+)")

_Context = tuple[str, ...]


def problem_of(schema: JSON, *, strict: bool) -> str | None:
    """Return why the service refuses a schema for arguments or for an answer, `None` if it accepts the schema.

    Args:
        schema: the schema.
        strict: whether the schema has to be in the subset for Structured Outputs.
    """
    try:
        if schema.get("type") != "object":
            given = schema.get("type")
            raise _Problem(f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{given}\"'")
        _Checker(schema, strict=strict).check_all()
    except _Problem as problem:
        return str(problem)
    return None


class _Problem(Exception):
    pass


class _Checker:
    def __init__(self, root: JSON, *, strict: bool) -> None:
        self._root = root
        self._strict = strict
        self._properties = 0
        self._enum_values = 0
        self._characters = 0

    def check_all(self) -> None:
        """Check the whole schema.  Raises `_Problem` for the first mistake."""
        if self._strict and "anyOf" in self._root:
            raise _Problem("schema must have type 'object' and not have 'anyOf' at the top level")
        self._check(self._root, (), 0)
        for key in ("$defs", "definitions"):
            for name, definition in self._object_at(self._root, key, ()).items():
                self._characters += len(name)
                self._check(definition, (key, name), 0)
        if not self._strict:
            return
        _limit("object properties", self._properties, _MOST_PROPERTIES)
        _limit("enum values", self._enum_values, _MOST_ENUM_VALUES)
        _limit("characters of names and values", self._characters, _MOST_CHARACTERS)

    def _check(self, schema: Any, context: _Context, level: int) -> None:
        """Check a part of the schema, which is inside of `level` objects."""
        if not isinstance(schema, dict):
            if isinstance(schema, bool) and not self._strict:
                return
            raise _at(context, f"a schema must be an object, not {schema!r}")
        if "$ref" in schema:
            self._check_reference(schema, context)
            return
        kinds = self._kinds(schema, context)
        self._check_values(schema, context)
        if self._strict:
            self._check_keywords(schema, context)
            if not kinds and "anyOf" not in schema:
                raise _at(context, "schema must have a 'type' key.")
        for key in ("anyOf", "oneOf", "allOf"):
            for index, member in enumerate(self._array_at(schema, key, context)):
                self._check(member, (*context, key, str(index)), level)
        if "object" in kinds or "properties" in schema:
            self._check_object(schema, context, level + 1)
        if "array" in kinds or "items" in schema:
            self._check_array(schema, context, level)

    def _kinds(self, schema: JSON, context: _Context) -> list[Any]:
        kind = schema.get("type", [])
        kinds = kind if isinstance(kind, list) else [kind]
        for each in kinds:
            if each not in _TYPES:
                raise _at((*context, "type"), f"{each!r} is not one of {', '.join(map(repr, _TYPES))}.")
        return kinds

    def _check_values(self, schema: JSON, context: _Context) -> None:
        values = self._array_at(schema, "enum", context)
        if "enum" in schema and not values:
            raise _at(context, "'enum' must have a value.")
        characters = sum(len(value) for value in values if isinstance(value, str))
        if self._strict and len(values) > _LARGE_ENUM and characters > _LARGE_ENUM_CHARACTERS:
            limit = f"an enum with more than {_LARGE_ENUM} values may have {_LARGE_ENUM_CHARACTERS} characters"
            raise _at(context, f"{limit}, but this has {characters}.")
        self._enum_values += len(values)
        const = schema.get("const")
        self._characters += characters + (len(const) if isinstance(const, str) else 0)

    def _check_keywords(self, schema: JSON, context: _Context) -> None:
        for key in schema:
            if key in _REFUSED:
                raise _at(context, f"'{key}' is not permitted.")
        if "format" in schema and schema["format"] not in _FORMATS:
            names = ", ".join(map(repr, _FORMATS))
            raise _at(context, f"{schema['format']!r} is not a supported format. Supported formats are: {names}.")

    def _check_object(self, schema: JSON, context: _Context, level: int) -> None:
        properties = self._object_at(schema, "properties", context)
        required = self._array_at(schema, "required", context)
        if self._strict:
            if level > _MOST_LEVELS:
                raise _Problem(f"{level} levels of nesting exceeds limit of {_MOST_LEVELS}.")
            if schema.get("additionalProperties") is not False:
                raise _at(context, "'additionalProperties' is required to be supplied and to be false.")
            if "properties" not in schema:
                raise _at(context, "object schema missing properties.")
            rule = "'required' is required to be supplied and to be an array including every key in properties."
            names = {name for name in required if isinstance(name, str)}
            for name in properties:
                if name not in names:
                    raise _at(context, f"{rule} Missing '{name}'.")
            for name in required:
                if not (isinstance(name, str) and name in properties):
                    raise _at(context, f"{rule} Extra required key {name!r} supplied.")
        self._properties += len(properties)
        for name, part in properties.items():
            self._characters += len(name)
            self._check(part, (*context, "properties", name), level)
        if isinstance(schema.get("additionalProperties"), dict):
            self._check(schema["additionalProperties"], (*context, "additionalProperties"), level)

    def _check_array(self, schema: JSON, context: _Context, level: int) -> None:
        if "items" in schema:
            items = schema["items"]
            for index, item in enumerate(items if isinstance(items, list) and not self._strict else ()):
                self._check(item, (*context, "items", str(index)), level)
            if not isinstance(items, list) or self._strict:
                self._check(items, (*context, "items"), level)
        elif "prefixItems" not in schema:
            raise _at(context, "array schema missing items.")

    def _check_reference(self, schema: JSON, context: _Context) -> None:
        reference = schema["$ref"]
        if self._strict and len(schema) > 1:
            others = ", ".join(repr(key) for key in schema if key != "$ref")
            raise _at(context, f"$ref cannot have keywords {{{others}}}.")
        if reference == "#":
            return
        match = _REFERENCE.fullmatch(reference) if isinstance(reference, str) else None
        if match is None:
            if not self._strict and isinstance(reference, str):
                return
            raise _at(context, "reference can only point to definitions defined at the top level of the schema.")
        name = match[2].replace("~1", "/").replace("~0", "~")
        if name not in self._object_at(self._root, match[1], ()):
            raise _at(context, f"reference to {reference!r}, which is not defined.")

    def _object_at(self, schema: JSON, key: str, context: _Context) -> JSON:
        value = schema.get(key, {})
        if not isinstance(value, dict):
            raise _at((*context, key), f"{value!r} is not of type 'object'.")
        return value

    def _array_at(self, schema: JSON, key: str, context: _Context) -> list[Any]:
        value = schema.get(key, [])
        if not isinstance(value, list):
            raise _at((*context, key), f"{value!r} is not of type 'array'.")
        return value


def _at(context: _Context, problem: str) -> _Problem:
    return _Problem(f"In context={context!r}, {problem}")


def _limit(what: str, number: int, most: int) -> None:
    if number > most:
        raise _Problem(f"Expected at most {most} {what} in total within a single schema, but received {number}.")
