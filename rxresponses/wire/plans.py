"""How a model class is read from JSON data: a `Plan` for each class, made once from its annotations.

msgspec checks all plain fields of a class together.  A field that holds models has a converter, which finds the class
of each object: unions are told apart by `type`.  Fields that the class does not declare are kept aside.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass
from functools import cached_property
from typing import Annotated, Any

import msgspec

from ..errors import DecodeError
from ..scalars import MAX_INTEGER

# The bounds of a server's numbers, as msgspec checks them; counts of tokens are from 0 on.
_BOUNDED: Mapping[Any, Any] = {
    int: Annotated[int, msgspec.Meta(ge=-MAX_INTEGER, le=MAX_INTEGER)],
    float: Annotated[float, msgspec.Meta(ge=-sys.float_info.max, le=sys.float_info.max)],
}
_COUNTS = {**_BOUNDED, int: Annotated[int, msgspec.Meta(ge=0, le=MAX_INTEGER)]}


class Modelled:
    """Marks the model classes, so that annotations can be searched for them; `Model` is the only direct subclass."""

    takes_any_number: typing.ClassVar[bool] = False
    """Whether msgspec reads the class directly, without the bounds of numbers."""


@dataclass(frozen=True)
class Maker:
    """How objects are made of JSON data: the codecs differ in `known` only."""

    known: Callable[[type[Any], Mapping[str, Any], Maker], Any]
    """Makes an object of the given class, with this maker; raises `DecodeError` when the data do not fit."""
    unknown: Callable[[Mapping[str, Any], str | None], Any]
    """Keeps an object that no class takes, and the reason why, `None` for a type that is not known."""
    is_bounded: bool = False
    """Whether numbers beyond the bounds for what servers send do not validate."""
    problems: list[str] | None = None
    """Takes the reasons of the fields that are left out because they do not validate; `None` to raise for them."""


Convert = Callable[[Any, Maker], Any]


@dataclass(frozen=True)
class Plan:
    """How objects of one class are made: from keyword arguments, and from JSON data."""

    fields: Mapping[str, Any]
    """Attribute → its default, `MISSING` where it has none."""
    factories: Mapping[str, Callable[[], Any]]
    """Attribute → the function that makes its default."""
    compulsory: frozenset[str]
    """Attributes without a default."""
    finish: Callable[[Any], None] | None
    """The `__post_init__` of the class."""

    # What follows goes by the names of the fields on the wire.
    leaves: Mapping[str, str]
    """Name → attribute, for the plain fields."""
    make_checker: Callable[[bool], Any]
    """Makes the msgspec class that checks the plain fields, with the bounds of numbers or without."""
    nested: Mapping[str, Convert]
    """Name → converter, for the fields that hold models."""
    required: frozenset[str]
    """Fields without a default."""
    defaulted: frozenset[str]
    """Fields with a default that do not take `null`: there `null` counts as absent."""
    attributes: Mapping[str, str]
    """Name → attribute, where the two differ: `async` → `async_`."""
    names: frozenset[str]
    """All fields."""
    converted: tuple[str, ...]
    """Those of the plain fields whose values msgspec may change, such as an integer to a float."""
    written: list[tuple[str, str, Callable[[Any], Any] | None, Callable[[Any], bool] | None]]
    """For each field in their order: attribute, name, its encoder, and the function that says whether it is left out.

    The last two are those that the metadata of dataclasses-json name.
    """

    @cached_property
    def checker(self) -> Any:
        """The msgspec class that checks the plain fields."""
        return self.make_checker(False)

    @cached_property
    def bounded_checker(self) -> Any:
        """The msgspec class that checks the plain fields of what a server sent: numbers have bounds too."""
        return self.make_checker(True)


# msgspec checks their values, and returns the same objects.
_UNCHANGED = frozenset({str, int, bool, types.NoneType, Any})

# Besides the required fields: an event whose lane cannot be read may belong to any request.
_ESSENTIAL = frozenset({"stream_id", "type"})

_plans: dict[type[Any], Plan] = {}


def plan_of(cls: type[Any]) -> Plan:
    """Return the plan of a class.  It is made on first use, so that importing is fast."""
    plan = _plans.get(cls)
    if plan is None:
        plan = _plans[cls] = _make_plan(cls)
    return plan


def _make_plan(cls: type[Any]) -> Plan:
    hints = typing.get_type_hints(cls)
    fields = dataclasses.fields(cls)
    configs = {
        field.name: {**(cls.dataclass_json_config or {}), **field.metadata.get("dataclasses_json", {})}
        for field in fields
    }
    names = {name: _wire_name(name, config) for name, config in configs.items()}
    nested = {field.name: convert for field in fields if (convert := _converter(hints[field.name])) is not None}
    leaves = {name: wire for name, wire in names.items() if name not in nested}
    compulsory = {field.name for field in fields if field.default is field.default_factory is MISSING}

    def make_checker(is_bounded: bool) -> Any:
        types = {name: _checked_type(hints[name]) for name in leaves}
        if is_bounded and not cls.takes_any_number:
            types = {name: _bounded(name, hint) for name, hint in types.items()}
        return msgspec.defstruct(
            cls.__name__, [(name, hint, msgspec.UNSET) for name, hint in types.items()], rename=leaves
        )

    return Plan(
        fields={
            field.name: field.default if field.default_factory is MISSING else field.default_factory()
            for field in fields
        },
        factories={field.name: field.default_factory for field in fields if field.default_factory is not MISSING},
        compulsory=frozenset(compulsory),
        finish=getattr(cls, "__post_init__", None),
        leaves={wire: name for name, wire in leaves.items()},
        make_checker=make_checker,
        nested={names[name]: convert for name, convert in nested.items()},
        required=frozenset(names[name] for name in compulsory),
        defaulted=frozenset(
            wire for name, wire in names.items() if name not in compulsory and not _admits_none(hints[name])
        ),
        attributes={wire: name for name, wire in names.items() if wire != name},
        names=frozenset(names.values()),
        converted=tuple(wire for name, wire in leaves.items() if not _UNCHANGED.issuperset(members_of(hints[name]))),
        written=[(name, names[name], config.get("encoder"), config.get("exclude")) for name, config in configs.items()],
    )


def _wire_name(name: str, config: Mapping[str, Any]) -> str:
    rename = config.get("letter_case")
    return name if rename is None else typing.cast("str", rename(name))


def _checked_type(hint: Any) -> Any:
    """Return the type that msgspec checks: any value is right where msgspec does not know the annotation."""
    try:
        msgspec.json.Decoder(hint)
    except TypeError:
        return Any
    return hint


def _bounded(name: str, hint: Any) -> Any:
    bounds = _COUNTS if name.endswith("_tokens") else _BOUNDED
    return typing.Union[tuple(bounds.get(member, member) for member in members_of(hint))]  # noqa: UP007


def _admits_none(hint: Any) -> bool:
    return hint is Any or types.NoneType in typing.get_args(hint)


def read_fields(
    cls: type[Any], data: Mapping[str, Any], maker: Maker, *, complete: bool = True
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split JSON data into the fields of a class, checked and with their models made, and all other fields.

    Both go by the names on the wire.  Raises `DecodeError` for values that do not fit, and, if the data must be
    `complete`, for required fields that are missing.  If the maker takes `problems`, an optional field whose value does
    not fit is among the other fields, and only an essential one raises.  A list of models then loses only the elements
    that do not fit, and the whole list as it came is among the other fields too.
    """
    if type(data) is not dict and not isinstance(data, Mapping):  # asking the abstract class takes longer
        raise DecodeError(f"{cls.__name__}: expected an object, got {type(data).__name__}")
    plan = plan_of(cls)
    attributes, nested, defaulted = plan.leaves, plan.nested, plan.defaulted
    leaves: dict[str, Any] = {}
    values: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for name, value in data.items():
        if value is None and name in defaulted:
            extra[name] = None
        elif name in attributes:
            leaves[name] = value
        elif (convert := nested.get(name)) is not None:
            try:
                values[name] = convert(value, maker)
            except DecodeError as error:
                reason = f"{cls.__name__}.{name}: {error}"
                if maker.problems is None or name in plan.required or name in _ESSENTIAL:
                    raise DecodeError(reason) from error
                maker.problems.append(reason)
                extra[name] = value
            else:
                if maker.problems is not None and isinstance(value, list) and len(values[name]) < len(value):
                    maker.problems.append(f"{cls.__name__}.{name}: elements are left out")
                    extra[name] = value
        else:
            extra[name] = value
    try:
        checked = msgspec.convert(leaves, plan.bounded_checker if maker.is_bounded else plan.checker)
    except (msgspec.ValidationError, UnicodeEncodeError):  # the latter from a lone surrogate in the error's message
        checked = _check_each(cls, leaves, extra, maker)
    for name in leaves:
        values[name] = getattr(checked, attributes[name])
    missing = plan.required - values.keys()
    if missing and complete:
        raise DecodeError(f"{cls.__name__}: required field {min(missing)!r} is missing")
    return values, extra


