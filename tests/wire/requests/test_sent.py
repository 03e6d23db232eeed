"""What all classes that are sent have in common: items, tools, tool choices and settings."""

from __future__ import annotations

import dataclasses
import json
import typing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

import rxresponses
from rxresponses.errors import DecodeError, InvalidRequestError
from rxresponses.models import (
    McpApprovalResponse,
    ResponseContainerReference,
    ResponseInputImage,
    ResponseInputText,
    SafetyCheck,
    ShellCommandOutput,
)
from rxresponses.wire import codec, requests
from rxresponses.wire.base import Model, build
from rxresponses.wire.plans import plan_of
from rxresponses.wire.requests import (
    CodeInterpreter,
    CodeInterpreterToolAuto,
    ComparisonFilter,
    CompoundFilter,
    ContainerAuto,
    ContainerNetworkPolicyAllowlist,
    ContainerNetworkPolicyDomainSecret,
    CustomTool,
    EasyInputMessage,
    FileSearchTool,
    FunctionShellTool,
    FunctionTool,
    ItemReference,
    Mcp,
    McpToolApprovalFilter,
    McpToolFilter,
    NamespaceTool,
    Reasoning,
    ResponseCreate,
    ResponseFormatTextJSONSchemaConfig,
    ResponseSteer,
    ResponseTextConfig,
    Tool,
    ToolChoiceFunction,
    WebSearchTool,
    WebSearchToolUserLocation,
)
from rxresponses.wire.requests.checks import Rule, rules_of
from rxresponses.wire.requests.sent import Sent
from tests.effort import examples
from tests.support.requests import sent
from tests.support.strategies import holds, wire, wrong_values

CLASSES: list[type[Sent]] = [
    cls
    for name in requests.__all__
    if isinstance(cls := getattr(requests, name), type)
    and issubclass(cls, Sent)
    and cls not in (ResponseCreate, ResponseSteer)
]
every_class = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
few = settings(max_examples=examples(30))


def drawn(data: st.DataObject, cls: type[Model]) -> dict[str, Any]:
    """Draw the JSON of an object, as a server reads it."""
    return typing.cast("dict[str, Any]", json.loads(json.dumps(data.draw(wire(cls)))))


def given_fields(one: Sent) -> dict[str, Any]:
    return {
        field.name: value
        for field in dataclasses.fields(one)  # type: ignore[arg-type]
        if (value := getattr(one, field.name)) is not UNSET
    }


def without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_null(one) for name, one in value.items() if one is not None}
    return [without_null(one) for one in value] if isinstance(value, list) else value


def as_rules(cls: type[Sent]) -> dict[str, Rule]:
    kind: Any = cls
    return dict(rules_of(kind))


# --- each class


@every_class
@few
@given(data=st.data())
def test_both_codecs_read_and_write_the_same(cls: type[Sent], data: st.DataObject) -> None:
    original = drawn(data, cls)
    one = cls.from_dict(original)
    for other in (build(cls, original), cls.from_json(json.dumps(original))):
        assert other == one
        assert hash(other) == hash(one)
        assert repr(other) == repr(one)
        assert other.extra == one.extra
    plan = plan_of(cls)
    defaults = {
        name: value
        for name, attribute in plan.leaves.items()
        if (value := plan.fields[attribute]) is not UNSET and name not in plan.required
    }
    for text in (codec.encode(one), one.to_json(), json.dumps(one.to_dict())):
        assert json.loads(text) == defaults | original  # so a field that was not given is absent
        assert cls.from_json(text) == one
    request = sent(ResponseCreate(model="m", input=[one, original]))
    assert request["input"] == [defaults | original, original]


