"""JSON to text and back.  msgspec does the work; the standard library takes what msgspec refuses."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any, NoReturn

import msgspec

JSON = dict[str, Any]


def encode(value: object) -> str:
    """Return `value` as compact JSON.  Lone surrogates are written as escapes."""
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"))


def decode(text: str | bytes, *, finite: bool = False) -> Any:
    """Return the JSON value in `text`.  Lone surrogates are kept.

    Args:
        text: the text, as a string or in UTF-8.
        finite: whether a number that is too large for a `float` is refused.  Otherwise it becomes infinite.

    Raises:
        ValueError: if `text` is not JSON, or is nested too deeply.
    """
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        pass  # msgspec also refuses lone surrogates, which real servers and clients do send
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite if finite else None)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def is_deeper(value: object, levels: int) -> bool:
    """Return whether `value` has more than `levels` levels of arrays and objects."""
    level = _containers([value])
    for _ in range(levels):
        if level:
            parts = (each.values() if isinstance(each, dict) else each for each in level)
            level = [child for children in parts for child in _containers(children)]
    return bool(level)


def _containers(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if isinstance(value, (dict, list))]


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("a number is out of range")
    return number


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
