from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import pickle
from collections.abc import Sequence
from dataclasses import FrozenInstanceError, dataclass, field
from typing import Any, Literal

import pytest
from dataclasses_json import config
from hypothesis import given
from hypothesis import strategies as st

from rxresponses.errors import DecodeError
from rxresponses.wire.base import Model, UnknownItem, _build, _unknown_item, build, build_received, model
from rxresponses.wire.codec import decode
from rxresponses.wire.events import REGISTRY, ResponseTextDeltaEvent, ServerEvent
from rxresponses.wire.models import Response
from rxresponses.wire.plans import Maker, plan_of
from tests.support.calls import count_calls
from tests.support.strategies import event_data, events, models_in


@model
class Cat(Model):
    """A tagged model."""

    type: Literal["cat"] = "cat"
    name: str
    lives: int | None = None


@model
class Dog(Model):
    """Another, with a field whose name is a keyword."""

    type: Literal["dog"] = "dog"
    async_: bool | None = field(default=None, metadata=config(field_name="async"))


@model
class Size(Model):
    """A model without a tag."""

    grams: float | None = None


@model
class Home(Model):
    """One field of each kind that the protocol has."""

    address: str
    pet: Cat | Dog | UnknownItem | None = None
    pets: list[Cat | Dog | UnknownItem] = field(default_factory=list)
    guests: list[Cat] | None = None
    owner: Cat | None = None
    size: Size | str | None = None
    note: str | list[Cat | Dog | UnknownItem] | None = None
    first: Cat | Dog = Cat(name="Tom")
    strays: list[Dog] | Cat = field(default_factory=list)
    anything: Any = None
    opaque: Sequence[Cat | Dog] | None = None
    tags: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Plain(Model):
    """A dataclass made by `dataclass` itself."""

    number: int
    doubled: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "doubled", self.number * 2)


@model
class Finished(Model):
    """A model that completes itself."""

    number: int
    doubled: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "doubled", self.number * 2)


both = pytest.mark.parametrize("read", [build, lambda cls, data: cls.from_dict(data)], ids=["build", "from_dict"])


# --- made by hand


def test_defaults_are_filled_in_and_never_shared() -> None:
    one, other = Home(address="here"), Home(address="here")
    assert (one.address, one.pet, one.pets, one.tags) == ("here", None, [], {})
    assert one == other
    assert one.pets is not other.pets


def test_a_constructor_takes_declared_fields_by_keyword_only() -> None:
    with pytest.raises(TypeError, match=r"^Cat needs the field 'name'$"):
        Cat()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"^Cat has no field 'age'$"):
        Cat(name="Tom", age=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="positional"):
        Cat("Tom")  # type: ignore[call-arg, arg-type]


def test_instances_are_frozen() -> None:
    cat = Cat(name="Tom")
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'name'"):
        cat.name = "Kit"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError, match="cannot delete field 'name'"):
        del cat.name
    assert cat.name == "Tom"


def test_equality_and_hash_go_by_class_and_fields() -> None:
    assert Cat(name="Tom") == Cat(name="Tom", lives=None)
    assert hash(Cat(name="Tom")) == hash(Cat(name="Tom"))
    assert Cat(name="Tom") != Cat(name="Kit")
    assert Cat(name="Tom") != Finished(number=1)
    assert Cat(name="Tom") != "Tom"
    assert len({Home(address="here", pets=[Dog()]), Home(address="here", pets=[Dog()])}) == 1


def test_unknown_fields_do_not_count_in_comparisons() -> None:
    assert build(Cat, {"type": "cat", "name": "Tom", "x": 1}) == Cat(name="Tom")


def test_the_repr_shows_the_fields_that_are_not_at_their_default() -> None:
    home = Home(address="here", pets=[Cat(name="Tom", lives=9)], tags={"a": 1})
    assert repr(home) == "Home(address='here', pets=[Cat(name='Tom', lives=9)], tags={'a': 1})"
    assert eval(repr(home)) == home
    assert repr(Home(address="", anything=False)) == "Home(address='', anything=False)"


