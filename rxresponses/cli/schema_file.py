"""A JSON schema in a file, as the format that an answer must have."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError, ResponsesError

_NAME = re.compile("[^a-zA-Z0-9_-]+")
_LONGEST_NAME = 64  # characters
_WITH_SCHEMAS = ("properties", "$defs", "definitions")  # keywords whose value has schemas by name
_WITH_LISTS = ("anyOf", "allOf", "oneOf", "prefixItems")
_DEEPEST = 100  # levels; the service takes ten


class NoJsonError(ResponsesError):
    """An answer is no JSON, though its request asked for it."""


def read_format(path: str) -> Mapping[str, Any]:
    """Return the `text.format` for the schema in a file; raise `ConfigurationError` for a file that has none."""
    return read_schema(path)[0]


def read_schema(path: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the `text.format` for the schema in a file, and that schema; raise `ConfigurationError` without one."""
    try:
        data = json.loads(Path(path).read_bytes())  # `loads` finds out which UTF it is
    except (OSError, ValueError, RecursionError) as error:  # JSON and UTF errors are `ValueError`s
        raise ConfigurationError(f"cannot read the schema in {path}: {error}") from error
    try:
        return format_of(data, Path(path).stem), data["schema"] if _is_envelope(data) else data
    except ConfigurationError as error:
        raise ConfigurationError(f"the schema in {path} cannot be used: {error}") from error


def format_of(data: Any, name: str) -> dict[str, Any]:
    """Return the `text.format` for a JSON schema, given alone or as `{"name", "schema", "strict"}`.

    With a strict format, the default, every answer fits the schema.  The service requires such a schema to close each
    object and to require each property, so both are added: an answer that fits the result fits the schema in the file.
    """
    envelope: Mapping[str, Any] = {}
    if _is_envelope(data):
        envelope, data = data, data["schema"]
    if not isinstance(data, dict):
        raise ConfigurationError("the schema must be a JSON object")
    if "$ref" in data:
        data = _resolved(data)
    if data.get("type") != "object":
        raise ConfigurationError('the type at the top must be "object"; put any other value into a property')
    strict = envelope.get("strict", True)
    if strict not in (True, False):
        raise ConfigurationError("`strict` must be true or false")
    given = envelope.get("name") or data.get("title") or name
    found: dict[str, Any] = {
        "type": "json_schema",
        "name": _NAME.sub("_", str(given))[:_LONGEST_NAME] or "answer",
        "schema": _closed(data, "$") if strict else data,
        "strict": strict,
    }
    if isinstance(envelope.get("description"), str):
        found["description"] = envelope["description"]
    return found


def _is_envelope(data: Any) -> bool:
    return isinstance(data, dict) and isinstance(data.get("schema"), dict) and "properties" not in data


def _resolved(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Replace a reference at the top of a schema, as generators write it: the service requires an object there.

    Any other reference than one to a definition of the schema is left as it is.
    """
    rest = {keyword: value for keyword, value in schema.items() if keyword != "$ref"}
    for keyword in ("$defs", "definitions"):
        definitions = schema.get(keyword)
        name = str(schema["$ref"]).removeprefix(f"#/{keyword}/")
        if isinstance(definitions, dict) and isinstance(definitions.get(name), dict):
            return {**definitions[name], **rest}
    return dict(schema)


def _closed(schema: Any, place: str) -> Any:
    """Return a schema in which all objects are closed, and all their properties required."""
    if not isinstance(schema, dict):
        if isinstance(schema, bool):
            raise ConfigurationError(f"{place} is {json.dumps(schema)}: each value needs a type in a strict schema")
        raise ConfigurationError(f"{place} is no schema: it must be an object")
    if place.count(".") > _DEEPEST:
        raise ConfigurationError(f"the schema has more than {_DEEPEST} levels")
    # A default does not restrict the values, and the service refuses the keyword.
    found = {keyword: value for keyword, value in schema.items() if keyword != "default"}
    for keyword in _WITH_SCHEMAS:
        if keyword in schema:
            if not isinstance(schema[keyword], dict):
                raise ConfigurationError(f"{place}.{keyword} must be an object with schemas by name")
            found[keyword] = {
                name: _closed(value, f"{place}.{keyword}.{name}") for name, value in schema[keyword].items()
            }
    for keyword in _WITH_LISTS:
        if keyword in schema:
            if not isinstance(schema[keyword], list):
                raise ConfigurationError(f"{place}.{keyword} must be a list of schemas")
            found[keyword] = [
                _closed(value, f"{place}.{keyword}[{index}]") for index, value in enumerate(schema[keyword])
            ]
    if "items" in schema:
        found["items"] = _closed(schema["items"], f"{place}.items")
    if schema.get("type") == "object" or "properties" in schema:
        if schema.get("additionalProperties", False) is not False:
            raise ConfigurationError(
                f"{place} allows further properties, which no strict schema does: set `additionalProperties` to false, "
                'or give the file as {"strict": false, "schema": …}'
            )
        found["additionalProperties"] = False
        found["required"] = list(schema.get("properties", {}))
    return found


def json_line(answer: str) -> str:
    """Return an answer as JSON on one line, otherwise as the model wrote it; raise `NoJsonError` for any other text."""
    try:
        json.loads(answer, parse_int=str, parse_float=str, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise NoJsonError(f"the answer is no JSON, though the request has a schema ({error}): {answer}") from error
    # A line break in JSON is white space, because strings escape theirs.
    return answer.strip().replace("\r", " ").replace("\n", " ")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON value")
