from __future__ import annotations

import json
import typing
from typing import Any

import pytest

from rxresponses.errors import DecodeError
from rxresponses.wire.codec import decode
from rxresponses.wire.events import (
    REGISTRY,
    TERMINAL_TYPES,
    ContentEvent,
    ItemEvent,
    LifecycleEvent,
    ResponseCompletedEvent,
    ResponseOutputItemDoneEvent,
    ResponsesServerEvent,
    ResponseTextDeltaEvent,
    ResponseTextDoneEvent,
    ServerEvent,
    UnknownEvent,
)
from rxresponses.wire.models import ResponseOutputMessage, ResponseOutputText

read_json = pytest.mark.parametrize("read", [decode, ServerEvent.from_json], ids=["decode", "from_json"])


# --- the registry


def test_each_class_stands_in_the_registry_under_its_type() -> None:
    assert len(REGISTRY) == 68
    for kind, cls in REGISTRY.items():
        assert kind in typing.get_args(typing.get_type_hints(cls)["type"])
        assert REGISTRY[cls.type] is cls
        assert cls.__doc__
        assert issubclass(cls, ServerEvent)


def test_the_union_leaves_no_event_out() -> None:
    assert set(typing.get_args(ResponsesServerEvent)) == {*REGISTRY.values(), UnknownEvent}


def test_four_types_are_terminal_and_four_of_other_servers() -> None:
    others = {"response.done", "response.cancelled", "response.canceled", "response.error"}
    assert TERMINAL_TYPES - others == {"response.completed", "response.failed", "response.incomplete", "error"}
    assert others < TERMINAL_TYPES
    assert set(REGISTRY) > TERMINAL_TYPES


@pytest.mark.parametrize("kind", REGISTRY)
def test_an_event_knows_whether_it_is_terminal(kind: str) -> None:
    data = {"type": kind, "response": {"id": "resp_1"}}
    assert decode(json.dumps(data)).is_terminal == (kind in TERMINAL_TYPES)


def test_base_classes_group_events_by_their_subject() -> None:
    assert issubclass(ResponseTextDeltaEvent, ContentEvent)
    assert issubclass(ContentEvent, ItemEvent)
    assert {kind for kind, cls in REGISTRY.items() if issubclass(cls, LifecycleEvent)} == {
        "response.created",
        "response.queued",
        "response.in_progress",
        "response.completed",
        "response.failed",
        "response.incomplete",
        "response.done",
        "response.cancelled",
        "response.canceled",
    }


# --- from_json and from_dict on the base


def test_the_base_picks_the_class_by_type() -> None:
    text = '{"type": "response.output_text.delta", "delta": "a", "stream_id": "main"}'
    assert ServerEvent.from_json(text) == ResponseTextDeltaEvent(delta="a", stream_id="main")
    assert ServerEvent.from_dict(json.loads(text)) == ResponseTextDeltaEvent(delta="a", stream_id="main")


def test_a_class_reads_events_of_its_own_type_only() -> None:
    data = {"type": "response.output_text.delta", "delta": "a"}
    assert ResponseTextDeltaEvent.from_dict(data).delta == "a"
    assert ResponseTextDeltaEvent.from_dict({"delta": "a"}).type == "response.output_text.delta"
    with pytest.raises(DecodeError, match="ResponseTextDoneEvent: Invalid enum value"):
        ResponseTextDoneEvent.from_dict({**data, "text": "a"})


@pytest.mark.parametrize("text", ["[]", "null", "5", '"x"'])
def test_a_value_that_is_no_object_is_no_event(text: str) -> None:
    with pytest.raises(DecodeError, match="ServerEvent: expected an object"):
        ServerEvent.from_json(text)


def test_an_event_made_by_hand_has_neither_frame_nor_unknown_fields() -> None:
    event = ResponseTextDeltaEvent(delta="a")
    assert event.raw is None
    assert dict(event.extra) == {}
    assert dict(UnknownEvent(type="x").extra) == {}
    assert UnknownEvent(type="x").reason is None


