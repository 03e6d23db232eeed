"""JSON schemas of Python types, their names, and the text for a model about a value that does not fit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..errors import ConfigurationError
from .docstrings import read_docstring
from .libraries import Misfit, reader_of, shown_type
from .strictness import reference_name, strict_schema, with_definitions

JSON = dict[str, Any]

_MOST_PROBLEMS = 20
_LONGEST_PROBLEM = 500  # characters: the data of the model may be part of it
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def json_schema(type_: Any, *, strict: bool = True) -> JSON:
    """Return the JSON schema of a type.

    Dataclasses, `TypedDict`, `NamedTuple`, enums, `Literal`, unions, lists, `msgspec.Struct`, and `Annotated` with
    `msgspec.Meta` are read by msgspec; models and constraints of pydantic by pydantic.  The descriptions are those of
    the docstrings.

    With `strict` the schema is in the subset that the service guarantees.  Each object is closed and has all its
    properties; `null` stands for a default.  Raises `ConfigurationError` if the type has no schema, or if the subset
    cannot express it: an object with any keys, such as `dict[str, int]`, needs `strict=False`.
    """
    schema = _described(reader_of(type_).schema)
    if not strict:
        return _inlined(schema)
    schema = strict_schema(schema)
    if schema.get("type") != "object":
        raise ConfigurationError(
            f"the strict schema of {shown_type(type_)} is not that of an object, and the service takes no other: make "
            "the type a field of a dataclass"
        )
    return schema


def schema_name(type_: Any) -> str:
    """Return a name for the schema of a type: letters, digits, `_` and `-`, at most 64."""
    words = re.findall(r"[\w.<>]+", shown_type(type_))
    name = "_".join(re.sub(r"[^a-zA-Z0-9_-]", "_", word.rpartition(".")[2]) for word in words).strip("_")
    return name[:64] or "value"


def is_name(text: object) -> bool:
    """Whether a text may be the name of a tool, a schema or a parameter."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def misfit_text(misfit: Misfit, root: str) -> str:
    """Return each problem with its path, as text for the model; `root` is the path of the whole value."""
    texts = [
        f"{_shortened(problem)} - at `{_shortened(root + path)}`" if root + path else _shortened(problem)
        for path, problem in misfit.problems[:_MOST_PROBLEMS]
    ]
    more = len(misfit.problems) - len(texts)
    return "; ".join([*texts, f"and {more} more"] if more else texts)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_PROBLEM else f"{text[: _LONGEST_PROBLEM - 3]}..."


def closed_schema(properties: Mapping[str, JSON], required: list[str], rest: Any, *, strict: bool) -> JSON:
    """Return the schema of an object from the schemas of its properties; `rest` is the schema of all other keys."""
    definitions: dict[str, JSON] = {}
    parts = {name: _hoisted(part, definitions) for name, part in properties.items()}
    schema: JSON = {"type": "object", "properties": parts, "required": required, "additionalProperties": rest}
    if isinstance(rest, dict):
        schema["additionalProperties"] = _hoisted(rest, definitions)
    schema = _described({**schema, "$defs": definitions})
    return strict_schema(schema) if strict else _inlined(schema)


def _hoisted(schema: JSON, definitions: dict[str, JSON]) -> JSON:
    """Return a schema whose definitions have moved to `definitions`, under a new name if the old one is taken."""
    own: Mapping[str, JSON] = schema.get("$defs", {})
    names: dict[str, str] = {}
    for name, definition in own.items():
        taken = definitions.keys() | own.keys() | set(names.values())
        is_free = name not in definitions or definitions[name] == definition
        numbered = (f"{name}_{number}" for number in range(2, len(taken) + 3))
        names[name] = name if is_free else next(free for free in numbered if free not in taken)
    for name, definition in own.items():
        definitions[names[name]] = _renamed(definition, names)
    return {
        name: _renamed(value, names) for name, value in _renamed_reference(schema, names).items() if name != "$defs"
    }


def _renamed(schema: Any, names: Mapping[str, str]) -> Any:
    if isinstance(schema, dict):
        return {name: _renamed(value, names) for name, value in _renamed_reference(schema, names).items()}
    return [_renamed(item, names) for item in schema] if isinstance(schema, list) else schema


def _renamed_reference(schema: JSON, names: Mapping[str, str]) -> JSON:
    reference = schema.get("$ref")
    if not isinstance(reference, str):  # none, or a property of this name
        return schema
    name = reference_name(reference)
    return {**schema, "$ref": f"#/$defs/{names[name]}"} if name in names else schema


def _described(schema: JSON) -> JSON:
    """Return a schema whose properties have the descriptions that the docstrings of their classes give."""
    definitions = {name: _with_docs(definition) for name, definition in schema.get("$defs", {}).items()}
    return {**_with_docs(schema), **({"$defs": definitions} if definitions else {})}


def _with_docs(schema: JSON) -> JSON:
    if not isinstance(schema.get("properties"), dict) or not isinstance(schema.get("description"), str):
        return schema
    doc = read_docstring(schema["description"])
    rest = {name: value for name, value in schema.items() if name != "description"}
    about = {"description": doc.description} if doc.description else {}
    properties = {
        name: {"description": doc.parameters[name], **part} if name in doc.parameters else part
        for name, part in schema["properties"].items()
    }
    return {**about, **rest, "properties": properties}


def _inlined(schema: JSON) -> JSON:
    """Return a schema whose root is no reference, because the service requires an object there."""
    definitions = schema.get("$defs", {})
    root = {name: value for name, value in schema.items() if name != "$defs"}
    if root.keys() == {"$ref"}:
        root = definitions[reference_name(root["$ref"])]
    return with_definitions(root, definitions)
