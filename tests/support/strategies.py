"""Hypothesis strategies for the wire: JSON of every event and model, made from the annotations.

`wire(cls)` draws the JSON object of one class, `event_data()` that of any event, `events()` the
decoded event.  Optional fields may be missing, unions draw each member, objects of unknown types
stand where unions allow them, unknown fields occur at every depth, and some strings hold lone
surrogates.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import cache
from typing import Any, Literal

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec import UnsetType

from rxresponses.structured.function import CallableTool
from rxresponses.wire.base import Model, UnknownItem
from rxresponses.wire.codec import decode
from rxresponses.wire.events import REGISTRY, ServerEvent
from rxresponses.wire.plans import plan_of

JSON = dict[str, Any]

texts = st.one_of(
    st.text(max_size=12),
    st.text(alphabet="ab\n\0é🎉\ud83c\udf89", max_size=6),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    texts,
)
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
# "x_…" is the name of no field and of no type of the protocol.
unknown_names = texts.map(lambda text: "x_" + text)
unknown_fields = st.one_of(st.just({}), st.dictionaries(unknown_names, json_values, max_size=2))


def wire(cls: type[Model]) -> SearchStrategy[JSON]:
    """Draw the JSON object of a model."""
    if cls not in _wires:
        _wires[cls] = _make_wire(cls)
    return _wires[cls]


_wires: dict[type[Model], SearchStrategy[JSON]] = {}


def _make_wire(cls: type[Model]) -> SearchStrategy[JSON]:
    if cls is UnknownItem:
        return st.builds(lambda kind, rest: {"type": kind, **rest}, unknown_names, unknown_fields)
    plan = plan_of(cls)
    hints = typing.get_type_hints(cls)
    required, optional = {}, {}
    for field in fields(cls):  # type: ignore[arg-type]
        name = next((wire for wire, attribute in plan.attributes.items() if attribute == field.name), field.name)
        # Deferred, because a union of all output items is costly to make and most events need none.
        values = st.deferred(lambda hint=hints[field.name]: _values(hint))  # type: ignore[misc]
        if name in plan.required or name == "type":
            required[name] = values
        else:
            optional[name] = values | st.none() if name in plan.defaulted else values
    known = st.fixed_dictionaries(required, optional=optional)
    return st.builds(lambda data, rest: {**data, **rest}, known, unknown_fields)


@cache
def _values(hint: Any) -> SearchStrategy[Any]:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Union or origin is types.UnionType:
        return st.one_of([_values(arg) for arg in args if arg is not UnsetType and not _is_callable(arg)])
    if origin is Literal:
        return st.sampled_from(args)
    if origin in (list, Sequence):
        return st.lists(_values(args[0]), max_size=2)
    if origin in (dict, Mapping):
        return st.dictionaries(texts, _values(args[1]), max_size=2)
    if isinstance(hint, type) and issubclass(hint, Model):
        return wire(hint)
    return _LEAVES[hint]


def _is_callable(hint: Any) -> bool:
    """Whether a type takes functions, which come from no JSON."""
    return typing.get_origin(hint) in (Callable, CallableTool)


_LEAVES: Mapping[Any, SearchStrategy[Any]] = {
    Any: json_values,
    types.NoneType: st.none(),
    str: texts,
    bool: st.booleans(),
    int: st.integers(-(2**70), 2**70),
    # Whole numbers only as far as a float holds them exactly.
    float: st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53),
}


def event_data(*classes: type[ServerEvent]) -> SearchStrategy[JSON]:
    """Draw the JSON object of an event of one of these classes, of any when none is named."""
    return st.sampled_from(classes or tuple(REGISTRY.values())).flatmap(wire)


def events(*classes: type[ServerEvent]) -> SearchStrategy[ServerEvent]:
    """Draw an event of one of these classes, of any when none is named, as it comes off the wire."""
    return event_data(*classes).map(lambda data: decode(json.dumps(data).encode()))


def wrong_values(hint: Any) -> SearchStrategy[Any]:
    """Draw JSON that is no value of this type; nothing for a type that takes all."""
    taken = set(_kinds(hint))
    return st.sampled_from([value for kind, value in _SAMPLES.items() if kind not in taken])


_SAMPLES: Mapping[str, Any] = {
    "string": "x",
    "integer": 5,
    "float": 1.5,
    "boolean": True,
    "array": [5],
    "object": {"x": 1},
}


def _kinds(hint: Any) -> Iterator[str]:
    """Name the kinds of JSON value that may be of this type."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Union or origin is types.UnionType:
        for arg in args:
            yield from _kinds(arg)
    elif hint is Any:
        yield from _SAMPLES
    elif origin in (list, Sequence):
        yield "array"
    elif origin is Literal:
        yield "string"
    elif origin in (dict, Mapping) or (origin is None and isinstance(hint, type) and issubclass(hint, Model)):
        yield "object"
    elif hint is float:
        yield from ("integer", "float")
    else:
        yield from {str: ["string"], int: ["integer"], bool: ["boolean"], types.NoneType: [], UnsetType: []}[hint]


def holds(data: Any, original: Any) -> bool:
    """Whether JSON data have at least every field of the original, with its value, at every depth."""
    if isinstance(original, dict) and isinstance(data, dict):
        return all(name in data and holds(data[name], value) for name, value in original.items())
    if isinstance(original, list) and isinstance(data, list):
        return len(data) == len(original) and all(map(holds, data, original))
    # True == 1 in Python, not in JSON.
    return bool(data == original) and isinstance(data, bool) == isinstance(original, bool)


def models_in(value: Any) -> Iterator[Model]:
    """Walk over a model and all models below it."""
    if isinstance(value, Model):
        yield value
        for field in fields(value):  # type: ignore[arg-type]
            yield from models_in(getattr(value, field.name))
    elif isinstance(value, list):
        for item in value:
            yield from models_in(item)
