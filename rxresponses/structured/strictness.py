"""The strict subset of JSON Schema, which the service guarantees its answers to fit.

Each object is closed and has all its properties: a property that may be left out takes `null` instead.  Keywords that
the subset does not have are left out of the schema, and written into the description for the model.  The value is
validated against the type afterwards, so the omitted keywords still apply.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..errors import ConfigurationError

JSON = dict[str, Any]

_KEPT = {"type", "description", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"} | {
    *("minItems", "maxItems")
}
_FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
_NOTES = {
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minProperties": "at least {} keys",
    "maxProperties": "at most {} keys",
    "contentEncoding": "in {}",
    "contentMediaType": "of the media type {}",
}
_LONGEST_SHOWN = 200  # characters of JSON
_LOOKS_AROUND = ("(?=", "(?!", "(?<=", "(?<!")
_JSON_TYPES: Mapping[type, str] = {str: "string", bool: "boolean", int: "integer", float: "number"} | {
    type(None): "null"
}


def strict_schema(schema: Mapping[str, Any]) -> JSON:
    """Return the schema in the strict subset; raise `ConfigurationError` if the subset cannot express it."""
    strictness = _Strictness(schema)
    definitions = {name: strictness.node(definition, name) for name, definition in schema.get("$defs", {}).items()}
    root = strictness.node({name: value for name, value in schema.items() if name != "$defs"}, "")
    if "$ref" in root:
        root = strictness.node(strictness.target(root), "")
    return with_definitions(root, definitions)


def with_definitions(root: JSON, definitions: Mapping[str, JSON]) -> JSON:
    """Return the schema with those of the definitions that it refers to."""
    used: set[str] = set()
    waiting = _references(root)
    while waiting:
        name = waiting.pop()
        if name in definitions and name not in used:  # a default may hold any text under the key `$ref`
            used.add(name)
            waiting |= _references(definitions[name])
    kept = {name: definition for name, definition in definitions.items() if name in used}
    return {**root, "$defs": kept} if kept else root


def _references(schema: Any) -> set[str]:
    if isinstance(schema, Mapping):
        own = {reference_name(schema["$ref"])} if isinstance(schema.get("$ref"), str) else set()
        return own.union(*map(_references, schema.values()))
    return set[str]().union(*map(_references, schema)) if isinstance(schema, list) else set()


def reference_name(reference: str) -> str:
    """Return the name in `$defs` that a reference means."""
    return reference.removeprefix("#/$defs/")


def accepts_null(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> bool:
    """Whether `null` is valid."""
    if "$ref" in schema:
        return accepts_null(definitions[reference_name(schema["$ref"])], definitions)
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            return any(accepts_null(member, definitions) for member in schema[keyword])
    if "enum" in schema:
        return None in schema["enum"]
    if "const" in schema:
        return schema["const"] is None
    kind = schema.get("type", "null")
    return kind == "null" or (isinstance(kind, list) and "null" in kind)


class _Strictness:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._definitions: Mapping[str, Any] = root.get("$defs", {})
        self._copied: list[str] = []  # the definitions that a copy is being made of

    def target(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._definitions[reference_name(schema["$ref"])]
        return found

    def node(self, schema: Any, path: str) -> JSON:
        """Return a part of the schema in the strict subset; `path` is where it stands."""
        if not isinstance(schema, Mapping):
            raise _inexpressible(path, "takes any value")
        if "$ref" in schema:
            others = {name: value for name, value in schema.items() if name not in ("$ref", "title", "default")}
            return self._reference(schema["$ref"], others, path)
        if "allOf" in schema:
            if len(schema["allOf"]) > 1:
                raise _inexpressible(path, "must fit several schemas at once")
            others = {name: value for name, value in schema.items() if name != "allOf"}
            return self.node({**schema["allOf"][0], **others}, path)
        strict = {name: value for name, value in schema.items() if name in _KEPT}
        notes = _notes(schema)
        if (pattern := schema.get("pattern")) is not None:
            if any(part in pattern for part in _LOOKS_AROUND):
                notes.append(f"matches the pattern {pattern}")
            else:
                strict["pattern"] = pattern
        if (form := schema.get("format")) is not None:
            if form in _FORMATS:
                strict["format"] = form
            else:
                notes.append(f"in the format {form!r}")
        if "const" in schema or "enum" in schema:
            strict |= _enumeration([schema["const"]] if "const" in schema else schema["enum"], path)
        elif members := schema.get("anyOf", schema.get("oneOf")):
            strict["anyOf"] = [self.node(member, path) for member in members]
        elif schema.get("type") == "object":
            strict |= self._object(schema, path)
        elif schema.get("type") == "array":
            strict |= self._array(schema, path, notes)
        elif "type" not in schema:
            raise _inexpressible(path, "takes any value")
        return described(strict, notes)

    def _reference(self, reference: str, others: Mapping[str, Any], path: str) -> JSON:
        """Return a reference.  A reference must stand alone, so keywords beside it go into a copy of its target."""
        if not others:
            return {"$ref": reference}
        if reference in self._copied:  # the target contains this reference
            return {**{name: others[name] for name in _KEPT & others.keys()}, "anyOf": [{"$ref": reference}]}
        self._copied.append(reference)
        try:
            return self.node({**self.target({"$ref": reference}), **others}, path)
        finally:
            self._copied.pop()

    def _object(self, schema: Mapping[str, Any], path: str) -> JSON:
        if "properties" not in schema or schema.get("additionalProperties", False) is not False:
            raise _inexpressible(path, "is an object with any keys")
        required = schema.get("required", ())
        properties = {}
        for name, part in schema["properties"].items():
            strict = self.node(part, f"{path}.{name}" if path else name)
            if name not in required and not accepts_null(strict, self._definitions):
                strict = _or_null(strict, part)
            properties[name] = strict
        return {"properties": properties, "required": list(properties), "additionalProperties": False}

    def _array(self, schema: Mapping[str, Any], path: str, notes: list[str]) -> JSON:
        if "prefixItems" not in schema:
            if schema.get("uniqueItems"):
                notes.append("no item twice")
            return {"items": self.node(schema.get("items", True), f"{path}[]")}
        # The subset has no items of several types in an order: the schema keeps their number, and a note says the
        # order.
        items = [self.node(item, f"{path}[{index}]") for index, item in enumerate(schema["prefixItems"])]
        kinds = [item for index, item in enumerate(items) if item not in items[:index]]
        if len(kinds) == 1:
            return {"items": kinds[0]}
        names = [item.get("description") or item.get("type") or json.dumps(item) for item in items]
        notes.append(f"the items are, in this order: {'; '.join(map(str, names))}")
        return {"items": {"anyOf": kinds}}


def _inexpressible(path: str, what: str) -> ConfigurationError:
    place = f"`{path}`" if path else "the type"
    return ConfigurationError(
        f"{place} {what}, which a strict schema cannot express: use a type with known fields, or, for a "
        "tool, `strict=False`"
    )


def _notes(schema: Mapping[str, Any]) -> list[str]:
    notes = [text.format(schema[keyword]) for keyword, text in _NOTES.items() if keyword in schema]
    examples = [_shown(example) for example in schema.get("examples", ())]
    if examples and all(examples):
        notes.append(f"for example {', '.join(examples)}")
    return notes


def _shown(data: Any) -> str:
    """Return JSON data as text; empty for `None` and for a long text."""
    text = json.dumps(data, ensure_ascii=False)
    return text if data is not None and len(text) <= _LONGEST_SHOWN else ""


def described(schema: JSON, notes: list[str]) -> JSON:
    """Return the schema with notes behind its description."""
    if not notes:
        return schema
    text = "; ".join(notes)
    before = schema.get("description", "")
    return {**schema, "description": f"{before} ({text})" if before else f"{text[0].upper()}{text[1:]}"}


def _enumeration(values: list[Any], path: str) -> JSON:
    """Return the schema of some values, with their type, which the service requires."""
    by_type: dict[str, list[Any]] = {}
    for value in values:
        if type(value) not in _JSON_TYPES:
            raise _inexpressible(path, "has values that are lists or objects")
        by_type.setdefault(_JSON_TYPES[type(value)], []).append(value)
    kinds: list[JSON] = [{"type": kind, "enum": group} for kind, group in by_type.items()]
    if len(kinds) == 1:
        return kinds[0]
    return {"anyOf": kinds}


def _or_null(strict: JSON, part: Mapping[str, Any]) -> JSON:
    """Return the schema of a property that may be left out: `null` stands for its default."""
    default = _shown(part.get("default"))
    note = f"null for the default, {default}" if default else "null for the default"
    about = {"description": strict["description"]} if "description" in strict else {}
    rest = {name: value for name, value in strict.items() if name != "description"}
    members = rest["anyOf"] if rest.keys() == {"anyOf"} else [rest]
    return described({"anyOf": [*members, {"type": "null"}], **about}, [note])
