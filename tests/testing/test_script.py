"""Scripts as plain data: what they say, and what is said of a wrong one."""

from __future__ import annotations

import contextlib
import json
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxresponses.testing.faults import DelayUpgrade, DropStreamIds, Fault, RefuseUpgrade
from rxresponses.testing.outputs import FunctionCall, Interleaved, Item, Json, Raw, Reasoning, Refusal, ShellCall, Text
from rxresponses.testing.replies import Close, Delay, Expire, Failure, Hold, Incomplete, Usage
from rxresponses.testing.script import _FAULT_KINDS, _REPLY_KINDS, Rule, ScriptError, read_script
from rxresponses.testing.script_file import load_script
from rxresponses.testing.server import ResponsesServer
from rxresponses.testing.when import When

from .peer import Peer, text_of

SCRIPT: dict[str, Any] = {
    "rules": [
        {
            "match": "weather",
            "reply": [{"reasoning": ["hm"]}, {"function_call": {"name": "weather", "arguments": {"city": "Paris"}}}],
        },
        {"match": {"tool": "weather", "output": {"contains": "a.b"}}, "reply": "Take an umbrella."},
        {
            "match": {"message": {"exact": "Hi."}, "model": "^gpt"},
            "replies": ["Hello!", ["Again", {"delay": 2}]],
            "times": 2,
        },
        {"reply": {"refusal": "No."}},
    ],
    "default": "I do not know.",
    "faults": [
        {"close": {"code": 1006, "after": 3}, "request": 2, "match": {"message": "x"}},
        {"refuse_upgrade": {"status": 429, "headers": {"Retry-After": "2"}}, "times": 1, "probability": 0.5, "seed": 7},
        {"drop_stream_ids": None},
        {"delay_upgrade": 1},
    ],
}


def test_a_whole_script() -> None:
    script = read_script(SCRIPT)

    assert script.rules == [
        Rule("weather", [[Reasoning(["hm"]), FunctionCall("weather", {"city": "Paris"})]]),
        Rule(When(tool="weather", output=r"a\.b"), ["Take an umbrella."]),
        Rule(When(message=r"\AHi\.\Z", model="^gpt"), ["Hello!", ["Again", Delay(2)]], 2),
        Rule("", [Refusal("No.")]),
        Rule("", ("I do not know.",)),
    ]
    assert script.faults == [
        Fault(Close(1006, after=3), request=2, match=When(message="x")),
        Fault(RefuseUpgrade(429, headers={"Retry-After": "2"}), times=1, probability=0.5, seed=7),
        Fault(DropStreamIds()),
        Fault(DelayUpgrade(1)),
    ]
    assert read_script({}).rules == []


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("text", "text"),
        ({"text": "a"}, Text("a")),
        ({"text": {"deltas": ["a", "b"], "phase": "commentary"}}, Text(deltas=["a", "b"], phase="commentary")),
        ({"json": {"value": 1}}, Json({"value": 1})),
        ({"json": None}, Json(None)),
        ({"item": {"type": "web_search_call", "id": "x"}}, Item({"type": "web_search_call", "id": "x"})),
        ({"raw": [{"type": "x"}, "{"]}, Raw([{"type": "x"}, "{"])),
        ({"shell_call": ["ls"]}, ShellCall(["ls"])),
        ({"failure": "rate_limit_exceeded"}, Failure("rate_limit_exceeded")),
        ({"delay": {"seconds": 0.5, "after": "here"}}, Delay(0.5, "here")),
        ({"expire": None}, Expire()),
        ({"usage": {"input_tokens": 5}}, Usage(5)),
        ({"incomplete": "content_filter"}, Incomplete("content_filter")),
        (
            {"interleaved": [{"function_call": "a"}, "b", {"function_call": {"name": "c"}}]},
            Interleaved([FunctionCall("a"), "b", FunctionCall("c")]),
        ),
    ],
)
def test_parts(part: object, expected: object) -> None:
    assert read_script({"default": [part]}).rules[0].replies == ([expected],)


