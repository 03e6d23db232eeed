from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from rxresponses import ConfigurationError
from rxresponses.wire.requests import (
    ResponseCreate,
    ResponseFormatText,
    ResponseFormatTextJSONSchemaConfig,
    ResponseTextConfig,
    create_from,
)
from tests.support.requests import refused, sent


@dataclasses.dataclass
class Place:
    city: str


SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "name": "Place", "schema": SCHEMA, "strict": True}


def test_a_type_becomes_the_format_of_the_text() -> None:
    create = ResponseCreate(model="m", text_format=Place)

    assert sent(create)["text"] == {"format": FORMAT}
    assert sent(create_from({"model": "m", "text_format": Place})) == sent(create)
    assert "text_format" not in sent(create)
    assert isinstance(create.text, ResponseTextConfig)
    assert create == ResponseCreate(
        model="m",
        text=ResponseTextConfig(format=ResponseFormatTextJSONSchemaConfig(name="Place", schema=SCHEMA, strict=True)),
    )


@pytest.mark.parametrize(
    "text", [{"verbosity": "low"}, ResponseTextConfig(verbosity="low"), {"verbosity": "low", "format": None}]
)
def test_the_other_settings_of_the_text_stay(text: Any) -> None:
    create = ResponseCreate(model="m", text=text, text_format=Place)

    assert sent(create)["text"] == {"format": FORMAT, "verbosity": "low"}
    assert text == ResponseTextConfig(verbosity="low") or "json_schema" not in str(text)


def test_a_copy_is_the_same_request() -> None:
    create = ResponseCreate(model="m", text_format=Place)

    assert dataclasses.replace(create) == create
    assert sent(create_from(create, "lane"))["text"] == {"format": FORMAT}
    assert ResponseCreate.from_dict(create.to_dict()).to_dict() == create.to_dict()
    assert "text_format" not in repr(create)


def test_none_sets_nothing() -> None:
    assert sent(ResponseCreate(model="m", text_format=None)) == sent(ResponseCreate(model="m"))
    assert ResponseCreate(model="m", text=None, text_format=None).text is None
    assert sent(ResponseCreate(model="m", text=None, text_format=Place))["text"] == {"format": FORMAT}


@pytest.mark.parametrize("text", [{"format": {"type": "text"}}, ResponseTextConfig(format=ResponseFormatText())])
def test_two_formats_are_refused(text: Any) -> None:
    assert "which the request has already" in refused(
        lambda: ResponseCreate(model="m", text=text, text_format=Place), "text_format"
    )


def test_a_wrong_text_is_refused_as_without_a_type() -> None:
    text: Any = "low"
    refused(lambda: ResponseCreate(model="m", text=text, text_format=Place), "text")


def test_a_type_that_is_no_object_is_a_property_of_one() -> None:
    text = sent(ResponseCreate(model="m", text_format=list[Place]))["text"]

    assert text["format"]["name"] == "list_Place"
    assert list(text["format"]["schema"]["properties"]) == ["value"]


@pytest.mark.parametrize("type_", ["Place", 5, SCHEMA, [], True])
def test_json_data_are_no_type(type_: Any) -> None:
    assert "a Python type" in refused(lambda: create_from({"model": "m", "text_format": type_}), "text_format")


@pytest.mark.parametrize("type_", [dict[str, int], object(), Any])
def test_a_type_without_a_strict_schema_is_an_error_at_once(type_: Any) -> None:
    with pytest.raises(ConfigurationError):
        ResponseCreate(model="m", text_format=type_)
