"""The rules of the service for strict schemas, written down a second time."""

from __future__ import annotations

from typing import Any

from rxresponses.testing.schema_checks import problem_of

_ANYWHERE = {"type", "description", "enum", "const", "anyOf", "$ref"}
_KEYWORDS = {
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items", "minItems", "maxItems"},
    "string": {"pattern", "format"},
    "integer": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
    "boolean": set(),
    "null": set(),
}
_FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}


def check_strict(schema: dict[str, Any]) -> None:
    """Raise `AssertionError` if the service would refuse this schema as strict."""
    definitions = schema.get("$defs", {})
    root = {name: value for name, value in schema.items() if name != "$defs"}
    assert root["type"] == "object"
    assert "anyOf" not in root
    for part in (root, *definitions.values()):
        _check(part, definitions)
    assert problem_of(schema, strict=True) is None  # the embedded server has the rules, too


def _check(part: Any, definitions: dict[str, Any]) -> None:
    assert isinstance(part, dict)
    kind: Any = part.get("type")
    assert part.keys() <= _ANYWHERE | _KEYWORDS.get(kind, set()), part
    if "$ref" in part:
        assert part.keys() == {"$ref"}
        assert part["$ref"].removeprefix("#/$defs/") in definitions
    elif "anyOf" in part:
        assert kind is None
        assert part["anyOf"]
        for member in part["anyOf"]:
            _check(member, definitions)
    else:
        assert kind in _KEYWORDS, part
    if kind == "object":
        assert part["additionalProperties"] is False
        assert sorted(part["required"]) == sorted(part["properties"])
        for member in part["properties"].values():
            _check(member, definitions)
    if kind == "array":
        _check(part["items"], definitions)
    assert part.get("format", "date") in _FORMATS
    assert not any(look in part.get("pattern", "") for look in ("(?=", "(?!", "(?<"))
