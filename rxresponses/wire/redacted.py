"""The copies of events that errors and records hold: without the secrets that the server has sent back."""

from __future__ import annotations

import json

from .codec import decode
from .events.base import ServerEvent, secrets_of, set_secrets
from .jsontext import read_json


def without_secrets(event: ServerEvent) -> ServerEvent:
    """Return the event, or, if the server has sent secrets back in it, a copy in which they are hidden.

    The secrets are those of the event's connection, see `set_secrets`.
    """
    secrets, raw = secrets_of(event), event.raw
    if secrets is None or raw is None or not event.type:
        return event
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
    if secrets.hide(text) is text:
        return event
    data, _ = read_json(text)
    copy = decode(json.dumps(secrets.hide_json(data)).encode())
    set_secrets(copy, secrets)
    return copy


def hide_secrets(event: ServerEvent, text: str) -> str:
    """Return a text of the response that `event` ends, without the secrets of the event's connection."""
    secrets = secrets_of(event)
    return text if secrets is None else secrets.hide(text)
