"""Checks of the arguments of replies and faults: a wrong argument raises in the test, not later on the server."""

from __future__ import annotations

import collections.abc
import dataclasses
import sys
import types
import typing
from functools import cache
from typing import Any


class CheckedArguments:
    """Base class of dataclasses whose constructor checks the arguments against the declared types.

    Raises:
        TypeError: if a field is not of its declared type.
        ValueError: if a field named `after` is negative.
    """

    def __post_init__(self) -> None:
        for name, hint, declared in _fields(typing.cast("Any", type(self))):
            value = getattr(self, name)
            if not _has_type(value, hint):
                raise TypeError(f"{type(self).__name__}: {name} must be of type {declared}, not {value!r}")
            if name == "after" and value != "here" and value < 0:
                raise ValueError(f"{type(self).__name__}: after must be a number of events from 0, not {value}")


@cache
def _fields(cls: Any) -> list[tuple[str, Any, str]]:
    """Return the name, the type and the text of the type of each field.

    The types are evaluated field by field, because `get_type_hints` of Python 3.10 fails at a `KW_ONLY`.
    """
    names = vars(sys.modules[cls.__module__])
    return [(field.name, eval(str(field.type), names), str(field.type)) for field in dataclasses.fields(cls)]


def _has_type(value: object, hint: Any) -> bool:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_has_type(value, member) for member in args)
    if origin is collections.abc.Mapping:
        return isinstance(value, collections.abc.Mapping) and all(
            _has_type(key, args[0]) and _has_type(element, args[1]) for key, element in value.items()
        )
    if origin is collections.abc.Sequence:
        if not isinstance(value, collections.abc.Sequence) or isinstance(value, (str, bytes)):
            return False
        return all(_has_type(element, args[0]) for element in value)
    if origin is collections.abc.Callable:
        return callable(value)
    if hint is Any:
        return True
    if origin is typing.Literal:
        return isinstance(value, str) and value in args
    if hint in (int, float):
        return isinstance(value, (int, hint)) and not isinstance(value, bool)
    return isinstance(value, hint)
