"""Which calls are whole, and when; and which of them run at the same time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rxresponses.conversations.tool_calls import CallQueue, CallReader
from rxresponses.errors import DecodeError
from rxresponses.wire.events import ServerEvent
from rxresponses.wire.models import (
    LocalShellCall,
    McpApprovalRequest,
    ResponseContainerReference,
    ResponseCustomToolCall,
    ResponseFunctionShellToolCall,
    ResponseFunctionShellToolCallOutput,
    ResponseLocalEnvironment,
    ResponseToolSearchCall,
)

from ..effort import examples
from ..support.events import (
    call,
    completed,
    created,
    delta,
    failed,
    incomplete,
    item_added,
    item_done,
    message,
    wire_event,
)


def arguments_done(text: str, index: int = 0) -> ServerEvent:
    kind = "response.function_call_arguments.done"
    return wire_event(kind, output_index=index, item_id=f"fc_{index + 1}", arguments=text)


def read(reader: CallReader, *events: ServerEvent) -> list[list[str]]:
    """Return the ids of the calls that each event made whole."""
    found = [reader.finish(event) if event.is_terminal else reader.read(event) for event in events]
    return [[call.call_id for call in calls] for calls in found]


def announced(number: int = 1, **fields: Any) -> ServerEvent:
    return item_added(call(number, arguments="", status="in_progress", **fields), number - 1)


class TestWhenACallIsWhole:
    def test_with_its_arguments_before_the_item_and_the_response_end(self) -> None:
        reader = CallReader()
        assert read(
            reader,
            created(),
            delta("Let me see."),
            announced(),
            arguments_done('{"a": 1}'),
            item_done(call(arguments='{"a": 1}', status="completed")),
            completed(call(arguments='{"a": 1}', status="completed")),
        ) == [[], [], [], ["call_1"], [], []]
        assert [one.text for one in reader.in_order()] == ['{"a": 1}']
        assert reader.response is not None

    def test_with_its_item_if_the_server_sends_no_arguments_done(self) -> None:
        assert read(CallReader(), created(), item_done(call(status="completed"))) == [[], ["call_1"]]

    def test_with_the_terminal_event_if_that_is_all(self) -> None:
        assert read(CallReader(), created(), completed(call())) == [[], ["call_1"]]

    def test_with_its_item_if_the_arguments_are_no_json_and_the_call_is_complete(self) -> None:
        wrong = call(arguments="{a: 1}", status="completed")
        assert read(CallReader(), announced(), arguments_done("{a: 1}"), item_done(wrong)) == [[], [], ["call_1"]]

    def test_with_the_terminal_event_if_the_arguments_come_only_there(self) -> None:
        reader = CallReader()
        empty = call(arguments="", status="completed")
        assert read(reader, announced(), arguments_done(""), item_done(empty), completed(call())) == [
            *([], [], []),
            ["call_1"],
        ]
        assert reader.in_order()[0].text == "{}"

    def test_an_unannounced_call_waits_for_its_name(self) -> None:
        done = item_done(call(status="completed"))
        assert read(CallReader(), arguments_done("{}"), done) == [[], ["call_1"]]

    def test_arguments_of_what_is_no_call(self) -> None:
        assert read(CallReader(), item_added(message("Hi", id="fc_1")), arguments_done("{}")) == [[], []]

    def test_a_repeated_id_is_one_call(self) -> None:
        twice = [call(1, status="completed"), call(2, call_id="call_1", status="completed")]
        assert read(CallReader(), item_done(twice[0], 0), item_done(twice[1], 1), completed(*twice)) == [
            *(["call_1"], [], [])
        ]

    def test_two_interleaved_calls_come_as_they_are_whole_and_are_ordered_as_the_response_is(self) -> None:
        reader = CallReader()
        calls = [call(1, status="completed"), call(2, status="completed")]
        events = [announced(1), announced(2), arguments_done("{}", 1), arguments_done("{}", 0), completed(*calls)]
        assert read(reader, *events) == [[], [], ["call_2"], ["call_1"], []]
        assert [one.call_id for one in reader.in_order()] == ["call_1", "call_2"]

    def test_another_response_begins_anew(self) -> None:
        reader = CallReader()
        done = item_done(call(status="completed"))
        assert read(reader, created("a"), done, created("a"), done, created("b"), done) == [
            *([], ["call_1"], []),
            *([], [], ["call_1"]),
        ]

    def test_a_call_without_an_id(self) -> None:
        with pytest.raises(DecodeError, match="without a `call_id`"):
            CallReader().finish(completed(call(id=None, call_id="")))


class TestCallsThatNeverStart:
    def test_a_call_whose_arguments_were_cut(self) -> None:
        cut = call(arguments='{"a": ', status="incomplete")
        assert read(CallReader(), announced(), arguments_done('{"a": '), item_done(cut), incomplete(cut)) == [[]] * 4

    def test_a_cut_call_that_says_it_is_complete_is_answered_but_not_made(self) -> None:
        reader = CallReader()
        cut = call(arguments='{"a": ', status="in_progress")
        assert read(reader, announced(), arguments_done('{"a": '), incomplete(cut)) == [[], [], ["call_1"]]
        assert [one.is_cut for one in reader.in_order()] == [True]

    def test_a_custom_call_whose_input_may_be_cut(self) -> None:
        reader = CallReader()
        sql = ResponseCustomToolCall(id="ct_1", call_id="c", name="sql", input="DELETE FROM t", status="in_progress")
        assert read(reader, incomplete(sql)) == [["c"]]
        assert reader.in_order()[0].is_cut

    @pytest.mark.parametrize("ending", [completed, incomplete])
    def test_whole_calls_of_a_cut_response_are_made(self, ending: Any) -> None:
        reader = CallReader()
        approval = McpApprovalRequest(id="mcpr_1", name="drop", arguments="{}")
        assert read(reader, ending(call(), approval)) == [["call_1", "mcpr_1"]]
        assert not any(one.is_cut for one in reader.in_order())

    def test_calls_of_a_failed_response(self) -> None:
        reader = CallReader()
        assert read(reader, announced(), failed()) == [[], []]
        assert reader.response is None

    def test_a_terminal_event_that_cannot_be_read(self) -> None:
        reader = CallReader()
        assert read(reader, announced(), wire_event("response.completed", response=5)) == [[], []]
        assert reader.response is None


class TestOtherCalls:
    @pytest.mark.parametrize(
        "item",
        [
            ResponseCustomToolCall(id="x", call_id="call_1", name="sql", input="SELECT 1"),
            LocalShellCall(id="x", call_id="call_1"),
            ResponseFunctionShellToolCall(id="x", call_id="call_1", environment=ResponseLocalEnvironment()),
            ResponseToolSearchCall(id="x", call_id="call_1", execution="client"),
            McpApprovalRequest(id="call_1", name="drop"),
        ],
    )
    def test_start_with_their_item(self, item: Any) -> None:
        assert read(CallReader(), item_done(item), completed(item)) == [["call_1"], []]

    def test_an_input_that_is_done_may_still_be_cut(self) -> None:
        begun = ResponseCustomToolCall(id="ct_1", call_id="c", name="sql")
        done = wire_event("response.custom_tool_call_input.done", output_index=0, item_id="ct_1", input="DELETE FROM t")
        assert read(CallReader(), item_added(begun), done) == [[], []]

    def test_a_shell_of_the_server_is_answered_by_the_server(self) -> None:
        shell = ResponseFunctionShellToolCall(id="x", call_id="c")
        output = ResponseFunctionShellToolCallOutput(id="y", call_id="c")
        there = ResponseFunctionShellToolCall(call_id="d", environment=ResponseContainerReference(container_id="e"))
        search = ResponseToolSearchCall(id="s", call_id="s", execution="server")
        events = [item_done(shell), item_done(output, 1), item_done(search, 2), completed(shell, output, there, search)]
        assert read(CallReader(), *events) == [[]] * 4

    def test_a_shell_of_unknown_place_waits_for_the_end(self) -> None:
        shell = ResponseFunctionShellToolCall(id="x", call_id="c")
        assert read(CallReader(), item_done(shell), completed(shell)) == [[], ["c"]]
        assert read(CallReader(has_shell=True), item_done(shell), completed(shell)) == [["c"], []]


class TestWhichCallsRunAtOnce:
    def test_in_order_up_to_the_limit(self) -> None:
        queue = CallQueue(2)
        for name in "abc":
            queue.add(name, exclusive=False)
        assert [queue.start(), queue.start(), queue.start()] == ["a", "b", None]
        queue.finish("a")
        assert (queue.start(), queue.running) == ("c", 2)

    def test_an_exclusive_call_runs_alone_and_has_its_turn(self) -> None:
        queue = CallQueue(9)
        for name in "aBc":
            queue.add(name, exclusive=name.isupper())
        assert [queue.start(), queue.start()] == ["a", None]
        queue.finish("a")
        assert [queue.start(), queue.start()] == ["B", None]
        queue.finish("B")
        assert [queue.start(), queue.start()] == ["c", None]

    @settings(max_examples=examples(100))
    @given(st.lists(st.booleans(), max_size=12), st.integers(1, 4), st.randoms(use_true_random=False))
    def test_any_calls_all_run_within_the_limit_and_exclusive_ones_alone(
        self, exclusive: list[bool], limit: int, random: Any
    ) -> None:
        queue = CallQueue(limit)
        started: list[int] = []
        running: list[int] = []
        waiting = list(range(len(exclusive)))
        while waiting or running or len(started) < len(exclusive):
            if waiting and random.random() < 0.5:
                number = waiting.pop(0)
                queue.add(str(number), exclusive=exclusive[number])
            while (found := queue.start()) is not None:
                started.append(int(found))
                running.append(int(found))
            assert len(running) <= limit
            assert len(running) == queue.running
            assert len(running) == 1 or not any(exclusive[number] for number in running)
            if running and random.random() < 0.5:
                queue.finish(str(running.pop(random.randrange(len(running)))))
        assert started == list(range(len(exclusive)))