def test_the_signature_lists_the_fields() -> None:
    assert str(inspect.signature(Cat)) == (
        "(*, type: \"Literal['cat']\" = 'cat', name: 'str', lives: 'int | None' = None)"
    )
    assert inspect.signature(Home).parameters["pets"].default == []


def test_the_signature_of_the_base_class_is_that_of_its_constructor() -> None:
    assert str(inspect.signature(Model)) == "(**values: 'Any') -> 'None'"


def test_models_are_dataclasses() -> None:
    cat = Cat(name="Tom")
    assert dataclasses.is_dataclass(cat)
    assert dataclasses.asdict(cat) == {"type": "cat", "name": "Tom", "lives": None}
    assert dataclasses.replace(cat, lives=8) == Cat(name="Tom", lives=8)


@pytest.mark.parametrize("cls", [Plain, Finished])
def test_post_init_runs_however_an_instance_is_made(cls: type[Plain] | type[Finished]) -> None:
    assert cls(number=2).doubled == 4
    assert build(cls, {"number": 2}).doubled == 4
    assert cls.from_dict({"number": 2}).doubled == 4


@given(event=events())
def test_events_can_be_copied_and_pickled(event: ServerEvent) -> None:
    for other in (copy.copy(event), copy.deepcopy(event), pickle.loads(pickle.dumps(event))):
        assert other == event
        assert other.raw == event.raw
        assert [model.extra for model in models_in(other)] == [model.extra for model in models_in(event)]
    replaced = dataclasses.replace(event, sequence_number=7)
    assert replaced.sequence_number == 7
    assert replaced.type == event.type
    assert replaced.raw is None  # it is another event than the one received


def test_a_replaced_event_is_typed() -> None:
    event = dataclasses.replace(ResponseTextDeltaEvent(delta="a"), delta="b")
    assert event.delta == "b"


# --- made from JSON data


@both
def test_unions_are_told_apart_by_type(read: Any) -> None:
    data = {
        "address": "here",
        "pet": {"type": "dog", "async": True},
        "pets": [{"type": "cat", "name": "Tom"}, {"type": "bird", "wings": 2}],
        "guests": [{"type": "cat", "name": "Kit"}],
        "owner": {"name": "Felix"},
        "size": {"grams": 5},
        "note": [{"type": "dog"}],
        "first": {"type": "dog"},
        "strays": {"type": "cat", "name": "Max"},
    }
    home = read(Home, data)
    assert home.pet == Dog(async_=True)
    assert home.pets[0] == Cat(name="Tom")
    assert (home.pets[1].type, home.pets[1].extra, home.pets[1].reason) == ("bird", {"wings": 2}, None)
    assert home.guests == [Cat(name="Kit")]
    assert home.owner == Cat(name="Felix")
    assert home.size == Size(grams=5.0)
    assert home.note == [Dog()]
    assert home.first == Dog()
    assert home.strays == Cat(name="Max")
    assert json.loads(home.to_json())["pet"] == {"type": "dog", "async": True}


@both
def test_a_union_takes_plain_values_of_its_members_too(read: Any) -> None:
    home = read(Home, {"address": "here", "size": "big", "note": "\ud83c", "pet": None, "strays": [{}]})
    assert (home.size, home.note, home.pet, home.strays) == ("big", "\ud83c", None, [Dog()])


@both
def test_json_data_may_hold_models_already(read: Any) -> None:
    cat = Cat(name="Tom")
    home = read(Home, {"address": "here", "owner": cat, "pet": cat, "pets": [cat], "size": Size()})
    assert home == Home(address="here", owner=cat, pet=cat, pets=[cat], size=Size())


@both
def test_null_counts_as_absent_where_there_is_a_default_that_is_not_null(read: Any) -> None:
    home = read(Home, {"address": "here", "pets": None, "tags": None, "anything": None})
    assert (home.pets, home.tags, home.anything) == ([], {}, None)
    assert home.extra == {"pets": None, "tags": None}
    assert home.to_dict()["pets"] is None


