from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import math
import uuid
from typing import Any

import msgspec
import pytest
from hypothesis import given

from rxresponses.structured.json_text import json_text
from rxresponses.wire.models import ResponseInputText
from tests.structured.parsing import parse_value
from tests.support.strategies import json_values


class Unit(enum.Enum):
    CELSIUS = "c"


class Wind(msgspec.Struct, rename="camel"):
    speed_in_knots: int


class Note(msgspec.Struct, tag=True):
    text: str


@dataclasses.dataclass
class Weather:
    day: datetime.date
    wind: Wind
    unit: Unit = Unit.CELSIUS
    inner: Any = None


class Row(msgspec.Struct, array_like=True, tag="row"):
    days: list[datetime.date]
    weather: Weather | None = None
    note: str | msgspec.UnsetType = msgspec.UNSET


@dataclasses.dataclass
class Place:
    city: str
    country: str = "NO"


class Scalar:
    """A scalar of an array library."""

    shape = ()

    def item(self) -> float:
        return 1.5


class Frame:
    def to_dict(self) -> dict[str, Any]:
        return {"rows": [Scalar()]}


@given(json_values)
def test_json_data_are_as_json_writes_them(value: Any) -> None:
    assert json.loads(json_text(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Weather(datetime.date(2026, 1, 31), Wind(5)), {"day": "2026-01-31", "wind": {"speedInKnots": 5}, "unit": "c"}),
        ([Wind(1)], [{"speedInKnots": 1}]),
        (Row([datetime.date(2026, 1, 31)]), ["row", ["2026-01-31"], None]),
        (Note("x"), {"type": "Note", "text": "x"}),
        ({"unit": Unit.CELSIUS}, {"unit": "c"}),
        ({3}, [3]),
        (decimal.Decimal("1.50"), "1.50"),
        (uuid.UUID(int=0), "00000000-0000-0000-0000-000000000000"),
        (datetime.timedelta(minutes=1), "PT60S"),
        (Scalar(), 1.5),
        (Frame(), {"rows": [1.5]}),
        (ResponseInputText(text="x"), {"type": "input_text", "text": "x", "prompt_cache_breakpoint": None}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_objects_become_their_json(value: object, text: Any) -> None:
    data = json.loads(json_text(value))
    assert data == text | {"inner": None} if isinstance(value, Weather) else data == text


def test_an_object_that_came_as_an_argument_has_all_its_fields() -> None:
    place = parse_value('{"city": "Oslo", "country": null}', Place)
    for value in (place, [place], {"a": place}, Row([], Weather(datetime.date(2026, 1, 31), Wind(1), inner=place))):
        assert '{"city": "Oslo", "country": "NO"}' in json_text(value)


def test_models_of_pydantic_become_their_json_also_inside_others() -> None:
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Place", name=(str, ...), day=(datetime.date, datetime.date(2026, 1, 1)))
    data = {"name": "Oslo", "day": "2026-01-01"}
    assert json.loads(json_text(model(name="Oslo"))) == data
    weather = Weather(datetime.date(2026, 1, 31), Wind(5), inner=[model(name="Oslo")])
    assert json.loads(json_text(weather))["inner"] == [data]


@pytest.mark.parametrize(
    "value",
    [
        object(),
        Weather,
        int,
        b"x",
        bytearray(b"x"),
        memoryview(b"x"),
        Weather(datetime.date(2026, 1, 31), Wind(5), inner=object()),
        iter("a"),
    ],
)
def test_what_has_no_json_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match=r"has no JSON form|has no JSON"):
        json_text(value)


def test_numbers_that_json_does_not_have_are_refused() -> None:
    with pytest.raises(ValueError, match="Out of range float values"):
        json_text([Weather(datetime.date(2026, 1, 31), Wind(1), inner=math.nan)])