# --- unknown events


@read_json
def test_scenario_44_unknown_types_and_fields_are_kept(read: Any) -> None:
    event = read('{"type": "response.new", "sequence_number": 3, "stream_id": "main", "delta": {"x": null}}')
    assert isinstance(event, UnknownEvent)
    assert (event.type, event.sequence_number, event.stream_id) == ("response.new", 3, "main")
    assert event.extra == {"delta": {"x": None}}
    assert event.reason is None
    assert not event.is_terminal
    text = '{"type": "response.completed", "x": 1, "response": {"id": "r", "x": 2, "usage": {"x": 3}}}'
    completed = read(text)
    assert isinstance(completed, ResponseCompletedEvent)
    assert completed.extra == {"x": 1}
    assert completed.response.extra == {"x": 2}
    assert completed.response.usage is not None
    assert completed.response.usage.extra == {"x": 3}
    written = completed.to_dict()
    assert (written["x"], written["response"]["x"], written["response"]["usage"]["x"]) == (1, 2, 3)


@read_json
@pytest.mark.parametrize(
    ("text", "part_of_reason"),
    [
        ('{"type": "response.completed", "response": "?", "stream_id": "main"}', "ResponseCompletedEvent.response"),
        ('{"type": "response.failed", "stream_id": "main"}', "'response' is missing"),
        ('{"type": "response.incomplete", "response": null, "stream_id": "main"}', "response"),
    ],
)
def test_scenario_44_wrong_field_types_keep_the_terminal_type(read: Any, text: str, part_of_reason: str) -> None:
    event = read(text)
    assert isinstance(event, UnknownEvent)
    assert event.is_terminal
    assert part_of_reason in str(event.reason)
    assert event.stream_id == "main"
    assert event.to_dict() == {**json.loads(text), "sequence_number": None}


@read_json
@pytest.mark.parametrize("field", ["sequence_number", "stream_id"])
@pytest.mark.parametrize("value", [True, 1.5, [1], {"a": 1}])
def test_scenario_44_routing_fields_of_the_wrong_type_are_no_attributes(read: Any, field: str, value: object) -> None:
    event = read(json.dumps({"type": "response.output_text.delta", "delta": "a", field: value}))
    assert event.sequence_number is None
    assert event.stream_id is None
    assert event.to_dict()["delta"] == "a"
    assert event.extra[field] == value
    assert field in str(event.reason)
    assert isinstance(event, UnknownEvent) is (field == "stream_id")  # it may be of any lane


@read_json
@pytest.mark.parametrize(
    ("text", "field", "part_of_reason"),
    [
        ('{"type": "error", "code": {}, "stream_id": "main"}', "code", "`$.code`"),
        ('{"type": "error", "error": "no such model"}', "error", "ResponseErrorEvent.error: it is no object"),
        ('{"type": "response.output_text.delta", "delta": "a", "logprobs": "no"}', "logprobs", "logprobs"),
        ('{"type": "response.output_text.delta", "delta": "a", "output_index": 0.5}', "output_index", "output_index"),
        ('{"type": "response.output_text.delta", "delta": "a", "output_index": 1e400}', "output_index", "output_index"),
    ],
)
def test_scenario_62_a_field_that_does_not_validate_costs_that_field(
    read: Any, text: str, field: str, part_of_reason: str
) -> None:
    event = read(text)
    assert type(event) is REGISTRY[event.type]
    assert event.extra == {field: json.loads(text)[field]}
    assert part_of_reason in str(event.reason)
    assert not getattr(event, field)