def test_a_hold_has_no_gate() -> None:
    (reply,) = read_script({"default": {"hold": 3}}).rules[0].replies
    hold: Any = reply

    assert isinstance(hold, Hold)
    assert hold.after == 3


def test_the_names_are_those_of_the_classes() -> None:
    assert set(_REPLY_KINDS) >= {"text", "custom_tool_call", "mcp_approval_request", "apply_patch_call", "inject"}
    assert set(_FAULT_KINDS) >= {"refuse_upgrade", "reorder_lanes", "ignore_steer", "refuse_concurrent", "stall"}


def rule(**fields: Any) -> dict[str, Any]:
    return {"rules": [{"reply": "x"}, {"reply": "x", **fields}]}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (None, "the script: expected a mapping with rules, default, faults, not None"),
        ([], r"the script: expected a mapping with .*, not \[\]"),
        ({"rule": []}, "the script: unknown name 'rule'; did you mean 'rules'"),
        ({"rules": {}}, "rules: expected a list, not {}"),
        ({"rules": ["x"]}, "rule 1: expected a mapping with match, reply, replies, times, not 'x'"),
        (rule(mach="x"), "rule 2: unknown name 'mach'; did you mean 'match'"),
        (rule(answer="x"), "rule 2: unknown name 'answer'; expected a mapping with match, reply"),
        (rule(replies=["x"]), "rule 2: expected either 'reply' or 'replies'"),
        ({"rules": [{"match": "x"}]}, "rule 1: expected either 'reply' or 'replies'"),
        ({"rules": [{"replies": []}]}, "rule 1, replies: expected at least one reply"),
        (
            {"rules": [{"replies": ["x", 5]}]},
            "rule 1, reply 2: expected a text, or a mapping with text, json, .*, not 5; a text needs quotes here$",
        ),
        (rule(times=0), "rule 2, times: expected a number from 1, not 0"),
        (rule(times=True), "rule 2, times: expected a number from 1, not True"),
        (rule(times="2"), "rule 2, times: expected a number from 1, not '2'"),
        (rule(match="("), r"rule 2, match: '\(' is not a regular expression"),
        (
            rule(match=5),
            "rule 2, match: expected a regular expression, or a mapping .*, not 5; a text needs quotes here$",
        ),
        (rule(match={"mesage": "x"}), "rule 2, match: unknown name 'mesage'; did you mean 'message'"),
        (rule(match={"tool": ["x"]}), "rule 2, match, tool: expected the name of a tool"),
        (rule(match={"output": "("}), r"rule 2, match, output: '\(' is not a regular expression"),
        (
            rule(match={"output": {"contain": "x"}}),
            "rule 2, match, output: unknown name 'contain'; did you mean 'contains'",
        ),
        (rule(match={"output": {}}), "rule 2, match, output: expected one of exact, contains"),
        (rule(match={"output": {"exact": 5}}), "rule 2, match, output, exact: expected a text, not 5"),
        (rule(reply=[]), "rule 2, reply: expected at least one part"),
        (rule(reply=[["x"]]), r"rule 2, reply, part 1: expected a text, or a mapping with .*, not \['x'\]$"),
        (rule(reply={"functon_call": "f"}), "rule 2, reply: unknown name 'functon_call'; did you mean 'function_call'"),
        (
            rule(reply=["a", {"text": "b", "delay": 1}]),
            "rule 2, reply, part 2: expected one name and its arguments, not 2",
        ),
        (rule(reply={"refuse_upgrade": 429}), "rule 2, reply: unknown name 'refuse_upgrade'"),
        (rule(reply={"function_call": {"nam": "f"}}), "function_call: unknown name 'nam'; did you mean 'name'"),
        (rule(reply={"function_call": {"arguments": {}}}), "rule 2, reply: function_call needs the argument 'name'"),
        (rule(reply={"function_call": 5}), "function_call: FunctionCall: name must be of type str, not 5"),
        (rule(reply={"close": 99}), "rule 2, reply, close: a connection cannot be closed with code 99"),
        (rule(reply={"hold": {"gate": 1}}), "hold: unknown name 'gate'; expected a mapping with after"),
        (rule(reply={"interleaved": "x"}), "rule 2, reply, interleaved: expected a list, not 'x'"),
        (rule(reply={"interleaved": [{"close": 1}]}), "interleaved, part 1, close: a connection cannot be closed"),
        (rule(reply={"interleaved": [{"close": 1000}]}), "rule 2, reply, interleaved: Interleaved: outputs must be"),
        ({"default": 5}, "default: expected a text"),
        ({"faults": "x"}, "faults: expected a list, not 'x'"),
        ({"faults": [{"stall": None}, {"cloze": 1}]}, "fault 2: unknown name 'cloze'; did you mean 'close'"),
        ({"faults": [{"times": 1}]}, "fault 1: expected one name of a fault: failure, hold, .*, reorder_lanes"),
        ({"faults": [{"stall": None, "hold": None}]}, "fault 1: expected one name of a fault"),
        ({"faults": [{"drop_stream_ids": 5}]}, "fault 1: drop_stream_ids takes no arguments, not 5"),
        ({"faults": [{"drop_stream_ids": {"a": 1}}]}, "drop_stream_ids: unknown name 'a'; expected no arguments"),
        ({"faults": [{"stall": None, "times": 0}]}, "fault 1: times must be at least 1, not 0"),
        ({"faults": [{"stall": None, "match": "("}]}, "fault 1, match: "),
        ({"faults": [{"refuse_upgrade": 429, "match": "x"}]}, "fault 1: match chooses requests: RefuseUpgrade happens"),
        ({"default": {}}, "default: expected one name and its arguments, not 0"),
        ({"rules": "x" * 100}, "rules: expected a list, not 'x{58}…"),
    ],
)
def test_an_error_names_the_place(document: object, message: str) -> None:
    with pytest.raises(ScriptError, match=message):
        read_script(document)