@every_class
@few
@given(data=st.data())
def test_a_value_of_a_wrong_type_names_its_field(cls: type[Sent], data: st.DataObject) -> None:
    original = drawn(data, cls)
    hints = typing.get_type_hints(cls)
    attributes = plan_of(cls).leaves
    name = data.draw(st.sampled_from(sorted(name for name in attributes if hints[attributes[name]] is not Any)))
    attribute = attributes[name]
    wrong = data.draw(wrong_values(hints[attribute]))
    fields = given_fields(cls.from_dict(original)) | {attribute: wrong}
    with pytest.raises(InvalidRequestError, match=f"`{attribute}`") as caught:
        cls(**fields)
    assert caught.value.field == attribute
    assert len(str(caught.value)) < 250
    for read in (cls.from_dict, lambda kvs: build(cls, kvs)):
        with pytest.raises((DecodeError, InvalidRequestError), match=name):
            read(original | {name: wrong})


@every_class
@few
@given(data=st.data())
def test_objects_may_stand_where_mappings_may(cls: type[Sent], data: st.DataObject) -> None:
    one: Any = cls.from_dict(drawn(data, cls))
    for name, rule in as_rules(cls).items():
        for kind in rule.classes:
            value = drawn(data, kind)
            changed = dataclasses.replace(one, **{name: kind.from_dict(value)})
            assert dataclasses.replace(one, **{name: changed.to_dict()[name]}).to_dict() == changed.to_dict()
            assert holds(changed.to_dict()[name], without_null(value))
            assert sent(changed) == changed.to_dict()
        for kind in () if Model in rule.elements else rule.elements:
            value = drawn(data, kind)
            changed = dataclasses.replace(one, **{name: (kind.from_dict(value), value)})
            first, second = changed.to_dict()[name]
            assert second == value
            assert holds(first, without_null(value))
            assert sent(changed) == changed.to_dict()


