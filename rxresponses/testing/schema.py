"""Example values for a JSON schema."""

from __future__ import annotations

import math
from typing import Any

from .jsontext import JSON

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


class _TooDeep(ValueError):
    pass


def example(schema: JSON, *, name: str = "text") -> Any:
    """Return a value that is valid for `schema`.  The same schema always gets the same value.

    Supports types, `enum`, `const`, `anyOf`, `oneOf`, `allOf`, `$ref` into the same document, bounds of
    numbers, lengths and sizes, and the common string formats.  Ignores `pattern`.

    Args:
        schema: the JSON schema.
        name: the value of a string that no property contains.  Other strings contain the name of their property.

    Raises:
        ValueError: if a `$ref` has no target, or if the schema has no finite value.
    """
    return _value(schema, schema, name, 0)


def _value(schema: Any, root: JSON, name: str, depth: int) -> Any:
    if depth > _DEEPEST:
        raise _TooDeep("The schema never ends")
    if not isinstance(schema, dict):  # `true` is a schema for any value
        return name
    if "$ref" in schema:
        return _value(_resolve(schema["$ref"], root), root, name, depth + 1)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return _choose(schema[key], root, name, depth)
    if "allOf" in schema:
        return _value(_merge(schema, root), root, name, depth + 1)
    return _typed(schema, root, name, depth)


def _choose(alternatives: list[Any], root: JSON, name: str, depth: int) -> Any:
    if depth >= _SHALLOW:
        alternatives = sorted(alternatives, key=_weight)
    for alternative in alternatives[:-1]:
        try:
            return _value(alternative, root, name, depth + 1)
        except _TooDeep:
            continue
    return _value(alternatives[-1], root, name, depth + 1)


def _weight(schema: Any) -> int:
    """Return a number that is low for a schema with a short value."""
    return str(schema).count("$ref") * 2 + str(schema).count("properties")


def _merge(schema: JSON, root: JSON) -> JSON:
    """Return `schema` merged with the parts of its `allOf`."""
    merged = {key: value for key, value in schema.items() if key != "allOf"}
    for part in schema["allOf"]:
        if "$ref" in part:
            part = _resolve(part["$ref"], root)
        if "allOf" in part:
            part = _merge(part, root)
        properties = {**merged.get("properties", {}), **part.get("properties", {})}
        required = [*merged.get("required", ()), *part.get("required", ())]
        merged = {**merged, **part, "properties": properties, "required": required}
    return merged


def _resolve(reference: str, root: JSON) -> Any:
    target: Any = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        step = step.replace("~1", "/").replace("~0", "~")
        if step == "":
            continue
        if not isinstance(target, dict) or step not in target:
            raise ValueError(f"The schema has no {reference!r}")
        target = target[step]
    return target


def _typed(schema: JSON, root: JSON, name: str, depth: int) -> Any:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((member for member in kind if member != "null"), "null")
    if kind == "object" or (kind is None and "properties" in schema):
        return _object(schema, root, depth)
    if kind == "array":
        return _array(schema, root, name, depth)
    if kind in ("integer", "number"):
        return _number(schema, whole=kind == "integer")
    if kind == "boolean":
        return True
    if kind == "null":
        return None
    return _string(schema, name)


def _object(schema: JSON, root: JSON, depth: int) -> JSON:
    required = schema.get("required", ())
    return {
        key: _value(value, root, key, depth + 1)
        for key, value in schema.get("properties", {}).items()
        if key in required or depth < _SHALLOW
    }


def _array(schema: JSON, root: JSON, name: str, depth: int) -> list[Any]:
    least = schema.get("minItems", 0)
    most = schema.get("maxItems", math.inf)
    wanted = max(least, 1) if depth < _SHALLOW and most > 0 else least
    return [_value(schema.get("items", {}), root, name, depth + 1) for _ in range(wanted)]


def _number(schema: JSON, *, whole: bool) -> float:
    step: float = schema.get("multipleOf", 1)
    above = schema.get("exclusiveMinimum", -math.inf)
    below = schema.get("exclusiveMaximum", math.inf)
    low: float = max(schema.get("minimum", -math.inf), above)
    high: float = min(schema.get("maximum", math.inf), below)
    if low > -math.inf:
        value = math.ceil(low / step) * step
        value += step if value <= above else 0
    elif high < math.inf:
        value = math.floor(high / step) * step
        value -= step if value >= below else 0
    else:
        value = step
    narrow = value > high or value >= below  # no multiple of `step` lies between the bounds
    return (low + high) / 2 if narrow and not whole else value


def _string(schema: JSON, name: str) -> str:
    text = _FORMATS.get(schema.get("format", ""), name).ljust(schema.get("minLength", 0), ".")
    longest: int | None = schema.get("maxLength")
    return text[:longest]
