"""What all JSON objects of the protocol have in common: they are frozen dataclasses, read by two codecs.

`Model` gives each class the public JSON methods of dataclasses-json (`to_dict`, `to_json`, `from_dict`, `from_json`).
`build` is the shorter way, which the wire codec takes.  Both read JSON data by the `Plan` of the class, so that they
accept, refuse and keep the same fields.  `to_dict` and `to_json` take a shorter way too, and ask dataclasses-json for
values that JSON does not have.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, FrozenInstanceError
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import msgspec

from ..errors import DecodeError
from ..redaction import shown_data, shown_field
from ..scalars import with_finite_numbers
from .plans import Maker, Modelled, Plan, plan_of, read_fields

T = TypeVar("T")
M = TypeVar("M", bound="Model")

if TYPE_CHECKING:
    from typing_extensions import Self, dataclass_transform  # in `typing` only from Python 3.11
else:

    def dataclass_transform(**_: object) -> Callable[[T], T]:
        return lambda decorator: decorator


_EMPTY: Mapping[str, Any] = MappingProxyType({})


def _mixin() -> Any:
    """Return the mixin of dataclasses-json, which is imported at the first use because it takes about 20 ms.

    Its functions are used without inheriting it: its ABCMeta makes `isinstance` ten times slower.
    """
    from dataclasses_json import DataClassJsonMixin

    return DataClassJsonMixin


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(dataclasses.field,))
def model(cls: type[M]) -> type[M]:
    """Make a class a dataclass as `dataclass(frozen=True, kw_only=True)` does, in a fifth of the time.

    `dataclass` compiles six methods for each class, which takes a tenth of a second for all classes of the protocol.
    Model classes inherit one set of methods from `Model` instead.
    """
    return dataclasses.dataclass(init=False, repr=False, eq=False, kw_only=True)(cls)


class _Signature:
    """The signature of a model's constructor, made when `help` or an editor asks for it."""

    def __get__(self, instance: object, cls: type[Model]) -> inspect.Signature:
        if not dataclasses.is_dataclass(cls):
            raise AttributeError("__signature__")  # `inspect` then reads the signature of `__init__`
        parameters = []
        for field in dataclasses.fields(cls):
            default = field.default if field.default_factory is MISSING else field.default_factory()
            parameters.append(
                inspect.Parameter(
                    field.name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=inspect.Parameter.empty if default is MISSING else default,
                    annotation=field.type,
                )
            )
        return inspect.Signature(parameters)


class Model(Modelled):
    """Base of events, output items and requests: immutable, compared by class and fields.

    `extra` holds the JSON fields of this object that its class does not declare.  `to_dict` and `to_json` write them
    back, so that fields of a newer server are not lost on the way.
    """

    __signature__ = _Signature()
    dataclass_json_config: ClassVar[dict[str, Any] | None] = None
    _secret_fields: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, **values: Any) -> None:
        plan = plan_of(type(self))
        if not plan.compulsory <= values.keys() <= plan.fields.keys():
            unknown, missing = sorted(values.keys() - plan.fields.keys()), sorted(plan.compulsory - values.keys())
            problem = f"has no field {unknown[0]!r}" if unknown else f"needs the field {missing[0]!r}"
            del values  # error reports may show the variables of each frame, and a tool's token may be among them
            raise TypeError(f"{type(self).__name__} {problem}")
        _fill(self, plan, values)
        del values
        if plan.finish is not None:
            plan.finish(self)

    def __setattr__(self, name: str, value: object) -> None:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in plan_of(type(self)).fields)

    def __hash__(self) -> int:
        values = (getattr(self, name) for name in plan_of(type(self)).fields)
        return hash((type(self), *(value for value in values if not isinstance(value, (list, dict)))))

    def __repr__(self) -> str:
        """Show the fields that are not at their default, without the credentials of tools."""
        given = {
            name: value
            for name, default in plan_of(type(self)).fields.items()
            # An object that is only half made has no fields yet.
            if (value := getattr(self, name, default)) != default or value.__class__ is not default.__class__
        }
        shown = {name: shown_field(name, value, self._secret_fields) for name, value in given.items()}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    @property
    def extra(self) -> Mapping[str, Any]:
        """Fields received that this class does not declare; not part of equality."""
        return typing.cast("Mapping[str, Any]", self.__dict__.get("_extra", _EMPTY))

    def to_dict(self, encode_json: bool = False) -> dict[str, Any]:
        """Return plain JSON data, unknown fields included."""
        return _restore(self, _mixin().to_dict(self, encode_json=True)) if encode_json else _plain_model(self)

    @classmethod
    def from_dict(cls, kvs: Mapping[str, Any], *, infer_missing: bool = False) -> Self:
        """Build from plain JSON data; raise `DecodeError` when they do not fit.

        With `infer_missing`, required fields that are missing are `None`.
        """
        return _from_dict(cls, kvs, _DATACLASSES_JSON, infer_missing=infer_missing)

    def to_json(self, **options: Any) -> str:
        """Return JSON text, unknown fields included; `options` are those of `json.dumps`.

        Numbers that JSON does not have become the texts "NaN", "Infinity" and "-Infinity".
        """
        return json.dumps(
            with_finite_numbers(self.to_dict()), **{**options, "default": options.get("default") or _json_of}
        )

    @classmethod
    def from_json(cls, s: str | bytes, **options: Any) -> Self:
        """Build from JSON text as `from_dict` does; `options` are those of `json.loads`."""
        return typing.cast("Self", _mixin().from_json.__func__(cls, s, **options))


