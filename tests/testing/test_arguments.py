"""Wrong arguments of replies and faults are refused at once."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from rxresponses import testing
from rxresponses.testing import (
    ApplyPatchCall,
    Close,
    Delay,
    DelayUpgrade,
    Expire,
    Failure,
    Fault,
    FunctionCall,
    Gate,
    Hold,
    Inject,
    Interleaved,
    Item,
    Json,
    McpApprovalRequest,
    Pace,
    Raw,
    Reasoning,
    Refusal,
    RefuseUpgrade,
    ReorderLanes,
    ShellCall,
    Stall,
    Text,
    Usage,
)
from rxresponses.testing.arguments import CheckedArguments


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (Hold, {"gate": 5}, "Hold: gate must be of type Gate, not 5"),
        (Hold, {"gate": Gate}, "Hold: gate must be of type Gate, not <class"),
        (Hold, {"after": "5"}, r"Hold: after must be of type int \| Literal\['here'\], not '5'"),
        (Hold, {"after": True}, r"Hold: after must be of type int \| .*, not True"),
        (Text, {"text": 5}, "Text: text must be of type str, not 5"),
        (Text, {"deltas": "abc"}, r"Text: deltas must be of type Sequence\[str\], not 'abc'"),
        (Text, {"deltas": ["a", 5]}, r"Text: deltas must be of type Sequence\[str\]"),
        (Text, {"deltas": iter(["a"])}, "Text: deltas"),
        (Refusal, {"text": None}, "Refusal: text must be of type str, not None"),
        (Reasoning, {"summary": ["a", 5]}, r"Reasoning: summary must be of type str \| Sequence\[str\]"),
        (FunctionCall, {"name": 5}, "FunctionCall: name"),
        (
            FunctionCall,
            {"name": "f", "arguments": []},
            r"arguments must be of type Mapping\[str, Any\] \| str, not \[\]",
        ),
        (FunctionCall, {"name": "f", "arguments": {5: 1}}, "FunctionCall: arguments"),
        (FunctionCall, {"name": "f", "arguments": "{}", "call_id": 5}, "FunctionCall: call_id"),
        (Raw, {"frames": {"type": "x"}}, "Raw: frames must be of type Sequence"),
        (Raw, {"frames": "text"}, "Raw: frames"),
        (Raw, {"frames": b"text"}, "Raw: frames"),
        (Raw, {"frames": [None]}, "Raw: frames"),
        (Failure, {"code": 500}, r"Failure: code must be of type str \| None, not 500"),
        (Failure, {"status": "500"}, "Failure: status"),
        (Failure, {"headers": {"Retry-After": 5}}, "Failure: headers"),
        (Close, {"code": "1006"}, "Close: code must be of type int, not '1006'"),
        (Close, {"code": 1006, "reason": 3}, "Close: reason must be of type str, not 3"),
        (Delay, {"seconds": "1"}, "Delay: seconds must be of type float, not '1'"),
        (Delay, {"seconds": True}, "Delay: seconds"),
        (Stall, {"pongs": 0}, "Stall: pongs must be of type bool, not 0"),
        (Inject, {"frame": ["x"]}, "Inject: frame"),
        (Expire, {"after": 1.0}, r"Expire: after must be of type int \| .*, not 1\.0"),
        (RefuseUpgrade, {"status": "429"}, "RefuseUpgrade: status must be of type int, not '429'"),
        (RefuseUpgrade, {"status": 429, "body": b"no"}, "RefuseUpgrade: body"),
        (RefuseUpgrade, {"status": 429, "headers": {"Retry-After": 5}}, "RefuseUpgrade: headers"),
        (DelayUpgrade, {"seconds": None}, "DelayUpgrade: seconds must be of type float, not None"),
        (ReorderLanes, {"seed": "x"}, "ReorderLanes: seed"),
        (ReorderLanes, {"order": "oldest"}, r"order must be of type Literal\['random', 'newest'\], not 'oldest'"),
        (Hold, {"after": "there"}, "Hold: after"),
        (Text, {"phase": "answer"}, "Text: phase"),
        (McpApprovalRequest, {"server_label": "s", "name": "n", "arguments": {"a": object()}}, "object"),
        (Json, {"value": {"a": object()}}, "object"),
        (ShellCall, {"commands": "ls"}, "ShellCall: commands"),
        (Interleaved, {"outputs": [Close()]}, "outputs must be outputs, not Close"),
        (Interleaved, {"outputs": [Interleaved(["a"])]}, "outputs must be outputs"),
        (Fault, {"what": Expire(), "connection": "1"}, r"Fault: connection must be of type int \| None, not '1'"),
        (Fault, {"what": Expire(), "request": [1]}, "Fault: request"),
        (Fault, {"what": Expire(), "times": 1.5}, "Fault: times"),
        (Fault, {"what": Expire(), "match": 5}, "Fault: match"),
        (Fault, {"what": Expire(), "probability": "1"}, "Fault: probability"),
        (Fault, {"what": Expire(), "seed": None}, "Fault: seed"),
        (FunctionCall, {"name": "f", "arguments": {"a": object()}}, "object"),
        (Raw, {"frames": [{"a": object()}]}, "object"),
        (Inject, {"frame": {"a": object()}}, "object"),
        (RefuseUpgrade, {"body": {"a": object()}}, "object"),
    ],
)
def test_an_argument_of_a_wrong_type(kind: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        kind(**arguments)


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        *((kind, {"after": -1}, "after must be a number of events from 0, not -1") for kind in (Hold, Close)),
        (Delay, {"seconds": 1, "after": -1}, "Delay: after"),
        *((DelayUpgrade, {"seconds": seconds}, "from 0") for seconds in (-1, -0.5, math.nan)),
        *((Delay, {"seconds": seconds}, "seconds must be") for seconds in (-1.0, math.inf, math.nan)),
        *(
            (RefuseUpgrade, {"status": status}, f"status must be from 200 to 599, not {status}")
            for status in (101, 199, 600)
        ),
        (ApplyPatchCall, {"operation": "delete_file", "path": "a", "diff": ""}, "diff must be given"),
        (ApplyPatchCall, {"operation": "create_file", "path": "a"}, "diff must be given"),
        (Item, {"item": {"id": "x"}}, "item must have a type"),
        (Usage, {"cached_tokens": -1}, "cached_tokens must be a number from 0, not -1"),
        (Pace, {"seconds": math.inf}, "seconds must be"),
        (Fault, {"what": Close(after="here")}, "a fault needs a number of events"),
        (Inject, {"frame": "\ud83c"}, "surrogates"),
        (Raw, {"frames": ["\ud83c"]}, "surrogates"),
        *((Close, {"code": code}, f"code {code}") for code in (0, 999, 1004, 1005, 1015, 2999, 5000)),
        (Close, {"code": 1000, "reason": "é" * 62}, "at most 123 bytes"),
        (Close, {"code": 1000, "reason": "\ud83c"}, "surrogates"),
    ],
)
def test_an_argument_with_a_wrong_value(kind: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**arguments)


def test_the_numbers_of_tokens_are_given_by_name() -> None:
    assert Usage(1500, output_tokens=600) == Usage(input_tokens=1500, output_tokens=600)
    with pytest.raises(TypeError, match="positional"):
        Usage(1500, 600)  # type: ignore[call-arg]


def test_right_arguments_are_kept_as_they_are() -> None:
    gate = Gate()
    assert Hold(gate).gate is gate
    assert Delay(1).seconds == 1
    assert DelayUpgrade(0).seconds == 0
    assert DelayUpgrade().seconds == math.inf
    assert Text(deltas=("a", "b")).text == "ab"
    assert Reasoning(["a"]).summary == ["a"]
    assert Raw([{"type": "x"}, "text", b"bytes"]).frames == [{"type": "x"}, "text", b"bytes"]
    assert FunctionCall("f", {"a": 1, "b": None}, "call").arguments == {"a": 1, "b": None}
    assert Failure(None, status=None, headers={}).headers == {}
    for code in (1000, 1003, 1006, 1014, 3000, 4999):
        assert Close(code, "é" * 61).code == code


def test_every_reply_and_fault_is_checked() -> None:
    not_replies = {"Exchange", "Received", "Recording", "Request", "Upgrade"}
    found = {name: getattr(testing, name) for name in dir(testing) if name[0].isupper()}
    data = {name for name, kind in found.items() if dataclasses.is_dataclass(kind) and dataclasses.fields(kind)}
    checked = {name for name in data if issubclass(found[name], CheckedArguments)}
    assert data - checked == not_replies