def test_a_script_that_is_nested_too_deeply() -> None:
    nested: Any = "x"
    for _ in range(120):
        nested = [nested]
    with pytest.raises(ScriptError, match="nested deeper than 100 levels"):
        read_script({"default": nested})
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ScriptError, match="nested deeper than 100 levels"):
        read_script({"default": endless})


NAMES = [*SCRIPT, *SCRIPT["rules"][2], *_REPLY_KINDS, *_FAULT_KINDS, "exact", "contains", "tool", "output", "after"]
scalars = st.one_of(st.none(), st.booleans(), st.integers(-3, 2000), st.floats(), st.text(max_size=3))
values = st.recursive(
    scalars | st.sampled_from(["here", "(", "\ud83c", b"x", 10**400]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | scalars, inner, max_size=3),
    max_leaves=8,
)
parts = st.dictionaries(st.sampled_from([*_REPLY_KINDS]), values, min_size=1, max_size=1)
documents = st.fixed_dictionaries(
    {},
    optional={
        "rules": st.lists(st.fixed_dictionaries({}, optional={"match": values, "reply": parts, "times": values})),
        "default": parts | values,
        "faults": st.lists(st.dictionaries(st.sampled_from([*_FAULT_KINDS, "match", "times"]), values, max_size=2)),
    },
)


@given(document=documents | values)
def test_any_document_is_a_script_or_an_error_of_scripts(document: object) -> None:
    with contextlib.suppress(ScriptError):
        assert read_script(document)


# Files


