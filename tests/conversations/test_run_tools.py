"""`run_tools`: turns, calls and outputs, from senders that a test drives by hand and from the embedded server."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from reactivex import Observable
from reactivex import operators as ops
from typing_extensions import assert_type

from rxresponses import (
    BudgetReachedEvent,
    ClientTool,
    ConversationEvent,
    CustomTool,
    FunctionTool,
    MaxTurnsError,
    ResponseCreate,
    ResponseCustomToolCall,
    ResponseIncompleteError,
    ResponsesWebSocket,
    ServerEvent,
    ToolCallOutputEvent,
    ToolCallStartedEvent,
    ToolChoiceAllowed,
    ToolChoiceFunction,
    ToolLedger,
    TurnStartedEvent,
    UnreadableResponseError,
    WebSearchTool,
    run_tools,
)
from rxresponses import operators as rops
from rxresponses.structured.function import tool
from rxresponses.testing import FunctionCall, Hold, ResponsesServer
from rxresponses.wire.requests.sent import plain_json

from ..support.events import (
    USAGE,
    completed,
    created,
    error_event,
    failed,
    incomplete,
    item_done,
    message,
    wire_event,
)
from ..support.recorder import AsyncRecorder, Recorder
from .hand_sender import HandSender, add_call

ASK: dict[str, Any] = {"model": "m", "input": "hi", "stream_id": "main"}


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


_runs: list[Recorder[ServerEvent]] = []


@pytest.fixture(autouse=True)
def _no_run_goes_on() -> Iterator[None]:
    """Dispose the runs of a test: one that goes on keeps the background thread, which other tests want to see end."""
    yield
    while _runs:
        _runs.pop().subscription.dispose()


def run(sender: Any, tools: Any = (add,), request: Any = ASK, **options: Any) -> Recorder[ServerEvent]:
    _runs.append(Recorder(run_tools(sender, request, tools, **options)))
    return _runs[-1]


def own(got: Recorder[ServerEvent]) -> list[str]:
    """Return the types of the library's own events, without their common prefix."""
    return [event.type.removeprefix("rxresponses.") for event in got.values if isinstance(event, ConversationEvent)]


