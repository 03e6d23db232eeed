"""`run_tools`: what tools return and raise, time limits, approvals, and calls of all types."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass
from typing import Any

import pytest

from rxresponses import (
    ApplyPatchTool,
    ClientTool,
    ComputerTool,
    ConfigurationError,
    CustomTool,
    DecodeError,
    FunctionCallOutput,
    FunctionShellTool,
    FunctionTool,
    InvalidRequestError,
    LocalShell,
    ObserverExitError,
    ResponseComputerToolCall,
    ResponseFunctionShellToolCall,
    ResponseInputImage,
    ResponseInputText,
    ResponsesWebSocket,
    SafetyCheck,
    ToolApprovalEvent,
    ToolCallError,
    ToolCallFailedEvent,
    ToolCallsInterruptedError,
    ToolLedger,
    ToolRunError,
    ToolSearchTool,
    run_tools,
    tool,
)
from rxresponses import testing as served
from rxresponses.testing import FunctionCall, ResponsesServer

from ..support.recorder import AsyncRecorder, Recorder
from .hand_sender import HandSender, add_call
from .raisers import RAISERS, leave

ASK: dict[str, Any] = {"model": "m", "input": "hi"}


def output_of(function: Any, call: Any = None, **options: Any) -> Any:
    """Return the output that the model gets for a call of a function, where no event loop runs."""
    sender = HandSender()
    got = Recorder(run_tools(sender, ASK, [function], **options))
    sender.call(add_call(name=function.__name__) if call is None else call)
    assert not got.errors, got.errors
    return sender.input[0]["output"]


def error_of(function: Any, call: Any = None, **options: Any) -> Any:
    """Return the error of a run with `on_error="raise"`."""
    sender = HandSender()
    got = Recorder(run_tools(sender, ASK, [function], on_error="raise", **options))
    sender.call(add_call(name=getattr(function, "name", function.__name__)) if call is None else call)
    assert len(sender.requests) == 1
    return got.error


@dataclass
class Sum:
    value: int


class TestWhatToolsReturn:
    @pytest.mark.parametrize(
        ("value", "output"),
        [("text", "text"), (None, "null"), (Sum(3), '{"value": 3}'), ({1, 2} and [Sum(1)], '[{"value": 1}]')],
    )
    def test_values(self, value: object, output: str) -> None:
        def give(a: int, b: int) -> object:
            """Give."""
            return value

        assert output_of(give) == output

    def test_content_parts(self) -> None:
        def give(a: int, b: int) -> object:
            """Give."""
            return [ResponseInputText(text="see"), ResponseInputImage(file_id="file_1")]

        assert [part["type"] for part in output_of(give)] == ["input_text", "input_image"]

    def test_an_item_for_another_call(self) -> None:
        def give(a: int, b: int) -> object:
            """Give."""
            return FunctionCallOutput(call_id="call_of_nobody", output="lost")

        sender = HandSender()
        got = Recorder(run_tools(sender, ASK, [give]))
        sender.call(add_call(name="give"))
        assert isinstance(got.error.__cause__, InvalidRequestError)
        assert "waits for the output of 1 call, " in str(got.error)

    def test_what_is_no_json_is_a_mistake_of_the_program(self, caplog: pytest.LogCaptureFixture) -> None:
        def give(a: int, b: int) -> object:
            """Give."""
            return object()

        assert "InvalidRequestError" in json.loads(output_of(give))["error"]
        assert "Traceback" in caplog.text
        assert isinstance(error_of(give).__cause__, InvalidRequestError)


class TestWhatToolsRaise:
    def test_scenario_36_the_error_goes_to_the_model(self, caplog: pytest.LogCaptureFixture) -> None:
        def broken(a: int, b: int) -> None:
            """Break."""
            raise ValueError("no such city")

        sender = HandSender()
        got = Recorder(run_tools(sender, ASK, [broken]))
        sender.call(add_call(name="broken"))
        assert json.loads(sender.input[0]["output"]) == {"error": "ValueError: no such city"}
        assert "'broken'" in caplog.text
        assert "Traceback" in caplog.text
        [event] = [event for event in got.values if isinstance(event, ToolCallFailedEvent)]
        assert isinstance(event.error, ValueError)
        assert event.output is not None
        assert json.loads(event.to_json())["error"] == "ValueError: no such city"
        sender.say()
        assert got.completions == 1

    def test_scenario_36_the_error_goes_to_on_error(self) -> None:
        def broken(a: int, b: int) -> None:
            """Break."""
            raise ValueError("no such city")

        error = error_of(broken)
        assert isinstance(error, ToolRunError)
        assert isinstance(error.__cause__, ValueError)
        assert "ValueError: no such city" in str(error)
        assert "1 call was attempted, 0 of them not finished" in str(error)
        assert [record.name for record in error.calls] == ["broken"]

    def test_scenario_36_arguments_that_do_not_fit(self, caplog: pytest.LogCaptureFixture) -> None:
        def add(a: int, b: int) -> int:
            """Add."""
            return a + b

        for arguments in ('{"a": "x", "b": 2}', "{", "[1]"):
            wrong = add_call(arguments=arguments)
            assert "do not fit" in json.loads(output_of(add, wrong))["error"]
            assert isinstance(error_of(add, wrong), DecodeError)
        assert "Traceback" not in caplog.text  # the mistake is the model's

    def test_scenario_36_a_name_that_no_tool_has(self) -> None:
        def add(a: int, b: int) -> int:
            """Add."""
            return a + b

        wrong = add_call(name="multiply")
        assert "there is no tool named 'multiply'" in json.loads(output_of(add, wrong))["error"]
        error = error_of(add, wrong)
        assert isinstance(error, ToolCallError)
        assert (error.reason, error.call_id) == ("no_tool", "call_1")

    def test_the_tool_of_a_schema_of_ones_own(self) -> None:
        def add(a: int, b: int) -> int:
            return a + b

        mine = ClientTool(FunctionTool(name="add", parameters={"type": "object"}), add)
        sender = HandSender()
        Recorder(run_tools(sender, ASK, [mine]))
        sender.call(add_call(1), add_call(2, arguments="[1]"), add_call(3, arguments="{"))
        assert [item["output"] for item in sender.input] == [
            "3",
            *['{"error": "the arguments of \'add\' must be a JSON object"}'] * 2,
        ]
        assert repr(mine) == "<ClientTool 'add'>"


class TestToolsThatRaiseAnything:
    @pytest.mark.parametrize("on_error", ["output", "raise"])
    def test_scenario_57_it_is_the_matter_of_the_call(self, server: ResponsesServer, on_error: Any) -> None:
        functions = [function for function, _ in RAISERS]
        server.on(lambda request: request.items[-1]["type"] == "function_call_output", "Done.")
        for function in functions:
            server.on(f"<{function.__name__}>", [FunctionCall(function.__name__)])

        async def main() -> None:
            async with ResponsesWebSocket(server.url) as socket, ResponsesWebSocket(server.url) as other:
                for function, kind in RAISERS:
                    asked = {"model": "m", "input": f"<{function.__name__}>"}
                    got = AsyncRecorder(run_tools(socket, asked, functions, on_error=on_error))
                    await got.until_end()
                    [failed] = [event for event in got.values if isinstance(event, ToolCallFailedEvent)]
                    assert type(failed.error).__name__ == kind
                    if on_error == "output":
                        assert got.completions == 1
                        assert kind in server.requests[-1]["input"][0]["output"]
                    else:
                        assert isinstance(got.error, ToolRunError)
                        assert isinstance(got.error.__cause__, (ObserverExitError, RuntimeError))
                # This loop, its other tasks and the other socket go on.
                assert await other.send_request(ASK) is not None

        asyncio.run(asyncio.wait_for(main(), 10))

    def test_scenario_57_on_the_background_loop_and_without_a_loop(self, server: ResponsesServer) -> None:
        server.reply([FunctionCall(function.__name__) for function, _ in RAISERS], "Done.")
        with ResponsesWebSocket(server.url) as socket:
            got = Recorder(run_tools(socket, ASK, [function for function, _ in RAISERS])).wait()
        assert got.completions == 1
        outputs = [item["output"] for item in server.requests[1]["input"]]
        assert [kind in output for output, (_, kind) in zip(outputs, RAISERS, strict=True)] == [True] * len(RAISERS)
        assert "SystemExit" in output_of(leave, add_call(name="leave", arguments="{}"))


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


class TestErrorsOfARun:
    """With `on_error="raise"`: the error itself before any call was made, and a `ToolRunError` afterwards."""

    @pytest.mark.parametrize("arguments", ["{}", "{"])
    def test_arguments_that_do_not_fit(self, arguments: str) -> None:
        sender = HandSender()
        got = Recorder(run_tools(sender, ASK, [add], on_error="raise"))
        sender.call(add_call(arguments=arguments))
        assert type(got.error) is DecodeError
        assert "rxresponses.tool_call_started" not in got.types
        [failed] = [event for event in got.values if isinstance(event, ToolCallFailedEvent)]
        assert failed.arguments == ({} if arguments == "{}" else "{")

    def test_a_name_that_no_tool_has(self) -> None:
        sender = HandSender()
        got = Recorder(run_tools(sender, ASK, [add], on_error="raise"))
        sender.call(add_call(name="multiply"))
        assert type(got.error) is ToolCallError
        assert got.error.reason == "no_tool"

    def test_after_a_call_that_was_made(self) -> None:
        sender = HandSender()
        got = Recorder(run_tools(sender, ASK, [add], on_error="raise"))
        sender.call(add_call())
        sender.call(add_call(2, name="multiply"))
        assert isinstance(got.error, ToolRunError)
        assert isinstance(got.error.__cause__, ToolCallError)


class TestTime:
    def test_a_call_that_takes_too_long(self, server: ResponsesServer) -> None:
        go_on = threading.Event()

        @tool(timeout=0.02)
        def slow() -> None:
            """Wait."""
            go_on.wait(10)

        async def endless() -> None:
            """Wait."""
            try:
                await asyncio.Event().wait()
            finally:
                stopped.append(True)

        stopped: list[bool] = []
        server.reply([FunctionCall("slow"), FunctionCall("endless")], "Done.")
        with ResponsesWebSocket(server.url) as socket:
            got = Recorder(run_tools(socket, ASK, [slow, endless], timeout=0.01)).wait()
        go_on.set()
        outputs = [json.loads(item["output"])["error"] for item in server.requests[1]["input"]]
        assert [output.split(",")[0] for output in outputs] == [
            "the call took longer than 0.02 s",
            "the call took longer than 0.01 s",
        ]
        errors = [event.error for event in got.values if isinstance(event, ToolCallFailedEvent)]
        assert [error.reason for error in errors] == ["timeout", "timeout"]
        assert stopped == [True]

    def test_as_an_error(self, server: ResponsesServer) -> None:
        async def endless() -> None:
            """Wait."""
            await asyncio.Event().wait()

        server.reply(FunctionCall("endless"))
        with ResponsesWebSocket(server.url) as socket:
            got = Recorder(run_tools(socket, ASK, [endless], timeout=0.01, on_error="raise")).wait()
        assert isinstance(got.error.__cause__, ToolCallError)
        assert len(server.requests) == 1

    @pytest.mark.parametrize("what", ["rxresponses tool call", "rxresponses approval"])
    def test_a_task_that_other_code_cancels(self, server: ResponsesServer, what: str) -> None:
        async def main() -> None:
            begun = asyncio.Event()

            @tool(needs_approval=what == "rxresponses approval")
            async def endless() -> None:
                """Wait."""
                begun.set()
                await asyncio.Event().wait()

            async def never(event: ToolApprovalEvent) -> bool:
                begun.set()
                return await asyncio.Event().wait()

            ledger = ToolLedger()
            server.reply(FunctionCall("endless"))
            async with ResponsesWebSocket(server.url) as socket:
                got = AsyncRecorder(run_tools(socket, ASK, [endless], approve=never, ledger=ledger))
                await begun.wait()
                for task in asyncio.all_tasks():
                    if task.get_name() == what:
                        task.cancel()
                await got.until_end()
            assert isinstance(got.error.__cause__ or got.error, ToolCallsInterruptedError)
            assert len(ledger.unknown) == (what == "rxresponses tool call")

        asyncio.run(asyncio.wait_for(main(), 10))


class TestOtherCalls:
    def test_custom_tools_shells_and_patches(self, server: ResponsesServer) -> None:
        def shell(call: ResponseFunctionShellToolCall) -> str:
            assert call.action is not None
            return " ".join(call.action.commands)

        tools = [
            ClientTool(CustomTool(name="sql"), lambda text: f"ran {text}"),
            ClientTool(FunctionShellTool(environment={"type": "local"}), shell),
            ClientTool(LocalShell(), lambda call: call.action.command),
            ClientTool(ApplyPatchTool(), lambda call: call.operation.path == "a.txt"),
        ]
        server.reply(
            [
                served.CustomToolCall("sql", "SELECT 1"),
                served.ShellCall(["ls"]),
                served.LocalShellCall(["pwd"]),
                served.ApplyPatchCall("delete_file", "a.txt"),
            ],
            "Done.",
        )
        with ResponsesWebSocket(server.url) as socket:
            got = Recorder(run_tools(socket, ASK, tools)).wait()
        assert got.completions == 1
        assert [event.name for event in got.values if event.type == "rxresponses.tool_call_started"] == [  # type: ignore[attr-defined]
            *("sql", "shell", "local_shell", "apply_patch")
        ]
        sql, ran, local, patch = server.requests[1]["input"]
        assert sql["output"] == "ran SELECT 1"
        assert ran["output"][0]["stdout"] == "ls"
        assert local["output"] == '["pwd"]'
        assert patch["status"] == "completed"

    def test_a_computer_is_shown_after_the_user_has_seen_the_safety_checks(self) -> None:
        check = SafetyCheck(id="sc_1", code="malicious", message="Careful")
        item = ResponseComputerToolCall(id="cu_1", call_id="c", pending_safety_checks=[check], status="completed")
        sender = HandSender()
        asked: list[Any] = []

        def approve(event: ToolApprovalEvent) -> bool:
            asked.append(event.arguments)
            return True

        Recorder(run_tools(sender, ASK, [ClientTool(ComputerTool(), lambda call: "data:,screen")], approve=approve))
        sender.call(item)
        assert asked == [item]
        assert sender.input[0]["output"]["image_url"] == "data:,screen"
        assert sender.input[0]["acknowledged_safety_checks"][0]["id"] == "sc_1"

    def test_a_computer_that_fails_ends_the_run(self) -> None:
        def fail(call: object) -> None:
            raise OSError("no screen")

        sender = HandSender()
        got = Recorder(run_tools(sender, ASK, [ClientTool(ComputerTool(), fail)]))
        sender.call(ResponseComputerToolCall(id="cu_1", call_id="c", status="completed"))
        assert isinstance(got.error.__cause__, OSError)  # the only answer would be a screenshot
        [event] = [event for event in got.values if isinstance(event, ToolCallFailedEvent)]
        assert event.output is None

    def test_a_computer_that_the_user_denies_ends_the_run(self) -> None:
        sender = HandSender()
        denied = ClientTool(ComputerTool(), lambda call: "data:,screen", needs_approval=True)
        got = Recorder(run_tools(sender, ASK, [denied], approve=lambda event: False))
        sender.call(ResponseComputerToolCall(id="cu_1", call_id="c", status="completed"))
        assert isinstance(got.error, ToolCallError)
        assert got.error.reason == "denied"

    def test_a_shell_that_nothing_answers(self, server: ResponsesServer) -> None:
        server.reply(served.ShellCall(["ls"]))
        with ResponsesWebSocket(server.url) as socket:
            got = Recorder(run_tools(socket, ASK, [FunctionShellTool(environment={"type": "local"})])).wait()
        assert isinstance(got.error, ConfigurationError)
        assert "pass a `ClientTool`" in str(got.error)

    def test_an_async_object_answers(self) -> None:
        class Run:
            async def __call__(self, text: str) -> str:
                return text

        assert ClientTool(CustomTool(name="sql"), Run()).is_async

    @pytest.mark.parametrize(
        ("definition", "function", "match"),
        [
            ({"type": "web_search"}, print, "answered by the server"),
            (CustomTool(name="sql"), "run", "a function must answer"),
        ],
    )
    def test_wrong_tools(self, definition: Any, function: Any, match: str) -> None:
        with pytest.raises(ConfigurationError, match=match):
            ClientTool(definition, function)
        with pytest.raises(ConfigurationError, match="`timeout`"):
            ClientTool(ToolSearchTool(execution="client"), print, timeout=-1)


@pytest.mark.parametrize("fails", [True, False])
def test_a_run_that_fails_waits_for_the_calls_that_run(server: ResponsesServer, *, fails: bool) -> None:
    """So their outputs are in the ledger, and a call is not made again because nobody knows how it ended."""

    async def main() -> None:
        go_on = asyncio.Event()

        async def slow() -> str:
            """Wait."""
            await go_on.wait()
            if fails:
                raise LookupError
            return "slow but sure"

        def broken() -> None:
            """Break."""
            raise ValueError

        server.reply([FunctionCall("slow"), FunctionCall("broken"), FunctionCall("slow")])
        async with ResponsesWebSocket(server.url) as socket:
            source = run_tools(socket, ASK, [slow, broken], on_error="raise", max_concurrent=2)
            got = AsyncRecorder(source)
            await got.until(lambda: "rxresponses.tool_call_failed" in got.types)
            assert not got.ended
            go_on.set()
            await got.until_end()
        assert isinstance(got.error.__cause__, ValueError)
        assert [(record.name, record.is_finished) for record in got.error.calls] == [("slow", True), ("broken", True)]

    asyncio.run(asyncio.wait_for(main(), 10))
