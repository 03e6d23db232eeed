from __future__ import annotations

import datetime
import json
import math
import string
import typing
from collections import UserDict, deque
from collections.abc import Callable, Iterator
from dataclasses import MISSING, FrozenInstanceError, fields, replace
from decimal import Decimal
from enum import Enum
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, UnsetType

from rxresponses.wire import codec
from rxresponses.wire.models import ResponseInputText, ResponseReasoningItem
from rxresponses.wire.plans import plan_of
from rxresponses.wire.requests import (
    EasyInputMessage,
    FunctionCallOutput,
    FunctionTool,
    ResponseCreate,
    check_stream_id,
    create_from,
    user_message,
)
from rxresponses.wire.requests.checks import check, rules_of
from rxresponses.wire.requests.sent import Sent
from tests.support.calls import count_calls
from tests.support.requests import any_create, deep, endless, refused, sent
from tests.support.strategies import json_values, texts, unknown_fields

MINIMAL = {"model": "m", "type": "response.create"}
LANE_CHARACTERS = string.ascii_letters + string.digits + "_-."


def test_fields_that_are_not_given_cost_no_calls() -> None:
    """A request has some forty fields, most of which are never given."""
    ResponseCreate(model="m", input="hi")  # what is made once is made now
    assert count_calls(lambda: ResponseCreate(model="m", input="hi")) <= len(fields(ResponseCreate))


def test_the_default_of_each_field_is_right() -> None:
    """Therefore a default is not checked in each object."""
    for cls in sent_classes():
        for name, default in plan_of(cls).fields.items():
            if default is not MISSING:
                check(name, default, rules_of(cls)[name])


def sent_classes() -> Iterator[Any]:
    waiting: list[Any] = [Sent]
    for cls in waiting:  # grows meanwhile
        waiting += cls.__subclasses__()
        if cls is not Sent and cls.__module__.startswith("rxresponses."):
            yield cls


# --- each field


def kinds_of(hint: Any) -> set[str]:
    """The kinds of JSON value that are right for a field."""
    kinds: set[str] = set()
    for one in typing.get_args(hint):
        origin = typing.get_origin(one)
        if one is float:
            kinds |= {"float", "int"}
        elif one in (str, bool, int):
            kinds.add(one.__name__)
        elif one is type(None):
            kinds.add("null")
        elif origin is not None:
            kinds.add("list" if "Sequence" in str(origin) else "dict")
    return kinds


HINTS = {
    name: hint
    for name, hint in typing.get_type_hints(ResponseCreate).items()
    if UnsetType in typing.get_args(hint)  # leaves `type` and `extra_body`
}
SAMPLES: dict[str, Any] = {
    "str": "x",
    "int": 5,
    "float": 1.5,
    "bool": True,
    "list": [],
    "dict": {"id": "x"},
    "null": None,
}
CASES = [(name, kind) for name in HINTS for kind in SAMPLES]


@pytest.mark.parametrize(("name", "kind"), CASES, ids=[f"{name}-{kind}" for name, kind in CASES])
def test_each_field_takes_its_type_and_no_other(name: str, kind: str) -> None:
    given = {"model": "m", "prompt": {"id": "p"}, name: SAMPLES[kind]}
    if (name, kind) == ("background", "bool"):
        given[name] = False  # `true` has a rule of its own
    if kind not in kinds_of(HINTS[name]):
        assert f"`{name}`" in refused(lambda: ResponseCreate(**given), name)
        assert f"`{name}`" in refused(lambda: create_from(given), name)
        return
    data = sent(ResponseCreate(**given))
    if name in ("stream", "background") or (name == "stream_id" and kind == "null"):
        assert name not in data
    else:
        assert data[name] == given[name]
        assert type(data[name]) is type(given[name])


def test_every_field_is_optional_but_the_model() -> None:
    assert set(HINTS) | {"type", "extra_body", "text_format"} == {field.name for field in fields(ResponseCreate)}
    assert all(getattr(ResponseCreate(model="m"), name) is UNSET for name in HINTS if name != "model")


