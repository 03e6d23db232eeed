from __future__ import annotations

import asyncio
import dataclasses
import datetime
import functools
import inspect
import json
import types
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any, Literal

import msgspec
import pytest
from typing_extensions import assert_type

from rxresponses import CallableTool, ConfigurationError, DecodeError, tool


@tool
def weather(city: str, days: int = 1) -> str:
    """Look up the weather.

    Args:
        city: Where to look.
    """
    return f"{city}: {days}"


@tool(name="find", description="Finds it.", timeout=2.5, exclusive=True, needs_approval=True, idempotent=True)
async def look_for(word: str) -> list[str]:
    return [word]


def wrong(made: CallableTool[..., Any], arguments: str) -> str:
    """Return what the model is told of arguments that do not fit."""
    with pytest.raises(DecodeError) as caught:
        made.parse(arguments)
    start = f"the arguments of {made.name!r} do not fit: "
    assert str(caught.value).startswith(start)
    return str(caught.value).removeprefix(start)


def refused(make: Callable[[], object]) -> str:
    """Return what the programmer is told."""
    with pytest.raises(ConfigurationError) as caught:
        make()
    return str(caught.value)


# --- what becomes a tool


def test_the_definition_of_a_function() -> None:
    assert weather.definition() == {
        "type": "function",
        "name": "weather",
        "description": "Look up the weather.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Where to look."},
                "days": {"anyOf": [{"type": "integer"}, {"type": "null"}], "description": "Null for the default, 1"},
            },
            "required": ["city", "days"],
            "additionalProperties": False,
        },
        "strict": True,
    }
    weather.definition()["parameters"].clear()
    assert weather.parameters["properties"]
    assert tool(len_of).definition() == {
        "type": "function",
        "name": "len_of",
        "parameters": weather_like(["text"]),
        "strict": True,
    }


def len_of(text: str) -> int:
    return len(text)


def weather_like(names: list[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: {"type": "string"} for name in names},
        "required": names,
        "additionalProperties": False,
    }


def test_options() -> None:
    assert (weather.timeout, weather.exclusive, weather.needs_approval, weather.idempotent) == (
        None,
        False,
        False,
        False,
    )
    assert (weather.is_async, weather.strict) == (False, True)
    assert (look_for.timeout, look_for.exclusive, look_for.needs_approval, look_for.idempotent) == (
        2.5,
        True,
        True,
        True,
    )
    assert (look_for.is_async, look_for.name, look_for.description) == (True, "find", "Finds it.")
    assert repr(look_for) == "<CallableTool 'find'>"


def test_the_function_stays_a_function() -> None:
    assert weather("Oslo") == "Oslo: 1"
    assert weather.__name__ == "weather"
    assert weather.__doc__ is not None
    assert str(inspect.signature(weather)) == "(city: 'str', days: 'int' = 1) -> 'str'"
    assert asyncio.run(look_for("x")) == ["x"]
    if inspect.iscoroutinefunction(weather):  # never: this is for the type checker
        return
    assert_type(weather("Oslo", days=2), str)


def test_a_tool_made_again_is_itself_or_has_other_options() -> None:
    assert tool(weather) is weather
    other = tool(weather, name="forecast", timeout=1)
    assert (other.name, other.timeout, weather.name) == ("forecast", 1, "weather")
    assert other("Oslo") == "Oslo: 1"


class Thermometer:
    """Measures."""

    def __init__(self, offset: int) -> None:
        self.offset = offset

    @tool
    def read(self, room: int) -> int:
        """Read it."""
        return room + self.offset

    @tool
    def sum(self, first: int, /, *others: int) -> int:
        return self.offset + first + sum(others)

    @classmethod
    @tool
    def make(cls, offset: int) -> Thermometer:
        return cls(offset)

    @staticmethod
    @tool
    def zero(kind: str) -> int:
        return 0

    @tool
    @staticmethod
    def one(kind: str) -> int:
        return 1

    def plain(self: Thermometer, room: int) -> int:
        return room - self.offset

    def __call__(self, room: int) -> int:
        """Call it."""
        return room * self.offset


