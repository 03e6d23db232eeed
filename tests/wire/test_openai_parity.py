"""Names and fields are those of the official SDK, so that code moves over unchanged."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, Literal

import pytest

import rxresponses
import rxresponses.events
import rxresponses.models
from rxresponses import models
from rxresponses.wire import requests
from rxresponses.wire.base import Model, UnknownItem, model
from rxresponses.wire.events import REGISTRY, ResponseErrorEvent
from rxresponses.wire.models import Response, ResponseError, ResponseUsage
from rxresponses.wire.plans import plan_of
from rxresponses.wire.requests.sent import Sent

sdk = pytest.importorskip("openai.types.responses")
pydantic = pytest.importorskip("pydantic")

RENAMED = {"ResponseWsError": "ResponseErrorEvent"}

# The SDK's input items, and the class that serves each: an output item that is sent back keeps its class.
INPUT_ITEMS: dict[str, type[Model]] = {
    "AdditionalTools": models.AdditionalTools,
    "ApplyPatchCall": models.ResponseApplyPatchToolCall,
    "ApplyPatchCallOutput": requests.ApplyPatchCallOutput,
    "CompactionTrigger": requests.CompactionTrigger,
    "ComputerCallOutput": requests.ComputerCallOutput,
    "EasyInputMessage": requests.EasyInputMessage,
    "FunctionCallOutput": requests.FunctionCallOutput,
    "ImageGenerationCall": models.ImageGenerationCall,
    "ItemReference": requests.ItemReference,
    "LocalShellCall": models.LocalShellCall,
    "LocalShellCallOutput": models.LocalShellCallOutput,
    "McpApprovalRequest": models.McpApprovalRequest,
    "McpApprovalResponse": models.McpApprovalResponse,
    "McpCall": models.McpCall,
    "McpListTools": models.McpListTools,
    "Message": requests.Message,
    "Program": models.Program,
    "ProgramOutput": models.ProgramOutput,
    "ResponseCodeInterpreterToolCall": models.ResponseCodeInterpreterToolCall,
    "ResponseCompactionItemParam": models.ResponseCompactionItem,
    "ResponseComputerToolCall": models.ResponseComputerToolCall,
    "ResponseConfigurationUpdateItemParam": requests.ResponseConfigurationUpdateItemParam,
    "ResponseCustomToolCall": models.ResponseCustomToolCall,
    "ResponseCustomToolCallOutput": requests.ResponseCustomToolCallOutput,
    "ResponseFileSearchToolCall": models.ResponseFileSearchToolCall,
    "ResponseFunctionToolCall": models.ResponseFunctionToolCall,
    "ResponseFunctionWebSearch": models.ResponseFunctionWebSearch,
    "ResponseOutputMessage": models.ResponseOutputMessage,
    "ResponseReasoningItem": models.ResponseReasoningItem,
    "ResponseToolSearchOutputItemParam": requests.ResponseToolSearchOutputItemParam,
    "ShellCall": models.ResponseFunctionShellToolCall,
    "ShellCallOutput": requests.ShellCallOutput,
    "ToolSearchCall": models.ResponseToolSearchCall,
}
CLIENT_EVENTS = {"ResponseCreate": requests.ResponseCreate, "ResponseSteerEvent": requests.ResponseSteer}
# Fields of requests that stay plain JSON although the SDK has a class for what is in them.
PLAIN = {
    "ResponseCreate.background_options": "a WebSocket has no background responses",
    "ResponseCreate.prompt[ResponsePrompt].variables": "its values are texts or parts of input, by name",
}
# Fields of the SDK's input items that the class which serves them has not.
LEFT_OUT = {"ShellCall.environment[ResponseLocalEnvironment].skills": "the server's shell calls name no skills"}
# Classes that also serve where the SDK has a smaller one.
SHARED = {
    "ResponseConfigurationUpdateItemParam.reasoning[Reasoning]",
    "ResponseConfigurationUpdateItemParam.text[ResponseTextConfig]",
}
# Fields that are required here and optional in the SDK.
STRICTER = {"FunctionCallOutput.call_id": "without it the server cannot tell which call is answered"}


def classes_in(hint: Any, base: type) -> Iterator[type]:
    """Yield the classes below `base` that a type is made of."""
    if typing.get_origin(hint) is None and isinstance(hint, type) and issubclass(hint, base):
        yield hint
    for argument in typing.get_args(hint):
        yield from classes_in(argument, base)


def name_of(cls: type) -> str:
    """The public name of an SDK class: that of its base for the classes that only add `stream_id`."""
    name = cls.__bases__[0].__name__ if cls.__module__.endswith("responses_server_event") else cls.__name__
    return RENAMED.get(cls.__name__, name)


def tag_of(cls: Any) -> object:
    field = cls.model_fields.get("type")
    return typing.get_args(field.annotation)[0] if field and typing.get_origin(field.annotation) is Literal else None


def missing(theirs: Any, ours: type[Model], path: str) -> Iterator[str]:
    """Name the fields that the SDK's class has and ours has not, here and in the models below.

    A class that is sent must not have more fields than the SDK's class either, nor require more.
    """
    names, hints = wire_names(ours), typing.get_type_hints(ours)
    if issubclass(ours, Sent) and path not in SHARED:
        yield from surplus(theirs, ours, path)
    for attribute, field in theirs.model_fields.items():
        name = field.alias or attribute
        if name not in names:
            if f"{path}.{name}" not in LEFT_OUT:
                yield f"{path}.{name}"
            continue
        classes = list(classes_in(field.annotation, pydantic.BaseModel))
        nested = [cls for cls in classes_in(hints[names[name]], Model) if cls is not UnknownItem]
        if Model in nested:  # any input item: they have tests of their own
            continue
        if issubclass(ours, Sent) and classes and not nested and f"{path}.{name}" not in PLAIN:
            yield f"{path}.{name}: plain JSON"
        for cls in classes if nested else ():
            # Ours are told apart by name or `type`; a lone class stands for all of theirs.
            same = (
                [one for one in nested if one.__name__ == cls.__name__]
                or [one for one in nested if getattr(one, "type", None) == tag_of(cls)]
                or nested[: len(nested) == 1]
            )
            if not same:
                yield f"{path}.{name}: {cls.__name__}"
            for one in same:
                yield from missing(cls, typing.cast("type[Model]", one), f"{path}.{name}[{one.__name__}]")


def surplus(theirs: Any, ours: type[Model], path: str) -> Iterator[str]:
    required = {field.alias or name: field.is_required() for name, field in theirs.model_fields.items()}
    for name, attribute in wire_names(ours).items():
        if name not in required and attribute not in ("extra_body", "text_format"):
            yield f"{path}.{name}: not in the SDK"
    for name in plan_of(ours).required:
        if not required.get(name) and f"{path}.{name}" not in STRICTER:
            yield f"{path}.{name}: required here only"


def wire_names(ours: type[Model]) -> dict[str, str]:
    """Return the fields of our class: name on the wire → attribute."""
    attributes = plan_of(ours).attributes
    wire = {attribute: name for name, attribute in attributes.items()}
    return {wire.get(field.name, field.name): field.name for field in fields(ours)}  # type: ignore[arg-type]


def union(name: str) -> list[Any]:
    return list(dict.fromkeys(classes_in(getattr(sdk, name), pydantic.BaseModel)))


def check(theirs: Any, module: Any) -> None:
    ours = getattr(module, name_of(theirs), None)
    assert ours is not None, f"there is no {name_of(theirs)} for the SDK's {theirs.__name__}"
    check_class(theirs, ours)


def check_class(theirs: Any, ours: Any) -> None:
    gaps = list(missing(theirs, ours, name_of(theirs)))
    print("\n".join(gaps))
    assert gaps == []
    if tag_of(theirs) is not None and "type" not in plan_of(ours).required:
        assert ours.type == tag_of(theirs)


@pytest.mark.parametrize("theirs", union("ResponsesServerEvent"), ids=name_of)
def test_each_server_event_is_here_with_all_its_fields(theirs: Any) -> None:
    check(theirs, rxresponses.events)
    assert REGISTRY[str(tag_of(theirs))].__name__ == name_of(theirs)


def test_the_sdk_lists_the_62_events_that_these_tests_were_made_for() -> None:
    assert len(union("ResponsesServerEvent")) >= 62


@pytest.mark.parametrize("theirs", union("ResponseStreamEvent"), ids=lambda cls: cls.__name__)
def test_each_event_of_the_http_stream_is_here_too(theirs: Any) -> None:
    check(theirs, rxresponses.events)


@pytest.mark.parametrize("theirs", union("ResponseOutputItem"), ids=lambda cls: cls.__name__)
def test_each_output_item_is_here_with_all_its_fields(theirs: Any) -> None:
    check(theirs, rxresponses.models)
    ours = getattr(rxresponses.models, theirs.__name__)
    assert ours in typing.get_args(rxresponses.models.ResponseOutputItem)


@pytest.mark.parametrize(
    ("name", "ours"), [("Response", Response), ("ResponseUsage", ResponseUsage), ("ResponseError", ResponseError)]
)
def test_the_response_is_here_with_all_its_fields(name: str, ours: type[Model]) -> None:
    gaps = list(missing(getattr(sdk, name), ours, name))
    print("\n".join(gaps))
    assert gaps == []


@pytest.mark.parametrize("theirs", union("ResponsesClientEvent"), ids=lambda cls: cls.__name__)
def test_each_client_event_is_here_with_all_its_fields_and_settings(theirs: Any) -> None:
    check_class(theirs, CLIENT_EVENTS[theirs.__name__])


@pytest.mark.parametrize("theirs", union("Tool"), ids=lambda cls: cls.__name__)
def test_each_tool_is_here_with_all_its_fields(theirs: Any) -> None:
    check(theirs, rxresponses)
    assert getattr(rxresponses, theirs.__name__) in typing.get_args(rxresponses.Tool)


@pytest.mark.parametrize("theirs", union("ResponseInputItem"), ids=lambda cls: cls.__name__)
def test_each_input_item_has_a_class_with_all_its_fields(theirs: Any) -> None:
    ours = INPUT_ITEMS[theirs.__name__]
    assert getattr(rxresponses, ours.__name__) is ours
    check_class(theirs, ours)


def test_the_sdk_lists_the_tools_and_items_that_these_tests_were_made_for() -> None:
    assert len(union("Tool")) >= 16
    assert len(union("ResponseInputItem")) >= 33


@pytest.mark.parametrize(
    "theirs",
    [getattr(sdk, name) for name in dir(sdk) if name.startswith("ToolChoice") and isinstance(getattr(sdk, name), type)],
    ids=lambda cls: cls.__name__,
)
def test_each_tool_choice_is_here_with_all_its_fields(theirs: Any) -> None:
    if issubclass(theirs, pydantic.BaseModel):
        check(theirs, rxresponses)
        assert getattr(rxresponses, theirs.__name__) in typing.get_args(rxresponses.ToolChoice)


def test_every_class_that_is_sent_is_public() -> None:
    sent = {cls for cls in vars(requests).values() if isinstance(cls, type) and issubclass(cls, Sent)}
    assert {cls for cls in sent if getattr(rxresponses, cls.__name__, None) is not cls} == set()


def test_the_comparison_finds_what_is_missing() -> None:
    gaps = list(missing(sdk.ResponseUsage, ResponseErrorEvent, "ResponseErrorEvent"))
    assert "ResponseErrorEvent.total_tokens" in gaps
    gaps = list(missing(sdk.ResponseTextDeltaEvent, rxresponses.events.ResponseTextDoneEvent, "x"))
    assert gaps == ["x.delta"]


@pytest.mark.parametrize(
    ("theirs", "ours", "gap"),
    [
        ("WebSearchTool", requests.FileSearchTool, "x.user_location"),
        ("FileSearchTool", requests.FunctionTool, "x.async: not in the SDK"),
        ("ResponseInputText", requests.ItemReference, "x.id: required here only"),
    ],
)
def test_the_comparison_of_sent_classes_finds_both_ways(theirs: str, ours: type[Model], gap: str) -> None:
    assert gap in missing(getattr(sdk, theirs), ours, "x")


def test_the_comparison_finds_a_class_that_is_plain_json_here() -> None:
    @model
    class FileSearchTool(Sent):
        filters: Any = None

    assert "x.filters: plain JSON" in missing(sdk.FileSearchTool, FileSearchTool, "x")
