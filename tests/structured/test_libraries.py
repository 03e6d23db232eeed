from __future__ import annotations

import dataclasses
import pathlib
import subprocess
import sys
import types
from collections.abc import Iterable
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypeVar

import msgspec
import pytest
from typing_extensions import TypeAliasType

from rxresponses import tool
from rxresponses.errors import ConfigurationError, DecodeError
from rxresponses.structured.schema import json_schema, schema_name
from tests.structured.parsing import parse_value
from tests.structured.strict_rules import check_strict

pydantic = pytest.importorskip("pydantic")


@dataclasses.dataclass
class Circle:
    radius: float


@dataclasses.dataclass
class Square:
    side: float


@dataclasses.dataclass
class Drawing:
    shapes: list[Circle | Square]


class Struct(msgspec.Struct):
    x: int


def pet() -> Any:
    return pydantic.create_model("Pet", __doc__="A pet.", name=(str, ...), age=(int, 3))


def problem(text: str, type_: Any) -> str:
    with pytest.raises(DecodeError) as caught:
        parse_value(text, type_)
    return str(caught.value)


def test_models() -> None:
    model = pet()
    schema = json_schema(model)
    check_strict(schema)
    assert schema["description"] == "A pet."
    assert schema["properties"]["age"]["description"] == "Null for the default, 3"
    assert parse_value('{"name": "Tom", "age": null}', model) == model(name="Tom")
    assert parse_value('{"name": "Tom", "age": "5"}', model).age == 5  # the model's own way to read
    assert problem('{"name": 5, "age": "x"}', model) == (
        "Input should be a valid string - at `$.name`; "
        "Input should be a valid integer, unable to parse string as an integer - at `$.age`"
    )


@pytest.mark.parametrize("wrap", [lambda model: list[model], lambda model: pydantic.TypeAdapter(list[model])])  # type: ignore[valid-type]
def test_models_inside_others_and_type_adapters(wrap: Any) -> None:
    model = pet()
    type_ = wrap(model)
    assert schema_name(type_) == "list_Pet"
    assert parse_value('[{"name": "Tom", "age": null}]', type_) == [model(name="Tom")]
    assert problem('[{"name": "Tom"}, {}]', type_).endswith("Field required - at `$[1].name`")
    assert json_schema(type_, strict=False)["type"] == "array"


def test_a_model_that_takes_any_key_has_no_strict_schema() -> None:
    model = pydantic.create_model("Open", __config__={"extra": "allow"}, a=(int, ...))
    with pytest.raises(ConfigurationError, match="the type is an object with any keys"):
        json_schema(model)
    assert parse_value('{"a": 1, "b": 2}', model).b == 2


@pytest.mark.parametrize("type_", [Iterable[int], Iterable[int] | None])
def test_the_items_of_an_iterable_are_validated_before_the_call(type_: Any) -> None:
    assert parse_value("[1, 2]", type_) == [1, 2]
    with pytest.raises(DecodeError, match=r"valid integer - at `\$\[1\]`"):
        parse_value('[1, "x"]', type_)


def test_dataclasses_of_pydantic() -> None:
    made: Any = pydantic.dataclasses.dataclass(dataclasses.make_dataclass("Made", [("a", int), ("b", int, 2)]))
    check_strict(json_schema(made))
    assert parse_value('{"a": 1, "b": null}', made) == made(1)


def test_discriminated_unions() -> None:
    cat = pydantic.create_model("Cat", kind=(Literal["cat"], ...), lives=(int, 9))
    dog = pydantic.create_model("Dog", kind=(Literal["dog"], ...), name=(str, ...))
    union: Any = Annotated[cat | dog, pydantic.Field(discriminator="kind")]
    holder = pydantic.create_model("Holder", pet=(union, ...))
    check_strict(json_schema(holder))
    assert parse_value('{"pet": {"kind": "cat", "lives": null}}', holder).pet == cat(kind="cat")
    assert "there is no key 'lives'; the keys are: kind, name" in problem(
        '{"pet": {"kind": "dog", "name": "x", "lives": 1}}', holder
    )


def test_constraints_of_pydantic_on_plain_types_are_strict_about_numbers() -> None:
    field: Any = pydantic.Field(ge=1, le=7)

    def forecast(days: Annotated[int, field], names: Annotated[list[str], pydantic.Field(min_length=1)]) -> None: ...

    made = tool(forecast)
    assert made.parameters["properties"]["days"] == {"type": "integer", "minimum": 1, "maximum": 7}
    assert made.parse('{"days": 7, "names": ["x"]}') == {"days": 7, "names": ["x"]}
    with pytest.raises(DecodeError) as caught:
        made.parse('{"days": "5", "names": []}')
    assert str(caught.value) == (
        "the arguments of 'forecast' do not fit: Input should be a valid integer - at `days`; "
        "List should have at least 1 item after validation, not 0 - at `names`"
    )


def test_constraints_of_annotated_types() -> None:
    annotated_types = pytest.importorskip("annotated_types")
    type_: Any = dataclasses.make_dataclass("Made", [("a", Annotated[int, annotated_types.Ge(3)])])
    assert json_schema(type_)["properties"]["a"] == {"type": "integer", "minimum": 3}
    assert "greater than or equal to 3" in problem('{"a": 2}', type_)


