"""Example values for a JSON schema.

Clients choose the schema.  A few bytes of it (`minLength`, `minItems` inside `minItems`, references to itself) can ask
for any amount of memory and time.  Therefore both are limited here.
"""

from __future__ import annotations

import math
from typing import Any, NoReturn

from .jsontext import JSON, encode

LARGEST = 100_000
"""The size of the largest example, in characters of JSON."""

_MOST_STEPS = 20_000  # schemas that are looked at for one example, with those whose value is not used in the end
_SHALLOW = 4  # levels: below them optional parts are left out, so that a recursive schema comes to an end
_DEEPEST = 24  # levels, after which a schema counts as endless

_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "duration": "PT1M",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "time": "12:00:00Z",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


class SchemaError(ValueError):
    """A schema is not valid, it has no finite value, or its values are too large."""


class _TooDeep(SchemaError):
    pass


def example(schema: JSON, *, name: str = "text") -> Any:
    """Return a value that is valid for `schema`.  The same schema always gets the same value.

    Supports types, `enum`, `const`, `anyOf`, `oneOf`, `allOf`, `$ref` into the same document, bounds of
    numbers, lengths and sizes, `prefixItems`, and the common string formats.  Ignores the other keywords, among
    them `pattern`, `minProperties` and `uniqueItems`.

    Args:
        schema: the JSON schema.
        name: the value of a string that no property contains.  Other strings contain the name of their property.

    Raises:
        SchemaError: if a `$ref` has no target, if the value of a keyword has the wrong type, if the schema has no
            finite value, or if the value would have more than `LARGEST` characters of JSON.
    """
    return _Example(schema).value(schema, name, 0)


class _Example:
    """The making of one example, for which the limits hold."""

    def __init__(self, root: JSON) -> None:
        self._root = root
        self._size = 0  # characters
        self._steps = 0
        self._weights: dict[int, int] = {}  # by the `id` of a schema, which is a part of `root` and so stays alive

    def value(self, schema: Any, name: str, depth: int) -> Any:
        """Return a value for a part of the schema, which is `depth` levels below the whole."""
        self._step(1)
        if depth > _DEEPEST:
            raise _TooDeep("The schema never ends")
        if not isinstance(schema, dict):  # `true` is a schema for any value
            return self._counted(name)
        if "$ref" in schema:
            return self.value(self._target(schema), name, depth + 1)
        if "const" in schema:
            return self._counted(schema["const"])
        if "enum" in schema:
            return self._counted(_members(schema, "enum")[0])
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return self._choice(_members(schema, key), name, depth)
        if "allOf" in schema:
            return self.value(self._merged(schema, depth), name, depth + 1)
        return self._typed(schema, name, depth)

    def _step(self, count: int) -> None:
        self._steps += count
        if self._steps > _MOST_STEPS:
            raise SchemaError(f"The schema takes more than {_MOST_STEPS} steps")

    def _spend(self, size: int) -> None:
        """Count characters of the example, before they are made."""
        self._size += size
        if self._size > LARGEST:
            raise SchemaError(f"An example would have more than {LARGEST} characters")

    def _counted(self, value: Any) -> Any:
        self._spend(len(encode(value)))
        return value

    def _choice(self, alternatives: list[Any], name: str, depth: int) -> Any:
        if depth >= _SHALLOW:
            alternatives = sorted(alternatives, key=self._weight)
        for alternative in alternatives[:-1]:
            size = self._size
            try:
                return self.value(alternative, name, depth + 1)
            except _TooDeep:
                self._size = size
        return self.value(alternatives[-1], name, depth + 1)

    def _weight(self, schema: Any) -> int:
        """Return a number that is low for a schema with a short value."""
        if id(schema) not in self._weights:
            text = encode(schema)
            self._weights[id(schema)] = text.count('"$ref"') * 2 + text.count('"properties"')
        return self._weights[id(schema)]

    def _merged(self, schema: JSON, depth: int) -> JSON:
        """Return `schema` merged with the parts of its `allOf`."""
        if depth > _DEEPEST:
            raise _TooDeep("The schema never ends")
        merged = {key: value for key, value in schema.items() if key != "allOf"}
        properties = dict(_object_at(schema, "properties"))
        required = list(_array_at(schema, "required"))
        for part in _members(schema, "allOf"):
            if isinstance(part, dict) and "$ref" in part:
                part = self._target(part)
            if not isinstance(part, dict):  # `true` adds nothing
                continue
            if "allOf" in part:
                part = self._merged(part, depth + 1)
            self._step(1 + len(part) + len(_object_at(part, "properties")) + len(_array_at(part, "required")))
            properties |= _object_at(part, "properties")
            required += _array_at(part, "required")
            merged |= part
        return {**merged, "properties": properties, "required": required}

    def _target(self, schema: JSON) -> Any:
        """Return the part of the whole schema that a `$ref` names."""
        reference = schema["$ref"]
        if not isinstance(reference, str):
            _wrong_type("$ref", "a string")
        target: Any = self._root
        for step in reference.removeprefix("#").strip("/").split("/"):
            step = step.replace("~1", "/").replace("~0", "~")
            if step == "":
                continue
            if not isinstance(target, dict) or step not in target:
                raise SchemaError(f"The schema has no {reference!r}")
            target = target[step]
        return target

    def _typed(self, schema: JSON, name: str, depth: int) -> Any:
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((member for member in kind if member != "null"), "null")
        if kind == "object" or (kind is None and "properties" in schema):
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, name, depth)
        if kind in ("integer", "number"):
            return self._counted(_number(schema, whole=kind == "integer"))
        if kind == "boolean":
            return self._counted(True)
        if kind == "null":
            return self._counted(None)
        return self._string(schema, name)

    def _object(self, schema: JSON, depth: int) -> JSON:
        required = {key for key in _array_at(schema, "required") if isinstance(key, str)}
        value = {}
        for key, part in _object_at(schema, "properties").items():
            if key in required or depth < _SHALLOW:
                self._spend(len(key) + 4)  # with quotes, colon and comma
                value[key] = self.value(part, key, depth + 1)
        return value

    def _array(self, schema: JSON, name: str, depth: int) -> list[Any]:
        first, rest = _array_at(schema, "prefixItems"), schema.get("items", {})
        if isinstance(rest, list):  # as in older versions of JSON schema
            first, rest = rest, {}
        wanted = least = _size(schema, "minItems", 0)
        if depth < _SHALLOW:
            wanted = min(max(least, len(first), 1), _size(schema, "maxItems", math.inf))
        if rest is False:
            wanted = min(wanted, len(first))
        self._spend(int(wanted))  # the commas, before anything is made
        parts = (first[index] if index < len(first) else rest for index in range(int(wanted)))
        return [self.value(part, name, depth + 1) for part in parts]

    def _string(self, schema: JSON, name: str) -> str:
        kind = schema.get("format")
        text = _FORMATS.get(kind, name) if isinstance(kind, str) else name
        least, most = _size(schema, "minLength", 0), _size(schema, "maxLength", math.inf)
        self._spend(max(len(text), int(least)) + 2)
        text = text.ljust(int(least), ".")
        return text if len(text) <= most else text[: int(most)]