def test_scenario_45_wrong_fields_are_named() -> None:
    assert "`prompt`" in refused(lambda: ResponseCreate(input="hello"), "model")
    assert "got `str`" in refused(lambda: any_create(temperature="warm"), "temperature")
    assert "a string or a list" in refused(lambda: any_create(input=5), "input")
    assert "WebSocket" in refused(lambda: any_create(background=True), "background")


@pytest.mark.parametrize("model", [UNSET, None, ""])
def test_a_model_or_a_prompt_is_needed(model: Any) -> None:
    refused(lambda: ResponseCreate(model=model), "model")
    refused(lambda: ResponseCreate(model=model, prompt={}), "model")
    refused(lambda: ResponseCreate(model=model, prompt=None), "model")
    assert ResponseCreate(model=model, prompt={"id": "pmpt_1"}).prompt == {"id": "pmpt_1"}


def test_a_request_always_streams() -> None:
    refused(lambda: any_create(stream=False), "stream")
    assert sent(any_create(stream=True, background=False)) == MINIMAL


def test_an_unknown_keyword_is_a_clear_type_error() -> None:
    with pytest.raises(TypeError, match=r"^ResponseCreate has no field 'modle'$"):
        ResponseCreate(modle="m")  # type: ignore[call-arg]


def test_the_type_is_fixed() -> None:
    refused(lambda: any_create(type="response.steer"), "type")
    for kind in ("response.steer", None, 5):
        text = refused(lambda kind=kind: create_from({"type": kind, "model": "m"}), "type")  # type: ignore[misc]
        assert f"must be 'response.create', not {kind!r}" in text


# --- mistakes of users


class Colour(Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("top_p", -math.inf),
        ("temperature", True),
        ("max_output_tokens", 1.0),
        ("store", 1),
        ("tools", "web_search"),
        ("tools", {"type": "web_search"}),
        ("tools", FunctionTool(name="f")),
        ("tools", {"web_search"}),
        ("include", "reasoning.encrypted_content"),
        ("include", {"reasoning.encrypted_content"}),
        ("include", [5]),
        ("input", {"role": "user", "content": "hello"}),
        ("input", user_message("hello")),
        ("input", {"hello"}),
        ("input", (text for text in ["hello"])),
        ("input", deque([user_message("hello")])),
        ("input", b"hello"),
        ("metadata", {"turn": 1}),
        ("metadata", {1: "one"}),
        ("metadata", {"turn": None}),
        ("text", {"format": {"schema": dict}}),
        ("text", {"format": {"schema": {"enum": {"a", "b"}}}}),
        ("text", {"format": {"schema": {"enum": [b"a"]}}}),
        ("text", {"format": {"schema": {"maximum": math.nan}}}),
        ("text", {"format": {("a", "b"): 1}}),
        ("reasoning", {"effort": Colour.RED}),
        ("prompt", {"id": "p", "variables": {"day": datetime.date(2026, 1, 1)}}),
        ("prompt", {"id": "p", "variables": {"price": Decimal("1.5")}}),
        ("conversation", {"id": UNSET}),
        ("tool_choice", {"a": endless}),
        ("tool_choice", {"a": deep}),
        ("extra_body", {"a": object()}),
        ("extra_body", {"a": [math.inf]}),
        ("extra_body", {1: 2}),
        ("extra_body", [("a", 1)]),
        ("extra_body", None),
        ("temperature", "\ud83c"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isascii() else type(value).__name__,
)
def test_mistakes_are_refused_by_field(field: str, value: Any) -> None:
    assert f"`{field}`" in refused(lambda: any_create(**{field: value}), field)


@pytest.mark.parametrize(
    "item",
    [
        "hello",
        b"hello",
        5,
        None,
        ["hello"],
        {"role": "user", "content": math.nan},
        {"role": "user", "content": b"hello"},
        {"role": "user", "content": [{"type": "input_text", "text": {"hello"}}]},
        {"role": "user", "content": endless},
    ],
    ids=repr,
)
def test_mistakes_in_items_are_refused_by_index(item: Any) -> None:
    assert "`input[1]`" in refused(lambda: any_create(input=[user_message("good"), item]), "input[1]")
    assert "`tools[1]`" in refused(lambda: any_create(tools=({"type": "good"}, item)), "tools[1]")


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: user_message(endless), "content[0]"),
        (lambda: user_message(5), "content[0]"),  # type: ignore[arg-type]
        (lambda: user_message([{"score": math.inf}]), "content[0]"),
        (lambda: FunctionCallOutput(call_id="c", output=b"hello"), "output"),  # type: ignore[arg-type]
        (lambda: FunctionCallOutput(call_id="c", output={"a": 1}), "output"),  # type: ignore[arg-type]
        (lambda: FunctionTool(name=5), "name"),  # type: ignore[arg-type]
        (lambda: FunctionTool(name="f", parameters=[]), "parameters"),  # type: ignore[arg-type]
    ],
)
def test_mistakes_within_an_item_are_refused_where_it_is_made(make: Callable[[], Any], field: str) -> None:
    assert f"`{field}`" in refused(make, field)