class Unread(Model):
    """Base of the classes that keep an object as it came, because no class fits; `extra` counts in comparisons."""

    @property
    def reason(self) -> str | None:
        """Why the fields of a known type could not be read, `None` for an unknown type."""
        return typing.cast("str | None", self.__dict__.get("_reason"))

    def __eq__(self, other: object) -> bool:
        same = super().__eq__(other)
        return self.extra == typing.cast("Unread", other).extra if same is True else same

    __hash__ = Model.__hash__

    def __repr__(self) -> str:
        return f"<{super().__repr__()} extra={shown_data(self.extra)!r} reason={self.reason!r}>"


@model
class UnknownItem(Unread):
    """An item, content part or other tagged object of a type this version does not know.

    Also an object of a known type whose fields do not validate: `reason` then says why.  All fields but `type` are in
    `extra`.
    """

    if TYPE_CHECKING:
        # Any string.  But checkers narrow a union by `type` only if each member has a literal there.
        type: Literal["unknown"]
    else:
        type: str


def build(cls: type[M], data: Mapping[str, Any]) -> M:
    """Build an object of `cls` from plain JSON data; raise `DecodeError` when they do not fit."""
    return _build(cls, data, _DIRECT)


def _build(cls: type[M], data: Mapping[str, Any], maker: Maker) -> M:
    values, extra = read_fields(cls, data, maker)
    plan = plan_of(cls)
    for name, attribute in plan.attributes.items():
        if name in values:
            values[attribute] = values.pop(name)
    if cls.__init__ is not _own_init:
        return _with_extra(cls(**values), extra)
    instance = object.__new__(cls)  # `values` holds the right fields, so the check in `__init__` is not needed
    _fill(instance, plan, values)
    if plan.finish is not None:
        plan.finish(instance)
    return _with_extra(instance, extra)


def _build_valid(cls: type[M], data: Mapping[str, Any], maker: Maker) -> M:
    """Build as `_build` does from what a JSON parser returns, in half of the time.

    What servers send is nearly always valid.  Raises `DecodeError`, without the exact reason, for all that is not as
    the class declares it, also where `_build` reads more: `null` for a list, or `1.0` for an integer.
    """
    plan = plan_of(cls)
    if plan.attributes or cls.__init__ is not _own_init:
        return _build(cls, data, maker)
    if type(data) is not dict or not plan.required <= data.keys():
        raise DecodeError(f"{cls.__name__}: expected an object with all required fields")
    try:
        checked = msgspec.convert(data, plan.bounded_checker)  # which skips the fields that are not plain
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise DecodeError(str(error)) from error
    instance = object.__new__(cls)
    fields = instance.__dict__
    fields.update(data)
    for name in plan.converted:
        if name in data:
            fields[name] = getattr(checked, name)
    for name, convert in plan.nested.items():
        if name in data:
            fields[name] = convert(data[name], maker)
    extra = _EMPTY
    if not data.keys() <= plan.names:
        extra = {name: value for name, value in data.items() if name not in plan.names}
        for name in extra:
            del fields[name]
    if plan.factories:
        _fill(instance, plan, _EMPTY)
    if plan.finish is not None:
        plan.finish(instance)
    return _with_extra(instance, extra)


_own_init = Model.__init__


def _fill(instance: Model, plan: Plan, values: Mapping[str, Any]) -> None:
    fields = instance.__dict__
    fields.update(values)
    for name, factory in plan.factories.items():
        if name not in fields:
            fields[name] = factory()


