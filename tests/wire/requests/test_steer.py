from __future__ import annotations

import json
import math
from typing import Any

import pytest
from msgspec import UNSET

from rxresponses.wire import codec
from rxresponses.wire.requests import (
    EasyInputMessage,
    FunctionCallOutput,
    ResponseSteer,
    user_message,
)
from tests.support.requests import refused


def test_steer() -> None:
    for text_or_items in ("stop", [{"role": "user", "content": "stop"}], [user_message("stop").to_dict()]):
        data = {"type": "response.steer", "previous_response_id": "resp_1", "input": text_or_items}
        steer = ResponseSteer(previous_response_id="resp_1", input=text_or_items)
        assert json.loads(codec.encode(steer)) == data
        assert ResponseSteer.from_dict(data) == steer
    assert ResponseSteer(previous_response_id="resp_1", input=[user_message("stop")]).to_dict() == data
    with pytest.raises(TypeError, match="stream_id"):
        ResponseSteer(previous_response_id="resp_1", input="stop", stream_id="main")  # type: ignore[call-arg]


def test_json_of_no_steer_is_refused() -> None:
    not_a_mapping: Any = [1]
    assert "list" in refused(lambda: ResponseSteer.from_dict(not_a_mapping), None)
    odd = {"previous_response_id": "resp_1", "input": "stop", "stream_id": "a"}
    assert "stream_id" in refused(lambda: ResponseSteer.from_dict(odd), "stream_id")


@pytest.mark.parametrize("response_id", ["", None, 5])
def test_a_steer_needs_a_response(response_id: Any) -> None:
    refused(lambda: ResponseSteer(previous_response_id=response_id, input="stop"), "previous_response_id")


@pytest.mark.parametrize("items", ["", [], None, UNSET, 5, b"stop", {"role": "user", "content": "stop"}], ids=repr)
def test_a_steer_needs_input(items: Any) -> None:
    refused(lambda: ResponseSteer(previous_response_id="resp_1", input=items), "input")


@pytest.mark.parametrize(
    "item",
    [
        "stop",
        None,
        {"role": "developer", "content": "stop"},
        {"content": "stop"},
        EasyInputMessage(role="assistant", content="stop"),
        FunctionCallOutput(call_id="call_1", output="stop"),
        {"role": "user", "content": math.nan},
        {"role": "user"},
        {"role": "user", "content": []},
    ],
    ids=repr,
)
def test_a_steer_takes_messages_of_the_user_only(item: Any) -> None:
    refused(lambda: ResponseSteer(previous_response_id="resp_1", input=[user_message("good"), item]), "input[1]")
