from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import uuid
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar

import msgspec
import pytest
from msgspec import Meta
from typing_extensions import NotRequired, Required, TypedDict

from rxresponses.errors import ConfigurationError, DecodeError
from rxresponses.structured.schema import closed_schema, is_name, json_schema, schema_name
from tests.structured.parsing import parse_value
from tests.structured.strict_rules import check_strict

T = TypeVar("T")
JSON = dict[str, Any]


class Unit(enum.Enum):
    """A unit of temperature."""

    CELSIUS = "c"
    FAHRENHEIT = "f"


class Level(enum.IntEnum):
    HIGH = 2
    LOW = 1


@dataclasses.dataclass
class Place:
    """A place on earth.

    Attributes:
        city: Its name.
        zone: The time zone.
    """

    city: str
    zone: str = "UTC"


@dataclasses.dataclass
class Node:
    value: int
    children: list[Node] = dataclasses.field(default_factory=list)
    parent: Node | None = None


@dataclasses.dataclass
class Linked:
    """A link.

    Attributes:
        next: The next one.
    """

    next: Linked = None  # type: ignore[assignment]


class Film(TypedDict, total=False):
    year: Required[int]
    title: str


class Book(TypedDict):
    title: str
    author: NotRequired[str | None]


class Point(NamedTuple):
    x: int
    y: float
    label: str = ""


class Cat(msgspec.Struct, tag="cat", rename="camel", forbid_unknown_fields=True):
    lives_left: int = 9


class Dog(msgspec.Struct, tag="dog"):
    name: str
    note: str | msgspec.UnsetType = msgspec.UNSET


class Row(msgspec.Struct, array_like=True):
    id: int
    name: str


@dataclasses.dataclass
class Box(Generic[T]):
    item: T


def of(type_: Any, *, strict: bool = True) -> Any:
    """Return the schema of a type, as that of a property."""
    holder = dataclasses.make_dataclass("Holder", [("it", type_)])
    schema = json_schema(holder, strict=strict)
    if strict:
        check_strict(schema)
    found = schema["properties"]["it"]
    return schema["$defs"][found["$ref"][len("#/$defs/") :]] if "$ref" in found else found


