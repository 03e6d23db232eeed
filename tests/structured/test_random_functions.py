"""Functions with parameters of any kind get from JSON what a program would pass them."""

from __future__ import annotations

import inspect
import json
from inspect import Parameter
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from rxresponses import tool
from tests.effort import examples
from tests.structured.random_types import Drawn, any_types
from tests.structured.strict_rules import check_strict

KINDS = [
    Parameter.POSITIONAL_ONLY,
    Parameter.POSITIONAL_OR_KEYWORD,
    Parameter.VAR_POSITIONAL,
    Parameter.KEYWORD_ONLY,
    Parameter.VAR_KEYWORD,
]
VARIADIC = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


@st.composite
def signatures(draw: st.DrawFn) -> tuple[inspect.Signature, dict[str, Drawn]]:
    """Draw a signature, and the types of its parameters."""
    numbers = [draw(st.integers(0, 1 if kind in VARIADIC else 2)) for kind in KINDS]
    parameters: list[Parameter] = []
    types: dict[str, Drawn] = {}
    has_default = False
    for kind, number in zip(KINDS, numbers, strict=True):
        for _ in range(number):
            name = f"p{len(parameters)}"
            types[name] = draw(any_types(with_msgspec=True))
            default: Any = Parameter.empty
            if kind not in VARIADIC:
                # A positional parameter after one with a default has a default, too.
                has_default = draw(st.booleans()) or (has_default and kind is not Parameter.KEYWORD_ONLY)
                default = draw(types[name].values) if has_default else Parameter.empty
            parameters.append(Parameter(name, kind, default=default, annotation=types[name].type))
    return inspect.Signature(parameters), types


@settings(max_examples=examples(200))
@given(drawn=signatures(), data=st.data())
def test_a_function_gets_the_values_that_the_json_means(
    drawn: tuple[inspect.Signature, dict[str, Drawn]], data: st.DataObject
) -> None:
    signature, types = drawn

    def function(*args: Any, **kwargs: Any) -> dict[str, Any]:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments

    function.__annotations__ = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    function.__signature__ = signature  # type: ignore[attr-defined]
    expected: dict[str, Any] = {}
    sent: dict[str, Any] = {}
    for name, parameter in signature.parameters.items():
        values = types[name].values
        if parameter.kind is Parameter.VAR_POSITIONAL:
            sent[name] = data.draw(st.lists(values, max_size=3))
            expected[name] = tuple(sent[name])
        elif parameter.kind is Parameter.VAR_KEYWORD:
            expected[name] = data.draw(st.dictionaries(st.sampled_from(["x", "y", name]), values, max_size=2))
            sent |= expected[name]
        elif parameter.default is Parameter.empty or data.draw(st.booleans()):
            sent[name] = expected[name] = data.draw(values)
        else:
            expected[name] = parameter.default
    is_strict = not any(parameter.kind is Parameter.VAR_KEYWORD for parameter in signature.parameters.values())
    made = tool(function, strict=is_strict)
    if is_strict:
        check_strict(made.parameters)
    assert made.function(**made.parse(json.dumps(json.loads(msgspec.json.encode(sent))))) == expected
