"""What replies and faults are made of: a wrong argument is told where it is given, not by a server that hangs."""

from __future__ import annotations

import collections.abc
import dataclasses
import sys
import types
import typing
from functools import cache
from typing import Any


class Checked:
    """Base of dataclasses whose fields have the types that they declare.

    Raises:
        TypeError: for a field of another type.
        ValueError: for a negative `after`.
    """

    def __post_init__(self) -> None:
        for name, hint, declared in _fields(typing.cast("Any", type(self))):
            value = getattr(self, name)
            if not _fits(value, hint):
                raise TypeError(f"{type(self).__name__}: {name} must be of type {declared}, not {value!r}")
            if name == "after" and value < 0:
                raise ValueError(f"{type(self).__name__}: after must be a number of events from 0, not {value}")


@cache
def _fields(cls: Any) -> list[tuple[str, Any, str]]:
    # One by one: in Python 3.10, `get_type_hints` does not know the `KW_ONLY` between them.
    names = vars(sys.modules[cls.__module__])
    return [(field.name, eval(str(field.type), names), str(field.type)) for field in dataclasses.fields(cls)]


def _fits(value: object, hint: Any) -> bool:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in args)
    if origin is collections.abc.Mapping:
        return isinstance(value, collections.abc.Mapping) and all(
            _fits(key, args[0]) and _fits(one, args[1]) for key, one in value.items()
        )
    if origin is collections.abc.Sequence:
        listed = isinstance(value, collections.abc.Sequence) and not isinstance(value, (str, bytes))
        return listed and all(_fits(one, args[0]) for one in typing.cast("list[Any]", value))
    if origin is collections.abc.Callable:
        return callable(value)
    if hint is Any or origin is typing.Literal:  # whose values the class itself tells
        return True
    if hint in (int, float):
        return isinstance(value, (int, hint)) and not isinstance(value, bool)
    return isinstance(value, hint)