@pytest.mark.parametrize(
    ("type_", "schema"),
    [
        (None, {"type": "null"}),
        (bool, {"type": "boolean"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (str, {"type": "string"}),
        (bytes, {"type": "string", "description": "In base64"}),
        (datetime.datetime, {"type": "string", "format": "date-time"}),
        (datetime.date, {"type": "string", "format": "date"}),
        (datetime.time, {"type": "string", "format": "time"}),
        (datetime.timedelta, {"type": "string", "format": "duration"}),
        (uuid.UUID, {"type": "string", "format": "uuid"}),
        (decimal.Decimal, {"type": "string", "description": "In the format 'decimal'"}),
        (Unit, {"type": "string", "enum": ["c", "f"], "description": "A unit of temperature."}),
        (Level, {"type": "integer", "enum": [2, 1]}),
        (Literal["b"], {"type": "string", "enum": ["b"]}),
        (Literal["low", "high"], {"type": "string", "enum": ["low", "high"]}),
        (list[Literal["b", "a"]], {"type": "array", "items": {"type": "string", "enum": ["b", "a"]}}),
        (Literal[1, None], {"anyOf": [{"type": "integer", "enum": [1]}, {"type": "null", "enum": [None]}]}),
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (frozenset[int], {"type": "array", "items": {"type": "integer"}, "description": "No item twice"}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (tuple[int, int], {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}),
        (
            tuple[int, str],
            {
                "type": "array",
                "items": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
                "minItems": 2,
                "maxItems": 2,
                "description": "The items are, in this order: integer; string",
            },
        ),
        (Annotated[int, Meta(ge=0, lt=5)], {"type": "integer", "minimum": 0, "exclusiveMaximum": 5}),
        (Annotated[float, Meta(gt=0, le=1)], {"type": "number", "exclusiveMinimum": 0, "maximum": 1}),
        (Annotated[int, Meta(multiple_of=5)], {"type": "integer", "multipleOf": 5}),
        (Annotated[str, Meta(pattern="^a")], {"type": "string", "pattern": "^a"}),
        (Annotated[str, Meta(pattern="^(?!a)")], {"type": "string", "description": "Matches the pattern ^(?!a)"}),
        (
            Annotated[str, Meta(min_length=1, max_length=5, description="A word.")],
            {"type": "string", "description": "A word. (at least 1 characters; at most 5 characters)"},
        ),
        (Annotated[int, Meta(examples=[1, 5])], {"type": "integer", "description": "For example 1, 5"}),
        (Annotated[str, Meta(examples=["x" * 300])], {"type": "string"}),
        (Annotated[list[int], Meta(min_length=1)], {"type": "array", "items": {"type": "integer"}, "minItems": 1}),
        (Annotated[bytes, Meta(max_length=3)], {"type": "string", "description": "In base64"}),
        (
            Annotated[int, Meta(extra_json_schema={"format": "int32"})],
            {"type": "integer", "description": "In the format 'int32'"},
        ),
    ],
    ids=str,
)
def test_strict_schemas(type_: Any, schema: JSON) -> None:
    assert of(type_) == schema


def test_classes_stand_in_definitions_with_the_descriptions_of_their_docstrings() -> None:
    schema = json_schema(Box[list[Place]])
    assert schema == {
        "type": "object",
        "properties": {"item": {"type": "array", "items": {"$ref": "#/$defs/Place"}}},
        "required": ["item"],
        "additionalProperties": False,
        "$defs": {
            "Place": {
                "description": "A place on earth.",
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "Its name."},
                    "zone": {
                        "anyOf": [{"type": "string"}, {"type": "null"}],
                        "description": 'The time zone. (null for the default, "UTC")',
                    },
                },
                "required": ["city", "zone"],
                "additionalProperties": False,
            }
        },
    }
    check_strict(schema)


def test_without_strictness_defaults_are_told_and_objects_stay_open() -> None:
    assert json_schema(Place, strict=False) == {
        "description": "A place on earth.",
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "Its name."},
            "zone": {"type": "string", "default": "UTC", "description": "The time zone."},
        },
        "required": ["city"],
    }
    assert of(tuple[int, str], strict=False) == {
        "type": "array",
        "prefixItems": [{"type": "integer"}, {"type": "string"}],
        "items": False,
        "minItems": 2,
        "maxItems": 2,
    }
    assert json_schema(dict[str, int], strict=False) == {"type": "object", "additionalProperties": {"type": "integer"}}
    assert json_schema(Any, strict=False) == {}
    assert json_schema(list[int], strict=False) == {"type": "array", "items": {"type": "integer"}}


def test_a_recursive_type_refers_to_itself() -> None:
    schema = json_schema(Node)
    check_strict(schema)
    node = {name: part for name, part in schema.items() if name != "$defs"}
    assert node["properties"]["parent"] == {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}
    assert schema["$defs"] == {"Node": node}
    text = '{"value": 1, "children": [{"value": 2, "children": null, "parent": null}], "parent": null}'
    assert parse_value(text, Node) == Node(1, [Node(2)])


def test_a_described_reference_to_the_class_itself_comes_to_an_end() -> None:
    schema = json_schema(Linked)
    check_strict(schema)
    described = schema["properties"]["next"]
    assert described["description"] == "The next one. (null for the default)"
    inner = described["anyOf"][0]["properties"]["next"]
    assert inner == {
        "anyOf": [{"$ref": "#/$defs/Linked"}, {"type": "null"}],
        "description": "The next one. (null for the default)",
    }
    assert parse_value('{"next": {"next": null}}', Linked) == Linked(Linked())