def written(tmp_path: Path, text: str, name: str = "script.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["script.json", "script", "script.txt"])
def test_a_file_of_json(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, f"\ufeff{json.dumps(SCRIPT)}", name)

    assert load_script(path).rules[:3] == read_script(SCRIPT).rules[:3]
    assert load_script(str(path)).faults == read_script(SCRIPT).faults


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "script.json: Expecting property name"),
        ('{"default": "a", "default": "b"}', "script.json: 'default' is there twice in a mapping"),
        ('{"defaul": "a"}', "script.json: the script: unknown name 'defaul'"),
        ("[" * 100_000, "script.json: "),
    ],
)
def test_a_wrong_file_of_json(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ScriptError, match=message):
        load_script(written(tmp_path, text, "script.json"))


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        load_script(tmp_path / "missing.yaml")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ScriptError, match=r"binary\.json: .*utf-8"):
        load_script(tmp_path / "binary.json")


def example() -> str:
    """Return the script in the docstring of `ResponsesServer.script`."""
    text = (ResponsesServer.script.__doc__ or "").partition("::\n")[2].partition("A reply is a text")[0]
    return textwrap.dedent(text)  # from Python 3.13 on, docstrings have lost their indentation


def test_the_example_of_the_docstring(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    script = load_script(written(tmp_path, example()))

    assert script.rules[0] == Rule(
        "weather",
        [[Reasoning("The user wants to know the weather."), FunctionCall("weather", {"city": "Paris"})]],
    )
    assert script.rules[1].match == When(tool="weather", output="rain")
    assert (script.rules[2].replies, script.rules[2].times) == (["Hello!", "Hello again!"], 2)
    assert script.faults == [Fault(Close(1006, after=3), request=2)]


def test_the_example_of_the_docstring_plays_an_agent(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    script = load_script(written(tmp_path, example()))
    peer = Peer(faults=script.faults)
    for rule in script.rules:
        peer.model.on(rule.match, *rule.replies, times=rule.times)

    (call,) = [item for item in peer.ask(input="weather?")[-1]["response"]["output"] if item["type"] == "function_call"]
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "heavy rain"}
    question = {"role": "user", "content": "weather?"}
    again = Peer(peer.model)
    assert text_of(again.ask(input=[question, call, output])) == "Take an umbrella."
    assert [text_of(again.ask(input="Hello", model="gpt-5.2")) for _ in range(2)] == ["Hello!", "Hello again!"]
    assert again.ask(input="Hello", model="gpt-5.2")[-1]["type"] == "response.created"  # the default has a pace
    peer.ask(input="weather?")
    assert peer.closed == Close(1006, after=3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules: [", r"script\.yaml: line 1, column 9: not YAML: expected the node content"),
        ("default: a\ndefault: b\n", r"script\.yaml: line 2: 'default' is there twice"),
        ("default: !!python/object:os.system x", "not YAML: could not determine a constructor"),
        ("default: \x00", "not YAML: unacceptable character"),
        ("", "the script: expected a mapping"),
        ("default: {json: !!map x}", "not YAML: expected a mapping node"),
    ],
)
def test_a_wrong_file_of_yaml(tmp_path: Path, text: str, message: str) -> None:
    pytest.importorskip("yaml")
    with pytest.raises(ScriptError, match=message):
        load_script(written(tmp_path, text))


def test_a_merge_key_may_be_there(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    text = "default:\n  text: &t {text: a}\nrules:\n  - reply: {text: {<<: *t, phase: commentary}}\n"

    assert load_script(written(tmp_path, text)).rules[0].replies == [Text("a", phase="commentary")]


def test_without_pyyaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(ScriptError, match=r"script\.yaml: a script in YAML needs PyYAML.*rxresponses\[cli\]"):
        load_script(written(tmp_path, "default: x"))


# On a server


def test_a_server_takes_a_script_as_a_mapping_or_a_file(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps({"default": "from the file"}), "script.json")
    by_mapping = ResponsesServer(script={"rules": [{"match": "a", "reply": "A"}]})
    by_mapping.script(path)

    assert [rule.replies for rule in by_mapping._model._rules] == [("A",), ("from the file",)]
    assert [rule.replies for rule in ResponsesServer(script=str(path))._model._rules] == [("from the file",)]
    with pytest.raises(ValueError, match="rule 1"):
        ResponsesServer(script={"rules": [{}]})
