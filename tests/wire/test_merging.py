"""Two objects for the same item: what each of them keeps, and which known item is which listed item."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest

from rxresponses.operators import final_response
from rxresponses.wire.base import Model
from rxresponses.wire.codec import decode
from rxresponses.wire.merging import merge, pair
from rxresponses.wire.models import (
    OutputContent,
    Response,
    ResponseCustomToolCall,
    ResponseFunctionToolCall,
    ResponseFunctionWebSearch,
    ResponseOutputMessage,
    ResponseOutputText,
)

from ..support.marbles import run


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


PARTS = [("a", False), ("a", True), ("ab", False), ("ab", True)]


def text_part(text: str, has_logprobs: bool) -> dict[str, Any]:
    logprobs = [{"token": token, "logprob": -0.5, "top_logprobs": []} for token in text]
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs if has_logprobs else []}


@pytest.mark.parametrize("first", [0, 1, 90])
def test_scenario_60_equal_texts_are_paired_so_that_nothing_is_lost_whatever_their_first_index(first: int) -> None:
    for specs in product(PARTS, repeat=3):
        listed = [ResponseOutputText.from_dict(text_part(*spec)) for spec in specs]
        for are_known in product([False, True], repeat=3):
            known = [(first + place, listed[place]) for place in range(3) if are_known[place]]
            pairs = pair(known, listed)
            for number, (_, part) in enumerate(known):
                its = listed[pairs[number]]
                assert part.text == its.text
                assert merge(part, its) is its
            assert sorted(pairs.values()) == list(pairs.values())


@pytest.mark.parametrize("text", ["1", "111"])
@pytest.mark.parametrize("first", [1, 90])
def test_scenario_60_a_part_known_only_from_its_end_is_not_taken_for_an_earlier_part(first: int, text: str) -> None:
    content = [text_part("1", False), text_part(text, True)]
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}
    end = {"id": "resp_1", "status": "completed", "output": [message]}
    where = {"item_id": "msg_1", "output_index": 0, "content_index": first + 1}
    events = [
        {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress"}},
        {"type": "response.content_part.done", "part": content[1], **where},
        {"type": "response.completed", "response": end},
    ]

    [final] = run(final_response(), *[decode(json.dumps(event)) for event in events]).values

    assert final == Response.from_dict(end)


def test_items_that_the_server_did_not_count_are_before_the_first_index() -> None:
    second, third = ResponseOutputMessage(content=[ResponseOutputText(text="b")]), ResponseCustomToolCall(input="ls")
    first = ResponseOutputMessage(content=[ResponseOutputText(text="bc")])
    assert pair([(0, second), (1, third)], [first, second, third]) == {0: 1, 1: 2}
