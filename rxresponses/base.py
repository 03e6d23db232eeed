"""What all JSON objects of the protocol have in common: one frozen dataclass, two codecs.

`Model` gives each class the public JSON face of dataclasses-json (`to_dict`, `to_json`,
`from_dict`, `from_json`); `build` is the strict road that the wire codec takes over msgspec.
Both ask the same `Plan`, made once per class from its annotations, for the parts that neither
library does by itself: unions of dataclasses told apart by `type`, and unknown fields, which are
kept in `extra` at every depth.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar

import msgspec
from dataclasses_json import DataClassJsonMixin

from .errors import DecodeError

if TYPE_CHECKING:
    from typing_extensions import Self  # in `typing` only from Python 3.11

M = TypeVar("M", bound="Model")
Make = Callable[[type["Model"], Mapping[str, Any]], "Model"]
Convert = Callable[[Any, Make], Any]

_EMPTY: Mapping[str, Any] = MappingProxyType({})
# Borrowed, not inherited: the mixin's ABCMeta would make every isinstance() of users ten times dearer.
_json_from_dict = DataClassJsonMixin.from_dict.__func__  # type: ignore[attr-defined]
_json_from_json = DataClassJsonMixin.from_json.__func__  # type: ignore[attr-defined]
_json_to_dict = DataClassJsonMixin.to_dict
_json_to_json = DataClassJsonMixin.to_json


class Model:
    """Base of events, output items and requests: immutable, compared by their fields.

    `extra` holds the JSON fields that the class does not know, at this level; `to_dict` and
    `to_json` write them back, so that nothing a newer server sends is lost on the way.
    """

    dataclass_json_config: ClassVar[dict[str, Any] | None] = None

    @property
    def extra(self) -> Mapping[str, Any]:
        """Fields received that this class does not declare; not part of equality."""
        return typing.cast("Mapping[str, Any]", self.__dict__.get("_extra", _EMPTY))

    def to_dict(self, encode_json: bool = False) -> dict[str, Any]:
        """Return plain JSON data, unknown fields included."""
        return _restore(self, _json_to_dict(self, encode_json=encode_json))  # type: ignore[arg-type]

    @classmethod
    def from_dict(cls, kvs: Mapping[str, Any], *, infer_missing: bool = False) -> Self:
        """Build from plain JSON data; raise `DecodeError` when a required field is missing."""
        values, extra = _sort(cls, kvs, _through_dataclasses_json, strict=False)
        instance: Self = _json_from_dict(cls, values, infer_missing=infer_missing)
        return _with_extra(instance, extra)

    def to_json(self, **options: Any) -> str:
        """Return JSON text, unknown fields included; `options` are those of `json.dumps`."""
        return _json_to_json(self, **options)  # type: ignore[arg-type]

    @classmethod
    def from_json(cls, s: str | bytes, **options: Any) -> Self:
        """Build from JSON text as `from_dict` does; `options` are those of `json.loads`."""
        return typing.cast("Self", _json_from_json(cls, s, **options))


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnknownItem(Model):
    """An item, content part or other tagged object of a type this version does not know.

    Also one of a known type whose fields do not validate: then `reason` says why.  All its other
    fields are in `extra`.
    """

    type: str

    @property
    def reason(self) -> str | None:
        """Why a known type could not be read, `None` for an unknown type."""
        return typing.cast("str | None", self.__dict__.get("_reason"))


@dataclasses.dataclass(frozen=True)
class Plan:
    """How the fields of one class are read, all by their names on the wire."""

    leaves: Mapping[str, Any]  # name → type, checked by msgspec
    nested: Mapping[str, Convert]  # name → converter, for fields that hold models
    required: frozenset[str]
    defaulted: frozenset[str]  # not nullable, but with a default: `null` counts as absent
    attributes: Mapping[str, str]  # name on the wire → name of the field, where they differ (`async`)


_plans: dict[type[Model], Plan] = {}


def plan_of(cls: type[Model]) -> Plan:
    """Return the plan of `cls`, made on first use so that importing stays cheap."""
    plan = _plans.get(cls)
    if plan is None:
        plan = _plans[cls] = _make_plan(cls)
    return plan


def _make_plan(cls: type[Model]) -> Plan:
    hints = typing.get_type_hints(cls)
    leaves: dict[str, Any] = {}
    nested: dict[str, Convert] = {}
    required, defaulted = set(), set()
    attributes: dict[str, str] = {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        hint = hints[field.name]
        rename = field.metadata.get("dataclasses_json", {}).get("letter_case")
        name = rename(field.name) if rename is not None else field.name
        if name != field.name:
            attributes[name] = field.name
        convert = _converter(hint)
        if convert is None:
            leaves[name] = hint
        else:
            nested[name] = convert
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            required.add(name)
        elif not _admits_none(hint):
            defaulted.add(name)
    return Plan(leaves, nested, frozenset(required), frozenset(defaulted), attributes)


def build(cls: type[M], data: Mapping[str, Any]) -> M:
    """Build `cls` from JSON data, every field checked; raise `DecodeError` naming what is wrong."""
    values, extra = _sort(cls, data, build, strict=True)
    for name, attribute in plan_of(cls).attributes.items():
        if name in values:
            values[attribute] = values.pop(name)
    return _with_extra(cls(**values), extra)


def _through_dataclasses_json(cls: type[Model], data: Mapping[str, Any]) -> Model:
    return cls.from_dict(data)


def _sort(
    cls: type[Model], data: Mapping[str, Any], make: Make, *, strict: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split JSON data into constructor values, with nested models made, and unknown fields."""
    if not isinstance(data, Mapping):
        raise DecodeError(f"{cls.__name__}: expected an object, got {type(data).__name__}")
    plan = plan_of(cls)
    values: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for name, value in data.items():
        if value is None and name in plan.defaulted:
            extra[name] = None
        elif (convert := plan.nested.get(name)) is not None:
            values[name] = convert(value, make)
        elif name not in plan.leaves:
            extra[name] = value
        elif strict:
            try:
                values[name] = msgspec.convert(value, plan.leaves[name])
            except msgspec.ValidationError as error:
                raise DecodeError(f"{cls.__name__}.{name}: {error}") from error
        else:
            values[name] = value
    missing = plan.required - values.keys()
    if missing:
        raise DecodeError(f"{cls.__name__}: required field {min(missing)!r} is missing")
    return values, extra


