"""`run_tools`: calls that the user approves."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
import reactivex
from reactivex import Observable
from reactivex import operators as ops
from reactivex.subject import Subject

from rxresponses import ConfigurationError, Mcp, ResponsesWebSocket, ToolApprovalEvent, run_tools, tool
from rxresponses import testing as served
from rxresponses.testing import FunctionCall, ResponsesServer

from ..support.recorder import Recorder
from .hand_sender import HandSender, add_call

ASK: dict[str, Any] = {"model": "m", "input": "hi"}


def deploy(where: str) -> str:
    """Deploy."""
    return f"deployed to {where}"


class Answers(Subject[bool]):
    """Answers that a test gives by hand; the events say whether the run waits for one."""

    def __init__(self) -> None:
        super().__init__()
        self.waited_for = threading.Event()
        self.left = threading.Event()


def asking() -> tuple[Observable[bool], Answers]:
    answers = Answers()

    def subscribe(observer: Any, scheduler: Any = None) -> Any:
        subscription = answers.subscribe(observer)
        answers.waited_for.set()
        return subscription

    return Observable(subscribe).pipe(ops.finally_action(answers.left.set)), answers


DEPLOY = tool(deploy, needs_approval=True)
CALL = add_call(name="deploy", arguments='{"where": "production"}')


class TestApproval:
    @pytest.mark.parametrize(
        ("approved", "output"),
        [
            (True, "deployed to production"),
            (False, '{"error": "the user did not approve this call, so it was not made"}'),
        ],
    )
    def test_a_function_answers(self, *, approved: bool, output: str) -> None:
        asked: list[ToolApprovalEvent] = []

        def approve(event: ToolApprovalEvent) -> bool:
            asked.append(event)
            return approved

        sender = HandSender()
        got = Recorder(run_tools(sender, ASK, [DEPLOY], approve=approve))
        sender.call(CALL)
        assert sender.input[0]["output"] == output
        assert (asked[0].name, asked[0].arguments) == ("deploy", {"where": "production"})
        assert asked[0] in got.values
        started = [event.type for event in got.values if event.type == "rxresponses.tool_call_started"]
        assert len(started) == approved

    @pytest.mark.parametrize("form", ["plain", "async", "awaitable", "observable", "empty"])
    def test_in_any_form(self, server: ResponsesServer, form: str) -> None:
        async def later(event: ToolApprovalEvent) -> bool:
            await asyncio.sleep(0)
            return True

        forms: dict[str, Any] = {
            "plain": lambda event: threading.current_thread().daemon,
            "async": later,
            "awaitable": lambda event: later(event),
            "observable": lambda event: reactivex.of(True, False),
            "empty": lambda event: reactivex.empty(),
        }
        server.reply(FunctionCall("deploy", {"where": "test"}), "Done.")
        with ResponsesWebSocket(server.url) as socket:
            Recorder(run_tools(socket, ASK, [DEPLOY], approve=forms[form])).wait()
        output = server.requests[1]["input"][0]["output"]
        assert (output == "deployed to test") == (form != "empty")

    def test_other_calls_go_on_while_the_user_thinks(self, server: ResponsesServer) -> None:
        def look() -> str:
            """Look."""
            return "seen"

        asked, answers = asking()
        server.reply([FunctionCall("deploy", {"where": "test"}), FunctionCall("look")], "Done.")
        with ResponsesWebSocket(server.url) as socket:
            source = run_tools(socket, ASK, [DEPLOY, look], approve=lambda event: asked, max_concurrent=1)
            got = Recorder(source)
            got.wait(lambda: "rxresponses.tool_call_output" in got.types)
            answers.waited_for.wait(10)
            assert len(server.requests) == 1
            answers.on_next(True)
            got.wait()
        assert [item["output"] for item in server.requests[1]["input"]] == ["deployed to test", "seen"]

    def test_disposing_stops_waiting(self, server: ResponsesServer) -> None:
        asked, answers = asking()
        server.reply(FunctionCall("deploy", {"where": "test"}))
        with ResponsesWebSocket(server.url) as socket:
            got = Recorder(run_tools(socket, ASK, [DEPLOY], approve=lambda event: asked))
            assert answers.waited_for.wait(10)
            got.subscription.dispose()
            assert answers.left.wait(10)

    def test_a_function_of_the_arguments_decides_whether_to_ask(self) -> None:
        asked: list[str] = []

        def approve(event: ToolApprovalEvent) -> bool:
            asked.append(event.arguments["where"])
            return True

        some = tool(deploy, needs_approval=lambda arguments: arguments["where"] == "production")
        sender = HandSender()
        Recorder(run_tools(sender, ASK, [some], approve=approve))
        sender.call(CALL, add_call(2, name="deploy", arguments='{"where": "test"}'))
        assert asked == ["production"]
        assert len(sender.input) == 2

    @pytest.mark.parametrize("answer", ["no", 1, None])
    def test_an_answer_that_is_neither_yes_nor_no(self, answer: Any) -> None:
        async def later(event: ToolApprovalEvent) -> bool:
            return True

        for approve in (lambda event: answer, later):
            sender = HandSender()
            got = Recorder(run_tools(sender, ASK, [DEPLOY], approve=approve))
            sender.call(CALL)
            assert isinstance(got.error, ConfigurationError)
            assert "must answer True or False" in str(got.error)

    @pytest.mark.parametrize("form", ["plain", "observable"])
    def test_a_question_that_fails(self, server: ResponsesServer, form: str) -> None:
        def approve(event: ToolApprovalEvent) -> Observable[bool]:
            if form == "plain":
                raise LookupError("nobody there")
            return reactivex.throw(LookupError("nobody there"))

        server.reply(FunctionCall("deploy", {"where": "test"}))
        with ResponsesWebSocket(server.url) as socket:
            got = Recorder(run_tools(socket, ASK, [DEPLOY], approve=approve)).wait()
        assert isinstance(got.error, LookupError)
        assert "rxresponses.tool_call_started" not in got.types

    @pytest.mark.parametrize("approved", [True, False])
    def test_an_mcp_tool(self, server: ResponsesServer, *, approved: bool) -> None:
        server.reply(served.McpApprovalRequest("db", "drop", {"table": "users"}), "Done.")
        mcp = Mcp(server_label="db", server_url="https://db.example.com/mcp")
        with ResponsesWebSocket(server.url) as socket:
            got = Recorder(run_tools(socket, ASK, [mcp], approve=lambda event: approved)).wait()
        [asked] = [event for event in got.values if isinstance(event, ToolApprovalEvent)]
        assert (asked.name, asked.arguments) == ("drop", {"table": "users"})
        assert server.requests[1]["input"] == [
            {"type": "mcp_approval_response", "approval_request_id": asked.call_id, "approve": approved}
        ]

    def test_an_mcp_tool_when_nobody_can_be_asked(self, server: ResponsesServer) -> None:
        server.reply(served.McpApprovalRequest("db", "drop", {"table": "users"}))
        with ResponsesWebSocket(server.url) as socket:
            got = Recorder(run_tools(socket, ASK, [])).wait()
        assert isinstance(got.error, ConfigurationError)
        assert "pass `approve`" in str(got.error)

    def test_disposing_by_the_observer_of_the_question(self) -> None:
        sender = HandSender()
        asked: list[Any] = []

        def approve(event: ToolApprovalEvent) -> bool:
            asked.append(event)
            return True

        stop = ops.take_while(lambda event: not isinstance(event, ToolApprovalEvent), inclusive=True)
        Recorder(run_tools(sender, ASK, [DEPLOY], approve=approve).pipe(stop))
        sender.call(CALL)
        assert asked == []
