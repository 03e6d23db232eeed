"""Two objects for the same item: what each of them keeps, and which known item is which listed item."""

from __future__ import annotations

import pytest

from rxresponses.wire.base import Model
from rxresponses.wire.merging import merge, pair
from rxresponses.wire.models import (
    OutputContent,
    ResponseCustomToolCall,
    ResponseFunctionToolCall,
    ResponseFunctionWebSearch,
    ResponseOutputMessage,
    ResponseOutputText,
)


@pytest.mark.parametrize("old", [None, ResponseFunctionToolCall(id="item_1", call_id="call_1")])
def test_nothing_is_merged_from_an_object_of_another_class(old: Model | None) -> None:
    new = ResponseOutputMessage(id="item_1")
    assert merge(old, new) is new


def test_unknown_fields_of_both_objects_are_kept_and_the_newer_value_wins() -> None:
    old = ResponseOutputMessage.from_dict({"type": "message", "only_old": 1, "both": "old"})
    new = ResponseOutputMessage.from_dict({"type": "message", "both": "new", "only_new": 2})
    assert merge(old, new).extra == {"only_old": 1, "both": "new", "only_new": 2}


def test_the_longer_list_is_kept() -> None:
    parts: list[OutputContent] = [ResponseOutputText(text="Hello"), ResponseOutputText(text="World")]
    old, new = ResponseOutputMessage(id="msg_1", content=parts), ResponseOutputMessage(id="msg_2", content=parts[:1])
    assert merge(old, new) == ResponseOutputMessage(id="msg_2", content=parts)


def test_a_finished_item_does_not_run_again() -> None:
    old, new = ResponseFunctionWebSearch(status="completed"), ResponseFunctionWebSearch(status="searching")
    assert merge(old, new).status == "completed"


def test_calls_without_ids_in_another_order_are_paired_by_call_id() -> None:
    first, second = ResponseFunctionToolCall(call_id="call_1"), ResponseFunctionToolCall(call_id="call_2")
    assert pair([(0, first), (1, second)], [second, first]) == {0: 1, 1: 0}


def test_custom_calls_without_ids_in_another_order_are_paired_by_their_input() -> None:
    first, second = ResponseCustomToolCall(input="ls"), ResponseCustomToolCall(input="pwd")
    assert pair([(0, first), (1, second)], [second, first]) == {0: 1, 1: 0}
