"""Streams whose events contradict one another, come twice, or come late."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rxresponses.operators import accumulate_response, collect_text, final_response, function_calls, text_deltas
from rxresponses.wire.codec import decode
from rxresponses.wire.events import (
    ResponseContentPartAddedEvent,
    ResponseContentPartDoneEvent,
    ResponseInProgressEvent,
    ResponseOutputTextAnnotationAddedEvent,
    ResponseShellCallOutputContentDoneEvent,
    ServerEvent,
)
from rxresponses.wire.models import (
    AnnotationFileCitation,
    Logprob,
    Response,
    ResponseFunctionShellToolCallOutput,
    ResponseOutputItem,
    ResponseOutputMessage,
    ResponseOutputRefusal,
    ResponseOutputText,
    ShellCommandOutput,
)

from ..support.events import USAGE, call, completed, created, delta, item_added, item_done, message, text_done
from ..support.marbles import ManualSource, run

ONE, TWO = Logprob(token="a", logprob=-1.0), Logprob(token="b", logprob=-2.0)

PART: dict[str, Any] = {"item_id": "msg_1", "output_index": 0, "content_index": 0}


def output_of(*events: ServerEvent) -> list[ResponseOutputItem]:
    """Return the output of the response that these events and an empty terminal event make."""
    [response] = run(final_response(), created(), *events, completed()).values
    return response.output


def test_a_terminal_event_without_usage_gets_it_from_an_earlier_event() -> None:
    progress = ResponseInProgressEvent(response=Response(id="resp_1", status="in_progress", usage=USAGE))
    [response] = run(final_response(), progress, delta("Hi"), completed()).values

    assert response.usage == USAGE
    assert response.output_text == "Hi"


def test_an_event_in_progress_that_lists_the_output_so_far() -> None:
    begun = Response(id="resp_1", status="in_progress", output=[message("Hi"), call()])
    progress = ResponseInProgressEvent(response=begun)

    assert run(accumulate_response(), created(), progress).values[-1].output == [message("Hi"), call()]
    assert output_of(progress) == [message("Hi"), call()]
    assert output_of(progress, item_done(call(arguments="[1]"), 1)) == [message("Hi"), call(arguments="[1]")]


def test_a_finished_item_without_id_and_index_finishes_the_announced_one() -> None:
    added = item_added(call(id=None, arguments="", status="in_progress"), None)
    done = item_done(call(id=None, status="completed"), None)

    assert output_of(added, done) == [call(id=None, status="completed")]
    assert run(function_calls(), created(), added, done, completed()).values == [call(id=None, status="completed")]


def test_a_delta_with_the_index_of_another_kind_of_item_begins_a_new_item() -> None:
    first, second = output_of(item_done(call()), delta("Hi", item_id="msg_9"))

    assert first == call()
    assert isinstance(second, ResponseOutputMessage)
    assert (second.id, second.content) == ("msg_9", [ResponseOutputText(text="Hi")])


def test_text_events_with_the_id_of_a_function_call_are_left_out() -> None:
    events = [delta("Hi", item_id="fc_1", logprobs=[ONE]), text_done("Hi", item_id="fc_1", logprobs=[ONE])]

    assert output_of(item_done(call()), *events) == [call()]


def test_a_done_event_with_fewer_log_probabilities_than_the_deltas() -> None:
    [item] = output_of(delta("a", logprobs=[ONE]), delta("b", logprobs=[TWO]), text_done("ab", logprobs=[ONE]))

    assert isinstance(item, ResponseOutputMessage)
    assert item.content == [ResponseOutputText(text="ab", logprobs=[ONE, TWO])]


def test_a_refusal_at_the_position_of_a_text_is_left_out() -> None:
    part = ResponseOutputRefusal(refusal="No")
    done = ResponseContentPartDoneEvent(part=part, item_id="msg_1", output_index=0, content_index=0)
    [item] = output_of(delta("Hi"), done)

    assert isinstance(item, ResponseOutputMessage)
    assert item.content == [ResponseOutputText(text="Hi")]


def test_the_parts_of_a_refusal_are_no_text() -> None:
    part = ResponseOutputRefusal(refusal="No")
    done = ResponseContentPartDoneEvent(part=part, item_id="msg_1", output_index=0, content_index=1)

    assert run(text_deltas(), created(), delta("Hi"), done, completed()).values == ["Hi"]
    [item] = output_of(delta("Hi"), done)
    assert isinstance(item, ResponseOutputMessage)
    assert item.content == [ResponseOutputText(text="Hi"), part]


def test_an_annotation_of_a_function_call_is_left_out() -> None:
    citation = AnnotationFileCitation(file_id="file_1", filename="a.txt", index=0)
    annotation = ResponseOutputTextAnnotationAddedEvent(
        annotation=citation, annotation_index=0, item_id="fc_1", output_index=0, content_index=0
    )

    assert output_of(item_done(call()), annotation) == [call()]


def test_scenario_60_annotations_are_in_the_order_of_their_indexes_and_those_without_an_index_are_last() -> None:
    names = [(2, "third"), (0, "first"), (2, "new third"), (None, "fourth"), (None, "fifth"), (1, "second")]
    annotations = [
        ResponseOutputTextAnnotationAddedEvent(
            annotation=AnnotationFileCitation(file_id="file_1", filename=name, index=0), annotation_index=index, **PART
        )
        for index, name in names
    ]

    [item] = output_of(delta("Hi"), *annotations)
    assert isinstance(item, ResponseOutputMessage)
    [part] = item.content
    assert isinstance(part, ResponseOutputText)
    found = [citation.filename for citation in part.annotations if isinstance(citation, AnnotationFileCitation)]
    assert found == ["first", "second", "new third", "fourth", "fifth"]


def test_scenario_60_an_annotation_without_an_index_may_be_the_first() -> None:
    citation = AnnotationFileCitation(file_id="file_1", filename="a.txt", index=0)
    annotation = ResponseOutputTextAnnotationAddedEvent(annotation=citation, **PART)

    [item] = output_of(delta("Hi"), annotation)
    assert isinstance(item, ResponseOutputMessage)
    assert item.content == [ResponseOutputText(text="Hi", annotations=[citation])]


def test_shell_output_with_the_index_of_another_kind_of_item() -> None:
    output = [ShellCommandOutput(stdout="ok", stderr="")]
    same = ResponseShellCallOutputContentDoneEvent(output=output, item_id="fc_1", output_index=0, command_index=0)
    other = ResponseShellCallOutputContentDoneEvent(output=output, item_id="sho_1", output_index=0, command_index=0)

    assert output_of(item_done(call()), same) == [call()]
    first, second = output_of(item_done(call()), other)
    assert first == call()
    assert isinstance(second, ResponseFunctionShellToolCallOutput)
    assert second.output == output


def test_a_part_announced_after_its_deltas_keeps_their_text() -> None:
    part = ResponseOutputText(text="Something longer")
    late = ResponseContentPartAddedEvent(part=part, item_id="msg_1", output_index=0, content_index=0)

    assert run(text_deltas(), created(), delta("Hi"), late, delta("!"), completed()).values == ["Hi", "!"]
    [response] = run(final_response(), created(), delta("Hi"), late, delta("!"), completed()).values
    assert response.output_text == "Hi!"


def test_thousands_of_deltas_make_the_whole_text() -> None:
    deltas = [f"{number} " for number in range(2500)]
    source = ManualSource[ServerEvent]()
    values: list[str] = []
    source.observable.pipe(text_deltas()).subscribe(values.append)
    source.emit(created(), *map(delta, deltas), text_done("".join(deltas) + "end"), completed())

    assert values == [*deltas, "end"]


def test_calls_that_are_not_done_when_the_source_completes_are_left_out() -> None:
    events = [created(), item_added(call(1, arguments=""), 0), item_done(call(2, arguments=""), 1)]

    assert run(function_calls(), *events).values == [call(2, arguments="")]


def streamed(*frames: dict[str, Any]) -> list[ServerEvent]:
    return [decode(json.dumps(frame)) for frame in frames]


PLAIN = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}
OTHER_SHAPES: dict[str, dict[str, Any]] = {
    "a text in place of the parts": {"output": [{**PLAIN, "content": "Hi"}]},
    "parts of the type text": {"output": [{**PLAIN, "content": [{"type": "text", "text": "Hi"}]}]},
    "a text beside the output": {"output": [], "output_text": "Hi"},
    "a text in place of the output": {"output": None, "output_text": "Hi"},
    "a text beside a message that is empty": {"output": [{**PLAIN, "content": []}], "output_text": "Hi"},
}


@pytest.mark.parametrize("shape", OTHER_SHAPES)
@pytest.mark.parametrize("deltas", [[], ["H"], ["H", "i"]])
def test_scenario_60_texts_in_the_shapes_of_other_servers(shape: str, deltas: list[str]) -> None:
    end = {"type": "response.completed", "response": {"id": "resp_1", "status": "completed", **OTHER_SHAPES[shape]}}
    if "output_text" in end["response"] and deltas:
        deltas = ["Hi"]  # what the events tell of a text has precedence
    events = [created(), *map(delta, deltas), *streamed(end)]

    assert run(collect_text(), *events).values == ["Hi"]
    assert "".join(run(text_deltas(), *events).values) == "Hi"
    for operator in (final_response(), accumulate_response()):
        response = run(operator, *events).values[-1]
        assert response.output_text == "Hi"
        assert len(response.output) == 1 or "output_text" in end["response"]


@pytest.mark.parametrize("part", [{"type": "text"}, {"type": "text", "text": 5}, {"type": "video", "text": "Hi"}])
def test_scenario_60_parts_that_are_no_text(part: dict[str, Any]) -> None:
    [done] = streamed({"type": "response.output_item.done", "output_index": 0, "item": {**PLAIN, "content": [part]}})

    assert run(collect_text(), created(), done, completed()).values == [""]
    [item] = output_of(done)
    assert isinstance(item, ResponseOutputMessage)
    assert [kept.type for kept in item.content] == [part["type"]]


def test_scenario_61_the_event_of_whole_arguments_has_the_id_of_the_call() -> None:
    done = {"type": "response.function_call_arguments.done", "item_id": "fc_1", "arguments": "{}"}
    named, unnamed = streamed({**done, "name": "look", "call_id": "call_1"}, {**done, "name": "look", "call_id": 5})

    assert run(function_calls(), created(), named, completed()).values == [call()]
    assert run(function_calls(), created(), item_added(call(id="fc_1", call_id="")), named, completed()).values == [
        call()
    ]
    assert run(function_calls(), created(), item_added(call(call_id="mine")), named, completed()).values == [
        call(call_id="mine")
    ]
    assert run(function_calls(), created(), unnamed, completed()).values == [call(call_id="")]
    assert run(function_calls(), created(), item_done(message("Hi", id="fc_1")), named, completed()).values == []