def _with_extra(instance: M, extra: Mapping[str, Any]) -> M:
    if extra:
        # Instances are frozen for users; what came with them from the wire is set before anyone sees them.
        instance.__dict__["_extra"] = extra
    return instance


def _restore(model: Model, data: dict[str, Any]) -> dict[str, Any]:
    """Write the unknown fields of `model` and of the models below it into its JSON data."""
    attributes = plan_of(type(model)).attributes
    for name, encoded in data.items():
        _restore_below(getattr(model, attributes.get(name, name)), encoded)
    data.update(model.extra)
    return data


def _restore_below(value: Any, data: Any) -> None:
    if isinstance(value, Model):
        _restore(value, data)
    elif isinstance(value, (list, tuple)):
        for one, encoded in zip(value, data, strict=True):
            _restore_below(one, encoded)
    elif isinstance(value, Mapping):
        for key, one in value.items():
            _restore_below(one, data[key])


def _admits_none(hint: Any) -> bool:
    return hint is Any or hint is types.NoneType or types.NoneType in typing.get_args(hint)


def _converter(hint: Any) -> Convert | None:
    """Return how a value of this type is read, or `None` when no model is in it."""
    if isinstance(hint, type) and issubclass(hint, Model):
        return lambda value, make: value if isinstance(value, hint) else make(hint, value)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is list:
        return _list_converter(args[0])
    if origin is typing.Union or origin is types.UnionType:
        return _union_converter(args)
    return None


def _list_converter(hint: Any) -> Convert | None:
    convert = _converter(hint)
    if convert is None:
        return None

    def convert_list(value: Any, make: Make) -> Any:
        if not isinstance(value, list):
            raise DecodeError(f"expected a list, got {type(value).__name__}")
        return [convert(one, make) for one in value]

    return convert_list


def _union_converter(args: tuple[Any, ...]) -> Convert | None:
    models = [arg for arg in args if isinstance(arg, type) and issubclass(arg, Model)]
    converters = {arg: convert for arg in args if (convert := _converter(arg)) is not None}
    if not converters:
        return None
    lists = [convert for arg, convert in converters.items() if arg not in models]
    leaf: Any = typing.Union[tuple(arg for arg in args if arg not in converters) or (NoReturn,)]  # noqa: UP007
    by_type = {tag: model for model in models for tag in _tags(model)}
    only = models[0] if len(models) == 1 else None

    def convert_union(value: Any, make: Make) -> Any:
        if isinstance(value, Model):
            return value
        if isinstance(value, dict) and models:
            return make(only, value) if only is not None else _tagged(by_type, value, make)
        if isinstance(value, list) and lists:
            return lists[0](value, make)
        try:
            return msgspec.convert(value, leaf)
        except msgspec.ValidationError as error:
            raise DecodeError(str(error)) from error

    return convert_union


def _tags(model: type[Model]) -> tuple[str, ...]:
    """The values of `type` that stand for this model: its `Literal`, none for a fallback class."""
    hint = typing.get_type_hints(model).get("type")
    return typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ()


def _tagged(by_type: Mapping[str, type[Model]], value: Mapping[str, Any], make: Make) -> Model:
    kind = value.get("type")
    model = by_type.get(kind) if isinstance(kind, str) else None
    reason: str | None = None
    if model is not None:
        try:
            return make(model, value)
        except DecodeError as error:
            reason = str(error)
    # One odd item must not cost its user the whole event: it is kept as it came.
    item = UnknownItem(type=kind if isinstance(kind, str) else "")
    item.__dict__["_extra"] = {name: one for name, one in value.items() if name != "type" or one != item.type}
    item.__dict__["_reason"] = reason
    return item