def test_typed_dicts_keep_their_order_and_leave_keys_out() -> None:
    assert list(json_schema(Film)["properties"]) == ["year", "title"]
    assert parse_value('{"year": 1, "title": null}', Film) == {"year": 1}
    assert parse_value('{"title": "x", "author": null}', Book) == {"title": "x", "author": None}


def test_keyword_fields_of_dataclasses_keep_their_order() -> None:
    fields: list[Any] = [("a", int, dataclasses.field(default=1)), ("b", int), ("c", int, dataclasses.field(default=2))]
    made = dataclasses.make_dataclass("Made", fields, kw_only=True)
    assert list(json_schema(made)["properties"]) == ["a", "b", "c"]


def test_fields_that_the_constructor_does_not_take_are_left_out() -> None:
    made = dataclasses.make_dataclass("Made", [("a", int), ("b", int, dataclasses.field(init=False, default=1))])
    assert list(json_schema(made)["properties"]) == ["a"]
    assert parse_value('{"a": 5}', made) == made(5)


def test_named_tuples_and_rows_are_arrays_whose_items_are_named() -> None:
    holder = dataclasses.make_dataclass("Holder", [("point", Point), ("row", Row)])
    schema = json_schema(holder)
    check_strict(schema)
    point, row = schema["$defs"]["Point"], schema["$defs"]["Row"]
    assert (point["minItems"], point["maxItems"], row["minItems"], row["maxItems"]) == (2, 3, 2, 2)
    assert point["description"] == "The items are, in this order: x; y; label"
    assert row["description"] == "The items are, in this order: id; name"
    assert parse_value('{"point": [1, 2], "row": [1, "x"]}', holder) == holder(Point(1, 2.0), Row(1, "x"))