class TestTurns:
    def test_each_request_carries_only_what_is_new_on_the_same_lane(self) -> None:
        sender = HandSender()
        got = run(sender)
        assert sender.requests[0]["input"] == "hi"
        assert sender.requests[0]["tools"][0]["name"] == "add"
        sender.call(add_call(1), add_call(2, 3, 4))
        assert sender.input == [
            {"type": "function_call_output", "call_id": "call_1", "output": "3"},
            {"type": "function_call_output", "call_id": "call_2", "output": "7"},
        ]
        assert [one["stream_id"] for one in sender.requests] == ["main", "main"]
        assert [one.get("previous_response_id") for one in sender.requests] == [None, "resp_1"]
        sender.say()
        assert got.completions == 1
        assert own(got) == [
            *("turn_started", "tool_call_started", "tool_call_output", "tool_call_started", "tool_call_output"),
            "turn_started",
        ]
        assert [event.turn for event in got.values if isinstance(event, TurnStartedEvent)] == [1, 2]
        assert got.values[-1].is_terminal

    def test_a_run_without_calls(self) -> None:
        sender = HandSender()
        got = run(sender)
        sender.say()
        assert (got.completions, len(sender.requests)) == (1, 1)

    def test_each_subscription_is_a_run(self) -> None:
        sender = HandSender()
        source = run_tools(sender, ASK, [add])
        assert sender.requests == []
        first, second = Recorder(source), Recorder(source)
        sender.say()
        assert (first.completions, second.completions, len(sender.requests)) == (0, 1, 2)

    def test_the_own_events_say_what_they_are_about(self) -> None:
        sender = HandSender()
        got = run(sender)
        sender.call(add_call())
        started = next(event for event in got.values if isinstance(event, ToolCallStartedEvent))
        output = next(event for event in got.values if isinstance(event, ToolCallOutputEvent))
        assert (started.call, started.call_id, started.name) == (add_call(), "call_1", "add")
        assert (started.stream_id, started.raw, started.is_terminal) == ("main", None, False)
        assert started.arguments == output.arguments == {"a": 1, "b": 2}
        assert output.output.output == output.text == "3"  # type: ignore[union-attr]
        assert output.seconds >= 0

    def test_what_the_request_continues_is_continued(self) -> None:
        sender = HandSender()
        run(sender, request=ResponseCreate(model="m", input=[], previous_response_id="resp_0"))
        assert "input" not in sender.requests[0]
        assert sender.requests[0]["previous_response_id"] == "resp_0"
        sender.call(add_call())
        assert sender.requests[1]["previous_response_id"] == "resp_1"
        assert len(sender.input) == 1

    def test_tools_of_the_server_only_go_into_the_request(self) -> None:
        sender = HandSender()
        search = {"type": "file_search", "vector_store_ids": ["vs_1"]}
        run(sender, [WebSearchTool(), search, add], {**ASK, "tools": [{"type": "code_interpreter"}]})
        assert [one["type"] for one in sender.requests[0]["tools"]] == [
            *("code_interpreter", "web_search", "file_search", "function")
        ]

    @pytest.mark.parametrize(
        ("choice", "then"),
        [
            ("required", "auto"),
            ("none", "none"),
            (ToolChoiceFunction(name="add"), "auto"),
            ({"type": "custom", "name": "sql"}, "auto"),
            (
                ToolChoiceAllowed(mode="required", tools=[{"type": "function", "name": "add"}]),
                {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "add"}]},
            ),
        ],
    )
    def test_a_call_that_is_forced_is_forced_once(self, choice: Any, then: object) -> None:
        sender = HandSender()
        run(sender, request={**ASK, "tool_choice": choice})
        sender.call(add_call())
        assert sender.requests[0]["tool_choice"] == plain_json(choice)
        assert sender.requests[1]["tool_choice"] == then
        assert sender.requests[1]["previous_response_id"] == "resp_1"

    def test_on_a_lane_of_a_socket(self, server: ResponsesServer) -> None:
        server.reply(FunctionCall("add", {"a": 1, "b": 2}), "Done.")
        with ResponsesWebSocket(server.url) as socket:
            got = run(socket.lane("side"), request={"model": "m", "input": "hi"}).wait()
        assert [one["stream_id"] for one in server.requests] == ["side", "side"]
        assert {event.stream_id for event in got.values if not isinstance(event, TurnStartedEvent)} == {"side"}

    def test_no_tools_at_all(self) -> None:
        sender = HandSender()
        run(sender, [])
        assert "tools" not in sender.requests[0]

    def test_a_tool_that_the_request_defines_itself_stays_as_it_is_there(self) -> None:
        sender = HandSender()
        mine = FunctionTool(name="add", parameters={}, description="mine")
        run(sender, request={**ASK, "tools": [mine]})
        assert [one["description"] for one in sender.requests[0]["tools"]] == ["mine"]

    def test_text_of_all_turns(self) -> None:
        with ResponsesServer() as server, ResponsesWebSocket(server.url) as socket:
            server.reply(["Let me add.", FunctionCall("add", {"a": 1, "b": 2})], "It is 3.")
            texts = run_tools(socket, ASK, [add]).pipe(rops.collect_text(), ops.to_list()).run()
            assert texts == ["Let me add.", "It is 3."]


