"""Which requests a `When` is for, and what a request brings."""

from __future__ import annotations

import re
from typing import Any

import pytest

from rxresponses.testing.request import Request
from rxresponses.testing.when import When, is_about_messages, is_found, matches

from .peer import user

CALL = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "heavy rain"}


def request(*items: dict[str, Any], history: tuple[dict[str, Any], ...] = (), **body: Any) -> Request:
    return Request(body=body, input=items, history=history)


ASKED = request(user("Weather in Paris?"), model="gpt-5.2", instructions="Be brief.")
ANSWERED = request(OUTPUT, history=(user("Weather in Paris?"), CALL), model="gpt-5.2")


@pytest.mark.parametrize(
    ("when", "asked", "answered"),
    [
        (When(), True, True),
        (When(message="Paris"), True, True),
        (When(message="^paris$"), False, False),
        (When(model="^gpt-5"), True, True),
        (When(model="mini"), False, False),
        (When(instructions="brief"), True, False),
        (When(message="Paris", model="mini"), False, False),
        (When(tool="weather"), False, True),
        (When(tool="news"), False, False),
        (When(output="rain"), False, True),
        (When(output="sun"), False, False),
        (When(tool="weather", output="rain"), False, True),
        (When(tool="news", output="rain"), False, False),
    ],
)
def test_the_conditions(when: When, asked: bool, answered: bool) -> None:
    assert (when(ASKED), when(ANSWERED)) == (asked, answered)
    assert matches(when, ASKED) == asked


def test_a_wrong_condition_is_refused_at_once() -> None:
    with pytest.raises(re.error):
        When(output="(")
    with pytest.raises(TypeError, match="When: message must be of type"):
        When(message=5)  # type: ignore[arg-type]


def test_only_the_begin_of_a_text_is_searched() -> None:
    assert is_found("a", "a" + "b" * 100_000)
    assert not is_found("a", "b" * 100_000 + "a")


def test_which_matches_are_about_messages() -> None:
    assert is_about_messages("x")
    assert is_about_messages(When(model="x"))
    assert not is_about_messages(When(tool="x"))
    assert not is_about_messages(When(output="x"))
    assert not is_about_messages(lambda request: True)


def test_a_request_may_repeat_its_conversation() -> None:
    answer = {"type": "message", "role": "assistant", "content": "Take an umbrella."}
    again = request(user("Weather?"), CALL, OUTPUT, answer, user("And tomorrow?"))
    both = request(user("Weather?"), CALL, OUTPUT, user("Quick!"))

    assert request(user("Weather?"), CALL, OUTPUT).tool_outputs == [("weather", "heavy rain")]
    assert again.tool_outputs == []
    assert both.tool_outputs == [("weather", "heavy rain")]
    assert request(user("Weather?"), CALL, OUTPUT).answers_calls
    assert not both.answers_calls
    assert not request().answers_calls


@pytest.mark.parametrize(
    ("call", "output", "expected"),
    [
        (
            {"type": "custom_tool_call", "call_id": "c", "name": "sql"},
            {"type": "custom_tool_call_output", "call_id": "c", "output": "1 row"},
            ("sql", "1 row"),
        ),
        (
            {"type": "shell_call", "call_id": "c"},
            {
                "type": "shell_call_output",
                "call_id": "c",
                "output": [{"stdout": "a\n", "stderr": "b"}, {"stdout": "c"}, "odd"],
            },
            ("shell", "a\nbc"),
        ),
        (
            {"type": "apply_patch_call", "call_id": "c"},
            {"type": "apply_patch_call_output", "call_id": "c", "status": "completed"},
            ("apply_patch", "completed"),
        ),
        (
            {"type": "mcp_approval_request", "id": "m", "name": "delete"},
            {"type": "mcp_approval_response", "approval_request_id": "m", "approve": True},
            ("delete", "approved"),
        ),
        (
            {"type": "mcp_approval_request", "id": "m", "name": "delete"},
            {"type": "mcp_approval_response", "approval_request_id": "m", "approve": False, "reason": "no"},
            ("delete", "denied no"),
        ),
        (
            {"type": "local_shell_call", "call_id": "c"},
            {"type": "local_shell_call_output", "call_id": "other", "output": "x"},
            ("local_shell", "x"),
        ),
        (
            {"type": "computer_call", "call_id": "c"},
            {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot"}},
            ("computer", ""),
        ),
    ],
)
def test_the_outputs_of_every_kind_of_tool(
    call: dict[str, Any], output: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert request(output, history=(call,)).tool_outputs == [expected]
