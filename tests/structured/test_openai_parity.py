"""The schemas of tools mean what those of the official SDK and of the Agents SDK mean.

Where they differ on purpose, the difference has a name in `DIFFERENCES`.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings

from rxresponses import ConfigurationError, tool
from rxresponses.structured.schema import json_schema
from tests.effort import examples

pydantic = pytest.importorskip("pydantic")
openai = pytest.importorskip("openai")
jsonschema = pytest.importorskip("jsonschema", reason="comes with the extra `dev`")
agents = pytest.importorskip("agents.function_schema", reason="openai-agents comes with the extra `dev`")

from openai.lib._pydantic import to_strict_json_schema  # noqa: E402

from tests.structured import signatures  # noqa: E402
from tests.structured.random_types import Drawn, dataclass_types  # noqa: E402
from tests.structured.strict_rules import check_strict  # noqa: E402

JSON = dict[str, Any]

NULL = "null stands for a default"  # theirs ask the model for a value, although the function has one
WORDS = "told in words"  # theirs send keywords that the strict subset of the service does not have
ITEMS = "the items of a tuple in any order"  # theirs send `prefixItems`, which the subset does not have
DECIMAL = "decimals are texts"  # theirs take numbers too, which lose digits

DIFFERENCES = {
    "default": {NULL},
    "enumeration_of_numbers": {NULL},
    "dataclass_defaults": {NULL},
    "typed_dict_total": {NULL},
    "typed_dict_partial": {NULL},
    "discriminated": {NULL},
    "model": {NULL},
    "models": {NULL},
    "field_default": {NULL},
    "google": {NULL},
    "numpy": {NULL},
    "sphinx": {NULL},
    "lengths": {WORDS},
    "unique": {WORDS},
    "amount": {DECIMAL},
    "named_tuple": {ITEMS},
    "pair": {ITEMS},
    "mixed_pair": {ITEMS},
}


def of_the_sdk(function: Callable[..., Any]) -> JSON:
    """Return the schema that the official SDK makes of a model with the parameters as its fields."""
    hints = typing.get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        hint: Any = hints[name]
        if parameter.kind is parameter.VAR_POSITIONAL:
            hint = list.__class_getitem__(hint)
        fields[name] = (hint, ... if parameter.default is parameter.empty else parameter.default)
    model = pydantic.create_model(function.__name__, **fields)
    return typing.cast("JSON", openai.pydantic_function_tool(model)["function"]["parameters"])


def of_agents(function: Callable[..., Any]) -> JSON:
    return typing.cast("JSON", agents.function_schema(function).params_json_schema)


class Comparison:
    """Compares two schemas by what they mean: references are followed, titles and descriptions do not count."""

    def __init__(self, ours: JSON, theirs: JSON) -> None:
        self.differences: set[str] = set()
        self._ours, self._theirs = ours, theirs
        self._assumed: set[tuple[int, int]] = set()  # what is being compared, which recursive schemas come back to

    def equal(self) -> bool:
        return self._equal(self._ours, self._theirs)

    def _equal(self, ours: Any, theirs: Any) -> bool:
        ours, theirs = _followed(ours, self._ours), _followed(theirs, self._theirs)
        if (id(ours), id(theirs)) in self._assumed:
            return True
        self._assumed.add((id(ours), id(theirs)))
        mine, others = _members(ours, self._ours), _members(theirs, self._theirs)
        if len(mine) == len(others) == 1:
            return self._same_kind(mine[0], others[0])
        if self._all_in(mine, others) and self._all_in(others, mine, swapped=True):
            return True
        description = ours.get("description", "")
        if {"type": "null"} in mine and "null for the default" in description.lower():
            rest = [member for member in mine if member != {"type": "null"}]
            self.differences.add(NULL)
            return self._all_in(rest, others) and self._all_in(others, rest, swapped=True)
        if [_bare(member) for member in others] == [
            {"type": "number"},
            {"type": "string"},
        ] and "decimal" in description:
            self.differences.add(DECIMAL)
            return [_bare(member) for member in mine] == [{"type": "string"}]
        return False

    def _all_in(self, some: list[JSON], others: list[JSON], *, swapped: bool = False) -> bool:
        return all(any(self._same_kind(*((b, a) if swapped else (a, b))) for b in others) for a in some)

    def _same_kind(self, ours: JSON, theirs: JSON) -> bool:
        mine, others = _bare(ours), _bare(theirs)
        description = ours.get("description", "").lower()
        for keyword, words in (("minLength", "at least"), ("maxLength", "at most"), ("uniqueItems", "no item twice")):
            if keyword in others and words in description:
                del others[keyword]
                self.differences.add(WORDS)
        if "prefixItems" in others:
            items = others.pop("prefixItems")
            others["items"] = {"anyOf": items}
            self.differences.add(ITEMS)
        if mine.keys() != others.keys():
            return False
        for keyword in mine.keys() & {"items"}:
            if not self._equal(mine[keyword], others[keyword]):
                return False
        properties, their_properties = mine.pop("properties", {}), others.pop("properties", {})
        if list(properties) != list(their_properties):
            return False
        if not all(self._equal(properties[name], their_properties[name]) for name in properties):
            return False
        return all(mine[keyword] == others[keyword] for keyword in mine.keys() - {"items"})


def _bare(schema: JSON) -> JSON:
    """Return a schema without what says nothing about values."""
    bare = {name: value for name, value in schema.items() if name not in ("title", "description", "default", "$defs")}
    if "const" in bare:
        bare["enum"] = [bare.pop("const")]
    if "required" in bare:
        bare["required"] = sorted(bare["required"])
    return bare


def _followed(schema: JSON, root: JSON) -> JSON:
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    return schema


def _members(schema: JSON, root: JSON) -> list[JSON]:
    """Return the members of a union, at any depth; a list of values is a union of values of each type."""
    schema = _followed(schema, root)
    members = schema.get("anyOf", schema.get("oneOf"))
    if members is not None:
        unique: list[JSON] = []
        for inner in (inner for member in members for inner in _members(member, root)):
            if inner not in unique:
                unique.append(inner)
        return unique
    if "enum" in schema and "type" not in schema:
        kinds = {str: "string", int: "integer"}
        types = dict.fromkeys(kinds[type(value)] for value in schema["enum"])
        return [
            {"type": kind, "enum": [value for value in schema["enum"] if kinds[type(value)] == kind]} for kind in types
        ]
    return [schema]


@pytest.mark.parametrize("theirs", [of_the_sdk, of_agents], ids=["openai", "agents"])
@pytest.mark.parametrize("function", signatures.STRICT, ids=lambda function: function.__name__)
def test_a_strict_schema_means_the_same(
    function: Callable[..., Any], theirs: Callable[[Callable[..., Any]], JSON]
) -> None:
    schema = tool(function).parameters
    comparison = Comparison(schema, theirs(function))
    assert comparison.equal()
    assert comparison.differences == DIFFERENCES.get(function.__name__, set())
    jsonschema.Draft202012Validator.check_schema(schema)
    check_strict(schema)


@settings(max_examples=examples(100))
@given(drawn=dataclass_types(with_msgspec=False))
def test_a_strict_schema_of_a_random_type_means_the_same(drawn: Drawn) -> None:
    theirs = to_strict_json_schema(pydantic.TypeAdapter(drawn.type))
    assert Comparison(json_schema(drawn.type), theirs).equal()


def test_at_least_30_signatures_are_compared() -> None:
    assert len(signatures.STRICT) >= 30
    assert DIFFERENCES.keys() <= {function.__name__ for function in signatures.STRICT}


@pytest.mark.parametrize(
    "change", [{"type": "integer"}, {"anyOf": [{"type": "string"}, {"type": "null"}]}, {"enum": []}]
)
def test_a_schema_that_means_something_else_is_seen(change: JSON) -> None:
    ours = tool(signatures.dataclasses_nested).parameters
    theirs = of_the_sdk(signatures.dataclasses_nested)
    theirs["$defs"]["Place"]["properties"]["country"] = change
    assert not Comparison(ours, theirs).equal()


@pytest.mark.parametrize("function", [signatures.google, signatures.numpy, signatures.sphinx, signatures.described])
def test_descriptions_are_those_of_the_agents_sdk(function: Callable[..., Any]) -> None:
    ours, theirs = tool(function), agents.function_schema(function)
    assert ours.description == (theirs.description or "")
    for name, part in theirs.params_json_schema["properties"].items():
        described = ours.parameters["properties"][name]["description"].partition(" (null for")[0]
        assert described == " ".join(part["description"].split())


@pytest.mark.parametrize("function", signatures.OPEN, ids=lambda function: function.__name__)
def test_what_a_strict_schema_cannot_express_is_an_error_at_once(function: Callable[..., Any]) -> None:
    with pytest.raises(ConfigurationError, match="strict=False"):
        tool(function)
    schema = tool(function, strict=False).parameters
    jsonschema.Draft202012Validator.check_schema(schema)
    if function is signatures.options:  # theirs have a property `rest`, which no call of the function has
        assert schema["additionalProperties"] == {"type": "integer"}
        return
    theirs = agents.function_schema(function, strict_json_schema=False).params_json_schema
    assert Comparison(schema, {**theirs, "additionalProperties": False}).equal()
