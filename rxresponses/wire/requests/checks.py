"""Checks of what users build: the type of each field, and that JSON can hold its value.

The annotations of a class say what its fields take; `rules_of` reads them once per class.  Every mistake is an
`InvalidRequestError` that names the field, with the index where the mistake is in a list: `tools[1]`.
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from ...errors import InvalidRequestError
from ...scalars import is_in_bounds, plain_scalar
from ..base import Model
from ..plans import is_model, members_of, plan_of

_STREAM_ID = re.compile(r"[A-Za-z0-9_.-]{1,256}")
_ELEMENTS = {"input": "items", "tools": "tools", "content": "parts", "output": "parts"}


@dataclass(frozen=True)
class Rule:
    """The values that one field takes."""

    optional: bool
    """Whether the field may be left out: then it is `UNSET`."""
    plain: Any
    """The type of plain values, for msgspec; `None` if the field takes only objects and lists of objects."""
    classes: tuple[type[Model], ...]
    """The model classes whose instances the field takes."""
    always_right: frozenset[type]
    """The types of which each value is right, and JSON can hold it: such a value needs no check."""
    elements: tuple[type[Model], ...]
    """The model classes that a list in this field may hold, besides mappings; empty if it takes no list of objects."""


@cache
def rules_of(cls: type[Any]) -> Mapping[str, Rule]:
    """Return the rule of each field of a class.  The annotations are read on first use, so that importing is fast."""
    hints = typing.get_type_hints(cls)
    return {field.name: _rule(hints[field.name]) for field in dataclasses.fields(cls)}


def _rule(hint: Any) -> Rule:
    plain: list[Any] = []
    classes: list[type[Model]] = []
    elements: tuple[type[Model], ...] = ()
    members = members_of(hint)
    for kind in members:
        if is_model(kind):
            classes.append(kind)
        elif typing.get_origin(kind) is Sequence and (models := _models_in(typing.get_args(kind)[0])):
            elements = models
        elif kind is not UnsetType:
            plain.append(kind)
    return Rule(
        optional=UnsetType in members or Any in members,
        plain=typing.Union[tuple(plain)] if plain else None,  # noqa: UP007
        classes=tuple(classes),
        always_right=frozenset(kind for kind in plain if kind in _ALWAYS_JSON),
        elements=elements,
    )


def _models_in(hint: Any) -> tuple[type[Model], ...]:
    return tuple(kind for kind in members_of(hint) if is_model(kind))


def check(name: str, value: object, rule: Rule) -> None:
    """Raise `InvalidRequestError` unless a field takes this value."""
    if (value is UNSET and rule.optional) or type(value) in rule.always_right:
        return
    if isinstance(value, Model):
        _check_class(name, value, rule.classes)
    elif rule.elements and isinstance(value, (list, tuple)):
        _check_elements(name, value, rule)
        return
    else:
        _check_plain(name, value, rule)
    _check_json(name, value)


def _check_class(name: str, value: Model, classes: tuple[type[Model], ...]) -> None:
    if not isinstance(value, classes):
        raise InvalidRequestError(f"`{name}` takes no {type(value).__name__}", field=name)


def _check_elements(name: str, values: Sequence[object], rule: Rule) -> None:
    for index, item in enumerate(values):
        path = f"{name}[{index}]"
        if isinstance(item, Model):
            _check_class(path, item, rule.elements)
        elif not isinstance(item, Mapping):
            raise InvalidRequestError(f"`{path}` must be an object, not {type(item).__name__}", field=path)
        _check_json(path, item)


def _check_plain(name: str, value: object, rule: Rule) -> None:
    try:
        if rule.plain is None:
            raise msgspec.ValidationError("no plain value is right")
        msgspec.convert(value, rule.plain)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:  # the latter from a lone surrogate in its message
        problem = f": {error}"
        if rule.elements:
            text = "a string or " if str in members_of(rule.plain) else ""
            problem = f" must be {text}a list of {_ELEMENTS.get(name, 'objects')}, not {type(value).__name__}"
        raise InvalidRequestError(f"`{name}`{problem}", field=name) from error


def _check_json(name: str, value: object) -> None:
    """Refuse what JSON cannot hold: msgspec would send NaN as `null`, and bytes and dates as some text."""
    with suppress(RecursionError):  # `json` says more of a list that holds itself
        if _is_json(value):
            return
    try:
        json.dumps(value, allow_nan=False, default=_plain)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(f"`{name}`: {error}", field=name) from error
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"`{name}` cannot be written as JSON: {error}", field=name) from error


def _is_json(value: Any) -> bool:
    """Whether a value is of plain types only, which is faster to see than to write it: input may have megabytes."""
    kind = type(value)
    if kind is dict:
        for name, item in value.items():
            if type(name) is not str or (type(item) not in _ALWAYS_JSON and not _is_json(item)):
                return False
        return True
    if kind is list or kind is tuple:
        return all(type(item) in _ALWAYS_JSON or _is_json(item) for item in value)
    return kind in _ALWAYS_JSON or (kind in (int, float) and is_in_bounds(value))


_ALWAYS_JSON = frozenset({str, bool, type(None)})


def _plain(value: object) -> object:
    """Return an object without its class, for `json.dumps`, which asks again for the objects inside."""
    if isinstance(value, Model):
        return _checked_fields(value)
    if isinstance(value, Mapping):
        return dict(value)
    plain = plain_scalar(value)
    if plain is not value:
        return plain
    raise TypeError(f"{type(value).__name__} is no JSON value")


def _checked_fields(value: Model) -> dict[str, Any]:
    """Return the fields of an object that are sent.

    An output item or another received object is not checked when a user makes it, so its plain fields are checked here.
    """
    plan = plan_of(type(value))
    fields = {name: getattr(value, name) for name in plan.fields}
    given = {name: field for name, field in fields.items() if field is not UNSET and field is not None}
    leaves = {wire: given[name] for wire, name in plan.leaves.items() if name in given}
    try:
        msgspec.convert(leaves, plan.checker)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise msgspec.ValidationError(f"{type(value).__name__}: {error}") from error
    return {**given, **value.extra}


def check_stream_id(stream_id: object) -> None:
    """Raise `InvalidRequestError` unless this is a valid name of a lane."""
    if not isinstance(stream_id, str) or _STREAM_ID.fullmatch(stream_id) is None:
        shown = repr(stream_id) if len(repr(stream_id)) <= 80 else f"{repr(stream_id)[:77]}..."
        raise InvalidRequestError(
            f"{shown} is no lane name: a lane name has 1 to 256 letters, digits, '_', '-' or '.'; the default lane has "
            "no stream_id at all",
            field="stream_id",
        )
