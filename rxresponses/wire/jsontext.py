"""JSON text to plain data, whatever a peer sends."""

from __future__ import annotations

import json
import re
from typing import Any

_DEPTH = 100  # far more than the protocol has, and far less than what Python's parser gives up at
_MARK = re.compile(r'\\.|["\[\]{}]', re.DOTALL)
_LEFT_OUT = f"values were left out: those nested deeper than {_DEPTH} levels, and integers of too many digits"


def read_json(text: bytes | str) -> tuple[Any, str | None]:
    """Return what JSON text holds; and why not all of it, `None` if it is all.

    Python refuses integers of thousands of digits, and nesting as deep as its stack.  Neither makes the text
    wrong: such values are `None` then, and the rest is there.  Raises `ValueError` for what is no JSON;
    what is left out for its depth is not looked into.
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
    """Put `null` in the place of what is nested too deeply."""
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