def call(made: Any, **arguments: Any) -> Any:
    """Call a tool as a loop does."""
    return made.function(**made.parse(json.dumps(arguments)))


def test_methods() -> None:
    thermometer = Thermometer(100)
    assert thermometer.read.definition()["parameters"]["required"] == ["room"]
    assert call(thermometer.read, room=5) == thermometer.read(5) == 105
    assert call(Thermometer(7).sum, first=1, others=[2, 3]) == Thermometer(7).sum(1, 2, 3) == 13
    assert call(tool(Thermometer.make), offset=5).offset == 5
    assert call(Thermometer.zero, kind="x") == Thermometer(1).zero("x") == 0
    assert call(Thermometer.one, kind="x") == thermometer.one("x") == 1
    assert call(tool(thermometer.plain), room=5) == -95
    text = "the tool 'read' is a method: take it from an object of its class"
    assert refused(Thermometer.read.definition) == text
    assert refused(tool(Thermometer.plain).definition) == text.replace("read", "plain")


def test_callable_objects() -> None:
    made: Any = tool(Thermometer(3), name="multiply")
    assert made.description == "Call it."
    assert call(made, room=5) == made(5) == 15
    assert "'' cannot be the name of a tool" in refused(lambda: tool(Thermometer(3)))

    class Undescribed:
        """Adds one."""

        async def __call__(self, number: int) -> int:
            return number + 1

    made = tool(Undescribed(), name="add")
    assert (made.description, made.is_async) == ("Adds one.", True)


def test_partial_functions_hide_what_is_chosen() -> None:
    made: Any = tool(functools.partial(functools.partial(weather.function, days=3)))
    assert list(made.parameters["properties"]) == ["city"]
    assert made.description == "Look up the weather."
    assert call(made, city="Oslo") == "Oslo: 3"
    assert list(tool(functools.partial(weather.function, "Oslo")).parameters["properties"]) == ["days"]
    assert tool(functools.partial(look_for.function)).is_async


def test_wrapped_functions() -> None:
    def logged(function: Callable[..., str]) -> Callable[..., str]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> str:
            return "logged " + function(*args, **kwargs)

        return wrapper

    made: Any = tool(logged(weather.function))
    assert made.definition() == weather.definition()
    assert call(made, city="Oslo", days=None) == "logged Oslo: 1"


def positional(first: int, second: int = 2, /, third: int = 3, *, fourth: int = 4) -> tuple[int, ...]:
    return first, second, third, fourth


def variadic(first: int, second: int = 2, *rest: int, last: int = 4) -> tuple[int, ...]:
    return first, second, *rest, last


def anything(first: int, /, second: int = 2, *rest: int, last: int = 4, **options: str) -> Any:
    return first, second, rest, last, options


def test_functions_that_are_not_written_in_python() -> None:
    made = tool(len, name="length", strict=False)
    assert made.parameters["properties"] == {"obj": {}}
    assert call(made, obj=[1, 2]) == 2


def test_a_bound_method_whose_function_is_a_tool() -> None:
    bound: Any = types.MethodType(Thermometer.read, Thermometer(1))  # what `classmethod` makes from Python 3.13 on
    assert call(tool(bound), room=5) == 6