def _check_each(cls: type[Any], leaves: dict[str, Any], extra: dict[str, Any], maker: Maker) -> Any:
    """Check plain fields one by one; move those that do not fit to the other fields, and keep the reasons.

    `1.0` fits where an integer is due: JSON does not tell the two apart.  So do the arguments of a call as an object
    where they are due as the JSON text of that object.  Raises `DecodeError` for required fields, and for any field if
    the maker takes no `problems`.
    """
    plan = plan_of(cls)
    checker = plan.bounded_checker if maker.is_bounded else plan.checker
    for name, value in tuple(leaves.items()):
        for candidate in (value, _as_text(value) if name == "arguments" else _with_integers(value)):
            try:
                msgspec.convert({name: candidate}, checker)
            except (msgspec.ValidationError, UnicodeEncodeError) as error:
                cause, reason = error, f"{cls.__name__}: {error}"
            else:
                leaves[name] = candidate
                break
        else:
            if maker.problems is None or name in _ESSENTIAL or name in plan.required:
                raise DecodeError(reason) from cause
            maker.problems.append(reason)
            extra[name] = leaves.pop(name)
    return msgspec.convert(leaves, checker)


def _as_text(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value


def _with_integers(value: Any) -> Any:
    """Return JSON data with integers in place of floats without a fraction."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_with_integers(element) for element in value]
    if isinstance(value, dict):
        return {name: _with_integers(element) for name, element in value.items()}
    return value


def members_of(hint: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the type itself where it is no union."""
    return typing.get_args(hint) if _is_union(hint) else (hint,)


def _is_union(hint: Any) -> bool:
    origin = typing.get_origin(hint)
    return origin is typing.Union or origin is types.UnionType


def is_model(hint: Any) -> bool:
    """Whether a type in an annotation is a model class."""
    # In Python 3.10, `list[int]` is an instance of `type` too.
    return typing.get_origin(hint) is None and isinstance(hint, type) and issubclass(hint, Modelled)


def _converter(hint: Any) -> Convert | None:
    """Return how a value of this type is read, or `None` when the type has no model in it."""
    if is_model(hint):
        return lambda value, maker: value if isinstance(value, hint) else maker.known(hint, value, maker)
    if typing.get_origin(hint) is list:
        return _list_converter(typing.get_args(hint)[0])
    return _union_converter(typing.get_args(hint)) if _is_union(hint) else None


def _list_converter(hint: Any) -> Convert | None:
    convert = _converter(hint)
    if convert is None:
        return None

    def convert_list(value: Any, maker: Maker) -> Any:
        if not isinstance(value, list):
            raise DecodeError(f"expected a list, got {type(value).__name__}")
        if maker.problems is None:
            return [convert(element, maker) for element in value]
        readable = []
        for element in value:
            try:
                readable.append(convert(element, maker))
            except DecodeError as error:
                maker.problems.append(str(error))
        return readable

    return convert_list


def _union_converter(args: tuple[Any, ...]) -> Convert | None:
    if any(typing.get_origin(arg) is Mapping for arg in args):
        return None  # the classes that users build take plain JSON too, and it stays as it is
    converters = {arg: convert for arg in args if (convert := _converter(arg)) is not None}
    if not converters:
        return None
    models = [arg for arg in converters if is_model(arg)]
    by_type = {kind: arg for arg in models if isinstance(kind := getattr(arg, "type", None), str)}
    only = models[0] if len(models) == 1 else None
    of_list = next((convert for arg, convert in converters.items() if arg not in models), None)
    rest = tuple(arg for arg in args if arg not in converters)
    plain: Any = typing.Union[rest] if rest else None  # noqa: UP007
    takes_none = types.NoneType in args

    def convert_union(value: Any, maker: Maker) -> Any:
        if value is None and takes_none:
            return None
        if isinstance(value, Modelled):
            return value
        if isinstance(value, dict) and models:
            return maker.known(only, value, maker) if only is not None else _tagged(by_type, value, maker)
        if isinstance(value, list) and of_list is not None:
            return of_list(value, maker)
        if plain is None:
            raise DecodeError(f"expected an object, got {type(value).__name__}")
        try:
            return msgspec.convert(value, plain)
        except (msgspec.ValidationError, UnicodeEncodeError) as error:
            raise DecodeError(f"it is no {'object' if models else 'list'}; {error}") from error

    return convert_union


def _tagged(by_type: Mapping[str, type[Any]], value: Mapping[str, Any], maker: Maker) -> Any:
    kind = value.get("type")
    known = by_type.get(kind) if isinstance(kind, str) else None
    if known is None:
        return maker.unknown(value, None)
    try:
        return maker.known(known, value, maker)
    except DecodeError as error:
        # An object that does not validate must not make the whole event unreadable: it is kept as it came.
        return maker.unknown(value, str(error))
