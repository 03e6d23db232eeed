"""One item whose events and whose entry in the terminal event disagree about its messages, parts or type."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from rxresponses.operators import collect_text, final_response
from rxresponses.wire.events.base import event_from
from rxresponses.wire.models import ResponseOutputRefusal
from tests.effort import examples

from ..support.marbles import run

JSON = dict[str, Any]
HELLO = {"type": "output_text", "text": "Hello"}
WORLD = {"type": "output_text", "text": "World"}
COMPLETED = {"type": "response.completed", "response": {"id": "resp_1", "status": "completed", "output": []}}


def message(*parts: JSON) -> JSON:
    return {"type": "message", "id": "msg_1", "role": "assistant", "content": list(parts)}


def text_done(text: str, **where: Any) -> JSON:
    return {"type": "response.output_text.done", "text": text, **where}


def assembled(*events: JSON, output: list[JSON]) -> list[Any]:
    """Return the output of the final response after these events and a terminal event that lists `output`."""
    completed = {"type": "response.completed", "response": {"id": "resp_1", "status": "completed", "output": output}}
    (response,) = run(final_response(), *[event_from(event) for event in (*events, completed)]).values
    return response.output


def contents(output: list[Any]) -> list[list[str]]:
    """Return the texts and refusals of each message."""
    return [
        [part.refusal if isinstance(part, ResponseOutputRefusal) else part.text for part in item.content]
        for item in output
    ]


def test_whole_texts_without_index_and_id_are_messages_of_their_own_unless_they_repeat_one() -> None:
    output = assembled(text_done("Hello"), text_done("Hello"), text_done("World"), output=[])
    assert contents(output) == [["Hello"], ["World"]]


def test_messages_that_the_server_lists_as_one_are_joined() -> None:
    events = text_done("Hello", output_index=0), text_done("World", output_index=1)
    assert contents(assembled(*events, output=[message(HELLO, WORLD)])) == [["Hello", "World"]]

    joined = {"type": "output_text", "text": "HelloWorld!"}
    assert contents(assembled(*events, output=[message(joined)])) == [["HelloWorld!"]]


def test_a_reasoning_item_stays_beside_the_joined_messages() -> None:
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": []}
    output = assembled(
        {"type": "response.output_item.done", "output_index": 0, "item": reasoning},
        text_done("Hello", output_index=1),
        text_done("World", output_index=2),
        output=[reasoning, message(HELLO, WORLD)],
    )
    assert [item.type for item in output] == ["reasoning", "message"]
    assert contents(output[1:]) == [["Hello", "World"]]


def test_parts_that_the_server_leaves_out_of_the_list_are_kept() -> None:
    output = assembled(
        text_done("Hello", output_index=0, content_index=0),
        text_done("World", output_index=0, content_index=1),
        output=[message(HELLO)],
    )
    assert contents(output) == [["Hello", "World"]]


def test_a_listed_part_and_a_left_out_part_at_the_same_place_are_both_kept() -> None:
    refusal = {"type": "refusal", "refusal": "No."}
    new = {"type": "output_text", "text": "New"}
    output = assembled(
        text_done("Hello", output_index=0, content_index=0),
        text_done("World", output_index=0, content_index=1),
        {"type": "response.output_item.done", "output_index": 0, "item": message(HELLO, refusal, WORLD)},
        output=[message(HELLO, new, WORLD)],
    )
    assert contents(output) == [["Hello", "No.", "New", "World"]]


def test_an_item_that_comes_again_with_another_type_has_nothing_of_the_first_type() -> None:
    shell_call = {"type": "shell_call", "id": "msg_1", "action": {"commands": ["ls"]}}
    output = assembled(
        {"type": "response.output_item.added", "item": shell_call},
        {"type": "response.output_item.done", "item": message(HELLO)},
        output=[],
    )
    assert [item.type for item in output] == ["message"]
    assert contents(output) == [["Hello"]]


def test_a_message_that_comes_again_as_a_call_has_no_content() -> None:
    call = {"type": "function_call", "id": "msg_1", "call_id": "call_1", "name": "f", "arguments": "{}"}
    output = assembled(
        {"type": "response.output_item.added", "item": message(HELLO)},
        {"type": "response.output_item.done", "item": call},
        output=[],
    )
    assert [(item.type, item.arguments) for item in output] == [("function_call", "{}")]


def test_a_patch_whose_diff_came_in_deltas_only_has_its_diff() -> None:
    patch = {"type": "update_file", "path": "a.txt", "diff": ""}
    call = {"type": "apply_patch_call", "id": "ap_1", "call_id": "call_1", "operation": patch}
    output = assembled(
        {"type": "response.output_item.added", "output_index": 0, "item": call},
        *(
            {
                "type": "response.apply_patch_call_operation_diff.delta",
                "output_index": 0,
                "item_id": "ap_1",
                "delta": delta,
            }
            for delta in ("@@\n", "+new")
        ),
        output=[],
    )
    assert [item.operation.diff for item in output] == ["@@\n+new"]


def test_letters_beyond_ascii_in_a_later_delta_of_a_part() -> None:
    deltas = ({"type": "response.output_text.delta", "item_id": "msg_1", "delta": text} for text in ("a", "é", "🎉"))
    (text,) = run(collect_text(), *map(event_from, deltas), event_from(COMPLETED)).values
    assert text == "aé🎉"


@pytest.mark.parametrize("base", [0, 90])
@pytest.mark.parametrize("listed", ["AXB", "AXYB", "XAYB", "AXYZBW", "XYZAB", "ABXY"])
def test_scenario_60_new_parts_stand_where_the_list_has_them(listed: str, base: int) -> None:
    output = assembled(
        *(text_done(text, output_index=0, content_index=base + at) for at, text in enumerate("AB")),
        output=[message(*({"type": "output_text", "text": text} for text in listed))],
    )
    assert contents(output) == [[*listed]]


def item_done(texts: Iterable[str]) -> JSON:
    content = [{"type": "output_text", "text": text} for text in sorted(texts)]
    return {"type": "response.output_item.done", "output_index": 0, "item": message(*content)}


def test_scenario_60_a_new_part_between_two_new_parts() -> None:
    assert contents(assembled(*map(item_done, ("AE", "ACE", "ABCE", "ABBCDE")), output=[])) == [[*"ABBCDE"]]


def test_scenario_60_a_new_part_behind_parts_that_the_list_leaves_out() -> None:
    listed = message({"type": "output_text", "text": "A"}, {"type": "refusal", "refusal": "X"})
    assert contents(assembled(item_done(["A", "C"]), item_done("ABC"), output=[listed])) == [[*"ABXC"]]


@given(
    st.lists(st.sets(st.sampled_from("ABCDEFGH"), min_size=1), min_size=1, max_size=5), st.sets(st.sampled_from("ACEG"))
)
@settings(max_examples=examples(200))
def test_scenario_60_each_list_puts_its_new_parts_between_those_of_the_lists_before(
    lists: list[set[str]], events: set[str]
) -> None:
    # Each list has all parts of the lists before, so that the order of all parts is known.
    growing = [events.union(*lists[: number + 1]) for number in range(len(lists))]
    deltas = [text_done(text, output_index=0, content_index=at) for at, text in enumerate(sorted(events))]
    output = assembled(*deltas, *map(item_done, growing), output=[])
    assert contents(output) == [sorted(growing[-1])]


def test_scenario_60_a_part_that_its_item_told_before_its_own_event_counts_once() -> None:
    whole = {"type": "response.output_item.done", "output_index": 0, "item": message(HELLO, WORLD)}
    part = {"type": "response.content_part.done", "output_index": 0, "content_index": 91, "part": WORLD}
    output = assembled(text_done("Hello", output_index=0, content_index=90), whole, part, output=[])
    assert contents(output) == [["Hello", "World"]]