@both
def test_values_of_types_that_msgspec_does_not_know_are_not_checked(read: Any) -> None:
    assert read(Home, {"address": "here", "opaque": (Dog(), Cat(name="Tom"))}).opaque == (Dog(), Cat(name="Tom"))


@both
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"address": None}, "Home: Expected `str`, got `null` - at `$.address`"),
        ({"address": 5}, "Home: Expected `str`, got `int` - at `$.address`"),
        ({"owner": {"name": 5}}, "Home.owner: Cat: Expected `str`, got `int` - at `$.name`"),
        ({"owner": 5}, "Home.owner: it is no object; Expected `null`, got `int`"),
        ({"owner": {"lives": 1}}, "Home.owner: Cat: required field 'name' is missing"),
        ({"pets": {}}, "Home.pets: expected a list, got dict"),
        ({"pets": ["x"]}, "Home.pets: expected an object, got str"),
        ({"guests": {}}, "Home.guests: it is no list; Expected `null`, got `object`"),
        ({"guests": [5]}, "Home.guests: Cat: expected an object, got int"),
        ({"pet": "\ud83c"}, "Home.pet: "),
        ({"first": None}, None),
        ({"first": 5}, "Home.first: expected an object, got int"),
        ({"size": 5}, "Home.size: it is no object; Expected `str | null`, got `int`"),
        ({"strays": 5}, "Home.strays: expected an object, got int"),
        ({"tags": []}, "Home: Expected `object`, got `array` - at `$.tags`"),
    ],
)
def test_the_error_names_the_class_and_the_field_that_does_not_fit(
    read: Any, changes: dict[str, Any], message: str | None
) -> None:
    if message is None:
        assert read(Home, {"address": "here", **changes}).first == Cat(name="Tom")
    else:
        with pytest.raises(DecodeError) as caught:
            read(Home, {"address": "here", **changes})
        assert message in str(caught.value)


@both
def test_the_error_names_a_missing_field_and_a_value_that_is_no_object(read: Any) -> None:
    with pytest.raises(DecodeError, match=r"^Home: required field 'address' is missing$"):
        read(Home, {})
    with pytest.raises(DecodeError, match=r"^Home: expected an object, got list$"):
        read(Home, [])


@both
def test_an_object_that_no_class_takes_is_kept_beside_valid_ones(read: Any) -> None:
    odd = [{"type": "cat", "name": 5}, {"type": 5, "name": "x"}, {"name": "x"}, {"type": "", "x": None}]
    home = read(Home, {"address": "here", "pets": [{"type": "dog"}, *odd]})
    assert home.pets[0] == Dog()
    assert [pet.type for pet in home.pets[1:]] == ["cat", "", "", ""]
    assert "name" in home.pets[1].reason
    assert [pet.reason for pet in home.pets[2:]] == [None, None, None]
    assert [pet.to_dict() for pet in home.pets[2:]] == [odd[1], {"type": "", "name": "x"}, odd[3]]
    assert home.to_dict()["pets"][1] == odd[0]


def test_missing_required_fields_are_none_with_infer_missing() -> None:
    with pytest.warns(RuntimeWarning, match="infer_missing"):
        assert Cat.from_dict({}, infer_missing=True).name is None


# --- unknown fields


@both
def test_unknown_fields_are_kept_at_every_depth(read: Any) -> None:
    data = {
        "address": "here",
        "x": 1,
        "pet": {"type": "dog", "x": {"y": [2]}},
        "pets": [{"type": "cat", "name": "Tom", "x": None}, {"type": "bird", "x": {}}],
        "note": [{"type": "dog", "x": 3}],
        "owner": {"name": "Felix", "x": 4},
    }
    home = read(Home, data)
    assert home.extra == {"x": 1}
    assert home.pet.extra == {"x": {"y": [2]}}
    assert home.owner.extra == {"x": 4}
    written = home.to_dict()
    assert (written["x"], written["pet"]["x"], written["note"][0]["x"]) == (1, {"y": [2]}, 3)
    assert written["pets"][0]["x"] is None
    assert written["pets"][1] == {"type": "bird", "x": {}}
    assert Home.from_json(home.to_json()) == home


