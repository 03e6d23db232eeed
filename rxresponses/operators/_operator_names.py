"""The name of an operator for people: `map(str.upper)` for `ops.map(str.upper)`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

_MOST_ARGUMENTS = 3
_OF_INNER_FUNCTIONS = frozenset({"operator", "wrapper", "wrapped", "inner", "subscribe", "<lambda>"})
_LONGEST = 60  # characters


def operator_name(operator: Callable[..., Any]) -> str:
    """Return the name of the function that has made an operator, with those arguments that are short and no secrets.

    Shown are numbers, and the names of functions and classes; a text may be a secret, and is not.
    """
    cells = _cells(operator)
    made_by, arguments = cells.get("fun"), cells.get("args")
    if callable(made_by) and isinstance(arguments, tuple):  # as RxPY keeps them
        shown = [text for text in map(_argument, arguments) if text]
        name = _name(made_by)
        return _short(f"{name}({', '.join(shown[:_MOST_ARGUMENTS])})" if shown else name)
    return _short(_name(operator))


def _cells(operator: Callable[..., Any]) -> dict[str, Any]:
    """Return the variables that a function has from the function around it."""
    code, closure = getattr(operator, "__code__", None), getattr(operator, "__closure__", None)
    if code is None or closure is None:
        return {}
    found = {}
    for name, cell in zip(code.co_freevars, closure, strict=False):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not set yet
            continue
    return found


def _name(function: Callable[..., Any]) -> str:
    if isinstance(function, functools.partial):
        return _name(function.func)
    qualified: str = getattr(function, "__qualname__", None) or type(function).__qualname__
    *around, name = qualified.split(".<locals>.")
    if name in _OF_INNER_FUNCTIONS and around:
        name = around[-1]  # of the function that has made the operator
    return name.strip("_<>") or "operator"


def _argument(value: object) -> str:
    if isinstance(value, (bool, int, float)) and not isinstance(value, type):
        return repr(value)
    if callable(value):
        name = getattr(value, "__qualname__", type(value).__qualname__).rpartition(".<locals>.")[2]
        return "" if name == "NotSet" else "…" if name == "<lambda>" else name
    return ""


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