def test_tagged_structs() -> None:
    holder = dataclasses.make_dataclass("Holder", [("pet", Cat | Dog)])
    schema = json_schema(holder)
    check_strict(schema)
    assert schema["properties"]["pet"] == {"anyOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}]}
    assert schema["$defs"]["Cat"]["properties"]["type"] == {"type": "string", "enum": ["cat"]}
    assert schema["$defs"]["Cat"]["required"] == ["type", "livesLeft"]
    assert parse_value('{"pet": {"type": "cat", "livesLeft": null}}', holder) == holder(Cat())
    assert parse_value('{"pet": {"type": "dog", "name": "x", "note": null}}', holder) == holder(Dog("x"))
    assert json_schema(Cat, strict=False)["additionalProperties"] is False


def test_a_default_that_is_no_json_or_long_is_not_shown() -> None:
    fields = [("a", Any, dataclasses.field(default=object())), ("b", str, dataclasses.field(default="x" * 500))]
    holder = dataclasses.make_dataclass("Holder", fields[1:])
    assert json_schema(holder)["properties"]["b"]["description"] == "Null for the default"
    holder = dataclasses.make_dataclass("Holder", fields[:1])
    assert json_schema(holder, strict=False)["properties"] == {"a": {}}


def test_a_default_that_only_python_has_is_not_told() -> None:
    fields: list[Any] = [
        ("ratio", float, dataclasses.field(default=float("nan"))),
        ("data", dict[str, str], dataclasses.field(default_factory=lambda: {"$ref": "x"})),
        ("more", dict[str, str], dataclasses.field(default_factory=dict)),
    ]
    schema = json_schema(dataclasses.make_dataclass("Holder", fields), strict=False)
    assert "default" not in schema["properties"]["ratio"]
    assert "default" not in schema["properties"]["data"]
    assert schema["properties"]["more"]["default"] == {}


def test_a_default_may_look_like_a_reference() -> None:
    part: JSON = {"type": "object", "additionalProperties": {"type": "string"}, "default": {"$ref": "x"}}
    schema = closed_schema({"data": part}, [], False, strict=False)
    assert schema["properties"]["data"] == part


def test_a_field_describes_its_enum_before_the_docstring_of_the_enum() -> None:
    @dataclasses.dataclass
    class Reading:
        """A reading.

        Attributes:
            unit: The unit of the value.
        """

        unit: Unit
        other: Unit

    schema = json_schema(Reading)
    check_strict(schema)
    assert schema["properties"] == {
        "unit": {"type": "string", "enum": ["c", "f"], "description": "The unit of the value."},
        "other": {"$ref": "#/$defs/Unit"},
    }
    assert schema["$defs"]["Unit"]["description"] == "A unit of temperature."


def test_classes_with_one_name_are_told_apart() -> None:
    first = dataclasses.make_dataclass("Same", [("a", int)])
    second = dataclasses.make_dataclass("Same", [("b", int)])
    schema = json_schema(dataclasses.make_dataclass("Holder", [("x", first), ("y", second)]))
    check_strict(schema)
    assert {name: list(part["properties"]) for name, part in schema["$defs"].items()} == {
        "Same": ["a"],
        "Same_2": ["b"],
    }


def test_definitions_of_several_schemas_are_told_apart() -> None:
    one: JSON = {"$ref": "#/$defs/A", "$defs": {"A": {"type": "object", "properties": {}, "required": []}}}
    other: JSON = {
        "anyOf": [{"$ref": "#/$defs/A"}, {"enum": [{"$ref": 5}]}],
        "$defs": {"A": {"type": "object", "properties": {"$ref": {"$ref": "#/$defs/A_2"}}}, "A_2": {"type": "string"}},
    }
    schema = closed_schema({"x": one, "y": one, "z": other}, ["x", "y", "z"], False, strict=False)
    assert schema["properties"]["x"] == schema["properties"]["y"] == {"$ref": "#/$defs/A"}
    assert schema["properties"]["z"]["anyOf"][0] == {"$ref": "#/$defs/A_3"}
    assert schema["$defs"]["A_3"]["properties"] == {"$ref": {"$ref": "#/$defs/A_2"}}
    assert closed_schema({}, [], other, strict=False)["additionalProperties"]["anyOf"][0] == {"$ref": "#/$defs/A"}


@pytest.mark.parametrize(
    ("type_", "where"),
    [
        (dict[str, int], "`Holder.it` is an object with any keys"),
        (dict, "`Holder.it` is an object with any keys"),
        (list[dict[str, Any]], "`Holder.it[]` is an object with any keys"),
        (Any, "`Holder.it` takes any value"),
        (list, "`Holder.it[]` takes any value"),
        (msgspec.Raw, "`Holder.it` takes any value"),
        (tuple[int, Any], "`Holder.it[1]` takes any value"),
        (Annotated[int, Meta(extra_json_schema={"enum": [[1]]})], "`Holder.it` has values that are lists or objects"),
        (
            Annotated[int, Meta(extra_json_schema={"allOf": [{}, {}]})],
            "`Holder.it` must fit several schemas at once",
        ),
        (Annotated[list[int], Meta(extra_json_schema={"items": True})], "`Holder.it[]` takes any value"),
    ],
    ids=str,
)
def test_what_a_strict_schema_cannot_express(type_: Any, where: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        of(type_)
    assert str(caught.value) == (
        f"{where}, which a strict schema cannot express: use a type with known fields, or, for a tool, `strict=False`"
    )
    of(type_, strict=False)


def test_the_root_of_a_strict_schema_is_an_object() -> None:
    for type_, name in ((list[int], "list[int]"), (Point, "Point"), (Cat | Dog, "tests.structured.test_schema.Cat | ")):
        with pytest.raises(
            ConfigurationError, match="is not that of an object, and the service takes no other"
        ) as caught:
            json_schema(type_)
        assert f"the strict schema of {name}" in str(caught.value)
    with pytest.raises(ConfigurationError, match="the type is an object with any keys, which"):
        json_schema(dict[str, int])


def test_intersections_of_one_schema_are_that_schema() -> None:
    holder = dataclasses.make_dataclass(
        "Holder", [("it", Annotated[int, Meta(extra_json_schema={"allOf": [{"type": "integer", "minimum": 1}]})])]
    )
    assert json_schema(holder)["properties"]["it"] == {"type": "integer", "minimum": 1}
    for values, nullable in (({"enum": [1, None]}, True), ({"const": None}, True), ({"const": 1}, False)):
        field = ("it", Annotated[int | None, Meta(extra_json_schema=values)], dataclasses.field(default=None))
        schema = json_schema(dataclasses.make_dataclass("Holder", [field]))
        check_strict(schema)
        assert ("null for" in str(schema).lower()) is not nullable


@pytest.mark.parametrize(
    ("type_", "name"),
    [
        (Place, "Place"),
        (list[Place], "list_Place"),
        (Box[int], "Box_int"),
        (dict[str, list[int]], "dict_str_list_int"),
        (int | None, "int_None"),
        (dataclasses.make_dataclass("Größe", []), "Gr__e"),
        (dataclasses.make_dataclass("A" * 80, []), "A" * 64),
        (dataclasses.make_dataclass("ß", []), "value"),
    ],
    ids=str,
)
def test_schema_names(type_: Any, name: str) -> None:
    assert schema_name(type_) == name
    assert is_name(name)


def test_a_local_class_has_its_own_name() -> None:
    class Local: ...

    assert schema_name(Local) == "Local"


@pytest.mark.parametrize("name", ["", "a b", "größe", "a" * 65, "a.b", None, 5])
def test_names_that_the_service_does_not_take(name: object) -> None:
    assert not is_name(name)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"city": 5}', "Expected `str`, got `int` - at `$.city`"),
        ("{}", "Object missing required field `city` - at `$`"),
        ("[]", "Expected `object`, got `array` - at `$`"),
        ('{"city": "x", "zip": 1}', "there is no key 'zip'; the keys are: city, zone - at `$`"),
        ('{"city": null}', "Expected `str`, got `null` - at `$.city`"),
        ('{"city": "x", "city": "y"}', "the key 'city' occurs twice in one object - at `$`"),
        ("", "this is not valid JSON: Expecting value: line 1 column 1 (char 0) - at `$`"),
    ],
)
def test_a_value_that_does_not_fit(text: str, problem: str) -> None:
    with pytest.raises(DecodeError) as caught:
        parse_value(text, Place)
    assert str(caught.value) == problem


