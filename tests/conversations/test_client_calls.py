"""The item that answers each type of call, from what a tool returns and from a failure."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from rxresponses.conversations.client_calls import ClientCall, client_call, failure_item, output_item
from rxresponses.conversations.items import ANSWERS, calls_open_after
from rxresponses.errors import InvalidRequestError
from rxresponses.wire.models import (
    CallerProgram,
    LocalShellCall,
    LocalShellCallAction,
    McpApprovalRequest,
    OutputOutcomeExit,
    ResponseApplyPatchToolCall,
    ResponseComputerToolCall,
    ResponseCustomToolCall,
    ResponseFunctionShellToolCall,
    ResponseFunctionToolCall,
    ResponseInputFile,
    ResponseInputImage,
    ResponseInputText,
    ResponseOutputMessage,
    ResponseToolSearchCall,
    SafetyCheck,
    ShellCallAction,
    ShellCommandOutput,
)
from rxresponses.wire.requests import FunctionCallOutput, FunctionTool, ResponseCreate
from rxresponses.wire.requests.parts import text_of_value
from rxresponses.wire.requests.sent import plain_json

PROGRAM = CallerProgram(caller_id="prog_1")
ITEMS: dict[str, Any] = {
    "function_call": ResponseFunctionToolCall(call_id="c", name="f", arguments='{"a": 1}', caller=PROGRAM),
    "custom_tool_call": ResponseCustomToolCall(call_id="c", name="sql", input="SELECT 1", caller=PROGRAM),
    "shell_call": ResponseFunctionShellToolCall(
        id="x", call_id="c", action=ShellCallAction(commands=["ls"], max_output_length=100)
    ),
    "local_shell_call": LocalShellCall(id="x", call_id="c", action=LocalShellCallAction(type="exec", command=["ls"])),
    "apply_patch_call": ResponseApplyPatchToolCall(id="x", call_id="c"),
    "computer_call": ResponseComputerToolCall(
        id="x", call_id="c", pending_safety_checks=[SafetyCheck(id="sc_1", code="malicious", message="Careful")]
    ),
    "tool_search_call": ResponseToolSearchCall(id="x", call_id="c", execution="client", arguments={"q": 1}),
    "mcp_approval_request": McpApprovalRequest(id="c", name="drop", server_label="db", arguments="{}"),
}


def the_call(kind: str) -> ClientCall:
    call = client_call(ITEMS[kind])
    assert call is not None
    return call


def answer(kind: str, value: object) -> Any:
    return plain_json(output_item(the_call(kind), value))


def failure(kind: str, **options: bool) -> Any:
    item = failure_item(the_call(kind), "no luck", **options)
    return None if item is None else plain_json(item)


def test_each_call_has_its_answer() -> None:
    assert ITEMS.keys() == ANSWERS.keys()


@pytest.mark.parametrize(("kind", "item"), ITEMS.items())
def test_the_answer_fits_the_call(kind: str, item: Any) -> None:
    value: Any = [] if kind == "tool_search_call" else "done"
    output = output_item(the_call(kind), value)
    assert calls_open_after([item]) == ((ANSWERS[kind], "c"),)
    assert calls_open_after([item, output]) == ()
    ResponseCreate(model="m", input=[item, output])  # a request takes it


@pytest.mark.parametrize(
    ("kind", "name", "text"),
    [
        ("function_call", "f", '{"a": 1}'),
        ("custom_tool_call", "sql", "SELECT 1"),
        ("shell_call", "shell", '{"action": {"commands": ["ls"], "max_output_length": 100}}'),
        ("local_shell_call", "local_shell", '{"action": {"command": ["ls"], "env": {}, "type": "exec"}}'),
        ("mcp_approval_request", "drop", "{}"),
        ("tool_search_call", "tool_search", '{"arguments": {"q": 1}, "execution": "client"}'),
    ],
)
def test_what_a_call_asks_for(kind: str, name: str, text: str) -> None:
    call = the_call(kind)
    assert (call.type, call.name, call.text) == (kind, name, text)


def test_a_message_is_no_call() -> None:
    assert client_call(ResponseOutputMessage(role="assistant")) is None


class TestWhatAToolReturns:
    def test_of_a_function(self) -> None:
        assert answer("function_call", {"a": 1}) == {
            "type": "function_call_output",
            "call_id": "c",
            "output": '{"a": 1}',
            "caller": {"type": "program", "caller_id": "prog_1"},
        }

    def test_content_parts(self) -> None:
        image = ResponseInputImage(image_url="data:image/png;base64,AA==")
        assert answer("function_call", image)["output"][0]["image_url"] == "data:image/png;base64,AA=="
        parts = [ResponseInputText(text="see"), ResponseInputFile(file_id="file_1")]
        assert [part["type"] for part in answer("custom_tool_call", parts)["output"]] == ["input_text", "input_file"]

    def test_a_list_of_other_things_is_json(self) -> None:
        assert answer("function_call", [])["output"] == "[]"

    def test_a_whole_item(self) -> None:
        whole = FunctionCallOutput(call_id="c", output="mine")
        assert output_item(the_call("function_call"), whole) is whole
        assert output_item(the_call("shell_call"), {"type": "shell_call_output", "call_id": "c", "output": []}) == {
            "type": "shell_call_output",
            "call_id": "c",
            "output": [],
        }

    def test_of_shells(self) -> None:
        output = answer("shell_call", "a.txt")
        assert output["output"] == [{"stdout": "a.txt", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}]
        assert output["max_output_length"] == 100
        assert answer("shell_call", None)["output"][0]["stdout"] == ""
        commands = [ShellCommandOutput(stdout="x", stderr="y", outcome=OutputOutcomeExit(exit_code=2))]
        assert answer("shell_call", commands)["output"][0]["outcome"] == {"type": "exit", "exit_code": 2}
        assert answer("local_shell_call", "a.txt") == {"type": "local_shell_call_output", "id": "c", "output": "a.txt"}

    def test_of_a_shell_without_an_action(self) -> None:
        call = client_call(ResponseFunctionShellToolCall(call_id="c"))
        assert call is not None
        assert "max_output_length" not in plain_json(output_item(call, ""))

    @pytest.mark.parametrize(
        ("value", "status", "output"),
        [
            (True, "completed", None),
            (None, "completed", None),
            (False, "failed", None),
            ("2 hunks", "completed", "2 hunks"),
        ],
    )
    def test_of_a_patch(self, value: object, status: str, output: str | None) -> None:
        item = answer("apply_patch_call", value)
        assert (item["status"], item.get("output")) == (status, output)

    def test_of_a_computer(self) -> None:
        item = answer("computer_call", "https://example.com/screen.png")
        assert item["output"] == {"type": "computer_screenshot", "image_url": "https://example.com/screen.png"}
        assert item["acknowledged_safety_checks"] == [{"id": "sc_1", "code": "malicious", "message": "Careful"}]
        with pytest.raises(InvalidRequestError, match="output"):
            answer("computer_call", 5)

    def test_of_a_search_for_tools(self) -> None:
        assert answer("tool_search_call", [FunctionTool(name="f")])["tools"][0]["name"] == "f"

    @pytest.mark.parametrize("value", [True, False])
    def test_of_an_approval(self, value: bool) -> None:
        assert answer("mcp_approval_request", value) == {
            "type": "mcp_approval_response",
            "approval_request_id": "c",
            "approve": value,
        }


class TestFailures:
    @pytest.mark.parametrize("kind", ["function_call", "custom_tool_call", "local_shell_call"])
    def test_as_json(self, kind: str) -> None:
        assert failure(kind)["output"] == '{"error": "no luck"}'

    def test_of_a_shell(self) -> None:
        [output] = failure("shell_call")["output"]
        assert output == {"stdout": "", "stderr": "no luck", "outcome": {"type": "exit", "exit_code": 1}}
        assert failure("shell_call", timed_out=True)["output"][0]["outcome"] == {"type": "timeout"}

    def test_of_a_patch(self) -> None:
        assert (failure("apply_patch_call")["status"], failure("apply_patch_call")["output"]) == ("failed", "no luck")

    def test_of_an_approval_it_is_a_refusal(self) -> None:
        assert failure("mcp_approval_request") == {
            "type": "mcp_approval_response",
            "approval_request_id": "c",
            "approve": False,
            "reason": "no luck",
        }

    def test_of_a_search_it_finds_nothing(self) -> None:
        assert failure("tool_search_call")["tools"] == []

    def test_of_a_computer_there_is_none(self) -> None:
        assert failure("computer_call") is None


class TestJson:
    def test_of_any_value(self) -> None:
        assert text_of_value("as it is") == "as it is"
        assert text_of_value({"a": [date(2026, 1, 2)], "é": None}) == '{"a": ["2026-01-02"], "é": null}'

    def test_what_has_none(self) -> None:
        endless: list[Any] = []
        endless.append(endless)
        for value in (object(), float("nan"), endless):
            with pytest.raises(InvalidRequestError, match="the tool's result is not JSON"):
                text_of_value(value)
