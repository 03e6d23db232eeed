"""Streams of real servers, in which a text, an item or a call has only some of its usual events."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rxresponses.operators import (
    accumulate_response,
    accumulate_text,
    collect_text,
    final_response,
    function_calls,
    text_deltas,
    usage,
)
from rxresponses.wire.codec import decode
from rxresponses.wire.events import (
    ResponseContentPartDoneEvent,
    ResponseFunctionCallArgumentsDeltaEvent,
    ResponseFunctionCallArgumentsDoneEvent,
    ResponseMcpCallFailedEvent,
    ResponseShellCallCommandAddedEvent,
    ResponseShellCallCommandDeltaEvent,
    ResponseShellCallOutputContentDeltaEvent,
    ResponseShellCallOutputContentDoneEvent,
    ResponseTextDeltaEvent,
    ResponseWebSearchCallCompletedEvent,
    ResponseWebSearchCallSearchingEvent,
    ServerEvent,
    ShellCallOutputDelta,
)
from rxresponses.wire.models import (
    Logprob,
    McpCall,
    OutputOutcomeExit,
    ResponseFunctionShellToolCall,
    ResponseFunctionShellToolCallOutput,
    ResponseFunctionWebSearch,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseToolSearchCall,
    ShellCallAction,
    ShellCommandOutput,
)

from ..support.events import (
    EMOJI,
    HIGH,
    LOW,
    call,
    completed,
    created,
    delta,
    incomplete,
    item_added,
    item_done,
    message,
    text_done,
)
from ..support.marbles import run


def tells(*events: ServerEvent, deltas: list[str], whole: str) -> None:
    """Check that all operators find the same text in the events."""
    assert run(text_deltas(), *events).values == deltas
    assert run(accumulate_text(), *events).values[-1] == whole
    assert run(collect_text(), *events).values == [whole]
    assert run(final_response(), *events).values[-1].output_text == whole
    assert run(accumulate_response(), *events).values[-1].output_text == whole


@pytest.mark.parametrize("output", [{"output": None}, {}, {"output": []}])
def test_scenario_60_a_terminal_event_without_the_output(output: dict[str, Any]) -> None:
    end = decode(json.dumps({"type": "response.completed", "response": {"id": "resp_1", **output}}))

    tells(created(), delta("He"), delta("llo"), end, deltas=["He", "llo"], whole="Hello")
    tells(created(), item_done(message("Hello")), end, deltas=["Hello"], whole="Hello")
    [response] = run(final_response(), created(), delta("Hello"), end).values
    assert response.to_dict()["output"][0]["content"][0]["text"] == "Hello"


@pytest.mark.parametrize("nothing", [{}, {"response": None}], ids=["missing", "null"])
@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("response.done", "completed"),
        ("response.completed", "completed"),
        ("response.incomplete", "incomplete"),
        ("response.cancelled", "cancelled"),
        ("response.canceled", "cancelled"),
    ],
)
def test_scenario_60_a_terminal_event_without_a_response(kind: str, status: str, nothing: dict[str, Any]) -> None:
    end = decode(json.dumps({"type": kind, **nothing}))
    fields = {"id": "r", "model": "m", "usage": {"total_tokens": 7}}
    began = decode(json.dumps({"type": "response.created", "response": fields}))
    output = [delta("Hi"), item_added(call(), 1)]
    for events in ([began, *output], [*output, began]):
        [response] = run(final_response(), *events, end).values
        assert (response.id, response.model, response.status, response.output_text) == ("r", "m", status, "Hi")
        assert run(accumulate_response(), *events, end).values[-1] == response
        assert run(collect_text(), *events, end).values == ["Hi"]
        assert run(accumulate_text(), *events, end).values[-1] == "Hi"
        assert run(text_deltas(), *events, end).values == ["Hi"]
        assert [found.total_tokens for found in run(usage(), *events, end).values] == [7]
        calls = run(function_calls(), *events, end).values
        assert [found.call_id for found in calls] == ["call_1"]
    for operator, values in ((collect_text(), [""]), (text_deltas(), []), (usage(), []), (function_calls(), [])):
        assert (run(operator, end).values, run(operator, end).errors) == (values, [])
    [empty] = run(final_response(), end).values
    assert (empty.id, empty.status, empty.output) == ("", status, [])


def test_scenario_60_a_hollow_item_or_part_erases_nothing() -> None:
    hollow = ResponseOutputMessage(id="msg_1", role="assistant", status="completed")
    part = ResponseContentPartDoneEvent(part=ResponseOutputText(), output_index=0, content_index=0)
    events = [created(), delta("Hello"), text_done(""), part, item_done(hollow)]

    tells(*events, completed(), deltas=["Hello"], whole="Hello")
    tells(*events, completed(hollow), deltas=["Hello"], whole="Hello")
    assert run(accumulate_response(), *events).values[-1].output == [
        ResponseOutputMessage(
            id="msg_1", role="assistant", status="completed", content=[ResponseOutputText(text="Hello")]
        )
    ]


def test_scenario_60_a_second_message_that_only_one_event_has() -> None:
    second = text_done(" world", output_index=1, item_id="msg_2")
    for event in (second, item_done(message(" world", "msg_2"), 1)):
        tells(created(), delta("Hello"), event, completed(), deltas=["Hello", " world"], whole="Hello world")
    no_index = text_done(" world", output_index=None, item_id="msg_2")
    first = delta("Hello", output_index=None)
    tells(created(), first, no_index, completed(), deltas=["Hello", " world"], whole="Hello world")
    end = completed(message("Hello"), message(" world", "msg_2"))
    tells(created(), delta("Hello"), end, deltas=["Hello", " world"], whole="Hello world")


def test_scenario_60_a_done_event_longer_than_its_deltas() -> None:
    tells(created(), delta("He"), text_done("Hello"), completed(), deltas=["He", "llo"], whole="Hello")
    tells(created(), delta("He"), item_done(message("Hello")), completed(), deltas=["He", "llo"], whole="Hello")
    tells(created(), delta("He"), completed(message("Hello")), deltas=["He", "llo"], whole="Hello")
    # A delta in the middle is missing: what was emitted stays, but the whole text is right.
    tells(created(), delta("He"), delta("o"), text_done("Hello"), completed(), deltas=["He", "o"], whole="Hello")


def test_scenario_60_a_done_event_shorter_than_its_deltas() -> None:
    tells(created(), delta("Hello"), text_done("Hel"), completed(), deltas=["Hello"], whole="Hello")


def test_scenario_60_a_repeated_created_event() -> None:
    events = [created(), delta("He"), created(), delta("llo"), item_done(call(), 1), created(), completed()]

    tells(*events, deltas=["He", "llo"], whole="Hello")
    assert run(function_calls(), *events).values == [call()]


def test_scenario_60_a_delta_before_created() -> None:
    tells(delta("He"), created(), delta("llo"), completed(), deltas=["He", "llo"], whole="Hello")


def test_scenario_60_interleaved_items_with_split_characters() -> None:
    def second(text: str) -> ResponseTextDeltaEvent:
        return delta(text, output_index=1, item_id="msg_2")

    events = [created(), delta("a" + HIGH), second("b" + HIGH), delta(LOW), second(LOW + "!"), completed()]

    tells(*events, deltas=["a", "b", EMOJI, EMOJI + "!"], whole=f"a{EMOJI}b{EMOJI}!")
    assert run(accumulate_text(), *events).values == ["a", "ab", f"a{EMOJI}b", f"a{EMOJI}b{EMOJI}!"]


def test_scenario_60_interleaved_deltas_of_plain_text() -> None:
    def second(text: str) -> ResponseTextDeltaEvent:
        return delta(text, output_index=1, item_id="msg_2")

    events = [created(), second("x"), second("y"), delta("a"), delta("b"), second("z"), second("!"), completed()]

    tells(*events, deltas=["x", "y", "a", "b", "z", "!"], whole="abxyz!")
    assert run(accumulate_text(), *events).values == ["x", "xy", "axy", "abxy", "abxyz", "abxyz!"]


def test_scenario_60_content_indexes_from_90() -> None:
    events = [created(), item_added(message("")), delta("a", content_index=90), delta("b", content_index=91)]

    tells(*events, completed(), deltas=["a", "b"], whole="ab")
    both = ResponseOutputMessage(id="msg_1", content=[ResponseOutputText(text="a"), ResponseOutputText(text="bc")])
    tells(*events, item_done(both), completed(), deltas=["a", "b", "c"], whole="abc")
    tells(*events, completed(both), deltas=["a", "b", "c"], whole="abc")
    tells(*events[:2], events[3], completed(both), deltas=["b", "ac"], whole="abc")


def test_scenario_60_a_server_that_joins_its_parts() -> None:
    events = [created(), delta("one, "), delta("two", content_index=1)]

    tells(*events, completed(message("one, two")), deltas=["one, ", "two"], whole="one, two")
    tells(*events, item_done(message("one, two")), completed(), deltas=["one, ", "two"], whole="one, two")


def test_scenario_60_a_text_in_the_event_that_adds_its_item() -> None:
    added = item_added(message("Hello"))

    tells(created(), added, completed(), deltas=["Hello"], whole="Hello")
    tells(created(), added, delta("Hel"), delta("lo"), completed(), deltas=["Hel", "lo"], whole="Hello")
    tells(created(), added, delta(" world"), completed(), deltas=["Hello world"], whole="Hello world")


def test_scenario_60_several_items_with_the_same_index() -> None:
    events = [created(), item_added(message(""), 0), delta("a"), item_done(message("a"), 0)]
    other = ResponseOutputMessage(id="msg_2", role="assistant")
    events += [item_added(other, 0), delta("b", item_id="msg_2"), item_done(call(), 0)]

    tells(*events, completed(), deltas=["a", "b"], whole="ab")
    assert run(function_calls(), *events, completed()).values == [call()]


def test_scenario_60_an_item_whose_call_id_changes() -> None:
    begun = ResponseToolSearchCall(id="tsc", call_id="one", status="in_progress")
    whole = ResponseToolSearchCall(id="tsc", call_id="two", status="completed")
    events = [created(), item_added(begun), item_done(whole)]

    for end in (completed(), completed(whole)):
        assert run(final_response(), *events, end).values[-1].output == [whole]


def test_scenario_60_a_terminal_event_that_lists_only_some_items() -> None:
    second = message(" world", "msg_2")
    events = [created(), item_done(message("Hello"), 0), item_done(second, 1), item_done(call(), 2)]
    [response] = run(final_response(), *events, completed(second)).values

    assert response.output == [message("Hello"), second, call()]


def test_scenario_60_shell_commands_and_their_output() -> None:
    shell = ResponseFunctionShellToolCall(id="sh", call_id="c", status="in_progress", action=ShellCallAction())
    printed = ResponseFunctionShellToolCallOutput(id="sho", call_id="c", status="completed")
    output = ShellCommandOutput(stdout="whole", stderr="", outcome=OutputOutcomeExit(exit_code=0))
    events = [
        created(),
        item_added(shell, 0),
        ResponseShellCallCommandAddedEvent(command="", output_index=0, command_index=0),
        ResponseShellCallCommandDeltaEvent(delta="ls", output_index=0, command_index=0),
        ResponseShellCallCommandDeltaEvent(delta=" -a", output_index=0, command_index=0),
        ResponseShellCallCommandDeltaEvent(delta="pwd", output_index=0, command_index=1),
        item_added(printed, 1),
        ResponseShellCallOutputContentDeltaEvent(
            delta=ShellCallOutputDelta(stdout="who", stderr="!"), output_index=1, command_index=0
        ),
    ]
    done = ResponseShellCallOutputContentDoneEvent(output=[output], output_index=1, command_index=0)

    growing = run(accumulate_response(), *events).values[-1].output
    assert growing[0].action == ShellCallAction(commands=["ls -a", "pwd"])  # type: ignore[union-attr]
    assert growing[1].output == [ShellCommandOutput(stdout="who", stderr="!")]  # type: ignore[union-attr]
    final = run(final_response(), *events, done, completed()).values[-1].output
    assert final[0].status == "completed"  # type: ignore[union-attr]
    assert final[1].output == [  # type: ignore[union-attr]
        ShellCommandOutput(stdout="whole", stderr="!", outcome=OutputOutcomeExit(exit_code=0))
    ]


def test_scenario_60_the_status_of_hosted_calls() -> None:
    search = ResponseFunctionWebSearch(id="ws", status="in_progress")
    events = [
        created(),
        item_added(search, 0),
        ResponseWebSearchCallSearchingEvent(output_index=0, item_id="ws"),
        ResponseWebSearchCallCompletedEvent(output_index=0, item_id="ws"),
        ResponseWebSearchCallSearchingEvent(output_index=0, item_id="ws"),  # late
        item_added(McpCall(id="mcp", status="in_progress"), 1),
        ResponseMcpCallFailedEvent(output_index=1, item_id="mcp"),
    ]
    statuses = [[item.status for item in response.output] for response in run(accumulate_response(), *events).values]  # type: ignore[union-attr]

    assert statuses == [
        [],
        ["in_progress"],
        ["searching"],
        ["completed"],
        ["completed", "in_progress"],
        ["completed", "failed"],
    ]


def test_scenario_60_log_probabilities() -> None:
    one, two = Logprob(token="a", logprob=-1.0), Logprob(token="b", logprob=-2.0)
    events = [created(), delta("a", logprobs=[one]), delta("b", logprobs=[two])]

    for end in ([], [text_done("ab")], [text_done("ab", logprobs=[one, two])], [item_done(message("ab"))]):
        [response] = run(final_response(), *events, *end, completed()).values
        [item] = response.output
        assert isinstance(item, ResponseOutputMessage)
        assert item.content == [ResponseOutputText(text="ab", logprobs=[one, two])]


def test_scenario_60_an_item_that_was_cut_short() -> None:
    begun = ResponseOutputMessage(id="msg_1", status="in_progress")
    [response] = run(final_response(), created(), item_added(begun), delta("cut"), incomplete()).values

    assert response.output[0].status == "incomplete"  # type: ignore[union-attr]
    assert response.output_text == "cut"


def arguments(text: str, **fields: Any) -> ResponseFunctionCallArgumentsDeltaEvent:
    return ResponseFunctionCallArgumentsDeltaEvent(**{"delta": text, "output_index": 0, **fields})


def arguments_done(text: str, **fields: Any) -> ResponseFunctionCallArgumentsDoneEvent:
    return ResponseFunctionCallArgumentsDoneEvent(**{"arguments": text, "output_index": 0, **fields})


@pytest.mark.parametrize("indexed", [True, False])
def test_scenario_61_two_calls_with_one_call_id(indexed: bool) -> None:
    one, two = call(1, call_id="c"), call(2, call_id="c", arguments="[]")
    index = [0, 1] if indexed else [None, None]
    done = [item_done(one, index[0]), item_done(two, index[1])]

    assert run(function_calls(), created(), *done, completed()).values == [one, two]
    assert run(function_calls(), created(), *done, completed(one, two)).values == [one, two]
    assert run(function_calls(), created(), completed(one, two)).values == [one, two]
    assert run(function_calls(), created(), done[1], completed(one, two)).values == [two, one]


@pytest.mark.parametrize("first", [1, 2])
def test_scenario_61_a_done_event_for_one_of_two_calls(first: int) -> None:
    other = 3 - first
    events = [created(), item_done(call(first), first - 1)]

    assert run(function_calls(), *events, completed(call(1), call(2))).values == [call(first), call(other)]
    announced = item_added(call(other, arguments="", status="in_progress"), other - 1)
    assert run(function_calls(), *events, announced, arguments("{}", output_index=other - 1), completed()).values == [
        call(first),
        call(other, status="completed"),
    ]


def test_scenario_61_only_the_event_of_whole_arguments() -> None:
    added = item_added(call(arguments="", status="in_progress"))

    assert run(function_calls(), created(), added, arguments_done("{}"), completed()).values == [
        call(status="completed")
    ]
    assert run(function_calls(), created(), arguments_done("{}"), completed(call())).values == [call()]
    assert run(function_calls(), created(), arguments_done("{}"), completed(call(arguments=""))).values == [call()]
    named = arguments_done("{}", name="look", item_id="fc_1")
    assert run(function_calls(), created(), named, completed()).values == [call(call_id="")]


def test_scenario_61_empty_arguments_of_an_announced_call_are_a_place_for_those_of_the_deltas() -> None:
    added = item_added(call(arguments="{}", status="in_progress"))
    pieces = [arguments('{"a"'), arguments(": 1}")]

    whole = call(arguments='{"a": 1}', status="completed")
    for end in ([item_done(whole)], []):
        assert run(function_calls(), created(), added, *pieces, *end, completed()).values == [whole]
    assert run(function_calls(), created(), added, arguments("{}"), completed()).values == [call(status="completed")]
    assert run(function_calls(), created(), added, completed()).values == [call(status="completed")]


@pytest.mark.parametrize("index", [-1, 10**30])
def test_scenario_62_an_output_index_out_of_bounds_tells_nothing(index: int) -> None:
    added = item_added(call(arguments="", status="in_progress"))
    pieces = [arguments("{", output_index=index, item_id="fc_1"), arguments("}", output_index=0, item_id="fc_1")]

    assert run(function_calls(), created(), added, *pieces, completed()).values == [call(status="completed")]


def test_scenario_61_a_call_whose_item_is_hollow() -> None:
    events = [created(), arguments('{"a"'), arguments(": 1}"), item_done(call(arguments=""))]

    assert run(function_calls(), *events).values == [call(arguments='{"a": 1}')]
    hollow = item_done(call(arguments=""))
    assert run(function_calls(), created(), hollow, completed(call())).values == [call()]
    assert run(function_calls(), created(), hollow).values == [call(arguments="")]


def test_scenario_61_a_call_cut_short_without_its_done_event() -> None:
    added = item_added(call(arguments="", status="in_progress"))

    assert not run(function_calls(), created(), added, arguments('{"ci'), incomplete()).values
    whole = [added, arguments_done("{}"), incomplete()]
    assert run(function_calls(), created(), *whole).values == [call(status="completed")]