@every_class
def test_required_fields_and_unknown_keywords_are_type_errors(cls: type[Sent]) -> None:
    for name in plan_of(cls).compulsory:
        with pytest.raises(TypeError, match=f"^{cls.__name__} needs the field '"):
            cls()
        assert name in {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        unset: dict[str, Any] = dict.fromkeys(plan_of(cls).compulsory, UNSET)
        with pytest.raises(InvalidRequestError, match="UnsetType"):
            cls(**unset)
    with pytest.raises(TypeError, match="has no field 'x_new'"):
        cls(x_new=1)


# --- by hand


def test_async_is_a_field_although_it_is_a_keyword() -> None:
    tool = FunctionTool(name="f", async_=True)
    assert sent(tool) == tool.to_dict() == {"name": "f", "parameters": None, "async": True, "type": "function"}
    assert FunctionTool.from_dict(tool.to_dict()) == build(FunctionTool, tool.to_dict()) == tool
    assert FunctionTool.from_json('{"name": "f", "async": null}').async_ is None
    assert CustomTool.from_dict({"name": "c", "async": False}).async_ is False
    assert "async" not in sent(FunctionTool(name="f"))
    assert tool.extra == {}
    with pytest.raises(InvalidRequestError, match="`async_`") as caught:
        FunctionTool(name="f", async_="yes")  # type: ignore[arg-type]
    assert caught.value.field == "async_"
    with pytest.raises(TypeError, match="has no field 'async'"):
        FunctionTool(name="f", **{"async": True})  # type: ignore[arg-type]


def test_tools_made_of_objects_are_sent_as_their_mappings_are() -> None:
    policy = ContainerNetworkPolicyAllowlist(
        allowed_domains=["a.example"],
        domain_secrets=[ContainerNetworkPolicyDomainSecret(domain="a.example", name="KEY", value="sk-1")],
    )
    tools: list[Tool] = [
        WebSearchTool(user_location=WebSearchToolUserLocation(city="Paris"), search_context_size="low"),
        FileSearchTool(
            vector_store_ids=["vs_1"],
            filters=CompoundFilter(type="and", filters=[ComparisonFilter(key="year", type="gt", value=2020)]),
        ),
        Mcp(
            server_label="docs",
            server_url="https://mcp.example",
            require_approval=McpToolApprovalFilter(never=McpToolFilter(read_only=True)),
        ),
        CodeInterpreter(container=CodeInterpreterToolAuto(network_policy=policy)),
        FunctionShellTool(environment=ResponseContainerReference(container_id="c_1")),
        FunctionShellTool(environment=ContainerAuto(memory_limit="4g")),
        NamespaceTool(name="crm", description="customers", tools=[FunctionTool(name="find")]),
    ]
    data: list[dict[str, Any]] = [
        {
            "type": "web_search",
            "user_location": {"type": "approximate", "city": "Paris"},
            "search_context_size": "low",
        },
        {
            "type": "file_search",
            "vector_store_ids": ["vs_1"],
            "filters": {"type": "and", "filters": [{"key": "year", "type": "gt", "value": 2020}]},
        },
        {
            "type": "mcp",
            "server_label": "docs",
            "server_url": "https://mcp.example",
            "require_approval": {"never": {"read_only": True}},
        },
        {
            "type": "code_interpreter",
            "container": {
                "type": "auto",
                "network_policy": {
                    "type": "allowlist",
                    "allowed_domains": ["a.example"],
                    "domain_secrets": [{"domain": "a.example", "name": "KEY", "value": "sk-1"}],
                },
            },
        },
        {"type": "shell", "environment": {"type": "container_reference", "container_id": "c_1"}},
        {"type": "shell", "environment": {"type": "container_auto", "memory_limit": "4g"}},
        {
            "type": "namespace",
            "name": "crm",
            "description": "customers",
            "tools": [{"type": "function", "name": "find", "parameters": None}],
        },
    ]
    assert sent(ResponseCreate(model="m", tools=tools))["tools"] == data
    assert sent(ResponseCreate(model="m", tools=data))["tools"] == data


def test_settings_made_of_objects_are_sent_as_their_mappings_are() -> None:
    schema = {"type": "object", "properties": {"a": {"default": None}}}
    request = ResponseCreate(
        model="m",
        text=ResponseTextConfig(format=ResponseFormatTextJSONSchemaConfig(name="n", schema=schema), verbosity=None),
        reasoning=Reasoning(effort="low"),
        tool_choice=ToolChoiceFunction(name="f"),
    )
    assert sent(request) == {
        "type": "response.create",
        "model": "m",
        "text": {"format": {"type": "json_schema", "name": "n", "schema": schema}, "verbosity": None},
        "reasoning": {"effort": "low"},
        "tool_choice": {"type": "function", "name": "f"},
    }


def test_answers_to_calls_are_made_of_received_classes() -> None:
    screen = rxresponses.ComputerCallOutput(
        call_id="call_1",
        output=rxresponses.ResponseComputerToolCallOutputScreenshot(image_url="data:x"),
        acknowledged_safety_checks=[SafetyCheck(id="sc_1")],
    )
    shell = rxresponses.ShellCallOutput(
        call_id="call_2",
        output=[ShellCommandOutput(stdout="x", stderr="", outcome=rxresponses.OutputOutcomeExit(exit_code=0))],
    )
    assert sent(ResponseCreate(model="m", input=[screen, shell]))["input"] == [
        {
            "type": "computer_call_output",
            "call_id": "call_1",
            "output": {"type": "computer_screenshot", "image_url": "data:x"},
            "acknowledged_safety_checks": [{"id": "sc_1"}],
        },
        {
            "type": "shell_call_output",
            "call_id": "call_2",
            "output": [{"stdout": "x", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}],
        },
    ]


LOCATION = WebSearchToolUserLocation(city="Paris")


def made(cls: Any, **fields: Any) -> Any:
    """Build an object with a field of a wrong type, which the checker of types would refuse."""
    return cls(**fields)


CREATE = {"model": "m"}


@pytest.mark.parametrize(
    ("make", "fields", "name", "problem"),
    [
        (ResponseCreate, CREATE | {"tools": [LOCATION]}, "tools[0]", "takes no WebSearchToolUserLocation"),
        (ResponseCreate, CREATE | {"tool_choice": LOCATION}, "tool_choice", "takes no WebSearchToolUserLocation"),
        (
            EasyInputMessage,
            {"role": "user", "content": [ItemReference(id="x")]},
            "content[0]",
            "takes no ItemReference",
        ),
        (
            NamespaceTool,
            {"name": "n", "description": "d", "tools": ({}, WebSearchTool())},
            "tools[1]",
            "takes no WebSearchTool",
        ),
        (WebSearchTool, {"type": "web_search_9"}, "type", "Invalid enum value"),
        (WebSearchTool, {"filters": "yes"}, "filters", "Expected `object | null`, got `str`"),
        (CodeInterpreter, {"container": 5}, "container", "Expected `str | object`, got `int`"),
        (CompoundFilter, {"type": "and", "filters": [5]}, "filters[0]", "must be an object, not int"),
        (CompoundFilter, {"type": "and", "filters": None}, "filters", "must be a list of objects, not NoneType"),
        (ItemReference, {"id": None}, "id", "Expected `str`, got `null`"),
        (CompoundFilter, {"type": "and", "filters": 5}, "filters", "must be a list of objects, not int"),
        (
            ResponseCreate,
            CREATE | {"input": [made(McpApprovalResponse, approve="yes")]},
            "input[0]",
            "McpApprovalResponse: Expected `bool | null`, got `str` - at `$.approve`",
        ),
        (
            EasyInputMessage,
            {"role": "user", "content": [ResponseInputText(text="x"), made(ResponseInputImage, detail=5)]},
            "content[1]",
            "ResponseInputImage: Expected `str | null`, got `int` - at `$.detail`",
        ),
        (
            ResponseCreate,
            CREATE | {"input": [{"role": "user", "content": [made(ResponseInputText, text=5)]}]},
            "input[0]",
            "ResponseInputText: Expected `str`, got `int` - at `$.text`",
        ),
        (
            ResponseCreate,
            CREATE | {"input": [made(McpApprovalResponse, approve="\ud83c")]},
            "input[0]",
            "McpApprovalResponse: ",
        ),
        (
            FunctionTool,
            {"name": "f", "parameters": {"x": made(ResponseInputText, text=float)}},
            "parameters",
            "ResponseInputText: Expected `str`",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isascii() else "",
)
def test_mistakes_inside_a_request_are_named_by_their_place(
    make: Any, fields: dict[str, Any], name: str, problem: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        make(**fields)
    assert caught.value.field == name
    assert problem in str(caught.value)
    assert f"`{name}`" in str(caught.value)


def test_no_repr_shows_a_credential() -> None:
    secret = ContainerNetworkPolicyDomainSecret(domain="a.example", name="KEY", value="sk-secret")
    policy = ContainerNetworkPolicyAllowlist(allowed_domains=["a.example"], domain_secrets=[secret])
    mcp = Mcp(server_label="x", authorization="sk-secret", headers={"X-Token": "sk-secret"})
    for one in (secret, policy, mcp, NamespaceTool(name="n", description="d", tools=[{"x": [mcp]}])):
        assert "sk-secret" not in repr(one)
        assert "sk-secret" not in repr(ResponseCreate(model="m", input=[one], extra_body={"x": one}))
        assert "sk-secret" in one.to_json()
    assert repr(mcp) == "Mcp(server_label='x', authorization='(hidden)', headers={'X-Token': '(hidden)'})"
    assert "value='(hidden)'" in repr(secret)
    assert "domain_secrets='(hidden)'" in repr(policy)
    assert repr(Mcp(server_label="x", authorization=None)) == "Mcp(server_label='x', authorization=None)"


def test_received_null_fields_stay_out_of_what_is_sent() -> None:
    message = EasyInputMessage(role="user", content=[ResponseInputImage(image_url="data:x")])
    assert sent(message)["content"] == [{"type": "input_image", "image_url": "data:x"}]
