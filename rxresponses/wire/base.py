"""What all JSON objects of the protocol have in common: one frozen dataclass, two codecs.

`Model` gives each class the public JSON face of dataclasses-json (`to_dict`, `to_json`,
`from_dict`, `from_json`); `build` is the shorter road that the wire codec takes.  Both ask the
same `Plan`, made once per class from its annotations, so that they accept, refuse and keep the
same: it has msgspec check the plain fields, tells unions of dataclasses apart by `type`, and
keeps unknown fields in `extra` at every depth.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, FrozenInstanceError
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import msgspec
from dataclasses_json import DataClassJsonMixin

from ..errors import DecodeError

T = TypeVar("T")
M = TypeVar("M", bound="Model")
Make = Callable[[type["Model"], Mapping[str, Any]], "Model"]
Convert = Callable[[Any, Make], Any]

if TYPE_CHECKING:
    from typing_extensions import Self, dataclass_transform  # in `typing` only from Python 3.11
else:

    def dataclass_transform(**_: object) -> Callable[[T], T]:
        return lambda decorator: decorator


_EMPTY: Mapping[str, Any] = MappingProxyType({})
SECRET_FIELDS = frozenset({"authorization", "domain_secrets", "headers"})
"""Fields of tool definitions that hold credentials."""

# Borrowed, not inherited: the mixin's ABCMeta would make every isinstance() of users ten times dearer.
_json_from_dict = DataClassJsonMixin.from_dict.__func__  # type: ignore[attr-defined]
_json_from_json = DataClassJsonMixin.from_json.__func__  # type: ignore[attr-defined]
_json_to_dict = DataClassJsonMixin.to_dict
_json_to_json = DataClassJsonMixin.to_json


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(dataclasses.field,))
def model(cls: type[M]) -> type[M]:
    """Make `cls` a dataclass as `dataclass(frozen=True, kw_only=True)` does, in a fifth of the time.

    `dataclass` compiles six methods for each class, which adds up to a tenth of a second for all
    classes of the protocol; here they inherit one set of methods from `Model`.
    """
    return dataclasses.dataclass(init=False, repr=False, eq=False, kw_only=True)(cls)


class _Signature:
    """The signature of a model's constructor, made when `help` or an editor asks for it."""

    def __get__(self, instance: object, cls: type[Model]) -> inspect.Signature:
        if not dataclasses.is_dataclass(cls):
            raise AttributeError("__signature__")  # as if there were none
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


class Model:
    """Base of events, output items and requests: immutable, compared by their fields.

    `extra` holds the JSON fields that the class does not know, at this level; `to_dict` and
    `to_json` write them back, so that nothing a newer server sends is lost on the way.
    """

    __signature__ = _Signature()
    dataclass_json_config: ClassVar[dict[str, Any] | None] = None
    _secret_fields: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, **values: Any) -> None:
        plan = plan_of(type(self))
        if not plan.compulsory <= values.keys() <= plan.fields.keys():
            unknown, missing = sorted(values.keys() - plan.fields.keys()), sorted(plan.compulsory - values.keys())
            problem = f"has no field {unknown[0]!r}" if unknown else f"needs the field {missing[0]!r}"
            raise TypeError(f"{type(self).__name__} {problem}")
        self.__dict__.update(values)
        for name, factory in plan.factories.items():
            if name not in values:
                self.__dict__[name] = factory()
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
            if (value := getattr(self, name)) != default or value.__class__ is not default.__class__
        }
        shown = {
            name: _hidden(value) if name in self._secret_fields else _shown(value) for name, value in given.items()
        }
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    @property
    def extra(self) -> Mapping[str, Any]:
        """Fields received that this class does not declare; not part of equality."""
        return typing.cast("Mapping[str, Any]", self.__dict__.get("_extra", _EMPTY))

    def to_dict(self, encode_json: bool = False) -> dict[str, Any]:
        """Return plain JSON data, unknown fields included."""
        return _restore(self, _json_to_dict(self, encode_json=encode_json))  # type: ignore[arg-type]

    @classmethod
    def from_dict(cls, kvs: Mapping[str, Any], *, infer_missing: bool = False) -> Self:
        """Build from plain JSON data; raise `DecodeError` when they do not fit.

        With `infer_missing`, required fields that are missing are `None`.
        """
        values, extra = _sort(cls, kvs, _from_dict, complete=not infer_missing)
        instance: Self = _json_from_dict(cls, values, infer_missing=infer_missing)
        return _with_extra(instance, extra)

    def to_json(self, **options: Any) -> str:
        """Return JSON text, unknown fields included; `options` are those of `json.dumps`."""
        return _json_to_json(self, **options)  # type: ignore[arg-type]

    @classmethod
    def from_json(cls, s: str | bytes, **options: Any) -> Self:
        """Build from JSON text as `from_dict` does; `options` are those of `json.loads`."""
        return typing.cast("Self", _json_from_json(cls, s, **options))


