"""Turns frames into events and requests into frames, with msgspec on the public dataclasses.

`decode` is on the way of every event.  The first bytes of a frame mostly say its type, and msgspec reads the fields
straight into the event's class.  It cannot read every frame: events with tagged unions, escaped lone surrogates,
unknown types, fields that do not validate.  `read_json` and `build` read these frames, more slowly, with the same
result.
"""

from __future__ import annotations

import json
import typing
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from ..errors import DecodeError, FrameError
from ..known_secrets import Secrets
from ..scalars import plain_scalar, with_finite_numbers
from .base import Model
from .events.base import REGISTRY, ServerEvent, UnknownEvent, event_from, set_secrets, unknown_event
from .events.endings import is_end_of_stream
from .head import read_ending, read_type
from .jsontext import TooManyValuesError, read_json
from .plans import plan_of

_Entry = tuple[Callable[[bytes | str], ServerEvent], "str | None"] | None
"""The decoder of msgspec, and the field with a list of models, if any; `None` where msgspec cannot read the event."""

_BINARY = "a binary message, which the protocol does not have"
_UNSEEN: Any = object()  # `Any`, because `get` returns it in place of an entry
_by_start: dict[bytes, _Entry] = {}
"""How a frame begins, up to and with the quote behind its type → entry."""
_length = 0  # of the latest such beginning: the next frame mostly has the same type, and then nothing is searched


class _ByType(dict[str, _Entry]):
    """Event type → entry, made on first use; for the types of `REGISTRY` only, because others have no limit."""

    def __missing__(self, kind: str) -> _Entry:
        cls = REGISTRY.get(kind)
        if cls is None:
            return None
        plan, hints, entry = plan_of(cls), typing.get_type_hints(cls), None
        # Lists of models are nearly always empty in deltas; only a filled list needs `build`.
        lists = [name for name in plan.nested if typing.get_origin(hints.get(name)) is list]
        if len(lists) == len(plan.nested) <= 1 and not plan.attributes:
            with suppress(TypeError):  # msgspec cannot read unions of dataclasses
                entry = (msgspec.json.Decoder(cls).decode, next(iter(lists), None))
        self[kind] = entry
        # The decoder finds a second `type` behind the first, and refuses it if it is not one of this class.
        kinds = typing.get_args(hints["type"]) if typing.get_origin(hints["type"]) is typing.Literal else ()
        if kind in kinds and all(REGISTRY.get(each) is cls for each in kinds):
            for start in ('{"type":"', '{"type": "'):
                _by_start[f'{start}{kind}"'.encode()] = entry
        return entry


_by_type = _ByType()


def decode(frame: bytes | str, secrets: Secrets | None = None) -> ServerEvent:
    """Return the event of one frame.

    Never raises for a JSON object.  An object becomes an `UnknownEvent` if its type is unknown or if required fields do
    not validate.  Values that Python cannot read are read as `null` if they are nested too deeply, and as text if they
    are integers of thousands of digits; `reason` of the event says so.  Raises `FrameError` for a frame that is no JSON
    object.

    `secrets` are those of the connection.  An event with more than plain fields, as are all that may become an error,
    hides them in its `repr` and in errors that are made of it; see `set_secrets`.
    """
    global _length
    try:
        entry: _Entry = _UNSEEN
        if type(frame) is bytes:
            entry = _by_start.get(frame[:_length], _UNSEEN)
            if entry is _UNSEEN:
                length = frame.find(b'"', 10) + 1  # the quote behind the type, which servers write first
                entry = _by_start.get(frame[:length], _UNSEEN)
                if entry is not _UNSEEN:
                    _length = length
        if entry is _UNSEEN:
            entry = _by_type[read_type(frame).type]
        if entry is not None:
            read, list_field = entry
            event = read(frame)
            values = event.__dict__
            if list_field is None or not values[list_field]:
                values["raw"] = frame
                return event
    except (ValueError, RecursionError):
        pass  # not valid, or not for msgspec, which refuses lone surrogates
    event = _decode_slowly(frame)
    if secrets is not None:
        set_secrets(event, secrets)
    return event


def _decode_slowly(frame: bytes | str) -> ServerEvent:
    try:
        data, reason = read_json(frame)
    except UnicodeDecodeError as error:  # Python's text names an encoding guessed from the first bytes
        raise FrameError("its text is not UTF-8", frame) from error
    except TooManyValuesError as error:
        return _without_values(frame, error)
    except (ValueError, RecursionError) as error:
        if not is_end_of_stream(frame):
            raise FrameError(str(error) or type(error).__name__, frame) from error
        data, reason = {"type": "response.done"}, None
    if not isinstance(data, dict):
        raise FrameError(f"it holds {'null' if data is None else type(data).__name__}", frame)
    try:
        event = event_from(data, reason)
    except RecursionError:
        event = unknown_event(data, "it is nested too deeply")
    event.__dict__["raw"] = frame
    return event


def _without_values(frame: bytes | str, error: TooManyValuesError) -> ServerEvent:
    """Return an event with the fields that tell which request it ends; msgspec skips all others."""
    try:
        try:
            data = msgspec.to_builtins(read_ending(frame))
        except msgspec.ValidationError:
            data = {"type": read_type(frame).type}
    except ValueError as unread:
        raise FrameError(str(error), frame) from unread
    event = unknown_event({name: value for name, value in data.items() if value is not None}, str(error))
    event.__dict__["raw"] = frame
    return event


def undecodable(frame: bytes | str, error: DecodeError) -> ServerEvent:
    """Return an event for a frame that is no JSON object."""
    event = unknown_event({}, str(error))
    event.__dict__["raw"] = frame
    return event


def binary_message(frame: bytes | str) -> ServerEvent:
    """Return an event for a binary message."""
    return undecodable(frame, DecodeError(_BINARY))


def is_binary_message(event: ServerEvent) -> bool:
    """Whether `binary_message` has made this event."""
    return isinstance(event, UnknownEvent) and event.type == "" and event.reason == _BINARY


def encode(value: Model | dict[str, Any]) -> bytes:
    """Return the frame of a request as UTF-8 JSON, with its unknown fields and lone surrogates.

    Numbers that are not finite, which an unknown field of a server may have, are written as text: `"NaN"`.
    """
    data = value.to_dict() if isinstance(value, Model) else value
    try:
        frame = msgspec.json.encode(data)
        # msgspec writes a number that is not finite as `null`.
        finite = with_finite_numbers(data) if b"null" in frame else data
        return frame if finite is data else msgspec.json.encode(finite)
    except (UnicodeEncodeError, TypeError):  # lone surrogates; subclasses of `str` and the like; numbers of NumPy
        return json.dumps(with_finite_numbers(data), separators=(",", ":"), default=_plain).encode("ascii")


def _plain(value: object) -> object:
    plain = plain_scalar(value)
    if plain is value:
        raise TypeError(f"{type(value).__name__} is no JSON value")
    return plain