def test_parameters_of_every_kind_are_called_by_keyword() -> None:
    made: Any = tool(positional)
    assert list(made.parameters["properties"]) == ["first", "second", "third", "fourth"]
    assert call(made, first=1) == (1, 2, 3, 4)
    assert call(made, first=1, third=9) == (1, 2, 9, 4)
    assert call(made, first=1, second=8, fourth=7) == (1, 8, 3, 7)
    made = tool(variadic)
    assert made.parameters["properties"]["rest"] == {"type": "array", "items": {"type": "integer"}}
    assert made.parameters["required"] == ["first", "second", "rest", "last"]
    assert call(made, first=1, rest=[]) == (1, 2, 4)
    assert call(made, first=1, rest=[7, 8], last=9) == (1, 2, 7, 8, 9)
    assert call(made, first=1) == (1, 2, 4)
    made = tool(anything, strict=False)
    assert made.parameters["additionalProperties"] == {"type": "string"}
    assert made.parameters["required"] == ["first"]
    assert call(made, first=1, colour="red", options="x") == (1, 2, (), 4, {"colour": "red", "options": "x"})
    assert call(tool(lambda: "none", name="nothing")) == "none"
    assert wrong(made, '{"first": 1, "colour": 5}') == "Expected `str`, got `int` - at `colour`"
    optional = tool(lambda number=1, /: number, name="optional", strict=False)
    assert call(optional) == 1


def test_defaults_of_pydantic_fields() -> None:
    pydantic = pytest.importorskip("pydantic")

    def search(
        query: str = pydantic.Field(min_length=2, description="What?"),
        limit: int = pydantic.Field(10, le=50),
        words: list[str] = pydantic.Field(default_factory=list),  # noqa: B008
    ) -> Any:
        """Search.

        Args:
            query: Not this.
        """
        return query, limit, words

    made: Any = tool(search)
    assert made.parameters["properties"]["query"]["description"] == "What? (at least 2 characters)"
    assert call(made, query="abc") == ("abc", 10, [])
    assert call(made, query="abc", limit=None, words=["x"]) == ("abc", 10, ["x"])
    assert "less than or equal to 50 - at `limit`" in wrong(made, '{"query": "abc", "limit": 99}')


class Doc:
    documentation = "From the object."


def test_the_annotation_describes_a_parameter_before_the_docstring() -> None:
    def search(
        a: Annotated[int, "From the text."],
        b: Annotated[int, msgspec.Meta(description="From Meta.")],
        c: Annotated[int, Doc()],
        d: Annotated[int, msgspec.Meta(ge=1)],
        e: Place,
    ) -> None:
        """Search.

        Args:
            a: from the docstring
            b: from the docstring
            c: from the docstring
            d: from the docstring
            e: from the docstring
        """

    properties = tool(search).parameters["properties"]
    described = [part["description"] for part in properties.values()]
    assert described == ["From the text.", "From Meta.", "From the object.", "from the docstring", "from the docstring"]


@dataclasses.dataclass
class Place:
    """A place."""

    city: str
    zone: str = "UTC"


# --- names in annotations


def test_local_names_in_annotations() -> None:
    @dataclasses.dataclass
    class Inner:
        number: int

    @dataclasses.dataclass
    class Outer:
        inner: Inner
        other: Outer | None = None

    @tool
    def add(outer: Outer, *more: Inner) -> int:
        return outer.inner.number + sum(inner.number for inner in more)

    assert call(add, outer={"inner": {"number": 1}, "other": None}, more=[{"number": 2}]) == 3

    def make(number: Inner) -> Inner:
        return Inner(number.number + 1)

    assert call(CallableTool(make), number={"number": 1}) == Inner(2)  # a name that the function itself uses

    def ahead(number: Inner) -> Any:
        return Inner(later(number))

    assert CallableTool(ahead).parse('{"number": {"number": 1}}') == {"number": Inner(1)}

    def later(number: Inner) -> int:
        return number.number + 5

    assert ahead(Inner(1)) == Inner(6)


def test_a_name_that_is_not_there() -> None:
    def later(value: NotThere) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    assert refused(lambda: tool(later)) == (
        "the annotations of the function 'test_a_name_that_is_not_there.<locals>.later' cannot be read: name "
        "'NotThere' is not defined; names in annotations must be known where the function is made into a tool, and not "
        "only to type checkers"
    )


# --- what cannot be a tool


class WithoutSignature:
    __signature__ = 5

    def __call__(self) -> None: ...