class Unread(Model):
    """Base of what is kept as it came because no class takes it; its `extra` counts in comparisons."""

    @property
    def reason(self) -> str | None:
        """Why a known type could not be read, `None` for an unknown type."""
        return typing.cast("str | None", self.__dict__.get("_reason"))

    def __eq__(self, other: object) -> bool:
        same = super().__eq__(other)
        return self.extra == typing.cast("Unread", other).extra if same is True else same

    __hash__ = Model.__hash__

    def __repr__(self) -> str:
        return f"<{super().__repr__()} extra={_shown(self.extra)!r} reason={self.reason!r}>"


def _shown(value: Any) -> Any:
    """Return what a `repr` shows of plain JSON: tools have credentials in it, as for an MCP server."""
    if isinstance(value, Mapping):
        return {name: _hidden(one) if name in SECRET_FIELDS else _shown(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        shown = map(_shown, value)
        return tuple(shown) if isinstance(value, tuple) else list(shown)
    return value


def _hidden(value: Any) -> Any:
    if value is None:
        return None
    return dict.fromkeys(value, "(hidden)") if isinstance(value, Mapping) else "(hidden)"


@model
class UnknownItem(Unread):
    """An item, content part or other tagged object of a type this version does not know.

    Also one of a known type whose fields do not validate: then `reason` says why.  All its other
    fields are in `extra`.
    """

    if TYPE_CHECKING:
        # Any string.  But checkers narrow a union by `type` only if each member has a literal there.
        type: Literal["unknown"]
    else:
        type: str


@dataclasses.dataclass(frozen=True)
class Plan:
    """How one class is made: from keyword arguments, and from JSON data."""

    fields: Mapping[str, Any]  # name → default, `MISSING` where there is none
    factories: Mapping[str, Callable[[], Any]]  # name → maker of its default
    compulsory: frozenset[str]  # names without a default
    finish: Callable[[Any], None] | None  # its `__post_init__`
    # From here on by names on the wire:
    leaves: Mapping[str, str]  # name → attribute, for fields that msgspec checks, all together:
    checker: Any
    nested: Mapping[str, Convert]  # name → converter, for fields that hold models
    required: frozenset[str]
    defaulted: frozenset[str]  # not nullable, but with a default: `null` counts as absent
    attributes: Mapping[str, str]  # name → attribute, where they differ (`async`)


_plans: dict[type[Model], Plan] = {}


def plan_of(cls: type[Model]) -> Plan:
    """Return the plan of `cls`, made on first use so that importing stays cheap."""
    plan = _plans.get(cls)
    if plan is None:
        plan = _plans[cls] = _make_plan(cls)
    return plan


def _make_plan(cls: type[Model]) -> Plan:
    hints = typing.get_type_hints(cls)
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    names = {field.name: _wire_name(field) for field in fields}
    nested = {field.name: convert for field in fields if (convert := _converter(hints[field.name])) is not None}
    leaves = {name: wire for name, wire in names.items() if name not in nested}
    checked = [(name, _checked_type(hints[name]), msgspec.UNSET) for name in leaves]
    compulsory = {field.name for field in fields if field.default is field.default_factory is MISSING}
    return Plan(
        fields={
            field.name: field.default if field.default_factory is MISSING else field.default_factory()
            for field in fields
        },
        factories={field.name: field.default_factory for field in fields if field.default_factory is not MISSING},
        compulsory=frozenset(compulsory),
        finish=getattr(cls, "__post_init__", None),
        leaves={wire: name for name, wire in leaves.items()},
        checker=msgspec.defstruct(cls.__name__, checked, rename=leaves),
        nested={names[name]: convert for name, convert in nested.items()},
        required=frozenset(names[name] for name in compulsory),
        defaulted=frozenset(
            wire for name, wire in names.items() if name not in compulsory and not _admits_none(hints[name])
        ),
        attributes={wire: name for name, wire in names.items() if wire != name},
    )


def _wire_name(field: dataclasses.Field[Any]) -> str:
    rename = field.metadata.get("dataclasses_json", {}).get("letter_case")
    return field.name if rename is None else typing.cast("str", rename(field.name))


def _checked_type(hint: Any) -> Any:
    try:
        msgspec.json.Decoder(hint)
    except TypeError:
        return Any  # what msgspec does not know is taken as it comes
    return hint


def _admits_none(hint: Any) -> bool:
    return hint is Any or types.NoneType in typing.get_args(hint)


def build(cls: type[M], data: Mapping[str, Any]) -> M:
    """Build `cls` from plain JSON data; raise `DecodeError` when they do not fit."""
    values, extra = _sort(cls, data, build)
    for name, attribute in plan_of(cls).attributes.items():
        if name in values:
            values[attribute] = values.pop(name)
    return _with_extra(cls(**values), extra)


def _from_dict(cls: type[Model], data: Mapping[str, Any]) -> Model:
    return cls.from_dict(data)


def _sort(
    cls: type[Model], data: Mapping[str, Any], make: Make, *, complete: bool = True
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split JSON data into checked values, with nested models made, and what the class does not know."""
    if not isinstance(data, Mapping):
        raise DecodeError(f"{cls.__name__}: expected an object, got {type(data).__name__}")
    plan = plan_of(cls)
    leaves: dict[str, Any] = {}
    values: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for name, value in data.items():
        if value is None and name in plan.defaulted:
            extra[name] = None
        elif name in plan.leaves:
            leaves[name] = value
        elif (convert := plan.nested.get(name)) is not None:
            try:
                values[name] = convert(value, make)
            except DecodeError as error:
                raise DecodeError(f"{cls.__name__}.{name}: {error}") from error
        else:
            extra[name] = value
    try:
        checked = msgspec.convert(leaves, plan.checker)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:  # the latter from a lone surrogate in its message
        raise DecodeError(f"{cls.__name__}: {error}") from error
    for name in leaves:
        values[name] = getattr(checked, plan.leaves[name])
    missing = plan.required - values.keys()
    if missing and complete:
        raise DecodeError(f"{cls.__name__}: required field {min(missing)!r} is missing")
    return values, extra


def _with_extra(instance: M, extra: Mapping[str, Any]) -> M:
    if extra:
        # Instances are frozen for users; what came with them from the wire is set before anyone sees them.
        instance.__dict__["_extra"] = extra
    return instance


def unread(instance: M, extra: Mapping[str, Any], reason: str | None) -> M:
    """Put into a new `Unread` object what came with it."""
    instance.__dict__["_extra"] = extra
    instance.__dict__["_reason"] = reason
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


def members_of(hint: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the type itself where it is no union."""
    origin = typing.get_origin(hint)
    return typing.get_args(hint) if origin is typing.Union or origin is types.UnionType else (hint,)


def is_model(hint: Any) -> bool:
    """Whether a type in an annotation is a model class."""
    # In Python 3.10, `list[int]` is an instance of `type` too.
    return typing.get_origin(hint) is None and isinstance(hint, type) and issubclass(hint, Model)


def _converter(hint: Any) -> Convert | None:
    """Return how a value of this type is read, or `None` when no model is in it."""
    if is_model(hint):
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
    if any(typing.get_origin(arg) is Mapping for arg in args):
        return None  # what users build takes plain JSON, which stays as it is
    converters = {arg: convert for arg in args if (convert := _converter(arg)) is not None}
    if not converters:
        return None
    models = [arg for arg in converters if is_model(arg)]
    by_type = {kind: arg for arg in models if isinstance(kind := getattr(arg, "type", None), str)}
    only = models[0] if len(models) == 1 else None
    of_list = next((convert for arg, convert in converters.items() if arg not in models), None)
    rest = tuple(arg for arg in args if arg not in converters)
    plain: Any = typing.Union[rest] if rest else None  # noqa: UP007

    def convert_union(value: Any, make: Make) -> Any:
        if isinstance(value, Model):
            return value
        if isinstance(value, dict) and models:
            return make(only, value) if only is not None else _tagged(by_type, value, make)
        if isinstance(value, list) and of_list is not None:
            return of_list(value, make)
        if plain is None:
            raise DecodeError(f"expected an object, got {type(value).__name__}")
        try:
            return msgspec.convert(value, plain)
        except (msgspec.ValidationError, UnicodeEncodeError) as error:
            raise DecodeError(f"it is no {'object' if models else 'list'}; {error}") from error

    return convert_union


def _tagged(by_type: Mapping[str, type[Model]], value: Mapping[str, Any], make: Make) -> Model:
    kind = value.get("type")
    known = by_type.get(kind) if isinstance(kind, str) else None
    reason: str | None = None
    if known is not None:
        try:
            return make(known, value)
        except DecodeError as error:
            reason = str(error)
    # One odd item must not cost its user the whole event: it is kept as it came.
    item = UnknownItem(type=typing.cast("Any", kind if isinstance(kind, str) else ""))
    return unread(item, {name: one for name, one in value.items() if name != "type" or one != item.type}, reason)
