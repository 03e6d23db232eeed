"""Names and fields are those of the official SDK, so that code moves over unchanged."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, Literal

import pytest

import rxresponses.events
import rxresponses.models
from rxresponses.wire.base import Model, UnknownItem
from rxresponses.wire.events import REGISTRY, ResponseErrorEvent
from rxresponses.wire.models import Response, ResponseError, ResponseUsage

sdk = pytest.importorskip("openai.types.responses")
pydantic = pytest.importorskip("pydantic")

RENAMED = {"ResponseWsError": "ResponseErrorEvent"}


def classes_in(hint: Any, base: type) -> Iterator[type]:
    """Yield the classes below `base` that a type is made of."""
    if typing.get_origin(hint) is None and isinstance(hint, type) and issubclass(hint, base):
        yield hint
    for argument in typing.get_args(hint):
        yield from classes_in(argument, base)


def name_of(cls: type) -> str:
    """The public name of an SDK class: that of its base for the classes that only add `stream_id`."""
    name = cls.__bases__[0].__name__ if cls.__module__.endswith("responses_server_event") else cls.__name__
    return RENAMED.get(cls.__name__, name)


def tag_of(cls: Any) -> object:
    field = cls.model_fields.get("type")
    return typing.get_args(field.annotation)[0] if field and typing.get_origin(field.annotation) is Literal else None


def missing(theirs: Any, ours: type[Model], path: str) -> Iterator[str]:
    """Name the fields that the SDK's class has and ours has not, here and in the models below."""
    names = {field.name for field in fields(ours)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(ours)
    for name, field in theirs.model_fields.items():
        if name not in names:
            yield f"{path}.{name}"
            continue
        nested = [cls for cls in classes_in(hints[name], Model) if cls is not UnknownItem]
        for cls in classes_in(field.annotation, pydantic.BaseModel) if nested else ():
            # Ours are told apart by `type`; a lone class without one stands for all of theirs.
            same = [one for one in nested if getattr(one, "type", None) == tag_of(cls)] or nested[: len(nested) == 1]
            if not same:
                yield f"{path}.{name}: {cls.__name__}"
            for one in same:
                yield from missing(cls, typing.cast("type[Model]", one), f"{path}.{name}[{one.__name__}]")


def union(name: str) -> list[Any]:
    return list(dict.fromkeys(classes_in(getattr(sdk, name), pydantic.BaseModel)))


def check(theirs: Any, module: Any) -> None:
    ours = getattr(module, name_of(theirs), None)
    assert ours is not None, f"there is no {name_of(theirs)} for the SDK's {theirs.__name__}"
    gaps = list(missing(theirs, ours, name_of(theirs)))
    print("\n".join(gaps))
    assert gaps == []
    if tag_of(theirs) is not None:
        assert ours.type == tag_of(theirs)


@pytest.mark.parametrize("theirs", union("ResponsesServerEvent"), ids=name_of)
def test_each_server_event_is_here_with_all_its_fields(theirs: Any) -> None:
    check(theirs, rxresponses.events)
    assert REGISTRY[str(tag_of(theirs))].__name__ == name_of(theirs)


def test_the_sdk_lists_the_62_events_that_these_tests_were_made_for() -> None:
    assert len(union("ResponsesServerEvent")) >= 62


@pytest.mark.parametrize("theirs", union("ResponseStreamEvent"), ids=lambda cls: cls.__name__)
def test_each_event_of_the_http_stream_is_here_too(theirs: Any) -> None:
    check(theirs, rxresponses.events)


@pytest.mark.parametrize("theirs", union("ResponseOutputItem"), ids=lambda cls: cls.__name__)
def test_each_output_item_is_here_with_all_its_fields(theirs: Any) -> None:
    check(theirs, rxresponses.models)
    ours = getattr(rxresponses.models, theirs.__name__)
    assert ours in typing.get_args(rxresponses.models.ResponseOutputItem)


@pytest.mark.parametrize(
    ("name", "ours"), [("Response", Response), ("ResponseUsage", ResponseUsage), ("ResponseError", ResponseError)]
)
def test_the_response_is_here_with_all_its_fields(name: str, ours: type[Model]) -> None:
    gaps = list(missing(getattr(sdk, name), ours, name))
    print("\n".join(gaps))
    assert gaps == []


def test_the_comparison_finds_what_is_missing() -> None:
    gaps = list(missing(sdk.ResponseUsage, ResponseErrorEvent, "ResponseErrorEvent"))
    assert "ResponseErrorEvent.total_tokens" in gaps
    gaps = list(missing(sdk.ResponseTextDeltaEvent, rxresponses.events.ResponseTextDoneEvent, "x"))
    assert gaps == ["x.delta"]
