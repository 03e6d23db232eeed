"""Which texts of an answer are shown while they grow: those that mean something before they are whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .strictness import reference_name

_FIXED = frozenset({"const", "contentEncoding", "enum", "format", "pattern"})
"""Keywords of texts that mean something only as a whole: a member of an enum, a date, an id."""

_UNIONS = ("anyOf", "oneOf", "allOf")


class Growing:
    """The rule for a part of an answer, from its schema.  The rules for the parts inside are made on demand."""

    __slots__ = ("_definitions", "_first", "_names", "_parts", "_schemas", "may_grow")

    def __init__(self, schemas: list[Any], definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions
        self._schemas = [one for schema in schemas for one in self._alternatives(schema, frozenset())]
        self._names = {name for schema in self._schemas for name in schema.get("properties", ())}
        self._first = max((len(schema.get("prefixItems", ())) for schema in self._schemas), default=0)
        self._parts: dict[str | int | None, Growing] = {}
        texts = [schema for schema in self._schemas if "string" in schema.get("type", "string")]
        self.may_grow = not texts or any(_FIXED.isdisjoint(schema) for schema in texts)
        """Whether to show the part while it grows, if it is a text."""

    def part(self, key: str | int) -> Growing:
        """Return a member of an object, by its name, or an element of a list, by its index."""
        # Other names and further elements share one entry, so that the memory does not grow with the answer.
        known = min(key, self._first) if isinstance(key, int) else key if key in self._names else None
        part = self._parts.get(known)
        if part is None:
            found = (_part(schema, known) for schema in self._schemas)
            schemas = [schema for schema in found if isinstance(schema, Mapping)]
            part = self._parts[known] = Growing(schemas, self._definitions)
        return part

    def _alternatives(self, schema: Any, seen: frozenset[str]) -> Iterator[Mapping[str, Any]]:
        if "$ref" in schema:
            name = reference_name(schema["$ref"])
            if name not in seen:
                yield from self._alternatives(self._definitions[name], seen | {name})
            return
        members = [member for keyword in _UNIONS for member in schema.get(keyword, ())]
        for member in members:
            yield from self._alternatives(member, seen)
        if not members:
            yield schema


def _part(schema: Mapping[str, Any], key: str | int | None) -> Any:
    if isinstance(key, int):
        first = schema.get("prefixItems", ())
        return first[key] if key < len(first) else schema.get("items")
    return schema.get("properties", {}).get(key, schema.get("additionalProperties"))