def test_models_in_plain_lists_and_mappings_keep_their_unknown_fields() -> None:
    dog = build(Dog, {"x": 1})
    home = Home(address="here", anything=[{"a": (dog, 5)}], tags={"b": dog})
    assert home.to_dict()["anything"][0]["a"][0]["x"] == 1
    assert home.to_dict()["tags"]["b"]["x"] == 1


def test_a_model_made_by_hand_has_no_unknown_fields() -> None:
    cat = Cat(name="Tom")
    assert dict(cat.extra) == {}
    with pytest.raises(TypeError):
        cat.extra["x"] = 1  # type: ignore[index]


# --- unknown items


def test_unknown_items_are_equal_if_all_their_json_is() -> None:
    items = build(
        Home, {"address": "", "pets": [{"type": "b", "x": 1}, {"type": "b", "x": 1}, {"type": "b", "x": 2}]}
    ).pets
    assert items[0] == items[1] != items[2]
    assert hash(items[0]) == hash(items[1])
    assert items[0] != UnknownItem(type="b")  # type: ignore[arg-type]
    assert items[0] != "b"


def test_the_repr_of_an_unknown_item_shows_all_its_json() -> None:
    home = build(Home, {"address": "", "pet": {"type": "cat", "name": 5}})
    assert repr(home.pet) == (
        "<UnknownItem(type='cat') extra={'name': 5} reason='Cat: Expected `str`, got `int` - at `$.name`'>"
    )


def test_a_plan_is_made_once() -> None:
    assert plan_of(Home) is plan_of(Home)


def test_scenario_62_integral_floats_are_integers_in_a_single_model_too() -> None:
    response = Response.from_dict({"id": "r", "max_output_tokens": 5.0, "usage": {"input_tokens": 0.0}})
    assert (repr(response.max_output_tokens), repr(response.usage)) == ("5", "ResponseUsage(input_tokens=0)")
    with pytest.raises(DecodeError, match=r"ResponseUsage.*input_tokens"):
        Response.from_dict({"id": "r", "usage": {"input_tokens": 0.5}})


def test_scenario_76_json_text_has_no_number_that_json_does_not_have() -> None:
    event = decode('{"type": "response.completed", "response": {"id": "r", "temperature": 1e400, "x": [NaN]}}')
    data = json.loads(event.to_json(), parse_constant=pytest.fail)
    assert (data["response"]["temperature"], data["response"]["x"]) == ("Infinity", ["NaN"])
    assert json.loads(event.to_json(indent=2)) == data


def objects_in(data: Any) -> list[dict[str, Any]]:
    """Return all JSON objects in JSON data, at any depth."""
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return [*([data] if isinstance(data, dict) else ()), *(found for value in inner for found in objects_in(value))]


@given(st.data(), event_data(), st.booleans())
def test_valid_data_are_read_as_data_are_that_may_be_invalid(
    data: st.DataObject, event: dict[str, Any], is_valid: bool
) -> None:
    if not is_valid:
        changed = data.draw(st.sampled_from(objects_in(event)))
        name = data.draw(st.sampled_from(sorted(changed) or ["new"]))
        changed[name] = data.draw(st.sampled_from([None, 1.0, 1.5, -1, 2**60, True, "", "x", [], [None], {}, {"a": 1}]))
    cls = REGISTRY.get(str(event.get("type")), ResponseTextDeltaEvent)
    problems: list[str] = []
    maker = Maker(_build, _unknown_item, is_bounded=True, problems=problems)
    try:
        expected = _build(cls, event, maker)
    except DecodeError:
        with pytest.raises(DecodeError):
            build_received(cls, event)
        return
    found, reason = build_received(cls, event)
    assert (found, reason) == (expected, "; ".join(problems) or None)
    assert found.to_json() == expected.to_json()
    assert repr(found) == repr(expected)


def test_a_plain_field_costs_no_call() -> None:
    def calls(**fields: Any) -> int:
        return count_calls(lambda: build_received(Response, {"id": "r", **fields}))

    calls()
    assert calls(model="m", status="completed", object="response", user="u", top_p=1, metadata={}) == calls()
