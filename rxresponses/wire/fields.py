"""Readers of single fields of an event, for readable and unreadable events alike.

The routing of events and the errors need a few fields of every event, however badly a server formed it.  An event
whose required fields do not validate is an `UnknownEvent`: its JSON data are in `extra` and not in attributes.  The
functions here look in both places.  A field that is absent, or that is not a string where a string is due, reads as
`None`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .events.base import TERMINAL_TYPES, ServerEvent, UnknownEvent
from .ids import id_key

_BEGINNING = frozenset({"response.created", "response.queued", "response.in_progress"})  # types without output
_LIVENESS = frozenset({"heartbeat", "keepalive", "noop", "ping", "pong"})  # last words of types that only show life
_BETWEEN_WORDS = str.maketrans("", "", "-_")


def begins_response(event: ServerEvent) -> bool:
    """Whether an event shows that the server works on the response, or ends it.

    Between the events of a response, some servers and gateways send events of their own: heartbeats, limits, notices.
    They say nothing about whether the request was taken, so a request is as unanswered after them as before.
    """
    kind = event.type
    if kind in TERMINAL_TYPES:
        return True
    return (
        kind.startswith("response.")
        and kind.rpartition(".")[2].translate(_BETWEEN_WORDS) not in _LIVENESS
        and ".rate_limit" not in kind
    )


def shows_output(event: ServerEvent) -> bool:
    """Whether an event shows output of the model, or of a tool, or ends the response."""
    return event.type not in _BEGINNING and begins_response(event)


def response_field(event: ServerEvent | None, name: str) -> str | None:
    """Return a text field of the response that a lifecycle event carries."""
    if isinstance(event, UnknownEvent):
        return _text(_mapping(event.extra.get("response")).get(name))
    return getattr(getattr(event, "response", None), name, None)


def response_id_of(event: ServerEvent | None) -> str | None:
    """Return the id of the response that a lifecycle event carries, as `id_key` returns it; an empty id is none."""
    return _id(response_field(event, "id"))


def named_response_id(event: ServerEvent) -> str | None:
    """Return the id of its response that some servers put beside the other fields of an event."""
    raw = event.raw
    if type(raw) is bytes and b'"response_id"' not in raw and b"\\u" not in raw and "_extra" not in vars(event):
        return None  # as nearly always; reading `extra` parses the frame once more
    return _id(_text(event.extra.get("response_id")))


def continued_response_id(event: ServerEvent) -> str | None:
    """Return the id of the response that the response of a lifecycle event continues."""
    return _id(response_field(event, "previous_response_id"))


def item_ids_of(event: ServerEvent) -> Iterator[str]:
    """Iterate over the ids of the output items in the response that a lifecycle event carries."""
    for item in getattr(getattr(event, "response", None), "output", ()):
        if item_id := getattr(item, "id", None):
            yield item_id


def was_steered(event: ServerEvent) -> bool:
    """Whether the event says that the server ended the response early in order to follow a steer."""
    if event.type not in ("response.incomplete", "response.done"):
        return False
    if isinstance(event, UnknownEvent):
        details = _mapping(event.extra.get("response")).get("incomplete_details")
        return _mapping(details).get("reason") == "steered"
    details = getattr(getattr(event, "response", None), "incomplete_details", None)
    return getattr(details, "reason", None) == "steered"


def error_field(event: ServerEvent, name: str) -> str | None:
    """Return a text field of an `error`, whether the server put it at the top level or below `error`."""
    if isinstance(event, UnknownEvent):
        detail = event.extra.get("error")
        return _text((detail if isinstance(detail, Mapping) else event.extra).get(name))
    return getattr(event, name, None)


def steer_ids_of(event: ServerEvent) -> tuple[str | None, str | None]:
    """Return the id of the steer that a steering event is about, and the id of the response to steer."""
    if isinstance(event, UnknownEvent):
        steer = _mapping(event.extra.get("steer"))
        return _id(_text(steer.get("id"))), _id(_text(steer.get("previous_response_id")))
    readable = getattr(event, "steer", None)
    return _id(_text(getattr(readable, "id", None))), _id(_text(getattr(readable, "previous_response_id", None)))


def _id(value: str | None) -> str | None:
    return id_key(value) if value else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
