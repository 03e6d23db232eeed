"""A wrong value in a field that nobody needs costs that field, at any depth of any event."""

from __future__ import annotations

import copy
import json
import typing
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rxresponses.wire import codec
from rxresponses.wire.base import Model
from rxresponses.wire.events import REGISTRY, ServerEvent
from rxresponses.wire.plans import plan_of
from tests.effort import examples
from tests.support.strategies import models_in, wire

WRONG = ["x", "", 5, 0.5, 1e400, -1e400, float("nan"), 10**400, True, [], [5], {}, {"x": 1}, "today"]


class Place(typing.NamedTuple):
    """A field of a model somewhere in an event: its JSON object, and the model that was read from the object."""

    data: dict[str, Any]
    model: Model
    name: str


def places(model: Model, data: dict[str, Any]) -> Iterator[Place]:
    """Find the fields that are not essential, in an event and the models in it."""
    plan = plan_of(type(model))
    attributes = {wire: attribute for attribute, wire in _names(model).items()}
    for name, value in data.items():
        attribute = attributes.get(name)
        if attribute is None:
            continue
        below = getattr(model, attribute)
        if name not in plan.required and name not in ("type", "stream_id"):
            yield Place(data, model, name)
        yield from _below(below, value)


def _below(value: Any, data: Any) -> Iterator[Place]:
    if isinstance(value, Model) and isinstance(data, dict):
        yield from places(value, data)
    elif isinstance(value, list) and isinstance(data, list) and len(value) == len(data):
        for element, raw in zip(value, data, strict=True):
            yield from _below(element, raw)


def _names(model: Model) -> dict[str, str]:
    renamed = {attribute: wire for wire, attribute in plan_of(type(model)).attributes.items()}
    return {field.name: renamed.get(field.name, field.name) for field in fields(model)}  # type: ignore[arg-type]


def reason_of(event: ServerEvent) -> str | None:
    """Return the reason of an event, also where the event has a field of this name."""
    return typing.cast("str | None", event.__dict__.get("_reason"))


def read(data: dict[str, Any]) -> ServerEvent:
    event = codec.decode(json.dumps(data))
    assert repr(ServerEvent.from_json(json.dumps(data))) == repr(event)  # NaN equals nothing
    return event


@pytest.mark.parametrize("cls", REGISTRY.values(), ids=REGISTRY)
@settings(max_examples=examples(25))
@given(data=st.data(), wrong=st.sampled_from(WRONG))
def test_scenario_62_a_wrong_value_costs_its_field_only(
    cls: type[ServerEvent], data: st.DataObject, wrong: object
) -> None:
    frame = data.draw(wire(cls))
    found = list(places(read(frame), frame))
    assume(found)
    place = data.draw(st.sampled_from(found))
    before = copy.copy(place.data)
    place.data[place.name] = wrong
    event = read(frame)
    assert type(event) is cls
    del place.data[place.name]
    without = read(frame)
    place.data.update(before)
    assert type(without) is cls
    holders = [model for model in models_in(event) if place.name in model.extra]
    if any(repr(model.extra[place.name]) == repr(wrong) for model in holders):  # else the value fits
        assert place.name in str(reason_of(event))
        if not isinstance(wrong, list):  # of which elements may fit
            assert event == without
