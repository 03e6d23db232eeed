"""`answer_calls`: Python functions that answer the calls of a model, with and without an event loop."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import reactivex
from reactivex import operators as ops
from reactivex.subject import Subject
from typing_extensions import assert_type

from rxresponses import (
    ConfigurationError,
    DecodeError,
    FunctionCallOutput,
    InvalidRequestError,
    ObserverExitError,
    Response,
    ResponseFunctionToolCall,
    ResponseInputImage,
    ResponsesWebSocket,
    ServerEvent,
    ToolCallsInterruptedError,
    answer_calls,
)
from rxresponses import operators as rops
from rxresponses.structured.function import tool
from rxresponses.testing import FunctionCall, ResponsesServer
from rxresponses.wire.base import build_received

from ..support.events import created
from ..support.recorder import AsyncRecorder, Recorder
from .raisers import cancelled, empty, empty_later, leave, leave_later


def call(name: str = "add", arguments: str = '{"a": 1, "b": 2}', call_id: str = "call_1") -> ResponseFunctionToolCall:
    return ResponseFunctionToolCall(name=name, arguments=arguments, call_id=call_id)


def add(a: int, b: int) -> int:
    return a + b


def broken(**arguments: Any) -> None:
    raise ValueError("no such city")


async def add_later(a: int, b: int) -> int:
    await asyncio.sleep(0)
    return a + b


def answers(*calls: ResponseFunctionToolCall, functions: Any = None, **options: Any) -> Recorder[FunctionCallOutput]:
    """Answer calls in a program without an event loop."""
    given = functions or {"add": add, "broken": broken, "later": add_later}
    return Recorder(reactivex.of(*calls).pipe(answer_calls(given, **options)))


async def awaited(*calls: ResponseFunctionToolCall, functions: Any, **options: Any) -> list[str]:
    """Answer calls on the running loop, and return the outputs."""
    outputs = reactivex.of(*calls).pipe(answer_calls(functions, **options), ops.to_list())
    return [str(one.output) for one in await outputs]


def test_outputs_name_their_calls() -> None:
    got = answers(call(), call(call_id="call_2", arguments='{"a": 3, "b": 4}'))
    assert [(one.call_id, one.output) for one in got.values] == [("call_1", "3"), ("call_2", "7")]
    assert got.completions == 1


def test_tools_validate_their_arguments() -> None:
    for functions in ([tool(add)], [add], {"add": tool(add)}):
        right, wrong = answers(call(), call(arguments='{"a": "x", "b": 2}'), functions=functions).values
        assert right.output == "3"
        assert "DecodeError" in str(wrong.output)
        assert "`a`" in str(wrong.output) or "a:" in str(wrong.output)


def test_content_parts() -> None:
    [output] = answers(call("see", ""), functions={"see": lambda: ResponseInputImage(file_id="file_1")}).values
    assert output.output == [ResponseInputImage(file_id="file_1")]


def test_without_arguments() -> None:
    assert answers(call("now", ""), functions={"now": lambda: "noon"}).values[0].output == "noon"


class TestFailures:
    def test_scenario_36_the_error_goes_to_the_model(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING, "rxresponses"):
            got = answers(call("broken"), call())
        assert [json.loads(str(one.output)) for one in got.values] == [{"error": "ValueError: no such city"}, 3]
        assert got.completions == 1
        assert "'broken'" in caplog.text
        assert "Traceback" in caplog.text

    def test_scenario_57_an_error_that_cannot_be_shown_goes_to_the_model(self) -> None:
        class Mute(Exception):
            def __str__(self) -> str:
                raise ValueError("no text")

        def fail() -> None:
            raise Mute

        [output] = answers(call("fail", ""), functions={"fail": fail}).values
        assert json.loads(str(output.output)) == {"error": "Mute: Mute without a text"}

    def test_scenario_36_the_error_goes_to_on_error(self) -> None:
        got = answers(call(), call("broken"), call(), on_error="raise")
        assert [one.output for one in got.values] == ["3"]
        assert isinstance(got.error, ValueError)

    @pytest.mark.parametrize(
        ("wrong", "kind"),
        [
            (call("unknown"), ConfigurationError),
            (call(arguments="{"), DecodeError),
            (call(arguments="[" * 100_000), DecodeError),
            (call(arguments="[1]"), DecodeError),
            (build_received(ResponseFunctionToolCall, {"name": "add", "call_id": "c", "arguments": 5})[0], DecodeError),
            (call(arguments='{"c": 1}'), TypeError),
        ],
    )
    def test_scenario_36_a_call_that_cannot_run(self, wrong: ResponseFunctionToolCall, kind: type[Exception]) -> None:
        assert isinstance(answers(wrong, on_error="raise").error, kind)
        assert kind.__name__ in str(answers(wrong).values[0].output)

    @pytest.mark.parametrize("on_error", ["output", "raise"])
    def test_scenario_36_a_coroutine_function_that_no_loop_can_run(self, on_error: str) -> None:
        got = answers(call("later"), on_error=on_error)
        assert isinstance(got.error, ConfigurationError)  # for the programmer, not for the model
        assert got.values == []

    def test_scenario_36_a_result_that_is_no_json(self) -> None:
        functions = {"add": lambda a, b: object()}
        assert isinstance(answers(call(), functions=functions, on_error="raise").error, InvalidRequestError)
        assert "InvalidRequestError" in str(answers(call(), functions=functions).values[0].output)

    def test_what_is_no_call(self) -> None:
        events: Any = reactivex.of(created())
        got = Recorder(events.pipe(answer_calls({})))
        assert isinstance(got.error, TypeError)
        assert "got a value of type ResponseCreatedEvent: put it behind `rops.function_calls()`" in str(got.error)

    def test_an_error_of_the_source_passes(self) -> None:
        got = Recorder(reactivex.throw(KeyError("x")).pipe(answer_calls({})))
        assert isinstance(got.error, KeyError)

    def test_invalid_arguments_raise_at_once(self) -> None:
        with pytest.raises(ConfigurationError, match="functions"):
            answer_calls([5])  # type: ignore[list-item]
        with pytest.raises(ConfigurationError, match="functions"):
            answer_calls({"add": 1})  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="functions"):
            answer_calls(5)  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="the same name"):
            answer_calls([tool(add), add])
        with pytest.raises(ConfigurationError, match="cannot be the name of a tool"):
            answer_calls([lambda a: a])
        with pytest.raises(ConfigurationError, match="on_error"):
            answer_calls({}, on_error="ignore")  # type: ignore[arg-type]


class TestOnALoop:
    def test_coroutines_and_functions_in_order(self) -> None:
        async def main() -> None:
            assert await awaited(call("later"), call("add"), functions={"later": add_later, "add": add}) == ["3", "3"]

        asyncio.run(main())

    def test_calls_run_one_after_the_other(self) -> None:
        running: list[str] = []

        async def slow(a: int, b: int) -> str:
            assert not running
            running.append("slow")
            await asyncio.sleep(0)
            running.clear()
            return "done"

        assert asyncio.run(awaited(call("slow"), call("slow"), functions={"slow": slow})) == ["done", "done"]

    def test_a_blocking_function_does_not_block_the_loop(self) -> None:
        name = contextvars.ContextVar("name", default="")

        def where() -> list[object]:
            return [threading.get_ident() == main_thread, name.get()]

        async def main() -> None:
            name.set("kept")
            assert await awaited(call("where", ""), functions={"where": where}) == ['[false, "kept"]']

        main_thread = threading.get_ident()
        asyncio.run(main())

    def test_a_function_that_returns_a_coroutine(self) -> None:
        assert asyncio.run(awaited(call(), functions={"add": lambda a, b: add_later(a, b)})) == ["3"]

    def test_scenario_36_a_coroutine_that_raises(self) -> None:
        async def fail() -> None:
            raise ValueError("no")

        async def main() -> None:
            with pytest.raises(ValueError, match="no"):
                await awaited(call("fail", ""), functions={"fail": fail}, on_error="raise")
            assert await awaited(call("fail", ""), functions={"fail": fail}) == ['{"error": "ValueError: no"}']

        asyncio.run(main())

    @pytest.mark.parametrize("on_loop", [True, False])
    def test_disposing_cancels_the_running_coroutine(self, *, on_loop: bool) -> None:
        async def main() -> None:
            begun, cancelled = asyncio.Event(), asyncio.Event()

            async def endless() -> None:
                begun.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    cancelled.set()

            calls: Subject[ResponseFunctionToolCall] = Subject()
            subscription = calls.pipe(answer_calls({"endless": endless})).subscribe()
            calls.on_next(call("endless", ""))
            await begun.wait()
            if on_loop:
                subscription.dispose()
            else:
                calls.on_completed()
                await asyncio.to_thread(subscription.dispose)
            await cancelled.wait()

        asyncio.run(asyncio.wait_for(main(), 10))


class TestTimeAndCancelling:
    def test_a_tool_that_takes_too_long(self) -> None:
        async def main() -> None:
            @tool(timeout=0.01)
            async def endless() -> None:
                await asyncio.Event().wait()

            [output] = await awaited(call("endless", ""), functions=[endless])
            assert "took longer than 0.01 s" in output

        asyncio.run(main())

    def test_a_task_that_other_code_cancels(self) -> None:
        async def main() -> None:
            begun = asyncio.Event()

            async def endless() -> None:
                begun.set()
                await asyncio.Event().wait()

            got = AsyncRecorder(
                reactivex.just(call("endless", "")).pipe(answer_calls({"endless": endless}, on_error="raise"))
            )
            await begun.wait()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                if task.get_name() == "rxresponses tool call":
                    task.cancel()
            await got.until_end()
            assert isinstance(got.error, ToolCallsInterruptedError)

        asyncio.run(asyncio.wait_for(main(), 10))


TOOLS = {function.__name__: function for function in (leave, leave_later, empty, empty_later, cancelled)} | {
    "returns_a_coroutine": lambda: leave_later()
}


class TestToolsThatRaiseAnything:
    @pytest.fixture
    def server(self, server: ResponsesServer) -> ResponsesServer:
        for name in TOOLS:
            server.on(f"<{name}>", [FunctionCall(name, {})])
        return server

    @pytest.fixture
    def socket(self, server: ResponsesServer) -> Iterator[ResponsesWebSocket]:
        """A socket on the background loop, beside another one that must go on."""
        with ResponsesWebSocket(server.url) as socket, ResponsesWebSocket(server.url) as other:
            question = {"model": "m", "input": "hi"}
            Recorder(other.send_request(question)).wait()
            yield socket
            for sender in (socket, other):
                assert Recorder(sender.send_request(question)).wait().completions == 1
        with ResponsesWebSocket(server.url) as later:
            assert Recorder(later.send_request(question)).wait().completions == 1

    def answers(self, socket: ResponsesWebSocket, name: str, **options: Any) -> Recorder[FunctionCallOutput]:
        asked = socket.send_request({"model": "m", "input": f"<{name}>"})
        return Recorder(asked.pipe(rops.function_calls(), answer_calls(TOOLS, **options))).wait()

    @pytest.mark.parametrize("on_error", ["output", "raise"])
    @pytest.mark.parametrize("name", ["leave", "leave_later", "returns_a_coroutine"])
    def test_scenario_57_an_exit_ends_the_stream_of_the_call(
        self, socket: ResponsesWebSocket, name: str, on_error: str
    ) -> None:
        got = self.answers(socket, name, on_error=on_error)
        assert got.values == []
        assert isinstance(got.error, ObserverExitError)
        assert isinstance(got.error.__cause__, SystemExit)
        assert "a tool raised SystemExit(3)" in str(got.error)

    @pytest.mark.parametrize(
        ("name", "kind"), [("empty", "RuntimeError"), ("empty_later", "RuntimeError"), ("cancelled", "CancelledError")]
    )
    def test_scenario_57_an_error_that_no_future_can_hold(
        self, socket: ResponsesWebSocket, name: str, kind: str
    ) -> None:
        (output,) = self.answers(socket, name).values
        assert kind in json.loads(str(output.output))["error"]
        assert type(self.answers(socket, name, on_error="raise").error).__name__ == kind

    @pytest.mark.parametrize("name", ["leave", "leave_later"])
    def test_scenario_57_an_exit_leaves_the_loop_of_the_program(self, server: ResponsesServer, name: str) -> None:
        got: list[Exception] = []

        async def main() -> None:
            async with ResponsesWebSocket(server.url) as socket:
                asked = socket.send_request({"model": "m", "input": f"<{name}>"})
                asked.pipe(rops.function_calls(), answer_calls(TOOLS)).subscribe(on_error=got.append)
                await asyncio.Event().wait()

        with pytest.raises(SystemExit) as end:
            asyncio.run(main())
        assert end.value.code == 3
        assert isinstance(got[0], ObserverExitError)
        assert got[0].__cause__ is end.value

    def test_scenario_57_an_exit_where_no_loop_runs_reaches_the_caller(self) -> None:
        with pytest.raises(SystemExit):
            answers(call("leave", ""), functions=TOOLS)


def test_a_turn_of_a_conversation_with_a_tool() -> None:
    async def main() -> None:
        async with ResponsesServer() as server, ResponsesWebSocket(server.url) as socket:
            server.reply(FunctionCall("add", '{"a": 1, "b": 2}'), "It is 3.")
            asked = socket.send_request({"model": "m", "input": "1 + 2?"}).pipe(ops.replay())
            outputs = asked.pipe(rops.function_calls(), answer_calls({"add": add}), ops.to_list())
            response = asked.pipe(rops.final_response())

            def go_on(both: tuple[list[FunctionCallOutput], Response]) -> reactivex.Observable[ServerEvent]:
                return socket.send_request({"model": "m", "input": both[0], "previous_response_id": both[1].id})

            turn = reactivex.zip(outputs, response).pipe(ops.flat_map(go_on), rops.collect_text())
            answer = asyncio.ensure_future(_await(turn))
            await asyncio.sleep(0)
            asked.connect()
            assert await answer == "It is 3."
            assert server.requests[-1]["input"][0]["output"] == "3"

    asyncio.run(asyncio.wait_for(main(), 10))


async def _await(source: Any) -> Any:
    return await source


def test_types() -> None:
    assert_type(reactivex.of(call()).pipe(answer_calls({"add": add})), "reactivex.Observable[FunctionCallOutput]")