@pytest.mark.parametrize("name", ["stream_id", "stream", "type", "model", "extra_body"])
def test_extra_body_cannot_hold_fields_of_the_class(name: str) -> None:
    assert repr(name) in refused(lambda: any_create(extra_body={"x": 1, name: False}), "extra_body")


@pytest.mark.parametrize("request_", ["hello", None, 5, b"{}", [("model", "m")], user_message("hello")])
def test_only_requests_are_requests(request_: Any) -> None:
    assert type(request_).__name__ in refused(lambda: create_from(request_), None)


def test_json_text_of_no_object_is_refused() -> None:
    refused(lambda: ResponseCreate.from_json("[1]"), None)
    refused(lambda: ResponseCreate.from_json('{"model": "m", "top_p": "x"}'), "top_p")


# --- on the wire


def test_absent_is_absent_and_null_is_null() -> None:
    assert codec.encode(any_create()) == b'{"model":"m","type":"response.create"}'
    assert json.loads(any_create().to_json()) == MINIMAL
    assert sent(any_create(previous_response_id=None)) == MINIMAL | {"previous_response_id": None}
    assert sent(any_create(previous_response_id=UNSET)) == MINIMAL
    assert sent(any_create(store=False, generate=False, include=[], temperature=0)) == MINIMAL | {
        "store": False,
        "generate": False,
        "include": [],
        "temperature": 0,
    }


def test_unknown_fields_are_sent() -> None:
    request = any_create(extra_body={"x_new": [1, None, {"y": None}]})
    assert sent(request) == MINIMAL | {"x_new": [1, None, {"y": None}]}
    assert request.extra == request.extra_body
    assert json.loads(request.to_json())["x_new"] == [1, None, {"y": None}]


def test_mapping_types_and_tuples_are_json() -> None:
    request = create_from(
        MappingProxyType(
            {
                "model": "m",
                "input": (UserDict(role="user", content=(ResponseInputText(text="hello"),)),),
                "metadata": MappingProxyType({"turn": "1"}),
                "tools": [FunctionTool(name="f", parameters=MappingProxyType({"type": "object"}))],
            }
        )
    )
    assert sent(request) == MINIMAL | {
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "hello"}]}],
        "metadata": {"turn": "1"},
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
    }


def test_a_mapping_as_clients_in_the_wild_send_it() -> None:
    data = {
        "type": "response.create",
        "model": "m",
        "input": [{"role": "user", "content": "hello"}],
        "include": [],
        "stream": True,
        "background": False,
        "previous_response_id": None,
        "x_new": {"a": None},
    }
    request = create_from(data)
    assert request.extra_body == {"x_new": {"a": None}}
    assert sent(request) == {name: value for name, value in data.items() if name not in ("stream", "background")}
    assert sent(create_from({"model": "m", "input": "hello"})) == MINIMAL | {"input": "hello"}


