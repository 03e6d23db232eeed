"""With hidden contents, no class of the wire has a field that shows what was said."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import pytest
from hypothesis import given, settings

from rxresponses.recording.redacting import redacted
from rxresponses.wire.base import Model
from rxresponses.wire.codec import decode
from rxresponses.wire.events import REGISTRY
from rxresponses.wire.plans import plan_of
from tests.effort import examples
from tests.support.strategies import JSON, event_data

WORD = "Secret.Word"  # it looks like an id, a state or the name of a tool
OBJECT: JSON = dict.fromkeys(("type", "id", "name", "code", "user_id", "reason", "status", "format", "x"), WORD)
OBJECT |= {"list": [WORD, dict(OBJECT)]}

# What a recording with hidden contents shows: what a message is, and which one.
SHOWN = {
    *("type", "id", "object", "status", "role", "model", "phase", "name", "service_tier", "truncation", "tool_choice"),
    *("item_id", "call_id", "caller_id", "file_id", "container_id", "approval_request_id", "previous_response_id"),
    *("response_id", "steer_id", "stream_id", "event_id", "connector_id", "skill_id", "effort", "verbosity"),
}
ERRORS = {"ImageGenerationCallError", "ResponseError", "ResponseErrorDetail", "ResponseErrorEvent", "SafetyCheck"}
ERRORS |= {"SteerError", "McpProtocolError", "HTTPError"}
# Objects of the service whose fields the library does not know: only words that look like states and ids stay.
OPEN = {"access_programs", "conversation", "image", "input", "input_transformations", "instructions", "moderation"}
OPEN |= {"prompt", "prompt_cache_diagnostics", "prompt_cache_options", "reasoning", "text", "tool_choice", "tool_usage"}
OPEN |= {"tools"}


def models(cls: type[Model] = Model) -> Iterator[type[Model]]:
    for each in cls.__subclasses__():
        if dataclasses.is_dataclass(each) and each.__module__.startswith("rxresponses.wire.models"):
            yield each
        yield from models(each)


def values(hint: Any) -> Iterator[Any]:
    """Yield values of an annotation that hold the word wherever a text may be; none for other models."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Union or origin is types.UnionType:
        for arg in args:
            yield from values(arg)
    elif hint is Any:
        yield from (OBJECT, [OBJECT], WORD)
    elif hint is str:
        yield WORD
    elif origin is Literal:
        yield args[0]
    elif origin in (dict, Mapping):
        yield OBJECT
    elif origin in (list, Sequence):
        yield from ([value] for value in values(args[0]))


def shown(data: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the places where the word can still be read."""
    if isinstance(data, dict):
        for name, value in data.items():
            yield from shown(value, (*path, name))
    elif isinstance(data, list):
        for value in data:
            yield from shown(value, path)
    elif isinstance(data, str) and WORD in data:
        yield path


@pytest.mark.parametrize("cls", [*models(), *REGISTRY.values()], ids=lambda cls: cls.__name__)
def test_only_types_ids_states_and_names_stay(cls: type[Model]) -> None:
    hints, plan = typing.get_type_hints(cls), plan_of(cls)
    choices: dict[str, list[Any]] = {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        name = next((wire for wire, attribute in plan.attributes.items() if attribute == field.name), field.name)
        choices[name] = list(values(hints[field.name]))
    for index in range(max(map(len, choices.values()), default=0)):
        data = {name: each[index % len(each)] for name, each in choices.items() if each}
        for place in shown(redacted(data)):
            if len(place) > 1:
                assert place[0] in OPEN, place
            elif place == ("code",):
                assert cls.__name__ in ERRORS
            elif place == ("reason",):
                assert cls.__name__ in ("IncompleteDetails", "ResponseSteerPendingEvent")
            else:
                assert place[0] in SHOWN, place


@settings(max_examples=examples(200))
@given(event_data())
def test_an_event_stays_one_of_its_class(data: JSON) -> None:
    assert type(decode(json.dumps(redacted(data)).encode())) is type(decode(json.dumps(data).encode()))


@pytest.mark.parametrize(
    "data",
    [
        {"type": "code_interpreter_call", "code": WORD, "status": "completed", "container_id": "cntr_1"},
        {"type": "response.code_interpreter_call_code.done", "code": WORD, "item_id": "ci_1"},
        {"type": "tool_search_call", "arguments": OBJECT},
        {"type": "local_shell_call", "action": {"type": "exec", "command": [WORD], "env": OBJECT}},
        {"type": "mcp_approval_response", "approve": False, "reason": WORD, "approval_request_id": "mcpr_1"},
        {"type": "mcp_call", "error": {"type": "mcp_tool_execution_error", "content": [OBJECT]}},
        {"type": "mcp_list_tools", "tools": [{"name": "f", "input_schema": OBJECT, "annotations": OBJECT}]},
        {"type": "response.create", "metadata": OBJECT, "prompt": {"id": "pmpt_1", "variables": {"a": OBJECT}}},
    ],
    ids=lambda data: data["type"],
)
def test_what_the_model_or_the_program_has_chosen_is_hidden(data: JSON) -> None:
    assert not list(shown(redacted(data)))


def test_types_of_schemas_and_parts_stay() -> None:
    parameters = {"type": "object", "properties": {"city": {"type": "string", "description": "Where"}}}
    tool = {"type": "function", "name": "f", "parameters": parameters}
    hidden = redacted({"tools": [tool], "prompt": {"variables": {"picture": {"type": "input_image"}}}})
    schema = {"type": "object", "properties": {"city": {"type": "string", "description": "xxxxx"}}}
    assert hidden["tools"] == [{"type": "function", "name": "f", "parameters": schema}]
    assert hidden["prompt"] == {"variables": {"picture": {"type": "input_image"}}}


def test_the_code_of_an_error_stays() -> None:
    error = {"type": "invalid_request_error", "code": "model_not_found", "message": "No model abc"}
    assert redacted({"type": "error", "error": error})["error"] == {**error, "message": "x" * 12}
