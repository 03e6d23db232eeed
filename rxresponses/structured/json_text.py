"""The return value of a function as JSON text for the model."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import msgspec

from ..scalars import plain_scalar


def json_text(value: object) -> str:
    """Return a value as JSON; raise `TypeError` or `ValueError` if JSON cannot hold it.

    Dataclasses, `msgspec.Struct`, pydantic models, enums, sets, dates and times, UUIDs and decimals become their JSON,
    and so do NumPy's scalars and objects with `to_dict()`.  Bytes have no JSON, because their encoding is unknown.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)


def _plain(value: Any) -> Any:
    """Return the JSON data of an object that `json` does not know, but msgspec may."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError(f"{type(value).__name__} has no JSON: decode it, or encode it as base64")
    if callable(getattr(value, "to_dict", None)):
        return _unknown(value)  # msgspec would take a dataclass of this package by its fields
    # msgspec leaves out the fields of a dataclass that are at their default, if it has made the object itself.
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, msgspec.Struct):
        return _of_struct(value)
    return msgspec.to_builtins(value, enc_hook=_unknown)


def _of_struct(value: msgspec.Struct) -> Any:
    """Return the fields of a struct, as msgspec would write them; `json.dumps` asks again for the objects inside."""
    config = value.__struct_config__
    names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
    data = {} if config.tag is None else {config.tag_field: config.tag}
    data |= {encoded: field for encoded, name in names if (field := getattr(value, name)) is not msgspec.UNSET}
    return list(data.values()) if config.array_like else data


def _unknown(value: Any) -> Any:
    """Return the JSON data of an object that msgspec does not know."""
    plain = plain_scalar(value)
    if plain is not value:
        return plain
    if not isinstance(value, type):
        if callable(dump := getattr(value, "model_dump", None)):  # a model of pydantic
            return dump(mode="json")
        if callable(to_dict := getattr(value, "to_dict", None)):
            return to_dict()
    raise TypeError(f"{value!r:.80} has no JSON form")
