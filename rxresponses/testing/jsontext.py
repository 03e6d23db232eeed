"""JSON to text and back.  msgspec does the work; the standard library takes what msgspec refuses."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import msgspec

JSON = dict[str, Any]


def encode(value: object) -> str:
    """Return `value` as compact JSON.  Lone surrogates are written as escapes."""
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"))


def decode(text: str | bytes) -> Any:
    """Return the JSON value in `text`.  Lone surrogates are kept.

    Raises:
        ValueError: if `text` is not JSON, or is nested too deeply.
    """
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        pass  # msgspec also refuses lone surrogates, which real servers and clients do send
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