@read_json
def test_scenario_62_a_field_of_a_response_that_does_not_validate_costs_that_field(read: Any) -> None:
    text = {"type": "output_text", "text": "Hi", "annotations": "none"}
    item = {"type": "message", "id": "m", "role": "assistant", "status": 7, "content": [text]}
    usage = {"input_tokens": 3.0, "output_tokens": "four", "total_tokens": 7}
    response = {"id": "r", "created_at": "2026-01-01", "error": "none", "metadata": 5, "usage": usage, "output": [item]}
    event = read(json.dumps({"type": "response.completed", "response": response}))
    assert isinstance(event, ResponseCompletedEvent)
    assert event.response.output_text == "Hi"
    assert (event.response.created_at, event.response.error, event.response.metadata) == (None, None, None)
    assert event.response.extra == {"created_at": "2026-01-01", "error": "none", "metadata": 5}
    assert event.response.usage is not None
    assert (event.response.usage.input_tokens, event.response.usage.output_tokens) == (3, None)
    assert event.response.usage.extra == {"output_tokens": "four"}
    assert event.response.output[0].extra == {"status": 7}
    for part in ("created_at", "Response.error", "metadata", "output_tokens", "annotations", "status"):
        assert part in str(event.reason)
    assert event.to_dict()["response"]["metadata"] == 5


@read_json
@pytest.mark.parametrize("number", ["9" * 400, "-" + "9" * 400, "9007199254740992", "1e400", "-1e400", "NaN", "-1"])
@pytest.mark.parametrize("name", ["input_tokens", "output_tokens", "total_tokens"])
def test_scenario_76_a_token_count_out_of_bounds_costs_that_field(read: Any, name: str, number: str) -> None:
    event = read(f'{{"type": "response.completed", "response": {{"id": "r", "usage": {{"{name}": {number}}}}}}}')
    assert isinstance(event, ResponseCompletedEvent)
    assert event.response.usage is not None
    assert getattr(event.response.usage, name) is None
    assert repr(event.response.usage.extra[name]) == repr(json.loads(number))
    assert name in str(event.reason)


@read_json
@pytest.mark.parametrize("number", ["1e400", "-1e400", "NaN", "Infinity", "9" * 400])
def test_scenario_76_a_number_that_is_not_finite_costs_its_field(read: Any, number: str) -> None:
    text = f'{{"type": "response.completed", "response": {{"id": "r", "created_at": {number}, "completed_at": 5}}}}'
    event = read(text)
    assert isinstance(event, ResponseCompletedEvent)
    assert (event.response.created_at, event.response.completed_at) == (None, 5.0)
    assert "created_at" in str(event.reason)


@read_json
def test_scenario_76_the_largest_integer_is_read(read: Any) -> None:
    usage = f'{{"output_tokens": {2**53 - 1}}}'
    event = read(f'{{"type": "response.completed", "response": {{"id": "r", "usage": {usage}}}}}')
    assert event.response.usage.output_tokens == 2**53 - 1
    assert event.reason is None


@read_json
@pytest.mark.parametrize("number", ["0.0", "3.0", "3e0", "-0.0"])
def test_scenario_62_integral_floats_are_integers(read: Any, number: str) -> None:
    event = read(
        f'{{"type": "response.output_text.delta", "delta": "a", "output_index": {number}, "sequence_number": {number}}}'
    )
    assert isinstance(event, ResponseTextDeltaEvent)
    assert event.output_index == event.sequence_number == abs(float(number))
    assert type(event.output_index) is type(event.sequence_number) is int
    assert (event.reason, dict(event.extra)) == (None, {})


@read_json
@pytest.mark.parametrize("kind", [None, 5, ["x"], {}])
def test_scenario_44_an_object_without_a_type_is_kept(read: Any, kind: object) -> None:
    event = read(json.dumps({"type": kind, "x": 1}))
    assert isinstance(event, UnknownEvent)
    assert event.type == ""
    assert event.reason == "the event has no type"
    assert event.to_dict()["type"] == kind
    assert read("{}").reason == "the event has no type"


@read_json
def test_scenario_62_an_item_loses_only_the_field_that_does_not_validate(read: Any) -> None:
    text = '{"type": "response.output_item.done", "item": {"type": "message", "role": "assistant", "content": 5}}'
    event = read(text)
    assert isinstance(event, ResponseOutputItemDoneEvent)
    assert isinstance(event.item, ResponseOutputMessage)
    assert (event.item.role, event.item.content, event.item.extra) == ("assistant", [], {"content": 5})
    assert event.to_dict()["item"]["content"] == 5
    assert "ResponseOutputMessage.content" in str(event.reason)


