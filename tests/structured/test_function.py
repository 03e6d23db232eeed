from __future__ import annotations

import pytest

from rxresponses import CallableTool, DecodeError, tool


@tool
def weather(city: str, days: int = 1) -> str:
    """Look up the weather.

    Args:
        city: where
    """
    return f"{city} {days}"


def test_a_function_becomes_a_tool() -> None:
    assert isinstance(weather, CallableTool)
    assert weather.definition() == {
        "type": "function",
        "name": "weather",
        "description": "Look up the weather.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "where"},
                "days": {"anyOf": [{"type": "integer"}, {"type": "null"}], "description": "Null for the default, 1"},
            },
            "required": ["city", "days"],
            "additionalProperties": False,
        },
        "strict": True,
    }
    assert weather("Paris") == "Paris 1"
    assert weather.function(**weather.parse('{"city": "Paris", "days": null}')) == "Paris 1"


def test_arguments_that_do_not_fit_are_told_to_the_model() -> None:
    with pytest.raises(DecodeError) as caught:
        weather.parse('{"city": 5, "where": "x"}')
    assert str(caught.value) == (
        "the arguments of 'weather' do not fit: Expected `str`, got `int` - at `city`; "
        "there is no such argument; the arguments are: city, days - at `where`"
    )
