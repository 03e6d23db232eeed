"""The base of all classes that a user builds and a request sends."""

from __future__ import annotations

import operator
import typing
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import UNSET

from ...redaction import SECRET_FIELDS, discreet
from ...scalars import plain_scalar
from ..base import Model, build, json_fields
from ..json_config import json_config
from .checks import check, rules_of

if TYPE_CHECKING:
    from typing_extensions import Self  # in `typing` only from Python 3.11


def _is_unset(value: object) -> bool:
    return value is UNSET


class Sent(Model):
    """Base of requests, and of the items, tools and settings that they are made of.

    A field that was not given stays out of the JSON; `None` is sent as `null`.  Each field is checked when the object
    is made: a value of a wrong type raises `InvalidRequestError`, so that a mistake shows where it was written.
    A number of NumPy counts as the Python number.
    """

    dataclass_json_config: ClassVar[dict[str, Any] | None] = json_config(exclude=_is_unset)["dataclasses_json"]
    _secret_fields = SECRET_FIELDS

    @discreet
    def __post_init__(self) -> None:
        cls: Any = type(self)
        given = self.__dict__  # a field that was not given has its default in the class, and each default is right
        for name, rule in rules_of(cls).items():
            if name in given:
                value = given[name]
                plain = plain_scalar(value)
                if plain is not value:
                    object.__setattr__(self, name, plain)
                check(name, plain, rule)

    @classmethod
    @discreet
    def from_dict(cls, kvs: Mapping[str, Any], *, infer_missing: bool = False) -> Self:
        """Build from plain JSON data; mappings in it stay mappings.

        Raises `DecodeError` or `InvalidRequestError` when the data do not fit.  `infer_missing` has no effect, since
        what is sent must be complete.
        """
        return build(cls, kvs)

    def to_dict(self, encode_json: bool = False) -> dict[str, Any]:
        """Return the JSON that is sent.

        Objects of received classes go without their `null` fields.  In these classes `None` means "absent", and
        servers refuse such a `null` in input.
        """
        return self.as_sent(typing.cast("dict[str, Any]", _without_absent(self, super().to_dict(encode_json))))

    def as_sent(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return the JSON of all fields without what a class never sends."""
        return data


def plain_json(value: Any) -> Any:
    """Return a copy of an item, or of anything in it, as the JSON that is sent: no objects, no absent fields."""
    if isinstance(value, Model):
        return _model_json(value, plain_json)
    if isinstance(value, Mapping):
        return {name: plain_json(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_json(item) for item in value]
    return plain_scalar(value)


def frame_json(value: Any) -> Any:
    """Return the same JSON as `plain_json`, for a frame that is written at once: what is plain already is not copied.

    A request may hold megabytes of plain items, and copies of them take much longer than writing them.
    """
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is dict:
        changes = {
            name: new
            for name, item in value.items()
            if type(item) not in _ATOMS and (new := frame_json(item)) is not item
        }
        return value | changes if changes else value
    if isinstance(value, (list, tuple)):
        items = [item if type(item) in _ATOMS else frame_json(item) for item in value]
        return items if any(map(operator.is_not, items, value)) else value
    if isinstance(value, Model):
        return _model_json(value, frame_json)
    if isinstance(value, Mapping):
        return {name: frame_json(item) for name, item in value.items()}
    return plain_scalar(value)


_ATOMS = frozenset({str, int, float, bool, type(None)})
_WRITTEN_BY_FIELDS = (Model.to_dict, Sent.to_dict)


def _model_json(value: Model, convert: Callable[[Any], Any]) -> dict[str, Any]:
    """Return the JSON of `to_dict`, without the absent fields of received models, in one pass."""
    if type(value).to_dict not in _WRITTEN_BY_FIELDS:
        return typing.cast("dict[str, Any]", _without_absent(value, value.to_dict()))
    if isinstance(value, Sent):
        return value.as_sent(json_fields(value, convert, keeps_none=True))
    return json_fields(value, convert, keeps_none=False)


def _without_absent(value: Any, data: Any) -> Any:
    """Drop the `null` fields of received models from their JSON, at every depth; plain JSON stays as it is."""
    if isinstance(value, Model):
        return {
            name: item if name in value.extra else _without_absent(getattr(value, name, None), item)
            for name, item in data.items()
            if item is not None or isinstance(value, Sent) or name in value.extra
        }
    if isinstance(value, (list, tuple)):
        return [_without_absent(item, encoded) for item, encoded in zip(value, data, strict=True)]
    if isinstance(value, Mapping):
        return {name: _without_absent(item, data[name]) for name, item in value.items()}
    return data
