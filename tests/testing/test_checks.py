from __future__ import annotations

from typing import Any

import pytest

from rxresponses.testing.checks import check_create, check_lane, check_steer_input, check_type
from rxresponses.testing.refusal import RequestError


def body(**fields: Any) -> dict[str, Any]:
    return {"type": "response.create", "model": "m", "input": "hi", **fields}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"stream": True, "include": [], "background": False, "temperature": None, "brand_new_field": 1},
        {"input": [{"role": "user", "content": "hi"}]},
        {"input": [{"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "x"}]}]},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
        {"input": [{"type": "function_call_output", "call_id": "c", "output": []}]},
        {"input": []},
        {"input": None, "previous_response_id": "resp_1"},
        {"input": None, "generate": False},
        {"model": None, "prompt": {"id": "p"}, "input": None},
        {"temperature": 2, "top_p": 0, "top_logprobs": 20, "max_output_tokens": 1},
        {"tools": [{"type": "function", "name": "f"}], "tool_choice": {"type": "function", "name": "f"}},
        {"tools": [{"type": "web_search"}], "tool_choice": "required"},
        {"tools": [{"type": "web_search"}], "tool_choice": {"type": "web_search"}},
        {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]}},
        {"text": {"format": {"type": "text"}}},
        {"text": {"format": {"type": "json_schema", "name": "n", "schema": {}}}},
        {"text": {"verbosity": "low"}},
    ],
)
def test_valid_requests_pass(fields: dict[str, Any]) -> None:
    check_create(body(**fields))


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"model": None}, "missing_required_parameter", "model"),
        ({"model": 5}, "invalid_type", "model"),
        ({"input": 5}, "invalid_type", "input"),
        ({"input": {}}, "invalid_type", "input"),
        ({"input": None}, "missing_required_parameter", "input"),
        ({"input": ["hi"]}, "invalid_type", "input[0]"),
        ({"input": [{}]}, "missing_required_parameter", "input[0].type"),
        ({"input": [{"type": 5}]}, "invalid_type", "input[0].type"),
        ({"input": [{"role": "robot", "content": "x"}]}, "invalid_value", "input[0].role"),
        ({"input": [{"role": "user"}]}, "missing_required_parameter", "input[0].content"),
        ({"input": [{"role": "user", "content": 5}]}, "invalid_type", "input[0].content"),
        ({"input": [{"role": "user", "content": ["x"]}]}, "invalid_type", "input[0].content[0]"),
        ({"input": [{"type": "function_call_output"}]}, "missing_required_parameter", "input[0].call_id"),
        (
            {"input": [{"type": "function_call_output", "call_id": "c"}]},
            "missing_required_parameter",
            "input[0].output",
        ),
        ({"temperature": "hot"}, "invalid_type", "temperature"),
        ({"temperature": True}, "invalid_type", "temperature"),
        ({"temperature": 2.5}, "decimal_above_max_value", "temperature"),
        ({"top_p": -1}, "decimal_below_min_value", "top_p"),
        ({"max_output_tokens": 0}, "integer_below_min_value", "max_output_tokens"),
        ({"max_output_tokens": 1.5}, "invalid_type", "max_output_tokens"),
        ({"top_logprobs": 21}, "integer_above_max_value", "top_logprobs"),
        ({"store": "no"}, "invalid_type", "store"),
        ({"metadata": []}, "invalid_type", "metadata"),
        ({"background": True}, "unsupported_value", "background"),
        ({"conversation": "c", "previous_response_id": "r"}, "mutually_exclusive_parameters", None),
        ({"tools": ["f"]}, "invalid_type", "tools[0]"),
        ({"tools": [{}]}, "missing_required_parameter", "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "missing_required_parameter", "tools[0].name"),
        ({"tool_choice": "required"}, None, "tool_choice"),
        ({"tool_choice": {"type": "function", "name": "g"}}, None, "tool_choice"),
        ({"text": {"format": "json"}}, "invalid_type", "text.format"),
        ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "missing_required_parameter", "text.format.name"),
        (
            {"text": {"format": {"type": "json_schema", "name": "n"}}},
            "missing_required_parameter",
            "text.format.schema",
        ),
        (
            {"text": {"format": {"type": "json_schema", "name": "n", "schema": []}}},
            "invalid_type",
            "text.format.schema",
        ),
    ],
)
def test_an_invalid_request_is_refused_with_the_field(
    fields: dict[str, Any], code: str | None, param: str | None
) -> None:
    with pytest.raises(RequestError) as caught:
        check_create(body(**fields))

    assert (caught.value.code, caught.value.param) == (code, param)
    assert caught.value.event() == {
        "type": "error",
        "status": 400,
        "error": {"type": "invalid_request_error", "code": code, "message": str(caught.value), "param": param},
    }


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, "null"), (True, "a boolean"), (1, "an integer"), (1.5, "a number"), ("x", "a string"), ([], "an array")],
)
def test_a_message_must_be_an_object(value: object, said: str) -> None:
    with pytest.raises(RequestError, match=f"but got {said} instead"):
        check_type(value)


def test_message_types() -> None:
    assert check_type({"type": "response.create"}) == "response.create"
    assert check_type({"type": "response.steer"}) == "response.steer"
    with pytest.raises(RequestError, match="Missing required parameter: 'type'"):
        check_type({})
    with pytest.raises(RequestError, match=r"Invalid value: 'response\.cancel'"):
        check_type({"type": "response.cancel"})


@pytest.mark.parametrize("name", ["a", "A-b_c.9", "x" * 256])
def test_valid_lanes(name: str) -> None:
    assert check_lane(name) == name


@pytest.mark.parametrize("name", ["", "x" * 257, "with space", "ü", "a\n", "a/b", None, 5, True, ["a"]])
def test_invalid_lanes(name: object) -> None:
    with pytest.raises(RequestError) as caught:
        check_lane(name)
    assert (caught.value.code, caught.value.param) == ("invalid_stream_id", "stream_id")


def steer(input: object, **extra: Any) -> dict[str, Any]:
    return {"type": "response.steer", "previous_response_id": "resp_1", "input": input, **extra}


def test_steering_accepts_user_messages() -> None:
    check_steer_input(steer("stop"))
    check_steer_input(steer([{"role": "user", "content": "stop"}]))


@pytest.mark.parametrize(
    ("message", "param"),
    [
        (steer("x", stream_id="a"), "stream_id"),
        (steer(5), "input"),
        (steer([]), "input"),
        (steer([{"role": "assistant", "content": "x"}]), "input[0]"),
        (steer([{"role": "user", "content": "x", "id": "msg_1"}]), "input[0]"),
        (steer([{"type": "function_call_output", "call_id": "c", "output": "x"}]), "input[0]"),
        (steer(["x"]), "input[0]"),
    ],
)
def test_steering_accepts_nothing_else(message: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as caught:
        check_steer_input(message)
    assert caught.value.param == param