def test_what_msgspec_does_not_read_is_read_by_pydantic() -> None:
    schema = json_schema(Drawing)
    check_strict(schema)
    assert parse_value('{"shapes": [{"side": 1}, {"radius": 2}]}', Drawing) == Drawing([Square(1), Circle(2)])
    assert "Input should be a valid number - at `$.shapes[0].Circle.radius`" in problem(
        '{"shapes": [{"radius": "2"}]}', Drawing
    )
    holder: Any = dataclasses.make_dataclass("Holder", [("path", pathlib.Path)])
    assert json_schema(holder)["properties"]["path"] == {"type": "string", "description": "In the format 'path'"}
    assert parse_value('{"path": "/tmp/x"}', holder) == holder(pathlib.Path("/tmp/x"))


def test_fields_for_the_constructor_only_are_read_by_pydantic() -> None:
    @dataclasses.dataclass
    class Scaled:
        value: int
        factor: dataclasses.InitVar[int] = 2

        def __post_init__(self, factor: int) -> None:
            self.value *= factor

    assert parse_value('{"value": 3, "factor": 5}', Scaled).value == 15


def test_types_of_both_libraries_do_not_mix() -> None:
    model = pet()
    mixed: list[tuple[Any, str]] = [
        (msgspec.defstruct("Mixed", [("pet", model)]), "such as Mixed"),
        (dict[model, Annotated[int, msgspec.Meta(ge=1)]], "such as msgspec.Meta(ge=1)"),  # type: ignore[valid-type]
        (NamedTuple("Mixed", [("a", model), ("b", Struct)]), "such as Struct"),
    ]
    for type_, example in mixed:
        with pytest.raises(ConfigurationError) as caught:
            json_schema(type_)
        assert str(caught.value).endswith(
            " mixes types or constraints of pydantic with those of msgspec, "
            f"{example}, and neither library reads both: use one of them"
        )


class Unknown:
    pass


@pytest.mark.parametrize(
    ("type_", "reason"),
    [
        (Unknown, "is not known to msgspec; use a dataclass, a TypedDict, a msgspec.Struct or a model of pydantic"),
        (Struct | Unknown, "Type unions containing a custom type may not contain any additional types"),
        (Struct | Circle, "Type unions may not contain more than one"),
    ],
)
def test_types_without_a_schema(type_: Any, reason: str) -> None:
    with pytest.raises(ConfigurationError, match="has no JSON schema: ") as caught:
        json_schema(type_)
    assert reason in str(caught.value)
    assert isinstance(caught.value.__cause__, Exception)


def test_a_model_without_a_schema() -> None:
    model = pydantic.create_model("Holder", __config__={"arbitrary_types_allowed": True}, x=(Unknown, ...))
    with pytest.raises(ConfigurationError, match="Holder has no JSON schema: Cannot generate a JsonSchema"):
        json_schema(model)


def test_aliases_and_new_types() -> None:
    model = pet()
    pets: Any = TypeAliasType("Pets", list[model])  # type: ignore[valid-type]
    new_type: Any = NewType
    number = new_type("Number", Annotated[int, pydantic.Field(ge=1)])
    holder: Any = dataclasses.make_dataclass("Holder", [("pets", pets), ("number", number)])
    check_strict(json_schema(holder))
    value = parse_value('{"pets": [{"name": "Tom", "age": "5"}], "number": 1}', holder)
    assert value == holder([model(name="Tom", age=5)], 1)
    assert "greater than or equal to 1 - at `$.number`" in problem('{"pets": [], "number": 0}', holder)
    days: Any = TypeAliasType("Days", list[int])
    assert parse_value("[1]", days) == [1]


def test_generic_models() -> None:
    item = TypeVar("item")
    generic: Any = Generic
    body = {"__annotations__": {"items": list.__class_getitem__(item)}, "__module__": __name__}
    page: Any = types.new_class("Page", (pydantic.BaseModel, generic[item]), exec_body=lambda names: names.update(body))
    check_strict(json_schema(page[int]))
    assert parse_value('{"items": [1, 2]}', page[int]).items == [1, 2]


def test_annotations_that_have_no_hash() -> None:
    type_: Any = dataclasses.make_dataclass("Made", [("a", Annotated[int, ["no hash"]])])
    assert parse_value('{"a": 1}', type_) == type_(1)
    assert parse_value("1", Annotated[int, ["no hash"]]) == 1


def test_another_type_error_passes() -> None:
    with pytest.raises(ConfigurationError, match="has no JSON schema"):
        json_schema(5)


@dataclasses.dataclass
class Late:
    other: NotThere  # type: ignore[name-defined]  # noqa: F821


def test_names_that_are_not_there() -> None:
    with pytest.raises(ConfigurationError) as caught:
        json_schema(Late)
    assert str(caught.value) == (
        "Late has no JSON schema: name 'NotThere' is not defined; define a class whose fields name other classes at "
        "the level of a module"
    )

    def use(late: Late) -> None: ...

    with pytest.raises(ConfigurationError, match="the parameter 'late' of the tool 'use': Late has no JSON schema"):
        tool(use)


def test_pydantic_is_not_imported_for_types_that_msgspec_reads() -> None:
    program = """
import dataclasses, sys
import rxresponses
@dataclasses.dataclass
class Place:
    city: str
@rxresponses.tool
def weather(place: Place, days: int = 1) -> str: ...
weather.parse('{"place": {"city": "x"}}')
print("pydantic" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False\n"


def test_without_pydantic_the_error_is_that_of_msgspec() -> None:
    program = """
import dataclasses, sys
sys.modules["pydantic"] = None
from rxresponses import ConfigurationError
from rxresponses.structured.schema import json_schema
@dataclasses.dataclass
class Circle:
    radius: float
@dataclasses.dataclass
class Square:
    side: float
try:
    json_schema(list[Circle | Square])
except ConfigurationError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert "Type unions may not contain more than one" in done.stdout