@pytest.mark.parametrize("name", ["extra", "to_dict", "_extra", "raw", "__class__"])
def test_unknown_fields_may_have_any_name(name: str) -> None:
    data = MINIMAL | {name: {"a": None}}
    assert sent(create_from(data)) == data
    assert sent(any_create(input=[EasyInputMessage.from_dict({"role": "user", "content": "x", name: None})]))[
        "input"
    ] == [{"type": "message", "role": "user", "content": "x", name: None}]


def test_lone_surrogates_are_sent() -> None:
    request = any_create(input=[user_message("\ud83c"), user_message("Grüße 🎉")], extra_body={"\udf89": "\udf89"})
    data = sent(request)
    assert [item["content"] for item in data["input"]] == ["\ud83c", "Grüße 🎉"]
    assert data["\udf89"] == "\udf89"


plain_requests = st.fixed_dictionaries(
    {"model": texts.filter(bool)},
    optional={
        "input": texts | st.none() | st.lists(st.dictionaries(texts, json_values, max_size=3), max_size=3),
        "instructions": texts | st.none(),
        "previous_response_id": texts | st.none(),
        "stream_id": st.text(LANE_CHARACTERS, min_size=1, max_size=256),
        "generate": st.booleans(),
        "max_output_tokens": st.integers() | st.none(),
        "temperature": st.floats(allow_nan=False, allow_infinity=False) | st.none(),
        "tools": st.lists(st.dictionaries(texts, json_values, max_size=3), max_size=2) | st.none(),
        "metadata": st.dictionaries(texts, texts, max_size=2),
        "reasoning": st.dictionaries(texts, json_values, max_size=2) | st.none(),
        "extra_body": unknown_fields,
    },
).map(lambda values: json.loads(json.dumps(values)))  # joins surrogates that stand side by side


@given(plain_requests)
def test_requests_survive_the_round_trip(values: dict[str, Any]) -> None:
    request = ResponseCreate(**values)
    assert ResponseCreate.from_dict(request.to_dict()) == request
    assert ResponseCreate.from_json(request.to_json()) == request
    assert create_from(json.loads(codec.encode(request))) == request
    assert hash(create_from(request.to_dict())) == hash(request)
    wire = {name: value for name, value in values.items() if name != "extra_body"} | values.get("extra_body", {})
    assert request.to_dict() == wire | {"type": "response.create"}


def test_requests_are_frozen() -> None:
    request = any_create(input="a")
    with pytest.raises(FrozenInstanceError):
        request.input = "b"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        user_message("a").content = "b"  # type: ignore[misc]
    assert replace(request, input="b") == any_create(input="b")
    assert request == any_create(input="a")
    assert repr(request) == "ResponseCreate(model='m', input='a')"


def test_the_repr_shows_no_credential_of_a_tool() -> None:
    mcp = {
        "type": "mcp",
        "server_label": "x",
        "authorization": "sk-secret-1",
        "headers": {"X-Token": "sk-secret-2"},
    }
    shell = {"type": "shell", "environment": {"domain_secrets": [{"domain": "d", "value": "sk-secret-3"}]}}
    response = {"id": "r", "tools": [mcp, {**mcp, "authorization": None}]}
    received = [
        {"type": "response.created", "response": response},
        {"type": "response.created", "response": {**response, "id": 5}},  # not readable
        {"type": "response.new", "tool": mcp},
    ]
    requests = [
        ResponseCreate(model="m", tools=tools, extra_body={"more": tools}) for tools in ([mcp, shell], (shell, mcp))
    ]
    for one in (*requests, *(codec.decode(json.dumps(event)) for event in received)):
        assert "secret-" not in repr(one)
        assert "secret-" not in str(one)
        assert "'authorization': '(hidden)', 'headers': {'X-Token': '(hidden)'}" in repr(one)
        assert "sk-secret-1" in one.to_json()
    assert "'authorization': None" in repr(codec.decode(json.dumps(received[0])))
    assert "'domain_secrets': '(hidden)'" in repr(requests[0])
    assert ", tools=(" in repr(requests[1])


# --- lanes


