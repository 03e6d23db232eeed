"""Functions whose schemas this package, the official SDK and the Agents SDK make; see `test_openai_parity.py`."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import uuid
from typing import Annotated, Any, Literal, NamedTuple

import pydantic
from typing_extensions import NotRequired, TypedDict


class Unit(enum.Enum):
    CELSIUS = "celsius"
    FAHRENHEIT = "fahrenheit"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclasses.dataclass
class Place:
    city: str
    country: str


@dataclasses.dataclass
class Trip:
    start: Place
    stops: list[Place]


@dataclasses.dataclass
class Options:
    language: str = "en"
    limit: int = 10
    tags: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Tree:
    """A tree of words."""

    word: str
    branches: list[Tree]


class Movie(TypedDict):
    title: str
    year: int


class Filter(TypedDict, total=False):
    genre: str
    year: int


class Partial(TypedDict):
    title: str
    year: NotRequired[int]


class Point(NamedTuple):
    x: int
    y: int


@dataclasses.dataclass
class Circle:
    kind: Literal["circle"]
    radius: float


@dataclasses.dataclass
class Square:
    kind: Literal["square"]
    side: float


class Cat(pydantic.BaseModel):
    """A cat."""

    kind: Literal["cat"]
    lives: int = 9


class Dog(pydantic.BaseModel):
    kind: Literal["dog"]
    name: str = pydantic.Field(alias="dogName", description="how the dog is called")


def nothing() -> None: ...
def text(query: str) -> None: ...
def numbers(count: int, factor: float, exact: bool) -> None: ...
def keywords(*, query: str, count: int) -> None: ...
def positional(query: str, /, count: int) -> None: ...
def optional(city: str | None) -> None: ...
def default(city: str, unit: str = "celsius", days: int = 1) -> None: ...
def default_none(city: str | None = None) -> None: ...
def texts(names: list[str]) -> None: ...
def nested(matrix: list[list[int]]) -> None: ...
def literal(order: Literal["up", "down"]) -> None: ...
def literal_numbers(size: Literal[1, 2, 3]) -> None: ...
def literal_mixed(size: Literal["auto", 1]) -> None: ...
def enumeration(unit: Unit) -> None: ...
def enumeration_of_numbers(level: Level = Level.LOW) -> None: ...
def dataclass(place: Place) -> None: ...
def dataclasses_nested(trip: Trip) -> None: ...
def dataclass_defaults(options: Options) -> None: ...
def recursive(tree: Tree) -> None: ...
def typed_dict(movie: Movie) -> None: ...
def typed_dict_total(filter: Filter) -> None: ...
def typed_dict_partial(movie: Partial) -> None: ...
def named_tuple(point: Point) -> None: ...
def union(value: int | str | None) -> None: ...
def union_of_dataclasses(shape: Circle | Square) -> None: ...
def discriminated(pet: Annotated[Cat | Dog, pydantic.Field(discriminator="kind")]) -> None: ...
def model(cat: Cat) -> None: ...
def models(pets: list[Cat | Dog], best: Cat | None = None) -> None: ...
def bounds(age: Annotated[int, pydantic.Field(ge=0, lt=150)], step: Annotated[float, pydantic.Field(gt=0)]) -> None: ...
def pattern(code: Annotated[str, pydantic.Field(pattern="^[A-Z]{3}$")]) -> None: ...
def items(names: Annotated[list[str], pydantic.Field(min_length=1, max_length=5)]) -> None: ...
def lengths(code: Annotated[str, pydantic.Field(min_length=2, max_length=8)]) -> None: ...
def field_default(limit: int = pydantic.Field(10, ge=1)) -> None: ...
def dates(day: datetime.date, at: datetime.datetime, time: datetime.time, wait: datetime.timedelta) -> None: ...
def identifier(key: uuid.UUID) -> None: ...
def amount(price: decimal.Decimal) -> None: ...
def pair(span: tuple[int, int]) -> None: ...
def mixed_pair(entry: tuple[str, int]) -> None: ...
def many(numbers: tuple[int, ...]) -> None: ...
def unique(names: set[str]) -> None: ...
def variadic(*names: str) -> None: ...
def described(
    city: Annotated[str, pydantic.Field(description="Where?")], days: Annotated[int, "How many?"]
) -> None: ...
async def asynchronous(query: str) -> None: ...


def google(city: str, days: int = 1) -> None:
    """Look up the weather.

    It may take a while.

    Args:
        city: Where to look,
            for example Oslo.
        days (int): How many days.

    Returns:
        Nothing at all.
    """


def numpy(city: str, days: int = 1) -> None:
    """Look up the weather.

    Parameters
    ----------
    city : str
        Where to look,
        for example Oslo.
    days : int, optional
        How many days.

    Returns
    -------
    None
    """


def sphinx(city: str, days: int = 1) -> None:
    """Look up the weather.

    :param city: Where to look,
        for example Oslo.
    :param int days: How many days.
    :returns: Nothing at all.
    """


STRICT: list[Any] = [
    *(nothing, text, numbers, keywords, positional, optional, default, default_none, texts, nested, literal),
    *(literal_numbers, literal_mixed, enumeration, enumeration_of_numbers, dataclass, dataclasses_nested),
    *(dataclass_defaults, recursive, typed_dict, typed_dict_total, typed_dict_partial, named_tuple, union),
    *(union_of_dataclasses, discriminated, model, models, bounds, pattern, items, lengths, field_default, dates),
    *(identifier, amount, pair, mixed_pair, many, unique, variadic, described, asynchronous, google, numpy, sphinx),
]


def table(cells: dict[str, int]) -> None: ...
def anything(value: Any) -> None: ...
def objects(rows: list[dict[str, Any]]) -> None: ...
def unannotated(value) -> None: ...  # type: ignore[no-untyped-def]
def options(name: str, **rest: int) -> None: ...


OPEN: list[Any] = [table, anything, objects, unannotated, options]