def test_without_strictness_the_class_decides_on_unknown_keys() -> None:
    assert parse_value(b'{"city": "x", "zip": 1}', Place, strict=False) == Place("x")
    with pytest.raises(DecodeError, match="Object contains unknown field `x`"):
        parse_value('{"type": "cat", "x": 1}', Cat, strict=False)


def test_what_is_told_of_a_mistake_is_bounded() -> None:
    with pytest.raises(DecodeError) as caught:
        parse_value(f'{{"value": 1, "{"x" * 5000}": 1}}', Node)
    assert len(str(caught.value)) < 1200


def test_a_check_of_the_class_is_a_mistake_of_the_model() -> None:
    @dataclasses.dataclass
    class Span:
        first: int
        last: int

        def __post_init__(self) -> None:
            if self.first > self.last:
                raise ValueError("`first` must not be above `last`")

    with pytest.raises(DecodeError, match="`first` must not be above `last`"):
        parse_value('{"first": 2, "last": 1}', Span)


def test_values_that_are_nested_too_deeply() -> None:
    def nested(depth: int) -> str:
        return '{"value": 1, "parent": ' * depth + "null" + "}" * depth

    assert parse_value(nested(100), Node).value == 1
    for depth in (900, 100_000):
        with pytest.raises(DecodeError, match="nested too deeply"):
            parse_value(nested(depth), Node)


def test_half_a_surrogate_pair_is_text_where_text_is_expected() -> None:
    assert parse_value('{"city": "\\ud83c"}', Place) == Place("\ud83c")
    for type_ in (uuid.UUID, datetime.date, Literal["a"], Annotated[str, Meta(pattern="a")]):
        with pytest.raises(DecodeError):
            parse_value('"\\ud83c"', type_)
