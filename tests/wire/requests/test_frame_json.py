"""A request is written from its own values, without copies; the JSON is that of dataclasses-json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field
from types import MappingProxyType
from typing import Any
from unittest.mock import Mock

import msgspec
import pytest
from dataclasses_json import config
from hypothesis import given, settings
from hypothesis import strategies as st

from rxresponses import scalars
from rxresponses.errors import InvalidRequestError
from rxresponses.models import ResponseFunctionToolCall, ResponseOutputMessage, ResponseReasoningItem
from rxresponses.wire import codec
from rxresponses.wire.base import Model, model
from rxresponses.wire.requests import EasyInputMessage, ResponseCreate, function_result
from rxresponses.wire.requests.create import create_from, on_lane
from rxresponses.wire.requests.sent import Sent, _without_absent, frame_json, plain_json
from tests.effort import examples
from tests.support.strategies import json_values, wire


@model
class Tagged(Sent):
    """A class with a field that dataclasses-json writes in its own way."""

    tag: int = field(metadata=config(encoder=str))


@model
class Own(Model):
    """A class that writes itself."""

    value: int | None = None

    def to_dict(self, encode_json: bool = False) -> dict[str, Any]:
        """Return the JSON with a field more."""
        return {**super().to_dict(encode_json), "more": [self.value]}


RECEIVED = (ResponseOutputMessage, ResponseFunctionToolCall, ResponseReasoningItem)
objects = st.one_of(
    st.sampled_from(RECEIVED).flatmap(wire).map(lambda data: _received(data)),
    st.builds(lambda text: EasyInputMessage(role="user", content=text), st.text(max_size=3)),
    st.just(function_result("call_1", {"a": None})),
    st.just(Tagged(tag=5)),
)
values = st.recursive(
    json_values | objects,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=3), inner, max_size=3),
        st.dictionaries(st.text(max_size=3), inner, max_size=3).map(MappingProxyType),
    ),
    max_leaves=6,
)


def _received(data: dict[str, Any]) -> Model:
    return next(cls for cls in RECEIVED if cls.type == data["type"]).from_dict(data)


def copied(value: Any) -> Any:
    """Return the JSON by way of dataclasses-json."""
    if isinstance(value, Model):
        return _without_absent(value, value.to_dict())
    if isinstance(value, Mapping):
        return {name: copied(item) for name, item in value.items()}
    return [copied(item) for item in value] if isinstance(value, (list, tuple)) else value


def has_models(value: Any) -> bool:
    if isinstance(value, Mapping):
        return isinstance(value, MappingProxyType) or any(map(has_models, value.values()))
    return isinstance(value, Model) or (isinstance(value, (list, tuple)) and any(map(has_models, value)))


@settings(max_examples=examples(500))
@given(value=values)
def test_the_json_is_that_of_copies(value: Any) -> None:
    written = frame_json(value)
    assert json.dumps(written) == json.dumps(plain_json(value)) == json.dumps(copied(value))
    assert (written is value) is not has_models(value)


@settings(max_examples=examples(100))
@given(item=objects, extra=st.dictionaries(st.text(max_size=3).map("x_".__add__), json_values, max_size=2))
def test_a_request_is_that_of_to_dict(item: Any, extra: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"stream_id": None, "store": False, "background": False, "metadata": None}
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": []}
    request = ResponseCreate(model="m", input=[reasoning, {"role": "user"}], extra_body=extra, **fields)
    object.__setattr__(request, "input", [reasoning, item])  # any item, also one that is refused by the checks
    assert json.dumps(frame_json(request)) == json.dumps(request.to_dict())
    assert request.input == [reasoning, item]
    assert "background" not in frame_json(request)


def test_what_a_class_writes_itself_is_sent() -> None:
    assert frame_json([Own()]) == plain_json([Own()]) == [{"more": [None]}]
    assert frame_json(Own(value=1)) == plain_json(Own(value=1)) == {"value": 1, "more": [1]}
    assert frame_json(Tagged(tag=5)) == plain_json(Tagged(tag=5)) == {"tag": "5"}


LARGE = [
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": f"null {n}"}]} for n in range(9)
]


def test_copies_share_no_list_with_what_they_are_made_of() -> None:
    item = {"type": "x", "content": [{"a": []}]}
    copy = plain_json(EasyInputMessage(role="user", content=[item]))
    assert copy["content"] == [item]
    assert copy["content"][0] is not item
    assert copy["content"][0]["content"][0]["a"] is not item["content"][0]["a"]  # type: ignore[index]


class Scalar:
    """A number of an array library."""

    shape = ()

    def item(self) -> float:
        return 1.5


def test_numbers_of_other_libraries_in_an_item_are_numbers() -> None:
    item = {"type": "x", "score": Scalar()}
    assert frame_json([item]) == [{"type": "x", "score": 1.5}]
    assert isinstance(item["score"], Scalar)


def test_plain_items_are_written_without_a_copy() -> None:
    request = ResponseCreate(model="m", input=LARGE, temperature=None)
    assert frame_json(request)["input"] is LARGE


@pytest.mark.parametrize("extra", [{}, {"x": None}, {"x": "null"}, {"x": 1.5}], ids=str)
def test_a_request_is_encoded_once(extra: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    encode = Mock(wraps=msgspec.json.encode)
    request = ResponseCreate(model="m", input=LARGE, extra_body=extra)
    monkeypatch.setattr("msgspec.json.encode", encode)
    monkeypatch.setattr("json.dumps", None)
    frame = codec.encode(frame_json(create_from(on_lane(request, "a"))))
    assert encode.call_count == 1
    assert json.loads(frame)["input"] == LARGE


def test_a_request_is_checked_without_being_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("json.dumps", None)
    ResponseCreate(model="m", input=LARGE, metadata={"a": "b"}, temperature=0.5)
    ResponseCreate(model="m", input="a long text", extra_body={"x": (1, None, True, -2.5)})


def test_a_list_that_holds_itself_is_refused_with_the_reason() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidRequestError, match="Circular reference"):
        ResponseCreate(model="m", input=[{"type": "message", "role": "user", "content": endless}])


def test_data_without_infinite_numbers_are_not_copied() -> None:
    data = {"a": [1, {"b": None, "c": 2.5}], "d": (True, "x")}
    assert scalars.with_finite_numbers(data) is data
    assert scalars.with_finite_numbers([data, float("nan")]) == [data, "NaN"]


def test_a_request_for_a_lane_is_not_checked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    request = ResponseCreate(model="m", input=LARGE)
    monkeypatch.setattr(ResponseCreate, "__post_init__", None)
    on_it = create_from(request, "a")
    assert (on_it.stream_id, on_it.input) == ("a", LARGE)
