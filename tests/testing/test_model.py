from __future__ import annotations

import json
import re
from typing import Any

import pytest

from rxresponses.testing.model import ResolvedReply, ScriptedModel, default_reply
from rxresponses.testing.outputs import FunctionCall, Interleaved, Raw, Reasoning, Refusal, Text
from rxresponses.testing.replies import Close, Failure, Gate, Hold, Reply, Usage
from rxresponses.testing.request import Request
from rxresponses.testing.transcript import Recording
from rxresponses.testing.when import When

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


def brings(output: str = "rain") -> Request:
    """Return a request that brings the output of a call of `weather`."""
    call = {"type": "function_call", "call_id": "c", "name": "weather", "arguments": "{}"}
    item = {"type": "function_call_output", "call_id": "c", "output": output}
    return Request(body={}, input=[item], history=[user("weather"), call])


def test_an_agent_needs_one_rule_for_its_tool() -> None:
    model, call = ScriptedModel(), FunctionCall("weather")
    model.on("weather", call)
    model.on(When(message="weather"), [Text("parallel"), Interleaved([call, call])])
    model.on(When(output="rain"), "Take an umbrella.")

    assert model.resolve(request("weather?")) == ResolvedReply((call,))
    assert model.resolve(brings()) == ResolvedReply((Text("Take an umbrella."),))
    assert "returned: sun" in text_of(model.resolve(brings("sun")).outputs)  # type: ignore[arg-type]


def test_explicit_rules_may_call_again() -> None:
    first, second = FunctionCall("weather", call_id="1"), FunctionCall("news", call_id="2")
    model = ScriptedModel()
    model.on("weather", first)
    model.on(When(tool="weather"), second)
    assert model.resolve(brings()) == ResolvedReply((second,))

    by_function = ScriptedModel()
    by_function.on(lambda request: True, first)
    by_function.on("", "never")
    assert by_function.resolve(brings()) == ResolvedReply((first,))

    text = ScriptedModel()
    text.on("weather", "a text is no call")
    assert text.resolve(brings()) == ResolvedReply((Text("a text is no call"),))


def test_the_replies_of_a_rule_come_in_turn() -> None:
    model = ScriptedModel()
    model.on("", "one", "two", times=3)
    model.on("", "rest")

    got = [model.resolve(request()).outputs for _ in range(5)]
    assert [text_of(outputs) for outputs in got] == ["one", "two", "two", "rest", "rest"]  # type: ignore[arg-type]


def test_a_rule_that_cannot_be() -> None:
    model = ScriptedModel()
    with pytest.raises(ValueError, match="times must be at least 1, not 0"):
        model.on("", "x", times=0)
    with pytest.raises(TypeError, match="Not a regular expression, a function or a When: 5"):
        model.on(5, "x")  # type: ignore[arg-type]


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
    mixtures += [[recording, Usage()], [recording, Close(after="here")]]
    for parts in mixtures:
        with pytest.raises(TypeError, match="A recording is a whole answer"):
            ScriptedModel().reply(parts)


def test_errors_in_rules_are_raised() -> None:
    model = ScriptedModel()
    with pytest.raises(re.error):
        model.on("(", "text")
    model.on("", lambda request: 5)  # type: ignore[arg-type,return-value]
    with pytest.raises(TypeError, match=r"Not a reply: {'a': 1}; .*; for a JSON answer, write `Json"):
        model.on("hi", {"a": 1})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"Not a reply: 5; a reply is a text, .* or a list of these$"):
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
    assert "function returned: 21 °C" in text_of(default_reply(Request(body={}, input=[output])))
    shell = {"type": "local_shell_call_output", "id": "c", "output": "a.py"}
    assert "tool returned: a.py" in text_of(default_reply(Request(body={}, input=[shell])))


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
    for checks in (True, False):
        error = Peer(checks=checks).refused(tools=[tool], tool_choice=FORCED)["error"]
        assert error["code"] == "invalid_function_parameters"
