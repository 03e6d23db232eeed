"""Reads JSON text, even where Python's parser gives up."""

from __future__ import annotations

import json
import re
from typing import Any

_DEPTH = 100  # levels of nesting: far more than the protocol has, far fewer than Python's parser can read
_MARK = re.compile(r'\\.|["\[\]{}]', re.DOTALL)
_LEFT_OUT = f"values were left out: those nested deeper than {_DEPTH} levels, and integers of too many digits"


def read_json(text: bytes | str) -> tuple[Any, str | None]:
    """Return the data of JSON text, and the reason why values are missing in it, `None` if none are.

    Python cannot read integers of thousands of digits, and nesting as deep as its stack.  Both are valid JSON, so such
    values become `None`, and the rest is read.  Raises `ValueError` for text that is no JSON; text that is left out for
    its depth is not checked.
    """
    try:
        return json.loads(text), None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except (ValueError, RecursionError):
        if isinstance(text, bytes):
            text = text.decode("utf-8", "surrogatepass")  # as `json.loads` does
        return json.loads(_shallow(text), parse_int=_integer), _LEFT_OUT


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


def _integer(digits: str) -> int | None:
    try:
        return int(digits)
    except ValueError:
        return None
