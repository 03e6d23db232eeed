from __future__ import annotations

import dataclasses
from typing import Any, Literal, TypedDict

import msgspec
import pytest

from rxresponses import ConfigurationError, DecodeError
from rxresponses.structured.answer import AnswerType, read_answer
from rxresponses.structured.partial_json import NOTHING


@dataclasses.dataclass
class Place:
    city: str
    days: int = 1


class Struct(msgspec.Struct):
    city: str


class Typed(TypedDict):
    city: str


class Other(msgspec.Struct, tag="other"):
    value: int


class Another(msgspec.Struct, tag="another"):
    value: int


@pytest.mark.parametrize("type_", [Place, Struct, Typed])
def test_an_object_is_asked_for_as_it_is(type_: Any) -> None:
    answer = AnswerType(type_)

    assert answer.name == type_.__name__
    assert next(iter(answer.schema()["properties"])) == "city"
    assert answer.unwrap({"city": "Rome"}) == {"city": "Rome"}
    assert answer.unwrap({}) == {}


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        (list[Place], '{"value": [{"city": "Rome", "days": null}]}', [Place("Rome")]),
        (Place | None, '{"value": null}', None),
        (Place | None, '{"value": {"city": "Rome", "days": 2}}', Place("Rome", 2)),
        (Literal["yes", "no"], '{"value": "no"}', "no"),
        (tuple[int, ...], '{"value": [1, 2]}', (1, 2)),
        (Other | Another, '{"value": {"type": "another", "value": 1}}', Another(1)),
        (int, '{"value": 7}', 7),
        (str, '{"value": "x"}', "x"),
    ],
)
def test_any_other_type_is_asked_for_inside_an_object(type_: Any, text: str, value: Any) -> None:
    answer = AnswerType(type_)
    schema = answer.schema()

    assert (schema["type"], schema["required"], schema["additionalProperties"]) == ("object", ["value"], False)
    assert list(schema["properties"]) == ["value"]
    assert answer.read(text) == value


def test_a_server_without_the_schema_may_leave_the_object_out() -> None:
    assert AnswerType(list[int]).read("[1, 2]") == [1, 2]
    assert AnswerType(Place | None).read('{"city": "Rome"}') == Place("Rome")
    assert AnswerType(Other | Another).read('{"type": "other", "value": 1}') == Other(1)


def test_nothing_is_unwrapped_before_the_value_has_begun() -> None:
    answer = AnswerType(list[int])

    assert answer.unwrap({}) is NOTHING
    assert answer.unwrap({"value": []}) == []
    with pytest.raises(DecodeError, match="no key 'value'"):
        answer.read("{}")


def test_unknown_keys_are_left_out_as_the_type_has_it() -> None:
    assert AnswerType(Place).read('{"city": "Rome", "country": "Italy"}') == Place("Rome")


def test_a_mistake_is_told_with_its_path() -> None:
    with pytest.raises(DecodeError, match=r"^Expected `int`, got `str` - at `\$\[1\]\.days`$"):
        AnswerType(list[Place]).read('{"value": [{"city": "Rome"}, {"city": "Oslo", "days": "two"}]}')


def test_types_without_a_schema() -> None:
    with pytest.raises(ConfigurationError):
        AnswerType(object())
    with pytest.raises(ConfigurationError, match="any keys"):
        AnswerType(dict[str, int]).schema()
    assert AnswerType(dict[str, int]).read('{"a": 1}') == {"a": 1}


def test_pydantic() -> None:
    pydantic = pytest.importorskip("pydantic")

    class Model(pydantic.BaseModel):  # type: ignore[name-defined, misc]
        city: str
        days: int = pydantic.Field(1, ge=1)

    assert AnswerType(Model).read('{"city": "Rome", "days": null}') == Model(city="Rome")
    assert AnswerType(list[Model]).read('{"value": [{"city": "Rome"}]}') == [Model(city="Rome")]
    assert list(AnswerType(list[Model]).schema()["properties"]) == ["value"]
    with pytest.raises(DecodeError, match=r"at `\$\.days`"):
        AnswerType(Model).read('{"city": "Rome", "days": 0}')


@pytest.mark.parametrize(
    "text",
    [
        '{"a": "```"}',
        ' \ufeff\n{"a": "```"}\n',
        '```json\n{"a": "```"}\n```',
        '```{"a": "```"}```',
        'Here:\n```json\n\n  {"a": "```"}\n```\nMore ``` text.',
        '```\n{"a": "```"}',
    ],
)
def test_where_the_json_is(text: str) -> None:
    assert read_answer(text) == {"a": "```"}


@pytest.mark.parametrize("text", ["7", "true", '"a"', "[1]", "-1.5"])
def test_json_that_is_no_object(text: str) -> None:
    assert read_answer(text) == msgspec.json.decode(text)


@pytest.mark.parametrize("text", ["", "Rome", '{"a": 1', '{"a": 1} x', "```json\n```", "{'a': 1}", '{"a": NaN}'])
def test_no_json(text: str) -> None:
    with pytest.raises(DecodeError, match="the text is not valid JSON: "):
        read_answer(text)


def test_an_integer_that_is_too_long() -> None:
    with pytest.raises(DecodeError, match="an integer in the JSON has too many digits"):
        read_answer("[" + "1" * 5000 + "]")


def test_json_that_is_nested_too_deeply() -> None:
    with pytest.raises(DecodeError, match="nested too deeply"):
        read_answer("[" * 200_000 + "]" * 200_000)
