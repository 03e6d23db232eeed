from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from rxresponses.errors import ConfigurationError
from rxresponses.structured.function import tool
from rxresponses.wire.requests import (
    CustomTool,
    FunctionTool,
    NamespaceTool,
    ResponseCreate,
    ResponseToolSearchOutputItemParam,
)
from tests.support.requests import any_create, refused, sent


def weather(city: str) -> str:
    """Look up the weather."""
    return city


DEFINITION = {
    "type": "function",
    "name": "weather",
    "description": "Look up the weather.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}
SEARCH = {"type": "web_search"}


@pytest.mark.parametrize("function", [weather, tool(weather)])
def test_a_function_among_the_tools_becomes_its_definition(function: Any) -> None:
    create = any_create(tools=[SEARCH, function])
    assert create.tools == [SEARCH, DEFINITION]
    assert sent(create)["tools"] == [SEARCH, DEFINITION]
    assert dataclasses.replace(create, model="other").tools == create.tools
    assert ResponseCreate.from_dict({"model": "m", "tools": (function,)}).tools == (DEFINITION,)


def test_functions_stand_in_namespaces_and_search_outputs() -> None:
    assert NamespaceTool(name="n", description="d", tools=[weather]).to_dict()["tools"] == [DEFINITION]
    assert ResponseToolSearchOutputItemParam(tools=[tool(weather)]).to_dict()["tools"] == [DEFINITION]


@pytest.mark.parametrize(
    "other",
    [weather, tool(weather), DEFINITION, FunctionTool(name="weather"), CustomTool(name="weather")],
    ids=["function", "tool", "mapping", "FunctionTool", "CustomTool"],
)
def test_a_name_twice_among_the_tools_is_refused(other: Any) -> None:
    text = refused(lambda: any_create(tools=[weather, SEARCH, other]), "tools[2]")
    assert text == ("`tools[2]` has the name 'weather', and so has `tools[0]`: the model could not tell them apart")


def test_tools_without_a_name_of_their_own_may_occur_twice() -> None:
    tools = [SEARCH, SEARCH, {"type": "function"}, {"type": "function"}, {"type": "mcp", "name": "weather"}, DEFINITION]
    assert any_create(tools=tools).tools == tools


def test_a_function_that_cannot_be_a_tool_is_an_error_of_the_program() -> None:
    def lookup(city):  # type: ignore[no-untyped-def]
        return city

    with pytest.raises(ConfigurationError, match="the parameter 'city' of the tool 'lookup' has no annotation"):
        any_create(tools=[lookup])


@pytest.mark.parametrize("tools", ["weather", 5, {"a": 1}])
def test_tools_that_are_no_list_are_refused(tools: Any) -> None:
    refused(lambda: any_create(tools=tools), "tools")
