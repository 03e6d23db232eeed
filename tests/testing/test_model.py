from __future__ import annotations

import json
import re
from typing import Any

import pytest

from rxresponses.testing.model import ResolvedReply, ScriptedModel, default_reply
from rxresponses.testing.outputs import FunctionCall, Raw, Reasoning, Refusal, Text
from rxresponses.testing.replies import Close, Failure, Gate, Hold, Reply
from rxresponses.testing.request import Request
from rxresponses.testing.transcript import Recording

from .peer import TOOLS, Peer, user


def request(text: str = "hi", /, **body: Any) -> Request:
    return Request(body=body, input=[user(text)])


def test_replies_in_order_then_rules_then_the_default() -> None:
    model = ScriptedModel()
    model.reply("first", Text("second"))
    model.on(r"^h.*o", "a greeting")
    model.on(lambda request: request.text == "hello", "never: the first rule wins")
    model.on(lambda request: "shout" in request.text, lambda request: request.text.upper())

    assert model.resolve(request()) == ResolvedReply((Text("first"),))
    assert model.resolve(request()) == ResolvedReply((Text("second"),))
    assert model.resolve(request("hello")) == ResolvedReply((Text("a greeting"),))
    assert model.resolve(request("shout")) == ResolvedReply((Text("SHOUT"),))
    assert model.resolve(request("else")) == ResolvedReply(default_reply(request("else")))


def test_parts_are_sorted_into_outputs_and_interventions() -> None:
    model = ScriptedModel()
    hold, close = Hold(Gate()), Close(1011)
    model.reply([Reasoning("hm"), hold, "text", close, Refusal("no")], Failure())
    recording = Recording.load([{"type": "response.created"}])[0]
    model.reply(recording, [recording, close])

    assert model.resolve(request()) == ResolvedReply((Reasoning("hm"), Text("text"), Refusal("no")), (hold, close))
    assert model.resolve(request()) == ResolvedReply(default_reply(request()), (Failure(),))
    assert model.resolve(request()) == ResolvedReply(recording)
    assert model.resolve(request()) == ResolvedReply(recording, (close,))


@pytest.mark.parametrize("reply", [None, 5, b"bytes", ["text", 5], {"type": "message"}])
def test_something_that_is_not_a_reply_is_refused_at_once(reply: Any) -> None:
    model = ScriptedModel()

    with pytest.raises(TypeError, match=re.escape(repr(reply))):
        model.reply(reply)
    with pytest.raises(TypeError, match=re.escape(repr(reply))):
        model.on("", reply)
    assert model.resolve(request()) == ResolvedReply(default_reply(request()))


def test_a_recording_is_a_whole_answer() -> None:
    (recording,) = Recording.load([{"type": "response.created"}])

    mixtures: list[Reply] = [[recording, recording], [recording, "text"], [Text("text"), recording]]
    for parts in mixtures:
        with pytest.raises(TypeError, match="A recording is a whole answer"):
            ScriptedModel().reply(parts)


def test_errors_in_rules_are_raised() -> None:
    model = ScriptedModel()
    with pytest.raises(re.error):
        model.on("(", "text")
    model.on("", lambda request: 5)  # type: ignore[arg-type,return-value]
    with pytest.raises(TypeError, match="Not a reply: 5"):
        model.resolve(request())


def test_raw_frames_are_an_output() -> None:
    model = ScriptedModel()
    model.reply(Raw(["x"]))

    assert model.resolve(request()) == ResolvedReply((Raw(["x"]),))


# The default reply


def text_of(reply: tuple[Any, ...]) -> str:
    assert isinstance(reply[-1], Text)
    return reply[-1].text


def test_the_default_reply_names_the_server_and_repeats_the_question() -> None:
    assert text_of(default_reply(request("Why?"))) == ("This is the embedded test server, not a model. You asked: Why?")
    assert "nothing" in text_of(default_reply(Request(body={}, input=[])))
    output = {"type": "function_call_output", "call_id": "c", "output": "21 °C"}
    assert "returned: 21 °C" in text_of(default_reply(Request(body={}, input=[output])))


def test_the_default_reply_has_the_requested_format() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    structured = request(text={"format": {"type": "json_schema", "name": "n", "schema": schema}})

    assert json.loads(text_of(default_reply(structured))) == {"city": "city"}
    assert json.loads(text_of(default_reply(request("x", text={"format": {"type": "json_object"}}))))["asked"] == "x"
    assert "You asked" in text_of(default_reply(request(text={"verbosity": "low"})))


def test_the_default_reply_has_a_reasoning_summary_on_request() -> None:
    reasoning, text = default_reply(request(reasoning={"summary": "auto"}))

    assert isinstance(reasoning, Reasoning)
    assert isinstance(text, Text)
    assert len(default_reply(request(reasoning={"effort": "low"}))) == 1


@pytest.mark.parametrize(
    ("choice", "name", "arguments"),
    [
        ("required", "f", {"n": 1}),
        ({"type": "function", "name": "g"}, "g", {}),
        ({"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "g"}]}, "g", {}),
    ],
)
def test_the_default_reply_calls_the_forced_function(choice: Any, name: str, arguments: Any) -> None:
    assert default_reply(request(tools=TOOLS, tool_choice=choice)) == (FunctionCall(name, arguments),)


@pytest.mark.parametrize(
    "choice",
    [
        None,
        "auto",
        "none",
        {"type": "web_search"},
        {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "g"}]},
        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "web_search"}]},
    ],
)
def test_the_default_reply_calls_no_other_function(choice: Any) -> None:
    assert isinstance(default_reply(request(tools=TOOLS, tool_choice=choice))[0], Text)


FORCED = {"type": "function", "name": "f"}


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        (
            {"type": "object", "properties": {"a": {"type": "string", "minLength": 10**9}}},
            "more than 100000 characters",
        ),
        ({"type": "object", "properties": {"a": {"$ref": "#/missing"}}}, "has no '#/missing'"),
    ],
)
def test_scenario_77_a_schema_without_an_example_is_refused_as_the_service_refuses_schemas(
    schema: dict[str, Any], problem: str
) -> None:
    text_format = {"type": "json_schema", "name": "n", "schema": schema}
    tool = {"type": "function", "name": "f", "parameters": schema}
    for fields, code, param in (
        ({"text": {"format": text_format}}, "invalid_json_schema", "text.format.schema"),
        ({"tools": [tool], "tool_choice": FORCED}, "invalid_function_parameters", "tools"),
    ):
        refused = Peer().refused(**fields)
        assert (refused["status"], refused["error"]["code"], refused["error"]["param"]) == (400, code, param)
        assert problem in refused["error"]["message"]
        assert "ResponsesServer.reply" in refused["error"]["message"]
        peer = Peer()
        peer.model.reply("{}")
        assert peer.ask(**fields)[-1]["type"] == "response.completed"  # no example is needed


def test_scenario_77_the_arguments_of_a_function_are_an_object() -> None:
    tool = {"type": "function", "name": "f", "parameters": {"type": "array"}}
    assert Peer().refused(tools=[tool], tool_choice=FORCED)["error"]["code"] == "invalid_function_parameters"