@read_json
def test_scenario_62_a_list_of_models_loses_only_the_elements_that_do_not_validate(read: Any) -> None:
    output = [7, {"type": "message", "content": [{"type": "output_text", "text": "Hi"}, None]}, "x", {"type": "new"}]
    event = read(json.dumps({"type": "response.completed", "response": {"id": "r", "output": output}}))
    assert isinstance(event, ResponseCompletedEvent)
    assert [item.type for item in event.response.output] == ["message", "new"]
    assert event.response.output_text == "Hi"
    assert event.response.extra == {"output": output}
    assert event.to_dict()["response"]["output"] == output
    assert "ResponseOutputMessage.content: elements are left out" in str(event.reason)
    assert "Response.output: elements are left out" in str(event.reason)


@read_json
@pytest.mark.parametrize("arguments", [{"a": 1.0, "b": "é"}, {}, '{"a": 1.0, "b": "é"}'])
def test_scenario_62_arguments_may_come_as_an_object(read: Any, arguments: Any) -> None:
    item = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": arguments}
    for frame in (
        {"type": "response.output_item.done", "item": item},
        {"type": "response.function_call_arguments.done", "item_id": "fc_1", "arguments": arguments},
    ):
        event = read(json.dumps(frame))
        text = getattr(event, "item", event).arguments
        assert json.loads(text) == (json.loads(arguments) if isinstance(arguments, str) else arguments)
        assert (event.reason, dict(event.extra)) == (None, {})


@read_json
@pytest.mark.parametrize("response", [{"id": 5}, {"id": None}, {}])
def test_scenario_62_a_response_without_a_readable_id_is_a_response(read: Any, response: dict[str, Any]) -> None:
    message = {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}
    event = read(json.dumps({"type": "response.completed", "response": {**response, "output": [message]}}))
    assert isinstance(event, ResponseCompletedEvent)
    assert (event.response.id, event.response.output_text) == ("", "Hi")
    assert event.response.extra == response


def test_unknown_events_are_equal_if_all_their_json_is() -> None:
    one, same, other = (decode(json.dumps({"type": "response.new", "x": x})) for x in (1, 1, 2))
    assert one == same != other
    assert hash(one) == hash(same)
    assert "'x': 1" in repr(one)


# --- what servers leave out


@read_json
@pytest.mark.parametrize("kind", REGISTRY)
def test_scenario_49_events_need_only_the_fields_without_which_they_mean_nothing(read: Any, kind: str) -> None:
    meaning = {
        "response": {"id": "resp_1"},
        "item": {"type": "message"},
        "part": {"type": "output_text"},
        "steer": {},
        "delta": {} if kind == "response.shell_call_output_content.delta" else "a",
        **dict.fromkeys(("text", "code", "arguments", "input", "command", "refusal", "diff", "partial_image_b64"), "a"),
    }
    event = read(json.dumps({"type": kind, **meaning} | ({"code": None} if kind == "error" else {})))
    assert type(event) is REGISTRY[kind]
    assert event.sequence_number is None
    assert event.stream_id is None


@read_json
def test_scenario_49_usage_without_details_and_items_without_ids(read: Any) -> None:
    event = read(
        json.dumps(
            {
                "type": "response.completed",
                "response": {
                    "id": "resp_1",
                    "output": [{"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}],
                    "usage": {"total_tokens": 3},
                },
            }
        )
    )
    assert isinstance(event, ResponseCompletedEvent)
    assert event.response.usage is not None
    assert event.response.usage.total_tokens == 3
    assert event.response.usage.output_tokens_details is None
    assert event.response.output == [ResponseOutputMessage(content=[ResponseOutputText(text="Hi")])]
