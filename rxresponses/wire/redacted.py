"""The copies of events that errors and records hold: without the secrets that the server has sent back."""

from __future__ import annotations

import json
from typing import Any

from ..errors import FrameError
from ..known_secrets import LONGEST
from .codec import decode
from .events.base import ServerEvent, secrets_of, set_secrets
from .jsontext import TooManyValuesError, read_json

_KEPT = LONGEST // 8  # characters of a frame that is too long to be searched
_LONGEST_STRING = 10_000  # characters of each string in it
_VALUE = 10  # characters that each value counts beside its text


def without_secrets(event: ServerEvent) -> ServerEvent:
    """Return the event, or, if the server has sent secrets back in it, a copy in which they are hidden.

    The secrets are those of the event's connection, see `set_secrets`.  A frame of more than `LONGEST` characters is
    too long to be searched: the copy then holds only a part of it, the short values first.
    """
    secrets, raw = secrets_of(event), event.raw
    if not secrets or raw is None or not event.type:
        return event
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
    if len(text) > LONGEST:
        text = json.dumps(_Part().of(_data(event, text)))
        shown = secrets.hide(text)
    elif (shown := secrets.hide(text)) is text:
        return event
    copy = _decode(shown)
    if copy is None or copy.type != event.type:  # a secret is a word of the protocol
        copy = decode(json.dumps(secrets.hide_json(read_json(text)[0])).encode())
    set_secrets(copy, secrets)
    return copy


def hide_secrets(event: ServerEvent, text: str) -> str:
    """Return a text of the response that `event` ends, without the secrets of the event's connection."""
    secrets = secrets_of(event)
    return text if secrets is None else secrets.hide(text)


def _data(event: ServerEvent, text: str) -> Any:
    try:
        return read_json(text)[0]
    except TooManyValuesError:
        return {"type": event.type, "stream_id": event.stream_id, **event.extra}


def _decode(text: str) -> ServerEvent | None:
    try:
        return decode(text.encode("utf-8", "surrogatepass"))
    except FrameError:
        return None


class _Part:
    """Makes a part of JSON data that has about `_KEPT` characters."""

    def __init__(self) -> None:
        self._left = _KEPT

    def of(self, data: Any) -> Any:
        """Return a part of the data: long strings are cut, and values for which no room is left are `None`."""
        self._left -= _VALUE
        if self._left <= 0:
            return None
        if isinstance(data, str):
            kept = data[: min(_LONGEST_STRING, self._left)]
            self._left -= len(kept)
            return kept if len(kept) == len(data) else f"{kept}… ({len(data) - len(kept)} characters left out)"
        if isinstance(data, list):
            return [self.of(item) for item in data if self._left > 0]
        if isinstance(data, dict):
            short_first = sorted(data, key=lambda name: (isinstance(data[name], list), isinstance(data[name], dict)))
            return {name[:_LONGEST_STRING]: self.of(data[name]) for name in short_first if self._left > 0}
        return data
