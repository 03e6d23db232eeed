"""Random Python types, and values of them."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import uuid
from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from typing_extensions import NotRequired, TypedDict


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A type and its values; `is_common` says whether pydantic has the same schema for the type."""

    type: Any
    values: SearchStrategy[Any]
    is_common: bool = True


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


class Rank(enum.IntEnum):
    FIRST = 1
    SECOND = 2


class Circle(msgspec.Struct, tag=True):
    radius: float


class Square(msgspec.Struct, tag=True):
    side: float
    colour: Colour = Colour.RED


class Pair(NamedTuple):
    left: int
    right: str


class Film(TypedDict):
    title: str
    year: NotRequired[int]
    rating: NotRequired[float]


@dataclasses.dataclass
class Tree:
    name: str
    branches: list[Tree] = dataclasses.field(default_factory=list)


numbers = st.floats(allow_nan=False, allow_infinity=False)
integers = st.integers(-(2**60), 2**60)
words = st.text(max_size=5)
films = st.fixed_dictionaries({"title": words}, optional={"year": integers, "rating": numbers})
trees = st.recursive(
    st.builds(Tree, words), lambda inner: st.builds(Tree, words, st.lists(inner, max_size=2)), max_leaves=4
)

SCALARS = [
    Drawn(bool, st.booleans()),
    Drawn(int, integers),
    Drawn(float, numbers),
    Drawn(str, words),
    Drawn(datetime.date, st.dates()),
    Drawn(datetime.datetime, st.datetimes(timezones=st.just(datetime.timezone.utc))),
    Drawn(datetime.time, st.times()),
    Drawn(uuid.UUID, st.uuids()),
    Drawn(decimal.Decimal, st.decimals(allow_nan=False, allow_infinity=False, places=3), False),
    Drawn(bytes, st.binary(max_size=5), False),
    Drawn(Colour, st.sampled_from(Colour)),
    Drawn(Rank, st.sampled_from(Rank)),
    Drawn(Literal["a", "b", 3], st.sampled_from(["a", "b", 3])),
    Drawn(int | str, integers | words),
    Drawn(Annotated[int, msgspec.Meta(ge=0, lt=10)], st.integers(0, 9), False),
    Drawn(Annotated[str, msgspec.Meta(pattern="^[a-c]*$", max_length=4)], st.text("abc", max_size=4), False),
]
OBJECTS = [
    Drawn(Circle, st.builds(Circle, numbers), False),
    Drawn(Circle | Square, st.builds(Circle, numbers) | st.builds(Square, numbers, st.sampled_from(Colour)), False),
    Drawn(Pair, st.builds(Pair, integers, words)),
    Drawn(Film, films),
    Drawn(Tree, trees),
]


def _list(inner: Drawn) -> Drawn:
    return Drawn(list.__class_getitem__(inner.type), st.lists(inner.values, max_size=3))


def _tuple(inner: Drawn) -> Drawn:
    kind: Any = tuple
    return Drawn(kind[inner.type, int], st.tuples(inner.values, integers))


def _tuples(inner: Drawn) -> Drawn:
    kind: Any = tuple
    return Drawn(kind[inner.type, ...], st.lists(inner.values, max_size=3).map(tuple))


def _optional(inner: Drawn) -> Drawn:
    return Drawn(inner.type | None, inner.values | st.none())


WRAPPERS: list[Callable[[Drawn], Drawn]] = [_list, _tuple, _tuples, _optional]


@st.composite
def any_types(draw: st.DrawFn, *, with_msgspec: bool) -> Drawn:
    """Draw a type that may stand in a field."""
    drawn = draw(st.sampled_from([one for one in (*SCALARS, *OBJECTS) if with_msgspec or one.is_common]))
    for wrap in draw(st.lists(st.sampled_from(WRAPPERS), max_size=2)):
        drawn = wrap(drawn)
    return drawn


@st.composite
def dataclass_types(draw: st.DrawFn, *, depth: int = 1, with_msgspec: bool = True) -> Drawn:
    """Draw a dataclass; some of its fields have defaults, and some are dataclasses, at most `depth` levels deep."""
    kinds = any_types(with_msgspec=with_msgspec)
    if depth:
        kinds |= dataclass_types(depth=depth - 1, with_msgspec=with_msgspec)
    fields = draw(st.lists(kinds, min_size=1, max_size=3))
    defaults = {index: draw(field.values) for index, field in enumerate(fields) if draw(st.booleans())}
    made = dataclasses.make_dataclass(
        "Made",
        [
            (f"field_{index}", field.type, dataclasses.field(default_factory=lambda index=index: defaults[index]))  # type: ignore[misc]
            if index in defaults
            else (f"field_{index}", field.type)
            for index, field in enumerate(fields)
        ],
        kw_only=True,
    )
    values = {f"field_{index}": field.values for index, field in enumerate(fields)}
    return Drawn(made, st.builds(made, **values))