class TestWhenCallsStart:
    def test_before_the_terminal_event(self) -> None:
        sender = HandSender()
        got = run(sender)
        sender.emit(created("resp_1"), item_done(add_call()))
        assert own(got) == ["turn_started", "tool_call_started", "tool_call_output"]
        assert len(sender.requests) == 1

    def test_not_eager(self) -> None:
        sender = HandSender()
        got = run(sender, eager=False)
        sender.emit(created("resp_1"), item_done(add_call()))
        assert own(got) == ["turn_started"]
        sender.end(completed(add_call(), add_call(2), id="resp_1"))
        assert [item["call_id"] for item in sender.input] == ["call_1", "call_2"]

    @pytest.mark.parametrize("ending", [failed(), error_event()])
    def test_a_response_that_fails_ends_the_run(self, ending: ServerEvent) -> None:
        sender = HandSender()
        got = run(sender)
        sender.end(created("resp_1"), item_done(add_call()), ending, item_done(add_call(2), 1))
        assert (got.completions, got.errors, got.values[-1]) == (1, [], ending)
        assert len(sender.requests) == 1

    def test_a_cancelled_response_ends_the_run(self) -> None:
        sender = HandSender()
        got = run(sender)
        sender.end(created("resp_1"), completed(add_call(), id="resp_1", status="cancelled"))
        assert (got.completions, len(sender.requests)) == (1, 1)

    def test_a_refusal_ends_the_run(self) -> None:
        sender = HandSender()
        got = run(sender)
        refusal = {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
        sender.end(wire_event("response.completed", response={"id": "resp_1", "output": [refusal]}))
        assert got.completions == 1

    @pytest.mark.parametrize("reason", ["steered", "content_filter", "max_output_tokens"])
    def test_scenario_37_a_steered_or_cut_response_ends_the_run(self, reason: str) -> None:
        sender = HandSender()
        got = run(sender)
        sender.end(created("resp_1"), incomplete(message("Hal"), id="resp_1", reason=reason))
        assert (got.completions, got.values[-1].type) == (1, "response.incomplete")

    def test_a_call_that_was_cut_is_never_made(self) -> None:
        sender = HandSender()
        got = run(sender)
        cut = add_call(status="incomplete", arguments='{"a": 1, ')
        sender.end(created("resp_1"), item_done(cut), incomplete(cut, id="resp_1"))
        assert (got.completions, own(got)) == (1, ["turn_started"])

    def test_the_whole_calls_of_a_cut_response_are_answered(self) -> None:
        sender = HandSender()
        run(sender)
        cut = add_call(2, status="incomplete", arguments="{")
        sender.end(created("resp_1"), incomplete(add_call(), cut, id="resp_1"))
        assert [item["call_id"] for item in sender.input] == ["call_1"]

    def test_a_call_that_may_be_cut_is_answered_but_not_made(self) -> None:
        sender = HandSender()
        made: list[str] = []
        run(sender, [ClientTool(CustomTool(name="sql"), made.append)])
        sql = ResponseCustomToolCall(id="ct_1", call_id="c", name="sql", input="DELETE", status="in_progress")
        sender.end(created("resp_1"), incomplete(sql, id="resp_1"))
        assert made == []
        assert "the response ended inside this call" in sender.input[0]["output"]

    def test_a_response_that_cannot_be_read(self) -> None:
        sender = HandSender()
        got = run(sender)
        sender.end(wire_event("response.completed", response=5))
        assert isinstance(got.error, UnreadableResponseError)

    def test_a_source_without_a_terminal_event(self) -> None:
        sender = HandSender()
        got = run(sender)
        sender.end(created("resp_1"))
        assert (got.completions, got.types) == (1, ["rxresponses.turn_started", "response.created"])


class TestLimits:
    def test_max_turns(self) -> None:
        sender = HandSender()
        got = run(sender, max_turns=2)
        sender.call(add_call(1))
        sender.call(add_call(2))
        assert isinstance(got.error, MaxTurnsError)
        assert got.error.max_turns == 2
        assert got.error.response is not None
        assert got.error.response.id == "resp_2"
        assert [record.call_id for record in got.error.calls] == ["call_1"]
        assert [call.call_id for call in got.error.ledger.unanswered] == ["call_2"]
        assert "after 2 turns" in str(got.error)
        assert own(got).count("tool_call_started") == 1  # no request could bring the output of the second

        run(sender, ledger=got.error.ledger, max_turns=3)
        sender.wait_for(3)
        assert sender.input == [{"type": "function_call_output", "call_id": "call_2", "output": "3"}]
        sender.say()

    def test_tokens(self) -> None:
        sender = HandSender()
        got = run(sender, max_tokens=10)
        sender.call(add_call(1), usage=USAGE)
        sender.call(add_call(2), usage=USAGE)
        assert (got.completions, len(sender.requests)) == (1, 2)
        last = got.values[-1]
        assert isinstance(last, BudgetReachedEvent)
        assert (last.tokens, last.max_tokens) == (14, 10)
        assert [plain_json(item)["call_id"] for item in last.outputs] == ["call_2"]

    @pytest.mark.parametrize("operator", [rops.parse_output, rops.partial_output, rops.elements])
    def test_tokens_without_a_typed_answer(self, operator: Any) -> None:
        sender = HandSender()
        got = Recorder(run_tools(sender, ASK, [add], max_tokens=5).pipe(operator(list[int])))
        sender.call(add_call(1), usage=USAGE)
        assert (got.values, len(sender.requests)) == ([], 1)
        error = got.wait().error
        assert isinstance(error, ResponseIncompleteError)
        assert isinstance(error.event, BudgetReachedEvent)
        for wanted in ("has used 7 tokens", "`max_tokens` allows 5"):
            assert wanted in str(error)

    def test_a_typed_answer_after_turns_without_one(self) -> None:
        sender = HandSender()
        got = Recorder(run_tools(sender, ASK, [add], max_tokens=50).pipe(rops.parse_output(list[int])))
        sender.call(add_call(1), usage=USAGE)
        sender.say("[3]", usage=USAGE)
        assert (got.wait().values, got.completions) == ([[3]], 1)

    def test_a_budget_that_is_reached_when_the_model_is_done(self) -> None:
        sender = HandSender()
        got = run(sender, max_tokens=1)
        sender.say(usage=USAGE)
        assert (got.completions, own(got)) == (1, ["turn_started"])

    def test_counts_of_servers_that_add_nothing_up(self) -> None:
        ledger, sender = ToolLedger(), HandSender()
        run(sender, ledger=ledger)
        usage = {"input_tokens": 3, "output_tokens": 4}
        sender.end(wire_event("response.completed", response={"id": "resp_1", "output": [], "usage": usage}))
        assert ledger.tokens == 7


class TestOnALoop:
    def test_calls_run_at_once_up_to_the_limit_and_outputs_keep_their_order(self, server: ResponsesServer) -> None:
        async def main() -> None:
            running: list[int] = []
            most: list[int] = []
            gates = [asyncio.Event() for _ in range(3)]

            async def wait(number: int) -> int:
                """Wait."""
                running.append(number)
                most.append(len(running))
                await gates[number].wait()
                running.remove(number)
                return number

            server.reply([FunctionCall("wait", {"number": number}) for number in range(3)], "Done.")
            async with ResponsesWebSocket(server.url) as socket:
                got = AsyncRecorder(run_tools(socket, ASK, [wait], max_concurrent=2))
                await got.until(lambda: own(got).count("tool_call_started") == 2)
                gates[1].set()
                await got.until(lambda: own(got).count("tool_call_started") == 3)
                gates[2].set()
                await got.until(lambda: own(got).count("tool_call_output") == 2)
                gates[0].set()
                await got.until_end()
            outputs = [event.call_id for event in got.values if isinstance(event, ToolCallOutputEvent)]
            sent = server.requests[1]["input"]
            assert [item["output"] for item in sent] == ["0", "1", "2"]
            assert outputs == [sent[number]["call_id"] for number in (1, 2, 0)]
            assert max(most) == 2

        asyncio.run(asyncio.wait_for(main(), 10))

    def test_an_exclusive_call_runs_alone(self) -> None:
        """All calls are known at the same time, so without the mark they would run at the same time."""
        log: list[str] = []

        async def other(name: str) -> None:
            """Log."""
            log.append(f"+{name}")
            await asyncio.sleep(0)
            log.append(f"-{name}")

        alone = tool(other, name="alone", exclusive=True)
        calls = [
            add_call(number, name=tool_name, arguments=f'{{"name": "{name}"}}')
            for number, (tool_name, name) in enumerate([("other", "a"), ("alone", "B"), ("other", "c")], 1)
        ]

        async def main() -> None:
            sender = HandSender()
            got = AsyncRecorder(run_tools(sender, ASK, [other, alone]))
            sender.call(*calls)
            await got.until(lambda: sum(isinstance(event, ToolCallOutputEvent) for event in got.values) == 3)
            got.subscription.dispose()

        asyncio.run(asyncio.wait_for(main(), 10))
        assert log == ["+a", "-a", "+B", "-B", "+c", "-c"]

    def test_where_tools_run_and_what_they_see(self, server: ResponsesServer) -> None:
        seen: list[str] = []
        name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="")
        threads: list[threading.Thread] = []

        def plain() -> str:
            """See."""
            threads.append(threading.current_thread())
            return name.get()

        async def later() -> str:
            """See."""
            threads.append(threading.current_thread())
            return name.get()

        server.reply([FunctionCall("plain"), FunctionCall("later")], [FunctionCall("plain")], "Done.")
        token = name.set("kept")
        with ResponsesWebSocket(server.url) as socket:
            got = Recorder(run_tools(socket, ASK, [plain, later]), on_next=lambda _: seen.append(name.get()))
            name.reset(token)
            got.wait()
        assert [item["output"] for one in server.requests[1:] for item in one["input"]] == ["kept"] * 3
        by_name = {thread.name: thread for thread in threads}
        assert by_name.keys() == {"rxresponses", "rxresponses tool"}
        assert all(thread.daemon for thread in threads)
        assert set(seen) == {"kept"}
        # The first event comes when the run is subscribed, all others from the loop.
        assert got.threads == {threading.get_ident(), by_name["rxresponses"].ident}

    def test_a_plain_function_that_returns_a_coroutine(self, server: ResponsesServer) -> None:
        async def later(a: int, b: int) -> int:
            return a + b

        def plain(a: int, b: int) -> Any:
            """Add."""
            return later(a, b)

        server.reply(FunctionCall("plain", {"a": 1, "b": 2}), "Done.")
        with ResponsesWebSocket(server.url) as socket:
            run(socket, [plain]).wait()
        assert server.requests[1]["input"][0]["output"] == "3"

    def test_on_the_loop_of_the_subscriber(self, server: ResponsesServer) -> None:
        """The socket lives on the background loop, and the tools run on the loop that subscribes."""

        async def where() -> bool:
            """See."""
            return asyncio.get_running_loop() is loops[0]

        async def main() -> None:
            loops.append(asyncio.get_running_loop())
            await run_tools(socket, ASK, [where])

        loops: list[asyncio.AbstractEventLoop] = []
        server.reply("Hi", FunctionCall("where"), "Done.")
        with ResponsesWebSocket(server.url) as socket:
            Recorder(socket.send_request(ASK)).wait()
            asyncio.run(asyncio.wait_for(main(), 10))
        assert server.requests[2]["input"][0]["output"] == "true"

    def test_the_first_call_starts_while_the_response_is_held(self, server: ResponsesServer) -> None:
        gate = server.gate()
        server.reply([FunctionCall("add", {"a": 1, "b": 2}), Hold(gate, after=16), "And then"], "Done.")
        with ResponsesWebSocket(server.url) as socket:
            got = run(socket)
            got.wait(lambda: "rxresponses.tool_call_output" in got.types)
            assert "response.completed" not in got.types
            gate.open()
            got.wait()
        assert len(server.requests) == 2


