"""The JSON schema of a type that msgspec reads.

`msgspec.json.schema` does not tell that a text is a date and time, nor the order of the keys of a `TypedDict`, and a
model has to know both.  So the schema is made here, from the type information of `msgspec.inspect`.
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import inspect as mi

JSON = dict[str, Any]

_PLAIN: Mapping[type[mi.Type], JSON] = {
    mi.AnyType: {},
    mi.RawType: {},
    mi.NoneType: {"type": "null"},
    mi.BoolType: {"type": "boolean"},
    mi.IntType: {"type": "integer"},
    mi.FloatType: {"type": "number"},
    mi.StrType: {"type": "string"},
    mi.BytesType: {"type": "string", "contentEncoding": "base64"},
    mi.ByteArrayType: {"type": "string", "contentEncoding": "base64"},
    mi.MemoryViewType: {"type": "string", "contentEncoding": "base64"},
    mi.DateTimeType: {"type": "string", "format": "date-time"},
    mi.DateType: {"type": "string", "format": "date"},
    mi.TimeType: {"type": "string", "format": "time"},
    mi.TimeDeltaType: {"type": "string", "format": "duration"},
    mi.UUIDType: {"type": "string", "format": "uuid"},
    mi.DecimalType: {"type": "string", "format": "decimal"},
}
_NUMBERS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"} | {
    "multiple_of": "multipleOf"
}
_TEXTS = {"min_length": "minLength", "max_length": "maxLength", "pattern": "pattern"}
_ARRAYS = {"min_length": "minItems", "max_length": "maxItems"}
_OBJECTS = {"min_length": "minProperties", "max_length": "maxProperties"}


def msgspec_schema(type_: Any, literals: Iterable[Any]) -> JSON:
    """Return the schema, with the classes of the type in `$defs`; raise `TypeError` if msgspec cannot read the type.

    `literals` are the `Literal`s in the type: msgspec sorts their values, but a model may learn from their order.
    """
    generator = _Generator([typing.get_args(literal) for literal in literals])
    schema = generator.schema(mi.type_info(type_))
    return {**schema, "$defs": generator.definitions} if generator.definitions else schema


class _Generator:
    def __init__(self, literals: Iterable[tuple[Any, ...]]) -> None:
        self._literals = {_identity(values): values for values in literals}
        self.definitions: dict[str, JSON] = {}
        self._names: dict[Any, str] = {}

    def schema(self, info: mi.Type) -> JSON:
        if isinstance(info, mi.Metadata):
            return {**self.schema(info.type), **(info.extra_json_schema or {})}
        if type(info) in _PLAIN:
            names = {**_NUMBERS, **_TEXTS} if type(info) is not mi.BytesType else {}
            return {**_PLAIN[type(info)], **_constraints(info, names)}
        if isinstance(info, (mi.StructType, mi.DataclassType, mi.TypedDictType, mi.NamedTupleType, mi.EnumType)):
            return {"$ref": f"#/$defs/{self._definition(info)}"}
        if isinstance(info, mi.LiteralType):
            return {"enum": list(self._literals.get(_identity(info.values), info.values))}
        if isinstance(info, mi.UnionType):
            return {"anyOf": [self.schema(member) for member in info.types]}
        if isinstance(info, mi.CollectionType):
            unique = {"uniqueItems": True} if isinstance(info, (mi.SetType, mi.FrozenSetType)) else {}
            return {"type": "array", "items": self.schema(info.item_type), **_constraints(info, _ARRAYS), **unique}
        if isinstance(info, mi.TupleType):
            return _tuple([self.schema(item) for item in info.item_types], len(info.item_types))
        if isinstance(info, mi.DictType):
            values = self.schema(info.value_type)
            return {"type": "object", "additionalProperties": values or True, **_constraints(info, _OBJECTS)}
        raise TypeError(
            f"{getattr(info, 'cls', info)!r} is not known to msgspec; use a dataclass, a TypedDict, a msgspec.Struct "
            "or a model of pydantic"
        )

    def _definition(self, info: Any) -> str:
        if info.cls not in self._names:
            name = self._names[info.cls] = self._new_name(info.cls)
            self.definitions[name] = {}  # keeps the name while the fields, which may refer to it, are made
            self.definitions[name] = self._class(info)
        return self._names[info.cls]

    def _new_name(self, cls: Any) -> str:
        origin = getattr(cls, "__origin__", cls)
        parts = [origin.__name__, *(getattr(argument, "__name__", str(argument)) for argument in _arguments(cls))]
        base = re.sub(r"[^a-zA-Z0-9_-]+", "_", "_".join(parts))
        taken = set(self._names.values())
        return next(
            name
            for number in range(len(taken) + 1)
            if (name := f"{base}_{number + 1}" if number else base) not in taken
        )

    def _class(self, info: Any) -> JSON:
        doc = _own_doc(info.cls)
        about = {"description": doc} if doc else {}
        if isinstance(info, mi.EnumType):
            return {**about, "enum": [member.value for member in info.cls]}
        tag = {}
        if isinstance(info, mi.StructType) and info.tag_field is not None:
            tag = {info.tag_field: {"enum": [info.tag]}}
        fields = {**tag, **{field.encode_name: self._field(field) for field in _in_order(info)}}
        required = [*tag, *(field.encode_name for field in _in_order(info) if field.required)]
        if isinstance(info, mi.NamedTupleType) or getattr(info, "array_like", False):
            items = [{"description": name, **field} for name, field in fields.items()]
            return {**about, **_tuple(items, len(required))}
        closed = {"additionalProperties": False} if getattr(info, "forbid_unknown_fields", False) else {}
        return {**about, "type": "object", "properties": fields, "required": required, **closed}

    def _field(self, field: mi.Field) -> JSON:
        schema = self.schema(field.type)
        is_empty = field.default_factory in (list, set, dict)  # another function may return another value each time
        return {**schema, **json_default(field.default_factory() if is_empty else field.default)}


def json_default(default: Any) -> JSON:
    """Return the keyword `default` of a schema; nothing if there is no default, or none with a JSON form."""
    try:
        data = msgspec.to_builtins(default, str_keys=True)
        json.dumps(data, allow_nan=False)
    except (TypeError, ValueError):
        return {}
    return {"default": data}


def _identity(values: tuple[Any, ...]) -> frozenset[tuple[type, Any]]:
    return frozenset((type(value), value) for value in values)


def _constraints(info: Any, names: Mapping[str, str]) -> JSON:
    given = {keyword: getattr(info, name, None) for name, keyword in names.items()}
    return {keyword: value for keyword, value in given.items() if value is not None}


def _tuple(items: list[JSON], required: int) -> JSON:
    return {"type": "array", "prefixItems": items, "items": False, "minItems": required, "maxItems": len(items)}


def _arguments(cls: Any) -> tuple[Any, ...]:
    return tuple(getattr(cls, "__args__", ()))


def _in_order(info: Any) -> list[mi.Field]:
    """Return the fields in the order of the class: a model writes the keys of an object in the schema's order."""
    cls = getattr(info.cls, "__origin__", info.cls)
    fields = {field.name: field for field in info.fields}
    if isinstance(info, mi.TypedDictType):
        return [fields[name] for name in cls.__annotations__]
    if dataclasses.is_dataclass(cls):
        return [fields[field.name] for field in dataclasses.fields(cls) if field.init]
    return list(info.fields)


def _own_doc(cls: Any) -> str:
    """Return the docstring that the user wrote for a class, not one that `dataclass` or `Enum` made."""
    cls = getattr(cls, "__origin__", cls)
    doc = (cls.__dict__.get("__doc__") or "").strip()
    return "" if doc == "An enumeration." or doc.startswith(f"{cls.__name__}(") else doc
