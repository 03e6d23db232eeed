from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given

from rxresponses.errors import DecodeError
from rxresponses.wire import codec
from rxresponses.wire.base import Model
from rxresponses.wire.events import ResponseCompletedEvent
from rxresponses.wire.models import (
    ResponseFunctionToolCall,
    ResponseInputImage,
    ResponseInputText,
    ResponseOutputRefusal,
)
from rxresponses.wire.requests import (
    EasyInputMessage,
    FunctionCallOutput,
    FunctionTool,
    ItemReference,
    assistant_message,
    developer_message,
    function_result,
    system_message,
    user_message,
)
from tests.support.requests import any_create, deep, endless, refused, sent
from tests.support.strategies import json_values

# --- items


@pytest.mark.parametrize(
    ("message", "role"), [(user_message, "user"), (developer_message, "developer"), (system_message, "system")]
)
def test_messages(message: Any, role: str) -> None:
    assert message("hello").to_dict() == {"type": "message", "role": role, "content": "hello"}
    assert message("").content == ""
    image = ResponseInputImage(file_id="file_1")
    text = ResponseInputText(text="what is this?")
    assert message("what is this?", image) == message(["what is this?", image]) == message((text, image))
    assert message("what is this?", image).content == [text, image]
    assert message({"type": "input_text", "text": "x"}).content == [{"type": "input_text", "text": "x"}]
    assert message("a", "b").content == [ResponseInputText(text="a"), ResponseInputText(text="b")]
    assert refused(message, "content") == "a message needs a text or another part"
    refused(lambda: message([]), "content")
    refused(lambda: message("a", 5), "content[1]")
    refused(lambda: message(5), "content[0]")
    assert refused(lambda: message("a", b"b"), "content[1]") == (
        "part 1 of the message is bytes: pass it through `image_part` or `file_part`"
    )
    refused(lambda: message(Path("a.png")), "content[0]")


def test_a_message_of_the_assistant_has_texts_of_the_model_and_a_phase() -> None:
    assert assistant_message("hi").to_dict() == {"type": "message", "role": "assistant", "content": "hi"}
    message = assistant_message("so", ResponseOutputRefusal(refusal="no"), phase="commentary")
    assert message.to_dict() == {
        "type": "message",
        "role": "assistant",
        "content": [
            {"type": "output_text", "text": "so", "annotations": []},
            {"type": "refusal", "refusal": "no"},
        ],
        "phase": "commentary",
    }


def test_user_message() -> None:
    assert user_message("hello").to_dict() == {"type": "message", "role": "user", "content": "hello"}
    parts = (ResponseInputText(text="what is this?"), ResponseInputImage(image_url="data:x"))
    assert sent(any_create(input=[user_message(parts)]))["input"] == [
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "what is this?"},
                {"type": "input_image", "image_url": "data:x"},
            ],
        }
    ]


@pytest.mark.parametrize(
    ("value", "output"),
    [
        ("sunny", "sunny"),
        ("", ""),
        ("\ud83c", "\ud83c"),
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
        (["größe"], '["größe"]'),
        ({"a": None}, '{"a": null}'),
    ],
)
def test_function_result(value: object, output: str) -> None:
    call = ResponseFunctionToolCall(id="fc_1", call_id="call_1", name="weather")
    answer = function_result(call, value)
    assert answer == function_result("call_1", value)
    assert answer.to_dict() == {"type": "function_call_output", "call_id": "call_1", "output": output}


def test_parts_are_the_output_of_a_function_as_they_are() -> None:
    image = ResponseInputImage(image_url="https://example.com/cat.png")
    part = {"type": "input_image", "image_url": "https://example.com/cat.png"}
    text = {"type": "input_text", "text": "a cat"}
    assert function_result("call_1", image).to_dict()["output"] == [part]
    assert function_result("call_1", ("a cat", image)).to_dict()["output"] == [text, part]
    assert function_result("call_1", [ResponseInputText(text="a cat"), part]).to_dict()["output"] == [text, part]
    assert function_result("call_1", [part]).output == json.dumps([part])  # plain data are a value


@given(json_values)
def test_function_results_are_the_json_of_the_value(value: Any) -> None:
    output = function_result("call_1", value).output
    assert isinstance(output, str)
    assert value == (output if isinstance(value, str) else json.loads(output))


@pytest.mark.parametrize("value", [object(), b"sunny", math.nan, endless, deep, {("a",): 1}, [b"sunny"]], ids=type)
def test_a_function_result_that_is_no_json_is_refused(value: object) -> None:
    text = refused(lambda: function_result("call_1", value), "output")
    assert text.startswith("the function's result is not JSON: ")