class TestDisposing:
    def test_while_a_response_streams(self) -> None:
        sender = HandSender()
        got = run(sender)
        sender.emit(created("resp_1"))
        got.subscription.dispose()
        assert sender.disposals == 1
        sender.end(item_done(add_call()), completed(add_call()))
        assert own(got) == ["turn_started"]

    @pytest.mark.parametrize("on_loop", [True, False])
    def test_cancels_async_calls(self, server: ResponsesServer, *, on_loop: bool) -> None:
        async def main() -> None:
            begun, cancelled = asyncio.Event(), asyncio.Event()

            async def endless() -> None:
                """Wait."""
                begun.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    cancelled.set()

            server.reply(FunctionCall("endless"))
            ledger = ToolLedger()
            async with ResponsesWebSocket(server.url) as socket:
                got = AsyncRecorder(run_tools(socket, ASK, [endless], ledger=ledger))
                await begun.wait()
                if on_loop:
                    got.subscription.dispose()
                else:
                    await asyncio.to_thread(got.subscription.dispose)
                await cancelled.wait()
            assert not got.ended
            assert len(ledger.unknown) == 1
            assert not ledger.in_use

        asyncio.run(asyncio.wait_for(main(), 10))

    def test_leaves_functions_on_threads_to_their_end(self, server: ResponsesServer) -> None:
        begun, go_on = threading.Event(), threading.Event()

        def slow() -> str:
            """Wait."""
            begun.set()
            assert go_on.wait(10)
            return "at last"

        saved = threading.Event()

        def save(ledger: ToolLedger) -> None:
            if ledger.calls and not ledger.unknown:
                saved.set()

        ledger = ToolLedger(save=save)
        server.reply(FunctionCall("slow"))
        with ResponsesWebSocket(server.url) as socket:
            got = run(socket, [slow], ledger=ledger)
            assert begun.wait(10)
            got.subscription.dispose()
            go_on.set()
            assert saved.wait(10)
            assert ledger.calls[0].output is not None
        assert not got.ended
        assert "rxresponses.tool_call_output" not in got.types

    @pytest.mark.parametrize("kind", [TurnStartedEvent, ToolCallStartedEvent, ToolCallOutputEvent, BudgetReachedEvent])
    def test_by_the_observer(self, kind: type[ServerEvent]) -> None:
        sender = HandSender()
        made: list[int] = []

        def note(a: int, b: int) -> None:
            """Note."""
            made.append(a)

        stop = ops.take_while(lambda event: not isinstance(event, kind), inclusive=True)
        got = Recorder(run_tools(sender, ASK, [note], max_tokens=1).pipe(stop))
        if kind is not TurnStartedEvent:
            sender.call(add_call(name="note"), usage=USAGE)
        assert isinstance(got.values[-1], kind)
        assert made == ([1] if kind in (ToolCallOutputEvent, BudgetReachedEvent) else [])


def test_types() -> None:
    async def later(a: int) -> int:
        """Wait."""
        return a

    source = run_tools(HandSender(), ASK, [add, later, tool(add, name="sum"), WebSearchTool()])
    assert_type(source, Observable[ServerEvent])


def test_an_observer_that_raises_ends_its_run_only(server: ResponsesServer) -> None:
    def fail_at(kind: type[ServerEvent]) -> Callable[[ServerEvent], None]:
        def on_next(event: ServerEvent) -> None:
            if isinstance(event, kind):
                raise ValueError("not mine")

        return on_next

    server.on("hi", [FunctionCall("add", {"a": 1, "b": 2})])
    server.on("ho", "Done.")
    with ResponsesWebSocket(server.url) as socket:
        for kind in (ToolCallStartedEvent, ToolCallOutputEvent):
            got = Recorder(run_tools(socket, ASK, [add]), fail_at(kind)).wait()
            assert "not mine" in str(got.error)
        assert Recorder(socket.send_request({**ASK, "input": "ho"})).wait().completions == 1