@given(st.text(LANE_CHARACTERS, min_size=1, max_size=256))
def test_lane_names(name: str) -> None:
    check_stream_id(name)
    assert sent(any_create(stream_id=name))["stream_id"] == name
    assert create_from(any_create(), name) == create_from(MINIMAL, name) == any_create(stream_id=name)
    assert create_from(any_create(stream_id=name), name).stream_id == name


@given(
    st.text(LANE_CHARACTERS, max_size=3), st.text(min_size=1).filter(lambda text: not set(text) <= set(LANE_CHARACTERS))
)
def test_scenario_17_bad_lane_names(start: str, odd: str) -> None:
    for name in (start + odd, odd + start, start + odd + start):
        refused(lambda name=name: check_stream_id(name), "stream_id")  # type: ignore[misc]
        refused(lambda name=name: any_create(stream_id=name), "stream_id")  # type: ignore[misc]
        refused(lambda name=name: create_from(any_create(), name), "stream_id")  # type: ignore[misc]


@pytest.mark.parametrize("name", ["", "a" * 257, "main\n", " main", "größe", "٣", 5, None, b"main", ["main"]])
def test_scenario_17_more_bad_lane_names(name: Any) -> None:
    refused(lambda: check_stream_id(name), "stream_id")


def test_a_long_bad_lane_name_is_shortened() -> None:
    text = refused(lambda: check_stream_id("x" * 5000), "stream_id")
    assert "'xxx" in text
    assert "..." in text
    assert "..." not in refused(lambda: check_stream_id("x y" * 26), "stream_id")  # 80 characters with its quotes


def test_scenario_17_request_and_lane_contradict() -> None:
    text = refused(lambda: create_from(any_create(stream_id="a"), "b"), "stream_id")
    assert "'a'" in text
    assert "'b'" in text
    refused(lambda: create_from({"model": "m", "stream_id": "a"}, "b"), "stream_id")
    refused(lambda: create_from(any_create(), ""), "stream_id")


def test_the_default_lane_has_no_name() -> None:
    assert sent(any_create(stream_id=None)) == MINIMAL
    assert create_from(any_create(stream_id=None), "a").stream_id == "a"
    request = any_create(stream_id="a")
    assert create_from(request) is request


# --- reasoning that is not stored

REASONING: dict[str, Any] = {"type": "reasoning", "id": "rs_1", "summary": []}
READABLE: list[dict[str, Any]] = [
    {**REASONING, "encrypted_content": "gAAA"},
    {**REASONING, "content": [{"type": "reasoning_text", "text": "Hm."}]},  # of an open model
    {"type": "message", "role": "user", "content": "Say hello"},
    {"type": "item_reference", "id": "msg_1"},
]
UNREADABLE: list[Any] = [
    REASONING,
    {**REASONING, "encrypted_content": None},
    {**REASONING, "encrypted_content": "", "content": []},
    ResponseReasoningItem.from_dict(REASONING),
    ResponseReasoningItem(id="rs_2"),
    MappingProxyType(REASONING),
]


@pytest.mark.parametrize("item", UNREADABLE)
def test_scenario_73_reasoning_that_is_not_stored_is_left_out(item: Any) -> None:
    create = ResponseCreate(model="m", input=[READABLE[0], item, *READABLE[1:]], store=False)
    assert sent(create)["input"] == READABLE
    assert len(typing.cast("list[Any]", create.input)) == 5  # the request of the user stays as it is


@pytest.mark.parametrize("fields", [{}, {"store": True}, {"store": None}])
def test_scenario_73_reasoning_that_may_be_stored_is_sent(fields: dict[str, Any]) -> None:
    assert sent(ResponseCreate(model="m", input=[REASONING], **fields))["input"] == [REASONING]


def test_scenario_73_other_input_is_not_touched() -> None:
    assert sent(ResponseCreate(model="m", input="reasoning", store=False))["input"] == "reasoning"
    assert sent(ResponseCreate(model="m", input=tuple(READABLE), store=False))["input"] == READABLE
    assert "input" not in sent(ResponseCreate(model="m", store=False))