@pytest.mark.parametrize(
    "call", ["", None, 5, {"call_id": "call_1"}, ResponseFunctionToolCall(), SimpleNamespace(call_id=5)], ids=repr
)
def test_function_results_need_a_call(call: Any) -> None:
    refused(lambda: function_result(call, "sunny"), "call_id")


def test_item_reference_and_function_tool() -> None:
    assert ItemReference(id="msg_1").to_dict() == {"type": "item_reference", "id": "msg_1"}
    # The service wants `parameters` even when there are none, and takes `null`.
    assert FunctionTool(name="f").to_dict() == {"type": "function", "name": "f", "parameters": None}
    tool = FunctionTool(name="f", parameters={"type": "object"}, strict=None, description="d", defer_loading=False)
    assert tool.to_dict() == {
        "type": "function",
        "name": "f",
        "parameters": {"type": "object"},
        "strict": None,
        "description": "d",
        "defer_loading": False,
    }
    assert sent(any_create(tools=[tool, {"type": "web_search", "filters": None}]))["tools"] == [
        tool.to_dict(),
        {"type": "web_search", "filters": None},
    ]


@pytest.mark.parametrize(
    "item",
    [
        user_message("hello"),
        user_message([{"type": "input_text", "text": "hello", "x_new": None}]),
        EasyInputMessage(role="assistant", content="hello", phase=None),
        FunctionCallOutput(call_id="c", output="x", status="completed"),
        ItemReference(id="msg_1"),
        FunctionTool(name="f", parameters={"a": None}, strict=True),
    ],
    ids=lambda item: type(item).__name__,
)
def test_items_survive_the_round_trip(item: Model) -> None:
    cls = type(item)
    assert cls.from_dict(item.to_dict()) == item
    assert cls.from_json(item.to_json()) == item
    with_more = cls.from_dict(item.to_dict() | {"x_new": {"a": None}})
    assert with_more.to_dict() == item.to_dict() | {"x_new": {"a": None}}


def test_wrong_items_are_decode_errors() -> None:
    with pytest.raises(DecodeError, match="role"):
        EasyInputMessage.from_dict({"role": 5, "content": "x"})
    with pytest.raises(DecodeError, match="call_id"):
        FunctionCallOutput.from_dict({"output": "x"})


# --- answers as input


OUTPUT: list[dict[str, Any]] = [
    {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "thinking", "x_part": None}],
        "encrypted_content": None,
        "x_item": {"a": None},
    },
    {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [
            {
                "type": "output_text",
                "text": "hello",
                "annotations": [{"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}],
                "x_null": None,
            }
        ],
    },
    {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "call_1",
        "name": "weather",
        "arguments": '{"city": null}',
        "namespace": None,
        "async": None,
        "status": "completed",
    },
    {"type": "x_new_call", "id": "x_1", "data": {"a": None}, "b": None},
]


def answered() -> ResponseCompletedEvent:
    data = {"type": "response.completed", "response": {"id": "resp_1", "output": OUTPUT}}
    event = codec.decode(json.dumps(data))
    assert isinstance(event, ResponseCompletedEvent)
    return event


def without(data: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name not in names}


def test_output_items_are_input_items() -> None:
    call = answered().response.output[2]
    assert isinstance(call, ResponseFunctionToolCall)
    request = any_create(input=[*answered().response.output, function_result(call, {"celsius": 20})])
    reasoning, message, function_call, unknown, result = sent(request)["input"]
    # `null` fields of a class mean "absent" and are refused in input; unknown fields and plain JSON keep theirs.
    assert without(OUTPUT[0], "encrypted_content").items() <= reasoning.items()
    assert "encrypted_content" not in reasoning
    part = message["content"][0]
    assert without(message, "content") == without(OUTPUT[1], "content")
    assert part["x_null"] is None
    assert part["annotations"] == OUTPUT[1]["content"][0]["annotations"]
    assert function_call == without(OUTPUT[2], "namespace", "async")
    assert unknown == OUTPUT[3]
    assert result == {"type": "function_call_output", "call_id": "call_1", "output": '{"celsius": 20}'}


def test_output_items_within_plain_json_are_treated_alike() -> None:
    parts = [ResponseInputImage(detail="auto"), {"type": "x", "a": None}]
    item = {"role": "user", "content": parts, "b": None}
    assert sent(any_create(input=[item]))["input"] == [
        {"role": "user", "content": [{"type": "input_image", "detail": "auto"}, {"type": "x", "a": None}], "b": None}
    ]


def test_encoding_leaves_the_request_as_it_was() -> None:
    items = [{"role": "user", "content": [{"a": None}]}, *answered().response.output]
    request = any_create(input=items, extra_body={"a": {"b": None}})
    first = codec.encode(request)
    assert codec.encode(request) == first
    assert request.input is items
    assert items[0] == {"role": "user", "content": [{"a": None}]}
