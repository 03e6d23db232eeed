"""Reads JSON text, even where Python's parser gives up."""

from __future__ import annotations

import json
import re
from typing import Any

_DEPTH = 100  # levels of nesting: far more than the protocol has, far fewer than Python's parser can read
_MARK = re.compile(r'\\.|["\[\]{}]', re.DOTALL)
_CHANGED = f"values nested deeper than {_DEPTH} levels were left out, and integers of too many digits are texts"


def read_json(text: bytes | str) -> tuple[Any, str | None]:
    """Return the data of JSON text, and the reason why values are not as they came, `None` if all are.

    Python cannot read integers of thousands of digits, and nesting as deep as its stack.  Both are valid JSON, so the
    rest is read; such an integer becomes a text, and what is nested too deeply becomes `None`.  Raises `ValueError` for
    text that is no JSON; text that is left out for its depth is not checked.
    """
    try:
        return json.loads(text), None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except (ValueError, RecursionError):
        if isinstance(text, bytes):
            text = text.decode("utf-8", "surrogatepass")  # as `json.loads` does
        return json.loads(_shallow(text), parse_int=_integer), _CHANGED


def _shallow(text: str) -> str:
    """Replace values that are nested too deeply by `null`."""
    kept: list[str] = []
    start = depth = 0
    quoted = False
    for match in _MARK.finditer(text):
        mark = match[0]
        if mark == '"':
            quoted = not quoted
        elif quoted:
            continue
        elif mark in "[{":
            depth += 1
            if depth == _DEPTH + 1:
                kept += text[start : match.start()], "null"
        elif mark in "]}":
            if depth == _DEPTH + 1:
                start = match.end()
            depth -= 1
    return "".join(kept) + (text[start:] if depth <= _DEPTH else "")


def _integer(digits: str) -> int | str:
    try:
        return int(digits)
    except ValueError:
        return digits