def test_what_is_no_function() -> None:
    assert refused(lambda: tool(5)) == "a tool must be made from a function, not from int"  # type: ignore[call-overload]
    assert refused(lambda: tool(Place)) == "a tool must be made from a function, not from the class Place"
    assert "it has no signature" in refused(lambda: tool(WithoutSignature(), name="x"))
    assert refused(lambda: tool(classmethod(len_of))) == (  # type: ignore[arg-type,call-overload]
        "a tool must be made from a function, not from classmethod; put `@tool` below `@classmethod`"
    )


def test_generator_functions() -> None:
    def words() -> Iterator[str]:
        yield "x"

    async def late_words() -> AsyncIterator[str]:
        yield "x"

    for function in (words, late_words):
        text = refused(lambda f=function: tool(f))  # type: ignore[misc]
        assert "is a generator function and cannot be a tool: return the whole output at once" in text


def test_parameters_without_annotation_or_schema() -> None:
    def search(words, limit: Any = 5) -> Any:  # type: ignore[no-untyped-def]
        return words, limit

    assert refused(lambda: tool(search)) == (
        "the parameter 'words' of the tool 'search' has no annotation: write its type, or use `strict=False` for any "
        "value"
    )
    made: Any = tool(search, strict=False)
    assert made.parameters["properties"] == {"words": {}, "limit": {"default": 5}}
    assert call(made, words=None) == (None, 5)
    assert call(made, words={"a": [1]}, limit=None) == ({"a": [1]}, None)

    def table(cells: dict[str, int]) -> None: ...

    assert refused(lambda: tool(table)) == (
        "the tool 'table': `cells` is an object with any keys, which a strict schema cannot express: use a type with "
        "known fields, or, for a tool, `strict=False`"
    )

    def options(**rest: int) -> None: ...

    assert refused(lambda: tool(options)) == (
        "the parameter 'rest' of the tool 'options' takes any keywords, which a strict schema cannot express: use "
        "`strict=False`"
    )

    def numbers(value: Iterator[int]) -> None: ...

    text = refused(lambda: tool(numbers))
    assert text.startswith("the parameter 'value' of the tool 'numbers': collections.abc.Iterator[int] has no JSON")


def test_names_that_the_service_does_not_take() -> None:
    def größe(größe: int) -> None: ...

    way = "a name has 1 to 64 letters, digits, '_' or '-'; pass `name=`"
    assert refused(lambda: tool(größe)) == f"'größe' cannot be the name of a tool: {way}"
    assert refused(lambda: tool(lambda: 1)) == f"'<lambda>' cannot be the name of a tool: {way}"
    assert refused(lambda: tool(len_of, name="")) == f"'' cannot be the name of a tool: {way}"
    assert refused(lambda: tool(größe, name="size")) == (
        "the service does not take the name of the parameter 'größe' of the tool 'size': use ASCII letters, digits and "
        "`_`, at most 64"
    )


async def _asks_later(arguments: object) -> bool:
    raise NotImplementedError


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"timeout": 0}, "the timeout of the tool 'len_of' must be a number of seconds above 0, or None, not 0"),
        ({"timeout": True}, "the timeout of the tool 'len_of' must be a number of seconds above 0, or None, not True"),
        ({"timeout": "5"}, "the timeout of the tool 'len_of' must be a number of seconds above 0, or None, not '5'"),
        (
            {"timeout": float("inf")},
            "the timeout of the tool 'len_of' must be a number of seconds above 0, or None, not inf",
        ),
        (
            {"needs_approval": _asks_later},
            "`needs_approval` of a tool must be a plain function; `approve` may be async",
        ),
        ({"exclusive": 1}, "`exclusive` of a tool must be True or False, not 1"),
        ({"strict": None}, "`strict` of a tool must be True or False, not None"),
        ({"idempotent": "yes"}, "`idempotent` of a tool must be True or False, not 'yes'"),
        ({"needs_approval": 1}, "`needs_approval` of a tool must be True, False or a function of the arguments, not 1"),
        ({"description": 5}, "the description of the tool 'len_of' must be a text, not int"),
    ],
)
def test_options_that_are_wrong(options: dict[str, Any], text: str) -> None:
    assert refused(lambda: tool(len_of, **options)) == text
    assert refused(lambda: tool(**options)(len_of)) == text