def _from_dict(cls: type[M], data: Mapping[str, Any], maker: Maker, *, infer_missing: bool = False) -> M:
    values, extra = read_fields(cls, data, maker, complete=not infer_missing)
    return _with_extra(typing.cast("M", _mixin().from_dict.__func__(cls, values, infer_missing=infer_missing)), extra)


def build_received(cls: type[M], data: Mapping[str, Any], *, json_codec: bool = False) -> tuple[M, str | None]:
    """Build an object of `cls` from what a server sent, and return the reason why fields are left out, if any are.

    A field that does not validate, at any depth, is left out and kept in `extra`, and so is a number out of bounds.
    Raises `DecodeError` if the object means nothing without it, which are the required fields.  `json_codec` takes the
    way of dataclasses-json.
    """
    make = _from_dict if json_codec else _build
    try:
        return (_from_dict(cls, data, _STRICT_BY_JSON) if json_codec else _build_valid(cls, data, _STRICT)), None
    except DecodeError:
        problems: list[str] = []
        return make(cls, data, Maker(make, _unknown_item, is_bounded=True, problems=problems)), "; ".join(
            problems
        ) or None


def unread(instance: M, extra: Mapping[str, Any], reason: str | None) -> M:
    """Put the fields that came, and the reason, into a new `Unread` object."""
    instance.__dict__["_extra"] = extra
    instance.__dict__["_reason"] = reason
    return instance


def _unknown_item(data: Mapping[str, Any], reason: str | None) -> UnknownItem:
    kind = data.get("type")
    item = UnknownItem(type=typing.cast("Any", kind if isinstance(kind, str) else ""))
    return unread(item, {name: value for name, value in data.items() if name != "type" or value != item.type}, reason)


def _unknown_type(data: Mapping[str, Any], reason: str | None) -> UnknownItem:
    """Keep an item of an unknown type, and raise for an item of a known type that does not validate."""
    if reason is not None:
        raise DecodeError(reason)
    return _unknown_item(data, None)


_DIRECT = Maker(known=_build, unknown=_unknown_item)
_DATACLASSES_JSON = Maker(known=lambda cls, data, _: cls.from_dict(data), unknown=_unknown_item)
# The first pass over what a server sent: nearly always all of it is valid.
_STRICT = Maker(known=_build_valid, unknown=_unknown_type, is_bounded=True)
_STRICT_BY_JSON = Maker(known=_from_dict, unknown=_unknown_type, is_bounded=True)


def _with_extra(instance: M, extra: Mapping[str, Any]) -> M:
    if extra:
        # Instances are frozen for their users; this new instance has no user yet.
        instance.__dict__["_extra"] = extra
    return instance


def _json_of(value: Any) -> Any:
    """Return the JSON in which dataclasses-json writes a value that JSON does not have, such as a date."""
    return json.loads(_mixin().to_json(SimpleNamespace(to_dict=lambda **_: value)))


def _plain_model(model: Model) -> dict[str, Any]:
    """Return what the `to_dict` of dataclasses-json returns, unknown fields included, in a fraction of the time."""
    return json_fields(model, _plain, keeps_none=True)


def json_fields(model: Model, convert: Callable[[Any], Any], *, keeps_none: bool) -> dict[str, Any]:
    """Return the JSON of all fields, unknown ones included, without those that the class leaves out.

    `convert` makes the JSON of a value.  Fields that are `None` stay out too, unless `keeps_none`.
    """
    data: dict[str, Any] = {}
    extra = model.extra
    for attribute, name, encoder, is_left_out in plan_of(type(model)).written:
        value = getattr(model, attribute)
        if (value is not None or keeps_none or name in extra) and (is_left_out is None or not is_left_out(value)):
            data[name] = convert(value) if encoder is None else encoder(value)
    data.update(extra)
    return data


def _plain(value: Any) -> Any:
    kind = value.__class__
    if kind in _ATOMS:
        return value
    if kind is list:
        return [_plain(element) for element in value]
    if isinstance(value, Model):
        return _plain_model(value)
    if isinstance(value, Mapping):
        return {_plain(key): _plain(element) for key, element in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(element) for element in value]
    return _mixin().to_dict(value)  # any other value


_ATOMS = frozenset({str, int, float, bool, type(None)})


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
        for element, encoded in zip(value, data, strict=True):
            _restore_below(element, encoded)
    elif isinstance(value, Mapping):
        for key, element in value.items():
            _restore_below(element, data[key])
