from __future__ import annotations

from typing import Any

import pytest
from reactivex import Observable
from typing_extensions import assert_type

from rxresponses.operators import accumulate_response
from rxresponses.wire.base import UnknownItem
from rxresponses.wire.codec import decode
from rxresponses.wire.events import (
    ResponseCodeInterpreterCallCodeDeltaEvent,
    ResponseCodeInterpreterCallCodeDoneEvent,
    ResponseContentPartAddedEvent,
    ResponseContentPartDoneEvent,
    ResponseCustomToolCallInputDeltaEvent,
    ResponseCustomToolCallInputDoneEvent,
    ResponseFunctionCallArgumentsDeltaEvent,
    ResponseFunctionCallArgumentsDoneEvent,
    ResponseInProgressEvent,
    ResponseMcpCallArgumentsDeltaEvent,
    ResponseMcpCallArgumentsDoneEvent,
    ResponseOutputTextAnnotationAddedEvent,
    ResponseReasoningSummaryPartAddedEvent,
    ResponseReasoningSummaryPartDoneEvent,
    ResponseReasoningSummaryTextDeltaEvent,
    ResponseReasoningSummaryTextDoneEvent,
    ResponseReasoningTextDeltaEvent,
    ResponseReasoningTextDoneEvent,
    ResponseRefusalDeltaEvent,
    ResponseRefusalDoneEvent,
    ResponseWebSearchCallSearchingEvent,
    ServerEvent,
)
from rxresponses.wire.models import (
    McpCall,
    ReasoningText,
    Response,
    ResponseCodeInterpreterToolCall,
    ResponseCustomToolCall,
    ResponseOutputMessage,
    ResponseOutputRefusal,
    ResponseOutputText,
    ResponseReasoningItem,
    SummaryText,
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
from ..support.marbles import ManualSource, marbles, run

BEGUN = ResponseOutputMessage(id="msg_1", role="assistant", status="in_progress")
CITATION = UnknownItem(type="citation")  # type: ignore[arg-type]


def outputs(*events: ServerEvent) -> list[list[Any]]:
    """Return the output of each emission except the first, which is that of `response.created`."""
    seen = run(accumulate_response(), created(), *events)
    assert not seen.errors
    return [response.output for response in seen.values[1:]]


def texts(*events: ServerEvent) -> list[str]:
    seen = run(accumulate_response(), created(), *events)
    return [response.output_text for response in seen.values[1:]]


def test_marble_of_the_docstring() -> None:
    end = completed(message("Hello"))
    seen = marbles(
        accumulate_response(),
        (210, created()),
        (220, item_added(BEGUN)),
        (230, delta("He")),
        (240, delta("llo")),
        (250, end),
        (260, None),
    )

    assert [time for time, _ in seen.timed] == [210, 220, 230, 240, 250]
    assert [response.output_text for response in seen.values] == ["", "", "He", "Hello", "Hello"]
    assert seen.values[0] == created().response
    assert seen.values[4] is end.response
    assert seen.values[2].id == "resp_1"
    assert seen.values[2].status == "in_progress"
    assert seen.completions == [260]


def test_snapshots_never_change_and_share_their_unchanged_parts() -> None:
    first, second = message("one", "msg_1"), ResponseOutputMessage(id="msg_2")
    snapshots = outputs(
        item_done(first, 0), item_added(second, 1), delta("a", output_index=1), delta("b", output_index=1)
    )

    assert [[item.content for item in output] for output in snapshots] == [
        [first.content],
        [first.content, []],
        [first.content, [ResponseOutputText(text="a")]],
        [first.content, [ResponseOutputText(text="ab")]],
    ]
    assert all(output[0] is first for output in snapshots)
    assert second.content == []


def test_unknown_fields_are_kept() -> None:
    frames = [
        '{"type": "response.created", "response": {"id": "r", "mood": "good"}}',
        '{"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "mood": "calm"}}',
        '{"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "x"}',
    ]
    response = run(accumulate_response(), *map(decode, frames)).values[-1]

    assert response.output_text == "x"
    assert response.extra == {"mood": "good"}
    assert response.output[0].extra == {"mood": "calm"}


def test_in_progress_updates_the_response_and_keeps_the_output() -> None:
    event = ResponseInProgressEvent(response=Response(id="resp_1", status="in_progress", model="m"))
    seen = run(accumulate_response(), created(), delta("x"), event)

    assert seen.values[-1].model == "m"
    assert seen.values[-1].output_text == "x"


def part_added(part: Any, **fields: Any) -> ResponseContentPartAddedEvent:
    return ResponseContentPartAddedEvent(**{"part": part, "output_index": 0, "content_index": 0, **fields})


def test_content_parts() -> None:
    whole = ResponseOutputText(text="whole")
    snapshots = outputs(
        item_added(BEGUN),
        part_added(ResponseOutputText(text="")),
        delta("a"),
        part_added(ResponseOutputText(text=""), content_index=1),
        delta("b", content_index=1),
        ResponseContentPartDoneEvent(part=whole, output_index=0, content_index=0),
    )

    assert [[part.text for part in output[0].content] for output in snapshots] == [
        [],
        [""],
        ["a"],
        ["a", ""],
        ["a", "b"],
        ["whole", "b"],
    ]


def test_a_done_event_sets_the_text() -> None:
    assert texts(delta("a"), delta("b"), text_done("whole")) == ["a", "ab", "whole"]


@pytest.mark.parametrize(
    ("item", "piece", "end", "field"),
    [
        (
            call(arguments=""),
            ResponseFunctionCallArgumentsDeltaEvent(delta="12", output_index=0),
            ResponseFunctionCallArgumentsDoneEvent(arguments="whole", output_index=0),
            "arguments",
        ),
        (
            McpCall(id="mcp"),
            ResponseMcpCallArgumentsDeltaEvent(delta="12", output_index=0),
            ResponseMcpCallArgumentsDoneEvent(arguments="whole", output_index=0),
            "arguments",
        ),
        (
            ResponseCustomToolCall(id="ctc"),
            ResponseCustomToolCallInputDeltaEvent(delta="12", output_index=0),
            ResponseCustomToolCallInputDoneEvent(input="whole", output_index=0),
            "input",
        ),
        (
            ResponseCodeInterpreterToolCall(id="ci"),
            ResponseCodeInterpreterCallCodeDeltaEvent(delta="12", output_index=0),
            ResponseCodeInterpreterCallCodeDoneEvent(code="whole", output_index=0),
            "code",
        ),
    ],
)
@pytest.mark.parametrize("announced", [True, False])
def test_arguments_input_and_code_of_tool_calls(
    item: Any, piece: ServerEvent, end: ServerEvent, field: str, announced: bool
) -> None:
    snapshots = outputs(*[item_added(item)] * announced, piece, piece, end)

    assert [getattr(output[0], field) for output in snapshots[announced:]] == ["12", "1212", "whole"]
    assert all(type(output[0]) is type(item) for output in snapshots)


@pytest.mark.parametrize(
    ("piece", "end", "content"),
    [
        (
            ResponseRefusalDeltaEvent(delta="12", item_id="msg_1", output_index=0, content_index=0),
            ResponseRefusalDoneEvent(refusal="whole", output_index=0, content_index=0),
            lambda text: ResponseOutputMessage(id="msg_1", content=[ResponseOutputRefusal(refusal=text)]),
        ),
        (
            ResponseReasoningTextDeltaEvent(delta="12", item_id="rs_1", output_index=0, content_index=0),
            ResponseReasoningTextDoneEvent(text="whole", output_index=0, content_index=0),
            lambda text: ResponseReasoningItem(id="rs_1", content=[ReasoningText(text=text)]),
        ),
        (
            ResponseReasoningSummaryTextDeltaEvent(delta="12", item_id="rs_1", output_index=0, summary_index=0),
            ResponseReasoningSummaryTextDoneEvent(text="whole", output_index=0, summary_index=0),
            lambda text: ResponseReasoningItem(id="rs_1", summary=[SummaryText(text=text)]),
        ),
    ],
)
def test_refusals_and_reasoning(piece: ServerEvent, end: ServerEvent, content: Any) -> None:
    assert outputs(piece, piece, end) == [[content("12")], [content("1212")], [content("whole")]]


def test_summary_parts() -> None:
    snapshots = outputs(
        item_added(ResponseReasoningItem(id="rs_1")),
        ResponseReasoningSummaryPartAddedEvent(part=SummaryText(text=""), output_index=0, summary_index=0),
        ResponseReasoningSummaryPartDoneEvent(part=SummaryText(text="why"), output_index=0, summary_index=0),
    )

    assert [output[0].summary for output in snapshots] == [[], [SummaryText(text="")], [SummaryText(text="why")]]


def test_annotations() -> None:
    def annotated(**fields: Any) -> ResponseOutputTextAnnotationAddedEvent:
        return ResponseOutputTextAnnotationAddedEvent(
            **{"annotation": CITATION, "output_index": 0, "content_index": 0, **fields}
        )

    refusal = ResponseRefusalDeltaEvent(delta="no", output_index=0, content_index=1)
    useless = [
        annotated(annotation=None),
        annotated(output_index=7),
        annotated(content_index=7),
        annotated(content_index=1),
    ]
    snapshots = outputs(delta("x"), refusal, *useless, annotated(), annotated())

    assert len(snapshots) == 4
    assert [len(output[0].content[0].annotations) for output in snapshots] == [0, 0, 1, 2]
    assert snapshots[-1][0].content[0].annotations == [CITATION, CITATION]


def test_scenario_52_interleaved_tool_calls_do_not_mix() -> None:
    def piece(text: str, index: int) -> ServerEvent:
        return ResponseFunctionCallArgumentsDeltaEvent(delta=text, output_index=index, item_id=f"fc_{index}")

    snapshots = outputs(
        item_added(call(0, arguments=""), 0),
        item_added(call(1, arguments=""), 1),
        piece("a", 0),
        piece("b", 1),
        piece("c", 0),
        piece("d", 1),
    )

    assert [item.arguments for item in snapshots[-1]] == ["ac", "bd"]


def test_items_without_an_index_are_found_by_their_id() -> None:
    def piece(text: str, item_id: str | None) -> ServerEvent:
        return ResponseFunctionCallArgumentsDeltaEvent(delta=text, item_id=item_id)

    snapshots = outputs(
        item_added(call(0, arguments=""), None),
        item_added(call(1, arguments=""), None),
        piece("a", "fc_0"),
        piece("b", "fc_1"),
        piece("c", "fc_unheard_of"),
        piece("d", None),
        item_done(call(0, arguments="whole"), None),
        item_done(call(2, arguments="", id=None), None),
    )

    assert [item.arguments for item in snapshots[5]] == ["a", "bcd"]
    assert [item.arguments for item in snapshots[7]] == ["whole", "bcd", ""]


def test_an_item_with_an_index_is_found_although_its_id_changes() -> None:
    assert texts(item_added(BEGUN), delta("a", item_id="x"), delta("b", item_id="y")) == ["", "a", "ab"]


@pytest.mark.parametrize(
    "odd",
    [
        ResponseWebSearchCallSearchingEvent(output_index=0),
        decode('{"type": "response.telepathy.delta"}'),
        decode('{"type": "response.output_text.delta", "delta": 7}'),
        ResponseFunctionCallArgumentsDeltaEvent(delta="x", output_index=0),  # of a message
        ResponseReasoningSummaryPartAddedEvent(part=SummaryText(text=""), output_index=0, summary_index=0),
        ResponseRefusalDeltaEvent(delta="x", output_index=0, content_index=0),  # into a text
        part_added(ResponseOutputText(), output_index=5),
        part_added(ResponseOutputText(), content_index=5),
        delta(""),
    ],
)
def test_an_event_that_fits_no_item_changes_nothing(odd: ServerEvent) -> None:
    assert texts(delta("a"), odd, delta("b")) == ["a", "ab"]


def test_an_index_below_zero_is_the_first() -> None:
    assert texts(delta("a", content_index=-1), delta("b", content_index=None)) == ["a", "ab"]


def test_scenario_51_a_half_waits_for_its_other_half() -> None:
    assert texts(delta("a" + HIGH), delta(LOW), delta(HIGH), text_done("whole"), delta("!")) == [
        "a",
        "a" + EMOJI,
        "whole",
        "whole!",
    ]


def test_scenario_02_incomplete_is_the_last_response() -> None:
    end = incomplete(message("cut"))

    assert run(accumulate_response(), created(), delta("cut"), end).values[-1] is end.response


def test_a_terminal_response_without_output_gets_the_items_of_the_events() -> None:
    [*_, last] = run(accumulate_response(), created(), item_done(message("Hello")), completed()).values

    assert last.status == "completed"
    assert last.output == [message("Hello")]


def test_scenario_07_a_warm_up() -> None:
    end = completed()

    assert run(accumulate_response(), created(), end).values[-1] is end.response


def test_items_before_the_response_is_known_are_emitted_with_it() -> None:
    values = run(accumulate_response(), item_added(BEGUN), delta("a"), created_late()).values

    assert [response.output_text for response in values] == ["a"]


def created_late() -> ResponseInProgressEvent:
    return ResponseInProgressEvent(response=Response(id="resp_1"))


def test_several_responses_in_a_row_each_start_anew() -> None:
    events = [created("a"), delta("x"), completed(id="a"), created("b"), delta("y"), created("c"), delta("z")]
    values = run(accumulate_response(), *events).values

    assert [(response.id, response.output_text) for response in values] == [
        ("a", ""),
        ("a", "x"),
        ("a", "x"),
        ("b", ""),
        ("b", "y"),
        ("c", ""),
        ("c", "z"),
    ]


def test_type() -> None:
    assert_type(ManualSource[ServerEvent]().observable.pipe(accumulate_response()), Observable[Response])