# --- arguments


@tool
def trip(
    place: Place,
    start: datetime.date,
    days: Annotated[int, msgspec.Meta(ge=1, le=7)] = 1,
    unit: Literal["c", "f"] = "c",
) -> Any:
    return place, start, days, unit


def test_arguments_become_values() -> None:
    place = '{"city": "Oslo", "zone": null}'
    assert trip.parse(f'{{"place": {place}, "start": "2026-01-31", "days": null, "unit": "f"}}') == {
        "place": Place("Oslo"),
        "start": datetime.date(2026, 1, 31),
        "unit": "f",
    }


def nothing() -> None: ...


@pytest.mark.parametrize("arguments", ["", " \n", "null", "{}"])
def test_no_arguments(arguments: str) -> None:
    assert tool(nothing).parse(arguments) == {}
    assert wrong(weather, arguments) == "the argument is missing - at `city`"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('"{}"', "the arguments must be a JSON object, not a text"),
        ("[]", "the arguments must be a JSON object, not an array"),
        ("true", "the arguments must be a JSON object, not a boolean"),
        ("5", "the arguments must be a JSON object, not a number"),
        ('{"city": "x"', "this is not valid JSON: Expecting ',' delimiter: line 1 column 13 (char 12)"),
        ('{"city": "x", "city": "y"}', "the key 'city' occurs twice in one object"),
        ('{"city": null}', "Expected `str`, got `null` - at `city`"),
        ('{"city": "x", "days": "5"}', "Expected `int`, got `str` - at `days`"),
        ('{"city": "x", "days": 1.5}', "Expected `int`, got `float` - at `days`"),
        ('{"city": "x", "where": 1}', "there is no such argument; the arguments are: city, days - at `where`"),
        (
            '{"days": [], "x": 1}',
            "the argument is missing - at `city`; Expected `int`, got `array` - at `days`; "
            "there is no such argument; the arguments are: city, days - at `x`",
        ),
    ],
)
def test_arguments_that_do_not_fit(arguments: str, text: str) -> None:
    assert wrong(weather, arguments) == text


def test_mistakes_are_told_with_their_paths() -> None:
    assert wrong(trip, '{"place": {"city": 5}, "start": "soon", "days": 9, "unit": "k"}') == (
        "Expected `str`, got `int` - at `place.city`; Invalid RFC3339 encoded date - at `start`; "
        "Expected `int` <= 7 - at `days`; Invalid enum value 'k' - at `unit`"
    )
    assert "there is no key 'zip'; the keys are: city, zone - at `place`" in wrong(
        trip, '{"place": {"city": "x", "zip": 1}, "start": "2026-01-31"}'
    )
    lenient = tool(trip.function, strict=False)
    assert lenient.parse('{"place": {"city": "x", "zip": 1}, "start": "2026-01-31"}')["place"] == Place("x")
    many = json.dumps({f"x{number}": 1 for number in range(50)})
    assert wrong(tool(nothing), many).endswith("the arguments are: none - at `x19`; and 30 more")


def test_arguments_that_are_nested_too_deeply() -> None:
    def keep(value):  # type: ignore[no-untyped-def]
        return value

    made: Any = tool(keep, strict=False)
    assert wrong(made, '{"value": ' + "[" * 100_000 + "]" * 100_000 + "}") == "the JSON is nested too deeply"

    @dataclasses.dataclass
    class Node:
        inner: Node | None = None

    def walk(node: Node) -> None: ...

    deep = '{"node": ' + '{"inner": ' * 900 + "null" + "}" * 901
    with pytest.raises(DecodeError, match="nested too deeply"):
        tool(walk).parse(deep)
