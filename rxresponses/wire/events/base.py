"""The base of all server events, the registry of their classes, and the table of terminal types."""

from __future__ import annotations

import json
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...errors import DecodeError
from ...known_secrets import Secrets
from ..base import Model, Unread, build_received, model, unread
from ..jsontext import TooManyValuesError, read_json
from ..plans import plan_of
from .endings import read_ending

if TYPE_CHECKING:
    from typing_extensions import Self  # in `typing` only from Python 3.11

ERROR_TYPES = frozenset({"error", "response.error"})
"""The event types that end a request with an error, instead of with its response."""

TERMINAL_TYPES = ERROR_TYPES | {
    "response.completed",
    "response.failed",
    "response.incomplete",
    # Not of the official service:
    "response.done",
    "response.cancelled",
    "response.canceled",
}
"""The event types that end a request."""

REGISTRY: dict[str, type[ServerEvent]] = {}
"""`type` on the wire → event class."""


@model
class ServerEvent(Model):
    """An event from the server.

    `raw` is the frame exactly as received, `None` for an event that was built by hand.  `stream_id` is the name of the
    event's lane, `None` for the default lane.  A field that does not validate, here or at any depth, is absent: `extra`
    of its object has the value, and `reason` of the event says why.
    """

    takes_any_number = True
    type: str
    sequence_number: int | None = None
    stream_id: str | None = None

    def __init_subclass__(cls) -> None:
        kind = cls.__dict__.get("type")
        if isinstance(kind, str):
            REGISTRY.setdefault(kind, cls)

    @property
    def raw(self) -> bytes | str | None:
        """The frame as received."""
        frame: bytes | str | None = self.__dict__.get("raw")  # no `cast`, which is a call for each event that waits
        return frame

    @property
    def extra(self) -> Mapping[str, Any]:
        """Fields of the frame that this class does not declare; read from `raw` on first use.

        A value that Python cannot read is `None` if it is nested too deeply, and a text if it is an integer of
        thousands of digits.  Of a frame with millions of values, none is read.
        """
        if "_extra" not in self.__dict__:
            raw = self.raw
            # msgspec skips unknown fields, so their UTF-8 is not checked yet.
            text = raw.decode(json.detect_encoding(raw), errors="replace") if isinstance(raw, bytes) else raw
            plan = plan_of(type(self))
            try:
                fields, _ = read_json(text or "{}")
            except TooManyValuesError:
                fields = {}
            self.__dict__["_extra"] = {
                name: value for name, value in fields.items() if name not in plan.leaves and name not in plan.nested
            }
        return super().extra

    @property
    def reason(self) -> str | None:
        """Why fields of the event are not in their attributes but in `extra`: they did not validate."""
        return typing.cast("str | None", self.__dict__.get("_reason"))

    @property
    def is_terminal(self) -> bool:
        """Whether this event ends its request."""
        return self.type in TERMINAL_TYPES

    def __repr__(self) -> str:
        text, secrets = super().__repr__(), secrets_of(self)
        return text if secrets is None else secrets.hide(text)

    @classmethod
    def from_dict(cls, kvs: Mapping[str, Any], *, infer_missing: bool = False) -> Self:
        """Build from plain JSON data; on `ServerEvent` itself, the class is picked by `type`."""
        if cls is not ServerEvent:
            return super().from_dict(kvs, infer_missing=infer_missing)
        if not isinstance(kvs, Mapping):
            raise DecodeError(f"{cls.__name__}: expected an object, got {type(kvs).__name__}")
        return typing.cast("Self", event_from(kvs, json_codec=True))


@model
class ItemEvent(ServerEvent):
    """Base of the events about one output item."""

    item_id: str | None = None
    output_index: int | None = None


@model
class ContentEvent(ItemEvent):
    """Base of the events about one part of an output item's content."""

    content_index: int | None = None


@model
class UnknownEvent(Unread, ServerEvent):
    """An event of a type this version does not know, or of a known type whose required fields do not validate.

    In the second case `reason` says why.  `type`, `sequence_number` and `stream_id` are attributes if they have the
    right type; all other fields are in `extra`.  A frame that is no JSON object has the type `""`, and only `raw` and
    `reason`.
    """

    def __repr__(self) -> str:
        text, secrets = Unread.__repr__(self), secrets_of(self)
        return text if secrets is None else secrets.hide(text)


def set_secrets(event: ServerEvent, secrets: Secrets) -> None:
    """Note which secrets the event's connection knows, for its `repr`, and for the errors that are made of the event.

    The event itself is what the server has sent, and stays as it is.
    """
    event.__dict__["_secrets"] = secrets


def secrets_of(event: ServerEvent) -> Secrets | None:
    """Return the secrets that the event's connection knows, `None` if nothing was noted."""
    return event.__dict__.get("_secrets")


def event_from(data: Mapping[str, Any], problem: str | None = None, *, json_codec: bool = False) -> ServerEvent:
    """Build an event from JSON data; an `UnknownEvent` if no class fits them.

    `problem` says why values are missing in the data already.  `json_codec` takes the way of dataclasses-json, with the
    same result.
    """
    kind = data.get("type")
    cls = REGISTRY.get(kind) if isinstance(kind, str) else None
    reason: str | None = None
    if cls is None:
        ending = read_ending(data)
        if ending is not None:
            data, kind = ending, ending["type"]
            cls = REGISTRY.get(kind)
    if cls is not None:
        try:
            event, reason = build_received(cls, data, json_codec=json_codec)
            if reason is not None or problem is not None:
                event.__dict__["_reason"] = _joined(problem, reason)
            return event
        except DecodeError as error:
            reason = str(error)
    elif not isinstance(kind, str):
        reason = "the event has no type"
    return unknown_event(data, _joined(problem, reason))


def _joined(*reasons: str | None) -> str | None:
    return "; ".join(filter(None, reasons)) or None


def unknown_event(data: Mapping[str, Any], reason: str | None) -> UnknownEvent:
    """Build an event that no class fits: the routing fields are attributes, the rest is in `extra`."""
    extra = dict(data)
    fields: dict[str, Any] = {"type": ""}
    for name, kind in (("type", str), ("sequence_number", int), ("stream_id", str)):
        if type(data.get(name)) is kind:
            fields[name] = extra.pop(name)
    return unread(UnknownEvent(**fields), extra, reason)