def _number(schema: JSON, *, whole: bool) -> float:
    step = _limit(schema, "multipleOf", 1)
    above = _limit(schema, "exclusiveMinimum", -math.inf)
    below = _limit(schema, "exclusiveMaximum", math.inf)
    low = max(_limit(schema, "minimum", -math.inf), above)
    high = min(_limit(schema, "maximum", math.inf), below)
    if step <= 0:
        raise SchemaError("'multipleOf' must be positive")
    try:
        if low > -math.inf:
            value = math.ceil(low / step) * step
            value += step if value <= above else 0
        elif high < math.inf:
            value = math.floor(high / step) * step
            value -= step if value >= below else 0
        else:
            value = step
        narrow = value > high or value >= below  # no multiple of `step` lies between the bounds
        value = low / 2 + high / 2 if narrow and not whole else value
        is_finite = math.isfinite(value)
    except OverflowError:
        is_finite = False
    if not is_finite:
        raise SchemaError("The bounds of a number are too large")
    return value


def _members(schema: JSON, key: str) -> list[Any]:
    members = _array_at(schema, key)
    if not members:
        raise SchemaError(f"'{key}' is empty")
    return members


def _array_at(schema: JSON, key: str) -> list[Any]:
    value = schema.get(key, [])
    return value if isinstance(value, list) else _wrong_type(key, "an array")


def _object_at(schema: JSON, key: str) -> JSON:
    value = schema.get(key, {})
    return value if isinstance(value, dict) else _wrong_type(key, "an object")


def _limit(schema: JSON, key: str, default: float) -> float:
    value = schema.get(key, default)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else _wrong_type(key, "a number")


def _size(schema: JSON, key: str, default: float) -> float:
    return max(_limit(schema, key, default), 0)


def _wrong_type(key: str, expected: str) -> NoReturn:
    raise SchemaError(f"'{key}' is not {expected}")
