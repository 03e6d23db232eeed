"""The items of a conversation as text."""

from __future__ import annotations

from typing import Any

import pytest

from rxresponses.cli.history_lines import history_lines
from rxresponses.wire.models import ResponseFunctionToolCall
from rxresponses.wire.requests import function_result, user_message


@pytest.mark.parametrize(
    ("item", "line"),
    [
        (user_message("Hi\nthere"), "user: Hi\nthere"),
        ({"role": "user", "content": "Hi"}, "user: Hi"),
        (
            {
                "type": "message",
                "role": "assistant",
                "content": [
                    {"type": "output_text", "text": "one"},
                    {"type": "refusal", "refusal": "two"},
                    {"type": "input_image", "image_url": "data:"},
                    {},
                    "three",
                ],
            },
            "assistant: one\ntwo\n(input_image)\n(part)\nthree",
        ),
        (
            ResponseFunctionToolCall(call_id="c", name="weather", arguments='{"city": "Oslo"}'),
            'weather: {"city": "Oslo"}',
        ),
        ({"type": "custom_tool_call", "name": "run", "input": "x = 1"}, "run: x = 1"),
        ({"type": "web_search_call"}, "web_search_call"),
        (function_result("c", "sunny"), "-> sunny"),
        (function_result("c", {"a": 1}), '-> {"a": 1}'),
        ({"type": "shell_call_output", "output": {"a": 1}}, '-> {"a": 1}'),
        ({"type": "compaction", "encrypted_content": "x"}, "(what came before is compacted)"),
    ],
)
def test_lines(item: Any, line: str) -> None:
    assert list(history_lines([item])) == [line]


@pytest.mark.parametrize("kind", ["reasoning", "item_reference", "configuration_update"])
def test_what_says_nothing(kind: str) -> None:
    assert list(history_lines([{"type": kind}])) == []
