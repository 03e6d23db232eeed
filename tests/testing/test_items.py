from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxresponses.testing.items import (
    CALL_OUTPUTS,
    count_tokens,
    item_text,
    item_tokens,
    normalize_input,
    pieces,
    required_input,
    unanswered_calls,
    unasked_outputs,
)


@given(st.text(alphabet=st.characters()))
def test_pieces_join_to_the_text(text: str) -> None:
    assert "".join(pieces(text)) == text


def test_pieces_are_words_and_punctuation() -> None:
    assert list(pieces("Hello, big  world!\n")) == ["Hello", ",", " big", "  world", "!", "\n"]
    assert count_tokens("Hello, world") == 3


def test_input_becomes_items() -> None:
    bare = {"role": "user", "content": "hi"}
    typed = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}

    assert normalize_input(None) == []
    assert normalize_input("hi") == [typed]
    assert normalize_input([bare, typed]) == [{"type": "message", **bare}, typed]


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ({"type": "message", "role": "user", "content": "a b"}, "a b"),
        (
            {"type": "message", "content": [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "b"}]},
            "ab",
        ),
        ({"type": "message", "content": [{"type": "input_image", "image_url": "data:"}]}, ""),
        ({"type": "function_call", "name": "f", "arguments": "{}"}, "f {}"),
        ({"type": "function_call_output", "call_id": "c", "output": "done"}, "done"),
        ({"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "x"}]}, "x"),
        ({"type": "custom_tool_call", "input": "SELECT"}, "SELECT"),
        ({"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}, "hm"),
        ({"type": "item_reference", "id": "msg_1"}, ""),
    ],
)
def test_text_of_items(item: dict[str, Any], text: str) -> None:
    assert item_text(item) == text
    assert item_tokens([item, item]) == 2 * count_tokens(text)


def call(kind: str = "function_call", **fields: Any) -> dict[str, Any]:
    return {"type": kind, "id": "fc_1", "call_id": "call_1", "name": "f", **fields}


def test_a_call_is_unanswered_until_its_output() -> None:
    second = call(call_id="call_2")
    output = {"type": "function_call_output", "call_id": "call_1", "output": ""}

    assert unanswered_calls([call(), second]) == [call(), second]
    assert unanswered_calls([call(), second, output]) == [second]
    assert unanswered_calls([call(status="incomplete"), call("tool_search_call", execution="server")]) == []


@pytest.mark.parametrize("kind", sorted(CALL_OUTPUTS))
def test_required_input_answers_its_call(kind: str) -> None:
    stub = required_input(call(kind))

    assert unanswered_calls([call(kind), stub]) == []
    assert unanswered_calls([call(kind)]) == [call(kind)]


def test_required_input_identifies_its_call() -> None:
    assert required_input(call()) == {"type": "function_call_output", "call_id": "call_1", "name": "f"}
    assert required_input(call("custom_tool_call")) == {"type": "custom_tool_call_output", "call_id": "call_1"}
    assert required_input(call("mcp_approval_request")) == {
        "type": "mcp_approval_response",
        "approval_request_id": "fc_1",
    }
    assert required_input(call("tool_search_call"))["execution"] == "client"


def test_outputs_need_a_call_before_them() -> None:
    output = {"type": "function_call_output", "call_id": "call_1", "output": ""}

    assert unasked_outputs([call(), output]) == []
    assert unasked_outputs([output, call()]) == [output]
