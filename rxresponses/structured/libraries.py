"""Which library reads a type: msgspec, or pydantic where the user has it.

The library that makes the schema of a type also validates its values.  Types of pydantic, and types with pydantic's
constraints, are read by pydantic, and so are types that msgspec refuses, such as a union of two dataclasses.  pydantic
is imported for these types only.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
import re
import typing
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Protocol

import msgspec

from ..errors import ConfigurationError
from .msgspec_schema import msgspec_schema

JSON = dict[str, Any]

_PLACE = re.compile(r" - at (?:`key` in )?`\$?(.*)`$")


class Misfit(Exception):
    """A value does not fit its type; `problems` are pairs of a path, such as `.days[0]`, and the mistake there."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__(problems)
        self.problems = problems


class Reader(Protocol):
    """Reads the values of one type."""

    schema: JSON
    """The schema of the type; properties that may be left out are not in `required`."""

    def read(self, data: Any) -> Any:
        """Return JSON data as a value of the type; raise `Misfit` if they do not fit."""


class _MsgspecReader:
    def __init__(self, type_: Any, parts: list[Any]) -> None:
        literals = [part for part in parts if typing.get_origin(part) is typing.Literal]
        self.schema = msgspec_schema(type_, literals)
        self._type = type_

    def read(self, data: Any) -> Any:
        try:
            return msgspec.convert(data, self._type, str_keys=True)
        except msgspec.ValidationError as error:
            text = str(error)
            place = _PLACE.search(text)
            problem = text[: place.start()] if place else text
            raise Misfit([(place[1] if place else "", problem)]) from error
        except UnicodeEncodeError as error:
            raise Misfit([("", "half of a surrogate pair, which is no character")]) from error


class _PydanticReader:
    def __init__(self, type_: Any) -> None:
        pydantic: Any = importlib.import_module("pydantic")
        self._adapter = type_ if isinstance(type_, pydantic.TypeAdapter) else pydantic.TypeAdapter(type_)
        self.schema: JSON = self._adapter.json_schema()
        self._error: type[Exception] = pydantic.ValidationError
        # The configuration of a model says how strictly it reads.  Other types are read as msgspec reads: no text as a
        # number.
        self._strict = None if any(_is_model(part) for part in _parts(type_)) else True

    def read(self, data: Any) -> Any:
        try:
            value = self._adapter.validate_json(json.dumps(data), strict=self._strict)
            # Of an `Iterable`, pydantic makes an iterator that validates each item only when it is asked for.
            return list(value) if type(value).__name__ == "ValidatorIterator" else value
        except self._error as error:
            details: Any = error
            raise Misfit(
                [(_path(found["loc"]), found["msg"]) for found in details.errors(include_url=False)]
            ) from error


def _path(location: tuple[str | int, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)


def reader_of(type_: Any) -> Reader:
    """Return the reader of a type; raise `ConfigurationError` if no library has a schema for the type."""
    try:
        hash(type_)
    except TypeError:  # metadata of `Annotated` may have no hash
        return _new_reader(type_)
    return _cached_reader(type_)


def _new_reader(type_: Any) -> Reader:
    parts = list(_parts(type_))
    has_msgspec = next((part for part in parts if _is_msgspec(part)), None)
    if any(_is_pydantic(part) for part in parts):
        if has_msgspec is not None:
            raise ConfigurationError(
                f"{shown_type(type_)} mixes types or constraints of pydantic with those of msgspec, such as "
                f"{shown_type(has_msgspec)}, and neither library reads both: use one of them"
            )
        try:
            return _PydanticReader(type_)
        except Exception as error:
            raise _without_schema(type_, error) from error
    try:
        return _MsgspecReader(type_, parts)
    except (TypeError, ValueError, NotImplementedError, NameError, RecursionError) as error:
        reason = error
    if has_msgspec is None and not isinstance(reason, NameError):
        with contextlib.suppress(Exception):  # pydantic is not there, or does not read the type either
            return _PydanticReader(type_)
    raise _without_schema(type_, reason) from reason


_cached_reader = lru_cache(maxsize=1024)(_new_reader)


def _without_schema(type_: Any, reason: Exception) -> ConfigurationError:
    why = str(reason).strip().partition("\n")[0]
    if why.startswith("Type unions"):
        why += (
            "; give the classes tags (`msgspec.Struct` with `tag=True`), or install pydantic, which reads unions of "
            "dataclasses"
        )
    if isinstance(reason, NameError):
        why += "; define a class whose fields name other classes at the level of a module"
    return ConfigurationError(f"{shown_type(type_)} has no JSON schema: {why}")


def resolve_local_names(type_: Any, names: Mapping[str, Any]) -> None:
    """Let the libraries find the names that the fields of classes inside a function use.

    With `from __future__ import annotations` such a field has a text as its type, and the libraries look its names up
    in the module only.  The types take the place of these texts.
    """
    for part in _parts(type_):
        if not isinstance(part, type) or "<locals>" not in part.__qualname__:
            continue
        with contextlib.suppress(Exception):  # a name that is not known here either: the reader will tell
            texts = inspect.get_annotations(part)
            if any(isinstance(text, str) for text in texts.values()):
                hints = typing.get_type_hints(part, localns={**names, part.__name__: part}, include_extras=True)
                part.__annotations__ = {name: hints[name] for name in texts}


def shown_type(type_: Any) -> str:
    """Return a type as it would be written."""
    adapted = getattr(type_, "_type", type_)  # that of a pydantic `TypeAdapter`
    return adapted.__qualname__ if isinstance(adapted, type) and not typing.get_args(adapted) else str(adapted)


def _parts(type_: Any) -> Iterator[Any]:
    """Return the parts of a type, with the metadata of `Annotated` and the fields of classes."""
    waiting, seen = [type_], list[Any]()
    while waiting:
        part = waiting.pop()
        if any(part is known for known in seen):
            continue
        seen.append(part)
        yield part
        if typing.get_origin(part) is typing.Literal:
            continue
        waiting += [*typing.get_args(part), *getattr(part, "__metadata__", ())]
        origin = typing.get_origin(part)
        waiting += [origin] if isinstance(origin, type) else []
        with contextlib.suppress(NameError):  # a name of an alias that is not known yet
            waiting += [getattr(part, name) for name in ("__value__", "__supertype__") if hasattr(part, name)]
        if isinstance(part, type) and getattr(part, "__annotations__", None) and not _is_pydantic(part):
            with contextlib.suppress(Exception):  # names that are not known here: the library will tell
                waiting += typing.get_type_hints(part, include_extras=True).values()


def _is_pydantic(part: Any) -> bool:
    if _is_model(part):
        return True
    module = str(getattr(type(part), "__module__", ""))
    return module.partition(".")[0] in ("pydantic", "annotated_types")


def _is_msgspec(part: Any) -> bool:
    return isinstance(part, msgspec.Meta) or (isinstance(part, type) and issubclass(part, msgspec.Struct))


def _is_model(part: Any) -> bool:
    return isinstance(part, type) and hasattr(part, "__pydantic_validator__")
